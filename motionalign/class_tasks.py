"""Models scored on classes (Walk and Text, IV): actions recognised, attributes told and retrieved.

By words a motion is of the class whose texts it lies nearest to, and clips are found by the words
of an attribute set; a classifier says both by itself.
"""

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
    known = _known(config.task, dataset, split)
    if config.task == "attributes" and not dataset.metadata.present(split.attributes[known]).any():
        raise ValueError(
            f"{dataset.version_dir}: no clip of split {split_name!r} has any attribute, so that "
            "nothing can be scored"
        )
    if config.loss.kind != "classify":
        texts = clip_texts(dataset, split, config.task, config.data.texts)
        if config.model.text.family == "frozen":
            data.TextRows.of(dataset, texts.texts)


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
        scores, _ = _label_scores(encoder, params, dataset, found, kinds, distance)
        result = recognition.recognise(
            next(iter(scores.values())), split.labels[known], dataset.metadata.label_names
        )
        scalars = {name: result[name] for name in ("top1", "top5", "top1_per_class")}
        return scalars["top1"], scalars
    if encoder.network.config.class_names:
        macro = _classification(encoder, dataset, split, known, found)["macro"]
        return 100 * macro["ap"], {name: 100 * value for name, value in macro.items()}
    first, queries = _queries(encoder, params, dataset, split, kinds[0], config.seed)
    sets = dataset.metadata.positive(split.attributes)
    nearness = similarity.nearness(queries, found, distance)
    curve = attributes.curve(sets[first], sets[known], nearness)
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
        scores, notes = _label_scores(encoder, params, dataset, found, KINDS, distance)
        rows = {
            _TITLES.get(kind, kind): recognition.recognise(s, labels, names)
            for kind, s in scores.items()
        }
        if not classifies:
            notes += [f"by the {distance} distance; of several texts of a class the mean counts"]
            notes += [_trained(model, dataset)]
        table = recognition.format_table(rows, notes)
        results["recognition"] = rows
        for kind, s in scores.items():
            counts = recognition.confusion(s, labels, len(names))
            images[f"confusion-{kind.replace(' ', '-')}"] = plots.confusion_picture(counts, names)
    elif classifies:
        found = _classification(encoder, dataset, split, known, found)
        table = attributes.format_classification(found)
        results["classification"] = found
        images["attributes"] = plots.attribute_bars(found)
    else:
        found = _retrieval(
            encoder, params, dataset, split, known, found, config.data.texts, config.seed
        )
        table = attributes.format_retrieval(found)
        table += f"\n- queries are {_TITLES[config.data.texts]}; {_trained(model, dataset)}"
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
    texts = "captions" if how["task"] == "captions" else _TITLES[how["texts"]]
    return f"trained on {texts}, {how['loss']} loss; text encoder {encoder}"


def _known(task: str, dataset: Dataset, split: Split) -> np.ndarray:
    """Rows of the records that are of a class."""
    known = np.flatnonzero(clip_texts(dataset, split, task).class_of >= 0)
    if not len(known):
        raise ValueError(f"{dataset.version_dir}: split {split.name!r} has no {task}")
    return known


def _label_scores(
    encoder, params, dataset, found, kinds, distance
) -> tuple[dict[str, np.ndarray], list[str]]:
    """{kind of text: scores [N, K] of the labels}, and what is left out because texts are missing.

    The first kind must be there.
    """
    names = list(dataset.metadata.label_names)
    if encoder.network.config.class_names:
        _same_names(encoder, names)
        return {"linear classifier": found}, []
    scores, left_out = {}, []
    for kind in kinds:
        try:
            texts = class_texts(dataset, names, "labels", kind)
            vectors = _vectors_of(encoder, params, dataset, texts)
        except ValueError as error:
            if kind == kinds[0]:
                raise
            left_out.append(f"{_TITLES[kind]} left out: {error}")
            continue
        scores[kind] = recognition.class_scores(found, vectors, distance)
    return scores, left_out


def _classification(encoder, dataset, split, known, logits) -> dict:
    names = list(dataset.metadata.attribute_names)
    # A converted GaitFormer does not know the names of its attributes, but has them in this order.
    if not (encoder.network.config.gait_head and logits.shape[1] == len(names)):
        _same_names(encoder, names)
    probabilities = np.asarray(encoder.network.config.probabilities(logits))
    target = dataset.metadata.present(split.attributes[known])
    return attributes.classification(probabilities, target, names)


def _queries(encoder, params, dataset, split, kind, seed) -> tuple[np.ndarray, np.ndarray]:
    """Of each distinct attribute set of a split a record that has it [Q], and its words [Q, D].

    Of several texts of a set one is drawn with `seed` (Walk and Text, IV-C).
    """
    texts = clip_texts(dataset, split, "attributes", kind)
    first = np.array([np.flatnonzero(texts.class_of == k)[0] for k in range(len(texts.names))])
    pick = np.random.default_rng(seed).random(len(first))
    chosen = [[of_class[int(u * len(of_class))]] for of_class, u in zip(texts.texts, pick)]
    return first, np.concatenate(_vectors_of(encoder, params, dataset, chosen))


def _retrieval(encoder, params, dataset, split, known, found, kind, seed) -> dict:
    first, queries = _queries(encoder, params, dataset, split, kind, seed)
    sets = dataset.metadata.positive(split.attributes)
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


def _vectors_of(encoder: Encoder, params, dataset: Dataset, texts: list[list[str]]):
    """The vectors [n_k, D] of the texts of each class: the model's own, or a frozen encoder's."""
    if encoder.tokenizer is None:
        rows = data.TextRows.of(dataset, texts)
        return [rows.of_class(k) for k in range(len(texts))]
    flat = encoder.texts(params, [text for of_class in texts for text in of_class])
    ends = np.cumsum([len(of_class) for of_class in texts])
    return np.split(flat, ends[:-1])
