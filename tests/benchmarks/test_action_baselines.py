"""Nearest neighbour with dynamic time warping, and how its results are told."""

import bodies
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks import action_baselines, outcomes
from benchmarks.action_baselines import Form, normalised, warped_distances
from motionalign.skeleton import SKELETONS

KINECT = SKELETONS["kinect20"]


def plain(first, second, band):
    """The distance of two clips by the recurrence, cell by cell."""
    frames = len(first)
    cost = np.full((frames + 1, frames + 1), np.inf)
    cost[0, 0] = 0
    for i in range(frames):
        for j in range(frames):
            if abs(i - j) <= band:
                best = min(cost[i, j], cost[i, j + 1], cost[i + 1, j])
                cost[i + 1, j + 1] = best + ((first[i] - second[j]) ** 2).sum()
    return np.sqrt(cost[frames, frames])


def series(*values):
    return np.array(values, np.float32)[None, :, None]


def test_warping_by_hand():
    # A step two frames later costs nothing where the path may leave the diagonal by two frames;
    # by one, a frame of 0 meets one of 1; on the diagonal, two do.
    first, later = series(0, 1, 1, 1), series(0, 0, 0, 1)
    found = [warped_distances(first, later, band)[0, 0] for band in (0, 1, 2, 3)]
    np.testing.assert_allclose(found, [np.sqrt(2), 1, 0, 0], atol=1e-6)


@settings(max_examples=20)
@given(frames=st.integers(1, 7), band=st.integers(0, 8), seed=st.integers(0, 2**31))
def test_warping_equals_a_loop_over_cells(frames, band, seed):
    rng = np.random.default_rng(seed)
    first, second = (rng.standard_normal((n, frames, 3)) + 5 for n in (2, 3))
    expected = [[plain(x, y, band) for y in second] for x in first]
    found = warped_distances(first, second, band)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
    # In either order, and never above the distance on the diagonal or that of a narrower band.
    np.testing.assert_allclose(found.T, warped_distances(second, first, band), rtol=1e-4, atol=1e-4)
    assert (found <= warped_distances(first, second, max(0, band - 1)) + 1e-4).all()


def test_warping_in_blocks(monkeypatch):
    rng = np.random.default_rng(0)
    first, second = rng.standard_normal((7, 6, 4)), rng.standard_normal((5, 6, 4))
    whole = warped_distances(first, second, 2)
    monkeypatch.setattr(action_baselines, "_CELLS", 2 * 6 * 5)
    np.testing.assert_allclose(warped_distances(first, second, 2), whole, rtol=1e-6)


@pytest.mark.parametrize(
    ("first", "second", "band", "message"),
    [
        (np.ones((1, 4, 3)), np.ones((1, 5, 3)), 1, r"equal F and D: \(1, 4, 3\), \(1, 5, 3\)"),
        (np.ones((1, 4, 3)), np.ones((1, 4, 3)), -1, "band is -1"),
    ],
)
def test_warping_errors(first, second, band, message):
    with pytest.raises(ValueError, match=message):
        warped_distances(first, second, band)


def turned(clip, degrees):
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return clip @ np.array([[cos, 0, -sin], [0, 1, 0], [sin, 0, cos]])


@pytest.mark.parametrize("origin", ["first", "every"])
def test_clips_are_compared_without_camera_and_size(origin):
    clip = bodies.body(20, "kinect20", 0)
    two = np.stack([clip, turned(clip, 180) + np.array([0.5, 0, 1])], axis=1)
    moved = 1.3 * turned(two, 70) + [1, 2, 3]
    form = Form(origin)
    expected = normalised(two, KINECT, form, 10)
    assert expected.shape == (10, 2 * 20 * 3)
    np.testing.assert_allclose(normalised(moved, KINECT, form, 10), expected, atol=1e-5)
    as_is = Form(origin, face=False)
    difference = normalised(moved, KINECT, as_is, 10) - normalised(two, KINECT, as_is, 10)
    assert np.abs(difference).max() > 0.1
    # The second person keeps the place relative to the first one, and is zeros when absent.
    apart = expected.reshape(10, 2, 20, 3)[:, 1, 0] - expected.reshape(10, 2, 20, 3)[:, 0, 0]
    assert (np.linalg.norm(apart, axis=-1) > 0.05).all()
    two[:, 1] = 0
    alone = normalised(two, KINECT, form, 10).reshape(10, 2, 20, 3)
    assert not alone[:, 1].any()
    np.testing.assert_allclose(alone[:, 0], expected.reshape(10, 2, 20, 3)[:, 0], atol=1e-6)


def test_only_the_first_origin_tells_where_a_person_walks():
    clip = bodies.body(20, "kinect20", 0)[:, None]
    walked = clip + np.linspace(0, 1, 20)[:, None, None, None] * [0, 0, 1]
    for origin, differs in (("first", True), ("every", False)):
        both = [normalised(each, KINECT, Form(origin), 8) for each in (clip, walked)]
        assert (np.abs(both[0] - both[1]).max() > 0.05) == differs


def test_resizing_is_linear():
    clip = np.arange(5.0)[:, None] * [1, 2]
    np.testing.assert_allclose(action_baselines.resized(clip, 9)[:, 0], np.linspace(0, 4, 9))
    np.testing.assert_allclose(action_baselines.resized(clip[:1] + 3, 4), np.full((4, 2), 3.0))


# Results -----------------------------------------------------------------------------------------


def test_copies_and_counts():
    clips = [np.full((n, 1), n, np.float32) for n in (2, 3, 4)]
    copied = outcomes.copies(clips, [clips[1].copy(), clips[0] + 1])
    assert copied.tolist() == [False, True, False]
    found = outcomes.outcome(np.array([True, True, False]), copied)
    assert found == {"clips": 3, "right": 2, "new_clips": 2, "new_right": 1}


def test_wilson_interval():
    # Newcombe (1998), Table I: 81 of 263 and 0 of 20.
    np.testing.assert_allclose(outcomes.wilson(81, 263), (25.53, 36.62), atol=0.01)
    np.testing.assert_allclose(outcomes.wilson(0, 20), (0, 16.11), atol=0.01)
    assert outcomes.wilson(20, 20)[1] == 100 and outcomes.wilson(0, 0) == (0, 100)
    assert outcomes.percent(81, 263) == "30.8 [25.5, 36.6] (81/263)"
    assert outcomes.percent(0, 0) == ""
