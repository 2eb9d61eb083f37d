"""OpenPose: 2D keypoints in JSON, one file a frame, VIDEO_000000000012_keypoints.json.

    {"version": 1.3, "people": [{"person_id": [-1], "pose_keypoints_2d": [x, y, c, x, y, c, ...],
                                 "hand_left_keypoints_2d": [...], ...}]}

A body has 25 points (BODY_25) or 18 (COCO); before version 1.1 the key is pose_keypoints. Points
are in pixels, y down, with a confidence; those that were not detected are zeros.
"""

import itertools
import os
import pathlib
import re
from typing import Any, NamedTuple

import numpy as np

from motionalign import reading
from motionalign.formats import checks, tracks
from motionalign.formats.checks import counted
from motionalign.formats.format import Format, Options
from motionalign.formats.motion import Motion
from motionalign.skeleton import SKELETONS

BODY_25 = tuple(
    "nose neck right_shoulder right_elbow right_wrist left_shoulder left_elbow left_wrist mid_hip "
    "right_hip right_knee right_ankle left_hip left_knee left_ankle right_eye left_eye right_ear "
    "left_ear left_big_toe left_small_toe left_heel right_big_toe right_small_toe "
    "right_heel".split()
)

# By the number of points: their names, and what they are called.
_BODIES = {
    25: (BODY_25, "OpenPose BODY-25"),
    18: (SKELETONS["coco18"].joint_names, "OpenPose COCO-18"),
}

_NAME = "OpenPose"
_END = "_keypoints.json"
_KEYS = ("pose_keypoints_2d", "pose_keypoints")
_LIMIT = 1 << 26  # bytes of a frame, or of a list of frames
_START = 1 << 16  # bytes that show whether a file is OpenPose's

# What is left out of a detection, by the start of its key.
_OTHERS = {"face_keypoints": "faces", "hand_left_keypoints": "left hands",
           "hand_right_keypoints": "right hands", "pose_keypoints_3d": "3D bodies"}  # fmt: skip

_NUMBERED = re.compile(r"(?P<take>.*?)_?(?P<frame>\d{1,15})", re.ASCII)


class _Frame(NamedTuple):
    """One file: its place in the take, and what it holds."""

    number: int
    path: pathlib.Path


def claims(path: pathlib.Path) -> bool:
    """Whether a JSON file is a frame of OpenPose."""
    if path.name.endswith(_END):
        return True
    try:
        start = reading.read_start(path, _START)
    except ValueError:
        return False
    return re.match(rb'(\xef\xbb\xbf)?\s*\{.*"people"\s*:\s*\[', start, re.DOTALL) is not None


def read(path: pathlib.Path, options: Options) -> list[Motion]:
    """Reads the takes of a folder, or a single frame; see `Format.read`."""
    del options
    if not path.is_dir():
        return [_take(path.name.removesuffix(".json"), [_Frame(0, path)], path)]
    takes: dict[str, list[_Frame]] = {}
    names = [name for name in os.listdir(path) if not name.startswith("._")]  # of macOS
    for file in sorted(name for name in names if name.endswith(_END)):
        stem = file.removesuffix(_END)
        numbered = _NUMBERED.fullmatch(stem)
        name, number = (numbered["take"], int(numbered["frame"])) if numbered else (stem, 0)
        takes.setdefault(name, []).append(_Frame(number, path / file))
    return [_take(name or path.name, frames, path) for name, frames in takes.items()]


def _take(name: str, files: list[_Frame], path: pathlib.Path) -> Motion:
    """One take from its frames in the order of their numbers."""
    files = sorted(files)
    first, last = files[0].number, files[-1].number
    for one, next_ in itertools.pairwise(files):
        if one.number == next_.number:
            raise ValueError(f"{next_.path} is frame {one.number}, as is {one.path.name}")
    length = last - first + 1
    if length > 10 * len(files) + 1000:
        raise ValueError(
            f"{path}: frames {first} to {last} of {name!r} are {length:,}, but only "
            f"{counted(len(files), 'file')} are there"
        )
    left_out: dict[str, int] = {}
    detections = []
    for each in files:
        found = _people(each.path, left_out)
        for points, person in found:
            detections.append(tracks.Detection(each.number - first, points, person))
            if len(points) != len(detections[0].points):
                raise ValueError(
                    f"{each.path} has bodies of {len(points)} points, and the frames before of "
                    f"{len(detections[0].points)}"
                )
    if not detections:
        raise ValueError(f"{path}: nobody is detected in {counted(len(files), 'frame')}")
    positions, persons, notes = tracks.followed(detections, length, str(path))
    if length > len(files):
        missing = counted(length - len(files), "frame")
        notes.insert(0, f"Not measured: {missing} between {first} and {last}, without a file.")
    notes += [f"Left out: {number:,} {what}." for what, number in left_out.items()]
    names, convention = _BODIES[positions.shape[2]]
    return Motion(
        name=name,
        format=_NAME,
        joint_names=names,
        parents=None,
        positions=positions,
        fps=None,
        dims=2,
        persons=persons,
        convention=convention,
        notes=tuple(notes),
    )


def _people(path: pathlib.Path, left_out: dict[str, int]) -> list[tuple[np.ndarray, int | None]]:
    """The bodies of one frame: points [J, 3] as in `Motion.positions`, and person_id."""
    content = reading.read_json(path, {"people": list[dict]}, _LIMIT)
    found = []
    for index, person in enumerate(content["people"]):
        where = f"{path}: people[{index}]"
        for key, what in _OTHERS.items():
            if any(name.startswith(key) and person[name] for name in person):
                left_out[what] = left_out.get(what, 0) + 1
        key = next((key for key in _KEYS if key in person), None)
        if key is None:
            raise ValueError(f"{where} has no {_KEYS[0]}; it has {', '.join(person) or 'nothing'}")
        points = _points(person[key], f"{where}: {key}")
        if points is None:
            what = "detections without a body"
            left_out[what] = left_out.get(what, 0) + 1
        else:
            found.append((points, _person_id(person.get("person_id"), where)))
    return found


def _points(values: Any, where: str) -> np.ndarray | None:
    """Points [J, 3] as in `Motion.positions`; None where no point was detected."""
    reading.check_form(values, list, where)
    if not values:
        return None
    array = checks.array(values)
    if array is None:  # lists of several lengths
        raise ValueError(f"{where} is no list of numbers")
    if array.dtype.kind not in "fiu":
        wrong = next((each for each in values if isinstance(each, str | None)), "no number")
        raise ValueError(f"{where} has {wrong!r}; expected numbers")
    count, rest = divmod(array.size, 3)
    if rest or count not in _BODIES or (array.ndim != 1 and array.shape != (count, 3)):
        shapes = " or ".join(f"{3 * number} ({name})" for number, (_, name) in _BODIES.items())
        raise ValueError(
            f"{where} has {array.size} numbers; expected x, y and confidence of each point, "
            f"{shapes}"
        )
    points = checks.image(checks.finite(array.reshape(count, 3), where))
    return None if np.isnan(points[:, :2]).any(axis=1).all() else points


def _person_id(value: Any, where: str) -> int | None:
    """The number of a person whom the detector follows; None: it does not."""
    number = value[0] if isinstance(value, list) and len(value) == 1 else value
    if number is None or number == [] or number == -1:
        return None
    reading.check_form(number, int, f"{where}: person_id")
    return number if number >= 0 else None


FORMAT = Format(
    name=_NAME,
    about=f"2D points of 18 or 25 a body, in a folder with one *{_END} a frame or in one such "
    "file; faces and hands are left out",
    suffixes=(".json",),
    read=read,
    claims=claims,
    frames=(_END,),
)
