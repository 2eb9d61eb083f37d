"""Transformers over frames of joints: GaitFormer and the ACTOR-style encoder of Walk and Text.

A token is a frame with its joints flattened. GaitFormer (Cosma and Radoi, 2022) has norms before
attention and MLP and learned positions. The encoder of Walk and Text (§III), from ACTOR (Petrovich
et al., 2021), has norms after them and sinusoidal positions. Both use the first frame's output
token as the feature of a clip.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.typing import DTypeLike

from motionalign.data.augment import WINDOWS
from motionalign.data.representation import REPRESENTATIONS, Joints, inputs
from motionalign.models import layers
from motionalign.models.family import FRAMES_ENTRY, Inputs, MotionFamily, Variant
from motionalign.models.weights import keymap
from motionalign.models.weights.keymap import KeyMap, Rule


@dataclasses.dataclass(frozen=True)
class MotionTransformerConfig(layers.Config):
    """Sizes and readout of a transformer over frames.

    Attributes:
      joints, channels: number of joints and of channels per joint; 3D joints have 3 channels, 6D
        rotations 6.
      width, depth, heads, mlp_width: sizes of the transformer.
      norm: "pre" or "post": position of the norms.
      positions: "learned" or "sinusoidal".
      frames: number of frames per clip, F; shorter clips repeat their last frame.
      input: meaning of the channels, one of `representation.inputs`.
      window: selects F frames of a longer clip, one of `augment.WINDOWS`.
      readout: "first": the token of the first frame; "mean": the mean over the tokens.
      root: joint whose position in the first frame becomes the origin; None: the origin is kept.
      dims: number of channels that are coordinates and move with the origin. 2D joints have their
        confidence as a third channel; the published code subtracts the root's from it too.
      dropout: rate on attention weights, after both layers of the MLP and after attention; with
        sinusoidal positions also on the embedding.
      activation: a key of `layers.ACTIVATIONS`.
      norm_eps: epsilon of every LayerNorm.
    """

    joints: int
    channels: int
    width: int
    depth: int
    heads: int
    mlp_width: int
    norm: str
    positions: str
    frames: int = 60
    window: str = "first"
    readout: str = "first"
    root: int | None = 0
    dims: int = 3
    dropout: float = 0.1
    activation: str = "gelu"
    norm_eps: float = 1e-5
    input: str = "joints"

    def __post_init__(self) -> None:
        """Raises a ValueError for invalid sizes or names."""
        layers.check_transformer(self)
        layers.check_choice(self.norm, ("pre", "post"), "MotionTransformerConfig.norm")
        kinds = ("learned", "sinusoidal")
        layers.check_choice(self.positions, kinds, "MotionTransformerConfig.positions")
        layers.check_choice(self.readout, ("first", "mean"), "MotionTransformerConfig.readout")
        layers.check_choice(self.window, WINDOWS, "MotionTransformerConfig.window")
        layers.check_choice(self.input, inputs(), "MotionTransformerConfig.input")
        for name in ("joints", "channels", "frames"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least 1")
        if self.root is not None and not 0 <= self.root < self.joints:
            raise ValueError(
                f"root is {self.root}; the joints of the encoder are 0 to {self.joints - 1}"
            )

    @property
    def max_frames(self) -> int:
        """Maximum number of frames per clip, F; the name that encoders of patches use."""
        return self.frames


KINDS: dict[str, dict[str, Any]] = {
    "gaitformer": {"norm": "pre", "positions": "learned"},
    "actor": {"norm": "post", "positions": "sinusoidal"},
}
"""{name in a config: the fields in which the two published encoders differ}."""

SIZES = {
    # Depth and width from Walk and Text (§III-G), heads and MLP from the published code.
    "gaitformer": {"B": {"width": 768, "depth": 12, "heads": 8, "mlp_width": 1536}},
    "actor": {"B": {"width": 768, "depth": 12, "heads": 4, "mlp_width": 1024}},
}


def sinusoids(frames: int, width: int) -> np.ndarray:
    """Sinusoidal positions [F, D] float32: sines in even columns, cosines in odd columns.

    (Vaswani et al., 2017, §3.5.)
    """
    place = np.arange(frames, dtype=np.float32)[:, None]
    rate = np.exp(np.arange(0, width, 2, dtype=np.float32) * np.float32(-np.log(10000.0) / width))
    angles = place * rate
    return np.stack([np.sin(angles), np.cos(angles)], axis=-1).reshape(frames, -1)[:, :width]


def _linear_inits(
    config: MotionTransformerConfig, inputs: int, outputs: int
) -> tuple[nnx.Initializer, nnx.Initializer]:
    """Initializers of a Linear's weights and biases.

    GaitFormer uses PyTorch's defaults; Walk and Text uses Xavier initialization for all matrices.
    """
    default = layers.torch_linear(inputs)
    return (default if config.norm == "pre" else layers.xavier(inputs, outputs)), default


class Block(nnx.Module):
    """Transformer block that equals PyTorch's `TransformerEncoderLayer`."""

    def __init__(self, config: MotionTransformerConfig, dtype: DTypeLike, rngs: nnx.Rngs) -> None:
        """Initializes random parameters as published; `dtype` is the compute dtype."""
        c = self.config = config
        # In PyTorch, query, key and value are one matrix with Xavier initialization; biases are 0.
        in_init = layers.xavier(c.width, 3 * c.width)
        out_init, _ = _linear_inits(c, c.width, c.width)
        self.attention = layers.Attention(
            c.width, c.heads, c.dropout, dtype, rngs, in_init, out_init
        )
        self.attention_norm = layers.LayerNorm(c.width, c.norm_eps, dtype)
        inits = functools.partial(_linear_inits, c)
        self.mlp = layers.MLP(c.width, c.mlp_width, c.activation, dtype, rngs, inits)
        self.mlp_norm = layers.LayerNorm(c.width, c.norm_eps, dtype)

    def _feed_forward(self, x: jax.Array, rngs: nnx.Rngs | None) -> jax.Array:
        rate = self.config.dropout
        x = layers.ACTIVATIONS[self.config.activation](self.mlp.up(x))
        return layers.dropout(self.mlp.down(layers.dropout(x, rate, rngs)), rate, rngs)

    def __call__(
        self,
        x: jax.Array,
        bias: jax.Array | None = None,
        rngs: nnx.Rngs | None = None,
        first: int | None = None,
    ) -> jax.Array:
        """Maps [B, F, D] to [B, F, D], or to its `first` tokens only: [B, first, D]."""
        rate, pre = self.config.dropout, self.config.norm == "pre"
        rows = layers.matrix(x)
        seen = self.attention_norm(rows).reshape(x.shape) if pre else x
        attended = self.attention(seen[:, :first], seen, bias, rngs)
        kept = rows if first is None else layers.matrix(x[:, :first])
        rows = kept + layers.dropout(layers.matrix(attended), rate, rngs)
        if pre:
            rows = rows + self._feed_forward(self.mlp_norm(rows), rngs)
        else:
            rows = self.attention_norm(rows)
            rows = self.mlp_norm(rows + self._feed_forward(rows, rngs))
        return rows.reshape(attended.shape)


class MotionTransformer(nnx.Module):
    """Transformer from frames of joints to frame features and one feature vector per clip."""

    def __init__(
        self, config: MotionTransformerConfig, dtype: DTypeLike = jnp.float32, *, rngs: nnx.Rngs
    ) -> None:
        """Initializes random float32 parameters; `dtype` is the compute dtype."""
        c = self.config = config
        self.dtype = dtype
        inputs = c.joints * c.channels
        inits = _linear_inits(c, inputs, c.width)
        self.frame_embed = layers.Dense((inputs,), (c.width,), dtype, rngs, *inits)
        if c.positions == "learned":
            self.positions = nnx.Param(jax.random.normal(rngs.params(), (c.frames, c.width)))
        self.blocks = layers.repeat(c.depth, lambda rngs: Block(c, dtype, rngs), rngs)

    def embed(self, joints: jax.Array, rngs: nnx.Rngs | None = None) -> jax.Array:
        """Embeds joints [B, F, J, C] as tokens [B, F, D]."""
        c = self.config
        if joints.shape[1:] != (c.frames, c.joints, c.channels):
            raise ValueError(
                f"a batch of clips has shape {joints.shape}; this model takes "
                f"[clips, {c.frames}, {c.joints}, {c.channels}]"
            )
        x = self.frame_embed(joints.reshape(*joints.shape[:2], -1))
        if c.positions == "learned":
            return x + self.positions[...].astype(self.dtype)
        x = x + sinusoids(c.frames, c.width).astype(self.dtype)
        return layers.dropout(x, c.dropout, rngs)

    def __call__(
        self,
        joints: jax.Array,
        num_frames: jax.Array | None = None,
        rngs: nnx.Rngs | None = None,
        *,
        tokens: bool = True,
    ) -> layers.Encoded:
        """Encodes clips.

        Args:
          joints: [B, F, J, C].
          num_frames: ignored; as published, a clip is padded with its last frame.
          rngs: stream `dropout`; None in evaluation.
          tokens: False: the last block computes only what is pooled.

        Returns:
          One token per frame [B, F, D], a mask that is True everywhere, and the feature [B, D]
          pooled by `config.readout`.
        """
        x = self.embed(joints, rngs)
        return layers.encode_and_pool(self.blocks, x, None, None, self.config.readout, rngs, tokens)


# --------------------------------------------------------------------------- published weights


def _encoder_rules(encoder: str) -> tuple[Rule, ...]:
    """Rules for PyTorch's `TransformerEncoder`; `encoder` is the regex of its key prefix."""
    block, ours = encoder + r"layers\.(\d+)\.", r"blocks/\1/"
    return (
        *keymap.heads_fused(block + r"self_attn\.in_proj", "_weight", "_bias", ours + "attention"),
        *keymap.heads_out(block + r"self_attn\.out_proj", ours + "attention/out"),
        *keymap.norm(block + "norm1", ours + "attention_norm"),
        *keymap.linear(block + "linear1", ours + "mlp/up"),
        *keymap.linear(block + "linear2", ours + "mlp/down"),
        *keymap.norm(block + "norm2", ours + "mlp_norm"),
    )


def walktext_key_map() -> KeyMap:
    """Maps the tensors of Walk and Text's `Encoder_TRANSFORMER` to our parameters."""
    return KeyMap(
        prefix="",
        rules=(
            *keymap.linear("skelEmbedding", "frame_embed"),
            *_encoder_rules(r"seqTransEncoder\."),
        ),
        # Two queries that its forward pass does not use, and the buffer of sinusoids.
        excused=("muQuery", "sigmaQuery", r"sequence_pos_encoder\.pe"),
    )


def gaitformer_key_map() -> KeyMap:
    """Maps the encoder of GaitFormer's `GaitFormer` to our parameters."""
    return KeyMap(
        prefix="",
        rules=(
            *keymap.linear("skeleton_encoding", "frame_embed"),
            ("positional_embedding", "positions", keymap.BATCHED),
            *_encoder_rules(r"encoder\."),
        ),
    )


def gait_head_key_map() -> KeyMap:
    """Maps the heads of GaitFormer's `GaitFormer` to our parameters."""
    return KeyMap(
        prefix="",
        rules=(
            (r"out_embedding\.weight", "embedding", keymap.LINEAR),
            *keymap.linear("projection", "projection"),
            *keymap.linear("out_appearance", "attributes"),
        ),
    )


# ------------------------------------------------------------------------------- the family


def _builder(kind: str) -> Callable[..., MotionTransformerConfig]:
    """Returns the function that builds the config of one of `KINDS`; see `Variant.build`."""

    def build(
        sizes: Mapping[str, int], section: Mapping[str, Any], data: Inputs | None
    ) -> MotionTransformerConfig:
        layers.check_choice(section["pool"], ("first", "mean"), "model.motion.pool")
        if section["weights"]:
            raise ValueError(
                f"model.motion.weights={section['weights']}: a published {kind} is a complete "
                "model; convert it with python -m motionalign.convert"
            )
        if data is None:
            raise ValueError(f"model.motion.family={kind!r} needs the data's joints")
        return MotionTransformerConfig(
            joints=data.joints,
            channels=data.channels,
            dims=data.dims,
            window=data.window,
            input=data.input,
            frames=section["max_frames"],
            readout=section["pool"],
            dropout=section["dropout"],
            root=0 if section["root"] and REPRESENTATIONS[data.input].has_root else None,
            **KINDS[kind],
            **sizes,
        )

    return build


def _representation(config: MotionTransformerConfig, frame_bucket: int) -> Joints:
    return REPRESENTATIONS[config.input](
        joints=config.joints,
        channels=config.channels,
        max_frames=config.frames,
        window_of=config.window,
        root=config.root,
        dims=config.dims,
    )


FAMILY = MotionFamily(
    MotionTransformerConfig,
    MotionTransformer,
    variants={kind: Variant(SIZES[kind], 2, _builder(kind), FRAMES_ENTRY) for kind in KINDS},
    representation=_representation,
)
