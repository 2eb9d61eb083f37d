"""A page of example queries with their hits, in one HTML file.

Rows and columns of every similarity matrix are clips of the gallery: row i is the first caption of
clip i, column j the motion of clip j. Text to motion reads it by rows, motion to text by columns.
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
    """The clips of an evaluated split, one entry a clip.

    Attributes:
      ids, sources: the record's `id` and `source`.
      captions: the first caption of each clip.
      mirrored_of: the clip that each one mirrors, "" for originals.
      joints: index → joints [T, J, 3], Y up.
      skeleton: the J joints.
      fps: frames a second.
      encoder: the sentence encoder behind the caption vectors; None when there are none.
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
        """Whether one of two clips is the other one mirrored."""
        return (
            self.mirrored_of[i] in (self.ids[j], self.sources[j])
            or self.mirrored_of[j] in (self.ids[i], self.sources[i])
        ) and i != j


def same_caption(captions: Sequence[str]) -> np.ndarray:
    """[G, G] bool, True where two clips have the same caption string."""
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
    """Writes `folder/index.html`: the tables, and example queries with their five best hits.

    One file with everything in it, pictures too, so that it can be mailed. Half of the queries are
    captions and half motions; each half is drawn with `seed` in turn from the queries whose right
    answer came first, among the first five, and later.

    Args:
      folder: made where absent.
      results: as `run_protocols` gives them, for the table.
      gallery: the evaluated clips.
      similarity: [G, G], text by motion.
      num_queries: example queries, over both directions.
      title: heading of the page.
      seed: of the choice of examples.

    Returns:
      The path of the page.

    Raises:
      ValueError: `similarity` of another size than the gallery.
    """
    size = len(gallery.captions)
    if similarity.shape != (size, size):
        raise ValueError(f"similarity must be [{size}, {size}]; found {similarity.shape}")
    return write_document(
        folder,
        title,
        f"{size} clips, {len(set(gallery.captions))} distinct captions, "
        f"skeleton {gallery.skeleton.name}",
        f"Scores are cosines. The examples are drawn with seed {seed}, in turn from queries whose "
        "right answer came first, among the first five, and later: they show what goes right and "
        "wrong, not how often.",
        html_table(*retrieval_rows(results), protocol_notes(results)),
        _examples(gallery, similarity, num_queries, seed),
    )


def example_queries(
    ranks: np.ndarray, captions: Sequence[str], count: int, seed: int | Sequence[int]
) -> list[int]:
    """Draws up to `count` queries, no caption twice, in turn from hits, near misses and misses."""
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
    """The sections of example queries, one a direction; each clip is drawn once."""
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
    """One query with its five best hits, and its right answer where that is not among them."""
    caption = html.escape(gallery.captions[query])
    asked = f"<q>{caption}</q>" if way == "t2m" else draw(query)
    order = np.argsort(-scores, kind="stable")
    hits = [
        _hit(gallery, way, query, int(j), f"{place}", scores[j], right[j], draw)
        for place, j in enumerate(order[:5], start=1)
    ]
    if rank > 5:
        verdict, kind = f"right answer at rank {rank:g} of {len(scores)}", "miss"
    elif rank > 1:
        verdict, kind = f"right answer at rank {rank:g}", "near"
    else:
        verdict, kind = "right answer first", "good"
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
        tag = "right"
    elif right:
        tag = "right: its mirrored twin" if twins else "right: same words"
    else:
        tag = "mirrored twin, other words" if twins else ""
    caption = f"<p>{html.escape(gallery.captions[hit])}</p>"
    answer = [draw(hit), caption] if way == "t2m" else [caption, draw(hit)]
    return item(right, place, f"{score:.3f}", tag, "".join(answer))


_HEADINGS = {"t2m": "Words to motion", "m2t": "Motion to words"}
