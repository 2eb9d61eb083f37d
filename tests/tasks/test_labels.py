"""Recognition: hand-worked scores and counts, comparison with scikit-learn, table, bad input."""

import dataclasses
import json
import re

import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics
from stand_ins import CUT, Predict, SomeDataset, Split, metadata

from motionalign.configs import common
from motionalign.inference import similarity
from motionalign.models.heads import ClassifierConfig
from motionalign.tasks.labels import (
    CLASS_SCORES,
    Labels,
    class_scores,
    clip_records,
    confusion,
    one_answer_ceiling,
    recognise,
    recognised,
    recognition_table,
)


def case(num_clips=200, num_classes=6, width=8, seed=0):
    """Scores [N, K] that are correct more often than not, and labels of uneven classes."""
    rng = np.random.default_rng(seed)
    labels = np.minimum(rng.integers(0, num_classes, num_clips), rng.integers(0, 9, num_clips))
    scores = rng.standard_normal((num_clips, num_classes))
    scores[np.arange(num_clips), labels] += 1.5
    return scores, labels


def names(count):
    return [f"class {k}" for k in range(count)]


# Scores ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("distance", similarity.DISTANCES)
def test_class_scores_of_several_texts(distance):
    rng = np.random.default_rng(0)
    motion = rng.standard_normal((5, 4))
    texts = [rng.standard_normal((count, 4)) for count in (3, 1, 2)]
    of_mean = similarity.similarity_scores(
        motion, np.stack([t.mean(axis=0) for t in texts]), distance
    )
    np.testing.assert_allclose(class_scores(motion, texts, distance), of_mean)
    np.testing.assert_allclose(class_scores(motion, texts, distance, "mean_vector"), of_mean)

    of_each = [similarity.similarity_scores(motion, t, distance).mean(axis=1) for t in texts]
    means = class_scores(motion, texts, distance, "mean_score")
    np.testing.assert_allclose(means, np.stack(of_each, axis=1))
    assert not np.allclose(means, of_mean)
    np.testing.assert_allclose(means[:, 1], of_mean[:, 1])  # a class with one text


def test_class_scores_by_hand():
    """Two texts that are far apart: their mean is nearest, but each of them is far away."""
    motion = np.array([[0.0, 1.0]])
    texts = [np.array([[-3.0, 1.0], [3.0, 1.0]]), np.array([[0.0, 3.0]])]
    found = class_scores(motion, texts, "euclidean", "mean_vector")
    np.testing.assert_allclose(found, [[0.0, -2.0]])  # class 0
    found = class_scores(motion, texts, "euclidean", "mean_score")
    np.testing.assert_allclose(found, [[-3.0, -2.0]])  # class 1
    # The mean is of raw vectors, so that a longer vector counts for more: (-3 + 3, 1 + 9) / 2.
    found = class_scores(motion, [np.array([[-3.0, 1.0], [3.0, 9.0]])], "cosine")
    np.testing.assert_allclose(found, [[1.0]])
    with pytest.raises(ValueError, match="unknown scores 'mean'; valid: mean_vector, mean_score"):
        class_scores(motion, texts, "euclidean", "mean")


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ([np.ones((2, 3)), np.ones((0, 3))], "texts of class 1 must be a non-empty matrix"),
        ([np.ones((2, 3)), np.ones((1, 4))], r"same width; found widths \[3, 4\]"),
        ([], "every class needs texts"),
    ],
)
def test_class_score_errors(texts, message):
    with pytest.raises(ValueError, match=message):
        class_scores(np.ones((4, 3)), texts, "cosine")


# Results -----------------------------------------------------------------------------------------


def test_recognise_by_hand():
    scores = np.array(
        [
            [6, 5, 4, 3, 2, 1],  # class 0, first
            [6, 5, 4, 3, 2, 1],  # class 0, first
            [6, 5, 4, 3, 2, 1],  # class 4, fifth
            [6, 5, 4, 3, 2, 1],  # class 5, last
            [6, 6, 0, 0, 0, 0],  # class 1, tied: not first
        ]
    )
    labels = np.array([0, 0, 4, 5, 1])
    results = recognise(scores, labels, list("abcdef"))
    assert results == {
        "top1": pytest.approx(40),
        "top5": pytest.approx(80),
        "top1_per_class": pytest.approx(25),  # a 100; b, e, f 0; c and d do not occur
        "clips": 5,
        "classes": 6,
        "per_class": {
            "a": {"top1": 100.0, "clips": 2},
            "b": {"top1": 0.0, "clips": 1},
            "e": {"top1": 0.0, "clips": 1},
            "f": {"top1": 0.0, "clips": 1},
        },
    }
    json.dumps(results, allow_nan=False)


def test_recognise_equals_scikit_learn():
    scores, labels = case(num_classes=8)
    results = recognise(scores, labels, names(8))
    predicted = scores.argmax(axis=1)
    balanced = sklearn_metrics.balanced_accuracy_score(labels, predicted)
    assert results["top1"] == pytest.approx(100 * np.mean(predicted == labels))
    assert results["top1_per_class"] == pytest.approx(100 * balanced)
    assert results["top1"] != pytest.approx(results["top1_per_class"])


def test_fewer_than_five_classes():
    scores, labels = case(num_classes=3)
    assert recognise(scores, labels, names(3))["top5"] == 100


def test_confusion_by_hand():
    scores = np.array([[3, 2, 1], [1, 2, 3], [1, 3, 2], [2, 2, 1], [2, 2, 1], [1, 1, 1]])
    labels = np.array([0, 0, 1, 0, 1, 0])
    # Clips 3 and 4 are tied between 0 and 1, and each counts as the class it is not.
    expected = [[1, 2, 1], [1, 1, 0], [0, 0, 0]]
    counts = confusion(scores, labels, 3)
    np.testing.assert_array_equal(counts, expected)
    assert np.issubdtype(counts.dtype, np.integer)


@pytest.mark.parametrize("decimals", [0, 9], ids=["ties", "no ties"])
def test_confusion_agrees_with_top1_and_scikit_learn(decimals):
    scores, labels = case()
    scores = scores.round(decimals)
    counts = confusion(scores, labels, 6)
    top1 = recognise(scores, labels, names(6))["top1"]
    assert 100 * np.trace(counts) / counts.sum() == pytest.approx(top1)
    np.testing.assert_array_equal(counts.sum(axis=1), np.bincount(labels, minlength=6))
    if decimals:
        expected = sklearn_metrics.confusion_matrix(labels, scores.argmax(axis=1), labels=range(6))
        np.testing.assert_array_equal(counts, expected)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"names": names(5)}, "6 classes; found 5 names, 5 of them distinct"),
        ({"names": ["same"] * 6}, "found 6 names, 1 of them distinct"),
        ({"labels": np.full(200, 6)}, r"labels must be in 0\.\.5; found 6\.\.6"),
        ({"labels": np.zeros(199, int)}, r"labels must be \[200\] integers"),
        ({"scores": np.full((200, 6), np.nan)}, "scores must be finite"),
    ],
)
def test_recognise_errors(change, message):
    scores, labels = case()
    arguments = {"scores": scores, "labels": labels, "names": names(6)} | change
    with pytest.raises(ValueError, match=message):
        recognise(**arguments)


@pytest.mark.parametrize(
    ("num_classes", "labels", "message"),
    [
        (7, [0, 1], r"scores must be \[N, 7\]; found \(2, 3\)"),
        (3, [0, 3], r"labels must be in 0\.\.2"),
        (3, [0.0, 1.0], "integers"),
    ],
)
def test_confusion_errors(num_classes, labels, message):
    with pytest.raises(ValueError, match=message):
        confusion(np.ones((2, 3)), labels, num_classes)


# The task ----------------------------------------------------------------------------------------

NAMES = ("walk", "sit", "run")


def scored(texts="words", **more):
    """(task, predictor, dataset) of five clips, one of which has no label."""
    config = common.base()
    config.update({"task": "labels", "data": {"texts": texts}})
    kinds = {"descriptions": {"walk": ["goes", "strides"], "sit": ["rests"], "run": ["races"]}}
    split = Split([0, 2, -1, 1, 0])
    dataset = SomeDataset(split, metadata(label_names=NAMES), texts=kinds)
    clips = [[1, 0.1, 0], [0, 0, 1], [9, 9, 9], [0, 1, 0], [0, 1, 0.1]]  # the last one is wrong
    words = ("walk", "sit", "run", "goes", "rests", "races")
    said = dict(zip(words, np.tile(np.eye(3), (2, 1)))) | {"strides": np.array([1, 0, 0.2])}
    return Labels(config), Predict(np.array(clips), said, **more), dataset


def test_every_clip_has_the_texts_of_its_action():
    task, _, dataset = scored("descriptions")
    split = dataset.split("test")
    texts = task.texts(dataset, split)
    assert texts.names == list(NAMES)
    assert texts.texts == [["goes", "strides"], ["rests"], ["races"]]
    assert texts.class_of.tolist() == task.class_of(dataset, split).tolist() == [0, 2, -1, 1, 0]
    targets = task.targets(dataset, split)
    assert (targets.tolist(), targets.dtype) == ([0, 2, -1, 1, 0], np.int32)
    assert task.classes([dataset]) == ClassifierConfig(NAMES, exclusive=True)
    assert task.text_kind == "descriptions"
    task.check(dataset, "test", compares=True, vectors=False)
    del dataset.texts["descriptions"]["run"]
    task.check(dataset, "test", compares=False, vectors=False)  # a classifier needs none
    with pytest.raises(ValueError, match="no descriptions for 1 of 3 classes, for example 'run'"):
        task.check(dataset, "test", compares=True, vectors=False)
    dataset.split_of.labels[:] = -1
    with pytest.raises(ValueError, match="data/mine: split 'test' has no labels"):
        task.check(dataset, "test", compares=False, vectors=False)


def test_validation_is_recognition_by_the_trained_texts():
    for texts in ("words", "descriptions"):
        task, predict, dataset = scored(texts)
        score, scalars = task.validate(predict, dataset, "test")
        assert score == scalars["top1"] == 75
        assert scalars == {"top1": 75, "top5": 100, "top1_per_class": pytest.approx(250 / 3)}
    predict.clips[3, 0] = np.nan
    score, scalars = task.validate(predict, dataset, "test")
    assert np.isnan(score) and scalars == {}
    predict.vectors.pop("rests")
    predict.clips[3, 0] = 0
    with pytest.raises(ValueError, match="no vector of 'rests'"):
        task.validate(predict, dataset, "test")


# Clips of several actions: {walk, run}, {run}, none, {sit, walk}, {run, sit}.
SEVERAL = np.array([[0, 2], [2, -1], [-1, -1], [1, 0], [2, 1]])


def test_clips_of_several_actions_by_hand(tmp_path):
    task, predict, dataset = scored()
    dataset.split_of.all_labels = SEVERAL
    # Predicted: walk, run, -, sit, sit. The last but one becomes wrong: run.
    predict.clips[3], predict.clips[4] = [0.5, 0.6, 1], [0, 1, 0.1]
    score, scalars = task.validate(predict, dataset, "test")
    assert score == scalars["top1"] == 75
    results = task.evaluate(predict, dataset, "test")
    row = results.scores["recognition"]["label words"]
    # {walk, run} is right for both, {run, sit} too; {sit, walk} is wrong for both.
    assert row["per_class"] == {
        "walk": {"top1": 50, "clips": 2},
        "sit": {"top1": 50, "clips": 2},
        "run": {"top1": 100, "clips": 3},
    }
    assert row["top1_per_class"] == pytest.approx(200 / 3)
    assert (row["top1"], row["top5"], row["clips"]) == (75, 100, 4)
    assert "protocol" not in row and "top1_ceiling" not in row
    assert results.tables[0].notes[0] == (
        "3 of 4 clips have several actions; one is recognised if any of them is, and counts in "
        "each of them per class"
    )
    known = np.array([0, 1, 3, 4])
    scores = predict.clips[known]
    expected = [[1, 0, 1], [0, 1, 1], [0, 0, 3]]  # rows: the clips of walk, sit and run
    assert confusion(scores, SEVERAL[known], 3).tolist() == expected
    assert recognised(scores, SEVERAL[known]).tolist() == [0, 2, 2, 1]
    records = results.records["per_clip"]
    own = [dict(zip(records.head, cells)) for cells in records.rows if cells[0] == "label words"]
    assert [(c["id"], c["class"], c["predicted"], c["rank"]) for c in own] == [
        ("clip 0", "walk; run", "walk", 1),
        ("clip 1", "run", "run", 1),
        ("clip 3", "walk; sit", "run", 2),
        ("clip 4", "sit; run", "sit", 1),
    ]
    page = results.page(tmp_path).read_text()
    assert "A clip with several actions is shown under each of them" in page
    assert "<strong>walk</strong>" in page and "1 of 2 recognised" in page
    assert page.count("correct · also run") == 2  # under walk, and under sit
    assert "predicted · true action" in page and " · also sit" in page


def test_ties_with_any_of_several_actions_count_against_them():
    scores = np.array([[1.0, 1.0, 0.0], [1.0, 1.0, 0.0]])
    labels = np.array([[0, 1], [0, 2]])  # tied with each other; tied with another action
    assert recognised(scores, labels).tolist() == [0, 1]
    assert recognise(scores, labels, names(3))["top1"] == 50
    assert confusion(scores, labels, 3).tolist() == [[1, 1, 0], [0, 1, 0], [0, 1, 0]]


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([[0, 1], [-1, -1]], "row 1 of labels has no class"),
        ([[0, 3], [1, -1]], r"labels must be in 0\.\.2; found 0\.\.3"),
        ([[0, 1]], "labels has 1 rows; expected 2"),
        ([[0.0, 1.0], [1.0, 2.0]], "integers"),
    ],
)
def test_errors_of_several_actions(labels, message):
    with pytest.raises(ValueError, match=message):
        recognise(np.ones((2, 3)), np.array(labels), names(3))


def test_one_answer_ceiling_by_hand():
    """Clips by source and seconds: (a, 0-1) is walk, sit and sit; (a, 1-2) walk; (b, 0-1) run."""

    class Records:
        sources = ("a", "a", "a", "a", "b", "a")
        num_frames = np.array([30, 30, 30, 30, 30, 60])
        all_labels = np.array([[0], [1], [1], [0], [2], [1]])

        def __getitem__(self, row):
            assert row < 4  # no other record has an equal clip
            return {"span": np.array([(0, 1), (0, 1), (0, 1), (1, 2)][row], np.float32)}

    assert one_answer_ceiling(Records(), np.arange(6)) == (pytest.approx(500 / 6), 3)
    assert one_answer_ceiling(Records(), np.array([0, 3, 4, 5])) == (100, 0)
    several = Records()
    several.all_labels = np.array([[0, 1], [1, 2], [2, -1], [0, -1], [2, -1], [1, -1]])
    assert one_answer_ceiling(several, np.arange(6)) == (pytest.approx(500 / 6), 3)


def test_the_protocol_is_named():
    task, predict, dataset = scored()
    dataset.metadata = dataclasses.replace(dataset.metadata, protocol="Ours: any action")
    results = task.evaluate(predict, dataset, "test")
    assert {row["protocol"] for row in results.scores["recognition"].values()} == {
        "Ours: any action"
    }
    assert "- Ours: any action" in results.tables[0].markdown()


def test_what_is_cut_and_how_clips_are_read_is_in_results_table_and_page(tmp_path):
    task, predict, dataset = scored()
    predict.cut, predict.about = (CUT,), {"input": "clips are read as others"}
    results = task.evaluate(predict, dataset, "test")
    assert results.scores["cut"] == {"clips": CUT.to_json()}
    assert results.scores["input"] == "clips are read as others"
    assert results.tables[0].notes[-2:] == ["clips are read as others", CUT.note]
    page = results.page(tmp_path).read_text("utf-8")
    assert "2 of 9 clips are longer than 4 frames" in page
    assert "clips are read as others" in page


def test_results_for_every_available_kind_of_text():
    task, predict, dataset = scored()
    results = task.evaluate(predict, dataset, "test")
    assert list(results.scores) == ["task", "distance", "class_scores", "recognition", "table"]
    assert (results.scores["task"], results.scores["distance"]) == ("labels", "euclidean")
    assert list(results.scores["recognition"]) == ["label words", "descriptions"]
    for row in results.scores["recognition"].values():
        assert (row["top1"], row["clips"], row["classes"]) == (75, 4, 3)
    (table,) = results.tables
    assert table.markdown() == results.scores["table"]
    assert list(results.pictures) == ["confusion-words", "confusion-descriptions"]
    for picture in results.pictures.values():
        assert picture.ndim == 3 and picture.dtype == np.uint8
    assert table.notes[0].startswith("unseen synonyms left out: dataset 'mine' has no synonyms")
    assert table.notes[1:] == [
        f"euclidean distance; {CLASS_SCORES['mean_vector']}",
        "training not recorded; text encoder a stub",
    ]


def test_records_of_every_clip_by_hand():
    scores = np.array([[0.5, 0.2, 0.1], [0.4, 0.4, 0.1], [0.1, 0.2, 1 / 3]])
    records = clip_records(["a", "b", "c"], np.array([0, 0, 1]), NAMES, {"label words": scores})
    assert records.head[:7] == ["text", "id", "class", "predicted", "rank", "class_1", "score_1"]
    empty = [""] * 4  # there are three classes
    assert records.rows == [
        ["label words", "a", "walk", "walk", 1, "walk", 0.5, "sit", 0.2, "run", 0.1, *empty],
        # A tie counts as wrong, and as half a rank.
        ["label words", "b", "walk", "sit", 1.5, "walk", 0.4, "sit", 0.4, "run", 0.1, *empty],
        ["label words", "c", "sit", "run", 2, "run", 0.333333, "sit", 0.2, "walk", 0.1, *empty],
    ]


def test_records_and_scalars_agree_with_the_results():
    task, predict, dataset = scored()
    results = task.evaluate(predict, dataset, "test")
    rows = results.records["per_clip"].rows
    assert [row[:2] for row in rows] == [
        [text, f"clip {i}"] for text in ("label words", "descriptions") for i in (0, 1, 3, 4)
    ]
    assert [row[3] for row in rows[:4]] == ["walk", "run", "sit", "sit"]
    assert results.scalars == {
        f"{text}/{name}": row[name]
        for text, row in results.scores["recognition"].items()
        for name in ("top1", "top5", "top1_per_class")
    }


def test_the_page_uses_the_training_texts(tmp_path):
    task, predict, dataset = scored()
    results = task.evaluate(predict, dataset, "test")
    page = results.page(tmp_path).read_text("utf-8")
    assert [path.name for path in tmp_path.iterdir()] == ["index.html"]
    assert "<title>mine: test split, by label words</title>" in page
    assert "4 clips, 3 actions, skeleton smpl22" in page
    assert "Scores are Euclidean distances with a minus sign." in page
    assert re.findall(r"<strong>(.*?)</strong>.*?(\d of \d) recognised", page, re.DOTALL) == [
        ("walk", "1 of 2"), ("sit", "1 of 1"), ("run", "1 of 1"),
    ]  # fmt: skip
    config = common.base()
    config.update({"task": "labels", "eval": {"num_queries": 0}})
    page = Labels(config).evaluate(predict, dataset, "test").page(tmp_path).read_text("utf-8")
    assert "<article>" not in page and "<table" in page


def test_results_without_the_texts_that_were_trained_on():
    """Evaluation always needs the label words, and therefore their vectors."""
    task, predict, dataset = scored("descriptions")
    predict.vectors = {k: v for k, v in predict.vectors.items() if k not in NAMES}
    with pytest.raises(ValueError, match="no vector of 'walk'"):
        task.evaluate(predict, dataset, "test")


def test_results_of_a_classifier():
    task, predict, dataset = scored(class_names=NAMES)
    score, _ = task.validate(predict, dataset, "test")
    results = task.evaluate(predict, dataset, "test")
    assert list(results.scores) == ["task", "recognition", "table"]
    assert list(results.scores["recognition"]) == ["linear classifier"]
    assert results.scores["recognition"]["linear classifier"]["top1"] == score == 75
    assert results.tables[0].notes == []
    assert list(results.pictures) == ["confusion-linear-classifier"]
    predict.class_names = NAMES[::-1]
    with pytest.raises(ValueError, match="the model classifies 3 classes"):
        task.validate(predict, dataset, "test")


# Tables ------------------------------------------------------------------------------------------


def test_table_is_aligned_and_includes_its_notes():
    scores, labels = case()
    results = recognise(scores, labels, names(6))
    rows = {"words": results, "unseen synonyms | ours": results | {"top1": 7.0}}
    table = recognition_table(rows, ["cosine distance", "encoder UAE-Large"]).markdown()
    lines = table.splitlines()
    assert len({len(line) for line in lines[:4]}) == 1
    cells = [[cell.strip() for cell in line.split(" | ")] for line in lines[:4]]
    assert cells[0] == ["| text", "top-1", "top-5", "per-class top-1", "clips", "classes |"]
    assert cells[2][1] == f"{results['top1']:.2f}" and cells[2][4:] == ["200", "6 |"]
    assert cells[3][:2] == [r"| unseen synonyms \| ours", "7.00"]
    assert lines[4:] == ["", "- cosine distance", "- encoder UAE-Large"]
    assert recognition_table(rows).markdown().splitlines() == lines[:4]
