"""The texts of classes, and their sentence vectors."""

import dataclasses

import numpy as np
import pytest

from motionalign.data.dataset import CaptionVectors, Dataset, Metadata
from motionalign.data.texts import (
    KINDS,
    TITLES,
    ClipTexts,
    TextRows,
    attribute_classes,
    class_texts,
    label_classes,
)
from motionalign.skeleton import SKELETONS

APPEARANCE = Metadata(
    "people", SKELETONS["coco18"], 16, 24, None, np.zeros((18, 3)), np.ones((18, 3)), 24,
    label_names=("walk", "sit down"),
    attribute_names=("female", "slim", "normal weight", "backpack"),
    attribute_groups={"gender": ("female",), "body": ("slim", "normal weight")},
    attribute_opposites={"female": "male"},
    num_rotations=22,
)  # fmt: skip


@dataclasses.dataclass
class SomeSplit:
    labels: np.ndarray
    attributes: np.ndarray


def test_class_names():
    attributes = np.array([[1, 1, 0, 0], [0, 0, 1, 1], [1, 0.9, 0, 0.4], [0, 0, 1, 0]], np.float32)
    split = SomeSplit(np.array([1, 0, -1, 1]), attributes)
    names, of_record = label_classes(APPEARANCE, split)
    assert names == ["walk", "sit down"]
    assert of_record.tolist() == [1, 0, -1, 1]
    names, of_record = attribute_classes(APPEARANCE, split)
    assert names == ["female, slim", "male, normal weight", "male, normal weight, backpack"]
    assert of_record.tolist() == [0, 2, 0, 1]


@pytest.mark.parametrize(
    ("kind", "classes"), [("labels", label_classes), ("attributes", attribute_classes)]
)
def test_class_names_of_a_dataset_without_classes(data_dir, kind, classes):
    dataset = Dataset(data_dir, "tiny")
    split = dataset.split("train")
    assert split.labels.tolist() == [-1] * 5
    assert split.attributes.shape == (5, 0)
    assert dataset.texts == {}
    with pytest.raises(ValueError, match=f"dataset 'tiny' has no {kind}"):
        classes(dataset.metadata, split)


# Texts of classes ---------------------------------------------------------------------------------


@dataclasses.dataclass
class SomeDataset:
    """Stands in for `dataset.Dataset`."""

    texts: dict
    caption_vectors: CaptionVectors | None = None
    name: str = "mine"

    require_caption_vectors = Dataset.require_caption_vectors


def test_kinds_of_texts():
    assert set(TITLES) == set(KINDS)
    dataset = SomeDataset({"descriptions": {"walk": ["goes", "strides"]}, "synonyms": {}})
    assert class_texts(dataset, ["walk", "sit"], "words", "action") == [["walk"], ["sit"]]
    assert class_texts(dataset, ["walk"], "descriptions", "action") == [["goes", "strides"]]


@pytest.mark.parametrize(
    ("kind", "written"), [("descriptions", "appearance"), ("synonyms", "synonym")]
)
def test_missing_texts_name_the_command_that_generates_them(kind, written):
    dataset = SomeDataset({kind: {"walk": ["x"], "run": []}})
    message = (
        f"dataset 'mine' has no {kind} for 2 of 3 classes, for example 'run'. .*describe --name="
        f"mine --kind={written} --out={kind}.json"
    )
    with pytest.raises(ValueError, match=message):
        class_texts(dataset, ["walk", "run", "sit"], kind, "appearance")


# Vectors of texts ---------------------------------------------------------------------------------

TEXTS = [["a", "b", "c"], ["d"], ["a", "e"]]  # two classes share a text


def rows_of_texts():
    rows = {text: row for row, text in enumerate("edcba")}
    vectors = np.arange(10, dtype=np.float32).reshape(5, 2)
    dataset = SomeDataset({}, CaptionVectors("random", ("0", "mean"), rows, vectors))
    return TextRows.of(dataset, TEXTS), vectors


def test_vectors_of_a_class():
    rows, vectors = rows_of_texts()
    for k, expected in enumerate(([4, 3, 2], [1], [4, 0])):
        np.testing.assert_array_equal(rows.of_class(k), vectors[expected])


def test_texts_of_none_of_several_classes():
    """The texts of the classes that are not the clip's have equal shares of [0, 1)."""
    rows, vectors = rows_of_texts()
    for classes, wanted in (
        ([0, 1, -1], [4, 0]),
        ([2, -1, 0], [1]),
        ([2, 1, -1], [4, 3, 2]),
        ([1, -1, -1], [4, 3, 2, 4, 0]),
    ):
        share = (np.arange(len(wanted)) + 0.5) / len(wanted)
        found = rows.pick_other(np.array([classes] * len(wanted)), share)
        np.testing.assert_array_equal(found, vectors[wanted])


def test_a_row_draws_one_of_its_classes():
    texts = ClipTexts(
        list("abcd"), [[]] * 4, np.array([0, 2, 1]), np.array([[-1, 3], [-1, -1], [0, 2]])
    )
    assert texts.several
    rows = np.array([0, 1, 2, 0, 2, 2])
    share = np.array([0.49, 0.99, 0.3, 0.51, 0.5, 0.7])
    assert texts.draw(rows, share).tolist() == [0, 2, 1, 3, 0, 2]
    assert texts.classes_of(np.array([2, 0])).tolist() == [[1, 0, 2], [0, -1, 3]]
    alone = ClipTexts(list("abc"), [[]] * 3, np.array([0, 2, 1]))
    assert not alone.several
    assert alone.draw(np.array([2, 0]), np.array([0.9, 0.1])).tolist() == [1, 0]


def test_shares_select_texts_uniformly():
    """Each text of a class, or of all other classes, has an equal share of [0, 1)."""
    rows, vectors = rows_of_texts()
    for k, (own, others) in enumerate(
        (([4, 3, 2], [1, 4, 0]), ([1], [4, 3, 2, 4, 0]), ([4, 0], [4, 3, 2, 1]))
    ):
        for pick, wanted in ((rows.pick, own), (rows.pick_other, others)):
            share = (np.arange(len(wanted)) + 0.5) / len(wanted)
            found = pick(np.full(len(wanted), k), share)
            np.testing.assert_array_equal(found, vectors[wanted])
            ends = pick(np.array([k, k]), np.array([0, np.nextafter(1, 0)]))
            np.testing.assert_array_equal(ends, vectors[[wanted[0], wanted[-1]]])


def test_texts_without_vectors_are_an_error():
    rows, _ = rows_of_texts()
    assert rows.count.tolist() == [3, 1, 2]
    vectors = CaptionVectors("random", ("0", "mean"), {"a": 0}, np.ones((1, 2), np.float32))
    dataset = SomeDataset({}, vectors)
    with pytest.raises(ValueError, match="'mine' has no vectors for 2 texts, for example 'b'"):
        TextRows.of(dataset, [["a", "b"], ["c"]])
