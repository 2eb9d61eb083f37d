"""Motion Patches on HumanML3D: ViT-B/16 from ImageNet-21k, DistilBERT, 256 dimensions.

--config=configs/humanml3d_vit.py          the recipe of the released code
--config=configs/humanml3d_vit.py:paper    the recipe of the paper's text
--config=configs/humanml3d_vit.py:Ti       another ViT: Ti, S, B or L

A comment gives the source of each value: the paper, its code, or our own choice. The paper states
neither epochs nor schedule nor dropout; the first and the last are then the code's. Fields not set
here keep our defaults from motionalign/config.py. Where the code decides, they equal it: Adam's
constants, no weight decay, heads, the mean of both directions as the loss (the paper has their
sum). Three do not: seed 0 (the code: 42), captions of at most 128 tokens (512), and the best
checkpoint by scores on the validation split (on the test split).
"""

from ml_collections import ConfigDict

from motionalign.configs import common


def get_config(arg: str | None = None) -> ConfigDict:
    """The config; `arg` is what follows the colon."""
    chosen = common.parse_arg(arg, size=("B", "Ti", "S", "L"), recipe=("code", "paper"))
    c = common.base()
    c.data.datasets = "humanml3d"
    c.epochs = 50  # the code
    c.model.motion.size = chosen["size"]  # B: the paper and the code; the others: its Table 8
    name = {"Ti": "tiny", "S": "small", "B": "base", "L": "large"}[chosen["size"]]
    # ImageNet-21k: the paper. Of timm's weights, those of ViT-B are the code's, the others ours.
    c.model.motion.weights = f"timm/vit_{name}_patch16_224.augreg_in21k"
    c.model.text.weights = "distilbert/distilbert-base-uncased"  # the paper: DistilBERT; the code
    use_recipe(c, chosen["recipe"])
    return c.lock()


def use_recipe(c: ConfigDict, recipe: str) -> None:
    """Sets the fields that differ between the paper's text and its released code."""
    groups = c.optim.groups
    c.model.temperature = 0.07  # the paper and the code
    c.model.head_dropout = 0.5  # the code, for HumanML3D
    groups.motion_encoder.lr = 1e-4  # the paper and the code
    groups.text_encoder.lr = 1e-5  # the paper and the code
    if recipe == "paper":  # Motion Patches, §3.3 and §4.3
        c.model.motion.pool = "class"  # the paper
        c.data.batch_size = 256  # the paper
        groups.heads.lr = 1e-3  # the paper
        # Learned: ours, as in CLIP; the paper says "0.07 following CLIP", which starts there.
        c.model.learn_temperature = True
        groups.temperature.lr = 1e-3  # ours
        c.optim.cosine_runs = 1.0  # ours: a cosine to zero at the end
    else:  # "code": the recipe of the released checkpoints
        c.model.motion.pool = "mean"  # the code
        c.data.batch_size = 128  # the code
        groups.heads.lr = 1e-4  # the code
        c.model.learn_temperature = False  # the code: a parameter that its optimizer does not get
        groups.temperature.lr = 0.0  # the code
        c.optim.cosine_runs = 2.0  # the code: half a cosine, to half of the rate
