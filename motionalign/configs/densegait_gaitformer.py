"""Walk and Text on DenseGait: retrieves and classifies walking people by their appearance.

--config=configs/densegait_gaitformer.py               triplets, attributes in words
--config=configs/densegait_gaitformer.py:descriptions  generated descriptions, as in the paper
--config=configs/densegait_gaitformer.py:classify      no text: 42 attributes by a linear classifier
--config=configs/densegait_gaitformer.py:augmented     with the augmentations of GaitFormer's code

Prepare the data with `python -m data_prep densegait`, then `python -m data_prep embed
--name=densegait`. Generate descriptions with `python -m data_prep describe --name=densegait
--kind=appearance`, and add them to the dataset with `embed --texts=FILE`.
"""

from ml_collections import ConfigDict

from motionalign.configs import common
from motionalign.configs.babel60_gaitformer import LOSSES, use_recipe
from motionalign.tasks.objectives import OBJECTIVES


def get_config(arg: str | None = None) -> ConfigDict:
    """The config; `arg` is what follows the colon."""
    chosen = common.parse_arg(
        arg,
        loss=LOSSES,
        texts=("words", "descriptions"),
        encoder=("gaitformer", "actor"),
        clips=("plain", "augmented"),
    )
    c = common.base()
    c.task = "attributes"
    c.data.datasets = "densegait"
    if OBJECTIVES[chosen["loss"]].compares:
        c.data.texts = chosen["texts"]  # "descriptions": the paper; "words" need no language model
    c.model.motion.family = chosen["encoder"]
    # The paper does not state the loss for DenseGait: triplets, as in the last version of the code.
    use_recipe(c, chosen["loss"])
    # The code at the paper's batch size, 256; in its last version the rate is 1e-5, at 128.
    for name in (
        "motion_encoder",
        "heads",
        *(["temperature"] if c.model.learn_temperature else []),
    ):
        c.optim.groups[name].lr = 1e-4
    if c.loss.mask_negatives:
        c.loss.mask_threshold = 0.95  # ours: attribute sets in words are all more than 0.8 similar
    c.epochs = 140  # the paper
    c.data.batch_size = 256  # the paper
    if chosen["clips"] == "augmented":  # GaitFormer's code; Walk and Text does not augment
        c.data.augment.crop = 120
        c.data.augment.paces = (0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0)
        c.data.augment.squeeze = 0.1
        c.data.augment.mirror = 0.5
        c.data.augment.reverse = 0.5
        c.data.augment.joint_noise = 5e-4
        c.data.augment.point_noise = 5e-4
    return c.lock()
