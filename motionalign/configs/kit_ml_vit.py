"""Motion Patches on KIT-ML: ViT-B/16 from ImageNet-21k, DistilBERT, 256 dimensions.

Takes the same arguments as humanml3d_vit.py, whose comments give the source of each value that is
not set here.
"""

from ml_collections import ConfigDict

from motionalign.configs import common, humanml3d_vit


def get_config(arg: str | None = None) -> ConfigDict:
    """The config; `arg` is what follows the colon."""
    chosen = common.parse_arg(arg, size=("B", "Ti", "S", "L"), recipe=("code", "paper"))
    c = humanml3d_vit.get_config(arg).unlock()
    c.data.datasets = "kit_ml"
    c.model.head_dropout = 0.0  # the code, for KIT-ML
    if chosen["recipe"] == "code":
        for group in ("motion_encoder", "text_encoder", "heads"):
            c.optim.groups[group].lr = 1e-5  # the code: its factors for KIT-ML are all 1
    return c.lock()
