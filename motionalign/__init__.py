"""3D human motion and language in one space.

>>> import motionalign
>>> model = motionalign.load("runs/quickstart")
>>> model.encode_text("a person waves with the left hand")  # [D] float32
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import os
    import pathlib

    from motionalign.anatomy.persons import Clip
    from motionalign.inference.model import Model

__version__ = "0.2.0.dev0"


def load(
    checkpoint: "str | pathlib.Path",
    *,
    text_encoder: "str | None" = None,
    language_model: "str | None" = None,
) -> "Model":
    """Loads a trained model; see `motionalign.inference.model.load`."""
    # Imported here because JAX takes seconds to import.
    from motionalign.inference import model

    return model.load(checkpoint, text_encoder=text_encoder, language_model=language_model)


def read_motion(
    path: "str | os.PathLike",
    joints: str = "smpl22",
    *,
    fps: "float | None" = None,
    unit: "str | None" = None,
    up: "str | None" = None,
    skeleton: "str | os.PathLike | None" = None,
    smplh_dir: "str | os.PathLike | None" = None,
) -> "list[Clip]":
    """Reads a motion file of any format and skeleton: BVH, FBX, GLB, C3D, AMC, ...

    Args:
      path: the file, or the folder of a sequence with one file a frame.
      joints: "smpl22": SMPL's 22 joints, as HumanML3D has them; "native": those of the file.
      fps: frames per second of files that state none.
      unit: "m", "cm", "mm", "in" or "ft"; default: as stated or found in the file.
      up: the axis that points up, "y", "z", "-y", ...; default: as stated or found in the file.
      skeleton: a JSON file that says what the joints are (docs/formats.md).
      smplh_dir: folder of SMPL or SMPL-H body models, for files of their parameters.

    Returns:
      A clip for every person of every take; see `motionalign.anatomy.persons.Clip`.

    Raises:
      ValueError: the file cannot be read, is no human body, or has no such joints.
    """
    from motionalign.anatomy import persons
    from motionalign.anatomy.takes import Told

    return persons.read_motion(path, joints, Told(smplh_dir, skeleton, unit, up, fps))


def from_pretrained(name: "str | pathlib.Path") -> "Model":
    """Loads a shared model from a folder or a Hub id; an alias of `load`, as on the Hub."""
    return load(name)
