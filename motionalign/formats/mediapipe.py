"""MediaPipe Pose: 33 landmarks a frame, as many programs save them in one JSON file.

    [{"pose_world_landmarks": [{"x": 0.1, "y": -0.5, "z": -0.2, "visibility": 0.99}, ...]}, ...]

The file is a list of frames, or an object with "frames" and possibly "fps". A frame has its
landmarks under one of several names, or is the list of landmarks; null or an empty list: nobody is
detected. World landmarks are in metres, y down, with the hips at the origin; image landmarks have x
and y as shares of the image's width and height, y down, and are read as 2D.
"""

import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from motionalign import reading
from motionalign.formats import checks, tracks
from motionalign.formats.checks import counted
from motionalign.formats.format import Format, Options
from motionalign.formats.motion import Motion

LANDMARKS = tuple(
    "nose left_eye_inner left_eye left_eye_outer right_eye_inner right_eye right_eye_outer "
    "left_ear right_ear mouth_left mouth_right left_shoulder right_shoulder left_elbow right_elbow "
    "left_wrist right_wrist left_pinky right_pinky left_index right_index left_thumb right_thumb "
    "left_hip right_hip left_knee right_knee left_ankle right_ankle left_heel right_heel "
    "left_foot_index right_foot_index".split()
)

_NAME = "MediaPipe"
_WORLD = ("pose_world_landmarks", "poseWorldLandmarks", "world_landmarks", "worldLandmarks")
_IMAGE = ("pose_landmarks", "poseLandmarks", "image_landmarks", "imageLandmarks")
_EITHER = ("landmarks", "keypoints")
_HIPS = [LANDMARKS.index("left_hip"), LANDMARKS.index("right_hip")]
_CENTRED = 0.05  # metres between the hips' middle and the origin, at most, of world landmarks

# Bytes that show whether a file is one of landmarks, or of `_other_kind`.
_START = 1 << 16
_KEYS = (*_WORLD, *_IMAGE, *_EITHER, "x", "joint_names", "chains", "roles",
         "annotations", "image_id", "people")  # fmt: skip
_CLAIMED = re.compile(
    rf'"({"|".join(_KEYS)})"\s*:|^\W*\[\s*((null|\[\s*\])\s*,\s*)*\[\s*\['.encode()
)

_EXPECTED = (
    f"expected a list of frames, each with {', '.join((*_WORLD[:2], *_IMAGE[:2], *_EITHER))}: "
    f"{len(LANDMARKS)} landmarks with x, y and z"
)


def claims(path: pathlib.Path) -> bool:
    """Whether a JSON file has landmarks, or is of a kind that is told by name."""
    try:
        return _CLAIMED.search(reading.read_start(path, _START)) is not None
    except ValueError:
        return False


def read(path: pathlib.Path, options: Options) -> list[Motion]:
    """Reads the one take of a file; see `Format.read`."""
    del options
    content = reading.read_json(path)
    frames, fps = _frames(content, path)
    key = _key(frames)
    if key is None and not any(isinstance(frame, list) and frame for frame in frames):
        _refuse_empty(frames, path)
    left_out: dict[str, int] = {}
    bodies = []  # of every frame: points [33, 4] of its persons
    for index, frame in enumerate(frames):
        where = f"{path}: frame {index}"
        found = frame
        if isinstance(frame, dict):
            where, found = f"{where}: {key}", frame.get(key or "")
            for name in (*_WORLD, *_IMAGE, *_EITHER):
                if name != key and frame.get(name):
                    left_out[name] = left_out.get(name, 0) + 1
        bodies.append([_body(person, where) for person in _persons(found, where)])
    stacked = np.array([body for found in bodies for body in found])
    if not len(stacked):
        raise ValueError(f"{path}: nobody is detected in {counted(len(frames), 'frame')}")
    world, notes = _is_world(key, stacked)
    if not world and np.isnan(stacked[..., 3]).any():
        notes.append("No visibility is stated of some landmarks: it is 1.")
    notes += [f"Left out: {name} of {counted(n, 'frame')}." for name, n in left_out.items()]
    detections = [
        tracks.Detection(index, body[:, :3] if world else _image(body))
        for index, found in enumerate(bodies)
        for body in found
        if not np.isnan(body[:, :2]).any(axis=1).all()
    ]
    if not detections:
        raise ValueError(f"{path}: no landmark has a position")
    positions, persons, more = tracks.followed(detections, len(frames), str(path))
    return [
        Motion(
            name=path.stem,
            format=_NAME,
            joint_names=LANDMARKS,
            parents=None,
            positions=positions,
            fps=fps,
            dims=3 if world else 2,
            unit_in_metres=1.0 if world else None,
            up="-y" if world else None,
            persons=persons,
            convention=_NAME,
            notes=(*notes, *more),
        )
    ]


# ---------------------------------------------------------------------------- the document


def _frames(content: Any, path: pathlib.Path) -> tuple[list[Any], float | None]:
    """The frames of a document and their rate; a ValueError says what else it is."""
    if kind := _other_kind(content):
        raise ValueError(f"{path} is {kind}")
    fps = None
    if isinstance(content, dict):
        if not isinstance(content.get("frames"), list):
            known = ", ".join(map(str, content))[:200]
            raise ValueError(f"{path} is an object with {known or 'nothing'}; {_EXPECTED}")
        if content.get("fps") is not None:
            fps = checks.rate(content["fps"], f"{path}: fps")
        content = content["frames"]
    if not isinstance(content, list) or not content:
        found = "an empty list" if content == [] else f"{str(content)[:40]!r}"
        raise ValueError(f"{path} is {found}; {_EXPECTED}")
    for index, frame in enumerate(content):
        if not isinstance(frame, dict | list | None):
            raise ValueError(f"{path}: frame {index} is {str(frame)[:40]!r}; {_EXPECTED}")
    if len(content) == len(LANDMARKS) and all(
        isinstance(point, dict) and "x" in point for point in content
    ):
        content = [content]  # one frame
    return content, fps


def _other_kind(content: Any) -> str | None:
    """What a document is that is no motion of this format, and what to do with it."""
    first = content[0] if isinstance(content, list) and content else None
    if isinstance(content, dict):
        if content.keys() & {"joint_names", "chains", "roles", "parents"}:
            return (
                "a skeleton file, which says what the joints of a motion are; give it beside one, "
                "--skeleton=FILE.json"
            )
        if {"images", "annotations"} <= content.keys():
            return "a file of annotations in COCO's form, of single images and not of a motion"
    if isinstance(first, dict) and "image_id" in first:
        return (
            "a list of detections in COCO's form, as AlphaPose writes it, which is not read; let "
            "it write OpenPose's form"
        )
    if isinstance(first, dict) and "people" in first:
        return "a list of OpenPose's frames; expected a file of each, *_keypoints.json, in a folder"
    return None


def _key(frames: Sequence[Any]) -> str | None:
    """The name of the landmarks that are read: world landmarks rather than the image's."""
    for key in (*_WORLD, *_IMAGE, *_EITHER):
        if any(isinstance(frame, dict) and frame.get(key) for frame in frames):
            return key
    return None


def _refuse_empty(frames: Sequence[Any], path: pathlib.Path) -> None:
    """Raises the ValueError for a document without any landmarks."""
    known = {name for frame in frames if isinstance(frame, dict) for name in frame}
    if unknown := sorted(known - {*_WORLD, *_IMAGE, *_EITHER}):
        raise ValueError(f"{path} has frames with {', '.join(unknown)[:200]}; {_EXPECTED}")
    raise ValueError(f"{path}: nobody is detected in {counted(len(frames), 'frame')}")


def _persons(found: Any, where: str) -> list[Any]:
    """The landmarks of each person in a frame."""
    if isinstance(found, dict) and "landmark" in found:  # as protocol buffers are written
        found = found["landmark"]
    elif isinstance(found, dict) and found:
        by_name = {name.lower(): value for name, value in found.items()}
        if missing := [name for name in LANDMARKS if name not in by_name]:
            raise ValueError(f"{where} has no landmark {missing[0]!r}")
        found = [by_name[name] for name in LANDMARKS]
    if not found:
        return []
    if not isinstance(found, list):
        raise ValueError(f"{where} is {str(found)[:40]!r}; expected a list of landmarks")
    if len(found) == len(LANDMARKS) and not _is_persons(found):
        return [found]
    if _is_persons(found):
        return [person["landmark"] if isinstance(person, dict) else person for person in found]
    raise ValueError(
        f"{where} has {len(found)} landmarks; expected {len(LANDMARKS)}, those of MediaPipe Pose"
    )


def _is_persons(found: Sequence[Any]) -> bool:
    """Whether a list is one of persons, and not of landmarks."""
    return all(
        (isinstance(person, dict) and isinstance(person.get("landmark"), list))
        or (isinstance(person, list) and person and isinstance(person[0], dict | list))
        for person in found
    )


def _body(landmarks: Any, where: str) -> np.ndarray:
    """Landmarks as [33, 4]: x, y, z and visibility."""
    if len(landmarks) != len(LANDMARKS):
        raise ValueError(
            f"{where} has {len(landmarks)} landmarks; expected {len(LANDMARKS)}, those of "
            "MediaPipe Pose"
        )
    rows = [_landmark(each, index, where) for index, each in enumerate(landmarks)]
    try:
        array = np.array(rows, np.float64)
    except (ValueError, TypeError, OverflowError) as error:
        raise ValueError(f"{where}: a landmark has something else than numbers") from error
    return checks.finite(array, where)


def _landmark(value: Any, index: int, where: str) -> tuple:
    """(x, y, z, visibility) of a landmark, which is an object or a list."""
    if isinstance(value, Mapping):
        row = (
            value.get("x"),
            value.get("y"),
            value.get("z", np.nan),
            value.get("visibility", np.nan),
        )
    elif isinstance(value, list) and len(value) in (3, 4):
        row = (*value, np.nan)[:4]
    else:
        row = (None,)
    for number in row:
        if not isinstance(number, int | float) or isinstance(number, bool):
            raise ValueError(
                f"{where}: landmark {index} ({LANDMARKS[index]}) is {str(value)[:60]}; expected x, "
                "y, z and visibility"
            )
    return row


# ---------------------------------------------------------------------------- positions


def _is_world(key: str | None, bodies: np.ndarray) -> tuple[bool, list[str]]:
    """Whether landmarks are the world's, in 3D; and notes."""
    world = key in _WORLD
    notes = []
    if key not in (*_WORLD, *_IMAGE):
        middle = bodies[:, _HIPS, :3].mean(axis=1)
        world = bool((np.abs(middle) < _CENTRED).all())
        place = "at the origin" if world else "not at the origin"
        kind = "the world's, in metres" if world else "the image's"
        notes.append(f"The landmarks are taken for {kind}, since the hips are {place}.")
    if world:
        notes.append("The hips are at the origin: where the body goes is not in the file.")
    else:
        notes.append("Image landmarks are read as 2D; their z, a guess of depth, is left out.")
        if (np.abs(bodies[..., :2]) <= 2).mean() > 0.9:
            notes.append(
                "x and y are shares of the image's width and height: unless the image is square, "
                "the body is wider or narrower than it was."
            )
    return world, notes


def _image(body: np.ndarray) -> np.ndarray:
    """Landmarks [33, 4] as 2D points (x, y, visibility), y up."""
    visibility = np.where(np.isnan(body[:, 3]), 1.0, body[:, 3])
    return checks.image(np.column_stack([body[:, :2], visibility]))


FORMAT = Format(
    name=_NAME,
    about=f"a JSON list of frames with the {len(LANDMARKS)} landmarks of MediaPipe Pose, of the "
    "world in 3D or of the image in 2D",
    suffixes=(".json",),
    read=read,
    claims=claims,
)
