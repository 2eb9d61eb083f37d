"""The registry of architectures: kinds, tasks and objectives that fit, groups of parameters."""

import pytest

from motionalign.models.architectures import ARCHITECTURES, architecture_of, groups_of
from motionalign.tasks.objectives import OBJECTIVES
from motionalign.tasks.registry import TASKS
from motionalign.tasks.schema import schema


def test_every_kind_has_a_task_and_an_objective_and_its_groups_are_fields():
    fields = schema().fields
    for kind, architecture in ARCHITECTURES.items():
        assert any(task.kind == kind for task in TASKS.values())
        assert any(objective.kind == kind for objective in OBJECTIVES.values())
        assert architecture_of(kind) is architecture
        for group in architecture.groups:
            assert f"optim.groups.{group}.lr" in fields


def test_an_unknown_kind():
    with pytest.raises(ValueError, match=r"kind is 'gan'; valid: .*'language_model'"):
        architecture_of("gan")


def test_groups_of_other_architectures_are_left_out_and_own_ones_stay():
    every = {name: {} for each in ARCHITECTURES.values() for name in each.groups}
    for kind, architecture in ARCHITECTURES.items():
        assert set(groups_of(kind, every)) == set(architecture.groups)
        assert set(groups_of(kind, {**every, "mine": {}})) == {*architecture.groups, "mine"}
