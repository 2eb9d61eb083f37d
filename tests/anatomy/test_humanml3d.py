"""Tests of motionalign.anatomy.humanml3d.

The values are compared with the published sample, with a plain formulation below (one joint of one
frame at a time, rotations of SciPy), and with HumanML3D's own code where a checkout of it is named
by MOTIONALIGN_HUMANML3D_SOURCE.
"""

import itertools
import json
import os
import pathlib
import sys
import types

import numpy as np
import pytest
from bodies import body
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from motionalign.anatomy.humanml3d import (
    GROUPS,
    NUM_FEATURES,
    SKELETON,
    Statistics,
    features,
    target_offsets,
    uniform_skeleton,
)
from motionalign.conventions import canonical
from motionalign.formats.humanml3d_features import positions

PARENTS = SKELETON.parents
AT = {name: i for i, name in enumerate(SKELETON.joint_names)}
UP = np.array([0.0, 1.0, 0.0])


def spinning(frames=60, seed=0, turns=1.5):
    """A body that turns about Y, through -Z, elsewhere in space and off the floor."""
    joints = body(frames, seed=seed).astype(float)
    turn = Rotation.from_rotvec(np.linspace(0, 2 * np.pi * turns, frames)[:, None] * UP)
    joints = np.stack([r.apply(pose) for r, pose in zip(turn, joints)])
    return joints + np.array([3, 0.5, -2])


# A plain formulation ------------------------------------------------------------------------------


def zero_directions():
    """Where the bones point if all of HumanML3D's rotations are zero."""
    out = np.zeros((22, 3))
    for name, joint in AT.items():
        side = 1 if name.startswith("left") else -1
        if name.endswith(("hip", "collar")):
            out[joint] = side, 0, 0
        elif name.startswith("spine") or name == "neck":
            out[joint] = UP
        elif name.endswith("foot") or name == "head":
            out[joint] = 0, 0, 1
        elif name != "pelvis":
            out[joint] = -UP
    return out


ZERO = zero_directions()


def shortest(start, end):
    """The shortest rotation from one direction to another."""
    start, end = start / np.linalg.norm(start), end / np.linalg.norm(end)
    axis = np.cross(start, end)
    sine = np.linalg.norm(axis)
    angle = np.arctan2(sine, start @ end)
    return Rotation.from_rotvec(axis / sine * angle if sine else axis)


def plain_facings(joints):
    """The rotation of every frame to +Z."""
    forwards = []
    for pose in joints:
        # The hips are exchanged, as in the published code.
        across = pose[AT["left_hip"]] - pose[AT["right_hip"]]
        across = across + pose[AT["right_shoulder"]] - pose[AT["left_shoulder"]]
        forwards.append(np.cross(UP, across / np.linalg.norm(across)))
    padded = np.pad(forwards, ((80, 80), (0, 0)), mode="edge")
    weights = np.exp(-0.5 * (np.arange(-80, 81) / 20.0) ** 2)
    weights /= weights.sum()
    smooth = [weights @ padded[i : i + 161] for i in range(len(joints))]
    return [Rotation.identity(), *(shortest(f, np.array([0.0, 0, 1])) for f in smooth[1:])]


def plain_rotations(pose, facing):
    """{joint: rotation of its bone relative to the one before it in its chain}."""
    out = {}
    for chain in SKELETON.chains:
        total = facing
        for before, joint in itertools.pairwise(chain):
            out[joint] = total.inv() * shortest(ZERO[joint], pose[joint] - pose[before])
            total = total * out[joint]
    return out


def plain_features(joints):
    """HumanML3D's values of canonical joints."""
    facings = plain_facings(joints)
    rows = []
    for now, (pose, after, facing, next_facing) in enumerate(
        zip(joints, joints[1:], facings, facings[1:])
    ):
        q, r = next_facing.as_quat(), facing.as_quat()
        q, r = q * np.sign(q[3] or 1), r * np.sign(r[3] or 1)  # the published code takes these
        turned = q[1] * r[3] - q[3] * r[1]
        velocity = next_facing.apply(after[0] - pose[0])
        local = facing.apply(pose - pose[0] * [1, 0, 1])
        rotations = plain_rotations(pose, facing)
        matrices = [rotations[joint].as_matrix() for joint in range(1, 22)]
        moved = after - pose
        rows.append(np.concatenate([
            [np.arcsin(turned), velocity[0], velocity[2], pose[0, 1]],
            local[1:].ravel(),
            *[np.concatenate([matrix[:, 0], matrix[:, 1]]) for matrix in matrices],
            facing.apply(moved).ravel(),
            [float((moved[AT[name]] ** 2).sum() < 0.002)
             for name in ("left_ankle", "left_foot", "right_ankle", "right_foot")],
        ]))  # fmt: skip
        assert now == len(rows) - 1
    return np.array(rows)


def plain_uniform(joints, offsets):
    """The uniform skeleton by inverse and forward kinematics."""

    def leg(bones):
        return sum(np.abs(bones[AT[name]]).max() for name in ("right_knee", "right_ankle"))

    own = [np.linalg.norm(joints[0, j] - joints[0, max(PARENTS[j], 0)]) * ZERO[j]
           for j in range(22)]  # fmt: skip
    out = []
    for pose in joints:
        rotations = plain_rotations(pose, Rotation.identity())
        made = {0: pose[0] * leg(offsets) / leg(own)}
        for chain in SKELETON.chains:
            total = Rotation.identity()
            for before, joint in itertools.pairwise(chain):
                total = total * rotations[joint]
                made[joint] = made[before] + total.apply(offsets[joint])
        out.append([made[joint] for joint in range(22)])
    return np.array(out)


@given(seed=st.integers(0, 2**32 - 1), frames=st.integers(2, 90), turns=st.floats(-0.45, 0.45))
@settings(max_examples=25)
def test_the_joints_come_back_from_their_values(seed, frames, turns):
    """Of all frames but the last; a body that turns through -Z does not, as in the published."""
    joints = spinning(frames, seed, turns)
    back = positions(features(joints), 22)
    np.testing.assert_allclose(back, canonical(joints, SKELETON)[:-1], atol=1e-5)


@pytest.mark.parametrize("turns", [0, 0.3, 1.5])
def test_values_are_those_of_the_plain_formulation(turns):
    joints = spinning(turns=turns)
    made = features(joints)
    assert made.shape == (59, NUM_FEATURES) == (59, 263) and made.dtype == np.float32
    expected = plain_features(canonical(joints, SKELETON))
    np.testing.assert_allclose(made, expected, atol=1e-6)
    contacts = made[:, GROUPS["foot_contacts"]]
    assert 0 < contacts.mean() < 1 or not turns


def test_a_turn_through_minus_z_has_the_published_sign():
    turn = features(spinning(200, turns=1.5))[:, 0]
    against = np.sign(turn) != np.sign(np.median(turn))
    assert 1 <= against.sum() <= 3 and np.abs(turn[against]).min() > 0.5 * np.median(np.abs(turn))


def test_the_uniform_skeleton_is_that_of_kinematics_and_has_the_targets_bones():
    joints, target = spinning(), body(3, seed=1).astype(float) * 1.2
    target[:, AT["left_elbow"]] += 0.1
    offsets = target_offsets(target)
    made = uniform_skeleton(joints, offsets)
    np.testing.assert_allclose(made, plain_uniform(joints, offsets), atol=1e-12)
    for parent, joint in SKELETON.bones:
        lengths = np.linalg.norm(made[:, joint] - made[:, parent], axis=-1)
        wanted = np.linalg.norm(target[0, joint] - target[0, parent])
        np.testing.assert_allclose(lengths, wanted, rtol=1e-12)
    same = uniform_skeleton(joints, target_offsets(joints))
    np.testing.assert_allclose(same, joints, atol=1e-6)


def test_a_clip_may_be_anywhere_and_face_anywhere():
    joints = spinning(turns=0.2)
    turn = Rotation.from_rotvec(2 * UP).as_matrix()
    made = features(joints @ turn.T + np.array([1, 2, 3]))
    np.testing.assert_allclose(made, features(joints), atol=1e-6)


def test_bones_opposite_to_their_zero_direction_are_rotated_by_half_a_turn():
    """A body on its head, for example: no shortest rotation exists, and the published code has NaN.

    The pelvis faces +Z, so that the first bones of the chains have their rotations from zero.
    """
    joints = np.zeros((4, 22, 3))
    for parent, joint in SKELETON.bones:
        joints[:, joint] = joints[:, parent] - ZERO[joint]
    rotations = features(joints)[:, GROUPS["rotations"]].reshape(-1, 21, 2, 3).astype(float)
    matrices = np.stack(
        [*np.moveaxis(rotations, -2, 0), np.cross(*np.moveaxis(rotations, -2, 0))], -1
    )
    np.testing.assert_allclose(
        matrices.mT @ matrices, np.eye(3) + np.zeros((3, 21, 3, 3)), atol=1e-6
    )
    firsts = [AT[name] for name in ("left_hip", "right_hip", "spine1", "left_collar")]
    bones = np.einsum("tnij,nj->tni", matrices[:, np.subtract(firsts, 1)], ZERO[firsts])
    turned = canonical(joints, SKELETON)[:-1]
    expected = turned[:, firsts] - turned[:, [PARENTS[joint] for joint in firsts]]
    np.testing.assert_allclose(bones, expected, atol=1e-6)


def test_a_clip_of_one_frame_has_no_values():
    with pytest.raises(ValueError, match="two frames or more; the clip has 1"):
        features(body(1))


def test_a_leg_without_length_has_no_scale():
    flat = body(3).astype(float)
    flat[:, [AT["right_knee"], AT["right_ankle"]]] = flat[:, [AT["right_hip"]]]
    for joints, offsets, which in (
        (flat, target_offsets(body(2)), "clip"),
        (body(2), target_offsets(flat), "target"),
    ):
        with pytest.raises(ValueError, match=f"0 in the first frame of the {which}"):
            uniform_skeleton(joints, offsets)


def test_statistics_are_those_of_all_frames_with_one_deviation_a_group():
    rng = np.random.default_rng(0)
    clips = [rng.normal(3, 2, (n, NUM_FEATURES)) * np.arange(NUM_FEATURES) for n in (1, 7, 40)]
    found = Statistics()
    for clip in clips:
        found.add(clip)
    rows = np.concatenate(clips)
    np.testing.assert_allclose(found.mean(), rows.mean(0), rtol=1e-6)
    std = rows.std(0)
    starts = [0, 1, 3, 4, 67, 193, 259, 263]
    expected = np.concatenate([
        np.full(stop - start, std[start:stop].mean()) for start, stop in itertools.pairwise(starts)
    ])  # fmt: skip
    np.testing.assert_allclose(found.std(), expected, rtol=1e-6)
    assert found.rows == 48 and found.std().dtype == found.mean().dtype == np.float32


# The published sample and code -------------------------------------------------------------------


@pytest.fixture(scope="session")
def sample(test_data):
    """Joints [170, 22, 3] of a published clip, and its published values [170, 263]."""
    folder = test_data / "humanml3d_sample"
    names = "new_joints_012314.npy", "new_joint_vecs_012314.npy"
    return tuple(np.load(folder / name) for name in names)


def test_values_of_the_published_sample(sample):
    """The published values were made with one more frame, which smoothing spreads to the last 59.

    From row 111 on, they may differ by little.
    """
    joints, published = sample
    made = features(joints)
    assert made.shape == (169, 263)
    np.testing.assert_allclose(made[:111], published[:111], atol=1e-4)
    assert np.abs(made[111:] - published[111:169]).max() < 0.02
    np.testing.assert_allclose(made, plain_features(canonical(joints, SKELETON)), atol=1e-5)


@pytest.fixture(scope="session")
def theirs():
    """The functions of HumanML3D's motion_representation.ipynb, as a namespace."""
    folder = os.environ.get("MOTIONALIGN_HUMANML3D_SOURCE")
    if not folder:
        pytest.skip("MOTIONALIGN_HUMANML3D_SOURCE names no checkout of EricGuo5513/HumanML3D")
    torch = pytest.importorskip("torch")
    gaussian = types.ModuleType("scipy.ndimage.filters")  # has left SciPy
    from scipy.ndimage import gaussian_filter1d

    gaussian.gaussian_filter1d = gaussian_filter1d
    notebook = json.loads((pathlib.Path(folder) / "motion_representation.ipynb").read_text("utf-8"))
    code = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    space = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        patch.setitem(sys.modules, "scipy.ndimage.filters", gaussian)
        patch.setattr(np, "float", float, raising=False)  # has left NumPy
        for cell in code[:3]:  # imports, uniform_skeleton, process_file
            exec(cell, space)
    space |= {
        "n_raw_offsets": torch.from_numpy(space["t2m_raw_offsets"]),
        "kinematic_chain": space["t2m_kinematic_chain"],
        "l_idx1": 5,
        "l_idx2": 8,
        "fid_r": [8, 11],
        "fid_l": [7, 10],
        "face_joint_indx": [2, 1, 17, 16],
    }
    return space


def their_offsets(theirs, joints):
    torch = pytest.importorskip("torch")
    skeleton = theirs["Skeleton"](theirs["n_raw_offsets"], theirs["kinematic_chain"], "cpu")
    return skeleton.get_offsets_joints(torch.from_numpy(joints[0]))


def test_values_are_those_of_the_published_code(theirs, sample, mocap_folder, monkeypatch):
    joints, _ = sample
    paths = sorted((mocap_folder / "new_joints").glob("*.npy"))[::97]
    for clip in (joints, *(np.load(path) for path in paths)):
        clip = canonical(clip.astype(np.float32), SKELETON)
        theirs["tgt_offsets"] = their_offsets(theirs, joints)
        uniform = uniform_skeleton(clip, target_offsets(joints))
        made = theirs["uniform_skeleton"](clip.copy(), theirs["tgt_offsets"])
        np.testing.assert_allclose(uniform, made, atol=1e-5)
        # On the same joints: those in float32 that are stored.
        uniform = canonical(uniform, SKELETON).astype(np.float32)
        with monkeypatch.context() as patch:
            patch.setitem(theirs, "uniform_skeleton", lambda given, _: given)
            values = theirs["process_file"](uniform.copy(), 0.002)[0]
        np.testing.assert_allclose(features(uniform), values, atol=1e-5)
