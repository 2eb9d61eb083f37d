"""HumanML3D, and any dataset in its published folder layout.

    <raw_dir>/new_joints/<name>.npy      [T, 22, 3] metres, Y up, 20 fps (or `fps`)
    <raw_dir>/texts/<name>.txt           one caption a line: caption#tokens#start#end
    <raw_dir>/train.txt val.txt test.txt one name a line
    <raw_dir>/nsim_test.txt              optional: the dissimilar subset of the test split

`start` and `end` are seconds; 0.0#0.0 (or nan) is the whole motion. The tokens are part-of-speech
tags for older models and are not used. https://github.com/EricGuo5513/HumanML3D
"""

import math
import pathlib

import numpy as np

from data_prep.readers import Caption, Reader, Spoiled, load_joints
from motionalign.skeleton import SKELETONS

SPLITS = ("train", "val", "test")


class HumanML3D(Reader):
    """Reads the published layout; a dataset with other joints overrides the constants."""

    title = "HumanML3D"
    skeleton = SKELETONS["smpl22"]
    unit_in_metres = 1.0

    def __init__(self, raw_dir: str | pathlib.Path, fps: float = 20.0):
        if not 0 < fps < math.inf:
            raise ValueError(f"--fps={fps}; expected frames a second, above 0")
        self.source_fps = fps
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
                f"no {', '.join(missing)}. Needed: new_joints/*.npy, texts/*.txt, train.txt, "
                "val.txt, test.txt" + (f". Did you mean --raw_dir={inner[0]} ?" if inner else "")
            )

    def splits(self) -> dict[str, list[str]]:
        return {split: _lines(self.raw_dir / f"{split}.txt") for split in SPLITS}

    def joints(self, source: str) -> np.ndarray:
        file = f"new_joints/{source}.npy"
        return load_joints(self.raw_dir, file, self.skeleton.num_joints)[:, None]

    def captions(self, source: str) -> list[Caption | Spoiled]:
        path = self.raw_dir / "texts" / f"{source}.txt"
        try:
            text = path.read_text(encoding="utf-8-sig").rstrip()
        except FileNotFoundError:
            raise Spoiled("text_missing", f"no file texts/{path.name}") from None
        except UnicodeDecodeError as error:
            raise Spoiled("text_malformed", f"texts/{path.name} is not UTF-8: {error}") from error
        except OSError as error:  # a folder, no permission
            raise Spoiled("text_malformed", f"texts/{path.name}: {error.strerror}") from error
        if not text:
            raise Spoiled("caption_empty", f"texts/{path.name} holds no caption")
        return [parse_caption(line) for line in text.split("\n")]

    def dissimilar_test(self) -> list[str]:
        path = self.raw_dir / "nsim_test.txt"
        return _lines(path) if path.exists() else []


def parse_caption(line: str) -> Caption | Spoiled:
    """One line `caption#tokens#start#end`, or what is wrong with it."""
    line = line.strip()
    if not line:
        return Spoiled("caption_empty", "the line is empty")
    fields = line.split("#")
    if len(fields) != 4:
        detail = f"{len(fields)} fields between '#', expected 4: {line[:80]!r}"
        return Spoiled("text_malformed", detail)
    try:
        start, end = (0.0 if math.isnan(float(x)) else float(x) for x in fields[2:])
    except ValueError:
        return Spoiled("text_malformed", f"start and end are not numbers: {fields[2:]}")
    text = fields[0].strip()
    if not text:
        return Spoiled("caption_empty", f"nothing before the first '#': {line[:80]!r}")
    return Caption(text, start, end)


def _lines(path: pathlib.Path) -> list[str]:
    """The names in a split file; blank lines are no names."""
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not a text file of names, one a line: {error}") from error
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from error
    return [line.strip() for line in lines if line.strip()]
