"""Models scored on classes (Walk and Text, IV): actions recognised, attributes told and retrieved.

By words a motion is of the class whose texts it lies nearest to, and clips are found by the words
of an attribute set; a classifier says both by itself.
"""

import pathlib
from collections.abc import Callable

import numpy as np

from motionalign.data import representation
from motionalign.data.dataset import Dataset
from motionalign.data.records import Split
from motionalign.data.representation import ClipCache
from motionalign.data.texts import KINDS, TITLES, TextRows, clip_texts
from motionalign.inference import similarity
from motionalign.inference.encoder import Encoder
from motionalign.models.network import Params
from motionalign.report import plots
from motionalign.report.tables import write_json
from motionalign.tasks import attributes, labels, objectives
from motionalign.tasks.attributes import attribute_queries, classify, retrieve
from motionalign.tasks.labels import confusion, format_table, label_scores, recognise


def check(config, dataset: Dataset, split_name: str) -> None:
    """A ValueError where a split cannot be scored by the config's task."""
    split = dataset.split(split_name)
    known = _known(config.task, dataset, split)
    if config.task == "attributes" and not dataset.metadata.present(split.attributes[known]).any():
        raise ValueError(
            f"{dataset.version_dir}: no clip of split {split_name!r} has any attribute, so that "
            "nothing can be scored"
        )
    if config.loss.kind != "classify":
        texts = clip_texts(dataset, split, config.task, config.data.texts)
        if config.model.text.family == "frozen":
            TextRows.of(dataset, texts.texts)


def clip_getter(
    encoder: Encoder, split: Split, prepare: Callable[[np.ndarray], np.ndarray] | None = None
) -> Callable[[int], np.ndarray]:
    """A function from a row of a split to what the motion encoder reads of that record.

    `prepare` makes it from the clip's joints, or rotations; by default the record's own are read.
    """
    field = representation.field_of(encoder.network.config.motion)
    if prepare is None:
        return ClipCache(split, budget=[0], field=field).__getitem__  # decoded anew each time
    raw = ClipCache(split, budget=[0], field="joints" if field == "patches" else field)
    return lambda row: prepare(raw[row])


def outputs(
    encoder: Encoder,
    params: Params,
    split: Split,
    rows: np.ndarray,
    progress: str | None = None,
    prepare: Callable | None = None,
) -> np.ndarray:
    """Embeddings [N, E] float32 of records of a split, or the logits of a classifier [N, K]."""
    get = clip_getter(encoder, split, prepare)
    classifies = encoder.network.config.class_names
    run = encoder.logits if classifies else encoder.motions
    return run(params, lambda i: get(rows[i]), split.num_frames[rows], progress)


def validate(config, encoder: Encoder, params: Params, dataset: Dataset) -> tuple[float, dict]:
    """(selection score, scalars to log) of the validation split; NaN and nothing if not finite.

    The score is top-1 in percent of labels, and of attributes the mean AP of a classifier or the
    mean NDCG@1..50, both times 100.
    """
    split = dataset.split(config.data.val_split)
    known = _known(config.task, dataset, split)
    found = outputs(encoder, params, split, known)
    if not np.isfinite(found).all():
        return float("nan"), {}
    kinds, distance = (config.data.texts,), objectives.distance(config.loss.kind)
    if config.task == "labels":
        scores, _ = label_scores(encoder, params, dataset, found, kinds, distance)
        result = labels.recognise(
            next(iter(scores.values())), split.labels[known], dataset.metadata.label_names
        )
        scalars = {name: result[name] for name in ("top1", "top5", "top1_per_class")}
        return scalars["top1"], scalars
    if encoder.network.config.class_names:
        macro = classify(encoder, dataset, split, known, found)["macro"]
        return 100 * macro["ap"], {name: 100 * value for name, value in macro.items()}
    first, queries = attribute_queries(encoder, params, dataset, split, kinds[0], config.seed)
    sets = dataset.metadata.positive(split.attributes)
    nearness = similarity.nearness(queries, found, distance)
    curve = attributes.ndcg_curve(sets[first], sets[known], nearness)
    scalars = {f"ndcg@{k}": 100 * float(curve[k - 1]) for k in (1, 5, 50) if k <= len(curve)}
    return 100 * float(np.mean(curve)), scalars


def evaluate(
    config,
    model,
    dataset: Dataset,
    split_name: str,
    folder: pathlib.Path | None,
    prepare=None,
    origin: dict | None = None,
) -> dict:
    """Scores a model on a split by the config's task; prints the tables and writes the pictures.

    Args:
      config: `task`, and of `data` and `loss` what the model was trained with.
      model: a `motionalign.Model`.
      dataset: whose split `split_name` is scored.
      folder: gets metrics.json and the pictures; None: nothing is written.
      prepare: as of `clip_getter`.
      origin: what metrics.json says first: of which dataset, split and checkpoint it is.

    Returns:
      The content of metrics.json.
    """
    encoder, params = model.encoder, model.params
    split = dataset.split(split_name)
    known = _known(config.task, dataset, split)
    found = outputs(encoder, params, split, known, f"{dataset.name} {split_name} motions", prepare)
    classifies, distance = bool(encoder.network.config.class_names), model.distance
    results, images = {**(origin or {}), "task": config.task}, {}
    if not classifies:
        results["distance"] = distance
    if config.task == "labels":
        names, labels = dataset.metadata.label_names, split.labels[known]
        scores, notes = label_scores(encoder, params, dataset, found, KINDS, distance)
        rows = {TITLES.get(kind, kind): recognise(s, labels, names) for kind, s in scores.items()}
        if not classifies:
            notes += [f"by the {distance} distance; of several texts of a class the mean counts"]
            notes += [_trained(model, dataset)]
        table = format_table(rows, notes)
        results["recognition"] = rows
        for kind, s in scores.items():
            counts = confusion(s, labels, len(names))
            images[f"confusion-{kind.replace(' ', '-')}"] = plots.confusion_picture(counts, names)
    elif classifies:
        found = classify(encoder, dataset, split, known, found)
        table = attributes.format_classification(found)
        results["classification"] = found
        images["attributes"] = plots.attribute_bars(found)
    else:
        found = retrieve(
            encoder, params, dataset, split, known, found, config.data.texts, config.seed
        )
        table = attributes.format_retrieval(found)
        table += f"\n- queries are {TITLES[config.data.texts]}; {_trained(model, dataset)}"
        results["retrieval"] = found
        images["ndcg"] = plots.ndcg_curves(found)
        images["attribute-ndcg"] = plots.attribute_ndcg(found)
    results["table"] = table
    if folder is not None:
        print(table)
        write_json(folder / "metrics.json", results)
        for name, image in images.items():
            plots.write_picture(folder / f"{name}.png", image)
        print(f"\nPictures: {', '.join(f'{folder / name}.png' for name in images)}")
    return results


def _trained(model, dataset: Dataset) -> str:
    """How a model was trained, for the notes below a table."""
    how = model.run.get("trained")
    encoder = "the model's own"
    if model.encoder.tokenizer is None:
        encoder = dataset.require_caption_vectors().encoder
    if how is None:
        return f"training not recorded; text encoder {encoder}"
    texts = "captions" if how["task"] == "captions" else TITLES[how["texts"]]
    return f"trained on {texts}, {how['loss']} loss; text encoder {encoder}"


def _known(task: str, dataset: Dataset, split: Split) -> np.ndarray:
    """Rows of the records that are of a class."""
    known = np.flatnonzero(clip_texts(dataset, split, task).class_of >= 0)
    if not len(known):
        raise ValueError(f"{dataset.version_dir}: split {split.name!r} has no {task}")
    return known
