"""Faults injected into real clips are found, and real clips are not refused.

The quick tests take a part of the clips, the slow ones all.
"""

import collections

import numpy as np
import pytest
from bvh_converter import joints_of

from motionalign.conventions import Census, Declared, Origin, canonical, implausible, measure
from motionalign.conventions.declared import to_y
from motionalign.conventions.findings import UNITS
from motionalign.data.dataset import Dataset
from motionalign.skeleton import SKELETONS

SMPL = SKELETONS["smpl22"]


def faults(skeleton, seed=0):
    """Yields (name, expected reasons, function that spoils joints [T, J, 3])."""
    rng = np.random.default_rng(seed)
    for unit in ("cm", "mm", "in", "ft"):
        factor = np.float32(1 / UNITS[unit])
        yield unit, {"unit_implausible"}, lambda clip, factor=factor: clip * factor
    for up in ("x", "-x", "-y", "z", "-z"):
        turn = to_y(up).T.astype(np.float32)  # what points along Y comes to point along `up`
        yield f"up {up}", {"axis_implausible"}, lambda clip, turn=turn: clip @ turn.T
    swapped = [0, 2, 1]
    yield "y and z swapped", {"axis_implausible"}, lambda clip: clip[..., swapped]
    for axis, name in ((0, "x"), (2, "z")):
        sign = np.ones(3, np.float32)
        sign[axis] = -1
        yield f"mirrored {name}", {"handedness"}, lambda clip, sign=sign: clip * sign
    sides = list(skeleton.mirror)
    yield "left and right", {"handedness"}, lambda clip: clip[:, sides]
    for i in range(20):
        order = rng.permutation(skeleton.num_joints)
        any_size = {"order_implausible", "unit_implausible"}
        yield f"order {i}", any_size, lambda clip, order=order: clip[:, order]
    yield "frozen", {"frozen"}, lambda clip: np.repeat(clip[:1], len(clip), axis=0)

    def without_body(clip):
        clip = clip.copy()
        clip[len(clip) // 3 : len(clip) // 2] = 0
        return clip

    yield "zeros", {"zeros"}, without_body


def found_of(clips, skeleton, sensor):
    """{fault: Counter of reasons} over all clips; None counts those in which nothing was found."""
    return {
        name: collections.Counter(
            finding and finding.reason
            for finding in (
                implausible(measure(spoil(clip), skeleton), 1.0, sensor) for clip in clips
            )
        )
        for name, _, spoil in faults(skeleton)
    }


def some(clips, count, seed=0):
    clips = list(clips)
    rows = np.random.default_rng(seed).choice(len(clips), min(count, len(clips)), replace=False)
    return [clips[row] for row in rows]


def assert_found(clips):
    expected = {name: reasons for name, reasons, _ in faults(SMPL)}
    for name, counts in found_of(clips, SMPL, "optical").items():
        right = sum(counts[reason] for reason in expected[name])
        assert right >= 0.99 * len(clips), (name, counts)


def test_faults_in_mocap_are_found(mocap):
    assert_found(some(mocap.values(), 12))


@pytest.mark.slow
def test_faults_in_200_mocap_clips_are_found(mocap):
    assert_found(some(mocap.values(), 200))


def refused(clips, skeleton, sensor):
    """{reason: count} of clips that are as they should be."""
    census = Census(skeleton, 1.0, sensor)
    for i, clip in enumerate(clips):
        census.add(str(i), clip, 20)
    assert census.verdict(census.clips) is None  # the set is not stopped
    return collections.Counter(finding.reason for finding in census.findings.values())


def test_no_mocap_clip_is_refused(mocap):
    census = Census(SMPL, 1.0)
    for name, clip in some(mocap.items(), 300):
        census.add(name, clip, 20)
    assert census.findings == {} and census.fast == []
    assert census.origin == Origin()  # all follow HumanML3D's convention, to rounding


@pytest.mark.slow
def test_none_of_2902_mocap_clips_is_refused(mocap):
    assert len(mocap) == 2902
    assert refused(mocap.values(), SMPL, "optical") == {}


def test_the_published_sample_is_not_refused(test_data):
    clip = np.load(test_data / "humanml3d_sample" / "new_joints_012314.npy")
    found = measure(clip, SMPL)
    assert implausible(found) is None
    assert Origin().holds(found)


def test_no_synthetic_clip_is_refused(small_dataset):
    split = Dataset(small_dataset, "small").split("train")
    clips = [split[row]["joints"][:, 0] for row in range(len(split))]
    assert refused(clips, SMPL, "optical") == {}


def test_depth_cameras_shake_and_are_not_refused(labelled):
    """Under 0.5 % of the clips of each set, and no set is stopped."""
    skeleton, clips = labelled
    counts = refused(clips, skeleton, "depth")
    assert sum(counts.values()) <= 0.005 * len(clips), counts


@pytest.mark.parametrize("change", ["mirrored", "swapped"])
def test_a_mirrored_set_is_stopped_though_single_clips_do_not_tell(labelled, change):
    skeleton, clips = labelled
    census = Census(skeleton, 1.0, "depth")
    for i, clip in enumerate(clips[:200]):
        wrong = clip * np.float32([-1, 1, 1]) if change == "mirrored" else clip[:, skeleton.mirror]
        census.add(str(i), wrong, 30)
    common = census.verdict(census.clips)
    assert common is not None and common.finding.reason == "handedness"


# Joints of a converter that does what is asked and no more ---------------------------------------


def library_name(path):
    return path.stem.partition("_")[2]


def test_canonical_makes_the_clips_of_the_library(bvh_files, mocap):
    """A correct converter's joints are the library's but for origin, floor and facing."""
    away = []
    for path in bvh_files:
        joints = joints_of(path)
        assert implausible(measure(joints, SMPL)) is None
        own = mocap[library_name(path)]
        made = canonical(joints, SMPL)
        # The library's joints were stored as float16.
        np.testing.assert_allclose(made, own, rtol=2**-11, atol=1e-4)
        assert Origin().holds(measure(made, SMPL))
        away.append(np.abs(joints - own).max())
    assert np.median(away) > 0.04 and max(away) > 1  # metres: they are elsewhere before


def test_declared_conventions_give_back_the_clip(mocap):
    clip = mocap["run_feminine_021"]
    shuffled = np.random.default_rng(0).permutation(22)
    names = tuple(SMPL.joint_names[i] for i in shuffled)
    given = 100 * clip[:, shuffled] @ to_y("z").astype(np.float32)  # Z up, in centimetres
    assert implausible(measure(given, SMPL)) is not None
    back = Declared("cm", "z", names).convert(given, SMPL, 1.0)
    np.testing.assert_allclose(back, clip, atol=1e-5)
    assert back.dtype == clip.dtype
