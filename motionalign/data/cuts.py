"""What is cut: clips longer than a model's frames, and texts longer than its tokens.

Nothing stops at such a clip or text, so every command that cuts counts them, with examples: the
preparation of a dataset, `data_prep embed`, training (once, at its start), evaluation and encoding.
"""

import dataclasses
from collections.abc import Collection, Iterable, Sequence
from typing import Any

import numpy as np

from motionalign.data.tokenizer import Tokenizer

# What published models read, for messages before a model is chosen: motion patches of 224 frames,
# and texts of 128 tokens.
PUBLISHED_FRAMES, PUBLISHED_TOKENS = 224, 128

EXAMPLES = 3

_SHOWN = 60  # characters of a text in an example


@dataclasses.dataclass(frozen=True)
class Cut:
    """Clips or texts of which only a part is used.

    Attributes:
      what: "clips" or "texts".
      count, total: how many are cut, of how many.
      limit: what is used at most, like "224 frames".
      part: which part is used, in words.
      examples: up to three of them, with their lengths.
    """

    what: str
    count: int
    total: int
    limit: str
    part: str
    examples: tuple[str, ...]

    @property
    def note(self) -> str:
        """The count with examples as a sentence for the user."""
        verb = "is" if self.count == 1 else "are"
        more = ", ..." if self.count > len(self.examples) else ""
        return (
            f"{self.count:,} of {self.total:,} {self.what} {verb} longer than {self.limit}; "
            f"{self.part}; for example {', '.join(self.examples)}{more}"
        )

    def to_json(self) -> dict[str, Any]:
        """The count with examples, for metrics.json."""
        return {
            "count": self.count,
            "total": self.total,
            "limit": self.limit,
            "examples": list(self.examples),
            "note": self.note,
        }


def cut_clips(
    ids: Sequence[str],
    num_frames: Sequence[int] | np.ndarray,
    limit: int,
    part: str,
    where: str = "",
) -> Cut | None:
    """The clips longer than `limit` frames; None without any.

    Args:
      ids: names of n clips.
      num_frames: [n] lengths, at the frame rate of the model.
      limit: the largest number of frames used.
      part: which part of a longer clip is used, in words.
      where: " of DATASET", where the clips are from; "" if that is clear.
    """
    frames = np.asarray(num_frames)
    rows = np.flatnonzero(frames > limit)
    if not len(rows):
        return None
    examples = tuple(f"{ids[i]} ({frames[i]:,} frames)" for i in rows[:EXAMPLES])
    return Cut("clips" + where, len(rows), len(frames), f"{limit:,} frames", part, examples)


def cut_texts(texts: Sequence[str], tokenizer: Tokenizer, where: str = "") -> Cut | None:
    """The texts that a tokenizer truncates; None without any.

    Args:
      texts: n texts; one that occurs several times counts as often.
      tokenizer: of the model.
      where: " of DATASET", where the texts are from; "" if that is clear.
    """
    distinct = list(dict.fromkeys(texts))
    long = {distinct[i]: count for i, count in tokenizer.truncated(distinct).items()}
    if not long:
        return None
    examples = tuple(f"{shown(text)} ({n:,} tokens)" for text, n in [*long.items()][:EXAMPLES])
    count = sum(text in long for text in texts)
    limit = f"{tokenizer.max_tokens:,} tokens"
    return Cut("texts" + where, count, len(texts), limit, "the rest is ignored", examples)


def shown(text: str) -> str:
    """A text in quotes for a message, shortened."""
    return repr(text if len(text) <= _SHOWN else text[: _SHOWN - 3].rstrip() + "...")


def notes(cuts: Iterable[Cut | None]) -> list[str]:
    """The notes of those that cut anything."""
    return [cut.note for cut in cuts if cut]


def to_json(cuts: Collection[Cut]) -> dict[str, Any]:
    """{"cut": {"clips": ..., "texts": ...}} for metrics.json; {} where nothing is cut."""
    return {"cut": {cut.what: cut.to_json() for cut in cuts}} if cuts else {}
