"""Frame rate conversion: the published rule for KIT-ML, else linear interpolation."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from motionalign.data.resample import check_fps, kit_ml_frames, resample, resampled_length


def straight(num_frames, fps, dtype=np.float64):
    """Two joints in linear motion: [T, 2, 3] metres at t / fps seconds."""
    seconds = np.arange(num_frames)[:, None, None] / fps
    start, speed = np.arange(6.0).reshape(1, 2, 3), np.array([1.0, -2, 3])
    return (start + seconds * speed).astype(dtype)


def test_kit_ml_follows_the_published_rule():
    index = kit_ml_frames(25)
    assert len(index) == 42
    block = [0, 0, 1, 1, 2, 3, 3, 4, 5, 5, 6, 6, 7, 8, 8, 9, 10, 10, 11, 11]
    np.testing.assert_array_equal(index[:20], block)
    np.testing.assert_array_equal(index[20:40], [12 + k for k in block])
    np.testing.assert_array_equal(index[40:], [24, 24])


@pytest.mark.parametrize(("frames", "count"), [(1, 2), (3, 5), (11, 18), (12, 20), (13, 22)])
def test_kit_ml_tail_stays_inside_the_clip(frames, count):
    index = kit_ml_frames(frames)
    assert len(index) == count
    assert (index[0], index[-1]) == (0, frames - 1)


@given(st.integers(1, 500))
@settings(max_examples=30)
def test_kit_ml_uses_every_frame_in_order(frames):
    steps = np.diff(kit_ml_frames(frames))
    assert set(steps) <= {0, 1}
    assert set(kit_ml_frames(frames)) == set(range(frames))


def test_resample_follows_the_rule_at_the_rates_of_kit_ml():
    joints = np.random.default_rng(0).normal(size=(25, 21, 3)).astype(np.float32)
    ours = resample(joints, 12.5, 20)
    np.testing.assert_array_equal(ours, joints[kit_ml_frames(25)])
    # The same clip at a slightly different rate is interpolated: no frame is repeated.
    assert len(np.unique(resample(joints, 12.4, 20), axis=0)) > 25


def test_the_same_rate_is_the_same_motion():
    joints = np.random.default_rng(0).normal(size=(9, 2, 3)).astype(np.float32)
    np.testing.assert_array_equal(resample(joints, 20, 20.0), joints)
    np.testing.assert_array_equal(resample(joints, 12.5, 12.5), joints)


@pytest.mark.parametrize("fps", [10, 12, 15, 24, 25, 30, 50, 59.94, 60, 100, 120, 240])
@pytest.mark.parametrize("target_fps", [20, 30.0])
def test_linear_motion_is_resampled_exactly(fps, target_fps):
    ours = resample(straight(97, fps), fps, target_fps)
    assert len(ours) == resampled_length(97, fps, target_fps)
    # All target frames within the clip, starting with the first.
    assert abs(len(ours) - (96 / fps * target_fps + 1)) < 1
    np.testing.assert_allclose(ours, straight(len(ours), target_fps), atol=1e-9)


@given(st.integers(2, 60), st.floats(5, 240), st.floats(5, 240))
@settings(max_examples=50)
def test_any_rates(frames, fps, target_fps):
    if (fps, target_fps) == (12.5, 20.0):
        return
    joints = straight(frames, fps)
    ours = resample(joints, fps, target_fps)
    duration = (frames - 1) / fps
    assert len(ours) >= 2
    np.testing.assert_array_equal(ours[0], joints[0])
    # Positions beyond the last frame are clamped, which occurs only for clips of two frames.
    seconds = np.minimum(np.arange(len(ours)) / target_fps, duration)
    np.testing.assert_allclose(
        ours, joints[:1] + seconds[:, None, None] * np.array([1.0, -2, 3]), atol=1e-6
    )
    if len(ours) > 2:
        assert (len(ours) - 1) / target_fps <= duration + 1e-6


def test_integer_ratios_select_frames():
    joints = np.random.default_rng(0).normal(size=(61, 4, 3)).astype(np.float32)
    np.testing.assert_array_equal(resample(joints, 60, 20), joints[::3])
    np.testing.assert_array_equal(resample(joints, 120, 20), joints[::6])


def test_rounding_does_not_lose_the_last_frame():
    """161 * 20 / 16.1 is 199.99999999999997 in float64; the last frame must be the 200th."""
    assert 161 * 20 / 16.1 < 200
    ours = resample(straight(162, 16.1), 16.1, 20)
    np.testing.assert_allclose(ours, straight(201, 20), atol=1e-6)


def test_doubling_the_rate_inserts_midpoints():
    joints = np.array([0.0, 2, 10]).reshape(3, 1, 1).astype(np.float32)
    ours = resample(joints, 10, 20)
    np.testing.assert_array_equal(ours[:, 0, 0], [0, 1, 2, 6, 10])
    assert ours.dtype == np.float32


def test_integers_are_interpolated_as_floats():
    joints = np.array([0, 3, 10]).reshape(3, 1, 1)
    np.testing.assert_array_equal(resample(joints, 10, 20)[:, 0, 0], [0, 1.5, 3, 6.5, 10])


@pytest.mark.parametrize(("fps", "target_fps"), [(30, 20), (12.5, 20), (10, 20)])
def test_a_single_frame_becomes_two(fps, target_fps):
    """Clips have at least two frames; see --min_frames."""
    joints = np.array([[[1.0, 2, 3]]], np.float32)
    np.testing.assert_array_equal(resample(joints, fps, target_fps), joints[[0, 0]])


@pytest.mark.parametrize(
    "fps",
    [None, 0, -30.0, math.nan, math.inf, -math.inf, 1e9, 0.03, "30", True, np.array([30.0]), 30j],
)
def test_impossible_rates(fps):
    with pytest.raises(ValueError, match=r"--fps=.*; expected a positive number of frames per sec"):
        check_fps(fps, "--fps")


@pytest.mark.parametrize("fps", [1, 12.5, 1000, np.float32(30), np.int64(120)])
def test_possible_rates(fps):
    assert check_fps(fps) == float(fps)
    assert type(check_fps(fps)) is float
