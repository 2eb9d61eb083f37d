"""Reads mutated files with every reader of the project, in a process of limited memory.

    python tests/mutated_reads.py BASE START STOP     cases START to STOP; BASE: a folder to work in

writes one JSON line per case: its number, the kind and name of the file, the mutation, what
happened, and the seconds. A case is determined by its number:

    python tests/mutated_reads.py BASE 1234 1235 --show

What happened is "read", "said" (a ValueError that names the file, or a reason for the report), or a
fault: the type of an exception, "unnamed" (a ValueError that does not say which file), "slow".
"""

import argparse
import contextlib
import faulthandler
import io
import json
import os
import pathlib
import re
import resource
import shutil
import signal
import subprocess
import sys
import tarfile
import time
import traceback
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

os.environ.setdefault("JAX_PLATFORMS", "cpu")
sys.path[:0] = [str(pathlib.Path(__file__).parent), str(pathlib.Path(__file__).parents[1])]

import bodies  # noqa: E402
import gguf_files  # noqa: E402
import mutations  # noqa: E402
import numpy as np  # noqa: E402
from published_files import (  # noqa: E402
    babel_annotation,
    babel_label,
    write_amass,
    write_densegait,
    write_smplh,
)

from motionalign.skeleton import SKELETONS  # noqa: E402

LEGACY = pathlib.Path(__file__).parent / "legacy" / "v0.1.tar.xz"
SECONDS = 10  # a read that takes longer is a fault
MEMORY = 1 << 30  # bytes that a process may take beyond what imports took


def build(base: pathlib.Path) -> None:
    """One valid file of every kind; those that the project stores are of version 0.1."""
    if (base / "complete").exists():
        return
    with tarfile.open(LEGACY) as archive:
        archive.extractall(base, filter="data")
    rng = np.random.default_rng(0)
    clips = base / "raw"
    for folder in ("new_joints", "texts"):
        (clips / folder).mkdir(parents=True)
    names = {"train": ["a", "b", "c"], "val": ["v"], "test": ["t"]}
    for split, of_split in names.items():
        (clips / f"{split}.txt").write_text("\n".join(of_split) + "\n", "utf-8")
        for name in of_split:
            joints = rng.normal(size=(40, 22, 3)).astype(np.float32)
            np.save(clips / "new_joints" / f"{name}.npy", joints)
            lines = "jemand läuft#er/PRON#0.0#0.0\nsomeone walks — and stops#a/DET#0.5#1.5\n"
            (clips / "texts" / f"{name}.txt").write_text(lines, "utf-8")
    (clips / "nsim_test.txt").write_text("t\n", "utf-8")
    rows = "id,action,style,speed\na,walk,tired,0.5\nb,run,active,1\nv,walk,tired,0\nt,läuft,,1\n"
    (clips / "labels.csv").write_text(rows, "utf-8")
    np.save(base / "mean.npy", rng.normal(size=(22, 3)))
    write_densegait(base / "gait", num_tracks=4)
    _build_set(base)
    _build_babel(base)
    _build_json(base)
    _build_language_models(base)
    (base / "complete").touch()


def _build_babel(base: pathlib.Path) -> None:
    write_smplh(base / "smplh")
    (base / "babel").mkdir()
    for split, sid in (("train", 1), ("val", 2)):
        write_amass(base / "amass" / f"walk{sid}.npz", 4, 60, sid)
        segments = [babel_label("walk", start=0.0, end=2.5), babel_label("sit", start=2.5, end=4.0)]
        entry = {
            "babel_sid": sid,
            "feat_p": f"walk{sid}.npz",
            "dur": 4.0,
            "seq_ann": babel_annotation(babel_label("walk")),
            "frame_ann": babel_annotation(*segments),
        }
        (base / "babel" / f"{split}.json").write_text(json.dumps({str(sid): entry}), "utf-8")


def _build_set(base: pathlib.Path) -> None:
    """A labelled set of six clips of one person."""
    body = bodies.body(24, "kinect20").astype(np.float64)
    np.savez(
        base / "set.npz",
        positions_int16=(body[:, None] * 1000).astype(np.int16), scale=0.001, lengths=[4] * 6,
        labels=[0, 1] * 3, subjects=[1, 1, 2, 2, 3, 3], views=[0] * 6, trials=[1] * 6,
        files=[f"clip{i}.txt" for i in range(6)], class_names=["läuft", "sit"],
        joint_names=SKELETONS["kinect20"].joint_names, fps=30.0,
    )  # fmt: skip


def _build_json(base: pathlib.Path) -> None:
    bert = {
        "model_type": "bert", "vocab_size": 30, "hidden_size": 8, "num_hidden_layers": 1,
        "num_attention_heads": 2, "intermediate_size": 16, "max_position_embeddings": 20,
        "type_vocab_size": 2, "hidden_act": "gelu", "layer_norm_eps": 1e-12,
        "hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1,
    }  # fmt: skip
    text = {
        "vocab_size": 30, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2,
        "intermediate_size": 16, "max_position_embeddings": 20, "eos_token_id": 3,
    }  # fmt: skip
    vision = {
        "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "patch_size": 4,
        "intermediate_size": 16, "hidden_act": "gelu", "layer_norm_eps": 1e-12, "num_channels": 3,
    }  # fmt: skip
    content = {
        "hf/config.json": bert,
        "distilbert/config.json": {
            "model_type": "distilbert", "vocab_size": 30, "dim": 8, "n_layers": 1, "n_heads": 2,
            "hidden_dim": 16, "max_position_embeddings": 20, "activation": "gelu", "dropout": 0.1,
            "attention_dropout": 0.1,
        },
        "clip/config.json": {"model_type": "clip", "text_config": text, "vision_config": vision},
        "vit/config.json": {"model_type": "vit", "image_size": 32, **vision},
        "sharded/model.safetensors.index.json": {"weight_map": {"a": "one.safetensors"}},
        "texts.json": {"classes": {"walk": {"descriptions": ["ä walk"], "synonyms": ["stroll"]}}},
        "answers.json": {"kind": "synonym", "answers": {"walk": ["stroll"]}},
        "labels.json": ["walk", "run"],
        "attributes.json": ["one", "two"],
        "data/gait/1.0.0/class_texts.json": {"descriptions": {"walk": ["läuft"]}, "synonyms": {}},
        "run-clips/environment.json": [{"step": 0, "started": "", "devices": {"count": 1}}],
        "run-clips/metrics.json": {"step": 6, "clips": {"R@1": 0.5}},
    }  # fmt: skip
    for name, value in content.items():
        (base / name).parent.mkdir(exist_ok=True)
        (base / name).write_text(json.dumps(value), "utf-8")
    shutil.copy(base / "shared-clips/model.safetensors", base / "sharded/one.safetensors")


def _build_language_models(base: pathlib.Path) -> None:
    """GGUF files with each kind of vocabulary, and the tokenizer of one as a checkpoint has it."""
    from motionalign.models.weights.load import load_language_tokenizer

    for name in ("bytes", "pieces", "language"):
        (base / name).mkdir()
    vocabulary = gguf_files.byte_level(base / "bytes", size=300)
    gguf_files.write_llama(base / "bytes/m.gguf", kind="Q8_0", more=vocabulary)
    reader = gguf_files.train_sentencepiece(base / "pieces")
    gguf_files.write_llama(base / "pieces/m.gguf", more=gguf_files.of_sentencepiece(reader))
    stored = load_language_tokenizer(str(base / "bytes/m.gguf")).json
    (base / "language/stored.json").write_text(stored, "utf-8")
    content = json.dumps(json.loads(stored)["tokenizer"])
    (base / "language/tokenizer.json").write_text(content, "utf-8")
    config = {"eos_token": "<|im_end|>", "bos_token": {"content": "<|im_start|>"}}
    (base / "language/tokenizer_config.json").write_text(json.dumps(config), "utf-8")


# ---------------------------------------------------------------------------- what reads the files


def humanml3d(base):
    from data_prep.readers.humanml3d import HumanML3D

    reader = HumanML3D(base / "raw")
    return reader.splits(), reader.joints("a"), reader.captions("a"), reader.dissimilar_test()


def clips_to_encode(base):
    from motionalign.anatomy.takes import Told
    from motionalign.data.dataset import Metadata
    from motionalign.data.representation import Patches
    from motionalign.inference.motion_input import Asked, read_input
    from motionalign.skeleton import SKELETONS

    shape = (22, 3)
    reference = Metadata(
        "mine", SKELETONS["smpl22"], 8, 20.0, 1.0, np.zeros(shape), np.ones(shape), 20.0
    )
    folder = base / "raw/new_joints"
    files = {folder / f"{name}.npy": name for name in "ab"}
    asked = Asked(reference, Patches(8, 40), Told(), assumed_fps=20.0)
    found = read_input(files, asked, folder)
    # What is wrong with a file is told under its id, and does not stop the others.
    assert sorted([*found.ids, *(each["id"] for each in found.skipped)]) == ["a", "b"]


def statistics(base):
    from motionalign.checkpoints.published import motionpatches

    motionpatches._statistic(str(base / "mean.npy"))


def labels_csv(base):
    from data_prep.readers.humanml3d import HumanML3D
    from data_prep.readers.label_table import LabelTable

    table = LabelTable(
        HumanML3D(base / "raw"), base / "raw/labels.csv", "action", ["style", "speed"]
    )
    for name in "abvt":
        with accepted():
            table.label(name), table.attributes(name)


def densegait(base):
    from data_prep.readers.densegait import DenseGait

    reader = DenseGait(base / "gait")
    for names in reader.splits().values():
        for name in names:
            with accepted():
                reader.joints(name), reader.captions(name)


def labelled(base):
    from data_prep.protocols import Protocol
    from data_prep.readers.labelled import Labelled

    division = Protocol("own", "own", "subject", (1, 2), (), "", rest_tests=True)
    reader = Labelled(base / "set.npz", division)
    for names in reader.splits().values():
        for name in names:
            reader.placed(reader.joints(name))
            assert reader.captions(name)[0].text == reader.label_names[reader.label(name)]


def weights(base):
    from motionalign.models.weights.source import Source

    for tensor in Source(str(base / "shared-clips/model.safetensors")).tensors.values():
        assert tensor.read().shape == tensor.shape


def sharded(base):
    from motionalign.models.weights.source import Source

    for tensor in Source(str(base / "sharded")).tensors.values():
        tensor.read()


def caption_vectors(base):
    from motionalign.data.dataset import CaptionVectors

    path = base / "data/gait/1.0.0/caption_vectors.safetensors"
    vectors = CaptionVectors.read(path)
    vectors[list(vectors.rows)[:2]], vectors.origin


def records(base):
    from motionalign.data.dataset import Dataset

    split = Dataset(base / "data", "clips").split("train")
    for i in range(len(split)):
        record = split[i]
        record["id"] + record["source"], record["joints"].shape, record["captions"][0] + ""
    assert split.evaluation_rows().size <= len(split)
    return [caption + name for name, c in zip(split.ids, split.captions) for caption in c]


def dataset(base):
    from motionalign.data.dataset import Dataset, Metadata

    opened = Dataset(base / "data", "gait")
    json.dumps(opened.metadata.to_json())
    Metadata.from_json(opened.metadata.to_json())
    (opened.metadata.skeleton.bones, opened.metadata.fps + 1, opened.metadata.positive_names)
    for of_class in opened.texts.values():
        for name, each in of_class.items():
            (name + "", [text + "" for text in each])


def show(base):
    from data_prep.show import make_page

    make_page(base / "data", "clips", "train", 0)


def babel(base):
    from data_prep.readers.babel import Babel

    reader = Babel(base / "babel", base / "amass", base / "smplh")
    for names in reader.splits().values():
        for name in names:
            with accepted():
                reader.captions(name)
            with accepted():
                joints = reader.joints(name)
                assert len(joints) < 10_000


def text_tower(base, name):
    from motionalign.models.families import text_tower
    from motionalign.models.weights.source import Source

    text_tower(Source(str(base / name)), readout="mean")


def vit(base, name, **ours):
    from motionalign.models import vit_weights
    from motionalign.models.weights.source import Source

    source = Source(str(base / name))
    config = vit_weights.config_from(source, pool="mean", **ours)
    if name == "vit":  # timm's key map reads the weights
        vit_weights.key_map(config, source)


def vision(base):
    from motionalign.models import clip

    section = {"weights": str(base / "clip"), "size": "custom", "patch_size": 4}
    section |= {"max_frames": 16, "pool": "mean", "padding": "attend", "dropout": 0.0}
    sizes = {"width": 8, "depth": 1, "heads": 2, "mlp_width": 16}
    clip._build(sizes, section, None)


def tokenizer(base):
    from motionalign.models.weights.load import load_tokenizer

    load_tokenizer(str(base / "shared-clips"), 16).encode(["a person walks", ""])


def gguf(base, name):
    from motionalign.models.weights.source import Source

    source = Source(str(base / name / "m.gguf"))
    json.dumps(source.config())
    for tensor in source.tensors.values():
        assert tensor.read().shape == tensor.shape


def language_tokenizer(base, name):
    from motionalign.models.weights.load import load_language_tokenizer

    _use(load_language_tokenizer(str(base / name)))


def stored_tokenizer(base):
    from motionalign import reading
    from motionalign.data.language_tokenizer import LanguageTokenizer

    path = base / "language/stored.json"
    text = reading.read_text(path)
    try:
        found = LanguageTokenizer.from_json(text)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    _use(found)


def _use(tokenizer):
    prompt = tokenizer.ids("the action: <|im_end|>", special=True, start=True)
    ids, mask = tokenizer.encode(["walking", "sit down 12"])
    assert max(*prompt, ids[mask].max(), *tokenizer.stops) < 1 << 32
    tokenizer.text(ids[0]) + tokenizer.chat_template


def opened(base, name):
    from motionalign.checkpoints.shared import open_saved
    from motionalign.data.dataset import Metadata
    from motionalign.models.dual_encoder import DualEncoderConfig

    run = open_saved(base / name).run
    DualEncoderConfig.from_dict(run["architecture"])
    for metadata in run["datasets"].values():
        Metadata.from_json(metadata)
    (run["config"]["data"]["eval_batch_size"] + 1, run["step"] + 1, run["config"]["dtype"] + "")


def run_config(base):
    from motionalign.checkpoints.workdir import check_run
    from motionalign.configs import quickstart
    from motionalign.tasks.schema import schema

    check_run(quickstart.get_config(), base / "run-clips", schema())


def run_lines(base):
    from motionalign.checkpoints import workdir

    workdir.is_finished(base / "run-clips", 2)
    workdir.results_beside(base / "run-clips", 6)
    names = "metrics.jsonl", "environment.json", "SHA256SUMS"
    kept = [base / "run-clips" / name for name in names]
    before = [path.read_bytes() if path.is_file() else None for path in kept]
    workdir.Metrics(base / "run-clips", 6, ()).close()
    workdir.record_start(base / "run-clips", 6)
    for path, content in zip(kept, before):
        if content is not None:
            path.write_bytes(content)
        elif path.name == "SHA256SUMS":  # later cases read files without digests, too
            path.unlink(missing_ok=True)


def class_texts(base, name):
    from data_prep.class_texts import read_texts

    read_texts(base / name, {"walk"})


def labels_to_describe(base):
    from data_prep.captions.describe import read_labels

    read_labels(base / "labels.json", "action")


def attribute_names(base):
    from motionalign.checkpoints.published.gaitformer import Options, add_options

    parser = argparse.ArgumentParser()
    add_options(parser)
    Options.from_args(parser.parse_args([f"--attributes={base / 'attributes.json'}"]))


class Target(NamedTuple):
    """A file, how it is mutated and what reads it."""

    kind: str
    file: str
    mutate: Any
    read: Any


def _named(function, name):
    return lambda base: function(base, name)


NPZ, JSON, DATA = mutations.of_npz, mutations.of_json, "data/clips/1.0.0/"
TARGETS = (
    Target("npy", "raw/new_joints/a.npy", mutations.of_npy, humanml3d),
    Target("npy", "raw/new_joints/a.npy", mutations.of_npy, clips_to_encode),
    Target("npy", "mean.npy", mutations.of_npy, statistics),
    Target("txt", "raw/texts/a.txt", mutations.of_lines, humanml3d),
    Target("txt", "raw/texts/a.txt", mutations.of_lines, humanml3d),
    Target("split", "raw/train.txt", mutations.of_lines, humanml3d),
    Target("split", "raw/nsim_test.txt", mutations.of_lines, humanml3d),
    Target("csv", "raw/labels.csv", mutations.of_lines, labels_csv),
    Target("csv", "raw/labels.csv", mutations.of_lines, labels_csv),
    Target("csv", "gait/annotations.csv", mutations.of_lines, densegait),
    Target("npz", "set.npz", mutations.of_npz, labelled),
    Target("safetensors", "shared-clips/model.safetensors", mutations.of_safetensors, weights),
    Target(
        "safetensors",
        "data/gait/1.0.0/caption_vectors.safetensors",
        mutations.of_safetensors,
        caption_vectors,
    ),
    Target(
        "tfrecord", DATA + "clips-train.tfrecord-00000-of-00001", mutations.of_tfrecord, records
    ),
    Target(
        "tfrecord", DATA + "clips-train.tfrecord-00000-of-00001", mutations.of_tfrecord, records
    ),
    Target("index", DATA + "index-train.npz", NPZ, records),
    Target("index", DATA + "index-train.npz", NPZ, records),
    Target("amass", "amass/walk1.npz", NPZ, babel),
    Target("amass", "amass/walk1.npz", NPZ, babel),
    Target("amass", "smplh/male/model.npz", NPZ, babel),
    Target("json", DATA + "features.json", JSON, records),
    Target("json", DATA + "report.json", JSON, show),
    Target("json", "data/gait/1.0.0/metadata.json", JSON, dataset),
    Target("json", "data/gait/1.0.0/class_texts.json", JSON, dataset),
    Target("json", "babel/train.json", JSON, babel),
    Target("json", "hf/config.json", JSON, _named(text_tower, "hf")),
    Target("json", "distilbert/config.json", JSON, _named(text_tower, "distilbert")),
    Target("json", "clip/config.json", JSON, _named(text_tower, "clip")),
    Target("json", "clip/config.json", JSON, vision),
    Target("json", "vit/config.json", JSON, _named(vit, "vit")),
    Target("json", "sharded/model.safetensors.index.json", JSON, sharded),
    Target("json", "shared-clips/tokenizer.json", JSON, tokenizer),
    Target("json", "shared-clips/config.json", JSON, _named(opened, "shared-clips")),
    Target("json", "shared-classes/config.json", JSON, _named(opened, "shared-classes")),
    Target("json", "shared-gait/datasets.json", JSON, _named(opened, "shared-gait")),
    Target("json", "run-clips/best/6/run/metadata", JSON, _named(opened, "run-clips")),
    Target("json", "run-gait/best/3/run/metadata", JSON, _named(opened, "run-gait")),
    Target("json", "run-clips/config.json", JSON, run_config),
    Target("json", "run-clips/metrics.jsonl", mutations.of_json_lines, run_lines),
    Target("json", "run-clips/environment.json", JSON, run_lines),
    Target("json", "run-clips/metrics.json", JSON, run_lines),
    Target("json", "texts.json", JSON, _named(class_texts, "texts.json")),
    Target("json", "answers.json", JSON, _named(class_texts, "answers.json")),
    Target("json", "labels.json", JSON, labels_to_describe),
    Target("json", "attributes.json", JSON, attribute_names),
    Target("gguf", "bytes/m.gguf", mutations.of_gguf, _named(gguf, "bytes")),
    Target("gguf", "bytes/m.gguf", mutations.of_gguf, _named(gguf, "bytes")),
    Target("gguf", "bytes/m.gguf", mutations.of_gguf, _named(language_tokenizer, "bytes/m.gguf")),
    Target("gguf", "pieces/m.gguf", mutations.of_gguf, _named(language_tokenizer, "pieces/m.gguf")),
    Target("json", "language/stored.json", JSON, stored_tokenizer),
    Target("json", "language/tokenizer.json", JSON, _named(language_tokenizer, "language")),
    Target("json", "language/tokenizer_config.json", JSON, _named(language_tokenizer, "language")),
)


# ---------------------------------------------------------------------------- cases


@contextlib.contextmanager
def accepted():
    """A context in which a reason for the report is no error."""
    from data_prep.readers import InvalidClip

    try:
        yield
    except InvalidClip as error:
        if re.search(r"\b(MemoryError|RecursionError)\b", str(error)):
            raise MemoryError(str(error)) from error


class Slow(BaseException):
    """A read took longer than SECONDS."""


def _special(rng, path: pathlib.Path) -> str:
    """Puts something else than a file in its place."""
    path.unlink()
    match rng.integers(3):
        case 0:
            os.mkfifo(path)
            return "FIFO"
        case 1:
            path.symlink_to("/dev/zero")
            return "/dev/zero"
        case _:
            path.mkdir()
            return "folder"


def happened(base: pathlib.Path, target: Target, show: bool) -> str:
    """Reads a mutated file."""
    from data_prep.readers import InvalidClip

    def ring(signum, frame):
        raise Slow

    signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            target.read(base)
        return "read"
    except BaseException as error:
        signal.setitimer(signal.ITIMER_REAL, 0)
        if isinstance(error, KeyboardInterrupt):
            raise
        if show:
            traceback.print_exc()
        if isinstance(error, Slow):
            return "slow"
        if hidden := re.search(r"\b(MemoryError|RecursionError)\b", str(error)):
            return hidden[1]
        if isinstance(error, InvalidClip):
            return "said"
        if type(error) is not ValueError:
            return type(error).__name__
        path = pathlib.PurePath(target.file)
        # The file's name, or that of the folder whose parts have fixed names.
        named = path.name in str(error) or str(base / path.parts[0]) in str(error)
        return "said" if named else "unnamed"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def run_case(
    base: pathlib.Path, number: int, show: bool = False, targets: Sequence[Target] = TARGETS
) -> dict[str, Any]:
    """Mutates one file, reads it, and restores it."""
    target = targets[number % len(targets)]
    rng = np.random.default_rng(number)
    path = base / target.file
    data, what = path.read_bytes(), ""
    start = time.perf_counter()
    try:
        if rng.random() < 0.04:
            what = _special(rng, path)
        else:
            path.write_bytes(target.mutate(rng, data))
        start = time.perf_counter()
        outcome = happened(base, target, show)
    finally:
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        path.write_bytes(data)
    seconds = round(time.perf_counter() - start, 3)
    line = {"case": number, "kind": target.kind, "file": target.file, "outcome": outcome}
    return line | {"special": what, "seconds": seconds}


def warm_up(base: pathlib.Path, targets: Sequence[Target] = TARGETS) -> None:
    """Reads every valid file, which imports what is needed; then limits the memory."""
    for target in dict.fromkeys(targets):
        try:
            target.read(base)
        except ValueError as error:
            if target.read is not run_config:  # the quickstart's config is another one
                raise AssertionError(target) from error
    pages = int(pathlib.Path("/proc/self/statm").read_text("ascii").split()[0])
    limit = pages * resource.getpagesize() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def outcomes(
    base: pathlib.Path, start: int, stop: int, script: str = __file__
) -> tuple[list[dict[str, Any]], int]:
    """Runs cases in a process of their own, and in another one after a case that kills it.

    Args:
      base: a folder to work in.
      start: the first case.
      stop: the case after the last one.
      script: what is run, this file or one that calls `main` with cases of its own.

    Returns:
      One dict per case, and the most megabytes that a process took beyond imports.
    """
    lines, peak = [], 0
    while start < stop:
        command = [sys.executable, script, str(base), str(start), str(stop)]
        done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8")
        new = [json.loads(line) for line in done.stdout.splitlines()]
        peak = max([peak, *(line.pop("peak_megabytes", 0) for line in new)])
        new = [line for line in new if line]
        lines += new
        start += len(new)
        if done.returncode:
            if not new:  # the valid files cannot be read
                raise RuntimeError(done.stderr)
            lines.append(
                {"case": start, "outcome": "killed", "special": "", "seconds": 0.0,
                 "said": done.stderr[-3000:]}
            )  # fmt: skip
            shutil.rmtree(base)
            base.mkdir()
            start += 1
    return lines, peak


def main(
    build: Callable[[pathlib.Path], None] = build, targets: Sequence[Target] = TARGETS
) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("base", type=pathlib.Path)
    parser.add_argument("start", type=int)
    parser.add_argument("stop", type=int)
    parser.add_argument("--show", action="store_true", help="print tracebacks")
    args = parser.parse_args()
    out = os.fdopen(os.dup(1), "w", buffering=1, encoding="utf-8")
    if not args.show:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # libraries and readers talk
    build(args.base)
    warm_up(args.base, targets)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for number in range(args.start, args.stop):
        faulthandler.dump_traceback_later(3 * SECONDS, exit=True)  # where no signal arrives
        print(json.dumps(run_case(args.base, number, args.show, targets)), file=out)
        faulthandler.cancel_dump_traceback_later()
    more = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak
    print(json.dumps({"peak_megabytes": round(more / 1024)}), file=out)


if __name__ == "__main__":
    main()
