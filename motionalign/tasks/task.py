"""The interface of a task: texts and targets of clips, and the evaluation of a model.

`config.task` selects one of `registry.TASKS`; each task is implemented in the file of its name.
"""

import dataclasses
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Protocol

import numpy as np
from ml_collections import ConfigDict

from motionalign.config import Entry
from motionalign.data.dataset import Dataset
from motionalign.data.records import Split
from motionalign.data.texts import ClipTexts
from motionalign.inference.encoder import Predictor
from motionalign.models.heads import ClassifierConfig
from motionalign.report.tables import Records, Table


@dataclasses.dataclass(frozen=True)
class Results:
    """Evaluation results of a model on a split; the caller prints and writes them.

    Attributes:
      scores: the content of metrics.json; its "table", in Markdown, is shown in the model card.
      tables: tables to print.
      pictures: {name: image [H, W, 3] uint8}.
      records: {name: content of evaluation/<dataset>-<split>/<name>.csv}.
      scalars: {name: score} to plot next to the training curves.
      unasked: names of scores that the task can compute, but `config` did not ask for.
      page: function that writes an HTML page into a folder and returns its path, or None.
    """

    scores: Mapping[str, Any]
    tables: Sequence[Table]
    pictures: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)
    page: Callable[[pathlib.Path], pathlib.Path] | None = None
    records: Mapping[str, Records] = dataclasses.field(default_factory=dict)
    scalars: Mapping[str, float] = dataclasses.field(default_factory=dict)
    unasked: Sequence[str] = ()


class Task(Protocol):
    """Supervision and evaluation of clips, constructed as `TASKS[config.task](config)`.

    Attributes:
      name: value of config.task.
      kind: value of config.model.kind whose models it evaluates.
      entry: the config fields that the task reads.
      has_classes: whether clips share classes.
      exclusive: True if a clip has exactly one class, False if it has any number; None without
        classes.
      text_kind: kind of the training texts, for notes: "captions", or a kind of class texts.
    """

    name: ClassVar[str]
    kind: ClassVar[str]
    entry: ClassVar[Entry]
    has_classes: ClassVar[bool]
    exclusive: ClassVar[bool | None]

    def __init__(self, config: ConfigDict) -> None:
        """Takes the config of a run."""

    @property
    def text_kind(self) -> str:
        """See the attributes."""

    def class_of(self, dataset: Dataset, split: Split) -> np.ndarray:
        """[n] the class of each record, -1 where it is unknown."""

    def texts(self, dataset: Dataset, split: Split) -> ClipTexts:
        """The texts of the clips of a split; raises a ValueError if a clip has none."""

    def targets(self, dataset: Dataset, split: Split) -> np.ndarray | None:
        """Classification targets of the records: [n] int32 or [n, A] float32, or None."""

    def classes(self, datasets: Sequence[Dataset]) -> ClassifierConfig | None:
        """The classes of a classifier; None if the task has no classes."""

    def check(self, dataset: Dataset, split_name: str, compares: bool, vectors: bool) -> None:
        """Raises a ValueError if a split cannot be scored.

        Args:
          dataset: the dataset to score.
          split_name: the split to score.
          compares: whether the model compares clips with texts; otherwise it classifies them.
          vectors: whether the texts are represented by the dataset's sentence vectors.
        """

    def validate(
        self, predict: Predictor, dataset: Dataset, split_name: str
    ) -> tuple[float, dict[str, float]]:
        """The selection score of a split and the scalars to log.

        Returns NaN and no scalars if the embeddings are not finite.
        """

    def evaluate(self, predict: Predictor, dataset: Dataset, split_name: str) -> Results:
        """Runs the complete evaluation on a split."""
