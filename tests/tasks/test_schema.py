"""The schema of the project, which joins all registries."""

import dataclasses

import pytest

from motionalign import config
from motionalign.config import Entry, Field
from motionalign.data.representation import inputs
from motionalign.models.families import FROZEN, MOTION_FAMILIES, TEXT_FAMILIES
from motionalign.tasks.objectives import MSE, OBJECTIVES
from motionalign.tasks.registry import TASKS
from motionalign.tasks.schema import schema


def test_choices_come_from_the_registries():
    fields = schema().fields
    assert list(fields["task"].choices) == list(TASKS)
    assert list(fields["loss.kind"].choices) == list(OBJECTIVES)
    assert list(fields["model.motion.input"].choices) == list(inputs())
    assert list(fields["model.text.family"].choices) == [*TEXT_FAMILIES, FROZEN]
    families = [name for family in MOTION_FAMILIES.values() for name in family.variants]
    assert list(fields["model.motion.family"].choices) == families
    assert list(config.FIELDS) == [n for n in fields if n in config.FIELDS]  # in their order


@dataclasses.dataclass
class LogCosh(MSE):
    """An objective as a user would add it."""

    entry = Entry(
        reads=MSE.entry.reads,
        fields={"loss.softness": Field(1.0, "Where the loss turns linear.", above=0, high=1e6)},
    )


def test_a_registered_entry_adds_its_fields(monkeypatch):
    assert "loss.softness" not in schema().fields
    monkeypatch.setitem(OBJECTIVES, "log_cosh", LogCosh)
    fields = schema()
    base = fields.base()
    assert base.loss.softness == 1.0
    base.update(
        {"loss": {"kind": "log_cosh", "softness": 0.5}, "model": {"text": {"family": FROZEN}}}
    )
    fields.validate(base)
    base.loss.softness = 0.0
    with pytest.raises(ValueError, match=r"config\.loss\.softness is 0\.0; expected above 0 and"):
        fields.validate(base)
    base.update({"loss": {"kind": "mse", "softness": 0.5}})
    with pytest.raises(
        ValueError, match=r"loss\.softness is 0\.5, .* is 'mse', and only 'log_cosh' r"
    ):
        fields.validate(base)
