"""Clips from motion files against the same clips in a library."""

import pathlib

import numpy as np
import pytest
from bodies import body

from benchmarks import own_files
from motionalign.conventions import canonical
from motionalign.skeleton import SKELETONS


class MeanPose:
    """A stand-in for a model: the unit vector of the mean pose."""

    def encode_motion(self, joints, fps):
        assert fps == 20
        pooled = np.stack([clip.mean(0).ravel() for clip in joints])
        return pooled / np.linalg.norm(pooled, axis=1, keepdims=True)


def test_a_clip_is_compared_with_its_own():
    library = [canonical(body(20, seed=seed), SKELETONS["smpl22"]) for seed in range(6)]
    moved = library[3] + np.float32([0.01, 0, 0])
    found = own_files.compare([library[1], moved, library[2][:10]], library, [1, 3, 2], MeanPose())
    np.testing.assert_allclose(found.away, [0, 0.01, np.nan], atol=1e-6)
    assert found.cosines[0] > 1 - 1e-6 > found.cosines[1] > 0.99
    np.testing.assert_array_equal(found.ranks[:2], [1, 1])
    wrong = own_files.compare([library[1]], library, [4], MeanPose())
    assert wrong.ranks[0] > 1


def test_the_own_clip_is_the_longest_name_at_the_end():
    names = ["walk_01", "fast_walk_01", "run_01"]
    assert own_files.own_clip(pathlib.Path("set-2_fast_walk_01.bvh"), names) == 1
    assert own_files.own_clip(pathlib.Path("set-2_slow_walk_01.bvh"), names) == 0
    with pytest.raises(ValueError, match=r"jump_01\.bvh: no clip of the library"):
        own_files.own_clip(pathlib.Path("jump_01.bvh"), names)


def test_a_file_becomes_the_clip_of_the_library(bvh_files, mocap_folder):
    path = bvh_files[0]
    names = sorted(each.stem for each in (mocap_folder / "new_joints").glob("*.npy"))
    own = np.load(mocap_folder / "new_joints" / f"{names[own_files.own_clip(path, names)]}.npy")
    np.testing.assert_allclose(own_files.clip_of(path), own, rtol=2**-11, atol=1e-4)
