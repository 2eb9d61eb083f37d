"""A mocap library of a few thousand clips: ViT-Ti from scratch and all-MiniLM-L6-v2.

--config=configs/mocap_small.py         our recipe
--config=configs/mocap_small.py:code    the recipe of Motion Patches' released code

Prepare the library with `python -m data_prep humanml3d --name=mocap --raw_dir=...`.
"""

from ml_collections import ConfigDict

from motionalign.configs import common, humanml3d_vit


def get_config(arg: str | None = None) -> ConfigDict:
    """The config; `arg` is what follows the colon."""
    recipe = common.parse_arg(arg, recipe=("ours", "code"))["recipe"]
    c = common.base()
    c.data.datasets = "mocap"
    c.epochs = 20
    c.model.motion.size = "Ti"
    c.model.text.family = "bert"
    c.model.text.weights = "sentence-transformers/all-MiniLM-L6-v2"
    c.model.text.readout = "first"
    c.data.text_bucket = 8  # captions of one length, about 30 tokens
    humanml3d_vit.use_recipe(c, "code")
    if recipe == "ours":  # twice as many steps, higher learning rates, less dropout
        c.data.batch_size = 64
        c.model.head_dropout = 0.1
        c.model.temperature = 0.05
        c.model.learn_temperature = True
        c.optim.groups.motion_encoder.lr = 3e-4
        c.optim.groups.text_encoder.lr = 3e-5
        c.optim.groups.heads.lr = 3e-4
        c.optim.groups.temperature.lr = 1e-3
        c.optim.cosine_runs = 1.0
        c.optim.warmup_steps = 40
        c.optim.weight_decay = 0.05
        c.optim.clip_norm = 1.0
    return c.lock()
