"""The objective of a motion tokenizer: its terms, and that each has its weight."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from motionalign import token_losses
from motionalign.data.bodies import BodiesConfig
from motionalign.models.motion_tokenizer import MotionTokenizer, MotionTokenizerConfig
from motionalign.models.network import Network
from motionalign.models.quantizers import QuantizerConfig
from motionalign.tasks.reconstruction import Reconstruction
from motionalign.tasks.schema import schema

BODIES = BodiesConfig(joints=5, persons=2, frames=8, root=0, left=(1, 3), right=(2, 4), face=True)
WEIGHTS = ("velocity", "commitment", "zipf", "context", "alignment")
OFF = dict.fromkeys(WEIGHTS, 0.0)


def outputs_of(kind):
    config = MotionTokenizerConfig(
        BODIES, QuantizerConfig(kind, 6, 8, factor=4 if kind != "none" else None),
        width=8, down=1, depth=1, growth=1, reach=1, words=20, word_samples=10,
    )  # fmt: skip
    network = Network(config, module=MotionTokenizer)
    bodies = np.random.default_rng(0).normal(size=(3, 8, 2, 5, 3)).astype(np.float32)
    persons = jnp.asarray([[True, True], [True, False], [True, True]])
    batch = {"bodies": jnp.asarray(bodies), "persons": persons}
    return network.apply(network.init(0), network.init_rest(0), batch, jax.random.key(0))[0]


@pytest.fixture(scope="module")
def outputs():
    return outputs_of("hyperbolic")


def loss_of(outputs, **weights):
    config = schema().base().loss
    config.update(OFF | weights)
    loss, rest, scalars = Reconstruction(config, False).loss(outputs, {"kept": 1}, {}, None)
    assert rest == {"kept": 1}
    return float(loss), {name: float(value) for name, value in scalars.items()}


def test_without_weights_only_the_reconstruction_counts(outputs):
    loss, scalars = loss_of(outputs)
    theirs = token_losses.reconstruction(outputs.predicted, outputs.wanted, outputs.persons)
    assert loss == pytest.approx(float(theirs))
    assert {"reconstruction", *WEIGHTS} <= scalars.keys()
    assert {"error_mm", "perplexity", "used_codes", "context_bound"} <= scalars.keys()


@pytest.mark.parametrize("name", WEIGHTS)
def test_each_term_has_its_weight(outputs, name):
    alone, scalars = loss_of(outputs)
    assert scalars[name] != 0
    loss, _ = loss_of(outputs, **{name: 0.3})
    assert loss == pytest.approx(alone + 0.3 * scalars[name], rel=1e-5)


def test_continuous_features_are_only_reconstructed():
    loss, scalars = loss_of(outputs_of("none"), velocity=0.5)
    expected = scalars["reconstruction"] + 0.5 * scalars["velocity"]
    assert loss == pytest.approx(expected, rel=1e-5)
    assert not {"zipf", "context", "perplexity"} & scalars.keys()
