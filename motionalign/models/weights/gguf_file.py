"""Reads GGUF files, llama.cpp's format for language models: metadata, vocabulary and tensors.

The format is that of ggml's docs/gguf.md: a header of metadata (keys with typed values) and tensor
descriptions, then the tensors, most of them quantised in blocks of 32 or 256 numbers. The header is
parsed here and compared with the size of the file, because the package `gguf` believes it; that
package dequantises the blocks.

A model of the architecture "llama" (LLaMA 1 to 3, TinyLlama, SmolLM, Mistral) is presented as its
Hugging Face files would be: `config` is the config.json of LlamaForCausalLM, and `tensors` have its
names and layout.
"""

import importlib.util
import math
import pathlib
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from motionalign import reading
from motionalign.models.weights.keymap import Shape

MAGIC = b"GGUF"

INSTALL = 'pip install "motionalign[gguf]"'

# The value types of the metadata by their numbers in the file, as `struct` and NumPy write them.
_SCALARS = {
    0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q",
    12: "<d",
}  # fmt: skip
_STRING, _ARRAY = 8, 9

_MAX_DIMENSIONS = 4  # ggml's GGML_MAX_DIMS
_ALIGNMENT = 32  # bytes; of a file that does not state general.alignment

_SPLIT = re.compile(r"(.*)-(\d{5})-of-(\d{5})\.gguf")

# ---------------------------------------------------------------------------- the header


class Block(NamedTuple):
    """A tensor as it is in a file: stored in `size` bytes from `offset`."""

    path: pathlib.Path
    shape: Shape
    kind: int
    offset: int
    size: int

    def read(self) -> np.ndarray:
        """The dequantised tensor, float32."""
        gguf = _package(self.path)
        data = np.frombuffer(reading.read_part(self.path, self.offset, self.size), np.uint8)
        kind = gguf.GGMLQuantizationType(self.kind)
        # Rows of blocks; a row of numbers is a whole number of blocks.
        rows = data.reshape(math.prod(self.shape[:-1]), -1)
        try:
            return gguf.dequantize(rows, kind).reshape(self.shape)
        except NotImplementedError as error:
            raise ValueError(
                f"{self.path}: its tensors are quantised as {kind.name}, which the package gguf "
                "cannot dequantise. Use a file of another quantisation, such as Q8_0 or Q4_K_M"
            ) from error


class Header(NamedTuple):
    """What the header of one file states: metadata by key, and tensors by llama.cpp's name."""

    path: pathlib.Path
    metadata: dict[str, Any]
    tensors: dict[str, Block]


def _package(path: pathlib.Path) -> Any:
    """The package gguf; a ValueError if it is not installed."""
    if importlib.util.find_spec("gguf") is None:
        raise ValueError(f"{path} is read with the package gguf; install it: {INSTALL}")
    import gguf

    return gguf


def read_metadata(path: pathlib.Path) -> dict[str, Any]:
    """The metadata of a file by key: numbers, bools, texts, arrays of numbers, lists of texts.

    Raises:
      ValueError: the file is not a complete GGUF file.
    """
    with reading.Bytes(path, "GGUF file") as file:
        return _metadata(file)[0]


def read_header(path: pathlib.Path) -> Header:
    """The metadata and the tensors' places in a file; no tensor is read.

    Raises:
      ValueError: the file is not a complete GGUF file, or the package gguf is not installed.
    """
    sizes = {int(k): v for k, v in _package(path).GGML_QUANT_SIZES.items()}
    with reading.Bytes(path, "GGUF file") as file:
        metadata, count = _metadata(file)
        described = [_description(file, sizes) for _ in range(count)]
        alignment = metadata.get("general.alignment", _ALIGNMENT)
        if not isinstance(alignment, int) or alignment < 1 or alignment & (alignment - 1):
            file.fail(f"general.alignment is {alignment}; expected a power of two")
        start = -(-file.position // alignment) * alignment
        tensors: dict[str, Block] = {}
        there = file.size - start
        for name, shape, kind, offset, size in described:
            if name in tensors:
                file.fail(f"it describes the tensor {name} twice")
            if offset % alignment or offset + size > there:
                file.fail(
                    f"its header places {name}, of {size:,} bytes, at byte {offset:,} of {there:,}"
                )
            tensors[name] = Block(path, shape, kind, start + offset, size)
        if (total := sum(block.size for block in tensors.values())) > there:
            file.fail(f"its tensors have {total:,} bytes, but {there:,} follow the header")
    return Header(path, metadata, tensors)


def _metadata(file: reading.Bytes) -> tuple[dict[str, Any], int]:
    """The metadata, and how many tensor descriptions follow it."""
    if file.take(4) != MAGIC:
        file.fail(f"it does not start with {MAGIC.decode()}")
    version = file.number("<I")
    if version not in (2, 3):
        swapped = "; it is for machines of the other byte order" if not version & 0xFFFF else ""
        file.fail(f"its version is {version}; expected 2 or 3{swapped}")
    tensors, count = file.number("<Q"), file.number("<Q")
    # A description has at least 24 bytes, a key with its value 13.
    file.check(24 * tensors + 13 * count, f"{tensors:,} tensors and {count:,} keys")
    metadata: dict[str, Any] = {}
    for _ in range(count):
        key = _text(file)
        if key in metadata:
            file.fail(f"it states {key} twice")
        metadata[key] = _value(file, file.number("<I"))
    return metadata, tensors


def _text(file: reading.Bytes) -> str:
    """A text: the number of its bytes, then these in UTF-8."""
    start = file.position
    data = file.take(file.number("<Q"))
    try:
        return data.decode()
    except UnicodeDecodeError:
        file.fail(f"the text at byte {start:,} is not UTF-8")


def _value(file: reading.Bytes, kind: int) -> Any:
    """A value of the metadata of the type with this number."""
    if kind in _SCALARS:
        return file.number(_SCALARS[kind])
    if kind == _STRING:
        return _text(file)
    if kind != _ARRAY:
        file.fail(f"byte {file.position:,} states the type {kind}, which GGUF does not have")
    inner, count = file.number("<I"), file.number("<Q")
    if inner in _SCALARS:
        dtype = np.dtype(_SCALARS[inner])
        file.check(count * dtype.itemsize, f"an array of {count:,} numbers")
        data = file.take(count * dtype.itemsize)
        # A bool is a byte, and any byte but 0 is true.
        return np.frombuffer(data, "u1") != 0 if inner == 7 else np.frombuffer(data, dtype)
    if inner != _STRING:
        file.fail(f"byte {file.position:,} states an array of type {inner}, which is not read")
    file.check(8 * count, f"a list of {count:,} texts")
    return [_text(file) for _ in range(count)]


def _description(
    file: reading.Bytes, sizes: Mapping[int, tuple[int, int]]
) -> tuple[str, Shape, int, int, int]:
    """A tensor's name, shape, type, offset from the start of the tensors, and size in bytes."""
    name = _text(file)
    dimensions = file.number("<I")
    if not 1 <= dimensions <= _MAX_DIMENSIONS:
        file.fail(f"its tensor {name} has {dimensions} dimensions; expected 1 to 4")
    shape = tuple(file.number("<Q") for _ in range(dimensions))[::-1]  # the last one varies fastest
    kind, offset = file.number("<I"), file.number("<Q")
    if kind not in sizes:
        file.fail(f"its tensor {name} has the type {kind}, which the package gguf does not know")
    numbers, stored = sizes[kind]  # of a block: how many numbers in how many bytes
    if shape[-1] % numbers or not all(shape):
        file.fail(f"its tensor {name} has the shape {list(shape)} in blocks of {numbers}")
    return name, shape, kind, offset, math.prod(shape) // numbers * stored


# ---------------------------------------------------------------------------- files of a model


def is_gguf(path: pathlib.Path) -> bool:
    """Whether a path is named as a GGUF file."""
    return path.suffix.lower() == ".gguf"


def find(folder: pathlib.Path) -> pathlib.Path | None:
    """The GGUF file of a folder, the first one of a split model; None if the folder has none.

    Raises:
      ValueError: there are several models, of which one has to be given by its path, or the folder
        cannot be listed.
    """
    try:
        found = sorted(path for path in folder.iterdir() if is_gguf(path))
    except OSError as error:
        raise ValueError(f"{folder} cannot be read: {error.strerror}") from error
    models = {match[1] if (match := _SPLIT.fullmatch(path.name)) else path.name for path in found}
    if len(models) > 1:
        raise ValueError(
            f"{folder} has several GGUF files; give the path of one: "
            f"{', '.join(path.name for path in found)}"
        )
    return found[0] if found else None


def parts(path: pathlib.Path) -> list[pathlib.Path]:
    """All files of a model of which one is given, in order; of a split model, they lie together.

    Raises:
      ValueError: a part of a split model is missing.
    """
    match = _SPLIT.fullmatch(path.name)
    if match is None:
        return [path]
    count = int(match[3])
    paths = [path.with_name(f"{match[1]}-{i + 1:05d}-of-{match[3]}.gguf") for i in range(count)]
    if not count or path not in paths:
        raise ValueError(f"{path} is named as a part of {count}, which it cannot be")
    for part in paths:
        if not reading.is_there(part):
            raise ValueError(f"{path} is a part of a split model, of which {part.name} is missing")
    return paths
