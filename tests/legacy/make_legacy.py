"""Makes the datasets, runs and shared folders of version 0.1.0 (commit da58d04) in this folder.

    git worktree add /tmp/old da58d04 && cd /tmp/old
    PYTHONPATH=.:tests python PATH/TO/tests/legacy/make_legacy.py PATH/TO/tests/legacy

They are what tests/test_migrations.py resumes, evaluates, encodes and shares: nothing in them is
from real clips. Each run is stopped half-way, then finished in a copy, whose outputs are kept.
"""

import pathlib
import shutil
import sys

import numpy as np
import safetensors.numpy
from motionalign.records import Dataset
from published_files import write_densegait
from runs import tiny_config

import motionalign
from configs import densegait_gaitformer
from data_prep.__main__ import main as data_prep
from data_prep.builders import prepare
from data_prep.embed import all_texts
from data_prep.readers import Clips, synthetic
from motionalign import apply, convert, train

SMALL_GAIT = {
    "data.batch_size": 4,
    "data.eval_batch_size": 4,
    "epochs": 2,
    "checkpoint_steps": 0,
    "log_steps": 1,
    "model.motion.size": "custom",
    "model.motion.width": 8,
    "model.motion.depth": 1,
    "model.motion.heads": 2,
    "model.motion.max_frames": 12,
    "optim.groups.motion_encoder.lr": 1e-3,
    "optim.groups.heads.lr": 1e-3,
    "loss.kind": "contrastive",
    "data.sampling": "random_conseq",
    "data.augment.mirror": 0.5,
}


def make_datasets(data_dir: pathlib.Path, scratch: pathlib.Path) -> None:
    clips = [
        type(clip)(clip.id, split, clip.joints[: 18 + 3 * i], clip.captions[:2], clip.meaning)
        if hasattr(clip, "meaning")
        else clip
        for i, (clip, split) in enumerate(
            zip(
                synthetic.generate(12, seed=0),
                ("train", "train", "val", "train", "test", "train") * 2,
            )
        )
    ]
    clips = [
        __import__("dataclasses").replace(clip, joints=clip.joints[: 18 + 3 * i], split=split)
        for i, (clip, split) in enumerate(
            zip(clips, ("train", "train", "val", "train", "test", "train") * 2)
        )
    ]
    prepare(lambda: Clips(clips), data_dir, "clips", patch_size=8)
    raw = write_densegait(scratch / "gait", num_tracks=12)
    for path in raw.rglob("*.npy"):
        np.save(path, np.load(path)[: 14 + len(path.name)])
    data_prep(["densegait", f"--raw_dir={raw}", f"--data_dir={data_dir}", "--name=gait"])
    dataset = Dataset(data_dir, "gait")
    texts = sorted(all_texts(dataset))
    vectors = np.random.default_rng(0).normal(size=(len(texts), 6)).astype(np.float32)
    lines = np.frombuffer("\n".join(texts).encode(), np.uint8)
    made_by = {"encoder": "nowhere/encoder", "sha256": "0" * 64, "readout": "mean"}
    path = dataset.version_dir / "caption_vectors.safetensors"
    path.write_bytes(safetensors.numpy.save({"vectors": vectors, "captions": lines}, made_by))


def train_half(config, workdir: pathlib.Path, stop_at: int) -> None:
    """Stops after `stop_at` steps, as SIGTERM does."""
    stop_request = train._StopRequest
    train._StopRequest = type(
        "Stop", (), {"__call__": lambda self, step: step >= stop_at, "close": lambda self: None}
    )
    assert train.train(config, workdir) == "stopped"
    train._StopRequest = stop_request


def expected(workdir, dataset, motions, texts=()) -> dict[str, np.ndarray]:
    model = motionalign.load(workdir)
    split = dataset.split("test")
    found = {f"params/{path}": np.asarray(value) for path, value in model.params.items()}
    clips = [split[i]["joints"][:, 0] for i in range(len(split))]
    found["motion"] = motions(model, clips)
    if texts:
        found["text"] = model.encode_text(list(texts))
    return found


def main(folder: pathlib.Path) -> None:
    data_dir, scratch = folder / "data", folder / "scratch"
    make_datasets(data_dir, scratch)
    small = tiny_config(
        "data", data__datasets="clips", epochs=2, checkpoint_steps=0, data__batch_size=2,
        data__eval_batch_size=4, model__motion__patch_size=8, model__motion__max_frames=48,
        data__frame_bucket=24, model__text__vocab_size=120, model__motion__width=8,
        model__text__width=8,
    )  # fmt: skip
    gait = densegait_gaitformer.get_config("contrastive,augmented")
    with gait.unlocked():
        gait.update_from_flattened_dict(
            {**SMALL_GAIT, "data.data_dir": "data", "data.datasets": "gait",
             "data.augment.crop": 0, "data.augment.paces": (1.0,)}
        )  # fmt: skip
    import os

    os.chdir(folder)
    for name, config, stop_at in (("clips", small, 5), ("gait", gait, 3)):
        dataset = Dataset("data", name)
        train_half(config, folder / f"run-{name}", stop_at)
        done = shutil.copytree(folder / f"run-{name}", scratch / f"run-{name}")
        assert train.train(config, done) == "finished"
        results = apply.evaluate_checkpoint(config, done, done)
        texts = ("a person walks", "someone waves") if name == "clips" else ()
        fps = dataset.metadata.fps
        arrays = expected(
            done, dataset, lambda model, clips, fps=fps: model.encode_motion(clips, fps=fps), texts
        )
        np.savez_compressed(folder / f"expected-{name}.npz", **arrays)
        (folder / f"expected-{name}.json").write_text(__import__("json").dumps(results[name]))
        convert.main(["share", str(done), str(folder / f"shared-{name}")])
    shutil.rmtree(scratch)
    for path in folder.rglob("tensorboard"):
        shutil.rmtree(path)
    for path in folder.rglob("git_*.txt"):
        path.unlink()


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]).absolute())
