"""What a motion is: the parts of a body, or what it is instead."""

import dataclasses
import importlib
import time

import numpy as np
import pytest
from rigs import NAMINGS, joints_of, motion_of

from motionalign import anatomy
from motionalign.anatomy import sets, understand
from motionalign.formats.motion import Motion, distinct
from motionalign.formats.skeleton_file import SkeletonFile

understand_module = importlib.import_module("motionalign.anatomy.understand")

LIMBS = ("right_leg", "left_leg", "torso", "right_arm", "left_arm")


def chain(body: anatomy.Body, part: str) -> list[str]:
    return [body.points[i].name for i in body.chains[part]]


def mixamo(fingers: bool = True) -> list:
    """A body with fingers, eyes and the end of the head, in centimetres."""
    rows = [(name.removeprefix("mixamorig:"), parent and parent.removeprefix("mixamorig:"), place)
            for name, parent, place in joints_of(NAMINGS["mixamo"])]  # fmt: skip
    rows.append(("HeadTop_End", "Head", (0, 177, 3)))
    for side, sign in (("Left", 1), ("Right", -1)):
        rows.append((f"{side}Eye", "Head", (sign * 3, 166, 10)))
        for i, finger in enumerate(("Thumb", "Index", "Middle") if fingers else ()):
            parent = f"{side}Hand"
            for number in (1, 2, 3):
                name = f"{side}Hand{finger}{number}"
                rows.append((name, parent, (sign * (76 + 4 * number), 143, 3 * (1 - i))))
                parent = name
    return rows


def replaced(rows, **names):
    """Rows in which joints have other names."""
    return [
        (names.get(name, name), parent and names.get(parent, parent), place)
        for name, parent, place in rows
    ]


def reparented(rows, **parents):
    return [(name, parents.get(name, parent), place) for name, parent, place in rows]


def test_a_rig_is_understood_by_its_names():
    body = understand(motion_of(mixamo()))

    assert (body.kind, body.finding) == ("human", None)
    assert chain(body, "torso") == "Hips Spine Spine1 Spine2 Neck Head HeadTop_End".split()
    assert chain(body, "left_leg") == ["Hips", "LeftUpLeg", "LeftLeg", "LeftFoot", "LeftToeBase"]
    assert chain(body, "right_arm") == [
        "Spine2", "RightShoulder", "RightArm", "RightForeArm", "RightHand",
    ]  # fmt: skip
    assert len(body.left_out["fingers"]) == 18
    assert body.left_out["face"] == ("LeftEye", "RightEye")
    anatomy.require_human(body, "clip.bvh")


def test_arms_that_hang_on_the_neck_and_legs_on_the_spine():
    """As in 3ds Max Biped: the root is called pelvis, and clavicles are children of the neck."""
    rows = reparented(
        joints_of(NAMINGS["biped"]),
        **{
            "Bip01 L Clavicle": "Bip01 Neck",
            "Bip01 R Clavicle": "Bip01 Neck",
            "Bip01 L Thigh": "Bip01 Spine",
            "Bip01 R Thigh": "Bip01 Spine",
        },
    )
    body = understand(motion_of(rows))

    assert chain(body, "left_leg")[:2] == ["Bip01 Pelvis", "Bip01 L Thigh"]
    assert chain(body, "torso") == [
        "Bip01 Pelvis", "Bip01 Spine", "Bip01 Spine1", "Bip01 Spine2", "Bip01 Neck", "Bip01 Head",
    ]  # fmt: skip
    assert chain(body, "left_arm")[:2] == ["Bip01 Spine2", "Bip01 L Clavicle"]


def test_a_pelvis_beside_the_spine():
    """As in Character Creator: legs hang on a pelvis below the hip, and the spine on the hip."""
    rows = joints_of(NAMINGS["character creator"])
    rows.append(("CC_Base_Pelvis", "CC_Base_Hip", (0, 98, 0)))
    rows = reparented(rows, CC_Base_L_Thigh="CC_Base_Pelvis", CC_Base_R_Thigh="CC_Base_Pelvis")

    body = understand(motion_of(rows))

    assert chain(body, "left_leg")[:2] == ["CC_Base_Hip", "CC_Base_L_Thigh"]
    assert chain(body, "torso")[:2] == ["CC_Base_Hip", "CC_Base_Waist"]
    assert "CC_Base_Pelvis" in body.left_out["helpers"]


def test_twists_and_targets_are_left_out():
    rows = joints_of(NAMINGS["unreal"])
    for side, sign in (("l", 1), ("r", -1)):
        rows += [
            (f"upperarm_twist_01_{side}", f"upperarm_{side}", (sign * 30, 143, -2)),
            (f"thigh_twist_01_{side}", f"thigh_{side}", (sign * 9, 70, 0)),
            (f"ik_foot_{side}", "root", (sign * 9, 9, -2)),
        ]
    body = understand(motion_of(rows))

    assert chain(body, "left_leg") == ["pelvis", "thigh_l", "calf_l", "foot_l", "ball_l"]
    assert {"upperarm_twist_01_l", "thigh_twist_01_r", "ik_foot_l", "root"} <= set(
        body.left_out["helpers"]
    )


def test_a_twist_between_two_joints_of_a_limb_leaves_the_chain_whole():
    rows = joints_of(NAMINGS["rigify"])
    for side, sign in (("L", 1), ("R", -1)):
        rows.append((f"DEF-thigh.{side}.001", f"DEF-thigh.{side}", (sign * 9, 70, 0)))
    rows = reparented(rows, **{f"DEF-shin.{side}": f"DEF-thigh.{side}.001" for side in "LR"})
    body = understand(motion_of(rows))

    assert chain(body, "left_leg")[1:4] == ["DEF-thigh.L", "DEF-shin.L", "DEF-foot.L"]
    assert "DEF-thigh.L.001" in body.left_out["helpers"]


@pytest.mark.parametrize(
    ("length", "role"), [(13.0, "left_foot"), (17.0, "left_foot"), (19.0, "left_toe")]
)
def test_an_end_below_an_ankle_is_the_ball_of_the_foot_or_the_tip_of_the_toes(length, role):
    """By its distance: the shin is 42 long."""
    rows = [row for row in mixamo() if "Toe" not in row[0]]
    for side, sign in (("Left", 1), ("Right", -1)):
        rows.append((f"{side}Foot_end", f"{side}Foot", (sign * 9.5, 9 - 3, -2 + length)))
    body = understand(motion_of(rows))

    assert body.points[body.roles[role]].name == "LeftFoot_end"
    assert not {"left_foot", "left_toe"} - {role} & body.roles.keys()


def test_an_end_straight_below_an_ankle_is_the_sole():
    rows = [row for row in mixamo() if "Toe" not in row[0]]
    for side, sign in (("Left", 1), ("Right", -1)):
        rows.append((f"{side}Foot_end", f"{side}Foot", (sign * 9.5, 0, -2)))
    body = understand(motion_of(rows))

    assert chain(body, "left_leg")[-1] == "LeftFoot"
    assert set(body.left_out["ends"]) >= {"LeftFoot_end", "RightFoot_end"}


def test_several_persons_have_one_body():
    clip = motion_of(mixamo(), frames=6)
    absent = np.full_like(clip.positions, np.nan)
    absent[3:] = clip.positions[3:] + 200
    both = np.concatenate([clip.positions, absent], axis=1)

    body = understand(dataclasses.replace(clip, positions=both, persons=("a", "b")))

    assert (body.kind, body.unit_in_metres, body.up) == ("human", 0.01, "y")


def two_bodies():
    """Two bodies below one root, in namespaces of their own."""
    rows = [("World", None, (0, 0, 0))]
    for actor, x in (("A", -60), ("B", 60)):
        rows += [
            (f"{actor}:{name}", f"{actor}:{parent}" if parent else "World", (px + x, py, pz))
            for name, parent, (px, py, pz) in mixamo(fingers=False)
        ]
    return rows


def test_of_two_bodies_in_one_tree_the_first_is_taken_and_a_note_says_so():
    body = understand(motion_of(two_bodies()))

    assert {point.name[:2] for point in body.points} == {"A:"}
    assert any("B:Hips" in note and "left out" in note for note in body.notes)


def test_two_bodies_without_names_are_not_taken_for_one():
    body = understand(motion_of(scrambled(two_bodies())[0]))

    assert (body.kind, "4 pairs of equal limbs" in body.why) == ("unknown", True)


# ---------------------------------------------------------------------------- names that lie


def test_names_that_the_tree_contradicts_are_not_believed():
    """Knees called ankles, and ankles knees: the tree is right."""
    rows = replaced(mixamo(), LeftLeg="LeftFoot", LeftFoot="LeftLeg")

    body = understand(motion_of(rows))

    assert (body.kind, body.convention) == ("human", "by the tree")
    assert chain(body, "left_leg") == ["Hips", "LeftUpLeg", "LeftFoot", "LeftLeg", "LeftToeBase"]
    assert "names and tree disagree" in body.notes[0]


def test_an_arm_on_the_other_side_is_not_believed():
    """Both arms are called by the other side's names, and the legs by their own."""
    arm = ("Shoulder", "Arm", "ForeArm", "Hand")
    swap = {f"Left{part}": f"Right{part}" for part in arm}
    swap |= {right: left for left, right in swap.items()}
    rows = replaced(mixamo(fingers=False), **swap)

    body = understand(motion_of(rows))

    assert body.convention == "by the tree"
    assert chain(body, "left_arm")[1:] == [f"Right{part}" for part in arm]
    assert "the left arm would be on the side of the right leg" in body.notes[0]


def test_mirrored_names_are_a_finding():
    """All of the left side is called right: names and tree agree, but the toes tell."""
    sides = {"Left": "Right", "Right": "Left"}
    names = {
        name: sides[side] + name[len(side) :]
        for name, *_ in mixamo()
        for side in sides
        if name.startswith(side)
    }
    body = understand(motion_of(replaced(mixamo(), **names)))

    assert body.kind == "human"
    assert body.finding is not None
    assert body.finding.reason == "handedness"


def test_bones_that_no_body_has_are_not_believed():
    rows = [
        (name, parent, (x, y + 200 * name.startswith("LeftFoot"), z))
        for name, parent, (x, y, z) in mixamo()
    ]
    body = understand(motion_of(rows))

    assert body.kind == "unknown"
    assert "left thigh would be" in body.why or "left shin would be" in body.why


# ---------------------------------------------------------------------------- not a human


def quadruped(scale: float = 1.0) -> list:
    """A dog with the names of a human rig, as motion capture of animals has them."""
    rows = [
        ("Hips", None, (0, 60, -35)), ("Spine", "Hips", (0, 62, -10)),
        ("Spine1", "Spine", (0, 62, 20)), ("Neck", "Spine1", (0, 72, 32)),
        ("Head", "Neck", (0, 82, 40)), ("Tail", "Hips", (0, 60, -45)),
        ("Tail1", "Tail", (0, 55, -60)),
    ]  # fmt: skip
    for side, sign in (("Left", 1), ("Right", -1)):
        rows += [
            (f"{side}UpLeg", "Hips", (sign * 8, 56, -36)),
            (f"{side}Leg", f"{side}UpLeg", (sign * 8, 35, -28)),
            (f"{side}Foot", f"{side}Leg", (sign * 8, 14, -40)),
            (f"{side}ToeBase", f"{side}Foot", (sign * 8, 1, -35)),
            (f"{side}Shoulder", "Spine1", (sign * 7, 60, 24)),
            (f"{side}Arm", f"{side}Shoulder", (sign * 8, 48, 28)),
            (f"{side}ForeArm", f"{side}Arm", (sign * 8, 30, 22)),
            (f"{side}Hand", f"{side}ForeArm", (sign * 8, 9, 24)),
        ]
    return [(name, parent, tuple(scale * x for x in place)) for name, parent, place in rows]


def star(root: str, rows: int, each: int, name: str) -> list:
    """A root with branches of joints, as a hand has fingers."""
    out = [(root, None, (0, 100, 0))]
    for row in range(rows):
        parent = root
        for number in range(each):
            joint = name.format(row=row, number=number + 1)
            out.append((joint, parent, (2 * row, 100, 8 + 3 * number)))
            parent = joint
    return out


def is_leg(name: str, *more: str) -> bool:
    return any(word in name for word in ("Leg", "Foot", "Toe", *more))


NOT_HUMAN = {
    "camera": ("camera", [("Camera", None, (0, 150, 300))]),
    "a camera and its target": (
        "camera", [("Camera01", None, (0, 150, 300)), ("Camera01.Target", "Camera01", (0, 100, 0))],
    ),
    "sword": ("prop", [("sword", None, (0, 100, 0)), ("blade", "sword", (0, 180, 0))]),
    "chair": (
        "prop",
        [("Chair", None, (0, 40, 0)), ("seat", "Chair", (0, 45, 0)), ("b", "seat", (0, 90, -20))],
    ),
    "one unnamed node": ("prop", [("RigidBody_001", None, (0, 0, 0))]),
    "hand": (
        "hand",
        [
            (name, parent, place)
            for name, parent, place in star("LeftHand", 5, 3, "LeftHand{row}Index{number}")
        ],
    ),
    "car": (
        "prop",
        [("Car", None, (0, 50, 0))]
        + [(f"Wheel{x}{z}", "Car", (90 * x, 30, 150 * z)) for x in (0, 1) for z in (0, 1)]
        + [(f"Door{i}", "Car", (90, 80, 50 * i)) for i in range(4)],
    ),
    "cat": (
        "animal",
        [("body", None, (0, 20, 0)), ("tail", "body", (0, 25, -30))]
        + [(f"{where}{side}Leg", "body", (5, 10, 20))
           for where in ("Front", "Back") for side in ("Left", "Right")],
    ),
    "unnamed hand": ("hand", star("b", 5, 4, "b{row}{number}")),
    "unnamed forearm and hand": (
        "hand", [("a", None, (0, 100, -25)), ("b", "a", (0, 100, 0)),
                 *star("b", 5, 3, "b{row}{number}")[1:]],
    ),
    "face": ("face", star("Head", 6, 1, "brow_{row}_{number}")),
    "dog": ("animal", quadruped()),
    "horse": (
        "animal",
        star("spine", 1, 6, "spine{number}")
        + [(f"{where}_{part}_{side}", "spine", (x, y, 0))
           for where in ("front", "hind") for side, x in (("l", 5), ("r", -5))
           for part, y in (("upper", 60), ("hoof", 2))],
    ),
    "unnamed dog": ("animal", [
        (f"b{name}", parent and f"b{parent}", place)
        for name, parent, place in replaced(
            quadruped(), **{row[0]: f"{i:03}" for i, row in enumerate(quadruped())}
        )
    ]),
    "upper body": ("upper body", [row for row in mixamo() if not is_leg(row[0], "Hips")]),
    "upper body with hips": ("upper body", [row for row in mixamo() if not is_leg(row[0])]),
    "lower body": ("lower body", [row for row in mixamo() if is_leg(row[0], "Hips")]),
    "body without one arm": (
        "unknown",
        [row for row in mixamo() if not row[0].startswith(("LeftArm", "LeftFore", "LeftHand"))],
    ),
    "chain": (
        "unknown", [(f"link{i}", f"link{i - 1}" if i else None, (0, 10 * i, 0)) for i in range(12)],
    ),
}  # fmt: skip


def test_markers_of_a_rigid_body_are_a_prop():
    rng = np.random.default_rng(0)
    rows = [(f"Racket:Marker{i}", None, tuple(rng.uniform(0, 60, 3))) for i in range(8)]
    rigid = motion_of(rows, frames=12, parents=None, scale=10)
    soft = dataclasses.replace(
        rigid, positions=rigid.positions + rng.normal(0, 30, rigid.positions.shape)
    )

    assert understand(rigid).kind == "prop"
    assert understand(soft).kind == "unknown"


def test_an_arm_of_three_joints():
    """Shoulder, arm and hand: the arm is the elbow there."""
    rows = [
        (name, parent, place)
        for name, parent, place in replaced(
            mixamo(fingers=False),
            **{f"{side}{old}": f"{side}{new}" for side in ("Left", "Right") for old, new in
               (("Shoulder", "Base"), ("Arm", "Shoulder"), ("ForeArm", "Arm"))},
        )
    ]  # fmt: skip
    body = understand(motion_of(rows))

    assert chain(body, "left_arm")[1:] == ["LeftShoulder", "LeftArm", "LeftHand"]
    assert body.points[body.roles["left_elbow"]].name == "LeftArm"


def test_what_is_missing_of_a_limb_is_told():
    rows = [row for row in mixamo() if not row[0].startswith(("LeftArm", "LeftFore", "LeftHand"))]

    body = understand(motion_of(rows))

    assert "left elbow and wrist missing" in body.why
    assert "by the tree, it has one pair of equal limbs" in body.why


@pytest.mark.parametrize("what", NOT_HUMAN)
def test_what_is_no_human_is_refused_by_name(what):
    kind, rows = NOT_HUMAN[what]
    known = {name for name, *_ in rows}
    rows = [(name, parent if parent in known else None, place) for name, parent, place in rows]

    body = understand(motion_of(rows))

    assert body.kind == kind, body.why
    assert body.why
    assert not body.chains
    with pytest.raises(anatomy.NotHuman, match=r"^take\.fbx: ") as refusal:
        anatomy.require_human(body, "take.fbx")
    assert "\n" not in str(refusal.value)
    assert refusal.value.body is body


def test_a_sole_below_the_ankle_is_not_the_ball_of_the_foot():
    """Toes that go forwards from it do so from the ankle, as if the sole were not there."""
    rows = mixamo(fingers=False)
    y = {name: place[1] for name, _, place in rows}
    for side in ("Left", "Right"):
        x, z = next((at[0], at[2]) for name, _, at in rows if name == f"{side}Foot")
        rows = [row for row in rows if row[0] != f"{side}ToeBase"]
        rows += [(f"{side}ForeFoot", f"{side}Foot", (x, y[f"{side}Foot"] - 6, z)),
                 (f"{side}ForeFoot_end", f"{side}ForeFoot", (x, 2, z + 22))]  # fmt: skip
    body = understand(motion_of(rows))
    assert chain(body, "left_leg")[-2:] == ["LeftFoot", "LeftForeFoot_end"]
    pointed = [(name, parent, (x, y - 60, z - 20) if name.endswith("_end") else (x, y, z))
               for name, parent, (x, y, z) in rows]  # fmt: skip
    assert chain(understand(motion_of(pointed)), "left_leg")[-2] == "LeftForeFoot"


def test_a_fox_that_sits_or_runs_is_an_animal():
    """Its spine rises, and its legs are never parallel, but its front legs are the longer ones."""
    rows = [(name, parent, (x, y + 0.45 * z if "Foot" not in name else y, z))
            for name, parent, (x, y, z) in quadruped()]  # fmt: skip
    arms = [
        (name, parent, (x, y - 14 if "Hand" in name else y, z)) for name, parent, (x, y, z) in rows
    ]
    arms = [row for row in arms if not row[0].startswith("Tail")]
    standing = motion_of(arms)
    assert understand(standing).kind == "animal"

    running = standing.positions.copy()
    forwards = np.array([[1, 0, 0], [0, 0.2, 0.98], [0, -0.98, 0.2]])
    at = {name: joint for joint, name in enumerate(standing.joint_names)}
    for side in ("Left", "Right"):
        below = [at[f"{side}ForeArm"], at[f"{side}Hand"]]
        shoulder = standing.positions[:, :, [at[f"{side}Arm"]]]
        running[:, :, below] = shoulder + (standing.positions[:, :, below] - shoulder) @ forwards
    moved = dataclasses.replace(standing, positions=running, rest=standing.positions[0, 0])
    assert understand(moved).kind == "animal"
    assert understand(dataclasses.replace(moved, rest=None)).kind != "animal"


@pytest.mark.parametrize(
    "name", ["{side}-{pair}leg", "{pair}UpperLeg.{side}", "{pair}_foot_{side}"]
)
def test_front_and_back_legs_are_an_animals(name):
    rows = [("Body", None, (0, 30, 0)), ("eyes", "Body", (0, 40, 20))]
    for pair, z in (("front", 15), ("back", -15)):
        for side, x in (("l", 10), ("r", -10)):
            upper = name.format(side=side, pair=pair)
            rows += [(upper, "Body", (x, 28, z)), (f"{upper}001", upper, (x, 10, z))]
    body = understand(motion_of(rows))
    assert (body.kind, body.why) == ("animal", "its joints are called front and back legs")


def test_a_human_on_all_fours_is_no_animal():
    rows = []
    for name, parent, (x, y, z) in mixamo():
        # The trunk is level: what is above the hips turns forwards, and the arms hang down.
        above = y > 98
        if "Arm" in name or "Hand" in name:
            place = (17 * np.sign(x), 45 - 0.9 * (abs(x) - 17), 45.0)
        else:
            place = (x, 50.0 + z, y - 98.0) if above else (x, y - 48.0, z)
        if "Leg" in name and "Up" not in name:
            place = (x, 2.0, 5.0)
        if "Foot" in name or "Toe" in name:
            place = (x, 2.0, -37.0 - 12 * ("Toe" in name))
        rows.append((name, parent, place))

    assert understand(motion_of(rows)).kind == "human"


def test_keypoints_of_an_image_have_no_unit():
    names = (
        "nose left_eye right_eye left_ear right_ear left_shoulder right_shoulder left_elbow "
        "right_elbow left_wrist right_wrist left_hip right_hip left_knee right_knee left_ankle "
        "right_ankle"
    ).split()
    rows = [(name, None, (10.0 * i, 3.0 * i, 0.9)) for i, name in enumerate(names)]
    body = understand(motion_of(rows, parents=None, dims=2))

    assert (body.kind, body.convention) == ("human", "COCO-17")
    assert (body.unit_in_metres, body.up, body.height, body.finding) == (None, None, None, None)
    assert tuple(body.chains) == LIMBS


def of_set(name: str, missing: tuple[str, ...]) -> Motion:
    """Points of a known set, of which some are named and never measured."""
    known = next(each for each in sets.SETS if each.name == name)
    positions = np.random.default_rng(0).normal(size=(5, 1, len(known.labels), 3))
    for label in missing:
        positions[:, :, known.labels.index(label)] = np.nan
    return Motion("clip", "C3D", known.labels, None, positions, 30.0)


def test_points_that_are_never_measured_are_placed_by_others():
    """A person in profile shows one ear; a set of markers may be named whole and worn by half."""
    body = understand(of_set("OpenPose BODY-25", ("RightEar",)))
    head = next(point for point in body.points if point.role == "head")
    assert (body.kind, head.name) == ("human", "Nose")

    upper = ("LSHO", "RSHO", "LELB", "RELB", "C7", "CLAV", "LWRA", "LWRB", "STRN", "T10", "LEJC",
             "REJC", "LWJC", "RWJC", "LSJC", "RSJC", "LCLO", "RCLO", "LHUO", "RHUO", "LRAO",
             "RRAO", "LWRI", "RWRI", "RWRA", "RWRB")  # fmt: skip
    assert understand(of_set("Plug-in Gait", upper)).kind == "lower body"
    everything = next(each for each in sets.SETS if each.name == "OpenPose BODY-25").labels
    assert understand(of_set("OpenPose BODY-25", everything)).kind == "human"


def test_keypoints_among_the_joints_of_a_rig_are_not_all_of_it():
    """A rig with a nose, eyes and ears has the names of COCO's keypoints, and a spine besides."""
    rows = [row for row in joints_of(NAMINGS["smpl"]) if "Foot" not in row[0]]
    rows.append(("nose", "Head", (0, 160, 10)))
    rows += [(f"{side}_{part}", "Head", (x, 163, z)) for side, x in (("left", 4), ("right", -4))
             for part, z in (("eye", 9), ("ear", 0))]  # fmt: skip
    assert sets.match([name for name, *_ in rows])[0].name == "OpenPose COCO-18"

    body = understand(motion_of(rows))

    assert (body.points[body.roles["pelvis"]].name, body.sensor) == ("Pelvis", "optical")


def test_names_without_a_tree():
    rows = mixamo()
    body = understand(motion_of(rows, parents=None))

    assert body.kind == "human"
    assert chain(body, "left_arm") == [
        "Spine2", "LeftShoulder", "LeftArm", "LeftForeArm", "LeftHand",
    ]  # fmt: skip
    assert chain(body, "torso") == ["Hips", "Spine", "Spine1", "Spine2", "Neck", "Head"]


# ---------------------------------------------------------------------------- skeleton files


def scrambled(rows):
    """Rows without names that say something, and the new name of each joint."""
    names = {name: f"p{i * 7919 % 1000:03}" for i, (name, *_) in enumerate(rows)}
    return replaced(rows, **names), names


def test_a_skeleton_file_states_roles():
    rows, names = scrambled(mixamo())
    limbs = {"hip": "UpLeg", "knee": "Leg", "ankle": "Foot"}
    limbs |= {"shoulder": "Arm", "elbow": "ForeArm", "wrist": "Hand"}
    roles = {
        f"{side.lower()}_{role}": (names[side + name],)
        for side in ("Left", "Right")
        for role, name in limbs.items()
    }
    roles |= {"pelvis": (names["Hips"],), "chest": (names["Spine2"],), "head": (names["Head"],)}
    stated = SkeletonFile(roles=roles, convention="ours", unit="cm", up="y")

    body = understand(motion_of(rows), stated)

    assert (body.kind, body.convention) == ("human", "ours")
    assert (body.unit_known, body.up_known) == ("declared", "declared")
    assert body.roles.keys() >= roles.keys()
    assert all(body.points[body.roles[role]].name == name for role, (name,) in roles.items())


def test_a_role_of_a_skeleton_file_goes_before_the_names():
    stated = SkeletonFile(roles={"left_knee": ("LeftLeg", "inner"), "head": ("HeadTop_End",)})
    rows = [*mixamo(), ("inner", "LeftLeg", (6, 51, 1))]

    body = understand(motion_of(rows), stated)

    knee = body.points[body.roles["left_knee"]]
    names = [name for name, *_ in rows]
    assert knee.weights == ((names.index("LeftLeg"), 0.5), (names.index("inner"), 0.5))
    assert body.points[body.roles["head"]].name == "HeadTop_End"


def test_a_skeleton_file_states_chains():
    rows, names = scrambled(mixamo())
    chains = {
        part: tuple(names[name] for name in listed.split())
        for part, listed in {
            "right_leg": "Hips RightUpLeg RightLeg RightFoot RightToeBase",
            "left_leg": "Hips LeftUpLeg LeftLeg LeftFoot LeftToeBase",
            "torso": "Hips Spine Spine2 Head",
            "right_arm": "Spine2 RightShoulder RightArm RightForeArm RightHand",
            "left_arm": "Spine2 LeftShoulder LeftArm LeftForeArm LeftHand",
        }.items()
    }
    body = understand(motion_of(rows), SkeletonFile(chains=chains))

    assert {part: tuple(chain(body, part)) for part in LIMBS} == chains
    got = {role: body.points[i].name for role, i in body.roles.items()}
    assert got["left_wrist"] == names["LeftHand"]
    assert got["left_collar"] == names["LeftShoulder"]
    assert (got["chest"], got["head"]) == (names["Spine2"], names["Head"])
    assert (body.unit_in_metres, body.up) == (0.01, "y")


def test_chains_of_few_joints_are_not_measured():
    chains = {
        "right_leg": ("RightUpLeg", "RightFoot"),
        "left_leg": ("LeftUpLeg", "LeftFoot"),
        "torso": ("Hips", "Head"),
        "right_arm": ("RightArm", "RightHand"),
        "left_arm": ("LeftArm", "LeftHand"),
    }
    body = understand(motion_of(mixamo()), SkeletonFile(chains=chains, unit="cm", up="y"))

    assert (body.kind, body.height, body.unit_in_metres, body.up) == ("human", None, 0.01, "y")
    assert any("too few joints" in note for note in body.notes)


def test_legs_without_a_pelvis_are_measured_from_the_root():
    limbs = {"leg": "UpLeg Leg Foot ToeBase", "arm": "Arm ForeArm Hand"}
    chains = {
        f"{side}_{limb}": tuple(side.title() + name for name in names.split())
        for side in ("left", "right")
        for limb, names in limbs.items()
    }
    chains["torso"] = ("Hips", "Spine", "Spine2", "Head")

    body = understand(motion_of(mixamo()), SkeletonFile(chains=chains))

    assert (body.kind, body.finding, body.unit_in_metres) == ("human", None, 0.01)
    assert body.height == pytest.approx(1.74, abs=0.1)
    assert chain(body, "left_leg")[0] == "LeftUpLeg"


def test_a_role_of_a_skeleton_file_goes_before_the_set_of_markers():
    names = "LASI RASI LPSI RPSI C7 LFHD RFHD LBHD RBHD".split()
    names += [s + n for s in "LR" for n in "KNE ANK TOE SHO ELB WRA WRB KNX".split()]
    rng = np.random.default_rng(0)
    rows = [(name, None, tuple(rng.uniform(0, 100, 3))) for name in names]
    plain = understand(motion_of(rows, parents=None))
    stated = SkeletonFile(roles={"left_knee": ("LKNE", "LKNX"), "left_collar": ("LSHO",)})

    body = understand(motion_of(rows, parents=None), stated)

    assert plain.convention == body.convention == "Plug-in Gait"
    knee = body.points[body.roles["left_knee"]].weights
    assert knee == ((names.index("LKNE"), 0.5), (names.index("LKNX"), 0.5))
    assert [i for i, point in enumerate(body.points) if point != plain.points[i]] == [
        body.roles["left_knee"]
    ]
    assert any("left_collar" in note for note in body.notes)


def test_a_skeleton_file_of_other_joints_is_refused():
    stated = SkeletonFile(roles={"left_knee": ("LKNE",)})

    with pytest.raises(ValueError, match="LKNE"):
        understand(motion_of(mixamo()), stated)


# ---------------------------------------------------------------------------- anything


def changed(rng: np.random.Generator):
    """A rig with a few names, parents or positions spoiled, or one of joints at random."""
    namings = list(NAMINGS)
    rows = joints_of(NAMINGS[namings[rng.integers(len(namings))]])
    words = [name for each in namings[:6] for name, *_ in joints_of(NAMINGS[each])]
    names = [name for name, *_ in rows]
    parents = [names.index(parent) if parent else -1 for _, parent, _ in rows]
    positions = np.tile([place for *_, place in rows], (3, 2, 1, 1)).astype(float)
    for _ in range(rng.integers(5)):
        joint, other = rng.integers(len(names), size=2)
        match rng.integers(6):
            case 0:
                names[joint] = words[rng.integers(len(words))]
            case 1:
                names[joint], names[other] = names[other], names[joint]
            case 2:
                parents[joint] = int(rng.integers(-1, joint)) if joint else -1
            case 3:
                positions[:, :, joint] = np.nan
            case 4:
                positions[:, :, joint] = positions[:, :, other]
            case _:
                positions[rng.integers(3), 0] = np.nan
    if rng.random() < 0.1:
        positions = positions[:0]
    names = distinct(names)
    return Motion(
        "clip",
        "test",
        names,
        None if rng.random() < 0.2 else tuple(parents),
        positions,
        None,
        dims=2 if rng.random() < 0.1 else 3,
        rest=None if rng.random() < 0.5 else rng.normal(size=(len(names), 3)),
        persons=("a", "b"),
        ends=tuple(j for j in range(len(names)) if j not in parents and rng.random() < 0.3),
    )


def test_any_motion_is_something():
    """Never an error; a human has five chains of different joints, in their order."""
    rng = np.random.default_rng(0)
    kinds = set()
    for _ in range(300):
        motion = changed(rng)

        body = understand(motion)

        kinds.add(body.kind)
        assert body.why
        if body.kind == "human":
            assert all(len(chain) > 1 for chain in body.chains.values())
            used = [joint for point in body.points for joint, _ in point.weights]
            left = [name for names in body.left_out.values() for name in names]
            assert len({*used}) + len(left) == len(motion.joint_names)
    assert {"human", "unknown"} <= kinds


def test_a_mesh_is_no_rig():
    rows = [(f"vertex{i}", None, (0, i, 0)) for i in range(understand_module.MOST_JOINTS + 1)]

    body = understand(motion_of(rows, parents=None))

    assert (body.kind, "3001 joints" in body.why) == ("unknown", True)


@pytest.mark.parametrize("parents", ["chain", "star", "comb"])
def test_spoiled_trees_do_not_take_long(parents):
    """Seconds at most, also where the number of ways through a tree is large."""
    rng = np.random.default_rng(0)
    count = understand_module.MOST_JOINTS
    words = ["LeftArm", "Head", "Hips", "Spine", "LeftFoot", "x", "RightLeg", "Left_palm"]
    names = distinct([words[i] for i in rng.integers(0, len(words), count)])
    rows = {
        "chain": [joint - 1 for joint in range(count)],
        "star": [min(0, joint - 1) for joint in range(count)],
        "comb": [-1, *(max(0, joint - 2 + joint % 2) for joint in range(1, count))],
    }
    positions = rng.normal(size=(2, 1, count, 3))
    motion = Motion("clip", "test", names, tuple(rows[parents]), positions, 30.0)
    start = time.process_time()

    understand(motion)

    assert time.process_time() - start < 10
