"""XLM-R text encoder (Conneau et al., 2020), as Hugging Face's `XLMRobertaModel`.

The layers of RoBERTa under a name of its own; its vocabulary is SentencePiece's, of 100 languages.
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
    """Sizes and readout of an XLM-R: the fields of `RobertaConfig`."""


class XLMRoberta(roberta.Roberta):
    """Token ids to token features and one feature vector a text."""


def config_from_hf(source: Mapping[str, Any], **ours: Any) -> XLMRobertaConfig:
    """The config of a Hugging Face XLM-R's config.json; `ours` are fields that it does not know."""
    return XLMRobertaConfig(**roberta.fields_from_hf(source, MODEL_TYPE) | ours)


def config_to_hf(config: XLMRobertaConfig) -> dict[str, Any]:
    """A Hugging Face config.json of this XLM-R."""
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
