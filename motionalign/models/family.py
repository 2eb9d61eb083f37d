"""What a family of encoders brings with it, and what the data decide about an encoder.

Each encoder's file ends with its `FAMILY` (the ViT's stands with its weights, in vit_weights.py);
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
CUSTOM = "custom"  # the size for which these are given


class Inputs(NamedTuple):
    """What the data decide about an architecture.

    Attributes:
      joints, channels, dims, window, input: of what an encoder over frames reads; see
        `MotionTransformerConfig`.
      text_width: of the sentence vectors, where the text encoder is frozen.
      classifier: a `heads.ClassifierConfig`: the classes to tell apart, where no text is compared.
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
    """What one value of config.model.motion.family means.

    Attributes:
      sizes: {name of a size: its width, depth, heads and mlp_width}.
      mlp_ratio: width of the MLPs over the encoder's, where a custom size does not say.
      build: (sizes, the model.motion section, what the data decide) to the encoder's config.
      entry: which fields are read.
    """

    sizes: Mapping[str, Mapping[str, int]]
    mlp_ratio: int
    build: Callable[[Mapping[str, int], Mapping[str, Any], Inputs | None], Any]
    entry: Entry


@dataclasses.dataclass(frozen=True)
class MotionFamily:
    """A kind of motion encoder.

    Attributes:
      config, module: the classes of its config and of itself. The config's `input` names the
        representation that it reads.
      variants: by value of config.model.motion.family; mostly one.
      representation: (encoder's config, frame_bucket of the run) to what it reads.
      key_map: (encoder's config, source, final_norm) to the rules of pretrained weights; None: it
        takes none.
      section: encoder's config to the model.motion section that says it; None: training cannot go
        on from such a model.
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
"""Fields that encoders of motion patches read."""

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
"""Fields that encoders over frames read."""


def patches_section(config: Any) -> dict[str, Any]:
    """The model.motion fields, but for its family, of an encoder of motion patches."""
    fields = (*SIZE_NAMES, "patch_size", "max_frames", "pool", "padding", "dropout")
    return {"size": CUSTOM, **{name: getattr(config, name) for name in fields}}


def patches_representation(config: Any, frame_bucket: int) -> Patches:
    """What an encoder of motion patches reads; only masked padding may differ in length."""
    bucket = frame_bucket if config.padding == "mask" else None
    return Patches(config.patch_size, config.max_frames, bucket)


def check_sizes(config: Any, asked: Mapping[str, Any], weights: str, size: str) -> None:
    """Raises a ValueError unless the config of pretrained weights has the sizes asked for."""
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
"""Fields that text encoders read."""


@dataclasses.dataclass(frozen=True)
class TextFamily:
    """A kind of text encoder.

    Attributes:
      config, module: the classes of its config and of itself.
      config_from_hf: (config.json of Hugging Face's layout, **fields that it does not know) to it.
      key_map: () to the rules of weights in that layout.
      model_types: what config.json says.
      config_to_hf: the way back, of families that published models have.
      entry: which fields are read.
      tokenizer: the class of `transformers` that a vocabulary without tokenizer.json is converted
        with where its source names none, a key of `vocabulary.CLASSES`; None: it must name one.
    """

    config: type[Any]
    module: type[Any]
    config_from_hf: Callable[..., Any]
    key_map: Callable[[], KeyMap]
    model_types: tuple[str, ...]
    config_to_hf: Callable[[Any], dict[str, Any]] | None = None
    entry: Entry = TEXT_ENTRY
    tokenizer: str | None = None
