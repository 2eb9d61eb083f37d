"""What training minimises: the loss of a batch, and the registry of such objectives.

`config.loss.kind` names one of `OBJECTIVES`. An objective knows which arrays a batch must carry for
it, what the vectors that it trains are compared by, and its loss, for which it sees nothing of the
network but its outputs. Of networks with state that is no parameter (EMA codebooks, counters) it
returns what that has become.
"""

from collections.abc import Mapping
from typing import Any, ClassVar, Protocol

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh
from ml_collections import ConfigDict

from motionalign import losses
from motionalign.config import Entry
from motionalign.models.dual_encoder import Outputs

Scalars = dict[str, jax.Array]


class Objective(Protocol):
    """A loss, made of a config: `OBJECTIVES[config.loss.kind](config.loss, has_classes)`.

    Attributes:
      entry: which fields of a config it reads.
      compares: whether motions are compared with texts; else the network classifies.
      frozen_text: whether the texts' vectors must stay where they are.
      distance: what the trained vectors are compared by, of `similarity.DISTANCES`; None: there are
        none.
      batch_fields: what batches must carry, of `batches.BATCH_FIELDS`.
    """

    entry: ClassVar[Entry]
    compares: ClassVar[bool]
    frozen_text: ClassVar[bool]
    distance: ClassVar[str | None]

    @property
    def batch_fields(self) -> tuple[str, ...]:
        """See the attributes."""

    def __init__(self, loss_config: ConfigDict, has_classes: bool) -> None:
        """`loss_config`: the `loss` section; `has_classes`: whether clips share classes."""

    def loss(
        self, outputs: Outputs, rest: Any, batch: Mapping[str, jax.Array], mesh: Mesh
    ) -> tuple[jax.Array, Any, Scalars]:
        """The loss of a batch.

        Args:
          outputs: of the network.
          rest: the network's state that is no parameter, after the forward pass.
          batch: with `batch_fields`.
          mesh: that the batch is split over.

        Returns:
          The loss, the new `rest`, and scalars to log.
        """


_OF_TEXTS = ("model.text.family", "model.head_dropout", "data.texts")


class Contrastive:
    """Symmetric InfoNCE, with or without the negatives that say nearly the same."""

    entry: ClassVar[Entry] = Entry(
        (*_OF_TEXTS, "model.temperature", "model.learn_temperature", "loss.mask_negatives")
    )
    compares: ClassVar[bool] = True
    frozen_text: ClassVar[bool] = False
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
        scores = losses.cosine_scores(outputs.motion, outputs.text)
        scalars = {"temperature": 1 / outputs.scale}
        if self._threshold is None:
            return losses.symmetric_cross_entropy(outputs.scale * scores), rest, scalars
        keep = losses.distinct(batch["text_vectors"], self._threshold)
        if "classes" in batch:  # nor are clips of the same class each other's negatives
            keep &= batch["classes"][:, None] != batch["classes"]
        others = keep & ~jnp.eye(len(keep), dtype=bool)
        scalars["negatives_kept"] = others.sum() / (keep.size - len(keep))
        return losses.symmetric_cross_entropy(outputs.scale * scores, keep), rest, scalars


class MSE:
    """Mean squared error towards the texts' vectors."""

    entry: ClassVar[Entry] = Entry(_OF_TEXTS)
    compares: ClassVar[bool] = True
    frozen_text: ClassVar[bool] = True
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

    entry: ClassVar[Entry] = Entry((*_OF_TEXTS, "loss.margin", "loss.mask_negatives"))
    compares: ClassVar[bool] = True
    frozen_text: ClassVar[bool] = True
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
        if self._threshold is not None:  # negatives that say nearly the same
            keep = losses.cosine(outputs.text, negative) <= self._threshold
            scalars["negatives_kept"] = keep.mean()
        loss = losses.triplet(outputs.motion, outputs.text, negative, self._margin, keep)
        return loss, rest, scalars


class Classify:
    """Cross-entropy of a linear classifier; no texts."""

    entry: ClassVar[Entry] = Entry()
    compares: ClassVar[bool] = False
    frozen_text: ClassVar[bool] = False
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

    Of classes that exclude each other, targets [B] integer, by softmax; of attributes, targets
    [B, K] 0 or 1, by a sigmoid each (binary cross-entropy).
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
}
"""By value of config.loss.kind."""
