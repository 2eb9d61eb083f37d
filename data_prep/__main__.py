"""`python -m data_prep`: prepares datasets, embeds their captions, shows what was prepared."""

import argparse
import os
import sys

from data_prep import embed, show
from data_prep.captions import describe
from data_prep.readers import REASONS

DESCRIPTION = """\
Turns motion-capture clips with captions into TFRecord motion patches.

  python -m data_prep synthetic                             a built-in dataset, made in seconds
  python -m data_prep humanml3d --raw_dir=HumanML3D/HumanML3D
  python -m data_prep kit_ml    --raw_dir=KIT-ML
  python -m data_prep babel     --raw_dir=babel_v1.0_release --amass_dir=AMASS --smplh_dir=smplh
  python -m data_prep densegait --raw_dir=DenseGait
  python -m data_prep embed     --name=humanml3d            sentence vectors of captions and classes
  python -m data_prep describe  --name=actions ...          a language model's words for the classes
  python -m data_prep show      --name=humanml3d            a page of what was prepared

Each writes <data_dir>/<name>/1.0.0: TFRecord shards, metadata.json (skeleton, statistics) and
report.json, which accounts for every clip. `python -m data_prep COMMAND --help` says more.
"""

LAYOUT = """\
{about}

expected folder:
  RAW_DIR/new_joints/<name>.npy   [frames, {joints}, 3], {rate} frames a second, Y up
  RAW_DIR/texts/<name>.txt        one caption a line: caption#tokens#start#end
                                  (seconds; 0.0#0.0 is the whole motion, else a clip is cut out)
  RAW_DIR/train.txt val.txt test.txt   names, one a line; M<name> is the mirrored twin of <name>
  RAW_DIR/nsim_test.txt           optional: the published dissimilar subset, by name (from TMR)

examples:
  python -m data_prep {command} --raw_dir={example}
  python -m data_prep {command} --raw_dir={example} --patch_size=8 --name={command}_p8
  python -m data_prep {command} --raw_dir=my_clips --name=mine --mirror

labels of the clips, from a CSV file with a head and the column id (the names of the split files):
  python -m data_prep {command} --raw_dir=my_clips --name=actions --labels_csv=labels.csv \\
    --label=content --attributes=style,sex

reasons for which report.json drops a clip or a caption line:
{reasons}
"""

HUMANML3D = """\
HumanML3D, and your own clips in its layout: SMPL's first 22 joints in its order
(motionalign/skeleton.py), in metres; a caption without times is "a person waves##0#0". Get it as https://github.com/EricGuo5513/HumanML3D
says (it needs AMASS, whose licence is personal); --raw_dir is the folder that holds new_joints."""

KIT_ML = """\
KIT-ML as HumanML3D's authors publish it: the link is in "KIT-ML Dataset" of
https://github.com/EricGuo5513/HumanML3D . Clips are brought to 20 frames a second by the rule of
the published code (12 frames become 20)."""

BABEL = """\
BABEL: action labels for AMASS, at 30 frames a second, with joints and 6D rotations. Every labelled
segment is cut into pieces of five seconds and the rest; every piece is one record for each of its
categories that is among the benchmark's 60. BABEL's val is the split test; a tenth of its train,
chosen by --seed, is val; its test is not used, as its labels are not public.

expected folders:
  RAW_DIR/train.json val.json     version 1.0, from https://babel.is.tue.mpg.de; with --extra also
                                  extra_train.json extra_val.json
  AMASS_DIR/<data set>/...npz     the unpacked archives "SMPL+H G" of https://amass.is.tue.mpg.de,
                                  say AMASS_DIR/BioMotionLab_NTroje/rub060/0031_scamper1_poses.npz
  SMPLH_DIR/female/model.npz      and male/, neutral/: "Extended SMPL+H model" of
                                  https://mano.is.tue.mpg.de (both licences are personal)
or in the place of the last two:
  JOINTS_DIR/<data set>/...npy    joints that were processed as HumanML3D's are, under the names of
                                  AMASS: [frames, 22, 3], 20 frames a second, metres, Y up. Brought
                                  to 30 frames a second; there are no rotations then

examples:
  python -m data_prep babel --raw_dir=babel_v1.0_release --amass_dir=AMASS --smplh_dir=smplh
  python -m data_prep babel --raw_dir=babel_v1.0_release --joints_dir=joints --name=babel_joints
  python -m data_prep babel --raw_dir=babel_v1.0_release --amass_dir=AMASS --smplh_dir=smplh \\
    --extra --labels=sequence --name=babel_sequence

reasons for which report.json drops a sequence or a segment:
{reasons}
"""

DENSEGAIT = """\
DenseGait: walking people in 2D, with the probabilities of 42 attributes. The caption of a track is
its positive attributes in words. Get it as https://github.com/cosmaadrian/gaitformer says.

expected folder:
  RAW_DIR/annotations.csv     columns track_id, file_name and the 42 attributes (from 0 to 1)
  RAW_DIR/<file_name>         .npy [frames, 18, 3]: x, y (down) and confidence, OpenPose's order

Four fifths of the tracks are train, a tenth val and a tenth test, chosen by --seed; what was
filmed of one track is in one split. Records are in 2D: they have joints and no motion patches.

examples:
  python -m data_prep densegait --raw_dir=DenseGait
  python -m data_prep densegait --raw_dir=DenseGait --fps=30 --min_frames=60 --name=densegait_long

reasons for which report.json drops a track:
{reasons}
"""

SYNTHETIC = """\
A procedural 22-joint human that walks, turns, jumps, kicks, waves, ..., with captions that say
what it does. Needs no files; the same --num_clips and --seed give the same clips.

examples:
  python -m data_prep synthetic
  python -m data_prep synthetic --num_clips=300 --seed=1 --name=small
"""


def main(argv: list[str] | None = None) -> None:
    args = _parser().parse_args(argv)
    # TensorFlow reports its CPU features and missing GPUs on import; neither matters here.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    try:
        args.run(args)
    except (ValueError, OSError) as error:
        # What a user can mend is a ValueError that says how, or a file or folder that the system
        # refuses: a traceback would hide it.
        if args.traceback:
            raise
        sys.exit(f"data_prep: {error}")


def _parser() -> argparse.ArgumentParser:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        "python -m data_prep", description=DESCRIPTION, formatter_class=raw
    )
    traceback = {"action": "store_true", "help": "show where an error comes from"}
    parser.add_argument("--traceback", **traceback)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    reasons = "\n".join(f"  {reason:<20} {meaning}" for reason, meaning in REASONS.items())

    def command(name: str, help_line: str, description: str, run) -> argparse.ArgumentParser:
        sub = commands.add_parser(
            name, help=help_line, description=description, formatter_class=raw
        )
        sub.set_defaults(run=run, command=name)
        # Before the command and after it; without the default it would take back the former.
        sub.add_argument("--traceback", **traceback, default=argparse.SUPPRESS)
        return sub

    def published(name, help_line, about, run, joints, rate, example):
        text = LAYOUT.format(
            about=about, command=name, joints=joints, rate=rate, example=example, reasons=reasons
        )
        sub = command(name, help_line, text, run)
        sub.add_argument("--raw_dir", required=True, help="the folder described above")
        _add_label_options(sub)
        _add_prepare_options(sub, name)
        return sub

    sub = published(
        "humanml3d", "HumanML3D, or clips in its layout", HUMANML3D, _humanml3d,
        joints=22, rate=20, example="HumanML3D/HumanML3D",
    )  # fmt: skip
    sub.add_argument("--fps", type=float, default=20.0, help="of the clips, where they are not at "
                     "20; they are brought to 20 (default: %(default)g)")  # fmt: skip
    published(
        "kit_ml", "KIT-ML", KIT_ML, _kit_ml, joints=21, rate=12.5, example="KIT-ML"
    )  # fmt: skip
    sub = command("babel", "BABEL", BABEL.format(reasons=reasons), _babel)
    sub.add_argument("--raw_dir", required=True, help="the folder of the annotations")
    sub.add_argument("--amass_dir", help="the folder of AMASS")
    sub.add_argument("--smplh_dir", help="the folder of the body models")
    sub.add_argument("--joints_dir", help="joints, in the place of AMASS and the body models")
    sub.add_argument("--extra", action="store_true", help="also read extra_train and extra_val")
    sub.add_argument("--labels", choices=("segments", "sequence"), default="segments",
                     help="segments: labels with times, where there are none those of the whole "
                     "sequence; sequence: the latter only (default: %(default)s)")  # fmt: skip
    sub.add_argument("--classes", type=int, default=60, help="the first so many of the "
                     "benchmark's 60 classes (default: %(default)s)")  # fmt: skip
    sub.add_argument("--seed", type=int, default=0, help="of the choice of val "
                     "(default: %(default)s)")  # fmt: skip
    _add_prepare_options(sub, "babel")

    sub = command("densegait", "DenseGait", DENSEGAIT.format(reasons=reasons), _densegait)
    sub.add_argument("--raw_dir", required=True, help="the folder described above")
    sub.add_argument("--fps", type=float, default=24.0, help="frames a second of the files, which "
                     "do not state it; records keep it (default: %(default)g)")  # fmt: skip
    sub.add_argument("--seed", type=int, default=0, help="of the splits (default: %(default)s)")
    _add_prepare_options(sub, "densegait")

    sub = command("synthetic", "the built-in dataset", SYNTHETIC, _synthetic)
    sub.add_argument("--num_clips", type=int, default=2400, help="default: %(default)s")
    sub.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    _add_prepare_options(sub, "synthetic")

    sub = command("embed", "sentence vectors of captions and classes", embed.__doc__, embed.run)
    embed.add_arguments(sub)
    sub = command("describe", "a language model's words for labels", describe.__doc__, describe.run)
    describe.add_arguments(sub)
    sub = command("show", "a page of what was prepared, to look at", show.__doc__, show.run)
    show.add_arguments(sub)
    return parser


def _add_label_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("labels", "action classes and attributes of the clips")
    group.add_argument("--labels_csv", metavar="FILE", help="a CSV file with a head, columns "
                       "separated by commas; its column id names the clips")  # fmt: skip
    group.add_argument("--label", metavar="COLUMN", help="the column of the action")
    group.add_argument("--attributes", metavar="COLUMN[,COLUMN...]", help="columns of words, each "
                       "of which becomes an attribute, or of numbers from 0 to 1")  # fmt: skip
    group.add_argument("--only", metavar="VALUE[,VALUE...]", help="leave out the clips of other "
                       "actions; values as the column has them")  # fmt: skip
    group.add_argument("--texts", metavar="FILE", help="JSON of descriptions and synonyms of the "
                       "classes, as data_prep/captions/babel60.json")  # fmt: skip


def _add_prepare_options(parser: argparse.ArgumentParser, name: str) -> None:
    parser.add_argument("--data_dir", default="data", help="parent of all prepared datasets "
                        "(default: %(default)s)")  # fmt: skip
    parser.add_argument("--name", default=name, help="of the prepared dataset "
                        "(default: %(default)s)")  # fmt: skip
    parser.add_argument("--patch_size", type=int, choices=(8, 16, 32), default=16,
                        help="points a body part (default: %(default)s)")  # fmt: skip
    parser.add_argument("--min_frames", type=int, default=2, help="drop shorter clips, counted "
                        "after cutting (default: %(default)s)")  # fmt: skip
    parser.add_argument("--mirror", action="store_true", help="also write every clip's mirror "
                        "image, left and right exchanged in its captions")  # fmt: skip
    parser.add_argument("--overwrite", action="store_true", help="prepare anew what is there")


def _humanml3d(args: argparse.Namespace) -> None:
    from data_prep.readers.humanml3d import HumanML3D

    source = {"raw_dir": os.path.abspath(args.raw_dir), "fps": args.fps, **_label_options(args)}
    _prepare(lambda: _labelled(HumanML3D(args.raw_dir, args.fps), args), args, **source)


def _kit_ml(args: argparse.Namespace) -> None:
    from data_prep.readers.kit_ml import KitML

    source = {"raw_dir": os.path.abspath(args.raw_dir), **_label_options(args)}
    _prepare(lambda: _labelled(KitML(args.raw_dir), args), args, **source)


def _label_options(args: argparse.Namespace) -> dict:
    """The options of the table of labels, for the report; none without it."""
    given = {name: getattr(args, name) for name in ("label", "attributes", "only", "texts")}
    if args.labels_csv:
        paths = {"labels_csv": args.labels_csv, "texts": given.pop("texts")}
        return given | {name: os.path.abspath(path) for name, path in paths.items() if path}
    if unused := [f"--{name}" for name, value in given.items() if value]:
        raise ValueError(f"{', '.join(unused)} needs the table it is about: --labels_csv=FILE")
    return {}


def _labelled(reader, args: argparse.Namespace):
    """The reader with the labels that the flags name."""
    from data_prep.readers.label_table import LabelTable

    if not args.labels_csv:
        return reader
    columns, only = (_comma_separated(x) for x in (args.attributes, args.only))
    return LabelTable(reader, args.labels_csv, args.label, columns, only, args.texts)


def _comma_separated(text: str | None) -> list[str]:
    return [part.strip() for part in (text or "").split(",") if part.strip()]


def _babel(args: argparse.Namespace) -> None:
    from data_prep.readers.babel import Babel

    folders = ("raw_dir", "amass_dir", "smplh_dir", "joints_dir")
    folders = {name: getattr(args, name) for name in folders if getattr(args, name) is not None}
    options = {"extra": args.extra, "labels": args.labels, "seed": args.seed}
    source = {name: os.path.abspath(path) for name, path in folders.items()}
    _prepare(
        lambda: Babel(**folders, **options, num_classes=args.classes),
        args, **source, **options, classes=args.classes,
    )  # fmt: skip


def _densegait(args: argparse.Namespace) -> None:
    from data_prep.readers.densegait import DenseGait

    source = {"raw_dir": os.path.abspath(args.raw_dir), "fps": args.fps, "seed": args.seed}
    _prepare(lambda: DenseGait(args.raw_dir, args.fps, args.seed), args, **source)


def _synthetic(args: argparse.Namespace) -> None:
    from data_prep.readers import Clips
    from data_prep.readers.synthetic import generate

    if args.num_clips < 2:
        raise ValueError(
            f"--num_clips={args.num_clips}; at least 2 are needed, one for train and one for test, "
            "and 8 for a clip in val"
        )
    clips = {"num_clips": args.num_clips, "seed": args.seed}
    _prepare(lambda: Clips(generate.generate(**clips)), args, **clips)


def _prepare(make_reader, args: argparse.Namespace, **source) -> None:
    from data_prep.builders import prepare

    prepare(
        make_reader,
        args.data_dir,
        args.name,
        patch_size=args.patch_size,
        min_frames=args.min_frames,
        mirror=args.mirror,
        overwrite=args.overwrite,
        source={"command": args.command, **source},
    )


if __name__ == "__main__":
    main()
