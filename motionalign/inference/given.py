"""How a user's clips are given, and their conversion to the conventions of the training data."""

import dataclasses
import math
from collections.abc import Sequence
from typing import TypedDict

import numpy as np

from motionalign.conventions import (
    SENSORS,
    Declared,
    Finding,
    Measured,
    Origin,
    canonical,
    read_order,
)
from motionalign.conventions.findings import checked_reasons, implausible
from motionalign.conventions.measured import measure
from motionalign.data.dataset import Metadata
from motionalign.data.representation import Representation, check_clip

_SCALE = 6.0  # between bodies of training data, at most; metres to centimetres are 100
CANONICAL = ("as trained", "always", "never")


class Conventions(TypedDict, total=False):
    """Keyword arguments of `Model.encode_motion` and its kin; see `Given`."""

    unit: str | None
    up: str
    order: Sequence[str] | str | None
    canonical: str
    accept: Sequence[str]
    sensor: str | None


class ImplausibleClip(ValueError):
    """A clip is not what it should be; `finding` says why."""

    def __init__(self, finding: Finding, where: str = "") -> None:
        """`finding`: what was found; `where`: in what of the clip, such as "person 1: "."""
        super().__init__(f"{where}{finding.reason}: {finding.detail}. {finding.advice()}")
        self.finding = finding


@dataclasses.dataclass(frozen=True)
class Given:
    """The conventions in which clips are given.

    Attributes:
      declared: unit, axes and joint order, where they are not those of the training data.
      canonical: whether clips are moved and turned as HumanML3D does (first frame on the vertical
        axis and facing +Z, lowest point at Y = 0): "as trained", if the training data are so;
        "always" or "never". A clip that follows the convention already stays as it is, bit for
        bit. Of a clip longer than the model reads, the lowest point is that of the frames read.
      accept: findings of `conventions.REASONS` that are no errors, besides those that the training
        data have.
      sensor: a key of `conventions.SENSORS`, by which clips are judged; None: that of the training
        data.
    """

    declared: Declared = dataclasses.field(default_factory=Declared)
    canonical: str = CANONICAL[0]
    accept: tuple[str, ...] = ()
    sensor: str | None = None

    @classmethod
    def of(
        cls,
        unit: str | None = None,
        up: str = "y",
        order: Sequence[str] | str | None = None,
        canonical: str = CANONICAL[0],
        accept: Sequence[str] = (),
        sensor: str | None = None,
    ) -> "Given":
        """From the keyword arguments of `Conventions`.

        Raises:
          ValueError: a value is unknown.
        """
        if canonical not in CANONICAL:
            raise ValueError(f"canonical={canonical!r}; expected one of {', '.join(CANONICAL)}")
        if sensor is not None and sensor not in SENSORS:
            raise ValueError(f"sensor={sensor!r}; expected one of {', '.join(SENSORS)}")
        if isinstance(order, str):
            order = read_order(order)
        declared = Declared(unit, up, None if order is None else tuple(order))
        return cls(declared, canonical, checked_reasons(accept), sensor)

    def check(self, metadata: Metadata, input: Representation) -> None:
        """Raises a ValueError if no clip of this input can be given so.

        Args:
          metadata: of the training dataset.
          input: the representation that the model reads.
        """
        if input.of_positions and metadata.skeleton.dims == 3:
            self.declared.check(metadata.skeleton, metadata.unit_in_metres)
        elif self.declared != Declared() or self.canonical == "always":
            what = "rotations" if not input.of_positions else "joints in two dimensions"
            raise ValueError(
                f"this model reads {what}, which have no unit, up, order or canonical to declare: "
                "leave these out"
            )

    def converted(
        self, joints: np.ndarray, fps: float, metadata: Metadata, input: Representation
    ) -> np.ndarray:
        """Joints [T, J', 3] as given to [T, J, 3] in the conventions of the training data.

        Rotations and joints in two dimensions have no such conventions and stay as they are. For a
        representation of several persons, a clip may be [T, M, J', 3], where who is not there is
        zeros; each person is judged by itself.

        Args:
          joints: the clip.
          fps: its frames per second.
          metadata: of the training dataset.
          input: the representation that the model reads.

        Raises:
          ImplausibleClip: the clip is not what it should be.
          ValueError: the clip has another shape or is not finite.
        """
        self.check(metadata, input)
        skeleton = metadata.skeleton
        if not input.of_positions or skeleton.dims != 3:
            return joints
        if input.of_persons and joints.ndim == 4:
            return self._persons(joints, fps, metadata, input)
        expected = (self.declared.num_joints(skeleton), 3)
        check_clip(joints, fps, expected, metadata, self.declared.order is not None)
        joints = self.declared.convert(joints, skeleton, metadata.unit_in_metres)
        found = measure(joints, skeleton)
        accept = {*self.accept, *metadata.accepted}
        sensor = self.sensor or metadata.sensor
        finding = implausible(found, metadata.unit_in_metres, sensor, accept, self.declared)
        finding = finding or self._other_scale(found, metadata)
        if finding is not None:
            raise ImplausibleClip(finding)
        origin = self._origin(metadata)
        if origin is None or origin.holds(found):
            return joints
        # Patches are read from the start; other inputs may be a stretch of the complete clip.
        read = None if input.of_frames else math.ceil(input.max_frames * fps / metadata.fps)
        if read is not None and origin.holds(_start(found, joints[:read])):
            return joints
        return canonical(joints, skeleton, read, origin.heading)

    def _persons(
        self, joints: np.ndarray, fps: float, metadata: Metadata, input: Representation
    ) -> np.ndarray:
        """`converted` for a clip [T, M, J', 3]; several persons keep their places."""
        there = np.asarray(joints.any(axis=(2, 3)))
        present = np.flatnonzero(there.any(axis=0))
        if not len(present):
            raise ValueError("a clip has no person: all of its joints are zeros")
        one = self
        if len(present) > 1:
            if self.canonical == "always":
                raise ValueError(
                    f"canonical='always' moves and turns one person; a clip has {len(present)}, "
                    "who would lose their distance: leave it out"
                )
            one = dataclasses.replace(self, canonical="never")
        out: np.ndarray | None = None
        for person in present:
            frames, where = there[:, person], f"person {person}: " if len(present) > 1 else ""
            try:
                own = one.converted(joints[frames, person], fps, metadata, input)
            except ImplausibleClip as error:
                raise ImplausibleClip(error.finding, where) from None
            except ValueError as error:
                raise ValueError(f"{where}{error}") from error
            if out is None:
                out = np.zeros((*joints.shape[:2], *own.shape[1:]), own.dtype)
            out[frames, person] = own
        assert out is not None
        return out

    def _other_scale(self, found: Measured, metadata: Metadata) -> Finding | None:
        """Whether a clip has another scale than training data that were not judged by size.

        The mean joints of training are a body too, one that is shrunk where clips differ. Its
        extent is that of a body to a factor of a few, which tells centimetres from metres.
        """
        judged = metadata.unit_in_metres is not None
        if "unit_implausible" in self.accept or (
            judged and "unit_implausible" not in metadata.accepted
        ):
            return None
        extent = float(np.ptp(metadata.mean, axis=0).max())
        if not extent or 1 / _SCALE < found.height / extent < _SCALE:
            return None
        detail = (
            f"the body measures {found.height:.3g} along its bones, the mean body of training "
            f"{extent:.3g}, so the joints are in another unit than the training data"
        )
        return Finding("unit_implausible", detail)

    def _origin(self, metadata: Metadata) -> Origin | None:
        if self.canonical == "never":
            return None
        return metadata.origin or (Origin() if self.canonical == "always" else None)


def _start(found: Measured, joints: np.ndarray) -> Measured:
    """The measurements with the lowest point of the first frames only."""
    return dataclasses.replace(found, lowest=float(joints[..., 1].min()))
