"""Parameters that a run uses but neither trains nor stores, such as a published language model's.

They are not part of the optimizer state or the checkpoint and may have their own dtype, also one
of 8 or 4 bits (see quantized.py). A model refers to them by their source and the SHA-256 of its
files; otherwise it is self-contained.
"""

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from motionalign.models import layers, lora, quantized
from motionalign.models.weights.keymap import KeyMap
from motionalign.models.weights.load import load_weights, place, read_parameters
from motionalign.models.weights.source import Source

_IN_BLOCKS = r"(?:.*/)?blocks/\d+/"  # paths of the layers that are quantised

_SCALE = "_scale"  # a kernel's path and this is the path of its scales


@dataclasses.dataclass(frozen=True)
class FrozenWeights(layers.Config):
    """A reference to the frozen parameters of a tower.

    Attributes:
      under: path of the tower, such as "text_encoder".
      source: a folder or Hub id.
      sha256: SHA-256 of the source's weight files.
      dtype: dtype of the parameters, a floating-point one; or "int8" or "nf4", in which the kernels
        of the linear layers in blocks are stored, and everything else in bfloat16.
      trained: regex for paths in the tower that are nevertheless trained and stored, such as
        adapters; "": none.
      seed: the parameters are not loaded but drawn at random from this seed, as a control; None:
        they are those of the source.
    """

    under: str
    source: str
    sha256: str
    dtype: str
    trained: str = ""
    seed: int | None = None

    def __post_init__(self) -> None:
        floats = ("float32", "bfloat16", "float16")
        layers.check_choice(self.dtype, (*floats, *quantized.KINDS), "dtype of frozen weights")
        if self.seed is not None and self.dtype in quantized.KINDS:
            raise ValueError(f"random weights cannot be {self.dtype}; choose float32 or bfloat16")

    @classmethod
    def of(cls, under: str, source: str, dtype: str, trained: str = "") -> "FrozenWeights":
        """Makes a reference to the current weights of a source."""
        return cls(under, source, Source(source).sha256, dtype, trained)

    @property
    def _argument(self) -> str:
        """The argument of `motionalign.load` that gives another source."""
        return "text_encoder" if self.under == "text_encoder" else "language_model"

    def holds(self, path: str) -> bool:
        """Whether `path` is a parameter of the tower that is not trained."""
        inside = path.removeprefix(self.under + "/")
        if inside == path:
            return False
        return not (self.trained and re.fullmatch(self.trained, inside))

    def prepare(self, module: nnx.Module) -> None:
        """Makes room in a new module for kernels of this dtype; the module is changed.

        As in the published QLoRA, the output layer is not quantised, nor are embeddings and norms.

        Raises:
          ValueError: the tower has no layers that can be quantised, or a size does not permit it.
        """
        if self.dtype not in quantized.KINDS:
            return
        found = lora.linear_layers(module)
        chosen = [p for p in found if self.holds(p + "/kernel") and re.match(_IN_BLOCKS, p)]
        if not chosen:
            raise ValueError(
                f"the weights of {self.under} cannot be stored as {self.dtype}: it has no layers "
                "that can be quantised; choose float32, bfloat16 or float16"
            )
        for path in chosen:
            found[path].quantize(self.dtype)

    def abstract(self, shapes: Mapping[str, jax.ShapeDtypeStruct]) -> dict[str, Any]:
        """Selects the frozen parameters {path: shape and own dtype} from all `shapes`.

        The shapes are those of a module after `prepare`.
        """
        own = {path: leaf for path, leaf in shapes.items() if self.holds(path)}
        scales = {path for path in own if path.endswith("/kernel" + _SCALE)}
        coded = scales | {path.removesuffix(_SCALE) for path in scales}
        assert bool(coded) == (self.dtype in quantized.KINDS), "prepare the module first"
        other = jnp.dtype("bfloat16" if coded else self.dtype)
        return {
            path: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype if path in coded else other)
            for path, leaf in own.items()
        }

    def load(self, abstract: Mapping[str, jax.ShapeDtypeStruct], key_map: KeyMap) -> dict[str, Any]:
        """Loads the tower's parameters from the source.

        Args:
          abstract: {path: shape, dtype and sharding} of the tower's parameters.
          key_map: maps the source's tensors to our parameters.

        Raises:
          ValueError: the source cannot be found, or its weights differ from the reference.
        """
        try:
            source = Source(self.source)
            found = source.sha256
        except ValueError as error:
            how = f"motionalign.load(..., {self._argument}=FOLDER_OR_HUB_ID)"
            if self._argument == "language_model":
                how += ", or the option --language_model"
            raise ValueError(
                f"the model's {self.under} is {self.source}, which the checkpoint refers to "
                f"without storing it and which cannot be found: {error}. Give its location: {how}"
            ) from error
        if found != self.sha256:
            raise ValueError(
                f"{self.source} has other weights (SHA-256 {found[:12]}...) than the model's "
                f"{self.under} was trained with ({self.sha256[:12]}...)"
            )
        own = {path: leaf for path, leaf in abstract.items() if self.holds(path)}
        if self.dtype not in quantized.KINDS:
            return load_weights(own, source, key_map, under=self.under)
        return self._load_quantized(own, source, key_map)

    def _load_quantized(
        self, own: Mapping[str, jax.ShapeDtypeStruct], source: Source, key_map: KeyMap
    ) -> dict[str, Any]:
        """Loads the parameters `own`; kernels are quantised as they are read."""
        inside = {path.removeprefix(self.under + "/"): leaf for path, leaf in own.items()}
        shapes = {
            path: quantized.float_shape(leaf.shape, leaf.dtype)
            for path, leaf in inside.items()
            if not path.endswith(_SCALE)
        }
        loaded = {}
        for path, value in read_parameters(shapes, source, key_map):
            arrays = {path: value}
            if path + _SCALE in inside:
                try:
                    codes, scales = quantized.quantize(value, self.dtype)
                except ValueError as error:
                    raise ValueError(f"{source.name}: the tensor of {path}: {error}") from error
                arrays = {path: codes, path + _SCALE: scales}
            for name, array in arrays.items():
                loaded[f"{self.under}/{name}"] = place(array, inside[name])
        assert loaded.keys() == own.keys(), own.keys() - loaded.keys()
        return loaded
