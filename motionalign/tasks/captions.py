"""The published retrieval protocols, their table, and a page of example queries.

Rows and columns of every similarity matrix are clips of the gallery: row i is the first caption of
clip i, column j the motion of clip j. Text to motion reads it by rows, motion to text by columns.
"""

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from motionalign.data.dataset import Dataset
from motionalign.data.records import Split
from motionalign.inference.encoder import Encoder
from motionalign.inference.similarity import cosine_similarity, nearness
from motionalign.metrics import retrieval_metrics
from motionalign.models.network import Params
from motionalign.report import tables
from motionalign.report.page import Gallery, same_caption
from motionalign.report.tables import DIRECTIONS, PROTOCOLS
from motionalign.tasks import classes, objectives


def evaluation_set(dataset: Dataset, split_name: str) -> tuple[Split, np.ndarray]:
    """A split, and the rows of the clips that it is scored on: one a source."""
    split = dataset.split(split_name)
    rows = split.evaluation_rows()
    if not len(rows):
        raise ValueError(f"{dataset.version_dir}: split {split_name!r} has no evaluation records")
    return split, rows


def validate_captions(
    config, encoder: Encoder, params: Params, dataset: Dataset
) -> tuple[float, dict[str, float]]:
    """Scores the validation split by the config's task: (selection score, scalars to log).

    Of captions it is retrieval, protocol `all`; of classes see `class_tasks.validate`. NaN and
    nothing where embeddings are not finite.
    """
    if config.task != "captions":
        return classes.validate(config, encoder, params, dataset)
    motion, text, gallery = embed_split(encoder, params, dataset, config.data.val_split)
    if not (np.isfinite(motion).all() and np.isfinite(text).all()):
        return math.nan, {}
    results = run_protocols(
        motion,
        text,
        gallery.captions,
        protocols=("all",),
        distance=objectives.distance(config.loss.kind),
    )["all"]
    scalars = {
        f"{direction}/{name}": float(value)
        for direction in tables.DIRECTIONS
        for name, value in results[direction].items()
    }
    return selection_score(results), scalars


def embed_split(
    encoder: Encoder,
    params: Params,
    dataset: Dataset,
    split_name: str,
    progress: bool = False,
    prepare: Callable[[np.ndarray], np.ndarray] | None = None,
) -> tuple[np.ndarray, np.ndarray, Gallery]:
    """Embeds the evaluation set of a split.

    `prepare` makes what the motion encoder reads from a clip's joints [T, J, C]; by default the
    prepared patches are read.

    Returns:
      motion [G, E], text [G, E] of each clip's first caption, and what they are of.
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
    get = classes.clip_getter(encoder, split, prepare)
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


def _published_subset(
    dataset: Dataset, split: str, gallery: Gallery
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


SMALL_BATCH = 32

NUM_DISSIMILAR = 100

_NO_VECTORS = "no caption vectors beside the dataset; `python -m data_prep embed` makes them"


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
    """Scores a split by the protocols of TMR (§4.1) that Motion Patches follows (§4.1).

    - `all`: the whole split; any item with the query's own caption is right (mirrored twins).
    - `all_threshold`: also right where the cosine of the caption vectors exceeds `threshold`.
    - `dissimilar`: the published subset where it is given, else `dissimilar_subset`.
    - `small_batches`: mean over batches of 32 of a seeded permutation, the last incomplete dropped.

    Args:
      motion, text: [G, E] embeddings of the clips and of their first captions, any length.
      captions: G first captions.
      caption_vectors: [G, Dv] vectors of those captions by a sentence encoder.
      dissimilar: gallery rows of the published subset.
      protocols: which of `PROTOCOLS` to run.
      threshold: cosine for `all_threshold`.
      seed: of the permutation for `small_batches`.
      encoder: name of the sentence encoder; needed with `caption_vectors`, for the table says it.
      dissimilar_note: what the table says of `dissimilar`: how much of the subset there is.
      distance: that the model was trained with, of `similarity.DISTANCES`.

    Returns:
      What metrics.json says of a split: {protocol: {"t2m": scores, "m2t": scores, "gallery": size,
      "note": what counts as right, ...}} with `retrieval_metrics` as scores, and
      "left_out": {protocol: reason} where one cannot run.

    Raises:
      ValueError: unknown protocols, shapes that do not agree, embeddings that are not finite.
    """
    unknown = [name for name in protocols if name not in PROTOCOLS]
    if unknown:
        raise ValueError(f"unknown protocols {unknown}; known: {', '.join(PROTOCOLS)}")
    if caption_vectors is not None and encoder is None:
        raise ValueError("caption vectors need the name of their encoder, which the tables print")
    size = len(captions)
    for name, rows in (("motion", motion), ("text", text), ("caption_vectors", caption_vectors)):
        if rows is not None and len(rows) != size:
            raise ValueError(f"{name} has {len(rows)} rows for {size} captions; expected one each")

    similarity = nearness(text, motion, distance)
    relevant = same_caption(captions)
    results, left_out = {}, {}
    if "all" in protocols:
        results["all"] = _both_directions(similarity, relevant) | {
            "gallery": size,
            "note": "one query a clip; any item with the same caption is right "
            f"({len(set(captions))} distinct captions)",
        }
    if "all_threshold" in protocols:
        if caption_vectors is None:
            left_out["all_threshold"] = _NO_VECTORS
        else:
            vectors = np.asarray(caption_vectors, np.float64)
            alike = cosine_similarity(vectors, vectors) > threshold
            results["all_threshold"] = _both_directions(similarity, relevant | alike) | {
                "gallery": size,
                "encoder": encoder,
                "threshold": threshold,
                "note": f"right also where caption vectors have a cosine above {threshold:.2f} "
                f"(encoder {encoder})",
            }
    if "dissimilar" in protocols:
        if dissimilar is not None and not len(dissimilar):
            left_out["dissimilar"] = dissimilar_note
        elif dissimilar is None and caption_vectors is None:
            left_out["dissimilar"] = f"no published subset, and {_NO_VECTORS}"
        else:
            if dissimilar is not None:
                rows = _checked_rows(dissimilar, size)
                origin = {"note": dissimilar_note}
            else:
                rows = dissimilar_subset(captions, caption_vectors)
                origin = {
                    "encoder": encoder,
                    "note": "our own greedy choice of the captions least alike, not a published "
                    f"subset, which nsim_test.txt would name (encoder {encoder})",
                }
            subset = np.ix_(rows, rows)
            scores = _both_directions(similarity[subset], relevant[subset])
            results["dissimilar"] = scores | {"gallery": len(rows)} | origin
    if "small_batches" in protocols:
        if size < SMALL_BATCH:
            left_out["small_batches"] = f"{size} clips do not fill a batch of {SMALL_BATCH}"
        else:
            order = np.random.default_rng(seed).permutation(size)
            results["small_batches"] = small_batch_metrics(similarity, relevant, order) | {
                "gallery": SMALL_BATCH,
                "note": f"mean of {size // SMALL_BATCH} batches, permuted with seed {seed}, "
                "last incomplete batch dropped",
            }
    return results | ({"left_out": left_out} if left_out else {})


def selection_score(results_all: Mapping) -> float:
    """Sum of R@1, R@5, R@10 over both directions of one protocol; chooses the best checkpoint."""
    return sum(results_all[way][f"R@{k}"] for way in DIRECTIONS for k in (1, 5, 10))


def small_batch_metrics(
    similarity: np.ndarray,
    relevant: np.ndarray,
    order: np.ndarray,
    batch_size: int = SMALL_BATCH,
) -> dict[str, dict[str, float]]:
    """Both directions' scores within consecutive batches of `order`, averaged over batches.

    Args:
      similarity, relevant: [G, G], text by motion.
      order: gallery rows; those that do not fill a last batch are dropped.
      batch_size: clips in a batch.
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
    """Greedy choice of captions that are least alike; our stand-in for a published subset.

    Begins with the caption of lowest mean cosine to all, then adds the one whose largest cosine to
    those chosen is smallest. Each distinct caption counts once, for its first clip.

    Args:
      captions: G captions.
      vectors: [G, Dv], their vectors.
      size: how many to choose; all distinct captions where there are fewer.

    Returns:
      Gallery rows in the order of choice.
    """
    _, first = np.unique(np.asarray(captions, dtype=object), return_index=True)
    rows = np.sort(first)
    # float64: choices must not hang on the rounding of one machine's matrix product.
    units = np.asarray(vectors, np.float64)[rows]
    units /= np.linalg.norm(units, axis=1, keepdims=True)
    chosen = [int(np.argmin(units @ units.mean(axis=0)))]
    nearest = np.full(len(rows), -np.inf)  # largest cosine to those chosen
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
