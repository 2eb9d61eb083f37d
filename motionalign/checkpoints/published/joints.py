"""What published models that read joints share, frame by frame: Walk and Text, and GaitFormer."""

import argparse
import dataclasses
import re
from typing import Any, Self

import numpy as np

from motionalign.checkpoints.published.format import (
    Options,
    Shapes,
    add_motion_options,
    count,
    heads_of,
    positive,
)
from motionalign.data.dataset import Metadata
from motionalign.data.representation import Joints, Rotations
from motionalign.models.dual_encoder import DualEncoderConfig
from motionalign.models.motion_transformer import MotionTransformerConfig
from motionalign.skeleton import get_skeleton

DATASET_OPTIONS = ("skeleton", "fps")


@dataclasses.dataclass(frozen=True)
class JointOptions(Options):
    """What the tensors of an encoder of joints leave unsaid.

    channels: of a joint; 3D joints have 3, 6D rotations 6.
    root: the joint whose place in the first frame is the origin; None: none is.
    """

    channels: int = 3
    root: int | None = 0

    @classmethod
    def from_args(cls, args: argparse.Namespace) -> Self:
        """As for `Options`; --root=-1 means None."""
        options = super().from_args(args)
        no_root = options.root is not None and options.root < 0
        return dataclasses.replace(options, root=None) if no_root else options


def add_options(parser: argparse.ArgumentParser, skeleton: str, fps: str) -> None:
    """Adds the options of an encoder of joints.

    Args:
      parser: of the command.
      skeleton: name of the one that is taken by default.
      fps: what --fps is by default, in words.
    """
    add_motion_options(parser)
    parser.add_argument("--skeleton", help=f"default: {skeleton}")
    parser.add_argument("--fps", type=float, help=f"of the training data ({fps})")
    parser.add_argument(
        "--channels", type=positive, help="of a joint (default: 3; 6D rotations: 6)"
    )
    parser.add_argument(
        "--root", type=int, help="joint whose first place is the origin; -1: none (default: 0)"
    )


def metadata(name: str, skeleton: str, fps: float) -> Metadata:
    """The metadata of training data that is read as it is: no statistics, no resampling."""
    described = get_skeleton(skeleton)
    zeros = np.zeros((described.num_joints, 3))
    return Metadata(
        name=name,
        skeleton=described,
        patch_size=16,
        fps=fps,
        unit_in_metres=None if described.name == "coco18" else 1.0,
        mean=zeros,
        std=zeros + 1,
        source_fps=fps,
    )


def fit_metadata(metadata: Metadata, config: DualEncoderConfig) -> Metadata:
    """The metadata as they are.

    Raises:
      ValueError: the skeleton has another number of joints than the encoder takes.
    """
    motion = config.motion
    rotations = motion.input == Rotations.field  # of which a skeleton may have any number
    if not rotations and metadata.skeleton.num_joints != motion.joints:
        raise ValueError(
            f"the encoder takes {motion.joints} joints; skeleton {metadata.skeleton.name!r} "
            f"has {metadata.skeleton.num_joints}: name the right one with --skeleton"
        )
    return metadata


def _inputs_of(channels: int) -> str:
    """What has so many channels."""
    return Rotations.field if channels == Rotations.channels_of_one else Joints.field


def motion_encoder(
    shapes: Shapes,
    options: JointOptions,
    *,
    embedding: str,
    encoder: str,
    norm: str,
    positions: str,
    frames: int,
) -> MotionTransformerConfig:
    """The config of a published encoder.

    Args:
      shapes: of its tensors.
      options: what they do not say.
      embedding: key of the matrix that frames are embedded by.
      encoder: what the keys of the layers' `torch.nn.TransformerEncoder` start with.
      norm: where the norms stand, "pre" or "post".
      positions: "learned" or "sinusoidal".
      frames: of a clip.

    Raises:
      ValueError: the tensors are those of another model.
    """
    width, inputs = shapes[embedding]
    if inputs % options.channels:
        raise ValueError(
            f"{embedding} takes {inputs} numbers a frame, which is no multiple of --channels="
            f"{options.channels}"
        )
    layer = encoder + "layers.0.linear1.weight"
    if layer not in shapes:
        raise ValueError(f"the encoder has no {layer}")
    return MotionTransformerConfig(
        joints=inputs // options.channels,
        channels=options.channels,
        width=width,
        depth=count(shapes, re.escape(encoder) + r"layers\.(\d+)\."),
        heads=heads_of(width, options.motion_heads, "--motion_heads"),
        mlp_width=shapes[layer][0],
        norm=norm,
        positions=positions,
        frames=frames,
        root=options.root,
        activation=options.activation,
        input=_inputs_of(options.channels),
        norm_eps=options.motion_norm_eps or 1e-5,
    )


def describe(config: DualEncoderConfig, model: str) -> dict[str, Any]:
    """The JSON that says how to build a published encoder and its head, which `model` names."""
    motion = config.motion
    return {
        "model": model,
        "num_joints": motion.joints,
        "num_features": motion.channels,
        "num_frames": motion.frames,
        "latent_dim": motion.width,
        "num_layers": motion.depth,
        "num_heads": motion.heads,
        "ff_size": motion.mlp_width,
        "dropout": motion.dropout,
        "activation": motion.activation,
        "layer_norm_eps": motion.norm_eps,
        "readout": motion.readout,
        "root": motion.root,
        "projection_dim": config.embed_dim,
    }
