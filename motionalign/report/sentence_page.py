"""The result page of motion sentences: statistics, and clips with their words."""

import dataclasses
import html
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from motionalign.report.document import card, item, plot, table_of, write_document
from motionalign.report.sentences import colour_of
from motionalign.report.tables import Table


@dataclasses.dataclass(frozen=True)
class Group:
    """Sentences that are shown under each other: of one action, or of a single clip.

    Attributes:
      title: the action, or the clip.
      ids: IDs of the n clips.
      persons: per clip the tokens [W] of each person.
      distances: [n] normalised edit distance from the first clip.
      pictures: [n] pictures of a clip beside its decoded sentence [H, W, 3].
      errors: [n] mm, how far the decoded sentence is from the clip.
    """

    title: str
    ids: Sequence[str]
    persons: Sequence[Sequence[np.ndarray]]
    distances: np.ndarray
    pictures: Sequence[np.ndarray]
    errors: np.ndarray


def write_sentence_page(
    folder: str | os.PathLike,
    title: str,
    summary: str,
    table: Table,
    plots: Mapping[str, np.ndarray],
    groups: Sequence[Group],
) -> Path:
    """Writes `folder/index.html`: statistics, plots, and sentences with their motions.

    Args:
      folder: created if absent.
      title: heading of the page.
      summary: line below the heading.
      table: statistics of the sentences.
      plots: {what they show: picture [H, W, 3]}.
      groups: the sentences.

    Returns:
      The path of the page.
    """
    shown = "".join(plot(image, name) for name, image in plots.items())
    cards = "".join(map(_card, groups))
    return write_document(
        folder,
        title,
        summary,
        "The strip above a sentence is the clip as the model reads it, the strip below is what the "
        "sentence decodes to, both of the first person. Equal tokens have equal colours. The first "
        "sentence of an action is the one to which the others are nearest; the next ones are drawn "
        "at random and sorted by their edit distance from it, over the length of the longer "
        "sentence.",
        table_of(table),
        shown,
        f"<h2>Sentences</h2>\n{cards}",
    )


def _card(group: Group) -> str:
    several = len(group.ids) > 1
    verdict = f"mean distance {group.distances[1:].mean():.2f}" if several else ""
    items = [
        item(
            False, group.ids[i], "", f"{group.errors[i]:.0f} mm" + _away(group, i), _told(group, i)
        )
        for i in range(len(group.ids))
    ]
    return card(f"<strong>{html.escape(group.title)}</strong>", verdict, "near", items)


def _away(group: Group, i: int) -> str:
    return f", distance {group.distances[i]:.2f}" if i else ""


def _told(group: Group, i: int) -> str:
    """A clip's picture and the words of all persons."""
    lines = "".join(f"<p>{words(codes)}</p>" for codes in group.persons[i])
    return plot(group.pictures[i], f"clip {group.ids[i]} and what its sentence tells") + lines


def words(codes: np.ndarray) -> str:
    """Tokens [W] as HTML, coloured by their ids."""
    found = []
    for code in codes:
        red, green, blue = (round(255 * part) for part in colour_of(int(code)))
        style = f"background:rgb({red},{green},{blue});padding:0 .3em;border-radius:3px"
        found.append(f'<span style="{style}">{int(code)}</span>')
    return " ".join(found)
