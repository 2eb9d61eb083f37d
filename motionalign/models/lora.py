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

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

from motionalign.models import layers

TRAINED = r"(?:.*/)?lora_[ab]"
"""`FrozenWeights.trained` of a frozen tower with adapters."""


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
      kernel: [in, out], in any floating-point dtype.
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
        self.bias = nnx.Param(jnp.zeros((outputs,))) if use_bias else None
        self.lora_a: nnx.Param | None = nnx.data(None)  # unlike None, may become a parameter
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

    def __call__(self, x: jax.Array, rngs: nnx.Rngs | None = None) -> jax.Array:
        """Maps [..., in] to [..., out] in the compute dtype; `rngs`: stream `dropout`, or None."""
        x = x.astype(self.dtype)
        y = x @ self.kernel[...].astype(self.dtype)
        if self.bias is not None:
            y = y + self.bias[...].astype(self.dtype)
        if self.adapter is None or self.lora_a is None or self.lora_b is None:
            return y
        x = layers.dropout(x, self.adapter.dropout, rngs)
        low = x @ self.lora_a[...].astype(self.dtype)
        return y + self.adapter.scale * (low @ self.lora_b[...].astype(self.dtype))


def linear_layers(module: nnx.Module) -> Mapping[str, Linear]:
    """The linear layers in a module by '/'-joined path."""
    return {
        "/".join(map(str, path)): layer
        for path, layer in nnx.iter_modules(module)
        if isinstance(layer, Linear)
    }


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
