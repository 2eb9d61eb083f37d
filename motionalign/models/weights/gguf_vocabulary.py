"""Rebuilds the tokenizer of a GGUF file from its metadata.

The keys are those of ggml's docs/gguf.md. Two kinds of vocabulary are read: "gpt2", byte-level BPE
with its merges (LLaMA 3, SmolLM), and "llama", SentencePiece's BPE, whose merges follow from the
scores of its tokens (LLaMA 1 and 2, TinyLlama, Mistral).
"""

import contextlib
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import tokenizers
from tokenizers import decoders, models, normalizers, pre_tokenizers

from motionalign import reading
from motionalign.data.language_tokenizer import MAX_TOKENS, LanguageTokenizer
from motionalign.data.tokenizer import in_one_error
from motionalign.models.weights import gguf_file

_NORMAL, _UNKNOWN, _CONTROL, _USER_DEFINED, _UNUSED, _BYTE = range(1, 7)  # llama_token_type

# ---------------------------------------------------------------------------- how texts are split

_GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"

_LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)

_TEKKEN = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
    r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


class Splitting(NamedTuple):
    """How a byte-level vocabulary splits texts into words.

    Attributes:
      patterns: regexes, each of which splits what the ones before it left.
      whole: whether a word that is a token is that token, whatever the merges make of it; it goes
        with the addition of a bos token by default.
    """

    patterns: tuple[str, ...]
    whole: bool = False


_LLAMA3_SPLITTING = Splitting((_LLAMA3,), whole=True)

SPLITTINGS = {
    "gpt-2": Splitting((_GPT2,)),
    "smollm": Splitting((r"\p{N}", _GPT2)),
    "starcoder": Splitting((r"\p{N}", _GPT2)),
    **dict.fromkeys(("llama-bpe", "llama3", "llama-v3", "falcon3", "pixtral"), _LLAMA3_SPLITTING),
    **dict.fromkeys(("smaug-bpe", "dbrx"), Splitting((_LLAMA3,))),
    "tekken": Splitting((_TEKKEN,), whole=True),
    "default": Splitting(
        (
            r"[\p{P}\$\+<=>\^~\|]+",
            r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)",
            r"\p{N}+",
            r"[0-9][0-9][0-9]",
        )
    ),
}
"""{tokenizer.ggml.pre: how texts are split}; the regexes of llama.cpp's src/llama-vocab.cpp."""

# ---------------------------------------------------------------------------- metadata


class _Vocabulary:
    """The metadata about the tokenizer, with its types checked."""

    def __init__(self, path: pathlib.Path, metadata: Mapping[str, Any]) -> None:
        self.path, self._metadata = path, metadata
        self.model = self.get("model", str)
        self.tokens = self.get("tokens", list[str])
        types = self._numbers("token_type", "iu")
        self.types = np.full(len(self.tokens), _NORMAL) if types is None else types
        self.ids = {token: i for i, token in enumerate(self.tokens)}
        if len(self.ids) != len(self.tokens):
            twice = next(t for i, t in enumerate(self.tokens) if self.ids[t] != i)
            raise ValueError(f"{path} has the token {twice!r} twice in its vocabulary")

    def get(self, key: str, form: Any, default: Any = None) -> Any:
        """A value of tokenizer.ggml; required unless `form` allows None."""
        value = self._metadata.get(f"tokenizer.ggml.{key}", default)
        reading.check_form(value, form, f"{self.path}: tokenizer.ggml.{key}")
        return value

    def _numbers(self, key: str, kinds: str) -> np.ndarray | None:
        """An array of a number for each token; None if the file has none."""
        value = self._metadata.get(f"tokenizer.ggml.{key}")
        if value is None:
            return None
        if not isinstance(value, np.ndarray) or value.dtype.kind not in kinds:
            raise ValueError(f"{self.path}: tokenizer.ggml.{key} is no array of numbers")
        if len(value) != len(self.tokens):
            raise ValueError(
                f"{self.path} has {len(self.tokens)} tokens, but {len(value)} in "
                f"tokenizer.ggml.{key}"
            )
        return value

    def of_types(self, *types: int) -> list[str]:
        """The tokens of these types, in the order of their ids."""
        return [self.tokens[i] for i in np.flatnonzero(np.isin(self.types, types))]

    def damaged(self) -> contextlib.AbstractContextManager[None]:
        """A context in which errors of the package `tokenizers` name the file."""
        return in_one_error(f"{self.path}: its vocabulary is damaged")

    def scores(self) -> np.ndarray:
        """The score of each token."""
        scores = self._numbers("scores", "f")
        if scores is None or not np.isfinite(scores).all():
            raise ValueError(f"{self.path} has no scores of its tokens (tokenizer.ggml.scores)")
        return scores


def read_tokenizer(path: pathlib.Path, max_tokens: int = MAX_TOKENS) -> LanguageTokenizer:
    """Rebuilds the tokenizer of a GGUF file; of a split model, of its first part.

    Raises:
      ValueError: the file is damaged, or its vocabulary of a kind that is not known.
    """
    path = gguf_file.parts(path)[0]
    metadata = gguf_file.read_metadata(path)
    vocabulary = _Vocabulary(path, metadata)
    if vocabulary.model not in _BUILDERS:
        raise ValueError(
            f"{path} has a vocabulary of the kind {vocabulary.model!r} (tokenizer.ggml.model); "
            f"expected one of {', '.join(_BUILDERS)}"
        )
    template = metadata.get("tokenizer.chat_template", "")
    reading.check_form(template, str, f"{path}: tokenizer.chat_template")
    tokenizer, defaults = _BUILDERS[vocabulary.model](vocabulary)
    with vocabulary.damaged():
        _add_tokens(tokenizer, vocabulary)
        text = tokenizer.to_str()
    bos, eos, pad, *more = (
        vocabulary.get(f"{name}_token_id", int | None, defaults.get(name))
        for name in ("bos", "eos", "padding", "eot", "eom")
    )
    if eos is None:
        raise ValueError(f"{path} states no token that ends a text (tokenizer.ggml.eos_token_id)")
    add_bos = vocabulary.get("add_bos_token", bool, defaults["add_bos"])
    try:
        return LanguageTokenizer(
            text,
            stops=list(dict.fromkeys(i for i in (eos, *more) if i is not None)),
            bos=bos,
            pad=pad,
            add_bos=add_bos,
            chat_template=template,
            max_tokens=max_tokens,
        )
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _add_tokens(tokenizer: tokenizers.Tokenizer, vocabulary: _Vocabulary) -> None:
    """Declares special tokens, and others that are found in texts before these are split."""
    for types, special in (((_CONTROL, _UNKNOWN), True), ((_USER_DEFINED,), False)):
        tokens = vocabulary.of_types(*types)
        added = [tokenizers.AddedToken(t, normalized=False, special=special) for t in tokens if t]
        (tokenizer.add_special_tokens if special else tokenizer.add_tokens)(added)


# ---------------------------------------------------------------------------- kinds


def _byte_level(vocabulary: _Vocabulary) -> tuple[tokenizers.Tokenizer, dict[str, Any]]:
    """Byte-level BPE."""
    name = vocabulary.get("pre", str, "default")
    splitting = SPLITTINGS.get(name)
    if splitting is None:
        raise ValueError(
            f"{vocabulary.path} splits texts as {name!r} does (tokenizer.ggml.pre); known are "
            f"{', '.join(SPLITTINGS)}. Use the model's safetensors and tokenizer.json instead"
        )
    merges = []
    for merge in vocabulary.get("merges", list[str]):
        first, space, second = merge[:1], *merge[1:].partition(" ")[1:]
        first += merge[1:].partition(" ")[0]
        if not space:
            raise ValueError(f"{vocabulary.path} has the merge {merge!r}, which is no pair")
        merges.append((first, second))
    with vocabulary.damaged():
        model = models.BPE(vocab=vocabulary.ids, merges=merges, ignore_merges=splitting.whole)
    tokenizer = tokenizers.Tokenizer(model)
    splits = [
        pre_tokenizers.Split(tokenizers.Regex(pattern), behavior="isolated")
        for pattern in splitting.patterns
    ]
    level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([*splits, level])
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer, {"add_bos": splitting.whole}


def _sentencepiece(vocabulary: _Vocabulary) -> tuple[tokenizers.Tokenizer, dict[str, Any]]:
    """SentencePiece's BPE: of neighbouring tokens, those of the best score are joined first."""
    if vocabulary.get("remove_extra_whitespaces", bool, False):
        raise ValueError(f"{vocabulary.path} removes extra spaces from texts, which is not known")
    unknown = vocabulary.get("unknown_token_id", int, 0)
    if not 0 <= unknown < len(vocabulary.tokens):
        raise ValueError(f"{vocabulary.path} has no token of the unknown_token_id {unknown}")
    merges = _merges(vocabulary)
    with vocabulary.damaged():
        model = models.BPE(
            vocab=vocabulary.ids,
            merges=merges,
            unk_token=vocabulary.tokens[unknown],
            fuse_unk=True,
            byte_fallback=all(f"<0x{byte:02X}>" in vocabulary.ids for byte in range(256)),
        )
    tokenizer = tokenizers.Tokenizer(model)
    replace = normalizers.Replace(" ", "▁")
    steps = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    if vocabulary.get("add_space_prefix", bool, True):
        tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), replace])
        steps.append(decoders.Strip(" ", 1, 0))
    else:
        tokenizer.normalizer = normalizers.Sequence([replace])
    tokenizer.decoder = decoders.Sequence(steps)
    return tokenizer, {"add_bos": True, "bos": 1, "eos": 2}


def _merges(vocabulary: _Vocabulary) -> Sequence[tuple[str, str]]:
    """The pairs of tokens that make a token, by falling score.

    SentencePiece makes no special tokens and no bytes from pairs, whatever their scores.
    """
    joined = np.isin(vocabulary.types, (_NORMAL, _USER_DEFINED, _UNUSED))
    ids, scores, found = vocabulary.ids, vocabulary.scores(), []
    for i in np.argsort(-scores, kind="stable"):
        token = vocabulary.tokens[i]
        if joined[i]:
            pairs = ((token[:at], token[at:]) for at in range(1, len(token)))
            found += [pair for pair in pairs if pair[0] in ids and pair[1] in ids]
    return found


_BUILDERS = {"gpt2": _byte_level, "llama": _sentencepiece}
"""{tokenizer.ggml.model: what rebuilds it}."""
