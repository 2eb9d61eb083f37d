"""Training objectives: the loss of a batch, and the registry of objectives.

`config.loss.kind` selects one of `OBJECTIVES`. An objective declares which arrays a batch must
carry and by which distance the trained vectors are compared, and computes the loss from the
outputs of the network alone. It also returns the updated non-parameter state of the network (EMA
codebooks, counters), if the network has any.
"""

from collections.abc import Mapping
from typing import Any, ClassVar, Protocol

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P
from ml_collections import ConfigDict

from motionalign import losses
from motionalign.config import Entry
from motionalign.models.dual_encoder import Outputs
from motionalign.tasks.answers import Answer
from motionalign.tasks.reconstruction import Reconstruction

Scalars = dict[str, jax.Array]


class Objective(Protocol):
    """A loss, constructed as `OBJECTIVES[config.loss.kind](config.loss, has_classes)`.

    Attributes:
      kind: value of config.model.kind whose outputs it reads.
      entry: the config fields that the objective reads.
      compares: whether motions are compared with texts; otherwise the network classifies.
      frozen_text: whether the text vectors must be fixed (`model.text.family=frozen`).
      smallest_batch: number of clips below which a batch has no gradient.
      distance: distance between trained vectors, one of `similarity.DISTANCES`; None for a
        classifier.
      batch_fields: keys of `batches.BATCH_FIELDS` that batches must carry.
    """

    kind: ClassVar[str]
    entry: ClassVar[Entry]
    compares: ClassVar[bool]
    frozen_text: ClassVar[bool]
    smallest_batch: ClassVar[int]
    distance: ClassVar[str | None]

    @property
    def batch_fields(self) -> tuple[str, ...]:
        """See the attributes."""

    def __init__(self, loss_config: ConfigDict, has_classes: bool) -> None:
        """Takes the `loss` section of the config, and whether clips share classes."""

    def loss(
        self, outputs: Any, rest: Any, batch: Mapping[str, jax.Array], mesh: Mesh
    ) -> tuple[jax.Array, Any, Scalars]:
        """The loss of a batch.

        Args:
          outputs: outputs of the network.
          rest: non-parameter state of the network after the forward pass.
          batch: arrays of the batch, including `batch_fields`.
          mesh: the device mesh over which the batch is split.

        Returns:
          The loss, the new `rest`, and scalars to log.
        """


_OF_TEXTS = ("model.text.family", "model.head_dropout", "data.texts")


class Contrastive:
    """Symmetric InfoNCE, optionally without false negatives (`loss.mask_negatives`)."""

    kind: ClassVar[str] = "dual_encoder"
    entry: ClassVar[Entry] = Entry(
        (*_OF_TEXTS, "model.temperature", "model.learn_temperature", "loss.mask_negatives")
    )
    compares: ClassVar[bool] = True
    frozen_text: ClassVar[bool] = False
    smallest_batch: ClassVar[int] = 2  # the other clips are the negatives
    distance: ClassVar[str | None] = "cosine"

    def __init__(self, loss_config: ConfigDict, has_classes: bool) -> None:
        self._threshold = loss_config.mask_threshold if loss_config.mask_negatives else None
        self.batch_fields = ()
        if self._threshold is not None:
            self.batch_fields = ("text_vectors", *(("classes",) if has_classes else ()))

    def loss(
        self, outputs: Outputs, rest: Any, batch: Mapping[str, jax.Array], mesh: Mesh
    ) -> tuple[jax.Array, Any, Scalars]:
        """See `Objective.loss`."""
        assert outputs.text is not None
        # Each device compares its motions with all texts, which are gathered here, once.
        text = jax.lax.with_sharding_constraint(outputs.text, NamedSharding(mesh, P()))
        scores = losses.cosine_scores(outputs.motion, text)
        scalars = {"temperature": 1 / outputs.scale}
        if self._threshold is None:
            return losses.symmetric_cross_entropy(outputs.scale * scores), rest, scalars
        keep = losses.distinct(batch["text_vectors"], self._threshold)
        if "classes" in batch:  # clips of the same class are not each other's negatives either
            keep &= batch["classes"][:, None] != batch["classes"]
        others = keep & ~jnp.eye(len(keep), dtype=bool)
        scalars["negatives_kept"] = others.sum() / (keep.size - len(keep))
        return losses.symmetric_cross_entropy(outputs.scale * scores, keep), rest, scalars


class MSE:
    """Mean squared error between motion embeddings and text vectors."""

    kind: ClassVar[str] = "dual_encoder"
    entry: ClassVar[Entry] = Entry(_OF_TEXTS)
    compares: ClassVar[bool] = True
    frozen_text: ClassVar[bool] = True
    smallest_batch: ClassVar[int] = 1
    distance: ClassVar[str | None] = "euclidean"

    def __init__(self, loss_config: ConfigDict, has_classes: bool) -> None:
        self.batch_fields = ("text_vectors",)

    def loss(
        self, outputs: Outputs, rest: Any, batch: Mapping[str, jax.Array], mesh: Mesh
    ) -> tuple[jax.Array, Any, Scalars]:
        """See `Objective.loss`."""
        assert outputs.text is not None
        return losses.mse(outputs.motion, outputs.text), rest, {}


class Triplet:
    """Triplet margin loss, with a text of another class as the negative."""

    kind: ClassVar[str] = "dual_encoder"
    entry: ClassVar[Entry] = Entry((*_OF_TEXTS, "loss.margin", "loss.mask_negatives"))
    compares: ClassVar[bool] = True
    frozen_text: ClassVar[bool] = True
    smallest_batch: ClassVar[int] = 1
    distance: ClassVar[str | None] = "euclidean"

    def __init__(self, loss_config: ConfigDict, has_classes: bool) -> None:
        self._margin = loss_config.margin
        self._threshold = loss_config.mask_threshold if loss_config.mask_negatives else None
        self.batch_fields = ("text_vectors", "negative_vectors")

    def loss(
        self, outputs: Outputs, rest: Any, batch: Mapping[str, jax.Array], mesh: Mesh
    ) -> tuple[jax.Array, Any, Scalars]:
        """See `Objective.loss`."""
        assert outputs.text is not None
        negative, keep, scalars = batch["negative_vectors"], None, {}
        if self._threshold is not None:  # exclude negatives with nearly the same meaning
            keep = losses.cosine(outputs.text, negative) <= self._threshold
            scalars["negatives_kept"] = keep.mean()
        loss = losses.triplet(outputs.motion, outputs.text, negative, self._margin, keep)
        return loss, rest, scalars


class Classify:
    """Cross-entropy of a linear classifier, without texts."""

    kind: ClassVar[str] = "dual_encoder"
    entry: ClassVar[Entry] = Entry()
    compares: ClassVar[bool] = False
    frozen_text: ClassVar[bool] = False
    smallest_batch: ClassVar[int] = 1
    distance: ClassVar[str | None] = None

    def __init__(self, loss_config: ConfigDict, has_classes: bool) -> None:
        if not has_classes:
            raise ValueError(
                "config.loss.kind='classify' needs classes: set config.task to labels or attributes"
            )
        self.batch_fields = ("targets",)

    def loss(
        self, outputs: Outputs, rest: Any, batch: Mapping[str, jax.Array], mesh: Mesh
    ) -> tuple[jax.Array, Any, Scalars]:
        """See `Objective.loss`."""
        return classification(outputs.motion, batch["targets"]), rest, {}


def classification(logits: jax.Array, targets: jax.Array) -> jax.Array:
    """Cross-entropy of logits [B, K], a scalar in float32.

    Integer targets [B] denote mutually exclusive classes (softmax); targets [B, K] of 0 or 1 denote
    attributes (one sigmoid per attribute, binary cross-entropy).
    """
    logits = logits.astype(jnp.float32)
    if targets.ndim == 1:
        return optax.softmax_cross_entropy_with_integer_labels(logits, targets).mean()
    return optax.sigmoid_binary_cross_entropy(logits, targets).mean()


OBJECTIVES: dict[str, type[Objective]] = {
    "contrastive": Contrastive,
    "mse": MSE,
    "triplet": Triplet,
    "classify": Classify,
    "reconstruction": Reconstruction,
    "answer": Answer,
}
"""Objectives by value of config.loss.kind."""
