"""Motion files of any format as the input of a model.

A model of SMPL's 22 joints reads any human body; one of other joints reads files that have these,
by their names. An .npy file in the shape of the training data, without a skeleton file, is read as
`Model.encode_motion` reads an array.
"""

import collections
import dataclasses
import os
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from motionalign import reading
from motionalign.anatomy.persons import persons_of
from motionalign.anatomy.takes import Take, Told, kinds, read_takes
from motionalign.conventions import Finding
from motionalign.data.dataset import Metadata
from motionalign.data.representation import Representation
from motionalign.data.resample import resample
from motionalign.formats import skeleton_file
from motionalign.inference.given import Conventions, Given, ImplausibleClip
from motionalign.inference.reference import read
from motionalign.skeleton import SKELETONS, Skeleton

JOINTS = ("as trained", "native")
"""In which joints files are read: those of the training data, or their own."""

ARRAY = ".npy"

_FEATURES = 263  # values of a frame of HumanML3D's features, from which its joints are computed


@dataclasses.dataclass
class MotionInput:
    """The clips of motion files, converted to the input of a model.

    Attributes:
      ids: of the clips.
      clips: the input of each.
      kinds: (format, convention) of each; (".npy", "") of a plain array.
      rates: frames per second of each.
      skipped: {"id", "reason"} of the files and clips that cannot be read.
      implausible: {id: why} of those of them that are not what they should be.
      own: the statistics of the clips themselves, where these count; None: those of the model.
    """

    ids: list[str] = dataclasses.field(default_factory=list)
    clips: list[np.ndarray] = dataclasses.field(default_factory=list)
    kinds: list[tuple[str, str]] = dataclasses.field(default_factory=list)
    rates: list[float] = dataclasses.field(default_factory=list)
    skipped: list[dict[str, str]] = dataclasses.field(default_factory=list)
    implausible: dict[str, Finding] = dataclasses.field(default_factory=dict)
    own: Metadata | None = None

    @property
    def arrays(self) -> int:
        """How many clips are plain arrays."""
        return sum(name == ARRAY for name, _ in self.kinds)

    def counts(self) -> str:
        """How many clips there are of which kind: "12 BVH (Mixamo), 3 C3D"."""
        return kinds(self.kinds)

    def chosen(self, rows: Sequence[int]) -> "MotionInput":
        """The clips of some rows."""
        lists = {name: [getattr(self, name)[row] for row in rows] for name in
                 ("ids", "clips", "kinds", "rates")}  # fmt: skip
        return dataclasses.replace(self, **lists)


class Raw(NamedTuple):
    """A clip before its conversion.

    Attributes:
      id: its id.
      joints: [T, J, 3]; in metres and with Y up unless `kind` is that of an array.
      fps: frames per second.
      kind: format and convention.
      sensor: how steady its joints are, a key of `conventions.SENSORS`.
      skeleton: of the joints; None: that of the model.
      finding: why the file's joints are not what they should be, in its own unit and axes; None: it
        is not known, or they are.
    """

    id: str
    joints: np.ndarray
    fps: float
    kind: tuple[str, str]
    sensor: str = "optical"
    skeleton: Skeleton | None = None
    finding: Finding | None = None


@dataclasses.dataclass(frozen=True)
class Asked:
    """How files are to be read.

    Attributes:
      reference: the training dataset whose statistics and conventions count.
      input: the representation that the model reads.
      told: what the user says about files.
      assumed_fps: of plain arrays, where the user gives no rate; None: that is an error.
      conventions: how joints are given; unit, axis and order are those of plain arrays.
      native: whether files keep their own skeleton, and have their own statistics.
    """

    reference: Metadata
    input: Representation
    told: Told
    assumed_fps: float | None = None
    conventions: Conventions = dataclasses.field(default_factory=Conventions)
    native: bool = False

    def check(self) -> None:
        """Raises a ValueError for what is wrong with any file."""
        Given.of(**self.conventions).check(self.reference, self.input)
        self.told.declared()
        if self.native and not (self.input.by_statistics and self.input.of_positions):
            raise ValueError(
                "joints of another skeleton fit models of motion patches only: this model reads "
                f"{self.input.raw_field} of skeleton {self.reference.skeleton.name!r}"
            )


def read_input(
    files: Mapping[pathlib.Path, str],
    asked: Asked,
    below: pathlib.Path | None = None,
    progress: str | None = None,
) -> MotionInput:
    """Reads files and converts their clips.

    Args:
      files: {file: id}.
      asked: how.
      below: a folder that messages leave out.
      progress: name of a progress bar; None: there is none.

    Raises:
      ValueError: an argument is wrong. What is wrong with a file is in `skipped`.
    """
    asked.check()
    found = MotionInput()
    raw: list[Raw] = []
    for file, name in tqdm(files.items(), progress, unit="file", disable=not progress):
        for each in _raw_clips(file, name, asked):
            if isinstance(each, Raw) and asked.native:
                raw.append(each)
            elif isinstance(each, Raw):
                _add(found, each, asked, below)
            else:
                _skip(found, *each, below)
    if raw:
        _add_native(found, raw, asked, below)
    return found


def _skip(
    found: MotionInput,
    name: str,
    error: ValueError,
    below: pathlib.Path | None,
    in_file: Finding | None = None,
) -> None:
    """Skips a clip; `in_file` is its finding in the file's own unit and axes, if it has any."""
    if isinstance(error, ImplausibleClip):
        finding = error.finding
        if in_file is not None and in_file.reason == finding.reason:
            finding = in_file  # whose remedy declares the file as it is
        found.implausible[name] = finding
        reason = f"{finding.reason}: {finding.detail}"
    else:
        reason = str(error).removeprefix(f"{below}{os.sep}" if below else "")
    found.skipped.append({"id": name, "reason": reason})


def _add(found: MotionInput, raw: Raw, asked: Asked, below: pathlib.Path | None) -> None:
    """Converts a clip and adds it, or skips it."""
    try:
        given = _given(raw, asked)
        clip = read(raw.joints, raw.fps, given, asked.reference, asked.input)
    except ValueError as error:
        _skip(found, raw.id, error, below, raw.finding)
        return
    _append(found, raw, clip)


def _append(found: MotionInput, raw: Raw, clip: np.ndarray) -> None:
    found.ids.append(raw.id)
    found.clips.append(clip)
    found.kinds.append(raw.kind)
    found.rates.append(raw.fps)


def _given(raw: Raw, asked: Asked) -> Given:
    """The conventions of a clip: those that the user gives for arrays, metres and Y up for others.

    The sensor of training data judges clips, unless the joints of a file may shake more.
    """
    if raw.kind[0] == ARRAY:
        return Given.of(**asked.conventions)
    keep: Any = {name: value for name, value in asked.conventions.items()
                 if name in ("canonical", "accept", "sensor")}  # fmt: skip
    if raw.sensor == "depth":
        keep.setdefault("sensor", "depth")
    known = asked.reference.unit_in_metres is not None and asked.reference.skeleton.dims == 3
    return Given.of(unit="m" if known else None, **keep)


# ---------------------------------------------------------------------------- reading


def _raw_clips(
    file: pathlib.Path, name: str, asked: Asked
) -> Iterator[Raw | tuple[str, ValueError]]:
    """The clips of a file; (id, error) of what cannot be read."""
    try:
        if is_plain_array(file, asked.told.skeleton) and not asked.native:
            array = reading.read_array(file)
            if not _is_features(array, asked):
                fps = asked.told.fps or asked.assumed_fps
                if fps is None:
                    raise ValueError(f"{file} states no frame rate: give it as fps")
                yield Raw(name, array, fps, (ARRAY, ""))
                return
        if not asked.input.of_positions:
            raise ValueError(
                f"{file}: this model reads {asked.input.raw_shape}, which are not computed from "
                "motion files; give .npy files"
            )
        takes = read_takes(file, asked.told)
    except ValueError as error:
        yield name, error
        return
    for take in takes:
        yield from _of_take(take, take.clip_id(name), asked)


def is_plain_array(file: pathlib.Path, skeleton: str | os.PathLike | None) -> bool:
    """Whether a file is an .npy of which no skeleton file says what it is."""
    return file.suffix == ARRAY and skeleton is None and skeleton_file.beside(file) is None


def _is_features(array: np.ndarray, asked: Asked) -> bool:
    """Whether an array is HumanML3D's features, which its format converts to joints."""
    joints = asked.reference.skeleton.joint_names == SKELETONS["smpl22"].joint_names
    return joints and array.ndim == 2 and array.shape[1] == _FEATURES and asked.input.of_positions


def _of_take(take: Take, name: str, asked: Asked) -> Iterator[Raw | tuple[str, ValueError]]:
    """The clips of the persons of a take."""
    kind = take.motion.format, take.body.convention
    try:
        persons = persons_of(take, None if asked.native else asked.reference.skeleton)
        if take.fps is None:
            raise ValueError(f"{take.where} ({kind[0]}) states no frame rate: give it by --fps")
    except ValueError as error:
        yield name, error
        return
    for person in persons.all:
        if len(person.joints) < 2:
            error = ValueError(f"{take.where}: no two frames have all joints of this person")
            yield name + person.label, error
            continue
        own, body = name + person.label, take.body
        yield Raw(
            own, person.joints, take.fps, kind, body.sensor, persons.skeleton, body.finding
        )  # fmt: skip


# ---------------------------------------------------------------------------- own statistics


def _add_native(
    found: MotionInput, raw: Sequence[Raw], asked: Asked, below: pathlib.Path | None
) -> None:
    """Converts clips with their own skeleton and statistics, as for a dataset of their own."""
    skeleton, count = collections.Counter(each.skeleton for each in raw).most_common(1)[0]
    assert skeleton is not None
    shape = (skeleton.num_joints, 3)
    blank = dataclasses.replace(
        asked.reference, name="these clips", skeleton=skeleton, unit_in_metres=1.0,
        mean=np.zeros(shape), std=np.ones(shape), fingerprint=None,
    )  # fmt: skip
    asked = dataclasses.replace(asked, reference=blank)
    placed: list[Raw] = []
    for each in raw:
        try:
            if each.skeleton != skeleton:
                raise ValueError(
                    f"it has another skeleton than {count} other clips, which have the "
                    f"{skeleton.num_joints} joints {', '.join(skeleton.joint_names[:4])}, ..."
                )
            given = _given(each, asked)
            joints = given.converted(each.joints, each.fps, blank, asked.input)
        except ValueError as error:
            _skip(found, each.id, error, below, each.finding)
            continue
        placed.append(each._replace(joints=joints))
    if not placed:
        return
    mean, std = _statistics([resample(each.joints, each.fps, blank.fps) for each in placed])
    found.own = dataclasses.replace(blank, mean=mean, std=std)
    for each in placed:
        _append(found, each, asked.input.prepare(each.joints, each.fps, found.own))


def _statistics(clips: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of every coordinate, [J, 3]; 1 where it does not vary."""
    frames = np.concatenate(clips).astype(np.float64)
    std = frames.std(axis=0)
    return frames.mean(axis=0), np.where(std > 0, std, 1.0)
