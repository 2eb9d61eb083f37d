"""The descriptions shipped with the project."""

import collections
import csv
import datetime
import functools
import itertools
import json
import re

import numpy as np
import pytest
import snowballstemmer
from runs import ROOT

from benchmarks import description_retrieval
from data_prep.mirror import mirrored_caption
from motionalign.inference.sentence_encoder import SentenceEncoder

FILES = {"babel60": 60, "bandai_namco_2": 17}  # classes


def shipped(file):
    path = ROOT / "data_prep" / "captions" / f"{file}.json"
    return json.loads(path.read_text())["classes"]


def words(text):
    return set(re.findall(r"[a-z]+", text.lower()))


each_file = pytest.mark.parametrize("file", FILES)
SIDES = {"left", "right"}


@each_file
def test_every_class_has_five_descriptions_and_three_synonyms(file):
    classes = shipped(file)
    assert len(classes) == FILES[file]
    for name, texts in classes.items():
        assert len(texts["descriptions"]) == 5, name
        assert len(texts["synonyms"]) == 3, name
        assert all(text.endswith(".") and text[0].isupper() for text in texts["descriptions"]), name


@each_file
def test_texts_differ_from_each_other_and_from_the_labels(file):
    classes = shipped(file)
    texts = [text for c in classes.values() for text in (*c["descriptions"], *c["synonyms"])]
    assert len({text.lower() for text in texts} | set(classes)) == len(texts) + len(classes)
    descriptions = [words(text) for c in classes.values() for text in c["descriptions"]]
    for a, b in itertools.combinations(descriptions, 2):
        assert len(a & b) / len(a | b) < 0.6


def test_classes_are_those_of_the_benchmark_in_order(test_data):
    labels = json.loads((test_data / "babel_action_labels.json").read_text())
    expected = [name for name, index in sorted(labels.items(), key=lambda x: x[1]) if index < 60]
    assert list(shipped("babel60")) == expected


# The paragraphs of BABEL-60 ----------------------------------------------------------------------
#
# What the positions of SMPL's 22 joints show, and a description may therefore state: where pelvis,
# spine, neck, head, collars, shoulders, elbows, wrists, hips, knees, ankles and balls of the feet
# are, and how they move: direction, order, timing, speed, amplitude, repetition, symmetry, posture,
# balance, contact of the feet with the floor, distances between joints, travel of the body. Of
# things and of other people only what the limbs do about them ("as in wiping a table").
#
# What they do not show: anything beyond the wrists (fingers, grip, palms), the face and the eyes
# (the direction of the head is shown), breath, voices and sounds, muscles, clothes, moods, and the
# look or the properties of things. Words for these:
NOT_SHOWN = """
    finger fingers fingertip fingertips thumb thumbs knuckle knuckles fist fists palm palms grip
    grips gripping gripped nail nails eye eyes eyebrow eyebrows eyelid gaze gazes gazing glance
    glances stare stares staring blink wink smile smiles smiling frown facial mouth lips breath
    breathe breathing breathless inhale exhale lungs sound sounds noise music voice voices speak
    speaks talk talks talking sing sings singing loud silent applause muscle muscles tense tensed
    skin hair cloth clothes clothing shirt shoe shoes sleeve sleeves trousers hat colour coloured
    shiny heavy weightless hot cold wet cheerful happy sad angry afraid proud
"""

# Only these words of a label may occur in its descriptions.
EXEMPT = {"a", "to", "with"}

# Words that the stemmer does not recognise as forms of the same word.
IRREGULAR = {
    form: word
    for word, forms in {
        "move": "movement movements",
        "train": "training trainer",
        "foot": "feet",
        "stand": "stood",
        "sit": "sat",
        "run": "ran runner",
        "bend": "bent",
        "throw": "threw thrown",
        "take": "took taken",
        "catch": "caught",
        "swing": "swung",
        "circular": "circle circles circled circling",
        "perform": "performance performer",
        "greet": "greeting",
        "dance": "dancer",
        "walk": "walker",
        "jump": "jumper",
        "jog": "jogger",
        "play": "player players",
        "hand": "handicraft",
        "look": "lookout",
    }.items()
    for form in forms.split()
}

# Words without content of their own: descriptions may share them.
FUNCTION_WORDS = """
    a about above across after again against all along also am an and another any are around as at
    away back be been before behind being below beneath beside besides between beyond both but by
    can could did do does done down each either even every few first for from had has have having
    he her here his how if in into is it its just last less many may might more most much must
    near nearly neither next no nor not of off on once one only onto or other others out over own
    quite rather same second shall she should so some soon still such than that the their theirs
    them then there these they this those through throughout till to too toward towards twice
    under until up upon very was were what when where whether which while who whom whose will with
    within without would yet
"""

stemmer = snowballstemmer.stemmer("english")


@functools.cache
def stem(word):
    return stemmer.stemWord(IRREGULAR.get(word, word))


def stems(text):
    """The stems of all words, in their order."""
    return " ".join(map(stem, re.findall(r"[a-z]+", text.lower())))


def content(text):
    """The stems of the words that have content of their own."""
    tokens = re.findall(r"[a-z]+", re.sub(r"'s\b", "", text.lower()))
    return {stem(word) for word in tokens} - {stem(word) for word in FUNCTION_WORDS.split()}


def words_of_label(label, text):
    """Words of `text` that are forms of a word of `label`."""
    own = {stem(word) for word in words(label) - EXEMPT}
    return {word for word in words(text) if stem(word) in own}


def shared(a, b):
    """The part of the shorter text's content words that both texts have."""
    a, b = content(a), content(b)
    return len(a & b) / min(len(a), len(b))


PARAGRAPHS = [
    (f"{name} {i}", name, text)
    for name, texts in shipped("babel60").items()
    for i, text in enumerate(texts["descriptions"], 1)
]


def test_the_file_says_who_wrote_it_and_when():
    file = json.loads((ROOT / "data_prep" / "captions" / "babel60.json").read_text())
    assert list(file) == ["about", "written_by", "date", "prompt", "checks", "classes"]
    assert "language model" in file["written_by"] and "{action}" in file["prompt"]
    assert datetime.date.fromisoformat(file["date"])
    assert file["checks"] and all(file["checks"])


def test_a_description_is_a_paragraph():
    lengths = {where: len(text.split()) for where, _, text in PARAGRAPHS}
    assert not {where: length for where, length in lengths.items() if not 55 <= length <= 95}
    sentences = {where: len(re.findall(r"[.!?](?= |$)", text)) for where, _, text in PARAGRAPHS}
    assert not {where: count for where, count in sentences.items() if not 3 <= count <= 6}
    assert not [where for where, _, text in PARAGRAPHS if not text.isascii() or "  " in text]


def test_descriptions_do_not_hold_words_of_their_labels():
    found = {where: words_of_label(name, text) for where, name, text in PARAGRAPHS}
    assert not {where: held for where, held in found.items() if held}


def test_descriptions_do_not_hold_synonyms():
    """Training on descriptions must not see the texts that it is tested by, in any inflection."""
    for where, name, text in PARAGRAPHS:
        for synonym in shipped("babel60")[name]["synonyms"]:
            assert f" {stems(synonym)} " not in f" {stems(text)} ", (where, synonym)


def test_descriptions_state_what_22_joints_show():
    found = {where: words(text) & {*NOT_SHOWN.split()} for where, _, text in PARAGRAPHS}
    assert not {where: held for where, held in found.items() if held}


def test_descriptions_of_a_class_share_less_than_half_of_their_words():
    for _, group in itertools.groupby(PARAGRAPHS, key=lambda paragraph: paragraph[1]):
        for (one, _, a), (other, _, b) in itertools.combinations(group, 2):
            assert shared(a, b) < 0.5, (one, other, sorted(content(a) & content(b)))


def test_no_six_words_in_a_row_occur_twice():
    """Paragraphs are written one by one, not from a template."""
    places = collections.defaultdict(set)
    for where, _, text in PARAGRAPHS:
        tokens = re.findall(r"[a-z]+", text.lower())
        for i in range(len(tokens) - 5):
            places[" ".join(tokens[i : i + 6])].add(where)
    assert not {phrase: at for phrase, at in places.items() if len(at) > 1}


@pytest.mark.parametrize(
    ("label", "text", "found"),
    [
        ("walk", "Walking, she walks and walked.", {"walking", "walks", "walked"}),
        ("hand movements", "The hands move; the movement of a hand.",
         {"hands", "hand", "move", "movement"}),
        ("foot movements", "Both feet shuffle.", {"feet"}),
        ("lowering body part", "Lowered, the lower parts of the bodies.",
         {"lowered", "lower", "parts", "bodies"}),
        ("take/pick something up", "He took it up.", {"took", "up"}),
        ("a pose", "A stance with straight arms.", set()),
        ("action with ball", "A throw to a mate, with both arms.", set()),
        ("art", "She starts.", set()),
        ("play sport", "A player plays.", {"player", "plays"}),
    ],
)  # fmt: skip
def test_forms_of_the_words_of_a_label(label, text, found):
    assert words_of_label(label, text) == found


def test_shared_words():
    assert content("The arms are bending.") == content("They bend an arm") == {"arm", "bend"}
    assert shared("An arm bends.", "Both arms bend at the elbow, slowly.") == 1
    assert shared("An arm bends slowly over it.", "A leg bends.") == 1 / 2


def test_synonyms_of_the_paper():
    """Walk and Text, Table V."""
    for label, synonym in {
        "walk": "stroll",
        "stand": "maintain posture",
        "hand movements": "manual gestures",
        "turn": "rotate",
        "interact with/use object": "manipulate item",
        "arm movements": "upper limb movements",
        "t pose": "neutral pose",
        "step": "stride",
        "backwards movement": "retrograde motion",
        "raising body part": "elevating body part",
    }.items():
        assert synonym in shipped("babel60")[label]["synonyms"]


@pytest.mark.parametrize("every", [6, pytest.param(1, marks=pytest.mark.slow)])
def test_descriptions_find_their_class(every, minilm):
    """With all classes, the shares of docs/results.md; with every sixth one it is quick."""
    texts = {name: each["descriptions"] for name, each in shipped("babel60").items()}
    texts = {name: texts[name] for name in [*texts][::every]}
    found, classes = description_retrieval.measure(texts, SentenceEncoder(str(minilm), "mean"))
    label, left_out, nearest = (np.mean(each == classes) for each in found)
    assert label > 0.3 and left_out > 0.85 and nearest > 0.7


# The Bandai Namco dataset ------------------------------------------------------------------------


def test_classes_are_the_actions_and_styles_of_the_dataset(mocap_folder):
    with (mocap_folder / "labels.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    actions = sorted({row["content"].replace("-", " ") for row in rows})
    assert list(shipped("bandai_namco_2")) == actions + sorted({row["style"] for row in rows})


@pytest.mark.parametrize("name", shipped("bandai_namco_2"))
def test_texts_do_not_contain_the_name_of_their_class(name):
    texts, own = shipped("bandai_namco_2")[name], words(name)
    assert not any(own <= words(text) for text in texts["descriptions"])
    for synonym in texts["synonyms"]:
        assert words(synonym) & own <= SIDES  # sides have no synonyms


def test_sides():
    """Texts of one-sided actions name their side first; other texts never name only one side."""
    for name, texts in shipped("bandai_namco_2").items():
        side = words(name) & SIDES
        for text in (*texts["descriptions"], *texts["synonyms"]):
            # "right angle" names no side.
            named = re.findall(r"\b(?:left|right)\b(?! angle)", text.lower())
            if side:
                assert {named[0]} == side, text
            else:
                assert set(named) in (set(), SIDES), text


@pytest.mark.parametrize("action", ["raise up {} hand", "walk turn {}", "wave {} hand"])
def test_texts_for_the_two_sides_differ_in_wording(action):
    """Except for the synonyms, which are mirror images of each other."""
    left, right = (shipped("bandai_namco_2")[action.format(side)] for side in ("left", "right"))
    mirrored = [mirrored_caption(text) for text in left["synonyms"]]
    assert mirrored == right["synonyms"]
    assert not {*map(mirrored_caption, left["descriptions"])} & {*right["descriptions"]}
