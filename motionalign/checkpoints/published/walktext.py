"""Walk and Text: the motion encoder of `Encoder_TRANSFORMER` and its `ProjectionHead`.

Publication: Chivereanu et al., "Aligning Actions and Walking to LLM-Generated Textual
Descriptions" (2024), https://arxiv.org/abs/2404.12192. Code:
https://github.com/Radu1999/WalkAndText.

The text encoder of the model is a frozen sentence encoder (UAE-Large), which its files do not
contain; it can be given separately. Files have either the model's own names (`encoder.`,
`motion_projection.`) or a dictionary {encoder, head}.
"""

import argparse
import dataclasses
from typing import Any

import numpy as np

from motionalign.checkpoints.published import joints
from motionalign.checkpoints.published.format import (
    Format,
    Shapes,
    below,
    check_fps,
    head_map,
    positive,
    require,
)
from motionalign.data.dataset import Metadata
from motionalign.models import motion_transformer
from motionalign.models.dual_encoder import DualEncoderConfig
from motionalign.models.motion_transformer import MotionTransformerConfig
from motionalign.models.weights.keymap import KeyMap

NAME, SKELETON, FPS = "walktext", "smpl22", 30.0


@dataclasses.dataclass(frozen=True)
class Options(joints.JointOptions):
    """Properties that the tensors do not state: `JointOptions`, and the frames per clip."""

    frames: int = 60


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the command."""
    joints.add_options(parser, SKELETON, f"default: {FPS:g}")
    parser.add_argument("--frames", type=positive, help="frames per clip (default: 60)")
    parser.add_argument(
        "--text_weights",
        help="folder or Hub id of the frozen text encoder, such as WhereIsAI/UAE-Large-V1; "
        "without it, the model encodes motions only",
    )


def metadata(args: argparse.Namespace) -> Metadata:
    """The metadata of the training data, from --skeleton and --fps."""
    check_fps(args.fps)
    return joints.metadata(NAME, args.skeleton or SKELETON, args.fps or FPS)


def own_name(key: str) -> str:
    """The model's own name of a tensor; some files have the prefix `head.` for the projection."""
    return f"motion_projection.{key.removeprefix('head.')}" if key.startswith("head.") else key


def architecture(shapes: Shapes, options: Options) -> DualEncoderConfig:
    """Our architecture for a file's tensors; it has no text encoder."""
    require(
        shapes,
        ("encoder.skelEmbedding.weight", "motion_projection.projection.weight"),
        "checkpoint of Walk and Text",
    )
    return DualEncoderConfig(
        motion=joints.motion_encoder(
            below(shapes, "encoder."),
            options,
            embedding="skelEmbedding.weight",
            encoder="seqTransEncoder.",
            norm="post",
            positions="sinusoidal",
            frames=options.frames,
        ),
        text=None,
        embed_dim=shapes["motion_projection.projection.weight"][0],
        head_dropout=0.1,
        text_head=False,
    )


def key_map(config: DualEncoderConfig) -> KeyMap:
    """Maps the file's tensors to our parameters, except those of the text encoder."""
    tower = motion_transformer.walktext_key_map().within(r"encoder\.", "motion_encoder/")
    rest = KeyMap("", (), fresh=("logit_scale", r"text_encoder/.*"))
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
    own_name=own_name,
    unused=unused,
    text_readout="first",
)
