"""An objective of its own: InfoNCE at a sharpness that a field of its own says."""

from typing import ClassVar

from motionalign import losses
from motionalign.config import Entry, Field


class Sharpened:
    """Symmetric cross-entropy of cosines times `loss.sharpness`."""

    kind: ClassVar[str] = "dual_encoder"
    entry: ClassVar[Entry] = Entry(
        reads=("model.text.family", "model.head_dropout"),
        fields={"loss.sharpness": Field(10.0, "What cosines are multiplied by.", above=0, high=99)},
    )
    compares: ClassVar[bool] = True
    frozen_text: ClassVar[bool] = False
    smallest_batch: ClassVar[int] = 2
    distance: ClassVar[str | None] = "cosine"
    batch_fields = ()

    def __init__(self, loss_config, has_classes):
        self._sharpness = loss_config.sharpness

    def loss(self, outputs, rest, batch, mesh):
        scores = self._sharpness * losses.cosine_scores(outputs.motion, outputs.text)
        scalars = {"margin": scores.max() - scores.min()}
        return losses.symmetric_cross_entropy(scores), rest, scalars
