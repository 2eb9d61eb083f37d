"""motionalign.report.tables."""

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

PROTOCOLS = ("all", "all_threshold", "dissimilar", "small_batches")

DIRECTIONS = {"t2m": "text → motion", "m2t": "motion → text"}


# Tables and files --------------------------------------------------------------------------------


def format_table(results: Mapping) -> str:
    """The results as an aligned Markdown table, with a line of notes for every protocol."""
    head, rows = retrieval_rows(results)
    notes = [f"- {protocol}: {note}" for protocol, note in protocol_notes(results)]
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
    write_text(Path(path), json.dumps(results, indent=2) + "\n")


def retrieval_rows(results: Mapping) -> tuple[list[str], list[list[str]]]:
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


def protocol_notes(results: Mapping) -> Iterable[tuple[str, str]]:
    """(protocol, what its reader must know), or why it is left out."""
    left_out = results.get("left_out", {})
    for protocol in PROTOCOLS:
        if protocol in results:
            yield protocol, results[protocol]["note"]
        elif protocol in left_out:
            yield protocol, f"left out, {left_out[protocol]}"


def write_text(path: Path, text: str) -> None:
    """Writes a text file aside and renames it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.incomplete")
    aside.write_text(text, encoding="utf-8")
    os.replace(aside, path)
