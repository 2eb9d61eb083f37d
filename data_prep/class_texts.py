"""Class texts (descriptions and synonyms): the classes of a dataset, and the files of their texts.

A reader can take class texts from a file given with its label table; `python -m data_prep embed`
adds them to a prepared dataset.
"""

import pathlib
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any

from motionalign import reading
from motionalign.data.dataset import Dataset, Metadata
from motionalign.data.records import Split
from motionalign.data.texts import attribute_classes

Texts = dict[str, dict[str, list[str]]]  # {"descriptions": {class: [texts]}, "synonyms": {...}}

KINDS = ("descriptions", "synonyms")


def all_texts(dataset: Dataset, class_texts: Texts | None = None) -> set[str]:
    """All texts of a dataset: captions, class names and class texts.

    `class_texts` defaults to those stored with the dataset.
    """
    splits = all_splits(dataset)
    texts = {caption for split in splits for clip in split.captions for caption in clip}
    texts |= class_names(dataset.metadata, splits)
    kinds = dataset.texts if class_texts is None else class_texts
    return texts | {t for of_class in kinds.values() for each in of_class.values() for t in each}


def all_splits(dataset: Dataset) -> list[Split]:
    """All splits of a prepared dataset, whatever their names."""
    indices = sorted(dataset.version_dir.glob("index-*.npz"))
    return [dataset.split(path.stem.removeprefix("index-")) for path in indices]


def class_names(metadata: Metadata, splits: Sequence[Split]) -> set[str]:
    """Names of all classes: actions, attributes, and the sets of attributes that occur."""
    names = {*metadata.label_names, *metadata.positive_names}
    for split in splits if metadata.attribute_names else ():
        names.update(attribute_classes(metadata, split)[0])
    return names


def read_texts(
    path: str | pathlib.Path, names: Collection[str], say: Callable[[str], None] | None = None
) -> Texts:
    """Reads class texts from a file; line breaks within a text become spaces.

    Args:
      path: JSON like data_prep/captions/babel60.json, {"classes": {name: {"descriptions": [...],
        "synonyms": [...]}}}, or the output of `data_prep describe`, {"kind": "synonym" or another,
        "answers": {name: [...]}}.
      names: the dataset's classes. Texts of other classes are left out, since a file may serve
        several datasets, such as all clips of a library and its walks.
      say: receives a message about the classes left out.

    Raises:
      ValueError: the file has neither form, or has texts of none of the dataset's classes.
    """
    try:
        content = reading.read_json(path)
    except ValueError as error:  # which starts with the path
        raise ValueError(f"--texts={error}") from error
    try:
        if isinstance(content, dict) and "classes" in content:
            reading.check_form(content, {"classes": dict[str, dict[str, Any]]}, f"--texts={path}")
            classes = content["classes"].items()
            kinds = {kind: {name: c[kind] for name, c in classes if c.get(kind)} for kind in KINDS}
        else:
            reading.check_form(content, {"kind": str, "answers": dict}, f"--texts={path}")
            kind = "synonyms" if content["kind"] == "synonym" else "descriptions"
            kinds = {kind: content["answers"]}
        reading.check_form(kinds, Texts, f"--texts={path}")
    except ValueError as error:
        raise ValueError(
            f"--texts={path} has neither the form of data_prep/captions/babel60.json nor that of "
            f"the files that `python -m data_prep describe` writes: {error}"
        ) from None
    # Line breaks separate texts in the file of vectors.
    texts = {
        kind: {name: [" ".join(text.split()) for text in each] for name, each in of_class.items()}
        for kind, of_class in kinds.items()
    }
    told = {name for of_class in texts.values() for name in of_class}
    if not told & {*names}:
        raise ValueError(
            f"--texts={path} has texts of {some(sorted(told))}, none of which is a class of the "
            "dataset. Valid classes are its actions, its attributes, and its sets of attributes in "
            f"words: {some(sorted(names)) or 'it has none'}"
        )
    unknown = sorted(told - {*names})
    if unknown and say:
        say(f"{path}: ignored texts of unknown classes: {some(unknown)}")
    return {
        kind: {name: each for name, each in of_class.items() if name in names}
        for kind, of_class in texts.items()
    }


def some(names: list[str], count: int = 10) -> str:
    """The first `count` names in quotes, and the number of remaining ones."""
    more = f" and {len(names) - count} more" if len(names) > count else ""
    return ", ".join(map(repr, names[:count])) + more


def merge(parts: Iterable[Texts]) -> Texts:
    """Merges class texts in order, keeping each text of a class once."""
    merged: Texts = {}
    for part in parts:
        for kind, of_class in part.items():
            for name, each in of_class.items():
                known = merged.setdefault(kind, {}).setdefault(name, [])
                known += [text for text in dict.fromkeys(each) if text not in known]
    return merged
