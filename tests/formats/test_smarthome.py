"""Poses of LCR-Net in JSON."""

import json

import mutations
import numpy as np
import pytest
from lcrnet_files import detection, write

from motionalign import formats
from motionalign.anatomy.takes import read_takes
from motionalign.formats import smarthome
from motionalign.skeleton import SKELETONS


def pose(x=0.0):
    return np.arange(39.0).reshape(13, 3) / 20 + [x, 0, 3]


def test_a_file_is_read(tmp_path):
    path = write(tmp_path / "Walk_p02_r00_v01_c03.json", [[], [pose()], [pose(0.1)]])
    (motion,) = formats.read(path)
    assert (motion.name, motion.format, motion.dims) == ("Walk_p02_r00_v01_c03", "LCR-Net", 3)
    assert (motion.fps, motion.unit_in_metres, motion.up) == (None, None, "-y")
    assert motion.joint_names[0] == "right_ankle" and motion.joint_names[-1] == "head"
    np.testing.assert_array_equal(motion.positions[1, 0], pose())
    np.testing.assert_allclose(motion.positions[2, 0, 12], [36 / 20 + 0.1, 37 / 20, 38 / 20 + 3])
    assert np.isnan(motion.positions[0]).all()
    assert motion.notes == ("Nobody is seen in 1 frame of 3.",)


def test_the_joints_are_those_of_the_skeleton_from_the_end():
    assert smarthome.JOINT_NAMES[::-1] == SKELETONS["smarthome13"].joint_names


def test_persons_are_followed(tmp_path):
    frames = [[pose(), pose(9)], [pose(9), pose()]]
    (motion,) = formats.read(write(tmp_path / "a.json", frames))
    np.testing.assert_array_equal(motion.positions[:, 1], [pose(9), pose(9)])
    found = smarthome.parse(tmp_path / "a.json")
    assert (found.frame.tolist(), found.ids) == ([0, 0, 1, 1], ("0", "1", "0", "1"))
    np.testing.assert_array_equal(found.positions[1:3], [pose(9), pose(9)])


def test_it_is_a_body(tmp_path):
    """All its joints are known, with a pelvis and a neck between them."""
    from bodies import body

    standing = body(12, "smarthome13")[:, ::-1] * [1, -1, -1]
    path = write(tmp_path / "a.json", [[joints] for joints in standing.tolist()])
    (take,) = read_takes(path)
    assert take.body.convention == "LCR-Net"
    roles = {point.role for point in take.body.points}
    assert {"pelvis", "neck", "head", "left_wrist", "right_ankle"} <= roles


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"njts": 13, "frames": [[], []]}, "nobody is detected in 2 frames"),
        ({"njts": 17, "frames": [[]]}, r"has poses of 17 joints \(njts\); expected 13"),
        (
            {"njts": 13, "frames": [[{"pose2d": []}]]},
            r"frames\[0\]\[0\] has no pose3d; it has pose2",
        ),
        ({"njts": 13, "frames": [[{"pose3d": [1, 2]}]]}, "pose3d has 2 numbers; expected 39"),
        ({"njts": 13, "frames": [[{"pose3d": "x"}]]}, "pose3d"),
        ({"njts": 13, "frames": [[{"pose3d": [float("nan")] * 39}]]}, "pose3d"),
        ({"njts": 13, "frames": {"0": []}}, "frames"),
        ({"njts": 13, "frames": [3]}, "frames"),
    ],
)
def test_spoiled_files(tmp_path, content, message):
    path = tmp_path / "a.json"
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=rf"a\.json.*{message}"):
        formats.read(path)


def test_what_is_claimed(tmp_path):
    path = tmp_path / "a.json"
    claimed = {
        json.dumps({"frames": [[]] * 9000 + [[detection(pose())]]}): True,
        json.dumps({"njts": 13, "frames": []}): True,
        json.dumps({"frames": [], "njts": 13}): True,
        json.dumps({"people": [], "version": 1.3}): False,
        json.dumps({"pose3d": [1]}): False,
        "": False,
    }
    for text, known in claimed.items():
        path.write_text(text)
        assert smarthome.claims(path) == known, text[:60]
    assert not smarthome.claims(tmp_path)


def test_mutated_files_are_read_or_refused_by_name(tmp_path):
    path = write(tmp_path / "a.json", [[pose()], [], [pose(), pose(4)]])
    assert 20 < mutations.refusals(path, mutate=mutations.of_json) < 100
