"""What the results of action recognition are told by: counts, intervals and copied clips."""

import math
from collections.abc import Sequence

import numpy as np

_NORMAL = 1.959963984540054  # of the normal distribution, 95 % is within as many deviations


def copies(clips: Sequence[np.ndarray], training: Sequence[np.ndarray]) -> np.ndarray:
    """Which clips [N] are equal to a training clip, joint for joint."""
    known = {(clip.shape, clip.tobytes()) for clip in training}
    return np.array([(clip.shape, clip.tobytes()) in known for clip in clips], bool)


def outcome(right: np.ndarray, copied: np.ndarray) -> dict[str, int]:
    """Counts of clips and right answers, and the same of the clips that are no copies.

    Args:
      right: [N] whether a clip got the right answer.
      copied: [N] whether it equals a training clip.
    """
    return {
        "clips": len(right),
        "right": int(right.sum()),
        "new_clips": int((~copied).sum()),
        "new_right": int(right[~copied].sum()),
    }


def wilson(right: int, count: int) -> tuple[float, float]:
    """The 95 % score interval of a share, in percent (Wilson, 1927); of none, 0 to 100."""
    if not count:
        return 0.0, 100.0
    share, over = right / count, _NORMAL**2 / count
    centre = (share + over / 2) / (1 + over)
    spread = math.sqrt(share * (1 - share) * over + (over / 2) ** 2) / (1 + over)
    return 100 * max(0.0, centre - spread), 100 * min(1.0, centre + spread)


def percent(right: int, count: int) -> str:
    """The cell of an accuracy: percent, its 95 % interval, the counts; empty for no clips."""
    if not count:
        return ""
    low, high = wilson(right, count)
    return f"{100 * right / count:.1f} [{low:.1f}, {high:.1f}] ({right}/{count})"
