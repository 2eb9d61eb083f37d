"""A motion encoder of its own: the mean of embedded frames, of which some are left out."""

import dataclasses

import jax.numpy as jnp
from flax import nnx

from motionalign.config import Entry, Field
from motionalign.data.representation import REPRESENTATIONS
from motionalign.models import layers
from motionalign.models.family import FRAMES_ENTRY, MotionFamily, Variant


@dataclasses.dataclass(frozen=True)
class PoolingConfig(layers.Config):
    joints: int
    channels: int
    width: int
    frames: int
    stride: int = 1
    input: str = "joints"


class Pooling(nnx.Module):
    def __init__(self, config, dtype=jnp.float32, *, rngs):
        self.stride = config.stride
        inputs = config.joints * config.channels
        self.embed = layers.Dense((inputs,), (config.width,), dtype, rngs)

    def __call__(self, clips, num_frames=None, rngs=None, *, tokens=True):
        """Clips [B, F, J, C]; tokens [B, F / stride, D]."""
        x = clips[:, :: self.stride]
        x = self.embed(x.reshape(*x.shape[:2], -1))
        return layers.Encoded(x, jnp.ones(x.shape[:2], bool), x.mean(axis=1))


def build(sizes, section, inputs):
    return PoolingConfig(
        joints=inputs.joints,
        channels=inputs.channels,
        frames=section["max_frames"],
        stride=section["stride"],
        input=inputs.input,
        **sizes,
    )


def representation(config, frame_bucket):
    of_input = REPRESENTATIONS[config.input]
    return of_input(joints=config.joints, channels=config.channels, max_frames=config.frames)


ENTRY = Entry(
    FRAMES_ENTRY.reads,
    fields={"model.motion.stride": Field(1, "Frames from one to the next.", low=1, high=100)},
)
FAMILY = MotionFamily(
    PoolingConfig,
    Pooling,
    variants={"pooling": Variant({"tiny": {"width": 16}}, 2, build, ENTRY)},
    representation=representation,
)
