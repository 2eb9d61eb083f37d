"""Tokenizers rebuilt from GGUF files, against those that the files were written from."""

import gguf_files
import numpy as np
import pytest
import tokenizers
import vocabularies
from tokenizers import decoders, models, pre_tokenizers

from motionalign.models.weights.gguf_vocabulary import SPLITTINGS, read_tokenizer
from motionalign.models.weights.load import load_language_tokenizer

pytest.importorskip("gguf")

CODE = (
    "def f(x):\n\treturn x[1:] + 10**6  # twice",
    "for (int i = 0; i < 1000; ++i) { a[i] += 0x7f; }\r\n\r\n",
    "https://a-b.org/c?d=12,345.678&e=½",
    "   leading and trailing   ",
    "I'M they'RE we'll he'd  can't",
    "\n\n\n three  newlines \n",
    "1234567890 12 3",
    "<|im_start|>user\nhello<|im_end|>",
    "</s> <s> <unk> <0x41> ▁▁",
)
TEXTS = [*CODE, *vocabularies.sentences(200 - len(CODE))]


def write(path, vocabulary, **changes):
    changes = {f"tokenizer.ggml.{name}": value for name, value in changes.items()}
    return gguf_files.write(path, vocabulary | changes, {})


# ---------------------------------------------------------------------------- byte-level

_LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
# As the tokenizer.json of the models state them: GPT-2, SmolLM2, LLaMA 3.
PUBLISHED = {
    "gpt-2": [pre_tokenizers.ByteLevel(add_prefix_space=False)],
    "smollm": [
        pre_tokenizers.Digits(individual_digits=True),
        pre_tokenizers.ByteLevel(add_prefix_space=False),
    ],
    "llama-bpe": [
        pre_tokenizers.Split(tokenizers.Regex(_LLAMA3), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ],
}


def reference(vocabulary, pre):
    """A tokenizer with the vocabulary of the metadata and a published way to split texts."""
    tokens = vocabulary["tokenizer.ggml.tokens"]
    merges = [tuple(line.split(" ")) for line in vocabulary["tokenizer.ggml.merges"]]
    model = models.BPE(
        {token: i for i, token in enumerate(tokens)}, merges, ignore_merges=pre == "llama-bpe"
    )
    built = tokenizers.Tokenizer(model)
    built.pre_tokenizer = pre_tokenizers.Sequence(PUBLISHED[pre])
    built.decoder = decoders.ByteLevel()
    kinds = np.asarray(vocabulary["tokenizer.ggml.token_type"])
    for kind in (3, 4):
        for i in np.flatnonzero(kinds == kind):
            added = tokenizers.AddedToken(tokens[i], normalized=False, special=kind == 3)
            (built.add_special_tokens if kind == 3 else built.add_tokens)([added])
    return built


@pytest.mark.parametrize("pre", PUBLISHED)
def test_byte_level(tmp_path, pre):
    vocabulary = gguf_files.byte_level(tmp_path, pre)
    ours = read_tokenizer(write(tmp_path / "m.gguf", vocabulary))
    theirs = reference(vocabulary, pre)
    for text in TEXTS:
        expected = theirs.encode(text, add_special_tokens=False).ids
        assert ours.ids(text, special=True) == expected, text
        assert ours.text(expected) == text
        assert ours.text(ours.ids(text)) == text
    assert ours.vocab_size == len(vocabulary["tokenizer.ggml.tokens"])
    assert (ours.bos, ours.eos, ours.pad, ours.add_bos) == (1, 2, 2, pre == "llama-bpe")


def test_special_tokens_are_characters_unless_asked_for(tmp_path):
    vocabulary = gguf_files.byte_level(tmp_path)
    ours = read_tokenizer(write(tmp_path / "m.gguf", vocabulary, eot_token_id=0))
    assert ours.ids("<|im_start|>", special=True) == [1]
    plain = ours.ids("<|im_start|>")
    assert len(plain) > 1 and not {0, 1, 2} & set(plain)
    assert ours.stops == (2, 0)
    added = vocabulary["tokenizer.ggml.tokens"].index("<tool call>")
    assert ours.ids("a<tool call>")[-1] == ours.ids("a<tool call>", special=True)[-1] == added


def test_transformers_converts_the_same(tmp_path):
    """Its own conversion of the file; it knows how LLaMA 3 splits texts, not how SmolLM does."""
    from transformers import AutoTokenizer

    vocabulary = gguf_files.byte_level(tmp_path, "llama-bpe")
    vocabulary["tokenizer.ggml.tokens"][-1] = "<tool_call>"  # it does not keep spaces in tokens
    gguf_files.write_llama(tmp_path / "m.gguf", more=vocabulary)
    theirs = AutoTokenizer.from_pretrained(tmp_path, gguf_file="m.gguf")
    ours = load_language_tokenizer(str(tmp_path / "m.gguf"))
    assert set(vocabulary["tokenizer.ggml.tokens"]) == set(theirs.get_vocab())
    for text in TEXTS:
        assert ours.ids(text, special=True) == theirs.encode(text, add_special_tokens=False), text


def test_smollm2():
    """The real vocabulary against transformers' conversion with SmolLM's published splitting."""
    from transformers import AutoTokenizer

    path = gguf_files.smollm2()
    theirs = AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
    theirs.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(PUBLISHED["smollm"])
    ours = load_language_tokenizer(str(path))
    for text in TEXTS:
        assert ours.ids(text, special=True) == theirs.encode(text, add_special_tokens=False), text
        assert ours.text(ours.ids(text)) == text
    assert (ours.bos, ours.eos, ours.pad, ours.add_bos) == (1, 2, 2, False)
    assert (ours.vocab_size, ours.token(1)) == (49152, "<|im_start|>")
    assert ours.chat_template == theirs.chat_template
    assert ours.ids("A person walks 12 steps") == [49, 1055, 16028, 216, 33, 34, 3301]
    ours.check_fits(49152, "SmolLM2")


@pytest.mark.parametrize("pre", SPLITTINGS)
def test_every_splitting_keeps_the_text(tmp_path, pre):
    """No character is lost between the words, and words that are tokens are found."""
    ours = read_tokenizer(write(tmp_path / "m.gguf", gguf_files.byte_level(tmp_path, pre)))
    for text in TEXTS[:60]:
        assert ours.text(ours.ids(text)) == text
    assert len(ours.ids("person")) < 6


# ---------------------------------------------------------------------------- SentencePiece


@pytest.fixture(scope="module")
def sentencepiece(tmp_path_factory):
    """(folder with tokenizer.model, SentencePiece's own reader of it)."""
    folder = tmp_path_factory.mktemp("sentencepiece")
    return folder, gguf_files.train_sentencepiece(folder)


def plain(text):
    """Whether SentencePiece and `tokenizers` agree by design: ▁ in a text is a space for one."""
    return "▁" not in text


def test_sentencepiece(tmp_path, sentencepiece):
    _, theirs = sentencepiece
    ours = read_tokenizer(write(tmp_path / "m.gguf", gguf_files.of_sentencepiece(theirs)))
    for text in TEXTS:
        if text and plain(text):
            assert ours.ids(text, start=True) == theirs.encode(text), text
            assert ours.text(ours.ids(text)) == text
    assert (ours.bos, ours.eos, ours.pad, ours.add_bos) == (1, 2, 2, True)
    assert ours.vocab_size == theirs.get_piece_size()
    assert ours.ids("a</s>", special=True)[-1] == 2
    assert 2 not in ours.ids("a</s>")
    assert ours.text(ours.ids("漢字 🤸")) == "漢字 🤸"  # in bytes


def test_pairs_make_no_special_tokens(tmp_path, sentencepiece):
    """A control token of the best score is not found in a text that spells it."""
    vocabulary = gguf_files.of_sentencepiece(sentencepiece[1])
    vocabulary["tokenizer.ggml.tokens"].append("wx")
    vocabulary["tokenizer.ggml.scores"].append(1.0)
    for kind in (3, 1):
        types = [*vocabulary["tokenizer.ggml.token_type"], kind]
        changed = vocabulary | {"tokenizer.ggml.token_type": types}
        ours = read_tokenizer(gguf_files.write(tmp_path / f"{kind}.gguf", changed, {}))
        assert (len(types) - 1 in ours.ids("wx")) == (kind == 1)


def test_without_a_dummy_prefix(tmp_path):
    theirs = gguf_files.train_sentencepiece(tmp_path, add_dummy_prefix=False)
    vocabulary = gguf_files.of_sentencepiece(theirs)
    ours = read_tokenizer(write(tmp_path / "m.gguf", vocabulary, add_space_prefix=False))
    for text in filter(plain, TEXTS[:60]):
        assert ours.ids(text, start=True) == ours.ids(text) == theirs.encode(text), text


def test_tokenizer_model(sentencepiece):
    """A folder with SentencePiece's file alone, converted by transformers' class."""
    folder, theirs = sentencepiece
    ours = load_language_tokenizer(str(folder))
    for text in filter(plain, TEXTS):
        if text and not text[0].isspace():
            assert ours.ids(text, start=True) == theirs.encode(text), text
            assert ours.text(ours.ids(text)) == text
    assert (ours.bos, ours.eos, ours.add_bos) == (1, 2, True)


# ---------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"pre": "kimi-k2"}, "splits texts as 'kimi-k2' does .*smollm"),
        ({"model": "rwkv"}, "kind 'rwkv'.*gpt2, llama"),
        ({"model": None}, "tokenizer.ggml.model is None"),
        ({"tokens": None}, "tokenizer.ggml.tokens is None"),
        ({"tokens": [1, 2]}, "tokenizer.ggml.tokens is"),
        ({"tokens": ["a", "b", "a"], "token_type": None}, "the token 'a' twice"),
        ({"token_type": [1, 2]}, "has 501 tokens, but 2 in tokenizer.ggml.token_type"),
        ({"merges": None}, "tokenizer.ggml.merges is None"),
        ({"merges": ["ab"]}, "the merge 'ab', which is no pair"),
        ({"merges": ["zzz qqq"]}, "vocabulary is damaged"),
        ({"eos_token_id": None}, "states no token that ends a text"),
        ({"eos_token_id": 501}, "no token of the eos id 501"),
        ({"bos_token_id": 9999}, "no token of the bos id 9999"),
        ({"add_bos_token": "yes"}, "add_bos_token is 'yes'"),
        ({"add_bos_token": True, "bos_token_id": None}, "there is none"),
    ],
)
def test_a_vocabulary_of_another_kind(tmp_path, changes, said):
    path = write(tmp_path / "m.gguf", gguf_files.byte_level(tmp_path), **changes)
    with pytest.raises(ValueError, match=f"m.gguf.*{said}") as error:
        read_tokenizer(path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"scores": None}, "no scores"),
        ({"scores": [0.0]}, "has 900 tokens, but 1 in tokenizer.ggml.scores"),
        ({"scores": [float("nan")] * 900}, "no scores"),
        ({"unknown_token_id": 900}, "unknown_token_id 900"),
        ({"remove_extra_whitespaces": True}, "removes extra spaces"),
    ],
)
def test_a_damaged_sentencepiece_vocabulary(tmp_path, sentencepiece, changes, said):
    vocabulary = gguf_files.of_sentencepiece(sentencepiece[1])
    path = write(tmp_path / "m.gguf", vocabulary, **changes)
    with pytest.raises(ValueError, match=f"m.gguf.*{said}"):
        read_tokenizer(path)
