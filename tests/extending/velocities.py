"""A representation: how far every joint moves from one frame to the next."""

import dataclasses

import numpy as np

from motionalign.data.representation import Joints


@dataclasses.dataclass(frozen=True)
class Velocities(Joints):
    """Differences [F, J, C] of consecutive frames, the first 0."""

    has_root = False

    def _take(self, clip, frames):
        moved = np.diff(clip, axis=0, prepend=clip[:1])
        return super()._take(moved, frames)
