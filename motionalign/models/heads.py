"""Heads on an encoder's pooled feature: projections, classifiers, GaitFormer's outputs."""

import dataclasses

import jax
from flax import nnx
from jax.typing import DTypeLike

from motionalign.models import layers


@dataclasses.dataclass(frozen=True)
class GaitHeadConfig(layers.Config):
    """Sizes of GaitFormer's outputs.

    Attributes:
      projection_dim: width of the vectors that its contrastive loss compares.
      attributes: names of the appearance attributes.
    """

    projection_dim: int
    attributes: tuple[str, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "attributes", tuple(self.attributes))  # JSON has lists

    @property
    def named(self) -> bool:
        """Whether the attributes have names, and not only numbers."""
        return self.attributes != unnamed(len(self.attributes))


def unnamed(count: int) -> tuple[str, ...]:
    """Stand-ins for the names of so many attributes, where nobody knows them."""
    return tuple(f"attribute_{i}" for i in range(count))


class GaitHead(nnx.Module):
    """GaitFormer's outputs: an embedding, its projection, and appearance attributes."""

    def __init__(
        self,
        width: int,
        embed_dim: int,
        config: GaitHeadConfig,
        dtype: DTypeLike,
        *,
        rngs: nnx.Rngs,
    ) -> None:
        init = layers.torch_linear(width)
        self.embedding = nnx.Param(init(rngs.params(), (width, embed_dim)))
        attributes = (len(config.attributes),)
        self.attributes = layers.Dense((width,), attributes, dtype, rngs, init, init)
        init = layers.torch_linear(embed_dim)
        self.projection = layers.Dense(
            (embed_dim,), (config.projection_dim,), dtype, rngs, init, init
        )
        self.dtype = dtype

    def __call__(self, x: jax.Array, rngs: nnx.Rngs | None = None) -> jax.Array:
        """Maps a feature [B, D] to an embedding [B, E]."""
        return x.astype(self.dtype) @ self.embedding[...].astype(self.dtype)

    def project(self, embedding: jax.Array) -> jax.Array:
        """Maps an embedding [B, E] to its projection [B, P]; neither is normalised."""
        return self.projection(layers.gelu(embedding))

    def attribute_logits(self, x: jax.Array) -> jax.Array:
        """Maps a feature [B, D] to the logits [B, A] of the attributes."""
        return self.attributes(x)


@dataclasses.dataclass(frozen=True)
class ClassifierConfig(layers.Config):
    """A linear classifier in place of the projection head.

    Attributes:
      names: names of the classes.
      exclusive: True: a clip belongs to exactly one class; False: to any number of classes.
    """

    names: tuple[str, ...]
    exclusive: bool

    def __post_init__(self) -> None:
        object.__setattr__(self, "names", tuple(self.names))  # JSON has lists


class ProjectionHead(nnx.Module):
    """Projects a feature to an embedding, as published: erf GELU, LayerNorm with eps 1e-5."""

    def __init__(
        self, width: int, embed_dim: int, dropout: float, dtype: DTypeLike, *, rngs: nnx.Rngs
    ) -> None:
        def dense(fan_in: int) -> layers.Dense:
            init = layers.torch_linear(fan_in)
            return layers.Dense((fan_in,), (embed_dim,), dtype, rngs, init, init)

        self.projection = dense(width)
        self.hidden = dense(embed_dim)
        self.norm = layers.LayerNorm(embed_dim, 1e-5, dtype)
        self.dropout = dropout

    def __call__(self, x: jax.Array, rngs: nnx.Rngs | None = None) -> jax.Array:
        """Maps [B, D] to [B, E]."""
        projected = self.projection(x)
        x = self.hidden(layers.gelu(projected))
        return self.norm(layers.dropout(x, self.dropout, rngs) + projected)


class Classifier(nnx.Module):
    """Maps a feature to the logits of the classes."""

    def __init__(self, width: int, num_classes: int, dtype: DTypeLike, *, rngs: nnx.Rngs) -> None:
        init = layers.torch_linear(width)
        self.logits = layers.Dense((width,), (num_classes,), dtype, rngs, init, init)

    def __call__(self, x: jax.Array, rngs: nnx.Rngs | None = None) -> jax.Array:
        """Maps [B, D] to [B, K]."""
        return self.logits(x)
