"""Walk and Text on BABEL-60: recognises 60 actions by aligning a motion encoder with their texts.

--config=configs/babel60_gaitformer.py                    triplets, descriptions, 6D rotations
                                                          and translation
--config=configs/babel60_gaitformer.py:contrastive,words  contrastive loss, label words
--config=configs/babel60_gaitformer.py:rotations          6D rotations without translation
--config=configs/babel60_gaitformer.py:joints             joints instead of rotations
--config=configs/babel60_gaitformer.py:actor              the ACTOR-style encoder
--config=configs/babel60_gaitformer.py:classify           no text: a linear classifier

Prepare the data with `python -m data_prep babel`, then `python -m data_prep embed --name=babel`.
The published code scores by another protocol: `data_prep babel --protocol=walktext` with
`--name=babel_walktext`, and --config.data.datasets=babel_walktext here.
A comment gives the source of each value: the paper, its code, or our own choice. Fields not set
here keep our defaults from motionalign/config.py (Adam's constants also equal PyTorch's, and seed 0
that of the code).
"""

from ml_collections import ConfigDict

from motionalign.configs import common
from motionalign.tasks.objectives import OBJECTIVES

LOSSES = ("triplet", "mse", "contrastive", "classify")


def get_config(arg: str | None = None) -> ConfigDict:
    """The config; `arg` is what follows the colon."""
    chosen = common.parse_arg(
        arg,
        loss=LOSSES,
        texts=("descriptions", "words"),
        encoder=("gaitformer", "actor"),
        input=("rotations_translation", "rotations", "joints"),
    )
    c = common.base()
    c.task = "labels"
    c.data.datasets = "babel"
    if OBJECTIVES[chosen["loss"]].compares:
        c.data.texts = chosen["texts"]  # the paper has both and proposes generated descriptions
    c.model.motion.family = chosen["encoder"]  # "gaitformer": the paper; "actor": the code
    # 6D rotations: the paper; 24 of them and a row of translation: the code. That it is the root's
    # is ours: the code takes the right ankle's, of a body that it poses without translation.
    c.model.motion.input = chosen["input"]
    use_recipe(c, chosen["loss"])
    c.epochs = 200  # the paper
    c.data.batch_size = 80  # the paper
    return c.lock()


def use_recipe(c: ConfigDict, loss: str) -> None:
    """Sets what the paper's two experiments share (Walk and Text, III-E to III-G, and its code)."""
    c.model.motion.size = "B"  # 12 layers of width 768: the paper; heads and MLP: the code
    c.model.motion.max_frames = 60  # the paper
    c.data.sampling = "conseq"  # consecutive frames: the paper
    c.model.motion.pool = "first"  # the code
    c.model.motion.dropout = 0.1  # the code
    c.model.embed_dim = None  # the size of the text vectors, or the number of classes

    c.loss.kind = loss
    reads = OBJECTIVES[loss].entry.reads
    if OBJECTIVES[loss].compares:
        c.model.text.family = "frozen"  # the paper: UAE-Large-V1, the default of `data_prep embed`
        c.model.head_dropout = 0.1  # the code
    if "loss.margin" in reads:
        c.loss.margin = 10.0  # the code
    if "model.temperature" in reads:
        c.model.temperature = 0.07  # the code, where it is the initial value
        c.model.learn_temperature = True  # the code
        c.optim.groups.temperature.lr = 1e-5  # the code: one rate for all parameters
    if "loss.mask_negatives" in reads:
        c.loss.mask_negatives = True  # the paper
        # The code of the contrastive loss; for triplets it is ours. The paper says "a certain
        # threshold". The code sets the logit of a masked pair to 0; we leave the pair out, as the
        # paper says.
        c.loss.mask_threshold = 0.9

    for group in ("motion_encoder", "heads"):  # AdamW: the paper
        c.optim.groups[group].lr = 1e-5  # the paper, for BABEL-60
    c.optim.weight_decay = 0.1  # the code
    c.optim.decayed = "all"  # the code: biases, norms and the temperature too
    c.optim.schedule = "constant"  # the code
