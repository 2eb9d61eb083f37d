"""A task: clips are told by whether they are long."""

import numpy as np

from motionalign.config import Entry, Field
from motionalign.data.texts import ClipTexts
from motionalign.inference.similarity import nearness
from motionalign.models.heads import ClassifierConfig
from motionalign.report.tables import Table
from motionalign.tasks.task import Results

NAMES = ["a short motion", "a long motion"]


class Lengths:
    """The score is the share of clips whose own words are nearer, in percent."""

    name = "lengths"
    entry = Entry(fields={"eval.long_frames": Field(50, "A clip is long from here.", low=1)})
    has_classes = True
    exclusive = None
    said = "lengths"

    def __init__(self, config):
        self._from = config.eval.long_frames

    def class_of(self, dataset, split):
        return (split.num_frames >= self._from).astype(np.int64)

    def texts(self, dataset, split):
        return ClipTexts(NAMES, [[name] for name in NAMES], self.class_of(dataset, split))

    def targets(self, dataset, split):
        return self.class_of(dataset, split).astype(np.int32)

    def classes(self, datasets):
        return ClassifierConfig(tuple(NAMES), exclusive=True)

    def check(self, dataset, split_name, compares, vectors):
        dataset.split(split_name)

    def validate(self, predict, dataset, split_name):
        split = dataset.split(split_name)
        motion = predict.motions(dataset, split, np.arange(len(split)))
        scores = nearness(motion, predict.texts(dataset, NAMES), predict.distance)
        right = 100 * float(np.mean(scores.argmax(1) == self.class_of(dataset, split)))
        return right, {"right": right}

    def evaluate(self, predict, dataset, split_name):
        right, _ = self.validate(predict, dataset, split_name)
        return Results({"right": right}, [Table(["task", "right"], [[self.name, f"{right:.1f}"]])])
