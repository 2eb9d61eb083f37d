"""Labelled sets: benchmarks of action recognition, with their published protocols.

    <raw>     an .npz with all clips of a set, one after the other (motionalign/formats)

A set says of every clip its class, subject and view. A protocol divides them into train and test;
of train, whole subjects become val, so that no model is chosen by its score on the test. Classes
that are left out form a further split, `unseen`.
"""

import argparse
import dataclasses
import os
import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from data_prep import protocols
from data_prep.protocols import Protocol, held_out
from data_prep.readers import Caption, Command, InvalidClip, Reader, reasons_table
from motionalign import conventions
from motionalign.data.resample import check_fps
from motionalign.formats import labelled_set
from motionalign.formats.format import Options
from motionalign.formats.motion import Motion
from motionalign.skeleton import SKELETONS, Skeleton

NW_UCLA = (
    "pick up with one hand",
    "pick up with two hands",
    "drop trash",
    "walk around",
    "sit down",
    "stand up",
    "donning",
    "doffing",
    "throw",
    "carry",
)

# The names of the set's page; packed files have a short form of each, in the same order.
UTD_MHAD = {
    "swipe left": "right arm swipe to the left",
    "swipe right": "right arm swipe to the right",
    "wave": "right hand wave",
    "clap": "two hand front clap",
    "throw": "right arm throw",
    "arm cross": "cross arms in the chest",
    "basketball shoot": "basketball shoot",
    "draw x": "right hand draw x",
    "draw circle cw": "right hand draw circle clockwise",
    "draw circle ccw": "right hand draw circle counter clockwise",
    "draw triangle": "draw triangle",
    "bowling": "bowling right hand",
    "boxing": "front boxing",
    "baseball swing": "baseball swing from right",
    "tennis swing": "tennis right hand forehand swing",
    "arm curl": "arm curl two arms",
    "tennis serve": "tennis serve",
    "push": "two hand push",
    "knock": "right hand knock on door",
    "catch": "right hand catch an object",
    "pickup throw": "right hand pick up and throw",
    "jog": "jogging in place",
    "walk": "walking in place",
    "sit2stand": "sit to stand",
    "stand2sit": "stand to sit",
    "lunge": "forward lunge left foot forward",
    "squat": "squat two arms stretch out",
}

SBU = (
    "approaching",
    "departing",
    "kicking",
    "pushing",
    "shaking hands",
    "hugging",
    "exchanging",
    "punching",
)


@dataclasses.dataclass(frozen=True)
class Published:
    """A published set.

    Attributes:
      title: its name.
      classes: {class name of the files: readable name}, in the order of the labels.
      protocols: that are published for it.
    """

    title: str
    classes: Mapping[str, str]
    protocols: tuple[Protocol, ...]


PUBLISHED = (
    Published("NW-UCLA", dict(zip(NW_UCLA, NW_UCLA)), protocols.NW_UCLA),
    Published("UTD-MHAD", UTD_MHAD, protocols.UTD_MHAD),
    Published("SBU Kinect Interaction", dict(zip(SBU, SBU)), protocols.SBU),
)

PROTOCOLS = tuple(dict.fromkeys(each.name for of in PUBLISHED for each in of.protocols))

_ABOUT = f"""\
Labelled sets: benchmarks of action recognition in one .npz file, with their published protocols.

--protocol chooses what trains and what tests:
  cross_view     NW-UCLA: views 1 and 2 train, view 3 tests
  cross_subject  UTD-MHAD: subjects 1, 3, 5 and 7 train, 2, 4, 6 and 8 test
  folds          SBU Kinect Interaction: the fold of --fold=1 to 5 tests, the other four train
A set of one's own gives the division itself, such as --train_subjects=1,2,3.

These benchmarks have no validation split. A part of the training subjects, chosen by --val_share
and --seed, becomes val; all of their training clips leave train. --val_by=clips takes clips
instead, of every class.

--leave_out=5 --draw=0 leaves five classes out of train and val: the test clips of these classes
become the split unseen, those of the other classes remain test. Draws are disjoint and the same
for every --seed.

expected file:
  RAW   .npz: positions_int16 [frames of all clips, persons, joints, 3] and scale, lengths, labels,
        class_names, subjects, views, joint_names, fps (docs/formats.md, "labelled set")

examples:
  python -m data_prep labelled --raw=nw_ucla.npz --protocol=cross_view --name=nw_ucla
  python -m data_prep labelled --raw=utd_mhad.npz --protocol=cross_subject --name=utd_mhad_unseen0 \\
    --leave_out=5 --draw=0
  python -m data_prep labelled --raw=sbu_interaction.npz --protocol=folds --fold=1 --name=sbu_1
  python -m data_prep labelled --raw=mine.npz --train_subjects=1,2,3 --test_subjects=4,5 --name=mine

reasons for dropping a clip, as in report.json:
{reasons_table()}
"""

OWN = "own"  # name of a protocol that is given by ids


@dataclasses.dataclass(frozen=True)
class Choice:
    """What divides the clips of a set.

    Attributes:
      protocol: one of `PROTOCOLS`; None: `division`.
      fold: which fold tests, from 1, of a protocol with folds.
      division: a protocol of one's own.
      val_share: of the training subjects, or clips, that become val.
      val_by: "subjects" or "clips".
      seed: of the choice of val.
      leave_out: number of classes, or their names.
      draw: which draw of classes, from 0, if `leave_out` is a number.
    """

    protocol: str | None = None
    fold: int | None = None
    division: Protocol | None = None
    val_share: float = 0.1
    val_by: str = "subjects"
    seed: int = 0
    leave_out: int | tuple[str, ...] = 0
    draw: int | None = None


class Labelled(Reader):
    """Reads a labelled set."""

    unit_in_metres = 1.0
    sensor = "depth"
    names_are_paths = True
    # A benchmark's clips are what they are: no published test set loses any.
    accept = tuple(conventions.REASONS)

    def __init__(
        self,
        raw: str | pathlib.Path,
        choice: Choice,
        *,
        canonical: bool = False,
        fps: float | None = None,
    ) -> None:
        """Reads the set and divides its clips.

        Args:
          raw: the file described above.
          choice: what divides the clips.
          canonical: whether every clip is moved and turned as in HumanML3D.
          fps: frames per second of the records; None: those of the set.

        Raises:
          ValueError: the file is not of the layout, or the choice does not fit it.
        """
        self.raw = pathlib.Path(raw)
        motions = _read(self.raw)
        self._motions = {motion.name: motion for motion in motions}
        self.source_fps = motions[0].fps or 0.0
        if not self.source_fps:
            raise ValueError(f"{self.raw} has no array fps, the frames per second of the clips")
        self.fps = self.source_fps if fps is None else check_fps(fps, "--fps")
        self.skeleton, self._order = _skeleton(motions[0].joint_names, self.raw)
        self._persons = 1 + max(_slots(motion)[-1] for motion in motions)
        if canonical and self._persons > 1:
            raise ValueError("--canonical turns every person by itself; these clips have two")
        self.canonical = canonical
        self._published, self.label_names, self._label_of = _classes(motions, self.raw)
        division = _division(choice, self._published, self.raw)
        self._split_of, made = _divide(self._motions, self._label_of, division, choice, self.raw)
        self.split_made = made
        self.protocol = made["protocol"]
        self.notes = tuple(made["notes"])
        self._left_out = made["left_out"]

    def splits(self) -> dict[str, list[str]]:
        """The names of the clips of each split; `unseen` if classes are left out."""
        names = {split: [] for split in ("train", "val", "test")}
        if self._left_out:
            names["unseen"] = []
        for name, split in self._split_of.items():
            if split:
                names[split].append(name)
        return names

    def joints(self, source: str) -> np.ndarray:
        """[T, M, J, 3] float32 in metres; zeros where a person is absent."""
        motion = self._motions[source]
        joints = np.zeros((motion.num_frames, self._persons, self.skeleton.num_joints, 3))
        # Persons who are there come first.
        joints[:, : len(motion.persons)] = motion.positions[:, :, list(self._order)]
        return np.nan_to_num(joints).astype(np.float32)

    def captions(self, source: str) -> list[Caption | InvalidClip]:
        """The words of the class."""
        return [Caption(self.label_names[self._label_of[source]])]

    def label(self, source: str) -> int:
        """The class."""
        return self._label_of[source]


def _read(path: pathlib.Path) -> list[Motion]:
    """The clips of a file; a ValueError if it is none of the layout."""
    if not path.is_file():
        raise ValueError(f"--raw={path} does not exist; expected the .npz file of a labelled set")
    if not labelled_set.claims(path):
        raise ValueError(
            f"{path} is no labelled set: expected an .npz file with positions_int16 (or "
            "positions), lengths, labels and joint_names"
        )
    motions = labelled_set.read(path, Options())
    if "class" not in motions[0].labels:
        raise ValueError(f"{path} has no array labels, the class of each clip")
    return motions


def _slots(motion: Motion) -> list[int]:
    """The places of a clip's persons."""
    return list(range(len(motion.persons)))


def _key(name: str) -> frozenset[str]:
    """What a joint's name says: LShoulder, ShoulderLeft and left_shoulder are one."""
    words = re.findall(r"[A-Z](?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|\d+", name)
    sides = {"l": "left", "r": "right"}
    return frozenset(sides.get(word.lower(), word.lower()) for word in words)


def _skeleton(names: Sequence[str], path: pathlib.Path) -> tuple[Skeleton, tuple[int, ...]]:
    """The skeleton of these joints, and for each of its joints the index in `names`."""
    given = [_key(name) for name in names]
    for skeleton in SKELETONS.values():
        keys = [_key(name) for name in skeleton.joint_names]
        if skeleton.dims == 3 and sorted(map(sorted, keys)) == sorted(map(sorted, given)):
            return skeleton, tuple(given.index(key) for key in keys)
    raise ValueError(
        f"{path}: its joints ({', '.join(names)}) are not those of a known skeleton: "
        f"{', '.join(name for name, each in SKELETONS.items() if each.dims == 3)} "
        "(motionalign/skeleton.py)"
    )


def words(name: Any) -> str:
    """A class name as words: pick_up_with_one_hand becomes "pick up with one hand"."""
    return " ".join(str(name).replace("_", " ").replace("-", " ").lower().split())


def _classes(
    motions: Sequence[Motion], path: pathlib.Path
) -> tuple[Published | None, tuple[str, ...], dict[str, int]]:
    """The published set, if the classes are those of one; the class names; each clip's class."""
    found = {motion.name: words(motion.labels["class"]) for motion in motions}
    names = set(found.values())
    if "" in names:
        raise ValueError(f"{path} has a class without a name")
    for each in PUBLISHED:
        if names <= set(each.classes) or names <= set(each.classes.values()):
            order = list(each.classes)
            if not names <= set(order):
                order = list(each.classes.values())
            labels = {name: order.index(word) for name, word in found.items()}
            return each, tuple(each.classes.values()), labels
    order = sorted(names)
    return None, tuple(order), {name: order.index(word) for name, word in found.items()}


def _division(choice: Choice, published: Published | None, path: pathlib.Path) -> Protocol:
    """The protocol of a choice; a ValueError if it is not one of the set."""
    if choice.division is not None:
        return choice.division.of_fold(choice.fold)
    own = "give the division of your own set with --train_subjects or --train_views"
    if choice.protocol is None:
        raise ValueError(f"which clips train? Give --protocol ({', '.join(PROTOCOLS)}), or {own}")
    of = next((p for p in PUBLISHED if any(q.name == choice.protocol for q in p.protocols)), None)
    if of is None:
        raise ValueError(f"--protocol={choice.protocol}; expected {', '.join(PROTOCOLS)}, or {own}")
    if published is not of:
        what = "classes of no published set" if published is None else f"those of {published.title}"
        known = "" if published is None else f" ({', '.join(p.name for p in published.protocols)})"
        raise ValueError(
            f"--protocol={choice.protocol} is a protocol of {of.title}, whose {len(of.classes)} "
            f"classes {path} does not have: its are {what}{known}; {own}"
        )
    protocol = next(p for p in of.protocols if p.name == choice.protocol)
    return protocol.of_fold(choice.fold)


def _numbers(motions: Mapping[str, Motion], label: str, path: pathlib.Path) -> dict[str, int]:
    """The subject or view of each clip."""
    if any(label not in motion.labels for motion in motions.values()):
        raise ValueError(f"{path} has no array {label}s, by which the protocol divides the clips")
    return {name: int(motion.labels[label]) for name, motion in motions.items()}


def _divide(
    motions: Mapping[str, Motion],
    label_of: Mapping[str, int],
    division: Protocol,
    choice: Choice,
    path: pathlib.Path,
) -> tuple[dict[str, str], dict[str, Any]]:
    """The split of each clip, "" for none, and how the splits were made, for report.json."""
    numbers = _numbers(motions, division.by, path)
    there = set(numbers.values())
    for part in (division.train, division.test):
        if missing := sorted(set(part) - there):
            raise ValueError(
                f"{path} has no clip of {division.by} {missing[0]}, which {division.title} needs; "
                f"it has {', '.join(map(str, sorted(there)))}"
            )
    split_of = {
        name: "train" if n in division.train else "test" if n in division.test else ""
        for name, n in numbers.items()
    }
    classes = list(range(1 + max(label_of.values())))
    out = _left_out(choice, classes)
    unused = 0
    for name, label in label_of.items():
        if label in out and split_of[name]:
            split_of[name] = "unseen" if split_of[name] == "test" else ""
            unused += not split_of[name]
    training = [name for name, split in split_of.items() if split == "train"]
    subjects = _numbers(motions, "subject", path)
    chosen = held_out((subjects[name] for name in training), choice.val_share, choice.seed)
    for name in training:
        if subjects[name] in chosen:
            split_of[name] = "val"
    text = division.title
    return split_of, {"protocol": text, "notes": [], "left_out": sorted(out), "val": list(chosen)}


def _left_out(choice: Choice, classes: Sequence[int]) -> set[int]:
    """The classes that are left out of training."""
    if not choice.leave_out:
        return set()
    count, draw = choice.leave_out, choice.draw or 0
    order = np.random.default_rng(0).permutation(len(classes))
    return set(order[draw * count : (draw + 1) * count].tolist())


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--raw", required=True, metavar="FILE", help="the file described above")
    parser.add_argument("--protocol", help=f"one of {', '.join(PROTOCOLS)}")
    parser.add_argument("--fold", type=int, help="which fold tests, from 1")
    parser.add_argument("--fps", type=float, help="frames per second of the records (default: "
                        "those of the set)")  # fmt: skip
    parser.add_argument("--canonical", action="store_true", help="move and turn every clip as in "
                        "HumanML3D; of one person only")  # fmt: skip
    parser.add_argument("--val_share", type=float, default=0.1, help="of the training subjects "
                        "(default: %(default)s)")  # fmt: skip
    parser.add_argument("--seed", type=int, default=0, help="of the choice of val "
                        "(default: %(default)s)")  # fmt: skip
    parser.add_argument("--leave_out", type=int, default=0, help="classes left out of training")
    parser.add_argument("--draw", type=int, help="which draw of classes, from 0")


def _source(args: argparse.Namespace) -> dict[str, Any]:
    names = ("protocol", "fold", "fps", "canonical", "val_share", "seed", "leave_out", "draw")
    given = {name: getattr(args, name) for name in names}
    return {"raw": os.path.abspath(args.raw), **given}


def _make(args: argparse.Namespace) -> Reader:
    choice = Choice(
        protocol=args.protocol,
        fold=args.fold,
        val_share=args.val_share,
        seed=args.seed,
        leave_out=args.leave_out,
        draw=args.draw,
    )
    return Labelled(args.raw, choice, canonical=args.canonical, fps=args.fps)


COMMAND = Command(
    name="labelled",
    summary="benchmarks of action recognition in one file",
    about=_ABOUT,
    add_options=_add_options,
    source=_source,
    make=_make,
    config="mocap_actions",
    paths=("raw",),
)
