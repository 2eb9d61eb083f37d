"""Converts joints to motion patches (Motion Patches, §3.2) by one matrix product."""

import functools
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from motionalign.skeleton import Skeleton

if TYPE_CHECKING:
    import jax

Array = TypeVar("Array", np.ndarray, "jax.Array")


@functools.cache
def resampling_matrix(skeleton: Skeleton, patch_size: int) -> np.ndarray:
    """Weights [5 * patch_size, J] that place `patch_size` points along each kinematic chain.

    Interpolates linearly between the chain's joints, with half-pixel centres and clamped edges. The
    published code resizes every chain of every frame with OpenCV's INTER_LINEAR, to the same
    effect. The weights depend on the skeleton and the patch size only.
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
    """Resampling matrix for all three coordinates at once, [J * 3, 5 * patch_size * 3]."""
    # Contiguous: the product takes a third longer with the transposed view.
    return np.ascontiguousarray(np.kron(resampling_matrix(skeleton, patch_size), np.eye(3)).T)


def motion_patches(
    joints: Array,
    skeleton: Skeleton,
    mean: "np.ndarray | jax.Array",
    std: "np.ndarray | jax.Array",
    patch_size: int = 16,
) -> Array:
    """Z-scores joint positions and places points along the five body parts.

    NumPy arrays stay in NumPy (data preparation); JAX arrays stay on their device and may be
    traced.

    Args:
      joints: [..., J, 3] positions, in the units of `mean` and `std`.
      skeleton: its chains define the body parts.
      mean: [J, 3] over the training set, per joint and coordinate.
      std: [J, 3] over the training set, all positive.
      patch_size: N, points per body part.

    Returns:
      [..., 5 * N, 3]: N points for each body part of each frame, in the dtype of `joints` (float32
      for integers).
    """
    array: Any = joints
    if array.shape[-2:] != (skeleton.num_joints, 3):
        raise ValueError(
            f"joints have shape {tuple(array.shape)}; skeleton {skeleton.name!r} needs "
            f"[..., {skeleton.num_joints}, 3]"
        )
    if array.dtype.kind in "iu":  # e.g. whole millimetres, whose z-scores are not integers
        array = array.astype(np.float32)
    *lead, num_joints, _ = array.shape
    matrix = _coordinate_matrix(skeleton, patch_size)
    if isinstance(array, np.ndarray):
        # Computed in float64, returned in the caller's dtype: millimetres matter at ten metres.
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
        precision=jax.lax.Precision.HIGHEST,  # accelerators otherwise round to 8-11 bits
    )
    return out.reshape(*lead, 5 * patch_size, 3)
