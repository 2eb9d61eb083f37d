"""Tokenizes captions with the tokenizers of Hugging Face's text encoders.

This module only reads tokenizer.json files, with the package `tokenizers`;
`models/weights/vocabulary.py` converts other vocabulary formats to tokenizer.json.
"""

import contextlib
import re
from collections.abc import Generator, Iterable, Sequence
from typing import ClassVar

import numpy as np
import tokenizers
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors, trainers

PAD_TOKENS = ("[PAD]", "<pad>", "<|endoftext|>")  # of BERT, of MPNet and RoBERTa, of CLIP

# A WordPiece tokenizer reads a longer word as [UNK], whatever its vocabulary.
MAX_WORD = 100

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


@contextlib.contextmanager
def in_one_error(what: str) -> Generator[None]:
    """A context in which an error of the package `tokenizers` becomes a ValueError, `what: error`.

    It raises no narrower type than Exception; where its own code fails, on a damaged file, it
    raises pyo3's PanicException, which is not an Exception and cannot be imported.
    """
    try:
        yield
    except BaseException as error:
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        raise ValueError(f"{what}: {' '.join(str(error).split())[:300]}") from error


class Tokenizer:
    """A tokenizer that truncates texts to `max_tokens` tokens.

    Attributes:
      json: the text of tokenizer.json, for the checkpoint.
      max_tokens: the maximum number of tokens, special tokens included.
      vocab_size: size of the vocabulary.
      pad_id: id of the padding token.
      bucket: batches of texts are padded to a multiple of this; None: of config.data.text_bucket.
    """

    bucket: ClassVar[int | None] = None

    def __init__(self, tokenizer_json: str, max_tokens: int) -> None:
        self.json = tokenizer_json
        self.max_tokens = max_tokens
        with in_one_error("tokenizer.json cannot be read"):
            self._tokenizer = tokenizers.Tokenizer.from_str(tokenizer_json)
            padding = self._tokenizer.padding or {}
            self._tokenizer.no_padding()  # some files pad every text to 128 tokens
            self._tokenizer.enable_truncation(max_tokens)
            self._tokenizer.encode("a")  # fails without an unknown token, for example
        self.vocab_size = self._tokenizer.get_vocab_size()
        ids = map(self._tokenizer.token_to_id, PAD_TOKENS)
        self.pad_id = next((i for i in ids if i is not None), padding.get("pad_id"))
        if self.pad_id is None:
            raise ValueError(
                f"the tokenizer has no padding token: tokenizer.json declares none, and its "
                f"vocabulary has none of {', '.join(PAD_TOKENS)}"
            )

    def check_fits(self, rows: int, where: str) -> None:
        """Checks that every token has a row in the embedding table of a text encoder.

        JAX reads rows beyond the end of a table as NaN.

        Args:
          rows: number of rows of the table.
          where: the source of the tokenizer, for the error message.

        Raises:
          ValueError: a token has an id of `rows` or more.
        """
        token, highest = max(self._tokenizer.get_vocab().items(), key=lambda item: item[1])
        if highest >= rows:
            raise ValueError(
                f"the tokenizer of {where} has the token {token!r} with id {highest}, but the text "
                f"encoder has embeddings for ids below {rows} only: the two do not belong together"
            )

    def encode(self, captions: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Encodes captions as token ids, special tokens included.

        Returns:
          ids [B, L] int32 and mask [B, L] bool, True at real tokens; L is the number of tokens of
          the longest caption.
        """
        rows = [encoding.ids for encoding in self._tokenizer.encode_batch(list(captions))]
        lengths = np.array([len(row) for row in rows], np.int64)
        mask = np.arange(lengths.max(initial=0)) < lengths[:, None]
        ids = np.full(mask.shape, self.pad_id, np.int32)
        ids[mask] = np.concatenate(rows) if rows else []
        return ids, mask

    def truncated(self, texts: Sequence[str]) -> dict[int, int]:
        """The texts that `encode` truncates: {index: number of tokens without a limit}.

        Special tokens are included in the numbers.
        """
        special = self._tokenizer.num_special_tokens_to_add(is_pair=False)
        # Every token stands for a character at least, except for the special ones and the space
        # that some tokenizers put first. Most texts need not be tokenised to be found short enough.
        # Beyond ASCII, normalisation may expand a character to several.
        spare = self.max_tokens - special - 1
        long = [i for i, text in enumerate(texts) if len(text) > spare or not text.isascii()]
        found = {}
        for i, encoding in zip(long, self._tokenizer.encode_batch([texts[i] for i in long])):
            if rest := encoding.overflowing:
                found[i] = len(encoding.ids) + sum(len(part.ids) - special for part in rest)
        return found


def train_wordpiece(captions: Iterable[str], vocab_size: int) -> str:
    """Trains a lower-case WordPiece vocabulary with BERT's special tokens; [PAD] has id 0.

    The result is deterministic and does not depend on the order of the captions. Words of more than
    `MAX_WORD` characters, see `long_words`, are left out: the tokenizer could not use what it
    learned from them, and the time for a word grows with the square of its length.

    Args:
      captions: the texts to train on.
      vocab_size: the maximum size of the vocabulary.

    Returns:
      The text of a tokenizer.json, which adds [CLS] and [SEP] around every text.

    Raises:
      ValueError: `vocab_size` is too small for the captions' characters.
    """
    wordpiece = tokenizers.Tokenizer(models.WordPiece(unk_token="[UNK]"))
    wordpiece.normalizer = normalizers.BertNormalizer(lowercase=True)
    wordpiece.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    captions = sorted(without_long_words(text) for text in captions)
    characters = set().union(*(wordpiece.normalizer.normalize_str(text) for text in captions))
    characters = sorted(c for c in characters if not c.isspace())
    # Ties between merges are decided by the ids of single characters, which the trainer assigns in
    # the order of a hash map that differs from run to run. Assigning them beforehand, as special
    # tokens, makes the result deterministic.
    first = [*SPECIAL_TOKENS, *characters, *(f"##{c}" for c in characters)]
    if vocab_size < len(first):
        raise ValueError(
            f"vocab_size is {vocab_size}, but the special tokens and the {len(characters)} "
            f"characters of the captions, at the start and inside of words, need {len(first)}"
        )
    trainer = trainers.WordPieceTrainer(
        vocab_size=vocab_size, special_tokens=first, show_progress=False
    )
    wordpiece.train_from_iterator(captions, trainer)
    vocab = wordpiece.get_vocab(with_added_tokens=True)

    # A new tokenizer with the same vocabulary, in which only the five real special tokens are
    # special.
    tokenizer = tokenizers.Tokenizer(models.WordPiece(vocab=vocab, unk_token="[UNK]"))
    tokenizer.normalizer = wordpiece.normalizer
    tokenizer.pre_tokenizer = wordpiece.pre_tokenizer
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.add_special_tokens(list(SPECIAL_TOKENS))
    tokenizer.post_processor = processors.BertProcessing(
        ("[SEP]", vocab["[SEP]"]), ("[CLS]", vocab["[CLS]"])
    )
    return tokenizer.to_str()


def long_words(text: str) -> list[str]:
    """The words of a text that have more than `MAX_WORD` characters, in lower case.

    Words are what `train_wordpiece` takes for words: they end at white space and punctuation.
    """
    if not _LONG.search(text):  # every text is searched, and next to none has such a word
        return []
    return [word for word in _words(text) if len(word) > MAX_WORD]


def without_long_words(text: str) -> str:
    """The text without the words that `long_words` finds; unchanged if there is none."""
    if not long_words(text):
        return text
    return " ".join(word for word in _words(text) if len(word) <= MAX_WORD)


# A word of more than MAX_WORD characters has at least half as many before it is put in lower case
# and its accents are removed, neither of which even doubles a text.
_LONG = re.compile(rf"\S{{{MAX_WORD // 2},}}")


def _words(text: str) -> list[str]:
    normal = normalizers.BertNormalizer(lowercase=True).normalize_str(text)
    return [word for word, _ in pre_tokenizers.BertPreTokenizer().pre_tokenize_str(normal)]


def pad_tokens(ids: np.ndarray, mask: np.ndarray, length: int) -> tuple[np.ndarray, np.ndarray]:
    """Pads ids and mask [B, L] to [B, length].

    The padding ids are 0, whatever the tokenizer's `pad_id`: masked tokens affect no encoder.
    """
    pad = ((0, 0), (0, length - ids.shape[1]))
    return np.pad(ids, pad), np.pad(mask, pad)


def text_bucket(length: int, step: int, tokenizer: Tokenizer) -> int:
    """Rounds `length` tokens up to a multiple of `step`, capped at the tokenizer's maximum."""
    return min(-(-length // step) * step, max(length, tokenizer.max_tokens))
