"""Options that say what motion files of any format do not say themselves."""

import argparse
from typing import TYPE_CHECKING

from motionalign.conventions import AXES, UNITS

if TYPE_CHECKING:
    from motionalign.anatomy.takes import Told


def add_told(parser: argparse.ArgumentParser) -> None:
    """Adds the options: skeleton, unit, axis, body models."""
    group = parser.add_argument_group(
        "what the files do not say", "Found or stated in them where these are not given."
    )
    group.add_argument("--skeleton", metavar="FILE.json", help="names, parents, chains, roles, "
                       "unit, axis and rate of the joints: docs/formats.md")  # fmt: skip
    group.add_argument("--unit", choices=UNITS, help="unit of the positions")
    group.add_argument("--up", choices=AXES, help="the axis that points up")
    group.add_argument("--smplh_dir", metavar="DIR", help="SMPL or SMPL-H body models, for .npz "
                       "files of their parameters")  # fmt: skip


def told_of(args: argparse.Namespace) -> "Told":
    """What these options, and --fps where there is one, say about files."""
    from motionalign.anatomy.takes import Told

    return Told(args.smplh_dir, args.skeleton, args.unit, args.up, getattr(args, "fps", None))
