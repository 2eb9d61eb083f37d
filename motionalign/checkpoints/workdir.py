"""motionalign.checkpoints.workdir."""

import json
import math
import pathlib
import subprocess
import sys

import jax
from absl import logging
from jax.experimental import multihost_utils

from motionalign.checkpoints.run import BEST, LATEST, SERIES
from motionalign.checkpoints.shared import open_saved
from motionalign.data.dataset import Dataset
from motionalign.data.texts import clip_texts
from motionalign.data.tokenizer import Tokenizer, train_wordpiece
from motionalign.models.weights.load import load_tokenizer

# Fields of a config that may change when a run is resumed: none of them moves a parameter.
FREE_TO_RESUME = (
    *("mesh", "checkpoint_steps", "log_steps", "eval", "data.data_dir", "data.test_split"),
    *("data.eval_batch_size", "data.workers", "data.cache_gb"),
)

# What the configs of older runs meant by fields that they do not have, by the ends of their names.
IMPLIED = {
    "motion.family": "vit",
    "motion.final_norm": "fresh",
    ".layer_decay": 1.0,
    "motion.input": "joints",
    "motion.root": True,
    "task": "captions",
    "loss.margin": 10.0,
    "loss.kind": "contrastive",
    "data.texts": "words",
    "data.sampling": "conseq",
    "data.step": 1,
    ".crop": 0,
    ".paces": [1.0],
    ".squeeze": 0.0,
    ".mirror": 0.0,
    **dict.fromkeys((".reverse", ".joint_noise", ".point_noise"), 0.0),
}


def summary_writer_class() -> type:
    """tensorboardX's SummaryWriter.

    Where torch is installed tensorboardX imports it, which takes longer than all our imports, to
    recognise tensors that we have none of. It does without where there is none: so it seems here.
    """
    hidden = "torch" not in sys.modules
    if hidden:
        sys.modules["torch"] = None
    try:
        from tensorboardX import SummaryWriter
    finally:
        if hidden:
            del sys.modules["torch"]
    return SummaryWriter


class Metrics:
    """Scalars of a run to JSON lines and TensorBoard; on process 0 only."""

    def __init__(self, workdir: pathlib.Path, resumed_step: int):
        self._writer = self._file = None
        if jax.process_index() != 0:
            return
        path = workdir / "metrics.jsonl"
        # Lines written after the checkpoint that we resume from will be written again.
        lines = path.read_text().splitlines() if path.is_file() else []
        kept = [line for line in lines if _step_of(line) <= resumed_step]
        partial = path.with_suffix(".partial")
        partial.write_text("".join(line + "\n" for line in kept))
        partial.replace(path)
        self._file = path.open("a", buffering=1)
        writer = summary_writer_class()
        self._writer = writer(str(workdir / "tensorboard"), purge_step=resumed_step + 1)

    def write(self, step: int, scalars: dict[str, float]) -> None:
        if self._file is None:
            return
        self._file.write(json.dumps({"step": step, **scalars}) + "\n")
        for name, value in scalars.items():
            self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._writer.close()


def _step_of(line: str) -> float:
    try:
        return json.loads(line)["step"]
    except (ValueError, KeyError, TypeError):  # the half line of a killed process
        return math.inf


def prepare_tokenizer(
    config, workdir: pathlib.Path, datasets: list[Dataset], has_checkpoint: bool
) -> Tokenizer:
    """The tokenizer of a run: its pretrained weights', or one learnt from the captions.

    It is kept in the workdir, where a resumed run and the other processes find the same one.
    """
    path = workdir / "tokenizer.json"
    text = config.model.text
    if not (has_checkpoint and path.is_file()) and jax.process_index() == 0:
        if config.model.weights:
            tokenizer_json = open_saved(config.model.weights).run["tokenizer"]
        elif text.weights:
            tokenizer_json = load_tokenizer(text.weights, text.max_tokens).json
        else:
            captions = sorted(
                text
                for dataset in datasets
                for texts in clip_texts(
                    dataset,
                    dataset.split(config.data.train_split),
                    config.task,
                    config.data.texts,
                ).texts
                for text in texts
            )
            tokenizer_json = train_wordpiece(captions, text.vocab_size)
        partial = path.with_suffix(".partial")
        partial.write_text(tokenizer_json)
        partial.replace(path)
    barrier("tokenizer")
    if not path.is_file():
        raise ValueError(
            f"process {jax.process_index()} does not see {path}, which process 0 wrote: --workdir "
            "must be on storage that all hosts share"
        )
    return Tokenizer(path.read_text(), text.max_tokens)


def barrier(name: str) -> None:
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices(name)


def record_run(config, workdir: pathlib.Path, has_checkpoint: bool) -> None:
    """Stores config, commit and diff; a run with checkpoints does not go on with another config."""
    path = workdir / "config.json"
    current = json.loads(config.to_json())
    if has_checkpoint and path.is_file():
        before, now = flat(json.loads(path.read_text())), flat(current)
        for name in now.keys() - before.keys():  # fields that came later
            before[name] = next((v for end, v in IMPLIED.items() if name.endswith(end)), None)
        changed = [
            f"{name}: {before.get(name)!r} before, {now.get(name)!r} now"
            for name in sorted(before.keys() | now.keys())
            if before.get(name) != now.get(name)
            and not any(name == f or name.startswith(f + ".") for f in FREE_TO_RESUME)
        ]
        if changed:
            raise ValueError(
                f"{workdir} holds a run with another config. Choose a new --workdir, or go back "
                "to its values:\n  " + "\n  ".join(changed)
            )
    if jax.process_index() != 0:
        return
    root = pathlib.Path(__file__).resolve().parents[1]
    for name, command in {
        "git_commit.txt": ("git", "-C", str(root), "rev-parse", "HEAD"),
        "git_diff.txt": ("git", "-C", str(root), "diff", "HEAD"),
    }.items():
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=30)
        except (OSError, subprocess.TimeoutExpired) as error:
            logging.info("no %s: %s", name, error)
            continue
        if done.returncode == 0:  # an installed package has no repository, and that is fine
            (workdir / name).write_text(done.stdout)
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(current, indent=2) + "\n")
    partial.replace(path)


def flat(tree: dict, prefix: str = "") -> dict:
    out = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            out.update(flat(value, f"{prefix}{key}."))
        else:
            out[prefix + key] = value
    return out


def run_folder(path: str | pathlib.Path) -> pathlib.Path:
    """The workdir of the run that a checkpoint lies in, to write results beside it."""
    path = pathlib.Path(path).absolute()
    for folder in (path, path.parent, path.parent.parent):
        if (folder / "config.json").is_file() and any(
            (folder / s).is_dir() for s in SERIES.values()
        ):
            return folder
    raise ValueError(
        f"{path} does not lie in a run's folder (no config.json and checkpoints): name a folder "
        "for the results with --workdir"
    )


def results_beside(path: str | pathlib.Path, step: int) -> dict | None:
    """The metrics.json of the run that a checkpoint lies in, if it is of this checkpoint's step."""
    path = pathlib.Path(path).absolute()
    series = (BEST, LATEST)
    if path.parent.name in series:  # a step folder
        path = path.parent
    if path.name in series:
        path = path.parent
    metrics = path / "metrics.json"
    results = json.loads(metrics.read_text()) if metrics.is_file() else {}
    return results if results.get("step") == step else None
