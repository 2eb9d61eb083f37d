"""Building blocks of result pages; each page is one HTML file that includes its pictures.

Text from data is escaped here, exactly once: callers pass it unescaped.
"""

import html
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from motionalign import files
from motionalign.report import pictures
from motionalign.report.tables import Table
from motionalign.skeleton import Skeleton


class Drawable(Protocol):
    """Clips that can be drawn."""

    @property
    def ids(self) -> Sequence[str]:
        """IDs of the records."""

    @property
    def joints(self) -> Callable[[int], np.ndarray]:
        """A function from an index to joints [T, J, C], Y up."""

    @property
    def skeleton(self) -> Skeleton:
        """The J joints."""

    @property
    def fps(self) -> float:
        """Frames per second."""


def write_document(
    folder: str | os.PathLike, title: str, summary: str, about: str, *parts: str
) -> Path:
    """Writes `folder/index.html`.

    Args:
      folder: created if absent.
      title: heading of the page, as text.
      summary: line below the heading, as text.
      about: description of the examples, as text; it follows the explanation of strips.
      parts: sections, as HTML; the last one has the strips, and their explanation precedes it.

    Returns:
      The path of the page.
    """
    *others, strips = parts
    text = _PAGE.format(
        title=html.escape(title),
        style=_STYLE,
        summary=html.escape(summary),
        others="\n".join(others),
        legend=_LEGEND,
        about=html.escape(about),
        strips=strips,
    )
    path = Path(folder) / "index.html"
    files.write_text(path, text)
    return path


def card(asked: str, verdict: str, kind: str, items: Iterable[str], header: str = "") -> str:
    """An example: the query (HTML), a verdict, and a list of `item`s.

    `kind` of the verdict is good, near or miss; `header` is the CSS class of the header.
    """
    return (
        f'<article><header class="{header}"><div class="asked">{asked}</div>'
        f'<span class="verdict {kind}">{html.escape(verdict)}</span></header>\n'
        f"<ol>{''.join(items)}</ol></article>\n"
    )


def item(right: bool, place: str, score: str, tag: str, answer: str) -> str:
    """An item of a card: whether it is correct, its facts as text, and the hit itself (HTML)."""
    tag = tag and f'<span class="tag">{html.escape(tag)}</span>'
    score = score and f'<span class="score">{html.escape(score)}</span>'
    return (
        f'<li class="{"right" if right else "wrong"}">'
        f'<div class="facts"><b>{html.escape(place)}</b> {score}{tag}</div>'
        f"<div>{answer}</div></li>\n"
    )


GAP = '<li class="gap">…</li>'


def strip(clips: Drawable, i: int) -> str:
    """A drawing of a clip, with its name and duration."""
    joints = clips.joints(i)
    if clips.skeleton.dims == 2:  # the third channel is not a coordinate
        joints = np.concatenate([joints[..., :2], np.zeros_like(joints[..., :1])], axis=-1)
    image = pictures.skeleton_strip(joints, clips.skeleton)
    name = html.escape(clips.ids[i])
    return (
        f'<figure><img src="{pictures.data_uri(image, colours=64)}" '
        f'width="{image.shape[1]}" height="{image.shape[0]}" alt="poses of clip {name}">'
        f"<figcaption>{name} · {len(joints) / clips.fps:.1f} s</figcaption></figure>"
    )


def plot(image: np.ndarray, alt: str) -> str:
    """A picture of results [H, W, 3] uint8."""
    return (
        f'<figure class="plot"><img src="{pictures.data_uri(image, colours=128)}" '
        f'width="{image.shape[1]}" height="{image.shape[0]}" alt="{html.escape(alt)}"></figure>'
    )


def table_of(table: Table) -> str:
    """A table of results with its notes."""
    return html_table(table.head, table.rows, [("", note) for note in table.notes], table.left)


def html_table(
    head: Sequence[str],
    rows: Sequence[Sequence[str]],
    notes: Iterable[tuple[str, str]] = (),
    left: int = 0,
) -> str:
    """A table of text cells, followed by a list of notes (subject, note).

    The first `left` columns (1 or 2) are left-aligned. With `left=0`, two columns are left-aligned
    and rows are grouped in pairs.
    """
    cells = "".join(f"<th>{html.escape(cell)}</th>" for cell in head)
    body = "".join(
        "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>\n"
        for row in rows
    )
    items = "".join(
        f"<li>{f'<b>{html.escape(name)}</b>: ' if name else ''}{html.escape(note)}</li>\n"
        for name, note in notes
    )
    kind = ("", ' class="one"', ' class="two"')[left]
    return (
        f'<div class="scroll"><table{kind}><thead><tr>{cells}</tr></thead>\n'
        f'<tbody>{body}</tbody></table></div>\n<ul class="notes">{items}</ul>'
    )


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
table.one th:nth-child(2), table.one td:nth-child(2) { text-align: right; }
table.one tbody tr:nth-child(even) td, table.two tbody tr:nth-child(even) td {
  border-bottom-color: var(--line); }
.legend { display: flex; flex-wrap: wrap; gap: .3rem 1.1rem; font-size: .88rem; }
.legend i { display: inline-block; width: 1.3rem; height: .3rem; margin-right: .4rem;
  border-radius: 2px; vertical-align: middle; }
article { margin: 0 0 1.5rem; background: #fff; border: 1px solid var(--line);
  border-radius: 10px; overflow: hidden; }
article header { display: flex; flex-wrap: wrap; gap: .4rem 1rem; align-items: center;
  justify-content: space-between; padding: .8rem 1rem; background: #f1f5f9; }
article header.m2t { background: #fff; border-bottom: 1px solid var(--line); }
.asked { flex: 1 1 24rem; min-width: 0; }
.asked q, .asked strong { font-size: 1.08rem; font-weight: 600; }
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
figure.plot { margin: 1.2rem 0; }
figure.plot img { width: auto; max-width: 100%; border-radius: 10px; }
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
{others}
<p class="legend">{legend}</p>
<p class="about">A strip shows poses at equal intervals over the clip, from left to right, seen from
the front right of the body. The path on the floor, seen from above, follows: the ring marks the
start, where the body faces up, and the triangle the end. {about}</p>
{strips}
</body>
</html>
"""
