"""Motions as sentences of tokens (LLM-AR, first stage): how well they are told, and in what words.

The selection score is the negative reconstruction error in millimetres.
"""

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from motionalign import token_losses
from motionalign.config import Entry
from motionalign.data.dataset import Dataset
from motionalign.data.records import Split
from motionalign.data.texts import ClipTexts
from motionalign.inference.encoder import Predictor
from motionalign.models.heads import ClassifierConfig
from motionalign.report.tables import Table
from motionalign.tasks.task import Results


class Tokens:
    """Clips without supervision."""

    name: ClassVar[str] = "tokens"
    kind: ClassVar[str] = "motion_tokenizer"
    entry: ClassVar[Entry] = Entry()
    has_classes: ClassVar[bool] = False
    exclusive: ClassVar[bool | None] = None
    text_kind: ClassVar[str] = "none"

    def __init__(self, config: ConfigDict) -> None:
        """See `Task`."""

    def class_of(self, dataset: Dataset, split: Split) -> np.ndarray:
        """[n] zeros: all clips count."""
        return np.zeros(len(split), np.int64)

    def texts(self, dataset: Dataset, split: Split) -> ClipTexts:
        """No text is read; all clips are of one kind."""
        return ClipTexts(["motion"], [["motion"]], self.class_of(dataset, split))

    def targets(self, dataset: Dataset, split: Split) -> None:
        """There are none."""

    def classes(self, datasets: Sequence[Dataset]) -> ClassifierConfig | None:
        """There are none."""

    def check(self, dataset: Dataset, split_name: str, compares: bool, vectors: bool) -> None:
        """See `Task.check`."""
        if not len(dataset.split(split_name)):
            raise ValueError(f"{dataset.version_dir}: split {split_name!r} has no clips")

    def validate(
        self, predict: Predictor, dataset: Dataset, split_name: str
    ) -> tuple[float, dict[str, float]]:
        """See `Task.validate`."""
        split = dataset.split(split_name)
        found = predict.outputs("measured", dataset, split, np.arange(len(split)))
        if not np.isfinite(found["error_mm"]).all():
            return math.nan, {}
        scalars = {"error_mm": float(found["error_mm"].mean())}
        if "codes" in found:
            scalars |= statistics(found["codes"], predict.network.config.quantizer.codes)
        return -scalars["error_mm"], scalars

    def evaluate(self, predict: Predictor, dataset: Dataset, split_name: str) -> Results:
        """See `Task.evaluate`."""
        _, scalars = self.validate(predict, dataset, split_name)
        table = Table(list(scalars), [[f"{value:.3f}" for value in scalars.values()]], [])
        content: dict[str, Any] = {"task": self.name, **predict.about, "tokens": scalars}
        content["table"] = table.markdown()
        return Results(content, [table], scalars=scalars)


def statistics(codes: np.ndarray, count: int) -> dict[str, float]:
    """Perplexity, number of used codes and distance to Zipf's law of sentences.

    Args:
      codes: [...] int32; negative ones do not count.
      count: number of codes.
    """
    shares = np.asarray(token_losses.frequencies(jnp.asarray(codes), count), np.float64)
    used = shares[shares > 0]
    return {
        "perplexity": float(np.exp(-(used * np.log(used)).sum())),
        "used_codes": float(len(used)),
        "zipf_distance": float(token_losses.zipf(jnp.asarray(shares))),
    }
