"""Files that are refused by what they are."""

import pytest

from motionalign import formats
from motionalign.formats import unread


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("a01_s01_e01_skeleton3D.txt", "-0.371736 0.371031 2.674849 1.000000\n", "MSR-Action3D"),
        ("joints_s01_e01.txt", "190   " + "0.8  -0.06 1.9 " * 20, r"UTKinect-Action3D \(20 joints"),
    ],
)
def test_recordings_of_labelled_sets(tmp_path, file, content, message):
    (tmp_path / file).write_text(content)
    with pytest.raises(ValueError, match=rf"{file} is a recording of {message}.*labelled \.npz"):
        formats.read(tmp_path / file)
    (tmp_path / file).write_text("something else")
    with pytest.raises(ValueError) as refusal:
        formats.read(tmp_path / file)
    assert "is a recording of" not in str(refusal.value)


def test_the_published_files(real_files):
    """The recordings of each set, and the lists beside them, which are none."""
    names = {"msr_action3d": "MSR-Action3D", "utkinect": "UTKinect-Action3D", "utd_mhad": "none"}
    lists = ("actionLabel.txt", "files_used_in_cvpr12_paper.txt", "Skeleton_joint_order.txt")
    folder = real_files / "action_raw"
    files = [path for path in sorted(folder.rglob("*.txt")) if path.name != "skeleton_pos.txt"]
    assert len(files) == 6
    for path in files:
        with pytest.raises(ValueError) as refusal:
            formats.read(path)
        known = f"is a recording of {names[path.relative_to(folder).parts[0]]}"
        assert str(refusal.value).startswith(str(path))
        assert (known in str(refusal.value)) == (path.name not in lists), path


@pytest.mark.parametrize("suffix", unread._SUFFIXES)
def test_other_files(tmp_path, suffix):
    path = tmp_path / f"clip{suffix.upper()}"
    path.write_bytes(b"\x00\xff")
    with pytest.raises(ValueError, match=r"clip\.\w+ (is|has) (an? )?\w+"):
        formats.read(path)


@pytest.mark.parametrize(
    "head", ["Frame,LandmarkID,X,Y", "frame,L0_x,L0_y,L0_z,L0_visibility", "t,nose_x,nose_y",
             "0_x,0_y,0_z,1_x"],
)  # fmt: skip
def test_tables_of_landmarks(tmp_path, head):
    path = tmp_path / "pose.csv"
    path.write_text(head + "\n0,0,0.1,0.2\n")
    with pytest.raises(ValueError, match=r"pose\.csv is a table of landmarks, .* numpy\.save"):
        formats.read(path)
    path.write_text("time,heart_rate\n0,60\n")
    with pytest.raises(ValueError, match=r"its content is none of the formats"):
        formats.read(path)


def test_a_suffix_that_a_format_reads_is_not_listed():
    assert not unread._SUFFIXES.keys() & {
        end for f in formats.FORMATS.values() if f.files is None for end in f.suffixes
    }
