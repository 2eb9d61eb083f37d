"""What the synthetic human can do: each action writes keyframes into a `Score`.

An action starts and ends standing at ease unless it says otherwise, so that actions can follow one
another. Durations are at a normal speed; `Score.rate` stretches them.
"""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from data_prep.readers.synthetic_body import SIDES, SIGN
from data_prep.readers.synthetic_score import DOWN, Score

OTHER = {"left": "right", "right": "left"}

# Arm poses: raise, azimuth, twist, bend.
UP = (172.0, 15.0, 0.0, 6.0)
FRONT = (90.0, -2.0, 0.0, 6.0)
ASIDE = (90.0, 88.0, 0.0, 6.0)
GUARD = (25.0, 15.0, -8.0, 128.0)
POSES = {
    "hips": (35.0, 125.0, -75.0, 100.0),
    "head": (125.0, 75.0, 0.0, 138.0),
    "folded": (42.0, -5.0, -75.0, 95.0),
    "chest": (35.0, 20.0, -50.0, 118.0),
    "face": (80.0, 10.0, -25.0, 132.0),
    "ear": (75.0, 70.0, -10.0, 145.0),
    "salute": (92.0, 75.0, -15.0, 132.0),
    "flexed": (90.0, 88.0, 0.0, 105.0),
    "cactus": (90.0, 75.0, 0.0, 90.0),
    "back": (-38.0, 0.0, 0.0, 10.0),
}


# ------------------------------------------------------------------------------ moving about


@dataclasses.dataclass(frozen=True)
class Gait:
    """How feet, trunk and arms move while travelling; lengths in leg lengths.

    Attributes:
      step: length of a step.
      time: seconds of a step.
      swing: share of the step's time that a foot is in the air; above 1 there is a flight phase.
      lift: height of the swinging foot.
      heel: lift of the heel as a foot leaves the ground, degrees.
      bounce: rise of the pelvis over the standing leg; negative: it rises between the steps.
      trunk: `Score.torso` pose that is kept up.
      arm_swing: degrees to the front and back, against the legs; `arm_bend` of the elbows.
      arms: poses of (left, right) held instead of swinging; None swings that arm.
      limp: the side that is spared, if any.
      wide: extra distance of each foot from the middle.
    """

    step: float = 0.72
    time: float = 0.52
    swing: float = 0.8
    lift: float = 0.09
    heel: float = 38.0
    bounce: float = 0.012
    trunk: dict = dataclasses.field(default_factory=dict)
    arm_swing: float = 27.0
    arm_bend: float = 16.0
    arms: tuple = (None, None)
    limp: str | None = None
    wide: float = 0.0


WALK = Gait()
JOG = Gait(step=0.85, time=0.36, swing=1.2, lift=0.22, heel=60.0, bounce=-0.05, arm_swing=32.0,
           arm_bend=80.0, trunk={"pitch": 6.0, "lean": 4.0})  # fmt: skip
RUN = Gait(step=1.5, time=0.30, swing=1.3, lift=0.42, heel=85.0, bounce=-0.06, arm_swing=55.0,
           arm_bend=95.0, trunk={"pitch": 14.0, "lean": 8.0})  # fmt: skip
MARCH = Gait(step=0.0, time=0.5, lift=0.5, heel=25.0, arm_swing=48.0, arm_bend=45.0)
SIDESTEP = Gait(step=0.5, time=0.42, lift=0.09, heel=12.0, bounce=0.0, arm_swing=0.0)
PIVOT = Gait(step=0.0, time=0.46, lift=0.09, heel=20.0, arm_swing=8.0)

Path = Callable[[float], tuple[float, float, float]]


def straight(ahead: float = 0.0, left: float = 0.0) -> Path:
    """Progress 0..1 to (ahead, left, turn) on a straight line, heading unchanged."""
    return lambda p: (ahead * p, left * p, 0.0)


def arc(length: float, turn: float) -> Path:
    """A circular arc walked forwards, turning left by `turn` degrees (negative: right)."""
    angle = np.deg2rad(turn)
    radius = length / angle
    return lambda p: (radius * np.sin(angle * p), radius * (1 - np.cos(angle * p)), turn * p)


def winding(length: float, width: float, side: str) -> Path:
    """Forwards in one S-shaped wave that swings out to `side` first."""
    width *= SIGN[side]
    slope = 2 * np.pi * width / length
    return lambda p: (
        length * p,
        width * np.sin(2 * np.pi * p),
        np.rad2deg(np.arctan(slope * np.cos(2 * np.pi * p)) * np.sin(np.pi * p) ** 0.5),
    )


def pivot(turn: float) -> Path:
    """On the spot, turning left by `turn` degrees."""
    return lambda p: (0.0, 0.0, turn * p)


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
    """Moves along a path in so many swings of alternating feet, from and to standing.

    Args:
      landings: progress at which each swing lands; by default where the body will be in the middle
        of the following stance, so that the body passes over each planted foot.
      lifts: height of each swing, instead of the gait's.
      backward: the arms swing the other way round.
    """
    assert swings >= 2
    if landings is None:
        landings = [min(i + 1, swings - 1) / (swings - 1) for i in range(swings)]
    wait = max(0.0, (gait.swing - 1) / 2) + 0.1  # so that the first swing starts after the start
    sides = [first if i % 2 == 0 else OTHER[first] for i in range(swings)]
    goals = {side: 0.0 for side in SIDES}
    trunk, height = gait.trunk, gait.trunk.get("height", 0.0)
    keys = []  # (time, write) of all channels; written in the order of time
    for half in range(2 * swings + 1):
        step = half / 2
        ahead, left, turn = path(_distance(step, swings))
        if half % 2 and gait.step >= 0 and gait.swing < 1:  # over the standing foot
            left += 0.035 * SIGN[OTHER[sides[half // 2]]] * (gait.wide == 0.0)
        keys.append((wait + step, lambda t, a=(ahead, left, turn): s.hips(t, *a)))
    for i, side in enumerate(sides):
        start = wait + i + 0.5 - gait.swing / 2
        end = start + gait.swing
        here, goal = path(goals[side]), path(landings[i])
        goals[side] = landings[i]
        middle = tuple((a + b) / 2 for a, b in zip(here, goal))
        lift = gait.lift if lifts is None else lifts[i]
        wide = gait.wide
        keys += [
            (max(start - 0.2, 0.0), _step(s, side, here, out=wide if i > 1 else 0.0)),
            (start, _step(s, side, here, out=wide if i > 1 else 0.0, heel=gait.heel)),
            (start + 0.45 * gait.swing, _step(s, side, middle, out=wide, up=lift, heel=gait.heel / 2)),
            (end, _step(s, side, goal, out=wide if i < swings - 2 else 0.0)),
        ]
        # Arms and trunk: the arm opposite to the landing foot is in front.
        dip, tilt = (0.06, 9.0 * SIGN[side]) if gait.limp == side else (0.0, 0.0)
        last = i == swings - 1
        pose = {**trunk, "height": height - abs(gait.bounce) * np.sign(gait.bounce) - dip,
                "side": trunk.get("side", 0.0) + tilt}  # fmt: skip
        if not last:
            pose["twist"] = trunk.get("twist", 0.0) + 0.25 * gait.arm_swing * SIGN[side]
            keys.append((wait + i + 1, lambda t, p=pose: s.torso(t, **p)))
        over = {**trunk, "height": height + gait.bounce}
        keys.append((wait + i + 0.5, lambda t, p=over: s.torso(t, **p)))
        for arm, pose in zip(SIDES, gait.arms):
            forward = (arm == side) == backward
            raised = gait.arm_swing if forward else -0.75 * gait.arm_swing
            if pose is not None:
                keys += [(wait + 0.8, lambda t, a=arm, p=pose: s.arm(a, t, p))] * (i == 0)
                keys += [(wait + swings - 0.4, lambda t, a=arm, p=pose: s.arm(a, t, p))] * last
            elif gait.arm_swing and not last:
                swung = (raised + 3.0, 10.0, 0.0, gait.arm_bend * (1.0 if forward else 0.75))
                keys.append((wait + i + 1, lambda t, a=arm, p=swung: s.arm(a, t, p)))
    for time, write in sorted(keys, key=lambda key: key[0]):
        write(time * gait.time)
    total = (wait + swings) * gait.time + 0.35
    s.torso(total)
    s.arms(total)
    s.advance(total, *path(1.0))


def _distance(step: float, swings: int) -> float:
    """Progress of the body after so many steps: one to gain speed, one to lose it."""
    if step < 1:
        done = step**2 / 2
    elif step > swings - 1:
        done = swings - 1 - (swings - step) ** 2 / 2
    else:
        done = step - 0.5
    return done / (swings - 1)


def _step(s: Score, side: str, where: tuple[float, float, float], **pose):
    def write(time):
        with s.at(*where):
            s.foot(side, time, **pose)

    return write


def walk(s: Score, gait: Gait, steps: int, backward=False, first="left") -> None:
    """Straight on or back; the last step brings the feet together."""
    length = (steps - 1) * gait.step * (-0.75 if backward else 1.0)
    if backward:
        gait = dataclasses.replace(gait, heel=gait.heel / 2)
    travel(s, gait, straight(length), steps, first=first, backward=backward)


def diagonal(s: Score, gait: Gait, steps: int, side: str, backward=False) -> None:
    """Obliquely to the front or back without turning."""
    length = (steps - 1) * gait.step * 0.6
    path = straight(-length if backward else length, SIGN[side] * length)
    travel(s, dataclasses.replace(gait, wide=0.04), path, steps, first=side, backward=backward)


def curve(s: Score, gait: Gait, steps: int, turn: float) -> None:
    first = "left" if turn > 0 else "right"
    travel(s, gait, arc((steps - 1) * gait.step, turn), steps, first=first)


def wind(s: Score, gait: Gait, steps: int, side: str) -> None:
    travel(s, gait, winding((steps - 1) * gait.step, 0.9, side), steps, first=side)


def sidestep(s: Score, gait: Gait, steps: int, side: str) -> None:
    """So many steps to the side, the other foot closing up after each."""
    landings = [(i // 2 + 1) / steps for i in range(2 * steps)]
    path = straight(left=SIGN[side] * gait.step * steps)
    travel(s, gait, path, 2 * steps, first=side, landings=landings)


def cross_step(s: Score, steps: int, side: str) -> None:
    """Sideways with the trailing foot crossing in front."""
    gait = dataclasses.replace(SIDESTEP, step=0.42, arms=(ASIDE, ASIDE), time=0.5)
    length = SIGN[side] * gait.step * steps

    def path(p):
        return (0.0, length * p, 0.0)

    travel(s, gait, path, steps + 1 - steps % 2, first=OTHER[side])


def turn_around(s: Score, turn: float) -> None:
    """Turns in place, left by `turn` degrees, in steps of about 45."""
    first = "left" if turn > 0 else "right"
    travel(s, PIVOT, pivot(turn), 1 + round(abs(turn) / 45), first=first)


def march(s: Score, gait: Gait, steps: int) -> None:
    travel(s, gait, straight(), steps)


def step_over(s: Score, side: str) -> None:
    """Walks up to something knee-high and steps over it, `side` foot first."""
    gait = dataclasses.replace(WALK, step=0.85, time=0.75, arm_swing=15.0)
    travel(s, gait, straight(3 * gait.step), 4, first=OTHER[side], lifts=(0.09, 0.6, 0.6, 0.09))


# ---------------------------------------------------------------------------------- jumping


def jump(
    s: Score,
    height: float,
    count: int = 1,
    ahead: float = 0.0,
    left: float = 0.0,
    turn: float = 0.0,
    swing: tuple | None = None,
    tuck: float = 0.0,
    spread: float = 0.0,
) -> None:
    """Jumps with both feet, so far each time.

    Args:
      height: of the pelvis above standing at the top, leg lengths.
      swing: arm pose at the top.
      tuck: how far the feet are drawn up.
      spread: how far the feet go apart in the air.
    """
    for _ in range(count):
        off, land, ballistic = _flight(s, height)
        top = (off + land) / 2
        s.torso(off - 0.22, height=-0.28, pitch=22, lean=14)
        s.arms(off - 0.22, POSES["back"])
        s.hips(off - 0.02)
        s.torso(off, height=0.03, pitch=3)
        for time, up in ballistic:
            s.torso(time, height=0.03 + up, pitch=3 + 60 * tuck)
        s.arms(top - 0.02, swing or (60.0, 30.0, 0.0, 45.0))
        s.feet(off - 0.18)
        s.feet(off, heel=42)
        with s.at(ahead / 2, left / 2, turn / 2):
            s.hips(top)
            s.feet(top, up=height + tuck, heel=30, out=spread)
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


def _flight(s: Score, height: float):
    """Seconds of take-off and landing, and (time, height) in between along a parabola."""
    air = 2 * np.sqrt(2 * height * s.body.leg / 9.81) / s.rate
    off = 0.55
    shares = (0.12, 0.3, 0.5, 0.7, 0.88)
    return off, off + air, [(off + air * u, 4 * height * u * (1 - u)) for u in shares]


def hop(s: Score, side: str, count: int, ahead: float = 0.0) -> None:
    """Hops on the foot of `side`, the other one held up behind."""
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
            s.torso(off + air, height=0.0)
            s.hips(off + air, left=lean)
            s.foot(other, off + air, **held)
            s.arms(off + air, balance)
            s.foot(side, off + air + 0.06)
        s.advance(off + air + 0.06, ahead)
    s.foot(other, 0.1, **held)
    s.torso(0.15, height=-0.08, pitch=6)
    s.foot(other, 0.5)
    s.hips(0.15, left=lean)
    s.hips(0.55)
    s.torso(0.55)
    s.arms(0.6)
    s.advance(0.6)


def jumping_jacks(s: Score, count: int) -> None:
    """The feet jump apart while the arms swing up by the sides, and back."""
    up = (168.0, 88.0, 0.0, 6.0)
    for _ in range(count):
        for begin, out, pose in ((0.0, 0.33, up), (0.42, 0.0, (8.0, 88.0, 0.0, 8.0))):
            was = 0.33 - out
            s.feet(begin + 0.1, out=was)
            s.torso(begin + 0.1, height=-0.07)
            s.feet(begin + 0.24, out=0.165, up=0.08, heel=20)
            s.torso(begin + 0.24, height=0.05)
            s.feet(begin + 0.38, out=out)
            s.torso(begin + 0.38, height=-0.06)
            s.arms(begin + 0.1, DOWN if begin == 0 else up)
            s.arms(begin + 0.4, pose)
        s.advance(0.84)
    s.arms(0.3)
    s.torso(0.3)
    s.advance(0.3)


# ------------------------------------------------------------------------------------- legs


def kick(s: Score, side: str, where: str, high: bool, count: int) -> None:
    """Kicks with the foot of `side` to the front, the side or the back."""
    other, lean = OTHER[side], SIGN[OTHER[side]] * s.hip
    target = {
        "front": {"ahead": 0.95 if high else 0.72, "up": 0.95 if high else 0.3},
        "side": {"out": 0.85 if high else 0.6, "up": 0.75 if high else 0.28},
        "back": {"ahead": -0.95 if high else -0.72, "up": 0.62 if high else 0.25, "heel": 70},
    }[where]
    wind_up = {
        "front": {"ahead": -0.4, "up": 0.18, "heel": 60},
        "side": {"out": -0.02, "ahead": 0.15, "up": 0.4},
        "back": {"ahead": 0.25, "up": 0.3},
    }[where]
    trunk = {
        "front": {"pitch": -14 if high else -6, "lean": 6},
        "side": {"side": SIGN[other] * (30 if high else 14)},
        "back": {"pitch": 34 if high else 18, "lean": 6},
    }[where]
    for _ in range(count):
        s.hips(0.3, left=lean)
        s.foot(side, 0.12)
        s.foot(side, 0.42, **wind_up)
        s.foot(side, 0.64, **target)
        s.foot(side, 0.74, **target)
        s.torso(0.42, pitch=6 if where == "front" else 0)
        s.torso(0.66, **trunk)
        s.torso(0.76, **trunk)
        s.arm(other, 0.64, (55.0, 40.0, 0.0, 30.0))
        s.arm(side, 0.64, (45.0, 95.0, 0.0, 20.0))
        s.hips(0.85, left=lean)
        s.foot(side, 1.2)
        s.hips(1.25)
        s.torso(1.2)
        s.arms(1.2)
        s.advance(1.25)


def raise_knee(s: Score, sides: Sequence[str]) -> None:
    """Lifts one knee after the other to the height of the hips."""
    for side in sides:
        s.hips(0.3, left=SIGN[OTHER[side]] * s.hip)
        s.foot(side, 0.1)
        s.foot(side, 0.5, ahead=0.2, up=0.62, heel=15)
        s.foot(side, 0.65, ahead=0.2, up=0.62, heel=15)
        s.arms(0.5, (25.0, 70.0, 0.0, 30.0))
        s.arms(0.65, (25.0, 70.0, 0.0, 30.0))
        s.hips(0.75, left=SIGN[OTHER[side]] * s.hip)
        s.foot(side, 1.05)
        s.hips(1.1)
        s.arms(1.1)
        s.advance(1.1)


def balance(s: Score, side: str, how: str, arms: tuple) -> None:
    """Stands on the foot of `side` for a while, the other leg held in the air."""
    other = OTHER[side]
    leg = {
        "front": {"ahead": 0.75, "up": 0.5},
        "back": {"ahead": -0.8, "up": 0.55, "heel": 70},
        "side": {"out": 0.65, "up": 0.4},
        "knee": {"ahead": 0.2, "up": 0.62},
    }[how]
    trunk = {
        "front": {"pitch": -10},
        "back": {"pitch": 38, "lean": 8},
        "side": {"side": SIGN[side] * 16},
        "knee": {},
    }[how]
    s.hips(0.4, left=SIGN[side] * s.hip)
    s.foot(other, 0.2)
    for time in (0.9, 2.6):
        s.foot(other, time, **leg)
        s.torso(time, **trunk)
        s.arms(time, arms)
    s.hips(2.9, left=SIGN[side] * s.hip)
    s.foot(other, 3.3)
    s.hips(3.4)
    s.torso(3.4)
    s.arms(3.4)
    s.advance(3.4)


def lunge(s: Score, sides: Sequence[str], where: str) -> None:
    """Steps far out with one foot, sinks down and comes back; one lunge a side named."""
    ahead, out = {"front": (1.05, 0.0), "back": (-0.95, 0.0), "side": (0.0, 0.85)}[where]
    for side in sides:
        other = OTHER[side]
        shift = {"ahead": ahead / 2, "left": SIGN[side] * out * 0.75}
        depth = -0.38 if where != "side" else -0.36
        rear = {"heel": 50 if where != "side" else 0}
        front, back = (other, side) if where == "back" else (side, other)
        s.foot(side, 0.1)
        s.foot(side, 0.35, ahead=ahead / 2, out=out / 2, up=0.13)
        s.hips(0.1)
        s.torso(0.35, height=-0.04)
        s.foot(side, 0.6, ahead=ahead, out=out, heel=rear["heel"] if back == side else 0)
        s.foot(other, 0.25)
        s.foot(other, 0.7, heel=rear["heel"] if back == other else 0)
        for time in (0.8, 1.15):
            s.hips(time, **shift)
            s.torso(time, height=depth, pitch=18 if where == "side" else 3)
            s.arms(time, FRONT if where == "side" else POSES["hips"])
            s.foot(side, time, ahead=ahead, out=out, heel=rear["heel"] if back == side else 0)
            s.foot(other, time, heel=rear["heel"] if back == other else 0)
        s.foot(side, 1.3, ahead=ahead, out=out, heel=10 if front == side else 30)
        s.foot(side, 1.5, ahead=ahead / 2, out=out / 2, up=0.12, heel=10)
        s.foot(other, 1.6)
        s.foot(side, 1.75)
        s.torso(1.75)
        s.hips(1.8)
        s.arms(1.8)
        s.advance(1.8)


# ----------------------------------------------------------------------- down and up again


def squat(s: Score, deep: bool, count: int, arms: tuple = FRONT) -> None:
    depth, pitch, back = (-0.6, 34, -0.2) if deep else (-0.28, 20, -0.1)
    _widen(s, 0.1)
    for _ in range(count):
        for time in (0.6, 0.72):
            s.torso(time, height=depth, pitch=pitch, lean=10)
            s.hips(time, ahead=back)
            s.arms(time, arms)
        s.torso(1.2)
        s.hips(1.2)
        s.arms(1.2)
        s.feet(1.2, out=0.1)
        s.advance(1.25)
    _widen(s, 0.0, was=0.1)


def _widen(s: Score, out: float, was: float = 0.0) -> None:
    """One foot after the other to a wider or narrower stand."""
    for begin, side in zip((0.0, 0.25), SIDES):
        s.foot(side, begin + 0.02, out=was)
        s.foot(side, begin + 0.15, out=(out + was) / 2, up=0.06)
        s.foot(side, begin + 0.28, out=out)
    s.hips(0.5)
    s.advance(0.55)


SEATED = {
    "chair": {"height": -0.56, "pitch": 4, "back": -0.5, "feet": 0.0},
    "floor": {"height": -0.95, "pitch": -8, "back": -0.75, "feet": 0.0},
}
_LAP = (38.0, 0.0, -10.0, 42.0)
_PROP = (-32.0, 25.0, 0.0, 8.0)


def sit(s: Score, seat: str, hold: float = 1.2) -> None:
    """Sits down on a chair's height or on the floor, and stays."""
    target = SEATED[seat]
    deep = seat == "floor"
    s.torso(0.1)
    s.torso(0.65, height=target["height"] * 0.5, pitch=32, lean=16)
    s.torso(1.35 if deep else 1.15, height=target["height"], pitch=20 if deep else 14, lean=10)
    s.torso(1.75, height=target["height"], pitch=target["pitch"], lean=18 if deep else 4)
    s.hips(0.1)
    s.hips(0.65, ahead=target["back"] * 0.35)
    s.hips(1.35 if deep else 1.15, ahead=target["back"])
    s.arms(0.65, (45.0, 15.0, 0.0, 20.0))
    s.arms(1.75, (58.0, 0.0, -10.0, 30.0) if deep else _LAP)
    s.torso(1.75 + hold, height=target["height"], pitch=target["pitch"], lean=18 if deep else 4)
    s.advance(1.75 + hold)


def seated(s: Score, seat: str, hold: float = 0.6) -> None:
    """Starts the clip sitting."""
    target, deep = SEATED[seat], seat == "floor"
    for time in (0.0, hold):
        s.torso(time, height=target["height"], pitch=target["pitch"], lean=18 if deep else 4)
        s.hips(time, ahead=target["back"])
        s.arms(time, (58.0, 0.0, -10.0, 30.0) if deep else _LAP)
    s.advance(hold)


def stand_up(s: Score, seat: str) -> None:
    """From sitting to standing."""
    target, deep = SEATED[seat], seat == "floor"
    s.torso(0.4, height=target["height"], pitch=30, lean=20)
    s.hips(0.35, ahead=target["back"])
    s.arms(0.5, (70.0, 5.0, 0.0, 15.0))
    s.hips(0.9 if deep else 0.75, ahead=target["back"] * 0.3)
    s.torso(0.95 if deep else 0.8, height=target["height"] * 0.55, pitch=34, lean=18)
    s.torso(1.6)
    s.hips(1.6)
    s.arms(1.6)
    s.advance(1.65)


def kneel(s: Score, sides: Sequence[str], rise: bool) -> None:
    """Goes down on one knee (that of the side named) or on both, and gets up again if `rise`."""
    first = sides[0]
    down = {"ahead": -0.62, "heel": 68}
    both = len(sides) == 2
    s.foot(first, 0.1)
    s.foot(first, 0.4, ahead=-0.35, up=0.1, heel=35)
    s.foot(first, 0.7, **down)
    s.torso(0.4, height=-0.08, pitch=12)
    s.hips(0.2)
    s.hips(0.9, ahead=-0.12)
    s.torso(1.1, height=-0.46, pitch=4)
    s.arms(0.9, (25.0, 20.0, 0.0, 60.0))
    if both:
        second = sides[1]
        s.foot(second, 1.15)
        s.foot(second, 1.4, ahead=-0.3, up=0.06, heel=50)
        s.foot(second, 1.7, **down)
        s.torso(1.7, height=-0.5)
    end = 1.9
    keep = {"height": -0.5} if both else {"height": -0.46, "pitch": 4}
    for time in (end, end + 0.9):
        s.torso(time, **keep)
        s.hips(time, ahead=-0.12)
        s.arms(time, DOWN if both else (25.0, 20.0, 0.0, 60.0))
        for side in sides:
            s.foot(side, time, **down)
    s.advance(end + 0.9)
    if rise:
        if both:
            s.foot(sides[1], 0.35, ahead=-0.3, up=0.06, heel=50)
            s.foot(sides[1], 0.6)
        begin = 0.7 if both else 0.2
        s.torso(begin, height=-0.46, pitch=14)
        s.hips(begin, ahead=-0.12)
        s.hips(begin + 0.7)
        s.torso(begin + 0.7, height=-0.06, pitch=10)
        s.foot(first, begin + 0.55, ahead=-0.5, heel=50)
        s.foot(first, begin + 0.8, ahead=-0.25, up=0.1, heel=25)
        s.foot(first, begin + 1.1)
        s.torso(begin + 1.2)
        s.arms(begin + 1.1)
        s.advance(begin + 1.25)


def crouch(s: Score, arms: tuple, hold: float = 1.5) -> None:
    """Crouches low, back rounded, for a while, and rises."""
    for time in (0.7, 0.7 + hold):
        s.torso(time, height=-0.66, pitch=30, lean=45, nod=20)
        s.hips(time, ahead=-0.14)
        s.feet(time, heel=18)
        s.arms(time, arms)
    for channel in (s.torso, s.hips, s.feet, s.arms):
        channel(hold + 1.4)
    s.advance(hold + 1.45)


def bow(s: Score, angle: float, count: int) -> None:
    """Bends forward from the hips so many degrees, the arms hanging at the thighs."""
    for _ in range(count):
        for time in (0.6, 1.0):
            s.torso(time, pitch=0.6 * angle, lean=0.4 * angle, nod=10)
            s.hips(time, ahead=-0.0035 * angle)
            s.arms(time, (2.0 + 0.25 * angle, 5.0, 0.0, 8.0))
        s.torso(1.55)
        s.hips(1.55)
        s.arms(1.55)
        s.advance(1.6)


def touch_toes(s: Score, count: int) -> None:
    for _ in range(count):
        s.arms(0.4, (100.0, 0.0, 0.0, 8.0))
        for time in (0.8, 0.95):
            s.torso(time, pitch=72, lean=62, nod=15)
            s.hips(time, ahead=-0.22)
            s.arms(time, (135.0, 0.0, 0.0, 4.0))
        s.torso(1.6)
        s.hips(1.6)
        s.arms(1.65)
        s.advance(1.7)


# ------------------------------------------------------------------------- arms and trunk


def wave(s: Score, sides: Sequence[str], overhead: bool, count: int) -> None:
    inner, outer = (
        ((186.0, 88.0, 0.0, 14.0), (132.0, 88.0, 0.0, 14.0))
        if overhead
        else ((78.0, 70.0, 0.0, 122.0), (78.0, 70.0, 0.0, 52.0))
    )
    for side in sides:
        s.arm(side, 0.55, inner)
    for i in range(count):
        for side in sides:
            s.arm(side, 0.55 + 0.56 * i + 0.28, outer)
            s.arm(side, 0.55 + 0.56 * i + 0.56, inner)
    end = 0.55 + 0.56 * count + 0.6
    for side in sides:
        s.arm(side, end)
    s.advance(end)


def raise_arms(s: Score, sides: Sequence[str], pose: tuple, count: int, hold: float = 0.15) -> None:
    for _ in range(count):
        for side in sides:
            s.arm(side, 0.55, pose)
            s.arm(side, 0.55 + hold, pose)
            s.arm(side, 1.1 + hold)
        s.advance(1.15 + hold)


def hold_pose(s: Score, left: tuple, right: tuple, hold: float = 1.6, **trunk) -> None:
    """Brings the arms into a pose and keeps it for a while."""
    for time in (0.6, 0.6 + hold):
        s.arm("left", time, left)
        s.arm("right", time, right)
        s.torso(time, **trunk)
    s.arms(1.2 + hold)
    s.torso(1.2 + hold)
    s.advance(1.2 + hold)


def clap(s: Score, overhead: bool, count: int) -> None:
    apart, together = (
        ((150.0, 75.0, 0.0, 15.0), (172.0, 62.0, -10.0, 28.0))
        if overhead
        else ((50.0, 45.0, 0.0, 55.0), (50.0, -12.0, -18.0, 55.0))
    )
    s.arms(0.5, apart)
    for i in range(count):
        s.arms(0.5 + 0.5 * i + 0.25, together)
        s.arms(0.5 + 0.5 * i + 0.5, apart)
    s.arms(1.05 + 0.5 * count)
    s.advance(1.05 + 0.5 * count)


def punch(s: Score, sides: Sequence[str], how: str) -> None:
    """Punches in turn with the sides named: straight ahead, as an uppercut, or down."""
    s.arms(0.35, GUARD)
    s.feet(0.35)
    s.torso(0.35, height=-0.05, pitch=6)
    s.advance(0.4)
    hit = {
        "straight": (88.0, -14.0, 0.0, 4.0),
        "up": (150.0, -8.0, 0.0, 35.0),
        "down": (48.0, -20.0, 0.0, 6.0),
    }[how]
    load = {"straight": GUARD, "up": (-20.0, 20.0, 0.0, 80.0), "down": (120.0, 30.0, 0.0, 130.0)}[how]
    trunk = {
        "straight": {"pitch": 8},
        "up": {"pitch": -4, "height": 0.0},
        "down": {"pitch": 26, "lean": 14, "height": -0.12},
    }[how]
    for side in sides:
        twist = -SIGN[side] * 34
        s.arm(OTHER[side], 0.2, GUARD)
        s.arm(side, 0.2, load)
        s.torso(0.2, height=-0.06, pitch=6, twist=-twist / 2)
        s.arm(side, 0.42, hit)
        s.torso(0.42, **{"height": -0.05, **trunk, "twist": twist})
        s.arm(side, 0.5, hit)
        s.arm(side, 0.8, GUARD)
        s.arm(OTHER[side], 0.8, GUARD)
        s.torso(0.8, height=-0.05, pitch=6)
        s.advance(0.8)
    s.arms(0.5)
    s.torso(0.5)
    s.advance(0.5)


def throw(s: Score, side: str, overhand: bool, count: int) -> None:
    """Throws with one hand, stepping forward on the other foot."""
    other = OTHER[side]
    back, release, after = (
        ((112.0, 112.0, 0.0, 105.0), (120.0, 5.0, 0.0, 15.0), (35.0, -25.0, 0.0, 20.0))
        if overhand
        else ((-48.0, 0.0, 0.0, 10.0), (72.0, 0.0, 0.0, 10.0), (105.0, -5.0, 0.0, 15.0))
    )
    away = SIGN[side]
    for _ in range(count):
        s.arm(side, 0.6, back)
        s.arm(other, 0.6, (65.0, 15.0, 0.0, 15.0))
        s.torso(0.6, twist=away * 38, pitch=-6 if overhand else 14)
        s.foot(other, 0.45)
        s.foot(other, 0.65, ahead=0.25, up=0.12)
        s.foot(other, 0.82, ahead=0.5)
        s.foot(side, 0.6)
        s.hips(0.5, ahead=-0.05)
        s.hips(0.95, ahead=0.28)
        s.foot(side, 0.95, heel=40)
        s.arm(side, 0.9, release)
        s.arm(other, 0.95, (20.0, 40.0, 0.0, 45.0))
        s.torso(0.95, twist=-away * 30, pitch=18, lean=10, height=-0.04)
        s.arm(side, 1.1, after)
        s.foot(other, 1.2, ahead=0.5)
        s.foot(side, 1.2, heel=40)
        s.hips(1.15, ahead=0.28)
        s.foot(other, 1.4, ahead=0.25, up=0.08)
        s.foot(other, 1.6)
        s.foot(side, 1.55)
        s.hips(1.65)
        s.arms(1.65)
        s.torso(1.65)
        s.advance(1.7)


def reach(s: Score, sides: Sequence[str], where: str, count: int = 1) -> None:
    """Stretches one hand or both out towards something, and takes them back."""
    one = sum(SIGN[side] for side in sides)  # 0 for both hands
    pose, trunk, hips = {
        "up": (UP, {"side": -12 * one, "height": 0.1}, {}),
        "front": ((86.0, -6.0, 0.0, 3.0), {"pitch": 26, "lean": 16, "twist": -28 * one}, {}),
        "side": (ASIDE, {"side": 30 * one}, {"left": 0.05 * one}),
        "floor": ((62.0, 5.0, 0.0, 4.0), {"height": -0.55, "pitch": 45, "lean": 28}, {"ahead": -0.2}),
        "across": ((88.0, -52.0, 0.0, 4.0), {"twist": -48 * one}, {}),
    }[where]
    for _ in range(count):
        for time in (0.7, 1.0):
            for side in sides:
                s.arm(side, time, pose)
            s.torso(time, **trunk)
            s.hips(time, **hips)
            s.feet(time, heel=32 if where == "up" else 0)
        for side in sides:
            s.arm(side, 1.65)
        s.torso(1.65)
        s.hips(1.65)
        s.feet(1.65)
        s.advance(1.7)


def lift(s: Score, overhead: bool) -> None:
    """Picks something up from the floor with both hands, to the chest or overhead."""
    low = (72.0, -4.0, 0.0, 12.0)
    for time in (0.9, 1.1):
        s.torso(time, height=-0.55, pitch=42, lean=28)
        s.hips(time, ahead=-0.2)
        s.arms(time, low)
    s.arms(1.9, (40.0, -4.0, 0.0, 95.0))
    s.torso(1.9)
    s.hips(1.9)
    end = 2.3
    if overhead:
        s.arms(2.6, (168.0, 5.0, 0.0, 10.0))
        end = 3.0
    s.arms(end, (168.0, 5.0, 0.0, 10.0) if overhead else (40.0, -4.0, 0.0, 95.0))
    s.arms(end + 0.7)
    s.advance(end + 0.75)


def bend_sideways(s: Score, sides: Sequence[str]) -> None:
    """Bends to the sides named in turn, the other arm reaching over the head."""
    for side in sides:
        for time in (0.7, 1.0):
            s.torso(time, side=SIGN[side] * 44)
            s.hips(time, left=-SIGN[side] * 0.08)
            s.arm(OTHER[side], time, (176.0, 70.0, 0.0, 20.0))
            s.arm(side, time, POSES["hips"])
        s.torso(1.6)
        s.hips(1.6)
        s.arms(1.65)
        s.advance(1.7)


def twist_trunk(s: Score, sides: Sequence[str], arms: tuple) -> None:
    """Turns the upper body to the sides named in turn with the feet planted, arms held up."""
    s.arms(0.5, arms)
    s.torso(0.5)
    s.advance(0.5)
    for side in sides:
        for time in (0.5, 0.65):
            s.torso(time, twist=SIGN[side] * 70)
            s.hips(time, turn=SIGN[side] * 15)
            s.arms(time, arms)
        s.torso(1.1)
        s.hips(1.1)
        s.arms(1.1, arms)
        s.advance(1.1)
    s.arms(0.5)
    s.advance(0.5)


def lean_back(s: Score, count: int, arms: tuple) -> None:
    for _ in range(count):
        for time in (0.8, 1.1):
            s.torso(time, pitch=-16, lean=-26, height=-0.06, nod=-15)
            s.hips(time, ahead=0.14)
            s.arms(time, arms)
        s.torso(1.8)
        s.hips(1.8)
        s.arms(1.8)
        s.advance(1.85)


def circle_arms(s: Score, sides: Sequence[str], backward: bool, count: int) -> None:
    """Swings straight arms round in full circles, forward (up at the back first) or backward.

    The arms end a whole number of turns away from hanging: nothing may follow in the same clip.
    """
    sense = 1 if backward else -1
    for side in sides:
        for i in range(4 * count):
            s.arm(side, 0.25 * (i + 1), (DOWN[0] + sense * 90 * (i + 1), 12.0, 0.0, 8.0))
    s.advance(1.0 * count + 0.2)


def swing_both(s: Score, side: str, how: str) -> None:
    """Both hands together swing across the body from `side` to the other: a bat, or a golf club."""
    away = SIGN[side]
    near, far = {
        "bat": ((75.0, -35.0, 0.0, 75.0), (88.0, -30.0, 0.0, 15.0)),
        "golf": ((70.0, -30.0, 0.0, 30.0), (40.0, -18.0, 0.0, 8.0)),
    }[how]
    lean = {"bat": {"pitch": 6}, "golf": {"pitch": 24, "lean": 12}}[how]
    reached = {"bat": (88.0, 35.0, 0.0, 15.0), "golf": (70.0, 30.0, 0.0, 30.0)}[how]
    s.arm(side, 0.7, reached)
    s.arm(OTHER[side], 0.7, near)
    s.torso(0.7, **lean, twist=away * 62)
    s.hips(0.7, left=away * 0.08, turn=away * 15)
    s.arms(0.9, far)
    s.torso(0.9, **lean)
    s.arm(OTHER[side], 1.15, reached)
    s.arm(side, 1.15, near)
    s.torso(1.15, **lean, twist=-away * 66)
    s.hips(1.15, left=-away * 0.08, turn=-away * 18)
    s.foot(side, 0.8)
    s.foot(side, 1.15, heel=35)
    s.foot(side, 1.4, heel=35)
    s.torso(1.4, **lean, twist=-away * 66)
    s.hips(1.4, left=-away * 0.08, turn=-away * 18)
    s.foot(side, 1.9)
    s.torso(2.0)
    s.hips(2.0)
    s.arms(2.0)
    s.advance(2.05)


def push(s: Score, count: int, pull: bool = False) -> None:
    """Both hands push something away at the height of the chest, or pull it in from there."""
    near, far = (45.0, 10.0, 0.0, 118.0), (86.0, -4.0, 0.0, 8.0)
    first, second = (far, near) if pull else (near, far)
    s.arms(0.5, first)
    s.advance(0.5)
    for _ in range(count):
        s.arms(0.1, first)
        s.arms(0.55, second)
        s.arms(0.75, second)
        s.torso(0.1, pitch=10 if pull else -3)
        s.torso(0.55, pitch=-8 if pull else 20)
        s.torso(0.75, pitch=-8 if pull else 20)
        s.hips(0.1)
        s.hips(0.6, ahead=-0.1 if pull else 0.08)
        s.arms(1.15, first)
        s.torso(1.15)
        s.hips(1.15)
        s.advance(1.15)
    s.arms(0.5)
    s.advance(0.5)


def swim(s: Score, count: int) -> None:
    """Breast strokes standing up, leaning forward."""
    tight, far, wide = (40.0, -10.0, 0.0, 120.0), (92.0, -12.0, 0.0, 4.0), (85.0, 85.0, 0.0, 12.0)
    trunk = {"pitch": 28, "lean": 14}
    s.arms(0.5, tight)
    s.torso(0.5, **trunk)
    s.hips(0.5, ahead=-0.08)
    s.advance(0.5)
    for _ in range(count):
        s.arms(0.35, far)
        s.arms(0.75, wide)
        s.arms(1.1, tight)
        s.torso(1.1, **trunk)
        s.hips(1.1, ahead=-0.08)
        s.advance(1.1)
    s.arms(0.5)
    s.torso(0.5)
    s.hips(0.5)
    s.advance(0.5)


def sway(s: Score, count: int, arms: tuple = DOWN) -> None:
    """Sways the hips from left to right and back."""
    for _ in range(count):
        for time, sense in ((0.35, 1), (0.85, -1)):
            s.hips(time, left=0.2 * sense)
            s.torso(time, side=-16 * sense, height=-0.05)
            s.arms(time, arms)
        s.advance(1.0)
    s.hips(0.3)
    s.torso(0.3)
    s.arms(0.5)
    s.advance(0.5)
