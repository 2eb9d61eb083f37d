"""RoBERTa text encoder (Liu et al., 2019), like Hugging Face's `RobertaModel` without its pooler.

It has BERT's layers. In the position table, the first token of a text has the row after the padding
row.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from motionalign.models import bert
from motionalign.models.family import TextFamily
from motionalign.models.weights.keymap import KeyMap

PADDING_ID = 1  # id of the padding token, and its row in the position table


@dataclasses.dataclass(frozen=True)
class RobertaConfig(bert.BertConfig):
    """Sizes and readout of a RoBERTa; the fields are those of `BertConfig`.

    `max_positions` counts tokens, 512 in the published models; the position table has two
    additional, unused rows.
    """

    type_vocab_size: int = 1
    norm_eps: float = 1e-5


class Roberta(bert.Bert):
    """RoBERTa: token ids to token features and one feature vector per text."""

    first_position = PADDING_ID + 1


def fields_from_hf(source: Mapping[str, Any], model_type: str) -> dict[str, Any]:
    """The fields that Hugging Face's config.json states; see `bert.fields_from_hf`.

    Raises:
      ValueError: as in `bert.fields_from_hf`, or the padding id is not 1; positions depend on it.
    """
    given = bert.fields_from_hf(source, model_type)
    padding = source.get("pad_token_id", PADDING_ID)
    if padding != PADDING_ID:
        raise ValueError(
            f"{model_type} with pad_token_id={padding!r}; only {PADDING_ID} is supported, because "
            "the numbering of positions starts after it"
        )
    return given | {"max_positions": given["max_positions"] - PADDING_ID - 1}


def config_from_hf(source: Mapping[str, Any], **ours: Any) -> RobertaConfig:
    """Builds the config of a Hugging Face RoBERTa from config.json; `ours` sets further fields."""
    return RobertaConfig(**fields_from_hf(source, "roberta") | ours)


def config_to_hf(config: RobertaConfig, model_type: str = "roberta") -> dict[str, Any]:
    """The Hugging Face config.json of this RoBERTa."""
    return bert.config_to_hf(config, model_type) | {
        "max_position_embeddings": config.max_positions + PADDING_ID + 1,
        "pad_token_id": PADDING_ID,
    }


def key_map() -> KeyMap:
    """Maps the tensors of Hugging Face's `RobertaModel` to our parameters."""
    return bert.key_map(prefix=r"roberta\.", heads=(r"lm_head\..*",))


FAMILY = TextFamily(
    RobertaConfig,
    Roberta,
    config_from_hf,
    key_map,
    ("roberta",),
    config_to_hf,
    tokenizer="RobertaTokenizer",
)
