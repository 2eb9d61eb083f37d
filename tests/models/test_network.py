"""The network as a function of parameters and other state, in both modes of Flax."""

import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from runs import ROOT
from small_network import CONFIG, abstract, batch, begin

from motionalign.checkpoints.run import Checkpoints
from motionalign.models.build import resolve
from motionalign.models.dual_encoder import DualEncoder
from motionalign.models.network import Network, flatten

TOWERS = resolve(
    {
        "motion": {"size": "custom", "width": 24, "depth": 2, "heads": 3, "max_frames": 32},
        "text": {"family": "bert", "width": 24, "depth": 2, "heads": 4, "vocab_size": 50},
        "embed_dim": 24,
    }
)


class Tied(nnx.Module):
    """Two layers with one kernel."""

    def __init__(self):
        self.first = nnx.Linear(3, 3, rngs=nnx.Rngs(0))
        self.second = nnx.Linear(3, 3, rngs=nnx.Rngs(1))
        self.second.kernel = self.first.kernel


IMPORT_ALL = """
import importlib, pkgutil, sys
import flax, jax
from flax import nnx

def switches():
    flax_values = {name: getattr(flax.config, name) for name in flax.config._values}
    modes = nnx.set_graph_mode.current_value(), nnx.set_graph_updates.current_value()
    return flax_values, modes, dict(jax.config.values)

before = switches()
import motionalign
names = [m.name for m in pkgutil.walk_packages(motionalign.__path__, "motionalign.")]
assert len(names) > 20
for name in names:
    importlib.import_module(name)
assert switches() == before, (before, switches())

sys.path[:0] = ["tests", "tests/models"]
from test_network import Tied
graphdef, state = nnx.split(Tied())
assert len(jax.tree.leaves(state)) == 3
tied = nnx.merge(graphdef, state)
assert tied.first.kernel is tied.second.kernel
"""


def test_imports_change_no_setting_of_the_process():
    """A model with shared parameters, which tree mode rejects, can still be split afterwards."""
    subprocess.run([sys.executable, "-c", IMPORT_ALL], cwd=ROOT, check=True)
    with (
        nnx.set_graph_mode(False),
        pytest.raises(ValueError, match="does not support shared references"),
    ):
        nnx.split(Tied())


def test_using_a_network_leaves_the_mode_alone():
    network = Network(TOWERS)
    for mode in (True, False):
        with nnx.set_graph_mode(mode):
            network.bind(
                jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), network.abstract_params)
            )
            assert nnx.set_graph_mode.current_value() is mode
    assert nnx.set_graph_mode.current_value()


def test_both_modes_give_the_same():
    """The same parameters in the same order, and the same program."""
    batch = {
        "patches": np.zeros((2, 32, 80, 3), np.float32),
        "input_ids": np.ones((2, 5), np.int32),
        "text_mask": np.ones((2, 5), bool),
    }

    def made(mode: bool):
        with nnx.set_graph_mode(mode):
            network = Network(TOWERS)
            paths = list(network.abstract_params)
            assert list(jax.eval_shape(lambda: network.init(0))) == sorted(paths)
            bound = network.bind(network.abstract_params)
            assert list(flatten(nnx.state(bound))) == paths
            initial = jax.make_jaxpr(lambda: network.init(0))()
            program = jax.make_jaxpr(lambda params: network.bind(params)(batch))
            return paths, str(initial), str(program(network.abstract_params))

    assert made(True) == made(False)


class Steps(nnx.Variable):
    """Non-parameter state."""


class Counting(DualEncoder):
    """A dual encoder that counts its forward passes in training."""

    def __init__(self, config, dtype=jnp.float32, *, rngs):
        super().__init__(config, dtype, rngs=rngs)
        self.steps = Steps(jnp.zeros((), jnp.int32))

    def __call__(self, batch, rngs=None):
        self.steps[...] = self.steps[...] + 1
        return super().__call__(batch, rngs)


def test_non_parameter_state(tmp_path):
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
