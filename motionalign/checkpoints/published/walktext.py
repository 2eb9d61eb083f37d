"""motionalign.checkpoints.published.walktext."""

import re
from typing import Any

import numpy as np

from motionalign.checkpoints.published.format import (
    Format,
    Options,
    Shapes,
    below,
    count,
    head_map,
    heads_of,
    require,
)
from motionalign.models import motion_transformer
from motionalign.models.dual_encoder import DualEncoderConfig
from motionalign.models.motion_transformer import MotionTransformerConfig
from motionalign.models.weights.keymap import KeyMap

# ----------------------------------------------------------------------------------- Walk and Text


def architecture(shapes: Shapes, options: Options) -> DualEncoderConfig:
    require(
        shapes,
        ("encoder.skelEmbedding.weight", "motion_projection.projection.weight"),
        "checkpoint of Walk and Text",
    )
    tower = below(shapes, "encoder.")
    return DualEncoderConfig(
        motion=joint_encoder(
            tower, options, "skelEmbedding.weight", r"seqTransEncoder.", "post", "sinusoidal"
        ),
        text=None,
        embed_dim=shapes["motion_projection.projection.weight"][0],
        head_dropout=0.1,
        text_head=False,
    )


def joint_encoder(
    shapes: Shapes, options: Options, embedding: str, encoder: str, norm: str, positions: str
) -> MotionTransformerConfig:
    width, inputs = shapes[embedding]
    if inputs % options.channels:
        raise ValueError(
            f"{embedding} takes {inputs} numbers a frame, which is no multiple of --channels="
            f"{options.channels}"
        )
    layer = encoder + "layers.0.linear1.weight"
    if layer not in shapes:
        raise ValueError(f"the encoder has no {layer}")
    return MotionTransformerConfig(
        joints=inputs // options.channels,
        channels=options.channels,
        width=width,
        depth=count(shapes, re.escape(encoder) + r"layers\.(\d+)\."),
        heads=heads_of(width, options.motion_heads, "--motion_heads"),
        mlp_width=shapes[layer][0],
        norm=norm,
        positions=positions,
        frames=options.frames,
        root=options.root,
        activation=options.activation,
        norm_eps=options.motion_norm_eps or 1e-5,
    )


def key_map(config: DualEncoderConfig) -> KeyMap:
    towers = motion_transformer.walktext_key_map().within(r"encoder\.", "motion_encoder/")
    rest = KeyMap("", (), fresh=("logit_scale", r"text_encoder/.*"))
    return towers | head_map(r"motion_projection\.", "motion_head/") | rest


def unused(config: DualEncoderConfig) -> dict[str, np.ndarray]:
    width = config.motion.width
    buffer = motion_transformer.sinusoids(5000, width)[:, None]  # [5000, 1, D]
    queries = {f"encoder.{name}Query": np.zeros((1, width), np.float32) for name in ("mu", "sigma")}
    return queries | {"encoder.sequence_pos_encoder.pe": buffer}


def joint_description(config: DualEncoderConfig, model: str) -> dict[str, Any]:
    motion = config.motion
    return {
        "model": model,
        "num_joints": motion.joints,
        "num_features": motion.channels,
        "num_frames": motion.frames,
        "latent_dim": motion.width,
        "num_layers": motion.depth,
        "num_heads": motion.heads,
        "ff_size": motion.mlp_width,
        "dropout": motion.dropout,
        "activation": motion.activation,
        "layer_norm_eps": motion.norm_eps,
        "readout": motion.readout,
        "root": motion.root,
        "projection_dim": config.embed_dim,
    }


def describe(config: DualEncoderConfig) -> dict[str, Any]:
    model = "Encoder_TRANSFORMER (encoder.) and ProjectionHead (motion_projection.) of "
    return joint_description(config, model + "https://github.com/Radu1999/WalkAndText")


FORMAT = Format(architecture, key_map, unused, describe)
