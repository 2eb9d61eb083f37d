r"""Published PyTorch checkpoints in, ours out, and models to share.

  Make one of our checkpoints of a published one; `motionalign eval` and `motionalign.load`
  then take it as if it had been trained here:
    python -m motionalign.convert motionpatches best_model.pt runs/published \
      --mean=HumanML3D/Mean_raw.npy --std=HumanML3D/Std_raw.npy
    python -m motionalign.convert walktext checkpoint.pt runs/walktext --skeleton=smpl22
    python -m motionalign.convert gaitformer gaitformer.pt runs/gaitformer --fps=24

  Write a checkpoint as safetensors and JSON under the published code's names:
    python -m motionalign.convert export runs/humanml3d exported

  Write a folder to share, and push it to the Hub:
    python -m motionalign.convert share runs/humanml3d shared
    python -m motionalign.convert push shared me/motion-patches

Files of PyTorch are read with `weights_only=True`: what they hold besides tensors is refused, and
no code in them is run. That needs torch (`pip install torch`); .safetensors files do not.
"""

import argparse
import os
import sys
from collections.abc import Callable, Mapping
from typing import Any

from motionalign.commands import Parser, ending_cleanly, expand_arguments

# Everything that imports JAX is imported where it is needed: after `main` has said which platform.


def _metadata(args: argparse.Namespace) -> Any:
    """The metadata of the training data: of a dataset prepared here, or as the options say."""
    from motionalign.data.dataset import Dataset

    if not args.dataset:
        return args.form.metadata(args)
    given = [f"--{name}" for name in args.form.dataset_options if getattr(args, name)]
    if given:
        raise ValueError(f"--dataset brings its own {', '.join(given)}: leave them out")
    return Dataset(args.data_dir, args.dataset).metadata


def _run_convert(args: argparse.Namespace) -> None:
    from motionalign.checkpoints.published.convert import convert
    from motionalign.checkpoints.shared import open_saved

    options = args.form.options.from_args(args)
    # Not every published model has these two.
    tokenizer, text_weights = (getattr(args, name, None) for name in ("tokenizer", "text_weights"))
    metadata = _metadata(args)
    convert(args.checkpoint, args.out, args.form.name, metadata, options, tokenizer, text_weights)
    _print_summary(args.out, open_saved(args.out).run)


def _print_summary(out: str, run: Mapping[str, Any]) -> None:
    architecture = run["architecture"]
    for what in ("motion", "text"):
        tower = architecture[what]
        if tower is None:
            print(f"{what:<7}none")
            continue
        print(
            f"{what:<7}{tower['family']}, {tower['depth']} layers of {tower['width']}, "
            f"{tower['heads']} heads, {tower['activation']}, epsilon {tower['norm_eps']:g}"
        )
    print(f"embedding of {architecture['embed_dim']}")
    print(f"{len(run['source']['tensors'])} tensors → {out}")


def _run_export(args: argparse.Namespace) -> None:
    from motionalign.checkpoints.published.convert import export

    name = export(args.checkpoint, args.out)
    print(f"{args.out}: model.safetensors and config.json, in the names of {name}")


def _run_share(args: argparse.Namespace) -> None:
    from motionalign.checkpoints.workdir import results_beside
    from motionalign.inference.model import load

    model = load(args.checkpoint)
    results = results_beside(args.checkpoint, model.run["step"])
    folder = model.save_pretrained(args.out, results)
    print(f"{folder}: load it with motionalign.load({str(folder)!r})")


def _run_push(args: argparse.Namespace) -> None:
    from motionalign.checkpoints.shared import push_to_hub

    print(push_to_hub(args.folder, args.repo, private=not args.public))


def _parser() -> argparse.ArgumentParser:
    from motionalign.checkpoints.published.registry import FORMATS

    raw = argparse.RawDescriptionHelpFormatter
    parser = Parser("python -m motionalign.convert", description=__doc__, formatter_class=raw)
    parser.add_argument("--traceback", action="store_true", help="show where an error comes from")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def command(
        name: str, help_line: str, run: Callable[[argparse.Namespace], None]
    ) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=help_line, description=help_line)
        sub.set_defaults(run=run)
        sub.add_argument("checkpoint", help="the file or folder to read")
        sub.add_argument("out", help="the folder to write; it must not be there yet")
        return sub

    for name, form in FORMATS.items():
        sub = command(name, f"A published checkpoint in: {form.title}.", _run_convert)
        sub.set_defaults(form=form)
        sub.add_argument("--dataset", help="a dataset prepared here, whose statistics to use")
        sub.add_argument("--data_dir", default="data", help="where it is (default: %(default)s)")
        form.add_options(sub)
    command("export", "A checkpoint out, under the published code's names.", _run_export)
    command("share", "A folder to share: weights, config, model card.", _run_share)
    sub = commands.add_parser("push", help="A folder to share, to the Hugging Face Hub.")
    sub.set_defaults(run=_run_push)
    sub.add_argument("folder", help="what `share` wrote")
    sub.add_argument("repo", help="owner/name on the Hub")
    sub.add_argument("--public", action="store_true", help="make a new repository there public")
    return parser


def main(argv: list[str] | None = None) -> None:
    """Runs the command; what a user can mend ends it with one line on stderr.

    Args:
      argv: of the command line; None: of the process.

    Raises:
      SystemExit: a command line that is not understood (status 2), or an error (status 1).
    """
    os.environ.setdefault("JAX_PLATFORMS", "cpu")  # nothing here computes
    arguments = expand_arguments(sys.argv[1:] if argv is None else argv)
    args = _parser().parse_args(arguments or ["--help"])
    with ending_cleanly():
        try:
            args.run(args)
        except (ValueError, OSError) as error:
            if args.traceback:
                raise
            sys.exit(f"convert: {error}")


if __name__ == "__main__":
    main()
