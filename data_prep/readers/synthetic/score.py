"""A score: keyframes that consecutive actions write, played into joints.

Actions use relative units: seconds from the start of the action, lengths in leg lengths, angles in
degrees, feet relative to their standing position. A key sets the complete pose of its channel;
omitted values are neutral. Before its first key in an action, a channel keeps its last value.
"""

import contextlib
import math
from collections.abc import Generator, Iterable, Sequence

import numpy as np

from data_prep.readers.synthetic.body import SIDES, SIGN, Body, joint_positions, rotation

FPS = 20

# Poses of an arm: raise, azimuth, twist, bend.
ARMS = {
    "down": (4.0, 25.0, 0.0, 14.0),
    "overhead": (172.0, 15.0, 0.0, 6.0),
    "front": (90.0, -2.0, 0.0, 6.0),
    "out": (90.0, 88.0, 0.0, 6.0),
    "back": (-38.0, 0.0, 0.0, 10.0),
    "hips": (35.0, 125.0, -75.0, 100.0),
    "head": (125.0, 75.0, 0.0, 138.0),
    "folded": (42.0, -5.0, -75.0, 95.0),
    "face": (80.0, 10.0, -25.0, 132.0),
    "salute": (92.0, 75.0, -15.0, 132.0),
    "flexed": (90.0, 88.0, 0.0, 105.0),
    "guard": (25.0, 15.0, -8.0, 128.0),
    "knees": (85.0, -12.0, -20.0, 45.0),
}


def interpolate(times: np.ndarray, values: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Monotone cubic interpolation (Fritsch and Carlson, 1980): smooth, without overshoot.

    Args:
      times: [K] times of the keys, increasing.
      values: [K, C] values of the keys.
      at: [T] times to evaluate at; outside of `times`, the nearest value is used.

    Returns:
      [T, C] values.
    """
    if len(times) == 1:
        return np.repeat(values, len(at), axis=0)
    step = np.diff(times)[:, None]
    slope = np.diff(values, axis=0) / step
    before, after = slope[:-1], slope[1:]
    tangent = np.zeros_like(values)
    product = before * after
    np.divide(2.0 * product, before + after, out=tangent[1:-1], where=product > 0)
    start, end = tangent[:-1], tangent[1:]
    cubic = (start + end - 2 * slope) / step**2
    square = (3 * slope - 2 * start - end) / step
    k = np.clip(np.searchsorted(times, at, side="right") - 1, 0, len(step) - 1)
    x = (np.clip(at, times[0], times[-1]) - times[k])[:, None]
    return values[k] + x * (start[k] + x * (square[k] + x * cubic[k]))


class Score:
    """The keyframes of one clip.

    Attributes:
      body: the bones.
      place: (x, z) in leg lengths, the person's position at the start of the current action.
      heading: the person's heading in degrees at the start of the current action.
      rate: factor on all durations of the current action; above 1 is slower.
      hip, toe: distances of the ball of a foot from the pelvis when standing, outwards and
        forwards, in leg lengths.
    """

    def __init__(self, body: Body) -> None:
        """An empty score: `body` stands at the origin in the neutral stance and faces +Z."""
        self.body = body
        self.place, self.heading, self.rate = (0.0, 0.0), 0.0, 1.0
        self.hip, self.toe = (float(length) for length in body.foot / body.leg)
        self._now = 0.0
        self._tracks: dict[str, list[tuple[float, tuple[float, ...]]]] = {
            "ground": [(0.0, (0.0, 0.0, 0.0))],
            "torso": [(0.0, (0.0,) * 6)],
            **{f"{side}_arm": [(0.0, ARMS["down"])] for side in SIDES},
            **{f"{side}_foot": [(0.0, self._foot_at(side))] for side in SIDES},
        }

    def torso(
        self,
        time: float,
        height: float = 0.0,
        pitch: float = 0.0,
        lean: float = 0.0,
        side: float = 0.0,
        twist: float = 0.0,
        nod: float = 0.0,
    ) -> None:
        """Sets the trunk: see `body.joint_positions`; `height` in leg lengths."""
        self._key("torso", time, (height, pitch, lean, side, twist, nod))

    def hips(self, time: float, ahead: float = 0.0, left: float = 0.0, turn: float = 0.0) -> None:
        """Sets the pelvis on the ground plane, relative to the person's position and heading."""
        self._key("ground", time, (*self.spot(ahead, left), self.heading + turn))

    def arm(self, side: str, time: float, pose: Sequence[float] = ARMS["down"]) -> None:
        """Sets one arm: (raise, azimuth, twist, bend)."""
        self._key(f"{side}_arm", time, pose)

    def arms(self, time: float, pose: Sequence[float] = ARMS["down"]) -> None:
        """Sets both arms to the same pose."""
        for side in SIDES:
            self.arm(side, time, pose)

    def foot(
        self,
        side: str,
        time: float,
        out: float = 0.0,
        ahead: float = 0.0,
        up: float = 0.0,
        turn: float = 0.0,
        heel: float = 0.0,
    ) -> None:
        """Sets the ball of a foot, relative to its standing position; `heel`: lift of the heel."""
        self._key(f"{side}_foot", time, self._foot_at(side, out, ahead, up, turn, heel))

    def feet(self, time: float, **pose: float) -> None:
        """Sets both feet to the same pose."""
        for side in SIDES:
            self.foot(side, time, **pose)

    def spot(self, ahead: float = 0.0, left: float = 0.0, turn: float = 0.0) -> tuple[float, float]:
        """(x, z) of a point relative to the person (turned by `turn`), in leg lengths."""
        angle = math.radians(self.heading + turn)
        sin, cos = math.sin(angle), math.cos(angle)
        x, z = self.place
        return x + ahead * sin + left * cos, z + ahead * cos - left * sin

    def advance(
        self, time: float, ahead: float = 0.0, left: float = 0.0, turn: float = 0.0
    ) -> None:
        """Ends the action, or one repetition of it, after moving and turning this far."""
        self._now += time * self.rate
        self.place = self.spot(ahead, left)
        self.heading += turn

    @contextlib.contextmanager
    def at(self, ahead: float = 0.0, left: float = 0.0, turn: float = 0.0) -> Generator[None]:
        """Shifts the reference position and heading of keys written inside the context."""
        place, heading = self.place, self.heading
        self.place, self.heading = self.spot(ahead, left), heading + turn
        yield
        self.place, self.heading = place, heading

    def _foot_at(
        self,
        side: str,
        out: float = 0.0,
        ahead: float = 0.0,
        up: float = 0.0,
        turn: float = 0.0,
        heel: float = 0.0,
    ) -> tuple[float, ...]:
        x, z = self.spot(self.toe + ahead, SIGN[side] * (self.hip + out))
        return (x, up, z, self.heading + SIGN[side] * turn, heel)

    def _key(self, channel: str, time: float, value: Iterable[float]) -> None:
        track, time = self._tracks[channel], self._now + time * self.rate
        last, held = track[-1]
        if last < self._now - 1e-6 and time > self._now + 1e-6:
            track.append((self._now, held))
            last = self._now
        assert time >= last - 1e-6, f"{channel}: key at {time:.3f} s after one at {last:.3f} s"
        if abs(time - last) <= 1e-6:
            track.pop()
        track.append((max(time, last), tuple(float(v) for v in value)))

    def play(self, rng: np.random.Generator) -> np.ndarray:
        """Joints [T, 22, 3] in metres at 20 fps, with random tempo, pauses, pose and heading.

        The variation is much smaller than the differences between meanings: tempo ±5 %, bends of
        the trunk ±7 %, arms ±5 degrees, initial heading ±8 degrees.
        """
        tempo = rng.uniform(0.95, 1.05)
        before, after = rng.uniform(0.1, 0.4, 2)
        frames = np.arange(round((before + self._now * tempo + after) * FPS)) / FPS
        channels = {}
        for name, track in self._tracks.items():
            times = before + tempo * np.asarray([time for time, _ in track])
            channels[name] = interpolate(times, np.asarray([value for _, value in track]), frames)
        leg = self.body.leg
        ground, torso = channels["ground"], channels["torso"]
        ground[:, :2] *= leg
        ground[:, :2] += 0.005 * _drift(rng, frames, 2)
        torso[:, 0] *= leg
        torso[:, 1:] *= rng.uniform(0.93, 1.07)
        torso[:, 1:] += _drift(rng, frames, 5) + rng.uniform(-1.5, 1.5, 5)
        arms = np.stack([channels[f"{side}_arm"] for side in SIDES])
        arms += 1.5 * _drift(rng, frames, 4) + rng.uniform(-4, 4, (2, 1, 4))
        feet = np.stack([channels[f"{side}_foot"] for side in SIDES])
        feet[..., :3] *= leg
        faced = rotation("y", np.asarray(rng.uniform(-8, 8)))
        joints = joint_positions(self.body, ground, torso, arms, feet)
        return (joints @ faced.T).astype(np.float32)


def _drift(rng: np.random.Generator, frames: np.ndarray, channels: int) -> np.ndarray:
    """[T, channels] slow sway within ±1, so that nobody stands perfectly still."""
    frequency = rng.uniform(0.15, 0.5, channels)
    phase = rng.uniform(0, 2 * np.pi, channels)
    return np.sin(2 * np.pi * frequency * frames[:, None] + phase)
