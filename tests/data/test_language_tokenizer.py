"""Tokenizers of language models: pieces of texts, answers, and what checkpoints store."""

import json

import gguf_files
import numpy as np
import pytest
import vocabularies
from vocabularies import write_json

from motionalign.data.language_tokenizer import LanguageTokenizer
from motionalign.models.weights.load import load_language_tokenizer

NAMES = ["walking", "drinking water", "sit down", "Überschlag", "人が歩く", "pick up with one hand"]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A folder with tokenizer.json of each kind of vocabulary, and the files that state roles."""
    byte_level = tmp_path_factory.mktemp("byte_level")
    vocabulary = gguf_files.byte_level(byte_level)
    gguf_files.write(byte_level / "m.gguf", vocabulary, {})
    stored = json.loads(load_language_tokenizer(str(byte_level / "m.gguf")).json)
    (byte_level / "m.gguf").unlink()
    write_json(byte_level / "tokenizer.json", stored["tokenizer"])
    write_json(byte_level / "config.json", {"eos_token_id": [2, 0], "bos_token_id": 1})

    sentencepiece = tmp_path_factory.mktemp("sentencepiece")
    reader = gguf_files.train_sentencepiece(sentencepiece)
    vocabulary = gguf_files.of_sentencepiece(reader)
    gguf_files.write(sentencepiece / "m.gguf", vocabulary, {})
    stored = json.loads(load_language_tokenizer(str(sentencepiece / "m.gguf")).json)
    (sentencepiece / "m.gguf").unlink()
    write_json(sentencepiece / "tokenizer.json", stored["tokenizer"])
    special = {"bos_token": {"content": "<s>"}, "eos_token": "</s>", "add_bos_token": True}
    write_json(sentencepiece / "tokenizer_config.json", special)

    metaspace = tmp_path_factory.mktemp("metaspace")  # the newer form of the same tokenizer
    stored["tokenizer"]["normalizer"] = None
    stored["tokenizer"]["pre_tokenizer"] = {
        "type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": False,
    }  # fmt: skip
    write_json(metaspace / "tokenizer.json", stored["tokenizer"])
    write_json(metaspace / "tokenizer_config.json", special)
    return {"byte_level": byte_level, "sentencepiece": sentencepiece, "metaspace": metaspace}


KINDS = ["byte_level", "sentencepiece", "metaspace"]


@pytest.fixture(params=KINDS)
def tokenizer(folders, request):
    return load_language_tokenizer(str(folders[request.param]))


def test_pieces_are_the_whole_text(tokenizer):
    """A prompt and an answer that starts with a space have the tokens of the text as a whole."""
    for prompt in ("The action is:", "Q", "läuft ist", "a\nb, then", "x2 12"):
        for name in NAMES:
            whole = tokenizer.ids(f"{prompt} {name}", start=True)
            pieces = tokenizer.ids(prompt, start=True) + tokenizer.ids(f" {name}")
            assert pieces == whole, (prompt, name)
            row, mask = tokenizer.encode([name])
            assert row[0, mask[0]].tolist() == [*tokenizer.ids(f" {name}"), tokenizer.eos]


def test_only_the_first_piece_gets_a_prefix(folders):
    byte_level, sentencepiece, metaspace = (
        load_language_tokenizer(str(f)) for f in folders.values()
    )
    assert byte_level.ids("person", start=True) == byte_level.ids("person")
    for tokenizer in (sentencepiece, metaspace):
        assert tokenizer.ids("person", start=True) == tokenizer.ids(" person")
        assert tokenizer.ids("person") != tokenizer.ids(" person")
        assert tokenizer.text(tokenizer.ids("person")) == "person"
    # A space before the prefix: the two forms of SentencePiece's tokenizers differ.
    assert sentencepiece.ids(" a", start=True) == sentencepiece.ids("  a")
    assert metaspace.ids(" a", start=True) == metaspace.ids(" a")


def test_text_is_the_inverse(tokenizer):
    for text in (*NAMES, " walking", "  two", "a\n", "🤸", *vocabularies.sentences(60)):
        assert tokenizer.text(tokenizer.ids(text)) == text
    assert tokenizer.text(np.array(tokenizer.ids("walks"))) == "walks"
    assert tokenizer.text([]) == ""
    beyond = [tokenizer.ids("a")[0], tokenizer.vocab_size, -1, tokenizer.eos]
    assert tokenizer.text(beyond) == f"a��{tokenizer.token(tokenizer.eos)}"


def test_answers(tokenizer):
    ids, mask = tokenizer.encode(NAMES)
    assert (ids.dtype, mask.dtype, ids.shape) == (np.int32, bool, mask.shape)
    lengths = mask.sum(1)
    assert lengths.max() == ids.shape[1]
    for row, real, name in zip(ids, mask, NAMES):
        assert row[real][-1] == tokenizer.eos
        assert tokenizer.text(row[real][:-1]) == f" {name}"
        assert (row[~real] == tokenizer.pad).all()
        assert (np.flatnonzero(real) == np.arange(real.sum())).all()
    np.testing.assert_array_equal(ids, tokenizer.encode([f" {name}" for name in NAMES])[0])
    assert not np.array_equal(ids, tokenizer.encode([f"\n{name}" for name in NAMES])[0])
    bare, there = tokenizer.encode(["walks"], before="")
    assert bare[there].tolist() == [*tokenizer.ids("walks"), tokenizer.eos]
    assert tokenizer.encode([])[0].shape == (0, 0)


@pytest.mark.parametrize("name", ["", " ", "\n\t"])
def test_an_empty_answer(tokenizer, name):
    with pytest.raises(ValueError, match=r"answer 1 of 2 is .*needs a character"):
        tokenizer.encode(["walks", name])
    with pytest.raises(ValueError, match="answer 0 of 1"):
        tokenizer.truncated([name])


def test_long_answers_are_cut_and_told(folders):
    short = load_language_tokenizer(str(folders["byte_level"]), max_tokens=5)
    texts = ["a", "pick up with one hand and then the other", "b c d e f g"]
    lengths = [len(short.ids(f" {text}")) + 1 for text in texts]
    assert short.truncated(texts) == {i: n for i, n in enumerate(lengths) if n > 5}
    assert len(short.truncated(texts)) == 2
    ids, mask = short.encode(texts)
    assert ids.shape == (3, 5)
    assert ids[1].tolist() == [*short.ids(f" {texts[1]}")[:4], short.eos]
    assert mask.sum(1).tolist() == [min(n, 5) for n in lengths]


def test_roles(folders):
    byte_level = load_language_tokenizer(str(folders["byte_level"]))
    assert (byte_level.bos, byte_level.eos, byte_level.stops) == (1, 2, (2, 0))
    assert (byte_level.pad, byte_level.add_bos) == (2, False)
    sentencepiece = load_language_tokenizer(str(folders["sentencepiece"]))
    assert (sentencepiece.bos, sentencepiece.eos, sentencepiece.add_bos) == (1, 2, True)


def test_roles_by_several_files(folders, tmp_path):
    """The tokenizer's own end token comes before those of generation_config.json."""
    (tmp_path / "tokenizer.json").write_bytes(
        (folders["byte_level"] / "tokenizer.json").read_bytes()
    )
    config = {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>", "chat_template": "{{ x }}"}
    write_json(tmp_path / "tokenizer_config.json", config)
    write_json(tmp_path / "generation_config.json", {"eos_token_id": [0, 2, 1], "bos_token_id": 1})
    found = load_language_tokenizer(str(tmp_path))
    assert (found.stops, found.bos, found.pad, found.add_bos) == ((2, 0, 1), 1, 0, False)
    assert found.chat_template == "{{ x }}"
    named = [{"name": "tool", "template": "a"}, {"name": "default", "template": "b"}]
    write_json(tmp_path / "tokenizer_config.json", {"chat_template": named})
    assert load_language_tokenizer(str(tmp_path)).chat_template == "b"


def test_stored_and_read_again(tokenizer):
    again = LanguageTokenizer.from_json(tokenizer.json)
    assert again.json == tokenizer.json
    attributes = ("bos", "eos", "stops", "pad", "add_bos", "chat_template", "vocab_size")
    for name in attributes:
        assert getattr(again, name) == getattr(tokenizer, name), name
    for text in vocabularies.sentences(60):
        for special in (False, True):
            for start in (False, True):
                assert again.ids(text, special, start) == tokenizer.ids(text, special, start)
    assert LanguageTokenizer.from_json(tokenizer.json, 7).max_tokens == 7


def test_padding_and_truncation_of_the_file_are_off(folders):
    content = json.loads((folders["byte_level"] / "tokenizer.json").read_text("utf-8"))
    content["padding"] = {
        "strategy": {"Fixed": 50}, "direction": "Right", "pad_to_multiple_of": None, "pad_id": 0,
        "pad_type_id": 0, "pad_token": "<|endoftext|>",
    }  # fmt: skip
    content["truncation"] = {
        "direction": "Right", "max_length": 2, "strategy": "LongestFirst", "stride": 0,
    }  # fmt: skip
    limited = LanguageTokenizer(json.dumps(content), stops=[2])
    assert limited.ids("a b c d e") == load_language_tokenizer(str(folders["byte_level"])).ids(
        "a b c d e"
    )


def test_check_fits(tokenizer):
    tokenizer.check_fits(tokenizer.vocab_size, "x")
    with pytest.raises(ValueError, match=r"tokenizer of LLAMA has the token .*do not belong"):
        tokenizer.check_fits(tokenizer.vocab_size - 1, "LLAMA")


# ---------------------------------------------------------------------------- what is refused


def test_a_source_without_a_tokenizer(tmp_path):
    with pytest.raises(ValueError, match=r"neither tokenizer.json nor tokenizer.model"):
        load_language_tokenizer(str(tmp_path))


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({}, "no token that ends a text is stated"),
        ({"eos_token_id": 10**6}, "no token of the eos id 1000000"),
        ({"eos_token_id": []}, "no token that ends a text is stated"),
        ({"eos_token_id": "x"}, "eos_token_id is 'x'"),
        ({"eos_token_id": [2, "x"]}, "eos_token_id"),
        ({"eos_token_id": -1}, "no token of the eos id -1"),
        ({"eos_token": "<none>"}, "eos_token is '<none>', which is no token"),
        ({"eos_token": 3}, "eos_token is 3"),
        ({"eos_token_id": 2, "bos_token_id": 2.5}, "bos_token_id is 2.5"),
    ],
)
def test_stated_roles_that_do_not_fit(folders, tmp_path, config, said):
    (tmp_path / "tokenizer.json").write_bytes(
        (folders["byte_level"] / "tokenizer.json").read_bytes()
    )
    write_json(tmp_path / "config.json", config)
    with pytest.raises(ValueError, match=f"tokenizer of .*{said}"):
        load_language_tokenizer(str(tmp_path))


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"tokenizer": {}}', "null", "{"])
def test_a_stored_tokenizer_that_is_none(text):
    with pytest.raises(ValueError, match="the language model's tokenizer"):
        LanguageTokenizer.from_json(text)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"tokenizer": {}}, "tokenizer.json cannot be read"),
        ({"stops": []}, "no token that ends a text"),
        ({"bos": 10**9}, "no token of the bos id"),
        ({"pad": -5}, "no token of the pad id"),
        ({"bos": 2**40}, "no token of the bos id"),
        ({"add_bos": True, "bos": None}, "there is none"),
        ({"add_bos": 1}, "add_bos is 1"),
    ],
)
def test_a_stored_tokenizer_that_is_damaged(folders, changes, said):
    stored = json.loads(load_language_tokenizer(str(folders["byte_level"])).json)
    with pytest.raises(ValueError, match=said):
        LanguageTokenizer.from_json(json.dumps(stored | changes))


def test_no_room_for_an_answer(folders):
    with pytest.raises(ValueError, match="max_tokens is 1"):
        load_language_tokenizer(str(folders["byte_level"]), max_tokens=1)
