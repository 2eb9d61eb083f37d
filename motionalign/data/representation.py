"""What a motion encoder reads of a clip: motion patches, joints or rotations.

A representation knows everything that lies between a record, or a clip of a user's, and the arrays
of a batch: which field of the record is read, whether a dataset has it, how a raw clip is made
into it, which frames training and evaluation see, and how clips are stacked. An encoder's config
names its representation (`input`), and `REPRESENTATIONS` is where names become one.
"""

import dataclasses
import functools
import threading
from collections.abc import Sequence
from typing import Any, ClassVar, Protocol

import numpy as np
from ml_collections import ConfigDict

from motionalign.config import Entry
from motionalign.data.augment import WINDOWS, Augmentation, frame_indices, inference_indices
from motionalign.data.dataset import Metadata
from motionalign.data.records import Split
from motionalign.data.resample import nearest_frames, resample
from motionalign.patches import motion_patches

Batch = dict[str, np.ndarray]

# Which part of a longer clip each window sees.
_PARTS = dict(zip(WINDOWS, ("start", "middle", "frames all along them"), strict=True))


class RowRandom:
    """The randomness of one row of a training batch.

    Attributes:
      share: uniform in 0..1, drawn with the whole global batch.
    """

    def __init__(self, share: float, seed: tuple[int, ...]) -> None:
        """`seed`: of the row's own generator."""
        self.share = share
        self._seed = seed

    @functools.cached_property
    def generator(self) -> np.random.Generator:
        """The row's own, so that no process draws for the rows of another."""
        return np.random.default_rng(self._seed)


class Representation(Protocol):
    """What an encoder reads.

    Attributes:
      field: of a record, and of a batch.
      entry: which fields of a config it reads.
      of_frames: whether config.model.motion.input may name it; then encoders make it as
        `Joints` is made, and it has `shape_of(metadata)`, (joints, channels, coordinates among
        them) of a dataset's records, and `has_root`, whether there is something to move.
      raw_field: of a record, what `prepare` makes it from; raw_shape: its shape in words.
      part_seen: which part of a longer clip evaluation sees, in words.
      by_statistics: whether what is read depends on a dataset's statistics.
      max_frames: so many frames of a clip are seen at most.
      by_length: whether batches of clips of like length are shorter, and so faster.
    """

    field: ClassVar[str]
    entry: ClassVar[Entry]
    of_frames: ClassVar[bool]
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
        """With what a run's `data` section says of training clips."""

    def check(self, metadata: Metadata) -> None:
        """Raises a ValueError where a dataset does not have what is read."""

    def prepare(self, joints: np.ndarray, fps: float, metadata: Metadata) -> np.ndarray:
        """A raw clip at `fps` as a record of the dataset holds it; a ValueError if it cannot be."""

    def sample(self, clip: np.ndarray, random: RowRandom, metadata: Metadata) -> np.ndarray:
        """What training sees of a record's clip."""

    def window(self, clip: np.ndarray) -> np.ndarray:
        """What evaluation sees of it."""

    def as_prepared(self, own: Metadata | None, theirs: Metadata, fps: float) -> bool:
        """Whether what a dataset has prepared is what a model reads.

        Args:
          own: the model's metadata of that dataset, if it has any.
          theirs: the dataset's.
          fps: of the model's first dataset.

        Raises:
          ValueError: it is not, and cannot be made anew.
        """

    def frames(self, num_frames: np.ndarray) -> np.ndarray:
        """How many frames of clips of `num_frames` [B] are seen."""

    def padded(self, frames: np.ndarray) -> int:
        """The length to which a batch of clips of `frames` [B] seen frames is padded."""

    def stack(self, clips: Sequence[np.ndarray], padded: int) -> Batch:
        """A batch of what `sample` or `window` gave, masks with it."""


# Patches ----------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Patches:
    """Motion patches [T, 5N, 3] float16 (Motion Patches, §3.2), padded to batches.

    Attributes:
      patch_size: N.
      max_frames: of a longer clip, training sees a random stretch and evaluation the beginning.
      frame_bucket: batches are padded to a multiple of it; None: all to the whole length.
    """

    field: ClassVar[str] = "patches"
    of_frames: ClassVar[bool] = False
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
        """Only masked padding may differ in length."""
        return self.frame_bucket is not None

    def for_training(self, data: ConfigDict) -> "Patches":
        """Itself."""
        return self

    def check(self, metadata: Metadata) -> None:
        """See `Representation.check`."""
        if metadata.skeleton.dims != 3:
            raise ValueError(
                f"dataset {metadata.name!r} has 2D joints ({metadata.skeleton.name}) and so no "
                "motion patches; encode it with config.model.motion.family='gaitformer'"
            )
        if metadata.patch_size != self.patch_size:
            raise ValueError(
                f"dataset {metadata.name!r} was prepared with --patch_size={metadata.patch_size}; "
                f"the model has patch_size {self.patch_size}"
            )

    def prepare(self, joints: np.ndarray, fps: float, metadata: Metadata) -> np.ndarray:
        """Joints [T, J, 3] to patches [T', 5N, 3] at the dataset's rate, by its statistics."""
        check_clip(joints, fps, (metadata.skeleton.num_joints, 3), metadata)
        joints = resample(joints, fps, metadata.fps)
        assert metadata.patch_size is not None  # that of the tensors, once converted
        out = motion_patches(
            joints, metadata.skeleton, metadata.mean, metadata.std, metadata.patch_size
        )
        with np.errstate(over="ignore"):
            out = out.astype(np.float16)
        if not np.isfinite(out).all():
            raise ValueError(
                f"a clip reaches {np.abs(joints).max():.3g}, far beyond the training data; is it "
                "in another unit?"
            )
        return out

    def sample(self, clip: np.ndarray, random: RowRandom, metadata: Metadata) -> np.ndarray:
        """A stretch of at most `max_frames`, every start as likely."""
        spare = max(0, len(clip) - self.max_frames)
        start = int(random.share * (spare + 1))
        return clip[start : start + len(clip) - spare]

    def window(self, clip: np.ndarray) -> np.ndarray:
        """The first `max_frames`, as published."""
        return clip[: self.max_frames]

    def as_prepared(self, own: Metadata | None, theirs: Metadata, fps: float) -> bool:
        """See `Representation.as_prepared`: by skeleton and statistics."""
        fps = own.fps if own else fps
        if theirs.fps != fps:
            raise ValueError(
                f"dataset {theirs.name!r} has {theirs.fps:g} frames a second, the model reads "
                f"{fps:g}; motion patches are not made anew at another rate. "
                "`motionalign.load(...).encode_motion(joints, fps)` encodes its clips"
            )
        if own is None or own.patch_size != theirs.patch_size or own.skeleton != theirs.skeleton:
            return True
        return np.array_equal(own.mean, theirs.mean) and np.array_equal(own.std, theirs.std)

    def frames(self, num_frames: np.ndarray) -> np.ndarray:
        """See `Representation.frames`."""
        return np.minimum(num_frames, self.max_frames)

    @functools.cached_property
    def buckets(self) -> tuple[int, ...]:
        """The lengths that batches may have, ascending."""
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
        """`patches` [B, padded, 5N, 3], zeros where a clip has ended, and `num_frames` [B].

        What a clip holds beyond `padded` frames is cut off.
        """
        out = np.zeros((len(clips), padded, *clips[0].shape[1:]), np.float16)
        for i, clip in enumerate(clips):
            out[i, : len(clip)] = clip[:padded]
        num_frames = np.array([min(len(clip), padded) for clip in clips], np.int32)
        return {self.field: out, "num_frames": num_frames}


# Frames of joints or rotations ------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Joints:
    """A fixed number of frames of joints [F, J, C] float32.

    Attributes:
      joints, channels: J and C.
      max_frames: F; a shorter clip repeats its last frame.
      window_of: which frames evaluation sees, of `augment.WINDOWS`.
      root: the joint whose place in the first of them is the origin; None: as the clip has it.
      dims: so many first channels are coordinates, and move with the origin.
      sampling, step: which frames training sees; see `augment.frame_indices`.
      augment: what training changes in a clip.
    """

    field: ClassVar[str] = "joints"
    of_frames: ClassVar[bool] = True
    raw_field: ClassVar[str] = "joints"
    raw_shape: ClassVar[str] = "[frames, joints, 3]"
    by_statistics: ClassVar[bool] = False
    entry: ClassVar[Entry] = Entry(reads=("model.motion.root",))
    has_root: ClassVar[bool] = True  # whether something can be moved to the origin
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
        """With the run's sampling and augmentation."""
        own = {field.name for field in dataclasses.fields(Augmentation)}
        given = data.augment.to_dict()
        augment = Augmentation(**{name: given[name] for name in given if name in own})
        return dataclasses.replace(self, sampling=data.sampling, step=data.step, augment=augment)

    @staticmethod
    def shape_of(metadata: Metadata) -> tuple[int, int, int]:
        """(joints, channels, coordinates among them) of a dataset's records."""
        return metadata.skeleton.num_joints, 3, metadata.skeleton.dims

    def check(self, metadata: Metadata) -> None:
        """See `Representation.check`."""
        joints, channels, _ = self.shape_of(metadata)
        if (joints, channels) != (self.joints, self.channels):
            raise ValueError(
                f"dataset {metadata.name!r} has {joints} joints of {channels} numbers (skeleton "
                f"{metadata.skeleton.name!r}); the model takes {self.joints} of {self.channels}"
            )

    def prepare(self, joints: np.ndarray, fps: float, metadata: Metadata) -> np.ndarray:
        """Joints [T, J, C] to [T', J, C] at the dataset's rate."""
        check_clip(joints, fps, (self.joints, self.channels), metadata)
        return resample(joints, fps, metadata.fps).astype(np.float32)

    def sample(self, clip: np.ndarray, random: RowRandom, metadata: Metadata) -> np.ndarray:
        """Frames of the changed clip, as `sampling` draws them."""
        clip = self.augment(clip, metadata.skeleton, random.generator)
        return self._take(
            clip,
            frame_indices(len(clip), self.max_frames, self.sampling, random.generator, self.step),
        )

    def window(self, clip: np.ndarray) -> np.ndarray:
        """The frames of `window_of`."""
        return self._take(clip, inference_indices(len(clip), self.max_frames, self.window_of))

    @property
    def part_seen(self) -> str:
        """See `Representation.part_seen`."""
        return _PARTS[self.window_of]

    def as_prepared(self, own: Metadata | None, theirs: Metadata, fps: float) -> bool:
        """See `Representation.as_prepared`: the rate may differ."""
        return False

    def _take(self, clip: np.ndarray, frames: np.ndarray) -> np.ndarray:
        """Frames of a clip, the root in the first of them at the origin."""
        joints = np.asarray(clip)[frames].astype(np.float32)  # a copy
        if self.root is not None:
            joints[..., : self.dims] -= joints[0, self.root, : self.dims].copy()
        return joints

    def frames(self, num_frames: np.ndarray) -> np.ndarray:
        """See `Representation.frames`."""
        return np.minimum(num_frames, self.max_frames)

    def padded(self, frames: np.ndarray) -> int:
        """All clips have as many frames."""
        return self.max_frames

    def stack(self, clips: Sequence[np.ndarray], padded: int) -> Batch:
        """The clips [B, F, J, C] under the name of the field."""
        return {self.field: np.stack(clips)}


class Rotations(Joints):
    """A fixed number of frames of 6D rotations [F, R, 6] float32; they have no origin."""

    field: ClassVar[str] = "rotations"
    raw_field: ClassVar[str] = "rotations"
    raw_shape: ClassVar[str] = "6D, [frames, rotations, 6]"
    entry: ClassVar[Entry] = Entry()
    has_root: ClassVar[bool] = False
    channels_of_one: ClassVar[int] = 6

    @staticmethod
    def shape_of(metadata: Metadata) -> tuple[int, int, int]:
        """(rotations, 6, 6); a ValueError where a dataset has none to train on."""
        if not metadata.num_rotations:
            raise ValueError(
                f"dataset {metadata.name!r} has no rotations: set config.model.motion.input=joints"
            )
        return metadata.num_rotations, Rotations.channels_of_one, Rotations.channels_of_one

    def check(self, metadata: Metadata) -> None:
        """See `Representation.check`."""
        if not metadata.num_rotations:
            raise ValueError(f"dataset {metadata.name!r} has no rotations; the model reads them")
        super().check(metadata)

    def prepare(self, joints: np.ndarray, fps: float, metadata: Metadata) -> np.ndarray:
        """Rotations [T, R, 6] to [T', R, 6]; between two rotations lies none, so the nearest."""
        check_clip(joints, fps, (self.joints, self.channels), metadata)
        return joints[nearest_frames(len(joints), fps, metadata.fps)].astype(np.float32)


REPRESENTATIONS: dict[str, type[Any]] = {
    representation.field: representation for representation in (Patches, Joints, Rotations)
}
"""What encoders may read, by the name that their configs and batches have for it."""


def inputs() -> dict[str, type[Any]]:
    """Values of config.model.motion.input: what encoders over frames may read."""
    return {name: kind for name, kind in REPRESENTATIONS.items() if kind.of_frames}


def check_clip(joints: np.ndarray, fps: float, shape: tuple[int, int], metadata: Metadata) -> None:
    """Raises a ValueError unless a raw clip is [T >= 2, *shape] finite numbers at a positive rate.

    Args:
      joints: the clip.
      fps: its frames per second.
      shape: (joints, channels) expected.
      metadata: whose skeleton the message names.
    """
    if joints.dtype.kind not in "fiu":
        raise ValueError(f"a clip is of dtype {joints.dtype}; expected numbers")
    if joints.ndim != 3 or joints.shape[1:] != shape or len(joints) < 2:
        raise ValueError(
            f"a clip has shape {joints.shape}; expected [frames >= 2, {shape[0]}, {shape[1]}] for "
            f"skeleton {metadata.skeleton.name!r}"
        )
    if not np.isfinite(joints).all():
        raise ValueError("a clip holds values that are not finite")
    if not fps > 0:
        raise ValueError(f"fps={fps}; expected a positive number of frames per second")


class ClipCache:
    """The clips of one split, decoded once and kept while `budget` lasts.

    `budget` is a one-element list of bytes, shared by all caches of a run; `field` says what of a
    record is read: "patches", "joints" or "rotations".
    """

    _lock = threading.Lock()  # of the budget, and so of all caches

    def __init__(self, split: Split, budget: list[int], field: str = "patches") -> None:
        self.split = split
        self._field = field
        self._budget = budget
        self._kept: dict[int, np.ndarray] = {}

    def __getitem__(self, row: int) -> np.ndarray:
        """Patches [T, 5N, 3] float16, joints [T, J, C] or rotations [T, R, 6] float32."""
        clip = self._kept.get(row)
        if clip is None:
            clip = self.split[row][self._field]
            if clip.shape[1] != 1:
                raise ValueError(
                    f"{self.split.version_dir}: clip {self.split.ids[row]!r} holds "
                    f"{clip.shape[1]} persons; this model encodes one"
                )
            clip = clip[:, 0]
            with self._lock:
                if row not in self._kept and clip.nbytes <= self._budget[0]:
                    self._budget[0] -= clip.nbytes
                    self._kept[row] = clip
        return clip
