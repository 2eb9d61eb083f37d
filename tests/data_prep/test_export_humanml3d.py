"""Tests of `python -m data_prep export_humanml3d`."""

import json
import pathlib
import re

import motion_files
import numpy as np
import pytest
from bodies import body

from data_prep.__main__ import main
from data_prep.readers.humanml3d import HumanML3D
from motionalign.anatomy.humanml3d import features, target_offsets, uniform_skeleton
from motionalign.conventions import Origin, canonical, measure
from motionalign.skeleton import SKELETONS

SMPL = SKELETONS["smpl22"]


def export(folder, out, *options):
    main(["export_humanml3d", str(folder), str(out), *options])


@pytest.fixture
def mocap(tmp_path) -> pathlib.Path:
    """Twelve BVH files of Mixamo's names at 30 frames per second, two of them in a folder."""
    folder = tmp_path / "my mocap"
    (folder / "dances").mkdir(parents=True)
    human = motion_files.human()
    names = ["dances/salsa left", "dances/waltz", *(f"walk_{letter}a" for letter in "bcdefghijk")]
    for seed, name in enumerate(names):
        values = motion_files.swing(human, 90 - seed, seed=seed)
        motion_files.write_bvh(folder / f"{name}.bvh", human, values)
    return folder


def names_in(folder, split):
    return (folder / f"{split}.txt").read_text("utf-8").split()


def test_a_folder_of_files_becomes_humanml3ds_layout(mocap, tmp_path, capsys):
    (mocap / "notes.bvh").write_text("no motion\n")
    out = tmp_path / "out"
    export(mocap, out, "--captions=names", "--seed=3")
    kept = sorted([*names_in(out, "train"), *names_in(out, "val"), *names_in(out, "test")])
    assert sorted(names_in(out, "all")) == kept and len(kept) == 12
    assert names_in(out, "train_val") == names_in(out, "train") + names_in(out, "val")
    assert {"dances_salsa_left", "walk_ba"} < set(kept)
    rows = []
    for name in kept:
        joints = np.load(out / "new_joints" / f"{name}.npy")
        values = np.load(out / "new_joint_vecs" / f"{name}.npy")
        assert joints.dtype == values.dtype == np.float32
        assert values.shape == (len(joints) - 1, 263)
        np.testing.assert_allclose(values, features(joints), atol=1e-6)
        found = measure(joints, SMPL)
        assert Origin().holds(found) and 1.3 < found.height < 1.8
        rows.append(values.astype(np.float64))
    assert len(np.load(out / "new_joints" / "dances_salsa_left.npy")) == 60  # 90 frames at 30
    np.testing.assert_allclose(np.load(out / "Mean.npy"), np.concatenate(rows).mean(0), atol=1e-5)
    std = np.load(out / "Std.npy")
    assert std.shape == (263,) and len(set(std[4:67].tolist())) == 1
    text = (out / "texts" / "dances_salsa_left.txt").read_text("utf-8")
    assert text == "salsa left dances#salsa/OTHER left/OTHER dances/OTHER#0.0#0.0\n"
    report = json.loads((out / "report.json").read_text("utf-8"))
    assert [entry["reason"] for entry in report["dropped"]] == ["motion_unreadable"]
    assert report["renamed"]["dances/salsa left"] == "dances_salsa_left"
    said = capsys.readouterr().out
    assert "1 motion_unreadable" in said and "12 clips" in said
    assert f"--raw_dir={out} --name=mine" in said
    reader = HumanML3D(out)
    assert reader.joints("walk_ba").shape[2] == 22 and not reader.unlisted()


def test_an_export_is_prepared_by_humanml3d(mocap, tmp_path, capsys):
    export(mocap, tmp_path / "out", "--captions=names", "--mirror")
    capsys.readouterr()
    main(["humanml3d", f"--raw_dir={tmp_path}/out", f"--data_dir={tmp_path}/data", "--name=mine"])
    said = capsys.readouterr().out
    assert "sources dropped: 0" in said and re.search(r"\nall +24 +24 ", said)


def test_the_next_command_judges_clips_as_the_export_does(mocap, tmp_path, capsys):
    for sensor, options in (("optical", ""), ("depth", " --sensor=depth")):
        out = tmp_path / sensor
        export(mocap, out, "--captions=names", f"--sensor={sensor}")
        assert capsys.readouterr().out.endswith(f"--raw_dir={out} --name=mine{options}\n")


def test_mirror_images_are_those_of_humanml3d(mocap, tmp_path):
    export(mocap, tmp_path / "out", "--captions=names", "--mirror")
    joints, twin = (
        np.load(tmp_path / "out" / "new_joints" / f"{name}.npy")
        for name in ("dances_salsa_left", "Mdances_salsa_left")
    )
    np.testing.assert_allclose(twin, SMPL.mirrored(joints), atol=1e-5)
    text = (tmp_path / "out" / "texts" / "Mdances_salsa_left.txt").read_text("utf-8")
    assert text == "salsa right dances#salsa/OTHER right/OTHER dances/OTHER#0.0#0.0\n"
    for split in ("train", "val", "test"):
        names = set(names_in(tmp_path / "out", split))
        assert {name[1:] if name[0] == "M" else f"M{name}" for name in names} == names


def test_bodies_get_the_bones_of_the_target(mocap, tmp_path, capsys):
    target = body(5, seed=9) * np.float32(1.1)
    np.save(tmp_path / "target.npy", target)
    export(mocap, tmp_path / "own", "--captions=names")
    assert "every body keeps its own bones" in capsys.readouterr().out
    export(mocap, tmp_path / "out", "--captions=names", f"--target={tmp_path}/target.npy")
    assert "every body keeps its own bones" not in capsys.readouterr().out
    own, made = (np.load(tmp_path / name / "new_joints" / "walk_ba.npy") for name in ("own", "out"))
    expected = canonical(uniform_skeleton(own, target_offsets(target)), SMPL)
    np.testing.assert_allclose(made, expected, atol=1e-5)
    assert np.abs(made - own).max() > 0.02


def test_the_target_has_its_own_unit(mocap, tmp_path):
    np.save(tmp_path / "target.npy", body(5, seed=9))
    for unit in ("cm", None):
        options = [f"--unit={unit}"] if unit else []
        out = tmp_path / f"out_{unit}"
        export(mocap, out, "--captions=names", f"--target={tmp_path}/target.npy", *options)
    made = [
        np.load(tmp_path / f"out_{unit}" / "new_joints" / "walk_ba.npy") for unit in ("cm", None)
    ]
    np.testing.assert_allclose(*made, atol=1e-5)


def test_a_target_must_be_a_body(mocap, tmp_path):
    wrong = body(5, seed=9)
    wrong[:, 21] += np.arange(5)[:, None]
    np.save(tmp_path / "wrong.npy", wrong)
    with pytest.raises(SystemExit, match=r"wrong\.npy: its bones cannot be taken: a bone's length"):
        export(mocap, tmp_path / "out", "--captions=names", f"--target={tmp_path}/wrong.npy")
    assert not (tmp_path / "out").exists()


def test_captions_of_a_table_with_times_and_awkward_characters(mocap, tmp_path):
    (mocap / "captions.csv").write_text(
        "file,caption,start,end\n"
        "walk_ba.bvh,turns left-handed,0.5,1.5\n"
        'walk_ba.bvh,"step #2, then\nstep 3",,\n'
        + "".join(f"walk_{letter}a,walks,,\n" for letter in "cdefghijk")
    )
    export(mocap, tmp_path / "out")
    lines = (tmp_path / "out" / "texts" / "walk_ba.txt").read_text("utf-8").splitlines()
    assert lines == [
        "turns left-handed#turns/OTHER lefthanded/OTHER#0.5#1.5",
        "step 2, then step 3#step/OTHER then/OTHER step/OTHER#0.0#0.0",
    ]
    report = json.loads((tmp_path / "out" / "report.json").read_text("utf-8"))
    assert report["kept"] == 10 and len(report["dropped"]) == 2


def test_a_folder_in_the_layout_keeps_captions_tokens_and_splits(published, tmp_path):
    line = "walks to the left#walk/VERB to/ADP the/DET left/NOUN#0.0#0.0"
    published.clip("000001", lines=[line, "turns#turn/VERB#0.5#1.0"])
    published.clip("000002", "val").clip("000003", "test").clip("000004", frames=1)
    export(published.folder, tmp_path / "out", "--mirror")
    out = tmp_path / "out"
    assert [names_in(out, split) for split in ("train", "val", "test")] == [
        ["000001", "M000001"],
        ["000002", "M000002"],
        ["000003", "M000003"],
    ]
    assert (out / "texts" / "000001.txt").read_text("utf-8").splitlines() == [
        line,
        "turns#turn/VERB#0.5#1.0",
    ]
    assert (out / "texts" / "M000001.txt").read_text("utf-8").splitlines()[0] == (
        "walks to the right#walk/VERB to/ADP the/DET right/NOUN#0.0#0.0"
    )
    joints = np.load(out / "new_joints" / "000001.npy")
    np.testing.assert_allclose(joints, canonical(published.joints("000001"), SMPL), atol=1e-6)


def test_another_frame_rate_of_the_layout_is_resampled(published, tmp_path):
    for name, split in (("a", "train"), ("b", "val"), ("c", "test")):
        published.clip(name, split, frames=41)
    export(published.folder, tmp_path / "out", "--fps=40")
    joints = np.load(tmp_path / "out" / "new_joints" / "a.npy")
    np.testing.assert_allclose(joints, canonical(published.joints("a")[::2], SMPL), atol=1e-6)


def test_new_joints_alone_are_enough(published, tmp_path):
    for i in range(10):
        published.clip(f"jump_{i}0")
    for name in ("texts", "train.txt", "val.txt", "test.txt"):
        path = published.folder / name
        for each in path.iterdir() if path.is_dir() else ():
            each.unlink()
        path.rmdir() if path.is_dir() else path.unlink()
    export(published.folder, tmp_path / "out", "--captions=names")
    assert len(names_in(tmp_path / "out", "all")) == 10
    assert (tmp_path / "out" / "texts" / "jump_00.txt").read_text("utf-8").startswith("jump#")


def test_names_differ_on_every_file_system(mocap, tmp_path):
    human = motion_files.human()
    for i, name in enumerate(("a_b", "a/b", "a b", "A_B", "A_b", "x" * 240)):
        (mocap / name).parent.mkdir(exist_ok=True)
        values = motion_files.swing(human, 60, seed=50 + i)
        motion_files.write_bvh(mocap / f"{name}.bvh", human, values)
    (mocap / "captions.csv").write_text(
        "file,caption\n" + "".join(f"{p.relative_to(mocap)},moves\n" for p in mocap.rglob("*.bvh"))
    )
    export(mocap, tmp_path / "out")
    names = names_in(tmp_path / "out", "all")
    assert len({name.casefold() for name in names}) == 18
    assert sum(name.casefold().startswith("a_b") for name in names) == 5
    assert max(map(len, names)) == 200


def test_values_that_never_change_are_told(tmp_path, capsys):
    """Feet that stand still have no deviation."""
    folder = tmp_path / "clips"
    folder.mkdir()
    still = np.repeat(body(1), 30, axis=0)
    for joint, height in zip((18, 19, 20, 21), np.linspace(0, 0.1, 4)):
        still[:, joint, 1] += np.sin(np.arange(30) / 5) * np.float32(0.02 + height)
    np.save(folder / "standing.npy", still)
    export(folder, tmp_path / "out", "--captions=names", "--split=100,0,0", "--fps=20")
    said = capsys.readouterr().out
    assert "warning: root_rotation_velocity" in said and "foot_contacts are the same" in said
    std = np.load(tmp_path / "out" / "Std.npy")
    assert not std[259:].any() and std[4:67].all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--captions=names", "--min_frames=1"], "--min_frames=1; expected at least 2"),
        (["--captions=names", "--fps=0"], "--fps=0.0; expected"),
        (["--captions=names", "--split=a"], "--split=a: expected the shares"),
        (["--captions=names", "--label=style"], "--label=style needs --captions=labels"),
        (["--captions=names", "--target=none.npy"], "none.npy cannot be read"),
        (["--captions=names", "--accept=all"], "accept='all'; expected one of"),
        ([], "has no captions.csv"),
    ],
)
def test_mistakes_are_told_and_leave_nothing(mocap, tmp_path, options, message):
    with pytest.raises(SystemExit, match=message):
        export(mocap, tmp_path / "out", *options)
    assert [path.name for path in tmp_path.iterdir()] == ["my mocap"]


def test_folders_are_checked_first(mocap, tmp_path):
    for folder, out, message in (
        (tmp_path / "none", tmp_path / "out", "none does not exist"),
        (mocap, mocap, "already exists; choose another folder"),
        (mocap, mocap / "new" / "out", "out is inside .*my mocap: .* Choose a folder elsewhere"),
    ):
        with pytest.raises(SystemExit, match=message):
            export(folder, out, "--captions=names")


def test_options_of_files_are_refused_in_the_layout(published, tmp_path):
    published.clip("000001")
    with pytest.raises(SystemExit, match=r"--smplh_dir is for motion files.*HumanML3D's layout"):
        export(published.folder, tmp_path / "out", "--smplh_dir=smplh")
    with pytest.raises(SystemExit, match=r"--split makes splits, but .* has train\.txt"):
        export(published.folder, tmp_path / "out", "--split=80,10,10")
    (published.folder / "val.txt").unlink()
    with pytest.raises(SystemExit, match=r"has split files, but no val\.txt"):
        export(published.folder, tmp_path / "out")


def test_a_failed_export_leaves_nothing(mocap, tmp_path, monkeypatch):
    from data_prep import export_humanml3d

    def fail(*args):
        raise OSError("disk full")

    monkeypatch.setattr(export_humanml3d, "_write_splits", fail)
    with pytest.raises(SystemExit, match="disk full"):
        export(mocap, tmp_path / "out", "--captions=names")
    assert [path.name for path in tmp_path.iterdir()] == ["my mocap"]


def test_the_published_sample_is_written_as_it_is_published(test_data, tmp_path):
    folder = tmp_path / "sample"
    (folder / "new_joints").mkdir(parents=True)
    joints = np.load(test_data / "humanml3d_sample" / "new_joints_012314.npy")
    np.save(folder / "new_joints" / "012314.npy", joints)
    (folder / "captions.csv").write_text("file,caption\n012314.npy,a person moves\n")
    target = test_data / "humanml3d_sample" / "new_joints_012314.npy"
    export(folder, tmp_path / "out", "--split=100,0,0", f"--target={target}")
    published = np.load(test_data / "humanml3d_sample" / "new_joint_vecs_012314.npy")
    values = np.load(tmp_path / "out" / "new_joint_vecs" / "012314.npy")
    assert values.shape == (169, 263)
    np.testing.assert_allclose(values[:111], published[:111], atol=1e-4)
    np.testing.assert_allclose(
        np.load(tmp_path / "out" / "new_joints" / "012314.npy"), joints, atol=1e-4
    )
