"""The joints of a motion as a tree whose bones have lengths: what anatomy looks at."""

import functools
import warnings
from collections.abc import Sequence

import numpy as np

from motionalign.formats.motion import Motion, sorted_tree

_FRAMES = 256  # frames, at most, from which lengths and directions are taken
_LONGEST = 32  # joints of a way to a leaf that are looked at; limbs have fewer
_TOGETHER = 0.004  # distance over the rig's size below which two joints are at one place


class Rig:
    """A motion's joints, their tree, and their positions in some of its frames."""

    def __init__(self, motion: Motion, parents: Sequence[int] | None = None) -> None:
        """Takes evenly spaced frames of all persons; without any, the rest pose.

        Args:
          motion: the motion.
          parents: of the joints, where the motion has no tree; -1 is a root.
        """
        self.names = list(motion.joint_names)
        self.parents = motion.parents if motion.parents is not None else parents
        self.ends = frozenset(motion.ends)
        self.weights: list[tuple[tuple[int, float], ...]] = [
            ((joint, 1.0),) for joint in range(len(self.names))
        ]
        flat = motion.positions.reshape(-1, len(self.names), 3)
        seen = np.flatnonzero(np.isfinite(flat).all(-1).any(-1))
        chosen = seen[np.linspace(0, len(seen) - 1, min(len(seen), _FRAMES)).astype(int)]
        self.frames = flat[chosen]  # [N, J, 3]
        if not len(chosen) and motion.rest is not None:
            self.frames = motion.rest[None]
        if motion.dims == 2:
            self.frames = self.frames * [1, 1, 0]  # without the confidence
        self._distances: dict[tuple[int, int], float] = {}

    def mean(self, joints: Sequence[int], name: str) -> int:
        """The index of the mean of joints, which is added as one more; of one joint, its own."""
        if len(joints) == 1:
            return joints[0]
        while name in self.names:
            name += "'"
        self.names.append(name)
        self.weights.append(tuple((joint, 1 / len(joints)) for joint in joints))
        middle = self.frames[:, list(joints)].mean(1, keepdims=True)
        self.frames = np.concatenate([self.frames, middle], axis=1)
        return len(self.names) - 1

    @property
    def is_flat(self) -> bool:
        """Whether there is no tree that all joints are in."""
        return self.parents is None or len(self.names) > len(self.parents)

    @functools.cached_property
    def children(self) -> list[list[int]]:
        """The children of each joint."""
        found: list[list[int]] = [[] for _ in self.names]
        for joint, parent in enumerate(self.parents or ()):
            if parent >= 0:
                found[parent].append(joint)
        return found

    @functools.cached_property
    def order(self) -> list[int]:
        """The joints, parents before their children."""
        return sorted_tree(self.parents or ())

    @functools.cached_property
    def depth(self) -> list[int]:
        """How many joints are above each joint."""
        assert self.parents is not None
        depth = [0] * len(self.parents)
        for joint in self.order:
            if (parent := self.parents[joint]) >= 0:
                depth[joint] = depth[parent] + 1
        return depth

    @functools.cached_property
    def _following(self) -> dict[int, int]:
        """{joint: the child through which the way to a leaf is longest}, along the bones."""
        lengths: dict[int, float] = {}
        following: dict[int, int] = {}
        for joint in reversed(self.order):
            ways = [
                (self.distance(joint, child) + lengths[child], child)
                for child in self.children[joint]
            ]
            if ways:
                # Of equal ways the first: a leaf at the same place adds nothing.
                lengths[joint], following[joint] = max(ways, key=lambda way: way[0])
            else:
                lengths[joint] = 0.0
        return following

    def longest(self, joint: int) -> list[int]:
        """The longest way from a joint to a leaf, its first joints."""
        path = [joint]
        while path[-1] in self._following and len(path) < _LONGEST:
            path.append(self._following[path[-1]])
        return path

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
        """The joints from a to b along the tree, both included; trees are joined at their roots."""
        up, down = self.up_to_root(a), self.up_to_root(b)
        top = self.meeting((a, b))
        if top is None:
            return up + down[::-1]
        return up[: up.index(top) + 1] + down[: down.index(top)][::-1]

    def below(self, joint: int) -> list[int]:
        """All joints below one, without it."""
        found = list(self.children[joint])
        for each in found:
            found += self.children[each]
        return found

    def cosine(self, a: int, b: int, c: int, d: int) -> float:
        """The cosine of the directions from a to b and from c to d, in the median frame."""
        cosines = self.cosines(a, b, c, d)
        return float(np.median(cosines)) if len(cosines) else 0.0

    def cosines(self, a: int, b: int, c: int, d: int) -> np.ndarray:
        """The cosines of the directions from a to b and from c to d, in frames where they exist."""
        first = self.frames[:, b] - self.frames[:, a]
        second = self.frames[:, d] - self.frames[:, c]
        norms = np.linalg.norm(first, axis=-1) * np.linalg.norm(second, axis=-1)
        with np.errstate(all="ignore"):
            cosines = (first * second).sum(-1) / norms
        return cosines[np.isfinite(cosines)]
