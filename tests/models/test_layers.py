"""Layers that the encoders share."""

import functools
import importlib.util

import jax
import jax.extend.core
import jax.numpy as jnp
import numpy as np
import pytest
import reference
from flax import nnx
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P
from reference import eager
from towers import CLIP_TEXT, DISTILBERT, MPNET

from motionalign import sharding
from motionalign.models import layers


@pytest.mark.parametrize("tower", [CLIP_TEXT, DISTILBERT, MPNET], ids=["pre", "distilbert", "post"])
def test_a_block_computes_the_same_first_tokens_alone(tower):
    """With one bias per query, and with one for all queries."""
    ids, mask = tower.inputs
    model = tower.build()
    x = eager(model.embed, ids)
    seen = np.tril(np.ones((13, 13), bool)) & mask[:, None]
    causal = np.where(seen, 0.0, np.finfo(np.float32).min).astype(np.float32)[:, None]
    biases = [layers.attention_bias(jnp.asarray(mask)), None]
    if tower is not DISTILBERT:
        biases.append(causal)
    for bias in biases:
        whole = eager(model.blocks[0].__call__, x, bias)
        first = eager(model.blocks[0].__call__, x, bias, first=1)
        np.testing.assert_allclose(first, whole[:, :1], rtol=1e-5, atol=1e-5)


def test_masked_mean():
    x = np.random.default_rng(0).normal(size=(3, 13, 24)).astype(np.float32)
    mask = np.arange(13) < np.array([[13], [4], [0]])
    found = np.asarray(layers.masked_mean(x, jnp.asarray(mask)))
    expected = reference.masked_mean(x[:2], mask[:2])
    np.testing.assert_allclose(found[:2], expected, atol=1e-6)
    np.testing.assert_array_equal(found[2], 0.0)  # of a clip without any token
    np.testing.assert_allclose(layers.masked_mean(jnp.asarray(x), None), x.mean(1), atol=1e-6)


def test_no_mask_gives_no_bias():
    assert layers.attention_bias(None) is None


def test_dropout_keeps_the_mean():
    x = jnp.full((200, 300), 2.0)
    out = layers.dropout(x, 0.1, nnx.Rngs(dropout=0))
    assert np.mean(out == 0) == pytest.approx(0.1, abs=0.005)
    np.testing.assert_allclose(out[out != 0], 2.0 / 0.9, rtol=1e-6)
    assert layers.dropout(x, 0.1, None) is x


def derived(x, scale, bias, eps, dtype):
    """LayerNorm as a formula that JAX differentiates."""
    x = x.astype(jnp.float32)
    x = x - x.mean(axis=-1, keepdims=True)
    x = x * jax.lax.rsqrt(jnp.mean(x * x, axis=-1, keepdims=True) + eps)
    return (x * scale + bias).astype(dtype)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("shape", [(5, 24), (40, 8), (1, 3)])
def test_layer_norm_and_its_gradients(shape, dtype):
    rng = np.random.default_rng(0)
    x, gradient = (jnp.asarray(rng.normal(1.0, 3.0, size=shape), dtype) for _ in range(2))
    scale, bias = (jnp.asarray(rng.normal(size=shape[-1:]), jnp.float32) for _ in range(2))
    found, back = jax.vjp(lambda *a: layers.normalised(*a, 1e-5, dtype), x, scale, bias)
    expected, derivative = jax.vjp(lambda *a: derived(*a, 1e-5, dtype), x, scale, bias)
    np.testing.assert_array_equal(found, expected)
    # Rounding to bfloat16 may fall either way.
    bound = 1e-5 if dtype == "float32" else 2**-7
    for got, want in zip(back(gradient), derivative(gradient), strict=True):
        assert got.dtype == want.dtype
        np.testing.assert_allclose(
            got.astype("float32"), want.astype("float32"), rtol=bound, atol=bound
        )


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize(
    "shared", [None, (3, 1, 1, 7), (1, 2, 5, 7)], ids=["no", "mask", "learned"]
)
def test_attention_weights_and_their_gradients(dtype, shared):
    rng = np.random.default_rng(0)
    logits, gradient = (jnp.asarray(rng.normal(0, 4, (3, 2, 5, 7)), dtype) for _ in range(2))
    bias = None if shared is None else jnp.asarray(rng.normal(size=shared), jnp.float32)

    def formula(logits, bias):
        bias = 0.0 if bias is None else bias
        return jax.nn.softmax(logits.astype(jnp.float32) / 8 + bias, axis=-1).astype(dtype)

    found, back = jax.vjp(lambda *a: layers.softmax(a[0], 1 / 8, a[1]), logits, bias)
    expected, derivative = jax.vjp(formula, logits, bias)
    np.testing.assert_array_equal(found, expected)
    bound = 1e-6 if dtype == "float32" else 2**-7
    for got, want in zip(
        *map(jax.tree.leaves, (back(gradient), derivative(gradient))), strict=True
    ):
        assert got.dtype == want.dtype and got.shape == want.shape
        got, want = got.astype("float32"), want.astype("float32")
        np.testing.assert_allclose(got, want, rtol=bound, atol=2 * bound)


@pytest.mark.parametrize("tokens", [7, 8])
@pytest.mark.parametrize("queries", [None, 1])
def test_attention_prepared_for_a_fused_kernel(tokens, queries, monkeypatch):
    """What is given to cuDNN's kernel, computed by another: the same as by plain products."""
    given = []

    def attend(query, key, value, *, key_value_seq_lengths, implementation):
        given.append((query.shape[1], key.shape[1], implementation))
        return real(query, key, value, key_value_seq_lengths=key_value_seq_lengths)

    real = jax.nn.dot_product_attention
    monkeypatch.setattr(jax.nn, "dot_product_attention", attend)
    init = nnx.initializers.normal(0.3)
    module = layers.Attention(16, 2, 0.1, jnp.float32, nnx.Rngs(0), init, init)
    x = jnp.asarray(np.random.default_rng(0).normal(size=(3, tokens, 16)), jnp.float32)
    both = (x,) if queries is None else (x[:, :queries], x)
    results = [
        jax.value_and_grad(lambda both, f=f: jnp.square(f(both)).sum())(both)
        for f in (module._by_cudnn, module._by_products)
    ]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4), *results)
    assert given == [(2 if queries else 8, 8, "cudnn")]  # even numbers of tokens


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("queries", [None, 1])
def test_attention_on_a_tpu_equals_that_elsewhere(queries, dtype, monkeypatch):
    """Its products keep an axis for heads there."""
    rng = np.random.default_rng(0)
    graphdef, params = nnx.split(layers.Attention(16, 2, 0.0, jnp.dtype(dtype), nnx.Rngs(0)))
    params = jax.tree.map(lambda x: jnp.asarray(rng.normal(0, 0.3, x.shape), jnp.float32), params)
    x = jnp.asarray(rng.normal(size=(3, 7, 16)), dtype)

    def loss(params, x):
        module = nnx.merge(graphdef, params)
        return jnp.square(module(x[:, :queries], x).astype(jnp.float32)).sum()

    gradient = jax.value_and_grad(loss, (0, 1))
    expected = gradient(params, x)
    chosen = []

    def as_on_a_tpu(*arrays, default, **by_platform):
        chosen.extend(by_platform)
        return by_platform.get("tpu", default)(*arrays)

    monkeypatch.setattr(jax.lax, "platform_dependent", as_on_a_tpu)
    found = gradient(params, x)
    assert chosen.count("tpu") == 4
    bound = 1e-5 if dtype == "float32" else 0.02
    for got, want in zip(*map(jax.tree.leaves, (found, expected)), strict=True):
        assert (got.dtype, got.shape) == (want.dtype, want.shape)
        got, want = (np.asarray(each, "float64") for each in (got, want))
        assert np.linalg.norm(got - want) <= bound * np.linalg.norm(want) + 1e-4


@pytest.mark.parametrize("platform", ["cpu", "cuda", "tpu"])
def test_only_on_a_tpu_do_products_with_kernels_have_an_axis_for_heads(platform):
    module = layers.Attention(16, 2, 0.0, jnp.bfloat16, nnx.Rngs(0))
    x = jnp.ones((3, 7, 16), jnp.bfloat16)
    lowered = jax.jit(module.__call__).trace(x, x).lower(lowering_platforms=(platform,))
    into, out_of = (
        lowered.as_text().count(f"(tensor<{first}xbf16>, tensor<{second}xbf16>)")
        for first, second in (("16x2x8", "3x7x16"), ("3x2x7x8", "2x8x16"))
    )
    assert (into, out_of) == ((3, 1) if platform == "tpu" else (0, 0))


def test_where_a_fused_kernel_is_used(monkeypatch):
    monkeypatch.setattr(layers, "cudnn_takes", lambda heads, width: (heads, width) == (2, 8))
    mask = layers.attention_bias(jnp.ones((2, 5), bool))
    train = nnx.Rngs(dropout=0)
    for width, rate, dtype, bias, rngs, fused in [
        (16, 0.0, "bfloat16", None, train, True),
        (16, 0.1, "bfloat16", None, None, True),
        (16, 0.1, "bfloat16", None, train, False),  # it drops no attention weights
        (16, 0.0, "float32", None, None, False),  # it has no float32
        (16, 0.0, "bfloat16", mask, None, False),
        (24, 0.0, "bfloat16", None, None, False),  # heads of another width
    ]:
        module = layers.Attention(width, 2, rate, jnp.dtype(dtype), nnx.Rngs(0))
        assert module._fused(bias, rngs) == fused


@pytest.mark.skipif(
    any(importlib.util.find_spec(f"jax_cuda{n}_plugin") for n in (12, 13)), reason="has cuDNN"
)
def test_without_cudnn_no_kernel_is_fused():
    assert not layers.cudnn_takes(12, 64)


@pytest.mark.skipif(jax.default_backend() != "gpu", reason="JAX_PLATFORMS=cuda,cpu on a GPU")
@pytest.mark.parametrize(("tokens", "queries"), [(71, None), (72, None), (32, None), (71, 1)])
def test_a_fused_kernel_on_a_gpu(tokens, queries):
    """Output and gradients in bfloat16 are as close to float32 as those of plain products."""
    assert layers.cudnn_takes(12, 64)
    x = np.random.default_rng(0).normal(size=(8, tokens, 768)).astype("float32")

    def results(dtype, fused):
        module = layers.Attention(768, 12, 0.0, jnp.dtype(dtype), nnx.Rngs(0))
        graphdef, params = nnx.split(module)

        def loss(params, x):
            module = nnx.merge(graphdef, params)
            both = (x,) if queries is None else (x[:, :queries], x)
            out = module._by_cudnn(both) if fused else module._by_products(both)
            return jnp.square(out.astype(jnp.float32)).sum(), out

        run = jax.jit(jax.value_and_grad(loss, (0, 1), has_aux=True))
        with jax.default_matmul_precision("highest" if dtype == "float32" else "default"):
            (_, out), (params, x_) = run(params, jnp.asarray(x, dtype))
        del params["key"]["bias"]  # 0: a softmax does not change with it
        return [np.asarray(each, "float64") for each in jax.tree.leaves((out, params, x_))]

    exact = results("float32", False)
    errors = []
    for fused in (True, False):
        found = zip(results("bfloat16", fused), exact, strict=True)
        errors.append([np.linalg.norm(a - b) / np.linalg.norm(b) for a, b in found])
    for fused, plain in zip(*errors, strict=True):
        assert fused < 0.02 and fused < 1.25 * plain


def test_the_gradient_of_a_bias_is_summed_in_float32():
    gradient = jnp.ones((1001, 3), jnp.bfloat16)
    out, back = jax.vjp(layers.add_bias, jnp.zeros((1001, 3), jnp.bfloat16), jnp.ones(3))
    assert out.dtype == jnp.bfloat16 and (out == 1).all()
    rows, bias = back(gradient)
    np.testing.assert_array_equal(rows, gradient)
    np.testing.assert_array_equal(bias, np.full(3, 1001, "float32"))  # in bfloat16: 1000


def test_the_gradient_of_a_bias_has_its_shape():
    bias = jnp.ones((2, 1, 3))
    _, back = jax.vjp(layers.add_bias, jnp.zeros((4, 2, 5, 3)), bias)
    np.testing.assert_array_equal(back(jnp.ones((4, 2, 5, 3)))[1], np.full((2, 1, 3), 4 * 5))


def test_dropout_of_attention_weights_is_divided_by_batch_and_heads():
    mesh = sharding.make_mesh(4, 2)
    module = layers.Attention(32, 4, 0.1, jnp.float32, nnx.Rngs(0))
    graphdef, params = nnx.split(module)

    def by_heads(path, leaf):
        if "out" in str(path):
            spec = P("model") if leaf.ndim == 3 else P()
        else:
            spec = P(None, "model") if leaf.ndim == 3 else P("model")
        return NamedSharding(mesh, spec)

    layout = jax.tree_util.tree_map_with_path(by_heads, params)
    rows = NamedSharding(mesh, P("data"))

    def loss(params, x):
        module = nnx.merge(graphdef, params)
        return jnp.square(module(x, x, rngs=nnx.Rngs(dropout=1))).sum()

    x = jax.ShapeDtypeStruct((8, 16, 32), jnp.float32, sharding=rows)
    given = jax.tree.map(
        lambda leaf, at: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=at), params, layout
    )
    compiled = jax.jit(jax.grad(loss), out_shardings=layout).lower(given, x).compile()
    assert "all-gather" not in compiled.as_text()


def operand_dtypes(jaxpr):
    for equation in jaxpr.eqns:
        if equation.primitive.name == "dot_general":
            yield from (str(each.aval.dtype) for each in equation.invars)
        for inner in jax.extend.core.jaxprs_in_params(equation.params):
            yield from operand_dtypes(inner)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_product_is_rounded_once(dtype):
    rng = np.random.default_rng(0)
    x, kernel = (jnp.asarray(rng.normal(size=s), dtype) for s in ((2, 3, 200), (200, 7)))
    exact = np.asarray(x, np.float64) @ np.asarray(kernel, np.float64)
    found = layers.matmul(x, kernel)
    assert found.dtype == dtype
    if dtype == "bfloat16":  # added in bfloat16, many would be the next number
        np.testing.assert_array_equal(found, exact.astype(np.float32).astype(dtype))
    else:
        np.testing.assert_allclose(found, exact, atol=1e-4)
    gradients = jax.grad(lambda x, w: layers.matmul(x, w).astype("float32").sum(), (0, 1))
    assert all(g.dtype == dtype for g in gradients(x, kernel))
    assert set(operand_dtypes(jax.make_jaxpr(gradients)(x, kernel).jaxpr)) == {dtype}


@pytest.mark.parametrize("platform", ["cpu", "cuda", "tpu"])
def test_what_a_backend_is_asked_for(platform):
    result = "f32" if platform == "cpu" else "bf16"
    x, kernel = (jnp.ones(shape, jnp.bfloat16) for shape in ((3, 200), (200, 7)))
    lowered = jax.jit(layers.matmul).trace(x, kernel).lower(lowering_platforms=(platform,))
    [product] = [line for line in lowered.as_text().splitlines() if "dot_general" in line]
    assert product.endswith(f"-> tensor<3x7x{result}>")


@pytest.mark.parametrize("spec", ["kbgld,ksd->kbgls", "bkgld,bksd->bkgls"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_gradients_of_a_float32_product_are_in_the_dtype_of_its_arrays(spec, dtype):
    rng = np.random.default_rng(0)
    shapes = (2, 3, 2, 4, 5), (2, 6, 5) if spec.startswith("k") else (2, 3, 6, 5)
    x, y = (jnp.asarray(rng.normal(size=shape), dtype) for shape in shapes)

    def plain(x, y):
        return jnp.einsum(spec, x, y, preferred_element_type=jnp.float32)

    def total(product):
        return lambda x, y: jnp.sum(jnp.sin(product(x, y)))

    ours = functools.partial(layers.einsum_float32, spec)
    np.testing.assert_array_equal(ours(x, y), plain(x, y))
    assert ours(x, y).dtype == jnp.float32
    gradient = jax.grad(total(ours), (0, 1))
    found, expected = gradient(x, y), jax.grad(total(plain), (0, 1))(x, y)
    for one, other in zip(found, expected):
        assert one.dtype == dtype
        np.testing.assert_allclose(
            one.astype("float32"),
            other.astype("float32"),
            **({"atol": 1e-6} if dtype == "float32" else {"rtol": 0.02, "atol": 0.05}),
        )
    assert set(operand_dtypes(jax.make_jaxpr(gradient)(x, y).jaxpr)) == {dtype}
