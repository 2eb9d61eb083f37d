"""Losses compared with float64 NumPy, torch and a table by hand; unusual and invalid input."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from motionalign import losses

# Compiled, as training does it.
info_nce = jax.jit(losses.info_nce)
masked_info_nce = jax.jit(losses.masked_info_nce)
value_and_gradients = jax.jit(jax.value_and_grad(losses.masked_info_nce, argnums=(0, 1, 2)))


def pairs(batch=6, width=5, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(2, batch, width)).astype(np.float32)


def random_keep(batch, seed=0):
    return np.random.default_rng(seed).random((batch, batch)) < 0.6


def reference(motion, text, scale, keep=None):
    """The formulas written out, in float64: eq. 2-4 of Motion Patches, pair by pair."""
    motion, text = motion.astype(np.float64), text.astype(np.float64)
    batch = len(motion)
    logits = np.empty((batch, batch))
    for i in range(batch):
        for j in range(batch):
            norms = math.sqrt((motion[i] ** 2).sum()) * math.sqrt((text[j] ** 2).sum())
            logits[i, j] = scale * (motion[i] @ text[j]) / norms
    total = 0.0
    for i in range(batch):
        kept = [j for j in range(batch) if keep is None or keep[i, j] or i == j]
        total -= logits[i, i] - math.log(sum(math.exp(logits[i, j]) for j in kept))
        kept = [j for j in range(batch) if keep is None or keep[j, i] or i == j]
        total -= logits[i, i] - math.log(sum(math.exp(logits[j, i]) for j in kept))
    return total / (2 * batch)


@pytest.mark.parametrize("scale", [1.0, 1 / 0.07, 50.0])
@pytest.mark.parametrize("batch", [1, 2, 6])
def test_info_nce_in_float64(batch, scale):
    motion, text = pairs(batch)
    loss = info_nce(motion, text, scale)
    np.testing.assert_allclose(loss, reference(motion, text, scale), rtol=1e-5, atol=1e-6)
    assert (loss.shape, loss.dtype) == ((), jnp.float32)


@pytest.mark.parametrize("seed", range(3))
def test_masked_info_nce_in_float64(seed):
    motion, text = pairs(seed=seed)
    keep = random_keep(6, seed)  # not symmetric, and False here and there on the diagonal
    loss = masked_info_nce(motion, text, 1 / 0.07, keep)
    np.testing.assert_allclose(loss, reference(motion, text, 1 / 0.07, keep), rtol=1e-5)
    assert loss < info_nce(motion, text, 1 / 0.07)


def torch_loss(motion, text, scale, keep=None):
    """The loss as in CLIP-style training code."""
    unit = torch.nn.functional.normalize
    logits = scale * unit(motion) @ unit(text).T
    if keep is not None:
        keep = torch.from_numpy(keep) | torch.eye(len(keep), dtype=bool)
        logits = logits.masked_fill(~keep, -torch.inf)
    target = torch.arange(len(logits))
    cross_entropy = torch.nn.functional.cross_entropy
    return (cross_entropy(logits, target) + cross_entropy(logits.T, target)) / 2


@pytest.mark.parametrize("keep", [None, random_keep(6)], ids=["all", "masked"])
def test_value_and_gradient_equal_torch(keep):
    motion, text = pairs()
    scale = 1 / 0.07
    ours, grads = value_and_gradients(motion, text, scale, keep)
    inputs = [torch.tensor(x, requires_grad=True) for x in (motion, text, np.float32(scale))]
    theirs = torch_loss(*inputs, keep)
    theirs.backward()
    np.testing.assert_allclose(ours, theirs.item(), rtol=1e-5)
    for ours, theirs in zip(grads, inputs):
        np.testing.assert_allclose(ours, theirs.grad, rtol=1e-4, atol=1e-6)


# Rows of unit vectors whose cosines are motion[i] · text[j] =
#   1   0.6  0
#   0   0.8  0.6
#   0   0    0.8
HAND_MOTION = np.eye(3, dtype=np.float32)
HAND_TEXT = np.array([[1, 0, 0], [0.6, 0.8, 0], [0, 0.6, 0.8]], np.float32)


def test_masked_table_by_hand():
    """Negatives (0, 1) and (2, 0) are excluded; scale 1."""
    keep = np.ones((3, 3), bool)
    keep[0, 1] = keep[2, 0] = False
    exp, log = math.exp, math.log
    rows = [
        log(exp(1) + exp(0)) - 1,
        log(exp(0) + exp(0.8) + exp(0.6)) - 0.8,
        log(exp(0) + exp(0.8)) - 0.8,
    ]
    columns = [
        log(exp(1) + exp(0)) - 1,
        log(exp(0.8) + exp(0)) - 0.8,
        log(exp(0) + exp(0.6) + exp(0.8)) - 0.8,
    ]
    expected = (sum(rows) / 3 + sum(columns) / 3) / 2
    # Lengths do not matter: embeddings are normalised.
    motion = HAND_MOTION * np.array([[1], [7], [0.01]], np.float32)
    loss = masked_info_nce(motion, HAND_TEXT * 3, 1.0, keep)
    np.testing.assert_allclose(loss, expected, rtol=1e-6)
    assert expected == pytest.approx(0.50110, abs=1e-5)


def test_the_diagonal_always_stays():
    motion, text = pairs()
    off_diagonal = ~np.eye(6, dtype=bool)
    np.testing.assert_array_equal(
        masked_info_nce(motion, text, 10.0, off_diagonal), info_nce(motion, text, 10.0)
    )
    # With no negative left there is nothing to tell apart.
    np.testing.assert_allclose(masked_info_nce(motion, text, 10.0, ~off_diagonal), 0, atol=1e-6)


def test_masked_pairs_have_no_influence():
    motion, text = pairs()
    keep = np.ones((6, 6), bool)
    keep[2] = keep[:, 2] = False
    other = motion.copy()
    other[2] = 0.3 * text[2]  # pair 2 is now perfect, which moves its own terms by nothing
    for m in (motion, other):
        rest = np.delete(m, 2, 0), np.delete(text, 2, 0)
        np.testing.assert_allclose(
            6 * masked_info_nce(m, text, 10.0, keep), 5 * info_nce(*rest, 10.0), rtol=1e-5
        )
    _, (gradient, *_) = value_and_gradients(motion, text, 10.0, keep)
    np.testing.assert_allclose(gradient[2], 0, atol=1e-6)
    assert np.abs(np.delete(gradient, 2, 0)).max(1).min() > 1e-3


def test_threshold_is_a_cosine_of_vectors_of_any_length():
    motion, text = pairs()
    vectors = np.zeros((6, 3), np.float32)
    vectors[:, 0] = 5
    vectors[[1, 4], 1] = 5  # at 45 degrees from the others: cosine 0.7071
    vectors[3] = 0, 0, 2  # at right angles to all
    cosine = np.ones((6, 6))
    cosine[[1, 4]] = cosine[:, [1, 4]] = math.sqrt(0.5)
    cosine[1, 4] = cosine[4, 1] = 1
    cosine[3] = cosine[:, 3] = 0
    for threshold in (0.5, 0.70, 0.72, 0.99):
        np.testing.assert_allclose(
            masked_info_nce(motion, text, 5.0, text_vectors=vectors, threshold=threshold),
            masked_info_nce(motion, text, 5.0, cosine <= threshold),
            rtol=1e-6,
        )
    low, high = (
        float(masked_info_nce(motion, text, 5.0, text_vectors=vectors, threshold=t))
        for t in (0.5, 0.72)
    )
    assert low < high
    # At the threshold a pair stays: only what is above it says nearly the same.
    crossed = np.eye(6, dtype=np.float32)
    np.testing.assert_array_equal(
        masked_info_nce(motion, text, 5.0, text_vectors=crossed, threshold=0.0),
        info_nce(motion, text, 5.0),
    )


def test_keep_and_threshold_combine():
    motion, text = pairs()
    vectors, keep = pairs(seed=1)[0], random_keep(6)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    distinct = unit @ unit.T <= 0.3
    assert (keep & ~distinct).any()
    assert (~keep & distinct).any()
    np.testing.assert_allclose(
        masked_info_nce(motion, text, 5.0, keep, text_vectors=vectors, threshold=0.3),
        masked_info_nce(motion, text, 5.0, keep & distinct),
        rtol=1e-6,
    )


def test_caption_vectors_do_not_break_differentiation():
    """They only select negatives, which must not break differentiation in a jitted step."""
    motion, text = pairs()

    def loss(vectors):
        return losses.masked_info_nce(motion, text, 5.0, text_vectors=vectors, threshold=0.3)

    np.testing.assert_array_equal(jax.jit(jax.grad(loss))(pairs(seed=1)[0]), 0)


@pytest.mark.parametrize("keep", [None, random_keep(6)], ids=["all", "masked"])
def test_gradients_are_finite_at_zero_vectors(keep):
    motion, text = pairs()
    motion[1] = text[2] = 0
    value, grads = value_and_gradients(motion, text, 14.0, keep)
    assert np.isfinite(value)
    for grad in grads:
        assert np.isfinite(grad).all()
    value = masked_info_nce(motion, text, 14.0, text_vectors=0 * text, threshold=0.5)
    np.testing.assert_allclose(value, info_nce(motion, text, 14.0), rtol=1e-6)


@pytest.mark.parametrize("length", [1e-9, 1e-3, 1e3, 1e15])
def test_length_of_embeddings_does_not_matter(length):
    motion, text = pairs()
    np.testing.assert_allclose(
        info_nce(motion * np.float32(length), text, 14.0), info_nce(motion, text, 14.0), rtol=1e-5
    )


def test_a_huge_scale_stays_finite():
    """scale * 1 overflows exp in float32 from 89 on; CLIP's largest is 100."""
    motion, text = pairs()
    keep = random_keep(6)
    for scale in (100.0, 1e4):
        value, (gradient, *_) = value_and_gradients(motion, text, scale, keep)
        assert np.isfinite(value)
        assert np.isfinite(gradient).all()
    matched = info_nce(motion, motion, 1e4)
    np.testing.assert_allclose(matched, 0, atol=1e-2)


def test_scale_zero_gives_the_chance_loss():
    motion, text = pairs()
    np.testing.assert_allclose(info_nce(motion, text, 0.0), math.log(6), rtol=1e-6)


@given(st.integers(0, 2**31), st.sampled_from([2, 5]), st.permutations(range(6)))
@settings(max_examples=15)
def test_symmetries(seed, width, order):
    motion, text = pairs(6, width, seed)
    keep = random_keep(6, seed)
    order = np.array(order)
    loss = masked_info_nce(motion, text, 5.0, keep)
    # Order within the batch does not matter, nor which side is called which.
    np.testing.assert_allclose(
        masked_info_nce(motion[order], text[order], 5.0, keep[np.ix_(order, order)]),
        loss,
        rtol=1e-4,
        atol=1e-5,
    )
    np.testing.assert_allclose(
        masked_info_nce(text, motion, 5.0, keep.T), loss, rtol=1e-4, atol=1e-5
    )


def test_bfloat16_embeddings_are_scored_in_float32():
    motion, text = (jnp.asarray(x, jnp.bfloat16) for x in pairs())
    loss = info_nce(motion, text, 14.0)
    assert loss.dtype == jnp.float32
    wide = np.asarray(motion.astype(jnp.float32)), np.asarray(text.astype(jnp.float32))
    np.testing.assert_allclose(loss, reference(*wide, 14.0), rtol=1e-5)


def test_vectors_and_threshold_must_be_given_together():
    motion, text = pairs()
    for half in ({"threshold": 0.5}, {"text_vectors": text}):
        with pytest.raises(ValueError, match="text_vectors and threshold must be given together"):
            losses.masked_info_nce(motion, text, 1.0, **half)


# ---------------------------------------------------------------------------- forms over scores


def test_info_nce_works_on_any_score_matrix():
    motion, text = pairs()
    keep = random_keep(6)
    scores = losses.cosine_scores(jnp.asarray(motion), jnp.asarray(text))
    unit = [x / np.linalg.norm(x, axis=1, keepdims=True) for x in (motion, text)]
    np.testing.assert_allclose(scores, unit[0] @ unit[1].T, atol=1e-6)
    for mask, expected in ((None, info_nce(motion, text, 14.0)),
                           (keep, masked_info_nce(motion, text, 14.0, keep))):  # fmt: skip
        found = losses.symmetric_cross_entropy(14.0 * scores, mask)
        np.testing.assert_allclose(found, expected, rtol=1e-6)
    # Scores need be no cosines, and not symmetric.
    logits = np.array([[5.0, 1.0], [-2.0, 0.5]], np.float32)
    rows = np.log(1 + np.exp([-4, -2.5])).mean()
    columns = np.log(1 + np.exp([-7, 0.5])).mean()
    found = losses.symmetric_cross_entropy(jnp.asarray(logits))
    np.testing.assert_allclose(found, (rows + columns) / 2, rtol=1e-6)


def test_distinct_equals_the_mask_of_the_threshold():
    vectors = jnp.asarray([[1.0, 0], [3, 0], [1, 1], [0, -2]])
    found = losses.distinct(vectors, 0.6)
    same = [[0, 1], [1, 0], [0, 2], [2, 0], [1, 2], [2, 1], *([i, i] for i in range(4))]
    assert np.argwhere(~np.asarray(found)).tolist() == sorted(same)


def test_triplets_by_any_distance():
    positive, negative = jnp.asarray([3.0, 0.0, 4.0]), jnp.asarray([5.0, 1.0, 1.0])
    np.testing.assert_allclose(losses.triplet_margin(positive, negative, 1.5), 5 / 3, rtol=1e-6)
    keep = jnp.asarray([True, True, False])
    assert losses.triplet_margin(positive, negative, 1.5, keep) == 0.25
    assert losses.triplet_margin(positive, negative, 1.5, ~(keep | True)) == 0


def test_cosines_of_rows():
    motion, text = pairs()
    expected = np.diag(losses.cosine_scores(jnp.asarray(motion), jnp.asarray(text)))
    np.testing.assert_allclose(losses.cosine(motion, text), expected, atol=1e-6)
    assert losses.cosine(0 * motion, text).tolist() == [0.0] * 6


# ------------------------------------------------------------------------------- MSE and triplet


def test_mse_equals_torch():
    motion, text = pairs()
    expected = torch.nn.functional.mse_loss(torch.from_numpy(motion), torch.from_numpy(text))
    np.testing.assert_allclose(losses.mse(motion, text), expected, rtol=1e-6)
    assert losses.mse(jnp.float32([[1, 3]]), jnp.float32([[0, 1]])) == 2.5


@pytest.mark.parametrize("margin", [0.1, 1.0, 10.0])
def test_triplet_equals_torch(margin):
    motion, text = pairs()
    negative = pairs(seed=1)[0]
    inputs = [torch.from_numpy(x).requires_grad_() for x in (motion, text, negative)]
    expected = torch.nn.TripletMarginLoss(margin=margin)(*inputs)
    expected.backward()
    loss, gradients = jax.value_and_grad(losses.triplet, argnums=(0, 1, 2))(
        motion, text, negative, margin
    )
    np.testing.assert_allclose(loss, expected.item(), rtol=1e-6)
    for gradient, tensor in zip(gradients, inputs):
        np.testing.assert_allclose(gradient, tensor.grad, atol=1e-6)


def test_triplet_by_hand():
    """Distances 3 and 5; 0 and 1; 4 and 1, whose triplet is excluded."""
    motion = jnp.zeros((3, 2))
    text = jnp.float32([[3, 0], [0, 0], [0, 4]])
    negative = jnp.float32([[3, 4], [1, 0], [0, 1]])
    np.testing.assert_allclose(
        losses.triplet(motion, text, negative, 1.5), (0 + 0.5 + 4.5) / 3, atol=1e-5
    )
    keep = jnp.array([True, True, False])
    np.testing.assert_allclose(losses.triplet(motion, text, negative, 1.5, keep), 0.25, atol=1e-5)
    assert losses.triplet(motion, text, negative, 1.5, ~(keep | True)) == 0


def test_triplet_of_equal_vectors_has_a_finite_gradient():
    same = jnp.ones((2, 3))
    gradient = jax.grad(losses.triplet)(same, same, same, 1.0)
    assert np.isfinite(gradient).all()


def test_losses_of_unequal_shapes():
    with pytest.raises(
        ValueError, match=r"motion \(2, 3\), text \(2, 4\) must have the same shape"
    ):
        losses.mse(jnp.ones((2, 3)), jnp.ones((2, 4)))
    with pytest.raises(ValueError, match=r"negative \(1, 3\) must have the same shape"):
        losses.triplet(jnp.ones((2, 3)), jnp.ones((2, 3)), jnp.ones((1, 3)), 1.0)
