"""Rigs of many programs, by the names of their joints."""

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


@pytest.mark.parametrize(
    ("name", "kind", "part", "side"),
    [
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
