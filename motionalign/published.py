"""The published PyTorch models: how their state dicts are laid out, and what ours is of each.

A `Format` reads a state dict's shapes into our architecture and names every tensor, both ways.
"""

import dataclasses
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from motionalign.models import (
    bert,
    distilbert,
    motion_transformer,
    mpnet,
    pretrained,
    vit,
)
from motionalign.models.dual_encoder import TEXT_FAMILIES, DualEncoderConfig
from motionalign.models.layers import Shape

Shapes = Mapping[str, Shape]


class Format(NamedTuple):
    """A published model.

    architecture: (shapes of its tensors, `Options`) to ours.
    key_map: of that architecture.
    unused: architecture to the tensors {key: value} that the published code has besides.
    describe: architecture to the JSON that says how to build the published model.
    """

    architecture: Callable[[Shapes, "Options"], DualEncoderConfig]
    key_map: Callable[[DualEncoderConfig], pretrained.KeyMap]
    unused: Callable[[DualEncoderConfig], dict[str, np.ndarray]]
    describe: Callable[[DualEncoderConfig], dict[str, Any]]


@dataclasses.dataclass(frozen=True)
class Options:
    """What tensors do not say. The defaults are the published code's.

    motion_heads, text_heads: None: as many as are 64 wide. max_tokens: None: 128, or as many as the
      text encoder has positions.
    text_config: config.json of the text encoder; None: sizes from the tensors, the rest published.
    channels: of a joint, for encoders of joints.
    root: the joint that the first frame is moved to the origin by; None: none.
    attributes: names of GaitFormer's attributes.
    """

    motion_heads: int | None = None
    text_heads: int | None = None
    activation: str = "gelu"
    text_activation: str = "gelu"
    motion_norm_eps: float | None = None
    text_norm_eps: float | None = None
    text_config: Mapping[str, Any] | None = None
    max_tokens: int | None = None
    channels: int = 3
    frames: int = 60
    root: int | None = 0
    attributes: tuple[str, ...] | None = None


def max_tokens(text, options: Options) -> int:
    """Where texts are cut."""
    return options.max_tokens or min(128, text.max_positions)


def below(shapes: Shapes, prefix: str) -> dict[str, Shape]:
    """The tensors whose keys start with a prefix, without it."""
    return {k.removeprefix(prefix): shape for k, shape in shapes.items() if k.startswith(prefix)}


def _require(shapes: Shapes, keys: tuple[str, ...], what: str) -> None:
    missing = [key for key in keys if key not in shapes]
    if missing:
        raise ValueError(
            f"this is no {what}: it has no {', '.join(missing)}, but "
            + (", ".join(list(shapes)[:3]) + ", ..." if shapes else "no tensor at all")
        )


def _heads(width: int, heads: int | None, flag: str) -> int:
    if heads is None and width % 64:
        raise ValueError(
            f"the tensors do not say how many attention heads there are, and the width {width} is "
            f"not a multiple of the usual 64: say {flag}"
        )
    return heads or width // 64


def _count(shapes: Shapes, block: str) -> int:
    return len({found[1] for key in shapes if (found := re.match(block, key))})


def _head_map(published: str, ours: str) -> pretrained.KeyMap:
    """The projection head of Motion Patches and of Walk and Text."""
    return pretrained.KeyMap(
        prefix="",
        rules=(
            *pretrained.linear(r"projection", "projection"),
            *pretrained.linear(r"fc", "hidden"),
            *pretrained.norm(r"layer_norm", "norm"),
        ),
    ).within(published, ours)


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
        "depth": _count(shapes, block + r"(\d+)\."),
        "heads": _heads(width, options.text_heads, "--text_heads"),
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


def _motionpatches(shapes: Shapes, options: Options) -> DualEncoderConfig:
    _require(
        shapes,
        ("motion_encoder.model.pos_embed", "motion_projection.projection.weight", "logit_scale"),
        "checkpoint of Motion Patches",
    )
    tower = below(shapes, "motion_encoder.model.")
    config = vit.timm_config(
        tower,
        heads=_heads(tower["patch_embed.proj.weight"][0], options.motion_heads, "--motion_heads"),
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


def _motionpatches_key_map(config: DualEncoderConfig) -> pretrained.KeyMap:
    tower = vit.timm_key_map(config.motion, config.motion.grid)
    if config.motion.pool == "class":
        rules = tower.rules + pretrained.norm("norm", "final_norm")
        tower = dataclasses.replace(tower, rules=rules)
    scale = pretrained.KeyMap("", (("logit_scale", "logit_scale", pretrained.SAME),))
    return (
        tower.within(_VIT, "motion_encoder/")
        | TEXT_FAMILIES[config.text_family].key_map().within(_TEXT, "text_encoder/")
        | _head_map(r"motion_projection\.", "motion_head/")
        | _head_map(r"text_projection\.", "text_head/")
        | scale
    )


_CONFIG_TO_HF = {
    "distilbert": distilbert.config_to_hf,
    "bert": bert.config_to_hf,
    "mpnet": mpnet.config_to_hf,
}


def _motionpatches_description(config: DualEncoderConfig) -> dict[str, Any]:
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
        "text_encoder": _CONFIG_TO_HF[config.text_family](config.text),
        "text_readout": config.text.readout,
        "projection_dims": config.embed_dim,
        "dropout": config.head_dropout,
    }


# ----------------------------------------------------------------------------------- Walk and Text


def _walktext(shapes: Shapes, options: Options) -> DualEncoderConfig:
    _require(
        shapes,
        ("encoder.skelEmbedding.weight", "motion_projection.projection.weight"),
        "checkpoint of Walk and Text",
    )
    tower = below(shapes, "encoder.")
    return DualEncoderConfig(
        motion=_joint_encoder(
            tower, options, "skelEmbedding.weight", r"seqTransEncoder.", "post", "sinusoidal"
        ),
        text=None,
        embed_dim=shapes["motion_projection.projection.weight"][0],
        head_dropout=0.1,
        text_head=False,
    )


def _joint_encoder(
    shapes: Shapes, options: Options, embedding: str, encoder: str, norm: str, positions: str
) -> motion_transformer.MotionTransformerConfig:
    width, inputs = shapes[embedding]
    if inputs % options.channels:
        raise ValueError(
            f"{embedding} takes {inputs} numbers a frame, which is no multiple of --channels="
            f"{options.channels}"
        )
    layer = encoder + "layers.0.linear1.weight"
    if layer not in shapes:
        raise ValueError(f"the encoder has no {layer}")
    return motion_transformer.MotionTransformerConfig(
        joints=inputs // options.channels,
        channels=options.channels,
        width=width,
        depth=_count(shapes, re.escape(encoder) + r"layers\.(\d+)\."),
        heads=_heads(width, options.motion_heads, "--motion_heads"),
        mlp_width=shapes[layer][0],
        norm=norm,
        positions=positions,
        frames=options.frames,
        root=options.root,
        activation=options.activation,
        norm_eps=options.motion_norm_eps or 1e-5,
    )


def _walktext_key_map(config: DualEncoderConfig) -> pretrained.KeyMap:
    towers = motion_transformer.walktext_key_map().within(r"encoder\.", "motion_encoder/")
    rest = pretrained.KeyMap("", (), fresh=("logit_scale", r"text_encoder/.*"))
    return towers | _head_map(r"motion_projection\.", "motion_head/") | rest


def _walktext_unused(config: DualEncoderConfig) -> dict[str, np.ndarray]:
    width = config.motion.width
    buffer = motion_transformer.sinusoids(5000, width)[:, None]  # [5000, 1, D]
    queries = {f"encoder.{name}Query": np.zeros((1, width), np.float32) for name in ("mu", "sigma")}
    return queries | {"encoder.sequence_pos_encoder.pe": buffer}


def _joint_description(config: DualEncoderConfig, model: str) -> dict[str, Any]:
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


def _walktext_description(config: DualEncoderConfig) -> dict[str, Any]:
    model = "Encoder_TRANSFORMER (encoder.) and ProjectionHead (motion_projection.) of "
    return _joint_description(config, model + "https://github.com/Radu1999/WalkAndText")


# -------------------------------------------------------------------------------------- GaitFormer


def _gaitformer(shapes: Shapes, options: Options) -> DualEncoderConfig:
    _require(
        shapes,
        ("skeleton_encoding.weight", "positional_embedding", "out_embedding.weight"),
        "checkpoint of GaitFormer",
    )
    motion = _joint_encoder(
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
        gait_head=motion_transformer.GaitHeadConfig(shapes["projection.weight"][0], names),
    )


def _gaitformer_key_map(config: DualEncoderConfig) -> pretrained.KeyMap:
    return (
        motion_transformer.gaitformer_key_map().within("", "motion_encoder/")
        | motion_transformer.gait_head_key_map().within("", "motion_head/")
        | pretrained.KeyMap("", (), fresh=("logit_scale",))
    )


def _gaitformer_description(config: DualEncoderConfig) -> dict[str, Any]:
    model = "GaitFormer of https://github.com/cosmaadrian/gaitformer"
    return _joint_description(config, model) | {
        "projection_size": config.gait_head.projection_dim,
        "attributes": list(config.gait_head.attributes),
    }


FORMATS = {
    "motionpatches": Format(
        _motionpatches, _motionpatches_key_map, lambda config: {}, _motionpatches_description
    ),
    "walktext": Format(_walktext, _walktext_key_map, _walktext_unused, _walktext_description),
    "gaitformer": Format(
        _gaitformer, _gaitformer_key_map, lambda config: {}, _gaitformer_description
    ),
}


def format_of(config: DualEncoderConfig) -> str:
    """The published model that an architecture is, or can be written as.

    Raises:
      ValueError: there is none.
    """
    if config.gait_head is not None:
        return "gaitformer"
    if config.motion_family == "motion_transformer":
        kind = (config.motion.norm, config.motion.positions)
        if kind == ("post", "sinusoidal"):
            return "walktext"
        raise ValueError(
            f"no published model has {kind[0]}-norm, {kind[1]} positions and a projection head"
        )
    text = config.text and config.text_family
    if config.motion_family == "vit" and text in _CONFIG_TO_HF and config.text_head:
        if config.motion.padding != "attend":
            raise ValueError(
                "the published code attends to the padding of a clip; this model, trained with "
                "padding='mask', would compute something else there: it cannot be exported"
            )
        return "motionpatches"
    raise ValueError(
        f"no published code has a motion encoder of family {config.motion_family!r} and a text "
        f"encoder of family {text!r}: it cannot be exported"
    )
