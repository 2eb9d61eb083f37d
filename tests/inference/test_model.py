"""A model for inference: preparing, encoding, comparing and classifying."""

import dataclasses
import json
import types

import numpy as np
import pytest
from bodies import body

import motionalign
from motionalign.conventions import Origin
from motionalign.inference import sentence_encoder
from motionalign.inference.given import Given
from motionalign.inference.similarity import similarity_scores
from motionalign.skeleton import SKELETONS

TEXTS = ["a person walks", "someone waves"]


@pytest.fixture(scope="module", params=["captions", "frozen", "classes"])
def name(request):
    return request.param


@pytest.fixture(scope="module")
def models(folders):
    names = ("captions", "frozen", "classes")
    return {name: motionalign.load(folders[name]) for name in names}


def clips(count=3, joints=22):
    skeleton = {22: "smpl22", 21: "kit21"}[joints]
    return [body(9 + 20 * i, skeleton, seed=i) for i in range(count)]


def test_attributes_of_a_model(models):
    captions, frozen, classes = models.values()
    assert [model.distance for model in models.values()] == ["cosine", "euclidean", "cosine"]
    assert captions.class_names == frozen.class_names == ()
    assert classes.class_names == ("walk", "sit", "run")
    assert captions.metadata().name == "mine"
    assert captions.metadata("other").skeleton.name == "kit21"
    with pytest.raises(ValueError, match="no statistics of dataset 'x'; it has mine, other"):
        captions.metadata("x")
    assert captions.arrays.keys() == captions.params.keys()
    assert captions.run["step"] == 3


def test_one_clip_or_many(models):
    for name in ("captions", "frozen"):
        model = models[name]
        many = model.encode_motion(clips(), fps=20)
        assert many.shape == (3, 6) and many.dtype == np.float32
        np.testing.assert_allclose(np.linalg.norm(many, axis=1), 1, rtol=1e-5)
        for clip, vector in zip(clips(), many):
            alone = model.encode_motion(clip, fps=20)
            np.testing.assert_allclose(alone, vector, atol=1e-5)
        raw = model.encode_motion(clips(), fps=20, normalize=False)
        np.testing.assert_allclose(raw / np.linalg.norm(raw, axis=1)[:, None], many, atol=1e-5)
        prepared = [model.prepare(clip, 20) for clip in clips()]
        np.testing.assert_array_equal(model.encode_prepared(prepared), many)


def test_each_dataset_has_its_own_skeleton_and_rate(models):
    model = models["captions"]
    (clip,) = clips(1, joints=21)
    assert model.prepare(clip, 25, "other").shape == (5, 40, 3)  # 9 frames at 25, as 12.5
    assert model.encode_motion(clip, 25, dataset="other").shape == (6,)
    with pytest.raises(ValueError, match=r"clip has shape \(9, 21, 3\); expected \[frames >= 2, "):
        model.encode_motion(clip, 25)


def test_a_bad_clip_of_a_list_is_named(models):
    with pytest.raises(ValueError, match="clip 1 of the list: a clip contains values that are"):
        models["captions"].encode_motion([*clips(1), np.full((4, 22, 3), np.nan)], 20)


def test_frames_beyond_max_frames_have_no_effect(models):
    for name, seen in (("captions", slice(40)), ("frozen", slice(44, 56))):  # the beginning; middle
        clip = body(100)
        changed = clip + 1.0
        changed[seen] = clip[seen]
        vectors = models[name].encode_motion([clip, changed], 20)
        np.testing.assert_array_equal(vectors[0], vectors[1])
        assert np.abs(models[name].encode_motion(clip[::-1].copy(), 20) - vectors[0]).max() > 1e-4


def test_texts(models):
    model = models["captions"]
    many = model.encode_text([*TEXTS, TEXTS[0]])
    assert many.shape == (3, 6)
    np.testing.assert_array_equal(many[0], many[2])
    np.testing.assert_allclose(model.encode_text(TEXTS[1]), many[1], atol=1e-5)
    with pytest.raises(ValueError, match="texts are strings; found 7"):
        model.encode_text(["a", 7])
    with pytest.raises(ValueError, match="this model has no text encoder: it encodes motions only"):
        models["classes"].encode_text("a person walks")


def test_a_text_beyond_the_tokens_of_the_model_is_a_warning(models, recwarn):
    model = models["captions"]
    model.encode_text(TEXTS)
    assert not recwarn
    long = "a person walks " * 1000  # changes nothing after 12 tokens
    message = (
        r"1 of 2 texts is longer than 12 tokens; the rest is ignored; for example 'a person walks"
        r" a .*\.\.\.' \(4,002 tokens\)"
    )
    with pytest.warns(UserWarning, match=message):
        cut = model.encode_text([long, TEXTS[0]])
    with pytest.warns(UserWarning, match="longer than 12 tokens"):
        same = model.encode_text(long + "someone waves the left hand")
    np.testing.assert_allclose(cut[0], same, atol=1e-6)


def test_similarity_uses_the_distance_of_training(models):
    model = models["captions"]
    scores = model.similarity(clips(), TEXTS, fps=20)
    motion = model.encode_motion(clips(), 20, normalize=False)
    text = model.encode_text(TEXTS, normalize=False)
    np.testing.assert_allclose(scores, similarity_scores(motion, text, "cosine"), atol=1e-6)
    np.testing.assert_allclose(model.similarity(clips()[1], TEXTS, 20), scores[1], atol=1e-5)
    assert model.similarity(clips()[1], TEXTS[0], 20).shape == (1,)  # a string is one text


class SomeEncoder:
    """Stands in for `SentenceEncoder`: each text to its length, six times."""

    def __init__(self, source, readout):
        if source == "nowhere/encoder":
            raise ValueError("not on this machine")
        self.encoder = source
        self.fingerprint = ("0" * 64 if source == "here" else "1" * 64, readout)

    def cut(self, texts):
        return None

    def __call__(self, texts):
        return np.array([[len(text)] * 6 for text in texts], np.float32)


def test_a_frozen_text_encoder_is_loaded_when_it_is_needed(folders, monkeypatch):
    monkeypatch.setattr(sentence_encoder, "SentenceEncoder", SomeEncoder)
    model = motionalign.load(folders["frozen"], text_encoder="here")
    with pytest.warns(
        UserWarning, match=r"its tokenizer and config\.json .* could not be verified"
    ):
        model.encode_text("a")  # of a version that did not record them
    np.testing.assert_array_equal(model.encode_text(TEXTS, normalize=False)[:, 0], [14, 13])
    motion = model.encode_motion(clips(), 20, normalize=False)
    expected = -np.linalg.norm(motion[:, None] - np.array([[[14.0], [13]]]), axis=-1)
    np.testing.assert_allclose(model.similarity(clips(), TEXTS, 20), expected, rtol=1e-5)

    message = (
        r"text encoder nowhere/encoder, which cannot be found \(not on this .*text_encoder=FOLDER"
    )
    with pytest.raises(ValueError, match=message):
        motionalign.load(folders["frozen"]).encode_text("a")
    message = r"was trained with the text encoder nowhere/encoder .*there has other weights \(1111"
    with pytest.raises(ValueError, match=message):
        motionalign.load(folders["frozen"], text_encoder="there").encode_text("a")


def test_a_classifier(models):
    model = models["classes"]
    found = model.classify(clips(), fps=20)
    assert found.shape == (3, 3)
    np.testing.assert_allclose(found.sum(1), 1, rtol=1e-5)
    np.testing.assert_allclose(model.classify(clips()[1], 20), found[1], atol=1e-5)
    with pytest.raises(ValueError, match="is a classifier and has no embeddings: use `classify`"):
        model.encode_motion(clips(), 20)
    with pytest.raises(ValueError, match="this model has no classes of its own"):
        models["captions"].classify(clips(), 20)


def test_a_classifier_recognises_its_own_classes(models):
    model = models["classes"]
    every = model.classify(clips(), fps=20)
    own = list(model.class_names)
    found = model.recognise(clips(), own[::-1], 20)
    assert (found.names, found.unit) == (tuple(own[::-1]), "probabilities")
    np.testing.assert_allclose(found.scores, every[:, ::-1], atol=1e-6)
    assert found.best == [own[k] for k in every.argmax(axis=1)]
    one = model.recognise(clips()[1], None, 20)
    np.testing.assert_allclose(one.scores, every[1], atol=1e-5)
    two = model.recognise(clips()[1], own[1:], 20)
    np.testing.assert_allclose(two.scores, every[1, 1:], atol=1e-5)  # of all classes' 100 %
    message = r"has no class 'jump'; its 3 classes are walk, sit, run.*a language model"
    with pytest.raises(ValueError, match=message):
        model.recognise(clips(), ["walk", "jump"], 20)
    with pytest.raises(ValueError, match=r"length='sum' is about the tokens of a language model"):
        model.recognise(clips(), None, 20, length="sum")


def test_a_contrastive_model_recognises_by_similarity(models):
    model = models["captions"]
    found = model.recognise(clips(), TEXTS, 20)
    np.testing.assert_allclose(found.scores, model.similarity(clips(), TEXTS, 20), atol=1e-6)
    assert found.unit == "cosine similarity"
    assert found[0].best == found.best[0]
    with pytest.raises(ValueError, match="is named 2 times"):
        model.recognise(clips(), [TEXTS[0], TEXTS[0]], 20)
    with pytest.raises(ValueError, match="a name cannot be empty"):
        model.recognise(clips(), [TEXTS[0], " "], 20)


def test_a_model_is_saved_as_it_was(name, folders, models, tmp_path):
    folder = models[name].save_pretrained(tmp_path / "again")
    before = folders[name]
    for file in ("model.safetensors", "datasets.json"):
        assert (folder / file).read_bytes() == (before / file).read_bytes(), file
    config = json.loads((folder / "config.json").read_text())
    assert config == json.loads((before / "config.json").read_text())
    assert config["model_type"] == "motionalign"
    with pytest.raises(ValueError, match="already exists"):
        models[name].save_pretrained(tmp_path / "again")


# Conventions of clips ----------------------------------------------------------------------------


def turned(clip, degrees):
    angle = np.radians(degrees)
    turn = [[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]]
    return clip @ np.array(turn, clip.dtype).T


@pytest.fixture(scope="module")
def of_humanml3d(models):
    """The model of captions, as if trained on clips in HumanML3D's convention."""
    model = motionalign.inference.model.Model.__new__(motionalign.inference.model.Model)
    model.__dict__.update(models["captions"].__dict__)
    metadata = dataclasses.replace(model.metadata(), origin=Origin())
    model.datasets = {"mine": metadata, "other": model.metadata("other")}
    return model


def test_clips_are_made_canonical_as_in_training(of_humanml3d, models):
    clip = body(30)
    moved = turned(clip, 70) + np.float32([2, 0.4, -1])
    vector = of_humanml3d.encode_motion(clip, 20)
    np.testing.assert_allclose(of_humanml3d.encode_motion(moved, 20), vector, atol=1e-4)
    away = of_humanml3d.encode_motion(moved, 20, canonical="never")
    assert np.abs(away - vector).max() > 1e-2
    # A model whose training data do not have the convention reads clips as they are.
    as_is = models["captions"].encode_motion(moved, 20)
    np.testing.assert_array_equal(as_is, away)
    made = models["captions"].encode_motion(moved, 20, canonical="always")
    np.testing.assert_allclose(made, vector, atol=1e-4)
    with pytest.raises(ValueError, match="canonical='yes'; expected one of as trained, always, ne"):
        of_humanml3d.encode_motion(moved, 20, canonical="yes")


def test_a_canonical_clip_stays_bit_for_bit(of_humanml3d):
    clip = body(30) + np.float32([1e-4, 5e-4, 0])  # within the tolerance
    as_is = of_humanml3d.prepare(clip, 20, canonical="never")
    np.testing.assert_array_equal(of_humanml3d.prepare(clip, 20), as_is)


def test_the_floor_is_that_of_the_frames_read(of_humanml3d):
    """The model reads 40 frames at 20 a second; the clip falls below them later."""
    clip = np.repeat(body(60), 3, axis=0) + np.float32([0, 1, 0])  # 180 frames at 60
    clip[150:] -= np.float32([0, 2, 0])
    short = of_humanml3d.encode_motion(clip[:120], 60)
    np.testing.assert_allclose(of_humanml3d.encode_motion(clip, 60), short, atol=1e-4)


def test_implausible_clips_are_errors_and_can_be_declared(models):
    model, clip = models["captions"], body(30)
    vector = model.encode_motion(clip, 20)
    with pytest.raises(ValueError, match=r"unit_implausible: the body measures 165 m.*unit='cm'"):
        model.encode_motion(100 * clip, 20)
    np.testing.assert_allclose(model.encode_motion(100 * clip, 20, unit="cm"), vector, atol=1e-4)
    z_up = clip[..., [0, 2, 1]] * np.float32([1, -1, 1])
    with pytest.raises(ValueError, match=r"clip 1 of the list: axis_implausible: .*up='z'"):
        model.similarity([clip, z_up], TEXTS, 20)
    np.testing.assert_allclose(model.encode_motion(z_up, 20, up="z"), vector, atol=1e-5)
    with pytest.raises(ValueError, match=r"handedness: .*accept='handedness'"):
        models["classes"].classify(clip * np.float32([-1, 1, 1]), 20)
    names = model.metadata().skeleton.joint_names
    shuffled = np.random.default_rng(0).permutation(22)
    with pytest.raises(ValueError, match="order_implausible"):
        model.encode_motion(clip[:, shuffled], 20)
    order = [names[i] for i in shuffled]
    again = model.encode_motion(clip[:, shuffled], 20, order=order)
    np.testing.assert_allclose(again, vector, atol=1e-5)
    again = model.encode_motion(clip[:, shuffled], 20, order=",".join(order))
    np.testing.assert_allclose(again, vector, atol=1e-5)
    with pytest.raises(ValueError, match="declared order names 23 joints: it must name all 22"):
        model.encode_motion(clip, 20, order=[*order, "left_hand"])
    frozen = np.repeat(clip[:1], 30, axis=0)
    with pytest.raises(ValueError, match="frozen: no joint moves in 100% of the clip"):
        model.encode_motion(frozen, 20)
    assert model.encode_motion(frozen, 20, accept=["frozen"]).shape == (6,)
    with pytest.raises(ValueError, match="accept='size'; expected one of zeros, frozen"):
        model.encode_motion(clip, 20, accept=["size"])
    with pytest.raises(ValueError, match=r"order='NAME,NAME,...'"):
        model.encode_motion(clip[:, shuffled], 20)
    integers = (1000 * clip).round().astype(np.int16)
    np.testing.assert_allclose(model.encode_motion(integers, 20, unit="mm"), vector, atol=0.02)
    with pytest.raises(ValueError, match=r"^accept='size'"):
        model.encode_motion([clip], 20, accept=["size"])
    with pytest.raises(TypeError, match="units"):
        model.encode_motion(clip, 20, units="cm")


def test_what_has_no_conventions_cannot_be_declared(models):
    metadata = models["captions"].metadata()
    rotations = types.SimpleNamespace(of_positions=False)
    images = dataclasses.replace(metadata, skeleton=SKELETONS["coco18"])
    joints = types.SimpleNamespace(of_positions=True)
    Given.of().check(metadata, rotations)
    Given.of(canonical="never").check(images, joints)
    with pytest.raises(ValueError, match="this model reads rotations, which have no unit, up"):
        Given.of(unit="cm").check(metadata, rotations)
    with pytest.raises(ValueError, match="joints in two dimensions, which have no unit"):
        Given.of(canonical="always").check(images, joints)


@pytest.mark.parametrize("change", [{"unit_in_metres": None}, {"accepted": ("unit_implausible",)}])
def test_the_scale_of_training_data_that_were_not_judged_by_size(models, change):
    model = motionalign.inference.model.Model.__new__(motionalign.inference.model.Model)
    model.__dict__.update(models["captions"].__dict__)
    mean = body(100).mean(0)
    metadata = dataclasses.replace(model.metadata(), mean=mean, **change)
    model.datasets = {"mine": metadata}
    child = model.prepare(0.6 * body(30), 20)
    assert len(child) == 30
    for factor in (0.01, 0.1, 10, 100):
        with pytest.raises(
            ValueError, match=r"unit_implausible: .* the mean body of training 1\.4"
        ):
            model.prepare(factor * body(30), 20)
    assert model.prepare(100 * body(30), 20, accept=["unit_implausible"]).shape == child.shape
