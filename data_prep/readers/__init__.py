"""Readers: one file a source format, from raw files to joints, captions and classes.

A reader is a subclass of `Reader` and a `Command`, the command line that makes it. It is a file of
this package, and a line of READERS in data_prep/__main__.py.

A reader knows its format and nothing of records, patches or splits of ours. What it finds wrong
with a source it raises as `InvalidClip`, under one of `REASONS`; the survey (data_prep/survey.py)
counts it.
"""

import argparse
import csv
import dataclasses
import pathlib
import warnings
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType

import numpy as np

from motionalign.skeleton import SKELETONS, Skeleton

FPS = 20.0  # of records, if a reader does not say otherwise; most published models see this rate

REASONS = {
    "duplicate_id": "the name is listed more than once",
    "motion_missing": "no motion file",
    "motion_unreadable": "the motion file is damaged, or lacks what it should hold",
    "wrong_shape": "the motion is not [frames, joints, 3] numbers",
    "not_finite": "the motion holds NaN or infinity, or would as float16, z-scored",
    "too_short": "fewer frames than --min_frames, after cutting",
    "text_missing": "no text file",
    "text_malformed": "not caption#tokens#start#end",
    "caption_empty": "the caption has no words",
    "span_outside": "the span is not within the motion; an end up to 1 s past it is cut",
    "label_missing": "nobody labelled it: no annotation, or no row in the table of labels",
    "label_unknown": "its labels are none of the classes",
    "attributes_malformed": "the row of its attributes is incomplete, or not probabilities",
}
REASONS_TABLE = "\n".join(f"  {reason:<20} {meaning}" for reason, meaning in REASONS.items())

# Annotators mark seconds by eye, so a span may end a little after the motion does; the published
# loader cuts such a span at the last frame, and so do we. Further out it is another clip's span.
SPAN_SLACK = 1.0  # seconds


class InvalidClip(Exception):
    """A source or caption line that cannot be used, and why."""

    def __init__(self, reason: str, detail: str) -> None:
        """`reason`: a key of `REASONS`; `detail`: what was found, for report.json."""
        assert reason in REASONS, reason
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


@dataclasses.dataclass(frozen=True)
class Caption:
    """A sentence about seconds `start` to `end` of a source; (0, 0) is all of it.

    With a `label`, an index into the reader's `label_names`, it makes a record of its own.
    """

    text: str
    start: float = 0.0
    end: float = 0.0
    label: int | None = None

    @property
    def is_whole(self) -> bool:
        """Whether it is about all of the source."""
        return self.start == 0 and self.end == 0


class Reader:
    """What a source format offers; the protocol of all readers.

    Sources go by the names of the split files. A format overrides what it has: the attributes
    without a default, splits, joints and captions at least.

    Attributes:
      skeleton: of all sources.
      source_fps: frames a second of the sources.
      unit_in_metres: of the joints; None: unknown.
      fps: frames a second of the records; the joints are resampled where `source_fps` differs.
      label_names: the action classes; the index is the label.
      attribute_names: A names.
      attribute_groups: {group: names}.
      attribute_opposites: {name: what its absence is called}.
      num_rotations: R; 0: the source has no rotations.
      notes: what the user is to be told of what was left out, a line each.
    """

    skeleton: Skeleton
    source_fps: float
    unit_in_metres: float | None
    fps: float = FPS
    label_names: tuple[str, ...] = ()
    attribute_names: tuple[str, ...] = ()
    attribute_groups: Mapping[str, tuple[str, ...]] = MappingProxyType({})
    attribute_opposites: Mapping[str, str] = MappingProxyType({})
    num_rotations: int = 0
    notes: tuple[str, ...] = ()

    def splits(self) -> dict[str, list[str]]:
        """The names listed in each of train, val and test, as listed, repeats included."""
        raise NotImplementedError

    def joints(self, source: str) -> np.ndarray:
        """[T, M, J, 3] float32 at `source_fps`, Y up; raises InvalidClip.

        Of a skeleton in 2D the third number is the confidence.
        """
        raise NotImplementedError

    def rotations(self, source: str) -> np.ndarray:
        """[T, M, R, 6] float32, of the same frames; asked for only if there are `num_rotations`."""
        raise NotImplementedError

    def captions(self, source: str) -> list[Caption | InvalidClip]:
        """One entry per caption line, in file order; InvalidClip if there is no text at all."""
        raise NotImplementedError

    def label(self, source: str) -> int | None:
        """The class of a source, and of all its captions that have no label of their own.

        It makes no records: captions do.
        """
        return None

    def attributes(self, source: str) -> np.ndarray:
        """[A] float32 probabilities; raises InvalidClip. Asked for only if there are names."""
        raise NotImplementedError

    def class_texts(self) -> dict[str, dict[str, list[str]]]:
        """Other words for the classes: {"descriptions": {class: [texts]}, "synonyms": {...}}."""
        return {}

    def dissimilar_test(self) -> list[str]:
        """Names of the published dissimilar test subset; empty where there is none."""
        return []


@dataclasses.dataclass(frozen=True)
class Command:
    """The command line of a reader: `python -m data_prep NAME`.

    Attributes:
      name: of the command, and of the prepared dataset unless --name says otherwise.
      summary: a few words for the list of commands.
      about: the help: what the source is, where to get it, the folders expected, examples.
      add_options: adds the reader's own options to a parser.
      source: these options as report.json keeps them, paths absolute. A ValueError where they do
        not go together; called before anything is read.
      make: the reader that the options ask for; called only if there is something to prepare.
      config: the shipped config that trains on such a dataset: configs/CONFIG.py.
      paths: what of `source` says where files lie.
    """

    name: str
    summary: str
    about: str
    add_options: Callable[[argparse.ArgumentParser], None]
    source: Callable[[argparse.Namespace], dict]
    make: Callable[[argparse.Namespace], Reader]
    config: str
    paths: tuple[str, ...] = ("raw_dir",)


def load_joints(folder: pathlib.Path, file: str, num_joints: int) -> np.ndarray:
    """Joints [T, J, 3] float32 of one person, from an .npy file of any kind of number.

    Args:
      folder: of the dataset.
      file: path in it, which the reasons name.
      num_joints: J.

    Raises:
      InvalidClip: no file, a damaged one, one that holds pickled objects, or another shape.
    """
    try:
        joints = np.load(folder / file, allow_pickle=False)
    except FileNotFoundError:
        raise InvalidClip("motion_missing", f"no file {file}") from None
    except Exception as error:  # a damaged file makes NumPy fail in a dozen ways, all alike here
        message = f"{file}: {type(error).__name__}: {error}"
        raise InvalidClip("motion_unreadable", message) from error
    if not isinstance(joints, np.ndarray):
        raise InvalidClip("motion_unreadable", f"{file} is an archive, not an array")
    if joints.ndim != 3 or joints.shape[1:] != (num_joints, 3) or joints.dtype.kind not in "fiu":
        raise InvalidClip(
            "wrong_shape",
            f"found {joints.dtype} {list(joints.shape)}, expected numbers "
            f"[frames, {num_joints}, 3]",
        )
    return joints.astype(np.float32)


def read_table(path: str | pathlib.Path, columns: list[str]) -> list[tuple[int, dict]]:
    """The rows of a CSV file with a head, as (line in the file, {column: text or None}).

    Raises:
      ValueError: it cannot be read, lacks one of these columns, or has no rows.
    """
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            table = csv.DictReader(file)
            known = table.fieldnames or []
            rows = [(table.line_num, row) for row in table]
    except OSError as error:
        where = pathlib.Path(path).absolute()
        raise ValueError(f"{where} cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path} cannot be read as CSV: {error}") from error
    missing = [column for column in columns if column not in known]
    if missing:
        hint = " (columns are separated by commas)" if len(known) == 1 else ""
        raise ValueError(
            f"{path} has no column {', '.join(missing)}; it has {', '.join(known) or 'none'}{hint}"
        )
    if not rows:
        raise ValueError(f"{path} has a head but no rows")
    return rows


class Clips(Reader):
    """A reader over clips that are in memory already, at 20 fps and in metres."""

    source_fps = FPS
    unit_in_metres = 1.0

    def __init__(self, clips: Iterable, skeleton: str = "smpl22") -> None:
        """`clips`: objects with a unique id, split, joints [T, J, 3] and captions (list of str)."""
        self.skeleton = SKELETONS[skeleton]
        self._clips = {}
        for clip in clips:
            if clip.id in self._clips:
                raise ValueError(f"two clips have the id {clip.id!r}; ids must be unique")
            self._clips[clip.id] = clip

    def splits(self) -> dict[str, list[str]]:
        """The ids of each split, in the order of the clips."""
        names = {"train": [], "val": [], "test": []}
        for clip in self._clips.values():
            names[clip.split].append(clip.id)
        return names

    def joints(self, source: str) -> np.ndarray:
        """[T, 1, J, 3] float32 of the clip with this id."""
        return self._clips[source].joints[:, None].astype(np.float32)

    def captions(self, source: str) -> list[Caption | InvalidClip]:
        """The clip's captions, each about all of it."""
        return [Caption(text) for text in self._clips[source].captions]


def __getattr__(name: str) -> type[InvalidClip]:
    """Names of version 0.1."""
    if name == "Spoiled":
        warnings.warn("Spoiled is now called InvalidClip", DeprecationWarning, stacklevel=2)
        return InvalidClip
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
