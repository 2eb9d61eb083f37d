"""Pretrained weights in, strictly: key maps as data, one loader, sources local or on the Hub.

Each family's file states how a source's tensors become ours as a `KeyMap`; `load` applies it.
Every tensor of the source is used or excused by name, every parameter is filled or named as
deliberately fresh, and every shape is checked, before anything is read; all that does not fit is
reported in one error.
"""

import dataclasses
import json
import math
import pathlib
import re
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

Shape = tuple[int, ...]

# ------------------------------------------------------------------------------ transforms


@dataclasses.dataclass(frozen=True)
class Transform:
    """How one tensor becomes one parameter.

    source_shape: the shape that the source must have, from the parameter's.
    apply: the tensor and the parameter's shape to the parameter's value.
    """

    source_shape: Callable[[Shape], Shape]
    apply: Callable[[np.ndarray, Shape], np.ndarray]


SAME = Transform(lambda shape: shape, lambda x, shape: x)
TOKEN = Transform(lambda shape: (1, 1, *shape), lambda x, shape: x[0, 0])
LINEAR = Transform(lambda shape: shape[::-1], lambda x, shape: x.T)
"""[out, in] of PyTorch's Linear to [in, out]."""
HEADS_IN = Transform(
    lambda shape: (shape[1] * shape[2], shape[0]), lambda x, shape: x.T.reshape(shape)
)
"""[H * hd, D] to [D, H, hd]."""
HEADS_BIAS = Transform(lambda shape: (math.prod(shape),), lambda x, shape: x.reshape(shape))
"""[H * hd] to [H, hd]."""
HEADS_OUT = Transform(
    lambda shape: (shape[2], shape[0] * shape[1]), lambda x, shape: x.T.reshape(shape)
)
"""[D, H * hd] to [H, hd, D]."""
PATCHES = Transform(
    lambda shape: (shape[1], 3, math.isqrt(shape[0] // 3), math.isqrt(shape[0] // 3)),
    lambda x, shape: x.transpose(2, 3, 1, 0).reshape(shape),
)
"""[D, 3, N, N] of a Conv2d to [N * N * 3, D], ordered frame, point, coordinate."""


def positions(source_grid: tuple[int, int], grid: tuple[int, int]) -> Transform:
    """[1, 1 + rows * columns, D] to [1 + rows * columns of ours, D], the class token's first."""
    return Transform(
        lambda shape: (1, 1 + math.prod(source_grid), shape[1]),
        lambda x, shape: resize_positions(x[0], source_grid, grid),
    )


def resize_positions(x: np.ndarray, source: tuple[int, int], grid: tuple[int, int]) -> np.ndarray:
    """Resizes position embeddings as timm does, bicubic with antialiasing, in float32.

    Args:
      x: [1 + rows * columns, D]: a class token's, which is kept, then a row-major grid's.
      source: its (rows, columns).
      grid: the (rows, columns) to make.

    Returns:
      [1 + rows * columns of `grid`, D].
    """
    if source == grid:
        return x
    width = x.shape[-1]
    image = jnp.asarray(x[1:], jnp.float32).reshape(*source, width)
    # By default the same cubic (a = -0.5) and the same widened kernel as PyTorch's antialias.
    image = jax.image.resize(image, (*grid, width), "bicubic", antialias=True)
    return np.concatenate([x[:1], np.asarray(image).reshape(-1, width)])


# ---------------------------------------------------------------------------------- key maps

Rule = tuple[str, str, Transform]
"""(regex of the source's key, our path with its groups as \\1 .. \\9, transform)."""


@dataclasses.dataclass(frozen=True)
class KeyMap:
    """How a source's tensors become the parameters of a tower.

    prefix: models saved with a task head carry their base model's name in front of the base
      model's keys: where any key starts with it, it is taken off those that do.
    rules: the first rule whose regex matches a whole key decides.
    excused: regexes of source keys that no parameter needs.
    fresh: regexes of parameters that keep their initial value.
    """

    prefix: str
    rules: tuple[Rule, ...]
    excused: tuple[str, ...] = ()
    fresh: tuple[str, ...] = ()


def linear(key: str, path: str) -> tuple[Rule, ...]:
    """A PyTorch Linear to ours."""
    return (
        (key + r"\.weight", path + "/kernel", LINEAR),
        (key + r"\.bias", path + "/bias", SAME),
    )


def norm(key: str, path: str) -> tuple[Rule, ...]:
    """A LayerNorm to ours; files converted from TensorFlow say gamma and beta."""
    return (
        (key + r"\.(?:weight|gamma)", path + "/scale", SAME),
        (key + r"\.(?:bias|beta)", path + "/bias", SAME),
    )


def heads_in(key: str, path: str) -> tuple[Rule, ...]:
    """A Linear whose outputs are attention heads (query, key or value)."""
    return (
        (key + r"\.weight", path + "/kernel", HEADS_IN),
        (key + r"\.bias", path + "/bias", HEADS_BIAS),
    )


def heads_out(key: str, path: str) -> tuple[Rule, ...]:
    """A Linear whose inputs are attention heads."""
    return (
        (key + r"\.weight", path + "/kernel", HEADS_OUT),
        (key + r"\.bias", path + "/bias", SAME),
    )


def match(
    source: Mapping[str, Shape], parameters: Mapping[str, Shape], key_map: KeyMap
) -> dict[str, tuple[str, Transform]]:
    """Which source tensor fills which parameter, and how.

    Args:
      source: shapes of the source's tensors by key.
      parameters: shapes of the parameters by '/'-joined path.
      key_map: the rules.

    Returns:
      {path: (source key, transform)}.

    Raises:
      ValueError: for anything unused, unfilled, filled twice or of the wrong shape; all at once.
    """
    plan: dict[str, tuple[str, Transform]] = {}
    problems = []
    for key, shape in source.items():
        name = key.removeprefix(key_map.prefix)
        path, transform = _target(name, key_map.rules)
        if path is None or path not in parameters:
            if not any(re.fullmatch(regex, name) for regex in key_map.excused):
                problems.append(f"unexpected  {key} {list(shape)}")
            continue
        expected = transform.source_shape(parameters[path])
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
        raise ValueError("\n  ".join([f"{len(problems)} mismatches:", *problems]))
    return plan


def _target(name: str, rules: tuple[Rule, ...]) -> tuple[str | None, Transform]:
    for regex, template, transform in rules:
        if found := re.fullmatch(regex, name):
            return found.expand(template), transform
    return None, SAME


# ----------------------------------------------------------------------------------- sources


class Source:
    """A pretrained model's files: a local folder, or a Hub id `owner/name[@revision]`."""

    def __init__(self, name: str):
        self.name = str(name)
        folder = pathlib.Path(self.name).expanduser()
        self.folder = folder if self.name and folder.is_dir() else None
        if self.folder is None and not re.fullmatch(r"[\w.-]+(/[\w.-]+)?(@[\w./-]+)?", self.name):
            raise ValueError(
                f"{self.name!r} is neither a folder that exists nor a Hub id "
                "(owner/name or owner/name@revision)"
            )

    def file(self, name: str) -> pathlib.Path | None:
        """Path of one of the source's files, downloaded if need be; None if it has no such file."""
        if self.folder is not None:
            path = self.folder / name
            return path if path.is_file() else None
        # Imported here: reading a local folder needs neither the package nor its start-up time.
        import huggingface_hub
        from huggingface_hub import errors

        repo, _, revision = self.name.partition("@")
        try:
            return pathlib.Path(
                huggingface_hub.hf_hub_download(repo, name, revision=revision or None)
            )
        except errors.LocalEntryNotFoundError as error:  # no network, or offline mode
            raise self._unreachable(error) from error
        except errors.EntryNotFoundError:
            return None
        except (errors.HfHubHTTPError, errors.OfflineModeIsEnabled, OSError) as error:
            raise self._unreachable(error) from error

    def _unreachable(self, error: Exception) -> ValueError:
        reason = str(error).strip().split("\n")[0]
        return ValueError(
            f"{self.name} is neither a local folder nor to be had from the Hugging Face Hub "
            f"({reason}). Without the Hub: put config.json, model.safetensors (or "
            "model.safetensors.index.json with its shards) and, for a text encoder, "
            f"tokenizer.json of https://huggingface.co/{self.name.partition('@')[0]} into a "
            "folder and name that folder instead"
        )

    def require(self, name: str) -> pathlib.Path:
        """Like `file`, but a ValueError if there is none."""
        path = self.file(name)
        if path is None:
            raise ValueError(f"{self.name} has no {name}")
        return path

    def config(self) -> dict[str, Any]:
        """What config.json says."""
        return json.loads(self.require("config.json").read_text())

    def weights(self) -> list[pathlib.Path]:
        """The safetensors files: `model.safetensors`, or the shards that its index names."""
        unreachable = None
        for name in ("model.safetensors", "model.safetensors.index.json"):
            try:
                path = self.file(name)
            except ValueError as error:  # offline, a sharded model's cache has the second only
                unreachable = unreachable or error
                continue
            if path is not None and name.endswith(".json"):
                shards = sorted(set(json.loads(path.read_text())["weight_map"].values()))
                return [self.require(shard) for shard in shards]
            if path is not None:
                return [path]
        if unreachable is not None:
            raise unreachable
        raise ValueError(
            f"{self.name} has neither model.safetensors nor model.safetensors.index.json; "
            "weights are read in Hugging Face's safetensors layout only"
        )


def check_model_type(source: Mapping[str, Any], expected: str) -> None:
    """Raises a ValueError unless the source's config.json is that of an `expected` model."""
    found = source.get("model_type")
    if found != expected:
        raise ValueError(f"config.json has model_type {found!r}; expected {expected!r}")


# ------------------------------------------------------------------------------------ loading


def parameter_path(key_path) -> str:
    """'/'-joined path of a leaf from its JAX key path, in an NNX state or its pure dict."""
    names = [
        str(getattr(entry, "key", getattr(entry, "idx", getattr(entry, "name", None))))
        for entry in key_path
    ]
    if isinstance(key_path[-1], jax.tree_util.GetAttrKey):  # the value of an nnx.Param
        names.pop()
    return "/".join(names)


def load(params, source: Source, key_map: KeyMap, under: str = ""):
    """Fills the parameters below a path with a source's tensors.

    Args:
      params: a pytree of parameters (an NNX state or a nested dict) of arrays, or of
        `jax.ShapeDtypeStruct`, whose dtype and sharding the new values get.
      source: where the weights come from.
      key_map: how its tensors become ours.
      under: '/'-joined path of the tower; "" for all of `params`.

    Returns:
      `params` with new leaves.

    Raises:
      ValueError: with everything that does not fit, or if a file is damaged.
    """
    from safetensors import SafetensorError, safe_open

    leaves, treedef = jax.tree_util.tree_flatten_with_path(params)
    under = f"{under}/" if under else ""
    ours = {  # path in the tower -> index of the leaf
        path.removeprefix(under): i
        for i, (key_path, _) in enumerate(leaves)
        if (path := parameter_path(key_path)).startswith(under)
    }
    values = [leaf for _, leaf in leaves]
    files = {}  # key -> open file
    for path in source.weights():
        try:
            file = safe_open(path, "numpy")
        except SafetensorError as error:
            raise ValueError(f"{path} is not a whole safetensors file: {error}") from error
        files |= dict.fromkeys(file.keys(), file)
    shapes = {key: tuple(file.get_slice(key).get_shape()) for key, file in files.items()}
    try:
        plan = match(shapes, {path: values[i].shape for path, i in ours.items()}, key_map)
    except ValueError as error:
        raise ValueError(f"weights of {source.name} do not fit the model: {error}") from None
    for path, (key, transform) in plan.items():
        leaf = values[ours[path]]
        values[ours[path]] = _place(transform.apply(files[key].get_tensor(key), leaf.shape), leaf)
    return jax.tree_util.tree_unflatten(treedef, values)


def _place(value: np.ndarray, like) -> jax.Array:
    assert value.shape == like.shape, (value.shape, like.shape)
    value = value.astype(like.dtype)
    sharding = getattr(like, "sharding", None)
    if sharding is None:
        return jnp.asarray(value)
    # Each device gets its slice only, and it works across hosts.
    return jax.make_array_from_callback(value.shape, sharding, lambda index: value[index])
