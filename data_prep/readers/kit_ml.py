"""KIT-ML as published by HumanML3D's authors: the same folder layout, 21 joints, 12.5 fps.

The joints are not in metres and their scale is not stated, so `unit_in_metres` is None.
https://github.com/EricGuo5513/HumanML3D (section "KIT-ML Dataset")
"""

import argparse
import os
import pathlib

from data_prep.readers import Command, label_table
from data_prep.readers.humanml3d import HumanML3D, help_text
from motionalign.data.resample import KIT_ML_FPS
from motionalign.skeleton import SKELETONS

_ABOUT = """\
KIT-ML as published by HumanML3D's authors: see the section "KIT-ML Dataset" of
https://github.com/EricGuo5513/HumanML3D . Clips are resampled to 20 frames per second by the rule
of the published code (12 frames become 20)."""


class KitML(HumanML3D):
    """Reads KIT-ML at its own frame rate; the records are at 20 frames per second."""

    title = "KIT-ML"
    skeleton = SKELETONS["kit21"]
    unit_in_metres = None

    # HumanML3D's code and KIT's joint names disagree about which side is left, and no published
    # file was at hand to decide.
    accept = ("handedness",)

    def __init__(self, raw_dir: str | pathlib.Path) -> None:
        """Checks the folder, as `HumanML3D` does."""
        super().__init__(raw_dir, fps=KIT_ML_FPS)


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--raw_dir", required=True, help="the folder described above")
    label_table.add_options(parser)


COMMAND = Command(
    name="kit_ml",
    summary="KIT-ML",
    about=help_text("kit_ml", _ABOUT, joints=21, rate=KIT_ML_FPS, example="KIT-ML"),
    add_options=_add_options,
    source=lambda args: {"raw_dir": os.path.abspath(args.raw_dir), **label_table.source(args)},
    make=lambda args: label_table.labelled(KitML(args.raw_dir), args),
    config="kit_ml_vit",
    paths=("raw_dir", *label_table.PATHS),
)
