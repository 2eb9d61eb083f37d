"""Locomotion of the synthetic human: walking, running, turning, side steps, jumps and hops."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from data_prep.readers.synthetic.body import OTHER, SIDES, SIGN
from data_prep.readers.synthetic.score import ARMS, Score

Path = Callable[[float], tuple[float, float, float]]  # progress 0..1 to (ahead, left, turn)


@dataclasses.dataclass(frozen=True)
class Gait:
    """Parameters of the motion of feet, trunk and arms in locomotion; lengths in leg lengths.

    Attributes:
      step: length of a step.
      time: duration of a step in seconds.
      swing: fraction of the step's duration that a foot is in the air; above 1, there is a flight
        phase.
      lift: height of the swinging foot.
      heel: lift of the heel as a foot leaves the ground, in degrees.
      bounce: rise of the pelvis over the standing leg; if negative, it rises between the steps.
      sway: sideways shift of the pelvis towards the standing leg.
      trunk: `Score.torso` pose of the trunk throughout.
      arm_swing: swing of the arms to the front and back, opposite to the legs, in degrees.
      arm_bend: bend of the elbows in degrees.
      arms: fixed poses of the (left, right) arm; None lets that arm swing.
      limp: the side of a limping leg, if any.
      wide: additional distance of each foot from the midline.
    """

    step: float = 0.72
    time: float = 0.52
    swing: float = 0.8
    lift: float = 0.09
    heel: float = 38.0
    bounce: float = 0.012
    sway: float = 0.035
    trunk: Mapping[str, float] = dataclasses.field(default_factory=dict)
    arm_swing: float = 27.0
    arm_bend: float = 16.0
    arms: tuple = (None, None)
    limp: str | None = None
    wide: float = 0.0


WALK = Gait()

JOG = Gait(
    step=0.85,
    time=0.36,
    swing=1.2,
    lift=0.22,
    heel=60.0,
    bounce=-0.05,
    sway=0.0,
    trunk={"pitch": 6.0, "lean": 4.0},
    arm_swing=32.0,
    arm_bend=80.0,
)

SPRINT = Gait(
    step=1.4,
    time=0.33,
    swing=1.3,
    lift=0.38,
    heel=70.0,
    bounce=-0.06,
    sway=0.0,
    trunk={"pitch": 14.0, "lean": 8.0},
    arm_swing=55.0,
    arm_bend=95.0,
)

MARCH = Gait(step=0.0, time=0.5, lift=0.5, heel=25.0, arm_swing=48.0, arm_bend=45.0)

TROT = dataclasses.replace(JOG, step=0.0)  # in place

SIDESTEP = Gait(step=0.5, time=0.42, heel=12.0, bounce=0.0, arm_swing=0.0)

PIVOT = Gait(step=0.0, time=0.46, heel=20.0, sway=0.02, arm_swing=8.0)

# The changes of a gait for each manner of moving.
MANNERS = {
    "arms-overhead": {"arms": (ARMS["overhead"], ARMS["overhead"])},
    "arms-out": {"arms": (ARMS["out"], ARMS["out"])},
    "arms-front": {"arms": (ARMS["front"], ARMS["front"])},
    "left-arm-up": {"arms": (ARMS["overhead"], None)},
    "right-arm-up": {"arms": (None, ARMS["overhead"])},
    "hands-on-hips": {"arms": (ARMS["hips"], ARMS["hips"])},
    "hands-on-head": {"arms": (ARMS["head"], ARMS["head"])},
    "hunched": {"trunk": {"pitch": 24, "lean": 48, "nod": 10}, "arm_swing": 12.0},
    "crouched": {"trunk": {"height": -0.38, "pitch": 18, "lean": 12}},
    "leaning-left": {"trunk": {"side": 32}},
    "leaning-right": {"trunk": {"side": -32}},
    "high-knees": {"lift": 0.52},
    "long-strides": {"step": 1.15, "time": 0.75, "arm_swing": 40.0},
    "tiny-strides": {"step": 0.22, "time": 0.36, "arm_swing": 10.0},
    "wide-arm-swing": {"arm_swing": 75.0},
    "limping-left": {"limp": "left"},
    "limping-right": {"limp": "right"},
    "feet-wide": {"wide": 0.22, "sway": 0.0},
}


def _with_manner(gait: Gait, manner: str | None) -> Gait:
    return gait if manner is None else dataclasses.replace(gait, **MANNERS[manner])


# --------------------------------------------------------------------------- alternating feet


def travel(
    s: Score,
    gait: Gait,
    path: Path,
    swings: int,
    first: str = "left",
    landings: Sequence[float] | None = None,
    lifts: Sequence[float] | None = None,
    backward: bool = False,
) -> None:
    """Moves along a path by swings of alternating feet, starting and ending in a neutral stance.

    Args:
      s: the score.
      gait: the motion of feet, trunk and arms.
      path: maps progress to the position and heading of the body.
      swings: number of swings, at least 2.
      first: the side whose foot swings first.
      landings: for each swing, the progress at which the foot lands. By default that of the body in
        the middle of the following stance, so that the body passes over each planted foot.
      lifts: height of each swing, instead of the gait's.
      backward: reverses the swing of the arms.
    """
    assert swings >= 2
    if landings is None:
        landings = [min(i + 1, swings - 1) / (swings - 1) for i in range(swings)]
    if lifts is None:
        lifts = [gait.lift] * swings
    sides = [first if i % 2 == 0 else OTHER[first] for i in range(swings)]
    wait = max(0.0, (gait.swing - 1) / 2) + 0.1  # steps before the first foot leaves the ground

    for half in range(2 * swings + 1):
        ahead, left, turn = path(_progress(half / 2, swings))
        if half % 2:
            left += gait.sway * SIGN[OTHER[sides[half // 2]]]
        s.hips((wait + half / 2) * gait.time, ahead, left, turn)
    planted = dict.fromkeys(SIDES, (0.0, 0.0))
    for i, side in enumerate(sides):
        begin = wait + i + 0.5 - gait.swing / 2
        wide = gait.wide if i < swings - 2 else 0.0
        goal = (landings[i], wide)
        _swing(s, gait, path, side, begin, planted[side], goal, lifts[i])
        planted[side] = goal
    _carry(s, gait, sides, wait, backward)

    total = (wait + swings) * gait.time + 0.35
    s.torso(total)
    s.arms(total)
    s.advance(total, *path(1.0))


def _progress(step: float, swings: int) -> float:
    """Progress of the body after `step` steps, speeding up in the first, slowing in the last."""
    if step < 1:
        done = step**2 / 2
    elif step > swings - 1:
        done = swings - 1 - (swings - step) ** 2 / 2
    else:
        done = step - 0.5
    return done / (swings - 1)


def _swing(
    s: Score,
    gait: Gait,
    path: Path,
    side: str,
    begin: float,
    start: tuple[float, float],
    goal: tuple[float, float],
    lift: float,
) -> None:
    """Swings one foot along the path, which also keeps it clear of the other foot in turns.

    `begin` is the time of the swing in steps. `start` and `goal` are (progress, extra distance from
    the midline).
    """
    (here, wide_here), (there, wide_there) = start, goal
    with s.at(*path(here)):
        s.foot(side, max(begin - 0.2, 0.0) * gait.time, out=wide_here)
        s.foot(side, begin * gait.time, out=wide_here, heel=gait.heel)
    with s.at(*path((here + there) / 2)):
        time = (begin + 0.45 * gait.swing) * gait.time
        s.foot(side, time, out=(wide_here + wide_there) / 2, up=lift, heel=gait.heel / 2)
    with s.at(*path(there)):
        s.foot(side, (begin + gait.swing) * gait.time, out=wide_there)


def _carry(s: Score, gait: Gait, sides: Sequence[str], wait: float, backward: bool) -> None:
    """Moves trunk and arms during the steps: the arm opposite to the landing foot is in front."""
    trunk = {"height": 0.0, "side": 0.0, **gait.trunk}
    hanging = 3.0 + 0.7 * (trunk.get("pitch", 0.0) + trunk.get("lean", 0.0))
    for i, side in enumerate(sides):
        over, landing = (wait + i + 0.5) * gait.time, (wait + i + 1.0) * gait.time
        s.torso(over, **{**trunk, "height": trunk["height"] + gait.bounce})
        if i == len(sides) - 1:
            break
        dip, tilt = (0.1, 14.0 * SIGN[side]) if gait.limp == side else (0.0, 0.0)
        low = trunk["height"] - gait.bounce - dip
        twist = 0.25 * gait.arm_swing * SIGN[side]
        s.torso(landing, **{**trunk, "height": low, "side": trunk["side"] + tilt, "twist": twist})
        for arm, pose in zip(SIDES, gait.arms):
            if pose is not None or not gait.arm_swing:
                continue
            front = (arm == side) == backward
            swung = gait.arm_swing if front else -0.75 * gait.arm_swing
            bend = gait.arm_bend * (1.0 if front else 0.75)
            s.arm(arm, landing, (hanging + swung, 10.0, 0.0, bend))
    for arm, pose in zip(SIDES, gait.arms):
        if pose is not None:
            s.arm(arm, (wait + 0.8) * gait.time, pose)
            s.arm(arm, (wait + len(sides) - 0.4) * gait.time, pose)


def walk(
    s: Score, direction: str, steps: int, manner: str | None = None, gait: Gait = WALK
) -> None:
    """Walks straight forward or backward; the last step brings the feet together."""
    gait = _with_manner(gait, manner)
    backward = direction == "backward"
    length = (steps - 1) * gait.step
    if backward:
        length *= -0.75
        gait = dataclasses.replace(gait, heel=gait.heel / 2)
    travel(s, gait, lambda p: (length * p, 0.0, 0.0), steps, backward=backward)


def march(s: Score, steps: int, gait: Gait = MARCH) -> None:
    """Marches in place."""
    travel(s, gait, lambda p: (0.0, 0.0, 0.0), steps)


def diagonal(s: Score, direction: str, side: str, steps: int) -> None:
    """Walks diagonally forward or backward without turning.

    The sideways share decreases with each step, so that the legs do not intersect.
    """
    backward = direction == "backward"
    ahead = (steps - 1) * WALK.step * (-0.6 if backward else 0.6)
    left = (steps - 1) * WALK.step * 0.45 * SIGN[side]
    gait = dataclasses.replace(WALK, wide=0.1)
    path = lambda p: (ahead * p, left * p * (1.5 - 0.5 * p), 0.0)  # noqa: E731
    travel(s, gait, path, steps, first=side, backward=backward)


def curve(s: Score, side: str, angle: int, gait: Gait) -> None:
    """Walks along a circular arc; a quarter circle takes 7 steps, a full circle 11."""
    steps = {90: 7, 180: 9, 360: 11}[angle]
    turn = SIGN[side] * angle
    radius = (steps - 1) * gait.step / np.deg2rad(turn)

    def path(p: float) -> tuple[float, float, float]:
        along = np.deg2rad(turn) * p
        return radius * np.sin(along), radius * (1 - np.cos(along)), turn * p

    travel(s, gait, path, steps, first=side)


def wind(s: Score, side: str) -> None:
    """Walks forward along one period of a wave that swings out to `side` first."""
    steps = 10
    length, width = (steps - 1) * WALK.step, 0.9 * SIGN[side]

    def path(p: float) -> tuple[float, float, float]:
        slope = 2 * np.pi * width / length * np.cos(2 * np.pi * p)
        ease = np.sin(np.pi * p) ** 0.5  # starts and ends facing straight ahead
        return length * p, width * np.sin(2 * np.pi * p), np.rad2deg(np.arctan(slope)) * ease

    travel(s, WALK, path, steps, first=side)


def sidestep(s: Score, side: str, steps: int, manner: str | None = None) -> None:
    """Takes `steps` steps to the side; the other foot closes up after each."""
    gait = _with_manner(SIDESTEP, manner)
    length = SIGN[side] * gait.step * steps
    landings = [(i // 2 + 1) / steps for i in range(2 * steps)]
    path = lambda p: (0.0, length * p, 0.0)  # noqa: E731
    travel(s, gait, path, 2 * steps, first=side, landings=landings)


def turn_around(s: Score, side: str, angle: float) -> None:
    """Turns in place, in steps of 45 degrees."""
    turn = SIGN[side] * angle
    travel(s, PIVOT, lambda p: (0.0, 0.0, turn * p), 1 + round(angle / 45), first=side)


def step_over(s: Score, side: str) -> None:
    """Walks up to something knee-high and steps over it, the foot of `side` first."""
    gait = dataclasses.replace(WALK, step=0.85, time=0.75, arm_swing=15.0)
    lifts = (gait.lift, 0.6, 0.6, gait.lift)
    path = lambda p: (3 * gait.step * p, 0.0, 0.0)  # noqa: E731
    travel(s, gait, path, 4, first=OTHER[side], lifts=lifts)


# ------------------------------------------------------------------------ feet off the ground

# Pose at the top of a jump: arms, feet relative to their position under the body, bend of the
# trunk.
_JUMPS = {
    None: {"arms": (60.0, 30.0, 0.0, 45.0)},
    "arms-up": {"arms": ARMS["overhead"]},
    "star": {"arms": (120.0, 88.0, 0.0, 6.0), "feet": {"out": 0.45}},
    "tuck": {
        "arms": ARMS["knees"],
        "feet": {"up": 0.68, "ahead": 0.2},
        "trunk": {"pitch": 20.0, "lean": 30.0},
    },
}


def jump(
    s: Score,
    count: int,
    height: float = 0.35,
    ahead: float = 0.0,
    left: float = 0.0,
    turn: float = 0.0,
    how: str | None = None,
) -> None:
    """Jumps `count` times with both feet, along a ballistic parabola of the given height."""
    style: dict[str, Any] = {"feet": {}, "trunk": {}, **_JUMPS[how]}
    drawn = {"heel": 30, **style["feet"], "up": height + style["feet"].get("up", 0.0)}
    off = 0.55
    air = 2 * np.sqrt(2 * height * s.body.leg / 9.81) / s.rate
    top, land = off + air / 2, off + air
    for _ in range(count):
        s.torso(off - 0.22, height=-0.28, pitch=22, lean=14)
        s.arms(off - 0.22, ARMS["back"])
        s.hips(off - 0.02)
        s.torso(off, height=0.03, pitch=3)
        for share in (0.12, 0.3, 0.5, 0.7, 0.88):
            rise = 4 * share * (1 - share)
            bent = {name: angle * rise for name, angle in style["trunk"].items()}
            s.torso(off + air * share, **{"pitch": 3, "height": 0.03 + height * rise, **bent})
        s.arms(top, style["arms"])
        s.feet(off - 0.18)
        s.feet(off, heel=42)
        with s.at(ahead / 2, left / 2, turn / 2):
            s.hips(top)
            s.feet(top, **drawn)
        with s.at(ahead, left, turn):
            s.hips(land)
            s.feet(land, heel=12)
            s.feet(land + 0.06)
            s.torso(land, height=0.0, pitch=6)
            s.torso(land + 0.16, height=-0.22, pitch=16, lean=8)
            s.arms(land + 0.1, (28.0, 35.0, 0.0, 30.0))
            s.torso(land + 0.5)
            s.arms(land + 0.5)
            s.hips(land + 0.5)
        s.advance(land + 0.55, ahead, left, turn)


def hop(s: Score, side: str, count: int, ahead: float = 0.0) -> None:
    """Hops on the foot of `side`, with the other foot held up behind."""
    other, lean = OTHER[side], SIGN[side] * (s.hip - 0.02)
    held = {"out": -0.04, "ahead": -0.3, "up": 0.42, "heel": 75}
    balance = (35.0, 75.0, 0.0, 25.0)
    s.hips(0.4, left=lean)
    s.foot(other, 0.1)
    s.foot(other, 0.5, **held)
    s.arms(0.5, balance)
    s.torso(0.5, side=SIGN[side] * 4)
    s.advance(0.55)
    for _ in range(count):
        off, air = 0.22, 0.34
        s.torso(off - 0.08, height=-0.13, pitch=10)
        s.torso(off, height=0.02)
        s.foot(side, off - 0.06)
        s.foot(side, off, heel=40)
        s.hips(off, left=lean)
        s.foot(other, off, **held)
        s.torso(off + air / 2, height=0.16)
        with s.at(ahead / 2):
            s.foot(side, off + air / 2, up=0.15, heel=30)
        with s.at(ahead):
            s.foot(side, off + air, heel=8)
            s.torso(off + air)
            s.hips(off + air, left=lean)
            s.foot(other, off + air, **held)
            s.arms(off + air, balance)
            s.foot(side, off + air + 0.06)
        s.advance(off + air + 0.06, ahead)
    s.foot(other, 0.1, **held)
    s.torso(0.15, height=-0.08, pitch=6)
    s.hips(0.15, left=lean)
    s.foot(other, 0.5)
    s.hips(0.55)
    s.torso(0.55)
    s.arms(0.6)
    s.advance(0.6)


def jumping_jacks(s: Score, count: int) -> None:
    """The feet jump apart while the arms swing up by the sides, and back."""
    down, up = (8.0, 88.0, 0.0, 8.0), (168.0, 88.0, 0.0, 6.0)
    apart = 0.33
    for _ in range(count):
        for begin, here, there, was, pose in (
            (0.0, 0.0, apart, down, up),
            (0.42, apart, 0.0, up, down),
        ):
            s.feet(begin + 0.1, out=here)
            s.torso(begin + 0.1, height=-0.07)
            s.arms(begin + 0.1, was)
            s.feet(begin + 0.24, out=apart / 2, up=0.08, heel=20)
            s.torso(begin + 0.24, height=0.05)
            s.feet(begin + 0.38, out=there)
            s.torso(begin + 0.38, height=-0.06)
            s.arms(begin + 0.4, pose)
        s.advance(0.84)
    s.arms(0.3)
    s.torso(0.3)
    s.advance(0.3)
