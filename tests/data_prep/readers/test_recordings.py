"""What the readers of a file a clip have in common: names, folders, lists, divisions."""

import collections
import dataclasses

import numpy as np
import pytest

from data_prep.protocols_ntu import NTU, SMARTHOME
from data_prep.readers import InvalidClip, recordings
from data_prep.readers.ntu import parse_name
from data_prep.readers.recordings import Recording, Recordings
from motionalign.skeleton import SKELETONS


def name_of(setup=1, view=1, subject=1, repetition=1, action=1):
    return f"S{setup:03d}C{view:03d}P{subject:03d}R{repetition:03d}A{action:03d}"


def folder_of(tmp_path, names, others=()):
    for name in (*names, *others):
        path = tmp_path / "raw" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path / "raw"


class Empty(Recordings):
    """A reader whose files nobody reads."""

    skeleton = SKELETONS["ntu25"]


def of(names, benchmark, **options):
    recorded = {name: parse_name(name) for name in sorted(names)}
    folder = recordings.Folder(None, recorded, {}, [])
    options = {"val_share": 0.1, "seed": 0} | options
    return Empty(folder, benchmark, [str(i) for i in range(benchmark.classes)], **options)


def test_recordings_are_found_in_any_folder(tmp_path):
    raw = folder_of(
        tmp_path,
        [f"b/c/{name_of(2)}.skeleton", f"a/{name_of(1)}.skeleton"],
        ["readme.md", f"b/{name_of()}.avi", "b/S001.skeleton", f"__MACOSX/{name_of(3)}.skeleton"],
    )
    found = recordings.find(raw, ".skeleton", parse_name, name_of())
    assert list(found.recordings) == [name_of(1), name_of(2)]
    assert found.files[name_of(2)] == raw / "b" / "c" / f"{name_of(2)}.skeleton"
    assert found.others == sorted(["readme.md", f"b/{name_of()}.avi", "b/S001.skeleton"])


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], "does not exist; expected the folder of S001C001P001R001A001.skeleton"),
        (["x/001.npy", "b.npy"], r"no file is named like S001\S*; found 2 files, such as b.npy"),
        (["a/S033C001P001R001A001.skeleton"], "no file is named like"),
        ([f"a/{name_of()}.skeleton", f"b/{name_of()}.skeleton"], "are one recording; give the fo"),
    ],
)
def test_wrong_folders(tmp_path, names, message):
    raw = folder_of(tmp_path, names)
    with pytest.raises(ValueError, match=message) as caught:
        recordings.find(raw, ".skeleton", parse_name, name_of())
    assert str(raw) in str(caught.value) and "\n" not in str(caught.value)


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "a.zip").touch()
    with pytest.raises(ValueError, match=r"a\.zip is a file; expected the folder of"):
        recordings.find(tmp_path / "a.zip", ".skeleton", parse_name, name_of())


def test_lists_of_missing_recordings(tmp_path):
    """The published lists start with two lines of text and a blank one; CTR-GCN's have none."""
    first, second = tmp_path / "NTU_60.txt", tmp_path / "120.txt"
    first.write_text(
        f"302 of the samples are missing.\nIgnore them.\n\n{name_of(2)}\n{name_of()}\n"
    )
    second.write_text(f"{name_of(2)}.skeleton\r\n{name_of(3)}\r\n\r\n")
    found = recordings.read_missing([first, second], parse_name, ".skeleton")
    assert found == {name_of(2): "NTU_60.txt", name_of(1): "NTU_60.txt", name_of(3): "120.txt"}
    assert recordings.read_missing([], parse_name, ".skeleton") == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("two\nlines\n", "has no name of a recording; expected a published list"),
        (f"{name_of()}\nS001\n", "line 2: 'S001' is no name of a recording, as the lines before"),
    ],
)
def test_a_list_of_something_else(tmp_path, text, message):
    (tmp_path / "list.txt").write_text(text)
    with pytest.raises(ValueError, match=rf"list\.txt.*{message}"):
        recordings.read_missing([tmp_path / "list.txt"], parse_name, ".skeleton")
    with pytest.raises(ValueError, match=r"none\.txt cannot be read"):
        recordings.read_missing([tmp_path / "none.txt"], parse_name, ".skeleton")


@pytest.fixture(scope="module")
def grid():
    """A full grid of names: 17 set-ups, 3 cameras, 40 subjects, 2 repetitions, 2 of 60 actions."""
    return [
        name_of(setup, view, subject, repetition, action)
        for setup in range(1, 18) for view in (1, 2, 3) for subject in range(1, 41)
        for repetition in (1, 2) for action in (1, 60)
    ]  # fmt: skip


@pytest.mark.parametrize("benchmark", NTU[:2], ids=lambda each: each.name)
def test_divisions_of_a_grid(grid, benchmark):
    splits = of(grid, benchmark).splits()
    assert collections.Counter(name for of_split in splits.values() for name in of_split) == (
        collections.Counter(grid)
    )
    values = {
        split: {parse_name(name).number(benchmark.by) for name in names}
        for split, names in splits.items()
    }
    assert values["test"] == set(benchmark.test) and len(splits["test"]) == (
        len(grid) * len(benchmark.test) // (len(benchmark.train) + len(benchmark.test))
    )
    assert values["train"] | values["val"] == set(benchmark.train)
    subjects = {s: {parse_name(name).subject for name in names} for s, names in splits.items()}
    # A tenth of the training subjects, of all their cameras, and of nothing that tests.
    assert len(subjects["val"]) == (2 if benchmark.by == "subject" else 4)
    assert not subjects["val"] & subjects["train"]
    assert splits["train"] == sorted(splits["train"])


def test_val_of_cross_setup_is_of_training_setups():
    names = [name_of(setup, subject=p, action=61) for setup in range(18, 33) for p in range(1, 107)]
    splits = of(names, NTU[3]).splits()
    setups = {s: {parse_name(name).setup for name in names} for s, names in splits.items()}
    assert setups["train"] | setups["val"] == set(range(18, 33, 2))
    assert len(setups["val"]) == 1 and not setups["val"] & setups["train"]
    assert setups["test"] == set(range(19, 32, 2))


def test_the_seed_and_the_share_choose_val(grid):
    vals = {seed: tuple(of(grid, NTU[0], seed=seed).splits()["val"]) for seed in range(8)}
    assert len(set(vals.values())) > 1
    assert vals[3] == tuple(of(grid[::-1], NTU[0], seed=3).splits()["val"])
    half = of(grid, NTU[0], val_share=0.5)
    assert len(half.split_made["val"]["subject"]) == 10
    assert of(grid, NTU[0], val_share=0).splits()["val"] == []
    with pytest.raises(ValueError, match="--val_share=1; expected at least 0 and below 1"):
        of(grid, NTU[0], val_share=1)


def test_what_is_recorded_and_told(grid):
    reader = of(grid, NTU[0], seed=5)
    made = reader.split_made
    assert made["protocol"] == reader.protocol == "NTU RGB+D cross-subject"
    assert (made["by"], made["val_share"], made["seed"]) == ("subject", 0.1, 5)
    assert set(made["val"]["subject"]) < set(NTU[0].train)
    first, second = reader.notes
    assert first == (
        f"NTU RGB+D cross-subject. val: subjects {made['val']['subject'][0]}, "
        f"{made['val']['subject'][1]} of the training part, since the benchmark has none"
    )
    assert second == (
        "4,080 clips to train and 4,080 to test, where the field has 40,091 and 16,487: scores on "
        "a part are not those of the benchmark"
    )


def test_published_validation_parts_are_taken():
    recorded = {f"{p:03d}-{i}": Recording(0, subject=p) for p in range(1, 26) for i in range(2)}
    folder = recordings.Folder(None, recorded, {}, [])
    reader = Empty(folder, SMARTHOME[0], ["a"], val_share=0, seed=0)
    assert {name[:3] for name in reader.splits()["val"]} == {"019", "025"}
    assert reader.split_made["val"] == {"subject": [19, 25]} and "seed" not in reader.split_made
    assert reader.notes[:2] == (
        "Toyota Smarthome cross-subject. val: the published one, subjects 19, 25",
        "in no part of it: 14 recordings of other subjects",
    )


def test_counts_without_the_missing():
    """With those that are listed left out, the numbers are the published ones."""
    names = [name_of(subject=p, action=a) for p in range(1, 5) for a in range(1, 11)]
    small = dataclasses.replace(NTU[0], counts=(28, 10))
    missing = {names[0]: "list.txt", names[11]: "list.txt"}
    reader = of(names, small, missing=missing)
    assert reader.notes[-1] == "the published number of clips: 28 to train and 10 to test"
    with pytest.raises(InvalidClip, match=r"left_out: named in list\.txt"):
        reader.joints(names[0])
    assert "29 clips to train" in of(names, small, missing={names[0]: "a"}).notes[-1]
    assert of(names, small).notes[-1].endswith("10: some of them should be left out")


def test_the_axis_along_which_bodies_stand():
    from bodies import body

    class Turned(Empty):
        def _present(self, source):
            up = body(8, "ntu25").astype(np.float32)
            lying = self.label(source) % 5 == 4
            return (up[..., [2, 0, 1]] if lying else up[..., [0, 2, 1]] * [1, 1, -1])[
                :, None
            ].astype(np.float32)

    names = [name_of(subject=1, action=a) for a in range(1, 41)]
    recorded = {name: parse_name(name) for name in names}
    folder = recordings.Folder(None, recorded, {}, [])
    labels = [str(i) for i in range(60)]
    reader = Turned(folder, NTU[0], labels, val_share=0, seed=0)
    assert reader.standing() == ("-z", 32, 40)
