"""Helpers shared by the tasks with classes (Walk and Text, IV): actions and attribute sets.

Without a classifier, a clip is assigned to the class with the most similar texts, and clips are
retrieved by the words of an attribute set. A classifier predicts actions or attributes directly.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from motionalign.data.dataset import Dataset
from motionalign.data.records import Split
from motionalign.data.texts import TITLES, TextRows
from motionalign.inference.encoder import Predictor
from motionalign.report.class_page import Clips
from motionalign.tasks.task import Task


def known_rows(task: Task, dataset: Dataset, split: Split) -> np.ndarray:
    """Rows of the records that have a class; raises a ValueError if none has one."""
    known = np.flatnonzero(task.class_of(dataset, split) >= 0)
    if not len(known):
        raise ValueError(f"{dataset.version_dir}: split {split.name!r} has no {task.name}")
    return known


def drawable(dataset: Dataset, split: Split, rows: np.ndarray) -> Clips:
    """The records at `rows` of a split, ready to be drawn."""
    return Clips(
        ids=[split.ids[row] for row in rows],
        joints=lambda i: split[rows[i]]["joints"][:, 0],
        skeleton=dataset.metadata.skeleton,
        fps=dataset.metadata.fps,
    )


def check_texts(task: Task, dataset: Dataset, split: Split, vectors: bool) -> None:
    """Raises a ValueError if a class has no text, or (`vectors`) a text has no sentence vector."""
    texts = task.texts(dataset, split)
    if vectors:
        TextRows.of(dataset, texts.texts)


def check_names(predict: Predictor, names: Sequence[str]) -> None:
    """Raises a ValueError if a classifier was trained on other classes than `names`."""
    own = list(predict.class_names)
    if own != list(names):
        raise ValueError(
            f"the model classifies {len(own)} classes ({', '.join(own[:3])}, ...), but the dataset "
            f"has {len(names)} ({', '.join(names[:3])}, ...); choose a dataset with the model's "
            "classes in the same order"
        )


def one_of_names(names: dict[Dataset, tuple[str, ...]], what: str) -> tuple[str, ...]:
    """The class names that all datasets share.

    Raises:
      ValueError: a dataset has no classes, or the datasets have different ones.
    """
    for dataset, of_dataset in names.items():
        if not of_dataset:
            raise ValueError(f"dataset {dataset.name!r} has no {what}")
    if len(set(names.values())) > 1:
        raise ValueError(
            "a classifier needs datasets with the same classes in the same order; those of "
            "config.data.datasets differ"
        )
    return next(iter(names.values()))


def training_note(predict: Predictor, dataset: Dataset) -> str:
    """How a model was trained, as a note below a table."""
    encoder = predict.text_encoder(dataset)
    how: dict[str, Any] | None = predict.trained
    if how is None:
        return f"training not recorded; text encoder {encoder}"
    texts = TITLES.get(how["texts"], how["texts"])
    return f"trained on {texts}, {how['loss']} loss; text encoder {encoder}"
