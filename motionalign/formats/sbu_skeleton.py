"""SBU Kinect Interaction's skeleton_pos.txt: two persons by frame, as comma-separated rows.

A row is the frame's number and 2 x 15 joints, the person at the left first. Positions are
normalised; the set's README gives the way back (Yun et al.: Two-person interaction detection using
body-pose features and multiple instance learning, CVPR Workshops 2012):

    X = 1280 - 2560 x,  Y = 960 - 1920 y,  Z = 10000 / 7.8125 z

in millimetres, y up. Folders say what a file shows: s01s02/05/001/skeleton_pos.txt is the first
recording of class 5 by subjects 1, who acts, and 2.
"""

import pathlib
import re

import numpy as np

from motionalign.formats import tables
from motionalign.formats.format import Format, Options
from motionalign.formats.motion import Motion

OPENNI15 = tuple(
    "Head Neck Torso LShoulder LElbow LHand RShoulder RElbow RHand LHip LKnee LFoot RHip RKnee "
    "RFoot".split()
)
"""The joints in the order of the file."""

CLASSES = (
    "approaching",
    "departing",
    "kicking",
    "pushing",
    "shaking hands",
    "hugging",
    "exchanging objects",
    "punching",
)
"""The classes in the order of the folders, from 01, by the names of the set's README."""

_PERSONS = 2
_WIDTH = 1 + _PERSONS * len(OPENNI15) * 3
_OFFSET = np.array([1.28, 0.96, 0.0])  # metres
_SCALE = np.array([-2.56, -1.92, 10 / 7.8125])
_PLACE = re.compile(r"s(\d\d)s(\d\d)/(\d{1,4})/(\d{1,4})")
_ROW = re.compile(r"\d+(,\s*-?\d+(\.\d*)?(e[+-]?\d+)?){20}", re.IGNORECASE)


def claims(path: pathlib.Path) -> bool:
    """Whether a file called skeleton_pos.txt starts with a row of positions."""
    return _ROW.match(tables.head(path)) is not None


def read(path: pathlib.Path, options: Options) -> list[Motion]:
    """Reads the recording of a file; see `Format.read`."""
    del options
    lines, notes = tables.read_lines(path)
    numbers = range(1, len(lines) + 1)
    rows = tables.parse_rows(lines, _WIDTH, path, numbers, ",")
    values = rows[:, 1:].reshape(len(rows), _PERSONS, len(OPENNI15), 3)
    lost = (values == 0).all(axis=-1, keepdims=True)
    positions = np.where(lost, np.nan, _OFFSET + _SCALE * values)
    if lost.any():
        notes += (f"{int(lost.sum())} places of joints that are zeros are left out.",)
    if (np.diff(rows[:, 0]) != 1).any():
        notes += ("The numbers of the frames do not follow each other: frames may be missing.",)
    labels, more = _labels(path)
    return [
        Motion(
            name=path.stem,
            format=FORMAT.name,
            joint_names=OPENNI15,
            parents=None,
            positions=positions,
            fps=15.0,
            unit_in_metres=1.0,
            up="y",
            persons=("left person", "right person"),
            convention="OpenNI",
            notes=(*notes, *more),
            labels=labels,
        )
    ]


def _labels(path: pathlib.Path) -> tuple[dict[str, str | int], tuple[str, ...]]:
    """What the folders of a file say, and a note if they say nothing."""
    match = _PLACE.fullmatch("/".join(path.absolute().parent.parts[-3:]))
    if match is None:
        return {}, ("No labels: the folders of the file are not those of the set, s01s02/05/001.",)
    first, second, number, trial = map(int, match.groups())
    if not 1 <= number <= len(CLASSES):
        raise ValueError(
            f"{path} is in a folder of class {number}; SBU Kinect Interaction has 1 to "
            f"{len(CLASSES)}"
        )
    pair = 100 * first + second
    return {"class": CLASSES[number - 1], "subject": pair, "trial": trial}, ()


FORMAT = Format(
    name="SBU skeleton",
    about="SBU Kinect Interaction's skeleton_pos.txt: 15 joints of two persons, and labels of the "
    "folders' names",
    suffixes=(".txt",),
    files=r"skeleton_pos\.txt",
    read=read,
    claims=claims,
)
