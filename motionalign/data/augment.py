"""Which frames of a clip a model sees, and what training changes in them.

Pure functions of a clip [T, J, C] and a random generator; float32 in, float32 out. C is 3 in 3D
(x, y, z) and in 2D (x, y, confidence), and 6 for 6D rotations (the first two rows of a matrix).

Frames are chosen as ACTOR (Petrovich et al., 2021) and Walk and Text do, changes are those of
GaitFormer (Cosma and Radoi, 2022, `datasets/transforms`). Where the published code does something
else than its names say, this does what they say:
  - a random start there never is the last possible one, and every start is as likely here;
  - paces there are cut to whole numbers (1.25 to 1.75 are 1, and 1 / 0.75 is 1);
  - mirroring there negates x and leaves left joints left, squeezing scales joint 0 instead of x,
    reversal skips with the probability it is given, and point noise is on the confidence too.
"""

import dataclasses
import math

import numpy as np

from motionalign.skeleton import Skeleton

SAMPLINGS = ("random", "conseq", "random_conseq")

WINDOWS = ("first", "centre", "spread")

WINDOW_OF = {"conseq": "centre", "random_conseq": "centre", "random": "spread"}
"""What evaluation looks at, by how training frames were drawn: frames as far apart as those."""

# What R becomes is M R M with M = diag(-1, 1, 1): of its first two rows, which a 6D rotation holds,
# these change their sign.
_MIRRORED_ROTATION = np.array([1, -1, -1, -1, 1, 1], np.float32)


# --------------------------------------------------------------------------- frames


def frame_indices(
    num_frames: int, count: int, sampling: str, rng: np.random.Generator, step: int = 1
) -> np.ndarray:
    """Frames of a clip to train on.

    Args:
      num_frames: of the clip.
      count: how many to take; of a shorter clip all, and then its last one again and again.
      sampling: "random": any frames, each once, in order of time. "conseq": every `step`-th one
        from a random start. "random_conseq": likewise, with any step that fits.
      step: of "conseq"; the largest step that fits where this one does not.

    Returns:
      [count] ints, ascending.
    """
    _check_choice(sampling, SAMPLINGS, "sampling")
    if num_frames < count:
        return _padded(num_frames, count)
    if sampling == "random":
        return np.sort(rng.choice(num_frames, count, replace=False))
    largest = max(1, (num_frames - 1) // max(1, count - 1))
    step = min(step, largest) if sampling == "conseq" else int(rng.integers(1, largest + 1))
    last = step * (count - 1)
    return rng.integers(num_frames - last) + step * np.arange(count)


def inference_indices(num_frames: int, count: int, window: str) -> np.ndarray:
    """Frames of a clip that stand for it when nothing may be left to chance.

    Args:
      num_frames: of the clip.
      count: how many to take; of a shorter clip all, and then its last one again and again.
      window: "first": the first ones; "centre": those in the middle, without gaps; "spread": evenly
        over the whole clip, its first and last frame among them.

    Returns:
      [count] ints, ascending.
    """
    _check_choice(window, WINDOWS, "window")
    if num_frames < count:
        return _padded(num_frames, count)
    if window == "spread":
        return np.linspace(0, num_frames - 1, count).round().astype(np.int64)
    return np.arange(count) + (0 if window == "first" else (num_frames - count) // 2)


def _padded(num_frames: int, count: int) -> np.ndarray:
    return np.minimum(np.arange(count), num_frames - 1)


def _check_choice(value: str, valid: tuple[str, ...], what: str) -> None:
    if value not in valid:
        raise ValueError(f"{what} is {value!r}; valid: {', '.join(map(repr, valid))}")


# --------------------------------------------------------------------------- changes


def crop(clip: np.ndarray, length: int, rng: np.random.Generator) -> np.ndarray:
    """A random stretch of `length` frames; a shorter clip is returned whole."""
    start = rng.integers(max(0, len(clip) - length) + 1)
    return clip[start : start + length]


def pace(clip: np.ndarray, factor: float) -> np.ndarray:
    """Plays a clip `factor` times as fast, each moment shown by the nearest frame.

    2 leaves every second frame, 0.5 shows every frame twice; of two frames equally near the earlier
    one is shown. [T, ...] to [ceil(T / factor), ...].
    """
    moments = np.arange(math.ceil(len(clip) / factor)) * factor
    return clip[np.minimum(np.ceil(moments - 0.5).astype(np.int64), len(clip) - 1)]


def mirror(clip: np.ndarray, skeleton: Skeleton) -> np.ndarray:
    """Reflects joints or 6D rotations in the plane x = 0, left and right joints exchanged."""
    if clip.shape[-2] != skeleton.num_joints:
        raise ValueError(
            f"a clip of {clip.shape[-2]} joints cannot be mirrored: skeleton {skeleton.name!r} has "
            f"{skeleton.num_joints}. Set data.augment.mirror=0"
        )
    if clip.shape[-1] == 6:
        return clip[..., list(skeleton.mirror), :] * _MIRRORED_ROTATION
    return skeleton.mirrored(clip)


def reverse(clip: np.ndarray) -> np.ndarray:
    """Plays a clip backwards."""
    return clip[::-1]


def squeeze(clip: np.ndarray, amount: float, rng: np.random.Generator) -> np.ndarray:
    """Scales x by one factor, uniform in 1 - `amount` to 1: a body that is less wide.

    Raises:
      ValueError: for 6D rotations, which have no x.
    """
    if clip.shape[-1] == 6:
        raise ValueError("rotations cannot be squeezed: set data.augment.squeeze=0")
    scale = np.ones(clip.shape[-1], clip.dtype)
    scale[0] -= amount * rng.random()
    return clip * scale


def joint_noise(clip: np.ndarray, std: float, rng: np.random.Generator, dims: int) -> np.ndarray:
    """Offsets every joint by a Gaussian that stays the same through the clip.

    Args:
      clip: [T, J, C].
      std: of the offsets, in the clip's units.
      dims: so many first channels are offset: 2 in 2D, whose third is a confidence; 6 of rotations.
    """
    return _offset(clip, rng.normal(0, std, (1, clip.shape[1], dims)))


def point_noise(clip: np.ndarray, std: float, rng: np.random.Generator, dims: int) -> np.ndarray:
    """Offsets every joint of every frame by a Gaussian of its own; arguments as `joint_noise`."""
    return _offset(clip, rng.normal(0, std, (*clip.shape[:2], dims)))


def _offset(clip: np.ndarray, noise: np.ndarray) -> np.ndarray:
    moved = clip.copy()
    moved[..., : noise.shape[-1]] += noise.astype(clip.dtype)
    return moved


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """What training changes in a clip, in the published order; by default nothing.

    paces: one of these is drawn for each clip: so many times as fast.
    crop: a random stretch of so many frames, before the pace; 0: the whole clip.
    mirror, reverse: how likely they are. A mirrored turn to the left is one to the right: leave
      `mirror` at 0 where labels or captions name a side.
    squeeze: x is scaled by 1 - squeeze to 1.
    joint_noise, point_noise: standard deviations, in the clips' units.
    """

    paces: tuple[float, ...] = (1.0,)
    crop: int = 0
    mirror: float = 0.0
    reverse: float = 0.0
    squeeze: float = 0.0
    joint_noise: float = 0.0
    point_noise: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "paces", tuple(self.paces))  # JSON has lists

        def check(field: str, holds: bool, expected: str) -> None:
            if not holds:
                raise ValueError(
                    f"data.augment.{field} is {getattr(self, field)!r}; expected {expected}"
                )

        paces = bool(self.paces) and all(0 < factor < math.inf for factor in self.paces)
        check("paces", paces, "one or more positive factors")
        whole = isinstance(self.crop, int) and self.crop >= 0
        check("crop", whole, "a number of frames, or 0 for whole clips")
        for field in ("mirror", "reverse"):
            check(field, 0 <= getattr(self, field) <= 1, "a probability, 0 to 1")
        check("squeeze", 0 <= self.squeeze < 1, "at least 0 and below 1")
        for field in ("joint_noise", "point_noise"):
            std = getattr(self, field)
            check(field, 0 <= std < math.inf, "a standard deviation, at least 0")

    def __call__(
        self, clip: np.ndarray, skeleton: Skeleton, rng: np.random.Generator
    ) -> np.ndarray:
        """Changes a clip [T, J, C]; [T', J, C]. What is off draws no random numbers.

        Raises:
          ValueError: a clip of rotations is to be squeezed, or the skeleton has other joints.
        """
        dims = 6 if clip.shape[-1] == 6 else skeleton.dims
        if self.crop:
            clip = crop(clip, self.crop, rng)
        factor = rng.choice(self.paces) if len(self.paces) > 1 else self.paces[0]
        if factor != 1:
            clip = pace(clip, factor)
        if self.squeeze:
            clip = squeeze(clip, self.squeeze, rng)
        if self.mirror and rng.random() < self.mirror:
            clip = mirror(clip, skeleton)
        if self.reverse and rng.random() < self.reverse:
            clip = reverse(clip)
        if self.joint_noise:
            clip = joint_noise(clip, self.joint_noise, rng, dims)
        if self.point_noise:
            clip = point_noise(clip, self.point_noise, rng, dims)
        return clip
