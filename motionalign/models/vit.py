"""Vision Transformer over motion patches (Dosovitskiy et al., 2021; Motion Patches, §3.3).

The "image" has frames as rows and, for each body part, N points as columns. Tokens are N frames
of one body part, numbered row-major: all parts of the first N frames, then of the next N.
"""

import dataclasses
import functools
import math
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from motionalign.models import layers, pretrained
from motionalign.models.layers import Shape

SIZES = {  # Dosovitskiy et al., table 1; Ti and S: Touvron et al., 2021 (DeiT), table 1
    "Ti": {"width": 192, "depth": 12, "heads": 3, "mlp_width": 768},
    "S": {"width": 384, "depth": 12, "heads": 6, "mlp_width": 1536},
    "B": {"width": 768, "depth": 12, "heads": 12, "mlp_width": 3072},
    "L": {"width": 1024, "depth": 24, "heads": 16, "mlp_width": 4096},
}


@dataclasses.dataclass(frozen=True)
class ViTConfig(layers.Config):
    """Sizes and readout of a ViT over motion patches.

    patch_size: N, frames per token and points per body part.
    max_frames: positions exist for ceil(max_frames / patch_size) rows of tokens.
    parts: tokens per row, 5 body parts a person.
    pool: "class": the class token after the final norm. "mean": mean of the patch tokens, then
      `fc_norm`; the class token is attended to but not averaged (timm's global_pool="avg").
    padding: "attend": frames beyond the clip are tokens like any other, as published.
      "mask": tokens without a real frame are neither attended to nor pooled.
    dropout: after the embedding and in each residual branch; 0 as published.
    norm_eps: 1e-6 in timm, 1e-12 in Hugging Face's.
    """

    width: int
    depth: int
    heads: int
    mlp_width: int
    patch_size: int = 16
    max_frames: int = 224
    parts: int = 5
    pool: str = "mean"
    padding: str = "attend"
    dropout: float = 0.0
    activation: str = "gelu"
    norm_eps: float = 1e-6

    def __post_init__(self):
        layers.check_transformer(self)
        layers.check_choice(self.pool, ("mean", "class"), "ViTConfig.pool")
        layers.check_choice(self.padding, ("attend", "mask"), "ViTConfig.padding")

    @property
    def grid(self) -> tuple[int, int]:
        """Tokens of the longest clip: (rows of `patch_size` frames, body parts)."""
        return -(-self.max_frames // self.patch_size), self.parts


class ViT(nnx.Module):
    """Motion patches to one feature vector."""

    def __init__(self, config: ViTConfig, dtype=jnp.float32, *, rngs: nnx.Rngs):
        c = self.config = config
        self.dtype = dtype
        rows, parts = c.grid
        points = c.patch_size * c.patch_size * 3
        init = layers.torch_linear(points)  # a Conv2d in the published code
        self.patch_embed = layers.Dense((points,), (c.width,), dtype, rngs, init, init)
        self.class_token = nnx.Param(1e-6 * jax.random.normal(rngs.params(), (c.width,)))
        # The class token's position, then the grid's.
        self.positions = nnx.Param(layers.published(rngs.params(), (1 + rows * parts, c.width)))
        self.blocks = layers.repeat(c.depth, lambda rngs: layers.PreNormBlock(c, dtype, rngs), rngs)
        norm = layers.LayerNorm(c.width, c.norm_eps, dtype)
        if c.pool == "mean":
            self.fc_norm = norm
        else:
            self.final_norm = norm

    def embed(self, patches, rngs: nnx.Rngs | None = None):
        """Patches [B, F, parts * N, 3] to tokens [B, 1 + F / N * parts, D], class token first."""
        c = self.config
        x = self.patch_embed(layers.patch_tokens(patches, c, self.dtype))
        class_token = jnp.broadcast_to(
            self.class_token[...].astype(self.dtype), (len(patches), 1, c.width)
        )
        x = jnp.concatenate([class_token, x], axis=1)
        x = x + self.positions[: x.shape[1]].astype(self.dtype)
        return layers.dropout(x, c.dropout, rngs)

    def __call__(self, patches, num_frames=None, rngs: nnx.Rngs | None = None):
        """One feature vector a clip.

        Args:
          patches: [B, F, parts * N, 3]; F is max_frames with padding="attend", any multiple of N
            up to it with "mask".
          num_frames: [B] int32, real frames of each clip; used with padding="mask" only.
          rngs: stream `dropout`; None in evaluation.

        Returns:
          [B, D] in the compute dtype.
        """
        x = self.embed(patches, rngs)
        patch_mask = layers.patch_mask(self.config, patches.shape[1], num_frames)
        bias = None
        if patch_mask is not None:
            bias = layers.attention_bias(
                jnp.pad(patch_mask, ((0, 0), (1, 0)), constant_values=True)
            )
        class_pool = self.config.pool == "class"
        for block in self.blocks[:-1]:
            x = block(x, bias, rngs)
        # Of the last block's output only what is pooled is computed.
        x = self.blocks[-1](x, bias, rngs, first=1 if class_pool else None)
        if class_pool:
            return self.final_norm(x[:, 0])
        return self.fc_norm(layers.masked_mean(x[:, 1:], patch_mask))


# --------------------------------------------------------------------------- pretrained weights


class Layout(NamedTuple):
    """How a kind of file holds a ViT.

    config: (source, heads or None, **fields that the source does not know) to ViTConfig.
    key_map: (config, source) to KeyMap, without the final norm.
    final_norm: our path of that norm to its rules.
    """

    config: Callable[..., ViTConfig]
    key_map: Callable[[ViTConfig, pretrained.Source], pretrained.KeyMap]
    final_norm: Callable[[str], tuple[pretrained.Rule, ...]]


def layout(source: pretrained.Source) -> Layout:
    """Which layout a source's files are in."""
    if source.path is not None and source.path.suffix == ".npz":
        return GOOGLE
    if source.has_config():
        config = source.config()
        if "model_type" in config:
            pretrained.check_model_type(config, "vit")
            return HUGGING_FACE
        if "architecture" in config:  # timm's own config.json
            return TIMM
    elif "patch_embed.proj.weight" in source.shapes():
        return TIMM
    raise ValueError(
        f"{source.name} is no ViT that can be read: expected Hugging Face's layout (config.json "
        "with model_type 'vit'), timm's (config.json with its architecture, or a safetensors file "
        "with patch_embed.proj.weight) or Google's .npz"
    )


def config_from(source: pretrained.Source, heads: int | None = None, **ours) -> ViTConfig:
    """The config of a source's ViT.

    Args:
      source: in one of the three layouts.
      heads: where the files do not say; by default all are 64 wide, as in every published ViT.
      ours: the fields that no source knows.
    """
    return layout(source).config(source, heads, **ours)


def key_map(
    config: ViTConfig, source: pretrained.Source, final_norm: str = "fresh"
) -> pretrained.KeyMap:
    """How a source's tensors become ours.

    Args:
      config: of our ViT.
      source: in one of the three layouts.
      final_norm: "fresh": with mean pooling the source's final norm, which was trained on the class
        token, is left out, and `fc_norm` starts at 1 and 0, as in the published code. "load": it
        fills `fc_norm`. With class pooling it is always loaded.
    """
    layers.check_choice(final_norm, pretrained.FINAL_NORM, "final_norm")
    found = layout(source)
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
    """(rows, columns) of a source's positions, of which there are `tokens` with the class token's.

    By the image size where it is known, else ours if it is as large, else a square, else rows of
    one token a body part.
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
    raise ValueError(f"{count} position embeddings are neither a square nor rows of {config.parts}")


def _hugging_face_config(source: pretrained.Source, heads: int | None, **ours) -> ViTConfig:
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


def _hugging_face_key_map(config: ViTConfig, source: pretrained.Source) -> pretrained.KeyMap:
    """`ViTModel`, or a model with it as its base."""
    size = _pair(source.config().get("image_size", 224))
    grid = (size[0] // config.patch_size, size[1] // config.patch_size)
    positions = pretrained.positions(grid, config.grid)
    block, ours = r"encoder\.layer\.(\d+)\.", r"blocks/\1/"
    patches = r"embeddings\.patch_embeddings\.projection\."
    return pretrained.KeyMap(
        prefix=r"vit\.",
        rules=(
            (r"embeddings\.cls_token", "class_token", pretrained.TOKEN),
            (r"embeddings\.position_embeddings", "positions", positions),
            (patches + "weight", "patch_embed/kernel", pretrained.PATCHES),
            (patches + "bias", "patch_embed/bias", pretrained.SAME),
            *pretrained.norm(block + "layernorm_before", ours + "attention_norm"),
            *pretrained.heads_in(
                block + r"attention\.attention\.(query|key|value)", ours + r"attention/\2"
            ),
            *pretrained.heads_out(block + r"attention\.output\.dense", ours + "attention/out"),
            *pretrained.norm(block + "layernorm_after", ours + "mlp_norm"),
            *pretrained.linear(block + r"intermediate\.dense", ours + "mlp/up"),
            *pretrained.linear(block + r"output\.dense", ours + "mlp/down"),
        ),
        excused=(
            r"embeddings\.mask_token",  # this and the next: masked image modelling
            r"decoder\..*",
            r"pooler\..*",
            r"classifier\..*",
        ),
    )


def _pair(size) -> tuple[int, int]:
    """(height, width) of a size that is one number or two."""
    return (size, size) if isinstance(size, int) else tuple(size)


def _square(size, name: str) -> int:
    """The side of a size that must be square."""
    height, width = _pair(size)
    if height != width:
        raise ValueError(f"config.json has {name} {size}; a ViT over motion takes square patches")
    return height


def _timm_config(source: pretrained.Source, heads: int | None, **ours) -> ViTConfig:
    arguments = _timm_arguments(source)
    activation = arguments.get("act_layer") or "gelu"
    return timm_config(
        source.shapes(),
        heads=heads or arguments.get("num_heads"),
        activation={"gelu_tanh": "gelu_pytorch_tanh"}.get(activation, activation),
        **ours,
    )


# Arguments of timm's models that its tensors say too, or that change nothing in evaluation.
_TIMM_ARGUMENTS = (
    *("img_size", "patch_size", "in_chans", "num_classes", "global_pool", "embed_dim", "depth"),
    *("num_heads", "mlp_ratio", "fc_norm", "act_layer", "weight_init", "fix_init"),
    *("drop_rate", "pos_drop_rate", "proj_drop_rate", "attn_drop_rate", "drop_path_rate"),
    *("dynamic_img_size", "dynamic_img_pad", "strict_img_size"),
)


def timm_config(
    shapes: Mapping[str, Shape], heads: int | None = None, norm_eps: float = 1e-6, **ours
) -> ViTConfig:
    """The config of timm's `VisionTransformer` with tensors of these shapes.

    Args:
      shapes: by key.
      heads: by default as many as are 64 wide.
      norm_eps: timm's own by default.
      ours: further fields.
    """
    required = ("patch_embed.proj.weight", "blocks.0.mlp.fc1.weight", "pos_embed")
    if missing := [key for key in required if key not in shapes]:
        raise ValueError(f"not the tensors of a timm ViT: no {', '.join(missing)}")
    width, channels, patch_size, columns = shapes["patch_embed.proj.weight"]
    if channels != 3 or patch_size != columns:
        raise ValueError(
            f"patch_embed.proj.weight is {list(shapes['patch_embed.proj.weight'])}; a ViT over xyz "
            "takes square patches of 3 channels"
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
            f"the weights do not say how many heads there are, and {width} is not a multiple of "
            "the usual width of 64: name the number of heads"
        )
    return heads or width // 64


def _timm_arguments(source: pretrained.Source) -> Mapping[str, Any]:
    """`model_args` of timm's config.json; what we would not compute is a ValueError."""
    arguments = (source.config().get("model_args") or {}) if source.has_config() else {}
    unknown = sorted(set(arguments) - set(_TIMM_ARGUMENTS))
    if unknown:
        raise ValueError(
            f"{source.name}: config.json has model_args {', '.join(unknown)}, which this ViT does "
            "not have"
        )
    return arguments


def _timm_key_map(config: ViTConfig, source: pretrained.Source) -> pretrained.KeyMap:
    shapes = source.shapes()
    size = _timm_arguments(source).get("img_size")
    if size is None and source.has_config():
        trained = source.config().get("pretrained_cfg") or {}
        size = (trained.get("input_size") or (None,))[1:] or None
    tokens = shapes["pos_embed"][1]
    return timm_key_map(config, source_grid(tokens, config, _pair(size) if size else None))


def timm_key_map(config: ViTConfig, grid: tuple[int, int]) -> pretrained.KeyMap:
    """timm's `VisionTransformer` with positions for (rows, columns), without its final norm."""
    block, ours = r"blocks\.(\d+)\.", r"blocks/\1/"
    fused = pretrained.heads_fused(block + r"attn\.qkv", r"\.weight", r"\.bias", ours + "attention")
    fc_norm = pretrained.norm(r"fc_norm", "fc_norm") if config.pool == "mean" else ()
    return pretrained.KeyMap(
        prefix="",
        rules=(
            (r"cls_token", "class_token", pretrained.TOKEN),
            (r"pos_embed", "positions", pretrained.positions(grid, config.grid)),
            (r"patch_embed\.proj\.weight", "patch_embed/kernel", pretrained.PATCHES),
            (r"patch_embed\.proj\.bias", "patch_embed/bias", pretrained.SAME),
            *pretrained.norm(block + "norm1", ours + "attention_norm"),
            *fused,
            *pretrained.heads_out(block + r"attn\.proj", ours + "attention/out"),
            *pretrained.norm(block + "norm2", ours + "mlp_norm"),
            *pretrained.linear(block + r"mlp\.fc1", ours + "mlp/up"),
            *pretrained.linear(block + r"mlp\.fc2", ours + "mlp/down"),
            *fc_norm,  # of a source that was trained with mean pooling
        ),
        excused=(r"head(_dist)?\..*", r"pre_logits\..*"),
    )


_GOOGLE_PREFIX = r"opt/target/|params/(?:img/)?"


def _google_shapes(source: pretrained.Source) -> dict[str, Shape]:
    return {re.sub(f"^(?:{_GOOGLE_PREFIX})", "", k): shape for k, shape in source.shapes().items()}


def _google_config(source: pretrained.Source, heads: int | None, **ours) -> ViTConfig:
    shapes = _google_shapes(source)
    query = next((k for k in shapes if re.fullmatch(r".*encoderblock_0/.*/query/kernel", k)), None)
    mlp = next((k for k in shapes if re.fullmatch(r".*encoderblock_0/.*/Dense_0/kernel", k)), None)
    if query is None or mlp is None or "embedding/kernel" not in shapes:
        raise ValueError(
            f"{source.name} is not one of Google's ViT checkpoints: no embedding/kernel or no "
            "Transformer/encoderblock_0/..., expected as in "
            "https://github.com/google-research/vision_transformer"
        )
    rows, columns, channels, width = shapes["embedding/kernel"]
    if channels != 3 or rows != columns:
        raise ValueError(
            f"embedding/kernel is {list(shapes['embedding/kernel'])}; a ViT over xyz takes square "
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


def _google_key_map(config: ViTConfig, source: pretrained.Source) -> pretrained.KeyMap:
    """https://github.com/google-research/vision_transformer, and its successor's numbering."""
    shapes = _google_shapes(source)
    key = next((k for k in shapes if k.endswith("pos_embedding")), None)
    tokens = shapes[key][1] if key else 0
    positions = pretrained.positions(source_grid(tokens, config, None), config.grid)
    block, ours = r"Transformer/encoderblock_(\d+)/", r"blocks/\1/"
    attention = block + r"MultiHeadDotProductAttention_[10]/"
    same = pretrained.SAME
    return pretrained.KeyMap(
        prefix=_GOOGLE_PREFIX,
        rules=(
            (r"cls", "class_token", pretrained.TOKEN),
            (r"(?:Transformer/posembed_input/)?pos_embedding", "positions", positions),
            (r"embedding/kernel", "patch_embed/kernel", pretrained.PATCHES_JAX),
            (r"embedding/bias", "patch_embed/bias", same),
            (block + r"LayerNorm_0/(scale|bias)", ours + r"attention_norm/\2", same),
            (attention + r"(query|key|value|out)/(kernel|bias)", ours + r"attention/\2/\3", same),
            (block + r"LayerNorm_[21]/(scale|bias)", ours + r"mlp_norm/\2", same),
            (block + r"MlpBlock_[30]/Dense_0/(kernel|bias)", ours + r"mlp/up/\2", same),
            (block + r"MlpBlock_[30]/Dense_1/(kernel|bias)", ours + r"mlp/down/\2", same),
        ),
        excused=(r"head/.*", r"pre_logits/.*"),
    )


def _google_norm(path: str) -> tuple[pretrained.Rule, ...]:
    return ((r"Transformer/encoder_norm/(scale|bias)", path + r"/\1", pretrained.SAME),)


HUGGING_FACE = Layout(
    _hugging_face_config, _hugging_face_key_map, functools.partial(pretrained.norm, "layernorm")
)
TIMM = Layout(_timm_config, _timm_key_map, functools.partial(pretrained.norm, "norm"))
GOOGLE = Layout(_google_config, _google_key_map, _google_norm)
