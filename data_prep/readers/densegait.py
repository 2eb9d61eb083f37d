"""DenseGait: 2D poses of walking people, with appearance attributes.

    <raw_dir>/annotations.csv       one row per track: track_id, file_name, 42 probabilities
    <raw_dir>/<file_name>           .npy [T, 18, 3]: x and y of the image, y down, and confidence

https://github.com/cosmaadrian/gaitformer

The joints are in OpenPose's order (skeleton coco18: nose, neck, right arm, left arm, right leg,
left leg, eyes, ears; right first). To verify this for a file: with y up, as returned by the reader,
the nose is above the neck, the neck above the hips, and the hips above the ankles; and if a person
is seen from the back, the right shoulder has the larger x. The unit of the coordinates is that of
the file, usually pixels: only y is negated.

The caption of a track is its positive attributes in words, "male, slim, seen from the back".
"""

import argparse
import os
import pathlib

import numpy as np

from data_prep.readers import (
    Caption,
    Command,
    InvalidClip,
    Reader,
    load_joints,
    read_table,
    reasons_table,
)
from motionalign.data.dataset import attribute_words, positive_attributes
from motionalign.data.densegait import ATTRIBUTES
from motionalign.data.resample import check_fps
from motionalign.skeleton import SKELETONS

_ABOUT = f"""\
DenseGait: walking people in 2D, with the probabilities of 42 attributes. The caption of a track is
its positive attributes in words. To get it, see https://github.com/cosmaadrian/gaitformer .

expected folder:
  RAW_DIR/annotations.csv     columns track_id, file_name and the 42 attributes (from 0 to 1)
  RAW_DIR/<file_name>         .npy [frames, 18, 3]: x, y (down) and confidence, OpenPose's order

Four fifths of the tracks are train, a tenth val and a tenth test, chosen by --seed; all files of a
track are in the same split. Records are in 2D: they have joints, but no motion patches.

examples:
  python -m data_prep densegait --raw_dir=DenseGait
  python -m data_prep densegait --raw_dir=DenseGait --fps=30 --min_frames=60 --name=densegait_long

reasons for dropping a track, as in report.json:
{reasons_table("attributes_malformed")}
"""

COLUMNS = [column for group in ATTRIBUTES.values() for column in group]


class DenseGait(Reader):
    """Reads DenseGait; the name of a source is its file's path with "-" for "/", without .npy.

    Four fifths of the tracks by `track_id` are train, a tenth val and a tenth test; all files of a
    track are in the same split.
    """

    skeleton = SKELETONS["coco18"]
    unit_in_metres = None
    attribute_names = tuple(words for group in ATTRIBUTES.values() for words in group.values())
    attribute_groups = {group: tuple(of.values()) for group, of in ATTRIBUTES.items()}  # noqa: RUF012
    attribute_opposites = {"female": "male"}  # noqa: RUF012

    def __init__(self, raw_dir: str | pathlib.Path, fps: float = 24.0, seed: int = 0) -> None:
        """Reads annotations.csv.

        Args:
          raw_dir: the folder described above.
          fps: frame rate of the files, which do not state it; records keep this rate.
          seed: of the splits.

        Raises:
          ValueError: annotations.csv is missing or lacks a column.
        """
        self.fps = self.source_fps = check_fps(fps, "--fps")
        self.raw_dir = pathlib.Path(raw_dir)
        path = self.raw_dir / "annotations.csv"
        if not path.is_file():
            raise ValueError(
                f"{path} does not exist; --raw_dir must be the folder of annotations.csv and the "
                "files listed in it"
            )
        rows = read_table(path, ["track_id", "file_name", *COLUMNS])
        self._names = [_source_name(row, line) for line, row in rows]
        self._tracks = [(row["track_id"] or "").strip() for _, row in rows]
        self._rows = {}
        for name, (line, row) in zip(self._names, rows):
            first_line, first = self._rows.setdefault(name, (line, row))
            if first["file_name"] != row["file_name"]:
                raise ValueError(
                    f"{path}: the files of lines {first_line} and {line}, {first['file_name']} and "
                    f"{row['file_name']}, would both get the name {name}. Rename one of them"
                )
        tracks = sorted(set(self._tracks))
        order = np.random.default_rng(seed).permutation(len(tracks))
        tenth = round(len(tracks) / 10)
        of_track = dict.fromkeys(tracks, "train")
        of_track |= {tracks[i]: "val" for i in order[:tenth]}
        of_track |= {tracks[i]: "test" for i in order[tenth : 2 * tenth]}
        self._split_of = of_track

    def splits(self) -> dict[str, list[str]]:
        """The names of the files in each split, in the order of the table."""
        listed = {"train": [], "val": [], "test": []}
        for name, track in zip(self._names, self._tracks):
            listed[self._split_of[track]].append(name)
        return listed

    def joints(self, source: str) -> np.ndarray:
        """[T, 1, 18, 3] float32: x, y (up) and confidence; raises InvalidClip."""
        line, row = self._rows[source]
        for column in ("track_id", "file_name"):
            if not (row[column] or "").strip():
                raise InvalidClip("attributes_malformed", f"line {line} has no {column}")
        joints = load_joints(self.raw_dir, row["file_name"].strip(), self.skeleton.num_joints)
        return (joints * np.array([1, -1, 1], np.float32))[:, None]

    def attributes(self, source: str) -> np.ndarray:
        """[42] float32 probabilities from the source's row; raises InvalidClip."""
        line, row = self._rows[source]
        return probabilities(row, COLUMNS, f"line {line}")

    def captions(self, source: str) -> list[Caption | InvalidClip]:
        """One caption: the positive attributes in words."""
        names, opposites = self.attribute_names, self.attribute_opposites
        positive = positive_attributes(self.attributes(source), names, opposites)
        return [Caption(attribute_words(positive, names, opposites))]

    def unlisted(self) -> list[str]:
        """The .npy files in the folder that annotations.csv does not name."""
        named = {(row["file_name"] or "").strip() for _, row in self._rows.values()}
        files = (path.relative_to(self.raw_dir).as_posix() for path in self.raw_dir.rglob("*.npy"))
        return sorted(file for file in files if file not in named)


def _source_name(row: dict, line: int) -> str:
    file = (row["file_name"] or "").strip()
    return file.removesuffix(".npy").replace("/", "-") if file else f"line-{line}"


def probabilities(row: dict, columns: list[str], where: str) -> np.ndarray:
    """The given columns of a row as [A] float32; raises InvalidClip unless all are in [0, 1]."""
    values = []
    for column in columns:
        try:
            value = float(row[column])
        except (TypeError, ValueError):
            detail = f"{where}: {column} is {row[column]!r}, not a number"
            raise InvalidClip("attributes_malformed", detail) from None
        if not 0 <= value <= 1:
            detail = f"{where}: {column} is {value:g}, not a probability from 0 to 1"
            raise InvalidClip("attributes_malformed", detail)
        values.append(value)
    return np.array(values, np.float32)


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--raw_dir", required=True, help="the folder described above")
    parser.add_argument("--fps", type=float, default=24.0, help="frames per second of the files, "
                        "which do not state it; records keep this rate "
                        "(default: %(default)g)")  # fmt: skip
    parser.add_argument("--seed", type=int, default=0, help="seed of the splits "
                        "(default: %(default)s)")  # fmt: skip


COMMAND = Command(
    name="densegait",
    summary="DenseGait",
    about=_ABOUT,
    add_options=_add_options,
    source=lambda args: {
        "raw_dir": os.path.abspath(args.raw_dir),
        "fps": args.fps,
        "seed": args.seed,
    },
    make=lambda args: DenseGait(args.raw_dir, args.fps, args.seed),
    config="densegait_gaitformer",
)
