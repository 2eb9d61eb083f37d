"""A task of its own: clips are told by whether they are long."""

import math
from typing import ClassVar

import numpy as np

from motionalign.config import Entry, Field
from motionalign.data.texts import ClipTexts
from motionalign.models.heads import ClassifierConfig
from motionalign.report.tables import Table
from motionalign.tasks.labels import class_scores
from motionalign.tasks.task import Results

NAMES = ("a short clip", "a long clip")


class Lengths:
    """A clip is of one of two classes; the score is the share of right ones in percent."""

    name: ClassVar[str] = "lengths"
    kind: ClassVar[str] = "dual_encoder"
    entry: ClassVar[Entry] = Entry(
        fields={"data.long_from": Field(60, "Frames from which a clip is long.", low=1, high=10**6)}
    )
    has_classes: ClassVar[bool] = True
    exclusive: ClassVar[bool | None] = True
    text_kind = "lengths"

    def __init__(self, config):
        self._long_from = config.data.long_from

    def class_of(self, dataset, split):
        return (split.num_frames >= self._long_from).astype(np.int64)

    def texts(self, dataset, split):
        return ClipTexts(list(NAMES), [[name] for name in NAMES], self.class_of(dataset, split))

    def targets(self, dataset, split):
        return self.class_of(dataset, split).astype(np.int32)

    def classes(self, datasets):
        return ClassifierConfig(NAMES, exclusive=True)

    def check(self, dataset, split_name, compares, vectors):
        if not len(dataset.split(split_name)):
            raise ValueError(f"split {split_name!r} is empty")

    def _right(self, predict, dataset, split_name):
        split = dataset.split(split_name)
        found = predict.motions(dataset, split, np.arange(len(split)))
        if not np.isfinite(found).all():
            return math.nan, len(split)
        if not predict.class_names:
            vectors = predict.class_vectors(dataset, [[name] for name in NAMES])
            found = class_scores(found, vectors, predict.distance)
        right = found.argmax(axis=1) == self.class_of(dataset, split)
        return 100 * float(right.mean()), len(split)

    def validate(self, predict, dataset, split_name):
        right, _ = self._right(predict, dataset, split_name)
        return right, {"right": right}

    def evaluate(self, predict, dataset, split_name):
        right, clips = self._right(predict, dataset, split_name)
        table = Table(["", "right", "clips"], [["lengths", f"{right:.2f}", str(clips)]])
        return Results({"right": right, "clips": clips, "table": table.markdown()}, [table])
