import math

import numpy as np
import pytest

from data_prep.readers import Caption, InvalidClip
from data_prep.readers.humanml3d import HumanML3D, parse_caption


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
