"""Accessors of glTF: every kind of number, and data inside and outside of the file."""

import gltf_files
import numpy as np
import pytest

from motionalign.formats.gltf_buffers import Document


def array(scene, folder, index=0, kinds=("SCALAR", "VEC3", "VEC4", "MAT4")):
    return Document(scene.write(folder / "a.glb")).array(index, kinds, "user")


@pytest.mark.parametrize("dtype", ["i1", "u1", "i2", "u2", "u4", "f4"])
def test_kinds_of_numbers(tmp_path, dtype):
    scene = gltf_files.Scene()
    values = np.arange(12).reshape(4, 3)
    scene.accessor(values, dtype)
    found = array(scene, tmp_path)
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found, values)


@pytest.mark.parametrize(
    ("dtype", "stored", "expected"),
    [
        ("i1", [-128, -127, 0, 127], [-1, -1, 0, 1]),
        ("u1", [0, 51, 255], [0, 0.2, 1]),
        ("i2", [-32768, -32767, 0, 32767], [-1, -1, 0, 1]),
        ("u2", [0, 13107, 65535], [0, 0.2, 1]),
        ("f4", [-3, 7], [-3, 7]),
    ],
)
def test_normalized_integers(tmp_path, dtype, stored, expected):
    scene = gltf_files.Scene()
    scene.accessor(stored, dtype, normalized=True)
    np.testing.assert_allclose(array(scene, tmp_path)[:, 0], expected)


def test_matrices_are_stored_by_columns(tmp_path):
    scene = gltf_files.Scene()
    matrix = np.arange(16.0).reshape(1, 4, 4)
    scene.accessor(matrix)
    np.testing.assert_array_equal(array(scene, tmp_path).reshape(4, 4).T, matrix[0])


@pytest.mark.parametrize("based", [True, False])
def test_sparse_values_replace_others_or_zeros(tmp_path, based):
    scene = gltf_files.Scene()
    base = np.arange(15.0).reshape(5, 3)
    scene.accessor(base)
    scene.json["accessors"][0]["sparse"] = {
        "count": 2,
        "indices": {"bufferView": scene.view(bytes([1, 0, 3, 0])), "componentType": 5123},
        "values": {"bufferView": scene.view(np.asarray([[1, 2, 3], [4, 5, 6]], "<f4").tobytes())},
    }
    if not based:
        del scene.json["accessors"][0]["bufferView"]
    expected = base if based else np.zeros((5, 3))
    expected[[1, 3]] = [[1, 2, 3], [4, 5, 6]]
    np.testing.assert_array_equal(array(scene, tmp_path), expected)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"indices": {"bufferView": 0, "componentType": 5126}}, "componentType 5126; expected uns"),
        ({"count": 3}, "sparse: indices takes 3 elements"),
        ({"count": "all"}, "sparse: count is 'all'; expected a whole number"),
        ({"values": {"bufferView": 1}}, "sparse: values takes 2 elements"),
        ({"values": {}}, "lacks 'bufferView'"),
    ],
)
def test_spoiled_sparse_values(tmp_path, change, reason):
    scene = gltf_files.Scene()
    scene.accessor(np.zeros((5, 3)))
    sparse = {
        "count": 2,
        "indices": {"bufferView": scene.view(bytes([1, 9])), "componentType": 5121},
        "values": {"bufferView": scene.view(bytes(24))},
    }
    scene.json["accessors"][0]["sparse"] = sparse
    with pytest.raises(ValueError, match=r"a\.glb: accessors\[0\]: sparse: an index is 9, but"):
        array(scene, tmp_path)
    sparse |= change
    with pytest.raises(ValueError, match=r"a\.glb: accessors\[0\]: sparse") as error:
        array(scene, tmp_path)
    assert reason in str(error.value)


def test_interleaved_values_up_to_the_last_byte(tmp_path):
    scene = gltf_files.Scene()
    both = np.random.default_rng(0).normal(size=(4, 6)).astype("<f4")
    view = scene.view(both.tobytes(), byteStride=24)
    scene.json["accessors"] = [
        {"bufferView": view, "byteOffset": 12, "componentType": 5126, "count": 4, "type": "VEC3"}
    ]
    np.testing.assert_array_equal(array(scene, tmp_path), both[:, 3:])
    scene.json["accessors"][0]["byteOffset"] = 13
    with pytest.raises(ValueError, match=r"takes 4 elements of 12 bytes, 24 apart, from byte 13"):
        array(scene, tmp_path)


def test_a_link_out_of_the_folder_is_not_followed(tmp_path):
    scene = gltf_files.Scene()
    scene.accessor(np.zeros(3))
    (tmp_path / "inside").mkdir()
    path = scene.write(tmp_path / "inside" / "a.gltf", uri="data.bin")
    Document(path).array(0, ("SCALAR",), "user")
    (tmp_path / "inside" / "data.bin").rename(tmp_path / "data.bin")
    (tmp_path / "inside" / "data.bin").symlink_to(tmp_path / "data.bin")
    with pytest.raises(ValueError, match=r"'data\.bin' should be a file in the folder of a\.gltf"):
        Document(path).array(0, ("SCALAR",), "user")


def test_buffers_that_no_accessor_needs_are_not_read(tmp_path):
    scene = gltf_files.Scene()
    scene.accessor(np.arange(3.0))
    scene.json["buffers"] = [
        {"byteLength": 12},
        {"byteLength": 10**12, "uri": "texture.bin"},
    ]
    np.testing.assert_array_equal(array(scene, tmp_path)[:, 0], [0, 1, 2])
