"""LLM-AR's first stage on NW-UCLA, for SmolLM2-135M: minutes on a laptop.

--config=configs/nw_ucla_tokens.py                  all biases, hyperbolic codebook
--config=configs/nw_ucla_tokens.py:euclidean   another codebook; none: continuous features
--config=configs/nw_ucla_tokens.py:unbiased    no biases; or no_zipf, no_context, ...

The second stage follows: --config=configs/nw_ucla_llmar.py.
"""

from ml_collections import ConfigDict

from motionalign.configs import common
from motionalign.configs.ntu60_tokens import VARIANTS
from motionalign.configs.ntu60_tokens import use_recipe as use_tokens
from motionalign.configs.nw_ucla_llmar import LANGUAGE_MODEL


def get_config(arg: str | None = None) -> ConfigDict:
    """The config; `arg` is what follows the colon."""
    return small_config("nw_ucla", 1, arg, mirror=0.5)  # no class has a side


def small_config(dataset: str, persons: int, arg: str | None, mirror: float = 0.0) -> ConfigDict:
    """The first stage for SmolLM2-135M.

    Args:
      dataset: name of the prepared dataset.
      persons: the most persons of a clip.
      arg: what follows the colon in --config.
      mirror: share of training clips in which left and right are exchanged.
    """
    chosen = common.parse_arg(arg, **VARIANTS)
    c = common.base()
    use_tokens(c, **chosen)
    c.data.datasets = dataset
    c.model.tokenizer.words = LANGUAGE_MODEL
    c.model.tokenizer.persons = persons
    c.model.tokenizer.width = 128
    if c.model.tokenizer.quantizer in ("hyperbolic", "euclidean"):
        # Ours: features of a thousand clips move quickly at first, and codes have to follow.
        c.model.tokenizer.factor = 64
        c.model.tokenizer.decay = 0.95
    c.data.bodies.mirror = mirror
    c.data.batch_size = 64
    c.optim.groups.motion_tokenizer.lr = 1e-3
    c.epochs = 30
    return c.lock()
