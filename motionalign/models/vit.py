"""Vision Transformer over motion patches (Dosovitskiy et al., 2021; Motion Patches, §3.3).

The "image" has frames as rows and, for each body part, N points as columns. Tokens are N frames
of one body part, numbered row-major: all parts of the first N frames, then of the next N.
"""

import dataclasses

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

from motionalign.data.representation import Patches
from motionalign.models import layers

SIZES = {  # Dosovitskiy et al., table 1; Ti and S: Touvron et al., 2021 (DeiT), table 1
    "Ti": {"width": 192, "depth": 12, "heads": 3, "mlp_width": 768},
    "S": {"width": 384, "depth": 12, "heads": 6, "mlp_width": 1536},
    "B": {"width": 768, "depth": 12, "heads": 12, "mlp_width": 3072},
    "L": {"width": 1024, "depth": 24, "heads": 16, "mlp_width": 4096},
}


@dataclasses.dataclass(frozen=True)
class ViTConfig(layers.Config):
    """Sizes and readout of a ViT over motion patches.

    Attributes:
      width, depth, heads, mlp_width: of the transformer.
      patch_size: N, frames per token and points per body part.
      max_frames: positions exist for ceil(max_frames / patch_size) rows of tokens.
      parts: tokens per row, 5 body parts a person.
      pool: "class": the class token after the final norm. "mean": mean of the patch tokens, then
        `fc_norm`; the class token is attended to but not averaged (timm's global_pool="avg").
      padding: "attend": frames beyond the clip are tokens like any other, as published.
        "mask": tokens without a real frame are neither attended to nor pooled.
      dropout: after the embedding and in each residual branch; 0 as published.
      activation: key of `layers.ACTIVATIONS`.
      norm_eps: of every LayerNorm; 1e-6 in timm, 1e-12 in Hugging Face's.
    """

    width: int
    depth: int
    heads: int
    mlp_width: int
    patch_size: int = 16
    max_frames: int = 224
    parts: int = 5
    pool: str = "mean"
    padding: str = "attend"
    dropout: float = 0.0
    activation: str = "gelu"
    norm_eps: float = 1e-6

    def __post_init__(self) -> None:
        """Raises a ValueError for sizes and names that make no encoder."""
        layers.check_transformer(self)
        layers.check_choice(self.pool, ("mean", "class"), "ViTConfig.pool")
        layers.check_choice(self.padding, ("attend", "mask"), "ViTConfig.padding")

    @property
    def input(self) -> str:
        """The representation that is read."""
        return Patches.field

    @property
    def grid(self) -> tuple[int, int]:
        """Tokens of the longest clip: (rows of `patch_size` frames, body parts)."""
        return -(-self.max_frames // self.patch_size), self.parts


class ViT(nnx.Module):
    """Motion patches to patch features and one feature vector a clip."""

    def __init__(
        self, config: ViTConfig, dtype: DTypeLike = jnp.float32, *, rngs: nnx.Rngs
    ) -> None:
        """Random float32 parameters of the config's sizes; `dtype` is what it computes in."""
        c = self.config = config
        self.dtype = dtype
        rows, parts = c.grid
        points = c.patch_size * c.patch_size * 3
        init = layers.torch_linear(points)  # a Conv2d in the published code
        self.patch_embed = layers.Dense((points,), (c.width,), dtype, rngs, init, init)
        self.class_token = nnx.Param(1e-6 * jax.random.normal(rngs.params(), (c.width,)))
        # The class token's position, then the grid's.
        self.positions = nnx.Param(layers.published(rngs.params(), (1 + rows * parts, c.width)))
        self.blocks = layers.repeat(c.depth, lambda rngs: layers.PreNormBlock(c, dtype, rngs), rngs)
        norm = layers.LayerNorm(c.width, c.norm_eps, dtype)
        if c.pool == "mean":
            self.fc_norm = norm
        else:
            self.final_norm = norm

    def embed(self, patches: jax.Array, rngs: nnx.Rngs | None = None) -> jax.Array:
        """Patches [B, F, parts * N, 3] to tokens [B, 1 + F / N * parts, D], class token first."""
        c = self.config
        x = self.patch_embed(layers.patch_tokens(patches, c, self.dtype))
        class_token = jnp.broadcast_to(
            self.class_token[...].astype(self.dtype), (len(patches), 1, c.width)
        )
        x = jnp.concatenate([class_token, x], axis=1)
        x = x + self.positions[: x.shape[1]].astype(self.dtype)
        return layers.dropout(x, c.dropout, rngs)

    def __call__(
        self,
        patches: jax.Array,
        num_frames: jax.Array | None = None,
        rngs: nnx.Rngs | None = None,
        *,
        tokens: bool = True,
    ) -> layers.Encoded:
        """Encodes clips.

        Args:
          patches: [B, F, parts * N, 3]; F is max_frames with padding="attend", any multiple of N
            up to it with "mask".
          num_frames: [B] int32, real frames of each clip; used with padding="mask" only.
          rngs: stream `dropout`; None in evaluation.
          tokens: whether the last block computes all tokens, or only what is pooled.

        Returns:
          The patch tokens [B, F / N * parts, D], numbered as `layers.patch_tokens` does and without
          the class token: after `final_norm` with pool="class", as they leave the last block with
          "mean", where `fc_norm` follows the pooling. The mask is True where a token holds a real
          frame; everywhere with padding="attend".
        """
        x = self.embed(patches, rngs)
        mask = layers.patch_mask(self.config, patches.shape[1], num_frames)
        norm = self.fc_norm if self.config.pool == "mean" else self.final_norm
        return layers.pool_patches(self.blocks, x, mask, self.config.pool, norm, rngs, tokens)
