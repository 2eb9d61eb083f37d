"""Action recognition by a language model that reads motion tokens (LLM-AR, second stage).

Answers are given in two ways. The names of the classes are ranked by their log-probability after
the instruction, their end token included, which gives top-1 and top-5. And the model writes the
most probable text, which may be a name or not.

Classes that no training clip has are named in the same way, from a list of other names: among
themselves, and among all names, where the harmonic mean of the accuracies on seen and on unseen
classes counts (as is usual in generalised zero-shot recognition; ours for LLM-AR).
"""

import dataclasses
import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from ml_collections import ConfigDict

from motionalign.config import Entry
from motionalign.data.dataset import Dataset
from motionalign.data.records import Split
from motionalign.inference.encoder import Predictor
from motionalign.inference.recognition import LENGTHS, answers, normalised
from motionalign.metrics import topk_accuracy
from motionalign.models.heads import ClassifierConfig
from motionalign.tasks import classes
from motionalign.tasks.labels import Labels, label_results, protocol_of, recognise
from motionalign.tasks.task import Results

_UNIT = "log-probabilities"

SEEN, UNSEEN = "seen names", "unseen names"  # titles of the names that clips are asked about first


@dataclasses.dataclass(frozen=True)
class Names:
    """The class names that a clip is asked about.

    Attributes:
      title: for tables.
      classes: their indices in the dataset's `label_names`.
    """

    title: str
    classes: np.ndarray


class Sentences(Labels):
    """Every clip has one action, named by a language model; selected by top-1 accuracy."""

    name: ClassVar[str] = "sentences"
    kind: ClassVar[str] = "language_model"
    entry: ClassVar[Entry] = Entry(reads=("eval.num_queries",))

    def __init__(self, config: ConfigDict) -> None:
        self._kind = self.text_kind = "words"
        self._num_examples = config.eval.num_queries
        self._train_split, self._val_split = config.data.train_split, config.data.val_split
        self._test_split = config.data.test_split

    def classes(self, datasets: Sequence[Dataset]) -> ClassifierConfig:
        """The actions that training clips have, which an instruction may list."""
        every = super().classes(datasets).names
        seen = {int(k) for dataset in datasets for k in self._seen(dataset)}
        if empty := [name for name in every if not name.strip()]:
            raise ValueError(
                f"{len(empty)} of the {len(every)} classes have an empty name, which cannot be an "
                "answer: prepare the dataset again with their names"
            )
        return ClassifierConfig(tuple(every[k] for k in sorted(seen)), exclusive=True)

    # ------------------------------------------------------------------------------- validation

    def validate(
        self, predict: Predictor, dataset: Dataset, split_name: str
    ) -> tuple[float, dict[str, float]]:
        """See `Task.validate`: the better of the normalisations by length counts."""
        split = dataset.split(split_name)
        known = classes.known_rows(self, dataset, split)
        names = Names("", self._seen(dataset))
        sums, lengths = self._sums(predict, dataset, split, known, names)
        if not np.isfinite(sums).all():
            return math.nan, {}
        labels = _within(split.all_labels[known], names.classes)
        scalars = {}
        for how in LENGTHS:
            top1, top5 = topk_accuracy(normalised(sums, lengths, how), labels, (1, 5))
            scalars |= {f"top1_{how}": float(top1), f"top5_{how}": float(top5)}
        best = chosen_length(scalars)["length"]
        first = labels[np.arange(len(labels)), (labels >= 0).argmax(axis=1)]
        right = sums[np.arange(len(labels)), first]
        scalars |= {"top1": scalars[f"top1_{best}"], "top5": scalars[f"top5_{best}"]}
        return scalars["top1"], scalars | {"loss": float(-right.sum() / lengths[first].sum())}

    def _length(self, predict: Predictor, dataset: Dataset) -> str:
        """The normalisation by length that validation chose, or chooses now if not recorded."""
        if (recorded := (predict.trained or {}).get("length")) in LENGTHS:
            return recorded
        _, scalars = self.validate(predict, dataset, self._val_split)
        return chosen_length(scalars).get("length", "sum")

    def _seen(self, dataset: Dataset) -> np.ndarray:
        """The classes that training clips have, ascending."""
        found = np.unique(dataset.split(self._train_split).all_labels)
        return found[found >= 0]

    def _sums(
        self, predict: Predictor, dataset: Dataset, split: Split, rows: np.ndarray, names: Names
    ) -> tuple[np.ndarray, np.ndarray]:
        """Log-probabilities [N, K] of these names, and their numbers of tokens [K]."""
        ids, mask, before = self._answers(predict, dataset, names)
        return predict.outputs("scores", dataset, split, rows, ids, mask, before), mask.sum(axis=1)

    def _answers(
        self, predict: Predictor, dataset: Dataset, names: Names
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """See `recognition.answers`."""
        texts = [dataset.metadata.label_names[k] for k in names.classes]
        return answers(predict.tokenizer, predict.network.config, texts)

    # ------------------------------------------------------------------------------- evaluation

    def evaluate(self, predict: Predictor, dataset: Dataset, split_name: str) -> Results:
        """See `Task.evaluate`."""
        split = dataset.split(split_name)
        known = classes.known_rows(self, dataset, split)
        labels = split.all_labels[known]
        how = self._length(predict, dataset)
        scores, rows = {}, {}
        asked = self._asked(dataset, labels)
        for names in asked:
            sums, lengths = self._sums(predict, dataset, split, known, names)
            own = normalised(sums, lengths, how)
            scores[names.title] = self._among_all(own, names, dataset)
            rows[names.title] = recognise(
                own,
                _within(labels, names.classes),
                [dataset.metadata.label_names[k] for k in names.classes],
            )
        content, notes = self._facts(predict, dataset, split, known, asked[0], how)
        if asked[0].title == UNSEEN:
            found, note = self._together(predict, dataset, rows[asked[-1].title], how)
            content |= found
            notes += note
        return label_results(
            dataset, split_name, known, scores, rows, content, notes, _UNIT, self._num_examples
        )

    def _asked(self, dataset: Dataset, labels: np.ndarray) -> list[Names]:
        """The names that the clips of a split are asked about: those of its kind first, then all.

        Raises:
          ValueError: the split has clips of classes with and without training clips.
        """
        every = Names("all names", np.arange(len(dataset.metadata.label_names)))
        seen, there = self._seen(dataset), np.unique(labels[labels >= 0])
        unseen = np.setdiff1d(every.classes, seen)
        if not len(unseen):
            return [Names("names", every.classes)]
        if not np.isin(there, unseen).any():
            return [Names(SEEN, seen), every]
        if np.isin(there, seen).any():
            raise ValueError(
                f"{dataset.version_dir}: the split has clips of classes with and without training "
                "clips; they need a split each"
            )
        return [Names(UNSEEN, unseen), every]

    def _among_all(self, scores: np.ndarray, names: Names, dataset: Dataset) -> np.ndarray:
        """Scores [N, K] of some names as those of all; the others have a lower one than any."""
        lowest = scores.min() - 1
        out = np.full((len(scores), len(dataset.metadata.label_names)), lowest, scores.dtype)
        out[:, names.classes] = scores
        return out

    def _facts(
        self,
        predict: Predictor,
        dataset: Dataset,
        split: Split,
        known: np.ndarray,
        asked: Names,
        how: str,
    ) -> tuple[dict[str, Any], list[str]]:
        """Fields of metrics.json and notes: protocol, normalisation, and answers in free text.

        An instruction that lists names lists those of `asked`; any name counts as one.
        """
        facts, notes = protocol_of(dataset, split, known)
        names = list(dataset.metadata.label_names)
        before = self._answers(predict, dataset, asked)[2]
        ids, mask = predict.outputs("answer", dataset, split, known, before)
        said = [self._text(predict, row[real]) for row, real in zip(ids, mask)]
        index = {name.casefold(): k for k, name in enumerate(names)}
        found = np.array([index.get(text.casefold(), -1) for text in said])
        right = (split.all_labels[known] == found[:, None]).any(axis=1) & (found >= 0)
        free = {
            "top1": 100 * float(right.mean()),
            "names": 100 * float((found >= 0).mean()),
            "examples": sorted(set(said))[:20],
        }
        notes = [
            *notes,
            f"names are ranked by the {how} of their tokens' log-probabilities, as is better on "
            "the validation split",
            f"in free text, {free['names']:.2f} % of the answers are a class name, "
            f"{free['top1']:.2f} % the right one",
        ]
        content = {"task": self.name, **predict.about, **facts, "length": how, "free_text": free}
        return content, [*notes, *predict.about.values()]

    def _text(self, predict: Predictor, ids: np.ndarray) -> str:
        """An answer in words, without its end token."""
        ends = predict.network.config.ends
        return predict.tokenizer.text([i for i in ids.tolist() if i not in ends]).strip()

    def _together(
        self, predict: Predictor, dataset: Dataset, among_all: Mapping[str, Any], how: str
    ) -> tuple[dict[str, Any], list[str]]:
        """The harmonic mean of top-1 on seen and on unseen classes, each among all names."""
        test = dataset.split(self._test_split)
        known = classes.known_rows(self, dataset, test)
        every = Names("", np.arange(len(dataset.metadata.label_names)))
        sums, lengths = self._sums(predict, dataset, test, known, every)
        labels = test.all_labels[known]
        seen, _ = topk_accuracy(normalised(sums, lengths, how), labels, (1, 5))
        unseen = among_all["top1"]
        both = 2 * seen * unseen / (seen + unseen) if seen + unseen else 0.0
        found = {"seen": float(seen), "unseen": float(unseen), "harmonic_mean": float(both)}
        note = (
            f"among all names: {seen:.2f} % of the {len(known)} clips of seen classes in split "
            f"{test.name!r}, {unseen:.2f} % of these; harmonic mean {both:.2f}"
        )
        return {"seen_and_unseen": found}, [note]


def chosen_length(scalars: Mapping[str, float]) -> dict[str, str]:
    """What a validation chose, {"length": a key of `recognition.LENGTHS`}, to store with the model.

    Equal ones: sum. Of several datasets, the mean of their top-1 counts.

    Args:
      scalars: of `Sentences.validate`, or of `evaluate.validate_all`, in which their names have a
        prefix. Of another task, or if the scores were not finite, the result is empty.
    """
    found = {
        how: [x for name, x in scalars.items() if name.rpartition("/")[2] == f"top1_{how}"]
        for how in LENGTHS
    }
    if not all(found.values()):
        return {}
    return {"length": max(LENGTHS, key=lambda how: float(np.mean(found[how])))}


@functools.lru_cache(maxsize=16)
def _places(chosen: tuple[int, ...]) -> dict[int, int]:
    return {k: i for i, k in enumerate(chosen)}


def _within(labels: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Labels [N, m] as indices into `chosen`; -1 stays.

    Raises:
      ValueError: a clip has none of the chosen classes.
    """
    place = _places(tuple(chosen.tolist()))
    out = np.array([[place.get(k, -1) for k in row] for row in labels.tolist()], np.int64)
    if (missing := np.flatnonzero((out < 0).all(axis=1))).size:
        raise ValueError(
            f"{missing.size} clips are of classes that no training clip has; score them in a split "
            "of their own"
        )
    return out
