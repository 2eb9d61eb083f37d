"""RoBERTa text encoder (Liu et al., 2019), as Hugging Face's `RobertaModel` without its pooler.

BERT's layers; the position of a text's first token is the row after that of padding.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from motionalign.models import bert
from motionalign.models.family import TextFamily
from motionalign.models.weights.keymap import KeyMap

PADDING_ID = 1  # of the vocabulary, and the row of the position table that padding has


@dataclasses.dataclass(frozen=True)
class RobertaConfig(bert.BertConfig):
    """Sizes and readout of a RoBERTa: the fields of `BertConfig`.

    `max_positions` counts tokens, 512 in the published models; the position table has two more
    rows, which no token uses.
    """

    type_vocab_size: int = 1
    norm_eps: float = 1e-5


class Roberta(bert.Bert):
    """Token ids to token features and one feature vector a text."""

    first_position = PADDING_ID + 1


def fields_from_hf(source: Mapping[str, Any], model_type: str) -> dict[str, Any]:
    """The fields that Hugging Face's config.json states; arguments and errors as of BERT's.

    Raises:
      ValueError: also where padding has another id than 1, on which positions depend.
    """
    given = bert.fields_from_hf(source, model_type)
    padding = source.get("pad_token_id", PADDING_ID)
    if padding != PADDING_ID:
        raise ValueError(
            f"{model_type} with pad_token_id={padding!r}; only {PADDING_ID} is known, after which "
            "the positions of its tokens are numbered"
        )
    return given | {"max_positions": given["max_positions"] - PADDING_ID - 1}


def config_from_hf(source: Mapping[str, Any], **ours: Any) -> RobertaConfig:
    """The config of a Hugging Face RoBERTa's config.json; `ours` are fields it does not know."""
    return RobertaConfig(**fields_from_hf(source, "roberta") | ours)


def config_to_hf(config: RobertaConfig, model_type: str = "roberta") -> dict[str, Any]:
    """A Hugging Face config.json of this RoBERTa."""
    return bert.config_to_hf(config, model_type) | {
        "max_position_embeddings": config.max_positions + PADDING_ID + 1,
        "pad_token_id": PADDING_ID,
    }


def key_map() -> KeyMap:
    """How the tensors of Hugging Face's `RobertaModel` become ours."""
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
