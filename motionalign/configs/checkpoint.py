"""The config of a trained model; used by --mode=eval if no --config is given.

--config=configs/checkpoint.py:runs/humanml3d

A converted or shared model does not store a complete config. Its task, datasets and batch sizes
then override the defaults. The mesh is always that of this machine.
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
