"""Similarity of vectors: the cosine, or the negative Euclidean distance of raw vectors."""

import numpy as np

DISTANCES = ("cosine", "euclidean")

# What scores by each of them are, for the pages.
UNITS = {"cosine": "cosines", "euclidean": "Euclidean distances with a minus sign"}


def similarity_scores(motion: np.ndarray, texts: np.ndarray, distance: str) -> np.ndarray:
    """Similarity of every clip to every text, by the distance that the model was trained with.

    Args:
      motion: [N, D] embeddings of clips, not normalised.
      texts: [K, D] embeddings of texts, not normalised.
      distance: "cosine": the cosine of the angle between the vectors; "euclidean": the negative
        distance between the raw vectors.

    Returns:
      [N, K], higher is more similar. The cosine has the precision of its inputs; the distance is
      float64.

    Raises:
      ValueError: unknown distance, different widths, vectors that are not finite, or, for the
        cosine, vectors of length 0.
    """
    if distance not in DISTANCES:
        raise ValueError(f"unknown distance {distance!r}; valid: {', '.join(DISTANCES)}")
    if distance == "cosine":
        return cosine_similarity(motion, texts)
    motion, texts = checked_matrix(motion, "embeddings"), checked_matrix(texts, "embeddings")
    if motion.shape[1] != texts.shape[1]:
        raise ValueError(
            f"embeddings of width {motion.shape[1]} and {texts.shape[1]} cannot be compared"
        )
    return -np.sqrt(squared_distances(motion, texts))


def cosine_similarity(rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Cosine of every row vector [Q, E] with every column vector [G, E] → [Q, G]."""
    units = []
    for vectors in (rows, columns):
        vectors = np.asarray(vectors)
        if vectors.ndim != 2:
            raise ValueError(f"embeddings must be [rows, width]; found shape {vectors.shape}")
        length = np.linalg.norm(vectors, axis=1, keepdims=True)
        bad = np.flatnonzero(~(np.isfinite(length[:, 0]) & (length[:, 0] > 0)))
        if bad.size:
            raise ValueError(
                f"{bad.size} of {len(vectors)} embeddings have no direction "
                f"(first: row {bad[0]}, length {length[bad[0], 0]}); did training diverge?"
            )
        units.append(vectors / length)
    if units[0].shape[1] != units[1].shape[1]:
        raise ValueError(
            f"embeddings of width {units[0].shape[1]} and {units[1].shape[1]} cannot be compared"
        )
    return units[0] @ units[1].T


def squared_distances(rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Squared Euclidean distances [N, K] of rows [N, D] and columns [K, D].

    Does not allocate an [N, K, D] array.
    """
    squares = (rows**2).sum(axis=1)[:, None] + (columns**2).sum(axis=1) - 2 * (rows @ columns.T)
    return np.maximum(squares, 0)  # rounding can make the distance of equal vectors negative


def checked_matrix(values: np.ndarray, name: str) -> np.ndarray:
    """`values` as a non-empty, finite matrix of float64."""
    values = np.asarray(values, np.float64)
    if values.ndim != 2 or not values.size:
        raise ValueError(f"{name} must be a non-empty matrix; found shape {values.shape}")
    if not np.isfinite(values).all():
        row = int(np.argwhere(~np.isfinite(values))[0, 0])
        raise ValueError(f"{name} must be finite; row {row} is not")
    return values
