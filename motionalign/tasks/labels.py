"""Action recognition from text: the class whose words lie nearest to a clip (Walk and Text, IV-B).

The scores, the confusion counts and the table of Tables IV and VI, and the baseline without a
model: the training clip with the most similar mean pose.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from motionalign.data.texts import TITLES, class_texts
from motionalign.inference.encoder import same_names, vectors_of
from motionalign.inference.similarity import checked_matrix, nearness
from motionalign.metrics import checked_labels, retrieval_ranks, topk_accuracy
from motionalign.report.tables import markdown_table

# Scores ------------------------------------------------------------------------------------------


def class_scores(
    motion: np.ndarray, class_vectors: Sequence[np.ndarray], distance: str
) -> np.ndarray:
    """How near every clip is to every class: the mean of `nearness` over the texts of the class.

    Args:
      motion: [N, D].
      class_vectors: for each of the K classes its texts [n_k, D], one or more; the label's words
        alone, or several descriptions.
      distance: of `similarity.DISTANCES`.

    Returns:
      [N, K] float64, higher is nearer.

    Raises:
      ValueError: those of `nearness`, and a class without a text.
    """
    class_vectors = [
        checked_matrix(texts, f"texts of class {k}") for k, texts in enumerate(class_vectors)
    ]
    widths = {texts.shape[1] for texts in class_vectors}
    if len(widths) != 1:
        raise ValueError(
            f"every class needs texts of the same width; found widths {sorted(widths)}"
        )
    counts = np.array([len(texts) for texts in class_vectors])
    every = nearness(motion, np.concatenate(class_vectors), distance)
    return np.add.reduceat(every, np.cumsum(counts) - counts, axis=1) / counts


# Results -----------------------------------------------------------------------------------------


def recognise(scores: np.ndarray, labels: np.ndarray, names: Sequence[str]) -> dict:
    """Accuracy in percent, over clips and over classes.

    Classes differ much in size, so the mean over classes says whether the small ones are known.

    Args:
      scores: [N, K], finite, higher is nearer; a class tied with the right one counts as half a
        place above it (`metrics.retrieval_ranks`).
      labels: [N] integers in 0..K-1.
      names: K distinct names of the classes.

    Returns:
      {"top1", "top5", "top1_per_class": mean over the classes that occur; each in percent, "clips":
      N, "classes": K, "per_class": {name: {"top1", "clips"}} of those that occur}. With fewer than
      five classes top-5 is over all of them.

    Raises:
      ValueError: shapes that do not agree, non-finite scores, labels that are no class.
    """
    names = list(names)
    top1, top5 = topk_accuracy(scores, labels, (1, 5))  # checks scores and labels
    num_clips, num_classes = np.shape(scores)
    if len(names) != num_classes or len(set(names)) != num_classes:
        raise ValueError(
            f"scores has {num_classes} classes; found {len(names)} names, "
            f"{len(set(names))} of them distinct"
        )
    right = retrieval_ranks(scores, np.equal.outer(labels, np.arange(num_classes))) <= 1
    clips = np.bincount(labels, minlength=num_classes)
    hits = np.bincount(labels, weights=right, minlength=num_classes)
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
    """Counts of clips by their class and the class that scores best.

    A clip whose class is tied for the best counts as the rival, so the diagonal's share is the
    top-1 of `recognise`.

    Args:
      scores: [N, K], finite, higher is nearer.
      labels: [N] integers in 0..K-1.
      num_classes: K.

    Returns:
      [K, K] int64, row = true class, column = recognised class.

    Raises:
      ValueError: shapes that do not agree, non-finite scores, labels that are no class.
    """
    scores = checked_matrix(scores, "scores")
    if scores.shape[1] != num_classes:
        raise ValueError(f"scores must be [N, {num_classes}]; found {scores.shape}")
    labels = checked_labels(labels, len(scores), num_classes)
    own = labels[:, None] == np.arange(num_classes)
    rivals = np.where(own, -np.inf, scores)
    best_rival = rivals.argmax(axis=1)
    recognised = np.where(scores[own] > rivals.max(axis=1), labels, best_rival)
    cells = np.bincount(labels * num_classes + recognised, minlength=num_classes**2)
    return cells.reshape(num_classes, num_classes)


def format_table(rows: Mapping[str, Mapping], notes: Sequence[str] = ()) -> str:
    """The results as an aligned Markdown table, one row a kind of text, with notes below.

    Args:
      rows: {what stood for the classes, such as "words" or "descriptions": what `recognise` gives}.
      notes: what the reader must know: the distance, how several texts of a class are averaged, the
        text encoder.
    """
    head = ["text", "top-1", "top-5", "per-class top-1", "clips", "classes"]
    cells = [
        [name]
        + [f"{row[key]:.2f}" for key in ("top1", "top5", "top1_per_class")]
        + [str(row["clips"]), str(row["classes"])]
        for name, row in rows.items()
    ]
    lines = [markdown_table(head, cells)]
    if notes:
        lines += ["", *(f"- {note}" for note in notes)]
    return "\n".join(lines)


def label_scores(
    encoder, params, dataset, found, kinds, distance
) -> tuple[dict[str, np.ndarray], list[str]]:
    """{kind of text: scores [N, K] of the labels}, and what is left out because texts are missing.

    The first kind must be there.
    """
    names = list(dataset.metadata.label_names)
    if encoder.network.config.class_names:
        same_names(encoder, names)
        return {"linear classifier": found}, []
    scores, left_out = {}, []
    for kind in kinds:
        try:
            texts = class_texts(dataset, names, "labels", kind)
            vectors = vectors_of(encoder, params, dataset, texts)
        except ValueError as error:
            if kind == kinds[0]:
                raise
            left_out.append(f"{TITLES[kind]} left out: {error}")
            continue
        scores[kind] = class_scores(found, vectors, distance)
    return scores, left_out
