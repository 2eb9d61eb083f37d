"""Landmarks of MediaPipe Pose, and JSON files that are none."""

import json

import numpy as np
import pytest

from motionalign import formats
from motionalign.formats import mediapipe
from motionalign.formats.format import Options

NUMBERS = np.arange(33 * 4).reshape(33, 4) / 200 + 0.1


def landmarks(values=NUMBERS, keys=("x", "y", "z", "visibility")):
    return [dict(zip(keys, row)) for row in np.asarray(values, float).tolist()]


def of_the_world(values=NUMBERS):
    """The hips' middle at the origin."""
    moved = np.array(values)
    moved[:, :3] -= moved[23:25, :3].mean(axis=0)
    return moved


def written(tmp_path, content):
    path = tmp_path / "clip.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


IMAGE = (NUMBERS * [1, -1, 1, 1])[:, [0, 1, 3]]


@pytest.mark.parametrize(
    "key", ["pose_world_landmarks", "poseWorldLandmarks", "landmarks", "keypoints"]
)
def test_world_landmarks(tmp_path, key):
    values = of_the_world()
    frames = [{key: landmarks(values), "t": 0}, {key: None}, {key: landmarks(values + 0.01)}]
    (motion,) = formats.read(written(tmp_path, {"frames": frames, "fps": 25}))
    assert (motion.name, motion.format, motion.convention) == ("clip", "MediaPipe", "MediaPipe")
    assert (motion.dims, motion.unit_in_metres, motion.up, motion.fps) == (3, 1.0, "-y", 25.0)
    assert motion.joint_names == mediapipe.LANDMARKS
    assert motion.joint_names[23:25] == ("left_hip", "right_hip")
    np.testing.assert_allclose(motion.positions[0, 0], values[:, :3])
    np.testing.assert_allclose(motion.positions[2, 0], values[:, :3] + 0.01)
    assert np.isnan(motion.positions[1]).all()
    stated = ("The hips are at the origin: where the body goes is not in the file.",
              "Nobody is seen in 1 frame of 3.")  # fmt: skip
    assert motion.notes[-2:] == stated
    assert len(motion.notes) == (2 if "orld" in key else 3)


@pytest.mark.parametrize("key", ["pose_landmarks", "poseLandmarks", "landmarks", "keypoints"])
def test_image_landmarks(tmp_path, key):
    (motion,) = formats.read(written(tmp_path, [{key: landmarks()}, {}]))
    assert (motion.dims, motion.unit_in_metres, motion.up, motion.fps) == (2, None, None, None)
    np.testing.assert_allclose(motion.positions[0, 0], IMAGE)
    assert np.isnan(motion.positions[1]).all()
    assert any("shares of the image's width" in note for note in motion.notes)
    assert any("z, a guess of depth, is left out" in note for note in motion.notes)


@pytest.mark.parametrize(
    "frame",
    [
        landmarks(),
        NUMBERS.tolist(),
        {"pose_landmarks": NUMBERS.tolist()},
        {"pose_landmarks": {"landmark": landmarks()}},
        {"pose_landmarks": [landmarks()]},
        {"pose_landmarks": [{"landmark": landmarks()}]},
        {"pose_landmarks": [NUMBERS.tolist()]},
        {"pose_landmarks": dict(zip(map(str.upper, mediapipe.LANDMARKS), landmarks()))},
    ],
)
def test_forms_of_a_frame(tmp_path, frame):
    (motion,) = formats.read(written(tmp_path, [frame, None]))
    np.testing.assert_allclose(motion.positions[0, 0], IMAGE)
    assert motion.positions.shape == (2, 1, 33, 3)


def test_a_frame_alone(tmp_path):
    (motion,) = formats.read(written(tmp_path, landmarks()))
    np.testing.assert_allclose(motion.positions[:, 0], IMAGE[None])


def test_world_landmarks_come_before_the_images(tmp_path):
    frame = {"pose_landmarks": landmarks(), "pose_world_landmarks": landmarks(of_the_world())}
    (motion,) = formats.read(written(tmp_path, [frame, frame]))
    assert motion.dims == 3
    assert "Left out: pose_landmarks of 2 frames." in motion.notes


def test_two_persons(tmp_path):
    there = landmarks(NUMBERS + np.array([5, 0, 0, 0]))
    frames = [{"pose_landmarks": each} for each in ([landmarks(), there], [there, landmarks()])]
    (motion,) = formats.read(written(tmp_path, frames))
    assert motion.positions.shape == (2, 2, 33, 3)
    np.testing.assert_allclose(motion.positions[0], motion.positions[1])


def test_no_visibility(tmp_path):
    (motion,) = formats.read(written(tmp_path, [landmarks(NUMBERS[:, :3])]))
    assert (motion.positions[..., 2] == 1).all()
    assert "No visibility is stated of some landmarks: it is 1." in motion.notes


def test_the_real_file(real_files):
    (motion,) = formats.read(real_files / "keypoints" / "mediapipe_wrong87.json")
    assert motion.positions.shape == (29, 1, 33, 3)
    assert motion.dims == 2
    np.testing.assert_allclose(
        motion.positions[0, 0, 0], [0.4750783443450928, -0.6118737459182739, 0.9968839287757874]
    )


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("{", "is not valid JSON"),
        ([], "is an empty list; expected a list of frames"),
        ("null", "is 'None'; expected a list of frames"),
        ("3", "is '3'; expected a list of frames"),
        ({}, "is an object with nothing; expected a list of frames"),
        ({"frames": {}}, "is an object with frames; expected"),
        ({"frames": [], "fps": 30}, "is an empty list"),
        ({"frames": [landmarks()], "fps": -1}, "fps is -1; expected a positive number"),
        ([1, 2], "frame 0 is '1'; expected"),
        ([None, {}], "nobody is detected in 2 frames"),
        ([{"keypoints": []}], "nobody is detected in 1 frame"),
        ([{"face_landmarks": [1]}], "has frames with face_landmarks; expected a list of frames"),
        ([{"keypoints": landmarks()[:17]}], "frame 0: keypoints has 17 landmarks; expected 33"),
        ([{"keypoints": [landmarks()[:17]]}], "frame 0: keypoints has 17 landmarks; expected 33"),
        ([None, landmarks()[1:]], "frame 1 has 32 landmarks"),
        ([{"keypoints": "nose"}], "frame 0: keypoints is 'nose'; expected a list of landmarks"),
        ([{"keypoints": {"nose": 1}}], "has no landmark 'left_eye_inner'"),
        ([{"keypoints": landmarks(keys=("X", "Y", "Z"))}], r"landmark 0 \(nose\) is {'X': 0.1"),
        ([{"keypoints": [*landmarks()[:32], {"x": 1, "y": "2"}]}], r"landmark 32 \(right_foot_in"),
        ([{"keypoints": [*landmarks()[:32], [1, 2]]}], r"landmark 32 \(right_foot_index\) is \[1,"),
        ([{"keypoints": [*landmarks()[:32], None]}], r"landmark 32 \(right_foot_index\) is None"),
        ([{"keypoints": [*landmarks()[:32], {"x": True, "y": 1}]}], "landmark 32"),
        ([{"keypoints": [*landmarks()[:32], {"x": 10**400, "y": 1}]}], "something else than num"),
        (json.dumps([landmarks()]).replace("0.1,", "Infinity,"), r"is infinite at \[0, 0\]"),
        ([landmarks(np.full((33, 4), np.nan))], "no landmark has a position"),
        ({"joint_names": ["a"]}, "is a skeleton file, which says what the joints of a motion are"),
        ({"roles": {}}, "is a skeleton file"),
        ({"images": [], "annotations": []}, "is a file of annotations in COCO's form"),
        ([{"image_id": "0.jpg", "keypoints": [1] * 51}], "is a list of detections in COCO's form"),
        ([{"people": []}], "is a list of OpenPose's frames"),
    ],
)
def test_what_is_no_motion(tmp_path, content, problem):
    path = written(tmp_path, content)
    with pytest.raises(ValueError, match=problem) as error:
        mediapipe.read(path, Options())
    assert str(error.value).startswith(str(path))


@pytest.mark.parametrize(
    ("content", "claimed"),
    [
        ([{"keypoints": landmarks()}], True),
        ({"fps": 30, "frames": [{"poseWorldLandmarks": []}]}, True),
        ([None, landmarks()], True),
        ([None, [], NUMBERS.tolist()], True),
        ({"images": [], "annotations": []}, True),  # to say what it is
        ({"joint_names": ["a"]}, True),
        ({"name": "package", "version": 1}, False),
        ([], False),
        ([1, 2], False),
        ("{", False),
    ],
)
def test_what_is_claimed(tmp_path, content, claimed):
    path = written(tmp_path, content)
    assert mediapipe.claims(path) == claimed
    if not claimed:
        with pytest.raises(ValueError, match=r"is none of the formats with the suffix \.json"):
            formats.read(path)


def test_nothing_is_claimed_that_cannot_be_read(tmp_path):
    assert not mediapipe.claims(tmp_path / "none.json")
