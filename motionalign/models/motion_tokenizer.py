"""The motion tokenizer of LLM-AR (Qu et al., 2024): a VQ-VAE that writes motions as sentences.

Encoder and decoder are those of T2M-GPT (Zhang et al., 2023; `models/encdec.py`): 1-D convolutions
over time, halvings of the frame rate, dilated residual blocks. Every person of a clip is encoded
with the same weights. LLM-AR publishes no sizes; what no source states is marked as ours.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.typing import DTypeLike
from ml_collections import ConfigDict

from motionalign import reading
from motionalign.config import Entry, Field
from motionalign.data.bodies import FIELDS, Bodies, BodiesConfig
from motionalign.models import layers
from motionalign.models.architecture import Architecture, ArchitectureConfig, Known
from motionalign.models.frozen import FrozenWeights
from motionalign.models.quantizers import (
    CODEBOOKS,
    CONTINUOUS,
    Quantized,
    Quantizer,
    QuantizerConfig,
    State,
)
from motionalign.models.weights import keymap
from motionalign.models.weights.keymap import KeyMap
from motionalign.models.weights.source import Source


@dataclasses.dataclass(frozen=True)
class MotionTokenizerConfig(ArchitectureConfig):
    """Sizes of a motion tokenizer.

    Attributes:
      bodies: the input: J joints of M persons in F frames, a multiple of 2**down.
      quantizer: the codebook.
      width: channels of the convolutions. T2M-GPT: 512.
      down: number of halvings; a sentence has F / 2**down tokens per person. T2M-GPT: 2.
      depth: residual blocks per halving. T2M-GPT: 3.
      growth: factor of the dilation from block to block. T2M-GPT: 3.
      activation: a key of `layers.ACTIVATIONS`. T2M-GPT: "relu".
      velocities: whether the encoder also sees differences between frames (ours).
      reach: number of neighbours on each side that predict a token; 0: no predictor. Ours.
      words: vocabulary size V of the language model with whose word embeddings the codes are
        aligned; 0: none.
      word_samples: number of word embeddings that a training step compares. Ours.
    """

    bodies: BodiesConfig
    quantizer: QuantizerConfig
    width: int = 512
    down: int = 2
    depth: int = 3
    growth: int = 3
    activation: str = "relu"
    velocities: bool = True
    reach: int = 0
    words: int = 0
    word_samples: int = 512

    def __post_init__(self) -> None:
        """Raises a ValueError for invalid names or values."""
        layers.check_types(type(self), vars(self))
        layers.check_choice(self.activation, layers.ACTIVATIONS, "MotionTokenizerConfig.activation")
        for name in ("width", "depth", "growth", "word_samples"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least 1")
        for name in ("down", "reach", "words"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} is {getattr(self, name)}; it must not be negative")
        if self.frames % 2**self.down:
            raise ValueError(
                f"frames is {self.frames}; with down={self.down} it must be a multiple of "
                f"{2**self.down}"
            )

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "MotionTokenizerConfig":
        """Inverse of `to_dict`; unknown or missing names raise a ValueError."""
        reading.check_form(values, dict, cls.__name__)
        values = dict(values)
        if "bodies" in values:
            values["bodies"] = BodiesConfig.from_dict(values["bodies"])
        if "quantizer" in values:
            values["quantizer"] = QuantizerConfig.from_dict(values["quantizer"])
        return super().from_dict(values)

    @property
    def joints(self) -> int:
        """J."""
        return self.bodies.joints

    @property
    def frames(self) -> int:
        """F."""
        return self.bodies.frames

    @property
    def root(self) -> int:
        """Index of the root joint, relative to which the others are encoded (ours)."""
        return self.bodies.root

    def representation(self, frame_bucket: int) -> Bodies:
        """Joints of all persons, resized to F frames."""
        return Bodies(self.bodies)

    def key_map(self, under: str) -> KeyMap:
        """The key map of a language model's word embeddings; its other tensors are not read."""
        assert under == WORDS, under
        table = r"embed_tokens\.weight"
        return KeyMap(
            prefix=r"model\.",
            rules=((table, "embedding", keymap.SAME),),
            excused=(rf"(?!{table}).*",),
        )

    @property
    def groups(self) -> tuple[int, int, int, int]:
        """Channels of joints about the root, and of its steps, its height and its place."""
        return 3 * (self.joints - 1), 2, 1, 3 if self.bodies.persons > 1 else 0

    @property
    def channels(self) -> int:
        """C, the number of channels of a person."""
        return sum(self.groups)

    @property
    def tokens(self) -> int:
        """W, the number of tokens per person."""
        return self.frames // 2**self.down


class TokenizerOutputs(NamedTuple):
    """Outputs of a tokenizer for a batch.

    Attributes:
      reconstruction: [B, F, M, J, 3] metres, 0 for absent persons.
      target: [B, F, M, J, 3] metres, the input.
      persons: [B, M] bool, which persons are present.
      predicted: [B, M, F, C] float32, the decoder's output: the joints about the root and its
        path, normalised; see `MotionTokenizer._channels`.
      wanted: [B, M, F, C] float32, the same of the input.
      quantized: the features [B, M, W, D] as quantised.
      summaries: [B, M, W, D] float32, prediction of each token's vector from its neighbours; None
        without a predictor.
      code_vectors: [U, D] the codes' vectors; None of continuous features.
      words: [S, D] a sample of the word embeddings; None without them.
    """

    reconstruction: jax.Array
    target: jax.Array
    persons: jax.Array
    predicted: jax.Array
    wanted: jax.Array
    quantized: Quantized
    summaries: jax.Array | None
    code_vectors: jax.Array | None
    words: jax.Array | None


_GAIN = 0.1
"""Of the last convolutions at the start, which add to the principal components. Ours."""


class Conv(nnx.Module):
    """1-D convolution over the frames [N, F, C], padded with zeros to F / stride frames.

    Computed as one matrix product per tap, which a CPU does faster than a dilated convolution.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        taps: int,
        dtype: DTypeLike,
        rngs: nnx.Rngs,
        stride: int = 1,
        gain: float = 1.0,
    ) -> None:
        """Initializes a kernel [taps, inputs, outputs], times `gain`, and a bias, as PyTorch."""
        init = layers.torch_linear(taps * inputs)
        self.kernel = nnx.Param(gain * init(rngs.params(), (taps, inputs, outputs)))
        self.bias = nnx.Param(init(rngs.params(), (outputs,)))
        self.stride, self.dtype = stride, dtype

    def __call__(self, x: jax.Array, dilation: int = 1) -> jax.Array:
        """Maps [N, F, inputs] to [N, F / stride, outputs]."""
        kernel = self.kernel[...].astype(self.dtype)
        taps, frames = len(kernel), x.shape[1]
        margin = (taps - 1) * dilation + 1 - self.stride
        x = jnp.pad(x.astype(self.dtype), ((0, 0), (margin // 2, margin - margin // 2), (0, 0)))
        y = self.bias[...].astype(self.dtype)
        for tap in range(taps):
            start = tap * dilation
            y = y + x[:, start : start + frames : self.stride] @ kernel[tap]
        return y


class ResidualBlock(nnx.Module):
    """Activation, dilated convolution, activation, convolution of one tap; added to the input."""

    def __init__(self, width: int, activation: str, dtype: DTypeLike, rngs: nnx.Rngs) -> None:
        self.dilated = Conv(width, width, 3, dtype, rngs)
        self.mixed = Conv(width, width, 1, dtype, rngs)
        self.activation = activation

    def __call__(self, x: jax.Array, dilation: int) -> jax.Array:
        """Maps [N, F, C] to [N, F, C]."""
        act = layers.ACTIVATIONS[self.activation]
        return x + self.mixed(act(self.dilated(act(x), dilation)))


class Stage(nnx.Module):
    """Residual blocks of falling dilation at one frame rate (T2M-GPT's "reverse_dilation")."""

    def __init__(self, config: MotionTokenizerConfig, dtype: DTypeLike, rngs: nnx.Rngs) -> None:
        c = self.config = config
        self.blocks = layers.repeat(
            c.depth, lambda rngs: ResidualBlock(c.width, c.activation, dtype, rngs), rngs
        )

    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps [N, F, C] to [N, F, C]."""
        for place, block in enumerate(self.blocks):
            x = block(x, self.config.growth ** (self.config.depth - 1 - place))
        return x


class Encoder(nnx.Module):
    """Frames [N, F, C] to features [N, W, D]."""

    def __init__(
        self, config: MotionTokenizerConfig, inputs: int, dtype: DTypeLike, rngs: nnx.Rngs
    ) -> None:
        c = self.config = config
        self.first = Conv(inputs, c.width, 3, dtype, rngs)
        self.halvings = nnx.List(
            [Conv(c.width, c.width, 4, dtype, rngs, stride=2) for _ in range(c.down)]
        )
        self.stages = nnx.List([Stage(c, dtype, rngs) for _ in range(c.down)])
        self.last = Conv(c.width, c.quantizer.width, 3, dtype, rngs, gain=_GAIN)

    def __call__(self, frames: jax.Array) -> jax.Array:
        """See the class."""
        x = layers.ACTIVATIONS[self.config.activation](self.first(frames))
        for halving, stage in zip(self.halvings, self.stages, strict=True):
            x = stage(halving(x))
        return self.last(x)


class Decoder(nnx.Module):
    """Vectors [N, W, D] to frames [N, F, C]."""

    def __init__(
        self, config: MotionTokenizerConfig, outputs: int, dtype: DTypeLike, rngs: nnx.Rngs
    ) -> None:
        c = self.config = config
        self.first = Conv(c.quantizer.width, c.width, 3, dtype, rngs)
        self.stages = nnx.List([Stage(c, dtype, rngs) for _ in range(c.down)])
        self.doublings = nnx.List([Conv(c.width, c.width, 3, dtype, rngs) for _ in range(c.down)])
        self.mixed = Conv(c.width, c.width, 3, dtype, rngs)
        self.last = Conv(c.width, outputs, 3, dtype, rngs, gain=_GAIN)

    def __call__(self, vectors: jax.Array) -> jax.Array:
        """See the class."""
        act = layers.ACTIVATIONS[self.config.activation]
        x = act(self.first(vectors))
        for stage, doubling in zip(self.stages, self.doublings, strict=True):
            x = doubling(jnp.repeat(stage(x), 2, axis=1))
        return self.last(act(self.mixed(x)))


class ContextPredictor(nnx.Module):
    """Predicts each token's vector from those of its neighbours within `reach`, itself excluded."""

    def __init__(self, config: MotionTokenizerConfig, dtype: DTypeLike, rngs: nnx.Rngs) -> None:
        c = self.config = config
        inputs = c.quantizer.width
        self.left = Conv(inputs, c.width, c.reach, dtype, rngs)
        self.right = Conv(inputs, c.width, c.reach, dtype, rngs)
        self.out = Conv(c.width, inputs, 1, dtype, rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps vectors [N, W, D] to predictions [N, W, D], float32."""
        reach, tokens = self.config.reach, x.shape[1]
        x = jnp.pad(x, ((0, 0), (reach, reach), (0, 0)))
        left = sum_of_taps(self.left, x, 0, tokens)
        right = sum_of_taps(self.right, x, reach + 1, tokens)
        hidden = layers.ACTIVATIONS[self.config.activation](left + right)
        return self.out(hidden).astype(jnp.float32)


def sum_of_taps(conv: Conv, x: jax.Array, start: int, length: int) -> jax.Array:
    """A convolution's output at frame f from frames start + f to start + f + taps - 1."""
    kernel = conv.kernel[...].astype(conv.dtype)
    y = conv.bias[...].astype(conv.dtype)
    for tap in range(len(kernel)):
        y = y + x[:, start + tap : start + tap + length].astype(conv.dtype) @ kernel[tap]
    return y


class WordTable(nnx.Module):
    """The word embeddings of a language model, a reference for the codes; never trained."""

    def __init__(self, count: int, width: int, rngs: nnx.Rngs) -> None:
        self.embedding = nnx.Param(layers.published(rngs.params(), (count, width)))


class MotionTokenizer(nnx.Module):
    """VQ-VAE over the frames of each person: motions to sentences of codes, and back."""

    def __init__(
        self, config: MotionTokenizerConfig, dtype: DTypeLike = jnp.float32, *, rngs: nnx.Rngs
    ) -> None:
        """Initializes random float32 parameters; `dtype` is the convolutions' compute dtype."""
        c = self.config = config
        channels = c.channels
        inputs = 2 * channels if c.velocities else channels
        self.encoder = Encoder(c, inputs, dtype, rngs)
        self.quantizer = Quantizer(c.quantizer, dtype, rngs=rngs)
        self.decoder = Decoder(c, channels, dtype, rngs)
        self.mean = State(jnp.zeros((channels,)))
        self.deviation = State(jnp.ones((channels,)))
        self.pace = State(jnp.ones((channels,)))
        self.batches = State(jnp.zeros((), jnp.int32))
        size = channels * 2**c.down
        self.basis = State(jnp.zeros((size, min(size, c.quantizer.inner))))
        self.context = ContextPredictor(c, dtype, rngs) if c.reach else None
        self.words = WordTable(c.words, c.quantizer.width, rngs) if c.words else None

    # ----------------------------------------------------------------------- motions and channels

    def _channels(self, bodies: jax.Array) -> jax.Array:
        """Bodies [B, F, M, J, 3] to channels [B, M, F, C] in metres.

        Joints about the root, and of the root its height and its horizontal steps from frame to
        frame, so that a movement has the same tokens wherever it takes place; as HumanML3D (Guo et
        al., 2022) describes a root. Of several persons, also where each stands from the first.
        """
        c = self.config
        if bodies.ndim != 5 or bodies.shape[1:2] + bodies.shape[3:] != (c.frames, c.joints, 3):
            raise ValueError(
                f"a batch of bodies has shape {bodies.shape}; this model takes "
                f"[clips, {c.frames} frames, persons, {c.joints} joints, 3]"
            )
        x = bodies.astype(jnp.float32).transpose(0, 2, 1, 3, 4)  # [B, M, F, J, 3]
        root = x[..., c.root, :]
        about = jnp.delete(x - root[..., None, :], c.root, axis=-2, assume_unique_indices=True)
        steps = jnp.diff(root, axis=2, prepend=root[:, :, :1])
        parts = [about.reshape(*about.shape[:3], -1), steps[..., ::2], root[..., 1:2]]
        if c.bodies.persons > 1:
            parts.append(root - root[:, :1])
        return jnp.concatenate(parts, axis=-1)

    def _bodies(self, channels: jax.Array, persons: jax.Array) -> jax.Array:
        """Inverse of `_channels`, for first persons that start at the origin.

        Where the first person is absent, the others' places are those from the origin.
        """
        c = self.config
        about, steps, height, apart = jnp.split(channels, np.cumsum(c.groups)[:-1], axis=-1)
        about = about.reshape(*about.shape[:3], c.joints - 1, 3)
        path = jnp.cumsum(steps, axis=2)
        root = jnp.concatenate([path[..., :1], height, path[..., 1:]], axis=-1)
        if c.bodies.persons > 1:
            first = jnp.where(persons[:, :1, None, None], root[:, :1], 0.0)
            root = jnp.concatenate([first, first + apart[:, 1:]], axis=1)
        about = jnp.insert(about, c.root, 0.0, axis=-2)
        return (about + root[..., None, :]).transpose(0, 2, 1, 3, 4)

    def _measure(self, channels: jax.Array, persons: jax.Array) -> None:
        """Takes mean and deviation of the channels from the first training batch (ours).

        All joints about the root have one deviation, as have the root's steps, its height and its
        place, so that the loss weighs joints by how far they move and not up the noise of those
        that hardly do. Deviations have a lower bound of 1 cm, and 1 mm per frame for velocities.
        """
        first = (self.batches[...] == 0) & persons.any()
        weights = jnp.broadcast_to(persons[:, :, None, None], channels.shape).astype(jnp.float32)

        def mean_of(x: jax.Array) -> jax.Array:
            kept = weights[:, :, : x.shape[2]]
            total = jnp.maximum(kept.sum((0, 1, 2)), 1.0)
            return jnp.where(kept > 0, x, 0.0).sum((0, 1, 2)) / total

        mean = mean_of(channels)
        deviation = jnp.sqrt(self._shared(mean_of(jnp.square(channels - mean))))
        pace = jnp.sqrt(self._shared(mean_of(jnp.square(jnp.diff(channels, axis=2)))))
        steps = self._of_group == 1
        deviation = jnp.maximum(deviation, jnp.where(steps, 1e-3, 1e-2))
        self.mean[...] = jnp.where(first, mean, self.mean[...])
        self.deviation[...] = jnp.where(first, deviation, self.deviation[...])
        self.pace[...] = jnp.where(first, jnp.maximum(pace, 1e-3), self.pace[...])
        self.batches[...] = self.batches[...] + persons.any()
        patches = jnp.where(persons[..., None, None], self._patches(self._normalised(channels)), 0)
        self.basis[...] = jax.lax.cond(
            first, lambda: _principal(patches, self.basis[...].shape[1]), lambda: self.basis[...]
        )

    def _patches(self, channels: jax.Array) -> jax.Array:
        """Channels [B, M, F, C] as the frames of each token [B, M, W, F / W · C]."""
        return channels.reshape(*channels.shape[:2], self.config.tokens, -1)

    @property
    def _of_group(self) -> np.ndarray:
        """[C] the group of each channel; see `MotionTokenizerConfig.groups`."""
        return np.repeat(np.arange(len(self.config.groups)), self.config.groups)

    def _shared(self, squares: jax.Array) -> jax.Array:
        """The means of channels [C] over those of the same group."""
        own = self._of_group[:, None] == self._of_group
        return jnp.where(own, squares, 0.0).sum(axis=1) / own.sum(axis=1)

    def _normalised(self, channels: jax.Array) -> jax.Array:
        return (channels - self.mean[...]) / self.deviation[...]

    def _encode(self, channels: jax.Array) -> jax.Array:
        """Channels [B, M, F, C] in metres to features [B, M, W, D].

        The convolutions add to principal components of the frames of a token, with which codes tell
        more of a motion than with what convolutions learn alone (ours).
        """
        x = self._normalised(channels)
        components = self._patches(x) @ self.basis[...]
        if self.config.velocities:
            steps = jnp.diff(channels, axis=2, prepend=channels[:, :, :1]) / self.pace[...]
            x = jnp.concatenate([x, steps], axis=-1)
        features = self.encoder(x.reshape(-1, *x.shape[2:]))
        features = features.reshape(*x.shape[:2], *features.shape[1:])
        return features + self.quantizer.raised(components)

    def _decode(self, vectors: jax.Array) -> jax.Array:
        """Vectors [B, M, W, D] to normalised channels [B, M, F, C], float32."""
        x = self.decoder(vectors.reshape(-1, *vectors.shape[2:])).astype(jnp.float32)
        x = x.reshape(*vectors.shape[:2], *x.shape[1:])
        components = self.quantizer.lowered(vectors, self.basis[...].shape[1])
        return x + (components @ self.basis[...].T).reshape(x.shape)

    def _metres(self, normalised: jax.Array, persons: jax.Array) -> jax.Array:
        """Normalised channels [B, M, F, C] to bodies [B, F, M, J, 3], 0 for absent persons."""
        bodies = self._bodies(normalised * self.deviation[...] + self.mean[...], persons)
        return jnp.where(persons[:, None, :, None, None], bodies, 0.0)

    # ----------------------------------------------------------------------------------- in use

    def features(self, bodies: jax.Array, persons: jax.Array) -> jax.Array:
        """The encoder's features [B, M, W, D] of bodies [B, F, M, J, 3], before quantisation."""
        bodies = jnp.where(persons[:, None, :, None, None], bodies, 0.0)
        return self._encode(self._channels(bodies))

    def quantize(self, bodies: jax.Array, persons: jax.Array) -> Quantized:
        """The quantised features of bodies [B, F, M, J, 3] with persons [B, M], in evaluation."""
        return self.quantizer(self.features(bodies, persons), persons[..., None])

    def codes(self, bodies: jax.Array, persons: jax.Array) -> jax.Array:
        """The sentences [B, M, W] int32 of bodies [B, F, M, J, 3]; -1 for absent persons."""
        codes = self.quantize(bodies, persons).codes
        if codes is None:
            raise ValueError("a tokenizer of continuous features (quantizer 'none') has no codes")
        return codes

    def embed(self, bodies: jax.Array, persons: jax.Array) -> jax.Array:
        """The sentences as vectors [B, M, W, D] float32: the codes', or continuous features."""
        return self.quantize(bodies, persons).vectors

    def scale_of_words(self) -> jax.Array:
        """Root mean square of the codes' vectors; 1 of continuous features."""
        if not self.config.quantizer.has_codes:
            return jnp.ones(())
        return jnp.sqrt(jnp.mean(jnp.square(self.quantizer.vectors())))

    def measured(self, batch: Mapping[str, jax.Array]) -> dict[str, jax.Array]:
        """Per clip of a batch: errors [B] and `codes` [B, M, W].

        `error_mm` is the mean distance of joints, to which the path adds the errors of all steps
        before; `pose_mm` is that of joints about the root. Continuous features have no codes.
        """
        found, persons = self(batch), batch["persons"]
        root = slice(self.config.root, self.config.root + 1)

        def error(rebuilt: jax.Array, target: jax.Array) -> jax.Array:
            distances = jnp.sqrt(jnp.sum(jnp.square(rebuilt - target), axis=-1))
            of_person = distances.mean(axis=(1, 3))  # [B, M]
            total = jnp.where(persons, of_person, 0.0).sum(1)
            return 1000 * total / jnp.maximum(persons.sum(1), 1)

        both = found.reconstruction, found.target
        about = (x - x[..., root, :] for x in both)
        out = {"error_mm": error(*both), "pose_mm": error(*about)}
        return out if found.quantized.codes is None else out | {"codes": found.quantized.codes}

    def rebuilt(self, batch: Mapping[str, jax.Array]) -> dict[str, jax.Array]:
        """Of a batch, `target` and `reconstruction` [B, F, M, J, 3] and `persons` [B, M]."""
        found = self(batch)
        return {
            "target": found.target,
            "reconstruction": found.reconstruction,
            "persons": found.persons,
        }

    def decode(self, codes: jax.Array) -> jax.Array:
        """Bodies [B, F, M, J, 3] in metres of sentences [B, M, W]; 0 for persons of codes -1."""
        return self._metres(self._decode(self.quantizer.look_up(codes)), (codes >= 0).all(-1))

    def __call__(
        self, batch: Mapping[str, jax.Array], rngs: nnx.Rngs | None = None
    ) -> TokenizerOutputs:
        """Encodes, quantises and decodes a batch.

        Args:
          batch: `bodies` [B, F, M, J, 3] float32 metres and `persons` [B, M] bool.
          rngs: stream `dropout` in training, in which the non-parameter state is updated; None in
            evaluation.
        """
        persons = batch["persons"]
        # The coordinates of absent persons may be anything, also NaN.
        bodies = jnp.where(persons[:, None, :, None, None], batch["bodies"], 0.0)
        channels = self._channels(bodies)
        if rngs is not None:
            self._measure(channels, persons)
        quantized = self.quantizer(self._encode(channels), persons[..., None], rngs)
        predicted = self._decode(quantized.vectors)
        vectors = quantized.vectors
        summaries = words = None
        if self.context is not None:
            summaries = self.context(vectors.reshape(-1, *vectors.shape[2:])).reshape(vectors.shape)
        if self.words is not None:
            words = self._sample_of_words(rngs)
        return TokenizerOutputs(
            reconstruction=self._metres(predicted, persons),
            target=bodies,
            persons=persons,
            predicted=predicted,
            wanted=self._normalised(channels),
            quantized=quantized,
            summaries=summaries,
            code_vectors=None if quantized.codes is None else self.quantizer.vectors(),
            words=words,
        )

    def _sample_of_words(self, rngs: nnx.Rngs | None) -> jax.Array:
        """[S, D] word embeddings, random ones in training and evenly spaced ones in evaluation."""
        c = self.config
        assert self.words is not None
        ids = jnp.linspace(0, c.words - 1, c.word_samples).astype(jnp.int32)
        if rngs is not None:
            ids = jax.random.randint(rngs.dropout(), (c.word_samples,), 0, c.words)
        return self.words.embedding[...][ids].astype(jnp.float32)


def _principal(rows: jax.Array, count: int) -> jax.Array:
    """The `count` principal axes [L, count] of rows [..., L] about 0, the largest first."""
    rows = rows.reshape(-1, rows.shape[-1])
    squares = jnp.matmul(rows.T, rows, precision=jax.lax.Precision.HIGHEST)
    return jnp.linalg.eigh(squares)[1][:, ::-1][:, :count]


# From a config -----------------------------------------------------------------------------------


WORDS = "words"  # path of the language model's word embeddings

_FIELDS = {
    "quantizer": Field(
        "hyperbolic",
        "The codebook: in the Poincaré ball (hyperbolic), euclidean, or none for continuous "
        "features.",
        choices={kind: Entry() for kind in (*CODEBOOKS, CONTINUOUS)},
    ),
    "codes": Field(512, "Number of codes.", low=2, high=10**6),
    "words": Field(
        None,
        "Language model whose word embeddings are as wide as the codes, and with which the codes "
        "are aligned: a folder, Hub id or .gguf file. Unset: config.model.tokenizer.vector_width.",
        str,
    ),
    "vector_width": Field(
        None, "Width of the codes' vectors; unset: that of the words.", int, low=1, high=65536
    ),
    "factor": Field(
        None,
        "Width of the space in which codes are looked up; unset: that of their vectors.",
        int,
        low=1,
        high=65536,
    ),
    "decay": Field(0.99, "Decay of the codebook's moving averages.", low=0, below=1),
    "revive": Field(
        0.03,
        "A code whose average use is below this share of the mean over the codes is replaced.",
        low=0,
        high=1,
    ),
    "curvature": Field(1.0, "Curvature c of the Poincaré ball.", above=0, high=10**3),
    "standardise": Field(
        True, "Whether features are centred and scaled to a norm of 1 before they are looked up."
    ),
    "persons": Field(1, "The most persons of a clip.", low=1, high=16),
    "frames": Field(64, "Number of frames that clips are resized to.", low=2, high=10**4),
    "face": Field(True, "Whether clips are turned so that the first person faces +Z."),
    "width": Field(512, "Channels of the convolutions.", low=1, high=65536),
    "down": Field(2, "Number of halvings of the frame rate.", low=0, high=16),
    "depth": Field(3, "Residual blocks per halving.", low=1, high=100),
    "growth": Field(3, "Factor of the dilation from block to block.", low=1, high=100),
    "velocities": Field(True, "Whether the encoder also sees differences between frames."),
    "reach": Field(
        2, "Number of neighbours on each side that predict a token (context bias).", low=1, high=64
    ),
    "word_samples": Field(
        512, "Number of word embeddings that a training step is aligned with.", low=2, high=10**6
    ),
}


def _resolve(config: ConfigDict, known: Known) -> MotionTokenizerConfig:
    """See `Architecture.resolve`."""
    c, loss = config.model.tokenizer, config.loss
    if known.metadata is None or config.model.weights:
        raise ValueError(
            "a motion tokenizer is trained from scratch: leave config.model.weights unset"
        )
    if not (c.words or c.vector_width):
        raise ValueError(
            "config.model.tokenizer.words is unset: name the language model that will read the "
            "tokens, or set config.model.tokenizer.vector_width to the width of its words"
        )
    if loss.alignment and not c.words:
        raise ValueError(
            f"config.loss.alignment={loss.alignment:g} compares codes with the words of a language "
            "model: set config.model.tokenizer.words, or the weight to 0"
        )
    width, vocabulary = c.vector_width, 0
    if c.words:
        source = Source(c.words)
        found = dict(source.config())
        with source.naming_config():
            reading.check_form(found, {"hidden_size": int, "vocab_size": int}, "config.json")
        width, vocabulary = found["hidden_size"], found["vocab_size"]
        if c.vector_width not in (None, width):
            raise ValueError(
                f"config.model.tokenizer.vector_width is {c.vector_width}, but the words of "
                f"{c.words} have width {width}: leave it unset"
            )
    quantizer = QuantizerConfig(
        c.quantizer, c.codes, width, c.factor, c.decay, c.revive, c.curvature, c.standardise
    )
    return MotionTokenizerConfig(
        bodies=BodiesConfig.of(known.metadata.skeleton, c.persons, c.frames, c.face),
        quantizer=quantizer,
        width=c.width,
        down=c.down,
        depth=c.depth,
        growth=c.growth,
        velocities=c.velocities,
        reach=c.reach if loss.context else 0,
        words=vocabulary if loss.alignment else 0,
        word_samples=c.word_samples,
    )


def _frozen(config: ConfigDict, architecture: MotionTokenizerConfig) -> tuple[FrozenWeights, ...]:
    """See `Architecture.frozen`: the word embeddings."""
    if not architecture.words:
        return ()
    return (FrozenWeights.of(WORDS, config.model.tokenizer.words, "float32"),)


def _load(
    params: dict[str, Any],
    config: ConfigDict,
    architecture: MotionTokenizerConfig,
    trained: Any,
) -> dict[str, Any]:
    """See `Architecture.load`: nothing is loaded."""
    return params


ARCHITECTURE = Architecture(
    config=MotionTokenizerConfig,
    module=MotionTokenizer,
    entry=Entry(
        ("model.weights",),
        {
            **{f"model.tokenizer.{name}": field for name, field in _FIELDS.items()},
            **FIELDS,
            "optim.groups.motion_tokenizer.match": Field(
                "(encoder|quantizer|decoder|context)/.*", "Regex of the parameters."
            ),
            "optim.groups.motion_tokenizer.lr": Field(2e-4, "Peak learning rate.", low=0),
            "optim.groups.motion_tokenizer.layer_decay": Field(
                1.0, "Factor of the learning rate per layer.", low=1, high=1
            ),
        },
    ),
    groups=("motion_tokenizer",),
    resolve=_resolve,
    load=_load,
    frozen=_frozen,
    in_use=lambda config: dataclasses.replace(config, words=0),
)
