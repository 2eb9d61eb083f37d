"""KIT-ML as published by HumanML3D's authors: the same folder layout, 21 joints, 12.5 fps.

The joints are not in metres and their scale is not stated, so `unit_in_metres` is None.
https://github.com/EricGuo5513/HumanML3D (section "KIT-ML Dataset")
"""

import argparse
import pathlib

from data_prep import splits
from data_prep.readers import Command, Reader, label_table, read_table
from data_prep.readers.humanml3d import PUBLISHED, HumanML3D, add_options, help_text, source
from data_prep.splits import SplitPlan
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

    def __init__(
        self,
        raw_dir: str | pathlib.Path,
        captions: str = PUBLISHED,
        split: SplitPlan | None = None,
    ) -> None:
        """Checks the folder, as `HumanML3D` does."""
        super().__init__(raw_dir, KIT_ML_FPS, captions, split)
        self.declared = None


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--raw_dir", required=True, help="the folder described above")
    add_options(parser)


def _make(args: argparse.Namespace) -> Reader:
    return label_table.labelled(
        KitML(args.raw_dir, args.captions, splits.plan(args, read_table)), args
    )


COMMAND = Command(
    name="kit_ml",
    summary="KIT-ML",
    about=help_text("kit_ml", _ABOUT, joints=21, rate=KIT_ML_FPS, example="KIT-ML"),
    add_options=_add_options,
    source=source,
    make=_make,
    config="kit_ml_vit",
    paths=("raw_dir", *label_table.PATHS),
)
