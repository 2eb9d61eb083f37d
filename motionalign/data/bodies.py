"""Joints of one or several persons, resized to a fixed number of frames: the input of LLM-AR.

As CTR-GCN prepares NTU RGB+D (Chen et al., 2021; its `feeders/tools.py`), a clip of any length is
resized linearly to F frames: in training a random part of it, in evaluation the centred 95 %. The
origin is the root of the first person in the first frame. Turning clips to one facing direction is
ours.
"""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from ml_collections import ConfigDict

from motionalign.config import Entry, Field
from motionalign.conventions.measured import landmarks
from motionalign.data.dataset import Metadata
from motionalign.data.representation import Batch, RowRandom, check_clip, turning
from motionalign.data.resample import resample
from motionalign.skeleton import Skeleton

EVALUATED = 0.95  # share of a clip that is used in evaluation, as in CTR-GCN

FIELDS = {
    "data.bodies.shortest": Field(
        0.5,
        "Share of a clip that a training crop has at least; 1: training uses complete clips.",
        above=0,
        high=1,
    ),
    "data.bodies.turn": Field(
        0.0,
        "Largest angle in degrees by which training clips are turned around the vertical axis.",
        low=0,
        high=180,
    ),
    "data.bodies.scale": Field(
        0.0, "Training clips are scaled by a random factor of 1 ± scale.", low=0, below=1
    ),
    "data.bodies.mirror": Field(
        0.0, "Share of training clips in which left and right are exchanged.", low=0, high=1
    ),
    "data.bodies.noise": Field(
        0.0,
        "Standard deviation in metres of noise on every joint of training clips, the same in all "
        "frames.",
        low=0,
        high=1,
    ),
}
"""Config fields of the augmentation; the architectures that read bodies declare them."""


@dataclasses.dataclass(frozen=True)
class BodiesConfig:
    """What a model reads of a clip; part of its architecture.

    Attributes:
      joints: J.
      persons: M, the most persons of a clip. With fewer, the others are zeros.
      frames: F.
      root: joint whose position in the first frame becomes the origin.
      left, right: the joints whose means are the left and the right side of the body, hips and
        shoulders.
      face: whether clips are turned so that the first person faces +Z, on average over the frames.
    """

    joints: int
    persons: int
    frames: int
    root: int
    left: tuple[int, ...]
    right: tuple[int, ...]
    face: bool

    def __post_init__(self) -> None:
        valid = range(self.joints)
        if self.persons < 1 or self.frames < 2 or self.root not in valid:
            raise ValueError(
                f"bodies of {self.joints} joints, {self.persons} persons, {self.frames} frames and "
                f"root {self.root}; expected at least one person, 2 frames, and a joint as root"
            )
        if not all(joint in valid for joint in (*self.left, *self.right)):
            raise ValueError(f"left or right is not one of the {self.joints} joints")

    @classmethod
    def of(cls, skeleton: Skeleton, persons: int, frames: int, face: bool) -> "BodiesConfig":
        """The input for clips of a skeleton.

        Raises:
          ValueError: the skeleton has joints in two dimensions.
        """
        if skeleton.dims != 3:
            raise ValueError(
                f"skeleton {skeleton.name!r} has 2D joints; motion tokens need joints in 3D"
            )
        found = landmarks(skeleton)
        sides = list(zip(found.hips, found.shoulders, strict=True))
        return cls(
            skeleton.num_joints, persons, frames, root=0, left=sides[0], right=sides[1], face=face
        )

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "BodiesConfig":
        """Inverse of `dataclasses.asdict`, also after JSON; wrong names raise a ValueError."""
        names = {field.name for field in dataclasses.fields(cls)}
        if not isinstance(values, Mapping) or set(values) != names:
            raise ValueError(f"bodies must have exactly the fields {', '.join(sorted(names))}")
        sides: dict[str, Any] = {name: tuple(values[name]) for name in ("left", "right")}
        return cls(**{**values, **sides})


@dataclasses.dataclass(frozen=True)
class Bodies:
    """Joints [F, M, J, 3] float32 in metres, Y up; see `BodiesConfig` and the module's docstring.

    Attributes:
      config: what the model reads.
      shortest, turn, scale, mirror, noise: augmentation of training clips; see `FIELDS`.
    """

    field: ClassVar[str] = "bodies"
    of_frames: ClassVar[bool] = False
    of_positions: ClassVar[bool] = True
    of_persons: ClassVar[bool] = True
    raw_field: ClassVar[str] = "joints"
    raw_shape: ClassVar[str] = "[frames, joints, 3], or [frames, persons, joints, 3]"
    part_seen: ClassVar[str] = "all but the first and last fortieth"
    by_statistics: ClassVar[bool] = False
    by_length: ClassVar[bool] = False
    entry: ClassVar[Entry] = Entry()
    max_frames: ClassVar[int] = 2**31 - 1  # clips of any length are resized

    config: BodiesConfig
    shortest: float = 1.0
    turn: float = 0.0
    scale: float = 0.0
    mirror: float = 0.0
    noise: float = 0.0

    def for_training(self, data: ConfigDict) -> "Bodies":
        """A copy with the augmentation of a run."""
        return dataclasses.replace(self, **data.bodies.to_dict())

    def check(self, metadata: Metadata) -> None:
        """See `Representation.check`."""
        skeleton = metadata.skeleton
        if skeleton.num_joints != self.config.joints or skeleton.dims != 3:
            raise ValueError(
                f"dataset {metadata.name!r} has {skeleton.num_joints} joints in {skeleton.dims}D "
                f"(skeleton {skeleton.name!r}); the model reads {self.config.joints} joints in 3D"
            )
        if metadata.unit_in_metres != 1:
            found = metadata.unit_in_metres
            unit = "no known unit" if found is None else f"joints in units of {found:g} m"
            raise ValueError(
                f"dataset {metadata.name!r} has {unit}; motion tokens need metres. Prepare the "
                "dataset again with its unit declared"
            )

    def read(self, record: Mapping[str, Any], raw: bool = False) -> np.ndarray:
        """See `Representation.read`: joints [T, M, J, 3]."""
        return record["joints"]

    def prepare(self, joints: np.ndarray, fps: float, metadata: Metadata) -> np.ndarray:
        """Joints [T, J, 3] or [T, M, J, 3] to [T', M, J, 3] at the dataset's frame rate."""
        joints = np.asarray(joints)
        if joints.ndim == 3:
            joints = joints[:, None]
        if joints.ndim != 4 or not joints.shape[1]:
            raise ValueError(f"a clip has shape {joints.shape}; expected {self.raw_shape}")
        for person in range(joints.shape[1]):
            check_clip(joints[:, person], fps, (self.config.joints, 3), metadata)
        self._check_persons(_seen(joints, (0, 2, 3)))
        return resample(joints, fps, metadata.fps).astype(np.float32)

    def example(self, metadata: Metadata, frames: int) -> np.ndarray:
        """See `Representation.example`: the mean pose, turning around."""
        return turning(metadata, frames)

    def sample(self, clip: np.ndarray, random: RowRandom, metadata: Metadata) -> np.ndarray:
        """A random part of a record's clip, augmented, as [F, M, J, 3]."""
        rng = random.generator
        share = rng.uniform(self.shortest, 1.0)
        joints = self._placed(clip, share, start=rng.random())
        there = _seen(joints, (0, 2, 3))
        if self.scale:
            joints = joints * np.float32(rng.uniform(1 - self.scale, 1 + self.scale))
        if self.mirror and rng.random() < self.mirror:
            joints = metadata.skeleton.mirrored(joints)
        if self.turn:
            joints = _turned(joints, np.radians(rng.uniform(-self.turn, self.turn)))
        if self.noise:
            offset = rng.normal(0, self.noise, (1, *joints.shape[1:])).astype(np.float32)
            joints = joints + offset * there[:, None, None]
        return joints

    def window(self, clip: np.ndarray) -> np.ndarray:
        """The centred 95 % of a record's clip, as [F, M, J, 3]."""
        return self._placed(clip, EVALUATED, start=0.5)

    def as_prepared(self, own: Metadata | None, theirs: Metadata, fps: float) -> bool:
        """See `Representation.as_prepared`; always False, as the frame rates may differ."""
        return False

    def frames(self, num_frames: np.ndarray) -> np.ndarray:
        """Always F."""
        return np.full_like(num_frames, self.config.frames)

    def padded(self, frames: np.ndarray) -> int:
        """Always F."""
        return self.config.frames

    def stack(self, clips: Sequence[np.ndarray], padded: int) -> Batch:
        """`bodies` [B, F, M, J, 3] and `persons` [B, M] bool, which of the persons are there."""
        bodies = np.stack(clips)
        return {self.field: bodies, "persons": _seen(bodies, (1, 3, 4))}

    def _placed(self, clip: np.ndarray, share: float, start: float) -> np.ndarray:
        """[F, M, J, 3] of a part of a clip [T, m, J, 3]: resized, moved and turned.

        Args:
          clip: the clip; persons of zeros are absent, as are those of zeros in single frames.
          share: length of the part, over that of the clip.
          start: where it begins: 0 at the first possible frame, 1 at the last.
        """
        clip = np.asarray(clip)
        there = _seen(clip, (2, 3))  # [T, m]
        clip, there = self._persons(clip, there)
        length = max(1, round(len(clip) * share))
        first = int(start * (len(clip) - length + 1)) if start < 1 else len(clip) - length
        joints, seen = clip[first : first + length], there[first : first + length]
        # A person who leaves the part at once is absent, others stay where they are last seen.
        joints = np.where(_seen(seen, (0,))[:, None, None], _held(joints, seen), 0)
        joints = resize(joints.astype(np.float32), self.config.frames)
        present = _seen(joints, (0, 2, 3))
        if not present.any():
            return joints
        one = int(present.argmax())
        joints = joints - joints[0, one, self.config.root]
        if self.config.face:
            across = self._across(joints[:, one])
            joints = _turned(joints, np.arctan2(across[2], across[0]))
        return joints * present[:, None, None]

    def _across(self, joints: np.ndarray) -> np.ndarray:
        """[3]: from the right to the left side of a body [F, J, 3], on average over the frames."""
        left, right = (joints[:, list(side)] for side in (self.config.left, self.config.right))
        return (left.mean(axis=1) - right.mean(axis=1)).mean(axis=0)

    def _check_persons(self, there: np.ndarray) -> None:
        """Raises a ValueError if a clip has more persons than the model reads."""
        if there.sum() > self.config.persons:
            raise ValueError(
                f"a clip has {there.sum()} persons; the model reads {self.config.persons}. Set "
                "config.model.tokenizer.persons in the training of the tokenizer"
            )

    def _persons(self, clip: np.ndarray, there: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The clip and who is there, padded to M persons; without those who are never there."""
        ever = _seen(there, (0,))
        self._check_persons(ever)
        if not ever.all() or clip.shape[1] != self.config.persons:
            missing = self.config.persons - int(ever.sum())
            clip = np.pad(clip[:, ever], ((0, 0), (0, missing), (0, 0), (0, 0)))
            there = np.pad(there[:, ever], ((0, 0), (0, missing)))
        return clip, there


def _seen(joints: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
    """Whether any value along these axes is not zero; absent persons are zeros."""
    return np.asarray(joints.any(axis=axes))


def _held(joints: np.ndarray, there: np.ndarray) -> np.ndarray:
    """Joints [T, M, J, 3] where absent frames repeat the nearest earlier one, or the first."""
    if there.all():
        return joints
    frame = np.arange(len(joints))[:, None]
    before = np.maximum.accumulate(np.where(there, frame, -1), axis=0)
    index = np.where(before < 0, there.argmax(axis=0), before)
    return np.take_along_axis(joints, index[:, :, None, None], axis=0)


def _turned(joints: np.ndarray, angle: float) -> np.ndarray:
    """Joints [..., 3] turned around the vertical axis: the direction (cos, 0, sin) becomes +X."""
    cos, sin = np.cos(angle), np.sin(angle)
    rotation = np.array([[cos, 0, sin], [0, 1, 0], [-sin, 0, cos]], np.float32)
    return joints @ rotation.T


def resize(joints: np.ndarray, frames: int) -> np.ndarray:
    """Joints [T, ...] resized linearly in time to [frames, ...].

    As CTR-GCN resizes (PyTorch's `interpolate` without `align_corners`): both cover the same span,
    of which a frame is the middle of its share.
    """
    left, fraction = _positions(len(joints), frames)
    fraction = fraction.astype(joints.dtype).reshape(-1, *[1] * (joints.ndim - 1))
    right = np.minimum(left + 1, len(joints) - 1)
    return joints[left] * (1 - fraction) + joints[right] * fraction


@functools.lru_cache(maxsize=4096)
def _positions(length: int, frames: int) -> tuple[np.ndarray, np.ndarray]:
    position = np.clip((np.arange(frames) + 0.5) * length / frames - 0.5, 0, length - 1)
    left = np.minimum(position.astype(int), max(length - 2, 0))
    return left, position - left
