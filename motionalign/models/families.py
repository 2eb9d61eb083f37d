"""motionalign.models.families."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from motionalign.models import bert, clip, distilbert, layers, motion_transformer, mpnet, vit
from motionalign.models.motion_transformer import MotionTransformer, MotionTransformerConfig
from motionalign.models.vit import ViT, ViTConfig
from motionalign.models.weights.source import Source


class MotionFamily(NamedTuple):
    """What a family of motion encoders brings.

    inputs: "patches" or "joints": what its module takes.
    """

    config: type
    module: type
    inputs: str


MOTION_FAMILIES = {
    "vit": MotionFamily(ViTConfig, ViT, "patches"),
    "clip": MotionFamily(clip.CLIPVisionConfig, clip.CLIPVision, "patches"),
    "motion_transformer": MotionFamily(MotionTransformerConfig, MotionTransformer, "joints"),
}


class TextFamily(NamedTuple):
    """What a family of text encoders brings.

    model_types: what its config.json says in Hugging Face's layout.
    """

    config: type
    module: type
    config_from_hf: Callable
    key_map: Callable
    model_types: tuple[str, ...]


TEXT_FAMILIES = {
    "bert": TextFamily(bert.BertConfig, bert.Bert, bert.config_from_hf, bert.key_map, ("bert",)),
    "distilbert": TextFamily(
        distilbert.DistilBertConfig,
        distilbert.DistilBert,
        distilbert.config_from_hf,
        distilbert.key_map,
        ("distilbert",),
    ),
    "mpnet": TextFamily(
        mpnet.MPNetConfig, mpnet.MPNet, mpnet.config_from_hf, mpnet.key_map, ("mpnet",)
    ),
    "clip": TextFamily(
        clip.CLIPTextConfig,
        clip.CLIPText,
        clip.config_from_hf,
        clip.key_map,
        ("clip", "clip_text_model"),
    ),
}


def family_of(config, families: Mapping[str, Any]) -> str:
    return next(name for name, family in families.items() if isinstance(config, family.config))


MOTION_SIZES = {
    "vit": vit.SIZES,
    "clip": clip.VISION_SIZES,
    "gaitformer": motion_transformer.SIZES["gaitformer"],
    "actor": motion_transformer.SIZES["actor"],
}


def text_tower(source: Source, **ours):
    """(family, config) of the text encoder that a source holds; `ours` are config fields."""
    family = text_family(source.config(), source.name)
    return family, family.config_from_hf(source.config(), **ours)


def text_family(source_config: Mapping[str, Any], name: str) -> TextFamily:
    """The family of a text encoder from its config.json; `name` is for the error."""
    families = {kind: family for family in TEXT_FAMILIES.values() for kind in family.model_types}
    model_type = source_config.get("model_type")
    layers.check_choice(model_type, families, f"model_type of {name}")
    return families[model_type]
