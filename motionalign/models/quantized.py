"""Frozen kernels in 8 or 4 bits, dequantised where they are used.

`int8`: integers from -127 to 127 and one scale per output, 8 bits a parameter. `nf4`: the 4-bit
NormalFloat of QLoRA (Dettmers et al., NeurIPS 2023), whose 16 levels are quantiles of a normal
distribution, with one scale per block of 64 inputs of an output, 4.25 bits a parameter. (The paper
quantises the scales a second time, for 4.127 bits; bfloat16 scales are ours, and simpler.)

Kernels are quantised on the host, one at a time, as they are read; the whole model is never in
memory as floats.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
from jax.typing import ArrayLike, DTypeLike

from motionalign.models import layers

KINDS = ("int8", "nf4")

BLOCK = 64  # inputs that share a scale in NF4, the paper's block size

NF4 = np.array(
    [
        *(-1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453),
        *(-0.28444138169288635, -0.18477343022823334, -0.09105003625154495, 0.0),
        *(0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224),
        *(0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0),
    ],
    np.float32,
)
"""The levels of NF4, ascending (QLoRA, appendix E)."""


class Quantized(NamedTuple):
    """A quantised kernel; the dtype of its codes tells the kind.

    Attributes:
      codes: int8 [in, out] of int8; uint8 [in / 2, out] of NF4, input i in the lower four bits of
        row i, and input in / 2 + i in the upper ones.
      scales: float32 [1, out] of int8; bfloat16 [ceil(in / 64), out] of NF4.
    """

    codes: np.ndarray
    scales: np.ndarray


def abstract(
    inputs: int, outputs: int, kind: str
) -> tuple[jax.ShapeDtypeStruct, jax.ShapeDtypeStruct]:
    """Shapes and dtypes of the codes and scales of an [inputs, outputs] kernel.

    Raises:
      ValueError: `kind` is not of `KINDS`, or NF4 cannot pack an odd number of inputs.
    """
    layers.check_choice(kind, KINDS, "the dtype of quantised kernels")
    if kind == "int8":
        return (
            jax.ShapeDtypeStruct((inputs, outputs), jnp.int8),
            jax.ShapeDtypeStruct((1, outputs), jnp.float32),
        )
    if inputs % 2:
        raise ValueError(
            f"a kernel of {inputs} x {outputs} cannot be stored as nf4, which needs an even number "
            "of inputs: choose int8 or bfloat16"
        )
    return (
        jax.ShapeDtypeStruct((inputs // 2, outputs), jnp.uint8),
        jax.ShapeDtypeStruct((-(-inputs // BLOCK), outputs), jnp.bfloat16),
    )


def float_shape(codes: tuple[int, ...], dtype: DTypeLike) -> tuple[int, ...]:
    """The shape [in, out] of a kernel, from shape and dtype of its codes."""
    return (codes[0] * 2, codes[1]) if dtype == jnp.uint8 else codes


def quantize(kernel: np.ndarray, kind: str) -> Quantized:
    """Quantises a kernel [in, out] on the host; the largest value of every block is representable.

    Raises:
      ValueError: a value is NaN or infinite, or as in `abstract`.
    """
    codes, scales = abstract(*kernel.shape, kind)
    kernel = np.asarray(kernel, np.float32)
    if kind == "int8":
        largest = np.abs(kernel).max(axis=0, keepdims=True, initial=0.0)
        _check_finite(largest)
        scale = (largest / np.float32(127)).astype(np.float32)
        by = np.where(scale > 0, scale, np.float32(1))
        return Quantized(np.clip(np.rint(kernel / by), -127, 127).astype(np.int8), scale)
    rows, width = scales.shape
    padded = np.zeros((rows * BLOCK, width), np.float32)
    padded[: len(kernel)] = kernel
    blocks = padded.reshape(rows, BLOCK, width)
    scale = _rounded_up(np.abs(blocks).max(axis=1))
    _check_finite(scale)
    by = scale.astype(np.float32)[:, None]
    blocks = blocks / np.where(by > 0, by, np.float32(1))
    found = np.zeros(blocks.shape, np.uint8)
    for edge in (NF4[1:] + NF4[:-1]) / 2:  # 8 times faster than a binary search
        found += blocks > edge
    found = found.reshape(-1, width)[: len(kernel)]
    low, high = np.split(found, 2)
    packed = low | high << 4
    assert packed.shape == codes.shape, (packed.shape, codes.shape)
    return Quantized(packed, scale)


def _rounded_up(x: np.ndarray) -> np.ndarray:
    """The smallest bfloat16 numbers that are not below positive `x`."""
    rounded = x.astype(ml_dtypes.bfloat16)
    up = np.nextafter(rounded, np.array(np.inf, ml_dtypes.bfloat16))
    return np.where(rounded.astype(np.float32) < x, up, rounded)


def _check_finite(largest: np.ndarray) -> None:
    if not np.isfinite(largest.astype(np.float32)).all():
        raise ValueError("it has values that are NaN or infinite")


def dequantize(codes: ArrayLike, scales: ArrayLike) -> jax.Array:
    """The kernel [in, out] float32 of codes and scales; traceable."""
    codes, scales = jnp.asarray(codes), jnp.asarray(scales).astype(jnp.float32)
    if codes.dtype == jnp.int8:
        return codes.astype(jnp.float32) * scales
    assert codes.dtype == jnp.uint8, codes.dtype
    codes = codes.astype(jnp.int32)
    levels = jnp.concatenate([_levels(codes), _levels(codes >> 4)])
    return levels * jnp.repeat(scales, BLOCK, axis=0)[: len(levels)]


def _levels(codes: jax.Array) -> jax.Array:
    """The level of NF4 for the lower four bits of each code.

    Selections bit by bit: a look-up in a table would move six times as much memory on a TPU.
    """
    levels = [jnp.float32(level) for level in NF4]
    for bit in range(4):
        one = (codes >> bit) & 1 == 1
        pairs = zip(levels[0::2], levels[1::2], strict=True)
        levels = [jnp.where(one, second, first) for first, second in pairs]
    return levels[0]


@jax.custom_vjp
def product(x: jax.Array, codes: jax.Array, scales: jax.Array) -> jax.Array:
    """`x` [..., in] times the kernel, in the dtype of `x`; differentiable by `x` alone.

    A kernel is dequantised just before each of its products, those of gradients too: a training
    step would otherwise keep the floats of every kernel from the forward to the backward pass, or
    compute all of them at its start, as the compiler for GPUs does.
    """
    x, codes, scales = jax.lax.optimization_barrier((x, codes, scales))
    if codes.dtype != jnp.int8:
        return layers.matmul(x, dequantize(codes, scales).astype(x.dtype))
    # Scaling the outputs is cheaper than scaling the kernel, and exact in bfloat16.
    y = layers.einsum_float32("...i,io->...o", x, codes.astype(x.dtype))
    return (y * scales).astype(x.dtype)


def _forward(
    x: jax.Array, codes: jax.Array, scales: jax.Array
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return product(x, codes, scales), (codes, scales)


def _backward(
    kernel: tuple[jax.Array, jax.Array], gradient: jax.Array
) -> tuple[jax.Array, None, None]:
    dtype = gradient.dtype
    gradient, codes, scales = jax.lax.optimization_barrier((gradient, *kernel))
    if codes.dtype == jnp.int8:
        gradient, floats = (gradient * scales).astype(dtype), codes.astype(dtype)
    else:
        floats = dequantize(codes, scales).astype(dtype)
    return layers.einsum("...o,io->...i", gradient, floats), None, None


product.defvjp(_forward, _backward)
