"""Splits for a source that has none: by shares, without dividing what belongs together.

What belongs together: the clips of one subject, or of one take, where a column of a table says so;
a clip and its mirrored twin; copies of one clip.
"""

import argparse
import collections
import dataclasses
import pathlib
from collections.abc import Hashable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

SPLITS = ("train", "val", "test")

# Columns that are tried without --split_by, in this order.
COLUMNS = ("subject", "actor", "performer", "person", "take", "recording", "session")

EXAMPLE = "--split=80,10,10 --seed=0"


@dataclasses.dataclass(frozen=True)
class SplitPlan:
    """How to split.

    Attributes:
      shares: of the clips of train, val and test, in any unit.
      seed: of the choice.
      by: column whose clips with one value stay together; None: the first of `COLUMNS` that the
        table has; "" or without a table: every clip by itself.
      table: {clip: row}, empty without a table.
    """

    shares: tuple[float, ...]
    seed: int = 0
    by: str | None = None
    table: Mapping[str, Mapping[str, str | None]] = dataclasses.field(default_factory=dict)


def parse_shares(text: str) -> tuple[float, ...]:
    """Parses "80,10,10".

    Raises:
      ValueError: it is not three numbers from 0, with train above 0.
    """
    try:
        shares = tuple(float(part) for part in text.split(","))
    except ValueError:
        shares = ()
    if len(shares) != len(SPLITS) or not all(0 <= s < np.inf for s in shares) or not shares[0]:
        raise ValueError(
            f"--split={text}: expected the shares of train, val and test, such as 80,10,10"
        )
    return shares


def make_splits(
    names: Sequence[str],
    plan: SplitPlan,
    same: Mapping[str, Hashable],
    together: Mapping[str, Hashable] = MappingProxyType({}),
) -> tuple[dict[str, list[str]], dict[str, Any]]:
    """Splits clips at random, groups as wholes.

    Args:
      names: of the clips.
      plan: how to split them.
      same: {clip: key}; clips of equal keys stay together, such as copies and mirrored twins. So do
        names M<x> and x.
      together: {clip: key}, the same for what else clips have in common, such as their file.

    Returns:
      {split: sorted names}, and what is to be recorded: shares, seed, the column, the number of
      groups, and clips per split.

    Raises:
      ValueError: the column does not exist or has too few values, or there are too few clips.
    """
    column = _column(names, plan)
    groups = _groups(names, plan.table, column, same, together)
    wanted = sum(share > 0 for share in plan.shares)
    if len(groups) < wanted:
        by = f"groups by {column!r}" if column else "clips that do not belong together"
        raise ValueError(f"--split: {len(groups)} {by} cannot fill {wanted} splits")
    order = np.random.default_rng(plan.seed).permutation(len(groups))
    # Large groups first: the small ones then even out the shares.
    shuffled = sorted((groups[i] for i in order), key=len, reverse=True)
    target = np.array(plan.shares) / sum(plan.shares) * len(names)
    filled = np.zeros(len(SPLITS))
    splits: dict[str, list[str]] = {split: [] for split in SPLITS}
    for left, group in zip(range(len(shuffled), 0, -1), shuffled):
        empty = (target > 0) & (filled == 0)
        need = np.where(empty, np.inf, target - filled) if empty.sum() >= left else target - filled
        chosen = int(np.argmax(np.where(target > 0, need, -np.inf)))
        filled[chosen] += len(group)
        splits[SPLITS[chosen]] += group
    made = {
        "shares": list(plan.shares),
        "seed": plan.seed,
        "by": column,
        "groups": len(groups),
        "clips": {split: len(of_split) for split, of_split in splits.items()},
    }
    return {split: sorted(of_split) for split, of_split in splits.items()}, made


def note(made: Mapping[str, Any]) -> str:
    """How the splits were made, as a message for the user."""
    shares = ",".join(f"{share:g}" for share in made["shares"])
    counts = ", ".join(f"{split} {n}" for split, n in made["clips"].items())
    by = f"by the column {made['by']!r}, " if made["by"] else ""
    line = (
        f"no split files: clips are split {shares} with seed {made['seed']}, {by}{made['groups']} "
        f"groups: {counts}. Copies and mirrored twins stay together"
    )
    if not made["by"]:
        line += (
            ". No column says which clips are of one subject or take, so theirs may be in several "
            "splits; name one with --split_by=COLUMN"
        )
    return line


def _column(names: Sequence[str], plan: SplitPlan) -> str | None:
    """The column to split by; None: none."""
    rows = [plan.table[name] for name in names if name in plan.table]
    columns = list(rows[0]) if rows else []
    if plan.by:
        if plan.by not in columns:
            raise ValueError(
                f"--split_by={plan.by}: the table of labels has no such column for these clips; it "
                f"has {', '.join(columns) or 'no rows of them'}"
            )
        return plan.by
    wanted = sum(share > 0 for share in plan.shares)
    for known in COLUMNS if plan.by is None else ():
        for column in columns:
            values = {row[column] for row in rows}
            if column.strip().lower() == known and len(values) >= wanted:
                return column
    return None


def _groups(
    names: Sequence[str],
    table: Mapping[str, Mapping[str, str | None]],
    column: str | None,
    same: Mapping[str, Hashable],
    together: Mapping[str, Hashable],
) -> list[list[str]]:
    """The clips that stay together, in the order of their names."""
    parent = {name: name for name in sorted(names)}

    def root(name: str) -> str:
        while parent[name] != name:
            parent[name] = parent[parent[name]]
            name = parent[name]
        return name

    first: dict[Hashable, str] = {}
    for name in parent:
        twin = name[0] == "M" and name[1:] in parent
        keys: list[Hashable] = [("name", name), *([("name", name[1:])] if twin else [])]
        if name in same:
            keys.append(("same", same[name]))
        if name in together:
            keys.append(("together", together[name]))
        if column and (value := ((table.get(name) or {}).get(column) or "").strip()):
            keys.append(("column", value))
        for key in keys:
            parent[root(name)] = root(first.setdefault(key, name))
    groups = collections.defaultdict(list)
    for name in parent:
        groups[root(name)].append(name)
    return sorted(groups.values())


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options of made splits to a reader's parser."""
    group = parser.add_argument_group("splits", "for a folder without train.txt, val.txt, test.txt")
    group.add_argument("--split", metavar="TRAIN,VAL,TEST", help="make the splits, by these shares "
                       "of the clips, such as 80,10,10")  # fmt: skip
    group.add_argument("--seed", type=int, help="of the choice of clips (default: 0)")
    group.add_argument("--split_by", metavar="COLUMN", help="column of --labels_csv, or of "
                       "RAW_DIR/labels.csv, whose clips with one value stay in one split (default:"
                       f" the first of {', '.join(COLUMNS)} that there is)")  # fmt: skip


def source(args: argparse.Namespace) -> dict[str, Any]:
    """The options as stored in report.json.

    Raises:
      ValueError: an option is invalid, or needs --split.
    """
    if args.split is None:
        for option in ("seed", "split_by"):
            if getattr(args, option) is not None:
                raise ValueError(f"--{option} is about made splits: give --split=80,10,10, too")
        return {"split": None}
    parse_shares(args.split)
    return {"split": args.split, "seed": args.seed or 0, "split_by": args.split_by}


def plan(args: argparse.Namespace, read: Any) -> SplitPlan | None:
    """The plan of the options; None without --split.

    Args:
      args: the parsed options, with `raw_dir` and `labels_csv`.
      read: function from the path of a CSV file to its rows, (line, {column: text}).
    """
    if args.split is None:
        return None
    path = pathlib.Path(args.labels_csv or pathlib.Path(args.raw_dir) / "labels.csv")
    rows = read(path, ["id"]) if args.labels_csv or path.is_file() else []
    table = {(row["id"] or "").strip(): row for _, row in rows}
    return SplitPlan(parse_shares(args.split), args.seed or 0, args.split_by, table)
