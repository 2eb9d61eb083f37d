"""Action recognition: the class whose texts are most similar to a clip (Walk and Text, IV-B).

Contains the task `labels`, its scores and confusion counts, and the table of Tables IV and VI.

Most datasets give a clip one action. Where clips have several, training draws one of them for each
batch, and a prediction is right if it is any of them. In what follows, `labels` are [N], or [N, m]
with all actions of each clip, where -1 is none.
"""

import collections
import functools
import math
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
from ml_collections import ConfigDict

from motionalign.config import Entry
from motionalign.data import cuts
from motionalign.data.dataset import Dataset
from motionalign.data.records import Split
from motionalign.data.texts import KINDS, TITLES, ClipTexts, class_texts, label_classes
from motionalign.inference import similarity
from motionalign.inference.encoder import Predictor
from motionalign.inference.similarity import checked_matrix, similarity_scores
from motionalign.metrics import (
    best_items,
    confusion_counts,
    retrieval_ranks,
    topk_accuracy,
    true_classes,
)
from motionalign.models.heads import ClassifierConfig
from motionalign.report import plots
from motionalign.report.class_page import write_label_page
from motionalign.report.tables import TOP, Records, Table, number, top_cells, top_columns
from motionalign.tasks import classes
from motionalign.tasks.task import Results


class Labels:
    """Every clip has one action or several; the selection score is top-1 accuracy in percent."""

    name: ClassVar[str] = "labels"
    kind: ClassVar[str] = "dual_encoder"
    entry: ClassVar[Entry] = Entry(reads=("data.texts", "eval.class_scores", "eval.num_queries"))
    has_classes: ClassVar[bool] = True
    exclusive: ClassVar[bool | None] = True

    def __init__(self, config: ConfigDict) -> None:
        self._kind = self.text_kind = config.data.texts
        self._num_examples = config.eval.num_queries
        self._class_scores = config.eval.class_scores

    def class_of(self, dataset: Dataset, split: Split) -> np.ndarray:
        """[n] index of each record's first action, -1 where it has none."""
        return label_classes(dataset.metadata, split)[1]

    def texts(self, dataset: Dataset, split: Split) -> ClipTexts:
        """See `Task.texts`."""
        names, class_of = label_classes(dataset.metadata, split)
        texts = class_texts(dataset, names, self._kind, "action")
        return ClipTexts(names, texts, class_of, split.more_labels)

    def targets(self, dataset: Dataset, split: Split) -> np.ndarray:
        """[n] int32 labels; batches replace them for records with several."""
        return self.class_of(dataset, split).astype(np.int32)

    def classes(self, datasets: Sequence[Dataset]) -> ClassifierConfig:
        """The actions; a clip is trained on exactly one of them at a time."""
        names = {dataset: dataset.metadata.label_names for dataset in datasets}
        known = classes.one_of_names(names, self.name)
        return ClassifierConfig(known, exclusive=bool(self.exclusive))

    def check(self, dataset: Dataset, split_name: str, compares: bool, vectors: bool) -> None:
        """See `Task.check`."""
        split = dataset.split(split_name)
        classes.known_rows(self, dataset, split)
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
        scores, _ = self._scores(predict, dataset, found, (self._kind,))
        result = recognise(
            next(iter(scores.values())), split.all_labels[known], dataset.metadata.label_names
        )
        return result["top1"], {name: result[name] for name in ("top1", "top5", "top1_per_class")}

    def evaluate(self, predict: Predictor, dataset: Dataset, split_name: str) -> Results:
        """See `Task.evaluate`."""
        split = dataset.split(split_name)
        known = classes.known_rows(self, dataset, split)
        found = predict.motions(dataset, split, known)
        names, labels = dataset.metadata.label_names, split.all_labels[known]
        scores, notes = self._scores(predict, dataset, found, KINDS)
        facts, protocol_notes = protocol_of(dataset, split, known)
        notes = protocol_notes + notes
        by_title = {TITLES.get(kind, kind): s for kind, s in scores.items()}
        rows = {title: recognise(s, labels, names) | facts for title, s in by_title.items()}
        cut = predict.cuts(dataset, split, known, _flat_texts(dataset, scores))
        content: dict[str, Any] = {"task": self.name, **predict.about, **cuts.to_json(cut)}
        if not predict.class_names:
            content |= {"distance": predict.distance, "class_scores": self._class_scores}
            notes += [
                f"{predict.distance} distance; {CLASS_SCORES[self._class_scores]}",
                classes.training_note(predict, dataset),
            ]
        notes = [*notes, *predict.about.values(), *cuts.notes(cut)]
        unit = "logits" if predict.class_names else similarity.UNITS[predict.distance]
        return label_results(
            dataset, split_name, known, by_title, rows, content, notes, unit, self._num_examples,
            dict(zip(by_title, scores)),
        )  # fmt: skip

    def _scores(
        self, predict: Predictor, dataset: Dataset, found: np.ndarray, kinds: Sequence[str]
    ) -> tuple[dict[str, np.ndarray], list[str]]:
        """{kind of text: scores [N, K]}, and notes on the kinds left out for lack of texts.

        The first kind is required.
        """
        names = list(dataset.metadata.label_names)
        if predict.class_names:
            classes.check_names(predict, names)
            return {"linear classifier": found}, []
        scores, left_out = {}, []
        for kind in kinds:
            try:
                texts = class_texts(dataset, names, kind, "action")
                vectors = predict.class_vectors(dataset, texts)
            except ValueError as error:
                if kind == kinds[0]:
                    raise
                left_out.append(f"{TITLES[kind]} left out: {error}")
                continue
            scores[kind] = class_scores(found, vectors, predict.distance, self._class_scores)
        return scores, left_out


def label_results(
    dataset: Dataset,
    split_name: str,
    known: np.ndarray,
    scores: Mapping[str, np.ndarray],
    rows: Mapping[str, Mapping[str, Any]],
    content: Mapping[str, Any],
    notes: Sequence[str],
    unit: str,
    num_examples: int,
    kinds: Mapping[str, str] = MappingProxyType({}),
) -> Results:
    """The results of a split whose clips have actions: tables, pictures, records and page.

    Args:
      dataset: the dataset.
      split_name: the split.
      known: [N] rows of the clips that are scored.
      scores: {title: scores [N, K] of all classes}, one of each kind; the page shows the first.
      rows: {title: result of `recognise`}.
      content: further fields of metrics.json.
      notes: notes below the table.
      unit: what the scores are, in the plural.
      num_examples: number of classes with example clips on the page.
      kinds: {title: name in the files of pictures}; by default the title.
    """
    split = dataset.split(split_name)
    names, labels = dataset.metadata.label_names, split.all_labels[known]
    table = recognition_table(rows, notes)
    pictures = {
        f"confusion-{kinds.get(title, title).replace(' ', '-')}": plots.confusion_picture(
            confusion(each, labels, len(names)), names
        )
        for title, each in scores.items()
    }
    scalars = {
        f"{title}/{name}": row[name]
        for title, row in rows.items()
        for name in ("top1", "top5", "top1_per_class")
    }
    clips = classes.drawable(dataset, split, known)
    records = {"per_clip": clip_records(clips.ids, labels, names, scores)}
    title, first = next(iter(scores.items()))
    page = functools.partial(
        write_label_page,
        clips=clips,
        names=names,
        labels=labels,
        predicted=recognised(first, labels),
        scores=first,
        unit=unit,
        tables=[table],
        confusion=next(iter(pictures.values())),
        count=num_examples,
        title=f"{dataset.name}: {split_name} split, by {title}",
    )
    whole = {**content, "recognition": dict(rows), "table": table.markdown()}
    return Results(whole, [table], pictures, page, records, scalars)


def _flat_texts(dataset: Dataset, kinds: Iterable[str]) -> list[str]:
    """All texts of these kinds for the actions; kinds of scores without texts have none."""
    names = list(dataset.metadata.label_names)
    texts = [class_texts(dataset, names, kind, "action") for kind in kinds if kind in KINDS]
    return [text for of_kind in texts for of_class in of_kind for text in of_class]


# Scores ------------------------------------------------------------------------------------------


CLASS_SCORES = {
    "mean_vector": "a class with several texts is represented by the mean of their vectors",
    "mean_score": "scores are averaged over the texts of a class",
}
"""{value of `config.eval.class_scores`: note in results}."""


def class_scores(
    motion: np.ndarray,
    class_vectors: Sequence[np.ndarray],
    distance: str,
    of_several: str = "mean_vector",
) -> np.ndarray:
    """Similarity of every clip to every class.

    Args:
      motion: motion embeddings [N, D].
      class_vectors: for each of the K classes, the embeddings [n_k, D] of its texts, at least one:
        the label's words alone, or several descriptions.
      distance: one of `similarity.DISTANCES`.
      of_several: the score of a class with several texts, a key of `CLASS_SCORES`. "mean_vector":
        the similarity to the mean of the vectors, which are not normalised before, as in the code
        of Walk and Text (the paper does not state it). "mean_score", ours: the mean of the
        similarities to each vector.

    Returns:
      [N, K], higher is more similar.

    Raises:
      ValueError: as `similarity_scores`; also if a class has no text.
    """
    if of_several not in CLASS_SCORES:
        raise ValueError(f"unknown scores {of_several!r}; valid: {', '.join(CLASS_SCORES)}")
    class_vectors = [
        checked_matrix(texts, f"texts of class {k}") for k, texts in enumerate(class_vectors)
    ]
    widths = {texts.shape[1] for texts in class_vectors}
    if len(widths) != 1:
        raise ValueError(
            f"every class needs texts of the same width; found widths {sorted(widths)}"
        )
    counts = np.array([len(texts) for texts in class_vectors])
    vectors = np.concatenate(class_vectors)
    if of_several == "mean_vector":
        return similarity_scores(motion, class_means(vectors.T, counts).T, distance)
    return class_means(similarity_scores(motion, vectors, distance), counts)


def class_means(values: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Means over the texts of each class: of values [N, M] for all texts → [N, K].

    Args:
      values: one column per text; the texts of a class are adjacent.
      counts: [K] number of texts per class, at least one.
    """
    return np.add.reduceat(values, np.cumsum(counts) - counts, axis=1) / counts


# Protocol ----------------------------------------------------------------------------------------


def protocol_of(
    dataset: Dataset, split: Split, rows: np.ndarray
) -> tuple[dict[str, Any], list[str]]:
    """What the accuracies of these rows mean, for metrics.json and as notes below the table.

    Returns:
      {"protocol": name of the dataset's protocol, if it has one, "top1_ceiling": what one answer a
      clip can reach, in percent, if below 100}, and the same as notes.
    """
    facts: dict[str, Any] = {}
    notes = []
    if dataset.metadata.protocol is not None:
        facts["protocol"] = dataset.metadata.protocol
        notes.append(dataset.metadata.protocol)
    counts = (split.all_labels[rows] >= 0).sum(axis=1)
    if counts.max() > 1:
        notes.append(
            f"{(counts > 1).sum()} of {len(rows)} clips have several actions; one is recognised if "
            "any of them is, and counts in each of them per class"
        )
    ceiling, ambiguous = one_answer_ceiling(split, rows)
    if ceiling < 100:
        facts["top1_ceiling"] = ceiling
        notes.append(
            f"{ambiguous} of {len(rows)} samples are clips that occur under several actions, so "
            f"that one answer a clip reaches a top-1 of {ceiling:.2f} at most"
        )
    return facts, notes


def one_answer_ceiling(split: Split, rows: np.ndarray) -> tuple[float, int]:
    """The top-1 accuracy of the best possible answers, where equal clips get equal answers.

    A clip that has several records, each with another action, is recognised in one of them only.
    Clips are equal if they are the same seconds of the same source.

    Args:
      split: the records.
      rows: [N] those that are scored; each has a label.

    Returns:
      The accuracy in percent, and the number of records whose clip has others with other labels.
    """
    labels = split.all_labels[rows]
    # Spans are in the records; only those of possibly equal clips are read.
    candidates = collections.defaultdict(list)
    for i, row in enumerate(rows):
        candidates[split.sources[row], int(split.num_frames[row])].append(i)
    right, ambiguous = len(rows), 0
    for group in candidates.values():
        if len(group) < 2 or (labels[group] == labels[group[0]]).all():
            continue
        clips = collections.defaultdict(list)
        for i in group:
            clips[tuple(split[int(rows[i])]["span"].tolist())].append(i)
        for clip in clips.values():
            sets = [set(labels[i][labels[i] >= 0].tolist()) for i in clip]
            most = max(sum(k in own for own in sets) for k in set().union(*sets))
            right -= len(clip) - most
            ambiguous += len(clip) if any(own != sets[0] for own in sets) else 0
    return 100 * right / len(rows), ambiguous


# Results -----------------------------------------------------------------------------------------


def recognise(scores: np.ndarray, labels: np.ndarray, names: Sequence[str]) -> dict:
    """Accuracy in percent, over clips and averaged over classes.

    Class sizes differ widely; the mean over classes gives rare classes equal weight. A clip of
    several classes is recognised if any of them is predicted, and counts as one clip of each.

    Args:
      scores: [N, K], finite, higher is more similar; a class tied with the best true one adds half
        a rank (`metrics.retrieval_ranks`).
      labels: [N] integers in 0..K-1, or [N, m].
      names: K distinct class names.

    Returns:
      {"top1", "top5", "top1_per_class": mean over the classes that occur; each in percent, "clips":
      N, "classes": K, "per_class": {name: {"top1", "clips"}} of the classes that occur}. With fewer
      than five classes, top-5 covers all of them.

    Raises:
      ValueError: shapes do not agree, scores are not finite, or labels are out of range.
    """
    names = list(names)
    top1, top5 = topk_accuracy(scores, labels, (1, 5))  # checks scores and labels
    num_clips, num_classes = np.shape(scores)
    if len(names) != num_classes or len(set(names)) != num_classes:
        raise ValueError(
            f"scores has {num_classes} classes; found {len(names)} names, "
            f"{len(set(names))} of them distinct"
        )
    true = true_classes(labels, num_clips, num_classes)
    right = retrieval_ranks(scores, true) <= 1
    clips, hits = true.sum(axis=0), true[right].sum(axis=0)
    per_class = {
        names[k]: {"top1": 100 * float(hits[k] / clips[k]), "clips": int(clips[k])}
        for k in np.flatnonzero(clips)
    }
    return {
        "top1": float(top1),
        "top5": float(top5),
        "top1_per_class": float(np.mean([row["top1"] for row in per_class.values()])),
        "clips": num_clips,
        "classes": num_classes,
        "per_class": per_class,
    }


def confusion(scores: np.ndarray, labels: np.ndarray, num_classes: int) -> np.ndarray:
    """Confusion matrix: counts of clips by true and predicted class.

    If the true class is tied for the best score, the other class counts as predicted, so the share
    of clips on the diagonal equals the top-1 of `recognise`. A clip of several classes counts in
    the row of each of them: on the diagonal if any of them is predicted, otherwise in the column of
    the predicted class. The share of a row on the diagonal is then the class's top-1.

    Args:
      scores: [N, K], finite, higher is more similar.
      labels: [N] integers in 0..K-1, or [N, m].
      num_classes: K.

    Returns:
      [K, K] int64, row = true class, column = predicted class.

    Raises:
      ValueError: shapes do not agree, scores are not finite, or labels are out of range.
    """
    scores = checked_matrix(scores, "scores")
    if scores.shape[1] != num_classes:
        raise ValueError(f"scores must be [N, {num_classes}]; found {scores.shape}")
    true = true_classes(labels, len(scores), num_classes)
    return confusion_counts(true, recognised(scores, labels))


def recognised(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """[N] predicted class of each clip: the best-scoring one; ties count against the true classes.

    Args:
      scores: [N, K], higher is more similar.
      labels: [N] integers in 0..K-1, or [N, m].
    """
    true = true_classes(labels, *scores.shape)
    own, rivals = np.where(true, scores, -np.inf), np.where(true, -np.inf, scores)
    best = own.max(axis=1) > rivals.max(axis=1)
    return np.where(best, own.argmax(axis=1), rivals.argmax(axis=1))


def clip_records(
    ids: Sequence[str],
    labels: np.ndarray,
    names: Sequence[str],
    scores_by_text: Mapping[str, np.ndarray],
) -> Records:
    """Per clip: its classes, the predicted class, and the five best-scoring classes.

    Args:
      ids: IDs of the N clips.
      labels: [N] integers in 0..K-1, or [N, m].
      names: K class names.
      scores_by_text: {kind of text that represents the classes: scores [N, K]}.

    Returns:
      One row per kind of text (column `text`) and clip; `class` joins the names of several classes
      with "; ", and `rank` is the rank of the best of them.
    """
    rows = []
    true = true_classes(labels, len(ids), len(names))
    said = ["; ".join(names[k] for k in np.flatnonzero(own)) for own in true]
    for text, scores in scores_by_text.items():
        ranks = retrieval_ranks(scores, true)
        for i, best in enumerate(best_items(scores, TOP)):
            predicted = names[recognised(scores[i : i + 1], labels[i : i + 1])[0]]
            cells = ([names[k] for k in best], [number(scores[i, k]) for k in best])
            facts = [text, ids[i], said[i], predicted, number(ranks[i])]
            rows.append([*facts, *top_cells(*cells)])
    head = ["text", "id", "class", "predicted", "rank", *top_columns("class", "score")]
    return Records(head, rows)


def recognition_table(rows: Mapping[str, Mapping], notes: Sequence[str] = ()) -> Table:
    """The results as a table, one row per kind of text.

    Args:
      rows: {kind of text, "words" or "descriptions" for example: result of `recognise`}.
      notes: notes below the table: the distance, the averaging over texts of a class, the text
        encoder.
    """
    head = ["text", "top-1", "top-5", "per-class top-1", "clips", "classes"]
    cells = [
        [name]
        + [f"{row[key]:.2f}" for key in ("top1", "top5", "top1_per_class")]
        + [str(row["clips"]), str(row["classes"])]
        for name, row in rows.items()
    ]
    return Table(head, cells, notes)
