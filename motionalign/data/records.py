"""Records of prepared datasets on disk: TFRecord files with an index for random access.

The folder of a prepared dataset (data/dataset.py) holds TFRecord shards and `features.json`, as
TensorFlow Datasets writes them, and one `index-<split>.npz` per split. Reading them needs no
TensorFlow.
"""

import functools
import hashlib
import pathlib
import re
import struct
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import google_crc32c
import numpy as np

from motionalign import digests, reading
from motionalign.config import VERSION_KEY, migrate
from motionalign.files import write_arrays

PREPARE_AGAIN = "Prepare the dataset again with --overwrite, or copy the file again"

_HEADER = struct.Struct("<QI")  # length of the payload, masked CRC of these eight bytes

_FOOTER = struct.Struct("<I")  # masked CRC of the payload


def _masked_crc(data: bytes) -> int:
    """CRC32C as TFRecord stores it: rotated and offset, so that CRCs of CRCs remain useful."""
    crc = google_crc32c.value(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def _read_payload(data: bytes, path: pathlib.Path, offset: int) -> bytes:
    """Returns the payload of a framed record, after verifying its two checksums."""
    if len(data) >= _HEADER.size:
        length, length_crc = _HEADER.unpack_from(data)
        end = _HEADER.size + length
        if _masked_crc(data[:8]) == length_crc and len(data) == end + _FOOTER.size:
            payload = data[_HEADER.size : end]
            if _masked_crc(payload) == _FOOTER.unpack_from(data, end)[0]:
                return payload
    raise ValueError(
        f"{path}: the record at byte {offset} is damaged (checksum mismatch or truncated). "
        + PREPARE_AGAIN
    )


def scan_tfrecord(path: pathlib.Path) -> Iterator[tuple[int, int]]:
    """Yields (offset, size) in bytes of every framed record of a TFRecord file, in file order."""
    end = reading.check_file(path)
    with path.open("rb") as file:
        offset = 0
        while offset < end:
            header = file.read(_HEADER.size)
            if len(header) < _HEADER.size or _masked_crc(header[:8]) != _HEADER.unpack(header)[1]:
                raise ValueError(f"{path}: no TFRecord header at byte {offset}. {PREPARE_AGAIN}")
            size = _HEADER.size + _HEADER.unpack(header)[0] + _FOOTER.size
            if offset + size > end:
                raise ValueError(
                    f"{path}: truncated in the record at byte {offset}. {PREPARE_AGAIN}"
                )
            yield offset, size
            offset += size
            file.seek(offset)


def _decoder(version_dir: pathlib.Path) -> Callable[[bytes, str], dict[str, Any]]:
    """A function from a record and its place, for messages, to its fields."""
    from tensorflow_datasets import features

    path = version_dir / "features.json"
    _check_features(reading.read_json(path, dict), path)
    try:
        dataset: Any = features.FeaturesDict.from_config(str(version_dir))
        decode: Callable[[bytes], dict[str, Any]] = dataset.deserialize_example_np
    except Exception as error:  # whatever the classes that the file names raise
        raise ValueError(
            f"{path} does not describe records ({type(error).__name__}: {str(error)[:300]}). "
            + PREPARE_AGAIN
        ) from error
    return functools.partial(_decoded, decode)


_CLASSES = re.compile(r"tensorflow_datasets\.core\.features\.\w+\.\w+")
_DTYPES = re.compile(r"string|bool|u?int(8|16|32|64)|float(16|32|64)")


def _check_features(node: Any, path: pathlib.Path) -> None:
    """Raises a ValueError if features.json names classes or types that are not those of TFDS.

    TFDS imports whatever class the file names, and TensorFlow for a type that NumPy does not have.
    """
    for inner in node if isinstance(node, list) else ():
        _check_features(inner, path)
    for name, inner in node.items() if isinstance(node, dict) else ():
        if name == "tensor":
            reading.check_form(inner, {"dtype": str}, f"{path}: {name}")
        valid = {"pythonClassName": _CLASSES, "dtype": _DTYPES}.get(name)
        if valid and not (isinstance(inner, str) and valid.fullmatch(inner)):
            raise ValueError(
                f"{path}: {name} is {str(inner)[:80]!r}, which describes no record. Prepare the "
                "dataset again with --overwrite, or copy the file again"
            )
        _check_features(inner, path)


def _decoded(decode: Callable[[bytes], dict[str, Any]], payload: bytes, where: str) -> dict:
    """Decodes one record; a ValueError starts with `where`."""
    try:
        example = decode(payload)
        for name in ("id", "source", "mirrored_of"):
            example[name].decode()
        for caption in example["captions"]:
            caption.decode()
        if example["joints"].ndim != 4:
            raise ValueError(f"joints {list(example['joints'].shape)}")
        return example
    except Exception as error:  # protobuf's, NumPy's and those of TFDS
        raise ValueError(
            f"{where} does not have the fields of features.json ({type(error).__name__}: "
            f"{str(error)[:300]}). Prepare the dataset again with --overwrite"
        ) from error


def join_lines(lines: list[str]) -> np.ndarray:
    """Encodes texts without line breaks as one array of UTF-8 bytes."""
    return np.array(bytearray("\n".join(lines).encode()), np.uint8)


def read_lines(array: np.ndarray, path: str | pathlib.Path) -> list[str]:
    """Inverse of `join_lines`; an empty array holds no texts. `path` is for the ValueError."""
    if array.dtype != np.uint8 or array.ndim != 1:
        raise ValueError(f"{path}: texts are {array.dtype} {list(array.shape)}; expected bytes")
    try:
        return array.tobytes().decode().split("\n") if array.size else []
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: its texts are damaged: {error}") from error


def write_index(version_dir: pathlib.Path, split: str) -> None:
    """Writes `index-<split>.npz`: the position of each record, and its fields needed for batching.

    Rows are sorted by id, so that their order does not depend on how the shards were written. The
    lengths, captions and labels of a complete dataset load from the index in milliseconds, so that
    every process can plan every batch by itself.
    """
    version_dir = pathlib.Path(version_dir)
    decode = _decoder(version_dir)
    rows, shards, no_attributes = [], [], np.zeros(0, np.float32)
    for path in sorted(version_dir.glob(f"*-{split}.tfrecord-*")):
        for offset, size in scan_tfrecord(path):
            with path.open("rb") as file:
                file.seek(offset)
                payload = _read_payload(file.read(size), path, offset)
            example: dict[str, Any] = decode(payload, f"{path}: the record at byte {offset}")
            # Records from before classes existed have neither field.
            example = {"labels": (), "attributes": no_attributes, **example}
            captions = [caption.decode() for caption in example["captions"]]
            assert not any("\n" in caption for caption in captions), captions
            labels = example["labels"]
            rows.append(
                (
                    example["id"].decode(),
                    example["source"].decode(),
                    example["mirrored_of"].decode(),
                    captions,
                    (len(shards), offset, size, len(example["joints"]), example["first_line"]),
                    [int(label) for label in labels],
                    example["attributes"],
                )
            )
        shards.append(path.name)
    rows.sort(key=lambda row: row[0])
    numbers = np.array([row[4] for row in rows], np.int64).reshape(len(rows), 5)
    num_attributes = len(rows[0][6]) if rows else 0
    path = version_dir / f"index-{split}.npz"
    with digests.recording(path):
        write_arrays(path, _columns(rows, shards, numbers, num_attributes))


def _columns(
    rows: Sequence[tuple], shards: list[str], numbers: np.ndarray, num_attributes: int
) -> dict[str, np.ndarray]:
    """The arrays of an index; `numbers` [n, 5]: those of the rows' fifth field."""
    most = max((len(row[5]) for row in rows), default=0)
    labels = np.full((len(rows), max(most, 1)), -1, np.int64)
    for i, row in enumerate(rows):
        labels[i, : len(row[5])] = row[5]
    return {
        VERSION_KEY: np.array(len(INDEX_MIGRATIONS)),
        "shards": join_lines(shards),
        "ids": join_lines([row[0] for row in rows]),
        "sources": join_lines([row[1] for row in rows]),
        "mirrored_of": join_lines([row[2] for row in rows]),
        "num_records": np.array(len(rows)),
        "captions": join_lines([caption for row in rows for caption in row[3]]),
        "num_captions": np.array([len(row[3]) for row in rows], np.int64),
        "labels": labels[:, 0],
        "more_labels": labels[:, 1:],
        "attributes": np.array([row[6] for row in rows], np.float32).reshape(
            len(rows), num_attributes
        ),
        **dict(zip(("shard", "offset", "size", "num_frames", "first_line"), numbers.T)),
    }


def migrate_without_classes(index: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Migration 1: adds empty columns to indices from before labels and attributes existed."""
    count = int(index["num_records"])
    empty = {"labels": np.full(count, -1, np.int64), "attributes": np.zeros((count, 0), np.float32)}
    return empty | index


def migrate_one_label(index: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Migration 2: adds no further labels to indices from before records could have several."""
    return {"more_labels": np.zeros((int(index["num_records"]), 0), np.int64), **index}


INDEX_MIGRATIONS: tuple[Callable[[dict], dict], ...] = (migrate_without_classes, migrate_one_label)
"""Migration n converts an index from version n - 1 to version n."""


def _read_index(path: pathlib.Path) -> dict[str, Any]:
    """The columns of an index, the columns of texts as lists; a ValueError if they are damaged."""
    digests.check(path.parent, (path.name,), PREPARE_AGAIN)
    try:
        arrays = {
            name: array.item() if array.ndim == 0 else array
            for name, array in reading.read_arrays(path).items()
        }
        index = migrate(arrays, INDEX_MIGRATIONS, str(path))
        if missing := [name for name in (*_TEXTS, *_NUMBERS, *_TABLES) if name not in index]:
            raise ValueError(f"{path} lacks {', '.join(missing)}")
        index |= {name: read_lines(index[name], path) for name in _TEXTS}
        # A column with a single empty string is stored as no bytes, which reads as no lines.
        index["mirrored_of"] = index["mirrored_of"] or [""] * len(index["ids"])
        _check_index(index, path)
    except ValueError as error:
        raise ValueError(f"{error}. {PREPARE_AGAIN}") from error
    return index


_TABLES = ("attributes", "more_labels")
_TEXTS = ("shards", "ids", "sources", "mirrored_of", "captions")
# {column of integers: its least value}.
_NUMBERS = {"shard": 0, "offset": 0, "size": 1, "num_frames": 0, "first_line": 0, "labels": -1,
            "num_captions": 0}  # fmt: skip


def _check_index(index: dict[str, Any], path: pathlib.Path) -> None:
    """Checks that the columns of an index fit each other."""
    count, attributes = index["num_records"], index["attributes"]
    for name, least in _NUMBERS.items():
        column = index[name]
        if not isinstance(column, np.ndarray) or column.dtype.kind not in "iu" or column.ndim != 1:
            raise ValueError(f"{path}: {name} is no column of whole numbers")
        if column.size and column.min() < least:
            raise ValueError(f"{path}: {name} contains {column.min()}")
    if not isinstance(attributes, np.ndarray) or attributes.dtype != np.float32:
        raise ValueError(f"{path}: attributes is no column of numbers")
    more = index["more_labels"]
    if not isinstance(more, np.ndarray) or more.dtype.kind not in "iu" or more.ndim != 2:
        raise ValueError(f"{path}: more_labels is no table of whole numbers")
    if more.size and more.min() < -1:
        raise ValueError(f"{path}: more_labels contains {more.min()}")
    columns = ("ids", "sources", "mirrored_of", *_TABLES, *_NUMBERS)
    lengths = {name: len(index[name]) for name in columns}
    if attributes.ndim != 2 or {*lengths.values()} != {count}:
        raise ValueError(f"{path}: the columns differ in length: {lengths}")
    if index["shard"].max(initial=-1) >= len(index["shards"]):
        raise ValueError(f"{path} refers to a file of records that it does not list")
    if index["num_captions"].sum() != max(len(index["captions"]), index["num_captions"].sum() == 1):
        raise ValueError(f"{path}: the number of captions is another than stated")


class Split:
    """Random access to the records of one split, in the order of their ids.

    `split[i]` decodes record i into a dict of NumPy arrays and strings. The following columns, with
    one row per record, are available without reading records: `ids`, `sources`, `mirrored_of`,
    `captions`, `num_frames`, `first_line`, `labels` [n] int64 (-1: none), `more_labels` [n, m]
    int64, the further labels of records with several (-1: none), and `attributes` [n, A] float32.
    """

    def __init__(self, version_dir: str | pathlib.Path, split: str) -> None:
        self.version_dir = pathlib.Path(version_dir)
        self.name = split
        path = self.version_dir / f"index-{split}.npz"
        if not reading.is_there(path):
            digests.check(self.version_dir, (path.name,), PREPARE_AGAIN)
            known = sorted(p.stem.removeprefix("index-") for p in self.version_dir.glob("index-*"))
            raise ValueError(
                f"{self.version_dir} has no split {split!r}; it has {', '.join(known) or 'none'}"
            )
        index = _read_index(path)
        self._shards = index["shards"]
        self.ids = index["ids"]
        self.sources = index["sources"]
        self.mirrored_of = index["mirrored_of"]
        self._shard = index["shard"]
        self._offset = index["offset"]
        self._size = index["size"]
        self.num_frames = index["num_frames"]
        self.first_line = index["first_line"]
        self.labels = index["labels"]
        self.more_labels = index["more_labels"]
        self.attributes = index["attributes"]
        captions = index["captions"]
        ends = np.cumsum(index["num_captions"])
        self.captions = [captions[end - n : end] for end, n in zip(ends, np.diff(ends, prepend=0))]
        self._check_sizes()

    def _check_sizes(self) -> None:
        """Checks that every shard is as long as the index says, before any record is read."""
        for k, name in enumerate(self._shards):
            path, of_shard = self.version_dir / name, self._shard == k
            size = int((self._offset + self._size)[of_shard].max(initial=0))
            found = reading.check_file(path) if reading.is_there(path) else None
            if found != size:
                what = "is missing" if found is None else f"has {found} bytes, not {size}"
                raise ValueError(f"{path} {what}. {PREPARE_AGAIN}")

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def all_labels(self) -> np.ndarray:
        """[n, 1 + m] `labels` and `more_labels`; -1: none."""
        return np.column_stack([self.labels, self.more_labels])

    @functools.cached_property
    def _decode(self) -> Callable[[bytes, str], dict[str, Any]]:
        digests.check(self.version_dir, ("features.json",), PREPARE_AGAIN)
        return _decoder(self.version_dir)

    def payload(self, i: int) -> bytes:
        """The serialised example i, after verifying its checksums."""
        shard, offset, size = int(self._shard[i]), int(self._offset[i]), int(self._size[i])
        path = self.version_dir / self._shards[shard]
        if offset + size > reading.check_file(path):
            return _read_payload(b"", path, offset)
        # Opened for each read, which costs microseconds: threads must not share a file position.
        try:
            with path.open("rb") as file:
                file.seek(offset)
                data = file.read(size)
        except OSError as error:
            raise ValueError(f"{path} cannot be read: {error}. {PREPARE_AGAIN}") from error
        return _read_payload(data, path, offset)

    def __getitem__(self, i: int) -> dict:
        where = f"{self.version_dir / self._shards[self._shard[i]]}: the record {self.ids[i]!r}"
        example = self._decode(self.payload(i), where)
        if (example["id"].decode(), len(example["joints"])) != (self.ids[i], self.num_frames[i]):
            raise ValueError(
                f"{where} is not the one in index-{self.name}.npz. Prepare the dataset again with "
                "--overwrite, or copy the files again"
            )
        example["captions"] = [caption.decode() for caption in example["captions"]]
        if "labels" in example:  # TFDS decodes it to a list
            example["labels"] = np.array(example["labels"], np.int64)
        return {k: v.decode() if isinstance(v, bytes) else v for k, v in example.items()}

    def digest(self) -> bytes:
        """SHA-256 of the id, length and checksum of every record, in the order of the ids.

        It depends on the content of the records, not on how they are distributed over files, and
        takes four bytes of each: TFRecord stores the CRC32C of a record behind it.
        """
        found = hashlib.sha256()
        crcs = self._crcs()
        for i, name in enumerate(self.ids):
            found.update(f"{name}\n{self._size[i]}\n".encode() + crcs[i])
        return found.digest()

    def _crcs(self) -> dict[int, bytes]:
        """{row: stored checksum} of all records; each file is read once, from start to end."""
        crcs = {}
        for shard, name in enumerate(self._shards):
            path = self.version_dir / name
            rows = np.flatnonzero(self._shard == shard)
            with path.open("rb", buffering=0) as file:
                for i in rows[np.argsort(self._offset[rows])]:
                    end = int(self._offset[i] + self._size[i])
                    file.seek(end - _FOOTER.size)
                    crcs[int(i)] = file.read(_FOOTER.size)
                    if len(crcs[int(i)]) < _FOOTER.size:
                        raise ValueError(
                            f"{path}: truncated before byte {end}. Prepare the dataset again with "
                            "--overwrite, or copy the file again"
                        )
        return crcs

    def evaluation_rows(self) -> np.ndarray:
        """Rows of the evaluation set: for each source, the record of its first caption line.

        A source whose first caption line is unusable has no such record (`report.json` counts
        these sources).
        """
        return np.flatnonzero(self.first_line == 0)
