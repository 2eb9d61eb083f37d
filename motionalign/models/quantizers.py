"""Vector quantizers: features to the nearest of U codes, the words of a motion's sentence.

A codebook is state, not a parameter: its codes follow the features by an exponential moving average
(EMA), as in T2M-GPT (Zhang et al., 2023; `models/quantize_cnn.py`), and are taken from the features
of the first training batch. A code that is hardly used is replaced by a feature of the batch. A
step is a pure function of (state, batch, random key).

A new quantizer is one class and one line in `CODEBOOKS`.
"""

import dataclasses
from typing import NamedTuple, Protocol

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

from motionalign.models import layers, poincare

CONTINUOUS = "none"


class State(nnx.Variable):
    """State that is not a parameter: stored in checkpoints, not seen by the optimizer."""


@dataclasses.dataclass(frozen=True)
class QuantizerConfig(layers.Config):
    """Kind and size of a quantizer.

    Attributes:
      kind: a key of `CODEBOOKS`, or "none": features stay continuous.
      codes: number of codes, U. T2M-GPT and MotionGPT: 512.
      width: D, the width of the features and of the codes' vectors; that of the language model's
        word embeddings.
      factor: width of the space in which codes are looked up, to which features are projected by
        a matrix, and back by another. One starts orthonormal, the other as its transpose. None: D,
        without projections. Ours.
      decay: decay of the moving averages. T2M-GPT: 0.99.
      revive: a code whose average count per batch is below this share of the mean over the codes is
        replaced. T2M-GPT replaces codes with a count below 1, an eighth of the mean there. Words
        that follow Zipf's law are often rarer, and in a small batch most codes would be replaced
        at every step; the default is ours.
      curvature: c of the Poincaré ball; its radius is 1/√c.
      standardise: whether features are centred and scaled to a root mean square norm of 1 before
        they are looked up, by the statistics of the batch in training and by their moving averages
        otherwise, as by batch normalisation (Łańcucki et al., 2020), with one scale for all
        coordinates. Without, they grow to the border of the ball, where the nearest code is the
        one nearest to the origin, whatever its direction (ours).
      candidates: number of codes, nearest by approximate distances, among which the nearest is
        chosen by exact ones. Ours.
    """

    kind: str
    codes: int
    width: int
    factor: int | None = None
    decay: float = 0.99
    revive: float = 0.03
    curvature: float = 1.0
    standardise: bool = True
    candidates: int = 4

    def __post_init__(self) -> None:
        """Raises a ValueError for invalid names or values."""
        layers.check_types(type(self), vars(self))
        layers.check_choice(self.kind, (*CODEBOOKS, CONTINUOUS), "QuantizerConfig.kind")
        for name in ("codes", "width", "factor", "candidates"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"QuantizerConfig.{name} is {value}; it must be at least 1")
        if not 0 <= self.decay < 1:
            raise ValueError(f"QuantizerConfig.decay is {self.decay}; it must be in [0, 1)")
        if not 0 <= self.revive <= 1:
            raise ValueError(f"QuantizerConfig.revive is {self.revive}; it must be in [0, 1]")
        if self.curvature <= 0:
            raise ValueError(f"QuantizerConfig.curvature is {self.curvature}; it must be positive")

    @property
    def has_codes(self) -> bool:
        """Whether features are quantised at all."""
        return self.kind != CONTINUOUS

    @property
    def inner(self) -> int:
        """Width K of the space in which codes are looked up."""
        return self.factor if self.factor and self.has_codes else self.width


class Quantized(NamedTuple):
    """Quantised features; of a continuous quantizer, the fields that can be None are.

    Attributes:
      vectors: [..., D] float32, the codes' vectors, with the gradient of the features (straight
        through). They equal rows of `Quantizer.vectors`; 0 where the mask is False.
      codes: [...] int32, ids of the codes, -1 where the mask is False.
      squared_distances: [..., U] float32, from each feature to each code, differentiable.
      commitment: scalar, mean squared distance from the features to their codes, as a loss of the
        features.
      embedding: the same as a loss of the codes; 0 if the codes are not parameters.
      perplexity: scalar, exp of the entropy in nats of the codes' frequencies in the batch.
      used: scalar, number of codes in the batch.
    """

    vectors: jax.Array
    codes: jax.Array | None
    squared_distances: jax.Array | None
    commitment: jax.Array
    embedding: jax.Array
    perplexity: jax.Array | None
    used: jax.Array | None


class Codebook(Protocol):
    """Geometry of a codebook, constructed as `CODEBOOKS[kind](config)`: pure functions.

    Points are what is compared and averaged; vectors are what the decoder and the language model
    see. Both have width K.
    """

    def __init__(self, config: QuantizerConfig) -> None:
        """Takes the config of the quantizer."""

    def points(self, vectors: jax.Array) -> jax.Array:
        """Maps vectors [..., K] to points [..., K]."""

    def vectors(self, points: jax.Array) -> jax.Array:
        """Maps points [..., K] to vectors [..., K]."""

    def pairwise(self, x: jax.Array, codes: jax.Array) -> jax.Array:
        """Squared distances [N, U] of all points [N, K] to all codes [U, K]."""

    def paired(self, x: jax.Array, y: jax.Array) -> jax.Array:
        """Squared distances [...] of points [..., K] of the same place."""

    def step(self, start: jax.Array, end: jax.Array) -> jax.Array:
        """Tangent vectors [..., K] from points to points, which are averaged."""

    def move(self, start: jax.Array, step: jax.Array) -> jax.Array:
        """Inverse of `step` in its second argument: the points where tangent vectors lead."""


class Euclidean:
    """Codes in Euclidean space: points are vectors."""

    def __init__(self, config: QuantizerConfig) -> None:
        pass

    def points(self, vectors: jax.Array) -> jax.Array:
        """See `Codebook`."""
        return vectors

    def vectors(self, points: jax.Array) -> jax.Array:
        """See `Codebook`."""
        return points

    def pairwise(self, x: jax.Array, codes: jax.Array) -> jax.Array:
        """See `Codebook`."""
        return poincare.squared_chords(x, codes)

    def paired(self, x: jax.Array, y: jax.Array) -> jax.Array:
        """See `Codebook`."""
        return jnp.sum(jnp.square(x - y), axis=-1)

    def step(self, start: jax.Array, end: jax.Array) -> jax.Array:
        """See `Codebook`."""
        return end - start

    def move(self, start: jax.Array, step: jax.Array) -> jax.Array:
        """See `Codebook`."""
        return start + step


class Hyperbolic:
    """Codes in the Poincaré ball: exp0 in, geodesic distances, log0 out (LLM-AR).

    The average of features is taken in the tangent space of their code, so that a code moves along
    geodesics and converges to the Fréchet mean (ours; LLM-AR does not publish how it trains its
    codes). With a curvature near 0 this is the Euclidean codebook.
    """

    def __init__(self, config: QuantizerConfig) -> None:
        self._c = config.curvature

    def points(self, vectors: jax.Array) -> jax.Array:
        """See `Codebook`."""
        return poincare.exp0(vectors, self._c)

    def vectors(self, points: jax.Array) -> jax.Array:
        """See `Codebook`."""
        return poincare.log0(points, self._c)

    def pairwise(self, x: jax.Array, codes: jax.Array) -> jax.Array:
        """See `Codebook`."""
        return poincare.squared_distances(x, codes, self._c)

    def paired(self, x: jax.Array, y: jax.Array) -> jax.Array:
        """See `Codebook`."""
        return poincare.squared_distance(x, y, self._c)

    def step(self, start: jax.Array, end: jax.Array) -> jax.Array:
        """See `Codebook`."""
        return poincare.log_step(start, end, self._c)

    def move(self, start: jax.Array, step: jax.Array) -> jax.Array:
        """See `Codebook`."""
        return poincare.exp_step(start, step, self._c)


CODEBOOKS: dict[str, type[Codebook]] = {"euclidean": Euclidean, "hyperbolic": Hyperbolic}


def nearest(book: Codebook, x: jax.Array, codes: jax.Array, candidates: int) -> jax.Array:
    """Ids [N] int32 of the codes [U, K] nearest to points [N, K].

    Pairwise distances choose the candidates, whose order is decided by paired distances, since the
    former have few digits between close codes. Of equally near codes the first is taken.
    """
    x, codes = jax.lax.stop_gradient((x, codes))
    approximate = book.pairwise(x, codes)
    _, ids = jax.lax.top_k(-approximate, min(candidates, len(codes)))
    ids = jnp.sort(ids, axis=-1)
    exact = book.paired(x[:, None], codes[ids])
    best = jnp.argmin(exact, axis=-1, keepdims=True)
    return jnp.take_along_axis(ids, best, axis=-1)[:, 0].astype(jnp.int32)


def sample_rows(x: jax.Array, mask: jax.Array, count: int, key: jax.Array) -> jax.Array:
    """`count` rows of x [N, K] where mask [N] is True, in random order, without replacement.

    If there are fewer rows, they are repeated with noise of 1% of the rows' spread per coordinate
    (ours; T2M-GPT adds a constant), so that no two are equal.
    """
    order_key, noise_key = jax.random.split(key)
    order = jnp.argsort(jnp.where(mask, jax.random.uniform(order_key, mask.shape), 2.0))
    total = mask.sum()
    place = jnp.arange(count)
    rows = x[order[place % jnp.maximum(total, 1)]]
    weights = mask[:, None] / jnp.maximum(total, 1)
    spread = jnp.sqrt(jnp.sum(weights * jnp.square(x - jnp.sum(weights * x, axis=0)), axis=0))
    noise = 0.01 * (spread + 1e-6) * jax.random.normal(noise_key, rows.shape)
    return rows + jnp.where((place >= total)[:, None], noise, 0.0)


class Quantizer(nnx.Module):
    """A codebook with its moving averages, or the identity if `config.kind` is "none"."""

    def __init__(
        self, config: QuantizerConfig, dtype: DTypeLike = jnp.float32, *, rngs: nnx.Rngs
    ) -> None:
        """Draws random codes, which the first training batch replaces; always float32."""
        c = self.config = config
        if c.kind == CONTINUOUS:
            return
        self._book = CODEBOOKS[c.kind](c)
        drawn = jax.random.normal(rngs.params(), (c.codes, c.inner)) / c.inner**0.5
        self.points = State(self._book.points(drawn))
        self.counts = State(jnp.ones((c.codes,)))
        self.batches = State(jnp.zeros((), jnp.int32))
        if c.standardise:
            self.centre = State(jnp.zeros((c.inner,)))
            self.variance = State(jnp.ones(()))
        if c.factor:
            widen = nnx.initializers.orthogonal()(rngs.params(), (c.factor, c.width))
            self.widen, self.narrow = nnx.Param(widen), nnx.Param(widen.T)

    def vectors(self) -> jax.Array:
        """The codes' vectors [U, D]: of a hyperbolic codebook log0 of the codes, then widened."""
        if self.config.kind == CONTINUOUS:
            raise ValueError("a tokenizer of continuous features (quantizer 'none') has no codes")
        return self._widened(self._book.vectors(self.points[...]))

    def look_up(self, codes: jax.Array) -> jax.Array:
        """The vectors [..., D] of codes [...]; 0 for the id -1."""
        vectors = self.vectors()[jnp.maximum(codes, 0)]
        return jnp.where((codes >= 0)[..., None], vectors, 0.0)

    def _widened(self, vectors: jax.Array) -> jax.Array:
        """Vectors [..., K] as vectors [..., D]."""
        c = self.config
        return vectors @ self.widen[...] if c.has_codes and c.factor else vectors

    def _narrowed(self, features: jax.Array) -> jax.Array:
        """Features [..., D] as features [..., K]."""
        c = self.config
        return features @ self.narrow[...] if c.has_codes and c.factor else features

    def raised(self, coordinates: jax.Array) -> jax.Array:
        """Features [..., D] with these first coordinates [..., P] in the space of the codes."""
        missing = self.config.inner - coordinates.shape[-1]
        padded = jnp.pad(coordinates, [(0, 0)] * (coordinates.ndim - 1) + [(0, missing)])
        return self._widened(padded)

    def lowered(self, vectors: jax.Array, count: int) -> jax.Array:
        """Inverse of `raised` for the vectors [..., D] of codes: the first coordinates."""
        inner = self._narrowed(vectors)
        if self.config.has_codes and self.config.standardise:
            inner = inner * jnp.sqrt(self.variance[...]) + self.centre[...]
        return inner[..., :count]

    def __call__(
        self, features: jax.Array, mask: jax.Array | None = None, rngs: nnx.Rngs | None = None
    ) -> Quantized:
        """Quantises features; in training, the codebook follows them afterwards.

        Args:
          features: [..., D].
          mask: [...] bool; where it is False, a feature does not count. None: all count.
          rngs: stream `dropout` draws the features that become codes; None in evaluation, which
            leaves the state unchanged.
        """
        lead = features.shape[:-1]
        features = features.astype(jnp.float32)
        mask = jnp.ones(lead, bool) if mask is None else jnp.broadcast_to(mask, lead)
        zero = jnp.zeros(())
        if self.config.kind == CONTINUOUS:
            vectors = jnp.where(mask[..., None], features, 0.0)
            return Quantized(vectors, None, None, zero, zero, None, None)
        inner = self._narrowed(features)
        inner = jnp.where(mask[..., None], inner, 0.0).reshape(-1, self.config.inner)
        flat = mask.reshape(-1)
        if self.config.standardise:
            inner = self._standardised(inner, flat, training=rngs is not None)
        x = self._book.points(inner)
        if rngs is not None:
            sample = sample_rows(jax.lax.stop_gradient(x), flat, self.config.codes, rngs.dropout())
            self._begin(sample, flat)
        codes = self.points[...]
        ids = nearest(self._book, x, codes, self.config.candidates)
        chosen = self._book.vectors(codes)[ids]
        # The difference is exactly 0, so that the value is that of the code.
        through = (inner - jax.lax.stop_gradient(inner)) + jax.lax.stop_gradient(chosen)
        vectors = jnp.where(flat[:, None], self._widened(through), 0.0)
        total = jnp.maximum(flat.sum(), 1)
        commitment = jnp.sum(jnp.where(flat, self._book.paired(x, codes[ids]), 0.0)) / total
        hits = jnp.zeros(self.config.codes).at[ids].add(flat.astype(jnp.float32))
        share = hits / total
        entropy = -jnp.sum(share * jnp.log(jnp.where(share > 0, share, 1.0)))
        distances = self._book.pairwise(x, codes)
        if rngs is not None:
            self._follow(jax.lax.stop_gradient(x), ids, flat, hits, sample)
        return Quantized(
            vectors.reshape(*lead, -1),
            jnp.where(flat, ids, -1).reshape(lead),
            distances.reshape(*lead, -1),
            commitment,
            zero,
            jnp.exp(entropy),
            (hits > 0).sum(),
        )

    def _standardised(self, inner: jax.Array, mask: jax.Array, *, training: bool) -> jax.Array:
        """Features [N, K] with mean 0 and a norm of 1; see `QuantizerConfig.standardise`."""
        if not training:
            return (inner - self.centre[...]) / jnp.sqrt(self.variance[...] + 1e-12)
        total, there = jnp.maximum(mask.sum(), 1), mask[:, None]
        mean = jnp.where(there, inner, 0.0).sum(axis=0) / total
        variance = jnp.where(there, jnp.square(inner - mean), 0.0).sum() / total
        decay = jnp.where(self.batches[...] == 0, 0.0, self.config.decay)
        decay = jnp.where(mask.any(), decay, 1.0)
        for state, value in ((self.centre, mean), (self.variance, variance)):
            state[...] = decay * state[...] + (1 - decay) * jax.lax.stop_gradient(value)
        return (inner - mean) / jnp.sqrt(variance + 1e-12)

    def _begin(self, sample: jax.Array, mask: jax.Array) -> None:
        """Takes the codes from the features of the first batch that has any."""
        first = (self.batches[...] == 0) & mask.any()
        self.points[...] = jnp.where(first, sample, self.points[...])
        self.counts[...] = jnp.where(first, mask.sum() / self.config.codes, self.counts[...])
        self.batches[...] = self.batches[...] + mask.any()

    def _follow(
        self,
        x: jax.Array,
        ids: jax.Array,
        mask: jax.Array,
        hits: jax.Array,
        sample: jax.Array,
    ) -> None:
        """Moves the codes towards the mean of their features; replaces those hardly used.

        In Euclidean space this equals the ratio of the moving averages of sums and counts.
        """
        c, points = self.config, self.points[...]
        counts = c.decay * self.counts[...] + (1 - c.decay) * hits
        total = counts.sum()
        smoothed = (counts + 1e-5) / (total + 1e-5 * c.codes) * total  # Laplace smoothing
        steps = jnp.where(mask[:, None], self._book.step(points[ids], x), 0.0)
        mean = jnp.zeros_like(points).at[ids].add(steps) / smoothed[:, None]
        moved = self._book.move(points, (1 - c.decay) * mean)
        dead = counts < c.revive * total / c.codes
        moved = jnp.where(dead[:, None], sample, moved)
        # A replaced code begins with the mean count, so that it has time to be used (ours).
        counts = jnp.where(dead, total / c.codes, counts)
        self.points[...] = jnp.where(mask.any(), moved, points)
        self.counts[...] = jnp.where(mask.any(), counts, self.counts[...])
