"""Labelled sets: benchmarks of action recognition, with their published protocols.

    <raw>     an .npz with all clips of a set, one after the other (formats/labelled_set.py), or
              the folder of a set's published files (NW-UCLA, UTD-MHAD, SBU Kinect Interaction)

A set says of every clip its class, subject and view. A protocol divides them into train and test
(data_prep/protocols.py); val, and the split of unseen classes, are ours (data_prep/divide.py).
"""

import argparse
import dataclasses
import os
import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from tqdm import tqdm

from data_prep import divide, protocols
from data_prep.divide import Choice, Clip, parse_ids
from data_prep.protocols import Protocol
from data_prep.readers import Caption, Command, InvalidClip, Reader, reasons_table
from data_prep.readers.label_table import words
from motionalign import formats, reading
from motionalign.data.resample import check_fps
from motionalign.formats import labelled_set, nw_ucla, registry, sbu_skeleton, utd_mhad
from motionalign.formats.motion import Motion
from motionalign.skeleton import SKELETONS, Skeleton

# The classes of UTD-MHAD by the short names of packed files, in the order of their numbers.
_UTD_SHORT = (
    "swipe left, swipe right, wave, clap, throw, arm cross, basketball shoot, draw x, "
    "draw circle cw, draw circle ccw, draw triangle, bowling, boxing, baseball swing, "
    "tennis swing, arm curl, tennis serve, push, knock, catch, pickup throw, jog, walk, sit2stand, "
    "stand2sit, lunge, squat"
).split(", ")

_SBU_SHORT = [{"exchanging objects": "exchanging"}.get(name, name) for name in sbu_skeleton.CLASSES]


@dataclasses.dataclass(frozen=True)
class Published:
    """A published set.

    Attributes:
      title: its name.
      format: that of its published files.
      classes: their readable names, in the order of the labels.
      short: their names in packed files.
      protocols: that are published for it.
    """

    title: str
    format: str
    classes: tuple[str, ...]
    short: tuple[str, ...]
    protocols: tuple[Protocol, ...]


_NW_UCLA = tuple(nw_ucla.CLASSES.values())

PUBLISHED = (
    Published("NW-UCLA", nw_ucla.FORMAT.name, _NW_UCLA, _NW_UCLA, protocols.NW_UCLA),
    Published(
        "UTD-MHAD", utd_mhad.FORMAT.name, utd_mhad.CLASSES, tuple(_UTD_SHORT), protocols.UTD_MHAD
    ),
    Published(
        "SBU Kinect Interaction",
        sbu_skeleton.FORMAT.name,
        sbu_skeleton.CLASSES,
        tuple(_SBU_SHORT),
        protocols.SBU,
    ),
)

PROTOCOLS = tuple(dict.fromkeys(each.name for of in PUBLISHED for each in of.protocols))

_OWN = "--train_subjects=1,2,3 or --train_views=1,2"

_ABOUT = f"""\
Labelled sets: benchmarks of action recognition, as one .npz file or as their published files, with
their published protocols. Records have the labels and, as captions, the words of the classes.

--protocol chooses what trains and what tests:
  cross_view     NW-UCLA: views 1 and 2 train, view 3 tests
  cross_subject  UTD-MHAD: subjects 1, 3, 5 and 7 train, 2, 4, 6 and 8 test
  folds          SBU Kinect Interaction: the fold of --fold=1 to 5 tests, the other four train
A set of your own gives the division itself: {_OWN}.

These benchmarks have no validation split, so one is made of the training part: whole subjects
(--val_share, --seed), or clips of every class where one subject is more than a fifth of the
training subjects (--val_by). What was chosen is in the dataset's metadata.

--leave_out=5 --draw=0 leaves five classes out of train and val: their test clips become the split
unseen, those of the other classes remain test. Draws are disjoint, and the same for every --seed.

Two persons of a clip stay two persons; who is not there is zeros. Clips of one person are moved and
turned as in HumanML3D, unless --no-canonical; two persons keep the camera's coordinates, which have
their distance.

expected:
  RAW   .npz: positions_int16 [frames of all clips, persons, joints, 3] and scale, lengths, labels,
        class_names, subjects, views, joint_names, fps (docs/formats.md: labelled set), or a folder:
        NW-UCLA                 **/a01_s01_e00_v01.json
        UTD-MHAD                **/a1_s1_t1_skeleton.mat
        SBU Kinect Interaction  s01s02/01/001/skeleton_pos.txt

examples:
  python -m data_prep labelled --raw=nw_ucla.npz --protocol=cross_view --name=nw_ucla
  python -m data_prep labelled --raw=utd_mhad.npz --protocol=cross_subject --name=utd_unseen0 \\
    --leave_out=5 --draw=0
  python -m data_prep labelled --raw=sbu_interaction.npz --protocol=folds --fold=1 --name=sbu_1
  python -m data_prep labelled --raw=mine.npz --train_subjects=1,2,3 --name=mine

reasons for dropping a clip, as in report.json:
{reasons_table()}
"""


class Labelled(Reader):
    """Reads a labelled set; the name of a clip is that of its file, without suffix."""

    unit_in_metres = 1.0
    sensor = "depth"
    names_are_paths = True
    accept = ("frozen",)  # a benchmark's clip may be still, or a single frame

    def __init__(
        self,
        raw: str | pathlib.Path,
        protocol: str | Protocol | None,
        fold: int | None = None,
        choice: Choice = Choice(),  # noqa: B008  (frozen)
        *,
        canonical: bool | None = None,
        fps: float | None = None,
    ) -> None:
        """Reads the set and divides its clips.

        Args:
          raw: the file or folder described above.
          protocol: one of `PROTOCOLS`, or a division of one's own.
          fold: which fold tests, from 1, of a protocol with folds.
          choice: what the protocol leaves open.
          canonical: whether every clip is moved and turned as in HumanML3D; None: if it has one
            person.
          fps: frames per second of the records; None: those of the set.

        Raises:
          ValueError: there is no such set, or the options do not fit it.
        """
        self.raw = pathlib.Path(raw)
        motions = _read(self.raw)
        self._motions = {motion.name: motion for motion in motions}
        self.source_fps = _rate(motions, self.raw)
        self.fps = self.source_fps if fps is None else check_fps(fps, "--fps")
        self.skeleton, self._order = _skeleton(motions, self.raw)
        self._persons = max(len(motion.persons) for motion in motions)
        if canonical and self._persons > 1:
            raise ValueError(
                f"--canonical: clips of {self.raw} have {self._persons} persons, who would lose "
                "their distance"
            )
        self.canonical = self._persons == 1 if canonical is None else canonical
        published, self.label_names, self._label_of = _classes(motions, self.raw)
        division = _protocol(protocol, fold, published, self.raw)
        clips = self._clips(division)
        found = divide.divide(clips, division, choice, self.label_names, str(self.raw))
        self._splits, self._unused = found.splits, found.unused
        self.protocol, self.notes, self.split_made = found.protocol, found.notes, found.made
        if single := [name for name, motion in self._motions.items() if motion.num_frames == 1]:
            some = ", ".join(single[:3])
            self.notes += (f"{len(single)} clips are a single frame, which is repeated: {some}",)

    def splits(self) -> dict[str, list[str]]:
        """The names of the clips of each split; `unseen` if classes are left out."""
        return dict(self._splits)

    def joints(self, source: str) -> np.ndarray:
        """[T, M, J, 3] float32 in metres, M as of the clip with most; zeros where nobody is.

        Persons who are there come first. A single frame is there twice: nothing reads a clip of
        one. A joint that was not measured is NaN, for which the survey drops the clip.
        """
        motion = self._motions[source]
        joints = np.zeros((motion.num_frames, self._persons, len(self._order), 3))
        absent = np.isnan(motion.positions).all(axis=(2, 3), keepdims=True)
        there = np.where(absent, 0.0, motion.positions[:, :, self._order])
        joints[:, : len(motion.persons)] = there
        return np.repeat(joints, 1 + (len(joints) == 1), axis=0).astype(np.float32)

    def captions(self, source: str) -> list[Caption | InvalidClip]:
        """The words of the class."""
        return [Caption(self.label_names[self._label_of[source]])]

    def label(self, source: str) -> int:
        """The class."""
        return self._label_of[source]

    def unlisted(self) -> list[str]:
        """The clips that are in no split: training clips of classes that are left out, copies."""
        return sorted(self._unused)

    def _clips(self, division: Protocol) -> dict[str, Clip]:
        """What the protocol may divide the clips by."""
        by = division.by
        if missing := [name for name, m in self._motions.items() if m.labels.get(by) is None]:
            raise ValueError(
                f"{self.raw}: {missing[0]} has no {by}, by which the protocol divides the clips"
                + (f" (array {by}s)" if self.raw.is_file() else "")
            )
        return {
            name: Clip(
                group=_id(motion.labels[by]),
                subject=_id(motion.labels.get("subject")),
                label=self._label_of[name],
                copy_of=motion.positions.tobytes(),
            )
            for name, motion in self._motions.items()
        }


def _read(raw: pathlib.Path) -> list[Motion]:
    """The clips of a file, or of the files of a folder, by name."""
    if not reading.is_there(raw):
        raise ValueError(
            f"--raw={raw} does not exist; expected the .npz file of a labelled set, or the folder "
            "of a set's published files"
        )
    motions = _read_folder(raw) if raw.is_dir() else _read_file(raw)
    if unlabelled := [motion.name for motion in motions if "class" not in motion.labels]:
        told = "array labels" if raw.is_file() else "class in the name of its file or folder"
        raise ValueError(f"{raw}: {unlabelled[0]} has no class ({told})")
    return sorted(motions, key=lambda motion: motion.name)


def _read_file(path: pathlib.Path) -> list[Motion]:
    """The clips of a file in the order of the file."""
    is_archive = path.suffix.lower() == ".npz"
    if is_archive and labelled_set.claims(path):
        return formats.read(path)
    arrays = list(reading.open_arrays(path)) if is_archive else []  # or what is wrong with it
    raise ValueError(
        f"{path} is no labelled set: expected an .npz file with positions_int16 (or positions), "
        "lengths, joint_names and labels, or a folder of published files"
        + (f"; its arrays are {', '.join(arrays)}" if arrays else "")
    )


def _read_folder(folder: pathlib.Path) -> list[Motion]:
    """The clips of the published files of one set below a folder."""
    known = {each.format for each in PUBLISHED}
    motions, other = [], []
    for path in tqdm(registry.find(folder), desc="reading", unit=" files", disable=None):
        if path.is_dir() or registry.format_of(path).name not in known:
            other.append(path)
            continue
        name = path.relative_to(folder).with_suffix("").as_posix()
        motions += [dataclasses.replace(each, name=name) for each in formats.read(path)]
    if not motions:
        raise ValueError(
            f"--raw={folder} has no published files of {', '.join(p.title for p in PUBLISHED)}"
        )
    if len(sets := sorted({motion.format for motion in motions})) > 1:
        raise ValueError(
            f"--raw={folder} has files of {' and '.join(sets)}; name the folder of one"
        )
    if other:
        raise ValueError(
            f"--raw={folder} has {len(other)} motion files that are not of {sets[0]}, such as "
            f"{other[0].relative_to(folder)}; move them away"
        )
    return motions


def _rate(motions: Sequence[Motion], raw: pathlib.Path) -> float:
    """The frames per second of all clips."""
    if motions[0].fps is None:
        raise ValueError(f"{raw} has no array fps, the frames per second of the clips")
    return motions[0].fps


def _key(name: str) -> tuple[str, ...]:
    """What a joint's name says: LShoulder, ShoulderLeft and left_shoulder are one."""
    parts = re.findall(r"[A-Z](?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|\d+", name)
    sides = {"l": "left", "r": "right"}
    return tuple(sorted(sides.get(part.lower(), part.lower()) for part in parts))


def _skeleton(motions: Sequence[Motion], raw: pathlib.Path) -> tuple[Skeleton, list[int]]:
    """The skeleton of the joints, and for each of its joints the index of the file's."""
    names = motions[0].joint_names
    given = [_key(name) for name in names]
    for skeleton in SKELETONS.values():
        keys = [_key(name) for name in skeleton.joint_names]
        if skeleton.dims == 3 and sorted(keys) == sorted(given):
            return skeleton, [given.index(key) for key in keys]
    known = [name for name, skeleton in SKELETONS.items() if skeleton.dims == 3]
    raise ValueError(
        f"{raw}: its {len(names)} joints, {', '.join(names[:3])}, ..., are not those of "
        f"{', '.join(known)} (motionalign/skeleton.py). Sets of any joints are read by data_prep "
        "library --captions=labels --label=class"
    )


def _classes(
    motions: Sequence[Motion], raw: pathlib.Path
) -> tuple[Published | None, tuple[str, ...], dict[str, int]]:
    """The published set, if it is one; the names of its classes; the class of each clip."""
    found = {motion.name: words(str(motion.labels["class"])) for motion in motions}
    for each in PUBLISHED:
        if motions[0].format == each.format:
            labels = {name: each.classes.index(word) for name, word in found.items()}
            return each, each.classes, labels
    names = _class_names(raw) or tuple(sorted(set(found.values())))
    if "" in found.values() or len(set(names)) < len(names):
        raise ValueError(f"{raw}: class names must be distinct words: {', '.join(names)}")
    labels = {name: names.index(word) for name, word in found.items()}
    lowered = tuple(name.lower() for name in names)
    for each in PUBLISHED:
        if lowered in (each.classes, each.short):
            return each, each.classes, labels
    return None, names, labels


def _class_names(path: pathlib.Path) -> tuple[str, ...]:
    """The names of all classes of a file, by label; () if it has none."""
    stored = labelled_set.class_names(path)
    return tuple(words(name) for name in stored)


def _protocol(
    given: str | Protocol | None, fold: int | None, published: Published | None, raw: pathlib.Path
) -> Protocol:
    """The protocol of the options; a ValueError if it is not one of the set."""
    if isinstance(given, Protocol):
        return given.of_fold(fold)
    if given is None:
        raise ValueError(
            f"which clips train? Give --protocol ({', '.join(PROTOCOLS)}), or of your own set "
            f"{_OWN}"
        )
    homes = [each for each in PUBLISHED if any(p.name == given for p in each.protocols)]
    if not homes:
        raise ValueError(f"--protocol={given}; expected {', '.join(PROTOCOLS)}, or {_OWN}")
    if published not in homes:
        its = "the classes of no published set"
        if published is not None:
            protocol = " or ".join(each.name for each in published.protocols)
            its = f"the classes of {published.title}, whose protocol is {protocol}"
        raise ValueError(
            f"--protocol={given} is a protocol of {' and '.join(each.title for each in homes)}, "
            f"and {raw} has {its}. For a division of your own give {_OWN}"
        )
    return next(p for p in published.protocols if p.name == given).of_fold(fold)


def _id(value: Any) -> Any:
    """A subject or view as the options name it: whole numbers as such, otherwise text."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    text = str(value).strip()
    return None if value is None else int(text) if text.isdecimal() else text


# ---------------------------------------------------------------------------- the command

_PARTS = ("train_subjects", "test_subjects", "train_views", "test_views")


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--raw", required=True, metavar="FILE|FOLDER", help="the set, as above")
    parser.add_argument("--protocol", metavar="|".join(PROTOCOLS), help="what trains and tests")
    parser.add_argument("--fold", type=int, help="which fold tests, from 1")
    parser.add_argument("--fps", type=float, help="frames per second of the records (default: "
                        "those of the set)")  # fmt: skip
    parser.add_argument("--canonical", action=argparse.BooleanOptionalAction, default=None,
                        help="move and turn every clip as in HumanML3D: the first frame on the "
                        "vertical axis and facing +Z, the lowest point at Y = 0 (default: clips of "
                        "one person)")  # fmt: skip
    own = parser.add_argument_group("a division of your own", "instead of --protocol")
    for name in _PARTS:
        part, _, what = name.partition("_")
        rest = "" if part == "train" else " (default: all others)"
        own.add_argument(f"--{name}", metavar="ID,ID,...", help=f"the {what} that {part}{rest}")
    divide.add_options(parser)


def _given_parts(args: argparse.Namespace) -> dict[str, tuple[int | str, ...]]:
    """The ids of a division of one's own; a ValueError if they contradict each other."""
    given = {
        name: parse_ids(getattr(args, name), f"--{name}")
        for name in _PARTS
        if getattr(args, name) is not None
    }
    if not given:
        return {}
    if args.protocol is not None:
        raise ValueError(f"--protocol={args.protocol} is a division, and --{next(iter(given))} too")
    kinds = {name.partition("_")[2] for name in given}
    if len(kinds) > 1:
        raise ValueError("clips are divided by subjects or by views, not by both")
    (kind,) = kinds
    if f"train_{kind}" not in given:
        raise ValueError(f"--test_{kind} needs --train_{kind}")
    both = set(given[f"train_{kind}"]) & set(given.get(f"test_{kind}", ()))
    if both:
        raise ValueError(f"{kind} {min(map(str, both))} would both train and test")
    return given


def _source(args: argparse.Namespace) -> dict[str, Any]:
    if args.fps is not None:
        check_fps(args.fps, "--fps")
    divide.choice_of(args)
    parts = {name: list(ids) for name, ids in _given_parts(args).items()}
    given = {name: getattr(args, name) for name in ("protocol", "fold", "fps", "canonical")}
    return {
        "raw": os.path.abspath(args.raw),
        **{name: value for name, value in given.items() if value is not None},
        **parts,
        **divide.source(args),
    }


def _own(parts: Mapping[str, tuple[int | str, ...]]) -> Protocol | None:
    """The protocol of a division of one's own; None if there is none."""
    if not parts:
        return None
    by = "subject" if any(name.endswith("subjects") for name in parts) else "view"
    train, test = parts[f"train_{by}s"], parts.get(f"test_{by}s", ())
    title = f"own division by {by}, {', '.join(map(str, train))} train"
    return Protocol("own", title, by, train, test, source="the options", rest_tests=not test)


def _make(args: argparse.Namespace) -> Reader:
    protocol = _own(_given_parts(args)) or args.protocol
    return Labelled(
        args.raw,
        protocol,
        args.fold,
        divide.choice_of(args),
        canonical=args.canonical,
        fps=args.fps,
    )


COMMAND = Command(
    name="labelled",
    summary="benchmarks of action recognition, with their protocols",
    about=_ABOUT,
    add_options=_add_options,
    source=_source,
    make=_make,
    config="labelled_actions",
    paths=("raw",),
)
