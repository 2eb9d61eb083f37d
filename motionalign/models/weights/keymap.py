"""Key maps: data that describe how the tensors of a source map to our parameters and back.

Each encoder's file defines its `KeyMap`. `match` applies it to the shapes of a source; `export`
applies the inverse. Every tensor of the source must be used or excused by name, every parameter
must be filled or declared fresh, and every shape is checked. One error reports the mismatches.
"""

import dataclasses
import itertools
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np

Shape = tuple[int, ...]

# ------------------------------------------------------------------------------ transforms


@dataclasses.dataclass(frozen=True)
class Transform:
    """Conversion of a tensor, or a part of one, to a parameter and back.

    Attributes:
      source_shape: function from the parameter's shape to that of the tensor (or part).
      apply: function from the tensor and the parameter's shape to the parameter's value.
      invert: function from the parameter's value and the tensor's shape to the tensor.
      part: (i, n): the parameter is the i-th of n equal parts of the tensor's first axis.
    """

    source_shape: Callable[[Shape], Shape]
    apply: Callable[[np.ndarray, Shape], np.ndarray]
    invert: Callable[[np.ndarray, Shape], np.ndarray]
    part: tuple[int, int] = (0, 1)

    def whole_shape(self, shape: Shape) -> Shape:
        """The shape of the complete source tensor for a parameter's shape."""
        first, *rest = self.source_shape(shape) or (None,)
        return () if first is None else (first * self.part[1], *rest)

    def of(self, tensor: np.ndarray, shape: Shape) -> np.ndarray:
        """Converts a complete source tensor to a parameter of this shape."""
        index, count = self.part
        return self.apply(tensor if count == 1 else np.split(tensor, count)[index], shape)


def _reshaping(
    source_shape: Callable[[Shape], Shape], apply: Callable[[np.ndarray, Shape], np.ndarray]
) -> Transform:
    """A transform that keeps all elements in order."""
    return Transform(source_shape, apply, lambda x, shape: x.reshape(shape))


SAME = _reshaping(lambda shape: shape, lambda x, shape: x)

TOKEN = _reshaping(lambda shape: (1, 1, *shape), lambda x, shape: x[0, 0])

BATCHED = _reshaping(lambda shape: (1, *shape), lambda x, shape: x[0])

LINEAR = Transform(lambda shape: shape[::-1], lambda x, shape: x.T, lambda x, shape: x.T)
"""[out, in] of a PyTorch Linear to [in, out]."""

HEADS_IN = Transform(
    lambda shape: (shape[1] * shape[2], shape[0]),
    lambda x, shape: x.T.reshape(shape),
    lambda x, shape: x.reshape(shape[::-1]).T,
)
"""[H * hd, D] to [D, H, hd]."""

HEADS_BIAS = _reshaping(lambda shape: (math.prod(shape),), lambda x, shape: x.reshape(shape))
"""[H * hd] to [H, hd]."""

HEADS_OUT = Transform(
    lambda shape: (shape[2], shape[0] * shape[1]),
    lambda x, shape: x.T.reshape(shape),
    lambda x, shape: x.reshape(shape[::-1]).T,
)
"""[D, H * hd] to [H, hd, D]."""

PATCHES = Transform(
    lambda shape: (shape[1], 3, math.isqrt(shape[0] // 3), math.isqrt(shape[0] // 3)),
    lambda x, shape: x.transpose(2, 3, 1, 0).reshape(shape),
    lambda x, shape: x.reshape(*shape[2:], 3, shape[0]).transpose(3, 2, 0, 1),
)
"""[D, 3, N, N] of a Conv2d to [N * N * 3, D], in the order frame, point, coordinate."""

PATCHES_JAX = _reshaping(
    lambda shape: (math.isqrt(shape[0] // 3), math.isqrt(shape[0] // 3), 3, shape[1]),
    lambda x, shape: x.reshape(shape),
)
"""[N, N, 3, D] of a JAX convolution to [N * N * 3, D]."""


def positions(
    source_grid: tuple[int, int], grid: tuple[int, int], lead: tuple[int, ...] = (1,)
) -> Transform:
    """Position table [*lead, 1 + rows * columns, D] to [1 + rows * columns of `grid`, D].

    The first position is that of the class token. The inverse requires equal grids.
    """
    return _reshaping(
        lambda shape: (*lead, 1 + math.prod(source_grid), shape[1]),
        lambda x, shape: resize_positions(x.reshape(-1, shape[1]), source_grid, grid),
    )


def resize_positions(x: np.ndarray, source: tuple[int, int], grid: tuple[int, int]) -> np.ndarray:
    """Resizes position embeddings as timm does, bicubic with antialiasing, in float32.

    Args:
      x: [1 + rows * columns, D]: the class token's position, which is kept, then a row-major grid.
      source: (rows, columns) of `x`.
      grid: (rows, columns) of the result.

    Returns:
      [1 + rows * columns of `grid`, D].
    """
    if source == grid:
        return x
    width = x.shape[-1]
    image = jnp.asarray(x[1:], jnp.float32).reshape(*source, width)
    # JAX uses the same cubic (a = -0.5) and the same widened kernel as PyTorch with antialias.
    image = jax.image.resize(image, (*grid, width), "bicubic", antialias=True)
    return np.concatenate([x[:1], np.asarray(image).reshape(-1, width)])


# ---------------------------------------------------------------------------------- key maps

LISTED = 10  # mismatches that an error lists

FINAL_NORM = ("fresh", "load")  # with mean pooling, for a norm trained on the class token

Rule = tuple[str, str, Transform]

"""(regex of the source's key, our path with its groups as \\1 .. \\9, transform)."""


@dataclasses.dataclass(frozen=True)
class KeyMap:
    """Mapping from a source's tensors to the parameters of an encoder.

    Attributes:
      prefix: regex. Models saved with a task head have the base model's name in front of the base
        model's keys; this prefix is removed from the keys that start with it.
      rules: every rule whose regex matches the complete key applies; a fused tensor needs several.
      excused: regexes for source keys that no parameter needs.
      fresh: regexes for parameters that keep their initial value.
      copies: (regex of a source key, our path): a tensor that no rule uses must be a copy of the
        one that fills the parameter, such as an output layer that is tied to the embeddings.
    """

    prefix: str
    rules: tuple[Rule, ...]
    excused: tuple[str, ...] = ()
    fresh: tuple[str, ...] = ()
    copies: tuple[tuple[str, str], ...] = ()

    def within(self, source: str, path: str) -> "KeyMap":
        """Nests the map: keys get the prefix regex `source`, parameters the prefix `path`."""
        assert "(" not in source.replace("(?:", ""), source  # groups are counted from the left
        return KeyMap(
            prefix="",
            rules=tuple((source + regex, path + target, t) for regex, target, t in self.rules),
            excused=tuple(source + regex for regex in self.excused),
            fresh=tuple(path + regex for regex in self.fresh),
            copies=tuple((source + regex, path + target) for regex, target in self.copies),
        )

    def __or__(self, other: "KeyMap") -> "KeyMap":
        """Joins the rules of two maps, for one source that holds several towers."""
        assert not self.prefix and not other.prefix
        return KeyMap(
            prefix="",
            rules=self.rules + other.rules,
            excused=self.excused + other.excused,
            fresh=self.fresh + other.fresh,
            copies=self.copies + other.copies,
        )


def linear(key: str, path: str) -> tuple[Rule, ...]:
    """Rules for a PyTorch Linear."""
    return (
        (key + r"\.weight", path + "/kernel", LINEAR),
        (key + r"\.bias", path + "/bias", SAME),
    )


def norm(key: str, path: str) -> tuple[Rule, ...]:
    """Rules for a LayerNorm; files converted from TensorFlow use the names gamma and beta."""
    return (
        (key + r"\.(?:weight|gamma)", path + "/scale", SAME),
        (key + r"\.(?:bias|beta)", path + "/bias", SAME),
    )


def heads_in(key: str, path: str) -> tuple[Rule, ...]:
    """Rules for a Linear whose outputs are attention heads (query, key or value)."""
    return (
        (key + r"\.weight", path + "/kernel", HEADS_IN),
        (key + r"\.bias", path + "/bias", HEADS_BIAS),
    )


def heads_fused(key: str, weight: str, bias: str, path: str) -> tuple[Rule, ...]:
    """Rules for one fused Linear that computes query, key and value, in that order."""
    return tuple(
        rule
        for i, name in enumerate(("query", "key", "value"))
        for rule in (
            (key + weight, f"{path}/{name}/kernel", dataclasses.replace(HEADS_IN, part=(i, 3))),
            (key + bias, f"{path}/{name}/bias", dataclasses.replace(HEADS_BIAS, part=(i, 3))),
        )
    )


def heads_out(key: str, path: str) -> tuple[Rule, ...]:
    """Rules for a Linear whose inputs are attention heads."""
    return (
        (key + r"\.weight", path + "/kernel", HEADS_OUT),
        (key + r"\.bias", path + "/bias", SAME),
    )


def match(
    source: Mapping[str, Shape], parameters: Mapping[str, Shape], key_map: KeyMap
) -> dict[str, tuple[str, Transform]]:
    """Finds the source tensor and the transform for every parameter.

    Args:
      source: shapes of the source's tensors by key.
      parameters: shapes of the parameters by '/'-joined path.
      key_map: the rules.

    Returns:
      {path: (source key, transform)}.

    Raises:
      ValueError: lists unused tensors, parameters that are not filled or filled twice, and wrong
        shapes, and says how many there are.
    """

    def without_prefix(name: str) -> str:
        return re.sub(f"^(?:{key_map.prefix})", "", name)

    def targets_of(name: str) -> list[tuple[str, Transform]]:
        found = _targets(without_prefix(name), key_map.rules)
        return [(path, transform) for path, transform in found if path in parameters]

    plan: dict[str, tuple[str, Transform]] = {}
    problems = []
    names = unwrapped(source, known=lambda name: bool(targets_of(name)))
    excused = (*key_map.excused, *(regex for regex, _ in key_map.copies))
    for key, shape in source.items():
        name = without_prefix(names[key])
        targets = targets_of(names[key])
        if not targets and not any(re.fullmatch(regex, name) for regex in excused):
            problems.append(f"unexpected  {key} {list(shape)}")
        for path, transform in targets:
            expected = transform.whole_shape(parameters[path])
            if shape != expected:
                problems.append(
                    f"wrong shape {key} {list(shape)}, expected {list(expected)} "
                    f"for {path} {list(parameters[path])}"
                )
            if path in plan:
                problems.append(f"duplicate   {plan[path][0]} and {key} both fill {path}")
            plan[path] = (key, transform)
    for path, shape in parameters.items():
        if path not in plan and not any(re.fullmatch(regex, path) for regex in key_map.fresh):
            problems.append(f"missing     nothing fills {path} {list(shape)}")
    if problems:
        raise ValueError("\n  ".join([f"{len(problems)} mismatches:", *some_of(problems)]))
    return plan


def copied(
    source: Iterable[str], plan: Mapping[str, tuple[str, Transform]], key_map: KeyMap
) -> dict[str, str]:
    """{key: key of the tensor that it must equal} of the tensors that `copies` excuses.

    Args:
      source: the source's keys.
      plan: what `match` has found for them.
      key_map: the rules.
    """
    unused = set(source) - {key for key, _ in plan.values()}
    return {
        key: plan[path][0]
        for key in sorted(unused)
        for regex, path in key_map.copies
        if path in plan and re.fullmatch(rf"(?:.*\.)?{regex}", key)  # after a wrapper's name
    }


def some_of(problems: Sequence[str]) -> list[str]:
    """The lines for a long list of problems: at most ten of them, and how many more there are.

    They are taken in turn from each kind of problem, which is its first word.
    """
    if len(problems) <= LISTED:
        return list(problems)
    kinds: dict[str, list[int]] = {}
    for i, problem in enumerate(problems):
        kinds.setdefault(problem.partition(" ")[0], []).append(i)
    in_turn = [i for turn in itertools.zip_longest(*kinds.values()) for i in turn if i is not None]
    shown = [problems[i] for i in sorted(in_turn[:LISTED])]
    return [*shown, f"... and {len(problems) - LISTED} more"]


def unwrapped(keys: Iterable[str], known: Callable[[str], bool] | None = None) -> dict[str, str]:
    """The names of tensors without what wrappers of the model have put in front of them.

    `torch.compile` adds `_orig_mod.` to the names of what it compiles. DataParallel adds `module.`
    to all names, Lightning and other trainers the name of an attribute, such as `model.`; such a
    first part of the name is removed, again and again, if all names have it.

    Args:
      keys: all keys of a file.
      known: whether a name is one of the model's own. As soon as any is, no more is removed; if
        none ever is, names stay as they are. None: no own name of the model is like a wrapper's,
        so that everything in front that all names share is removed.

    Returns:
      {key: name}.

    Raises:
      ValueError: the same name occurs with and without `_orig_mod.`.
    """
    keys = list(keys)
    names = [re.sub(r"(^|\.)(?:_orig_mod\.)+", r"\1", key) for key in keys]
    by_name: dict[str, str] = {}
    for key, name in zip(keys, names):
        if name in by_name:
            raise ValueError(
                f"{by_name[name]} and {key} are two tensors of the same name {name}: keep one of "
                "them in the file"
            )
        by_name[name] = key
    rest = names
    while known is None or not any(map(known, rest)):
        if not all("." in name for name in rest) or len({n.partition(".")[0] for n in rest}) != 1:
            rest = rest if known is None else names
            break
        rest = [name.partition(".")[2] for name in rest]
    return dict(zip(keys, rest, strict=True))


def _targets(name: str, rules: tuple[Rule, ...]) -> list[tuple[str, Transform]]:
    """(our path, transform) for every rule that matches a source's key."""
    found = ((re.fullmatch(regex, name), path, t) for regex, path, t in rules)
    return [(match.expand(path), transform) for match, path, transform in found if match]


def source_key(path: str, rule: Rule) -> str | None:
    """Inverts a rule: the key from which it fills `path`, or None if it does not."""
    regex, template, _ = rule
    groups = re.findall(r"\((?!\?)([^()]*)\)", regex)
    pattern = re.sub(r"\\(\d)", lambda m: f"(?P<g{m[1]}>{groups[int(m[1]) - 1]})", template)
    found = re.fullmatch(pattern, path)
    if found is None:
        return None
    values = (found[f"g{i + 1}"] for i in range(len(groups)))
    key = re.sub(r"\((?!\?)[^()]*\)", lambda _: next(values), regex)
    # The first of several alternatives.
    key = re.sub(r"\(\?:([^()|]*)[^()]*\)\??|\[(.)[^\]]*\]", lambda m: m[1] or m[2] or "", key)
    return key.replace("\\.", ".")


def export(
    params: Mapping[str, np.ndarray], key_map: KeyMap, keys: Iterable[str] | None = None
) -> dict[str, np.ndarray]:
    """Inverse of `load.load_weights`: converts parameters to the source's tensors.

    Args:
      params: values by path; all must be mapped, except those of `key_map.fresh`.
      key_map: as for loading; its prefix is not written.
      keys: keys of the source to write, in this order; by default those that the rules give.

    Returns:
      {key: tensor} in the parameters' dtype.

    Raises:
      ValueError: the source's format has no name for some parameters.
    """
    parts: dict[str, dict[str, Transform]] = {}  # key -> {path: transform}
    if keys is None:
        keys = dict.fromkeys(
            key
            for path in params
            for rule in key_map.rules
            if (key := source_key(path, rule)) is not None
        )
    for key in keys:
        parts[key] = {p: t for p, t in _targets(key, key_map.rules) if p in params}
    placed = {path for targets in parts.values() for path in targets}
    lost = [
        path
        for path in params
        if path not in placed and not any(re.fullmatch(regex, path) for regex in key_map.fresh)
    ]
    if lost:
        raise ValueError(f"this format has no name for {', '.join(some_of(lost))}")
    tensors = {}
    for key, targets in parts.items():
        pieces = [
            transform.invert(np.asarray(params[path]), transform.source_shape(params[path].shape))
            for path, transform in sorted(targets.items(), key=lambda item: item[1].part)
        ]
        if pieces:
            tensors[key] = np.ascontiguousarray(
                pieces[0] if len(pieces) == 1 else np.concatenate(pieces)
            )
    return tensors
