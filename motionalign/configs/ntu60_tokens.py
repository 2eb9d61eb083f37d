"""LLM-AR's first stage on NTU RGB+D 60: a motion tokenizer whose words are as wide as LLaMA's.

--config=configs/ntu60_tokens.py                     for LLaMA-2-7B
--config=configs/ntu60_tokens.py:13b                 for LLaMA-13B, as published
--config=configs/ntu60_tokens.py:euclidean           another codebook, or continuous features
--config=configs/ntu60_tokens.py:unbiased            without the biases towards human language

The second stage follows: --config=configs/ntu60_llmar.py. Sizes and training are those of T2M-GPT,
as LLM-AR publishes none.
"""

from ml_collections import ConfigDict

from motionalign.configs import common

LANGUAGE_MODELS = {"7b": "meta-llama/Llama-2-7b-hf", "13b": "huggyllama/llama-13b"}

BIASES = ("zipf", "context", "alignment")

VARIANTS = {
    "quantizer": ("hyperbolic", "euclidean", "none"),
    "biases": ("biased", "unbiased", *(f"no_{name}" for name in BIASES)),
}
"""Words of the config argument for the published ablation; the default first."""


def get_config(arg: str | None = None) -> ConfigDict:
    """The config; `arg` is what follows the colon."""
    chosen = common.parse_arg(arg, size=tuple(LANGUAGE_MODELS), **VARIANTS)
    c = common.base()
    use_recipe(c, chosen["quantizer"], chosen["biases"])
    c.data.datasets = "ntu60"
    c.model.tokenizer.words = LANGUAGE_MODELS[chosen["size"]]
    c.model.tokenizer.persons = 2
    c.data.batch_size = 256
    c.epochs = 60
    return c.lock()


def use_recipe(c: ConfigDict, quantizer: str, biases: str) -> None:
    """Sets what the first stage has in common on all datasets."""
    c.task = "tokens"
    c.loss.kind = "reconstruction"
    c.model.kind = "motion_tokenizer"
    c.model.tokenizer.quantizer = quantizer
    for name in BIASES:
        if biases in ("unbiased", f"no_{name}") or quantizer == "none":
            c.loss[name] = 0.0
    c.data.bodies.turn = 20.0
    c.data.bodies.scale = 0.1
    c.optim.b2 = 0.99
    c.optim.schedule = "cosine"
    c.optim.warmup_steps = 100
    c.optim.clip_norm = 1.0
    c.checkpoint_steps = 0
