"""Module states as flat dicts of arrays."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from motionalign.models import flat


class Counter(nnx.Variable):
    pass


class Inner(nnx.Module):
    def __init__(self):
        self.kernel = nnx.Param(jnp.arange(6.0).reshape(2, 3))
        self.count = Counter(jnp.zeros((), jnp.int32))


class Outer(nnx.Module):
    def __init__(self):
        self.layers = nnx.List([Inner(), Inner()])
        self.scale = nnx.Param(jnp.ones(()))


PATHS = {"layers/0/kernel", "layers/1/kernel", "scale"}


def test_parameters_by_path_without_other_state():
    found = flat.abstract_params(Outer)
    assert found.keys() == PATHS
    assert found["layers/1/kernel"] == jax.ShapeDtypeStruct((2, 3), jnp.float32)


def test_a_state_is_filled_with_what_it_was_flattened_to():
    with flat.tree_mode():
        graph, params, rest = nnx.split(Outer(), nnx.Param, ...)
        arrays = {path: x + 1 for path, x in flat.flatten(params).items()}
        assert arrays.keys() == PATHS
        assert flat.flatten(rest).keys() == {"layers/0/count", "layers/1/count"}
        module = nnx.merge(graph, flat.fill(params, arrays), rest)
    np.testing.assert_array_equal(module.layers[1].kernel[...], arrays["layers/1/kernel"])
    np.testing.assert_array_equal(module.scale[...], 2)
