"""Encodes texts with a frozen, pretrained sentence encoder.

The vectors serve two purposes: they identify captions with the same meaning (`data_prep embed`),
and a motion encoder with a frozen text encoder is trained into their space. For such a model, new
texts are encoded here too.
"""

import dataclasses
import functools
import hashlib
import json
import pathlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from flax import nnx
from tqdm import tqdm

from motionalign import reading
from motionalign.data.cuts import Cut, cut_texts
from motionalign.data.tokenizer import Tokenizer
from motionalign.files import expand
from motionalign.models.families import text_tower
from motionalign.models.weights.load import load_tokenizer, load_weights
from motionalign.models.weights.source import HUB_ID, WITHOUT_THE_HUB, Source

BATCH_SIZE = 64

READOUT = "first"  # of an encoder that states none, as of the one of Walk and Text

BUCKET = 16  # token lengths are rounded up to a multiple of this, so that few shapes are compiled


class SentenceEncoder:
    """A published text encoder in Hugging Face's layout, with unchanged weights.

    Weights are read, and downloaded if necessary, for the first text or the fingerprint; models
    that only encode motions do not need them.

    Attributes:
      encoder: a folder or Hub id, optionally with @revision; or a `Source` that is opened already.
      readout: "first": the output of the first token; "mean": the mean over all tokens; "end": of
        CLIP. The authors of an encoder state which one it was trained with.

    Raises (on construction or first use):
      ValueError: the encoder does not exist, or its family or readout is not supported.
    """

    def __init__(self, encoder: str | Source, readout: str) -> None:
        self._source = encoder if isinstance(encoder, Source) else Source(encoder)
        self.encoder, self.readout = self._source.name, readout

    @functools.cached_property
    def fingerprint(self) -> tuple[str, str]:
        """(SHA-256 of the weights, readout); vectors are comparable only if these are equal.

        The same as `dataset.CaptionVectors.fingerprint`.
        """
        self._tower  # noqa: B018 (a family that is not supported is said before weights are read)
        return self._source.sha256, self.readout

    @property
    def hub_id(self) -> str:
        """The Hub id of its files, with the commit; "" if it is not known."""
        return self._source.hub_id

    @property
    def max_tokens(self) -> int:
        """The number of tokens to which texts are truncated."""
        return self._tokenizer.max_tokens

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
        tokenizer = load_tokenizer(self._source, config.max_positions, family.tokenizer)
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


# ------------------------------------------------------------------------ what an encoder states

_POOLING = "Pooling"

# Modules of sentence-transformers that leave the direction of a vector as the pooling gives it.
_HARMLESS = ("Transformer", _POOLING, "Normalize", "Dropout", "CLIPModel")

# By the names of the modes in a Pooling module's config.json, of older and newer versions.
_READOUT_OF = {"cls": "first", "cls_token": "first", "mean": "mean", "mean_tokens": "mean"}


class Stated(NamedTuple):
    """How sentence-transformers reads an encoder's outputs, by the encoder's own files.

    Attributes:
      readout: the readout of `SentenceEncoder` for it; None if it states none, or another way.
      other: what it states that `SentenceEncoder` does not compute, in words; "" if nothing.
      unknown: why its files could not be asked, for the user; "" if they could.
    """

    readout: str | None = None
    other: str = ""
    unknown: str = ""


def stated_readout(encoder: str) -> Stated:
    """What an encoder's `modules.json` and `1_Pooling/config.json` state.

    Vectors are stored as they are pooled: a Normalize module changes their length only, and is not
    applied.

    Args:
      encoder: a folder or Hub id, optionally with @revision.

    Raises:
      ValueError: a file is damaged, or the encoder does not exist.
    """
    source, folder = Source(encoder), f"1_{_POOLING}"
    try:
        path = source.file("modules.json")
        pooling = source.file(f"{folder}/config.json")
    except ValueError as error:  # without the Hub, its cache may have the weights only
        return Stated(unknown=f"the readout that {encoder} states cannot be looked up: {error}")
    if path is not None:
        modules = reading.read_json(path, list[dict])
        for module in modules:
            reading.check_form(module, {"type": str, "path": str}, str(path))
        kinds = {each["type"].rpartition(".")[2]: each["path"] for each in modules}
        if strange := [kind for kind in kinds if kind not in _HARMLESS]:
            return Stated(other=f"the module {strange[0]} of its modules.json")
        if kinds.get(_POOLING, folder) != folder:
            pooling = source.require(f"{kinds[_POOLING]}/config.json")
    return Stated() if pooling is None else _of_pooling(pooling)


def _of_pooling(path: pathlib.Path) -> Stated:
    """What the config.json of a Pooling module states."""
    found = reading.read_json(path, dict)
    modes = found.get("pooling_mode") or [
        name.removeprefix("pooling_mode_")
        for name, on in found.items()
        if name.startswith("pooling_mode_") and on is True
    ]
    modes = [modes] if isinstance(modes, str) else modes
    reading.check_form(modes, list[str], f"{path}: pooling_mode")
    if len(modes) == 1 and modes[0] in _READOUT_OF:
        return Stated(_READOUT_OF[modes[0]])
    return Stated(other=f"pooling by {' and '.join(modes) or 'no mode'} ({path})")


# ------------------------------------------------------------------------- the encoder of a model


def encoder_of(
    trained: Mapping[str, Any], location: str | None = None
) -> tuple[SentenceEncoder, str | None]:
    """Finds the frozen text encoder that a model was trained with, and verifies it.

    Without a `location`, it is looked for in the folder that it had in training, in the local cache
    of the Hub by its Hub id, and on the Hub.

    Args:
      trained: `run["text_encoder"]` of the model.
      location: a folder or Hub id.

    Returns:
      The encoder, and a line about what could not be verified, or None.

    Raises:
      ValueError: it is not found, or what is found is another encoder.
    """
    missing, others = [], []
    for where in [location] if location else _places(trained):
        try:
            encoder = SentenceEncoder(where, trained["readout"])
            other = _difference(encoder, trained)
        except ValueError as error:
            missing.append(str(error).partition(WITHOUT_THE_HUB)[0])
            continue
        if other is None:
            return encoder, _unverified(trained)
        others.append(other)
    named = f"the model was trained with the text encoder {trained['encoder']}"
    if others:
        raise ValueError(f"{named}{others[0]}. {_GIVE}")
    gone = f"{trained['source']} is no folder here" if trained["source"] else ""
    unknown = "" if trained["hub_id"] else "its Hub id is not recorded"
    reasons = "; ".join(missing) or " and ".join(filter(None, (gone, unknown)))
    raise ValueError(f"{named}, which cannot be found ({reasons}). {_GIVE}")


_GIVE = "Give its location: motionalign.load(..., text_encoder=FOLDER_OR_HUB_ID)"


def _places(trained: Mapping[str, Any]) -> Iterator[str | Source]:
    """Where the encoder of a model may be, the nearest first."""
    source, hub_id = trained["source"], trained["hub_id"]
    if source and expand(source).is_dir():
        yield source
    # The commit of training, and the one that the cache holds as the newest: its files may be the
    # same, of which their hashes are the proof.
    for name in dict.fromkeys((hub_id, hub_id.partition("@")[0])):
        cached = Source(name, cached=True) if name else None
        if cached is not None and cached.folder is None and cached.file("config.json"):
            yield cached
    if hub_id or re.fullmatch(HUB_ID, source):
        yield hub_id or source


def _difference(encoder: SentenceEncoder, trained: Mapping[str, Any]) -> str | None:
    """How an encoder differs from the one of training, for a message; None if it does not."""
    sha256, _ = encoder.fingerprint
    if sha256 != trained["sha256"]:
        return (
            f" (SHA-256 {trained['sha256'][:12]}...); {encoder.encoder} has other weights "
            f"({sha256[:12]}...)"
        )
    if trained["settings"] and encoder.settings != trained["settings"]:
        return f"; {encoder.encoder} has the same weights, but another tokenizer or config.json"
    return None


def _unverified(trained: Mapping[str, Any]) -> str | None:
    if trained["settings"]:
        return None
    return (
        f"the model records the weights of its text encoder {trained['encoder']} only: that its "
        "tokenizer and config.json are those of training could not be verified"
    )
