"""Low-rank adapters (LoRA) for the linear layers of a frozen language model.

Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models" (ICLR 2022): a frozen matrix W gets
a trained product of two narrow ones, W + alpha / rank * A B. B starts at zero, so that the model is
unchanged at first.

The adapters are our own, not those of the library qwix 0.1.8. It replaces the class of a module at
run time, finds weights by inspecting the call stack, and creates adapters during an example call,
with shared state on each module and in the dtype of the base; the modules of this package are pure
functions of a flat dict of arrays, whose frozen part has a dtype of its own. The library also knows
neither the layout of Hugging Face's PEFT nor a reference to the base by its hash.
"""

import dataclasses
import math
import re
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.typing import DTypeLike

from motionalign.models import layers, quantized

TRAINED = r"(?:.*/)?lora_[ab]"
"""`FrozenWeights.trained` of a frozen tower with adapters."""

_ADAPTER = ("lora_a", "lora_b")  # the parameters of an adapter
_SCALE = "kernel_scale"


@dataclasses.dataclass(frozen=True)
class LoraConfig(layers.Config):
    r"""Which linear layers of a model get adapters, and their size.

    Attributes:
      rank: width of the adapters, r.
      alpha: the adapters' product is multiplied by `scale`, alpha / rank.
      targets: regex that must match the complete path of a linear layer within the model, such as
        `blocks/\d+/attention/(query|value)`.
      dropout: dropout of the adapters' input in training.
      rank_stabilized: `scale` is alpha / sqrt(rank) instead (rsLoRA, Kalajdzievski 2023), which
        keeps the size of updates independent of the rank.
    """

    rank: int
    alpha: float
    targets: str
    dropout: float = 0.0
    rank_stabilized: bool = False

    def __post_init__(self) -> None:
        layers.check_types(LoraConfig, vars(self))
        if self.rank < 1 or not 0 < self.alpha < math.inf or not 0 <= self.dropout < 1:
            raise ValueError(
                f"LoraConfig: rank is {self.rank}, alpha {self.alpha}, dropout {self.dropout}; "
                "expected at least 1, above 0, and from 0 to below 1"
            )
        try:
            re.compile(self.targets)
        except re.error as error:
            raise ValueError(
                f"LoraConfig.targets, {self.targets!r}, is not a regular expression: {error}"
            ) from error

    @property
    def scale(self) -> float:
        """The factor of the adapters' product."""
        return self.alpha / (math.sqrt(self.rank) if self.rank_stabilized else self.rank)


class Linear(nnx.Module):
    """A linear layer with an optional bias and, after `adapt`, a low-rank adapter.

    Attributes:
      kernel: [in, out], in any floating-point dtype, or the codes of a quantised kernel.
      kernel_scale: the scales of a quantised kernel, or None.
      bias: [out] or None.
      lora_a: [in, r] float32 or None.
      lora_b: [r, out] float32 or None.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        dtype: DTypeLike,
        rngs: nnx.Rngs,
        use_bias: bool = False,
        kernel_init: nnx.Initializer = layers.published,
    ) -> None:
        """Initializes the kernel, and a bias of zeros if `use_bias`; computes in `dtype`."""
        self.kernel = nnx.Param(kernel_init(rngs.params(), (inputs, outputs)))
        # Unlike None, nnx.data(None) may become a parameter.
        self.kernel_scale: nnx.Param | None = nnx.data(None)
        self.bias = nnx.Param(jnp.zeros((outputs,))) if use_bias else None
        self.lora_a: nnx.Param | None = nnx.data(None)
        self.lora_b: nnx.Param | None = nnx.data(None)
        self.adapter: LoraConfig | None = None
        self.inputs, self.outputs = inputs, outputs
        self.dtype = dtype

    def add_adapter(self, config: LoraConfig, rngs: nnx.Rngs) -> None:
        """Adds an adapter: A uniform in +-1/sqrt(in), as PEFT draws it, and B zero."""
        init = layers.torch_linear(self.inputs)
        self.lora_a = nnx.Param(init(rngs.params(), (self.inputs, config.rank)))
        self.lora_b = nnx.Param(jnp.zeros((config.rank, self.outputs)))
        self.adapter = config

    def quantize(self, kind: str) -> None:
        """Replaces the kernel by a quantised one of zeros, to be loaded; see `quantized`."""
        codes, scales = quantized.abstract(self.inputs, self.outputs, kind)
        self.kernel = nnx.Param(jnp.zeros(codes.shape, codes.dtype))
        self.kernel_scale = nnx.Param(jnp.zeros(scales.shape, scales.dtype))

    def __call__(self, x: jax.Array, rngs: nnx.Rngs | None = None) -> jax.Array:
        """Maps [..., in] to [..., out] in the compute dtype; `rngs`: stream `dropout`, or None."""
        x = x.astype(self.dtype)
        if self.kernel_scale is None:
            y = layers.matmul(x, self.kernel[...].astype(self.dtype))
        else:
            y = quantized.product(x, self.kernel[...], self.kernel_scale[...])
        if self.bias is not None:
            y = y + self.bias[...].astype(self.dtype)
        if self.adapter is None or self.lora_a is None or self.lora_b is None:
            return y
        x = layers.dropout(x, self.adapter.dropout, rngs)
        low = layers.matmul(x, self.lora_a[...].astype(self.dtype))
        change = layers.matmul(low, self.lora_b[...].astype(self.dtype))
        return y + self.adapter.scale * change


def linear_layers(module: nnx.Module) -> Mapping[str, Linear]:
    """The linear layers in a module by '/'-joined path."""
    return {
        "/".join(map(str, path)): layer
        for path, layer in nnx.iter_modules(module)
        if isinstance(layer, Linear)
    }


def sizes(module: nnx.Module) -> dict[str, tuple[int, int]]:
    """{path: (inputs, outputs)} of the linear layers in a module."""
    return {path: (each.inputs, each.outputs) for path, each in linear_layers(module).items()}


def adapt(module: nnx.Module, config: LoraConfig, rngs: nnx.Rngs) -> None:
    """Adds adapters to the linear layers of `module` whose path `config.targets` matches.

    Args:
      module: the model; it is changed.
      config: the paths of its `targets` are relative to `module`.
      rngs: stream `params`.

    Raises:
      ValueError: no layer matches, or the rank is larger than a side of a layer's kernel.
    """
    found = linear_layers(module)
    chosen = {path: found[path] for path in found if re.fullmatch(config.targets, path)}
    if not chosen:
        names = dict.fromkeys(re.sub(r"\b\d+\b", "<n>", path) for path in found)
        raise ValueError(
            f"LoraConfig.targets, {config.targets!r}, matches none of the {len(found)} linear "
            f"layers; it must match a complete path. Layers: {', '.join(names)}"
        )
    for path, layer in chosen.items():
        if config.rank > min(layer.inputs, layer.outputs):
            raise ValueError(
                f"LoraConfig.rank is {config.rank}; the kernel of {path} is {layer.inputs} x "
                f"{layer.outputs}, so a rank of at most {min(layer.inputs, layer.outputs)} is "
                "possible"
            )
    for layer in chosen.values():
        layer.add_adapter(config, rngs)


def merged(
    params: Mapping[str, Any], config: LoraConfig, dtype: DTypeLike | None = None
) -> dict[str, np.ndarray]:
    """Merges adapters into the kernels, for a model without adapters that computes the same.

    Args:
      params: {path: array} of all parameters, adapters and frozen ones.
      config: the adapters' config.
      dtype: dtype of the kernels; None: their own, or bfloat16 if they are quantised. A narrow one
        rounds small changes away.

    Returns:
      {path: array on the host}, without adapters and scales; quantised kernels are dequantised.

    Raises:
      ValueError: there are no adapters.
    """
    if not any(re.fullmatch(TRAINED, path) for path in params):
        raise ValueError("there are no adapters to merge")
    result = {}
    for path, value in params.items():
        layer, _, leaf = path.rpartition("/")
        if leaf in (*_ADAPTER, _SCALE):
            continue
        result[path] = np.asarray(value)
        a, b, scale = (params.get(f"{layer}/{name}") for name in (*_ADAPTER, _SCALE))
        if leaf != "kernel" or (a is None and scale is None):
            continue
        own = value.dtype if scale is None else jnp.bfloat16
        kernel = value if scale is None else quantized.dequantize(value, scale)
        kernel = np.asarray(kernel).astype(np.float32)
        if a is not None:
            kernel = kernel + config.scale * (np.asarray(a, np.float32) @ np.asarray(b, np.float32))
        result[path] = kernel.astype(dtype or own)
    return result
