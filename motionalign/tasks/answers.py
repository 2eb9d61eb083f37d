"""The training objective of a language model that reads motions: the text of the right answer."""

from collections.abc import Mapping
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from ml_collections import ConfigDict

from motionalign.config import Entry
from motionalign.models.motion_language import AnswerOutputs


class Answer:
    """Cross-entropy of the answer's tokens, its end token included; the instruction has no loss.

    (LLM-AR, second stage.) The mean is over the tokens of the batch.
    """

    kind: ClassVar[str] = "language_model"
    entry: ClassVar[Entry] = Entry()
    compares: ClassVar[bool] = False
    frozen_text: ClassVar[bool] = False
    smallest_batch: ClassVar[int] = 1
    distance: ClassVar[str | None] = None
    batch_fields = ()

    def __init__(self, loss_config: ConfigDict, has_classes: bool) -> None:
        """See `Objective`."""

    def loss(
        self, outputs: AnswerOutputs, rest: Any, batch: Mapping[str, jax.Array], mesh: Mesh
    ) -> tuple[jax.Array, Any, dict[str, jax.Array]]:
        """See `Objective.loss`."""
        found = jnp.where(outputs.mask, outputs.log_probabilities, 0.0)
        count = outputs.mask.sum()
        likely = (outputs.mask & (found > jnp.log(0.5))).sum()
        return -found.sum() / count, rest, {"tokens_above_half": likely / count}
