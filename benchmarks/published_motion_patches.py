"""Trains and scores Motion Patches with its published PyTorch code, on a mocap library.

  git clone https://github.com/YU1ut/MotionPatches
  pip install "hydra-core>=1.3,<2" "timm>=1,<2" "einops>=0.7,<1"
  python -m benchmarks.published_motion_patches --published=MotionPatches --raw_dir=DIR \
    --workdir=runs/published42 --seed=42

Its scores compare with the rows of `mocap_small.py:code` in docs/results.md. The published program
runs as it is: its statistics (scripts/cal_mean_var.py), configuration (conf/), dataset, model,
optimizer, schedule and training loop (`main` of scripts/train.py) and scores (scripts/test.py: the
first caption of each test clip; every clip with the query's caption is relevant; the protocol
`all`). None of its files is changed. It gets the towers and epochs of configs/mocap_small.py:code,
and must agree with that config in everything else that both state: batch size, learning rates,
schedule, dropout, temperature. At run time the driver intervenes in four places:

  widths     scripts/train.py builds towers of width 768; ViT-Ti has 192 and MiniLM 384.
  workers    --workers processes read each split instead of 16. Captions and crops are drawn in
             these processes: a seed gives the same run only with the same number of them.
  scores     after each epoch the published loop scores the test split and logs two of the scores;
             here it logs all. The last epoch counts, as in our rows.
  weights    with --keep, the weights of every epoch are kept. The published loop keeps those of the
             last epoch and of the best, by scores on the test split; the driver does not use these.

Where torchvision is not installed, a stand-in takes its place while timm is imported; a ViT does
not use it. The raw folder has the layout of HumanML3D: new_joints/, texts/ and the split files. The
libraries are the installed ones, newer than those that the published code pins. scores.json in the
workdir has their versions, the arguments, and the scores and the seconds of every epoch.
TQDM_DISABLE=1 in the environment leaves out the published code's progress bars.
"""

import argparse
import contextlib
import functools
import hashlib
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import logging
import math
import pathlib
import re
import runpy
import shutil
import sys
import time
import types
from collections.abc import Callable, Mapping
from typing import Any

from ml_collections import ConfigDict

from benchmarks.train_step import machine
from motionalign import files
from motionalign.configs import mocap_small

COMMIT = "1ce221f"  # of the published repository
PUBLISHED = {  # the files that take part, with the start of the hashes by which git lists them
    "conf/config.yaml": "cd52185955",
    "conf/dataset/HumanML3D.yaml": "b9bcc0c670",
    "datasets/__init__.py": "90c11fe2d4",
    "datasets/dataset.py": "7c8be73057",
    "models/clip.py": "486d78ecdc",
    "scripts/cal_mean_var.py": "1d76b29ee4",
    "scripts/test.py": "ba5a72ed28",
    "scripts/train.py": "34fdf2b4d4",
}
PARTS = ("new_joints", "texts", "train.txt", "val.txt", "test.txt")  # of a raw folder
TOWERS = {"Ti": "vit_tiny_patch16_224"}  # sizes of a ViT, and their names in timm
RANKS = ("R@1", "R@2", "R@3", "R@5", "R@10", "MedR")
DIRECTIONS = {"t2m": "text → motion", "m2t": "motion → text"}
Scores = dict[str, dict[str, float]]  # direction → measure → score


def parse_args() -> argparse.Namespace:
    """Parses the command line; paths become absolute."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )

    def path(text: str) -> pathlib.Path:
        return pathlib.Path(text).expanduser().resolve()

    parser.add_argument("--published", type=path, required=True, help="a clone of the repository")
    parser.add_argument("--raw_dir", type=path, required=True, help="clips in HumanML3D's layout")
    parser.add_argument("--workdir", type=path, required=True, help="for weights and scores")
    parser.add_argument("--seed", type=int, default=42, help="42 is the published one")
    parser.add_argument("--epochs", type=int, help="default: those of configs/mocap_small.py")
    parser.add_argument("--text_weights", help="folder or Hub id of the text encoder")
    parser.add_argument("--workers", type=int, default=2, help="processes that read a split")
    parser.add_argument("--threads", type=int, help="threads of PyTorch; default: all cores")
    parser.add_argument("--keep", action="store_true", help="keep the weights of every epoch")
    return parser.parse_args()


# What has to be there ----------------------------------------------------------------------------


def changed_files(published: pathlib.Path) -> list[str]:
    """The published files that are not as in COMMIT.

    Raises:
      ValueError: the folder lacks one of them.
    """
    absent = [name for name in PUBLISHED if not (published / name).is_file()]
    if absent:
        raise ValueError(
            f"--published={published} has no {', '.join(absent)}; expected a clone of "
            "https://github.com/YU1ut/MotionPatches"
        )
    return [name for name, start in PUBLISHED.items() if git_hash(published / name)[:10] != start]


def git_hash(path: pathlib.Path) -> str:
    """The hash by which git knows the content of a file."""
    data = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def link_data(raw_dir: pathlib.Path, workdir: pathlib.Path) -> pathlib.Path:
    """Links the raw clips to where the published code looks for them; returns that folder.

    scripts/cal_mean_var.py insists on HumanML3D and KIT-ML and writes into both: KIT-ML is a link
    to the same folder. Nothing is written into the raw folder.

    Raises:
      ValueError: the raw folder lacks a part of HumanML3D's layout.
    """
    absent = [part for part in PARTS if not (raw_dir / part).exists()]
    if absent:
        raise ValueError(
            f"--raw_dir={raw_dir} has no {', '.join(absent)}; expected {', '.join(PARTS)}"
        )
    data = workdir / "data" / "HumanML3D"
    data.mkdir(parents=True, exist_ok=True)
    links = {data / part: raw_dir / part for part in PARTS}
    for link, target in {**links, data.with_name("KIT-ML"): data}.items():
        link.unlink(missing_ok=True)
        link.symlink_to(target)
    return data


def our_config(args: argparse.Namespace) -> ConfigDict:
    """configs/mocap_small.py:code with the command line's seed, epochs and text encoder."""
    config = mocap_small.get_config("code")
    config.seed = args.seed
    config.epochs = config.epochs if args.epochs is None else args.epochs
    if args.text_weights:
        folder = pathlib.Path(args.text_weights).expanduser()
        config.model.text.weights = str(folder.resolve()) if folder.is_dir() else args.text_weights
    return config


def published_config(published: pathlib.Path, workdir: pathlib.Path, ours: ConfigDict) -> Any:
    """The published configuration (an OmegaConf) with our towers, epochs and seed."""
    hydra, omegaconf = load("hydra"), load("omegaconf")
    with hydra.initialize_config_dir(str(published / "conf"), version_base=None):
        config = hydra.compose("config")
    changes = {
        "checkpoints_dir": str(workdir / "checkpoints"),
        "dataset.data_root": str(workdir / "data" / "HumanML3D"),
        "model.motion_encoder": TOWERS[ours.model.motion.size],
        "model.text_encoder": ours.model.text.weights,
        "train.motion_encoder_pretrained": bool(ours.model.motion.weights),
        "train.epoch": ours.epochs,
        "train.seed": ours.seed,
    }
    for name, value in changes.items():
        omegaconf.OmegaConf.update(config, name, value)
    return config


def check_equal(theirs: Mapping[str, Any], ours: ConfigDict) -> None:
    """Compares values of the published run with the fields of our config of these names.

    Raises:
      ValueError: some differ; the message lists them.
    """
    mine: dict[str, Any] = {
        name: functools.reduce(getattr, name.split("."), ours) for name in theirs
    }
    differ = [
        f"{name} is {value} in the published run, {mine[name]} in configs/mocap_small.py:code"
        for name, value in theirs.items()
        if value != mine[name]
        and not (isinstance(value, float) and math.isclose(value, mine[name], rel_tol=1e-6))
    ]
    if differ:
        raise ValueError(f"the recipes differ: {'; '.join(differ)}")


def recipe_of(model: Any, optimizer: Any, scheduler: Any, steps: int) -> dict[str, Any]:
    """What the published run trains with, by the names of our config's fields."""
    motion, text, heads = optimizer.param_groups
    trained = [p for group in optimizer.param_groups for p in group["params"]]
    dtypes = {str(p.dtype).removeprefix("torch.") for p in trained}
    return {
        "dtype": " and ".join(sorted(dtypes)),
        "model.embed_dim": model.text_projection.fc.out_features,
        "model.head_dropout": model.motion_projection.dropout.p,
        "model.temperature": math.exp(-model.logit_scale.item()),
        "model.learn_temperature": any(p is model.logit_scale for p in trained),
        "model.text.dropout": model.text_encoder.text_model.config.hidden_dropout_prob,
        "optim.groups.motion_encoder.lr": motion["initial_lr"],
        "optim.groups.text_encoder.lr": text["initial_lr"],
        "optim.groups.heads.lr": heads["initial_lr"],
        "optim.b1": motion["betas"][0],
        "optim.b2": motion["betas"][1],
        "optim.eps": motion["eps"],
        "optim.weight_decay": float(motion["weight_decay"]),
        "optim.cosine_runs": scheduler.T_max / steps,
    }


# The published program ---------------------------------------------------------------------------


class AnyName(type):
    """Of a class that has every attribute."""

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return name


class AnyModule(types.ModuleType):
    """A module in which every name is a class."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return AnyName(name, (), {})


class Torchvision(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds a stand-in for torchvision and its modules."""

    def find_spec(
        self, fullname: str, path: object, target: object = None
    ) -> importlib.machinery.ModuleSpec | None:
        """A module of torchvision; None for others."""
        if fullname.partition(".")[0] != "torchvision":
            return None
        return importlib.machinery.ModuleSpec(fullname, self, is_package=True)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType:
        """The stand-in."""
        return AnyModule(spec.name)

    def exec_module(self, module: types.ModuleType) -> None:
        """There is nothing to run."""


def load_timm() -> Any:
    """Imports timm, which imports torchvision for other networks than a ViT.

    Its builds must fit PyTorch's; that of PyPI cannot be imported beside PyTorch's build for CPUs.
    Where there is none, a stand-in takes its place during the import.
    """
    if importlib.util.find_spec("torchvision") is not None:
        return load("timm")
    finder = Torchvision()
    sys.meta_path.insert(0, finder)
    try:
        return load("timm")
    finally:
        sys.meta_path.remove(finder)
        for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
            del sys.modules[name]


class LoggedScores(logging.Handler):
    """Collects the scores that scripts/test.py logs, rounded to two digits as it logs them."""

    LINE = re.compile(r"(t2m|m2t)_recall_(?:top(\d+)|median)_correct_composition: ([\d.]+)")

    def __init__(self) -> None:
        super().__init__()
        self.scores: Scores = {direction: {} for direction in DIRECTIONS}

    def emit(self, record: logging.LogRecord) -> None:
        """Keeps a line with a score."""
        if match := self.LINE.fullmatch(record.getMessage()):
            direction, k, value = match.groups()
            self.scores[direction][f"R@{k}" if k else "MedR"] = float(value)


def logging_all(
    evaluate: Callable[..., Any], logger: logging.Logger, seen: Callable[[Scores], None]
) -> Callable[..., Any]:
    """The published evaluation, made to log every score; `seen` gets them.

    Raises:
      ValueError: when called, if it did not log a score that the table has.
    """

    @functools.wraps(evaluate)
    def verbose(*args: Any, **kwargs: Any) -> Any:
        handler, level = LoggedScores(), logger.level
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
        try:
            result = evaluate(*args, **{**kwargs, "verbose": True})
        finally:
            logger.removeHandler(handler)
            logger.setLevel(level)
        for direction, scores in handler.scores.items():
            absent = [name for name in RANKS if name not in scores]
            if absent:
                raise ValueError(f"scripts/test.py logged no {', '.join(absent)} of {direction}")
        seen(handler.scores)
        return result

    return verbose


def intervene(
    train: Any, test: Any, workers: int, ours: ConfigDict, seen: Callable[[Scores], None]
) -> None:
    """Replaces the number of workers and the towers' widths, checks the recipe, logs all scores.

    Args:
      train: the published module scripts.train; changed.
      test: the published module scripts.test; changed.
      workers: the number of processes that read a split.
      ours: the config with which the published run has to agree.
      seen: gets the scores after every epoch.
    """
    loader, build, prepare = train.DataLoader, train.ClipModel, train.prepare_model

    def few_workers(*args: Any, **kwargs: Any) -> Any:
        return loader(*args, **{**kwargs, "num_workers": workers})

    def with_widths(*args: Any, **kwargs: Any) -> Any:
        motion, text, _, _, _, _, _, *rest = args
        return build(*args[:5], motion_width(motion), text_width(text), *rest, **kwargs)

    def checked(config: Any, batches: Any) -> Any:
        check_equal({"data.batch_size": batches.batch_size}, ours)
        model, optimizer, scheduler, tokenizer = prepare(config, batches)
        steps = len(batches) * ours.epochs
        check_equal(recipe_of(model, optimizer, scheduler, steps), ours)
        return model, optimizer, scheduler, tokenizer

    train.DataLoader = test.DataLoader = few_workers
    train.ClipModel, train.prepare_model = with_widths, checked
    train.eval = logging_all(train.eval, test.log, seen)


def load(name: str) -> Any:
    """Imports a module that is no requirement of the project."""
    return importlib.import_module(name)


def motion_width(name: str) -> int:
    """The width of timm's model of this name."""
    return load_timm().create_model(name, pretrained=False, num_classes=0).num_features


def text_width(name: str) -> int:
    """The width of transformers' model in this folder or of this Hub id."""
    return load("transformers").AutoConfig.from_pretrained(name).hidden_size


class Record:
    """The scores and the seconds of the epochs so far, in scores.json."""

    def __init__(self, workdir: pathlib.Path, about: Mapping[str, Any], keep: bool) -> None:
        self.epochs: list[dict[str, Any]] = []
        self._workdir, self._about, self._keep = workdir, about, keep
        self._start = time.perf_counter()

    def add(self, scores: Scores) -> None:
        """Adds the scores after an epoch; its weights have been saved."""
        now = time.perf_counter()
        number = len(self.epochs) + 1
        self.epochs.append({"epoch": number, "seconds": now - self._start, **scores})
        self._start = now
        files.write_json(self._workdir / "scores.json", {**self._about, "epochs": self.epochs})
        if self._keep:
            saved = self._workdir / "checkpoints" / "last_model.pt"
            shutil.copyfile(saved, saved.with_name(f"epoch{number:02}.pt"))
        print(f"epoch {number}, {self.epochs[-1]['seconds']:.0f} s: {row(scores)}", flush=True)


def run(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Trains and scores; returns the record of every epoch."""
    changed = changed_files(args.published)
    if changed:
        print(f"(!) {args.published} is not as in commit {COMMIT}: {', '.join(changed)}")
    link_data(args.raw_dir, args.workdir)
    ours = our_config(args)
    arguments = {
        name: str(v) if isinstance(v, pathlib.Path) else v for name, v in vars(args).items()
    }
    about = {
        "arguments": arguments,
        "published": {"commit": COMMIT, "files_changed": changed},
        "machine": machine(("torch", "timm", "transformers", "hydra-core", "numpy")),
    }
    with contextlib.chdir(args.workdir):
        runpy.run_path(str(args.published / "scripts" / "cal_mean_var.py"))
        sys.path.insert(0, str(args.published))
        load_timm()
        train, test = load("scripts.train"), load("scripts.test")
        record = Record(args.workdir, about, args.keep)
        intervene(train, test, args.workers, ours, record.add)
        train.main(published_config(args.published, args.workdir, ours))
    return record.epochs


def row(scores: Scores) -> str:
    """The scores as a row of docs/results.md: both directions, and the sum of all R@k."""
    recalls = [[scores[direction][name] for name in RANKS[:-1]] for direction in DIRECTIONS]
    cells = [" / ".join(f"{value:.2f}" for value in values) for values in recalls]
    return f"{' | '.join(cells)} | {sum(map(sum, recalls)):.1f}"


def table(scores: Scores) -> str:
    """The scores as a table in Markdown."""
    lines = [f"| direction | {' | '.join(RANKS)} |", f"|---|{'--:|' * len(RANKS)}"]
    for direction, name in DIRECTIONS.items():
        lines.append(f"| {name} | {' | '.join(f'{scores[direction][k]:g}' for k in RANKS)} |")
    return "\n".join(lines)


def main() -> None:
    """Runs the published code, prints its scores and writes them to scores.json."""
    args = parse_args()
    if args.threads:
        load("torch").set_num_threads(args.threads)
    args.workdir.mkdir(parents=True, exist_ok=True)
    last = run(args)[-1]
    print(f"seed {args.seed}, epoch {last['epoch']}, protocol all")
    print(table({direction: last[direction] for direction in DIRECTIONS}))


if __name__ == "__main__":
    main()
