"""Bodies: constant bone lengths, anatomical joint limits, and planted feet."""

import numpy as np
from seen import JOINT, angle

from data_prep.readers.synthetic.body import SIDES, joint_positions, sample_body
from data_prep.readers.synthetic.score import FPS
from motionalign.skeleton import SKELETONS


def test_bones_keep_their_length(clips):
    parents, children = np.asarray(SKELETONS["smpl22"].bones).T
    sizes = []
    for clip in clips:
        bones = np.linalg.norm(clip.joints[:, children] - clip.joints[:, parents], axis=-1)
        assert np.ptp(bones, axis=0).max() < 1e-4, clip.meaning
        sizes.append(bones[0].sum())
    assert 0.85 < min(sizes) / np.mean(sizes) < 0.97 and 1.03 < max(sizes) / np.mean(sizes) < 1.15


def test_feet_stay_on_the_floor(clips):
    for clip in clips:
        lowest = clip.joints[:, [JOINT["left_foot"], JOINT["right_foot"]], 1].min(axis=1)
        assert clip.joints[..., 1].min() > -0.02, clip.meaning
        assert np.abs(lowest).min() < 0.01
        airborne = any(word in clip.meaning for word in ("jump", "hop", "sprint", "jog", "run-"))
        assert airborne or np.abs(lowest).max() < 0.02, clip.meaning


def test_planted_feet_do_not_slide(clips):
    for clip in clips:
        for side in SIDES:
            foot = clip.joints[:, JOINT[f"{side}_foot"]]
            slide = np.linalg.norm(np.diff(foot[:, [0, 2]], axis=0), axis=1)
            planted = (foot[1:, 1] < 0.004) & (foot[:-1, 1] < 0.004)
            assert (slide * planted).max() < 0.04, clip.meaning
            assert (slide * planted).sum() / max(planted.sum(), 1) < 0.003, clip.meaning


def test_motion_is_smooth(clips):
    for clip in clips:
        velocity = np.diff(clip.joints, axis=0) * FPS
        assert np.linalg.norm(velocity, axis=-1).max() < 15, clip.meaning  # m/s
        jolt = np.diff(velocity, axis=0) * FPS
        assert np.linalg.norm(jolt, axis=-1).max() < 320, clip.meaning  # m/s², a kicking foot


def test_knees_bend_backward_only(clips):
    """The knee is never behind the line from hip to ankle."""
    for clip in clips:
        for side in SIDES:
            hip, knee, ankle = (
                clip.joints[:, JOINT[f"{side}_{name}"]].astype(float)
                for name in ("hip", "knee", "ankle")
            )
            bend = angle(hip - knee, ankle - knee)
            assert bend.min() > 20, clip.meaning
            across = clip.joints[:, JOINT["left_hip"]] - clip.joints[:, JOINT["right_hip"]]
            ahead = np.cross(ankle - hip, across)
            offset = ((knee - (hip + ankle) / 2) * ahead).sum(axis=1)
            assert (offset / np.linalg.norm(ahead, axis=1)).min() > -0.01, clip.meaning


def test_legs_do_not_pass_through_each_other(clips):
    for clip in clips:
        joints = clip.joints.astype(float)
        shins = [
            [joints[:, JOINT[f"{side}_{name}"]] for name in ("knee", "ankle")] for side in SIDES
        ]
        assert _between_segments(*shins).min() > 0.05, clip.meaning


def _between_segments(a, b):
    """[T] distances of the segment a = (ends [T, 3], [T, 3]) from b, to about a millimetre."""
    points = a[0] + (a[1] - a[0]) * np.linspace(0, 1, 17)[:, None, None]
    line = b[1] - b[0]
    share = ((points - b[0]) * line).sum(-1) / (line * line).sum(-1)
    nearest = b[0] + np.clip(share, 0, 1)[..., None] * line
    return np.linalg.norm(points - nearest, axis=-1).min(axis=0)


def test_distance_of_segments():
    x, y, z = np.eye(3)[:, None]
    assert np.allclose(_between_segments((-x, x), (z - y, z + y)), 1)  # they cross
    assert np.allclose(_between_segments((-x, x), (z + 2 * x, z + 4 * x)), np.sqrt(2))


def test_elbows_bend_forward_only():
    """For any direction of the upper arm, the forearm folds to the inside."""
    rng = np.random.default_rng(0)
    body, count = sample_body(rng), 50
    arms = np.zeros((2, count, 4))
    arms[..., 3] = np.linspace(-60, 170, count)  # the range in scores
    ground, torso, feet = np.zeros((count, 3)), np.zeros((count, 6)), np.zeros((2, count, 5))
    joints = joint_positions(body, ground, torso, arms, feet)
    for side in SIDES:
        shoulder, elbow, wrist = (
            joints[:, JOINT[f"{side}_{name}"]] for name in ("shoulder", "elbow", "wrist")
        )
        assert (wrist - elbow)[:, 2].min() > -1e-9  # hanging arms fold to the front
        assert angle(shoulder - elbow, wrist - elbow).min() > 25
