"""Small towers trained from scratch on the built-in dataset: minutes on a laptop, no downloads."""

from ml_collections import ConfigDict

from motionalign.configs import common


def get_config(arg: str | None = None) -> ConfigDict:
    """The config; `arg` is what follows the colon."""
    common.parse_arg(arg)  # takes no argument
    c = common.base()
    c.data.datasets = "synthetic"
    c.epochs = 15
    c.data.batch_size = 64
    c.data.eval_batch_size = 64
    # Large buckets: compiling for more shapes would take longer than the padding costs.
    c.data.frame_bucket = 64
    c.data.text_bucket = 24

    c.model.motion.size = "custom"
    c.model.motion.width = 128
    c.model.motion.depth = 4
    c.model.motion.heads = 4
    c.model.motion.padding = "mask"
    c.model.text.family = "bert"
    c.model.text.width = 128
    c.model.text.depth = 2
    c.model.text.heads = 4
    c.model.text.vocab_size = 1000
    c.model.text.readout = "mean"
    c.model.text.dropout = 0.0
    c.model.text.max_tokens = 48
    c.model.embed_dim = 128
    c.model.head_dropout = 0.1
    c.model.learn_temperature = True

    c.optim.groups.motion_encoder.lr = 1e-3
    c.optim.groups.text_encoder.lr = 1e-3
    c.optim.groups.heads.lr = 1e-3
    c.optim.groups.temperature.lr = 1e-3
    c.optim.warmup_steps = 20
    c.optim.clip_norm = 1.0
    return c.lock()
