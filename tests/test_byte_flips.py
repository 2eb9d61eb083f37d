"""Flipped bits in every kind of stored file: each is found, or has no effect on what is read."""

import collections
import json
import pathlib
import shutil

import jax
import numpy as np
import pytest

from data_prep.builders import _check_same_options, prepare
from data_prep.readers import Clips
from data_prep.readers.synthetic import generate
from motionalign import digests, files, sharding
from motionalign.checkpoints.run import (
    Checkpoints,
    find,
    load_params,
    load_rest,
    load_run,
    load_unused,
    stored_run,
)
from motionalign.checkpoints.shared import Saved, open_saved, write_shared
from motionalign.checkpoints.workdir import (
    check_run,
    prepare_tokenizer,
    record_run,
    record_start,
    results_beside,
)
from motionalign.config import stored_form
from motionalign.configs import quickstart
from motionalign.data.dataset import Dataset, Metadata, write_caption_vectors
from motionalign.data.tokenizer import train_wordpiece
from motionalign.models.bert import BertConfig
from motionalign.models.dual_encoder import DualEncoderConfig
from motionalign.models.vit import ViTConfig
from motionalign.skeleton import SKELETONS
from motionalign.tasks.schema import schema

RNG = np.random.default_rng(0)
PARAMS = {
    "motion_encoder/kernel": RNG.normal(size=(30, 40)).astype(np.float32),
    "text_encoder/kernel": RNG.normal(size=(20, 10)).astype(np.float32),
}
STATE = {
    "params": PARAMS,
    "rest": {"motion_encoder/counts": np.arange(50, dtype=np.int32)},
    "optimizer": {"mu": {name: x / 3 for name, x in PARAMS.items()}, "count": np.int32(7)},
}
UNUSED = {"vision.proj": np.eye(9), "ids": np.arange(40)}
TOKENIZER = train_wordpiece(["a person walks", "someone waves the left hand"], 60)
SMALL = {"width": 8, "depth": 1, "heads": 2, "mlp_width": 16}
METADATA = Metadata(
    "mine", SKELETONS["smpl22"], 8, 20.0, 1.0, np.zeros((22, 3)), np.full((22, 3), 0.5), 60.0
)
ARCHITECTURE = DualEncoderConfig(
    motion=ViTConfig(**SMALL, patch_size=8, max_frames=40, padding="mask"),
    text=BertConfig(vocab_size=60, **SMALL, max_positions=12),
    embed_dim=6,
    max_tokens=12,
)
RUN = stored_run(
    {
        "kind": "dual_encoder",
        "architecture": ARCHITECTURE.to_dict(),
        "config": {
            "dtype": "float32",
            "data": {"eval_batch_size": 4, "frame_bucket": 16, "text_bucket": 4},
        },
        "tokenizer": TOKENIZER,
        "distance": "cosine",
        "trained": None,
        "text_encoder": None,
        "frozen": [],
        "source": {"format": "walktext", "file": "x.pt", "sha256": "0", "tensors": []},
        "datasets": {"mine": METADATA.to_json()},
        "step": 3,
        "score": 12.5,
        "supervision": None,
    }
)
CONFIG = quickstart.get_config()
LATEST = RUN | {"source": None, "config": stored_form(CONFIG), "step": 9}
STARTS = [{"step": 0, "started": "2026-01-01", "processes": 1}]


# ------------------------------------------------------------------------------------ writing


def write_run(folder: pathlib.Path) -> None:
    """A workdir: checkpoints/9, best/5, and the files beside them."""
    checkpoints = Checkpoints(folder)
    checkpoints.save_best(5, PARAMS, RUN, STATE["rest"], UNUSED)
    checkpoints.save_latest(9, STATE, {"next": 9, "seed": 12345}, LATEST)
    checkpoints.close()
    record_run(CONFIG, folder)
    for name in ("git_commit.txt", "git_diff.txt"):  # never read
        (folder / name).unlink(missing_ok=True)
    for name, content in (
        ("tokenizer.json", TOKENIZER),
        ("metrics.json", json.dumps({"step": 5, "all": {"R@1": 1.0}})),
        ("environment.json", json.dumps(STARTS)),
    ):
        with digests.recording(folder / name):
            files.write_text(folder / name, content)


def write_dataset(data_dir: pathlib.Path) -> None:
    """A prepared dataset with class texts and caption vectors."""
    clips = generate.generate(6, seed=0)
    folder = prepare(lambda: Clips(clips), data_dir, "tiny", source={"seed": 3})
    with digests.recording(folder / "class_texts.json"):
        files.write_json(folder / "class_texts.json", {"descriptions": {"walk": ["walks"]}})
    texts = ["a person walks", "someone waves"]
    vectors = RNG.normal(size=(2, 5)).astype(np.float32)
    made_by = {"encoder": "an encoder", "sha256": "0", "readout": "mean", "settings": "1"}
    known = dict(zip(texts, vectors, strict=True))
    write_caption_vectors(folder / "caption_vectors.safetensors", known, **made_by)


def write_model(folder: pathlib.Path) -> None:
    """A folder to share."""
    saved = Saved(RUN, lambda _: PARAMS, lambda _: STATE["rest"], lambda: UNUSED)
    write_shared(folder, saved, PARAMS, None, STATE["rest"])


# ------------------------------------------------------------------------------------ reading


def abstract(arrays):
    return sharding.abstract(arrays, sharding.mesh_of(jax.devices()[:1], 1, 1))


def read_latest(workdir):
    checkpoints = Checkpoints(workdir)
    try:
        return checkpoints.restore_latest(abstract(STATE)), checkpoints.best_score()
    finally:
        checkpoints.close()


def read_best(workdir):
    step = find(workdir)
    params, rest = (load_params(step, abstract(PARAMS)), load_rest(step, abstract(STATE["rest"])))
    return load_run(step), params, rest, load_unused(step)


def read_workdir(workdir):
    check_run(CONFIG, workdir, schema())
    tokenizer = prepare_tokenizer(CONFIG.model, workdir, (), TOKENIZER, None)
    record_start(workdir, 4)
    starts = json.loads((workdir / "environment.json").read_text())
    return tokenizer.json, results_beside(workdir, 5), starts[0]


def read_dataset(data_dir):
    dataset = Dataset(data_dir, "tiny")
    splits = [dataset.split(name) for name in ("train", "test")]
    records = [[split[i] for i in range(len(split))] for split in splits]
    columns = [(split.ids, split.captions, split.num_frames, split.labels) for split in splits]
    vectors = dataset.require_caption_vectors()
    kept = _check_same_options(dataset.version_dir, {"patch_size": 16, "seed": 3}, ())
    metadata = dataset.metadata.to_json()
    kept = kept.replace(str(data_dir), "")
    return metadata, columns, records, dataset.texts, vectors.rows, vectors.vectors, kept


def read_model(folder):
    saved = open_saved(folder)
    shapes = abstract(PARAMS), abstract(STATE["rest"])
    return saved.run, saved.load_params(shapes[0]), saved.load_rest(shapes[1]), saved.load_unused()


WRITE = {"run": write_run, "data": write_dataset, "model": write_model}

# {kind: (what is written, pattern of its files, function that reads them)}
KINDS = {
    "parameters": ("run", "checkpoints/9/params/**/*", read_latest),
    "optimizer state": ("run", "checkpoints/9/optimizer/**/*", read_latest),
    "other state": ("run", "checkpoints/9/rest/**/*", read_latest),
    "pipeline state": ("run", "checkpoints/9/pipeline/*", read_latest),
    "JSON of the latest": ("run", "checkpoints/9/run/*", read_latest),
    "files of Orbax": ("run", "checkpoints/9/*", read_latest),
    "best parameters": ("run", "best/5/params/**/*", read_best),
    "unused tensors": ("run", "best/5/unused/**/*", read_best),
    "JSON of the best": ("run", "best/5/run/*", read_best),
    "files of a workdir": ("run", "*", read_workdir),
    "TFRecord": ("data", "tiny/1.0.0/*.tfrecord*", read_dataset),
    "index": ("data", "tiny/1.0.0/*.npz", read_dataset),
    "JSON of a dataset": ("data", "tiny/1.0.0/*.json", read_dataset),
    "caption vectors": ("data", "tiny/1.0.0/*.safetensors", read_dataset),
    "digests of a dataset": ("data", f"tiny/1.0.0/{digests.NAME}", read_dataset),
    "shared tensors": ("model", "*.safetensors", read_model),
    "JSON of a shared folder": ("model", "*.json", read_model),
    "digests of a shared folder": ("model", digests.NAME, read_model),
}


MAY_BE_DELETED = (
    "class_texts.json",
    "environment.json",
    "metrics.json",
    "tokenizer.json",  # of a workdir, where it is made again
    digests.NAME,
)


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """{"run", "data", "model"}: folders with every kind of stored file, and what reading gives."""
    root = tmp_path_factory.mktemp("stored")
    for name, write in WRITE.items():
        write(root / name)
    return root


def flip(path: pathlib.Path, bit: int) -> bytes:
    """Flips a bit of a file, and returns the content before."""
    before = path.read_bytes()
    changed = bytearray(before)
    changed[bit // 8] ^= 1 << bit % 8
    path.write_bytes(changed)
    return before


def same(a, b) -> bool:
    leaves = jax.tree.leaves(a), jax.tree.leaves(b)
    return jax.tree.structure(a) == jax.tree.structure(b) and all(
        np.array_equal(x, y) for x, y in zip(*leaves)
    )


def try_flips(stored, count: int, seed: int) -> dict[str, collections.Counter]:
    """Flips random bits, one at a time, in turn over the kinds of files; counts the outcomes."""
    rng = np.random.default_rng(seed)
    outcomes = {kind: collections.Counter() for kind in KINDS}
    expected = {read: read(stored / what) for what, _, read in KINDS.values()}
    for i in range(count):
        kind = list(KINDS)[i % len(KINDS)]
        what, pattern, read = KINDS[kind]
        there = [p for p in sorted((stored / what).glob(pattern)) if p.is_file()]
        path = there[rng.integers(len(there))]
        bit = int(rng.integers(8 * path.stat().st_size))
        before = flip(path, bit)
        try:
            found = same(read(stored / what), expected[read])
            assert found, f"{path}, bit {bit}: another content is read in silence"
            outcomes[kind]["without effect"] += 1
        except ValueError as error:
            message = str(error)
            assert path.name in message or str(path.parent) in message, (path, bit, message)
            assert len(message) < 900, message
            outcomes[kind]["found"] += 1
        path.write_bytes(before)
    return outcomes


def test_flipped_bits_are_found(stored):
    outcomes = try_flips(stored, 90, seed=0)
    found = sum(each["found"] for each in outcomes.values())
    assert found >= 70  # the others are in files that nothing reads
    for kind in KINDS.keys() - {"files of Orbax", "JSON of a dataset"}:
        assert outcomes[kind]["without effect"] == 0, (kind, outcomes[kind])


@pytest.mark.slow
def test_500_flipped_bits_are_found(stored):
    outcomes = try_flips(stored, 504, seed=1)
    for kind, each in outcomes.items():
        print(f"{kind}: {each['found']} found, {each['without effect']} without effect")
        assert each["found"] or kind == "files of Orbax"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("fault", ["missing", "empty", "cut in half"])
def test_missing_and_truncated_files_are_found(stored, tmp_path, kind, fault):
    """Every file of the kind: one error that names it, or no effect on what is read."""
    what, pattern, read = KINDS[kind]
    expected = read(stored / what)
    copy = shutil.copytree(stored / what, tmp_path / "copy")
    there = [p for p in sorted(copy.glob(pattern)) if p.is_file()]
    for path in there:
        if fault == "missing" and what != "model" and path.name in MAY_BE_DELETED:
            continue
        data = path.read_bytes()
        if fault == "missing":
            path.unlink()
        else:
            path.write_bytes(data[: len(data) // 2 if fault == "cut in half" else 0])
        try:
            assert same(read(copy), expected), path
        except ValueError as error:
            named = path.name.split(".")[0], str(path.parent), "has no caption vectors"
            assert any(part in str(error) for part in named), (path, error)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
