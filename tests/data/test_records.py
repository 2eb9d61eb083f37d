"""Reading prepared datasets: compared with TFDS and the clips, and with damaged files."""

import json
import pathlib
import struct
import subprocess
import sys

import numpy as np
import pytest
import tensorflow_datasets as tfds

from motionalign import digests
from motionalign.data.dataset import Dataset
from motionalign.data.records import Split, _masked_crc, scan_tfrecord, write_index


def shard(version_dir, split="train"):
    (path,) = version_dir.glob(f"*-{split}.tfrecord-*")
    return path


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_random_access_equals_tfds(small_dataset, split):
    ours = Dataset(small_dataset, "small").split(split)
    builder = tfds.builder_from_directory(ours.version_dir)
    theirs = {e["id"].decode(): e for e in tfds.as_numpy(builder.as_dataset(split=split))}
    assert ours.ids == sorted(theirs)
    for i in np.random.default_rng(0).permutation(len(ours)):
        mine, other = ours[i], theirs[ours.ids[i]]
        assert mine.keys() == other.keys()
        for field, value in other.items():
            if field == "labels":
                assert mine[field].tolist() == list(value) == []
            elif field == "captions":
                assert mine[field] == [caption.decode() for caption in value] == ours.captions[i]
            elif isinstance(value, bytes):
                assert mine[field] == value.decode()
            else:
                np.testing.assert_array_equal(mine[field], value)
                assert np.ndim(value) == 0 or mine[field].dtype == value.dtype
        assert ours.num_frames[i] == len(other["joints"]) == len(other["patches"])
        assert ours.first_line[i] == other["first_line"]
        assert ours.sources[i] == mine["source"]


def test_reading_imports_no_tensorflow(small_dataset):
    code = (
        "import sys; from motionalign.data.dataset import Dataset;"
        f"Dataset({str(small_dataset)!r}, 'small').split('val')[0];"
        "assert not {'tensorflow', 'torch', 'transformers'} & set(sys.modules), 'imported'"
    )
    root = pathlib.Path(__file__).parents[2]
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120, cwd=root)


def test_records_captions_and_rows(data_dir, published):
    split = Dataset(data_dir, "tiny").split("train")
    assert len(split) == 5
    assert split.ids == ["a", "a#1", "b", "b#0", "c#0"]
    assert split.sources == ["a", "a", "b", "b", "c"]
    assert split.captions == [
        ["walks", "strolls", "ünïcode “quotes”\x85inside"],
        ["walks, then sits"],
        ["stands"],
        ["sits"],
        ["only this part"],
    ]
    np.testing.assert_array_equal(split.first_line, [0, 1, 1, 0, 0])
    np.testing.assert_array_equal(split.num_frames, [50, 20, 50, 20, 20])
    # One record per source: that of its first caption line, complete or cut.
    assert [split.ids[row] for row in split.evaluation_rows()] == ["a", "b#0", "c#0"]
    np.testing.assert_array_equal(split[1]["span"], [1, 2])
    joints = np.load(published / "new_joints" / "a.npy")
    np.testing.assert_array_equal(split[1]["joints"][:, 0], joints[20:40])
    np.testing.assert_array_equal(split[0]["joints"][:, 0], joints)
    np.testing.assert_array_equal(split[-1]["captions"], split[4]["captions"])


def test_mirrored_twins_name_their_source(data_dir):
    split = Dataset(data_dir, "tiny").split("test")
    assert dict(zip(split.ids, split.mirrored_of)) == {"Mt": "t", "t": ""}
    assert {example["id"]: example["mirrored_of"] for example in split} == {"Mt": "t", "t": ""}
    assert Dataset(data_dir, "tiny").split("val").mirrored_of == [""]


def test_datasets_from_before_classes_existed(copy, tmp_path):
    """metadata.json lacks fields, the index lacks columns, and the records lack a feature."""
    (copy / digests.NAME).unlink()
    values = json.loads((copy / "metadata.json").read_text())
    for field in ("label_names", "attribute_names", "attribute_groups", "attribute_opposites",
                  "num_rotations", "format_version"):  # fmt: skip
        del values[field]
    values["skeleton"] = "smpl22"
    (copy / "metadata.json").write_text(json.dumps(values))
    features = json.loads((copy / "features.json").read_text())
    del features["featuresDict"]["features"]["labels"]
    (copy / "features.json").write_text(json.dumps(features))
    before = Split(copy, "train")
    for rewrite in (False, True):
        if rewrite:
            write_index(copy, "train")
        else:
            with np.load(copy / "index-train.npz") as index:
                later = ("labels", "attributes", "format_version")
                columns = {k: v for k, v in index.items() if k not in later}
            np.savez(copy / "index-train.npz", **columns)
        dataset = Dataset(tmp_path, "tiny")
        assert dataset.metadata.label_names == dataset.metadata.attribute_names == ()
        assert dataset.metadata.attribute_groups == dataset.metadata.attribute_opposites == {}
        assert dataset.metadata.num_rotations == 0
        split = dataset.split("train")
        np.testing.assert_array_equal(split.num_frames, before.num_frames)
        assert split.labels.tolist() == [-1] * 5
        assert split.attributes.shape == (5, 0)
        assert "labels" not in split[0]
        assert len(split[0]["joints"]) == 50


def test_index_over_several_shards(copy):
    """Records are ordered by id, whatever shard they are in."""
    whole = Split(copy, "train")
    examples = [whole[i] for i in range(5)]
    path = shard(copy)
    data = path.read_bytes()
    frames = [data[offset : offset + size] for offset, size in scan_tfrecord(path)]
    path.unlink()
    for k, part in enumerate((frames[3:], [], frames[:3])):
        (copy / f"tiny-train.tfrecord-{k:05d}-of-00003").write_bytes(b"".join(part))
    write_index(copy, "train")
    ours = Split(copy, "train")
    assert (ours.ids, ours.captions) == (whole.ids, whole.captions)
    for i, example in enumerate(examples):
        np.testing.assert_array_equal(ours[i]["patches"], example["patches"])
    assert not list(copy.glob("*.partial*"))


@pytest.mark.parametrize("part", ["length", "length crc", "payload", "payload crc"])
def test_a_flipped_bit_is_detected_and_the_file_named(copy, part):
    split = Split(copy, "train")
    path = shard(copy)
    offsets = list(scan_tfrecord(path))
    row = next(i for i in range(5) if split._offset[i] == offsets[2][0])
    offset, size = offsets[2]
    at = {"length": 1, "length crc": 9, "payload": size // 2, "payload crc": size - 2}[part]
    data = bytearray(path.read_bytes())
    data[offset + at] ^= 4
    path.write_bytes(data)
    with pytest.raises(ValueError, match="damaged") as error:
        split[row]
    assert str(path) in str(error.value)
    assert f"byte {offset} " in str(error.value)
    assert "--overwrite" in str(error.value)
    for other in set(range(5)) - {row}:
        assert split[other]["id"] == split.ids[other]
    # Nor is an index written for it.
    with pytest.raises(ValueError, match=str(path)):
        write_index(copy, "train")


def test_every_single_byte_is_covered_by_a_checksum(copy):
    split = Split(copy, "val")
    path = shard(copy, "val")
    data = path.read_bytes()
    rng = np.random.default_rng(0)
    for at in (*range(16), *rng.integers(len(data), size=40), *range(len(data) - 6, len(data))):
        path.write_bytes(data[:at] + bytes([data[at] ^ (1 << rng.integers(8))]) + data[at + 1 :])
        with pytest.raises(ValueError, match="damaged"):
            split[0]
    path.write_bytes(data)
    assert split[0]["id"] == "v"


@pytest.mark.parametrize("left", [0, 5, 12, 100, -1])
def test_a_truncated_file_is_detected(copy, left):
    """`left`: remaining bytes of the last record; -1: all but one."""
    split = Split(copy, "train")
    path = shard(copy)
    *_, (offset, size) = scan_tfrecord(path)
    data = path.read_bytes()
    path.write_bytes(data[: offset + (left if left >= 0 else size - 1)])
    row = int(np.argmax(split._offset))
    with pytest.raises(ValueError, match=f"{path}: the record at byte {offset} is damaged"):
        split[row]
    with pytest.raises(ValueError, match=rf"{path} has \d+ bytes, not {len(data)}. Prepare"):
        Split(copy, "train")  # before any record is read
    if left:
        message = rf"{path}: (no TFRecord header at|truncated in the record at) byte {offset}"
        with pytest.raises(ValueError, match=message):
            list(scan_tfrecord(path))


def test_a_record_length_beyond_the_file_is_detected(copy):
    """The length is wrong but its checksum matches: it must not be allocated."""
    path = shard(copy, "val")
    header = struct.pack("<Q", 2**60)
    path.write_bytes(header + struct.pack("<I", _masked_crc(header)) + path.read_bytes()[12:])
    with pytest.raises(ValueError, match="truncated in the record at byte 0"):
        list(scan_tfrecord(path))
    with pytest.raises(ValueError, match="record at byte 0 is damaged"):
        Split(copy, "val")[0]


def test_crc_by_the_tfrecord_specification():
    """CRC32C of 32 zero bytes is 8a9136aa (RFC 3720, B.4), then TFRecord's mask."""
    crc = 0x8A9136AA
    assert _masked_crc(bytes(32)) == (((crc >> 15) | (crc << 17)) + 0xA282EAD8) % 2**32


def test_a_missing_split_lists_the_existing_ones(data_dir):
    with pytest.raises(ValueError, match="has no split 'dev'; it has test, train, val"):
        Dataset(data_dir, "tiny").split("dev")


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (np.zeros((5, 1)), "more_labels is no table of whole numbers"),
        (np.zeros(5, np.int64), "more_labels is no table of whole numbers"),
        (np.full((5, 1), -2), "more_labels contains -2"),
        (np.zeros((4, 1), np.int64), "the columns differ in length"),
    ],
)
def test_damaged_columns_of_further_labels(copy, more, message):
    path = copy / "index-train.npz"
    with np.load(path) as index:
        columns = dict(index)
    assert len(columns["labels"]) == 5
    np.savez(path, **columns | {"more_labels": more})
    (copy / digests.NAME).unlink()
    with pytest.raises(ValueError, match=message):
        Split(copy, "train")


def test_a_label_beyond_the_classes_is_an_error(copy):
    with np.load(copy / "index-train.npz") as index:
        columns = dict(index)
    np.savez(copy / "index-train.npz", **columns | {"more_labels": np.zeros((5, 1), np.int64)})
    (copy / digests.NAME).unlink()
    with pytest.raises(ValueError, match="has other classes or attributes than metadata"):
        Dataset(copy.parents[1], copy.parent.name).split("train")


def test_a_damaged_index_is_detected(copy):
    with np.load(copy / "index-train.npz") as index:
        columns = dict(index)
    columns["ids"] = columns["ids"][:1]
    np.savez(copy / "index-train.npz", **columns)
    with pytest.raises(ValueError, match=r"index-train\.npz is damaged: its content is not what"):
        Split(copy, "train")
    (copy / digests.NAME).unlink()  # as in datasets of older versions
    with pytest.raises(ValueError, match=r"index-train\.npz: the columns differ in length"):
        Split(copy, "train")
    data = (copy / "index-val.npz").read_bytes()
    flipped = data[:300] + bytes([data[300] ^ 1]) + data[301:]
    for damaged in (b"", b"not an archive", data[:-100], flipped):
        (copy / "index-val.npz").write_bytes(damaged)
        with pytest.raises(
            ValueError, match=r"index-val\.npz is not a complete .npz file.* --overwrite"
        ):
            Split(copy, "val")
