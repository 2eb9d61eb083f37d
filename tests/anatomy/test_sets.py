"""Known sets of joints, markers and keypoints, on bodies whose joints are known."""

import itertools
import re

import bodies
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from motionalign import formats
from motionalign.anatomy import sets
from motionalign.anatomy.body import ROLES, Body
from motionalign.skeleton import PARTS, SKELETONS

SMPL = SKELETONS["smpl22"].joint_names
BY_NAME = {each.name: each for each in sets.SETS}

# The joint of SMPL's that a word of a label is at, whatever the set.
PLACES = {
    "hip": "hip", "knee": "knee", "ankle": "ankle", "foot": "foot", "shoulder": "shoulder",
    "elbow": "elbow", "wrist": "wrist", "clavicle": "collar", "collar": "collar",
}  # fmt: skip

# What is not of one side: the joint of SMPL's, or two and the way from one to the other.
MIDDLE = {
    "Kinect v1": {"hip_center": "pelvis", "spine": "spine2", "shoulder_center": "neck"},
    "Kinect v2": {
        "SpineBase": "pelvis", "SpineMid": "spine2", "SpineShoulder": "spine3", "Neck": "neck",
    },
    "Azure Kinect": {"spine_navel": "spine1", "spine_chest": "spine3"},
    "Human3.6M": {
        "Hip": "pelvis", "Spine": "spine2", "Thorax": "neck", "Neck/Nose": ("neck", "head", 0.5),
    },
    "KIT": {"root": "pelvis", "BP": "spine1", "BT": "spine3", "BLN": "neck", "BUN": "head"},
    "CMU Panoptic": {"BodyCenter": "pelvis", "Nose": "head"},
    "Halpe-26": {"Hip": "pelvis", "Nose": "head", "Head": ("neck", "head", 1.5)},
    "MPII": {
        "thorax": "neck", "upper_neck": ("neck", "head", 0.5), "head_top": ("neck", "head", 1.5),
    },
    "Motive": {"Hip": "pelvis", "Ab": "spine1", "Chest": "spine3"},
    "Xsens": {
        "Pelvis": "pelvis", "L5": "spine1", "L3": "spine2", "T12": ("spine2", "spine3", 0.5),
        "T8": "spine3", "pTopOfHead": ("neck", "head", 2),
    },
    "OpenNI": {"torso": "spine2"},
    "MPI-INF-3DHP": {
        "spine": "spine1", "spine2": "spine2", "spine3": ("spine2", "spine3", 0.5),
        "spine4": "spine3", "head_top": ("neck", "head", 2),
    },
    "OpenPose COCO-18": {"nose": "head"},
    "OpenPose BODY-25": {"MidHip": "pelvis", "Nose": "head"},
    "COCO-17": {"nose": "head"},
    "MediaPipe": {"nose": "head"},
    "LCR-Net": {},
    "SMPL": {name: name for name in ("spine1", "spine2", "spine3")},
}  # fmt: skip
HAND = ("elbow", "wrist", 1.3)
ENDS = {  # of the sides
    "SMPL": {"hand": HAND}, "Kinect v1": {"hand": HAND}, "Kinect v2": {"Hand": HAND},
    "Azure Kinect": {"hand": HAND}, "OpenNI": {"hand": HAND},
    "KIT": {
        "S": "shoulder", "E": "elbow", "W": "wrist", "H": "hip", "K": "knee", "A": "ankle",
        "Mrot": "foot", "F": ("ankle", "foot", 1.3),
    },
    "Halpe-26": {"BigToe": ("ankle", "foot", 1.3)},
    "Motive": {
        "Shoulder": "collar", "UArm": "shoulder", "FArm": "elbow", "Hand": "wrist",
        "Thigh": "hip", "Shin": "knee", "Foot": "ankle", "Toe": "foot",
    },
    "Xsens": {
        "Shoulder": "collar", "UpperArm": "shoulder", "ForeArm": "elbow", "Hand": "wrist",
        "UpperLeg": "hip", "LowerLeg": "knee", "Foot": "ankle", "Toe": "foot",
        "pTopOfHand": HAND, "pToe": ("ankle", "foot", 1.3),
    },
    "MPI-INF-3DHP": {"toe": ("ankle", "foot", 1.5), "hand": HAND},
    "OpenPose BODY-25": {"BigToe": ("ankle", "foot", 1.3)},
    "MediaPipe": {
        "foot_index": ("ankle", "foot", 1.3), "index": HAND,
        "pinky": HAND,
    },
}  # fmt: skip
JOINTS = tuple(name for name in BY_NAME if BY_NAME[name].kind != "markers")


def on_the_way(at, start, end, share):
    return at[start] + share * (at[end] - at[start])


def split(label):
    """The side of a label and the rest of it."""
    if label[0] in "LR" and label[1:2].isupper():  # Motive's
        return {"L": "left", "R": "right"}[label[0]], label[1:]
    for side in ("left", "right"):
        if side in label.lower():
            return side, re.sub(side, "", label, flags=re.IGNORECASE).strip("_")
    return None, label


def joints_of(name, frames=20):
    """The labels of a set of joints or keypoints, and their places on a body, by hand."""
    smpl = bodies.body(frames).astype(float)
    at = dict(zip(SMPL, smpl.transpose(1, 0, 2)))
    middle = {"pelvis": "pelvis", "neck": "neck", "Neck": "neck", "head": "head", "Head": "head"}
    middle |= MIDDLE[name]
    if name == "Human3.6M":
        middle["Head"] = ("neck", "head", 1.5)
    out = {}
    for label in sorted(BY_NAME[name].labels):
        side, part = split(label)
        lower = label.lower()
        if side and (place := ENDS.get(name, {}).get(part)):
            ends = (place, place, 0) if isinstance(place, str) else place
            out[label] = on_the_way(at, f"{side}_{ends[0]}", f"{side}_{ends[1]}", ends[2])
        elif side and part.lower() in PLACES:
            out[label] = at[f"{side}_{PLACES[part.lower()]}"]
        elif side is None and label in middle:
            place = middle[label]
            out[label] = at[place] if isinstance(place, str) else on_the_way(at, *place)
        elif "ear" in lower or "eye" in lower:
            out[label] = at["head"] + [0.07 if side == "left" else -0.07, 0.02, 0]
        elif name != "SMPL":  # where it is does not matter, as long as it is known
            out[label] = np.full((frames, 3), np.nan)
    return tuple(out), np.stack(list(out.values()), axis=1), at


def placed(points, positions):
    return np.stack(
        [sum(weight * positions[:, joint] for joint, weight in point.weights) for point in points],
        axis=1,
    )


def check_body(points, chains, positions):
    """The left on the left, limbs outwards, and bones of constant human length."""
    Body("human", "", "", points, chains)
    joints = placed(points, positions)
    roles = {point.role: joints[:, i] for i, point in enumerate(points) if point.role}
    first = {role: place[0] for role, place in roles.items()}
    for role in first:
        if role.startswith("left_"):
            assert first[role][0] > first[role.replace("left", "right")][0] + 0.05, role
    for side in ("left", "right"):
        legs = [f"{side}_{part}" for part in ("hip", "knee", "ankle", "foot", "toe")]
        heights = [first[role][1] for role in legs if role in first]
        assert sorted(heights, reverse=True) == heights
        assert 0.3 < np.linalg.norm(first[f"{side}_hip"] - first[f"{side}_knee"]) < 0.5
        out = [f"{side}_{part}" for part in ("shoulder", "elbow", "wrist", "hand")]
        away = [abs(first[role][0] - first["neck"][0]) for role in out if role in first]
        assert sorted(away) == away
    assert tuple(chains) == PARTS
    for part, chain in chains.items():
        assert len(set(chain)) == len(chain) >= 2
        for parent, child in itertools.pairwise(chain):
            assert points[child].parent == parent
            lengths = np.linalg.norm(joints[:, child] - joints[:, parent], axis=-1)
            assert lengths.mean() > 0.01, (part, points[child])
            assert lengths.mean() < 0.6, (part, points[child])
            sides = {"left", "right"} & set((points[child].role or "").split("_"))
            assert sides <= set(part.split("_")), (part, points[child])
        if part.endswith("arm"):
            assert points[chain[0]].role in (None, "chest", "neck"), (part, points[chain[0]])


@pytest.mark.parametrize("name", JOINTS)
def test_a_body_of_joints(name):
    labels, positions, at = joints_of(name)
    found = sets.match(labels)
    assert found is not None and found[0].name == name
    assert sorted(found[1].values()) == list(range(len(labels)))
    points, chains = sets.points_of(*found, labels)
    check_body(points, chains, positions)
    joints = placed(points, positions)
    for point, joint in zip(points, joints.transpose(1, 0, 2)):
        if point.role and point.role.split("_")[-1] in ("hip", "knee", "shoulder", "elbow"):
            np.testing.assert_allclose(joint, at[point.role], atol=1e-6)


@pytest.mark.parametrize(
    ("skeleton", "name"),
    [
        ("smpl22", "SMPL"), ("kit21", "KIT"), ("kinect20", "Kinect v1"), ("sbu15", "OpenNI"),
        ("coco18", "OpenPose COCO-18"),
    ],
)  # fmt: skip
def test_skeletons_of_datasets_are_the_same(skeleton, name):
    """Models that were trained on them can read files of these joints."""
    skeleton = SKELETONS[skeleton]
    found = sets.match(skeleton.joint_names)
    assert found[0].name == name
    points, chains = sets.points_of(*found, skeleton.joint_names)
    names = [point.name for point in points]
    parents = {p.name: names[p.parent] if p.parent >= 0 else None for p in points}
    assert parents == {
        name: skeleton.joint_names[parent] if parent >= 0 else None
        for name, parent in zip(skeleton.joint_names, skeleton.parents)
    }
    assert {part: [names[j] for j in chain] for part, chain in chains.items()} == {
        part: [skeleton.joint_names[j] for j in chain]
        for part, chain in zip(skeleton.chain_names, skeleton.chains)
    }


@pytest.mark.parametrize("each", sets.SETS, ids=lambda each: each.name)
def test_the_table_is_consistent(each):
    names = [point.name for point in each.points]
    assert len(set(names)) == len(names)
    roles = [point.role for point in each.points if point.role]
    assert len(set(roles)) == len(roles) and set(roles) <= set(ROLES)
    for index, point in enumerate(each.points):
        assert (point.parent is None) == (index == 0)
        assert point.parent is None or point.parent in names[:index]
        for option in point.options:
            assert sum(weight for _, weight in option) == pytest.approx(1)
    labels: dict[object, str] = {}  # no name may be that of two labels
    for label, keys in [pair for names in sets._names_of(each) for pair in names]:
        for key in filter(None, keys):
            assert labels.setdefault(key, label) == label, key


def vary(labels, how):
    return tuple(how(label) for label in labels)


@pytest.mark.parametrize(
    "how",
    [
        lambda name: f"Subject 1:{name}",
        lambda name: f"K4ABT_JOINT_{name}",
        str.upper,
        lambda name: name.replace("_", " ").title().replace(" ", ""),
        lambda name: f"{name.split('_')[1].title()}{name[0].upper()}" if "t_" in name else name,
        lambda name: name.replace("left_", "L_").replace("right_", "R_"),
        lambda name: name.replace("left_", "l.").replace("right_", "r."),
    ],
)
def test_names_may_be_written_otherwise(how):
    labels = SKELETONS["kinect20"].joint_names
    varied = tuple(map(how, labels))
    found = sets.match(varied)
    assert found[0].name == "Kinect v1"
    points, _ = sets.points_of(*found, varied)
    assert {p.role: labels[p.weights[0][0]] for p in points if p.role}["left_knee"] == "left_knee"
    assert [point.name for point in points] == [varied[p.weights[0][0]] for p in points]


@pytest.mark.parametrize(
    "labels",
    [
        (),
        ("",),
        ("hip",),
        "Hips Spine Chest Neck Head LeftShoulder LeftArm LeftForeArm LeftHand LeftUpLeg".split(),
        "Pelvis L5 L3 T12 T8 Neck Head RightShoulder RightUpperArm RightForeArm".split(),
        [f"{who}:{name}" for who in "AB" for name in SKELETONS["kinect20"].joint_names],
        [name for name in SKELETONS["kinect20"].joint_names if name != "left_knee"],
    ],
    ids=range(7),
)
def test_other_names_are_of_no_set(labels):
    """Two persons in one list are none, too: the knee of one is not that of the other."""
    assert sets.match(labels) is None


@given(st.lists(st.text(max_size=12) | st.sampled_from(BY_NAME["SMPL"].labels), max_size=40))
def test_any_names_are_of_a_set_or_of_none(names):
    names = list(dict.fromkeys(names))
    if (found := sets.match(names)) is not None:
        points, chains = sets.points_of(*found, names)
        Body("human", "", "", points, chains)


def test_keypoints_of_the_larger_set_are_not_of_the_smaller():
    labels = sorted(BY_NAME["MediaPipe"].labels)
    assert sets.match(labels)[0].name == "MediaPipe"
    assert sets.match([label for label in labels if "_heel" not in label])[0].name == "MediaPipe"
    assert sets.match([label for label in labels if "foot" not in label])[0].name == "COCO-17"


H36M = "Hip RHip RKnee RFoot LHip LKnee LFoot Spine Thorax Neck/Nose Head LShoulder LElbow LWrist"
MMPOSE = (
    "root right_hip right_knee right_foot left_hip left_knee left_foot spine thorax neck_base head "
    "left_shoulder left_elbow left_wrist"
)
MUJOCO = (
    "Pelvis L_Hip L_Knee L_Ankle L_Toe Torso Spine Chest Neck Head L_Thorax L_Shoulder L_Elbow "
    "L_Wrist L_Hand"
)


# With the spelling of the sensor's first software.
AZURE = (
    "pelvis spine_naval spine_chest neck head left_clavicle left_shoulder left_elbow left_wrist "
    "left_hand left_hip left_knee left_ankle left_foot"
)


# Of TRC files: OpenCap's keypoints, without a head, and Pose2Sim's.
OPENCAP = "Neck LShoulder LElbow LWrist midHip LHip LKnee LAnkle LBigToe LSmallToe LHeel"
POSE2SIM = "Hip LHip LKnee LAnkle LBigToe LSmallToe LHeel Neck Head Nose LShoulder LElbow LWrist"


@pytest.mark.parametrize(
    ("names", "known", "roles"),
    [
        (OPENCAP, "OpenPose BODY-25", {"pelvis": "midHip", "neck": "Neck", "left_toe": "LBigToe"}),
        (POSE2SIM, "Halpe-26", {"head": "Nose", "head_end": "Head", "right_hip": "RHip"}),
        (H36M, "Human3.6M", {"neck": "Thorax", "head": "Neck/Nose", "head_end": "Head"}),
        (MMPOSE, "Human3.6M", {"pelvis": "root", "neck": "thorax", "head": "neck_base"}),
        (AZURE, "Azure Kinect", {"pelvis": "pelvis", "chest": "spine_chest"}),
        (MUJOCO, "SMPL", {"chest": "Chest", "left_collar": "L_Thorax", "left_foot": "L_Toe"}),
    ],
)
def test_other_names_of_the_same_joints(names, known, roles):
    left = [name for name in names.split() if re.match("l_|left|L(?=[A-Z_])", name)]
    labels = names.split()
    labels += [re.sub("^L", "R", name).replace("left", "right") for name in left]
    labels = list(dict.fromkeys(labels))
    found = sets.match(labels)
    assert found[0].name == known
    points, _ = sets.points_of(*found, labels)
    named = {point.role: point.name for point in points}
    assert roles.items() <= named.items()
    used = {labels[joint] for point in points for joint, _ in point.weights}
    assert all("SmallToe" in label or "Heel" in label for label in set(labels) - used)


def test_one_joint_is_not_two():
    """A neck is not the nose, too."""
    labels = (H36M + " RShoulder RElbow RWrist").replace("Neck/Nose", "Nose").split()
    found = sets.match(labels)
    assert found[1]["Neck/Nose"] == labels.index("Nose")
    labels.remove("Nose")
    found = sets.match(labels)
    assert len(set(found[1].values())) == len(found[1]) == len(labels)
    points, _ = sets.points_of(*found, labels)
    parents = {point.name: points[point.parent].name for point in points if point.parent >= 0}
    assert parents["Head"] == "Thorax"


def markers(frames=20):
    """Markers of Plug-in Gait on the skin of a body, by hand, and its joints; millimetres.

    The pelvis is 24 cm wide and 16 deep, its joints as in Harrington et al. (2007).
    """
    smpl = bodies.body(frames).astype(float) * 1000
    at = dict(zip(SMPL, smpl.transpose(1, 0, 2)))
    middle = (at["left_hip"] + at["right_hip"]) / 2
    out = {}
    for side, letter, left in (("left", "L", 1), ("right", "R", -1)):
        out[f"{letter}ASI"] = middle + np.array([left * 120, 83, 48])
        out[f"{letter}PSI"] = middle + np.array([left * 45, 83, -112])
        at[f"{side}_hip"] = middle + np.array([left * 86, 0, 0])
        out[f"{letter}KNE"] = at[f"{side}_knee"] + [left * 50, 0, 0]
        out[f"{letter}ANK"] = at[f"{side}_ankle"] + [left * 38, 0, 0]
        out[f"{letter}TOE"] = at[f"{side}_foot"] + [0, 10, 0]
        out[f"{letter}HEE"] = at[f"{side}_ankle"] + [0, -40, -60]
        out[f"{letter}SHO"] = at[f"{side}_shoulder"] + [0, 50, 0]
        out[f"{letter}ELB"] = at[f"{side}_elbow"] + [left * 20, 0, -30]
        out[f"{letter}WRA"] = at[f"{side}_wrist"] + [0, 0, 30]
        out[f"{letter}WRB"] = at[f"{side}_wrist"] + [0, 0, -30]
        out[f"{letter}FIN"] = at[f"{side}_wrist"] + [left * 70, -10, 0]
        out[f"{letter}FHD"] = at["head"] + [left * 60, 30, 100]
        out[f"{letter}BHD"] = at["head"] + [left * 60, 30, -90]
    out["C7"] = at["neck"] + [0, 10, -50]
    out["CLAV"] = at["neck"] + [0, -30, 60]
    out["T10"] = at["spine3"] + [0, 0, -80]
    out["STRN"] = at["spine3"] + [0, 0, 100]
    return out, at


WITHOUT = {
    "all": (), "no head": ("LFHD", "RFHD", "LBHD", "RBHD"), "no fingers": ("LFIN", "RFIN"),
    "no trunk": ("T10", "STRN", "CLAV", "C7"), "one wrist": ("LWRB", "RWRB"),
    "legs": ("LSHO", "RSHO", "LELB", "RELB", "C7", "CLAV"),
}  # fmt: skip


@pytest.mark.parametrize("without", WITHOUT)
@pytest.mark.parametrize("sacrum", [False, True])
def test_a_body_of_markers(without, sacrum):
    """The joints of a clip are within what the set states."""
    out, at = markers()
    if sacrum:
        out["SACR"] = (out.pop("LPSI") + out.pop("RPSI")) / 2
    kept = {label: place for label, place in out.items() if label not in WITHOUT[without]}
    labels = tuple(f"Anna:{label}" for label in kept)
    found = sets.match(labels)
    legs = without == "legs"
    assert found[0].name == ("Plug-in Gait, lower body" if legs else "Plug-in Gait")
    assert found[0].covers == ("lower body" if legs else "body")
    positions = np.stack(list(kept.values()), axis=1)
    points, chains = sets.points_of(*found, labels)
    joints = placed(points, positions)
    if legs:
        assert chains == {}
    else:
        check_body(points, chains, positions / 1000)
    for point, joint in zip(points, joints.transpose(1, 0, 2)):
        part = (point.role or "").split("_")[-1]
        if part in ("hip", "knee", "ankle", "shoulder", "elbow", "wrist"):
            distance = np.linalg.norm(joint - at[point.role], axis=-1)
            assert distance.max() < (50 if part == "hip" else 40), (point.role, distance.max())


def test_labels_of_other_laboratories():
    """OpenSim's, the ISB's, and joint centres that Plug-in Gait's model adds."""
    isb = "LIAS RIAS LIPS RIPS LFLE RFLE LFME RFME LFAL RFAL LTAM RTAM LFM1 LFM5".split()
    found, labels = sets.match(isb)
    assert (found.name, labels["LKNM"]) == ("Plug-in Gait, lower body", isb.index("LFME"))
    cmu = [name.replace("ASI", "FWT").replace("PSI", "BWT") for name in markers(1)[0]]
    assert "LFWT" in cmu
    found, labels = sets.match(cmu)
    assert (found.name, labels["RPSI"]) == ("Plug-in Gait", cmu.index("RBWT"))
    out, _ = markers(1)
    names = [*out, "LHJC", "RHJC", "LKJC", "RKJC"]
    points, _ = sets.points_of(*sets.match(names), names)
    roles = {point.role: point for point in points}
    assert roles["left_hip"].name == "LHJC" and roles["right_knee"].name == "RKJC"
    assert len(roles["left_ankle"].weights) == 3


def test_real_kinect_files(real_files):
    """Bones of human length, and the left on the left of persons who face the sensor."""
    for path in sorted((real_files / "ntu").glob("*.skeleton")):
        (motion,) = formats.read(path)
        found = sets.match(motion.joint_names)
        assert found[0].name == motion.convention
        points, chains = sets.points_of(*found, motion.joint_names)
        for person in range(len(motion.persons)):
            joints = placed(points, motion.positions[:, person])
            lengths = np.median(
                [np.linalg.norm(joints[:, i] - joints[:, max(p.parent, 0)], axis=-1)
                 for i, p in enumerate(points)], axis=1,
            )  # fmt: skip
            height = lengths[list(chains["left_leg"][2:])].sum()  # without the pelvis's half
            height += lengths[list(chains["torso"])].sum()
            assert 1.3 < height < 1.9, (path.name, height)  # to the middle of the head


def test_hips_of_a_real_gait_are_those_of_harringtons_regression(real_files):
    """With the axes of the pelvis at right angles, as published, and not linear in the markers."""
    pytest.importorskip("ezc3d")
    (motion,) = formats.read(real_files / "c3d" / "Gait_BMC.c3d")
    found = sets.match(motion.joint_names)
    assert (found[0].name, found[0].covers) == ("Plug-in Gait", "body")
    points, _ = sets.points_of(*found, motion.joint_names)
    positions = motion.positions[:, 0]
    complete = positions[np.isfinite(positions).all((1, 2))]
    assert len(complete) > 100
    joints = placed(points, complete)
    at = motion.joint_names.index
    left, right, sacrum = (complete[:, at(name)] for name in ("LASI", "RASI", "VSAC"))
    front = (left + right) / 2

    def unit(vector):
        return vector / np.linalg.norm(vector, axis=-1, keepdims=True)

    across = unit(left - right)
    forwards = front - sacrum
    depth = np.linalg.norm(forwards, axis=-1, keepdims=True)
    width = np.linalg.norm(left - right, axis=-1, keepdims=True)
    forwards = unit(forwards - (forwards * across).sum(-1, keepdims=True) * across)
    up = np.cross(forwards, across)
    for side, sign in (("left", 1), ("right", -1)):
        hip = front + (-0.24 * depth - 9.9) * forwards + (-0.30 * width - 10.9) * up
        hip = hip + sign * (0.33 * width + 7.3) * across
        index = next(i for i, point in enumerate(points) if point.role == f"{side}_hip")
        assert np.linalg.norm(joints[:, index] - hip, axis=-1).max() < 25
        knee = next(i for i, point in enumerate(points) if point.role == f"{side}_knee")
        thigh = np.linalg.norm(joints[:, index] - joints[:, knee], axis=-1)
        assert 380 < thigh.mean() < 430 and thigh.std() < 6


@pytest.mark.parametrize(
    ("file", "name"),
    [("csv/optitrack_motive_example.csv", "Motive"), ("mvnx/test_mocap.mvnx", "Xsens")],
)
def test_real_skeletons_of_motion_capture(real_files, file, name):
    (motion,) = formats.read(real_files / file)
    found = sets.match(motion.joint_names)
    assert found[0].name == name == motion.convention
    points, chains = sets.points_of(*found, motion.joint_names)
    joints = placed(points, motion.positions[:, 0]) * motion.unit_in_metres
    up = "xyz".index(motion.up or "y")
    roles = {point.role: joints[:, i] for i, point in enumerate(points) if point.role}
    for side in ("left", "right"):
        assert (roles[f"{side}_hip"][:, up] > roles[f"{side}_knee"][:, up]).all()
        assert (roles[f"{side}_knee"][:, up] > roles[f"{side}_ankle"][:, up]).all()
    lengths = {
        part: np.linalg.norm(np.diff(joints[:, list(chain)], axis=1), axis=-1).mean(0).sum()
        for part, chain in chains.items()
    }
    assert 1.4 < lengths["torso"] + lengths["left_leg"] < 2.2  # with the feet
    assert lengths["left_leg"] == pytest.approx(lengths["right_leg"], rel=0.02)
    assert lengths["left_arm"] == pytest.approx(lengths["right_arm"], rel=0.02)


def test_the_markers_of_a_real_arm_are_no_body(real_files):
    (motion,) = formats.read(real_files / "trc" / "markers.trc")
    known, found = sets.match(motion.joint_names)
    assert known.covers == "upper body"
    points, chains = sets.points_of(known, found, motion.joint_names)
    assert chains == {} and points[0].role == "pelvis"
    joints = placed(points, motion.positions[:, 0]) * motion.unit_in_metres
    roles = {point.role: joints[:, i] for i, point in enumerate(points) if point.role}
    upper = np.linalg.norm(roles["right_shoulder"] - roles["right_elbow"], axis=-1)
    lower = np.linalg.norm(roles["right_elbow"] - roles["right_wrist"], axis=-1)
    assert (upper > 0.2).all() and (upper < 0.4).all() and upper.std() < 0.02
    assert (lower > 0.2).all() and (lower < 0.35).all() and lower.std() < 0.02
