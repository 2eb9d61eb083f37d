"""Walk and Text: the motion encoder of `Encoder_TRANSFORMER` and its `ProjectionHead`.

Publication: Chivereanu et al., "Aligning Actions and Walking to LLM-Generated Textual
Descriptions" (2024), https://arxiv.org/abs/2404.12192. Code:
https://github.com/Radu1999/WalkAndText.

The text encoder of the model is a frozen sentence encoder (UAE-Large), which is given separately.
Files of the code for BABEL contain a copy of it and temperatures of the loss; neither is used.
Files have either the model's own names (`encoder.`, `motion_projection.`) or a dictionary
{encoder, head}.

What the tensors do not state is as in the code, for each of its two inputs:

* DenseGait, the released code (c2e1847): heads and frames are defaults of `Encoder_TRANSFORMER`,
  width and depth in src/train/train.py. The reader, src/datasets/gait.py, takes frames spread over
  the clip, at random and in order, of which ours takes the evenly spaced ones; it subtracts the
  first joint of the first of them, in all three channels, and changes the joints in no other way:
  units and axes are those of the files it reads, which are not published. Training ends with
  triplets of raw vectors. The text encoder's readout is its first token.
* BABEL, in the history (177d767 to 2010743): the same encoder over 24 rotations and a translation.
  Depth and width are the paper's (§III-G); the code leaves them to its command line, except for the
  width 768 of the projection's input. Consecutive frames at 30 per second
  (src/datasets/amass_parser.py). The paper's best model is of triplets, as the released code is,
  so that distances are Euclidean here too by default. The history, which has no triplets, scores by
  cosines (src/utils/action_classifier.py): --distance=cosine. The text encoder's readout is the
  mean over its tokens.

The contrastive code of the history (177d767, c15c2f5) also puts `muQuery` and `sigmaQuery` before
the frames and reads the first of them. Its files have the same tensors, so that they cannot be told
from the others; that way of computing is not supported.

The frame rate of DenseGait is not published; without --fps it is taken to be that of BABEL, which
the command prints.
"""

import argparse
import dataclasses
from typing import Any

import numpy as np

from motionalign.checkpoints.published import joints
from motionalign.checkpoints.published.format import (
    Format,
    MetadataOf,
    Shapes,
    Sizes,
    below,
    head_map,
    positive,
    require,
)
from motionalign.checkpoints.published.joints import Published
from motionalign.data.augment import WINDOW_OF
from motionalign.models import motion_transformer
from motionalign.models.dual_encoder import DualEncoderConfig
from motionalign.models.motion_transformer import MotionTransformerConfig
from motionalign.models.weights.keymap import KeyMap

NAME = "walktext"

KEYS = ("encoder.skelEmbedding.weight", "motion_projection.projection.weight")

# Where nothing is published, with a line that says so: a model of 66 values per frame, the 22
# joints of BABEL's bodies, and the rate of BABEL's clips.
SKELETON, FPS = "smpl22", 30.0

HEADS = {Sizes(width=768, mlp_width=1024): 4}

PUBLISHED = (
    Published(
        name="DenseGait",
        joints=18,
        channels=3,
        heads=HEADS,
        root=0,
        window=WINDOW_OF["random"],
        skeleton="coco18",
        fps=None,
        distance="euclidean",
        text_readout="first",
    ),
    Published(
        name="BABEL",
        joints=25,
        channels=6,
        heads=HEADS,
        root=None,  # the translation is relative to the first frame already
        window=WINDOW_OF["conseq"],
        skeleton="smpl22",
        fps=30.0,
        distance="euclidean",
        text_readout="mean",
        rotations=24,
    ),
)


@dataclasses.dataclass(frozen=True)
class Options(joints.JointOptions):
    """Properties that the tensors do not state: `JointOptions`, and two more.

    Attributes:
      frames: frames per clip.
      text_readout: readout of the frozen text encoder, "first" or "mean"; None: as published.
    """

    frames: int = 60
    text_readout: str | None = None


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the command."""
    joints.add_options(parser, PUBLISHED, FPS)
    parser.add_argument(
        "--frames", type=positive, help="frames per clip (default: 60, as published)"
    )
    parser.add_argument(
        "--text_weights",
        help="folder or Hub id of the frozen text encoder, such as WhereIsAI/UAE-Large-V1; "
        "without it, the model encodes motions only",
    )
    readouts = ", ".join(f"{each.text_readout} for {each.name}" for each in PUBLISHED)
    parser.add_argument(
        "--text_readout",
        choices=("first", "mean"),
        help="what of the frozen text encoder represents a text: its first token, or the mean over "
        f"its tokens (default: as published: {readouts})",
    )


def metadata(args: argparse.Namespace) -> MetadataOf:
    """The metadata of the training data, from --skeleton and --fps or as published."""
    return joints.metadata_of(args, NAME, PUBLISHED, FPS, SKELETON)


def distance(config: DualEncoderConfig) -> str:
    """The distance of the code for the model's input."""
    return joints.nearest(config.motion.channels, PUBLISHED).distance


def text_readout(config: DualEncoderConfig, options: Options) -> str:
    """The readout of the frozen text encoder, by default that of the code for the model's input."""
    return options.text_readout or joints.nearest(config.motion.channels, PUBLISHED).text_readout


def own_name(key: str) -> str:
    """The model's own name of a tensor; some files have the prefix `head.` for the projection."""
    return f"motion_projection.{key.removeprefix('head.')}" if key.startswith("head.") else key


def architecture(shapes: Shapes, options: Options) -> DualEncoderConfig:
    """Our architecture for a file's tensors; it has no text encoder."""
    require(shapes, KEYS, "checkpoint of Walk and Text")
    return DualEncoderConfig(
        motion=joints.motion_encoder(
            below(shapes, "encoder."),
            options,
            PUBLISHED,
            embedding="skelEmbedding.weight",
            encoder="seqTransEncoder.",
            norm="post",
            positions="sinusoidal",
            frames=options.frames,
            skeleton=SKELETON,
        ),
        text=None,
        embed_dim=shapes["motion_projection.projection.weight"][0],
        head_dropout=0.1,
        text_head=False,
    )


def key_map(config: DualEncoderConfig) -> KeyMap:
    """Maps the file's tensors to our parameters, except those of the text encoder."""
    tower = motion_transformer.walktext_key_map().within(r"encoder\.", "motion_encoder/")
    rest = KeyMap(
        prefix="",
        rules=(),
        excused=(r"text_encoder\..*", r"loss\.logit_scale(?:_gen)?"),
        fresh=("logit_scale", r"text_encoder/.*"),
    )
    return tower | head_map(r"motion_projection\.", "motion_head/") | rest


def fits(config: DualEncoderConfig) -> bool:
    """Whether the published code can run an architecture.

    Raises:
      ValueError: the motion encoder is a transformer over frames with other norms or positions.
    """
    motion = config.motion
    if not isinstance(motion, MotionTransformerConfig) or config.gait_head is not None:
        return False
    if (motion.norm, motion.positions) != ("post", "sinusoidal"):
        raise ValueError(
            f"no published model has {motion.norm}-norm, {motion.positions} positions and a "
            "projection head"
        )
    return True


def unused(config: DualEncoderConfig) -> dict[str, np.ndarray]:
    """The tensors of the published code that it does not use."""
    width = config.motion.width
    buffer = motion_transformer.sinusoids(5000, width)[:, None]  # [5000, 1, D]
    queries = {f"encoder.{name}Query": np.zeros((1, width), np.float32) for name in ("mu", "sigma")}
    return queries | {"encoder.sequence_pos_encoder.pe": buffer}


def describe(config: DualEncoderConfig) -> dict[str, Any]:
    """The JSON that describes how to build the published modules."""
    model = "Encoder_TRANSFORMER (encoder.) and ProjectionHead (motion_projection.) of "
    return joints.describe(config, model + "https://github.com/Radu1999/WalkAndText")


FORMAT = Format(
    name=NAME,
    title="the motion encoder of Walk and Text and its projection head",
    options=Options,
    add_options=add_options,
    metadata=metadata,
    dataset_options=joints.DATASET_OPTIONS,
    architecture=architecture,
    key_map=key_map,
    fit_metadata=joints.fit_metadata,
    fits=fits,
    describe=describe,
    keys=KEYS,
    own_name=own_name,
    unused=unused,
    text_readout=text_readout,
    distance=distance,
)
