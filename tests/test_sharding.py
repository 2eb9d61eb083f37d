"""Meshes and shardings on eight virtual devices."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P
from runs import cluster, finish, python

from motionalign import sharding
from motionalign.losses import info_nce

PATHS = {
    # width 12, 4 heads of 3, MLP width 8
    "motion_encoder/blocks/0/attention/query/kernel": ((12, 4, 3), P(None, "model", None)),
    "motion_encoder/blocks/0/attention/key/kernel": ((12, 4, 3), P(None, "model", None)),
    "motion_encoder/blocks/0/attention/value/bias": ((4, 3), P("model", None)),
    "text_encoder/blocks/1/attention/out/kernel": ((4, 3, 12), P("model", None, None)),
    "text_encoder/blocks/1/attention/out/bias": ((12,), P()),
    "text_encoder/blocks/1/mlp/up/kernel": ((12, 8), P(None, "model")),
    "text_encoder/blocks/1/mlp/up/bias": ((8,), P("model")),
    "text_encoder/blocks/1/mlp/down/kernel": ((8, 12), P("model", None)),
    "text_encoder/blocks/1/mlp/down/bias": ((12,), P()),
    "motion_encoder/blocks/0/norm/scale": ((12,), P()),
    "motion_encoder/position": ((1, 70, 12), P()),
    "motion_head/out/kernel": ((12, 12), P()),  # a matrix: not an attention's
    "logit_scale": ((), P()),
    # a language model of width 12, 4 heads of 3 and 2 of keys, MLP width 8, vocabulary 10
    "llama/embed/embedding": ((10, 12), P("model", None)),
    "llama/blocks/0/attention/query/kernel": ((12, 12), P(None, "model")),
    "llama/blocks/0/attention/key/kernel": ((12, 6), P(None, "model")),
    "llama/blocks/0/attention/value/bias": ((6,), P("model")),
    "llama/blocks/0/attention/out/kernel": ((12, 12), P("model", None)),
    "llama/blocks/0/attention/out/bias": ((12,), P()),
    "llama/blocks/0/attention/query/lora_a": ((12, 2), P()),
    "llama/blocks/0/attention/query/lora_b": ((2, 12), P(None, "model")),
    "llama/blocks/0/attention/out/lora_a": ((12, 2), P("model", None)),
    "llama/blocks/0/attention/out/lora_b": ((2, 12), P()),
    "llama/blocks/0/mlp/gate/kernel": ((12, 8), P(None, "model")),
    "llama/blocks/0/mlp/up/lora_b": ((2, 8), P(None, "model")),
    "llama/blocks/0/mlp/down/kernel": ((8, 12), P("model", None)),
    "llama/blocks/0/mlp_norm/scale": ((12,), P()),
    "llama/head/kernel": ((12, 10), P(None, "model")),
    # a language model: matrices, quantised ones with their scales, adapters
    "llm/blocks/0/attention/query/kernel": ((12, 8), P(None, "model")),
    "llm/blocks/0/attention/query/kernel_scale": ((1, 8), P(None, "model")),
    "llm/blocks/0/attention/query/lora_a": ((12, 2), P()),
    "llm/blocks/0/attention/query/lora_b": ((2, 8), P(None, "model")),
    "llm/blocks/0/attention/value/bias": ((8,), P("model")),
    "llm/blocks/0/attention/out/kernel": ((8, 12), P("model", None)),
    "llm/blocks/0/attention/out/kernel_scale": ((1, 12), P()),  # of all rows
    "llm/blocks/0/attention/out/lora_a": ((8, 2), P("model", None)),
    "llm/blocks/0/attention/out/lora_b": ((2, 12), P()),
    "llm/blocks/0/mlp/gate/kernel": ((12, 16), P(None, "model")),
    "llm/blocks/0/mlp/up/lora_b": ((2, 16), P(None, "model")),
    "llm/blocks/0/mlp/down/kernel_scale": ((2, 12), P("model", None)),  # of blocks of rows
    "llm/blocks/0/mlp/down/lora_a": ((16, 2), P("model", None)),
    "llm/embed/embedding": ((32, 12), P("model", None)),
    "llm/head/kernel": ((12, 32), P(None, "model")),
}


@pytest.fixture(scope="module")
def mesh():
    return sharding.make_mesh(data=4, model=2)


@pytest.fixture
def params():
    rng = np.random.default_rng(0)
    return {p: rng.normal(size=shape).astype(np.float32) for p, (shape, _) in PATHS.items()}


def test_rules(mesh):
    for path, (shape, spec) in PATHS.items():
        assert sharding.spec_for(path, shape, mesh) == spec, path


@pytest.mark.parametrize(
    ("path", "shape"),
    [
        ("blocks/0/attention/query/kernel", (12, 3, 4)),  # three heads
        ("blocks/0/attention/query/bias", (3, 4)),
        ("blocks/0/attention/out/kernel", (3, 4, 12)),
        ("blocks/0/mlp/up/kernel", (12, 7)),
        ("blocks/0/mlp/down/kernel", (7, 12)),
    ],
)
def test_indivisible_arrays_are_replicated(mesh, path, shape):
    assert sharding.spec_for(path, shape, mesh) == P()
    array = sharding.put_global(
        np.zeros(shape, np.float32), sharding.tree_shardings({path: np.zeros(shape)}, mesh)[path]
    )
    assert array.is_fully_replicated
    # On a mesh whose model axis is 1, everything divides.
    alone = sharding.make_mesh(data=8, model=1)
    assert sharding.spec_for(path, shape, alone) != P()


def test_optimizer_state_is_sharded_like_its_parameters(mesh, params):
    optimizer = optax.partition(
        {"a": optax.adam(1e-3), "b": optax.set_to_zero()},
        {path: "b" if path == "logit_scale" else "a" for path in params},
    )
    tree = {"params": params, "optimizer": jax.eval_shape(optimizer.init, params)}
    layout = sharding.tree_shardings(tree, mesh)
    by_shape = {path: layout["params"][path] for path in params}
    for path, (_, spec) in PATHS.items():
        assert by_shape[path] == NamedSharding(mesh, spec)
    (adam, _) = layout["optimizer"].inner_states["a"].inner_state
    assert adam.count.spec == P()
    for moments in (adam.mu, adam.nu):
        moments = {k: v for k, v in moments.items() if isinstance(v, NamedSharding)}
        assert moments == {k: v for k, v in by_shape.items() if k != "logit_scale"}


def test_parameters_spread_over_devices_hold_the_same_numbers(mesh, params):
    layout = sharding.tree_shardings(params, mesh)
    for path, value in params.items():
        array = sharding.put_global(value, layout[path])
        np.testing.assert_array_equal(array, value)
        split = any(PATHS[path][1])
        shard = array.addressable_shards[0].data
        assert shard.size == value.size // (2 if split else 1), path


def test_batches_are_split_along_the_data_axis(mesh):
    batch = {
        "patches": np.random.default_rng(0).normal(size=(8, 4, 5, 3)).astype(np.float16),
        "num_frames": np.arange(8, dtype=np.int32),
    }
    put = sharding.put_local(batch, 8, mesh)
    for name, value in batch.items():
        np.testing.assert_array_equal(put[name], value)
        assert put[name].dtype == value.dtype
        assert put[name].sharding == sharding.batch_sharding(mesh)
        assert {len(shard.data) for shard in put[name].addressable_shards} == {2}


def test_the_global_batch_gives_the_negatives(mesh):
    """InfoNCE over a batch on eight devices is that of one device, gradients too."""
    rng = np.random.default_rng(0)
    batch = {name: rng.normal(size=(16, 6)).astype(np.float32) for name in ("motion", "text")}

    def loss(batch):
        return info_nce(batch["motion"], batch["text"], 14.0)

    step = jax.jit(jax.value_and_grad(loss))
    for spread in (mesh, sharding.make_mesh()):
        value, gradient = step(sharding.put_local(batch, 16, spread))
        expected, expected_gradient = step(batch)
        np.testing.assert_allclose(value, expected, rtol=1e-6)
        for name in batch:
            np.testing.assert_allclose(
                gradient[name], expected_gradient[name], rtol=1e-4, atol=1e-7
            )


@pytest.mark.parametrize(
    ("data", "model", "shape"), [(-1, 1, (8, 1)), (-1, 4, (2, 4)), (4, 2, (4, 2)), (1, 8, (1, 8))]
)
def test_meshes(data, model, shape):
    mesh = sharding.make_mesh(data, model)
    assert mesh.axis_names == ("data", "model")
    assert mesh.devices.shape == shape
    assert set(mesh.devices.flat) == set(jax.devices())


@pytest.mark.parametrize(("data", "model"), [(3, 2), (8, 2), (0, 8), (-1, 0), (4, 1), (-2, -4)])
def test_meshes_that_do_not_fit(data, model):
    with pytest.raises(
        ValueError, match=r"config\.mesh\.data=.* must equal the 8 available devices"
    ):
        sharding.make_mesh(data, model)


@pytest.mark.parametrize("model", [3, 16])
def test_a_model_axis_that_does_not_divide_the_devices(model):
    message = rf"config\.mesh\.model={model} must divide .* devices, 8: set it to 1 or 2 or 4 or 8"
    with pytest.raises(ValueError, match=message):
        sharding.make_mesh(-1, model)


def test_a_mesh_of_some_devices():
    mesh = sharding.mesh_of(jax.devices()[2:6], 2, 2)
    assert set(mesh.devices.flat) == set(jax.devices()[2:6])
    array = sharding.put_local({"x": np.arange(4.0)}, 4, mesh)["x"]
    np.testing.assert_array_equal(jnp.sum(array), 6)


def test_batch_size_must_be_divisible(mesh):
    sharding.check_batch_size("data.batch_size", 12, mesh)
    message = r"config\.data\.eval_batch_size=10 is not a multiple of the 4 devices"
    with pytest.raises(ValueError, match=message):
        sharding.check_batch_size("data.eval_batch_size", 10, mesh)


class _OneProcessOf:
    """A sharding over devices of several processes, of which this one has only some."""

    def __init__(self, whole, devices):
        self._whole = whole
        self._devices = devices

    def addressable_devices_indices_map(self, shape):
        held = self._whole.addressable_devices_indices_map(shape)
        return {device: held[device] for device in self._devices}


@pytest.mark.parametrize(
    ("data", "model", "rows"),
    [
        (8, 1, ([0, 1, 2, 3], [4, 5, 6, 7])),
        (2, 4, ([0, 1, 2, 3], [4, 5, 6, 7])),
        (1, 8, (range(8), range(8))),  # the model axis spans both: each has all rows
    ],
)
def test_rows_of_a_process(monkeypatch, data, model, rows):
    """Two processes of four devices each."""
    mesh = sharding.make_mesh(data, model)
    whole = sharding.batch_sharding(mesh)
    for devices, expected in zip((jax.devices()[:4], jax.devices()[4:]), rows):
        one = _OneProcessOf(whole, devices)
        monkeypatch.setattr(sharding, "batch_sharding", lambda mesh, one=one: one)
        np.testing.assert_array_equal(sharding.local_rows(mesh, 8), expected)


@pytest.mark.parametrize("runs", [2, pytest.param(20, marks=pytest.mark.slow)])
def test_two_processes_keep_the_order_of_collectives(tmp_path, monkeypatch, runs):
    """Also in later runs, which could read compiled programs back that have lost it."""
    programs = tmp_path / "programs"
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(programs))
    for _ in range(runs):
        command = ("-m", "tests.two_collectives", f"--compilation_cache={programs}")
        for process in [python(*command, *flags) for flags in cluster()]:
            assert "right" in finish(process)
    assert not programs.exists()


@pytest.mark.parametrize(
    ("platform", "devices", "can"),
    [("cpu", 1, True), ("cpu", 2, False), ("gpu", 1, True), ("gpu", 8, True), ("tpu", 8, True)],
)
def test_which_compiled_programs_are_stored(monkeypatch, platform, devices, can):
    monkeypatch.setattr(jax, "default_backend", lambda: platform)
    monkeypatch.setattr(jax, "device_count", lambda: devices)
    assert sharding.programs_can_be_stored() == can
