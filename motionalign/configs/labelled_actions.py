"""Labelled sets of one or two thousand clips, read by GaitFormer: what stands beside LLM-AR.

--config=configs/labelled_actions.py                     NW-UCLA, a linear classifier, no text
--config=configs/labelled_actions.py:utd_mhad            UTD-MHAD; or sbu, one fold of
                                                         SBU Kinect Interaction
--config=configs/labelled_actions.py:contrastive         aligned with the words of the classes (Walk
                                                         and Text), to name classes that no training
                                                         clip has

Prepare a set with `python -m data_prep labelled`, as `--help` of it shows; for a contrastive model,
embed its texts with `python -m data_prep embed`. GaitFormer reads one person: two persons have to
be prepared as one body (benchmarks/pairs.py). Sizes are ours; steps, dropout and augmentation were
chosen by accuracy on the validation splits of NW-UCLA and UTD-MHAD.
"""

from ml_collections import ConfigDict

from motionalign.configs import common
from motionalign.configs.babel60_gaitformer import use_recipe
from motionalign.tasks.objectives import OBJECTIVES

SETS = {"nw_ucla": "nw_ucla", "utd_mhad": "utd_mhad", "sbu": "sbu_1_pairs"}
"""{set: the name of its prepared dataset}."""


def get_config(arg: str | None = None) -> ConfigDict:
    """The config; `arg` is what follows the colon."""
    chosen = common.parse_arg(arg, set=tuple(SETS), loss=("classify", "contrastive"))
    c = common.base()
    c.task = "labels"
    c.data.datasets = SETS[chosen["set"]]
    use_recipe(c, chosen["loss"])
    c.model.motion.family = "gaitformer"
    c.model.motion.size = "custom"
    c.model.motion.width = 128
    c.model.motion.depth = 4
    c.model.motion.heads = 4
    c.model.motion.pool = "mean"
    c.model.motion.dropout = 0.1
    # Clips last from 1 to 200 frames. Of a long one, training draws frames at random, in order, and
    # evaluation takes frames that are spread evenly: both see the whole clip.
    c.model.motion.max_frames = 32
    c.data.sampling = "random"
    c.data.augment.joint_noise = 0.01  # metres
    c.data.augment.squeeze = 0.1
    if chosen["set"] == "nw_ucla":
        c.data.augment.mirror = 0.5  # no class has a side; those of UTD-MHAD have
    c.data.batch_size = 16
    reads = OBJECTIVES[chosen["loss"]].entry.reads
    if c.loss.mask_negatives:
        c.loss.mask_threshold = 1.0  # only clips of the same class are no negatives of each other
    if "model.temperature" in reads:
        c.model.learn_temperature = False
        c.optim.groups.temperature.lr = 0.0
    for group in ("motion_encoder", "heads"):
        c.optim.groups[group].lr = 1e-3
    c.optim.decayed = "kernels"
    c.optim.schedule = "cosine"
    c.optim.warmup_steps = 40
    c.optim.clip_norm = 1.0
    c.checkpoint_steps = 0
    # Steps matter most: on 431 clips, 1,700 steps of 32 clips reach 83 % of validation, 3,240 of 16
    # reach 98 %.
    c.epochs = {"nw_ucla": 60, "utd_mhad": 120, "sbu": 240}[chosen["set"]]
    return c.lock()
