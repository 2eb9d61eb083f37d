"""Trees of nodes that move: what glTF and FBX have in common.

A file of a scene has nodes with local transforms, some of which are joints. Here joints become
skeletons, keys become frames at one rate, and local transforms become positions.
"""

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from motionalign.formats.motion import distinct, sorted_tree

MOST_RATE = 240.0
"""Frames per second; of denser keys, every second, third, ... is taken."""

_LEAST_RATE = 20.0  # keys that are less dense are set by hand, and the motion is between them
_USUAL_RATE = 30.0
_RATES = (24.0, 25.0, 30.0, 48.0, 50.0, 60.0, 100.0, 120.0, 240.0)
_FILM_RATES = tuple(rate / 1.001 for rate in (24.0, 30.0, 60.0))

_CHUNK = 2048  # frames whose transforms are in memory at once

_MOST_NODES = 10_000  # of a skeleton, with those above it

# Positions of joints that a file may have beside one for each of its bytes.
_MOST_POINTS = 5_000_000


# ---------------------------------------------------------------------------- frames


def frame_rate(key_times: Iterable[np.ndarray], stated: float | None = None) -> tuple[float, str]:
    """The rate at which animated nodes are sampled, and how it is known.

    That of the densest regular channel, of those with a tenth of the keys of the longest at least;
    keys are regular if nine of ten lie on the grid of their median distance. Without such a
    channel, the least usual rate on whose grid all keys lie.

    Args:
      key_times: for each channel, the times of its keys in seconds, ascending.
      stated: frames per second that the file states, which hold unless keys are denser.
    """
    channels = [times for times in key_times if len(times)]
    most = max(map(len, channels), default=0)
    found = (_regular(times) for times in channels if 10 * len(times) >= most)
    rates = [rate for rate in found if rate is not None]
    if stated is not None and stated > 0.99 * max(rates, default=0):
        if _LEAST_RATE <= stated <= MOST_RATE:
            return stated, ""
        return _within(stated, f"The file states {stated:g} frames per second")
    if rates:
        rate = _rounded(max(rates))
        return _within(rate, f"{rate:g} frames per second is the rate of its densest keys")
    keys = np.unique(np.concatenate([np.zeros(1), *channels]))
    for rate in _RATES:
        if len(keys) > 2 and np.abs(keys * rate - np.round(keys * rate)).max() < 0.02:
            return rate, f"{rate:g} frames per second is the least usual rate that its keys fit."
    return (
        _USUAL_RATE,
        f"Its keys have no rate: it is sampled at {_USUAL_RATE:g} frames per second.",
    )


def _within(rate: float, known: str) -> tuple[float, str]:
    """A rate divided or multiplied so that it is neither too high nor too low, and a note."""
    if rate > MOST_RATE:
        every = int(np.ceil(rate / MOST_RATE))
        return rate / every, f"{known}; one in {every} is taken."
    if rate < _LEAST_RATE:
        times = int(np.ceil(_USUAL_RATE / rate))
        return rate * times, f"{known}; it is sampled {times} times as often."
    return rate, f"{known}."


def _rounded(rate: float) -> float:
    """A whole rate, or one of film's, where the times of keys are not exact."""
    near = min((max(round(rate), 1), *_FILM_RATES), key=lambda other: abs(other - rate))
    return float(near) if abs(near / rate - 1) < 2e-4 else rate


def _regular(times: np.ndarray) -> float | None:
    """Keys per second of a regular channel of at least three keys."""
    steps = np.diff(times)
    if len(steps) < 2 or not (step := float(np.median(steps))) > 0:
        return None
    counts = np.round(steps / step)
    on_grid = (np.abs(steps / step - counts) < 0.1) & (counts > 0)
    if on_grid.mean() < 0.9:
        return None
    return float(counts[on_grid].sum() / steps[on_grid].sum())


class Budget:
    """How many positions of joints the animations of a file may have together.

    Two keys, which take a few bytes, may span any time.
    """

    def __init__(self) -> None:
        """Nothing is read yet."""
        self._read = 0

    def frame_times(
        self, start: float, end: float, rate: float, joints: int, size: int
    ) -> np.ndarray:
        """The times of the frames from `start` to `end` in seconds.

        Args:
          start, end: of an animation.
          rate: frames per second.
          joints: in a frame.
          size: bytes of the file.

        Raises:
          ValueError: there are more positions than a file of this size has.
        """
        frames = (end - start) * rate + 1
        if not frames * joints <= size + _MOST_POINTS - self._read:
            raise ValueError(
                f"its keys span {end - start:.6g} s, which is {frames:.3g} frames of {joints} "
                f"joints at {rate:g} frames per second: with the animations before it, more than a "
                f"file of {size:,} bytes has"
            )
        self._read += int(frames * joints)
        return start + np.arange(int(frames + 0.05)) / rate  # times of keys are not exact


# ---------------------------------------------------------------------------- skeletons


class Figure(NamedTuple):
    """Joints that are one skeleton.

    Attributes:
      name: of what it is in the file, such as the node above it.
      joints: J nodes, parents before their children.
      names: of the joints.
      parents: index of the joint above each, -1 for a root.
    """

    name: str
    joints: tuple[int, ...]
    names: tuple[str, ...]
    parents: tuple[int, ...]


def figures(
    names: Sequence[str], parents: Sequence[int], skins: Sequence[Sequence[int]]
) -> list[Figure]:
    """The skeletons of a scene.

    Skins that share joints, or of which one hangs below the other, are of one skeleton. A skeleton
    has one root: where its joints have several, the node above all of them is a joint, too.

    Args:
      names: of the nodes.
      parents: of the nodes, -1 for a root.
      skins: nodes that are the joints of each skin.

    Raises:
      ValueError: the parents form a circle, or a skeleton has more than 10,000 nodes.
    """
    order = sorted_tree(parents)
    joints = {node for skin in skins for node in skin}
    nearest = _nearest(order, parents, joints)
    links = [*skins, *((node, nearest[node]) for node in joints if nearest[node] >= 0)]
    found = []
    for group in _connected(joints, links):
        roots = [node for node in group if nearest[node] < 0]
        own = set(group) | _to_one_root(order, parents, roots)
        ups = _nearest(order, parents, own) if len(roots) > 1 else nearest
        # In the order of the skins, or of the file where nodes come in.
        listed = order if own - joints else [node for skin in skins for node in skin]
        nodes = list(dict.fromkeys(node for node in listed if node in own))
        index = {node: j for j, node in enumerate(nodes)}
        own_parents = [index.get(ups[node], -1) for node in nodes]
        if any(up >= j for j, up in enumerate(own_parents)):
            places = sorted_tree(own_parents)
            nodes = [nodes[place] for place in places]
            index = {node: j for j, node in enumerate(nodes)}
            own_parents = [index.get(ups[node], -1) for node in nodes]
        if (count := len(at_or_above(parents, nodes))) > _MOST_NODES:
            raise ValueError(f"a skeleton of {count:,} nodes; at most {_MOST_NODES:,} are read")
        found.append(
            Figure(
                name=names[parents[nodes[0]]] if parents[nodes[0]] >= 0 else "",
                joints=tuple(nodes),
                names=distinct([names[node] for node in nodes]),
                parents=tuple(own_parents),
            )
        )
    return found


def _nearest(order: Sequence[int], parents: Sequence[int], joints: Collection[int]) -> list[int]:
    """For each node the nearest joint above it, or -1."""
    nearest = [-1] * len(parents)
    for node in order:
        up = parents[node]
        if up >= 0:
            nearest[node] = up if up in joints else nearest[up]
    return nearest


def _connected(nodes: Iterable[int], links: Iterable[Sequence[int]]) -> list[list[int]]:
    """Groups of nodes that are linked, directly or by others, in the order of their first."""
    leader = {node: node for node in sorted(nodes)}

    def find(node: int) -> int:
        while leader[node] != node:
            leader[node] = node = leader[leader[node]]
        return node

    for link in links:
        for node in link[1:]:
            leader[find(node)] = find(link[0])
    groups: dict[int, list[int]] = {}
    for node in leader:
        groups.setdefault(find(node), []).append(node)
    return list(groups.values())


def _to_one_root(order: Sequence[int], parents: Sequence[int], roots: Collection[int]) -> set[int]:
    """The nodes from several roots up to the lowest node above all; none if there is none."""
    below = [0] * len(parents)  # of each node, the roots at or below it
    for root in roots:
        below[root] = 1
    for node in reversed(order):
        if parents[node] >= 0:
            below[parents[node]] += below[node]
    common = [node for node in order if below[node] == len(roots)]
    if len(roots) < 2 or not common:
        return set()
    return {common[-1], *(node for node in order if 0 < below[node] < len(roots))}


def persons(found: Sequence[Figure]) -> list[list[Figure]]:
    """Puts together the skeletons whose joints have the same names and the same tree.

    Names may differ by what programs keep the names in a file apart by; see `_bare`.

    Returns:
      Groups of skeletons, whose names differ.
    """
    groups: dict[Any, list[Figure]] = {}
    for figure in found:
        groups.setdefault((_bare(figure.names), figure.parents), []).append(figure)
    return [
        [figure._replace(name=name) for figure, name in zip(group, distinct(_called(group)))]
        for group in groups.values()
    ]


def _called(group: Sequence[Figure]) -> list[str]:
    """What persons are called: as the nodes above them, or as their first joints."""
    names = [figure.name for figure in group]
    return names if len(set(names)) == len(names) else [figure.names[0] for figure in group]


def _bare(names: Sequence[str]) -> tuple[str, ...]:
    """Names without what keeps them apart from others in their file.

    That is a namespace before a colon, a number at the end (.001, _1), and what all begin with: up
    to a character that is neither letter nor digit (Character1_Hips, Character1_Head), or the first
    name as a whole (Bip01, Bip01 Pelvis).
    """
    bare = [name.rpartition(":")[2] for name in names]
    low, high = min(bare), max(bare)  # which differ first where any two do
    common = (i for i, (a, b) in enumerate(zip(low, high)) if a != b)
    start = low[: next(common, len(low))] if len(bare) > 1 else ""
    if start != bare[0]:
        start = re.sub(r"[A-Za-z0-9]*$", "", start)
    bare = [name[len(start) :] for name in bare]
    short = tuple(re.sub(r"[._]\d+$", "", name) for name in bare)
    return short if len(set(short)) == len(short) else tuple(bare)


def trees(names: Sequence[str], parents: Sequence[int], joints: Collection[int]) -> list[list[int]]:
    """Joints by the tree that they form, where a file does not say which belong together.

    Trees below one node, such as an armature, are one skeleton with several roots, unless they have
    the same names, as those of several persons have.

    Raises:
      ValueError: the parents form a circle.
    """
    order = sorted_tree(parents)
    top: dict[int, int] = {}
    for node in order:
        if node in joints:
            top[node] = top.get(parents[node], node)
    found: dict[int, list[int]] = {}
    for node, root in top.items():
        found.setdefault(root, []).append(node)
    below: dict[int, list[int]] = {}
    for root in found:
        below.setdefault(parents[root] if parents[root] >= 0 else -1 - root, []).append(root)
    out = []
    for roots in below.values():
        bare = [_bare([names[node] for node in found[root]]) for root in roots]
        bare = [each for each in bare if len(each) > 1]
        apart = len(set(bare)) < len(bare)
        out += (
            [found[root] for root in roots]
            if apart
            else [[node for root in roots for node in found[root]]]
        )
    return out


def with_all_below(parents: Sequence[int], nodes: Collection[int]) -> list[int]:
    """Nodes and all nodes below them; a ValueError if the parents form a circle."""
    found = set(nodes)
    order = sorted_tree(parents)
    for node in order:
        if parents[node] in found:
            found.add(node)
    return [node for node in order if node in found]


def at_or_above(parents: Sequence[int], nodes: Iterable[int]) -> set[int]:
    """Nodes and all nodes above them."""
    found: set[int] = set()
    for node in nodes:
        while node >= 0 and node not in found:
            found.add(node)
            node = parents[node]
    return found


# ---------------------------------------------------------------------------- positions


class World(NamedTuple):
    """Where a node is.

    Attributes:
      matrix: [t, 4, 4] from its coordinates to the scene's; t is 1 if it stands still.
      own: what the format needs for the nodes below it.
    """

    matrix: np.ndarray
    own: Any = None


Pose = Callable[[int, np.ndarray, World | None], World]
"""From a node, times [t] in seconds and where the node above it is (None: a root)."""


def positions(
    parents: Sequence[int], joints: Sequence[int], pose: Pose, times: np.ndarray
) -> np.ndarray:
    """Positions [T, J, 3] of joints at T times."""
    order = _with_parents_first(parents, joints)
    out = np.empty((len(times), len(joints), 3))
    for start in range(0, len(times), _CHUNK):
        chunk = times[start : start + _CHUNK]
        worlds: dict[int, World] = {}
        for node in order:
            worlds[node] = pose(node, chunk, worlds.get(parents[node]))
        for j, joint in enumerate(joints):
            out[start : start + _CHUNK, j] = worlds[joint].matrix[:, :3, 3]
    return out


def matrices(
    parents: Sequence[int], joints: Sequence[int], pose: Pose, time: float
) -> dict[int, np.ndarray]:
    """Matrices [4, 4] of joints, and of the nodes above them, at one time."""
    worlds: dict[int, World] = {}
    for node in _with_parents_first(parents, joints):
        worlds[node] = pose(node, np.asarray([time]), worlds.get(parents[node]))
    return {node: world.matrix[0] for node, world in worlds.items()}


def _with_parents_first(parents: Sequence[int], joints: Sequence[int]) -> list[int]:
    """Joints and the nodes above them, each after the one above it."""
    order: dict[int, None] = {}
    for joint in joints:
        path = [joint]
        while (up := parents[path[-1]]) >= 0 and up not in order:
            path.append(up)
        order.update(dict.fromkeys(reversed(path)))
    return list(order)


def matrix(translation: np.ndarray, linear: np.ndarray) -> np.ndarray:
    """Matrices [t, 4, 4] of a translation [t or 1, 3] after a linear map [t or 1, 3, 3]."""
    out = np.zeros((max(len(translation), len(linear)), 4, 4))
    out[:, :3, :3] = linear
    out[:, :3, 3] = translation
    out[:, 3, 3] = 1
    return out


_SAME_LENGTH = 0.05  # by which bones of the bind pose may differ from those of the nodes


def rest(
    parents: Sequence[int],
    figure: Figure,
    pose: Pose,
    bound: Mapping[int, np.ndarray],
    places: Sequence[np.ndarray],
) -> np.ndarray:
    """Positions [J, 3] of the joints in the bind pose; of the nodes as they are without one.

    Args:
      parents: of the nodes.
      figure: the joints.
      pose: of the nodes as they are.
      bound: matrices [4, 4] of joints in the bind pose; others are where they are from the joint
        above them.
      places: matrices [4, 4] of where the coordinates of `bound` may be. Taken is the place where
        joints are nearest to the nodes as they are, if there the bones are as long.
    """
    still = matrices(parents, figure.joints, pose, 0.0)
    at_rest = np.stack([still[joint][:3, 3] for joint in figure.joints])
    if bound.keys().isdisjoint(figure.joints) or not all(map(_is_finite, still.values())):
        return at_rest
    lengths = _lengths(at_rest, figure.parents)
    slack = _SAME_LENGTH * max(float(np.median(lengths)), 1e-12)
    best, nearest = at_rest, np.inf
    for place in places:
        found = _bound(figure, bound, still, place)
        distance = float(np.linalg.norm(found - at_rest, axis=-1).mean())
        same = np.median(np.abs(_lengths(found, figure.parents) - lengths)) <= slack
        if same and distance < nearest * (1 - 1e-3):
            best, nearest = found, distance
    return best


def _is_finite(matrix: np.ndarray) -> bool:
    return bool(np.isfinite(matrix).all())


def _bound(
    figure: Figure,
    bound: Mapping[int, np.ndarray],
    still: Mapping[int, np.ndarray],
    place: np.ndarray,
) -> np.ndarray:
    """Positions [J, 3] in the bind pose of a mesh at `place`.

    A joint without a bind matrix is where it is from the joint above it.
    """
    found: list[np.ndarray] = []
    for joint, parent in zip(figure.joints, figure.parents):
        if joint in bound:
            found.append(place @ bound[joint])
        elif parent < 0:
            found.append(still[joint])
        else:
            up = still[figure.joints[parent]]
            found.append(found[parent] @ np.linalg.pinv(up) @ still[joint])
    return np.stack(found)[:, :3, 3]


def _lengths(positions: np.ndarray, parents: Sequence[int]) -> np.ndarray:
    bones = [(joint, parent) for joint, parent in enumerate(parents) if parent >= 0]
    if not bones:
        return np.zeros(1)
    ends, starts = np.transpose(bones)
    return np.linalg.norm(positions[ends] - positions[starts], axis=-1)
