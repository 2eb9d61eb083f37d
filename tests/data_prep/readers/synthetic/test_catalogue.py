"""The catalogue: the joints of a clip show the facts of its meaning, and of no other meaning.

Every kind of action has a check of its facts on the joints; an action without a check fails.
"""

import collections
import itertools

import numpy as np
import pytest
from seen import Seen, bouts

from data_prep.readers.synthetic.body import SIDES, SIGN, sample_body
from data_prep.readers.synthetic.catalogue import all_meanings
from data_prep.readers.synthetic.score import FPS, Score
from motionalign.skeleton import SKELETONS

SKELETON = SKELETONS["smpl22"]

# ------------------------------------------------------------------ what the captions state


def _halfway(values):
    """[T] whether a value is above the middle of its range."""
    return values > (values.max() + values.min()) / 2


def _other(side):
    return "right" if side == "left" else "left"


def _sides(facts):
    return SIDES if facts["side"] == "both" else (facts["side"],)


def _straight(seen, facts):
    ahead, left = seen.moved
    assert (ahead > 0.3) if facts["direction"] == "forward" else (ahead < -0.3)
    assert abs(left) < 0.2 and abs(seen.turned) < 15
    assert seen.steps == facts["steps"]


def _walk(seen, facts):
    _straight(seen, facts)
    assert not seen.runs
    assert _manners(seen) == ({facts["manner"]} if "manner" in facts else set())


def _jog(seen, facts):
    _straight(seen, facts)
    assert seen.runs
    assert _manners(seen) == ({facts["manner"]} if "manner" in facts else set())


def _sprint(seen, facts):
    _straight(seen, facts)
    assert seen.runs and np.abs(seen.ahead("left_ankle", "right_ankle")).max() > 0.7


def _manners(seen):
    """The manners that a gait shows."""
    middle = slice(len(seen.joints) // 3, 2 * len(seen.joints) // 3)
    left_arm, right_arm = (seen.arm(side, middle) for side in SIDES)
    pelvis, tilt = seen.up("pelvis"), seen.left("neck", "pelvis")
    lowest = middle.start + pelvis[middle].argmin()
    knee = max(seen.up(f"{side}_knee").max() for side in SIDES)
    ahead, left = (seen.ahead("left_ankle", "right_ankle"), seen.left("left_ankle", "right_ankle"))
    elbows = [np.ptp(seen.ahead(f"{side}_elbow", f"{side}_shoulder")) for side in SIDES]
    # The body sinks over the limping leg when that leg has landed in front.
    sunk = tilt[lowest] - np.median(tilt[middle]) if abs(ahead[lowest]) > 0.2 else 0.0
    spared = np.sign(sunk) if abs(sunk) > 0.03 and sunk * ahead[lowest] > 0 else 0
    holds = {
        "arms-overhead": left_arm == right_arm == "overhead",
        "arms-out": left_arm == right_arm == "out",
        "arms-front": left_arm == right_arm == "front",
        "left-arm-up": left_arm == "overhead" != right_arm,
        "right-arm-up": right_arm == "overhead" != left_arm,
        "hands-on-hips": left_arm == right_arm == "hips",
        "hands-on-head": left_arm == right_arm == "head",
        "hunched": seen.lean()[middle].min() > 35,
        "crouched": pelvis[middle].max() < 0.8 * pelvis[0],
        "leaning-left": tilt[middle].mean() > 0.1,
        "leaning-right": tilt[middle].mean() < -0.1,
        "high-knees": knee > 1.6 * seen.up("left_knee")[0],
        "long-strides": np.abs(ahead).max() > 0.75,
        "tiny-strides": np.hypot(ahead, left).max() < 0.3,
        "wide-arm-swing": min(elbows) > 0.36,
        "limping-left": spared > 0,
        "limping-right": spared < 0,
        "feet-wide": seen.left("left_foot", "right_foot")[middle].mean() > 0.35,
    }
    return {manner for manner, seen_so in holds.items() if seen_so}


def _sidestep(seen, facts):
    ahead, left = seen.moved
    assert left * SIGN[facts["side"]] > 0.3 * facts["steps"] and abs(ahead) < 0.3
    assert seen.steps == 2 * facts["steps"]  # the other foot closes up
    assert _manners(seen) - {"feet-wide"} == ({facts["manner"]} if "manner" in facts else set())


def _diagonal(seen, facts):
    ahead, left = seen.moved
    assert ahead * (1 if facts["direction"] == "forward" else -1) > 0.7
    assert left * SIGN[facts["side"]] > 0.7 and seen.steps == facts["steps"]


def _march(seen, facts):
    assert np.hypot(*seen.moved) < 0.1 and seen.steps == facts["steps"] and not seen.runs


def _jog_in_place(seen, facts):
    assert np.hypot(*seen.moved) < 0.1 and seen.steps == facts["steps"] and seen.runs


def _turned(seen, facts):
    assert abs(seen.turned - SIGN[facts["side"]] * facts["angle"]) < 8
    if "speed" in facts:
        assert np.hypot(*seen.moved) < 0.1


def _curve(seen, facts):
    _turned(seen, facts)
    assert seen.steps == {90: 7, 180: 9, 360: 11}[facts["angle"]] and not seen.runs


def _run_curve(seen, facts):
    _turned(seen, facts)
    assert seen.runs


def _wind(seen, facts):
    quarter = len(seen.joints) // 3
    early = seen.joints[: len(seen.joints) // 2, 0] - seen.joints[0, 0]
    sin, cos = np.sin(seen.heading[0]), np.cos(seen.heading[0])
    left = early[:, 0] * cos - early[:, 2] * sin
    assert left[quarter] * SIGN[facts["side"]] > 0.3 and seen.moved[0] > 3


def _step_over(seen, facts):
    side, other = facts["side"], _other(facts["side"])
    high = {s: seen.up(f"{s}_foot") > 0.35 for s in SIDES}
    assert high[side].any() and high[other].any() and seen.moved[0] > 1.2
    assert high[side].argmax() < high[other].argmax()


def _jump(seen, facts):
    assert seen.jumps == facts.get("count", 1)
    ahead, left = seen.moved
    count = facts.get("count", 1)
    if "height" in facts:
        rise = seen.up("pelvis").max() - seen.up("pelvis")[0]
        assert (rise > 0.3) == (facts["height"] == "high") and (rise < 0.2) == (
            facts["height"] == "low"
        )
    if "angle" in facts:
        _turned(seen, facts)
    else:
        assert abs(seen.turned) < 15
    if "distance" in facts:
        sense = 1 if facts["direction"] == "forward" else -1
        assert (ahead * sense > 0.6 * count) == (facts["distance"] == "far")
        assert ahead * sense > 0.2 * count and abs(left) < 0.1
    elif "side" in facts and "angle" not in facts:
        assert left * SIGN[facts["side"]] > 0.35 * count and abs(ahead) < 0.1
    else:
        assert np.hypot(ahead, left) < 0.1
    knees = np.minimum(seen.up("left_knee"), seen.up("right_knee"))
    seen_how = {
        "arms-up": (seen.up("left_wrist") - seen.up("head")).max() > 0.3,
        "star": seen.hands_apart().max() > 1.0 and seen.left("left_foot", "right_foot").max() > 0.6,
        "tuck": (knees - seen.up("pelvis")).max() > 0,
    }
    assert {how for how, holds in seen_how.items() if holds} == {facts.get("how")} - {None}


def _hop(seen, facts):
    side, other = facts["side"], _other(facts["side"])
    assert bouts(seen.up(f"{side}_foot") > 0.05) == facts["count"]
    assert bouts(seen.up(f"{other}_foot") > 0.1) == 1
    assert (seen.moved[0] > 0.4) == (facts["direction"] == "forward")


def _jumping_jack(seen, facts):
    assert seen.jumps == 2 * facts["count"]
    assert bouts(seen.up("left_wrist") > seen.up("head")) == facts["count"]


def _kick(seen, facts):
    side, other = facts["side"], _other(facts["side"])
    assert bouts(seen.up(f"{side}_foot") > 0.05) == facts["count"]
    assert seen.up(f"{other}_foot").max() < 0.02
    foot = f"{side}_foot"
    swing = {
        "front": seen.ahead(foot, "pelvis") * 0.9,
        "back": -seen.ahead(foot, "pelvis"),
        "side": seen.left(foot, "pelvis") * SIGN[side],
    }
    assert max(swing, key=lambda where: swing[where].max()) == facts["where"]
    assert (seen.up(foot).max() > 0.4) == (facts["height"] == "high")


def _knee(seen, facts):
    side, other = facts["side"], _other(facts["side"])
    assert bouts(_halfway(seen.up(f"{side}_knee"))) == facts["count"]
    assert np.ptp(seen.up(f"{side}_knee")) > 0.25 and seen.up(f"{other}_foot").max() < 0.02


def _knees(seen, facts):
    for side in SIDES:
        assert bouts(_halfway(seen.up(f"{side}_knee"))) == facts["count"] // 2


def _balance(seen, facts):
    side, other = facts["side"], _other(facts["side"])
    held = seen.up(f"{other}_foot") > 0.2
    assert seen.up(f"{side}_foot").max() < 0.02 and held.mean() > 0.45
    place = {
        "front": seen.ahead(f"{other}_foot", "pelvis") > 0.5,
        "back": seen.ahead(f"{other}_foot", "pelvis") < -0.5,
        "side": seen.left(f"{other}_foot", "pelvis") * SIGN[other] > 0.4,
        "knee": seen.up(f"{other}_knee") > 0.85 * seen.up("pelvis"),
    }[facts["leg"]]
    assert (place & held).sum() > 0.7 * held.sum()
    assert seen.arms([len(held) // 2]) == facts["arms"]


def _lunge(seen, facts):
    side, other = facts["side"], _other(facts["side"])
    assert bouts(seen.up("pelvis") < seen.up("pelvis")[0] - 0.15) == facts["count"]
    assert np.hypot(*seen.shift(f"{other}_foot")).max() < 0.05  # one foot stays, the other moves
    ahead, left = seen.shift(f"{side}_foot")
    gone = {"front": ahead, "back": -ahead, "side": left * SIGN[side]}
    assert {where: far.max() > 0.5 for where, far in gone.items()} == {
        where: where == facts["where"] for where in gone
    }


def _lunges(seen, facts):
    frame = len(seen.joints) // 2
    first, second = (Seen(part) for part in (seen.joints[:frame], seen.joints[frame:]))
    for side, part in zip(SIDES, (first, second)):
        _lunge(part, {**facts, "side": side, "count": 1})


def _squat(seen, facts):
    drop = 1 - seen.up("pelvis") / seen.up("pelvis")[0]
    assert bouts(drop > 0.6 * drop.max()) == facts["count"]
    assert (drop.max() > 0.38) == (facts["depth"] == "deep") and drop.max() > 0.12
    assert seen.arms([drop.argmax()]) == facts.get("arms", "front")


def _seat(seen, facts, first, last):
    height = {"chair": (0.4, 0.65), "floor": (0.05, 0.3)}[facts["seat"]]
    for frame, seated in ((0, first), (-1, last)):
        pelvis = seen.up("pelvis")[frame]
        assert height[0] < pelvis < height[1] if seated else pelvis > 0.8
    assert height[0] < seen.up("pelvis").min() < height[1]


def _kneel(seen, facts):
    for side in SIDES:
        assert (seen.up(f"{side}_knee").min() < 0.15) == (side in _sides(facts))
    assert (seen.up("pelvis")[-1] > 0.8) == (facts["ends"] == "standing")


def _crouch(seen, facts):
    low = seen.up("pelvis") < 0.6 * seen.up("pelvis")[0]
    assert low.any() and not low[-1]
    assert seen.arms([seen.up("pelvis").argmin()]) == facts["arms"]


def _bow(seen, facts):
    assert bouts(_halfway(seen.lean())) == facts.get("count", 1)
    assert (seen.lean().max() > 55) == (facts["depth"] == "deep") and seen.lean().max() > 20


def _touch_toes(seen, facts):
    low = np.maximum(seen.up("left_wrist"), seen.up("right_wrist")) < 0.35
    assert bouts(low) == facts["count"]
    assert seen.up("pelvis").min() > 0.8 * seen.up("pelvis")[0]


def _lift(seen, facts):
    wrist = seen.up("left_wrist")
    low, high = wrist.argmin(), wrist.argmax()
    assert wrist[low] < 0.35 and low < high
    assert (wrist[high] > seen.up("head")[high] + 0.2) == (facts["goal"] == "overhead")


def _wave(seen, facts):
    for side in SIDES:
        assert (seen.arm_travel(side) > 0.5) == (side in _sides(facts))
    for side in _sides(facts):
        raised = seen.up(f"{side}_wrist") > seen.up(f"{side}_shoulder") + 0.12
        out = seen.left(f"{side}_wrist", f"{side}_shoulder")[raised] * SIGN[side]
        assert raised.any()
        edges = np.diff(_halfway(out).astype(int))
        edges = edges[(edges == 1).argmax() :]  # out and in again, after the hand is raised
        assert (edges == -1).sum() == facts["count"]
        above = (seen.up(f"{side}_wrist") - seen.up("head")).max()
        assert (above > 0.3) == (facts["height"] == "high")


def _raise_arm(seen, facts):
    for side in SIDES:
        wrist = seen.at(f"{side}_wrist") - seen.at(f"{side}_shoulder")
        if side not in _sides(facts):
            assert wrist[:, 1].max() < -0.35
            continue
        assert np.ptp(wrist[:, 1]) > 0.35
        assert bouts(_halfway(wrist[:, 1])) == facts.get("count", 1)
        top = wrist[:, 1].argmax()
        ahead = seen.ahead(f"{side}_wrist", f"{side}_shoulder")[top]
        out = seen.left(f"{side}_wrist", f"{side}_shoulder")[top] * SIGN[side]
        where = {"overhead": wrist[top, 1], "front": ahead, "out": out}
        assert max(where, key=where.get) == facts["where"]
        seconds = _halfway(wrist[:, 1]).sum() / FPS / facts.get("count", 1)
        assert seconds > 2.5 if "hold" in facts else seconds < 1.5


def _arm_circle(seen, facts):
    for side in SIDES:
        up = seen.up(f"{side}_wrist") - seen.up(f"{side}_shoulder")
        ahead = seen.ahead(f"{side}_wrist", f"{side}_shoulder")
        angle = np.unwrap(np.arctan2(ahead, -up))  # 0 hanging, rising to the front
        turns = (angle[-1] - angle[0]) / (2 * np.pi)
        sense = 1 if facts["direction"] == "backward" else -1
        expected = sense * facts["count"] if side in _sides(facts) else 0
        assert abs(turns - expected) < 0.1


def _reach(seen, facts):
    for side in SIDES:
        wrist = f"{side}_wrist"
        out = seen.left(wrist, "pelvis") * SIGN[side]
        reached = {
            "up": (seen.up(wrist) - seen.up("head")).max() > 0.3,
            "front": seen.ahead(wrist, "pelvis").max() > 0.6,
            "floor": seen.up(wrist).min() < 0.35,
            "side": out.max() > 0.65,
            "across": out.min() < -0.3,
        }
        assert reached[facts["where"]] == (side in _sides(facts))


def _hits(seen, side, how):
    wrist, shoulder = f"{side}_wrist", f"{side}_shoulder"
    if how == "straight":
        level = np.abs(seen.up(wrist) - seen.up(shoulder)) < 0.22
        return bouts(level & (seen.stretch(side) > 0.45))
    if how == "up":
        return bouts(seen.up(wrist) > seen.up("head"))
    drawn = bouts(seen.up(wrist) > seen.up(shoulder) + 0.1)
    struck = bouts((seen.up(wrist) < seen.up(shoulder) - 0.25) & (seen.lean() > 25))
    return drawn if struck >= drawn else 0


def _punch(seen, facts):
    other = _other(facts["side"])
    _fists(seen, facts["how"], {facts["side"]: facts["count"], other: 0})


def _punches(seen, facts):
    _fists(seen, facts["how"], dict.fromkeys(SIDES, facts["count"] // 2))


def _fists(seen, how, counts):
    for side, count in counts.items():
        assert _hits(seen, side, how) == count
        assert how != "straight" or _hits(seen, side, "up") == 0
    assert (seen.lean().max() > 25) == (how == "down")


def _clap(seen, facts):
    assert bouts(seen.hands_apart() < 0.3) == facts["count"]
    meet = seen.hands_apart().argmin()
    above = seen.up("left_wrist")[meet] > seen.up("head")[meet]
    assert above == (facts["where"] == "overhead")


def _throw(seen, facts):
    side, other = facts["side"], _other(facts["side"])
    ahead = seen.ahead(f"{side}_wrist", "pelvis")
    assert bouts(seen.up(f"{other}_foot") > 0.03) == 2 * facts["count"]  # out and back
    assert seen.up(f"{side}_foot").max() < 0.02 and ahead.max() > 0.5
    release = ahead.argmax()
    before = seen.up(f"{side}_wrist")[max(release - 6, 0) : release]
    high = before.max() > seen.up("head")[release]
    assert high == (facts["how"] == "overhand")


def _swing(seen, facts):
    hands = seen.left("left_wrist", "pelvis") + seen.left("right_wrist", "pelvis")
    hands = hands * SIGN[facts["side"]]
    assert hands.argmax() < hands.argmin() and hands.max() > 0.4 > -0.4 > hands.min()
    low = np.minimum(seen.up("left_wrist"), seen.up("right_wrist"))[hands.argmax() : hands.argmin()]
    assert (low.min() < 0.95) == (facts["how"] == "golf")


def _push(seen, facts):
    """The arms stretch `count` times, and the body leans forward."""
    out = _arms_out_in_front(seen)
    assert bouts(out) == facts["count"]
    assert seen.ahead("neck", "pelvis")[out].max() > 0.1


def _pull(seen, facts):
    """The stretched arms bend `count` times, and the body leans back."""
    out = _arms_out_in_front(seen)
    assert bouts(out) == facts["count"] + 1
    assert seen.ahead("neck", "pelvis").min() < -0.05


def _arms_out_in_front(seen):
    return np.all([seen.ahead(f"{s}_wrist", f"{s}_shoulder") > 0.4 for s in SIDES], axis=0)


def _swim(seen, facts):
    assert bouts(seen.hands_apart() > 1.0) == facts["count"]


def _bend_sideways(seen, facts):
    tilt = seen.left("head", "pelvis") * SIGN[facts["side"]]
    assert tilt.max() > 0.2 and -tilt.min() < 0.1
    assert bouts(_halfway(tilt)) == facts["count"]
    assert (seen.up(f"{_other(facts['side'])}_wrist") - seen.up("head")).max() > 0.05


def _twist(seen, facts):
    twist = seen.twist() * SIGN[facts["side"]]
    assert twist.max() > 45 and -twist.min() < 15 and bouts(_halfway(twist)) == facts["count"]
    _twisted_arms(seen, twist.argmax(), facts["arms"])


def _twists(seen, facts):
    twist = seen.twist() * SIGN[facts["side"]]
    assert bouts(twist > 40) == bouts(twist < -40) == facts["count"]
    assert (twist > 40).argmax() < (twist < -40).argmax()
    _twisted_arms(seen, twist.argmax(), facts["arms"])


def _twisted_arms(seen, frame, arms):
    """Straight arms that turn with the shoulders."""
    assert min(seen.stretch(side)[frame] for side in SIDES) > 0.43
    apart = seen.hands_apart()[frame]
    assert apart > 1.1 if arms == "out" else apart < 0.6


def _sway(seen, facts):
    left = seen.left("left_hip", "left_ankle")
    assert bouts(left > left[0] + 0.08) == bouts(left < left[0] - 0.08) == facts["count"]
    assert seen.arms([len(left) // 2]) == facts["arms"]


def _lean_back(seen, facts):
    ahead = seen.ahead("neck", "pelvis")
    assert ahead.min() < -0.2 and seen.arms([ahead.argmin()]) == facts["arms"]


def _pose(other):
    """A check of arm poses; `other` is the pose of an arm that the facts do not mention."""

    def check(seen, facts):
        middle = slice(len(seen.joints) * 2 // 5, len(seen.joints) * 3 // 5)
        for side in SIDES:
            stated = facts.get("side", side) == side
            assert seen.arm(side, middle) == (facts["pose"] if stated else other)

    return check


CHECKS = {
    "walk": _walk,
    "jog": _jog,
    "sprint": _sprint,
    "march": _march,
    "jog-in-place": _jog_in_place,
    "sidestep": _sidestep,
    "diagonal": _diagonal,
    "turn": _turned,
    "walk-curve": _curve,
    "run-curve": _run_curve,
    "wind": _wind,
    "step-over": _step_over,
    "jump": _jump,
    "hop": _hop,
    "jumping-jack": _jumping_jack,
    "kick": _kick,
    "knee": _knee,
    "knees": _knees,
    "balance": _balance,
    "lunge": _lunge,
    "lunges": _lunges,
    "squat": _squat,
    "sit": lambda seen, facts: _seat(seen, facts, False, True),
    "stand-up": lambda seen, facts: _seat(seen, facts, True, False),
    "sit-and-stand": lambda seen, facts: _seat(seen, facts, False, False),
    "kneel": _kneel,
    "crouch": _crouch,
    "bow": _bow,
    "touch-toes": _touch_toes,
    "lift": _lift,
    "wave": _wave,
    "raise-arm": _raise_arm,
    "arm-circle": _arm_circle,
    "reach": _reach,
    "punch": _punch,
    "punches": _punches,
    "clap": _clap,
    "throw": _throw,
    "swing": _swing,
    "push": _push,
    "pull": _pull,
    "swim": _swim,
    "bend-sideways": _bend_sideways,
    "twist": _twist,
    "twists": _twists,
    "sway": _sway,
    "lean-back": _lean_back,
    "pose": _pose("down"),
    "pose-out": _pose("out"),
    "pose-hips": _pose("hips"),
}


def _played(acts, seed):
    rng = np.random.default_rng(seed)
    score = Score(sample_body(rng))
    for act in acts:
        score.rate = act.rate
        act.play(score)
    return score.play(rng)


KINDS = collections.defaultdict(list)
for _meaning in all_meanings():
    if len(_meaning.acts) == 1:
        KINDS[_meaning.acts[0].name].append(_meaning)


@pytest.mark.parametrize("name", sorted(KINDS))
def test_joints_show_the_stated_facts(name):
    for meaning, seed in itertools.product(KINDS[name], range(3)):
        seen = Seen(_played(meaning.acts, seed))
        try:
            CHECKS[name](seen, meaning.acts[0].facts)
        except AssertionError as error:
            raise AssertionError(f"{meaning.key}, seed {seed}: {error}") from error


# Kinds of actions that differ in a fact that is part of their name.
_ALIKE = (
    "walk jog sprint", "walk-curve run-curve", "march jog-in-place", "knee knees", "lunge lunges",
    "sit stand-up sit-and-stand", "punch punches", "push pull", "twist twists",
    "pose pose-out pose-hips",
)  # fmt: skip


@pytest.mark.parametrize("names", [*sorted({*KINDS} - {*" ".join(_ALIKE).split()}), *_ALIKE])
def test_joints_of_other_meanings_do_not_show_the_facts(names):
    """The check of a meaning fails for every other meaning of its kind."""
    meanings = [meaning for name in names.split() for meaning in KINDS[name]]
    played = [Seen(_played(meaning.acts, 0)) for meaning in meanings]
    passed = []
    for a, (b, seen) in itertools.product(meanings, zip(meanings, played)):
        if _but_for_speed(a) == _but_for_speed(b):
            continue
        try:
            CHECKS[a.acts[0].name](seen, a.acts[0].facts)
        except AssertionError:
            continue
        passed.append(f"{a.key} is borne out by {b.key}")
    assert not passed


def _but_for_speed(meaning):
    """The facts except the speed, which has its own test; the count defaults to once."""
    (act,) = meaning.acts
    return {"name": act.name, "count": 1, **act.facts, "speed": None}


def test_second_act_follows_the_first():
    """Two consecutive acts equal the single ones: positions and headings add up, both show."""
    for meaning in all_meanings():
        if len(meaning.acts) != 2:
            continue
        alone = [Seen(_played([act], 5)) for act in meaning.acts]
        both = Seen(_played(meaning.acts, 5))
        assert abs(both.turned - sum(part.turned for part in alone)) < 8, meaning.key
        assert both.steps >= sum(part.steps for part in alone), meaning.key
        (ahead, left), (ahead2, left2) = (part.moved for part in alone)
        turn = np.radians(alone[0].turned)
        expected = (
            ahead + ahead2 * np.cos(turn) - left2 * np.sin(turn),
            left + ahead2 * np.sin(turn) + left2 * np.cos(turn),
        )
        assert np.allclose(both.moved, expected, atol=0.15), meaning.key


def test_speeds_are_distinguishable():
    frames = collections.defaultdict(dict)
    for meaning in all_meanings():
        if len(meaning.acts) == 1 and "speed" in (facts := meaning.acts[0].facts):
            same = meaning.key.replace(f"speed={facts['speed']}", "")
            frames[same][facts["speed"]] = [len(_played(meaning.acts, seed)) for seed in range(3)]
    for same, of in frames.items():
        order = [of[speed] for speed in ("quickly", "normally", "slowly") if speed in of]
        assert all(max(a) < 0.9 * min(b) for a, b in itertools.pairwise(order)), same


# ---------------------------------------------------------------------------- left and right


def _swapped(text):
    return text.replace("left", "\0").replace("right", "left").replace("\0", "right")


def test_left_and_right_are_mirror_images_in_words_and_joints():
    acts = {m.key: m.acts[0] for m in all_meanings() if len(m.acts) == 1}
    checked = 0
    for key, act in acts.items():
        if "side=left" not in key:
            continue
        twin = acts[key.replace("side=left", "side=right")]
        assert {_swapped(verb) for verb in act.verbs} == set(twin.verbs), key
        assert act.phrases == twin.phrases
        left, right = (_played([a], 7) for a in (act, twin))
        assert left.shape == right.shape
        # The random variation of a clip is not mirrored.
        assert np.abs(SKELETON.mirrored(left) - right)[..., 1].mean() < 0.03, key
        facing = SKELETON.mirrored(left)[0, [1, 2]] - right[0, [1, 2]]
        assert np.abs(facing).max() < 0.05
        checked += 1
    assert checked > 100
