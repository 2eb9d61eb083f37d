"""The JSON and the binary data of a glTF file, and its accessors as arrays.

What a file promises is compared with its bytes before memory is taken for it, and buffers are read
only if an accessor needs them: meshes and textures are most of a file.
"""

import base64
import binascii
import pathlib
import struct
import urllib.parse
from typing import Any

import numpy as np

from motionalign import reading

_GLB, _JSON, _BIN = 0x46546C67, 0x4E4F534A, 0x004E4942  # magic numbers of §4.4

_DTYPES = {5120: "<i1", 5121: "<u1", 5122: "<i2", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
_COMPONENTS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT4": 16}
_SCALED = {5120: 127.0, 5121: 255.0, 5122: 32767.0, 5123: 65535.0}  # normalized integers

_MESHOPT = ("EXT_meshopt_compression", "KHR_meshopt_compression")

_MOST_ZEROS = 1_000_000  # elements of an accessor without data, all 0

_FORMS: dict[str, Any] = {
    "accessors": {"componentType": int, "count": int, "type": str},
    "bufferViews": {"buffer": int, "byteLength": int},
    "buffers": {"byteLength": int},
}


class Document:
    """A glTF file.

    Attributes:
      path: of the file.
      size: its bytes, with those of its buffers that are read so far.
    """

    def __init__(self, path: pathlib.Path) -> None:
        """Reads the JSON of a .glb or .gltf file; a ValueError if it is damaged."""
        data = reading.read_bytes(path)
        self.path = path
        self.size = len(data)
        self._buffers: dict[int, bytes] = {}
        self._binary: bytes | None = None
        if data[:4] == struct.pack("<I", _GLB):
            data = self._chunks(data)
        self._json = reading.parse_json(reading.decode(data, path), path)
        reading.check_form(self._json, {"asset": dict}, str(path))
        version = self._json["asset"].get("version")
        if not str(version).startswith("2."):
            raise ValueError(
                f"{path} is glTF of version {version!r}; expected 2.0. A current program, such as "
                "Blender, converts it"
            )

    def _chunks(self, data: bytes) -> bytes:
        """The JSON of a GLB file; keeps the binary data (§4.4)."""
        if len(data) < 20:
            raise ValueError(f"{self.path} is not a complete GLB file: it has {len(data)} bytes")
        version, length, json_length, kind = struct.unpack_from("<4I", data, 4)
        if version != 2:
            raise ValueError(f"{self.path} is GLB of version {version}; expected 2")
        if length > len(data):
            raise ValueError(
                f"{self.path} is not a complete GLB file: its header promises {length:,} bytes, "
                f"but it has {len(data):,}"
            )
        end = 20 + json_length
        if kind != _JSON or end > len(data):
            raise ValueError(
                f"{self.path} is not a complete GLB file: its first chunk should be the JSON, with "
                f"{json_length:,} of {len(data):,} bytes"
            )
        if len(data) >= end + 8:
            size, kind = struct.unpack_from("<2I", data, end)
            if kind == _BIN:
                self._binary = data[end + 8 : end + 8 + size]
        return data[20:end]

    def objects(self, name: str, form: Any = dict) -> list[dict[str, Any]]:
        """A list of objects at the top level; empty if there is none.

        Raises:
          ValueError: it is not a list of objects of this form.
        """
        found = self._json.get(name, [])
        reading.check_form(found, list, f"{self.path}: {name}")
        for index, each in enumerate(found):
            reading.check_form(each, form, f"{self.path}: {name}[{index}]")
        return found

    def one(self, name: str, index: Any, user: str) -> dict[str, Any]:
        """An object of such a list by its index, for `user` of the message."""
        found = self._json.get(name, [])
        reading.check_form(found, list, f"{self.path}: {name}")
        reading.check_form(index, int, f"{self.path}: {user}")
        if not 0 <= index < len(found):
            raise ValueError(f"{self.path}: {user} is {index}, but there are {len(found)} {name}")
        reading.check_form(found[index], _FORMS.get(name, dict), f"{self.path}: {name}[{index}]")
        return found[index]

    # ------------------------------------------------------------------------ accessors

    def array(self, index: Any, kinds: tuple[str, ...], user: str) -> np.ndarray:
        """The values [count, components] of an accessor as float64 (§3.6.2).

        Args:
          index: of the accessor.
          kinds: the types that it may have: "SCALAR", "VEC3", "VEC4", "MAT4".
          user: where the index was found, for messages.

        Raises:
          ValueError: the accessor, its view or its buffer is not what it should be, or a value is
            no finite number.
        """
        accessor = self.one("accessors", index, user)
        where = f"{self.path}: accessors[{index}]"
        kind, count, component = accessor["type"], accessor["count"], accessor["componentType"]
        if kind not in kinds or component not in _DTYPES:
            raise ValueError(
                f"{where} is {kind} of componentType {component}; expected {' or '.join(kinds)} "
                f"of {', '.join(map(str, _DTYPES))}"
            )
        shape = (count, _COMPONENTS[kind])
        if "bufferView" in accessor:
            values = self._view(accessor, shape, component, where)
        elif 0 <= count <= _MOST_ZEROS:
            values = np.zeros(shape, _DTYPES[component])
        else:
            raise ValueError(f"{where} has {count:,} elements and no data")
        if "sparse" in accessor:
            values = self._sparse(accessor["sparse"], values, component, where)
        scale = _SCALED.get(component) if accessor.get("normalized") else None
        values = values.astype(np.float64)
        if scale is not None:
            values = np.maximum(values / scale, -1.0)
        if not np.isfinite(values).all():
            bad = int(np.argwhere(~np.isfinite(values))[0, 0])
            raise ValueError(f"{where} has a value that is no finite number, in element {bad}")
        return values

    def _sparse(self, sparse: Any, values: np.ndarray, component: int, where: str) -> np.ndarray:
        """Values of which some are replaced (§3.6.2.3)."""
        where = f"{where}: sparse"
        form = {
            "count": int,
            "indices": {"bufferView": int, "componentType": int},
            "values": {"bufferView": int},
        }
        reading.check_form(sparse, form, where)
        kind = sparse["indices"]["componentType"]
        if kind not in (5121, 5123, 5125):
            raise ValueError(f"{where}: its indices have componentType {kind}; expected unsigned")
        count = sparse["count"]
        places = self._view(sparse["indices"], (count, 1), kind, f"{where}: indices")[:, 0]
        new = self._view(sparse["values"], (count, values.shape[1]), component, f"{where}: values")
        if count and places.max() >= len(values):
            raise ValueError(
                f"{where}: an index is {places.max()}, but there are {len(values)} elements"
            )
        values = values.copy()
        values[places] = new
        return values

    def _view(
        self, holder: dict[str, Any], shape: tuple[int, int], component: int, where: str
    ) -> np.ndarray:
        """An array over the bytes of a buffer view (§3.6.1)."""
        view = self.one("bufferViews", holder["bufferView"], f"{where}: bufferView")
        name = f"{self.path}: bufferViews[{holder['bufferView']}]"
        if any(extension in (view.get("extensions") or {}) for extension in _MESHOPT):
            raise ValueError(
                f"{self.path} is compressed by meshoptimizer, which is not read. Export it without "
                "compression, or decompress it: npx @gltf-transform/cli copy IN.glb OUT.glb"
            )
        offsets = [holder.get("byteOffset", 0), view.get("byteOffset", 0)]
        for offset in offsets:
            reading.check_form(offset, int, f"{where}: byteOffset")
        dtype = np.dtype(_DTYPES[component])
        element = dtype.itemsize * shape[1]
        stride = view.get("byteStride", element)
        reading.check_form(stride, int, f"{name}: byteStride")
        start = offsets[0] + offsets[1]
        end = offsets[0] + stride * (shape[0] - 1) + element if shape[0] else 0
        buffer = self._buffer(view["buffer"], name)
        fits = min(*offsets, view["byteLength"], shape[0]) >= 0 and stride >= element
        if (
            not fits
            or end > view["byteLength"]
            or start - offsets[0] + view["byteLength"] > len(buffer)
        ):
            raise ValueError(
                f"{where} takes {shape[0]:,} elements of {element} bytes, {stride} apart, from "
                f"byte {start:,} on; its view has {view['byteLength']:,} bytes and the buffer "
                f"{len(buffer):,}"
            )
        strides = (stride, dtype.itemsize)
        return np.ndarray(shape, dtype, buffer, start, strides) if shape[0] else np.zeros(shape)

    # ------------------------------------------------------------------------ buffers

    def _buffer(self, index: int, user: str) -> bytes:
        """The bytes of a buffer: of the GLB file, in a data URI, or of a file beside it."""
        if index in self._buffers:
            return self._buffers[index]
        buffer = self.one("buffers", index, f"{user}: buffer")
        where, uri = f"{self.path}: buffers[{index}]", buffer.get("uri")
        if uri is None:
            if self._binary is None or index:
                raise ValueError(f"{where} has no uri, and is not the binary part of a GLB file")
            data = self._binary
        else:
            reading.check_form(uri, str, f"{where}: uri")
            data = self._data_uri(uri, where) if uri.startswith("data:") else self._file(uri, where)
        if len(data) < buffer["byteLength"]:
            raise ValueError(
                f"{where} should have {buffer['byteLength']:,} bytes, but {len(data):,} are there"
            )
        self._buffers[index] = data
        return data

    def _data_uri(self, uri: str, where: str) -> bytes:
        head, comma, body = uri.partition(",")
        try:
            if not comma or not head.endswith(";base64"):
                raise ValueError("it is not base64")
            return base64.b64decode(urllib.parse.unquote(body), validate=True)
        except (binascii.Error, ValueError) as error:
            raise ValueError(f"{where}: its data URI cannot be read: {error}") from error

    def _file(self, uri: str, where: str) -> bytes:
        """A file in the folder of this one or below it; others are none of its business."""
        name = urllib.parse.unquote(uri)
        folder = self.path.absolute().parent
        other = folder / name
        inside = ":" not in name and "\0" not in name and "\\" not in name
        if not inside or not other.resolve().is_relative_to(folder.resolve()):
            raise ValueError(
                f"{where}: its uri {uri[:80]!r} should be a file in the folder of {self.path.name}"
            )
        try:
            data = reading.read_bytes(other)
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from error
        self.size += len(data)
        return data
