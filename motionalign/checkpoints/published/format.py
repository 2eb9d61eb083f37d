"""The description of a published PyTorch model: `Format`.

Every published model has one file in this folder, which ends with its `FORMAT`, and one line in
`registry.py`. A `Format` derives our architecture from the shapes of a state dict and maps every
tensor in both directions. It also defines the options of the model's command, so that neither
`convert.py` in this folder nor the command `python -m motionalign.convert` depends on the name of a
model.

The functions after it are shared by the models' files: sizes from tensors, and command options.
"""

import argparse
import dataclasses
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Self

import numpy as np

from motionalign.data import resample
from motionalign.data.dataset import Metadata
from motionalign.models.dual_encoder import DualEncoderConfig
from motionalign.models.layers import Shape
from motionalign.models.weights import keymap
from motionalign.models.weights.keymap import KeyMap

Shapes = Mapping[str, Shape]

DISTANCES = ("cosine", "euclidean")
"""Valid values of `Options.distance`, those of `inference.similarity`."""

MetadataOf = Callable[[DualEncoderConfig], Metadata]
"""The metadata of the training data, once the architecture is known."""


@dataclasses.dataclass(frozen=True)
class Options:
    """Properties that the tensors of a published model do not state.

    The defaults are those of the published code. A model with further properties derives a class
    with further fields. The command's options of the same names fill the fields.

    Attributes:
      motion_heads: attention heads of the motion encoder; None: those of the published model,
        which has to have the sizes of the file's tensors.
      activation: activation function of the motion encoder.
      motion_norm_eps: epsilon of the motion encoder's norms; None: that of the published code.
      distance: how motions are compared with texts, one of `DISTANCES`; None: as in the published
        code.
      max_tokens: texts are truncated to this number of tokens; None: 128, or the text encoder's
        number of positions if that is smaller.
    """

    motion_heads: int | None = None
    activation: str = "gelu"
    motion_norm_eps: float | None = None
    distance: str | None = None
    max_tokens: int | None = None

    @classmethod
    def from_args(cls, args: argparse.Namespace) -> Self:
        """The options from a command line.

        Raises:
          ValueError, OSError: a file that an option names cannot be read, or has invalid content.
        """
        names = {field.name for field in dataclasses.fields(cls)}
        given = {name: value for name, value in vars(args).items() if name in names}
        return cls(**{name: value for name, value in given.items() if value is not None})


@dataclasses.dataclass(frozen=True)
class Format:
    """A published model: the conversion of its files in both directions, and its command.

    Attributes:
      name: name of the command, and of the format in stored files.
      title: name of the model in the command's help.
      options: `Options`, or a class derived from it.
      add_options: adds the command's options to a parser that already has --dataset.
      metadata: function from the parsed command line to the metadata of the training data, or to
        a function of the architecture where they depend on it; used without --dataset. A
        ValueError states what is missing or wrong.
      dataset_options: names of the options that --dataset replaces.
      architecture: function from (shapes of the file's tensors, options) to our architecture; a
        ValueError or KeyError states the mismatch.
      key_map: function from our architecture to the map between the file's tensors and our
        parameters.
      fit_metadata: function from (metadata, architecture) to the metadata with the values that
        only the tensors state; a ValueError states what does not fit the architecture.
      fits: whether the published code can run our architecture. A ValueError states the reason if
        the architecture is close but not supported.
      describe: function from our architecture to the JSON that describes how to build the published
        model.
      own_name: function from a key in a file to the published model's own name of the tensor.
      keys: own names of tensors that tell the model from others. What a wrapper of the model put in
        front of all names is removed until one of them is found.
      unused: function from our architecture to the tensors {key: value} of the published code that
        it does not use.
      tokenizer: function from our architecture to the folder or Hub id with the text encoder's
        tokenizer; None if the user must give it.
      text_readout: function from (our architecture, options) to the readout of a frozen text
        encoder that is given separately from the file; None: this is not supported.
      distance: function from our architecture to the distance by which the published code compares
        motions with texts.
    """

    name: str
    title: str
    options: type[Options]
    add_options: Callable[[argparse.ArgumentParser], None]
    metadata: Callable[[argparse.Namespace], Metadata | MetadataOf]
    dataset_options: tuple[str, ...]
    architecture: Callable[[Shapes, Any], DualEncoderConfig]
    key_map: Callable[[DualEncoderConfig], KeyMap]
    fit_metadata: Callable[[Metadata, DualEncoderConfig], Metadata]
    fits: Callable[[DualEncoderConfig], bool]
    describe: Callable[[DualEncoderConfig], dict[str, Any]]
    own_name: Callable[[str], str] = lambda key: key
    keys: tuple[str, ...] = ()
    unused: Callable[[DualEncoderConfig], dict[str, np.ndarray]] = lambda config: {}
    tokenizer: Callable[[DualEncoderConfig], str | None] = lambda config: None
    text_readout: Callable[[DualEncoderConfig, Any], str] | None = None
    distance: Callable[[DualEncoderConfig], str] = lambda config: "cosine"


# ------------------------------------------------------------------------------- command line


def positive(text: str) -> int:
    """Type of an option that is a whole number of at least 1."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is below the minimum of 1")
    return value


def add_motion_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options for the fields of `Options` that describe the motion encoder."""
    parser.add_argument(
        "--motion_heads",
        type=positive,
        help="heads of the motion encoder, which the tensors do not state; required unless their "
        "sizes are those of a published model",
    )
    parser.add_argument("--activation", help="of the motion encoder (default: gelu)")
    parser.add_argument(
        "--motion_norm_eps",
        type=float,
        help="epsilon of the motion encoder's norms (default: 1e-6 for timm's ViT, 1e-5 for "
        "PyTorch's layers)",
    )


def add_distance(parser: argparse.ArgumentParser, default: str) -> None:
    """Adds the option for `Options.distance`; `default` describes its default."""
    parser.add_argument(
        "--distance",
        choices=DISTANCES,
        help=f"how motions are compared with texts: by the angle between the vectors, or by the "
        f"Euclidean distance of the raw vectors (default: {default})",
    )


def check_fps(fps: float | None) -> None:
    """Raises a ValueError unless --fps is omitted or possible."""
    if fps is not None:
        resample.check_fps(fps, "--fps")


# ------------------------------------------------------------------------- sizes from the tensors


def max_tokens(text: Any, options: Options) -> int:
    """The number of tokens to which texts are truncated, for a text encoder's config."""
    return options.max_tokens or min(128, text.max_positions)


def below(shapes: Shapes, prefix: str) -> dict[str, Shape]:
    """The tensors whose keys start with a prefix, by key without the prefix."""
    return {k.removeprefix(prefix): shape for k, shape in shapes.items() if k.startswith(prefix)}


def require(shapes: Shapes, keys: tuple[str, ...], what: str) -> None:
    """Raises a ValueError that this is not a `what` unless all keys are present."""
    missing = [key for key in keys if key not in shapes]
    if missing:
        raise ValueError(
            f"this is not a {what}: {', '.join(missing)} missing; found: "
            + (", ".join(list(shapes)[:3]) + ", ..." if shapes else "no tensors")
        )


class Sizes(NamedTuple):
    """Sizes of a transformer's layers that its tensors state.

    The number of layers is not among them: no publication changes the heads with it.
    """

    width: int
    mlp_width: int

    def __str__(self) -> str:
        return f"layers of width {self.width} with MLPs of {self.mlp_width}"


def heads_of(sizes: Sizes, heads: int | None, published: Mapping[Sizes, int], option: str) -> int:
    """The number of attention heads, which no tensor states.

    Args:
      sizes: sizes of the transformer.
      heads: the number that the user states; None: that of the published model of these sizes.
      published: heads of the published models by their sizes.
      option: what states the number, for the message.

    Raises:
      ValueError: `heads` is None and no published model has these sizes.
    """
    if heads is None and sizes not in published:
        known = "; ".join(f"{each} have {count} heads" for each, count in published.items())
        known = f" Published: {known}." if known else ""
        raise ValueError(
            f"the tensors do not state the number of attention heads, and their sizes are not "
            f"those of a published model. Found: {sizes}.{known} Give {option}"
        )
    return heads or published[sizes]


def count(shapes: Shapes, block: str) -> int:
    """Number of layers: distinct values of the group in a regex that matches the start of keys."""
    return len({found[1] for key in shapes if (found := re.match(block, key))})


def head_map(published: str, ours: str) -> KeyMap:
    """The key map of the projection head of Motion Patches and of Walk and Text.

    Args:
      published: regex for the prefix of its keys.
      ours: path prefix of its parameters, ending in "/".
    """
    return KeyMap(
        prefix="",
        rules=(
            *keymap.linear(r"projection", "projection"),
            *keymap.linear(r"fc", "hidden"),
            *keymap.norm(r"layer_norm", "norm"),
        ),
    ).within(published, ours)
