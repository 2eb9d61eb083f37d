"""The descriptions that ship with the project."""

import itertools
import json
import re

import pytest
from runs import ROOT

SHIPPED = json.loads((ROOT / "data_prep" / "captions" / "babel60.json").read_text())["classes"]


def words(text):
    return set(re.findall(r"[a-z]+", text.lower()))


def test_every_class_has_five_descriptions_and_three_synonyms():
    assert len(SHIPPED) == 60
    for name, texts in SHIPPED.items():
        assert len(texts["descriptions"]) == 5, name
        assert len(texts["synonyms"]) == 3, name
        assert all(text.endswith(".") and text[0].isupper() for text in texts["descriptions"]), name


def test_all_are_distinct_from_each_other_and_from_the_labels():
    texts = [text for c in SHIPPED.values() for text in (*c["descriptions"], *c["synonyms"])]
    assert len({text.lower() for text in texts} | set(SHIPPED)) == len(texts) + len(SHIPPED)
    descriptions = [words(text) for c in SHIPPED.values() for text in c["descriptions"]]
    for a, b in itertools.combinations(descriptions, 2):
        assert len(a & b) / len(a | b) < 0.6


def test_they_are_the_benchmarks_classes_in_its_order(test_data):
    labels = json.loads((test_data / "babel_action_labels.json").read_text())
    expected = [name for name, index in sorted(labels.items(), key=lambda x: x[1]) if index < 60]
    assert list(SHIPPED) == expected


@pytest.mark.parametrize("name", ["t pose", "run", "sit"])
def test_a_label_is_not_its_own_description(name):
    """The words of the label alone would teach nothing."""
    assert not any(words(name) <= words(text) for text in SHIPPED[name]["descriptions"])
