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
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from ml_collections import ConfigDict

from motionalign.config import Entry
from motionalign.data.dataset import Dataset
from motionalign.data.records import Split
from motionalign.inference.encoder import Predictor
from motionalign.metrics import topk_accuracy
from motionalign.models import instructions
from motionalign.models.motion_language import prompt_ids
from motionalign.tasks import classes
from motionalign.tasks.labels import Labels, label_results, protocol_of, recognise
from motionalign.tasks.task import Results

LENGTHS = {"sum": 0.0, "mean": 1.0}
"""{normalisation: power of the number of tokens by which a log-probability is divided}."""

_UNIT = "log-probabilities"


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
        for how, power in LENGTHS.items():
            top1, top5 = topk_accuracy(sums / lengths**power, labels, (1, 5))
            scalars |= {f"top1_{how}": float(top1), f"top5_{how}": float(top5)}
        best = max(LENGTHS, key=lambda how: scalars[f"top1_{how}"])
        right = sums[np.arange(len(labels)), labels[:, 0]]
        scalars |= {"top1": scalars[f"top1_{best}"], "top5": scalars[f"top5_{best}"]}
        return scalars["top1"], scalars | {
            "loss": float(-right.sum() / lengths[labels[:, 0]].sum())
        }

    def _length(self, predict: Predictor, dataset: Dataset) -> str:
        """The normalisation by length that is better on the validation split; equal ones: sum."""
        _, scalars = self.validate(predict, dataset, self._val_split)
        return max(LENGTHS, key=lambda how: scalars.get(f"top1_{how}", 0.0))

    def _seen(self, dataset: Dataset) -> np.ndarray:
        """The classes that training clips have, ascending."""
        found = np.unique(dataset.split(self._train_split).all_labels)
        return found[found >= 0]

    def _sums(
        self, predict: Predictor, dataset: Dataset, split: Split, rows: np.ndarray, names: Names
    ) -> tuple[np.ndarray, np.ndarray]:
        """Log-probabilities [N, K] of these names, and their numbers of tokens [K]."""
        texts = [dataset.metadata.label_names[k] for k in names.classes]
        ids, mask = predict.tokenizer.encode(texts)
        before = self._before(predict, texts)
        return predict.outputs("scores", dataset, split, rows, ids, mask, before), mask.sum(axis=1)

    def _before(self, predict: Predictor, texts: Sequence[str]) -> np.ndarray | None:
        """The start of the instruction, if it lists the names; None: that of training."""
        instruction = predict.network.config.instruction
        if not instructions.lists_names(instruction):
            return None
        return np.asarray(prompt_ids(predict.tokenizer, instruction, texts), np.int32)

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
            own = sums / lengths ** LENGTHS[how]
            scores[names.title] = self._among_all(own, names, dataset)
            rows[names.title] = recognise(
                own,
                _within(labels, names.classes),
                [dataset.metadata.label_names[k] for k in names.classes],
            )
        content, notes = self._facts(predict, dataset, split, known, how)
        if len(asked) > 1:
            found, note = self._together(predict, dataset, split_name, rows[asked[-1].title], how)
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
            return [Names("seen names", seen), every]
        if np.isin(there, seen).any():
            raise ValueError(
                f"{dataset.version_dir}: the split has clips of classes with and without training "
                "clips; they need a split each"
            )
        return [Names("unseen names", unseen), every]

    def _among_all(self, scores: np.ndarray, names: Names, dataset: Dataset) -> np.ndarray:
        """Scores [N, K] of some names as those of all; the others have a lower one than any."""
        lowest = scores.min() - 1
        out = np.full((len(scores), len(dataset.metadata.label_names)), lowest, scores.dtype)
        out[:, names.classes] = scores
        return out

    def _facts(
        self, predict: Predictor, dataset: Dataset, split: Split, known: np.ndarray, how: str
    ) -> tuple[dict[str, Any], list[str]]:
        """Fields of metrics.json and notes: protocol, normalisation, and answers in free text."""
        facts, notes = protocol_of(dataset, split, known)
        names = list(dataset.metadata.label_names)
        before = self._before(predict, [names[k] for k in self._seen(dataset)])
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
        self, predict: Predictor, dataset: Dataset, split_name: str, among_all: dict, how: str
    ) -> tuple[dict[str, Any], list[str]]:
        """The harmonic mean of top-1 on seen and on unseen classes, each among all names."""
        if split_name == self._test_split:
            return {}, []
        test = dataset.split(self._test_split)
        known = classes.known_rows(self, dataset, test)
        every = Names("", np.arange(len(dataset.metadata.label_names)))
        sums, lengths = self._sums(predict, dataset, test, known, every)
        labels = test.all_labels[known]
        seen, _ = topk_accuracy(sums / lengths ** LENGTHS[how], labels, (1, 5))
        unseen = among_all["top1"]
        both = 2 * seen * unseen / (seen + unseen) if seen + unseen else 0.0
        found = {"seen": float(seen), "unseen": float(unseen), "harmonic_mean": float(both)}
        note = (
            f"among all names: {seen:.2f} % of the {len(known)} clips of seen classes in split "
            f"{test.name!r}, {unseen:.2f} % of these; harmonic mean {both:.2f}"
        )
        return {"seen_and_unseen": found}, [note]


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
