"""Parameters that a run uses but neither trains nor stores, such as a published language model's.

They are not part of the optimizer state or the checkpoint and may have their own dtype. A model
refers to them by their source and the SHA-256 of its files; otherwise it is self-contained.
"""

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from motionalign.models import layers
from motionalign.models.weights.keymap import KeyMap
from motionalign.models.weights.load import load_weights
from motionalign.models.weights.source import Source


@dataclasses.dataclass(frozen=True)
class FrozenWeights(layers.Config):
    """A reference to the frozen parameters of a tower.

    Attributes:
      under: path of the tower, such as "text_encoder".
      source: a folder or Hub id.
      sha256: SHA-256 of the source's weight files.
      dtype: dtype of the parameters.
      trained: regex for paths in the tower that are nevertheless trained and stored, such as
        adapters; "": none.
    """

    under: str
    source: str
    sha256: str
    dtype: str
    trained: str = ""

    @classmethod
    def of(cls, under: str, source: str, dtype: str, trained: str = "") -> "FrozenWeights":
        """Makes a reference to the current weights of a source."""
        return cls(under, source, Source(source).sha256, dtype, trained)

    def holds(self, path: str) -> bool:
        """Whether `path` is a parameter of the tower that is not trained."""
        inside = path.removeprefix(self.under + "/")
        if inside == path:
            return False
        return not (self.trained and re.fullmatch(self.trained, inside))

    def abstract(self, shapes: Mapping[str, jax.ShapeDtypeStruct]) -> dict[str, Any]:
        """Selects the frozen parameters {path: shape and own dtype} from all `shapes`."""
        return {
            path: jax.ShapeDtypeStruct(leaf.shape, jnp.dtype(self.dtype))
            for path, leaf in shapes.items()
            if self.holds(path)
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
            raise ValueError(
                f"the model's {self.under} is {self.source}, which the checkpoint refers to "
                f"without storing it and which cannot be found: {error}. Give its location: "
                "motionalign.load(..., text_encoder=FOLDER_OR_HUB_ID)"
            ) from error
        if found != self.sha256:
            raise ValueError(
                f"{self.source} has other weights (SHA-256 {found[:12]}...) than the model's "
                f"{self.under} was trained with ({self.sha256[:12]}...)"
            )
        own = {path: leaf for path, leaf in abstract.items() if self.holds(path)}
        return load_weights(own, source, key_map, under=self.under)
