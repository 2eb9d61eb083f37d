"""Writes glTF files, so that tests can write any kind, also a wrong one."""

import base64
import json
import pathlib
import struct
from typing import Any

import numpy as np

KINDS = {1: "SCALAR", 2: "VEC2", 3: "VEC3", 4: "VEC4", 16: "MAT4"}
COMPONENTS = {"i1": 5120, "u1": 5121, "i2": 5122, "u2": 5123, "u4": 5125, "f4": 5126}


class Scene:
    """A glTF document and its binary data.

    Attributes:
      json: the document; tests change it as they like.
      binary: the data of its only buffer.
    """

    def __init__(self) -> None:
        self.json: dict[str, Any] = {
            "asset": {"version": "2.0"}, "nodes": [], "skins": [], "animations": [],
            "accessors": [], "bufferViews": [], "buffers": [],
        }  # fmt: skip
        self.binary = bytearray()

    def node(self, name: str, children: tuple[int, ...] = (), **fields: Any) -> int:
        """Adds a node; returns its index."""
        self.json["nodes"].append(
            {"name": name, **({"children": list(children)} if children else {}), **fields}
        )
        return len(self.json["nodes"]) - 1

    def view(self, data: bytes, **fields: Any) -> int:
        """Adds a buffer view of new data."""
        self.binary += b"\0" * (-len(self.binary) % 4)
        view = {"buffer": 0, "byteOffset": len(self.binary), "byteLength": len(data), **fields}
        self.json["bufferViews"].append(view)
        self.binary += data
        return len(self.json["bufferViews"]) - 1

    def accessor(self, values: Any, dtype: str = "f4", **fields: Any) -> int:
        """Adds an accessor of [count] or [count, components] values, or matrices by columns."""
        values = np.asarray(values)
        if values.ndim == 3:
            values = values.transpose(0, 2, 1).reshape(len(values), 16)
        values = values.reshape(len(values), -1)
        self.json["accessors"].append(
            {
                "bufferView": self.view(values.astype("<" + dtype).tobytes()),
                "componentType": COMPONENTS[dtype],
                "count": len(values),
                "type": KINDS[values.shape[1]],
                **fields,
            }
        )
        return len(self.json["accessors"]) - 1

    def animate(
        self, node: int, path: str, times: Any, values: Any, *, name: str = "", **sampler: Any
    ) -> None:
        """Adds a channel to the animation of this name, which is new if there is none."""
        found = [each for each in self.json["animations"] if each.get("name", "") == name]
        if not found:
            found = [{"channels": [], "samplers": [], **({"name": name} if name else {})}]
            self.json["animations"] += found
        times = times if isinstance(times, int) else self.accessor(times)
        values = values if isinstance(values, int) else self.accessor(values)
        found[0]["samplers"].append({"input": times, "output": values, **sampler})
        number = len(found[0]["samplers"]) - 1
        found[0]["channels"].append({"sampler": number, "target": {"node": node, "path": path}})

    def skin(self, joints: list[int], matrices: Any = None, mesh: bool = True, **node: Any) -> int:
        """Adds a skin with inverse bind matrices, and a node of a mesh that has it."""
        skin: dict[str, Any] = {"joints": joints}
        if matrices is not None:
            skin["inverseBindMatrices"] = self.accessor(np.asarray(matrices))
        self.json["skins"].append(skin)
        number = len(self.json["skins"]) - 1
        if mesh:
            self.node("Mesh", mesh=0, skin=number, **node)
        return number

    # ------------------------------------------------------------------------ files

    def document(self, uri: str | None = None) -> dict[str, Any]:
        """The JSON with its buffer; lists that are empty are left out, as glTF demands."""
        buffers = self.json["buffers"] or [
            {"byteLength": len(self.binary), **({} if uri is None else {"uri": uri})}
        ]
        return {k: v for k, v in {**self.json, "buffers": buffers}.items() if v != []}

    def glb(self) -> bytes:
        """A GLB file."""
        text = json.dumps(self.document()).encode()
        text += b" " * (-len(text) % 4)
        binary = bytes(self.binary) + b"\0" * (-len(self.binary) % 4)
        body = struct.pack("<2I", len(text), 0x4E4F534A) + text
        body += struct.pack("<2I", len(binary), 0x004E4942) + binary
        return struct.pack("<3I", 0x46546C67, 2, 12 + len(body)) + body

    def write(self, path: pathlib.Path, uri: str | None = None) -> pathlib.Path:
        """Writes a .glb, or a .gltf with its data inside it or, if `uri`, in a file beside it."""
        if path.suffix == ".glb":
            path.write_bytes(self.glb())
            return path
        if uri is None:
            data = base64.b64encode(bytes(self.binary)).decode()
            uri = f"data:application/octet-stream;base64,{data}"
        else:
            (path.parent / uri).write_bytes(bytes(self.binary))
        path.write_text(json.dumps(self.document(uri)), encoding="utf-8")
        return path


def walker(frames: int = 5, rate: float = 30.0) -> Scene:
    """An armature in centimetres, turned and scaled, with three joints and one animation.

    Hips at 1 m above the floor move along z by 0.1 m a frame; Head is 0.5 m above them, Hand 0.2 m
    to the left of Head.
    """
    scene = Scene()
    scene.node("Hand", translation=[20, 0, 0])
    scene.node("Head", (0,), translation=[0, 0, 50])
    scene.node("Hips", (1,), translation=[0, 0, 100])
    # The armature's z is the scene's y.
    half = float(np.sqrt(0.5))
    scene.node("Armature", (2,), scale=[0.01] * 3, rotation=[-half, 0, 0, half])
    bind = np.stack([np.eye(4)] * 3)
    bind[:, :3, 3] = [[0, 0, -100], [0, 0, -150], [-20, 0, -150]]
    scene.skin([2, 1, 0], bind)
    times = np.arange(frames) / rate
    moved = np.stack([0 * times, -10.0 * np.arange(frames), 100 + 0 * times], -1)
    scene.animate(2, "translation", times, moved, name="Walk")
    return scene
