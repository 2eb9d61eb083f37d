"""Actions of the synthetic human in place: each writes keyframes into a `Score`.

Unless stated otherwise, an action starts and ends in the neutral stance, so that actions can be
concatenated. Durations are those at normal speed; `Score.rate` scales them.
"""

from collections.abc import Sequence

from data_prep.readers.synthetic.body import OTHER, SIDES, SIGN
from data_prep.readers.synthetic.score import ARMS, Score


def both(side: str) -> tuple[str, ...]:
    """The sides that `left`, `right` or `both` stands for."""
    return SIDES if side == "both" else (side,)


# ------------------------------------------------------------------------------------- legs


def kick(s: Score, side: str, where: str, height: str, count: int) -> None:
    """Kicks with the foot of `side` to the front, the side or the back, low or high."""
    high = height == "high"
    other, lean = OTHER[side], SIGN[OTHER[side]] * s.hip
    target = {
        "front": {"ahead": 1.05, "up": 1.15, "heel": -40} if high else {"ahead": 0.8, "up": 0.3},
        "side": {"out": 1.0, "up": 0.8} if high else {"out": 0.68, "up": 0.25},
        "back": {"ahead": -1.1, "up": 0.7, "heel": 80}
        if high
        else {"ahead": -0.85, "up": 0.3, "heel": 60},
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
    """Lifts the knees on the given sides to hip height, one after the other."""
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


def balance(s: Score, side: str, leg: str, arms: str) -> None:
    """Stands on the foot of `side` for a while, with the other leg held in the air."""
    other = OTHER[side]
    held = {
        "front": {"ahead": 0.95, "up": 0.6, "heel": -20},
        "back": {"ahead": -1.1, "up": 0.65, "heel": 75},
        "side": {"out": 0.85, "up": 0.45},
        "knee": {"ahead": 0.2, "up": 0.62},
    }[leg]
    trunk = {
        "front": {"pitch": -10},
        "back": {"pitch": 38, "lean": 8},
        "side": {"side": SIGN[side] * 16},
        "knee": {},
    }[leg]
    s.hips(0.4, left=SIGN[side] * s.hip)
    s.foot(other, 0.2)
    for time in (0.9, 2.6):
        s.foot(other, time, **held)
        s.torso(time, **trunk)
        s.arms(time, ARMS[arms])
    s.hips(2.9, left=SIGN[side] * s.hip)
    s.foot(other, 3.3)
    s.hips(3.4)
    s.torso(3.4)
    s.arms(3.4)
    s.advance(3.4)


def lunge(s: Score, sides: Sequence[str], where: str) -> None:
    """Steps far out with one foot, sinks down and returns; one lunge per entry of `sides`."""
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
            s.arms(time, ARMS["front"] if where == "side" else ARMS["hips"])
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


def squat(s: Score, depth: str, count: int, arms: str = "front") -> None:
    """Squats with the feet apart, halfway or deep."""
    height, pitch, back = (-0.6, 34, -0.2) if depth == "deep" else (-0.28, 20, -0.1)
    # The more the trunk leans, the further the arms must be raised to be level.
    pose = (125.0, -2.0, 0.0, 6.0) if arms == "front" else ARMS[arms]
    _widen(s, 0.1)
    for _ in range(count):
        for time in (0.6, 0.72):
            s.torso(time, height=height, pitch=pitch, lean=10)
            s.hips(time, ahead=back)
            s.arms(time, pose)
        s.torso(1.2)
        s.hips(1.2)
        s.arms(1.2)
        s.feet(1.2, out=0.1)
        s.advance(1.25)
    _widen(s, 0.0, was=0.1)


def _widen(s: Score, out: float, was: float = 0.0) -> None:
    """Moves one foot after the other to a wider or narrower stance."""
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
    """Sits down at the height of a chair or on the floor, and stays."""
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


def stand_up(s: Score, seat: str) -> None:
    """Starts the clip sitting and stands up."""
    target, deep = SEATED[seat], seat == "floor"
    for time in (0.0, 0.6):
        s.torso(time, height=target["height"], pitch=target["pitch"], lean=18 if deep else 4)
        s.hips(time, ahead=target["back"])
        s.arms(time, (58.0, 0.0, -10.0, 30.0) if deep else _LAP)
    s.advance(0.6)
    _rise(s, seat)


def sit_and_stand(s: Score, seat: str) -> None:
    """Sits down and stands up again."""
    sit(s, seat, hold=0.4)
    _rise(s, seat)


def _rise(s: Score, seat: str) -> None:
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


def kneel(s: Score, side: str, ends: str) -> None:
    """Kneels on one knee or both and stays, or stands up again."""
    sides, rise = both(side), ends == "standing"
    first = sides[0]
    down = {"ahead": -0.62, "heel": 68}
    s.foot(first, 0.1)
    s.foot(first, 0.4, ahead=-0.35, up=0.1, heel=35)
    s.foot(first, 0.7, **down)
    s.torso(0.4, height=-0.08, pitch=12)
    s.hips(0.2)
    s.hips(0.9, ahead=-0.12)
    s.torso(1.1, height=-0.46, pitch=4)
    s.arms(0.9, (25.0, 20.0, 0.0, 60.0))
    if len(sides) == 2:
        second = sides[1]
        s.foot(second, 1.15)
        s.foot(second, 1.4, ahead=-0.3, up=0.06, heel=50)
        s.foot(second, 1.7, **down)
        s.torso(1.7, height=-0.5)
    end = 1.9
    keep = {"height": -0.5} if len(sides) == 2 else {"height": -0.46, "pitch": 4}
    for time in (end, end + 0.9):
        s.torso(time, **keep)
        s.hips(time, ahead=-0.12)
        s.arms(time, ARMS["down"] if len(sides) == 2 else (25.0, 20.0, 0.0, 60.0))
        for side in sides:
            s.foot(side, time, **down)
    s.advance(end + 0.9)
    if rise:
        if len(sides) == 2:
            s.foot(sides[1], 0.35, ahead=-0.3, up=0.06, heel=50)
            s.foot(sides[1], 0.6)
        begin = 0.7 if len(sides) == 2 else 0.2
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


def crouch(s: Score, arms: str, hold: float = 1.5) -> None:
    """Crouches low with a rounded back for a while, and rises."""
    for time in (0.7, 0.7 + hold):
        s.torso(time, height=-0.66, pitch=30, lean=45, nod=20)
        s.hips(time, ahead=-0.14)
        s.feet(time, heel=18)
        s.arms(time, ARMS[arms])
    for channel in (s.torso, s.hips, s.feet, s.arms):
        channel(hold + 1.4)
    s.advance(hold + 1.45)


def bow(s: Score, depth: str, count: int = 1) -> None:
    """Bends forward from the hips, with the arms hanging at the thighs."""
    angle = {"slight": 35, "deep": 95}[depth]
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
    """Bends down with straight legs until the hands reach the feet, and rises again."""
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


def wave(s: Score, side: str, height: str, count: int) -> None:
    """Waves one hand or both, beside the head (low) or above it (high)."""
    sides = both(side)
    inner, outer = (
        ((186.0, 88.0, 0.0, 14.0), (132.0, 88.0, 0.0, 14.0))
        if height == "high"
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


def raise_arms(s: Score, side: str, where: str, count: int = 1, hold: float = 0.15) -> None:
    """Raises one arm or both to a pose of `ARMS` and lowers them again."""
    for _ in range(count):
        for arm in both(side):
            s.arm(arm, 0.55, ARMS[where])
            s.arm(arm, 0.55 + hold, ARMS[where])
            s.arm(arm, 1.1 + hold)
        s.advance(1.15 + hold)


def hold_pose(s: Score, left: str, right: str, hold: float = 1.6, **trunk: float) -> None:
    """Moves the arms to a pose and holds it for a while."""
    for time in (0.6, 0.6 + hold):
        s.arm("left", time, ARMS[left])
        s.arm("right", time, ARMS[right])
        s.torso(time, **trunk)
    s.arms(1.2 + hold)
    s.torso(1.2 + hold)
    s.advance(1.2 + hold)


def clap(s: Score, where: str, count: int) -> None:
    """Claps in front of the chest or overhead."""
    apart, together = (
        ((150.0, 75.0, 0.0, 15.0), (172.0, 62.0, -10.0, 28.0))
        if where == "overhead"
        else ((50.0, 45.0, 0.0, 55.0), (50.0, -12.0, -18.0, 55.0))
    )
    s.arms(0.5, apart)
    for i in range(count):
        s.arms(0.5 + 0.5 * i + 0.25, together)
        s.arms(0.5 + 0.5 * i + 0.5, apart)
    s.arms(1.05 + 0.5 * count)
    s.advance(1.05 + 0.5 * count)


def punch(s: Score, sides: Sequence[str], how: str) -> None:
    """Punches once per entry of `sides`: straight ahead, as an uppercut, or down."""
    s.arms(0.35, ARMS["guard"])
    s.torso(0.35, height=-0.05, pitch=6)
    s.advance(0.4)
    hit = {
        "straight": (98.0, -14.0, 0.0, 4.0),
        "up": (150.0, -8.0, 0.0, 35.0),
        "down": (48.0, -20.0, 0.0, 6.0),
    }[how]
    load = {
        "straight": ARMS["guard"],
        "up": (-20.0, 20.0, 0.0, 80.0),
        "down": (120.0, 30.0, 0.0, 130.0),
    }[how]
    trunk = {
        "straight": {"pitch": 8},
        "up": {"pitch": -4, "height": 0.0},
        "down": {"pitch": 26, "lean": 14, "height": -0.12},
    }[how]
    for side in sides:
        twist = -SIGN[side] * 34
        s.arm(OTHER[side], 0.25, ARMS["guard"])
        s.arm(side, 0.25, load)
        s.torso(0.25, height=-0.06, pitch=6, twist=-twist / 2)
        s.arm(side, 0.52, hit)
        s.torso(0.52, **{"height": -0.05, **trunk, "twist": twist})
        s.arm(side, 0.6, hit)
        s.arm(side, 0.95, ARMS["guard"])
        s.arm(OTHER[side], 0.95, ARMS["guard"])
        s.torso(0.95, height=-0.05, pitch=6)
        s.advance(0.95)
    s.arms(0.5)
    s.torso(0.5)
    s.advance(0.5)


def throw(s: Score, side: str, how: str, count: int) -> None:
    """Throws with one hand, stepping forward on the other foot."""
    other, overhand = OTHER[side], how == "overhand"
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


def reach(s: Score, side: str, where: str) -> None:
    """Stretches one hand or both out towards something, and takes them back."""
    sides = both(side)
    one = sum(SIGN[side] for side in sides)  # 0 for both hands
    pose, trunk, hips = {
        "up": (ARMS["overhead"], {"side": -12 * one, "height": 0.1}, {}),
        "front": ((128.0, -6.0, 0.0, 3.0), {"pitch": 26, "lean": 16, "twist": -28 * one}, {}),
        "side": (ARMS["out"], {"side": 30 * one}, {"left": 0.05 * one}),
        "floor": (
            (62.0, 5.0, 0.0, 4.0),
            {"height": -0.55, "pitch": 45, "lean": 28},
            {"ahead": -0.2},
        ),
        "across": ((88.0, -52.0, 0.0, 4.0), {"twist": -48 * one}, {}),
    }[where]
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


def lift(s: Score, goal: str) -> None:
    """Picks something up from the floor with both hands, to the chest or overhead."""
    overhead = goal == "overhead"
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
    """Bends to each of the sides in turn, with the opposite arm reaching over the head."""
    for side in sides:
        for time in (0.7, 1.0):
            s.torso(time, side=SIGN[side] * 44)
            s.hips(time, left=-SIGN[side] * 0.08)
            s.arm(OTHER[side], time, (176.0, 70.0, 0.0, 20.0))
            s.arm(side, time, ARMS["hips"])
        s.torso(1.6)
        s.hips(1.6)
        s.arms(1.65)
        s.advance(1.7)


def twist_trunk(s: Score, sides: Sequence[str], arms: str) -> None:
    """Turns the upper body to each of the sides in turn, with planted feet and raised arms."""
    s.arms(0.5, ARMS[arms])
    s.torso(0.5)
    s.advance(0.5)
    for side in sides:
        for time in (0.5, 0.65):
            s.torso(time, twist=SIGN[side] * 70)
            s.hips(time, turn=SIGN[side] * 15)
            s.arms(time, ARMS[arms])
        s.torso(1.1)
        s.hips(1.1)
        s.arms(1.1, ARMS[arms])
        s.advance(1.1)
    s.arms(0.5)
    s.advance(0.5)


def lean_back(s: Score, arms: str) -> None:
    """Arches the back."""
    for time in (0.8, 1.1):
        s.torso(time, pitch=-16, lean=-26, height=-0.06, nod=-15)
        s.hips(time, ahead=0.14)
        s.arms(time, ARMS[arms])
    s.torso(1.8)
    s.hips(1.8)
    s.arms(1.8)
    s.advance(1.85)


def circle_arms(s: Score, side: str, direction: str, count: int) -> None:
    """Swings straight arms in full circles, forward (rising behind the back first) or backward.

    The arms end a multiple of 360 degrees away from hanging: no action may follow in the same clip.
    """
    sense = 1 if direction == "backward" else -1
    for arm in both(side):
        for i in range(4 * count):
            s.arm(arm, 0.25 * (i + 1), (ARMS["down"][0] + sense * 90 * (i + 1), 12.0, 0.0, 8.0))
    s.advance(1.0 * count + 0.2)


def swing_both(s: Score, side: str, how: str) -> None:
    """Swings both hands together across the body, away from `side`, like a bat or a golf club."""
    away = SIGN[side]
    near, far = {
        "bat": ((75.0, -35.0, 0.0, 75.0), (88.0, -30.0, 0.0, 15.0)),
        "golf": ((70.0, -30.0, 0.0, 30.0), (45.0, -18.0, 0.0, 6.0)),
    }[how]
    lean = {"bat": {"pitch": 6}, "golf": {"pitch": 34, "lean": 20}}[how]
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


def push(s: Score, count: int, pull: bool) -> None:
    """Pushes something away with both hands at chest height, or pulls it in."""
    near, far = (45.0, 10.0, 0.0, 118.0), (96.0, -4.0, 0.0, 8.0)
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
    """Makes breaststroke arm movements while standing and leaning forward."""
    tight, far, wide = (60.0, -10.0, 0.0, 125.0), (125.0, -12.0, 0.0, 4.0), (90.0, 85.0, 0.0, 12.0)
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


def sway(s: Score, count: int, arms: str) -> None:
    """Sways the hips from left to right and back."""
    for _ in range(count):
        for time, sense in ((0.35, 1), (0.85, -1)):
            s.hips(time, left=0.2 * sense)
            s.torso(time, side=-16 * sense, height=-0.05)
            s.arms(time, ARMS[arms])
        s.advance(1.0)
    s.hips(0.3)
    s.torso(0.3)
    s.arms(0.5)
    s.advance(0.5)
