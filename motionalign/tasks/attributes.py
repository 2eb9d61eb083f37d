"""Appearance attributes of clips: multi-label classification, and retrieval by attributes.

Contains the task `attributes` and the metrics of Walk and Text, IV-C: Figure 5 (classification of
each attribute), Figure 6 (NDCG@K of retrieval methods against chance) and Figure 7 (NDCG@5 of each
attribute).
"""

import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from ml_collections import ConfigDict

from motionalign.config import Entry
from motionalign.data import cuts
from motionalign.data.dataset import Dataset
from motionalign.data.records import Split
from motionalign.data.texts import TITLES, ClipTexts, attribute_classes, class_texts
from motionalign.inference import similarity
from motionalign.inference.encoder import Predictor
from motionalign.metrics import average_precision, best_items, multilabel_f1, ndcg_at_k
from motionalign.models.heads import ClassifierConfig
from motionalign.report import plots
from motionalign.report.class_page import write_attribute_page, write_set_page
from motionalign.report.tables import (
    TOP,
    Records,
    Table,
    format_tables,
    number,
    top_cells,
    top_columns,
)
from motionalign.tasks import classes
from motionalign.tasks.task import Results

KS = range(1, 51)

_PRINTED_KS = (1, 5, 10, 20, 50)

# Cells of the score matrix ranked at once: 32 MiB in float64; ranking needs ten times as much.
_BLOCK = 1 << 22


class Attributes:
    """Every clip has a set of attributes.

    The selection score is 100 times the mean AP of a classifier or, without a classifier, 100 times
    the mean NDCG@1..50 of clips retrieved by the words of attribute sets.
    """

    name: ClassVar[str] = "attributes"
    kind: ClassVar[str] = "dual_encoder"
    entry: ClassVar[Entry] = Entry(reads=("data.texts", "eval.num_queries"))
    has_classes: ClassVar[bool] = True
    exclusive: ClassVar[bool | None] = False

    def __init__(self, config: ConfigDict) -> None:
        self._kind = self.text_kind = config.data.texts
        self._seed = config.seed
        self._num_examples = config.eval.num_queries

    def class_of(self, dataset: Dataset, split: Split) -> np.ndarray:
        """[n] index of each record's attribute set."""
        return attribute_classes(dataset.metadata, split)[1]

    def texts(self, dataset: Dataset, split: Split) -> ClipTexts:
        """See `Task.texts`."""
        names, class_of = attribute_classes(dataset.metadata, split)
        return ClipTexts(names, class_texts(dataset, names, self._kind, "appearance"), class_of)

    def targets(self, dataset: Dataset, split: Split) -> np.ndarray:
        """[n, A] float32, 1 where an attribute is present, else 0."""
        return dataset.metadata.present(split.attributes).astype(np.float32)

    def classes(self, datasets: Sequence[Dataset]) -> ClassifierConfig:
        """The attributes; a clip may have any number of them."""
        names = {dataset: dataset.metadata.attribute_names for dataset in datasets}
        known = classes.one_of_names(names, self.name)
        return ClassifierConfig(known, exclusive=bool(self.exclusive))

    def check(self, dataset: Dataset, split_name: str, compares: bool, vectors: bool) -> None:
        """See `Task.check`."""
        split = dataset.split(split_name)
        known = classes.known_rows(self, dataset, split)
        if not dataset.metadata.present(split.attributes[known]).any():
            raise ValueError(
                f"{dataset.version_dir}: no clip of split {split_name!r} has any attribute, so "
                "there is nothing to score"
            )
        if compares:
            classes.check_texts(self, dataset, split, vectors)

    def validate(
        self, predict: Predictor, dataset: Dataset, split_name: str
    ) -> tuple[float, dict[str, float]]:
        """See `Task.validate`."""
        split = dataset.split(split_name)
        known = classes.known_rows(self, dataset, split)
        found = predict.motions(dataset, split, known)
        if not np.isfinite(found).all():
            return math.nan, {}
        if predict.class_names:
            logits = _in_order(predict, dataset, found)
            macro = _classification(predict, dataset, split, known, logits)["macro"]
            return 100 * macro["ap"], {name: 100 * value for name, value in macro.items()}
        first, _, _, queries = self._queries(predict, dataset, split)
        sets = dataset.metadata.positive(split.attributes)
        scores = similarity.similarity_scores(queries, found, predict.distance)
        curve = ndcg_curve(sets[first], sets[known], scores)
        scalars = {f"ndcg@{k}": 100 * float(curve[k - 1]) for k in (1, 5, 50) if k <= len(curve)}
        return 100 * float(np.mean(curve)), scalars

    def evaluate(self, predict: Predictor, dataset: Dataset, split_name: str) -> Results:
        """See `Task.evaluate`."""
        split = dataset.split(split_name)
        known = classes.known_rows(self, dataset, split)
        found = predict.motions(dataset, split, known)
        if predict.class_names:
            logits = _in_order(predict, dataset, found)
            return self._classified(predict, dataset, split, known, logits)
        return self._retrieved(predict, dataset, split, known, found)

    def _classified(
        self,
        predict: Predictor,
        dataset: Dataset,
        split: Split,
        known: np.ndarray,
        logits: np.ndarray,
    ) -> Results:
        """Results of a classifier."""
        scores = _classification(predict, dataset, split, known, logits)
        cut = predict.cuts(dataset, split, known)
        tables = [classification_table(scores, [*predict.about.values(), *cuts.notes(cut)])]
        content = {"task": self.name, "classification": scores, "table": format_tables(tables)}
        content |= predict.about | cuts.to_json(cut)
        bars = plots.attribute_bars(scores)
        names = dataset.metadata.attribute_names
        clips = classes.drawable(dataset, split, known)
        prob = predict.probabilities(logits)
        target = dataset.metadata.present(split.attributes[known])
        page = functools.partial(
            write_attribute_page,
            clips=clips,
            names=names,
            prob=prob,
            target=target,
            ap=[row["ap"] for row in scores["attributes"].values()],
            tables=tables,
            bars=bars,
            count=self._num_examples,
            title=f"{dataset.name}: {split.name} split",
        )
        records = {"per_clip": clip_records(clips.ids, prob, target, names)}
        scalars = {n: 100 * value for n, value in scores["macro"].items() if value is not None}
        return Results(content, tables, {"attributes": bars}, page, records, scalars)

    def _retrieved(
        self,
        predict: Predictor,
        dataset: Dataset,
        split: Split,
        known: np.ndarray,
        found: np.ndarray,
    ) -> Results:
        """Results of retrieving clips by the words of attribute sets."""
        first, words, texts, queries = self._queries(predict, dataset, split)
        cut = predict.cuts(dataset, split, known, texts)
        sets = dataset.metadata.positive(split.attributes)
        by_distance = {
            distance: similarity.similarity_scores(queries, found, distance)
            for distance in similarity.DISTANCES
        }
        scores = retrieval(sets[first], sets[known], dataset.metadata.positive_names, by_distance)
        note = f"queries are {TITLES[self._kind]}; {classes.training_note(predict, dataset)}"
        tables = retrieval_tables(scores, [note, *predict.about.values(), *cuts.notes(cut)])
        content: dict[str, Any] = {"task": self.name, "distance": predict.distance}
        content |= predict.about | cuts.to_json(cut)
        content |= {"retrieval": scores, "table": format_tables(tables)}
        pictures = {
            "ndcg": plots.ndcg_curves(scores),
            "attribute-ndcg": plots.attribute_ndcg(scores),
        }
        clips = classes.drawable(dataset, split, known)
        near, shared = by_distance[predict.distance], gains(sets[first], sets[known])
        sizes = sets[first].sum(axis=1)
        page = functools.partial(
            write_set_page,
            clips=clips,
            words=[dataset.metadata.attribute_words(row) for row in sets[known]],
            queries=words,
            scores=near,
            shared=shared,
            sizes=sizes,
            unit=similarity.UNITS[predict.distance],
            tables=tables,
            images=list(pictures.values()),
            count=self._num_examples,
            title=f"{dataset.name}: {split.name} split",
        )
        records = {"per_query": query_records(words, clips.ids, near, shared, sizes)}
        return Results(content, tables, pictures, page, records, _curve_scalars(scores))

    def _queries(
        self, predict: Predictor, dataset: Dataset, split: Split
    ) -> tuple[np.ndarray, list[str], list[str], np.ndarray]:
        """The queries, one per distinct attribute set: record [Q], name, text and embedding [Q, D].

        The record is the first one with that set. If a set has several texts, one is drawn with the
        run's seed (Walk and Text, IV-C).
        """
        texts = self.texts(dataset, split)
        first = np.array([np.flatnonzero(texts.class_of == k)[0] for k in range(len(texts.names))])
        pick = np.random.default_rng(self._seed).random(len(first))
        chosen = [of_class[int(u * len(of_class))] for of_class, u in zip(texts.texts, pick)]
        return first, texts.names, chosen, predict.texts(dataset, chosen)


def _curve_scalars(scores: Mapping) -> dict[str, float]:
    """NDCG@K of each method and of chance in percent, from the results of `retrieval`."""
    return {
        f"{method}/ndcg@{k}": 100 * value
        for method, curve in {**scores["ndcg"], "random": scores["random"]}.items()
        for k, value in zip(scores["ks"], curve, strict=True)
        if k in _PRINTED_KS
    }


def _in_order(predict: Predictor, dataset: Dataset, logits: np.ndarray) -> np.ndarray:
    """A classifier's logits [N, A] in the order of the dataset's attributes.

    Raises:
      ValueError: the classifier has other attributes.
    """
    names = list(dataset.metadata.attribute_names)
    own = list(predict.class_names)
    if predict.knows_names and sorted(own) == sorted(names):  # a published order may differ
        return logits[:, [own.index(name) for name in names]]
    # A converted GaitFormer without names is taken to have the dataset's order.
    if predict.knows_names or logits.shape[1] != len(names):
        classes.check_names(predict, names)
    return logits


def _classification(
    predict: Predictor, dataset: Dataset, split: Split, known: np.ndarray, logits: np.ndarray
) -> dict:
    """Scores of a classifier's logits [N, A], in the order of the dataset's attributes."""
    names = list(dataset.metadata.attribute_names)
    target = dataset.metadata.present(split.attributes[known])
    return classification(predict.probabilities(logits), target, names)


def clip_records(
    ids: Sequence[str], prob: np.ndarray, target: np.ndarray, names: Sequence[str]
) -> Records:
    """Per clip: the score and the target (0 or 1) of each attribute.

    Args:
      ids: IDs of the N clips.
      prob: [N, A] probabilities.
      target: [N, A] bool.
      names: names of the A attributes.
    """
    head = ["id", *(f"{what} {name}" for name in names for what in ("score", "target"))]
    rows = [
        [clip, *(cell for p, t in zip(of_clip, present) for cell in (number(p), int(t)))]
        for clip, of_clip, present in zip(ids, prob, target, strict=True)
    ]
    return Records(head, rows)


def query_records(
    queries: Sequence[str],
    ids: Sequence[str],
    scores: np.ndarray,
    shared: np.ndarray,
    counts: np.ndarray,
) -> Records:
    """Per query: its words, its number of attributes, and the five best-scoring clips.

    Args:
      queries: words of the Q attribute sets.
      ids: IDs of the G clips.
      scores: [Q, G], higher is more similar.
      shared: [Q, G] number of attributes that query and clip share.
      counts: [Q] number of attributes of each query.
    """
    rows = []
    for i, (query, best) in enumerate(zip(queries, best_items(scores, TOP))):
        near = [number(score) for score in scores[i, best]]
        cells = top_cells([ids[j] for j in best], near, [int(n) for n in shared[i, best]])
        rows.append([query, int(counts[i]), *cells])
    return Records(["query", "attributes", *top_columns("id", "score", "shared")], rows)


# Classification ----------------------------------------------------------------------------------


def classification(
    prob: np.ndarray, target: np.ndarray, names: Sequence[str], threshold: float = 0.5
) -> dict:
    """Scores a multi-label classifier of attributes (Walk and Text, Figure 5).

    Without any skill, F1 is low for rare attributes and high for common ones. Compare it with the
    base rate, which is also the average precision of chance.

    Args:
      prob: [N, A] probabilities, or other scores on the scale of `threshold`.
      target: [N, A] bool (or 0/1).
      names: A distinct attribute names.
      threshold: scores at or above it are predicted positive.

    Returns:
      {"threshold", "clips": N, "attributes": {name: {"precision", "recall", "f1", "ap",
      "base_rate"}}, "occurring": number of attributes with a positive, "macro": the same five
      scores averaged over the attributes that occur}, all scores in 0..1. "ap" is None for an
      attribute that does not occur; all means are None if no attribute occurs.

    Raises:
      ValueError: as `metrics.multilabel_f1`; also if `names` are not A distinct names.
    """
    columns = multilabel_f1(prob, target, threshold)
    columns["ap"] = average_precision(prob, target)
    columns["base_rate"] = np.asarray(np.mean(target, axis=0, dtype=np.float64))
    names = _checked_names(names, len(columns["ap"]))
    occurs = columns["base_rate"] > 0
    return {
        "threshold": float(threshold),
        "clips": len(prob),
        "attributes": {
            name: {
                key: float(values[i]) if key != "ap" or occurs[i] else None
                for key, values in columns.items()
            }
            for i, name in enumerate(names)
        },
        "occurring": int(occurs.sum()),
        "macro": {
            key: float(values[occurs].mean()) if occurs.any() else None
            for key, values in columns.items()
        },
    }


# Retrieval ---------------------------------------------------------------------------------------


def gains(query_sets: np.ndarray, gallery_sets: np.ndarray) -> np.ndarray:
    """Gain of each clip for each query: the number of attributes that are positive in both.

    Args:
      query_sets: [Q, A] bool (or 0/1).
      gallery_sets: [G, A] bool (or 0/1).

    Returns:
      [Q, G] float64.

    Raises:
      ValueError: sets are not bool, or differ in their number of attributes.
    """
    query_sets, gallery_sets = _checked_sets(query_sets, gallery_sets)
    return query_sets.astype(np.float64) @ gallery_sets.T.astype(np.float64)


def retrieval(
    query_sets: np.ndarray,
    gallery_sets: np.ndarray,
    names: Sequence[str],
    scores_by_method: Mapping[str, np.ndarray],
    ks: Sequence[int] = KS,
    attribute_k: int = 5,
) -> dict:
    """Scores the retrieval of clips by attributes (Walk and Text, Figures 6 and 7).

    NDCG@K uses the gains of `gains` and is normalised by the best ordering of the gallery. For a
    single attribute, it is averaged over the queries that have the attribute, with gain 1 for clips
    that have it too. Chance is the exact expectation over all orderings of the gallery.

    Args:
      query_sets: [Q, A] bool, one query for each distinct combination of the evaluated split.
      gallery_sets: [G, A] bool.
      names: A distinct attribute names.
      scores_by_method: {method: [Q, G] scores, higher is more similar}, at least one.
      ks: cut-offs of the curve; those above G are left out.
      attribute_k: cut-off for single attributes, at most G.

    Returns:
      {"queries": number scored, "left_out": number of queries that share no attribute with any
      clip, "gallery": G, "ks", "ndcg": {method: [len(ks)]}, "random": [len(ks)], "attribute_k",
      "per_attribute": {name: {"queries", method: NDCG, ..., "random"}}, "attributes_left_out":
      names without a query or without a clip}.

    Raises:
      ValueError: shapes do not agree, scores are not finite, sets are not bool, no query shares an
        attribute with a clip, or every cut-off exceeds the gallery.
    """
    query_sets, gallery_sets = _checked_sets(query_sets, gallery_sets)
    names = _checked_names(names, query_sets.shape[1])
    size = len(gallery_sets)
    _check_methods(scores_by_method, (len(query_sets), size))
    kept_ks = [int(k) for k in ks if k <= size]
    if not kept_ks:
        raise ValueError(f"none of the cut-offs {list(ks)} is within a gallery of {size}")
    keep = _queries_with_gain(query_sets, gallery_sets)
    methods = {name: np.asarray(scores) for name, scores in scores_by_method.items()}
    with_chance = methods | {"random": _chance(query_sets, gallery_sets)}
    curves = {
        method: _ndcg(scores, keep, query_sets, gallery_sets, kept_ks).tolist()
        for method, scores in with_chance.items()
    }
    attribute_k = min(attribute_k, size)
    per_attribute = _per_attribute(query_sets, gallery_sets, names, methods, attribute_k)
    return {
        "queries": int(keep.sum()),
        "left_out": int((~keep).sum()),
        "gallery": size,
        "ks": kept_ks,
        "ndcg": {method: curves[method] for method in methods},
        "random": curves["random"],
        "attribute_k": attribute_k,
        "per_attribute": per_attribute,
        "attributes_left_out": [name for name in names if name not in per_attribute],
    }


def _queries_with_gain(query_sets: np.ndarray, gallery_sets: np.ndarray) -> np.ndarray:
    """[Q] bool: which queries share an attribute with a clip; raises a ValueError if none does."""
    keep = (query_sets & gallery_sets.any(axis=0)).any(axis=1)
    if not keep.any():
        raise ValueError("no query shares an attribute with any clip of the gallery")
    return keep


def _check_methods(scores_by_method: Mapping[str, np.ndarray], shape: tuple[int, int]) -> None:
    """Raises a ValueError unless there is at least one method, each with scores [Q, G]."""
    if not scores_by_method or {"queries", "random"} & set(scores_by_method):
        raise ValueError(
            'retrieval needs one or more methods, none of them called "queries" or "random"; '
            f"found {list(scores_by_method)}"
        )
    for method, scores in scores_by_method.items():
        if np.shape(scores) != shape:
            raise ValueError(
                f"scores of {method} must be [{shape[0]} queries, {shape[1]} clips]; "
                f"found {np.shape(scores)}"
            )


def _chance(query_sets: np.ndarray, gallery_sets: np.ndarray) -> np.ndarray:
    """Tied scores [Q, G]: their NDCG is the expectation over all orderings."""
    return np.broadcast_to(np.float32(0), (len(query_sets), len(gallery_sets)))


def _per_attribute(
    query_sets: np.ndarray,
    gallery_sets: np.ndarray,
    names: Sequence[str],
    methods: Mapping[str, np.ndarray],
    k: int,
) -> dict[str, dict[str, float]]:
    """{name: {"queries", method: NDCG@k, ..., "random"}} of attributes in a query and a clip."""
    chance = _chance(query_sets, gallery_sets)
    found = {}
    for a in np.flatnonzero(query_sets.any(axis=0) & gallery_sets.any(axis=0)):
        has = query_sets[:, a]
        # All queries of an attribute have the same gains, so the first one suffices for chance.
        first = np.arange(len(has)) == has.argmax()
        scored = [(method, scores, has) for method, scores in methods.items()]
        found[names[a]] = {"queries": int(has.sum())} | {
            method: float(_ndcg(scores, rows, query_sets[:, [a]], gallery_sets[:, [a]], [k])[0])
            for method, scores, rows in (*scored, ("random", chance, first))
        }
    return found


def ndcg_curve(
    query_sets: np.ndarray, gallery_sets: np.ndarray, scores: np.ndarray, ks: Sequence[int] = KS
) -> np.ndarray:
    """NDCG@K [K] of a single method; arguments and cut-offs as in `retrieval`."""
    query_sets, gallery_sets = _checked_sets(query_sets, gallery_sets)
    keep = _queries_with_gain(query_sets, gallery_sets)
    ks = [int(k) for k in ks if k <= len(gallery_sets)]
    return _ndcg(np.asarray(scores), keep, query_sets, gallery_sets, ks)


def _ndcg(
    scores: np.ndarray,
    keep: np.ndarray,
    query_sets: np.ndarray,
    gallery_sets: np.ndarray,
    ks: Sequence[int],
) -> np.ndarray:
    """Mean `ndcg_at_k` [len(ks)] of the queries in `keep` [Q], in blocks to bound memory."""
    rows = np.flatnonzero(keep)
    step = max(1, _BLOCK // len(gallery_sets))
    total = np.zeros(len(ks))
    for i in range(0, len(rows), step):
        block = rows[i : i + step]
        total += len(block) * ndcg_at_k(scores[block], gains(query_sets[block], gallery_sets), ks)
    return total / len(rows)


# Tables ------------------------------------------------------------------------------------------


def classification_table(results: Mapping, notes: Sequence[str] = ()) -> Table:
    """The results of `classification` as a table with `notes`: the best F1 first, the mean last."""
    head = ["attribute", "F1", "precision", "recall", "AP", "base rate"]
    keys = ("f1", "precision", "recall", "ap", "base_rate")
    rows = sorted(results["attributes"].items(), key=lambda item: -item[1]["f1"])
    rows.append(("mean", results["macro"]))
    cells = [[name] + [_number(row[key]) for key in keys] for name, row in rows]
    note = (
        f"{results['clips']} clips; predicted positive at {results['threshold']:g} or above; mean "
        f"over the {results['occurring']} of {len(results['attributes'])} attributes that occur; "
        "the base rate is also the AP of chance"
    )
    return Table(head, cells, [note, *notes])


def retrieval_tables(results: Mapping, notes: Sequence[str] = ()) -> list[Table]:
    """The results of `retrieval` as two tables: the curve, and single attributes with `notes`."""
    places = [results["ks"].index(k) for k in _PRINTED_KS if k in results["ks"]]
    head = ["method", *(f"NDCG@{results['ks'][i]}" for i in places)]
    curves = results["ndcg"] | {"random": results["random"]}
    cells = [[method] + [_number(curve[i]) for i in places] for method, curve in curves.items()]
    about = [
        f"{results['queries']} queries, {results['gallery']} clips; gain = number of attributes "
        "that query and clip share; random = exact expectation of a random ranking"
    ]
    if results["left_out"]:
        about.append(
            f"left out: {results['left_out']} queries that share no attribute with any clip"
        )
    curve_table = Table(head, cells, about)

    methods = list(results["ndcg"])
    rows = sorted(results["per_attribute"].items(), key=lambda item: -item[1][methods[0]])
    columns = [*methods, "random"]
    cells = [
        [name, str(row["queries"])] + [_number(row[method]) for method in columns]
        for name, row in rows
    ]
    about = [f"NDCG@{results['attribute_k']}; gain 1 if the clip has the attribute"]
    if results["attributes_left_out"]:
        absent = ", ".join(results["attributes_left_out"])
        about.append(f"left out, because no query or no clip has them: {absent}")
    head = ["attribute", "queries", *columns]
    return [curve_table, Table(head, cells, [*about, *notes])]


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _checked_names(names: Sequence[str], count: int) -> list[str]:
    names = list(names)
    if len(names) != count or len(set(names)) != count:
        raise ValueError(
            f"expected distinct names of {count} attributes; found {len(names)} names, "
            f"{len(set(names))} of them distinct"
        )
    return names


def _checked_sets(
    query_sets: np.ndarray, gallery_sets: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Both as non-empty bool matrices with the same number of columns."""
    checked = []
    for name, sets in (("query_sets", query_sets), ("gallery_sets", gallery_sets)):
        sets = np.asarray(sets)
        if sets.ndim != 2 or not sets.size:
            raise ValueError(f"{name} must be a non-empty matrix; found shape {sets.shape}")
        if sets.dtype != bool and not np.isin(sets, (0, 1)).all():
            raise ValueError(f"{name} must be bool, or the numbers 0 and 1")
        checked.append(sets.astype(bool))
    if checked[0].shape[1] != checked[1].shape[1]:
        raise ValueError(
            f"query_sets has {checked[0].shape[1]} attributes, gallery_sets {checked[1].shape[1]}; "
            "expected the same"
        )
    return checked[0], checked[1]
