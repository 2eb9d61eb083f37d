"""Small runs of LLM-AR for tests: a set of two persons, a language model, and configs."""

import json
import pathlib

import jax
import numpy as np
import tokenizers
from bodies import body
from flax import nnx
from ml_collections import ConfigDict
from safetensors.numpy import save_file
from tokenizers import decoders, models, pre_tokenizers

from motionalign.configs import nw_ucla_llmar, nw_ucla_tokens
from motionalign.models import flat, llama
from motionalign.models.weights import keymap

CLASSES = ("sit down", "walk", "wave", "shake hands")
WIDTH = 16


def write_language_model(folder: pathlib.Path, seed: int = 0, **changes) -> str:
    """Writes a random LLaMA with a tokenizer of bytes and some names; returns the folder's path.

    Args:
      folder: to write; new.
      seed: of the weights.
      **changes: to config.json.
    """
    folder.mkdir(parents=True)
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    numbers = {letter: i for i, letter in enumerate(("<s>", "</s>", *letters, "Ġw", "al", "Ġwal"))}
    tokenizer = tokenizers.Tokenizer(
        models.BPE(numbers, [("Ġ", "w"), ("a", "l"), ("Ġw", "al")], unk_token=None)
    )
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["<s>", "</s>"])
    (folder / "tokenizer.json").write_text(tokenizer.to_str(), "utf-8")
    config = {
        "model_type": "llama", "vocab_size": len(numbers) + 5, "hidden_size": WIDTH,
        "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 2, "max_position_embeddings": 128, "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0, "tie_word_embeddings": True, "attention_bias": False,
        "mlp_bias": False, "bos_token_id": 0, "eos_token_id": 1, **changes,
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config), "utf-8")
    built = llama.config_from_hf(config)
    with flat.tree_mode():
        module = llama.Llama(built, rngs=nnx.Rngs(seed))
        params = flat.flatten(nnx.state(module, nnx.Param))
    save_file(
        keymap.export(jax.tree.map(np.asarray, params), llama.key_map()),
        folder / "model.safetensors",
        {"format": "pt"},
    )
    return str(folder)


def write_dataset(data_dir: pathlib.Path, name: str = "acts", leave_out: int = 1) -> None:
    """Prepares a set of two persons and the four `CLASSES`, each with its own way to move.

    Subjects 1 to 4 train, one of them validates, 5 and 6 test. The second person is absent in every
    third clip.

    Args:
      data_dir: of the dataset.
      name: of the dataset.
      leave_out: number of classes without training clips; 0: there is no split `unseen`.
    """
    from data_prep.__main__ import main
    from motionalign.skeleton import SKELETONS

    labels, subjects, trials = np.array(
        np.meshgrid(range(len(CLASSES)), range(1, 7), range(2), indexing="ij")
    ).reshape(3, -1)
    clips = []
    for i, (label, subject, trial) in enumerate(zip(labels, subjects, trials)):
        persons = [body(12 + i % 5, "kinect20", 10 * label + p, travel=0) for p in range(2)]
        clip = np.stack(persons, axis=1) + 0.01 * subject + 0.002 * trial
        clip[:, 1, :, 0] += 0.8
        clip[:, 1] *= bool(i % 3)
        clips.append(clip)
    data_dir.mkdir(parents=True, exist_ok=True)
    raw = data_dir / f"{name}.npz"
    np.savez(
        raw,
        positions_int16=(np.concatenate(clips) * 5000).round().astype(np.int16),
        scale=0.0002, lengths=[len(clip) for clip in clips], labels=labels, subjects=subjects,
        trials=trials, class_names=list(CLASSES), fps=30.0,
        files=[f"a{a}/s{s}_e{e}" for a, s, e in zip(labels, subjects, trials)],
        joint_names=list(SKELETONS["kinect20"].joint_names),
    )  # fmt: skip
    flags = [f"--raw={raw}", f"--data_dir={data_dir}", f"--name={name}"]
    flags += ["--train_subjects=1,2,3,4"]
    main(["labelled", *flags, *([f"--leave_out={leave_out}", "--draw=0"] if leave_out else [])])


SMALL = {
    "epochs": 2,
    "log_steps": 1,
    "log_to": ("tensorboard",),
    "data.datasets": "acts",
    "data.batch_size": 6,
    "data.eval_batch_size": 16,
    "optim.warmup_steps": 0,
}

TOKENS = {
    "model.tokenizer.codes": 8,
    "model.tokenizer.persons": 2,
    "model.tokenizer.frames": 8,
    "model.tokenizer.width": 8,
    "model.tokenizer.down": 1,
    "model.tokenizer.depth": 1,
    "model.tokenizer.growth": 1,
    "model.tokenizer.reach": 1,
    "model.tokenizer.word_samples": 16,
}

SENTENCES = {
    "model.language.rank": 2,
    "model.language.alpha": 4.0,
    "model.language.answer_tokens": 14,
}


def _config(config: ConfigDict, *values: dict) -> ConfigDict:
    with config.unlocked():
        for each in values:
            config.update_from_flattened_dict(each)
    return config


def _named(fields: dict) -> dict:
    """Double underscores in keywords stand for dots."""
    return {name.replace("__", "."): value for name, value in fields.items()}


def tokens_config(data_dir, words: str, **fields) -> ConfigDict:
    """configs/nw_ucla_tokens.py, small; `words` is the language model."""
    own = {"data.data_dir": str(data_dir), "model.tokenizer.words": words}
    return _config(nw_ucla_tokens.get_config(), SMALL, TOKENS, own, _named(fields))


def sentences_config(data_dir, words: str, trained, arg: str | None = None, **fields) -> ConfigDict:
    """configs/nw_ucla_llmar.py:ARG, small; `trained` is the run of the motion tokenizer."""
    own = {"data.data_dir": str(data_dir), "model.weights": str(trained)}
    own["model.language.weights"] = words
    config = nw_ucla_llmar.get_config(arg)
    more = {} if config.model.language.train == "all" else SENTENCES
    return _config(config, SMALL, own, more, _named(fields))
