"""A page of example queries with their hits, in one HTML file.

Rows and columns of every similarity matrix are clips of the gallery: row i is the first caption of
clip i, column j the motion of clip j. Text to motion reads it by rows, motion to text by columns.
"""

import dataclasses
import functools
import html
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from motionalign import files
from motionalign.metrics import retrieval_ranks
from motionalign.report import pictures
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
    text = _PAGE.format(
        title=html.escape(title),
        style=_STYLE,
        summary=f"{size} clips, {len(set(gallery.captions))} distinct captions, "
        f"skeleton {html.escape(gallery.skeleton.name)}",
        table=_html_table(*retrieval_rows(results), protocol_notes(results)),
        legend=_LEGEND,
        seed=seed,
        sections=_examples(gallery, similarity, num_queries, seed),
    )
    path = Path(folder) / "index.html"
    files.write_text(path, text)
    return path


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
    strip = functools.cache(lambda i: _strip(gallery, i))
    sections = []
    for way, count in (("t2m", (num_queries + 1) // 2), ("m2t", num_queries // 2)):
        if count == 0:
            continue
        scores, right = (similarity, relevant) if way == "t2m" else (similarity.T, relevant.T)
        ranks = retrieval_ranks(scores, right)
        cards = [
            _card(gallery, way, i, scores[i], right[i], ranks[i], strip)
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
    strip: Callable[[int], str],
) -> str:
    """One query with its five best hits, and its right answer where that is not among them."""
    caption = html.escape(gallery.captions[query])
    asked = f"<q>{caption}</q>" if way == "t2m" else strip(query)
    order = np.argsort(-scores, kind="stable")
    hits = [
        _hit(gallery, way, query, int(j), f"{place}", scores[j], right[j], strip)
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
        hits.append('<li class="gap">…</li>')
        hits.append(_hit(gallery, way, query, best, f"{rank:g}", scores[best], True, strip))
    return (
        f'<article><header class="{way}"><div class="asked">{asked}</div>'
        f'<span class="verdict {kind}">{verdict}</span></header>\n'
        f"<ol>{''.join(hits)}</ol></article>\n"
    )


def _hit(
    gallery: Gallery,
    way: str,
    query: int,
    hit: int,
    place: str,
    score: float,
    right: bool,
    strip: Callable[[int], str],
) -> str:
    twins = gallery.are_twins(query, hit)
    if hit == query:
        tag = "right"
    elif right:
        tag = "right: its mirrored twin" if twins else "right: same words"
    else:
        tag = "mirrored twin, other words" if twins else ""
    tag = tag and f'<span class="tag">{tag}</span>'
    caption = f"<p>{html.escape(gallery.captions[hit])}</p>"
    answer = [strip(hit), caption] if way == "t2m" else [caption, strip(hit)]
    return (
        f'<li class="{"right" if right else "wrong"}">'
        f'<div class="facts"><b>{place}</b> <span class="score">{score:.3f}</span>{tag}</div>'
        f"<div>{''.join(answer)}</div></li>\n"
    )


def _strip(gallery: Gallery, i: int) -> str:
    """A clip drawn, with its name and length."""
    joints = gallery.joints(i)
    if gallery.skeleton.dims == 2:  # what is third is no place
        joints = np.concatenate([joints[..., :2], np.zeros_like(joints[..., :1])], axis=-1)
    image = pictures.skeleton_strip(joints, gallery.skeleton)
    name = html.escape(gallery.ids[i])
    return (
        f'<figure><img src="{pictures.data_uri(image, colours=64)}" '
        f'width="{image.shape[1]}" height="{image.shape[0]}" alt="poses of clip {name}">'
        f"<figcaption>{name} · {len(joints) / gallery.fps:.1f} s</figcaption></figure>"
    )


def _html_table(
    head: Sequence[str], rows: Sequence[Sequence[str]], notes: Iterable[tuple[str, str]]
) -> str:
    """A table of cells of text, and below it a list of (what it is of, note)."""
    cells = "".join(f"<th>{html.escape(cell)}</th>" for cell in head)
    body = "".join(
        "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>\n"
        for row in rows
    )
    items = "".join(
        f"<li><b>{html.escape(name)}</b>: {html.escape(note)}</li>\n" for name, note in notes
    )
    return (
        f'<div class="scroll"><table><thead><tr>{cells}</tr></thead>\n<tbody>{body}</tbody></table>'
        f'</div>\n<ul class="notes">{items}</ul>'
    )


_HEADINGS = {"t2m": "Words to motion", "m2t": "Motion to words"}

_LEGEND = "".join(
    f'<span><i style="background:{colour}"></i>{part.replace("_", " ")}</span>'
    for part, colour in pictures.PART_COLOURS.items()
)

_STYLE = """
:root { color-scheme: light; --ink: #1e293b; --soft: #64748b; --line: #e2e8f0; --right: #15803d; }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem 1rem 4rem; max-width: 68rem; background: #f8fafc;
  color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
h1 { margin: 0; font-size: 1.7rem; }
h2 { margin: 2.5rem 0 .8rem; font-size: 1.25rem; }
.summary, .notes, .about, figcaption, .score { color: var(--soft); }
.notes, .about { font-size: .88rem; }
.notes { padding-left: 1.2rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; background: #fff; font-size: .92rem;
  font-variant-numeric: tabular-nums; }
th, td { padding: .35rem .7rem; text-align: right; white-space: nowrap;
  border-bottom: 1px solid var(--line); }
th { color: var(--soft); font-weight: 600; }
th:nth-child(-n+2), td:nth-child(-n+2) { text-align: left; }
tbody tr:nth-child(even) td { border-bottom-color: #94a3b8; }
.legend { display: flex; flex-wrap: wrap; gap: .3rem 1.1rem; font-size: .88rem; }
.legend i { display: inline-block; width: 1.3rem; height: .3rem; margin-right: .4rem;
  border-radius: 2px; vertical-align: middle; }
article { margin: 0 0 1.5rem; background: #fff; border: 1px solid var(--line);
  border-radius: 10px; overflow: hidden; }
article header { display: flex; flex-wrap: wrap; gap: .4rem 1rem; align-items: center;
  justify-content: space-between; padding: .8rem 1rem; background: #f1f5f9; }
article header.m2t { background: #fff; border-bottom: 1px solid var(--line); }
.asked { flex: 1 1 24rem; min-width: 0; }
.asked q { font-size: 1.08rem; font-weight: 600; }
.verdict { padding: .1rem .7rem; border-radius: 1rem; font-size: .85rem; white-space: nowrap; }
.good { background: #dcfce7; color: #166534; }
.near { background: #fef3c7; color: #92400e; }
.miss { background: #fee2e2; color: #991b1b; }
ol { list-style: none; margin: 0; padding: 0; }
li.right, li.wrong { display: grid; grid-template-columns: 8.5rem minmax(0, 1fr); gap: .8rem;
  padding: .6rem 1rem; border-top: 1px solid var(--line); border-left: 4px solid transparent; }
li.right { border-left-color: var(--right); background: #f0fdf4; }
li.right img { mix-blend-mode: multiply; }
li.gap { padding: 0 1rem; color: var(--soft); }
li p { margin: 0; font-size: .95rem; }
.facts b { font-size: 1.05rem; }
.score { margin-left: .5rem; font-variant-numeric: tabular-nums; font-size: .9rem; }
.tag { display: block; font-size: .82rem; color: var(--right); font-weight: 600; }
li.wrong .tag { color: #92400e; }
figure { margin: 0; }
figure img { display: block; width: 100%; max-width: 52rem; height: auto; }
figcaption { font-size: .78rem; }
@media (max-width: 42rem) {
  li.right, li.wrong { grid-template-columns: minmax(0, 1fr); gap: .2rem; }
  .tag { display: inline; margin-left: .6rem; }
}
"""

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<h1>{title}</h1>
<p class="summary">{summary}</p>
{table}
<p class="legend">{legend}</p>
<p class="about">A strip shows poses evenly spread over the clip, from left to right, seen from the
front and the body's own right. After them comes the path on the floor from above: the ring is the
start, where the body faces up, and the triangle the end. Scores are cosines. The examples are drawn
with seed {seed}, in turn from queries whose right answer came first, among the first five, and
later: they show what goes right and wrong, not how often.</p>
{sections}
</body>
</html>
"""
