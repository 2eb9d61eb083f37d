"""Label tables: adds action classes and attributes from a CSV file to another reader's clips.

    id,content,style          the header; the column `id` has the names in the split files
    walk_001,walk,active
    walk_002,walk,tired

One column may contain the action of each clip; its distinct values are the classes. Further columns
may be attributes. In a column of words, each distinct value is an attribute (1 for clips with this
value, else 0), and the column is their group. A column of numbers from 0 to 1 is one attribute.

There is no command for it: readers of unlabelled clips have its options in addition to their own.
"""

import argparse
import collections
import os
import pathlib
import re
from collections.abc import Sequence

import numpy as np

from data_prep.class_texts import read_texts
from data_prep.readers import Caption, InvalidClip, Reader, read_table
from motionalign.data.dataset import attribute_words, positive_attributes

# Attributes of the wrapped reader that a label table does not change.
_SAME = (
    "skeleton", "source_fps", "fps", "unit_in_metres", "num_rotations", "sensor", "accept",
    "declared", "canonical", "advice", "split_made", "names_are_paths",
)  # fmt: skip


class LabelTable(Reader):
    """Wraps a reader and adds the labels of a table."""

    def __init__(
        self,
        reader: Reader,
        path: str | pathlib.Path,
        label: str | None = None,
        attributes: Sequence[str] = (),
        only: Sequence[str] = (),
        texts: str | None = None,
        rows: Sequence[tuple[int, dict]] | None = None,
    ) -> None:
        """Reads the table.

        Args:
          reader: the reader of the clips to label.
          path: path of the CSV file.
          label: column of the action class.
          attributes: columns of attributes.
          only: values of `label`, spelt as in the table; clips with other values are left out.
          texts: JSON file of descriptions and synonyms, like data_prep/captions/babel60.json. Texts
            of classes that these clips do not have are left out; `notes` names these classes.
          rows: of the table, as `read_table` returns them, at least one; None: those in the file.

        Raises:
          ValueError: the table lacks a column or value, an id has several rows, or the file of
            texts covers none of the classes.
        """
        if not (label or attributes):
            raise ValueError("--labels_csv: name the columns to read with --label or --attributes")
        if only and not label:
            raise ValueError("--only selects clips by action: name the column with --label=COLUMN")
        self._reader = reader
        self._label, self._columns = label, list(attributes)
        for name in _SAME:
            setattr(self, name, getattr(reader, name))

        rows = _rows_of(path, ["id", *filter(None, [label]), *attributes], rows)
        ids = [_text(row["id"]) for _, row in rows]
        twice = [name for name, count in collections.Counter(ids).items() if count > 1]
        if twice:
            raise ValueError(
                f"{path}: {len(twice)} ids have several rows, for example {twice[0]!r}. Remove the "
                "surplus rows"
            )
        self._rows = {name: row for name, (_, row) in zip(ids, rows)}
        self._left_out = self._others_than(only) if only else set()  # others stay, for report.json
        listed = [name for names in self.splits().values() for name in names]
        used = {name: self._rows[name] for name in listed if name in self._rows}
        if not used:
            raise ValueError(
                f"{path}: none of its {len(ids)} ids is the name of a clip; the first id is "
                f"{ids[0]!r}, the first name in the split files {listed[0]!r}"
            )
        if label:
            values = {words(row[label]) for row in used.values()}
            self.label_names = tuple(sorted(values - {""}))
        self._read_attributes(path, used)
        notes = [*reader.notes]
        self._texts = read_texts(texts, self._classes(used), notes.append) if texts else {}
        self.notes = tuple(notes)

    def _others_than(self, only: Sequence[str]) -> set[str]:
        """The ids of clips with other actions than `only`."""
        value_of = {name: _text(row[self._label]) for name, row in self._rows.items()}
        known = sorted({*value_of.values()} - {""})
        if wrong := [value for value in only if value not in known]:
            raise ValueError(
                f"--only: column {self._label!r} has no {', '.join(wrong)}; it has "
                f"{', '.join(known)}"
            )
        return {name for name, value in value_of.items() if value not in only}

    def _read_attributes(self, path: str | pathlib.Path, used: dict[str, dict]) -> None:
        """Sets the attribute names and groups, and each attribute's column and (word) value."""
        cells = {
            column: sorted({_text(row[column]) for row in used.values()} - {""})
            for column in self._columns
        }
        columns_of = collections.Counter(
            value for of_column in cells.values() for value in set(map(words, of_column))
        )
        self._of_name, self.attribute_groups = {}, {}
        for column, of_column in cells.items():
            numbers = [cell for cell in of_column if _number(cell) is not None]
            if numbers and len(numbers) < len(of_column):
                word = next(cell for cell in of_column if cell not in numbers)
                raise ValueError(
                    f"{path}: column {column!r} mixes numbers and words, {numbers[0]} and {word!r}"
                )
            if wrong := [cell for cell in numbers if not 0 <= float(cell) <= 1]:
                raise ValueError(
                    f"{path}: column {column!r} contains {wrong[0]}; the numbers of an attribute "
                    "must be from 0 to 1"
                )
            if numbers:
                names = {words(column): (column, None)}
            else:  # a value that occurs in several columns is prefixed with its column
                names = {
                    value if columns_of[value] == 1 else f"{words(column)} {value}": (
                        column,
                        value,
                    )
                    for value in map(words, of_column)
                }
            self.attribute_groups[column] = tuple(names)
            if known := names.keys() & self._of_name.keys():
                raise ValueError(
                    f"{path}: two attributes would get the name {sorted(known)[0]!r}. Rename a "
                    "column or a value"
                )
            self._of_name |= names
        self.attribute_names = tuple(self._of_name)

    def _classes(self, used: dict[str, dict]) -> set[str]:
        """The classes that can have texts: actions, attributes, and sets of attributes."""
        classes = {*self.label_names, *self.attribute_names}
        for name, row in used.items():
            if self._columns and all(words(row[column]) for column in self._columns):
                positive = positive_attributes(self.attributes(name), self.attribute_names, {})
                classes.add(attribute_words(positive, self.attribute_names, {}))
        return classes

    def splits(self) -> dict[str, list[str]]:
        """The reader's names, without those that `only` excludes."""
        return {
            split: [name for name in names if name not in self._left_out]
            for split, names in self._reader.splits().items()
        }

    def joints(self, source: str) -> np.ndarray:
        """The reader's joints [T, M, J, 3] float32; raises InvalidClip."""
        return self._reader.joints(source)

    def rotations(self, source: str) -> np.ndarray:
        """The reader's rotations [T, M, R, 6] float32; raises InvalidClip."""
        return self._reader.rotations(source)

    def captions(self, source: str) -> list[Caption | InvalidClip]:
        """The reader's captions; raises InvalidClip."""
        return self._reader.captions(source)

    def label(self, source: str) -> int | None:
        """The class in the table; raises InvalidClip if the row is missing or the cell empty."""
        if source not in self._rows:
            raise InvalidClip("label_missing", "no row in the table of labels")
        if not self._label:
            return None
        value = words(self._rows[source][self._label])
        if not value:
            raise InvalidClip("label_missing", f"{self._label} is empty")
        return self.label_names.index(value)

    def attributes(self, source: str) -> np.ndarray:
        """[A] float32: 0 or 1 for words, else the number; raises InvalidClip for empty cells."""
        row = self._rows[source]  # `label` has checked that the row exists
        if empty := [column for column in self._columns if not words(row[column])]:
            raise InvalidClip("attributes_malformed", f"{', '.join(empty)} is empty")
        of_name = [
            _number(row[column]) if value is None else words(row[column]) == value
            for column, value in self._of_name.values()
        ]
        return np.array(of_name, np.float32)

    def class_texts(self) -> dict[str, dict[str, list[str]]]:
        """The texts from the file, for the classes of these clips."""
        return self._texts

    def dissimilar_test(self) -> list[str]:
        """The reader's names, without those that `only` excludes."""
        return [name for name in self._reader.dissimilar_test() if name not in self._left_out]

    def unlisted(self) -> list[str]:
        """The reader's files; those that `only` excludes are listed."""
        return self._reader.unlisted()

    def caption_table(self) -> list[tuple[str, ...]]:
        """As `Reader.caption_table`."""
        return self._reader.caption_table()


def _rows_of(
    path: str | pathlib.Path, columns: list[str], rows: Sequence[tuple[int, dict]] | None
) -> Sequence[tuple[int, dict]]:
    """The rows of a table, which are given or read; a ValueError if they lack a column."""
    if rows is None:
        return read_table(path, columns)
    if missing := [name for name in columns if any(name not in row for _, row in rows)]:
        known = ", ".join(name for name in rows[0][1] if name != "id") or "none"
        raise ValueError(f"{path} has no label {', '.join(missing)}; it has {known}")
    return rows


PATHS = ("labels_csv", "texts")  # the keys of `source` that are paths


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options of a label table to a reader's parser."""
    group = parser.add_argument_group("labels", "action classes and attributes of the clips")
    group.add_argument("--labels_csv", metavar="FILE", help="CSV file with a header and commas as "
                       "separators; its column id has the names of the clips")  # fmt: skip
    group.add_argument("--label", metavar="COLUMN", help="the column of the action")
    group.add_argument("--attributes", metavar="COLUMN[,COLUMN...]", help="columns of words, each "
                       "of which becomes an attribute, or of numbers from 0 to 1")  # fmt: skip
    group.add_argument("--only", metavar="VALUE[,VALUE...]", help="keep only the clips of these "
                       "actions, spelt as in the column")  # fmt: skip
    group.add_argument("--texts", metavar="FILE", help="JSON file of descriptions and synonyms of "
                       "the classes, like data_prep/captions/babel60.json")  # fmt: skip


def source(args: argparse.Namespace) -> dict:
    """The options of the table as stored in report.json; empty without a table.

    Raises:
      ValueError: options of a table are given without a table.
    """
    given = {name: getattr(args, name) for name in ("label", "attributes", "only", "texts")}
    if args.labels_csv:
        paths = {name: getattr(args, name) for name in PATHS if getattr(args, name)}
        given = {name: value for name, value in given.items() if name not in PATHS}
        return given | {name: os.path.abspath(path) for name, path in paths.items()}
    if unused := [f"--{name}" for name, value in given.items() if value]:
        raise ValueError(f"{', '.join(unused)} needs a label table: give --labels_csv=FILE")
    return {}


def labelled(
    reader: Reader,
    args: argparse.Namespace,
    rows: Sequence[tuple[int, dict]] | None = None,
) -> Reader:
    """Wraps the reader with the label table of the options; without a table, returns the reader.

    `rows` are those of the table where it is no file.
    """
    if not args.labels_csv and rows is None:
        return reader
    columns, only = (_comma_separated(x) for x in (args.attributes, args.only))
    path = args.labels_csv or args.raw_dir  # for messages
    return LabelTable(reader, path, args.label, columns, only, args.texts, rows)


def _comma_separated(text: str | None) -> list[str]:
    return [part.strip() for part in (text or "").split(",") if part.strip()]


def _text(cell: str | None) -> str:
    """The text of a cell; cells missing from a short row are None."""
    return (cell or "").strip()


def words(cell: str | None) -> str:
    """The words of a cell: hyphens and underscores become spaces ("walk-turn-left")."""
    return " ".join(re.split(r"[-_\s]+", _text(cell))).strip()


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
