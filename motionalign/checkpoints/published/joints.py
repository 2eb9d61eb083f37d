"""Shared code of published models that read frames of joints: Walk and Text, and GaitFormer."""

import argparse
import dataclasses
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from motionalign.checkpoints.published.format import (
    MetadataOf,
    Options,
    Shapes,
    Sizes,
    add_distance,
    add_motion_options,
    check_fps,
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
class Published:
    """A model as it was published: what its tensors do not state.

    Attributes:
      name: what it was trained on, for messages.
      joints, channels: its input; the tensors state their product only.
      heads: attention heads by the sizes of its encoder.
      root: joint whose position in the first frame becomes the origin; None: the origin is kept.
      window: the frames of a longer clip, one of `augment.WINDOWS`.
      skeleton: name of the skeleton.
      fps: frame rate of the training data; None: it is not published.
      distance: by which motions are compared with texts, one of `format.DISTANCES`.
      text_readout: readout of the frozen text encoder.
      rotations: rotations among the rows of the input; 0: its rows are joints.
    """

    name: str
    joints: int
    channels: int
    heads: Mapping[Sizes, int]
    root: int | None
    window: str
    skeleton: str
    fps: float | None
    distance: str = "cosine"
    text_readout: str = "first"
    rotations: int = 0

    def __str__(self) -> str:
        rows = "joints, or rotations and a translation," if self.rotations else "joints"
        return f"{self.joints * self.channels} ({self.joints} {rows} of {self.channels} channels)"


@dataclasses.dataclass(frozen=True)
class JointOptions(Options):
    """Properties that the tensors of an encoder of joints do not state.

    Attributes:
      channels: channels per joint; 3D joints have 3, 6D rotations 6; None: those of the published
        model whose input has as many values per frame, else as `skeleton` says.
      root: joint whose position in the first frame becomes the origin; -1: the origin is kept;
        None: as published.
      skeleton: name of the skeleton; None: not given.
    """

    channels: int | None = None
    root: int | None = None
    skeleton: str | None = None


def add_options(
    parser: argparse.ArgumentParser,
    published: Sequence[Published],
    fps_otherwise: float | None = None,
) -> None:
    """Adds the options of an encoder of joints.

    Args:
      parser: parser of the command.
      published: the published models.
      fps_otherwise: as in `metadata_of`.
    """

    def defaults(value: Callable[[Published], Any]) -> str:
        return _defaults(published, value)

    add_motion_options(parser)
    add_distance(parser, defaults(lambda each: each.distance))
    parser.add_argument(
        "--skeleton",
        help=f"skeleton of the training data (default: {defaults(lambda each: each.skeleton)}; "
        "required for other inputs)",
    )
    rate = f"default: {fps_otherwise:g}, as for BABEL" if fps_otherwise else "required"
    parser.add_argument(
        "--fps",
        type=float,
        help=f"frame rate of the training data ({rate}: DenseGait's is not published)",
    )
    parser.add_argument(
        "--channels",
        type=positive,
        help=f"channels per joint (default: {defaults(lambda each: each.channels)}; required for "
        "other inputs; 6D rotations have 6)",
    )
    roots = defaults(lambda each: -1 if each.root is None else each.root)
    parser.add_argument(
        "--root",
        type=int,
        help="joint whose position in the first frame is the origin; -1: the origin is kept "
        f"(default: {roots})",
    )


def _defaults(published: Sequence[Published], value: Callable[[Published], Any]) -> str:
    """The values of an option in the published models, for its help."""
    found = {each.name: value(each) for each in published}
    if len(set(found.values())) == 1:
        return f"{next(iter(found.values()))}, as published"
    return "as published: " + ", ".join(f"{found[name]} for {name}" for name in found)


def published_as(
    motion: MotionTransformerConfig, published: Sequence[Published]
) -> Published | None:
    """The published model with an encoder's input, if there is one."""
    found = (each for each in published
             if (each.joints, each.channels) == (motion.joints, motion.channels))  # fmt: skip
    return next(found, None)


def nearest(channels: int, published: Sequence[Published]) -> Published:
    """The published model with this number of channels, else the released one, which is first."""
    return next((each for each in published if each.channels == channels), published[0])


def metadata_of(
    args: argparse.Namespace,
    name: str,
    published: Sequence[Published],
    fps_otherwise: float | None = None,
    skeleton_otherwise: str | None = None,
) -> MetadataOf:
    """The metadata of the training data, from --skeleton and --fps or as published.

    Args:
      args: the parsed command line.
      name: name of the data.
      published: the published models.
      fps_otherwise: frame rate where none is given or published; None: it must be given.
      skeleton_otherwise: skeleton of 3D joints that are not the input of a published model, if it
        has as many; None: it must be given.

    Raises:
      ValueError: --fps is not positive, or no skeleton has this name; the result raises one that
        names the option to give where nothing is published.
    """
    check_fps(args.fps)
    if args.skeleton:
        get_skeleton(args.skeleton)

    def metadata(config: DualEncoderConfig) -> Metadata:
        motion = config.motion
        known = published_as(motion, published)
        skeleton, fps = args.skeleton, args.fps
        if known is not None:
            skeleton, fps = skeleton or known.skeleton, fps or known.fps
        elif _has_joints(skeleton_otherwise, motion.joints * motion.channels) == motion.channels:
            skeleton = skeleton or skeleton_otherwise
        if skeleton is None:
            raise ValueError(
                f"the encoder takes {motion.joints} joints of {motion.channels} channels, which is "
                "not the input of a published model: give --skeleton, or --dataset=NAME of a "
                "prepared dataset"
            )
        fps = fps or fps_otherwise
        if fps is None:
            raise ValueError(
                "give --fps, the frame rate of the training data, which the publications do not "
                "state, or --dataset=NAME of a prepared dataset"
            )
        rotations = 0 if motion.input == Joints.field else motion.joints
        return _unchanged(name, skeleton, fps, known.rotations if known else rotations)

    return metadata


def _unchanged(name: str, skeleton: str, fps: float, rotations: int) -> Metadata:
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
        num_rotations=rotations,
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
    published: Sequence[Published],
    *,
    embedding: str,
    encoder: str,
    norm: str,
    positions: str,
    frames: int,
    skeleton: str | None = None,
) -> MotionTransformerConfig:
    """The config of a published encoder.

    Args:
      shapes: shapes of its tensors.
      options: properties that the tensors do not state.
      published: the published models, which state them by default.
      embedding: key of the matrix that embeds frames.
      encoder: key prefix of the layers' `torch.nn.TransformerEncoder`.
      norm: position of the norms, "pre" or "post".
      positions: "learned" or "sinusoidal".
      frames: number of frames per clip.
      skeleton: `skeleton_otherwise` of `metadata_of`.

    Raises:
      ValueError: the tensors belong to another model, or an option that they need is missing.
    """
    width, values = shapes[embedding]
    channels = _channels(embedding, values, published, options, skeleton)
    layer = encoder + "layers.0.linear1.weight"
    if layer not in shapes:
        raise ValueError(f"the encoder has no {layer}")
    depth = count(shapes, re.escape(encoder) + r"layers\.(\d+)\.")
    sizes = Sizes(width, shapes[layer][0])
    heads = {size: heads for each in published for size, heads in each.heads.items()}
    like = nearest(channels, published)
    root = like.root if options.root is None else options.root
    read = _inputs_of(channels, values // channels)
    return MotionTransformerConfig(
        joints=values // channels,
        channels=channels,
        width=width,
        depth=depth,
        heads=heads_of(sizes, options.motion_heads, heads, "--motion_heads"),
        mlp_width=sizes.mlp_width,
        norm=norm,
        positions=positions,
        frames=frames,
        window=like.window,
        root=None if root is None or root < 0 or not REPRESENTATIONS[read].has_root else root,
        dims=3,  # as published, of 2D joints the confidence too
        activation=options.activation,
        input=read,
        norm_eps=options.motion_norm_eps or 1e-5,
    )


def _channels(
    embedding: str,
    values: int,
    published: Sequence[Published],
    options: JointOptions,
    skeleton: str | None,
) -> int:
    """The channels per joint of an encoder whose frames have this number of values.

    They are those that are given, else those of the published model with as many values, else 2 or
    3 if that gives the skeleton's number of joints.
    """
    if channels := options.channels:
        if values % channels:
            raise ValueError(
                f"{embedding} takes {values} values per frame, which is not a multiple of "
                f"--channels={channels}"
            )
        return channels
    for each in published:
        if values == each.joints * each.channels:
            return each.channels
    if channels := _has_joints(options.skeleton or skeleton, values):
        return channels
    raise ValueError(
        f"{embedding} takes {values} values per frame; published models take "
        f"{' or '.join(map(str, published))}. Give --channels, the number of channels per joint"
    )


def _has_joints(skeleton: str | None, values: int) -> int | None:
    """The channels with which a skeleton's joints have this number of values, 2 or 3, or None."""
    if skeleton is None:
        return None
    channels, rest = divmod(values, get_skeleton(skeleton).num_joints)
    return channels if channels in (2, 3) and not rest else None


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
