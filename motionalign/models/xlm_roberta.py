"""XLM-R text encoder (Conneau et al., 2020), like Hugging Face's `XLMRobertaModel`.

It has RoBERTa's layers under its own name and a SentencePiece vocabulary for 100 languages.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from motionalign.models import roberta
from motionalign.models.family import TextFamily
from motionalign.models.roberta import key_map

MODEL_TYPE = "xlm-roberta"


@dataclasses.dataclass(frozen=True)
class XLMRobertaConfig(roberta.RobertaConfig):
    """Sizes and readout of an XLM-R; the fields are those of `RobertaConfig`."""


class XLMRoberta(roberta.Roberta):
    """XLM-R: token ids to token features and one feature vector per text."""


def config_from_hf(source: Mapping[str, Any], **ours: Any) -> XLMRobertaConfig:
    """Builds the config of a Hugging Face XLM-R from config.json; `ours` sets further fields."""
    return XLMRobertaConfig(**roberta.fields_from_hf(source, MODEL_TYPE) | ours)


def config_to_hf(config: XLMRobertaConfig) -> dict[str, Any]:
    """The Hugging Face config.json of this XLM-R."""
    return roberta.config_to_hf(config, MODEL_TYPE)


FAMILY = TextFamily(
    XLMRobertaConfig,
    XLMRoberta,
    config_from_hf,
    key_map,
    (MODEL_TYPE,),
    config_to_hf,
    tokenizer="XLMRobertaTokenizer",
)
