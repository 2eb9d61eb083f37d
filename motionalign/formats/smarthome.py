"""Poses of LCR-Net in JSON, one file a clip, as Toyota Smarthome has them.

    {"njts": 13, "frames": [[{"pose2d": [13 x, 13 y], "pose3d": [13 x, 13 y, 13 z]}, ...], ...]}

A frame is a list of detections, which are not followed from frame to frame. Coordinates in space
are the camera's: x to the right of the image, y down, z away (Rogez et al., 2019; its demo shows
them so). Neither their unit nor a frame rate is stated.
"""

import pathlib
import re
from typing import Any

import numpy as np

from motionalign import reading
from motionalign.formats import checks, tracks
from motionalign.formats.checks import counted
from motionalign.formats.format import Format, Options
from motionalign.formats.motion import Motion
from motionalign.formats.tracks import Bodies

JOINT_NAMES = tuple(
    "right_ankle left_ankle right_knee left_knee right_hip left_hip right_wrist left_wrist "
    "right_elbow left_elbow right_shoulder left_shoulder head".split()
)
"""The joints in the order of the file."""

UP = "-y"
"""The axis that points up."""

_NAME = "LCR-Net"
_START = 1 << 16  # bytes that show whether a file is of this format
_CLAIMED = re.compile(rb'"frames"\s*:\s*\[.*"(pose[23]d|njts)"\s*:|"njts"\s*:.*"frames"\s*:', re.S)


def claims(path: pathlib.Path) -> bool:
    """Whether a JSON file has frames with poses of LCR-Net."""
    try:
        return _CLAIMED.search(reading.read_start(path, _START)) is not None
    except ValueError:
        return False


def parse(path: pathlib.Path) -> Bodies:
    """Reads the detections of a file, in the camera's space, with the joints of `JOINT_NAMES`.

    Raises:
      ValueError: the file cannot be read, or a detection has no pose of 13 joints.
    """
    content = reading.read_json(path, {"frames": list[list[dict]]})
    number = len(JOINT_NAMES)
    if (joints := content.get("njts", number)) != number:
        raise ValueError(f"{path} has poses of {joints!r} joints (njts); expected {number}")
    frame, ids, poses = [], [], []
    for index, found in enumerate(content["frames"]):
        for place, detection in enumerate(found):
            where = f"{path}: frames[{index}][{place}]"
            poses.append(_pose(detection, where))
            frame.append(index)
            ids.append(str(place))
    positions = np.array(poses).reshape(-1, 3, number).swapaxes(1, 2)
    tracked = np.ones(positions.shape[:2], bool)
    return Bodies(len(content["frames"]), np.array(frame, int), tuple(ids), positions, tracked)


def _pose(detection: dict[str, Any], where: str) -> np.ndarray:
    """The x, y and z [39] of a detection."""
    if "pose3d" not in detection:
        raise ValueError(f"{where} has no pose3d; it has {', '.join(detection) or 'nothing'}")
    values = detection["pose3d"]
    reading.check_form(values, list[float], f"{where}: pose3d")
    count = 3 * len(JOINT_NAMES)
    if len(values) != count:
        raise ValueError(f"{where}: pose3d has {len(values)} numbers; expected {count}")
    return checks.finite(np.array(values, float), f"{where}: pose3d")


def read(path: pathlib.Path, options: Options) -> list[Motion]:
    """Reads the one take of a file; see `Format.read`."""
    del options
    found = parse(path)
    if not found.ids:
        raise ValueError(f"{path}: nobody is detected in {counted(found.frames, 'frame')}")
    detections = [
        tracks.Detection(int(frame), points) for frame, points in zip(found.frame, found.positions)
    ]
    positions, persons, notes = tracks.followed(detections, found.frames, str(path))
    return [
        Motion(
            name=path.stem,
            format=_NAME,
            joint_names=JOINT_NAMES,
            parents=None,
            positions=positions,
            fps=None,
            up=UP,
            persons=persons,
            convention=_NAME,
            notes=tuple(notes),
        )
    ]


FORMAT = Format(
    name=_NAME,
    about="3D poses of 13 joints, as in Toyota Smarthome",
    suffixes=(".json",),
    read=read,
    claims=claims,
)
