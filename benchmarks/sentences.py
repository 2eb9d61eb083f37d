"""How near motion sentences are to one another: edit distances within and between classes."""

import numpy as np


def edit_distances(sentences: np.ndarray) -> np.ndarray:
    """Levenshtein distances of all pairs of sentences, over their length.

    All pairs advance together, one cell of their tables at a time.

    Args:
      sentences: [N, W] integers.

    Returns:
      [N, N] float32, from 0 for equal sentences to 1.

    Raises:
      ValueError: sentences without tokens.
    """
    sentences = np.asarray(sentences)
    if sentences.ndim != 2 or not sentences.shape[1]:
        raise ValueError(f"sentences must be [N, W] with W > 0, not {sentences.shape}")
    count, length = sentences.shape
    shape = (count, count)
    row = [np.full(shape, place, np.int16) for place in range(length + 1)]
    for i in range(length):
        before, row = row, [np.full(shape, i + 1, np.int16)]
        for j in range(length):
            differ = sentences[:, i, None] != sentences[None, :, j]
            row.append(np.minimum(np.minimum(before[j + 1], row[j]) + 1, before[j] + differ))
    return (row[-1] / np.float32(length)).astype(np.float32)


def within_and_between(distances: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """The mean distances of two clips of a class, and of two clips of different classes.

    Args:
      distances: [N, N] of all pairs; a clip is not compared with itself.
      labels: [N].
    """
    same = labels[:, None] == labels
    others = ~np.eye(len(labels), dtype=bool)
    return float(distances[same & others].mean()), float(distances[~same].mean())
