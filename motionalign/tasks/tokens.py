"""Motions as sentences of tokens (LLM-AR, first stage): how well they are told, and in what words.

The selection score is the negative reconstruction error in millimetres.
"""

import json
import math
from collections.abc import Iterator, Sequence
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
from motionalign.report.pictures import rendered
from motionalign.report.sentences import (
    ball_figure,
    frequencies_figure,
    in_two_dimensions,
    sentence_picture,
)
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
        drawn = pictures(predict, dataset, split_name)
        return Results(content, [table], pictures=drawn, scalars=scalars)


def pictures(predict: Predictor, dataset: Dataset, split_name: str) -> dict[str, np.ndarray]:
    """Sentences with their motions, token frequencies and, of a ball, the codes; {name: image}.

    Continuous features have none.
    """
    config = predict.network.config.quantizer
    if not config.has_codes:
        return {}
    split = dataset.split(split_name)
    rows = np.unique(np.linspace(0, len(split) - 1, EXAMPLES).astype(int))
    codes = predict.outputs("measured", dataset, split, np.arange(len(split)))["codes"]
    told = predict.outputs("rebuilt", dataset, split, rows)
    drawn = {}
    for example, row in enumerate(rows):
        person = int(told["persons"][example].argmax())
        motions = (told[name][example][:, person] for name in ("target", "reconstruction"))
        drawn[f"sentence-{example + 1}"] = sentence_picture(
            *motions, codes[row, person], dataset.metadata.skeleton
        )
    shares = np.asarray(token_losses.frequencies(jnp.asarray(codes), config.codes))
    law = np.asarray(token_losses.zipf_law(config.codes))
    drawn["frequencies"] = rendered(frequencies_figure(shares, law))
    if config.kind == "hyperbolic":
        points = predict.outputs("codebook", dataset, split, rows[:1])["points"][0]
        flat = in_two_dimensions(points, config.curvature)
        drawn["ball"] = rendered(ball_figure(flat, shares, config.curvature**-0.5))
    return drawn


EXAMPLES = 4  # sentences that an evaluation draws


def sentences(predict: Predictor, dataset: Dataset, split_name: str) -> Iterator[str]:
    """The sentences of a split as lines of JSON, one per clip in the order of the ids.

    A line has the clip's `id` and `split`, `persons`: a list of codes for each person that is
    there, and `error_mm`: how far the decoded joints are from the clip's, on average.
    """
    split = dataset.split(split_name)
    found = predict.outputs("measured", dataset, split, np.arange(len(split)))
    if "codes" not in found:
        raise ValueError("a tokenizer of continuous features (quantizer 'none') has no sentences")
    for clip, codes, error in zip(split.ids, found["codes"], found["error_mm"], strict=True):
        persons = [each.tolist() for each in codes if (each >= 0).all()]
        line = {"id": str(clip), "split": split_name, "persons": persons}
        yield json.dumps(line | {"error_mm": round(float(error), 1)})


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
