"""Shared code of published models that read frames of joints: Walk and Text, and GaitFormer."""

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
from motionalign.data.representation import (
    REPRESENTATIONS,
    Joints,
    Rotations,
    RotationsTranslation,
)
from motionalign.models.dual_encoder import DualEncoderConfig
from motionalign.models.motion_transformer import MotionTransformerConfig
from motionalign.skeleton import get_skeleton

DATASET_OPTIONS = ("skeleton", "fps")


@dataclasses.dataclass(frozen=True)
class JointOptions(Options):
    """Properties that the tensors of an encoder of joints do not state.

    Attributes:
      channels: channels per joint; 3D joints have 3, 6D rotations 6.
      root: joint whose position in the first frame becomes the origin; None: the origin is kept.
    """

    channels: int = 3
    root: int | None = 0

    @classmethod
    def from_args(cls, args: argparse.Namespace) -> Self:
        """As in `Options`; --root=-1 means None."""
        options = super().from_args(args)
        no_root = options.root is not None and options.root < 0
        return dataclasses.replace(options, root=None) if no_root else options


def add_options(parser: argparse.ArgumentParser, skeleton: str, fps: str) -> None:
    """Adds the options of an encoder of joints.

    Args:
      parser: parser of the command.
      skeleton: name of the default skeleton.
      fps: description of the default of --fps.
    """
    add_motion_options(parser)
    parser.add_argument("--skeleton", help=f"default: {skeleton}")
    parser.add_argument("--fps", type=float, help=f"frame rate of the training data ({fps})")
    parser.add_argument(
        "--channels", type=positive, help="channels per joint (default: 3; 6D rotations: 6)"
    )
    parser.add_argument(
        "--root",
        type=int,
        help="joint whose position in the first frame is the origin; -1: none (default: 0)",
    )


def metadata(name: str, skeleton: str, fps: float) -> Metadata:
    """The metadata of training data that is read unchanged: no statistics, no resampling."""
    described = get_skeleton(skeleton)
    zeros = np.zeros((described.num_joints, 3))
    return Metadata(
        name=name,
        skeleton=described,
        patch_size=16,
        fps=fps,
        unit_in_metres=None if described.name == "coco18" else 1.0,
        accepted=("axis_implausible",),  # the published code accepts any axis
        mean=zeros,
        std=zeros + 1,
        source_fps=fps,
    )


def fit_metadata(metadata: Metadata, config: DualEncoderConfig) -> Metadata:
    """Returns the metadata unchanged, after a check.

    Raises:
      ValueError: the skeleton's number of joints differs from the encoder's.
    """
    motion = config.motion
    # A skeleton may have any number of rotations.
    positions = REPRESENTATIONS[motion.input].of_positions
    if positions and metadata.skeleton.num_joints != motion.joints:
        raise ValueError(
            f"the encoder takes {motion.joints} joints, but skeleton {metadata.skeleton.name!r} "
            f"has {metadata.skeleton.num_joints}: give the matching one with --skeleton"
        )
    return metadata


def _inputs_of(channels: int, rows: int) -> str:
    """The input with this number of channels, and of joints, rotations or other rows."""
    if channels == Rotations.channels_of_one:
        return (RotationsTranslation if rows == RotationsTranslation.rows else Rotations).field
    return Joints.field


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
      shapes: shapes of its tensors.
      options: properties that the tensors do not state.
      embedding: key of the matrix that embeds frames.
      encoder: key prefix of the layers' `torch.nn.TransformerEncoder`.
      norm: position of the norms, "pre" or "post".
      positions: "learned" or "sinusoidal".
      frames: number of frames per clip.

    Raises:
      ValueError: the tensors belong to another model.
    """
    width, inputs = shapes[embedding]
    if inputs % options.channels:
        raise ValueError(
            f"{embedding} takes {inputs} values per frame, which is not a multiple of --channels="
            f"{options.channels}"
        )
    layer = encoder + "layers.0.linear1.weight"
    if layer not in shapes:
        raise ValueError(f"the encoder has no {layer}")
    rows = inputs // options.channels
    read = _inputs_of(options.channels, rows)
    return MotionTransformerConfig(
        joints=rows,
        channels=options.channels,
        width=width,
        depth=count(shapes, re.escape(encoder) + r"layers\.(\d+)\."),
        heads=heads_of(width, options.motion_heads, "--motion_heads"),
        mlp_width=shapes[layer][0],
        norm=norm,
        positions=positions,
        frames=frames,
        root=options.root if REPRESENTATIONS[read].has_root else None,
        activation=options.activation,
        input=read,
        norm_eps=options.motion_norm_eps or 1e-5,
    )


def describe(config: DualEncoderConfig, model: str) -> dict[str, Any]:
    """The JSON that describes how to build a published encoder and its head, named by `model`."""
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
