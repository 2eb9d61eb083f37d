"""Metrics compared with tables by hand, loops over all orders and scikit-learn; bad input."""

import itertools
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn import metrics as sklearn_metrics

from motionalign import metrics

YES, NO = True, False


@st.composite
def scores_and_relevance(draw):
    """Scores with many ties and at least one relevant item per query."""
    shape = (draw(st.integers(1, 6)), draw(st.integers(1, 7)))
    scores = draw(hnp.arrays(np.float32, shape, elements=st.integers(-3, 3)))
    relevant = draw(hnp.arrays(bool, shape))
    relevant[np.arange(shape[0]), draw(st.integers(0, shape[1] - 1))] = True
    return scores, relevant


def mean_over_orders(scores, value):
    """Mean of value(order) over all orders of items that put no lower score first."""
    orders = [
        order
        for order in itertools.permutations(range(len(scores)))
        if all(scores[a] >= scores[b] for a, b in itertools.pairwise(order))
    ]
    return np.mean([value(order) for order in orders])


def test_ranks_by_hand():
    similarity = np.array(
        [
            [0.9, 0.8, 0.1, 0.0],  # right item first
            [0.9, 0.8, 0.1, 0.0],  # one wrong item above
            [0.5, 0.5, 0.5, 0.0],  # two wrong items tied
            [0.9, 0.8, 0.8, 0.8],  # one wrong above, one wrong tied; the other right is free
            [0.0, 0.0, 0.0, 0.0],  # all tied
        ]
    )
    relevant = np.array(
        [
            [YES, NO, NO, NO],
            [NO, YES, NO, NO],
            [NO, YES, NO, NO],
            [NO, YES, YES, NO],
            [NO, NO, NO, YES],
        ]
    )
    ranks = metrics.retrieval_ranks(similarity, relevant)
    np.testing.assert_array_equal(ranks, [1, 2, 2, 2.5, 2.5])


def test_retrieval_metrics_by_hand():
    # Ranks 1, 2, 4, 12: the right item's score has 0, 1, 3 and 11 wrong ones above it.
    similarity = np.tile(np.arange(12.0)[::-1], (4, 1))
    relevant = np.zeros((4, 12), bool)
    relevant[np.arange(4), [0, 1, 3, 11]] = True
    assert metrics.retrieval_metrics(similarity, relevant) == {
        "R@1": 25.0,
        "R@2": 50.0,
        "R@3": 50.0,
        "R@5": 75.0,
        "R@10": 75.0,
        "MedR": 3.0,
    }


def test_relevant_items_do_not_count_against_each_other():
    similarity = np.array([[3.0, 2.0, 1.0, 0.0]])
    assert metrics.retrieval_ranks(similarity, np.array([[1, 1, 0, 1]])) == 1
    assert metrics.retrieval_ranks(similarity, np.array([[0, 1, 1, 1]])) == 2


def test_a_constant_model_scores_near_chance():
    scores = metrics.retrieval_metrics(np.ones((100, 100), np.float32), np.eye(100, dtype=bool))
    assert scores["R@10"] == 0 and scores["MedR"] == 50.5


@given(scores_and_relevance())
def test_rank_equals_its_definition(case):
    scores, relevant = case
    expected = []
    for row, right in zip(scores, relevant, strict=True):
        best = max(s for s, r in zip(row, right, strict=True) if r)
        wrong = [s for s, r in zip(row, right, strict=True) if not r]
        expected.append(1 + sum(s > best for s in wrong) + 0.5 * sum(s == best for s in wrong))
    np.testing.assert_array_equal(metrics.retrieval_ranks(scores, relevant), expected)


@given(scores_and_relevance(), st.randoms(use_true_random=False))
def test_rank_ignores_the_order_of_the_gallery(case, random):
    scores, relevant = case
    order = list(range(scores.shape[1]))
    random.shuffle(order)
    assert metrics.retrieval_metrics(scores, relevant) == metrics.retrieval_metrics(
        scores[:, order], relevant[:, order]
    )


@given(scores_and_relevance())
def test_rank_depends_only_on_the_order_of_scores(case):
    scores, relevant = case
    np.testing.assert_array_equal(
        metrics.retrieval_ranks(scores, relevant),
        metrics.retrieval_ranks(np.exp(2 * scores.astype(np.float64)) - 7, relevant),
    )


def test_five_thousand_clips_fit_in_memory():
    rng = np.random.default_rng(0)
    similarity = rng.standard_normal((5000, 5000), np.float32)
    relevant = np.eye(5000, dtype=bool)
    tracemalloc.start()
    metrics.retrieval_metrics(similarity, relevant)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 300e6


@pytest.mark.parametrize(
    ("similarity", "relevant", "message"),
    [
        (np.ones(3), np.ones(3, bool), "non-empty matrix"),
        (np.ones((0, 3)), np.ones((0, 3), bool), "non-empty matrix"),
        (np.ones((2, 3)), np.ones((3, 2), bool), r"\(3, 2\), similarity \(2, 3\)"),
        (np.array([[0, np.nan]]), np.ones((1, 2), bool), r"nan at \[0, 1\]"),
        (np.array([[0, np.inf]]), np.ones((1, 2), bool), "finite"),
        (np.ones((2, 2)), np.array([[1, 0], [0, 0]]), "1 of 2 queries have no relevant item"),
        (np.ones((1, 2)), np.array([[0.5, 1]]), "relevant must be bool"),
    ],
)
def test_retrieval_errors(similarity, relevant, message):
    with pytest.raises(ValueError, match=message):
        metrics.retrieval_metrics(similarity, relevant)


def test_ndcg_by_hand():
    scores = np.array([[0.9, 0.5, 0.1], [0.1, 0.5, 0.9]])
    gains = np.array([[3, 0, 2], [1, 0, 0]])
    ideal = 3 + 2 / np.log2(3)
    expected = [
        np.mean([1, 0]),
        np.mean([3 / ideal, 0]),
        np.mean([(3 + 2 / 2) / ideal, 1 / 2]),
        np.mean([(3 + 2 / 2) / ideal, 1 / 2]),  # k beyond the gallery
    ]
    np.testing.assert_allclose(metrics.ndcg_at_k(scores, gains, (1, 2, 3, 9)), expected)


@given(scores_and_relevance(), st.integers(1, 8))
@settings(max_examples=30, deadline=None)
def test_ndcg_is_the_mean_over_orders(case, k):
    scores, gains = case[0][:, :5], case[1][:, :5].astype(float)
    gains[:, 0] += 1  # something to gain in every row
    expected = []
    for row, gain in zip(scores, gains, strict=True):

        def dcg(order, gain=gain):
            return sum(gain[j] / np.log2(i + 2) for i, j in enumerate(order[:k]))

        expected.append(mean_over_orders(row, dcg) / dcg(np.argsort(-gain)))
    np.testing.assert_allclose(metrics.ndcg_at_k(scores, gains, [k]), [np.mean(expected)])


def test_ndcg_of_constant_scores_is_the_random_baseline():
    gains = np.array([[4.0, 1, 0, 0, 2]])
    ideal = 4 + 2 / np.log2(3)
    expected = 1.4 * (1 + 1 / np.log2(3)) / ideal
    np.testing.assert_allclose(metrics.ndcg_at_k(np.zeros((1, 5)), gains, [2]), [expected])


@pytest.mark.parametrize("levels", [3, 10**9], ids=["ties", "no ties"])
def test_ndcg_equals_scikit_learn(levels):
    rng = np.random.default_rng(0)
    scores = rng.integers(0, levels, (40, 30)).astype(float)
    gains = rng.integers(0, 5, (40, 30)).astype(float)
    ks = [1, 2, 5, 10, 29, 30]
    expected = [sklearn_metrics.ndcg_score(gains, scores, k=k) for k in ks]
    np.testing.assert_allclose(metrics.ndcg_at_k(scores, gains, ks), expected, rtol=1e-12)
    alone = [metrics.ndcg_at_k(scores, gains, [k])[0] for k in ks]
    np.testing.assert_allclose(alone, expected, rtol=1e-12)
    without_ties = [sklearn_metrics.ndcg_score(gains, scores, k=k, ignore_ties=True) for k in ks]
    assert np.allclose(expected, without_ties) == (levels > 3)  # the ties of this case matter


@pytest.mark.parametrize(
    ("scores", "gains", "ks", "message"),
    [
        (np.ones((1, 2)), np.ones((2, 1)), [1], "gains has shape"),
        (np.ones((1, 2)), np.array([[-1, 2]]), [1], "negative"),
        (np.ones((1, 2)), np.zeros((1, 2)), [1], "1 of 1 queries have no positive gain"),
        (np.ones((1, 2)), np.array([[1, np.nan]]), [1], "gains must be finite"),
        (np.ones((1, 2)), np.ones((1, 2)), [0], "integers of at least 1"),
        (np.ones((1, 2)), np.ones((1, 2)), 5, "integers of at least 1"),
    ],
)
def test_ndcg_errors(scores, gains, ks, message):
    with pytest.raises(ValueError, match=message):
        metrics.ndcg_at_k(scores, gains, ks)


def test_topk_accuracy_by_hand():
    scores = np.array([[5, 1, 0], [0, 1, 5], [1, 5, 0], [2, 2, 2]])
    labels = np.array([0, 2, 0, 1])  # ranks 1, 1, 2, 2 (two rivals tied)
    np.testing.assert_array_equal(metrics.topk_accuracy(scores, labels, (1, 2)), [50, 100])
    np.testing.assert_array_equal(metrics.topk_accuracy(scores, labels), [50, 100])


def test_topk_accuracy_equals_scikit_learn_without_ties():
    rng = np.random.default_rng(0)
    labels, scores = rng.integers(0, 12, 300), rng.standard_normal((300, 12))
    ks = (1, 3, 5, 11)
    expected = [
        100 * sklearn_metrics.top_k_accuracy_score(labels, scores, k=k, labels=range(12))
        for k in ks
    ]
    np.testing.assert_allclose(metrics.topk_accuracy(scores, labels, ks), expected)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0, 1, 2], "labels must be"),
        ([0.0, 1.0], "integers"),
        ([0, 3], r"0\.\.2; found 0\.\.3"),
        ([-1, 0], r"0\.\.2"),
    ],
)
def test_topk_errors(labels, message):
    with pytest.raises(ValueError, match=message):
        metrics.topk_accuracy(np.ones((2, 3)), np.array(labels))


def test_multilabel_f1_by_hand():
    prob = np.array([[0.9, 0.5, 0.1, 0.2], [0.8, 0.1, 0.2, 0.9], [0.1, 0.7, 0.3, 0.8]])
    target = np.array([[1, 1, 1, 0], [0, 1, 0, 0], [1, 1, 0, 0]])
    scores = metrics.multilabel_f1(prob, target)
    np.testing.assert_allclose(scores["precision"], [1 / 2, 1, 0, 0])
    np.testing.assert_allclose(scores["recall"], [1 / 2, 2 / 3, 0, 0])
    np.testing.assert_allclose(scores["f1"], [1 / 2, 4 / 5, 0, 0])
    np.testing.assert_allclose(metrics.multilabel_f1(prob, target, 0.6)["recall"][1], 1 / 3)


@pytest.mark.parametrize(
    ("prob", "target", "message"),
    [
        (np.ones((2, 3)), np.ones((3, 2)), "target has shape"),
        (np.full((1, 2), np.nan), np.ones((1, 2)), "prob must be finite"),
        (np.ones((1, 2)), np.array([[0.3, 1]]), "target must be bool"),
    ],
)
def test_multilabel_f1_errors(prob, target, message):
    with pytest.raises(ValueError, match=message):
        metrics.multilabel_f1(prob, target)


def multilabel_case(levels):
    """Probabilities [200, 7] with this number of values, and targets of different frequency."""
    rng = np.random.default_rng(0)
    target = rng.random((200, 7)) < [0, 0.01, 0.1, 0.3, 0.6, 0.9, 1]
    prob = rng.integers(0, levels + 1, (200, 7)) / levels
    prob[:, 3] = 0.1  # nothing predicted
    return prob, target


@pytest.mark.parametrize("threshold", [0.3, 0.5])
def test_multilabel_f1_equals_scikit_learn(threshold):
    prob, target = multilabel_case(levels=10)
    expected = sklearn_metrics.precision_recall_fscore_support(
        target, prob >= threshold, zero_division=0
    )
    scores = metrics.multilabel_f1(prob, target, threshold)
    for name, values in zip(("precision", "recall", "f1"), expected):
        np.testing.assert_allclose(scores[name], values, err_msg=name)


def test_average_precision_by_hand():
    scores = np.array([[4, 9, 1], [3, 9, 1], [2, 9, 1], [1, 8, 1]])
    target = np.array([[1, 1, 0], [0, 0, 0], [1, 0, 0], [0, 1, 0]])
    expected = [
        1 / 2 * 1 + 1 / 2 * 2 / 3,  # found at the first place and the third
        1 / 2 * 1 / 3 + 1 / 2 * 2 / 4,  # the first three pass together
        np.nan,  # nothing to find
    ]
    np.testing.assert_allclose(metrics.average_precision(scores, target), expected)


@pytest.mark.parametrize("levels", [4, 10**9], ids=["ties", "no ties"])
def test_average_precision_equals_scikit_learn(levels):
    prob, target = multilabel_case(levels)
    expected = [
        sklearn_metrics.average_precision_score(target[:, a], prob[:, a]) for a in range(1, 7)
    ]
    scores = metrics.average_precision(prob, target)
    assert np.isnan(scores[0])
    np.testing.assert_allclose(scores[1:], expected, rtol=1e-12)
    np.testing.assert_allclose(scores[3], target[:, 3].mean())  # constant scores: the base rate


@pytest.mark.parametrize(
    ("scores", "target", "message"),
    [
        (np.ones((2, 3)), np.ones((3, 2)), "target has shape"),
        (np.full((1, 2), np.inf), np.ones((1, 2)), "scores must be finite"),
        (np.ones((1, 2)), np.array([[2, 1]]), "target must be bool"),
    ],
)
def test_average_precision_errors(scores, target, message):
    with pytest.raises(ValueError, match=message):
        metrics.average_precision(scores, target)


@pytest.mark.parametrize("decimals", [0, 9], ids=["ties", "no ties"])
@pytest.mark.parametrize("k", [1, 5, 40, 99])
def test_best_items_are_those_of_a_stable_sort(decimals, k):
    scores = np.random.default_rng(0).standard_normal((30, 40)).round(decimals)
    expected = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    np.testing.assert_array_equal(metrics.best_items(scores, k), expected)
