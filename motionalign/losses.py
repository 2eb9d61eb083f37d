"""Contrastive losses, pure functions of embeddings."""

import jax
import jax.numpy as jnp


def _unit(x):
    # rsqrt of a clamped square: the gradient of a zero vector stays finite.
    return x * jax.lax.rsqrt(jnp.maximum(jnp.sum(x * x, axis=-1, keepdims=True), 1e-24))


def _symmetric_cross_entropy(logits, keep=None):
    """Mean of both directions' cross-entropies with the diagonal as target; logits [B, B]."""
    if keep is not None:
        keep = keep | jnp.eye(logits.shape[0], dtype=bool)  # a pair is never its own non-negative
        logits = jnp.where(keep, logits, -jnp.inf)
    diagonal = jnp.diagonal(logits)
    rows = jax.nn.logsumexp(logits, axis=1) - diagonal
    columns = jax.nn.logsumexp(logits, axis=0) - diagonal
    return 0.5 * (rows.mean() + columns.mean())


def info_nce(motion, text, scale):
    """Symmetric InfoNCE (Motion Patches, eq. 2-4, as the mean of the two directions).

    Args:
      motion: [B, D] embeddings, normalised here.
      text: [B, D]; row i describes motion i.
      scale: 1 / temperature.

    Returns:
      A scalar, in float32.
    """
    return masked_info_nce(motion, text, scale)


def masked_info_nce(motion, text, scale, keep=None, text_vectors=None, threshold=None):
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
    if motion.shape != text.shape:
        raise ValueError(f"motion {motion.shape} and text {text.shape} must have one shape [B, D]")
    motion = _unit(motion.astype(jnp.float32))
    text = _unit(text.astype(jnp.float32))
    if text_vectors is not None:
        vectors = _unit(text_vectors.astype(jnp.float32))
        cosine = jnp.matmul(vectors, vectors.T, precision=jax.lax.Precision.HIGHEST)
        distinct = cosine <= threshold
        keep = distinct if keep is None else keep & distinct
    logits = scale * jnp.matmul(motion, text.T, precision=jax.lax.Precision.HIGHEST)
    return _symmetric_cross_entropy(logits, keep)
