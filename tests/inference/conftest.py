"""Small models with random parameters, as folders to share."""

import dataclasses

import jax
import numpy as np
import pytest

from motionalign.checkpoints.run import migrate_run, stored_run
from motionalign.checkpoints.shared import Saved, write_shared
from motionalign.data.dataset import Metadata
from motionalign.data.tokenizer import Tokenizer, train_wordpiece
from motionalign.models import bert
from motionalign.models.dual_encoder import DualEncoderConfig
from motionalign.models.heads import ClassifierConfig
from motionalign.models.motion_transformer import MotionTransformerConfig
from motionalign.models.network import Network
from motionalign.models.vit import ViTConfig
from motionalign.skeleton import SKELETONS

TOKENIZER = train_wordpiece(["a person walks", "someone waves the left hand"], 60)
SMPL = Metadata(
    "mine", SKELETONS["smpl22"], 8, 20.0, 1.0, np.zeros((22, 3)), np.full((22, 3), 0.5), 60.0
)
KIT = dataclasses.replace(
    SMPL, name="other", skeleton=SKELETONS["kit21"], fps=12.5, mean=np.zeros((21, 3)),
    std=np.ones((21, 3)),
)  # fmt: skip
KINECT = dataclasses.replace(
    SMPL, name="kinect", skeleton=SKELETONS["kinect20"], source_fps=30.0, mean=np.zeros((20, 3)),
    std=np.full((20, 3), 0.5),
)  # fmt: skip
SIZES = {"width": 8, "depth": 1, "heads": 2, "mlp_width": 16}
OF_JOINTS = MotionTransformerConfig(
    joints=22, channels=3, **SIZES, norm="pre", positions="learned", frames=12, window="centre"
)
NAMES = ("walk", "sit", "run")


def write(folder, config, *, datasets=(SMPL,), distance="cosine", text_encoder=None):
    """A folder to share with random parameters of an architecture."""
    run = {
        "architecture": config.to_dict(),
        "config": {
            "dtype": "float32",
            "data": {"eval_batch_size": 4, "frame_bucket": 16, "text_bucket": 4},
        },
        "tokenizer": TOKENIZER if config.text else None,
        "distance": distance,
        "text_encoder": text_encoder,
        "datasets": {each.name: each.to_json() for each in datasets},
        "step": 3,
    }
    saved = Saved(migrate_run(stored_run(run) | {"format_version": 0}), None, None, dict)
    params = jax.jit(lambda: Network(config).init(0))()
    return write_shared(folder, saved, params, None)


@pytest.fixture(scope="session")
def write_model():
    """The function `write`."""
    return write


@pytest.fixture(scope="session")
def folders(tmp_path_factory):
    """Models by name.

    "captions", "kinect": a ViT with a BERT, for SMPL's 22 joints and Kinect's 20; "frozen",
    "classes": encoders of joints without text.
    """
    folder = tmp_path_factory.mktemp("models")
    text = bert.BertConfig(
        vocab_size=Tokenizer(TOKENIZER, 12).vocab_size, **SIZES, max_positions=12
    )
    vit = ViTConfig(**SIZES, patch_size=8, max_frames=40, padding="mask")
    captions = DualEncoderConfig(motion=vit, text=text, embed_dim=6, max_tokens=12)
    frozen = DualEncoderConfig(motion=OF_JOINTS, text=None, text_head=False, embed_dim=6)
    classes = dataclasses.replace(
        frozen, embed_dim=3, classifier=ClassifierConfig(NAMES, exclusive=True)
    )
    trained_with = {"encoder": "nowhere/encoder", "readout": "mean", "sha256": "0" * 64}
    return {
        "captions": write(folder / "captions", captions, datasets=(SMPL, KIT)),
        "kinect": write(folder / "kinect", captions, datasets=(KINECT,)),
        "frozen": write(folder / "frozen", frozen, distance="euclidean", text_encoder=trained_with),
        "classes": write(folder / "classes", classes, distance=None),
    }
