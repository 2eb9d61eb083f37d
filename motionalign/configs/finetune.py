"""Fine-tunes a model: a run, a converted checkpoint, a shared folder or a Hub id.

--config=configs/finetune.py:runs/humanml3d --config.data.datasets=mine

A learning rate of 0 freezes a tower, and no optimizer state is kept for it:
--config.optim.groups.text_encoder.lr=0
"""

from ml_collections import ConfigDict

from motionalign.configs import common


def get_config(arg: str | None = None) -> ConfigDict:
    """The config; `arg` is what follows the colon."""
    if not arg:
        raise ValueError("name the model to fine-tune: --config=configs/finetune.py:FOLDER")
    from motionalign.checkpoints.shared import open_saved
    from motionalign.models.build import section_of
    from motionalign.models.dual_encoder import DualEncoderConfig

    run = open_saved(arg).run
    if run["kind"] != "dual_encoder":
        raise ValueError(
            f"{arg} is a {run['kind']}; this config fine-tunes models of motions and texts. The "
            "stages of LLM-AR have configs of their own, such as configs/nw_ucla_llmar.py"
        )
    c = common.base()
    c.data.datasets = ",".join(run["datasets"])
    c.model.update(section_of(DualEncoderConfig.from_dict(run["architecture"])))
    c.model.weights = arg
    c.epochs = 10
    c.data.batch_size = 64
    # A tenth of the rates for training from scratch, decaying towards the input of each tower.
    for name, lr in (("motion_encoder", 3e-5), ("text_encoder", 1e-5), ("heads", 1e-4)):
        c.optim.groups[name].lr = lr
    c.optim.groups.motion_encoder.layer_decay = 0.8
    c.optim.groups.text_encoder.layer_decay = 0.8
    c.optim.groups.temperature.lr = 1e-4 if c.model.learn_temperature else 0.0
    c.optim.warmup_steps = 20
    c.optim.clip_norm = 1.0
    return c.lock()
