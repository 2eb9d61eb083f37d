"""motionalign.checkpoints.published.format."""

import dataclasses
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from motionalign.models.dual_encoder import DualEncoderConfig
from motionalign.models.layers import Shape
from motionalign.models.weights import keymap
from motionalign.models.weights.keymap import KeyMap

Shapes = Mapping[str, Shape]


class Format(NamedTuple):
    """A published model.

    architecture: (shapes of its tensors, `Options`) to ours.
    key_map: of that architecture.
    unused: architecture to the tensors {key: value} that the published code has besides.
    describe: architecture to the JSON that says how to build the published model.
    """

    architecture: Callable[[Shapes, "Options"], DualEncoderConfig]
    key_map: Callable[[DualEncoderConfig], KeyMap]
    unused: Callable[[DualEncoderConfig], dict[str, np.ndarray]]
    describe: Callable[[DualEncoderConfig], dict[str, Any]]


@dataclasses.dataclass(frozen=True)
class Options:
    """What tensors do not say. The defaults are the published code's.

    motion_heads, text_heads: None: as many as are 64 wide. max_tokens: None: 128, or as many as the
      text encoder has positions.
    text_config: config.json of the text encoder; None: sizes from the tensors, the rest published.
    channels: of a joint, for encoders of joints.
    root: the joint that the first frame is moved to the origin by; None: none.
    attributes: names of GaitFormer's attributes.
    """

    motion_heads: int | None = None
    text_heads: int | None = None
    activation: str = "gelu"
    text_activation: str = "gelu"
    motion_norm_eps: float | None = None
    text_norm_eps: float | None = None
    text_config: Mapping[str, Any] | None = None
    max_tokens: int | None = None
    channels: int = 3
    frames: int = 60
    root: int | None = 0
    attributes: tuple[str, ...] | None = None


def max_tokens(text, options: Options) -> int:
    """Where texts are cut."""
    return options.max_tokens or min(128, text.max_positions)


def below(shapes: Shapes, prefix: str) -> dict[str, Shape]:
    """The tensors whose keys start with a prefix, without it."""
    return {k.removeprefix(prefix): shape for k, shape in shapes.items() if k.startswith(prefix)}


def require(shapes: Shapes, keys: tuple[str, ...], what: str) -> None:
    missing = [key for key in keys if key not in shapes]
    if missing:
        raise ValueError(
            f"this is no {what}: it has no {', '.join(missing)}, but "
            + (", ".join(list(shapes)[:3]) + ", ..." if shapes else "no tensor at all")
        )


def heads_of(width: int, heads: int | None, flag: str) -> int:
    if heads is None and width % 64:
        raise ValueError(
            f"the tensors do not say how many attention heads there are, and the width {width} is "
            f"not a multiple of the usual 64: say {flag}"
        )
    return heads or width // 64


def count(shapes: Shapes, block: str) -> int:
    return len({found[1] for key in shapes if (found := re.match(block, key))})


def head_map(published: str, ours: str) -> KeyMap:
    """The projection head of Motion Patches and of Walk and Text."""
    return KeyMap(
        prefix="",
        rules=(
            *keymap.linear(r"projection", "projection"),
            *keymap.linear(r"fc", "hidden"),
            *keymap.norm(r"layer_norm", "norm"),
        ),
    ).within(published, ours)
