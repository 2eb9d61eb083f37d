"""LLM-AR's second stage on SBU Kinect Interaction with a small language model: minutes on a laptop.

--config=configs/sbu_llmar.py                   SmolLM2-135M, frozen, with low-rank adapters
--config=configs/sbu_llmar.py:all               the whole language model is trained
--config=configs/sbu_llmar.py:random            the same language model with random weights

The first stage comes before: --config=configs/sbu_tokens.py. The language model comes from the
Hub; --config.model.language.weights=FILE.gguf reads a file.
"""

from ml_collections import ConfigDict

from motionalign.configs.nw_ucla_llmar import small_config


def get_config(arg: str | None = None) -> ConfigDict:
    """The config; `arg` is what follows the colon."""
    return small_config("sbu", "sbu_1", arg, mirror=0.5)  # no class has a side
