"""Helpers of the tasks with classes."""

import types

import numpy as np
import pytest
from stand_ins import Predict, SomeDataset, Split, metadata

from motionalign.configs import common
from motionalign.data.dataset import CaptionVectors
from motionalign.tasks import classes
from motionalign.tasks.labels import Labels


def labels(texts="words"):
    config = common.base()
    config.update({"task": "labels", "data": {"texts": texts}})
    return Labels(config)


def dataset(of_records, **more):
    return SomeDataset(Split(of_records), metadata(label_names=("walk", "sit")), **more)


def test_only_records_with_a_class_are_scored():
    some = dataset([1, -1, 0, -1])
    assert classes.known_rows(labels(), some, some.split("test")).tolist() == [0, 2]
    none = dataset([-1, -1])
    with pytest.raises(ValueError, match="data/mine: split 'test' has no labels"):
        classes.known_rows(labels(), none, none.split("test"))


def test_every_class_needs_a_text_and_every_text_a_vector():
    some = dataset([0, 1], texts={"descriptions": {"walk": ["goes"], "sit": ["rests"]}})
    split = some.split("test")
    classes.check_texts(labels("descriptions"), some, split, vectors=False)
    with pytest.raises(ValueError, match="dataset 'mine' has no caption vectors"):
        some.version_dir = types.SimpleNamespace(parents=["", "data"])
        classes.check_texts(labels("descriptions"), some, split, vectors=True)
    some.caption_vectors = CaptionVectors("x", ("0", "mean"), {"goes": 0}, np.ones((1, 2)))
    with pytest.raises(ValueError, match="no vectors for 1 texts, for example 'rests'"):
        classes.check_texts(labels("descriptions"), some, split, vectors=True)
    some.caption_vectors.rows["rests"] = 0
    classes.check_texts(labels("descriptions"), some, split, vectors=True)
    del some.texts["descriptions"]["sit"]
    with pytest.raises(ValueError, match="no descriptions for 1 of 2 classes, for example 'sit'"):
        classes.check_texts(labels("descriptions"), some, split, vectors=False)


def test_a_classifier_with_other_classes_is_refused():
    predict = Predict(np.eye(2), class_names=("walk", "sit"))
    classes.check_names(predict, ["walk", "sit"])
    message = r"classifies 2 classes \(walk, sit, .*\), but the dataset has 2 \(sit, walk, .*\)"
    with pytest.raises(ValueError, match=message):
        classes.check_names(predict, ("sit", "walk"))


def test_datasets_must_share_their_classes():
    one, same, other = dataset([0]), dataset([1]), dataset([0], name="yours")
    names = ("walk", "sit")
    assert classes.one_of_names({one: names, same: names}, "labels") == names
    with pytest.raises(ValueError, match="dataset 'yours' has no labels"):
        classes.one_of_names({one: names, other: ()}, "labels")
    with pytest.raises(ValueError, match="a classifier needs datasets with the same classes"):
        classes.one_of_names({one: names, other: names[::-1]}, "labels")


def test_notes_state_how_a_model_was_trained():
    predict = Predict(np.eye(2))
    some = dataset([0])
    expected = "training not recorded; text encoder a stub"
    assert classes.training_note(predict, some) == expected
    predict.trained = {"task": "labels", "loss": "triplet", "texts": "words"}
    expected = "trained on label words, triplet loss; text encoder a stub"
    assert classes.training_note(predict, some) == expected
    predict.trained |= {"texts": "captions", "loss": "contrastive"}
    expected = "trained on captions, contrastive loss; text encoder a stub"
    assert classes.training_note(predict, some) == expected
