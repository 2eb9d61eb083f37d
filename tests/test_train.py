"""The training loop: what it logs and saves; interruptions and layouts do not change results."""

import json
import random
import shutil
import signal
import time

import jax
import numpy as np
import pytest
from runs import (
    assert_same_bits,
    cluster,
    finish,
    losses,
    one_device,
    params,
    scalars,
    start,
    tiny_config,
)

from motionalign import optim, sharding, step, train
from motionalign.checkpoints.run import BEST, LATEST, find, load_run
from motionalign.checkpoints.workdir import Metrics, check_run, prepare_tokenizer
from motionalign.config import VERSION_KEY, stored_form
from motionalign.data.dataset import Dataset
from motionalign.models import build
from motionalign.models.dual_encoder import DualEncoderConfig
from motionalign.models.network import Network
from motionalign.planning.run import plan
from motionalign.tasks.schema import schema
from motionalign.train import NonFiniteLoss

NUM_STEPS = 16


@pytest.fixture(scope="module")
def uninterrupted(small_dataset, tmp_path_factory):
    """The workdir of an uninterrupted run on one device."""
    workdir = tmp_path_factory.mktemp("runs") / "uninterrupted"
    output = finish(start(workdir, small_dataset))
    assert "text → motion" in output
    return workdir


def wait_for_step(process, workdir, step: int) -> None:
    """Returns after the run has logged `step`, or has ended."""
    deadline = time.monotonic() + 240
    path = workdir / "metrics.jsonl"
    while process.poll() is None and time.monotonic() < deadline:
        if path.is_file() and path.read_text().count('"loss"') >= step:
            return
        time.sleep(0.002)
    assert process.poll() is not None, f"no step {step} after 240 s"


def test_learns_and_logs(uninterrupted):
    lines = scalars(uninterrupted)
    steps = [line["step"] for line in lines if "loss" in line]
    assert steps == list(range(1, NUM_STEPS + 1))
    assert [line["step"] for line in lines if "val/score" in line] == [4, 8, 12, 16]
    assert losses(uninterrupted)[-4:].mean() < losses(uninterrupted)[:4].mean() - 0.1
    assert {"loss", "grad_norm", "temperature", "lr/heads"} <= lines[0].keys()
    assert [line["epoch"] for line in lines] == [line["step"] / 4 for line in lines]
    validated = [line for line in lines if "val/score" in line]
    assert all(0 < line["val/loss"] < 5 for line in validated)
    assert validated[-1]["val/loss"] < validated[0]["val/loss"]
    for name in (
        "config.json",
        "environment.json",
        "tokenizer.json",
        "metrics.json",
        "tensorboard",
    ):
        assert (uninterrupted / name).exists(), name


def wall_times(workdir) -> list[float]:
    lines = (workdir / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line)["wall_time"] for line in lines]


@pytest.mark.usefixtures("one_device")
def test_what_is_cut_is_said_once_at_the_start(small_dataset, tmp_path):
    said = []
    config = tiny_config(small_dataset, model__motion__max_frames=48, model__text__max_tokens=6)
    train.set_up(config, tmp_path / "run", said.append)
    split = Dataset(small_dataset, "small").split("train")
    clips, texts = [line for line in "\n".join(said).splitlines() if "longer than" in line]
    count = int((split.num_frames > 48).sum())
    assert clips.startswith(f"{count} of 38 clips of small are longer than 48 frames; every epoch ")
    total = sum(map(len, split.captions))
    assert f" of {total} texts of small are longer than 6 tokens; the rest is ignored; " in texts
    said.clear()
    train.set_up(tiny_config(small_dataset), tmp_path / "whole", said.append)
    assert "longer than" not in "\n".join(said)


@pytest.mark.usefixtures("one_device")
def test_the_validation_loss_does_not_change_parameters(small_dataset, tmp_path, monkeypatch):
    config = tiny_config(small_dataset, epochs=2)
    assert train.train(config, tmp_path / "with") == "finished"
    monkeypatch.setattr(train, "ValidationLoss", lambda *run: None)
    assert train.train(config, tmp_path / "without") == "finished"
    assert_same_bits(params(tmp_path / "with"), params(tmp_path / "without"))
    with_loss, without = scalars(tmp_path / "with"), scalars(tmp_path / "without")
    assert [line.pop("val/loss", None) is None for line in with_loss].count(False) == 2
    assert with_loss == without


def test_best_checkpoint_has_the_best_validation_score(uninterrupted):
    best = load_run(find(uninterrupted))
    scores = {
        line["step"]: line["val/score"] for line in scalars(uninterrupted) if "val/score" in line
    }
    assert best["score"] == max(scores.values())
    assert scores[best["step"]] == best["score"]


def test_kill_at_random_moments(uninterrupted, small_dataset, tmp_path):
    seed = random.SystemRandom().randrange(2**32)
    print(f"random.Random({seed})")  # to repeat a failure
    rng = random.Random(seed)
    workdir = tmp_path / "killed"
    # Moments in the first, middle and last third of the run, possibly during a save.
    for first in (0, NUM_STEPS // 3, 2 * NUM_STEPS // 3):
        process = start(workdir, small_dataset)
        wait_for_step(process, workdir, first + rng.randrange(NUM_STEPS // 3))
        time.sleep(rng.random() * 0.1)
        process.kill()
        process.communicate()
    finish(start(workdir, small_dataset))

    assert_same_bits(params(workdir), params(uninterrupted))
    assert_same_bits(params(workdir, BEST), params(uninterrupted, BEST))
    assert scalars(workdir) == scalars(uninterrupted)
    assert not list(workdir.rglob("*.partial"))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_and_exits(uninterrupted, small_dataset, tmp_path, number):
    workdir = tmp_path / "stopped"
    process = start(workdir, small_dataset)
    wait_for_step(process, workdir, 2)
    process.send_signal(number)
    printed = finish(process, 128 + number)
    assert "Stopped; the run is saved. Run the same command again to resume." in printed
    assert ("Ctrl-C again stops without saving" in printed) == (number == signal.SIGINT)
    stopped_at = load_run(find(workdir, LATEST))["step"]
    assert 2 <= stopped_at < NUM_STEPS
    assert scalars(workdir)[-1]["step"] == stopped_at  # no finished step was lost
    before = wall_times(workdir)
    finish(start(workdir, small_dataset))
    times = wall_times(workdir)
    assert times[: len(before)] == before and times == sorted(times)  # wall time continues
    starts = json.loads((workdir / "environment.json").read_text())
    assert [start["step"] for start in starts] == [0, stopped_at]
    assert_same_bits(params(workdir), params(uninterrupted))


def launch_two(workdir, data_dir, **fields) -> list:
    """Both processes of a run."""
    return [start(workdir, data_dir, *flags, **fields) for flags in cluster()]


def test_a_workdir_that_is_not_shared_by_all_hosts(small_dataset, tmp_path, monkeypatch):
    monkeypatch.setattr(jax, "process_index", lambda: 1)
    with pytest.raises(ValueError, match=r"process 1 does not see .*storage that all hosts share"):
        prepare_tokenizer(tiny_config(small_dataset).model, tmp_path, [], None, None)


@pytest.mark.parametrize("model_axis", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_two_processes_train_to_the_same_losses(uninterrupted, small_dataset, tmp_path, model_axis):
    """Batches are split between the processes, or heads and MLPs with all rows in both."""
    processes = launch_two(tmp_path / "two", small_dataset, mesh__model=model_axis)
    if model_axis == 1:  # preemption of one process stops both at the same step
        wait_for_step(processes[0], tmp_path / "two", 2)
        processes[1].send_signal(signal.SIGTERM)
        for process in processes:
            assert "Stopped; the run is saved" in finish(process, 128 + signal.SIGTERM)
        latest = find(tmp_path / "two", LATEST)
        assert 2 <= load_run(latest)["step"] < NUM_STEPS
        processes = launch_two(tmp_path / "two", small_dataset)
    outputs = [finish(process) for process in processes]
    assert "text → motion" in outputs[0]
    assert "text → motion" not in outputs[1]
    np.testing.assert_allclose(losses(tmp_path / "two"), losses(uninterrupted), atol=2e-4)


@pytest.mark.slow  # the fast tests compare the gradients of one step (below), two processes (above)
def test_eight_devices_train_to_the_same_losses(uninterrupted, small_dataset, tmp_path):
    config = tiny_config(small_dataset, mesh__data=4, mesh__model=2)
    assert train.train(config, tmp_path) == "finished"
    np.testing.assert_allclose(losses(tmp_path), losses(uninterrupted), atol=2e-4)


@pytest.mark.parametrize("padding", ["attend", "mask"])
def test_gradients_on_eight_devices_equal_one(small_dataset, tmp_path, padding):
    config = tiny_config(small_dataset, model__motion__padding=padding, data__text_bucket=16)
    run = train.set_up(config, tmp_path)
    values = {}
    for name, mesh in {
        "one": sharding.mesh_of(jax.devices()[:1], 1, 1),
        "eight": sharding.make_mesh(4, 2),
    }.items():
        shapes = sharding.abstract(run.network.abstract_params, mesh)
        weights = step.init_params(run.network, config, shapes, trained=None)
        batch = sharding.put_local(run.batches[0], config.data.batch_size, mesh)
        loss_fn = step.make_loss(run.network, run.objective, mesh)
        loss_and_grad = jax.jit(jax.value_and_grad(loss_fn, has_aux=True))
        (loss, _), grads = loss_and_grad(weights, {}, {}, batch, jax.random.key(3))
        values[name] = jax.tree.map(np.asarray, {"loss": loss, "weights": weights, "grads": grads})
        if name == "eight":
            kernel = weights["motion_encoder/blocks/0/attention/query/kernel"]
            assert kernel.addressable_shards[0].data.size == kernel.size // 2
    assert_same_bits(values["one"]["weights"], values["eight"]["weights"])
    np.testing.assert_allclose(values["one"]["loss"], values["eight"]["loss"], rtol=1e-5)
    for path, grad in values["one"]["grads"].items():
        np.testing.assert_allclose(
            values["eight"]["grads"][path], grad, atol=2e-6, rtol=1e-4, err_msg=path
        )


@pytest.mark.usefixtures("one_device")
def test_gradients_do_not_depend_on_what_is_computed_again(small_dataset, tmp_path):
    """And the less is kept for the backward pass; dropout draws the same again."""
    config = tiny_config(
        small_dataset, model__motion__depth=2, model__motion__dropout=0.1, model__head_dropout=0.5
    )
    run = train.set_up(config, tmp_path)
    shapes = sharding.abstract(run.network.abstract_params, run.mesh)
    weights = step.init_params(run.network, config, shapes, trained=None)
    batch = sharding.put_local(run.batches[0], config.data.batch_size, run.mesh)
    grads, kept = {}, []
    for remat in ("none", "elementwise", "blocks"):
        loss_fn = step.make_loss(run.network, run.objective, run.mesh, remat)

        def loss(weights, loss_fn=loss_fn):
            return loss_fn(weights, {}, {}, batch, jax.random.key(3))[0]

        grads[remat] = jax.jit(jax.grad(loss))(weights)
        for path, grad in grads["none"].items():
            np.testing.assert_allclose(grads[remat][path], grad, atol=1e-6, rtol=1e-4, err_msg=path)
        backward = jax.eval_shape(lambda w, loss=loss: jax.vjp(loss, w)[1], weights)
        kept.append(sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(backward)))
    assert kept[1] < 0.8 * kept[0] and kept[2] < 0.8 * kept[1]


def test_the_training_step_is_told_what_to_compute_again(small_dataset):
    computed = []
    for remat in ("none", "elementwise", "blocks"):
        config = tiny_config(small_dataset, model__motion__depth=2, model__remat=remat)
        lowered = plan(config, jax.devices()[:1], 8).train_step().as_text()
        computed.append((lowered.count("dot_general"), lowered.count("exponential")))
    (products, others), (_, again), (more_products, more) = computed
    assert again > others and more >= again and more_products > products


@pytest.mark.usefixtures("one_device")
def test_non_finite_loss_names_step_and_clips(small_dataset, tmp_path):
    config = tiny_config(
        small_dataset, optim__groups__motion_encoder__lr=1e39, optim__warmup_steps=0,
        optim__clip_norm=0.0, checkpoint_steps=0,
    )  # fmt: skip
    with pytest.raises(NonFiniteLoss, match=r"at step \d+.*synthetic-\d+, synthetic-\d+"):
        train.train(config, tmp_path)


@pytest.mark.usefixtures("one_device")
@pytest.mark.parametrize(
    ("lr", "message"),
    [(1e38, "the update_norm is inf"), (1e16, "embeddings that are not finite")],
)
def test_overflow_that_the_loss_does_not_show(small_dataset, tmp_path, lr, message):
    """The only step of an epoch has an infinite update, or makes embeddings non-finite."""
    config = tiny_config(
        small_dataset, data__batch_size=32, optim__groups__motion_encoder__lr=lr,
        optim__warmup_steps=0, optim__clip_norm=0.0, checkpoint_steps=1,
    )  # fmt: skip
    with pytest.raises(NonFiniteLoss, match=message + r".* at step 0.*synthetic-\d+"):
        train.train(config, tmp_path)
    assert not list((tmp_path / "checkpoints").iterdir())


@pytest.fixture(scope="module")
def special(small_dataset, tmp_path_factory):
    """(config, workdir) of one epoch in bfloat16, with frozen text encoder, temperature near 0.01.

    Unrelated tests share this run, so that its program is compiled only once.
    """
    workdir = tmp_path_factory.mktemp("runs") / "special"
    config = tiny_config(
        small_dataset, epochs=1, dtype="bfloat16", optim__groups__text_encoder__lr=0.0,
        model__temperature=0.0101, optim__groups__temperature__lr=1.0, optim__warmup_steps=0,
        model__learn_temperature=True,
    )  # fmt: skip
    with one_device():
        assert train.train(config, workdir) == "finished"
    return config, workdir


def test_a_learned_temperature_is_at_least_a_hundredth(special):
    _, workdir = special
    assert params(workdir)["logit_scale"] <= np.log(100) + 1e-6
    values = [line["temperature"] for line in scalars(workdir) if "temperature" in line]
    assert min(values) >= 0.01 - 1e-6
    assert min(values) < 0.0101  # it was trained

    architecture = load_run(find(workdir))["architecture"]
    for learnt, expected in ((True, 100), (False, 200)):  # a fixed temperature may be lower
        architecture["learn_temperature"] = learnt
        network = Network(DualEncoderConfig.from_dict(architecture))
        clamped = network.clamped({"logit_scale": np.log(np.float32(200))})["logit_scale"]
        np.testing.assert_allclose(clamped, np.log(expected), rtol=1e-6)


@pytest.mark.usefixtures("one_device")
def test_mixture_of_two_skeletons(two_datasets, tmp_path):
    config = tiny_config(two_datasets, data__datasets="small:3,other:1", epochs=1)
    assert train.train(config, tmp_path) == "finished"
    last = scalars(tmp_path)[-1]
    assert {"val/t2m/R@1", "val_other/t2m/R@1", "val/loss", "val_other/loss"} <= last.keys()
    run = load_run(find(tmp_path))
    assert {d["skeleton"]["name"] for d in run["datasets"].values()} == {"smpl22", "kit21"}


def said_of(config, workdir):
    """What setting up a run says."""
    said = []
    train.set_up(config, workdir, said.append)
    return "\n".join(said)


@pytest.mark.usefixtures("one_device")
@pytest.mark.parametrize(
    ("mixture", "says"),
    [
        (
            "small,other",
            "Each epoch: all 38 clips of small, all 16 clips of other; except 6, chosen at random, "
            "which do not fill a batch\nSteps: 24, 6 in each of 4 epochs\n",
        ),
        (
            "small:1,other:1",
            "Each epoch: 24 clips of small, 0.63 times its 38; 24 clips of other, 1.50 times its "
            "16\nSteps: 24, 6 in each of 4 epochs\n",
        ),
        ("small", "38 clips of small; batches of 8\nSteps: 16, 4 in each of 4 epochs\n"),
    ],
)
def test_what_an_epoch_sees_of_each_dataset(two_datasets, tmp_path, mixture, says):
    said = said_of(tiny_config(two_datasets, data__datasets=mixture), tmp_path)
    assert says in said
    assert ("Each epoch" in said) == ("," in mixture)


@pytest.mark.usefixtures("one_device")
def test_an_unweighted_mixture_of_an_older_run(two_datasets, tmp_path):
    """It drew equally from each dataset: it goes on so, with weights, and not without."""
    config = tiny_config(two_datasets, data__datasets="small:1,other:1", epochs=1)
    assert train.train(config, tmp_path / "new") == "finished"
    config.data.datasets = "small,other"
    older = {**stored_form(config), VERSION_KEY: 4}
    workdir = shutil.copytree(tmp_path / "new", tmp_path / "old")
    for path in (workdir / "config.json", *workdir.glob("*/*/run/metadata")):
        stored = json.loads(path.read_text())
        path.write_text(json.dumps(stored | {"config": older} if "config" in stored else older))
    for digests in workdir.rglob("SHA256SUMS"):
        digests.unlink()

    def check(datasets):
        config.data.datasets = datasets
        check_run(config, workdir, schema())

    check("small:1,other:1")
    with pytest.raises(ValueError, match="holds a run with another config") as error:
        check("small,other")
    assert "data.datasets: 'small:1,other:1' before, 'small,other' now" in str(error.value)
    assert "continue it with --config.data.datasets=small:1,other:1" in str(error.value)
    with pytest.raises(ValueError, match="holds a run with another config") as error:
        check("small:2,other:1")
    assert "continue it with" not in str(error.value)


@pytest.mark.usefixtures("one_device")
def test_masked_negatives(small_dataset, tmp_path):
    """If all caption vectors are equal, there are no negatives, and the loss is 0."""
    from safetensors.numpy import save_file

    shutil.copytree(small_dataset / "small", tmp_path / "data" / "small")
    config = tiny_config(tmp_path / "data", loss__mask_negatives=True, epochs=1)
    with pytest.raises(ValueError, match="data_prep embed"):
        train.train(config, tmp_path / "run")

    version_dir = Dataset(tmp_path / "data", "small").version_dir
    captions = sorted(
        {
            caption
            for split in ("train", "val", "test")
            for captions in Dataset(tmp_path / "data", "small").split(split).captions
            for caption in captions
        }
    )
    save_file(
        {
            "vectors": np.ones((len(captions), 4), np.float32),
            "captions": np.frombuffer("\n".join(captions).encode(), np.uint8),
        },
        version_dir / "caption_vectors.safetensors",
        {"encoder": "all alike", "sha256": "0", "readout": "mean"},
    )
    assert train.train(config, tmp_path / "run") == "finished"
    np.testing.assert_allclose(losses(tmp_path / "run"), 0.0, atol=1e-6)


def test_a_run_that_is_older_than_some_fields_resumes(small_dataset, tmp_path):
    config = tiny_config(small_dataset)
    old = json.loads(config.to_json())
    del old["model"]["motion"]["family"], old["model"]["motion"]["final_norm"]
    del old["model"]["weights"]
    for group in old["optim"]["groups"].values():
        del group["layer_decay"]
    (tmp_path / "config.json").write_text(json.dumps(old))
    (tmp_path / "best" / "4").mkdir(parents=True)
    check_run(config, tmp_path, schema())
    (tmp_path / "config.json").write_text(json.dumps(old))
    with config.unlocked():
        config.optim.groups.heads.layer_decay = 0.5
    with pytest.raises(ValueError, match=r"heads.layer_decay: 1.0 before, 0.5 now"):
        check_run(config, tmp_path, schema())


def test_another_config_is_refused_if_a_checkpoint_exists(short_run, small_dataset, tmp_path):
    for pool in ("max", "first"):  # "first" belongs to other families
        bad = tiny_config(small_dataset, model__motion__pool=pool)
        with pytest.raises(ValueError, match="valid: 'mean', 'class'"):
            train.train(bad, tmp_path)
    workdir = shutil.copytree(short_run, tmp_path / "run")
    for series in ("neither", "checkpoints"):  # best/ alone is also a run
        shutil.rmtree(workdir / series, ignore_errors=True)
        with pytest.raises(ValueError, match=r"seed: 0 before, 1 now"):
            train.train(tiny_config(small_dataset, epochs=1, seed=1), workdir)
    again = tiny_config(small_dataset, epochs=1, log_steps=2)  # does not affect parameters
    with one_device():
        assert train.train(again, workdir) == "finished"


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("dtype", "float8", "config.dtype is 'float8'; valid: float32, bfloat16"),
        ("eval.protocols", ("some",), "config.eval.protocols is 'some'; valid: all, "),
        ("eval.checkpoint", "first", "valid: best, last"),
        ("optim.schedule", "linear", "valid: constant, cosine"),
        ("epochs", 0, "config.epochs is 0; expected at least 1"),
        ("data.batch_size", 10, "is not a multiple of the 8 devices"),
        ("data.batch_size", 1, "batch_size=1 trains nothing: config.loss.kind='contrastive' comp"),
        ("data.batch_size", 64, "larger than the training set of 38 records"),
        ("mesh.model", 3, "must divide the number of available devices, 8"),
        ("data.datasets", "nothing", "data_prep humanml3d --name=nothing"),
        ("data.val_split", "dev", "dev"),
        ("model.temperature", 0.0, "config.model.temperature is 0.0; expected above 0"),
        ("optim.cosine_runs", 0.0, "config.optim.cosine_runs is 0.0; expected above 0"),
        (
            "model.head_dropout",
            50.0,
            "head_dropout is 50.0; expected at least 0 and below 1",
        ),
        (
            "optim.clip_norm",
            -1.0,
            "config.optim.clip_norm is -1.0; expected at least 0 and at most 10{12}$",
        ),
        ("model.text.vocab_size", None, "model.text without weights needs vocab_size"),
        (
            "model.text.weights",
            "no/such/folder",
            "neither an existing folder or file nor",
        ),
        ("optim.groups.temperature.lr", 0.0, "learn_temperature needs a learning rate"),
        (
            "optim.groups.heads.lr",
            -1.0,
            "optim.groups.heads.lr is -1.0; expected at least 0$",
        ),
        ("optim.groups.heads.match", "motion_head/.*", "'text_head/.*' is matched by no group"),
    ],
)
def test_wrong_values(small_dataset, tmp_path, field, value, message):
    config = tiny_config(small_dataset, **{field.replace(".", "__"): value})
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(ValueError, match=message):
        train.train(config, tmp_path)
    assert signal.getsignal(signal.SIGTERM) == before
    assert not (tmp_path / "checkpoints").is_dir() or not list((tmp_path / "checkpoints").iterdir())


def test_bfloat16_keeps_float32_parameters(special):
    config, workdir = special
    assert config.dtype == load_run(find(workdir))["config"]["dtype"] == "bfloat16"
    assert {p.dtype for p in params(workdir).values()} == {np.dtype(np.float32)}
    assert np.isfinite(losses(workdir)).all()


def test_a_frozen_group_does_not_change(special):
    config, workdir = special
    trained = params(workdir)
    architecture = load_run(find(workdir))["architecture"]
    network = Network(DualEncoderConfig.from_dict(architecture))
    shapes = sharding.abstract(network.abstract_params, sharding.make_mesh())
    fresh = step.init_params(network, config, shapes, trained=None)
    for path, value in fresh.items():
        same = np.array_equal(value, trained[path])
        assert same == path.startswith("text_encoder/"), path


def test_metrics_drop_lines_that_a_resumed_run_repeats(tmp_path):
    lines = [json.dumps({"step": step, "loss": 1.0}) for step in (1, 2, 3)]
    (tmp_path / "metrics.jsonl").write_text("\n".join(lines) + '\n{"step": 4, "lo')
    metrics = Metrics(tmp_path, resumed_step=2)
    metrics.write(3, {"loss": 0.5})
    metrics.close()
    assert scalars(tmp_path) == [
        {"step": 1, "loss": 1.0},
        {"step": 2, "loss": 1.0},
        {"step": 3, "loss": 0.5},
    ]


def test_optimizer_state_is_sharded_like_its_parameters(small_dataset):
    config = tiny_config(small_dataset)
    network = Network(build.resolve(build.section_in(config.model.to_dict())))
    optimizer, _ = optim.make_optimizer(config.optim, network.abstract_params, 10)
    mesh = sharding.make_mesh(4, 2)
    state = step.abstract_state(network, optimizer, mesh)["optimizer"]
    leaves = jax.tree_util.tree_leaves_with_path(state)
    split = [leaf for keys, leaf in leaves if "query/kernel" in jax.tree_util.keystr(keys)]
    assert len(split) == 4  # two moments in each tower
    assert all("model" in leaf.sharding.spec for leaf in split)
