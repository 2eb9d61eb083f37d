"""The tables of docs/results.md from the records of benchmarks/language_actions.py."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks.outcomes import percent
from motionalign.report.tables import Table, format_tables

_COUNTS = ("clips", "right", "new_clips", "new_right")

Record = Mapping[str, Any]


def tables(records: Sequence[Record]) -> str:
    """The tables, in Markdown; those without rows are left out."""
    made = [closed_table(records), unseen_table(records), tokens_table(records)]
    return format_tables([table for table in made if table.rows])


def _minutes(records: Sequence[Record]) -> str:
    """Minutes of all commands of several runs."""
    return f"{sum(sum(record['seconds'].values()) for record in records) / 60:.1f}"


def _summed(records: Sequence[Record], split: str, title: str | None = None) -> dict[str, int]:
    """The counts of several runs together; of the only title if none is given."""
    found = [record[split] for record in records]
    of_title = [each[title] if title else next(iter(each.values())) for each in found]
    return {name: sum(each[name] for each in of_title) for name in _COUNTS}


def _groups(records: Sequence[Record], *fields: str) -> dict[tuple, list[Record]]:
    """The records by the values of fields, in the order in which these occur first."""
    groups: dict[tuple, list[Record]] = {}
    for record in records:
        groups.setdefault(tuple(record[field] for field in fields), []).append(record)
    return groups


def closed_table(records: Sequence[Record]) -> Table:
    """Recognition of classes that were trained on; the clips of several folds are counted once."""
    kept = [r for r in records if r["kind"] != "tokens" and not r["left_out"]]
    rows = []
    for (set, variant, seed), group in _groups(kept, "set", "variant", "seed").items():
        counts = _summed(group, "test")
        folds = f", {len(group)} folds" if group[0]["part"] is not None else ""
        copies = counts["new_clips"] < counts["clips"]
        rows.append(
            [
                set,
                variant + (f", seed {seed}" if seed else "") + folds,
                f"{np.mean([record['val'] for record in group]):.1f}",
                percent(counts["right"], counts["clips"]),
                percent(counts["new_right"], counts["new_clips"]) if copies else "",
                _minutes(group),
            ]
        )
    rows += _over_seeds(kept)
    notes = [
        "accuracy in percent with the 95 % interval by Wilson; everything is selected on val",
        "without copies: test clips that do not equal a training clip, joint for joint",
    ]
    head = ["set", "variant", "val", "test", "without copies", "min"]
    return Table(head, sorted(rows, key=lambda row: row[0]), notes, left=2)


def _over_seeds(records: Sequence[Record]) -> list[list[str]]:
    """Rows of means and standard deviations of variants with several seeds."""
    rows = []
    for (set, variant), group in _groups(records, "set", "variant").items():
        if len({record["seed"] for record in group}) < 2:
            continue
        counts = [_summed([record], "test") for record in group]
        cells = []
        for right, clips in (("right", "clips"), ("new_right", "new_clips")):
            found = [100 * each[right] / each[clips] for each in counts if each[clips]]
            cells.append(f"{np.mean(found):.1f} ± {np.std(found, ddof=1):.1f}")
        val = f"{np.mean([record['val'] for record in group]):.1f}"
        rows.append([set, f"{variant}, mean of {len(group)} seeds", val, *cells, ""])
    return rows


def unseen_table(records: Sequence[Record]) -> Table:
    """Recognition of classes that no training clip has; the draws are counted together."""
    kept = [record for record in records if record["left_out"]]
    rows = []
    for (set, variant), group in _groups(kept, "set", "variant").items():
        group = sorted(group, key=lambda record: record["part"])
        among = _summed(group, "unseen", "unseen names")
        draws = [_summed([record], "unseen", "unseen names") for record in group]
        every = [_summed(group, split, "all names") for split in ("test", "unseen")]
        seen, unseen = (100 * each["right"] / each["clips"] for each in every)
        both = 2 * seen * unseen / (seen + unseen) if seen + unseen else 0.0
        chance = 100 / group[0]["unseen"]["unseen names"]["classes"]
        rows.append(
            [
                set,
                variant,
                percent(among["right"], among["clips"]),
                ", ".join(f"{100 * each['right'] / each['clips']:.1f}" for each in draws),
                f"{chance:.1f}",
                *(f"{value:.1f}" for value in (seen, unseen, both)),
                _minutes(group),
            ]
        )
    head = [
        "set", "variant", "unseen names", "each draw", "chance", "all names: seen", "unseen",
        "harmonic mean", "min",
    ]  # fmt: skip
    notes = ["unseen names: the clips of classes without training clips, among these classes"]
    return Table(head, rows, notes, left=2)


def tokens_table(records: Sequence[Record]) -> Table:
    """Motion tokenizers alone, on the test split."""
    kept = [record for record in records if record["kind"] == "tokens"]
    names = (
        "error_mm", "pose_mm", "perplexity", "used_codes", "zipf_distance", "within", "between",
    )  # fmt: skip
    digits = (1, 1, 1, 0, 3, 3, 3)
    rows = []
    for record in kept:
        found = [record["test"].get(name) for name in names]
        cells = ["" if x is None else f"{x:.{n}f}" for x, n in zip(found, digits, strict=True)]
        variant = record["variant"].removeprefix("tokens-")
        rows.append([record["set"], variant, *cells, _minutes([record])])
    head = [
        "set", "stage 1", "error, mm", "about the root", "perplexity", "codes used",
        "distance to Zipf's law", "edits within a class", "between", "min",
    ]  # fmt: skip
    notes = ["edits: mean Levenshtein distance of two test clips' sentences over their length"]
    return Table(head, rows, notes, left=2)
