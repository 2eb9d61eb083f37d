"""Published PyTorch checkpoints in, ours out, and models to share.

  Make one of our checkpoints of a published one; `launch.py --mode=eval` and `motionalign.load`
  then take it as if it had been trained here:
    python -m motionalign.convert motionpatches best_model.pt runs/published \\
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
import dataclasses
import json
import os
import pathlib
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np

# ---------------------------------------------------------------------------------- command line


def _metadata(args):
    """The dataset that the model was trained on: a prepared one, or as the flags say."""
    from motionalign.data.dataset import Dataset, Metadata
    from motionalign.skeleton import SKELETONS, get_skeleton

    if args.dataset:
        given = [f"--{n}" for n in ("mean", "std", "skeleton", "fps") if getattr(args, n, None)]
        if given:
            raise ValueError(f"--dataset brings its own {', '.join(given)}: leave them out")
        return Dataset(args.data_dir, args.dataset).metadata
    if args.fps is not None and not args.fps > 0:
        raise ValueError(f"--fps={args.fps}; expected a positive number of frames per second")
    if args.command != "motionpatches":
        coco = args.command == "gaitformer"
        if coco and args.fps is None:
            raise ValueError(
                "--fps, the frame rate of its training data, is needed: the publications do not "
                "say it; or --dataset=NAME of a dataset prepared here"
            )
        fps = args.fps or 30.0
        skeleton = get_skeleton(args.skeleton or ("coco18" if coco else "smpl22"))
        zeros = np.zeros((skeleton.num_joints, 3))
        return Metadata(
            name=args.command,
            skeleton=skeleton,
            patch_size=16,
            fps=fps,
            unit_in_metres=None if skeleton.name == "coco18" else 1.0,
            mean=zeros,
            std=zeros + 1,
            source_fps=fps,
        )
    if not (args.mean and args.std):
        raise ValueError(
            "the statistics of the training data are needed: --mean=Mean_raw.npy --std=Std_raw.npy "
            "(the published code's scripts/cal_mean_var.py makes them), or --dataset=NAME of a "
            "dataset prepared here"
        )
    mean, std = (_statistic(getattr(args, name)) for name in ("mean", "std"))
    if mean.shape != std.shape:
        raise ValueError(f"{args.mean} is {mean.shape}, but {args.std} is {std.shape}")
    fitting = [s for s in SKELETONS.values() if s.num_joints == len(mean) and s.name != "coco18"]
    if args.skeleton:
        fitting = [get_skeleton(args.skeleton)]
    if not fitting or fitting[0].num_joints != len(mean):
        known = ", ".join(f"{s.name} has {s.num_joints}" for s in SKELETONS.values())
        raise ValueError(f"{args.mean} is of {len(mean)} joints; {known}")
    skeleton = fitting[0]
    kit = skeleton.name == "kit21"
    return Metadata(
        name="kit_ml" if kit else "humanml3d",
        skeleton=skeleton,
        patch_size=None,  # of the tensors
        fps=20.0,
        unit_in_metres=None if kit else 1.0,
        mean=mean,
        std=std,
        source_fps=args.fps or (12.5 if kit else 20.0),
    )


def _statistic(path: str) -> np.ndarray:
    try:
        value = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise ValueError(f"{path} cannot be read as an array: {error}") from error
    if value.ndim != 2 or value.shape[1] != 3 or not np.isfinite(value).all():
        raise ValueError(
            f"{path} is {value.dtype} {list(value.shape)}; expected [joints, 3] finite"
        )
    return value.astype(np.float64)


def _run_convert(args) -> None:
    from motionalign.checkpoints.published.convert import convert
    from motionalign.checkpoints.published.format import Options
    from motionalign.checkpoints.shared import open_saved
    from motionalign.models.weights.source import read_json

    names = {field.name for field in dataclasses.fields(Options)}
    given = {k: v for k, v in vars(args).items() if k in names and v is not None}
    if "text_config" in given:
        given["text_config"] = read_json(pathlib.Path(given["text_config"]))
    if "attributes" in given:
        names = json.loads(pathlib.Path(given["attributes"]).read_text())
        if not (isinstance(names, list) and all(isinstance(name, str) for name in names)):
            raise ValueError(f"--attributes={given['attributes']}: expected a JSON list of names")
        given["attributes"] = tuple(names)
    if given.get("root", 0) < 0:
        given["root"] = None
    convert(
        args.checkpoint,
        args.out,
        args.command,
        _metadata(args),
        Options(**given),
        getattr(args, "tokenizer", None),
        getattr(args, "text_weights", None),
    )

    run = open_saved(args.out).run
    _summary(args.out, run)


def _summary(out: str, run: Mapping[str, Any]) -> None:
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


def _run_export(args) -> None:
    from motionalign.checkpoints.published.convert import export

    name = export(args.checkpoint, args.out)
    print(f"{args.out}: model.safetensors and config.json, in the names of {name}")


def _run_share(args) -> None:
    from motionalign.checkpoints.workdir import results_beside
    from motionalign.inference.model import load

    model = load(args.checkpoint)
    results = results_beside(args.checkpoint, model.run["step"])
    folder = model.save_pretrained(args.out, results)
    print(f"{folder}: load it with motionalign.load({str(folder)!r})")


def _run_push(args) -> None:
    from motionalign.checkpoints.shared import push_to_hub

    print(push_to_hub(args.folder, args.repo, private=not args.public))


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is not at least 1")
    return value


def _parser() -> argparse.ArgumentParser:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        "python -m motionalign.convert", description=__doc__, formatter_class=raw
    )
    parser.add_argument("--traceback", action="store_true", help="show where an error comes from")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def command(name, help_line, run):
        sub = commands.add_parser(name, help=help_line, description=help_line)
        sub.set_defaults(run=run, command=name)
        sub.add_argument("checkpoint", help="the file or folder to read")
        sub.add_argument("out", help="the folder to write; it must not be there yet")
        return sub

    for name, title in (
        ("motionpatches", "Motion Patches (timm ViT, Hugging Face text encoder, two heads)"),
        ("walktext", "the motion encoder of Walk and Text and its projection head"),
        ("gaitformer", "GaitFormer"),
    ):
        sub = command(name, f"A published checkpoint in: {title}.", _run_convert)
        sub.add_argument("--dataset", help="a dataset prepared here, whose statistics to use")
        sub.add_argument("--data_dir", default="data", help="where it is (default: %(default)s)")
        sub.add_argument("--motion_heads", type=_positive, help="default: as many as are 64 wide")
        sub.add_argument("--activation", help="of the motion encoder (default: gelu)")
        sub.add_argument(
            "--motion_norm_eps", type=float, help="default: 1e-6 of timm, 1e-5 of PyTorch's layers"
        )
        if name == "motionpatches":
            sub.add_argument("--mean", help="Mean_raw.npy [joints, 3] of the published code")
            sub.add_argument("--std", help="Std_raw.npy")
            sub.add_argument("--skeleton", help="default: the one with as many joints")
            sub.add_argument("--fps", type=float, help="of raw clips; default: of the dataset")
            sub.add_argument("--text_heads", type=_positive, help="default: as many as are 64 wide")
            sub.add_argument("--text_activation", help="default: gelu")
            sub.add_argument("--text_norm_eps", type=float, help="default: of the published model")
            sub.add_argument("--text_config", help="config.json of the text encoder, for all this")
            sub.add_argument(
                "--tokenizer",
                help="folder or Hub id with tokenizer.json (default: that of the published text "
                "encoder of the family, such as distilbert/distilbert-base-uncased)",
            )
            sub.add_argument("--max_tokens", type=_positive, help="of a text (default: 128)")
            continue
        coco = name == "gaitformer"
        sub.add_argument("--skeleton", help=f"default: {'coco18' if coco else 'smpl22'}")
        rate = "needed: the publications do not say it" if coco else "default: 30"
        sub.add_argument("--fps", type=float, help=f"of the training data ({rate})")
        sub.add_argument(
            "--channels", type=_positive, help="of a joint (default: 3; 6D rotations: 6)"
        )
        sub.add_argument(
            "--root", type=int, help="joint whose first place is the origin; -1: none (default: 0)"
        )
        if coco:
            sub.add_argument("--attributes", help="JSON list of the attributes' names")
        else:
            sub.add_argument("--frames", type=_positive, help="of a clip (default: 60)")
            sub.add_argument(
                "--text_weights",
                help="folder or Hub id of the frozen text encoder, such as WhereIsAI/UAE-Large-V1; "
                "without it the model encodes motions only",
            )
    command("export", "A checkpoint out, under the published code's names.", _run_export)
    command("share", "A folder to share: weights, config, model card.", _run_share)
    sub = commands.add_parser("push", help="A folder to share, to the Hugging Face Hub.")
    sub.set_defaults(run=_run_push, command="push")
    sub.add_argument("folder", help="what `share` wrote")
    sub.add_argument("repo", help="owner/name on the Hub")
    sub.add_argument("--public", action="store_true", help="make a new repository there public")
    return parser


def main(argv: list[str] | None = None) -> None:
    os.environ.setdefault("JAX_PLATFORMS", "cpu")  # nothing here computes
    args = _parser().parse_args(argv)
    try:
        args.run(args)
    except (ValueError, OSError) as error:
        if args.traceback:
            raise
        sys.exit(f"convert: {error}")


if __name__ == "__main__":
    main()
