"""Tests of motionalign.anatomy.native."""

import dataclasses

import bvh_converter
import numpy as np
import pytest
from bodies import body as moving
from handmade import bandai_body, body, body_of, motion

from motionalign.anatomy.native import native, skeleton_of
from motionalign.patches import motion_patches
from motionalign.skeleton import PARTS, SKELETONS

# A body whose names say nothing, with a twist joint in each forearm and each thigh.
NAMES = tuple("root b1 b2 b3 b4 L1 L2 Lt L3 R1 R2 Rt R3 l1 lt l2 l3 r1 rt r2 r3".split())
PARENTS = (-1, 0, 1, 2, 3, 2, 5, 6, 7, 2, 9, 10, 11, 0, 13, 14, 15, 0, 17, 18, 19)
CHAINS = {
    "right_leg": "root r1 rt r2 r3".split(),
    "left_leg": "root l1 lt l2 l3".split(),
    "torso": "root b1 b2 b3 b4".split(),
    "right_arm": "b2 R1 R2 Rt R3".split(),
    "left_arm": "b2 L1 L2 Lt L3".split(),
}
ROLES = {"root": "pelvis", "b2": "chest", "b3": "neck", "b4": "head"} | {
    f"{letter}{i}": f"{side}_{role}"
    for side, letters in (("left", "Ll"), ("right", "Rr"))
    for letter, roles in zip(letters, (("shoulder", "elbow", "wrist"), ("hip", "knee", "ankle")))
    for i, role in enumerate(roles, start=1)
}


@pytest.mark.parametrize("name", ["smpl22", "kinect20", "sbu15"])
def test_a_skeleton_of_ours_is_that_skeleton_in_its_order(name):
    ours = SKELETONS[name]
    # Depth first, as another program may have them.
    order, stack = [], [0]
    while stack:
        order.append(joint := stack.pop())
        stack += [j for j, parent in enumerate(ours.parents) if parent == joint]
    whole = body_of(name)
    points = [whole.points[joint] for joint in order]
    new = {old: i for i, old in enumerate(order)}
    shuffled = dataclasses.replace(
        whole,
        points=tuple(p._replace(parent=new.get(p.parent, -1)) for p in points),
        chains={part: tuple(new[i] for i in chain) for part, chain in whole.chains.items()},
    )
    joints = moving(skeleton=name)
    skeleton, made = native(motion(joints, ours.joint_names, ours.parents), shuffled)
    assert skeleton is ours
    np.testing.assert_array_equal(made[:, 0], joints)
    assert made.dtype == np.float32


def test_coco_without_eyes_and_ears_is_another_skeleton():
    skeleton = skeleton_of(body_of("coco18"), 2)
    assert (skeleton.num_joints, skeleton.dims, skeleton.name) == (14, 2, "coco18_14")
    assert skeleton.chain_names == PARTS


def test_points_without_a_role_are_paired_by_their_place():
    skeleton = skeleton_of(body(NAMES, PARENTS, CHAINS, ROLES, convention="By the tree"))
    assert skeleton.name == "by_the_tree_21"
    assert skeleton.joint_names == NAMES and skeleton.parents == PARENTS
    twin = {name: NAMES[other] for name, other in zip(NAMES, skeleton.mirror)}
    assert twin["Lt"] == "Rt" and twin["rt"] == "lt" and twin["L3"] == "R3"
    assert all(twin[name] == name for name in CHAINS["torso"])
    chains = [[NAMES[joint] for joint in chain] for chain in skeleton.chains]
    assert dict(zip(skeleton.chain_names, chains)) == CHAINS


def test_a_point_without_counterpart_is_left_out_and_its_children_stay():
    chains = CHAINS | {"left_arm": "b2 L1 L2 L3".split()}
    names = tuple(name for name in NAMES if name != "Lt")
    parents = [NAMES[parent] if parent >= 0 else None for parent in PARENTS]
    parents = dict(zip(NAMES, parents)) | {"L3": "L2"}
    parents = tuple(names.index(parents[name]) if parents[name] else -1 for name in names)
    skeleton = skeleton_of(body(names, parents, chains, ROLES))
    assert set(skeleton.joint_names) == set(NAMES) - {"Lt", "Rt"}
    bones = {(skeleton.joint_names[p], skeleton.joint_names[c]) for p, c in skeleton.bones}
    assert ("R2", "R3") in bones and ("L2", "L3") in bones
    arm = skeleton.chains[skeleton.chain_names.index("right_arm")]
    assert [skeleton.joint_names[joint] for joint in arm] == ["b2", "R1", "R2", "R3"]


def test_absent_persons_are_zeros_and_joints_follow_the_skeleton():
    ours = SKELETONS["smpl22"]
    joints = np.stack([moving(), moving(seed=1)], axis=1).astype(np.float64)
    joints[:10, 1] = np.nan
    skeleton, made = native(motion(joints, ours.joint_names, ours.parents), body_of("smpl22"))
    assert skeleton is ours and not made[:10, 1].any()
    np.testing.assert_array_equal(made[10:], joints[10:].astype(np.float32))


def test_patches_of_a_bvh_file_come_from_its_own_chains(test_data, bvh_files):
    names, parents, places, rate = bvh_converter.all_joints_of(bvh_files[0])
    given = motion(places, names, tuple(parents), rate)
    skeleton, joints = native(given, bandai_body(names, parents))
    assert skeleton.num_joints == 21 and "joint_Root" not in skeleton.joint_names
    one = np.ones((21, 3))
    patches = motion_patches(joints[:, 0], skeleton, 0 * one, one, 16)
    assert patches.shape == (len(places), 80, 3)
    # Half a pixel from the ends, patches hold the ends of the chains.
    toes = places[:, names.index("Toes_R")] / 100
    np.testing.assert_allclose(patches[:, 15], toes, atol=1e-5)
