r"""Trains, evaluates and applies motion-language models.

  Train, or go on after an interruption (the same command again):
    python launch.py --config=configs/quickstart.py --workdir=runs/quickstart

  Override any field of the config:
    python launch.py --config=configs/humanml3d_vit.py:paper --workdir=runs/paper \
      --config.seed=1 --config.dtype=bfloat16

  Evaluate a checkpoint, here or copied from elsewhere:
    python launch.py --config=configs/quickstart.py --mode=eval --checkpoint=runs/quickstart

  Encode a folder of clips (.npy, [frames, joints, 3]) for search:
    python launch.py --mode=encode --checkpoint=runs/quickstart --input=clips --output=clips.npz

  List every field of a config, with its default, its values and what it means:
    python launch.py --help_config

  Several processes (one a host or a GPU): start the same command on each, with --distributed where
  the cluster can be detected (SLURM, TPU pods, MPI), or with --coordinator, --num_processes and
  --process_id.
"""

import pathlib
import sys
from collections.abc import Sequence

from absl import app, flags, logging
from ml_collections import ConfigDict, config_flags

from motionalign import host

FLAGS = flags.FLAGS
_CONFIG = config_flags.DEFINE_config_file(
    "config", None, "Config file of the run, like configs/quickstart.py", lock_config=True
)
_MODE = flags.DEFINE_enum("mode", "train", ["train", "eval", "encode"], "What to do.")
_WORKDIR = flags.DEFINE_string(
    "workdir", None, "Folder of the run: checkpoints, logs, results. eval: where results go."
)
_CHECKPOINT = flags.DEFINE_string(
    "checkpoint", None, "eval, encode: a workdir or checkpoint folder; default: --workdir."
)
_SPLIT = flags.DEFINE_string("split", None, "eval: split to score; default: config.data.test_split")
_INPUT = flags.DEFINE_string("input", None, "encode: folder of .npy clips [frames, joints, 3].")
_OUTPUT = flags.DEFINE_string("output", None, "encode: the .npz to write (ids, embeddings).")
_DATASET = flags.DEFINE_string(
    "dataset", None, "encode: whose skeleton and statistics to use, of a model trained on several."
)
_FPS = flags.DEFINE_float(
    "fps", None, "encode: frame rate of the clips; default: of the raw files trained on."
)
_CACHE = flags.DEFINE_string(
    "compilation_cache",
    str(pathlib.Path.home() / ".cache" / "motionalign" / "xla"),
    "Where compiled programs are kept between runs; empty = nowhere.",
)
_DISTRIBUTED = flags.DEFINE_bool("distributed", False, "Detect the cluster and join it.")
_COORDINATOR = flags.DEFINE_string("coordinator", None, "host:port of process 0, to join by hand.")
_NUM_PROCESSES = flags.DEFINE_integer("num_processes", None, "With --coordinator: of the run.")
_HELP_CONFIG = flags.DEFINE_bool("help_config", False, "List the fields of a config, and exit.")
_PROCESS_ID = flags.DEFINE_integer("process_id", None, "With --coordinator: 0 to num_processes-1.")


def _start_jax() -> None:
    import jax

    if _CACHE.value:
        jax.config.update("jax_compilation_cache_dir", _CACHE.value)
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)
        jax.config.update("jax_persistent_cache_min_entry_size_bytes", 0)
    by_hand = {
        "--coordinator": _COORDINATOR.value,
        "--num_processes": _NUM_PROCESSES.value,
        "--process_id": _PROCESS_ID.value,
    }
    missing = [name for name, value in by_hand.items() if value is None]
    if 0 < len(missing) < 3:
        raise app.UsageError(f"{', '.join(by_hand)} go together; missing: {', '.join(missing)}")
    if _DISTRIBUTED.value and not missing:
        raise app.UsageError("--distributed detects the cluster; leave out --coordinator, or it")
    if _COORDINATOR.value:
        jax.distributed.initialize(_COORDINATOR.value, _NUM_PROCESSES.value, _PROCESS_ID.value)
    elif _DISTRIBUTED.value:
        jax.distributed.initialize()


def _require(**given: object) -> None:
    missing = [f"--{name}" for name, value in given.items() if value is None]
    if missing:
        raise app.UsageError(f"--mode={_MODE.value} needs {' and '.join(missing)}")


def _config() -> ConfigDict:
    """The config; a ValueError where its file is not there, which it says only when it is used."""
    try:
        getattr(_CONFIG.value, "seed", None)
    except OSError as error:
        path = config_flags.get_config_filename(FLAGS["config"]).partition(":")[0]
        known = sorted((pathlib.Path(__file__).parent / "configs").glob("[!_]*.py"))
        names = ", ".join(f"configs/{file.name}" for file in known if file.stem != "common")
        raise ValueError(f"no config file {path}. Those of this project: {names}") from error
    return _CONFIG.value


def _evaluate(checkpoint: str) -> None:
    """Scores a checkpoint and prints its tables."""
    from motionalign.checkpoints.workdir import run_folder
    from motionalign.evaluate import evaluate_checkpoint

    output = _WORKDIR.value or run_folder(checkpoint)
    evaluate_checkpoint(_config(), checkpoint, output, _SPLIT.value, say=print)


def main(argv: Sequence[str]) -> None:
    """Does what the flags say; what a user can mend ends it with a line on stderr."""
    if len(argv) > 1:
        raise app.UsageError(f"unexpected arguments: {' '.join(argv[1:])}")
    if not FLAGS["verbosity"].present:
        logging.set_verbosity(logging.WARNING)
    try:
        _run()
    except (ValueError, FloatingPointError) as error:
        # What a user can mend says how to: a traceback would hide it.
        if logging.level_debug():
            raise
        print(f"\n{sys.argv[0]}: {error}\n(--verbosity=1 shows where)", file=sys.stderr)
        sys.exit(1)


def _run() -> None:
    if _HELP_CONFIG.value:
        from motionalign.tasks.schema import schema

        print(schema().describe())
        return
    checkpoint = _CHECKPOINT.value or _WORKDIR.value
    if _MODE.value == "train":
        _require(config=_config(), workdir=_WORKDIR.value)
        _start_jax()
        from motionalign import train

        outcome = train.train(_config(), _WORKDIR.value)
        if outcome == "stopped":
            print("Stopped by SIGTERM; everything is saved. The same command goes on from here.")
            return
        _evaluate(_WORKDIR.value)
    elif _MODE.value == "eval":
        _require(config=_config(), checkpoint=checkpoint)
        given = config_flags.get_override_values(FLAGS["config"])
        idle = [f"--config.{f}" for f in given if f.startswith(("model.", "optim.", "loss."))]
        if idle:
            print(f"without effect on a trained model: {', '.join(idle)}", file=sys.stderr)
        _start_jax()
        _evaluate(checkpoint)
    else:
        _require(checkpoint=checkpoint, input=_INPUT.value, output=_OUTPUT.value)
        _start_jax()
        from motionalign.inference.folder import encode_folder

        encoded = encode_folder(checkpoint, _INPUT.value, _OUTPUT.value, _FPS.value, _DATASET.value)
        print(encoded.summary())


def parse_flags(argv: list[str]) -> list[str]:
    """absl's parser, with answers to what goes wrong in a config: its argument, or a field."""
    host.keep_freed_memory()  # config files import JAX
    try:
        return FLAGS(argv)
    except flags.Error as error:
        message = str(error)
        if "Traceback" in message:  # around what a config file says of its argument
            message = message.partition("ValueError: ")[2].strip() or message
        sys.exit(f"{argv[0]}: {message}\n(--help says what there is)")
    except (AttributeError, KeyError):
        # ml_collections stops at the first unknown field, before its config can be asked for.
        own = [arg for arg in argv if not arg.startswith("--config.")]
        sys.argv = own
        app.parse_flags_with_usage(own)
        message = unknown_field(_CONFIG.value, argv)
        if message is None:
            raise
        sys.exit(f"{argv[0]}: {message}")


def unknown_field(config: ConfigDict, argv: list[str]) -> str | None:
    """What to say of the first `--config.FIELD=...` in `argv` that the config does not have."""
    for arg in argv:
        if not arg.startswith("--config."):
            continue
        section, path = config, []
        for name in arg.removeprefix("--config.").partition("=")[0].split("."):
            if not hasattr(section, "keys") or name not in section:
                where = ".".join(["config", *path])
                valid = ", ".join(section.keys()) if hasattr(section, "keys") else "no fields"
                return f"unknown field {'.'.join([where, name])}; {where} has {valid}"
            section = section[name]
            path.append(name)
    return None


if __name__ == "__main__":
    app.run(main, flags_parser=parse_flags)
