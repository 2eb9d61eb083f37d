"""The objective of a motion tokenizer: the terms and their weights."""

import jax
import numpy as np
import pytest

from motionalign import sharding, token_losses
from motionalign.configs import nw_ucla_tokens
from motionalign.models.motion_tokenizer import TokenizerOutputs
from motionalign.models.quantizers import Quantized
from motionalign.tasks.reconstruction import Reconstruction


@pytest.fixture(scope="module")
def outputs():
    rng = np.random.default_rng(0)

    def normal(*shape):
        return np.asarray(rng.normal(size=shape), np.float32)

    quantized = Quantized(
        normal(2, 1, 4, 6), rng.integers(0, 5, (2, 1, 4)), normal(2, 1, 4, 5) ** 2,
        np.float32(3), np.float32(0.5), np.float32(2), np.int32(3),
    )  # fmt: skip
    bodies = normal(2, 8, 1, 3, 3)
    return TokenizerOutputs(
        bodies, bodies + np.float32(0.01), np.ones((2, 1), bool), normal(2, 1, 8, 9),
        normal(2, 1, 8, 9), quantized, normal(2, 1, 4, 6), normal(5, 6), normal(7, 6),
    )  # fmt: skip


def loss_of(outputs, **weights):
    config = nw_ucla_tokens.get_config()
    with config.unlocked():
        config.loss.update(weights)
    objective = Reconstruction(config.loss, has_classes=False)
    mesh = sharding.mesh_of(jax.devices()[:1], 1, 1)
    total, _, scalars = objective.loss(outputs, None, {}, mesh)
    return float(total), {name: float(value) for name, value in scalars.items()}


NONE = {"velocity": 0.0, "commitment": 0.0, "zipf": 0.0, "context": 0.0, "alignment": 0.0}


def test_without_weights_the_reconstruction_remains(outputs):
    total, scalars = loss_of(outputs, **NONE)
    about = outputs.predicted, outputs.wanted, outputs.persons
    assert total == pytest.approx(float(token_losses.reconstruction(*about)), rel=1e-5)
    assert scalars["error_mm"] == pytest.approx(10 * 3**0.5, rel=1e-3)


@pytest.mark.parametrize("name", NONE)
def test_each_term_has_its_weight(outputs, name):
    without, scalars = loss_of(outputs, **NONE)
    total, _ = loss_of(outputs, **(NONE | {name: 2.0}))
    assert scalars[name] > 1e-4
    assert total - without == pytest.approx(2 * scalars[name], rel=1e-3)
