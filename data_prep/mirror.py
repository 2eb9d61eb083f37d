"""Mirrors captions: swaps left and right, and clockwise and counterclockwise."""

import re

_TWIN = {"left": "right", "right": "left", "clockwise": "counterclockwise"}
_TWIN |= dict.fromkeys(("counterclockwise", "anticlockwise"), "clockwise")

# Whole words only: "upright" and "leftover" stay. Compounds like "left-handed" are replaced too.
_WORD = re.compile(
    r"\b(?!right[- ](?:away(?! from)|now|angle[sd]?)\b|rights? \w+sel(?:f|ves)\b)"  # no sides
    r"(?:(left|right)(?=(?:s|wards?|most|hand|handed|side|footed)?\b)"
    r"|((?:counter|anti)[- ]?)?clock[- ]?wise\b)",
    re.IGNORECASE,
)


def mirrored_caption(caption: str) -> str:
    """Swaps left and right as whole words in a caption, and clockwise and counterclockwise.

    Case is kept (Left, LEFT). "right away", "right now", "right angle" and "rights himself" name no
    side and stay. Any other "left" or "right" is treated as a side, including "left the room": no
    list of phrases could distinguish all cases.
    """
    return _WORD.sub(lambda match: _with_case_of(match[0], _twin(match[0])), caption)


def _twin(word: str) -> str:
    return _TWIN[re.sub("[- ]", "", word.lower())]


def _with_case_of(model: str, word: str) -> str:
    if model.isupper():
        return word.upper()
    return word.capitalize() if model[0].isupper() else word
