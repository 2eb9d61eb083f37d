"""A folder of clips, encoded for search or classified."""

import csv
import dataclasses
import io
import json
import pathlib
from collections.abc import Sequence

import numpy as np
from tqdm import tqdm

from motionalign.files import expand, write_arrays, write_text
from motionalign.inference.model import Model, load
from motionalign.models.heads import ClassifierConfig


@dataclasses.dataclass(frozen=True)
class EncodedFolder:
    """What became of the clips of a folder.

    Attributes:
      ids: of the encoded clips, paths below the folder without .npy.
      fps: the rate that they were taken to have.
      output: the file that was written.
      cut: ids of those of which only a part counts.
      counts: which part: "start", ...
      seconds: how much the model sees.
      skipped: {"id", "reason"} of those left out.
    """

    ids: Sequence[str]
    fps: float
    output: pathlib.Path
    cut: Sequence[str]
    counts: str
    seconds: float
    skipped: Sequence[dict[str, str]]

    def summary(self) -> str:
        """What to tell the user."""
        lines = [
            f"{len(self.ids)} clips at {self.fps:g} fps → {self.output}; "
            f"{len(self.skipped)} skipped"
        ]
        if self.cut:
            lines.append(
                f"{len(self.cut)} are longer than {self.seconds:.1f} s: their {self.counts} count"
            )
        lines += [f"  {item['id']}: {item['reason']}" for item in self.skipped[:10]]
        return "\n".join(lines)


def encode_folder(
    path: str | pathlib.Path,
    folder: str | pathlib.Path,
    output: str | pathlib.Path,
    fps: float | None = None,
    dataset: str | None = None,
) -> EncodedFolder:
    """Encodes every `.npy` clip [T, J, 3] below a folder; with a classifier, classifies it.

    Writes `output`, an .npz with `ids` [N] (paths below the folder, without .npy), `embeddings`
    [N, E] float32, of unit length unless the model compares by the Euclidean distance, `cut` (the
    ids of clips longer than the model's maximum, of which its first frames alone count, or those
    of its `window`) and `skipped` (a JSON list of clips left out, with reasons). A classifier has
    `probabilities` [N, K] float32 and `class_names` [K] instead of embeddings, and may write a
    .csv: a row for each clip with its most probable class (of attributes: all above 0.5), and a
    column for each class.
    One bad clip does not stop the others.

    Args:
      path: of the model, as for `motionalign.load`.
      folder: of the clips.
      output: the .npz to write, or of a classifier the .csv.
      fps: of the clips; by default of the raw files that the model was trained on.
      dataset: whose skeleton and statistics to use, where the model was trained on several.

    Raises:
      ValueError: the folder has no clip that can be used, or `output` has another suffix.
    """
    folder, output = expand(folder), expand(output)
    files = _find(folder, output)
    model = load(path)
    classifier = model.encoder.network.config.classifier
    if output.suffix == ".csv" and not classifier:
        raise ValueError(f"--output={output}: the model gives embeddings; name an .npz for them")
    metadata, seen = model.metadata(dataset), model.encoder.representation
    fps = metadata.source_fps if fps is None else fps
    ids, clips, skipped = _prepared(model, folder, files, fps, dataset)
    cut = [name for name, clip in zip(ids, clips) if len(clip) > seen.max_frames]
    content = {"ids": np.array(ids), **_encoded(model, clips), "cut": np.array(cut, dtype=str)}
    if classifier is not None and output.suffix == ".csv":
        write_text(output, _table(ids, classifier, content["probabilities"]))
    else:
        write_arrays(output, content | {"skipped": np.array(json.dumps(skipped))})
    seconds = seen.max_frames / metadata.fps
    return EncodedFolder(ids, fps, output, cut, seen.part_seen, seconds, skipped)


def _prepared(
    model: Model, folder: pathlib.Path, files: list[pathlib.Path], fps: float, dataset: str | None
) -> tuple[list[str], list[np.ndarray], list[dict[str, str]]]:
    """Ids and prepared clips of files, and those that cannot be used, with the reason."""
    ids, clips, skipped = [], [], []
    for file in tqdm(files, desc="read", unit="clip"):
        name = file.relative_to(folder).with_suffix("").as_posix()
        try:
            clips.append(model.prepare(np.load(file, allow_pickle=False), fps, dataset))
        except (ValueError, OSError, EOFError) as error:
            skipped.append({"id": name, "reason": str(error)})
            continue
        ids.append(name)
    if not clips:
        raise ValueError(f"--input={folder}: none of {len(files)} clips can be used: {skipped[0]}")
    return ids, clips, skipped


def _find(folder: pathlib.Path, output: pathlib.Path) -> list[pathlib.Path]:
    """The clips below a folder; a ValueError where there is none, or the output is of no kind."""
    if output.suffix not in (".npz", ".csv"):
        raise ValueError(
            f"--output={output}: expected a name that ends in .npz (or, of a classifier, .csv)"
        )
    if not folder.is_dir():
        raise ValueError(f"--input={folder}: no such folder")
    files = sorted(folder.rglob("*.npy"))
    if not files:
        raise ValueError(f"--input={folder}: no .npy file in it")
    return files


def _encoded(model: Model, clips: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
    """What the model makes of prepared clips: embeddings, or probabilities of classes."""
    if model.encoder.network.config.classifier:
        probabilities = model.classify_prepared(clips, progress="classify")
        return {"probabilities": probabilities, "class_names": np.array(model.class_names)}
    # Where training compares raw vectors, their lengths count.
    return {"embeddings": model.encode_prepared(clips, model.distance == "cosine", "encode")}


def _table(ids: Sequence[str], classifier: ClassifierConfig, probabilities: np.ndarray) -> str:
    """A CSV file: clip, what it is classified as, the probabilities of all classes."""
    written = io.StringIO()
    table = csv.writer(written, lineterminator="\n")
    table.writerow(["id", "class" if classifier.exclusive else "attributes", *classifier.names])
    for name, row in zip(ids, probabilities, strict=True):
        found = [row.argmax()] if classifier.exclusive else np.flatnonzero(row > 0.5)
        words = ", ".join(classifier.names[i] for i in found)
        table.writerow([name, words, *(f"{value:.6g}" for value in row)])
    return written.getvalue()
