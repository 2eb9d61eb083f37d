"""Losses of a motion tokenizer: pure functions of arrays.

LLM-AR (Qu et al., 2024) trains its tokenizer with reconstruction, embedding and commitment losses
and with three biases towards human language: Zipf's law, context sensitivity and alignment with the
word embeddings. It publishes neither formulas nor code for the biases; these are ours, with a
peer's values where one has published some.
"""

import jax
import jax.numpy as jnp

ZIPF_OFFSET = 2.7
"""Offset of the rank in Zipf-Mandelbrot's law, p(rank) ∝ 1 / (rank + 2.7), as in Mojito."""

KERNEL_WIDTHS = (0.25, 0.5, 1.0, 2.0, 4.0)
"""Widths of the kernels of `alignment` in units of the mean squared distance. Ours."""


def _masked_mean(values: jax.Array, mask: jax.Array) -> jax.Array:
    """Mean over the places where `mask` is True; 0 if there are none."""
    mask = jnp.broadcast_to(mask, values.shape)
    return jnp.where(mask, values, 0.0).sum() / jnp.maximum(mask.sum(), 1)


def _smooth_l1(difference: jax.Array) -> jax.Array:
    """0.5 d² for |d| < 1 and |d| - 0.5 beyond, as PyTorch's `SmoothL1Loss`."""
    size = jnp.abs(difference)
    return jnp.where(size < 1, 0.5 * jnp.square(difference), size - 0.5)


def reconstruction(predicted: jax.Array, wanted: jax.Array, persons: jax.Array) -> jax.Array:
    """Mean smooth L1 loss of normalised channels [B, M, F, C] over the persons [B, M] (T2M-GPT)."""
    return _masked_mean(_smooth_l1(predicted - wanted), persons[:, :, None, None])


def velocity(predicted: jax.Array, wanted: jax.Array, persons: jax.Array) -> jax.Array:
    """`reconstruction` of the differences between consecutive frames (T2M-GPT, weight 0.5)."""
    return reconstruction(jnp.diff(predicted, axis=2), jnp.diff(wanted, axis=2), persons)


def soft_frequencies(
    squared_distances: jax.Array,
    mask: jax.Array,
    temperature: float,
    key: jax.Array | None = None,
) -> jax.Array:
    """Differentiable token frequencies [U] of a batch, which sum to 1.

    The mean of softmax(-squared distance / temperature) over the tokens, with Gumbel noise if there
    is a key (Mojito: temperature 0.1).

    Args:
      squared_distances: [..., U] from each feature to each code.
      mask: [...] bool, True at the tokens that count.
      temperature: of the softmax.
      key: random key of the noise; None: no noise.
    """
    logits = -squared_distances.astype(jnp.float32)
    if key is not None:
        logits = logits + jax.random.gumbel(key, logits.shape)
    shares = jax.nn.softmax(logits / temperature, axis=-1)
    shares = jnp.where(mask[..., None], shares, 0.0).reshape(-1, shares.shape[-1])
    return shares.sum(axis=0) / jnp.maximum(mask.sum(), 1)


def zipf_law(count: int) -> jax.Array:
    """Zipf-Mandelbrot's law for `count` words: the frequencies [U] in descending order."""
    weights = 1.0 / (jnp.arange(1, count + 1) + ZIPF_OFFSET)
    return weights / weights.sum()


def zipf(frequencies: jax.Array) -> jax.Array:
    """Jensen-Shannon divergence in nats of ranked frequencies [U] from Zipf-Mandelbrot's law.

    0 for frequencies that follow the law, at most log 2. Mojito weighs it by 0.2, but divides by
    the number of codes once more, so that its effective weight is 0.2 / 1024.
    """
    ranked = jnp.sort(frequencies.astype(jnp.float32), descending=True)
    law = zipf_law(len(frequencies))
    middle = 0.5 * (ranked + law)
    return 0.5 * (_relative_entropy(ranked, middle) + _relative_entropy(law, middle))


def _relative_entropy(p: jax.Array, q: jax.Array) -> jax.Array:
    """Sum of p log(p / q); terms with p = 0 are 0."""
    # The logarithm of smaller ones, which vanish in the sum, would have an infinite gradient.
    positive = p > 1e-20
    ratio = jnp.where(positive, p, 1.0) / jnp.where(positive, q, 1.0)
    return jnp.sum(jnp.where(positive, p * jnp.log(ratio), 0.0))


def frequencies(codes: jax.Array, count: int) -> jax.Array:
    """Frequencies [U] of codes [...], which sum to 1; negative codes do not count."""
    codes = codes.reshape(-1)
    hits = jnp.zeros(count).at[jnp.maximum(codes, 0)].add((codes >= 0).astype(jnp.float32))
    return hits / jnp.maximum(hits.sum(), 1.0)


def context(
    summaries: jax.Array, vectors: jax.Array, codes: jax.Array, scale: float = 1.0
) -> tuple[jax.Array, jax.Array]:
    """How well tokens are predicted from their neighbours, an InfoNCE over the tokens of a batch.

    The prediction of a token from its neighbours is compared with the vectors of all tokens of the
    batch; the loss is minus the log of the softmax's share of the tokens with the same code. This
    is the cross-entropy of the code under p(code) ∝ (frequency in the batch) · exp(score), so it is
    at least 0, and a prediction that does not depend on the neighbours gives no less than the
    entropy of the frequencies. Entropy minus loss is a lower bound of the mutual information
    between a token and its neighbours, up to the noise of a batch.

    Args:
      summaries: [..., D] prediction of each token from its neighbours.
      vectors: [..., D] vectors of the tokens.
      codes: [...] int32 codes of the tokens; negative ones do not count.
      scale: factor of the scores, which are dot products divided by √D.

    Returns:
      The loss, and the entropy of the frequencies; both in nats.
    """
    width = vectors.shape[-1]
    summaries = summaries.reshape(-1, width).astype(jnp.float32)
    vectors = vectors.reshape(-1, width).astype(jnp.float32)
    codes = codes.reshape(-1)
    valid = codes >= 0
    scores = jnp.matmul(summaries, vectors.T, precision=jax.lax.Precision.HIGHEST)
    scores = jnp.where(valid, scores * (scale / width**0.5), -jnp.inf)
    same = (codes[:, None] == codes) & valid
    # A row without valid tokens would be -inf - -inf; it does not count, but would spoil gradients.
    safe = valid[:, None] & valid
    every = jax.nn.logsumexp(jnp.where(safe, scores, -1e9), axis=1)
    right = jax.nn.logsumexp(jnp.where(same & safe, scores, -1e9), axis=1)
    total = jnp.maximum(valid.sum(), 1)
    alike = jnp.maximum((same & safe).sum(axis=1), 1)
    entropy = _masked_mean(jnp.log(total) - jnp.log(alike), valid)
    return _masked_mean(every - right, valid), entropy


def alignment(vectors: jax.Array, words: jax.Array, mask: jax.Array | None = None) -> jax.Array:
    """Squared maximum mean discrepancy of two sets of vectors, biased (V-statistic), at least 0.

    The kernel is a mean of Gaussians exp(-d² / (2 w)) whose widths w are `KERNEL_WIDTHS` times the
    mean squared distance d² between the two sets together, which is treated as a constant.

    Args:
      vectors: [N, D] the codes' vectors.
      words: [S, D] word embeddings.
      mask: [N] bool, True at the vectors that count; None: all count.
    """
    vectors, words = vectors.astype(jnp.float32), words.astype(jnp.float32)
    weights = jnp.ones(len(vectors)) if mask is None else mask.astype(jnp.float32)
    signed = jnp.concatenate(
        [
            weights / jnp.maximum(weights.sum(), 1.0),
            jnp.full(len(words), -1.0 / len(words)),
        ]
    )
    both = jnp.concatenate([vectors, words])
    both = both - jax.lax.stop_gradient(jnp.abs(signed) @ both / jnp.abs(signed).sum())
    squares = jnp.sum(both * both, axis=-1)
    dots = jnp.matmul(both, both.T, precision=jax.lax.Precision.HIGHEST)
    distances = jnp.maximum(squares[:, None] + squares - 2 * dots, 0.0)
    share = jnp.abs(signed) / jnp.abs(signed).sum()
    mean = jax.lax.stop_gradient(jnp.maximum(share @ distances @ share, 1e-12))
    kernels = [jnp.exp(-distances / (2 * width * mean)) for width in KERNEL_WIDTHS]
    kernel = sum(kernels[1:], kernels[0]) / len(kernels)
    return jnp.maximum(signed @ kernel @ signed, 0.0)


def position_error(reconstruction: jax.Array, target: jax.Array, persons: jax.Array) -> jax.Array:
    """Mean distance in mm between joints of bodies [B, F, M, J, 3] in metres, of persons [B, M]."""
    distances = jnp.sqrt(jnp.sum(jnp.square(reconstruction - target), axis=-1))
    return 1000 * _masked_mean(distances, persons[:, None, :, None])
