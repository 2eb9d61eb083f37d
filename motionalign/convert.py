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
import hashlib
import json
import math
import os
import pathlib
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np

TOKENIZERS = {  # of the text encoders that the published code names
    "distilbert": "distilbert/distilbert-base-uncased",
    "bert": "google-bert/bert-base-uncased",
    "mpnet": "sentence-transformers/all-mpnet-base-v2",
}


# ------------------------------------------------------------------------------------ reading


def read_state_dict(path: str | pathlib.Path) -> dict[str, np.ndarray]:
    """The tensors {key: array} of a .safetensors file or one that PyTorch saved, in their dtypes.

    Dictionaries within dictionaries become keys joined by dots.

    Raises:
      ValueError: the file is damaged, or holds anything but tensors and plain containers.
    """
    path = pathlib.Path(path)
    if not path.is_file():
        raise ValueError(f"{path} is no file")
    if path.suffix == ".safetensors":
        from motionalign.models import pretrained

        tensors = pretrained.open_tensors(path)
        return {key: tensor.read() for key, tensor in tensors.items()}
    try:
        import torch
    except ImportError:
        raise ValueError(
            f"reading {path} takes torch, which is not installed: pip install torch (the CPU build "
            "will do), or save the tensors as .safetensors where you have it"
        ) from None
    import pickle

    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        reason = next((line for line in str(error).split("\n") if "GLOBAL" in line), str(error))
        raise ValueError(
            f"{path} holds more than tensors and plain containers, and is refused: a pickle can "
            f"run any code. ({reason.strip()[:200]}) Save its state_dict() alone"
        ) from None
    except Exception as error:  # of any type, where the bytes are no pickle of PyTorch's
        raise ValueError(f"{path} is not a whole file of PyTorch: {error}") from error
    out: dict[str, np.ndarray] = {}
    _flatten(content, "", out, path, torch)
    if not out:
        raise ValueError(f"{path} holds no tensor")
    return out


def _flatten(value, key: str, out: dict, path: pathlib.Path, torch) -> None:
    if isinstance(value, torch.Tensor):
        if key in out:
            raise ValueError(f"{path}: two tensors are named {key}")
        if value.layout != torch.strided or value.is_quantized:
            raise ValueError(f"{path}: {key} is a sparse or quantised tensor, which is not read")
        value = value.detach().contiguous()
        if value.dtype == torch.bfloat16:
            import ml_dtypes

            out[key] = value.view(torch.int16).numpy().view(ml_dtypes.bfloat16)
            return
        try:
            out[key] = value.numpy()
        except TypeError as error:
            raise ValueError(f"{path}: {key} is of {value.dtype}, which is not read") from error
        return
    items: Any = None
    if isinstance(value, Mapping):
        items = value.items()
    elif isinstance(value, list | tuple):
        items = enumerate(value)
    if items is None:
        raise ValueError(
            f"{path}: {key or 'the content'} is a {type(value).__name__}; only tensors and plain "
            "containers of them are read. Save the model's state_dict() alone"
        )
    for name, item in items:
        _flatten(item, f"{key}.{name}" if key else str(name), out, path, torch)


# ---------------------------------------------------------------------------------- converting


def convert(
    path: str | pathlib.Path,
    workdir: str | pathlib.Path,
    published: str,
    metadata,
    options=None,
    tokenizer: str | None = None,
    text_weights: str | None = None,
) -> None:
    """Writes a published checkpoint as one of ours.

    Args:
      path: a state dict, of PyTorch or .safetensors.
      workdir: gets best/0 and config.json, as a run's folder; it must not be there yet.
      published: key of `published.FORMATS`.
      metadata: `records.Metadata` of the dataset that the model was trained on.
      options: `published.Options`: what tensors do not say.
      tokenizer: folder or Hub id with the text encoder's tokenizer.json.
      text_weights: for walktext: folder or Hub id of the frozen text encoder, first token read out.

    Raises:
      ValueError: with everything that does not fit.
    """
    from motionalign import published as formats
    from motionalign.checkpoint import Checkpoints
    from motionalign.model import Network
    from motionalign.models import pretrained
    from motionalign.saved import new_folder
    from motionalign.text import Tokenizer

    if pathlib.Path(workdir).exists():  # before minutes of reading
        raise ValueError(f"{workdir} is already there; choose another folder, or remove it")
    tensors = read_state_dict(path)
    if published == "walktext":  # {encoder, head} in some files, the model's own names in others
        renamed = {_walktext_name(key): value for key, value in tensors.items()}
        if len(renamed) < len(tensors):
            raise ValueError(f"{path} has a head both as head. and as motion_projection.")
        tensors = renamed
    form = formats.FORMATS[published]
    options = options or formats.Options()
    shapes = {key: value.shape for key, value in tensors.items()}
    try:
        architecture = form.architecture(shapes, options)
        frozen = None
        if text_weights:
            frozen = pretrained.Source(text_weights)
            architecture = _with_frozen_text(architecture, frozen, options)
        network = Network(architecture)
        abstract = network.abstract_params
        key_map = form.key_map(architecture)
        plan = pretrained.match(shapes, {p: x.shape for p, x in abstract.items()}, key_map)
    except (ValueError, KeyError) as error:
        missing = f"no tensor {error}" if isinstance(error, KeyError) else error
        raise ValueError(f"{path} does not fit {published}: {missing}") from error
    params = {
        p: transform.of(tensors[key], abstract[p].shape).astype(np.float32)
        for p, (key, transform) in plan.items()
    }
    if "logit_scale" in params:
        temperature = float(np.exp(-np.float64(tensors["logit_scale"])))
        architecture = dataclasses.replace(architecture, temperature=temperature)
    else:
        params["logit_scale"] = np.float32(-math.log(architecture.temperature))
    if frozen is not None:
        params |= _frozen_text(network, frozen)

    used = {key for key, _ in plan.values()}
    unused = {
        key: value
        for key, value in tensors.items()
        # what has more bits than a parameter is kept as well
        if key not in used or not _same_bits(value.astype(np.float32).astype(value.dtype), value)
    }
    tokenizer_json = None
    if architecture.text is not None:
        name = tokenizer or text_weights or TOKENIZERS[architecture.text_family]
        used_tokenizer = Tokenizer.from_source(name, architecture.max_tokens)
        tokenizer_json, size = used_tokenizer.json, used_tokenizer.vocab_size
        if size > architecture.text.vocab_size:
            raise ValueError(
                f"the tokenizer {name} has {size} tokens, the text encoder "
                f"{architecture.text.vocab_size}: name the right one with --tokenizer"
            )
    metadata = _checked_metadata(metadata, architecture)
    run = {
        "architecture": architecture.to_dict(),
        "config": {
            "dtype": "float32",
            "data": {"eval_batch_size": 64, "frame_bucket": 32, "text_bucket": 16},
        },
        "tokenizer": tokenizer_json,
        "datasets": {metadata.name: metadata.to_json()},
        "step": 0,
        "score": None,
        "source": {
            "format": published,
            "file": pathlib.Path(path).name,
            "sha256": _sha256(path),
            "tensors": [[key, str(value.dtype)] for key, value in tensors.items()],
        },
    }
    with new_folder(workdir) as partial:
        checkpoints = Checkpoints(partial)
        checkpoints.save_best(0, params, run, unused)
        checkpoints.close()
        (partial / "checkpoints").rmdir()
        (partial / "config.json").write_text(json.dumps(run["config"] | {"source": run["source"]}))


def _sha256(path: str | pathlib.Path) -> str:
    with pathlib.Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _same_bits(a: np.ndarray, b: np.ndarray) -> bool:
    return a.tobytes() == b.tobytes()


def _walktext_name(key: str) -> str:
    return f"motion_projection.{key.removeprefix('head.')}" if key.startswith("head.") else key


def _with_frozen_text(architecture, source, options):
    from motionalign.models.dual_encoder import text_tower
    from motionalign.published import max_tokens

    _, text = text_tower(source, readout="first")
    return dataclasses.replace(architecture, text=text, max_tokens=max_tokens(text, options))


def _frozen_text(network, source) -> dict[str, np.ndarray]:
    from motionalign.models import pretrained
    from motionalign.models.dual_encoder import TEXT_FAMILIES

    tower = {p: x for p, x in network.abstract_params.items() if p.startswith("text_encoder/")}
    rules = TEXT_FAMILIES[network.config.text_family].key_map()
    loaded = pretrained.load(tower, source, rules, under="text_encoder")
    return {path: np.asarray(value) for path, value in loaded.items()}


def _checked_metadata(metadata, architecture):
    """The metadata with the model's patch size; a ValueError where they do not fit each other."""
    motion = architecture.motion
    if architecture.motion_inputs == "joints":
        rotations = motion.channels == 6  # of which a skeleton may have any number
        if not rotations and metadata.skeleton.num_joints != motion.joints:
            raise ValueError(
                f"the encoder takes {motion.joints} joints; skeleton {metadata.skeleton.name!r} "
                f"has {metadata.skeleton.num_joints}: name the right one with --skeleton"
            )
    elif metadata.patch_size is None:
        return dataclasses.replace(metadata, patch_size=motion.patch_size)
    elif metadata.patch_size != motion.patch_size:
        raise ValueError(
            f"the ViT has patches of {motion.patch_size}; dataset {metadata.name!r} was prepared "
            f"with --patch_size={metadata.patch_size}"
        )
    return metadata


# ----------------------------------------------------------------------------------- exporting


def export(path: str | pathlib.Path, folder: str | pathlib.Path) -> str:
    """Writes a checkpoint under the published code's names: model.safetensors and config.json.

    A converted checkpoint gives back the tensors of the published file, bit for bit: in their order
    and dtypes, with those that nothing uses.

    Args:
      path: as for `motionalign.load`.
      folder: must not be there yet.

    Returns:
      Which published model it is.
    """
    import safetensors.numpy

    from motionalign import published as formats
    from motionalign.model import network_of
    from motionalign.models import pretrained
    from motionalign.saved import new_folder, open_saved

    saved = open_saved(path)
    network = network_of(saved.run)
    config = network.config
    source = saved.run.get("source")
    name = source["format"] if source else formats.format_of(config)
    form = formats.FORMATS[name]
    params = saved.load_params(network.abstract_params)
    params = {path: np.asarray(value) for path, value in params.items()}
    key_map = form.key_map(config)
    if source is None:
        tensors = pretrained.export(params, key_map) | form.unused(config)
    else:
        dtypes, unused = dict(source["tensors"]), saved.load_unused()
        made = pretrained.export(params, key_map, dtypes)
        tensors = {key: _original(made.get(key), unused.get(key), dtypes[key]) for key in dtypes}
    description = form.describe(config) | {"format": name}
    with new_folder(folder) as partial:
        data = safetensors.numpy.save(tensors, {"format": "pt"})
        (partial / "model.safetensors").write_bytes(data)
        (partial / "config.json").write_text(json.dumps(description, indent=2) + "\n")
    return name


def _original(made: np.ndarray | None, kept: np.ndarray | None, dtype: str) -> np.ndarray:
    """A tensor of the published file: from the parameters, unless more bits of it were kept."""
    import ml_dtypes

    if made is None:
        return kept
    if kept is not None and _same_bits(kept.astype(made.dtype), made):
        return kept
    return made.astype(ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype)


# ---------------------------------------------------------------------------------- command line


def _metadata(args):
    """The dataset that the model was trained on: a prepared one, or as the flags say."""
    from motionalign.records import Dataset, Metadata
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
    from motionalign.models.pretrained import read_json
    from motionalign.published import Options

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
    from motionalign.saved import open_saved

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
    name = export(args.checkpoint, args.out)
    print(f"{args.out}: model.safetensors and config.json, in the names of {name}")


def _run_share(args) -> None:
    from motionalign.model import load
    from motionalign.saved import results_beside

    model = load(args.checkpoint)
    results = results_beside(args.checkpoint, model.run["step"])
    folder = model.save_pretrained(args.out, results)
    print(f"{folder}: load it with motionalign.load({str(folder)!r})")


def _run_push(args) -> None:
    from motionalign.saved import push_to_hub

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
