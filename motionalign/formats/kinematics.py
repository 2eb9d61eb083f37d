"""Forward kinematics of trees whose joints turn about coordinate axes, over all frames at once."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

_CHUNK = 1024  # frames that are posed at once, which fit into the processor's cache


class Node(NamedTuple):
    """A joint of a tree.

    Attributes:
      parent: index of a joint before it; -1: a root.
      offset: (x, y, z) from the parent, in the parent's frame.
      moves: (axis, column of values) of the coordinates that values replace; axes are 0 to 2.
      turns: (axis, column of values) or (axis, constant) of its rotations, the first outermost, in
        degrees; a constant is a float, a column an int.
    """

    parent: int
    offset: tuple[float, float, float]
    moves: tuple[tuple[int, int], ...] = ()
    turns: tuple[tuple[int, int | float], ...] = ()


def pose(nodes: Sequence[Node], values: np.ndarray) -> np.ndarray:
    """Positions [T, J, 3] float64 of the joints.

    Args:
      nodes: J joints.
      values: [T, C].
    """
    out = np.empty((len(values), len(nodes), 3))
    last_child = {node.parent: index for index, node in enumerate(nodes)}
    for start in range(0, len(values), _CHUNK):
        rows = slice(start, start + _CHUNK)
        _pose_chunk(nodes, last_child, np.ascontiguousarray(values[rows].T), out[rows])
    return out


def rest(nodes: Sequence[Node]) -> np.ndarray:
    """Positions [J, 3] without any turn, by the offsets alone."""
    out = np.array([node.offset for node in nodes], np.float64).reshape(-1, 3)
    for index, node in enumerate(nodes):
        if node.parent >= 0:
            out[index] += out[node.parent]
    return out


def _pose_chunk(
    nodes: Sequence[Node], last_child: dict[int, int], values: np.ndarray, out: np.ndarray
) -> None:
    """Fills positions [t, J, 3] from values [C, t]; rotations are [column, row, t]."""
    turned = {-1: np.broadcast_to(np.eye(3)[:, :, None], (3, 3, values.shape[1]))}
    for index, node in enumerate(nodes):
        local: list[float | np.ndarray] = list(node.offset)
        for axis, column in node.moves:
            local[axis] = values[column]
        parent = turned[node.parent]
        place = parent[0] * local[0] + parent[1] * local[1] + parent[2] * local[2]
        out[:, index] = place.T if node.parent < 0 else place.T + out[:, node.parent]
        if index in last_child:
            turned[index] = _turn(parent, node.turns, values)
        if node.parent >= 0 and last_child[node.parent] == index:
            del turned[node.parent]  # of a long chain, not all rotations are kept


def _turn(
    rotation: np.ndarray, turns: Sequence[tuple[int, int | float]], values: np.ndarray
) -> np.ndarray:
    """A rotation [column, row, t] followed by turns: each mixes two of its columns."""
    out = rotation.copy() if turns else rotation
    for axis, turn in turns:
        angle = np.radians(values[turn] if isinstance(turn, int) else turn)
        cos, sin = np.cos(angle), np.sin(angle)
        one, two = (axis + 1) % 3, (axis + 2) % 3
        first = out[one] * cos + out[two] * sin
        out[two] = out[two] * cos - out[one] * sin
        out[one] = first
    return out
