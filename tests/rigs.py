"""Rigs for tests: a body's joints with the names that programs give them, and other creatures."""

from typing import NamedTuple

import numpy as np

from motionalign.formats.motion import Motion


class Naming(NamedTuple):
    """How a program names the joints of a body.

    `trunk` are the joints from the pelvis to the head, the last but two the chest. `arm` are
    collar, shoulder, elbow and wrist of the left side, `leg` hip, knee, ankle and ball of the
    foot, "-" where the program has none. `sides` are how left and right are written in them.
    """

    convention: str
    trunk: str
    arm: str
    leg: str
    sides: tuple[str, str]
    above: str = ""  # joints above the pelvis


def _n(convention, trunk, arm, leg, sides, above="") -> Naming:
    return Naming(convention, trunk, arm, leg, sides, above)


NAMINGS = {
    "mixamo": _n(
        "Mixamo",
        "mixamorig:Hips mixamorig:Spine mixamorig:Spine1 mixamorig:Spine2 mixamorig:Neck "
        "mixamorig:Head",
        "mixamorig:LeftShoulder mixamorig:LeftArm mixamorig:LeftForeArm mixamorig:LeftHand",
        "mixamorig:LeftUpLeg mixamorig:LeftLeg mixamorig:LeftFoot mixamorig:LeftToeBase",
        ("Left", "Right"),
    ),
    "mixamo, second character": _n(
        "Mixamo",
        "mixamorig1_Hips mixamorig1_Spine mixamorig1_Spine1 mixamorig1_Neck mixamorig1_Head",
        "mixamorig1_LeftShoulder mixamorig1_LeftArm mixamorig1_LeftForeArm mixamorig1_LeftHand",
        "mixamorig1_LeftUpLeg mixamorig1_LeftLeg mixamorig1_LeftFoot mixamorig1_LeftToeBase",
        ("Left", "Right"),
    ),
    "humanik with a namespace": _n(
        "HumanIK",
        "Actor_01:Hips Actor_01:Spine Actor_01:Spine1 Actor_01:Neck Actor_01:Head",
        "Actor_01:LeftShoulder Actor_01:LeftArm Actor_01:LeftForeArm Actor_01:LeftHand",
        "Actor_01:LeftUpLeg Actor_01:LeftLeg Actor_01:LeftFoot Actor_01:LeftToeBase",
        ("Left", "Right"),
        "Actor_01:Reference",
    ),
    "humanik with a prefix": _n(
        "HumanIK",
        "Robot_Hips Robot_Spine Robot_Spine1 Robot_Spine2 Robot_Neck Robot_Head",
        "Robot_LeftShoulder Robot_LeftArm Robot_LeftForeArm Robot_LeftHand",
        "Robot_LeftUpLeg Robot_LeftLeg Robot_LeftFoot Robot_LeftToeBase",
        ("Left", "Right"),
    ),
    "acclaim": _n(
        "CMU (ASF)",
        "root lowerback upperback thorax lowerneck head",
        "lclavicle lhumerus lradius lwrist",
        "lfemur ltibia lfoot ltoes",
        ("l", "r"),
    ),
    "biped": _n(
        "3ds Max Biped",
        "Bip01 Pelvis|Bip01 Spine|Bip01 Spine1|Bip01 Spine2|Bip01 Neck|Bip01 Head",
        "Bip01 L Clavicle|Bip01 L UpperArm|Bip01 L Forearm|Bip01 L Hand",
        "Bip01 L Thigh|Bip01 L Calf|Bip01 L Foot|Bip01 L Toe0",
        (" L ", " R "),
        "Bip01",
    ),
    "valve": _n(
        "3ds Max Biped",
        "ValveBiped.Bip01_Pelvis ValveBiped.Bip01_Spine ValveBiped.Bip01_Spine4 "
        "ValveBiped.Bip01_Neck1 ValveBiped.Bip01_Head1",
        "ValveBiped.Bip01_L_Clavicle ValveBiped.Bip01_L_UpperArm ValveBiped.Bip01_L_Forearm "
        "ValveBiped.Bip01_L_Hand",
        "ValveBiped.Bip01_L_Thigh ValveBiped.Bip01_L_Calf ValveBiped.Bip01_L_Foot "
        "ValveBiped.Bip01_L_Toe0",
        ("_L_", "_R_"),
    ),
    "unreal": _n(
        "Unreal",
        "pelvis spine_01 spine_02 spine_03 neck_01 head",
        "clavicle_l upperarm_l lowerarm_l hand_l",
        "thigh_l calf_l foot_l ball_l",
        ("_l", "_r"),
        "root",
    ),
    "unity": _n(
        "Unity",
        "Hips Spine Chest UpperChest Neck Head",
        "LeftShoulder LeftUpperArm LeftLowerArm LeftHand",
        "LeftUpperLeg LeftLowerLeg LeftFoot LeftToes",
        ("Left", "Right"),
    ),
    "vrm": _n(
        "VRM",
        "J_Bip_C_Hips J_Bip_C_Spine J_Bip_C_Chest J_Bip_C_UpperChest J_Bip_C_Neck J_Bip_C_Head",
        "J_Bip_L_Shoulder J_Bip_L_UpperArm J_Bip_L_LowerArm J_Bip_L_Hand",
        "J_Bip_L_UpperLeg J_Bip_L_LowerLeg J_Bip_L_Foot J_Bip_L_ToeBase",
        ("_L_", "_R_"),
        "Root",
    ),
    "rigify": _n(
        "Rigify",
        "DEF-spine DEF-spine.001 DEF-spine.002 DEF-spine.003 DEF-spine.004 DEF-spine.006",
        "DEF-shoulder.L DEF-upper_arm.L DEF-forearm.L DEF-hand.L",
        "DEF-thigh.L DEF-shin.L DEF-foot.L DEF-toe.L",
        (".L", ".R"),
    ),
    "auto-rig pro": _n(
        "names of parts",
        "root.x spine_01.x spine_02.x spine_03.x neck.x head.x",
        "shoulder.l arm_stretch.l forearm_stretch.l hand.l",
        "thigh_stretch.l leg_stretch.l foot.l toes_01.l",
        (".l", ".r"),
    ),
    "smpl": _n(
        "SMPL",
        "Pelvis Spine1 Spine2 Spine3 Neck Head",
        "L_Collar L_Shoulder L_Elbow L_Wrist",
        "L_Hip L_Knee L_Ankle L_Foot",
        ("L_", "R_"),
    ),
    "smpl, averaged": _n(
        "SMPL",
        "m_avg_Pelvis m_avg_Spine1 m_avg_Spine2 m_avg_Spine3 m_avg_Neck m_avg_Head",
        "m_avg_L_Collar m_avg_L_Shoulder m_avg_L_Elbow m_avg_L_Wrist",
        "m_avg_L_Hip m_avg_L_Knee m_avg_L_Ankle m_avg_L_Foot",
        ("_L_", "_R_"),
        "m_avg_root",
    ),
    "poser": _n(
        "Poser",
        "hip abdomen chest neck head",
        "lCollar lShldr lForeArm lHand",
        "lThigh lShin lFoot lToe",
        ("l", "r"),
    ),
    "daz": _n(
        "DAZ",
        "hip abdomenLower abdomenUpper chestUpper neckLower head",
        "lCollar lShldrBend lForearmBend lHand",
        "lThighBend lShin lFoot lToe",
        ("l", "r"),
    ),
    "xsens": _n(
        "Xsens",
        "Pelvis L5 L3 T12 T8 Neck Head",
        "LeftShoulder LeftUpperArm LeftForeArm LeftHand",
        "LeftUpperLeg LeftLowerLeg LeftFoot LeftToe",
        ("Left", "Right"),
    ),
    "xsens, bvh": _n(
        "Xsens (BVH)",
        "Hips Chest Chest2 Chest3 Chest4 Neck Head",
        "LeftCollar LeftShoulder LeftElbow LeftWrist",
        "LeftHip LeftKnee LeftAnkle LeftToe",
        ("Left", "Right"),
    ),
    "motive": _n(
        "OptiTrack Motive",
        "Hip Ab Chest Neck Head",
        "LShoulder LUArm LFArm LHand",
        "LThigh LShin LFoot LToe",
        ("L", "R"),
    ),
    "motive, with its skeleton's name": _n(
        "OptiTrack Motive",
        "763_Hip 763_Ab 763_Chest 763_Neck 763_Head",
        "763_LShoulder 763_LUArm 763_LFArm 763_LHand",
        "763_LThigh 763_LShin 763_LFoot 763_LToe",
        ("_L", "_R"),
    ),
    "bandai": _n(
        "Bandai Namco",
        "Hips Spine Chest Neck Head",
        "Shoulder_L UpperArm_L LowerArm_L Hand_L",
        "UpperLeg_L LowerLeg_L Foot_L Toes_L",
        ("_L", "_R"),
        "joint_Root",
    ),
    "roblox": _n(
        "Roblox",
        "LowerTorso UpperTorso Head",
        "- LeftUpperArm LeftLowerArm LeftHand",
        "LeftUpperLeg LeftLowerLeg LeftFoot -",
        ("Left", "Right"),
        "HumanoidRootPart",
    ),
    "character creator": _n(
        "Character Creator",
        "CC_Base_Hip CC_Base_Waist CC_Base_Spine01 CC_Base_Spine02 CC_Base_NeckTwist01 "
        "CC_Base_Head",
        "CC_Base_L_Clavicle CC_Base_L_Upperarm CC_Base_L_Forearm CC_Base_L_Hand",
        "CC_Base_L_Thigh CC_Base_L_Calf CC_Base_L_Foot CC_Base_L_ToeBase",
        ("_L_", "_R_"),
        "CC_Base_BoneRoot",
    ),
    "second life": _n(
        "Second Life",
        "mPelvis mTorso mChest mNeck mHead",
        "mCollarLeft mShoulderLeft mElbowLeft mWristLeft",
        "mHipLeft mKneeLeft mAnkleLeft mFootLeft",
        ("Left", "Right"),
    ),
    "advanced skeleton": _n(
        "Advanced Skeleton",
        "Root_M Spine1_M Chest_M Neck_M Head_M",
        "Scapula_L Shoulder_L Elbow_L Wrist_L",
        "Hip_L Knee_L Ankle_L Toes_L",
        ("_L", "_R"),
    ),
    "ipi": _n(
        "iPi",
        "Hip LowerSpine MiddleSpine Chest Neck Head",
        "LClavicle LShoulder LForearm LHand",
        "LThigh LShin LFoot LToe",
        ("L", "R"),
    ),
    "rokoko": _n(
        "names of parts",
        "Hips Spine1 Spine2 Spine3 Neck Head",
        "LeftShoulder LeftArm LeftForeArm LeftHand",
        "LeftThigh LeftShin LeftFoot LeftToe",
        ("Left", "Right"),
    ),
    "joints called by bones' ends": _n(
        "names of parts",
        "pelvis_joint spine_joint chest_joint neck_joint head_joint",
        "l_clavicle_joint l_shoulder_joint l_elbow_joint l_wrist_joint",
        "l_hip_joint l_knee_joint l_ankle_joint l_ball_joint",
        ("l_", "r_"),
    ),
    "makehuman": _n(
        "names of parts",
        "root spine05 spine03 spine01 neck01 head",
        "clavicle.L upperarm01.L lowerarm01.L wrist.L",
        "upperleg01.L lowerleg01.L foot.L toe2-1.L",
        (".L", ".R"),
    ),
    "parts that are named by what they are above": _n(
        "names of parts",
        "pelvis torso chest neck head",
        "collar_l arm_l arm_lower_l hand_l",
        "leg_l leg_lower_l foot_l toes_l",
        ("_l", "_r"),
    ),
    "biovision": _n(
        "Biovision",
        "Hips Chest Neck Head",
        "LeftCollar LeftUpArm LeftLowArm LeftHand",
        "LeftUpLeg LeftLowLeg LeftFoot -",
        ("Left", "Right"),
    ),
    "maya, sides last": _n(
        "names of parts",
        "hips_jnt spine1_jnt spine2_jnt neck_jnt head_jnt",
        "clavicle_lft_jnt shoulder_lft_jnt elbow_lft_jnt wrist_lft_jnt",
        "hip_lft_jnt knee_lft_jnt ankle_lft_jnt ball_lft_jnt",
        ("_lft", "_rgt"),
    ),
    "one letter at the end": _n(
        "names of parts",
        "Hips SpineA SpineB Neck Head",
        "ClavicleL UpperArmL ForearmL HandL",
        "ThighL CalfL FootL ToeL",
        ("L", "R"),
    ),
}  # fmt: skip

# In centimetres, Y up, facing +Z. The trunk's joints are spread between pelvis and chest.
_PELVIS, _CHEST, _NECK, _HEAD = (0, 98, 0), (0, 130, -1), (0, 148, 0), (0, 158, 2)
_ARM = ((5, 142, -1), (17, 143, -2), (45, 143, -3), (71, 143, -2))
_LEG = ((9, 93, 0), (9.5, 51, 1), (9.5, 9, -2), (9.5, 1, 12))


def joints_of(naming: Naming) -> list[tuple[str, str | None, tuple[float, ...]]]:
    """(name, parent, position) of a body's joints, as a program names them."""
    rows: list[tuple[str, str | None, tuple[float, ...]]] = []
    above = None
    for name in naming.above.split("|") if naming.above else []:
        rows.append((name, above, (0.0, 0.0, 0.0)))
        above = name
    trunk = _split(naming.trunk)
    has_neck = len(trunk) > 3
    chest = len(trunk) - (3 if has_neck else 2)
    for i, name in enumerate(trunk):
        if i <= chest:
            share = i / max(chest, 1)
            place = tuple(a + share * (b - a) for a, b in zip(_PELVIS, _CHEST, strict=True))
        else:
            place = _HEAD if i == len(trunk) - 1 else _NECK
        rows.append((name, above, place))
        above = name
    for names, places, start in (
        (_split(naming.arm), _ARM, trunk[chest]),
        (_split(naming.leg), _LEG, trunk[0]),
    ):
        for sign, side in ((1, naming.sides[0]), (-1, naming.sides[1])):
            above = start
            for name, (x, y, z) in zip(names, places, strict=True):
                if name != "-":
                    other = _other_side(name, naming.sides[0], side)
                    rows.append((other, above, (sign * x, y, z)))
                    above = other
    return rows


def _split(names: str) -> list[str]:
    return names.split("|") if "|" in names else names.split()


def _other_side(name: str, left: str, side: str) -> str:
    """The name with the side; the last place where the left one is written, or the first."""
    if name.startswith(left):
        return side + name[len(left) :]
    before, _, after = name.rpartition(left)
    return before + side + after


def in_order(rows):
    """The rows with parents before their children, otherwise in their order."""
    parents = {name: parent for name, parent, _ in rows}

    def depth(name: str) -> int:
        return 0 if parents[name] is None else 1 + depth(parents[name])

    depths = [depth(name) for name, *_ in rows]
    if all(
        parent is None or any(name == parent for name, *_ in rows[:i])
        for i, (_, parent, _) in enumerate(rows)
    ):
        return rows
    return [row for _, row in sorted(zip(depths, rows, strict=True), key=lambda pair: pair[0])]


def motion_of(rows, frames: int = 4, scale: float = 1.0, **fields) -> Motion:
    """A motion of joints that sway a little; rows are (name, parent, position), in any order."""
    rows = in_order(rows)
    names = [name for name, *_ in rows]
    parents = tuple(-1 if parent is None else names.index(parent) for _, parent, _ in rows)
    rest = scale * np.array([place for *_, place in rows], float)
    sway = scale * np.linspace(0, 1, frames)[:, None, None, None]
    settings = {"fps": 30.0, "parents": parents} | fields
    return Motion(
        "clip", "test", joint_names=tuple(names), positions=rest[None, None] + sway, **settings
    )
