r"""Converts published PyTorch checkpoints, exports models, and prepares them for sharing.

  Convert a published checkpoint. `motionalign eval` and `motionalign.load` read the result like
  any other checkpoint:
    python -m motionalign.convert motionpatches best_model.pt runs/published \
      --mean=HumanML3D/Mean_raw.npy --std=HumanML3D/Std_raw.npy
    python -m motionalign.convert walktext checkpoint.pt runs/walktext --fps=24 \
      --text_weights=WhereIsAI/UAE-Large-V1
    python -m motionalign.convert gaitformer gaitformer.pt runs/gaitformer --fps=24

  What the tensors do not state (attention heads, origin, distance, frame rate) is as published,
  where the tensors have a published model's sizes, and else has to be given; --help of each
  command lists it.

  Export a checkpoint as safetensors and JSON, with the names of the published code:
    python -m motionalign.convert export runs/humanml3d exported

  Write a language model's adapters alone, as Hugging Face's PEFT reads them, or merged into it:
    python -m motionalign.convert adapters runs/nw_ucla_llmar adapters
    python -m motionalign.convert adapters runs/nw_ucla_llmar merged --merged

  Write a folder to share and push it to the Hub:
    python -m motionalign.convert share runs/humanml3d shared
    python -m motionalign.convert push shared me/motion-patches

PyTorch files are read with `weights_only=True`: content other than tensors and plain containers is
rejected, and no code in them is run. This needs torch (`pip install torch`); .safetensors files do
not.
"""

import argparse
import os
import sys
from collections.abc import Callable, Mapping
from typing import Any

from motionalign.commands import Parser, exit_on_signals, expand_arguments, run, use_utf8
from motionalign.files import expand

# Modules that import JAX are imported inside functions, after `main` has selected the platform.


def _metadata(args: argparse.Namespace) -> Any:
    """The metadata of the training data: of a prepared dataset, or from the options."""
    from motionalign.data.dataset import Dataset

    if not args.dataset:
        return args.form.metadata(args)
    given = [f"--{name}" for name in args.form.dataset_options if getattr(args, name)]
    if given:
        raise ValueError(f"--dataset already provides {', '.join(given)}: leave them out")
    return Dataset(args.data_dir, args.dataset).metadata


def _run_convert(args: argparse.Namespace) -> None:
    from motionalign.checkpoints.published.convert import convert
    from motionalign.checkpoints.shared import open_saved

    path = expand(args.checkpoint)
    if not path.is_file():  # told first: the options are about its content
        what = "is a folder" if path.is_dir() else "does not exist"
        raise ValueError(f"{path} {what}; give the file of a published checkpoint")
    options = args.form.options.from_args(args)
    # Not every published model has these two options.
    tokenizer, text_weights = (getattr(args, name, None) for name in ("tokenizer", "text_weights"))
    metadata = _metadata(args)
    convert(args.checkpoint, args.out, args.form.name, metadata, options, tokenizer, text_weights)
    _print_summary(args.out, open_saved(args.out).run)
    if not args.dataset and getattr(args, "fps", 0) is None:
        print("--fps was not given: convert again with it if the training data had another rate")


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
    print(f"embedding width {architecture['embed_dim']}, {run['distance']} distance")
    for name, data in run["datasets"].items():
        print(f"data of {name}: skeleton {data['skeleton']['name']}, {data['fps']:g} per second")
    print(f"{len(run['source']['tensors'])} tensors → {out}")


def _run_export(args: argparse.Namespace) -> None:
    from motionalign.checkpoints.published.convert import export

    name = export(args.checkpoint, args.out)
    print(f"{args.out}: model.safetensors and config.json, in the format of {name}")


def _run_adapters(args: argparse.Namespace) -> None:
    from motionalign.inference.language_export import save_adapters, save_merged
    from motionalign.inference.model import load

    model = load(args.checkpoint, language_model=args.language_model)
    if args.merged:
        folder = save_merged(model, args.out)
        print(f"{folder}: config.json, model.safetensors and tokenizer.json, as transformers reads")
    else:
        folder = save_adapters(model, args.out)
        print(f"{folder}: adapter_config.json and adapter_model.safetensors, as PEFT reads them")
    print("Motion words are not part of it: `motionalign.convert share` writes the whole model")


def _run_share(args: argparse.Namespace) -> None:
    from motionalign.checkpoints.workdir import results_beside
    from motionalign.inference.model import load

    model = load(args.checkpoint)
    results = results_beside(args.checkpoint, model.run["step"])
    folder = model.save_pretrained(args.out, results, args.encoder_id)
    print(f"{folder}: load it with motionalign.load({str(folder)!r})")
    if model.run["kind"] == "language_model":
        for tower in model.encoder.network.frozen:
            print(
                f"its language model {tower.source} is not part of the folder; whoever loads it "
                "needs that, as the model card says. Its id on the Hub can be given by --encoder_id"
            )
    trained = model.run["text_encoder"]
    if trained and not (trained["hub_id"] or args.encoder_id):
        print(
            f"its frozen text encoder {trained['encoder']} is not part of the folder, and its Hub "
            "id is not recorded. If it is on the Hub, share again with --encoder_id=OWNER/NAME; "
            "otherwise users give its folder to motionalign.load, as the model card says"
        )


def _run_push(args: argparse.Namespace) -> None:
    from motionalign.checkpoints.shared import push_to_hub

    print(push_to_hub(args.folder, args.repo, private=not args.public))


def _parser() -> argparse.ArgumentParser:
    from motionalign.checkpoints.published.registry import FORMATS

    raw = argparse.RawDescriptionHelpFormatter
    parser = Parser("python -m motionalign.convert", description=__doc__, formatter_class=raw)
    traceback: dict[str, Any] = {"action": "store_true", "help": "show the traceback of an error"}
    parser.add_argument("--traceback", **traceback)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def command(
        name: str, help_line: str, run: Callable[[argparse.Namespace], None]
    ) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=help_line, description=help_line)
        sub.set_defaults(run=run)
        # The flag is valid before and after the command. With a default, the subparser would
        # overwrite the value given before the command.
        sub.add_argument("--traceback", **traceback, default=argparse.SUPPRESS)
        return sub

    def reading(
        name: str, help_line: str, run: Callable[[argparse.Namespace], None]
    ) -> argparse.ArgumentParser:
        sub = command(name, help_line, run)
        sub.add_argument("checkpoint", help="the file or folder to read")
        sub.add_argument("out", help="the folder to write; it must not exist")
        return sub

    for name, form in FORMATS.items():
        sub = reading(name, f"Convert a published checkpoint: {form.title}.", _run_convert)
        sub.set_defaults(form=form)
        sub.add_argument("--dataset", help="a prepared dataset whose statistics are used")
        sub.add_argument(
            "--data_dir", default="data", help="folder of the dataset (default: %(default)s)"
        )
        form.add_options(sub)
    reading("export", "Export a checkpoint with the names of the published code.", _run_export)
    sub = reading("adapters", "Write the adapters of a language model alone.", _run_adapters)
    sub.add_argument("--merged", action="store_true", help="write the language model with them")
    sub.add_argument(
        "--language_model",
        metavar="SOURCE",
        help="where the language model is now, if not where it was in training",
    )
    sub = reading("share", "Write a folder to share: weights, config, model card.", _run_share)
    sub.add_argument(
        "--encoder_id",
        metavar="OWNER/NAME",
        help="Hub id of the model's frozen text encoder, if `data_prep embed` was given a folder, "
        "or of its language model; whoever loads the model finds it there, and its files are "
        "verified",
    )
    sub = command("push", "Push a folder to share to the Hugging Face Hub.", _run_push)
    sub.add_argument("folder", help="a folder that `share` wrote")
    sub.add_argument("repo", help="owner/name on the Hub")
    sub.add_argument("--public", action="store_true", help="make a new repository public")
    return parser


def main(argv: list[str] | None = None) -> None:
    """Runs the command; a user's mistake ends it with one line on stderr.

    Args:
      argv: command-line arguments; None: those of the process.

    Raises:
      SystemExit: the command line is invalid (status 2), or an error occurs (status 1).
    """
    if argv is None:
        exit_on_signals()  # the imports of `_parser` take seconds
    os.environ.setdefault("JAX_PLATFORMS", "cpu")  # conversion needs no accelerator
    arguments = expand_arguments(sys.argv[1:] if argv is None else argv)
    args = _parser().parse_args(arguments or ["--help"])
    run(args, "convert")


if __name__ == "__main__":
    use_utf8()
    main()
