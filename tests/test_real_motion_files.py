"""Real motion files of many makers: each reads to the values that are read off it by hand.

The values are not this project's output. Counts, rates and units come from the text of the files
(`grep -c JOINT`, the `Frames:` line, a header's `units`), chains from their hierarchies, heights
from adding up the offsets of the bones.
"""

import pathlib
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pytest

from motionalign import formats
from motionalign.anatomy import NotHuman, require_human, understand
from motionalign.anatomy.size import unit_name

_RAW = "action_raw"  # the published forms of labelled sets, three of which are motion formats


class Take(NamedTuple):
    """What a take of a file is.

    Attributes:
      frames, fps, persons: of the take; None: the file states no rate.
      joints: their number, without ends of bones.
      unit: as `unit_name` has it; "" is unknown.
      up: a key of `conventions.AXES`; "" is unknown.
      kind: of the body.
      convention: whose names the joints have.
      height: limits in metres of a human body standing straight; None: it is not measured.
      ends: of the right leg, the torso and the right arm the first and the last joint.
      name: of the take, where the file has several.
    """

    frames: int
    fps: float | None
    persons: int
    joints: int
    unit: str
    up: str
    kind: str
    convention: str
    height: tuple[float, float] | None = None
    ends: tuple[str, ...] = ()
    name: str = ""


_POSER = (
    "hip - rFoot_end", "hip - head", "chest - rHand",
)  # fmt: skip
_XSENS = ("Hips - RightToe_end", "Hips - Head_end", "Chest4 - RightWrist")
_KINECT20 = (
    "HipCenter - FootRight", "HipCenter - Head", "ShoulderCenter - HandRight",
)  # fmt: skip
_OPENNI = ("Torso - RFoot", "Torso - Head", "Neck - RHand")
_KINECT = ("SpineBase - FootRight", "SpineBase - Head", "SpineShoulder - HandRight")

TAKES: Mapping[str, tuple[Take, ...]] = {
    **{
        f"action_raw/nw_ucla/{name}.json": (
            Take(frames, 30, 1, 20, "m", "y", "human", "Kinect v1", (1.5, 1.7), _KINECT20),
        )
        for name, frames in (("a01_s01_e00_v01", 44), ("a05_s03_e01_v03", 17))
    },
    **{
        f"action_raw/sbu/s01s02/{name}/skeleton_pos.txt": (
            Take(frames, 15, 2, 15, "m", "y", "human", "OpenNI", (1.55, 1.7), _OPENNI),
        )
        for name, frames in (("01/001", 45), ("05/001", 29), ("06/001", 32), ("08/001", 24))
    },
    **{
        f"action_raw/utd_mhad/{name}_skeleton.mat": (
            Take(frames, 30, 1, 20, "m", "y", "human", "Kinect v1", (1.45, 1.75), _KINECT20),
        )
        for name, frames in (("a1_s1_t1", 48), ("a24_s3_t2", 54))
    },
    "asfamc/11_01.amc": (
        Take(597, None, 1, 31, "5.6444 cm", "y", "human", "CMU (ASF)", (1.65, 1.85),
             ("root - rtoes_end", "root - head_end", "thorax - rhand")),
    ),
    "bvh/bandai1_bow_active_001.bvh": (
        Take(128, 30, 1, 22, "cm", "y", "human", "Bandai Namco", (1.5, 1.65),
             ("Hips - Toes_R", "Hips - Head", "Chest - Hand_R")),
    ),
    "bvh/bvhio_example_classic.bvh": (
        Take(2, 30, 1, 18, "in", "y", "human", "Biovision", (1.75, 1.9),
             ("Hips - RightFoot", "Hips - Head_end", "Chest - RightHand")),
    ),
    "bvh/cmu_cgspeed_12_01_walk.bvh": (
        Take(524, 120, 1, 31, "5.6444 cm", "y", "human", "CMU (BVH)", (1.4, 1.55),
             ("Hips - RightToeBase_end", "Hips - Head_end", "Spine1 - RightHand")),
    ),
    "bvh/geno_stance.bvh": (
        Take(2, 60, 1, 75, "cm", "y", "human", "HumanIK", (1.65, 1.8),
             ("Hips - RightToeBaseEnd", "Hips - HeadEnd", "Spine3 - RightHand")),
    ),
    "bvh/h36m_0626_take_01.bvh": (
        Take(20, 30, 1, 21, "cm", "z", "human", "HumanIK", (1.75, 1.9),
             ("Hips - RightFoot_end", "Hips - Head_end", "Spine3 - RightHand_end")),
    ),
    "bvh/mixamorig_freebvh.bvh": (
        Take(69, 30, 1, 55, "cm", "y", "human", "Mixamo", (1.75, 1.9),
             ("mixamorig:Hips - mixamorig:RightToeBase_end",
              "mixamorig:Hips - mixamorig:HeadTop_End",
              "mixamorig:Spine2 - mixamorig:RightHand")),
    ),
    "bvh/mocapbank.bvh": (
        Take(455, 30, 1, 19, "cm", "y", "human", "Biovision", (1.6, 1.75),
             ("Hips - RightAnkle_end", "Hips - Head_end", "Chest2 - RightWrist")),
    ),
    "bvh/mocapnet_doubleclap.bvh": (
        Take(22, 25, 1, 165, "cm", "y", "human", "names of parts", (1.6, 1.85),
             ("hip - toe1-2.r", "hip - head", "chest - rhand")),
    ),
    "bvh/momask_output.bvh": (
        Take(720, 60, 1, 24, "cm", "y", "human", "SMPL", (1.65, 1.8),
             ("Pelvis - Right_foot", "Pelvis - Head", "Spine3 - Right_palm")),
    ),
    "bvh/motionbuilder_AV_8Walk_Meredith.bvh": (
        Take(1064, 120, 1, 23, "in", "y", "human", "HumanIK", (1.55, 1.7),
             ("Hips - RightToeBase_end", "Hips - Head_end", "Spine - RightHand")),
    ),
    "bvh/pybvh_full_precision_frame_time.bvh": (
        Take(3, 23.976, 1, 2, "", "", "unknown", "names of parts"),
    ),
    "bvh/pybvh_rotation_first_root.bvh": (
        Take(4, 25, 1, 4, "", "", "unknown", "names of parts"),
    ),
    "bvh/pybvh_test3.bvh": (
        Take(100, 120, 1, 60, "in", "z", "human", "HumanIK", (1.65, 1.8),
             ("Hips - RightForeFoot_end", "Hips - Head_end", "Spine3 - RightHand")),
    ),
    "bvh/secondlife_avatar_walk.bvh": (
        Take(14, 15, 1, 21, "in", "y", "human", "Poser", (1.7, 1.9), _POSER),
    ),
    "bvh/threejs_pirouette.bvh": (
        Take(592, 120, 1, 43, "cm", "y", "human", "Poser", (1.6, 1.72), _POSER),
    ),
    "bvh/two_person_salsa_10_A.bvh": (
        Take(1198, 120, 1, 43, "cm", "y", "human", "Poser", (1.6, 1.72), _POSER),
    ),
    "bvh/two_person_salsa_25_B.bvh": (
        Take(1198, 120, 1, 43, "cm", "y", "human", "Poser", (1.6, 1.72), _POSER),
    ),
    "bvh/xsens_mvn_blender_test_mocap.bvh": (
        Take(112, 60, 1, 23, "cm", "y", "human", "Xsens (BVH)", (1.6, 1.75), _XSENS),
    ),
    "bvh/xsens_mvn_just_hierarchy.bvh": (
        Take(1, 60, 1, 23, "cm", "y", "human", "Xsens (BVH)", (1.6, 1.75), _XSENS),
    ),
    "c3d/FP_Type3.c3d": (
        Take(2, 250, 1, 34, "mm", "", "lower body", "Plug-in Gait, lower body"),
    ),
    "c3d/Gait_BMC.c3d": (
        Take(487, 100, 1, 33, "mm", "z", "human", "Plug-in Gait", (1.3, 1.7)),
    ),
    "csv/optitrack_motive_example.csv": (
        # Bones alone: the file has their markers, too. It is cut: the header states 17263 frames.
        Take(32, 120, 1, 51, "mm", "y", "human", "Motive", (1.6, 1.8),
             ("Hip - RToe", "Hip - Head", "Chest - RHand"),
             "763_T2_P2_R2_Take_2025-12-25 10.51.23 AM_005"),
    ),
    "gltf_fbx/assimp_animation_with_skeleton.fbx": (
        # Two rows of eight bones below one node: Bone.001 and so on, of no creature.
        Take(21, 24, 1, 17, "cm", "y", "unknown", "names of parts", name="Armature|ArmatureAction"),
    ),
    "gltf_fbx/ufbx_maya_human_ik_7400_binary.fbx": (
        # No curves: a pose. The unit is 100 cm, and the node above the hips scales by 0.01.
        Take(1, 24, 1, 62, "m", "y", "human", "HumanIK", (1.8, 1.95),
             ("Character1_Hips - Character1_RightToeBase", "Character1_Hips - Character1_Head",
              "Character1_Spine2 - Character1_RightHand"), "Take 001"),
    ),
    "gltf_fbx/walking.glb": tuple(
        Take(30, 30, 1, 65, "m", "y", "human", "Mixamo", (1.7, 1.85),
             ("mixamorig:Hips - mixamorig:RightToe_End", "mixamorig:Hips - mixamorig:HeadTop_End",
              "mixamorig:Spine2 - mixamorig:RightHand"), name)
        for name in ("Idle", "Walk")
    ),
    "keypoints/mediapipe_wrong87.json": (
        Take(29, None, 1, 33, "", "", "human", "MediaPipe", None,
             ("pelvis - right_foot_index", "pelvis - head", "neck - right_hand")),
    ),
    "keypoints/openpose_small_man": (
        Take(121, None, 1, 25, "", "", "human", "OpenPose BODY-25", None,
             ("mid_hip - right_big_toe", "mid_hip - head", "neck - right_wrist"), "small_man"),
    ),
    "mvnx/test_mocap.mvnx": (
        Take(112, 60, 1, 23, "m", "z", "human", "Xsens", (1.6, 1.75),
             ("Pelvis - pRightToe", "Pelvis - pTopOfHead", "T8 - pRightTopOfHand")),
    ),
    "ntu/S001C001P001R001A011.skeleton": (
        Take(82, 30, 1, 25, "m", "y", "human", "Kinect v2", (1.3, 1.75), _KINECT),
    ),
    "ntu/S001C003P008R002A058.skeleton": (
        Take(70, 30, 2, 25, "m", "y", "human", "Kinect v2", (1.3, 1.75), _KINECT),
    ),
    "ntu/S002C001P003R001A003.skeleton": (
        Take(100, 30, 1, 25, "m", "y", "human", "Kinect v2", (1.3, 1.75), _KINECT),
    ),
    "trc/markers.trc": (
        Take(93, 100, 1, 51, "mm", "", "upper body", "shoulder markers"),
    ),
}  # fmt: skip

# Files that are refused, with words of the refusal.
REFUSED: Mapping[str, tuple[str, ...]] = {
    "asfamc/11.asf": ("11.asf", ".amc"),
    "bvh/secondlife_avatar_dance8.bvh": ("line 276", "66 values", "132"),
    "smpl/amass_ACCAD_stand.npz": ("--smplh_dir",),
    "smpl/asap_video_kick_level2_filter_amass.npz": ("--smplh_dir",),
    "smpl/asap_video_walk_level2_filter_amass.npz": ("--smplh_dir",),
}


def read(file: str, real_files: pathlib.Path) -> list[formats.Motion]:
    if file.endswith(".c3d"):
        pytest.importorskip("ezc3d")
    return formats.read(real_files / file)


def ends(body) -> tuple[str, ...]:
    """The first and the last joint of the right leg, the torso and the right arm."""
    pairs = []
    for part in ("right_leg", "torso", "right_arm"):
        first, *_, last = (body.points[i].name for i in body.chains[part])
        pairs.append(f"{first} - {last}")
    return tuple(pairs)


@pytest.mark.parametrize("file", TAKES)
def test_a_file_is_what_it_is(file, real_files):
    motions = read(file, real_files)

    assert len(motions) == len(TAKES[file])
    for motion, take in zip(motions, TAKES[file], strict=True):
        assert motion.name == (take.name or (real_files / file).stem)
        assert len(motion.positions) == take.frames
        assert motion.fps == (take.fps and pytest.approx(take.fps, rel=1e-4))
        assert len(motion.persons) == take.persons
        assert len(motion.joint_names) - len(motion.ends) == take.joints
        body = understand(motion)
        assert (body.kind, body.convention) == (take.kind, take.convention), body.why
        unit = "" if body.unit_in_metres is None else unit_name(body.unit_in_metres)
        assert (unit, body.up or "") == (take.unit, take.up)
        if take.height is None:
            assert body.height is None
        else:
            assert take.height[0] < body.height < take.height[1]
        if take.ends:
            assert ends(body) == take.ends
        if take.kind == "human":
            require_human(body, file)
        else:
            with pytest.raises(NotHuman, match=file):
                require_human(body, file)


@pytest.mark.parametrize("file", TAKES)
def test_a_body_measures_what_a_body_does(file, real_files):
    """Nothing of a human's file is implausible, except that a still pose does not move."""
    for motion in read(file, real_files):
        body = understand(motion)
        if body.kind == "human" and motion.dims == 3:
            assert body.finding is None, body.finding
            sides = [role.partition("_")[2] for role in body.roles if role.startswith("left_")]
            assert all(f"right_{role}" in body.roles for role in sides)
            assert np.isfinite(body.height)


@pytest.mark.parametrize("file", REFUSED)
def test_a_file_that_cannot_be_read_is_refused(file, real_files):
    with pytest.raises(ValueError) as refusal:
        formats.read(real_files / file)

    message = str(refusal.value)
    assert str(real_files / file) in message
    assert [word for word in REFUSED[file] if word not in message] == []
    assert "\n" not in message


@pytest.mark.parametrize(
    ("file", "missing"),
    [
        ("c3d/FP_Type3.c3d", "left arm, right arm, head missing"),
        ("trc/markers.trc", "left leg, right leg, left arm, head missing"),
        (
            "bvh/pybvh_rotation_first_root.bvh",
            "left hip and ankle, right leg, left arm, right arm missing",
        ),
    ],
)
def test_the_refusal_of_a_part_of_a_body_says_what_is_missing(file, missing, real_files):
    (motion,) = read(file, real_files)

    with pytest.raises(NotHuman, match=missing):
        require_human(understand(motion), file)


def test_the_other_raw_labelled_sets_are_refused(real_files):
    """Two sets, and the lists beside the files, which are no motions."""
    files = [path for path in (real_files / _RAW).rglob("*") if path.is_file()]
    refused = [path for path in files if path.relative_to(real_files).as_posix() not in TAKES]

    assert (len(files), len(refused)) == (14, 6)
    for path in refused:
        with pytest.raises(ValueError, match=path.name):
            formats.read(path)


def test_every_file_is_in_the_table(real_files):
    listed = {name for name in (*TAKES, *REFUSED) if not name.startswith(_RAW)}
    found = {
        path.relative_to(real_files).as_posix()
        for path in real_files.rglob("*")
        if path.is_file() and _RAW not in path.parts
    }
    sequences = {"/".join(name.split("/")[:2]) for name in found if name.count("/") > 1}

    assert {name for name in found if name.count("/") == 1} | sequences == listed
