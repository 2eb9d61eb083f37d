"""A labelled mocap library of a few thousand clips: recognises actions from text, on a laptop.

--config=configs/mocap_actions.py:contrastive             or triplet, mse; label words as texts
--config=configs/mocap_actions.py:triplet,descriptions    descriptions of the actions as texts
--config=configs/mocap_actions.py:classify                no text: a linear classifier
--config=configs/mocap_actions.py:attributes,contrastive  attributes instead of actions; or classify

A small GaitFormer, aligned with the sentence vectors of all-MiniLM-L6-v2. Prepare the library with
`python -m data_prep humanml3d --name=actions --raw_dir=... --labels_csv=... --label=...
--attributes=...`, then embed its texts. The README has the commands, docs/results.md the results.
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
        c.loss.margin = 1.0  # the vectors of two actions by this encoder are 1 to 5 apart
    if c.loss.mask_negatives:
        # Masks clips of the same action only: for the text encoder, "raise up left hand" is almost
        # identical to "raise up right hand".
        c.loss.mask_threshold = 1.0
    if "model.temperature" in OBJECTIVES[chosen["loss"]].entry.reads:
        c.model.learn_temperature = False
        c.optim.groups.temperature.lr = 0.0
    for group in ("motion_encoder", "heads"):
        c.optim.groups[group].lr = 1e-3
    c.optim.decayed = "kernels"
    c.optim.schedule = "cosine"
    c.optim.warmup_steps = 40
    c.optim.clip_norm = 1.0
    if chosen["task"] == "actions":
        c.task = "labels"
        c.epochs = 8
    else:
        c.task = "attributes"
        c.epochs = 30  # for a few hundred clips
    return c.lock()
