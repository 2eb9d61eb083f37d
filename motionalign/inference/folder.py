"""A folder of clips encoded for search."""

import dataclasses
import json
import pathlib
from collections.abc import Sequence

import numpy as np
from tqdm import tqdm

from motionalign.files import expand, write_arrays
from motionalign.inference.model import load


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
    """Encodes every `.npy` clip [T, J, 3] below a folder.

    Writes `output`, an .npz with `ids` [N] (paths below the folder, without .npy), `embeddings`
    [N, E] float32, of unit length unless the model compares by the Euclidean distance, `cut` (the
    ids of clips longer than the model's maximum, of which its first frames alone count, or those
    of its `window`) and `skipped` (a JSON list of clips left out, with reasons).
    One bad clip does not stop the others.

    Args:
      path: of the model, as for `motionalign.load`.
      folder: of the clips.
      output: the .npz to write.
      fps: of the clips; by default of the raw files that the model was trained on.
      dataset: whose skeleton and statistics to use, where the model was trained on several.
    """
    folder, output = expand(folder), expand(output)
    if output.suffix != ".npz":
        raise ValueError(f"--output={output}: expected a name that ends in .npz")
    files = sorted(folder.rglob("*.npy"))
    if not files:
        raise ValueError(f"--input={folder}: no .npy file in it")
    model = load(path)
    metadata, seen = model.metadata(dataset), model.encoder.representation
    fps = metadata.source_fps if fps is None else fps
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
    cut = [name for name, clip in zip(ids, clips) if len(clip) > seen.max_frames]
    # Where it was the raw vectors that training compared, their lengths say something.
    embeddings = model.encode_prepared(clips, model.distance == "cosine", progress="encode")
    content = {"ids": np.array(ids), "embeddings": embeddings, "cut": np.array(cut, dtype=str)}
    write_arrays(output, content | {"skipped": np.array(json.dumps(skipped))})
    seconds = seen.max_frames / metadata.fps
    return EncodedFolder(ids, fps, output, cut, seen.part_seen, seconds, skipped)
