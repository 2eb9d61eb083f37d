"""Checks of what several formats state in the same way: rates, names, trees, positions."""

import numbers
from collections.abc import Sequence
from typing import Any

import numpy as np

from motionalign.formats.motion import sorted_tree

HIGHEST = 1e9  # of numbers, rates and units: beyond any that is meant


def rate(value: Any, where: str) -> float:
    """Frames per second as a float.

    Args:
      value: a number, or an array with one.
      where: the file and its field, for the message.

    Raises:
      ValueError: it is not one positive number, or beyond `HIGHEST`.
    """
    if isinstance(value, np.ndarray) and value.size == 1 and value.dtype.kind in "fiu":
        value = value.item()
    fits = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if not (fits and 0 < value < HIGHEST):
        found = _described(value)
        raise ValueError(f"{where} is {found}; expected a positive number of frames per second")
    return float(value)


def names(values: Sequence[Any] | np.ndarray, where: str) -> tuple[str, ...]:
    """Distinct names, of a list or of an array of texts.

    Raises:
      ValueError: they are no texts, one is empty, or two are the same.
    """
    if isinstance(values, np.ndarray):
        if values.ndim != 1 or values.dtype.kind not in "US":
            raise ValueError(f"{where} is {_described(values)}; expected a list of texts")
        if values.dtype.kind == "S":
            values = np.char.decode(values, "utf-8", "replace")
        values = values.tolist()
    found = tuple(values)
    if not found:
        raise ValueError(f"{where} is empty")
    for index, name in enumerate(found):
        if not isinstance(name, str) or not name.strip():
            raise ValueError(f"{where}[{index}] is {name!r}; expected a name")
    if len(set(found)) < len(found):
        twice = next(name for name in found if found.count(name) > 1)
        raise ValueError(f"{where} has {twice!r} more than once; names must be distinct")
    return found


def tree(parents: Any, joint_names: Sequence[str], where: str) -> tuple[list[int], tuple[int, ...]]:
    """The order of joints in which parents come first, and the parents in this order.

    Args:
      parents: for each joint the index of its parent; -1 or its own index for a root.
      joint_names: of the joints, for the messages.
      where: the file and its field.

    Returns:
      The indices of the joints in their new order, and the parents as indices of that order.

    Raises:
      ValueError: the number of parents is not that of the joints, an index is none, or the parents
        form a circle.
    """
    values = np.asarray(parents)
    count = len(joint_names)
    if values.shape != (count,) or values.dtype.kind not in "iu":
        raise ValueError(
            f"{where} is {_described(values)}; expected {count} indices, one for each joint, -1 "
            "for a root"
        )
    own = np.arange(count)
    given = np.where(values == own, -1, values.astype(np.int64)).tolist()
    for index, parent in enumerate(given):
        if not -1 <= parent < count:
            raise ValueError(
                f"{where}: joint {index} ({joint_names[index]}) has the parent {parent}; expected "
                f"0 to {count - 1}, or -1 for a root"
            )
    try:
        order = sorted_tree(given)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error
    place = {joint: index for index, joint in enumerate(order)}
    return order, tuple(place[given[joint]] if given[joint] >= 0 else -1 for joint in order)


def array(values: Sequence[Any]) -> np.ndarray | None:
    """A JSON list as an array, of objects unless all are numbers; None: its lists are uneven.

    NumPy would make every number as wide as the longest text beside it, which may be a megabyte.
    """
    found = np.array(values, object)
    kinds = {type(each) for each in found.flat}
    if list in kinds:
        return None
    return np.array(values) if kinds <= {int, float} else found


def finite(values: np.ndarray, where: str) -> np.ndarray:
    """Measurements as float64; NaN, which stands for "not measured", is left.

    Raises:
      ValueError: they are not real numbers, or one is infinite or beyond `HIGHEST`.
    """
    if values.dtype.kind not in "fiu":
        raise ValueError(f"{where} has the type {values.dtype}; expected numbers")
    out = values.astype(np.float64)
    wrong = np.abs(out) > HIGHEST
    if wrong.any():
        first = tuple(int(index) for index in np.argwhere(wrong)[0])
        found = "infinite" if np.isinf(out[first]) else f"{out[first]:g}"
        raise ValueError(
            f"{where} is {found} at {list(first)}, which is no measurement; what was not measured "
            "is NaN"
        )
    return out


def image(values: np.ndarray, down: bool = True) -> np.ndarray:
    """Points (x, y, confidence) of an image as `Motion.positions` has them in 2D.

    Args:
      values: [..., 3]; a point at (0, 0) with confidence 0 was not detected.
      down: whether y points down, as detectors have it.

    Returns:
      A copy with y up, whose x and y are NaN where a point was not detected.
    """
    out = values * np.array([1.0, -1.0 if down else 1.0, 1.0])
    missing = (values == 0).all(axis=-1)
    out[missing, :2] = np.nan
    return out


def counted(number: int, what: str) -> str:
    """A number with its noun: "1 frame", "2 frames"."""
    return f"{number:,} {what}{'s' * (number != 1)}"


def _described(value: Any) -> str:
    """What was found, in a few words."""
    if isinstance(value, np.ndarray) and value.size != 1:
        return f"{value.dtype} {list(value.shape)}"
    text = repr(value.item() if isinstance(value, np.ndarray) else value)
    return text if len(text) <= 60 else text[:57] + "..."
