"""MPNet text encoder (Song et al., 2020), like Hugging Face's `MPNetModel` without its pooler.

It is BERT with a relative position bias, shared by all layers, in addition to absolute positions.
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.typing import DTypeLike

from motionalign.models import layers
from motionalign.models.family import TextFamily
from motionalign.models.weights import keymap
from motionalign.models.weights.keymap import KeyMap
from motionalign.models.weights.source import check_model_type

BUCKETS = 32  # buckets of relative positions; fixed in the reference code
MAX_DISTANCE = 128  # larger distances share one bucket
PADDING_ROW = 1  # row of the position table for padding; the first token has the next row


@dataclasses.dataclass(frozen=True)
class MPNetConfig(layers.Config):
    """Sizes and readout of an MPNet.

    Attributes:
      vocab_size: number of rows in the token embedding table.
      width, depth, heads, mlp_width: sizes of the transformer.
      max_positions: maximum number of tokens per text; the table has two additional, unused rows.
      activation: a key of `layers.ACTIVATIONS`.
      norm_eps: epsilon of every LayerNorm.
      dropout: rate after the embedding and in each residual branch.
      attention_dropout: rate on the attention weights.
      readout: "first": the output of the first token; "mean": the mean over the real tokens.
    """

    vocab_size: int
    width: int
    depth: int
    heads: int
    mlp_width: int
    max_positions: int = 512
    activation: str = "gelu"
    norm_eps: float = 1e-12
    dropout: float = 0.1
    attention_dropout: float = 0.1
    readout: str = "first"

    def __post_init__(self) -> None:
        """Raises a ValueError for invalid sizes or names."""
        layers.check_transformer(self)
        layers.check_choice(self.readout, ("first", "mean"), "MPNetConfig.readout")


def relative_buckets(length: int) -> np.ndarray:
    """Buckets [L, L] int32 of the position of each key (column) relative to each query (row).

    Half of the buckets are for keys after the query. In each half, the first half of the buckets
    hold one distance each and the others hold ranges of distances that grow logarithmically.
    """
    distance = np.arange(length)[:, None] - np.arange(length)  # query - key
    half = BUCKETS // 2
    exact = half // 2
    away = np.abs(distance).astype(np.float32)
    ratio = np.log(np.maximum(away, 1) / np.float32(exact)) / np.float32(
        math.log(MAX_DISTANCE / exact)
    )
    far = np.minimum(exact + (ratio * (half - exact)).astype(np.int32), half - 1)
    return (np.where(away < exact, away, far) + half * (distance < 0)).astype(np.int32)


class MPNet(nnx.Module):
    """MPNet: token ids to token features and one feature vector per text."""

    def __init__(
        self, config: MPNetConfig, dtype: DTypeLike = jnp.float32, *, rngs: nnx.Rngs
    ) -> None:
        """Initializes random float32 parameters; `dtype` is the compute dtype."""
        c = self.config = config
        self.dtype = dtype

        def table(rows: int, width: int = c.width) -> nnx.Param:
            return nnx.Param(layers.published(rngs.params(), (rows, width)))

        self.tokens = table(c.vocab_size)
        self.positions = table(c.max_positions + PADDING_ROW + 1)
        self.relative_positions = table(BUCKETS, c.heads)
        self.embedding_norm = layers.LayerNorm(c.width, c.norm_eps, dtype)
        self.blocks = layers.repeat(
            c.depth, lambda rngs: layers.PostNormBlock(c, dtype, rngs), rngs
        )

    def embed(self, input_ids: jax.Array, rngs: nnx.Rngs | None = None) -> jax.Array:
        """Embeds ids [B, L], padded at the end, as [B, L, D]."""
        x = layers.look_up(self.tokens, input_ids, self.config.max_positions)
        length = input_ids.shape[1]
        first = PADDING_ROW + 1
        x = self.embedding_norm(x + self.positions[first : first + length])
        return layers.dropout(x, self.config.dropout, rngs)

    def bias(self, mask: jax.Array) -> jax.Array:
        """Attention bias [B, H, L, L] float32: relative positions, and padding masked by `mask`."""
        table = self.relative_positions[...].astype(jnp.float32)
        relative = table[relative_buckets(mask.shape[1])].transpose(2, 0, 1)  # [H, L, L]
        return relative + layers.attention_bias(mask)

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
          mask: [B, L] bool, True at real tokens, which come first.
          rngs: stream `dropout`; None in evaluation.
          tokens: False: the last block computes only what is pooled.

        Returns:
          The tokens [B, L, D] (Hugging Face's `last_hidden_state`), `mask`, and the feature [B, D]
          pooled by `config.readout`.
        """
        x = self.embed(input_ids, rngs)
        bias = self.bias(mask)
        return layers.encode_and_pool(self.blocks, x, bias, mask, self.config.readout, rngs, tokens)


def config_from_hf(source: Mapping[str, Any], **ours: Any) -> MPNetConfig:
    """Builds the config of a Hugging Face MPNet from config.json; `ours` sets further fields."""
    check_model_type(source, "mpnet")
    given = {
        "vocab_size": source["vocab_size"],
        "width": source["hidden_size"],
        "depth": source["num_hidden_layers"],
        "heads": source["num_attention_heads"],
        "mlp_width": source["intermediate_size"],
        "max_positions": source["max_position_embeddings"] - PADDING_ROW - 1,
        "activation": source.get("hidden_act", "gelu"),
        "norm_eps": source.get("layer_norm_eps", 1e-12),
        "dropout": source.get("hidden_dropout_prob", 0.1),
        "attention_dropout": source.get("attention_probs_dropout_prob", 0.1),
    }
    return MPNetConfig(**given | ours)


def config_to_hf(config: MPNetConfig) -> dict[str, Any]:
    """The Hugging Face config.json of this MPNet."""
    return {
        "model_type": "mpnet",
        "vocab_size": config.vocab_size,
        "hidden_size": config.width,
        "num_hidden_layers": config.depth,
        "num_attention_heads": config.heads,
        "intermediate_size": config.mlp_width,
        "max_position_embeddings": config.max_positions + PADDING_ROW + 1,
        "relative_attention_num_buckets": BUCKETS,
        "hidden_act": config.activation,
        "layer_norm_eps": config.norm_eps,
        "hidden_dropout_prob": config.dropout,
        "attention_probs_dropout_prob": config.attention_dropout,
    }


def key_map() -> KeyMap:
    """Maps the tensors of Hugging Face's `MPNetModel` to our parameters."""
    block, ours = r"encoder\.layer\.(\d+)\.", r"blocks/\1/"
    attention = block + r"attention\.attn\."
    return KeyMap(
        prefix=r"mpnet\.",
        rules=(
            (r"embeddings\.word_embeddings\.weight", "tokens", keymap.SAME),
            (r"embeddings\.position_embeddings\.weight", "positions", keymap.SAME),
            (r"encoder\.relative_attention_bias\.weight", "relative_positions", keymap.SAME),
            *keymap.norm(r"embeddings\.LayerNorm", "embedding_norm"),
            *keymap.heads_in(attention + "q", ours + "attention/query"),
            *keymap.heads_in(attention + "k", ours + "attention/key"),
            *keymap.heads_in(attention + "v", ours + "attention/value"),
            *keymap.heads_out(attention + "o", ours + "attention/out"),
            *keymap.norm(block + r"attention\.LayerNorm", ours + "attention_norm"),
            *keymap.linear(block + r"intermediate\.dense", ours + "mlp/up"),
            *keymap.linear(block + r"output\.dense", ours + "mlp/down"),
            *keymap.norm(block + r"output\.LayerNorm", ours + "mlp_norm"),
        ),
        excused=(
            r"embeddings\.position_ids",  # a buffer, 0, 1, 2, ...
            r"pooler\..*",
            r"lm_head\..*",
            r"classifier\..*",
            r"qa_outputs\..*",
        ),
    )


FAMILY = TextFamily(
    MPNetConfig,
    MPNet,
    config_from_hf,
    key_map,
    ("mpnet",),
    config_to_hf,
    tokenizer="MPNetTokenizer",
)
