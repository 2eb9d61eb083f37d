"""A labelled mocap library of a few thousand clips: actions recognised from text, on a laptop.

--config=configs/mocap_actions.py:contrastive             or triplet, mse; by the labels' words
--config=configs/mocap_actions.py:triplet,descriptions    by descriptions of the actions
--config=configs/mocap_actions.py:classify                no text: a linear classifier
--config=configs/mocap_actions.py:attributes,contrastive  attributes instead of actions; or classify

A small GaitFormer trained towards the vectors of all-MiniLM-L6-v2. Prepare the library with
`python -m data_prep humanml3d --name=actions --raw_dir=... --labels_csv=... --label=...
--attributes=...`, then embed its texts; the README has the commands, docs/results.md what came out.
"""

from ml_collections import ConfigDict

from motionalign.configs import common
from motionalign.configs.babel60_gaitformer import LOSSES, use_recipe
from motionalign.tasks.objectives import OBJECTIVES


def get_config(arg: str | None = None) -> ConfigDict:
    """The config; `arg` is what follows the colon."""
    chosen = common.parse_arg(
        arg, loss=LOSSES, texts=("words", "descriptions"), task=("actions", "attributes")
    )
    c = common.base()
    c.data.datasets = "actions"
    if OBJECTIVES[chosen["loss"]].compares:
        c.data.texts = chosen["texts"]
    use_recipe(c, chosen["loss"])
    c.model.motion.family = "gaitformer"
    c.model.motion.size = "custom"
    c.model.motion.width = 192
    c.model.motion.depth = 4
    c.model.motion.heads = 4
    c.model.motion.pool = "mean"
    c.data.batch_size = 64
    if "loss.margin" in OBJECTIVES[chosen["loss"]].entry.reads:
        c.loss.margin = 1.0  # this encoder's vectors of two actions lie from 1 to 5 apart
    if c.loss.mask_negatives:
        # Only clips of the same action: "raise up left hand" is almost "right" to the text encoder.
        c.loss.mask_threshold = 1.0
    for group in ("motion_encoder", "heads"):
        c.optim.groups[group].lr = 1e-3
    c.optim.schedule = "cosine"
    c.optim.warmup_steps = 40
    c.optim.clip_norm = 1.0
    if chosen["task"] == "actions":
        c.task = "labels"
        c.epochs = 8
    else:
        c.task = "attributes"
        c.epochs = 30  # for some hundred clips
    return c.lock()
