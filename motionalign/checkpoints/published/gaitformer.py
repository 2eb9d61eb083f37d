"""GaitFormer: an encoder of 2D poses with an embedding, its projection and person attributes.

Publication: Cosma and Radoi, "Learning Gait Representations with Noisy Multi-Task Learning",
Sensors 22(18), 2022. Code: https://github.com/cosmaadrian/gaitformer (c737b4c).

What the tensors do not state is as in the code: heads and sizes in configs/model_sizes/, and the
order of the attributes in configs/base_config.yaml, which puts clothing before apparent actions;
configs/experiments/ have parts of them. The readers normalise nothing and keep the origin: they
change the sign of y, as `data_prep densegait` does, and nothing else, so that clips are in the unit
of DenseGait's files with y up. Evaluation looks at the middle of a longer clip
(`DeterministicCrop`). A clip shorter than the model's frames is repeated there; ours repeats its
last frame.
"""

import argparse
import dataclasses
from typing import Any, Self

from motionalign import reading
from motionalign.checkpoints.published import joints
from motionalign.checkpoints.published.format import (
    Format,
    MetadataOf,
    Shapes,
    Sizes,
    require,
)
from motionalign.checkpoints.published.joints import Published
from motionalign.data.augment import WINDOW_OF
from motionalign.data.densegait import ATTRIBUTES
from motionalign.models import motion_transformer
from motionalign.models.dual_encoder import DualEncoderConfig
from motionalign.models.heads import GaitHeadConfig, unnamed
from motionalign.models.weights.keymap import KeyMap

NAME = "gaitformer"

KEYS = ("skeleton_encoding.weight", "positional_embedding", "out_embedding.weight")

PUBLISHED = (
    Published(
        name="DenseGait",
        joints=18,
        channels=3,
        # sm, md, xl of configs/model_sizes/
        heads={Sizes(width=256, mlp_width=512): 8},  # of 4, 8 or 12 layers
        root=None,
        window=WINDOW_OF["conseq"],
        skeleton="coco18",
        fps=None,
    ),
)

GROUPS = (
    # The groups of attributes of configs/base_config.yaml and of configs/experiments/, in order.
    (
        *("gender", "body", "viewpoint", "age-group", "accessory", "footware", "clothing"),
        "apparent-action",
    ),
    ("gender", "body", "viewpoint", "age-group"),
    ("accessory", "footware", "clothing"),
)


@dataclasses.dataclass(frozen=True)
class Options(joints.JointOptions):
    """Properties that the tensors do not state: `JointOptions`, and the names of the attributes.

    Attributes:
      attributes: names of the attributes; None: those of the published config with their number,
        else attribute_0, attribute_1, ...
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
    joints.add_options(parser, PUBLISHED)
    numbers = ", ".join(str(len(_names(groups))) for groups in GROUPS)
    parser.add_argument(
        "--attributes",
        help="JSON file with a list of the attributes' names (default: those of the published "
        f"config with their number, {numbers}; else attribute_0, attribute_1, ...)",
    )


def metadata(args: argparse.Namespace) -> MetadataOf:
    """The metadata of the training data, from --skeleton and --fps or as published."""
    return joints.metadata_of(args, NAME, PUBLISHED)


def _names(groups: tuple[str, ...]) -> tuple[str, ...]:
    """The attributes of groups, in the words of `data_prep densegait`."""
    return tuple(words for group in groups for words in ATTRIBUTES[group].values())


def _attributes(count: int) -> tuple[str, ...]:
    """The names of so many attributes; no two published configs have the same number."""
    for groups in GROUPS:
        if len(names := _names(groups)) == count:
            return names
    return unnamed(count)


def architecture(shapes: Shapes, options: Options) -> DualEncoderConfig:
    """Our architecture for a file's tensors; it has no text encoder."""
    require(shapes, KEYS, "checkpoint of GaitFormer")
    motion = joints.motion_encoder(
        shapes,
        options,
        PUBLISHED,
        embedding="skeleton_encoding.weight",
        encoder="encoder.",
        norm="pre",
        positions="learned",
        frames=shapes["positional_embedding"][1],
    )
    count = shapes["out_appearance.weight"][0]
    names = options.attributes or _attributes(count)
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
    keys=KEYS,
)
