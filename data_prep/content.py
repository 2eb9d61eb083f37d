"""What the joints of clips say about one another: the same clip twice, and mirrored twins.

Names say little: a copy may have another name, and M000123 need not be the mirror image of 000123.
"""

import collections
import dataclasses
import hashlib
from collections.abc import Collection, Iterable

import numpy as np

from motionalign.skeleton import Skeleton

_OUTLINE = 8  # frames that are compared of a clip and its supposed twin

# How far the joints of a twin may be from the mirror image, as a share of the body's size. The
# published datasets mirror a clip first and then fit a skeleton whose sides differ a little.
_TOLERANCE = 0.15


@dataclasses.dataclass(frozen=True)
class Content:
    """What is kept of a clip's joints.

    Attributes:
      digest: a hash of the joints as float32.
      mirrored: the same of their mirror image.
      num_frames: their length.
      outline: [_OUTLINE, M, J, C] frames spread over them; None where nothing is compared with it.
    """

    digest: bytes
    mirrored: bytes
    num_frames: int
    outline: np.ndarray | None = None

    @classmethod
    def of(cls, joints: np.ndarray, skeleton: Skeleton, outline: bool = False) -> "Content":
        """The content of joints [T, M, J, C], with or without an outline."""
        frames = np.linspace(0, len(joints) - 1, _OUTLINE).round().astype(int)
        hashes = _digest(joints), _digest(skeleton.mirrored(joints))
        return cls(*hashes, len(joints), joints[frames] if outline else None)

    @property
    def key(self) -> tuple[bytes, bytes]:
        """Equal for a clip, its copies and its exact mirror images."""
        first, second = sorted((self.digest, self.mirrored))
        return first, second

    def mirrors(self, other: "Content", skeleton: Skeleton) -> bool:
        """Whether one is the mirror image of the other, exactly or by a tolerance.

        The position and heading of the two are not compared, as a clip may have been moved to the
        origin and turned after it was mirrored. A copy that was not mirrored is no twin, however
        symmetric its motion.
        """
        if self.digest == other.mirrored:
            return True
        if self.num_frames != other.num_frames or self.digest == other.digest:
            return False
        assert self.outline is not None and other.outline is not None
        if self.outline.shape != other.outline.shape:
            return False
        return distance(self.outline, skeleton.mirrored(other.outline), skeleton.dims) < _TOLERANCE


class Contents:
    """The content of the clips of a source.

    Attributes:
      of: {name: content} of the clips that were added, in this order.
    """

    def __init__(self, names: Collection[str], skeleton: Skeleton) -> None:
        """`names`: all names in the split files; `skeleton`: of the clips."""
        self.of: dict[str, Content] = {}
        self._skeleton = skeleton
        names = {*names}
        self._named = {name: name[1:] for name in names if name[0] == "M" and name[1:] in names}
        self._compared = {*self._named, *self._named.values()}

    def add(self, name: str, joints: np.ndarray) -> None:
        """Adds the joints [T, M, J, C] of a clip."""
        self.of[name] = Content.of(joints, self._skeleton, name in self._compared)

    def twins(self) -> tuple[dict[str, str], list[str]]:
        """Which clips mirror which others, by their content.

        A name M<x> is believed where the joints of one of the two could not be read. A clip with
        another name is a twin if it is the exact mirror image of one before it.

        Returns:
          {twin: its original}, and the names M<x> that are not the mirror image of x.
        """
        found, by_name_only = {}, []
        for name, original in sorted(self._named.items()):
            twin, other = self.of.get(name), self.of.get(original)
            if twin is None or other is None or twin.mirrors(other, self._skeleton):
                found[name] = original
            else:
                by_name_only.append(name)
        first: dict[bytes, str] = {}
        for name, content in self.of.items():
            original = first.get(content.mirrored, "")
            symmetric = content.mirrored == content.digest
            if original and name not in found and original not in found and not symmetric:
                found[name] = original
            first.setdefault(content.digest, name)
        return found, by_name_only

    def same(self, names: Iterable[str]) -> list[list[str]]:
        """Groups of two and more of these names with the same joints, in the order of the names."""
        groups = collections.defaultdict(list)
        for name in names:
            groups[self.of[name].digest].append(name)
        return [group for group in groups.values() if len(group) > 1]


def distance(joints: np.ndarray, other: np.ndarray, dims: int) -> float:
    """How far two motions are apart, as a share of the body's size.

    In 3D, one is first moved and turned about the vertical (Y) to lie on the other as well as
    possible; in 2D, it is moved.

    Args:
      joints, other: [T, M, J, C].
      dims: how many of the C channels are coordinates.

    Returns:
      The root of the mean squared distance of the joints, divided by that of the joints of a frame
      from their mean. 0 for equal motions; around 1 for unrelated ones.
    """
    a, b = (x[..., :dims].astype(np.float64) for x in (joints, other))
    size = np.sqrt(np.square(a - a.mean(axis=2, keepdims=True)).sum(-1).mean())
    a, b = (x - x.mean(axis=(0, 1, 2)) for x in (a, b))
    if dims == 3:
        p, q = (x[..., 0] + 1j * x[..., 2] for x in (a, b))
        turn = np.vdot(q, p)  # the best rotation of q onto p, times a positive number
        q = q * (turn / abs(turn) if turn else 1)
        b = np.stack([q.real, b[..., 1], q.imag], axis=-1)
    apart = np.sqrt(np.square(a - b).sum(-1).mean())
    return float(apart / size) if size else float(np.inf if apart else 0.0)


def _digest(joints: np.ndarray) -> bytes:
    """A hash of the shape and the bytes of joints; 0 and -0 are the same."""
    array = np.ascontiguousarray(joints, np.float32) + np.float32(0)
    return hashlib.blake2b(array.tobytes(), digest_size=16, key=str(array.shape).encode()).digest()
