"""Why a clip is not what it should be.

A clip in another unit, with another axis up, mirrored, or with its joints in another order has the
right shape and finite numbers, and is still useless to a model. Every threshold here is ours: no
paper states one.
"""

import collections
import dataclasses
from collections.abc import Callable, Collection, Mapping
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from motionalign.conventions.declared import UNITS, Declared
from motionalign.conventions.measured import Measured

REASONS: Mapping[str, str] = MappingProxyType(
    {
        "zeros": "frames in which every joint is at one point: the body was not tracked",
        "frozen": "the body does not move at all in at least half of the clip",
        "order_implausible": "bones of changing or inhuman length: joints in another order?",
        "unit_implausible": "a body of inhuman size: another unit?",
        "axis_implausible": "the body never stands along the axis that should point up",
        "handedness": "toes and knees point backwards: left and right swapped, or mirrored",
    }
)
"""Why a clip is not what it should be, in the order in which `implausible` looks."""


@dataclasses.dataclass(frozen=True)
class Tolerance:
    """How much the measurements of a plausible clip vary, by its sensor.

    Attributes:
      bone_variation: standard deviation of a bone's length over its mean, of the least constant
        bone, at most.
      typical_variation: the same, of the median bone.
      asymmetry: length of a bone over that of its counterpart on the other side, at most.
      longest_bone: length of the longest bone over body height, at most.
      forwards: cosine of toes and knees with the facing direction, at least.
      knees: the same where a skeleton has no toes, so that knees alone tell left from right.
      empty: share of frames with all joints at one point, at most.
    """

    bone_variation: float
    typical_variation: float
    asymmetry: float
    longest_bone: float
    forwards: float
    knees: float
    empty: float


SENSORS: Mapping[str, Tolerance] = MappingProxyType(
    {
        # Marker and inertial systems, and fitted body models: bones are constant.
        "optical": Tolerance(0.2, 0.1, 1.4, 0.42, -0.3, -0.3, 0.0),
        # Depth cameras, and joints estimated from video: occluded joints jump.
        # Knees bend backwards in 3 % of SBU's clips: only a whole set is judged by them.
        "depth": Tolerance(np.inf, 0.4, 4.0, 0.5, -0.7, -np.inf, 0.1),
    }
)
"""Tolerances by kind of sensor."""

_HEIGHT = (0.7, 2.6)  # metres along the body, from a small child to more than any adult
_REPEATED = 0.5  # share of a clip in which nothing moves, from which it is frozen
FAST = 15.0  # metres per second of the fastest joint in the median frame, for a warning


@dataclasses.dataclass(frozen=True)
class Finding:
    """Why a clip is not what it should be.

    Attributes:
      reason: a key of `REASONS`.
      detail: what was found and what is expected.
      remedy: the option that would declare the clip as it is, and its value: ("unit", "cm").
    """

    reason: str
    detail: str
    remedy: tuple[str, str] | None = None

    def advice(self, option: Callable[[str, str], str] = "{}={!r}".format) -> str:
        """What to do about it; `option` writes an option with its value, as a flag for example."""
        accept = option("accept", self.reason)
        if self.reason == "order_implausible":
            order = option("order", "NAME,NAME,...")
            return f"If they have another, declare it: {order}; if the clip is right: {accept}"
        if self.remedy is None:
            return f"If the clip is right nevertheless: {accept}"
        return f"If so, declare it: {option(*self.remedy)}; if the clip is right: {accept}"


def as_flag(name: str, value: str) -> str:
    """An option as a command-line flag, for `Finding.advice`."""
    return f"--{name}={value}"


def implausible(
    found: Measured,
    unit_in_metres: float | None = 1.0,
    sensor: str = "optical",
    accept: Collection[str] = (),
    declared: Declared | None = None,
) -> Finding | None:
    """Why a clip cannot be joints with Y up in the given unit; None if it can.

    Args:
      found: the measured clip.
      unit_in_metres: the declared unit; None: unknown, so that sizes are not judged.
      sensor: a key of `SENSORS`.
      accept: reasons that are accepted.
      declared: the conventions from which the clip was converted, so that remedies replace them;
        None: it was not converted.
    """
    declared = declared or Declared()
    allowed = SENSORS[sensor]
    checks = {
        "zeros": lambda: _zeros(found, allowed),
        "frozen": lambda: _frozen(found),
        "order_implausible": lambda: _order(found, allowed),
        "unit_implausible": lambda: _unit_of(found, unit_in_metres, declared),
        "axis_implausible": lambda: _axis(found, declared),
        "handedness": lambda: _sides(found, allowed),
    }
    for reason, check in checks.items():
        if reason not in accept and (finding := check()) is not None:
            return finding
    return None


def _zeros(found: Measured, allowed: Tolerance) -> Finding | None:
    if found.empty <= allowed.empty:
        return None
    detail = f"all joints are at one point in {found.empty:.0%} of the frames, as if not tracked"
    return Finding("zeros", detail)


def _frozen(found: Measured) -> Finding | None:
    if found.repeated < _REPEATED:
        return None
    return Finding("frozen", f"no joint moves in {found.repeated:.0%} of the clip at a stretch")


def _order(found: Measured, allowed: Tolerance) -> Finding | None:
    wrong = None
    if found.bone_variation > allowed.bone_variation:
        wrong = f"a bone's length varies by {found.bone_variation:.0%}"
    elif found.typical_variation > allowed.typical_variation:
        wrong = f"the median bone's length varies by {found.typical_variation:.0%}"
    elif found.asymmetry > allowed.asymmetry:
        wrong = f"a bone is {found.asymmetry:.1f} times as long as on the other side"
    elif found.longest_bone > allowed.longest_bone:
        wrong = f"a bone is {found.longest_bone:.0%} of the body's height"
    elif found.spread < 0.35:
        wrong = f"the body never extends over more than {found.spread:.0%} of its bones' length"
    if wrong is None:
        return None
    return Finding("order_implausible", f"{wrong}, so the joints are not in the declared order")


def _unit_of(found: Measured, unit_in_metres: float | None, declared: Declared) -> Finding | None:
    if unit_in_metres is None:
        return None
    metres = found.height * unit_in_metres
    if _HEIGHT[0] <= metres <= _HEIGHT[1]:
        return None
    guess = guess_unit(declared.given_height(found.height, unit_in_metres))
    detail = (
        f"the body measures {metres:.3g} m along its bones; expected {_HEIGHT[0]} to {_HEIGHT[1]} m"
    )
    if guess is None:
        return Finding("unit_implausible", detail)
    return Finding("unit_implausible", f"{detail}. It looks like {guess}", ("unit", guess))


def guess_unit(height: float) -> str | None:
    """The unit in which a body of this height along its bones is human; None if there is none."""
    fits = {
        name: abs(np.log(height * metres / 1.6))
        for name, metres in UNITS.items()
        if height > 0 and _HEIGHT[0] <= height * metres <= _HEIGHT[1]
    }
    return min(fits, key=lambda name: fits[name]) if fits else None


def _axis(found: Measured, declared: Declared) -> Finding | None:
    if found.up in (None, "y") or found.upright > 0.1 or found.resting or found.kneeling > 0.5:
        return None
    up = declared.given_axis(found.up)
    detail = (
        f"the body stands along {up}, and neither lies at the height 0 nor is on all fours; "
        f"expected {declared.up} to point up"
    )
    return Finding("axis_implausible", detail, ("up", up))


def _sides(found: Measured, allowed: Tolerance) -> Finding | None:
    if found.forwards >= (allowed.forwards if found.toes else allowed.knees):
        return None
    detail = (
        "toes and knees point away from where hips and shoulders face, so left and right joints "
        "are swapped, or an axis is mirrored"
    )
    return Finding("handedness", detail)


def too_fast(found: Measured, fps: float, unit_in_metres: float | None) -> bool:
    """Whether joints move so fast that the frame rate, or the unit, is probably wrong."""
    return unit_in_metres is not None and found.speed * fps * unit_in_metres > FAST


def checked_reasons(accept: Collection[str]) -> tuple[str, ...]:
    """Reasons to accept; a ValueError names an unknown one and the known ones."""
    accept = [accept] if isinstance(accept, str) else accept
    if unknown := [reason for reason in accept if reason not in REASONS]:
        raise ValueError(f"accept={unknown[0]!r}; expected one of {', '.join(REASONS)}")
    return tuple(accept)


class Common(NamedTuple):
    """The most frequent finding where most clips are implausible.

    Attributes:
      finding: of the first clip that has it.
      count: number of implausible clips.
      reasons: how many have which reason, " (8 frozen, 3 zeros)"; "" if all have the same.
    """

    finding: Finding
    count: int
    reasons: str


def most_common(findings: Mapping[str, Finding], clips: int) -> Common | None:
    """The most frequent finding if more than half of `clips` clips are implausible, else None.

    Args:
      findings: those of the implausible clips, by clip id.
      clips: number of all clips.

    Returns:
      Of the clips with the most frequent reason, the finding of the first with their most frequent
      remedy; its detail names the clip.
    """
    if 2 * len(findings) <= clips:
        return None
    counts = collections.Counter(finding.reason for finding in findings.values()).most_common()
    reason = counts[0][0]
    of_reason = {name: each for name, each in findings.items() if each.reason == reason}
    remedies = collections.Counter(each.remedy for each in of_reason.values())
    remedy = remedies.most_common(1)[0][0]
    name, first = next((n, each) for n, each in of_reason.items() if each.remedy == remedy)
    reasons = f" ({', '.join(f'{n} {each}' for each, n in counts)})" if len(counts) > 1 else ""
    return Common(Finding(reason, f"{name}: {first.detail}", remedy), len(findings), reasons)
