"""Vision Transformer over motion patches (Dosovitskiy et al., 2021; Motion Patches, §3.3).

The rows of the "image" are frames; its columns are N points for each body part. A token covers N
frames of one body part. Tokens are in row-major order: all parts of the first N frames, then of the
next N.
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
      width, depth, heads, mlp_width: sizes of the transformer.
      patch_size: N, frames per token and points per body part.
      max_frames: maximum length of a clip; the position table has ceil(max_frames / patch_size)
        rows of tokens.
      parts: tokens per row, one per body part; 5 per person.
      pool: "class": the class token after the final norm. "mean": the mean of the patch tokens,
        then `fc_norm`; the class token is attended to but not averaged (timm's global_pool="avg").
      padding: "attend": padding frames are tokens like any other, as published.
        "mask": tokens without a real frame are neither attended to nor pooled.
      dropout: rate after the embedding and in each residual branch; 0 as published.
      activation: a key of `layers.ACTIVATIONS`.
      norm_eps: epsilon of every LayerNorm; 1e-6 in timm, 1e-12 in Hugging Face's ViT.
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
        """Raises a ValueError for invalid sizes or names."""
        layers.check_transformer(self)
        layers.check_choice(self.pool, ("mean", "class"), "ViTConfig.pool")
        layers.check_choice(self.padding, ("attend", "mask"), "ViTConfig.padding")

    @property
    def input(self) -> str:
        """Name of the input representation."""
        return Patches.field

    @property
    def grid(self) -> tuple[int, int]:
        """Tokens of the longest clip: (rows of `patch_size` frames, body parts)."""
        return -(-self.max_frames // self.patch_size), self.parts


class ViT(nnx.Module):
    """ViT: motion patches to patch features and one feature vector per clip."""

    def __init__(
        self, config: ViTConfig, dtype: DTypeLike = jnp.float32, *, rngs: nnx.Rngs
    ) -> None:
        """Initializes random float32 parameters; `dtype` is the compute dtype."""
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
        """Embeds patches [B, F, parts * N, 3] as tokens [B, 1 + F / N * parts, D], class first."""
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
          patches: [B, F, parts * N, 3]. With padding="attend", F is max_frames; with "mask", it is
            any multiple of N up to max_frames.
          num_frames: [B] int32, number of real frames per clip; used with padding="mask" only.
          rngs: stream `dropout`; None in evaluation.
          tokens: False: the last block computes only what is pooled.

        Returns:
          The patch tokens [B, F / N * parts, D] in the order of `layers.patch_tokens`, without the
          class token. With pool="class" they are normalised by `final_norm`; with "mean" they are
          the output of the last block, since `fc_norm` follows pooling. The mask is True where a
          token holds a real frame, and everywhere with padding="attend".
        """
        x = self.embed(patches, rngs)
        mask = layers.patch_mask(self.config, patches.shape[1], num_frames)
        norm = self.fc_norm if self.config.pool == "mean" else self.final_norm
        return layers.pool_patches(self.blocks, x, mask, self.config.pool, norm, rngs, tokens)
