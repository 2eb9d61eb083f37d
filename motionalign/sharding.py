"""The device mesh and the sharding of arrays over it.

Parameters are a flat dict {path: array}; the rules are regexes over the paths. The optimizer stores
its moments under the path of their parameter, so the same rules shard its state.
"""

import math
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from absl import logging
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

# Attention heads, the hidden width of MLPs and the vocabulary of language models are split along
# `model`; the rest is replicated. A matrix of language models joins the heads with their width: the
# number of heads should be a multiple of the model axis, since a head that is split costs further
# communication (its numbers stay the same).
RULES = (
    (r"/(query|key|value)/kernel$", P(None, "model", None)),  # [D, H, D/H]
    (r"/(query|key|value)/bias$", P("model", None)),
    (r"/out/kernel$", P("model", None, None)),  # [H, D/H, D]
    (r"/up/kernel$", P(None, "model")),  # [D, F]
    (r"/up/bias$", P("model")),
    (r"/down/kernel$", P("model", None)),  # [F, D]
    # Language models: the same division, of matrices and their adapters. What a block adds to the
    # hidden states is a sum over devices, two for each block (Shoeybi et al., 2019, Megatron-LM).
    (r"/(query|key|value|gate)/(kernel|kernel_scale|lora_b)$", P(None, "model")),  # [D or r, H d]
    (r"/up/(kernel_scale|lora_b)$", P(None, "model")),
    (r"/(query|key|value|gate)/bias$", P("model")),
    (r"/attention/out/(kernel|kernel_scale|lora_a)$", P("model", None)),  # [H d, D or r]
    (r"/down/(kernel_scale|lora_a)$", P("model", None)),
    # By words, not by width: hidden states that are looked up in slices of the width stay sliced,
    # and every layer gathers them.
    (r"(^|/)embed/embedding$", P("model", None)),  # [V, D]
    (r"(^|/)head/kernel$", P(None, "model")),  # [D, V]
)


def make_mesh(data: int = -1, model: int = 1, over: Sequence[jax.Device] | None = None) -> Mesh:
    """A (data, model) mesh.

    Args:
      data: size of the data axis; -1: all remaining devices.
      model: size of the model axis.
      over: the devices; None: all of all processes.

    Raises:
      ValueError: the sizes do not fit the number of devices.
    """
    over = jax.devices() if over is None else over
    devices = len(over)
    if data == -1 and model > 0:
        if devices % model:
            valid = [str(n) for n in range(1, devices + 1) if devices % n == 0]
            raise ValueError(
                f"config.mesh.model={model} must divide the number of available devices, {devices}:"
                f" set it to {' or '.join(valid)}"
            )
        data = devices // model
    if data < 1 or model < 1 or data * model != devices:
        raise ValueError(
            f"config.mesh.data={data} × config.mesh.model={model} must equal the "
            f"{devices} available devices (data=-1 uses all remaining devices)"
        )
    return mesh_of(over, data, model)


def mesh_of(devices: Sequence[jax.Device], data: int, model: int) -> Mesh:
    """A (data, model) mesh over these devices; the compiler chooses shardings inside programs."""
    types = (AxisType.Auto, AxisType.Auto)
    return jax.make_mesh((data, model), ("data", "model"), types, devices=devices)


def programs_can_be_stored() -> bool:
    """Whether JAX's persistent cache may be used for compiled programs; False: several CPU devices.

    In the CPU programs of jaxlib 0.10, devices exchange data one collective operation at a time, in
    the order of the program. A program that is read back from the cache has lost a part of this
    order: each nested sequence (a branch of `lax.cond`, the body of a loop) is restored with a
    communicator of its own, so its collectives run at the same time as those beside it.

    A process that reads the program back then exchanges other data than one that has compiled it.
    Gloo matches messages by their order alone: if two that meet differ in size, both processes
    abort ("op.preamble.length <= op.nbytes. 16 vs 8", exit status 134). Several devices of one
    process abort or wait for ever, or go on with wrong numbers in silence. All of this depends on
    the load of the machine. Programs for one device have no collectives; those of GPUs and TPUs are
    of another kind, which stays in the cache.
    """
    return jax.default_backend() != "cpu" or jax.device_count() == 1


def describe(mesh: Mesh) -> str:
    """Describes a mesh, such as `8 × NVIDIA H100 80GB HBM3 (data 4 × model 2)`."""
    kinds = Counter(device.device_kind for device in mesh.devices.flat)
    words = ", ".join(f"{count} × {kind}" for kind, count in kinds.items())
    return f"{words} (data {mesh.shape['data']} × model {mesh.shape['model']})"


def spec_for(path: str, shape: tuple[int, ...], mesh: Mesh) -> P:
    """The PartitionSpec of the array at `path`: that of the first matching rule, else replicated.

    An array with a dimension that the mesh does not divide (three heads over two devices) is
    replicated.
    """
    for pattern, spec in RULES:
        if re.search(pattern, path) and len(spec) == len(shape):
            uneven = any(
                axis is not None and size % mesh.shape[axis] for axis, size in zip(spec, shape)
            )
            if uneven:
                logging.info("%s %s is not divisible over %s: replicated", path, shape, mesh.shape)
                return P()
            return spec
    return P()


def _path(keys: Sequence[Any]) -> str:
    return "/".join(str(getattr(k, "key", getattr(k, "name", getattr(k, "idx", k)))) for k in keys)


def tree_shardings(tree: Any, mesh: Mesh) -> Any:
    """A tree of NamedShardings for the leaves of `tree` (arrays or shapes), by their paths."""
    return jax.tree_util.tree_map_with_path(
        lambda keys, leaf: NamedSharding(mesh, spec_for(_path(keys), leaf.shape, mesh)), tree
    )


def abstract(tree: Any, mesh: Mesh) -> Any:
    """The leaves of `tree` (arrays or shapes) as jax.ShapeDtypeStructs with their shardings."""
    return jax.tree.map(
        lambda leaf, layout: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=layout),
        tree,
        tree_shardings(tree, mesh),
    )


def bytes_of(tree: Any) -> tuple[int, int]:
    """Bytes of arrays, or shapes with shardings: all of them once, and what one device holds."""
    total = device = 0
    for leaf in jax.tree.leaves(tree):
        own = leaf.sharding.shard_shape(leaf.shape)
        total += math.prod(leaf.shape) * leaf.dtype.itemsize
        device += math.prod(own) * leaf.dtype.itemsize
    return total, device


def batch_sharding(mesh: Mesh) -> NamedSharding:
    """The sharding of a batch: rows are split over the data axis."""
    return NamedSharding(mesh, P("data"))


def local_rows(mesh: Mesh, batch_size: int) -> np.ndarray:
    """The rows of a global batch that this process's devices hold, in ascending order.

    They follow from the devices' positions on the data axis, not from the process index: if the
    model axis spans processes, several processes hold the same rows.
    """
    held = batch_sharding(mesh).addressable_devices_indices_map((batch_size,))
    return np.unique(np.concatenate([np.arange(batch_size)[index] for index in held.values()]))


def put_local(batch: dict[str, np.ndarray], batch_size: int, mesh: Mesh) -> dict[str, jax.Array]:
    """Assembles global arrays [batch_size, ...] from each process's `local_rows` of a batch."""
    sharding = batch_sharding(mesh)
    rows = local_rows(mesh, batch_size)

    def put(own: np.ndarray) -> jax.Array:
        def of_device(index: tuple[slice, ...] | None) -> np.ndarray:
            assert index is not None  # the array has rows
            first, last, _ = index[0].indices(batch_size)
            start = np.searchsorted(rows, first)
            return own[start : start + last - first]

        return jax.make_array_from_callback((batch_size, *own.shape[1:]), sharding, of_device)

    return {name: put(own) for name, own in batch.items()}


def put_global(array: np.ndarray, sharding: NamedSharding) -> jax.Array:
    """Makes a global array from an array that every process holds completely."""
    return jax.make_array_from_callback(array.shape, sharding, lambda index: array[index])


def check_batch_size(field: str, batch_size: int, mesh: Mesh) -> None:
    """Raises a ValueError if the data axis does not divide the batch size of this config field."""
    size = mesh.shape["data"]
    if batch_size % size:
        raise ValueError(
            f"config.{field}={batch_size} is not a multiple of the {size} devices on the data "
            "axis; choose a multiple or set config.mesh"
        )
