"""Descriptions of encoder families, and the properties of an encoder that depend on the data.

Each encoder's file ends with its `FAMILY` (the ViT's is in vit_weights.py);
models/families.py registers it in one line.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from motionalign.config import Entry, in_section
from motionalign.data.representation import Patches, Representation
from motionalign.models.weights.keymap import KeyMap
from motionalign.models.weights.source import Source

SIZE_NAMES = ("width", "depth", "heads", "mlp_width")
CUSTOM = "custom"  # value of `size` that requires these fields


class Inputs(NamedTuple):
    """Properties of an architecture that depend on the data.

    Attributes:
      joints, channels, dims, window, input: input of an encoder over frames; see
        `MotionTransformerConfig`.
      text_width: width of the sentence vectors, if the text encoder is frozen.
      classifier: a `heads.ClassifierConfig` with the classes, if the model is a classifier that
        compares no texts.
    """

    joints: int
    channels: int = 3
    dims: int = 3
    window: str = "first"
    text_width: int | None = None
    classifier: Any = None
    input: str = "joints"


@dataclasses.dataclass(frozen=True)
class Variant:
    """One value of config.model.motion.family.

    Attributes:
      sizes: {name of a size: its width, depth, heads and mlp_width}.
      mlp_ratio: ratio of the MLPs' width to the encoder's; default for a custom size.
      build: function from (sizes, model.motion section, `Inputs`) to the encoder's config.
      entry: the config fields that are read.
    """

    sizes: Mapping[str, Mapping[str, int]]
    mlp_ratio: int
    build: Callable[[Mapping[str, int], Mapping[str, Any], Inputs | None], Any]
    entry: Entry


@dataclasses.dataclass(frozen=True)
class MotionFamily:
    """A kind of motion encoder.

    Attributes:
      config, module: the classes of its config and its module. The config's `input` names the
        representation that it reads.
      variants: variants by value of config.model.motion.family; usually one.
      representation: function from (encoder's config, the run's frame_bucket) to the input
        representation.
      key_map: function from (encoder's config, source, final_norm) to the key map of pretrained
        weights; None: pretrained weights are not supported.
      section: function from the encoder's config to the equivalent model.motion section; None:
        such a model cannot be fine-tuned.
    """

    config: type[Any]
    module: type[Any]
    variants: Mapping[str, Variant]
    representation: Callable[[Any, int], Representation]
    key_map: Callable[[Any, Source, str], KeyMap] | None = None
    section: Callable[[Any], dict[str, Any]] | None = None


PATCHES_ENTRY = Entry(
    in_section(
        ("size", "patch_size", "max_frames", "pool", "padding", "dropout", "weights"),
        "model.motion",
    )
)
"""Config fields that encoders of motion patches read."""

FRAMES_ENTRY = Entry(
    (
        *in_section(("size", "max_frames", "pool", "dropout", "input"), "model.motion"),
        "data.sampling",
        *in_section(
            ("crop", "paces", "squeeze", "mirror", "reverse", "joint_noise", "point_noise"),
            "data.augment",
        ),
    )
)
"""Config fields that encoders over frames read."""


def patches_section(config: Any) -> dict[str, Any]:
    """The model.motion section, without the family, of an encoder of motion patches."""
    fields = (*SIZE_NAMES, "patch_size", "max_frames", "pool", "padding", "dropout")
    return {"size": CUSTOM, **{name: getattr(config, name) for name in fields}}


def patches_representation(config: Any, frame_bucket: int) -> Patches:
    """The input of an encoder of motion patches; padded lengths vary with padding="mask" only."""
    bucket = frame_bucket if config.padding == "mask" else None
    return Patches(config.patch_size, config.max_frames, bucket)


def check_sizes(config: Any, asked: Mapping[str, Any], weights: str, size: str) -> None:
    """Raises a ValueError unless the config of pretrained weights has the requested sizes."""
    for name, value in asked.items():
        if getattr(config, name) != value:
            raise ValueError(
                f"{weights} has {name} {getattr(config, name)}, but model.motion asks for {value} "
                f"(size={size!r}); choose the size and patch_size of the weights, or other weights"
            )


TEXT_ENTRY = Entry(
    (
        *in_section(
            ("weights", "readout", "dropout", "max_tokens", *SIZE_NAMES, "vocab_size"), "model.text"
        ),
        "data.text_bucket",
        *in_section(("lr", "layer_decay"), "optim.groups.text_encoder"),
    )
)
"""Config fields that text encoders read."""


@dataclasses.dataclass(frozen=True)
class TextFamily:
    """A kind of text encoder.

    Attributes:
      config, module: the classes of its config and its module.
      config_from_hf: function from (content of Hugging Face's config.json, **further fields) to
        the config.
      key_map: function without arguments to the key map of Hugging Face's weights.
      model_types: values of model_type in config.json.
      config_to_hf: inverse of `config_from_hf`, for families that published models use.
      entry: the config fields that are read.
      tokenizer: class of `transformers` (a key of `vocabulary.CLASSES`) that converts a vocabulary
        without tokenizer.json if its source names no class; None: the source must name one.
    """

    config: type[Any]
    module: type[Any]
    config_from_hf: Callable[..., Any]
    key_map: Callable[[], KeyMap]
    model_types: tuple[str, ...]
    config_to_hf: Callable[[Any], dict[str, Any]] | None = None
    entry: Entry = TEXT_ENTRY
    tokenizer: str | None = None
