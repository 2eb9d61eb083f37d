"""The requests that `data_prep describe` makes: published prompts, settings, seeds."""

import dataclasses
import json
from typing import Any

PROMPTS = {
    # The two published prompts, and our own for the synonyms of Table VI.
    "action": "Describe in detail a person's body movements who is performing the action: {label}",
    "appearance": "Concisely describe a person with the following features: {label}",
    "synonym": "Give one synonym, of a few words at most, for the human action: {label}. "
    "Answer with the synonym alone.",
}


@dataclasses.dataclass(frozen=True)
class Settings:
    """The settings that determine an answer, and hence its cache key.

    Attributes:
      model: as the endpoint names it.
      kind: a key of `PROMPTS`.
      temperature: the sampling temperature.
      seed: base of the seeds of the requests.
      max_tokens: limit of an answer; a longer answer is truncated, and requested again.
    """

    model: str
    kind: str = "action"
    temperature: float = 0.8
    seed: int = 0
    max_tokens: int = 300


def prompt_of(kind: str, label: str | list[str] | dict[str, Any]) -> str:
    """The user message for a label; attributes are inserted as JSON, as published."""
    text = label if isinstance(label, str) else json.dumps(label)
    return PROMPTS[kind].format(label=text)


def request(
    settings: Settings, label: str | list[str] | dict[str, Any], number: int, attempt: int = 0
) -> dict[str, Any]:
    """The request for the `number`-th answer for a label."""
    return {
        "model": settings.model,
        "messages": [{"role": "user", "content": prompt_of(settings.kind, label)}],
        "temperature": settings.temperature,
        "max_tokens": settings.max_tokens,
        # Every answer, and every further attempt at one, has its own seed.
        "seed": settings.seed + 1000 * attempt + number,
    }
