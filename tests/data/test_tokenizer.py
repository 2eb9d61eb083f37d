"""Tokenizers."""

import json
import subprocess
import sys
import time

import numpy as np
import pytest
import tokenizers

from motionalign.data.language_tokenizer import LanguageTokenizer
from motionalign.data.tokenizer import (
    MAX_WORD,
    Tokenizer,
    long_words,
    pad_tokens,
    text_bucket,
    train_wordpiece,
    without_long_words,
)
from motionalign.models.weights.load import load_tokenizer

CAPTIONS = [
    "A person walks forward, then waves twice.",
    "someone sits down",
    "Jumps!",
    "a person's café-style naïve twirl 3x … then stops",
]


@pytest.mark.parametrize("max_tokens", [64, 6])
def test_equals_transformers(minilm, max_tokens):
    transformers = pytest.importorskip("transformers")
    reference = transformers.AutoTokenizer.from_pretrained(minilm)
    expected = reference(
        CAPTIONS, padding=True, truncation=True, max_length=max_tokens, return_tensors="np"
    )
    ids, mask = load_tokenizer(minilm, max_tokens).encode(CAPTIONS)
    np.testing.assert_array_equal(ids, expected["input_ids"])
    np.testing.assert_array_equal(mask, expected["attention_mask"].astype(bool))
    assert (ids.dtype, mask.dtype) == (np.int32, bool)


@pytest.mark.parametrize("max_tokens", [6, 12])
def test_truncated_texts_are_those_with_more_tokens(minilm, max_tokens):
    texts = [*CAPTIONS, "", "a " * 3000, "跳" * 11, "é" * 5]
    _, mask = load_tokenizer(minilm, 10_000).encode(texts)
    lengths = mask.sum(axis=1)
    expected = {i: n for i, n in enumerate(lengths.tolist()) if n > max_tokens}
    assert load_tokenizer(minilm, max_tokens).truncated(texts) == expected
    assert {3, 5, 6} <= expected.keys()


def test_trained_vocabulary_round_trip():
    tokenizer = Tokenizer(train_wordpiece(CAPTIONS, 200), 77)
    assert tokenizer.vocab_size <= 200
    again = Tokenizer(tokenizer.json, 77)
    ids, mask = again.encode(["A PERSON sits", "jumps"])
    np.testing.assert_array_equal(ids, tokenizer.encode(["a person sits", "jumps"])[0])
    cls, sep = (again.encode([""])[0][0, i] for i in (0, 1))
    assert (again.pad_id, cls, sep) == (0, 2, 3)
    np.testing.assert_array_equal(ids[:, 0], cls)
    assert ids[0, mask[0]][-1] == ids[1, mask[1]][-1] == sep
    np.testing.assert_array_equal(ids[~mask], 0)
    unknown = again.encode(["zzz", "漢"])[0]
    np.testing.assert_array_equal(unknown[:, 1], 1)


def test_frequent_words_become_one_token():
    captions = [f"a person walks {side}" for side in ("left", "right") for _ in range(50)]
    ids, _ = Tokenizer(train_wordpiece(captions, 500), 77).encode(["person walks left"])
    assert ids.shape == (1, 5)


def test_too_small_a_vocabulary_is_an_error():
    with pytest.raises(ValueError, match=r"vocab_size is 10, .* need"):
        train_wordpiece(CAPTIONS, 10)


def test_training_gives_the_same_vocabulary_in_every_process(tmp_path):
    script = (
        "import random, sys; from motionalign.data import tokenizer; rng = random.Random(0)\n"
        "word = lambda: ''.join(rng.choices('abcdefghijklmno', k=rng.randint(2, 8)))\n"
        "words = [word() for _ in range(300)]\n"
        "captions = [' '.join(rng.choices(words, k=8)) for _ in range(300)]\n"
        "random.Random(int(sys.argv[1])).shuffle(captions)\n"
        "print(tokenizer.train_wordpiece(captions, 300))"
    )
    out = {
        subprocess.run(
            [sys.executable, "-c", script, seed], capture_output=True, text=True, check=True
        ).stdout
        for seed in "1234"
    }
    assert len(out) == 1
    assert len(out.pop()) > 1000


def test_no_captions():
    ids, mask = Tokenizer(train_wordpiece(CAPTIONS, 200), 77).encode([])
    assert ids.shape == mask.shape == (0, 0)


@pytest.mark.parametrize("token", ["<pad>", "<|endoftext|>"])
def test_padding_tokens_of_other_families(token):
    json = train_wordpiece(CAPTIONS, 200).replace("[PAD]", token)
    ids, mask = Tokenizer(json, 77).encode(["a man walks", "a man"])
    assert set(ids[1, ~mask[1]]) == {0}


def test_no_padding_token():
    json = train_wordpiece(CAPTIONS, 200).replace("[PAD]", "[nothing]")
    with pytest.raises(ValueError, match="no padding token"):
        Tokenizer(json, 77)


def test_a_file_on_which_the_package_panics():
    """It raises an error that is no Exception, about a merge shorter than the prefix of words."""
    content = {
        "version": "1.0", "added_tokens": [],
        "model": {
            "type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": [["a", "b"]],
            "continuing_subword_prefix": "long", "unk_token": None,
        },
    }  # fmt: skip
    for read in (lambda text: Tokenizer(text, 7), lambda text: LanguageTokenizer(text, stops=[0])):
        with pytest.raises(ValueError, match=r"tokenizer\.json cannot be read: "):
            read(json.dumps(content))


# ---- padding ---------------------------------------------------------------------------------


def test_text_bucket():
    tokenizer = Tokenizer(train_wordpiece(["walks"], 50), max_tokens=40)
    assert [text_bucket(n, 16, tokenizer) for n in (3, 16, 17, 33, 40)] == [16, 16, 32, 40, 40]


def test_pad_tokens():
    ids, mask = pad_tokens(np.array([[5, 6]], np.int32), np.array([[True, True]]), 4)
    np.testing.assert_array_equal(ids, [[5, 6, 0, 0]])
    np.testing.assert_array_equal(mask, [[True, True, False, False]])
    assert (ids.dtype, mask.dtype) == (np.int32, bool)


def test_a_word_of_a_megabyte():
    """The time for a word grew with the square of its length, to minutes."""
    word = "ab" * 500_000
    started = time.monotonic()
    found = train_wordpiece([*CAPTIONS, f"a person {word}, who waves", word], 200)
    assert time.monotonic() - started < 10
    assert found == train_wordpiece([*CAPTIONS, "a person , who waves", ""], 200)
    assert long_words(f"A person {word.upper()}, who waves") == [word]
    ids, _ = Tokenizer(found, 77).encode([word])
    assert ids[0].tolist() == [2, 1, 3]  # [CLS] [UNK] [SEP]


def test_only_words_that_no_tokenizer_reads_are_left_out():
    """The vocabulary of other texts is as it was."""
    longest = "x" * MAX_WORD
    for text in (*CAPTIONS, longest, f"{longest}-{longest}.{longest}", "é" * MAX_WORD, "走" * 300):
        assert not long_words(text)
        assert without_long_words(text) is text
    model = tokenizers.Tokenizer.from_str(train_wordpiece(CAPTIONS, 200)).model
    assert model.max_input_chars_per_word == MAX_WORD
    for word in ("x" * (MAX_WORD + 1), "é" * (MAX_WORD + 1), "İ" * (MAX_WORD + 1)):
        assert len(long_words(f"a person, {word}. waves")) == 1
