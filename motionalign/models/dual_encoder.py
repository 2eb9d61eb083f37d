"""A motion encoder and a text encoder, each with a projection head, for one common embedding space.

(Motion Patches, §3.) `DualEncoder` is the model. `DualEncoderConfig` holds every size and is stored
in checkpoints; models/build.py makes it from the config of a run.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.typing import DTypeLike

from motionalign import reading
from motionalign.data.representation import REPRESENTATIONS, Representation
from motionalign.models import layers
from motionalign.models.families import (
    MOTION_FAMILIES,
    TEXT_FAMILIES,
    family_of,
    representation_of,
)
from motionalign.models.heads import (
    Classifier,
    ClassifierConfig,
    GaitHead,
    GaitHeadConfig,
    ProjectionHead,
)
from motionalign.models.weights.keymap import KeyMap

TEXT_TOWER = "text_encoder"  # path of its parameters
MAX_SCALE = 100.0  # bound of 1 / temperature for a learned temperature, as in CLIP


@dataclasses.dataclass(frozen=True)
class DualEncoderConfig(layers.Config):
    """The architecture of a dual encoder.

    Attributes:
      motion: config of the motion encoder, of any family of `MOTION_FAMILIES`.
      text: config of the text encoder, of any family of `TEXT_FAMILIES`; None: no text encoder.
      embed_dim: width of the common embedding space, E.
      head_dropout: dropout in the projection heads.
      text_head: False: the text encoder's feature is the embedding, as with the frozen sentence
        encoder of Walk and Text.
      gait_head: GaitFormer's outputs in place of the motion projection head.
      classifier: a linear classifier in place of the motion projection head; embed_dim is then the
        number of its classes.
      temperature: of the softmax over similarities; the initial value if learn_temperature.
      learn_temperature: whether the temperature is trained.
      max_tokens: texts are truncated to this number of tokens, including special tokens.
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
        if self.embed_dim < 1 or self.temperature <= 0 or not 0 <= self.head_dropout <= 1:
            raise ValueError(
                f"embed_dim is {self.embed_dim}, temperature {self.temperature}, head_dropout "
                f"{self.head_dropout}; expected at least 1, above 0, and from 0 to 1"
            )
        if self.classifier and self.embed_dim != len(self.classifier.names):
            raise ValueError(
                f"embed_dim is {self.embed_dim}; a classifier of {len(self.classifier.names)} "
                "classes needs one output per class"
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
        """The motion encoder's key in `MOTION_FAMILIES`."""
        return family_of(self.motion, MOTION_FAMILIES)

    @property
    def text_family(self) -> str:
        """The text encoder's key in `TEXT_FAMILIES`."""
        return family_of(self.text, TEXT_FAMILIES)

    @property
    def has_tokenizer(self) -> bool:
        """Whether the model reads texts, by a tokenizer that is stored with it."""
        return self.text is not None

    @property
    def class_names(self) -> tuple[str, ...]:
        """The classes or attributes that the model predicts; () if it only gives embeddings."""
        if self.classifier:
            return self.classifier.names
        return self.gait_head.attributes if self.gait_head else ()

    def probabilities(self, logits: np.ndarray | jax.Array) -> jax.Array:
        """Converts logits [N, K] of `class_names` to probabilities.

        Softmax if a clip belongs to exactly one class, else a sigmoid per class.
        """
        if self.classifier and self.classifier.exclusive:
            return jax.nn.softmax(logits, axis=-1)
        return jax.nn.sigmoid(logits)

    @property
    def batch_fields(self) -> tuple[str, ...]:
        """The fields that batches must have in addition to clips and tokens."""
        return ("text_vectors",) if self.text is None and self.classifier is None else ()

    def representation(self, frame_bucket: int) -> Representation:
        """The input representation of the motion encoder."""
        return representation_of(self.motion, frame_bucket)

    def key_map(self, under: str) -> KeyMap:
        """The key map of pretrained tensors for a tower that may be frozen."""
        if under != TEXT_TOWER or self.text is None:
            raise ValueError(
                f"a dual encoder refers to frozen weights of its {TEXT_TOWER} only, not {under!r}"
            )
        return TEXT_FAMILIES[self.text_family].key_map()

    def to_dict(self) -> dict[str, Any]:
        """Converts the config to plain JSON types; the encoders' sections name their family."""
        sections = {"motion": {"family": self.motion_family, **self.motion.to_dict()}}
        if self.text is not None:
            sections["text"] = {"family": self.text_family, **self.text.to_dict()}
        return dataclasses.asdict(self) | sections

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "DualEncoderConfig":
        """Inverse of `to_dict`; unknown or missing names raise a ValueError."""
        reading.check_form(values, dict, cls.__name__)
        values = dict(values)
        for section, families in (("motion", MOTION_FAMILIES), ("text", TEXT_FAMILIES)):
            if values.get(section) is not None:
                reading.check_form(values[section], dict, f"{cls.__name__}.{section}")
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
    """Outputs of a network for a batch.

    Attributes:
      motion: [B, E] motion embeddings, not normalised, or the logits of a classifier.
      text: [B, E] text embeddings, not normalised; None for a classifier.
      scale: 1 / temperature, the factor of similarities.
    """

    motion: jax.Array
    text: jax.Array | None
    scale: jax.Array


class DualEncoder(nnx.Module):
    """Embeds motions and texts so that a motion is close to its descriptions.

    Parameters are float32. `dtype` is the compute dtype of encoders and heads; LayerNorm
    statistics, softmax and pooling use float32.
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
        """Embeds motions; the embeddings are not normalised.

        Args:
          clips: motion patches [B, F, 5 * N, 3] of any float dtype, zero after the end of a clip;
            for encoders over frames [B, F, J, C].
          num_frames: [B] int32, number of real frames; needed with padding="mask" only.
          rngs: stream `dropout` in training; None in evaluation.

        Returns:
          [B, E] in the compute dtype.
        """
        features = self.motion_encoder(clips, num_frames, rngs, tokens=False).pooled
        return self.motion_head(features, rngs)

    def encode_text(
        self, input_ids: jax.Array, text_mask: jax.Array, rngs: nnx.Rngs | None = None
    ) -> jax.Array:
        """Embeds texts; the embeddings are not normalised.

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
        """Logits [B, K] of `config.class_names`; arguments as in `encode_motion`.

        Raises:
          ValueError: the model has no classes.
        """
        if not self.config.class_names:
            raise ValueError(
                "this model has no classes of its own; use `similarity` to compare motions with "
                "any texts"
            )
        features = self.motion_encoder(clips, num_frames, rngs, tokens=False).pooled
        if isinstance(self.motion_head, GaitHead):
            return self.motion_head.attribute_logits(features)
        return self.motion_head(features, rngs)

    def __call__(self, batch: Mapping[str, jax.Array], rngs: nnx.Rngs | None = None) -> Outputs:
        """Embeds the motions and texts of a batch of `data.TrainingData`.

        Without a text encoder, the text embeddings are the sentence vectors of the batch.
        """
        clips = batch[REPRESENTATIONS[self.config.motion.input].field]
        motion = self.encode_motion(clips, batch.get("num_frames"), rngs)
        if self.config.text is not None:
            text = self.encode_text(batch["input_ids"], batch["text_mask"], rngs)
        else:
            text = None if self.config.classifier else batch["text_vectors"]
        return Outputs(motion, text, self.scale())

    def scale(self) -> jax.Array:
        """1 / temperature, the factor of similarities."""
        logit_scale = self.logit_scale[...]
        if not self.config.learn_temperature:
            logit_scale = jax.lax.stop_gradient(logit_scale)
        return jnp.exp(logit_scale)
