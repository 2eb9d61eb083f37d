"""Losses of a motion tokenizer against plain NumPy, and on streams of tokens with known laws."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from motionalign import token_losses


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def channels(rng):
    """(predicted, wanted) [B, M, F, C] float32 and persons [B, M]."""
    predicted, wanted = rng.normal(0, 1.5, (2, 3, 2, 5, 4)).astype(np.float32)
    return predicted, wanted, np.array([[True, True], [True, False], [False, False]])


def smooth_l1(difference):
    return np.mean([0.5 * d * d if abs(d) < 1 else abs(d) - 0.5 for d in difference.ravel()])


def test_reconstruction_and_velocity(rng):
    predicted, wanted, persons = channels(rng)
    here, there = predicted[persons], wanted[persons]
    expected = smooth_l1(here - there)
    found = token_losses.reconstruction(predicted, wanted, persons)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    expected = smooth_l1(np.diff(here, axis=1) - np.diff(there, axis=1))
    np.testing.assert_allclose(
        token_losses.velocity(predicted, wanted, persons), expected, rtol=1e-5
    )
    # Whatever stands in the place of absent persons, NaN too.
    predicted[~persons] = np.nan
    function = jax.value_and_grad(token_losses.velocity)
    again, gradient = function(jnp.asarray(predicted), wanted, persons)
    np.testing.assert_allclose(again, expected, rtol=1e-5)
    assert np.isfinite(np.asarray(gradient)[persons]).all()
    nobody = np.zeros_like(persons)
    assert token_losses.reconstruction(wanted + 1, wanted, nobody) == 0


def test_position_error(rng):
    bodies = rng.normal(size=(2, 4, 2, 5, 3)).astype(np.float32)
    moved = bodies + np.float32([0.003, 0, 0.004])
    persons = np.array([[True, False], [True, True]])
    moved[0, :, 1] += 100  # an absent person
    np.testing.assert_allclose(token_losses.position_error(moved, bodies, persons), 5, rtol=1e-3)


def divergence(p, q):
    """Jensen-Shannon divergence in nats."""
    middle = (p + q) / 2
    return 0.5 * sum(np.sum(a[a > 0] * np.log(a[a > 0] / middle[a > 0])) for a in (p, q))


def law(count):
    weights = np.array([1 / (rank + 2.7) for rank in range(1, count + 1)])
    return weights / weights.sum()


def test_soft_frequencies(rng):
    distances = rng.uniform(0, 3, (2, 3, 6)).astype(np.float32)
    mask = np.array([[True, True, False], [True, False, False]])
    shares = np.exp(-distances[mask] / 0.3)
    expected = (shares / shares.sum(-1, keepdims=True)).mean(0)
    found = token_losses.soft_frequencies(distances, mask, 0.3)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    # With noise, codes are drawn with probabilities softmax(-distances).
    many = np.broadcast_to(distances[0, 0], (20000, 6))
    drawn = token_losses.soft_frequencies(many, np.ones(20000, bool), 1e-3, jax.random.key(0))
    expected = np.exp(-distances[0, 0])
    np.testing.assert_allclose(drawn, expected / expected.sum(), atol=0.015)


def stream(kind, count, rng):
    """Token frequencies of a stream with a known law, in any order of the codes."""
    frequencies = {
        "uniform": np.full(count, 1 / count),
        "Zipf-Mandelbrot": law(count),
        "one code": np.eye(count)[3],
    }[kind]
    return rng.permutation(frequencies)


@pytest.mark.parametrize("count", [8, 64])
@pytest.mark.parametrize("kind", ["uniform", "Zipf-Mandelbrot", "one code"])
def test_distance_to_zipfs_law(kind, count, rng):
    frequencies = stream(kind, count, rng)
    found = token_losses.zipf(jnp.float32(frequencies))
    expected = divergence(np.sort(frequencies)[::-1], law(count))
    np.testing.assert_allclose(found, expected, atol=1e-6, rtol=1e-4)
    if kind == "Zipf-Mandelbrot":
        assert found < 1e-6
    else:
        assert 0.01 < found < np.log(2)


def test_drawn_tokens_have_the_distance_of_their_law(rng):
    ranges = {"Zipf-Mandelbrot": (0, 0.002), "uniform": (0.03, 0.1), "one code": (0.3, 0.6)}
    for kind, (least, most) in ranges.items():
        codes = rng.choice(32, 5000, p=stream(kind, 32, rng)).astype(np.int32)
        found = token_losses.frequencies(jnp.asarray(codes), 32)
        np.testing.assert_allclose(found, np.bincount(codes, minlength=32) / 5000, rtol=1e-5)
        assert least <= token_losses.zipf(found) < most, kind
    with_gaps = jnp.asarray([[-1, 2], [2, 0]])
    np.testing.assert_allclose(token_losses.frequencies(with_gaps, 3), [1 / 3, 0, 2 / 3])


def test_descent_leads_to_zipfs_law(rng):
    """From tokens of one code: the gradient has no trap where a frequency is 0."""
    logits = jnp.asarray(rng.normal(size=16), jnp.float32)
    step = jax.jit(jax.grad(lambda x: token_losses.zipf(jax.nn.softmax(x))))
    for _ in range(300):
        logits = logits - 20 * step(logits)
    assert token_losses.zipf(jax.nn.softmax(logits)) < 1e-3
    assert np.isfinite(jax.grad(token_losses.zipf)(jnp.eye(16)[0])).all()


def test_context(rng):
    summaries, vectors = rng.normal(size=(2, 3, 4, 6)).astype(np.float32)
    codes = rng.integers(0, 3, (3, 4)).astype(np.int32)
    codes[2] = -1
    flat = codes.ravel()
    valid = flat >= 0
    scores = np.exp(summaries.reshape(-1, 6) @ vectors.reshape(-1, 6).T * (0.7 / np.sqrt(6)))
    losses, entropy = [], []
    for i in np.flatnonzero(valid):
        same = valid & (flat == flat[i])
        losses.append(-np.log(scores[i, same].sum() / scores[i, valid].sum()))
        entropy.append(-np.log(same.sum() / valid.sum()))
    function = jax.value_and_grad(token_losses.context, has_aux=True)
    (loss, found), gradient = function(jnp.asarray(summaries), vectors, codes, 0.7)
    np.testing.assert_allclose([loss, found], [np.mean(losses), np.mean(entropy)], rtol=1e-5)
    np.testing.assert_array_equal(gradient[2], 0)
    assert np.isfinite(gradient).all()


def test_context_of_sentences_with_known_information(rng):
    """No prediction costs the entropy, a perfect one nothing."""
    codes = rng.choice(8, (16, 10), p=law(8)).astype(np.int32)
    table = 30 * np.eye(8, dtype=np.float32)
    vectors = table[codes]
    constant = np.ones_like(vectors)
    loss, entropy = token_losses.context(constant, vectors, codes)
    shares = np.bincount(codes.ravel(), minlength=8) / codes.size
    np.testing.assert_allclose(entropy, -(shares * np.log(shares)).sum(), rtol=1e-5)
    np.testing.assert_allclose(loss, entropy, rtol=1e-5)
    perfect, _ = token_losses.context(vectors, vectors, codes)
    assert 0 <= perfect < 1e-3
    nothing, entropy = token_losses.context(constant, vectors, np.full_like(codes, -1))
    assert nothing == entropy == 0


def discrepancy(x, y):
    """Squared MMD as a sum over kernels and pairs."""
    both = np.concatenate([x, y])
    share = np.concatenate([np.full(len(x), 0.5 / len(x)), np.full(len(y), 0.5 / len(y))])
    squares = np.square(both[:, None] - both).sum(-1)
    mean = share @ squares @ share
    signs = share * np.repeat([2, -2], [len(x), len(y)])
    kernels = [np.exp(-squares / (2 * w * mean)) for w in (0.25, 0.5, 1, 2, 4)]
    return signs @ np.mean(kernels, axis=0) @ signs


def test_alignment(rng):
    vectors, words = rng.normal(size=(7, 5)), rng.normal(0.5, 2, (11, 5))
    found = token_losses.alignment(jnp.float32(vectors), jnp.float32(words))
    np.testing.assert_allclose(found, discrepancy(vectors, words), rtol=1e-4)
    mask = np.arange(7) < 4
    found = token_losses.alignment(jnp.float32(vectors), jnp.float32(words), mask)
    np.testing.assert_allclose(found, discrepancy(vectors[:4], words), rtol=1e-4)
    assert token_losses.alignment(jnp.float32(words), jnp.float32(words)) < 1e-6
    # Scale-free, since the kernels' widths are those of the data.
    small = token_losses.alignment(jnp.float32(0.01 * vectors), jnp.float32(0.01 * words))
    np.testing.assert_allclose(small, discrepancy(vectors, words), rtol=1e-3)


def test_descent_aligns_two_sets(rng):
    words = jnp.asarray(rng.normal(0.5, 2, (64, 4)), jnp.float32)
    vectors = jnp.asarray(rng.normal(-3, 0.1, (32, 4)), jnp.float32)
    function = jax.jit(jax.value_and_grad(token_losses.alignment))
    before, _ = function(vectors, words)
    for _ in range(200):
        vectors = vectors - 30 * function(vectors, words)[1]
    assert function(vectors, words)[0] < 0.2 * before


def test_zipf_has_a_gradient_where_codes_are_never_used():
    def loss(distances):
        soft = token_losses.soft_frequencies(distances, jnp.ones(3, bool), 0.1)
        return token_losses.zipf(soft)

    # exp(-88 to -104) are the smallest numbers of float32; compiled, they are taken for 0.
    gradient = jax.jit(jax.grad(loss))
    for far in (8.0, 8.7, 8.8, 9.5, 10.3, 30.0):
        assert np.isfinite(gradient(jnp.asarray([[0.1, far, far]] * 3, jnp.float32))).all(), far
