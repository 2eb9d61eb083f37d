"""The page of example queries with their hits, in one HTML file.

Every similarity matrix is [G, G] over the clips of the gallery: row i is the first caption of clip
i, column j the motion of clip j. Text-to-motion retrieval ranks each row, motion-to-text retrieval
each column.
"""

import dataclasses
import functools
import html
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from motionalign.metrics import retrieval_ranks
from motionalign.report.document import GAP, card, html_table, item, strip, write_document
from motionalign.report.tables import protocol_notes, retrieval_rows
from motionalign.skeleton import Skeleton


@dataclasses.dataclass(frozen=True)
class Gallery:
    """The clips of an evaluated split, one entry per clip.

    Attributes:
      ids, sources: the record's `id` and `source`.
      captions: the first caption of each clip.
      mirrored_of: the clip that each clip mirrors, "" for originals.
      joints: index → joints [T, J, 3], Y up.
      skeleton: the J joints.
      fps: frames per second.
      encoder: the sentence encoder of the caption vectors; None if there are no caption vectors.
    """

    ids: Sequence[str]
    sources: Sequence[str]
    captions: Sequence[str]
    mirrored_of: Sequence[str]
    joints: Callable[[int], np.ndarray]
    skeleton: Skeleton
    fps: float
    encoder: str | None = None

    def are_twins(self, i: int, j: int) -> bool:
        """Whether one of two clips is the mirror image of the other."""
        return (
            self.mirrored_of[i] in (self.ids[j], self.sources[j])
            or self.mirrored_of[j] in (self.ids[i], self.sources[i])
        ) and i != j


def same_caption(captions: Sequence[str]) -> np.ndarray:
    """[G, G] bool, whether two clips have the same caption string."""
    _, number = np.unique(np.asarray(captions, dtype=object), return_inverse=True)
    return number[:, None] == number


# The page of examples ----------------------------------------------------------------------------


def write_page(
    folder: str | os.PathLike,
    results: Mapping,
    gallery: Gallery,
    similarity: np.ndarray,
    num_queries: int = 12,
    title: str = "Motion retrieval",
    seed: int = 0,
) -> Path:
    """Writes `folder/index.html`: the table, and example queries with their five best hits.

    The file includes its pictures, so it can be sent as it is. Half of the queries are captions and
    half are motions. Each half is sampled with `seed`, alternately from the queries whose best
    correct match is ranked first, among the first five, and lower.

    Args:
      folder: created if absent.
      results: the results of `run_protocols`, for the table.
      gallery: the evaluated clips.
      similarity: [G, G], text by motion.
      num_queries: number of example queries in both directions together.
      title: heading of the page.
      seed: seed of the choice of examples.

    Returns:
      The path of the page.

    Raises:
      ValueError: `similarity` does not have the size of the gallery.
    """
    size = len(gallery.captions)
    if similarity.shape != (size, size):
        raise ValueError(f"similarity must be [{size}, {size}]; found {similarity.shape}")
    return write_document(
        folder,
        title,
        f"{size} clips, {len(set(gallery.captions))} distinct captions, "
        f"skeleton {gallery.skeleton.name}",
        f"Scores are cosines. The examples are sampled with seed {seed}, alternately from queries "
        "whose best correct match is ranked first, among the first five, and lower. They show "
        "successes and failures, not how frequent these are.",
        html_table(*retrieval_rows(results), protocol_notes(results)),
        _examples(gallery, similarity, num_queries, seed),
    )


def example_queries(
    ranks: np.ndarray, captions: Sequence[str], count: int, seed: int | Sequence[int]
) -> list[int]:
    """Samples up to `count` queries with distinct captions: hits, near misses and misses in turn.

    A hit has its best correct match at rank 1, a near miss at a rank up to 5.
    """
    drawn = np.random.default_rng(seed).permutation(len(ranks))
    kind = np.digitize(ranks[drawn], (1, 5), right=True)  # 0: first, 1: among five, 2: later
    piles = [list(drawn[kind == k]) for k in range(3)]
    chosen, seen = [], set()
    while len(chosen) < count and any(piles):
        for pile in piles:
            while pile and captions[pile[0]] in seen:
                pile.pop(0)
            if pile and len(chosen) < count:
                chosen.append(int(pile.pop(0)))
                seen.add(captions[chosen[-1]])
    return chosen


def _examples(gallery: Gallery, similarity: np.ndarray, num_queries: int, seed: int) -> str:
    """The sections of example queries, one per direction; each clip is drawn only once."""
    relevant = same_caption(gallery.captions)
    draw = functools.cache(lambda i: strip(gallery, i))
    sections = []
    for way, count in (("t2m", (num_queries + 1) // 2), ("m2t", num_queries // 2)):
        if count == 0:
            continue
        scores, right = (similarity, relevant) if way == "t2m" else (similarity.T, relevant.T)
        ranks = retrieval_ranks(scores, right)
        cards = [
            _card(gallery, way, i, scores[i], right[i], ranks[i], draw)
            for i in example_queries(ranks, gallery.captions, count, [seed, way == "m2t"])
        ]
        sections.append(f"<h2>{_HEADINGS[way]}</h2>\n{''.join(cards)}")
    return "\n".join(sections)


def _card(
    gallery: Gallery,
    way: str,
    query: int,
    scores: np.ndarray,
    right: np.ndarray,
    rank: float,
    draw: Callable[[int], str],
) -> str:
    """A query with its five best hits, and its best correct match if that is not among them."""
    caption = html.escape(gallery.captions[query])
    asked = f"<q>{caption}</q>" if way == "t2m" else draw(query)
    order = np.argsort(-scores, kind="stable")
    hits = [
        _hit(gallery, way, query, int(j), f"{place}", scores[j], right[j], draw)
        for place, j in enumerate(order[:5], start=1)
    ]
    if rank > 5:
        verdict, kind = f"correct match at rank {rank:g} of {len(scores)}", "miss"
    elif rank > 1:
        verdict, kind = f"correct match at rank {rank:g}", "near"
    else:
        verdict, kind = "correct match first", "good"
    if not right[order[:5]].any():
        best = int(np.argmax(np.where(right, scores, -np.inf)))
        hits.append(GAP)
        hits.append(_hit(gallery, way, query, best, f"{rank:g}", scores[best], True, draw))
    return card(asked, verdict, kind, hits, header=way)


def _hit(
    gallery: Gallery,
    way: str,
    query: int,
    hit: int,
    place: str,
    score: float,
    right: bool,
    draw: Callable[[int], str],
) -> str:
    twins = gallery.are_twins(query, hit)
    if hit == query:
        tag = "correct"
    elif right:
        tag = "correct: mirrored twin" if twins else "correct: same caption"
    else:
        tag = "mirrored twin, different caption" if twins else ""
    caption = f"<p>{html.escape(gallery.captions[hit])}</p>"
    answer = [draw(hit), caption] if way == "t2m" else [caption, draw(hit)]
    return item(right, place, f"{score:.3f}", tag, "".join(answer))


_HEADINGS = {"t2m": "Text to motion", "m2t": "Motion to text"}
