"""A body as it was found in a motion: which of its joints are which parts of a human."""

import dataclasses
from collections.abc import Mapping
from typing import NamedTuple

from motionalign.conventions import Finding
from motionalign.skeleton import PARTS, ROLES, SIDES

__all__ = ("PARTS", "ROLES", "SIDES", "Body", "NotHuman", "Point")


class Point(NamedTuple):
    """A point of a body.

    Attributes:
      name: unique; the file's joint name where it is one of its joints.
      weights: ((joint of the file, weight), ...), whose sum is 1: one joint, or a mean of markers.
      parent: index of a point before this one; -1: the root.
      role: one of `ROLES`; None: between two that have one, such as a joint of the spine.
    """

    name: str
    weights: tuple[tuple[int, float], ...]
    parent: int
    role: str | None = None


@dataclasses.dataclass(frozen=True)
class Body:
    """What was found in a motion.

    Attributes:
      kind: "human", or what it is instead: "hand", "face", "camera", "prop", "animal", "upper
        body", "unknown", ...
      why: a sentence on how that is known.
      convention: the naming of the joints, such as "Mixamo"; "by the tree" where no name is known.
      points: of the body, the root (pelvis) first; fingers, faces and helpers are left out.
      chains: the points of each of `skeleton.PARTS`, from the torso outwards, as in Motion Patches
        (§3.2): legs and torso start at the pelvis, arms at the chest. Of a rig found by names or by
        the tree, a leg is pelvis, hip, knee, ankle, and foot and toe where there are; an arm is
        chest, collar where there is one away from the chest, shoulder, elbow, wrist, and hand where
        there is one; the torso has all joints from the pelvis to the head, and the head's end. A
        joint at the place of the one before it is left out. Empty unless `kind` is "human".
      unit_in_metres: the unit of the positions; None: unknown, as in 2D.
      unit_known: how the unit is known: "declared" by the user, "stated" by the file, "by height";
        "" where it is unknown.
      up: the axis that points up, a key of `conventions.AXES`; None in 2D, or if it is unknown.
      up_known: how the axis is known: "declared", "stated", "by the body", "by the rest pose", or
        "assumed"; "" where it is unknown.
      height: of the body standing straight, from the soles to the top of the head, in metres; that
        of the head is estimated where no point is its top. None: unknown.
      left_out: {group: names} of the file's joints that are no points, in the groups "fingers",
        "face", "ends" of bones, and "helpers", which are all others.
      finding: why the clip is not what it should be, of `conventions.implausible`; None: it is.
      notes: what was assumed, one sentence each.
      sensor: how steady the joints are, a key of `conventions.SENSORS`: "depth" for joints of depth
        cameras and for keypoints found in images.
    """

    kind: str
    why: str
    convention: str
    points: tuple[Point, ...] = ()
    chains: Mapping[str, tuple[int, ...]] = dataclasses.field(default_factory=dict)
    unit_in_metres: float | None = None
    unit_known: str = ""
    up: str | None = None
    up_known: str = ""
    height: float | None = None
    left_out: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    finding: Finding | None = None
    notes: tuple[str, ...] = ()
    sensor: str = "optical"

    def __post_init__(self) -> None:
        """Checks that the fields fit together."""
        assert not self.chains or tuple(self.chains) == PARTS, self.chains
        for index, point in enumerate(self.points):
            assert -1 <= point.parent < index and (point.parent >= 0) == (index > 0), point
            assert abs(sum(weight for _, weight in point.weights) - 1) < 1e-6, point
            assert point.role is None or point.role in ROLES, point

    @property
    def roles(self) -> dict[str, int]:
        """{role: index of its point}."""
        return {point.role: i for i, point in enumerate(self.points) if point.role}


class NotHuman(ValueError):
    """A motion is not that of a human body; `body` says what it is."""

    def __init__(self, message: str, body: Body) -> None:
        """`body`: what was found."""
        super().__init__(message)
        self.body = body
