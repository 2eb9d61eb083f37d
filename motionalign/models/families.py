"""The registry of encoders: one line per family."""

from collections.abc import Mapping
from typing import Any

from motionalign.config import Entry, in_section
from motionalign.data.representation import Representation
from motionalign.models import (
    bert,
    clip,
    distilbert,
    layers,
    motion_transformer,
    mpnet,
    roberta,
    xlm_roberta,
)
from motionalign.models import vit_weights as vit
from motionalign.models.family import CUSTOM, SIZE_NAMES, MotionFamily, TextFamily, Variant
from motionalign.models.weights.source import Source

MOTION_FAMILIES: dict[str, MotionFamily] = {
    "vit": vit.FAMILY,
    "clip": clip.MOTION_FAMILY,
    "motion_transformer": motion_transformer.FAMILY,
}
"""Families by their name in stored architectures."""

TEXT_FAMILIES: dict[str, TextFamily] = {
    "bert": bert.FAMILY,
    "distilbert": distilbert.FAMILY,
    "mpnet": mpnet.FAMILY,
    "clip": clip.TEXT_FAMILY,
    "roberta": roberta.FAMILY,
    "xlm_roberta": xlm_roberta.FAMILY,
}

FROZEN = "frozen"  # no text encoder in the model; it uses the vectors of `data_prep embed`


def motion_entries() -> dict[str, Entry]:
    """The config fields that each value of config.model.motion.family reads."""
    return {
        name: variant.entry
        for family in MOTION_FAMILIES.values()
        for name, variant in family.variants.items()
    }


def size_entries() -> dict[str, Entry]:
    """The config fields that each value of config.model.motion.size reads."""
    variants = [v for family in MOTION_FAMILIES.values() for v in family.variants.values()]
    named = dict.fromkeys((name for variant in variants for name in variant.sizes), Entry())
    return named | {CUSTOM: Entry(in_section(SIZE_NAMES, "model.motion"))}


def text_entries() -> dict[str, Entry]:
    """The config fields that each value of config.model.text.family reads."""
    return {name: family.entry for name, family in TEXT_FAMILIES.items()} | {FROZEN: Entry()}


def is_frozen(text_section: Mapping[str, Any]) -> bool:
    """Whether a model.text section asks for no text encoder."""
    return text_section["family"] == FROZEN


def variant_of(name: str) -> Variant:
    """The variant for a value of config.model.motion.family; a ValueError lists valid values."""
    variants = {k: v for family in MOTION_FAMILIES.values() for k, v in family.variants.items()}
    layers.check_choice(name, variants, "model.motion.family")
    return variants[name]


def family_of(config: Any, families: Mapping[str, Any]) -> str:
    """The name of the family of an encoder's config."""
    return next(name for name, family in families.items() if type(config) is family.config)


def representation_of(motion: Any, frame_bucket: int) -> Representation:
    """The input representation of a motion encoder.

    Args:
      motion: the encoder's config.
      frame_bucket: masked batches are padded to a multiple of this number of frames.
    """
    family = MOTION_FAMILIES[family_of(motion, MOTION_FAMILIES)]
    return family.representation(motion, frame_bucket)


def text_tower(source: Source, **ours: Any) -> tuple[TextFamily, Any]:
    """(family, config) of the text encoder in a source; `ours` sets further config fields."""
    given = source.config()
    family = text_family(given, source.name)
    with source.naming_config():
        return family, family.config_from_hf(given, **ours)


def text_family(source_config: Mapping[str, Any], name: str) -> TextFamily:
    """The family of a text encoder from its config.json; `name` is for the error message."""
    families = {kind: family for family in TEXT_FAMILIES.values() for kind in family.model_types}
    model_type: Any = source_config.get("model_type")
    layers.check_choice(model_type, families, f"model_type in config.json of {name}")
    return families[model_type]
