"""Options that declare the conventions of raw joints, for readers of files that may have any."""

import argparse

from motionalign.conventions import AXES, SENSORS, UNITS, Declared, read_order


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options to a reader's parser."""
    group = parser.add_argument_group(
        "conventions",
        "Joints must be in metres, Y up, in the skeleton's order. A clip that\n"
        "cannot be so is dropped with a reason; if most clips are, nothing is\nwritten.",
    )
    group.add_argument("--unit", choices=UNITS, default="m", help="unit of the joints, which are "
                       "converted to metres (default: %(default)s)")  # fmt: skip
    group.add_argument("--up", choices=AXES, default="y", help="the axis that points up; clips are "
                       "turned to Y up (default: %(default)s)")  # fmt: skip
    group.add_argument("--order", metavar="NAME,NAME,...", help="joint names in the order of the "
                       "files, or a text file with one name per line; further joints are left out "
                       "(default: the skeleton's order)")  # fmt: skip
    group.add_argument("--canonical", action="store_true", help="move and turn every clip as in "
                       "HumanML3D: the first frame on the vertical axis and facing +Z, the lowest "
                       "point at Y = 0")  # fmt: skip
    group.add_argument("--sensor", choices=SENSORS, default="optical", help="depth: joints of "
                       "depth cameras or from video may shake (default: %(default)s)")  # fmt: skip


def declared(args: argparse.Namespace) -> Declared:
    """Unit, axes and joint order of the options; a ValueError if --order cannot be read."""
    return Declared(args.unit, args.up, read_order(args.order) if args.order else None)


def source(args: argparse.Namespace) -> dict:
    """The options as stored in report.json, those at their defaults left out."""
    given = {
        "unit": args.unit,
        "up": args.up,
        "order": declared(args).order,
        "canonical": args.canonical,
        "sensor": args.sensor,
    }
    default = {"unit": "m", "up": "y", "sensor": "optical"}
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in given.items()
        if value and value != default.get(name)
    }
