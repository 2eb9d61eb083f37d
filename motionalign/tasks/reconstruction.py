"""The objective of a motion tokenizer: reconstruction, and biases towards human language."""

from collections.abc import Mapping
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from ml_collections import ConfigDict

from motionalign import token_losses
from motionalign.config import Entry, Field
from motionalign.models.motion_tokenizer import TokenizerOutputs


def _weight(default: float, what: str) -> Field:
    return Field(default, f"Weight of {what}; 0: without.", low=0, high=10**6)


class Reconstruction:
    """Reconstruction, commitment and the three biases of LLM-AR, each with a weight.

    The codebook follows the features by moving averages, so that there is no embedding loss of the
    codes. The weights of reconstruction and commitment are those of T2M-GPT; those of the biases,
    which LLM-AR does not publish, are ours: with larger ones a token says less of its action.
    """

    kind: ClassVar[str] = "motion_tokenizer"
    entry: ClassVar[Entry] = Entry(
        fields={
            "loss.velocity": _weight(0.5, "the reconstruction of velocities"),
            "loss.commitment": _weight(0.02, "the distance of features from their codes"),
            "loss.zipf": _weight(0.05, "the distance of token frequencies from Zipf's law"),
            "loss.zipf_temperature": Field(
                0.1, "Temperature of the softmax in soft token frequencies.", above=0, high=10**3
            ),
            "loss.context": _weight(0.02, "the prediction of tokens from their neighbours"),
            "loss.alignment": _weight(
                0.05, "the discrepancy of tokens and the language model's words"
            ),
        }
    )
    compares: ClassVar[bool] = False
    frozen_text: ClassVar[bool] = False
    smallest_batch: ClassVar[int] = 1
    distance: ClassVar[str | None] = None
    batch_fields = ()

    def __init__(self, loss_config: ConfigDict, has_classes: bool) -> None:
        """See `Objective`."""
        self._weights = loss_config

    def loss(
        self, outputs: TokenizerOutputs, rest: Any, batch: Mapping[str, jax.Array], mesh: Mesh
    ) -> tuple[jax.Array, Any, dict[str, jax.Array]]:
        """See `Objective.loss`."""
        c, found, persons = self._weights, outputs.quantized, outputs.persons
        about = outputs.predicted, outputs.wanted, persons
        terms = {
            "reconstruction": (1.0, token_losses.reconstruction(*about)),
            "velocity": (c.velocity, token_losses.velocity(*about)),
            "commitment": (c.commitment, found.commitment + found.embedding),
        }
        scalars: dict[str, Any] = {
            "error_mm": token_losses.position_error(outputs.reconstruction, outputs.target, persons)
        }
        tokens = jnp.broadcast_to(persons[..., None], found.vectors.shape[:-1])
        if found.codes is not None:
            assert found.squared_distances is not None
            assert found.perplexity is not None and found.used is not None
            soft = token_losses.soft_frequencies(
                found.squared_distances, tokens, c.zipf_temperature
            )
            terms["zipf"] = c.zipf, token_losses.zipf(soft)
            scalars |= {"perplexity": found.perplexity, "used_codes": found.used}
        if outputs.summaries is not None and found.codes is not None:
            loss, entropy = token_losses.context(outputs.summaries, found.vectors, found.codes)
            terms["context"] = c.context, loss
            scalars["context_bound"] = entropy - loss
        if outputs.words is not None:
            flat = found.vectors.reshape(-1, found.vectors.shape[-1])
            loss = token_losses.alignment(flat, outputs.words, tokens.reshape(-1))
            terms["alignment"] = c.alignment, loss
        total = sum((weight * value for weight, value in terms.values()), jnp.zeros(()))
        return total, rest, {name: value for name, (_, value) in terms.items()} | scalars
