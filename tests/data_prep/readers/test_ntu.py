"""NTU RGB+D: real files, written ones, and the command."""

import json

import numpy as np
import pytest
import skeleton_files
import tensorflow_datasets as tfds
from skeleton_files import KINECT, alone, person

from data_prep import __main__ as command
from data_prep.class_names import NTU as CLASSES
from data_prep.readers import InvalidClip, ntu
from data_prep.readers.ntu import Ntu, parse_name
from data_prep.survey import survey
from motionalign import formats
from motionalign.data.dataset import Dataset
from motionalign.skeleton import SKELETONS

ORDER = [KINECT.index(name) for name in SKELETONS["ntu25"].joint_names]


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("S001C002P003R002A013", (12, 3, 2, 1)),
        ("S032C003P106R001A120", (119, 106, 3, 32)),
        ("S033C001P001R001A001", None),
        ("S001C004P001R001A001", None),
        ("S001C001P107R001A001", None),
        ("S001C001P001R003A001", None),
        ("S001C001P001R001A121", None),
        ("S001C001P001R001A000", None),
        ("S001C001P001R001A001_rgb", None),
        ("", None),
    ],
)
def test_names(name, found):
    said = parse_name(name)
    assert (said and (said.label, said.subject, said.view, said.setup)) == found


def test_the_order_of_joints():
    assert ntu.skeleton_order() == ORDER
    assert ORDER[:4] == [0, 1, 20, 2] and sorted(ORDER) == list(range(25))


@pytest.mark.parametrize(
    ("name", "frames", "order", "first"),
    [
        ("S001C001P001R001A011", 82, [0], (0.2058097, 0.1920515, 3.810989)),
        ("S001C003P008R002A058", 70, [1, 0], (-0.387201, -0.05403496, 2.961099)),
        ("S002C001P003R001A003", 100, [0], (0.1264189, -0.08822607, 2.788731)),
    ],
)
def test_real_files(real_files, name, frames, order, first):
    """Values read off by hand, and all joints against the motion format.

    Of the two persons who shake hands the one who comes second in the file moves more.
    """
    reader = Ntu(real_files / "ntu", "xsub60")
    joints = reader.joints(name)
    assert joints.shape == (frames, 2, 25, 3) and joints.dtype == np.float32
    assert joints.any(axis=(0, 2, 3)).sum() == len(order)
    np.testing.assert_array_equal(joints[0, 0, 0], np.float32(first))
    (motion,) = formats.read(real_files / "ntu" / f"{name}.skeleton")
    raw = motion.positions[:, order][:, :, ORDER].astype(np.float32)
    np.testing.assert_array_equal(joints[:, : len(order)], raw)
    assert reader.joints(name) is not joints
    np.testing.assert_array_equal(reader.joints(name), joints)


def test_a_real_dataset(real_files, tmp_path, capsys):
    command.main(["ntu", f"--raw_dir={real_files / 'ntu'}", "--benchmark=xview60", "--name=ntu",
                  f"--data_dir={tmp_path}", "--val_share=0"])  # fmt: skip
    out = capsys.readouterr().out
    assert "1 clip to train and 2 to test, where the field has 37,646 and 18,932" in out
    dataset = Dataset(tmp_path, "ntu")
    metadata = dataset.metadata
    assert metadata.label_names == CLASSES[:60] and metadata.protocol == "NTU RGB+D cross-view"
    assert (metadata.skeleton.name, metadata.fps, metadata.source_fps) == ("ntu25", 30, 30)
    assert metadata.unit_in_metres == 1
    report = json.loads((tmp_path / "ntu" / "1.0.0" / "report.json").read_text())
    assert report["kept"] == 3 and report["options"]["benchmark"] == "xview60"
    assert report["split_made"]["by"] == "view"
    with_tfds = tfds.builder_from_directory(tmp_path / "ntu" / "1.0.0").as_dataset(split="train")
    (clip,) = tfds.as_numpy(with_tfds)
    assert clip["id"] == b"S001C003P008R002A058" and clip["labels"].tolist() == [57]
    assert clip["captions"].tolist() == [b"shake hands"]
    reader = Ntu(real_files / "ntu", "xview60", val_share=0)
    np.testing.assert_array_equal(clip["joints"], reader.joints("S001C003P008R002A058"))


@pytest.fixture
def raw(tmp_path):
    """Clips of 4 subjects, of whom 1 and 2 train, and 3 and 6 test, and their joints."""
    folder = tmp_path / "raw"
    joints = {}
    for number, subject in enumerate((1, 2, 3, 6)):
        for action in (1, 2, 3):
            name = f"S001C001P{subject:03d}R001A{action:03d}"
            joints[name] = alone(folder / f"{name}.skeleton", seed=10 * number + action)
    return folder, joints


def test_written_files(raw):
    folder, written = raw
    reader = Ntu(folder, "xsub60")
    assert {split: len(names) for split, names in reader.splits().items()} == {
        "train": 3, "val": 3, "test": 6,
    }  # fmt: skip
    for name, joints in written.items():
        found = reader.joints(name)
        np.testing.assert_array_equal(found[:, 0], joints[:, ORDER].astype(np.float32))
        assert not found[:, 1].any()
        assert reader.label_names[reader.label(name)] == reader.captions(name)[0].text
        assert reader.label_names[reader.label(name)] == CLASSES[int(name[-3:]) - 1]


def test_joints_that_were_not_tracked_are_kept(tmp_path):
    """As in the preparation that the field shares: their places are guesses of the sensor."""
    path = tmp_path / "raw" / "S001C001P001R001A001.skeleton"
    joints = person(12)
    skeleton_files.write(path, [[("1", pose)] for pose in joints], state=0)
    found = Ntu(tmp_path / "raw", "xsub60", val_share=0).joints(path.stem)
    np.testing.assert_array_equal(found[:, 0], joints[:, ORDER].astype(np.float32))


def test_what_is_dropped_and_why(raw):
    folder, _ = raw
    names = sorted(path.stem for path in folder.iterdir())
    listed, empty, short, cut, *_ = [name for name in names if "P003" in name or "P006" in name]
    (folder.parent / "missing.txt").write_text(f"1 is missing.\n\n{listed}\n")
    skeleton_files.write(folder / f"{empty}.skeleton", [[], [], []])
    two = person(11), person(11, at=(1, 0, 3))
    skeleton_files.write(
        folder / f"{short}.skeleton",
        [[("1", pose)] for pose in two[0]] + [[("2", pose)] for pose in two[1]],
    )
    text = (folder / f"{cut}.skeleton").read_text()
    (folder / f"{cut}.skeleton").write_text(text[:2000])
    found = survey(Ntu(folder, "xsub60", [folder.parent / "missing.txt"]))
    dropped = {entry["id"]: (entry["reason"], entry["detail"]) for entry in found.dropped}
    assert dropped[listed] == ("left_out", "named in missing.txt")
    assert dropped[empty] == ("no_body", "no body in any of 3 frames")
    assert dropped[short] == ("no_body", "2 bodies, none of which lasts")
    reason, detail = dropped[cut]
    assert reason == "motion_unreadable" and detail.startswith(f"{cut}.skeleton ends after line")
    assert len(dropped) == 4 and found.report()["kept"] == 8


def test_other_classes_are_in_no_part(raw):
    folder, _ = raw
    alone(folder / "S018C001P045R001A061.skeleton")
    (folder / "notes.txt").touch()
    reader = Ntu(folder, "xsub60")
    assert "in no part of it: 1 recording of other classes" in reader.notes
    assert reader.unlisted() == ["notes.txt"]
    assert sum(map(len, reader.splits().values())) == 12
    both = Ntu(folder, "xsub120")
    assert "S018C001P045R001A061" in (*both.splits()["train"], *both.splits()["val"])
    assert both.label("S018C001P045R001A061") == 60 and len(both.label_names) == 120


def test_a_folder_without_recordings_of_the_benchmark(tmp_path):
    alone(tmp_path / "S018C001P045R001A061.skeleton", frames=2)
    with pytest.raises(
        ValueError, match="has no recording of the classes of the benchmark, only 1 rec"
    ):
        Ntu(tmp_path, "xsub60")


def test_too_few_subjects_for_val(tmp_path):
    alone(tmp_path / "S001C001P001R001A001.skeleton", frames=2)
    message = "all recordings that train are of one subject, 1, and none can be val; give --val_sha"
    with pytest.raises(ValueError, match=rf"^--val_share=0\.1: {message}"):
        Ntu(tmp_path, "xsub60")


def test_unknown_benchmark_and_lists_are_told_in_one_line(raw, tmp_path, capsys):
    folder, _ = raw
    with pytest.raises(SystemExit):
        command.main(["ntu", f"--raw_dir={folder}", "--benchmark=xsub"])
    assert "invalid choice: 'xsub'" in capsys.readouterr().err
    said = {
        "--benchmark=xset120": "12 recordings found, none of which trains by NTU RGB+D 120 "
        "cross-setup: those of setup 2, 4, 6, 8, 10, ... do",
        f"--missing={tmp_path / 'none.txt'}": "none.txt cannot be read",
    }
    for option, message in said.items():
        arguments = ["ntu", f"--raw_dir={folder}", "--benchmark=xsub60", option]
        with pytest.raises(SystemExit) as caught:
            command.main([*arguments, f"--data_dir={tmp_path}"])
        assert message in str(caught.value) and len(str(caught.value).splitlines()) == 1


def narrow(joints):
    """Arms that do not stick out: a body wider than 0.8 of its height is no person."""
    return (joints * [0.5, 1, 1]).round(6)


def test_two_persons_stay_two_in_the_records(tmp_path):
    folder = tmp_path / "raw"
    for subject in (1, 2, 3):
        first, second = person(20, subject), person(20, 10 + subject, at=(1, 0, 3))
        first, second = (narrow(joints) for joints in (first, second))
        frames = [[("1", a), ("2", b)] for a, b in zip(first, second)]
        skeleton_files.write(folder / f"S001C001P{subject:03d}R001A050.skeleton", frames)
        alone(folder / f"S001C001P{subject:03d}R001A001.skeleton", seed=subject)
    command.main(["ntu", f"--raw_dir={folder}", "--benchmark=xsub60", f"--data_dir={tmp_path}"])
    report = json.loads((tmp_path / "ntu" / "1.0.0" / "report.json").read_text())
    assert report["kept"] == 6 and not report["dropped"]
    reader = Ntu(folder, "xsub60")
    persons = {
        name: int(reader.joints(name).any(axis=(0, 2, 3)).sum())
        for names in reader.splits().values() for name in names
    }  # fmt: skip
    assert sorted(persons.values()) == [1, 1, 1, 2, 2, 2]
    # Absent persons are no bodies at the camera: they do not count in the statistics.
    mean = Dataset(tmp_path, "ntu").metadata.mean
    assert np.abs(mean[0, 2] - 3) < 0.1


def test_nobody_is_an_error_of_the_clip(tmp_path):
    path = tmp_path / "S001C001P001R001A001.skeleton"
    skeleton_files.write(path, [[]])
    with pytest.raises(InvalidClip, match="no_body: no body in any of 1 frames"):
        Ntu(tmp_path, "xsub60", val_share=0).joints(path.stem)
