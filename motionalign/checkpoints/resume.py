"""What a run continues from, checked before it does.

Each checkpoint holds a record of its run, the item `run` (checkpoints/run.py): step, config,
tokenizer, and the fingerprints of the datasets. Whatever lies beside the record, in the workdir, in
the other items of the checkpoint and in the folder of the datasets, has to agree with it. Otherwise
the run would go on in silence and end as another model.
"""

import contextlib
import pathlib
from collections.abc import Generator, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from motionalign.checkpoints.run import BEST, LATEST, checkpoint_steps, load_run
from motionalign.data.dataset import Dataset, Metadata
from motionalign.files import hold
from motionalign.models.frozen import FrozenWeights

LOCK = ".motionalign-lock"  # in the workdir, while a run trains there

# Seconds to wait for the process before this one, which may just be ending after a kill.
WAIT = 5.0


@contextlib.contextmanager
def hold_workdir(workdir: pathlib.Path) -> Generator[str | None]:
    """Lets one run at a time train in a workdir; process 0 holds the lock for all of its processes.

    Yields:
      None; or a line for the user where the file system has no locks, so that nothing is held.

    Raises:
      ValueError: another run trains there; on process 0, the message says who (`files.InUse`).
    """
    with contextlib.ExitStack() as held:
        failure = no_locks = None
        if jax.process_index() == 0:
            try:
                lock = hold(workdir / LOCK, f"training in {workdir}", WAIT)
                no_locks = held.enter_context(lock)
            except (ValueError, OSError) as error:
                failure = error
        # All processes end together; those without an error would wait for this one in vain.
        if not _as_process_0(failure is None):
            raise failure or ValueError(f"process 0 cannot lock {workdir}; its message says why")
        yield no_locks


def _as_process_0(value: bool) -> bool:
    """The value that process 0 gives."""
    if jax.process_count() == 1:
        return value
    return bool(multihost_utils.broadcast_one_to_all(np.array(value)))


def read_record(workdir: pathlib.Path) -> dict[str, Any] | None:
    """The record of the checkpoint from which a run resumes; None if it has no checkpoint.

    A run that has not come to a checkpoint in checkpoints/ starts anew, but keeps the one in best/
    if that has the better score, so that its record counts as well.

    Raises:
      ValueError: there is no record in the checkpoint, or it is of another step.
    """
    folder = newest(workdir)
    if folder is None:
        return None
    record = load_run(folder)
    if record["step"] != int(folder.name):
        raise ValueError(
            f"{folder} is not what its name says: its record is of step {record['step']}. Restore "
            f"the name, or remove the folder to resume without it"
        )
    return record


def newest(workdir: pathlib.Path) -> pathlib.Path | None:
    """The step folder from which a run resumes, else that of its best model, else None."""
    steps = checkpoint_steps(workdir)
    for series in (LATEST, BEST):
        if steps[series]:
            return workdir / series / str(max(steps[series]))
    return None


def check_data(
    workdir: pathlib.Path,
    record: Mapping[str, Any],
    datasets: Sequence[Dataset],
    supervision: Mapping[str, str],
) -> list[str]:
    """Compares the datasets of a run with those that its checkpoint was trained on.

    Args:
      workdir: folder of the run.
      record: record of the checkpoint, of `read_record`.
      datasets: the datasets as they are now.
      supervision: {dataset: hash of its training texts} as they are now.

    Returns:
      Lines for the user that say what could not be compared.

    Raises:
      ValueError: a dataset or its texts are not the same.
    """
    lines = []
    for dataset in datasets:
        trained = Metadata.from_json(record["datasets"][dataset.name])
        if said := is_other_data(dataset, trained):
            raise ValueError(
                f"{workdir} cannot be resumed: dataset {dataset.name!r} in {dataset.version_dir} "
                f"is not the one that the run began with ({said}). Put that one back (report.json "
                "of a dataset says how it was prepared), or begin a new run in another --workdir"
            )
        if trained.fingerprint is None:
            lines.append(
                f"{workdir} is of a version without fingerprints: that dataset {dataset.name!r} "
                "still has the same clips could not be verified, only its statistics and classes"
            )
        before = record["supervision"] and record["supervision"][dataset.name]
        if before and before != supervision[dataset.name]:
            raise ValueError(
                f"{workdir} cannot be resumed: the training texts of dataset {dataset.name!r}, or "
                "the encoder of their vectors, have changed since the run began (class_texts.json "
                f"and caption_vectors.safetensors in {dataset.version_dir}). Put the former files "
                "back, or begin a new run in another --workdir"
            )
    return lines


def check_frozen(
    workdir: pathlib.Path, record: Mapping[str, Any], frozen: Sequence[FrozenWeights]
) -> None:
    """Compares the frozen weights of a run with those that its checkpoint was trained with.

    Args:
      workdir: folder of the run.
      record: record of the checkpoint, of `read_record`.
      frozen: references to the weights as they are now.

    Raises:
      ValueError: they are others.
    """
    before = {tower["under"]: tower["sha256"] for tower in record["frozen"]}
    for tower in frozen:
        if before.get(tower.under, tower.sha256) != tower.sha256:
            raise ValueError(
                f"{workdir} cannot be resumed: {tower.source} has other weights (SHA-256 "
                f"{tower.sha256[:12]}...) than when the run began "
                f"({before[tower.under][:12]}...). Put the former files back, or begin a new run "
                "in another --workdir"
            )


def is_other_data(dataset: Dataset, trained: Metadata) -> str | None:
    """How a dataset differs from the one that a model was trained on; None if it does not.

    Args:
      dataset: the dataset as it is now.
      trained: the metadata that the model has stored. Without a fingerprint, only statistics,
        skeleton, rates and classes are compared.
    """
    if trained.fingerprint is None:
        differ = dataset.metadata.differences(trained)
        return f"other {', '.join(differ)}" if differ else None
    if dataset.fingerprint == trained.fingerprint:
        return None
    return f"fingerprint {trained.fingerprint[:12]} then, {dataset.fingerprint[:12]} now"


def check_tokenizer(path: pathlib.Path, tokenizer_json: str, recorded: str | None) -> None:
    """Compares tokenizer.json of a workdir with the tokenizer that its checkpoint holds.

    Raises:
      ValueError: they differ.
    """
    if recorded is not None and tokenizer_json != recorded:
        raise ValueError(
            f"{path} is not the tokenizer that the run was trained with, which its checkpoint "
            "holds. Delete the file: it is then written again from the checkpoint"
        )


def check_state(
    folder: pathlib.Path | None, step: int, state: Mapping[str, Any], position: int | None
) -> None:
    """Checks that the parts of a restored state are of one step, and finite.

    Args:
      folder: the checkpoint, for messages.
      step: its step.
      state: parameters and optimizer state; other state of a network may be of any value.
      position: number of batches that the input pipeline has given; None: not known.

    Raises:
      ValueError: a part is of another step, or holds NaN or infinity.
    """
    leaves = jax.tree_util.tree_leaves_with_path(dict(state))
    counts = {
        jax.tree_util.keystr(path): int(leaf)
        for path, leaf in leaves
        if jax.tree_util.keystr(path).endswith(".count") and leaf.ndim == 0
    }
    if position is not None:
        counts["the input pipeline"] = position
    wrong = [f"{name} is at {count}" for name, count in counts.items() if count != step]
    # No run saves such values (see train._FiniteCheck), so they came into the files later.
    wrong += [
        f"{jax.tree_util.keystr(path)} holds values that are not finite"
        for path, leaf in leaves
        if not _is_finite(leaf)
    ]
    if wrong:
        more = f"; and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise ValueError(
            f"{folder} is damaged: it is of step {step}, but {'; '.join(wrong[:3])}{more}. "
            "Restore the folder from a copy, or remove it to start the run again"
        )


def _is_finite(array: jax.Array) -> bool:
    """Whether this process's share of an array is finite; without computation on the device."""
    if not jax.numpy.issubdtype(array.dtype, np.inexact):
        return True
    return all(np.isfinite(np.asarray(shard.data)).all() for shard in array.addressable_shards)
