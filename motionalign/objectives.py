"""What training descends: the loss of a batch, chosen by the `loss` section of a config."""

import jax.numpy as jnp
import optax
from flax import nnx

from motionalign import losses
from motionalign.model import Network

KINDS = ("contrastive", "mse", "triplet", "classify")


def distance(kind: str) -> str:
    """What vectors trained by a loss are compared by: "cosine" or "euclidean" (of raw vectors)."""
    return "cosine" if kind == "contrastive" else "euclidean"


def make_loss(network: Network, loss_config):
    """The function (params, batch, dropout key) → (loss, logit scale) that training descends."""
    kind = loss_config.kind
    threshold = loss_config.mask_threshold if loss_config.mask_negatives else None

    def loss_fn(params, batch, key):
        model = network.bind(params)
        rngs = nnx.Rngs(dropout=key)
        scale = model.scale()
        if kind == "classify":
            clips = batch[network.config.motion_inputs]
            logits = model.encode_motion(clips, batch.get("num_frames"), rngs)
            return classification(logits, batch["targets"]), scale
        motion, text = model(batch, rngs=rngs)  # [B, E] each
        if kind == "mse":
            return losses.mse(motion, text), scale
        if kind == "triplet":
            negative = batch["negative_vectors"]
            keep = None
            if threshold is not None:  # negatives that say nearly the same
                keep = losses.cosine(text, negative) <= threshold
            return losses.triplet(motion, text, negative, loss_config.margin, keep), scale
        if threshold is None:
            return losses.info_nce(motion, text, scale), scale
        keep = None
        if "classes" in batch:  # nor are clips of the same class each other's negatives
            keep = batch["classes"][:, None] != batch["classes"]
        return losses.masked_info_nce(
            motion, text, scale, keep, batch["text_vectors"], threshold
        ), scale

    return loss_fn


def classification(logits, targets):
    """Cross-entropy of logits [B, K], a scalar in float32.

    Of classes that exclude each other, targets [B] integer, by softmax; of attributes, targets
    [B, K] 0 or 1, by a sigmoid each (binary cross-entropy).
    """
    logits = logits.astype(jnp.float32)
    if targets.ndim == 1:
        return optax.softmax_cross_entropy_with_integer_labels(logits, targets).mean()
    return optax.sigmoid_binary_cross_entropy(logits, targets).mean()
