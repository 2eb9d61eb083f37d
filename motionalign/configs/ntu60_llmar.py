"""LLM-AR's second stage on NTU RGB+D 60: LLaMA reads motion tokens and names the action.

--config=configs/ntu60_llmar.py                  LLaMA-2-7B, frozen, with low-rank adapters
--config=configs/ntu60_llmar.py:13b              LLaMA-13B, as published
--config=configs/ntu60_llmar.py:all              the whole language model is trained
--config=configs/ntu60_llmar.py:random           the same language model with random weights

The first stage comes before: --config=configs/ntu60_tokens.py. LLM-AR publishes neither code nor
the values of its training; rank, alpha and batch size are those of SUGAR (AAAI 2026), the others
are ours. `--config.model.language.base=int8` or nf4 stores the frozen language model in less
memory; docs/scale.md has the memory per device.
"""

from ml_collections import ConfigDict

from motionalign.configs import common

LANGUAGE_MODELS = {"7b": "meta-llama/Llama-2-7b-hf", "13b": "huggyllama/llama-13b"}


def get_config(arg: str | None = None) -> ConfigDict:
    """The config; `arg` is what follows the colon."""
    chosen = common.parse_arg(arg, size=tuple(LANGUAGE_MODELS), **CONTROLS)
    c = common.base()
    use_recipe(c, "ntu60", **{name: chosen[name] for name in CONTROLS})
    c.model.language.weights = LANGUAGE_MODELS[chosen["size"]]
    c.model.language.instruction = "listed"
    c.model.language.remat = True
    c.dtype = "bfloat16"
    c.data.batch_size = 128
    c.data.eval_batch_size = 64
    if c.model.language.train == "adapters":
        c.model.language.rank = 64
        c.model.language.alpha = 16.0
        # Random numbers for each of some 220 adapters make a program that takes several times as
        # long, and 12 GB of memory, to compile (ours).
        c.model.language.dropout = 0.0
    c.optim.groups.language_model.lr = 2e-5 if chosen["train"] == "all" else 2e-4
    c.epochs = 3
    return c.lock()


CONTROLS = {"train": ("adapters", "all"), "start": ("pretrained", "random")}
"""Words of the config argument for the controls of the published ablation; the default first."""


def use_recipe(c: ConfigDict, dataset: str, train: str, start: str) -> None:
    """Sets what the second stage has in common on all datasets."""
    c.task = "sentences"
    c.loss.kind = "answer"
    c.model.kind = "language_model"
    c.model.weights = f"runs/{dataset}_tokens"
    c.model.language.train = train
    c.model.language.random = start == "random"
    c.data.datasets = dataset
    c.data.bodies.turn = 20.0
    c.data.bodies.scale = 0.1
    c.optim.schedule = "cosine"
    c.optim.warmup_steps = 50
    c.optim.weight_decay = 0.01
    c.optim.b2 = 0.99
    c.optim.clip_norm = 1.0
    c.checkpoint_steps = 0
