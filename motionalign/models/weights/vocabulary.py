"""Converts the vocabulary of sources without tokenizer.json to a fast tokenizer.

The model's own tokenizer class in `transformers` does the conversion: it defines how texts are
normalised and which special tokens surround them, and it reads the options of the source.
`transformers` is imported for this purpose only. Its `AutoTokenizer` is not used, because it
imports torch if torch is installed.
"""

import contextlib
import importlib.util
import os
import pathlib
from collections.abc import Generator, Mapping
from typing import Any, NamedTuple

from motionalign import reading
from motionalign.models.weights.source import Source, read_json

CLASSES: dict[str, dict[str, str]] = {
    "BertTokenizer": {"vocab_file": "vocab.txt"},
    "DistilBertTokenizer": {"vocab_file": "vocab.txt"},
    "MPNetTokenizer": {"vocab_file": "vocab.txt"},
    "CLIPTokenizer": {"vocab_file": "vocab.json", "merges_file": "merges.txt"},
    "RobertaTokenizer": {"vocab_file": "vocab.json", "merges_file": "merges.txt"},
    "XLMRobertaTokenizer": {"vocab_file": "sentencepiece.bpe.model"},
}
"""{class of `transformers`: {argument: name of the vocabulary file}}; of text encoders."""

LANGUAGE_CLASSES: dict[str, dict[str, str]] = {
    "LlamaTokenizer": {"vocab_file": "tokenizer.model"},
}
"""As CLASSES, of language models."""

OPTIONS = ("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json")
"""Option files; `transformers` reads them from the folder of the vocabulary."""

SENTENCEPIECE = ("sentencepiece", "google.protobuf")
"""Packages with which `transformers` reads SentencePiece models."""

USED_TOKENS = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token")
"""Special tokens that occur in encoded texts; the mask token is used in pretraining only."""


class Converted(NamedTuple):
    """A converted tokenizer.

    Attributes:
      json: content of its tokenizer.json.
      max_tokens: the source's model_max_length; a very large number if it states none.
      special: its special tokens by the names of USED_TOKENS, stated or those of its class.
    """

    json: str
    max_tokens: int
    special: dict[str, str]


def convert(source: Source, default: str | None = None, language: bool = False) -> Converted:
    """Converts the vocabulary of a source.

    Args:
      source: has the vocabulary and, optionally, the files of OPTIONS.
      default: the class to use if the source names none.
      language: whether the source is a language model, which needs no padding token, rather than a
        text encoder; its class is in LANGUAGE_CLASSES rather than CLASSES.

    Raises:
      ValueError: the class is another one, a file that it needs is missing or damaged, or a package
        for reading it is not installed.
    """
    stated = _stated(source)
    classes = LANGUAGE_CLASSES if language else CLASSES
    name = _class_name(source, stated, default, classes)
    found = {argument: source.file(file) for argument, file in classes[name].items()}
    files = {argument: path for argument, path in found.items() if path is not None}
    if len(files) < len(found):
        raise ValueError(_lacking(source, name, classes))
    for path in files.values():
        reading.check_file(path)
    if name in _LOWER_CASING:
        _check_case(source, files["vocab_file"], stated)
    if files["vocab_file"].suffix == ".model":
        _check_sentencepiece(source)
    for file in OPTIONS:
        if (path := source.file(file)) is not None:  # downloaded to the folder of the vocabulary
            reading.check_file(path)
    try:
        with _no_advice():
            import transformers

            tokenizer = getattr(transformers, name).from_pretrained(
                str(files["vocab_file"].parent),
                local_files_only=True,
                **{argument: str(path) for argument, path in files.items()},
            )
    except Exception as error:  # damaged files raise exceptions of many types
        raise ValueError(
            f"{' and '.join(classes[name].values())} of {source.name} cannot be converted by "
            f"transformers.{name}: {error}"
        ) from error
    _check_special_tokens(source, name, tokenizer, stated, classes)
    backend = tokenizer.backend_tokenizer
    if not language:
        if tokenizer.pad_token is None:
            raise ValueError(f"{source.name} has no pad_token, which {name} needs")
        backend.enable_padding(pad_id=tokenizer.pad_token_id, pad_token=str(tokenizer.pad_token))
    longest = tokenizer.model_max_length  # transformers' constant for none is beyond 64 bits
    if isinstance(longest, bool) or not isinstance(longest, int) or longest < 1:
        raise ValueError(
            f"tokenizer_config.json of {source.name} states model_max_length {longest!r}; expected "
            "a number of tokens"
        )
    used = {name: getattr(tokenizer, name) for name in USED_TOKENS}
    special = {name: str(token) for name, token in used.items() if token is not None}
    return Converted(backend.to_str(), longest, special)


_LOWER_CASING = ("BertTokenizer", "DistilBertTokenizer", "MPNetTokenizer")  # lower-case by default


@contextlib.contextmanager
def _no_advice() -> Generator[None]:
    """Stops `transformers` from reporting at import that torch, which is unused, is missing."""
    name = "TRANSFORMERS_NO_ADVISORY_WARNINGS"
    before = os.environ.get(name)
    os.environ[name] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


def _stated(source: Source) -> Mapping[str, Any]:
    """Content of tokenizer_config.json; empty if the file does not exist."""
    path = source.file("tokenizer_config.json")
    return {} if path is None else read_json(path)


Classes = Mapping[str, Mapping[str, str]]


def _class_name(
    source: Source, stated: Mapping[str, Any], default: str | None, classes: Classes
) -> str:
    """The tokenizer class that the source names, or the default."""
    name = stated.get("tokenizer_class")
    if name is None and (path := source.file("config.json")) is not None:
        name = read_json(path).get("tokenizer_class")
    name = name or default
    reading.check_form(name, str | None, f"tokenizer_class of {source.name}")
    if name is None:
        raise ValueError(
            f"{source.name} has no tokenizer.json; to convert its vocabulary, "
            f"tokenizer_config.json must state a tokenizer_class: {', '.join(classes)}"
        )
    name = name.removesuffix("Fast")
    name = {"LLaMATokenizer": "LlamaTokenizer"}.get(name, name)  # as older LLaMA files spell it
    if name not in classes:
        raise ValueError(
            f"{source.name} has no tokenizer.json, and its tokenizer_class {name!r} cannot be "
            f"converted; valid: {', '.join(classes)}. {_SAVE}"
        )
    return name


_SAVE = (
    "transformers.AutoTokenizer.from_pretrained(NAME).save_pretrained(FOLDER), run elsewhere, may "
    "write a tokenizer.json; put it into the folder of the weights"
)


def _lacking(source: Source, name: str, classes: Classes) -> str:
    """The error message for a source that lacks a class's files: what is needed and was found."""
    known = {
        file for files in (*CLASSES.values(), *LANGUAGE_CLASSES.values()) for file in files.values()
    }
    known |= {*OPTIONS, "spiece.model", "sentencepiece.model", "tokenizer.model"}
    found = sorted(file for file in known if source.file(file) is not None)
    return (
        f"{source.name} has neither tokenizer.json nor {' and '.join(classes[name].values())}, "
        f"which transformers.{name} converts; found: {', '.join(found) or 'no tokenizer file'}. If "
        f"it uses another tokenizer, state its tokenizer_class in tokenizer_config.json: "
        f"{', '.join(classes)}"
    )


def _check_case(source: Source, vocabulary: pathlib.Path, stated: Mapping[str, Any]) -> None:
    """Raises a ValueError if texts would be lower-cased by default for a cased vocabulary."""
    if "do_lower_case" in stated:
        return
    words = [w for w in reading.read_text(vocabulary).split("\n") if w and w[0] not in "[<"]
    capitals = sum(word != word.lower() for word in words)
    if capitals > len(words) / 100:  # uncased vocabularies have some such symbols
        raise ValueError(
            f"{capitals} of the {len(words)} tokens in vocab.txt of {source.name} have capital "
            "letters, but texts are lower-cased unless tokenizer_config.json states otherwise: add "
            'a tokenizer_config.json with "do_lower_case": false (or true) to its folder'
        )


def _check_sentencepiece(source: Source) -> None:
    """Raises a ValueError if the packages for SentencePiece models are missing."""
    for package in SENTENCEPIECE:
        try:
            found = importlib.util.find_spec(package)
        except ModuleNotFoundError:  # the parent package is missing
            found = None
        if found is None:
            raise ValueError(
                f"{source.name} has a SentencePiece vocabulary; install the packages that read it: "
                'pip install "sentencepiece>=0.2,<0.3" protobuf'
            )


def _check_special_tokens(
    source: Source, name: str, tokenizer: Any, stated: Mapping[str, Any], classes: Classes
) -> None:
    """Raises a ValueError if a class adds special tokens to texts that the model does not know.

    `transformers` appends such tokens to the vocabulary; the model has no embeddings for them.
    """
    own = set(tokenizer.backend_tokenizer.get_vocab(with_added_tokens=False))
    if (path := source.file("added_tokens.json")) is not None:
        own |= set(read_json(path))
    added = stated.get("added_tokens_decoder", {})
    reading.check_form(
        added, dict[str, dict], f"added_tokens_decoder in tokenizer_config.json of {source.name}"
    )
    own |= {token.get("content") for token in added.values()}
    tokens = {str(token) for of in USED_TOKENS if (token := getattr(tokenizer, of)) is not None}
    if missing := sorted(tokens - own):
        raise ValueError(
            f"the vocabulary of {source.name} lacks {', '.join(missing)}, which transformers."
            f"{name} needs. If it is for another tokenizer_class, state it in "
            f"tokenizer_config.json: {', '.join(classes)}"
        )
