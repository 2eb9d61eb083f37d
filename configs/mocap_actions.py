"""A labelled mocap library of a few thousand clips: actions recognised from text, on a laptop.

--config=configs/mocap_actions.py:triplet,descriptions   or mse, contrastive, classify; words
--config=configs/mocap_actions.py:styles,classify        attributes instead of actions

A small GaitFormer trained towards the vectors of all-MiniLM-L6-v2. Prepare the library with
`python -m data_prep humanml3d --name=actions --raw_dir=... --labels_csv=... --label=...
--attributes=...`, then embed its texts; docs/results.md has the commands.
"""

from configs import common
from configs.babel60_gaitformer import LOSSES, use_recipe


def get_config(arg=None):
    chosen = common.parse_arg(
        arg, loss=LOSSES, texts=("descriptions", "words"), task=("actions", "styles")
    )
    c = common.base()
    c.data.texts = chosen["texts"]
    use_recipe(c, chosen["loss"])
    c.model.motion.family = "gaitformer"
    c.model.motion.size = "custom"
    c.model.motion.width = 192
    c.model.motion.depth = 4
    c.model.motion.heads = 4
    c.model.motion.pool = "mean"
    c.data.batch_size = 64
    c.loss.margin = 1.0  # this encoder's vectors of two actions lie from 1 to 5 apart
    # Only clips of the same action: "raise up left hand" is almost "right" to the text encoder.
    c.loss.mask_threshold = 1.0
    for group in ("motion_encoder", "heads"):
        c.optim.groups[group].lr = 1e-3
    c.optim.schedule = "cosine"
    c.optim.warmup_steps = 40
    c.optim.clip_norm = 1.0
    if chosen["task"] == "actions":
        c.epochs = 8
        c.task = "labels"
        c.data.datasets = "actions"
    else:
        c.epochs = 30  # of fewer clips
        c.task = "attributes"
        c.data.datasets = "walks"
    return c.lock()
