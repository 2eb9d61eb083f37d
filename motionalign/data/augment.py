"""Frame sampling and augmentation of clips.

Pure functions of a clip [T, J, C] and a random generator; float32 in, float32 out. C is 3 in 3D
(x, y, z) and in 2D (x, y, confidence), and 6 for 6D rotations (the first two rows of a matrix).

Frames are sampled as in ACTOR (Petrovich et al., 2021) and Walk and Text. The augmentations are
those of GaitFormer (Cosma and Radoi, 2022, `datasets/transforms`). Where the published code departs
from what its names promise, this module implements the names:
  - a random start can be any valid frame, with equal probability (published: never the last one);
  - paces are applied as given (published: truncated to integers, so that 1.25 to 1.75 become 1, as
    does 1 / 0.75);
  - mirroring negates x and swaps left and right joints (published: does not swap);
  - squeezing scales x (published: scales joint 0);
  - `reverse` is the probability of reversing (published: of not reversing);
  - point noise leaves the confidence unchanged (published: perturbs it too).
"""

import dataclasses
import math
from collections.abc import Callable

import numpy as np

from motionalign.skeleton import Skeleton

SAMPLINGS = ("random", "conseq", "random_conseq")

WINDOWS = ("first", "centre", "spread")

WINDOW_OF = {"conseq": "centre", "random_conseq": "centre", "random": "spread"}
"""The evaluation window for each training sampling, with frames spaced as in training."""

# Mirroring turns a rotation R into M R M with M = diag(-1, 1, 1). These are the sign changes of the
# first two rows of R, which make up a 6D rotation.
_MIRRORED_ROTATION = np.array([1, -1, -1, -1, 1, 1], np.float32)


# --------------------------------------------------------------------------- frames


def frame_indices(
    num_frames: int, count: int, sampling: str, rng: np.random.Generator, step: int = 1
) -> np.ndarray:
    """Samples the frames of a clip to train on.

    Args:
      num_frames: length of the clip.
      count: how many frames to take. A clip shorter than this gives all its frames, followed by
        repetitions of the last one.
      sampling: "random": distinct frames drawn at random, in temporal order. "conseq": every
        `step`-th frame from a random start. "random_conseq": like "conseq", with a random step that
        fits into the clip.
      step: step of "conseq", reduced to the largest one that fits into the clip.

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
    """Selects the frames of a clip deterministically, for evaluation and encoding.

    Args:
      num_frames: length of the clip.
      count: how many frames to take. A clip shorter than this gives all its frames, followed by
        repetitions of the last one.
      window: "first": the first frames; "centre": consecutive frames in the middle; "spread":
        frames spaced evenly over the clip, including its first and last one.

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


# --------------------------------------------------------------------------- augmentations


def crop(clip: np.ndarray, length: int, rng: np.random.Generator) -> np.ndarray:
    """Crops a random stretch of `length` frames; a shorter clip is returned unchanged."""
    start = rng.integers(max(0, len(clip) - length) + 1)
    return clip[start : start + length]


def pace(clip: np.ndarray, factor: float) -> np.ndarray:
    """Plays a clip `factor` times as fast, taking the nearest frame at each time step.

    A factor of 2 keeps every second frame, 0.5 repeats every frame. If two frames are equally near,
    the earlier one is taken. Maps [T, ...] to [ceil(T / factor), ...].
    """
    moments = np.arange(math.ceil(len(clip) / factor)) * factor
    return clip[np.minimum(np.ceil(moments - 0.5).astype(np.int64), len(clip) - 1)]


def mirror(clip: np.ndarray, skeleton: Skeleton) -> np.ndarray:
    """Reflects joints or 6D rotations in the plane x = 0 and swaps left and right joints.

    Rotations may be more than the skeleton's joints: pairs of a left and a right one follow.
    """
    further = clip.shape[-2] - skeleton.num_joints
    is_rotation = clip.shape[-1] == 6
    if further and not (is_rotation and further > 0 and further % 2 == 0):
        raise ValueError(
            f"cannot mirror a clip of {clip.shape[-2]} joints: skeleton {skeleton.name!r} has "
            f"{skeleton.num_joints}. Set data.augment.mirror=0"
        )
    if is_rotation:
        pairs = (skeleton.num_joints + np.arange(further).reshape(-1, 2)[:, ::-1]).ravel()
        return clip[..., [*skeleton.mirror, *pairs], :] * _MIRRORED_ROTATION
    return skeleton.mirrored(clip)


def reverse(clip: np.ndarray) -> np.ndarray:
    """Plays a clip backwards."""
    return clip[::-1]


def squeeze(clip: np.ndarray, amount: float, rng: np.random.Generator) -> np.ndarray:
    """Scales x of the clip by a factor drawn uniformly from [1 - `amount`, 1].

    Raises:
      ValueError: the clip holds 6D rotations, which have no x.
    """
    if clip.shape[-1] == 6:
        raise ValueError("cannot squeeze rotations: set data.augment.squeeze=0")
    scale = np.ones(clip.shape[-1], clip.dtype)
    scale[0] -= amount * rng.random()
    return clip * scale


def joint_noise(clip: np.ndarray, std: float, rng: np.random.Generator, dims: int) -> np.ndarray:
    """Adds Gaussian noise to every joint, constant over the frames of the clip.

    Args:
      clip: [T, J, C].
      std: standard deviation of the noise, in the clip's units.
      dims: how many leading channels to perturb: 3 in 3D, 2 in 2D (the third channel is a
        confidence), 6 for rotations.
    """
    return _offset(clip, rng.normal(0, std, (1, clip.shape[1], dims)))


def point_noise(clip: np.ndarray, std: float, rng: np.random.Generator, dims: int) -> np.ndarray:
    """Adds independent Gaussian noise to every joint of every frame; arguments as `joint_noise`."""
    return _offset(clip, rng.normal(0, std, (*clip.shape[:2], dims)))


def _offset(clip: np.ndarray, noise: np.ndarray) -> np.ndarray:
    moved = clip.copy()
    moved[..., : noise.shape[-1]] += noise.astype(clip.dtype)
    return moved


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """Augmentation of training clips, in the published order; the defaults change nothing.

    Attributes:
      paces: speed factors, one of which is drawn per clip.
      crop: length in frames of a random crop, taken before the pace is changed; 0: no crop.
      mirror, reverse: probabilities. Mirroring turns a left turn into a right turn: leave `mirror`
        at 0 if labels or captions name a side.
      squeeze: x is scaled by a factor from [1 - squeeze, 1].
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
        object.__setattr__(self, "paces", tuple(self.paces))  # JSON stores lists

        def check(field: str, holds: bool, expected: str) -> None:
            if not holds:
                raise ValueError(
                    f"data.augment.{field} is {getattr(self, field)!r}; expected {expected}"
                )

        paces = bool(self.paces) and all(0 < factor < math.inf for factor in self.paces)
        check("paces", paces, "one or more positive factors")
        whole = isinstance(self.crop, int) and self.crop >= 0
        check("crop", whole, "a number of frames, or 0 for no crop")
        for field in ("mirror", "reverse"):
            check(field, 0 <= getattr(self, field) <= 1, "a probability, 0 to 1")
        check("squeeze", 0 <= self.squeeze < 1, "at least 0 and below 1")
        for field in ("joint_noise", "point_noise"):
            std = getattr(self, field)
            check(field, 0 <= std < math.inf, "a standard deviation, at least 0")

    def __call__(
        self,
        clip: np.ndarray,
        skeleton: Skeleton,
        rng: np.random.Generator,
        reflect: Callable[[np.ndarray, Skeleton], np.ndarray] | None = None,
    ) -> np.ndarray:
        """Augments a clip [T, J, C] to [T', J, C]; disabled changes draw no random numbers.

        Args:
          clip: the clip.
          skeleton: of its joints.
          rng: draws what is random.
          reflect: function that mirrors the clip; None: `mirror` of this module.

        Raises:
          ValueError: `squeeze` is set for a clip of rotations, or a clip to be mirrored does not
            have the joints of the skeleton.
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
            clip = (reflect or mirror)(clip, skeleton)
        if self.reverse and rng.random() < self.reverse:
            clip = reverse(clip)
        if self.joint_noise:
            clip = joint_noise(clip, self.joint_noise, rng, dims)
        if self.point_noise:
            clip = point_noise(clip, self.point_noise, rng, dims)
        return clip
