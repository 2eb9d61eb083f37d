"""The published PyTorch models: how their state dicts are laid out, and what ours is of each.

A `Format` reads a state dict's shapes into our architecture and names every tensor, both ways.
"""

from motionalign.checkpoints.published import gaitformer, motionpatches, walktext
from motionalign.models.dual_encoder import DualEncoderConfig

FORMATS = {
    "motionpatches": motionpatches.FORMAT,
    "walktext": walktext.FORMAT,
    "gaitformer": gaitformer.FORMAT,
}


def format_of(config: DualEncoderConfig) -> str:
    """The published model that an architecture is, or can be written as.

    Raises:
      ValueError: there is none.
    """
    if config.gait_head is not None:
        return "gaitformer"
    if config.motion_family == "motion_transformer":
        kind = (config.motion.norm, config.motion.positions)
        if kind == ("post", "sinusoidal"):
            return "walktext"
        raise ValueError(
            f"no published model has {kind[0]}-norm, {kind[1]} positions and a projection head"
        )
    text = config.text and config.text_family
    if config.motion_family == "vit" and text in motionpatches.CONFIG_TO_HF and config.text_head:
        if config.motion.padding != "attend":
            raise ValueError(
                "the published code attends to the padding of a clip; this model, trained with "
                "padding='mask', would compute something else there: it cannot be exported"
            )
        return "motionpatches"
    raise ValueError(
        f"no published code has a motion encoder of family {config.motion_family!r} and a text "
        f"encoder of family {text!r}: it cannot be exported"
    )
