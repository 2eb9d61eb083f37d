"""The persons of a take as clips of joints: in a given skeleton, or in the file's own."""

import dataclasses
import os
from typing import NamedTuple

import numpy as np

from motionalign.anatomy import sets
from motionalign.anatomy.body import Body, Point
from motionalign.anatomy.native import native
from motionalign.anatomy.points import points
from motionalign.anatomy.smpl22 import smpl22
from motionalign.anatomy.takes import Take, Told, read_takes
from motionalign.anatomy.understand import require_human
from motionalign.formats.motion import Motion
from motionalign.skeleton import SKELETONS, Skeleton

_NAMED = 5  # joints named in a message


@dataclasses.dataclass(frozen=True)
class Person:
    """A person of a take.

    Attributes:
      number: from 1.
      label: "#2" of the second of several persons; "" of the only one.
      joints: [T, J, 3] float32, metres, Y up: the longest stretch in which all joints are known,
        without frames if they never are. In 2D (x, y, confidence).
      start: the frame of the file that is the first one here.
      whole: whether these are all frames of the take.
    """

    number: int
    label: str
    joints: np.ndarray
    start: int
    whole: bool


@dataclasses.dataclass(frozen=True)
class Persons:
    """The persons of a take.

    Attributes:
      skeleton: of their joints.
      all: every person, in the order of the file.
      virtual: the joints that the file does not have, interpolated.
      notes: what was filled, cut or left out, one sentence each.
    """

    skeleton: Skeleton
    all: tuple[Person, ...]
    virtual: tuple[str, ...]
    notes: tuple[str, ...]


def persons_of(take: Take, skeleton: Skeleton | None) -> Persons:
    """The persons of a take.

    Args:
      take: the take.
      skeleton: the skeleton to have the joints in: SMPL's 22 are made of any body, those of another
        one are taken by their names. None: the file's own.

    Raises:
      NotHuman: it is no human body.
      ValueError: the skeleton has other dimensions, or joints that cannot be made.
    """
    motion, body = take.motion, take.body
    require_human(body, take.where)
    if skeleton is not None and skeleton.dims != motion.dims:
        has, wants = ("in an image, in 2D", "3D") if motion.dims == 2 else ("in 3D", "2D")
        raise ValueError(f"{take.where}: its joints are {has}; those of {wants} are needed")
    virtual: tuple[str, ...] = ()
    if skeleton is None:
        found = points(motion, body)
        skeleton, joints = native(motion, body, found)
    elif skeleton.joint_names == SKELETONS["smpl22"].joint_names:
        made = smpl22(motion, body)
        found, joints, virtual = made.points, made.joints, made.virtual
    else:
        found = points(*_by_names(skeleton, take))
        joints = np.where(found.present[..., None, None], found.joints, 0).astype(np.float32)
    people = [
        _person(index, joints[:, index], found.present[:, index], found.start, motion.num_frames)
        for index in range(joints.shape[1])
    ]
    if len(people) == 1:
        people = [dataclasses.replace(people[0], label="")]
    return Persons(skeleton, tuple(people), virtual, found.notes)


class Clip(NamedTuple):
    """A person of a take of a file, as `read_motion` returns it.

    Attributes:
      id: the path of the file, with "#take" and "#person" where it has several.
      joints: [T, J, 3] float32: metres, Y up; in 2D (x, y, confidence).
      fps: frames per second; None: the file states none.
      skeleton: the J joints.
      virtual: names of the joints that the file does not have, interpolated.
      notes: what was left out, assumed, filled or cut, one sentence each.
    """

    id: str
    joints: np.ndarray
    fps: float | None
    skeleton: Skeleton
    virtual: tuple[str, ...]
    notes: tuple[str, ...]


def read_motion(
    path: str | os.PathLike, joints: str = "smpl22", told: Told | None = None
) -> list[Clip]:
    """Reads a motion file of any format and skeleton.

    Args:
      path: the file, or the folder of a sequence with one file a frame.
      joints: "smpl22": SMPL's 22 joints; "native": those of the file.
      told: what the user says about the file.

    Returns:
      A clip for every person of every take; persons who are never seen with all joints are left
      out, which the notes of the others tell.

    Raises:
      ValueError: the file cannot be read, is no human body, or has no such joints.
    """
    if joints not in ("smpl22", "native"):
        raise ValueError(f"joints={joints!r}; expected smpl22 or native")
    skeleton = SKELETONS["smpl22"] if joints == "smpl22" else None
    clips = []
    for take in read_takes(path, told or Told()):
        found = persons_of(take, skeleton)
        notes = (*take.motion.notes, *take.body.notes, *found.notes)
        clips += [
            Clip(
                take.clip_id(os.fspath(path)) + person.label,
                person.joints,
                take.fps,
                found.skeleton,
                found.virtual,
                notes,
            )
            for person in found.all
            if len(person.joints)
        ]
    return clips


def _by_names(skeleton: Skeleton, take: Take) -> tuple[Motion, Body]:
    """A take with the joints of a skeleton as its points: those of the file of the same names.

    Case, separators and where a side is written do not matter: SpineBase is spine_base. Keypoints
    of the face, which the body does not have, have the confidence 0 where they were not detected,
    as in the files of detectors.
    """
    motion, body = take.motion, take.body
    weights = {point.name: point.weights for point in body.points}
    joints = sets.spelt(skeleton.joint_names, motion.joint_names)
    joints |= {name: joint for joint, name in enumerate(motion.joint_names)}
    weights = {name: ((joint, 1.0),) for name, joint in joints.items()} | weights
    if missing := [name for name in skeleton.joint_names if name not in weights]:
        more = ", ..." if len(missing) > _NAMED else ""
        raise ValueError(
            f"{take.where} ({body.convention}) has not the joints of skeleton {skeleton.name!r}: "
            f"no {', '.join(missing[:_NAMED])}{more}"
        )
    chosen = tuple(
        Point(name, weights[name], parent)
        for name, parent in zip(skeleton.joint_names, skeleton.parents, strict=True)
    )
    if motion.dims == 2:
        parts = {point for chain in body.chains.values() for point in chain}
        of_body = {joint for point in parts for joint, _ in body.points[point].weights}
        others = [joint for joint in range(len(motion.joint_names)) if joint not in of_body]
        positions = motion.positions.copy()
        positions[:, :, others] = np.nan_to_num(positions[:, :, others])
        motion = dataclasses.replace(motion, positions=positions)
    return motion, dataclasses.replace(body, points=chosen, chains={})


def _person(
    index: int, joints: np.ndarray, present: np.ndarray, start: int, num_frames: int
) -> Person:
    """The longest stretch of joints [T, J, 3] in which a person is `present` [T]."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], present.astype(int), [0]])))
    stretches = edges.reshape(-1, 2)
    first, end = stretches[np.diff(stretches)[:, 0].argmax()] if len(stretches) else (0, 0)
    return Person(
        index + 1,
        f"#{index + 1}",
        joints[first:end],
        start + int(first),
        bool(end - first == num_frames),
    )
