"""The driver around Motion Patches' published code: what it adds, with stand-ins for that code.

With MOTION_PATCHES=FOLDER, a clone of https://github.com/YU1ut/MotionPatches, the slow test runs
the published program itself; it takes hydra-core, timm and einops.
"""

import argparse
import importlib.util
import json
import logging
import os
import pathlib
import subprocess
import sys
import types

import numpy as np
import pytest
import small_encoder

from benchmarks import published_motion_patches as driver

ROOT = pathlib.Path(__file__).parents[2]
SCORES = {
    "t2m": {"R@1": 19.26, "R@2": 35.73, "R@3": 49.42, "R@5": 74.71, "R@10": 94.43, "MedR": 4.0},
    "m2t": {"R@1": 18.1, "R@2": 33.87, "R@3": 48.96, "R@5": 72.16, "R@10": 90.02, "MedR": 3.5},
}
LOG = logging.getLogger("scripts.test")


def evaluate(scores, verbose=True):
    """Logs scores in the published form, and returns two of them."""
    for direction, values in scores.items():
        for name, value in values.items():
            kind = f"top{name[2:]}" if name != "MedR" else "median"
            if verbose:
                LOG.info(f"{direction}_recall_{kind}_correct_composition: {value:.2f}")
    return scores["t2m"]["R@1"], scores["m2t"]["R@1"]


def published_modules(batch_size=128, **recipe):
    """Stand-ins for scripts.train and scripts.test, which keep what they are called with."""
    values = {"dropout": 0.5, "lr": 1e-4, "T_max": 40, "scale": np.log(1 / 0.07)} | recipe
    calls = {}

    def group(rate):
        return {"params": [types.SimpleNamespace(dtype="torch.float32")], "initial_lr": rate,
                "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0}  # fmt: skip

    def clip_model(*args, **kwargs):
        calls["model"] = args, kwargs
        head = types.SimpleNamespace(
            dropout=types.SimpleNamespace(p=values["dropout"]),
            fc=types.SimpleNamespace(out_features=256),
        )
        bert = types.SimpleNamespace(config=types.SimpleNamespace(hidden_dropout_prob=0.1))
        return types.SimpleNamespace(
            motion_projection=head,
            text_projection=head,
            logit_scale=np.float64(values["scale"]),
            text_encoder=types.SimpleNamespace(text_model=bert),
        )

    def prepare_model(config, batches):
        model = train.ClipModel("vit", "bert", False, True, True, 768, 768, 256, dropout=0.5)
        groups = [group(rate) for rate in (values["lr"], 1e-5, 1e-4)]
        if values.get("learnt"):
            groups[2]["params"].append(model.logit_scale)
        scheduler = types.SimpleNamespace(T_max=values["T_max"])
        return model, types.SimpleNamespace(param_groups=groups), scheduler, "tokenizer"

    def loader(dataset, **kwargs):
        return [kwargs]

    class Batches(list):
        pass

    train = types.SimpleNamespace(
        DataLoader=loader, ClipModel=clip_model, prepare_model=prepare_model,
        eval=lambda *args, **kwargs: evaluate(SCORES, verbose=kwargs["verbose"]),
    )  # fmt: skip
    test = types.SimpleNamespace(DataLoader=loader, log=LOG)
    batches = Batches([None])
    batches.batch_size = batch_size
    return train, test, batches, calls


@pytest.fixture
def ours(monkeypatch):
    monkeypatch.setattr(driver, "motion_width", {"vit": 192}.__getitem__)
    monkeypatch.setattr(driver, "text_width", {"bert": 384}.__getitem__)
    return driver.our_config(argparse.Namespace(seed=3, epochs=20, text_weights=None))


def test_what_is_replaced_in_the_published_code(ours):
    train, test, batches, calls = published_modules()
    seen = []
    driver.intervene(train, test, 2, ours, seen.append)
    for module in (train, test):
        (kwargs,) = module.DataLoader("clips", batch_size=128, shuffle=True, num_workers=16)
        assert kwargs == {"batch_size": 128, "shuffle": True, "num_workers": 2}
    assert train.prepare_model("config", batches)[3] == "tokenizer"
    assert calls["model"] == (
        ("vit", "bert", False, True, True, 192, 384, 256),
        {"dropout": 0.5},
    )
    assert train.eval("config", "clips", verbose=False) == (19.26, 18.1)
    assert seen == [SCORES]


@pytest.mark.parametrize(
    ("recipe", "field"),
    [
        ({"batch_size": 64}, "data.batch_size is 64 in the published run, 128 in"),
        ({"dropout": 0.0}, "model.head_dropout is 0.0"),
        ({"lr": 1e-5}, "optim.groups.motion_encoder.lr is 1e-05"),
        ({"T_max": 20}, "optim.cosine_runs is 1.0"),
        ({"scale": 0.0}, "model.temperature is 1.0"),
        ({"learnt": True}, "model.learn_temperature is True"),
    ],
)
def test_another_recipe_is_refused(ours, recipe, field):
    train, test, batches, _ = published_modules(**recipe)
    driver.intervene(train, test, 2, ours, print)
    with pytest.raises(ValueError, match=f"the recipes differ: .*{field}"):
        train.prepare_model("config", batches)


def test_scores_that_are_not_logged():
    few = {"t2m": SCORES["t2m"], "m2t": {"R@1": 1.0, "MedR": 2.0}}
    level = LOG.level
    wrapped = driver.logging_all(evaluate, LOG, pytest.fail)
    with pytest.raises(ValueError, match=r"logged no R@2, R@3, R@5, R@10 of m2t"):
        wrapped(few, verbose=False)
    assert (LOG.level, LOG.handlers) == (level, [])


def test_the_record_of_epochs(tmp_path, capsys):
    weights = tmp_path / "checkpoints" / "last_model.pt"
    weights.parent.mkdir()
    record = driver.Record(tmp_path, {"arguments": {"seed": 3}}, keep=True)
    for content in ("first", "second"):
        weights.write_text(content)
        record.add(SCORES)
    stored = json.loads((tmp_path / "scores.json").read_text("utf-8"))
    assert stored["arguments"] == {"seed": 3}
    assert [epoch["epoch"] for epoch in stored["epochs"]] == [1, 2]
    assert stored["epochs"][1] == SCORES | stored["epochs"][1]
    assert weights.with_name("epoch01.pt").read_text() == "first"
    assert weights.with_name("epoch02.pt").read_text() == "second"
    assert "epoch 2, 0 s: 19.26 / 35.73 / 49.42 / 74.71 / 94.43 | " in capsys.readouterr().out


def test_tables():
    assert driver.row(SCORES).endswith("18.10 / 33.87 / 48.96 / 72.16 / 90.02 | 536.7")
    assert driver.table(SCORES).splitlines()[2:] == [
        "| text → motion | 19.26 | 35.73 | 49.42 | 74.71 | 94.43 | 4 |",
        "| motion → text | 18.1 | 33.87 | 48.96 | 72.16 | 90.02 | 3.5 |",
    ]


def test_published_files_are_compared(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match=r"has no conf/config\.yaml, .*MotionPatches"):
        driver.changed_files(tmp_path)
    for name in driver.PUBLISHED:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    assert driver.changed_files(tmp_path) == list(driver.PUBLISHED)
    known = driver.git_hash(tmp_path / "models/clip.py")
    command = ["git", "hash-object", str(tmp_path / "models/clip.py")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, encoding="utf-8")
    assert known == done.stdout.strip()
    monkeypatch.setitem(driver.PUBLISHED, "models/clip.py", known[:10])
    assert "models/clip.py" not in driver.changed_files(tmp_path)


def test_data_are_linked(tmp_path):
    raw, workdir = tmp_path / "raw", tmp_path / "run"
    raw.mkdir()
    with pytest.raises(ValueError, match=r"--raw_dir=.* has no new_joints, texts, train\.txt"):
        driver.link_data(raw, workdir)
    for part in driver.PARTS:
        (raw / part).write_text(part)
    for _ in range(2):  # a second run in the same folder
        driver.link_data(raw, workdir)
    (workdir / "data" / "KIT-ML" / "Mean_raw.npy").write_text("mean")
    assert (workdir / "data" / "HumanML3D" / "Mean_raw.npy").read_text() == "mean"
    assert (workdir / "data" / "HumanML3D" / "train.txt").read_text() == "train.txt"
    assert sorted(path.name for path in raw.iterdir()) == sorted(driver.PARTS)


def test_the_stand_in_for_torchvision(monkeypatch):
    monkeypatch.setattr(sys, "meta_path", [driver.Torchvision(), *sys.meta_path])
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        monkeypatch.delitem(sys.modules, name)
    from torchvision.ops.misc import FrozenBatchNorm2d  # ty: ignore[unresolved-import]

    assert isinstance(FrozenBatchNorm2d, type) and FrozenBatchNorm2d.anything
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        monkeypatch.delitem(sys.modules, name)


@pytest.mark.slow
@pytest.mark.skipif("MOTION_PATCHES" not in os.environ, reason="no clone of the published code")
def test_the_published_program(tmp_path):
    absent = [m for m in ("hydra", "timm", "einops", "cv2") if not importlib.util.find_spec(m)]
    if absent:
        pytest.skip(f"{', '.join(absent)} not installed")
    raw, random = tmp_path / "raw", np.random.default_rng(0)
    (raw / "new_joints").mkdir(parents=True)
    (raw / "texts").mkdir()
    captions = [f"a person walks {i} steps" for i in range(140)]
    for i, caption in enumerate(captions):
        np.save(raw / "new_joints" / f"{i}.npy", random.normal(size=(20, 22, 3)).astype("f4"))
        (raw / "texts" / f"{i}.txt").write_text(f"{caption}#{caption}#0.0#0.0\n")
    for name, ids in {"train": range(130), "val": range(130, 134), "test": range(134, 140)}.items():
        (raw / f"{name}.txt").write_text("".join(f"{i}\n" for i in ids))
    encoder = small_encoder.write_encoder(tmp_path / "bert", captions)
    command = [
        *(sys.executable, "-m", "benchmarks.published_motion_patches", "--epochs=1"),
        *(f"--published={os.environ['MOTION_PATCHES']}", f"--raw_dir={raw}"),
        *(f"--workdir={tmp_path / 'run'}", f"--text_weights={encoder}", "--workers=0", "--keep"),
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    stored = json.loads((tmp_path / "run" / "scores.json").read_text("utf-8"))
    assert stored["published"]["files_changed"] == []
    (epoch,) = stored["epochs"]
    assert epoch["t2m"]["R@10"] == epoch["m2t"]["R@10"] == 100.0  # of six clips
    assert (tmp_path / "run" / "checkpoints" / "epoch01.pt").is_file()
    assert done.stdout.splitlines()[-2].startswith("| text → motion | ")
