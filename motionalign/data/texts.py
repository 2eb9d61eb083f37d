"""The texts of a clip: its own captions, or the texts of its class.

A class is an action (a label of the dataset) or a set of attributes (Walk and Text, III-F). Its
name in words is one text; descriptions and synonyms are stored with the dataset (`Dataset.texts`).
"""

import dataclasses
import functools
import hashlib
import json

import numpy as np

from motionalign.data.dataset import CaptionVectors, Dataset, Metadata
from motionalign.data.records import Split

KINDS = ("words", "descriptions", "synonyms")

# Names of the kinds of texts in tables. Synonyms are never trained on (Walk and Text, Table VI).
TITLES = {"words": "label words", "descriptions": "descriptions", "synonyms": "unseen synonyms"}


@dataclasses.dataclass(frozen=True)
class ClipTexts:
    """The texts of each class of a split.

    Attributes:
      names: of the K classes.
      texts: K lists of texts. When training on captions, every clip is a class of its own.
      class_of: [n] the class of each record, an index into `names` and `texts`; -1: no class.
      more_classes: [n, m] the further classes of records with several; -1: none.
    """

    names: list[str]
    texts: list[list[str]]
    class_of: np.ndarray
    more_classes: np.ndarray | None = None

    @functools.cached_property
    def several(self) -> bool:
        """Whether a record has several classes."""
        return self.more_classes is not None and bool((self.more_classes >= 0).any())

    def classes_of(self, rows: np.ndarray) -> np.ndarray:
        """[B] rows of the split to all their classes [B, 1 + m]; -1: none."""
        more = () if self.more_classes is None else (self.more_classes[rows],)
        return np.column_stack([self.class_of[rows], *more])

    def draw(self, rows: np.ndarray, share: np.ndarray) -> np.ndarray:
        """[B] one of the classes of each row, by `share` [B], uniform in [0, 1).

        Every row has a class.
        """
        classes = self.classes_of(rows)
        has = classes >= 0
        # The first columns, in the order of the record, are those with a class.
        order = np.argsort(~has, axis=1, kind="stable")
        chosen = order[np.arange(len(classes)), _index(share, has.sum(axis=1))]
        return classes[np.arange(len(classes)), chosen]

    def digest(self) -> str:
        """SHA-256 of the classes and their texts, in hexadecimal."""
        return hashlib.sha256(json.dumps([self.names, self.texts]).encode()).hexdigest()


def label_classes(metadata: Metadata, split: Split) -> tuple[list[str], np.ndarray]:
    """The actions as classes of the records of a split.

    Args:
      metadata: of the split's dataset.
      split: of n records.

    Returns:
      The class names, and [n] int64 with the index of each record's action (-1: none).

    Raises:
      ValueError: the dataset has no labels.
    """
    _require_classes(metadata, metadata.label_names, "labels")
    return list(metadata.label_names), split.labels


def attribute_classes(metadata: Metadata, split: Split) -> tuple[list[str], np.ndarray]:
    """The distinct sets of positive attributes in a split as classes, sorted by name.

    Returns:
      As `label_classes`; every record has a class, named by its set of attributes in words.

    Raises:
      ValueError: the dataset has no attributes.
    """
    _require_classes(metadata, metadata.attribute_names, "attributes")
    words = [metadata.attribute_words(row) for row in metadata.positive(split.attributes)]
    names, of_record = np.unique(np.array(words, str), return_inverse=True)
    return names.tolist(), of_record


def _require_classes(metadata: Metadata, names: tuple[str, ...], what: str) -> None:
    if not names:
        raise ValueError(
            f"dataset {metadata.name!r} has no {what}. BABEL has labels, DenseGait has attributes; "
            "clips in HumanML3D's layout get both from `data_prep humanml3d --labels_csv`"
        )


def class_texts(dataset: Dataset, names: list[str], kind: str, written: str) -> list[list[str]]:
    """The texts of one kind for each of the named classes.

    Args:
      dataset: the dataset that stores the texts.
      names: of the classes.
      kind: one of `KINDS`.
      written: the value of `data_prep describe --kind` that generates descriptions of such
        classes, for the error message.

    Raises:
      ValueError: a class has no texts of this kind.
    """
    if kind == "words":
        return [[name] for name in names]
    known = dataset.texts.get(kind, {})
    missing = [name for name in names if not known.get(name)]
    if missing:
        written = "synonym" if kind == "synonyms" else written
        raise ValueError(
            f"dataset {dataset.name!r} has no {kind} for {len(missing)} of {len(names)} classes, "
            f"for example {missing[0]!r}. Generate them with a language model: `python -m "
            f"data_prep describe --name={dataset.name} --kind={written} --out={kind}.json "
            f"--model=...`, then `python -m data_prep embed --name={dataset.name} "
            f"--texts {kind}.json`"
        )
    return [known[name] for name in names]


@dataclasses.dataclass(frozen=True)
class TextRows:
    """The texts of all classes, concatenated, as rows of the dataset's sentence vectors.

    Attributes:
      vectors: [V, D] the dataset's sentence vectors.
      rows: [M] the row of `vectors` for each text.
      first, count: [K] the start and number of each class's texts in `rows`.
    """

    vectors: np.ndarray
    rows: np.ndarray
    first: np.ndarray
    count: np.ndarray

    @classmethod
    def of(cls, dataset: Dataset, texts: list[list[str]]) -> "TextRows":
        """Finds the texts of each class; a ValueError if a text has not been embedded."""
        found: CaptionVectors = dataset.require_caption_vectors()
        flat = [text for of_class in texts for text in of_class]
        missing = [text for text in flat if text not in found.rows]
        if missing:
            raise ValueError(
                f"dataset {dataset.name!r} has no vectors for {len(missing)} texts, for example "
                f"{missing[0][:60]!r}. Create them with `python -m data_prep embed "
                f"--name={dataset.name}`"
            )
        count = np.array([len(of_class) for of_class in texts], np.int64)
        rows = np.array([found.rows[text] for text in flat], np.int64)
        return cls(found.vectors, rows, np.cumsum(count) - count, count)

    def of_class(self, k: int) -> np.ndarray:
        """[n_k, D] the vectors of a class."""
        return self.vectors[self.rows[self.first[k] : self.first[k] + self.count[k]]]

    def pick(self, class_of: np.ndarray, share: np.ndarray) -> np.ndarray:
        """Selects a text of each class [B] by `share` [B], uniform in [0, 1): vectors [B, D]."""
        return self.vectors[self.rows[self.first[class_of] + _index(share, self.count[class_of])]]

    def pick_other(self, classes: np.ndarray, share: np.ndarray) -> np.ndarray:
        """Like `pick`, uniform over the texts of all other classes (Walk and Text, III-F).

        Args:
          classes: [B], or [B, m] with several classes of each clip, not all of them; -1: none.
          share: [B] uniform in [0, 1).
        """
        classes = classes.reshape(len(classes), -1)
        has = classes >= 0
        first = np.where(has, self.first[classes], len(self.rows))
        count = np.where(has, self.count[classes], 0)
        index = _index(share, len(self.rows) - count.sum(axis=1))
        order = np.argsort(first, axis=1)
        for column in order.T:  # skips the texts of one class after the other, in their order
            own = np.arange(len(classes)), column
            index = index + count[own] * (index >= first[own])
        return self.vectors[self.rows[index]]


def _index(share: np.ndarray, count: np.ndarray) -> np.ndarray:
    return (share * count).astype(np.int64)
