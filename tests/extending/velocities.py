"""A representation of its own: how far joints move from frame to frame."""

import dataclasses
from typing import ClassVar

import numpy as np

from motionalign.config import Entry, Field
from motionalign.data.representation import Joints


def velocities(joints):
    """Joints [F, J, C] to the way from the frame before, of the first frame none."""
    return np.diff(joints, axis=0, prepend=joints[:1])


@dataclasses.dataclass(frozen=True)
class Velocities(Joints):
    """Of records' joints; their field, in records and batches, stays that of joints."""

    entry: ClassVar[Entry] = Entry(
        fields={"data.velocity_noise": Field(0.0, "Its standard deviation.", low=0, high=10)}
    )
    has_root: ClassVar[bool] = False

    noise: float = 0.0

    def for_training(self, data):
        return dataclasses.replace(super().for_training(data), noise=data.velocity_noise)

    def sample(self, clip, random, metadata):
        exact = velocities(super().sample(clip, random, metadata))
        noise = random.generator.normal(0, self.noise, exact.shape)
        return (exact + noise).astype(np.float32)

    def window(self, clip):
        return velocities(super().window(clip))
