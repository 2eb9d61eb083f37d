"""An account of many clips, and whether most of them are what they should be."""

from collections.abc import Collection
from typing import Any

import numpy as np

from motionalign.conventions.declared import Declared
from motionalign.conventions.findings import (
    FAST,
    SENSORS,
    Common,
    Finding,
    checked_reasons,
    implausible,
    most_common,
    too_fast,
)
from motionalign.conventions.measured import Measured, measure
from motionalign.conventions.origin import Origin, canonical
from motionalign.skeleton import Skeleton


class Census:
    """Measures many clips and keeps an account of them."""

    def __init__(
        self,
        skeleton: Skeleton,
        unit_in_metres: float | None,
        sensor: str = "optical",
        accept: Collection[str] = (),
        declared: Declared | None = None,
        canonical: bool = False,
    ) -> None:
        """Starts an empty account.

        Args:
          skeleton: that of all clips.
          unit_in_metres, sensor, accept, declared: see `implausible`.
          canonical: whether plausible clips are moved and turned to HumanML3D's origin after they
            have been judged; their measurements are those of the result.

        Raises:
          ValueError: `sensor` or one of `accept` is unknown.
        """
        if sensor not in SENSORS:
            raise ValueError(f"sensor {sensor!r}; expected one of {', '.join(SENSORS)}")
        self.skeleton = skeleton
        self.unit_in_metres = unit_in_metres
        self.sensor = sensor
        self.accept = checked_reasons(accept)
        self.declared = declared
        self.canonical = canonical
        self.clips: dict[str, Measured] = {}
        self.findings: dict[str, Finding] = {}
        self.fast: list[str] = []

    def add(self, name: str, joints: np.ndarray, fps: float) -> Finding | None:
        """Measures joints [T, J, 3] of one person; returns why they are implausible, if so.

        Joints in two dimensions are not measured: they have no unit, floor or facing.
        """
        if self.skeleton.dims != 3:
            return None
        found = measure(joints, self.skeleton)
        finding = implausible(found, self.unit_in_metres, self.sensor, self.accept, self.declared)
        if self.canonical and finding is None:
            found = measure(canonical(joints, self.skeleton), self.skeleton)
        self.clips[name] = found
        if finding is not None:
            self.findings[name] = finding
        elif too_fast(found, fps, self.unit_in_metres):
            self.fast.append(name)
        return finding

    def verdict(self, names: Collection[str]) -> Common | None:
        """Why most of these clips are not what they should be; None if they are not so.

        Noisy joints often do not tell left from right in a single clip; the median of at least 20
        clips does.
        """
        names = [name for name in dict.fromkeys(names) if name in self.clips]
        findings = {name: self.findings[name] for name in names if name in self.findings}
        if (common := most_common(findings, len(names))) is not None:
            return common
        if len(names) < 20 or "handedness" in self.accept:
            return None
        forwards = float(np.median([self.clips[name].forwards for name in names]))
        if forwards > -0.15:
            return None
        detail = (
            f"toes and knees point away from where hips and shoulders face (median cosine "
            f"{forwards:.2f}), so left and right joints are swapped, or an axis is mirrored"
        )
        return Common(Finding("handedness", detail), len(names), "")

    @property
    def origin(self) -> Origin | None:
        """The convention for the origin that the plausible clips follow; see `Origin.of`."""
        return Origin.of([clip for name, clip in self.clips.items() if name not in self.findings])

    def report(self) -> dict[str, Any]:
        """What was declared, and the measurements of every clip, for report.json."""
        metres = self.unit_in_metres or 1.0
        return {
            "sensor": self.sensor,
            "accepted": list(self.accept),
            "columns": list(_COLUMNS),
            "clips": {name: _row(self.clips[name], metres) for name in sorted(self.clips)},
        }

    def lines(self) -> list[str]:
        """A summary of the clips, for tables."""
        if not self.clips:
            return []
        sound = [clip for name, clip in self.clips.items() if name not in self.findings]
        heights = np.array([clip.height for clip in sound or self.clips.values()])
        low, middle, high = np.quantile(heights * (self.unit_in_metres or 1.0), [0, 0.5, 1])
        unit = "unknown unit" if self.unit_in_metres is None else "m"
        origin = self.origin
        makes = "" if self.declared is None else " (--canonical makes it)"
        follow = f"not HumanML3D's{makes}"
        if origin is not None:
            follow = (
                f"HumanML3D's, facing {'+Z' if origin.heading == 0 else '-Z'} to within "
                f"{origin.facing:.2g} degrees"
            )
        lines = [
            f"bodies: {low:.2f}/{middle:.2f}/{high:.2f} {unit} from toes to head along their bones "
            f"(min/median/max); {self.sensor} sensor; origin: {follow}"
        ]
        if self.fast:
            lines.append(
                f"warning: in {len(self.fast)} clips joints move faster than {FAST:g} m/s, for "
                f"example {self.fast[0]}: is the frame rate right?"
            )
        return lines


_COLUMNS = ("height_m", "up", "forwards", "lowest_m", "origin_m", "facing_deg", "bone_variation",
            "repeated", "empty", "speed_m_per_frame")  # fmt: skip


def _row(found: Measured, metres: float) -> list[float | str | None]:
    """A clip's row of a report, in the order of `_COLUMNS`."""
    numbers = (
        found.forwards,
        found.lowest * metres,
        found.origin * metres,
        found.facing,
        found.bone_variation,
        found.repeated,
        found.empty,
        found.speed * metres,
    )
    return [round(found.height * metres, 4), found.up, *(round(x, 4) for x in numbers)]
