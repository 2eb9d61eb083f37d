"""Action recognition from text: the class whose words lie nearest to a clip (Walk and Text, IV-B).

The scores, the confusion counts and the table of Tables IV and VI, and the baseline without a
model: the training clip with the most similar mean pose.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from motionalign.evaluate import markdown_table
from motionalign.metrics import checked_labels, retrieval_ranks, topk_accuracy
from motionalign.similarity import checked_matrix, nearness, squared_distances

# Distances held at once by the nearest-neighbour baseline: 128 MiB.
_BLOCK = 1 << 24


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


# The baseline without a model --------------------------------------------------------------------


def pooled_joints(clips: Sequence[np.ndarray]) -> np.ndarray:
    """The mean pose of every clip.

    Args:
      clips: N arrays [T, J, C] of any lengths, the root of the first frame at the origin (or poses
        of place and scale that compare in another way).

    Returns:
      [N, J * C] float64, the mean over frames.

    Raises:
      ValueError: no clips, clips without frames, of different joints, or not finite.
    """
    clips = [np.asarray(clip) for clip in clips]
    if not clips:
        raise ValueError("there are no clips to pool")
    for i, clip in enumerate(clips):
        if clip.ndim != 3 or not clip.size or clip.shape[1:] != clips[0].shape[1:]:
            raise ValueError(
                f"clips must be [T, J, C] of the same joints; clip 0 is {clips[0].shape}, "
                f"clip {i} is {clip.shape}"
            )
    pooled = np.stack([clip.mean(axis=0, dtype=np.float64).ravel() for clip in clips])
    return checked_matrix(pooled, "mean poses of the clips")


def nearest_neighbour(
    train: np.ndarray, train_labels: np.ndarray, test: np.ndarray, num_classes: int | None = None
) -> np.ndarray:
    """Scores each class by the nearest of its training clips, to be read by `recognise`.

    Features are z-scored by the mean and deviation of the training clips; one that does not vary
    among them says nothing and is left out.

    Args:
      train: [M, F] features, such as `pooled_joints`.
      train_labels: [M] integers.
      test: [N, F].
      num_classes: K; the largest training label + 1 where it is not given.

    Returns:
      [N, K] float64: minus the Euclidean distance to the nearest training clip of the class. A
      class without one comes last, at the lowest finite number.

    Raises:
      ValueError: shapes that do not agree, features that are not finite, labels that are no class.
    """
    train, test = checked_matrix(train, "train"), checked_matrix(test, "test")
    if train.shape[1] != test.shape[1]:
        raise ValueError(f"train has {train.shape[1]} features, test {test.shape[1]}")
    if num_classes is None:
        num_classes = int(np.max(train_labels)) + 1
    train_labels = checked_labels(train_labels, len(train), num_classes)

    mean, deviation = train.mean(axis=0), train.std(axis=0)
    varies = deviation > 1e-9 * np.abs(train).max(axis=0)  # more than the rounding of the mean
    train, test = ((x - mean)[:, varies] / deviation[varies] for x in (train, test))

    order = np.argsort(train_labels, kind="stable")
    present, starts = np.unique(train_labels[order], return_index=True)
    train = train[order]
    scores = np.full((len(test), num_classes), np.finfo(np.float64).min)
    step = max(1, _BLOCK // len(train))
    for i in range(0, len(test), step):
        nearest = np.minimum.reduceat(
            squared_distances(test[i : i + step], train), starts, axis=1
        )  # [step, classes present]
        scores[i : i + step, present] = -np.sqrt(nearest)
    return scores
