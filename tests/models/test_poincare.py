"""The Poincaré ball against mpmath at 50 digits: values and gradients, at 0 and at the border."""

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest
from mpmath import mp

from motionalign.models import poincare

DIGITS = 50
CURVATURES = (0.5, 1.0)
# Norms of points in units of the radius: the origin, tiny, usual, and as near the border as any.
RADII = (0.0, 1e-12, 1e-6, 1e-3, 0.1, 0.173, 0.5, 0.9, 0.99, 0.9959)


def exact(x):
    """A float32 vector as mpmath numbers, without rounding."""
    return [mpmath.mpf(float(v)) for v in np.asarray(x, np.float32)]


def dot(x, y):
    return sum(a * b for a, b in zip(x, y, strict=True))


def reference_exp0(u, c):
    norm = mpmath.sqrt(c * dot(u, u))
    return [v * (mpmath.tanh(norm) / norm if norm else 1) for v in u]


def reference_log0(x, c):
    norm = mpmath.sqrt(c * dot(x, x))
    return [v * (mpmath.atanh(norm) / norm if norm else 1) for v in x]


def reference_sum(x, y, c):
    xy, xx, yy = dot(x, y), dot(x, x), dot(y, y)
    below = 1 + 2 * c * xy + c * c * xx * yy
    return [
        ((1 + 2 * c * xy + c * yy) * a + (1 - c * xx) * b) / below
        for a, b in zip(x, y, strict=True)
    ]


def reference_distance(x, y, c):
    chord = dot([a - b for a, b in zip(x, y, strict=True)], [a - b for a, b in zip(x, y)])
    inside = 1 + 2 * c * chord / ((1 - c * dot(x, x)) * (1 - c * dot(y, y)))
    return mpmath.acosh(inside) / mpmath.sqrt(c)


def reference_gradient(function, x):
    """Central differences with a step of 1e-20, whose error is far below float32's."""
    step, gradient = mpmath.mpf(10) ** -20, []
    for place in range(len(x)):
        up, down = list(x), list(x)
        up[place] += step
        down[place] -= step
        gradient.append((function(up) - function(down)) / (2 * step))
    return gradient


def points(radius, c, count=2, seed=0):
    """Random float32 points [count, 3] of one norm, given in units of the ball's radius."""
    x = np.random.default_rng(seed).normal(size=(count, 3))
    x *= radius / c**0.5 / np.linalg.norm(x, axis=-1, keepdims=True)
    return x.astype(np.float32)


def check(ours, expected, rtol):
    """Compares by the largest element of the vector, in units of which `rtol` is."""
    expected = np.asarray([float(v) for v in expected])
    scale = np.abs(expected).max()
    np.testing.assert_allclose(np.asarray(ours), expected, rtol=0, atol=rtol * scale + 1e-37)


@pytest.fixture(autouse=True)
def precision():
    with mp.workdps(DIGITS):
        yield


@pytest.mark.parametrize("c", CURVATURES)
@pytest.mark.parametrize("radius", RADII)
def test_exp0_and_log0(radius, c):
    x = points(radius, c)[0]
    u = np.float32([float(v) for v in reference_log0(exact(x), c)])
    direction = exact(points(1.0, c, seed=5)[0])
    for ours, reference, start in (
        (poincare.exp0, reference_exp0, u),
        (poincare.log0, reference_log0, x),
    ):
        check(ours(start, c), reference(exact(start), c), 3e-5)
        weights = jnp.float32([float(v) for v in direction])
        gradient = jax.grad(lambda v, f=ours, w=weights: f(v, c) @ w)(start)
        expected = reference_gradient(lambda v, f=reference: dot(f(v, c), direction), exact(start))
        check(gradient, expected, 1e-4)


@pytest.mark.parametrize("c", CURVATURES)
@pytest.mark.parametrize("radius", RADII)
def test_mobius_sum(radius, c):
    for other in RADII:
        x, y = points(radius, c, seed=1)[0], points(other, c, seed=2)[0]
        check(poincare.mobius_add(x, y, c), reference_sum(exact(x), exact(y), c), 5e-5)
    # Nearly opposite points, of whose sum the usual formula loses all digits at the border.
    near = -x * np.float32(0.999)
    check(poincare.mobius_add(x, near, c), reference_sum(exact(x), exact(near), c), 1e-4)


@pytest.mark.parametrize("c", CURVATURES)
@pytest.mark.parametrize("radius", RADII[1:])
@pytest.mark.parametrize("apart", [1e-4, 0.01, 1.0])
def test_distance_and_its_gradient(radius, apart, c):
    x, y = points(radius, c)
    y = (1 - np.float32(apart)) * x + np.float32(apart) * y
    expected = reference_distance(exact(x), exact(y), c)
    check([poincare.distance(x, y, c)], [expected], 5e-5)
    check([poincare.squared_distance(x, y, c)], [expected**2], 1e-4)
    gradient = reference_gradient(lambda v: reference_distance(v, exact(y), c) ** 2, exact(x))
    check(jax.grad(lambda v: poincare.squared_distance(v, y, c))(x), gradient, 2e-4)


def test_what_has_no_gradient_has_0():
    zero, x = jnp.zeros(3), jnp.float32([0.3, 0, 0])
    for function in (poincare.distance, poincare.squared_distance):
        for point in (zero, x):
            value, gradient = jax.value_and_grad(lambda v, f=function: f(v, v, 1.0))(point)
            assert value == 0
            np.testing.assert_array_equal(gradient, 0)
    gradient = jax.grad(lambda v: poincare.squared_distances(v[None], v[None], 1.0).sum())(x)
    np.testing.assert_allclose(gradient, 0, atol=1e-5)


@pytest.mark.parametrize("c", CURVATURES)
def test_points_outside_are_projected(c):
    far = np.float32([[3, 4, 0], [1e18, 0, 0], [0.1, 0.2, 0.3]])
    inside = poincare.project(far, c)
    most = (1 - poincare.MARGIN) / c**0.5
    np.testing.assert_allclose(inside[0], np.float32([0.6, 0.8, 0]) * most, rtol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(inside[1]), most, rtol=1e-6)
    np.testing.assert_array_equal(inside[2], far[2])
    assert np.linalg.norm(poincare.exp0(far, c), axis=-1).max() <= most * (1 + 1e-6)
    assert np.isfinite(poincare.log0(far, c)).all()
    assert np.isfinite(jax.jacobian(poincare.exp0)(far[1], c)).all()


def test_pairwise_distances_equal_paired_ones():
    rng = np.random.default_rng(3)
    x, y = (poincare.exp0(rng.normal(size=(n, 6)).astype(np.float32), 1.0) for n in (7, 5))
    pairs = jax.vmap(lambda a: jax.vmap(lambda b: poincare.squared_distance(a, b, 1.0))(y))(x)
    np.testing.assert_allclose(poincare.squared_distances(x, y, 1.0), pairs, rtol=1e-4)


def test_chords_keep_their_digits_far_from_the_origin():
    rng = np.random.default_rng(4)
    x, y = (rng.normal(size=(n, 6)).astype(np.float32) for n in (7, 5))
    far = np.float32(1000)  # exact: the offset cuts the digits of x and y before
    x, y = (x + far) - far, (y + far) - far
    expected = np.square(x[:, None] - y).sum(-1)
    np.testing.assert_allclose(poincare.squared_chords(x + far, y + far), expected, rtol=1e-4)


def test_a_step_along_a_geodesic_and_back():
    rng = np.random.default_rng(5)
    x, y = poincare.exp0(rng.normal(size=(2, 20, 6)).astype(np.float32), 1.0)
    step = poincare.log_step(x, y, 1.0)
    np.testing.assert_allclose(poincare.exp_step(x, step, 1.0), y, atol=1e-4)
    # Half the geodesic's length, wherever it begins.
    length = 2 * np.linalg.norm(step, axis=-1)
    np.testing.assert_allclose(length, poincare.distance(x, y, 1.0), rtol=1e-4)
    middle = poincare.exp_step(x, step / 2, 1.0)
    for end in (x, y):
        np.testing.assert_allclose(poincare.distance(middle, end, 1.0), length / 2, rtol=1e-3)
