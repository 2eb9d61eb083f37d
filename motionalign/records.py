"""Prepared datasets on disk: random access to TFRecord, and what lies beside the records.

A prepared dataset is the folder `<data_dir>/<name>/<version>` that `python -m data_prep` writes:
TFRecord shards and `features.json` from TensorFlow Datasets, one `index-<split>.npz` a split,
`metadata.json`, `report.json`, `class_texts.json` where there are other words for the classes, and
`caption_vectors.safetensors` after `data_prep embed`.
Nothing here imports TensorFlow.
"""

import dataclasses
import functools
import json
import pathlib
import struct
import zipfile
from collections.abc import Iterator, Sequence

import google_crc32c
import numpy as np

from motionalign.skeleton import Skeleton, get_skeleton

VERSION = "1.0.0"
CAPTION_VECTORS = "caption_vectors.safetensors"  # the file that `data_prep embed` writes
CLASS_TEXTS = "class_texts.json"  # descriptions and synonyms of the classes

_HEADER = struct.Struct("<QI")  # length of the payload, masked crc of those eight bytes
_FOOTER = struct.Struct("<I")  # masked crc of the payload


def _masked_crc(data: bytes) -> int:
    """CRC32C as TFRecord stores it: rotated and offset, so that a crc of a crc stays useful."""
    crc = google_crc32c.value(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def _read_payload(data: bytes, path: pathlib.Path, offset: int) -> bytes:
    """The payload of the framed record that starts at `data[0]`, its two checksums verified."""
    if len(data) >= _HEADER.size:
        length, length_crc = _HEADER.unpack_from(data)
        end = _HEADER.size + length
        if _masked_crc(data[:8]) == length_crc and len(data) == end + _FOOTER.size:
            payload = data[_HEADER.size : end]
            if _masked_crc(payload) == _FOOTER.unpack_from(data, end)[0]:
                return payload
    raise ValueError(
        f"{path}: the record at byte {offset} is damaged (checksum mismatch or cut off). "
        "Prepare the dataset again with --overwrite, or copy the file again"
    )


def scan_tfrecord(path: pathlib.Path) -> Iterator[tuple[int, int]]:
    """Yields (offset, size) in bytes of every framed record of a TFRecord file, in file order."""
    end = path.stat().st_size
    with path.open("rb") as file:
        offset = 0
        while offset < end:
            header = file.read(_HEADER.size)
            if len(header) < _HEADER.size or _masked_crc(header[:8]) != _HEADER.unpack(header)[1]:
                raise ValueError(f"{path}: no TFRecord header at byte {offset}")
            size = _HEADER.size + _HEADER.unpack(header)[0] + _FOOTER.size
            if offset + size > end:
                raise ValueError(f"{path}: cut off in the record at byte {offset}")
            yield offset, size
            offset += size
            file.seek(offset)


def _decoder(version_dir: pathlib.Path):
    from tensorflow_datasets import features

    return features.FeaturesDict.from_config(str(version_dir)).deserialize_example_np


def _join(lines: list[str]) -> np.ndarray:
    return np.array(bytearray("\n".join(lines).encode()), np.uint8)


def _lines(array: np.ndarray) -> list[str]:
    return array.tobytes().decode().split("\n") if array.size else []


def write_index(version_dir: pathlib.Path, split: str) -> None:
    """Writes `index-<split>.npz`: where each record lies, and what is needed without reading it.

    Rows are sorted by id, so that the order says nothing about how the shards were written. The
    lengths, captions and labels of a whole dataset then load in milliseconds, which lets every
    process lay out every batch by itself.
    """
    version_dir = pathlib.Path(version_dir)
    decode = _decoder(version_dir)
    rows, shards = [], []
    for path in sorted(version_dir.glob(f"*-{split}.tfrecord-*")):
        for offset, size in scan_tfrecord(path):
            with path.open("rb") as file:
                file.seek(offset)
                example = decode(_read_payload(file.read(size), path, offset))
            captions = [caption.decode() for caption in example["captions"]]
            assert not any("\n" in caption for caption in captions), captions
            labels = example.get("labels", ())
            assert len(labels) <= 1, labels
            rows.append(
                (
                    example["id"].decode(),
                    example["source"].decode(),
                    example["mirrored_of"].decode(),
                    captions,
                    (len(shards), offset, size, len(example["joints"]), example["first_line"]),
                    labels[0] if len(labels) else -1,
                    example.get("attributes", np.zeros(0, np.float32)),
                )
            )
        shards.append(path.name)
    rows.sort(key=lambda row: row[0])
    numbers = np.array([row[4] for row in rows], np.int64).reshape(len(rows), 5)
    num_attributes = len(rows[0][6]) if rows else 0
    path = version_dir / f"index-{split}.npz"
    partial = path.with_suffix(".partial.npz")
    np.savez(
        partial,
        shards=_join(shards),
        ids=_join([row[0] for row in rows]),
        sources=_join([row[1] for row in rows]),
        mirrored_of=_join([row[2] for row in rows]),
        num_records=len(rows),
        captions=_join([caption for row in rows for caption in row[3]]),
        num_captions=np.array([len(row[3]) for row in rows], np.int64),
        labels=np.array([row[5] for row in rows], np.int64),
        attributes=np.array([row[6] for row in rows], np.float32).reshape(
            len(rows), num_attributes
        ),
        **dict(zip(("shard", "offset", "size", "num_frames", "first_line"), numbers.T)),
    )
    partial.replace(path)


def _read_index(path: pathlib.Path) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as index:
            return dict(index)
    except (ValueError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(
            f"{path} is damaged or cut off ({error}). Prepare the dataset again with --overwrite, "
            "or copy the file again"
        ) from error


@dataclasses.dataclass(frozen=True)
class Metadata:
    """What holds for every record of a prepared dataset (`metadata.json`).

    Attributes (of a person: gender, clothing, ...) are probabilities [A]; most are named only where
    they are present, but some have a word for their absence, their opposite: not female is male.
    What is positive is therefore told by A + O names, `positive_names`.
    """

    name: str
    skeleton: Skeleton
    patch_size: int
    fps: float
    unit_in_metres: float | None
    mean: np.ndarray  # [J, 3] float64, in the units of the joints
    std: np.ndarray  # [J, 3]
    source_fps: float
    label_names: tuple[str, ...] = ()  # of the action classes; the index is the label
    attribute_names: tuple[str, ...] = ()  # A names
    attribute_groups: dict[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    attribute_opposites: dict[str, str] = dataclasses.field(default_factory=dict)
    num_rotations: int = 0  # R, of `rotations` [T, M, R, 6]; 0: the records have none

    @classmethod
    def from_json(cls, values: dict) -> "Metadata":
        return cls(
            name=values["name"],
            skeleton=get_skeleton(values["skeleton"]),
            patch_size=values["patch_size"],
            fps=values["fps"],
            unit_in_metres=values["unit_in_metres"],
            mean=np.array(values["mean"]),
            std=np.array(values["std"]),
            source_fps=values["source_fps"],
            label_names=tuple(values.get("label_names", ())),
            attribute_names=tuple(values.get("attribute_names", ())),
            attribute_groups={
                group: tuple(names) for group, names in values.get("attribute_groups", {}).items()
            },
            attribute_opposites=values.get("attribute_opposites", {}),
            num_rotations=values.get("num_rotations", 0),
        )

    def to_json(self) -> dict:
        return {
            "name": self.name,
            "skeleton": self.skeleton.name,
            "patch_size": self.patch_size,
            "fps": self.fps,
            "unit_in_metres": self.unit_in_metres,
            "mean": self.mean.tolist(),
            "std": self.std.tolist(),
            "source_fps": self.source_fps,
            "label_names": list(self.label_names),
            "attribute_names": list(self.attribute_names),
            "attribute_groups": {k: list(names) for k, names in self.attribute_groups.items()},
            "attribute_opposites": dict(self.attribute_opposites),
            "num_rotations": self.num_rotations,
        }

    @property
    def positive_names(self) -> tuple[str, ...]:
        """A + O names of what can be positive: the attributes, then the opposites."""
        return self.attribute_names + tuple(self.attribute_opposites.values())

    def positive(self, attributes: np.ndarray) -> np.ndarray:
        """Probabilities [..., A] to bool [..., A + O] in the order of `positive_names`.

        An attribute is positive above 0.5, an opposite where its attribute is not.
        """
        return positive_attributes(attributes, self.attribute_names, self.attribute_opposites)

    def present(self, attributes: np.ndarray) -> np.ndarray:
        """Probabilities [..., A] to bool [..., A]: `positive` without the opposites."""
        return self.positive(attributes)[..., : len(self.attribute_names)]

    def attribute_words(self, positive: np.ndarray) -> str:
        """One row of `positive`, bool [A + O], in words: "male, normal weight, backpack"."""
        return attribute_words(positive, self.attribute_names, self.attribute_opposites)


def positive_attributes(
    attributes: np.ndarray, names: Sequence[str], opposites: dict[str, str]
) -> np.ndarray:
    """Probabilities [..., A] to bool [..., A + O]: see `Metadata.positive`."""
    present = np.asarray(attributes) > 0.5
    absent = ~present[..., [names.index(name) for name in opposites]]
    return np.concatenate([present, absent], axis=-1)


def attribute_words(positive: np.ndarray, names: Sequence[str], opposites: dict[str, str]) -> str:
    """The positive names of one row [A + O], joined; an opposite stands where its attribute would.

    "no attribute" where none is positive.
    """
    is_positive = dict(zip([*names, *opposites.values()], positive, strict=True))
    in_order = [word for name in names for word in (name, opposites.get(name)) if word]
    return ", ".join(word for word in in_order if is_positive[word]) or "no attribute"


@dataclasses.dataclass(frozen=True)
class CaptionVectors:
    """Sentence vectors of a frozen encoder, one row a distinct caption, not normalised.

    encoder: its name and how it is read out, for tables. fingerprint: the SHA-256 of its weights
    and the readout; vectors may be compared where these are the same. source: the folder or Hub id
    that the encoder was read from.
    """

    encoder: str
    fingerprint: tuple[str, str]
    rows: dict[str, int]
    vectors: np.ndarray  # [K, D] float32
    source: str = ""

    @property
    def origin(self) -> dict[str, str]:
        """What a run stores, so that other texts can be encoded alike."""
        sha256, readout = self.fingerprint
        return {"encoder": self.source, "readout": readout, "sha256": sha256}

    @classmethod
    def read(cls, path: pathlib.Path) -> "CaptionVectors":
        """Reads what `data_prep embed` wrote."""
        import safetensors

        with safetensors.safe_open(path, framework="np") as file:
            captions = _lines(file.get_tensor("captions"))
            vectors = file.get_tensor("vectors")
            made_by = file.metadata()
        if len(captions) != len(vectors):
            raise ValueError(f"{path}: {len(captions)} captions, but {len(vectors)} vectors")
        return cls(
            encoder=f"{made_by['encoder']}, readout {made_by['readout']}",
            fingerprint=(made_by["sha256"], made_by["readout"]),
            rows={caption: row for row, caption in enumerate(captions)},
            vectors=vectors,
            source=made_by["encoder"],
        )

    def __getitem__(self, captions: list[str]) -> np.ndarray:
        """[len(captions), D]."""
        return self.vectors[[self.rows[caption] for caption in captions]]


def _how_to_prepare(name: str, data_dir: str | pathlib.Path) -> str:
    """How a user comes by a dataset."""
    if name == "synthetic":
        return f"Make it with\n  python -m data_prep synthetic --data_dir={data_dir}"
    if name in _PUBLISHED:
        get, command = f"Get {name} from {_PUBLISHED[name]}, then run", name
    else:
        get = "Bring its clips into HumanML3D's layout, then run"
        command = f"humanml3d --name={name}"
    return (
        f"{get}\n  python -m data_prep {command} --data_dir={data_dir} --raw_dir=FOLDER\n"
        f"(`python -m data_prep {command.split()[0]} --help` shows the files that FOLDER holds"
        + (", and --amass_dir and --smplh_dir, which it needs as well)" if name == "babel" else ")")
    )


_PUBLISHED = {
    **dict.fromkeys(("humanml3d", "kit_ml"), "https://github.com/EricGuo5513/HumanML3D"),
    "babel": "https://babel.is.tue.mpg.de",
    "densegait": "https://github.com/cosmaadrian/gaitformer",
}


class Dataset:
    """A prepared dataset: its metadata, its splits and, once embedded, its caption vectors."""

    def __init__(self, data_dir: str | pathlib.Path, name: str):
        self.name = name
        self.version_dir = pathlib.Path(data_dir) / name / VERSION
        path = self.version_dir / "metadata.json"
        if not path.is_file():
            places = pathlib.Path(data_dir).glob(f"*/{VERSION}/metadata.json")
            there = sorted(place.parents[1].name for place in places)
            raise ValueError(
                f"dataset {name!r} is not prepared: {path} does not exist. "
                + (f"Prepared in {data_dir}: {', '.join(there)}. " if there else "")
                + _how_to_prepare(name, data_dir)
            )
        self.metadata = Metadata.from_json(json.loads(path.read_text()))

    def split(self, split: str) -> "Split":
        return Split(self.version_dir, split)

    @functools.cached_property
    def texts(self) -> dict[str, dict[str, list[str]]]:
        """Other words for the classes: {"descriptions": {class: [texts]}, "synonyms": {...}}.

        Empty where the dataset has none.
        """
        path = self.version_dir / CLASS_TEXTS
        return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}

    @functools.cached_property
    def caption_vectors(self) -> CaptionVectors | None:
        path = self.version_dir / CAPTION_VECTORS
        return CaptionVectors.read(path) if path.is_file() else None

    def require_caption_vectors(self) -> CaptionVectors:
        if self.caption_vectors is None:
            raise ValueError(
                f"dataset {self.name!r} has no caption vectors. Make them with\n  python -m "
                f"data_prep embed --data_dir={self.version_dir.parents[1]} --name={self.name}"
            )
        return self.caption_vectors


class Split:
    """Random access to the records of one split, in the order of their ids.

    `split[i]` decodes record i: a dict of NumPy arrays and strings (DESIGN, "One record a clip").
    Without reading a record there are, a row each: `ids`, `sources`, `mirrored_of`, `captions`,
    `num_frames`, `first_line`, `labels` [n] int64 (-1: none) and `attributes` [n, A] float32.
    """

    def __init__(self, version_dir: str | pathlib.Path, split: str):
        self.version_dir = pathlib.Path(version_dir)
        self.name = split
        path = self.version_dir / f"index-{split}.npz"
        if not path.is_file():
            known = sorted(p.stem.removeprefix("index-") for p in self.version_dir.glob("index-*"))
            raise ValueError(
                f"{self.version_dir} has no split {split!r}; it has {', '.join(known) or 'none'}"
            )
        index = _read_index(path)
        self._shards = _lines(index["shards"])
        count = int(index["num_records"])
        # "" has no lines but one empty one: a column of empty strings needs the count.
        self.ids = _lines(index["ids"])
        self.sources = _lines(index["sources"])
        self.mirrored_of = _lines(index["mirrored_of"]) or [""] * count
        self._shard = index["shard"]
        self._offset = index["offset"]
        self._size = index["size"]
        self.num_frames = index["num_frames"]
        self.first_line = index["first_line"]
        # Datasets prepared before there were labels have neither column.
        self.labels = index.get("labels", np.full(count, -1, np.int64))
        self.attributes = index.get("attributes", np.zeros((count, 0), np.float32))
        captions = _lines(index["captions"])
        ends = np.cumsum(index["num_captions"])
        self.captions = [captions[end - n : end] for end, n in zip(ends, np.diff(ends, prepend=0))]
        columns = (self.ids, self.mirrored_of, self.captions, self.labels, self.attributes)
        if any(len(column) != count for column in columns):
            raise ValueError(f"{path}: the columns differ in length; prepare the dataset again")

    def __len__(self) -> int:
        return len(self.ids)

    @functools.cached_property
    def _decode(self):
        return _decoder(self.version_dir)

    def payload(self, i: int) -> bytes:
        """The serialised example i, checksums verified."""
        shard, offset, size = int(self._shard[i]), int(self._offset[i]), int(self._size[i])
        path = self.version_dir / self._shards[shard]
        # Opened anew each time: costs microseconds, and threads then share no file position.
        with path.open("rb") as file:
            file.seek(offset)
            return _read_payload(file.read(size), path, offset)

    def __getitem__(self, i: int) -> dict:
        example = self._decode(self.payload(i))
        example["captions"] = [caption.decode() for caption in example["captions"]]
        if "labels" in example:  # a list, from TFDS
            example["labels"] = np.array(example["labels"], np.int64)
        return {k: v.decode() if isinstance(v, bytes) else v for k, v in example.items()}

    def evaluation_rows(self) -> np.ndarray:
        """Rows of the evaluation set: for each source the record of its first caption line.

        A source whose first line was unusable has none (`report.json` counts them).
        """
        return np.flatnonzero(self.first_line == 0)


def class_names(metadata: Metadata, split: Split, kind: str) -> tuple[list[str], np.ndarray]:
    """The classes that the records of a split are told apart by.

    Args:
      metadata: of the split's dataset.
      split: of n records.
      kind: "labels": the action classes; "attributes": the distinct sets of positive attributes
        in this split, in words and sorted.

    Returns:
      The names, and for each record the index of its class, [n] int64 (-1: it has no label).

    Raises:
      ValueError: the dataset has no such classes.
    """
    if kind not in ("labels", "attributes"):
        raise ValueError(f"classes by {kind!r}; expected 'labels' or 'attributes'")
    if not (metadata.label_names if kind == "labels" else metadata.attribute_names):
        raise ValueError(
            f"dataset {metadata.name!r} has no {kind}. BABEL comes with labels and DenseGait with "
            "attributes; clips in HumanML3D's layout get both by `data_prep humanml3d --labels_csv`"
        )
    if kind == "labels":
        return list(metadata.label_names), split.labels
    words = [metadata.attribute_words(row) for row in metadata.positive(split.attributes)]
    names, of_record = np.unique(np.array(words, str), return_inverse=True)
    return names.tolist(), of_record
