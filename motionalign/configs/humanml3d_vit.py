"""Motion Patches on HumanML3D: ViT-B/16 from ImageNet-21k, DistilBERT, 256 dimensions.

--config=configs/humanml3d_vit.py          the recipe of the released code
--config=configs/humanml3d_vit.py:paper    the recipe of the paper's text
--config=configs/humanml3d_vit.py:Ti       another ViT: Ti, S, B or L
"""

from ml_collections import ConfigDict

from motionalign.configs import common


def get_config(arg: str | None = None) -> ConfigDict:
    """The config; `arg` is what follows the colon."""
    chosen = common.parse_arg(arg, size=("B", "Ti", "S", "L"), recipe=("code", "paper"))
    c = common.base()
    c.data.datasets = "humanml3d"
    c.epochs = 50
    c.model.motion.size = chosen["size"]
    # ImageNet-21k weights from timm; those of ViT-B are the ones that the published code uses.
    name = {"Ti": "tiny", "S": "small", "B": "base", "L": "large"}[chosen["size"]]
    c.model.motion.weights = f"timm/vit_{name}_patch16_224.augreg_in21k"
    c.model.text.weights = "distilbert/distilbert-base-uncased"
    use_recipe(c, chosen["recipe"])
    return c.lock()


def use_recipe(c: ConfigDict, recipe: str) -> None:
    """Sets the fields that differ between the paper's text and its released code."""
    groups = c.optim.groups
    if recipe == "paper":  # Motion Patches, §3.3 and §4.3
        c.model.motion.pool = "class"
        c.data.batch_size = 256
        groups.motion_encoder.lr = 1e-4
        groups.text_encoder.lr = 1e-5
        groups.heads.lr = 1e-3
        c.model.temperature = 0.07
        c.model.learn_temperature = True
        groups.temperature.lr = 1e-3
        c.model.head_dropout = 0.5  # the code; not stated in the paper
    else:  # "code": the recipe of the released checkpoints
        c.model.motion.pool = "mean"
        c.data.batch_size = 128
        groups.motion_encoder.lr = 1e-4
        groups.text_encoder.lr = 1e-5
        groups.heads.lr = 1e-4
        c.model.temperature = 0.07
        c.model.learn_temperature = False
        groups.temperature.lr = 0.0
        c.model.head_dropout = 0.5
        c.optim.cosine_runs = 2.0
