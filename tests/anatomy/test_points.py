"""Tests of motionalign.anatomy.points."""

import dataclasses
import itertools

import numpy as np
import pytest
from bodies import body as moving
from handmade import body_of, motion
from hypothesis import given, settings
from hypothesis import strategies as st

from motionalign.anatomy import understand
from motionalign.anatomy.body import Point
from motionalign.anatomy.points import LONGEST_GAP, points
from motionalign.conventions import AXES, UNITS, to_y
from motionalign.formats import read
from motionalign.skeleton import SKELETONS

SMPL = SKELETONS["smpl22"]
JOINTS = moving(frames=40).astype(np.float64)
ASIDE = np.array([1.0, 0.0, 0.0])
WRIST = SMPL.joint_names.index("left_wrist")


def smpl_motion(joints=JOINTS, fps=20.0, **fields):
    return motion(joints, SMPL.joint_names, SMPL.parents, fps, **fields)


@pytest.mark.parametrize("up", AXES)
@pytest.mark.parametrize("unit", ["cm", "in"])
def test_unit_and_axis_of_the_body_are_applied(up, unit):
    given = JOINTS @ to_y(up) / UNITS[unit]
    found = points(smpl_motion(given), body_of("smpl22", UNITS[unit], up))
    np.testing.assert_allclose(found.joints[:, 0], JOINTS, atol=1e-12)
    assert found.joints.dtype == np.float64 and found.present.all()
    assert (found.start, found.filled, found.notes) == (0, 0, ())


def test_a_point_is_the_weighted_mean_of_its_joints_and_other_joints_do_not_matter():
    body = body_of("smpl22")
    weights = ((1, 0.5), (2, 0.25), (3, 0.25))
    others = tuple(point._replace(weights=((4, 1.0),)) for point in body.points[1:])
    body = dataclasses.replace(body, points=(Point("pelvis", weights, -1, "pelvis"), *others))
    given = JOINTS.copy()
    given[:, 21] = np.nan  # of no point
    found = points(smpl_motion(given), body)
    expected = 0.5 * JOINTS[:, 1] + 0.25 * JOINTS[:, 2] + 0.25 * JOINTS[:, 3]
    np.testing.assert_allclose(found.joints[:, 0, 0], expected, atol=1e-12)
    assert found.present.all()


def with_gap(start, stop, joint=WRIST, joints=JOINTS):
    given = joints.copy()
    given[start:stop, joint] = np.nan
    return given


def test_a_short_gap_is_interpolated_linearly_and_counted():
    assert LONGEST_GAP * 20 == 5
    found = points(smpl_motion(with_gap(10, 15)), body_of("smpl22"))
    share = np.arange(1, 6)[:, None] / 6
    line = JOINTS[9, WRIST] * (1 - share) + JOINTS[15, WRIST] * share
    np.testing.assert_allclose(found.joints[10:15, 0, WRIST], line, atol=1e-12)
    kept = np.ones_like(JOINTS, bool)
    kept[10:15, WRIST] = False
    np.testing.assert_array_equal(found.joints[:, 0][kept], JOINTS[kept])
    assert found.present.all() and found.filled == 5
    (note,) = found.notes
    assert "left_wrist was not measured in some frames: 5 positions" in note


@given(st.data())
@settings(max_examples=30)
def test_gaps_are_filled_as_one_by_one(data):
    """Against loops over joints and gaps: what is filled, by what, and who is present."""
    lost = data.draw(
        st.lists(st.tuples(st.integers(0, 39), st.integers(1, 9), st.integers(0, 3)), max_size=12)
    )
    joints = JOINTS.copy()
    for start, length, joint in lost:
        joints[start : start + length, joint] = np.nan
    expected, filled = joints.copy(), 0
    for joint in range(22):
        seen = np.flatnonzero(~np.isnan(joints[:, joint, 0]))
        for before, after in itertools.pairwise(seen):
            if 0 < after - before - 1 <= 5:
                for frame in range(before + 1, after):
                    share = (frame - before) / (after - before)
                    a, b = joints[before, joint], joints[after, joint]
                    expected[frame, joint] = a + share * (b - a)
                    filled += 1
    there = ~np.isnan(expected).any((1, 2))
    if not there.any():
        return
    found = points(smpl_motion(joints), body_of("smpl22"))
    first, last = np.flatnonzero(there)[[0, -1]]
    assert (found.start, found.filled) == (first, filled)
    np.testing.assert_array_equal(found.present[:, 0], there[first : last + 1])
    expected[~there] = np.nan
    np.testing.assert_allclose(found.joints[:, 0], expected[first : last + 1], atol=1e-12)


def test_a_longer_gap_stays_one():
    found = points(smpl_motion(with_gap(10, 16)), body_of("smpl22"))
    assert np.flatnonzero(~found.present[:, 0]).tolist() == list(range(10, 16))
    assert np.isnan(found.joints[10:16]).all() and np.isfinite(found.joints[~np.r_[10:16]]).any()
    assert found.filled == 0
    assert found.notes == (
        "the body is absent in 6 of 40 frames: left_wrist was not measured for more than 0.25 s",
    )


def test_how_long_a_gap_is_depends_on_the_frame_rate():
    long = with_gap(10, 26)
    assert points(smpl_motion(long, fps=100.0), body_of("smpl22")).filled == 16
    assert points(smpl_motion(long, fps=20.0), body_of("smpl22")).filled == 0
    found = points(smpl_motion(with_gap(10, 17), fps=None), body_of("smpl22"))
    assert found.filled == 7 and "taking 30 frames for a second" in found.notes[0]


def test_gaps_at_the_ends_are_cut_and_not_extrapolated():
    given = with_gap(37, 40, 5, with_gap(0, 2))
    found = points(smpl_motion(given), body_of("smpl22"))
    np.testing.assert_array_equal(found.joints[:, 0], JOINTS[2:37])
    assert (found.start, found.filled) == (2, 0)
    assert found.notes == (
        "the first 2 of 40 frames are cut: left_wrist was not measured",
        "the last 3 of 40 frames are cut: right_knee was not measured",
    )


def test_persons_may_come_and_go():
    given = np.stack([JOINTS, JOINTS + ASIDE, JOINTS], axis=1)
    given[:12, 1] = np.nan
    given[:, 2, WRIST] = np.nan
    found = points(smpl_motion(given, persons=("A", "B", "")), body_of("smpl22"))
    assert found.persons == (0, 1)
    np.testing.assert_array_equal(found.present.sum(0), [40, 28, 0])
    np.testing.assert_array_equal(found.joints[12:, 1], JOINTS[12:] + ASIDE)
    assert np.isnan(found.joints[:12, 1]).all()
    assert len(found.notes) == 2
    assert found.notes[0].startswith("person B is absent in 12 of 40 frames: pelvis, left_hip")
    assert found.notes[1].startswith("person 3 is left out: left_wrist was never measured")


def test_a_pose_before_the_motion_is_cut():
    rest = JOINTS[:1] + np.array([1.0, 0.0, 0.5])
    found = points(smpl_motion(np.concatenate([rest, JOINTS])), body_of("smpl22"))
    np.testing.assert_array_equal(found.joints[:, 0], JOINTS)
    assert found.start == 1 and found.present.shape == (40, 1)
    (note,) = found.notes
    assert note.startswith("the first frame is cut, a pose before the motion: joints are up to 1.1")


@pytest.mark.parametrize(
    "clip",
    [
        np.concatenate([JOINTS[:1] + 0.05, JOINTS]),  # too near
        np.concatenate([JOINTS[:1] + 1, JOINTS])[:9],  # too short to tell
        np.concatenate([JOINTS[:1] + 1, JOINTS])[::-1],  # not the first
        np.concatenate([JOINTS * (i % 2) + JOINTS for i in range(4)]),  # jumps again and again
    ],
)
def test_a_first_frame_of_the_motion_stays(clip):
    found = points(smpl_motion(clip), body_of("smpl22"))
    assert len(found.joints) == len(clip) and found.notes == ()


def test_real_files_that_start_with_a_pose(real_files):
    cut = set()
    for path in sorted((real_files / "bvh").glob("*.bvh")):
        try:
            (given,) = read(path)
        except ValueError:
            continue
        body = understand(given)
        if body.kind == "human" and points(given, body).start == 1:
            cut.add(path.stem)
    assert cut == {
        "cmu_cgspeed_12_01_walk",
        "threejs_pirouette",
        "two_person_salsa_10_A",
        "two_person_salsa_25_B",
        "xsens_mvn_blender_test_mocap",
    }


def test_a_keypoint_that_is_filled_has_no_confidence():
    joints = np.random.default_rng(0).random((30, 18, 3))
    joints[3:5, 7] = np.nan
    skeleton = SKELETONS["coco18"]
    given = motion(joints, skeleton.joint_names, skeleton.parents, 30.0, dims=2)
    found = points(given, body_of("coco18", None, None))
    names = [point.name for point in body_of("coco18").points]
    wrist = found.joints[3:5, 0, names.index("left_wrist")]
    share = np.array([[1 / 3], [2 / 3]])
    line = joints[2, 7, :2] * (1 - share) + joints[5, 7, :2] * share
    np.testing.assert_allclose(wrist, np.concatenate([line, np.zeros((2, 1))], 1), atol=1e-12)


@pytest.mark.parametrize(
    ("unit", "up", "what"), [(None, "y", 'unit is.*"unit": "cm"'), (1.0, None, "axis.*--skeleton")]
)
def test_what_is_unknown_is_asked_for(unit, up, what):
    with pytest.raises(ValueError, match=f"^take: .*{what}"):
        points(smpl_motion(), body_of("smpl22", unit, up))


def test_a_joint_that_is_never_measured_is_named():
    with pytest.raises(ValueError, match=r"^take: left_wrist was not measured in any frame"):
        points(smpl_motion(with_gap(0, 40)), body_of("smpl22"))


def test_joints_that_are_never_measured_together_are_named():
    given = with_gap(20, 40, 5, with_gap(0, 20))
    with pytest.raises(ValueError, match=r"no frame has all joints of a body: .*left_wrist"):
        points(smpl_motion(given), body_of("smpl22"))


def test_a_motion_that_is_no_body_has_no_points():
    body = dataclasses.replace(body_of("smpl22"), points=(), chains={}, why="3 joints")
    with pytest.raises(ValueError, match=r"no points of a body were found in it \(3 joints\)"):
        points(smpl_motion(), body)
