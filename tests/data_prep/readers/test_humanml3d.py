import json
import math
import shutil

import numpy as np
import pytest

from data_prep.__main__ import main
from data_prep.readers import Caption, InvalidClip
from data_prep.readers.humanml3d import HumanML3D, parse_caption, parse_plain_caption
from data_prep.splits import SplitPlan
from data_prep.survey import survey
from motionalign.data.dataset import Dataset


def test_caption_lines():
    assert parse_caption("a person walks.#a/DET person/NOUN#0.0#0.0\n") == Caption(
        "a person walks."
    )
    assert parse_caption("he sits#x#1.5#4") == Caption("he sits", 1.5, 4.0)
    assert parse_caption("he sits#x#nan#nan").is_whole
    assert parse_caption("he sits#x#nan#2.0") == Caption("he sits", 0.0, 2.0)
    assert parse_caption("he sits##0#0").is_whole  # tokens are unused and may be absent


@pytest.mark.parametrize(
    "line, reason",
    [
        ("", "caption_empty"),
        ("   #x#0.0#0.0", "caption_empty"),
        ("he sits", "text_malformed"),
        ("he sits#x#0.0", "text_malformed"),
        ("he #1 sits#x#0.0#0.0", "text_malformed"),
        ("he sits#x#zero#0.0", "text_malformed"),
    ],
)
def test_bad_caption_lines(line, reason):
    found = parse_caption(line)
    assert isinstance(found, InvalidClip)
    assert found.reason == reason


def test_infinite_times_are_left_to_the_span_check():
    assert math.isinf(parse_caption("he sits#x#0.0#inf").end)


def test_layout(published):
    published.clip("a", "train").clip("b", "val").clip("c", "test").clip("Ma", "train")
    reader = HumanML3D(published.folder)
    assert reader.splits() == {"train": ["a", "Ma"], "val": ["b"], "test": ["c"]}
    np.testing.assert_array_equal(reader.joints("a")[:, 0], published.joints("a"))
    assert reader.joints("a").dtype == np.float32
    assert reader.dissimilar_test() == []
    (published.folder / "nsim_test.txt").write_text("c\n")
    assert reader.dissimilar_test() == ["c"]


def test_text_files_of_other_systems(published):
    published.clip("a")
    published.text("a").write_bytes("\ufeffhe sits#x#0#0\r\nshe sits#x#0#0\r\n\r\n".encode())
    (published.folder / "train.txt").write_bytes(b"a\r\n\r\n")
    reader = HumanML3D(published.folder)
    assert [caption.text for caption in reader.captions("a")] == ["he sits", "she sits"]
    assert reader.splits()["train"] == ["a"]


def test_any_numeric_dtype_is_read_but_no_pickles(published):
    published.clip("a").clip("b").clip("c").clip("d")
    np.save(published.motion("a"), np.ones((4, 22, 3), np.int64))
    np.save(published.motion("b"), np.array([{"a": 1}], object), allow_pickle=True)
    published.motion("c").write_bytes(b"")
    with published.motion("d").open("wb") as file:
        np.savez(file, joints=np.ones((4, 22, 3)))
    reader = HumanML3D(published.folder)
    assert reader.joints("a").dtype == np.float32
    for name in "bcd":
        with pytest.raises(InvalidClip, match="motion_unreadable"):
            reader.joints(name)


def test_folders_in_place_of_files_are_reported(published):
    published.clip("a").clip("b")
    for path in (published.text("a"), published.motion("b"), published.folder / "val.txt"):
        path.unlink()
        path.mkdir()
    reader = HumanML3D(published.folder)
    with pytest.raises(InvalidClip, match=r"text_malformed: texts/a\.txt is a folder"):
        reader.captions("a")
    with pytest.raises(InvalidClip, match="motion_unreadable"):
        reader.joints("b")
    with pytest.raises(ValueError, match=r"val\.txt is a folder"):
        reader.splits()


def test_a_wrong_folder_names_missing_files_and_a_likely_folder(published):
    with pytest.raises(ValueError, match=r"no new_joints, texts.*Did you mean --raw_dir=.*raw"):
        HumanML3D(published.folder.parent)
    (published.folder / "val.txt").unlink()
    with pytest.raises(ValueError, match=r"no val\.txt\."):
        HumanML3D(published.folder)


def test_plain_captions():
    assert parse_plain_caption(" a person walks \n") == Caption("a person walks")
    assert parse_plain_caption("person #1 greets #2") == Caption("person #1 greets #2")
    for line, reason in ((" ", "caption_empty"), ("walks#a/DET#0.0#0.0", "text_malformed")):
        found = parse_plain_caption(line)
        assert isinstance(found, InvalidClip) and found.reason == reason


def test_captions_of_either_form(published):
    published.clip("a").clip("b")
    published.text("a").write_text("walks, person #1\n\nstrolls\n")
    reader = HumanML3D(published.folder, captions="plain")
    found = survey(reader)
    assert [record.captions for record in found.sources[0].records] == [
        ("walks, person #1", "strolls")
    ]
    assert [(e["line"], e["reason"]) for e in found.captions_dropped] == [(2, "caption_empty")]
    published.clip("c")
    with pytest.raises(ValueError, match="leave out --captions=plain"):  # b and c are published
        survey(reader)
    with pytest.raises(ValueError, match="--captions=srt; expected published or plain"):
        HumanML3D(published.folder, captions="srt")


@pytest.fixture
def unsplit(published):
    """Clips of four subjects with plain captions and twins, without split files."""
    rows = ["id,subject"]
    for i in range(40):
        published.clip(f"c{i:02d}")
        published.text(f"c{i:02d}").write_text("someone walks\n")
        rows.append(f"c{i:02d},s{i % 4}")
    published.mirrored("Mc05").mirrored("other", of="c06")
    shutil.copy(published.motion("c07"), published.motion("same"))
    for name in ("Mc05", "other", "same"):
        published.text(name).write_text("someone walks\n")
    (published.folder / "labels.csv").write_text("\n".join(rows) + "\n")
    for split in ("train", "val", "test"):
        (published.folder / f"{split}.txt").unlink()
    return published


def test_without_split_files_the_option_is_offered(unsplit):
    with pytest.raises(ValueError, match=r"To make splits, add --split=80,10,10 --seed=0"):
        HumanML3D(unsplit.folder)
    (unsplit.folder / "train.txt").touch()
    with pytest.raises(ValueError, match=r"no val\.txt, test\.txt\. Expected .*test\.txt$"):
        HumanML3D(unsplit.folder)
    with pytest.raises(ValueError, match=r"--split makes splits, but .* has train\.txt: leave out"):
        HumanML3D(unsplit.folder, split=SplitPlan((80, 10, 10)))


def test_made_splits_divide_no_twins(unsplit):
    for seed in range(4):
        reader = HumanML3D(unsplit.folder, captions="plain", split=SplitPlan((80, 10, 10), seed))
        found = survey(reader)
        home = {source.id: source.split for source in found.sources}
        assert len(home) == 43
        assert home["Mc05"] == home["c05"]
        assert home["other"] == home["c06"]
        assert home["same"] == home["c07"]
        assert "leaks" not in found.table()
    unsplit.motion("c00").write_bytes(b"no array")  # left to the survey
    splits = HumanML3D(unsplit.folder, split=SplitPlan((80, 10, 10))).splits()
    assert any("c00" in names for names in splits.values())
    for path in (unsplit.folder / "new_joints").iterdir():
        path.unlink()
    with pytest.raises(ValueError, match=r"new_joints has no \.npy file to split"):
        HumanML3D(unsplit.folder, split=SplitPlan((80, 10, 10)))


def test_made_splits_from_the_command_line(unsplit, tmp_path, capsys):
    flags = [f"--raw_dir={unsplit.folder}", f"--data_dir={tmp_path}", "--name=mine"]
    plain = "--captions=plain"
    with pytest.raises(SystemExit, match="--seed is about made splits: give --split=80,10,10, too"):
        main(["humanml3d", *flags, plain, "--seed=3"])
    main(["humanml3d", *flags, plain, "--split=50,25,25", "--seed=3"])
    assert "no split files: clips are split 50,25,25 with seed 3, by the column 'subject'" in (
        capsys.readouterr().out
    )
    folder = tmp_path / "mine" / "1.0.0"
    report = json.loads((folder / "report.json").read_text())
    assert report["split_made"]["by"] == "subject"
    assert {"split": "50,25,25", "seed": 3, "captions": "plain"}.items() <= report[
        "options"
    ].items()
    dataset = Dataset(tmp_path, "mine")
    subjects = {
        split: {int(name[1:]) % 4 for name in dataset.split(split).ids if name[0] == "c"}
        for split in ("train", "val", "test")
    }
    assert sorted(map(len, subjects.values())) == [1, 1, 2]
    assert len(set.union(*subjects.values())) == 4
    with pytest.raises(SystemExit, match="was prepared with seed=3, not 4"):
        main(["humanml3d", *flags, plain, "--split=50,25,25", "--seed=4"])
