"""The descriptions shipped with the project."""

import csv
import itertools
import json
import re

import pytest
from runs import ROOT

from data_prep.mirror import mirrored_caption

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


@pytest.mark.parametrize("name", ["t pose", "run", "sit"])
def test_a_label_is_not_its_own_description(name):
    """A text must add words to those of the label."""
    assert not any(words(name) <= words(text) for text in shipped("babel60")[name]["descriptions"])


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
