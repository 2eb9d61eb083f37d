"""Result pages of the tasks with classes: actions, attributes, and retrieval by attributes."""

import dataclasses
import functools
import html
import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from motionalign.metrics import best_items, confusion_counts, retrieval_ranks, true_classes
from motionalign.report.document import (
    GAP,
    card,
    html_table,
    item,
    plot,
    strip,
    table_of,
    write_document,
)
from motionalign.report.tables import Table
from motionalign.skeleton import Skeleton

SHOWN_CONFUSIONS = 15
WRONG, OF_ONE, RIGHT = 4, 2, 2  # clips drawn per class; OF_ONE: at most so many per confusion
HITS = 5  # clips drawn per attribute or query


@dataclasses.dataclass(frozen=True)
class Clips:
    """The N clips that were scored.

    Attributes:
      ids: IDs of the records.
      joints: index → joints [T, J, C], Y up.
      skeleton: the J joints.
      fps: frames per second.
    """

    ids: Sequence[str]
    joints: Callable[[int], np.ndarray]
    skeleton: Skeleton
    fps: float


def _summary(clips: Clips, count: int, what: str) -> str:
    return f"{len(clips.ids)} clips, {count} {what}, skeleton {clips.skeleton.name}"


def _heading(text: str) -> str:
    return f"<h2>{html.escape(text)}</h2>\n"


# Actions -----------------------------------------------------------------------------------------


def write_label_page(
    folder: str | os.PathLike,
    clips: Clips,
    names: Sequence[str],
    labels: np.ndarray,
    predicted: np.ndarray,
    scores: np.ndarray,
    *,
    unit: str,
    tables: Sequence[Table],
    confusion: np.ndarray,
    count: int,
    title: str,
    seed: int = 0,
) -> Path:
    """Writes `folder/index.html`: accuracy of each action, confusions, and example clips.

    A clip of several actions counts in each of them, as in `metrics.confusion_counts`, and is drawn
    with the names of all.

    Args:
      folder: created if absent.
      clips: the N clips.
      names: names of the K classes.
      labels: [N] index of the true class of each clip, or [N, m] of all of them; -1: none.
      predicted: [N] index of the predicted class.
      scores: [N, K], higher is more similar.
      unit: what the scores are, in the plural ("cosines").
      tables: the results.
      confusion: picture of the confusion matrix [H, W, 3].
      count: number of classes with example clips, those with the lowest accuracy first.
      title: heading of the page.
      seed: seed of the choice of clips.

    Returns:
      The path of the page.
    """
    true = true_classes(labels, len(predicted), len(names))
    counts = confusion_counts(true, predicted)
    occurring = [int(k) for k in np.flatnonzero(counts.sum(axis=1))]
    order = sorted(occurring, key=lambda k: (counts[k, k] / counts[k].sum(), -counts[k].sum()))
    draw = functools.cache(lambda i: strip(clips, i))
    cards = [
        _label_card(k, names, counts, true, predicted, scores, draw, seed) for k in order[:count]
    ]
    shown = f", the {len(cards)} least recognised" if len(cards) < len(order) else ""
    return write_document(
        folder,
        title,
        _summary(clips, len(occurring), "actions"),
        "The clips of each action are sampled with seed "
        f"{seed}. Misclassified clips of the most frequent confusions come first, under the name "
        "of the predicted action; correctly classified clips follow and are marked. Scores are "
        f"{unit}." + (_OF_SEVERAL if (true.sum(axis=1) > 1).any() else ""),
        "".join(map(table_of, tables)),
        _heading("Most frequent confusions") + _confusions(names, counts),
        plot(confusion, "confusion matrix"),
        _heading("All actions") + _actions(names, counts, order),
        _heading(f"Clips of each action{shown}") + "".join(cards) if cards else "",
    )


_OF_SEVERAL = (
    " A clip with several actions is shown under each of them, with the names of all; it is "
    "correct if any of them is predicted."
)


def _confusions(names: Sequence[str], counts: np.ndarray) -> str:
    """The most frequent confusions as a table."""
    wrong = counts * ~np.eye(len(counts), dtype=bool)
    order = np.argsort(-wrong, axis=None, kind="stable")[:SHOWN_CONFUSIONS]
    cells = [divmod(int(cell), len(counts)) for cell in order]
    rows = [
        [names[k], names[j], str(counts[k, j]), f"{100 * counts[k, j] / counts[k].sum():.0f} %"]
        for k, j in cells
        if wrong[k, j]
    ]
    if not rows:
        return "<p>All clips are classified correctly.</p>"
    left = int((wrong > 0).sum()) - len(rows)
    notes = [("", f"{left} rarer confusions are not listed")] if left else []
    head = ["action", "predicted as", "clips", "share of the action's clips"]
    return html_table(head, rows, notes, left=2)


def _actions(names: Sequence[str], counts: np.ndarray, order: Sequence[int]) -> str:
    """All actions in the given order, with their accuracy."""
    rows = []
    for k in order:
        wrong = counts[k] * (np.arange(len(names)) != k)
        most = int(wrong.argmax())
        rival = f"{names[most]} ({wrong[most]})" if wrong.any() else "-"
        share = f"{100 * counts[k, k] / counts[k].sum():.1f}"
        rows.append([names[k], rival, str(counts[k].sum()), str(counts[k, k]), share])
    head = ["action", "most often confused with", "clips", "correct", "top-1"]
    return html_table(head, rows, left=2)


def _label_card(
    k: int,
    names: Sequence[str],
    counts: np.ndarray,
    true: np.ndarray,
    predicted: np.ndarray,
    scores: np.ndarray,
    draw: Callable[[int], str],
    seed: int,
) -> str:
    """An action: clips of its most frequent confusions, and correctly classified clips."""
    own = np.random.default_rng([seed, k]).permutation(np.flatnonzero(true[:, k]))
    right_of = true[own, predicted[own]]
    wrong = _in_turn([int(i) for i in own[~right_of]], predicted, counts[k])
    items = []
    for i in itertools.islice(wrong, WRONG):
        taken = int(predicted[i])
        tag = f"predicted · true action {scores[i, k]:.3f}{_others(names, true[i], k)}"
        items.append(item(False, names[taken], f"{scores[i, taken]:.3f}", tag, draw(i)))
    for i in own[right_of][:RIGHT]:
        taken, tag = int(predicted[i]), f"correct{_others(names, true[i], k)}"
        items.append(item(True, names[taken], f"{scores[i, taken]:.3f}", tag, draw(int(i))))
    right, total = counts[k, k], counts[k].sum()
    kind = "good" if right == total else "near" if 2 * right >= total else "miss"
    asked = f"<strong>{html.escape(names[k])}</strong>"
    return card(asked, f"{right} of {total} recognised", kind, items)


def _others(names: Sequence[str], true: np.ndarray, k: int) -> str:
    """The names of a clip's actions [K] bool besides k, to append to a tag; empty without any."""
    others = [names[j] for j in np.flatnonzero(true) if j != k]
    return f" · also {', '.join(others)}" if others else ""


def _in_turn(clips: Sequence[int], predicted: np.ndarray, counts: np.ndarray) -> Iterator[int]:
    """Yields clips of each predicted class in turn, the most frequent first, OF_ONE at most."""
    piles: dict[int, list[int]] = {}
    for i in clips:
        pile = piles.setdefault(int(predicted[i]), [])
        if len(pile) < OF_ONE:
            pile.append(i)
    order = sorted(piles, key=lambda k: (-counts[k], k))
    while any(piles.values()):
        for k in order:
            if piles[k]:
                yield piles[k].pop(0)


# Attributes --------------------------------------------------------------------------------------


def write_attribute_page(
    folder: str | os.PathLike,
    clips: Clips,
    names: Sequence[str],
    prob: np.ndarray,
    target: np.ndarray,
    ap: Sequence[float | None],
    *,
    tables: Sequence[Table],
    bars: np.ndarray,
    count: int,
    title: str,
) -> Path:
    """Writes `folder/index.html`: the clips with the highest probability of each attribute.

    Args:
      folder: created if absent.
      clips: the N clips.
      names: names of the A attributes.
      prob: [N, A] probabilities.
      target: [N, A] bool.
      ap: [A] average precision; None for an attribute that does not occur.
      tables: the results.
      bars: picture of the results [H, W, 3].
      count: number of attributes with example clips, evenly spread from the lowest AP to the
        highest.
      title: heading of the page.

    Returns:
      The path of the page.
    """
    occurring = sorted((each, a) for a, each in enumerate(ap) if each is not None)
    chosen = _spread(occurring, count)
    draw = functools.cache(lambda i: strip(clips, i))
    cards = [_attribute_card(names[a], prob[:, a], target[:, a], of_a, draw) for of_a, a in chosen]
    shown = f", {len(cards)} of {len(occurring)}" if len(cards) < len(occurring) else ""
    return write_document(
        folder,
        title,
        _summary(clips, len(names), "attributes"),
        "For each attribute, the clips with the highest probability are shown; those that have the "
        "attribute are marked. Attributes are sorted by average precision, the lowest first.",
        "".join(map(table_of, tables)),
        plot(bars, "F1, average precision and base rate of every attribute"),
        _heading(f"Clips of each attribute{shown}") + "".join(cards) if cards else "",
    )


def _spread(values: Sequence[tuple[float, int]], count: int) -> list[tuple[float, int]]:
    """At most `count` of the values, evenly spread from the first to the last."""
    places = np.linspace(0, len(values) - 1, min(count, len(values))).round().astype(int)
    return [values[place] for place in places]


def _attribute_card(
    name: str, prob: np.ndarray, target: np.ndarray, ap: float, draw: Callable[[int], str]
) -> str:
    """An attribute: the top clips, and the best clip that has it if none of the top clips does."""
    best = best_items(prob[None], HITS)[0]
    items = [
        _sure(f"{place}", prob[i], target[i], draw(int(i))) for place, i in enumerate(best, start=1)
    ]
    if not target[best].any():
        first = int(np.argmax(np.where(target, prob, -np.inf)))
        rank = retrieval_ranks(prob[None], target[None])[0]
        items += [GAP, _sure(f"{rank:g}", prob[first], True, draw(first))]
    right, rate = int(target[best].sum()), float(np.mean(target))
    kind = "good" if right == len(best) else "near" if right else "miss"
    verdict = f"{right} of {len(best)} have it · AP {ap:.2f}, base rate {rate:.2f}"
    return card(f"<strong>{html.escape(name)}</strong>", verdict, kind, items)


def _sure(place: str, prob: float, has: bool, drawn: str) -> str:
    return item(bool(has), place, f"{prob:.3f}", "has it" if has else "does not have it", drawn)


# Clips found by attributes -----------------------------------------------------------------------


def write_set_page(
    folder: str | os.PathLike,
    clips: Clips,
    words: Sequence[str],
    queries: Sequence[str],
    scores: np.ndarray,
    shared: np.ndarray,
    sizes: np.ndarray,
    *,
    unit: str,
    tables: Sequence[Table],
    images: Sequence[np.ndarray],
    count: int,
    title: str,
    seed: int = 0,
) -> Path:
    """Writes `folder/index.html`: clips retrieved by the words of attribute sets.

    Args:
      folder: created if absent.
      clips: the N clips.
      words: [N] words of each clip's attributes.
      queries: words of the Q attribute sets.
      scores: [Q, N], higher is more similar.
      shared: [Q, N] number of attributes that query and clip share.
      sizes: [Q] number of attributes of each query.
      unit: what the scores are, in the plural ("cosines").
      tables: the results.
      images: pictures of the results, [H, W, 3] each.
      count: number of example queries.
      title: heading of the page.
      seed: seed of the choice of queries.

    Returns:
      The path of the page.
    """
    draw = functools.cache(lambda i: strip(clips, i))
    chosen = np.random.default_rng(seed).permutation(len(queries))[:count]
    cards = [
        _set_card(queries[q], words, scores[q], shared[q], int(sizes[q]), draw) for q in chosen
    ]
    return write_document(
        folder,
        title,
        _summary(clips, len(queries), "sets of attributes"),
        "Every query consists of the words of an attribute set. Hits that have all attributes of "
        f"the query are marked. The queries are sampled with seed {seed}. Scores are {unit}.",
        "".join(map(table_of, tables)),
        *(plot(image, "NDCG of retrieval by attributes") for image in images),
        _heading("Text to motion") + "".join(cards) if cards else "",
    )


def _set_card(
    query: str,
    words: Sequence[str],
    scores: np.ndarray,
    shared: np.ndarray,
    size: int,
    draw: Callable[[int], str],
) -> str:
    """A query with its best hits."""
    best = best_items(scores[None], HITS)[0]
    items = [
        item(
            shared[i] == size,
            f"{place}",
            f"{scores[i]:.3f}",
            f"{int(shared[i])} of {size} attributes",
            f"{draw(int(i))}<p>{html.escape(words[i])}</p>",
        )
        for place, i in enumerate(best, start=1)
    ]
    full = int((shared[best] == size).sum())
    kind = "good" if full == len(best) else "near" if full else "miss"
    verdict = f"{full} of {len(best)} hits have all attributes"
    return card(f"<q>{html.escape(query)}</q>", verdict, kind, items)
