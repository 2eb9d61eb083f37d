"""Rigs of many programs, by the names of their joints."""

import numpy as np
import pytest
from rigs import NAMINGS, joints_of, motion_of

from motionalign import anatomy
from motionalign.anatomy import names

ARM = ("collar", "shoulder", "elbow", "wrist")
LEG = ("hip", "knee", "ankle", "foot")


@pytest.mark.parametrize("program", NAMINGS)
def test_the_names_of_a_program_are_understood(program):
    naming = NAMINGS[program]
    rows = joints_of(naming)

    body = anatomy.understand(motion_of(rows))

    assert body.kind == "human", body.why
    assert (body.convention, body.finding) == (naming.convention, None)
    split = "|" if "|" in naming.trunk else None
    trunk = naming.trunk.split(split)
    got = {role: body.points[i].name for role, i in body.roles.items()}
    assert [body.points[i].name for i in body.chains["torso"]] == trunk
    assert (got["pelvis"], got["head"]) == (trunk[0], trunk[-1])
    assert got["chest"] == trunk[-3 if len(trunk) > 3 else -2]
    for roles, listed in ((ARM, naming.arm), (LEG, naming.leg)):
        for role, name in zip(roles, listed.split(split), strict=True):
            assert got.get(f"left_{role}", "-") == name
    assert not any(name in got.values() for name in naming.above.split("|"))
    rights = [name for role, name in got.items() if role.startswith("right_")]
    lefts = [name for role, name in got.items() if role.startswith("left_")]
    assert len(rights) == len(lefts) == len(set(rights + lefts)) / 2


@pytest.mark.parametrize("mark", ["_", "_0", " ", "."])
@pytest.mark.parametrize("program", NAMINGS)
def test_numbers_of_nodes_behind_names_say_nothing(program, mark):
    """As viewers of glTF files write them: L_3 at the end of a left foot is no lumbar vertebra."""
    rows = joints_of(NAMINGS[program])
    number = {name: f"{name}{mark}{i + 1}" for i, (name, *_) in enumerate(rows)}
    numbered = [(number[name], parent and number[parent], place) for name, parent, place in rows]
    plain, body = anatomy.understand(motion_of(rows)), anatomy.understand(motion_of(numbered))
    assert body.kind == "human" and body.convention != "by the tree", body.why
    expected = {role: number[plain.points[i].name] for role, i in plain.roles.items()}
    assert {role: body.points[i].name for role, i in body.roles.items()} == expected


def test_feet_that_legs_reach_for():
    """As in rigs of Quaternius: feet hang on the root, hands are palms, and numbers are L's."""
    rows = [
        ("Bone", None, (0, 0, 0)),
        ("Body", "Bone", (0, 100, 0)),
        ("Hips", "Body", (0, 98, 0)),
        ("Abdomen", "Hips", (0, 112, 0)),
        ("Torso", "Abdomen", (0, 130, 0)),
        ("Neck", "Torso", (0, 150, 0)),
        ("Head", "Neck", (0, 160, 0)),
    ]
    for side, sign in (("L", 1), ("R", -1)):
        rows += [
            (f"Shoulder{side}", "Torso", (sign * 8, 145, 0)),
            (f"UpperArm{side}", f"Shoulder{side}", (sign * 18, 145, 0)),
            (f"LowerArm{side}", f"UpperArm{side}", (sign * 46, 145, 0)),
            *((f"Palm{i}{side}", f"LowerArm{side}", (sign * 72, 145, 3 * i)) for i in (1, 2, 3)),
            (f"UpperLeg{side}", "Body", (sign * 10, 95, 0)),
            (f"LowerLeg{side}", f"UpperLeg{side}", (sign * 10, 50, 1)),
            (f"PoleTarget{side}", "Bone", (sign * 10, 50, 60)),
            (f"Foot{side}", "Bone", (sign * 10, 8, 0)),
        ]
    body = anatomy.understand(motion_of([(name, parent, place) for name, parent, place in rows]))
    assert body.kind == "human", body.why
    assert "by the names" in body.why
    got = {role: body.points[i].name for role, i in body.roles.items()}
    assert (got["left_ankle"], got["right_ankle"]) == ("FootL", "FootR")
    assert got["left_wrist"].startswith("Palm") and got["right_wrist"].startswith("Palm")


def test_a_head_that_is_called_a_control():
    rows = joints_of(NAMINGS["bandai"])
    last = [name for name, *_ in rows if name in ("Neck", "Head")]
    new = {name: f"Body Controller.{i:03d}" for i, name in enumerate(last)}
    rows = [(new.get(name, name), new.get(parent, parent), place) for name, parent, place in rows]
    body = anatomy.understand(motion_of(rows))
    assert "by the names" in body.why, body.why
    assert body.points[body.roles["head"]].name == new["Head"]


@pytest.mark.parametrize(
    ("name", "kind", "part", "side"),
    [
        ("L5", "body", "spine", ""),
        ("Spine_T12", "body", "spine", ""),
        ("Foot.L 1", "body", "foot", "left"),
        ("Bob_L3", "body", "spine", ""),
        ("Bone_L_3", "", "", "left"),
        ("TailL3", "", "", "left"),
        ("UpperArmL_17", "body", "upperarm", "left"),
        ("Foreleg.L", "body", "shin", "left"),
        ("LeftHandThumb1", "finger", "hand", "left"),
        ("LThumb", "finger", "", "left"),
        ("Bip01 L Finger0", "finger", "", "left"),
        ("DEF-f_index.01.L", "finger", "", "left"),
        ("lthumb", "finger", "", "left"),
        ("J_Bip_R_Little2", "finger", "", "right"),
        ("metacarpal1.r", "finger", "", "right"),
        ("LeftEye", "face", "", "left"),
        ("jaw", "face", "", ""),
        ("orbicularis03.l", "face", "", "left"),
        ("upperarm_twist_01_l", "helper", "upperarm", "left"),
        ("ik_foot_r", "helper", "foot", "right"),
        ("LeftForeArmRoll", "helper", "forearm", "left"),
        ("hair_01", "helper", "", ""),
        ("CC_Base_L_KneeShareBone", "helper", "shin", "left"),
        ("Armature", "root", "pelvis", ""),
        ("CC_Base_BoneRoot", "root", "pelvis", ""),
        ("HeadTop_End", "body", "head", ""),
        ("L_UpLeg", "body", "thigh", "left"),
        ("rleg", "body", "leg", "right"),
        ("lowerback", "body", "spine", ""),
        ("lHipJoint", "body", "hip", "left"),
        ("T8", "body", "spine", ""),
        ("C7", "body", "neck", ""),
        ("thigh_l_01", "body", "thigh", "left"),
        ("Toe_L1", "body", "toe", "left"),
        ("hips", "body", "pelvis", ""),
        ("LeftHip", "body", "hip", "left"),
        ("Bone.023", "", "", ""),
    ],
)
def test_what_a_name_says(name, kind, part, side):
    label = names.labels([name])[0]

    assert (label.kind, label.part, label.side) == (kind, part, side)


def test_ends_are_told_from_joints():
    ends = names.labels(["HeadTop_End", "LeftToe_End", "Bip01 HeadNub", "Head_end"])

    assert all(label.end and not label.limb for label in ends)
    assert not names.labels(["Head"])[0].end


def test_the_name_of_an_actor_before_all_joints_is_left_out():
    said = names.labels(["jill_hips", "jill_spine", "jill_neck", "jill_head", "jill_chest"])

    assert [label.part for label in said] == ["pelvis", "spine", "neck", "head", "chest"]


def test_a_joint_whose_name_says_more_than_the_part_stands_back():
    """Unreal's correctives are called after the joints that they correct."""
    rows = joints_of(NAMINGS["unreal"])
    for side, sign in (("l", 1), ("r", -1)):
        rows += [
            (f"wrist_inner_{side}", f"hand_{side}", (sign * 71, 143, 1)),
            (f"calf_knee_{side}", f"calf_{side}", (sign * 9.5, 51, 6)),
            (f"clavicle_out_{side}", f"clavicle_{side}", (sign * 12, 143, 0)),
        ]
    body = anatomy.understand(motion_of(rows))

    left_arm = [body.points[i].name for i in body.chains["left_arm"]]
    assert left_arm[1:] == ["clavicle_l", "upperarm_l", "lowerarm_l", "hand_l"]
    assert body.points[body.roles["left_knee"]].name == "calf_l"


def test_bones_in_two_pieces_start_where_their_first_one_does():
    rows = joints_of(NAMINGS["rigify"])
    place = {name: np.array(at) for name, _, at in rows}
    parents = {name: parent for name, parent, _ in rows}
    names_in_order = [name for name, *_ in rows]
    for side in "LR":
        for bone, end in (("thigh", "shin"), ("shin", "foot"), ("upper_arm", "forearm"),
                          ("forearm", "hand")):  # fmt: skip
            start, end, middle = (
                f"DEF-{bone}.{side}", f"DEF-{end}.{side}", f"DEF-{bone}.{side}.001"
            )  # fmt: skip
            place[middle] = (place[start] + place[end]) / 2
            parents[middle], parents[end] = start, middle
            names_in_order.insert(names_in_order.index(end), middle)
    body = anatomy.understand(
        motion_of([(name, parents[name], place[name]) for name in names_in_order])
    )

    assert [body.points[i].name for i in body.chains["left_leg"]][1:] == [
        "DEF-thigh.L", "DEF-shin.L", "DEF-foot.L", "DEF-toe.L",
    ]  # fmt: skip


def test_a_shoulder_between_the_collar_and_the_upper_arm_is_a_helper():
    """As MakeHuman's default rig has it."""
    rows = [(name, "shoulder01" + name[-2:] if name.startswith("upperarm") else parent, place)
            for name, parent, place in joints_of(NAMINGS["makehuman"])]  # fmt: skip
    for side, sign in (("L", 1), ("R", -1)):
        rows.append((f"shoulder01.{side}", f"clavicle.{side}", (sign * 15, 143, -2)))

    body = anatomy.understand(motion_of(rows))

    assert body.points[body.roles["left_shoulder"]].name == "upperarm01.L"


def test_a_joint_between_chest_and_head_is_the_neck_whatever_it_is_called():
    rows = [
        tuple("vertebra" if part == "neck_01" else part for part in row)
        for row in joints_of(NAMINGS["unreal"])
    ]
    body = anatomy.understand(motion_of(rows))

    assert body.points[body.roles["neck"]].name == "vertebra"
