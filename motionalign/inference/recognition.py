"""Recognised actions: names ranked for a clip, and how a language model is asked for them."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from motionalign.data.cuts import shown
from motionalign.data.language_tokenizer import LanguageTokenizer
from motionalign.models import instructions
from motionalign.models.motion_language import MotionLanguageConfig, prompt_ids

LENGTHS = {"sum": 0.0, "mean": 1.0}
"""{normalisation: power of the number of tokens by which a log-probability is divided}."""


@dataclasses.dataclass(frozen=True, eq=False)
class Recognised:
    """Scores of names for one clip or several; printed, the best names first.

    `numpy.asarray` gives the scores, in the order of `names`.

    Attributes:
      names: K names, as given.
      scores: [K] for one clip, [N, K] for a list; higher is better.
      unit: what the scores are.
    """

    names: tuple[str, ...]
    scores: np.ndarray
    unit: str

    @property
    def best(self) -> Any:
        """The best name of one clip; a list of them for several."""
        if self.scores.ndim == 1:
            return self.names[int(self.scores.argmax())]
        return [self.names[k] for k in self.scores.argmax(axis=1)]

    def ranked(self) -> list[tuple[str, float]]:
        """The names of one clip with their scores, best first.

        Raises:
          ValueError: these are several clips.
        """
        if self.scores.ndim != 1:
            raise ValueError(
                f"these are {len(self)} clips: rank one of them, recognised[0].ranked()"
            )
        order = np.argsort(-self.scores, kind="stable")
        return [(self.names[k], float(self.scores[k])) for k in order]

    def __len__(self) -> int:
        """N, or K for one clip."""
        return len(self.scores)

    def __getitem__(self, index: Any) -> Any:
        """Of several clips, one or a part; of one clip, its scores."""
        found = self.scores[index]
        return found if self.scores.ndim == 1 else dataclasses.replace(self, scores=found)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """The scores."""
        return np.array(self.scores, dtype=dtype, copy=copy)

    def __str__(self) -> str:
        """A line a name for one clip, a line a clip for several."""
        if self.scores.ndim == 1:
            width = max(map(len, self.names))
            return "\n".join(f"{name:<{width}}  {score:.4g}" for name, score in self.ranked())
        return "\n".join(
            f"{name}  {row.max():.4g}" for name, row in zip(self.best, self.scores, strict=True)
        )

    def __repr__(self) -> str:
        return f"Recognised({self.unit})\n{self}"


def checked_names(names: Sequence[str]) -> tuple[str, ...]:
    """Names of actions as a tuple.

    Raises:
      ValueError: there is none, one is empty or no text, or one occurs twice.
    """
    if isinstance(names, str):
        raise ValueError(f"names is the text {names!r}; give a list of names, [{names!r}, ...]")
    names = tuple(names)
    if not names:
        raise ValueError("names is empty; give the names of the actions to choose from")
    for i, name in enumerate(names):
        if not isinstance(name, str):
            raise ValueError(f"name {i} is {name!r}; names are texts")
        if not name.strip():
            raise ValueError(f"name {i} of {len(names)} is {name!r}; a name cannot be empty")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"{twice[0]!r} is named {names.count(twice[0])} times; name it once")
    return names


def answers(
    tokenizer: LanguageTokenizer, config: MotionLanguageConfig, names: Sequence[str]
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """How a language model is asked for names.

    Args:
      tokenizer: the language model's.
      config: the model's architecture.
      names: K names.

    Returns:
      Token ids [K, A] int32 of the answers with their end tokens, the mask [K, A] bool of real
      tokens, and the ids [P] int32 before the motion if the instruction lists the names (None:
      those of training). They are the arguments of `MotionLanguageModel.scores`.

    Raises:
      ValueError: names are invalid, a name has more tokens than the model answers with, or the
        instruction with these names is longer than the model's context.
    """
    names = checked_names(names)
    if long := tokenizer.truncated(names):
        i, length = next(iter(long.items()))
        raise ValueError(
            f"the name {shown(names[i])} has {length} tokens with its end token; the model answers "
            f"with at most {tokenizer.max_tokens} (config.model.language.answer_tokens of its "
            "training)"
        )
    ids, mask = tokenizer.encode(names)
    before = None
    if instructions.lists_names(config.instruction):
        before = np.asarray(prompt_ids(tokenizer, config.instruction, names), np.int32)
        length = config.prompt_tokens - len(config.before) + len(before) + ids.shape[1]
        if length > config.llama.context:
            raise ValueError(
                f"the instruction lists {len(names)} names and has up to {length} tokens with "
                f"motion and answer; the language model reads {config.llama.context}: ask for "
                "fewer names"
            )
    return ids, mask, before


def normalised(sums: np.ndarray, lengths: np.ndarray, how: str) -> np.ndarray:
    """Log-probabilities [N, K] of names of so many tokens [K], divided as `LENGTHS` says."""
    return sums / lengths ** LENGTHS[how]
