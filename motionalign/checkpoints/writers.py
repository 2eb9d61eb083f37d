"""Where the scalars of a run go: JSON lines, TensorBoard, Weights & Biases.

A `Writer` takes the scalars of a step, and the scores of the evaluation after training. JSON lines
are always written; `config.log_to` names the others, of `WRITERS`.
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

from motionalign.files import open_lines, write_text

Config = Mapping[str, Any]  # nested, of plain JSON types


class Writer(Protocol):
    """Takes what is measured, on process 0 only.

    A class in `WRITERS` is made as `writer(workdir, config, resumed_step)`, and has `check()`. A
    writer that takes scores only gets None as `resumed_step`.
    """

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Takes the scalars of a step of training, or of the validation after it."""

    def results(self, step: int, values: Mapping[str, float]) -> None:
        """Takes the scores of the model after `step`, from the evaluation after training."""

    def close(self) -> None:
        """Returns when all is written."""


class JsonLines:
    """`metrics.jsonl`: an object a line, `step` first, on disk when `scalars` returns."""

    def __init__(self, path: pathlib.Path, kept: Sequence[str]) -> None:
        """Begins the file with the lines `kept`."""
        self._file = open_lines(path, kept)

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """See `Writer.scalars`."""
        self._file.write(json.dumps({"step": step, **values}) + "\n")

    def results(self, step: int, values: Mapping[str, float]) -> None:
        """Nothing: metrics.json has them."""

    def close(self) -> None:
        """Closes the file."""
        self._file.close()


class TensorBoard:
    """Curves in `tensorboard/`, and the config as a text."""

    def __init__(self, workdir: pathlib.Path, config: Config, resumed_step: int | None) -> None:
        """Opens an events file; points after `resumed_step` are to be hidden."""
        purge = None if resumed_step is None else resumed_step + 1
        self._writer = summary_writer_class()(
            str(workdir / "tensorboard"),
            purge_step=purge,
            # Files are named by the second, and would replace each other.
            filename_suffix=".scores" if purge is None else "",
        )
        if resumed_step is not None:
            lines = json.dumps(config, indent=2, ensure_ascii=False).splitlines()
            text = "\n".join("    " + line for line in lines)  # as Markdown has code
            self._writer.add_text("config", text, resumed_step)

    @staticmethod
    def check() -> None:
        """Nothing: tensorboardX is required."""

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
    """A run of Weights & Biases, resumed where the run in the workdir is.

    Its id is kept in `wandb_id.txt`. Project, entity, mode and the like are W&B's own environment
    variables; without WANDB_PROJECT the project is "motionalign". Steps that a resumed run repeats
    are there already, and W&B leaves them out.
    """

    def __init__(self, workdir: pathlib.Path, config: Config, resumed_step: int | None) -> None:
        """Starts the run, or goes on with it; one that begins anew in its folder is another."""
        wandb: Any = importlib.import_module("wandb")  # which types are not checked against
        path = workdir / "wandb_id.txt"
        if resumed_step == 0 or not path.is_file():
            write_text(path, uuid.uuid4().hex[:8] + "\n")
        self._run = wandb.init(
            project=os.getenv("WANDB_PROJECT") or "motionalign",
            name=workdir.resolve().name,
            id=path.read_text("utf-8").strip(),
            resume="allow",
            dir=str(workdir),
            config=dict(config),
            allow_val_change=True,  # of fields that a resumed run may change
        )

    @staticmethod
    def check() -> None:
        """Raises a ValueError where the package is missing."""
        if importlib.util.find_spec("wandb") is None:
            raise ValueError(
                "config.log_to names wandb, but the package is not installed: run `pip install "
                "'motionalign[wandb]'`, or leave it out: --config.log_to=tensorboard"
            )

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Logs them at the step."""
        self._run.log(dict(values), step=step)

    def results(self, step: int, values: Mapping[str, float]) -> None:
        """Puts them into the run's summary."""
        self._run.summary.update({"test/step": step, **values})

    def close(self) -> None:
        """Ends the run, all being uploaded."""
        self._run.finish()


WRITERS: dict[str, type[Any]] = {"tensorboard": TensorBoard, "wandb": WandB}
"""By value of config.log_to."""


def check_writers(names: Sequence[str]) -> None:
    """Raises a ValueError where one of `WRITERS` lacks its package, before anything is trained."""
    for name in names:
        WRITERS[name].check()


def summary_writer_class() -> type:
    """tensorboardX's SummaryWriter.

    Where torch is installed tensorboardX imports it, which takes longer than all our imports, to
    recognise tensors that we have none of. It does without where there is none: so it seems here.
    """
    hidden = "torch" not in sys.modules
    if hidden:
        sys.modules["torch"] = None  # ty: ignore[invalid-assignment]  (Python's way to say: absent)
    try:
        from tensorboardX import SummaryWriter
    finally:
        if hidden:
            del sys.modules["torch"]
    return SummaryWriter
