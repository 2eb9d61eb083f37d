"""Networks as pure functions: state that is no parameter."""

import jax.numpy as jnp
from flax import nnx
from small_network import CONFIG, abstract, batch, begin

from motionalign.checkpoints.run import Checkpoints
from motionalign.models.dual_encoder import DualEncoder
from motionalign.models.network import Network


class Steps(nnx.Variable):
    """State that is no parameter."""


class Counting(DualEncoder):
    """A dual encoder that counts its forward passes in training."""

    def __init__(self, config, dtype=jnp.float32, *, rngs):
        super().__init__(config, dtype, rngs=rngs)
        self.steps = Steps(jnp.zeros((), jnp.int32))

    def __call__(self, batch, rngs=None):
        self.steps[...] = self.steps[...] + 1
        return super().__call__(batch, rngs)


def test_state_that_is_no_parameter(tmp_path):
    network = Network(CONFIG, module=Counting)
    assert network.abstract_rest.keys() == {"steps"}
    assert "steps" not in network.abstract_params
    state, step = begin(network)
    for number in range(3):
        state, _ = step(state, jnp.int32(number), batch())
    assert int(state["rest"]["steps"]) == 3

    checkpoints = Checkpoints(tmp_path)
    checkpoints.save_latest(3, state, {}, {})
    assert int(checkpoints.restore_latest(abstract(network))[1]["rest"]["steps"]) == 3
    checkpoints.close()
