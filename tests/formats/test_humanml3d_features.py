"""Positions from the features of HumanML3D and KIT-ML."""

import numpy as np
import pytest
from bodies import body
from scipy.spatial.distance import pdist

from motionalign import formats
from motionalign.anatomy import humanml3d
from motionalign.formats import humanml3d_features


def test_a_walk_around_a_corner():
    """Three frames of two joints, worked by hand: a step ahead, a quarter turn, a step ahead."""
    features = np.zeros((4, 23))
    features[:, 3] = 1.0  # height
    features[:, 4:7] = [0, 1.5, 0.1]  # the head, 10 cm ahead of the root
    features[0, 2] = 0.5  # ahead is +Z
    features[1, 0] = np.pi / 4  # half of the angle from frame 1 to frame 2
    features[2, 2] = 0.5
    features[3, :3] = 9.0  # to a frame that is not there
    found = humanml3d_features.positions(features, 2)
    # +Z becomes -X after a quarter turn, as HumanML3D counts it.
    np.testing.assert_allclose(
        found[:, 0], [[0, 1, 0], [0, 1, 0.5], [0, 1, 0.5], [-0.5, 1, 0.5]], atol=1e-12
    )
    np.testing.assert_allclose(
        found[:, 1], [[0, 1.5, 0.1], [0, 1.5, 0.6], [-0.1, 1.5, 0.5], [-0.6, 1.5, 0.5]], atol=1e-12
    )


def test_it_is_the_inverse_of_the_features():
    """Up to where the clip starts and which way it faces: all distances, in space and time."""
    joints = body(12, seed=1).astype(np.float64)
    found = humanml3d_features.positions(humanml3d.features(joints), 22).reshape(-1, 3)
    given = joints[:-1].reshape(-1, 3)
    np.testing.assert_allclose(pdist(found), pdist(given), atol=1e-6)
    np.testing.assert_allclose(found[:, 1], given[:, 1], atol=1e-6)
    sides = [np.linalg.det(points[[20, 100, 200]] - points[0]) for points in (found, given)]
    np.testing.assert_allclose(*sides, atol=1e-6)  # and no mirror image
    assert abs(sides[0]) > 1e-4


def test_the_published_sample(test_data):
    """Both files of a clip, as published: the positions equal the values that go with them."""
    folder = test_data / "humanml3d_sample"
    (motion,) = formats.read(folder / "new_joint_vecs_012314.npy")
    joints = np.load(folder / "new_joints_012314.npy")
    np.testing.assert_allclose(motion.positions[:, 0], joints, atol=1e-6)
    assert (motion.format, motion.convention, motion.up) == ("HumanML3D features", "SMPL", "y")
    assert (motion.fps, motion.unit_in_metres, motion.num_frames) == (20.0, 1.0, 170)
    assert motion.notes[1] == "20 frames per second, those of the set, are assumed."
    assert motion.joint_names[:2] == ("pelvis", "left_hip")


def test_kit_ml(tmp_path):
    features = np.zeros((3, 251))
    features[:, 3] = 7.5
    np.save(tmp_path / "00001.npy", features)
    (motion,) = formats.read(tmp_path / "00001.npy")
    assert motion.positions.shape == (3, 1, 21, 3)
    assert (motion.convention, motion.fps, motion.unit_in_metres) == ("KIT-ML", 12.5, None)
    np.testing.assert_array_equal(motion.positions[:, 0, 0], np.tile([0, 7.5, 0], (3, 1)))


@pytest.mark.parametrize(
    ("features", "problem"),
    [
        (np.zeros((0, 263)), r"is \[0, 263\]; expected one clip, \[frames, 263\]"),
        (np.zeros((2, 3, 263)), r"is \[2, 3, 263\]; expected one clip"),
        (np.zeros((2, 251), bool), "has the type bool"),
        (np.zeros((2, 263), complex), "has the type complex128"),
        (np.where(np.arange(526).reshape(2, 263) == 300, np.nan, 0), "is NaN in frame 1"),
        (np.full((2, 263), np.inf), r"is infinite at \[0, 0\]"),
    ],
)
def test_what_are_no_features(tmp_path, features, problem):
    np.save(tmp_path / "clip.npy", features)
    with pytest.raises(ValueError, match=problem):
        formats.read(tmp_path / "clip.npy")
