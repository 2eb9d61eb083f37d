"""What tasks about classes share (Walk and Text, IV): actions and sets of attributes.

By words a motion is of the class whose texts it lies nearest to, and clips are found by the words
of an attribute set; a classifier says both by itself.
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
    """Rows of the records that are of a class; a ValueError where none is."""
    known = np.flatnonzero(task.class_of(dataset, split) >= 0)
    if not len(known):
        raise ValueError(f"{dataset.version_dir}: split {split.name!r} has no {task.name}")
    return known


def drawable(dataset: Dataset, split: Split, rows: np.ndarray) -> Clips:
    """The records at `rows` of a split, to be drawn."""
    return Clips(
        ids=[split.ids[row] for row in rows],
        joints=lambda i: split[rows[i]]["joints"][:, 0],
        skeleton=dataset.metadata.skeleton,
        fps=dataset.metadata.fps,
    )


def check_texts(task: Task, dataset: Dataset, split: Split, vectors: bool) -> None:
    """Raises a ValueError where a class lacks a text, or its text a sentence vector."""
    texts = task.texts(dataset, split)
    if vectors:
        TextRows.of(dataset, texts.texts)


def check_names(predict: Predictor, names: Sequence[str]) -> None:
    """Raises a ValueError where a classifier was trained on other classes than these."""
    own = list(predict.class_names)
    if own != list(names):
        raise ValueError(
            f"the model tells {len(own)} classes apart ({', '.join(own[:3])}, ...), the dataset "
            f"has {len(names)} ({', '.join(names[:3])}, ...)"
        )


def one_of_names(names: dict[Dataset, tuple[str, ...]], what: str) -> tuple[str, ...]:
    """The class names that all datasets share.

    Raises:
      ValueError: a dataset has none, or they differ.
    """
    for dataset, of_dataset in names.items():
        if not of_dataset:
            raise ValueError(f"dataset {dataset.name!r} has no {what}")
    if len(set(names.values())) > 1:
        raise ValueError("a classifier needs datasets with the same classes")
    return next(iter(names.values()))


def training_note(predict: Predictor, dataset: Dataset) -> str:
    """How a model was trained, for the notes below a table."""
    encoder = predict.text_encoder(dataset)
    how: dict[str, Any] | None = predict.trained
    if how is None:
        return f"training not recorded; text encoder {encoder}"
    texts = TITLES.get(how["texts"], how["texts"])
    return f"trained on {texts}, {how['loss']} loss; text encoder {encoder}"
