"""Motion encoder and text encoder with a projection head each, into one space (Motion Patches, §3).

A `DualEncoderConfig` knows every size and is what a checkpoint stores (models/build.py makes it of
a config); `DualEncoder` is the model.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.typing import DTypeLike

from motionalign.data.representation import REPRESENTATIONS
from motionalign.models import layers
from motionalign.models.families import MOTION_FAMILIES, TEXT_FAMILIES, family_of
from motionalign.models.heads import (
    Classifier,
    ClassifierConfig,
    GaitHead,
    GaitHeadConfig,
    ProjectionHead,
)
from motionalign.models.weights.keymap import KeyMap

TEXT_TOWER = "text_encoder"  # its path
MAX_SCALE = 100.0  # a learnt temperature goes no lower than its inverse, as in CLIP


@dataclasses.dataclass(frozen=True)
class DualEncoderConfig(layers.Config):
    """Everything that decides what a dual encoder computes.

    motion: of any family of `MOTION_FAMILIES`; text: of `TEXT_FAMILIES`, or None: no text encoder.
    embed_dim: E of the common space. head_dropout: in the projection heads.
    text_head: False: the text encoder's feature is the embedding, as with the frozen sentence
      encoder of Walk and Text.
    gait_head: GaitFormer's outputs in place of the motion's projection head.
    classifier: likewise a linear classifier; embed_dim is then the number of its classes.
    temperature: of the softmax over similarities; where training starts if learn_temperature.
    max_tokens: texts are cut after so many tokens, special ones included.
    """

    motion: Any
    text: Any
    embed_dim: int = 256
    head_dropout: float = 0.5
    text_head: bool = True
    gait_head: GaitHeadConfig | None = None
    classifier: ClassifierConfig | None = None
    temperature: float = 0.07
    learn_temperature: bool = False
    max_tokens: int = 128

    def __post_init__(self) -> None:
        if self.classifier and self.embed_dim != len(self.classifier.names):
            raise ValueError(
                f"embed_dim is {self.embed_dim}; a classifier of {len(self.classifier.names)} "
                "classes has as many outputs"
            )
        if self.text is not None and not self.text_head and self.text.width != self.embed_dim:
            raise ValueError(
                f"without a text head, embed_dim={self.embed_dim} must be the width of the text "
                f"encoder, {self.text.width}"
            )
        if self.text is not None and not 1 <= self.max_tokens <= self.text.max_positions:
            raise ValueError(
                f"max_tokens is {self.max_tokens}; the text encoder has {self.text.max_positions} "
                "positions"
            )

    @property
    def motion_family(self) -> str:
        """Key of `MOTION_FAMILIES`."""
        return family_of(self.motion, MOTION_FAMILIES)

    @property
    def text_family(self) -> str:
        """Key of `TEXT_FAMILIES`."""
        return family_of(self.text, TEXT_FAMILIES)

    @property
    def class_names(self) -> tuple[str, ...]:
        """Of the classes or attributes that the model tells apart; () where it gives embeddings."""
        if self.classifier:
            return self.classifier.names
        return self.gait_head.attributes if self.gait_head else ()

    def probabilities(self, logits: np.ndarray | jax.Array) -> jax.Array:
        """Logits [N, K] of `class_names` to probabilities, of one class a clip or of any number."""
        if self.classifier and self.classifier.exclusive:
            return jax.nn.softmax(logits, axis=-1)
        return jax.nn.sigmoid(logits)

    @property
    def batch_fields(self) -> tuple[str, ...]:
        """What batches must carry besides clips and tokens."""
        return ("text_vectors",) if self.text is None and self.classifier is None else ()

    def key_map(self, under: str) -> KeyMap:
        """How pretrained tensors become the parameters of a tower that may be frozen."""
        if under != TEXT_TOWER or self.text is None:
            raise ValueError(f"a dual encoder refers to weights of its {TEXT_TOWER}, not {under!r}")
        return TEXT_FAMILIES[self.text_family].key_map()

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types; the sections of the encoders say their family."""
        sections = {"motion": {"family": self.motion_family, **self.motion.to_dict()}}
        if self.text is not None:
            sections["text"] = {"family": self.text_family, **self.text.to_dict()}
        return dataclasses.asdict(self) | sections

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "DualEncoderConfig":
        """Inverse of `to_dict`; unknown or missing names are a ValueError."""
        values = dict(values)
        for section, families in (("motion", MOTION_FAMILIES), ("text", TEXT_FAMILIES)):
            if values.get(section) is not None:
                given = dict(values[section])
                family = given.pop("family", None)
                layers.check_choice(family, families, f"the {section} encoder's family")
                values[section] = families[family].config.from_dict(given)
        if values.get("gait_head") is not None:
            values["gait_head"] = GaitHeadConfig.from_dict(values["gait_head"])
        if values.get("classifier") is not None:
            values["classifier"] = ClassifierConfig.from_dict(values["classifier"])
        return super().from_dict(values)


class Outputs(NamedTuple):
    """What a network makes of a batch.

    Attributes:
      motion: [B, E] embeddings, not normalised, or the logits of a classifier.
      text: [B, E] likewise; None of a classifier.
      scale: what similarities are multiplied by, 1 / temperature.
    """

    motion: jax.Array
    text: jax.Array | None
    scale: jax.Array


class DualEncoder(nnx.Module):
    """Motion and text to vectors that are close where one describes the other.

    Parameters are float32; `dtype` is what towers and heads compute in, with LayerNorm statistics,
    softmax and pooling in float32.
    """

    def __init__(
        self, config: DualEncoderConfig, dtype: DTypeLike = jnp.float32, *, rngs: nnx.Rngs
    ) -> None:
        c = self.config = config
        self.motion_encoder = MOTION_FAMILIES[c.motion_family].module(c.motion, dtype, rngs=rngs)
        if c.text is not None:
            self.text_encoder = TEXT_FAMILIES[c.text_family].module(c.text, dtype, rngs=rngs)
        head = (c.embed_dim, c.head_dropout, dtype)
        if c.classifier:
            self.motion_head = Classifier(c.motion.width, c.embed_dim, dtype, rngs=rngs)
        elif c.gait_head is None:
            self.motion_head = ProjectionHead(c.motion.width, *head, rngs=rngs)
        else:
            self.motion_head = GaitHead(c.motion.width, c.embed_dim, c.gait_head, dtype, rngs=rngs)
        if c.text is not None and c.text_head:
            self.text_head = ProjectionHead(c.text.width, *head, rngs=rngs)
        self.logit_scale = nnx.Param(-jnp.log(jnp.asarray(c.temperature, jnp.float32)))

    def encode_motion(
        self, clips: jax.Array, num_frames: jax.Array | None = None, rngs: nnx.Rngs | None = None
    ) -> jax.Array:
        """Embeddings of motions, not normalised.

        Args:
          clips: [B, F, 5 * N, 3] motion patches of any float dtype, zero beyond a clip's end; for
            encoders of joints [B, F, J, C].
          num_frames: [B] int32, real frames; needed with padding="mask" only.
          rngs: stream `dropout` in training; None in evaluation.

        Returns:
          [B, E] in the compute dtype.
        """
        features = self.motion_encoder(clips, num_frames, rngs, tokens=False).pooled
        return self.motion_head(features, rngs)

    def encode_text(
        self, input_ids: jax.Array, text_mask: jax.Array, rngs: nnx.Rngs | None = None
    ) -> jax.Array:
        """Embeddings of texts, not normalised.

        Args:
          input_ids: [B, L] int32.
          text_mask: [B, L] bool, True at real tokens.
          rngs: stream `dropout` in training; None in evaluation.

        Returns:
          [B, E] in the compute dtype.
        """
        features = self.text_encoder(input_ids, text_mask, rngs, tokens=False).pooled
        return self.text_head(features, rngs) if self.config.text_head else features

    def classify(
        self, clips: jax.Array, num_frames: jax.Array | None = None, rngs: nnx.Rngs | None = None
    ) -> jax.Array:
        """Logits [B, K] of `config.class_names`; arguments as of `encode_motion`."""
        if not self.config.class_names:
            raise ValueError(
                "this model has no classes of its own: it compares motions with any texts, by "
                "`similarity`"
            )
        features = self.motion_encoder(clips, num_frames, rngs, tokens=False).pooled
        if isinstance(self.motion_head, GaitHead):
            return self.motion_head.attribute_logits(features)
        return self.motion_head(features, rngs)

    def __call__(self, batch: Mapping[str, jax.Array], rngs: nnx.Rngs | None = None) -> Outputs:
        """Both embeddings of a batch as `data.TrainingData` makes it.

        Without a text encoder the text's are the sentence vectors of the batch.
        """
        clips = batch[REPRESENTATIONS[self.config.motion.input].field]
        motion = self.encode_motion(clips, batch.get("num_frames"), rngs)
        if self.config.text is not None:
            text = self.encode_text(batch["input_ids"], batch["text_mask"], rngs)
        else:
            text = None if self.config.classifier else batch["text_vectors"]
        return Outputs(motion, text, self.scale())

    def scale(self) -> jax.Array:
        """What similarities are multiplied by: 1 / temperature."""
        logit_scale = self.logit_scale[...]
        if not self.config.learn_temperature:
            logit_scale = jax.lax.stop_gradient(logit_scale)
        return jnp.exp(logit_scale)
