"""Copies and mirror images of clips."""

import numpy as np
import pytest

from data_prep.content import Content, Contents, distance
from motionalign.skeleton import SKELETONS

SMPL, COCO = SKELETONS["smpl22"], SKELETONS["coco18"]


def clip(seed=0, frames=40, joints=22):
    """A smooth random motion [T, 1, J, 3] that walks away from the origin."""
    rng = np.random.default_rng(seed)
    time = np.arange(frames)[:, None, None] / 20
    rate, phase = rng.uniform(1, 4, (joints, 3)), rng.uniform(0, 6, (joints, 3))
    swing = 0.3 * np.sin(time * rate + phase) + time * [0.3, 0, 1]
    return (rng.normal(size=(joints, 3)) + swing)[:, None].astype(np.float32)


def turned(joints, angle):
    c, s = np.cos(angle), np.sin(angle)
    return joints @ np.array([[c, 0, -s], [0, 1, 0], [s, 0, c]]) + [2.0, 0, -1]


def test_the_key_is_that_of_copies_and_mirror_images():
    content = Content.of(clip(), SMPL)
    assert Content.of(clip().astype(np.float64), SMPL).key == content.key
    assert Content.of(SMPL.mirrored(clip()), SMPL).key == content.key
    assert Content.of(SMPL.mirrored(SMPL.mirrored(clip())), SMPL).digest == content.digest
    assert Content.of(clip(1), SMPL).key != content.key
    assert Content.of(clip()[:-1], SMPL).key != content.key
    moved = clip()
    moved[3, 0, 5, 1] += 1e-3
    assert Content.of(moved, SMPL).key != content.key


def test_zero_and_negative_zero_are_the_same():
    zero = np.zeros((4, 1, 22, 3), np.float32)
    assert Content.of(zero, SMPL) == Content.of(-zero, SMPL)


@pytest.mark.parametrize("angle", [0, 0.4, 3.1, -1.6])
def test_distance_ignores_position_and_heading(angle):
    assert distance(clip(), turned(clip(), angle), 3) < 1e-5
    assert distance(clip(), clip(1), 3) > 0.5
    assert distance(clip(), turned(clip(), angle) * [1, 1.5, 1], 3) > 0.1  # height counts
    assert distance(clip()[..., [0, 2, 1]], turned(clip(), angle), 3) > 0.5


def test_distance_in_2d_ignores_the_confidence():
    joints = clip(joints=18)
    assert distance(joints, joints + np.array([3, -1, 0.5]), 2) < 1e-5
    assert distance(joints, joints * [1, 1.5, 1], 2) > 0.1


def test_distance_of_a_body_without_size():
    zero = np.zeros((4, 1, 22, 3))
    assert distance(zero, zero, 3) == 0
    assert distance(zero, clip(frames=4), 3) == np.inf


def contents(skeleton=SMPL, **clips):
    found = Contents(list(clips), skeleton)
    for name, joints in clips.items():
        if joints is not None:
            found.add(name, joints)
    return found


def test_twins_by_name_need_the_content():
    mirrored, other = SMPL.mirrored(clip()), SMPL.mirrored(clip(1))
    assert contents(a=clip(), Ma=mirrored).twins() == ({"Ma": "a"}, [])
    assert contents(a=clip(), Ma=turned(mirrored, 1.0)).twins() == ({"Ma": "a"}, [])
    assert contents(a=clip(), Ma=other).twins() == ({}, ["Ma"])
    assert contents(a=clip(), Ma=clip()).twins() == ({}, ["Ma"])
    assert contents(a=clip(), Ma=mirrored[:-1]).twins() == ({}, ["Ma"])
    assert contents(a=clip(), Ma=None).twins() == ({"Ma": "a"}, [])


def test_twins_under_other_names():
    mirrored = SMPL.mirrored(clip())
    assert contents(a=clip(), b=mirrored, c=mirrored).twins() == ({"b": "a", "c": "a"}, [])
    assert contents(b=mirrored, a=clip()).twins() == ({"a": "b"}, [])
    assert contents(a=clip(), Ma=mirrored, b=clip()).twins() == ({"Ma": "a"}, [])
    still = np.zeros((4, 1, 22, 3), np.float32)  # its own mirror image
    assert contents(a=still, b=still).twins() == ({}, [])


def test_twins_of_several_persons_and_in_2d():
    two = np.concatenate([clip(), clip(1)], axis=1)
    assert contents(a=two, Ma=SMPL.mirrored(two) * 1.001).twins() == ({"Ma": "a"}, [])
    assert contents(a=two, Ma=SMPL.mirrored(two)[:, :1]).twins() == ({}, ["Ma"])
    flat = clip(joints=18)
    moved = COCO.mirrored(flat) + np.array([9, 0, 0])
    assert contents(COCO, a=flat, Ma=moved).twins() == ({"Ma": "a"}, [])


def test_same_clips():
    found = contents(a=clip(), b=clip(1), c=clip(), d=clip(2), e=clip(2))
    assert found.same("abcde") == [["a", "c"], ["d", "e"]]
    assert found.same("abd") == []
