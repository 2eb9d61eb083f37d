"""Motions as sentences of tokens (LLM-AR, first stage): how well they are told, and in what words.

The selection score is the negative reconstruction error of poses, about the root, in millimetres.
"""

import dataclasses
import functools
import json
import math
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from motionalign import token_losses
from motionalign.config import Entry
from motionalign.data.dataset import Dataset
from motionalign.data.records import Split
from motionalign.data.texts import ClipTexts
from motionalign.inference.encoder import Predictor
from motionalign.metrics import normalised_edit_distances, true_classes
from motionalign.models.heads import ClassifierConfig
from motionalign.models.motion_language import MotionLanguageConfig
from motionalign.models.motion_tokenizer import MotionTokenizerConfig
from motionalign.report.pictures import rendered
from motionalign.report.sentence_page import Group, write_sentence_page
from motionalign.report.sentences import (
    ball_figure,
    frequencies_figure,
    sentence_picture,
    sentences_figure,
)
from motionalign.report.tables import Table
from motionalign.tasks.task import Results

ERRORS = ("error_mm", "pose_mm")  # outputs of `MotionTokenizer.measured`


class Tokens:
    """Clips without supervision."""

    name: ClassVar[str] = "tokens"
    kind: ClassVar[str] = "motion_tokenizer"
    entry: ClassVar[Entry] = Entry(reads=("eval.num_queries",))
    has_classes: ClassVar[bool] = False
    exclusive: ClassVar[bool | None] = None
    text_kind: ClassVar[str] = "none"

    def __init__(self, config: ConfigDict) -> None:
        """See `Task`."""
        self._count = config.eval.num_queries

    def class_of(self, dataset: Dataset, split: Split) -> np.ndarray:
        """[n] zeros: all clips count."""
        return np.zeros(len(split), np.int64)

    def texts(self, dataset: Dataset, split: Split) -> ClipTexts:
        """No text is read; all clips are of one kind."""
        return ClipTexts(["motion"], [["motion"]], self.class_of(dataset, split))

    def targets(self, dataset: Dataset, split: Split) -> None:
        """There are none."""

    def classes(self, datasets: Sequence[Dataset]) -> ClassifierConfig | None:
        """There are none."""

    def check(self, dataset: Dataset, split_name: str, compares: bool, vectors: bool) -> None:
        """See `Task.check`."""
        if not len(dataset.split(split_name)):
            raise ValueError(f"{dataset.version_dir}: split {split_name!r} has no clips")

    def validate(
        self, predict: Predictor, dataset: Dataset, split_name: str
    ) -> tuple[float, dict[str, float]]:
        """See `Task.validate`."""
        split = dataset.split(split_name)
        found = predict.outputs("measured", dataset, split, np.arange(len(split)))
        if not np.isfinite(found["error_mm"]).all():
            return math.nan, {}
        scalars = {name: float(found[name].mean()) for name in ERRORS}
        if "codes" in found:
            scalars |= statistics(found["codes"], predict.network.config.quantizer.codes)
        return -scalars["pose_mm"], scalars

    def evaluate(self, predict: Predictor, dataset: Dataset, split_name: str) -> Results:
        """See `Task.evaluate`."""
        split = dataset.split(split_name)
        found = predict.outputs("measured", dataset, split, np.arange(len(split)))
        scalars = {name: float(found[name].mean()) for name in ERRORS}
        notes = list(predict.about.values())
        pictures, page = {}, None
        if "codes" in found:
            told = TokenizedSplit(split, found["codes"], found["error_mm"], found["pose_mm"])
            quantizer = predict.network.config.quantizer
            scalars |= statistics(told.codes, quantizer.codes)
            apart = class_distances(told.sentences, split.all_labels)
            if apart:
                scalars |= apart
                notes.append(DISTANCES_NOTE)
            examples = chosen_examples(told, dataset, self._count)
            pictures = draw(predict, dataset, told, examples)
            page = functools.partial(
                write_page, predict, dataset, told, examples, scalars, pictures, notes
            )
        table = Table(list(scalars), [[f"{value:.3f}" for value in scalars.values()]], notes)
        content: dict[str, Any] = {"task": self.name, **predict.about, "tokens": scalars}
        content["table"] = table.markdown()
        return Results(content, [table], pictures, page, scalars=scalars)


# Sentences ---------------------------------------------------------------------------------------


def tokenizer_config(config: MotionTokenizerConfig | MotionLanguageConfig) -> MotionTokenizerConfig:
    """The motion tokenizer of a model that has one."""
    return config.tokenizer if isinstance(config, MotionLanguageConfig) else config


@dataclasses.dataclass(frozen=True)
class TokenizedSplit:
    """The N clips of a split as sentences.

    Attributes:
      split: the clips.
      codes: [N, M, W] int32, the tokens of each person; -1 for absent persons.
      error_mm: [N] mean distance in mm between the joints of a clip and those that its sentence
        decodes to.
      pose_mm: [N] the same of joints about the root.
    """

    split: Split
    codes: np.ndarray
    error_mm: np.ndarray
    pose_mm: np.ndarray

    @functools.cached_property
    def sentences(self) -> np.ndarray:
        """[N, M·W]: the tokens of all persons one after the other, then -1."""
        flat = self.codes.reshape(len(self.codes), -1)
        order = np.argsort(flat < 0, axis=1, kind="stable")
        return np.take_along_axis(flat, order, axis=1)

    def lines(self, dataset: Dataset) -> Iterator[str]:
        """The sentences as lines of JSON, one per clip in the order of the ids.

        A line has the clip's `id` and `split`, its number of `frames`, `label` (the name of its
        action; of several, `labels`; none if the dataset has none), `persons` (a list of tokens for
        each person that is there), and both errors.
        """
        names, split = dataset.metadata.label_names, self.split
        for row, codes in enumerate(self.codes):
            said = [names[k] for k in split.all_labels[row] if k >= 0]
            line: dict[str, Any] = {
                "id": str(split.ids[row]),
                "split": split.name,
                "frames": int(split.num_frames[row]),
            }
            line |= {"label": said[0]} if len(said) == 1 else {"labels": said} if said else {}
            line["persons"] = [each.tolist() for each in codes if (each >= 0).all()]
            line |= {name: round(float(getattr(self, name)[row]), 2) for name in ERRORS}
            yield json.dumps(line, ensure_ascii=False)


def tokenize(predict: Predictor, dataset: Dataset, split: Split) -> TokenizedSplit:
    """Writes the clips of a split as sentences; the model must have codes.

    Raises:
      ValueError: the model's output is not finite.
    """
    found = predict.outputs("measured", dataset, split, np.arange(len(split)))
    if not np.isfinite(found["error_mm"]).all():
        raise ValueError("the output of the model is not finite: its training has diverged")
    return TokenizedSplit(split, found["codes"], found["error_mm"], found["pose_mm"])


def sentence_table(written: Sequence[TokenizedSplit], count: int, notes: Sequence[str]) -> Table:
    """Statistics of the sentences of each split; `count` is the number of codes."""
    head = ["split", "clips", "sentences", "tokens", *TITLES.values()]
    rows = []
    for each in written:
        errors = {name: float(getattr(each, name).mean()) for name in ERRORS}
        values = errors | statistics(each.codes, count)
        numbers = [
            len(each.codes), (each.codes >= 0).all(-1).sum(), (each.codes >= 0).sum(),
        ]  # fmt: skip
        cells = [_DIGITS[name].format(values[name]) for name in TITLES]
        rows.append([each.split.name, *map(str, numbers), *cells])
    return Table(head, rows, notes)


TITLES = {
    "error_mm": "error (mm)",
    "pose_mm": "about the root (mm)",
    "perplexity": "perplexity",
    "used_codes": "used codes",
    "zipf_distance": "distance to Zipf's law",
}
"""{statistic of sentences: its title in tables}."""

_DIGITS = {
    "error_mm": "{:.1f}", "pose_mm": "{:.1f}", "perplexity": "{:.1f}", "used_codes": "{:.0f}",
    "zipf_distance": "{:.4f}",
}  # fmt: skip


def statistics(codes: np.ndarray, count: int) -> dict[str, float]:
    """Perplexity, number of used codes and distance to Zipf's law of sentences.

    Args:
      codes: [...] int32; negative ones do not count.
      count: number of codes.
    """
    shares = np.asarray(token_losses.frequencies(jnp.asarray(codes), count), np.float64)
    used = shares[shares > 0]
    return {
        "perplexity": float(np.exp(-(used * np.log(used)).sum())),
        "used_codes": float(len(used)),
        "zipf_distance": float(token_losses.zipf(jnp.asarray(shares))),
    }


# Edit distances ----------------------------------------------------------------------------------

_MOST = 500  # clips whose sentences are compared with each other

DISTANCES_NOTE = (
    "edit distances are divided by the length of the longer sentence; nearer_within is the share "
    "of pairs of one class that are nearer than a pair of two classes (0.5: no difference)"
)


def class_distances(sentences: np.ndarray, labels: np.ndarray, seed: int = 0) -> dict[str, float]:
    """How far the sentences of one class are from each other, and from those of other classes.

    Args:
      sentences: [N, L] tokens, followed by -1.
      labels: [N, m] the classes of each clip; -1: none. Clips of no class do not count, and two
        clips are of one class if they share any.
      seed: draws the clips, if there are more than 500.

    Returns:
      {"edit_within", "edit_between": mean normalised edit distance of two clips of one class, and
      of two classes; "nearer_within": probability that the former are nearer, where equal ones
      count half}. Empty without pairs of both kinds.
    """
    known = np.flatnonzero((labels >= 0).any(axis=1))
    if len(known) > _MOST:
        known = np.sort(np.random.default_rng(seed).choice(known, _MOST, replace=False))
    first, second = np.triu_indices(len(known), 1)
    of_class = true_classes(labels[known], len(known), labels.max() + 1) if len(known) else None
    if of_class is None:
        return {}
    same = (of_class.astype(np.float32) @ of_class.T.astype(np.float32))[first, second] > 0
    if same.all() or not same.any():
        return {}
    apart = normalised_edit_distances(sentences[known[first]], sentences[known[second]])
    within, between = apart[same], np.sort(apart[~same])
    nearer = len(between) - np.searchsorted(between, within, "right")
    equal = len(between) - nearer - np.searchsorted(between, within, "left")
    return {
        "edit_within": float(within.mean()),
        "edit_between": float(between.mean()),
        "nearer_within": float((nearer + equal / 2).mean() / len(between)),
    }


# Pictures and page -------------------------------------------------------------------------------

_OF_A_CLASS = 4  # sentences of one action that are shown

_DRAWN = 4  # pictures of a clip beside its decoded sentence


@dataclasses.dataclass(frozen=True)
class Example:
    """Sentences that are shown under each other.

    Attributes:
      title: what the clips have in common, or the name of the only one.
      rows: the clips; the first is the one to which the others are nearest.
      distances: normalised edit distance of each from the first.
    """

    title: str
    rows: np.ndarray
    distances: np.ndarray


def chosen_examples(
    told: TokenizedSplit, dataset: Dataset, count: int, seed: int = 0
) -> list[Example]:
    """The sentences to show: of `count` actions, or of as many clips if they have no labels.

    Of an action with more than 50 clips, 50 that `seed` draws are considered.
    """
    rng, labels = np.random.default_rng(seed), told.split.all_labels
    occurring = np.unique(labels[labels >= 0])
    if not len(occurring):
        rows = np.unique(np.linspace(0, len(labels) - 1, min(count, len(labels))).astype(int))
        return [Example(str(told.split.ids[i]), np.array([i]), np.zeros(1)) for i in rows]
    examples = []
    for k in occurring[:count]:
        rows = np.flatnonzero((labels == k).any(axis=1))
        rows = rows if len(rows) <= 50 else np.sort(rng.choice(rows, 50, replace=False))
        a, b = (part.ravel() for part in np.indices((len(rows), len(rows))))
        apart = normalised_edit_distances(told.sentences[rows[a]], told.sentences[rows[b]])
        apart = apart.reshape(len(rows), -1)
        first = int(apart.mean(axis=1).argmin())
        others = rng.permutation(np.delete(np.arange(len(rows)), first))[: _OF_A_CLASS - 1]
        others = others[np.argsort(apart[first][others], kind="stable")]
        shown = np.array([first, *others])
        examples.append(Example(dataset.metadata.label_names[k], rows[shown], apart[first][shown]))
    return examples


def draw(
    predict: Predictor, dataset: Dataset, told: TokenizedSplit, examples: Sequence[Example]
) -> dict[str, np.ndarray]:
    """{name: picture}: clips beside their decoded sentences, frequencies, sentences, the ball."""
    quantizer = predict.network.config.quantizer
    drawn = {
        f"sentence-{place}": image
        for place, image in enumerate(
            beside_decoded(predict, dataset, told, [each.rows[0] for each in examples[:_DRAWN]]), 1
        )
    }
    shares = np.asarray(token_losses.frequencies(jnp.asarray(told.codes), quantizer.codes))
    law = np.asarray(token_losses.zipf_law(quantizer.codes))
    drawn["frequencies"] = rendered(frequencies_figure(shares, law))
    if len(examples[0].rows) > 1:
        shown = [(e.title, told.sentences[e.rows], e.distances) for e in examples[:12]]
        drawn["sentences"] = rendered(sentences_figure(shown))
    if quantizer.kind == "hyperbolic":
        points = np.asarray(predict.rest()["quantizer/points"])
        drawn["ball"] = rendered(ball_figure(points, shares, quantizer.curvature))
    return drawn


def beside_decoded(
    predict: Predictor, dataset: Dataset, told: TokenizedSplit, rows: Sequence[int] | np.ndarray
) -> list[np.ndarray]:
    """Pictures of clips with their sentences and what these decode to; of the first person."""
    chosen = np.asarray(rows, int)
    found = predict.outputs("rebuilt", dataset, told.split, chosen)
    pictures = []
    for i, row in enumerate(chosen):
        person = int(found["persons"][i].argmax())
        motions = (found[name][i][:, person] for name in ("target", "reconstruction"))
        codes = told.codes[row, person]
        pictures.append(sentence_picture(*motions, codes, dataset.metadata.skeleton))
    return pictures


def write_page(
    predict: Predictor,
    dataset: Dataset,
    told: TokenizedSplit,
    examples: Sequence[Example],
    scalars: Mapping[str, float],
    pictures: Mapping[str, np.ndarray],
    notes: Sequence[str],
    folder: pathlib.Path,
) -> pathlib.Path:
    """Writes the page of examples; see `sentence_page.write_sentence_page`."""
    split = told.split
    titles = {**TITLES, **_DISTANCE_TITLES}
    cells = [[titles[name], f"{value:.3f}"] for name, value in scalars.items()]
    groups = [
        Group(
            example.title,
            [str(split.ids[row]) for row in example.rows],
            [[each for each in told.codes[row] if (each >= 0).all()] for row in example.rows],
            example.distances,
            beside_decoded(predict, dataset, told, example.rows),
            told.error_mm[example.rows],
        )
        for example in examples
    ]
    return write_sentence_page(
        folder,
        f"Sentences of {dataset.name}, split {split.name}",
        f"{len(split)} clips, skeleton {dataset.metadata.skeleton.name}",
        Table(["", "value"], cells, notes),
        {name: pictures[name] for name in ("frequencies", "ball") if name in pictures},
        groups,
    )


_DISTANCE_TITLES = {
    "edit_within": "edit distance within a class",
    "edit_between": "edit distance between classes",
    "nearer_within": "share of pairs within that are nearer",
}
