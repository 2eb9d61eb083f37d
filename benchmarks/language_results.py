"""Reads the scores of the runs of benchmarks/language_actions.py from what their commands wrote."""

import csv
import functools
import json
import pathlib
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np

from benchmarks import action_baselines
from benchmarks.outcomes import copies, outcome
from benchmarks.sentences import edit_distances, within_and_between
from motionalign import evaluate
from motionalign.data.dataset import Dataset
from motionalign.data.texts import class_texts
from motionalign.inference.model import load
from motionalign.tasks.labels import class_scores, recognised


class Run(Protocol):
    """What is needed of a run; see `language_actions.Run`."""

    @property
    def kind(self) -> str:
        """What is trained."""
        ...

    @property
    def dataset(self) -> str:
        """Name of the prepared dataset."""
        ...

    @property
    def left_out(self) -> bool:
        """Whether classes are left out."""
        ...


def scores(run: Run, data_dir: pathlib.Path, folder: pathlib.Path) -> dict[str, Any]:
    """The scores of a run that has ended.

    Args:
      run: the run.
      data_dir: the folder of the prepared datasets.
      folder: the workdir of its last training, if it trains.

    Returns:
      "val", the best selection score, and for recognition {split: {title: counts}}, see
      `outcomes.outcome`, with "classes" and "top5" in percent; for a motion tokenizer {split:
      figures}.
    """
    dataset = Dataset(data_dir, run.dataset)
    if run.kind == "warping":
        found = action_baselines.evaluate(dataset)
        counts = {name: found.pop(name) for name in ("clips", "right", "new_clips", "new_right")}
        classes = len(dataset.metadata.label_names)
        return found | {"test": {"names": counts | {"classes": classes}}}
    record: dict[str, Any] = {"val": best_score(folder)}
    if run.kind == "tokens":
        return record | {
            split: sentence_scores(folder, dataset, split) for split in ("val", "test")
        }
    for split in ("test", "unseen") if run.left_out else ("test",):
        if run.kind == "contrastive":
            record[split] = contrastive_scores(folder, dataset, split)
        else:
            record[split] = written_scores(folder, dataset, split)
    return record


def best_score(folder: pathlib.Path) -> float:
    """The best selection score of a training."""
    return max(line["val/score"] for line in _logged(folder) if "val/score" in line)


def training_seconds(folder: pathlib.Path) -> float:
    """Seconds of a training, validation included and interruptions not."""
    return max(line["wall_time"] for line in _logged(folder) if "wall_time" in line)


def _logged(folder: pathlib.Path) -> list[dict[str, Any]]:
    lines = (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


@functools.lru_cache(maxsize=4)
def copied(dataset: Dataset, split_name: str) -> Mapping[str, bool]:
    """{id of a clip: whether it equals a training clip}."""
    clips, training = (
        [record["joints"] for record in dataset.split(name)] for name in (split_name, "train")
    )
    return dict(zip(dataset.split(split_name).ids, copies(clips, training).tolist(), strict=True))


def written_scores(folder: pathlib.Path, dataset: Dataset, split: str) -> dict[str, Any]:
    """{title: counts} from the files of an evaluation; a title says which names were asked for."""
    folder = folder / "evaluation" / f"{dataset.name}-{split}"
    told = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))["recognition"]
    with (folder / "per_clip.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    known, found = copied(dataset, split), {}
    for title, row in told.items():
        own = [each for each in rows if each["text"] == title]
        right = np.array([each["predicted"] == each["class"] for each in own])
        copy = np.array([known[each["id"]] for each in own])
        found[title] = outcome(right, copy) | {"classes": row["classes"], "top5": row["top5"]}
    return found


def contrastive_scores(folder: pathlib.Path, dataset: Dataset, split: str) -> dict[str, Any]:
    """{title: counts} of a model that compares clips with the words of classes.

    Clips are asked about the names of their kind, those that have training clips or those that
    have none, and about all names; titles are those of the task `sentences`.
    """
    model = load(folder)
    predict = evaluate.predictor(model, evaluate.own_preparation(model, dataset))
    opened, names = dataset.split(split), list(dataset.metadata.label_names)
    vectors = predict.class_vectors(dataset, class_texts(dataset, names, "words", "action"))
    motions = predict.motions(dataset, opened, np.arange(len(opened)))
    assert predict.distance is not None  # it is no classifier
    every = class_scores(motions, vectors, predict.distance)
    known = copied(dataset, split)
    copy = np.array([known[name] for name in opened.ids])
    trained = np.isin(np.arange(len(names)), dataset.split("train").labels)
    own = ~trained if split == "unseen" else trained
    found = {}
    for title, asked in (
        (f"{'un' * (split == 'unseen')}seen names", own),
        ("all names", own | True),
    ):
        among = np.where(asked, every, np.finfo(np.float64).min)
        right = recognised(among, opened.labels) == opened.labels
        found[title] = outcome(right, copy) | {"classes": int(asked.sum())}
    return found


def sentence_scores(folder: pathlib.Path, dataset: Dataset, split: str) -> dict[str, float]:
    """Figures of a motion tokenizer on a split.

    "error_mm" and "pose_mm", and of tokens "perplexity", "used_codes", "zipf_distance" and the edit
    distances "within" a class and "between" classes, over the length of a sentence. The tokens of
    two persons are one sentence.
    """
    from motionalign.tasks.tokens import statistics

    model = load(folder)
    predict = evaluate.predictor(model, evaluate.own_preparation(model, dataset))
    opened = dataset.split(split)
    found = predict.outputs("measured", dataset, opened, np.arange(len(opened)))
    figures = {name: float(found[name].mean()) for name in ("error_mm", "pose_mm")}
    if "codes" not in found:
        return figures
    codes = np.asarray(found["codes"])
    distances = edit_distances(codes.reshape(len(codes), -1))
    within, between = within_and_between(distances, opened.labels)
    statistic = statistics(codes, predict.network.config.quantizer.codes)
    return figures | statistic | {"within": within, "between": between}
