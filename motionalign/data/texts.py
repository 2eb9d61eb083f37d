"""What may be said of a clip: its own captions, or the texts of its class.

A class is an action (a label of the dataset) or a set of attributes (Walk and Text, III-F). Its
name in words is one text; descriptions and synonyms lie beside the dataset (`Dataset.texts`).
"""

import dataclasses

import numpy as np

from motionalign.data.dataset import CaptionVectors, Dataset, Metadata
from motionalign.data.records import Split


def class_names(metadata: Metadata, split: Split, kind: str) -> tuple[list[str], np.ndarray]:
    """The classes that the records of a split are told apart by.

    Args:
      metadata: of the split's dataset.
      split: of n records.
      kind: "labels": the action classes; "attributes": the distinct sets of positive attributes
        in this split, in words and sorted.

    Returns:
      The names, and for each record the index of its class, [n] int64 (-1: it has no label).

    Raises:
      ValueError: the dataset has no such classes.
    """
    if kind not in ("labels", "attributes"):
        raise ValueError(f"classes by {kind!r}; expected 'labels' or 'attributes'")
    if not (metadata.label_names if kind == "labels" else metadata.attribute_names):
        raise ValueError(
            f"dataset {metadata.name!r} has no {kind}. BABEL comes with labels and DenseGait with "
            "attributes; clips in HumanML3D's layout get both by `data_prep humanml3d --labels_csv`"
        )
    if kind == "labels":
        return list(metadata.label_names), split.labels
    words = [metadata.attribute_words(row) for row in metadata.positive(split.attributes)]
    names, of_record = np.unique(np.array(words, str), return_inverse=True)
    return names.tolist(), of_record


TASKS = ("captions", "labels", "attributes")

KINDS = ("words", "descriptions", "synonyms")

# Kinds of texts as the tables name them. Synonyms are never trained on (Table VI).
TITLES = {"words": "label words", "descriptions": "descriptions", "synonyms": "unseen synonyms"}

_DESCRIBE = {"labels": "action", "attributes": "appearance"}  # --kind of `data_prep describe`


@dataclasses.dataclass(frozen=True)
class ClipTexts:
    """The texts of each class of a split.

    names: of the K classes. texts: K lists; of the clips' own captions, every clip is a class.
    class_of: [n] of each record, an index into both; -1: it has no class.
    """

    names: list[str]
    texts: list[list[str]]
    class_of: np.ndarray


def clip_texts(dataset: Dataset, split: Split, task: str, kind: str = "words") -> ClipTexts:
    """What may be said of the clips of a split.

    Args:
      dataset: whose labels, attributes and class texts count.
      split: one of its splits.
      task: of `TASKS`.
      kind: of `KINDS`, for labels and attributes.

    Raises:
      ValueError: the dataset has no classes of this kind, or classes without such texts.
    """
    if task == "captions":
        return ClipTexts(split.ids, split.captions, np.arange(len(split)))
    names, class_of = class_names(dataset.metadata, split, task)
    return ClipTexts(names, class_texts(dataset, names, task, kind), class_of)


def class_texts(dataset: Dataset, names: list[str], task: str, kind: str) -> list[list[str]]:
    """The texts of one kind of each named class of a task; a ValueError where one has none."""
    if kind == "words":
        return [[name] for name in names]
    known = dataset.texts.get(kind, {})
    missing = [name for name in names if not known.get(name)]
    if missing:
        written = "synonym" if kind == "synonyms" else _DESCRIBE[task]
        raise ValueError(
            f"dataset {dataset.name!r} has no {kind} of {len(missing)} of {len(names)} classes, "
            f"{missing[0]!r} for one. A language model writes them: `python -m data_prep describe "
            f"--name={dataset.name} --kind={written} --out={kind}.json --model=...`, then "
            f"`python -m data_prep embed --name={dataset.name} --texts {kind}.json`"
        )
    return [known[name] for name in names]


@dataclasses.dataclass(frozen=True)
class TextRows:
    """The texts of all classes in one row, as rows of the dataset's sentence vectors.

    rows: [M] of the vectors. first, count: [K], where the texts of a class lie in it.
    """

    vectors: np.ndarray
    rows: np.ndarray
    first: np.ndarray
    count: np.ndarray

    @classmethod
    def of(cls, dataset: Dataset, texts: list[list[str]]) -> "TextRows":
        """Of the texts of each class; a ValueError where one was not embedded."""
        found: CaptionVectors = dataset.require_caption_vectors()
        flat = [text for of_class in texts for text in of_class]
        missing = [text for text in flat if text not in found.rows]
        if missing:
            raise ValueError(
                f"dataset {dataset.name!r} has no vectors of {len(missing)} texts, "
                f"{missing[0][:60]!r} for one; make them with `python -m data_prep embed "
                f"--name={dataset.name}`"
            )
        count = np.array([len(of_class) for of_class in texts], np.int64)
        rows = np.array([found.rows[text] for text in flat], np.int64)
        return cls(found.vectors, rows, np.cumsum(count) - count, count)

    def of_class(self, k: int) -> np.ndarray:
        """[n_k, D], the vectors of a class."""
        return self.vectors[self.rows[self.first[k] : self.first[k] + self.count[k]]]

    def pick(self, class_of: np.ndarray, share: np.ndarray) -> np.ndarray:
        """A text of each class [B], drawn by `share` [B] uniform in 0..1: vectors [B, D]."""
        return self.vectors[self.rows[self.first[class_of] + _index(share, self.count[class_of])]]

    def pick_other(self, class_of: np.ndarray, share: np.ndarray) -> np.ndarray:
        """Likewise, uniform over the texts of all other classes (Walk and Text, III-F)."""
        first, count = self.first[class_of], self.count[class_of]
        index = _index(share, len(self.rows) - count)
        return self.vectors[self.rows[index + count * (index >= first)]]


def _index(share: np.ndarray, count: np.ndarray) -> np.ndarray:
    return (share * count).astype(np.int64)
