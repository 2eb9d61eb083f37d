"""A checkpoint applied to data: a split embedded and scored, a folder of clips encoded."""

import json
import math
import pathlib
from collections.abc import Callable

import jax
import numpy as np
from tqdm import tqdm

from motionalign import checkpoint, class_tasks, data, evaluate, objectives, sharding, similarity
from motionalign.model import Encoder, Model, Params, load
from motionalign.records import Dataset, Split

# Values of config.eval.checkpoint, and the series of a workdir that they mean.
SERIES = {"best": checkpoint.BEST, "last": checkpoint.LATEST}


def evaluation_set(dataset: Dataset, split_name: str) -> tuple[Split, np.ndarray]:
    """A split, and the rows of the clips that it is scored on: one a source."""
    split = dataset.split(split_name)
    rows = split.evaluation_rows()
    if not len(rows):
        raise ValueError(f"{dataset.version_dir}: split {split_name!r} has no evaluation records")
    return split, rows


def check_evaluation(config, dataset: Dataset, split_name: str) -> None:
    """A ValueError where a split cannot be scored by the config's task."""
    if config.task == "captions":
        evaluation_set(dataset, split_name)
    else:
        class_tasks.check(config, dataset, split_name)


# Of the scalars, those to print after an epoch.
SHOWN = ("t2m/R@1", "t2m/R@10", "top1", "top5", "ap", "f1", "ndcg@1", "ndcg@5")


def validate(
    config, encoder: Encoder, params: Params, dataset: Dataset
) -> tuple[float, dict[str, float]]:
    """Scores the validation split by the config's task: (selection score, scalars to log).

    Of captions it is retrieval, protocol `all`; of classes see `class_tasks.validate`. NaN and
    nothing where embeddings are not finite.
    """
    if config.task != "captions":
        return class_tasks.validate(config, encoder, params, dataset)
    motion, text, gallery = embed_split(encoder, params, dataset, config.data.val_split)
    if not (np.isfinite(motion).all() and np.isfinite(text).all()):
        return math.nan, {}
    results = evaluate.run_protocols(
        motion,
        text,
        gallery.captions,
        protocols=("all",),
        distance=objectives.distance(config.loss.kind),
    )["all"]
    scalars = {
        f"{direction}/{name}": float(value)
        for direction in evaluate.DIRECTIONS
        for name, value in results[direction].items()
    }
    return evaluate.selection_score(results), scalars


def embed_split(
    encoder: Encoder,
    params: Params,
    dataset: Dataset,
    split_name: str,
    progress: bool = False,
    prepare: Callable[[np.ndarray], np.ndarray] | None = None,
) -> tuple[np.ndarray, np.ndarray, evaluate.Gallery]:
    """Embeds the evaluation set of a split.

    `prepare` makes what the motion encoder reads from a clip's joints [T, J, C]; by default the
    prepared patches are read.

    Returns:
      motion [G, E], text [G, E] of each clip's first caption, and what they are of.
    """
    split, rows = evaluation_set(dataset, split_name)
    gallery = evaluate.Gallery(
        ids=[split.ids[r] for r in rows],
        sources=[split.sources[r] for r in rows],
        captions=[split.captions[r][0] for r in rows],
        mirrored_of=[split.mirrored_of[r] for r in rows],
        joints=lambda i: split[rows[i]]["joints"][:, 0],
        skeleton=dataset.metadata.skeleton,
        fps=dataset.metadata.fps,
        encoder=dataset.caption_vectors.encoder if dataset.caption_vectors else None,
    )
    get = class_tasks.clip_getter(encoder, split, prepare)
    name = f"{dataset.name} {split_name}"
    motion = encoder.motions(
        params,
        lambda i: get(rows[i]),
        split.num_frames[rows],
        f"{name} motions" if progress else None,
    )
    if encoder.tokenizer is None:  # frozen: the vectors are there
        text = dataset.require_caption_vectors()[gallery.captions]
    else:
        text = encoder.texts(params, gallery.captions, f"{name} captions" if progress else None)
    return motion, text, gallery


def evaluate_checkpoint(
    config, path: str | pathlib.Path, output: str | pathlib.Path, split: str | None = None
) -> dict:
    """Scores a checkpoint on a split of every dataset that the config names, and prints the tables.

    Args:
      config: `data` says what to score, `eval` how; the model is the checkpoint's.
      path: a workdir or checkpoint folder, here or copied from elsewhere.
      output: gets metrics.json and the page of examples, index.html, under
        evaluation/<dataset>-<split>/; of the first dataset's test split, metrics.json also lies in
        `output` itself.
      split: default `config.data.test_split`.

    Returns:
      {dataset: the content of its metrics.json}: what `evaluate.run_protocols` returns, after
      "dataset", "split" and "step" of the checkpoint.
    """
    if config.eval.checkpoint not in SERIES:
        raise ValueError(
            f"config.eval.checkpoint is {config.eval.checkpoint!r}; valid: {', '.join(SERIES)}"
        )
    split = split or config.data.test_split
    mesh = sharding.make_mesh(config.mesh.data, config.mesh.model)
    model = load(path, SERIES[config.eval.checkpoint], mesh, config.data)
    output = pathlib.Path(output)
    all_results = {}
    for name in data.parse_mixture(config.data.datasets):
        dataset = Dataset(config.data.data_dir, name)
        _check_fit(model, dataset, config.task)
        prepare = _own_preparation(model, dataset)
        origin = {"dataset": name, "split": split, "step": model.run["step"]}
        folder = output / "evaluation" / f"{name}-{split}"
        if config.task != "captions":
            writes = jax.process_index() == 0
            if writes:
                print(f"\n{name}, split {split}, checkpoint of step {model.run['step']}\n")
            all_results[name] = class_tasks.evaluate(
                config, model, dataset, split, folder if writes else None, prepare, origin
            )
            if writes and len(all_results) == 1 and split == config.data.test_split:
                evaluate.write_json(output / "metrics.json", all_results[name])
            continue
        motion, text, gallery = embed_split(
            model.encoder, model.params, dataset, split, True, prepare
        )
        vectors = dataset.caption_vectors
        dissimilar, note = _published_subset(dataset, split, gallery)
        results = origin | evaluate.run_protocols(
            motion,
            text,
            gallery.captions,
            caption_vectors=vectors[gallery.captions] if vectors else None,
            dissimilar=dissimilar,
            dissimilar_note=note,
            protocols=config.eval.protocols,
            threshold=config.eval.threshold,
            encoder=gallery.encoder,
            distance=model.distance,
        )
        all_results[name] = results
        if jax.process_index() != 0:
            continue
        print(f"\n{name}, split {split}, checkpoint of step {model.run['step']}\n")
        if prepare and model.encoder.network.config.motion_inputs == "patches":
            print("Motions are z-scored by the checkpoint's statistics, not the dataset's.\n")
        print(evaluate.format_table(results))
        evaluate.write_json(folder / "metrics.json", results)
        page = evaluate.write_page(
            folder,
            results,
            gallery,
            similarity.nearness(text, motion, model.distance),
            num_queries=config.eval.num_queries,
            title=f"{name}: {split} split",
        )
        print(f"\nExample queries with their hits: {page}")
        if len(all_results) == 1 and split == config.data.test_split:
            evaluate.write_json(output / "metrics.json", results)
    return all_results


def _check_fit(model: Model, dataset: Dataset, task: str) -> None:
    """A ValueError where a model cannot be scored on a dataset, before anything is encoded."""
    config = model.encoder.network.config
    if config.classifier and config.classifier.exclusive != (task == "labels"):
        raise ValueError(
            f"the model classifies {'labels' if config.classifier.exclusive else 'attributes'}; "
            f"config.task is {task!r}"
        )
    if config.text is None and (task == "captions" or not config.class_names):
        _check_frozen_text(model, dataset)
    data.check_fit(dataset, config.motion)


def _check_frozen_text(model: Model, dataset: Dataset) -> None:
    """A ValueError where a dataset's text vectors are not those that a model was trained with."""
    trained = model.run.get("text_encoder")
    if trained is None:
        raise ValueError("this model has no text encoder: retrieval by text cannot be scored")
    there = dataset.require_caption_vectors()
    if there.fingerprint != (trained["sha256"], trained["readout"]):
        raise ValueError(
            f"the model was trained with text vectors of {trained['encoder']}, readout "
            f"{trained['readout']}; dataset {dataset.name!r} has those of {there.encoder}. Run "
            f"`python -m data_prep embed --name={dataset.name} --encoder={trained['encoder']} "
            f"--readout={trained['readout']}`"
        )


def _own_preparation(model: Model, dataset: Dataset) -> Callable | None:
    """How a model makes its input from a dataset's joints; None: it reads the prepared patches.

    A converted checkpoint was trained with statistics that our preparation of the same dataset,
    over its training split alone, does not give. Where a model has none of its own for a dataset,
    the dataset's count.
    """
    own, theirs = model.datasets.get(dataset.name), dataset.metadata
    if model.encoder.network.config.motion_inputs == "patches":
        if theirs.fps != (own or model.metadata()).fps:
            raise ValueError(
                f"dataset {dataset.name!r} has {theirs.fps:g} frames a second, the model reads "
                f"{(own or model.metadata()).fps:g}; motion patches are not made anew at another "
                "rate. `motionalign.load(...).encode_motion(joints, fps)` encodes its clips"
            )
        if own is None or own.patch_size != theirs.patch_size or own.skeleton != theirs.skeleton:
            return None
        if np.array_equal(own.mean, theirs.mean) and np.array_equal(own.std, theirs.std):
            return None
    name = dataset.name if own else None
    return lambda joints: model.prepare(joints, theirs.fps, name)


def run_folder(path: str | pathlib.Path) -> pathlib.Path:
    """The workdir of the run that a checkpoint lies in, to write results beside it."""
    path = pathlib.Path(path).absolute()
    for folder in (path, path.parent, path.parent.parent):
        if (folder / "config.json").is_file() and any(
            (folder / s).is_dir() for s in SERIES.values()
        ):
            return folder
    raise ValueError(
        f"{path} does not lie in a run's folder (no config.json and checkpoints): name a folder "
        "for the results with --workdir"
    )


def _published_subset(
    dataset: Dataset, split: str, gallery: evaluate.Gallery
) -> tuple[list[int] | None, str]:
    """Gallery rows of the published dissimilar subset, if there is one, and what to say of it."""
    path = dataset.version_dir / f"dissimilar-{split}.txt"
    if not path.is_file():
        return None, ""
    row = {source: i for i, source in enumerate(gallery.sources)}
    names = path.read_text().splitlines()
    missing = [name for name in names if name not in row]
    note = "the published subset"
    if missing:
        note = (
            f"{len(names) - len(missing)} of the {len(names)} clips of the published subset; "
            f"not scored in this dataset: {', '.join(missing)}"
        )
    return [row[name] for name in names if name in row], note


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
