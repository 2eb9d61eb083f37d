"""Conventions in which joints are given, and their conversion to those of a dataset."""

import dataclasses
from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

from motionalign import reading
from motionalign.conventions.measured import AXES
from motionalign.skeleton import Skeleton

UNITS: Mapping[str, float] = MappingProxyType(
    {"m": 1.0, "cm": 0.01, "mm": 0.001, "in": 0.0254, "ft": 0.3048}
)
"""Metres per unit."""


@dataclasses.dataclass(frozen=True)
class Declared:
    """The conventions in which joints are given, where they are not those of the dataset.

    Attributes:
      unit: a key of `UNITS`; None: the dataset's.
      up: the axis that points up, a key of `AXES`.
      order: the joint names in the order of the joint axis, those of the skeleton and possibly
        others, which are left out; None: the skeleton's order.
    """

    unit: str | None = None
    up: str = "y"
    order: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        """Raises a ValueError for an unknown unit or axis."""
        if self.unit is not None and self.unit not in UNITS:
            raise ValueError(f"unit {self.unit!r}; expected one of {', '.join(UNITS)}")
        if self.up not in AXES:
            raise ValueError(f"up {self.up!r}; expected one of {', '.join(AXES)}")

    def num_joints(self, skeleton: Skeleton) -> int:
        """The number of joints in a clip as it is given."""
        return skeleton.num_joints if self.order is None else len(self.order)

    def check(self, skeleton: Skeleton, unit_in_metres: float | None) -> None:
        """Raises the ValueError of `convert` before a clip is read."""
        if self.order is not None:
            self._indices(skeleton)
        if self.unit is not None and unit_in_metres is None:
            raise ValueError(
                f"unit {self.unit!r} is declared, but the unit of the training data is unknown, so "
                "that joints cannot be converted to it"
            )

    def convert(
        self, joints: np.ndarray, skeleton: Skeleton, unit_in_metres: float | None
    ) -> np.ndarray:
        """Joints [..., J', 3] as given to [..., J, 3]: Y up, the skeleton's order, another unit.

        Args:
          joints: the joints as they are given.
          skeleton: the skeleton of the result.
          unit_in_metres: the unit of the result.

        Raises:
          ValueError: `order` lacks a joint, or a unit is declared and that of the result is
            unknown.

        Returns:
          The joints; integers as floating-point numbers, also if nothing is to be converted.
        """
        if joints.dtype.kind != "f":
            joints = joints.astype(np.result_type(joints, np.float32))  # fractions would be lost
        self.check(skeleton, unit_in_metres)
        if self.order is not None:
            joints = joints[..., self._indices(skeleton), :]
        if self.up != "y":
            joints = (joints @ to_y(self.up).T).astype(joints.dtype)
        if self.unit is None or unit_in_metres is None:
            return joints
        factor = UNITS[self.unit] / unit_in_metres
        return joints if factor == 1 else (joints * factor).astype(joints.dtype)

    def given_height(self, height: float, unit_in_metres: float) -> float:
        """A height in the unit of the result, in the unit in which the files are."""
        return height if self.unit is None else height * unit_in_metres / UNITS[self.unit]

    def given_axis(self, axis: str) -> str:
        """The axis of the files that is `axis` of the result, both keys of `AXES`."""
        of_files = tuple(to_y(self.up).T @ AXES[axis])
        return next(name for name, direction in AXES.items() if direction == of_files)

    def _indices(self, skeleton: Skeleton) -> list[int]:
        order = list(self.order or ())
        missing = [name for name in skeleton.joint_names if name not in order]
        twice = {name for name in order if order.count(name) > 1}
        if missing or twice:
            problem = f"lacks {', '.join(missing)}" if missing else f"repeats {min(twice)}"
            raise ValueError(
                f"the declared joint order {problem}; skeleton {skeleton.name!r} has the joints "
                f"{', '.join(skeleton.joint_names)}"
            )
        return [order.index(name) for name in skeleton.joint_names]


def to_y(up: str) -> np.ndarray:
    """The rotation [3, 3] by a quarter or half turn that brings an axis to +Y."""
    rotations = {
        "x": [[0, -1, 0], [1, 0, 0], [0, 0, 1]],
        "-x": [[0, 1, 0], [-1, 0, 0], [0, 0, 1]],
        "y": [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
        "-y": [[1, 0, 0], [0, -1, 0], [0, 0, -1]],
        "z": [[1, 0, 0], [0, 0, 1], [0, -1, 0]],
        "-z": [[1, 0, 0], [0, 0, -1], [0, 1, 0]],
    }
    return np.array(rotations[up], float)


def read_order(given: str) -> tuple[str, ...]:
    """Joint names from a comma-separated list, or from a text file with one name per line.

    Raises:
      ValueError: neither a list nor a file that can be read.
    """
    if "," in given:
        return tuple(name.strip() for name in given.split(","))
    try:
        lines = reading.read_text(given).splitlines()
    except ValueError as error:
        raise ValueError(
            f"order {given!r} is neither a comma-separated list of joint names nor a text file "
            f"with one name per line ({error})"
        ) from error
    return tuple(line.strip() for line in lines if line.strip())
