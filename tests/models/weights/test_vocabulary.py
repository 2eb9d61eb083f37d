"""Tokenizers converted from vocab.txt, vocab.json with merges.txt, and SentencePiece."""

import json
import os
import subprocess
import sys
import unicodedata

import pytest
import tokenizers
import vocabularies
from vocabularies import sentences, write_json

from motionalign.models.families import TEXT_FAMILIES
from motionalign.models.weights import vocabulary
from motionalign.models.weights.load import load_tokenizer
from motionalign.models.weights.source import Source

transformers = pytest.importorskip("transformers")
sentencepiece = pytest.importorskip("sentencepiece")

SENTENCES = sentences(500)


def mpnet_vocabulary(folder):
    vocabularies.wordpiece(folder, True, ("<s>", "<pad>", "</s>", "<unk>", "[UNK]", "<mask>"))


# name → (class, what writes the vocabulary, tokenizer_config.json)
KINDS = {
    "uncased": ("BertTokenizer", lambda f: vocabularies.wordpiece(f, True), None),
    "cased": (
        "BertTokenizer",
        lambda f: vocabularies.wordpiece(f, False),
        {"do_lower_case": False},
    ),
    "accents": (
        "BertTokenizer",
        lambda f: vocabularies.wordpiece(f, True, strip_accents=False),
        {"strip_accents": False, "tokenize_chinese_chars": False},
    ),
    "distilbert": ("DistilBertTokenizer", lambda f: vocabularies.wordpiece(f, True), {}),
    "mpnet": ("MPNetTokenizer", mpnet_vocabulary, {"model_max_length": 512}),
    "roberta": ("RobertaTokenizer", vocabularies.byte_level, {"tokenizer_class": None}),
    "prefix": ("RobertaTokenizer", vocabularies.byte_level, {"add_prefix_space": True}),
    "clip": ("CLIPTokenizer", vocabularies.clip_bpe, {}),
    "xlm-roberta": ("XLMRobertaTokenizer", vocabularies.sentencepiece, None),
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """{name of KINDS: a folder with its files}."""
    made = {}
    for name, (_, write, config) in KINDS.items():
        made[name] = tmp_path_factory.mktemp(name)
        write(made[name])
        if config is not None:
            write_json(made[name] / "tokenizer_config.json", config)
    return made


def ids_of(tokenizer, texts=SENTENCES) -> list[list[int]]:
    """The ids of each text, without padding, which depends on the tokenizer."""
    ids, mask = tokenizer.encode(texts)
    assert set(ids[~mask]) <= {tokenizer.pad_id}
    return [row[real].tolist() for row, real in zip(ids, mask)]


def ours(folders, name, max_tokens=512):
    return load_tokenizer(str(folders[name]), max_tokens, KINDS[name][0])


# --------------------------------------------------------------------------------- what it gives


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("max_tokens", [512, 7])
def test_equals_transformers(folders, name, max_tokens):
    reference = getattr(transformers, KINDS[name][0]).from_pretrained(str(folders[name]))
    expected = reference(SENTENCES, truncation=True, max_length=max_tokens)["input_ids"]
    tokenizer = ours(folders, name, max_tokens)
    assert ids_of(tokenizer) == expected
    assert tokenizer.vocab_size == len(reference)
    assert tokenizer.pad_id == reference.pad_token_id
    longest = max(map(len, expected))
    assert longest == 7 if max_tokens == 7 else longest > 20


def test_sentences_and_vocabularies_distinguish_tokenizers(folders):
    """Otherwise equality shows little: few tokens are unknown, many words have several tokens."""
    assert len(set(SENTENCES)) > 490
    found = {}
    for name in KINDS:
        tokens = [i for row in ids_of(ours(folders, name)) for i in row]
        assert len(set(tokens)) > 150, name
        unknown = tokenizers.Tokenizer.from_str(ours(folders, name).json).token_to_id("[UNK]")
        assert tokens.count(unknown) < len(tokens) / 10
        found[name] = tokens
    for one, other in (("uncased", "cased"), ("uncased", "accents"), ("roberta", "prefix")):
        assert found[one] != found[other]


@pytest.mark.parametrize(("name", "lower"), [("uncased", True), ("cased", False)])
def test_wordpiece_equals_that_in_python(folders, name, lower):
    """The models' original code, which composes accents and handles the final sigma."""
    from transformers.models.bert.tokenization_bert_legacy import BertTokenizerLegacy

    reference = BertTokenizerLegacy(str(folders[name] / "vocab.txt"), do_lower_case=lower)
    texts = [t for t in SENTENCES if unicodedata.is_normalized("NFC", t)]
    texts = [t for t in texts if not (lower and "Σ" in t)]
    assert len(texts) > 300
    assert ids_of(ours(folders, name), texts) == [reference(t)["input_ids"] for t in texts]


@pytest.mark.parametrize("name", ["roberta", "prefix"])
def test_byte_level_bpe_equals_that_of_tokenizers(folders, name):
    files = (str(folders[name] / file) for file in ("vocab.json", "merges.txt"))
    reference = tokenizers.ByteLevelBPETokenizer(*files, add_prefix_space=name == "prefix")
    expected = [[0, *reference.encode(text).ids, 2] for text in SENTENCES]
    assert ids_of(ours(folders, name)) == expected


def test_unigram_equals_sentencepiece(folders):
    """Ids are SentencePiece's, moved by one, its three special ones apart.

    Of decomposed letters `tokenizers` keeps less than SentencePiece does, as in transformers.
    """
    model = str(folders["xlm-roberta"] / "sentencepiece.bpe.model")
    reference = sentencepiece.SentencePieceProcessor(model_file=model)
    texts = [t for t in SENTENCES if unicodedata.is_normalized("NFC", t)]
    assert len(texts) > 300
    moved = {0: 3, 1: 0, 2: 2}
    expected = [[0, *(moved.get(i, i + 1) for i in reference.encode(t)), 2] for t in texts]
    assert ids_of(ours(folders, "xlm-roberta"), texts) == expected


def test_capitals_and_umlauts_of_an_uncased_bert_are_known(tmp_path):
    words = ("lauft", "a", "person")
    (tmp_path / "vocab.txt").write_text("\n".join((*vocabularies.BERT_TOKENS, *words)), "utf-8")
    tokenizer = load_tokenizer(str(tmp_path), 64, "BertTokenizer")
    assert ids_of(tokenizer, ["Läuft A Person"]) == [[2, 5, 6, 7, 3]]


# ------------------------------------------------------------------------------ what sources state


def test_special_tokens_are_those_that_the_source_states(tmp_path):
    special = ("<leer>", "<unbekannt>", "<anfang>", "<ende>", "[MASK]")
    vocabularies.wordpiece(tmp_path, True, special)
    names = ("pad_token", "unk_token", "cls_token", "sep_token")
    write_json(tmp_path / "special_tokens_map.json", dict(zip(names, special)))
    tokenizer = load_tokenizer(str(tmp_path), 64, "BertTokenizer")
    ids, mask = tokenizer.encode(["𓀀", "a person walks"])
    assert ids[0].tolist()[:3] == [2, 1, 3]
    assert tokenizer.pad_id == 0 and set(ids[~mask]) == {0}
    write_json(tmp_path / "tokenizer_config.json", {**dict(zip(names, special)), "x": 1})
    (tmp_path / "special_tokens_map.json").unlink()
    assert load_tokenizer(str(tmp_path), 64, "BertTokenizer").json == tokenizer.json


def test_texts_are_truncated_to_model_max_length(tmp_path):
    vocabularies.byte_level(tmp_path)
    write_json(tmp_path / "tokenizer_config.json", {"model_max_length": 9})
    long = "a person walks " * 20
    for max_tokens, expected in ((64, 9), (9, 9), (5, 5)):
        tokenizer = load_tokenizer(str(tmp_path), max_tokens, "RobertaTokenizer")
        assert tokenizer.max_tokens == expected
        assert ids_of(tokenizer, [long])[0][-1] == 2
        assert len(ids_of(tokenizer, [long])[0]) == expected


def test_added_tokens_have_the_ids_that_the_source_states(tmp_path):
    vocabularies.byte_level(tmp_path)
    size = len(json.loads((tmp_path / "vocab.json").read_text("utf-8")))
    write_json(tmp_path / "added_tokens.json", {"<walk>": size, "<jump>": size + 1})
    tokenizer = load_tokenizer(str(tmp_path), 64, "RobertaTokenizer")
    assert ids_of(tokenizer, ["<jump><walk>"]) == [[0, size + 1, size, 2]]


@pytest.mark.parametrize("file", ["tokenizer_config.json", "config.json"])
def test_the_class_is_the_one_that_the_source_states(folders, tmp_path, file):
    """As in a BERT with XLM-R's vocabulary; the family's class is only the default."""
    name = "sentencepiece.bpe.model"
    (tmp_path / name).write_bytes((folders["xlm-roberta"] / name).read_bytes())
    write_json(tmp_path / file, {"tokenizer_class": "XLMRobertaTokenizerFast"})
    tokenizer = load_tokenizer(str(tmp_path), 512, "BertTokenizer")
    assert tokenizer.json == ours(folders, "xlm-roberta").json


def test_every_family_has_a_class():
    assert {family.tokenizer for family in TEXT_FAMILIES.values()} == set(vocabulary.CLASSES)
    assert set(vocabulary.CLASSES) == {name for name, _, _ in KINDS.values()}


def test_tokenizer_json_has_priority(folders, tmp_path):
    """Whatever vocabulary the folder also has."""
    vocabularies.wordpiece(tmp_path, True)
    (tmp_path / "tokenizer.json").write_text(ours(folders, "roberta").json, "utf-8")
    assert load_tokenizer(str(tmp_path), 64, "BertTokenizer").json == ours(folders, "roberta").json


# ----------------------------------------------------------------------------------- imports


def run_python(script: str, *arguments, **environment):
    return subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments)],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
    )


LOAD = "import sys\nfrom motionalign.models.weights.load import load_tokenizer\n"


def test_conversion_imports_no_torch(folders):
    script = LOAD + (
        "import motionalign.models.families\n"
        "assert 'transformers' not in sys.modules\n"
        "for name, folder in zip(sys.argv[1::2], sys.argv[2::2]):\n"
        "    load_tokenizer(folder, 64, name).encode(['a person walks'])\n"
        "print('transformers' in sys.modules, 'torch' in sys.modules)"
    )
    arguments = [x for name in KINDS for x in (KINDS[name][0], folders[name])]
    out = run_python(script, *arguments)
    assert (out.stdout, out.stderr, out.returncode) == ("True False\n", "", 0)


def test_conversion_where_torch_is_not_installed(folders):
    """Nor is its absence reported."""
    script = "import sys; sys.modules['torch'] = None\n" + LOAD
    script += "print(len(load_tokenizer(sys.argv[1], 64, 'BertTokenizer').encode(['a'])[0][0]))"
    out = run_python(script, folders["uncased"])
    assert (out.stdout, out.stderr, out.returncode) == ("3\n", "", 0)


def test_a_tokenizer_json_needs_no_transformers(folders, tmp_path):
    (tmp_path / "tokenizer.json").write_text(ours(folders, "uncased").json, "utf-8")
    script = "import sys; sys.modules['transformers'] = None\n" + LOAD
    script += "print(len(load_tokenizer(sys.argv[1], 64, 'BertTokenizer').encode(['a'])[0][0]))"
    out = run_python(script, tmp_path)
    assert (out.stdout, out.returncode) == ("3\n", 0), out.stderr


# ---------------------------------------------------------------------------------- mistakes


def failing(folder, tokenizer_class="BertTokenizer") -> str:
    """The error message of loading a folder's tokenizer."""
    with pytest.raises(ValueError) as error:
        load_tokenizer(str(folder), 64, tokenizer_class)
    assert str(folder) in str(error.value)
    return str(error.value)


def test_nothing_to_convert(tmp_path):
    message = failing(tmp_path, "RobertaTokenizer")
    assert "has neither tokenizer.json nor vocab.json and merges.txt" in message
    assert "found: no tokenizer file" in message


def test_an_incomplete_vocabulary(folders, tmp_path):
    (tmp_path / "vocab.json").write_bytes((folders["roberta"] / "vocab.json").read_bytes())
    (tmp_path / "spiece.model").write_bytes(b"")
    message = failing(tmp_path, "RobertaTokenizer")
    assert "found: spiece.model, vocab.json" in message
    assert "state its tokenizer_class in tokenizer_config.json: BertTokenizer, " in message


def test_no_class(folders):
    message = failing(folders["roberta"], None)
    assert "tokenizer_config.json must state a tokenizer_class: BertTokenizer, " in message


def test_a_class_that_is_not_known(tmp_path):
    vocabularies.wordpiece(tmp_path, True)
    write_json(tmp_path / "tokenizer_config.json", {"tokenizer_class": "BertJapaneseTokenizer"})
    message = failing(tmp_path)
    assert "'BertJapaneseTokenizer' cannot be converted; valid: BertTokenizer, " in message


@pytest.mark.parametrize("config", [None, {"model_max_length": 512}])
def test_a_cased_vocabulary_without_do_lower_case(tmp_path, config):
    vocabularies.wordpiece(tmp_path, False)
    if config:
        write_json(tmp_path / "tokenizer_config.json", config)
    assert '"do_lower_case": false (or true)' in failing(tmp_path)
    write_json(tmp_path / "tokenizer_config.json", {"do_lower_case": True})
    load_tokenizer(str(tmp_path), 64, "BertTokenizer")


def test_the_class_of_another_vocabulary(folders, tmp_path):
    """The class's special tokens would have ids that the model does not know."""
    (tmp_path / "vocab.txt").write_bytes((folders["mpnet"] / "vocab.txt").read_bytes())
    message = failing(tmp_path, "BertTokenizer")
    assert "lacks [CLS], [PAD], [SEP], which transformers.BertTokenizer needs" in message


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("roberta", "vocab.json"),
        ("roberta", "merges.txt"),
        ("xlm-roberta", "sentencepiece.bpe.model"),
    ],
)
def test_damaged_files(folders, tmp_path, name, file):
    for path in folders[name].iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / file).write_bytes(b"\xff{")
    assert f"cannot be converted by transformers.{KINDS[name][0]}" in failing(
        tmp_path, KINDS[name][0]
    )


@pytest.mark.parametrize("package", ["sentencepiece", "google"])
def test_sentencepiece_is_not_installed(folders, monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.delitem(sys.modules, "google.protobuf", raising=False)
    message = failing(folders["xlm-roberta"], "XLMRobertaTokenizer")
    assert 'pip install "sentencepiece>=0.2,<0.3" protobuf' in message


# ------------------------------------------------------------------------------------- the Hub


@pytest.fixture
def offline_hub(tmp_path, monkeypatch):
    """The Hub's cache without network: (folder of a/b, folder of files that the Hub lacks)."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    repo = tmp_path / "models--a--b"
    folders = [repo / place / ("c" * 40) for place in ("snapshots", ".no_exist")]
    for folder in (repo / "refs", *folders):
        folder.mkdir(parents=True)
    (repo / "refs/main").write_text("c" * 40)
    return folders


def test_a_vocabulary_from_the_hubs_cache(folders, offline_hub):
    """Offline, a file counts as missing only if an earlier request found that the Hub lacks it."""
    there, missing = offline_hub
    for path in folders["cased"].iterdir():
        (there / path.name).write_bytes(path.read_bytes())
    with pytest.raises(ValueError, match=r"tokenizer\.json \(or its vocabulary and tokenizer_conf"):
        load_tokenizer("a/b", 64, "BertTokenizer")
    for name in ("tokenizer.json", "config.json", *vocabulary.OPTIONS[1:]):
        (missing / name).touch()
    assert Source("a/b").file("tokenizer.json") is None
    expected = ours(folders, "cased", 64).json
    assert load_tokenizer("a/b", 64, "BertTokenizer").json == expected


@pytest.mark.parametrize("name", ["vocab.txt", "tokenizer_config.json", "added_tokens.json"])
def test_a_pointer_of_git_lfs_in_place_of_a_vocabulary(tmp_path, name):
    vocabularies.wordpiece(tmp_path, True)
    write_json(tmp_path / "tokenizer_config.json", {"tokenizer_class": "BertTokenizer"})
    vocabulary.convert(Source(tmp_path))
    (tmp_path / name).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    with pytest.raises(ValueError, match=rf"{tmp_path / name} is a pointer of Git LFS"):
        vocabulary.convert(Source(tmp_path))
