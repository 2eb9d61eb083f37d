"""LLM-AR's second stage on NW-UCLA with a small language model: minutes on a laptop.

--config=configs/nw_ucla_llmar.py                   SmolLM2-135M, frozen, with low-rank adapters
--config=configs/nw_ucla_llmar.py:all               the whole language model is trained
--config=configs/nw_ucla_llmar.py:random            the same language model with random weights

The first stage comes before: --config=configs/nw_ucla_tokens.py. The language model comes from the
Hub; --config.model.language.weights=FILE.gguf reads a file.
"""

from ml_collections import ConfigDict

from motionalign.configs import common
from motionalign.configs.ntu60_llmar import CONTROLS
from motionalign.configs.ntu60_llmar import use_recipe as use_llmar

LANGUAGE_MODEL = "HuggingFaceTB/SmolLM2-135M-Instruct"


def get_config(arg: str | None = None) -> ConfigDict:
    """The config; `arg` is what follows the colon."""
    return small_config("nw_ucla", "nw_ucla", arg, batch_size=8, mirror=0.5)  # no class has a side


def small_config(
    name: str, dataset: str, arg: str | None, batch_size: int = 4, mirror: float = 0.0
) -> ConfigDict:
    """The second stage with SmolLM2-135M.

    Args:
      name: name of the set; the first stage is the run of configs/NAME_tokens.py.
      dataset: name of the prepared dataset.
      arg: what follows the colon in --config.
      batch_size: sets of a few hundred clips need the steps of small batches.
      mirror: share of training clips in which left and right are exchanged.
    """
    chosen = common.parse_arg(arg, **CONTROLS)
    c = common.base()
    use_llmar(c, name, **chosen)
    c.data.datasets = dataset
    c.model.language.weights = LANGUAGE_MODEL
    c.dtype = "bfloat16"  # a step takes half the time of float32 on a CPU with its instructions
    if c.model.language.train == "adapters":
        # The random numbers of 210 adapters take most of the time that a CPU program is compiled.
        c.model.language.dropout = 0.0
    c.data.bodies.mirror = mirror
    c.data.batch_size = batch_size
    c.data.eval_batch_size = 32
    c.optim.groups.language_model.lr = 1e-4 if chosen["train"] == "all" else 5e-4
    c.epochs = 6
    return c.lock()
