"""Losses between motions and texts, pure functions of their embeddings."""

import jax
import jax.numpy as jnp


def _unit(x: jax.Array) -> jax.Array:
    # rsqrt of a clamped square: the gradient of a zero vector stays finite.
    return x * jax.lax.rsqrt(jnp.maximum(jnp.sum(x * x, axis=-1, keepdims=True), 1e-24))


def symmetric_cross_entropy(logits: jax.Array, keep: jax.Array | None = None) -> jax.Array:
    """Mean of both directions' cross-entropies with the diagonal as target.

    InfoNCE over a matrix of scores, whatever scored them (Motion Patches, eq. 2-4).

    Args:
      logits: [B, B] float32 scores of every motion with every text, over the temperature.
      keep: [B, B] bool; False takes a pair out of the denominators. The diagonal always stays.

    Returns:
      A scalar.
    """
    if keep is not None:
        keep = keep | jnp.eye(logits.shape[0], dtype=bool)  # a pair is never its own non-negative
        logits = jnp.where(keep, logits, -jnp.inf)
    diagonal = jnp.diagonal(logits)
    rows = jax.nn.logsumexp(logits, axis=1) - diagonal
    columns = jax.nn.logsumexp(logits, axis=0) - diagonal
    return 0.5 * (rows.mean() + columns.mean())


def info_nce(motion: jax.Array, text: jax.Array, scale: float | jax.Array) -> jax.Array:
    """Symmetric InfoNCE (Motion Patches, eq. 2-4, as the mean of the two directions).

    Args:
      motion: [B, D] embeddings, normalised here.
      text: [B, D]; row i describes motion i.
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
    """Symmetric InfoNCE without the negatives that say nearly the same (Walk and Text, §III).

    Args:
      motion: [B, D] embeddings, normalised here.
      text: [B, D]; row i describes motion i.
      scale: 1 / temperature.
      keep: [B, B] bool; False takes a pair out of the denominators. The diagonal always stays.
      text_vectors: [B, V] sentence vectors of the captions; with `threshold`, pairs whose cosine
        is above it are taken out as well.
      threshold: cosine in -1..1.

    Returns:
      A scalar, in float32.
    """
    if (text_vectors is None) != (threshold is None):
        raise ValueError("text_vectors and threshold go together: give both or neither")
    scores = cosine_scores(motion, text)
    if text_vectors is not None and threshold is not None:
        different = distinct(text_vectors, threshold)
        keep = different if keep is None else keep & different
    return symmetric_cross_entropy(scale * scores, keep)


def cosine_scores(motion: jax.Array, text: jax.Array) -> jax.Array:
    """Cosines [B, B] of every motion with every text, in float32; both [B, D] of any length."""
    _check_shapes(motion=motion, text=text)
    motion = _unit(motion.astype(jnp.float32))
    text = _unit(text.astype(jnp.float32))
    return jnp.matmul(motion, text.T, precision=jax.lax.Precision.HIGHEST)


def distinct(text_vectors: jax.Array, threshold: float) -> jax.Array:
    """[B, B] bool: True where two of the vectors [B, V] have a cosine of at most `threshold`."""
    vectors = _unit(text_vectors.astype(jnp.float32))
    return jnp.matmul(vectors, vectors.T, precision=jax.lax.Precision.HIGHEST) <= threshold


def mse(motion: jax.Array, text: jax.Array) -> jax.Array:
    """Mean squared error over all elements, of vectors as they are (Walk and Text, §III).

    Args:
      motion: [B, D].
      text: [B, D]; row i describes motion i.

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
    """Triplet margin loss with Euclidean distances, of vectors as they are (Walk and Text, §III).

    PyTorch's `TripletMarginLoss`: the mean of max(0, |m - t| - |m - n| + margin).

    Args:
      motion: [B, D].
      text: [B, D]; row i describes motion i.
      negative: [B, D]; row i describes another motion.
      margin: how much nearer the right text must be.
      keep: [B] bool; False leaves a triplet out of the mean, where its negative says nearly the
        same. Nothing kept is a loss of 0.

    Returns:
      A scalar, in float32.
    """
    _check_shapes(motion=motion, text=text, negative=negative)
    motion = motion.astype(jnp.float32)
    return triplet_margin(_distance(motion, text), _distance(motion, negative), margin, keep)


def triplet_margin(
    positive: jax.Array, negative: jax.Array, margin: float, keep: jax.Array | None = None
) -> jax.Array:
    """Mean of max(0, positive - negative + margin) over distances, whatever measured them.

    Args:
      positive: [B] distance of each motion to its text.
      negative: [B] to another motion's text.
      margin: how much smaller the first must be.
      keep: [B] bool; False leaves a triplet out of the mean. Nothing kept is a loss of 0.

    Returns:
      A scalar.
    """
    losses = jax.nn.relu(positive - negative + margin)
    if keep is None:
        return losses.mean()
    return jnp.where(keep, losses, 0.0).sum() / jnp.maximum(keep.sum(), 1)


def cosine(a: jax.Array, b: jax.Array) -> jax.Array:
    """Cosine of each row of `a` [B, D] with that of `b`, [B] float32."""
    return jnp.sum(_unit(a.astype(jnp.float32)) * _unit(b.astype(jnp.float32)), axis=-1)


def _distance(a: jax.Array, b: jax.Array) -> jax.Array:
    """Euclidean, [B]. As in PyTorch 1e-6 is added to each difference: the gradient stays finite."""
    return jnp.sqrt(jnp.sum(jnp.square(a - b.astype(jnp.float32) + 1e-6), axis=-1))


def _check_shapes(**arrays: jax.Array) -> None:
    shapes = {name: array.shape for name, array in arrays.items()}
    if len(set(shapes.values())) > 1:
        found = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
        raise ValueError(f"{found} must have one shape [B, D]")
