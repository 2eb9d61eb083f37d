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
  python -m data_prep embed     --name=humanml3d            sentence vectors of the captions
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
    reasons = "\n".join(f"  {reason:<18} {meaning}" for reason, meaning in REASONS.items())

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
    sub = command("synthetic", "the built-in dataset", SYNTHETIC, _synthetic)
    sub.add_argument("--num_clips", type=int, default=2400, help="default: %(default)s")
    sub.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    _add_prepare_options(sub, "synthetic")

    sub = command("embed", "sentence vectors of the captions", embed.__doc__, embed.run)
    embed.add_arguments(sub)
    sub = command("describe", "a language model's words for labels", describe.__doc__, describe.run)
    describe.add_arguments(sub)
    sub = command("show", "a page of what was prepared, to look at", show.__doc__, show.run)
    show.add_arguments(sub)
    return parser


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

    raw_dir = os.path.abspath(args.raw_dir)
    _prepare(lambda: HumanML3D(args.raw_dir, args.fps), args, raw_dir=raw_dir, fps=args.fps)


def _kit_ml(args: argparse.Namespace) -> None:
    from data_prep.readers.kit_ml import KitML

    _prepare(lambda: KitML(args.raw_dir), args, raw_dir=os.path.abspath(args.raw_dir))


def _synthetic(args: argparse.Namespace) -> None:
    from data_prep.readers import Clips, synthetic

    if args.num_clips < 2:
        raise ValueError(
            f"--num_clips={args.num_clips}; at least 2 are needed, one for train and one for test, "
            "and 8 for a clip in val"
        )
    clips = {"num_clips": args.num_clips, "seed": args.seed}
    _prepare(lambda: Clips(synthetic.generate(**clips)), args, **clips)


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
