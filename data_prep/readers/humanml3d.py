"""HumanML3D, and any dataset in its published folder layout.

    <raw_dir>/new_joints/<name>.npy      [T, 22, 3] metres, Y up, 20 fps (or `fps`)
    <raw_dir>/texts/<name>.txt           one caption per line: caption#tokens#start#end
    <raw_dir>/train.txt val.txt test.txt one name per line
    <raw_dir>/nsim_test.txt              optional: the dissimilar subset of the test split

`start` and `end` are seconds; 0.0#0.0 (or nan) means the complete motion. The tokens are
part-of-speech tags for older models and are not used. https://github.com/EricGuo5513/HumanML3D
"""

import argparse
import contextlib
import math
import os
import pathlib
from collections.abc import Callable

import numpy as np

from data_prep import splits
from data_prep.content import Content
from data_prep.readers import (
    Caption,
    Command,
    InvalidClip,
    Reader,
    below,
    declared,
    label_table,
    load_joints,
    read_table,
    reasons_table,
)
from data_prep.splits import SPLITS, SplitPlan, make_splits
from motionalign import reading
from motionalign.conventions import Declared
from motionalign.data.resample import check_fps
from motionalign.skeleton import SKELETONS

PUBLISHED = "published"  # value of --captions
_LONGEST_TEXT = 1 << 20  # bytes of a text file
_LONGEST_NAME = 251  # bytes of a name, as file systems allow 255 with .npy

_ABOUT = """\
HumanML3D, or your own clips in its layout: the first 22 joints of SMPL, in SMPL's order
(motionalign/skeleton.py) and in metres; a caption without times is "a person waves##0#0". To get
HumanML3D, see https://github.com/EricGuo5513/HumanML3D (it needs AMASS, whose licence is personal).
--raw_dir is the folder that contains new_joints."""

_LAYOUT = """\
{about}

expected folder:
  RAW_DIR/new_joints/<name>.npy   [frames, {joints}, 3], {rate:g} frames per second, Y up
  RAW_DIR/texts/<name>.txt        one caption per line: caption#tokens#start#end
                                  (seconds; 0.0#0.0 means the complete motion, other times cut out
                                  a clip)
  RAW_DIR/train.txt val.txt test.txt   one name per line; M<name> is the mirrored twin of <name>
  RAW_DIR/nsim_test.txt           optional: the names of the published dissimilar subset (from TMR)

examples:
  python -m data_prep {command} --raw_dir={example}
  python -m data_prep {command} --raw_dir={example} --patch_size=8 --name={command}_p8{more}

splits of a folder without train.txt, val.txt and test.txt; plain captions, one per line:
  python -m data_prep {command} --raw_dir={labelled} --name=mine --split=80,10,10 --captions=plain

labels of the clips, from a CSV file with a header and a column id (the names in the split files):
  python -m data_prep {command} --raw_dir={labelled} --name=actions --labels_csv=labels.csv \\
    --label=action --attributes=style

reasons for dropping a clip or a caption line, as in report.json:
{reasons}
"""


class HumanML3D(Reader):
    """Reads the published layout; a subclass for other joints overrides the constants."""

    title = "HumanML3D"
    skeleton = SKELETONS["smpl22"]
    unit_in_metres = 1.0

    def __init__(
        self,
        raw_dir: str | pathlib.Path,
        fps: float = 20.0,
        captions: str = PUBLISHED,
        split: SplitPlan | None = None,
        declared: Declared | None = None,
        canonical: bool = False,
        sensor: str = "optical",
    ) -> None:
        """Checks the folder.

        Args:
          raw_dir: the folder described above.
          fps: frames per second of the clips.
          captions: one of `CAPTIONS`, the form of the lines of texts/*.txt: "published" or "plain",
            the caption alone.
          split: how to make the splits of a folder without split files.
          declared: unit, axes and joint order of the files; default: those described above.
          canonical: whether every clip is moved and turned as in HumanML3D.
          sensor: see `Reader`.

        Raises:
          ValueError: a file or folder is missing, an argument is invalid, or there are split files
            and a plan to make them.
        """
        self.source_fps = check_fps(fps, "--fps")
        if captions not in CAPTIONS:
            raise ValueError(f"--captions={captions}; expected {' or '.join(CAPTIONS)}")
        self._parse = CAPTIONS[captions]
        self.advice = _ADVICE[captions]
        self.sensor, self.canonical = sensor, canonical
        self._declared = self.declared = declared or Declared()
        self.raw_dir = pathlib.Path(raw_dir)
        self._check_folder(split is not None)
        self._made = None
        if split is not None:
            self._made, self.split_made = make_splits(self._names(), split, self._keys())
            self.notes = (splits.note(self.split_made),)

    def _check_folder(self, makes_splits: bool) -> None:
        """Raises ValueError if a part of the layout is missing."""
        files = [f"{split}.txt" for split in SPLITS]
        there = [name for name in files if (self.raw_dir / name).exists()]
        if makes_splits and there:
            raise ValueError(
                f"--split makes splits, but {self.raw_dir} has {', '.join(there)}: leave out "
                "--split to use these, or move them away"
            )
        needed = ["new_joints", "texts", *([] if makes_splits else files)]
        missing = [name for name in needed if not (self.raw_dir / name).exists()]
        if not missing:
            return
        inner = [
            str(path.parent)
            for path in sorted(self.raw_dir.glob("*/new_joints"))
            if (path.parent / "train.txt").exists()
        ]
        hint = f". Did you mean --raw_dir={inner[0]} ?" if inner else ""
        if missing == files:
            hint = f". To make splits, add {splits.EXAMPLE}"
        raise ValueError(
            f"{self.raw_dir} is not a folder in {self.title}'s layout: "
            f"no {', '.join(missing)}. Expected new_joints/*.npy, texts/*.txt, train.txt, "
            f"val.txt, test.txt{hint}"
        )

    def _names(self) -> list[str]:
        """The clips that have a motion file, sorted; a ValueError without any."""
        names = sorted(path.stem for path in (self.raw_dir / "new_joints").glob("*.npy"))
        if not names:
            raise ValueError(f"--split: {self.raw_dir}/new_joints has no .npy file to split")
        return names

    def _keys(self) -> dict[str, tuple[bytes, bytes]]:
        """{clip: a key that its copies and mirror images share}, of the readable clips."""
        keys = {}
        for name in self._names():
            with contextlib.suppress(InvalidClip):  # the survey gives the reason
                keys[name] = Content.of(self.placed(self.joints(name)), self.skeleton).key
        return keys

    def splits(self) -> dict[str, list[str]]:
        """The names in train.txt, val.txt and test.txt, or the splits that were made."""
        if self._made is not None:
            return self._made
        return {split: _lines(self.raw_dir / f"{split}.txt") for split in SPLITS}

    def unlisted(self) -> list[str]:
        """The files in new_joints and texts that belong to no name in the split files."""
        names = {name for of_split in self.splits().values() for name in of_split}
        return [
            f"{folder}/{file}"
            for folder, suffix in (("new_joints", ".npy"), ("texts", ".txt"))
            for file in sorted(os.listdir(self.raw_dir / folder))
            if file[0] != "." and not (file.endswith(suffix) and file[: -len(suffix)] in names)
        ]

    def joints(self, source: str) -> np.ndarray:
        """[T, 1, J, 3] float32 from new_joints/<source>.npy; raises InvalidClip."""
        file = f"new_joints/{source}.npy"
        given = self._declared
        number = given.num_joints(self.skeleton)
        joints = load_joints(self.raw_dir, file, number, given.order is not None)
        return given.convert(joints, self.skeleton, self.unit_in_metres)[:, None]

    def captions(self, source: str) -> list[Caption | InvalidClip]:
        """The lines of texts/<source>.txt; raises InvalidClip if it cannot be read or is empty."""
        path = self.raw_dir / "texts" / f"{source}.txt"
        if not reading.is_there(path):
            raise InvalidClip("text_missing", f"no file texts/{path.name}")
        try:
            text = reading.read_text(path, _LONGEST_TEXT).rstrip()
        except ValueError as error:
            raise InvalidClip("text_malformed", below(self.raw_dir, error)) from error
        if not text:
            raise InvalidClip("caption_empty", f"texts/{path.name} holds no caption")
        return [self._parse(line) for line in text.split("\n")]

    def dissimilar_test(self) -> list[str]:
        """The names in nsim_test.txt, if it exists."""
        path = self.raw_dir / "nsim_test.txt"
        return _lines(path) if path.exists() else []


def parse_caption(line: str) -> Caption | InvalidClip:
    """Parses a line `caption#tokens#start#end`; returns an InvalidClip if it is malformed."""
    line = line.strip()
    if not line:
        return InvalidClip("caption_empty", "the line is empty")
    fields = line.split("#")
    if len(fields) != 4:
        found = f"{len(fields)} fields between '#'" if len(fields) > 1 else "a line without '#'"
        detail = f"{found}, expected 4, caption#tokens#start#end: {line[:80]!r}"
        return InvalidClip("text_malformed", detail)
    try:
        start, end = (0.0 if math.isnan(float(x)) else float(x) for x in fields[2:])
    except ValueError:
        return InvalidClip("text_malformed", f"start and end are not numbers: {fields[2:]}")
    text = fields[0].strip()
    if not text:
        return InvalidClip("caption_empty", f"nothing before the first '#': {line[:80]!r}")
    return Caption(text, start, end)


def parse_plain_caption(line: str) -> Caption | InvalidClip:
    """A line that is a caption of the complete clip, and may contain "#"."""
    text = line.strip()
    if not text:
        return InvalidClip("caption_empty", "the line is empty")
    if isinstance(parse_caption(text), Caption):
        detail = f"the line has the published form caption#tokens#start#end: {text[:80]!r}"
        return InvalidClip("text_malformed", detail)
    return Caption(text)


CAPTIONS: dict[str, Callable[[str], Caption | InvalidClip]] = {
    PUBLISHED: parse_caption,
    "plain": parse_plain_caption,
}
"""How a line of texts/*.txt is parsed, by the value of --captions."""

_ADVICE = {
    PUBLISHED: {
        "text_malformed": "Each line must be caption#tokens#start#end, like a person waves##0#0. "
        "If the lines are captions only, add --captions=plain.",
        "span_outside": "Times are seconds, not frames, at the frame rate that --fps states; check "
        "both, or write 0#0 for the complete clip.",
    },
    "plain": {
        "text_malformed": "These files are not plain captions: leave out --captions=plain.",
    },
}


def _lines(path: pathlib.Path) -> list[str]:
    """The names in a split file; blank lines are skipped."""
    names = [line.strip() for line in reading.read_text(path).split("\n")]
    for number, name in enumerate(names, start=1):
        if len(name.encode()) > _LONGEST_NAME or "\0" in name:
            raise ValueError(
                f"{path}, line {number}: {name[:40]!r}... is not the name of a file; expected one "
                f"name per line, of at most {_LONGEST_NAME} bytes"
            )
    return [name for name in names if name]


def help_text(
    command: str, about: str, joints: int, rate: float, example: str, own: str | None = None
) -> str:
    """The help text of a command that reads this layout.

    Args:
      command: name of the command.
      about: what it reads, and where to get it.
      joints: number of joints in the files.
      rate: frames per second of the files.
      example: an example of --raw_dir.
      own: an example of --raw_dir with clips of one's own, if the layout is used for such.
    """
    mine = f"\n  python -m data_prep {command} --raw_dir={own} --name=mine --mirror"
    return _LAYOUT.format(
        about=about, command=command, joints=joints, rate=rate, example=example,
        more=mine if own else "", labelled=own or example,
        reasons=reasons_table(
            "text_missing", "text_malformed", "caption_empty", "span_outside",
            "label_missing", "attributes_malformed",
        ),
    )  # fmt: skip


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--raw_dir", required=True, help="the folder described above")
    add_options(parser)
    parser.add_argument("--fps", type=float, default=20.0, help="frames per second of the clips, "
                        "which are resampled to 20 (default: %(default)g)")  # fmt: skip
    declared.add_options(parser)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options that all readers of this layout have."""
    parser.add_argument("--captions", choices=tuple(CAPTIONS), default=PUBLISHED, help="the lines "
                        "of texts/*.txt: caption#tokens#start#end, or plain captions of the "
                        "complete clip (default: %(default)s)")  # fmt: skip
    label_table.add_options(parser)
    splits.add_options(parser)


def source(args: argparse.Namespace) -> dict:
    """These options, and the folder, as stored in report.json."""
    return {
        "raw_dir": os.path.abspath(args.raw_dir),
        "captions": args.captions,
        **splits.source(args),
        **label_table.source(args),
    }


def _source(args: argparse.Namespace) -> dict:
    return {**source(args), "fps": args.fps, **declared.source(args)}


def _make(args: argparse.Namespace) -> Reader:
    reader = HumanML3D(
        args.raw_dir,
        args.fps,
        args.captions,
        splits.plan(args, read_table),
        declared.declared(args),
        args.canonical,
        args.sensor,
    )
    return label_table.labelled(reader, args)


COMMAND = Command(
    name="humanml3d",
    summary="HumanML3D, or clips in its layout",
    about=help_text(
        "humanml3d", _ABOUT, joints=22, rate=20, example="HumanML3D/HumanML3D", own="my_clips"
    ),
    add_options=_add_options,
    source=_source,
    make=_make,
    config="humanml3d_vit",
    paths=("raw_dir", *label_table.PATHS),
)
