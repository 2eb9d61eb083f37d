"""Measuring, judging and converting made-up clips."""

import dataclasses

import numpy as np
import pytest
from bodies import body
from hypothesis import given
from hypothesis import strategies as st

from motionalign.conventions import (
    AXES,
    REASONS,
    UNITS,
    Census,
    Declared,
    Finding,
    Origin,
    canonical,
    implausible,
    measure,
    read_order,
)
from motionalign.conventions.declared import to_y
from motionalign.conventions.findings import as_flag, guess_unit, most_common
from motionalign.conventions.measured import landmarks
from motionalign.skeleton import SKELETONS

SMPL = SKELETONS["smpl22"]
THREE_D = [name for name, skeleton in SKELETONS.items() if skeleton.dims == 3]


def turned(clip, degrees):
    angle = np.radians(degrees)
    cos, sin = np.cos(angle), np.sin(angle)
    return clip @ np.array([[cos, 0, sin], [0, 1, 0], [-sin, 0, cos]], clip.dtype).T


@pytest.mark.parametrize("skeleton", THREE_D)
def test_measurements_of_a_body(skeleton):
    found = measure(body(skeleton=skeleton), SKELETONS[skeleton])
    assert 1.4 < found.height < 1.8
    assert found.up == "y" and found.upright == 1
    assert found.forwards > 0.3
    assert (found.origin, found.lowest, found.repeated, found.empty) == (0, 0, 0, 0)
    assert abs(found.facing) < 1e-6
    assert found.bone_variation < 1e-5 and found.asymmetry < 1.001
    assert implausible(found) is None
    assert Origin().holds(found)


def test_size_is_the_sum_of_bones_by_hand():
    """Legs of 0.1 + 0.4 + 0.42 + 0.13 m and a torso of 0.6 m."""
    assert measure(body(1), SMPL).height == pytest.approx(1.65, abs=1e-6)
    assert measure(body(1, unit=0.01), SMPL).height == pytest.approx(165, abs=1e-3)


@pytest.mark.parametrize("degrees", [0, 30, -90, 135, 179])
def test_facing_is_measured_and_mended(degrees):
    clip = turned(body(), degrees) + np.float32([3, -0.7, 1])
    found = measure(clip, SMPL)
    assert found.facing == pytest.approx(degrees, abs=1e-3)
    assert not Origin().holds(found)
    made = canonical(clip, SMPL)
    np.testing.assert_allclose(made, body(), atol=1e-5)
    assert made.dtype == clip.dtype


@given(st.floats(-180, 180), st.floats(-5, 5), st.floats(-5, 5), st.integers(0, 50))
def test_canonical_undoes_any_placement(degrees, x, z, seed):
    clip = body(12, seed=seed).astype(np.float64)
    placed = turned(clip, degrees) + np.array([x, 1.3, z])
    np.testing.assert_allclose(canonical(placed, SMPL), clip, atol=1e-6)


@pytest.mark.parametrize(
    ("names", "shoulder"),
    [
        ("Spine LeftShoulder LeftArm LeftForeArm LeftHand", "LeftArm"),
        ("Chest Shoulder_L UpperArm_L LowerArm_L Hand_L Hand_end", "UpperArm_L"),
        ("thorax lclavicle lhumerus lradius lwrist lhand", "lhumerus"),
        ("Spine1 LeftCollar LeftUpArm LeftLowArm LeftHand", "LeftUpArm"),
        ("middle left_collar left_shoulder left_elbow left_wrist", "left_shoulder"),
        ("chest lCollar lShldr lElbow lHand", "lShldr"),
        ("Armature LeftShoulder LeftElbow LeftWrist", "LeftShoulder"),
    ],
)
def test_the_shoulder_of_an_arm_is_found_by_its_name(names, shoulder):
    smpl = SKELETONS["smpl22"]
    arm = names.split()
    all_names = (*smpl.joint_names[:13], *arm)
    chain = tuple(range(13, 13 + len(arm)))
    skeleton = dataclasses.replace(
        smpl,
        joint_names=all_names,
        parents=(*smpl.parents[:13], 9, *chain[:-1]),
        chains=(*smpl.chains[:2], (0, 3, 6, 9, 12), chain, chain),
        mirror=tuple(range(len(all_names))),
    )
    assert all_names[landmarks(skeleton).shoulders[0]] == shoulder


def test_the_floor_of_the_frames_that_are_read():
    clip = body(20)
    clip[10:] -= np.float32([0, 0.5, 0])
    assert canonical(clip, SMPL)[..., 1].min() == pytest.approx(0, abs=1e-6)
    assert canonical(clip, SMPL, frames=10)[:10, :, 1].min() == pytest.approx(0, abs=1e-6)


def bent(clip, joints, pivot, degrees):
    """Joints turned about a pivot joint, forwards (+Y to +Z) if degrees > 0."""
    angle = np.radians(degrees)
    cos, sin = np.cos(angle), np.sin(angle)
    turn = np.array([[1, 0, 0], [0, cos, -sin], [0, sin, cos]], clip.dtype)
    clip = clip.copy()
    clip[:, joints] = (clip[:, joints] - clip[:, [pivot]]) @ turn.T + clip[:, [pivot]]
    return clip


@pytest.mark.parametrize("floor", [0, 0.1])
@pytest.mark.parametrize("degrees", [0, 90])
def test_a_body_on_all_fours_is_not_refused(floor, degrees):
    index = SMPL.joint_names.index
    chains = dict(zip(SMPL.chain_names, SMPL.chains, strict=True))
    legs = {*chains["left_leg"], *chains["right_leg"]}  # the pelvis is in both
    clip = bent(body(), [joint for joint in range(22) if joint not in legs], 0, 90)
    for side in ("left", "right"):
        below = [index(f"{side}_{name}") for name in ("ankle", "foot")]
        clip = bent(clip, below, index(f"{side}_knee"), 90)
    clip = turned(clip - np.float32([0, clip[..., 1].min() - floor, 0]), degrees)
    found = measure(clip, SMPL)
    assert found.up in ("z", "x") and found.upright == 0  # level from the feet to the head
    assert implausible(found) is None


def test_a_body_that_lies_on_the_floor_is_not_refused():
    lying = body() @ to_y("z").astype(np.float32).T  # head along -Z or +Z
    assert implausible(measure(lying, SMPL)).reason == "axis_implausible"
    on_floor = lying - np.float32([0, lying[..., 1].min(), 0])
    assert implausible(measure(on_floor, SMPL)) is None


@pytest.mark.parametrize(
    ("change", "reason", "remedy"),
    [
        (lambda clip: clip * 100, "unit_implausible", ("unit", "cm")),
        (lambda clip: clip * 1000, "unit_implausible", ("unit", "mm")),
        (lambda clip: clip / 0.0254, "unit_implausible", ("unit", "in")),
        (lambda clip: clip * 1e7, "unit_implausible", None),
        (lambda clip: clip @ to_y("z").astype("f"), "axis_implausible", ("up", "z")),
        (lambda clip: clip * np.float32([-1, 1, 1]), "handedness", None),
        (lambda clip: clip[:, ::-1], "order_implausible", None),
        (lambda clip: np.repeat(clip[:1], 30, axis=0), "frozen", None),
        (lambda clip: clip * (np.arange(30) != 7)[:, None, None], "zeros", None),
        (lambda clip: clip * 0, "zeros", None),
    ],
)  # fmt: skip
def test_findings_and_their_remedies(change, reason, remedy):
    found = measure(change(body()), SMPL)
    finding = implausible(found)
    assert finding.reason == reason and finding.remedy == remedy
    assert finding.reason in REASONS
    assert f"--accept={reason}" in finding.advice(as_flag)
    if remedy:
        assert f"--{remedy[0]}={remedy[1]}" in finding.advice(as_flag)
        assert f"{remedy[0]}='{remedy[1]}'" in finding.advice()
    later = list(REASONS)[list(REASONS).index(reason) + 1 :]
    accepted = implausible(found, accept=[reason])
    assert accepted is None or accepted.reason in later


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("up", AXES)
def test_a_remedy_replaces_a_wrong_declaration(unit, up):
    """Whatever was declared of a clip, following the remedies ends at what it is."""
    clip = body(unit=0.01) @ to_y("z").astype("f")  # centimetres, Z up
    declared = Declared(unit, up)
    for _ in range(2):
        found = measure(declared.convert(clip, SMPL, 1.0), SMPL)
        finding = implausible(found, declared=declared)
        if finding is not None:
            declared = dataclasses.replace(declared, **dict([finding.remedy]))
    assert declared == Declared("cm", "z")


def test_integers_are_converted_as_numbers_with_fractions():
    millimetres = (1000 * body()).round().astype(np.int16)
    metres = Declared("mm").convert(millimetres, SMPL, 1.0)
    np.testing.assert_allclose(metres, body(), atol=6e-4)
    half = Declared("mm").convert((1000 * body()).astype(np.float16), SMPL, 1.0)
    assert half.dtype == np.float16
    made = canonical(turned(millimetres.astype("f"), 90).astype(np.int16), SMPL)
    np.testing.assert_allclose(made, 1000 * body(), atol=2)


def test_frames_without_a_body_have_no_floor_and_no_facing():
    clip = turned(body(30), 70) + np.float32([2, 0.4, -1])
    clip[[0, 9]] = 0
    made = canonical(clip, SMPL)
    expected = turned(body(30)[1:], -measure(body(30)[1:], SMPL).facing)
    expected -= expected[0, 0] * np.float32([1, 0, 1])
    assert made[1:9, :, 1].min() == pytest.approx(expected[:8, :, 1].min(), abs=0.02)
    assert Origin().holds(measure(made, SMPL))
    assert np.isfinite(canonical(clip * 0, SMPL)).all()


def test_sizes_are_not_judged_in_an_unknown_unit():
    assert implausible(measure(body(unit=0.001), SMPL), unit_in_metres=None) is None
    assert guess_unit(165) == "cm" and guess_unit(1650) == "mm" and guess_unit(0) is None


def test_depth_cameras_may_shake():
    clip = body() + np.random.default_rng(0).normal(0, 0.02, (30, 22, 3)).astype(np.float32)
    assert implausible(measure(clip, SMPL), sensor="optical").reason == "order_implausible"
    assert implausible(measure(clip, SMPL), sensor="depth") is None


@pytest.mark.parametrize("up", AXES)
def test_any_axis_is_turned_to_y(up):
    turn = to_y(up)
    np.testing.assert_array_equal(turn @ AXES[up], AXES["y"])
    assert np.linalg.det(turn) == 1  # a rotation: it does not mirror
    clip = body()
    given_so = clip @ turn.astype(np.float32)
    np.testing.assert_array_equal(Declared(up=up).convert(given_so, SMPL, 1.0), clip)


def test_declared_order_unit_and_what_is_wrong_with_them(tmp_path):
    clip = body()
    names = (*SMPL.joint_names, "left_hand", "right_hand")  # SMPL has 24 joints
    long = np.concatenate([clip, clip[:, :2]], axis=1)
    declared = Declared("cm", order=names)
    assert declared.num_joints(SMPL) == 24
    np.testing.assert_allclose(declared.convert(100 * long, SMPL, 1.0), clip, rtol=1e-5)
    assert Declared("m").convert(clip, SMPL, 1.0) is clip
    (tmp_path / "names.txt").write_text("\n".join(names) + "\n")
    assert read_order(str(tmp_path / "names.txt")) == names
    assert read_order("a, b") == ("a", "b")
    with pytest.raises(ValueError, match="'nowhere' is neither a comma-separated list"):
        read_order("nowhere")
    with pytest.raises(ValueError, match="lacks pelvis, left_hip; skeleton 'smpl22' has"):
        Declared(order=names[2:]).convert(long[:, 2:], SMPL, 1.0)
    with pytest.raises(ValueError, match="repeats pelvis"):
        Declared(order=(*names, "pelvis")).convert(long, SMPL, 1.0)
    with pytest.raises(ValueError, match="unit of the training data is unknown"):
        Declared("cm").convert(clip, SMPL, None)
    with pytest.raises(ValueError, match="unit 'yd'; expected one of m, cm, mm, in, ft"):
        Declared("yd")
    with pytest.raises(ValueError, match="up 'w'; expected one of x, -x, y"):
        Declared(up="w")


def test_origin_of_a_dataset_is_as_strict_as_its_clips():
    still = [measure(body(seed=i), SMPL) for i in range(5)]
    assert Origin.of(still) == Origin()
    assert Origin.of([]) is None
    slightly = [measure(turned(body(seed=i), 2 * i), SMPL) for i in range(5)]
    assert Origin.of(slightly).facing == pytest.approx(8.08, abs=0.01)
    assert all(Origin.of(slightly).holds(found) for found in slightly)
    backwards = [measure(turned(body(seed=i), 180), SMPL) for i in range(5)]
    assert Origin.of(backwards).heading == 180
    anywhere = [measure(turned(body(seed=i), 40 * i), SMPL) for i in range(5)]
    assert Origin.of(anywhere) is None
    assert Origin.from_json(Origin.of(slightly).to_json()) == Origin.of(slightly)


def test_the_account_of_many_clips():
    census = Census(SMPL, 1.0)
    for i in range(4):
        assert census.add(f"clip {i}", body(seed=i), 20) is None
    for i in range(3):
        assert census.add(f"cm {i}", body(seed=i, unit=0.01), 20).reason == "unit_implausible"
    assert census.verdict(census.clips) is None  # three of seven
    common = census.verdict(["clip 0", "cm 0", "cm 1", "cm 2"])
    assert census.verdict(["cm 0", "cm 1", "clip 1", *census.clips] * 2) is None  # once each
    assert census.verdict(["cm 0", "cm 0"]).count == 1
    assert common.count == 3 and common.finding.remedy == ("unit", "cm")
    assert common.finding.detail.startswith("cm 0: the body measures 165 m")
    report = census.report()
    assert report["clips"]["clip 0"][:3] == [1.65, "y", pytest.approx(0.83, abs=0.01)]
    assert len(report["columns"]) == len(report["clips"]["clip 0"])
    assert census.origin == Origin()
    (line,) = census.lines()
    assert line.startswith("bodies: 1.65/1.65/1.65 m from toes to head")
    census.add("fast", body() * np.float32([1, 1, 1]), 2000)
    assert "in 1 clips joints move faster than 15 m/s, for example fast" in census.lines()[1]
    of_two_kinds = {"a": Finding("frozen", "1"), "b": Finding("zeros", "2")}
    of_two_kinds["c"] = of_two_kinds["b"]
    assert most_common(of_two_kinds, 6) is None
    assert most_common(of_two_kinds, 5) == (
        Finding("zeros", "b: 2"), 3, " (2 zeros, 1 frozen)",
    )  # fmt: skip
    with pytest.raises(ValueError, match="accept='size'; expected one of zeros, frozen"):
        Census(SMPL, 1.0, accept=["size"])
    with pytest.raises(ValueError, match="sensor 'radar'; expected one of optical, depth"):
        Census(SMPL, 1.0, "radar")
    assert most_common({}, 0) is None


def test_images_have_no_conventions():
    census = Census(SKELETONS["coco18"], None)
    assert census.add("a", np.zeros((9, 18, 3)), 20) is None
    assert census.lines() == [] and census.origin is None
