"""Makes v0.1.tar.xz: prepared datasets, half-finished runs and shared models of version 0.1.0.

It runs the code of that version, commit da58d04, and takes the archive to write:

    git worktree add ../v0.1 da58d04 && cd ../v0.1
    PYTHONPATH=.:tests JAX_PLATFORMS=cpu python PATH/TO/tests/legacy/make_legacy.py v0.1.tar.xz

All clips are made up. tests/test_migrations.py reads what the archive holds:
  data/<dataset>        the prepared datasets "clips" (captions) and "gait" (attributes, vectors)
  run-<name>            a workdir, stopped half-way
  shared-<name>         the model of the finished run as a folder to share
  expected-<name>.npz   of the finished run: params/<path> after its last step; of its best model
                        `motion`, embeddings of the test split (or a classifier's probabilities),
                        and `text`, those of `TEXTS`
  expected-<name>.json  the scores of its best model
"""

import contextlib
import dataclasses
import json
import pathlib
import shutil
import sys
import tarfile
import tempfile
from unittest import mock

import numpy as np
import safetensors.numpy
from ml_collections import ConfigDict
from motionalign.model import load
from motionalign.records import Dataset
from published_files import write_densegait
from runs import tiny_config

from configs import densegait_gaitformer
from data_prep.__main__ import main as data_prep
from data_prep.builders import prepare
from data_prep.embed import all_texts
from data_prep.readers import Clips, synthetic
from motionalign import apply, checkpoint, convert, train

CAPTIONS = {
    "epochs": 2,
    "checkpoint_steps": 0,
    "data.datasets": "clips",
    "data.batch_size": 2,
    "data.eval_batch_size": 4,
    "data.frame_bucket": 24,
    "model.motion.patch_size": 8,
    "model.motion.max_frames": 48,
    "model.motion.width": 8,
    "model.text.width": 8,
    "model.text.vocab_size": 120,
}
WALKING = {
    "epochs": 2,
    "checkpoint_steps": 0,
    "log_steps": 1,
    "data.data_dir": "data",
    "data.datasets": "gait",
    "data.batch_size": 8,
    "data.eval_batch_size": 4,
    "data.sampling": "random_conseq",
    "data.augment.crop": 0,
    "data.augment.paces": (1.0,),
    "model.motion.size": "custom",
    "model.motion.width": 8,
    "model.motion.depth": 1,
    "model.motion.heads": 2,
    "model.motion.max_frames": 12,
    "optim.groups.motion_encoder.lr": 1e-3,
    "optim.groups.heads.lr": 1e-3,
}
TEXTS = ("a person walks", "someone waves")
SPLITS = ("train", "test", "train", "val", "train", "test", "train")


def main(archive: pathlib.Path) -> None:
    """Makes everything in a temporary folder, and packs it."""
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        root, scratch = pathlib.Path("v0.1"), pathlib.Path("scratch")
        root.mkdir()
        with contextlib.chdir(root):
            make_clips(pathlib.Path("data"))
            make_gait(pathlib.Path("data"), pathlib.Path(folder) / scratch)
            for name, (config, stop_at) in configs().items():
                make_run(name, config, stop_at, pathlib.Path(folder) / scratch)
        scrub(root, folder)
        pack(root, archive)


# Datasets ----------------------------------------------------------------------------------------


def make_clips(data_dir: pathlib.Path) -> None:
    """The dataset "clips": 21 short clips of SMPL-22 with two captions each."""
    clips = [
        dataclasses.replace(
            clip,
            split=SPLITS[i % len(SPLITS)],
            joints=shorter(clip.joints[: 16 + i]),
            captions=clip.captions[:2],
        )
        for i, clip in enumerate(synthetic.generate(21, seed=0))
    ]
    prepare(lambda: Clips(clips), data_dir, "clips", patch_size=8)


def make_gait(data_dir: pathlib.Path, scratch: pathlib.Path) -> None:
    """The dataset "gait": 30 tracks of COCO-18 with attributes, and random vectors of the texts."""
    raw = write_densegait(scratch / "gait", num_tracks=30)
    for i, path in enumerate(sorted(raw.rglob("*.npy"))):
        np.save(path, shorter(np.load(path)[: 10 + i % 8]))
    data_prep(["densegait", f"--raw_dir={raw}", f"--data_dir={data_dir}", "--name=gait"])
    dataset = Dataset(data_dir, "gait")
    texts = sorted(all_texts(dataset))
    vectors = np.random.default_rng(0).normal(size=(len(texts), 6)).astype(np.float32)
    lines = np.frombuffer("\n".join(texts).encode(), np.uint8)
    made_by = {"encoder": "nowhere/encoder", "sha256": "0" * 64, "readout": "mean"}
    path = dataset.version_dir / "caption_vectors.safetensors"
    path.write_bytes(safetensors.numpy.save({"vectors": vectors, "captions": lines}, made_by))


def shorter(joints: np.ndarray) -> np.ndarray:
    """Joints rounded to half precision, which halves what they take in an archive."""
    return joints.astype(np.float16).astype(np.float32)


# Runs --------------------------------------------------------------------------------------------


def configs() -> dict[str, tuple[ConfigDict, int]]:
    """{name: (config, the step at which the run is stopped)}."""
    fields = {name.replace(".", "__"): value for name, value in CAPTIONS.items()}
    gait = densegait_gaitformer.get_config("contrastive,augmented")
    classes = densegait_gaitformer.get_config("classify")
    for config in (gait, classes):
        with config.unlocked():
            config.update_from_flattened_dict(WALKING)
    return {"clips": (tiny_config("data", **fields), 8), "gait": (gait, 4), "classes": (classes, 3)}


def make_run(name: str, config: ConfigDict, stop_at: int, scratch: pathlib.Path) -> None:
    """Stops a run half-way, finishes a copy of it, and keeps what that one computes."""
    half, done = pathlib.Path(f"run-{name}").absolute(), scratch / f"run-{name}"
    with mock.patch.object(train, "_StopRequest", lambda: StopAt(stop_at)):
        assert train.train(config, half) == "stopped"
    shutil.copytree(half, done)
    assert train.train(config, done) == "finished"
    (results,) = apply.evaluate_checkpoint(config, done, done).values()
    pathlib.Path(f"expected-{name}.json").write_text(json.dumps(results, indent=1) + "\n")
    np.savez_compressed(f"expected-{name}.npz", **outputs(done, config.data.datasets))
    convert.main(["share", str(done), f"shared-{name}"])
    shutil.rmtree(half / "tensorboard")
    for path in half.glob("git_*.txt"):
        path.unlink()


class StopAt:
    """Stands in for the request to stop that SIGTERM makes."""

    def __init__(self, step: int):
        self._step = step

    def __call__(self, step: int) -> bool:
        """Whether to stop before `step`."""
        return step >= self._step

    def close(self) -> None:
        """Nothing to give back."""


def outputs(workdir: pathlib.Path, name: str) -> dict[str, np.ndarray]:
    """The last parameters, and what the best model makes of the dataset's test split and texts."""
    last = load(workdir, checkpoint.LATEST)
    found = {f"params/{path}": np.asarray(value) for path, value in last.params.items()}
    model = load(workdir)
    dataset = Dataset("data", name)
    clips = [record["joints"][:, 0] for record in dataset.split("test")]
    encode = model.classify if model.class_names else model.encode_motion
    found["motion"] = encode(clips, fps=dataset.metadata.fps)
    if model.run["tokenizer"]:
        found["text"] = model.encode_text(list(TEXTS))
    return found


# The archive -------------------------------------------------------------------------------------


def scrub(root: pathlib.Path, machine: str) -> None:
    """Makes the paths in files relative: nothing may say where they were made.

    Orbax notes in commit_success.txt where it wrote, and report.json where the raw files were.
    """
    for path in root.rglob("*"):
        if path.name in ("commit_success.txt", "report.json"):
            path.write_text(path.read_text().replace(f"{machine}/v0.1/", "").replace(machine, ""))
    for path in root.rglob("*"):
        for secret in (machine, str(pathlib.Path(__file__).parents[2]), sys.prefix, "/home/"):
            if path.is_file() and secret.encode() in path.read_bytes():
                raise ValueError(f"{path} holds {secret}")


def pack(root: pathlib.Path, archive: pathlib.Path) -> None:
    """Packs a folder's content in the order of its names, without owners and times."""

    def plain(info: tarfile.TarInfo) -> tarfile.TarInfo:
        info.uid = info.gid = info.mtime = 0
        info.uname = info.gname = ""
        info.mode = 0o755 if info.isdir() else 0o644
        return info

    with tarfile.open(archive, "w:xz", preset=9) as tar:
        for path in sorted(root.rglob("*")):
            tar.add(path, path.relative_to(root), recursive=False, filter=plain)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]).absolute())
