"""Checkpoints: self-contained folders written by Orbax.

A run's workdir has two series of checkpoints:
  checkpoints/<step>   the latest state, for resuming: parameters, optimizer, input pipeline
  best/<step>          the parameters with the best validation score, for inference and sharing
Both have an item `rest` if the network has non-parameter state. Converted checkpoints are best/0,
with an item `unused` for the tensors that no computation needs.

The `run` item of each step folder contains everything else for encoding new clips: the resolved
architecture, the tokenizer, and the skeleton and statistics of every training dataset. The folder
can be copied elsewhere unchanged. Parameters are a flat dict {path: array}.

The digests of a step folder's files (motionalign/digests.py) are written before Orbax renames the
complete folder to its final name, so that every checkpoint has them. Of Orbax's files only
_CHECKPOINT_METADATA, which it writes last, has none.
"""

import contextlib
import functools
import pathlib
from collections.abc import Callable, Generator, Mapping
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
import safetensors.numpy

from motionalign import digests, reading
from motionalign.config import VERSION_KEY, migrate
from motionalign.data.dataset import encoder_name, migrate_metadata, older_hub_id
from motionalign.files import expand

LATEST, BEST = "checkpoints", "best"

# Values of config.eval.checkpoint and the series of a workdir that they select.
SERIES = {"best": BEST, "last": LATEST}

COPY_AGAIN = "The folder may be an incomplete or damaged copy: copy it again"

# Written by Orbax after everything else of a step folder.
_STEP_METADATA = "_CHECKPOINT_METADATA"

# Items of a training state; empty ones are not saved.
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
                    # Called on process 0 when the files of all processes are complete.
                    async_options=ocp.options.AsyncOptions(
                        post_finalization_callback=functools.partial(
                            _write_digests, workdir / series
                        )
                    ),
                    # Both series may save at once, and processes synchronise on barriers by name.
                    multiprocessing_options=ocp.options.MultiprocessingOptions(
                        barrier_sync_key_prefix=series
                    ),
                ),
            )
            for series in (LATEST, BEST)
        )

    def save_latest(self, step: int, state: dict, pipeline: dict, run: dict) -> None:
        """Saves the state for resuming; does nothing if this step is already saved."""
        if step == self._latest.latest_step():
            return
        # A run that resumes here does not validate this step again, so its best must be on disk.
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
        """Saves a model that scores better than the one in best/, and replaces it.

        Args:
          step: the training step.
          params: {path: array} of the parameters.
          run: metadata stored with the parameters.
          rest: {path: array} of the network's non-parameter state.
          unused: unused tensors {key: array} of any dtype, stored with the model.
        """
        # Orbax saves no step before its newest one. A run that was resumed from an earlier step, or
        # restarted, may reach its best before that.
        for later in self._best.all_steps():
            if later >= step:
                self._best.delete(later)
        items = {"params": ocp.args.StandardSave(params), "run": ocp.args.JsonSave(run)}
        if rest:
            items["rest"] = ocp.args.StandardSave(rest)
        if unused:
            # As the bytes of a safetensors file, which keeps dtypes such as float64.
            data = np.frombuffer(safetensors.numpy.save(dict(unused)), np.uint8)
            items["unused"] = ocp.args.StandardSave({"safetensors": data})
        self._best.save(step, args=ocp.args.Composite(**items))

    def latest_step(self) -> int | None:
        """The step of the newest complete checkpoint for resuming, or None."""
        return self._latest.latest_step()

    def best_score(self) -> float:
        """The score of the best checkpoint on disk, or minus infinity.

        Its step may be later than the state from which a killed run resumes. The resumed run
        reaches the same parameters at that step again, so the score remains valid.
        """
        step = self._best.latest_step()
        if step is None:
            return float("-inf")
        folder = pathlib.Path(self._best.directory) / str(step)
        run = load_run(folder)
        with digests.interpreting(folder / "run" / "metadata", COPY_AGAIN):
            return float(run["score"])

    def restore_latest(self, state: dict) -> tuple[int, dict, dict] | None:
        """Restores the latest state with the shapes and shardings of the abstract `state`.

        Returns:
          (step, state, pipeline), or None if there is no checkpoint.
        """
        step = self._latest.latest_step()
        if step is None:
            return None
        folder = pathlib.Path(self._latest.directory) / str(step)
        advice = (
            "Restore the folder from a copy. Without one, train the best model so far in a new "
            f"--workdir with --config=configs/finetune.py:{folder.parents[1]}, or remove "
            f"{folder} and its {BEST}/ to start over"
        )
        digests.check(folder, advice=advice)
        items: dict[str, Any] = {
            name: ocp.args.StandardRestore(state[name]) for name in _STATE if state[name]
        }
        items["pipeline"] = ocp.args.JsonRestore()
        with _reading(folder, ", ".join(items), advice):
            restored = self._latest.restore(step, args=ocp.args.Composite(**items))
        found = {name: restored[name] if state[name] else state[name] for name in _STATE}
        return step, found, restored["pipeline"]

    def wait(self) -> None:
        """Waits until all saves are on disk."""
        self._latest.wait_until_finished()
        self._best.wait_until_finished()

    def close(self) -> None:
        """Waits for all saves and closes both managers."""
        self.wait()
        self._latest.close()
        self._best.close()


def _write_digests(series: pathlib.Path) -> None:
    """Writes the digests of the step folder that a series saves, before its final renaming."""
    # A series saves one step at a time; an earlier save that failed may have left its folder.
    unfinished = series.glob(f"*{ocp.utils.TMP_DIR_SUFFIX}*")
    newest = max(unfinished, key=lambda path: path.stat().st_mtime_ns)
    digests.write(newest, leave_out=(_STEP_METADATA,))


def checkpoint_steps(workdir: pathlib.Path) -> dict[str, list[int]]:
    """{series: steps of its complete checkpoints} of a workdir, from the names of the folders."""
    return {
        series: [
            int(folder.name)
            for folder in (workdir / series).glob("[0-9]*")
            if folder.name.isdecimal() and folder.is_dir()
        ]
        for series in (LATEST, BEST)
    }


def has_checkpoint(workdir: pathlib.Path) -> bool:
    """Whether a workdir has a checkpoint of either series, that is, a started run."""
    return any(checkpoint_steps(workdir).values())


def migrate_unsaid(run: dict[str, Any]) -> dict[str, Any]:
    """Migration 1: adds the fields that version 0.1 did not store."""
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


def migrate_supervision(run: dict[str, Any]) -> dict[str, Any]:
    """Migration 2: says that there are no hashes of the training texts."""
    return {"supervision": None, **run}


def migrate_text_encoder(run: dict[str, Any]) -> dict[str, Any]:
    """Migration 3: says where a frozen text encoder may be, and what is not known of it."""
    trained = run["text_encoder"]
    if trained is None:
        return run
    source = trained["encoder"]
    unsaid = {"source": source, "hub_id": older_hub_id(source), "settings": ""}
    named = {"encoder": encoder_name(source)}
    return run | {"text_encoder": {**unsaid, "max_tokens": None, **trained, **named}}


def migrate_architecture(run: dict[str, Any]) -> dict[str, Any]:
    """Migration 4: names the architecture; all older models are dual encoders."""
    return {"kind": "dual_encoder", **run}


def migrate_path(run: dict[str, Any]) -> dict[str, Any]:
    """Migration 5: refuses motion tokenizers that were trained to describe a root by its place.

    They were never part of a release, and have other channels of the same number.
    """
    if run["kind"] != "dual_encoder":
        raise ValueError(
            f"this {run['kind'].replace('_', ' ')} is of a development version, whose tokens told "
            "where a person is; they tell how far a person moves now. Train it again"
        )
    return run


RUN_MIGRATIONS: tuple[Callable[[dict], dict], ...] = (
    migrate_unsaid,
    migrate_supervision,
    migrate_text_encoder,
    migrate_architecture,
    migrate_path,
)
"""Migration n converts the metadata stored with parameters from version n - 1 to version n."""


def migrate_run(stored: Mapping[str, Any]) -> dict[str, Any]:
    """Converts the metadata stored with parameters to the current version."""
    return migrate(stored, RUN_MIGRATIONS, "the model")


def stored_run(run: Mapping[str, Any]) -> dict[str, Any]:
    """The metadata to store with parameters: `run` with its version."""
    return {VERSION_KEY: len(RUN_MIGRATIONS), **run}


def find(path: str | pathlib.Path, series: str = BEST) -> pathlib.Path:
    """Finds a step folder: `path` itself, or the newest step folder inside it.

    `path` is a step folder, a folder of step folders, or a workdir; in a workdir, `series` selects
    the folder.
    """
    path = pathlib.Path(path).absolute()
    for folder in (path, path / series, path / LATEST):
        if (folder / _STEP_METADATA).is_file() and (folder / "params").is_dir():
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
        raise ValueError(
            f"{step_dir}: no {path.relative_to(step_dir)}; the folder may be an incomplete copy"
        )
    digests.check(step_dir, ("run",), COPY_AGAIN)
    with digests.advising(COPY_AGAIN):
        stored = reading.read_json(path, dict)
    with digests.interpreting(path, COPY_AGAIN):
        return migrate_run(stored)


def load_params(step_dir: pathlib.Path, abstract: dict[str, jax.ShapeDtypeStruct]) -> dict:
    """Loads parameters {path: array} of a step folder, in the given shapes and shardings."""
    return _restore(step_dir, "params", abstract)


def load_rest(step_dir: pathlib.Path, abstract: dict[str, jax.ShapeDtypeStruct]) -> dict:
    """Loads non-parameter state {path: array}, in the given shapes and shardings."""
    return _restore(step_dir, "rest", abstract) if abstract else {}


def load_unused(step_dir: pathlib.Path) -> dict[str, np.ndarray]:
    """Loads the unused tensors {key: array} of a step folder; {} if it has none."""
    if not (step_dir / "unused").is_dir():
        digests.check(step_dir, ("unused",), COPY_AGAIN)  # was it there?
        return {}
    data = np.asarray(_restore(step_dir, "unused")["safetensors"]).tobytes()
    try:
        return safetensors.numpy.load(data)
    except Exception as error:  # SafetensorError, and what NumPy raises for a dtype or shape
        raise ValueError(f"{step_dir}: unused cannot be read ({error}). {COPY_AGAIN}") from error


def _restore(step_dir: pathlib.Path, item: str, abstract: dict | None = None) -> dict:
    """Restores an item whose digests match, on this process's first device by default."""
    digests.check(step_dir, (item,), COPY_AGAIN)
    here = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    args = ocp.args.StandardRestore(abstract and {p: _placed(x, here) for p, x in abstract.items()})
    with _reading(step_dir, item, COPY_AGAIN), _checkpointer() as checkpointer:
        return checkpointer.restore(step_dir, args=ocp.args.Composite(**{item: args}))[item]


def _placed(leaf: jax.ShapeDtypeStruct, here: jax.sharding.Sharding) -> jax.ShapeDtypeStruct:
    """The leaf with a sharding; the stored one may name devices that do not exist here."""
    if getattr(leaf, "sharding", None) is not None:
        return leaf
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=here)


def _checkpointer() -> ocp.Checkpointer:
    return ocp.Checkpointer(ocp.CompositeCheckpointHandler())


@contextlib.contextmanager
def _reading(folder: pathlib.Path, what: str, advice: str) -> Generator[None]:
    """A context that reads a step folder; errors become ValueErrors."""
    try:
        yield
    except Exception as error:  # Orbax raises many types for an invalid folder
        raise ValueError(
            f"{folder}: {what} cannot be read; the folder may be an incomplete copy "
            f"({type(error).__name__}: {str(error)[:300]}). {advice}"
        ) from error
