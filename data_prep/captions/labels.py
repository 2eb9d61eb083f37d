"""What `data_prep describe` describes: labels of a file, or classes of a prepared dataset."""

import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from data_prep.class_texts import all_splits
from motionalign import reading
from motionalign.data.dataset import Dataset, Metadata

# Groups of attributes by the keys of the published prompt, in its order (Walk and Text, Table III).
# Groups that the paper does not have, such as columns of a label table, are ours and keep their
# names.
PUBLISHED_KEYS = {
    "gender": "sex",
    "body": "bodytype",
    "age-group": "age",
    "viewpoint": "viewpoint",
    "accessory": "accessories",
    "apparent-action": "actions",
    "clothing": "clothing style",
    "footware": "footwear",
}


def read_labels(path: str | pathlib.Path, kind: str) -> dict[str, Any]:
    """Reads {name: label or attributes} from a JSON list of names or object of attribute sets.

    A set of attributes is a list, ["Male", "Backpack"], or an object that groups them,
    {"sex": "male", "footwear": [...]}, whose keys are kept.
    """
    try:
        values = reading.read_json(path)
    except ValueError as error:  # which starts with the path
        raise ValueError(f"--labels={error}") from error
    if _is_names(values) and values:
        return {name: name for name in values}
    sets = isinstance(values, dict) and values and list(values.values())
    if kind == "appearance" and sets and all(map(_is_set, sets)):
        return values
    expected = '{"name": ["attribute", ...], ...}' if kind == "appearance" else '["label", ...]'
    raise ValueError(f"--labels={path}: expected JSON like {expected}")


def dataset_labels(dataset: Dataset, kind: str) -> dict[str, Any]:
    """{name: label or attributes} of a prepared dataset's classes, under their names.

    For kind "appearance", these are the distinct sets of attributes in all splits,
    {words: {key: name or names}}; for other kinds, the actions. A ValueError if the dataset has
    none.
    """
    metadata = dataset.metadata
    found = metadata.attribute_names if kind == "appearance" else metadata.label_names
    if not found:
        wanted = "attributes" if kind == "appearance" else "labels"
        raise ValueError(f"--name={dataset.name}: the dataset has no {wanted} to describe")
    if kind != "appearance":
        return {name: name for name in found}
    sets = [metadata.positive(split.attributes) for split in all_splits(dataset)]
    return {
        metadata.attribute_words(row): _by_key(metadata, row)
        for row in np.unique(np.concatenate(sets), axis=0)
        if row.any()  # an empty set cannot be described
    }


def _by_key(metadata: Metadata, row: np.ndarray) -> dict[str, Any]:
    """A set of attributes in the form of the published prompt: {"sex": "male", ...}."""
    positive = dict(zip(metadata.positive_names, row, strict=True))
    found = {}
    for group, key in published_keys([*metadata.attribute_groups]).items():
        members = metadata.attribute_groups[group]
        pairs = ((name, metadata.attribute_opposites.get(name)) for name in members)
        names = [n for pair in pairs for n in dict.fromkeys(pair) if n and positive[n]]
        if names:
            found[key] = names[0] if len(names) == 1 else names
    return found


def published_keys(groups: Sequence[str]) -> dict[str, str]:
    """{group: key in the prompt} in the order of the prompt: the paper's first, then ours."""
    ordered = [group for group in PUBLISHED_KEYS if group in groups]
    ordered += [group for group in groups if group not in PUBLISHED_KEYS]
    keys = {group: PUBLISHED_KEYS.get(group, group) for group in ordered}
    # Both "gender" and "sex" in a label table stay two groups.
    return {group: group if key in groups else key for group, key in keys.items()}


def _is_names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in value)


def _is_set(value: Any) -> bool:
    if isinstance(value, dict):
        return all(isinstance(each, str) or _is_names(each) for each in value.values())
    return _is_names(value)
