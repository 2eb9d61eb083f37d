"""The survey: reads every source once, and keeps it or drops it with a named reason."""

import collections
import dataclasses
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import numpy as np
from tqdm import tqdm

from data_prep import findings
from data_prep.advice import UNDECLARED, advice_on
from data_prep.content import Contents
from data_prep.findings import Finding
from data_prep.mirror import mirrored_caption
from data_prep.readers import REASONS, SPAN_SLACK, Caption, InvalidClip, Reader
from motionalign import conventions
from motionalign.conventions import Census, as_flag
from motionalign.data.augment import mirror
from motionalign.data.resample import check_fps, resampled_length


@dataclasses.dataclass(frozen=True)
class Record:
    """A stretch of a source with its captions and labels."""

    id: str
    first_line: int
    span: tuple[float, float]  # seconds, (0, 0) for the complete source
    frames: slice  # the same in frames of the source
    num_frames: int  # at the frame rate of the records
    captions: tuple[str, ...]
    labels: tuple[int, ...] = ()


@dataclasses.dataclass(frozen=True)
class Source:
    """A kept source; with `reflect`, the mirror image of the raw source."""

    id: str
    split: str
    mirrored_of: str  # id of the source that it mirrors; "" if none
    records: tuple[Record, ...]
    raw: str  # its name in the reader
    reflect: bool = False

    @property
    def is_scored(self) -> bool:
        """Whether retrieval is evaluated on it: by its first caption line's clip, as published."""
        return any(record.first_line == 0 for record in self.records)

    def joints(self, reader: Reader) -> np.ndarray:
        """[T, M, J, C] float32 at the source's frame rate."""
        joints = reader.placed(reader.joints(self.raw))
        return reader.skeleton.mirrored(joints) if self.reflect else joints

    def rotations(self, reader: Reader) -> np.ndarray:
        """[T, M, R, 6] float32 of the same frames."""
        rotations = reader.rotations(self.raw)
        return mirror(rotations, reader.skeleton) if self.reflect else rotations

    def attributes(self, reader: Reader) -> np.ndarray:
        """[A] float32 probabilities."""
        attributes = reader.attributes(self.raw)
        return attributes[_mirrored_names(reader.attribute_names)] if self.reflect else attributes


@dataclasses.dataclass
class Survey:
    """The sources to write, and an account of all sources read."""

    sources: list[Source]
    census: Census
    listed: dict[str, list[str]]  # names by split, as in the split files
    dropped: list[dict]
    captions_dropped: list[dict]
    label_names: tuple[str, ...] = ()
    attribute_names: tuple[str, ...] = ()
    positive: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)  # source id: [A] bool
    contents: Contents | None = None  # of the readable sources, by name in the reader
    not_mirrored: list[str] = dataclasses.field(default_factory=list)  # M<name> but no mirror image
    unlisted: list[str] = dataclasses.field(default_factory=list)  # files that no split names
    split_made: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def of_split(self, split: str) -> list[Source]:
        """The kept sources of a split."""
        return [source for source in self.sources if source.split == split]

    def lengths(self, split: str) -> list[int]:
        """Frames of each record of a split, at the frame rate of the records."""
        return [record.num_frames for s in self.of_split(split) for record in s.records]

    def drop(self, raw: str, split: str, error: InvalidClip) -> None:
        """Drops a kept source, and its generated mirror twin with it."""
        self.sources = [source for source in self.sources if source.raw != raw]
        self.captions_dropped = [entry for entry in self.captions_dropped if entry["id"] != raw]
        self.dropped.append(_entry(raw, split, error))

    def classes(self) -> dict[str, dict[str, dict[str, int]]]:
        """Records per action and per attribute: {"labels": {name: {split: count}}, ...}.

        Contains only the kinds that the dataset has.
        """
        counts = {"labels": self.label_names, "attributes": self.attribute_names}
        counts = {
            kind: {name: dict.fromkeys(self.listed, 0) for name in names}
            for kind, names in counts.items()
            if names
        }
        for source in self.sources:
            for record in source.records:
                for label in record.labels:
                    counts["labels"][self.label_names[label]][source.split] += 1
            for i in np.flatnonzero(self.positive.get(source.id, ())):
                counts["attributes"][self.attribute_names[i]][source.split] += len(source.records)
        return counts

    def noticed(self) -> list[Finding]:
        """What changes the meaning of scores on the dataset, although nothing is dropped for it."""
        split_of = {source.raw: source.split for source in self.sources if not source.reflect}
        same = self.contents.same(split_of) if self.contents else []
        records = [record for source in self.sources for record in source.records]
        return [
            *findings.listed("file_unlisted", self.unlisted),
            *findings.same_clips([[(name, split_of[name]) for name in group] for group in same]),
            *findings.listed("not_mirrored", (n for n in self.not_mirrored if n in split_of)),
            *findings.alike("labels_alike", self.label_names),
            *findings.alike("attributes_alike", self.attribute_names),
            *findings.long_clips((r.id, r.num_frames) for r in records),
            *findings.long_captions((r.id, text) for r in records for text in r.captions),
        ]

    def report(self) -> dict:
        """The content of report.json.

        All counts are numbers of sources, except `records`, `captions`, and the counts per class,
        which are numbers of records.
        """
        splits = {split: self._counts(split) for split in self.listed}
        return {
            **{
                key: sum(c[key] for c in splits.values())
                for key in ("read", "kept", "records", "scored")
            },
            "dropped": self.dropped,
            "captions_dropped": self.captions_dropped,
            "noticed": [finding.to_json() for finding in self.noticed()],
            "splits": splits,
            **({"split_made": dict(self.split_made)} if self.split_made else {}),
            **self.classes(),
            "conventions": self.census.report(),
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
            "scored": sum(source.is_scored for source in sources),
        }

    def table(self) -> str:
        """The report as text: one row per split, then the reasons with their counts."""
        report = self.report()
        keys = ("read", "kept", "dropped", "records", "captions", "scored")
        rows = [["split", *keys, "frames min/median/max"]]
        for split, counts in report["splits"].items():
            numbers = (str(counts[key]) for key in keys)
            rows.append([split, *numbers, _quantiles(self.lengths(split))])
        total = [str(sum(c[key] for c in report["splits"].values())) for key in keys]
        everything = [n for split in self.listed for n in self.lengths(split)]
        rows.append(["all", *total, _quantiles(everything)])
        widths = [max(map(len, column)) for column in zip(*rows)]
        lines = [
            "  ".join([row[0].ljust(widths[0]), *(x.rjust(w) for x, w in zip(row[1:], widths[1:]))])
            for row in rows
        ]
        lines += self.census.lines()
        lines += [_class_line(kind, counts) for kind, counts in self.classes().items()]
        for title, entries in (
            ("sources dropped", self.dropped),
            ("caption lines dropped from kept sources", self.captions_dropped),
        ):
            counts = collections.Counter(entry["reason"] for entry in entries)
            lines += [f"{title}: {len(entries)}"]
            lines += [f"  {n:6d} {reason}: {REASONS[reason]}" for reason, n in counts.most_common()]
        if noticed := self.noticed():
            lines += ["noticed:", *(finding.line() for finding in noticed)]
        return "\n".join(lines + self._warnings())

    def _warnings(self) -> list[str]:
        """Warnings about properties that affect the meaning of scores on this dataset."""
        lines = []
        for split, names in self.listed.items():
            sources = self.of_split(split)
            if not names:
                lines.append(f"warning: {split} lists no clips")
            elif not sources:
                lines.append(f"warning: {split} keeps none of its {len(names)} clips")
            if left_out := [source.id for source in sources if not source.is_scored]:
                lines.append(
                    f"warning: {split}: {len(left_out)} clips kept but not scored, because their "
                    f"first caption line is unusable: {_some(left_out)}"
                )
        for kind, counts in self.classes().items():
            for split in ("train", "test"):
                none = [name for name, of_split in counts.items() if not of_split.get(split)]
                if none and self.of_split(split):
                    lines.append(
                        f"warning: {split} has no clip of {len(none)} {kind}: {_some(none)}"
                    )
        if len(self.label_names) == 1:
            lines.append("warning: all clips have the same label; recognition needs at least two")
        split_of = {source.id: source.split for source in self.sources}
        leaks = [
            f"{twin.id} in {twin.split}, {twin.mirrored_of} in {split_of[twin.mirrored_of]}"
            for twin in self.sources
            if split_of.get(twin.mirrored_of, twin.split) != twin.split
        ]
        if leaks:
            lines.append(
                f"warning: {len(leaks)} mirrored twins are in another split than their originals, "
                f"which leaks data between splits: {_some(leaks, '; ')}"
            )
        return lines


def _class_line(kind: str, counts: dict[str, dict[str, int]]) -> str:
    """A line on the classes of one kind, the most frequent first."""
    totals = {name: sum(of_split.values()) for name, of_split in counts.items()}
    ordered = sorted(totals.items(), key=lambda item: -item[1])
    shown = ", ".join(f"{name} {count}" for name, count in ordered[:20])
    more = f", and {len(ordered) - 20} more in report.json" if len(ordered) > 20 else ""
    return f"{kind}: {len(counts)}; records per class: {shown}{more}"


def _some(names: list[str], separator: str = ", ") -> str:
    return separator.join(names[:3]) + (separator + "..." if len(names) > 3 else "")


def _entry(name: str, split: str, error: InvalidClip) -> dict:
    return {"id": name, "split": split, "reason": error.reason, "detail": error.detail}


def _quantiles(lengths: list[int]) -> str:
    if not lengths:
        return "-"
    return "/".join(f"{x:.0f}" for x in np.quantile(lengths, [0, 0.5, 1]))


def survey(
    reader: Reader, min_frames: int = 2, mirror: bool = False, accept: Collection[str] = ()
) -> Survey:
    """Reads every listed source once and decides whether to keep it.

    A name listed repeatedly is kept once, at its first occurrence in test, else val, else train, so
    that a published test set stays complete. With `mirror`, every kept source gets a twin `M<name>`
    in the same split.

    Args:
      reader: the reader of the sources.
      min_frames: clips with fewer frames are dropped.
      mirror: whether to add mirror images.
      accept: findings of `conventions.REASONS` for which clips are not dropped, besides those that
        the reader accepts.

    Raises:
      ValueError: a frame rate is impossible; more than half of a split has no usable files, or no
        train source is usable; or, with `mirror`, the dataset has twins already, or a class has no
        mirrored counterpart.
    """
    for what in ("source_fps", "fps"):
        check_fps(getattr(reader, what), f"{type(reader).__name__}: {what}")
    listed = reader.splits()
    known = {name for names in listed.values() for name in names}
    if not reader.names_are_paths:
        _check_names(known)
    if mirror:
        label_twins = _mirrored_names(reader.label_names)
        _mirrored_names(reader.attribute_names)
    accepted = sorted({*reader.accept, *accept})
    census = Census(
        reader.skeleton,
        reader.unit_in_metres,
        reader.sensor,
        accepted,
        reader.declared,
        reader.canonical,
    )
    result = Survey([], census, listed, [], [], reader.label_names, reader.attribute_names)
    result.contents = Contents(known, reader.skeleton)
    result.unlisted, result.split_made = reader.unlisted(), reader.split_made
    _read_all(reader, result, min_frames)
    _check_most(reader, result)
    _check_usable(reader, result)
    _find_twins(result, mirror)
    if mirror:
        result.sources += [_twin(source, label_twins) for source in result.sources]
    if reader.attribute_names:
        result.positive = {source.id: source.attributes(reader) > 0.5 for source in result.sources}
    return result


def _read_all(reader: Reader, result: Survey, min_frames: int) -> None:
    """Reads every listed source and adds it to the sources or to those dropped."""
    listed = result.listed
    home = {}  # name -> the split in which it is kept
    for split in sorted(listed, key=lambda split: {"val": 1, "train": 2}.get(split, 0)):
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
                    raise InvalidClip("duplicate_id", f"kept in {where}")
                seen.add(name)
                records, bad_lines = _read_source(reader, name, min_frames, result)
            except InvalidClip as error:
                result.dropped.append(_entry(name, split, error))
                continue
            result.sources.append(Source(name, split, "", records, raw=name))
            for line, error in bad_lines:
                result.captions_dropped.append(_entry(name, split, error) | {"line": line + 1})
    bar.close()


def _find_twins(result: Survey, mirror: bool) -> None:
    """Marks the mirrored twins; a ValueError if `mirror` would make them again."""
    assert result.contents is not None
    twin_of, result.not_mirrored = result.contents.twins()
    if mirror and twin_of:
        twin, original = min(twin_of.items())
        raise ValueError(
            f"the dataset already has {len(twin_of)} mirrored twins, for example {twin} of "
            f"{original}. Run without --mirror"
        )
    if mirror and result.not_mirrored:
        name = min(result.not_mirrored)
        raise ValueError(
            f"--mirror would call the mirror image of {name[1:]} {name}, which is the name of "
            f"another clip ({len(result.not_mirrored)} such names). Rename these clips"
        )
    result.sources = [
        dataclasses.replace(source, mirrored_of=twin_of.get(source.id, ""))
        for source in result.sources
    ]


def _read_source(
    reader: Reader, name: str, min_frames: int, result: Survey
) -> tuple[tuple[Record, ...], list[tuple[int, InvalidClip]]]:
    """The records of a source, and its invalid caption lines; InvalidClip if it has no record.

    Adds its joints to the contents and the census of `result`, also if its texts are unusable.
    """
    joints = reader.joints(name)
    num_frames = len(joints)

    label = reader.label(name)
    of_source = () if label is None else (label,)
    if reader.attribute_names:
        reader.attributes(name)  # raises InvalidClip if they are invalid

    def record(line: int, first: Caption, frames: slice, *captions: str) -> Record:
        length = resampled_length(frames.stop - frames.start, reader.source_fps, reader.fps)
        key = name if first.is_whole and first.label is None else f"{name}#{line}"
        known = first.labels or of_source
        return Record(key, line, (first.start, first.end), frames, length, captions, known)

    bad = num_frames - int(np.isfinite(joints).all(axis=(1, 2, 3)).sum())
    if bad:
        raise InvalidClip("not_finite", f"NaN or infinity in {bad} of {num_frames} frames")
    if num_frames < min_frames:
        raise InvalidClip("too_short", f"{num_frames} frames, fewer than {min_frames}")
    assert result.contents is not None
    result.contents.add(name, reader.placed(joints))
    _check_conventions(result.census, name, joints, reader.source_fps)

    whole, cut, bad_lines = {}, [], []
    for line, caption in enumerate(reader.captions(name)):
        try:
            if isinstance(caption, InvalidClip):
                raise caption
            frames = _frames_of(caption, reader.source_fps, num_frames, min_frames)
        except InvalidClip as error:
            bad_lines.append((line, error))
            continue
        if caption.is_whole and caption.label is None:
            whole[line] = caption
        else:
            cut.append(record(line, caption, frames, *caption.texts))
    if whole:
        line, first = next(iter(whole.items()))
        texts = (caption.text for caption in whole.values())
        cut.insert(0, record(line, first, slice(0, num_frames), *texts))
    if not cut:
        line, error = bad_lines[0]
        count = f" (the first of {len(bad_lines)} unusable lines)" if len(bad_lines) > 1 else ""
        # A reader of a table names the line of the table itself.
        where = "" if error.detail.startswith("line ") else f"line {line + 1}{count}: "
        raise InvalidClip(error.reason, f"{where}{error.detail}")
    return tuple(cut), bad_lines


def _check_conventions(census: Census, name: str, joints: np.ndarray, fps: float) -> None:
    """Raises InvalidClip if joints [T, M, J, 3] are not what they should be.

    Of several persons, any may be absent for a while, and those after the first in all frames: all
    joints are 0 then.
    """
    for person in range(joints.shape[1]):
        clip = joints[:, person]
        if joints.shape[1] > 1:
            there = clip.any(axis=(1, 2))
            if person and not there.any():
                continue
            clip = clip[there] if there.any() else clip
        key = name if person == 0 else f"{name} (person {person + 1})"
        if (finding := census.add(key, clip, fps)) is not None:
            raise InvalidClip(finding.reason, finding.detail)


def _frames_of(caption: Caption, fps: float, num_frames: int, min_frames: int) -> slice:
    """The caption's frames in a source of `num_frames`, cut as published: int(seconds * fps)."""
    if caption.is_whole:
        return slice(0, num_frames)
    start, end, seconds = caption.start, caption.end, num_frames / fps
    if not (0 <= start < seconds and start <= end <= seconds + SPAN_SLACK):
        detail = f"seconds {start:g} to {end:g} of a motion of {seconds:g} seconds"
        raise InvalidClip("span_outside", detail)
    frames = slice(int(start * fps), min(int(end * fps), num_frames))
    count = frames.stop - frames.start
    if count < min_frames:
        detail = f"seconds {start:g} to {end:g} are {count} frames, fewer than {min_frames}"
        raise InvalidClip("too_short", detail)
    return frames


def _twin(source: Source, label_twins: np.ndarray) -> Source:
    """The mirror image of a source, with names and captions as in the published datasets."""
    records = tuple(
        dataclasses.replace(
            record,
            id="M" + record.id,
            captions=tuple(mirrored_caption(caption) for caption in record.captions),
            labels=tuple(int(label_twins[label]) for label in record.labels),
        )
        for record in source.records
    )
    return Source("M" + source.id, source.split, source.id, records, source.raw, reflect=True)


def _mirrored_names(names: tuple[str, ...]) -> np.ndarray:
    """For each class or attribute, the index of its mirror image, [len(names)] int."""
    twins = [mirrored_caption(name) for name in names]
    alone = [f"{a!r} would become {b!r}" for a, b in zip(names, twins) if b not in names]
    if alone:
        raise ValueError(
            f"--mirror: {_some(alone, '; ')}, which the dataset does not have. Run without --mirror"
        )
    return np.array([names.index(twin) for twin in twins], int)


def _check_names(names: set[str]) -> None:
    bad = sorted(name for name in names if "#" in name or "/" in name)
    if bad:
        raise ValueError(
            f"{len(bad)} names in the split files contain '#' or '/', for example {bad[0]!r}. '#' "
            "is reserved for clips cut from a source, and '/' separates folders. Rename the files"
        )


def _check_most(reader: Reader, result: Survey) -> None:
    """Raises a ValueError if most clips of a split are not what they should be."""
    for split, names in result.listed.items():
        common = result.census.verdict(names)
        if common is not None:
            raise ValueError(
                f"{common.count} of {len(names)} clips of {split} are implausible{common.reasons}; "
                f"nothing was written. {common.finding.reason}: {common.finding.detail}. "
                f"{_remedy(reader, common.finding)}"
            )


def _remedy(reader: Reader, finding: conventions.Finding) -> str:
    """What to do about a finding that most clips share, with options that the reader has."""
    known = finding.remedy is not None and finding.reason not in reader.advice
    if known and reader.declared is not None:
        return finding.advice(as_flag)
    own = advice_on(finding.reason, (), _own_advice(reader))
    if "--accept" in own:
        return own
    return f"{own} If the clips are right nevertheless: {as_flag('accept', finding.reason)}"


def _own_advice(reader: Reader) -> Mapping[str, str]:
    return reader.advice if reader.declared is not None else {**UNDECLARED, **reader.advice}


# Reasons that stop the preparation if most of a split has them: the source as a whole is not what
# it should be. The others depend on choices, such as --min_frames or the classes.
STOPPING = (
    "motion_missing",
    "motion_unreadable",
    "wrong_shape",
    "wrong_body_model",
    "duration_differs",
    "not_finite",
    "no_rate",
    "two_dimensional",
    "text_missing",
    "text_malformed",
    "caption_empty",
    "span_outside",
)


def _check_usable(reader: Reader, result: Survey) -> None:
    """Raises ValueError if most of a split is unusable, or no source in train is usable."""
    stopping = collections.defaultdict(list)
    for entry in result.dropped:
        if entry["reason"] in STOPPING:
            stopping[entry["split"]].append(entry)
    bad = {
        split: entries
        for split, entries in stopping.items()
        if 2 * len(entries) > len(result.listed[split])
    }
    if bad:
        lines = [
            f"{split}: {len(entries)} of {len(result.listed[split])}: {_counts_of(entries)}"
            for split, entries in bad.items()
        ]
        lines += _advice(reader, [entry for entries in bad.values() for entry in entries])
        raise ValueError(
            "more than half of a split is unusable, so nothing was written.\n  "
            + "\n  ".join(lines)
        )
    if not any(source.split == "train" for source in result.sources):
        entries = [entry for entry in result.dropped if entry["split"] == "train"]
        lines = [
            f"no usable source in train ({_counts_of(entries) or 'none listed'}), from which mean "
            "and standard deviation are computed; nothing was written",
            *_advice(reader, entries),
        ]
        raise ValueError("\n  ".join(lines))


def _counts_of(entries: Iterable[dict]) -> str:
    """How often each reason occurs: "3 motion_missing, 1 text_missing"."""
    reasons = collections.Counter(entry["reason"] for entry in entries)
    return ", ".join(f"{n} {reason}" for reason, n in reasons.most_common())


def _advice(reader: Reader, entries: Iterable[dict]) -> list[str]:
    """For each reason, the most frequent first: clips, what was found in one, and what to do."""
    of_reason = collections.defaultdict(list)
    for entry in entries:
        of_reason[entry["reason"]].append(entry)
    return [
        f"{reason}, {_some([entry['id'] for entry in found])}: {found[0]['detail']}. "
        + advice_on(reason, [entry["id"] for entry in found], _own_advice(reader))
        for reason, found in sorted(of_reason.items(), key=lambda item: -len(item[1]))
    ]
