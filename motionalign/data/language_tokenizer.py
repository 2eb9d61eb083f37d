"""Tokenizes prompts and answers with the tokenizer of a language model.

A text is tokenised in pieces: the parts of a prompt, then the answer. The rule that makes the
pieces one text is that spaces belong to the piece that they start: "Action:" + " walking", never
"Action: " + "walking". Byte-level vocabularies (LLaMA 3, SmolLM) have a token for " walking", and
SentencePiece vocabularies (LLaMA 1 and 2, Mistral) one for "▁walking"; both are found from
" walking". SentencePiece models put a space of their own before a text, the dummy prefix; it is
put before the first piece only, on request (`start`), since it would be a second space in others.

This module reads the content of tokenizer.json, with the package `tokenizers`;
`models/weights/load.py` finds a model's files, and `models/weights/gguf_vocabulary.py` rebuilds the
vocabulary of a GGUF file.
"""

import itertools
import json
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import tokenizers

from motionalign import reading
from motionalign.data.tokenizer import in_one_error

MAX_TOKENS = 64
"""Default limit of an answer's tokens, its end token included (ours)."""

_FORM = {
    "tokenizer": dict,
    "bos": int | None,
    "stops": list[int],
    "pad": int | None,
    "add_bos": bool,
    "chat_template": str,
}


class LanguageTokenizer:
    """The tokenizer of a language model, for texts in pieces; see the module's docstring.

    Attributes:
      json: all that the tokenizer consists of, for the checkpoint; `from_json` reads it.
      max_tokens: maximum number of tokens of an answer, the end token included.
      vocab_size: number of tokens, special and added ones included.
      bos: id of the token that starts a sequence, or None.
      eos: id of the token that ends an answer.
      stops: ids of all tokens that end a generated text; the first one is `eos`.
      pad: id of the padding token; `eos` if the model has none. Padding is masked.
      add_bos: whether the model was trained on sequences that start with `bos`.
      chat_template: the model's chat template as found, for information; "" if it has none.
      bucket: batches of answers are padded to a multiple of this; names are short.
    """

    bucket: ClassVar[int] = 4

    def __init__(
        self,
        tokenizer_json: str,
        *,
        stops: Sequence[int],
        bos: int | None = None,
        pad: int | None = None,
        add_bos: bool = False,
        chat_template: str = "",
        max_tokens: int = MAX_TOKENS,
    ) -> None:
        """Reads the content of a tokenizer.json.

        Raises:
          ValueError: it cannot be read, an id is not in the vocabulary, `add_bos` is given without
            `bos`, or `max_tokens` leaves no room for a token and the end token.
        """
        content = reading.parse_json(tokenizer_json, "tokenizer.json")
        reading.check_form(content, dict, "tokenizer.json")
        self._content = {**content, "truncation": None, "padding": None}
        self._has_prefix = True
        self._variants: dict[tuple[bool, bool], tokenizers.Tokenizer] = {}
        self.bos, self.stops, self.add_bos = bos, tuple(stops), add_bos
        self.chat_template, self.max_tokens = chat_template, max_tokens
        if not self.stops:
            raise ValueError("the tokenizer has no token that ends a text (eos)")
        self.eos = self.stops[0]
        self.pad = self.eos if pad is None else pad
        whole = self._variant(special=False, start=True)  # checks the content
        self._has_prefix = _without_prefix(self._content) != self._content
        self.vocab_size = whole.get_vocab_size()
        named = {"bos": (bos,), "eos": self.stops, "pad": (pad,)}
        for name, ids in named.items():
            for i in ids:
                if i is not None and self.token(i) is None:
                    raise ValueError(f"the tokenizer has no token of the {name} id {i}")
        if add_bos and bos is None:
            raise ValueError("sequences start with a bos token (add_bos), but there is none")
        if max_tokens < 2:
            raise ValueError(f"max_tokens is {max_tokens}; an answer has at least 2 tokens")
        stored: dict[str, Any] = {"bos": bos, "stops": list(self.stops), "pad": pad}
        stored |= {"add_bos": add_bos, "chat_template": chat_template, "tokenizer": self._content}
        self.json = json.dumps(stored, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str, max_tokens: int = MAX_TOKENS) -> "LanguageTokenizer":
        """Rebuilds a tokenizer from its `json`.

        Raises:
          ValueError: the text is not that of a language model's tokenizer.
        """
        stored = reading.parse_json(text, "the language model's tokenizer")
        reading.check_form(stored, _FORM, "the language model's tokenizer")
        given = {name: stored[name] for name in _FORM if name != "tokenizer"}
        content = json.dumps(stored["tokenizer"], ensure_ascii=False)
        return cls(content, **given, max_tokens=max_tokens)

    def _variant(self, special: bool, start: bool) -> tokenizers.Tokenizer:
        """The tokenizer that finds special tokens in texts or not, at the start of a text or not.

        Parsing a large vocabulary takes a second, so a variant is built when it is first used.
        """
        kind = (special, start or not self._has_prefix)
        if kind not in self._variants:
            self._variants[kind] = self._build(*kind)
        return self._variants[kind]

    def _build(self, special: bool, start: bool) -> tokenizers.Tokenizer:
        content = self._content if start else _without_prefix(self._content)
        with in_one_error("tokenizer.json cannot be read"):
            tokenizer = tokenizers.Tokenizer.from_str(json.dumps(content, ensure_ascii=False))
            tokenizer.encode_special_tokens = not special
            tokenizer.encode("a")  # fails without an unknown token, for example
        return tokenizer

    def ids(self, text: str, special: bool = False, start: bool = False) -> list[int]:
        """The tokens of a piece of text; no special tokens are added.

        Args:
          text: the piece, with the space that it starts with.
          special: whether special tokens written in the text, such as <|im_start|>, become these
            tokens rather than the characters that they are written with.
          start: whether the piece starts the whole text; SentencePiece models put a space before
            it then.
        """
        return self._variant(special, start).encode(text, add_special_tokens=False).ids

    def text(self, ids: Sequence[int]) -> str:
        """The text of tokens, special tokens included.

        Bytes that are not UTF-8 become U+FFFD, and so do ids that have no token, which a table of
        embeddings with more rows than there are tokens may give.
        """
        decode, parts = self._variant(False, False).decode, []
        for known, run in itertools.groupby(map(int, ids), lambda i: self.token(i) is not None):
            run = list(run)
            parts.append(decode(run, skip_special_tokens=False) if known else "�" * len(run))
        return "".join(parts)

    def token(self, i: int) -> str | None:
        """How the vocabulary writes a token; None if it has none of this id."""
        return self._variant(False, True).id_to_token(i) if 0 <= i < 2**32 else None

    def check_fits(self, rows: int, where: str) -> None:
        """Checks that every token has a row in the embedding table of a language model.

        A table may have more rows than there are tokens: many are padded to a round number.

        Args:
          rows: number of rows of the table.
          where: the source of the tokenizer, for the error message.

        Raises:
          ValueError: a token has an id of `rows` or more.
        """
        vocabulary = self._variant(False, True).get_vocab()
        token, highest = max(vocabulary.items(), key=lambda item: item[1])
        if highest >= rows:
            raise ValueError(
                f"the tokenizer of {where} has the token {token!r} with id {highest}, but the "
                f"language model has embeddings for ids below {rows} only: the two do not belong "
                "together"
            )

    def encode(self, texts: Sequence[str], before: str = " ") -> tuple[np.ndarray, np.ndarray]:
        """Encodes answers: the tokens of each text, then the end token.

        Args:
          texts: the answers, such as names of actions.
          before: what separates an answer from the prompt. It is put before a text that does not
            start with white space, so that the tokens are those of a word within a text.

        Returns:
          ids [N, L] int32 and mask [N, L] bool, True at real tokens; L is the number of tokens of
          the longest answer. A longer answer than `max_tokens` is cut, and ends with the end token.

        Raises:
          ValueError: an answer is empty.
        """
        rows = [[*row[: self.max_tokens - 1], self.eos] for row in self._answers(texts, before)]
        lengths = np.array([len(row) for row in rows], np.int64)
        mask = np.arange(lengths.max(initial=0)) < lengths[:, None]
        ids = np.full(mask.shape, self.pad, np.int32)
        ids[mask] = np.concatenate(rows) if rows else []
        return ids, mask

    def truncated(self, texts: Sequence[str], before: str = " ") -> dict[int, int]:
        """The answers that `encode` cuts: {index: number of tokens without a limit}."""
        lengths = [len(row) + 1 for row in self._answers(texts, before)]
        return {i: length for i, length in enumerate(lengths) if length > self.max_tokens}

    def _answers(self, texts: Sequence[str], before: str) -> list[list[int]]:
        """The tokens of each answer, without the end token."""
        for i, text in enumerate(texts):
            if not text.strip():
                raise ValueError(
                    f"answer {i} of {len(texts)} is {text!r}; an answer needs a character that is "
                    "not white space"
                )
        pieces = [text if text[0].isspace() else before + text for text in texts]
        encode = self._variant(False, False).encode_batch
        return [encoding.ids for encoding in encode(pieces, add_special_tokens=False)]


# ---------------------------------------------------------------------------- the dummy prefix


def _without_prefix(content: dict[str, Any]) -> dict[str, Any]:
    """Content of a tokenizer.json which puts no space before a text, and removes none from it."""
    changed = dict(content)
    for part in ("normalizer", "pre_tokenizer", "decoder"):
        changed[part] = _prefix_removed(content.get(part))
    return changed


def _prefix_removed(part: Any) -> Any:
    """A part of a tokenizer.json without what adds or strips a space at the start; None if nothing.

    LLaMA's files have one of two forms: a normalizer that prepends "▁" (legacy), or Metaspace.
    """
    if not isinstance(part, dict):
        return part
    match part.get("type"):
        case "Sequence":
            name = next(n for n in ("normalizers", "pretokenizers", "decoders") if n in part)
            kept = [new for each in part[name] if (new := _prefix_removed(each)) is not None]
            return {**part, name: kept} if kept else None
        case "Prepend":
            return None
        case "Strip" if "start" in part:  # the decoder; the normalizer has strip_left
            return {**part, "start": 0}
        case "Metaspace":
            return {**part, "prepend_scheme": "never"}
        case "ByteLevel":
            return {**part, "add_prefix_space": False}
    return part
