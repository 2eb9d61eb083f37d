"""Headers of GGUF files: what they state is read, and what they only promise is not believed."""

import struct
import tracemalloc

import gguf_files
import numpy as np
import pytest

from motionalign.models.weights import gguf_file
from motionalign.models.weights.source import Source

gguf = pytest.importorskip("gguf")


def test_the_package_reads_the_same(tmp_path):
    """Metadata of every type, and tensors, as the reader of the package gguf has them."""
    path = tmp_path / "m.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    numbers = {
        "uint8": 200, "int8": -100, "uint16": 60_000, "int16": -30_000, "uint32": 2**32 - 1,
        "int32": -(2**31), "uint64": 2**64 - 1, "int64": -(2**63), "float32": 0.5, "float64": 0.1,
    }  # fmt: skip
    for kind, number in numbers.items():
        getattr(writer, f"add_{kind}")(f"a.{kind}", number)
    writer.add_bool("a.true", True)
    writer.add_bool("a.false", False)
    writer.add_string("a.text", "läuft 人\n")
    writer.add_array("a.integers", [1, -2, 3])
    writer.add_array("a.floats", [0.5, -1.5])
    writer.add_array("a.bools", [True, False])
    writer.add_array("a.texts", ["", "ab", "ü"])
    value = np.random.default_rng(0).normal(size=(6, 64)).astype("f4")
    writer.add_tensor("full", value)
    writer.add_tensor("cube", value.reshape(2, 3, 64))
    kind = gguf.GGMLQuantizationType.Q8_0
    writer.add_tensor("rough", gguf.quantize(value, kind), raw_dtype=kind)
    writer.add_tensor("half", value.astype("f2"))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    header, reader = gguf_file.read_header(path), gguf.GGUFReader(path)
    theirs = {k: f.contents() for k, f in reader.fields.items() if not k.startswith("GGUF.")}
    ours = {
        key: value.tolist() if isinstance(value, np.ndarray) else value
        for key, value in header.metadata.items()
    }
    assert ours == theirs
    assert all(type(ours[key]) is type(value) for key, value in theirs.items())
    assert [*header.tensors] == [tensor.name for tensor in reader.tensors]
    for tensor in reader.tensors:
        block = header.tensors[tensor.name]
        assert block.shape == tuple(tensor.shape[::-1].tolist())
        assert (block.offset, block.size) == (tensor.data_offset, tensor.n_bytes)
        expected = gguf.dequantize(tensor.data, tensor.tensor_type).reshape(block.shape)
        np.testing.assert_array_equal(block.read(), expected)


# ---------------------------------------------------------------------------- lies


def text(value: bytes) -> bytes:
    return struct.pack("<Q", len(value)) + value


def file(keys=(), tensors=(), counts=None, version=3, content=b"") -> bytes:
    """A file of raw keys (name, type, value in bytes) and tensor descriptions."""
    counts = counts or (len(tensors), len(keys))
    data = b"GGUF" + struct.pack("<IQQ", version, *counts)
    for name, kind, value in keys:
        data += text(name) + struct.pack("<I", kind) + value
    data += b"".join(tensors)
    return data + b"\0" * (-len(data) % 32) + content


def tensor(name=b"t", dims=(32, 2), kind=0, offset=0, number=None) -> bytes:
    number = len(dims) if number is None else number
    return text(name) + struct.pack(f"<I{len(dims)}QIQ", number, *dims, kind, offset)


FULL = b"\0" * 256
LIES = {
    "empty": (b"", "byte 0 promises 4 bytes"),
    "another format": (b"PK\3\4" + FULL, "does not start with GGUF"),
    "version 1": (file(version=1), "version is 1; expected 2 or 3"),
    "version 9": (file(version=9), "version is 9"),
    "big endian": (b"GGUF" + struct.pack(">IQQ", 3, 0, 0), "other byte order"),
    "2^60 tensors": (file(counts=(2**60, 0)), "promises 1,152,921,504,606,846,976 tensors"),
    "2^64 - 1 keys": (file(counts=(0, 2**64 - 1)), "promises 0 tensors and 18,446"),
    "a key of 2^60 bytes": (
        b"GGUF" + struct.pack("<IQQQ", 3, 0, 1, 2**60) + FULL,
        "byte [0-9]+ promises .* bytes, but",
    ),
    "a text of 2^60 bytes": (
        file([(b"a", 8, struct.pack("<Q", 2**60))], content=FULL),
        "promises 1,152,921,504,606,846,976 bytes",
    ),
    "2^60 texts": (
        file([(b"a", 9, struct.pack("<IQ", 8, 2**60))], content=FULL),
        "a list of 1,152,921,504,606,846,976 texts",
    ),
    "2^62 numbers": (
        file([(b"a", 9, struct.pack("<IQ", 12, 2**62))], content=FULL),
        "an array of 4,611,686,018,427,387,904 numbers",
    ),
    "arrays of arrays": (
        file([(b"a", 9, struct.pack("<IQ", 9, 2**60))], content=FULL),
        "an array of type 9, which is not read",
    ),
    "a type of value": (file([(b"a", 77, FULL)]), "the type 77, which GGUF does not have"),
    "a key twice": (file([(b"a", 0, b"1"), (b"a", 0, b"2")]), "states a twice"),
    "not UTF-8": (file([(b"a\xff", 0, b"1")]), "is not UTF-8"),
    "alignment of 0": (
        file([(b"general.alignment", 4, struct.pack("<I", 0))], content=FULL),
        "general.alignment is 0",
    ),
    "alignment of 24": (
        file([(b"general.alignment", 4, struct.pack("<I", 24))], content=FULL),
        "general.alignment is 24",
    ),
    "alignment of a text": (
        file([(b"general.alignment", 8, text(b"x"))], content=FULL),
        "general.alignment is x",
    ),
    "a tensor twice": (file(tensors=[tensor(), tensor()], content=FULL), "the tensor t twice"),
    "no dimensions": (file(tensors=[tensor(dims=())], content=FULL), "t has 0 dimensions"),
    "2^32 - 1 dimensions": (
        file(tensors=[tensor(number=2**32 - 1)], content=FULL),
        "t has 4294967295 dimensions",
    ),
    "no elements": (file(tensors=[tensor(dims=(0, 2))], content=FULL), r"the shape \[2, 0\]"),
    "2^40 elements": (
        file(tensors=[tensor(dims=(2**20, 2**20))], content=FULL),
        "places t, of 4,398,046,511,104 bytes, at byte 0 of 256",
    ),
    "2^128 elements": (
        file(tensors=[tensor(dims=(2**63, 2**63))], content=FULL),
        "places t, of 3",
    ),
    "a type of tensor": (file(tensors=[tensor(kind=999)], content=FULL), "the type 999"),
    "no whole blocks": (
        file(tensors=[tensor(dims=(33, 2), kind=8)], content=FULL),
        r"the shape \[2, 33\] in blocks of 32",
    ),
    "an offset beyond the end": (
        file(tensors=[tensor(offset=2**63)], content=FULL),
        "at byte 9,223,372,036,854,775,808 of 256",
    ),
    "an odd offset": (file(tensors=[tensor(offset=3, dims=(1,))], content=FULL), "at byte 3"),
    "the same bytes for all": (
        file(tensors=[tensor(b"a"), tensor(b"b")], content=FULL),
        "its tensors have 512 bytes, but 256 follow",
    ),
    "a byte too few": (file(tensors=[tensor()], content=FULL[:-1]), "at byte 0 of 255"),
}  # fmt: skip


@pytest.mark.parametrize("lie", LIES)
def test_a_header_is_not_believed(tmp_path, lie):
    data, said = LIES[lie]
    path = tmp_path / "m.gguf"
    path.write_bytes(data)
    tracemalloc.start()
    try:
        with pytest.raises(
            ValueError, match=f"m.gguf is not a complete GGUF file: .*{said}"
        ) as error:
            gguf_file.read_header(path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert "\n" not in str(error.value) and len(str(error.value)) < len(str(path)) + 350
    assert peak < 1 << 20


def test_the_honest_file_of_the_lies(tmp_path):
    path = tmp_path / "m.gguf"
    path.write_bytes(file([(b"a", 8, text(b"x"))], [tensor()], content=FULL))
    header = gguf_file.read_header(path)
    assert header.metadata == {"a": "x"}
    assert header.tensors["t"].read().shape == (2, 32)
    path.write_bytes(file(version=2))
    assert gguf_file.read_header(path).tensors == {}


def test_every_truncation_is_noticed(tmp_path):
    given = gguf_files.write_llama(tmp_path / "m.gguf")
    path = tmp_path / "m.gguf"
    complete = path.read_bytes()
    header = len(complete) - sum(value.nbytes for value in given.values())
    for length in [*range(0, header, 37), len(complete) - 1]:
        path.write_bytes(complete[:length])
        with pytest.raises(ValueError, match=r"m.gguf is not a complete GGUF file"):
            Source(path).config()


def test_a_file_that_shrinks_after_its_header_was_read(tmp_path):
    gguf_files.write_llama(tmp_path / "m.gguf")
    path = tmp_path / "m.gguf"
    tensors = Source(path).tensors
    path.write_bytes(path.read_bytes()[:-64])
    with pytest.raises(ValueError, match=r"m.gguf has .* bytes, but"):
        for each in tensors.values():
            each.read()


def test_a_quantisation_that_is_not_dequantised(tmp_path):
    """Integers are tensors of GGUF, but no weights."""
    path = tmp_path / "m.gguf"
    path.write_bytes(file(tensors=[tensor(kind=26)], content=FULL))
    with pytest.raises(ValueError, match=r"quantised as I32, which .* cannot dequantise"):
        gguf_file.read_header(path).tensors["t"].read()
