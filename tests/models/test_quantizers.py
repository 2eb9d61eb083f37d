"""Quantizers: what holds for any features, and their codebooks as state that is no parameter."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from motionalign.models import poincare, quantizers
from motionalign.models.flat import flatten, tree_mode
from motionalign.models.quantizers import Quantizer, QuantizerConfig

KINDS = tuple(quantizers.CODEBOOKS)
CONFIG = QuantizerConfig("euclidean", codes=6, width=4, revive=0.0, standardise=False)


def configs(kind):
    """One config with and one without a factorised space."""
    return [dataclasses.replace(CONFIG, kind=kind, factor=factor) for factor in (None, 3)]


def build(config, points=None, **state):
    """A quantizer whose codebook has begun, with these points or random ones."""
    quantizer = Quantizer(config, rngs=nnx.Rngs(0))
    quantizer.batches[...] = jnp.ones((), jnp.int32)
    if points is not None:
        quantizer.points[...] = jnp.asarray(points)
    for name, value in state.items():
        getattr(quantizer, name)[...] = jnp.asarray(value)
    return quantizer


@jax.jit(static_argnums=0)
def _run(graphdef, arrays, features, mask, key):
    with tree_mode():
        quantizer = nnx.merge(graphdef, arrays)
    found = quantizer(features, mask, None if key is None else nnx.Rngs(dropout=key))
    with tree_mode():
        return found, nnx.split(quantizer)[1]


def run(quantizer, features, mask=None, key=None):
    """(Quantized, {path: state afterwards}); trains with a key."""
    mask = np.ones(np.shape(features)[:-1], bool) if mask is None else mask
    with tree_mode():
        graphdef, arrays = nnx.split(quantizer)
        found, after = _run(graphdef, arrays, jnp.asarray(features, jnp.float32), mask, key)
        return found, flatten(after)


def features_of(count=20, width=4, seed=0, scale=0.7):
    return scale * np.random.default_rng(seed).normal(size=(count, width)).astype(np.float32)


VECTORS = hnp.arrays(np.float32, (8, 4), elements=st.floats(-5, 5, width=32, allow_subnormal=False))
CODES = st.lists(st.integers(-20, 20), min_size=24, max_size=24)


@pytest.mark.parametrize("kind", KINDS)
@given(codes=CODES)
@settings(max_examples=8, deadline=None)
def test_quantising_a_code_gives_that_code(kind, codes):
    """Also where codes are close: steps are 1 % of the extent. Of equal codes, the first."""
    vectors = np.float32(codes).reshape(6, 4) * np.float32(0.05)
    vectors[1] = vectors[0] + np.float32(1e-3)
    config = dataclasses.replace(CONFIG, kind=kind)
    quantizer = build(config, quantizers.CODEBOOKS[kind](config).points(jnp.asarray(vectors)))
    found, _ = run(quantizer, quantizer.vectors())
    first = [np.flatnonzero((vectors == v).all(-1))[0] for v in vectors]
    np.testing.assert_array_equal(found.codes, first)
    np.testing.assert_array_equal(found.vectors, quantizer.vectors())
    again, _ = run(quantizer, found.vectors)
    np.testing.assert_array_equal(again.codes, found.codes)


@pytest.mark.parametrize("kind", KINDS)
@given(features=VECTORS, order=st.permutations(range(6)))
@settings(max_examples=6, deadline=None)
def test_permuted_codes_permute_the_ids(kind, features, order):
    config = dataclasses.replace(CONFIG, kind=kind)
    quantizer, order = build(config), np.asarray(order)
    permuted = build(config, quantizer.points[...][order])
    found, _ = run(quantizer, features)
    other, _ = run(permuted, features)
    np.testing.assert_array_equal(order[other.codes], found.codes)
    np.testing.assert_array_equal(other.vectors, found.vectors)
    np.testing.assert_allclose(other.perplexity, found.perplexity, rtol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
@given(features=VECTORS, scale=st.sampled_from([1e-4, 1.0, 1e3]), seed=st.integers(0, 99))
@settings(max_examples=8, deadline=None)
def test_codes_stay_where_they_can_be(kind, features, scale, seed):
    """Finite and, in the ball, inside it, whatever the features."""
    config = dataclasses.replace(CONFIG, kind=kind, decay=0.5)
    found, after = run(build(config), features * np.float32(scale), key=jax.random.key(seed))
    points = np.asarray(after["points"])
    assert np.isfinite(points).all()
    assert all(np.isfinite(x).all() for x in found)
    if kind == "hyperbolic":
        assert np.linalg.norm(points, axis=-1).max() <= 1 - 0.9 * poincare.MARGIN


@pytest.mark.parametrize("kind", KINDS)
@given(features=VECTORS, mask=hnp.arrays(bool, 8), seed=st.integers(0, 99))
@settings(max_examples=8, deadline=None)
def test_masked_features_change_nothing(kind, features, mask, seed):
    config = dataclasses.replace(CONFIG, kind=kind, revive=0.9)
    key, other = jax.random.key(seed), features.copy()
    other[~mask] = np.float32(7.5)
    quantizer = build(config)
    found, after = run(quantizer, features, mask, key)
    again, after_again = run(quantizer, other, mask, key)
    for path in after:
        np.testing.assert_array_equal(after[path], after_again[path])
    np.testing.assert_array_equal(found.codes, again.codes)
    np.testing.assert_array_equal(np.asarray(found.codes) >= 0, mask)
    np.testing.assert_array_equal(np.asarray(found.vectors)[~mask], 0)
    for name in ("commitment", "perplexity", "used"):
        assert getattr(found, name) == getattr(again, name)
    if not mask.any():
        with tree_mode():
            before = flatten(nnx.split(quantizer)[1])
        for path in after:
            np.testing.assert_array_equal(after[path], before[path])


@pytest.mark.parametrize("kind", KINDS)
@given(features=VECTORS, mask=hnp.arrays(bool, 8), decay=st.sampled_from([0.0, 0.5, 0.99]))
@settings(max_examples=6, deadline=None)
def test_counts_are_moving_averages(kind, features, mask, decay):
    config = dataclasses.replace(CONFIG, kind=kind, decay=decay)
    counts = np.float32([3, 0, 1, 0.5, 2, 10])
    found, after = run(build(config, counts=counts), features, mask, jax.random.key(0))
    if mask.any():
        hits = np.bincount(np.asarray(found.codes)[mask], minlength=6)
        expected = decay * counts + (1 - decay) * hits
        np.testing.assert_allclose(after["counts"], expected, rtol=1e-5)
        total = decay * counts.sum() + (1 - decay) * mask.sum()
        np.testing.assert_allclose(after["counts"].sum(), total, rtol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_the_gradient_goes_straight_through(kind):
    """Features, not codes, have the gradient of the vectors, through both maps of the ball."""
    plain, factorised = configs(kind)
    features = jnp.asarray(np.concatenate([features_of(), 50 * features_of(3, seed=1)]))
    weights = jnp.asarray(features_of(len(features), seed=2))

    def total(x):
        return jnp.sum(build(plain)(x).vectors * weights)

    np.testing.assert_allclose(jax.grad(total)(features), weights, rtol=1e-6)
    quantizer = build(factorised)
    linear = quantizer.narrow[...] @ quantizer.widen[...]
    gradient = jax.grad(lambda x: jnp.sum(quantizer(x).vectors * weights))(features)
    np.testing.assert_allclose(gradient, weights @ linear.T, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_quantizer_returns(kind):
    for config in configs(kind):
        quantizer = build(config)
        features = features_of(12).reshape(2, 3, 2, 4)
        mask = np.ones((2, 3, 2), bool)
        mask[0, 1] = False
        found, _ = run(quantizer, features, mask)
        distances = np.asarray(found.squared_distances)
        assert distances.shape == (2, 3, 2, 6)
        codes = np.asarray(found.codes)
        np.testing.assert_array_equal(codes[mask], distances[mask].argmin(-1))
        assert (codes[~mask] == -1).all()
        table = np.asarray(quantizer.vectors())
        assert table.shape == (6, 4)
        np.testing.assert_allclose(np.asarray(found.vectors)[mask], table[codes[mask]], atol=1e-6)
        np.testing.assert_allclose(quantizer.look_up(found.codes), found.vectors, atol=1e-6)
        np.testing.assert_allclose(found.commitment, distances[mask].min(-1).mean(), rtol=1e-4)
        assert found.embedding == 0
        shares = np.bincount(codes[mask], minlength=6) / mask.sum()
        used = shares[shares > 0]
        assert found.used == len(used)
        entropy = -(used * np.log(used)).sum()
        np.testing.assert_allclose(found.perplexity, np.exp(entropy), rtol=1e-5)


def test_distances_are_those_of_the_geometry():
    features = features_of()
    flat, ball = (build(dataclasses.replace(CONFIG, kind=kind)) for kind in KINDS)
    found, _ = run(flat, features)
    expected = np.square(features[:, None] - np.asarray(flat.points[...])).sum(-1)
    np.testing.assert_allclose(found.squared_distances, expected, rtol=1e-4, atol=1e-5)
    found, _ = run(ball, features)
    points = poincare.exp0(features, 1.0)
    expected = jax.vmap(lambda x: poincare.squared_distance(x, ball.points[...], 1.0))(points)
    np.testing.assert_allclose(found.squared_distances, expected, rtol=1e-3)
    # With a curvature near 0 the ball is flat; its vectors are half as long as its distances.
    config = dataclasses.replace(CONFIG, kind="hyperbolic", curvature=1e-4)
    found, _ = run(build(config, poincare.exp0(flat.points[...], 1e-4)), features)
    expected = 4 * np.square(features[:, None] - np.asarray(flat.points[...])).sum(-1)
    np.testing.assert_allclose(found.squared_distances, expected, rtol=2e-2, atol=1e-4)


def test_the_euclidean_codebook_is_the_ratio_of_moving_averages():
    """The rule of T2M-GPT: sums and counts are averaged, a code is their ratio."""
    quantizer, decay = build(CONFIG), CONFIG.decay
    counts = np.full(6, 2.0)
    quantizer.counts[...] = jnp.float32(counts)
    points = np.asarray(quantizer.points[...], np.float64)
    sums = points * counts[:, None]
    for seed in range(3):
        features = features_of(seed=seed)
        found, after = run(quantizer, features, key=jax.random.key(seed))
        codes = np.asarray(found.codes)
        counts = decay * counts + (1 - decay) * np.bincount(codes, minlength=6)
        added = np.stack([features[codes == code].sum(0) for code in range(6)])
        sums = decay * sums + (1 - decay) * added
        np.testing.assert_allclose(after["points"], sums / counts[:, None], rtol=1e-3, atol=1e-5)
        for name in ("points", "counts"):
            getattr(quantizer, name)[...] = after[name]


def test_hyperbolic_codes_move_to_the_frechet_mean():
    config = QuantizerConfig(
        "hyperbolic", codes=1, width=2, decay=0.5, revive=0.0, standardise=False
    )
    features = np.float32([[1.2, 0.3], [-0.4, 0.9], [0.1, -1.5]])
    quantizer = build(config)
    for _ in range(40):
        _, after = run(quantizer, features, key=jax.random.key(0))
        quantizer.points[...], quantizer.counts[...] = after["points"], after["counts"]
    points = poincare.exp0(features, 1.0)

    def spread(x):
        return poincare.squared_distance(points, x, 1.0).sum()

    assert np.abs(jax.grad(spread)(after["points"][0])).max() < 1e-3


@pytest.mark.parametrize("kind", KINDS)
def test_the_first_batch_gives_the_codes(kind):
    config = dataclasses.replace(CONFIG, kind=kind)
    quantizer = Quantizer(config, rngs=nnx.Rngs(0))
    features, mask = features_of(), np.arange(20) >= 5
    found, after = run(quantizer, features, mask, jax.random.key(3))
    assert found.used == 6
    assert after["batches"] == 1
    hits = np.bincount(np.asarray(found.codes)[mask], minlength=6)
    np.testing.assert_allclose(after["counts"], 0.99 * 15 / 6 + 0.01 * hits, rtol=1e-5)
    # Each code is a feature before it moves; six of the features have distance 0.
    distances = np.asarray(found.squared_distances)
    assert (distances[mask].min(0) < 1e-5).all()
    assert len(set(distances[mask].argmin(0))) == 6
    # From fewer features than codes, with noise: no two codes are equal.
    found, after = run(quantizer, features, np.arange(20) < 2, jax.random.key(3))
    assert len(np.unique(np.asarray(after["points"]), axis=0)) == 6
    assert np.isfinite(after["points"]).all()
    # Without any: the codebook has not begun.
    _, after = run(quantizer, features, np.zeros(20, bool), jax.random.key(3))
    assert after["batches"] == 0
    np.testing.assert_array_equal(after["points"], quantizer.points[...])


def test_a_code_without_use_is_replaced_by_a_feature():
    config = dataclasses.replace(CONFIG, revive=0.1)
    points = features_of(6)
    points[2] = 100  # far from all features
    counts = np.float32([9, 9, 0.75, 9, 9, 9])
    features = features_of(30, seed=4)
    found, after = run(build(config, points, counts=counts), features, key=jax.random.key(0))
    assert not (np.asarray(found.codes) == 2).any()
    assert (np.asarray(after["points"])[2] == features).all(-1).any()
    mean = (0.99 * counts.sum() + 0.01 * 30) / 6
    np.testing.assert_allclose(after["counts"][2], mean, rtol=1e-5)
    kept = np.asarray(after["points"])[[0, 1, 3, 4, 5]]
    np.testing.assert_allclose(kept, points[[0, 1, 3, 4, 5]], atol=0.5)
    counts[2] = 0.8  # above a tenth of the mean, also after this batch
    _, after = run(build(config, points, counts=counts), features, key=jax.random.key(0))
    np.testing.assert_allclose(after["points"][2], 100)


@pytest.mark.parametrize("kind", KINDS)
def test_evaluation_leaves_the_state(kind):
    quantizer = Quantizer(dataclasses.replace(CONFIG, kind=kind), rngs=nnx.Rngs(0))
    with tree_mode():
        before = flatten(nnx.split(quantizer)[1])
    _, after = run(quantizer, features_of())
    for path, value in before.items():
        np.testing.assert_array_equal(after[path], value)


@pytest.mark.parametrize("kind", KINDS)
def test_features_are_standardised_by_the_batch_and_later_by_moving_averages(kind):
    config = dataclasses.replace(CONFIG, kind=kind, standardise=True, decay=0.8)
    points = quantizers.CODEBOOKS[kind](config).points(jnp.asarray(features_of(6, seed=4, scale=1)))
    quantizer = build(config, points=points, centre=np.full(4, 0.5), variance=np.float32(2))
    plain = build(dataclasses.replace(config, standardise=False), points=points)
    features = 20 * features_of() + 3
    mask = np.arange(20) < 15
    mean = features[mask].mean(axis=0)
    centre = 0.8 * 0.5 + 0.2 * mean
    variance = 0.8 * 2 + 0.2 * np.square(features[mask] - mean).sum(axis=1).mean()
    found, after = run(quantizer, features, mask, jax.random.key(0))
    np.testing.assert_allclose(after["centre"], centre, rtol=1e-5)
    np.testing.assert_allclose(after["variance"], variance, rtol=1e-5)
    own = np.square(features[mask] - mean).sum(axis=1).mean()
    same, _ = run(plain, (features - mean) / np.sqrt(own))
    np.testing.assert_array_equal(found.codes[mask], same.codes[mask])
    np.testing.assert_allclose(
        found.squared_distances[mask], same.squared_distances[mask], rtol=1e-3
    )
    stored = build(config, points=points, centre=centre, variance=np.float32(variance))
    evaluated, unchanged = run(stored, features)
    same, _ = run(plain, (features - centre) / np.sqrt(variance))
    np.testing.assert_array_equal(evaluated.codes, same.codes)
    for name in ("centre", "variance"):
        np.testing.assert_array_equal(unchanged[name], getattr(stored, name)[...])


def test_coordinates_of_codes_and_back():
    for standardise in (False, True):
        config = QuantizerConfig("hyperbolic", 6, 7, factor=5, standardise=standardise)
        quantizer = build(config, points=0.1 * features_of(6, width=5))
        if standardise:
            quantizer.centre[...], quantizer.variance[...] = jnp.arange(5.0), jnp.float32(4)
        coordinates = features_of(6, width=3)
        raised = quantizer.raised(coordinates)
        assert raised.shape == (6, 7)
        np.testing.assert_allclose(  # an isometry
            np.linalg.norm(raised, axis=1), np.linalg.norm(coordinates, axis=1), rtol=1e-5
        )
        vectors = quantizer.vectors()
        inner = vectors @ np.linalg.pinv(quantizer.widen[...])
        expected = 2 * inner + np.arange(5) if standardise else inner
        np.testing.assert_allclose(quantizer.lowered(vectors, 3), expected[:, :3], atol=1e-5)
    continuous = Quantizer(QuantizerConfig("none", 6, 7, factor=5), rngs=nnx.Rngs(0))
    np.testing.assert_array_equal(
        continuous.lowered(continuous.raised(coordinates), 3), coordinates
    )


def test_the_first_batch_gives_the_statistics():
    config = dataclasses.replace(CONFIG, kind="hyperbolic", standardise=True)
    features = 1000 * features_of(40) + 50  # far beyond the border of the ball
    found, after = run(Quantizer(config, rngs=nnx.Rngs(0)), features, None, jax.random.key(0))
    np.testing.assert_allclose(after["centre"], features.mean(0), rtol=1e-4)
    np.testing.assert_allclose(after["variance"], features.var(0).sum(), rtol=1e-4)
    assert found.used == 6
    assert np.linalg.norm(after["points"], axis=1).max() < 0.999
    _, untouched = run(build(config), features, np.zeros(40, bool), jax.random.key(0))
    assert untouched["variance"] == 1


def test_the_codebook_is_no_parameter():
    quantizer = Quantizer(configs("hyperbolic")[1], rngs=nnx.Rngs(0))
    with tree_mode():
        _, params, rest = nnx.split(quantizer, nnx.Param, ...)
    assert set(flatten(rest)) == {"points", "counts", "batches"}
    assert set(flatten(params)) == {"narrow", "widen"}


def test_continuous_features():
    quantizer = Quantizer(dataclasses.replace(CONFIG, kind="none"), rngs=nnx.Rngs(0))
    features, mask = features_of(), np.arange(20) < 15
    found = quantizer(features, mask, nnx.Rngs(dropout=0))
    np.testing.assert_array_equal(found.vectors, features * mask[:, None])
    assert found.codes is found.squared_distances is found.perplexity is found.used is None
    assert found.commitment == found.embedding == 0
    with pytest.raises(ValueError, match=r"continuous features .* has no codes"):
        quantizer.vectors()


def test_a_new_quantizer_is_one_class_and_one_line(monkeypatch):
    class Scaled(quantizers.Euclidean):
        def points(self, vectors):
            return 2 * vectors

        def vectors(self, points):
            return points / 2

    monkeypatch.setitem(quantizers.CODEBOOKS, "scaled", Scaled)
    quantizer = build(dataclasses.replace(CONFIG, kind="scaled"), 2 * features_of(6))
    found, _ = run(quantizer, features_of(6))
    np.testing.assert_array_equal(found.codes, range(6))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": "spherical"}, "kind is 'spherical'; valid: 'euclidean', 'hyperbolic', 'none'"),
        ({"codes": 0}, "codes is 0; it must be at least 1"),
        ({"factor": 0}, "factor is 0; it must be at least 1"),
        ({"decay": 1.0}, r"decay is 1.0; it must be in \[0, 1\)"),
        ({"curvature": 0.0}, "curvature is 0.0; it must be positive"),
        ({"revive": 1.5}, r"revive is 1.5; it must be in \[0, 1\]"),
    ],
)
def test_mistakes_in_a_config(changes, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(CONFIG, **changes)
