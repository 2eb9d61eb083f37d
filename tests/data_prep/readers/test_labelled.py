"""Labelled sets: splits by protocol, persons, joints, and the real sets."""

import json
import re

import numpy as np
import pytest
from bodies import body

from data_prep.__main__ import main
from data_prep.divide import Choice
from data_prep.protocols import Protocol
from data_prep.readers.labelled import PUBLISHED, Labelled
from data_prep.survey import survey
from motionalign.data.dataset import Dataset
from motionalign.skeleton import SKELETONS

UCLA, UTD, SBU = PUBLISHED

# The joints of `bodies.body` by other names and in another order.
CAMEL = {
    name: "".join(part.title() for part in reversed(name.split("_")))
    if name.startswith(("left", "right"))
    else "".join(part.title() for part in name.split("_"))
    for name in SKELETONS["kinect20"].joint_names
}


def arrays(counts=(6, 3, 2), classes=("sit_down", "walk", "wave"), persons=1, **changes):
    """A set with `counts` subjects, views and trials of every class; None leaves an array out."""
    subjects, views, trials = counts
    grid = np.array(np.meshgrid(range(len(classes)), range(1, subjects + 1), range(1, views + 1),
                                range(trials), indexing="ij")).reshape(4, -1)  # fmt: skip
    labels, of_subjects, of_views, of_trials = grid
    order = list(reversed(range(20)))
    names = [list(CAMEL.values())[joint] for joint in order]
    clips = [
        np.stack(
            [body(6 + i % 3, "kinect20", seed=100 * i + p)[:, order] for p in range(persons)], 1
        )
        for i in range(grid.shape[1])
    ]
    files = [f"a{a}/s{s}_v{v}_e{e}.json" for a, s, v, e in grid.T]
    values = {
        "positions_int16": (np.concatenate(clips) * 5000).round().astype(np.int16),
        "scale": 0.0002, "lengths": [len(clip) for clip in clips], "labels": labels,
        "subjects": of_subjects, "views": of_views, "trials": of_trials, "files": files,
        "class_names": list(classes), "joint_names": names, "fps": 30.0,
    }  # fmt: skip
    return {name: value for name, value in {**values, **changes}.items() if value is not None}


@pytest.fixture
def write(tmp_path):
    """Function that writes a set, of arrays or of options of `arrays`, and returns its path."""

    def write(stored=None, **options):
        np.savez(tmp_path / "set.npz", **(arrays(**options) if stored is None else stored))
        return tmp_path / "set.npz"

    return write


def own(by="subject", train=(1, 2, 3)):
    """A division of one's own, whose other clips test."""
    return Protocol("own", "own", by, train, (), "the options", rest_tests=True)


def parts(reader):
    """The class, subject and view of every clip, as texts: {split: {(class, subject, view)}}."""
    pattern = re.compile(r"a(\d+)/s(\d+)_v(\d+)_e\d+")
    return {
        split: {pattern.fullmatch(name).groups() for name in names}
        for split, names in reader.splits().items()
    }


# ---------------------------------------------------------------------------- the clips


def test_joints_are_in_the_order_of_the_skeleton(write):
    reader = Labelled(write(), own(), canonical=False)
    assert reader.skeleton.name == "kinect20"
    first = reader.splits()["train"][0]
    assert first == "a0/s1_v1_e0"
    expected = body(6, "kinect20")
    np.testing.assert_allclose(reader.joints(first)[:, 0], expected, atol=1.1e-4)
    assert reader.joints(first).dtype == np.float32


def test_captions_are_the_words_of_the_class(write):
    reader = Labelled(write(), own())
    assert reader.label_names == ("sit down", "walk", "wave")  # the index is the label
    assert [caption.text for caption in reader.captions("a0/s1_v1_e0")] == ["sit down"]
    assert reader.label("a2/s1_v1_e0") == 2


def test_classes_without_a_clip_keep_their_number(write):
    classes = ("jump", "sit", "walk")
    labels = arrays(classes=classes)["labels"]
    reader = Labelled(write(classes=classes, labels=np.maximum(labels, 1)), own())
    assert reader.label_names == classes
    assert {reader.label(name) for name in reader.splits()["test"]} == {1, 2}


def test_two_persons_stay_two_persons(write):
    values = arrays(persons=2)
    values["positions_int16"][2:6, 1] = 0  # the second one leaves
    values["positions_int16"][6:13, 0] = 0  # of the second clip, only the second is there
    reader = Labelled(write(values), own())
    assert not reader.canonical
    first, second = (reader.joints(f"a0/s1_v1_e{i}") for i in range(2))
    assert first.shape == (6, 2, 20, 3) and second.shape == (7, 2, 20, 3)
    assert (first[2:, 1] == 0).all() and (first[:2, 1] != 0).any() and (first[:, 0] != 0).any()
    np.testing.assert_allclose(second[:, 0], body(7, "kinect20", 101), atol=1.1e-4)
    assert (second[:, 1] == 0).all()
    with pytest.raises(ValueError, match=r"--canonical: clips of .*set\.npz have 2 persons, who"):
        Labelled(write(values), own(), canonical=True)


def test_clips_of_one_person_are_canonical(write):
    assert Labelled(write(), own()).canonical
    assert not Labelled(write(), own(), canonical=False).canonical


def test_a_single_frame_is_there_twice(write):
    values = arrays()
    values["lengths"] = [1, values["lengths"][0] - 1, *values["lengths"][1:]]
    for name in ("labels", "subjects", "views", "trials"):
        values[name] = [values[name][0], *values[name]]
    values["files"] = ["single.json", *values["files"]]
    reader = Labelled(write(values), own(), canonical=False)
    joints = reader.joints("single")
    assert joints.shape == (2, 1, 20, 3)
    np.testing.assert_array_equal(joints[0], joints[1])
    assert "1 clips are a single frame, which is repeated: single" in reader.notes
    kept = [source.id for source in survey(reader).sources]
    assert "single" in kept and len(kept) == len(values["files"])


def test_a_joint_that_was_not_measured_is_not_at_the_origin(write):
    values = arrays()
    positions = values.pop("positions_int16") * 0.0002
    positions[2, 0, 5] = np.nan
    positions[values["lengths"][0]] = 0  # of the second clip, the first frame has nobody
    reader = Labelled(write({**values, "positions": positions, "scale": 1.0}), own())
    assert np.isnan(reader.joints("a0/s1_v1_e0")).sum() == 3
    assert (reader.joints("a0/s1_v1_e1")[0] == 0).all()
    dropped = {entry["id"]: entry["reason"] for entry in survey(reader).report()["dropped"]}
    assert dropped["a0/s1_v1_e0"] == "not_finite"


def test_rates(write):
    reader = Labelled(write(), own(), fps=15)
    assert (reader.source_fps, reader.fps) == (30, 15)
    with pytest.raises(ValueError, match=r"set\.npz has no array fps"):
        Labelled(write(fps=None), own())


# ---------------------------------------------------------------------------- the division


def test_val_is_whole_subjects_of_the_training_part(write):
    reader = Labelled(write(counts=(8, 3, 2)), own(train=(1, 2, 3, 4, 5, 6)))
    found = parts(reader)
    subjects = {split: {s for _, s, _ in of} for split, of in found.items()}
    assert len(subjects["val"]) == 1
    assert subjects["train"] | subjects["val"] == set("123456")
    assert subjects["test"] == {"7", "8"}
    (val,) = subjects["val"]
    assert reader.protocol == f"own; val (ours): 18 clips of subject {val}"
    assert reader.notes == (
        f"No published validation split: the 18 training clips of subject {val}, 1 of 6, are val "
        "(ours; seed 0).",
    )
    assert reader.split_made["clips"] == {"train": 90, "val": 18, "test": 36}
    other = Labelled(write(counts=(8, 3, 2)), own(train=(1, 2, 3, 4, 5, 6)), choice=Choice(seed=3))
    assert other.splits()["test"] == reader.splits()["test"]
    assert other.splits()["val"] != reader.splits()["val"]


def test_val_is_clips_where_a_subject_is_too_much(write):
    """One of three subjects would be a third of the training part."""
    reader = Labelled(write(), own())
    found = parts(reader)
    assert {a for a, _, _ in found["val"]} == {"0", "1", "2"}
    assert len(reader.splits()["val"]) == 6 and len(reader.splits()["train"]) == 48
    assert reader.protocol == "own; val (ours): 6 training clips"
    assert "a whole subject would be 1 of 3" in reader.notes[0]
    whole = Labelled(write(), own(), choice=Choice(val_by="subjects"))
    assert len({s for _, s, _ in parts(whole)["val"]}) == 1 and len(whole.splits()["val"]) == 18
    named = Labelled(write(), own(), choice=Choice(val_subjects=(2,)))
    assert {s for _, s, _ in parts(named)["val"]} == {"2"}


def test_views_divide_and_subjects_validate(write):
    reader = Labelled(write(), own("view", (1, 2)))
    found = parts(reader)
    assert {v for _, _, v in found["test"]} == {"3"}
    assert {v for _, _, v in found["train"]} == {v for _, _, v in found["val"]} == {"1", "2"}
    assert not {s for _, s, _ in found["train"]} & {s for _, s, _ in found["val"]}


def test_no_validation_at_all(write):
    reader = Labelled(write(), own(), choice=Choice(val_share=0))
    assert reader.splits()["val"] == [] and len(reader.splits()["train"]) == 54
    assert reader.notes == (
        "--val_share=0: val has no clips, so that no checkpoint can be selected.",
    )
    assert reader.protocol == "own"


def test_unseen_classes_are_in_no_part_of_training(write):
    reader = Labelled(write(), own(), choice=Choice(leave_out=("walk",)))
    found = {split: {a for a, _, _ in of} for split, of in parts(reader).items()}
    assert found == {"train": {"0", "2"}, "val": {"0", "2"}, "test": {"0", "2"}, "unseen": {"1"}}
    assert {s for _, s, _ in parts(reader)["unseen"]} == {"4", "5", "6"}  # of the test part only
    assert len(reader.unlisted()) == 18 and all(n.startswith("a1") for n in reader.unlisted())
    assert reader.label_names == ("sit down", "walk", "wave")
    assert reader.split_made["left_out"] == ["walk"] and reader.split_made["draw"] is None
    assert reader.protocol.startswith("own; 1 class unseen; val (ours): ")
    assert reader.notes[-1] == (
        "Left out of train and val: walk. Their 18 test clips are the split unseen; their 18 "
        "training clips are in no split."
    )
    drawn = Labelled(write(), own(), choice=Choice(leave_out=1, draw=2))
    assert drawn.split_made["draw"] == 2 and "(ours, draw 2)" in drawn.protocol


def test_clips_of_neither_part_are_told(write):
    reader = Labelled(write(), Protocol("own", "own", "subject", (1, 2), (3,), ""))
    assert reader.notes[-1].startswith("54 clips are of neither part: a0/s4_v1_e0, ")
    assert len(reader.unlisted()) == 54


def test_copies_of_test_clips_can_be_taken_out(write):
    values = arrays()
    starts = np.r_[0, np.cumsum(values["lengths"])]
    names = [file.removesuffix(".json") for file in values["files"]]
    a, b = names.index("a0/s1_v1_e0"), names.index("a0/s4_v1_e0")
    assert values["lengths"][a] == values["lengths"][b]
    here, there = (slice(starts[i], starts[i + 1]) for i in (a, b))
    values["positions_int16"][here] = values["positions_int16"][there]
    kept = Labelled(write(values), own())
    assert kept.unlisted() == []
    reader = Labelled(write(values), own(), choice=Choice(drop_copies=True))
    assert reader.unlisted() == ["a0/s1_v1_e0"]
    assert reader.splits()["test"] == kept.splits()["test"]
    assert reader.notes[0].startswith("--drop_copies: 1 training clips have the same joints as a")
    assert reader.protocol.endswith("train without copies of test clips (ours)")


# ---------------------------------------------------------------------------- published sets


@pytest.mark.parametrize("of", PUBLISHED, ids=lambda of: of.title)
def test_a_published_set_is_known_by_its_classes(write, of):
    """By the short names of packed files, and by the readable ones that records get."""
    for names in (of.short, of.classes):
        stored = [name.replace(" ", "_") for name in names]
        reader = Labelled(write(counts=(2, 1, 1), classes=stored), own(train=(1,)))
        assert reader.label_names == of.classes
    assert len(set(of.classes)) == len(of.classes) == len(set(of.short)) == len(of.short)


def test_a_protocol_of_another_set_is_refused(write):
    path = write(classes=UCLA.classes)
    with pytest.raises(
        ValueError, match=r"=folds is a protocol of SBU Kinect.* classes of NW-UCLA"
    ):
        Labelled(path, "folds", 1)
    with pytest.raises(ValueError, match=r"--protocol=xsub; expected cross_view, .*train_subjects"):
        Labelled(path, "xsub")
    with pytest.raises(ValueError, match=r"which clips train\? Give --protocol \(cross_view"):
        Labelled(path, None)
    with pytest.raises(ValueError, match=r"is a protocol of NW-UCLA, and .* of no published set"):
        Labelled(write(), "cross_view")


def test_a_missing_view_is_told(write):
    with pytest.raises(
        ValueError, match=r"NW-UCLA cross-view needs clips of view 3, and .*; it has 1, 2$"
    ):
        Labelled(write(counts=(6, 2, 1), classes=UCLA.classes), "cross_view")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": None}, r"a0/s1_v1_e0 has no class \(array labels\)"),
        ({"subjects": None}, r"a0/s1_v1_e0 has no subject, by which .* \(array subjects\)"),
        ({"joint_names": [f"j{i}" for i in range(20)]}, r"20 joints, j0, j1, j2, \.\.\., are not "
         r"those of smpl22, .*data_prep library"),
        ({"class_names": ["a b", "a_b", "c"]}, "class names must be distinct words: a b, a b, c"),
        ({"positions_int16": None}, "is no labelled set: .*; its arrays are scale, lengths, lab"),
    ],
)  # fmt: skip
def test_files_of_another_layout_are_refused(write, changes, message):
    path = write(**changes)
    with pytest.raises(ValueError, match=message) as error:
        Labelled(path, own())
    assert str(path) in str(error.value)


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        (Choice(leave_out=("jump",)), "--leave_out: no class 'jump'; expected of sit down, walk"),
        (Choice(leave_out=("walk", "wave")), "--leave_out must leave at least two classes"),
        (Choice(leave_out=("walk",), draw=0), "--draw=0 draws classes, and --leave_out names them"),
        (Choice(draw=1), "--draw=1 is about --leave_out"),
        (Choice(val_subjects=(5,)), r"--val_subjects: 5 has no training clip; .* are of 1, 2, 3"),
        (Choice(val_subjects=(1, 2, 3)), "--val_subjects are all training subjects"),
        (Choice(val_share=1.0), "--val_share=1; expected at least 0 and below 1"),
    ],
)  # fmt: skip
def test_choices_that_do_not_fit_are_refused(write, choice, message):
    with pytest.raises(ValueError, match=message):
        Labelled(write(), own(), choice=choice)


def test_sets_without_subjects(write):
    path = write(subjects=None)
    reader = Labelled(path, own("view", (1, 2)))
    assert "clips, of every class, are val" in reader.notes[0]
    with pytest.raises(ValueError, match=r"--val_by=subjects: .* does not say of whom all clips"):
        Labelled(path, own("view", (1, 2)), choice=Choice(val_by="subjects"))


def test_every_part_needs_a_clip(write):
    with pytest.raises(ValueError, match=r"own: no clip of .*set\.npz is left for test"):
        Labelled(write(), own(train=(1, 2, 3, 4, 5, 6)))


# ---------------------------------------------------------------------------- folders


def ucla_folder(folder, names=("a01_s01_e00_v01", "a02_s02_e00_v02", "a12_s03_e00_v03")):
    for i, name in enumerate(names):
        path = folder / "all_sqe" / f"{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        content = {"file_name": name, "skeletons": body(5 + i, "kinect20", i).tolist(), "label": 1}
        path.write_text(json.dumps(content))
    return folder


def test_published_files_of_a_folder(tmp_path):
    folder = ucla_folder(tmp_path / "NW-UCLA")
    (folder / "train.txt").write_text("a list\n")
    reader = Labelled(folder, "cross_view", choice=Choice(val_subjects=(2,)), canonical=False)
    assert reader.splits() == {
        "train": ["all_sqe/a01_s01_e00_v01"], "val": ["all_sqe/a02_s02_e00_v02"],
        "test": ["all_sqe/a12_s03_e00_v03"],
    }  # fmt: skip
    assert reader.label_names == UCLA.classes and reader.label("all_sqe/a12_s03_e00_v03") == 9
    np.testing.assert_array_equal(
        reader.joints("all_sqe/a02_s02_e00_v02")[:, 0], body(6, "kinect20", 1)
    )


def test_folders_of_something_else_are_refused(tmp_path):
    with pytest.raises(
        ValueError, match=r"--raw=.*set\.npz does not exist; expected the \.npz file"
    ):
        Labelled(tmp_path / "set.npz", "cross_view")
    with pytest.raises(ValueError, match=r"has no published files of NW-UCLA, UTD-MHAD, SBU"):
        Labelled(tmp_path, "cross_view")
    folder = ucla_folder(tmp_path)
    np.save(folder / "clip.npy", body(5))
    with pytest.raises(
        ValueError, match=r"has 1 motion files that are not of NW-UCLA, such as clip"
    ):
        Labelled(folder, "cross_view")
    (folder / "clip.npy").unlink()
    sbu = folder / "s01s02" / "01" / "001" / "skeleton_pos.txt"
    sbu.parent.mkdir(parents=True)
    sbu.write_text(",".join(["1", *["0.5"] * 90]))
    with pytest.raises(ValueError, match=r"has files of NW-UCLA and SBU skeleton; name the folder"):
        Labelled(folder, "cross_view")
    with pytest.raises(ValueError, match=r"needs clips of subject 103, .* has none; it has 102$"):
        Labelled(sbu.parent, "folds", 1)
    sbu.rename(tmp_path / "s01s02" / "skeleton_pos.txt")
    with pytest.raises(ValueError, match=r"skeleton_pos has no class \(class in the name of its"):
        Labelled(tmp_path / "s01s02", "folds", 1)
    with pytest.raises(
        ValueError, match=r"skeleton_pos\.txt is no labelled set: expected an \.npz"
    ):
        Labelled(tmp_path / "s01s02" / "skeleton_pos.txt", "folds", 1)


# ---------------------------------------------------------------------------- the command


def test_the_command_prepares_records(write, tmp_path, capsys):
    values = arrays(counts=(6, 1, 1), persons=2)
    values["positions_int16"][: values["lengths"][0], 1] = 0
    path = write(values)
    data = f"--data_dir={tmp_path}/data"
    options = ["--train_subjects=1,2,3,4", "--leave_out=walk", "--val_subjects=2"]
    main(["labelled", f"--raw={path}", data, "--name=mine", *options])
    assert "subject 2, 1 of 4, are val (ours)." in capsys.readouterr().out
    dataset = Dataset(tmp_path / "data", "mine")
    meta = dataset.metadata
    assert (meta.sensor, meta.unit_in_metres, meta.fps, meta.source_fps) == ("depth", 1, 30, 30)
    assert meta.protocol == (
        "own division by subject, 1, 2, 3, 4 train; 1 class unseen; val (ours): 2 clips of "
        "subject 2"
    )
    assert {name: len(dataset.split(name)) for name in ("train", "val", "test", "unseen")} == {
        "train": 6, "val": 2, "test": 4, "unseen": 2,
    }  # fmt: skip
    record = dataset.split("train")[0]
    assert record["captions"] == ["sit down"] and record["labels"].tolist() == [0]
    assert record["joints"].shape == (6, 2, 20, 3) and (record["joints"][:, 1] == 0).all()
    report = json.loads((dataset.version_dir / "report.json").read_text())
    assert report["split_made"]["val"] == {
        "by": "subjects", "subjects": [2], "share": 0.1, "seed": 0,
    }  # fmt: skip
    assert report["options"]["train_subjects"] == [1, 2, 3, 4]
    main(["show", data, "--name=mine", "--split=unseen", "--num_clips=1"])

    main(["labelled", f"--raw={path}", data, "--name=mine", *options])
    assert "is already prepared" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="was prepared with leave_out=walk, not wave"):
        main(["labelled", f"--raw={path}", data, "--name=mine", *options, "--leave_out=wave"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--train_subjects=1", "--test_views=2"], "by subjects or by views, not by both"),
        (["--test_subjects=1"], "--test_subjects needs --train_subjects"),
        (["--train_views=1,2", "--test_views=2"], "views 2 would both train and test"),
        (["--train_views=1,,2"], "--train_views=1,,2; expected distinct ids separated by commas"),
        (["--train_views=1,1"], "--train_views=1,1; expected distinct ids"),
        (["--train_views=1", "--protocol=folds"], "--protocol=folds is a division, and --train_v"),
        (["--train_views=1", "--fold=1"], "--fold=1: --protocol=own has no folds"),
        (["--train_views=1,9"], "own division by view, 1, 9 train needs clips of view 9"),
        (["--train_views=1", "--val_by=clips", "--val_subjects=1"], "--val_by=clips takes clips"),
        (["--train_views=1", "--fps=0"], "--fps"),
    ],
)  # fmt: skip
def test_options_that_contradict_each_other(write, tmp_path, options, message):
    with pytest.raises(SystemExit, match=message):
        main(["labelled", f"--raw={write()}", f"--data_dir={tmp_path}/data", *options])
    assert not (tmp_path / "data").exists()


# ---------------------------------------------------------------------------- the real sets


@pytest.mark.parametrize(
    ("name", "protocol", "fold", "sizes"),
    [
        ("nw_ucla", "cross_view", None, (911, 109, 464)),
        ("utd_mhad", "cross_subject", None, (377, 54, 430)),
        ("sbu_interaction", "folds", 1, (198, 29, 55)),
        ("sbu_interaction", "folds", 2, (202, 28, 52)),
        ("sbu_interaction", "folds", 3, (200, 26, 56)),
        ("sbu_interaction", "folds", 4, (202, 26, 54)),
        ("sbu_interaction", "folds", 5, (191, 26, 65)),
    ],
)
def test_real_sets(test_data, name, protocol, fold, sizes):
    """Train and val together, and test, are as many as published; how val divides them is ours."""
    reader = Labelled(test_data / "actions" / f"{name}.npz", protocol, fold)
    splits = reader.splits()
    assert tuple(map(len, splits.values())) == sizes
    named = [clip for names in splits.values() for clip in names]
    total = {"nw_ucla": 1484, "utd_mhad": 861, "sbu_interaction": 282}[name]
    assert len(named) == len(set(named)) == total
    published = {"nw_ucla": UCLA, "utd_mhad": UTD, "sbu_interaction": SBU}[name]
    assert reader.label_names == published.classes
    for split in ("train", "test"):
        assert {reader.label(clip) for clip in splits[split]} == set(range(len(published.classes)))


def test_real_unseen_classes(test_data):
    """The draws of the published results: 5 of 27, and 2 of 10, three draws each."""
    for name, protocol, count in (("utd_mhad", "cross_subject", 5), ("nw_ucla", "cross_view", 2)):
        path, drawn = test_data / "actions" / f"{name}.npz", []
        whole = Labelled(path, protocol).splits()["test"]
        for draw in range(3):
            reader = Labelled(path, protocol, choice=Choice(leave_out=count, draw=draw))
            splits = reader.splits()
            labels = {s: {reader.label(clip) for clip in names} for s, names in splits.items()}
            assert len(labels["unseen"]) == count
            assert not labels["unseen"] & (labels["train"] | labels["val"] | labels["test"])
            assert sorted(splits["test"] + splits["unseen"]) == sorted(whole)
            drawn += labels["unseen"]
        assert len(set(drawn)) == 3 * count


def test_copies_in_nw_ucla(test_data):
    """The published files of two classes are the same in views 2 and 3: 95 of 464 test clips."""
    path = test_data / "actions" / "nw_ucla.npz"
    reader = Labelled(path, "cross_view", choice=Choice(drop_copies=True))
    assert len(reader.unlisted()) == 95
    assert {name[:3] for name in reader.unlisted()} == {"a02", "a03"}
    assert {name[-3:] for name in reader.unlisted()} == {"v02"}
    assert len(reader.splits()["test"]) == 464
