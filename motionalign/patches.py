"""Joints to motion patches (Motion Patches, §3.2), as one matrix product."""

import functools
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from motionalign.skeleton import Skeleton

if TYPE_CHECKING:
    import jax

Array = TypeVar("Array", np.ndarray, "jax.Array")


@functools.cache
def resampling_matrix(skeleton: Skeleton, patch_size: int) -> np.ndarray:
    """Weights [5 * patch_size, J] that lay `patch_size` points along each kinematic chain.

    Linear interpolation between the chain's joints with half-pixel centres and edge clamp: what
    OpenCV's INTER_LINEAR does when it resizes a row of pixels, which the published code calls for
    every chain of every frame. The weights depend on nothing but the skeleton.
    """
    rows = []
    for chain in skeleton.chains:
        joints = len(chain)
        position = (np.arange(patch_size) + 0.5) * joints / patch_size - 0.5
        position = np.clip(position, 0, joints - 1)
        left = np.minimum(np.floor(position).astype(int), joints - 2)
        fraction = position - left
        weights = np.zeros((patch_size, skeleton.num_joints))
        np.add.at(weights, (np.arange(patch_size), np.take(chain, left)), 1 - fraction)
        np.add.at(weights, (np.arange(patch_size), np.take(chain, left + 1)), fraction)
        rows.append(weights)
    return np.concatenate(rows)


@functools.cache
def _coordinate_matrix(skeleton: Skeleton, patch_size: int) -> np.ndarray:
    """The resampling of all three coordinates at once, [J * 3, 5 * patch_size * 3]."""
    # Row-major: the product takes a third longer with the transposed view.
    return np.ascontiguousarray(np.kron(resampling_matrix(skeleton, patch_size), np.eye(3)).T)


def motion_patches(
    joints: Array,
    skeleton: Skeleton,
    mean: "np.ndarray | jax.Array",
    std: "np.ndarray | jax.Array",
    patch_size: int = 16,
) -> Array:
    """Z-scores joint positions and lays points along the five body parts.

    NumPy arrays stay NumPy (data preparation); JAX arrays stay on their device and may be traced.

    Args:
      joints: [..., J, 3] positions, in the units of `mean` and `std`.
      skeleton: whose chains say which joints form a body part.
      mean: [J, 3] over the training set, per joint and coordinate.
      std: [J, 3] likewise, all positive.
      patch_size: N, points per body part.

    Returns:
      [..., 5 * N, 3]: for each frame, N points for each body part, in the dtype of `joints`
      (float32 where they are whole numbers).
    """
    array: Any = joints
    if array.shape[-2:] != (skeleton.num_joints, 3):
        raise ValueError(
            f"joints have shape {tuple(array.shape)}; skeleton {skeleton.name!r} needs "
            f"[..., {skeleton.num_joints}, 3]"
        )
    if array.dtype.kind in "iu":  # whole millimetres, say: their z-scores are no whole numbers
        array = array.astype(np.float32)
    *lead, num_joints, _ = array.shape
    matrix = _coordinate_matrix(skeleton, patch_size)
    if isinstance(array, np.ndarray):
        # In double precision, stored in the caller's: millimetres at ten metres still count.
        normalised = np.subtract(array, mean, dtype=np.float64)
        normalised /= std
        points: Any = normalised.reshape(*lead, num_joints * 3) @ matrix
        return points.reshape(*lead, 5 * patch_size, 3).astype(array.dtype)

    import jax
    import jax.numpy as jnp

    normalised = (array - jnp.asarray(mean, array.dtype)) / jnp.asarray(std, array.dtype)
    out: Any = jnp.matmul(
        normalised.reshape(*lead, num_joints * 3),
        jnp.asarray(matrix, array.dtype),
        precision=jax.lax.Precision.HIGHEST,  # accelerators would otherwise round to 8-11 bits
    )
    return out.reshape(*lead, 5 * patch_size, 3)
