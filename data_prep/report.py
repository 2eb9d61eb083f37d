"""The survey: every source is looked at once, and kept or dropped under a named reason."""

import collections
import dataclasses

import numpy as np
from tqdm import tqdm

from data_prep.mirror import mirrored_caption
from data_prep.readers import REASONS, Caption, Reader, Spoiled

# Annotators mark seconds by eye, so a span may end a little after the motion does; the published
# loader cuts such a span at the last frame, and so do we. Further out it is another clip's span.
SPAN_SLACK = 1.0  # seconds


@dataclasses.dataclass(frozen=True)
class Record:
    """A stretch of a source and what is said about it."""

    id: str
    first_line: int
    span: tuple[float, float]  # seconds, (0, 0) for the whole source
    frames: slice  # the same in frames of the source
    captions: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Source:
    """A source that is kept. With `reflect` it is the mirror image of the raw source."""

    id: str
    split: str
    mirrored_of: str  # "" for a source that is nobody's twin
    records: tuple[Record, ...]
    raw: str  # the reader's name for it
    reflect: bool = False

    def joints(self, reader: Reader) -> np.ndarray:
        """[T, M, J, C] float32 at the source's rate."""
        joints = reader.joints(self.raw)
        return reader.skeleton.mirrored(joints) if self.reflect else joints


@dataclasses.dataclass
class Survey:
    """What there is to write, and the account of what there was."""

    sources: list[Source]
    listed: dict[str, list[str]]  # names by split, as listed
    dropped: list[dict]
    captions_dropped: list[dict]
    frames: dict[str, list[int]]  # lengths of the records at 20 fps, by split

    def of_split(self, split: str) -> list[Source]:
        return [source for source in self.sources if source.split == split]

    def report(self) -> dict:
        """The content of report.json. All counts but records and captions count sources."""
        splits = {split: self._counts(split) for split in self.listed}
        return {
            **{key: sum(c[key] for c in splits.values()) for key in ("read", "kept", "records")},
            "dropped": self.dropped,
            "captions_dropped": self.captions_dropped,
            "splits": splits,
        }

    def _counts(self, split: str) -> dict:
        sources = self.of_split(split)
        records = [record for source in sources for record in source.records]
        dropped = sum(entry["split"] == split for entry in self.dropped)
        made = sum(source.reflect for source in sources)
        assert len(self.listed[split]) + made == len(sources) + dropped, split
        return {
            "read": len(sources) + dropped,
            "kept": len(sources),
            "dropped": dropped,
            "mirrored": made,
            "records": len(records),
            "captions": sum(len(record.captions) for record in records),
        }

    def table(self) -> str:
        """The report for a reader: a row a split, then the reasons with their counts."""
        report = self.report()
        head = ["split", "read", "kept", "dropped", "records", "captions", "frames min/median/max"]
        rows = [head]
        for split, counts in report["splits"].items():
            lengths = self.frames[split]
            rows.append([split, *(str(counts[key]) for key in head[1:6]), _quantiles(lengths)])
        total = [str(sum(c[key] for c in report["splits"].values())) for key in head[1:6]]
        everything = [n for lengths in self.frames.values() for n in lengths]
        rows.append(["all", *total, _quantiles(everything)])
        widths = [max(map(len, column)) for column in zip(*rows)]
        lines = [
            "  ".join([row[0].ljust(widths[0]), *(x.rjust(w) for x, w in zip(row[1:], widths[1:]))])
            for row in rows
        ]
        for title, entries in (
            ("sources dropped", self.dropped),
            ("caption lines dropped from kept sources", self.captions_dropped),
        ):
            counts = collections.Counter(entry["reason"] for entry in entries)
            lines += [f"{title}: {len(entries)}"]
            lines += [f"  {n:6d} {reason}: {REASONS[reason]}" for reason, n in counts.most_common()]
        return "\n".join(lines)


def _quantiles(lengths: list[int]) -> str:
    if not lengths:
        return "-"
    return "/".join(f"{x:.0f}" for x in np.quantile(lengths, [0, 0.5, 1]))


def survey(reader: Reader, min_frames: int = 2, mirror: bool = False) -> Survey:
    """Reads every listed source once and decides what becomes of it.

    A name listed twice is kept once: in test before val before train, so that a published test
    set stays whole, and where it is listed first. With `mirror`, every kept source gets a twin
    `M<name>` in its own split.

    Raises:
      ValueError: more than half of a split has no files; no train source is usable; `mirror` for a
        dataset that has twins.
    """
    listed = reader.splits()
    known = {name for names in listed.values() for name in names}
    _check_names(known)
    twins = sorted(name for name in known if name[0] == "M" and name[1:] in known)
    if mirror and twins:
        raise ValueError(
            f"the dataset has {len(twins)} mirrored twins already, {twins[0]} of {twins[0][1:]} "
            "for one. Run without --mirror"
        )
    result = Survey([], listed, [], [], {split: [] for split in listed})
    home = {}  # name -> the split it is kept in
    for split in sorted(listed, key=("test", "val", "train").index):
        for name in listed[split]:
            home.setdefault(name, split)

    seen = set()
    total = sum(map(len, listed.values()))
    bar = tqdm(total=total, desc="checking", unit=" clips", disable=None)
    for split, names in listed.items():
        for name in names:
            bar.update()
            try:
                if home[name] != split or name in seen:
                    where = home[name] if home[name] != split else f"{split}, on an earlier line"
                    raise Spoiled("duplicate_id", f"kept in {where}")
                seen.add(name)
                records, bad_lines = _read_source(reader, name, min_frames)
            except Spoiled as error:
                entry = {"id": name, "split": split}
                result.dropped.append(entry | {"reason": error.reason, "detail": error.detail})
                continue
            original = name[1:] if name in twins else ""
            result.sources.append(Source(name, split, original, records, raw=name))
            for line, error in bad_lines:
                entry = {"id": name, "split": split, "line": line}
                entry |= {"reason": error.reason, "detail": error.detail}
                result.captions_dropped.append(entry)
    bar.close()
    _check_present(reader, result)
    if mirror:
        result.sources += [_twin(source) for source in result.sources]
    for source in result.sources:
        for record in source.records:
            num_frames = record.frames.stop - record.frames.start
            result.frames[source.split].append(len(reader.frames_at_20fps(num_frames)))
    return result


def _read_source(
    reader: Reader, name: str, min_frames: int
) -> tuple[tuple[Record, ...], list[tuple[int, Spoiled]]]:
    """The records of one source and its bad caption lines; raises Spoiled if there is no record."""
    joints = reader.joints(name)
    num_frames = len(joints)
    bad = num_frames - int(np.isfinite(joints).all(axis=(1, 2, 3)).sum())
    if bad:
        raise Spoiled("not_finite", f"NaN or infinity in {bad} of {num_frames} frames")
    if num_frames < min_frames:
        raise Spoiled("too_short", f"{num_frames} frames, fewer than {min_frames}")

    whole, cut, bad_lines = {}, [], []
    for line, caption in enumerate(reader.captions(name)):
        try:
            if isinstance(caption, Spoiled):
                raise caption
            frames = _frames_of(caption, reader.source_fps, num_frames, min_frames)
        except Spoiled as error:
            bad_lines.append((line, error))
            continue
        if caption.is_whole:
            whole[line] = caption.text
        else:
            span = (caption.start, caption.end)
            cut.append(Record(f"{name}#{line}", line, span, frames, (caption.text,)))
    if whole:
        frames = slice(0, num_frames)
        cut.insert(0, Record(name, min(whole), (0.0, 0.0), frames, tuple(whole.values())))
    if not cut:
        line, error = bad_lines[0]
        count = f" (the first of {len(bad_lines)} unusable lines)" if len(bad_lines) > 1 else ""
        raise Spoiled(error.reason, f"line {line}{count}: {error.detail}")
    return tuple(cut), bad_lines


def _frames_of(caption: Caption, fps: float, num_frames: int, min_frames: int) -> slice:
    """The caption's frames of a source of `num_frames`, cut as published: int(seconds * fps)."""
    if caption.is_whole:
        return slice(0, num_frames)
    start, end, seconds = caption.start, caption.end, num_frames / fps
    if not (0 <= start < seconds and start <= end <= seconds + SPAN_SLACK):
        detail = f"seconds {start:g} to {end:g} of a motion of {seconds:g} seconds"
        raise Spoiled("span_outside", detail)
    frames = slice(int(start * fps), min(int(end * fps), num_frames))
    count = frames.stop - frames.start
    if count < min_frames:
        detail = f"seconds {start:g} to {end:g} are {count} frames, fewer than {min_frames}"
        raise Spoiled("too_short", detail)
    return frames


def _twin(source: Source) -> Source:
    """The source as a mirror shows it, as the published datasets name and word it."""
    records = tuple(
        dataclasses.replace(
            record,
            id="M" + record.id,
            captions=tuple(mirrored_caption(caption) for caption in record.captions),
        )
        for record in source.records
    )
    return Source("M" + source.id, source.split, source.id, records, source.raw, reflect=True)


def _check_names(names: set[str]) -> None:
    bad = sorted(name for name in names if "#" in name or "/" in name)
    if bad:
        raise ValueError(
            f"{len(bad)} names in the split files hold '#' or '/', {bad[0]!r} for one: '#' marks "
            "clips cut from a source, and a name is a file's name. Rename the files"
        )


def _check_present(reader: Reader, result: Survey) -> None:
    absent = collections.defaultdict(list)
    for entry in result.dropped:
        if entry["reason"] in ("motion_missing", "text_missing"):
            absent[entry["split"]].append(entry)
    problems = [
        f"{split}: {len(entries)} of {len(result.listed[split])} absent, "
        + ", ".join(f"{e['id']} ({e['reason']})" for e in entries[:3])
        for split, entries in absent.items()
        if 2 * len(entries) > len(result.listed[split])
    ]
    if problems:
        raise ValueError(
            "more than half of a split has no files, so this is not the whole dataset; nothing "
            "was written.\n  " + "\n  ".join(problems) + "\nCheck --raw_dir and that everything "
            "was unpacked"
        )
    if not any(source.split == "train" for source in result.sources):
        reasons = collections.Counter(e["reason"] for e in result.dropped if e["split"] == "train")
        found = ", ".join(f"{n} {reason}" for reason, n in reasons.most_common())
        raise ValueError(
            f"no usable source in train ({found or 'none listed'}), so there is nothing to take "
            f"mean and deviation from; nothing was written. Expected {reader.skeleton.num_joints} "
            f"joints ({reader.skeleton.name})"
        )
