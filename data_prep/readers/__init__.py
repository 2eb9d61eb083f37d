"""Readers: one file per source format, from raw files to joints, captions and classes.

A reader is a subclass of `Reader` with a `Command`, the command line that creates it. To add one,
add a file to this package and a line to READERS in data_prep/__main__.py.

A reader knows its source format only, not our records or patches. It reports an unusable source by
raising `InvalidClip` with one of `REASONS`; the survey (data_prep/survey.py) counts these.
"""

import argparse
import csv
import dataclasses
import io
import os
import pathlib
import warnings
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from motionalign import conventions, reading
from motionalign.skeleton import SKELETONS, Skeleton, shape_advice

FPS = 20.0  # default frame rate of records; most published models use it

REASONS = {
    "duplicate_id": "the name is listed more than once",
    "motion_missing": "no motion file",
    "motion_unreadable": "the motion file is damaged, or lacks a required array",
    "wrong_shape": "the motion is not [frames, joints, 3] numbers",
    "wrong_body_model": "the motion is of another body model than SMPL-H, such as SMPL-X",
    "duration_differs": "the motion does not last as long as its annotation states",
    "not_finite": "the motion contains NaN or infinity, or its z-scores overflow float16",
    "too_short": "fewer frames than --min_frames, after cutting, or than a piece",
    "text_missing": "no text file",
    "text_malformed": "not caption#tokens#start#end",
    "caption_empty": "the caption has no words",
    "span_outside": "the span is not within the motion; up to 1 s past its end is tolerated",
    "label_missing": "no label: no annotation, or no row in the label table",
    "label_unknown": "none of its labels is one of the classes",
    "not_human": "no human body: a hand, a prop, a camera, an animal, or unknown joints",
    "two_dimensional": "positions in an image, which have no depth",
    "no_rate": "the file does not state its frames per second",
    "skeleton_differs": "the file has another skeleton than most of the others",
    "skeleton_incomplete": "the joints that are needed cannot be made of those of the file",
    "no_body": "no body in any frame, or none that lasts",
    "left_out": "named in a list of recordings to leave out (--missing)",
    "row_missing": "no row in the table of captions",
    "piece_incomplete": "frames after the last complete piece",
    "attributes_malformed": "the row of attributes is incomplete, or not probabilities",
    **conventions.REASONS,
}
# What only the readers give that name it in their help; every reader gives the others.
_OF_SOME_READERS = {
    *("text_missing", "text_malformed", "caption_empty", "span_outside"),
    *("label_missing", "label_unknown", "attributes_malformed"),
    *("wrong_body_model", "duration_differs", "piece_incomplete"),
    *("not_human", "two_dimensional", "no_rate", "skeleton_differs", "skeleton_incomplete"),
    *("row_missing", "no_body", "left_out"),
}


def reasons_table(*own: str) -> str:
    """The reasons of a reader for its help: `own`, and those that every reader gives."""
    assert set(own) <= _OF_SOME_READERS, own
    reasons = [name for name in REASONS if name in own or name not in _OF_SOME_READERS]
    return "\n".join(f"  {name:<20} {REASONS[name]}" for name in reasons)


# Annotators mark times by eye, so a span may end shortly after the motion does. Like the published
# loader, we cut such a span at the last frame. A span that ends later belongs to another clip.
SPAN_SLACK = 1.0  # seconds


class InvalidClip(Exception):
    """Raised for a source or caption line that cannot be used."""

    def __init__(self, reason: str, detail: str) -> None:
        """`reason`: a key of `REASONS`; `detail`: what was found, for report.json."""
        assert reason in REASONS, reason
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


@dataclasses.dataclass(frozen=True)
class Caption:
    """A text about seconds `start` to `end` of a source; (0, 0) means the complete source.

    A caption with a `label`, an index into the reader's `label_names`, yields a separate record.
    Where several labels apply, `more` has the others, each with its text.
    """

    text: str
    start: float = 0.0
    end: float = 0.0
    label: int | None = None
    more: tuple[tuple[str, int], ...] = ()

    @property
    def is_whole(self) -> bool:
        """Whether the caption is about the complete source."""
        return self.start == 0 and self.end == 0

    @property
    def texts(self) -> tuple[str, ...]:
        """All texts."""
        return (self.text, *(text for text, _ in self.more))

    @property
    def labels(self) -> tuple[int, ...]:
        """All labels; none if the caption has no label of its own."""
        assert self.label is not None or not self.more
        return () if self.label is None else (self.label, *(label for _, label in self.more))


class Reader:
    """The interface of all readers.

    Sources are identified by their names in the split files. A reader overrides what its format
    provides: at least the attributes without a default, `splits`, `joints` and `captions`.

    Attributes:
      skeleton: skeleton of all sources.
      source_fps: frames per second of the sources.
      unit_in_metres: unit of the joints; None: unknown.
      sensor: a key of `conventions.SENSORS`, which sets how steady joints must be.
      accept: findings of `conventions.REASONS` for which clips are not dropped.
      declared: the conventions of the files, which `joints` converts; None: there are no options
        that declare them.
      canonical: whether the joints [T, 1, J, 3] of every source are moved and turned as in
        HumanML3D, after their conventions have been verified; see `placed`.
      fps: frames per second of the records; joints are resampled if `source_fps` differs.
      label_names: the action classes; the index is the label.
      attribute_names: A names.
      attribute_groups: {group: names}.
      attribute_opposites: {name: name of its absence}.
      num_rotations: R; 0: the source has no rotations.
      notes: messages for the user about what was left out, one line each.
      advice: what to do about a reason for dropping a clip, where that depends on the format:
        {reason: sentence}, before those of data_prep/advice.py.
      split_made: how the splits were made, where the source has none; stored in report.json.
      names_are_paths: whether names are paths below a folder, with "#" before a take or a person;
        otherwise they are those of files in one folder.
      protocol: name of the published protocol by which sequences become clips with labels, for
        tables of scores; None: there is none.
    """

    skeleton: Skeleton
    source_fps: float
    unit_in_metres: float | None
    sensor: str = "optical"
    accept: tuple[str, ...] = ()
    declared: conventions.Declared | None = None
    canonical: bool = False
    fps: float = FPS
    label_names: tuple[str, ...] = ()
    attribute_names: tuple[str, ...] = ()
    attribute_groups: Mapping[str, tuple[str, ...]] = MappingProxyType({})
    attribute_opposites: Mapping[str, str] = MappingProxyType({})
    num_rotations: int = 0
    notes: tuple[str, ...] = ()
    advice: Mapping[str, str] = MappingProxyType({})
    split_made: Mapping[str, Any] = MappingProxyType({})
    names_are_paths: bool = False
    protocol: str | None = None

    def splits(self) -> dict[str, list[str]]:
        """The names listed in each of train, val and test, in order and including repetitions."""
        raise NotImplementedError

    def joints(self, source: str) -> np.ndarray:
        """Joints [T, M, J, 3] float32 of M persons at `source_fps`, Y up; raises InvalidClip.

        In 2D, the third number of a joint is its confidence.
        """
        raise NotImplementedError

    def placed(self, joints: np.ndarray) -> np.ndarray:
        """What `joints` returned, where the records have it: moved and turned if `canonical`."""
        if not self.canonical or not len(joints):
            return joints
        assert joints.shape[1] == 1, joints.shape  # two persons would lose their distance
        return conventions.canonical(joints[:, 0], self.skeleton)[:, None]

    def rotations(self, source: str) -> np.ndarray:
        """Rotations [T, M, R, 6] float32 of the same frames; called only if `num_rotations` > 0."""
        raise NotImplementedError

    def captions(self, source: str) -> list[Caption | InvalidClip]:
        """One entry per caption line, in file order; raises InvalidClip if there is no text."""
        raise NotImplementedError

    def label(self, source: str) -> int | None:
        """The class of a source, which its captions without a label of their own inherit.

        A label creates no record: only captions do.
        """
        return None

    def attributes(self, source: str) -> np.ndarray:
        """[A] float32 probabilities; raises InvalidClip. Called only if there are attributes."""
        raise NotImplementedError

    def class_texts(self) -> dict[str, dict[str, list[str]]]:
        """Class texts: {"descriptions": {class: [texts]}, "synonyms": {...}}."""
        return {}

    def dissimilar_test(self) -> list[str]:
        """Names of the published dissimilar test subset; empty if there is none."""
        return []

    def unlisted(self) -> list[str]:
        """Files of the source that no split names, as paths in its folder; sorted."""
        return []

    def caption_table(self) -> list[tuple[str, ...]]:
        """A CSV table of the captions that the reader has made, for the user to correct.

        The first row is the header; empty if the captions are those of the source.
        """
        return []


@dataclasses.dataclass(frozen=True)
class Command:
    """The command line of a reader: `python -m data_prep NAME`.

    Attributes:
      name: name of the command, and default name of the prepared dataset.
      summary: a few words for the list of commands.
      about: the help text: what the source is, where to get it, the expected folders, examples.
      add_options: adds the reader's own options to a parser.
      source: returns these options as stored in report.json, with absolute paths. Raises a
        ValueError if they are inconsistent; called before anything is read.
      make: creates the reader from the options; called only if there is something to prepare.
      config: the shipped config that trains on such a dataset: configs/CONFIG.py.
      paths: the keys of `source` that are paths.
    """

    name: str
    summary: str
    about: str
    add_options: Callable[[argparse.ArgumentParser], None]
    source: Callable[[argparse.Namespace], dict]
    make: Callable[[argparse.Namespace], Reader]
    config: str
    paths: tuple[str, ...] = ("raw_dir",)


def load_joints(
    folder: pathlib.Path, file: str, num_joints: int, named: bool = False
) -> np.ndarray:
    """Loads joints [T, J, 3] float32 of one person from an .npy file of any numeric dtype.

    Args:
      folder: folder of the dataset.
      file: path in that folder, for messages.
      num_joints: J.
      named: whether the user named the J joints.

    Raises:
      InvalidClip: the file is missing, damaged, contains pickled objects, or has another shape.
    """
    if not reading.is_there(folder / file):
        raise InvalidClip("motion_missing", f"no file {file}")
    try:
        joints = reading.read_array(folder / file)
    except ValueError as error:
        raise InvalidClip("motion_unreadable", below(folder, error)) from error
    if joints.ndim != 3 or joints.shape[1:] != (num_joints, 3) or joints.dtype.kind not in "fiu":
        detail = (
            f"found {joints.dtype} {list(joints.shape)}, expected numbers [frames, {num_joints}, 3]"
        )
        if joints.dtype.kind in "fiu":
            detail += f". {shape_advice(joints.shape, num_joints, named)}"
        raise InvalidClip("wrong_shape", detail)
    return joints.astype(np.float32)


def below(folder: pathlib.Path, error: ValueError) -> str:
    """The message of an error about a file, which it starts with, without the file's folder."""
    return str(error).removeprefix(f"{folder}{os.sep}")


def read_table(path: str | pathlib.Path, columns: list[str]) -> list[tuple[int, dict]]:
    """The rows of a CSV file with a header, as (line number, {column: text or None}).

    Raises:
      ValueError: the file cannot be read, lacks one of `columns`, has no rows, or has a row with
        more cells than the header or a double quote that is not closed.
    """
    text = reading.read_text(pathlib.Path(path).absolute())
    table = csv.DictReader(io.StringIO(text))
    try:
        known = table.fieldnames or []
        rows = [(table.line_num, row) for row in table]
    except csv.Error as error:
        raise ValueError(f"{path} cannot be read as CSV: {error}") from error
    missing = [column for column in columns if column not in known]
    if missing:
        hint = " (columns are separated by commas)" if len(known) == 1 else ""
        raise ValueError(
            f"{path} has no column {', '.join(missing)}; it has {', '.join(known) or 'none'}{hint}"
        )
    if not rows:
        raise ValueError(f"{path} has a header but no rows")
    _check_quotes(path, text)
    for line, row in rows:
        if any(cell.strip() for cell in row.get(None, ())):  # DictReader's surplus cells
            raise ValueError(
                f"{path}, line {line}: {len(known) + len(row[None])} cells, but the header has "
                f"{len(known)}. Put a cell that has commas in double quotes: "
                '"she waves, then walks"'
            )
    return rows


def _check_quotes(path: str | pathlib.Path, text: str) -> None:
    """Raises a ValueError for a table with a quote that is not closed: rows are lost in a cell."""
    strict = csv.reader(io.StringIO(text), strict=True)
    line = 1
    try:
        for _ in strict:
            line = strict.line_num + 1
    except csv.Error as error:
        if strict.line_num > line:  # the row goes on over several lines
            raise ValueError(
                f"{path}, line {line}: a double quote is not closed, so that the next lines are "
                "part of its cell"
            ) from error


class Clips(Reader):
    """A reader of clips in memory, at 20 fps and in metres."""

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
        """The clip's captions, each about the complete clip."""
        return [Caption(text) for text in self._clips[source].captions]


def __getattr__(name: str) -> type[InvalidClip]:
    """Names of version 0.1."""
    if name == "Spoiled":
        warnings.warn("Spoiled is now called InvalidClip", DeprecationWarning, stacklevel=2)
        return InvalidClip
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
