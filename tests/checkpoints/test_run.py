"""Checkpoints: round trips over other meshes, lookup, and incomplete folders."""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy
from orbax.checkpoint._src.path import atomicity

import motionalign
from motionalign import digests, sharding
from motionalign.checkpoints.run import (
    LATEST,
    Checkpoints,
    find,
    load_params,
    load_rest,
    load_run,
    load_unused,
    stored_run,
)
from motionalign.data.dataset import Metadata
from motionalign.models.dual_encoder import DualEncoderConfig
from motionalign.models.motion_transformer import MotionTransformerConfig
from motionalign.models.network import Network
from motionalign.skeleton import SKELETONS

PARAMS = {
    "motion_encoder/blocks/0/attention/query/kernel": (6, 4, 2),
    "motion_encoder/blocks/0/mlp/down/kernel": (8, 6),
    "motion_head/out/kernel": (6, 3),
    "logit_scale": (),
}
RUN = {"architecture": {"width": 6}, "tokenizer": "{…}", "score": 12.5}
STORED = stored_run(RUN)


def make_state(seed=0):
    rng = np.random.default_rng(seed)
    params = {path: rng.normal(size=shape).astype(np.float32) for path, shape in PARAMS.items()}
    moments = {path: rng.normal(size=shape).astype(np.float32) for path, shape in PARAMS.items()}
    rest = {"motion_encoder/codebook/counts": rng.integers(9, size=5).astype(np.int32)}
    optimizer = {"mu": moments, "count": np.int32(7)}
    return {"params": params, "rest": rest, "optimizer": optimizer}


def put(state, mesh):
    return jax.tree.map(sharding.put_global, state, sharding.tree_shardings(state, mesh))


def assert_is(restored, state, mesh):
    """Bitwise equal, and in the requested sharding."""
    jax.tree.map(np.testing.assert_array_equal, restored, state)
    for leaf, layout in zip(
        jax.tree.leaves(restored), jax.tree.leaves(sharding.tree_shardings(state, mesh))
    ):
        assert leaf.sharding.is_equivalent_to(layout, leaf.ndim)


@pytest.fixture(scope="module")
def mesh():
    return sharding.make_mesh(4, 2)


@pytest.fixture(scope="module")
def template(tmp_path_factory, mesh):
    """A workdir with checkpoints/9 and best/5."""
    workdir = tmp_path_factory.mktemp("run")
    checkpoints = Checkpoints(workdir)
    state = put(make_state(), mesh)
    checkpoints.save_best(5, put(make_state(5), mesh)["params"], {**STORED, "step": 5})
    checkpoints.save_latest(9, state, {"next": 9}, {**STORED, "step": 9})
    checkpoints.close()
    return workdir


@pytest.fixture
def workdir(template, tmp_path):
    """A copy that a test may damage."""
    return shutil.copytree(template, tmp_path / "run")


@pytest.fixture
def opened(workdir):
    checkpoints = Checkpoints(workdir)
    yield checkpoints
    checkpoints.close()


def steps(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("shape", [(4, 2), (8, 1), (2, 4)], ids=str)
def test_resume_on_any_mesh(opened, shape):
    """Written by 4 × 2 devices; (2, 4) splits arrays that (8, 1) replicates."""
    mesh = sharding.make_mesh(*shape)
    step, state, pipeline = opened.restore_latest(sharding.abstract(make_state(), mesh))
    assert (step, pipeline, opened.latest_step()) == (9, {"next": 9}, 9)
    assert_is(state, make_state(), mesh)


def test_loads_parameters_and_run_of_the_best_checkpoint(workdir, mesh):
    folder = find(workdir)
    assert folder == workdir / "best" / "5"
    assert load_run(folder) == {**RUN, "step": 5}
    assert load_unused(folder) == {}
    expected = make_state(5)["params"]
    assert_is(load_params(folder, sharding.abstract(expected, mesh)), expected, mesh)


def test_empty_items_are_not_saved(tmp_path, mesh):
    state = make_state() | {"rest": {}}
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save_latest(3, put(state, mesh), {"next": 3}, STORED)
    checkpoints.wait()
    assert "rest" not in steps(tmp_path / "checkpoints" / "3")
    _, restored, _ = checkpoints.restore_latest(sharding.abstract(state, mesh))
    assert_is(restored, state, mesh)
    checkpoints.close()
    assert load_rest(find(tmp_path), {}) == {}


def test_rest_and_unused_are_saved_with_the_best(tmp_path, mesh):
    state = make_state(1)
    unused = {"vision.proj": np.eye(3), "ids": np.arange(4), "half": np.ones(2, np.float16)}
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save_best(2, put(state["params"], mesh), STORED, put(state["rest"], mesh), unused)
    checkpoints.close()
    step = find(tmp_path)
    rest = load_rest(step, sharding.abstract(state["rest"], mesh))
    assert_is(rest, state["rest"], mesh)
    found = load_unused(step)
    assert found.keys() == unused.keys()
    for name, tensor in unused.items():
        assert found[name].dtype == tensor.dtype  # float64 stays what it is
        np.testing.assert_array_equal(found[name], tensor)


def test_nothing_to_resume_from(tmp_path, mesh):
    checkpoints = Checkpoints(tmp_path / "new")
    assert checkpoints.restore_latest(sharding.abstract(make_state(), mesh)) is None
    assert checkpoints.latest_step() is None
    assert checkpoints.best_score() == float("-inf")
    checkpoints.close()


def test_only_the_newest_is_kept(opened, workdir, mesh):
    for step in (10, 12):
        opened.save_latest(step, put(make_state(step), mesh), {"next": step}, STORED)
    opened.wait()
    assert steps(workdir / "checkpoints") == ["12"]
    _, state, _ = opened.restore_latest(sharding.abstract(make_state(), mesh))
    assert_is(state, make_state(12), mesh)


def test_an_existing_step_is_not_written_again(opened, workdir, mesh):
    """The last step of a run may also be the end of an epoch."""
    before = (workdir / "checkpoints" / "9" / "_CHECKPOINT_METADATA").read_text()
    opened.save_latest(9, put(make_state(1), mesh), {"next": 0}, STORED)
    opened.wait()
    assert (workdir / "checkpoints" / "9" / "_CHECKPOINT_METADATA").read_text() == before
    _, state, pipeline = opened.restore_latest(sharding.abstract(make_state(), mesh))
    assert_is(state, make_state(), mesh)
    assert pipeline == {"next": 9}


def test_best_score_is_read_from_disk(opened, workdir, mesh):
    assert opened.best_score() == 12.5
    params = put(make_state(), mesh)["params"]
    opened.save_best(8, params, {**STORED, "score": 20.0})
    opened.wait()
    assert opened.best_score() == 20
    assert steps(workdir / "best") == ["8"]
    opened.close()
    again = Checkpoints(workdir)
    assert again.best_score() == 20
    again.close()


@pytest.mark.parametrize("step", [3, 5])
def test_a_better_model_at_an_earlier_step_replaces_the_best(opened, workdir, mesh, step):
    """For a run that was resumed before its best step or restarted in its workdir."""
    params = make_state(step)["params"]
    opened.save_best(step, put(params, mesh), {**STORED, "score": 30.0})
    opened.wait()
    assert opened.best_score() == 30
    assert steps(workdir / "best") == [str(step)]
    restored = load_params(find(workdir), sharding.abstract(params, mesh))
    assert_is(restored, params, mesh)


def test_the_best_is_on_disk_before_its_step_can_be_resumed(opened, mesh, monkeypatch):
    """A run that resumes from a step does not validate it again."""
    order = []
    for manager, name in ((opened._best, "wait_until_finished"), (opened._latest, "save")):
        method = getattr(manager, name)
        monkeypatch.setattr(
            manager, name, lambda *a, m=method, n=name, **k: (order.append(n), m(*a, **k))[1]
        )
    opened.save_best(10, put(make_state(), mesh)["params"], STORED)
    order.clear()
    opened.save_latest(10, put(make_state(), mesh), {"next": 10}, STORED)
    assert order[:2] == ["wait_until_finished", "save"]


def test_valid_paths_of_a_checkpoint(workdir, tmp_path, monkeypatch):
    latest, best = workdir / "checkpoints" / "9", workdir / "best" / "5"
    assert find(workdir) == best
    assert find(str(workdir)) == best
    assert find(workdir, LATEST) == latest
    assert find(workdir / "best") == best
    assert find(workdir / "checkpoints") == latest
    assert find(best) == best
    assert find(latest) == latest
    monkeypatch.chdir(workdir)
    assert find("best") == best
    assert find(".") == best

    shutil.rmtree(workdir / "best")  # before the first validation
    assert find(workdir) == latest
    (workdir / "best").mkdir()
    assert find(workdir) == latest


def test_the_newest_step_is_the_largest_number(workdir):
    shutil.copytree(workdir / "checkpoints" / "9", workdir / "checkpoints" / "10")
    assert find(workdir / "checkpoints").name == "10"


def test_a_copied_folder_is_complete(workdir, tmp_path, mesh):
    """A step folder under any name, without the rest of the run."""
    copied = shutil.copytree(workdir / "best" / "5", tmp_path / "elsewhere" / "my model")
    shutil.rmtree(workdir)
    assert find(copied) == copied
    assert load_run(copied)["tokenizer"] == "{…}"
    expected = make_state(5)["params"]
    assert_is(load_params(copied, sharding.abstract(expected, mesh)), expected, mesh)


@pytest.mark.parametrize("at", ["absent", "empty", "file", "data"])
def test_no_checkpoint_there(tmp_path, at):
    path = tmp_path / at
    if at == "file":
        path.write_text("")
    elif at != "absent":
        path.mkdir()
    if at == "data":
        (path / "7").mkdir()  # a number, but no step
    with pytest.raises(ValueError, match=f"no checkpoint at {path}: expected a training workdir"):
        find(path)


def test_an_incomplete_copy(workdir):
    step = workdir / "best" / "5"
    shutil.rmtree(step / "run")
    with pytest.raises(
        ValueError, match=r"best/5: no run/metadata; the folder may be an incomplete copy"
    ):
        load_run(find(step))
    with pytest.raises(ValueError, match="no checkpoint at"):
        find(workdir / "best")
    shutil.rmtree(step / "params")
    with pytest.raises(ValueError, match="no checkpoint at"):
        find(step)


@pytest.mark.parametrize("verified", [True, False], ids=["digests", "without digests"])
@pytest.mark.parametrize("lost", ["_METADATA", "manifest.ocdbt", "d", "ocdbt.process_0"])
def test_a_copy_that_lacks_some_of_its_files(tmp_path, lost, verified):
    numbers = np.random.default_rng(0).normal(size=(300, 40)).astype(np.float32)
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save_best(1, {"kernel": jnp.asarray(numbers)}, STORED)
    checkpoints.close()
    step = find(tmp_path)
    wanted = {"kernel": jax.ShapeDtypeStruct(numbers.shape, numbers.dtype)}
    np.testing.assert_array_equal(load_params(step, wanted)["kernel"], numbers)
    path = step / "params" / lost
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()
    message = f"{step}/params/{lost}.* is missing. The folder may be an incomplete"
    if not verified:
        (step / digests.NAME).unlink()
        if lost == "_METADATA":  # describes the arrays, which `wanted` does too
            np.testing.assert_array_equal(load_params(step, wanted)["kernel"], numbers)
            return
        message = f"{step}: params cannot be read; the folder may be an incomplete copy"
    with pytest.raises(ValueError, match=message):
        load_params(step, wanted)


@pytest.mark.parametrize("change", ["shape", "missing", "extra"])
def test_parameters_of_another_architecture(workdir, mesh, change):
    wanted = sharding.abstract(make_state()["params"], mesh)
    if change == "shape":
        wanted["motion_head/out/kernel"] = jax.ShapeDtypeStruct((6, 4), jnp.float32)
    elif change == "missing":
        del wanted["motion_head/out/kernel"]
    else:
        wanted["text_head/out/kernel"] = jax.ShapeDtypeStruct((6, 3), jnp.float32)
    with pytest.raises(ValueError, match=r"cannot be read.*([Ss]hape|[Ss]tructure)"):
        load_params(find(workdir), wanted)


@pytest.mark.parametrize("killed_in", ["an item", "the step"])
def test_an_interrupted_save_is_not_a_checkpoint(workdir, mesh, monkeypatch, killed_in):
    """Files are written under another name and renamed when complete."""
    finalize = atomicity.AtomicRenameTemporaryPath.finalize

    async def killed(self):
        if killed_in == "an item" or self._final_path.name == "11":
            raise InterruptedError(f"before the rename to {self._final_path.name}")
        await finalize(self)

    killed_run = Checkpoints(workdir)
    with monkeypatch.context() as patch:
        patch.setattr(atomicity.AtomicRenameTemporaryPath, "finalize", killed)
        with pytest.raises(InterruptedError):
            killed_run.save_latest(11, put(make_state(1), mesh), {"next": 11}, STORED)
            killed_run.wait()
    left = steps(workdir / "checkpoints")
    assert len(left) == 2
    assert "9" in left
    assert find(workdir / "checkpoints").name == "9"

    resumed = Checkpoints(workdir)
    step, state, _ = resumed.restore_latest(sharding.abstract(make_state(), mesh))
    assert step == 9
    assert_is(state, make_state(), mesh)
    resumed.save_latest(10, put(make_state(1), mesh), {"next": 10}, STORED)
    resumed.close()
    assert steps(workdir / "checkpoints") == ["10"]  # what was left over is swept away


def test_files_are_readable_json_without_pickles(workdir):
    step = workdir / "checkpoints" / "9"
    assert json.loads((step / "run" / "metadata").read_text())["step"] == 9
    assert json.loads((step / "pipeline" / "metadata").read_text()) == {"next": 9}
    for folder, _, files in os.walk(workdir):
        for name in files:
            data = (pathlib.Path(folder) / name).read_bytes()
            assert not data.startswith(b"\x80") or not data.endswith(b"."), name


# ------------------------------------------------------------------- digests, other devices


def test_every_checkpoint_has_digests(opened, workdir, mesh):
    """They are written before the step folder gets its name, and removed with it."""
    for step in (workdir / "checkpoints" / "9", workdir / "best" / "5"):
        found = {p.relative_to(step).as_posix() for p in step.rglob("*") if p.is_file()}
        later = {digests.NAME, "_CHECKPOINT_METADATA", "commit_success.txt"}
        assert digests.stored(step).keys() == found - later
        assert not [name for name in digests.stored(step) if "tmp" in name]
        assert (
            subprocess.run(["sha256sum", "--check", "--quiet", digests.NAME], cwd=step).returncode
            == 0
        )
    opened.save_latest(10, put(make_state(1), mesh), {"next": 10}, STORED)
    opened.wait()
    assert steps(workdir / "checkpoints") == ["10"]
    digests.check(workdir / "checkpoints" / "10")


@pytest.mark.parametrize("item", ["params", "rest", "optimizer", "pipeline", "run"])
def test_a_damaged_state_is_not_resumed(opened, workdir, mesh, item):
    """A flipped bit of any item; the message names the file and says what to do."""
    step = workdir / "checkpoints" / "9"
    path = max((p for p in (step / item).rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    advice = f"{path} is damaged: .* --config=configs/finetune.py:{workdir}, or remove {step}"
    with pytest.raises(ValueError, match=advice):
        opened.restore_latest(sharding.abstract(make_state(), mesh))


def test_a_checkpoint_of_an_older_version_is_read(workdir, mesh, caplog):
    """Without digests: with one line that says so, however often it is read."""
    step = workdir / "checkpoints" / "9"
    (step / digests.NAME).unlink()
    for _ in range(2):
        opened = Checkpoints(workdir)
        _, state, _ = opened.restore_latest(sharding.abstract(make_state(), mesh))
        opened.close()
        assert_is(state, make_state(), mesh)
    said = [record.getMessage() for record in caplog.records if "verified" in record.getMessage()]
    assert said == [f"{step} is not verified: it was stored without digests (SHA256SUMS)"]


def test_a_save_that_is_killed_before_its_digests(workdir, mesh, monkeypatch):
    """The step does not exist then; the one before is resumed."""

    def killed(folder, leave_out):
        raise InterruptedError(f"before the digests of {folder.name}")

    killed_run = Checkpoints(workdir)
    with monkeypatch.context() as patch:
        patch.setattr(digests, "write", killed)
        with pytest.raises(InterruptedError, match="before the digests of 11"):
            killed_run.save_latest(11, put(make_state(1), mesh), {"next": 11}, STORED)
            killed_run.wait()
    resumed = Checkpoints(workdir)
    assert resumed.restore_latest(sharding.abstract(make_state(), mesh))[0] == 9
    resumed.close()


def test_a_checkpoint_of_four_devices_is_exported_and_shared_on_one(tmp_path):
    config = DualEncoderConfig(
        motion=MotionTransformerConfig(
            joints=22, channels=3, width=8, depth=1, heads=2, mlp_width=16, frames=12, norm="post",
            positions="sinusoidal", window="centre",
        ),
        text=None, text_head=False, embed_dim=6,
    )  # fmt: skip
    metadata = Metadata(
        "mine", SKELETONS["smpl22"], None, 20.0, 1.0, np.zeros((22, 3)), np.ones((22, 3)), 20.0
    )
    run = {
        "kind": "dual_encoder",
        "architecture": config.to_dict(),
        "config": {
            "dtype": "float32",
            "data": {"eval_batch_size": 4, "frame_bucket": 16, "text_bucket": 4},
        },
        "tokenizer": None, "distance": None, "trained": None, "text_encoder": None, "frozen": [],
        "source": None, "datasets": {"mine": metadata.to_json()}, "step": 3, "score": None,
    }  # fmt: skip
    four = sharding.mesh_of(jax.devices()[:4], 2, 2)
    params = put(jax.tree.map(np.asarray, Network(config).init(0)), four)
    checkpoints = Checkpoints(tmp_path / "run")
    checkpoints.save_best(3, params, stored_run(run))
    checkpoints.close()
    flags = re.sub("device_count=[0-9]+", "device_count=1", os.environ["XLA_FLAGS"])
    for command in ("export", "share"):
        arguments = [sys.executable, "-m", "motionalign.convert", command]
        subprocess.run(
            [*arguments, str(tmp_path / "run"), str(tmp_path / command)],
            env={**os.environ, "XLA_FLAGS": flags},
            check=True,
        )
    for path, value in motionalign.load(tmp_path / "share").params.items():
        np.testing.assert_array_equal(value, params[path])
    exported = safetensors.numpy.load_file(tmp_path / "export" / "model.safetensors")
    bias = next(value for path, value in params.items() if path.endswith("up/bias"))
    assert any(np.array_equal(bias, tensor) for tensor in exported.values())


@pytest.mark.parametrize("item", ["optimizer", "params", "pipeline"])
def test_a_state_without_an_item_is_named(tmp_path, mesh, item):
    checkpoints = Checkpoints(tmp_path)
    state = make_state()
    checkpoints.save_latest(3, put(state, mesh), {"batch": 1}, STORED)
    checkpoints.close()
    shutil.rmtree(tmp_path / LATEST / "3" / item)
    (tmp_path / LATEST / "3" / digests.NAME).unlink()  # as in runs of older versions
    again = Checkpoints(tmp_path)
    with pytest.raises(ValueError, match=rf"{LATEST}/3: .*{item}.* cannot be read; the folder may"):
        again.restore_latest(sharding.abstract(state, mesh))
    again.close()


def test_a_damaged_description_of_a_run_is_named(workdir):
    path = find(workdir) / "run" / "metadata"
    (find(workdir) / digests.NAME).unlink()
    for content, message in (("{", "is not valid JSON"), ("[]", "is a list; expected an object"),
                             ('{"architecture": 3}', "lacks a field or has one")):  # fmt: skip
        path.write_text(content, "utf-8")
        with pytest.raises(ValueError, match=rf"run/metadata:? .*{message}"):
            load_run(find(workdir))
