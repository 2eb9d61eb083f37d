"""`python -m data_prep`: the registry of readers and commands, and their shared options."""

import argparse
import functools
import os
import pathlib
import sys
from collections.abc import Callable
from typing import Any

from motionalign import commands

if __name__ == "__main__":
    commands.exit_on_signals()  # before the imports that take long

from data_prep import embed, export_humanml3d, inspect, show
from data_prep.captions import describe
from data_prep.next_commands import next_commands
from data_prep.readers import (
    Command,
    babel,
    densegait,
    humanml3d,
    kit_ml,
    labelled,
    library,
    ntu,
    smarthome,
    uav_human,
)
from data_prep.readers.synthetic import generate as synthetic
from motionalign import conventions
from motionalign.data.dataset import Dataset

# Each prepares a dataset from one source format.
READERS = (
    humanml3d.COMMAND,
    kit_ml.COMMAND,
    babel.COMMAND,
    densegait.COMMAND,
    labelled.COMMAND,
    ntu.COMMAND,
    uav_human.COMMAND,
    smarthome.COMMAND,
    library.COMMAND,
    synthetic.COMMAND,
)
# Further commands: modules with SUMMARY, ABOUT, `add_arguments(parser)` and `run(args)`.
COMMANDS = (
    ("inspect", inspect),
    ("embed", embed),
    ("describe", describe),
    ("show", show),
    ("export_humanml3d", export_humanml3d),
)

DESCRIPTION = """\
Converts motion-capture clips with captions or labels to TFRecord datasets.

  python -m data_prep inspect   walk.bvh mocap/             what motion files of any format are
  python -m data_prep synthetic                             a built-in dataset, ready in seconds
  python -m data_prep library   --raw_dir=mocap --captions=names   motion files of any format
  python -m data_prep humanml3d --raw_dir=HumanML3D/HumanML3D
  python -m data_prep kit_ml    --raw_dir=KIT-ML
  python -m data_prep babel     --raw_dir=babel_v1.0_release --amass_dir=AMASS --smplh_dir=smplh
  python -m data_prep densegait --raw_dir=DenseGait
  python -m data_prep labelled  --raw=nw_ucla.npz --protocol=cross_view   action benchmarks
  python -m data_prep ntu       --raw_dir=nturgb+d_skeletons --benchmark=xsub60
  python -m data_prep uav_human --raw_dir=UAV-Human/Skeleton --protocol=csv1
  python -m data_prep smarthome --raw_dir=smarthome_skeletons --protocol=cs
  python -m data_prep embed     --name=humanml3d            sentence vectors of captions and classes
  python -m data_prep describe  --name=actions ...          class descriptions by a language model
  python -m data_prep show      --name=humanml3d            an HTML page to inspect a dataset
  python -m data_prep export_humanml3d mocap/ OUT ...       motion files in HumanML3D's layout

A dataset is written to <data_dir>/<name>/1.0.0: TFRecord shards, metadata.json (skeleton,
statistics) and report.json, which accounts for every clip. `python -m data_prep COMMAND --help`
describes a command.
"""


def main(argv: list[str] | None = None) -> None:
    """Runs one command; errors that the user can fix end it with a message on stderr.

    Args:
      argv: the arguments; those of the process by default.
    """
    arguments = commands.expand_arguments(sys.argv[1:] if argv is None else argv)
    args = _parser().parse_args(arguments or ["--help"])
    # TensorFlow reports its CPU features, oneDNN and missing GPUs on import; none matters here.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
    try:
        commands.run(args, "data_prep")
    except ModuleNotFoundError as error:
        if args.traceback or (error.name or "").partition(".")[0] != "tensorflow":
            raise
        sys.exit("data_prep: needs TensorFlow: pip install 'motionalign[prep]'")


def _parser() -> argparse.ArgumentParser:
    raw = argparse.RawDescriptionHelpFormatter
    parser = commands.Parser("python -m data_prep", description=DESCRIPTION, formatter_class=raw)
    traceback: dict[str, Any] = {"action": "store_true", "help": "print the traceback of an error"}
    parser.add_argument("--traceback", **traceback)
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def add(
        name: str, summary: str, about: str, run: Callable[[argparse.Namespace], None]
    ) -> argparse.ArgumentParser:
        sub = subparsers.add_parser(name, help=summary, description=about, formatter_class=raw)
        sub.set_defaults(run=run)
        # The flag is valid before and after the command. With a default, the subparser would
        # overwrite the value given before the command.
        sub.add_argument("--traceback", **traceback, default=argparse.SUPPRESS)
        return sub

    for reader in READERS:
        run = functools.partial(_prepare, reader)
        sub = add(reader.name, reader.summary, reader.about, run)
        reader.add_options(sub)
        _add_prepare_options(sub, reader.name)
    for name, module in COMMANDS:
        module.add_arguments(add(name, module.SUMMARY, module.ABOUT, module.run))
    return parser


def _add_prepare_options(parser: argparse.ArgumentParser, name: str) -> None:
    parser.add_argument("--data_dir", default="data", help="parent of all prepared datasets "
                        "(default: %(default)s)")  # fmt: skip
    parser.add_argument("--name", default=name, help="name of the prepared dataset "
                        "(default: %(default)s)")  # fmt: skip
    parser.add_argument("--patch_size", type=int, choices=(8, 16, 32), default=16,
                        help="points per body part (default: %(default)s)")  # fmt: skip
    parser.add_argument("--min_frames", type=int, default=2, help="drop clips with fewer frames, "
                        "after cutting (default: %(default)s)")  # fmt: skip
    parser.add_argument("--mirror", action="store_true", help="also write every clip's mirror "
                        "image, with left and right swapped in its captions")  # fmt: skip
    reasons = ", ".join(conventions.REASONS)
    parser.add_argument("--accept", metavar="REASON[,REASON...]", default="", help="keep clips "
                        f"that would be dropped for these reasons: {reasons}")  # fmt: skip
    parser.add_argument("--overwrite", action="store_true", help="replace an existing dataset")


def _prepare(command: Command, args: argparse.Namespace) -> None:
    source = {"command": command.name, **command.source(args)}
    if (pathlib.Path(args.data_dir) / args.name).is_dir() and not args.overwrite:
        # An existing dataset is kept without reading the source, which may have been moved.
        for name in command.paths:
            if name in source and not os.path.exists(source[name]):
                given = getattr(args, name, source[name])
                raise ValueError(f"--{name}={given} does not exist")

    with commands.importing():
        from data_prep.builders import prepare  # imports TensorFlow; the errors above need not wait

    prepare(
        lambda: command.make(args),
        args.data_dir,
        args.name,
        patch_size=args.patch_size,
        min_frames=args.min_frames,
        mirror=args.mirror,
        accept=[reason.strip() for reason in args.accept.split(",") if reason.strip()],
        overwrite=args.overwrite,
        source=source,
        paths=command.paths,
        say=print,
    )
    print(next_commands(Dataset(args.data_dir, args.name), command.config, command.name))


if __name__ == "__main__":
    commands.use_utf8()
    main()
