"""Checkpoints: self-contained folders written by Orbax.

A run's workdir holds
  checkpoints/<step>   the latest states: parameters, optimizer, input pipeline; to resume from
  best/<step>          the parameters with the best validation score; to use and to share
A network with state that is no parameter has it as an item `rest` in both.
Converted checkpoints are best/0, with an item `unused` for the tensors that no computation needs.

Each step folder carries, in its `run` item, everything that encoding a new clip takes: the resolved
architecture, the tokenizer, and skeleton and statistics of every training dataset. It can be copied
elsewhere as it is. Parameters are a flat dict {path: array}.
"""

import json
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
import safetensors.numpy

from motionalign.config import VERSION_KEY, migrate
from motionalign.data.dataset import migrate_metadata
from motionalign.files import expand

LATEST, BEST = "checkpoints", "best"

# Values of config.eval.checkpoint, and the series of a workdir that they mean.
SERIES = {"best": BEST, "last": LATEST}

# Of a training state; what a network does not have is not saved.
_STATE = ("params", "rest", "optimizer")


class Checkpoints:
    """The two checkpoint series of a workdir; saves run in the background."""

    def __init__(self, workdir: str | pathlib.Path) -> None:
        workdir = expand(workdir).absolute()
        self._latest, self._best = (
            ocp.CheckpointManager(
                workdir / series,
                options=ocp.CheckpointManagerOptions(
                    max_to_keep=1,
                    cleanup_tmp_directories=True,
                    # Both may be writing at once, and processes wait for each other by name.
                    multiprocessing_options=ocp.options.MultiprocessingOptions(
                        barrier_sync_key_prefix=series
                    ),
                ),
            )
            for series in (LATEST, BEST)
        )

    def save_latest(self, step: int, state: dict, pipeline: dict, run: dict) -> None:
        """Saves what resuming needs; a no-op when this step is already there."""
        if step == self._latest.latest_step():
            return
        # A run that resumes from here will not validate this step again: its best must be safe.
        self._best.wait_until_finished()
        items: dict[str, Any] = {
            name: ocp.args.StandardSave(state[name]) for name in _STATE if state[name]
        }
        items |= {"pipeline": ocp.args.JsonSave(pipeline), "run": ocp.args.JsonSave(run)}
        self._latest.save(step, args=ocp.args.Composite(**items))

    def save_best(
        self,
        step: int,
        params: Mapping[str, Any],
        run: dict,
        rest: dict | None = None,
        unused: Mapping[str, np.ndarray] | None = None,
    ) -> None:
        """Saves a model that scores better than that in best/, which it replaces.

        Args:
          step: after which it was.
          params: {path: array}.
          run: what lies beside them.
          rest: the network's state that is no parameter, {path: array}.
          unused: tensors {key: array} of any dtype that travel along.
        """
        # Orbax saves nothing before the newest step that it has. A run resumed from an earlier
        # step, or begun anew, may come upon its best there.
        for later in self._best.all_steps():
            if later >= step:
                self._best.delete(later)
        items = {"params": ocp.args.StandardSave(params), "run": ocp.args.JsonSave(run)}
        if rest:
            items["rest"] = ocp.args.StandardSave(rest)
        if unused:
            # As the bytes of a safetensors file: float64 and its like stay what they are.
            data = np.frombuffer(safetensors.numpy.save(dict(unused)), np.uint8)
            items["unused"] = ocp.args.StandardSave({"safetensors": data})
        self._best.save(step, args=ocp.args.Composite(**items))

    def latest_step(self) -> int | None:
        """The step of the newest complete checkpoint to resume from."""
        return self._latest.latest_step()

    def best_score(self) -> float:
        """The score of the best checkpoint on disk, or minus infinity.

        It may be of a later step than the state that a killed run resumes from; the resumed run
        will come to the same parameters at that step again, and needs nothing better before.
        """
        step = self._best.latest_step()
        if step is None:
            return float("-inf")
        run = self._best.restore(step, args=ocp.args.Composite(run=ocp.args.JsonRestore()))["run"]
        return run["score"]

    def restore_latest(self, state: dict) -> tuple[int, dict, dict] | None:
        """Restores the latest state into the shapes and shardings of the abstract `state`.

        Returns:
          (step, state, pipeline), or None when there is nothing to resume from.
        """
        step = self._latest.latest_step()
        if step is None:
            return None
        items: dict[str, Any] = {
            name: ocp.args.StandardRestore(state[name]) for name in _STATE if state[name]
        }
        items["pipeline"] = ocp.args.JsonRestore()
        restored = self._latest.restore(step, args=ocp.args.Composite(**items))
        found = {name: restored[name] if state[name] else state[name] for name in _STATE}
        return step, found, restored["pipeline"]

    def wait(self) -> None:
        """Returns when all saves are on disk."""
        self._latest.wait_until_finished()
        self._best.wait_until_finished()

    def close(self) -> None:
        """Waits for all saves and ends."""
        self.wait()
        self._latest.close()
        self._best.close()


def checkpoint_steps(workdir: pathlib.Path) -> dict[str, list[int]]:
    """{series: steps of its complete checkpoints} of a workdir, as the names of folders say."""
    return {
        series: [
            int(folder.name)
            for folder in (workdir / series).glob("[0-9]*")
            if folder.name.isdecimal() and folder.is_dir()
        ]
        for series in (LATEST, BEST)
    }


def has_checkpoint(workdir: pathlib.Path) -> bool:
    """Whether there is a checkpoint of either series, and so a run that has begun."""
    return any(checkpoint_steps(workdir).values())


def migrate_unsaid(run: dict[str, Any]) -> dict[str, Any]:
    """Migration 1: what runs of version 0.1 left unsaid is said."""
    unsaid: dict[str, Any] = dict.fromkeys(("distance", "text_encoder", "trained", "source"))
    run = unsaid | {"frozen": []} | run
    run["score"] = run.get("score")
    architecture: dict[str, Any] = {"gait_head": None, "classifier": None, **run["architecture"]}
    motion = {"family": "vit", **architecture["motion"]}
    if motion["family"] == "motion_transformer":
        motion = {"input": "rotations" if motion["channels"] == 6 else "joints", **motion}
    if run["trained"] and run["trained"]["task"] == "captions":
        run["trained"] = run["trained"] | {"texts": "captions"}
    datasets = {name: migrate_metadata(each) for name, each in run.get("datasets", {}).items()}
    return run | {"architecture": architecture | {"motion": motion}, "datasets": datasets}


RUN_MIGRATIONS: tuple[Callable[[dict], dict], ...] = (migrate_unsaid,)
"""Migration n takes what is stored beside parameters of version n - 1 to version n."""


def migrate_run(stored: Mapping[str, Any]) -> dict[str, Any]:
    """What is stored beside parameters, as today's code stores it."""
    return migrate(stored, RUN_MIGRATIONS, "the model")


def stored_run(run: Mapping[str, Any]) -> dict[str, Any]:
    """What is to be stored beside parameters."""
    return {VERSION_KEY: len(RUN_MIGRATIONS), **run}


def find(path: str | pathlib.Path, series: str = BEST) -> pathlib.Path:
    """The step folder that `path` means: itself, or the newest one inside it.

    `path` is a step folder, a folder of step folders, or a workdir (then `series` decides).
    """
    path = pathlib.Path(path).absolute()
    for folder in (path, path / series, path / LATEST):
        if (folder / "_CHECKPOINT_METADATA").is_file() and (folder / "params").is_dir():
            return folder
        steps = [
            step
            for step in (folder.iterdir() if folder.is_dir() else ())
            if step.name.isdecimal() and (step / "params").is_dir() and (step / "run").is_dir()
        ]
        if steps:
            return max(steps, key=lambda step: int(step.name))
    raise ValueError(
        f"no checkpoint at {path}: expected a training workdir, its {BEST}/ or {LATEST}/, or one "
        "step folder of these"
    )


def load_run(step_dir: pathlib.Path) -> dict:
    """The `run` item of a step folder: architecture, tokenizer, datasets, config."""
    path = step_dir / "run" / "metadata"
    if not path.is_file():
        raise ValueError(f"{step_dir}: no {path.relative_to(step_dir)}; was it copied in part?")
    return migrate_run(json.loads(path.read_text("utf-8")))


def load_params(step_dir: pathlib.Path, abstract: dict[str, jax.ShapeDtypeStruct]) -> dict:
    """Parameters {path: array} of a step folder, in the given shapes and shardings."""
    return _restore(step_dir, "params", abstract)


def load_rest(step_dir: pathlib.Path, abstract: dict[str, jax.ShapeDtypeStruct]) -> dict:
    """State that is no parameter {path: array}, in the given shapes and shardings."""
    return _restore(step_dir, "rest", abstract) if abstract else {}


def load_unused(step_dir: pathlib.Path) -> dict[str, np.ndarray]:
    """The tensors {key: array} of a step folder that no computation needs."""
    if not (step_dir / "unused").is_dir():
        return {}
    return safetensors.numpy.load(np.asarray(_restore(step_dir, "unused")["safetensors"]).tobytes())


def _restore(step_dir: pathlib.Path, item: str, abstract: dict | None = None) -> dict:
    args = ocp.args.Composite(**{item: ocp.args.StandardRestore(abstract)})
    try:
        with ocp.Checkpointer(ocp.CompositeCheckpointHandler()) as checkpointer:
            return checkpointer.restore(step_dir, args=args)[item]
    except Exception as error:  # of any type: Orbax does not say what is wrong with a folder
        raise ValueError(
            f"{step_dir}: {item} cannot be read; was it copied in part? "
            f"({type(error).__name__}: {str(error)[:300]})"
        ) from error
