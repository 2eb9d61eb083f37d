"""Small random Hugging Face models for comparison, and ours from their saved files."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from motionalign.models import layers
from motionalign.models.weights.load import load_weights, parameter_path
from motionalign.models.weights.source import Source

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")


def save_random(folder, model_class: str, config):
    """A random Hugging Face model in evaluation mode, saved to `folder`.

    Everything but the embeddings is moved away from its initial value: biases and scales then
    matter, and activations lie where the variants of GELU differ.
    """
    torch.manual_seed(0)
    config._attn_implementation = "eager"
    model = getattr(transformers, model_class)(config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "embeddings" not in name or "LayerNorm" in name:
                parameter.add_(0.3 * torch.randn_like(parameter))
    model.save_pretrained(folder)
    return model


def hidden_states(model, **inputs) -> list[np.ndarray]:
    """The input of the first block, then the output of each block."""
    inputs = {name: torch.from_numpy(np.asarray(value)) for name, value in inputs.items()}
    with torch.no_grad():
        output = model.base_model(**inputs, output_hidden_states=True)
    return [state.numpy() for state in output.hidden_states]


def load(folder, family, module, dtype=np.float32, **ours):
    """One of our text encoders with the weights of `folder`, read by the real loader."""
    source = Source(folder)
    config = family.config_from_hf(source.config(), **ours)
    return fill(config, module, source, family.key_map(), dtype)


def fill(config, module, source, key_map, dtype=np.float32):
    """A module with a source's weights; norms that the key map declares fresh are 1 and 0."""
    _, params = abstract(config, module, dtype)
    params = load_weights(params, source, key_map)

    def fresh(path, leaf):
        if not isinstance(leaf, jax.ShapeDtypeStruct):
            return leaf
        _, name = parameter_path(path).rsplit("/", 1)
        return jnp.full(leaf.shape, {"scale": 1.0, "bias": 0.0}[name], leaf.dtype)

    return build(config, module, jax.tree_util.tree_map_with_path(fresh, params), dtype)


def build(config, module, params=None, dtype=np.float32):
    """A module with these parameters, or with random ones (drawn without compilation)."""
    graphdef, shapes = abstract(config, module, dtype)
    if params is None:
        rng = np.random.default_rng(0)
        params = jax.tree.map(lambda x: jnp.asarray(rng.normal(0, 0.2, x.shape), x.dtype), shapes)
    return nnx.merge(graphdef, params)


@functools.cache
def abstract(config, module, dtype=np.float32):
    """(graph definition, shapes of the parameters) of a module."""
    return nnx.split(nnx.eval_shape(lambda: module(config, dtype, rngs=nnx.Rngs(0))))


def flat(state) -> dict:
    """{path: leaf} of an NNX state."""
    return {
        parameter_path(path): leaf for path, leaf in jax.tree_util.tree_flatten_with_path(state)[0]
    }


def eager(method, *args, **kwargs):
    """`method(*args)` of one of our modules, op by op.

    JAX compiles an op once for a shape, whatever is around it: where many models of equal shapes
    run, this is an order of magnitude faster than to compile each of them.
    """
    args = (jnp.asarray(x) if isinstance(x, np.ndarray) else x for x in args)
    return jax.tree.map(np.asarray, method(*args, **kwargs))


def run(method, *args, **static):
    """`method(*args)` of one of our modules, compiled once for all tests of equal shapes."""
    graphdef, params = nnx.split(method.__self__)
    return _run(graphdef, method.__name__, tuple(static.items()), params, *args)


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def _run(graphdef, method, static, params, *args):
    return getattr(nnx.merge(graphdef, params), method)(*args, **dict(static))


def dropout_sites(monkeypatch, model, *inputs, **kwargs) -> list[tuple[float, tuple[int, ...]]]:
    """(rate, shape) of all dropout calls of the model in training, in order."""
    sites = []

    def record(x, rate, rngs):
        if rngs is not None and rate:
            sites.append((rate, x.shape))
        return x

    monkeypatch.setattr(layers, "dropout", record)
    graphdef, params = nnx.split(model)
    jax.eval_shape(
        lambda params, *inputs: nnx.merge(graphdef, params)(*inputs, nnx.Rngs(dropout=0), **kwargs),
        params,
        *inputs,
    )
    return sites


def text_batch(vocab_size: int, lengths=(13, 1, 7)):
    """Random ids [B, L] int32 and mask [B, L]: an odd length, the shortest one, a padded one."""
    mask = np.arange(max(lengths)) < np.array(lengths)[:, None]
    ids = np.random.default_rng(0).integers(1, vocab_size, mask.shape)
    return np.where(mask, ids, 0).astype(np.int32), mask


def masked_mean(x, mask):
    """Mean of [B, L, D] over the tokens in `mask` [B, L]."""
    return (x * mask[..., None]).sum(1) / mask.sum(1, keepdims=True)
