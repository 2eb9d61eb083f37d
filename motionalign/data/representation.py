"""motionalign.data.representation."""

import threading
from collections.abc import Sequence

import numpy as np

from motionalign.data import augment
from motionalign.data.dataset import Dataset
from motionalign.data.records import Split

Batch = dict[str, np.ndarray]


class ClipCache:
    """The clips of one split, decoded once and kept while `budget` lasts.

    `budget` is a one-element list of bytes, shared by all caches of a run; `field` says what of a
    record is read: "patches", "joints" or "rotations".
    """

    _lock = threading.Lock()  # of the budget, and so of all caches

    def __init__(self, split: Split, budget: list[int], field: str = "patches"):
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


def round_up(length: int, buckets: Sequence[int]) -> int:
    """The smallest bucket that holds `length`; buckets ascend and the last one holds all."""
    return next((bucket for bucket in buckets if bucket >= length), buckets[-1])


def stack_patches(clips: Sequence[np.ndarray], num_frames: int) -> np.ndarray:
    """Clips [T, 5N, 3] → [B, num_frames, 5N, 3] float16, zeros where a clip has ended."""
    out = np.zeros((len(clips), num_frames, *clips[0].shape[1:]), np.float16)
    for i, clip in enumerate(clips):
        out[i, : len(clip)] = clip[:num_frames]
    return out


def field_of(motion) -> str:
    """The field of a record that a motion encoder's config reads."""
    if hasattr(motion, "patch_size"):
        return "patches"
    return "rotations" if motion.channels == 6 else "joints"


def check_fit(dataset: Dataset, motion) -> None:
    """A ValueError where the encoder of this config cannot read a dataset."""
    metadata, field = dataset.metadata, field_of(motion)
    if field == "patches":
        if metadata.skeleton.dims != 3:
            raise ValueError(
                f"dataset {dataset.name!r} has 2D joints ({metadata.skeleton.name}) and so no "
                "motion patches; encode it with config.model.motion.family='gaitformer'"
            )
        if metadata.patch_size != motion.patch_size:
            raise ValueError(
                f"dataset {dataset.name!r} was prepared with --patch_size={metadata.patch_size}; "
                f"the model has patch_size {motion.patch_size}"
            )
        return
    found = (
        (metadata.num_rotations, 6) if field == "rotations" else (metadata.skeleton.num_joints, 3)
    )
    if not found[0]:
        raise ValueError(f"dataset {dataset.name!r} has no rotations; the model reads them")
    if found != (motion.joints, motion.channels):
        raise ValueError(
            f"dataset {dataset.name!r} has {found[0]} joints of {found[1]} numbers (skeleton "
            f"{metadata.skeleton.name!r}); the model takes {motion.joints} of {motion.channels}"
        )


def frame_buckets(config, padding: str, max_frames: int, patch_size: int) -> tuple[int, ...]:
    """The padded lengths that batches may have; only `padding="mask"` may have several."""
    full = -(-max_frames // patch_size) * patch_size
    if padding != "mask":
        return (full,)
    step = -(-config.frame_bucket // patch_size) * patch_size
    return (*range(step, full, step), full)


def clip(joints: np.ndarray, config, frames: np.ndarray | None = None) -> np.ndarray:
    """Joints [T, J, C] as the model takes them: [F, J, C] float32.

    `frames` [F] says which; by default those of the config's window, the last one repeated where
    there are fewer. The root in the first of them is the origin.
    """
    if frames is None:
        frames = augment.inference_indices(len(joints), config.frames, config.window)
    joints = np.asarray(joints)[frames].astype(np.float32)  # a copy
    if config.root is not None:
        joints[..., : config.dims] -= joints[0, config.root, : config.dims].copy()
    return joints
