"""The complete schema of a run's config: shared fields and those of all registries."""

from motionalign.config import Schema
from motionalign.data.representation import inputs
from motionalign.models.architectures import ARCHITECTURES
from motionalign.models.families import motion_entries, size_entries, text_entries
from motionalign.tasks.objectives import OBJECTIVES
from motionalign.tasks.registry import TASKS


def schema() -> Schema:
    """The schema of all currently registered tasks, objectives, encoders and inputs."""
    return Schema(
        {
            "task": {name: task.entry for name, task in TASKS.items()},
            "loss.kind": {name: objective.entry for name, objective in OBJECTIVES.items()},
            "model.kind": {name: each.entry for name, each in ARCHITECTURES.items()},
            "model.motion.family": motion_entries(),
            "model.motion.size": size_entries(),
            "model.motion.input": {name: kind.entry for name, kind in inputs().items()},
            "model.text.family": text_entries(),
        }
    )
