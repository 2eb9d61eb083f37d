"""DistilBERT text encoder (Sanh et al., 2019), like Hugging Face's `DistilBertModel`."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

from motionalign.models import layers
from motionalign.models.family import TextFamily
from motionalign.models.weights import keymap
from motionalign.models.weights.keymap import KeyMap
from motionalign.models.weights.source import check_model_type


@dataclasses.dataclass(frozen=True)
class DistilBertConfig(layers.Config):
    """Sizes and readout of a DistilBERT.

    Attributes:
      vocab_size: number of rows in the token embedding table.
      width, depth, heads, mlp_width: sizes of the transformer.
      max_positions: maximum number of tokens per text.
      activation: a key of `layers.ACTIVATIONS`.
      norm_eps: epsilon of every LayerNorm.
      dropout: rate after the embedding and the MLP; unlike BERT, there is none after attention.
      attention_dropout: rate on the attention weights.
      readout: "first": the output of the first token ([CLS]); "mean": mean over the real tokens.
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
        layers.check_choice(self.readout, ("first", "mean"), "DistilBertConfig.readout")


class Block(nnx.Module):
    """Post-norm transformer block."""

    def __init__(self, config: DistilBertConfig, dtype: DTypeLike, rngs: nnx.Rngs) -> None:
        """Initializes random parameters of the config's sizes; `dtype` is the compute dtype."""
        c = config
        self.attention = layers.Attention(c.width, c.heads, c.attention_dropout, dtype, rngs)
        self.attention_norm = layers.LayerNorm(c.width, c.norm_eps, dtype)
        self.mlp = layers.MLP(c.width, c.mlp_width, c.activation, dtype, rngs)
        self.mlp_norm = layers.LayerNorm(c.width, c.norm_eps, dtype)
        self.dropout = c.dropout

    def __call__(
        self,
        x: jax.Array,
        bias: jax.Array | None = None,
        rngs: nnx.Rngs | None = None,
        first: int | None = None,
    ) -> jax.Array:
        """Maps [B, L, D] to [B, L, D], or to its `first` tokens only: [B, first, D]."""
        attended = self.attention(x[:, :first], x, bias, rngs)
        rows = self.attention_norm(layers.matrix(x[:, :first]) + layers.matrix(attended))
        rows = self.mlp_norm(rows + layers.dropout(self.mlp(rows), self.dropout, rngs))
        return rows.reshape(attended.shape)


class DistilBert(nnx.Module):
    """DistilBERT: token ids to token features and one feature vector per text."""

    def __init__(
        self, config: DistilBertConfig, dtype: DTypeLike = jnp.float32, *, rngs: nnx.Rngs
    ) -> None:
        """Initializes random float32 parameters; `dtype` is the compute dtype."""
        c = self.config = config
        self.dtype = dtype

        def table(rows: int) -> nnx.Param:
            return nnx.Param(layers.published(rngs.params(), (rows, c.width)))

        self.tokens = table(c.vocab_size)
        self.positions = table(c.max_positions)
        self.embedding_norm = layers.LayerNorm(c.width, c.norm_eps, dtype)
        self.blocks = layers.repeat(c.depth, lambda rngs: Block(c, dtype, rngs), rngs)

    def embed(self, input_ids: jax.Array, rngs: nnx.Rngs | None = None) -> jax.Array:
        """Embeds ids [B, L] as [B, L, D]."""
        x = layers.look_up(self.tokens, input_ids, self.config.max_positions)
        length = input_ids.shape[1]
        x = x + self.positions[:length]
        x = self.embedding_norm(x)
        return layers.dropout(x, self.config.dropout, rngs)

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
          tokens: False: the last block computes only what is pooled.

        Returns:
          The tokens [B, L, D] (Hugging Face's `last_hidden_state`), `mask`, and the feature [B, D]
          pooled by `config.readout`.
        """
        x = self.embed(input_ids, rngs)
        bias = layers.attention_bias(mask)
        return layers.encode_and_pool(self.blocks, x, bias, mask, self.config.readout, rngs, tokens)


def config_from_hf(source: Mapping[str, Any], **ours: Any) -> DistilBertConfig:
    """Builds the config of a Hugging Face DistilBERT's config.json; `ours` sets further fields."""
    check_model_type(source, "distilbert")
    given: dict[str, Any] = {
        "vocab_size": source["vocab_size"],
        "width": source["dim"],
        "depth": source["n_layers"],
        "heads": source["n_heads"],
        "mlp_width": source["hidden_dim"],
        "max_positions": source["max_position_embeddings"],
        "activation": source.get("activation", "gelu"),
        "norm_eps": 1e-12,  # a constant of Hugging Face's code, not in its config
        "dropout": source.get("dropout", 0.1),
        "attention_dropout": source.get("attention_dropout", 0.1),
    }
    return DistilBertConfig(**given | ours)


def config_to_hf(config: DistilBertConfig) -> dict[str, Any]:
    """The Hugging Face config.json of this DistilBERT."""
    return {
        "model_type": "distilbert",
        "vocab_size": config.vocab_size,
        "dim": config.width,
        "n_layers": config.depth,
        "n_heads": config.heads,
        "hidden_dim": config.mlp_width,
        "max_position_embeddings": config.max_positions,
        "activation": config.activation,
        "dropout": config.dropout,
        "attention_dropout": config.attention_dropout,
    }


def key_map() -> KeyMap:
    """Maps the tensors of Hugging Face's `DistilBertModel` to our parameters."""
    block, ours = r"transformer\.layer\.(\d+)\.", r"blocks/\1/"
    table = r"embeddings\.{}_embeddings\.weight".format
    return KeyMap(
        prefix=r"distilbert\.",
        rules=(
            (table("word"), "tokens", keymap.SAME),
            (table("position"), "positions", keymap.SAME),
            *keymap.norm(r"embeddings\.LayerNorm", "embedding_norm"),
            *keymap.heads_in(block + r"attention\.q_lin", ours + "attention/query"),
            *keymap.heads_in(block + r"attention\.k_lin", ours + "attention/key"),
            *keymap.heads_in(block + r"attention\.v_lin", ours + "attention/value"),
            *keymap.heads_out(block + r"attention\.out_lin", ours + "attention/out"),
            *keymap.norm(block + "sa_layer_norm", ours + "attention_norm"),
            *keymap.linear(block + r"ffn\.lin1", ours + "mlp/up"),
            *keymap.linear(block + r"ffn\.lin2", ours + "mlp/down"),
            *keymap.norm(block + "output_layer_norm", ours + "mlp_norm"),
        ),
        excused=(
            r"embeddings\.position_ids",  # a buffer, 0, 1, 2, ...
            r"vocab_(transform|layer_norm|projector)\..*",  # masked language modelling head
            r"(pre_)?classifier\..*",
            r"qa_outputs\..*",
        ),
    )


FAMILY = TextFamily(
    DistilBertConfig,
    DistilBert,
    config_from_hf,
    key_map,
    ("distilbert",),
    config_to_hf,
    tokenizer="DistilBertTokenizer",
)
