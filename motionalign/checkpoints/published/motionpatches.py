"""Motion Patches: `ClipModel`, timm's ViT and Hugging Face's text encoder, each with a head.

Publication: Yu, Tanaka and Fujiwara, "Exploring Vision Transformers for 3D Human Motion-Language
Models with Motion Patches" (CVPR 2024), https://arxiv.org/abs/2405.04771. Code:
https://github.com/line/MotionPatches.

The published checkpoints have a DistilBERT. The published code accepts any text encoder of Hugging
Face; the table `TEXT_ENCODERS` lists those that are supported here.
"""

import argparse
import dataclasses
import pathlib
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Self

import numpy as np

from motionalign import reading
from motionalign.checkpoints.published import format as published
from motionalign.checkpoints.published.format import (
    Format,
    Shapes,
    Sizes,
    add_distance,
    add_motion_options,
    below,
    check_fps,
    count,
    head_map,
    heads_of,
    max_tokens,
    positive,
    require,
)
from motionalign.conventions import Origin
from motionalign.data.dataset import Metadata
from motionalign.models import bert, distilbert, mpnet, vit, vit_weights
from motionalign.models.dual_encoder import DualEncoderConfig
from motionalign.models.families import TEXT_FAMILIES
from motionalign.models.vit import ViTConfig
from motionalign.models.weights import keymap
from motionalign.models.weights.keymap import KeyMap
from motionalign.models.weights.source import read_json
from motionalign.skeleton import SKELETONS, get_skeleton

# ------------------------------------------------------------------------------- command line


@dataclasses.dataclass(frozen=True)
class Options(published.Options):
    """Properties that the tensors do not state: `published.Options`, and the text encoder's.

    Attributes:
      text_heads: number of attention heads; None: those of the published text encoder, which has
        to have the sizes of the file's tensors.
      text_activation: activation function.
      text_norm_eps: epsilon of the norms; None: that of the family's published model.
      text_config: content of the text encoder's config.json, which states all of these; None: they
        follow from the tensors and the options.
    """

    text_heads: int | None = None
    text_activation: str = "gelu"
    text_norm_eps: float | None = None
    text_config: Mapping[str, Any] | None = None

    @classmethod
    def from_args(cls, args: argparse.Namespace) -> Self:
        """As in `published.Options`; --text_config is a JSON file."""
        options = super().from_args(args)
        if args.text_config is None:
            return options
        return dataclasses.replace(options, text_config=read_json(pathlib.Path(args.text_config)))


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the command."""
    add_motion_options(parser)
    add_distance(parser, "cosine, as published")
    parser.add_argument("--mean", help="Mean_raw.npy [joints, 3] of the published code")
    parser.add_argument("--std", help="Std_raw.npy [joints, 3] of the published code")
    parser.add_argument(
        "--skeleton", help="default: the skeleton with the number of joints of --mean"
    )
    parser.add_argument(
        "--fps", type=float, help="frame rate of raw clips (default: that of the dataset)"
    )
    parser.add_argument(
        "--text_heads",
        type=positive,
        help="heads of the text encoder, which the tensors do not state; required unless their "
        "sizes are those of a published one, or --text_config states them",
    )
    parser.add_argument("--text_activation", help="of the text encoder (default: gelu)")
    parser.add_argument(
        "--text_norm_eps",
        type=float,
        help="epsilon of the text encoder's norms (default: that of the published model)",
    )
    parser.add_argument(
        "--text_config", help="config.json of the text encoder, instead of the --text_... options"
    )
    parser.add_argument(
        "--tokenizer",
        help="folder or Hub id with the tokenizer (default: that of the published text "
        "encoder of the family, such as distilbert/distilbert-base-uncased)",
    )
    parser.add_argument(
        "--max_tokens", type=positive, help="maximum number of tokens per text (default: 128)"
    )


def metadata(args: argparse.Namespace) -> Metadata:
    """The metadata of HumanML3D or KIT-ML, selected by the number of joints in the statistics.

    Raises:
      ValueError: the statistics are missing, cannot be read or fit no skeleton.
    """
    check_fps(args.fps)
    if not (args.mean and args.std):
        raise ValueError(
            "the statistics of the training data are missing: give --mean=Mean_raw.npy "
            "--std=Std_raw.npy (written by the published code's scripts/cal_mean_var.py), or "
            "--dataset=NAME of a prepared dataset"
        )
    mean, std = _statistic(args.mean), _statistic(args.std)
    if mean.shape != std.shape:
        raise ValueError(
            f"{args.mean} has shape {mean.shape}, but {args.std} has shape {std.shape}"
        )
    fitting = [s for s in SKELETONS.values() if s.num_joints == len(mean) and s.name != "coco18"]
    if args.skeleton:
        fitting = [get_skeleton(args.skeleton)]
    if not fitting or fitting[0].num_joints != len(mean):
        known = ", ".join(f"{s.name} has {s.num_joints}" for s in SKELETONS.values())
        raise ValueError(f"{args.mean} has {len(mean)} joints; {known}")
    skeleton = fitting[0]
    kit = skeleton.name == "kit21"
    return Metadata(
        name="kit_ml" if kit else "humanml3d",
        skeleton=skeleton,
        patch_size=None,  # follows from the tensors
        fps=20.0,
        unit_in_metres=None if kit else 1.0,
        mean=mean,
        std=std,
        source_fps=args.fps or (12.5 if kit else 20.0),
        # HumanML3D's published clips follow it. KIT-ML's are made by the same code, with other
        # joints as left and right; without its files this was not verified.
        origin=None if kit else Origin(),
    )


def _statistic(path: str) -> np.ndarray:
    """Mean or standard deviation [J, 3] of an .npy file."""
    value = reading.read_array(path)
    numeric = value.dtype.kind in "fiu"
    if not numeric or value.ndim != 2 or value.shape[1] != 3 or not np.isfinite(value).all():
        raise ValueError(
            f"{path} is {value.dtype} {list(value.shape)}; expected finite values [joints, 3]"
        )
    return value.astype(np.float64)


# ------------------------------------------------------------------------------- text encoders


class TextEncoder(NamedTuple):
    """A family of text encoders, by Hugging Face's tensor names, and its published model.

    Attributes:
      sign: key of the tensor that identifies the family.
      layers: prefix of a layer's keys, before its number.
      mlp: key of the first matrix of the MLP, within a layer.
      heads: attention heads of the family's published models, by their sizes.
      norm_eps: epsilon of the norms in the published model.
      config_to_hf: function from our config to config.json.
      tokenizer: Hub id of the published model.
      sign_rows: minimum number of rows of `sign`.
      unused_positions: number of rows of the position table that no token uses.
      tables: (field of our config, key of the tensor whose rows it counts).
    """

    sign: str
    layers: str
    mlp: str
    heads: Mapping[Sizes, int]
    norm_eps: float
    config_to_hf: Callable[[Any], dict[str, Any]]
    tokenizer: str
    sign_rows: int = 1
    unused_positions: int = 0
    tables: tuple[tuple[str, str], ...] = ()

    def is_of(self, shapes: Shapes) -> bool:
        """Whether these tensors belong to this family."""
        rows, *_ = shapes.get(self.sign) or (0,)
        return rows >= self.sign_rows


_WORDS = "embeddings.word_embeddings.weight"
_POSITIONS = "embeddings.position_embeddings.weight"
_TYPES = "embeddings.token_type_embeddings.weight"

TEXT_ENCODERS = {
    "distilbert": TextEncoder(
        sign="transformer.layer.0.attention.q_lin.weight",
        layers="transformer.layer.",
        mlp="ffn.lin1.weight",
        heads={Sizes(768, 3072): 12},
        norm_eps=1e-12,
        config_to_hf=distilbert.config_to_hf,
        tokenizer="distilbert/distilbert-base-uncased",
    ),
    "bert": TextEncoder(
        sign=_TYPES,
        sign_rows=2,  # RoBERTa has the same names, but one row here, and positions start at 2
        layers="encoder.layer.",
        mlp="intermediate.dense.weight",
        # BERT base and large; MiniLM, whose heads are half as wide.
        heads={
            Sizes(768, 3072): 12,
            Sizes(1024, 4096): 16,
            Sizes(384, 1536): 12,
        },
        norm_eps=1e-12,
        config_to_hf=bert.config_to_hf,
        tokenizer="google-bert/bert-base-uncased",
        tables=(("type_vocab_size", _TYPES),),
    ),
    "mpnet": TextEncoder(
        sign="encoder.relative_attention_bias.weight",
        layers="encoder.layer.",
        mlp="intermediate.dense.weight",
        heads={Sizes(768, 3072): 12},
        norm_eps=1e-5,
        config_to_hf=mpnet.config_to_hf,
        tokenizer="sentence-transformers/all-mpnet-base-v2",
        unused_positions=mpnet.PADDING_ROW + 1,
    ),
}


def _text_config(shapes: Shapes, options: Options) -> Any:
    """The text encoder's config: from config.json if it is given, else from the tensors."""
    known = f"known: {', '.join(TEXT_ENCODERS)}"
    if _WORDS not in shapes:
        raise ValueError(f"the text encoder's family is not known: no {_WORDS}; {known}")
    family = next((name for name, kind in TEXT_ENCODERS.items() if kind.is_of(shapes)), None)
    if family is None:
        raise ValueError(
            "the text encoder's family is not known: its tensors are "
            f"{', '.join(list(shapes)[:4])}, ...; {known}"
        )
    if options.text_config is not None:
        return TEXT_FAMILIES[family].config_from_hf(options.text_config, readout="first")
    kind = TEXT_ENCODERS[family]
    vocab_size, width = shapes[_WORDS]
    depth = count(shapes, re.escape(kind.layers) + r"(\d+)\.")
    mlp_width = shapes[f"{kind.layers}0.{kind.mlp}"][0]
    sizes = Sizes(width, mlp_width)
    return TEXT_FAMILIES[family].config(
        vocab_size=vocab_size,
        width=width,
        depth=depth,
        heads=heads_of(sizes, options.text_heads, kind.heads, "--text_heads or --text_config"),
        mlp_width=mlp_width,
        max_positions=shapes[_POSITIONS][0] - kind.unused_positions,
        norm_eps=options.text_norm_eps or kind.norm_eps,
        activation=options.text_activation,
        readout="first",
        **{field: shapes[key][0] for field, key in kind.tables},
    )


def tokenizer(config: DualEncoderConfig) -> str:
    """Hub id of the family's published text encoder, whose tokenizer the published code uses."""
    return TEXT_ENCODERS[config.text_family].tokenizer


# ------------------------------------------------------------------------------- both towers


KEYS = ("motion_encoder.model.pos_embed", "motion_projection.projection.weight", "logit_scale")


def architecture(shapes: Shapes, options: Options) -> DualEncoderConfig:
    """Our architecture for a file's tensors."""
    require(shapes, KEYS, "checkpoint of Motion Patches")
    tower = below(shapes, "motion_encoder.model.")
    config = vit_weights.timm_config(
        tower,
        heads=_motion_heads(tower, options),
        norm_eps=options.motion_norm_eps or 1e-6,
        activation=options.activation,
        pool="mean" if "fc_norm.weight" in tower else "class",
    )
    tokens, parts = tower["pos_embed"][1] - 1, config.parts
    if tokens % parts:
        raise ValueError(
            f"motion_encoder.model.pos_embed has {tokens} positions besides the class token's; "
            f"expected a multiple of {parts}, the number of body parts"
        )
    text = _text_config(below(shapes, "text_encoder.text_model."), options)
    return DualEncoderConfig(
        motion=dataclasses.replace(config, max_frames=tokens // parts * config.patch_size),
        text=text,
        embed_dim=shapes["motion_projection.projection.weight"][0],
        max_tokens=max_tokens(text, options),
    )


# timm's ViTs of these sizes have heads of width 64; the released model is ViT-B. Wider ones have
# others (ViT-H: 80), so that the width alone does not tell.
VIT_HEADS = {Sizes(each["width"], each["mlp_width"]): each["heads"] for each in vit.SIZES.values()}


def _motion_heads(tower: Shapes, options: Options) -> int:
    """The number of attention heads of the ViT with these tensors."""
    layer = "blocks.0.mlp.fc1.weight"
    require(tower, (layer, "patch_embed.proj.weight"), "ViT of timm")
    width = tower["patch_embed.proj.weight"][0]
    sizes = Sizes(width, tower[layer][0])
    return heads_of(sizes, options.motion_heads, VIT_HEADS, "--motion_heads")


def key_map(config: DualEncoderConfig) -> KeyMap:
    """Maps the file's tensors to our parameters."""
    tower = vit_weights.timm_key_map(config.motion, config.motion.grid)
    if config.motion.pool == "class":
        rules = tower.rules + keymap.norm("norm", "final_norm")
        tower = dataclasses.replace(tower, rules=rules)
    text = TEXT_FAMILIES[config.text_family].key_map()
    return (
        tower.within(r"motion_encoder\.model\.", "motion_encoder/")
        | text.within(r"text_encoder\.text_model\.", "text_encoder/")
        | head_map(r"motion_projection\.", "motion_head/")
        | head_map(r"text_projection\.", "text_head/")
        | KeyMap("", (("logit_scale", "logit_scale", keymap.SAME),))
    )


def fit_metadata(metadata: Metadata, config: DualEncoderConfig) -> Metadata:
    """The metadata with the patch size of the ViT.

    Raises:
      ValueError: the metadata of a prepared dataset has another patch size.
    """
    patch_size = config.motion.patch_size
    if metadata.patch_size not in (None, patch_size):
        raise ValueError(
            f"the ViT has patch size {patch_size}, but dataset {metadata.name!r} was prepared "
            f"with --patch_size={metadata.patch_size}"
        )
    return dataclasses.replace(metadata, patch_size=patch_size)


def fits(config: DualEncoderConfig) -> bool:
    """Whether the published code can run an architecture.

    Raises:
      ValueError: it could, except for the padding of clips.
    """
    text = config.text and config.text_family
    if not isinstance(config.motion, ViTConfig) or config.gait_head is not None:
        return False
    if text not in TEXT_ENCODERS or not config.text_head:
        return False
    if config.motion.padding != "attend":
        raise ValueError(
            "this model cannot be exported: it was trained with padding='mask', but the published "
            "code attends to the padding of a clip and would give other embeddings"
        )
    return True


def describe(config: DualEncoderConfig) -> dict[str, Any]:
    """The JSON that describes how to build the published model."""
    motion = config.motion
    rows, parts = motion.grid
    return {
        "model": "ClipModel of https://github.com/line/MotionPatches",
        "motion_encoder": {  # arguments of timm's VisionTransformer
            "img_size": [rows * motion.patch_size, parts * motion.patch_size],
            "patch_size": motion.patch_size,
            "embed_dim": motion.width,
            "depth": motion.depth,
            "num_heads": motion.heads,
            "mlp_ratio": motion.mlp_width / motion.width,
            "global_pool": "avg" if motion.pool == "mean" else "token",
            "num_classes": 0,
        },
        "motion_norm_eps": motion.norm_eps,
        "motion_activation": motion.activation,
        "text_encoder": TEXT_ENCODERS[config.text_family].config_to_hf(config.text),
        "text_readout": config.text.readout,
        "projection_dims": config.embed_dim,
        "dropout": config.head_dropout,
    }


FORMAT = Format(
    name="motionpatches",
    title="Motion Patches (timm ViT, Hugging Face text encoder, two heads)",
    options=Options,
    add_options=add_options,
    metadata=metadata,
    dataset_options=("mean", "std", "skeleton", "fps"),
    architecture=architecture,
    key_map=key_map,
    fit_metadata=fit_metadata,
    fits=fits,
    describe=describe,
    keys=KEYS,
    tokenizer=tokenizer,
)
