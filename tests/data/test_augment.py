"""Frame sampling and augmentations: invariants for every clip, and the published cases."""

import collections

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from motionalign.data import augment
from motionalign.data.augment import Augmentation
from motionalign.formats import smplh
from motionalign.skeleton import SKELETONS

SMPL, COCO = SKELETONS["smpl22"], SKELETONS["coco18"]
each_skeleton = pytest.mark.parametrize("skeleton", SKELETONS.values(), ids=SKELETONS)
lengths, counts = st.integers(1, 80), st.integers(1, 40)
seeds = st.integers(0, 2**32 - 1)


def random_clip(frames=9, joints=22, channels=3, seed=0):
    return np.random.default_rng(seed).normal(size=(frames, joints, channels)).astype(np.float32)


# --------------------------------------------------------------------------- frames


@given(lengths, counts, st.sampled_from(augment.SAMPLINGS), st.integers(1, 9), seeds)
def test_sampled_frames(num_frames, count, sampling, step, seed):
    rng = np.random.default_rng(seed)
    frames = augment.frame_indices(num_frames, count, sampling, rng, step)
    assert frames.shape == (count,)
    assert frames.dtype.kind == "i"
    assert frames[0] >= 0 and frames[-1] < num_frames
    if num_frames < count:
        expected = [*range(num_frames), *[num_frames - 1] * (count - num_frames)]
        assert frames.tolist() == expected
        return
    steps = np.diff(frames)
    assert (steps > 0).all()
    if sampling != "random":
        assert len(set(steps.tolist())) <= 1
    if sampling == "conseq" and count > 1:
        fits = step * (count - 1) < num_frames
        assert steps[0] == (step if fits else (num_frames - 1) // (count - 1))


@given(lengths, counts, st.sampled_from(augment.WINDOWS))
def test_inference_frames(num_frames, count, window):
    frames = augment.inference_indices(num_frames, count, window)
    assert frames.shape == (count,)
    if num_frames < count:
        expected = [*range(num_frames), *[num_frames - 1] * (count - num_frames)]
        assert frames.tolist() == expected
        return
    assert frames[0] >= 0 and frames[-1] < num_frames
    steps = np.diff(frames)
    assert (steps > 0).all()
    if window == "spread":
        assert np.ptp(steps) <= 1 if count > 1 else frames[0] == 0
        assert count == 1 or (frames[0], frames[-1]) == (0, num_frames - 1)
    else:
        assert (steps == 1).all()
        before, after = frames[0], num_frames - 1 - frames[-1]
        assert before == 0 if window == "first" else after - before in (0, 1)


def test_frames_match_hand_computed_ones():
    assert augment.inference_indices(10, 4, "first").tolist() == [0, 1, 2, 3]
    assert augment.inference_indices(10, 4, "centre").tolist() == [3, 4, 5, 6]
    assert augment.inference_indices(10, 4, "spread").tolist() == [0, 3, 6, 9]
    assert augment.inference_indices(2, 4, "spread").tolist() == [0, 1, 1, 1]
    rng = np.random.default_rng(0)
    # A step of 5 would end at frame 15; the largest step that fits is 3.
    assert augment.frame_indices(10, 4, "conseq", rng, step=5).tolist() == [0, 3, 6, 9]


@pytest.mark.parametrize("sampling", ["conseq", "random_conseq"])
def test_all_starts_are_equally_likely(sampling):
    """For 7 of 10 frames, starts 0 to 3; the published code never draws the last one."""
    rng = np.random.default_rng(0)
    starts = [augment.frame_indices(10, 7, sampling, rng)[0] for _ in range(4000)]
    counted = collections.Counter(map(int, starts))
    assert sorted(counted) == [0, 1, 2, 3]
    assert max(abs(count - 1000) for count in counted.values()) < 120


def test_random_steps_take_every_value_that_fits():
    rng = np.random.default_rng(0)
    drawn = [augment.frame_indices(20, 5, "random_conseq", rng) for _ in range(400)]
    assert {int(frames[1] - frames[0]) for frames in drawn} == {1, 2, 3, 4}


def test_random_sampling_reaches_every_frame():
    rng = np.random.default_rng(0)
    drawn = np.stack([augment.frame_indices(10, 4, "random", rng) for _ in range(2000)])
    counted = np.bincount(drawn.ravel(), minlength=10)
    assert np.abs(counted - 800).max() < 120


def test_unknown_samplings_and_windows_are_rejected():
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="sampling is 'all'; valid: 'random', 'conseq', 'random_c"):
        augment.frame_indices(10, 4, "all", rng)
    with pytest.raises(ValueError, match="window is 'last'; valid: 'first', 'centre', 'spread'"):
        augment.inference_indices(10, 4, "last")


# --------------------------------------------------------------------------- time


@given(lengths, counts, seeds)
def test_crop_returns_consecutive_frames(frames, length, seed):
    clip = np.arange(frames, dtype=np.float32)[:, None, None]
    out = augment.crop(clip, length, np.random.default_rng(seed))[:, 0, 0]
    assert len(out) == min(frames, length)
    assert (np.diff(out) == 1).all()
    assert out[0] >= 0 and out[-1] < frames


def test_crop_reaches_both_ends():
    clip, rng = np.arange(6.0)[:, None, None], np.random.default_rng(0)
    starts = {float(augment.crop(clip, 4, rng)[0, 0, 0]) for _ in range(100)}
    assert starts == {0, 1, 2}


@pytest.mark.parametrize(
    ("factor", "expected"),
    [
        (1, [0, 1, 2, 3, 4]),
        (2, [0, 2, 4]),
        (0.5, [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]),
        (1.5, [0, 1, 3, 4]),
        (0.75, [0, 1, 1, 2, 3, 4, 4]),
        (100, [0]),
    ],
)
def test_pace_matches_hand_computed_frames(factor, expected):
    clip = np.arange(5, dtype=np.float32)[:, None, None]
    assert augment.pace(clip, factor)[:, 0, 0].tolist() == expected


@given(lengths, st.floats(0.1, 10))
def test_pace_shows_the_nearest_frame(frames, factor):
    out = augment.pace(np.arange(frames, dtype=np.float32)[:, None, None], factor)[:, 0, 0]
    assert len(out) == max(1, np.ceil(frames / factor))
    moments = np.minimum(np.arange(len(out)) * factor, frames - 1)
    assert np.abs(out - moments).max() <= 0.5 + 1e-4


def test_reversing_twice_is_the_identity():
    clip = random_clip()
    np.testing.assert_array_equal(augment.reverse(clip)[0], clip[-1])
    np.testing.assert_array_equal(augment.reverse(augment.reverse(clip)), clip)


# --------------------------------------------------------------------------- space


@each_skeleton
@pytest.mark.parametrize("channels", [3, 6])
def test_mirroring_twice_is_the_identity(skeleton, channels):
    clip = random_clip(joints=skeleton.num_joints, channels=channels)
    once = augment.mirror(clip, skeleton)
    assert once.dtype == np.float32
    assert not np.array_equal(once, clip)
    np.testing.assert_array_equal(augment.mirror(once, skeleton), clip)


def matrices(rotations):
    """6D rotations [..., 6] to matrices [..., 3, 3]."""
    rows = rotations.reshape(*rotations.shape[:-1], 2, 3).astype(np.float64)
    return np.concatenate([rows, np.cross(rows[..., :1, :], rows[..., 1:, :])], axis=-2)


@given(seeds)
def test_mirrored_rotations_pose_the_mirrored_body(seed):
    rng = np.random.default_rng(seed)
    rotations = smplh.rotation_matrices(rng.normal(0, 1, (4, 22, 3)))
    rest = rng.normal(size=(22, 3))
    rest = (rest + SMPL.mirrored(rest)) / 2  # a symmetric body
    root = rng.normal(size=(4, 3))
    joints = smplh.forward_kinematics(rotations, rest, root)

    mirrored = augment.mirror(smplh.rotation_6d(rotations).astype(np.float32), SMPL)
    again = smplh.forward_kinematics(matrices(mirrored), rest, root * [-1, 1, 1])
    np.testing.assert_allclose(again, augment.mirror(joints, SMPL), atol=1e-5)


def test_mirror_in_2d_keeps_the_confidence():
    clip = random_clip(joints=18)
    mirrored = augment.mirror(clip, COCO)
    left, right = (COCO.joint_names.index(f"{side}_wrist") for side in ("left", "right"))
    np.testing.assert_array_equal(mirrored[:, left], clip[:, right] * np.float32([-1, 1, 1]))


def test_mirror_rejects_clips_with_other_joints():
    with pytest.raises(ValueError, match=r"a clip of 24 joints: .* 'smpl22' has 22.*mirror=0"):
        augment.mirror(random_clip(joints=24), SMPL)


@given(st.floats(0, 0.9), seeds)
def test_squeeze_scales_x_only(amount, seed):
    clip = random_clip()
    out = augment.squeeze(clip, amount, np.random.default_rng(seed))
    np.testing.assert_array_equal(out[..., 1:], clip[..., 1:])
    scale = out[..., 0] / clip[..., 0]
    np.testing.assert_allclose(scale, scale[0, 0], rtol=1e-5)
    assert 1 - amount - 1e-5 <= scale[0, 0] <= 1


def test_noise():
    clip, rng = random_clip(50, 400), np.random.default_rng(0)
    for noise, same_in_all_frames in ((augment.joint_noise, True), (augment.point_noise, False)):
        offset = noise(clip, 0.5, rng, dims=2) - clip
        assert (offset[..., 2] == 0).all()  # the confidence
        change = np.ptp(offset[..., :2], axis=0)
        assert (change < 1e-5).all() if same_in_all_frames else (change > 1).all()
        assert abs(offset[..., :2].std() - 0.5) < 0.05
        assert not np.allclose(offset[0, 0], offset[0, 1])
    assert (augment.joint_noise(clip, 0.5, rng, dims=3) != clip).any(axis=0).all()


# --------------------------------------------------------------------------- all together

ALL = Augmentation(
    paces=(0.5, 1, 1.5, 2), crop=12, mirror=0.5, reverse=0.5, squeeze=0.1,
    joint_noise=0.01, point_noise=0.01,
)  # fmt: skip


@each_skeleton
@pytest.mark.parametrize("channels", [3, 6])
def test_defaults_change_nothing_and_draw_no_random_numbers(skeleton, channels):
    clip = random_clip(joints=skeleton.num_joints, channels=channels)
    rng = np.random.default_rng(0)
    np.testing.assert_array_equal(Augmentation()(clip, skeleton, rng), clip)
    assert rng.random() == np.random.default_rng(0).random()


@each_skeleton
def test_all_augmentations_together(skeleton):
    clip = random_clip(30, skeleton.num_joints)
    before = clip.copy()
    seen = set()
    for seed in range(20):
        out = ALL(clip, skeleton, np.random.default_rng(seed))
        again = ALL(clip, skeleton, np.random.default_rng(seed))
        np.testing.assert_array_equal(out, again)
        assert out.dtype == np.float32
        seen.add(len(out))
    assert seen == {6, 8, 12, 24}
    np.testing.assert_array_equal(clip, before)  # the caller's clip is unchanged


def test_augmentations_apply_in_the_published_order():
    """Crop, then pace, then the mirror, then reversal."""
    augmentation = Augmentation(paces=(2,), crop=5, mirror=1, reverse=1)
    clip = random_clip(30)
    out = augmentation(clip, SMPL, np.random.default_rng(3))
    cropped = augment.crop(clip, 5, np.random.default_rng(3))
    np.testing.assert_array_equal(out, SMPL.mirrored(cropped[::2])[::-1])


@pytest.mark.parametrize("field", ["mirror", "reverse"])
def test_probabilities(field):
    clip, rng = random_clip(2), np.random.default_rng(0)
    augmentation = Augmentation(**{field: 0.2})
    changed = [not np.array_equal(augmentation(clip, SMPL, rng), clip) for _ in range(2000)]
    assert abs(np.mean(changed) - 0.2) < 0.04


def test_noise_leaves_the_confidence_and_covers_all_rotation_channels():
    augmentation = Augmentation(joint_noise=0.1, point_noise=0.1)
    rng = np.random.default_rng(0)
    for skeleton, channels, moved in ((COCO, 3, 2), (SMPL, 3, 3), (SMPL, 6, 6)):
        clip = random_clip(joints=skeleton.num_joints, channels=channels)
        changed = (augmentation(clip, skeleton, rng) != clip).any(axis=(0, 1))
        assert changed.tolist() == [True] * moved + [False] * (channels - moved)


def test_squeezing_rotations_is_an_error():
    with pytest.raises(ValueError, match=r"set data\.augment\.squeeze=0"):
        Augmentation(squeeze=0.1)(random_clip(channels=6), SMPL, np.random.default_rng(0))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("paces", ()),
        ("paces", (1.0, 0.0)),
        ("paces", (float("inf"),)),
        ("crop", -1),
        ("crop", 7.5),
        ("mirror", 1.5),
        ("reverse", -0.1),
        ("squeeze", 1.0),
        ("joint_noise", -1e-3),
        ("point_noise", float("nan")),
    ],
)
def test_values_out_of_range_are_rejected(field, value):
    with pytest.raises(ValueError, match=rf"data\.augment\.{field} is .*; expected "):
        Augmentation(**{field: value})


def test_paces_may_be_a_list_as_in_stored_configs():
    assert Augmentation(paces=[1, 2]) == Augmentation(paces=(1, 2))
