"""Whose statistics and conventions count where a model reads clips: one rule for all of its uses.

A model is valid for inputs as it was trained on. Clips are therefore read in the statistics, unit,
placement and frame rate of one of its training datasets, the reference:

1. Clips of a prepared dataset: the training dataset of the same name, or with the same content
   under another name. Their records are what the model was trained on and stay as they are; only if
   the statistics differ are motion patches computed again, with the model's.
2. Clips of any other dataset: the first training dataset with the same joints.
3. Clips from files or arrays: the training dataset that the user names, by default the first.
4. Clips of a dataset with joints that no training dataset has: there is no reference. They keep the
   dataset's own statistics, unit and placement, and only the frame rate is the model's.

In cases 2 and 3 clips are converted by the same function, `read`.
"""

import dataclasses
from collections.abc import Callable, Mapping

import numpy as np

from motionalign.conventions.findings import REASONS
from motionalign.data.dataset import Dataset, Metadata
from motionalign.data.representation import Representation
from motionalign.inference.given import Given

_RECORDED = Given(accept=tuple(REASONS))  # all clips are scored, and judged in their preparation


@dataclasses.dataclass(frozen=True)
class Reading:
    """How a model reads the clips of a prepared dataset.

    Attributes:
      prepare: function from the `raw_field` of a record [T, J, C] to the model's input; None: the
        input that the records hold.
      note: whose statistics and conventions count, for results; "" where those of model and dataset
        are the same.
    """

    prepare: Callable[[np.ndarray], np.ndarray] | None
    note: str

    @property
    def about(self) -> dict[str, str]:
        """The note as a field of metrics.json; {} if there is none."""
        return {"input": self.note} if self.note else {}


def read(
    joints: np.ndarray, fps: float, given: Given, reference: Metadata, input: Representation
) -> np.ndarray:
    """Converts a clip to the model's input as its reference would have it.

    Args:
      joints: the clip [T, J, C], as `given` says.
      fps: its frames per second.
      given: its conventions.
      reference: the training dataset whose statistics and conventions count.
      input: the representation that the model reads.

    Raises:
      ValueError: the clip has another shape, is not finite or is implausible.
    """
    return input.prepare(given.converted(joints, fps, reference, input), fps, reference)


def reading_of(trained: Mapping[str, Metadata], dataset: Dataset, input: Representation) -> Reading:
    """How a model reads the clips of a prepared dataset, by the rule of this module.

    Args:
      trained: {name: metadata} of its training datasets, at least one.
      dataset: the dataset.
      input: the representation that the model reads.

    Raises:
      ValueError: the records hold motion patches at another rate than the model's, and no training
        dataset tells how to compute them again.
    """
    theirs, fps = dataset.metadata, next(iter(trained.values())).fps
    if (own := _same(trained, dataset)) is not None:
        if input.as_prepared(own, theirs, fps):
            return Reading(None, "")
        note = "motions are standardised by the checkpoint's statistics, not the dataset's"
        return Reading(
            lambda joints: input.prepare(joints, theirs.fps, own),
            note if input.by_statistics else "",
        )
    name = next((name for name, each in trained.items() if _same_joints(each, theirs)), None)
    if name is None:
        return _without_reference(trained, theirs, input)
    reference = trained[name]
    factor = _factor(theirs, reference)
    scales = input.of_positions and factor not in (None, 1)

    def prepare(joints: np.ndarray) -> np.ndarray:
        if scales:
            joints = (joints * factor).astype(joints.dtype)
        return read(joints, theirs.fps, _RECORDED, reference, input)

    note = f"motions are read {described(name, reference, input, unit=factor is not None)}"
    return Reading(prepare, note)


def _same(trained: Mapping[str, Metadata], dataset: Dataset) -> Metadata | None:
    """The training dataset of the same name, or with the same content."""
    if dataset.name in trained:
        return trained[dataset.name]
    known = {each.fingerprint: each for each in trained.values() if each.fingerprint}
    return known.get(dataset.fingerprint) if known else None


def _same_joints(a: Metadata, b: Metadata) -> bool:
    """Whether statistics and conventions of one dataset can be those of the other."""
    joints = a.skeleton.joint_names == b.skeleton.joint_names
    return joints and a.skeleton.dims == b.skeleton.dims


def _factor(theirs: Metadata, reference: Metadata) -> float | None:
    """From the unit of a dataset to that of the reference; None if one of them is unknown."""
    if theirs.unit_in_metres is None or reference.unit_in_metres is None:
        return None
    return theirs.unit_in_metres / reference.unit_in_metres


def described(
    name: str, reference: Metadata, input: Representation, unit: bool = True, placed: bool = True
) -> str:
    """In whose statistics and conventions clips are read, for a message.

    Args:
      name: name of the reference.
      reference: its metadata.
      input: the representation that the model reads.
      unit: whether clips are in its unit, or converted to it.
      placed: whether clips are moved and turned as its clips are, if these have a common origin.
    """
    has_unit = input.of_positions and reference.skeleton.dims == 3
    shared = {
        "statistics": input.by_statistics,
        "unit": has_unit and unit,
        "placement": has_unit and placed and reference.origin is not None,
    }
    what = ", ".join(name for name, counts in shared.items() if counts)
    what += f"{' and ' if what else ''}frame rate"
    return f"with the {what} ({reference.fps:g} fps) of training dataset {name!r}"


def _without_reference(
    trained: Mapping[str, Metadata], theirs: Metadata, input: Representation
) -> Reading:
    """How clips are read whose joints no training dataset has."""
    metadata = next(iter(trained.values()))
    note = f"no training dataset has the joints of skeleton {theirs.skeleton.name!r}: motions are "
    if input.as_prepared(None, theirs, metadata.fps):
        return Reading(None, f"{note}standardised by the dataset's own statistics")
    return Reading(
        lambda joints: input.prepare(joints, theirs.fps, metadata),
        f"{note}read at {metadata.fps:g} fps and otherwise as they are",
    )
