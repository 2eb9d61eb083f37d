"""The registry of architectures: one line each."""

from collections.abc import Mapping
from typing import Any

from motionalign.models import build, layers, motion_language, motion_tokenizer
from motionalign.models.architecture import Architecture

ARCHITECTURES: dict[str, Architecture] = {
    "dual_encoder": build.ARCHITECTURE,
    "motion_tokenizer": motion_tokenizer.ARCHITECTURE,
    "language_model": motion_language.ARCHITECTURE,
}
"""Architectures by value of config.model.kind."""


def architecture_of(kind: str) -> Architecture:
    """The architecture of a value of config.model.kind; a ValueError lists valid values."""
    layers.check_choice(kind, ARCHITECTURES, "the model's kind")
    return ARCHITECTURES[kind]


def groups_of(kind: str, groups: Mapping[str, Any]) -> dict[str, Any]:
    """The groups of config.optim.groups without those that belong to other architectures."""
    own = architecture_of(kind).groups
    others = {name for each in ARCHITECTURES.values() for name in each.groups if name not in own}
    return {name: groups[name] for name in groups if name not in others}
