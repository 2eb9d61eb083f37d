"""Models scored on classes (Walk and Text, IV): actions recognised, attributes told and retrieved.

By words a motion is of the class whose texts it lies nearest to, and clips are found by the words
of an attribute set; a classifier says both by itself.
"""

import json
import pathlib
from collections.abc import Callable

import numpy as np

from motionalign import attributes, data, objectives, plots, recognition, similarity
from motionalign.classes import KINDS, class_texts, clip_texts
from motionalign.evaluate import write_json
from motionalign.model import Encoder, Params
from motionalign.records import Dataset, Split

# Kinds of texts as the tables name them. Synonyms are never trained on (Table VI).
_TITLES = {"words": "label words", "descriptions": "descriptions", "synonyms": "unseen synonyms"}


def check(config, dataset: Dataset, split_name: str) -> None:
    """A ValueError where a split cannot be scored by the config's task."""
    split = dataset.split(split_name)
    texts = clip_texts(dataset, split, config.task, config.data.texts)
    if not (texts.class_of >= 0).any():
        raise ValueError(f"{dataset.version_dir}: split {split_name!r} has no {config.task}")
    if config.loss.kind != "classify" and config.model.text.family == "frozen":
        _vectors_of(None, None, dataset, texts.texts)


def clip_getter(
    encoder: Encoder, split: Split, prepare: Callable[[np.ndarray], np.ndarray] | None = None
) -> Callable[[int], np.ndarray]:
    """A function from a row of a split to what the motion encoder reads of that record.

    `prepare` makes it from the clip's joints, or rotations; by default the record's own are read.
    """
    field = data.field_of(encoder.network.config.motion)
    if prepare is None:
        return data.ClipCache(split, budget=[0], field=field).__getitem__  # decoded anew each time
    raw = data.ClipCache(split, budget=[0], field="joints" if field == "patches" else field)
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
        scores = _label_scores(encoder, params, dataset, split, found, kinds, distance)
        result = recognition.recognise(
            next(iter(scores.values())), split.labels[known], dataset.metadata.label_names
        )
        scalars = {name: result[name] for name in ("top1", "top5", "top1_per_class")}
        return scalars["top1"], scalars
    if encoder.network.config.class_names:
        macro = _classification(encoder, dataset, split, known, found)["macro"]
        return 100 * macro["ap"], {name: 100 * value for name, value in macro.items()}
    result = _retrieval(encoder, params, dataset, split, known, found, kinds[0], config.seed)
    curve = result["ndcg"][distance]
    scalars = {f"ndcg@{k}": 100 * curve[result["ks"].index(k)] for k in (1, 5) if k in result["ks"]}
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
    if config.task == "labels":
        names, labels = dataset.metadata.label_names, split.labels[known]
        kinds = [kind for kind in KINDS if kind == "words" or dataset.texts.get(kind)]
        scores = _label_scores(encoder, params, dataset, split, found, kinds, distance)
        rows = {_TITLES.get(kind, kind): recognition.recognise(s, labels, names)
                for kind, s in scores.items()}  # fmt: skip
        notes = [] if classifies else [
            f"by the {distance} distance; of several texts of a class the mean counts",
            f"trained on {_TITLES[config.data.texts]}, {config.loss.kind} loss; text encoder "
            + _encoder_name(dataset, encoder),
        ]  # fmt: skip
        table = recognition.format_table(rows, notes)
        results |= {"recognition": rows, "distance": distance}
        for kind, s in scores.items():
            counts = recognition.confusion(s, labels, len(names))
            images[f"confusion-{kind}"] = plots.confusion_picture(counts, names)
    elif classifies:
        found = _classification(encoder, dataset, split, known, found)
        table = attributes.format_classification(found)
        results |= {"classification": found}
        images["attributes"] = plots.attribute_bars(found)
    else:
        found = _retrieval(
            encoder, params, dataset, split, known, found, config.data.texts, config.seed
        )
        table = attributes.format_retrieval(found)
        table += f"\n- trained by the {distance} distance, {config.loss.kind} loss; text encoder "
        table += f"{_encoder_name(dataset, encoder)}, {_TITLES[config.data.texts]}"
        results |= {"retrieval": found, "distance": distance}
        images["ndcg"] = plots.ndcg_curves(found)
        images["attribute-ndcg"] = plots.attribute_ndcg(found)
    results["table"] = table
    print(table)
    if folder is not None:
        write_json(folder / "metrics.json", json.loads(json.dumps(results)))
        for name, image in images.items():
            plots.write_picture(folder / f"{name}.png", image)
        print(f"\nPictures: {', '.join(f'{folder / name}.png' for name in images)}")
    return results


def _known(task: str, dataset: Dataset, split: Split) -> np.ndarray:
    """Rows of the records that are of a class."""
    known = np.flatnonzero(clip_texts(dataset, split, task).class_of >= 0)
    if not len(known):
        raise ValueError(f"{dataset.version_dir}: split {split.name!r} has no {task}")
    return known


def _label_scores(encoder, params, dataset, split, found, kinds, distance) -> dict[str, np.ndarray]:
    """{kind of text: scores [N, K] of the labels}."""
    names = list(dataset.metadata.label_names)
    if encoder.network.config.class_names:
        _same_names(encoder, names)
        return {"linear classifier": found}
    return {
        kind: recognition.class_scores(
            found,
            _vectors_of(encoder, params, dataset, class_texts(dataset, names, kind)),
            distance,
        )
        for kind in kinds
    }


def _classification(encoder, dataset, split, known, logits) -> dict:
    names = list(encoder.network.config.class_names)
    metadata = dataset.metadata
    positive = metadata.positive(split.attributes[known])
    valid = {name: i for i, name in enumerate(metadata.positive_names)}
    if set(names) != set(valid):
        _same_names(encoder, list(valid))
    target = positive[:, [valid[name] for name in names]]
    probabilities = np.asarray(encoder.network.config.probabilities(logits))
    return attributes.classification(probabilities, target, names)


def _retrieval(encoder, params, dataset, split, known, found, kind, seed) -> dict:
    """One query a distinct attribute set of the split, by one of its texts drawn with `seed`."""
    texts = clip_texts(dataset, split, "attributes", kind)
    sets = dataset.metadata.positive(split.attributes)
    first = np.array([np.flatnonzero(texts.class_of == k)[0] for k in range(len(texts.names))])
    pick = np.random.default_rng(seed).random(len(first))
    chosen = [[of_class[int(u * len(of_class))]] for of_class, u in zip(texts.texts, pick)]
    queries = np.concatenate(_vectors_of(encoder, params, dataset, chosen))
    scores = {
        distance: similarity.nearness(queries, found, distance) for distance in similarity.DISTANCES
    }
    return attributes.retrieval(sets[first], sets[known], dataset.metadata.positive_names, scores)


def _same_names(encoder: Encoder, names: list[str]) -> None:
    own = list(encoder.network.config.class_names)
    if own != names:
        raise ValueError(
            f"the model tells {len(own)} classes apart ({', '.join(own[:3])}, ...), the dataset "
            f"has {len(names)} ({', '.join(names[:3])}, ...)"
        )


def _vectors_of(encoder, params, dataset: Dataset, texts: list[list[str]]) -> list[np.ndarray]:
    """The vectors [n_k, D] of the texts of each class: the model's own, or a frozen encoder's."""
    if encoder is None or encoder.tokenizer is None:
        rows = data.TextRows.of(dataset, texts)
        return [rows.of_class(k) for k in range(len(texts))]
    flat = encoder.texts(params, [text for of_class in texts for text in of_class])
    ends = np.cumsum([len(of_class) for of_class in texts])
    return np.split(flat, ends[:-1])


def _encoder_name(dataset: Dataset, encoder: Encoder) -> str:
    if encoder.tokenizer is None:
        return dataset.require_caption_vectors().encoder
    return "the model's own"
