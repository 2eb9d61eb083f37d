"""Records of prepared datasets on disk: TFRecord files with an index for random access.

The folder of a prepared dataset (data/dataset.py) holds TFRecord shards and `features.json`, as
TensorFlow Datasets writes them, and one `index-<split>.npz` per split. Reading them needs no
TensorFlow.
"""

import functools
import io
import pathlib
import struct
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import google_crc32c
import numpy as np

from motionalign import digests
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
    end = path.stat().st_size
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


def _decoder(version_dir: pathlib.Path) -> Callable[[bytes], dict[str, Any]]:
    from tensorflow_datasets import features

    path = version_dir / "features.json"
    try:
        dataset: Any = features.FeaturesDict.from_config(str(version_dir))
        return dataset.deserialize_example_np
    except Exception as error:  # TFDS looks up classes by names in the file
        raise ValueError(f"{path} cannot be read: {error}. {PREPARE_AGAIN}") from error


def join_lines(lines: list[str]) -> np.ndarray:
    """Encodes texts without line breaks as one array of UTF-8 bytes."""
    return np.array(bytearray("\n".join(lines).encode()), np.uint8)


def read_lines(array: np.ndarray) -> list[str]:
    """Inverse of `join_lines`; an empty array holds no texts."""
    return array.tobytes().decode().split("\n") if array.size else []


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
                example: dict[str, Any] = decode(_read_payload(file.read(size), path, offset))
            # Records from before classes existed have neither field.
            example = {"labels": (), "attributes": no_attributes, **example}
            captions = [caption.decode() for caption in example["captions"]]
            assert not any("\n" in caption for caption in captions), captions
            labels = example["labels"]
            assert len(labels) <= 1, labels
            rows.append(
                (
                    example["id"].decode(),
                    example["source"].decode(),
                    example["mirrored_of"].decode(),
                    captions,
                    (len(shards), offset, size, len(example["joints"]), example["first_line"]),
                    labels[0] if len(labels) else -1,
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
    return {
        VERSION_KEY: np.array(len(INDEX_MIGRATIONS)),
        "shards": join_lines(shards),
        "ids": join_lines([row[0] for row in rows]),
        "sources": join_lines([row[1] for row in rows]),
        "mirrored_of": join_lines([row[2] for row in rows]),
        "num_records": np.array(len(rows)),
        "captions": join_lines([caption for row in rows for caption in row[3]]),
        "num_captions": np.array([len(row[3]) for row in rows], np.int64),
        "labels": np.array([row[5] for row in rows], np.int64),
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


INDEX_MIGRATIONS: tuple[Callable[[dict], dict], ...] = (migrate_without_classes,)
"""Migration n converts an index from version n - 1 to version n."""


def _read_index(path: pathlib.Path) -> dict[str, np.ndarray]:
    data = digests.read_bytes(path, PREPARE_AGAIN)
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as index:
            arrays = dict(index)
    except Exception as error:  # NumPy and zipfile raise many types for a damaged file
        raise ValueError(f"{path} is damaged or truncated ({error}). {PREPARE_AGAIN}") from error
    return migrate(arrays, INDEX_MIGRATIONS, str(path))


class Split:
    """Random access to the records of one split, in the order of their ids.

    `split[i]` decodes record i into a dict of NumPy arrays and strings. The following columns, with
    one row per record, are available without reading records: `ids`, `sources`, `mirrored_of`,
    `captions`, `num_frames`, `first_line`, `labels` [n] int64 (-1: none) and `attributes` [n, A]
    float32.
    """

    def __init__(self, version_dir: str | pathlib.Path, split: str) -> None:
        self.version_dir = pathlib.Path(version_dir)
        self.name = split
        path = self.version_dir / f"index-{split}.npz"
        if not path.is_file():
            digests.check(self.version_dir, (path.name,), PREPARE_AGAIN)
            known = sorted(p.stem.removeprefix("index-") for p in self.version_dir.glob("index-*"))
            raise ValueError(
                f"{self.version_dir} has no split {split!r}; it has {', '.join(known) or 'none'}"
            )
        with digests.interpreting(path, PREPARE_AGAIN):
            self._fill(_read_index(path))

    def _fill(self, index: dict[str, np.ndarray]) -> None:
        """Sets the columns from the arrays of an index; a ValueError if they do not agree."""
        self._shards = read_lines(index["shards"])
        count = int(index["num_records"])
        # A column with a single empty string is stored as no bytes, which reads as no lines.
        self.ids = read_lines(index["ids"])
        self.sources = read_lines(index["sources"])
        self.mirrored_of = read_lines(index["mirrored_of"]) or [""] * count
        self._shard = index["shard"]
        self._offset = index["offset"]
        self._size = index["size"]
        self.num_frames = index["num_frames"]
        self.first_line = index["first_line"]
        self.labels = index["labels"]
        self.attributes = index["attributes"]
        captions = read_lines(index["captions"])
        ends = np.cumsum(index["num_captions"])
        self.captions = [captions[end - n : end] for end, n in zip(ends, np.diff(ends, prepend=0))]
        places = (self._shard, self._offset, self._size, self.num_frames, self.first_line)
        columns = (self.ids, self.mirrored_of, self.captions, self.labels, self.attributes)
        if any(len(column) != count for column in (*places, *columns)):
            raise ValueError("the columns differ in length")
        self._check_sizes()

    def _check_sizes(self) -> None:
        """Checks that every shard is as long as the index says, before any record is read."""
        for k, name in enumerate(self._shards):
            path, of_shard = self.version_dir / name, self._shard == k
            size = int((self._offset + self._size)[of_shard].max(initial=0))
            found = path.stat().st_size if path.is_file() else None
            if found != size:
                what = "is missing" if found is None else f"has {found} bytes, not {size}"
                raise ValueError(f"{path} {what}. {PREPARE_AGAIN}")

    def __len__(self) -> int:
        return len(self.ids)

    @functools.cached_property
    def _decode(self) -> Callable[[bytes], dict[str, Any]]:
        digests.check(self.version_dir, ("features.json",), PREPARE_AGAIN)
        return _decoder(self.version_dir)

    def payload(self, i: int) -> bytes:
        """The serialised example i, after verifying its checksums."""
        shard, offset, size = int(self._shard[i]), int(self._offset[i]), int(self._size[i])
        path = self.version_dir / self._shards[shard]
        # Opened for each read, which costs microseconds: threads must not share a file position.
        try:
            with path.open("rb") as file:
                file.seek(offset)
                data = file.read(size)
        except OSError as error:
            raise ValueError(f"{path} cannot be read: {error}. {PREPARE_AGAIN}") from error
        return _read_payload(data, path, offset)

    def __getitem__(self, i: int) -> dict:
        example = self._decode(self.payload(i))
        example["captions"] = [caption.decode() for caption in example["captions"]]
        if "labels" in example:  # TFDS decodes it to a list
            example["labels"] = np.array(example["labels"], np.int64)
        return {k: v.decode() if isinstance(v, bytes) else v for k, v in example.items()}

    def evaluation_rows(self) -> np.ndarray:
        """Rows of the evaluation set: for each source, the record of its first caption line.

        A source whose first caption line is unusable has no such record (`report.json` counts
        these sources).
        """
        return np.flatnonzero(self.first_line == 0)
