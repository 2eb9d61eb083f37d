"""GaitFormer: an encoder of 2D poses with an embedding, its projection and person attributes.

Publication: Cosma and Radoi, "Learning Gait Representations with Noisy Multi-Task Learning",
Sensors 22(18), 2022. Code: https://github.com/cosmaadrian/gaitformer.
"""

import argparse
import dataclasses
from typing import Any, Self

from motionalign import reading
from motionalign.checkpoints.published import joints
from motionalign.checkpoints.published.format import Format, Shapes, check_fps, require
from motionalign.data.dataset import Metadata
from motionalign.models import motion_transformer
from motionalign.models.dual_encoder import DualEncoderConfig
from motionalign.models.heads import GaitHeadConfig
from motionalign.models.weights.keymap import KeyMap

NAME, SKELETON = "gaitformer", "coco18"


@dataclasses.dataclass(frozen=True)
class Options(joints.JointOptions):
    """Properties that the tensors do not state: `JointOptions`, and the names of the attributes.

    Attributes:
      attributes: names of the attributes; None: attribute_0, attribute_1, ...
    """

    attributes: tuple[str, ...] | None = None

    @classmethod
    def from_args(cls, args: argparse.Namespace) -> Self:
        """As in `JointOptions`; --attributes is a JSON file."""
        options = super().from_args(args)
        if args.attributes is None:
            return options
        names = reading.read_json(args.attributes)
        if not (isinstance(names, list) and all(isinstance(name, str) for name in names)):
            raise ValueError(f"--attributes={args.attributes}: expected a JSON list of names")
        return dataclasses.replace(options, attributes=tuple(names))


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the command."""
    joints.add_options(parser, SKELETON, "required: the publications do not state it")
    parser.add_argument("--attributes", help="JSON file with a list of the attributes' names")


def metadata(args: argparse.Namespace) -> Metadata:
    """The metadata of the training data, from --skeleton and --fps.

    Raises:
      ValueError: --fps is missing or not positive, or no skeleton has this name.
    """
    check_fps(args.fps)
    if args.fps is None:
        raise ValueError(
            "give --fps, the frame rate of the training data, which the publications do not "
            "state, or --dataset=NAME of a prepared dataset"
        )
    return joints.metadata(NAME, args.skeleton or SKELETON, args.fps)


def architecture(shapes: Shapes, options: Options) -> DualEncoderConfig:
    """Our architecture for a file's tensors; it has no text encoder."""
    require(
        shapes,
        ("skeleton_encoding.weight", "positional_embedding", "out_embedding.weight"),
        "checkpoint of GaitFormer",
    )
    motion = joints.motion_encoder(
        shapes,
        options,
        embedding="skeleton_encoding.weight",
        encoder="encoder.",
        norm="pre",
        positions="learned",
        frames=shapes["positional_embedding"][1],
    )
    count = shapes["out_appearance.weight"][0]
    names = options.attributes or tuple(f"attribute_{i}" for i in range(count))
    if len(names) != count:
        raise ValueError(f"{len(names)} attribute names are given; the checkpoint has {count}")
    return DualEncoderConfig(
        motion=motion,
        text=None,
        embed_dim=shapes["out_embedding.weight"][0],
        text_head=False,
        gait_head=GaitHeadConfig(shapes["projection.weight"][0], names),
    )


def key_map(config: DualEncoderConfig) -> KeyMap:
    """Maps the file's tensors to our parameters."""
    return (
        motion_transformer.gaitformer_key_map().within("", "motion_encoder/")
        | motion_transformer.gait_head_key_map().within("", "motion_head/")
        | KeyMap("", (), fresh=("logit_scale",))
    )


def fits(config: DualEncoderConfig) -> bool:
    """Whether the published code can run an architecture; only GaitFormer has a gait head."""
    return config.gait_head is not None


def describe(config: DualEncoderConfig) -> dict[str, Any]:
    """The JSON that describes how to build the published model."""
    assert config.gait_head is not None  # checked by `fits`
    model = "GaitFormer of https://github.com/cosmaadrian/gaitformer"
    return joints.describe(config, model) | {
        "projection_size": config.gait_head.projection_dim,
        "attributes": list(config.gait_head.attributes),
    }


FORMAT = Format(
    name=NAME,
    title="GaitFormer",
    options=Options,
    add_options=add_options,
    metadata=metadata,
    dataset_options=joints.DATASET_OPTIONS,
    architecture=architecture,
    key_map=key_map,
    fit_metadata=joints.fit_metadata,
    fits=fits,
    describe=describe,
)
