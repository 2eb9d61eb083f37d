"""FBX, the exchange format of Maya, MotionBuilder, 3ds Max and Mixamo: animated skeletons.

Read is binary FBX 7 (2011 and later), which is what these programs write: the limb nodes, the
animation stacks and the bind pose; meshes and control rigs are passed by. Text and older versions
are refused with what to export instead. The file is parsed in a process of its own: see `worker`.

There is no library below, since none of those on PyPI reads the animation of files of both Maya
and Blender: pyufbx gives no animation, ufbx crashes, impasse with Assimp's library gives no
channels of Maya's files, and Blender itself (bpy) is 370 MB of one Python version; Autodesk's SDK
may not be distributed. Blender is what the tests' values come from.

The transform of a node is Autodesk's ("Computing transformation matrices" in the manual of its
SDK): T Roff Rp Rpre R Rpost⁻¹ Rp⁻¹ Soff Sp S Sp⁻¹, where R are rotations about fixed axes in the
node's order.
"""

import dataclasses
import functools
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from motionalign import reading
from motionalign.formats import scene, worker
from motionalign.formats.fbx_curves import Curve
from motionalign.formats.fbx_records import Record, version_of
from motionalign.formats.fbx_records import parse as parse_records
from motionalign.formats.format import Format, Options
from motionalign.formats.motion import Motion

_TICKS = 46186158000  # per second of key times, up to version 7; of later ones:
_TICKS_8 = 141120000

_RATES = {
    1: 120.0, 2: 100.0, 3: 60.0, 4: 50.0, 5: 48.0, 6: 30.0, 7: 30.0, 8: 30 / 1.001, 9: 30 / 1.001,
    10: 25.0, 11: 24.0, 13: 24 / 1.001, 15: 96.0, 16: 72.0, 17: 60 / 1.001, 18: 120 / 1.001,
}  # fmt: skip
"""Frames per second by TimeMode."""

_CUSTOM_RATE = 14  # the TimeMode whose rate is CustomFrameRate

_ORDERS = ("XYZ", "XZY", "YZX", "YXZ", "ZXY", "ZYX", "XYZ")  # by RotationOrder; the last is spheric

_JOINTS = ("LimbNode", "Limb", "Root")  # classes of models
_NO_JOINTS = ("Camera", "CameraSwitcher", "Light", "Mesh", "IKEffector", "FKEffector")

_PATHS = {"Lcl Translation": (0.0, 0.0, 0.0), "Lcl Rotation": (0.0,) * 3, "Lcl Scaling": (1.0,) * 3}
_AXES = ("d|X", "d|Y", "d|Z")

# What of a file is read: other records, such as those of meshes, are passed by.
_SECTIONS: Mapping[str, Sequence[str] | None] = {
    "FBXHeaderExtension": None,
    "GlobalSettings": None,
    "Definitions": None,
    "Connections": None,
    "Objects": (
        "Model", "Pose", "Deformer", "AnimationStack", "AnimationLayer", "AnimationCurveNode",
        "AnimationCurve",
    ),
}  # fmt: skip


def read(path: pathlib.Path, options: Options) -> list[Motion]:
    """Reads an FBX file; see `formats.read`. It is parsed in another process."""
    version_of(reading.read_start(path, 64), path)
    return worker.read("fbx", path)


@np.errstate(over="ignore", invalid="ignore")  # what is infinite is refused in the end
def parse(path: pathlib.Path) -> list[Motion]:
    """Reads an FBX file in this process.

    Returns:
      For each skeleton its animation stacks, in the order of the file; one frame of the rest pose
      if none moves it.

    Raises:
      ValueError: the file is of another kind, spoiled, or has no skeleton.
    """
    data = reading.read_bytes(path)
    version = version_of(data[:64], path)
    try:
        root = parse_records(data, version, _SECTIONS)
        return _Scene(root, version, path, len(data)).motions()
    except ValueError as error:
        if str(path) in str(error):
            raise
        raise ValueError(f"{path} is not a complete FBX file: {error}") from error


# ---------------------------------------------------------------------------- the file as a whole


def _properties(record: Record | None) -> dict[str, tuple[Any, ...]]:
    """The values of the properties of a record by name."""
    block = record.first("Properties70") if record is not None else None
    found = {}
    for each in block.all("P") if block is not None else ():
        if (name := each.value(0, str)) is not None:
            found[name] = each.values[4:]
    return found


def _name(record: Record) -> str:
    """The name of an object, without its class, which follows after two bytes."""
    return record.value(1, str, "").partition("\x00\x01")[0]


class _Scene:
    """The nodes of a file and what moves them.

    Attributes:
      path: of the file.
      names, parents: of the nodes, as in `scene.figures`.
      classes: of the nodes, such as "LimbNode".
    """

    def __init__(self, root: Record, version: int, path: pathlib.Path, size: int) -> None:
        """Reads nodes and connections."""
        self.path, self._size, self._budget = path, size, scene.Budget()
        self._root = root
        self._ticks = _ticks(root, version)
        objects = root.first("Objects")
        self._objects = {
            record.value(0, int): record for record in (objects.inner if objects else ())
        }
        models = [record for record in self._objects.values() if record.name == "Model"]
        template = _template(root)
        self.names = [_name(record) or f"node_{i}" for i, record in enumerate(models)]
        self.classes = [record.value(2, str, "") for record in models]
        self._properties = [{**template, **_properties(record)} for record in models]
        self.index = {record.value(0, int): i for i, record in enumerate(models)}
        self.parents = [-1] * len(models)
        self._below: dict[int, list[tuple[int, str]]] = {}
        self._connect()
        self._still: dict[int, _Transform] = {}

    def _connect(self) -> None:
        """Reads what hangs below what: nodes in `parents`, other objects in `_below`."""
        connections = self._root.first("Connections")
        for each in connections.all("C") if connections is not None else ():
            child, parent = each.value(1, int), each.value(2, int)
            if child is None or parent is None:
                continue
            if child in self.index and parent in self.index:
                # The other kinds are constraints, such as what a node looks at.
                if each.value(0, str) == "OO" and self.parents[self.index[child]] < 0:
                    self.parents[self.index[child]] = self.index[parent]
            else:
                self._below.setdefault(parent, []).append((child, each.value(3, str, "")))

    def below(self, number: int | None, name: str) -> list[tuple[Record, str]]:
        """Objects of a kind that are connected to an object, and to which of its properties."""
        found = [(self._objects.get(child), to) for child, to in self._below.get(number or 0, ())]
        return [(record, to) for record, to in found if record is not None and record.name == name]

    def transform(self, node: int) -> "_Transform":
        """The transform of a node that is not animated."""
        if node not in self._still:
            self._still[node] = _Transform.of(self._properties[node])
        return self._still[node]

    def pose(self, channels: Mapping[int, Mapping[str, "_Channel"]]) -> scene.Pose:
        """Where nodes are while `channels` move them."""

        def pose(node: int, times: np.ndarray, up: scene.World | None) -> scene.World:
            moved = {name: each.at(times) for name, each in channels.get(node, {}).items()}
            return self.transform(node).world(moved, up)

        return pose

    # ------------------------------------------------------------------------ takes

    def motions(self) -> list[Motion]:
        """The takes of every skeleton."""
        stacks = self._stacks()
        joints, notes = self._joints(stacks)
        figures = scene.figures(
            self.names, self.parents, scene.trees(self.names, self.parents, joints)
        )
        motions = []
        for group in scene.persons(figures):
            own = scene.at_or_above(self.parents, [j for figure in group for j in figure.joints])
            moving = [stack for stack in stacks if not own.isdisjoint(stack.channels)]
            motions += [self._take(group, own, stack, notes) for stack in moving]
            if not moving:
                rest = np.stack([self._rest(figure) for figure in group])
                note = "No animation moves the skeleton: this is its rest pose."
                motions.append(self._motion(group, self.path.stem, rest[None], None, [note]))
        return motions

    def _joints(self, stacks: Sequence["_Stack"]) -> tuple[list[int], list[str]]:
        """The nodes that are joints, and notes; what is animated where there are no limb nodes."""
        limbs = [i for i, kind in enumerate(self.classes) if kind in _JOINTS]
        if any(self.classes[i] != "Root" for i in limbs):
            return limbs, []
        moved = {node for stack in stacks for node in stack.channels}
        nodes = scene.with_all_below(self.parents, moved)
        nodes = [node for node in nodes if self.classes[node] not in _NO_JOINTS]
        if not nodes:
            raise ValueError(
                f"{self.path} has no skeleton: neither a limb node nor an animated one among its "
                f"{len(self.names)} nodes"
            )
        return nodes, [
            f"The file has no limb nodes: its {len(nodes)} animated nodes are taken as joints."
        ]

    def _stacks(self) -> list["_Stack"]:
        """The animation stacks that move nodes."""
        curve_nodes: dict[int, list[tuple[int, str]]] = {}  # what each moves
        for number, node in self.index.items():
            for record, to in self.below(number, "AnimationCurveNode"):
                if to in _PATHS:
                    curve_nodes.setdefault(record.value(0, int), []).append((node, to))
        found = []
        for record in self._objects.values():
            if record.name != "AnimationStack":
                continue
            channels: dict[int, dict[str, Record]] = {}
            hidden = 0
            for layer, _ in self.below(record.value(0, int), "AnimationLayer"):
                for each, _ in self.below(layer.value(0, int), "AnimationCurveNode"):
                    for node, to in curve_nodes.get(each.value(0, int), ()):
                        hidden += to in channels.get(node, {})
                        channels.setdefault(node, {}).setdefault(to, each)
            properties = _properties(record)
            span = [properties.get(name, (None,)) for name in ("LocalStart", "LocalStop")]
            times = [v[0] / self._ticks for v in span if v and isinstance(v[0], int)]
            if channels:
                found.append(_Stack(_name(record), channels, times, hidden))
        return found

    def _take(
        self,
        group: Sequence[scene.Figure],
        nodes: set[int],
        stack: "_Stack",
        notes: Sequence[str],
    ) -> Motion:
        """One animation stack of a group of persons, whose joints are at or below `nodes`."""
        channels = {
            node: {to: self._channel(each, node, to) for to, each in own.items()}
            for node, own in stack.channels.items()
            if node in nodes
        }
        keys = [
            curve.times
            for own in channels.values()
            for channel in own.values()
            for curve in channel.curves
            if curve is not None
        ]
        start, end = stack.span(keys)
        keys = [times[(times >= start) & (times <= end)] for times in keys]
        fps, note = scene.frame_rate(keys, self._stated_rate())
        joints = [joint for figure in group for joint in figure.joints]
        try:
            times = self._budget.frame_times(start, end, fps, len(joints), self._size)
        except ValueError as error:
            raise ValueError(f"{self.path}: {stack.name}: {error}") from error
        positions = scene.positions(self.parents, joints, self.pose(channels), times)
        positions = positions.reshape(len(times), len(group), -1, 3)
        extra = [*notes, *([note] if note else [])]
        if stack.hidden:
            extra.append(
                f"{stack.hidden} channels of further animation layers are left out: the first "
                "layer that moves a node counts."
            )
        return self._motion(group, stack.name or self.path.stem, positions, fps, extra)

    def _channel(self, record: Record, node: int, to: str) -> "_Channel":
        """The curves of an AnimationCurveNode, and the values of axes that have none."""
        stated = _properties(record)
        still = self.transform(node).still(to)
        values, curves = [], []
        own = {axis: curve for curve, axis in self.below(record.value(0, int), "AnimationCurve")}
        for axis, default in zip(_AXES, still):
            values.append(_number(stated.get(axis), float(default)))
            curve = own.get(axis)
            curves.append(None if curve is None else Curve.of(curve, self._ticks))
        return _Channel(tuple(curves), tuple(values))

    def _stated_rate(self) -> float | None:
        """Frames per second by the file's settings."""
        settings = _properties(self._root.first("GlobalSettings"))
        mode = settings.get("TimeMode") or (None,)
        if mode[0] == _CUSTOM_RATE:
            rate = _number(settings.get("CustomFrameRate"), 0.0)
            return rate if 0 < rate <= 1e4 else None
        return _RATES.get(mode[0]) if isinstance(mode[0], int) else None

    def _motion(
        self,
        group: Sequence[scene.Figure],
        name: str,
        positions: np.ndarray,
        fps: float | None,
        notes: Sequence[str],
    ) -> Motion:
        rest = self._rest(group[0])
        if not (np.isfinite(positions).all() and np.isfinite(rest).all()):
            raise ValueError(f"{self.path}: {name}: numbers so large that positions are infinite")
        axes = _Axes.of(_properties(self._root.first("GlobalSettings")))
        return Motion(
            name=name,
            format=FORMAT.name,
            joint_names=group[0].names,
            parents=group[0].parents,
            positions=positions * axes.mirror,
            fps=fps,
            unit_in_metres=axes.unit,
            up=axes.up,
            rest=rest * axes.mirror,
            persons=("",) if len(group) == 1 else tuple(figure.name for figure in group),
            notes=(*notes, *axes.notes),
        )

    def _rest(self, figure: scene.Figure) -> np.ndarray:
        """Positions [J, 3] of the joints in the bind pose; of the nodes as they are without one."""
        return scene.rest(self.parents, figure, self.pose({}), self._bound, [np.eye(4)])

    @functools.cached_property
    def _bound(self) -> dict[int, np.ndarray]:
        """The matrices [4, 4] of nodes in the bind pose, or else in those of clusters."""
        found: list[tuple[int | None, np.ndarray | None]] = []
        for pose in (record for record in self._objects.values() if record.name == "Pose"):
            for each in pose.all("PoseNode") if pose.value(2, str) == "BindPose" else ():
                number = each.first("Node")
                number = number.value(0, int) if number is not None else None
                found.append((number, each.array("Matrix")))
        for cluster in (record for record in self._objects.values() if record.name == "Deformer"):
            link = cluster.array("TransformLink")
            for model, _ in self.below(cluster.value(0, int), "Model"):
                found.append((model.value(0, int), link))
        bound: dict[int, np.ndarray] = {}
        for number, matrix in found:
            good = matrix is not None and matrix.shape == (16,) and np.isfinite(matrix).all()
            if number in self.index and matrix is not None and good:
                bound.setdefault(self.index[number], matrix.astype(np.float64).reshape(4, 4).T)
        return bound


class _Stack(NamedTuple):
    """An animation of the file.

    Attributes:
      name: of it.
      channels: {node: {"Lcl Rotation" or alike: AnimationCurveNode}}.
      times: the seconds at which it starts and stops, if they are stated.
      hidden: channels of further layers.
    """

    name: str
    channels: dict[int, dict[str, Record]]
    times: list[float]
    hidden: int

    def span(self, keys: Sequence[np.ndarray]) -> tuple[float, float]:
        """From its first key to its last, within the stated times if keys are there."""
        keys = [times for times in keys if len(times)]
        if not keys:
            return 0.0, 0.0
        first, last = min(times[0] for times in keys), max(times[-1] for times in keys)
        if len(self.times) == 2:
            start, stop = max(first, self.times[0]), min(last, self.times[1])
            if start < stop:
                return start, stop
        return first, last


class _Channel(NamedTuple):
    """What moves the translation, rotation or scale of a node.

    Attributes:
      curves: of the three axes; None: the axis stands still.
      values: of axes that stand still.
    """

    curves: tuple[Curve | None, ...]
    values: tuple[float, ...]

    def at(self, times: np.ndarray) -> np.ndarray:
        """Values [t, 3]; [1, 3] if all stand still."""
        if all(curve is None for curve in self.curves):
            return np.asarray([self.values])
        return np.stack(
            [
                np.full(len(times), value) if curve is None else curve.at(times)
                for curve, value in zip(self.curves, self.values)
            ],
            -1,
        )


def _ticks(root: Record, version: int) -> int:
    """Ticks per second of key times: newer versions, and files that say so, have other ones."""
    definition = root.first("FBXHeaderExtension", "OtherFlags", "TCDefinition")
    if definition is not None:
        return _TICKS if definition.value(0, int) == 127 else _TICKS_8
    return _TICKS if version < 8000 else _TICKS_8


def _template(root: Record) -> dict[str, tuple[Any, ...]]:
    """The properties that models have where they state none."""
    definitions = root.first("Definitions")
    for each in definitions.all("ObjectType") if definitions is not None else ():
        if each.value(0, str) == "Model":
            return _properties(each.first("PropertyTemplate"))
    return {}


def _number(values: Sequence[Any] | None, default: float) -> float:
    """A number of a property; the default if it is none, or not finite."""
    found = values[0] if values else None
    return float(found) if isinstance(found, int | float) and np.isfinite(found) else default


class _Axes(NamedTuple):
    """Unit and axes of a file.

    Attributes:
      unit: metres.
      up: a key of `conventions.AXES`.
      mirror: [3] signs that make left-handed axes right-handed.
      notes: on what was done.
    """

    unit: float
    up: str
    mirror: np.ndarray
    notes: tuple[str, ...]

    @classmethod
    def of(cls, settings: Mapping[str, tuple[Any, ...]]) -> "_Axes":
        """Those of the global settings, or FBX's: centimetres, +Y up."""
        factor = _number(settings.get("UnitScaleFactor"), 1.0)
        unit = factor / 100 if 1e-6 < factor < 1e6 else 0.01
        axes = []
        for name, default in (("UpAxis", 1), ("FrontAxis", 2), ("CoordAxis", 0)):
            axis = int(_number(settings.get(name), default))
            sign = -1 if _number(settings.get(f"{name}Sign"), 1.0) < 0 else 1
            axes.append(sign * np.eye(3)[axis if 0 <= axis < 3 else default])
        up, front, right = axes
        mirror, notes = np.ones(3), ()
        if np.dot(np.cross(right, up), front) < -0.5:
            mirror = 1 - 2 * np.abs(right)
            notes = ("Its axes are left-handed: positions are mirrored to the right.",)
        axis = int(np.argmax(np.abs(up)))
        return cls(unit, ("-" if up[axis] < 0 else "") + "xyz"[axis], mirror, notes)


# ---------------------------------------------------------------------------- transforms


def _turn(axis: int, degrees: np.ndarray) -> np.ndarray:
    """Rotations [t, 3, 3] about an axis by angles [t]."""
    angle = np.radians(degrees)
    cos, sin = np.cos(angle), np.sin(angle)
    out = np.zeros((len(angle), 3, 3))
    i, j = (axis + 1) % 3, (axis + 2) % 3
    out[:, axis, axis] = 1
    out[:, i, i] = out[:, j, j] = cos
    out[:, i, j], out[:, j, i] = -sin, sin
    return out


def _turns(degrees: np.ndarray, order: str = "XYZ") -> np.ndarray:
    """Rotations [t, 3, 3] by angles [t, 3] about the fixed axes x, y and z in an order."""
    first, second, third = ("XYZ".index(axis) for axis in order)
    out = _turn(second, degrees[:, second]) @ _turn(first, degrees[:, first])
    return _turn(third, degrees[:, third]) @ out


@dataclasses.dataclass(frozen=True)
class _Transform:
    """What a node's properties make of its translation, rotation and scale.

    Attributes:
      values: {"Lcl Translation" or alike: [3] of the node at rest}.
      order: of rotations.
      before, after: rotations [1, 3, 3] around the node's own.
      rotation_offset, rotation_pivot, scaling_offset, scaling_pivot: [3].
      inherit: 0 (RrSs), 1 (RSrs) or 2 (Rrs): what the node gets of the scales above it.
    """

    values: Mapping[str, np.ndarray]
    order: str
    before: np.ndarray
    after: np.ndarray
    rotation_offset: np.ndarray
    rotation_pivot: np.ndarray
    scaling_offset: np.ndarray
    scaling_pivot: np.ndarray
    inherit: int

    @classmethod
    def of(cls, properties: Mapping[str, tuple[Any, ...]]) -> "_Transform":
        """The transform of a node with these properties."""

        def vector(name: str, default: Sequence[float] = (0.0, 0.0, 0.0)) -> np.ndarray:
            found = properties.get(name, ())[:3]
            good = len(found) == 3 and all(isinstance(v, int | float) for v in found)
            return np.asarray(found if good else default, np.float64)

        def whole(name: str, default: int) -> int:
            return int(_number(properties.get(name), default))

        # An inactive node turns about x, y and z, and its further rotations are for limits only.
        active = whole("RotationActive", 1) and not whole("RotationSpaceForLimitOnly", 0)
        order = whole("RotationOrder", 0) if active else 0
        none = np.eye(3)[None]
        return cls(
            values={name: vector(name, default) for name, default in _PATHS.items()},
            order=_ORDERS[order] if 0 <= order < len(_ORDERS) else _ORDERS[0],
            before=_turns(vector("PreRotation")[None]) if active else none,
            after=_turns(vector("PostRotation")[None]).transpose(0, 2, 1) if active else none,
            rotation_offset=vector("RotationOffset"),
            rotation_pivot=vector("RotationPivot"),
            scaling_offset=vector("ScalingOffset"),
            scaling_pivot=vector("ScalingPivot"),
            inherit=whole("InheritType", 1),
        )

    def still(self, name: str) -> np.ndarray:
        """[3] of the node at rest, of "Lcl Translation" or alike."""
        return self.values[name]

    def world(self, moved: Mapping[str, np.ndarray], up: scene.World | None) -> scene.World:
        """Where the node is, from values [t, 3] of what moves and the node above it."""
        translation, angles, scale = (moved.get(n, self.values[n][None]) for n in _PATHS)
        turned = self.before @ _turns(angles, self.order) @ self.after
        pivot = self.scaling_offset + self.scaling_pivot - scale * self.scaling_pivot
        moved_pivot = np.einsum("tij,tj->ti", *_same(turned, pivot - self.rotation_pivot))
        start = translation + self.rotation_offset + self.rotation_pivot + moved_pivot
        local = scene.matrix(start, turned * scale[:, None, :])
        if up is None:
            return scene.World(local, (turned, scale))
        world = up.matrix @ local
        rotation_above, scale_above = up.own
        if self.inherit in (0, 2):
            scaling = rotation_above.transpose(0, 2, 1) @ up.matrix[:, :3, :3]
            if self.inherit == 2:
                scaling = scaling / np.where(scale_above == 0, 1, scale_above)[:, None, :]
            world[:, :3, :3] = rotation_above @ turned @ scaling * scale[:, None, :]
        return scene.World(world, (rotation_above @ turned, scale))


def _same(matrices: np.ndarray, vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Matrices [t, 3, 3] and vectors [t, 3] of the same t."""
    count = max(len(matrices), len(vectors))
    return np.broadcast_to(matrices, (count, 3, 3)), np.broadcast_to(vectors, (count, 3))


FORMAT = Format(
    name="FBX",
    about="limb nodes, animation stacks and bind pose of binary FBX 7; no meshes",
    suffixes=(".fbx",),
    read=read,
)
