"""Encodes or classifies the motion files of a folder, or one file.

Every format of `motionalign.formats` is read, whatever its skeleton, and .npy clips [T, J, 3] as
`Model.encode_motion` does. Every person of every take is a clip of its own. An .npz has the arrays

  ids: [N] paths below the folder without suffix, or with it where two files would have one id; then
    "#take" and "#person" where there are several.
  embeddings: [N, E] float32, of unit length unless the model uses the Euclidean distance. A
    classifier writes `probabilities` [N, K] float32 and `class_names` [K] instead.
  cut: ids of the clips longer than the model's maximum; only their first frames, or those of the
    model's `window`, are used.
  skipped: JSON list of the clips that were skipped, with reasons.
  statistics: only with native joints: JSON of whose they are ("these clips"), the joint names, mean
    and standard deviation.

A classifier can also write a .csv with one row per clip and one column per class; the row starts
with the most probable class (for attributes, all above 0.5). NAME.notes.csv beside it lists cut and
skipped ones.
"""

import dataclasses
import json
import pathlib
from collections.abc import Iterator, Sequence
from typing import Unpack

import numpy as np

from motionalign.anatomy.takes import file_ids, motion_files
from motionalign.conventions import as_flag
from motionalign.conventions.findings import most_common
from motionalign.data.cuts import EXAMPLES
from motionalign.data.resample import check_fps
from motionalign.files import check_place, expand, write_arrays, write_csv
from motionalign.inference.given import Conventions, Given
from motionalign.inference.model import Model, load
from motionalign.inference.motion_input import JOINTS, MotionInput, is_plain_array, read_input
from motionalign.inference.reference import described
from motionalign.models.heads import ClassifierConfig


@dataclasses.dataclass(frozen=True)
class EncodedFolder:
    """Summary of an encoded folder.

    Attributes:
      ids: ids of the encoded clips: paths below the folder without suffix, with "#take" and
        "#person" where a file has several.
      fps: frame rate of the .npy clips, which do not state any.
      assumed: whether `fps` was not given, but is that of the raw files of the training data.
      output: the file that was written.
      notes: for a .csv, the file beside it that lists the clips in `cut` and `skipped`.
      cut: ids of the clips of which only a part was encoded.
      counts: the encoded part of these clips: "start", ...
      seconds: maximum duration that the model reads.
      skipped: {"id", "reason"} of the clips that were skipped.
      read_as: whose statistics and conventions count, in words.
      kinds: what the clips were, "12 BVH (Mixamo), 3 C3D"; "" if all were .npy.
      rates: the frame rates of the clips.
      others: number of files of other kinds in the folder.
    """

    ids: Sequence[str]
    fps: float
    assumed: bool
    output: pathlib.Path
    notes: pathlib.Path | None
    cut: Sequence[str]
    counts: str
    seconds: float
    skipped: Sequence[dict[str, str]]
    read_as: str = ""
    kinds: str = ""
    rates: Sequence[float] = ()
    others: int = 0

    def summary(self) -> str:
        """A summary for the user."""
        rates = "" if self.kinds else f" at {self.fps:g} fps"
        lines = [f"{len(self.ids)} clips{rates} → {self.output}; {len(self.skipped)} skipped"]
        if self.kinds:
            known = ", ".join(f"{rate:.4g}" for rate in sorted({*self.rates}))
            lines.append(f"Read from {self.kinds}, at {known} fps")
        if self.assumed:
            which = "the .npy clips" if self.kinds else "the clips"
            lines.append(
                f"{self.fps:g} fps is assumed, the rate of the raw training files: give --fps if "
                f"{which} have another one"
            )
        if self.read_as:
            lines.append(f"They are read {self.read_as}")
        if self.cut:
            more = ", ..." if len(self.cut) > EXAMPLES else ""
            lines.append(
                f"{len(self.cut)} are longer than {self.seconds:.1f} s; part used: {self.counts}; "
                f"for example {', '.join(self.cut[:EXAMPLES])}{more}"
            )
        lines += [f"  {item['id']}: {item['reason']}" for item in self.skipped[:10]]
        if len(self.skipped) > 10:
            lines.append(f"  and {len(self.skipped) - 10} more")
        if self.notes and (self.cut or self.skipped):
            lines.append(f"All of these clips: {self.notes}")
        if self.kinds and self.others:
            files = "1 file" if self.others == 1 else f"{self.others} files"
            lines.append(f"Left out: {files} of other kinds")
        return "\n".join(lines)


def encode_folder(
    path: str | pathlib.Path,
    folder: str | pathlib.Path,
    output: str | pathlib.Path,
    fps: float | None = None,
    dataset: str | None = None,
    *,
    joints: str = JOINTS[0],
    skeleton: str | pathlib.Path | None = None,
    smplh_dir: str | pathlib.Path | None = None,
    **conventions: Unpack[Conventions],
) -> EncodedFolder:
    """Encodes the motion files below a folder; with a classifier, classifies them.

    An invalid clip is skipped and does not stop the others, unless most clips are implausible.

    Args:
      path: the model, as for `motionalign.load`.
      folder: folder of the clips, or one file.
      output: the .npz to write, or for a classifier the .csv.
      fps: frame rate of .npy clips, default: that of the raw files that the model was trained on;
        and of other files that state none, which are skipped without it.
      dataset: training dataset whose statistics and conventions count; default: the first.
      joints: "as trained", or "native"; see `Model.encode_files`.
      skeleton, smplh_dir: see `Model.encode_files`.
      **conventions: how the joints are given; see `Model.encode_motion`. `unit` and `up` count
        before what files say or what is found in them.

    Raises:
      ValueError: the folder has no valid clip, most clips are implausible, or
        `output` has another suffix.
    """
    folder, output = expand(folder), expand(output)
    files, others = _find(folder, output, skeleton)
    root = folder if folder.is_dir() and files != [folder] else folder.parent
    if fps is not None:
        check_fps(fps, "--fps")
    Given.of(**conventions)
    model = load(path)
    _check_kind(model, path)
    _check_suffix(output, model.encoder.network.config.classifier)
    metadata = model.metadata(dataset)
    asked = model.asked(fps, dataset, joints, skeleton, smplh_dir, conventions)
    asked = dataclasses.replace(asked, assumed_fps=metadata.source_fps)
    found = read_input(file_ids(root, files), asked, root, "read")
    _check_most(found, folder, conventions.get("unit"))
    found, encoded = _finite(found, _encoded(model, found.clips))
    seen = model.encoder.representation
    cut = [name for name, clip in zip(found.ids, found.clips) if len(clip) > seen.max_frames]
    notes = _write(output, model, found, encoded, cut)
    return EncodedFolder(
        found.ids, metadata.source_fps if fps is None else fps, fps is None and found.arrays > 0,
        output, notes, cut, seen.part_seen, seen.max_frames / metadata.fps, found.skipped,
        _read_as(model, dataset, asked.conventions, found),
        "" if found.arrays == len(found.ids) else found.counts(), found.rates, others,
    )  # fmt: skip


def _write(
    output: pathlib.Path,
    model: Model,
    found: MotionInput,
    encoded: dict[str, np.ndarray],
    cut: Sequence[str],
) -> pathlib.Path | None:
    """Writes the output; returns the path of the notes beside a .csv."""
    ids, classifier = found.ids, model.encoder.network.config.classifier
    if classifier is not None and output.suffix == ".csv":
        head = ["id", "class" if classifier.exclusive else "attributes", *classifier.names]
        write_csv(output, head, _rows(ids, classifier, encoded["probabilities"]))
        return _write_notes(output, cut, model.encoder.representation.part_seen, found.skipped)
    content = {"ids": np.array(ids), **encoded, "cut": np.array(cut, dtype=str)}
    content["skipped"] = np.array(json.dumps(found.skipped))
    write_arrays(output, content | _own_statistics(found))
    return None


def _check_most(found: MotionInput, folder: pathlib.Path, unit: str | None) -> None:
    """Raises a ValueError if most clips are implausible, or none is valid."""
    count = len(found.ids) + len(found.skipped)
    if (common := most_common(found.implausible, count)) is not None:
        advice = common.finding.advice(as_flag)
        if common.finding.reason == "unit_implausible" and unit is not None and not found.arrays:
            advice = f"Without --unit={unit}, the unit of each file is found. {advice}"
        raise ValueError(
            f"--input={folder}: {common.count} of {count} clips are implausible"
            f"{common.reasons}, so nothing was written. {common.finding.detail}. {advice}"
        )
    if not found.clips:
        first = found.skipped[0]
        raise ValueError(
            f"--input={folder}: none of the {count} clips is valid; the first, {first['id']}: "
            f"{first['reason']}"
        )


def _own_statistics(found: MotionInput) -> dict[str, np.ndarray]:
    """The statistics of clips that keep their own joints, as an array of the .npz."""
    if found.own is None:
        return {}
    values = {
        "of": found.own.name,
        "joint_names": list(found.own.skeleton.joint_names),
        "mean": found.own.mean.tolist(),
        "std": found.own.std.tolist(),
    }
    return {"statistics": np.array(json.dumps(values))}


def _check_kind(model: Model, path: str | pathlib.Path) -> None:
    """Raises a ValueError for a model that neither embeds nor classifies."""
    kind = model.run["kind"]
    instead = {
        "motion_tokenizer": "--mode=tokenize writes the sentences of a dataset, and "
        "Model.sentence(joints, fps) in Python those of clips",
        "language_model": "--mode=eval scores it on a dataset, and "
        "Model.recognise(joints, names, fps) in Python names clips",
    }
    if kind in instead:
        raise ValueError(f"{path} is a {kind} and has no embeddings to write: {instead[kind]}")


def _check_suffix(output: pathlib.Path, classifier: ClassifierConfig | None) -> None:
    """Raises a ValueError for a .csv of a model that is no classifier."""
    if output.suffix == ".csv" and not classifier:
        raise ValueError(
            f"--output={output}: only classifiers write a .csv; give an .npz for embeddings"
        )


def _read_as(
    model: Model, dataset: str | None, conventions: Conventions, found: MotionInput
) -> str:
    """Whose statistics and conventions count, in words."""
    name, count = dataset or next(iter(model.datasets)), len(model.datasets)
    if found.own is not None:
        skeleton = found.own.skeleton
        return (
            f"in their own skeleton of {skeleton.num_joints} joints ({skeleton.name}), with the "
            "statistics of these clips themselves, not of a training dataset: vectors of other "
            "folders are not comparable unless they have the same"
        )
    placed = Given.of(**conventions).canonical != "never"
    said = described(name, model.metadata(name), model.encoder.representation, placed=placed)
    chosen = dataset is not None or count == 1
    return said if chosen else f"{said}, the first of {count} (--dataset names another)"


def _write_notes(
    output: pathlib.Path, cut: Sequence[str], part: str, skipped: Sequence[dict[str, str]]
) -> pathlib.Path:
    """Writes the cut and skipped clips to a CSV file beside the output; returns its path."""
    path = output.with_suffix(".notes.csv")
    rows = [[name, "cut", f"part used: {part}"] for name in cut]
    rows += [[item["id"], "skipped", item["reason"]] for item in skipped]
    write_csv(path, ["id", "note", "reason"], sorted(rows))
    return path


def _find(
    folder: pathlib.Path, output: pathlib.Path, skeleton: str | pathlib.Path | None
) -> tuple[list[pathlib.Path], int]:
    """The motion files of a folder, sorted, and how many files of other kinds it has.

    Raises:
      ValueError: there is none, or the suffix of the output is invalid.
    """
    if output.suffix not in (".npz", ".csv"):
        raise ValueError(
            f"--output={output}: expected a name that ends in .npz (or .csv for a classifier)"
        )
    if output.is_dir():
        raise ValueError(f"--output={output} is a folder; name a file")
    check_place(output, f"--output={output}")
    if folder.is_file():
        if is_plain_array(folder, skeleton):  # one of many clips that share their rate and joints
            raise ValueError(f"--input={folder} is a file; name the folder that it is in")
        return [folder], 0
    if not folder.is_dir():
        raise ValueError(f"--input={folder}: no such folder or file")
    arrays = [*folder.rglob("*.npy")]  # also those of which no format knows what they are
    try:
        files, others = motion_files(folder)
    except ValueError:
        files, others = [], []
    written = output.absolute()
    chosen = sorted({path for path in (*files, *arrays) if path.absolute() != written})
    if not chosen:
        raise ValueError(
            f"--input={folder}: the folder contains no .npy files, and no motion files of other "
            "formats"
        )
    left = [path for path in others if path not in chosen and path.absolute() != written]
    return chosen, len(left)


def _encoded(model: Model, clips: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
    """The model's output for prepared clips: embeddings, or probabilities of classes."""
    if model.encoder.network.config.classifier:
        probabilities = model.classify_prepared(clips, progress="classify")
        return {"probabilities": probabilities, "class_names": np.array(model.class_names)}
    # A model trained with the Euclidean distance needs the lengths of the vectors.
    return {"embeddings": model.encode_prepared(clips, model.distance == "cosine", "encode")}


def _finite(
    found: MotionInput, encoded: dict[str, np.ndarray]
) -> tuple[MotionInput, dict[str, np.ndarray]]:
    """The clips and outputs where the output is finite; the others are added to `skipped`."""
    name = next(iter(encoded))  # the array with a row for every clip
    finite = np.isfinite(encoded[name]).all(axis=1)
    reason = "the model's output is not finite: the clip is far outside of the training data"
    found.skipped += [{"id": found.ids[row], "reason": reason} for row in np.flatnonzero(~finite)]
    if not finite.any():
        raise ValueError(
            "the model's output is not finite for any clip: its parameters may not be finite"
        )
    rows = np.flatnonzero(finite)
    return found.chosen(rows.tolist()), encoded | {name: encoded[name][rows]}


def _rows(
    ids: Sequence[str], classifier: ClassifierConfig, probabilities: np.ndarray
) -> Iterator[list[str]]:
    """CSV rows: clip id, predicted class or attributes, probabilities of all classes."""
    for name, row in zip(ids, probabilities, strict=True):
        found = [row.argmax()] if classifier.exclusive else np.flatnonzero(row > 0.5)
        words = ", ".join(classifier.names[i] for i in found)
        yield [name, words, *(f"{value:.6g}" for value in row)]
