"""Runs and records LLM-AR on small labelled sets, and what stands beside it.

  python -m benchmarks.language_actions --raw=DIR --out=runs.jsonl --language_model=FILE.gguf
  python -m benchmarks.language_actions --list
  python -m benchmarks.language_actions --out=runs.jsonl --table

DIR has nw_ucla.npz, utd_mhad.npz and sbu_interaction.npz (docs/formats.md: labelled set). Runs are
made one after the other, each by the public commands: data_prep, motionalign train, motionalign
eval. A run that ends adds a line to --out; the same command goes on with what is missing, inside a
training too. `--only=PATTERN` selects runs by name, as in --only='nw_ucla/llm_ar*'.

Checkpoints and settings are selected on validation splits; test splits are scored once, after
training. --table prints the tables of docs/results.md.
"""

import argparse
import dataclasses
import fnmatch
import json
import pathlib
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any

from benchmarks import language_results
from benchmarks.language_tables import tables
from motionalign.files import hold, open_lines

SETS = {
    "nw_ucla": ("nw_ucla.npz", "cross_view"),
    "utd_mhad": ("utd_mhad.npz", "cross_subject"),
    "sbu": ("sbu_interaction.npz", "folds"),
}
"""{set: (file below --raw, protocol)}."""

FOLDS, DRAWS, SEEDS = range(1, 6), range(3), range(3)

LEFT_OUT = {"nw_ucla": 2, "utd_mhad": 5}
"""{set: number of classes that are left out of training}."""

UNSEEN_EPOCHS = 4

# Stage 1 alone, each bias without the others: the fields that differ from the default.
_ALONE = {
    f"only_{bias}": tuple(
        f"loss.{other}=0.0" for other in ("zipf", "context", "alignment") if other != bias
    )
    for bias in ("zipf", "context", "alignment")
}


@dataclasses.dataclass(frozen=True)
class Run:
    """A run: a training, what it needs before, and its scores.

    Attributes:
      set: a key of `SETS`.
      kind: "tokens" (stage 1 alone), "sentences" (both stages), "classify", "contrastive" or
        "warping".
      variant: what tells it from others of the set; part of its name.
      part: the fold or the draw of classes; None: the set has one division.
      left_out: whether classes are left out; `part` is the draw.
      seed: of its trainings.
      tokens: argument of the config of stage 1.
      language: argument of the config of stage 2.
      fields: further fields of its last training.
    """

    set: str
    kind: str
    variant: str
    part: int | None = None
    left_out: bool = False
    seed: int = 0
    tokens: str = ""
    language: str = ""
    fields: tuple[str, ...] = ()

    @property
    def dataset(self) -> str:
        """Name of the prepared dataset."""
        middle = "_unseen" if self.left_out else ""
        number = "" if self.part is None else f"_{self.part}"
        return f"{self.set}{middle}{number}" + ("_pairs" if self.pairs else "")

    @property
    def pairs(self) -> bool:
        """Whether two persons are one body: for encoders that read one."""
        return self.set == "sbu" and self.kind in ("classify", "contrastive")

    @property
    def name(self) -> str:
        """DATASET/VARIANT, and the seed if it is not 0."""
        dataset = self.dataset.removesuffix("_pairs")
        return f"{dataset}/{self.variant}" + (f"-seed{self.seed}" if self.seed else "")


def all_runs() -> list[Run]:
    """All runs, the most important first."""
    runs = [Run(set, "warping", "warping", part) for set, part in _divisions()]
    runs += [Run(set, "classify", "gaitformer", part) for set, part in _divisions()]
    runs.append(Run("nw_ucla", "sentences", "llm_ar"))
    runs.append(Run("utd_mhad", "sentences", "llm_ar"))
    runs += _variants("nw_ucla", ("unbiased", "euclidean", "continuous", "random", "all"))
    runs += [Run("sbu", "sentences", "llm_ar", fold) for fold in FOLDS]
    runs += _variants("utd_mhad", ("euclidean", "random"))
    for set in ("utd_mhad", "nw_ucla"):
        epochs = (f"epochs={UNSEEN_EPOCHS}",)
        for draw in DRAWS:
            runs.append(Run(set, "sentences", "llm_ar", draw, left_out=True, fields=epochs))
            runs.append(Run(set, "contrastive", "contrastive", draw, left_out=True))
    runs += [Run("nw_ucla", "sentences", "llm_ar", seed=seed) for seed in SEEDS[1:]]
    for variant in ("", "unbiased", "no_zipf", "no_context", "no_alignment", "euclidean", "none"):
        runs.append(Run("nw_ucla", "tokens", f"tokens-{variant or 'biased'}", tokens=variant))
    for variant, fields in _ALONE.items():
        runs.append(Run("nw_ucla", "tokens", f"tokens-{variant}", fields=fields))
    return runs


def _divisions() -> list[tuple[str, int | None]]:
    return [("nw_ucla", None), ("utd_mhad", None), *(("sbu", fold) for fold in FOLDS)]


def _variants(set: str, names: Sequence[str]) -> list[Run]:
    """LLM-AR with one thing changed; the name says what."""
    of_tokens = {"unbiased": "unbiased", "euclidean": "euclidean", "continuous": "none"}
    return [
        Run(set, "sentences", f"llm_ar-{name}", tokens=of_tokens[name])
        if name in of_tokens
        else Run(set, "sentences", f"llm_ar-{name}", language=name)
        for name in names
    ]


# Commands ----------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Places:
    """Where runs read and write, and the models that they start from; see `--help`."""

    raw: pathlib.Path
    data_dir: pathlib.Path
    workdir: pathlib.Path
    language_model: str
    text_encoder: str
    options: tuple[str, ...] = ()

    def folder(self, run: Run) -> pathlib.Path:
        """The workdir of a run's training after stage 1."""
        return self.workdir / run.name

    def tokens(self, run: Run) -> pathlib.Path:
        """The workdir of stage 1, which runs of the same dataset, variant and seed share."""
        seed = f"-seed{run.seed}" if run.seed else ""
        own = run.variant if run.kind == "tokens" else f"tokens-{run.tokens or 'biased'}"
        return self.workdir / run.dataset / (own + seed)

    def last(self, run: Run) -> pathlib.Path:
        """The workdir of a run's last training."""
        return self.tokens(run) if run.kind == "tokens" else self.folder(run)


def commands(run: Run, places: Places) -> Iterator[tuple[str, pathlib.Path, list[str]]]:
    """What a run needs: (title, the file that says it is done, arguments of python).

    Raises:
      ValueError: a model is needed that the places do not name.
    """
    yield from _data_commands(run, places)
    if run.kind in ("tokens", "sentences"):
        needed = "--language_model", places.language_model
    elif run.kind == "contrastive":
        needed = "--text_encoder", places.text_encoder
    else:
        needed = "", "none"
    if not needed[1]:
        raise ValueError(f"{run.name} needs {needed[0]}: a folder, file or Hub id")
    if run.kind in ("tokens", "sentences"):
        fields = [f"model.tokenizer.words={places.language_model}"]
        fields += run.fields if run.kind == "tokens" else ()
        folder = places.tokens(run)
        yield _training("stage 1", run, f"{run.set}_tokens", run.tokens, folder, fields, places)
    if run.kind == "sentences":
        fields = [
            f"model.language.weights={places.language_model}",
            f"model.weights={places.tokens(run)}",
            *run.fields,
        ]
        folder = places.folder(run)
        yield _training("stage 2", run, f"{run.set}_llmar", run.language, folder, fields, places)
    elif run.kind in ("classify", "contrastive"):
        folder, argument = places.folder(run), f"{run.set},{run.kind}"
        yield _training(
            run.kind, run, "labelled_actions", argument, folder, list(run.fields), places
        )
    if run.left_out:
        folder = places.folder(run)
        done = folder / "evaluation" / f"{run.dataset}-unseen" / "metrics.json"
        yield "unseen", done, ["-m", "motionalign", "eval", f"--checkpoint={folder}",
                               "--split=unseen", *_data_fields(run, places)]  # fmt: skip


def _data_commands(run: Run, places: Places) -> Iterator[tuple[str, pathlib.Path, list[str]]]:
    """Preparation of the dataset, and of its texts' vectors for a contrastive model."""
    file, protocol = SETS[run.set]
    place = [f"--data_dir={places.data_dir}", f"--name={run.dataset}"]
    folder = places.data_dir / run.dataset / "1.0.0"
    raw, done = places.raw / file, folder / "metadata.json"
    if run.pairs:
        fold = f"--fold={run.part}"
        yield "data", done, ["-m", "benchmarks.pairs", f"--raw={raw}", fold, *place]
    else:
        args = [f"--raw={raw}", f"--protocol={protocol}"]
        if run.left_out:
            args += [f"--leave_out={LEFT_OUT[run.set]}", f"--draw={run.part}"]
        elif run.part is not None:
            args += [f"--fold={run.part}"]
        yield "data", done, ["-m", "data_prep", "labelled", *args, *place]
    if run.kind == "contrastive":
        encoder = [f"--encoder={places.text_encoder}", "--readout=mean"]
        done = folder / "caption_vectors.safetensors"
        yield "texts", done, ["-m", "data_prep", "embed", *encoder, *place]


def _data_fields(run: Run, places: Places) -> list[str]:
    return [f"--config.data.data_dir={places.data_dir}"]


def _training(
    title: str, run: Run, config: str, argument: str, folder: pathlib.Path, fields: Sequence[str],
    places: Places,
) -> tuple[str, pathlib.Path, list[str]]:  # fmt: skip
    """A training; metrics.json is what its evaluation on test writes last."""
    name = f"configs/{config}.py" + (f":{argument}" if argument else "")
    given = [f"data.datasets={run.dataset}", f"seed={run.seed}", *fields]
    own = [text.removeprefix(f"{title}:") for text in places.options if text.startswith(title)]
    args = [f"--config={name}", f"--workdir={folder}", *_data_fields(run, places)]
    args += [f"--config.{field}" for field in (*given, *own)]
    return title, folder / "metrics.json", ["-m", "motionalign", "train", *args]


# Running -----------------------------------------------------------------------------------------


def execute(arguments: Sequence[str]) -> None:
    """Runs python with these arguments; if it is interrupted, the command is told and saves first.

    Raises:
      subprocess.CalledProcessError: it failed; its output has been shown.
    """
    command = [sys.executable, *arguments]
    with subprocess.Popen(command) as process:
        try:
            status = process.wait()
        except BaseException:
            process.terminate()
            process.wait()
            raise
    if status:
        raise subprocess.CalledProcessError(status, command)


def make(run: Run, places: Places) -> dict[str, Any]:
    """Makes a run and returns its record.

    "seconds" are those of each command; of a training all that it took, also in earlier calls or
    for another run with the same stage 1.

    Raises:
      ValueError: see `commands`.
      subprocess.CalledProcessError: see `execute`.
    """
    seconds = {}
    for title, done, arguments in commands(run, places):
        started = time.perf_counter()
        if not done.exists():
            print(f"{run.name}, {title}: python {' '.join(arguments)}", flush=True)
            execute(arguments)
        seconds[title] = time.perf_counter() - started
        if "train" in arguments:
            seconds[title] = language_results.training_seconds(done.parent)
    started = time.perf_counter()
    scores = language_results.scores(run, places.data_dir, places.last(run))
    seconds["scores"] = time.perf_counter() - started
    record = {"run": run.name, **dataclasses.asdict(run), "dataset": run.dataset, **scores}
    rounded = {title: round(each, 1) for title, each in seconds.items()}
    return record | {"seconds": rounded, "options": list(places.options)}


def finished(path: pathlib.Path) -> dict[str, dict[str, Any]]:
    """{name of a run: its record}; of several the last. A last line cut short is left out."""
    records = {}
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    for number, line in enumerate(lines):
        try:
            record = json.loads(line)
        except ValueError:
            if number < len(lines) - 1:
                raise ValueError(f"{path}: line {number + 1} is no JSON") from None
            continue
        records[record["run"]] = record
    return records


def run_all(runs: Sequence[Run], places: Places, out: pathlib.Path) -> list[str]:
    """Makes the runs that `out` lacks, and adds each to it when it ends; names of failed ones."""
    failed = []
    with hold(out.with_name(f".{out.name}.lock"), f"adding runs to {out}"):
        for run in runs:
            records = finished(out)
            if run.name in records:
                continue
            try:
                record = make(run, places)
            except subprocess.CalledProcessError as error:
                print(f"{run.name} failed: exit status {error.returncode}", file=sys.stderr)
                if error.returncode < 0 or error.returncode in (130, 143):  # it was stopped
                    raise SystemExit(130) from error
                failed.append(run.name)
                continue
            with open_lines(out, map(json.dumps, records.values())) as lines:
                lines.write(json.dumps(record) + "\n")
    return failed


def main() -> None:
    """Lists runs, makes them, or prints their tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    path = pathlib.Path
    parser.add_argument("--raw", type=path, default=path("actions"), help="folder of the sets")
    parser.add_argument("--data_dir", type=path, default=path("data"))
    parser.add_argument("--workdir", type=path, default=path("runs/language_actions"))
    parser.add_argument("--out", type=path, default=path("language_actions.jsonl"))
    parser.add_argument("--language_model", default="", help="SmolLM2-135M: folder, file, Hub id")
    parser.add_argument("--text_encoder", default="", help="of the contrastive model, such as "
                        "sentence-transformers/all-MiniLM-L6-v2")  # fmt: skip
    parser.add_argument("--only", action="append", metavar="PATTERN", help="runs by name")
    parser.add_argument("--option", action="append", default=[], metavar="'STAGE:FIELD=VALUE'",
                        help="a field of the config of stage 1, stage 2, classify or contrastive, "
                        "such as 'stage 2:data.batch_size=8'")  # fmt: skip
    parser.add_argument("--list", action="store_true", help="names of the runs, and what is there")
    parser.add_argument("--table", action="store_true", help="the tables of what is there")
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    patterns = args.only or ["*"]
    runs = [r for r in all_runs() if any(fnmatch.fnmatch(r.name, p) for p in patterns)]
    if not runs:
        parser.error(f"no run is called {' or '.join(patterns)}; --list shows the names")
    if args.list:
        there = finished(args.out)
        print("\n".join(f"{'done' if r.name in there else '    '}  {r.name}" for r in runs))
    elif args.table:
        print(tables(list(finished(args.out).values())))
    else:
        places = Places(
            args.raw, args.data_dir, args.workdir, args.language_model, args.text_encoder,
            tuple(args.option),
        )  # fmt: skip
        try:
            failed = run_all(runs, places, args.out)
        except ValueError as error:
            parser.error(str(error))
        if failed:
            sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
