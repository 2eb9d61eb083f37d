"""Result tables, records for CSV files, and the rows of the retrieval protocols."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

PROTOCOLS = ("all", "all_threshold", "dissimilar", "small_batches")

DIRECTIONS = {"t2m": "text → motion", "m2t": "motion → text"}


@dataclasses.dataclass(frozen=True)
class Table:
    """A table of results.

    Attributes:
      head, rows: text cells.
      notes: notes below the table, one line each.
      left: number of leading columns that are left-aligned.
    """

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = ()
    left: int = 1

    def markdown(self) -> str:
        """The aligned table followed by the notes."""
        lines = [markdown_table(self.head, self.rows, self.left)]
        if self.notes:
            lines += ["", *(f"- {note}" for note in self.notes)]
        return "\n".join(lines)


@dataclasses.dataclass(frozen=True)
class Records:
    """Results per query or per clip, for a CSV file.

    Attributes:
      head: column names.
      rows: values; numbers stay numbers.
    """

    head: Sequence[str]
    rows: Sequence[Sequence[Any]]


TOP = 5


def top_columns(*names: str) -> list[str]:
    """Columns of the five best hits: for ("id", "score") id_1, score_1, id_2, ..., score_5."""
    return [f"{name}_{place}" for place in range(1, TOP + 1) for name in names]


def top_cells(*values: Sequence[Any]) -> list[Any]:
    """The cells of `top_columns`; `values` are lists per name, and missing hits are empty."""
    cells = [cell for of_place in zip(*values, strict=True) for cell in of_place]
    return cells + [""] * (TOP * len(values) - len(cells))


def number(value: float) -> float:
    """Rounds a number to six significant digits for a CSV file."""
    return float(f"{value:.6g}")


def format_tables(tables: Iterable[Table]) -> str:
    """Several tables one below the other, in Markdown."""
    return "\n\n".join(table.markdown() for table in tables)


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1) -> str:
    """An aligned Markdown table; the first `left` columns are left-aligned, the others right."""
    # An unescaped | would end the cell.
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


# Retrieval ---------------------------------------------------------------------------------------


def retrieval_table(results: Mapping) -> Table:
    """The scores of the retrieval protocols, with a note for each."""
    head, rows = retrieval_rows(results)
    notes = [f"{protocol}: {note}" for protocol, note in protocol_notes(results)]
    return Table(head, rows, notes, left=2)


def format_table(results: Mapping) -> str:
    """`retrieval_table` in Markdown."""
    return retrieval_table(results).markdown()


def retrieval_rows(results: Mapping) -> tuple[list[str], list[list[str]]]:
    """Header and rows of the table of the retrieval protocols, as text cells."""
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
    """Pairs (protocol, note on its scores or the reason why it was left out).

    They are followed by a note on how motions are read, if there is one, and on what is cut.
    """
    left_out = results.get("left_out", {})
    for protocol in PROTOCOLS:
        if protocol in results:
            yield protocol, results[protocol]["note"]
        elif protocol in left_out:
            yield protocol, f"left out ({left_out[protocol]})"
    if "input" in results:
        yield "input", results["input"]
    for what, cut in results.get("cut", {}).items():
        yield what, cut["note"]
