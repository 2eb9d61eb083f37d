"""Motion representations, the inputs of motion encoders: motion patches, joints or rotations.

A representation implements every step from a record, or a user's clip, to the arrays of a batch:
what of a record is read, whether a dataset has it, how a raw clip is converted, which frames
training and evaluation use, and how clips are stacked. An encoder's config names its
representation (`input`); `REPRESENTATIONS` maps names to classes.
"""

import dataclasses
import functools
import operator
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Protocol

import numpy as np
from ml_collections import ConfigDict

from motionalign.config import Entry
from motionalign.data.augment import (
    WINDOWS,
    Augmentation,
    frame_indices,
    inference_indices,
    mirror,
)
from motionalign.data.dataset import Metadata
from motionalign.data.records import Split
from motionalign.data.resample import check_fps, nearest_frames, resample
from motionalign.formats import smplh
from motionalign.patches import motion_patches
from motionalign.skeleton import Skeleton, shape_advice

Batch = dict[str, np.ndarray]

# The part of a longer clip that each window selects, for messages.
_PARTS = dict(zip(WINDOWS, ("start", "middle", "frames spread over them"), strict=True))


class RowRandom:
    """The randomness of one row of a training batch.

    Attributes:
      share: uniform in [0, 1), drawn together with those of the other rows of the global batch.
    """

    def __init__(self, share: float, seed: tuple[int, ...]) -> None:
        """`seed`: seed of the row's own generator."""
        self.share = share
        self._seed = seed

    @functools.cached_property
    def generator(self) -> np.random.Generator:
        """The row's own generator, so that a process draws numbers for its own rows only."""
        return np.random.default_rng(self._seed)


class Representation(Protocol):
    """The input of a motion encoder.

    Attributes:
      field: its name as a field of batches.
      entry: the config fields that it reads.
      of_frames: whether config.model.motion.input can select it. If so, encoders construct it with
        the arguments of `Joints`, and it has `shape_of(metadata)`, the (joints, channels, channels
        that are coordinates) of a dataset's records, and `has_root`, whether it has a root joint
        that can be moved to the origin.
      of_positions: whether it is computed from joint positions, which have a unit, axes and an
        origin.
      of_persons: whether it has all persons of a clip, [T, M, ...]; others have the only one.
      raw_field: the name of what `prepare` converts.
      raw_shape: its shape in words, for messages.
      part_seen: the part of a longer clip that evaluation uses, in words.
      by_statistics: whether it depends on a dataset's statistics.
      max_frames: the largest number of frames used per clip.
      by_length: whether batches of clips of similar length are shorter and therefore faster.
    """

    field: ClassVar[str]
    entry: ClassVar[Entry]
    of_frames: ClassVar[bool]
    of_positions: ClassVar[bool]
    of_persons: ClassVar[bool]
    raw_field: ClassVar[str]
    raw_shape: ClassVar[str]
    by_statistics: ClassVar[bool]

    @property
    def max_frames(self) -> int:
        """See the attributes."""

    @property
    def by_length(self) -> bool:
        """See the attributes."""

    @property
    def part_seen(self) -> str:
        """See the attributes."""

    def for_training(self, data: ConfigDict) -> "Representation":
        """A copy with the sampling and augmentation of a run's `data` section."""

    def check(self, metadata: Metadata) -> None:
        """Raises a ValueError if a dataset does not have this representation."""

    def read(self, record: Mapping[str, Any], raw: bool = False) -> np.ndarray:
        """The clip of a record, [T, M, ...] of M persons.

        Args:
          record: its fields.
          raw: whether `prepare` still has to convert it; otherwise it is what `prepare` returns.
        """

    def prepare(self, joints: np.ndarray, fps: float, metadata: Metadata) -> np.ndarray:
        """Converts a raw clip at `fps` to the form of the dataset's records.

        Raises:
          ValueError: the clip cannot be converted.
        """

    def example(self, metadata: Metadata, frames: int) -> np.ndarray:
        """A made-up clip [frames, ...] that `prepare` converts, to try a model with."""

    def sample(self, clip: np.ndarray, random: RowRandom, metadata: Metadata) -> np.ndarray:
        """Samples frames of a record's clip for training."""

    def window(self, clip: np.ndarray) -> np.ndarray:
        """Selects frames of a record's clip for evaluation."""

    def as_prepared(self, own: Metadata | None, theirs: Metadata, fps: float) -> bool:
        """Whether a model can use the field that a dataset's records store.

        Otherwise it is computed again, from what `read` gives with `raw`.

        Args:
          own: the model's metadata of that dataset, if it has any.
          theirs: the dataset's metadata.
          fps: frame rate of the model's first dataset.

        Raises:
          ValueError: the model cannot use it, and it cannot be computed again.
        """

    def frames(self, num_frames: np.ndarray) -> np.ndarray:
        """How many frames are used of clips of `num_frames` [B] frames."""

    def padded(self, frames: np.ndarray) -> int:
        """The length to which a batch of clips with `frames` [B] used frames is padded."""

    def stack(self, clips: Sequence[np.ndarray], padded: int) -> Batch:
        """Stacks results of `sample` or `window` into a batch, with their masks."""


# Patches ----------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Patches:
    """Motion patches [T, 5N, 3] float16 (Motion Patches, §3.2), zero-padded within a batch.

    Attributes:
      patch_size: N.
      max_frames: the largest number of frames per clip. Of a longer clip, training takes a random
        stretch and evaluation the start.
      frame_bucket: batches are padded to a multiple of this many frames; None: every batch is
        padded to `max_frames`, rounded up to whole patches.
    """

    field: ClassVar[str] = "patches"
    of_frames: ClassVar[bool] = False
    of_positions: ClassVar[bool] = True
    of_persons: ClassVar[bool] = False
    raw_field: ClassVar[str] = "joints"
    raw_shape: ClassVar[str] = "[frames, joints, 3]"
    part_seen: ClassVar[str] = "start"
    by_statistics: ClassVar[bool] = True
    entry: ClassVar[Entry] = Entry()

    patch_size: int
    max_frames: int
    frame_bucket: int | None = None

    @property
    def by_length(self) -> bool:
        """Whether batches are padded to different lengths."""
        return self.frame_bucket is not None

    def for_training(self, data: ConfigDict) -> "Patches":
        """Returns itself: sampling and augmentation do not apply to patches."""
        return self

    def check(self, metadata: Metadata) -> None:
        """See `Representation.check`."""
        if metadata.skeleton.dims != 3:
            raise ValueError(
                f"dataset {metadata.name!r} has 2D joints ({metadata.skeleton.name}) and "
                "therefore no motion patches. Set config.model.motion.family='gaitformer'"
            )
        if metadata.patch_size != self.patch_size:
            raise ValueError(
                f"dataset {metadata.name!r} was prepared with --patch_size={metadata.patch_size}; "
                f"the model has patch_size {self.patch_size}. Prepare the dataset with the model's "
                "patch size, under another --name"
            )

    def read(self, record: Mapping[str, Any], raw: bool = False) -> np.ndarray:
        """See `Representation.read`."""
        return record["joints" if raw else "patches"]

    def prepare(self, joints: np.ndarray, fps: float, metadata: Metadata) -> np.ndarray:
        """Joints [T, J, 3] to patches [T', 5N, 3], with the dataset's frame rate and statistics."""
        check_clip(joints, fps, (metadata.skeleton.num_joints, 3), metadata)
        joints = resample(joints, fps, metadata.fps)
        assert metadata.patch_size is not None  # None only while a checkpoint is being converted
        out = motion_patches(
            joints, metadata.skeleton, metadata.mean, metadata.std, metadata.patch_size
        )
        with np.errstate(over="ignore"):
            out = out.astype(np.float16)
        if not np.isfinite(out).all():
            raise ValueError(
                f"a clip has coordinates up to {np.abs(joints).max():.3g}, far beyond the training "
                "data. Convert it to the units of the dataset"
            )
        return out

    def example(self, metadata: Metadata, frames: int) -> np.ndarray:
        """See `Representation.example`: the mean pose, turning around."""
        return turning(metadata, frames)

    def sample(self, clip: np.ndarray, random: RowRandom, metadata: Metadata) -> np.ndarray:
        """A stretch of at most `max_frames` frames; every start is equally likely."""
        spare = max(0, len(clip) - self.max_frames)
        start = int(random.share * (spare + 1))
        return clip[start : start + len(clip) - spare]

    def window(self, clip: np.ndarray) -> np.ndarray:
        """The first `max_frames` frames, as published."""
        return clip[: self.max_frames]

    def as_prepared(self, own: Metadata | None, theirs: Metadata, fps: float) -> bool:
        """See `Representation.as_prepared`; False if the statistics of model and dataset differ."""
        fps = own.fps if own else fps
        if theirs.fps != fps:
            raise ValueError(
                f"dataset {theirs.name!r} has {theirs.fps:g} frames per second, the model expects "
                f"{fps:g}; the motion patches of a dataset cannot be resampled. "
                "Encode its clips with `motionalign.load(...).encode_motion(joints, fps)`"
            )
        if own is None or own.patch_size != theirs.patch_size or own.skeleton != theirs.skeleton:
            return True
        return np.array_equal(own.mean, theirs.mean) and np.array_equal(own.std, theirs.std)

    def frames(self, num_frames: np.ndarray) -> np.ndarray:
        """See `Representation.frames`."""
        return np.minimum(num_frames, self.max_frames)

    @functools.cached_property
    def buckets(self) -> tuple[int, ...]:
        """The possible lengths of a batch in frames, ascending."""
        full = -(-self.max_frames // self.patch_size) * self.patch_size
        if self.frame_bucket is None:
            return (full,)
        step = -(-self.frame_bucket // self.patch_size) * self.patch_size
        return (*range(step, full, step), full)

    def padded(self, frames: np.ndarray) -> int:
        """The smallest bucket that holds the longest clip."""
        longest = int(np.max(frames))
        return next(bucket for bucket in self.buckets if bucket >= longest)

    def stack(self, clips: Sequence[np.ndarray], padded: int) -> Batch:
        """`patches` [B, padded, 5N, 3], zero after the end of a clip, and `num_frames` [B].

        Clips longer than `padded` frames are truncated.
        """
        out = np.zeros((len(clips), padded, *clips[0].shape[1:]), np.float16)
        for i, clip in enumerate(clips):
            out[i, : len(clip)] = clip[:padded]
        num_frames = np.array([min(len(clip), padded) for clip in clips], np.int32)
        return {self.field: out, "num_frames": num_frames}


# Frames of joints or rotations ------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Joints:
    """Joints [F, J, C] float32 of a fixed number of frames.

    Attributes:
      joints, channels: J and C.
      max_frames: F; a shorter clip repeats its last frame.
      window_of: the evaluation window, one of `augment.WINDOWS`.
      root: the joint whose position in the first selected frame becomes the origin; None: the
        origin of the clip is kept.
      dims: how many leading channels are coordinates and are moved with the origin.
      sampling, step: how training frames are sampled; see `augment.frame_indices`.
      augment: the augmentation of training clips.
    """

    field: ClassVar[str] = "joints"
    of_frames: ClassVar[bool] = True
    of_positions: ClassVar[bool] = True
    of_persons: ClassVar[bool] = False
    raw_field: ClassVar[str] = "joints"
    raw_shape: ClassVar[str] = "[frames, joints, 3]"
    by_statistics: ClassVar[bool] = False
    entry: ClassVar[Entry] = Entry(reads=("model.motion.root",))
    has_root: ClassVar[bool] = True
    by_length: ClassVar[bool] = False

    joints: int
    channels: int
    max_frames: int
    window_of: str = WINDOWS[0]
    root: int | None = 0
    dims: int = 3
    sampling: str = "conseq"
    step: int = 1
    augment: Augmentation = dataclasses.field(default_factory=Augmentation)

    def for_training(self, data: ConfigDict) -> "Joints":
        """A copy with the run's sampling and augmentation."""
        own = {field.name for field in dataclasses.fields(Augmentation)}
        given = data.augment.to_dict()
        augment = Augmentation(**{name: given[name] for name in given if name in own})
        return dataclasses.replace(self, sampling=data.sampling, step=data.step, augment=augment)

    @staticmethod
    def shape_of(metadata: Metadata) -> tuple[int, int, int]:
        """(joints, channels, channels that are coordinates) of a dataset's records."""
        return metadata.skeleton.num_joints, 3, metadata.skeleton.dims

    def check(self, metadata: Metadata) -> None:
        """See `Representation.check`."""
        joints, channels, _ = self.shape_of(metadata)
        if (joints, channels) != (self.joints, self.channels):
            raise ValueError(
                f"dataset {metadata.name!r} has {joints} joints of {channels} channels (skeleton "
                f"{metadata.skeleton.name!r}); the model takes {self.joints} joints of "
                f"{self.channels} channels"
            )

    def read(self, record: Mapping[str, Any], raw: bool = False) -> np.ndarray:
        """See `Representation.read`; records have what users have."""
        return record["joints"]

    def prepare(self, joints: np.ndarray, fps: float, metadata: Metadata) -> np.ndarray:
        """Joints [T, J, C] to [T', J, C] at the dataset's frame rate."""
        check_clip(joints, fps, (self.joints, self.channels), metadata)
        return resample(joints, fps, metadata.fps).astype(np.float32)

    def example(self, metadata: Metadata, frames: int) -> np.ndarray:
        """See `Representation.example`: the mean pose, turning around."""
        return turning(metadata, frames)

    def sample(self, clip: np.ndarray, random: RowRandom, metadata: Metadata) -> np.ndarray:
        """Augments the clip and samples frames from it, as `sampling` says."""
        clip = self.augment(clip, metadata.skeleton, random.generator, self._mirror)
        return self._take(
            clip,
            frame_indices(len(clip), self.max_frames, self.sampling, random.generator, self.step),
        )

    def window(self, clip: np.ndarray) -> np.ndarray:
        """The frames of the evaluation window `window_of`."""
        return self._take(clip, inference_indices(len(clip), self.max_frames, self.window_of))

    @property
    def part_seen(self) -> str:
        """See `Representation.part_seen`."""
        return _PARTS[self.window_of]

    def as_prepared(self, own: Metadata | None, theirs: Metadata, fps: float) -> bool:
        """See `Representation.as_prepared`; always False, as the frame rates may differ."""
        return False

    def _mirror(self, clip: np.ndarray, skeleton: Skeleton) -> np.ndarray:
        """The clip in the mirror."""
        return mirror(clip, skeleton)

    def _take(self, clip: np.ndarray, frames: np.ndarray) -> np.ndarray:
        """Selects frames of a clip and moves the root of the first one to the origin."""
        joints = np.asarray(clip)[frames].astype(np.float32)  # a copy
        if self.root is not None:
            joints[..., : self.dims] -= joints[0, self.root, : self.dims].copy()
        return joints

    def frames(self, num_frames: np.ndarray) -> np.ndarray:
        """See `Representation.frames`."""
        return np.minimum(num_frames, self.max_frames)

    def padded(self, frames: np.ndarray) -> int:
        """Always `max_frames`."""
        return self.max_frames

    def stack(self, clips: Sequence[np.ndarray], padded: int) -> Batch:
        """The clips [B, F, J, C], under the name of the field."""
        return {self.field: np.stack(clips)}


class Rotations(Joints):
    """6D rotations [F, R, 6] float32 of a fixed number of frames; they have no origin."""

    field: ClassVar[str] = "rotations"
    of_positions: ClassVar[bool] = False
    raw_field: ClassVar[str] = "rotations"
    raw_shape: ClassVar[str] = "6D, [frames, rotations, 6]"
    entry: ClassVar[Entry] = Entry()
    has_root: ClassVar[bool] = False
    channels_of_one: ClassVar[int] = 6

    @staticmethod
    def shape_of(metadata: Metadata) -> tuple[int, int, int]:
        """(rotations, 6, 6); a ValueError if the dataset has no rotations."""
        if not metadata.num_rotations:
            raise ValueError(
                f"dataset {metadata.name!r} has no rotations: set config.model.motion.input=joints"
            )
        return metadata.num_rotations, Rotations.channels_of_one, Rotations.channels_of_one

    def check(self, metadata: Metadata) -> None:
        """See `Representation.check`; of rotations beyond the skeleton's joints, none is needed."""
        if not metadata.num_rotations:
            raise ValueError(
                f"dataset {metadata.name!r} has no rotations, which are the input of the model"
            )
        if metadata.num_rotations > self.joints == metadata.skeleton.num_joints:
            metadata = dataclasses.replace(metadata, num_rotations=self.joints)
        super().check(metadata)

    def read(self, record: Mapping[str, Any], raw: bool = False) -> np.ndarray:
        """See `Representation.read`: the first R rotations of the record, [T, M, R, 6]."""
        return record["rotations"][:, :, : self.joints]

    def prepare(self, joints: np.ndarray, fps: float, metadata: Metadata) -> np.ndarray:
        """Rotations [T, R, 6] to [T', R, 6], by nearest frames: 6D rotations do not interpolate."""
        check_clip(joints, fps, (self.joints, self.channels), metadata)
        return joints[nearest_frames(len(joints), fps, metadata.fps)].astype(np.float32)

    def example(self, metadata: Metadata, frames: int) -> np.ndarray:
        """See `Representation.example`: no joint is rotated."""
        return np.tile(np.eye(2, 3, dtype=np.float32).ravel(), (frames, self.joints, 1))


class RotationsTranslation(Rotations):
    """6D rotations and the root's translation as one more row, [F, 25, 6] float32.

    The input of Walk and Text on BABEL (`_load` of its dataset.py): the rotations of
    `smplh.ROTATED`, then a row whose first three channels are the root's position relative to the
    first of the F frames, in metres; the other three are 0. Axes are AMASS's, Z up, as the
    published code reads the files; clips that users give have them too.

    One thing differs. In the published preparation, the body model gets no translation, and the
    joint that is stored first is the right ankle: its row is the path of that ankle in a body whose
    pelvis does not move. Ours is the path of the root.
    """

    field: ClassVar[str] = "rotations_translation"
    raw_field: ClassVar[str] = "rotations_translation"
    raw_shape: ClassVar[str] = (
        "[frames, 25, 6]: 24 rotations, and the root's x, y, z, 0, 0, 0; Z up"
    )
    rows: ClassVar[int] = len(smplh.ROTATED) + 1

    @staticmethod
    def shape_of(metadata: Metadata) -> tuple[int, int, int]:
        """(25, 6, 3); a ValueError if the dataset does not have the rotations."""
        RotationsTranslation._check(metadata)
        return RotationsTranslation.rows, Rotations.channels_of_one, 3

    @staticmethod
    def _check(metadata: Metadata) -> None:
        """Raises a ValueError if a dataset has other rotations, or joints not in metres."""
        expected = len(smplh.ROTATED)
        if metadata.num_rotations and metadata.num_rotations < expected:
            raise ValueError(
                f"dataset {metadata.name!r} has {metadata.num_rotations} rotations, as older "
                f"versions stored them; rotations_translation takes {expected}. Prepare it again "
                "with --overwrite, or train with config.model.motion.input=rotations"
            )
        if metadata.num_rotations != expected or metadata.unit_in_metres != 1:
            found = f"{metadata.num_rotations or 'no'} rotations"
            unit = metadata.unit_in_metres
            found += "" if unit == 1 else f" and {'no known unit' if unit is None else f'{unit} m'}"
            raise ValueError(
                f"dataset {metadata.name!r} has {found}; rotations_translation takes {expected} "
                "rotations and metres, as `data_prep babel` stores them from AMASS. Set "
                "config.model.motion.input=joints"
            )

    def check(self, metadata: Metadata) -> None:
        """See `Representation.check`."""
        self._check(metadata)
        assert (self.joints, self.channels) == (self.rows, self.channels_of_one)

    def read(self, record: Mapping[str, Any], raw: bool = False) -> np.ndarray:
        """See `Representation.read`: [T, M, 25, 6], with the root's position in the last row."""
        rotations, root = smplh.amass_axes(record["rotations"], record["joints"][:, :, 0])
        row = np.zeros_like(rotations[:, :, :1])
        row[:, :, 0, :3] = root
        return np.concatenate([rotations, row], axis=2)

    def prepare(self, joints: np.ndarray, fps: float, metadata: Metadata) -> np.ndarray:
        """Rotations and root [T, 25, 6] to [T', 25, 6], by nearest frames, which both are of."""
        clip = super().prepare(joints, fps, metadata)
        if clip[:, -1, 3:].any():
            raise ValueError(
                f"the last of the {self.joints} rows of a clip must be the root's x, y and z and "
                "three zeros: this model reads a translation there, not a rotation"
            )
        return clip

    def example(self, metadata: Metadata, frames: int) -> np.ndarray:
        """See `Representation.example`: no joint is rotated, and the root stays in place."""
        clip = super().example(metadata, frames)
        clip[:, -1] = 0
        return clip

    def _mirror(self, clip: np.ndarray, skeleton: Skeleton) -> np.ndarray:
        rotations, row = mirror(clip[:, :-1], skeleton), clip[:, -1:].copy()
        row[..., 0] *= -1
        return np.concatenate([rotations, row], axis=1)

    def _take(self, clip: np.ndarray, frames: np.ndarray) -> np.ndarray:
        """Selects frames of a clip; the translation is relative to the first of them."""
        taken = np.asarray(clip)[frames].astype(np.float32)  # a copy
        taken[:, -1, :3] -= taken[0, -1, :3].copy()
        taken[:, -1, 3:] = 0  # augmentation adds noise to all channels
        return taken


REPRESENTATIONS: dict[str, type[Any]] = {
    kind.field: kind for kind in (Patches, Joints, Rotations, RotationsTranslation)
}
"""All representations, by their name in configs and batches."""


def inputs() -> dict[str, type[Any]]:
    """The representations that config.model.motion.input can select."""
    return {name: kind for name, kind in REPRESENTATIONS.items() if kind.of_frames}


def turning(metadata: Metadata, frames: int) -> np.ndarray:
    """The mean pose of a dataset, turning by a quarter around the vertical axis, [frames, J, 3]."""
    angle = np.linspace(0, np.pi / 2, frames)[:, None]
    x, y, z = metadata.mean.T
    joints = (np.cos(angle) * x + np.sin(angle) * z, y, np.cos(angle) * z - np.sin(angle) * x)
    if metadata.skeleton.dims != 3:  # the third channel is no coordinate: it moves sideways
        joints = (x + 0.01 * angle, y, z)
    return np.stack(np.broadcast_arrays(*joints), axis=-1).astype(np.float32)


def check_clip(
    joints: np.ndarray,
    fps: float,
    shape: tuple[int, int],
    metadata: Metadata,
    named: bool = False,
) -> None:
    """Checks that a raw clip is [T >= 2, *shape] finite numbers at a possible frame rate.

    Args:
      joints: the clip.
      fps: its frames per second.
      shape: the expected (joints, channels).
      metadata: of the dataset whose skeleton the message names.
      named: whether the user named the expected joints.

    Raises:
      ValueError: it is not.
    """
    if joints.dtype.kind not in "fiu":
        raise ValueError(f"a clip has dtype {joints.dtype}; expected numbers")
    if joints.ndim != 3 or joints.shape[1:] != shape or len(joints) < 2:
        advice = ""
        if shape[1] == 3 and joints.shape[1:] != shape:
            advice = f". {shape_advice(joints.shape, shape[0], named)}"
        raise ValueError(
            f"a clip has shape {joints.shape}; expected [frames >= 2, {shape[0]}, {shape[1]}] for "
            f"skeleton {metadata.skeleton.name!r}{advice}"
        )
    if not np.isfinite(joints).all():
        raise ValueError("a clip contains values that are not finite")
    check_fps(fps)


class ClipCache:
    """Caches the decoded clips of one split in memory, as far as `budget` allows.

    `budget` is a one-element list with the remaining bytes, shared by all caches of a run. `read`
    takes the clip [T, M, ...] from a record, as `Representation.read` does; `persons` says whether
    all M persons are kept, as in `Representation.of_persons`.
    """

    _lock = threading.Lock()  # guards the budget and therefore covers all caches

    def __init__(
        self,
        split: Split,
        budget: list[int],
        read: Callable[[Mapping[str, Any]], np.ndarray] = operator.itemgetter("patches"),
        persons: bool = False,
    ) -> None:
        self.split = split
        self._read = read
        self._persons = persons
        self._budget = budget
        self._kept: dict[int, np.ndarray] = {}

    def __getitem__(self, row: int) -> np.ndarray:
        """Patches [T, 5N, 3] float16, or joints or rotations [T, J, C] float32 of one person.

        Where all persons are kept, [T, M, ...].
        """
        clip = self._kept.get(row)
        if clip is None:
            clip = self._read(self.split[row])
            if not self._persons:
                clip = self._only_person(clip, row)
            with self._lock:
                if row not in self._kept and clip.nbytes <= self._budget[0]:
                    self._budget[0] -= clip.nbytes
                    self._kept[row] = clip
        return clip

    def _only_person(self, clip: np.ndarray, row: int) -> np.ndarray:
        """The only person [T, ...] of the clip [T, M, ...] of a record."""
        if clip.shape[1] != 1:
            raise ValueError(
                f"{self.split.version_dir}: clip {self.split.ids[row]!r} contains "
                f"{clip.shape[1]} persons; this model encodes exactly one"
            )
        return clip[:, 0]
