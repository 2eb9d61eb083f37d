"""Batched encoding of clips and texts, and the tasks' interface to a model."""

import types

import jax
import numpy as np
import pytest
from bodies import body
from ml_collections import ConfigDict

import motionalign
from motionalign import sharding
from motionalign.data.dataset import CaptionVectors
from motionalign.inference.encoder import Encoder, Predictor, unit

BATCHES = ConfigDict({"eval_batch_size": 8, "frame_bucket": 16, "text_bucket": 4})


@pytest.fixture(scope="module")
def models(folders):
    return {name: motionalign.load(folder) for name, folder in folders.items()}


def clips(count=11):
    """Patches [T, 40, 3] of 5 to 65 frames, the longest in the middle."""
    rng = np.random.default_rng(0)
    return [rng.normal(size=(5 + 60 * i * (10 - i) // 25, 40, 3)) for i in range(count)]


def lengths(of):
    return [len(each) for each in of]


def test_batches_change_nothing(models):
    """Sorting, padding and filling of batches do not change a clip's embedding."""
    model = models["captions"]
    encoder, given = model.encoder, clips()
    found = encoder.motions(model.arrays, given.__getitem__, lengths(given))
    assert found.shape == (11, 6) and found.dtype == np.float32
    for i, clip in enumerate(given):
        alone = encoder.motions(model.arrays, [clip].__getitem__, [len(clip)])
        np.testing.assert_allclose(found[i], alone[0], atol=1e-5)


@pytest.mark.parametrize("shape", [(8, 1), (4, 2)], ids=str)
def test_any_mesh_gives_the_same(models, folders, shape):
    spread = motionalign.inference.model.load(
        folders["captions"], mesh=sharding.make_mesh(*shape), data_config=BATCHES
    )
    one, given, texts = models["captions"], clips(), ["a", "a person walks", "someone", "a"]
    for model in (one, spread):
        model.found = model.encoder.motions(model.arrays, given.__getitem__, lengths(given))
        model.said = model.encoder.texts(model.arrays, texts)
    np.testing.assert_allclose(spread.found, one.found, atol=1e-5)
    np.testing.assert_allclose(spread.said, one.said, atol=1e-5)


def test_batch_size_must_be_divisible_by_the_devices(models):
    network, mesh = models["captions"].encoder.network, sharding.make_mesh(8, 1)
    config = BATCHES.copy_and_resolve_references()
    config.eval_batch_size = 12
    with pytest.raises(ValueError, match=r"data\.eval_batch_size=12 is not a multiple of"):
        Encoder(network, None, mesh, config)


def test_few_batches_of_few_shapes(models, monkeypatch):
    model = models["captions"]
    shapes = []
    monkeypatch.setattr(
        model.encoder, "_put", lambda x: shapes.append(x.shape) or jax.numpy.asarray(x)
    )
    given = clips()
    model.encoder.motions(model.arrays, given.__getitem__, lengths(given))
    patches = [shape for shape in shapes if len(shape) == 4]
    assert [shape[0] for shape in patches] == [4, 4, 4]  # the last one is filled up
    assert [shape[1] for shape in patches] == [40, 40, 32]  # the longest first
    shapes.clear()
    model.encoder.motions(model.arrays, given.__getitem__, [5])
    assert shapes[0][:2] == (1, 16)  # one query costs no whole batch


def test_each_distinct_text_is_encoded_once(models, monkeypatch):
    model = models["captions"]
    encode, asked = model.encoder.tokenizer.encode, []
    monkeypatch.setattr(
        model.encoder.tokenizer, "encode", lambda texts: asked.append(texts) or encode(texts)
    )
    found = model.encoder.texts(model.arrays, ["b", "a person", "b", "b"])
    assert asked == [["a person", "b"]]
    np.testing.assert_array_equal(found[0], found[2])
    assert np.abs(found[0] - found[1]).max() > 1e-4
    assert model.encoder.texts(model.arrays, []).shape == (0, 6)
    with pytest.raises(ValueError, match="this model has no text encoder: it encodes motions only"):
        models["frozen"].encoder.texts({}, ["a"])


# What tasks see ----------------------------------------------------------------------------------


class Split:
    """Stands in for `records.Split`: five clips of joints."""

    name = "test"
    version_dir = "data/mine"
    ids = tuple("abcde")
    num_frames = np.array([9, 30, 12, 20, 15])

    def __getitem__(self, row):
        return {"joints": body(self.num_frames[row], seed=row)[:, None]}


DATASET = types.SimpleNamespace(
    name="mine",
    require_caption_vectors=lambda: CaptionVectors(
        "eye, readout mean", ("0", "mean"), {"a": 0, "b": 1, "c": 2}, np.eye(3, 6, dtype=np.float32)
    ),
)


def predictor(model, prepare=None):
    return Predictor(model.encoder, model.arrays, model.distance, prepare=prepare)


def test_records_are_embedded_by_row(models):
    model, split, rows = models["frozen"], Split(), np.array([3, 0, 4])
    found = predictor(model).motions(DATASET, split, rows)
    joints = [split[row]["joints"][:, 0] for row in rows]
    np.testing.assert_allclose(found, model.encode_motion(joints, 20, normalize=False), atol=1e-6)
    # Or what the model itself makes of their joints.
    found = predictor(model, prepare=lambda clip: clip[::-1]).motions(DATASET, split, rows)
    backwards = [clip[::-1] for clip in joints]
    expected = model.encode_motion(backwards, 20, normalize=False)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_a_classifier_gives_logits(models):
    model, split = models["classes"], Split()
    predict = predictor(model)
    assert predict.class_names == ("walk", "sit", "run")
    assert predict.knows_names
    logits = predict.motions(DATASET, split, np.arange(5))
    clips = [split[row]["joints"][:, 0] for row in range(5)]
    np.testing.assert_allclose(predict.probabilities(logits), model.classify(clips, 20), atol=1e-6)


def test_text_embeddings_come_from_the_model_or_the_dataset(models):
    own, frozen = predictor(models["captions"]), predictor(models["frozen"])
    texts = [["a", "b"], ["c"], ["a"]]
    found = own.class_vectors(DATASET, texts)
    expected = models["captions"].encode_text(["a", "b", "c", "a"], normalize=False)
    assert list(map(len, found)) == [2, 1, 1]
    np.testing.assert_allclose(np.concatenate(found), expected, atol=1e-6)
    np.testing.assert_array_equal(frozen.texts(DATASET, ["c", "a"]), np.eye(3, 6)[[2, 0]])
    np.testing.assert_array_equal(frozen.class_vectors(DATASET, texts)[0], np.eye(2, 6))
    with pytest.raises(ValueError, match="has no vectors for 1 texts, for example 'd'"):
        frozen.texts(DATASET, ["d"])
    assert own.text_encoder(DATASET) == "the model's own"
    assert frozen.text_encoder(DATASET) == "eye, readout mean"
    assert (own.distance, frozen.distance) == ("cosine", "euclidean")


def test_what_the_model_cuts_is_counted(models):
    dataset = types.SimpleNamespace(metadata=types.SimpleNamespace(fps=20.0))
    split, rows = Split(), np.array([1, 2, 3])
    (cut,) = predictor(models["frozen"]).cuts(dataset, split, rows, ["a " * 3000])
    assert cut.to_json() == {  # the dataset's sentence vectors were counted by `embed`
        "count": 2,
        "total": 3,
        "limit": "12 frames",
        "examples": ["b (30 frames)", "d (20 frames)"],
        "note": "2 of 3 clips are longer than 12 frames; part used: middle; for example b (30 "
        "frames), d (20 frames)",
    }
    texts = ["a " * 3000, "a person", "a person walks " * 9, "a " * 3000]
    (cut,) = predictor(models["captions"]).cuts(dataset, split, rows, texts)
    assert (cut.what, cut.count, cut.total, cut.limit) == ("texts", 3, 4, "12 tokens")
    assert cut.examples[1].endswith("a person wal...' (38 tokens)")
    assert predictor(models["captions"]).cuts(dataset, split, rows[1:], ["a person"]) == []


def test_clips_are_counted_at_the_rate_of_the_model(models):
    """30 frames at 20 a second are 59 at 40, of which 40 are used."""
    model = models["captions"]
    dataset = types.SimpleNamespace(metadata=types.SimpleNamespace(fps=20.0))
    for fps, count in ((None, 0), (20, 0), (40, 1)):
        predict = Predictor(model.encoder, model.arrays, "cosine", prepare=lambda x: x, fps=fps)
        cuts = predict.cuts(dataset, Split(), np.arange(5))
        assert sum(cut.count for cut in cuts) == count
        assert [cut.examples for cut in cuts] == [("b (59 frames)",)] * count


def test_progress_bars_are_optional(models, capsys):
    model = models["frozen"]
    for progress in (False, True):
        shown = Predictor(model.encoder, model.arrays, "cosine", progress=progress)
        shown.motions(DATASET, Split(), np.arange(5))
        assert ("mine test motions" in capsys.readouterr().err) == progress


def test_unit():
    vectors = unit(np.array([[3.0, 4.0], [0.0, 0.0], [1e-3, 0]]))
    np.testing.assert_allclose(vectors, [[0.6, 0.8], [0, 0], [1, 0]])
