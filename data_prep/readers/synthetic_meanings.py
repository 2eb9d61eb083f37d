"""The meanings of the synthetic dataset: what is done, in which words, with which keyframes.

A meaning is one act or two in a row. An act has a name, facts (side, count, speed, ...), the words
for it, and a function that writes it into a `Score`. Meanings differ in facts that a viewer can
tell apart in the joints, and captions state nothing that the joints do not do.
"""

import dataclasses
import functools
from collections.abc import Callable, Iterator

import numpy as np

from data_prep.readers import synthetic_actions as do
from data_prep.readers.synthetic_actions import ASIDE, DOWN, FRONT, OTHER, POSES, UP
from data_prep.readers.synthetic_body import SIDES, SIGN
from data_prep.readers.synthetic_score import Score

_SUBJECTS = ("a person", "someone", "the person", "a human", "the figure", "a human figure")
_NUMBERS = "no one two three four five six seven eight nine ten".split()
_TIMES = {
    1: ("once", "one time", "a single time"),
    2: ("twice", "two times"),
    3: ("three times", "three times in a row"),
    4: ("four times", "four times in a row"),
    5: ("five times", "five times in a row"),
    6: ("six times", "six times in a row"),
}
_RATES = {"slowly": 1.6, "quickly": 0.65}
_SPEEDS = {
    "slowly": ("slowly", "at a slow pace", "in slow motion"),
    "normally": ("at a normal pace", "at a moderate speed", "at an ordinary pace"),
    "quickly": ("quickly", "fast", "rapidly"),
}


@dataclasses.dataclass(frozen=True)
class Act:
    """One action.

    Attributes:
      name: the kind of action, such as `walk`.
      facts: what sets it apart from others of its kind, such as {"steps": 4}.
      verbs: verb phrases that mean the same, in the infinitive; further verbs in one are starred.
      phrases: what can follow in any order: alternatives for each fact that no verb phrase states.
      play: writes it into a score.
      rate: factor on all durations.
    """

    name: str
    facts: dict
    verbs: tuple[str, ...]
    phrases: tuple[tuple[str, ...], ...]
    play: Callable[[Score], None]
    rate: float = 1.0

    @property
    def key(self) -> str:
        return " ".join([self.name, *(f"{k}={v}".replace(" ", "-") for k, v in self.facts.items())])

    def words(self, rng: np.random.Generator, form: str, drop: float) -> str:
        """The act in words, form `s` (walks) or `ing` (walking), leaving out some facts."""
        phrases = [_pick(rng, alternatives) for alternatives in self.phrases]
        phrases = [phrases[i] for i in rng.permutation(len(phrases)) if rng.random() >= drop]
        # A bare adverb reads better before a longer phrase.
        phrases.sort(key=lambda phrase: " " in phrase and not phrase.endswith("times"))
        text = _inflect(_pick(rng, self.verbs), form)
        for phrase in phrases:
            text += (", " if phrase.split()[0].endswith("ing") else " ") + phrase
        return text


@dataclasses.dataclass(frozen=True)
class Meaning:
    """One act, or two in a row."""

    acts: tuple[Act, ...]

    @property
    def key(self) -> str:
        return " then ".join(act.key for act in self.acts)

    def play(self, score: Score) -> None:
        for act in self.acts:
            score.rate = act.rate
            act.play(score)

    def caption(self, rng: np.random.Generator, drop: float = 0.0) -> str:
        """A sentence that states all facts, or leaves out each with probability `drop`."""
        who = _pick(rng, _SUBJECTS)
        if len(self.acts) == 1:
            form, pattern = _pick(
                rng, (("s", "{} {}"), ("s", "{} {}"), ("ing", "{} is {}"), ("ing", "we see {} {}"))
            )
            return pattern.format(who, self.acts[0].words(rng, form, drop))
        forms, pattern = _pick(
            rng,
            (
                ("s s", "{0} {1}, then {2}"),
                ("s s", "{0} {1} and then {2}"),
                ("s s", "first {0} {1}, then {2}"),
                ("ing s", "after {1}, {0} {2}"),
                ("ing s", "{0} {2} after {1}"),
            ),
        )
        words = [act.words(rng, form, drop) for act, form in zip(self.acts, forms.split())]
        return pattern.format(who, *words)


def _pick(rng: np.random.Generator, options):
    return options[int(rng.integers(len(options)))]


def _inflect(phrase: str, form: str) -> str:
    words = phrase.split()
    for i, word in enumerate(words):
        if i == 0 or word.startswith("*"):
            words[i] = _inflect_verb(word.lstrip("*"), form)
    return " ".join(words)


def _inflect_verb(verb: str, form: str) -> str:
    if form == "s":
        if verb.endswith(("s", "x", "ch", "sh")):
            return verb + "es"
        if verb.endswith("y") and verb[-2] not in "aeiou":
            return verb[:-1] + "ies"
        return verb + "s"
    if verb in ("run", "jog", "hop", "sit", "squat", "step", "clap", "put", "get", "swim", "bend"):
        return verb + ("" if verb == "bend" else verb[-1]) + "ing"
    if verb.endswith("e") and not verb.endswith("ee"):
        return verb[:-1] + "ing"
    return verb + "ing"


# ------------------------------------------------------------------------------ the catalogue


def _steps(n: int) -> tuple[str, ...]:
    return (f"{_NUMBERS[n]} steps", f"for {_NUMBERS[n]} steps", f"taking {_NUMBERS[n]} steps")


def _paced(gait: do.Gait, speed: str) -> do.Gait:
    return dataclasses.replace(gait, time=gait.time * {**_RATES, "normally": 1.0}[speed])


def _act(name, facts, verbs, phrases, function, *args, rate=1.0, **kwargs) -> Act:
    verbs = (verbs,) if isinstance(verbs, str) else tuple(verbs)
    play = functools.partial(_call, function, args, kwargs)
    return Act(name, facts, verbs, tuple(phrases), play, rate)


def _call(function, args, kwargs, score):
    function(score, *args, **kwargs)


def _hand(side: str, noun: str) -> str:
    return f"both {noun}s" if side == "both" else f"the {side} {noun}"


def _sides(side: str) -> tuple[str, ...]:
    return SIDES if side == "both" else (side,)


_WALK = {
    "forward": ("walk forward", "walk ahead", "walk straight ahead"),
    "backward": ("walk backward", "walk backwards", "step backward"),
}
_MANNERS = {
    "arms-overhead": (("with both arms raised overhead", "with both arms held up high"),
                      {"arms": (UP, UP)}),
    "arms-out": (("with both arms stretched out to the sides", "with the arms held out sideways"),
                 {"arms": (ASIDE, ASIDE)}),
    "arms-front": (("with both arms stretched out in front", "with the arms held out forward"),
                   {"arms": (FRONT, FRONT)}),
    "left-arm-up": (("with the left arm raised overhead", "with the left arm held up high"),
                    {"arms": (UP, None)}),
    "right-arm-up": (("with the right arm raised overhead", "with the right arm held up high"),
                     {"arms": (None, UP)}),
    "hands-on-hips": (("with the hands on the hips", "with both hands on the hips"),
                      {"arms": (POSES["hips"],) * 2}),
    "hands-on-head": (("with the hands on the head", "with both hands on the head"),
                      {"arms": (POSES["head"],) * 2}),
    "hunched": (("hunched over", "bent far forward", "with the back bent far forward"),
                {"trunk": {"pitch": 24, "lean": 48, "nod": 10}, "arm_swing": 12.0}),
    "crouched": (("crouching low", "with deeply bent knees", "in a low crouch"),
                 {"trunk": {"height": -0.38, "pitch": 18, "lean": 12}, "step": 0.55}),
    "leaning-left": (("leaning to the left", "with the body tilted to the left"),
                     {"trunk": {"side": 32}}),
    "leaning-right": (("leaning to the right", "with the body tilted to the right"),
                      {"trunk": {"side": -32}}),
    "high-knees": (("lifting the knees high", "raising the knees high", "with high knees"),
                   {"lift": 0.52, "time": 0.62, "heel": 25.0}),
    "long-strides": (("with very long strides", "with giant strides"),
                     {"step": 1.15, "time": 0.75, "arm_swing": 40.0}),
    "tiny-strides": (("with tiny strides", "with very short strides"),
                     {"step": 0.22, "time": 0.36, "arm_swing": 10.0}),
    "wide-arm-swing": (("swinging the arms widely", "with big arm swings"), {"arm_swing": 75.0}),
    "limping-left": (("limping on the left leg", "sparing the left leg"), {"limp": "left"}),
    "limping-right": (("limping on the right leg", "sparing the right leg"), {"limp": "right"}),
    "feet-wide": (("with the feet wide apart", "with the legs spread wide"), {"wide": 0.22}),
}  # fmt: skip


def _moving() -> Iterator[Act]:
    """Walking, running, side steps, turns."""
    for speed, (direction, counts) in (
        (speed, choice)
        for speed in _SPEEDS
        for choice in (("forward", (2, 4, 6, 8)), ("backward", (2, 4, 6)))
    ):
        for steps in counts:
            yield _act("walk", {"direction": direction, "steps": steps, "speed": speed},
                       _WALK[direction], (_steps(steps), _SPEEDS[speed]),
                       do.walk, _paced(do.WALK, speed), steps, direction == "backward")  # fmt: skip
    backward = ("arms-overhead", "arms-out", "arms-front", "hunched", "crouched", "high-knees",
                "left-arm-up", "right-arm-up", "feet-wide")  # fmt: skip
    for direction, steps, manners in (("forward", 6, _MANNERS), ("backward", 4, backward)):
        for manner in manners:
            words, change = _MANNERS[manner]
            yield _act("walk", {"direction": direction, "steps": steps, "manner": manner},
                       _WALK[direction], (_steps(steps), words), do.walk,
                       dataclasses.replace(do.WALK, **change), steps,
                       direction == "backward")  # fmt: skip
    for name, gait, verbs, counts in (
        ("jog", do.JOG, ("jog forward", "jog ahead", "run forward at an easy pace"), (4, 6, 9)),
        ("sprint", do.RUN, ("sprint forward", "run forward very fast", "dash forward"), (4, 6, 9)),
    ):
        for steps in counts:
            yield _act(name, {"direction": "forward", "steps": steps}, verbs, (_steps(steps),),
                       do.walk, gait, steps)  # fmt: skip
    for manner in ("arms-overhead", "arms-out", "high-knees", "hands-on-head", "hunched"):
        words, change = _MANNERS[manner]
        change = {k: v for k, v in change.items() if k in ("arms", "lift", "trunk")}
        yield _act("jog", {"direction": "forward", "steps": 6, "manner": manner},
                   ("jog forward", "jog ahead", "run forward at an easy pace"),
                   (_steps(6), words), do.walk,
                   dataclasses.replace(do.JOG, **change), 6)  # fmt: skip
    for steps in (4, 7):
        yield _act("jog", {"direction": "backward", "steps": steps},
                   ("jog backward", "run backward", "run backwards"), (_steps(steps),),
                   do.walk, do.JOG, steps, True)  # fmt: skip
    for steps in (4, 8):
        for speed in _SPEEDS:
            yield _act("march", {"steps": steps, "speed": speed},
                       ("march in place", "march on the spot", "walk in place with high knees"),
                       (_steps(steps), _SPEEDS[speed]),
                       do.march, _paced(do.MARCH, speed), steps)  # fmt: skip
    for steps in (6, 10):
        yield _act("jog-in-place", {"steps": steps}, ("jog in place", "run on the spot"),
                   (_steps(steps),), do.march,
                   dataclasses.replace(do.JOG, step=0.0), steps)  # fmt: skip
    for side in SIDES:
        yield from _moving_to(side)


def _moving_to(side: str) -> Iterator[Act]:
    sign = SIGN[side]
    sideways = (f"step sideways to the {side}", f"step to the {side}", f"side-step to the {side}")
    for steps in (1, 2, 4):
        count = (f"{_NUMBERS[steps]} step{'s' * (steps > 1)}", _TIMES[steps][0])
        for speed in ("slowly", "quickly"):
            yield _act("sidestep", {"direction": side, "steps": steps, "speed": speed}, sideways,
                       (count, _SPEEDS[speed]), do.sidestep, _paced(do.SIDESTEP, speed), steps,
                       side)  # fmt: skip
    for manner in ("arms-overhead", "arms-out", "arms-front", "crouched"):
        words, change = _MANNERS[manner]
        gait = dataclasses.replace(do.SIDESTEP, **{**change, "step": 0.5})
        yield _act("sidestep", {"direction": side, "steps": 3, "manner": manner}, sideways,
                   (("three steps", "three times"), words), do.sidestep, gait, 3, side)  # fmt: skip
    for backward, direction in ((False, "forward"), (True, "backward")):
        yield _act("diagonal", {"direction": f"{direction}-{side}", "steps": 5},
                   (f"walk diagonally {direction} to the {side}",
                    f"walk obliquely {direction} to the {side}"), (_steps(5),),
                   do.diagonal, do.WALK, 5, side, backward)  # fmt: skip
    for angle, words in (
        (90, ("by ninety degrees", "a quarter turn", "by a right angle")),
        (180, ("by one hundred eighty degrees", "a half turn", "to face the other way")),
        (360, ("by three hundred sixty degrees", "a full turn", "all the way around")),
    ):
        for speed in ("slowly", "quickly"):
            yield _act("turn", {"direction": side, "angle": angle, "speed": speed},
                       (f"turn {side} in place", f"turn to the {side} on the spot"),
                       (words, _SPEEDS[speed]), do.turn_around, sign * angle,
                       rate=_RATES[speed])  # fmt: skip
    for gait, walk, fact in ((do.WALK, "walk", "walk"), (do.JOG, "run", "jog")):
        for angle, steps, words in (
            (90, 7, (f"{walk} along a curve to the {side}", f"{walk} and *curve to the {side}")),
            (180, 9, (f"{walk} in a half circle to the {side}",
                      f"{walk} a half circle turning {side}")),
            (360, 11, (f"{walk} in a full circle to the {side}",
                       f"{walk} a full circle turning {side}")),
        ):  # fmt: skip
            yield _act("curve", {"gait": fact, "direction": side, "angle": angle}, words, (),
                       do.curve, gait, steps, sign * angle)  # fmt: skip
    yield _act("wind", {"direction": side}, (f"walk in an S shape, curving {side} first",
               f"walk along a winding path, first to the {side}"), (),
               do.wind, do.WALK, 10, side)  # fmt: skip
    yield _act("cross-step", {"direction": side}, (f"walk sideways to the {side} crossing the legs",
               f"cross one leg over the other, moving to the {side}"), (_steps(5),),
               do.cross_step, 5, side)  # fmt: skip
    yield _act("step-over", {"side": side}, (f"step over an obstacle, {side} leg first",
               f"step high over something with the {side} foot first"), (),
               do.step_over, side)  # fmt: skip


def _jumping() -> Iterator[Act]:
    heights = {"low": (0.1, ("a little", "low", "just off the ground")),
               "high": (0.5, ("high", "high up", "high into the air"))}  # fmt: skip
    for level, (height, words) in heights.items():
        for count in (1, 2, 3):
            yield _act("jump", {"height": level, "count": count},
                       ("jump up in place", "jump up on the spot"), (words, _TIMES[count]),
                       do.jump, height, count)  # fmt: skip
    for direction, sense in (("forward", 1), ("backward", -1)):
        for size, length in (("short", 0.4), ("far", 1.3)):
            if (direction, size) == ("backward", "far"):
                continue
            words = ("a short way", "a short distance") if size == "short" else ("far", "a long way")
            for count in (1, 2, 3):
                yield _act("jump", {"direction": direction, "distance": size, "count": count},
                           (f"jump {direction}", f"leap {direction}"), (words, _TIMES[count]),
                           do.jump, 0.22, count, ahead=sense * length)  # fmt: skip
    for side in SIDES:
        for count in (1, 2, 3):
            yield _act("jump", {"direction": side, "count": count},
                       (f"jump sideways to the {side}", f"leap to the {side}"), (_TIMES[count],),
                       do.jump, 0.2, count, left=SIGN[side] * 0.7)  # fmt: skip
        for angle, words in ((90, "quarter"), (180, "half")):
            yield _act("jump", {"turn": side, "angle": angle},
                       (f"jump and *turn {side} in the air", f"jump up, turning {side}"),
                       ((f"a {words} turn", f"by {'ninety' if angle == 90 else 'one hundred eighty'}"
                         " degrees"),),
                       do.jump, 0.35, 1, turn=SIGN[side] * angle)  # fmt: skip
        for count in (2, 4):
            hop = (f"hop on the {side} foot", f"hop on the {side} leg")
            yield _act("hop", {"side": side, "direction": "in-place", "count": count}, hop,
                       (("in place", "on the spot"), _TIMES[count]), do.hop, side, count)
            yield _act("hop", {"side": side, "direction": "forward", "count": count}, hop,
                       (("forward", "ahead"), _TIMES[count]), do.hop, side, count, 0.55)
    for how, words, change in (
        ("arms-up", ("throwing both arms up", "with both arms thrown overhead"), {"swing": UP}),
        ("star", ("spreading arms and legs", "with arms and legs spread wide"),
         {"swing": (120.0, 88.0, 0.0, 6.0), "spread": 0.45}),
        ("tuck", ("pulling the knees up to the chest", "tucking the knees"), {"tuck": 0.45}),
    ):  # fmt: skip
        for count in (1, 2):
            yield _act("jump", {"how": how, "count": count}, ("jump up in place", "jump straight up"),
                       (words, _TIMES[count]), do.jump, 0.35, count, **change)  # fmt: skip
    for count in (2, 4):
        yield _act("jumping-jack", {"count": count},
                   (f"do {_NUMBERS[count]} jumping jacks", f"perform {_NUMBERS[count]} jumping jacks"),
                   (), do.jumping_jacks, count)  # fmt: skip


def _legwork() -> Iterator[Act]:
    kicks = {"front": ("to the front", "forward"), "side": ("to the side", "sideways"),
             "back": ("to the back", "backward")}  # fmt: skip
    for side in SIDES:
        for where, words in kicks.items():
            for level in ("low", "high"):
                for count in (1, 3) if level == "high" else (1,):
                    yield _act("kick", {"side": side, "where": where, "height": level,
                                        "count": count},
                               tuple(f"kick {word} with the {side} {limb}"
                                     for word in words for limb in ("leg", "foot")),
                               ((level, f"at a {level} height") if level == "low"
                                else ("high", "high up"), _TIMES[count]),
                               do.kick, side, where, level == "high", count)  # fmt: skip
        for count in (1, 3):
            yield _act("knee", {"side": side, "count": count},
                       (f"lift the {side} knee", f"raise the {side} knee to hip height"),
                       (_TIMES[count],), do.raise_knee, (side,) * count)  # fmt: skip
        for how, words in {
            "front": (f"the {OTHER[side]} leg stretched out in front",),
            "back": (f"the {OTHER[side]} leg stretched out behind",),
            "side": (f"the {OTHER[side]} leg stretched out to the side",),
            "knee": (f"the {OTHER[side]} knee pulled up",),
        }.items():
            for pose, arms in (("out", ASIDE), ("overhead", UP)):
                if pose == "overhead" and how in ("front", "side"):
                    continue
                reach = {"out": ("arms out to the sides",), "overhead": ("arms overhead",)}[pose]
                yield _act("balance", {"side": side, "leg": how, "arms": pose},
                           (f"balance on the {side} leg", f"stand on the {side} leg"),
                           (tuple(f"with {a} and {b}" for a in words for b in reach),),
                           do.balance, side, how, arms)  # fmt: skip
        for where, words in {
            "front": (f"lunge forward with the {side} leg", f"do a forward lunge with the {side} leg"),
            "back": (f"lunge backward with the {side} leg", f"do a reverse lunge with the {side} leg"),
            "side": (f"lunge sideways to the {side}", f"do a side lunge to the {side}"),
        }.items():
            for count in (1, 2):
                yield _act("lunge", {"side": side, "where": where, "count": count}, words,
                           (_TIMES[count],), do.lunge, (side,) * count, where)  # fmt: skip
    yield _act("lunge", {"side": "both", "where": "front"},
               ("lunge forward with the left and then the right leg",
                "do a forward lunge on the left, then on the right"), (),
               do.lunge, SIDES, "front")  # fmt: skip
    yield _act("lunge", {"side": "both", "where": "side"},
               ("lunge sideways to the left and then to the right",
                "do side lunges, first left, then right"), (), do.lunge, SIDES, "side")  # fmt: skip
    yield _act("knee", {"side": "both", "count": 4},
               ("lift the left and right knee in turn, four times in all",
                "raise alternate knees four times"), (), do.raise_knee, SIDES * 2)  # fmt: skip


def _going_down() -> Iterator[Act]:
    for depth, words in (("half", ("halfway", "not very deep", "a little")),
                         ("deep", ("deep", "all the way down", "very low"))):  # fmt: skip
        for count in (1, 2, 3):
            yield _act("squat", {"depth": depth, "count": count},
                       ("squat down and *rise again", "do a squat", "bend the knees into a squat"),
                       (words, _TIMES[count]), do.squat, depth == "deep", count)  # fmt: skip
    for pose, words, arms in (
        ("overhead", ("with both arms overhead", "holding both arms up high"), UP),
        ("hips", ("with the hands on the hips",), POSES["hips"]),
        ("out", ("with the arms out to the sides",), ASIDE),
    ):
        for count in (1, 3):
            yield _act("squat", {"depth": "deep", "arms": pose, "count": count},
                       ("squat down deep and *rise again", "do a deep squat"),
                       (words, _TIMES[count]), do.squat, True, count, arms)  # fmt: skip
    seats = {"chair": ("on a chair", "on a seat"), "floor": ("on the floor", "on the ground")}
    for seat, words in seats.items():
        for speed in ("slowly", "quickly"):
            yield _act("sit", {"seat": seat, "ends": "seated", "speed": speed},
                       tuple(f"sit down {word} and *stay seated" for word in words),
                       (_SPEEDS[speed],), do.sit, seat, rate=_RATES[speed])  # fmt: skip
            yield _act("stand-up", {"seat": seat, "speed": speed},
                       (f"stand up from {'a chair' if seat == 'chair' else 'the floor'}",
                        f"get up from sitting {words[0]}", f"rise from a seat {words[0]}"
                        if seat == "floor" else "rise from a chair"),
                       (_SPEEDS[speed],), _rise, seat, rate=_RATES[speed])  # fmt: skip
        yield _act("sit", {"seat": seat, "ends": "standing"},
                   tuple(f"sit down {word} and *stand up again" for word in words), (),
                   _sit_and_rise, seat)  # fmt: skip
    for sides, words in {
        ("left",): ("on the left knee",),
        ("right",): ("on the right knee",),
        SIDES: ("on both knees",),
    }.items():
        for rise in (False, True):
            ends = "*get up again" if rise else "*stay there"
            yield _act("kneel", {"side": "-".join(sides), "ends": "standing" if rise else "kneeling"},
                       tuple(f"kneel down {word} and {ends}" for word in words)
                       + tuple(f"go down {word} and {ends}" for word in words), (),
                       do.kneel, sides, rise)  # fmt: skip
    for pose, words, arms in (
        ("knees", ("with the arms around the knees", "hugging the knees"), (85.0, -12.0, -20.0, 45.0)),
        ("head", ("covering the head with both hands", "with the hands over the head"), POSES["head"]),
        ("back", ("with the arms stretched out behind",), (-55.0, 0.0, 0.0, 5.0)),
    ):
        yield _act("crouch", {"arms": pose}, ("crouch down low and *rise again", "duck down"),
                   (words,), do.crouch, arms)  # fmt: skip
    for depth, angle, words in (("slight", 35, ("slightly", "a little")),
                                ("deep", 95, ("deeply", "very low"))):  # fmt: skip
        for count in (1, 2, 3):
            yield _act("bow", {"depth": depth, "count": count}, ("bow", "bow forward"),
                       (words, _TIMES[count]), do.bow, angle, count)  # fmt: skip
        for speed in ("slowly", "quickly"):
            yield _act("bow", {"depth": depth, "speed": speed}, ("bow", "bow forward"),
                       (words, _SPEEDS[speed]), do.bow, angle, 1, rate=_RATES[speed])  # fmt: skip
    for count in (1, 2, 3):
        yield _act("touch-toes", {"count": count},
                   ("bend down and *touch the toes", "touch the toes with straight legs"),
                   (_TIMES[count],), do.touch_toes, count)  # fmt: skip
    for goal in ("chest", "overhead"):
        words = {"chest": ("up to the chest",), "overhead": ("above the head", "overhead")}[goal]
        for speed in ("slowly", "quickly"):
            yield _act("lift", {"goal": goal, "speed": speed},
                       tuple(f"{verb} something from the floor {word} with both hands"
                             for verb in ("lift", "pick") for word in words
                             if not (verb == "pick" and goal == "overhead")),
                       (_SPEEDS[speed],), do.lift, goal == "overhead",
                       rate=_RATES[speed])  # fmt: skip


def _rise(score: Score, seat: str) -> None:
    do.seated(score, seat)
    do.stand_up(score, seat)


def _sit_and_rise(score: Score, seat: str) -> None:
    do.sit(score, seat, hold=0.4)
    do.stand_up(score, seat)


def _armwork() -> Iterator[Act]:
    raised = {"forward": (FRONT, ("forward to shoulder height", "straight out to the front")),
              "sideways": (ASIDE, ("sideways to shoulder height", "straight out to the side")),
              "overhead": (UP, ("overhead", "straight up above the head"))}  # fmt: skip
    for side in (*SIDES, "both"):
        both = side == "both"
        yield from _waving(side)
        for where, (pose, words) in raised.items():
            verbs = tuple(f"{verb} {_hand(side, 'arm')} {word}"
                          for verb in ("raise", "lift") for word in words)  # fmt: skip
            for count in (1, 3):
                yield _act("raise-arm", {"side": side, "where": where, "count": count}, verbs,
                           (_TIMES[count],), do.raise_arms, _sides(side), pose, count)  # fmt: skip
            yield _act("raise-arm", {"side": side, "where": where, "hold": "long"}, verbs,
                       (("and holds it there" if not both else "and holds them there",)
                        if False else ("for a long time", "holding still there for a while"),),
                       do.raise_arms, _sides(side), pose, 1, 3.0)  # fmt: skip
        for backward, words in ((False, "forward"), (True, "backward")):
            for count in (2, 4):
                yield _act("arm-circle", {"side": side, "direction": words, "count": count},
                           (f"swing {_hand(side, 'arm')} {words} in circles",
                            f"circle {_hand(side, 'arm')} {words}"), (_TIMES[count],),
                           do.circle_arms, _sides(side), backward, count)  # fmt: skip
        for where, words in {
            "up": ("reach up high", "stretch up high"), "front": ("reach far forward",),
            "floor": ("squat and *reach down to the floor", "reach down to the ground"),
        }.items():  # fmt: skip
            yield _act("reach", {"side": side, "where": where},
                       tuple(f"{word} with {_hand(side, 'hand')}" for word in words), (),
                       do.reach, _sides(side), where)  # fmt: skip
        for how, words in {"straight": ("punch straight ahead", "punch forward"),
                           "up": ("punch upward", "throw an uppercut"),
                           "down": ("punch downward", "hammer downward")}.items():  # fmt: skip
            if both:
                continue
            for count in (1, 3):
                yield _act("punch", {"side": side, "how": how, "count": count},
                           tuple(f"{word} with {_hand(side, 'fist')}" for word in words),
                           (_TIMES[count],), do.punch, (side,) * count, how)  # fmt: skip
    for how in ("straight", "up"):
        for count in (2, 4, 6):
            words = {"straight": "straight ahead", "up": "upward"}[how]
            yield _act("punch", {"side": "alternating", "how": how, "count": count},
                       (f"punch {words} with left and right fist in turn",
                        f"punch {words} with alternating fists"),
                       ((f"{_NUMBERS[count]} times in all", f"for {_NUMBERS[count]} punches"),),
                       do.punch, SIDES * (count // 2), how)  # fmt: skip
    for place, words in (("front", ("in front of the chest", "in front of the body")),
                         ("overhead", ("above the head", "overhead"))):  # fmt: skip
        for count in (2, 5):
            yield _act("clap", {"where": place, "count": count},
                       ("clap the hands", "clap both hands"), (words, _TIMES[count]),
                       do.clap, place == "overhead", count)  # fmt: skip
    for side in SIDES:
        yield from _one_sided(side)
    for pull, word in ((False, "push"), (True, "pull")):
        for count in (1, 3):
            yield _act(word, {"count": count},
                       ((f"{word} something away with both hands", "push forward with both arms")
                        if not pull else
                        (f"{word} something in with both hands", "pull back with both arms")),
                       (_TIMES[count],), do.push, count, pull)  # fmt: skip
    for count in (2, 4):
        yield _act("swim", {"count": count}, ("make swimming strokes", "do breaststroke arm moves"),
                   (_TIMES[count],), do.swim, count)  # fmt: skip
        yield _act("sway", {"count": count, "arms": "down"},
                   ("sway the hips from side to side", "rock the hips left and right"),
                   (_TIMES[count],), do.sway, count)  # fmt: skip
        yield _act("sway", {"count": count, "arms": "overhead"},
                   ("sway the hips with both arms overhead",
                    "rock the hips left and right with both arms up"),
                   (_TIMES[count],), do.sway, count, UP)  # fmt: skip
    for pose, words, arms in (
        ("out", ("with both arms out to the sides", "with the arms outstretched"), ASIDE),
        ("overhead", ("with both arms overhead",), UP),
        ("down", ("with the arms hanging",), DOWN),
    ):
        yield _act("lean-back", {"arms": pose}, ("lean back", "arch the back", "bend backward"),
                   (words,), do.lean_back, 1, arms)  # fmt: skip
    yield from _posing()


def _waving(side: str) -> Iterator[Act]:
    verbs = (f"wave {_hand(side, 'hand')}", f"wave with {_hand(side, 'hand')}")
    for level, words in (("low", ("beside the head", "at head height")),
                         ("high", ("high above the head", "far overhead"))):  # fmt: skip
        for count in (2, 5):
            yield _act("wave", {"side": side, "height": level, "count": count}, verbs,
                       (words, _TIMES[count]), do.wave, _sides(side), level == "high",
                       count)  # fmt: skip
        for speed in ("slowly", "quickly"):
            yield _act("wave", {"side": side, "height": level, "speed": speed}, verbs,
                       (words, _SPEEDS[speed]), do.wave, _sides(side), level == "high", 4,
                       rate={"slowly": 1.5, "quickly": 0.6}[speed])  # fmt: skip


def _one_sided(side: str) -> Iterator[Act]:
    for overhand, words in ((True, "overhand"), (False, "underhand")):
        for count in (1, 2):
            yield _act("throw", {"side": side, "how": words, "count": count},
                       (f"throw {words} with the {side} hand",
                        f"throw something {words} with the {side} arm"), (_TIMES[count],),
                       do.throw, side, overhand, count)  # fmt: skip
    yield _act("reach", {"side": side, "where": "side"},
               (f"reach far to the {side} with the {side} hand",
                f"lean and *reach sideways to the {side}"), (), do.reach, (side,), "side")
    yield _act("reach", {"side": side, "where": "across"},
               (f"reach across the body with the {side} hand",
                f"reach over to the {OTHER[side]} with the {side} hand"), (),
               do.reach, (side,), "across")  # fmt: skip
    for count in (1, 2, 3):
        yield _act("bend-sideways", {"side": side, "count": count},
                   (f"bend sideways to the {side} with the {OTHER[side]} arm over the head",
                    f"stretch to the {side} with the {OTHER[side]} arm overhead"),
                   (_TIMES[count],), do.bend_sideways, (side,) * count)  # fmt: skip
    for pose, words, arms in (("out", "out to the sides", ASIDE), ("front", "out in front", FRONT)):
        for count in (1, 3):
            yield _act("twist", {"side": side, "arms": pose, "count": count},
                       (f"twist the upper body to the {side} with the arms {words}",
                        f"rotate the trunk to the {side} with the arms {words}"),
                       (_TIMES[count],), do.twist_trunk, (side,) * count, arms)  # fmt: skip
        yield _act("twist", {"side": "both", "first": side, "arms": pose},
                   (f"twist the upper body {side} and {OTHER[side]} with the arms {words}",
                    f"rotate the trunk first {side}, then {OTHER[side]} with the arms {words}"),
                   (_TIMES[2],), do.twist_trunk, (side, OTHER[side]) * 2, arms)  # fmt: skip
    for how, words in {"bat": ("swing a bat", "swing both arms level like a bat"),
                       "golf": ("swing a golf club", "swing both arms low like a golf club")}.items():  # fmt: skip
        yield _act("swing", {"how": how, "from": side},
                   tuple(f"{word} from {side} to {OTHER[side]}" for word in words), (),
                   do.swing_both, side, how)  # fmt: skip


def _posing() -> Iterator[Act]:
    """Arm poses that are held."""
    for name, words, pose in (
        ("hips", ("put both hands on the hips", "stand with the hands on the hips"), "hips"),
        ("head", ("put both hands behind the head", "stand with the hands behind the head"), "head"),
        ("face", ("cover the face with both hands", "hide the face in both hands"), "face"),
        ("folded", ("fold the arms in front of the chest", "stand with folded arms"), "folded"),
        ("flexed", ("flex both biceps", "show the muscles of both arms"), "flexed"),
        ("back", ("stretch both arms out behind the back", "hold both arms back"), "back"),
    ):
        yield _act("pose", {"side": "both", "pose": name}, words, (), do.hold_pose,
                   POSES[pose], POSES[pose])  # fmt: skip
    for side in SIDES:
        for name, words, pose, trunk in (
            ("ear", (f"hold the {side} hand to the ear", f"phone with the {side} hand"), "ear", {}),
            ("salute", (f"salute with the {side} hand", f"give a {side}-handed salute"), "salute", {}),
            ("hip", (f"put the {side} hand on the hip", f"stand with the {side} hand on the hip"),
             "hips", {"side": -10 * SIGN[side]}),
            ("drink", (f"drink with the {side} hand", f"bring the {side} hand to the mouth to drink"),
             "face", {"lean": -10, "nod": -25}),
        ):  # fmt: skip
            poses = [POSES[pose] if s == side else DOWN for s in SIDES]
            yield _act("pose", {"side": side, "pose": name}, words, (), do.hold_pose, *poses,
                       **trunk)  # fmt: skip
        for where, pose in (("forward", FRONT), ("up", UP)):
            other = [pose if s == side else ASIDE for s in SIDES]
            yield _act("pose", {"side": side, "pose": f"{where}-and-out"},
                       (f"hold the {side} arm {'up' if where == 'up' else 'out to the front'} and"
                        f" the {OTHER[side]} arm out to the side",), (),
                       do.hold_pose, *other)  # fmt: skip


def _sequences() -> Iterator[tuple[Act, Act]]:
    def walk(direction, steps):
        return _act("walk", {"direction": direction, "steps": steps}, _WALK[direction],
                    (_steps(steps),), do.walk, do.WALK, steps, direction == "backward")  # fmt: skip

    def sidestep(side):
        return _act("sidestep", {"direction": side, "steps": 2},
                    (f"step sideways to the {side}", f"side-step to the {side}"), (_TIMES[2],),
                    do.sidestep, do.SIDESTEP, 2, side)  # fmt: skip

    def turn(side):
        return _act("turn", {"direction": side, "angle": 90},
                    (f"turn {side} in place", f"make a quarter turn to the {side}"), (),
                    do.turn_around, SIGN[side] * 90)  # fmt: skip

    def wave(side):
        return _act("wave", {"side": side, "count": 3},
                    (f"wave {_hand(side, 'hand')}", f"wave with {_hand(side, 'hand')}"),
                    (_TIMES[3],), do.wave, _sides(side), False, 3)  # fmt: skip

    def kick(side):
        return _act("kick", {"side": side, "where": "front", "count": 1},
                    (f"kick high with the {side} leg", f"kick high with the {side} foot"), (),
                    do.kick, side, "front", True, 1)  # fmt: skip

    jump = _act("jump", {"count": 1}, ("jump up high", "jump high into the air"), (_TIMES[1],),
                do.jump, 0.5, 1)  # fmt: skip
    squat = _act("squat", {"count": 1}, ("squat down deep", "do a deep squat"), (_TIMES[1],),
                 do.squat, True, 1)  # fmt: skip
    bow = _act("bow", {"count": 1}, ("bow deeply", "bow very low"), (_TIMES[1],),
               do.bow, 95, 1)  # fmt: skip
    arms = _act("raise-arm", {"side": "both", "where": "overhead"},
                ("raise both arms overhead", "lift both arms above the head"), (),
                do.raise_arms, SIDES, UP, 1)  # fmt: skip
    claps = _act("clap", {"where": "front", "count": 4}, ("clap the hands", "clap both hands"),
                 (_TIMES[4],), do.clap, False, 4)  # fmt: skip
    sit = _act("sit", {"seat": "chair"}, ("sit down on a chair", "take a seat on a chair"), (),
               do.sit, "chair", 0.8)  # fmt: skip
    travels = (walk("forward", 4), walk("backward", 3), sidestep("left"), sidestep("right"),
               turn("left"), turn("right"))  # fmt: skip
    gestures = (wave("left"), wave("right"), kick("left"), kick("right"), jump, squat, bow, arms)
    for first in travels:
        for second in gestures:
            yield first, second
    for first in travels[:2]:
        yield first, claps
        yield first, sit
    for first in (jump, squat, bow, arms, wave("left"), wave("right")):
        for second in (walk("forward", 4), turn("left"), turn("right")):
            yield first, second
    for first, second in ((jump, bow), (bow, jump), (squat, arms), (arms, squat), (claps, jump),
                          (jump, claps), (wave("left"), bow), (wave("right"), bow),
                          (kick("left"), jump), (kick("right"), jump),
                          (squat, kick("left")), (squat, kick("right")),
                          (turn("left"), walk("forward", 4)), (turn("right"), walk("forward", 4)),
                          (walk("forward", 4), turn("left")), (walk("forward", 4), turn("right")),
                          (walk("forward", 4), walk("backward", 3)),
                          (walk("backward", 3), walk("forward", 4)),
                          (sidestep("left"), sidestep("right")),
                          (sidestep("right"), sidestep("left")),
                          (kick("left"), kick("right")), (kick("right"), kick("left")),
                          (wave("left"), wave("right")), (wave("right"), wave("left"))):  # fmt: skip
        yield first, second


@functools.cache
def all_meanings() -> tuple[Meaning, ...]:
    """Every meaning, each under a key of its own."""
    groups = (_moving(), _jumping(), _legwork(), _going_down(), _armwork())
    meanings = [Meaning((act,)) for group in groups for act in group]
    meanings += [Meaning(acts) for acts in _sequences()]
    assert len({meaning.key for meaning in meanings}) == len(meanings)
    return tuple(meanings)
