"""NTU RGB+D's .skeleton files: bodies of the Kinect v2 by frame.

A frame is the number of bodies, and for each a line with its tracking id and nine more values, the
number of joints, and 25 lines of 12 values: x, y, z in the camera's space, the places in the depth
and the colour image, a quaternion, and how well the joint is tracked (Shahroudy et al., 2016).
"""

import pathlib

import numpy as np

from motionalign import reading
from motionalign.formats import tables
from motionalign.formats.format import Format, Options
from motionalign.formats.motion import Motion
from motionalign.formats.tracks import Bodies

JOINT_NAMES = tuple(
    "SpineBase SpineMid Neck Head ShoulderLeft ElbowLeft WristLeft HandLeft ShoulderRight "
    "ElbowRight WristRight HandRight HipLeft KneeLeft AnkleLeft FootLeft HipRight KneeRight "
    "AnkleRight FootRight SpineShoulder HandTipLeft ThumbLeft HandTipRight ThumbRight".split()
)
"""The joints in the order of the file, which is that of the Kinect SDK 2.0's JointType."""

FPS = 30.0
"""Frames per second of the sensor."""

_VALUES = 12  # of a joint
_KEPT = (0, 1, 2, 11)  # of them: x, y, z and the state
_BODY = 10  # of a body, the tracking id first
_TRACKED = 6  # bodies at a time that a Kinect v2 tracks


def parse(path: pathlib.Path, joints: int = len(JOINT_NAMES)) -> Bodies:
    """Reads a file of this layout, of NTU RGB+D or with another number of joints.

    Raises:
      ValueError: the file cannot be read, or is spoiled; the message names the line.
    """
    lines, notes = tables.read_lines(path)
    frames, ids, places = _places(lines, path, joints)
    at = np.array(places, int).reshape(-1, 2)  # (frame, line of the first joint) of each body
    rows = (at[:, 1:] + np.arange(joints)).ravel()
    # Places in the images may be infinite; only x, y, z and the state are of interest.
    values = tables.parse_rows(
        [lines[row] for row in rows], _VALUES, path, (rows + 1).tolist(), None, _KEPT
    ).reshape(len(places), joints, len(_KEPT))
    return Bodies(frames, at[:, 0], tuple(ids), values[..., :3], values[..., 3] != 0, notes)


def read(path: pathlib.Path, options: Options) -> list[Motion]:
    """Reads a .skeleton file; see `Format.read`.

    The persons are all bodies of the file in the order of their appearance, named by their
    tracking ids. A body that the sensor loses and finds again has a new id.
    """
    del options
    found = parse(path)
    notes = found.notes
    if not found.ids:
        raise ValueError(
            f"{path} has no body in any of its {found.frames} frames; it is one of the recordings "
            "that the data set's list of missing skeletons names"
        )
    ids = list(dict.fromkeys(found.ids))
    shape = (found.frames, len(ids), len(JOINT_NAMES), 3)
    tables.check_size(shape, reading.check_file(path), path)
    index = {each: person for person, each in enumerate(ids)}
    positions = np.full(shape, np.nan)
    positions[found.frame, [index[each] for each in found.ids]] = np.where(
        found.tracked[..., None], found.positions, np.nan
    )
    if lost := int((~found.tracked).sum()):
        notes += (f"{lost} places of joints that the sensor did not track are left out.",)
    if len(ids) > 2:
        notes += (
            f"{len(ids)} bodies: a clip of the data set has one or two persons, and the others are "
            "found by mistake, or again under another id.",
        )
    return [
        Motion(
            name=path.stem,
            format=FORMAT.name,
            joint_names=JOINT_NAMES,
            parents=None,
            positions=positions,
            fps=FPS,
            unit_in_metres=1.0,
            up="y",
            persons=tuple(ids),
            convention="Kinect v2",
            notes=notes,
        )
    ]


def _places(
    lines: list[str], path: pathlib.Path, joints: int
) -> tuple[int, list[str], list[tuple[int, int]]]:
    """The number of frames, and of each body in each its id, and frame and first joint's line.

    How many lines a frame has is only known from the lines before it.
    """

    def line(index: int, frame: int) -> str:
        if index >= len(lines):
            raise ValueError(
                f"{path} ends after line {len(lines)}, in frame {frame + 1}; its first line states "
                f"{frames} frames"
            )
        return lines[index]

    frames = tables.whole(lines[0] if lines else "", path, 1, "the number of frames")
    bodies, places = [], []
    at = 1
    for frame in range(frames):
        what = f"the number of bodies in frame {frame + 1}"
        count = tables.whole(line(at, frame), path, at + 1, what, _TRACKED)
        at += 1
        here = len(bodies)
        for _ in range(count):
            values = line(at, frame).split()
            if len(values) != _BODY:
                raise ValueError(
                    f"{path}, line {at + 1}: {len(values)} values; expected the {_BODY} of a body, "
                    "its tracking id first"
                )
            if values[0] in bodies[here:]:
                raise ValueError(f"{path}, line {at + 1}: body {values[0]} for the second time")
            what = f"{joints}, the number of joints"
            if tables.whole(line(at + 1, frame), path, at + 2, what) != joints:
                raise ValueError(
                    f"{path}, line {at + 2}: {lines[at + 1].strip()!r}; expected {what}"
                )
            line(at + 1 + joints, frame)
            bodies.append(values[0])
            places.append((frame, at + 2))
            at += 2 + joints
    if at < len(lines):
        raise ValueError(
            f"{path}, line {at + 1}: {lines[at].strip()[:40]!r} after the {frames} frames that the "
            "first line states"
        )
    return frames, bodies, places


FORMAT = Format(
    name="NTU skeleton",
    about="NTU RGB+D's .skeleton files: all bodies, the 25 joints' positions in metres",
    suffixes=(".skeleton",),
    read=read,
)
