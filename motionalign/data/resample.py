"""Frame rates: their check, and the conversion of motion from one to another."""

import numbers
from typing import Any

import numpy as np

KIT_ML_FPS, HUMANML3D_FPS = 12.5, 20.0

# Time-lapse and the fastest motion capture lie within; what lies outside is a period, a number of
# frames or a slip.
LOWEST_FPS, HIGHEST_FPS = 1.0, 1000.0


def check_fps(fps: Any, what: str = "fps") -> float:
    """The frame rate as a float, from any source: an option, a file, an argument.

    Args:
      fps: the value found.
      what: where it was found, for the message: an option (`--fps`), or a file and its key.

    Raises:
      ValueError: it is not a number from 1 to 1000, such as None, NaN, infinity or zero.
    """
    number = isinstance(fps, numbers.Real | np.number) and not isinstance(fps, bool | np.bool_)
    if not (number and LOWEST_FPS <= fps <= HIGHEST_FPS):
        raise ValueError(
            f"{what}={fps}; expected a positive number of frames per second, from "
            f"{LOWEST_FPS:g} to {HIGHEST_FPS:g}"
        )
    return float(fps)


def resample(joints: np.ndarray, fps: float, target_fps: float) -> np.ndarray:
    """Resamples joints [T, ...] at `fps` to [T', ...] at `target_fps`.

    12.5 to 20 frames per second follows the rule of the published KIT-ML loader, because published
    models are trained on its output. All other rates are interpolated linearly in time; the first
    frame stays the first.
    """
    if joints.dtype.kind in "iu":  # interpolated positions are not integers
        joints = joints.astype(np.float32)
    if fps == target_fps:
        return joints
    if (fps, target_fps) == (KIT_ML_FPS, HUMANML3D_FPS):
        return joints[kit_ml_frames(len(joints))]
    count = resampled_length(len(joints), fps, target_fps)
    position = np.minimum(np.arange(count) * fps / target_fps, len(joints) - 1)
    left = np.minimum(position.astype(int), len(joints) - 2)
    fraction = (position - left).astype(joints.dtype).reshape(-1, *[1] * (joints.ndim - 1))
    return joints[left] * (1 - fraction) + joints[left + 1] * fraction


def resampled_length(num_frames: int, fps: float, target_fps: float) -> int:
    """How many frames `resample` returns for `num_frames` >= 2 frames."""
    if fps == target_fps:
        return num_frames
    if (fps, target_fps) == (KIT_ML_FPS, HUMANML3D_FPS):
        return len(kit_ml_frames(num_frames))
    return max(2, int(np.floor((num_frames - 1) * target_fps / fps + 1e-6)) + 1)


def kit_ml_frames(num_frames: int) -> np.ndarray:
    """Indices [T'] of the frames at 12.5 fps that form the clip at 20 fps by the published rule.

    Every block of 12 frames becomes 20 by repetition, including the last, incomplete block (25
    frames become 42). The published code truncates the rate from 12.5 to 12 frames per second, so
    resampled clips play 4% slower than they should, in published results and here.
    """
    block, second = int(KIT_ML_FPS), int(HUMANML3D_FPS)
    blocks, frame = np.divmod(np.arange((num_frames // block + 1) * second), second)
    index = blocks * block + np.floor(KIT_ML_FPS / HUMANML3D_FPS * frame).astype(int)
    return index[index < num_frames]


def nearest_frames(num_frames: int, fps: float, target_fps: float) -> np.ndarray:
    """Indices [T'] of the frames at `fps` nearest to those at `target_fps`; ties round up.

    The first frame stays the first, and T' is the number of target frames within the clip. Taking
    the nearest frames avoids interpolating rotations; at AMASS's 60 to 250 frames per second the
    timing error is a few milliseconds.
    """
    if not num_frames:
        return np.zeros(0, int)
    # The tolerance keeps a last frame that misses the end by rounding; published rates are rounded
    # (59.99).
    count = int((num_frames - 1) * target_fps / fps + 1e-6) + 1
    nearest = np.floor(np.arange(count) * fps / target_fps + 0.5).astype(int)
    return np.minimum(nearest, num_frames - 1)
