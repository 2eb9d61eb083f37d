"""Losses between motions and texts: pure functions of embeddings, scores or distances."""

import jax
import jax.numpy as jnp


def _unit(x: jax.Array) -> jax.Array:
    # The square is clamped so that the gradient of a zero vector stays finite.
    return x * jax.lax.rsqrt(jnp.maximum(jnp.sum(x * x, axis=-1, keepdims=True), 1e-24))


def symmetric_cross_entropy(logits: jax.Array, keep: jax.Array | None = None) -> jax.Array:
    """Mean of the cross-entropies of both directions, with the diagonal as target.

    This is InfoNCE over a matrix of any scores (Motion Patches, eq. 2-4).

    Args:
      logits: [B, B] float32 scores of every motion with every text, divided by the temperature.
      keep: [B, B] bool; False removes a pair from the denominators. The diagonal is always kept.

    Returns:
      A scalar.
    """
    own = jnp.eye(logits.shape[0], dtype=bool)
    if keep is not None:
        logits = jnp.where(keep | own, logits, -jnp.inf)  # positives must stay
    # Not by `jnp.diagonal`, whose gathers exchange indices between the devices that hold the rows.
    diagonal = jnp.where(own, logits, 0.0).sum(axis=1)
    rows = jax.nn.logsumexp(logits, axis=1) - diagonal
    columns = jax.nn.logsumexp(logits, axis=0) - diagonal
    return 0.5 * (rows.mean() + columns.mean())


def info_nce(motion: jax.Array, text: jax.Array, scale: float | jax.Array) -> jax.Array:
    """Symmetric InfoNCE: the mean of both directions, as Motion Patches' code (eq. 4: the sum).

    Args:
      motion: [B, D] embeddings; the function normalises them.
      text: [B, D] embeddings; row i describes motion i.
      scale: 1 / temperature.

    Returns:
      A scalar, in float32.
    """
    return masked_info_nce(motion, text, scale)


def masked_info_nce(
    motion: jax.Array,
    text: jax.Array,
    scale: float | jax.Array,
    keep: jax.Array | None = None,
    text_vectors: jax.Array | None = None,
    threshold: float | None = None,
) -> jax.Array:
    """Symmetric InfoNCE without negatives of nearly the same meaning (Walk and Text, §III).

    Args:
      motion: [B, D] embeddings; the function normalises them.
      text: [B, D] embeddings; row i describes motion i.
      scale: 1 / temperature.
      keep: [B, B] bool; False removes a pair from the denominators. The diagonal is always kept.
      text_vectors: [B, V] sentence vectors of the captions; pairs whose cosine is above
        `threshold` are removed too.
      threshold: cosine in -1..1.

    Returns:
      A scalar, in float32.
    """
    if (text_vectors is None) != (threshold is None):
        raise ValueError("text_vectors and threshold must be given together")
    scores = cosine_scores(motion, text)
    if text_vectors is not None and threshold is not None:
        different = distinct(text_vectors, threshold)
        keep = different if keep is None else keep & different
    return symmetric_cross_entropy(scale * scores, keep)


def cosine_scores(motion: jax.Array, text: jax.Array) -> jax.Array:
    """Cosines [B, B] float32 of every motion with every text; both [B, D], of any norm."""
    _check_shapes(motion=motion, text=text)
    motion = _unit(motion.astype(jnp.float32))
    text = _unit(text.astype(jnp.float32))
    return jnp.matmul(motion, text.T, precision=jax.lax.Precision.HIGHEST)


def distinct(text_vectors: jax.Array, threshold: float) -> jax.Array:
    """Mask [B, B] bool, True where two vectors [B, V] have a cosine of at most `threshold`."""
    vectors = _unit(text_vectors.astype(jnp.float32))
    return jnp.matmul(vectors, vectors.T, precision=jax.lax.Precision.HIGHEST) <= threshold


def mse(motion: jax.Array, text: jax.Array) -> jax.Array:
    """Mean squared error over all elements; vectors are not normalised (Walk and Text, §III).

    Args:
      motion: [B, D] embeddings.
      text: [B, D] embeddings; row i describes motion i.

    Returns:
      A scalar, in float32.
    """
    _check_shapes(motion=motion, text=text)
    return jnp.mean(jnp.square(motion.astype(jnp.float32) - text.astype(jnp.float32)))


def triplet(
    motion: jax.Array,
    text: jax.Array,
    negative: jax.Array,
    margin: float,
    keep: jax.Array | None = None,
) -> jax.Array:
    """Triplet margin loss with Euclidean distances; vectors are not normalised.

    (Walk and Text, §III.) Equals PyTorch's `TripletMarginLoss`: the mean of
    max(0, |m - t| - |m - n| + margin).

    Args:
      motion: [B, D] embeddings.
      text: [B, D] embeddings; row i describes motion i.
      negative: [B, D] embeddings; row i describes another motion.
      margin: required difference between the two distances.
      keep: [B] bool; False excludes a triplet from the mean, for a negative with nearly the same
        meaning as the text. If no triplet is kept, the loss is 0.

    Returns:
      A scalar, in float32.
    """
    _check_shapes(motion=motion, text=text, negative=negative)
    motion = motion.astype(jnp.float32)
    return triplet_margin(_distance(motion, text), _distance(motion, negative), margin, keep)


def triplet_margin(
    positive: jax.Array, negative: jax.Array, margin: float, keep: jax.Array | None = None
) -> jax.Array:
    """Mean of max(0, positive - negative + margin) over any distances.

    Args:
      positive: [B] distance of each motion to its text.
      negative: [B] distance of each motion to another motion's text.
      margin: required difference between the two distances.
      keep: [B] bool; False excludes a triplet from the mean. If none is kept, the loss is 0.

    Returns:
      A scalar.
    """
    losses = jax.nn.relu(positive - negative + margin)
    if keep is None:
        return losses.mean()
    return jnp.where(keep, losses, 0.0).sum() / jnp.maximum(keep.sum(), 1)


def cosine(a: jax.Array, b: jax.Array) -> jax.Array:
    """Cosines [B] float32 of each row of `a` [B, D] with the same row of `b` [B, D]."""
    return jnp.sum(_unit(a.astype(jnp.float32)) * _unit(b.astype(jnp.float32)), axis=-1)


def _distance(a: jax.Array, b: jax.Array) -> jax.Array:
    """Euclidean distances [B]; as in PyTorch, an added 1e-6 keeps the gradient finite."""
    return jnp.sqrt(jnp.sum(jnp.square(a - b.astype(jnp.float32) + 1e-6), axis=-1))


def _check_shapes(**arrays: jax.Array) -> None:
    shapes = {name: array.shape for name, array in arrays.items()}
    if len(set(shapes.values())) > 1:
        found = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
        raise ValueError(f"{found} must have the same shape [B, D]")
