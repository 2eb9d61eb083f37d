"""Joints of one or several persons as the input of motion tokens."""

import dataclasses
import json
import types

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from ml_collections import ConfigDict

from motionalign.data.bodies import FIELDS, Bodies, BodiesConfig, resize
from motionalign.data.representation import RowRandom
from motionalign.skeleton import SKELETONS

SKELETON = SKELETONS["kinect20"]
METADATA = types.SimpleNamespace(name="set", skeleton=SKELETON, unit_in_metres=1.0, fps=30.0)


def bodies(persons=1, frames=16, face=True, **augment):
    return Bodies(BodiesConfig.of(SKELETON, persons, frames, face), **augment)


def a_clip(frames=40, persons=1, seed=0):
    """Bodies whose left side is at +X, moving at random, [T, M, J, 3]."""
    rng = np.random.default_rng(seed)
    rest = rng.normal(0, 0.3, (persons, SKELETON.num_joints, 3))
    for joint, name in enumerate(SKELETON.joint_names):
        rest[:, joint, 0] = 0.2 if "left" in name else -0.2 if "right" in name else 0
    path = np.cumsum(rng.normal(0, 0.02, (frames, persons, SKELETON.num_joints, 3)), axis=0)
    return (rest + path + rng.normal(0, 1, 3)).astype(np.float32)


@given(st.integers(1, 70), st.integers(2, 64))
@settings(max_examples=40, deadline=None)
def test_resizing_is_that_of_pytorch(length, frames):
    clip = np.random.default_rng(length).normal(size=(length, 2, 3)).astype(np.float32)
    flat = torch.from_numpy(clip.reshape(length, 6).T[None]).double()
    theirs = torch.nn.functional.interpolate(flat, size=frames, mode="linear", align_corners=False)
    np.testing.assert_allclose(
        resize(clip, frames).reshape(frames, 6), theirs[0].numpy().T, atol=2e-6
    )


def test_the_window_starts_at_the_origin_and_faces_forwards():
    clip = a_clip()
    out = bodies().window(clip)
    assert out.shape == (16, 1, 20, 3)
    assert out.dtype == np.float32
    np.testing.assert_allclose(out[0, 0, 0], 0, atol=1e-6)
    left, right = (
        [SKELETON.joint_names.index(f"{side}_{part}") for part in ("hip", "shoulder")]
        for side in ("left", "right")
    )
    across = (out[:, 0, left].mean(1) - out[:, 0, right].mean(1)).mean(0)
    assert across[0] > 0.1
    assert abs(across[2]) < 1e-5


@given(st.floats(-180, 180), st.integers(0, 5))
@settings(max_examples=30, deadline=None)
def test_facing_removes_any_turn_and_place(degrees, seed):
    clip = a_clip(seed=seed, persons=2)
    angle = np.radians(degrees)
    turn = np.array(
        [[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]]
    )
    turned = (clip @ turn.T + [3, 0, -2]).astype(np.float32)
    two = bodies(persons=2)
    np.testing.assert_allclose(two.window(turned), two.window(clip), atol=2e-5)


def test_without_facing_the_direction_stays():
    clip = a_clip()
    moved = bodies(face=False).window(clip)
    other = bodies(face=False).window(clip[..., [2, 1, 0]] * np.float32([1, 1, -1]))
    assert np.abs(moved - other).max() > 0.1


def test_two_persons_keep_their_distance():
    clip = a_clip(persons=2)
    clip[:, 1] += [0, 0, 1.5]
    out = bodies(persons=2).window(clip)
    apart = np.linalg.norm(out[:, 0, 0] - out[:, 1, 0], axis=-1)
    there = np.linalg.norm(clip[1:-1, 0, 0] - clip[1:-1, 1, 0], axis=-1)
    np.testing.assert_allclose(apart, resize(there, 16), atol=0.05)


def test_absent_persons_stay_zeros_and_are_not_counted():
    clip = a_clip(persons=2)
    clip[:, 1] = 0
    two = bodies(persons=2, noise=0.05, turn=90, scale=0.2, shortest=0.5)
    for out in (two.window(clip), two.sample(clip, RowRandom(0.3, (1,)), METADATA)):
        assert out[:, 0].any()
        assert not out[:, 1].any()
        assert two.stack([out], 16)["persons"].tolist() == [[True, False]]
    # The only one who is there is the first person, wherever the file has them.
    np.testing.assert_array_equal(bodies().window(clip[:, ::-1]), bodies().window(clip[:, :1]))
    np.testing.assert_array_equal(
        bodies(persons=2).window(clip[:, :1]), bodies(persons=2).window(clip)
    )


def test_a_person_who_leaves_stays_where_they_were():
    clip = a_clip(persons=2, frames=40)
    gone = clip.copy()
    gone[30:, 1] = 0
    out = bodies(persons=2, frames=40).window(gone)
    np.testing.assert_allclose(out[-1, 1], out[-5, 1], atol=1e-6)
    assert np.abs(out[-1, 1] - out[20, 1]).max() > 1e-3
    late = clip.copy()
    late[:10, 1] = 0
    out = bodies(persons=2, frames=40).window(late)
    np.testing.assert_allclose(out[0, 1], out[5, 1], atol=1e-6)


def test_more_persons_than_the_model_reads():
    with pytest.raises(ValueError, match=r"a clip has 2 persons; the model reads 1\. Set config"):
        bodies().window(a_clip(persons=2))


def test_training_crops_are_at_least_the_shortest_share():
    # The height of the root tells the frame.
    clip = a_clip(frames=100)
    clip[..., 1] = np.arange(100, dtype=np.float32)[:, None, None]
    seen = []
    for seed in range(200):
        out = bodies(shortest=0.5).sample(clip, RowRandom(0.1, (seed,)), METADATA)
        seen.append(float(out[-1, 0, 0, 1] - out[0, 0, 0, 1]) + 100 / 16)
    assert 45 < min(seen) < 60
    assert 90 < max(seen) < 107


def test_augmentation_turns_scales_and_is_the_same_for_the_same_seed():
    clip = a_clip()
    plain = bodies().sample(clip, RowRandom(0.5, (3,)), METADATA)
    turned = bodies(turn=180).sample(clip, RowRandom(0.5, (3,)), METADATA)
    again = bodies(turn=180).sample(clip, RowRandom(0.5, (3,)), METADATA)
    np.testing.assert_array_equal(turned, again)
    np.testing.assert_allclose(turned[..., 1], plain[..., 1], atol=1e-6)  # around the vertical axis
    np.testing.assert_allclose(
        np.linalg.norm(turned, axis=-1), np.linalg.norm(plain, axis=-1), atol=1e-5
    )
    assert np.abs(turned - plain).max() > 0.05
    scaled = bodies(scale=0.5).sample(clip, RowRandom(0.5, (3,)), METADATA)
    ratio = np.linalg.norm(scaled) / np.linalg.norm(plain)
    assert 0.5 <= ratio <= 1.5
    assert abs(ratio - 1) > 0.01


def test_a_mirrored_clip_is_the_mirror_image_of_all_persons():
    clip = a_clip(persons=2)
    clip[:5, 1] = 0  # comes later
    two = bodies(persons=2)
    plain = two.sample(clip, RowRandom(0.5, (3,)), METADATA)
    mirrored = dataclasses.replace(two, mirror=1.0).sample(clip, RowRandom(0.5, (3,)), METADATA)
    expected = plain[:, :, list(SKELETON.mirror)] * [-1, 1, 1]
    np.testing.assert_allclose(mirrored, expected, atol=1e-6)
    share = dataclasses.replace(two, mirror=0.5)
    found = [share.sample(clip, RowRandom(0.5, (seed,)), METADATA) for seed in range(20)]
    plain = [two.sample(clip, RowRandom(0.5, (seed,)), METADATA) for seed in range(20)]
    same = sum(np.array_equal(one, other) for one, other in zip(found, plain, strict=True))
    assert 3 < same < 17


def test_the_fields_are_those_of_the_augmentation():
    section = ConfigDict({"bodies": {name.rpartition(".")[2]: 0.25 for name in FIELDS}})
    found = bodies().for_training(section)
    assert (found.shortest, found.turn, found.scale, found.noise) == (0.25,) * 4
    assert found.mirror == 0.25
    assert len(FIELDS) == 5


def test_the_config_survives_json():
    config = BodiesConfig.of(SKELETON, 2, 64, True)
    stored = json.loads(json.dumps(dataclasses.asdict(config)))
    assert BodiesConfig.from_dict(stored) == config
    with pytest.raises(ValueError, match="exactly the fields"):
        BodiesConfig.from_dict({"joints": 20})
    with pytest.raises(ValueError, match="at least one person"):
        dataclasses.replace(config, persons=0)


def test_data_that_do_not_fit():
    one = bodies()
    one.check(METADATA)
    other = types.SimpleNamespace(**{**vars(METADATA), "skeleton": SKELETONS["smpl22"]})
    with pytest.raises(ValueError, match=r"has 22 joints in 3D .* the model reads 20 joints in 3D"):
        one.check(other)
    with pytest.raises(ValueError, match="no known unit; motion tokens need metres"):
        one.check(types.SimpleNamespace(**{**vars(METADATA), "unit_in_metres": None}))
    with pytest.raises(ValueError, match="2D joints"):
        BodiesConfig.of(SKELETONS["coco18"], 1, 64, True)
    with pytest.raises(ValueError, match=r"expected \[frames, joints, 3\], or \[frames, persons"):
        one.prepare(np.zeros((4, 3)), 30, METADATA)


def test_clips_of_users_are_resampled():
    clip = a_clip(frames=31)
    assert bodies().prepare(clip[:, 0], 15, METADATA).shape == (61, 1, 20, 3)
