"""Encodes texts with a frozen, pretrained sentence encoder.

The vectors serve two purposes: they identify captions with the same meaning (`data_prep embed`),
and a motion encoder with a frozen text encoder is trained into their space. For such a model, new
texts are encoded here too.
"""

import dataclasses
import functools
import hashlib
import json
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from flax import nnx
from tqdm import tqdm

from motionalign.data.cuts import Cut, cut_texts
from motionalign.data.tokenizer import Tokenizer
from motionalign.models.families import text_tower
from motionalign.models.weights.load import load_tokenizer, load_weights
from motionalign.models.weights.source import Source

BATCH_SIZE = 64

BUCKET = 16  # token lengths are rounded up to a multiple of this, so that few shapes are compiled


class SentenceEncoder:
    """A published text encoder in Hugging Face's layout, with unchanged weights.

    Weights are read, and downloaded if necessary, for the first text or the fingerprint; models
    that only encode motions do not need them.

    Attributes:
      encoder: a folder or Hub id, optionally with @revision.
      readout: "first": the output of the first token; "mean": the mean over all tokens; "end": of
        CLIP. The authors of an encoder state which one it was trained with.

    Raises (on construction or first use):
      ValueError: the encoder does not exist, or its family or readout is not supported.
    """

    def __init__(self, encoder: str, readout: str) -> None:
        self.encoder, self.readout = encoder, readout
        self._source = Source(encoder)

    @functools.cached_property
    def fingerprint(self) -> tuple[str, str]:
        """(SHA-256 of the weights, readout); vectors are comparable only if these are equal.

        The same as `dataset.CaptionVectors.fingerprint`.
        """
        self._tower  # noqa: B018 (a family that is not supported is said before weights are read)
        return self._source.sha256, self.readout

    @functools.cached_property
    def settings(self) -> str:
        """SHA-256 of the tokenizer and config, on which vectors depend besides `fingerprint`."""
        tokenizer, (_, config) = self._tokenizer, self._tower
        settings = {**dataclasses.asdict(config), "max_tokens": tokenizer.max_tokens}
        text = json.dumps(settings, sort_keys=True) + tokenizer.json
        return hashlib.sha256(text.encode()).hexdigest()

    def __call__(
        self,
        texts: Sequence[str],
        progress: bool = False,
        keep: Callable[[list[str], np.ndarray], None] = lambda texts, vectors: None,
    ) -> np.ndarray:
        """Encodes texts; each distinct text is encoded only once.

        Args:
          texts: K texts.
          progress: whether to show a progress bar.
          keep: receives the texts and vectors [B, D] of each batch as soon as it is encoded.

        Returns:
          Vectors [K, D] float32, which are not normalised.

        Raises:
          ValueError: a vector is not finite.
        """
        row = {text: i for i, text in enumerate(dict.fromkeys(texts))}
        vectors = self._encode(list(row), progress, keep)
        return vectors[np.array([row[text] for text in texts], np.int64)]

    def cut(self, texts: Sequence[str]) -> Cut | None:
        """The texts of which only the start is encoded, as they are longer than the encoder reads.

        None without any.
        """
        return cut_texts(texts, self._loaded[0])

    def _encode(
        self,
        texts: list[str],
        progress: bool,
        keep: Callable[[list[str], np.ndarray], None],
    ) -> np.ndarray:
        tokenizer, config, forward = self._loaded
        ids, mask = tokenizer.encode(texts)
        lengths = mask.sum(axis=1)
        order = np.argsort(lengths, kind="stable")
        vectors = np.zeros((len(texts), config.width), np.float32)
        with tqdm(total=len(texts), desc="texts", disable=not progress) as bar:
            for start in range(0, len(texts), BATCH_SIZE):
                rows = order[start : start + BATCH_SIZE]
                length = min(-(-lengths[rows[-1]] // BUCKET) * BUCKET, config.max_positions)
                # A single query should not cost as much as a full batch.
                shape = (1 << (len(rows) - 1).bit_length(), length)
                batch = (_fitted(ids[rows], shape), _fitted(mask[rows], shape))
                vectors[rows] = np.asarray(forward(*batch))[: len(rows)]
                keep([texts[row] for row in rows], vectors[rows])
                bar.update(len(rows))
        if len(wrong := np.flatnonzero(~np.isfinite(vectors).all(axis=1))):
            raise ValueError(
                f"{self.encoder}, readout {self.readout}, computes vectors that are not finite, "
                f"{len(wrong)} of {len(texts)}, for example of the text {texts[wrong[0]]!r}. Check "
                "its weights: copy or download them again"
            )
        return vectors

    @functools.cached_property
    def _tower(self) -> tuple[Any, Any]:
        """(family, config) of the encoder."""
        return text_tower(self._source, readout=self.readout)

    @functools.cached_property
    def _tokenizer(self) -> Tokenizer:
        family, config = self._tower
        tokenizer = load_tokenizer(self.encoder, config.max_positions, family.tokenizer)
        tokenizer.check_fits(config.vocab_size, self.encoder)
        return tokenizer

    @functools.cached_property
    def _loaded(self) -> tuple[Tokenizer, Any, Callable[..., jax.Array]]:
        """(tokenizer, config, jitted forward pass of ids [B, L] and mask [B, L])."""
        family, config = self._tower
        tokenizer = self._tokenizer
        with nnx.set_graph_mode(False):  # restored afterwards: other code may rely on the mode
            graphdef, params = nnx.split(
                nnx.eval_shape(lambda: family.module(config, rngs=nnx.Rngs(0)))
            )
        params = load_weights(params, self._source, family.key_map())

        @jax.jit
        def forward(params: Any, ids: jax.Array, mask: jax.Array) -> jax.Array:
            # By default accelerators multiply float32 in lower precision; these vectors are stored.
            with nnx.set_graph_mode(False), jax.default_matmul_precision("highest"):
                return nnx.merge(graphdef, params)(ids, mask, tokens=False).pooled

        return tokenizer, config, functools.partial(forward, params)


def _fitted(x: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """`x` truncated and zero-padded to `shape`; only columns of padding are truncated."""
    out = np.zeros(shape, x.dtype)
    rows, columns = x.shape[0], min(x.shape[1], shape[1])
    out[:rows, :columns] = x[:, :columns]
    return out
