"""Metrics of retrieval and recognition: pure NumPy on a score matrix, without loops over queries.

Ties are never broken by position: a tie counts as the mean over its orders (half of the tied wrong
items in a rank, the mean gain in NDCG), so a model with constant scores does not exceed chance.

Sentences of tokens are compared by edit distance.
"""

from collections.abc import Sequence

import numpy as np

RECALLS = (1, 2, 3, 5, 10)

_CELLS = 2**22  # of the tables of all pairs of sentences that are computed at once


def best_items(scores: np.ndarray, k: int) -> np.ndarray:
    """The k items that score highest for every query, the best first.

    Args:
      scores: [Q, G], higher is better; of tied items the first come first.
      k: at least 1; all G where there are fewer.

    Returns:
      [Q, min(k, G)] indices.
    """
    scores = np.asarray(scores)
    k = min(k, scores.shape[1])
    least = np.partition(scores, -k, axis=1)[:, -k]
    best = np.empty((len(scores), k), np.int64)
    for row, (of_query, bound) in enumerate(zip(scores, least)):
        items = np.flatnonzero(of_query >= bound)  # more than k where some are tied
        best[row] = items[np.argsort(-of_query[items], kind="stable")][:k]
    return best


def retrieval_ranks(similarity: np.ndarray, relevant: np.ndarray) -> np.ndarray:
    """Rank of the best relevant item of every query.

    The rank is 1 + the number of wrong items scored above the best relevant item + half of the
    number of wrong items tied with it. Relevant items do not count against each other.

    Args:
      similarity: [Q, G], finite, higher is more similar.
      relevant: [Q, G] bool (or 0/1), True where gallery item g is relevant to query q.

    Returns:
      [Q] float64, starting at 1.

    Raises:
      ValueError: wrong shapes, non-finite scores, or a query without a relevant item.
    """
    similarity = _scores(similarity, "similarity")
    relevant = _binary(relevant, "relevant")
    if relevant.shape != similarity.shape:
        raise ValueError(
            f"relevant has shape {relevant.shape}, similarity {similarity.shape}; "
            "both must be [queries, gallery]"
        )
    orphans = np.flatnonzero(~relevant.any(axis=1))
    if orphans.size:
        raise ValueError(
            f"{orphans.size} of {len(relevant)} queries have no relevant item in the gallery "
            f"(first: row {orphans[0]}); remove such queries"
        )
    best = np.max(similarity, axis=1, keepdims=True, where=relevant, initial=-np.inf)
    wrong = ~relevant
    above = np.count_nonzero((similarity > best) & wrong, axis=1)
    tied = np.count_nonzero((similarity == best) & wrong, axis=1)
    return 1 + above + tied / 2


def retrieval_metrics(similarity: np.ndarray, relevant: np.ndarray) -> dict[str, float]:
    """Recall at 1, 2, 3, 5 and 10 in percent and the median rank (starting at 1).

    The metrics of Motion Patches (§4.1). Ranks, arguments and errors are those of
    `retrieval_ranks`.
    """
    ranks = retrieval_ranks(similarity, relevant)
    recalls = {f"R@{k}": 100 * float(np.mean(ranks <= k)) for k in RECALLS}
    return recalls | {"MedR": float(np.median(ranks))}


def ndcg_at_k(scores: np.ndarray, gains: np.ndarray, ks: Sequence[int]) -> np.ndarray:
    """Normalised discounted cumulative gain at each k, averaged over queries.

    The item at position i (from 1) contributes gain / log2(1 + i); the sum of the first k is
    divided by that of the best possible order of the gallery. Tied items share their mean gain,
    which is the expectation over their orders (McSherry & Najork, ECIR 2008), so constant scores
    give the exact expectation of a random order. If k exceeds the gallery, the complete gallery
    counts.

    Args:
      scores: [Q, G], finite, higher is more similar.
      gains: [Q, G], finite, not negative; every query needs at least one positive gain.
      ks: cut-offs, each at least 1.

    Returns:
      [len(ks)] float64 in 0..1.

    Raises:
      ValueError: wrong shapes, non-finite values, negative gains, a query without positive gain.
    """
    scores = _scores(scores, "scores")
    gains = _scores(gains, "gains")
    if gains.shape != scores.shape:
        raise ValueError(
            f"gains has shape {gains.shape}, scores {scores.shape}; both must be [Q, G]"
        )
    if (gains < 0).any():
        raise ValueError(f"gains must not be negative; found {gains.min()}")
    barren = np.flatnonzero(~gains.any(axis=1))
    if barren.size:
        raise ValueError(
            f"{barren.size} of {len(gains)} queries have no positive gain for any item "
            f"(first: row {barren[0]}), so their NDCG is undefined; remove such queries"
        )
    last = np.minimum(_cutoffs(ks), scores.shape[1]) - 1
    depth = last.max() + 1

    # Only the first `depth` positions count; finding them is much cheaper than a complete sort.
    top = np.argpartition(-scores, depth - 1, axis=1)[:, :depth]
    order = np.argsort(-np.take_along_axis(scores, top, axis=1), axis=1)
    top = np.take_along_axis(top, order, axis=1)
    ranked_scores = np.take_along_axis(scores, top, axis=1)
    ranked = np.take_along_axis(gains, top, axis=1)
    # A new group of ties starts in every row and wherever the score drops.
    new = np.ones(ranked.shape, bool)
    new[:, 1:] = ranked_scores[:, 1:] != ranked_scores[:, :-1]
    group = np.cumsum(new.ravel()) - 1
    mean_gain = np.bincount(group, ranked.ravel()) / np.bincount(group)
    # The last group of a row may extend beyond the last position.
    edge = ranked_scores[:, -1:]
    tied = scores == edge
    edge_gain = np.sum(gains, axis=1, where=tied, keepdims=True) / np.sum(tied, 1, keepdims=True)
    ranked = np.where(ranked_scores == edge, edge_gain, mean_gain[group].reshape(ranked.shape))

    discount = 1 / np.log2(np.arange(2, depth + 2))
    best = -np.sort(np.partition(-gains, depth - 1, axis=1)[:, :depth], axis=1)
    dcg = np.cumsum(ranked * discount, axis=1)[:, last]  # [Q, K]
    ideal = np.cumsum(best * discount, axis=1)[:, last]
    return np.mean(dcg / ideal, axis=0)


def topk_accuracy(scores: np.ndarray, labels: np.ndarray, ks: Sequence[int] = (1, 5)) -> np.ndarray:
    """Percentage of queries whose class is among the k classes with the highest scores.

    Args:
      scores: [Q, C], finite, higher is more likely; ties as in `retrieval_ranks`.
      labels: [Q] integers in 0..C-1; or [Q, m], any of which is right, where -1 is none.
      ks: cut-offs, each at least 1.

    Returns:
      [len(ks)] float64, 0..100.

    Raises:
      ValueError: wrong shapes, non-finite scores, labels out of range.
    """
    scores = _scores(scores, "scores")
    ranks = retrieval_ranks(scores, true_classes(labels, *scores.shape))
    return 100 * np.mean(ranks[:, None] <= _cutoffs(ks), axis=0)


def checked_labels(labels: np.ndarray, num_rows: int, num_classes: int) -> np.ndarray:
    """`labels` as an array [num_rows]; a ValueError unless integers in 0..num_classes-1."""
    labels = np.asarray(labels)
    if labels.shape != (num_rows,) or not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(
            f"labels must be [{num_rows}] integers, one per row of scores; "
            f"found {labels.dtype} {labels.shape}"
        )
    if num_rows and (labels.min() < 0 or labels.max() >= num_classes):
        raise ValueError(
            f"labels must be in 0..{num_classes - 1}; found {labels.min()}..{labels.max()}"
        )
    return labels


def true_classes(labels: np.ndarray, num_rows: int, num_classes: int) -> np.ndarray:
    """The true classes of every row as bool [num_rows, num_classes].

    Args:
      labels: [num_rows] integers in 0..num_classes-1, one class a row; or [num_rows, m], where -1
        is none.
      num_rows, num_classes: the shape of the result.

    Raises:
      ValueError: another shape or dtype, a class out of range, or a row without a class.
    """
    labels = np.asarray(labels)
    if labels.ndim != 2:
        return checked_labels(labels, num_rows, num_classes)[:, None] == np.arange(num_classes)
    has = labels >= 0
    if len(labels) == num_rows and not has.any(axis=1).all():
        raise ValueError(f"row {int(np.argmin(has.any(axis=1)))} of labels has no class")
    given = checked_labels(labels[has], int(has.sum()), num_classes)
    if len(labels) != num_rows:
        raise ValueError(
            f"labels has {len(labels)} rows; expected {num_rows}, one per row of scores"
        )
    true = np.zeros((num_rows, num_classes), bool)
    true[np.nonzero(has)[0], given] = True
    return true


def confusion_counts(true: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Counts of clips by true and predicted class, [K, K] int64: row = true, column = predicted.

    A clip of several classes counts in the row of each of them: on the diagonal if any of them is
    predicted, otherwise in the column of the predicted class.

    Args:
      true: [N, K] bool, as from `true_classes`.
      predicted: [N] indices of the predicted classes.
    """
    num_classes = true.shape[1]
    clip, row = np.nonzero(true)
    right = true[clip, predicted[clip]]
    column = np.where(right, row, predicted[clip])
    cells = np.bincount(row * num_classes + column, minlength=num_classes**2)
    return cells.reshape(num_classes, num_classes)


def multilabel_f1(
    prob: np.ndarray, target: np.ndarray, threshold: float = 0.5
) -> dict[str, np.ndarray]:
    """Precision, recall and F1 of every attribute.

    Args:
      prob: [N, A] finite; values of `threshold` or above are predicted positive.
      target: [N, A] bool (or 0/1).
      threshold: decision threshold.

    Returns:
      {"precision", "recall", "f1"}, each [A] float64 in 0..1; 0 where the denominator is 0.

    Raises:
      ValueError: wrong shapes, non-finite probabilities, targets that are not 0 or 1.
    """
    prob, target = _scores(prob, "prob"), _binary(target, "target")
    if target.shape != prob.shape:
        raise ValueError(f"target has shape {target.shape}, prob {prob.shape}; both must be [N, A]")
    predicted = prob >= threshold
    hits = np.count_nonzero(predicted & target, axis=0)
    positives = np.count_nonzero(predicted, axis=0)
    true = np.count_nonzero(target, axis=0)
    return {
        "precision": hits / np.maximum(positives, 1),
        "recall": hits / np.maximum(true, 1),
        "f1": 2 * hits / np.maximum(positives + true, 1),
    }


def average_precision(scores: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Average precision of every attribute: area under the step-wise precision-recall curve.

    For each positive, the precision is computed among all items with the same or a higher score;
    the result is the mean over positives. Tied clips pass a threshold together, so their order does
    not matter. Equals scikit-learn's `average_precision_score`.

    Args:
      scores: [N, A] finite, higher is more likely.
      target: [N, A] bool (or 0/1).

    Returns:
      [A] float64 in 0..1; NaN for an attribute without positives, whose curve is undefined.

    Raises:
      ValueError: wrong shapes, non-finite scores, targets that are not 0 or 1.
    """
    scores, target = _scores(scores, "scores"), _binary(target, "target")
    if target.shape != scores.shape:
        raise ValueError(
            f"target has shape {target.shape}, scores {scores.shape}; both must be [N, A]"
        )
    order = np.argsort(-scores, axis=0)
    ranked = np.take_along_axis(scores, order, axis=0)
    hits = np.take_along_axis(target, order, axis=0)
    # The last row of each item's group of equal scores, propagated upwards.
    ends = np.broadcast_to(np.arange(len(scores))[:, None], scores.shape).copy()
    ends[:-1][ranked[:-1] == ranked[1:]] = len(scores)
    ends = np.minimum.accumulate(ends[::-1], axis=0)[::-1]
    precision = np.take_along_axis(np.cumsum(hits, axis=0), ends, axis=0) / (ends + 1)
    positives = np.count_nonzero(hits, axis=0)
    return np.sum(precision * hits, axis=0) / np.where(positives, positives, np.nan)


def edit_distances(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Levenshtein distance of P pairs of sentences, by dynamic programming over all pairs at once.

    The distance is the smallest number of tokens to insert, delete or replace that makes one
    sentence the other.

    Args:
      first: [P, L] int, the tokens, at least 0, followed by -1.
      second: [P, M] int, the same.

    Returns:
      [P] int32.
    """
    first, second = np.asarray(first), np.asarray(second)
    step = max(1, _CELLS // (second.shape[1] + 1))
    parts = [
        _edit_distances(first[start : start + step], second[start : start + step])
        for start in range(0, len(first), step)
    ]
    return np.concatenate(parts) if parts else np.zeros(0, np.int32)


def _edit_distances(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    lengths, widths = _sentence_lengths(first), _sentence_lengths(second)
    place = np.arange(second.shape[1] + 1, dtype=np.int32)
    row = np.broadcast_to(place, (len(first), len(place)))  # distances of the empty sentence
    found = row
    for i in range(first.shape[1]):
        best = row + 1  # deleted
        replaced = row[:, :-1] + (first[:, i : i + 1] != second)
        best[:, 1:] = np.minimum(best[:, 1:], replaced)
        # Insertions: the smallest best[k] + (j - k) over k up to j.
        row = np.minimum.accumulate(best - place, axis=1) + place
        found = np.where((lengths == i + 1)[:, None], row, found)
    return found[np.arange(len(first)), widths].astype(np.int32)


def normalised_edit_distances(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """`edit_distances` over the length of the longer sentence: [P] float, 0 (equal) to 1."""
    longest = np.maximum(_sentence_lengths(first), _sentence_lengths(second))
    return edit_distances(first, second) / np.maximum(longest, 1)


def _sentence_lengths(sentences: np.ndarray) -> np.ndarray:
    """[P] numbers of tokens.

    Raises:
      ValueError: a token follows a -1.
    """
    real = np.asarray(sentences) >= 0
    counts = real.sum(axis=1)
    if (real != (np.arange(real.shape[1]) < counts[:, None])).any():
        raise ValueError("-1 must follow the tokens of a sentence, not be between them")
    return counts


def _scores(values: np.ndarray, name: str) -> np.ndarray:
    """`values` as a non-empty, finite 2-D float array (integers become float64)."""
    values = np.asarray(values)
    if not np.issubdtype(values.dtype, np.floating):
        values = values.astype(np.float64)
    if values.ndim != 2 or not values.size:
        raise ValueError(f"{name} must be a non-empty matrix; found shape {values.shape}")
    if not np.isfinite(values).all():
        row, column = np.argwhere(~np.isfinite(values))[0]
        raise ValueError(f"{name} must be finite; found {values[row, column]} at [{row}, {column}]")
    return values


def _binary(values: np.ndarray, name: str) -> np.ndarray:
    """`values` as bool; numbers other than 0 and 1 raise a ValueError."""
    values = np.asarray(values)
    if values.dtype != bool and not np.isin(values, (0, 1)).all():
        raise ValueError(f"{name} must be bool or the numbers 0 and 1")
    return values.astype(bool)


def _cutoffs(ks: Sequence[int]) -> np.ndarray:
    cutoffs = np.asarray(ks)
    if cutoffs.ndim != 1 or not np.issubdtype(cutoffs.dtype, np.integer) or (cutoffs < 1).any():
        raise ValueError(f"ks must be a sequence of integers of at least 1; found {ks}")
    return cutoffs
