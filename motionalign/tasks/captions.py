"""Retrieval by captions: the task and its published evaluation protocols.

Every score matrix is [G, G] over the clips of the gallery: row i is the first caption of clip i,
column j the motion of clip j. Text-to-motion retrieval ranks each row, motion-to-text retrieval
each column.
"""

import dataclasses
import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar

import numpy as np
from ml_collections import ConfigDict

from motionalign import digests, reading
from motionalign.config import Entry
from motionalign.data import cuts
from motionalign.data.dataset import Dataset
from motionalign.data.records import PREPARE_AGAIN, Split
from motionalign.data.texts import ClipTexts
from motionalign.inference.encoder import Predictor
from motionalign.inference.similarity import cosine_similarity, similarity_scores
from motionalign.metrics import best_items, retrieval_metrics, retrieval_ranks
from motionalign.models.heads import ClassifierConfig
from motionalign.report.page import Gallery, same_caption, write_page
from motionalign.report.tables import (
    DIRECTIONS,
    PROTOCOLS,
    TOP,
    Records,
    number,
    retrieval_table,
    top_cells,
    top_columns,
)
from motionalign.tasks.task import Results

SMALL_BATCH = 32
NUM_DISSIMILAR = 100
_NO_VECTORS = "no caption vectors in the dataset; `python -m data_prep embed` computes them"


class Captions:
    """Clips have captions of their own; validation uses `selection_score` of protocol `all`."""

    name: ClassVar[str] = "captions"
    kind: ClassVar[str] = "dual_encoder"
    entry: ClassVar[Entry] = Entry(reads=("eval.protocols", "eval.num_queries"))
    has_classes: ClassVar[bool] = False
    exclusive: ClassVar[bool | None] = None
    text_kind: ClassVar[str] = "captions"

    def __init__(self, config: ConfigDict) -> None:
        self._protocols = tuple(config.eval.protocols)
        self._threshold = config.eval.threshold
        self._num_queries = config.eval.num_queries

    def class_of(self, dataset: Dataset, split: Split) -> np.ndarray:
        """[n]: every clip is its own class."""
        return np.arange(len(split))

    def texts(self, dataset: Dataset, split: Split) -> ClipTexts:
        """Every clip's captions."""
        return ClipTexts(split.ids, split.captions, self.class_of(dataset, split))

    def targets(self, dataset: Dataset, split: Split) -> None:
        """None: captions are not classes."""
        return None

    def classes(self, datasets: Sequence[Dataset]) -> ClassifierConfig | None:
        """None: captions are not classes."""
        return None

    def check(self, dataset: Dataset, split_name: str, compares: bool, vectors: bool) -> None:
        """See `Task.check`."""
        evaluation_set(dataset, split_name)

    def validate(
        self, predict: Predictor, dataset: Dataset, split_name: str
    ) -> tuple[float, dict[str, float]]:
        """See `Task.validate`."""
        motion, text, gallery = embed_split(predict, dataset, split_name)
        if not (np.isfinite(motion).all() and np.isfinite(text).all()):
            return math.nan, {}
        scores = similarity_scores(text, motion, predict.distance)
        results = score_protocols(scores, gallery.captions, protocols=("all",))["all"]
        scalars = {
            f"{direction}/{name}": float(value)
            for direction in DIRECTIONS
            for name, value in results[direction].items()
        }
        return selection_score(results), scalars

    def evaluate(self, predict: Predictor, dataset: Dataset, split_name: str) -> Results:
        """See `Task.evaluate`."""
        motion, text, gallery = embed_split(predict, dataset, split_name)
        vectors = dataset.caption_vectors
        dissimilar, note = _published_subset(dataset, split_name, gallery)
        scores = similarity_scores(text, motion, predict.distance)
        results = score_protocols(
            scores,
            gallery.captions,
            caption_vectors=vectors[gallery.captions] if vectors else None,
            dissimilar=dissimilar,
            dissimilar_note=note,
            protocols=self._protocols,
            threshold=self._threshold,
            encoder=gallery.encoder,
        )
        split, rows = evaluation_set(dataset, split_name)
        results |= predict.about
        results |= cuts.to_json(predict.cuts(dataset, split, rows, gallery.captions))
        page = functools.partial(
            write_page,
            results=results,
            gallery=gallery,
            similarity=scores,
            num_queries=self._num_queries,
            title=f"{dataset.name}: {split_name} split",
        )
        scalars = {
            f"{protocol}/{direction}/{name}": value
            for protocol in PROTOCOLS
            if protocol in results
            for direction in DIRECTIONS
            for name, value in results[protocol][direction].items()
        }
        return Results(
            results,
            [retrieval_table(results)],
            page=page,
            records={"per_query": query_records(gallery.ids, gallery.captions, scores)},
            scalars=scalars,
            unasked=[name for name in PROTOCOLS if name not in self._protocols],
        )


def evaluation_set(dataset: Dataset, split_name: str) -> tuple[Split, np.ndarray]:
    """A split, and the rows of its evaluation records: one per source."""
    split = dataset.split(split_name)
    rows = split.evaluation_rows()
    if not len(rows):
        raise ValueError(f"{dataset.version_dir}: split {split_name!r} has no evaluation records")
    return split, rows


def embed_split(
    predict: Predictor, dataset: Dataset, split_name: str
) -> tuple[np.ndarray, np.ndarray, Gallery]:
    """Embeds the evaluation set of a split.

    Returns:
      Motion embeddings [G, E], embeddings of the clips' first captions [G, E], and the gallery.
    """
    split, rows = evaluation_set(dataset, split_name)
    gallery = Gallery(
        ids=[split.ids[r] for r in rows],
        sources=[split.sources[r] for r in rows],
        captions=[split.captions[r][0] for r in rows],
        mirrored_of=[split.mirrored_of[r] for r in rows],
        joints=lambda i: split[rows[i]]["joints"][:, 0],
        skeleton=dataset.metadata.skeleton,
        fps=dataset.metadata.fps,
        encoder=dataset.caption_vectors.encoder if dataset.caption_vectors else None,
    )
    motion = predict.motions(dataset, split, rows)
    text = predict.texts(dataset, gallery.captions, f"{split_name} captions")
    return motion, text, gallery


def _published_subset(
    dataset: Dataset, split: str, gallery: Gallery
) -> tuple[list[int] | None, str]:
    """Gallery rows of the published dissimilar subset, None without one, and a note on it."""
    path = dataset.version_dir / f"dissimilar-{split}.txt"
    if not reading.is_there(path):
        return None, ""
    row = {source: i for i, source in enumerate(gallery.sources)}
    names = digests.read_text(path, PREPARE_AGAIN).splitlines()
    missing = [name for name in names if name not in row]
    note = "the published subset"
    if missing:
        note = (
            f"{len(names) - len(missing)} of the {len(names)} clips of the published subset; "
            f"missing from this split: {', '.join(missing)}"
        )
    return [row[name] for name in names if name in row], note


def query_records(ids: Sequence[str], captions: Sequence[str], scores: np.ndarray) -> Records:
    """Per query of protocol `all`: the rank of the best correct item, and the five best hits.

    Args:
      ids: IDs of the G clips.
      captions: first captions of the G clips.
      scores: [G, G], text by motion.

    Returns:
      One row per text query (`direction` t2m), then one per motion query (m2t): `id` and `caption`
      of the query's clip, `rank`, and for each hit the id and caption of its clip and the score.
    """
    relevant = same_caption(captions)
    head = ["direction", "id", "caption", "rank", *top_columns("id", "caption", "score")]
    rows = []
    for direction in DIRECTIONS:
        found, right = (scores, relevant) if direction == "t2m" else (scores.T, relevant.T)
        ranks, best = retrieval_ranks(found, right), best_items(found, TOP)
        for i, (rank, hits) in enumerate(zip(ranks, best)):
            names, said = [ids[j] for j in hits], [captions[j] for j in hits]
            cells = top_cells(names, said, [number(score) for score in found[i, hits]])
            rows.append([direction, ids[i], captions[i], number(rank), *cells])
    return Records(head, rows)


# Protocols ---------------------------------------------------------------------------------------


def run_protocols(
    motion: np.ndarray,
    text: np.ndarray,
    captions: Sequence[str],
    caption_vectors: np.ndarray | None = None,
    dissimilar: Sequence[int] | None = None,
    protocols: Sequence[str] = PROTOCOLS,
    threshold: float = 0.90,
    seed: int = 0,
    encoder: str | None = None,
    dissimilar_note: str = "the published subset",
    distance: str = "cosine",
) -> dict:
    """Computes similarity scores from embeddings and applies `score_protocols`.

    Args:
      motion, text: [G, E] embeddings of the clips and of their first captions, of any norm.
      captions, caption_vectors, dissimilar, protocols, threshold, seed, encoder, dissimilar_note:
        as in `score_protocols`.
      distance: the distance that the model was trained with, one of `similarity.DISTANCES`.
    """
    for name, rows in (("motion", motion), ("text", text)):
        _check_rows(name, rows, captions)
    return score_protocols(
        similarity_scores(text, motion, distance),
        captions,
        caption_vectors,
        dissimilar,
        protocols,
        threshold,
        seed,
        encoder,
        dissimilar_note,
    )


def score_protocols(
    scores: np.ndarray,
    captions: Sequence[str],
    caption_vectors: np.ndarray | None = None,
    dissimilar: Sequence[int] | None = None,
    protocols: Sequence[str] = PROTOCOLS,
    threshold: float = 0.90,
    seed: int = 0,
    encoder: str | None = None,
    dissimilar_note: str = "the published subset",
) -> dict:
    """Scores a split by the protocols of TMR (§4.1), which Motion Patches follows (§4.1).

    - `all`: the complete split; items with the query's caption (mirrored twins) are also correct.
    - `all_threshold`: items whose caption vectors have a cosine above `threshold` are also correct.
    - `dissimilar`: the published subset if it is given, otherwise `dissimilar_subset`.
    - `small_batches`: mean over batches of 32 of a seeded permutation, without the last incomplete
      one.

    Args:
      scores: [G, G] scores of every first caption with every motion, higher is more similar.
      captions: G first captions.
      caption_vectors: [G, Dv] sentence vectors of these captions.
      dissimilar: gallery rows of the published subset.
      protocols: which of `PROTOCOLS` to run.
      threshold: cosine threshold of `all_threshold`.
      seed: seed of the permutation of `small_batches`.
      encoder: name of the sentence encoder, which the table prints; required with
        `caption_vectors`.
      dissimilar_note: note on `dissimilar` in the table: how much of the published subset is used.

    Returns:
      The content of metrics.json for a split: {protocol: {"t2m": scores, "m2t": scores, "gallery":
      size, "note": what counts as correct, ...}} with the scores of `retrieval_metrics`, and
      "left_out": {protocol: reason} if some cannot run.

    Raises:
      ValueError: a protocol is unknown, shapes do not agree, or scores are not finite.
    """
    unknown = [name for name in protocols if name not in _PROTOCOLS]
    if unknown:
        raise ValueError(f"unknown protocols {unknown}; known: {', '.join(PROTOCOLS)}")
    if caption_vectors is not None:
        if encoder is None:
            raise ValueError(
                "caption_vectors need the name of their encoder, which the table prints: pass "
                "encoder=NAME"
            )
        _check_rows("caption_vectors", caption_vectors, captions)
    given = _Given(
        scores, captions, same_caption(captions), caption_vectors, encoder, threshold, seed,
        dissimilar, dissimilar_note,
    )  # fmt: skip
    found = {name: run(given) for name, run in _PROTOCOLS.items() if name in protocols}
    results = {name: each for name, each in found.items() if not isinstance(each, str)}
    left_out = {name: why for name, why in found.items() if isinstance(why, str)}
    return results | ({"left_out": left_out} if left_out else {})


@dataclasses.dataclass(frozen=True)
class _Given:
    """The inputs of a protocol; see `score_protocols`."""

    scores: np.ndarray
    captions: Sequence[str]
    relevant: np.ndarray  # [G, G] bool, equal captions
    vectors: np.ndarray | None
    encoder: str | None
    threshold: float
    seed: int
    dissimilar: Sequence[int] | None
    dissimilar_note: str


def _all(given: _Given) -> dict:
    return _both_directions(given.scores, given.relevant) | {
        "gallery": len(given.captions),
        "note": "one query per clip; items with the same caption count as correct "
        f"({len(set(given.captions))} distinct captions)",
    }


def _all_threshold(given: _Given) -> dict | str:
    if given.vectors is None:
        return _NO_VECTORS
    vectors = np.asarray(given.vectors, np.float64)
    alike = cosine_similarity(vectors, vectors) > given.threshold
    return _both_directions(given.scores, given.relevant | alike) | {
        "gallery": len(given.captions),
        "encoder": given.encoder,
        "threshold": given.threshold,
        "note": f"items with a caption-vector cosine above {given.threshold:.2f} also count as "
        f"correct (encoder {given.encoder})",
    }


def _dissimilar(given: _Given) -> dict | str:
    if given.dissimilar is not None and not len(given.dissimilar):
        return given.dissimilar_note
    if given.dissimilar is None and given.vectors is None:
        return f"no published subset and {_NO_VECTORS}"
    if given.dissimilar is not None:
        rows = _checked_rows(given.dissimilar, len(given.captions))
        origin: dict[str, str | None] = {"note": given.dissimilar_note}
    else:
        assert given.vectors is not None
        rows = dissimilar_subset(given.captions, given.vectors)
        origin = {
            "encoder": given.encoder,
            "note": "our own greedy selection of the least similar captions, not the published "
            f"subset of nsim_test.txt (encoder {given.encoder})",
        }
    subset = np.ix_(rows, rows)
    scores = _both_directions(given.scores[subset], given.relevant[subset])
    return scores | {"gallery": len(rows)} | origin


def _small_batches(given: _Given) -> dict | str:
    size = len(given.captions)
    if size < SMALL_BATCH:
        return f"{size} clips do not fill a batch of {SMALL_BATCH}"
    order = np.random.default_rng(given.seed).permutation(size)
    return small_batch_metrics(given.scores, given.relevant, order) | {
        "gallery": SMALL_BATCH,
        "note": f"mean over {size // SMALL_BATCH} batches of a permutation with seed {given.seed}, "
        "without the last incomplete batch",
    }


_PROTOCOLS: dict[str, Callable[[_Given], dict | str]] = dict(
    zip(PROTOCOLS, (_all, _all_threshold, _dissimilar, _small_batches), strict=True)
)
"""{protocol: function that returns its scores with a note, or the reason why it cannot run}."""


def _check_rows(name: str, rows: np.ndarray, captions: Sequence[str]) -> None:
    if len(rows) != len(captions):
        raise ValueError(
            f"{name} has {len(rows)} rows for {len(captions)} captions; expected one row per "
            "caption"
        )


def selection_score(results_all: Mapping) -> float:
    """Sum of R@1, R@5, R@10 over both directions of one protocol; selects the best checkpoint."""
    return sum(results_all[way][f"R@{k}"] for way in DIRECTIONS for k in (1, 5, 10))


def small_batch_metrics(
    similarity: np.ndarray,
    relevant: np.ndarray,
    order: np.ndarray,
    batch_size: int = SMALL_BATCH,
) -> dict[str, dict[str, float]]:
    """Scores of both directions within consecutive batches of `order`, averaged over batches.

    Args:
      similarity, relevant: [G, G], text by motion.
      order: gallery rows; a last, incomplete batch is dropped.
      batch_size: clips per batch.
    """
    batches = [order[i : i + batch_size] for i in range(0, len(order), batch_size)]
    scores = [
        _both_directions(similarity[np.ix_(rows, rows)], relevant[np.ix_(rows, rows)])
        for rows in batches
        if len(rows) == batch_size
    ]
    if not scores:
        raise ValueError(f"{len(order)} clips do not fill a batch of {batch_size}")
    return {
        way: {name: float(np.mean([s[way][name] for s in scores])) for name in scores[0][way]}
        for way in DIRECTIONS
    }


def dissimilar_subset(
    captions: Sequence[str], vectors: np.ndarray, size: int = NUM_DISSIMILAR
) -> list[int]:
    """Greedily selects the least similar captions, as a substitute for the published subset.

    Starts with the caption of lowest mean cosine to all, then repeatedly adds the one whose largest
    cosine to the selected captions is smallest. Each distinct caption counts once and is
    represented by its first clip.

    Args:
      captions: G captions.
      vectors: [G, Dv] sentence vectors of the captions.
      size: number of captions to select; all distinct captions if there are fewer.

    Returns:
      Gallery rows in the order of selection.
    """
    _, first = np.unique(np.asarray(captions, dtype=object), return_index=True)
    rows = np.sort(first)
    # float64: the selection must not depend on how a machine rounds matrix products.
    units = np.asarray(vectors, np.float64)[rows]
    units /= np.linalg.norm(units, axis=1, keepdims=True)
    chosen = [int(np.argmin(units @ units.mean(axis=0)))]
    nearest = np.full(len(rows), -np.inf)  # largest cosine to the selected captions
    while len(chosen) < min(size, len(rows)):
        nearest = np.maximum(nearest, units @ units[chosen[-1]])
        nearest[chosen[-1]] = np.inf
        chosen.append(int(np.argmin(nearest)))
    return [int(rows[i]) for i in chosen]


def _both_directions(similarity: np.ndarray, relevant: np.ndarray) -> dict:
    return {
        "t2m": retrieval_metrics(similarity, relevant),
        "m2t": retrieval_metrics(similarity.T, relevant.T),
    }


def _checked_rows(rows: Sequence[int], size: int) -> list[int]:
    rows = [int(row) for row in rows]
    if not rows or len(set(rows)) != len(rows) or min(rows) < 0 or max(rows) >= size:
        raise ValueError(
            f"the dissimilar subset must be distinct gallery rows in 0..{size - 1}; "
            f"found {len(rows)} rows: {rows[:5]}..."
        )
    return rows
