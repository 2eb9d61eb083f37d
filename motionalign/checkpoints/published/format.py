"""What a published PyTorch model is to this project: a `Format`.

Every published model is one file beside this one, which ends in its `FORMAT`, and one line of
`registry.py`. A `Format` reads a state dict's shapes into our architecture and names every tensor,
both ways; it also says what the model's command asks for, so that neither `convert.py` here nor the
command `python -m motionalign.convert` knows any model by its name.

The functions below it are what the models' files share: sizes found in the tensors, and options of
the command.
"""

import argparse
import dataclasses
import re
from collections.abc import Callable, Mapping
from typing import Any, Self

import numpy as np

from motionalign.data.dataset import Metadata
from motionalign.models.dual_encoder import DualEncoderConfig
from motionalign.models.layers import Shape
from motionalign.models.weights import keymap
from motionalign.models.weights.keymap import KeyMap

Shapes = Mapping[str, Shape]


@dataclasses.dataclass(frozen=True)
class Options:
    """What the tensors of any published model leave unsaid; the defaults are the published code's.

    A model with more to say derives a class with fields of its own. The command's options of the
    same names fill the fields.

    motion_heads: attention heads of the motion encoder; None: as many as are 64 wide.
    activation: of the motion encoder.
    motion_norm_eps: epsilon of the motion encoder's norms; None: that of the published code.
    max_tokens: where texts are cut; None: at 128, or at as many as the text encoder has positions.
    """

    motion_heads: int | None = None
    activation: str = "gelu"
    motion_norm_eps: float | None = None
    max_tokens: int | None = None

    @classmethod
    def from_args(cls, args: argparse.Namespace) -> Self:
        """The options that a command line gives.

        Raises:
          ValueError, OSError: a file that an option names cannot be read, or holds something else.
        """
        names = {field.name for field in dataclasses.fields(cls)}
        given = {name: value for name, value in vars(args).items() if name in names}
        return cls(**{name: value for name, value in given.items() if value is not None})


@dataclasses.dataclass(frozen=True)
class Format:
    """A published model: how its files become ours and ours its own, and what its command asks for.

    name: of the command, and of the format in stored files.
    title: what the command's help calls the model.
    options: `Options`, or the class derived from it.
    add_options: adds the command's options to a parser that has --dataset already.
    metadata: parsed command line to the metadata of the training data, where --dataset does not
      name a dataset prepared here; a ValueError says what is missing or wrong.
    dataset_options: names of the options that --dataset makes pointless.
    architecture: (shapes of the file's tensors, options) to ours; a ValueError or KeyError says
      what does not fit.
    key_map: our architecture to the map between the file's tensors and our parameters.
    fit_metadata: (metadata, architecture) to the metadata with what only the tensors say; a
      ValueError says what does not fit the architecture.
    fits: whether the published code computes what our architecture does. A ValueError says what
      stands in the way of one that would fit otherwise.
    describe: our architecture to the JSON that says how to build the published model.
    own_name: key of a file to the published model's own name of the tensor.
    unused: our architecture to the tensors {key: value} that the published code has besides.
    tokenizer: our architecture to the folder or Hub id with the text encoder's tokenizer; None
      where only the user can say it.
    text_readout: how the frozen text encoder is read out that may be given beside a file without
      any; None: none may be given.
    """

    name: str
    title: str
    options: type[Options]
    add_options: Callable[[argparse.ArgumentParser], None]
    metadata: Callable[[argparse.Namespace], Metadata]
    dataset_options: tuple[str, ...]
    architecture: Callable[[Shapes, Any], DualEncoderConfig]
    key_map: Callable[[DualEncoderConfig], KeyMap]
    fit_metadata: Callable[[Metadata, DualEncoderConfig], Metadata]
    fits: Callable[[DualEncoderConfig], bool]
    describe: Callable[[DualEncoderConfig], dict[str, Any]]
    own_name: Callable[[str], str] = lambda key: key
    unused: Callable[[DualEncoderConfig], dict[str, np.ndarray]] = lambda config: {}
    tokenizer: Callable[[DualEncoderConfig], str | None] = lambda config: None
    text_readout: str | None = None


# ------------------------------------------------------------------------------- command line


def positive(text: str) -> int:
    """Type of an option that is a whole number of at least 1."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is not at least 1")
    return value


def add_motion_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options that say what `Options` holds of any motion encoder."""
    parser.add_argument("--motion_heads", type=positive, help="default: as many as are 64 wide")
    parser.add_argument("--activation", help="of the motion encoder (default: gelu)")
    parser.add_argument(
        "--motion_norm_eps", type=float, help="default: 1e-6 of timm, 1e-5 of PyTorch's layers"
    )


def check_fps(fps: float | None) -> None:
    """Raises a ValueError unless --fps is left out or a positive number."""
    if fps is not None and not fps > 0:
        raise ValueError(f"--fps={fps}; expected a positive number of frames per second")


# ------------------------------------------------------------------------- sizes from the tensors


def max_tokens(text: Any, options: Options) -> int:
    """Where texts are cut, for a text encoder's config."""
    return options.max_tokens or min(128, text.max_positions)


def below(shapes: Shapes, prefix: str) -> dict[str, Shape]:
    """The tensors whose keys start with a prefix, without it."""
    return {k.removeprefix(prefix): shape for k, shape in shapes.items() if k.startswith(prefix)}


def require(shapes: Shapes, keys: tuple[str, ...], what: str) -> None:
    """Raises a ValueError, which says that this is no `what`, unless all keys are there."""
    missing = [key for key in keys if key not in shapes]
    if missing:
        raise ValueError(
            f"this is no {what}: it has no {', '.join(missing)}, but "
            + (", ".join(list(shapes)[:3]) + ", ..." if shapes else "no tensor at all")
        )


def heads_of(width: int, heads: int | None, flag: str) -> int:
    """The number of attention heads: as given, or as many as are 64 wide.

    Raises:
      ValueError: none is given and 64 does not divide the width; `flag` is the option to give.
    """
    if heads is None and width % 64:
        raise ValueError(
            f"the tensors do not say how many attention heads there are, and the width {width} is "
            f"not a multiple of the usual 64: say {flag}"
        )
    return heads or width // 64


def count(shapes: Shapes, block: str) -> int:
    """How many layers there are: different values of the group of a regex that keys start with."""
    return len({found[1] for key in shapes if (found := re.match(block, key))})


def head_map(published: str, ours: str) -> KeyMap:
    """The projection head of Motion Patches and of Walk and Text.

    Args:
      published: regex of what its keys start with.
      ours: path that its parameters lie under, with "/" at the end.
    """
    return KeyMap(
        prefix="",
        rules=(
            *keymap.linear(r"projection", "projection"),
            *keymap.linear(r"fc", "hidden"),
            *keymap.norm(r"layer_norm", "norm"),
        ),
    ).within(published, ours)
