"""UTD-MHAD's skeletons: MATLAB files of level 5 with one variable, d_skel [20, 3, T].

Joints of the Kinect v1 in the camera's space, metres, y up, in the order of the set's
Skeleton_joint_order.txt. The name of a file says what it shows: a class, s subject, t trial (Chen,
Jafari, Kehtarnavaz: UTD-MHAD, ICIP 2015).

MATLAB files may hold objects and functions. Only the header of d_skel is looked at before its
numbers are read, and nothing else in the file is.
"""

import io
import pathlib
import re

import numpy as np

from motionalign import reading
from motionalign.formats import checks, tables
from motionalign.formats.format import Format, Options
from motionalign.formats.motion import Motion

JOINT_NAMES = tuple(
    "Head ShoulderCenter Spine HipCenter ShoulderLeft ElbowLeft WristLeft HandLeft ShoulderRight "
    "ElbowRight WristRight HandRight HipLeft KneeLeft AnkleLeft FootLeft HipRight KneeRight "
    "AnkleRight FootRight".split()
)
"""The joints in the order of the file."""

CLASSES = (
    "right arm swipe to the left",
    "right arm swipe to the right",
    "right hand wave",
    "two hand front clap",
    "right arm throw",
    "cross arms in the chest",
    "basketball shoot",
    "right hand draw x",
    "right hand draw circle clockwise",
    "right hand draw circle counter clockwise",
    "draw triangle",
    "bowling right hand",
    "front boxing",
    "baseball swing from right",
    "tennis right hand forehand swing",
    "arm curl two arms",
    "tennis serve",
    "two hand push",
    "right hand knock on door",
    "right hand catch an object",
    "right hand pick up and throw",
    "jogging in place",
    "walking in place",
    "sit to stand",
    "stand to sit",
    "forward lunge left foot forward",
    "squat two arms stretch out",
)
"""The classes in the order of their numbers, from 1, by the names of the set's page without its
brackets."""

_NAME = re.compile(r"a(\d{1,4})_s(\d{1,4})_t(\d{1,4})_skeleton", re.IGNORECASE)
_VARIABLE = "d_skel"
_MAT5 = b"MATLAB 5.0 MAT-file"
_COMPRESSED = 1032  # the most that deflate compresses by


def claims(path: pathlib.Path) -> bool:
    """Whether a file with the name of a recording is a MATLAB file of level 5."""
    return tables.head(path, len(_MAT5)).encode("latin-1") == _MAT5


def read(path: pathlib.Path, options: Options) -> list[Motion]:
    """Reads the recording of a file; see `Format.read`."""
    del options
    match = _NAME.fullmatch(path.stem)
    assert match is not None  # by FORMAT.files
    number, subject, trial = map(int, match.groups())
    if not 1 <= number <= len(CLASSES):
        raise ValueError(f"{path} is of class {number}; UTD-MHAD has 1 to {len(CLASSES)}")
    found = checks.finite(_variable(path), f"{path}: {_VARIABLE}")
    return [
        Motion(
            name=path.stem,
            format=FORMAT.name,
            joint_names=JOINT_NAMES,
            parents=None,
            positions=found.transpose(2, 0, 1)[:, None],
            fps=30.0,
            unit_in_metres=1.0,
            up="y",
            convention="Kinect v1",
            labels={"class": CLASSES[number - 1], "subject": subject, "trial": trial},
        )
    ]


def _variable(path: pathlib.Path) -> np.ndarray:
    """The variable d_skel, [20, 3, T] numbers.

    Raises:
      ValueError: the file is damaged, or has no such variable.
    """
    from scipy.io import loadmat, whosmat  # the import takes long, and few files need it

    data = reading.read_bytes(path)
    wanted = f"{_VARIABLE}, numbers [{len(JOINT_NAMES)}, 3, frames]"
    try:
        there = whosmat(io.BytesIO(data))
    except Exception as error:  # whatever a damaged header makes of SciPy's parser
        raise ValueError(f"{path} is damaged: {_line(error)}") from error
    known = {name: (shape, kind) for name, shape, kind in there}
    shape, kind = known.get(_VARIABLE, ((), ""))
    frames = shape[2] if len(shape) == 3 else 1 if len(shape) == 2 else 0
    if kind not in ("double", "single") or shape[:2] != (len(JOINT_NAMES), 3) or frames < 1:
        listed = ", ".join(f"{name} ({kind} {list(size)})" for name, size, kind in there)
        raise ValueError(f"{path} has {listed or 'no variable'}; expected {wanted}")
    if 4 * len(JOINT_NAMES) * 3 * frames > _COMPRESSED * len(data):
        raise ValueError(
            f"{path}: {_VARIABLE} is said to have {frames:,} frames, and the file has "
            f"{len(data):,} bytes; it is damaged"
        )
    try:
        values = loadmat(io.BytesIO(data), variable_names=[_VARIABLE])[_VARIABLE]
    except Exception as error:  # as above
        raise ValueError(f"{path} is damaged: {_line(error)}") from error
    if values.shape != shape or values.dtype.kind not in "fiu":
        raise ValueError(f"{path} is damaged: {_VARIABLE} is not what its header says")
    return values.reshape(len(JOINT_NAMES), 3, frames)


def _line(error: Exception) -> str:
    """An error of the parser in one line."""
    return " ".join(str(error).split())[:200] or type(error).__name__


FORMAT = Format(
    name="UTD-MHAD",
    about="UTD-MHAD's skeletons, MATLAB files: the 20 joints' positions, and labels of the file's "
    "name",
    suffixes=(".mat",),
    files=r"a\d+_s\d+_t\d+_skeleton\.mat",
    read=read,
    claims=claims,
)
