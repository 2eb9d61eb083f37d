"""Motion files of any format as training data."""

import json

import motion_files
import numpy as np
import pytest
from bodies import body

from data_prep.__main__ import main
from data_prep.readers import Caption, InvalidClip
from data_prep.readers.library import Library
from data_prep.splits import SplitPlan
from data_prep.survey import survey
from motionalign.anatomy.takes import Told
from motionalign.data.dataset import Dataset
from motionalign.skeleton import SKELETONS

PLAN = SplitPlan((80.0, 10.0, 10.0))
SMPL22 = SKELETONS["smpl22"]


def write(path, seed=0, frames=60, frame_time="0.0333333", **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    joints = motion_files.human(**options)
    values = motion_files.swing(joints, frames, seed=seed)
    return motion_files.write_bvh(path, joints, values, frame_time)


def write_prop(path):
    joints = [motion_files.Joint(name, parent, (1.0, 2.0, 0.0)) for name, parent in
              (("seat", -1), ("back", 0), ("leg", 0))]  # fmt: skip
    return motion_files.write_bvh(path, joints, motion_files.swing(joints, 10))


def write_set(path, clips=10, persons=1, frames=40, **arrays):
    """A labelled set of smpl22 bodies with `clips` subjects, every second one waving."""
    joints = np.stack([body(clips * frames, seed=i) for i in range(persons)], axis=1)
    joints = joints + np.arange(persons)[:, None, None] * [1, 0, 0]
    np.savez(
        path,
        **{
            "positions": joints,
            "lengths": np.full(clips, frames),
            "labels": np.arange(clips) % 2,
            "class_names": np.array(["walk", "wave_hand"]),
            "subjects": np.arange(clips) // 2,
            "joint_names": np.array(SMPL22.joint_names),
            "parents": np.array(SMPL22.parents),
            "fps": 20.0,
        }
        | arrays,
    )
    return path


@pytest.fixture
def mocap(tmp_path):
    """Ten files of one maker in folders, a prop, a spoiled file and a text."""
    folder = tmp_path / "mocap"
    for i in range(6):
        write(folder / "walking" / f"Walk_Happy_{i:03}.bvh", seed=i)
    for i in range(4):
        write(folder / "dances" / f"salsa_{i}.bvh", seed=10 + i)
    write_prop(folder / "chair.bvh")
    (folder / "spoiled.bvh").write_text("HIERARCHY\nROOT\n")
    (folder / "readme.md").write_text("x")
    (folder / ".DS_Store").touch()
    return folder


def names_of(reader):
    return sorted(name for names in reader.splits().values() for name in names)


def dropped(reader, **options):
    return {entry["id"]: entry["reason"] for entry in survey(reader, **options).dropped}


def test_clips_are_the_joints_of_smpl_at_20_fps(mocap):
    reader = Library(mocap, "names", plan=PLAN)
    joints = reader.joints("dances/salsa_1")
    assert joints.shape == (40, 1, 22, 3)  # 60 frames at 30
    assert joints.dtype == np.float32
    assert np.ptp(joints[..., 1]) == pytest.approx(1.75, abs=0.3)  # metres
    assert (reader.skeleton, reader.source_fps, reader.fps) == (SMPL22, 20.0, 20.0)
    placed = reader.placed(joints)
    assert np.abs(placed[0, 0, 0, [0, 2]]).max() < 1e-6
    plain = Library(mocap, "names", plan=PLAN, canonical=False)
    np.testing.assert_array_equal(plain.placed(joints), joints)


def test_every_file_is_accounted_for(mocap):
    reader = Library(mocap, "names", plan=PLAN)
    assert len(names_of(reader)) == 12
    result = survey(reader)
    assert {entry["id"]: entry["reason"] for entry in result.dropped} == {
        "chair": "not_human",
        "spoiled": "motion_unreadable",
    }
    detail = {entry["id"]: entry["detail"] for entry in result.dropped}["spoiled"]
    assert detail.startswith("spoiled.bvh, line 2") and str(mocap) not in detail
    assert f"left out: spoiled: motion_unreadable: {detail}" in reader.notes
    assert any(note.startswith("left out: chair: not_human: ") for note in reader.notes)
    assert [finding.kind for finding in result.noticed()] == ["file_unlisted"]
    assert result.unlisted == ["readme.md"]


def test_advice_is_about_files_where_there_are_no_split_files(tmp_path):
    for i in range(3):
        (tmp_path / f"walk_{'abc'[i]}.bvh").write_text("HIERARCHY\n")
    with pytest.raises(ValueError, match=r"3 motion_unreadable[\s\S]*or move them out") as found:
        survey(Library(tmp_path, "names", plan=PLAN))
    assert "numpy" not in str(found.value)
    (tmp_path / "captions.csv").write_text("file,caption\nwalk_1,\n")
    write(tmp_path / "walk_1.bvh")
    for path in tmp_path.glob("walk_?.bvh"):
        if path.stem != "walk_1":
            path.unlink()
    with pytest.raises(ValueError, match=r"1 caption_empty[\s\S]*into the table") as found:
        survey(Library(tmp_path, plan=PLAN))
    assert "split files" not in str(found.value)


def test_a_wrong_unit_is_better_left_out(mocap, tmp_path):
    options = [f"--raw_dir={mocap}", f"--data_dir={tmp_path}/data", "--captions=names"]
    advice = r"Without --unit=m, the unit of each file is found\. .*--accept=unit_implausible"
    with pytest.raises(SystemExit, match=rf"unit_implausible: [\s\S]*{advice}") as found:
        main(["library", *options, "--unit=m"])
    assert "--unit=cm" not in str(found.value)


def test_the_next_commands_name_the_dataset(mocap, tmp_path, capsys):
    data = tmp_path / "my data"
    main(["library", f"--raw_dir={mocap}", f"--data_dir={data}", "--captions=names"])
    said = capsys.readouterr().out
    assert f"data_prep show --name=library --data_dir='{data}'\n" in said
    train = "train --config=configs/mocap_small.py --config.data.datasets=library"
    assert f"{train} --config.data.data_dir='{data}'\n" in said


def test_captions_from_names_are_shown(mocap):
    reader = Library(mocap, "names", plan=PLAN)
    assert reader.captions("walking/Walk_Happy_003") == [Caption("walk happy")]
    assert reader.captions("dances/salsa_2") == [Caption("salsa dances")]
    notes = "\n".join(reader.notes)
    assert "12 files, 11 takes: 10 BVH (" in notes
    assert "2 different captions from names" in notes
    assert ": salsa dances" in notes


def test_captions_from_names_are_a_table_to_correct(mocap, tmp_path, capsys):
    write_set(mocap / "duo.npz", clips=1, persons=2)
    write(mocap / "take_001.bvh", seed=40)  # a name without words
    options = [f"--raw_dir={mocap}", f"--data_dir={tmp_path}/data"]
    main(["library", *options, "--name=named", "--captions=names"])
    table = tmp_path / "data" / "named" / "1.0.0" / "captions.csv"
    assert f"all captions are in {table}: correct a copy" in capsys.readouterr().out
    lines = table.read_text("utf-8").splitlines()
    assert lines[0] == "file,take,person,caption"
    assert {"dances/salsa_2.bvh,,,salsa dances", "duo.npz,,1,duo", "duo.npz,,2,duo",
            "take_001.bvh,,,"} <= {*lines}  # fmt: skip
    corrected = tmp_path / "corrected.csv"
    corrected.write_text(table.read_text("utf-8").replace("duo.npz,,2,duo", "duo.npz,,2,bows"))
    main(["library", *options, "--name=corrected", f"--captions={corrected}"])
    named, again = (Dataset(tmp_path / "data", name) for name in ("named", "corrected"))
    for split in ("train", "val", "test"):
        assert again.split(split).ids == named.split(split).ids
    assert Library(mocap, str(corrected), plan=PLAN).captions("duo#2") == [Caption("bows")]
    assert not (again.version_dir / "captions.csv").exists()


def test_captions_from_a_table(mocap):
    rows = ["file,caption,start,end", "walking/Walk_Happy_000.bvh,she walks,,",
            "walking/Walk_Happy_000,a happy walk,,", "dances/salsa_1,first,0,1",
            *(f"walking/Walk_Happy_00{i},walks,," for i in range(1, 6)), "gone,x,,"]  # fmt: skip
    (mocap / "captions.csv").write_text("\n".join(rows))
    reader = Library(mocap, plan=PLAN)
    assert reader.captions("walking/Walk_Happy_000") == [
        Caption("she walks"), Caption("a happy walk"),
    ]  # fmt: skip
    result = survey(reader)
    records = {record.id: record for source in result.sources for record in source.records}
    assert records["dances/salsa_1#0"].num_frames == 20
    reasons = {entry["id"]: entry["reason"] for entry in result.dropped}
    assert [name for name, reason in reasons.items() if reason == "row_missing"] == [
        "dances/salsa_0", "dances/salsa_2", "dances/salsa_3",
    ]  # fmt: skip
    assert "captions.csv: 1 rows name no file here: line 10: gone" in reader.notes
    assert "captions.csv" not in result.unlisted


def test_clips_without_a_valid_row_are_not_most_of_a_small_split(mocap):
    rows = [f"walking/Walk_Happy_00{i},{'' if i < 3 else 'walks'}" for i in range(6)]
    rows += [f"dances/salsa_{i},salsa" for i in range(4)]
    (mocap / "captions.csv").write_text("\n".join(["file,caption", *rows]))
    for seed in range(5):
        reader = Library(mocap, plan=SplitPlan(PLAN.shares, seed))
        splits = reader.splits()
        assert {f"walking/Walk_Happy_00{i}" for i in range(3)} <= {*splits["train"]}
        assert len(splits["val"]) == len(splits["test"]) == 1
    details = {entry["id"]: entry["detail"] for entry in survey(reader).dropped}
    assert details["walking/Walk_Happy_001"] == "line 3 of the table: the caption is empty"


def test_without_captions_the_ways_to_have_some_are_named(mocap):
    with pytest.raises(ValueError, match=r"no captions.csv: give --captions=FILE.csv.*names.*lab"):
        Library(mocap, plan=PLAN)


def test_persons_become_clips_that_stay_in_one_split(tmp_path):
    for i in range(8):
        duo = [body(40, seed=10 * i + j) + np.array([j, 0, 0]) for j in range(2)]
        write_set(tmp_path / f"duo{i}.npz", clips=1, positions=np.stack(duo, axis=1))
    reader = Library(tmp_path, "names", plan=PLAN)
    assert names_of(reader) == [f"duo{i}#{j}" for i in range(8) for j in (1, 2)]
    split_of = {name: split for split, names in reader.splits().items() for name in names}
    assert all(split_of[f"duo{i}#1"] == split_of[f"duo{i}#2"] for i in range(8))
    assert set(split_of.values()) == {"train", "val", "test"}
    assert "16 clips are one person each of takes with several: NAME#1, ..." in reader.notes
    assert np.abs(reader.joints("duo0#1") - reader.joints("duo0#2")).max() > 0.5
    assert dropped(reader) == {}


def test_of_a_person_the_longest_stretch_is_taken(tmp_path):
    positions = np.stack([body(60, seed=j) + np.array([j, 0, 0]) for j in range(2)], axis=1)
    positions[:20, 1] = 0  # enters after a second
    write_set(tmp_path / "duo.npz", clips=1, frames=60, positions=positions)
    write_set(tmp_path / "solo.npz", clips=1)
    rows = ["file,caption,start,end", "duo,both,,", "duo,from the first second,1,2.5", "solo,x,,"]
    (tmp_path / "captions.csv").write_text("\n".join(rows))
    reader = Library(tmp_path, plan=SplitPlan((100.0, 0.0, 0.0)))
    assert [len(reader.joints(f"duo#{i}")) for i in (1, 2)] == [60, 40]
    np.testing.assert_allclose(
        reader.joints("duo#2")[:, 0, 4] - reader.joints("duo#2")[:1, 0, 4],
        positions[20:, 1, 4] - positions[20:21, 1, 4],
        atol=1e-5,
    )
    assert reader.captions("duo#1")[1] == Caption("from the first second", 1.0, 2.5)
    assert reader.captions("duo#2")[1] == Caption("from the first second", 0.0, 1.5)
    assert any(note.startswith("1 clips are the longest stretch") for note in reader.notes)


def test_the_rate_of_files_that_state_none(tmp_path):
    names = {"joint_names": SMPL22.joint_names, "parents": SMPL22.parents}
    (tmp_path / "skeleton.json").write_text(json.dumps(names))
    for i in range(3):
        np.save(tmp_path / f"walk {i}.npy", body(60, seed=i))
    plan = SplitPlan((100.0, 0.0, 0.0))
    with pytest.raises(ValueError, match=r"3 of 3: 3 no_rate[\s\S]*--fps=30"):
        survey(Library(tmp_path, "names", plan=plan))
    reader = Library(tmp_path, "names", plan=plan, told=Told(fps=60.0))
    assert len(reader.joints("walk 1")) == 20
    assert reader.captions("walk 1") == [Caption("walk")]


def test_native_keeps_the_skeleton_of_most_files(mocap):
    write(mocap / "others" / "jump_1.bvh", seed=30, prefix="other:")
    reader = Library(mocap, "names", joints="native", plan=PLAN)
    assert reader.skeleton.joint_names[:2] == ("Hips", "Spine")
    assert reader.skeleton.num_joints > 22  # the ends of feet and head, too
    found = dropped(reader)
    assert found["others/jump_1"] == "skeleton_differs"
    with pytest.raises(InvalidClip, match=r"10 other clips has \d+ joints \(Hips, "):
        reader.joints("others/jump_1")
    smpl = Library(mocap, "names", plan=PLAN)
    assert "others/jump_1" not in dropped(smpl)
    knee = reader.skeleton.joint_names.index("LeftLeg")
    np.testing.assert_allclose(
        reader.joints("dances/salsa_1")[:, 0, knee],
        smpl.joints("dances/salsa_1")[:, 0, SMPL22.joint_names.index("left_knee")],
        atol=1e-6,
    )


def test_keypoints_are_a_dataset_of_their_own(tmp_path, capsys):
    names = SKELETONS["coco18"].joint_names
    for i in range(3):
        flat = np.random.default_rng(i).uniform(size=(30, 18, 3))
        np.save(tmp_path / f"walk_{i}.npy", flat)
    described = {"joint_names": names, "dims": 2, "fps": 30, "convention": "coco18"}
    (tmp_path / "skeleton.json").write_text(json.dumps(described))
    plan = SplitPlan((100.0, 0.0, 0.0))
    with pytest.raises(ValueError, match=r"3 of 3: 3 two_dimensional[\s\S]*--joints=native"):
        survey(Library(tmp_path, "names", plan=plan))
    main(["library", f"--raw_dir={tmp_path}", "--name=flat", "--captions=names", "--joints=native",
          "--split=100,0,0", f"--data_dir={tmp_path / 'data'}"])  # fmt: skip
    dataset = Dataset(tmp_path / "data", "flat")
    assert dataset.metadata.skeleton.dims == 2
    assert len(dataset.split("train")) == 3
    assert "mocap_small" not in capsys.readouterr().out


def test_few_clips_are_split_although_many_files_are_unusable(mocap):
    for i in range(6):
        (mocap / f"broken_{i}.bvh").write_text("HIERARCHY\n")
    result = survey(Library(mocap, "names", plan=PLAN))
    assert {entry["split"] for entry in result.dropped} == {"train"}
    assert all(result.of_split(split) for split in ("train", "val", "test"))


def test_labels_of_the_file_itself(tmp_path):
    path = write_set(tmp_path / "actions.npz")
    argv = ["library", f"--raw_dir={path}", "--name=actions", "--captions=labels", "--label=class",
            "--split_by=subject", f"--data_dir={tmp_path / 'data'}"]  # fmt: skip
    main(argv)
    dataset = Dataset(tmp_path / "data", "actions")
    assert dataset.metadata.label_names == ("walk", "wave hand")
    ids = [name for split in ("train", "val", "test") for name in dataset.split(split).ids]
    assert len(ids) == 10
    report = json.loads((dataset.version_dir / "report.json").read_text())
    assert report["split_made"]["by"] == "subject"
    assert report["split_made"]["groups"] == 5
    captions = {tuple(each) for each in dataset.split("train").captions}
    assert captions == {("walk",), ("wave hand",)}


def test_a_label_that_the_file_does_not_have(tmp_path, capsys):
    path = write_set(tmp_path / "actions.npz")
    argv = ["library", f"--raw_dir={path}", "--captions=labels", "--label=action",
            f"--data_dir={tmp_path / 'data'}"]  # fmt: skip
    with pytest.raises(SystemExit, match="no label action; they have class, subject"):
        main(argv)


def test_a_table_of_labels_names_clips_or_files(mocap, tmp_path, capsys):
    rows = ["id,action,actor", *(f"walking/Walk_Happy_00{i}.bvh,walk,a{i}" for i in range(6)),
            *(f"dances/salsa_{i},dance,a{i}" for i in range(4)), "gone,x,y"]  # fmt: skip
    table = tmp_path / "labels.csv"
    table.write_text("\n".join(rows))
    argv = ["library", f"--raw_dir={mocap}", "--name=mine", "--captions=labels", "--label=action",
            f"--labels_csv={table}", f"--data_dir={tmp_path / 'data'}"]  # fmt: skip
    main(argv)
    out = capsys.readouterr().out
    dataset = Dataset(tmp_path / "data", "mine")
    assert dataset.metadata.label_names == ("dance", "walk")
    report = json.loads((dataset.version_dir / "report.json").read_text())
    assert report["split_made"]["by"] == "actor"
    assert "1 rows of the table of labels name no clip: gone, ..." in out
    assert "mocap_actions" in out  # the next command
    main(argv)
    assert "already prepared" in capsys.readouterr().out


def test_a_dataset_of_mixed_files(mocap, tmp_path, capsys):
    main(["library", f"--raw_dir={mocap}", "--name=mine", "--captions=names", "--mirror",
          f"--data_dir={tmp_path / 'data'}"])  # fmt: skip
    out = capsys.readouterr().out
    assert "train --config=configs/mocap_small.py --config.data.datasets=mine" in out
    dataset = Dataset(tmp_path / "data", "mine")
    assert dataset.metadata.skeleton == SMPL22
    assert dataset.metadata.origin is not None
    assert dataset.metadata.unit_in_metres == 1.0
    split = dataset.split("train")
    assert len(split.ids) == 16
    assert "Mwalking/Walk_Happy_000" in split.ids or "walking/Walk_Happy_000" not in split.ids


@pytest.mark.parametrize(
    ("folders", "by", "column"),
    [
        (["subject_1", "Subject_2", "subject_3"], None, "subject"),
        (["s01/walk", "s02/walk", "p3/run"], None, "subject"),
        (["walk", "run", "jump"], None, None),
        (["walk", "run", "jump"], "folder", "folder"),
    ],
)
def test_clips_of_a_subject_or_a_folder_stay_together(tmp_path, folders, by, column):
    for i, folder in enumerate(folders):
        for j in range(3):
            write(tmp_path / folder / f"move_{j}.bvh", seed=10 * i + j)
    reader = Library(tmp_path, "names", plan=SplitPlan((80.0, 10.0, 10.0), by=by))
    assert reader.split_made["by"] == column
    of_split = {
        split: {name.rpartition("/")[0] for name in names}
        for split, names in reader.splits().items()
    }
    shared = sum(map(len, of_split.values())) > len(folders)
    assert shared == (column is None)


def test_split_files_name_files_or_clips(mocap):
    (mocap / "train.txt").write_text("walking/Walk_Happy_000.bvh\nwalking/Walk_Happy_001\ngone\n")
    (mocap / "val.txt").write_text("dances/salsa_0\n")
    (mocap / "test.txt").write_text("dances/salsa_1\n")
    reader = Library(mocap, "names")
    assert reader.splits() == {
        "train": ["walking/Walk_Happy_000", "walking/Walk_Happy_001", "gone"],
        "val": ["dances/salsa_0"],
        "test": ["dances/salsa_1"],
    }
    result = survey(reader)
    assert [(e["id"], e["reason"]) for e in result.dropped] == [("gone", "motion_missing")]
    assert "dances/salsa_2.bvh" in result.unlisted
    assert "train.txt" not in result.unlisted


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--split=80,10,10"], "--split makes splits, but"),
        (["--label=x"], "no label x"),
        (["--fps=0"], "--fps=0"),
        (["--joints=kit21"], "invalid choice"),
        (["--captions=none.csv"], "none.csv"),
    ],
)
def test_options_that_cannot_be(mocap, tmp_path, capsys, options, message):
    for split in ("train", "val", "test"):
        (mocap / f"{split}.txt").write_text("dances/salsa_0\n")
    with pytest.raises(SystemExit) as stop:
        main(["library", f"--raw_dir={mocap}", "--captions=names", *options,
              f"--data_dir={tmp_path / 'data'}"])  # fmt: skip
    assert message in str(stop.value.code) + capsys.readouterr().err
    assert not (tmp_path / "data" / "library").exists()


def test_split_files_of_which_some_are_missing(mocap, tmp_path):
    (mocap / "train.txt").write_text("a\n")
    with pytest.raises(SystemExit, match=r"has split files, but no val.txt, test.txt"):
        main(["library", f"--raw_dir={mocap}", "--captions=names", f"--data_dir={tmp_path}"])


def test_too_few_clips_for_three_splits(tmp_path):
    write(tmp_path / "mocap" / "walk.bvh")
    with pytest.raises(ValueError, match=r"cannot fill 3 splits.*--split=100,0,0"):
        Library(tmp_path / "mocap", "names", plan=PLAN)
    reader = Library(tmp_path / "mocap", "names", plan=SplitPlan((100.0, 0.0, 0.0)))
    assert reader.splits() == {"train": ["walk"], "val": [], "test": []}


def test_real_files_of_many_makers(real_files):
    reader = Library(real_files / "bvh", "names", plan=PLAN)
    found = dropped(reader)
    assert found["secondlife_avatar_dance8"] == "motion_unreadable"
    assert found["pybvh_rotation_first_root"] == "not_human"
    kept = set(names_of(reader)) - set(found)
    assert {"cmu_cgspeed_12_01_walk", "mixamorig_freebvh", "momask_output", "threejs_pirouette",
            "secondlife_avatar_walk", "mocapnet_doubleclap"} <= kept  # fmt: skip
