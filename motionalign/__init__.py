"""3D human motion and language in one space.

>>> import motionalign
>>> model = motionalign.load("runs/quickstart")
>>> model.encode_text("a person waves with the left hand")  # [D] float32
"""

__version__ = "0.2.0.dev0"


def load(checkpoint, *, text_encoder=None):
    """Loads a trained model; see `motionalign.inference.model.load`."""
    # JAX takes seconds to import: only those who need it wait.
    from motionalign.inference import model

    return model.load(checkpoint, text_encoder=text_encoder)


def from_pretrained(name):
    """Loads a shared model, a folder or a Hub id: `load`, as the Hub's users know it."""
    return load(name)
