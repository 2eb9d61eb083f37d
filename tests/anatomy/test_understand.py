"""What a motion is: the parts of a body, its unit, its axes and its height."""

import numpy as np
import pytest

from motionalign import anatomy
from motionalign.formats.motion import Motion

# name, parent, offset from it in centimetres: a body with the names of Mixamo.
SIDE = [
    ("Shoulder", "Spine2", (6, 9, 0)), ("Arm", "Shoulder", (12, 0, -2)),
    ("ForeArm", "Arm", (27, 0, 0)), ("Hand", "ForeArm", (26, 0, 1)),
    ("HandMiddle1", "Hand", (12, 0, 0)),
    ("UpLeg", "Hips", (9, -6, 0)), ("Leg", "UpLeg", (0, -41, 0.5)), ("Foot", "Leg", (0, -42, -1)),
    ("ToeBase", "Foot", (0, -9, 13)),
]  # fmt: skip
TRUNK = [
    ("Hips", "", (0, 98, 0)), ("Spine", "Hips", (0, 10, -1)), ("Spine1", "Spine", (0, 11, 0)),
    ("Spine2", "Spine1", (0, 13, 0)), ("Neck", "Spine2", (0, 15, 1)), ("Head", "Neck", (0, 10, 3)),
    ("HeadTop_End", "Head", (0, 18, 2)), ("LeftEye", "Head", (3, 7, 9)),
]  # fmt: skip


def human() -> tuple[list[str], list[int], np.ndarray]:
    """(names, parents, positions [J, 3] in centimetres) of a body that stands, Y up."""
    rows = list(TRUNK)
    for side, sign in (("Left", 1), ("Right", -1)):
        ours = {name for name, _, _ in SIDE}
        rows += [
            (side + name, side + parent if parent in ours else parent, (sign * x, y, z))
            for name, parent, (x, y, z) in SIDE
        ]
    names = [name for name, _, _ in rows]
    parents = [names.index(parent) if parent else -1 for _, parent, _ in rows]
    positions = np.array([offset for _, _, offset in rows], float)
    for joint, parent in enumerate(parents):
        if parent >= 0:
            positions[joint] += positions[parent]
    return names, parents, positions


def motion(names=None, parents=None, positions=None, frames: int = 3, **fields) -> Motion:
    """A motion of the body of `human`, or of another, swaying a little."""
    ours = human()
    names, parents, positions = (
        own if given is None else given
        for own, given in zip(ours, (names, parents, positions), strict=True)
    )
    sway = np.linspace(0, 1, frames)[:, None, None, None]
    return Motion(
        "clip", "test", tuple(names), tuple(parents), positions[None, None] + sway, 30.0, **fields
    )  # fmt: skip


def chain(body: anatomy.Body, part: str) -> list[str]:
    return [body.points[i].name for i in body.chains[part]]


def test_a_rig_is_understood_by_its_names():
    body = anatomy.understand(motion())

    assert (body.kind, body.finding) == ("human", None)
    assert chain(body, "torso") == "Hips Spine Spine1 Spine2 Neck Head HeadTop_End".split()
    assert chain(body, "left_leg") == ["Hips", "LeftUpLeg", "LeftLeg", "LeftFoot", "LeftToeBase"]
    assert chain(body, "right_arm") == [
        "Spine2", "RightShoulder", "RightArm", "RightForeArm", "RightHand",
    ]  # fmt: skip
    assert (body.unit_in_metres, body.unit_known) == (0.01, "by height")
    assert (body.up, body.up_known) == ("y", "by the body")
    assert body.height == pytest.approx(1.79, abs=0.1)
    assert body.left_out["fingers"] == ("LeftHandMiddle1", "RightHandMiddle1")
    assert body.left_out["face"] == ("LeftEye",)
