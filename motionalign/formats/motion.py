"""A motion as its file has it: named points over time, before anybody says what they are."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from motionalign.conventions import AXES


@dataclasses.dataclass(frozen=True)
class Motion:
    """One take of a file: the positions of its joints, markers or keypoints.

    Positions are as the file has them, in its unit and its axes. What the file does not state is
    None; `motionalign.anatomy` finds it.

    Attributes:
      name: of the take; the file's name without suffix where it names none.
      format: name of the file's format, a key of `motionalign.formats.FORMATS`.
      joint_names: J distinct names, as the file has them.
      parents: J indices of joints, -1 for a root; a parent comes before its children. None: the
        file has no tree, as one of markers or keypoints.
      positions: [T, M, J, 3] float64 of M persons. NaN where a joint was not measured, and in all
        joints of a person who is not there. In 2D a joint is (x, y, confidence), y up.
      fps: frames per second; None: not stated.
      dims: 3, or 2 for positions in an image.
      unit_in_metres: the unit that the file, or its format, states; None: not stated.
      up: the axis, a key of `conventions.AXES`, that the file, or its format, states as up; None:
        not stated.
      rest: [J, 3] positions in the rest pose, in the same unit and axes; None: there is none.
      persons: M names.
      ends: indices of joints that are the ends of bones only, such as the end sites of a BVH file:
        they have a position, and are not counted as joints.
      convention: the set of joints where the format says which it is, such as "SMPL"; None: to be
        found from the names.
      declared: what a skeleton file beside it says of its joints (formats/skeleton_file.py).
      notes: what was left out of the file or assumed about it, one sentence each.
      labels: {name: value} of the clip where the file has them, such as a class.
    """

    name: str
    format: str
    joint_names: tuple[str, ...]
    parents: tuple[int, ...] | None
    positions: np.ndarray
    fps: float | None
    dims: int = 3
    unit_in_metres: float | None = None
    up: str | None = None
    rest: np.ndarray | None = None
    persons: tuple[str, ...] = ("",)
    ends: tuple[int, ...] = ()
    convention: str | None = None
    declared: Any = None
    notes: tuple[str, ...] = ()
    labels: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        """Checks that the fields fit together: a format that breaks this is a defect of ours."""
        count = len(self.joint_names)
        assert len(set(self.joint_names)) == count > 0, self.joint_names
        assert self.positions.ndim == 4 and self.positions.shape[2:] == (count, 3)
        assert self.positions.dtype == np.float64, self.positions.dtype
        assert len(self.persons) == self.positions.shape[1], self.persons
        assert self.rest is None or self.rest.shape == (count, 3), self.rest
        assert self.up is None or self.up in AXES, self.up
        assert self.dims in (2, 3), self.dims
        assert all(0 <= end < count for end in self.ends), self.ends
        assert self.parents is None or (
            len(self.parents) == count and all(-1 <= p < j for j, p in enumerate(self.parents))
        ), self.parents

    @property
    def num_frames(self) -> int:
        """T, the number of frames."""
        return len(self.positions)

    @property
    def num_joints(self) -> int:
        """The number of joints, without the ends of bones."""
        return len(self.joint_names) - len(self.ends)


def distinct(names: Sequence[str]) -> tuple[str, ...]:
    """The names with repetitions numbered: "Arm", "Arm" become "Arm", "Arm.2"."""
    seen: set[str] = set()
    last: dict[str, int] = {}
    out = []
    for name in names:
        new, number = name, last.get(name, 1)
        while new in seen:
            number += 1
            new = f"{name}.{number}"
        last[name] = number
        seen.add(new)
        out.append(new)
    return tuple(out)


def sorted_tree(parents: Sequence[int]) -> list[int]:
    """An order of the joints in which parents come before their children, else unchanged.

    Args:
      parents: J indices in any order, -1 for a root.

    Raises:
      ValueError: the parents form a circle, or an index is none.
    """
    count = len(parents)
    if any(not -1 <= parent < count for parent in parents):
        raise ValueError("a parent is not one of the joints")
    if all(parent < joint for joint, parent in enumerate(parents)):
        return list(range(count))
    children: list[list[int]] = [[] for _ in range(count)]
    for joint, parent in enumerate(parents):
        if parent >= 0:
            children[parent].append(joint)
    order, stack = [], [j for j in reversed(range(count)) if parents[j] < 0]
    while stack:
        joint = stack.pop()
        order.append(joint)
        stack += reversed(children[joint])
    if len(order) < count:
        raise ValueError("the parents form a circle")
    return order
