"""The steps of a language model, on eight virtual CPU devices and for accelerators."""

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from benchmarks import ahead_of_time as aot
from motionalign import sharding


@pytest.fixture(scope="module")
def mesh():
    return sharding.make_mesh(data=2, model=4)


def shape(mesh, sizes, spec, dtype=jnp.float32):
    return jax.ShapeDtypeStruct(sizes, dtype, sharding=NamedSharding(mesh, spec))


def test_bytes_of_a_state(mesh):
    state = {
        "kernel": shape(mesh, (16, 32), P(None, "model"), jnp.bfloat16),
        "scale": shape(mesh, (16,), P()),
    }
    assert aot.state_bytes(state) == (16 * 32 * 2 + 64, 16 * 8 * 2 + 64)


SMALL = aot.LLAMA_2["7b"] | {
    "vocab_size": 128,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 1,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
}


def small_run(base):
    """The published run with a small language model, motion tokenizer and batch."""
    config, tokens = aot.run_configs("7b", base, batch_size=8)
    config.model.language.rank = 4
    with tokens.unlocked():
        tokens.model.tokenizer.width = 8
        tokens.model.tokenizer.depth = 1
    return aot.language_network(config, tokens, SMALL), config


def test_the_training_step_of_a_run_on_virtual_devices(mesh, monkeypatch):
    monkeypatch.setattr(aot, "BEFORE", 3)
    target = aot.Target.parse("v5e:2x4")
    network, config = small_run("int8")
    compiled = aot.compile_training(network, config, target, mesh)
    split = 4 * 32 * 32 + 3 * 32 * 64 + (3 * 32 + 2 * 64) * 4 + 2 * 128 * 32 * 2
    whole = 2 * 32 * 4 + 3 * 32 * 2  # scales of kernels whose rows are split, norms
    assert compiled.state["frozen"] == (split + whole, split // 4 + whole)
    # Two moments for each number in an adapter; nothing for the base or the motion tokenizer.
    adapters = (7 * 32 * 4 + 4 * 32 * 4 + 3 * 64 * 4) * 4
    assert 2 * adapters <= compiled.state["optimizer"][0] < 2 * adapters + 64
    assert not compiled.program.transfers
    row = aot.row("train", "7b", config, target, mesh, compiled)
    assert row.startswith("| train | 7b | int8 | v5e:2x4 | 2 × 4 | 8 |")
    assert row.count("|") == aot.HEADER.splitlines()[0].count("|")


def test_the_scoring_step_of_a_run_on_virtual_devices(mesh, monkeypatch):
    monkeypatch.setattr(aot, "BEFORE", 3)
    network, config = small_run("int8")
    target = aot.Target.parse("v5e:2x4")
    compiled = aot.compile_scoring(network, config, target, mesh)
    assert compiled.program.outputs == 8 * aot.CLASSES * 4
    assert "optimizer" not in compiled.state
    assert not compiled.program.transfers


@pytest.mark.slow
@pytest.mark.parametrize("base", ["bfloat16", "int8"])
@pytest.mark.parametrize(("text", "model"), [("h100:1", 1), ("v5e:2x2", 4)])
def test_the_training_step_compiles_for_accelerators(text, model, base):
    """One layer of LLaMA-2-7B; needs the compilers, `pip install 'jax[cuda12]'` or `'jax[tpu]'`."""
    target = aot.Target.parse(text)
    try:
        devices = target.devices()
    except ValueError as error:
        pytest.skip(str(error))
    mesh = sharding.mesh_of(devices, len(devices) // model, model)
    config, tokens = aot.run_configs("7b", base)
    network = aot.language_network(config, tokens, aot.LLAMA_2["7b"] | {"num_hidden_layers": 1})
    got = aot.compile_training(network, config, target, mesh)
    assert not got.program.transfers
    total, device = got.state["frozen"]
    assert device < 1.01 * total / model
    held = sum(device for _, device in got.state.values())
    assert held <= got.program.arguments < 1.02 * held + 10e6  # the batch, and padding
    assert got.program.aliased > 0.95 * sum(got.state[k][1] for k in ("params", "optimizer"))
    # Not even one copy of a layer in another dtype for every layer, let alone the whole base.
    assert got.program.total < target.about.memory / 4
    kinds = {each.kind for each in got.program.exchanges}
    assert not kinds if model == 1 else "all-reduce" in kinds
