"""Benchmarks with a file a clip, whose name says what is done, by whom and before which camera.

What NTU RGB+D, UAV-Human and Toyota Smarthome have in common: the files are listed once, a
published protocol divides them by the numbers in their names, and each is parsed when it is read.
"""

import argparse
import collections
import dataclasses
import os
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from data_prep.protocols import held_out
from data_prep.protocols_ntu import Benchmark
from data_prep.readers import Caption, InvalidClip, Reader, below
from data_prep.readers.spool import Spool
from motionalign import conventions, reading
from motionalign.formats.checks import counted

SAMPLE = 64  # recordings of train that show which axis points up


@dataclasses.dataclass(frozen=True)
class Recording:
    """What the name of a file says.

    Attributes:
      label: the class, an index into those of the benchmark.
      subject, view, setup: by which protocols divide; 0: the benchmark has no such number.
    """

    label: int
    subject: int
    view: int = 0
    setup: int = 0

    def number(self, by: str) -> int:
        """The number called `by`."""
        return getattr(self, by)

    def relabelled(self, label: int) -> "Recording":
        """The same with another label."""
        return dataclasses.replace(self, label=label)


@dataclasses.dataclass(frozen=True)
class Folder:
    """The files below a folder.

    Attributes:
      path: the folder.
      recordings: {name: what it says} of those that are recordings of the benchmark, sorted.
      files: {name: path} of these.
      others: paths below the folder of all other files, sorted.
      left: how many recordings of other classes there are.
    """

    path: pathlib.Path
    recordings: Mapping[str, Recording]
    files: Mapping[str, pathlib.Path]
    others: Sequence[str]
    left: int = 0

    def only(self, recordings: Mapping[str, Recording]) -> "Folder":
        """The same with fewer recordings; a ValueError if there are none."""
        left = len(self.recordings) - len(recordings)
        if not recordings:
            raise ValueError(
                f"--raw_dir={self.path} has no recording of the classes of the benchmark, only "
                f"{counted(left, 'recording')} of others"
            )
        return dataclasses.replace(self, recordings=recordings, left=left)


def find(
    raw_dir: str | pathlib.Path,
    suffix: str,
    parse: Callable[[str], Recording | None],
    example: str,
) -> Folder:
    """Lists the recordings below a folder.

    Args:
      raw_dir: the folder.
      suffix: of the files.
      parse: function from a file's name without suffix to what it says; None: it is no recording.
      example: a name, for messages.

    Raises:
      ValueError: there is no such folder, it has no recording, or two of one name.
    """
    folder = pathlib.Path(raw_dir)
    if not folder.is_dir():
        what = "is a file" if folder.is_file() else "does not exist"
        raise ValueError(f"--raw_dir={raw_dir} {what}; expected the folder of {example}{suffix}")
    recordings: dict[str, Recording] = {}
    files: dict[str, pathlib.Path] = {}
    others = []
    for where, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if name != "__MACOSX")
        for name in names:
            stem = name.removesuffix(suffix)
            known = parse(stem) if stem != name else None
            path = pathlib.Path(where, name)
            if known is None:
                others.append(path.relative_to(folder).as_posix())
                continue
            if stem in files:
                raise ValueError(
                    f"{path} and {files[stem]} are one recording; give the folder of one of them"
                )
            recordings[stem], files[stem] = known, path
    if not recordings:
        found = f"{counted(len(others), 'file')}, such as {min(others)}" if others else "no files"
        raise ValueError(
            f"--raw_dir={raw_dir}: no file is named like {example}{suffix}; found {found}"
        )
    recordings = {name: recordings[name] for name in sorted(recordings)}
    return Folder(folder, recordings, files, sorted(others))


class Recordings(Reader):
    """Reads a benchmark with a file a clip; a subclass says how a file becomes joints."""

    sensor = "depth"
    # A benchmark's clips are what they are: no published test set loses any.
    accept = tuple(conventions.REASONS)
    persons = 2

    def __init__(
        self,
        folder: Folder,
        benchmark: Benchmark,
        label_names: Sequence[str],
        *,
        val_share: float,
        seed: int,
        missing: Mapping[str, str] | None = None,
    ) -> None:
        """Divides the recordings.

        Args:
          folder: the recordings, all of classes of the benchmark.
          benchmark: the protocol.
          label_names: its classes.
          val_share: of the training subjects, or set-ups, that become val where the benchmark has
            no validation part.
          seed: of the choice of val.
          missing: {name: file} of recordings to leave out.

        Raises:
          ValueError: no recording trains, or too few training subjects for val.
        """
        self._folder = folder
        self._missing = missing or {}
        self.label_names = tuple(label_names)
        self.protocol = benchmark.title
        self._splits, chosen, unused = _divide(folder.recordings, benchmark, val_share, seed)
        self.notes = tuple(self._all_notes(benchmark, chosen, unused))
        self.split_made = {
            "protocol": benchmark.title,
            "source": benchmark.source,
            "by": benchmark.by,
            **({} if benchmark.val else {"val_share": val_share, "seed": seed}),
            "val": {benchmark.by if benchmark.val else benchmark.held_out: list(chosen)},
        }
        self._spool = Spool(self._present)

    def _all_notes(
        self, benchmark: Benchmark, chosen: Sequence[int | str], unused: int
    ) -> list[str]:
        """What the user should know of the division."""
        by = {"subject": "subjects", "view": "cameras", "setup": "set-ups"}
        groups = by[benchmark.by if benchmark.val else benchmark.held_out]
        which = ", ".join(map(str, chosen)) or "none"
        which = f"{groups.removesuffix('s') if len(chosen) == 1 else groups} {which}"
        if benchmark.val:
            val = f"val: the published one, {which}"
        else:
            val = f"val: {which} of the training part, since the benchmark has none"
        notes = [f"{benchmark.title}. {val}"]
        if left := self._folder.left:
            notes.append(f"in no part of it: {counted(left, 'recording')} of other classes")
        if unused:
            found = counted(unused, "recording")
            notes.append(f"in no part of it: {found} of other {by[benchmark.by]}")
        if benchmark.counts is not None:
            notes.append(self._count(benchmark, benchmark.counts))
        return notes

    def _count(self, benchmark: Benchmark, counts: tuple[int, int]) -> str:
        """How many recordings there are, and how many are published."""
        left = collections.Counter(
            split for split, names in self._splits.items() for name in names
            if name not in self._missing
        )  # fmt: skip
        train = left["train"] if benchmark.val else left["train"] + left["val"]
        if (train, left["test"]) == counts:
            return f"the published number of clips: {train:,} to train and {left['test']:,} to test"
        more = train > counts[0] or left["test"] > counts[1]
        return (
            f"{counted(train, 'clip')} to train and {left['test']:,} to test, where the field has "
            f"{counts[0]:,} and {counts[1]:,}: "
            + (self.on_more if more else "scores on a part are not those of the benchmark")
        )

    on_more = "some of them should be left out"

    def splits(self) -> dict[str, list[str]]:
        """The names of the recordings of each part, sorted."""
        return self._splits

    def unlisted(self) -> list[str]:
        """The files that are no recordings."""
        return list(self._folder.others)

    def label(self, source: str) -> int:
        """The class in the name."""
        return self._folder.recordings[source].label

    def captions(self, source: str) -> list[Caption | InvalidClip]:
        """The words of the class."""
        return [Caption(self.label_names[self.label(source)])]

    def joints(self, source: str) -> np.ndarray:
        """[T, M, J, 3] float32; zeros where a person is absent; raises InvalidClip."""
        if source in self._missing:
            raise InvalidClip("left_out", f"named in {self._missing[source]}")
        found = self._spool(source)
        joints = np.zeros((len(found), self.persons, *found.shape[2:]), np.float32)
        joints[:, : found.shape[1]] = found
        return joints

    def _present(self, source: str) -> np.ndarray:
        """The same without persons who are absent throughout; raises InvalidClip."""
        path = self._folder.files[source]
        try:
            joints = self.prepared(path)
        except ValueError as error:
            raise InvalidClip("motion_unreadable", below(self._folder.path, error)) from error
        last = np.flatnonzero(joints.any(axis=(0, 2, 3))).max(initial=0)
        return joints[:, : last + 1]

    def prepared(self, path: pathlib.Path) -> np.ndarray:
        """[T, M, J, 3] float32 of a file, Y up.

        Raises:
          ValueError: the file is damaged.
          InvalidClip: it has nobody.
        """
        raise NotImplementedError

    def standing(self) -> tuple[str | None, int, int]:
        """The axis along which most bodies of a sample of train stand.

        Returns:
          The axis; None: they do not stand. In how many recordings they stand along it, and in how
          many along any.
        """
        names = self._splits["train"]
        axes: list[str] = []
        for index in np.unique(np.linspace(0, len(names) - 1, SAMPLE).round().astype(int)):
            try:
                joints = self.joints(names[index])[:, 0]
            except InvalidClip:
                continue  # told when all are read
            if len(joints) and np.isfinite(joints).all():
                up = conventions.measure(joints, self.skeleton).up
                axes += [up] if up is not None else []
        if not axes:
            return None, 0, 0
        axis, count = collections.Counter(axes).most_common(1)[0]
        return axis, count, len(axes)


def _divide(
    recordings: Mapping[str, Recording], benchmark: Benchmark, val_share: float, seed: int
) -> tuple[dict[str, list[str]], tuple[int | str, ...], int]:
    """The names of each split, the values that are val, and how many are in no split."""
    splits: dict[str, list[str]] = {"train": [], "val": [], "test": []}
    unused = 0
    for name, recording in recordings.items():
        split = benchmark.split(recording.number(benchmark.by))
        if split is None:
            unused += 1
        else:
            splits[split].append(name)
    if not splits["train"]:
        values = ", ".join(map(str, benchmark.train[:5])) + ", ..." * (len(benchmark.train) > 5)
        raise ValueError(
            f"{counted(len(recordings), 'recording')} found, none of which trains by "
            f"{benchmark.title}: those of {benchmark.by} {values} do"
        )
    if benchmark.val:
        return splits, benchmark.val, unused
    group = {name: recordings[name].number(benchmark.held_out) for name in splits["train"]}
    known = set(group.values())
    if val_share and len(known) == 1:
        raise ValueError(
            f"--val_share={val_share:g}: all recordings that train are of one "
            f"{benchmark.held_out}, {min(known)}, and none can be val; give --val_share=0"
        )
    chosen = held_out(known, val_share, seed)
    splits["val"] = [name for name in splits["train"] if group[name] in chosen]
    splits["train"] = [name for name in splits["train"] if group[name] not in chosen]
    return splits, chosen, unused


def add_options(
    parser: argparse.ArgumentParser,
    option: str,
    benchmarks: Sequence[Benchmark],
    held: str | None = "subjects",
) -> None:
    """Adds the options that all have; `held`: of what a part is held out, None: of nothing."""
    parser.add_argument("--raw_dir", required=True, help="the folder described above")
    parser.add_argument(f"--{option}", required=True, choices=[each.name for each in benchmarks],
                        help="the published protocol that divides the clips")  # fmt: skip
    if held is not None:
        parser.add_argument("--val_share", type=float, default=0.1, help=f"part of the training "
                            f"{held} that become val (default: %(default)g)")  # fmt: skip
        parser.add_argument("--seed", type=int, default=0, help="of the choice of val "
                            "(default: %(default)s)")  # fmt: skip


def source(args: argparse.Namespace, names: Sequence[str]) -> dict[str, Any]:
    """The options as stored in report.json."""
    return {
        "raw_dir": os.path.abspath(args.raw_dir),
        **{name: getattr(args, name) for name in names},
    }


def read_missing(
    paths: Sequence[str], parse: Callable[[str], Recording | None], suffix: str
) -> dict[str, str]:
    """The names in published lists of missing recordings: {name: file name of the list}.

    A list has a few lines of text, and then a name on each line, with or without suffix.

    Raises:
      ValueError: a list cannot be read, has no name, or a line after the first name that is none.
    """
    found: dict[str, str] = {}
    for path in paths:
        names: list[str] = []
        for number, line in enumerate(reading.read_text(path).split("\n"), start=1):
            name = line.strip().removesuffix(suffix)
            if parse(name) is not None:
                names.append(name)
            elif names and name:
                raise ValueError(
                    f"{path}, line {number}: {name[:60]!r} is no name of a recording, as the lines "
                    "before are"
                )
        if not names:
            raise ValueError(
                f"{path} has no name of a recording; expected a published list of missing ones"
            )
        found |= {name: os.path.basename(path) for name in names if name not in found}
    return found
