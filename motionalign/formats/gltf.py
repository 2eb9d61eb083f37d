"""glTF 2.0 and GLB, the exchange format of game engines and Blender: animated skeletons.

Read are the joints of skins, the animations and the rest pose; meshes, materials and morph targets
are passed by. There is no library below: pygltflib, for one, gives the JSON as objects and neither
arrays of accessors nor sampled animations, which are all of the work. Numbers of sections are those
of https://registry.khronos.org/glTF/specs/2.0/glTF-2.0.html.
"""

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from motionalign import reading
from motionalign.formats import scene
from motionalign.formats.format import Format, Options
from motionalign.formats.gltf_buffers import Document
from motionalign.formats.motion import Motion

_PATHS = {"translation": 3, "rotation": 4, "scale": 3}
_DEFAULTS = {"translation": (0, 0, 0), "rotation": (0, 0, 0, 1), "scale": (1, 1, 1)}
_SLACK = 1e-4  # seconds by which the time of a key, a float32, may be late

_INTERPOLATIONS = ("LINEAR", "STEP", "CUBICSPLINE")


@np.errstate(over="ignore", invalid="ignore")  # what is infinite is refused in the end
def read(path: pathlib.Path, options: Options) -> list[Motion]:
    """Reads a .glb or .gltf file; see `formats.read`.

    Returns:
      For each skeleton its animations, in the order of the file; one frame of the rest pose if
      there is none. Lengths are in metres and +Y is up (§3.4).
    """
    document = Document(path)
    nodes = _Nodes(document)
    animations = _animations(document, len(nodes.names))
    skins, notes = _skins(document, nodes, animations)
    try:
        figures = scene.figures(nodes.names, nodes.parents, skins)
    except ValueError as error:
        raise ValueError(f"{path}: nodes: {error}") from error
    budget = scene.Budget()
    motions = []
    for group in scene.persons(figures):
        rest = _rest(document, nodes, group[0])
        # An animation may be of another skeleton of the file.
        own = scene.at_or_above(nodes.parents, [j for figure in group for j in figure.joints])
        moving = [each for each in animations if not own.isdisjoint(each.channels)]
        take = _Take(document, nodes, group, rest, notes, budget)
        motions += [take.of(animation) for animation in moving] or [take.still()]
    return motions


# ---------------------------------------------------------------------------- nodes


class _Nodes:
    """The nodes of a file.

    Attributes:
      names: of the nodes; node_7 for one without.
      parents: index of the node above each, -1 for a root.
      meshes: {skin: node of a mesh with this skin}.
    """

    def __init__(self, document: Document) -> None:
        """Reads the nodes; a ValueError if they are not trees."""
        self._document = document
        nodes = document.objects("nodes")
        path = document.path
        self.names = [str(node.get("name") or f"node_{i}") for i, node in enumerate(nodes)]
        self.parents = [-1] * len(nodes)
        self.meshes: dict[int, int] = {}
        for index, node in enumerate(nodes):
            children, where = node.get("children", []), f"{path}: nodes[{index}]: children"
            reading.check_form(children, list[int], where)
            for child in children:
                if not 0 <= child < len(nodes) or self.parents[child] >= 0:
                    wrong = "belongs to two nodes" if 0 <= child < len(nodes) else "does not exist"
                    raise ValueError(f"{where}: node {child} {wrong}")
                self.parents[child] = index
            if isinstance(node.get("skin"), int):
                self.meshes.setdefault(node["skin"], index)
        self._nodes = nodes
        self._still: dict[int, tuple[np.ndarray, np.ndarray, np.ndarray]] = {}

    def still(self, index: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Translation [1, 3], rotation [1, 3, 3] and scale [1, 3] of a node at rest."""
        if index not in self._still:
            node = self._nodes[index]
            if "matrix" in node:
                self._still[index] = _decomposed(self._numbers(index, "matrix", 16))
            else:
                values = [self._numbers(index, name, count) for name, count in _PATHS.items()]
                translation, rotation, scale = values
                self._still[index] = translation, _rotations(rotation), scale
        return self._still[index]

    def _numbers(self, index: int, name: str, count: int) -> np.ndarray:
        where = f"{self._document.path}: nodes[{index}]: {name}"
        values = self._nodes[index].get(name, _DEFAULTS.get(name))
        if name in self._nodes[index]:
            reading.check_form(values, list[float], where)
        if len(values) != count:
            raise ValueError(f"{where} has {len(values)} values; expected {count}")
        return np.asarray([values], np.float64)

    def pose(self, channels: Mapping[int, Mapping[str, "_Channel"]]) -> scene.Pose:
        """Where nodes are while `channels` move them."""

        def pose(node: int, times: np.ndarray, up: scene.World | None) -> scene.World:
            translation, rotation, scale = self.still(node)
            own = channels.get(node, {})
            if "translation" in own:
                translation = own["translation"].at(times)
            if "rotation" in own:
                rotation = _rotations(own["rotation"].at(times))
            if "scale" in own:
                scale = own["scale"].at(times)
            local = scene.matrix(translation, rotation * scale[:, None, :])
            return scene.World(local if up is None else up.matrix @ local)

        return pose


def _decomposed(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Translation, rotation and scale of a matrix [1, 16] in the order of columns."""
    matrix = values.reshape(1, 4, 4).transpose(0, 2, 1)
    scale = np.linalg.norm(matrix[:, :3, :3], axis=1)
    return matrix[:, :3, 3], matrix[:, :3, :3] / np.maximum(scale, 1e-30)[:, None], scale


def _rotations(quaternions: np.ndarray) -> np.ndarray:
    """Rotation matrices [t, 3, 3] of quaternions [t, 4] (x, y, z, w) of any length but 0."""
    lengths = np.linalg.norm(quaternions, axis=-1, keepdims=True)
    x, y, z, w = np.moveaxis(quaternions / np.maximum(lengths, 1e-30), -1, 0)
    rows = (
        (1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)),
        (2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)),
        (2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)),
    )
    return np.stack([np.stack(row, -1) for row in rows], -2)


# ---------------------------------------------------------------------------- animations


@dataclasses.dataclass(frozen=True)
class _Channel:
    """The keys of a node's translation, rotation or scale.

    Attributes:
      times: [K] seconds, ascending.
      values: [K, C], for CUBICSPLINE [K, 3, C]: in-tangent, value and out-tangent.
      interpolation: one of `_INTERPOLATIONS`.
      turns: whether the values are quaternions.
    """

    times: np.ndarray
    values: np.ndarray
    interpolation: str
    turns: bool

    def at(self, times: np.ndarray) -> np.ndarray:
        """Values [t, C]; before the first and after the last key, theirs (Appendix C)."""
        last = len(self.times) - 1
        if self.interpolation == "STEP":
            held = np.searchsorted(self.times, times + _SLACK, side="right") - 1
            return self.values[np.maximum(held, 0)]
        before = np.clip(np.searchsorted(self.times, times, side="right") - 1, 0, max(last - 1, 0))
        after = np.minimum(before + 1, last)
        length = self.times[after] - self.times[before]
        share = (times - self.times[before]) / np.where(length > 0, length, 1)
        share = np.clip(share, 0, 1)[:, None]
        if self.interpolation == "CUBICSPLINE":
            return self._cubic(before, after, length[:, None], share)
        a, b = self.values[before], self.values[after]
        return _slerp(a, b, share) if self.turns else a + (b - a) * share

    def _cubic(
        self, before: np.ndarray, after: np.ndarray, length: np.ndarray, t: np.ndarray
    ) -> np.ndarray:
        a, out = self.values[before, 1], self.values[before, 2]
        into, b = self.values[after, 0], self.values[after, 1]
        t2, t3 = t**2, t**3
        ends = (2 * t3 - 3 * t2 + 1) * a + (3 * t2 - 2 * t3) * b
        return ends + length * ((t3 - 2 * t2 + t) * out + (t3 - t2) * into)


def _slerp(a: np.ndarray, b: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Between quaternions [t, 4] on the shorter way; linear where they hardly differ."""
    cosine = np.sum(a * b, -1, keepdims=True)
    b, cosine = np.where(cosine < 0, -b, b), np.minimum(np.abs(cosine), 1)
    angle = np.arccos(cosine)
    sine = np.sin(angle)
    near = sine < 1e-6
    sine = np.where(near, 1, sine)
    weight_a = np.where(near, 1 - share, np.sin((1 - share) * angle) / sine)
    weight_b = np.where(near, share, np.sin(share * angle) / sine)
    return weight_a * a + weight_b * b


@dataclasses.dataclass(frozen=True)
class _Animation:
    """An animation of a file, whose keys are not read yet.

    Attributes:
      index: in the file.
      name: empty if it has none.
      channels: {node: {path: index of a sampler}} of the paths that move nodes.
      samplers: of the animation.
      ignored: channels of morph targets and of extensions.
    """

    index: int
    name: str
    channels: Mapping[int, Mapping[str, int]]
    samplers: list[dict[str, Any]]
    ignored: int

    def read(self, document: Document, nodes: set[int]) -> dict[int, dict[str, _Channel]]:
        """The channels of some nodes."""
        return {
            node: {path: self._channel(document, path, number) for path, number in own.items()}
            for node, own in self.channels.items()
            if node in nodes
        }

    def _channel(self, document: Document, path: str, number: int) -> _Channel:
        user = f"animations[{self.index}]: samplers[{number}]"
        where, sampler = f"{document.path}: {user}", self.samplers[number]
        kind = sampler.get("interpolation", "LINEAR")
        if kind not in _INTERPOLATIONS:
            raise ValueError(
                f"{where}: interpolation {kind!r}; expected one of {', '.join(_INTERPOLATIONS)}"
            )
        times = document.array(sampler.get("input"), ("SCALAR",), f"{user}: input")[:, 0]
        types = ("VEC4",) if path == "rotation" else ("VEC3",)
        values = document.array(sampler.get("output"), types, f"{user}: output")
        per_key = 3 if kind == "CUBICSPLINE" else 1
        if len(values) != per_key * len(times) or not len(times):
            raise ValueError(
                f"{where}: {len(times)} key times and {len(values)} values; expected one or more, "
                f"with {per_key} values each"
            )
        if (np.diff(times) <= 0).any():
            key = int(np.argmax(np.diff(times) <= 0)) + 1
            raise ValueError(f"{where}: the time of key {key} is not after that of the one before")
        if kind == "CUBICSPLINE":
            values = values.reshape(len(times), 3, -1)
        elif path == "rotation":
            lengths = np.linalg.norm(values, axis=-1, keepdims=True)
            if (lengths < 1e-6).any():
                key = int(np.argmin(lengths))
                raise ValueError(f"{where}: the rotation of key {key} is a quaternion of length 0")
            values = values / lengths
        return _Channel(times, values, kind, path == "rotation")


def _animations(document: Document, count: int) -> list[_Animation]:
    """The animations that move nodes, of `count` nodes."""
    found = []
    for index, animation in enumerate(document.objects("animations")):
        where = f"{document.path}: animations[{index}]"
        form = {"channels": list[dict], "samplers": list[dict]}
        reading.check_form(animation, form, where)
        channels: dict[int, dict[str, int]] = {}
        ignored = 0
        for number, channel in enumerate(animation["channels"]):
            place = f"{where}: channels[{number}]"
            reading.check_form(channel, {"sampler": int, "target": dict}, place)
            node, path = channel["target"].get("node"), channel["target"].get("path")
            reading.check_form(node, int | None, f"{place}: target: node")
            reading.check_form(path, str, f"{place}: target: path")
            if node is None or path not in _PATHS:
                ignored += 1
                continue
            sampler = channel["sampler"]
            for value, most, what in (
                (node, count, "node"),
                (sampler, len(animation["samplers"]), "sampler"),
            ):
                if not 0 <= value < most:
                    raise ValueError(f"{place}: {what} is {value}, but there are {most}")
            channels.setdefault(node, {})[path] = sampler
        name = str(animation.get("name") or "")
        if channels:
            found.append(_Animation(index, name, channels, animation["samplers"], ignored))
    return found


# ---------------------------------------------------------------------------- skeletons


def _skins(
    document: Document, nodes: _Nodes, animations: Sequence[_Animation]
) -> tuple[list[list[int]], list[str]]:
    """The joints of each skin, and notes; without skins, what is animated and all below it.

    Raises:
      ValueError: there is neither skin nor animation.
    """
    skins = []
    for index, skin in enumerate(document.objects("skins", {"joints": list[int]})):
        for joint in skin["joints"]:
            if not 0 <= joint < len(nodes.names):
                raise ValueError(
                    f"{document.path}: skins[{index}]: joints: node {joint} does not exist"
                )
        skins.append(list(dict.fromkeys(skin["joints"])))
    skins = [skin for skin in skins if skin]
    if skins:
        return skins, []
    moved = {node for animation in animations for node in animation.channels}
    if not moved:
        raise ValueError(
            f"{document.path} has no skeleton: neither a skin nor an animated node among its "
            f"{len(nodes.names)} nodes"
        )
    try:
        joints = scene.with_all_below(nodes.parents, moved)
    except ValueError as error:
        raise ValueError(f"{document.path}: nodes: {error}") from error
    return scene.trees(nodes.names, nodes.parents, set(joints)), [
        f"The file has no skin: its {len(joints)} animated nodes are taken as joints."
    ]


def _rest(document: Document, nodes: _Nodes, figure: scene.Figure) -> np.ndarray:
    """Positions [J, 3] of the joints in the bind pose; of the nodes as they are without one.

    Inverse bind matrices are from the coordinates of the mesh, and programs differ in where a mesh
    is when it is bound: in the scene itself, where its node is, or where the node above the joints
    is; see `scene.rest`.
    """
    pose = nodes.pose({})
    bound, meshes = _binding(document, nodes, figure)
    places = [np.eye(4)]
    for node in (nodes.parents[figure.joints[0]], *meshes):
        if node >= 0:
            places.append(scene.matrices(nodes.parents, [node], pose, 0.0)[node])
    return scene.rest(nodes.parents, figure, pose, bound, places)


def _binding(
    document: Document, nodes: _Nodes, figure: scene.Figure
) -> tuple[dict[int, np.ndarray], list[int]]:
    """The bind matrices [4, 4] of joints in the mesh's coordinates, and the nodes of meshes."""
    found: dict[int, np.ndarray] = {}
    meshes = []
    for index, skin in enumerate(document.objects("skins", {"joints": list[int]})):
        joints = skin["joints"]
        if "inverseBindMatrices" not in skin or not set(joints) & set(figure.joints):
            continue
        user = f"skins[{index}]: inverseBindMatrices"
        matrices = document.array(skin["inverseBindMatrices"], ("MAT4",), user)
        if len(matrices) < len(joints):
            raise ValueError(
                f"{document.path}: {user}: {len(matrices)} matrices of {len(joints)} joints"
            )
        matrices = matrices[: len(joints)].reshape(-1, 4, 4).transpose(0, 2, 1)
        good = np.abs(np.linalg.det(matrices)) > 1e-30
        inverse = np.linalg.inv(np.where(good[:, None, None], matrices, np.eye(4)))
        for joint, each, is_good in zip(joints, inverse, good):
            if is_good:
                found.setdefault(joint, each)
        if index in nodes.meshes:
            meshes.append(nodes.meshes[index])
    return found, meshes


# ---------------------------------------------------------------------------- takes


@dataclasses.dataclass(frozen=True)
class _Take:
    """What the takes of a group of persons share."""

    document: Document
    nodes: _Nodes
    group: Sequence[scene.Figure]
    rest: np.ndarray
    notes: Sequence[str]
    budget: scene.Budget

    def of(self, animation: _Animation) -> Motion:
        """One animation."""
        path = self.document.path
        joints = [joint for figure in self.group for joint in figure.joints]
        channels = animation.read(self.document, scene.at_or_above(self.nodes.parents, joints))
        keys = [channel.times for own in channels.values() for channel in own.values()]
        fps, note = scene.frame_rate(keys)
        try:
            start, end = min(times[0] for times in keys), max(times[-1] for times in keys)
            times = self.budget.frame_times(start, end, fps, len(joints), self.document.size)
        except ValueError as error:
            raise ValueError(f"{path}: animations[{animation.index}]: {error}") from error
        positions = scene.positions(self.nodes.parents, joints, self.nodes.pose(channels), times)
        positions = positions.reshape(len(times), len(self.group), -1, 3)
        notes = [note]
        if animation.ignored:
            notes.append(f"{animation.ignored} channels that move no node are left out.")
        return self._motion(animation.name or path.stem, positions, float(fps), notes)

    def still(self) -> Motion:
        """One frame of the rest pose."""
        positions = np.stack([_rest(self.document, self.nodes, figure) for figure in self.group])
        note = "No animation moves the skeleton: this is its rest pose."
        return self._motion(self.document.path.stem, positions[None], None, [note])

    def _motion(
        self, name: str, positions: np.ndarray, fps: float | None, notes: Sequence[str]
    ) -> Motion:
        if not (np.isfinite(positions).all() and np.isfinite(self.rest).all()):
            raise ValueError(
                f"{self.document.path}: {name}: numbers so large that positions are infinite"
            )
        first = self.group[0]
        single = len(self.group) == 1
        return Motion(
            name=name,
            format=FORMAT.name,
            joint_names=first.names,
            parents=first.parents,
            positions=positions,
            fps=fps,
            unit_in_metres=1.0,
            up="y",
            rest=self.rest,
            persons=("",) if single else tuple(figure.name for figure in self.group),
            notes=(*self.notes, *notes),
        )


FORMAT = Format(
    name="glTF",
    about="joints, animations and rest pose of .glb and .gltf; no meshes",
    suffixes=(".glb", ".gltf"),
    read=read,
)
