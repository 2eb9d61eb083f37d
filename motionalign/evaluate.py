"""A checkpoint applied to data: a split embedded and scored, a folder of clips encoded."""

import math
import pathlib

import jax
import numpy as np

from motionalign import sharding
from motionalign.checkpoints.run import SERIES
from motionalign.data import batches, representation
from motionalign.data.dataset import Dataset
from motionalign.inference import similarity
from motionalign.inference.encoder import Encoder
from motionalign.inference.model import Model, load, own_preparation
from motionalign.models.network import Params
from motionalign.report import tables
from motionalign.report.page import write_page
from motionalign.tasks import captions, classes
from motionalign.tasks.captions import _published_subset, embed_split


def validate_all(
    config, encoder: Encoder, params: Params, datasets: list[Dataset]
) -> tuple[float, dict[str, float], str]:
    """Scores the validation split of every dataset by the config's task, and averages.

    Returns:
      The selection score, the scalars to log, and what to say of them; NaN and nothing where
      embeddings are not finite.
    """
    scores, scalars, words = [], {}, ""
    for dataset in datasets:
        score, found = captions.validate_captions(config, encoder, params, dataset)
        if math.isnan(score):
            return math.nan, {}, ""
        scores.append(score)
        prefix = "val" if dataset is datasets[0] else f"val_{dataset.name}"
        scalars |= {f"{prefix}/{name}": value for name, value in found.items()}
        words = words or ", ".join(
            f"{name.replace('/', ' ')} {value:.2f}"
            for name, value in found.items()
            if name in SHOWN
        )
    return float(np.mean(scores)), scalars, words


# Of the scalars, those to print after an epoch.
SHOWN = ("t2m/R@1", "t2m/R@10", "top1", "top5", "ap", "f1", "ndcg@1", "ndcg@5")


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
    for name in batches.parse_mixture(config.data.datasets):
        dataset = Dataset(config.data.data_dir, name)
        _check_fit(model, dataset, config.task)
        prepare = own_preparation(model, dataset)
        origin = {"dataset": name, "split": split, "step": model.run["step"]}
        folder = output / "evaluation" / f"{name}-{split}"
        if config.task != "captions":
            writes = jax.process_index() == 0
            if writes:
                print(f"\n{name}, split {split}, checkpoint of step {model.run['step']}\n")
            all_results[name] = classes.evaluate(
                config, model, dataset, split, folder if writes else None, prepare, origin
            )
            if writes and len(all_results) == 1 and split == config.data.test_split:
                tables.write_json(output / "metrics.json", all_results[name])
            continue
        motion, text, gallery = embed_split(
            model.encoder, model.params, dataset, split, True, prepare
        )
        vectors = dataset.caption_vectors
        dissimilar, note = _published_subset(dataset, split, gallery)
        results = origin | captions.run_protocols(
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
        print(tables.format_table(results))
        tables.write_json(folder / "metrics.json", results)
        page = write_page(
            folder,
            results,
            gallery,
            similarity.nearness(text, motion, model.distance),
            num_queries=config.eval.num_queries,
            title=f"{name}: {split} split",
        )
        print(f"\nExample queries with their hits: {page}")
        if len(all_results) == 1 and split == config.data.test_split:
            tables.write_json(output / "metrics.json", results)
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
    representation.check_fit(dataset, config.motion)


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
