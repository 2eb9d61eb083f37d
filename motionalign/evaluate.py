"""The published retrieval protocols, their table, and a page of example queries.

Rows and columns of every similarity matrix are clips of the gallery: row i is the first caption of
clip i, column j the motion of clip j. Text to motion reads it by rows, motion to text by columns.
"""

import dataclasses
import html
import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from motionalign import pictures
from motionalign.metrics import retrieval_metrics, retrieval_ranks
from motionalign.similarity import cosine_similarity, nearness
from motionalign.skeleton import Skeleton

PROTOCOLS = ("all", "all_threshold", "dissimilar", "small_batches")
DIRECTIONS = {"t2m": "text → motion", "m2t": "motion → text"}
SMALL_BATCH = 32
NUM_DISSIMILAR = 100
_NO_VECTORS = "no caption vectors beside the dataset; `python -m data_prep embed` makes them"


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


def same_caption(captions: Sequence[str]) -> np.ndarray:
    """[G, G] bool, True where two clips have the same caption string."""
    _, number = np.unique(np.asarray(captions, dtype=object), return_inverse=True)
    return number[:, None] == number


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


# Tables and files --------------------------------------------------------------------------------


def format_table(results: Mapping) -> str:
    """The results as an aligned Markdown table, with a line of notes for every protocol."""
    head, rows = _table(results)
    notes = [f"- {protocol}: {note}" for protocol, note in _notes(results)]
    return "\n".join([markdown_table(head, rows, left=2), "", *notes])


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1) -> str:
    """Cells of text as an aligned Markdown table, the first `left` columns to the left."""
    # A | would end the cell.
    table = [[cell.replace("|", "\\|") for cell in row] for row in (head, *rows)]
    widths = [max(len(cell) for cell in column) for column in zip(*table, strict=True)]
    rule = ["-" * w if i < left else "-" * (w - 1) + ":" for i, w in enumerate(widths)]
    padded = [
        [
            cell.ljust(width) if i < left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        for row in table
    ]
    return "\n".join(f"| {' | '.join(row)} |" for row in (padded[0], rule, *padded[1:]))


def write_json(path: str | os.PathLike, results: Mapping) -> None:
    """Writes metrics.json; a reader finds the old file or the new one, never half of one."""
    _write(Path(path), json.dumps(results, indent=2) + "\n")


def _table(results: Mapping) -> tuple[list[str], list[list[str]]]:
    """Head and rows of the printed table, all cells as text."""
    protocols = [name for name in PROTOCOLS if name in results]
    columns = list(results[protocols[0]]["t2m"]) if protocols else []
    rows = [
        [name, label]
        + [f"{results[name][way][column]:.2f}" for column in columns]
        + [str(results[name]["gallery"])]
        for name in protocols
        for way, label in DIRECTIONS.items()
    ]
    return ["protocol", "direction", *columns, "gallery"], rows


def _notes(results: Mapping) -> Iterable[tuple[str, str]]:
    """(protocol, what its reader must know), or why it is left out."""
    left_out = results.get("left_out", {})
    for protocol in PROTOCOLS:
        if protocol in results:
            yield protocol, results[protocol]["note"]
        elif protocol in left_out:
            yield protocol, f"left out, {left_out[protocol]}"


def _write(path: Path, text: str) -> None:
    """Writes a text file aside and renames it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.incomplete")
    aside.write_text(text, encoding="utf-8")
    os.replace(aside, path)


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
      results: as `run_protocols` gives them.
      gallery: the evaluated clips.
      similarity: [G, G], text by motion.
      num_queries: example queries, over both directions.
      title: heading of the page.
      seed: of the choice of examples.

    Returns:
      The path of the page.
    """
    size = len(gallery.captions)
    if similarity.shape != (size, size):
        raise ValueError(f"similarity must be [{size}, {size}]; found {similarity.shape}")
    relevant = same_caption(gallery.captions)
    strips = {}

    def strip(i: int) -> str:
        if i not in strips:
            strips[i] = _strip(gallery, i)
        return strips[i]

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

    path = Path(folder) / "index.html"
    text = _PAGE.format(
        title=html.escape(title),
        style=_STYLE,
        summary=f"{size} clips, {len(set(gallery.captions))} distinct captions, "
        f"skeleton {html.escape(gallery.skeleton.name)}",
        table=_html_table(results),
        legend=_LEGEND,
        seed=seed,
        sections="\n".join(sections),
    )
    _write(path, text)
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


def _card(gallery, way, query, scores, right, rank, strip) -> str:
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


def _hit(gallery, way, query, hit, place, score, right, strip) -> str:
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


def _html_table(results: Mapping) -> str:
    head, rows = _table(results)
    cells = "".join(f"<th>{html.escape(cell)}</th>" for cell in head)
    body = "".join(
        "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>\n"
        for row in rows
    )
    notes = "".join(
        f"<li><b>{html.escape(protocol)}</b>: {html.escape(note)}</li>\n"
        for protocol, note in _notes(results)
    )
    return (
        f'<div class="scroll"><table><thead><tr>{cells}</tr></thead>\n<tbody>{body}</tbody></table>'
        f'</div>\n<ul class="notes">{notes}</ul>'
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
