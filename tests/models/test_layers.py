"""What all encoders are made of."""

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from motionalign.models import layers


def test_dropout_keeps_the_mean():
    x = jnp.full((200, 300), 2.0)
    out = layers.dropout(x, 0.1, nnx.Rngs(dropout=0))
    assert np.mean(out == 0) == pytest.approx(0.1, abs=0.005)
    np.testing.assert_allclose(out[out != 0], 2.0 / 0.9, rtol=1e-6)
    assert layers.dropout(x, 0.1, None) is x
