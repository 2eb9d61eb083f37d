"""BERT text encoder (Devlin et al., 2019), like Hugging Face's `BertModel` without its pooler."""

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
class BertConfig(layers.Config):
    """Sizes and readout of a BERT.

    Attributes:
      vocab_size: number of rows in the token embedding table.
      width, depth, heads, mlp_width: sizes of the transformer.
      max_positions: maximum number of tokens per text.
      type_vocab_size: number of rows in the segment embedding table; only the first is used.
      activation: a key of `layers.ACTIVATIONS`.
      norm_eps: epsilon of every LayerNorm.
      dropout: rate after the embedding and in each residual branch.
      attention_dropout: rate on the attention weights.
      readout: "first": the output of the first token ([CLS]); "mean": mean over the real tokens.
    """

    vocab_size: int
    width: int
    depth: int
    heads: int
    mlp_width: int
    max_positions: int = 512
    type_vocab_size: int = 2
    activation: str = "gelu"
    norm_eps: float = 1e-12
    dropout: float = 0.1
    attention_dropout: float = 0.1
    readout: str = "first"

    def __post_init__(self) -> None:
        """Raises a ValueError for invalid sizes or names."""
        layers.check_transformer(self)
        layers.check_choice(self.readout, ("first", "mean"), f"{type(self).__name__}.readout")


class Bert(nnx.Module):
    """BERT: token ids to token features and one feature vector per text.

    Attributes:
      first_position: row of the position table for the first token of a text; the rows before it
        are not used.
    """

    first_position = 0

    def __init__(
        self, config: BertConfig, dtype: DTypeLike = jnp.float32, *, rngs: nnx.Rngs
    ) -> None:
        """Initializes random float32 parameters; `dtype` is the compute dtype."""
        c = self.config = config
        self.dtype = dtype

        def table(rows: int) -> nnx.Param:
            return nnx.Param(layers.published(rngs.params(), (rows, c.width)))

        self.tokens = table(c.vocab_size)
        self.positions = table(c.max_positions + self.first_position)
        self.types = table(c.type_vocab_size)
        self.embedding_norm = layers.LayerNorm(c.width, c.norm_eps, dtype)
        self.blocks = layers.repeat(
            c.depth, lambda rngs: layers.PostNormBlock(c, dtype, rngs), rngs
        )

    def embed(self, input_ids: jax.Array, rngs: nnx.Rngs | None = None) -> jax.Array:
        """Embeds ids [B, L], padded at the end, as [B, L, D]; all tokens have segment 0."""
        x = layers.look_up(self.tokens, input_ids, self.config.max_positions)
        first = self.first_position
        x = x + (self.positions[first : first + input_ids.shape[1]] + self.types[0])
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


def fields_from_hf(source: Mapping[str, Any], model_type: str) -> dict[str, Any]:
    """The fields of `BertConfig` that Hugging Face's config.json states.

    Args:
      source: content of the config.json.
      model_type: the model_type that it must have.

    Raises:
      ValueError: it has another model_type, or relative positions.
    """
    check_model_type(source, model_type)
    kind = source.get("position_embedding_type", "absolute")
    if kind != "absolute":
        raise ValueError(
            f"{model_type} with position_embedding_type={kind!r}; only 'absolute' is supported"
        )
    return {
        "vocab_size": source["vocab_size"],
        "width": source["hidden_size"],
        "depth": source["num_hidden_layers"],
        "heads": source["num_attention_heads"],
        "mlp_width": source["intermediate_size"],
        "max_positions": source["max_position_embeddings"],
        "type_vocab_size": source["type_vocab_size"],
        "activation": source.get("hidden_act", "gelu"),
        "norm_eps": source.get("layer_norm_eps", 1e-12),
        "dropout": source.get("hidden_dropout_prob", 0.1),
        "attention_dropout": source.get("attention_probs_dropout_prob", 0.1),
    }


def config_from_hf(source: Mapping[str, Any], **ours: Any) -> BertConfig:
    """Builds the config of a Hugging Face BERT from config.json; `ours` sets further fields."""
    return BertConfig(**fields_from_hf(source, "bert") | ours)


def config_to_hf(config: BertConfig, model_type: str = "bert") -> dict[str, Any]:
    """The Hugging Face config.json of this BERT."""
    return {
        "model_type": model_type,
        "vocab_size": config.vocab_size,
        "hidden_size": config.width,
        "num_hidden_layers": config.depth,
        "num_attention_heads": config.heads,
        "intermediate_size": config.mlp_width,
        "max_position_embeddings": config.max_positions,
        "type_vocab_size": config.type_vocab_size,
        "hidden_act": config.activation,
        "layer_norm_eps": config.norm_eps,
        "hidden_dropout_prob": config.dropout,
        "attention_probs_dropout_prob": config.attention_dropout,
    }


def key_map(prefix: str = r"bert\.", heads: tuple[str, ...] = (r"cls\..*",)) -> KeyMap:
    """Maps the tensors of Hugging Face's `BertModel` and models with its layers to our parameters.

    Args:
      prefix: key prefix in models with a task head; see `KeyMap`.
      heads: regexes for the tensors of pretraining heads.
    """
    block, ours = r"encoder\.layer\.(\d+)\.", r"blocks/\1/"
    table = r"embeddings\.{}_embeddings\.weight".format
    return KeyMap(
        prefix=prefix,
        rules=(
            (table("word"), "tokens", keymap.SAME),
            (table("position"), "positions", keymap.SAME),
            (table("token_type"), "types", keymap.SAME),
            *keymap.norm(r"embeddings\.LayerNorm", "embedding_norm"),
            *keymap.heads_in(block + r"attention\.self\.(query|key|value)", ours + r"attention/\2"),
            *keymap.heads_out(block + r"attention\.output\.dense", ours + "attention/out"),
            *keymap.norm(block + r"attention\.output\.LayerNorm", ours + "attention_norm"),
            *keymap.linear(block + r"intermediate\.dense", ours + "mlp/up"),
            *keymap.linear(block + r"output\.dense", ours + "mlp/down"),
            *keymap.norm(block + r"output\.LayerNorm", ours + "mlp_norm"),
        ),
        excused=(
            r"embeddings\.position_ids",  # a buffer, 0, 1, 2, ...
            r"pooler\..*",
            *heads,
            r"classifier\..*",
            r"qa_outputs\..*",
        ),
    )


FAMILY = TextFamily(
    BertConfig, Bert, config_from_hf, key_map, ("bert",), config_to_hf, tokenizer="BertTokenizer"
)
