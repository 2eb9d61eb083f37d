"""Readers: one file a source format, from raw files to joints and captions.

A reader knows its format and nothing of records, patches or splits of ours. What it finds wrong
with a source it raises as `Spoiled`, under one of `REASONS`; the survey (data_prep/report.py)
counts it.
"""

import dataclasses
from collections.abc import Iterable
from typing import Protocol

import numpy as np

from motionalign.skeleton import SKELETONS, Skeleton

FPS = 20.0  # of every record; the published models see nothing else

REASONS = {
    "duplicate_id": "the name is listed more than once",
    "motion_missing": "no motion file",
    "motion_unreadable": "NumPy cannot read the motion file",
    "wrong_shape": "the motion is not [frames, joints, 3] numbers",
    "not_finite": "the motion holds NaN or infinity, or would as float16, z-scored",
    "too_short": "fewer frames than --min_frames, after cutting",
    "text_missing": "no text file",
    "text_malformed": "not caption#tokens#start#end",
    "caption_empty": "the caption has no words",
    "span_outside": "the span is not within the motion; an end up to 1 s past it is cut",
}


class Spoiled(Exception):
    """A source or caption line that cannot be used, and why."""

    def __init__(self, reason: str, detail: str):
        assert reason in REASONS, reason
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


@dataclasses.dataclass(frozen=True)
class Caption:
    """A sentence about seconds `start` to `end` of a source; (0, 0) is all of it."""

    text: str
    start: float = 0.0
    end: float = 0.0

    @property
    def is_whole(self) -> bool:
        return self.start == 0 and self.end == 0


class Reader(Protocol):
    """What a source format offers. Sources go by the names of the split files."""

    skeleton: Skeleton
    source_fps: float
    unit_in_metres: float | None  # None: unknown

    def splits(self) -> dict[str, list[str]]:
        """The names listed in each split, as listed, repeats included."""

    def joints(self, source: str) -> np.ndarray:
        """[T, M, J, C] float32 at `source_fps`, Y up; raises Spoiled."""

    def captions(self, source: str) -> list[Caption | Spoiled]:
        """One entry a caption line, in file order; raises Spoiled if there is no text at all."""

    def dissimilar_test(self) -> list[str]:
        """Names of the published dissimilar test subset; empty where there is none."""


class Clips:
    """A reader over clips that are in memory already, at 20 fps and in metres."""

    source_fps = FPS
    unit_in_metres = 1.0

    def __init__(self, clips: Iterable, skeleton: str = "smpl22"):
        """`clips`: objects with a unique id, split, joints [T, J, 3] and captions (list of str)."""
        self.skeleton = SKELETONS[skeleton]
        self._clips = {}
        for clip in clips:
            if clip.id in self._clips:
                raise ValueError(f"two clips have the id {clip.id!r}; ids must be unique")
            self._clips[clip.id] = clip

    def splits(self) -> dict[str, list[str]]:
        names = {"train": [], "val": [], "test": []}
        for clip in self._clips.values():
            names[clip.split].append(clip.id)
        return names

    def joints(self, source: str) -> np.ndarray:
        return self._clips[source].joints[:, None].astype(np.float32)

    def captions(self, source: str) -> list[Caption | Spoiled]:
        return [Caption(text) for text in self._clips[source].captions]

    def dissimilar_test(self) -> list[str]:
        return []
