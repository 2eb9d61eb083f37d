"""A tiny dual encoder, a batch for it, and a training step on one device."""

import jax
import numpy as np
import optax
from runs import tiny_config

from motionalign import sharding, step
from motionalign.models import bert
from motionalign.models.dual_encoder import DualEncoderConfig
from motionalign.models.vit import ViTConfig
from motionalign.tasks.objectives import OBJECTIVES

MOTION = ViTConfig(width=8, depth=1, heads=2, mlp_width=8, patch_size=8, max_frames=16)
TEXT = bert.BertConfig(
    vocab_size=30, width=8, depth=1, heads=2, mlp_width=8, max_positions=6, dropout=0.0
)
CONFIG = DualEncoderConfig(motion=MOTION, text=TEXT, embed_dim=4, max_tokens=6, head_dropout=0.0)


def batch(size=4):
    """A batch of `size` pairs for `CONFIG`."""
    rng = np.random.default_rng(0)
    return {
        "patches": rng.normal(size=(size, 16, 40, 3)).astype(np.float16),
        "num_frames": np.full(size, 16, np.int32),
        "input_ids": rng.integers(0, 30, (size, 6)).astype(np.int32),
        "text_mask": np.ones((size, 6), bool),
    }


def begin(network, optimizer=None):
    """(state, train step) of a contrastive run."""
    config = tiny_config("no data is read")
    mesh = sharding.mesh_of(jax.devices()[:1], 1, 1)
    optimizer = optimizer or optax.sgd(0.1)
    objective = OBJECTIVES["contrastive"](config.loss, has_classes=False)
    shapes = step.abstract_state(network, optimizer, mesh)
    state = step.init_state(network, optimizer, config, shapes, trained=None)
    return state, step.make_train_step(network, objective, optimizer, config, mesh, shapes)


def abstract(network, optimizer=None):
    """The shapes of `begin`'s state."""
    mesh = sharding.mesh_of(jax.devices()[:1], 1, 1)
    return step.abstract_state(network, optimizer or optax.sgd(0.1), mesh)
