"""motionalign.checkpoints.published.gaitformer."""

import dataclasses
from typing import Any

from motionalign.checkpoints.published.format import Format, Options, Shapes, require
from motionalign.checkpoints.published.walktext import joint_description, joint_encoder
from motionalign.models import motion_transformer
from motionalign.models.dual_encoder import DualEncoderConfig
from motionalign.models.heads import GaitHeadConfig
from motionalign.models.weights.keymap import KeyMap

# -------------------------------------------------------------------------------------- GaitFormer


def architecture(shapes: Shapes, options: Options) -> DualEncoderConfig:
    require(
        shapes,
        ("skeleton_encoding.weight", "positional_embedding", "out_embedding.weight"),
        "checkpoint of GaitFormer",
    )
    motion = joint_encoder(
        shapes, options, "skeleton_encoding.weight", "encoder.", "pre", "learned"
    )
    count = shapes["out_appearance.weight"][0]
    names = options.attributes or tuple(f"attribute_{i}" for i in range(count))
    if len(names) != count:
        raise ValueError(f"{len(names)} names of attributes; the checkpoint has {count}")
    return DualEncoderConfig(
        motion=dataclasses.replace(motion, frames=shapes["positional_embedding"][1]),
        text=None,
        embed_dim=shapes["out_embedding.weight"][0],
        text_head=False,
        gait_head=GaitHeadConfig(shapes["projection.weight"][0], names),
    )


def key_map(config: DualEncoderConfig) -> KeyMap:
    return (
        motion_transformer.gaitformer_key_map().within("", "motion_encoder/")
        | motion_transformer.gait_head_key_map().within("", "motion_head/")
        | KeyMap("", (), fresh=("logit_scale",))
    )


def describe(config: DualEncoderConfig) -> dict[str, Any]:
    model = "GaitFormer of https://github.com/cosmaadrian/gaitformer"
    return joint_description(config, model) | {
        "projection_size": config.gait_head.projection_dim,
        "attributes": list(config.gait_head.attributes),
    }


FORMAT = Format(architecture, key_map, lambda config: {}, describe)
