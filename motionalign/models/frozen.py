"""Parameters that a run uses but neither trains nor stores, such as a published language model's.

They stay outside optimizer and checkpoint, may keep a dtype of their own, and are referred to by
where they come from and the SHA-256 of their files: the one exception to a self-contained model.
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
    """Where the frozen parameters of a tower come from.

    Attributes:
      under: path of the tower, such as "text_encoder".
      source: a folder or Hub id.
      sha256: of its files of weights.
      dtype: in which the parameters are held.
      trained: regex of paths within the tower that are trained and stored all the same, such as
        adapters; "": none are.
    """

    under: str
    source: str
    sha256: str
    dtype: str
    trained: str = ""

    @classmethod
    def of(cls, under: str, source: str, dtype: str, trained: str = "") -> "FrozenWeights":
        """A reference to the weights that a source has now."""
        return cls(under, source, Source(source).sha256, dtype, trained)

    def holds(self, path: str) -> bool:
        """Whether a parameter is of the tower, and not trained."""
        inside = path.removeprefix(self.under + "/")
        if inside == path:
            return False
        return not (self.trained and re.fullmatch(self.trained, inside))

    def abstract(self, shapes: Mapping[str, jax.ShapeDtypeStruct]) -> dict[str, Any]:
        """The tower's parameters {path: shape in the tower's own dtype} among all `shapes`."""
        return {
            path: jax.ShapeDtypeStruct(leaf.shape, jnp.dtype(self.dtype))
            for path, leaf in shapes.items()
            if self.holds(path)
        }

    def load(self, abstract: Mapping[str, jax.ShapeDtypeStruct], key_map: KeyMap) -> dict[str, Any]:
        """The tower's parameters, from the source.

        Args:
          abstract: {path: shape, dtype and sharding} of the tower's parameters.
          key_map: how its tensors become ours.

        Raises:
          ValueError: the source is not there, or has other weights than those referred to.
        """
        try:
            source = Source(self.source)
            found = source.sha256
        except ValueError as error:
            raise ValueError(
                f"the model's {self.under} is {self.source}, which the checkpoint refers to and "
                f"does not hold, and it is not here: {error}"
            ) from error
        if found != self.sha256:
            raise ValueError(
                f"{self.source} has other weights (SHA-256 {found[:12]}...) than those that the "
                f"model's {self.under} refers to ({self.sha256[:12]}...)"
            )
        own = {path: leaf for path, leaf in abstract.items() if self.holds(path)}
        return load_weights(own, source, key_map, under=self.under)
