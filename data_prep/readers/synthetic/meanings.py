"""Meanings of synthetic clips, and their captions."""

import dataclasses
import re
from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np

from data_prep.readers.synthetic.score import Score

T = TypeVar("T")

_SUBJECTS = ("a person", "someone", "the person", "a human", "the figure", "a human figure")

# Verbs of one syllable with one vowel and one final consonant, which -ing doubles: step, squat.
_SHORT = re.compile("(?:[^aeiou]|qu)+[aeiou][^aeiouwxy]")


@dataclasses.dataclass(frozen=True)
class Act:
    """One action.

    Attributes:
      name: the kind of action, such as `walk`.
      facts: what distinguishes it from other acts of its kind, such as {"steps": 4}.
      verbs: equivalent verb phrases in the infinitive; further verbs in a phrase are starred.
      phrases: for each fact that the verb phrases do not state, alternative phrases; they can
        follow the verb phrase in any order.
      play: writes the act into a score.
      rate: factor on all durations.
    """

    name: str
    facts: dict
    verbs: tuple[str, ...]
    phrases: tuple[tuple[str, ...], ...]
    play: Callable[[Score], None]
    rate: float = 1.0

    @property
    def key(self) -> str:
        """The name and the facts, as in `walk direction=forward steps=4`."""
        return " ".join([self.name, *(f"{k}={v}".replace(" ", "-") for k, v in self.facts.items())])

    def words(self, rng: np.random.Generator, form: str, drop: float) -> str:
        """The act in words, in the form `s` (walks) or `ing` (walking).

        Each fact in `phrases` is left out with probability `drop`.
        """
        phrases = [_pick(rng, alternatives) for alternatives in self.phrases]
        phrases = [phrases[i] for i in rng.permutation(len(phrases)) if rng.random() >= drop]
        phrases.sort(key=_is_clause)
        text = _inflect(_pick(rng, self.verbs), form)
        return text + "".join((", " if _is_clause(p) else " ") + p for p in phrases)


@dataclasses.dataclass(frozen=True)
class Meaning:
    """One act, or two in a row."""

    acts: tuple[Act, ...]

    @property
    def key(self) -> str:
        """The keys of the acts; equal for clips with the same acts."""
        return " then ".join(act.key for act in self.acts)

    def play(self, score: Score) -> None:
        """Writes the acts into a score, one after the other."""
        for act in self.acts:
            score.rate = act.rate
            act.play(score)

    def caption(self, rng: np.random.Generator, drop: float = 0.0) -> str:
        """A sentence that states all facts, or leaves out each with probability `drop`."""
        who = _pick(rng, _SUBJECTS)
        if len(self.acts) == 1:
            form, pattern = _pick(
                rng, (("s", "{} {}"), ("s", "{} {}"), ("ing", "{} is {}"), ("ing", "we see {} {}"))
            )
            return pattern.format(who, self.acts[0].words(rng, form, drop))
        forms, pattern = _pick(
            rng,
            (
                ("s s", "{0} {1}, then {2}"),
                ("s s", "{0} {1} and then {2}"),
                ("s s", "first {0} {1}, then {2}"),
                ("ing s", "after {1}, {0} {2}"),
                ("ing s", "{0} {2} after {1}"),
            ),
        )
        words = [act.words(rng, form, drop) for act, form in zip(self.acts, forms.split())]
        return pattern.format(who, *words)


def _pick(rng: np.random.Generator, options: Sequence[T]) -> T:
    return options[int(rng.integers(len(options)))]


def _is_clause(phrase: str) -> bool:
    """Whether it is a clause like `taking four steps`, which comes last and after a comma."""
    return phrase.split()[0].endswith("ing")


def _inflect(phrase: str, form: str) -> str:
    words = phrase.split()
    for i, word in enumerate(words):
        if i == 0 or word.startswith("*"):
            words[i] = _inflect_verb(word.lstrip("*"), form)
    return " ".join(words)


def _inflect_verb(verb: str, form: str) -> str:
    if form == "s":
        if verb.endswith(("s", "x", "ch", "sh", "o")):
            return verb + "es"
        if verb.endswith("y") and verb[-2] not in "aeiou":
            return verb[:-1] + "ies"
        return verb + "s"
    if _SHORT.fullmatch(verb.split("-")[-1]):
        return verb + verb[-1] + "ing"
    if verb.endswith("e") and not verb.endswith("ee"):
        return verb[:-1] + "ing"
    return verb + "ing"
