"""LLM-AR's second stage on UTD-MHAD with a small language model: minutes on a laptop.

--config=configs/utd_mhad_llmar.py                   SmolLM2-135M, frozen, with low-rank adapters
--config=configs/utd_mhad_llmar.py:all               the whole language model is trained
--config=configs/utd_mhad_llmar.py:random            the same language model with random weights

The first stage comes before: --config=configs/utd_mhad_tokens.py. The language model comes from the
Hub; --config.model.language.weights=FILE.gguf reads a file.
"""

from ml_collections import ConfigDict

from motionalign.configs.nw_ucla_llmar import small_config


def get_config(arg: str | None = None) -> ConfigDict:
    """The config; `arg` is what follows the colon."""
    return small_config("utd_mhad", "utd_mhad", arg)
