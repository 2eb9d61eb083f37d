"""The catalogue of the synthetic dataset: every meaning with its facts, words and keyframes.

Meanings differ in facts that a viewer can distinguish in the joints, and captions mention only what
the joints do. Most entries are families: one act for each combination of values of their facts.
"""

import functools
import itertools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from data_prep.readers.synthetic import actions as do
from data_prep.readers.synthetic import travel as go
from data_prep.readers.synthetic.body import OTHER, SIDES, SIGN
from data_prep.readers.synthetic.meanings import Act, Meaning
from data_prep.readers.synthetic.score import Score

_ANY_SIDE = (*SIDES, "both")

_HASTE = ("slowly", "quickly")

_RATES = {"slowly": 1.6, "normally": 1.0, "quickly": 0.65}

_NUMBERS = "no one two three four five six seven eight nine ten".split()

# Words for the values of facts; the word for an unlisted value is the value itself.
_WORDS = {
    "count": {
        1: ("once", "one time", "a single time"),
        2: ("twice", "two times"),
        **{n: (f"{_NUMBERS[n]} times", f"{_NUMBERS[n]} times in a row") for n in range(3, 7)},
    },
    "steps": {
        n: (f"{number} steps", f"for {number} steps", f"taking {number} steps")
        for n, number in enumerate(_NUMBERS)
    },
    "speed": {
        "slowly": ("slowly", "at a slow pace", "in slow motion"),
        "normally": ("at a normal pace", "at a moderate speed", "at an ordinary pace"),
        "quickly": ("quickly", "fast", "rapidly"),
    },
    "manner": {
        "arms-overhead": ("with both arms raised overhead", "with both arms held up high"),
        "arms-out": (
            "with both arms stretched out to the sides",
            "with the arms held out sideways",
        ),
        "arms-front": (
            "with both arms stretched out in front",
            "with the arms held out forward",
        ),
        "left-arm-up": ("with the left arm raised overhead", "with the left arm held up high"),
        "right-arm-up": ("with the right arm raised overhead", "with the right arm held up high"),
        "hands-on-hips": ("with the hands on the hips", "with both hands on the hips"),
        "hands-on-head": ("with the hands on the head", "with both hands on the head"),
        "hunched": ("hunched over", "bent far forward", "with the back bent far forward"),
        "crouched": ("crouching low", "with deeply bent knees", "in a low crouch"),
        "leaning-left": ("leaning to the left", "with the body tilted to the left"),
        "leaning-right": ("leaning to the right", "with the body tilted to the right"),
        "high-knees": ("lifting the knees high", "raising the knees high", "with high knees"),
        "long-strides": ("with very long strides", "with giant strides"),
        "tiny-strides": ("with tiny strides", "with very short strides"),
        "wide-arm-swing": ("swinging the arms widely", "with big arm swings"),
        "limping-left": ("limping on the left leg", "sparing the left leg"),
        "limping-right": ("limping on the right leg", "sparing the right leg"),
        "feet-wide": ("with the feet wide apart", "with the legs spread wide"),
    },
    "arms": {
        "overhead": ("with both arms overhead", "with both arms up in the air"),
        "out": ("with the arms out to the sides", "with both arms out sideways"),
        "front": ("with the arms out in front", "with both arms held out forward"),
        "hips": ("with the hands on the hips",),
        "head": ("with the hands over the head", "covering the head with both hands"),
        "knees": ("with the arms around the knees", "hugging the knees"),
        "back": ("with the arms stretched out behind",),
        "down": ("with the arms hanging",),
    },
}


def _family(
    name: str,
    verbs: str | tuple[str, ...],
    play: Callable,
    trail: tuple[str, ...] = (),
    words: Mapping[str, Mapping] | None = None,
    **facts: tuple,
) -> Iterator[Act]:
    """Acts of one kind, one for each combination of the values of their facts.

    Args:
      name: the kind of action.
      verbs: verb phrases. A fact in braces is replaced by its words, `{other}` by the other side,
        and `{hand}`, `{arm}` and `{fist}` by those of the side, or both.
      play: writes an act, called with the score and all facts except `speed`, which sets the rate.
      trail: the facts that follow the verb phrase, in any order.
      words: words for the values of facts that override `_WORDS`.
      facts: the possible values of each fact.
    """
    vocabulary = {**_WORDS, **(words or {})}
    for values in itertools.product(*facts.values()):
        said = dict(zip(facts, values))
        spoken = {k: vocabulary.get(k, {}).get(v, (str(v),)) for k, v in said.items()}
        if "side" in said:
            spoken["other"] = (OTHER.get(said["side"], ""),)
            for limb in ("hand", "arm", "fist"):
                one = said["side"] != "both"
                spoken[limb] = (f"the {said['side']} {limb}" if one else f"both {limb}s",)
        phrases = itertools.product((verbs,) if isinstance(verbs, str) else verbs, *spoken.values())
        filled = (verb.format(**dict(zip(spoken, choice))) for verb, *choice in phrases)
        done = {k: v for k, v in said.items() if k != "speed"}
        yield Act(
            name=name,
            facts=said,
            verbs=tuple(dict.fromkeys(filled)),
            phrases=tuple(spoken[fact] for fact in trail),
            play=functools.partial(play, **done),
            rate=_RATES[said.get("speed", "normally")],
        )


# --------------------------------------------------------------------------------- locomotion

_WALK = {
    "verbs": "walk {direction}",
    "words": {
        "direction": {
            "forward": ("forward", "ahead", "straight ahead"),
            "backward": ("backward", "backwards"),
        }
    },
}

_JOG = ("jog {direction}", "run {direction} at an easy pace")

_SPRINT = ("sprint {direction}", "run {direction} very fast", "dash {direction}")

_SIDESTEP = {
    "verbs": ("side-step to the {side}", "move sideways to the {side}"),
    "words": {
        "steps": {
            n: (f"{_NUMBERS[n]} step{'s' * (n > 1)}", f"by {_NUMBERS[n]} step{'s' * (n > 1)}")
            for n in (1, 2, 3, 4)
        }
    },
}


def _straight() -> Iterator[Act]:
    """Walking, jogging and sprinting along a straight line."""
    ahead, back = ("forward",), ("backward",)
    walk = functools.partial(_family, "walk", play=go.walk, **_WALK)
    paced, styled = ("steps", "speed"), ("steps", "manner")
    yield from walk(trail=("steps",), direction=ahead + back, steps=(2,))
    yield from walk(trail=paced, direction=ahead, steps=(4, 6, 8), speed=tuple(_RATES))
    yield from walk(trail=paced, direction=back, steps=(4, 6), speed=tuple(_RATES))
    yield from walk(trail=styled, direction=ahead, steps=(6,), manner=tuple(go.MANNERS))
    some = "arms-overhead arms-out arms-front left-arm-up right-arm-up hunched crouched high-knees"
    yield from walk(trail=styled, direction=back, steps=(4,), manner=tuple(some.split()))

    jog = functools.partial(go.walk, gait=go.JOG)
    some = "arms-overhead arms-out high-knees hands-on-head hunched"
    yield from _family("jog", _JOG, jog, ("steps",), direction=ahead, steps=(4, 6, 9))
    yield from _family("jog", _JOG, jog, ("steps",), direction=back, steps=(4, 7))
    yield from _family(
        "jog", _JOG, jog, styled, direction=ahead, steps=(6,), manner=tuple(some.split())
    )
    sprint = functools.partial(go.walk, gait=go.SPRINT)
    yield from _family("sprint", _SPRINT, sprint, ("steps",), direction=ahead, steps=(4, 6, 9))


def _in_place_and_sideways() -> Iterator[Act]:
    paced, styled = ("steps", "speed"), ("steps", "manner")
    yield from _family(
        "march",
        ("march in place", "march on the spot", "walk in place with high knees"),
        go.march,
        paced,
        steps=(4, 8),
        speed=tuple(_RATES),
    )
    yield from _family(
        "jog-in-place",
        ("jog in place", "run on the spot"),
        functools.partial(go.march, gait=go.TROT),
        ("steps",),
        steps=(6, 10),
    )
    sidestep = functools.partial(_family, "sidestep", play=go.sidestep, side=SIDES, **_SIDESTEP)
    some = ("arms-overhead", "arms-out", "arms-front", "crouched")
    yield from sidestep(trail=paced, steps=(1, 2, 4), speed=_HASTE)
    yield from sidestep(trail=styled, steps=(3,), manner=some)
    yield from _family(
        "diagonal",
        ("walk diagonally {direction} to the {side}", "walk obliquely {direction} to the {side}"),
        go.diagonal,
        ("steps",),
        direction=("forward", "backward"),
        side=SIDES,
        steps=(5,),
    )


def _turning() -> Iterator[Act]:
    """Turns in place, curves and winding paths."""
    yield from _family(
        "turn",
        ("turn {side} in place", "turn to the {side} on the spot"),
        go.turn_around,
        ("angle", "speed"),
        words={
            "angle": {
                90: ("by ninety degrees", "by a quarter turn", "a quarter of the way around"),
                180: ("by one hundred eighty degrees", "by a half turn", "to face the other way"),
                360: ("by three hundred sixty degrees", "by a full turn", "all the way around"),
            }
        },
        side=SIDES,
        angle=(90, 180, 360),
        speed=_HASTE,
    )
    for gait, verb in ((go.WALK, "walk"), (go.JOG, "run")):
        yield from _family(
            f"{verb}-curve",
            (f"{verb} {{angle}} to the {{side}}", f"{verb} {{angle}}, turning {{side}}"),
            functools.partial(go.curve, gait=gait),
            words={
                "angle": {
                    90: ("along a curve", "in a quarter circle"),
                    180: ("in a half circle", "along a half circle"),
                    360: ("in a full circle", "all around a circle"),
                }
            },
            side=SIDES,
            angle=(90, 180, 360),
        )
    yield from _family(
        "wind",
        ("walk in an S shape, curving {side} first", "walk along a winding path, first {side}"),
        go.wind,
        side=SIDES,
    )


def _obstacles() -> Iterator[Act]:
    yield from _family(
        "step-over",
        (
            "step over an obstacle, {side} leg first",
            "step high over something with the {side} foot first",
        ),
        go.step_over,
        side=SIDES,
    )


# ----------------------------------------------------------------------------- jumps and legs


def _jumps() -> Iterator[Act]:
    """Jumps that differ in how high or how far they go."""
    yield from _family(
        "jump",
        ("jump up {height} in place", "jump up {height} on the spot", "jump {height}"),
        lambda s, height, count: go.jump(s, count, {"low": 0.1, "high": 0.5}[height]),
        ("count",),
        words={
            "height": {
                "low": ("a little", "just off the ground"),
                "high": ("high", "high up", "high into the air"),
            }
        },
        height=("low", "high"),
        count=(1, 2, 3),
    )
    for direction, distances in (
        ("forward", {"short": 0.4, "far": 1.3}),
        ("backward", {"short": -0.4}),
    ):
        yield from _family(
            "jump",
            ("jump {distance} {direction}", "leap {distance} {direction}"),
            lambda s, direction, distance, count, of=distances: go.jump(
                s, count, 0.22, ahead=of[distance]
            ),
            ("count",),
            words={
                "distance": {
                    "short": ("a short way", "a short distance"),
                    "far": ("far", "a long way"),
                }
            },
            direction=(direction,),
            distance=tuple(distances),
            count=(1, 2, 3),
        )
    yield from _family(
        "jump",
        ("jump sideways to the {side}", "leap to the {side}"),
        lambda s, side, count: go.jump(s, count, 0.2, left=0.7 * SIGN[side]),
        ("count",),
        side=SIDES,
        count=(1, 2, 3),
    )


def _jumps_with_style() -> Iterator[Act]:
    """Jumps that differ in the pose in the air."""
    yield from _family(
        "jump",
        ("jump and *turn {side} in the air", "turn {side} in a jump"),
        lambda s, side, angle: go.jump(s, 1, turn=SIGN[side] * angle),
        ("angle",),
        words={
            "angle": {
                90: ("by a quarter turn", "by ninety degrees"),
                180: ("by a half turn", "to face the other way"),
            }
        },
        side=SIDES,
        angle=(90, 180),
    )
    yield from _family(
        "jump",
        ("jump up in place", "jump straight up"),
        go.jump,
        ("how", "count"),
        words={
            "how": {
                "arms-up": ("throwing both arms up", "with both arms thrown overhead"),
                "star": ("spreading arms and legs", "with arms and legs spread wide"),
                "tuck": ("pulling the knees up to the chest", "tucking the knees"),
            }
        },
        how=("arms-up", "star", "tuck"),
        count=(1, 2),
    )


def _hops() -> Iterator[Act]:
    yield from _family(
        "hop",
        ("hop {direction} on the {side} foot", "hop {direction} on the {side} leg"),
        lambda s, side, direction, count: go.hop(s, side, count, 0.55 * (direction == "forward")),
        ("count",),
        words={
            "direction": {
                "in-place": ("in place", "on the spot"),
                "forward": ("forward", "ahead"),
            }
        },
        side=SIDES,
        direction=("in-place", "forward"),
        count=(2, 4),
    )
    yield from _family(
        "jumping-jack",
        ("do {count} jumping jacks", "perform {count} jumping jacks"),
        go.jumping_jacks,
        words={"count": {n: (_NUMBERS[n],) for n in (2, 4)}},
        count=(2, 4),
    )


def _kicks_and_knees() -> Iterator[Act]:
    for height, counts in (("low", (1,)), ("high", (1, 3))):
        yield from _family(
            "kick",
            (
                "kick {height} {where} with the {side} leg",
                "kick {height} {where} with the {side} foot",
            ),
            do.kick,
            ("count",),
            words={
                "where": {
                    "front": ("to the front", "forward"),
                    "side": ("to the side", "sideways"),
                    "back": ("to the back", "backward"),
                },
                "height": {"low": ("low", "near the ground"), "high": ("high", "high up")},
            },
            side=SIDES,
            where=("front", "side", "back"),
            height=(height,),
            count=counts,
        )
    yield from _family(
        "knee",
        ("lift the {side} knee", "raise the {side} knee to hip height"),
        lambda s, side, count: do.raise_knee(s, (side,) * count),
        ("count",),
        side=SIDES,
        count=(1, 3),
    )
    yield from _family(
        "knees",
        ("raise alternate knees {count} times", "lift one knee after the other {count} times"),
        lambda s, count: do.raise_knee(s, SIDES * (count // 2)),
        words={"count": {n: (_NUMBERS[n],) for n in (2, 4)}},
        count=(2, 4),
    )


def _balances_and_lunges() -> Iterator[Act]:
    for leg, words, arms in (
        ("front", "{other} leg stretched out in front", ("out",)),
        ("side", "{other} leg stretched out to the side", ("out",)),
        ("back", "{other} leg stretched out behind", ("out", "overhead")),
        ("knee", "{other} knee pulled up", ("out", "overhead")),
    ):
        yield from _family(
            "balance",
            tuple(f"{verb} on the {{side}} leg with the {words}" for verb in ("balance", "stand")),
            do.balance,
            ("arms",),
            words={
                "arms": {
                    "out": ("with arms outstretched", "with the arms spread"),
                    "overhead": ("with both arms overhead", "with both arms raised high"),
                }
            },
            side=SIDES,
            leg=(leg,),
            arms=arms,
        )
    yield from _family(
        "lunge",
        ("lunge {where} with the {side} leg", "do a {where} lunge with the {side} leg"),
        lambda s, side, where, count: do.lunge(s, (side,) * count, where),
        ("count",),
        words={"where": {"front": ("forward",), "back": ("backward",), "side": ("sideways",)}},
        side=SIDES,
        where=("front", "back", "side"),
        count=(1, 2),
    )
    yield from _family(
        "lunges",
        ("lunge {where} first with the left and then with the right leg",),
        lambda s, where: do.lunge(s, SIDES, where),
        words={"where": {"front": ("forward",), "side": ("sideways",)}},
        where=("front", "side"),
    )


# -------------------------------------------------------------------------- down and up again


def _squats() -> Iterator[Act]:
    yield from _family(
        "squat",
        ("squat down {depth} and *rise again", "squat {depth}", "bend the knees {depth}"),
        do.squat,
        ("count",),
        words={
            "depth": {
                "half": ("halfway", "only halfway", "a little"),
                "deep": ("deep", "very low", "very deep"),
            }
        },
        depth=("half", "deep"),
        count=(1, 2, 3),
    )
    yield from _family(
        "squat",
        ("squat down deep and *rise again", "do a deep squat"),
        do.squat,
        ("arms", "count"),
        depth=("deep",),
        arms=("overhead", "hips", "out"),
        count=(1, 3),
    )


def _sitting_and_kneeling() -> Iterator[Act]:
    seats = {"seat": {"chair": ("a chair", "a seat"), "floor": ("the floor", "the ground")}}
    sit_down = ("sit down on {seat}", "lower the body to sit on {seat}")
    stand_up = ("stand up from sitting on {seat}", "get up from {seat}")
    both = ("sit down on {seat} and *stand up again", "sit down on {seat} and *get up again")
    seat = ("chair", "floor")
    speeds: dict[str, Any] = {"words": seats, "speed": _HASTE}
    yield from _family("sit", sit_down, do.sit, ("speed",), seat=seat, **speeds)
    yield from _family("stand-up", stand_up, do.stand_up, ("speed",), seat=seat, **speeds)
    yield from _family("sit-and-stand", both, do.sit_and_stand, words=seats, seat=seat)
    yield from _family(
        "kneel",
        ("kneel down on {side} and {ends}", "go down on {side} and {ends}"),
        do.kneel,
        words={
            "side": {
                "left": ("the left knee",),
                "right": ("the right knee",),
                "both": ("both knees",),
            },
            "ends": {"kneeling": ("*stay there",), "standing": ("*get up again", "*rise again")},
        },
        side=_ANY_SIDE,
        ends=("kneeling", "standing"),
    )


def _bending_down() -> Iterator[Act]:
    yield from _family(
        "crouch",
        ("crouch down low and *rise again", "duck down and *come up again"),
        do.crouch,
        ("arms",),
        arms=("knees", "head", "back"),
    )
    depth = {"depth": {"slight": ("slightly", "a little"), "deep": ("deeply", "very low")}}
    bow = functools.partial(
        _family, "bow", ("bow {depth}", "bow forward {depth}"), do.bow, words=depth
    )
    yield from bow(("count",), depth=("slight", "deep"), count=(1, 2, 3))
    yield from bow(("speed",), depth=("deep",), speed=_HASTE)
    yield from _family(
        "touch-toes",
        ("bend down and *touch the toes", "touch the toes with straight legs"),
        do.touch_toes,
        ("count",),
        count=(1, 2, 3),
    )
    yield from _family(
        "lift",
        (
            "lift something from the floor {goal} with both hands",
            "take something from the ground and *lift it {goal}",
        ),
        do.lift,
        ("speed",),
        words={"goal": {"chest": ("up to the chest",), "overhead": ("overhead",)}},
        goal=("chest", "overhead"),
        speed=_HASTE,
    )


# ---------------------------------------------------------------------------- arms and trunk


def _raised_arms() -> Iterator[Act]:
    """Waving, raising and circling the arms."""
    wave = functools.partial(
        _family,
        "wave",
        ("wave {hand} {height}", "wave with {hand} {height}"),
        do.wave,
        words={
            "height": {
                "low": ("beside the head", "at head height"),
                "high": ("high above the head", "far overhead"),
            }
        },
        side=_ANY_SIDE,
        height=("low", "high"),
    )
    yield from wave(("count",), count=(2, 5))
    yield from wave(("count", "speed"), count=(4,), speed=_HASTE)
    raise_arm = functools.partial(
        _family,
        "raise-arm",
        ("raise {arm} {where}", "lift {arm} {where}"),
        words={
            "where": {
                "front": ("forward to shoulder height", "straight out to the front"),
                "out": ("sideways to shoulder height", "straight out to the side"),
                "overhead": ("overhead", "straight up above the head"),
            },
            "hold": {3.0: ("for a long time", "holding still there for a while")},
        },
        side=_ANY_SIDE,
        where=("front", "out", "overhead"),
    )
    yield from raise_arm(play=do.raise_arms, trail=("count",), count=(1, 3))
    yield from raise_arm(play=do.raise_arms, trail=("hold",), hold=(3.0,))
    yield from _family(
        "arm-circle",
        ("swing {arm} {direction} in circles", "circle {arm} {direction}"),
        do.circle_arms,
        ("count",),
        side=_ANY_SIDE,
        direction=("forward", "backward"),
        count=(2, 4),
    )


def _reaching() -> Iterator[Act]:
    for where, verbs, sides in (
        ("up", ("reach up high with {hand}", "stretch up high with {hand}"), _ANY_SIDE),
        (
            "front",
            ("reach far forward with {hand}", "lean and *reach ahead with {hand}"),
            _ANY_SIDE,
        ),
        ("floor", ("squat and *reach down to the floor with {hand}",), _ANY_SIDE),
        (
            "side",
            ("reach far to the {side} with {hand}", "lean and *reach {side} with {hand}"),
            SIDES,
        ),
        ("across", ("reach across to the {other} with {hand}",), SIDES),
    ):
        yield from _family("reach", verbs, do.reach, side=sides, where=(where,))


def _hits() -> Iterator[Act]:
    """Punches and claps."""
    hits = {
        "straight": ("straight ahead", "forward"),
        "up": ("upward", "up above the head"),
        "down": ("downward", "down low"),
    }
    yield from _family(
        "punch",
        ("punch {how} with {fist}", "throw a punch {how} with {fist}"),
        lambda s, side, how, count: do.punch(s, (side,) * count, how),
        ("count",),
        words={"how": hits},
        side=SIDES,
        how=tuple(hits),
        count=(1, 3),
    )
    yield from _family(
        "punches",
        ("punch {how} {count} times with alternating fists",),
        lambda s, how, count: do.punch(s, SIDES * (count // 2), how),
        words={"how": hits, "count": dict(enumerate((n,) for n in _NUMBERS))},
        how=("straight", "up"),
        count=(2, 4, 6),
    )
    yield from _family(
        "clap",
        ("clap the hands {where}", "clap both hands {where}"),
        do.clap,
        ("count",),
        words={
            "where": {
                "front": ("in front of the chest", "in front of the body"),
                "overhead": ("above the head", "overhead"),
            }
        },
        where=("front", "overhead"),
        count=(2, 5),
    )


def _throws_and_swings() -> Iterator[Act]:
    """Throwing, swinging, pushing and swimming: arm motions with an object or in water."""
    yield from _family(
        "throw",
        ("throw something {how} with {hand}", "throw {how} with {arm}"),
        do.throw,
        ("count",),
        side=SIDES,
        how=("overhand", "underhand"),
        count=(1, 2),
    )
    for how, club in (("bat", "a bat at chest height"), ("golf", "a golf club near the ground")):
        yield from _family(
            "swing",
            (f"swing {club} from {{side}} to {{other}}", f"swing {club} over to the {{other}}"),
            do.swing_both,
            side=SIDES,
            how=(how,),
        )
    for pull, verbs in (
        (False, ("push something away with both hands", "push forward with both arms")),
        (True, ("pull something in with both hands", "pull backward with both arms")),
    ):
        yield from _family(
            "pull" if pull else "push",
            verbs,
            functools.partial(do.push, pull=pull),
            ("count",),
            count=(1, 3),
        )
    swim = ("make swimming strokes with the arms", "do breaststroke arm moves")
    yield from _family("swim", swim, do.swim, ("count",), count=(2, 4))


def _trunk() -> Iterator[Act]:
    yield from _family(
        "bend-sideways",
        (
            "bend sideways to the {side} with the {other} arm over the head",
            "stretch to the {side} with the {other} arm overhead",
        ),
        lambda s, side, count: do.bend_sideways(s, (side,) * count),
        ("count",),
        side=SIDES,
        count=(1, 2, 3),
    )
    yield from _family(
        "twist",
        ("twist the upper body to the {side}", "rotate the trunk to the {side}"),
        lambda s, side, arms, count: do.twist_trunk(s, (side,) * count, arms),
        ("arms", "count"),
        side=SIDES,
        arms=("out", "front"),
        count=(1, 3),
    )
    yield from _family(
        "twists",
        ("twist the upper body {side} and {other}", "rotate the trunk {side} and {other}"),
        lambda s, side, arms, count: do.twist_trunk(s, (side, OTHER[side]) * count, arms),
        ("arms", "count"),
        side=SIDES,
        arms=("out", "front"),
        count=(2,),
    )
    yield from _family(
        "sway",
        ("sway the hips from side to side", "rock the hips left and right"),
        do.sway,
        ("arms", "count"),
        arms=("down", "overhead"),
        count=(2, 4),
    )
    yield from _family(
        "lean-back",
        ("lean back", "arch the back", "bend backward"),
        do.lean_back,
        ("arms",),
        arms=("down", "out", "overhead"),
    )


def _poses() -> Iterator[Act]:
    """Arm poses held for a while."""
    for pose, verbs in (
        ("hips", ("put both hands on the hips", "stand with the hands on the hips")),
        ("head", ("put both hands behind the head", "stand with the hands behind the head")),
        ("face", ("cover the face with both hands", "hide the face in both hands")),
        ("folded", ("fold the arms in front of the chest", "stand with folded arms")),
        ("flexed", ("flex both biceps", "show the muscles of both arms")),
        ("back", ("stretch both arms out behind the back", "hold both arms back")),
    ):
        yield from _family("pose", verbs, lambda s, pose: do.hold_pose(s, pose, pose), pose=(pose,))
    for pose, other, verbs, trunk in (
        ("salute", "down", ("salute with {hand}", "give a {side}-handed salute"), {}),
        ("hips", "down", ("put {hand} on the hip", "stand with {hand} on the hip"), {}),
        (
            "face",
            "down",
            ("drink with {hand}", "bring {hand} to the mouth to drink"),
            {"lean": -10, "nod": -25},
        ),
        ("front", "out", ("hold {arm} out to the front and the {other} arm out to the side",), {}),
        ("overhead", "out", ("hold {arm} straight up and the {other} arm out to the side",), {}),
        ("overhead", "hips", ("hold {arm} straight up and the {other} hand on the hip",), {}),
    ):

        def play(
            s: Score, side: str, pose: str, other: str = other, trunk: Mapping[str, float] = trunk
        ) -> None:
            left, right = (pose if arm == side else other for arm in SIDES)
            do.hold_pose(s, left, right, **trunk)

        name = "pose" if other == "down" else f"pose-{other}"
        yield from _family(name, verbs, play, side=SIDES, pose=(pose,))


# ------------------------------------------------------------------------------- two in a row


def _only(*args: Any, **facts: Any) -> Act:
    """The single act of a family with one combination of values."""
    (act,) = _family(*args, **facts)
    return act


def _each_side(*args: Any, **facts: Any) -> list[Act]:
    return list(_family(*args, **facts, side=SIDES))


def _moves() -> tuple[Act, Act, list[Act], list[Act]]:
    """Locomotion in sequences: walking forward and backward, side steps, and turns."""
    walk = functools.partial(_only, "walk", play=go.walk, trail=("steps",), **_WALK)
    ahead, back = (
        walk(direction=("forward",), steps=(4,)),
        walk(direction=("backward",), steps=(3,)),
    )
    sidesteps = _each_side("sidestep", play=go.sidestep, trail=("steps",), steps=(2,), **_SIDESTEP)
    quarter = ("turn {side} in place", "make a quarter turn to the {side}")
    turns = _each_side("turn", quarter, go.turn_around, angle=(90,))
    return ahead, back, sidesteps, turns


def _gestures() -> tuple[list[Act], list[Act], Act, Act, Act]:
    """Actions in place in sequences: waves, kicks, a jump, a squat, a bow."""
    count = ("count",)
    verbs = ("wave {hand}", "wave with {hand}")
    waves = _each_side("wave", verbs, do.wave, count, height=("low",), count=(3,))
    verbs = ("kick high with the {side} leg", "kick high with the {side} foot")
    how = {"where": ("front",), "height": ("high",)}
    kicks = _each_side("kick", verbs, do.kick, **how, count=(1,))
    verbs = ("jump up high", "jump high into the air")
    jump = _only("jump", verbs, functools.partial(go.jump, height=0.5), count, count=(1,))
    verbs = ("squat down deep", "do a deep squat")
    squat = _only("squat", verbs, do.squat, count, depth=("deep",), count=(1,))
    verbs = ("bow deeply", "bow very low")
    bow = _only("bow", verbs, do.bow, count, depth=("deep",), count=(1,))
    return waves, kicks, jump, squat, bow


def _sequences() -> Iterator[tuple[Act, ...]]:
    ahead, back, sidesteps, turns = _moves()
    waves, kicks, jump, squat, bow = _gestures()
    verbs = ("raise both arms overhead", "lift both arms above the head")
    arms = _only("raise-arm", verbs, do.raise_arms, side=("both",), where=("overhead",))
    verbs = ("clap the hands", "clap both hands")
    claps = _only("clap", verbs, do.clap, ("count",), where=("front",), count=(4,))
    verbs = ("sit down on a chair", "take a seat on a chair")
    sit = _only("sit", verbs, do.sit, seat=("chair",))

    yield from itertools.product(
        (ahead, back, *sidesteps, *turns), (*waves, *kicks, jump, squat, bow, arms)
    )
    yield from itertools.product((ahead, back), (claps, sit))
    yield from itertools.product((jump, squat, bow, arms, *waves), (ahead, *turns))
    yield from itertools.product(waves, (bow,))
    yield from itertools.product(kicks, (jump,))
    yield from itertools.product((squat,), kicks)
    yield from itertools.product(turns, (ahead,))
    yield from itertools.product((ahead,), turns)
    for pair in (sidesteps, kicks, waves, (ahead, back), (jump, bow), (squat, arms), (claps, jump)):
        yield from itertools.permutations(pair)


@functools.cache
def all_meanings() -> tuple[Meaning, ...]:
    """All meanings, with unique keys.

    Their order determines which clips a seed generates.
    """
    groups = (
        _straight, _in_place_and_sideways, _turning, _obstacles,
        _jumps, _jumps_with_style, _hops, _kicks_and_knees, _balances_and_lunges,
        _squats, _sitting_and_kneeling, _bending_down,
        _raised_arms, _reaching, _hits, _throws_and_swings, _trunk, _poses,
    )  # fmt: skip
    meanings = [Meaning((act,)) for group in groups for act in group()]
    meanings += [Meaning(acts) for acts in _sequences()]
    assert len({meaning.key for meaning in meanings}) == len(meanings)
    return tuple(meanings)
