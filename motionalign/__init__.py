"""3D human motion and language in one space.

>>> import motionalign
>>> model = motionalign.load("runs/quickstart")
>>> model.encode_text("a person waves with the left hand")  # [D] float32
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pathlib

    from motionalign.inference.model import Model

__version__ = "0.2.0.dev0"


def load(checkpoint: "str | pathlib.Path", *, text_encoder: "str | None" = None) -> "Model":
    """Loads a trained model; see `motionalign.inference.model.load`."""
    # Imported here because JAX takes seconds to import.
    from motionalign.inference import model

    return model.load(checkpoint, text_encoder=text_encoder)


def from_pretrained(name: "str | pathlib.Path") -> "Model":
    """Loads a shared model from a folder or a Hub id; an alias of `load`, as on the Hub."""
    return load(name)
