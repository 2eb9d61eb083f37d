"""Writes binary FBX files, so that tests can write any kind, also a wrong one."""

import dataclasses
import pathlib
import struct
import zlib
from typing import Any

import numpy as np

MAGIC = b"Kaydara FBX Binary  \x00\x1a\x00"
TICKS = 46186158000

CONSTANT, LINEAR, CUBIC = 0x2, 0x4, 0x8
USER = 0x400


@dataclasses.dataclass
class Record:
    """A record; values are whole and real numbers, true or false, texts, bytes and arrays."""

    name: str
    values: tuple = ()
    inner: list = dataclasses.field(default_factory=list)


def record(name: str, *values: Any, inner: Any = ()) -> Record:
    return Record(name, values, list(inner))


def value(each: Any, packed: bool) -> bytes:
    """The bytes of a value with its type."""
    if isinstance(each, bool):
        return struct.pack("<c?", b"C", each)
    if isinstance(each, np.ndarray):
        code = {"<f4": b"f", "<f8": b"d", "<i8": b"l", "<i4": b"i", "|u1": b"c"}[each.dtype.str]
        data = each.tobytes()
        stored = zlib.compress(data) if packed else data
        return code + struct.pack("<3I", len(each), int(packed), len(stored)) + stored
    if isinstance(each, int):
        return struct.pack("<cq", b"L", each)
    if isinstance(each, float):
        return struct.pack("<cd", b"D", each)
    if isinstance(each, bytes):
        return struct.pack("<cI", b"R", len(each)) + each
    text = each.encode()
    return struct.pack("<cI", b"S", len(text)) + text


def content(records: list[Record], version: int = 7400, packed: bool = True) -> bytes:
    """The bytes of a file."""
    form = struct.Struct("<3QB" if version >= 7500 else "<3IB")
    out = bytearray(MAGIC + struct.pack("<I", version))

    def write(each: Record) -> None:
        start, name = len(out), each.name.encode()
        values = b"".join(value(v, packed) for v in each.values)
        out.extend(bytes(form.size) + name + values)
        for inner in each.inner:
            write(inner)
        if each.inner:
            out.extend(bytes(form.size))
        form.pack_into(out, start, len(out), len(each.values), len(values), len(name))

    for each in records:
        write(each)
    return bytes(out + bytes(form.size))


def properties(values: dict[str, Any]) -> Record:
    """Properties70 of names and values; a value may be several."""
    rows = []
    for name, each in values.items():
        each = each if isinstance(each, tuple) else (each,)
        rows.append(record("P", name, "type", "", "A", *each))
    return record("Properties70", inner=rows)


class Scene:
    """The objects of a file and their connections.

    Attributes:
      settings: the global settings.
      template: properties of models that state none.
      objects, connections: records; tests change them as they like.
    """

    def __init__(self, **settings: Any) -> None:
        axes = {"UpAxis": 1, "FrontAxis": 2, "CoordAxis": 0}
        signs = {f"{name}Sign": 1 for name in axes}
        self.settings: dict[str, Any] = {
            **axes, **signs, "UnitScaleFactor": 1.0, "TimeMode": 6, **settings,
        }  # fmt: skip
        self.template: dict[str, Any] = {}
        self.objects: list[Record] = []
        self.connections: list[Record] = []
        self.header: list[Record] = []

    def add(self, kind: str, name: str, form: str = "", inner: Any = (), **values: Any) -> int:
        """Adds an object; returns its number."""
        number = 1000 + len(self.objects)
        values = {key.replace("_", " "): each for key, each in values.items()}
        block = [properties(values)] if values else []
        name = f"{name}\x00\x01{kind}"
        self.objects.append(record(kind, number, name, form, inner=[*inner, *block]))
        return number

    def connect(self, child: int, parent: int, to: str | None = None) -> None:
        """Hangs an object below another, or moves one of its properties by it."""
        values = ("OO", child, parent) if to is None else ("OP", child, parent, to)
        self.connections.append(record("C", *values))

    def model(self, name: str, parent: int = 0, kind: str = "LimbNode", **values: Any) -> int:
        """Adds a node; `Lcl_Translation=(1.0, 2.0, 3.0)` and alike are its properties."""
        number = self.add("Model", name, kind, **values)
        self.connect(number, parent)
        return number

    def stack(self, name: str, **values: Any) -> int:
        """Adds an animation stack with one layer; returns the layer's number."""
        stack = self.add("AnimationStack", name, **values)
        return self.layer(stack)

    def layer(self, stack: int) -> int:
        layer = self.add("AnimationLayer", "BaseLayer")
        self.connect(layer, stack)
        return layer

    def animate(
        self,
        layer: int,
        model: int,
        to: str,
        times: Any,
        values: Any,
        *,
        flags: int | list[int] = LINEAR,
        slopes: Any = None,
        **still: float,
    ) -> None:
        """Moves a property of a node.

        Args:
          layer, model: numbers.
          to: the property, such as "Lcl Rotation".
          times: seconds.
          values: {"X": values of the axis}.
          flags: of all keys, or of each.
          slopes: of each key, after it and before the next.
          still: d_X=1.0 of an axis without keys.
        """
        still = {f"d|{name[-1]}": each for name, each in still.items()}
        node = self.add("AnimationCurveNode", to[4], inner=[properties(still)] if still else ())
        self.connect(node, layer)
        self.connect(node, model, to)
        for axis, own in values.items():
            curve = self.add("AnimationCurve", "", inner=self.curve(times, own, flags, slopes))
            self.connect(curve, node, f"d|{axis}")

    def curve(self, times: Any, values: Any, flags: Any, slopes: Any) -> list[Record]:
        """The records of a curve."""
        count = len(values)
        flags = [flags] * count if isinstance(flags, int) else flags
        data = np.zeros((count, 4), "<f4")
        if slopes is not None:
            data[:, :2] = slopes
        ticks = np.round(np.asarray(times) * TICKS).astype("<i8")
        return [
            record("KeyTime", ticks),
            record("KeyValueFloat", np.asarray(values, "<f4")),
            record("KeyAttrFlags", np.asarray(flags, "<i4")),
            record("KeyAttrDataFloat", data.ravel()),
            record("KeyAttrRefCount", np.ones(count, "<i4")),
        ]

    def bind(self, matrices: dict[int, np.ndarray]) -> None:
        """Adds a bind pose of world matrices [4, 4] by the numbers of nodes."""
        nodes = [
            record(
                "PoseNode", inner=[record("Node", n), record("Matrix", m.T.ravel().astype("<f8"))]
            )
            for n, m in matrices.items()
        ]
        self.add("Pose", "BIND_POSES", "BindPose", inner=nodes)

    def records(self) -> list[Record]:
        template = record("PropertyTemplate", "FbxNode", inner=[properties(self.template)])
        kinds = [record("ObjectType", "Model", inner=[template])] if self.template else []
        return [
            record("FBXHeaderExtension", inner=[record("FBXHeaderVersion", 1004), *self.header]),
            record("GlobalSettings", inner=[properties(self.settings)]),
            record("Definitions", inner=kinds),
            record("Objects", inner=[record("Geometry", 1, "mesh", np.zeros(5)), *self.objects]),
            record("Connections", inner=self.connections),
        ]

    def content(self, **options: Any) -> bytes:
        """The bytes of a file; see `content`."""
        return content(self.records(), **options)

    def write(self, path: pathlib.Path, **options: Any) -> pathlib.Path:
        path.write_bytes(self.content(**options))
        return path


def walker(frames: int = 5, rate: float = 30.0, **settings: Any) -> Scene:
    """Three joints in centimetres below a null, and one animation; see gltf_files.walker.

    The null's z is the scene's y. Hips at 1 m above the floor move along z by 10 cm a frame; Head
    is 50 cm above them, Hand 20 cm to the left of Head.
    """
    scene = Scene(**settings)
    root = scene.model("Armature", kind="Null", Lcl_Rotation=(-90.0, 0.0, 0.0))
    hips = scene.model("Hips", root, Lcl_Translation=(0.0, 0.0, 100.0))
    head = scene.model("Head", hips, Lcl_Translation=(0.0, 0.0, 50.0))
    scene.model("Hand", head, Lcl_Translation=(20.0, 0.0, 0.0))
    times = np.arange(frames) / rate
    layer = scene.stack("Walk")
    scene.animate(
        layer, hips, "Lcl Translation", times, {"Y": -10.0 * np.arange(frames)}, d_Z=100.0
    )
    return scene
