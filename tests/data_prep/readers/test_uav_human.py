"""UAV-Human: names, bodies by their places, and the axis that is found."""

import json

import numpy as np
import pytest
import skeleton_files
from skeleton_files import person

from data_prep import __main__ as command
from data_prep.class_names import UAV_HUMAN as CLASSES
from data_prep.readers.uav_human import UavHuman, parse_name
from data_prep.survey import survey
from motionalign.data.dataset import Dataset


def name_of(subject, action=31):
    return f"P{subject:03d}S01G10B00H10UC102000LC092000A{action:03d}R0_09131758"


@pytest.mark.parametrize(
    ("name", "found"),
    [
        (name_of(70), (31, 70)),
        ("P000S00G10B10H10UC022000LC021000A000R0_08241716", (0, 0)),
        (name_of(118, 154), (154, 118)),
        (name_of(119), None),
        (name_of(0, 155), None),
        ("P070A031", None),
        ("0000", None),  # of the competition, whose test files have no names
    ],
)
def test_names(name, found):
    said = parse_name(name)
    assert (said and (said.label, said.subject)) == found


@pytest.fixture
def raw(tmp_path):
    """Two clips each of two subjects who train and one who tests in both protocols, y down."""
    folder = tmp_path / "raw"
    for subject in (0, 8, 9):
        for action in (0, 154):
            joints = 100 * person(20, subject + action, skeleton="uav17") * [1, -1, -1]
            frames = [[("0", pose)] for pose in joints.round(4)]
            frames[3] = []
            skeleton_files.write(folder / "Skeleton" / f"{name_of(subject, action)}.txt", frames)
    (folder / "Skeleton" / "readme.txt").write_text("hello")
    return folder


def test_joints_are_turned_to_y_up(raw):
    reader = UavHuman(raw, "csv1")
    assert reader.notes[-1] == (
        "2 of 2 bodies of a sample stand along -y, which is taken to point up"
    )
    joints = reader.joints(name_of(9, 0))
    assert joints.shape == (19, 2, 17, 3) and joints.dtype == np.float32
    written = 100 * person(20, 9, skeleton="uav17")[[0, 1, 2, *range(4, 20)]]
    np.testing.assert_allclose(joints[:, 0], written, atol=1e-3)
    assert not joints[:, 1].any() and reader.unit_in_metres is None
    assert reader.unlisted() == ["Skeleton/readme.txt"]


def test_the_axis_can_be_stated(raw):
    reader = UavHuman(raw, "csv2", up="y")
    joints = reader.joints(name_of(9, 0))
    assert joints[0, 0, 0, 1] < joints[0, 0, -1, 1]  # the nose below an ankle
    assert not any("point up" in note for note in reader.notes)


def test_lying_bodies_say_nothing(tmp_path):
    for subject in (0, 8, 9):
        joints = person(12, subject, skeleton="uav17") * [1, 0.1, 1]
        frames = [[("0", pose)] for pose in joints]
        skeleton_files.write(tmp_path / f"{name_of(subject)}.txt", frames)
    assert UavHuman(tmp_path, "csv1").notes[-1].startswith("no body of a sample stands, and y is ")


def test_a_prepared_dataset(raw, tmp_path, capsys):
    skeleton_files.write(raw / f"{name_of(11)}.txt", [[], []])
    command.main(["uav_human", f"--raw_dir={raw}", "--protocol=csv2", "--fps=25",
                  f"--data_dir={tmp_path}"])  # fmt: skip
    assert "UAV-Human cross-subject v2. val: subject " in capsys.readouterr().out
    metadata = Dataset(tmp_path, "uav_human").metadata
    assert metadata.label_names == CLASSES and metadata.skeleton.name == "uav17"
    assert (metadata.fps, metadata.unit_in_metres) == (25, None)
    report = json.loads((tmp_path / "uav_human" / "1.0.0" / "report.json").read_text())
    assert [entry["reason"] for entry in report["dropped"]] == ["no_body"]
    drink = report["labels"]["drink"]
    assert (drink["train"] + drink["val"], drink["test"]) == (2, 1)


def test_two_bodies_by_their_places(tmp_path):
    """The second place moves most; the ids of the file say nothing."""
    still = person(1, 0, skeleton="uav17")[0]
    for subject in (0, 8, 9):
        frames = [
            [(str(t), still), (str(t + 1), still + np.array([2 + 0.1 * t, 0, 0]))]
            for t in range(12)
        ]
        skeleton_files.write(tmp_path / f"{name_of(subject)}.txt", frames)
    joints = UavHuman(tmp_path, "csv1", up="y").joints(name_of(9))
    assert joints[0, 0, 0, 0] > joints[0, 1, 0, 0] and joints[:, 1].any()


def test_files_of_other_joints_are_refused(tmp_path):
    for subject in (0, 8, 9, 11):
        skeleton_files.alone(tmp_path / f"{name_of(subject)}.txt", frames=3)
    with pytest.raises(ValueError, match=r"motion_unreadable.*line 4: '25'; expected 17, the numb"):
        survey(UavHuman(tmp_path, "csv1"))


def test_wrong_folders(tmp_path):
    (tmp_path / "0000.txt").touch()
    with pytest.raises(ValueError, match=r"no file is named like P070S01\S*\.txt; found 1 file,"):
        UavHuman(tmp_path, "csv1")
