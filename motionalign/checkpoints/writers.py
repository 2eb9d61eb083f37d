"""Writers for the scalars of a run: JSON lines, TensorBoard, Weights & Biases.

A `Writer` receives the scalars of each logged step, and the scores of the evaluation after
training. JSON lines are always written; `config.log_to` selects further writers from `WRITERS`.
"""

import importlib
import importlib.util
import json
import os
import pathlib
import sys
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from motionalign import reading
from motionalign.files import open_lines, write_text

Config = Mapping[str, Any]  # nested, with plain JSON types


class Writer(Protocol):
    """Receives scalars and scores, on process 0 only.

    Classes in `WRITERS` are constructed as `writer(workdir, config, resumed_step)` and have a
    static method `check()`. `resumed_step` is None for a writer that only receives scores.
    """

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Receives the scalars of a training step, or of the validation after it."""

    def results(self, step: int, values: Mapping[str, float]) -> None:
        """Receives the evaluation scores of the checkpoint of `step`, after training."""

    def close(self) -> None:
        """Returns after everything is written."""


class JsonLines:
    """`metrics.jsonl`: one object per line, `step` first, on disk when `scalars` returns."""

    def __init__(self, path: pathlib.Path, kept: Sequence[str]) -> None:
        """Starts the file with the lines `kept`."""
        self._file = open_lines(path, kept)

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """See `Writer.scalars`."""
        self._file.write(json.dumps({"step": step, **values}) + "\n")

    def results(self, step: int, values: Mapping[str, float]) -> None:
        """Does nothing, since metrics.json has the scores."""

    def close(self) -> None:
        """Closes the file."""
        self._file.close()


class TensorBoard:
    """Curves in `tensorboard/`, and the config as text."""

    def __init__(self, workdir: pathlib.Path, config: Config, resumed_step: int | None) -> None:
        """Opens an events file, which hides points after `resumed_step`."""
        purge = None if resumed_step is None else resumed_step + 1
        self._writer = summary_writer_class()(
            str(workdir / "tensorboard"),
            purge_step=purge,
            # File names have a resolution of one second; equal names would overwrite each other.
            filename_suffix=".scores" if purge is None else "",
        )
        if resumed_step is not None:
            lines = json.dumps(config, indent=2, ensure_ascii=False).splitlines()
            text = "\n".join("    " + line for line in lines)  # a code block in Markdown
            self._writer.add_text("config", text, resumed_step)

    @staticmethod
    def check() -> None:
        """Does nothing, since tensorboardX is a required dependency."""

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Adds a point to every curve."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def results(self, step: int, values: Mapping[str, float]) -> None:
        """Adds a point to every curve."""
        self.scalars(step, values)

    def close(self) -> None:
        """Closes the file."""
        self._writer.close()


class WandB:
    """A run of Weights & Biases, resumed together with the run in the workdir.

    Its ID is stored in `wandb_id.txt`. Project, entity, mode and so on are set by the environment
    variables of W&B; without WANDB_PROJECT the project is "motionalign". W&B ignores steps that a
    resumed run repeats.
    """

    def __init__(self, workdir: pathlib.Path, config: Config, resumed_step: int | None) -> None:
        """Starts or resumes the W&B run; starting from step 0 creates a new one."""
        wandb: Any = importlib.import_module("wandb")  # optional, so its types are not checked
        path = workdir / "wandb_id.txt"
        if resumed_step == 0 or not path.is_file():
            write_text(path, uuid.uuid4().hex[:8] + "\n")
        self._run = wandb.init(
            project=os.getenv("WANDB_PROJECT") or "motionalign",
            name=workdir.resolve().name,
            id=reading.read_text(path).strip(),
            resume="allow",
            dir=str(workdir),
            config=dict(config),
            allow_val_change=True,  # for fields that a resumed run may change
        )

    @staticmethod
    def check() -> None:
        """Raises a ValueError if the package is missing."""
        if importlib.util.find_spec("wandb") is None:
            raise ValueError(
                "config.log_to names wandb, but the package is not installed: run `pip install "
                "'motionalign[wandb]'`, or leave it out: --config.log_to=tensorboard"
            )

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Logs the scalars at the step."""
        self._run.log(dict(values), step=step)

    def results(self, step: int, values: Mapping[str, float]) -> None:
        """Writes the scores to the summary of the run."""
        self._run.summary.update({"test/step": step, **values})

    def close(self) -> None:
        """Finishes the run after everything is uploaded."""
        self._run.finish()


WRITERS: dict[str, type[Any]] = {"tensorboard": TensorBoard, "wandb": WandB}
"""Writers by value of config.log_to."""


def check_writers(names: Sequence[str]) -> None:
    """Raises a ValueError if the package of a writer is missing, before training starts."""
    for name in names:
        WRITERS[name].check()


def summary_writer_class() -> type:
    """The SummaryWriter of tensorboardX, imported without torch.

    If torch is installed, tensorboardX imports it to recognise tensors, which we never pass; this
    takes longer than all of our imports. Without torch it works as well, so torch is hidden from it
    during the import.
    """
    hidden = "torch" not in sys.modules
    if hidden:
        sys.modules["torch"] = None  # ty: ignore[invalid-assignment]  (marks it as not installed)
    try:
        from tensorboardX import SummaryWriter
    finally:
        if hidden:
            del sys.modules["torch"]
    return SummaryWriter
