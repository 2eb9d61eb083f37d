"""HumanML3D's convention for where a clip starts, where its floor is and which way it faces."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from motionalign.conventions.measured import Measured, across_body, empty_frames, facing_of
from motionalign.skeleton import Skeleton


@dataclasses.dataclass(frozen=True)
class Origin:
    """How far clips may be from HumanML3D's convention and still follow it.

    In HumanML3D, the root of the first frame is on the vertical axis, the lowest point of the clip
    is at Y = 0, and the body faces +Z in the first frame.

    Attributes:
      origin: distance of the root from the vertical axis in the first frame, over body height.
      floor: distance of the lowest point from Y = 0, over body height.
      facing: degrees between the facing direction of the first frame and `heading`.
      heading: degrees from +Z towards +X; 180 for data whose bodies face -Z.
    """

    origin: float = 1e-3
    floor: float = 1e-3
    facing: float = 0.5
    heading: float = 0.0

    def holds(self, found: Measured) -> bool:
        """Whether a clip follows the convention."""
        return (
            found.origin <= self.origin * found.height
            and abs(found.lowest) <= self.floor * found.height
            and self._turned(found) <= self.facing
        )

    def _turned(self, found: Measured) -> float:
        return abs((found.facing - self.heading + 180) % 360 - 180)

    @classmethod
    def of(cls, clips: Sequence[Measured]) -> "Origin | None":
        """The convention that a dataset's clips follow, as closely as they do; None if they do not.

        At least 99 % must start within 2 % of the body height of the vertical axis, stand as close
        to Y = 0, and face the same way to 15 degrees.
        """
        for heading in (0.0, 180.0):
            loose = cls(0.02, 0.02, 15.0, heading)
            inside = [clip for clip in clips if clip.height > 0 and loose.holds(clip)]
            if clips and len(inside) >= 0.99 * len(clips):
                strict = cls()
                reached = (
                    max(clip.origin / clip.height for clip in inside),
                    max(abs(clip.lowest) / clip.height for clip in inside),
                    max(loose._turned(clip) for clip in inside),
                )
                # A margin, so that rounding does not move a clip that is one of these.
                origin, floor, facing = (1.01 * value for value in reached)
                return cls(
                    max(strict.origin, origin),
                    max(strict.floor, floor),
                    max(strict.facing, facing),
                    heading,
                )
        return None

    def to_json(self) -> dict[str, float]:
        """The content of metadata."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Origin":
        """Inverse of `to_json`."""
        return cls(**{field.name: float(values[field.name]) for field in dataclasses.fields(cls)})


def canonical(
    joints: np.ndarray, skeleton: Skeleton, frames: int | None = None, heading: float = 0.0
) -> np.ndarray:
    """Moves and turns a clip as HumanML3D does.

    The root of the first frame comes onto the vertical axis, the lowest point to Y = 0, and the
    facing direction of the first frame to +Z. HumanML3D's code also scales the body to that of its
    example clip; this keeps the body.

    Args:
      joints: [T, J, 3], Y up.
      skeleton: the J joints.
      frames: only the first `frames` frames count for the lowest point; None: all. Frames with
        all joints at one point do not count, neither for the lowest point nor as the first.
      heading: the facing direction to make, in degrees from +Z towards +X.

    Returns:
      [T, J, 3] of the same dtype, or floating-point for integers.
    """
    body = np.asarray(joints, np.float64)
    tracked = body[:frames][~empty_frames(body[:frames])]
    if not len(tracked):
        tracked = body[:frames]
    turn = np.radians(facing_of(across_body(tracked[:1], skeleton)[0]) - heading)
    root = tracked[0, 0] * [1, 0, 1]
    floor = np.array([0, tracked[..., 1].min(), 0])
    cos, sin = np.cos(turn), np.sin(turn)
    around_y = np.array([[cos, 0, -sin], [0, 1, 0], [sin, 0, cos]])
    dtype = joints.dtype if joints.dtype.kind == "f" else np.result_type(joints, np.float32)
    return ((body - root - floor) @ around_y.T).astype(dtype)
