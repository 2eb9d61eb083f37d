"""Rotary positions and their scaling against transformers; see also test_llama.py."""

import jax.numpy as jnp
import numpy as np
import pytest
from test_llama import LLAMA3, SIZES, YARN

from motionalign.models import llama, rope

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")


def test_rotations_keep_lengths_and_depend_on_distances():
    x = jnp.asarray(np.random.default_rng(0).normal(size=(1, 2, 1, 8)), jnp.float32)
    products = []
    for start in (0, 3, 1000):
        positions = jnp.array([[start, start + 5]])
        turned = rope.rotate(x, *rope.rotation(positions, 8, 100.0, None))
        np.testing.assert_allclose(jnp.sum(turned**2, -1), jnp.sum(x**2, -1), rtol=1e-5)
        products.append(float(jnp.sum(turned[0, 0] * turned[0, 1])))
    np.testing.assert_allclose(products, products[0], atol=1e-3)
    assert abs(products[0] - float(jnp.sum(x[0, 0] * x[0, 1]))) > 0.1


def test_frequencies_of_long_contexts():
    """At positions at which an error of the frequencies would show."""
    changes = {"rope_scaling": {**LLAMA3, "original_max_position_embeddings": 8192, "factor": 8.0}}
    config = transformers.LlamaConfig(
        hidden_size=64, num_attention_heads=1, max_position_embeddings=131072, rope_theta=5e5,
        **changes,
    )  # fmt: skip
    theirs = transformers.models.llama.modeling_llama.LlamaRotaryEmbedding(config)
    positions = np.array([[0, 1, 4095, 131071]])
    ours = llama.config_from_hf(config.to_dict())
    found = rope.rotation(jnp.asarray(positions), 64, ours.rope_base, ours.rope_scaling)
    for x, expected in zip(found, theirs(torch.zeros(1), torch.from_numpy(positions))):
        np.testing.assert_allclose(x, expected[..., :32].numpy(), atol=1e-2)
        np.testing.assert_allclose(x[:, :3], expected[:, :3, :32].numpy(), atol=1e-3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rope_scaling": {"type": "longrope", "factor": 2.0}}, "rope_type .* 'longrope'; valid"),
        ({"rope_scaling": {"type": "linear"}}, "rope_scaling of type linear lacks factor"),
        ({"rope_scaling": {"type": "linear", "factor": 0.5}}, "RopeScaling.factor is 0.5"),
        ({"rope_scaling": {"type": "linear", "factor": 2.0, "beta": 1}}, "no field 'beta'"),
        ({"rope_scaling": {"type": "linear", "rope_type": "yarn"}}, "rope_type 'yarn' and type"),
        ({"rope_scaling": {**LLAMA3, "low_freq_factor": 4.0}}, "low_freq_factor is 4.0"),
        ({"rope_scaling": {"type": "llama3", "factor": 2.0}}, "lacks high_freq_factor, low_freq"),
        ({"rope_scaling": {**YARN, "beta_fast": 0.5}}, "beta_slow is 1.0"),
        ({"rope_scaling": {**YARN, "partial_rotary_factor": 0.5}}, "partial_rotary_factor"),
        ({"rope_scaling": [1]}, "rope_scaling"),
    ],
)
def test_scalings_that_are_not_supported(changes, message):
    with pytest.raises(ValueError, match=message):
        rope.from_hf(changes, SIZES["max_position_embeddings"])


def test_context_of_the_pretraining():
    """Stated with the scaling, beside it, which takes precedence, or that of the model."""
    given = {k: v for k, v in YARN.items() if k != "original_max_position_embeddings"}
    for source, original in (
        ({"rope_scaling": YARN}, 8),
        ({"rope_scaling": YARN, "original_max_position_embeddings": 16}, 16),
        ({"rope_scaling": given}, 32),
    ):
        _, scaling = rope.from_hf(source, 32)
        assert scaling is not None and scaling.original_positions == original
    _, scaling = rope.from_hf({"rope_scaling": {**YARN, "factor": None}}, 32)
    assert scaling is not None and scaling.factor == 4.0
