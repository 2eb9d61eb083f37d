"""The folder of a run, apart from its checkpoints: config, metrics, tokenizer, results."""

import datetime
import math
import pathlib
import platform
import subprocess
from collections.abc import Iterable, Sequence

import flax
import jax
from absl import logging
from jax.experimental import multihost_utils
from ml_collections import ConfigDict

from motionalign import __version__, digests, reading
from motionalign.checkpoints.resume import check_tokenizer, newest, read_record
from motionalign.checkpoints.run import BEST, LATEST, SERIES, checkpoint_steps
from motionalign.checkpoints.shared import Saved
from motionalign.checkpoints.writers import WRITERS, Config, JsonLines, Writer
from motionalign.config import Schema, changed_mixture, migrate_config, stored_form
from motionalign.data.tokenizer import Tokenizer, train_wordpiece
from motionalign.files import write_json, write_text
from motionalign.models.families import TEXT_FAMILIES
from motionalign.models.weights.load import load_tokenizer

_OF_RUN = (
    "Restore it from a copy of the run, or continue from the best model in a new --workdir with "
    "--config=configs/finetune.py:RUN"
)

_OF_LOG = "Only a log: delete it, and run the same command again"


class Metrics:
    """Writes the scalars of a run to all of its writers; on process 0 only.

    Attributes:
      earlier_seconds: time in seconds that earlier processes of the run spent, up to the last line
        that is kept; 0 for a new run, and for a run whose lines have no `wall_time`.
    """

    def __init__(
        self,
        workdir: pathlib.Path,
        resumed_step: int,
        log_to: Sequence[str] = ("tensorboard",),
        config: Config | None = None,
    ) -> None:
        """Opens the files and removes lines after `resumed_step`, which will be written again.

        Args:
          workdir: folder of the run.
          resumed_step: step from which the run resumes; 0 for a new run.
          log_to: names of `WRITERS` to use in addition to metrics.jsonl.
          config: config of the run, which these writers show.
        """
        self._writers: list[Writer] = []
        self.earlier_seconds = 0.0
        if jax.process_index() != 0:
            return
        path = workdir / "metrics.jsonl"
        lines = _lines(path)
        kept = [line for line in lines if _step_of(line) <= resumed_step]
        times = [_number(line, "wall_time") for line in kept]
        self.earlier_seconds = max([0.0, *filter(math.isfinite, times)])
        self._writers.append(JsonLines(path, kept))
        for name in log_to:
            self._writers.append(WRITERS[name](workdir, config or {}, resumed_step))

    def write(self, step: int, scalars: dict[str, float]) -> None:
        """Writes the scalars of a step to every writer."""
        for writer in self._writers:
            writer.scalars(step, scalars)

    def close(self) -> None:
        """Closes the files."""
        for writer in self._writers:
            writer.close()


def log_results(
    workdir: pathlib.Path, log_to: Sequence[str], config: Config, step: int, scalars: Config
) -> None:
    """Writes the scores of the evaluation after training to the run's writers; process 0 only.

    Args:
      workdir: folder of the run.
      log_to: names of `WRITERS`.
      config: config of the run.
      step: step of the checkpoint that was scored.
      scalars: {name: score}.
    """
    if jax.process_index() != 0:
        return
    for name in log_to:
        writer = WRITERS[name](workdir, config, None)
        writer.results(step, scalars)
        writer.close()


def _lines(path: pathlib.Path) -> list[str]:
    """The lines of metrics.jsonl, none before the file exists.

    Bytes that are not UTF-8 only make their line unreadable.
    """
    if not reading.is_there(path):
        return []
    return reading.read_bytes(path).decode("utf-8", "replace").splitlines()


def _step_of(line: str) -> float:
    return _number(line, "step")


def _number(line: str, name: str) -> float:
    """A number in a line of metrics.jsonl; inf for the incomplete line of a killed process."""
    try:
        value = reading.parse_json(line, "metrics.jsonl")
        reading.check_form(value, {name: float}, "metrics.jsonl")
        return value[name]
    except ValueError:
        return math.inf


def record_start(workdir: pathlib.Path, step: int) -> None:
    """Adds the devices and versions of this process to environment.json; on process 0 only.

    The file is a list with one entry per start of the run. A run that starts from step 0 starts a
    new list.

    Args:
      workdir: folder of the run.
      step: step at which the process starts or resumes.
    """
    if jax.process_index() != 0:
        return
    path = workdir / "environment.json"
    before = []
    if step and reading.is_there(path):
        before = digests.read_json(path, _OF_LOG, list[dict])
        with digests.advising(_OF_LOG):
            for start in before:
                reading.check_form(start, {"step": int}, str(path))
    device = jax.devices()[0]
    now = {
        "step": step,
        "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "devices": {
            "platform": device.platform,
            "kind": device.device_kind,
            "count": jax.device_count(),
        },
        "processes": jax.process_count(),
        "versions": {
            "motionalign": __version__,
            "jax": jax.__version__,
            "flax": flax.__version__,
            "python": platform.python_version(),
        },
        "platform": platform.platform(),
    }
    kept = [start for start in before if start["step"] <= step]
    with digests.recording(path):
        write_json(path, [*kept, now])


def prepare_tokenizer(
    model_config: ConfigDict,
    workdir: pathlib.Path,
    texts: Iterable[str],
    recorded: str | None,
    trained: Saved | None,
) -> Tokenizer:
    """The tokenizer of a run: that of the pretrained weights, or one learned from the texts.

    It is stored in the workdir, from which a resumed run and other processes read the same one.

    Args:
      model_config: the `model` section.
      workdir: folder of the run.
      texts: all training texts; read only if a vocabulary is learned.
      recorded: the tokenizer that the run's checkpoint holds; None if it has no checkpoint.
      trained: the model that model_config.weights names, or None.

    Raises:
      ValueError: the pretrained tokenizer is limited to fewer than `max_tokens` tokens, or the
        workdir is not shared by all hosts, or its tokenizer is not the recorded one.
    """
    path = workdir / "tokenizer.json"
    text = model_config.text
    if not (recorded and path.is_file()) and jax.process_index() == 0:
        if recorded:
            tokenizer_json = recorded
        elif trained:
            tokenizer_json = trained.run["tokenizer"]
        elif text.weights:
            tokenizer_json = _pretrained_tokenizer(text)
        else:
            tokenizer_json = train_wordpiece(texts, text.vocab_size)
        with digests.recording(path):
            write_text(path, tokenizer_json)
    barrier("tokenizer")
    if not path.is_file():
        raise ValueError(
            f"process {jax.process_index()} does not see {path}, which process 0 wrote: --workdir "
            "must be on storage that all hosts share"
        )
    # The checkpoint holds it, if there is one: comparing the two verifies the file.
    tokenizer_json = reading.read_text(path) if recorded else digests.read_text(path)
    check_tokenizer(path, tokenizer_json, recorded)
    try:
        return Tokenizer(tokenizer_json, text.max_tokens)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _pretrained_tokenizer(text: ConfigDict) -> str:
    """The tokenizer.json of the weights that a `model.text` section names."""
    tokenizer_class = TEXT_FAMILIES[text.family].tokenizer
    tokenizer = load_tokenizer(text.weights, text.max_tokens, tokenizer_class)
    if tokenizer.max_tokens < text.max_tokens:
        raise ValueError(
            f"config.model.text.max_tokens is {text.max_tokens}, but {text.weights} states "
            f"model_max_length {tokenizer.max_tokens} in its tokenizer_config.json; set "
            f"--config.model.text.max_tokens={tokenizer.max_tokens}, or less"
        )
    return tokenizer.json


def barrier(name: str) -> None:
    """Waits until all processes have reached this point."""
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices(name)


def check_run(config: ConfigDict, workdir: pathlib.Path, schema: Schema) -> None:
    """Checks that a workdir is unused, or holds a run with this config.

    Its config is the one that its checkpoint holds, and config.json has to agree with it.

    Raises:
      ValueError: the workdir is a file, or holds a converted model or the checkpoints of a run with
        another config.
    """
    if workdir.exists() and not workdir.is_dir():
        raise ValueError(f"--workdir={workdir} is a file; name a folder, which may be a new one")
    finetune = f"--config=configs/finetune.py:{workdir}"
    for stored in _stored_configs(workdir):
        if "source" in stored:
            raise ValueError(
                f"{workdir} holds a converted model, not a run. To train it further, choose a new "
                f"--workdir and {finetune}"
            )
        try:
            before = migrate_config(stored, schema)
            changed = schema.differences(before, config)
        except ValueError as error:
            raise ValueError(f"{workdir / 'config.json'}: {error}") from error
        if changed:
            if note := changed_mixture(before, config):
                changed.append(note)
            raise ValueError(
                f"{workdir} holds a run with another config. Choose a new --workdir, or restore "
                f"its values (to train its model further: a new --workdir and {finetune}):\n  "
                + "\n  ".join(changed)
            )


def _stored_configs(workdir: pathlib.Path) -> list[dict]:
    """The configs of the run in a workdir: of its checkpoint and of config.json; [] if none began.

    Of a converted model, they have the key "source".
    """
    folder = newest(workdir)
    if folder is None:
        return []
    stored = []
    if (folder / "run" / "metadata").is_file() and (record := read_record(workdir)):
        source = record["source"]
        stored.append(record["config"] if source is None else {"source": source})
    path = workdir / "config.json"
    if path.is_file():
        stored.append(digests.read_json(path, _OF_RUN, dict))
    return stored


def is_finished(workdir: pathlib.Path, epochs: int) -> bool:
    """Whether a run has trained, validated and saved all epochs."""
    path = workdir / "metrics.jsonl"
    validated = [_step_of(line) for line in _lines(path) if '"val/score"' in line]
    steps = checkpoint_steps(workdir)[LATEST]
    return bool(steps) and len(validated) >= epochs and max(steps) == max(validated)


def record_run(config: ConfigDict, workdir: pathlib.Path) -> None:
    """Stores the config, git commit and git diff of a run; on process 0 only."""
    path = workdir / "config.json"
    if jax.process_index() != 0:
        return
    root = pathlib.Path(__file__).resolve().parents[2]
    for name, command in {
        "git_commit.txt": ("git", "-C", str(root), "rev-parse", "HEAD"),
        "git_diff.txt": ("git", "-C", str(root), "diff", "HEAD"),
    }.items():
        try:
            done = subprocess.run(
                command, capture_output=True, encoding="utf-8", errors="replace", timeout=30
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            logging.info("no %s: %s", name, error)
            continue
        if done.returncode == 0:  # an installed package has no repository, which is not an error
            write_text(workdir / name, done.stdout)
    with digests.recording(path):
        write_json(path, stored_form(config))


def run_folder(path: str | pathlib.Path) -> pathlib.Path:
    """The workdir of the run that contains a checkpoint, for its results."""
    path = pathlib.Path(path).absolute()
    for folder in (path, path.parent, path.parent.parent):
        if (folder / "config.json").is_file() and any(
            (folder / s).is_dir() for s in SERIES.values()
        ):
            return folder
    raise ValueError(
        f"{path} is not in the folder of a run (with config.json and checkpoints): name a folder "
        "for the results with --workdir"
    )


def is_run_of(folder: pathlib.Path, path: str | pathlib.Path) -> bool:
    """Whether a folder is the training run that contains a checkpoint."""
    if not (folder / "metrics.jsonl").is_file():  # a converted or shared model, not a training run
        return False
    try:
        return run_folder(path) == folder.absolute()
    except ValueError:
        return False


def results_beside(path: str | pathlib.Path, step: int) -> dict | None:
    """The metrics.json of the run that contains a checkpoint, if it has the checkpoint's step."""
    path = pathlib.Path(path).absolute()
    series = (BEST, LATEST)
    if path.parent.name in series:  # a step folder
        path = path.parent
    if path.name in series:
        path = path.parent
    metrics = path / "metrics.json"
    if not reading.is_there(metrics):
        return None
    advice = "Evaluate the checkpoint again, or delete the file"
    results = digests.read_json(metrics, advice, dict)
    # Old versions stored no step in metrics.json.
    return results if "step" in results and results["step"] == step else None
