"""LLM-AR's first stage on SBU Kinect Interaction, for SmolLM2-135M: minutes on a laptop.

--config=configs/sbu_tokens.py                  all biases, hyperbolic codebook
--config=configs/sbu_tokens.py:euclidean   another codebook; none: continuous features
--config=configs/sbu_tokens.py:unbiased    no biases; or no_zipf, no_context, ...

The second stage follows: --config=configs/sbu_llmar.py.
"""

from ml_collections import ConfigDict

from motionalign.configs.nw_ucla_tokens import small_config


def get_config(arg: str | None = None) -> ConfigDict:
    """The config; `arg` is what follows the colon."""
    return small_config("sbu_1", 2, arg, mirror=0.5)  # no class has a side
