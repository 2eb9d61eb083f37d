"""Kernels in 8 and 4 bits: errors, sizes, and networks that are loaded with them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from safetensors.numpy import load_file, save_file
from small_adapted import LORA, Config, Model, base_values, batch, begin, logits, network, save_base

from motionalign.models import lora, quantized
from motionalign.models.frozen import FrozenWeights
from motionalign.models.network import Network

KERNELS = arrays.arrays(
    np.float32,
    st.sampled_from([(130, 3), (64, 2)]),  # few shapes to compile
    elements=st.floats(-1e6, 1e6, width=32),
)


def restored(kernel, kind):
    return np.asarray(quantized.dequantize(*quantized.quantize(kernel, kind)))


def block_maxima(kernel):
    """The largest magnitude in each NF4 block, for each element."""
    return np.concatenate(
        [
            np.broadcast_to(np.abs(part).max(axis=0), part.shape)
            for part in np.split(kernel, range(quantized.BLOCK, len(kernel), quantized.BLOCK))
        ]
    )


@settings(max_examples=50, deadline=None)
@given(KERNELS)
def test_int8_is_off_by_at_most_half_a_step(kernel):
    step = np.abs(kernel).max(axis=0) / 127
    step_is_0 = 127 * np.finfo(np.float32).tiny  # a CPU flushes smaller ones than `tiny`
    assert (np.abs(restored(kernel, "int8") - kernel) <= step * 0.5001 + step_is_0).all()


@settings(max_examples=50, deadline=None)
@given(KERNELS)
def test_nf4_is_off_by_at_most_half_the_widest_gap(kernel):
    """Scales are rounded up to bfloat16, by at most 2^-7 of their size."""
    gap = np.diff(quantized.NF4).max() / 2
    bound = block_maxima(kernel) * gap * (1 + 2**-7)
    assert (np.abs(restored(kernel, "nf4") - kernel) <= bound * 1.0001 + 1e-37).all()


@settings(max_examples=50, deadline=None)
@given(KERNELS)
def test_nf4_takes_the_nearest_level(kernel):
    codes, scales = quantized.quantize(kernel, "nf4")
    level = scales.astype(np.float32).repeat(quantized.BLOCK, axis=0)[: len(kernel)]
    possible = quantized.NF4[:, None, None] * level
    best = np.abs(possible - kernel).min(axis=0)
    found = np.abs(np.asarray(quantized.dequantize(codes, scales)) - kernel)
    assert (found <= best + 1e-6 * level + 1e-37).all()  # denormal numbers count as zeros


@pytest.mark.parametrize("kind", quantized.KINDS)
def test_quantising_again_changes_nothing(kind):
    kernel = np.random.default_rng(0).normal(size=(128, 6)).astype(np.float32)
    once = restored(kernel, kind)
    np.testing.assert_allclose(restored(once, kind), once, rtol=1e-6, atol=1e-7)
    np.testing.assert_array_equal(restored(np.zeros((64, 3), np.float32), kind), 0.0)


def test_the_levels_of_nf4_are_those_of_the_paper():
    """Quantiles of the normal distribution: 8 from -1 to 0 and 9 from 0 to 1, with one zero."""
    ppf = pytest.importorskip("scipy.stats").norm.ppf
    offset = 0.9677083  # of the published code: 1 - (1/32 + 1/30) / 2
    levels = np.concatenate(
        [-ppf(np.linspace(offset, 0.5, 8)), ppf(np.linspace(0.5, offset, 9)[1:])]
    )
    np.testing.assert_allclose(quantized.NF4, levels / levels.max(), atol=1e-6)


@pytest.mark.parametrize(("kind", "bits"), [("int8", 8 + 32 / 4096), ("nf4", 4.25)])
def test_bits_of_a_parameter(kind, bits):
    stored = quantized.abstract(4096, 4096, kind)
    assert sum(x.size * x.dtype.itemsize * 8 for x in stored) / 4096**2 == bits
    kernel = np.random.default_rng(0).normal(size=(130, 6)).astype(np.float32)
    for found, expected in zip(
        quantized.quantize(kernel, kind), quantized.abstract(130, 6, kind), strict=True
    ):
        assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
    codes = quantized.abstract(130, 6, kind)[0]
    assert quantized.float_shape(codes.shape, codes.dtype) == (130, 6)


@pytest.mark.parametrize(("kind", "relative"), [("int8", 0.01), ("nf4", 0.1)])
def test_the_error_of_normal_weights(kind, relative):
    """Of their standard deviation: 0.8 % and 9 % here."""
    kernel = np.random.default_rng(0).normal(0, 0.02, size=(512, 64)).astype(np.float32)
    error = np.sqrt(np.mean((restored(kernel, kind) - kernel) ** 2)) / 0.02
    assert relative / 2 < error < relative


@pytest.mark.parametrize("kind", quantized.KINDS)
@pytest.mark.parametrize("dtype", [np.float32, jnp.bfloat16])
def test_the_product_and_its_gradient(kind, dtype):
    rng = np.random.default_rng(0)
    kernel = rng.normal(size=(128, 6)).astype(np.float32)
    codes, scales = map(jnp.asarray, quantized.quantize(kernel, kind))
    w = restored(kernel, kind)
    x = jnp.asarray(rng.normal(size=(3, 128)), dtype)
    y, pull = jax.vjp(lambda x: quantized.product(x, codes, scales), x)
    assert y.dtype == x.dtype
    exact, tolerance = np.asarray(x, np.float32), 1e-4 if dtype == np.float32 else 0.2
    np.testing.assert_allclose(y.astype(np.float32), exact @ w, atol=tolerance)
    (grad,) = pull(jnp.ones_like(y))
    np.testing.assert_allclose(
        grad.astype(np.float32), np.ones((3, 6)) @ w.T, atol=tolerance, rtol=0.02
    )


@pytest.mark.parametrize("kind", quantized.KINDS)
def test_the_backward_pass_does_not_keep_floats_of_a_kernel(kind):
    codes, scales = map(jnp.asarray, quantized.quantize(np.ones((128, 96), np.float32), kind))
    _, pull = jax.vjp(lambda x: quantized.product(x, codes, scales), jnp.ones((2, 128)))
    kept = [x for x in jax.tree.leaves(pull) if x.size >= codes.size]
    assert kept and {x.dtype for x in kept} == {codes.dtype}


def test_what_cannot_be_quantised():
    for value in (np.nan, np.inf):
        kernel = np.ones((64, 2), np.float32)
        kernel[3, 1] = value
        for kind in quantized.KINDS:
            with pytest.raises(ValueError, match="NaN or infinite"):
                quantized.quantize(kernel, kind)
    with pytest.raises(ValueError, match="even number of inputs: choose int8"):
        quantized.quantize(np.ones((7, 2), np.float32), "nf4")
    with pytest.raises(ValueError, match="'int4'; valid: 'int8', 'nf4'"):
        quantized.quantize(np.ones((8, 2), np.float32), "int4")


# ------------------------------------------------------------------------- networks


@pytest.mark.parametrize("kind", quantized.KINDS)
def test_a_quantised_base_is_loaded_through_its_reference(tmp_path, kind):
    """It computes what a float base of the restored kernels would, and its adapters train."""
    net = network(save_base(tmp_path / "base"), kind)
    state, shapes, train_step = begin(net)
    frozen = state["frozen"]
    assert frozen.keys() == shapes["frozen"].keys() == net.abstract_frozen.keys()
    for path, leaf in shapes["frozen"].items():
        assert (frozen[path].shape, frozen[path].dtype) == (leaf.shape, leaf.dtype), path
    code = np.dtype({"int8": np.int8, "nf4": np.uint8}[kind])
    in_code = {path for path, value in frozen.items() if value.dtype == code}
    assert in_code == {p for p in frozen if p.startswith("llama/blocks/") and p.endswith("kernel")}
    assert frozen["llama/embed/embedding"].dtype == frozen["llama/head/kernel"].dtype == "bfloat16"
    values = {
        f"llama/{path}": restored(value, kind)
        if path.startswith("blocks")
        else np.asarray(value, jnp.bfloat16).astype(np.float32)
        for path, value in base_values().items()
    }
    plain = Network(Config(LORA), module=Model)
    expected = logits(plain, {**values, **state["params"]})
    found = logits(net, {**frozen, **state["params"]})
    np.testing.assert_allclose(found, expected, atol=1e-4)
    merged = lora.merged({**frozen, **state["params"]}, LORA, np.float32)
    assert merged.keys() == {p for p in plain.abstract_params if "lora" not in p}
    for path, value in values.items():
        np.testing.assert_allclose(merged[path], value, atol=1e-6)
    if kind == "int8":
        return
    losses = []
    for i in range(6):
        state, scalars = train_step(state, jnp.int32(i), batch())
        losses.append(float(scalars["loss"]))
    assert losses[-1] < losses[0] - 0.1


def test_a_float_base_without_adapters_beside_a_quantised_one(tmp_path):
    """The error in the logits, of their standard deviation."""
    folder = save_base(tmp_path / "base")
    found = {}
    for dtype in ("float32", "bfloat16", "int8", "nf4"):
        net = network(folder, dtype, adapters=None)
        params = {"scale": jnp.ones(())}
        found[dtype] = logits(net, params | net.load_frozen(net.abstract_frozen))
    exact = found.pop("float32")
    error = {dtype: np.std(other - exact) / np.std(exact) for dtype, other in found.items()}
    assert error["bfloat16"] < 0.01 and error["int8"] < 0.03 and 0.03 < error["nf4"] < 0.3, error


def test_a_quantised_tower_that_cannot_be(tmp_path):
    folder = save_base(tmp_path / "base")
    with pytest.raises(ValueError, match="dtype of frozen weights is 'int4'; valid: 'float32'"):
        network(folder, "int4")
    tower = FrozenWeights("scale_head", folder, "0" * 64, "nf4")
    with pytest.raises(ValueError, match="scale_head cannot be stored as nf4"):
        tower.prepare(Model(Config(), rngs=nnx.Rngs(0)))


def test_a_quantised_base_is_read_as_strictly_as_any(tmp_path):
    folder = tmp_path / "base"
    save_base(folder)
    tensors = load_file(folder / "model.safetensors")
    name = "layers.1.mlp.down_proj.weight"
    for damage, message in (
        (
            {name: np.full_like(tensors[name], np.nan)},
            "tensor of blocks/1/mlp/down/kernel: it",
        ),
        (
            {name: tensors[name].T.copy()},
            r"wrong shape .*down_proj.weight \[20",
        ),
        ({"layers.2.mlp.up_proj.weight": tensors[name]}, "unexpected"),
    ):
        save_file(tensors | damage, folder / "model.safetensors")
        net = network(str(folder), "nf4")
        with pytest.raises(ValueError, match=message):
            net.load_frozen(net.abstract_frozen)
    del tensors[name]
    save_file(tensors, folder / "model.safetensors")
    net = network(str(folder), "int8")
    with pytest.raises(ValueError, match=r"missing .*blocks/1/mlp/down/kernel"):
        net.load_frozen(net.abstract_frozen)


def test_references_of_earlier_versions_are_read():
    earlier = {"under": "text_encoder", "source": "a", "sha256": "b", "dtype": "bfloat16"}
    assert FrozenWeights.from_dict(earlier).trained == ""
