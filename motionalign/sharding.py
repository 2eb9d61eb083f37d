"""The device mesh, and which parameter is split along which axis.

Parameters are a flat dict {path: array}; rules are regexes over the paths. An optimizer keeps its
moments under the path of their parameter, so that the same rules lay out its state.
"""

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from absl import logging
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

# Attention heads and the width of the MLPs are split along `model`; everything else is replicated.
RULES = (
    (r"/(query|key|value)/kernel$", P(None, "model", None)),  # [D, H, D/H]
    (r"/(query|key|value)/bias$", P("model", None)),
    (r"/out/kernel$", P("model", None, None)),  # [H, D/H, D]
    (r"/up/kernel$", P(None, "model")),  # [D, F]
    (r"/up/bias$", P("model")),
    (r"/down/kernel$", P("model", None)),  # [F, D]
)


def make_mesh(data: int = -1, model: int = 1) -> Mesh:
    """A (data, model) mesh over all devices of all processes; -1 takes what is left."""
    devices = jax.device_count()
    if data == -1 and model > 0:
        data = devices // model
    if data < 1 or model < 1 or data * model != devices:
        raise ValueError(
            f"config.mesh.data={data} × config.mesh.model={model} must equal the "
            f"{devices} devices present (data=-1 takes what is left)"
        )
    return mesh_of(jax.devices(), data, model)


def mesh_of(devices: Sequence[jax.Device], data: int, model: int) -> Mesh:
    """A (data, model) mesh over these devices, shardings inside programs left to the compiler."""
    types = (AxisType.Auto, AxisType.Auto)
    return jax.make_mesh((data, model), ("data", "model"), types, devices=devices)


def describe(mesh: Mesh) -> str:
    """The devices of a mesh in words: `8 × NVIDIA H100 80GB HBM3 (data 4 × model 2)`."""
    kinds = Counter(device.device_kind for device in mesh.devices.flat)
    words = ", ".join(f"{count} × {kind}" for kind, count in kinds.items())
    return f"{words} (data {mesh.shape['data']} × model {mesh.shape['model']})"


def spec_for(path: str, shape: tuple[int, ...], mesh: Mesh) -> P:
    """The PartitionSpec of the array at `path`: the first rule that matches, else replicated.

    A dimension that the mesh does not divide (three heads over two devices) stays whole.
    """
    for pattern, spec in RULES:
        if re.search(pattern, path) and len(spec) == len(shape):
            uneven = any(
                axis is not None and size % mesh.shape[axis] for axis, size in zip(spec, shape)
            )
            if uneven:
                logging.info("%s %s does not divide over %s: replicated", path, shape, mesh.shape)
                return P()
            return spec
    return P()


def _path(keys: Sequence[Any]) -> str:
    return "/".join(str(getattr(k, "key", getattr(k, "name", getattr(k, "idx", k)))) for k in keys)


def tree_shardings(tree: Any, mesh: Mesh) -> Any:
    """A NamedSharding for every leaf of `tree` (arrays or shapes), by its path."""
    return jax.tree_util.tree_map_with_path(
        lambda keys, leaf: NamedSharding(mesh, spec_for(_path(keys), leaf.shape, mesh)), tree
    )


def abstract(tree: Any, mesh: Mesh) -> Any:
    """The leaves of `tree` (arrays or shapes) as jax.ShapeDtypeStructs in their shardings."""
    return jax.tree.map(
        lambda leaf, layout: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=layout),
        tree,
        tree_shardings(tree, mesh),
    )


def batch_sharding(mesh: Mesh) -> NamedSharding:
    """The layout of a batch: its rows split over the data axis."""
    return NamedSharding(mesh, P("data"))


def local_rows(mesh: Mesh, batch_size: int) -> np.ndarray:
    """Rows of a global batch that this process's devices hold, ascending.

    They follow from the devices' places on the data axis, not from the process's number: where the
    model axis spans processes, several hold the same rows.
    """
    held = batch_sharding(mesh).addressable_devices_indices_map((batch_size,))
    return np.unique(np.concatenate([np.arange(batch_size)[index] for index in held.values()]))


def put_local(batch: dict[str, np.ndarray], batch_size: int, mesh: Mesh) -> dict[str, jax.Array]:
    """Global arrays [batch_size, ...] from each process's `local_rows` of a batch."""
    sharding = batch_sharding(mesh)
    rows = local_rows(mesh, batch_size)

    def put(own: np.ndarray) -> jax.Array:
        def of_device(index: tuple[slice, ...] | None) -> np.ndarray:
            assert index is not None  # of an array with rows
            first, last, _ = index[0].indices(batch_size)
            start = np.searchsorted(rows, first)
            return own[start : start + last - first]

        return jax.make_array_from_callback((batch_size, *own.shape[1:]), sharding, of_device)

    return {name: put(own) for name, own in batch.items()}


def put_global(array: np.ndarray, sharding: NamedSharding) -> jax.Array:
    """A global array from one that every process holds whole."""
    return jax.make_array_from_callback(array.shape, sharding, lambda index: array[index])


def check_batch_size(field: str, batch_size: int, mesh: Mesh) -> None:
    """A ValueError where the data axis does not divide the batch size of this config field."""
    size = mesh.shape["data"]
    if batch_size % size:
        raise ValueError(
            f"config.{field}={batch_size} does not divide over the data axis of {size} devices; "
            "choose a multiple or set config.mesh"
        )
