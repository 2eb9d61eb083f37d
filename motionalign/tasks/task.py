"""What a task is: the texts and targets of clips, and how a model is evaluated.

`config.task` names one of `registry.TASKS`; each lies in the file of that name.
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
    """How a model scores on a split; nothing is printed or written yet.

    Attributes:
      scores: the content of metrics.json; its "table", in Markdown, is shown in a model card.
      tables: to be printed.
      pictures: {name: image [H, W, 3] uint8}.
      records: {name: what is written to evaluation/<dataset>-<split>/<name>.csv}.
      scalars: the scores that are shown beside training's curves, by name.
      page: writes a page to look at into a folder and gives its path; None: there is none.
    """

    scores: Mapping[str, Any]
    tables: Sequence[Table]
    pictures: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)
    page: Callable[[pathlib.Path], pathlib.Path] | None = None
    records: Mapping[str, Records] = dataclasses.field(default_factory=dict)
    scalars: Mapping[str, float] = dataclasses.field(default_factory=dict)


class Task(Protocol):
    """What clips are told by, and scored by. Made of a config: `TASKS[config.task](config)`.

    Attributes:
      name: value of config.task.
      entry: which fields of a config it reads.
      has_classes: whether clips share classes.
      exclusive: whether a clip is of exactly one class, or of any number; None without classes.
      text_kind: of the texts that training draws, for notes: "captions", or a kind of class texts.
    """

    name: ClassVar[str]
    entry: ClassVar[Entry]
    has_classes: ClassVar[bool]
    exclusive: ClassVar[bool | None]

    def __init__(self, config: ConfigDict) -> None:
        """`config`: of a run."""

    @property
    def text_kind(self) -> str:
        """See the attributes."""

    def class_of(self, dataset: Dataset, split: Split) -> np.ndarray:
        """[n] the class of each record, -1 where nothing is known of it."""

    def texts(self, dataset: Dataset, split: Split) -> ClipTexts:
        """The texts of the clips of a split; a ValueError where a clip has none."""

    def targets(self, dataset: Dataset, split: Split) -> np.ndarray | None:
        """What a classifier is to tell of each record: [n] int32 or [n, A] float32, or None."""

    def classes(self, datasets: Sequence[Dataset]) -> ClassifierConfig | None:
        """The classes of a classifier; None: the task has none to tell apart."""

    def check(self, dataset: Dataset, split_name: str, compares: bool, vectors: bool) -> None:
        """Raises a ValueError where a split cannot be scored.

        Args:
          dataset, split_name: what is scored.
          compares: whether the model compares clips with texts, instead of classifying them.
          vectors: whether those texts are the dataset's sentence vectors.
        """

    def validate(
        self, predict: Predictor, dataset: Dataset, split_name: str
    ) -> tuple[float, dict[str, float]]:
        """The selection score of a split and the scalars to log.

        NaN and nothing where embeddings are not finite.
        """

    def evaluate(self, predict: Predictor, dataset: Dataset, split_name: str) -> Results:
        """Scores a split in full."""
