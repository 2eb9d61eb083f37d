"""Keypoints of OpenPose."""

import json

import numpy as np
import pytest

from motionalign import formats
from motionalign.formats import openpose


def person(x=0.0, count=25, **more):
    """A body at x, whose second point was not detected."""
    points = np.stack([np.full(count, x), 10.0 * np.arange(1, count + 1), np.full(count, 0.5)], 1)
    points[1] = 0
    return {"pose_keypoints_2d": points.ravel().tolist(), **more}


def written(folder, frames, name="clip_{:012d}_keypoints.json", first=0):
    """A file for each list of people; None: no file."""
    folder.mkdir(exist_ok=True)
    for index, people in enumerate(frames, first):
        if people is not None:
            text = json.dumps({"version": 1.3, "people": people})
            (folder / name.format(index)).write_text(text)
    return folder


def test_a_folder_is_a_take(tmp_path):
    people = [[person(1)], [], None, [person(2)]]
    (motion,) = formats.read(written(tmp_path / "video", people, first=5))
    assert (motion.name, motion.format, motion.dims) == ("clip", "OpenPose", 2)
    assert (motion.fps, motion.unit_in_metres, motion.up, motion.parents) == (None,) * 4
    assert motion.joint_names == openpose.BODY_25
    assert motion.convention == "OpenPose BODY-25"
    assert motion.positions.shape == (4, 1, 25, 3)
    np.testing.assert_array_equal(motion.positions[0, 0, 0], [1, -10, 0.5])  # y up
    np.testing.assert_array_equal(motion.positions[0, 0, 1], [np.nan, np.nan, 0])
    np.testing.assert_array_equal(motion.positions[3, 0, 24], [2, -250, 0.5])
    assert np.isnan(motion.positions[1:3]).all()
    assert motion.notes == (
        "Not measured: 1 frame between 5 and 8, without a file.",
        "Nobody is seen in 2 frames of 4.",
    )


def test_two_persons_and_what_is_left_out(tmp_path):
    hands = {"hand_left_keypoints_2d": [1, 2, 3], "hand_right_keypoints_2d": [],
             "face_keypoints_2d": [1, 2, 3], "pose_keypoints_3d": []}  # fmt: skip
    frames = [[person(0, **hands), person(900)], [person(901), person(1, **hands)]]
    (motion,) = formats.read(written(tmp_path / "video", frames))
    np.testing.assert_array_equal(motion.positions[:, :, 0, 0], [[0, 900], [1, 901]])
    assert motion.persons == ("person 1", "person 2")
    assert motion.notes[1:] == ("Left out: 2 faces.", "Left out: 2 left hands.")


def test_person_id(tmp_path):
    frames = [[person(0, person_id=[1]), person(900, person_id=[0])], [person(5, person_id=[0])]]
    (motion,) = formats.read(written(tmp_path / "video", frames))
    np.testing.assert_array_equal(motion.positions[:, :, 0, 0], [[900, 0], [5, np.nan]])
    assert motion.persons == ("person 0", "person 1")
    assert motion.notes == ()


def test_older_versions_and_other_spellings(tmp_path):
    """18 points, the first key, points as lists, no confidence that anything was detected."""
    old = {"pose_keypoints": person(3, 18)["pose_keypoints_2d"]}
    nested = {"pose_keypoints_2d": np.reshape(old["pose_keypoints"], (18, 3)).tolist()}
    nobody = {"pose_keypoints_2d": [0] * 54}
    (motion,) = formats.read(written(tmp_path / "video", [[old, nobody], [nested], [{
        "pose_keypoints_2d": []}]]))  # fmt: skip
    assert motion.positions.shape == (3, 1, 18, 3)
    assert motion.convention == "OpenPose COCO-18"
    assert motion.joint_names[1] == "neck"
    np.testing.assert_array_equal(motion.positions[0], motion.positions[1])
    assert "Left out: 2 detections without a body." in motion.notes


def test_several_takes_in_a_folder(tmp_path):
    folder = written(tmp_path / "video", [[person()]] * 2, "a_{:03d}_keypoints.json")
    written(folder, [[person()]] * 3, "b{:d}_keypoints.json")
    written(folder, [[person()]], "photo_keypoints.json")
    written(folder, [[person()]] * 4, "{:012d}_keypoints.json")
    (folder / "other.json").write_text("[]")
    (folder / "._a_000_keypoints.json").write_bytes(b"\0\5\x16\7")  # of macOS
    takes = {motion.name: motion.num_frames for motion in formats.read(folder)}
    assert takes == {"a": 2, "b": 3, "photo": 1, "video": 4}


def test_a_frame_alone(tmp_path):
    folder = written(tmp_path / "video", [[person()]] * 2, "clip{}.json")
    (motion,) = formats.read(folder / "clip1.json")
    assert (motion.name, motion.positions.shape) == ("clip1", (1, 1, 25, 3))


def test_the_real_sequence(real_files):
    folder = real_files / "keypoints" / "openpose_small_man"
    (motion,) = formats.read(folder)
    assert motion.name == "small_man"
    assert motion.positions.shape == (121, 1, 25, 3)
    assert motion.notes == ()
    np.testing.assert_array_equal(motion.positions[0, 0, 0], [652.959, -231.73, 0.861008])
    middle = np.nanmean(motion.positions, axis=(0, 1))[:, 1]
    head, neck, hips, ankle = (middle[motion.joint_names.index(name)]
                               for name in ("nose", "neck", "mid_hip", "left_ankle"))  # fmt: skip
    assert head > neck > hips > ankle


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("{", "is not valid JSON"),
        ("[]", "is a list; expected an object"),
        ({}, "lacks 'people'"),
        ({"people": {}}, "people is an object; expected a list"),
        ({"people": [1]}, r"people\[0\] is 1; expected an object"),
        ({"people": [{}]}, r"people\[0\] has no pose_keypoints_2d; it has nothing"),
        ({"people": [{"keypoints": []}]}, "has no pose_keypoints_2d; it has keypoints"),
        ({"people": [{"pose_keypoints_2d": None}]}, "pose_keypoints_2d is None; expected a list"),
        ({"people": [{"pose_keypoints_2d": "1 2 3"}]}, "expected a list"),
        ({"people": [{"pose_keypoints_2d": [0.0] * 51}]}, r"has 51 numbers; expected .* 75 \(Open"),
        ({"people": [{"pose_keypoints_2d": [1.0] * 74}]}, "has 74 numbers"),
        ({"people": [{"pose_keypoints_2d": [[1.0] * 25] * 3}]}, "has 75 numbers; expected x, y"),
        ({"people": [{"pose_keypoints_2d": [[1.0], 2.0]}]}, "is no list of numbers"),
        ({"people": [{"pose_keypoints_2d": [1.0] * 74 + ["a"]}]}, "has 'a'; expected numbers"),
        ({"people": [{"pose_keypoints_2d": [1.0] * 74 + [None]}]}, "has None; expected numbers"),
        ({"people": [{"pose_keypoints_2d": [{}]}]}, "has 'no number'; expected numbers"),
        ('{"people": [{"pose_keypoints_2d": [Infinity' + ", 1" * 74 + "]}]}", "is infinite at"),
        ({"people": [person(person_id=["a"])]}, "person_id is 'a'; expected a whole number"),
        ({"people": []}, "nobody is detected in 1 frame"),
        ({"people": [{"pose_keypoints_2d": [0] * 75}]}, "nobody is detected in 1 frame"),
    ],
)
def test_spoiled_frames(tmp_path, content, problem):
    path = tmp_path / "clip_7_keypoints.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    for given in (path, tmp_path):
        with pytest.raises(ValueError, match=problem):
            formats.read(given)


def test_bodies_of_two_kinds(tmp_path):
    folder = written(tmp_path / "video", [[person()], [person(count=18)]])
    with pytest.raises(ValueError, match=r"1_keypoints\.json has bodies of 18 points, and .* 25"):
        formats.read(folder)


def test_numbers_of_frames(tmp_path):
    written(tmp_path, [[person()]], "clip_1_keypoints.json")
    written(tmp_path, [[person()]], "clip_01_keypoints.json")
    with pytest.raises(ValueError, match="is frame 1, as is clip_01_keypoints"):
        formats.read(tmp_path)
    (tmp_path / "clip_01_keypoints.json").unlink()
    written(tmp_path, [[person()]], "clip_900000000000_keypoints.json")
    with pytest.raises(ValueError, match="are 900,000,000,000, but only 2 files are there"):
        formats.read(tmp_path)
