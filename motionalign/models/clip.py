"""CLIP's encoders (Radford et al., 2021), like Hugging Face's `CLIPVisionModel`, `CLIPTextModel`.

The vision encoder reads motion patches, as `vit` does. It differs from `vit` in a norm before the
blocks, in quick GELU and in a patch embedding without bias. Both encoders end before CLIP's own
projections; our heads replace these (Motion Patches, supplement, table 9).
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

from motionalign import reading
from motionalign.data.representation import Patches
from motionalign.models import layers
from motionalign.models.family import (
    PATCHES_ENTRY,
    Inputs,
    MotionFamily,
    TextFamily,
    Variant,
    check_sizes,
    patches_representation,
    patches_section,
)
from motionalign.models.weights import keymap
from motionalign.models.weights.keymap import KeyMap, Rule
from motionalign.models.weights.source import Source

VISION_SIZES = {  # Radford et al., table 20
    "B": {"width": 768, "depth": 12, "heads": 12, "mlp_width": 3072},
    "L": {"width": 1024, "depth": 24, "heads": 16, "mlp_width": 4096},
}


@dataclasses.dataclass(frozen=True)
class CLIPVisionConfig(layers.Config):
    """Sizes and readout of CLIP's ViT over motion patches; fields as in `vit.ViTConfig`.

    Attributes:
      pool: "class": the class token after the final norm. "mean": the mean of the patch tokens,
        then `fc_norm`.
    """

    width: int
    depth: int
    heads: int
    mlp_width: int
    patch_size: int = 16
    max_frames: int = 224
    parts: int = 5
    pool: str = "class"
    padding: str = "attend"
    dropout: float = 0.0
    activation: str = "quick_gelu"
    norm_eps: float = 1e-5

    def __post_init__(self) -> None:
        """Raises a ValueError for invalid sizes or names."""
        layers.check_transformer(self)
        layers.check_choice(self.pool, ("mean", "class"), "CLIPVisionConfig.pool")
        layers.check_choice(self.padding, ("attend", "mask"), "CLIPVisionConfig.padding")

    @property
    def input(self) -> str:
        """Name of the input representation."""
        return Patches.field

    @property
    def grid(self) -> tuple[int, int]:
        """Tokens of the longest clip: (rows of `patch_size` frames, body parts)."""
        return -(-self.max_frames // self.patch_size), self.parts


class CLIPVision(nnx.Module):
    """CLIP's ViT: motion patches to patch features and one feature vector per clip."""

    def __init__(
        self, config: CLIPVisionConfig, dtype: DTypeLike = jnp.float32, *, rngs: nnx.Rngs
    ) -> None:
        """Initializes random float32 parameters; `dtype` is the compute dtype."""
        c = self.config = config
        self.dtype = dtype
        rows, parts = c.grid
        points = c.patch_size * c.patch_size * 3
        self.patch_embed = nnx.Param(layers.published(rngs.params(), (points, c.width)))
        self.class_token = nnx.Param(c.width**-0.5 * jax.random.normal(rngs.params(), (c.width,)))
        self.positions = nnx.Param(layers.published(rngs.params(), (1 + rows * parts, c.width)))
        self.embedding_norm = layers.LayerNorm(c.width, c.norm_eps, dtype)
        self.blocks = layers.repeat(c.depth, lambda rngs: layers.PreNormBlock(c, dtype, rngs), rngs)
        norm = layers.LayerNorm(c.width, c.norm_eps, dtype)
        if c.pool == "mean":
            self.fc_norm = norm
        else:
            self.final_norm = norm

    def embed(self, patches: jax.Array, rngs: nnx.Rngs | None = None) -> jax.Array:
        """Embeds patches [B, F, parts * N, 3] as tokens [B, 1 + F / N * parts, D], class first."""
        c = self.config
        x = layers.patch_tokens(patches, c, self.dtype) @ self.patch_embed[...].astype(self.dtype)
        class_token = jnp.broadcast_to(
            self.class_token[...].astype(self.dtype), (len(patches), 1, c.width)
        )
        x = jnp.concatenate([class_token, x], axis=1)
        x = self.embedding_norm(x + self.positions[: x.shape[1]].astype(self.dtype))
        return layers.dropout(x, c.dropout, rngs)

    def __call__(
        self,
        patches: jax.Array,
        num_frames: jax.Array | None = None,
        rngs: nnx.Rngs | None = None,
        *,
        tokens: bool = True,
    ) -> layers.Encoded:
        """Encodes clips; arguments and result are those of `vit.ViT`.

        Hugging Face's CLIP applies the final norm to the class token only. Here, with pool="class",
        the patch tokens pass through the same norm.
        """
        x = self.embed(patches, rngs)
        mask = layers.patch_mask(self.config, patches.shape[1], num_frames)
        norm = self.fc_norm if self.config.pool == "mean" else self.final_norm
        return layers.pool_patches(self.blocks, x, mask, self.config.pool, norm, rngs, tokens)


@dataclasses.dataclass(frozen=True)
class CLIPTextConfig(layers.Config):
    """Sizes and readout of CLIP's text encoder, whose self-attention is causal.

    Attributes:
      vocab_size: number of rows in the token embedding table.
      width, depth, heads, mlp_width: sizes of the transformer.
      max_positions: maximum number of tokens per text.
      activation: a key of `layers.ACTIVATIONS`.
      norm_eps: epsilon of every LayerNorm.
      dropout: rate after the embedding and in each residual branch.
      eos_id: id of the end-of-text token; None: the highest id in the text.
      readout: "end": the output at the end-of-text token, the only one that attends to the complete
        text; "mean": the mean over the real tokens.
    """

    vocab_size: int
    width: int
    depth: int
    heads: int
    mlp_width: int
    max_positions: int = 77
    activation: str = "quick_gelu"
    norm_eps: float = 1e-5
    dropout: float = 0.0
    eos_id: int | None = None
    readout: str = "end"

    def __post_init__(self) -> None:
        """Raises a ValueError for invalid sizes or names."""
        layers.check_transformer(self)
        layers.check_choice(self.readout, ("end", "mean"), "CLIPTextConfig.readout")


class CLIPText(nnx.Module):
    """CLIP's text encoder: token ids to token features and one feature vector per text."""

    def __init__(
        self, config: CLIPTextConfig, dtype: DTypeLike = jnp.float32, *, rngs: nnx.Rngs
    ) -> None:
        """Initializes random float32 parameters; `dtype` is the compute dtype."""
        c = self.config = config
        self.dtype = dtype
        self.tokens = nnx.Param(layers.published(rngs.params(), (c.vocab_size, c.width)))
        self.positions = nnx.Param(layers.published(rngs.params(), (c.max_positions, c.width)))
        self.blocks = layers.repeat(c.depth, lambda rngs: layers.PreNormBlock(c, dtype, rngs), rngs)
        self.final_norm = layers.LayerNorm(c.width, c.norm_eps, dtype)

    def embed(self, input_ids: jax.Array, rngs: nnx.Rngs | None = None) -> jax.Array:
        """Embeds ids [B, L] as [B, L, D]."""
        x = layers.look_up(self.tokens, input_ids, self.config.max_positions)
        length = input_ids.shape[1]
        x = (x + self.positions[:length]).astype(self.dtype)
        return layers.dropout(x, self.config.dropout, rngs)

    def bias(self, mask: jax.Array) -> jax.Array:
        """Attention bias [B, 1, L, L] float32 that masks padding and later tokens."""
        causal = jnp.tril(jnp.ones((mask.shape[1], mask.shape[1]), bool))
        seen = causal & mask[:, None, :]
        return jnp.where(seen, 0.0, jnp.finfo(jnp.float32).min)[:, None]

    def __call__(
        self,
        input_ids: jax.Array,
        mask: jax.Array,
        rngs: nnx.Rngs | None = None,
        *,
        tokens: bool = True,
    ) -> layers.Encoded:
        """Encodes texts.

        Args:
          input_ids: [B, L] int32.
          mask: [B, L] bool, True at real tokens.
          rngs: stream `dropout`; None in evaluation.
          tokens: False: the final norm is computed only for what is pooled.

        Returns:
          The tokens [B, L, D] after the final norm (Hugging Face's `last_hidden_state`), `mask`,
          and the feature [B, D] pooled by `config.readout`.
        """
        c = self.config
        x = self.embed(input_ids, rngs)
        bias = self.bias(mask)
        for block in self.blocks:
            x = layers.run_block(block, x, bias, rngs)
        if c.readout == "mean":
            x = self.final_norm(x)
            return layers.Encoded(x, mask, layers.masked_mean(x, mask).astype(self.dtype))
        real = jnp.where(mask, input_ids, -1)
        end = (real if c.eos_id is None else real == c.eos_id).argmax(axis=1)
        if not tokens:
            return layers.Encoded(None, mask, self.final_norm(x[jnp.arange(len(x)), end]))
        x = self.final_norm(x)
        return layers.Encoded(x, mask, x[jnp.arange(len(x)), end])


# --------------------------------------------------------------------------- pretrained weights

# Default values, which Hugging Face's configs leave out.
_DEFAULTS = {
    "vision_config": {
        "hidden_size": 768,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "intermediate_size": 3072,
        "image_size": 224,
        "patch_size": 32,
        "num_channels": 3,
        "hidden_act": "quick_gelu",
        "layer_norm_eps": 1e-5,
    },
    "text_config": {
        "vocab_size": 49408,
        "hidden_size": 512,
        "num_hidden_layers": 12,
        "num_attention_heads": 8,
        "intermediate_size": 2048,
        "max_position_embeddings": 77,
        "hidden_act": "quick_gelu",
        "layer_norm_eps": 1e-5,
        "eos_token_id": 49407,
    },
}


def _tower(source: Mapping[str, Any], section: str) -> dict[str, Any]:
    """One encoder's section of a config.json, of the complete CLIP or of that encoder alone."""
    alone = {"vision_config": "clip_vision_model", "text_config": "clip_text_model"}[section]
    found = source.get("model_type")
    if found not in ("clip", alone):
        raise ValueError(f"config.json has model_type {found!r}; expected 'clip' or {alone!r}")
    given = source if found == alone else source.get(section) or {}
    reading.check_form(given, dict, section)
    return _DEFAULTS[section] | dict(given)


def vision_config_from_hf(source: Mapping[str, Any], **ours: Any) -> CLIPVisionConfig:
    """Builds the vision config of a Hugging Face CLIP's config.json; `ours` sets further fields."""
    given = _tower(source, "vision_config")
    if given["num_channels"] != 3:
        raise ValueError(f"a ViT over xyz needs 3 channels; the source has {given['num_channels']}")
    return CLIPVisionConfig(
        width=given["hidden_size"],
        depth=given["num_hidden_layers"],
        heads=given["num_attention_heads"],
        mlp_width=given["intermediate_size"],
        patch_size=given["patch_size"],
        activation=given["hidden_act"],
        norm_eps=given["layer_norm_eps"],
        **ours,
    )


def config_from_hf(source: Mapping[str, Any], **ours: Any) -> CLIPTextConfig:
    """Builds the text config of a Hugging Face CLIP's config.json; `ours` sets further fields."""
    given = _tower(source, "text_config")
    # Before 2023 every CLIP's config stated 2, which is not the end-of-text id; the highest id is.
    eos_id = None if given["eos_token_id"] == 2 else given["eos_token_id"]
    config: dict[str, Any] = {
        "vocab_size": given["vocab_size"],
        "width": given["hidden_size"],
        "depth": given["num_hidden_layers"],
        "heads": given["num_attention_heads"],
        "mlp_width": given["intermediate_size"],
        "max_positions": given["max_position_embeddings"],
        "activation": given["hidden_act"],
        "norm_eps": given["layer_norm_eps"],
        "eos_id": eos_id,
    }
    return CLIPTextConfig(**config | ours)


def _blocks() -> tuple[Rule, ...]:
    block, ours = r"encoder\.layers\.(\d+)\.", r"blocks/\1/"
    return (
        *keymap.norm(block + "layer_norm1", ours + "attention_norm"),
        *keymap.heads_in(block + r"self_attn\.q_proj", ours + "attention/query"),
        *keymap.heads_in(block + r"self_attn\.k_proj", ours + "attention/key"),
        *keymap.heads_in(block + r"self_attn\.v_proj", ours + "attention/value"),
        *keymap.heads_out(block + r"self_attn\.out_proj", ours + "attention/out"),
        *keymap.norm(block + "layer_norm2", ours + "mlp_norm"),
        *keymap.linear(block + r"mlp\.fc1", ours + "mlp/up"),
        *keymap.linear(block + r"mlp\.fc2", ours + "mlp/down"),
    )


def vision_key_map(
    config: CLIPVisionConfig, source: Mapping[str, Any], final_norm: str = "fresh"
) -> KeyMap:
    """Maps the tensors of a Hugging Face CLIP's vision encoder to our parameters.

    `source` is its config.json; `final_norm` is as in `vit_weights.key_map`.
    """
    layers.check_choice(final_norm, keymap.FINAL_NORM, "final_norm")
    given = _tower(source, "vision_config")
    side = given["image_size"] // given["patch_size"]
    positions = keymap.positions((side, side), config.grid, lead=())
    fresh = config.pool == "mean" and final_norm == "fresh"
    norm = "fc_norm" if config.pool == "mean" else "final_norm"
    return KeyMap(
        prefix=r"vision_model\.",
        rules=(
            (r"embeddings\.class_embedding", "class_token", keymap.SAME),
            (r"embeddings\.position_embedding\.weight", "positions", positions),
            (r"embeddings\.patch_embedding\.weight", "patch_embed", keymap.PATCHES),
            *keymap.norm("pre_layrnorm", "embedding_norm"),  # Hugging Face's spelling
            *_blocks(),
            *(() if fresh else keymap.norm("post_layernorm", norm)),
        ),
        excused=(
            r"embeddings\.position_ids",
            r"text_model\..*",
            r"(visual|text)_projection\.weight",
            "logit_scale",
            *((r"post_layernorm\..*",) if fresh else ()),
        ),
        fresh=(r"fc_norm/.*",) if fresh else (),
    )


def key_map() -> KeyMap:
    """Maps the tensors of a Hugging Face CLIP's text encoder to our parameters."""
    return KeyMap(
        prefix=r"text_model\.",
        rules=(
            (r"embeddings\.token_embedding\.weight", "tokens", keymap.SAME),
            (r"embeddings\.position_embedding\.weight", "positions", keymap.SAME),
            *_blocks(),
            *keymap.norm("final_layer_norm", "final_norm"),
        ),
        excused=(
            r"embeddings\.position_ids",
            r"vision_model\..*",
            r"(visual|text)_projection\.weight",
            "logit_scale",
        ),
    )


# ------------------------------------------------------------------------------ the families


def _build(
    sizes: Mapping[str, int], section: Mapping[str, Any], inputs: Inputs | None
) -> CLIPVisionConfig:
    """Builds the vision encoder's config from a model.motion section."""
    fields = {name: section[name] for name in ("max_frames", "pool", "padding", "dropout")}
    asked: dict[str, Any] = {**sizes, "patch_size": section["patch_size"]}
    weights = section["weights"]
    if not weights:
        return CLIPVisionConfig(**asked, **fields)
    source = Source(weights)
    with source.naming_config():
        config = vision_config_from_hf(source.config(), **fields)
    check_sizes(config, asked, weights, section["size"])
    return config


MOTION_FAMILY = MotionFamily(
    CLIPVisionConfig,
    CLIPVision,
    variants={"clip": Variant(VISION_SIZES, 4, _build, PATCHES_ENTRY)},
    representation=patches_representation,
    key_map=lambda config, source, final_norm: vision_key_map(config, source.config(), final_norm),
    section=patches_section,
)
TEXT_FAMILY = TextFamily(
    CLIPTextConfig,
    CLIPText,
    config_from_hf,
    key_map,
    ("clip", "clip_text_model"),
    tokenizer="CLIPTokenizer",
)
