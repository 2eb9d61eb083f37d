"""The registry of published models: one line each."""

from motionalign.checkpoints.published import gaitformer, motionpatches, walktext
from motionalign.checkpoints.published.format import Format
from motionalign.models import layers
from motionalign.models.dual_encoder import DualEncoderConfig

FORMATS: dict[str, Format] = {
    form.name: form
    for form in (
        motionpatches.FORMAT,
        walktext.FORMAT,
        gaitformer.FORMAT,
    )
}


def named(name: str) -> Format:
    """The published model with this name; a ValueError lists the valid names."""
    layers.check_choice(name, FORMATS, "the published model")
    return FORMATS[name]


def format_of(config: DualEncoderConfig) -> str:
    """Name of the published model as which an architecture can be exported.

    Raises:
      ValueError: there is none; the message has the reason of the first that is close.
    """
    reasons = []
    for name, form in FORMATS.items():
        try:
            if form.fits(config):
                return name
        except ValueError as error:
            reasons.append(error)
    if reasons:
        raise reasons[0]
    text = config.text and config.text_family
    raise ValueError(
        f"no published code has a motion encoder of family {config.motion_family!r} and a text "
        f"encoder of family {text!r}: the model cannot be exported"
    )
