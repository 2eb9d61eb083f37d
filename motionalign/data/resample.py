"""Motion from one frame rate to another."""

import numpy as np

KIT_ML_FPS, HUMANML3D_FPS = 12.5, 20.0


def resample(joints: np.ndarray, fps: float, target_fps: float) -> np.ndarray:
    """Joints [T, ...] at `fps` → [T', ...] at `target_fps`.

    12.5 to 20 follows the rule of the published KIT-ML loader, because models are trained on what
    it gives; all else is interpolated linearly in time, the first frame kept.
    """
    if joints.dtype.kind in "iu":  # positions between two whole numbers are none
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
    """How many frames `resample` makes of `num_frames`, of which there are at least 2."""
    if fps == target_fps:
        return num_frames
    if (fps, target_fps) == (KIT_ML_FPS, HUMANML3D_FPS):
        return len(kit_ml_frames(num_frames))
    return max(2, int(np.floor((num_frames - 1) * target_fps / fps + 1e-6)) + 1)


def kit_ml_frames(num_frames: int) -> np.ndarray:
    """The frames at 12.5 fps that make up 20 fps by the published rule, [T'] int.

    Every 12 frames become 20 by repetition, in the last block as well. 12 and not 12.5, as the
    published code rounds the rate down to whole frames a second (25 frames give 42); clips play
    4% slower for it, in their numbers and in ours.
    """
    block, second = int(KIT_ML_FPS), int(HUMANML3D_FPS)
    blocks, frame = np.divmod(np.arange((num_frames // block + 1) * second), second)
    index = blocks * block + np.floor(KIT_ML_FPS / HUMANML3D_FPS * frame).astype(int)
    return index[index < num_frames]


def nearest_frames(num_frames: int, fps: float, target_fps: float) -> np.ndarray:
    """The frames at `fps` that are nearest to those at `target_fps`, [T'] int; a tie goes up.

    As many as lie within the clip; the first is the first. Nearest, as rotations are not numbers
    that one may interpolate, and at AMASS's 60 to 250 a second the error is a few milliseconds.
    """
    if not num_frames:
        return np.zeros(0, int)
    # Published rates are rounded (59.99): a frame that misses the end by that is one of them.
    count = int((num_frames - 1) * target_fps / fps + 1e-6) + 1
    nearest = np.floor(np.arange(count) * fps / target_fps + 0.5).astype(int)
    return np.minimum(nearest, num_frames - 1)
