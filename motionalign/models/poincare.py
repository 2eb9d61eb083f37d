"""Operations on the Poincaré ball of curvature -c, accurate in float32 at 0 and near the border.

The ball holds the points of norm below 1/√c. The formulas are those of Ganea et al. (2018,
"Hyperbolic neural networks", §2), rearranged where they would subtract nearly equal numbers: with
w = x + y, the numerator and the denominator of the Möbius sum are sums of positive terms, and
distances use asinh instead of arcosh or artanh. Every function is differentiable everywhere, with
a gradient of 0 where a norm or a distance has none.

Points and tangent vectors are float32 arrays [..., D]. "Tangent vector" without a base point means
one at the origin, in the coordinates of the ball.
"""

import jax
import jax.numpy as jnp

MARGIN = 4e-3
"""Points are kept within (1 - MARGIN) / √c of the origin, as geoopt does in float32."""

_SMALL = 0.03  # below it, the series are exact in float32, and the quotients lose digits


def _squared_norm(x: jax.Array) -> jax.Array:
    """The squared norms [..., 1] of [..., D]."""
    return jnp.sum(x * x, axis=-1, keepdims=True)


def _safe_sqrt(x: jax.Array) -> jax.Array:
    """Square root with a derivative of 0 at 0."""
    positive = x > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, x, 1.0)), 0.0)


def _norm(x: jax.Array) -> jax.Array:
    """The norms [..., 1] of [..., D]."""
    return _safe_sqrt(_squared_norm(x))


def _tanh_ratio(s: jax.Array) -> jax.Array:
    """tanh(√s) / √s for s >= 0."""
    t = jnp.minimum(s, _SMALL)  # an infinite branch not taken would make the gradient NaN
    series = 1 + t * (-1 / 3 + t * (2 / 15 + t * (-17 / 315 + t * 62 / 2835)))
    root = jnp.sqrt(jnp.maximum(s, _SMALL))
    return jnp.where(s < _SMALL, series, jnp.tanh(root) / root)


def _artanh_ratio(s: jax.Array) -> jax.Array:
    """artanh(√s) / √s for 0 <= s < 1."""
    t = jnp.minimum(s, _SMALL)
    series = 1 + t * (1 / 3 + t * (1 / 5 + t * (1 / 7 + t / 9)))
    root = jnp.sqrt(jnp.maximum(s, _SMALL))
    return jnp.where(s < _SMALL, series, jnp.arctanh(root) / root)


def _squared_asinh(s: jax.Array) -> jax.Array:
    """asinh(√s)² for s >= 0."""
    t = jnp.minimum(s, _SMALL)
    series = t * (1 + t * (-1 / 3 + t * (8 / 45 + t * (-4 / 35 + t * 128 / 1575))))
    large = jnp.arcsinh(jnp.sqrt(jnp.maximum(s, _SMALL))) ** 2
    return jnp.where(s < _SMALL, series, large)


def project(x: jax.Array, c: float) -> jax.Array:
    """Moves points [..., D] that are too near the border, or outside, to (1 - MARGIN) / √c."""
    most = (1 - MARGIN) / c**0.5
    norm = _norm(x)
    outside = norm > most
    return jnp.where(outside, x * (most / jnp.where(outside, norm, 1.0)), x)


def _gap(x: jax.Array, c: float) -> jax.Array:
    """1 - c |x|² as a product [..., 1], in which nothing cancels."""
    norm = c**0.5 * _norm(x)
    return (1 - norm) * (1 + norm)


def exp0(u: jax.Array, c: float) -> jax.Array:
    """Exponential map at the origin: tangent vectors [..., D] to points, projected."""
    return project(_tanh_ratio(c * _squared_norm(u)) * u, c)


def log0(x: jax.Array, c: float) -> jax.Array:
    """Logarithmic map at the origin, the inverse of `exp0`: points [..., D] to tangent vectors."""
    x = project(x, c)
    return _artanh_ratio(c * _squared_norm(x)) * x


def mobius_add(x: jax.Array, y: jax.Array, c: float) -> jax.Array:
    """Möbius sum x ⊕ y of points [..., D]; not projected."""
    w = x + y
    squared = c * _squared_norm(w)
    gap = _gap(x, c)
    return (gap * w + squared * x) / (gap * _gap(y, c) + squared)


def exp_step(x: jax.Array, u: jax.Array, c: float) -> jax.Array:
    """Moves points x [..., D] along geodesics: x ⊕ exp0(u), projected.

    The exponential map at x of the tangent vector v there is `exp_step` of u = λ v / 2.
    """
    end = _tanh_ratio(c * _squared_norm(u)) * u  # the step itself may be longer than the margin
    return project(mobius_add(x, end, c), c)


def log_step(x: jax.Array, y: jax.Array, c: float) -> jax.Array:
    """The u [..., D] with `exp_step(x, u) = y`, of half the length of the geodesic."""
    towards = mobius_add(-x, y, c)
    norm = _norm(towards)
    length = 0.5 * distance(x, y, c)[..., None]
    return towards * (length / jnp.where(norm > 0, norm, 1.0))


def _squared(chord: jax.Array, gaps: jax.Array, c: float) -> jax.Array:
    """Squared geodesic distance from the squared chord and the product of both 1 - c |x|²."""
    return (4 / c) * _squared_asinh(c * chord / gaps)


def squared_distance(x: jax.Array, y: jax.Array, c: float) -> jax.Array:
    """Squared geodesic distances [...] between points [..., D] of the same place."""
    return _squared(_squared_norm(x - y), _gap(x, c) * _gap(y, c), c)[..., 0]


def distance(x: jax.Array, y: jax.Array, c: float) -> jax.Array:
    """Geodesic distances [...] between points [..., D] of the same place."""
    return _safe_sqrt(squared_distance(x, y, c))


def squared_distances(x: jax.Array, y: jax.Array, c: float) -> jax.Array:
    """Squared geodesic distances [N, U] between all points [N, D] and all points [U, D].

    The chords come from dot products (see `squared_chords`), so a distance far smaller than the
    points' spread has few digits; compare close candidates by `squared_distance`.
    """
    return _squared(squared_chords(x, y), _gap(x, c) * _gap(y, c).T, c)


def squared_chords(x: jax.Array, y: jax.Array) -> jax.Array:
    """Squared Euclidean distances [N, U] between [N, D] and [U, D], without an [N, U, D].

    |x|² + |y|² - 2 x·y, about the mean of y, so that its digits are those of the spread and not of
    the distance from the origin. The error is about 1e-7 times the largest of these squares.
    """
    centre = jax.lax.stop_gradient(y.mean(axis=0))
    x, y = x - centre, y - centre
    dots = jnp.matmul(x, y.T, precision=jax.lax.Precision.HIGHEST)
    return jnp.maximum(_squared_norm(x) + _squared_norm(y).T - 2 * dots, 0.0)
