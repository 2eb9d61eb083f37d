"""Encodes or classifies the clips of a folder."""

import dataclasses
import functools
import json
import os
import pathlib
from collections.abc import Callable, Iterator, Sequence
from typing import Unpack

import numpy as np
from tqdm import tqdm

from motionalign import reading
from motionalign.conventions import Finding, as_flag
from motionalign.conventions.findings import most_common
from motionalign.data.cuts import EXAMPLES
from motionalign.data.resample import check_fps
from motionalign.files import expand, write_arrays, write_csv
from motionalign.inference.given import Conventions, Given, ImplausibleClip
from motionalign.inference.model import Model, load
from motionalign.inference.reference import described
from motionalign.models.heads import ClassifierConfig


@dataclasses.dataclass(frozen=True)
class EncodedFolder:
    """Summary of an encoded folder.

    Attributes:
      ids: ids of the encoded clips: paths below the folder without .npy.
      fps: frame rate of the clips.
      assumed: whether `fps` was not given, but is that of the raw files of the training data.
      output: the file that was written.
      notes: for a .csv, the file beside it that lists the clips in `cut` and `skipped`.
      cut: ids of the clips of which only a part was encoded.
      counts: the encoded part of these clips: "start", ...
      seconds: maximum duration that the model reads.
      skipped: {"id", "reason"} of the clips that were skipped.
      read_as: whose statistics and conventions count, in words.
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

    def summary(self) -> str:
        """A summary for the user."""
        lines = [
            f"{len(self.ids)} clips at {self.fps:g} fps → {self.output}; "
            f"{len(self.skipped)} skipped"
        ]
        if self.assumed:
            lines.append(
                f"{self.fps:g} fps is assumed, the rate of the raw training files: give --fps if "
                "the clips have another one"
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
        return "\n".join(lines)


def encode_folder(
    path: str | pathlib.Path,
    folder: str | pathlib.Path,
    output: str | pathlib.Path,
    fps: float | None = None,
    dataset: str | None = None,
    **conventions: Unpack[Conventions],
) -> EncodedFolder:
    """Encodes every `.npy` clip [T, J, 3] below a folder; with a classifier, classifies it.

    Writes an .npz with these arrays:
      ids: [N] paths below the folder, without .npy.
      embeddings: [N, E] float32, of unit length unless the model uses the Euclidean distance.
      cut: ids of the clips longer than the model's maximum; only their first frames, or those of
        the model's `window`, are used.
      skipped: JSON list of the clips that were skipped, with reasons.
    A classifier writes `probabilities` [N, K] float32 and `class_names` [K] instead of embeddings.
    It can also write a .csv with one row per clip and one column per class; the row starts with the
    most probable class (for attributes, all above 0.5). NAME.notes.csv lists cut and skipped ones.

    An invalid clip is skipped and does not stop the others, unless most clips are implausible.

    Args:
      path: the model, as for `motionalign.load`.
      folder: folder of the clips.
      output: the .npz to write, or for a classifier the .csv.
      fps: frame rate of the clips; default: that of the raw files that the model was trained on.
      dataset: training dataset whose statistics and conventions count; default: the first.
      **conventions: how the joints are given; see `Model.encode_motion`.

    Raises:
      ValueError: the folder has no valid clip, most clips are implausible, or
        `output` has another suffix.
    """
    folder, output, notes = expand(folder), expand(output), None
    named = _named(folder, _find(folder, output))
    if fps is not None:
        check_fps(fps, "--fps")
    given, model = Given.of(**conventions), load(path)
    classifier = model.encoder.network.config.classifier
    _check_suffix(output, classifier)
    metadata, seen = model.metadata(dataset), model.encoder.representation
    given.check(metadata, seen)  # once, as a wrong argument is no fault of the clips
    assumed, fps = fps is None, metadata.source_fps if fps is None else fps
    prepare = functools.partial(model.prepare, fps=fps, dataset=dataset, **conventions)
    ids, clips, skipped = _prepared(prepare, folder, named)
    ids, clips, encoded = _finite(ids, clips, _encoded(model, clips), skipped)
    cut = [name for name, clip in zip(ids, clips) if len(clip) > seen.max_frames]
    content = {"ids": np.array(ids), **encoded, "cut": np.array(cut, dtype=str)}
    if classifier is not None and output.suffix == ".csv":
        head = ["id", "class" if classifier.exclusive else "attributes", *classifier.names]
        write_csv(output, head, _rows(ids, classifier, content["probabilities"]))
        notes = _write_notes(output, cut, seen.part_seen, skipped)
    else:
        write_arrays(output, content | {"skipped": np.array(json.dumps(skipped))})
    seconds = seen.max_frames / metadata.fps
    return EncodedFolder(
        ids, fps, assumed, output, notes, cut, seen.part_seen, seconds, skipped,
        _read_as(model, dataset, given),
    )  # fmt: skip


def _check_suffix(output: pathlib.Path, classifier: ClassifierConfig | None) -> None:
    """Raises a ValueError for a .csv of a model that is no classifier."""
    if output.suffix == ".csv" and not classifier:
        raise ValueError(
            f"--output={output}: only classifiers write a .csv; give an .npz for embeddings"
        )


def _read_as(model: Model, dataset: str | None, given: Given) -> str:
    """Whose statistics and conventions count, in words."""
    name, count = dataset or next(iter(model.datasets)), len(model.datasets)
    said = described(
        name, model.metadata(name), model.encoder.representation, placed=given.canonical != "never"
    )
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


def _named(folder: pathlib.Path, files: list[pathlib.Path]) -> dict[str, pathlib.Path]:
    """The files by clip id: the path below the folder without .npy."""
    return {file.relative_to(folder).with_suffix("").as_posix(): file for file in files}


def _prepared(
    prepare: Callable[[np.ndarray], np.ndarray],
    folder: pathlib.Path,
    files: dict[str, pathlib.Path],
) -> tuple[list[str], list[np.ndarray], list[dict[str, str]]]:
    """Ids and prepared clips of the files, and {"id", "reason"} of the invalid ones."""
    ids, clips, skipped = [], [], []
    implausible: dict[str, Finding] = {}
    for name, file in tqdm(files.items(), desc="read", unit="clip"):
        try:
            clips.append(prepare(reading.read_array(file)))
        except ImplausibleClip as error:
            implausible[name] = error.finding
            found = f"{error.finding.reason}: {error.finding.detail}"
            skipped.append({"id": name, "reason": found})
            continue
        except ValueError as error:
            reason = str(error).removeprefix(f"{folder}{os.sep}")
            skipped.append({"id": name, "reason": reason})
            continue
        ids.append(name)
    if (common := most_common(implausible, len(files))) is not None:
        raise ValueError(
            f"--input={folder}: {common.count} of {len(files)} clips are implausible"
            f"{common.reasons}, so nothing was written. {common.finding.detail}. "
            f"{common.finding.advice(as_flag)}"
        )
    if not clips:
        raise ValueError(
            f"--input={folder}: none of the {len(files)} clips is valid; the first, "
            f"{skipped[0]['id']}: {skipped[0]['reason']}"
        )
    return ids, clips, skipped


def _find(folder: pathlib.Path, output: pathlib.Path) -> list[pathlib.Path]:
    """The clips below a folder; a ValueError if there is none or the output suffix is invalid."""
    if output.suffix not in (".npz", ".csv"):
        raise ValueError(
            f"--output={output}: expected a name that ends in .npz (or .csv for a classifier)"
        )
    if output.is_dir():
        raise ValueError(f"--output={output} is a folder; name a file")
    if folder.is_file():
        raise ValueError(f"--input={folder} is a file; name the folder that it is in")
    if not folder.is_dir():
        raise ValueError(f"--input={folder}: no such folder")
    files = sorted(folder.rglob("*.npy"))
    if not files:
        raise ValueError(f"--input={folder}: the folder contains no .npy files")
    return files


def _encoded(model: Model, clips: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
    """The model's output for prepared clips: embeddings, or probabilities of classes."""
    if model.encoder.network.config.classifier:
        probabilities = model.classify_prepared(clips, progress="classify")
        return {"probabilities": probabilities, "class_names": np.array(model.class_names)}
    # A model trained with the Euclidean distance needs the lengths of the vectors.
    return {"embeddings": model.encode_prepared(clips, model.distance == "cosine", "encode")}


def _finite(
    ids: list[str],
    clips: list[np.ndarray],
    encoded: dict[str, np.ndarray],
    skipped: list[dict[str, str]],
) -> tuple[list[str], list[np.ndarray], dict[str, np.ndarray]]:
    """Ids, clips and outputs where the output is finite; the others are added to `skipped`."""
    name = next(iter(encoded))  # the array with a row for every clip
    finite = np.isfinite(encoded[name]).all(axis=1)
    reason = "the model's output is not finite: the clip is far outside of the training data"
    skipped += [{"id": ids[row], "reason": reason} for row in np.flatnonzero(~finite)]
    if not finite.any():
        raise ValueError(
            "the model's output is not finite for any clip: its parameters may not be finite"
        )
    rows = np.flatnonzero(finite)
    chosen = [ids[row] for row in rows], [clips[row] for row in rows]
    return *chosen, encoded | {name: encoded[name][rows]}


def _rows(
    ids: Sequence[str], classifier: ClassifierConfig, probabilities: np.ndarray
) -> Iterator[list[str]]:
    """CSV rows: clip id, predicted class or attributes, probabilities of all classes."""
    for name, row in zip(ids, probabilities, strict=True):
        found = [row.argmax()] if classifier.exclusive else np.flatnonzero(row > 0.5)
        words = ", ".join(classifier.names[i] for i in found)
        yield [name, words, *(f"{value:.6g}" for value in row)]
