"""What is read from compiled programs, on eight virtual CPU devices, and the names of targets."""

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


@pytest.fixture(scope="module")
def layers(mesh):
    """Three layers in a loop, each with one sum over the model axis, of [4, 16] a device."""

    def run(x, up, down):
        def layer(x, kernels):
            y = jnp.tanh(x @ kernels[0]) @ kernels[1]
            return jax.lax.with_sharding_constraint(x + y, NamedSharding(mesh, P("data"))), None

        return jax.lax.scan(layer, x, (up, down))[0]

    arguments = (
        shape(mesh, (8, 16), P("data")),
        shape(mesh, (3, 16, 32), P(None, None, "model")),
        shape(mesh, (3, 32, 16), P(None, "model", None)),
    )
    return jax.jit(run, donate_argnums=0, out_shardings=arguments[0].sharding).lower(*arguments)


def test_operations_in_a_loop_count_as_often_as_it_runs(layers):
    program = aot.measure(layers.compile())
    assert program.exchanges == (aot.Exchange("all-reduce", "f32[4,16]", 3, 4 * 16 * 4),)
    assert program.exchanged == 3 * 4 * 16 * 4
    assert not program.transfers


def test_memory_is_that_of_one_device(layers):
    program = aot.measure(layers.compile())
    x, kernel = 4 * 16 * 4, 3 * 16 * 8 * 4
    assert (program.arguments, program.outputs, program.aliased) == (x + 2 * kernel, x, x)
    assert program.total == x + 2 * kernel + program.temporaries
    assert program.temporaries > 0


def test_callbacks_are_transfers(mesh):
    def run(x):
        jax.debug.callback(lambda y: None, x.sum())
        return x + 1

    [alone] = sharding.mesh_of(jax.devices()[:1], 1, 1).devices.flat
    at = jax.sharding.SingleDeviceSharding(alone)
    lowered = jax.jit(run).lower(jax.ShapeDtypeStruct((4,), jnp.float32, sharding=at))
    [found] = aot.measure(lowered.compile()).transfers
    assert found.startswith("custom-call")


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("bf16[16,128]{1,0:T(8,128)(2,1)}", 16 * 128 * 2),
        ("(f32[4]{0}, s8[3,5]{1,0}, pred[])", 16 + 15 + 1),
        ("s4[6]{0:T(64)E(4)}", 3),
        ("f8e4m3fn[7]", 7),
        ("token[]", 0),
    ],
)
def test_bytes_of_shapes(text, size):
    assert aot.shape_bytes(text) == size


# As XLA writes programs for TPUs and GPUs: an asynchronous operation as a start and an end, or as a
# computation of its own.
ASYNCHRONOUS = """HloModule jit_step, is_scheduled=true

%sum (a: f32[], b: f32[]) -> f32[] {
  %a = f32[] parameter(0)
  %b = f32[] parameter(1)
  ROOT %add = f32[] add(%a, %b)
}

%wrapped (p: f32[4,8]) -> f32[2,8] {
  %p = f32[4,8]{1,0} parameter(0)
  ROOT %rs = f32[2,8]{1,0} reduce-scatter(%p), dimensions={0}, to_apply=%sum
}

ENTRY %main.7 (x: f32[4,8], /*index=1*/y: bf16[2]) -> (f32[16,8], bf16[2]) {
  %x = f32[4,8]{1,0} parameter(0)
  %y = bf16[2]{0} parameter(1)
  %ag-start = (f32[4,8]{1,0}, f32[16,8]{1,0}) all-gather-start(%x), dimensions={0}
  %ag-done = f32[16,8]{1,0:T(8,128)} all-gather-done(%ag-start)
  %rs-start = ((f32[4,8]{1,0}), f32[2,8]{1,0}, u32[]) async-start(%x), calls=%wrapped
  %rs-done = f32[2,8]{1,0} async-done(%rs-start)
  %copy = bf16[2]{0:T(128)S(5)} copy(%y)
  ROOT %t = (f32[16,8]{1,0}, bf16[2]{0}) tuple(%ag-done, %y)
}
"""


def test_asynchronous_operations_count_once():
    assert aot.exchanges(ASYNCHRONOUS) == [
        aot.Exchange("all-gather", "f32[16,8]", 1, 512),
        aot.Exchange("reduce-scatter", "f32[2,8]", 1, 64),
    ]
    assert aot.host_transfers(ASYNCHRONOUS) == ["copy bf16[2]"]


def test_bytes_of_a_state(mesh):
    state = {
        "kernel": shape(mesh, (16, 32), P(None, "model"), jnp.bfloat16),
        "scale": shape(mesh, (16,), P()),
    }
    assert aot.state_bytes(state) == (16 * 32 * 2 + 64, 16 * 8 * 2 + 64)


@pytest.mark.parametrize("text", ["h100", "h100:9", "v5e:4", "v5e", "a100:1", "h100:1x1"])
def test_a_target_that_is_none(text):
    with pytest.raises(ValueError, match=f"target '{text}' .* v5e:2x2"):
        aot.Target.parse(text)


def test_targets():
    for text in ("h100:1", "h100:8", "v5e:2x2", "v5e:4x4", "v5p:2x2x1"):
        assert str(aot.Target.parse(text)) == text
    assert aot.Target.parse("v5e:4x4").memory == 16 * 2**30


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
    assert got.program.total < target.memory / 4
    kinds = {each.kind for each in got.program.exchanges}
    assert not kinds if model == 1 else "all-reduce" in kinds
