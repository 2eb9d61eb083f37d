"""Layers and functions that the encoders share."""

import contextlib
import contextvars
import dataclasses
import functools
import importlib.util
import math
import re
import typing
from collections.abc import Callable, Collection, Generator, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Self

import jax
import jax.numpy as jnp
from flax import nnx
from jax.ad_checkpoint import checkpoint_name
from jax.typing import DTypeLike

from motionalign import reading

Shape = tuple[int, ...]

MOST_LAYERS = 1000


class Encoded(NamedTuple):
    """Output of an encoder.

    Attributes:
      tokens: [B, N, D] in the compute dtype, after the final norm of the published model, if it
        has one. None if `tokens=False` skips their computation; an encoder whose pooling reads all
        tokens returns them even then.
      mask: [B, N] bool, True at the tokens that hold input; the values of the others are undefined.
      pooled: [B, D] in the compute dtype, the input of the heads.
    """

    tokens: jax.Array | None
    mask: jax.Array
    pooled: jax.Array


def gelu(x: jax.Array) -> jax.Array:
    """Exact GELU with erf, always in float32 (erfc, as in `jax.nn.gelu`, is 3 times slower)."""
    y = x.astype(jnp.float32)
    return (0.5 * y * (1.0 + jax.lax.erf(y * 0.5**0.5))).astype(x.dtype)


ACTIVATIONS = {  # named as in Hugging Face configs
    "gelu": gelu,
    "gelu_new": functools.partial(jax.nn.gelu, approximate=True),  # tanh
    "gelu_pytorch_tanh": functools.partial(jax.nn.gelu, approximate=True),
    "quick_gelu": lambda x: x * jax.nn.sigmoid(1.702 * x),
    "relu": jax.nn.relu,
}

published = nnx.initializers.normal(0.02)
"""Initializer of weights and embeddings in ViT, BERT and DistilBERT.

ViT's truncated normal is cut at an absolute +-2, a hundred standard deviations from the mean, so it
is a normal distribution. (JAX's `truncated_normal` cuts at two standard deviations, which is a
different distribution.)
"""


def torch_linear(fan_in: int) -> nnx.Initializer:
    """PyTorch's default for the weights and biases of Linear and Conv2d: U(+-1/sqrt(fan_in))."""
    bound = fan_in**-0.5

    def init(key: jax.Array, shape: Shape, dtype: DTypeLike = jnp.float32) -> jax.Array:
        return jax.random.uniform(key, shape, dtype, -bound, bound)

    return init


def xavier(fan_in: int, fan_out: int) -> nnx.Initializer:
    """PyTorch's `xavier_uniform_`: U(+-sqrt(6 / (fan_in + fan_out)))."""
    bound = math.sqrt(6 / (fan_in + fan_out))

    def init(key: jax.Array, shape: Shape, dtype: DTypeLike = jnp.float32) -> jax.Array:
        return jax.random.uniform(key, shape, dtype, -bound, bound)

    return init


def repeat(depth: int, make: Callable[[nnx.Rngs], nnx.Module], rngs: nnx.Rngs) -> nnx.List:
    """Makes `depth` modules of one kind whose initial values are drawn together.

    Compiling the random draws one by one takes longer than the first training step of a small
    model.
    """
    graphdef: Any = None  # the same for all modules

    def draw(key: jax.Array) -> nnx.State:
        nonlocal graphdef
        graphdef, state = nnx.split(make(nnx.Rngs(params=key)), graph=False)
        return state

    drawn = jax.vmap(draw)(jax.random.split(rngs.params(), depth))
    # Without the barrier, XLA fuses the draws with the parts that modules get: ViT-B's and
    # DistilBERT's then compile for an H100 in 87 seconds instead of 6.
    drawn = jax.tree.map(jax.lax.optimization_barrier, drawn)
    return nnx.List(
        [nnx.merge(graphdef, jax.tree.map(lambda x, i=i: x[i], drawn)) for i in range(depth)]
    )


@dataclasses.dataclass(frozen=True)
class Config:
    """A frozen dataclass that converts to plain JSON types and strictly back."""

    def to_dict(self) -> dict[str, Any]:
        """{field: value}, nested configs as dicts."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Builds a config; unknown or missing field names raise a ValueError."""
        fields = {field.name: field for field in dataclasses.fields(cls)}
        reading.check_form(values, dict, cls.__name__)
        check_keys(values, fields, cls.__name__)
        missing = [
            name
            for name, field in fields.items()
            if name not in values and field.default is dataclasses.MISSING
        ]
        if missing:
            raise ValueError(f"{cls.__name__} lacks {', '.join(missing)}")
        check_types(cls, values)
        return cls(**values)


def check_keys(given: Iterable[str], valid: Collection[Any], what: str) -> None:
    """Raises a ValueError if `given` has names that are not in `valid`; it lists both."""
    unknown = sorted(set(given) - set(valid))
    if unknown:
        raise ValueError(
            f"{what} has no field {', '.join(map(repr, unknown))}; valid: {', '.join(valid)}"
        )


def check_types(config: type["Config"], values: Mapping[str, Any]) -> None:
    """Raises a ValueError if the value of a config's field is not of the field's type."""
    hints = typing.get_type_hints(config)
    for name, value in values.items():
        reading.check_form(value, hints[name], f"{config.__name__}.{name}")


def check_choice(value: Any, valid: Collection[Any], what: str) -> None:
    """Raises a ValueError that lists `valid` if `value` is not in it."""
    if isinstance(value, list | dict) or value not in valid:  # JSON's lists have no hash
        raise ValueError(f"{what} is {value!r}; valid: {', '.join(map(repr, valid))}")


def check_transformer(config: Any) -> None:
    """Checks a transformer's config: types, sizes, heads that divide the width, activation."""
    name = type(config).__name__
    check_types(type(config), vars(config))
    for field, hint in typing.get_type_hints(type(config)).items():
        value, most = getattr(config, field), MOST_LAYERS if field == "depth" else 2**31
        if hint is int and not 1 <= value <= most:
            raise ValueError(f"{name}.{field} is {value}; it must be at least 1, at most {most}")
        if "dropout" in field and not 0 <= value <= 1:
            raise ValueError(f"{name}.{field} is {value}; it must be from 0 to 1")
    if config.width % config.heads:
        raise ValueError(
            f"{name}: {config.heads} heads do not evenly divide the width {config.width}"
        )
    check_choice(config.activation, ACTIVATIONS, f"{name}.activation")


def _rounded(spec: str, x: jax.Array, y: jax.Array) -> jax.Array:
    """`jnp.einsum` of two arrays of one dtype, accumulated in float32 and rounded to that dtype.

    Accelerators accumulate in float32 in any case and write the rounded result; asked for float32,
    a GPU writes twice as much and rounds in a further kernel. On a CPU with bfloat16 instructions,
    XLA uses them only for results in float32, which are then about twice as fast as others.
    """
    if x.dtype == jnp.float32:
        return jnp.einsum(spec, x, y)

    def on_cpu(x: jax.Array, y: jax.Array) -> jax.Array:
        return jnp.einsum(spec, x, y, preferred_element_type=jnp.float32).astype(x.dtype)

    return jax.lax.platform_dependent(x, y, cpu=on_cpu, default=functools.partial(jnp.einsum, spec))


def _forward(
    product: Callable, spec: str, x: jax.Array, y: jax.Array
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    assert x.dtype == y.dtype, (x.dtype, y.dtype)
    return product(spec, x, y), (x, y)


def _backward(
    spec: str, arrays: tuple[jax.Array, jax.Array], gradient: jax.Array
) -> tuple[jax.Array, jax.Array]:
    x, y = arrays
    first, second, result = re.split(",|->", spec)
    gradient = gradient.astype(x.dtype)
    return (
        _rounded(f"{result},{second}->{first}", gradient, y),
        _rounded(f"{first},{result}->{second}", x, gradient),
    )


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def einsum(spec: str, x: jax.Array, y: jax.Array) -> jax.Array:
    """`jnp.einsum` of two arrays of one dtype, with the result and gradients in it.

    Sums are accumulated in float32 on every backend, those of the gradients too.

    Args:
      spec: as of `jnp.einsum`; no index occurs in one array alone or twice in an array, and one
        that both arrays and the result have is at the front (XLA has no other batched products of
        bfloat16 on a CPU, as of JAX 0.10).
      x, y: the arrays.
    """
    return _rounded(spec, x, y)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def einsum_float32(spec: str, x: jax.Array, y: jax.Array) -> jax.Array:
    """`einsum` with a float32 result, and gradients in the dtype of the arrays.

    With `preferred_element_type` alone, the gradient of bfloat16 arrays is a product of float32
    arrays, for which the other array is converted: half a gigabyte for the output layer of
    LLaMA-2-7B, and half the speed on a GPU.
    """
    return jnp.einsum(spec, x, y, preferred_element_type=jnp.float32)


einsum.defvjp(functools.partial(_forward, einsum), _backward)
einsum_float32.defvjp(functools.partial(_forward, einsum_float32), _backward)


def matmul(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """`x` [..., I] times a kernel [I, O]; see `einsum`."""
    return einsum("...i,io->...o", x, kernel)


def dropout(x: jax.Array, rate: float, rngs: nnx.Rngs | None) -> jax.Array:
    """Inverted dropout with probability `rate`; the identity if `rngs` is None (evaluation)."""
    if rngs is None or rate == 0.0:
        return x
    keep = jax.random.bernoulli(rngs.dropout(), 1.0 - rate, x.shape)
    return jnp.where(keep, x / (1.0 - rate), jnp.zeros_like(x))


def matrix(x: jax.Array) -> jax.Array:
    """[..., D] as rows [N, D].

    Whatever is computed between products, sums of a residual stream too, is computed on matrices:
    with three axes, XLA's compiler for GPUs may keep batch or tokens innermost in all blocks, and
    transposes before and after every product.
    """
    return x.reshape(-1, x.shape[-1])


@jax.custom_vjp
def add_bias(x: jax.Array, bias: jax.Array) -> jax.Array:
    """`x` plus a float32 bias that is broadcast to it, in the dtype of `x`.

    The bias's gradient is summed in float32.
    """
    return x + bias.astype(x.dtype)


def _add_bias_backward(bias: jax.Array, gradient: jax.Array) -> tuple[jax.Array, jax.Array]:
    lead = gradient.ndim - bias.ndim
    shared = [lead + axis for axis, size in enumerate(bias.shape) if size == 1]
    summed = jnp.sum(gradient, (*range(lead), *shared), jnp.float32)
    return gradient, summed.reshape(bias.shape)


add_bias.defvjp(lambda x, bias: (add_bias(x, bias), bias), _add_bias_backward)


@functools.partial(jax.custom_vjp, nondiff_argnums=(3, 4))
def normalised(
    x: jax.Array, scale: jax.Array, bias: jax.Array, eps: float, dtype: DTypeLike
) -> jax.Array:
    """LayerNorm in float32 of the rows of `x` [N, D].

    The backward pass keeps `x` and two numbers a row. What JAX derives keeps several float32 arrays
    of the size of `x`, and writes as many.
    """
    return _normalise(x, scale, bias, eps, dtype)[0]


def _normalise(
    x: jax.Array, scale: jax.Array, bias: jax.Array, eps: float, dtype: DTypeLike
) -> tuple[jax.Array, tuple[jax.Array, ...]]:
    centred = x.astype(jnp.float32)
    mean = centred.mean(axis=-1, keepdims=True)
    centred = centred - mean
    factor = jax.lax.rsqrt(jnp.mean(centred * centred, axis=-1, keepdims=True) + eps)
    # Without the barrier, compilers compute both again from `x` wherever they are used.
    kept = (x, *jax.lax.optimization_barrier((mean, factor)), scale)
    return (centred * factor * scale + bias).astype(dtype), kept


def _normalise_backward(
    eps: float, dtype: DTypeLike, kept: tuple[jax.Array, ...], gradient: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    x, mean, factor, scale = kept
    gradient = gradient.astype(jnp.float32)
    unit = (x.astype(jnp.float32) - mean) * factor
    scaled = gradient * scale
    along = jnp.mean(scaled * unit, axis=-1, keepdims=True)
    towards = factor * (scaled - scaled.mean(axis=-1, keepdims=True) - unit * along)
    return towards.astype(x.dtype), jnp.sum(gradient * unit, 0), jnp.sum(gradient, 0)


normalised.defvjp(_normalise, _normalise_backward)


class LayerNorm(nnx.Module):
    """LayerNorm in float32 that computes the variance from centred values, as PyTorch does.

    Equals `nnx.LayerNorm(use_fast_variance=False)`, in an order of operations that XLA fuses on a
    CPU.
    """

    def __init__(self, width: int, eps: float, dtype: DTypeLike) -> None:
        """Initializes scale to 1 and bias to 0, both [width]; `dtype` is the output dtype."""
        self.scale = nnx.Param(jnp.ones((width,)))
        self.bias = nnx.Param(jnp.zeros((width,)))
        self.eps = eps
        self.dtype = dtype

    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps [..., D] to [..., D] in the output dtype."""
        out = normalised(matrix(x), self.scale[...], self.bias[...], self.eps, self.dtype)
        return out.reshape(x.shape)


PRODUCT = "product"
"""Name of the outputs of dense layers and of fused attention, for `rematerialised`."""


class Dense(nnx.Module):
    """Affine map over one or more trailing axes; attention kernels have an axis for heads.

    Computed as one product of 2-D matrices, which is faster on a CPU than contracting 3-D arrays.
    Only on TPUs do attention's products keep an axis for heads (`heads`, `joined`): the compiler
    otherwise copies their results once more, a tenth of a training step by its own estimate.
    """

    def __init__(
        self,
        inputs: Shape,
        outputs: Shape,
        dtype: DTypeLike,
        rngs: nnx.Rngs,
        kernel_init: nnx.Initializer = published,
        bias_init: nnx.Initializer = nnx.initializers.zeros,
    ) -> None:
        """Initializes a kernel [*inputs, *outputs] and a bias [*outputs]; computes in `dtype`."""
        self.kernel = nnx.Param(kernel_init(rngs.params(), (*inputs, *outputs)))
        self.bias = nnx.Param(bias_init(rngs.params(), outputs))
        self.inputs, self.outputs = inputs, outputs
        self.dtype = dtype

    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps [..., *inputs] to [..., *outputs] in the compute dtype."""
        lead = x.shape[: x.ndim - len(self.inputs)]
        kernel = self.kernel[...].astype(self.dtype)
        kernel = kernel.reshape(math.prod(self.inputs), math.prod(self.outputs))
        y = einsum("ni,io->no", x.astype(self.dtype).reshape(-1, kernel.shape[0]), kernel)
        y = checkpoint_name(add_bias(y, self.bias[...].reshape(-1)), PRODUCT)
        return y.reshape(*lead, *self.outputs)

    def heads(self, x: jax.Array) -> jax.Array:
        """Maps tokens [B, N, D] to [B, H, N, K], for a layer with outputs (H, K)."""

        def at_once(x: jax.Array) -> jax.Array:
            kernel, bias = self.kernel[...].astype(self.dtype), self.bias[...][:, None]
            y = einsum("bnd,dhk->bhnk", x.astype(self.dtype), kernel)
            return checkpoint_name(add_bias(y, bias), PRODUCT)

        return jax.lax.platform_dependent(x, tpu=at_once, default=lambda x: self(x).swapaxes(1, 2))

    def joined(self, x: jax.Array) -> jax.Array:
        """Maps [B, H, N, K] to tokens [B, N, D], for a layer with inputs (H, K)."""

        def at_once(x: jax.Array) -> jax.Array:
            kernel = self.kernel[...].astype(self.dtype)
            y = einsum("bhnk,hkd->bnd", x.astype(self.dtype), kernel)
            return checkpoint_name(add_bias(y, self.bias[...]), PRODUCT)

        return jax.lax.platform_dependent(x, tpu=at_once, default=lambda x: self(x.swapaxes(1, 2)))


def patch_tokens(patches: jax.Array, config: Any, dtype: DTypeLike) -> jax.Array:
    """Flattens motion patches [B, F, parts * N, 3] to tokens [B, F / N * parts, N * N * 3].

    Tokens are in row-major order: all parts of the first N frames, then of the next N. `config` has
    patch_size, parts, grid and padding (see `vit.ViTConfig`). Other shapes raise a ValueError.
    """
    batch, frames, points, _ = patches.shape
    n, (rows, parts) = config.patch_size, config.grid
    if points != parts * n or frames % n or frames > rows * n or not frames:
        raise ValueError(
            f"motion patches have {frames} frames x {points} points; this model takes "
            f"{parts * n} points and a multiple of {n} frames up to {rows * n}"
        )
    if config.padding == "attend" and frames != rows * n:
        raise ValueError(
            f"motion patches have {frames} frames; with padding='attend' every clip must be padded "
            f"to max_frames={rows * n} (padding='mask' accepts shorter batches)"
        )
    x = patches.astype(dtype).reshape(batch, frames // n, n, parts, n * 3)
    return x.transpose(0, 1, 3, 2, 4).reshape(batch, frames // n * parts, n * n * 3)


def patch_mask(config: Any, frames: int, num_frames: jax.Array | None) -> jax.Array | None:
    """Mask [B, F / N * parts] bool, True where a token holds a real frame; None if all count."""
    if config.padding == "attend":
        return None
    if num_frames is None:
        raise ValueError("padding='mask' needs num_frames, the number of real frames per clip")
    starts = jnp.arange(0, frames, config.patch_size)
    return jnp.repeat(starts < num_frames[:, None], config.parts, axis=1)


def attention_bias(mask: jax.Array | None) -> jax.Array | None:
    """Bias [B, 1, 1, N] float32 for attention logits, from a mask [B, N], True where attended to.

    Masked tokens get the lowest finite number instead of minus infinity, so that a row without any
    valid token gives a meaningless but finite result.
    """
    if mask is None:
        return None
    return jnp.where(mask, 0.0, jnp.finfo(jnp.float32).min)[:, None, None, :]


@functools.partial(jax.custom_vjp, nondiff_argnums=(1,))
def softmax(logits: jax.Array, scale: float, bias: jax.Array | None) -> jax.Array:
    """Attention weights: the softmax of logits * scale + bias over the last axis, in float32.

    The backward pass keeps nothing but the weights, in the dtype of the logits.

    Args:
      logits: [B, H, Q, N].
      scale: factor of the logits.
      bias: float32, of four axes, broadcast to the logits; or None.

    Returns:
      [B, H, Q, N] in the dtype of the logits.
    """
    scaled = logits.astype(jnp.float32) * scale
    if bias is not None:
        scaled = scaled + bias
    return jax.nn.softmax(scaled, axis=-1).astype(logits.dtype)


def _softmax_forward(
    logits: jax.Array, scale: float, bias: jax.Array | None
) -> tuple[jax.Array, tuple[jax.Array, jax.Array | None]]:
    weights = softmax(logits, scale, bias)
    return weights, (weights, bias)


def _softmax_backward(
    scale: float, kept: tuple[jax.Array, jax.Array | None], gradient: jax.Array
) -> tuple[jax.Array, jax.Array | None]:
    weights, bias = kept
    product = gradient.astype(jnp.float32) * weights.astype(jnp.float32)
    along = product.sum(axis=-1, keepdims=True)
    towards = product - weights.astype(jnp.float32) * along
    of_bias = None
    if bias is not None:
        shared = [axis for axis, size in enumerate(bias.shape) if size < towards.shape[axis]]
        of_bias = towards.sum(axis=shared, keepdims=True)
    return (towards * scale).astype(weights.dtype), of_bias


softmax.defvjp(_softmax_forward, _softmax_backward)


@functools.cache
def cudnn_takes(heads: int, width: int) -> bool:
    """Whether cuDNN's attention of heads of this width can be compiled, here or ahead of time."""
    if not any(importlib.util.find_spec(f"jax_cuda{n}_plugin") for n in (12, 13)):
        return False
    gpus = jax.local_devices() if jax.default_backend() == "gpu" else ()
    if any(float(getattr(gpu, "compute_capability", 0)) < 8.0 for gpu in gpus):
        return False  # before Ampere

    def attend(x: jax.Array) -> jax.Array:
        return jax.nn.dot_product_attention(x, x, x, implementation="cudnn").sum()

    try:
        jax.eval_shape(jax.grad(attend), jax.ShapeDtypeStruct((1, 2, heads, width), jnp.bfloat16))
    except (NotImplementedError, RuntimeError, ValueError):  # its width, or cuDNN is not there
        return False
    return True


class Attention(nnx.Module):
    """Multi-head attention; softmax in float32."""

    def __init__(
        self,
        width: int,
        heads: int,
        dropout_rate: float,
        dtype: DTypeLike,
        rngs: nnx.Rngs,
        in_init: nnx.Initializer = published,
        out_init: nnx.Initializer = published,
    ) -> None:
        """Initializes random parameters.

        Args:
          width: D, the width of the tokens; a multiple of `heads`.
          heads: number of heads, H.
          dropout_rate: dropout of the attention weights in training.
          dtype: compute dtype.
          rngs: stream `params`.
          in_init: initializer of the query, key and value kernels.
          out_init: initializer of the output kernel.
        """
        split = (heads, width // heads)
        self.query = Dense((width,), split, dtype, rngs, in_init)
        self.key = Dense((width,), split, dtype, rngs, in_init)
        self.value = Dense((width,), split, dtype, rngs, in_init)
        self.out = Dense(split, (width,), dtype, rngs, out_init)
        self.dropout_rate = dropout_rate

    def __call__(
        self,
        x: jax.Array,
        context: jax.Array,
        bias: jax.Array | None = None,
        rngs: nnx.Rngs | None = None,
    ) -> jax.Array:
        """Attends from each token of `x` to the tokens of `context`.

        Args:
          x: [B, Q, D].
          context: [B, N, D].
          bias: float32, broadcast to the logits [B, H, Q, N], or None.
          rngs: stream `dropout` drops attention weights; None in evaluation.

        Returns:
          [B, Q, D].
        """
        if self._fused(bias, rngs):
            both = (x,) if x is context else (x, context)
            attend = functools.partial(jax.lax.platform_dependent, cuda=self._by_cudnn)
            return checkpoint_name(attend(both, default=self._by_products), PRODUCT)
        return self._by_products((x, context), bias, rngs)

    def _by_products(
        self,
        both: tuple[jax.Array, ...],
        bias: jax.Array | None = None,
        rngs: nnx.Rngs | None = None,
    ) -> jax.Array:
        x, context = both[0], both[-1]
        # Heads before tokens: batched products of contiguous matrices, 1.6 times faster on a CPU.
        query, key, value = self.query.heads(x), self.key.heads(context), self.value.heads(context)
        logits = einsum("bhqk,bhnk->bhqn", query, key)
        weights = softmax(logits, query.shape[-1] ** -0.5, bias)
        weights = dropout(weights, self.dropout_rate, rngs)
        out = einsum("bhqn,bhnk->bhqk", weights, value)
        return self.out.joined(out)

    def _fused(self, bias: jax.Array | None, rngs: nnx.Rngs | None) -> bool:
        """Whether a fused kernel can compute this: in bfloat16, without bias or dropout."""
        if bias is not None or self.query.dtype != jnp.bfloat16:
            return False
        drops = rngs is not None and self.dropout_rate > 0
        return not drops and cudnn_takes(*self.query.outputs)

    def _by_cudnn(self, both: tuple[jax.Array, ...]) -> jax.Array:
        """With cuDNN's kernel, which takes even numbers of tokens: one is added where needed."""
        padded = [jnp.pad(each, ((0, 0), (0, each.shape[1] % 2), (0, 0))) for each in both]
        x, context = padded[0], padded[-1]
        # As different arrays: otherwise XLA merges the products into one, whose result is split and
        # whose gradient is put together in memory; and none adds its bias itself.
        x, keys, values = jax.lax.optimization_barrier((x, context, context))
        lengths = None
        if context.shape[1] > both[-1].shape[1]:
            lengths = jnp.full(x.shape[:1], both[-1].shape[1], jnp.int32)
        out = jax.nn.dot_product_attention(
            self.query(x), self.key(keys), self.value(values), key_value_seq_lengths=lengths,
            implementation="cudnn",
        )  # fmt: skip
        return self.out(out)[:, : both[0].shape[1]]


class MLP(nnx.Module):
    """Two linear layers with an activation in between."""

    def __init__(
        self,
        width: int,
        mlp_width: int,
        activation: str,
        dtype: DTypeLike,
        rngs: nnx.Rngs,
        inits: Callable[[int, int], tuple[nnx.Initializer, nnx.Initializer]] | None = None,
    ) -> None:
        """Initializes random parameters.

        Args:
          width: D, the width of input and output.
          mlp_width: width of the hidden layer.
          activation: a key of `ACTIVATIONS`.
          dtype: compute dtype.
          rngs: stream `params`.
          inits: function from a layer's (inputs, outputs) to the initializers of its kernel and
            bias; None: the defaults of `Dense`.
        """
        up = inits(width, mlp_width) if inits else ()
        down = inits(mlp_width, width) if inits else ()
        self.up = Dense((width,), (mlp_width,), dtype, rngs, *up)
        self.down = Dense((mlp_width,), (width,), dtype, rngs, *down)
        self.activation = activation

    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps [..., D] to [..., D]."""
        return self.down(ACTIVATIONS[self.activation](self.up(x)))


class PreNormBlock(nnx.Module):
    """Transformer block with LayerNorm before attention and MLP, as in ViT and CLIP."""

    def __init__(self, config: Any, dtype: DTypeLike, rngs: nnx.Rngs) -> None:
        """Initializes random parameters of the config's sizes; `dtype` is the compute dtype."""
        c = config
        self.attention_norm = LayerNorm(c.width, c.norm_eps, dtype)
        self.attention = Attention(c.width, c.heads, 0.0, dtype, rngs)
        self.mlp_norm = LayerNorm(c.width, c.norm_eps, dtype)
        self.mlp = MLP(c.width, c.mlp_width, c.activation, dtype, rngs)
        self.dropout = c.dropout

    def __call__(
        self,
        x: jax.Array,
        bias: jax.Array | None = None,
        rngs: nnx.Rngs | None = None,
        first: int | None = None,
    ) -> jax.Array:
        """Maps [B, N, D] to [B, N, D], or to its `first` tokens only: [B, first, D]."""
        rows = matrix(x)
        normed = self.attention_norm(rows).reshape(x.shape)
        if first is not None and bias is not None and bias.shape[2] > 1:
            bias = bias[:, :, :first]
        attended = self.attention(normed[:, :first], normed, bias, rngs)
        kept = rows if first is None else matrix(x[:, :first])
        rows = kept + dropout(matrix(attended), self.dropout, rngs)
        rows = rows + dropout(self.mlp(self.mlp_norm(rows)), self.dropout, rngs)
        return rows.reshape(attended.shape)


class PostNormBlock(nnx.Module):
    """Transformer block with LayerNorm after attention and MLP, as in BERT and MPNet."""

    def __init__(self, config: Any, dtype: DTypeLike, rngs: nnx.Rngs) -> None:
        """Initializes random parameters of the config's sizes; `dtype` is the compute dtype."""
        c = config
        self.attention = Attention(c.width, c.heads, c.attention_dropout, dtype, rngs)
        self.attention_norm = LayerNorm(c.width, c.norm_eps, dtype)
        self.mlp = MLP(c.width, c.mlp_width, c.activation, dtype, rngs)
        self.mlp_norm = LayerNorm(c.width, c.norm_eps, dtype)
        self.dropout = c.dropout

    def __call__(
        self,
        x: jax.Array,
        bias: jax.Array | None = None,
        rngs: nnx.Rngs | None = None,
        first: int | None = None,
    ) -> jax.Array:
        """Maps [B, L, D] to [B, L, D], or to its `first` tokens only: [B, first, D]."""
        if first is not None and bias is not None and bias.shape[2] > 1:
            bias = bias[:, :, :first]
        attended = self.attention(x[:, :first], x, bias, rngs)
        rows = matrix(x[:, :first]) + dropout(matrix(attended), self.dropout, rngs)
        rows = self.attention_norm(rows)
        rows = self.mlp_norm(rows + dropout(self.mlp(rows), self.dropout, rngs))
        return rows.reshape(attended.shape)


def look_up(table: nnx.Param, input_ids: jax.Array, max_positions: int) -> jax.Array:
    """Looks up token embeddings [B, L, D]; a text longer than `max_positions` is a ValueError."""
    length = input_ids.shape[1]
    if length > max_positions:
        raise ValueError(f"a text has {length} tokens; this model has {max_positions} positions")
    return table[...].at[input_ids].get(mode="fill")  # NaN for an id out of range


_REMAT: contextvars.ContextVar[str] = contextvars.ContextVar("remat", default="none")


@contextlib.contextmanager
def rematerialised(what: str) -> Generator[None]:
    """Context in which blocks are rematerialised: computed again in the backward pass.

    Args:
      what: "none"; "elementwise": of each block everything but `PRODUCT`s, which are kept;
        "blocks": everything, so that only the inputs of blocks are kept.
    """
    token = _REMAT.set(what)
    try:
        yield
    finally:
        _REMAT.reset(token)


def run_block(
    block: Any,
    x: jax.Array,
    bias: jax.Array | None,
    rngs: nnx.Rngs | None,
    first: int | None = None,
) -> jax.Array:
    """Calls a transformer block, in training with the rematerialisation of `rematerialised`.

    Args:
      block: called with (x, bias, rngs, first); see `PreNormBlock`.
      x: [B, N, D].
      bias: added to the attention logits, or None.
      rngs: stream `dropout`; None in evaluation.
      first: see `PreNormBlock`.

    Returns:
      [B, N, D], or [B, first, D].
    """
    what = _REMAT.get()
    if what == "none" or rngs is None:
        return block(x, bias, rngs, first)
    policy = None if what == "blocks" else jax.checkpoint_policies.save_only_these_names(PRODUCT)
    graphdef, state = nnx.split(block, graph=False)
    streams, keys = nnx.split(rngs, graph=False)

    @functools.partial(jax.checkpoint, policy=policy)
    def compute(state: Any, keys: Any, x: jax.Array, bias: jax.Array | None) -> Any:
        drawn = nnx.merge(streams, keys)
        out = nnx.merge(graphdef, state)(x, bias, drawn, first)
        return out, nnx.split(drawn, graph=False)[1]

    out, keys = compute(state, keys, x, bias)
    nnx.update(rngs, keys)  # the number of keys drawn so far
    return out


def encode_and_pool(
    blocks: Sequence[Any],
    x: jax.Array,
    bias: jax.Array | None,
    mask: jax.Array | None,
    readout: str,
    rngs: nnx.Rngs | None,
    tokens: bool,
) -> Encoded:
    """Runs the blocks of an encoder without a class token and pools the result.

    Args:
      blocks: called with (x, bias, rngs, first=None).
      x: [B, N, D].
      bias: added to the attention logits, or None.
      mask: [B, N] bool, True at real tokens; None: all tokens are real.
      readout: "first": the output of the first token; "mean": the mean over the real tokens.
      rngs: stream `dropout`; None in evaluation.
      tokens: False: the last block computes only what is pooled.
    """
    for block in blocks[:-1]:
        x = run_block(block, x, bias, rngs)
    real = jnp.ones(x.shape[:2], bool) if mask is None else mask
    if readout == "mean":
        x = run_block(blocks[-1], x, bias, rngs)
        return Encoded(x, real, masked_mean(x, mask).astype(x.dtype))
    x = run_block(blocks[-1], x, bias, rngs, None if tokens else 1)
    return Encoded(x if tokens else None, real, x[:, 0])


def pool_patches(
    blocks: Sequence[Any],
    x: jax.Array,
    mask: jax.Array | None,
    pool: str,
    norm: LayerNorm,
    rngs: nnx.Rngs | None,
    tokens: bool,
) -> Encoded:
    """Runs the blocks of a ViT and pools the result.

    Args:
      blocks: `PreNormBlock`s.
      x: [B, 1 + N, D], the class token first.
      mask: [B, N] bool, True at the patch tokens to attend to and to pool; None: all of them.
      pool: "class": the class token after `norm`. "mean": `norm` of the mean of the patch tokens.
      norm: final norm of the encoder.
      rngs: stream `dropout`; None in evaluation.
      tokens: False: the last block computes only what is pooled.

    Returns:
      The patch tokens, without the class token. With pool="class" they are normalised by `norm`;
      with "mean" they are the output of the last block.
    """
    bias = None
    if mask is not None:
        bias = attention_bias(jnp.pad(mask, ((0, 0), (1, 0)), constant_values=True))
    for block in blocks[:-1]:
        x = run_block(block, x, bias, rngs)
    real = jnp.ones((x.shape[0], x.shape[1] - 1), bool) if mask is None else mask
    if pool == "mean":
        x = run_block(blocks[-1], x, bias, rngs)[:, 1:]
        return Encoded(x, real, norm(masked_mean(x, mask)))
    if not tokens:
        return Encoded(None, real, norm(run_block(blocks[-1], x, bias, rngs, 1)[:, 0]))
    x = norm(run_block(blocks[-1], x, bias, rngs))
    return Encoded(x[:, 1:], real, x[:, 0])


def masked_mean(x: jax.Array, mask: jax.Array | None) -> jax.Array:
    """Mean of [B, N, D] over the tokens where `mask` [B, N] is True (None: all), in float32."""
    x = x.astype(jnp.float32)
    if mask is None:
        return x.mean(axis=1)
    weights = mask.astype(jnp.float32)
    total = jnp.einsum("bnd,bn->bd", x, weights, precision=jax.lax.Precision.HIGHEST)
    return total / jnp.maximum(weights.sum(axis=1, keepdims=True), 1.0)
