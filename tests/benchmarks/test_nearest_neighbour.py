"""The recognition baseline without a model: nearest neighbour of pooled joints."""

import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler

from benchmarks import nearest_neighbour


def test_pooled_joints():
    rng = np.random.default_rng(0)
    clips = [rng.standard_normal((frames, 22, 3)).astype(np.float32) for frames in (1, 7, 40)]
    pooled = nearest_neighbour.pooled_joints(clips)
    assert pooled.shape == (3, 66) and pooled.dtype == np.float64
    np.testing.assert_array_equal(pooled[0], clips[0][0].ravel())
    np.testing.assert_allclose(pooled[2], clips[2].astype(np.float64).mean(axis=0).ravel())


@pytest.mark.parametrize(
    ("clips", "message"),
    [
        ([], "no clips"),
        ([np.ones((4, 3))], r"clip 0 has shape \(4, 3\)"),
        ([np.ones((4, 5, 3)), np.ones((4, 6, 3))], r"clip 1 has \(4, 6, 3\)"),
        ([np.ones((0, 5, 3))], "clip 0"),
        ([np.ones((2, 5, 3)), np.full((2, 5, 3), np.nan)], "finite; row 1"),
    ],
)
def test_pooled_joints_errors(clips, message):
    with pytest.raises(ValueError, match=message):
        nearest_neighbour.pooled_joints(clips)


def test_nearest_neighbour_by_hand():
    # Second feature: deviation 100, so that 100 there weighs as 1 of the first.
    train = np.array([[-1.0, -100], [1, 100], [-1, 100], [1, -100]])
    scores = nearest_neighbour.nearest_neighbour(
        train, np.array([0, 0, 2, 2]), np.array([[2.0, 100]])
    )
    assert scores.shape == (1, 3)
    np.testing.assert_allclose(scores[0, [0, 2]], [-1, -np.sqrt(5)])
    assert np.isfinite(scores).all() and scores.argmin() == 1  # the class without a clip


def test_nearest_neighbour_equals_scikit_learn_in_any_block_size(monkeypatch):
    rng = np.random.default_rng(0)
    train = rng.standard_normal((90, 12)) * np.logspace(-2, 3, 12) + 5
    labels = rng.permutation(np.arange(90) % 7)
    test = rng.standard_normal((31, 12)) * np.logspace(-2, 3, 12) + 5
    scaler = StandardScaler().fit(train)
    nearest = KNeighborsClassifier(1).fit(scaler.transform(train), labels)
    scores = nearest_neighbour.nearest_neighbour(train, labels, test)
    np.testing.assert_array_equal(scores.argmax(axis=1), nearest.predict(scaler.transform(test)))
    distance = nearest.kneighbors(scaler.transform(test))[0][:, 0]
    np.testing.assert_allclose(-scores.max(axis=1), distance)
    monkeypatch.setattr(nearest_neighbour, "_BLOCK", 4 * 90)
    blocked = nearest_neighbour.nearest_neighbour(train, labels, test, num_classes=9)
    np.testing.assert_allclose(blocked[:, :7], scores)
    assert (blocked[:, 7:] < scores.min()).all()


def test_a_feature_that_does_not_vary_is_left_out():
    rng = np.random.default_rng(0)
    train, test = rng.standard_normal((20, 3)), rng.standard_normal((5, 3))
    labels = np.arange(20) % 4
    expected = nearest_neighbour.nearest_neighbour(train, labels, test)
    train = np.column_stack([train, np.full(20, 0.1)])  # its mean is not quite 0.1
    test = np.column_stack([test, np.full(5, 0.7)])
    np.testing.assert_allclose(nearest_neighbour.nearest_neighbour(train, labels, test), expected)


@pytest.mark.parametrize(
    ("train", "labels", "test", "message"),
    [
        (np.ones((4, 3)), [0, 1, 2, 3], np.ones((2, 4)), "train has 3 features, test 4"),
        (np.ones((4, 3)), [0, 1, 2], np.ones((2, 3)), r"labels must be \[4\] integers"),
        (np.ones((4, 3)), [0, 1, 2, -1], np.ones((2, 3)), r"found -1\.\.2"),
        (np.full((1, 3), np.nan), [0], np.ones((2, 3)), "train must be finite"),
    ],
)
def test_nearest_neighbour_errors(train, labels, test, message):
    with pytest.raises(ValueError, match=message):
        nearest_neighbour.nearest_neighbour(train, labels, test)
