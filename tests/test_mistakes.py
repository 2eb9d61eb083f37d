"""Typical mistakes of users: what each command answers, in a line or a few.

An answer names the thing that is wrong, what was found, what is valid, and what to do.
"""

import contextlib
import io
import shlex
from unittest import mock

import numpy as np
import pytest
from runs import Done, command

from data_prep.__main__ import main as data_prep
from motionalign import cli, convert

QUICK = "launch.py --config=configs/quickstart.py"

# What their answers say; in a folder with a prepared dataset "small" in data/, a run of it in
# runs/short, clips/a.npy and an empty folder empty/.
MISTAKES = {
    # Flags
    "launch.py": ["--mode=train needs --config=configs/quickstart.py, for example"],
    f"{QUICK} runs/x": ["unexpected argument 'runs/x'", "options have the form --NAME=VALUE"],
    f"{QUICK} --wrokdir=x": ["'wrokdir'", "Did you mean: workdir"],
    "launch.py --mode=sing": ["--mode=sing", "one of <train|eval|encode|tokenize|compile_ahead>"],
    "launch.py --mode=eval": ["--mode=eval needs --checkpoint=runs/quickstart, for example"],
    "launch.py --mode=encode --checkpoint=runs/short": [
        "--mode=encode needs --input=clips and --output=clips.npz, for example"
    ],
    f"{QUICK} --checkpoint=runs/short": [
        "--checkpoint has no effect with --mode=train, only with --mode=eval and --mode=encode",
        "to fine-tune a model: --config=configs/finetune.py:CHECKPOINT",
    ],
    f"{QUICK} --split=val": ["--split has no effect with --mode=train, only with --mode=eval"],
    "launch.py --mode=eval --checkpoint=runs/short --output=x.npz": [
        "--output has no effect with --mode=eval, only with --mode=encode"
    ],
    f"{QUICK} --mode=encode --checkpoint=runs/short": [
        "--config has no effect with --mode=encode: the checkpoint has its own"
    ],
    f"{QUICK} --num_processes=2": [
        "--coordinator, --num_processes, --process_id must be given together",
        "missing: --coordinator, --process_id",
    ],
    f"{QUICK} --process_id=2 --num_processes=2 --coordinator=localhost:1": [
        "--process_id=2: expected 0 to 1, below --num_processes=2"
    ],
    f"{QUICK} --process_id=0 --num_processes=2 --coordinator=localhost": [
        "--coordinator=localhost: expected HOST:PORT of process 0"
    ],
    f"{QUICK} --distributed": [
        "--distributed: no cluster (SLURM, TPU pod, MPI) is detected (",
        "--coordinator=HOST:PORT --num_processes=N --process_id=I",
        "a single process needs none of these flags",
    ],
    f"{QUICK} --distributed=maybe": ["flag --distributed=maybe: expected True or False\n"],
    "launch.py eval --checkpoint=runs/short": [
        "unexpected argument 'eval': options have the form --NAME=VALUE. Did you mean --mode=eval?"
    ],
    "motionalign train evla": ["unexpected argument 'evla'", "Did you mean --mode=eval?"],
    "motionalign trian": [
        "unknown command 'trian'; valid: data_prep, train, eval, encode, tokenize, convert, "
        "compile_ahead.",
        "Did you mean train?",
    ],
    # Config files and their arguments
    "launch.py --config=configs/quikstart.py": [
        "--config=configs/quikstart.py: no such file. Give your own file or one of: ",
        "configs/quickstart.py",
    ],
    "launch.py --config=configs/humanml3d_vit.py:XL": [
        "unknown config argument 'XL'; valid: size: B, Ti, S, L; recipe: code, paper"
    ],
    "launch.py --config=configs/mocap_actions.py:mse,words,triplet": [
        "config argument has two values for loss: 'mse' and 'triplet'"
    ],
    "launch.py --config=configs/finetune.py": ["--config=configs/finetune.py:FOLDER"],
    "launch.py --config=configs/finetune.py:runs/none": ["no checkpoint at", "runs/none"],
    # Fields and their values
    f"{QUICK} --config.modl.x=3": ["unknown field config.modl; config has checkpoint_steps, data"],
    f"{QUICK} --config.model.motion.widht=3": [
        "config.model.motion has depth, dropout, family",
        "Did you mean config.model.motion.width?",
    ],
    f"{QUICK} --config.epoch=1": ["unknown field config.epoch", "Did you mean config.epochs?"],
    f"{QUICK} --config.optim.lr=1e-3": [
        "unknown field config.optim.lr; config.optim has ",
        "Did you mean config.optim.groups.heads.lr or ",
    ],
    f"{QUICK} --config.epochs.x=3": ["config.epochs has no fields"],
    f"{QUICK} --config.epochs=many": ["--config.epochs=many: expected a whole number"],
    f"{QUICK} --config.optim.clip_norm=much": ["clip_norm=much: expected a number"],
    f"{QUICK} --config.epochs=0": ["config.epochs is 0; expected at least 1"],
    f"{QUICK} --config.dtype=fp16": ["config.dtype is 'fp16'; valid: float32, bfloat16"],
    f"{QUICK} --config.loss.kind=infonce": ["is 'infonce'; valid: contrastive, mse, triplet"],
    f"{QUICK} --config.loss.margin=0.3": [
        "config.loss.margin is 0.3, but nothing reads it: config.loss.kind is 'contrastive', and "
        "only 'triplet' reads it"
    ],
    f"{QUICK} --config.model.learn_temperature=maybe": [
        "--config.model.learn_temperature=maybe: expected True or False\n"
    ],
    f"{QUICK} --config.mesh.model=3": [
        "config.mesh.model=3 must divide the number of available devices, 8: set it to 1 or 2 or 4"
    ],
    f"{QUICK} --config.mesh.model=16": ["number of available devices, 8: set it to 1 or 2 or 4"],
    f"{QUICK} --config.mesh.model=2 --config.mesh.data=3": [
        "config.mesh.data=3 × config.mesh.model=2 must equal the 8 available devices"
    ],
    f"{QUICK} --epochs=1": [
        "unknown flag --epochs. Did you mean the config field --config.epochs?"
    ],
    f"{QUICK} --epoch 1": ["unknown flag --epoch. Did you mean the config field --config.epochs?"],
    f"{QUICK} --text.width=8": ["Did you mean the config field --config.model.text.width?"],
    f"{QUICK} --lr=1": ["Did you mean the config field --config.optim.groups."],
    # Data
    f"{QUICK} --config.data.datasets=humanml3d": [
        "dataset 'humanml3d' is not prepared",
        "Prepared in data: small",
        "python -m data_prep humanml3d --data_dir=data --raw_dir=FOLDER",
    ],
    f"{QUICK} --config.data.datasets=small --config.data.batch_size=64": [
        "config.data.batch_size=64 is larger than the training set of 38 records; choose a batch"
    ],
    f"{QUICK} --config.data.datasets=small --config.data.train_split=trian": [
        "'trian'", "test, train, val",
    ],
    "launch.py --config=configs/mocap_actions.py --config.data.datasets=small": [
        "dataset 'small' has no labels. BABEL has labels", "`data_prep humanml3d --labels_csv`",
    ],
    "data_prep humanml3d": ["the following arguments are required: --raw_dir"],
    "data_prep humanml3d --raw_dir=empty": [
        "empty is not a folder in HumanML3D's layout",
        "Expected new_joints/*.npy, texts/*.txt, train.txt, val.txt, test.txt",
    ],
    "data_prep humanml3d --raw_dir=none --name=small": ["--raw_dir=none does not exist"],
    "data_prep inspect": ["the following arguments are required: FILE"],
    "data_prep inspect none.bvh": ["none.bvh cannot be read: No such file or directory"],
    "data_prep inspect empty": ["empty: the folder has no motion files"],
    "data_prep inspect clips/a.npy --picture=a.gif": [
        "--picture=a.gif: expected a name that ends in .html or .png"
    ],
    "data_prep library --raw_dir=none --captions=names": ["--raw_dir=none does not exist"],
    "data_prep library --raw_dir=empty --captions=names": [
        "empty: the folder has no motion files"
    ],
    "data_prep library --raw_dir=clips": [
        "clips has no captions.csv: give --captions=FILE.csv", "--captions=names",
    ],
    "data_prep library --raw_dir=clips --captions=none.csv": ["none.csv"],
    "launch.py --mode=encode --checkpoint=runs/short --input=clips --output=x.npz --skeleton=none":
        ["none cannot be read"],
    "data_prep sinthetic": ["invalid choice: 'sinthetic'", "'synthetic'"],
    "data_prep synthetic --name=My-Data": ["--name=My-Data: use a-z, 0-9 and _"],
    "data_prep show --name=nothing": ["dataset 'nothing' is not prepared", "data_prep humanml3d"],
    # Runs and checkpoints
    "launch.py --mode=eval --checkpoint=runs/none": [
        "no checkpoint at", "expected a training workdir, its best/ or checkpoints/",
    ],
    "launch.py --mode=encode --checkpoint=runs/short --input=none --output=x.npz": [
        "--input=none: no such folder"
    ],
    "launch.py --mode=encode --checkpoint=runs/short --input=clips/a.npy --output=x.npz": [
        "--input=clips/a.npy is a file; name the folder that it is in"
    ],
    "launch.py --mode=encode --checkpoint=runs/short --input=clips --output=x.npz --fps=-3": [
        "--fps=-3.0; expected a positive number of frames per second"
    ],
    "launch.py --mode=encode --checkpoint=runs/short --input=empty --output=x.npz": [
        "--input=empty: the folder contains no .npy files"
    ],
    "launch.py --mode=encode --checkpoint=runs/short --input=clips --output=x.txt": [
        "--output=x.txt: expected a name that ends in .npz"
    ],
    "launch.py --mode=encode --checkpoint=runs/short --input=clips --output=x.csv": [
        "--output=x.csv: only classifiers write a .csv; give an .npz for embeddings"
    ],
    f"{QUICK} --workdir=runs/short --config.seed=1": [
        "runs/short holds a run with another config. Choose a new --workdir",
        "--config=configs/finetune.py:runs/short",
        "seed: 0 before, 1 now",
    ],
    f"{QUICK} --workdir=clips/a.npy": ["--workdir=clips/a.npy is a file; name a folder"],
    "convert share runs/short clips": ["clips already exists; choose another folder"],
    "convert export runs/none out": ["no checkpoint at"],
    "convert motionpatches none.pt out": [
        "none.pt does not exist; give the file of a published checkpoint"
    ],
    "convert walktext clips out": ["clips is a folder; give the file of a published checkpoint"],
    "convert push runs/short me/model": [
        "runs/short is not a folder to share",
        "python -m motionalign.convert share runs/short FOLDER",
    ],
    "convert push clips me/model": ["clips is not a folder to share"],
    "convert push none me/model": ["none is not a folder", "convert share"],
    # No network
    "launch.py --config=configs/mocap_small.py --config.data.datasets=small": [
        "sentence-transformers/all-MiniLM-L6-v2 is not a local folder and cannot be loaded",
        "Without the Hub: put config.json, model.safetensors",
    ],
    "launch.py --mode=eval --checkpoint=me/model": ["me/model", "Without the Hub: put config.json"],
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(short_run, small_dataset, tmp_path_factory):
    """A user's folder, as MISTAKES says."""
    folder = tmp_path_factory.mktemp("user")
    for name in ("runs", "clips", "empty"):
        (folder / name).mkdir()
    (folder / "data").mkdir()  # "small" alone: other tests add datasets to its folder
    (folder / "data" / "small").symlink_to(small_dataset / "small")
    (folder / "runs" / "short").symlink_to(short_run)
    np.save(folder / "clips" / "a.npy", np.zeros((30, 22, 3), np.float32))
    return folder


def answer(line: str) -> Done:
    """What a command answers, without network."""
    from huggingface_hub import errors

    name, *arguments = shlex.split(line)
    offline = errors.LocalEntryNotFoundError("no network")
    with mock.patch("huggingface_hub.hf_hub_download", side_effect=offline):
        if name == "launch.py":
            return command(*arguments)
        printed, problems = io.StringIO(), io.StringIO()
        run = {
            "data_prep": data_prep,
            "convert": convert.main,
            "motionalign": cli.main,
        }[name]
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(problems):
            try:
                run(arguments)
            except SystemExit as end:
                code = end.code
                if isinstance(code, str):
                    problems.write(code + "\n")
                    code = 1
        return Done(code, printed.getvalue(), problems.getvalue())


@pytest.mark.parametrize("line", MISTAKES)
def test_a_mistake_is_answered(line, folder, monkeypatch):
    monkeypatch.chdir(folder)
    done = answer(line)
    assert done.code not in (0, None)
    for part in MISTAKES[line]:
        assert part in done.stderr
    assert "Traceback" not in done.stderr
    told = [line for line in done.stderr.strip().splitlines() if not line.startswith("  ")]
    assert len(told) <= 3, told  # besides indented commands and lists
    assert not list(folder.glob("runs/quickstart/*/[0-9]*"))  # no checkpoint: nothing is begun
