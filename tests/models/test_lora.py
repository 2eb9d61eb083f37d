"""Low-rank adapters: what they compute, where they are, and that they alone are trained."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from small_adapted import (
    ADAPTED,
    DEPTH,
    HIDDEN,
    LORA,
    WIDTH,
    Config,
    Model,
    Tower,
    base_values,
    batch,
    begin,
    logits,
    network,
    save_base,
)

from motionalign.models import lora
from motionalign.models.lora import LoraConfig
from motionalign.models.network import Network

ADAPTERS = {f"llama/{path}/lora_{side}" for path in ADAPTED for side in "ab"}


def moved(params, seed=0, size=0.3):
    """Parameters moved away from their initial value."""
    rng = np.random.default_rng(seed)
    return {
        path: np.asarray(value) + size * rng.normal(size=value.shape).astype(value.dtype)
        for path, value in params.items()
    }


def linear(dtype=np.float32, dropout=0.0, **options):
    """(layer with an adapter that is not zero, its kernel, bias, a, b)."""
    layer = lora.Linear(6, 5, dtype, nnx.Rngs(0), use_bias=True)
    layer.add_adapter(LoraConfig(2, 3.0, ".*", dropout, **options), nnx.Rngs(1))
    rng = np.random.default_rng(0)
    for name in ("bias", "lora_b"):
        param = getattr(layer, name)
        param[...] = jnp.asarray(rng.normal(size=param.shape), jnp.float32)
    names = ("kernel", "bias", "lora_a", "lora_b")
    return layer, *(np.asarray(getattr(layer, name)[...]) for name in names)


@pytest.mark.parametrize(("stable", "scale"), [(False, 1.5), (True, 3 / 2**0.5)])
def test_what_a_linear_layer_computes(stable, scale):
    layer, w, bias, a, b = linear(rank_stabilized=stable)
    x = np.random.default_rng(1).normal(size=(3, 4, 6)).astype(np.float32)
    expected = x @ w + bias + scale * (x @ a @ b)
    found, pull = jax.vjp(layer, x)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    through = np.ones((3, 4, 5)) @ (w + scale * a @ b).T  # to the layers before
    np.testing.assert_allclose(pull(jnp.ones((3, 4, 5)))[0], through, atol=1e-5)
    assert np.abs(scale * (x @ a @ b)).max() > 0.1


def test_dropout_is_that_of_the_adapters_input_alone():
    layer, w, bias, a, b = linear(dropout=0.5)
    x = np.ones((1, 6), np.float32)
    np.testing.assert_allclose(layer(x), x @ w + bias + 1.5 * (x @ a @ b), atol=1e-5)  # evaluation
    found = layer(x, nnx.Rngs(dropout=3))
    masks = np.array(np.meshgrid(*[(0.0, 2.0)] * 6)).reshape(6, -1).T  # every way to drop inputs
    possible = x @ w + bias + 1.5 * (masks @ a @ b)
    assert np.abs(possible - found).max(axis=1).min() < 1e-5
    assert np.abs(found - layer(x)).max() > 0.01


def test_computing_in_bfloat16():
    layer, w, bias, a, b = linear(jnp.bfloat16)
    x = np.random.default_rng(1).normal(size=(4, 6)).astype(np.float32)
    found = layer(x)
    assert found.dtype == jnp.bfloat16
    assert layer.lora_a is not None and layer.lora_a[...].dtype == jnp.float32
    np.testing.assert_allclose(
        found.astype(np.float32), x @ w + bias + 1.5 * (x @ a @ b), atol=0.05
    )


def test_initial_adapters_are_drawn_as_peft_draws_them():
    """A uniform in +-1/sqrt(inputs); B zero."""
    layer = lora.Linear(400, 30, np.float32, nnx.Rngs(0))
    layer.add_adapter(LoraConfig(16, 16.0, ".*"), nnx.Rngs(1))
    assert layer.lora_a is not None and layer.lora_b is not None
    a = np.asarray(layer.lora_a[...])
    assert 0.0495 < a.max() <= 0.05 and -0.0495 > a.min() >= -0.05
    np.testing.assert_allclose(a.std(), 0.05 / 3**0.5, rtol=0.03)
    assert a.shape == (400, 16) and not layer.lora_b[...].any()


def test_initial_adapters_change_nothing_bit_for_bit():
    values = base_values()
    with_adapters = Network(Config(LORA), module=Model)
    without = Network(Config(None), module=Model)
    drawn = with_adapters.init(0)
    assert drawn.keys() - without.abstract_params.keys() == ADAPTERS
    base = {f"llama/{path}": value for path, value in values.items()}
    found = logits(with_adapters, {**drawn, **base})
    expected = logits(without, {**base, "scale": drawn["scale"]})
    np.testing.assert_array_equal(found, expected)
    changed = logits(with_adapters, {**moved(drawn), **base})
    assert np.abs(changed - expected).max() > 0.1


# ---------------------------------------------------------------------------------- targets


@pytest.mark.parametrize(
    ("targets", "expected"),
    [
        (r"blocks/\d+/attention/(query|value)", {f"blocks/{i}/attention/{n}" for i in range(DEPTH)
                                                 for n in ("query", "value")}),
        (r"blocks/1/mlp/up", {"blocks/1/mlp/up"}),
        (r".*/down|head", {"head", "blocks/0/mlp/down", "blocks/1/mlp/down"}),
    ],
)  # fmt: skip
def test_targets_match_complete_paths(targets, expected):
    tower = Tower(np.float32, nnx.Rngs(0), LoraConfig(2, 2.0, targets))
    adapted = {p for p, each in lora.linear_layers(tower).items() if each.lora_a is not None}
    assert adapted == expected
    assert lora.sizes(tower)["blocks/0/mlp/down"] == (HIDDEN, WIDTH)


def test_targets_that_match_no_layer():
    for targets in ("query", "blocks/0", r"layers/\d+/self_attn/q_proj"):
        with pytest.raises(ValueError, match=r"none of the 15 linear layers; .*blocks/<n>/mlp/up"):
            Tower(np.float32, nnx.Rngs(0), LoraConfig(2, 2.0, targets))


def test_a_rank_larger_than_a_layer():
    config = LoraConfig(WIDTH + 1, 2.0, r"blocks/\d+/mlp/up")
    with pytest.raises(ValueError, match=r"rank is 13; the kernel of blocks/0/mlp/up is 12 x 20"):
        Tower(np.float32, nnx.Rngs(0), config)
    Tower(np.float32, nnx.Rngs(0), dataclasses.replace(config, rank=WIDTH))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"rank": 0}, "rank is 0"),
        ({"rank": 2.5}, "rank is 2.5; expected"),
        ({"alpha": 0.0}, "alpha 0.0"),
        ({"alpha": float("nan")}, "alpha is nan"),
        ({"dropout": 1.0}, "dropout 1.0"),
        ({"targets": "blocks/(\\d+"}, "is not a regular expression"),
    ],
)
def test_a_wrong_config(fields, message):
    with pytest.raises(ValueError, match=message):
        LoraConfig(**{"rank": 2, "alpha": 4.0, "targets": ".*", **fields})
    assert LoraConfig.from_dict(LORA.to_dict()) == LORA


# ---------------------------------------------------------------------------------- training


def test_only_adapters_are_trained(tmp_path):
    """The frozen base has no gradient, no optimizer state, and its own dtype."""
    net = network(save_base(tmp_path / "base"))
    assert net.abstract_params.keys() == ADAPTERS | {"scale"}
    state, shapes, train_step = begin(net)
    sizes = [leaf.size for leaf in jax.tree.leaves(shapes["optimizer"])]
    trained = sum(leaf.size for leaf in net.abstract_params.values())
    assert sum(sizes) == 2 * trained + 1  # Adam's two moments and its count
    stored = jax.tree_util.tree_leaves_with_path(shapes["optimizer"])
    assert not any("kernel" in jax.tree_util.keystr(path) for path, _ in stored)
    assert {leaf.dtype for leaf in shapes["frozen"].values()} == {jnp.dtype(jnp.bfloat16)}
    frozen = jax.tree.map(np.asarray, state["frozen"])
    before = jax.tree.map(np.asarray, state["params"])
    losses = []
    for i in range(6):
        state, scalars = train_step(state, jnp.int32(i), batch())
        losses.append(float(scalars["loss"]))
    assert losses[-1] < losses[0] - 0.1
    for path, value in state["frozen"].items():
        np.testing.assert_array_equal(value, frozen[path])
    for path in ADAPTERS:
        assert state["params"][path].dtype == jnp.float32
        assert np.abs(np.asarray(state["params"][path]) - before[path]).max() > 1e-3


# ---------------------------------------------------------------------------------- merging


@pytest.mark.parametrize("stable", [False, True])
def test_merged_equals_unmerged(stable):
    config = dataclasses.replace(LORA, rank_stabilized=stable)
    adapted = Network(Config(config), module=Model)
    params = moved(adapted.init(0))
    merged = lora.merged(params, config)
    plain = Network(Config(None), module=Model)
    assert merged.keys() == plain.abstract_params.keys()
    expected, found = logits(adapted, params), logits(plain, merged)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
    unadapted = logits(plain, {path: params[path] for path in merged})
    assert np.abs(unadapted - expected).max() > 0.1


def test_merging_keeps_the_dtype_of_a_kernel_or_gives_another():
    params = {
        "x/kernel": np.ones((4, 4), jnp.bfloat16),
        "x/lora_a": np.full((4, 1), 0.1, np.float32),
        "x/lora_b": np.full((1, 4), 0.1, np.float32),
        "y/kernel": np.ones((4, 4), np.float32),
    }
    config = LoraConfig(1, 2.0, "x")
    merged = lora.merged(params, config)
    assert merged["x/kernel"].dtype == jnp.bfloat16 and merged["y/kernel"].dtype == np.float32
    exact = lora.merged(params, config, np.float32)
    np.testing.assert_allclose(exact["x/kernel"], 1.02, rtol=1e-6)
    with pytest.raises(ValueError, match="no adapters to merge"):
        lora.merged({"y/kernel": params["y/kernel"]}, config)
