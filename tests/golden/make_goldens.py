"""Makes the goldens beside this file anew, with the published PyTorch code.

  python tests/golden/make_goldens.py --motionpatches=FOLDER --walktext=FOLDER --gaitformer=FOLDER

Each folder is a checkout of https://github.com/line/MotionPatches,
https://github.com/Radu1999/WalkAndText and https://github.com/cosmaadrian/gaitformer. Their classes
and functions are imported from there as they are and run on a CPU, on small models of random
weights and on random inputs; nothing is downloaded and nothing of theirs is copied. It takes what
README.md lists: torch, timm, transformers, einops, tqdm, OpenCV.

What stands in for absent parts:
  - `hydra` and `omegaconf`, where they are not installed: scripts/test.py and test_batch.py import
    them for their command line, which is not run here.
  - `torchvision`, where it is not installed, while timm is imported: its transforms of images and
    convolutional networks need it, a ViT does not.
  - the `__init__` files of GaitFormer's packages `models` and `datasets`, which import every
    network and data set of it, with pandas and more: they are passed over.
  - `timm.create_model` and `transformers.AutoModel.from_pretrained`, while Motion Patches' model is
    built: they make small random networks of the same classes instead of the published ones.
"""

import argparse
import contextlib
import functools
import importlib
import importlib.abc
import importlib.machinery
import importlib.metadata
import importlib.util
import io
import json
import logging
import os
import pathlib
import subprocess
import sys
import tempfile
import types
from unittest import mock

os.environ["CUDA_VISIBLE_DEVICES"] = ""  # the published scripts go to a GPU where there is one
os.environ["TQDM_DISABLE"] = "1"

import numpy as np
import torch
import transformers
from safetensors.torch import save_file

HERE = pathlib.Path(__file__).parent
SEEDS = {"patches": 7001, "retrieval": 7002, "positions": 7003, "clip": 7004, "walktext": 7005,
         "gaitformer": 7006}  # fmt: skip
PACKAGES = ("torch", "timm", "transformers", "opencv-python-headless", "numpy", "safetensors")


# Importing the published code --------------------------------------------------------------------


class Anything(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds torchvision and its modules, in which every name is a class of that name."""

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "torchvision":
            return importlib.machinery.ModuleSpec(name, self, is_package=True)
        return None

    def exec_module(self, module):
        module.__getattr__ = lambda name: getattr(AnyMember("Member", (), {}), name)


class AnyMember(type):
    """Of classes that have every attribute, each such a class."""

    def __getattr__(cls, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return AnyMember(name, (), {})


def import_timm() -> types.ModuleType:
    """timm, with torchvision or without."""
    if importlib.util.find_spec("torchvision") is not None:
        return importlib.import_module("timm")
    finder = Anything()
    sys.meta_path.insert(0, finder)
    try:
        return importlib.import_module("timm")
    finally:
        sys.meta_path.remove(finder)
        for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
            del sys.modules[name]


timm = import_timm()


@contextlib.contextmanager
def imports_from(folder: pathlib.Path, **modules: types.ModuleType):
    """Within, names are imported from a checkout first; after, its modules are forgotten.

    All three projects call their packages `models`, `datasets` or `src`. `modules` stand in for
    modules of those names.
    """
    names = {path.stem for path in folder.iterdir()} | set(modules)
    ours = {name: m for name, m in sys.modules.items() if name.partition(".")[0] in names}
    for name in ours:
        del sys.modules[name]
    path = list(sys.path)
    sys.path.insert(0, str(folder))
    sys.modules.update(modules)
    try:
        yield
    finally:
        sys.path[:] = path
        for name in [name for name in sys.modules if name.partition(".")[0] in names]:
            del sys.modules[name]
        sys.modules.update(ours)


def import_file(path: pathlib.Path) -> types.ModuleType:
    """A script as a module; what it does when run stays undone."""
    spec = importlib.util.spec_from_file_location(f"published_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def hydra_where_absent() -> dict[str, types.ModuleType]:
    """Stubs of hydra and omegaconf, if they are not installed."""
    stubs = {}
    if importlib.util.find_spec("hydra") is None:
        stubs["hydra"] = types.ModuleType("hydra")
        stubs["hydra"].main = lambda **options: lambda function: function
    if importlib.util.find_spec("omegaconf") is None:
        stubs["omegaconf"] = types.ModuleType("omegaconf")
        stubs["omegaconf"].DictConfig = stubs["omegaconf"].OmegaConf = object
    return stubs


def bare_package(folder: pathlib.Path) -> types.ModuleType:
    """A package of a folder without its `__init__`."""
    package = types.ModuleType(folder.name)
    package.__path__ = [str(folder)]
    return package


def commit(folder: pathlib.Path) -> str:
    """The commit of a checkout whose Python files are unchanged."""

    def git(*arguments):
        command = ["git", "-C", str(folder), *arguments]
        return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()

    changed = git("status", "--porcelain", "--", "*.py")
    if changed:
        raise ValueError(f"{folder} is not as published:\n{changed}")
    return git("rev-parse", "HEAD")


# Random networks and files -----------------------------------------------------------------------


@torch.no_grad()
def randomise(module: torch.nn.Module, seed: int) -> None:
    """Fills parameters so that each matters, biases and norms too, and activations stay near 1."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in module.parameters():
        if parameter.ndim == 0:  # the logit scale
            continue
        noise = torch.randn(parameter.shape, generator=generator)
        if parameter.ndim == 1:
            parameter.add_(0.2 * noise)
        else:
            inputs = parameter[0].numel() if len(parameter) > 1 else parameter.shape[-1]
            parameter.copy_(1.2 * noise / inputs**0.5)


def coarse(rng: np.random.Generator, *shape: int, spread: float = 1.0) -> np.ndarray:
    """Normal numbers in steps of 1/4, float32: exact in few bits, so that files stay small."""
    return (np.round(4 * spread * rng.standard_normal(shape)) / 4).astype(np.float32)


def save(name: str, module: torch.nn.Module | None = None, **arrays) -> None:
    """Writes `name`.npz, and a module's tensors in their dtypes as `name`.safetensors."""
    values = {key: value.numpy() if torch.is_tensor(value) else np.asarray(value)
              for key, value in arrays.items()}  # fmt: skip
    np.savez_compressed(HERE / f"{name}.npz", **values)
    if module is not None:
        tensors = {key: value.contiguous() for key, value in module.state_dict().items()}
        save_file(tensors, HERE / f"{name}.safetensors")
        (HERE / f"{name}.safetensors").chmod(0o644)


# Motion Patches ----------------------------------------------------------------------------------


def patch_dataset(folder, kind: str, clips: list[np.ndarray], mean, std):
    """The published data set of some clips [T, J, 3], as evaluation makes it."""
    with tempfile.TemporaryDirectory() as data, imports_from(folder):
        data = pathlib.Path(data)
        for i, clip in enumerate(clips):
            np.save(data / f"{i}.npy", clip)
            (data / f"{i}.txt").write_text(f"clip {i}#clip/NOUN {i}/NUM#0.0#0.0\n")
        (data / "split.txt").write_text("".join(f"{i}\n" for i in range(len(clips))))
        config = types.SimpleNamespace(
            dataset=types.SimpleNamespace(
                dataset_name=kind, motion_dir=data, text_dir=data, max_motion_length=224, times=1,
                fps=20,
            ),
            preprocess=types.SimpleNamespace(padding=True),
        )  # fmt: skip
        datasets = importlib.import_module("datasets")
        dataset = datasets.TextMotionPatchDataset(
            config, mean, std, data / "split.txt", eval_mode=True
        )
    assert len(dataset.data_dict) == len(clips)  # what fails to load is left out in silence
    return dataset


def random_clips(rng, joints: int, unit: float, lengths):
    """Clips [T, joints, 3] float32 that move by a few centimetres a frame, and their statistics."""
    pose = rng.normal(0, 0.5 * unit, (joints, 3))
    clips = [
        (pose + np.cumsum(rng.normal(0, 0.03 * unit, (frames, joints, 3)), axis=0)).astype("f")
        for frames in lengths
    ]
    mean = (pose + rng.normal(0, 0.1 * unit, (joints, 3))).astype("f")
    return clips, mean, rng.uniform(0.1 * unit, 0.5 * unit, (joints, 3)).astype("f")


def make_patches(folder: pathlib.Path):
    """motion_patches.npz; returns the data set of its SMPL clips."""
    rng = np.random.default_rng(SEEDS["patches"])
    arrays, made = {}, {}
    for name, kind, joints, unit in (("smpl22", "HumanML3D", 22, 1), ("kit21", "KIT-ML", 21, 1e3)):
        clips, mean, std = random_clips(rng, joints, unit, (40, 9))
        made[name] = patch_dataset(folder, kind, clips, mean, std)
        arrays |= {f"{name}_mean": mean, f"{name}_std": std}
        for i, clip in enumerate(clips):
            arrays[f"{name}_{i}_joints"] = clip
            patches = made[name].data_dict[str(i)]["pre_motion"]
            arrays[f"{name}_{i}_patches"] = patches.astype(np.float32)
            assert np.array_equal(patches, arrays[f"{name}_{i}_patches"])
    save("motion_patches", **arrays)
    return made["smpl22"]


class Given:
    """In the place of the model and its tokenizer: embeddings that are there already."""

    def __init__(self, texts):
        self.batches = iter(texts)

    def tokenizer(self, texts, **options):
        return next(self.batches)

    def eval(self):
        return self

    def encode_motion(self, motions):
        return motions

    encode_text = encode_motion


def printed(script: types.ModuleType, motion, text, captions) -> list[str]:
    """The lines that a script's `eval` logs for embeddings, read in batches of 24."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    script.log.addHandler(handler)
    script.log.setLevel(logging.INFO)
    script.log.propagate = False
    rows = torch.arange(len(captions)).split(24)
    given = Given(torch.from_numpy(text[part]) for part in rows)
    batches = [
        ([captions[i] for i in part], torch.from_numpy(motion[part]), None, part) for part in rows
    ]
    script.eval(None, batches, given, given.tokenizer)
    return stream.getvalue().splitlines()


def make_retrieval(folder: pathlib.Path) -> None:
    """retrieval.npz."""
    rng = np.random.default_rng(SEEDS["retrieval"])
    size, width = 110, 12
    motion = rng.standard_normal((size, width), np.float32)
    text = motion + 2 * rng.standard_normal((size, width), np.float32)
    captions = [f"a person does thing {i}" for i in rng.integers(0, 90, size)]  # some twice
    with imports_from(folder, **hydra_where_absent()):
        scripts = {
            "all": import_file(folder / "scripts" / "test.py"),
            "small_batches": import_file(folder / "scripts" / "test_batch.py"),
        }
        lines = {name: printed(script, motion, text, captions) for name, script in scripts.items()}
    save("retrieval", motion=motion, text=text, captions=captions, **lines)


def make_positions() -> None:
    """pos_embed_resize.npz."""
    resample = timm.layers.resample_abs_pos_embed
    generator = torch.Generator().manual_seed(SEEDS["positions"])
    source = torch.randn(1, 1 + 14 * 14, 16, generator=generator)
    resized = {f"resized_14x{columns}": resample(source, (14, columns)) for columns in (5, 10)}
    save("pos_embed_resize", pos_embed_14x14=source, **resized)


def small_clip_model(folder: pathlib.Path):
    """The published ClipModel of a small ViT and DistilBERT, with the text encoder's config."""
    config = transformers.DistilBertConfig(
        vocab_size=80, max_position_embeddings=40, dim=16, n_layers=2, n_heads=2, hidden_dim=40
    )
    vit = functools.partial(timm.create_model, embed_dim=16, depth=2, num_heads=4)
    torch.manual_seed(SEEDS["clip"])
    with (
        imports_from(folder),
        mock.patch.object(timm, "create_model", vit),
        mock.patch.object(
            transformers.AutoModel,
            "from_pretrained",
            lambda name: transformers.DistilBertModel(config),
        ),
    ):
        clip = importlib.import_module("models.clip")
        model = clip.ClipModel(
            motion_encoder_pretrained=False,
            motion_embedding_dims=16,
            text_embedding_dims=16,
            projection_dims=24,
        )
    randomise(model, SEEDS["clip"])
    return model.eval(), config


@torch.no_grad()
def make_clip(folder: pathlib.Path, dataset) -> None:
    """motionpatches_clip.*; `dataset` is that of motion_patches.npz, whose clips it encodes too."""
    model, config = small_clip_model(folder)
    rng = np.random.default_rng(SEEDS["clip"])
    tokens = coarse(rng, 4, 3, 1, 1) + coarse(rng, 4, 3, 14, 5)
    tokens = tokens.repeat(16, axis=2).repeat(16, axis=3)
    motion = torch.from_numpy(tokens + coarse(rng, 4, 3, 224, 80, spread=0.5))
    lengths = np.array([11, 4, 9, 7])
    mask = np.arange(11) < lengths[:, None]
    ids = np.where(mask, rng.integers(5, 80, mask.shape), 0)
    text = {"input_ids": torch.from_numpy(ids), "attention_mask": torch.from_numpy(mask).long()}
    embeds = dict(zip(("motion_embeds", "text_embeds"), model(motion, text), strict=True))
    order = [dataset.name_list.index(str(i)) for i in range(len(dataset))]
    clips = model.encode_motion(torch.stack([dataset[i][1] for i in order]))
    save(
        "motionpatches_clip",
        model,
        motion=motion.numpy().astype(np.float16),  # exact: coarse
        **text,
        motion_features=model.motion_encoder(motion),
        text_features=model.text_encoder(**text),
        motion_projected=model.encode_motion(motion),
        text_projected=model.encode_text(text),
        **embeds,
        loss=model(motion, text, return_loss=True),
        smpl22_projected=clips,
    )
    path = HERE / "motionpatches_clip_text_config.json"
    path.write_text(json.dumps(config.to_diff_dict(), indent=2, sort_keys=True) + "\n")


# Walk and Text, GaitFormer -----------------------------------------------------------------------


@torch.no_grad()
def make_walktext(folder: pathlib.Path) -> None:
    """walktext.*, under the names that the whole published model has."""
    torch.manual_seed(SEEDS["walktext"])
    with imports_from(folder):
        published = importlib.import_module("src.models.architectures.transformer")
        model = torch.nn.ModuleDict(
            {
                "encoder": published.Encoder_TRANSFORMER(
                    "xyz", latent_dim=12, ff_size=32, num_layers=2, num_heads=4
                ),
                "motion_projection": published.ProjectionHead(12, 20),
            }
        )
    randomise(model, SEEDS["walktext"])
    model.eval()
    x = torch.from_numpy(coarse(np.random.default_rng(SEEDS["walktext"]), 3, 18, 3, 60))
    mu = model["encoder"]({"x": x, "y": None, "mask": None})["mu"]
    save("walktext", model, x=x, mu=mu, projected=model["motion_projection"](mu))


@torch.no_grad()
def make_gaitformer(folder: pathlib.Path) -> None:
    """gaitformer.*."""
    categories = "gender body viewpoint age-group accessory footware clothing apparent-action"
    sizes = {"embedding_size": 16, "n_heads": 4, "n_layers": 2, "projection_size": 10}
    args = types.SimpleNamespace(
        period_length=30,
        appearance_categories=categories.split(),  # all, as configs/base_config.yaml has them
        model_args={**sizes, "dropout_prob": 0.1},
    )
    packages = {name: bare_package(folder / name) for name in ("models", "datasets")}
    torch.manual_seed(SEEDS["gaitformer"])
    with imports_from(folder, **packages), contextlib.redirect_stdout(io.StringIO()):
        model = importlib.import_module("models.gaitformer").GaitFormer(args)
    randomise(model, SEEDS["gaitformer"])
    image = torch.from_numpy(coarse(np.random.default_rng(SEEDS["gaitformer"]), 3, 3, 30, 18, 1))
    save("gaitformer", model, image=image, **model.eval()(image))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    for name in ("motionpatches", "walktext", "gaitformer"):
        parser.add_argument(f"--{name}", type=pathlib.Path, required=True, metavar="FOLDER")
    args = parser.parse_args()
    folders = {name: folder.resolve() for name, folder in vars(args).items()}
    commits = {name: commit(folder) for name, folder in folders.items()}
    dataset = make_patches(folders["motionpatches"])
    make_retrieval(folders["motionpatches"])
    make_positions()
    make_clip(folders["motionpatches"], dataset)
    make_walktext(folders["walktext"])
    make_gaitformer(folders["gaitformer"])
    print("Made with, for README.md:")
    for name, value in commits.items():
        print(f"  {name} at {value}")
    print("  " + ", ".join(f"{name} {importlib.metadata.version(name)}" for name in PACKAGES))


if __name__ == "__main__":
    main()
