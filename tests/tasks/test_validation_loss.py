"""The validation loss: the training objective on fixed batches of the validation embeddings."""

import pathlib
import types

import jax
import numpy as np
import pytest
from runs import tiny_config
from stand_ins import Predict, SomeDataset, Split, metadata

from motionalign import sharding, step, train
from motionalign.configs import common
from motionalign.data.dataset import CaptionVectors, Dataset
from motionalign.evaluate import validate_all
from motionalign.inference.encoder import Predictor
from motionalign.models.dual_encoder import Outputs
from motionalign.models.motion_transformer import MotionTransformerConfig
from motionalign.tasks.objectives import OBJECTIVES, classification
from motionalign.tasks.registry import TASKS
from motionalign.tasks.validation_loss import ValidationLoss

MOTION = MotionTransformerConfig(
    joints=22, channels=3, width=8, depth=1, heads=2, mlp_width=16, norm="pre",
    positions="learned", frames=12, window="centre",
)  # fmt: skip
MESH = sharding.mesh_of(jax.devices()[:1], 1, 1)
RNG = np.random.default_rng(0)


def loss_of(task, kind, dataset, predict, text=None, batch_size=4, **fields):
    """The validation loss of a run with a stand-in model; `text`: the model has a text encoder."""
    config = common.base()
    config.update({"task": task, "data": {"batch_size": batch_size}})
    config.loss.update({"kind": kind, **fields})
    task = TASKS[task](config)
    objective = OBJECTIVES[kind](config.loss, task.has_classes)
    needs_vectors = ("text_vectors",) if text is None and objective.compares else ()
    network = types.SimpleNamespace(
        config=types.SimpleNamespace(text=text, motion=MOTION, batch_fields=needs_vectors)
    )
    return ValidationLoss(network, task, objective, config, MESH)(predict, dataset, "test")


def captioned(count, vectors=None):
    folder = pathlib.Path("data/mine/1.0.0")
    split = Split(labels=[0] * count)
    return SomeDataset(split, metadata(), caption_vectors=vectors, version_dir=folder)


def said(count, width=5):
    return {f"caption {i}": RNG.normal(size=width).astype(np.float32) for i in range(count)}


def info_nce(motion, text, scale, keep=True):
    """The symmetric loss by hand, in float64."""
    motion, text = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (motion, text))
    logits = np.where(keep | np.eye(len(motion), dtype=bool), scale * motion @ text.T, -np.inf)
    loss = [np.log(np.exp(m).sum(1)) - np.diag(m) for m in (logits, logits.T)]
    return np.mean(loss)


def test_contrastive_within_a_batch_of_the_first_captions():
    vectors = said(4)
    motion = RNG.normal(size=(4, 5))
    predict = Predict(motion, vectors)
    found = loss_of("captions", "contrastive", captioned(4), predict, text=True)
    assert found == pytest.approx(info_nce(motion, np.array(list(vectors.values())), 10.0), 1e-5)
    # A split that does not fill a batch is one batch.
    assert loss_of(
        "captions", "contrastive", captioned(4), predict, text=True, batch_size=64
    ) == pytest.approx(found, 1e-6)


def test_the_last_incomplete_batch_is_left_out():
    """11 clips form two batches of 4, the same ones every time."""
    predict = Predict(RNG.normal(size=(11, 5)), said(11))
    found = [
        loss_of("captions", "contrastive", captioned(11), predict, text=True) for _ in range(2)
    ]
    assert found[0] == found[1] > 0

    batches = []
    original = OBJECTIVES["contrastive"].loss
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            OBJECTIVES["contrastive"],
            "loss",
            lambda self, outputs, *rest: (
                batches.append(outputs.motion.shape) or original(self, outputs, *rest)
            ),
        )
        loss_of("captions", "contrastive", captioned(11), predict, text=True)
    assert batches == [(4, 5)]  # traced once, since both batches have the same shape


def test_masked_negatives_are_left_out():
    vectors = said(4)
    rows = {name: i for i, name in enumerate(vectors)}
    rows["another"] = 4  # each clip's second caption
    sentence = np.array([[1, 0], [1, 0.01], [0, 1], [-1, 0], [0, -1]], np.float32)
    alike = CaptionVectors("eye", ("0", "mean"), rows, sentence)
    motion = RNG.normal(size=(4, 5))
    keep = np.ones((4, 4), bool)
    keep[0, 1] = keep[1, 0] = False
    found = loss_of(
        "captions", "contrastive", captioned(4, alike), Predict(motion, vectors), text=True,
        mask_negatives=True,
    )  # fmt: skip
    text = np.array(list(vectors.values()))
    assert found == pytest.approx(info_nce(motion, text, 10.0, keep), 1e-5)


LABELS = ("walk", "sit", "run")


def labelled(labels=(0, 1, 2, 1), names=LABELS):
    rows = {name: i for i, name in enumerate(names)}
    vectors = np.eye(3, 5, dtype=np.float32)
    return SomeDataset(
        Split(labels=labels),
        metadata(label_names=names),
        caption_vectors=CaptionVectors("eye", ("0", "mean"), rows, vectors),
    )


def test_mse_towards_the_vectors_of_the_classes():
    motion = RNG.normal(size=(4, 5))
    found = loss_of("labels", "mse", labelled(), Predict(motion))
    text = np.eye(3, 5)[[0, 1, 2, 1]]
    assert found == pytest.approx(((motion - text) ** 2).mean(), 1e-5)


def test_triplet_has_negatives_of_other_classes():
    motion = RNG.normal(size=(4, 5))
    text = np.eye(3, 5)
    labels = [0, 1, 2, 1]
    near = np.linalg.norm(motion - text[labels], axis=1)
    # Whichever class is drawn, the loss is between those of the nearest and the farthest class.
    others = np.array(
        [
            [np.linalg.norm(motion[i] - text[k]) for k in range(3) if k != label]
            for i, label in enumerate(labels)
        ]
    )
    low, high = (np.maximum(near - f(others, axis=1) + 10, 0).mean() for f in (np.max, np.min))
    found = loss_of("labels", "triplet", labelled(), Predict(motion))
    assert low - 1e-5 <= found <= high + 1e-5
    assert found == loss_of("labels", "triplet", labelled(), Predict(motion))


def test_classifiers_of_labels_and_attributes():
    logits = RNG.normal(size=(4, 3))
    labels = np.array([0, 1, 2, 1])
    found = loss_of("labels", "classify", labelled(labels), Predict(logits, class_names=LABELS))
    assert found == pytest.approx(float(classification(logits, labels)), 1e-5)
    targets = np.array([[1, 0, 1], [0, 0, 0], [1, 1, 0], [0, 1, 1]])
    dataset = SomeDataset(Split(attributes=targets), metadata(attribute_names=LABELS))
    found = loss_of("attributes", "classify", dataset, Predict(logits, class_names=LABELS))
    assert found == pytest.approx(float(classification(logits, targets)), 1e-5)


def test_one_of_several_classes_is_drawn_once():
    """As in training, but with a fixed seed: the same for all runs and epochs."""
    logits = RNG.normal(size=(4, 3))
    several = np.array([[0, 2, -1], [1, -1, -1], [2, 0, 1], [1, 2, -1]])
    counts = [2, 1, 3, 2]
    share = np.random.default_rng((0, 3)).random(4)
    drawn = several[np.arange(4), (share * counts).astype(int)]
    assert drawn.tolist() != several[:, 0].tolist()
    dataset, predict = labelled(several), Predict(logits, class_names=LABELS)
    found = loss_of("labels", "classify", dataset, predict)
    assert found == pytest.approx(float(classification(logits, drawn)), 1e-5)
    assert found == loss_of("labels", "classify", labelled(several), predict)
    found = loss_of("labels", "mse", dataset, Predict(motion := RNG.normal(size=(4, 5))))
    assert found == pytest.approx(((motion - np.eye(3, 5)[drawn]) ** 2).mean(), 1e-5)


def test_a_clip_without_a_class_is_ignored():
    motion = RNG.normal(size=(4, 5))
    found = loss_of("labels", "mse", labelled([0, -1, 2, 1]), Predict(motion), batch_size=64)
    known = motion[[0, 2, 3]] - np.eye(3, 5)[[0, 2, 1]]
    assert found == pytest.approx((known**2).mean(), 1e-5)


def test_none_if_it_cannot_be_computed(caplog):
    """Masking negatives needs sentence vectors, which the captions of this split do not have."""
    predict = Predict(RNG.normal(size=(4, 5)), said(4))
    found = loss_of(
        "captions", "contrastive", captioned(4), predict, text=True, mask_negatives=True
    )
    assert found is None
    assert "no validation loss of mine" in caplog.text and "data_prep embed" in caplog.text


class Once:
    """A task with constant scores."""

    def validate(self, predict, dataset, split):
        return 1.0, {"top1": 1.0}


def test_names_of_the_logged_scalars():
    first, second = (SomeDataset(None, None, name=name) for name in ("first", "second"))
    losses = {"first": 0.25, "second": None}
    score, scalars, words = validate_all(
        Once(), None, [first, second], "val", lambda predict, dataset, split: losses[dataset.name]
    )
    assert (score, words) == (1.0, "top1 1.00, loss 0.25")
    assert scalars == {"val/top1": 1.0, "val/loss": 0.25, "val_second/top1": 1.0}


@pytest.mark.usefixtures("one_device")
@pytest.mark.parametrize("layout", [(1, 1), (4, 2)], ids=str)
def test_it_is_the_training_loss_without_dropout(small_dataset, tmp_path, layout):
    """Compared with the network's own outputs, on one device and with 7 clips on eight."""
    config = tiny_config(small_dataset)
    run = train.set_up(config, tmp_path)
    mesh = sharding.mesh_of(jax.devices()[: np.prod(layout)], *layout)
    arrays = step.init_params(
        run.network, config, sharding.abstract(run.network.abstract_params, mesh), None
    )
    encoder = train.Encoder(run.network, run.encoder.tokenizer, mesh, config.data)
    predict = Predictor(encoder, arrays, "cosine", keep=True)
    dataset = Dataset(small_dataset, "small")
    found = ValidationLoss(run.network, run.task, run.objective, config, mesh)(
        predict, dataset, "val"
    )

    split = dataset.split("val")
    reading = encoder.representation
    clips = [reading.window(split[i]["patches"][:, 0]) for i in range(len(split))]
    batch = reading.stack(clips, reading.padded(split.num_frames))
    ids, mask = run.encoder.tokenizer.encode([captions[0] for captions in split.captions])
    outputs = jax.jit(lambda a, b: run.network.bind(a)(b))(
        jax.tree.map(np.asarray, arrays), batch | {"input_ids": ids, "text_mask": mask}
    )
    assert isinstance(outputs, Outputs) and len(split) == 7
    loss, _, _ = run.objective.loss(outputs, {}, {}, mesh)
    assert found == pytest.approx(float(loss), 1e-5)
