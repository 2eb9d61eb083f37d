"""Objectives: losses of network outputs, required batch fields, logged scalars."""

import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from motionalign import losses, sharding
from motionalign.configs import common
from motionalign.data.batches import BATCH_FIELDS
from motionalign.inference.similarity import DISTANCES
from motionalign.models.dual_encoder import Outputs
from motionalign.tasks.objectives import OBJECTIVES, classification

SCALE = jnp.float32(14.0)
REST = {"a counter": jnp.int32(3)}


def make(kind, has_classes=False, **fields):
    config = common.base().loss
    config.update({"kind": kind, **fields})
    return OBJECTIVES[kind](config, has_classes)


def outputs(batch=6, width=5, seed=0):
    motion, text = np.random.default_rng(seed).normal(size=(2, batch, width)).astype(np.float32)
    return Outputs(jnp.asarray(motion), jnp.asarray(text), SCALE)


def loss_of(objective, given, batch=None):
    """(loss, scalars) in a compiled step; checks that non-parameter state passes through."""
    loss, rest, scalars = jax.jit(
        lambda o, r, b: objective.loss(o, r, b, mesh=sharding.make_mesh())
    )(given, REST, batch or {})
    assert rest == REST
    assert (loss.shape, loss.dtype) == ((), jnp.float32)
    return loss, scalars


@pytest.mark.parametrize(
    ("kind", "compares", "frozen_text", "distance", "smallest_batch"),
    [
        ("contrastive", True, False, "cosine", 2),
        ("mse", True, True, "euclidean", 1),
        ("triplet", True, True, "euclidean", 1),
        ("classify", False, False, None, 1),
    ],
)
def test_properties_of_each_objective(kind, compares, frozen_text, distance, smallest_batch):
    objective = OBJECTIVES[kind]
    assert objective.compares == compares
    assert objective.frozen_text == frozen_text
    assert objective.distance == distance
    assert objective.smallest_batch == smallest_batch
    assert distance is None or distance in DISTANCES
    assert set(make(kind, has_classes=True, mask_negatives=True).batch_fields) <= set(BATCH_FIELDS)


def test_every_kind_is_tried():
    """Those of other architectures have test files of their own."""
    kinds = {name for name, each in OBJECTIVES.items() if each.kind == "dual_encoder"}
    assert kinds == {"contrastive", "mse", "triplet", "classify"}


# Contrastive -------------------------------------------------------------------------------------


def test_contrastive_is_info_nce():
    given = outputs()
    for has_classes in (False, True):
        objective = make("contrastive", has_classes)
        assert objective.batch_fields == ()
        loss, scalars = loss_of(objective, given)
        expected = losses.info_nce(given.motion, given.text, SCALE)
        np.testing.assert_allclose(loss, expected, rtol=1e-6)
        assert scalars == {"temperature": pytest.approx(1 / 14)}


def test_contrastive_without_false_negatives():
    given = outputs()
    vectors = np.random.default_rng(1).normal(size=(6, 4)).astype(np.float32)
    vectors[3] = 2 * vectors[0]
    objective = make("contrastive", mask_negatives=True, mask_threshold=0.9)
    assert objective.batch_fields == ("text_vectors",)
    loss, scalars = loss_of(objective, given, {"text_vectors": vectors})
    expected = losses.masked_info_nce(
        given.motion, given.text, SCALE, text_vectors=vectors, threshold=0.9
    )
    np.testing.assert_allclose(loss, expected, rtol=1e-6)
    assert abs(expected - losses.info_nce(given.motion, given.text, SCALE)) > 1e-3
    assert scalars["negatives_kept"] == pytest.approx(28 / 30)  # of 6 × 5, without (0, 3), (3, 0)
    assert scalars["temperature"] == pytest.approx(1 / 14)


def test_contrastive_without_negatives_of_the_same_class():
    given = outputs()
    vectors = np.eye(6, dtype=np.float32)  # no two of them similar
    classes = np.array([0, 1, 2, 1, 1, 3], np.int32)
    objective = make("contrastive", has_classes=True, mask_negatives=True, mask_threshold=0.9)
    assert objective.batch_fields == ("text_vectors", "classes")
    loss, scalars = loss_of(objective, given, {"text_vectors": vectors, "classes": classes})
    keep = classes[:, None] != classes
    expected = losses.masked_info_nce(given.motion, given.text, SCALE, keep)
    np.testing.assert_allclose(loss, expected, rtol=1e-6)
    assert scalars["negatives_kept"] == pytest.approx(24 / 30)
    # All clips of one class: no negative is left.
    batch = {"text_vectors": vectors, "classes": np.zeros(6, np.int32)}
    loss, scalars = loss_of(objective, given, batch)
    assert loss == pytest.approx(0, abs=1e-6)
    assert scalars["negatives_kept"] == 0


# Towards fixed text vectors ----------------------------------------------------------------------


def test_mse():
    given = outputs()
    objective = make("mse")
    assert objective.batch_fields == ("text_vectors",)
    loss, scalars = loss_of(objective, given)
    np.testing.assert_allclose(loss, losses.mse(given.motion, given.text), rtol=1e-6)
    assert scalars == {}


def test_triplet():
    given = outputs()
    negative = np.random.default_rng(1).normal(size=(6, 5)).astype(np.float32)
    negative[2] = 3 * given.text[2]
    batch = {"negative_vectors": negative}
    objective = make("triplet", margin=2.0)
    assert objective.batch_fields == ("text_vectors", "negative_vectors")
    loss, scalars = loss_of(objective, given, batch)
    expected = losses.triplet(given.motion, given.text, negative, 2.0)
    np.testing.assert_allclose(loss, expected, rtol=1e-6)
    assert scalars == {}

    masked = make("triplet", margin=2.0, mask_negatives=True, mask_threshold=0.99)
    loss, scalars = loss_of(masked, given, batch)
    keep = jnp.arange(6) != 2
    expected = losses.triplet(given.motion, given.text, negative, 2.0, keep)
    np.testing.assert_allclose(loss, expected, rtol=1e-6)
    assert scalars == {"negatives_kept": pytest.approx(5 / 6)}


# Classes -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("exclusive", [True, False])
def test_classification_equals_torch(exclusive):
    rng = np.random.default_rng(0)
    logits = 3 * rng.normal(size=(7, 4)).astype(np.float32)
    objective = make("classify", has_classes=True)
    assert objective.batch_fields == ("targets",)
    if exclusive:
        targets = rng.integers(0, 4, 7).astype(np.int32)
        expected = torch.nn.functional.cross_entropy(
            torch.from_numpy(logits), torch.from_numpy(targets).long()
        )
    else:
        targets = (rng.random((7, 4)) < 0.4).astype(np.float32)
        expected = torch.nn.functional.binary_cross_entropy_with_logits(
            *map(torch.from_numpy, (logits, targets))
        )
    loss, scalars = loss_of(objective, Outputs(logits, None, SCALE), {"targets": targets})
    np.testing.assert_allclose(loss, expected, rtol=1e-5)
    assert scalars == {}


def test_classification_is_computed_in_float32():
    logits = jnp.asarray([[4.0, 1.0, -2.0]], jnp.bfloat16)
    for targets in (np.array([1], np.int32), np.array([[0, 1, 0]], np.float32)):
        loss = classification(logits, targets)
        assert loss.dtype == jnp.float32
        wide = classification(logits.astype(jnp.float32), targets)
        np.testing.assert_array_equal(loss, wide)


def test_a_classifier_needs_classes():
    with pytest.raises(ValueError, match="kind='classify' needs classes: set "):
        make("classify", has_classes=False)


def test_only_masking_needs_vectors():
    config = types.SimpleNamespace(mask_negatives=False, mask_threshold=0.6, margin=1.0)
    assert OBJECTIVES["contrastive"](config, True).batch_fields == ()
    config.mask_negatives = True
    assert OBJECTIVES["contrastive"](config, True).batch_fields == ("text_vectors", "classes")
    assert OBJECTIVES["contrastive"](config, False).batch_fields == ("text_vectors",)


# Over devices ------------------------------------------------------------------------------------


@pytest.mark.parametrize("mesh", [{"data": 8, "model": 1}, {"data": 4, "model": 2}])
@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("contrastive", {"mask_negatives": True}),
        ("mse", {}),
        ("triplet", {"mask_negatives": True}),
        ("classify", {}),
    ],
)
def test_a_batch_over_eight_devices_is_one_batch(kind, fields, mesh):
    """Negatives, means and gradients are those of the global batch."""
    rng, mesh = np.random.default_rng(0), sharding.make_mesh(**mesh)
    size, width = 16, 5
    objective = make(kind, has_classes=True, **fields)
    vectors = rng.normal(size=(size, width)).astype(np.float32)
    vectors[9] = vectors[2]  # equal, on two devices
    batch = {
        "motion": rng.normal(size=(size, width)).astype(np.float32),
        "text": vectors,
        "text_vectors": vectors,
        "negative_vectors": np.roll(vectors, 7, axis=0),
        "classes": np.arange(size, dtype=np.int32) % 6,
        "targets": np.arange(size, dtype=np.int32) % width,
    }

    def loss(given):
        outputs = Outputs(given["motion"], given["text"], SCALE)
        carried = {name: given[name] for name in objective.batch_fields}
        value, _, scalars = objective.loss(outputs, REST, carried, mesh)
        return value, scalars

    step = jax.jit(jax.value_and_grad(lambda m, b: loss(b | {"motion": m}), has_aux=True))
    spread = sharding.put_local(batch, size, mesh)
    (value, scalars), gradient = step(spread["motion"], spread)
    (expected, of_one), expected_gradient = step(batch["motion"], batch)
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    np.testing.assert_allclose(gradient, expected_gradient, rtol=1e-4, atol=1e-7)
    assert scalars == {name: pytest.approx(float(of_one[name])) for name in of_one}
    if fields.get("mask_negatives"):
        assert 0 < scalars["negatives_kept"] < 1
