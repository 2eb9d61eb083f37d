"""A motion encoder with a field of its own: the mean of linearly embedded frames."""

import dataclasses

import jax.numpy as jnp
from flax import nnx

from motionalign.config import Entry, Field
from motionalign.data.representation import REPRESENTATIONS
from motionalign.models import layers
from motionalign.models.family import FRAMES_ENTRY, MotionFamily, Variant


@dataclasses.dataclass(frozen=True)
class PoolingConfig(layers.Config):
    """Sizes of the encoder."""

    joints: int
    channels: int
    width: int
    frames: int
    gain: float
    input: str = "joints"

    @property
    def max_frames(self):
        return self.frames


class Pooling(nnx.Module):
    """Frames to their mean embedding."""

    def __init__(self, config, dtype=jnp.float32, *, rngs):
        self.config = config
        inputs = config.joints * config.channels
        self.embed = layers.Dense((inputs,), (config.width,), dtype, rngs)

    def __call__(self, joints, num_frames=None, rngs=None, *, tokens=True):
        x = self.config.gain * self.embed(joints.reshape(*joints.shape[:2], -1))
        return layers.Encoded(x, jnp.ones(x.shape[:2], bool), x.mean(axis=1))


def build(sizes, section, data):
    """The config of a model.motion section."""
    return PoolingConfig(
        data.joints, data.channels, sizes["width"], section["max_frames"], section["gain"],
        data.input,
    )  # fmt: skip


def representation(config, frame_bucket):
    """What the encoder reads."""
    kind = REPRESENTATIONS[config.input]
    root = 0 if kind.has_root else None
    return kind(config.joints, config.channels, config.frames, root=root)


GAIN = {"model.motion.gain": Field(1.0, "Of the embedding.", above=0, high=100)}
ENTRY = Entry(FRAMES_ENTRY.reads, GAIN)
FAMILY = MotionFamily(
    PoolingConfig,
    Pooling,
    variants={"pooling": Variant({"tiny": {"width": 8}}, 2, build, ENTRY)},
    representation=representation,
)
