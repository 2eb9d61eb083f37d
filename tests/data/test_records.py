"""Prepared datasets read back: against TFDS, against the clips, and when files are damaged."""

import dataclasses
import json
import pathlib
import shutil
import struct
import subprocess
import sys

import numpy as np
import pytest
import safetensors.numpy
import tensorflow_datasets as tfds

from data_prep.builders import prepare
from data_prep.readers.humanml3d import HumanML3D
from motionalign.data.dataset import CLASS_TEXTS, Dataset, Metadata
from motionalign.data.records import Split, _masked_crc, scan_tfrecord, write_index
from motionalign.data.texts import attribute_classes, label_classes
from motionalign.skeleton import SKELETONS


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """Raw clips in HumanML3D's layout: several captions, spans, one clip with spans only."""
    raw = tmp_path_factory.mktemp("raw")
    for name in ("new_joints", "texts"):
        (raw / name).mkdir()
    texts = {
        "train": {
            "a": ["walks", "walks, then sits#x#1.0#2.0", "strolls", "ünïcode “quotes”\x85inside"],
            "b": ["sits#x#0.5#1.5", "stands"],
            "c": ["only this part#x#0.2#1.2"],
        },
        "val": {"v": ["jumps"]},
        "test": {"t": ["turns left", "turns"], "Mt": ["turns right"]},
    }
    for split, clips in texts.items():
        (raw / f"{split}.txt").write_text("\n".join(clips) + "\n")
        for name, lines in clips.items():
            lines = [line if "#" in line else f"{line}#x#0.0#0.0" for line in lines]
            (raw / "texts" / f"{name}.txt").write_text("\n".join(lines) + "\n", "utf-8")
            joints = np.random.default_rng(ord(name[-1])).normal(size=(50, 22, 3))
            np.save(raw / "new_joints" / f"{name}.npy", joints.astype(np.float32))
    return raw


@pytest.fixture(scope="module")
def data_dir(published, tmp_path_factory):
    """The same, prepared as "tiny"."""
    folder = tmp_path_factory.mktemp("prepared")
    prepare(lambda: HumanML3D(published), folder, "tiny")
    return folder


@pytest.fixture
def copy(data_dir, tmp_path):
    """A version folder that a test may spoil."""
    return shutil.copytree(data_dir / "tiny" / "1.0.0", tmp_path / "tiny" / "1.0.0")


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
        "import sys; from motionalign.records import Dataset;"
        f"Dataset({str(small_dataset)!r}, 'small').split('val')[0];"
        "assert not {'tensorflow', 'torch', 'transformers'} & set(sys.modules), 'imported'"
    )
    root = pathlib.Path(__file__).parents[1]
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
    # One a source: that of its first caption line, whole clip or cut.
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


def test_metadata_round_trip(data_dir):
    metadata = Dataset(data_dir, "tiny").metadata
    assert (metadata.name, metadata.skeleton.name, metadata.patch_size) == ("tiny", "smpl22", 16)
    assert (metadata.fps, metadata.source_fps, metadata.unit_in_metres) == (20, 20, 1)
    assert metadata.mean.shape == metadata.std.shape == (22, 3)
    values = metadata.to_json()
    assert values == json.loads((data_dir / "tiny" / "1.0.0" / "metadata.json").read_text())
    again = Metadata.from_json(json.loads(json.dumps(values)))
    np.testing.assert_array_equal(again.mean, metadata.mean)
    assert again.to_json() == values
    with pytest.raises(ValueError, match="unknown skeleton 'smpl24'"):
        Metadata.from_json(values | {"skeleton": "smpl24"})


APPEARANCE = Metadata(
    "people", SKELETONS["coco18"], 16, 24, None, np.zeros((18, 3)), np.ones((18, 3)), 24,
    label_names=("walk", "sit down"),
    attribute_names=("female", "slim", "normal weight", "backpack"),
    attribute_groups={"gender": ("female",), "body": ("slim", "normal weight")},
    attribute_opposites={"female": "male"},
    num_rotations=22,
)  # fmt: skip


def test_metadata_of_classes_round_trip():
    again = Metadata.from_json(json.loads(json.dumps(APPEARANCE.to_json())))
    for field in ("label_names", "attribute_names", "attribute_groups", "attribute_opposites",
                  "num_rotations"):  # fmt: skip
        assert getattr(again, field) == getattr(APPEARANCE, field), field


def test_positive_attributes_in_words():
    assert APPEARANCE.positive_names == ("female", "slim", "normal weight", "backpack", "male")
    rows = np.array([[0.9, 0.2, 0.51, 0.5], [0.5, 0, 0.7, 0.6], [0.1, 0.3, 0.2, 0.1]], np.float32)
    positive = APPEARANCE.positive(rows)
    np.testing.assert_array_equal(
        positive, [[1, 0, 1, 0, 0], [0, 0, 1, 1, 1], [0, 0, 0, 0, 1]]
    )  # fmt: skip
    assert positive.dtype == bool
    assert [APPEARANCE.attribute_words(row) for row in positive] == [
        "female, normal weight",
        "male, normal weight, backpack",
        "male",
    ]
    assert APPEARANCE.attribute_words(np.zeros(5, bool)) == "no attribute"
    with pytest.raises(ValueError, match="zip"):
        APPEARANCE.attribute_words(np.zeros(4, bool))


@dataclasses.dataclass
class SomeSplit:
    labels: np.ndarray
    attributes: np.ndarray


def test_class_names():
    attributes = np.array([[1, 1, 0, 0], [0, 0, 1, 1], [1, 0.9, 0, 0.4], [0, 0, 1, 0]], np.float32)
    split = SomeSplit(np.array([1, 0, -1, 1]), attributes)
    names, of_record = label_classes(APPEARANCE, split)
    assert names == ["walk", "sit down"]
    assert of_record.tolist() == [1, 0, -1, 1]
    names, of_record = attribute_classes(APPEARANCE, split)
    assert names == ["female, slim", "male, normal weight", "male, normal weight, backpack"]
    assert of_record.tolist() == [0, 2, 0, 1]


@pytest.mark.parametrize(
    ("kind", "classes"), [("labels", label_classes), ("attributes", attribute_classes)]
)
def test_class_names_of_a_dataset_without_classes(data_dir, kind, classes):
    dataset = Dataset(data_dir, "tiny")
    split = dataset.split("train")
    assert split.labels.tolist() == [-1] * 5
    assert split.attributes.shape == (5, 0)
    assert dataset.texts == {}
    with pytest.raises(ValueError, match=f"dataset 'tiny' has no {kind}"):
        classes(dataset.metadata, split)


def test_datasets_prepared_before_there_were_classes(copy, tmp_path):
    """Without the fields in metadata.json, the columns in the index, the feature in the records."""
    values = json.loads((copy / "metadata.json").read_text())
    for field in ("label_names", "attribute_names", "attribute_groups", "attribute_opposites",
                  "num_rotations"):  # fmt: skip
        del values[field]
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
                columns = {k: v for k, v in index.items() if k not in ("labels", "attributes")}
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


def test_class_texts(copy, tmp_path):
    texts = {"descriptions": {"walk": ["Sie läuft."]}, "synonyms": {"walk": ["stroll"]}}
    (copy / CLASS_TEXTS).write_text(json.dumps(texts, ensure_ascii=False), "utf-8")
    assert Dataset(tmp_path, "tiny").texts == texts


def test_index_of_several_shards(copy):
    """The order of the records is that of their ids, whichever shard they lie in."""
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
def test_a_flipped_bit_is_found_and_its_file_named(copy, part):
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
    # Nor does an index get written over it.
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
def test_a_file_cut_off(copy, left):
    """`left` bytes of the last record are there; -1: all but one."""
    split = Split(copy, "train")
    path = shard(copy)
    *_, (offset, size) = scan_tfrecord(path)
    data = path.read_bytes()
    path.write_bytes(data[: offset + (left if left >= 0 else size - 1)])
    row = int(np.argmax(split._offset))
    with pytest.raises(ValueError, match=f"{path}: the record at byte {offset} is damaged"):
        split[row]
    if left:
        message = rf"{path}: (no TFRecord header at|cut off in the record at) byte {offset}"
        with pytest.raises(ValueError, match=message):
            list(scan_tfrecord(path))


def test_a_length_beyond_the_file_is_not_believed(copy):
    """A damaged length whose own checksum fits: the file's end decides, nothing is allocated."""
    path = shard(copy, "val")
    header = struct.pack("<Q", 2**60)
    path.write_bytes(header + struct.pack("<I", _masked_crc(header)) + path.read_bytes()[12:])
    with pytest.raises(ValueError, match="cut off in the record at byte 0"):
        list(scan_tfrecord(path))
    with pytest.raises(ValueError, match="record at byte 0 is damaged"):
        Split(copy, "val")[0]


def test_crc_by_the_tfrecord_specification():
    """CRC32C of 32 zero bytes is 8a9136aa (RFC 3720, B.4), then TFRecord's mask."""
    crc = 0x8A9136AA
    assert _masked_crc(bytes(32)) == (((crc >> 15) | (crc << 17)) + 0xA282EAD8) % 2**32


def test_a_dataset_that_is_not_prepared(tmp_path):
    with pytest.raises(ValueError) as error:
        Dataset(tmp_path, "humanml3d")
    for part in (
        "dataset 'humanml3d' is not prepared",
        str(tmp_path / "humanml3d" / "1.0.0" / "metadata.json"),
        "https://github.com/EricGuo5513/HumanML3D",
        f"python -m data_prep humanml3d --data_dir={tmp_path} --raw_dir=",
    ):
        assert part in str(error.value)
    with pytest.raises(ValueError) as error:
        Dataset(tmp_path, "synthetic")
    assert "python -m data_prep synthetic" in str(error.value)
    assert "--raw_dir" not in str(error.value)
    for name, needed in (("babel", "--smplh_dir"), ("densegait", "cosmaadrian/gaitformer")):
        with pytest.raises(ValueError) as error:
            Dataset(tmp_path, name)
        assert f"python -m data_prep {name} --data_dir=" in str(error.value)
        assert needed in str(error.value)
    with pytest.raises(ValueError) as error:  # a name that somebody gave their own clips
        Dataset(tmp_path, "mine")
    assert "python -m data_prep humanml3d --name=mine --data_dir=" in str(error.value)


def test_a_misspelt_name_is_told_what_is_there(data_dir):
    with pytest.raises(ValueError, match=rf"Prepared in {data_dir}: tiny\. "):
        Dataset(data_dir, "tyny")


def test_a_preparation_that_was_killed_is_not_a_dataset(copy, tmp_path):
    shutil.move(tmp_path / "tiny", tmp_path / ".tiny.incomplete")
    with pytest.raises(ValueError, match="dataset 'tiny' is not prepared"):
        Dataset(tmp_path, "tiny")


def test_a_split_that_is_not_there(data_dir):
    with pytest.raises(ValueError, match="has no split 'dev'; it has test, train, val"):
        Dataset(data_dir, "tiny").split("dev")


def test_a_damaged_index(copy):
    with np.load(copy / "index-train.npz") as index:
        columns = dict(index)
    columns["ids"] = columns["ids"][:1]
    np.savez(copy / "index-train.npz", **columns)
    with pytest.raises(ValueError, match=r"index-train\.npz: the columns differ in length"):
        Split(copy, "train")
    data = (copy / "index-val.npz").read_bytes()
    flipped = data[:300] + bytes([data[300] ^ 1]) + data[301:]
    for damaged in (b"", b"not an archive", data[:-100], flipped):
        (copy / "index-val.npz").write_bytes(damaged)
        with pytest.raises(ValueError, match=r"index-val\.npz is damaged or cut off"):
            Split(copy, "val")


def write_vectors(version_dir, captions, vectors):
    joined = np.frombuffer("\n".join(captions).encode(), np.uint8)
    safetensors.numpy.save_file(
        {"vectors": vectors, "captions": joined},
        version_dir / "caption_vectors.safetensors",
        metadata={"encoder": "an encoder", "sha256": "0", "readout": "mean"},
    )


def test_caption_vectors(copy, tmp_path):
    dataset = Dataset(tmp_path, "tiny")
    assert dataset.caption_vectors is None
    with pytest.raises(ValueError) as error:
        dataset.require_caption_vectors()
    assert f"python -m data_prep embed --data_dir={tmp_path} --name=tiny" in str(error.value)

    captions = ["sits", "strolls", "ünïcode “quotes”\x85inside"]
    vectors = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
    write_vectors(copy, captions, vectors)
    found = Dataset(tmp_path, "tiny").require_caption_vectors()
    assert found.encoder == "an encoder, readout mean"
    assert found.fingerprint == ("0", "mean")
    np.testing.assert_array_equal(found[[captions[2], captions[0]]], vectors[[2, 0]])

    write_vectors(copy, captions, vectors[:2])
    with pytest.raises(ValueError, match="3 captions, but 2 vectors"):
        Dataset(tmp_path, "tiny").caption_vectors  # noqa: B018
