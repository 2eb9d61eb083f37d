"""Projection heads."""

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from reference import torch

from motionalign.models.heads import ProjectionHead


@pytest.mark.parametrize("eps", [1e-5, 1e-6])
def test_projection_head_equals_the_published_modules(eps):
    """Linear, erf GELU, Linear, residual, LayerNorm; small values, so that epsilon matters."""
    torch.manual_seed(0)
    first, second, norm = torch.nn.Linear(6, 4), torch.nn.Linear(4, 4), torch.nn.LayerNorm(4)
    x = 2e-3 * torch.randn(3, 6)
    with torch.no_grad():
        for layer in (first, second):
            layer.bias.mul_(2e-3)
        projected = first(x)
        expected = norm(second(torch.nn.functional.gelu(projected)) + projected)
    head = ProjectionHead(6, 4, 0.5, jnp.float32, rngs=nnx.Rngs(0))
    head.norm.eps = eps
    for ours, theirs in ((head.projection, first), (head.hidden, second)):
        ours.kernel[...] = jnp.asarray(theirs.weight.detach().numpy().T)
        ours.bias[...] = jnp.asarray(theirs.bias.detach().numpy())
    difference = np.abs(head(jnp.asarray(x.numpy())) - expected.numpy()).max()
    assert (difference < 1e-4) == (eps == 1e-5)
    assert ProjectionHead(6, 4, 0.5, jnp.float32, rngs=nnx.Rngs(0)).norm.eps == 1e-5
