r"""Trains, evaluates and applies motion-language models.

  Train, or resume an interrupted run with the same command:
    python launch.py --config=configs/quickstart.py

  Results are written to runs/quickstart, or to --workdir. Any field of the config can be set:
    python launch.py --config=configs/humanml3d_vit.py:paper --workdir=runs/paper \
      --config.seed=1 --config.dtype=bfloat16

  Evaluate a checkpoint, trained here or copied from elsewhere, on its training dataset:
    python launch.py --mode=eval --checkpoint=runs/quickstart

  Encode a folder of motion files (BVH, FBX, C3D, ..., of any skeleton; or .npy, [frames, joints,
  3]) for search, or classify them:
    python launch.py --mode=encode --checkpoint=runs/quickstart --input=mocap --output=clips.npz
    python launch.py --mode=encode --checkpoint=runs/actions --input=clips --output=classes.csv

  Write the sentences of a dataset, by a motion tokenizer:
    python launch.py --mode=tokenize --checkpoint=runs/nw_ucla_tokens --output=sentences.jsonl

  Before renting: compile the steps of a run for accelerators, and see whether they fit:
    python launch.py --mode=compile_ahead --config=configs/humanml3d_vit.py --target=h100:8

  List every field of a config with its default, valid values and meaning:
    python launch.py --help_config

  Several processes (one per host or GPU): start the same command in each. Use --distributed if the
  cluster can be detected (SLURM, TPU pods, MPI); otherwise use --coordinator, --num_processes and
  --process_id.

  Exit status: 0 finished; 1, 2 a mistake, told in one line; 130, 143 stopped by Ctrl-C or SIGTERM.
  Training saves before it stops, and the same command resumes it.

  `motionalign train`, `motionalign eval`, `motionalign encode` and `motionalign tokenize` are the
  same commands and work from any folder; `motionalign --help` lists the others.
"""

import difflib
import pathlib
import re
import signal
import sys
from collections.abc import Sequence
from typing import Any

from absl import app, flags, logging
from ml_collections import ConfigDict, config_flags

from motionalign import commands, host
from motionalign.config import flat
from motionalign.conventions import AXES, REASONS, SENSORS, UNITS, read_order

FLAGS = flags.FLAGS
CONFIGS = pathlib.Path(__file__).parent / "configs"
MODES = ("train", "eval", "encode", "tokenize", "compile_ahead")

_CONFIG = config_flags.DEFINE_config_file(
    "config",
    None,
    "Config file of the run, FILE or FILE:ARGUMENT: your own file or an installed one, such as "
    "configs/quickstart.py. Default for eval and tokenize: the checkpoint's config.",
    lock_config=True,
)
_MODE = flags.DEFINE_enum("mode", "train", MODES, "What to do.")
_WORKDIR = flags.DEFINE_string(
    "workdir",
    None,
    "Folder of the run: checkpoints, logs, results; default: runs/CONFIG[-ARGUMENT]. eval: folder "
    "for the results; default: the run of the checkpoint.",
)
_CHECKPOINT = flags.DEFINE_string(
    "checkpoint",
    None,
    "eval, encode, tokenize: a workdir, a checkpoint folder, a shared folder or a Hub id; default: "
    "--workdir.",
)
_SPLIT = flags.DEFINE_string(
    "split",
    None,
    "eval: split to score; default: config.data.test_split. tokenize: split whose sentences are "
    "written; default: all.",
)
_LANGUAGE_MODEL = flags.DEFINE_string(
    "language_model",
    None,
    "eval, tokenize: the frozen language model of the run, if it is no longer where it was: a "
    "folder, .gguf file or Hub id. Its files are verified.",
)
_INPUT = flags.DEFINE_string(
    "input", None, "encode: folder of motion files of any format, or one file."
)
_OUTPUT = flags.DEFINE_string(
    "output",
    None,
    "encode: the .npz to write (ids, embeddings; for a classifier ids, class_names, "
    "probabilities), or for a classifier a .csv. tokenize: the .jsonl to write.",
)
_DATASET = flags.DEFINE_string(
    "dataset",
    None,
    "encode: training dataset whose skeleton and statistics are used; default: the first.",
)
_JOINTS = flags.DEFINE_enum(
    "joints",
    "as_trained",
    ("as_trained", "native"),
    "encode: as_trained: files of any skeleton become the joints of the training data; native, for "
    "models of motion patches: they keep their own, with the statistics of these files.",
)
_SKELETON = flags.DEFINE_string(
    "skeleton", None, "encode: JSON file that says what the joints are: docs/formats.md."
)
_SMPLH_DIR = flags.DEFINE_string(
    "smplh_dir", None, "encode: folder of SMPL or SMPL-H body models, for files of parameters."
)
_FPS = flags.DEFINE_float(
    "fps",
    None,
    "encode: frame rate of .npy clips, default: that of the raw training files; and of other files "
    "that state none.",
)
_UNIT = flags.DEFINE_enum(
    "unit",
    None,
    tuple(UNITS),
    "encode: unit of the clips; default: that of the training data for .npy, else as stated or "
    "found in the file.",
)
_UP = flags.DEFINE_enum(
    "up",
    None,
    tuple(AXES),
    "encode: the axis of the clips that points up; default: y for .npy, else as stated or found.",
)
_ORDER = flags.DEFINE_string(
    "order",
    None,
    "encode: joint names in the order of .npy clips, separated by commas or in a text file with "
    "one per line; default: the order of the training data.",
)
_CANONICAL = flags.DEFINE_enum(
    "canonical",
    "as_trained",
    ("as_trained", "always", "never"),
    "encode: move and turn each clip so that its first frame is on the vertical axis and faces +Z, "
    "and its lowest point is at Y = 0; as_trained: if the training data are so.",
)
_ACCEPT = flags.DEFINE_list(
    "accept", [], f"encode: findings that do not skip a clip: {', '.join(REASONS)}."
)
_SENSOR = flags.DEFINE_enum(
    "sensor",
    None,
    tuple(SENSORS),
    "encode: depth: joints of depth cameras or from video may shake; default: that of the training "
    "data, or what the format says.",
)
_TARGET = flags.DEFINE_list(
    "target",
    None,
    "compile_ahead: accelerators, KIND:TOPOLOGY, such as h100:1, h100:8, v5e:2x2, v5e:16x16 and "
    "v5p:2x2x1; several separated by commas. cpu:N compiles for this machine.",
)
_TOKENS = flags.DEFINE_integer(
    "tokens",
    None,
    "compile_ahead: length of the texts in a batch; default: the longest that the model reads.",
    lower_bound=1,
)
_JSON = flags.DEFINE_bool("json", False, "compile_ahead: print numbers, as JSON.")
_CACHE = flags.DEFINE_string(
    "compilation_cache",
    str(pathlib.Path.home() / ".cache" / "motionalign" / "xla"),
    "Folder that keeps compiled programs between runs; empty: no cache. Not used with several CPU "
    "devices.",
)
_DISTRIBUTED = flags.DEFINE_bool("distributed", False, "Detect the cluster and join it.")
_COORDINATOR = flags.DEFINE_string(
    "coordinator", None, "host:port of process 0, if the cluster cannot be detected."
)
_NUM_PROCESSES = flags.DEFINE_integer(
    "num_processes", None, "With --coordinator: number of processes."
)
_HELP_CONFIG = flags.DEFINE_bool("help_config", False, "List the fields of a config and exit.")
_PROCESS_ID = flags.DEFINE_integer(
    "process_id", None, "With --coordinator: number of this process, 0 to num_processes-1."
)


def run(argv: Sequence[str] | None = None) -> None:
    """Entry point: parses the arguments, runs the selected mode and ends the process.

    Args:
      argv: program name and arguments; default: those of the process.
    """
    if argv is not None:
        sys.argv = list(argv)  # ml_collections reads --config.FIELD from here
    with commands.ending_cleanly(), commands.quiet_pipe():
        app.run(main, flags_parser=parse_flags)


def main(argv: Sequence[str]) -> None:
    """Runs the mode that the flags select; a user's mistake ends it with one line on stderr."""
    try:
        if len(argv) > 1:
            meant = difflib.get_close_matches(argv[1], MODES, 1)
            raise ValueError(
                f"unexpected argument {argv[1]!r}: options have the form --NAME=VALUE"
                + (f". Did you mean --mode={meant[0]}?" if meant else "")
            )
        if not FLAGS["verbosity"].present:
            logging.set_verbosity(logging.WARNING)
            commands.plain_warnings()
        _run()
    except BrokenPipeError:
        raise
    except (ValueError, FloatingPointError, OSError) as error:
        # A traceback would hide the message, which tells the user what to fix.
        if logging.level_debug():
            raise
        sys.exit(f"{_program()}: {commands.told(error)}\n(--verbosity=1 shows the traceback)")


def _program() -> str:
    return pathlib.Path(sys.argv[0]).name


def _run() -> None:
    if _HELP_CONFIG.value:
        from motionalign.tasks.schema import schema

        print(schema().describe())
        return
    _check_flags()
    modes = {
        "train": _train, "eval": _evaluate_only, "encode": _encode, "tokenize": _tokenize,
        "compile_ahead": _compile_ahead,
    }  # fmt: skip
    modes[_MODE.value]()


# Flags that only some modes read, with these modes.
READ_BY = {
    **dict.fromkeys(
        ("workdir", "distributed", "coordinator", "num_processes", "process_id"),
        ("train", "eval", "encode", "tokenize"),
    ),
    "checkpoint": ("eval", "encode", "tokenize"),
    "split": ("eval", "tokenize"),
    "language_model": ("eval", "tokenize"),
    "input": ("encode",),
    "output": ("encode", "tokenize"),
    "dataset": ("encode",),
    "joints": ("encode",),
    "skeleton": ("encode",),
    "smplh_dir": ("encode",),
    "sensor": ("encode",),
    "fps": ("encode",),
    "unit": ("encode",),
    "up": ("encode",),
    "order": ("encode",),
    "canonical": ("encode",),
    "accept": ("encode",),
    "target": ("compile_ahead",),
    "tokens": ("compile_ahead",),
    "json": ("compile_ahead",),
}


def _check_flags() -> None:
    """Raises a ValueError for a flag that the mode would ignore."""
    mode = _MODE.value
    for name, modes in READ_BY.items():
        if FLAGS[name].present and mode not in modes:
            advice = ""
            if name == "checkpoint":
                advice = "; to fine-tune a model: --config=configs/finetune.py:CHECKPOINT"
            raise ValueError(
                f"--{name} has no effect with --mode={mode}, only with "
                f"{' and '.join(f'--mode={each}' for each in modes)}{advice}"
            )
    if mode == "encode" and FLAGS["config"].present:
        raise ValueError("--config has no effect with --mode=encode: the checkpoint has its own")


def _train() -> None:
    _require(config=_config())
    workdir = _WORKDIR.value or default_workdir(_config_path())
    with commands.importing():
        from motionalign import train
    _start_jax()
    outcome = train.train(_config(), workdir, say=_say)
    if outcome != "finished":
        print("Stopped; the run is saved. Run the same command again to resume.")
        sys.exit(128 + signal.Signals[outcome])
    _evaluate(workdir, workdir)


def _evaluate_only() -> None:
    checkpoint = _CHECKPOINT.value or _WORKDIR.value
    _require(checkpoint=checkpoint)
    _tell_idle_fields()
    with commands.importing():
        from motionalign.checkpoints.workdir import run_folder
    _start_jax()
    _evaluate(checkpoint, _WORKDIR.value or run_folder(checkpoint))


def _tell_idle_fields() -> None:
    """Says on stderr which given fields of the config an evaluation does not read."""
    given = config_flags.get_override_values(FLAGS["config"])
    idle = [f"--config.{name}" for name in given if name.partition(".")[0] not in EVALUATED]
    own = pathlib.Path(_config_path().partition(":")[0]) == CONFIGS / "checkpoint.py"
    if idle or not own:
        print(
            f"Of --config, evaluation reads {', '.join(EVALUATED)}; the checkpoint sets the rest."
            + (f" No effect: {', '.join(idle)}" if idle else ""),
            file=sys.stderr,
        )


def _tokenize() -> None:
    checkpoint = _CHECKPOINT.value or _WORKDIR.value
    example = "sentences.jsonl"
    _require(example, checkpoint=checkpoint, output=_OUTPUT.value)
    _tell_idle_fields()
    with commands.importing():
        from motionalign.evaluate import tokenize_checkpoint
    _start_jax()
    output, split, words = _OUTPUT.value, _SPLIT.value, _LANGUAGE_MODEL.value
    print(tokenize_checkpoint(_config(), checkpoint, output, split, words))


# Sections and fields of a config that evaluation reads; the others come from the checkpoint.
EVALUATED = ("task", "data", "eval", "mesh")


def _evaluate(checkpoint: str | pathlib.Path, output: str | pathlib.Path) -> None:
    """Scores a checkpoint and prints its tables."""
    from motionalign.evaluate import evaluate_checkpoint

    evaluate_checkpoint(_config(), checkpoint, output, _SPLIT.value, print, _LANGUAGE_MODEL.value)


def _encode() -> None:
    checkpoint = _CHECKPOINT.value or _WORKDIR.value
    _require(checkpoint=checkpoint, input=_INPUT.value, output=_OUTPUT.value)
    with commands.importing():
        from motionalign.inference.folder import encode_folder
    _start_jax()
    given: dict[str, Any] = {"unit": _UNIT.value, "up": _UP.value, "sensor": _SENSOR.value}
    encoded = encode_folder(
        checkpoint,
        _INPUT.value,
        _OUTPUT.value,
        _FPS.value,
        _DATASET.value,
        joints=_JOINTS.value.replace("_", " "),
        skeleton=_SKELETON.value,
        smplh_dir=_SMPLH_DIR.value,
        order=read_order(_ORDER.value) if _ORDER.value else None,
        canonical=_CANONICAL.value.replace("_", " "),
        accept=_ACCEPT.value,
        **{name: value for name, value in given.items() if value is not None},
    )
    print(encoded.summary())


def _compile_ahead() -> None:
    _require(config=_config(), target=_TARGET.value or None)
    with commands.importing():
        from motionalign.planning import report
    say = _say_aside if _JSON.value else _say
    with commands.importing():  # nothing is written
        steps = report.compile_run(_config(), _TARGET.value, _TOKENS.value, say)
    print(report.as_json(steps) if _JSON.value else "\n" + report.as_table(steps))


def _say_aside(text: str) -> None:
    """Prints on stderr, so that the output is the result alone."""
    print(text, file=sys.stderr, flush=True)


def _say(text: str) -> None:
    """Prints without buffering, so that messages appear before the slow step that they announce."""
    print(text, flush=True)


def _start_jax() -> None:
    import jax

    by_hand = {
        "--coordinator": _COORDINATOR.value,
        "--num_processes": _NUM_PROCESSES.value,
        "--process_id": _PROCESS_ID.value,
    }
    missing = [name for name, value in by_hand.items() if value is None]
    if 0 < len(missing) < 3:
        raise ValueError(
            f"{', '.join(by_hand)} must be given together; missing: {', '.join(missing)}"
        )
    if _DISTRIBUTED.value and not missing:
        raise ValueError("--distributed and --coordinator exclude each other: give only one")
    if _COORDINATOR.value:
        _join(_COORDINATOR.value, _NUM_PROCESSES.value, _PROCESS_ID.value)
    elif _DISTRIBUTED.value:
        try:
            jax.distributed.initialize()
        except (ValueError, RuntimeError) as error:
            raise ValueError(
                f"--distributed: no cluster (SLURM, TPU pod, MPI) is detected ({_first(error)}). "
                "Start the command through the cluster's launcher, or name the processes by "
                "--coordinator=HOST:PORT --num_processes=N --process_id=I; a single process needs "
                "none of these flags"
            ) from error
    # After joining the cluster: the answer depends on the devices of all processes.
    from motionalign import sharding

    if not sharding.programs_can_be_stored():
        jax.config.update("jax_compilation_cache_dir", None)  # the environment may name one as well
    elif _CACHE.value:
        jax.config.update("jax_compilation_cache_dir", _CACHE.value)
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)
        jax.config.update("jax_persistent_cache_min_entry_size_bytes", 0)


def _join(coordinator: str, count: int, number: int) -> None:
    """Joins the processes of a run; a ValueError if that is impossible."""
    import jax

    if not re.fullmatch(r".+:\d+", coordinator):
        raise ValueError(f"--coordinator={coordinator}: expected HOST:PORT of process 0")
    if not 0 <= number < count:
        raise ValueError(
            f"--process_id={number}: expected 0 to {count - 1}, below --num_processes={count}"
        )
    try:
        jax.distributed.initialize(coordinator, count, number)
    except (ValueError, RuntimeError) as error:
        raise ValueError(
            f"--coordinator={coordinator}: process {number} of {count} cannot join "
            f"({_first(error)}). Start all processes, with --process_id=0 on the host that "
            "--coordinator names"
        ) from error


def _first(error: Exception) -> str:
    """The first line of an error of a library."""
    return str(error).strip().partition("\n")[0].rstrip(".")


def _require(output_file: str = "clips.npz", /, **given: object) -> None:
    """Raises a ValueError that names the missing flags, with an example value for each."""
    examples = EXAMPLES | {"output": output_file}
    missing = [f"--{name}={examples[name]}" for name, value in given.items() if value is None]
    if missing:
        raise ValueError(
            f"--mode={_MODE.value} needs {' and '.join(missing)}, for example (--help shows "
            "complete commands)"
        )


EXAMPLES = {
    "config": "configs/quickstart.py",
    "checkpoint": "runs/quickstart",
    "input": "clips",
    "target": "h100:1",
}


# The config ---------------------------------------------------------------------------------------


def _config() -> ConfigDict | None:
    """The config, or None; a ValueError if its file does not exist."""
    try:
        getattr(_CONFIG.value, "seed", None)
    except OSError as error:  # ml_collections only raises it when the config is used
        path = _config_path().partition(":")[0]
        raise ValueError(
            f"--config={path}: no such file. Give your own file or one of: "
            f"{', '.join(shipped_configs())}"
        ) from error
    return _CONFIG.value


def _config_path() -> str:
    return config_flags.get_config_filename(FLAGS["config"])


def shipped_configs() -> list[str]:
    """The config files that are installed with the package, as values of --config."""
    others = ("common.py", "checkpoint.py")  # the base of all configs; the default of --mode=eval
    return [
        f"configs/{file.name}"
        for file in sorted(CONFIGS.glob("[!_]*.py"))
        if file.name not in others
    ]


def find_config(given: str) -> str:
    """Resolves `--config=GIVEN` to a config file with its argument.

    An existing file has priority; otherwise `configs/NAME.py`, `NAME.py` and `NAME` select an
    installed config.
    """
    path, colon, argument = given.partition(":")
    name = pathlib.PurePath(path)
    if not pathlib.Path(path).exists() and name.parent.as_posix() in (".", "configs"):
        installed = CONFIGS / f"{name.stem}.py"
        path = str(installed) if installed.is_file() else path
    return path + colon + argument


def default_workdir(config_path: str) -> pathlib.Path:
    """The folder of a run without --workdir: runs/CONFIG[-ARGUMENT]."""
    path, _, argument = config_path.partition(":")
    parts = [pathlib.Path(path).stem, *re.findall(r"[\w.=@]+", argument)]
    return pathlib.Path("runs") / "-".join(part for part in parts if part.strip("."))


# The command line ---------------------------------------------------------------------------------


def parse_flags(argv: list[str]) -> list[str]:
    """absl's parser, with one-line errors for flags, config arguments and config fields."""
    host.keep_freed_memory()  # config files import JAX
    argv = [argv[0], *commands.expand_arguments(argv[1:])]
    if any(arg.lstrip("-") in ("help", "h", "helpshort", "helpfull") for arg in argv[1:]):
        print(f"{__doc__}\n{FLAGS.module_help(sys.modules[__name__])}")
        sys.exit(0)
    sys.argv = argv = _with_config(argv)
    try:
        with commands.importing():  # config files import JAX
            return FLAGS(argv)
    except flags.UnrecognizedFlagError as error:
        message = unknown_flag(str(error), error.flagname)
    except flags.Error as error:
        message = re.sub(r"invalid literal for int.*", "expected a whole number", str(error))
        message = re.sub(r"could not convert string to float.*", "expected a number", message)
        message = re.sub(r"\('Non-boolean argument.*", "expected True or False", message)
        if "Traceback" in message:  # it surrounds a config file's error about its argument
            message = message.partition("ValueError: ")[2].strip() or message
    except (AttributeError, KeyError):
        # ml_collections stops at the first unknown field, before the config is available.
        own = [arg for arg in argv if not arg.startswith("--config.")]
        sys.argv = own
        FLAGS(own)
        message = unknown_field(_CONFIG.value, argv)
        if message is None:
            raise
    sys.exit(f"{_program()}: {message}\n(--help lists the flags, --help_config the fields)")


def _with_config(argv: Sequence[str]) -> list[str]:
    """The arguments with --config resolved to an installed config or that of the checkpoint."""
    found = [re.sub(r"^(--?config=)(.+)$", lambda m: m[1] + find_config(m[2]), a) for a in argv]
    for i, arg in enumerate(found[:-1]):
        if arg in ("--config", "-config"):
            found[i + 1] = find_config(found[i + 1])
    checkpoint = _last(argv, "checkpoint") or _last(argv, "workdir")
    if _last(argv, "mode") in ("eval", "tokenize") and _last(argv, "config") is None and checkpoint:
        found.insert(1, f"--config={CONFIGS / 'checkpoint.py'}:{checkpoint}")
    return found


def _last(argv: Sequence[str], name: str) -> str | None:
    """The value of a flag before flags are parsed; None if it is not given."""
    value = None
    for i, arg in enumerate(argv):
        if arg in (f"--{name}", f"-{name}"):
            value = argv[i + 1] if i + 1 < len(argv) else None
        elif match := re.match(rf"--?{name}=(.*)$", arg, re.DOTALL):
            value = match[1]
    return value


def unknown_flag(message: str, name: str) -> str:
    """absl's message for an unknown flag, with the config fields that may be meant."""
    from motionalign.tasks.schema import schema

    fields = list(flat(schema().base().to_dict()))
    meant = [field for field in fields if f".{field}".endswith(f".{name}")]
    if not meant and "Did you mean" not in message:
        close = difflib.get_close_matches(name, [field.rpartition(".")[2] for field in fields], 1)
        meant = [field for field in fields if field.rpartition(".")[2] in close]
    if not meant:
        return message
    options = " or ".join(f"--config.{field}" for field in meant[:4])
    return f"unknown flag --{name}. Did you mean the config field {options}?"


def unknown_field(config: ConfigDict, argv: Sequence[str]) -> str | None:
    """The error message for the first unknown `--config.FIELD` in `argv`; None if all exist."""
    for arg in argv:
        if not arg.startswith("--config."):
            continue
        section, path = config, []
        for name in arg.removeprefix("--config.").partition("=")[0].split("."):
            if not hasattr(section, "keys") or name not in section:
                where = ".".join(["config", *path])
                valid = ", ".join(section.keys()) if hasattr(section, "keys") else "no fields"
                like = [
                    f"config.{known}"
                    for known in flat(config.to_dict())
                    if known.endswith(f".{name}")
                ]
                if hasattr(section, "keys") and not like:
                    close = difflib.get_close_matches(name, section.keys(), 1)
                    like = [f"{where}.{each}" for each in close]
                return f"unknown field {'.'.join([where, name])}; {where} has {valid}" + (
                    f". Did you mean {' or '.join(like[:4])}?" if like else ""
                )
            section = section[name]
            path.append(name)
    return None
