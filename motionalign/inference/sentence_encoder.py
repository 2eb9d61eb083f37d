"""Sentences to vectors by a frozen, pretrained sentence encoder.

These vectors tell captions that say the same from others (`data_prep embed`), and are the space
that a motion encoder with a frozen text tower is trained into: then new texts are encoded here too.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from flax import nnx
from tqdm import tqdm

from motionalign.data.tokenizer import Tokenizer
from motionalign.models.families import text_tower
from motionalign.models.weights.load import load_tokenizer, load_weights
from motionalign.models.weights.source import Source

BATCH_SIZE = 64

BUCKET = 16  # token lengths are rounded up to a multiple, so that few shapes are compiled


class SentenceEncoder:
    """A text encoder in Hugging Face's layout, its weights as published.

    Weights are read, and downloaded if need be, when the first text comes or the fingerprint is
    asked for: who encodes motions only needs none.

    encoder: a folder or Hub id, optionally @revision. readout: "first", the first token's output;
    "mean", over all tokens; "end" of CLIP. The encoder's authors say which it was trained for.

    Raises, then or at once:
      ValueError: there is no such encoder, or it is of a family or readout that is not known.
    """

    def __init__(self, encoder: str, readout: str) -> None:
        self.encoder, self.readout = encoder, readout
        self._source = Source(encoder)

    @functools.cached_property
    def fingerprint(self) -> tuple[str, str]:
        """SHA-256 of the weights, and the readout: vectors may be compared where these are equal.

        The same as `dataset.CaptionVectors.fingerprint`.
        """
        return self._source.sha256, self.readout

    def __call__(self, texts: Sequence[str], progress: bool = False) -> np.ndarray:
        """Vectors [K, D] float32 of K texts, as the encoder gives them, not normalised.

        Each distinct text is encoded once; `progress` shows a bar.
        """
        row = {text: i for i, text in enumerate(dict.fromkeys(texts))}
        vectors = self._encode(list(row), progress)
        return vectors[np.array([row[text] for text in texts], np.int64)]

    def _encode(self, texts: list[str], progress: bool) -> np.ndarray:
        tokenizer, config, forward = self._loaded
        ids, mask = tokenizer.encode(texts)
        lengths = mask.sum(axis=1)
        order = np.argsort(lengths, kind="stable")
        vectors = np.zeros((len(texts), config.width), np.float32)
        with tqdm(total=len(texts), desc="texts", disable=not progress) as bar:
            for start in range(0, len(texts), BATCH_SIZE):
                rows = order[start : start + BATCH_SIZE]
                length = min(-(-lengths[rows[-1]] // BUCKET) * BUCKET, config.max_positions)
                # A single query should not cost as much as a whole batch.
                shape = (1 << (len(rows) - 1).bit_length(), length)
                batch = (_fitted(ids[rows], shape), _fitted(mask[rows], shape))
                vectors[rows] = np.asarray(forward(*batch))[: len(rows)]
                bar.update(len(rows))
        return vectors

    @functools.cached_property
    def _loaded(self) -> tuple[Tokenizer, Any, Callable[..., jax.Array]]:
        """(tokenizer, config, jitted forward pass of ids [B, L] and mask [B, L])."""
        family, config = text_tower(self._source, readout=self.readout)
        with nnx.set_graph_mode(False):  # the thread's own mode is its owner's
            graphdef, params = nnx.split(
                nnx.eval_shape(lambda: family.module(config, rngs=nnx.Rngs(0)))
            )
        params = load_weights(params, self._source, family.key_map())

        @jax.jit
        def forward(params: Any, ids: jax.Array, mask: jax.Array) -> jax.Array:
            # Accelerators multiply float32 with fewer bits by default; these vectors are kept.
            with nnx.set_graph_mode(False), jax.default_matmul_precision("highest"):
                return nnx.merge(graphdef, params)(ids, mask, tokens=False).pooled

        tokenizer = load_tokenizer(self.encoder, config.max_positions, family.tokenizer)
        return tokenizer, config, functools.partial(forward, params)


def _fitted(x: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """`x` cut and zero-padded to `shape`; what is cut are columns of padding."""
    out = np.zeros(shape, x.dtype)
    rows, columns = x.shape[0], min(x.shape[1], shape[1])
    out[:rows, :columns] = x[:, :columns]
    return out
