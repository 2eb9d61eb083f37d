"""Captions as a mirror shows them: left and right exchanged, and so the sense of rotation."""

import re

_TWIN = {"left": "right", "right": "left", "clockwise": "counterclockwise"}
_TWIN |= dict.fromkeys(("counterclockwise", "anticlockwise"), "clockwise")

# Whole words only: "upright" and "leftover" stay. Compounds that name a side count as the word.
_WORD = re.compile(
    r"\b(?!right[- ](?:away(?! from)|now|angle[sd]?)\b|rights? \w+sel(?:f|ves)\b)"  # no sides
    r"(?:(left|right)(?=(?:s|wards?|most|hand|handed|side|footed)?\b)"
    r"|((?:counter|anti)[- ]?)?clock[- ]?wise\b)",
    re.IGNORECASE,
)


def mirrored_caption(caption: str) -> str:
    """The caption with left and right exchanged as whole words, and clockwise with its opposite.

    Case is kept (Left, LEFT). "right away", "right now", "right angle" and "rights himself" name no
    side and stay. Any other "left" and "right" counts as a side, "left the room" too: no list of
    phrases would tell them all apart.
    """
    return _WORD.sub(lambda match: _with_case_of(match[0], _twin(match[0])), caption)


def _twin(word: str) -> str:
    return _TWIN[re.sub("[- ]", "", word.lower())]


def _with_case_of(model: str, word: str) -> str:
    if model.isupper():
        return word.upper()
    return word.capitalize() if model[0].isupper() else word
