"""Attributes: hand-worked results, comparison with scikit-learn and loops, tables, bad input."""

import json
import re

import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics
from stand_ins import CUT, Predict, SomeDataset, Split, metadata

from motionalign import metrics
from motionalign.configs import common
from motionalign.models.heads import ClassifierConfig
from motionalign.report.tables import format_tables
from motionalign.tasks import attributes

NAMES = ("Female", "Male", "Backpack", "Boots", "Dress")


def classified(num_clips=60, seed=0):
    """Probabilities and targets [N, 5]; Dress does not occur."""
    rng = np.random.default_rng(seed)
    target = rng.random((num_clips, 5)) < [0.4, 0.6, 0.2, 0.1, 0]
    return np.clip(0.4 * target + 0.6 * rng.random(target.shape), 0, 1), target


def sets(num_queries=30, num_clips=70, seed=0):
    """Query and gallery sets, and the scores of two methods, the second close to the gains."""
    rng = np.random.default_rng(seed)
    queries, gallery = (rng.random((n, 5)) < 0.4 for n in (num_queries, num_clips))
    queries[:, 0] = True  # every query shares an attribute with some clip
    noise = rng.standard_normal((2, num_queries, num_clips))
    return (
        queries,
        gallery,
        {"noise": noise[0], "good": attributes.gains(queries, gallery) + noise[1]},
    )


# Classification ----------------------------------------------------------------------------------


def test_classification_by_hand():
    prob = np.array([[0.9, 0.2], [0.5, 0.1], [0.4, 0.6], [0.1, 0.3]])
    target = np.array([[1, 0], [0, 0], [1, 0], [0, 0]])
    results = attributes.classification(prob, target, ["bag", "dress"])
    bag = {"precision": 0.5, "recall": 0.5, "f1": 0.5, "ap": 5 / 6, "base_rate": 0.5}
    assert results["attributes"]["bag"] == pytest.approx(bag)
    assert results["attributes"]["dress"]["ap"] is None
    assert results["attributes"]["dress"]["base_rate"] == 0
    assert results["macro"] == pytest.approx(bag)  # dress does not occur
    assert (results["occurring"], results["clips"], results["threshold"]) == (1, 4, 0.5)


def test_classification_equals_scikit_learn():
    prob, target = classified()
    results = attributes.classification(prob, target, NAMES, threshold=0.6)
    expected = sklearn_metrics.f1_score(target, prob >= 0.6, average=None, zero_division=0)
    found = [results["attributes"][name]["f1"] for name in NAMES]
    np.testing.assert_allclose(found, expected)
    ap = sklearn_metrics.average_precision_score(target[:, :4], prob[:, :4], average="macro")
    assert results["macro"]["ap"] == pytest.approx(ap)
    assert results["macro"]["f1"] == pytest.approx(expected[:4].mean())
    assert json.loads(json.dumps(results, allow_nan=False)) == results


def test_no_attribute_occurs():
    results = attributes.classification(np.ones((3, 5)), np.zeros((3, 5)), NAMES)
    assert results["occurring"] == 0 and set(results["macro"].values()) == {None}
    assert "| -" in attributes.classification_table(results).markdown()


@pytest.mark.parametrize(
    ("names", "message"),
    [(NAMES[:4], "5 attributes; found 4 names"), (["a"] * 5, "found 5 names, 1 of them distinct")],
)
def test_names_must_fit(names, message):
    with pytest.raises(ValueError, match=message):
        attributes.classification(*classified(), names)
    queries, gallery, methods = sets()
    with pytest.raises(ValueError, match=message):
        attributes.retrieval(queries, gallery, names, methods)


def test_classification_table():
    results = attributes.classification(*classified(), NAMES, threshold=0.6)
    lines = attributes.classification_table(results).markdown().splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[:8]]
    assert rows[0] == ["attribute", "F1", "precision", "recall", "AP", "base rate"]
    assert len({len(line) for line in lines[:8]}) == 1
    f1 = [float(row[1]) for row in rows[2:7]]
    assert f1 == sorted(f1, reverse=True) and f1[0] > f1[-1]
    assert {row[0] for row in rows[2:7]} == set(NAMES)
    assert rows[6] == ["Dress", "0.000", "0.000", "0.000", "-", "0.000"]
    assert rows[7][:2] == ["mean", f"{results['macro']['f1']:.3f}"]
    assert "60 clips; predicted positive at 0.6 or above" in lines[-1]
    assert "4 of 5 attributes that occur" in lines[-1]


# Retrieval ---------------------------------------------------------------------------------------


def test_gains_count_shared_attributes():
    queries = np.array([[1, 1, 0], [0, 0, 0]])
    gallery = np.array([[1, 1, 1], [0, 1, 0], [0, 0, 1]], bool)
    np.testing.assert_array_equal(attributes.gains(queries, gallery), [[2, 1, 0], [0, 0, 0]])


def test_retrieval_by_hand():
    names = ["bag", "hat", "boots"]
    queries = np.array([[1, 1, 0], [0, 1, 0], [0, 0, 1]], bool)
    gallery = np.array([[1, 0, 0], [1, 1, 0], [0, 0, 0]], bool)  # nobody wears boots
    scores = np.array([[3, 2, 1], [1, 2, 3], [9, 9, 9]])
    results = attributes.retrieval(queries, gallery, names, {"ours": scores}, [1, 2, 3, 4], 2)
    assert (results["queries"], results["left_out"], results["gallery"]) == (2, 1, 3)
    assert results["ks"] == [1, 2, 3]  # 4 is beyond the gallery
    second = 1 / np.log2(3)
    # Gains in the order of the scores: 1, 2, 0 and 0, 1, 0.
    expected = [(1 / 2 + 0) / 2, ((1 + 2 * second) / (2 + second) + second) / 2]
    np.testing.assert_allclose(results["ndcg"]["ours"][:2], expected)
    # Chance: the mean gain (1 and 1/3) at every rank.
    chance = [(1 / 2 + 1 / 3) / 2, ((1 + second) / (2 + second) + (1 + second) / 3) / 2]
    np.testing.assert_allclose(results["random"][:2], chance)
    assert results["per_attribute"] == {
        "bag": {
            "queries": 1,
            "ours": pytest.approx(1),
            "random": pytest.approx(2 / 3),
        },
        "hat": {
            "queries": 2,
            "ours": pytest.approx(second),
            "random": pytest.approx((1 + second) / 3),
        },
    }
    assert results["attributes_left_out"] == ["boots"]
    assert json.loads(json.dumps(results, allow_nan=False)) == results


def test_retrieval_equals_scikit_learn_in_any_block_size(monkeypatch):
    queries, gallery, methods = sets()
    results = attributes.retrieval(queries, gallery, NAMES, methods)
    assert results["ks"] == list(range(1, 51)) and results["left_out"] == 0
    gains = queries.astype(int) @ gallery.T.astype(int)
    for k in (1, 5, 50):
        for method, scores in methods.items():
            expected = sklearn_metrics.ndcg_score(gains, scores, k=k)
            assert results["ndcg"][method][k - 1] == pytest.approx(expected)
        expected = sklearn_metrics.ndcg_score(gains, np.zeros(gains.shape), k=k)
        assert results["random"][k - 1] == pytest.approx(expected)
    for a, name in enumerate(NAMES):
        has = queries[:, a]
        single = np.tile(gallery[:, a].astype(int), (has.sum(), 1))
        row = results["per_attribute"][name]
        assert row["queries"] == has.sum()
        expected = sklearn_metrics.ndcg_score(single, methods["good"][has], k=5)
        assert row["good"] == pytest.approx(expected)
        expected = sklearn_metrics.ndcg_score(single, np.zeros(single.shape), k=5)
        assert row["random"] == pytest.approx(expected)
    monkeypatch.setattr(attributes, "_BLOCK", 4 * len(gallery))
    blocked = attributes.retrieval(queries, gallery, NAMES, methods)
    np.testing.assert_allclose(blocked["ndcg"]["good"], results["ndcg"]["good"])
    assert blocked["per_attribute"]["Male"] == pytest.approx(results["per_attribute"]["Male"])


def test_chance_is_the_mean_of_many_draws():
    queries, gallery, _ = sets()
    rng = np.random.default_rng(1)
    draws = [rng.random((len(queries), len(gallery))) for _ in range(100)]
    gains = attributes.gains(queries, gallery)
    mean = np.mean([metrics.ndcg_at_k(draw, gains, [5])[0] for draw in draws])
    results = attributes.retrieval(queries, gallery, NAMES, {"one draw": draws[0]})
    assert results["random"][4] == pytest.approx(mean, abs=0.01)


def test_a_perfect_method_scores_one_and_a_good_one_beats_chance():
    queries, gallery, methods = sets()
    methods["perfect"] = attributes.gains(queries, gallery)
    curves = attributes.retrieval(queries, gallery, NAMES, methods)["ndcg"]
    np.testing.assert_allclose(curves["perfect"], 1)
    assert curves["good"][4] > curves["noise"][4] + 0.05


def test_a_small_gallery_limits_every_k():
    queries, gallery, methods = sets(num_clips=3)
    gallery[0] = True
    results = attributes.retrieval(queries, gallery, NAMES, methods)
    assert results["ks"] == [1, 2, 3] and results["attribute_k"] == 3
    assert "NDCG@3; gain 1" in format_tables(attributes.retrieval_tables(results))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"query_sets": np.ones(3)}, "query_sets must be a non-empty matrix"),
        ({"gallery_sets": np.full((70, 5), 0.5)}, "gallery_sets must be bool"),
        ({"gallery_sets": np.ones((70, 4))}, "query_sets has 5 attributes, gallery_sets 4"),
        ({"scores_by_method": {}}, "one or more methods"),
        ({"scores_by_method": {"random": np.ones((30, 70))}}, 'none of them called "queries"'),
        ({"scores_by_method": {"a": np.ones((70, 30))}}, r"a must be \[30 queries, 70 clips\]"),
        ({"scores_by_method": {"a": np.full((30, 70), np.nan)}}, "finite"),
        ({"ks": [71, 100]}, r"none of the cut-offs \[71, 100\] is within a gallery of 70"),
        ({"ks": [0, 1]}, "integers of at least 1"),
        ({"gallery_sets": np.zeros((70, 5))}, "no query shares an attribute"),
    ],
)
def test_retrieval_errors(change, message):
    queries, gallery, methods = sets()
    arguments = {"query_sets": queries, "gallery_sets": gallery, "scores_by_method": methods}
    with pytest.raises(ValueError, match=message):
        attributes.retrieval(**arguments | {"names": NAMES} | change)


def test_retrieval_tables():
    queries, gallery, methods = sets()
    queries[3] = [False, False, False, False, True]
    gallery[:, 4] = False
    results = attributes.retrieval(queries, gallery, NAMES, {"good": methods["good"], **methods})
    text = format_tables(attributes.retrieval_tables(results))
    lines = text.splitlines()
    assert [cell.strip() for cell in lines[0].strip("|").split("|")] == [
        "method",
        *(f"NDCG@{k}" for k in (1, 5, 10, 20, 50)),
    ]
    table = [line.strip("|").replace(" ", "").split("|") for line in lines if line[:1] == "|"]
    assert [row[0] for row in table[2:5]] == ["good", "noise", "random"]
    assert table[2][5] == f"{results['ndcg']['good'][49]:.3f}"
    assert table[4][1] == f"{results['random'][0]:.3f}"
    assert table[5] == ["attribute", "queries", "good", "noise", "random"]
    first = [float(row[2]) for row in table[7:]]
    assert len(first) == 4 and first == sorted(first, reverse=True)
    assert "29 queries, 70 clips" in text
    assert "left out: 1 queries" in text
    assert "no clip has them: Dress" in text


# The task ----------------------------------------------------------------------------------------

OF_PEOPLE = {"attribute_names": ("female", "bag"), "attribute_opposites": {"female": "male"}}
SETS = np.array([[0.9, 0.1], [0.2, 0.8], [0.7, 0.9], [0.1, 0.0], [0.8, 0.3]])
WORDS = ["female", "female, bag", "male", "male, bag"]  # the words of these sets, sorted


def scored(texts="words", **more):
    """(task, predictor, dataset) of five people; every clip has the embedding of its words."""
    config = common.base()
    config.update({"task": "attributes", "data": {"texts": texts}})
    kinds = {"descriptions": {name: [f"somebody {name}", f"a {name}"] for name in WORDS}}
    dataset = SomeDataset(Split(attributes=SETS), metadata(**OF_PEOPLE), texts=kinds)
    places = dict(zip(WORDS, np.eye(4)))
    clips = np.array([places[WORDS[k]] for k in (0, 3, 1, 2, 0)])
    said = places | {text: places[k] for k, of in kinds["descriptions"].items() for text in of}
    return attributes.Attributes(config), Predict(clips, said, **more), dataset


def test_every_clip_has_the_texts_of_its_set():
    task, _, dataset = scored("descriptions")
    split = dataset.split("test")
    texts = task.texts(dataset, split)
    assert texts.names == WORDS
    assert texts.texts[3] == ["somebody male, bag", "a male, bag"]
    assert texts.class_of.tolist() == task.class_of(dataset, split).tolist() == [0, 3, 1, 2, 0]
    targets = task.targets(dataset, split)
    np.testing.assert_array_equal(targets, SETS > 0.5)
    assert targets.dtype == np.float32
    assert task.classes([dataset]) == ClassifierConfig(("female", "bag"), exclusive=False)
    assert task.text_kind == "descriptions"
    task.check(dataset, "test", compares=True, vectors=False)
    del dataset.texts["descriptions"]["male"]
    task.check(dataset, "test", compares=False, vectors=False)
    with pytest.raises(ValueError, match="no descriptions for 1 of 4 classes, for example 'male'"):
        task.check(dataset, "test", compares=True, vectors=False)
    dataset.split_of.attributes = 0 * SETS
    with pytest.raises(ValueError, match="no clip of split 'test' has any attribute"):
        task.check(dataset, "test", compares=False, vectors=False)


@pytest.mark.parametrize("texts", ["words", "descriptions"])
def test_validation_is_retrieval_by_the_words_of_sets(texts):
    task, predict, dataset = scored(texts)
    score, scalars = task.validate(predict, dataset, "test")
    sets = dataset.metadata.positive(SETS)
    first = [0, 2, 3, 1]  # a clip of each set, in the order of their words
    scores = -np.linalg.norm(np.eye(4)[:, None] - predict.clips, axis=-1)
    curve = attributes.ndcg_curve(sets[first], sets, scores)
    assert score == pytest.approx(100 * curve.mean())
    assert scalars == {"ndcg@1": 100, "ndcg@5": pytest.approx(100 * curve[4])}
    predict.clips[0, 0] = np.nan
    score, scalars = task.validate(predict, dataset, "test")
    assert np.isnan(score) and scalars == {}


@pytest.mark.parametrize("class_names", [(), ("female", "bag")])
def test_what_is_cut_and_how_clips_are_read_is_in_results_table_and_page(tmp_path, class_names):
    task, predict, dataset = scored(class_names=class_names)
    if class_names:
        predict.clips = 8 * (SETS - 0.5)
    predict.cut, predict.about = (CUT,), {"input": "clips are read as others"}
    results = task.evaluate(predict, dataset, "test")
    assert results.scores["cut"] == {"clips": CUT.to_json()}
    assert results.scores["input"] == "clips are read as others"
    assert results.tables[-1].notes[-2:] == ["clips are read as others", CUT.note]
    page = results.page(tmp_path).read_text("utf-8")
    assert "2 of 9 clips are longer than 4 frames" in page
    assert "clips are read as others" in page


def test_results_of_retrieval():
    task, predict, dataset = scored()
    results = task.evaluate(predict, dataset, "test")
    assert list(results.scores) == ["task", "distance", "retrieval", "table"]
    retrieval = results.scores["retrieval"]
    assert (retrieval["queries"], retrieval["gallery"]) == (4, 5)
    assert list(retrieval["ndcg"]) == ["cosine", "euclidean"]
    assert set(retrieval["per_attribute"]) == {"female", "bag", "male"}
    score, _ = task.validate(predict, dataset, "test")
    assert 100 * np.mean(retrieval["ndcg"]["euclidean"]) == pytest.approx(score)
    assert format_tables(results.tables) == results.scores["table"]
    assert results.tables[1].notes[-1] == (
        "queries are label words; training not recorded; text encoder a stub"
    )
    assert list(results.pictures) == ["ndcg", "attribute-ndcg"]


def test_pages(tmp_path):
    task, predict, dataset = scored()
    page = task.evaluate(predict, dataset, "test").page(tmp_path).read_text("utf-8")
    assert set(re.findall("<q>(.*?)</q>", page)) == set(WORDS)
    # Two clips have all attributes of "female"; the other hits share nothing, or one of two.
    assert page.count("2 of 5 hits have all attributes") == 1
    assert page.count("1 of 5 hits have all attributes") == 2
    assert "Scores are Euclidean distances with a minus sign." in page
    task, predict, dataset = scored(class_names=("female", "bag"))
    predict.clips = 8 * (SETS - 0.5)
    page = task.evaluate(predict, dataset, "test").page(tmp_path).read_text("utf-8")
    assert re.findall("<strong>(.*?)</strong>", page) == ["female", "bag"]
    assert "2 of 5 have it · AP 1.00, base rate 0.40" in page


def test_records_of_every_query_and_clip_by_hand():
    task, predict, dataset = scored()
    records = task.evaluate(predict, dataset, "test").records["per_query"]
    assert records.head[:6] == ["query", "attributes", "id_1", "score_1", "shared_1", "id_2"]
    assert [row[:2] for row in records.rows] == [
        ["female", 1], ["female, bag", 2], ["male", 1], ["male, bag", 2],
    ]  # fmt: skip
    far = -1.41421
    assert records.rows[1][2:] == [
        "clip 2", 0, 2, "clip 0", far, 1, "clip 1", far, 1, "clip 3", far, 0, "clip 4", far, 1,
    ]  # fmt: skip

    task, predict, dataset = scored(class_names=("female", "bag"))
    predict.clips = 8 * (SETS - 0.5)
    results = task.evaluate(predict, dataset, "test")
    records = results.records["per_clip"]
    assert records.head == ["id", "score female", "target female", "score bag", "target bag"]
    assert records.rows[0] == ["clip 0", pytest.approx(0.960834), 1, pytest.approx(0.0391657), 0]
    assert [row[2::2] for row in records.rows] == (SETS > 0.5).astype(int).tolist()
    assert results.scalars["ap"] == 100 and results.scalars.keys() == {
        "precision", "recall", "f1", "ap", "base_rate",
    }  # fmt: skip


def test_scalars_of_retrieval():
    task, predict, dataset = scored()
    results = task.evaluate(predict, dataset, "test")
    curves = results.scores["retrieval"]
    assert results.scalars == {
        f"{method}/ndcg@{k}": pytest.approx(100 * curve[k - 1])
        for method, curve in {**curves["ndcg"], "random": curves["random"]}.items()
        for k in (1, 5)
    }


def test_the_seed_draws_one_of_several_texts_of_a_set():
    task, predict, dataset = scored("descriptions")
    asked = []
    predict.texts = lambda dataset, texts, name="": asked.append(texts) or np.eye(4)
    for _ in range(2):
        task.evaluate(predict, dataset, "test")
    assert asked[0] == asked[1]
    assert all(text in dataset.texts["descriptions"][name] for text, name in zip(asked[0], WORDS))


def test_results_of_a_classifier():
    task, predict, dataset = scored(class_names=("female", "bag"))
    predict.clips = 8 * (SETS - 0.5)
    score, scalars = task.validate(predict, dataset, "test")
    assert score == scalars["ap"] == 100
    assert scalars.keys() == {"precision", "recall", "f1", "ap", "base_rate"}
    results = task.evaluate(predict, dataset, "test")
    assert list(results.scores) == ["task", "classification", "table"]
    found = results.scores["classification"]
    expected = attributes.classification(predict.probabilities(predict.clips), SETS > 0.5,
                                         ["female", "bag"])  # fmt: skip
    assert found["macro"] == pytest.approx(expected["macro"])
    assert list(results.pictures) == ["attributes"]


def test_a_classifier_with_the_attributes_in_another_order():
    """Its columns are found by name, for the scores and for every clip."""
    task, predict, dataset = scored(class_names=("female", "bag"))
    predict.clips = np.random.default_rng(0).normal(size=SETS.shape)
    expected = task.evaluate(predict, dataset, "test")
    predict.class_names, predict.clips = ("bag", "female"), predict.clips[:, ::-1]
    found = task.evaluate(predict, dataset, "test")
    assert found.scores == expected.scores
    assert found.records == expected.records
    assert task.validate(predict, dataset, "test")[0] == pytest.approx(
        100 * expected.scores["classification"]["macro"]["ap"]
    )


def test_a_published_classifier_without_attribute_names():
    task, predict, dataset = scored(class_names=("0", "1"), knows_names=False)
    predict.clips = 8 * (SETS - 0.5)
    assert task.validate(predict, dataset, "test")[0] == 100
    predict.knows_names = True
    with pytest.raises(ValueError, match="the model classifies 2 classes"):
        task.validate(predict, dataset, "test")
    predict.knows_names, predict.class_names = False, ("0", "1", "2")
    predict.clips = np.zeros((5, 3))
    with pytest.raises(ValueError, match="the model classifies 3 classes"):
        task.validate(predict, dataset, "test")
