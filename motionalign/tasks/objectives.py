"""What training descends: the loss of a batch, chosen by the `loss` section of a config."""

import jax.numpy as jnp
import optax
from flax import nnx

from motionalign import losses
from motionalign.data.dataset import Dataset
from motionalign.models.network import Network


def extras(config) -> tuple[str, ...]:
    """What batches carry besides clips and tokens."""
    if config.loss.kind == "classify":
        return ("targets",)
    extras = ()
    if config.model.text.family == "frozen" or config.loss.mask_negatives:
        extras += ("text_vectors",)
    if config.loss.kind == "triplet":
        extras += ("negative_vectors",)
    elif config.loss.mask_negatives and config.task != "captions":
        extras += ("classes",)
    return extras


def frozen_text_encoder(config, datasets: list[Dataset]) -> dict | None:
    """Which sentence encoder a run's texts are the vectors of, to encode others by it later."""
    if config.model.text.family != "frozen" or config.loss.kind == "classify":
        return None
    return datasets[0].require_caption_vectors().origin


KINDS = ("contrastive", "mse", "triplet", "classify")


def distance(kind: str) -> str | None:
    """What vectors trained by a loss are compared by: "cosine" or "euclidean" (of raw vectors).

    None where there are no vectors, but classes.
    """
    return {"contrastive": "cosine", "classify": None}.get(kind, "euclidean")


def make_loss(network: Network, loss_config):
    """The function (params, batch, dropout key) → (loss, scalars) that training descends.

    The scalars to log are `temperature` and, where negatives are left out, the share that is kept,
    `negatives_kept`.
    """
    kind = loss_config.kind
    threshold = loss_config.mask_threshold if loss_config.mask_negatives else None

    def loss_fn(params, batch, key):
        model = network.bind(params)
        rngs = nnx.Rngs(dropout=key)
        if kind == "classify":
            clips = batch[network.config.motion_inputs]
            logits = model.encode_motion(clips, batch.get("num_frames"), rngs)
            return classification(logits, batch["targets"]), {}
        motion, text = model(batch, rngs=rngs)  # [B, E] each
        if kind == "mse":
            return losses.mse(motion, text), {}
        if kind == "triplet":
            negative, keep, scalars = batch["negative_vectors"], None, {}
            if threshold is not None:  # negatives that say nearly the same
                keep = losses.cosine(text, negative) <= threshold
                scalars["negatives_kept"] = keep.mean()
            return losses.triplet(motion, text, negative, loss_config.margin, keep), scalars
        scale = model.scale()
        scalars = {"temperature": 1 / scale}
        if threshold is None:
            return losses.info_nce(motion, text, scale), scalars
        keep = losses.distinct(batch["text_vectors"], threshold)
        if "classes" in batch:  # nor are clips of the same class each other's negatives
            keep &= batch["classes"][:, None] != batch["classes"]
        others = keep & ~jnp.eye(len(keep), dtype=bool)
        scalars["negatives_kept"] = others.sum() / (keep.size - len(keep))
        return losses.masked_info_nce(motion, text, scale, keep), scalars

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
