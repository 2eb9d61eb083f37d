"""SBU Kinect Interaction's skeleton_pos.txt: two persons, and spoiled files."""

import mutations
import numpy as np
import packed
import pytest

from motionalign import formats
from motionalign.formats import sbu_skeleton


def written(folder, values=None, first=55, place="s04s06/05/002"):
    """A recording of normalised positions [T, 2, 15, 3]; returns its path."""
    if values is None:
        values = np.random.default_rng(0).uniform(0.2, 0.8, (4, 2, 15, 3))
    path = folder / place / "skeleton_pos.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = (",".join(map(str, [first + t, *row.ravel()])) for t, row in enumerate(values))
    path.write_text("\n".join(rows) + "\n")
    return path


def test_positions_are_converted_as_published(tmp_path):
    """Values by hand, in millimetres: 1280 - 2560 x, 960 - 1920 y, 10000 / 7.8125 z."""
    values = np.zeros((2, 2, 15, 3)) + 0.5
    values[1, 1, 14] = [0.25, 0.75, 1.5625]
    (motion,) = formats.read(written(tmp_path, values))
    np.testing.assert_allclose(motion.positions[0], np.broadcast_to([0, 0, 0.64], (2, 15, 3)))
    np.testing.assert_allclose(motion.positions[1, 1, 14], [0.64, -0.48, 2.0])
    assert motion.joint_names[14] == "RFoot"
    assert motion.persons == ("left person", "right person")
    assert motion.labels == {"class": "shaking hands", "subject": 406, "trial": 2}
    assert (motion.fps, motion.unit_in_metres, motion.up, motion.notes) == (15, 1, "y", ())


def test_what_is_missing_is_noted(tmp_path):
    values = np.full((3, 2, 15, 3), 0.5)
    values[1, 1] = 0
    path = written(tmp_path, values, place="recordings")
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:2], lines[2].replace("57,", "59,")]))
    (motion,) = formats.read(path)
    assert np.isnan(motion.positions[1, 1]).all() and np.isnan(motion.positions).sum() == 45
    assert motion.labels == {}
    assert motion.notes == (
        "15 places of joints that are zeros are left out.",
        "The numbers of the frames do not follow each other: frames may be missing.",
        "No labels: the folders of the file are not those of the set, s01s02/05/001.",
    )


def test_spoiled_files_are_refused(tmp_path):
    path = written(tmp_path, place="s01s02/09/001")
    with pytest.raises(ValueError, match=r"folder of class 9; SBU Kinect Interaction has 1 to 8"):
        formats.read(path)
    path = written(tmp_path)
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0], lines[1] + ",0.5"]))
    with pytest.raises(ValueError, match=r"skeleton_pos\.txt, line 2: 92 values, expected 91"):
        formats.read(path)
    path.write_text("\n".join([lines[0], lines[1].replace(",", ",x", 1)]))
    with pytest.raises(ValueError, match=r"line 2: column 2 is 'x0\.\d+'"):
        formats.read(path)
    path.write_text("not positions")
    with pytest.raises(ValueError, match=r"none of the formats with the suffix \.txt: SBU"):
        formats.read(path)


def test_other_text_files_are_no_motions(tmp_path):
    written(tmp_path)
    (tmp_path / "train.txt").write_text("a\n")
    assert [path.name for path in formats.find(tmp_path)] == ["skeleton_pos.txt"]
    with pytest.raises(
        ValueError, match=r"no motion format has the suffix \.txt; known: (?!.*txt)"
    ):
        formats.read(tmp_path / "train.txt")


def test_real_recordings_equal_the_packed_ones(real_files, test_data):
    root = real_files / "action_raw" / "sbu"
    files = sorted(root.rglob("*.txt"))
    assert len(files) == 4
    for path in files:
        (motion,) = formats.read(path)
        clip, labels = packed.clip(test_data, "sbu_interaction", str(path.relative_to(root)))
        np.testing.assert_allclose(motion.positions, clip, atol=0.6e-4)
        assert {**motion.labels, "view": 0} == {
            **labels,
            "class": labels["class"].replace("_", " "),
        }
    assert len(sbu_skeleton.CLASSES) == 8


def test_mutated_files_are_read_or_refused_by_name(tmp_path):
    assert mutations.refusals(written(tmp_path)) > 20
