"""Pretrained ViTs: loads Hugging Face's files, timm's files and Google's .npz into `vit.ViT`.

A `Layout` is one kind of file; `config_from` and `key_map` detect the layout of a source.
"""

import dataclasses
import functools
import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from motionalign.models import layers
from motionalign.models.family import (
    PATCHES_ENTRY,
    Inputs,
    MotionFamily,
    Variant,
    check_sizes,
    patches_representation,
    patches_section,
)
from motionalign.models.layers import Shape
from motionalign.models.vit import SIZES, ViT, ViTConfig
from motionalign.models.weights import keymap
from motionalign.models.weights.keymap import KeyMap, Rule
from motionalign.models.weights.source import Source, check_model_type


class Layout(NamedTuple):
    """How one kind of file stores a ViT.

    Attributes:
      config: function from (source, heads or None, **further fields) to a ViTConfig.
      key_map: function from (config, source) to a KeyMap without the final norm.
      final_norm: function from our path of the final norm to its rules.
    """

    config: Callable[..., ViTConfig]
    key_map: Callable[[ViTConfig, Source], KeyMap]
    final_norm: Callable[[str], tuple[Rule, ...]]


def layout(source: Source) -> Layout:
    """The layout of a source's files; a ValueError if it is not known."""
    if source.path is not None and source.path.suffix == ".npz":
        return GOOGLE
    if source.has_config():
        config = source.config()
        if "model_type" in config:
            check_model_type(config, "vit")
            return HUGGING_FACE
        if "architecture" in config:  # timm's own config.json
            return TIMM
    elif "patch_embed.proj.weight" in _timm_shapes(source):
        return TIMM
    raise ValueError(
        f"{source.name} is not a ViT in a known layout: expected Hugging Face's (config.json with "
        "model_type 'vit'), timm's (config.json with architecture, or a safetensors file with "
        "patch_embed.proj.weight) or Google's .npz"
    )


def config_from(source: Source, heads: int | None = None, **ours: Any) -> ViTConfig:
    """Builds the config of a source's ViT.

    Args:
      source: files in one of the three layouts.
      heads: number of heads, if the files do not state it; by default all heads are 64 wide, as in
        every published ViT.
      ours: further fields, which no source contains.
    """
    with source.naming_config():
        return layout(source).config(source, heads, **ours)


def key_map(config: ViTConfig, source: Source, final_norm: str = "fresh") -> KeyMap:
    """Maps a source's tensors to our parameters.

    Args:
      config: config of our ViT.
      source: files in one of the three layouts.
      final_norm: treatment of the source's final norm, which was trained on the class token, with
        mean pooling. "fresh": it is left out, and `fc_norm` starts with scale 1 and bias 0, as in
        the published code. "load": it fills `fc_norm`. With class pooling it is always loaded.
    """
    layers.check_choice(final_norm, keymap.FINAL_NORM, "final_norm")
    found = layout(source)
    with source.naming_config():
        tower = found.key_map(config, source)
    ours = "fc_norm" if config.pool == "mean" else "final_norm"
    norm = found.final_norm(ours)
    if config.pool == "mean" and final_norm == "fresh":
        excused = tuple(regex for regex, _, _ in norm)
        return dataclasses.replace(
            tower, excused=tower.excused + excused, fresh=(*tower.fresh, r"fc_norm/.*")
        )
    return dataclasses.replace(tower, rules=tower.rules + norm)


def source_grid(tokens: int, config: ViTConfig, size: tuple[int, int] | None) -> tuple[int, int]:
    """(rows, columns) of a source's position table.

    Determined by the image size if it is known and fits; else our own grid if it has the same
    number of positions; else a square; else rows of one token per body part.

    Args:
      tokens: number of positions, including that of the class token.
      config: config of our ViT.
      size: (height, width) of the source's images, or None.
    """
    count = tokens - 1
    if size is not None:
        grid = (size[0] // config.patch_size, size[1] // config.patch_size)
        if math.prod(grid) == count:
            return grid
    if count == math.prod(config.grid):
        return config.grid
    side = math.isqrt(count)
    if side * side == count:
        return side, side
    if count % config.parts == 0:
        return count // config.parts, config.parts
    raise ValueError(
        f"{count} position embeddings form neither a square nor rows of {config.parts}"
    )


# ---------------------------------------------------------------------------------- Hugging Face


def _hugging_face_config(source: Source, heads: int | None, **ours: Any) -> ViTConfig:
    given = source.config()
    if given.get("num_channels", 3) != 3:
        raise ValueError(f"a ViT over xyz needs 3 channels; the source has {given['num_channels']}")
    return ViTConfig(
        width=given["hidden_size"],
        depth=given["num_hidden_layers"],
        heads=given["num_attention_heads"],
        mlp_width=given["intermediate_size"],
        patch_size=_square(given.get("patch_size", 16), "patch_size"),
        activation=given.get("hidden_act", "gelu"),
        norm_eps=given.get("layer_norm_eps", 1e-12),
        **ours,
    )


def _hugging_face_key_map(config: ViTConfig, source: Source) -> KeyMap:
    """Maps the tensors of `ViTModel`, or of a model with it as its base."""
    size = _pair(source.config().get("image_size", 224))
    grid = (size[0] // config.patch_size, size[1] // config.patch_size)
    positions = keymap.positions(grid, config.grid)
    block, ours = r"encoder\.layer\.(\d+)\.", r"blocks/\1/"
    patches = r"embeddings\.patch_embeddings\.projection\."
    return KeyMap(
        prefix=r"vit\.",
        rules=(
            (r"embeddings\.cls_token", "class_token", keymap.TOKEN),
            (r"embeddings\.position_embeddings", "positions", positions),
            (patches + "weight", "patch_embed/kernel", keymap.PATCHES),
            (patches + "bias", "patch_embed/bias", keymap.SAME),
            *keymap.norm(block + "layernorm_before", ours + "attention_norm"),
            *keymap.heads_in(
                block + r"attention\.attention\.(query|key|value)", ours + r"attention/\2"
            ),
            *keymap.heads_out(block + r"attention\.output\.dense", ours + "attention/out"),
            *keymap.norm(block + "layernorm_after", ours + "mlp_norm"),
            *keymap.linear(block + r"intermediate\.dense", ours + "mlp/up"),
            *keymap.linear(block + r"output\.dense", ours + "mlp/down"),
        ),
        excused=(
            r"embeddings\.mask_token",  # of masked image modelling, like the decoder
            r"decoder\..*",
            r"pooler\..*",
            r"classifier\..*",
        ),
    )


def _pair(size: int | Sequence[int]) -> tuple[int, int]:
    """(height, width) of a size given as one or two numbers."""
    sides = (size, size) if isinstance(size, int) else tuple(size)
    if len(sides) != 2 or min(sides) < 1:
        raise ValueError(f"a size is {size!r}; expected one or two numbers of at least 1")
    return sides


def _square(size: int | Sequence[int], name: str) -> int:
    """The side of a size that must be square."""
    height, width = _pair(size)
    if height != width:
        raise ValueError(f"config.json has {name} {size}; a ViT over motion needs square patches")
    return height


# ------------------------------------------------------------------------------------------ timm


def _timm_config(source: Source, heads: int | None, **ours: Any) -> ViTConfig:
    arguments = _timm_arguments(source)
    activation = arguments.get("act_layer") or "gelu"
    return timm_config(
        _timm_shapes(source),
        heads=heads or arguments.get("num_heads"),
        activation={"gelu_tanh": "gelu_pytorch_tanh"}.get(activation, activation),
        **ours,
    )


# Arguments of timm's models that follow from the tensors or have no effect in evaluation.
_TIMM_ARGUMENTS = (
    *("img_size", "patch_size", "in_chans", "num_classes", "global_pool", "embed_dim", "depth"),
    *("num_heads", "mlp_ratio", "fc_norm", "act_layer", "weight_init", "fix_init"),
    *("drop_rate", "pos_drop_rate", "proj_drop_rate", "attn_drop_rate", "drop_path_rate"),
    *("dynamic_img_size", "dynamic_img_pad", "strict_img_size"),
)


def timm_config(
    shapes: Mapping[str, Shape], heads: int | None = None, norm_eps: float = 1e-6, **ours: Any
) -> ViTConfig:
    """Builds the config of timm's `VisionTransformer` from the shapes of its tensors.

    Args:
      shapes: {key: shape} of the tensors.
      heads: number of heads; default: width / 64.
      norm_eps: epsilon of every LayerNorm; default: timm's.
      ours: further fields.
    """
    required = ("patch_embed.proj.weight", "blocks.0.mlp.fc1.weight", "pos_embed")
    if missing := [key for key in required if key not in shapes]:
        raise ValueError(f"these are not the tensors of a timm ViT: no {', '.join(missing)}")
    width, channels, patch_size, columns = shapes["patch_embed.proj.weight"]
    if channels != 3 or patch_size != columns:
        raise ValueError(
            f"patch_embed.proj.weight is {list(shapes['patch_embed.proj.weight'])}; a ViT over xyz "
            "needs square patches of 3 channels"
        )
    return ViTConfig(
        width=width,
        depth=_depth(shapes, r"blocks\.(\d+)\..*"),
        heads=_heads(width, heads),
        mlp_width=shapes["blocks.0.mlp.fc1.weight"][0],
        patch_size=patch_size,
        norm_eps=norm_eps,
        **ours,
    )


def _depth(shapes: Mapping[str, Shape], block: str) -> int:
    return len({found[1] for key in shapes if (found := re.fullmatch(block, key))})


def _heads(width: int, heads: int | None) -> int:
    if heads is None and width % 64:
        raise ValueError(
            f"the weights do not state the number of heads, and the width {width} is not a "
            "multiple of 64, the usual width of a head: give the number of heads"
        )
    return heads or width // 64


def _timm_arguments(source: Source) -> Mapping[str, Any]:
    """`model_args` of timm's config.json; unsupported arguments raise a ValueError."""
    arguments = (source.config().get("model_args") or {}) if source.has_config() else {}
    unknown = sorted(set(arguments) - set(_TIMM_ARGUMENTS))
    if unknown:
        raise ValueError(
            f"{source.name}: config.json has model_args {', '.join(unknown)}, which this ViT does "
            "not support"
        )
    return arguments


def _timm_shapes(source: Source) -> dict[str, Shape]:
    """{key: shape}, without what wrappers of the model have put in front of the keys."""
    shapes = source.shapes()
    names = keymap.unwrapped(shapes, lambda name: name == "patch_embed.proj.weight")
    return {names[key]: shape for key, shape in shapes.items()}


def _timm_key_map(config: ViTConfig, source: Source) -> KeyMap:
    shapes = _timm_shapes(source)
    size = _timm_arguments(source).get("img_size")
    if size is None and source.has_config():
        trained = source.config().get("pretrained_cfg") or {}
        size = (trained.get("input_size") or (None,))[1:] or None
    tokens = shapes["pos_embed"][1]
    return timm_key_map(config, source_grid(tokens, config, _pair(size) if size else None))


def timm_key_map(config: ViTConfig, grid: tuple[int, int]) -> KeyMap:
    """Maps the tensors of timm's `VisionTransformer`, except for its final norm.

    Args:
      config: config of our ViT.
      grid: (rows, columns) of the source's position table.
    """
    block, ours = r"blocks\.(\d+)\.", r"blocks/\1/"
    fused = keymap.heads_fused(block + r"attn\.qkv", r"\.weight", r"\.bias", ours + "attention")
    fc_norm = keymap.norm(r"fc_norm", "fc_norm") if config.pool == "mean" else ()
    return KeyMap(
        prefix="",
        rules=(
            (r"cls_token", "class_token", keymap.TOKEN),
            (r"pos_embed", "positions", keymap.positions(grid, config.grid)),
            (r"patch_embed\.proj\.weight", "patch_embed/kernel", keymap.PATCHES),
            (r"patch_embed\.proj\.bias", "patch_embed/bias", keymap.SAME),
            *keymap.norm(block + "norm1", ours + "attention_norm"),
            *fused,
            *keymap.heads_out(block + r"attn\.proj", ours + "attention/out"),
            *keymap.norm(block + "norm2", ours + "mlp_norm"),
            *keymap.linear(block + r"mlp\.fc1", ours + "mlp/up"),
            *keymap.linear(block + r"mlp\.fc2", ours + "mlp/down"),
            *fc_norm,  # only in sources that were trained with mean pooling
        ),
        excused=(r"head(_dist)?\..*", r"pre_logits\..*"),
    )


# ---------------------------------------------------------------------------------------- Google

_GOOGLE_PREFIX = r"opt/target/|params/(?:img/)?"


def _google_shapes(source: Source) -> dict[str, Shape]:
    """{key: shape}, with the prefixes in front of the model's own names removed."""
    return {re.sub(f"^(?:{_GOOGLE_PREFIX})", "", k): shape for k, shape in source.shapes().items()}


def _google_config(source: Source, heads: int | None, **ours: Any) -> ViTConfig:
    shapes = _google_shapes(source)
    query = next((k for k in shapes if re.fullmatch(r".*encoderblock_0/.*/query/kernel", k)), None)
    mlp = next((k for k in shapes if re.fullmatch(r".*encoderblock_0/.*/Dense_0/kernel", k)), None)
    if query is None or mlp is None or "embedding/kernel" not in shapes:
        raise ValueError(
            f"{source.name} is not one of Google's ViT checkpoints: it has no embedding/kernel or "
            "no Transformer/encoderblock_0/..., as in "
            "https://github.com/google-research/vision_transformer"
        )
    rows, columns, channels, width = shapes["embedding/kernel"]
    if channels != 3 or rows != columns:
        raise ValueError(
            f"embedding/kernel is {list(shapes['embedding/kernel'])}; a ViT over xyz needs square "
            "patches of 3 channels"
        )
    return ViTConfig(
        width=width,
        depth=_depth(shapes, r"Transformer/encoderblock_(\d+)/.*"),
        heads=shapes[query][1],
        mlp_width=shapes[mlp][1],
        patch_size=rows,
        norm_eps=1e-6,  # Flax's LayerNorm
        **ours,
    )


def _google_key_map(config: ViTConfig, source: Source) -> KeyMap:
    """Maps the tensors of Google's checkpoints; allows for the numbering of both codebases.

    https://github.com/google-research/vision_transformer and its successor, big_vision.
    """
    shapes = _google_shapes(source)
    key = next((k for k in shapes if k.endswith("pos_embedding")), None)
    tokens = shapes[key][1] if key else 0
    positions = keymap.positions(source_grid(tokens, config, None), config.grid)
    block, ours = r"Transformer/encoderblock_(\d+)/", r"blocks/\1/"
    attention = block + r"MultiHeadDotProductAttention_[10]/"
    same = keymap.SAME
    return KeyMap(
        prefix=_GOOGLE_PREFIX,
        rules=(
            (r"cls", "class_token", keymap.TOKEN),
            (r"(?:Transformer/posembed_input/)?pos_embedding", "positions", positions),
            (r"embedding/kernel", "patch_embed/kernel", keymap.PATCHES_JAX),
            (r"embedding/bias", "patch_embed/bias", same),
            (block + r"LayerNorm_0/(scale|bias)", ours + r"attention_norm/\2", same),
            (attention + r"(query|key|value|out)/(kernel|bias)", ours + r"attention/\2/\3", same),
            (block + r"LayerNorm_[21]/(scale|bias)", ours + r"mlp_norm/\2", same),
            (block + r"MlpBlock_[30]/Dense_0/(kernel|bias)", ours + r"mlp/up/\2", same),
            (block + r"MlpBlock_[30]/Dense_1/(kernel|bias)", ours + r"mlp/down/\2", same),
        ),
        excused=(r"head/.*", r"pre_logits/.*"),
    )


def _google_norm(path: str) -> tuple[Rule, ...]:
    return ((r"Transformer/encoder_norm/(scale|bias)", path + r"/\1", keymap.SAME),)


# --------------------------------------------------------------------------------------- layouts

HUGGING_FACE = Layout(
    _hugging_face_config, _hugging_face_key_map, functools.partial(keymap.norm, "layernorm")
)

TIMM = Layout(_timm_config, _timm_key_map, functools.partial(keymap.norm, "norm"))

GOOGLE = Layout(_google_config, _google_key_map, _google_norm)


# ------------------------------------------------------------------------------- the family


def _build(
    sizes: Mapping[str, int], section: Mapping[str, Any], inputs: Inputs | None
) -> ViTConfig:
    """Builds the ViT's config from a model.motion section."""
    fields = {name: section[name] for name in ("max_frames", "pool", "padding", "dropout")}
    asked: dict[str, Any] = {**sizes, "patch_size": section["patch_size"]}
    weights = section["weights"]
    if not weights:
        return ViTConfig(**asked, **fields)
    config = config_from(Source(weights), sizes["heads"], **fields)
    check_sizes(config, asked, weights, section["size"])
    return config


FAMILY = MotionFamily(
    ViTConfig,
    ViT,
    variants={"vit": Variant(SIZES, 4, _build, PATCHES_ENTRY)},
    representation=patches_representation,
    key_map=key_map,
    section=patches_section,
)
