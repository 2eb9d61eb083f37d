"""The joints of a motion as a tree whose bones have lengths: what anatomy looks at."""

import functools
import warnings
from collections.abc import Sequence

import numpy as np

from motionalign.formats.motion import Motion

_FRAMES = 256  # frames, at most, from which lengths and directions are taken
_TOGETHER = 0.004  # distance over the rig's size below which two joints are at one place


class Rig:
    """A motion's joints, their tree, and their positions in some of its frames."""

    def __init__(self, motion: Motion) -> None:
        """Takes evenly spaced frames of all persons; without any, the rest pose."""
        self.names = motion.joint_names
        self.parents = motion.parents
        flat = motion.positions.reshape(-1, len(self.names), 3)
        measured = np.flatnonzero(np.isfinite(flat[..., :2]).all(-1).any(-1))
        chosen = measured[
            np.linspace(0, len(measured) - 1, min(len(measured), _FRAMES)).astype(int)
        ]
        self.frames = flat[chosen]  # [N, J, 3]
        if not len(chosen) and motion.rest is not None:
            self.frames = motion.rest[None]
        self._distances: dict[tuple[int, int], float] = {}

    @functools.cached_property
    def children(self) -> list[list[int]]:
        """The children of each joint."""
        found: list[list[int]] = [[] for _ in self.names]
        for joint, parent in enumerate(self.parents or ()):
            if parent >= 0:
                found[parent].append(joint)
        return found

    @functools.cached_property
    def size(self) -> float:
        """About the extent of the rig in its median frame; a joint far away does not count."""
        if not len(self.frames):
            return 0.0
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # joints and frames without a number
            middle = np.nanmedian(self.frames, axis=1, keepdims=True)
            distances = np.linalg.norm(self.frames - middle, axis=-1)
            size = 2 * np.nanmedian(np.nanquantile(distances, 0.9, axis=-1))
        return float(size) if np.isfinite(size) else 0.0

    def distance(self, a: int, b: int) -> float:
        """The distance of two joints in the median frame; 0 if they are never seen together."""
        a, b = min(a, b), max(a, b)
        if (a, b) not in self._distances:
            lengths = np.linalg.norm(self.frames[:, a] - self.frames[:, b], axis=-1)
            lengths = lengths[np.isfinite(lengths)]
            self._distances[a, b] = float(np.median(lengths)) if len(lengths) else 0.0
        return self._distances[a, b]

    def together(self, a: int, b: int) -> bool:
        """Whether two joints are at one place."""
        return self.distance(a, b) <= _TOGETHER * self.size

    def up_to_root(self, joint: int) -> list[int]:
        """A joint and those above it, the root last."""
        assert self.parents is not None
        path = [joint]
        while (parent := self.parents[path[-1]]) >= 0:
            path.append(parent)
        return path

    def meeting(self, joints: Sequence[int]) -> int | None:
        """The lowest joint that is above all of these, or one of them; None: of several trees."""
        paths = [self.up_to_root(joint) for joint in joints]
        shared = set(paths[0]).intersection(*paths[1:])
        return next((joint for joint in paths[0] if joint in shared), None)

    def between(self, a: int, b: int) -> list[int]:
        """The joints from a to b along the tree, both included."""
        top = self.meeting((a, b))
        assert top is not None, (a, b)
        up, down = self.up_to_root(a), self.up_to_root(b)
        return up[: up.index(top) + 1] + down[: down.index(top)][::-1]

    def below(self, joint: int) -> list[int]:
        """All joints below one, without it."""
        found = list(self.children[joint])
        for each in found:
            found += self.children[each]
        return found

    def cosine(self, a: int, b: int, c: int, d: int) -> float:
        """The cosine of the directions from a to b and from c to d, in the median frame."""
        first = self.frames[:, b] - self.frames[:, a]
        second = self.frames[:, d] - self.frames[:, c]
        norms = np.linalg.norm(first, axis=-1) * np.linalg.norm(second, axis=-1)
        with np.errstate(all="ignore"):
            cosines = (first * second).sum(-1) / norms
        cosines = cosines[np.isfinite(cosines)]
        return float(np.median(cosines)) if len(cosines) else 0.0
