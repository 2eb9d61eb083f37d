"""The unit, the vertical axis and the height of a body."""

import dataclasses

import motion_files
import numpy as np
import pytest
from rigs import NAMINGS, joints_of, motion_of

from motionalign import formats
from motionalign.anatomy import understand
from motionalign.anatomy.size import CMU, unit_name
from motionalign.conventions import UNITS, to_y

CENTIMETRES = 0.01  # of the rigs of the tests, which stand 1.6 m tall


def rig(program: str = "humanik with a prefix", unit: float = CENTIMETRES, **fields):
    return motion_of(joints_of(NAMINGS[program]), scale=CENTIMETRES / unit, **fields)


def rotated(motion, matrix):
    rest = None if motion.rest is None else motion.rest @ matrix.T
    return dataclasses.replace(motion, positions=motion.positions @ matrix.T, rest=rest)


# ---------------------------------------------------------------------------- units


@pytest.mark.parametrize(
    ("program", "unit"),
    [
        ("humanik with a prefix", "m"),
        ("humanik with a prefix", "cm"),
        ("humanik with a prefix", "mm"),
        ("humanik with a prefix", "in"),
        ("biovision", "in"),
        ("biovision", "cm"),
        ("poser", "in"),
        ("poser", "cm"),
        ("biped", "in"),
        ("mixamo", "cm"),
        ("vrm", "m"),
    ],
)
def test_the_unit_is_known_by_the_height(program, unit):
    body = understand(rig(program, UNITS[unit]))

    assert (body.unit_in_metres, body.unit_known) == (UNITS[unit], "by height")
    assert body.height == pytest.approx(1.6, abs=0.2)
    assert body.finding is None


def test_bodies_with_the_names_of_cmu_are_in_its_unit():
    body = understand(rig("acclaim", CMU))

    assert (body.unit_in_metres, unit_name(body.unit_in_metres)) == (CMU, "5.6444 cm")


@pytest.mark.parametrize("degrees", [0, 40])  # however the body bends
def test_the_height_is_that_of_the_body_standing(tmp_path, degrees):
    """Soles at 2 cm, the skull turns at 154 cm: 152 cm are 87 percent of the height."""
    joints = motion_files.human()
    values = motion_files.swing(joints, 20, degrees=degrees)
    (motion,) = formats.read(motion_files.write_bvh(tmp_path / "clip.bvh", joints, values))
    assert understand(motion).height == pytest.approx(1.52 / 0.87, abs=0.03 if degrees else 0.01)


def test_the_top_of_the_head_counts_where_it_is_higher(tmp_path):
    """The end of the head at 190 cm, 36 cm above where the skull turns, as with a hat."""
    joints = [
        joint._replace(ends=((0, 36, 0),)) if joint.name == "Head" else joint
        for joint in motion_files.human()
    ]
    values = motion_files.swing(joints, 3, degrees=0)
    (motion,) = formats.read(motion_files.write_bvh(tmp_path / "hat.bvh", joints, values))
    assert understand(motion).height == pytest.approx(1.88, abs=0.01)


def test_another_unit_that_fits_is_noted():
    """65 units are an adult in inches, or a small child in centimetres."""
    body = understand(rig("biovision", UNITS["in"]))

    assert [
        note
        for note in body.notes
        if "assumed to be inches, in which" in note and "in cm it would be" in note
    ]


def test_a_childs_height_is_not_taken_for_inches_where_a_program_uses_centimetres():
    motion = rig("mixamo")
    child = dataclasses.replace(motion, positions=motion.positions * 0.5)

    body = understand(child)

    assert (body.unit_in_metres, round(body.height, 1)) == (0.01, 0.9)


def test_a_height_of_no_unit_is_noted():
    body = understand(rig(unit=1e-6))

    assert (body.kind, body.unit_in_metres, body.height) == ("human", None, None)
    assert any("human in no unit" in note for note in body.notes)


def test_a_stated_unit_is_kept_and_a_contradiction_is_a_finding():
    body = understand(rig(unit_in_metres=1.0))  # the positions are in centimetres

    assert (body.unit_in_metres, body.unit_known) == (1.0, "stated")
    assert body.finding is not None
    assert (body.finding.reason, body.finding.remedy) == ("unit_implausible", ("unit", "cm"))


def test_a_stated_unit_is_used():
    body = understand(rig(unit=UNITS["in"], unit_in_metres=UNITS["in"]))

    assert (body.unit_known, body.finding) == ("stated", None)
    assert not body.notes


@pytest.mark.parametrize(
    ("unit", "name"), [(1.0, "m"), (0.0254, "in"), (CMU, "5.6444 cm"), (0.02, "2 cm")]
)
def test_names_of_units(unit, name):
    assert unit_name(unit) == name


# ---------------------------------------------------------------------------- the vertical axis


@pytest.mark.parametrize("up", ["y", "z", "-y", "-z", "x", "-x"])
def test_the_axis_is_known_by_the_body(up):
    body = understand(rotated(rig(), to_y(up).T))

    assert (body.up, body.up_known, body.finding) == (up, "by the body", None)
    assert body.height == pytest.approx(1.73, abs=0.1)


def test_a_stated_axis_is_kept_and_a_contradiction_is_a_finding():
    body = understand(rotated(rig(up="y"), to_y("z").T))

    assert (body.up, body.up_known) == ("y", "stated")
    assert body.finding is not None
    assert (body.finding.reason, body.finding.remedy) == ("axis_implausible", ("up", "z"))


def lying(motion):
    """The motion of a body that lies on its back at the height 0."""
    back = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])  # up to -z, forward to y
    down = motion.positions @ back.T
    return down - [0, down[..., 1].min(), 0]


def test_a_body_that_lies_is_known_by_its_rest_pose():
    motion = rig()
    rest = motion.positions[0, 0]
    body = understand(dataclasses.replace(motion, positions=lying(motion), rest=rest))

    assert (body.up, body.up_known, body.finding) == ("y", "by the rest pose", None)


def test_a_rest_pose_is_not_believed_where_the_body_stands_along_another_axis():
    """As in files whose root turns the body from the axes of its rest pose to those of the room."""
    motion = rig()
    rest = motion.positions[0, 0]
    moved = motion.positions @ to_y("z") + [0, 80, 0]

    body = understand(dataclasses.replace(motion, positions=moved, rest=rest))

    assert (body.up, body.up_known) == ("z", "by the body")


def test_a_body_that_sits_is_not_on_all_fours_along_the_axis_of_its_rest_pose():
    """Its thighs are upright along that axis, as those of a body that crawls, and not its arms."""
    motion = rig()
    names = list(motion.joint_names)
    sitting = motion.positions @ np.diag([-1.0, 1, -1]) + [0, 70, 0]  # it faces -z
    for side in ("Left", "Right"):
        for name, place in ((f"{side}Leg", (-45, 2)), (f"{side}Foot", (-45, 45))):
            at = next(i for i, each in enumerate(names) if each.endswith(name))
            hip = next(i for i, each in enumerate(names) if each.endswith(f"{side}UpLeg"))
            sitting[:, :, at, 2] = sitting[:, :, hip, 2] + place[0]
            sitting[:, :, at, 1] = sitting[:, :, hip, 1] + 2 - place[1]
    rest = motion.positions[0, 0] @ to_y("z")

    body = understand(dataclasses.replace(motion, positions=sitting, rest=rest))

    assert (body.up, body.up_known) == ("y", "by the body")


@pytest.mark.parametrize("up", ["y", "z", "-x"])
def test_a_cartwheel_is_upright_along_the_axis_that_points_up(up):
    """Upside down in a third of the frames, so that no axis is that of a body that stands."""
    motion = rig(frames=30)
    rest = motion.positions[0, 0]
    angles = np.concatenate([np.zeros(15), np.linspace(0, 2 * np.pi, 15)])
    turns = np.zeros((30, 3, 3))
    turns[:, 0, 0] = turns[:, 1, 1] = np.cos(angles)
    turns[:, 0, 1], turns[:, 1, 0] = np.sin(angles), -np.sin(angles)
    turns[:, 2, 2] = 1
    middle = motion.positions.mean((0, 1, 2))
    wheel = np.einsum("tmji,tki->tmjk", motion.positions - middle, turns) + middle + [0, 70, 30]

    body = understand(dataclasses.replace(motion, positions=wheel @ to_y(up), rest=rest))

    assert body.up == up


def test_a_rest_pose_that_is_no_pose_says_nothing():
    """All bones along x, as in files whose joints have their own axes along the bones."""
    motion = rig()
    rest = np.zeros_like(motion.positions[0, 0])
    rest[:, 0] = np.arange(len(rest))

    body = understand(dataclasses.replace(motion, positions=lying(motion), rest=rest))

    assert body.up == "-z"  # as if it stood


def test_a_body_that_is_elsewhere_in_the_next_frame_is_noted():
    motion = rig(frames=20)
    damaged = motion.positions.copy()
    damaged[7] += [1460_00, -1460_00, 0]
    damaged[12] = np.nan

    body = understand(dataclasses.replace(motion, positions=damaged))

    [note] = [note for note in body.notes if "jumps" in note]
    assert note.startswith("the body jumps by 2.06e+03 m from frame 7 to the next; so it does in 1")
    assert not any("jumps" in note for note in understand(motion).notes)


def test_a_body_of_which_no_frame_is_complete_is_not_measured():
    motion = rig()
    gaps = motion.positions.copy()
    for frame in range(len(gaps)):
        gaps[frame, 0, 3 + frame] = np.nan
    body = understand(dataclasses.replace(motion, positions=gaps, up="y"))

    assert (body.kind, body.height, body.up, body.up_known) == ("human", None, "y", "stated")
    assert any("not measured" in note for note in body.notes)
