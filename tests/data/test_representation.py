"""Motion representations: preparing, cropping, padding and stacking clips, and the cache."""

import collections
import dataclasses
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from motionalign.configs import common
from motionalign.data.augment import frame_indices, inference_indices
from motionalign.data.dataset import Metadata
from motionalign.data.representation import (
    REPRESENTATIONS,
    ClipCache,
    Joints,
    Patches,
    Rotations,
    RotationsTranslation,
    RowRandom,
    inputs,
)
from motionalign.formats import smplh
from motionalign.models.families import representation_of
from motionalign.models.vit import ViTConfig
from motionalign.patches import motion_patches
from motionalign.skeleton import SKELETONS

SMPL = Metadata(
    "clips", SKELETONS["smpl22"], 16, 20.0, 1.0, np.zeros((22, 3)), np.full((22, 3), 0.5), 20.0,
    num_rotations=24,
)  # fmt: skip
COCO = dataclasses.replace(
    SMPL, name="seen", skeleton=SKELETONS["coco18"], fps=24.0, mean=np.zeros((18, 3)),
    std=np.ones((18, 3)), num_rotations=0,
)  # fmt: skip
READ = {
    "patches": Patches(patch_size=16, max_frames=40, frame_bucket=16),
    "joints": Joints(joints=22, channels=3, max_frames=40),
    "rotations": Rotations(joints=24, channels=6, max_frames=40, dims=6, root=None),
    "rotations_translation": RotationsTranslation(joints=25, channels=6, max_frames=40, root=None),
}
ROWS = {"patches": 22, "joints": 22, "rotations": 24, "rotations_translation": 25}
each = pytest.mark.parametrize("representation", READ.values(), ids=READ)


def raw_clip(representation, frames=30, seed=0):
    """A user's clip, before preparation."""
    rows = ROWS[representation.field]
    clip = np.random.default_rng(seed).normal(size=(frames, rows, 3 if rows == 22 else 6))
    if rows == 25:
        clip[:, -1, 3:] = 0  # a translation has three numbers
    return clip.astype(np.float32)


def random(share=0.5, row=0):
    return RowRandom(share, (0, 1, 2, row))


# ---- all representations ---------------------------------------------------------------------


def test_names():
    assert set(READ) == set(REPRESENTATIONS)
    assert set(inputs()) == {"joints", "rotations", "rotations_translation"}
    for name, representation in REPRESENTATIONS.items():
        assert representation.field == name


@each
@pytest.mark.parametrize("frames", [2, 30, 40, 90])
def test_a_clip_from_preparation_to_batch(representation, frames):
    representation.check(SMPL)
    clips = [representation.prepare(raw_clip(representation, n, n), 20, SMPL) for n in (frames, 25)]
    assert all(map(len, clips))
    lengths = np.array(list(map(len, clips)))
    seen = representation.frames(lengths)
    padded = representation.padded(seen)
    assert seen.tolist() == [min(frames, 40), 25]
    assert seen.max() <= padded <= 48
    of_training = [representation.sample(c, random(0.9, i), SMPL) for i, c in enumerate(clips)]
    for cut in (of_training, [representation.window(clip) for clip in clips]):
        batch = representation.stack(cut, padded)
        assert batch[representation.field].shape[:2] == (2, padded)
        if "num_frames" in batch:
            np.testing.assert_array_equal(batch["num_frames"], seen)
            assert batch["num_frames"].dtype == np.int32
    again = [representation.sample(c, random(0.9, i), SMPL) for i, c in enumerate(clips)]
    for one, other in zip(of_training, again):
        np.testing.assert_array_equal(one, other)


@each
@pytest.mark.parametrize(
    ("change", "fps", "message"),
    [
        (
            lambda clip: clip[:, :21],
            20,
            r"\(30, 21, .\); expected \[frames >= 2, ROWS, .\] for ske",
        ),
        (lambda clip: clip[0], 20, "a clip has shape .* for skeleton 'smpl22'"),
        (lambda clip: clip[:1], 20, "a clip has shape"),
        (lambda clip: clip.astype(str), 20, "a clip has dtype <U.*; expected numbers"),
        (lambda clip: np.where(clip > 2, np.inf, clip), 20, "contains values that are not finite"),
        (lambda clip: clip, 0, "fps=0; expected a positive number of frames per second"),
        (lambda clip: clip, float("nan"), "fps=nan; expected a positive number"),
        (lambda clip: clip, float("inf"), "fps=inf; expected a positive number"),
    ],
)
def test_clips_that_cannot_be_prepared(representation, change, fps, message):
    message = message.replace("ROWS", str(ROWS[representation.field]))
    with pytest.raises(ValueError, match=message):
        representation.prepare(change(raw_clip(representation)), fps, SMPL)


@pytest.mark.parametrize("name", READ)
def test_an_example_is_a_clip_to_prepare(name):
    pose = np.random.default_rng(0).normal(size=(22, 3))
    metadata = dataclasses.replace(SMPL, mean=pose, num_rotations=24)
    clip = READ[name].example(metadata, 50)
    assert (clip.shape[:2], clip.dtype) == ((50, ROWS[name]), np.float32)
    assert np.isfinite(READ[name].prepare(clip, 30, metadata)).all()
    if clip.shape[2] == 3:
        np.testing.assert_allclose(clip[0], pose, rtol=1e-6)
        apart = np.linalg.norm(clip[:, 1:] - clip[:, :-1], axis=-1)
        np.testing.assert_allclose(apart, np.broadcast_to(apart[0], apart.shape), rtol=1e-4)
        assert np.abs(np.diff(clip, axis=0)).max(axis=(1, 2)).min() > 1e-3  # it moves


def test_an_example_in_two_dimensions_moves_in_them():
    metadata = dataclasses.replace(COCO, mean=np.ones((18, 3)))
    clip = READ["joints"].example(metadata, 5)
    assert (np.diff(clip[..., 0], axis=0) > 0).all()
    assert (clip[..., 1:] == 1).all()


def test_randomness_of_a_row():
    one, same, other = random(0.3), random(0.3), random(0.3, row=1)
    assert one.share == 0.3
    drawn = one.generator.random()
    assert drawn == same.generator.random() != other.generator.random()
    assert one.generator.random() != drawn  # the same generator, which continues


# ---- patches: padding ------------------------------------------------------------------------


def test_batches_are_padded_to_the_smallest_bucket():
    patches = Patches(patch_size=16, max_frames=96, frame_bucket=32)
    assert patches.buckets == (32, 64, 96)
    found = [patches.padded(np.array([1, n])) for n in (1, 32, 33, 64, 65, 96)]
    assert found == [32, 32, 64, 64, 96, 96]


def buckets(padding, frame_bucket=32, max_frames=224, patch_size=16):
    motion = ViTConfig(8, 1, 1, 8, patch_size=patch_size, max_frames=max_frames, padding=padding)
    return representation_of(motion, frame_bucket).buckets


def test_frame_buckets():
    assert buckets("attend") == (224,)
    assert buckets("attend", max_frames=220) == (224,)
    assert buckets("mask") == (32, 64, 96, 128, 160, 192, 224)
    assert buckets("mask", frame_bucket=100) == (112, 224)
    assert buckets("mask", frame_bucket=300) == (224,)
    assert buckets("mask", frame_bucket=1, max_frames=40, patch_size=8) == (8, 16, 24, 32, 40)


@given(st.integers(1, 300), st.integers(1, 300), st.sampled_from([8, 16, 32]))
def test_any_frame_buckets_are_whole_patches_and_hold_every_clip(step, longest, patch_size):
    found = buckets("mask", step, longest, patch_size)
    assert list(found) == sorted(set(found))
    assert all(bucket % patch_size == 0 for bucket in found)
    assert found[-1] - patch_size < longest <= found[-1]


def test_only_masked_padding_depends_on_length():
    assert Patches(16, 96, 32).by_length
    assert not Patches(16, 96).by_length
    assert not READ["joints"].by_length


def test_stack_patches():
    clips = [np.full((n, 80, 3), n, np.float16) for n in (2, 5)]
    stacked = Patches(patch_size=16, max_frames=4).stack(clips, 4)
    assert stacked["patches"].shape == (2, 4, 80, 3)
    assert stacked["patches"].dtype == np.float16
    np.testing.assert_array_equal(stacked["patches"][:, :, 0, 0], [[2, 2, 0, 0], [5, 5, 5, 5]])
    np.testing.assert_array_equal(stacked["num_frames"], [2, 4])


# ---- patches: clips and datasets -------------------------------------------------------------


def test_patches_use_the_statistics_of_the_metadata():
    joints = raw_clip(READ["patches"])
    patches = READ["patches"].prepare(joints, 20, SMPL)
    expected = motion_patches(joints, SMPL.skeleton, SMPL.mean, SMPL.std, 16)
    np.testing.assert_array_equal(patches, expected.astype(np.float16))
    assert len(READ["patches"].prepare(joints, 40, SMPL)) == 15  # at the dataset's frame rate


def test_a_clip_in_other_units_is_rejected():
    joints = 1e6 * raw_clip(READ["patches"])
    with pytest.raises(ValueError, match=r"up to .*e\+06, far beyond the training data"):
        READ["patches"].prepare(joints, 20, SMPL)


def test_the_share_determines_the_training_stretch():
    clip = np.arange(90)[:, None, None]
    patches = READ["patches"]
    for share, first in ((0.0, 0), (0.5, 25), (0.999, 50)):
        cut = patches.sample(clip, random(share), SMPL)[:, 0, 0]
        np.testing.assert_array_equal(cut, np.arange(first, first + 40))
    np.testing.assert_array_equal(patches.sample(clip[:40], random(0.9), SMPL), clip[:40])
    np.testing.assert_array_equal(patches.window(clip), clip[:40])


def test_datasets_without_matching_patches_are_rejected():
    patches = READ["patches"]
    with pytest.raises(ValueError, match=r"'seen' has 2D joints \(coco18\) and therefore"):
        patches.check(COCO)
    message = "'clips' was prepared with --patch_size=8; the model has patch_size 16"
    with pytest.raises(ValueError, match=message):
        patches.check(dataclasses.replace(SMPL, patch_size=8))


def test_patches_are_recomputed_for_other_statistics():
    patches = READ["patches"]
    assert patches.by_statistics
    other = dataclasses.replace(SMPL, mean=SMPL.mean + 1)
    assert patches.as_prepared(SMPL, SMPL, 20)
    assert patches.as_prepared(None, SMPL, 20)  # no statistics of its own
    assert not patches.as_prepared(other, SMPL, 20)
    assert not patches.as_prepared(dataclasses.replace(SMPL, std=2 * SMPL.std), SMPL, 20)
    # For another skeleton or patch size they cannot be recomputed.
    assert patches.as_prepared(dataclasses.replace(other, patch_size=8), SMPL, 20)
    kit = dataclasses.replace(other, skeleton=SKELETONS["kit21"])
    assert patches.as_prepared(kit, SMPL, 20)
    faster = dataclasses.replace(SMPL, fps=30.0)
    message = "'clips' has 30 frames per second, the model expects 20; the motion patches"
    for own in (SMPL, None):
        with pytest.raises(ValueError, match=message):
            patches.as_prepared(own, faster, 20)


# ---- joints and rotations --------------------------------------------------------------------


def test_joints_start_at_the_origin():
    clip = raw_clip(READ["joints"], 60)
    for root in (0, 5):
        joints = dataclasses.replace(READ["joints"], root=root)
        seen = joints.window(clip)
        np.testing.assert_array_equal(seen[0, root], 0)
        np.testing.assert_allclose(seen, clip[:40] - clip[0, root], atol=1e-6)
    as_it_is = dataclasses.replace(READ["joints"], root=None)
    np.testing.assert_array_equal(as_it_is.window(clip), clip[:40])
    confidence = dataclasses.replace(READ["joints"], dims=2)
    np.testing.assert_array_equal(confidence.window(clip)[..., 2], clip[:40, :, 2])
    np.testing.assert_array_equal(confidence.window(clip)[0, 0, :2], 0)


def test_a_short_clip_repeats_its_last_frame():
    clip = raw_clip(READ["rotations"], 7)
    seen = READ["rotations"].window(clip)
    np.testing.assert_array_equal(seen[:7], clip)
    np.testing.assert_array_equal(seen[7:], np.repeat(clip[-1:], 33, axis=0))


@pytest.mark.parametrize("window", ["first", "centre", "spread"])
def test_evaluation_windows(window):
    joints = dataclasses.replace(READ["joints"], window_of=window, root=None)
    clip = raw_clip(joints, 100)
    np.testing.assert_array_equal(joints.window(clip), clip[inference_indices(100, 40, window)])
    words = {"first": "start", "centre": "middle", "spread": "frames spread over them"}
    assert joints.part_seen == words[window]


def test_training_uses_the_sampling_and_augmentation_of_the_run():
    data = common.base().data
    data.sampling, data.step = "random_conseq", 3
    data.augment.mirror, data.augment.reverse = 1.0, 1.0
    joints = dataclasses.replace(READ["joints"], root=None).for_training(data)
    clip = raw_clip(joints, 90)
    changed = SMPL.skeleton.mirrored(clip)[::-1]
    generator = random().generator
    generator.random(2)  # whether to mirror, and to reverse
    frames = frame_indices(90, 40, "random_conseq", generator, 3)
    np.testing.assert_array_equal(joints.sample(clip, random(), SMPL), changed[frames])
    assert READ["patches"].for_training(data) is READ["patches"]  # no training settings


def test_datasets_with_other_joints_are_rejected():
    message = r"'seen' has 18 joints of 3 channels \(skeleton 'coco18'\); the model takes 22"
    with pytest.raises(ValueError, match=message):
        READ["joints"].check(COCO)
    with pytest.raises(ValueError, match="'seen' has no rotations, which are the input"):
        READ["rotations"].check(COCO)
    message = "'seen' has no rotations: set config.model.motion.input=joints"
    with pytest.raises(ValueError, match=message):
        Rotations.shape_of(COCO)
    with pytest.raises(ValueError, match="'clips' has 22 joints of 6 channels"):
        READ["rotations"].check(dataclasses.replace(SMPL, num_rotations=22))
    assert Joints.shape_of(COCO) == (18, 3, 2)
    assert Joints.shape_of(SMPL) == (22, 3, 3)
    assert Rotations.shape_of(SMPL) == (24, 6, 6)
    assert RotationsTranslation.shape_of(SMPL) == (25, 6, 3)


def test_resampling_of_joints_and_rotations():
    """Joints are interpolated; rotations are taken from the nearest frame."""
    clip = raw_clip(READ["rotations"], 31)
    again = READ["rotations"].prepare(clip, 30, SMPL)
    assert len(again) == 21
    assert {frame.tobytes() for frame in again} <= {frame.tobytes() for frame in clip}
    both = raw_clip(READ["rotations_translation"], 31)
    again = READ["rotations_translation"].prepare(both, 30, SMPL)
    assert len(again) == 21
    assert {frame.tobytes() for frame in again} <= {frame.tobytes() for frame in both}
    moved = np.linspace(0, 1, 31, dtype=np.float32)[:, None, None] * np.ones((22, 3), np.float32)
    again = READ["joints"].prepare(moved, 30, SMPL)
    np.testing.assert_allclose(again[:, 0, 0], np.linspace(0, 1, 21), atol=1e-6)
    assert not READ["joints"].as_prepared(SMPL, SMPL, 20)
    assert not READ["joints"].by_statistics


# ---- rotations with the root's translation ---------------------------------------------------

CLIP = READ["rotations_translation"]


def amass_clip(seconds=3, seed=0, translation=None):
    """poses and trans of a file of AMASS at 30 frames a second."""
    rng = np.random.default_rng(seed)
    poses = np.cumsum(rng.normal(0, 0.05, (30 * seconds, 156)), axis=0)
    return poses, np.cumsum(rng.normal(0, 0.02, (30 * seconds, 3)), axis=0) + 5


def record_of(poses, translation):
    """The fields that a record of data_prep stores, Y up, of one person."""
    rest = np.random.default_rng(1).normal(0, 0.3, (22, 3))
    body = smplh.SMPLH(rest, np.zeros((22, 3, 1)))
    joints, rotations = smplh.pose_clip(body, poses, translation, np.zeros(1))
    return {"joints": joints[:, None], "rotations": rotations[:, None]}


def published(poses, translation):
    """Walk and Text's input of some frames by hand, with scipy: [F, 25, 6]."""
    chosen = [*range(22), 22, 37]  # of SMPL-H's 52 joints
    vectors = poses.reshape(len(poses), 52, 3)[:, chosen]
    matrices = Rotation.from_rotvec(vectors.reshape(-1, 3)).as_matrix()
    rows = np.zeros((len(poses), 25, 6))
    rows[:, :24] = matrices[:, :2, :].reshape(len(poses), 24, 6)
    rows[:, 24, :3] = translation - translation[0]
    return rows


@pytest.mark.parametrize("window", ["first", "centre", "spread"])
def test_the_published_input_of_a_record(window):
    """Rotations and translation in AMASS's axes; the translation starts in the window."""
    poses, translation = amass_clip()
    seen = dataclasses.replace(CLIP, window_of=window)
    clip = seen.read(record_of(poses, translation))[:, 0]
    frames = inference_indices(len(poses), 40, window)
    expected = published(poses[frames], translation[frames])
    found = seen.window(clip)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    np.testing.assert_array_equal(found[0, -1], 0)
    assert np.abs(found[:, -1, :3]).max() > 0.1
    # A user who has the file gets the same.
    given = seen.prepare(smplh.rotations_translation(poses, translation), 30, FAST)
    np.testing.assert_allclose(seen.window(given), expected, atol=1e-5)


FAST = dataclasses.replace(SMPL, fps=30.0)


@pytest.mark.parametrize("sampling", ["conseq", "random_conseq", "random"])
@pytest.mark.parametrize("name", ["", "crop", "paces", "reverse", "joint_noise", "point_noise"])
def test_every_training_window_starts_at_zero(sampling, name):
    data = common.base().data
    data.sampling = sampling
    if name:
        values = {"crop": 60, "paces": (1.5,), "reverse": 1.0}
        data.augment[name] = values.get(name, 0.1)
    poses, translation = amass_clip()
    clip = CLIP.read(record_of(poses, translation))[:, 0]
    kept = clip.copy()
    reads = CLIP.for_training(data)
    starts = set()
    for row in range(5):
        seen = reads.sample(clip, random(row=row), SMPL)
        assert (seen.shape, seen.dtype) == ((40, 25, 6), np.float32)
        np.testing.assert_array_equal(seen[0, -1], 0)
        np.testing.assert_array_equal(seen[:, -1, 3:], 0)
        assert np.abs(seen[-1, -1, :3]).max() > 0.01
        starts.add(seen[0, 0].tobytes())
    assert len(starts) > 1  # windows that start elsewhere
    np.testing.assert_array_equal(clip, kept)  # the cached clip


def test_walking_on_the_spot_and_across_differ_in_the_translation_only():
    poses, _ = amass_clip()
    still = np.zeros((len(poses), 3))
    across = np.linspace(0, 5, len(poses))[:, None] * [0.6, 0.8, 0]  # 5 metres
    spot, away = (record_of(poses, trans) for trans in (still, across))
    one, other = (CLIP.window(CLIP.read(record)[:, 0]) for record in (spot, away))
    np.testing.assert_array_equal(one[:, :-1], other[:, :-1])
    np.testing.assert_allclose(one[:, -1], 0, atol=1e-6)
    np.testing.assert_allclose(other[:, -1, :3], across[:40], atol=1e-5)
    rotations = READ["rotations"]  # which has no such row
    one, other = (rotations.window(rotations.read(record)[:, 0]) for record in (spot, away))
    np.testing.assert_array_equal(one, other)


def test_the_mirror_image_is_the_input_of_the_mirrored_body():
    """Mirrored in AMASS's axes: x of rotation vectors stays, y and z turn round; sides swap."""
    poses, translation = amass_clip()
    data = common.base().data
    data.augment.mirror = 1.0
    data.sampling = "conseq"
    twins = [*SMPL.skeleton.mirror, *range(37, 52), *range(22, 37)]
    mirrored = (poses.reshape(-1, 52, 3)[:, twins] * [1, -1, -1]).reshape(-1, 156)
    clip = CLIP.read(record_of(poses, translation))[:, 0]
    expected = CLIP.read(record_of(mirrored, translation * [-1, 1, 1]))[:, 0]
    generator = random().generator
    generator.random()  # whether to mirror
    frames = frame_indices(len(poses), 40, "conseq", generator)
    start = expected[frames]
    start[:, -1] -= start[0, -1].copy()
    found = CLIP.for_training(data).sample(clip, random(), SMPL)
    np.testing.assert_allclose(found, start, atol=1e-5)


def test_datasets_without_the_published_input_are_rejected():
    for check in (CLIP.check, RotationsTranslation.shape_of):
        with pytest.raises(ValueError, match=r"'clips' has 22 rotations, as older .* Prepare it a"):
            check(dataclasses.replace(SMPL, num_rotations=22))
        with pytest.raises(ValueError, match="'seen' has no rotations; rotations_translation"):
            check(COCO)
        with pytest.raises(ValueError, match=r"has 24 rotations and 0\.01 m; .*input=joints"):
            check(dataclasses.replace(SMPL, unit_in_metres=0.01))
    with pytest.raises(ValueError, match=r"last of the 25 rows .* x, y and z and three zeros"):
        CLIP.prepare(np.ones((5, 25, 6)), 20, SMPL)
    data = common.base().data
    data.augment.squeeze = 0.1
    with pytest.raises(ValueError, match="cannot squeeze rotations"):
        CLIP.for_training(data).sample(raw_clip(CLIP), random(), SMPL)


def test_a_model_of_22_rotations_reads_the_first_22_of_24():
    """Runs of older versions give the same numbers on datasets that are prepared again."""
    model = dataclasses.replace(READ["rotations"], joints=22)
    for stored in (SMPL, dataclasses.replace(SMPL, num_rotations=22)):
        model.check(stored)
    record = record_of(*amass_clip())
    old = record | {"rotations": record["rotations"][:, :, :22]}
    np.testing.assert_array_equal(model.read(record), old["rotations"])
    np.testing.assert_array_equal(model.read(old), old["rotations"])
    assert READ["rotations"].read(record).shape[2:] == (24, 6)


# ---- the cache -------------------------------------------------------------------------------


class Split:
    """Stands in for `records.Split`: clip i has i + 1 frames; records the reads."""

    version_dir = "data/small"
    ids = tuple(f"clip-{i}" for i in range(20))

    def __init__(self, persons=1):
        self.persons = persons
        self.read = collections.Counter()

    def __getitem__(self, row):
        self.read[row] += 1
        return {"patches": np.full((row + 1, self.persons, 80, 3), row, np.float16)}


def test_the_cache_decodes_once():
    split = Split()
    budget = [10**6]
    cache = ClipCache(split, budget)
    for _ in range(3):
        for row in (4, 7):
            np.testing.assert_array_equal(cache[row], np.full((row + 1, 80, 3), row))
    assert split.read == {4: 1, 7: 1}
    assert budget[0] == 10**6 - (5 + 8) * 80 * 3 * 2


def test_the_cache_respects_its_budget():
    """All datasets of a run share one budget; clips that do not fit are read each time."""
    frame = 80 * 3 * 2
    budget = [10 * frame]
    a, b = Split(), Split()
    first, second = ClipCache(a, budget), ClipCache(b, budget)
    for _ in range(2):
        assert len(first[5]) == 6
        assert len(second[6]) == 7  # does not fit into the rest
        assert len(second[3]) == 4  # fits
        assert len(first[0]) == 1
    assert budget == [0]
    assert a.read == {5: 1, 0: 2}
    assert b.read == {6: 2, 3: 1}


def test_a_budget_of_zero_caches_nothing():
    split = Split()
    cache = ClipCache(split, [0])
    for _ in range(3):
        cache[2]
    assert split.read == {2: 3}


def test_concurrent_reads_of_a_clip_charge_the_budget_once():
    barrier = threading.Barrier(2)

    class Slow(Split):
        def __getitem__(self, row):
            barrier.wait(timeout=30)  # both threads have missed the cache
            return super().__getitem__(row)

    budget = [10**6]
    cache = ClipCache(Slow(), budget)
    threads = [threading.Thread(target=cache.__getitem__, args=(4,)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert budget[0] == 10**6 - 5 * 80 * 3 * 2


def test_clips_of_two_persons_are_rejected():
    cache = ClipCache(Split(persons=2), [10**6])
    with pytest.raises(ValueError, match=r"data/small: clip 'clip-3' contains 2 persons; this"):
        cache[3]
