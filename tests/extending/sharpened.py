"""An objective with a field of its own: InfoNCE whose scores are raised to a power."""

import jax.numpy as jnp

from motionalign import losses
from motionalign.config import Entry, Field


class Sharpened:
    """InfoNCE of the cosines' signed powers."""

    entry = Entry(
        reads=("model.text.family", "model.head_dropout", "data.texts", "model.temperature"),
        fields={"loss.sharpness": Field(1.0, "The power of the cosines.", above=0, high=10)},
    )
    compares = True
    frozen_text = False
    distance = "cosine"
    batch_fields = ()

    def __init__(self, loss_config, has_classes):
        self._power = loss_config.sharpness

    def loss(self, outputs, rest, batch, mesh):
        scores = losses.cosine_scores(outputs.motion, outputs.text)
        scores = jnp.sign(scores) * (jnp.abs(scores) + 1e-6) ** self._power
        loss = losses.symmetric_cross_entropy(outputs.scale * scores)
        return loss, rest, {"sharpness": jnp.float32(self._power)}
