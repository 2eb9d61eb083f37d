"""Sentences of motion: lines, edit distances within and between classes, the shown examples."""

import json

import numpy as np
import pytest
from stand_ins import SomeDataset, Split, metadata

from motionalign.models.motion_tokenizer import MotionTokenizerConfig
from motionalign.tasks.tokens import (
    TokenizedSplit,
    chosen_examples,
    class_distances,
    sentence_table,
    tokenizer_config,
)

CODES = np.array(
    [
        [[1, 1, 1, 1], [-1] * 4],
        [[1, 1, 1, 2], [-1] * 4],
        [[3, 3, 3, 3], [3, 3, 3, 3]],
        [[3, 3, 1, 1], [-1] * 4],
    ]
)


def told(labels):
    return TokenizedSplit(
        Split(labels), CODES, np.array([10.0, 20.0, 30.0, 40.004]), np.arange(4.0)
    )


def test_lines():
    dataset = SomeDataset(Split(), metadata(label_names=("wave", "kick")))
    lines = [json.loads(line) for line in told([[0, -1], [1, 0], [-1, -1], [1, -1]]).lines(dataset)]
    assert lines[0] == {
        "id": "clip 0", "split": "test", "frames": 1, "label": "wave",
        "persons": [[1, 1, 1, 1]], "error_mm": 10.0, "pose_mm": 0.0,
    }  # fmt: skip
    assert lines[1]["labels"] == ["kick", "wave"]
    assert lines[2]["persons"] == [[3] * 4, [3] * 4]
    assert "label" not in lines[2] and "labels" not in lines[2]


def test_statistics_of_each_split():
    table = sentence_table([told([0, 0, 1, 1])], 8, ["a note"])
    assert table.rows[0][:5] == ["test", "4", "5", "20", "25.0"]
    assert table.rows[0][5] == "1.5"  # about the root
    assert table.rows[0][7] == "3"  # codes 1, 2 and 3


def test_distances_by_hand():
    """Pairs: 01 differ in 1 of 4, 23 in 6 of 8; 02 and 12 in 8 of 8, 03 in 2 and 13 in 3 of 4."""
    found = class_distances(told([0, 0, 1, 1]).sentences, np.array([[0], [0], [1], [1]]))
    assert found["edit_within"] == pytest.approx((1 / 4 + 6 / 8) / 2)
    assert found["edit_between"] == pytest.approx((1 + 1 + 2 / 4 + 3 / 4) / 4)
    # 1/4 is nearer than all four; 6/8 than two, and equal to one.
    assert found["nearer_within"] == pytest.approx((4 + 2.5) / 8)


@pytest.mark.parametrize(
    "labels", [[-1, -1, -1, -1], [0, 0, 0, 0], [0, 1, 2, 3], [0, -1, -1, 1]], ids=str
)
def test_no_distances_without_pairs_of_both_kinds(labels):
    assert class_distances(told(labels).sentences, np.array(labels)[:, None]) == {}


def test_many_clips_are_sampled():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, (900, 1))
    sentences = np.where(rng.random((900, 6)) < 0.5, labels, rng.integers(0, 9, (900, 6)))
    found = class_distances(sentences, labels)
    assert found["edit_within"] < found["edit_between"]
    assert found["nearer_within"] > 0.6
    assert found == class_distances(sentences, labels)
    shuffled = class_distances(sentences, rng.permutation(labels))
    assert shuffled["nearer_within"] == pytest.approx(0.5, abs=0.02)


def test_examples_are_of_one_action_and_sorted():
    dataset = SomeDataset(Split(), metadata(label_names=("wave", "kick")))
    wave, kick = chosen_examples(told([0, 0, 1, 0]), dataset, 5)
    assert (wave.title, kick.title) == ("wave", "kick")
    assert sorted(wave.rows) == [0, 1, 3] and kick.rows.tolist() == [2]
    assert wave.rows[0] == 0  # 2 and 3 are further from all
    assert wave.distances.tolist() == [0, 0.25, 0.5]
    assert [e.rows.tolist() for e in chosen_examples(told([-1] * 4), dataset, 2)] == [[0], [3]]


def test_the_tokenizer_of_a_model():
    config = object.__new__(MotionTokenizerConfig)
    assert tokenizer_config(config) is config
