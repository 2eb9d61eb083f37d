"""motionalign.inference.folder."""

import json
import pathlib

import numpy as np
from tqdm import tqdm

from motionalign.inference.model import load


def encode_folder(
    path: str | pathlib.Path,
    folder: str | pathlib.Path,
    output: str | pathlib.Path,
    fps: float | None = None,
    dataset: str | None = None,
) -> None:
    """Encodes every `.npy` clip [T, J, 3] below a folder.

    Writes `output`, an .npz with `ids` [N] (paths below the folder, without .npy), `embeddings`
    [N, E] float32, of unit length unless the model compares by the Euclidean distance, `cut` (the
    ids of clips longer than the model's maximum, of which its first frames alone count, or those
    of its `window`) and `skipped` (a JSON list of clips left out, with reasons).
    One bad clip does not stop the others. `fps` is theirs (default: of the raw files that the model
    was trained on); `dataset` says whose skeleton and statistics to use, where the model was
    trained on several.
    """
    folder, output = pathlib.Path(folder), pathlib.Path(output)
    if output.suffix != ".npz":
        raise ValueError(f"--output={output}: expected a name that ends in .npz")
    files = sorted(folder.rglob("*.npy"))
    if not files:
        raise ValueError(f"--input={folder}: no .npy file in it")
    model = load(path)
    motion = model.encoder.network.config.motion
    metadata, max_frames = model.metadata(dataset), motion.max_frames
    fps = metadata.source_fps if fps is None else fps
    ids, clips, cut, skipped = [], [], [], []
    for file in tqdm(files, desc="read", unit="clip"):
        name = file.relative_to(folder).with_suffix("").as_posix()
        try:
            clip = model.prepare(np.load(file, allow_pickle=False), fps, dataset)
        except (ValueError, OSError, EOFError) as error:
            skipped.append({"id": name, "reason": str(error)})
            continue
        ids.append(name)
        clips.append(clip)
        if len(clip) > max_frames:
            cut.append(name)
    if not clips:
        raise ValueError(f"--input={folder}: none of {len(files)} clips can be used: {skipped[0]}")
    # Where it was the raw vectors that training compared, their lengths say something.
    embeddings = model.encode_prepared(clips, model.distance == "cosine", progress="encode")
    output.parent.mkdir(parents=True, exist_ok=True)
    partial = output.with_name(output.stem + ".partial.npz")
    np.savez(
        partial,
        ids=np.array(ids),
        embeddings=embeddings,
        cut=np.array(cut, dtype=str),
        skipped=json.dumps(skipped),
    )
    partial.replace(output)
    print(f"{len(ids)} clips at {fps:g} fps → {output}; {len(skipped)} skipped")
    if cut:
        part = {"first": "start", "centre": "middle", "spread": "frames all along them"}
        counts = part[getattr(motion, "window", "first")]
        print(f"{len(cut)} are longer than {max_frames / metadata.fps:.1f} s: their {counts} count")
    for item in skipped[:10]:
        print(f"  {item['id']}: {item['reason']}")
