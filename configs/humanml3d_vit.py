"""Motion Patches on HumanML3D: ViT-B/16 from ImageNet-21k, DistilBERT, 256 dimensions.

--config=configs/humanml3d_vit.py          the recipe of the released code
--config=configs/humanml3d_vit.py:paper    the recipe of the paper's text
--config=configs/humanml3d_vit.py:Ti       another ViT: Ti, S, B or L
"""

from configs import common


def get_config(arg=None):
    chosen = common.parse_arg(arg, size=("B", "Ti", "S", "L"), recipe=("code", "paper"))
    c = common.base()
    c.data.datasets = "humanml3d"
    c.epochs = 50
    c.model.motion.size = chosen["size"]
    # ImageNet-21k weights in Hugging Face's layout.
    c.model.motion.weights = {
        "Ti": "WinKawaks/vit-tiny-patch16-224",
        "S": "WinKawaks/vit-small-patch16-224",
        "B": "google/vit-base-patch16-224-in21k",
        "L": "google/vit-large-patch16-224-in21k",
    }[chosen["size"]]
    c.model.text.weights = "distilbert/distilbert-base-uncased"
    common.use_recipe(c, chosen["recipe"])
    return c.lock()
