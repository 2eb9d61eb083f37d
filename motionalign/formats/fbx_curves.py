"""Animation curves of FBX: keys, and what is between them.

Constant, linear and cubic keys are as documented in Autodesk's FbxAnimCurveDef; tangents that a
program leaves to be computed are as the library ufbx has found them to be. Not read are tension,
weights of tangents and bias. Keys of recorded motion are frames, for which none of that matters.
"""

import dataclasses

import numpy as np

from motionalign.formats.fbx_records import Record

_CONSTANT, _LINEAR, _CUBIC = 0x2, 0x4, 0x8  # interpolations in a key's flags
_USER = 0x400  # tangents that are stored
_NEXT = 0x100  # of a constant key: the value is the next key's
# Of tangents that are computed: flat beside an equal key, by the neighbours alone, no overshooting.
_CLAMPED, _TIME_INDEPENDENT, _PROGRESSIVE = 0x1000, 0x2000, 0x4000
_EQUAL = 0.001

_SLACK = 1e-9  # seconds by which a frame may be before the key that it is to have, by rounding


@dataclasses.dataclass(frozen=True)
class Curve:
    """One number over time.

    Attributes:
      times: [K] seconds, ascending.
      values: [K].
      slopes: [K - 1, 2] per second: after a key, and before the next.
      steps: [K - 1] whether the value is constant after a key; None: nowhere.
      early: [K - 1] whether such a value is the next key's.
    """

    times: np.ndarray
    values: np.ndarray
    slopes: np.ndarray
    steps: np.ndarray | None
    early: np.ndarray

    @classmethod
    def of(cls, record: Record, ticks: int) -> "Curve | None":
        """The curve of a record; None if it has no keys.

        Args:
          record: an AnimationCurve.
          ticks: per second of the key times.

        Raises:
          ValueError: times and values do not fit together, or are no finite numbers.
        """
        times, values = record.array("KeyTime"), record.array("KeyValueFloat")
        if times is None or values is None or not len(times):
            return None
        times, values = times.astype(np.float64) / ticks, values.astype(np.float64)
        if len(times) != len(values):
            raise ValueError(f"a curve has {len(times)} key times and {len(values)} values")
        if not (np.isfinite(values).all() and np.isfinite(times).all()):
            raise ValueError(f"a curve of {len(times)} keys has a value that is no finite number")
        if (np.diff(times) < 0).any():
            key = int(np.argmax(np.diff(times) < 0)) + 1
            raise ValueError(f"the time of key {key} of a curve is before that of the one before")
        flags, stored = _attributes(record, len(times))
        between = flags[:-1]
        steps = between & _CONSTANT != 0
        return cls(
            times,
            values,
            _slopes(times, values, flags, stored),
            steps if steps.any() else None,
            between & _NEXT != 0,
        )

    def at(self, times: np.ndarray) -> np.ndarray:
        """Values [t] at times [t]; before the first and after the last key, theirs."""
        if len(self.times) == 1:
            return np.full(len(times), self.values[0])
        before = np.searchsorted(self.times, times, side="right") - 1
        before = np.clip(before, 0, len(self.times) - 2)
        length = self.times[before + 1] - self.times[before]
        t = np.clip((times - self.times[before]) / np.where(length > 0, length, 1), 0, 1)
        t = np.where((length <= 0) & (times >= self.times[before + 1]), 1, t)
        a, b = self.values[before], self.values[before + 1]
        out, into = self.slopes[before].T * length
        t2, t3 = t**2, t**3
        found = (2 * t3 - 3 * t2 + 1) * a + (3 * t2 - 2 * t3) * b
        found += (t3 - 2 * t2 + t) * out + (t3 - t2) * into
        if self.steps is None:
            return found
        return np.where(*self._held(times), found)

    def _held(self, times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Where the curve is constant, and the values [t] that it has there."""
        assert self.steps is not None
        last = len(self.times) - 1
        before = np.searchsorted(self.times, times + _SLACK, side="right") - 1
        before = np.clip(before, 0, last)
        after = np.minimum(np.searchsorted(self.times, times - _SLACK), last)
        step = np.minimum(before, last - 1)
        return self.steps[step], self.values[np.where(self.early[step], after, before)]


def _attributes(record: Record, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Flags [K] of the keys and their two stored slopes [K, 2]; linear where there are none.

    Flags and four numbers each are stored for runs of keys.
    """
    flags, data = record.array("KeyAttrFlags"), record.array("KeyAttrDataFloat")
    runs = record.array("KeyAttrRefCount")
    none = np.full(count, _LINEAR), np.zeros((count, 2))
    if flags is None or runs is None or len(flags) != len(runs) or (runs < 0).any():
        return none
    if int(runs.astype(np.int64).sum()) != count:
        return none
    slopes = np.zeros((len(runs), 2))
    if data is not None and len(data) == 4 * len(runs):
        slopes = data.view("<f4").reshape(-1, 4)[:, :2].astype(np.float64)
        slopes = np.where(np.isfinite(slopes), slopes, 0)
    return np.repeat(flags, runs), np.repeat(slopes, runs, 0)


def _slopes(
    times: np.ndarray, values: np.ndarray, flags: np.ndarray, stored: np.ndarray
) -> np.ndarray:
    """Slopes [K - 1, 2] after each key and before the next."""
    lengths = np.diff(times)
    chords = np.diff(values) / np.where(lengths > 0, lengths, 1)
    if not len(chords):
        return np.zeros((0, 2))
    slopes = np.stack([chords, chords], -1)
    cubic = flags & _CUBIC != 0
    if cubic[:-1].any():
        # A key stores its own slope and the slope before the next key.
        own = _through_neighbours(times, values, chords, flags)
        computed = cubic & (flags & _USER == 0)
        right = np.where(computed[:-1], own[:-1], stored[:-1, 0])
        left = np.where(computed[1:], own[1:], stored[:-1, 1])
        slopes = np.where(cubic[:-1, None], np.stack([right, left], -1), slopes)
    return slopes


def _through_neighbours(
    times: np.ndarray, values: np.ndarray, chords: np.ndarray, flags: np.ndarray
) -> np.ndarray:
    """Slopes [K] of keys whose tangents are left to be computed."""
    spans = times[2:] - times[:-2]
    spans = np.where(spans > 0, spans, 1)
    inner = (values[2:] - values[:-2]) / spans
    share = (times[1:-1] - times[:-2]) / spans
    mean = chords[:-1] * (1 - share) + chords[1:] * share
    inner = np.where(flags[1:-1] & _TIME_INDEPENDENT != 0, inner, (inner + mean) / 2)
    own = np.concatenate([chords[:1], inner, chords[-1:]])
    before, after = np.append(chords[:1], chords), np.append(chords, chords[-1:])
    most = 3 * np.minimum(np.abs(before), np.abs(after)) * (before * after > 0)
    most[[0, -1]] = 0
    own = np.where(flags & _PROGRESSIVE != 0, np.clip(own, -most, most), own)
    steps = np.abs(np.diff(values))
    near = np.minimum(np.append(steps[:1], steps), np.append(steps, steps[-1:])) <= _EQUAL
    return np.where(near & (flags & _CLAMPED != 0), 0, own)
