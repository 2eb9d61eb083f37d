"""Skeletons: the published indices as literals, trees, body parts and mirrors."""

import dataclasses
import itertools
import json
import re

import numpy as np
import pytest

from motionalign.anatomy import sets
from motionalign.formats import ntu_skeleton
from motionalign.skeleton import PARTS, SKELETONS, Skeleton, get_skeleton, shape_advice

skeletons = pytest.mark.parametrize("skeleton", SKELETONS.values(), ids=SKELETONS)


def test_published_chains():
    """The indices and order of HumanML3D's paramUtil.py, which determine the patch columns."""
    assert SKELETONS["smpl22"].chains == (
        (0, 2, 5, 8, 11),
        (0, 1, 4, 7, 10),
        (0, 3, 6, 9, 12, 15),
        (9, 14, 17, 19, 21),
        (9, 13, 16, 18, 20),
    )
    assert SKELETONS["kit21"].chains == (
        (0, 11, 12, 13, 14, 15),
        (0, 16, 17, 18, 19, 20),
        (0, 1, 2, 3, 4),
        (3, 5, 6, 7),
        (3, 8, 9, 10),
    )


def test_joint_names_and_mirrors_by_hand():
    smpl, kit = SKELETONS["smpl22"], SKELETONS["kit21"]
    assert (smpl.num_joints, kit.num_joints) == (22, 21)
    assert [smpl.joint_names[i] for i in (0, 1, 2, 15, 20, 21)] == [
        "pelvis", "left_hip", "right_hip", "head", "left_wrist", "right_wrist",
    ]  # fmt: skip
    assert [kit.joint_names[i] for i in (0, 4, 7, 10, 15, 20)] == [
        "root", "BUN", "LW", "RW", "LF", "RF",
    ]  # fmt: skip
    assert smpl.mirror == (
        0, 2, 1, 3, 5, 4, 6, 8, 7, 9, 11, 10, 12, 14, 13, 15, 17, 16, 19, 18, 21, 20,
    )  # fmt: skip
    assert kit.mirror == (
        0, 1, 2, 3, 4, 8, 9, 10, 5, 6, 7, 16, 17, 18, 19, 20, 11, 12, 13, 14, 15,
    )  # fmt: skip


def published_bones(skeleton, pairs, order):
    """Bones between joints of ours, of pairs of joints (from 0) in a published order."""
    ours = [skeleton.joint_names.index(name) for name in order]
    return {frozenset((ours[a], ours[b])) for a, b in pairs}


def test_bones_of_published_graphs():
    """Those of ST-GCN's and CTR-GCN's graph of NTU RGB+D, which count from 1, and UAV-Human's."""
    ntu = [
        (1, 2), (2, 21), (3, 21), (4, 3), (5, 21), (6, 5), (7, 6), (8, 7), (9, 21), (10, 9),
        (11, 10), (12, 11), (13, 1), (14, 13), (15, 14), (16, 15), (17, 1), (18, 17), (19, 18),
        (20, 19), (22, 23), (23, 8), (24, 25), (25, 12),
    ]  # fmt: skip
    skeleton = SKELETONS["ntu25"]
    kinect = []
    for name in ntu_skeleton.JOINT_NAMES:  # such as HandTipLeft
        words = [word.lower() for word in re.findall("[A-Z][a-z]+", name)]
        side = [word for word in words if word in ("left", "right")]
        kinect.append("_".join(side + [word for word in words if word not in side]))
    expected = published_bones(skeleton, [(a - 1, b - 1) for a, b in ntu], kinect)
    assert {frozenset(bone) for bone in skeleton.bones} == expected

    uav = [
        (10, 8), (8, 6), (9, 7), (7, 5), (15, 13), (13, 11), (16, 14), (14, 12), (11, 5), (12, 6),
        (11, 12), (5, 6), (5, 0), (6, 0), (1, 0), (2, 0), (3, 1), (4, 2),
    ]  # fmt: skip
    skeleton = SKELETONS["uav17"]
    expected = published_bones(skeleton, uav, skeleton.joint_names)
    # A tree leaves out those across: of the hips and of the shoulders.
    across = {frozenset((5, 6)), frozenset((11, 12))}
    assert {frozenset(bone) for bone in skeleton.bones} == expected - across


@pytest.mark.parametrize(("skeleton", "name"), [("ntu25", "Kinect v2"), ("uav17", "COCO-17")])
def test_joints_are_of_a_known_set(skeleton, name):
    found, labels = sets.match(SKELETONS[skeleton].joint_names)
    assert found.name == name and len(labels) == SKELETONS[skeleton].num_joints


@skeletons
def test_parents_form_a_tree(skeleton):
    assert len(skeleton.parents) == skeleton.num_joints == len(set(skeleton.joint_names))
    assert skeleton.parents[0] == -1
    # Parents come before their children, so that there is one root and no cycle.
    assert all(0 <= parent < child for parent, child in skeleton.bones)
    assert len(skeleton.bones) == skeleton.num_joints - 1


@skeletons
def test_chains_run_along_bones_and_cover_the_body(skeleton):
    assert len(skeleton.chains) == len(skeleton.chain_names) == 5
    assert sorted(skeleton.chain_names) == sorted(PARTS)
    for chain in skeleton.chains:
        assert all(pair in skeleton.bones for pair in itertools.pairwise(chain))
    face = {i for i, name in enumerate(skeleton.joint_names) if name.endswith(("_eye", "_ear"))}
    assert set(itertools.chain(*skeleton.chains)) == set(range(skeleton.num_joints)) - face


@skeletons
def test_chains_are_on_the_side_in_their_name(skeleton):
    for chain, name in zip(skeleton.chains, skeleton.chain_names):
        side = name[0] if name != "torso" else None
        for joint in chain[1:]:  # the first one belongs to the torso
            twin = skeleton.joint_names[skeleton.mirror[joint]]
            own = skeleton.joint_names[joint].lower()
            assert (own[0] if own != twin.lower() else None) == side, (name, own)


@skeletons
def test_mirror_is_an_involution_that_keeps_tree_and_body_parts(skeleton):
    mirror = np.array(skeleton.mirror)
    np.testing.assert_array_equal(mirror[mirror], np.arange(skeleton.num_joints))
    assert {(mirror[p], mirror[j]) for p, j in skeleton.bones} == set(skeleton.bones)
    swap = {"left": "right", "right": "left"}
    chains = dict(zip(skeleton.chain_names, skeleton.chains))
    for name, chain in chains.items():
        side, _, part = name.partition("_")
        twin = f"{swap[side]}_{part}" if part else name
        assert chains[twin] == tuple(mirror[list(chain)])

    joints = np.random.default_rng(0).normal(size=(2, 5, skeleton.num_joints, 3))
    np.testing.assert_array_equal(skeleton.mirrored(skeleton.mirrored(joints)), joints)


def test_mirrored_by_hand():
    skeleton = SKELETONS["smpl22"]
    joints = np.zeros((1, 22, 3), np.float32)
    joints[0, 20] = 1, 2, 3  # left wrist
    joints[0, 15] = 4, 5, 6  # head
    mirrored = skeleton.mirrored(joints)
    expected = np.zeros((1, 22, 3), np.float32)
    expected[0, 21] = -1, 2, 3
    expected[0, 15] = -4, 5, 6
    np.testing.assert_array_equal(mirrored, expected)
    assert mirrored.dtype == np.float32
    assert joints[0, 20, 0] == 1  # the caller's array is unchanged


def test_left_is_left_on_a_published_clip(test_data):
    """HumanML3D clips start facing +Z: with Y up, the left side has larger x."""
    skeleton = SKELETONS["smpl22"]
    joints = np.load(test_data / "humanml3d_sample" / "new_joints_012314.npy")
    for clip in (joints, skeleton.mirrored(joints)):
        for part in ("hip", "shoulder"):
            left, right = (skeleton.joint_names.index(f"{s}_{part}") for s in ("left", "right"))
            assert clip[0, left, 0] > clip[0, right, 0] + 0.05


def test_unknown_skeleton():
    assert get_skeleton("smpl22") is SKELETONS["smpl22"]
    with pytest.raises(
        ValueError, match=r"unknown skeleton 'smpl24'; known: coco18, kinect20, kit21, ntu25"
    ):
        get_skeleton("smpl24")


@skeletons
def test_json_round_trip(skeleton):
    described = json.loads(json.dumps(skeleton.to_dict()))
    assert Skeleton.from_dict(described) == skeleton
    with pytest.raises(ValueError, match=r"the fields chain_names, .*; dims is missing or unkn"):
        Skeleton.from_dict({name: value for name, value in described.items() if name != "dims"})
    with pytest.raises(ValueError, match="; bones is missing or unknown"):
        Skeleton.from_dict(described | {"bones": []})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"joint_names": ("pelvis",) * 22}, "joints with distinct names"),
        ({"parents": (-1,) * 22}, "the first joint as its only root"),
        ({"parents": (-1, 2, 0, *range(2, 21))}, "every parent before its children"),
        ({"parents": (-1,)}, "only root"),
        ({"chains": ((0, 22),) * 5}, "chains of its joints"),
        ({"chain_names": ("torso",)}, "chains of its joints, one name each"),
        ({"mirror": tuple(range(21))}, "a mirror that is its own inverse"),
        ({"mirror": (*range(1, 22), 0)}, "a mirror that is its own inverse"),
        ({"mirror": (22, *range(1, 22))}, "a mirror that is its own inverse"),
        ({"dims": 4}, "2 or 3 dims"),
    ],
)
def test_inconsistent_skeletons_are_rejected(change, message):
    with pytest.raises(ValueError, match=f"skeleton 'smpl22' must have .*{message}"):
        dataclasses.replace(SKELETONS["smpl22"], **change)


@pytest.mark.parametrize(
    ("shape", "advice"),
    [
        ((40, 66), "flattened: save joints.reshape(-1, 22, 3)"),
        ((40, 24, 3), "24 joints are SMPL's, whose first 22 are expected: save joints[:, :22]"),
        ((40, 52, 3), "SMPL-H's, whose first 22 are expected: save joints[:, :22]"),
        ((40, 55, 3), "SMPL-X's, whose first 22"),
        ((40, 21, 3), "21 joints are those of KIT-ML (kit21): use `python -m data_prep kit_ml`"),
        ((40, 18, 3), "18 joints are those of coco18"),
        ((40, 17, 3), "Choose or compute the 22 joints of smpl22"),
        ((40, 3, 22), "swapped: save joints.transpose(0, 2, 1)"),
        ((22, 40, 3), "swapped: save joints.transpose(1, 0, 2)"),
        ((1, 40, 22, 3), "superfluous: save joints[0]"),
        ((40, 1, 22, 3), "superfluous: save joints[:, 0]"),
        ((40, 2, 22, 3), "One clip is one array with three axes"),
        ((40,), "One clip is one array with three axes"),
        ((22, 3), "a single frame"),
        ((40, 22, 2), "2 numbers a joint are 2D positions, without depth"),
        ((40, 22, 4), "save joints[..., :3]"),
        ((40, 22, 6), "6D rotations"),
        ((40, 22, 9), "9 numbers a joint are not its x, y and z"),
        ((40, 263), "HumanML3D's features (new_joint_vecs); take the files of new_joints"),
        ((40, 72), "SMPL's pose parameters, or 24 flattened joints"),
        ((40, 165), "SMPL-X's pose parameters"),
        ((40, 75), "Reshape to joints.reshape(-1, 25, 3), and choose 22 of the 25 joints"),
        ((40, 10), "10 values a frame are not positions"),
    ],
)
def test_advice_on_shapes(shape, advice):
    assert advice in shape_advice(shape, 22)


def test_advice_on_shapes_can_be_followed():
    joints = np.random.default_rng(0).normal(size=(40, 22, 3))
    arrays = [
        joints.reshape(40, 66), np.concatenate([joints, joints[:, :2]], axis=1), joints[None],
        joints[:, None], joints.transpose(0, 2, 1), joints.transpose(1, 0, 2),
    ]  # fmt: skip
    for array in arrays:
        code = shape_advice(array.shape, 22).rpartition("save ")[2]
        np.testing.assert_array_equal(eval(code, {"joints": array}), joints)


def test_advice_for_other_skeletons():
    assert "use `python -m data_prep humanml3d`" in shape_advice((40, 22, 3), 21)
    assert "joints.reshape(-1, 18, 3)" in shape_advice((40, 54), 18)
    assert "Choose or compute the 21 joints of kit21" in shape_advice((40, 24, 3), 21)
