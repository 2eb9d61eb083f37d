"""What a survey notices about a dataset beyond the clips that it drops.

Nothing is dropped for it, but each of these changes what scores on the dataset mean. All are
counted and shown, with examples, in the table and in report.json.
"""

import collections
import dataclasses
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any

from motionalign.data.cuts import EXAMPLES, PUBLISHED_FRAMES, PUBLISHED_TOKENS, shown

# Every word is at least a token, and most encoders add one at each end of a text.
_WORDS = PUBLISHED_TOKENS - 2

KINDS = {
    "file_unlisted": "files in the raw folder that were not read: of other kinds, or named by no "
    "split",
    "same_clip_across_splits": "clips with the same joints as a clip in another split, which leaks "
    "data between splits",
    "same_clip_in_split": "clips with the same joints as another clip of their split",
    "not_mirrored": "clips named M<name> that are not the mirror image of <name>; they are treated "
    "as clips of their own",
    "labels_alike": "labels that differ by case, spaces or punctuation only; spell each label in "
    "one way",
    "attributes_alike": "attributes that differ by case, spaces or punctuation only; spell each "
    "attribute in one way",
    "clip_long": f"records of more than {PUBLISHED_FRAMES} frames, the most that published models "
    "of motion patches read; training draws a part at random, evaluation takes the start",
    "caption_long": f"captions of more than {_WORDS} words, which text encoders cut at the default "
    f"of {PUBLISHED_TOKENS} tokens",
}


@dataclasses.dataclass(frozen=True)
class Finding:
    """Something noticed.

    Attributes:
      kind: a key of `KINDS`.
      count: how many files, clips, labels or captions it concerns.
      entries: which, in words.
    """

    kind: str
    count: int
    entries: Sequence[str]

    def line(self) -> str:
        """The finding as a line of the table, with three examples."""
        more = "; ..." if len(self.entries) > EXAMPLES else ""
        examples = "; ".join(self.entries[:EXAMPLES])
        return f"  {self.count:6d} {self.kind}: {KINDS[self.kind]}: {examples}{more}"

    def to_json(self) -> dict[str, Any]:
        """The finding as in report.json: all entries, not only examples."""
        return {
            "kind": self.kind,
            "count": self.count,
            "meaning": KINDS[self.kind],
            "entries": list(self.entries),
        }


def listed(kind: str, entries: Iterable[str]) -> list[Finding]:
    """One finding with an entry per file, clip or caption; none without entries."""
    entries = list(entries)
    return [Finding(kind, len(entries), entries)] if entries else []


def alike(kind: str, names: Iterable[str]) -> list[Finding]:
    """The names that differ by case, spaces or punctuation only, in groups."""
    groups = collections.defaultdict(list)
    for name in names:
        folded = unicodedata.normalize("NFKC", name).casefold()
        groups["".join(c for c in folded if c.isalnum()) or name].append(name)
    groups = [group for group in groups.values() if len(group) > 1]
    entries = [", ".join(map(repr, group)) for group in groups]
    return [Finding(kind, sum(map(len, groups)), entries)] if groups else []


def same_clips(groups: Iterable[Sequence[tuple[str, str]]]) -> list[Finding]:
    """Clips with the same joints, across splits and within them.

    Args:
      groups: each of two and more (name, split) with the same joints.
    """
    across, within = [], []
    for group in groups:
        splits = {split for _, split in group}
        if len(splits) > 1:
            across.append(group)
        else:
            within.append(group)
    return [
        Finding(kind, sum(map(len, found)), [_group(group) for group in found])
        for kind, found in (("same_clip_across_splits", across), ("same_clip_in_split", within))
        if found
    ]


def long_captions(captions: Iterable[tuple[str, str]]) -> list[Finding]:
    """The captions that every text encoder cuts; `captions` are (id of the record, text)."""
    counts = ((name, text, len(text.split())) for name, text in captions if len(text) > _WORDS)
    entries = (f"{name}: {shown(text)} ({n:,} words)" for name, text, n in counts if n > _WORDS)
    return listed("caption_long", entries)


def long_clips(records: Iterable[tuple[str, int]]) -> list[Finding]:
    """The records that published models cut; `records` are (id, number of frames)."""
    entries = (f"{name} ({n:,} frames)" for name, n in records if n > PUBLISHED_FRAMES)
    return listed("clip_long", entries)


def _group(group: Sequence[tuple[str, str]]) -> str:
    named = [f"{name} in {split}" for name, split in group]
    return " = ".join(named[:4]) + (f" = {len(named) - 4} more" if len(named) > 4 else "")
