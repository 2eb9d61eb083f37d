"""Builds the optimizer from a config: learning rates by group and layer, schedule, clipping."""

import re
from collections.abc import Callable, Mapping

import jax
import optax
from ml_collections import ConfigDict

SCHEDULES = ("cosine", "constant")


def group_of(path: str, groups: Mapping[str, Mapping]) -> str:
    """The name of the group whose regex matches the complete parameter path.

    Raises:
      ValueError: no group matches, or several do.
    """
    found = [name for name in groups if re.fullmatch(groups[name]["match"], path)]
    if len(found) != 1:
        raise ValueError(
            f"parameter {path!r} is matched by "
            + (f"the groups {', '.join(found)}" if found else "no group")
            + " of config.optim.groups; exactly one must match: "
            + ", ".join(f"{name}={groups[name]['match']!r}" for name in groups)
        )
    return found[0]


def _layer_decay(group: Mapping) -> float:
    return group.get("layer_decay", 1.0)


def layer_scales(
    groups: Mapping[str, Mapping], params: Mapping[str, jax.ShapeDtypeStruct]
) -> dict[str, float]:
    """Factor of each parameter's learning rate: layer_decay ** (number of layers above it).

    The embedding of a tower is its first layer, each block is one layer, and the parameters after
    the blocks are the last layer (Bao et al., 2022 (BEiT), appendix; timm's
    `param_groups_layer_decay`). Parameters outside a tower count as a last layer.
    """
    depth: dict[str, int] = {}  # of each tower
    for path in params:
        if found := re.match(r"(.*?)/blocks/(\d+)/", path):
            depth[found[1]] = max(depth.get(found[1], 0), int(found[2]) + 1)
    scales = {}
    for path in params:
        decay = _layer_decay(groups[group_of(path, groups)])
        tower = path.partition("/")[0]
        if found := re.match(r".*?/blocks/(\d+)/", path):
            layer = int(found[1]) + 1
        elif tower not in depth or re.search(r"/(final_norm|fc_norm)/", path):
            layer = depth.get(tower, 0) + 1
        else:
            layer = 0
        scales[path] = decay ** (depth.get(tower, 0) + 1 - layer)
    return scales


def learning_rate(peak: float, config: ConfigDict, num_steps: int) -> optax.Schedule:
    """Learning-rate schedule: linear warm-up to `peak`, then constant or cosine decay.

    The cosine reaches zero after `cosine_runs` times `num_steps`.
    """
    if config.schedule == "constant":
        after = optax.constant_schedule(peak)
    elif config.schedule == "cosine":
        decay = max(1, round(num_steps * config.cosine_runs) - config.warmup_steps)
        after = optax.cosine_decay_schedule(peak, decay)
    else:
        raise ValueError(
            f"config.optim.schedule is {config.schedule!r}; valid: {', '.join(SCHEDULES)}"
        )
    if not config.warmup_steps:
        return after
    warmup = optax.linear_schedule(0.0, peak, config.warmup_steps)
    return optax.join_schedules([warmup, after], [config.warmup_steps])


def _is_kernel(path: str, leaf: jax.Array | jax.ShapeDtypeStruct) -> bool:
    """Whether a parameter is a kernel or an embedding, not a bias, norm or temperature."""
    return leaf.ndim > 1 and not path.endswith("bias")


def trained_paths(
    groups: Mapping[str, Mapping], params: Mapping[str, jax.ShapeDtypeStruct]
) -> frozenset[str]:
    """Paths of the parameters whose group has a learning rate above 0; the others are frozen."""
    return frozenset(path for path in params if groups[group_of(path, groups)]["lr"] > 0)


def make_optimizer(
    config: ConfigDict, params: Mapping[str, jax.ShapeDtypeStruct], num_steps: int
) -> tuple[optax.GradientTransformation, dict[str, optax.Schedule]]:
    """Builds the optimizer of a run.

    Args:
      config: the `optim` section: groups {name: {match, lr, layer_decay=1}}, schedule,
        warmup_steps, cosine_runs, b1, b2, eps, weight_decay, decayed, clip_norm (0 = off).
      params: {path: shape and dtype}.
      num_steps: number of training steps, for the schedule.

    Returns:
      The transformation and {trained group: schedule}. A group with lr 0 is frozen: it has no
      optimizer state, and its gradients do not count towards the clipping norm.
    """
    groups = {name: config.groups[name] for name in config.groups}
    _check_groups(groups)
    labels = {path: group_of(path, groups) for path in params}
    schedules = {
        name: learning_rate(group["lr"], config, num_steps)
        for name, group in groups.items()
        if group["lr"] > 0 and name in labels.values()
    }
    if not schedules:
        raise ValueError(
            "every group of config.optim.groups has lr 0, so there is nothing to train; set one "
            "above 0"
        )
    scales = layer_scales(groups, params)
    transforms = {
        name: _adam(config, schedules[name], scales if _layer_decay(group) != 1 else None)
        if name in schedules
        else optax.set_to_zero()
        for name, group in groups.items()
    }
    optimizer = optax.partition(transforms, labels)
    if config.clip_norm:
        trained = trained_paths(groups, params)
        mask = {path: path in trained for path in params}
        clip = optax.masked(optax.clip_by_global_norm(config.clip_norm), mask)
        optimizer = optax.chain(clip, optimizer)
    return optimizer, schedules


def _check_groups(groups: Mapping[str, Mapping]) -> None:
    """Raises a ValueError that names groups with an invalid lr or layer_decay, including NaN."""
    wrong = [f"{name}={group['lr']}" for name, group in groups.items() if not group["lr"] >= 0]
    if wrong:
        raise ValueError(f"lr of config.optim.groups must be 0 or above: {', '.join(wrong)}")
    decays = {name: _layer_decay(group) for name, group in groups.items()}
    wrong = [f"{name}={decay}" for name, decay in decays.items() if not 0 < decay <= 1]
    if wrong:
        raise ValueError(
            f"layer_decay of config.optim.groups must be above 0 and at most 1: {', '.join(wrong)}"
        )


def _adam(
    config: ConfigDict, schedule: optax.Schedule, scales: Mapping[str, float] | None
) -> optax.GradientTransformation:
    """Adam with decoupled weight decay; `scales`: {path: learning-rate factor}, None: all 1."""

    def each(change: Callable) -> Callable:
        """Applies `change(path, leaf)` to the leaves of a group; other groups are masked."""
        return lambda tree: {
            path: leaf if isinstance(leaf, optax.MaskedNode) else change(path, leaf)
            for path, leaf in tree.items()
        }

    transforms = [optax.scale_by_adam(config.b1, config.b2, config.eps)]
    decayed = each(_is_kernel if config.decayed == "kernels" else lambda path, leaf: True)
    transforms.append(
        optax.add_decayed_weights(config.weight_decay, mask=decayed)
        if config.weight_decay
        else optax.identity()
    )
    transforms.append(optax.scale_by_learning_rate(schedule))
    if scales is None:
        transforms.append(optax.identity())
    else:
        scaled = each(lambda path, update: update * scales[path])
        transforms.append(optax.stateless(lambda updates, params: scaled(updates)))
    return optax.chain(*transforms)
