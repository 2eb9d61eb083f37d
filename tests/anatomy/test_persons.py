import dataclasses
import json

import motion_files
import numpy as np
import pytest
from bodies import body

import motionalign
from motionalign.anatomy import NotHuman
from motionalign.anatomy.persons import persons_of
from motionalign.anatomy.takes import read_takes
from motionalign.skeleton import SKELETONS

SMPL22 = SKELETONS["smpl22"]


def write_bvh(path, **options):
    joints = motion_files.human(**options)
    return motion_files.write_bvh(path, joints, motion_files.swing(joints, 40))


def write_set(path, positions, skeleton="smpl22"):
    skeleton = SKELETONS[skeleton]
    names = {"joint_names": np.array(skeleton.joint_names), "parents": np.array(skeleton.parents)}
    np.savez(path, positions=positions, lengths=[len(positions)], fps=20.0, **names)
    return path


def pair(frames=60):
    return np.stack([body(frames, seed=i) + np.array([i, 0, 0]) for i in range(2)], axis=1)


def test_a_file_in_python(tmp_path):
    path = write_bvh(tmp_path / "a.bvh")
    (clip,) = motionalign.read_motion(path)
    assert clip.id == str(path)
    assert clip.joints.shape == (40, 22, 3)
    assert clip.joints.dtype == np.float32
    assert clip.skeleton == SMPL22
    assert clip.fps == pytest.approx(30, rel=1e-4)
    (own,) = motionalign.read_motion(str(path), "native")
    knee = own.skeleton.joint_names.index("LeftLeg")
    np.testing.assert_array_equal(
        own.joints[:, knee], clip.joints[:, SMPL22.joint_names.index("left_knee")]
    )
    (half,) = motionalign.read_motion(path, unit="mm")
    np.testing.assert_allclose(10 * half.joints, clip.joints, rtol=1e-5)
    with pytest.raises(ValueError, match="joints='all'; expected smpl22 or native"):
        motionalign.read_motion(path, "all")


def test_persons_have_the_longest_stretch_in_which_they_are_seen(tmp_path):
    positions = pair()
    positions[:20, 1] = 0
    positions[30:33, 0] = 0  # a gap that is too short to be left
    path = write_set(tmp_path / "duo.npz", positions)
    first, second = motionalign.read_motion(path)
    assert [first.id, second.id] == [f"{path}#1", f"{path}#2"]
    np.testing.assert_allclose(second.joints, positions[20:, 1], atol=1e-5)
    assert len(first.joints) == 60
    (take,) = read_takes(path)
    found = persons_of(take, None)
    assert [(p.number, p.label, p.start, p.whole) for p in found.all] == [
        (1, "#1", 0, True), (2, "#2", 20, False),
    ]  # fmt: skip


def test_joints_are_taken_by_their_names(tmp_path):
    (take,) = read_takes(write_set(tmp_path / "k.npz", body(20, "kinect20")[:, None], "kinect20"))
    kinect = SKELETONS["kinect20"]
    (person,) = persons_of(take, kinect).all
    np.testing.assert_allclose(person.joints, body(20, "kinect20"), atol=1e-6)
    with pytest.raises(ValueError, match="has not the joints of skeleton 'kit21': no root, BP"):
        persons_of(take, SKELETONS["kit21"])
    with pytest.raises(ValueError, match=r"its joints are in 3D; those of 2D are needed"):
        persons_of(take, SKELETONS["coco18"])


def test_a_real_file_in_the_skeleton_of_its_dataset(real_files):
    """The file has SpineBase and HandTipLeft where the skeleton has spine_base, left_hand_tip."""
    (take,) = read_takes(real_files / "ntu" / "S001C001P001R001A011.skeleton")
    ntu = SKELETONS["ntu25"]
    (person,) = persons_of(take, ntu).all
    assert person.joints.shape == (82, 25, 3)
    at = {
        "spine_base": "SpineBase", "left_hand_tip": "HandTipLeft", "right_thumb": "ThumbRight",
        "spine_shoulder": "SpineShoulder", "left_ankle": "AnkleLeft",
    }  # fmt: skip
    for ours, name in at.items():
        theirs = take.motion.positions[:, 0, take.motion.joint_names.index(name)]
        found = person.joints[:, ntu.joint_names.index(ours)]
        np.testing.assert_allclose(found, theirs, atol=1e-5)
    with pytest.raises(ValueError, match="has not the joints of skeleton 'smarthome13': no "):
        persons_of(take, dataclasses.replace(SKELETONS["smarthome13"], joint_names=(
            "crown", *SKELETONS["smarthome13"].joint_names[1:])))  # fmt: skip


def test_no_body_is_refused_by_name(tmp_path):
    joints = [motion_files.Joint(name, i - 1, (1.0, 2.0, 0.0)) for i, name in enumerate("xyz")]
    path = motion_files.write_bvh(tmp_path / "prop.bvh", joints, motion_files.swing(joints, 9))
    with pytest.raises(NotHuman, match=r"prop.bvh: "):
        motionalign.read_motion(path)


def test_keypoints_of_the_face_are_read_by_their_names(tmp_path):
    coco = SKELETONS["coco18"]
    flat = np.random.default_rng(0).uniform(size=(20, 18, 3)).astype(np.float32)
    flat[..., :2] += body(20, "kinect20")[:, :18, :2]
    eye = coco.joint_names.index("left_eye")
    flat[5:, eye] = np.nan
    np.save(tmp_path / "flat.npy", flat)
    names = {"joint_names": coco.joint_names, "dims": 2, "fps": 20, "convention": "coco18"}
    (tmp_path / "flat.skeleton.json").write_text(json.dumps(names))
    (take,) = read_takes(tmp_path / "flat.npy")
    (person,) = persons_of(take, coco).all
    assert person.joints.shape == (20, 18, 3)
    y_up = flat[:5] * np.array([1, -1, 1])  # in images y points down
    np.testing.assert_allclose(person.joints[:5], y_up, atol=1e-6)
    assert (person.joints[5:, eye] == 0).all()


def test_real_keypoints(real_files):
    (take,) = read_takes(next((real_files / "keypoints").glob("openpose*")))
    (person,) = persons_of(take, SKELETONS["coco18"]).all
    assert person.joints.shape[1:] == (18, 3)
    assert len(person.joints) > 100
    with pytest.raises(ValueError, match="in an image, in 2D; those of 3D are needed"):
        persons_of(take, SMPL22)
