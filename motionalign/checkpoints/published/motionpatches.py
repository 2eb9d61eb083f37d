"""motionalign.checkpoints.published.motionpatches."""

import dataclasses
from typing import Any

from motionalign.checkpoints.published.format import (
    Format,
    Options,
    Shapes,
    below,
    count,
    head_map,
    heads_of,
    max_tokens,
    require,
)
from motionalign.models import bert, distilbert, mpnet, vit_weights
from motionalign.models.dual_encoder import DualEncoderConfig
from motionalign.models.families import TEXT_FAMILIES
from motionalign.models.weights import keymap
from motionalign.models.weights.keymap import KeyMap

# ------------------------------------------------------------------------------- Motion Patches

_VIT, _TEXT = r"motion_encoder\.model\.", r"text_encoder\.text_model\."


def _text_config(shapes: Shapes, options: Options):
    """The text encoder's config: of config.json where it is given, else from the tensors."""
    first = shapes.get("embeddings.word_embeddings.weight")
    if first is None:
        raise ValueError(
            "the text encoder is of an unknown family: no embeddings.word_embeddings.weight; "
            f"known: {', '.join(_TEXT_SIZES)}"
        )
    if "transformer.layer.0.attention.q_lin.weight" in shapes:
        family = "distilbert"
    elif "encoder.relative_attention_bias.weight" in shapes:
        family = "mpnet"
    elif shapes.get("embeddings.token_type_embeddings.weight", (0,))[0] >= 2:
        family = "bert"  # RoBERTa, which counts positions from 2, has the same names and one type
    else:
        raise ValueError(
            "the text encoder is of an unknown family: its tensors are "
            f"{', '.join(list(shapes)[:4])}, ...; known: {', '.join(_TEXT_SIZES)}"
        )
    hf = TEXT_FAMILIES[family]
    if options.text_config is not None:
        return hf.config_from_hf(options.text_config, readout="first")
    block, mlp, eps = _TEXT_SIZES[family]
    vocab_size, width = first
    rows = shapes["embeddings.position_embeddings.weight"][0]
    sizes = {
        "vocab_size": vocab_size,
        "width": width,
        "depth": count(shapes, block + r"(\d+)\."),
        "heads": heads_of(width, options.text_heads, "--text_heads"),
        "mlp_width": shapes[block.replace("\\", "") + "0." + mlp][0],
        "max_positions": rows - (mpnet.PADDING_ROW + 1 if family == "mpnet" else 0),
        "norm_eps": options.text_norm_eps or eps,
        "activation": options.text_activation,
        "readout": "first",
    }
    if family == "bert":
        sizes["type_vocab_size"] = shapes["embeddings.token_type_embeddings.weight"][0]
    return hf.config(**sizes)


_TEXT_SIZES = {  # family: regex of a block, its MLP's first layer, epsilon of the published model
    "distilbert": (r"transformer\.layer\.", "ffn.lin1.weight", 1e-12),
    "bert": (r"encoder\.layer\.", "intermediate.dense.weight", 1e-12),
    "mpnet": (r"encoder\.layer\.", "intermediate.dense.weight", 1e-5),
}


def architecture(shapes: Shapes, options: Options) -> DualEncoderConfig:
    require(
        shapes,
        ("motion_encoder.model.pos_embed", "motion_projection.projection.weight", "logit_scale"),
        "checkpoint of Motion Patches",
    )
    tower = below(shapes, "motion_encoder.model.")
    config = vit_weights.timm_config(
        tower,
        heads=heads_of(tower["patch_embed.proj.weight"][0], options.motion_heads, "--motion_heads"),
        norm_eps=options.motion_norm_eps or 1e-6,
        activation=options.activation,
        pool="mean" if "fc_norm.weight" in tower else "class",
    )
    tokens, parts = tower["pos_embed"][1] - 1, config.parts
    if tokens % parts:
        raise ValueError(
            f"motion_encoder.model.pos_embed has {tokens} positions besides the class token's; "
            f"expected a multiple of {parts}, one a body part"
        )
    text = _text_config(below(shapes, "text_encoder.text_model."), options)
    return DualEncoderConfig(
        motion=dataclasses.replace(config, max_frames=tokens // parts * config.patch_size),
        text=text,
        embed_dim=shapes["motion_projection.projection.weight"][0],
        max_tokens=max_tokens(text, options),
    )


def key_map(config: DualEncoderConfig) -> KeyMap:
    tower = vit_weights.timm_key_map(config.motion, config.motion.grid)
    if config.motion.pool == "class":
        rules = tower.rules + keymap.norm("norm", "final_norm")
        tower = dataclasses.replace(tower, rules=rules)
    scale = KeyMap("", (("logit_scale", "logit_scale", keymap.SAME),))
    return (
        tower.within(_VIT, "motion_encoder/")
        | TEXT_FAMILIES[config.text_family].key_map().within(_TEXT, "text_encoder/")
        | head_map(r"motion_projection\.", "motion_head/")
        | head_map(r"text_projection\.", "text_head/")
        | scale
    )


CONFIG_TO_HF = {
    "distilbert": distilbert.config_to_hf,
    "bert": bert.config_to_hf,
    "mpnet": mpnet.config_to_hf,
}


def describe(config: DualEncoderConfig) -> dict[str, Any]:
    motion = config.motion
    rows, parts = motion.grid
    return {
        "model": "ClipModel of https://github.com/line/MotionPatches",
        "motion_encoder": {  # arguments of timm's VisionTransformer
            "img_size": [rows * motion.patch_size, parts * motion.patch_size],
            "patch_size": motion.patch_size,
            "embed_dim": motion.width,
            "depth": motion.depth,
            "num_heads": motion.heads,
            "mlp_ratio": motion.mlp_width / motion.width,
            "global_pool": "avg" if motion.pool == "mean" else "token",
            "num_classes": 0,
        },
        "motion_norm_eps": motion.norm_eps,
        "motion_activation": motion.activation,
        "text_encoder": CONFIG_TO_HF[config.text_family](config.text),
        "text_readout": config.text.readout,
        "projection_dims": config.embed_dim,
        "dropout": config.head_dropout,
    }


FORMAT = Format(architecture, key_map, lambda config: {}, describe)
