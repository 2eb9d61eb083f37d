"""HumanML3D, and any dataset in its published folder layout.

    <raw_dir>/new_joints/<name>.npy      [T, 22, 3] metres, Y up, 20 fps (or `fps`)
    <raw_dir>/texts/<name>.txt           one caption per line: caption#tokens#start#end
    <raw_dir>/train.txt val.txt test.txt one name per line
    <raw_dir>/nsim_test.txt              optional: the dissimilar subset of the test split

`start` and `end` are seconds; 0.0#0.0 (or nan) means the complete motion. The tokens are
part-of-speech tags for older models and are not used. https://github.com/EricGuo5513/HumanML3D
"""

import argparse
import math
import os
import pathlib

import numpy as np

from data_prep.readers import (
    REASONS_TABLE,
    Caption,
    Command,
    InvalidClip,
    Reader,
    declared,
    label_table,
    load_joints,
)
from motionalign.conventions import Declared, canonical
from motionalign.skeleton import SKELETONS

SPLITS = ("train", "val", "test")

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
  python -m data_prep {command} --raw_dir={example} --patch_size=8 --name={command}_p8
  python -m data_prep {command} --raw_dir=my_clips --name=mine --mirror

labels of the clips, from a CSV file with a header and a column id (the names in the split files):
  python -m data_prep {command} --raw_dir=my_clips --name=actions --labels_csv=labels.csv \\
    --label=content --attributes=style,sex

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
        declared: Declared | None = None,
        canonical: bool = False,
        sensor: str = "optical",
    ) -> None:
        """Checks the folder.

        Args:
          raw_dir: the folder described above.
          fps: frames per second of the clips.
          declared: unit, axes and joint order of the files; default: those described above.
          canonical: whether every clip is moved and turned as in HumanML3D.
          sensor: see `Reader`.

        Raises:
          ValueError: a file or folder is missing, or the frame rate is invalid.
        """
        if not 0 < fps < math.inf:
            raise ValueError(f"--fps={fps}; expected frames per second, above 0")
        self.source_fps = fps
        self.sensor = sensor
        self._declared, self._canonical = declared or Declared(), canonical
        self.raw_dir = pathlib.Path(raw_dir)
        needed = ["new_joints", "texts", *(f"{split}.txt" for split in SPLITS)]
        missing = [name for name in needed if not (self.raw_dir / name).exists()]
        if missing:
            inner = [
                str(path.parent)
                for path in sorted(self.raw_dir.glob("*/new_joints"))
                if (path.parent / "train.txt").exists()
            ]
            raise ValueError(
                f"{self.raw_dir} is not a folder in {self.title}'s layout: "
                f"no {', '.join(missing)}. Expected new_joints/*.npy, texts/*.txt, train.txt, "
                "val.txt, test.txt" + (f". Did you mean --raw_dir={inner[0]} ?" if inner else "")
            )

    def splits(self) -> dict[str, list[str]]:
        """The names in train.txt, val.txt and test.txt."""
        return {split: _lines(self.raw_dir / f"{split}.txt") for split in SPLITS}

    def joints(self, source: str) -> np.ndarray:
        """[T, 1, J, 3] float32 from new_joints/<source>.npy; raises InvalidClip."""
        file = f"new_joints/{source}.npy"
        joints = load_joints(self.raw_dir, file, self._declared.num_joints(self.skeleton))
        joints = self._declared.convert(joints, self.skeleton, self.unit_in_metres)
        if self._canonical and len(joints) and np.isfinite(joints).all():
            joints = canonical(joints, self.skeleton)
        return joints[:, None]

    def captions(self, source: str) -> list[Caption | InvalidClip]:
        """The lines of texts/<source>.txt; raises InvalidClip if it cannot be read or is empty."""
        path = self.raw_dir / "texts" / f"{source}.txt"
        try:
            text = path.read_text(encoding="utf-8-sig").rstrip()
        except FileNotFoundError:
            raise InvalidClip("text_missing", f"no file texts/{path.name}") from None
        except UnicodeDecodeError as error:
            raise InvalidClip(
                "text_malformed", f"texts/{path.name} is not UTF-8: {error}"
            ) from error
        except OSError as error:  # a folder, no permission
            raise InvalidClip("text_malformed", f"texts/{path.name}: {error.strerror}") from error
        if not text:
            raise InvalidClip("caption_empty", f"texts/{path.name} holds no caption")
        return [parse_caption(line) for line in text.split("\n")]

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
        detail = f"{len(fields)} fields between '#', expected 4: {line[:80]!r}"
        return InvalidClip("text_malformed", detail)
    try:
        start, end = (0.0 if math.isnan(float(x)) else float(x) for x in fields[2:])
    except ValueError:
        return InvalidClip("text_malformed", f"start and end are not numbers: {fields[2:]}")
    text = fields[0].strip()
    if not text:
        return InvalidClip("caption_empty", f"nothing before the first '#': {line[:80]!r}")
    return Caption(text, start, end)


def _lines(path: pathlib.Path) -> list[str]:
    """The names in a split file; blank lines are skipped."""
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not a text file of one name per line: {error}") from error
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from error
    return [line.strip() for line in lines if line.strip()]


def help_text(command: str, about: str, joints: int, rate: float, example: str) -> str:
    """The help text of a command that reads this layout.

    Args:
      command: name of the command.
      about: what it reads, and where to get it.
      joints: number of joints in the files.
      rate: frames per second of the files.
      example: an example of --raw_dir.
    """
    return _LAYOUT.format(
        about=about, command=command, joints=joints, rate=rate, example=example,
        reasons=REASONS_TABLE,
    )  # fmt: skip


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--raw_dir", required=True, help="the folder described above")
    label_table.add_options(parser)
    parser.add_argument("--fps", type=float, default=20.0, help="frames per second of the clips, "
                        "which are resampled to 20 (default: %(default)g)")  # fmt: skip
    declared.add_options(parser)


def _source(args: argparse.Namespace) -> dict:
    raw_dir = os.path.abspath(args.raw_dir)
    given = {"raw_dir": raw_dir, "fps": args.fps}
    return given | declared.source(args) | label_table.source(args)


def _make(args: argparse.Namespace) -> Reader:
    reader = HumanML3D(
        args.raw_dir,
        args.fps,
        declared.declared(args),
        args.canonical,
        args.sensor,
    )
    return label_table.labelled(reader, args)


COMMAND = Command(
    name="humanml3d",
    summary="HumanML3D, or clips in its layout",
    about=help_text("humanml3d", _ABOUT, joints=22, rate=20, example="HumanML3D/HumanML3D"),
    add_options=_add_options,
    source=_source,
    make=_make,
    config="humanml3d_vit",
    paths=("raw_dir", *label_table.PATHS),
)
