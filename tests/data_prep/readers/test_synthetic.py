"""The synthetic dataset: plausible bodies, and captions that the joints bear out.

Every kind of action has a check of its facts on the joints alone; an action without one fails.
"""

import collections
import itertools

import numpy as np
import pytest

from data_prep.readers.synthetic import generate
from data_prep.readers.synthetic.body import SIDES, SIGN, joint_positions, sample_body
from data_prep.readers.synthetic.catalogue import all_meanings
from data_prep.readers.synthetic.meanings import _inflect
from data_prep.readers.synthetic.score import FPS, Score, interpolate
from motionalign.skeleton import SKELETONS

SKELETON = SKELETONS["smpl22"]
JOINT = {name: i for i, name in enumerate(SKELETON.joint_names)}
ROUNDS = 4  # clips of each meaning


@pytest.fixture(scope="module")
def clips():
    return list(generate.generate(ROUNDS * len(all_meanings()), seed=0))


# -------------------------------------------------------------------------------- the dataset


def test_is_deterministic_and_prefix_stable_across_sizes():
    first, again = (list(generate.generate(12, seed=3)) for _ in range(2))
    other = list(generate.generate(12, seed=4))
    for a, b in zip(first, again):
        assert (a.id, a.split, a.captions, a.meaning) == (b.id, b.split, b.captions, b.meaning)
        assert np.array_equal(a.joints, b.joints)
    assert any(a.captions != b.captions for a, b in zip(first, other))
    longer = list(generate.generate(20, seed=3))
    assert all(np.array_equal(a.joints, b.joints) for a, b in zip(first, longer))


def test_shapes_and_lengths(clips):
    for clip in clips:
        assert clip.joints.dtype == np.float32 and clip.joints.shape[1:] == (22, 3)
        assert np.isfinite(clip.joints).all()
        assert 20 <= len(clip.joints) <= 200, clip.meaning
        assert np.abs(clip.joints[0, 0, [0, 2]]).max() < 0.75  # starts at the origin, or on a seat
    assert 50 < np.mean([len(clip.joints) for clip in clips]) < 120


def test_splits_share_meanings_but_no_clip(clips):
    assert len({clip.id for clip in clips}) == len(clips)
    meanings = {meaning.key for meaning in all_meanings()}
    by_split = {split: [c for c in clips if c.split == split] for split in ("train", "val", "test")}
    assert len(meanings) >= 300
    test = by_split["test"]
    assert {clip.meaning for clip in test} == meanings and len(test) == len(meanings)
    assert len({clip.captions[0] for clip in test}) == len(test)
    trained = collections.Counter(clip.meaning for clip in by_split["train"])
    assert set(trained) == meanings and min(trained.values()) >= ROUNDS - 2
    assert 0.05 < len(by_split["val"]) / len(clips) < 0.2


def test_a_small_dataset_has_every_split():
    assert {clip.split for clip in generate.generate(40, seed=0)} == {"train", "val", "test"}


def test_same_words_only_for_the_same_meaning(clips):
    meaning_of = {}
    for clip in clips:
        assert 2 <= len(clip.captions) == len(set(clip.captions))
        for caption in clip.captions:
            assert len(caption.split()) <= 25 and caption == caption.strip()
            assert not set("{}*#") & set(caption) and "  " not in caption
        assert meaning_of.setdefault(clip.captions[0], clip.meaning) == clip.meaning


def test_every_verb_is_inflected_as_in_english():
    verbs = {
        word.lstrip("*")
        for meaning in all_meanings()
        for act in meaning.acts
        for phrase in act.verbs
        for i, word in enumerate(phrase.split())
        if i == 0 or word.startswith("*")
    }
    doubled = set("clap get hop jog put run side-step sit squat step".split())
    without_e = set(
        "balance circle come give hide lunge make move raise rise rotate salute take wave".split()
    )
    with_es = set("arch crouch dash do flex go march punch push reach stretch touch".split())
    assert doubled | without_e | with_es <= verbs
    for verb in verbs:
        stem = verb + verb[-1] if verb in doubled else verb[:-1] if verb in without_e else verb
        assert _inflect(verb, "ing") == stem + "ing"
        assert _inflect(verb, "s") == verb + ("es" if verb in with_es else "s")


def test_users_are_told_what_is_wrong():
    for arguments in ((0, 0), (5, -1)):
        with pytest.raises(ValueError, match="at least one clip"):
            next(generate.generate(*arguments))


# ----------------------------------------------------------------------------------- the body


def test_bones_keep_their_length(clips):
    parents, children = np.asarray(SKELETON.bones).T
    sizes = []
    for clip in clips:
        bones = np.linalg.norm(clip.joints[:, children] - clip.joints[:, parents], axis=-1)
        assert np.ptp(bones, axis=0).max() < 1e-4, clip.meaning
        sizes.append(bones[0].sum())
    assert 0.85 < min(sizes) / np.mean(sizes) < 0.97 and 1.03 < max(sizes) / np.mean(sizes) < 1.15


def test_feet_stay_on_the_floor(clips):
    for clip in clips:
        lowest = clip.joints[:, [JOINT["left_foot"], JOINT["right_foot"]], 1].min(axis=1)
        assert clip.joints[..., 1].min() > -0.02, clip.meaning
        assert np.abs(lowest).min() < 0.01
        airborne = any(word in clip.meaning for word in ("jump", "hop", "sprint", "jog", "run-"))
        assert airborne or np.abs(lowest).max() < 0.02, clip.meaning


def test_planted_feet_do_not_slide(clips):
    for clip in clips:
        for side in SIDES:
            foot = clip.joints[:, JOINT[f"{side}_foot"]]
            slide = np.linalg.norm(np.diff(foot[:, [0, 2]], axis=0), axis=1)
            planted = (foot[1:, 1] < 0.004) & (foot[:-1, 1] < 0.004)
            assert (slide * planted).max() < 0.04, clip.meaning
            assert (slide * planted).sum() / max(planted.sum(), 1) < 0.003, clip.meaning


def test_motion_is_smooth(clips):
    for clip in clips:
        velocity = np.diff(clip.joints, axis=0) * FPS
        assert np.linalg.norm(velocity, axis=-1).max() < 15, clip.meaning  # m/s
        jolt = np.diff(velocity, axis=0) * FPS
        assert np.linalg.norm(jolt, axis=-1).max() < 320, clip.meaning  # m/s², a kicking foot


def test_knees_bend_backward_only(clips):
    """The knee never lies behind the line from hip to ankle."""
    for clip in clips:
        for side in SIDES:
            hip, knee, ankle = (
                clip.joints[:, JOINT[f"{side}_{name}"]].astype(float)
                for name in ("hip", "knee", "ankle")
            )
            bend = _angle(hip - knee, ankle - knee)
            assert bend.min() > 20, clip.meaning
            across = clip.joints[:, JOINT["left_hip"]] - clip.joints[:, JOINT["right_hip"]]
            ahead = np.cross(ankle - hip, across)
            offset = ((knee - (hip + ankle) / 2) * ahead).sum(axis=1)
            assert (offset / np.linalg.norm(ahead, axis=1)).min() > -0.01, clip.meaning


def test_legs_do_not_pass_through_each_other(clips):
    for clip in clips:
        seen = Seen(clip.joints)
        shins = [(seen.at(f"{side}_knee"), seen.at(f"{side}_ankle")) for side in SIDES]
        assert _between_segments(*shins).min() > 0.05, clip.meaning


def _between_segments(a, b):
    """[T] distances of the segment a = (ends [T, 3], [T, 3]) from b, to about a millimetre."""
    points = a[0] + (a[1] - a[0]) * np.linspace(0, 1, 17)[:, None, None]
    line = b[1] - b[0]
    share = ((points - b[0]) * line).sum(-1) / (line * line).sum(-1)
    nearest = b[0] + np.clip(share, 0, 1)[..., None] * line
    return np.linalg.norm(points - nearest, axis=-1).min(axis=0)


def test_distance_of_segments():
    x, y, z = np.eye(3)[:, None]
    assert np.allclose(_between_segments((-x, x), (z - y, z + y)), 1)  # they cross
    assert np.allclose(_between_segments((-x, x), (z + 2 * x, z + 4 * x)), np.sqrt(2))


def test_elbows_bend_forward_only():
    """For an upper arm in any direction the forearm folds to the same side: the inside."""
    rng = np.random.default_rng(0)
    body, count = sample_body(rng), 50
    arms = np.zeros((2, count, 4))
    arms[..., 3] = np.linspace(-60, 170, count)  # what a score may ask for
    ground, torso, feet = np.zeros((count, 3)), np.zeros((count, 6)), np.zeros((2, count, 5))
    joints = joint_positions(body, ground, torso, arms, feet)
    for side in SIDES:
        shoulder, elbow, wrist = (
            joints[:, JOINT[f"{side}_{name}"]] for name in ("shoulder", "elbow", "wrist")
        )
        assert (wrist - elbow)[:, 2].min() > -1e-9  # hanging arms fold to the front
        assert _angle(shoulder - elbow, wrist - elbow).min() > 25


def test_arms_swing_against_the_legs(clips):
    for clip in clips:
        if not clip.meaning.startswith(("walk ", "jog ", "sprint ")) or "arm" in clip.meaning:
            continue
        if "hands" in clip.meaning or "tiny" in clip.meaning or " then " in clip.meaning:
            continue
        seen = Seen(clip.joints)
        arms = seen.ahead("left_wrist", "pelvis") - seen.ahead("right_wrist", "pelvis")
        legs = seen.ahead("left_ankle", "pelvis") - seen.ahead("right_ankle", "pelvis")
        assert np.corrcoef(arms, legs)[0, 1] < -0.2, clip.meaning


def test_interpolation_passes_its_keys_and_never_overshoots():
    times = np.asarray([0.0, 0.4, 1.0, 1.5, 2.5])
    values = np.asarray([[0.0], [3.0], [3.0], [-1.0], [-2.0]])
    assert np.allclose(interpolate(times, values, times), values)
    fine = interpolate(times, values, np.linspace(-1, 4, 400))
    assert fine.max() <= 3 + 1e-9 and fine.min() >= -2 - 1e-9
    assert fine[0] == 0 and fine[-1] == -2
    assert np.array_equal(interpolate(times[:1], values[:1], times), np.zeros((5, 1)))


# ------------------------------------------------------------------ what the captions state


def _angle(a, b):
    cosine = (a * b).sum(-1) / (np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1))
    return np.degrees(np.arccos(np.clip(cosine, -1, 1)))


def _bouts(active) -> int:
    """How many times a condition over the frames becomes true."""
    return int((np.diff(np.concatenate([[0], active.astype(int)])) == 1).sum())


def _halfway(values):
    """[T] whether a value is above the middle of its range."""
    return values > (values.max() + values.min()) / 2


class Seen:
    """A clip as a viewer sees it: places relative to the first or the current heading."""

    def __init__(self, joints):
        self.joints = joints.astype(float)
        across = self.at("left_hip") - self.at("right_hip")
        self.heading = np.unwrap(np.arctan2(-across[:, 2], across[:, 0]))

    def at(self, joint):
        return self.joints[:, JOINT[joint]]

    def up(self, joint):
        return self.at(joint)[:, 1]

    def _along(self, joint, origin, direction):
        sin, cos = np.sin(self.heading), np.cos(self.heading)
        axis = {"ahead": (sin, cos), "left": (cos, -sin)}[direction]
        place = self.at(joint) - self.at(origin)
        return place[:, 0] * axis[0] + place[:, 2] * axis[1]

    def ahead(self, joint, origin):
        return self._along(joint, origin, "ahead")

    def left(self, joint, origin):
        return self._along(joint, origin, "left")

    @property
    def moved(self):
        """(ahead, left) of the pelvis over the clip, seen from the first heading."""
        x, z = (self.joints[-1, 0] - self.joints[0, 0])[[0, 2]]
        sin, cos = np.sin(self.heading[0]), np.cos(self.heading[0])
        return x * sin + z * cos, x * cos - z * sin

    def shift(self, joint):
        """[T] (ahead, left) of a joint from where it was first, seen from the first heading."""
        x, _, z = (self.at(joint) - self.at(joint)[0]).T
        sin, cos = np.sin(self.heading[0]), np.cos(self.heading[0])
        return x * sin + z * cos, x * cos - z * sin

    @property
    def turned(self):
        return np.degrees(self.heading[-1] - self.heading[0])

    @property
    def steps(self):
        return sum(_bouts(self.up(f"{side}_foot") > 0.03) for side in SIDES)

    @property
    def lower_foot(self):
        return np.minimum(self.up("left_foot"), self.up("right_foot"))

    @property
    def jumps(self):
        return _bouts(self.lower_foot > 0.02)

    @property
    def runs(self):
        """Whether both feet leave the ground at once, be it for one frame."""
        return self.lower_foot.max() > 0.003

    def lean(self):
        """[T] degrees of the trunk from upright."""
        trunk = self.at("neck") - self.at("pelvis")
        return _angle(trunk, np.asarray([0.0, 1.0, 0.0]))

    def twist(self):
        """[T] degrees of the shoulders to the left of the hips."""
        across = self.at("left_shoulder") - self.at("right_shoulder")
        angle = np.arctan2(-across[:, 2], across[:, 0]) - self.heading
        return np.degrees((angle + np.pi) % (2 * np.pi) - np.pi)

    def stretch(self, side):
        """[T] distance of a wrist from its shoulder."""
        return np.linalg.norm(self.at(f"{side}_wrist") - self.at(f"{side}_shoulder"), axis=1)

    def hands_apart(self):
        return np.linalg.norm(self.at("left_wrist") - self.at("right_wrist"), axis=1)

    def arm_travel(self, side):
        return np.ptp(self.at(f"{side}_wrist") - self.at(f"{side}_shoulder"), axis=0).sum()

    def apart(self, joint, other, frames):
        """Mean distance of two joints over some frames."""
        return np.linalg.norm((self.at(joint) - self.at(other))[frames], axis=1).mean()

    def arm(self, side, frames):
        """What one arm does over some frames; "" where nothing has a name."""
        wrist, elbow, shoulder = (f"{side}_{name}" for name in ("wrist", "elbow", "shoulder"))
        up = (self.up(wrist) - self.up(shoulder))[frames].mean()
        ahead = self.ahead(wrist, shoulder)[frames].mean()
        out = self.left(wrist, shoulder)[frames].mean() * SIGN[side]
        elbow_out = self.left(elbow, shoulder)[frames].mean() * SIGN[side]
        inside = -self.left(wrist, "spine3")[frames].mean() * SIGN[side]
        straight = self.stretch(side)[frames].mean() > 0.43
        from_head = self.apart(wrist, "head", frames)
        if from_head < 0.19:
            return "head" if elbow_out > 0.12 else "face"
        if from_head < 0.29 and elbow_out > 0.18:
            return "salute"
        if straight and out > 0.4:
            return "out"
        if elbow_out > 0.2 and (self.up(wrist) - self.up(elbow))[frames].mean() > 0.2:
            return "flexed"
        if straight and up > 0.28:
            return "overhead"
        if straight and ahead < -0.2:
            return "back"
        if not straight and self.apart(wrist, f"{side}_hip", frames) < 0.32:
            return "hips"
        if not straight and inside > 0:
            return "folded"
        if self.apart(wrist, f"{side}_knee", frames) < 0.36:
            return "knees"
        if straight and ahead > 0.43 and abs(up) < 0.2:
            return "front"
        return "down" if up < -0.2 else ""

    def arms(self, frames):
        """What both arms do alike; "" where they differ."""
        left, right = (self.arm(side, frames) for side in SIDES)
        return left if left == right else ""


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
    """Everything that is special about a gait."""
    middle = slice(len(seen.joints) // 3, 2 * len(seen.joints) // 3)
    left_arm, right_arm = (seen.arm(side, middle) for side in SIDES)
    pelvis, tilt = seen.up("pelvis"), seen.left("neck", "pelvis")
    lowest = middle.start + pelvis[middle].argmin()
    knee = max(seen.up(f"{side}_knee").max() for side in SIDES)
    ahead, left = (seen.ahead("left_ankle", "right_ankle"), seen.left("left_ankle", "right_ankle"))
    elbows = [np.ptp(seen.ahead(f"{side}_elbow", f"{side}_shoulder")) for side in SIDES]
    # The body sinks over the spared leg just when that leg has come down in front.
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
    assert _bouts(seen.up(f"{side}_foot") > 0.05) == facts["count"]
    assert _bouts(seen.up(f"{other}_foot") > 0.1) == 1
    assert (seen.moved[0] > 0.4) == (facts["direction"] == "forward")


def _jumping_jack(seen, facts):
    assert seen.jumps == 2 * facts["count"]
    assert _bouts(seen.up("left_wrist") > seen.up("head")) == facts["count"]


def _kick(seen, facts):
    side, other = facts["side"], _other(facts["side"])
    assert _bouts(seen.up(f"{side}_foot") > 0.05) == facts["count"]
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
    assert _bouts(_halfway(seen.up(f"{side}_knee"))) == facts["count"]
    assert np.ptp(seen.up(f"{side}_knee")) > 0.25 and seen.up(f"{other}_foot").max() < 0.02


def _knees(seen, facts):
    for side in SIDES:
        assert _bouts(_halfway(seen.up(f"{side}_knee"))) == facts["count"] // 2


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
    assert _bouts(seen.up("pelvis") < seen.up("pelvis")[0] - 0.15) == facts["count"]
    assert np.hypot(*seen.shift(f"{other}_foot")).max() < 0.05  # one foot stays, the other goes
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
    assert _bouts(drop > 0.6 * drop.max()) == facts["count"]
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
    assert _bouts(_halfway(seen.lean())) == facts.get("count", 1)
    assert (seen.lean().max() > 55) == (facts["depth"] == "deep") and seen.lean().max() > 20


def _touch_toes(seen, facts):
    low = np.maximum(seen.up("left_wrist"), seen.up("right_wrist")) < 0.35
    assert _bouts(low) == facts["count"]
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
        edges = edges[(edges == 1).argmax() :]  # out and in again, once the hand is up
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
        assert _bouts(_halfway(wrist[:, 1])) == facts.get("count", 1)
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
        return _bouts(level & (seen.stretch(side) > 0.45))
    if how == "up":
        return _bouts(seen.up(wrist) > seen.up("head"))
    drawn = _bouts(seen.up(wrist) > seen.up(shoulder) + 0.1)
    struck = _bouts((seen.up(wrist) < seen.up(shoulder) - 0.25) & (seen.lean() > 25))
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
    assert _bouts(seen.hands_apart() < 0.3) == facts["count"]
    meet = seen.hands_apart().argmin()
    above = seen.up("left_wrist")[meet] > seen.up("head")[meet]
    assert above == (facts["where"] == "overhead")


def _throw(seen, facts):
    side, other = facts["side"], _other(facts["side"])
    ahead = seen.ahead(f"{side}_wrist", "pelvis")
    assert _bouts(seen.up(f"{other}_foot") > 0.03) == 2 * facts["count"]  # out and back
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
    """The arms stretch so many times, and the body leans into it."""
    out = _arms_out_in_front(seen)
    assert _bouts(out) == facts["count"]
    assert seen.ahead("neck", "pelvis")[out].max() > 0.1


def _pull(seen, facts):
    """The stretched arms bend so many times, and the body leans back."""
    out = _arms_out_in_front(seen)
    assert _bouts(out) == facts["count"] + 1
    assert seen.ahead("neck", "pelvis").min() < -0.05


def _arms_out_in_front(seen):
    return np.all([seen.ahead(f"{s}_wrist", f"{s}_shoulder") > 0.4 for s in SIDES], axis=0)


def _swim(seen, facts):
    assert _bouts(seen.hands_apart() > 1.0) == facts["count"]


def _bend_sideways(seen, facts):
    tilt = seen.left("head", "pelvis") * SIGN[facts["side"]]
    assert tilt.max() > 0.2 and -tilt.min() < 0.1
    assert _bouts(_halfway(tilt)) == facts["count"]
    assert (seen.up(f"{_other(facts['side'])}_wrist") - seen.up("head")).max() > 0.05


def _twist(seen, facts):
    twist = seen.twist() * SIGN[facts["side"]]
    assert twist.max() > 45 and -twist.min() < 15 and _bouts(_halfway(twist)) == facts["count"]
    _twisted_arms(seen, twist.argmax(), facts["arms"])


def _twists(seen, facts):
    twist = seen.twist() * SIGN[facts["side"]]
    assert _bouts(twist > 40) == _bouts(twist < -40) == facts["count"]
    assert (twist > 40).argmax() < (twist < -40).argmax()
    _twisted_arms(seen, twist.argmax(), facts["arms"])


def _twisted_arms(seen, frame, arms):
    """Straight arms that turn with the shoulders."""
    assert min(seen.stretch(side)[frame] for side in SIDES) > 0.43
    apart = seen.hands_apart()[frame]
    assert apart > 1.1 if arms == "out" else apart < 0.6


def _sway(seen, facts):
    left = seen.left("left_hip", "left_ankle")
    assert _bouts(left > left[0] + 0.08) == _bouts(left < left[0] - 0.08) == facts["count"]
    assert seen.arms([len(left) // 2]) == facts["arms"]


def _lean_back(seen, facts):
    ahead = seen.ahead("neck", "pelvis")
    assert ahead.min() < -0.2 and seen.arms([ahead.argmin()]) == facts["arms"]


def _pose(other):
    """A check of arm poses; `other` is what an arm does that is not in the facts."""

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
def test_joints_bear_out_the_facts(name):
    for meaning, seed in itertools.product(KINDS[name], range(3)):
        seen = Seen(_played(meaning.acts, seed))
        try:
            CHECKS[name](seen, meaning.acts[0].facts)
        except AssertionError as error:
            raise AssertionError(f"{meaning.key}, seed {seed}: {error}") from error


# Kinds of action that differ in a fact which is in their name.
_ALIKE = (
    "walk jog sprint", "walk-curve run-curve", "march jog-in-place", "knee knees", "lunge lunges",
    "sit stand-up sit-and-stand", "punch punches", "push pull", "twist twists",
    "pose pose-out pose-hips",
)  # fmt: skip


@pytest.mark.parametrize("names", [*sorted({*KINDS} - {*" ".join(_ALIKE).split()}), *_ALIKE])
def test_no_other_joints_bear_out_the_facts(names):
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
    """The facts (once, where no count is stated) but the speed, which has a test of its own."""
    (act,) = meaning.acts
    return {"name": act.name, "count": 1, **act.facts, "speed": None}


def test_second_act_follows_the_first():
    """Two acts in a row do what each does alone: places and headings add up, both can be seen."""
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


def test_speeds_can_be_told_apart():
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
        # The small irregularities of a clip are not mirrored.
        assert np.abs(SKELETON.mirrored(left) - right)[..., 1].mean() < 0.03, key
        facing = SKELETON.mirrored(left)[0, [1, 2]] - right[0, [1, 2]]
        assert np.abs(facing).max() < 0.05
        checked += 1
    assert checked > 100


def test_captions_name_no_side_that_is_not_in_the_meaning(clips):
    both = ("twists", "lunges", "sway", "punches", "swing", "bend", "reach", "pose-", "balance")
    for clip in clips:
        if any(word in clip.meaning for word in both) or " then " in clip.meaning:
            continue
        for caption in clip.captions:
            for side in SIDES:
                named = side in caption.split()
                assert not named or side in clip.meaning, (caption, clip.meaning)


def test_first_captions_state_every_fact(clips):
    """The first caption holds one of the words of each fact."""
    acts = {meaning.key: meaning.acts for meaning in all_meanings()}
    for clip in clips:
        for act in acts[clip.meaning]:
            for alternatives in act.phrases:
                assert any(words in clip.captions[0] for words in alternatives), clip.captions[0]
