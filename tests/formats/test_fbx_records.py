"""Records of binary FBX: values of all types, and what of a file is read."""

import struct

import numpy as np
import pytest
from fbx_files import content, record

from motionalign.formats.fbx_records import Array, parse, version_of


@pytest.mark.parametrize("version", [7400, 7500])
@pytest.mark.parametrize("packed", [True, False])
def test_values_of_all_types(version, packed):
    arrays = [np.arange(5).astype(kind) for kind in ("<f4", "<f8", "<i8", "<i4", "u1")]
    file = [record("Top", 7, 0.5, True, "tåxt", b"\0raw", *arrays, inner=[record("Inner", 1)])]
    root = parse(content(file, version, packed), version, {"Top": None})
    [top] = root.inner
    assert top.values[:5] == (7, 0.5, True, "tåxt", b"\0raw")
    for found, expected in zip(top.values[5:], arrays, strict=True):
        assert isinstance(found, Array)
        np.testing.assert_array_equal(found.read(), expected)
        assert found.read().dtype == expected.dtype
    assert root.first("Top", "Inner").value(0, int) == 1
    assert root.first("Top", "Other", "Deeper") is None


def test_small_numbers():
    raw = struct.pack("<ch ci cf c?", b"Y", -3, b"I", 70000, b"F", 0.25, b"B", True)
    name = b"Top"
    head = struct.pack("<3IB", 27 + 13 + 3 + len(raw), 4, len(raw), 3)
    data = content([])[:27] + head + name + raw + bytes(13)
    assert parse(data, 7400, {"Top": None}).inner[0].values == (-3, 70000, 0.25, True)


def test_what_is_not_asked_for_is_passed_by():
    spoiled = record("Mesh", b"values of no type")
    file = [record("A", inner=[record("B", inner=[spoiled]), record("D")]), spoiled, record("E")]
    data = content(file).replace(b"R\x11\0\0\0values", b"?\x11\0\0\0values")
    root = parse(data, 7400, {"A": ("D",)})
    assert [each.name for each in root.inner] == ["A"]
    assert [each.name for each in root.first("A").inner] == ["D"]
    with pytest.raises(ValueError, match="has the unknown type 63"):
        parse(data, 7400, {"A": None})


def test_arrays_are_decompressed_up_to_what_they_promise():
    data = content([record("Top", np.zeros(10**6))])
    [array] = parse(data, 7400, {"Top": None}).inner[0].values
    assert len(data) < 10**4
    assert len(array.read()) == 10**6
    with pytest.raises(ValueError, match=r"an array at byte \d+ has 81 bytes; expected 80"):
        Array(array.data, array.start, 10, "<f8", array.packed).read()


def test_values_of_another_type_are_the_default():
    each = record("Top", True, 2.5, "text")
    [top] = parse(content([each]), 7400, {"Top": None}).inner
    assert [top.value(i, int, -1) for i in range(4)] == [-1, -1, -1, -1]
    assert top.value(1, float) == 2.5
    assert top.value(2, str) == "text"
    assert top.array("Inner") is None


@pytest.mark.parametrize(
    "start", [b"; FBX 7.1.0", b"\xef\xbb\xbf; FBX", b"\n;FBX", b"FBXHeaderExtension:  {"]
)
def test_text_is_told_from_other_files(tmp_path, start):
    with pytest.raises(ValueError, match=r"a\.fbx is FBX as text \(ASCII\).* Export it as GLB"):
        version_of(start, tmp_path / "a.fbx")
