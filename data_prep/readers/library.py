"""Motion files of any format as training data.

    <raw_dir>/**/<file>          motion files; or one file with many clips
    <raw_dir>/captions.csv       file,caption[,take,person,start,end]; or captions from file names
    <raw_dir>/train.txt val.txt test.txt   optional: one file or clip per line

Every person of every take becomes a clip: as SMPL's 22 joints in metres, so that all files fit
together and published models read them, or in the skeleton that all files have.
"""

import argparse
import collections
import dataclasses
import os
import pathlib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from tqdm import tqdm

from data_prep import splits
from data_prep.captions.from_names import caption_of
from data_prep.captions.of_files import CaptionTable, keys_of
from data_prep.content import Content
from data_prep.readers import (
    FPS,
    Caption,
    Command,
    InvalidClip,
    Reader,
    below,
    label_table,
    read_table,
    reasons_table,
)
from data_prep.splits import SPLITS, SplitPlan, make_splits
from data_prep.told import add_told, told_of
from motionalign import reading
from motionalign.anatomy.persons import Person, Persons, persons_of
from motionalign.anatomy.takes import (
    Take,
    Told,
    file_ids,
    kinds,
    motion_files,
    read_takes,
    stem_of,
)
from motionalign.conventions import SENSORS, Declared
from motionalign.data.resample import check_fps, resample
from motionalign.skeleton import SKELETONS, Skeleton

SMPL22, NATIVE = "smpl22", "native"
NAMES, LABELS = "names", "labels"  # values of --captions that are no files
TABLE = "captions.csv"

# Folders of subjects, whose clips stay in one split.
_SUBJECT = re.compile(
    r"(?:subject|subj|actor|performer|person|participant|s|p)[ _-]?\d+", re.IGNORECASE
)

# Where the folder has no split files, there are none to take names out of.
_ADVICE = {
    "motion_unreadable": "Save or export these files again, or move them out of the folder.",
    "caption_empty": "Write a caption into the table, or name the file by its motion.",
    "label_missing": "Add a row with the label, or move the file out of the folder.",
}

_EXAMPLES = 6  # captions from names that are shown
_NOTES = 6  # distinct notes of files that are shown

_TEMPLATE = """\
Motion files of any format as training data: BVH, FBX, GLB, C3D, AMC, TRC, ... (docs/formats.md).
Nothing is configured: joints, unit, the axis that points up and the frame rate are found in the
files; `python -m data_prep inspect FILE` shows what was found. Every person of every take becomes a
clip at 20 frames per second: as SMPL's 22 joints in metres (--joints=smpl22), so that files of all
makers fit together, or with the joints of the files (--joints=native), which must be the same in
all of them. Joints of other parts of the body, such as fingers, are left out.

captions, by --captions:
  FILE.csv   a table with the columns file and caption: file is a path below RAW_DIR, with or
             without suffix; several rows of a file are several captions. Optional columns: take,
             person (a number from 1), start and end (seconds; the row is about this stretch)
  names      from the names of files and folders: Walk_Happy_001_FW.bvh becomes "walk happy", and
             dances/salsa_12.bvh "salsa dances"; numbers, codes and words such as take or final are
             left out, and what was made is shown
  labels     the label of each clip (--label)
  (default)  RAW_DIR/captions.csv

splits: those of RAW_DIR/train.txt, val.txt and test.txt if there are such files, with a file or a
clip per line; otherwise 80,10,10, where clips of a file, copies and mirrored twins stay together,
and those of a subject where labels or folders (subject_3, s01, actor2) say whose they are

examples:
  python -m data_prep library --raw_dir=mocap --name=mine --captions=names
  python -m data_prep library --raw_dir=mocap --name=mine --captions=mocap/captions.csv
  python -m data_prep library --raw_dir=mocap --name=mine --captions=names --joints=native
  python -m data_prep library --raw_dir=actions.npz --name=actions --captions=labels \\
    --label=class --split_by=subject

reasons for dropping a clip or a caption line, as in report.json:
{reasons}
"""


@dataclasses.dataclass(frozen=True)
class Clip:
    """A person of a take, or a file that cannot be used.

    Attributes:
      id: path below the folder without suffix, "#take" and "#person" where there are several.
      file: path below the folder, with suffix.
      take: what tells the take from the others of the file; "" if it is the only one.
      person: from 1; 0: there is no other.
      title: name of the take, if the file has several.
      offset: seconds of the file before the first frame.
      labels: {column: value} of the take.
      error: why it cannot be used; None: it can.
      skeleton: of the joints.
      joints: [T, J, 3] float32 in metres, at 20 frames per second.
      whole: whether all frames of the person are there.
      sensor: how steady its joints are, see `Reader`.
    """

    id: str
    file: str
    take: str = ""
    person: int = 0
    title: str = ""
    offset: float = 0.0
    labels: Mapping[str, str] = dataclasses.field(default_factory=dict)
    error: InvalidClip | None = None
    skeleton: Skeleton | None = None
    joints: np.ndarray | None = None
    whole: bool = True
    sensor: str = "optical"


class Library(Reader):
    """Reads any motion files; each is read once, when the reader is made."""

    source_fps = fps = FPS
    unit_in_metres = 1.0
    names_are_paths = True

    def __init__(
        self,
        raw_dir: str | pathlib.Path,
        captions: str | None = None,
        *,
        joints: str = SMPL22,
        told: Told | None = None,
        plan: SplitPlan | None = None,
        label: str | None = None,
        label_rows: Sequence[tuple[int, dict]] = (),
        canonical: bool = True,
        sensor: str | None = None,
    ) -> None:
        """Reads all files.

        Args:
          raw_dir: the folder, or one file with many clips.
          captions: a CSV file, "names" or "labels"; None: captions.csv in the folder.
          joints: "smpl22", or "native": those of the files.
          told: what the user says about the files.
          plan: how to make the splits where the folder has no split files; None: it has some.
          label: column of the class, for captions that are labels; None: "class".
          label_rows: of a label table, whose column id names clips or files.
          canonical: whether every clip is moved and turned as in HumanML3D, in 3D.
          sensor: see `Reader`; None: "depth" if there are joints of depth cameras or keypoints.

        Raises:
          ValueError: an argument is invalid, there are no motion files, or the table of captions
            has no row of them.
        """
        self.raw_dir = pathlib.Path(raw_dir)
        if not self.raw_dir.exists():
            raise ValueError(f"--raw_dir={raw_dir} does not exist")
        self._folder = self.raw_dir if self.raw_dir.is_dir() else self.raw_dir.parent
        found, others = motion_files(self.raw_dir)
        table = _captions_given(captions, self._folder)
        self._table = None if table in (NAMES, LABELS) else CaptionTable.read(table)
        self._by_name = table == NAMES
        self._label = label or "class"
        told = told or Told()
        self.declared = Declared(told.unit, told.up or "y")
        self.advice = _advice(told)
        self._notes: dict[str, list[str]] = {}  # of files, with the takes that have them
        self._kinds: list[tuple[str, str]] = []
        told.declared()  # a wrong skeleton file is no fault of the clips
        clips = self._read(found, told, joints)
        self.skeleton, clips = _of_one_skeleton(clips, joints)
        self._label_notes, clips = _labelled(clips, label_rows)
        self._clips = {clip.id: clip for clip in clips}
        self.canonical = canonical and self.skeleton.dims == 3
        usable = [clip for clip in clips if clip.error is None]
        shaking = any(clip.sensor == "depth" for clip in usable)
        self.sensor = sensor or ("depth" if shaking else "optical")
        self._texts = self._all_captions()
        self._splits = self._make_splits(plan)
        own = {TABLE, *(f"{split}.txt" for split in SPLITS)}
        others = [path for path in others if path.name not in own]
        self._others = [path.relative_to(self._folder).as_posix() for path in others]
        self.notes = tuple(self._all_notes(len(found), sensor))

    # ------------------------------------------------------------------------ reading

    def _read(self, found: Sequence[pathlib.Path], told: Told, joints: str) -> list[Clip]:
        """The clips of all files."""
        # "#" separates takes and persons.
        ids = {path: name.replace("#", "_") for path, name in file_ids(self._folder, found).items()}
        clips = []
        if len(set(ids.values())) < len(ids):
            twice = next(name for name, n in collections.Counter(ids.values()).items() if n > 1)
            raise ValueError(f"two files would have the id {twice}: rename one of them")
        for path in tqdm(found, desc="reading", unit=" files", disable=None):
            file = path.relative_to(self._folder).as_posix()
            try:
                takes = read_takes(path, told)
            except ValueError as error:
                detail = " ".join(below(self._folder, error).split())
                error = InvalidClip("motion_unreadable", detail)
                clips.append(Clip(ids[path], file, error=error))
                continue
            # Of one file with many clips, the names of these suffice.
            of_one = path == self.raw_dir and len(takes) > 1
            for take in takes:
                clips += self._of_take(take, ids[path], file, joints, of_one)
        return clips

    def _of_take(
        self, take: Take, file_id: str, file: str, joints: str, of_one: bool
    ) -> Iterable[Clip]:
        """The clips of the persons of a take."""
        motion = take.motion
        body = take.body
        self._kinds.append((motion.format, body.convention if body.chains else body.kind))
        name = take.label if of_one else take.clip_id(file_id)
        self._note(name, (*motion.notes, *take.body.notes))
        blank = Clip(
            name,
            file,
            take.label,
            title=motion.name if take.label else "",
            labels={label: str(value) for label, value in motion.labels.items()},
            sensor=take.body.sensor,
        )
        try:
            persons, fps = _persons_of(take, joints), _rate(take)
        except InvalidClip as error:
            yield dataclasses.replace(blank, error=error)
            return
        self._note(name, persons.notes)
        for person in persons.all:
            own = dataclasses.replace(
                blank,
                id=name + person.label,
                person=person.number if person.label else 0,
                skeleton=persons.skeleton,
            )
            yield _of_person(own, person, fps)

    def _note(self, name: str, notes: Iterable[str]) -> None:
        for note in dict.fromkeys(notes):
            self._notes.setdefault(note, []).append(name)

    # ------------------------------------------------------------------------ captions

    def _all_captions(self) -> dict[str, list[Caption | InvalidClip] | InvalidClip]:
        """The captions of every clip that can be used."""
        usable = [clip for clip in self._clips.values() if clip.error is None]
        if self._table is None:
            known = {name: None for clip in usable for name in clip.labels}
            if usable and not self._by_name and self._label not in known:
                raise ValueError(
                    f"--captions=labels: the clips have no label {self._label}; they have "
                    f"{', '.join(known) or 'none'}. Name one with --label, or a table of labels "
                    "with --labels_csv"
                )
            return {clip.id: self._own_caption(clip) for clip in usable}
        rows = self._table.of_clips(self._clips.values())
        return {
            clip.id: [
                _moved(row, self._clips[clip.id].offset) if isinstance(row, Caption) else row
                for row in rows[clip.id]
            ]
            if rows[clip.id]
            else InvalidClip("row_missing", f"{self._table.path.name} has no row of {clip.file}")
            for clip in usable
        }

    def _own_caption(self, clip: Clip) -> list[Caption | InvalidClip] | InvalidClip:
        """The caption from a clip's label or its name."""
        if not self._by_name:
            words = label_table.words(clip.labels.get(self._label))
            if words:
                return [Caption(words)]
            known = ", ".join(clip.labels) or "none"
            return InvalidClip("label_missing", f"no label {self._label!r}; its labels are {known}")
        path = self._folder / clip.file
        parts = stem_of(path, pathlib.PurePath(clip.file)).parts
        words = caption_of(parts, clip.title)
        if not words:
            return InvalidClip("caption_empty", f"the name {clip.id!r} has no word about a motion")
        return [Caption(words)]

    # ------------------------------------------------------------------------ splits

    def _make_splits(self, plan: SplitPlan | None) -> dict[str, list[str]]:
        """The splits of the split files, or those that are made."""
        if plan is None:
            return self._listed()
        usable = [
            name
            for name, found in self._texts.items()
            if isinstance(found, list) and any(isinstance(row, Caption) for row in found)
        ]
        if not usable:
            return {"train": list(self._clips), "val": [], "test": []}  # the survey tells why
        rows = {name: self._row(name) for name in usable}
        columns = {column: None for row in rows.values() for column in row}
        table = {name: {c: row.get(c) for c in columns} for name, row in rows.items()}
        plan = dataclasses.replace(plan, table=table)
        same = {}
        for name in usable:
            same[name] = Content.of(self.placed(self.joints(name)), self.skeleton).key
        # Many clips in one file are benchmarks, whose clips are takes of their own.
        by = "take" if self.raw_dir.is_file() else "file"
        together = {name: (self._clips[name].file, self._clips[name].take if by == "take" else "")
                    for name in usable}  # fmt: skip
        try:
            made, self.split_made = make_splits(usable, plan, same, together)
        except ValueError as error:
            raise ValueError(
                f"{error}. With few clips, --split=100,0,0 puts all of them into train"
            ) from error
        # Those that cannot be used are accounted for in one split, so that a few of them are not
        # most of a small one.
        made["train"] += [name for name in self._clips if name not in same]
        return made

    def _row(self, name: str) -> dict[str, str]:
        """What splits may go by: the labels of a clip, its file, its folder, a folder's subject."""
        clip = self._clips[name]
        folder = pathlib.PurePath(clip.file).parent
        subjects = [part for part in folder.parts if _SUBJECT.fullmatch(part)]
        own = {"subject": subjects[0]} if subjects else {}
        return own | {**clip.labels, "file": clip.file, "folder": folder.as_posix()}

    def _listed(self) -> dict[str, list[str]]:
        """The clips that the split files list, by their own names or by those of their files."""
        of_file = collections.defaultdict(list)
        for clip in self._clips.values():
            path = pathlib.PurePath(clip.file)
            for name in dict.fromkeys((clip.file, path.with_suffix("").as_posix())):
                of_file[name].append(clip.id)
        listed = {}
        for split in SPLITS:
            lines = reading.read_text(self._folder / f"{split}.txt").split("\n")
            names = [line.strip().replace("\\", "/") for line in lines if line.strip()]
            listed[split] = [
                name
                for given in names
                for name in ([given] if given in self._clips else of_file.get(given, [given]))
            ]
        return listed

    # ------------------------------------------------------------------------ notes

    def _all_notes(self, files: int, sensor: str | None) -> list[str]:
        counts = f"{files} file{'s' * (files != 1)}, {len(self._kinds)} takes"
        notes = [f"{counts}: {kinds(self._kinds)}"]
        unusable = [clip for clip in self._clips.values() if clip.error is not None]
        notes += [f"left out: {clip.id}: {clip.error}" for clip in unusable[:_NOTES]]
        if (more := len(unusable) - _NOTES) > 0:
            notes.append(f"left out: {more} more, which report.json names")
        persons = collections.Counter(clip.person > 0 for clip in self._clips.values())[True]
        if persons:
            notes.append(f"{persons} clips are one person each of takes with several: NAME#1, ...")
        if cut := sum(not clip.whole for clip in self._clips.values()):
            notes.append(
                f"{cut} clips are the longest stretch in which the person is there without a gap"
            )
        if sensor is None and self.sensor == "depth":
            notes.append(
                "there are joints of depth cameras, or keypoints, which may shake: clips are "
                "judged as with --sensor=depth"
            )
        notes += self._label_notes
        if self._table is not None:
            notes += self._table.notes()
        elif self._by_name:
            notes += self._examples()
        if self.split_made:
            whole = "persons of a take" if self.raw_dir.is_file() else "clips of a file"
            notes.append(f"{splits.note(self.split_made)}. The {whole} stay together")
        by_count = sorted(self._notes.items(), key=lambda item: -len(item[1]))
        for note, names in by_count[:_NOTES]:
            count = len(names) - 1
            more = f" and {count} other{'s' * (count > 1)}" if count else ""
            notes.append(f"{names[0]}{more}: {note}")
        if (more := len(self._notes) - _NOTES) > 0:
            notes.append(f"{more} further notes: python -m data_prep inspect {self.raw_dir}")
        return notes

    def _examples(self) -> list[str]:
        """Examples of captions from names."""
        made: dict[str, str] = {}
        for name, lines in self._texts.items():
            if isinstance(lines, list) and isinstance(lines[0], Caption):
                made.setdefault(lines[0].text, name)
        if not made:
            return []
        rows = list(made.items())
        chosen = np.unique(np.linspace(0, len(rows) - 1, _EXAMPLES).round().astype(int))
        shown = "\n".join(f"  {rows[i][1]}: {rows[i][0]}" for i in chosen)
        return [f"{len(made)} different captions from names, such as\n{shown}"]

    # ------------------------------------------------------------------------ the interface

    def splits(self) -> dict[str, list[str]]:
        """The clips of each split."""
        return self._splits

    def joints(self, source: str) -> np.ndarray:
        """[T, 1, J, 3] float32 at 20 frames per second; raises InvalidClip."""
        clip = self._clips.get(source)
        if clip is None:
            raise InvalidClip("motion_missing", f"no motion file {source}")
        if clip.error is not None:
            raise clip.error
        assert clip.joints is not None
        return clip.joints[:, None]

    def captions(self, source: str) -> list[Caption | InvalidClip]:
        """The captions of a clip; raises InvalidClip if it has none."""
        found = self._texts[source]
        if isinstance(found, InvalidClip):
            raise found
        return found

    def rows(self) -> list[tuple[int, dict[str, str]]]:
        """The labels of the clips, from the files and the table, as rows of a label table."""
        columns = {c: None for clip in self._clips.values() for c in clip.labels}
        return [
            (line, {"id": clip.id, **{c: clip.labels.get(c, "") for c in columns}})
            for line, clip in enumerate(self._clips.values(), start=2)
        ]

    def unlisted(self) -> list[str]:
        """The files that were not read, and the motion files that no split names."""
        listed = {name for names in self._splits.values() for name in names}
        left = {clip.file for clip in self._clips.values() if clip.id not in listed}
        return sorted({*self._others, *left})

    def caption_table(self) -> list[tuple[str, ...]]:
        """The captions from names as `CaptionTable` reads them; empty where a name has no words."""
        if not self._by_name:
            return []
        rows = [("file", "take", "person", "caption")]
        for name, found in self._texts.items():
            clip = self._clips[name]
            captions = found if isinstance(found, list) else []
            text = "".join(row.text for row in captions if isinstance(row, Caption))
            rows.append((clip.file, clip.take, str(clip.person or ""), text))
        return rows


def _captions_given(captions: str | None, folder: pathlib.Path) -> str:
    """The value of --captions: "names", "labels", or the path of the table."""
    if captions is not None:
        return captions
    if (folder / TABLE).is_file():
        return str(folder / TABLE)
    raise ValueError(
        f"{folder} has no {TABLE}: give --captions=FILE.csv with the columns file and caption, "
        "--captions=names for captions from the names of files and folders, or --captions=labels"
    )


def _advice(told: Told) -> Mapping[str, str]:
    """What to do about reasons for dropping a clip, given what the user says about the files."""
    if told.unit is None:
        return _ADVICE
    without = f"Without --unit={told.unit}, the unit of each file is found."
    return {**_ADVICE, "unit_implausible": without}


def _persons_of(take: Take, joints: str) -> Persons:
    """The persons of a take; or InvalidClip."""
    body = take.body
    if body.kind != "human":
        raise InvalidClip("not_human", f"{body.kind}: {body.why}")
    if take.motion.dims == 2 and joints == SMPL22:
        raise InvalidClip("two_dimensional", "SMPL's joints need three dimensions")
    try:
        return persons_of(take, None if joints == NATIVE else SKELETONS[SMPL22])
    except ValueError as error:
        raise InvalidClip("skeleton_incomplete", " ".join(str(error).split())) from error


def _rate(take: Take) -> float:
    """Frames per second of a take; InvalidClip if they are unknown or impossible."""
    if take.fps is None:
        raise InvalidClip("no_rate", f"{take.motion.format}, {take.motion.num_frames} frames")
    try:
        return check_fps(take.fps, "frames per second")
    except ValueError as error:
        raise InvalidClip("no_rate", str(error)) from error


def _of_person(clip: Clip, person: Person, fps: float) -> Clip:
    """The clip of a person, at 20 frames per second."""
    if not len(person.joints):
        detail = "no frame has all joints of this person"
        return dataclasses.replace(clip, error=InvalidClip("skeleton_incomplete", detail))
    if len(person.joints) < 2:
        return dataclasses.replace(clip, error=InvalidClip("too_short", "1 frame"))
    joints = resample(person.joints, fps, FPS).astype(np.float32)
    return dataclasses.replace(clip, joints=joints, offset=person.start / fps, whole=person.whole)


def _of_one_skeleton(clips: Sequence[Clip], joints: str) -> tuple[Skeleton, list[Clip]]:
    """The skeleton of the clips, and the clips, those of another one with an error."""
    if joints == SMPL22:
        return SKELETONS[SMPL22], list(clips)
    counts = collections.Counter(clip.skeleton for clip in clips if clip.error is None)
    if not counts:
        return SKELETONS[SMPL22], list(clips)  # the survey tells why no clip can be used
    most, count = counts.most_common(1)[0]
    assert most is not None
    detail = f"the skeleton of {count} other clips has {most.num_joints} joints"
    error = InvalidClip("skeleton_differs", f"{detail} ({', '.join(most.joint_names[:4])}, ...)")
    return most, [
        dataclasses.replace(clip, error=error, joints=None)
        if clip.error is None and clip.skeleton != most
        else clip
        for clip in clips
    ]


def _labelled(
    clips: Sequence[Clip], rows: Sequence[tuple[int, dict]]
) -> tuple[list[str], list[Clip]]:
    """Adds the labels of a table's rows to the clips; also returns notes."""
    if not rows:
        return [], list(clips)
    known = collections.defaultdict(list)
    for clip in clips:
        for key in keys_of(clip):
            known[key].append(clip.id)
    labels: dict[str, dict[str, str]] = {}
    lost = []
    for line, row in rows:
        name = (row["id"] or "").strip().replace("\\", "/")
        values = {column: (cell or "").strip() for column, cell in row.items() if column != "id"}
        for clip_id in known.get(name, ()):
            if clip_id in labels:
                raise ValueError(f"the table of labels has several rows of {clip_id}: line {line}")
            labels[clip_id] = values
        if name not in known:
            lost.append(name)
    if not labels:
        raise ValueError(
            f"the table of labels: none of its {len(rows)} ids names a clip or a file; the first "
            f"id is {lost[0]!r}, the first clip {clips[0].id!r}"
        )
    notes = (
        [f"{len(lost)} rows of the table of labels name no clip: {lost[0]}, ..."] if lost else []
    )
    return notes, [
        dataclasses.replace(clip, labels={**clip.labels, **labels.get(clip.id, {})})
        for clip in clips
    ]


def _moved(caption: Caption, offset: float) -> Caption:
    """A caption about seconds of a file, for a clip that starts later."""
    if caption.is_whole or not offset:
        return caption
    return dataclasses.replace(
        caption, start=max(0.0, caption.start - offset), end=max(0.0, caption.end - offset)
    )


# ---------------------------------------------------------------------------- the command


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--raw_dir", required=True, help="the folder of the motion files, or one "
                        "file with many clips")  # fmt: skip
    parser.add_argument("--captions", metavar="FILE.csv|names|labels", help="where captions come "
                        f"from (default: RAW_DIR/{TABLE})")  # fmt: skip
    parser.add_argument("--joints", choices=(SMPL22, NATIVE), default=SMPL22, help="SMPL's 22 "
                        "joints, or those of the files (default: %(default)s)")  # fmt: skip
    parser.add_argument("--fps", type=float, help="frames per second of the files that state none")
    add_told(parser)
    parser.add_argument("--canonical", action=argparse.BooleanOptionalAction, default=True,
                        help="move and turn every clip as in HumanML3D: the first frame on the "
                        "vertical axis and facing +Z, the lowest point at Y = 0 (default: yes)"
                        )  # fmt: skip
    parser.add_argument("--sensor", choices=SENSORS, help="depth: joints of depth cameras or from "
                        "video may shake (default: depth if there are such files)"
                        )  # fmt: skip
    label_table.add_options(parser)
    splits.add_options(parser)


def _has_split_files(raw_dir: str) -> bool:
    """Whether a folder has split files; a ValueError if it has some of them only."""
    there = [split for split in SPLITS if (pathlib.Path(raw_dir) / f"{split}.txt").is_file()]
    if there and len(there) < len(SPLITS):
        missing = ", ".join(f"{split}.txt" for split in SPLITS if split not in there)
        raise ValueError(f"{raw_dir} has split files, but no {missing}")
    return bool(there)


def _source(args: argparse.Namespace) -> dict[str, Any]:
    if args.fps is not None:
        check_fps(args.fps, "--fps")
    listed = _has_split_files(args.raw_dir)
    if listed and args.split is not None:
        raise ValueError(
            f"--split makes splits, but {args.raw_dir} has train.txt, val.txt and test.txt: leave "
            "out --split to use these, or move them away"
        )
    made = argparse.Namespace(**vars(args))
    if not listed:
        made.split = args.split or "80,10,10"
    table = argparse.Namespace(**vars(args))
    own = not args.labels_csv and args.label
    if own:  # labels that the files have
        table.labels_csv = args.raw_dir
    given = {"unit": args.unit, "up": args.up, "fps": args.fps, "sensor": args.sensor}
    paths = {"skeleton": args.skeleton, "smplh_dir": args.smplh_dir}
    captions = args.captions if args.captions in (NAMES, LABELS, None) else "table"
    if captions == "table":
        paths["captions_csv"] = args.captions
    labels = label_table.source(table)
    if own:
        del labels["labels_csv"]
    return {
        "raw_dir": os.path.abspath(args.raw_dir),
        "captions": captions,
        "joints": args.joints,
        "canonical": args.canonical,
        **{name: value for name, value in given.items() if value is not None},
        **{name: os.path.abspath(path) for name, path in paths.items() if path},
        **splits.source(made),
        **labels,
    }


def _make(args: argparse.Namespace) -> Reader:
    plan = None
    if not _has_split_files(args.raw_dir):
        shares = splits.parse_shares(args.split or "80,10,10")
        plan = SplitPlan(shares, args.seed or 0, args.split_by)
    reader = Library(
        args.raw_dir,
        args.captions,
        joints=args.joints,
        told=told_of(args),
        plan=plan,
        label=args.label,
        label_rows=read_table(args.labels_csv, ["id"]) if args.labels_csv else (),
        canonical=args.canonical,
        sensor=args.sensor,
    )
    if args.label or args.labels_csv:
        return label_table.labelled(reader, args, reader.rows())
    return reader


_ABOUT = _TEMPLATE.format(
    reasons=reasons_table(
        *("not_human", "two_dimensional", "no_rate", "skeleton_differs", "skeleton_incomplete"),
        *("row_missing", "caption_empty", "span_outside", "label_missing", "attributes_malformed"),
    )
)

COMMAND = Command(
    name="library",
    summary="motion files of any format",
    about=_ABOUT,
    add_options=_add_options,
    source=_source,
    make=_make,
    config="mocap_small",
    paths=("raw_dir", "captions_csv", "skeleton", "smplh_dir", *label_table.PATHS),
)
