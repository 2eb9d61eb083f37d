"""The config that a trained model was trained with: what --mode=eval takes without --config.

--config=configs/checkpoint.py:runs/humanml3d

Of a converted or shared model, which holds no whole config, the defaults with its own task,
datasets and batch sizes. The devices are those of this machine.
"""

from ml_collections import ConfigDict

from motionalign.configs import common


def get_config(arg: str | None = None) -> ConfigDict:
    """The config; `arg` is what follows the colon."""
    if not arg:
        raise ValueError("name the model: --config=configs/checkpoint.py:FOLDER")
    from motionalign.checkpoints.shared import open_saved
    from motionalign.config import migrate_config
    from motionalign.tasks.schema import schema

    run = open_saved(arg).run
    c = common.base()
    c.data.datasets = ",".join(run["datasets"])
    if run["trained"]:
        c.task = run["trained"]["task"]
    stored = run["config"]
    whole = "model" in stored
    c.update(migrate_config(stored, schema()) if whole else stored)
    c.mesh.update(common.base().mesh)
    return c.lock()
