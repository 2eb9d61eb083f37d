"""Class texts: reading, merging and filtering files of them."""

import json

from runs import ROOT

from data_prep import class_texts


def test_the_shipped_files_can_be_read():
    for path in (ROOT / "data_prep" / "captions").glob("*.json"):
        classes = json.loads(path.read_text())["classes"]
        texts = class_texts.read_texts(path, classes)
        assert texts["synonyms"].keys() == texts["descriptions"].keys() == classes.keys()


def test_texts_of_unknown_classes_are_ignored_and_named(tmp_path):
    path = tmp_path / "a.json"
    classes = {"walk": {"synonyms": ["a"]}, "fly": {"synonyms": ["soar"]}}
    path.write_text(json.dumps({"about": "", "prompt": "", "classes": classes}))
    expected = {"descriptions": {}, "synonyms": {"walk": ["a"]}}
    said = []
    assert class_texts.read_texts(path, ["walk"], said.append) == expected
    assert said == [f"{path}: ignored texts of unknown classes: 'fly'"]
    assert class_texts.read_texts(path, ["walk"]) == expected
    assert class_texts.read_texts(path, ["walk", "fly"], said.append)["synonyms"].keys() == {
        *classes
    }
    assert len(said) == 1


def test_merged_texts_are_unique_and_in_order():
    first = {"synonyms": {"walk": ["go", "stroll", "go"]}}
    second = {"synonyms": {"walk": ["amble", "go"], "run": ["dash"]}, "descriptions": {"run": []}}
    assert class_texts.merge([first, second]) == {
        "synonyms": {"walk": ["go", "stroll", "amble"], "run": ["dash"]},
        "descriptions": {"run": []},
    }


def test_some_of_many():
    assert class_texts.some(["a", "b"]) == "'a', 'b'"
    assert class_texts.some(["a", "b", "c"], count=1) == "'a' and 2 more"
