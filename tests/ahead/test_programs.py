"""What is read from compiled programs, on eight virtual CPU devices, and rooflines by hand."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from motionalign import sharding
from motionalign.ahead import programs
from motionalign.ahead.hlo import Exchange
from motionalign.ahead.targets import KINDS


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
    program = programs.measure(layers.compile())
    assert program.exchanges == (Exchange("all-reduce", "f32[4,16]", 3, 4 * 16 * 4),)
    assert program.exchanged == 3 * 4 * 16 * 4
    # The compiler itself counts a loop once.
    assert (program.flops, program.counted, program.unknown_loops) == (
        3 * 2 * 2 * 4 * 16 * 8,
        "text",
        0,
    )
    assert not program.transfers


def test_a_loop_whose_end_depends_on_the_data_is_told():
    def run(x):
        return jax.lax.while_loop(lambda y: y.sum() < 100, lambda y: y @ y, x)

    [alone] = sharding.mesh_of(jax.devices()[:1], 1, 1).devices.flat
    at = jax.sharding.SingleDeviceSharding(alone)
    x = jax.ShapeDtypeStruct((16, 16), jnp.float32, sharding=at)
    program = programs.measure(jax.jit(run).lower(x).compile())
    assert (program.unknown_loops, program.products) == (1, 1)


def test_memory_is_that_of_one_device(layers):
    program = programs.measure(layers.compile())
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
    [found] = programs.measure(lowered.compile()).transfers
    assert found.startswith("custom-call")


def of(flops=0.0, traffic=0.0, exchanged=0, **more):
    exchanges = (Exchange("all-reduce", "u8[1]", 1, exchanged),)
    empty = programs.Program(
        0, 0, 0, 0, 0, flops, "text", traffic, None, 0, 0, 0, 0, exchanges, (), 0, {}
    )
    return empty._replace(**more)


def test_the_counts_of_a_product():
    """2 M N K operations, and three arrays that are read or written."""
    x, y = (jax.ShapeDtypeStruct(s, jnp.float32) for s in ((64, 128), (128, 32)))
    [alone] = sharding.mesh_of(jax.devices()[:1], 1, 1).devices.flat
    with jax.default_device(alone):
        program = programs.measure(jax.jit(jnp.matmul).lower(x, y).compile())
    assert (program.flops, program.counted) == (2 * 64 * 128 * 32, "compiler")
    assert program.traffic == program.accessed == (64 * 128 + 128 * 32 + 64 * 32) * 4
    assert (program.products, program.attention) == (1, 0)


ATTENTION = """
HloModule jit_attend, is_scheduled=true

ENTRY %main (q: bf16[2,16,3,8]) -> bf16[2,3,16,8] {
  %q = bf16[2,16,3,8]{3,2,1,0} parameter(0)
  ROOT %out = (bf16[2,3,16,8]{3,1,2,0}) custom-call(%q, %q, %q), custom_call_target="__cudnn$fmhaSoftmax"
}
"""  # noqa: E501


def test_work_of_libraries_is_counted_from_the_text():
    """The compiler's own counts lack it."""
    memory = SimpleNamespace(
        argument_size_in_bytes=1,
        output_size_in_bytes=2,
        temp_size_in_bytes=3,
        alias_size_in_bytes=0,
        generated_code_size_in_bytes=4,
    )
    compiled = SimpleNamespace(
        memory_analysis=lambda: memory,
        cost_analysis=lambda: {"flops": 7.0, "bytes accessed": 8.0},
        as_text=lambda: ATTENTION,
    )
    program = programs.measure(compiled)
    assert (program.counted, program.accessed, program.attention) == ("text", None, 1)
    assert program.total == 1 + 2 + 3 + 4
    assert program.flops == 2 * 2 * (2 * 3 * 16 * 16 * 8)  # two products


def test_the_longest_of_three_bounds_a_program():
    kind = KINDS["h100"]
    found = programs.estimate(of(989e12, 3.35e12 / 2, 45 * 10**9), kind, "bfloat16")
    assert found == pytest.approx((1.0, 0.5, 0.1))
    assert (found.seconds, found.bound) == (1.0, "arithmetic")
    assert programs.estimate(of(495e12), kind, "float32").seconds == pytest.approx(1.0)
    assert programs.estimate(of(1.0, 3.35e12), kind, "float32").bound == "memory"
    assert programs.estimate(of(1.0, 1.0, 450 * 10**9), kind, "float32").bound == "exchange"


def test_what_is_aliased_counts_once():
    assert of(arguments=10, outputs=7, aliased=6, temporaries=3).total == 14
