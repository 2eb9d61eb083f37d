"""Every task is in the file of its name and implements the complete interface."""

import inspect

import pytest

from motionalign.configs import common
from motionalign.tasks.registry import TASKS
from motionalign.tasks.schema import schema
from motionalign.tasks.task import Task

each_task = pytest.mark.parametrize("name", TASKS)


def test_names():
    assert list(TASKS) == ["captions", "labels", "attributes", "tokens", "sentences"]


@each_task
def test_a_task_is_in_the_file_of_its_name(name):
    assert TASKS[name].name == name
    assert TASKS[name].__module__ == f"motionalign.tasks.{name}"


@each_task
def test_a_task_implements_the_interface(name):
    config = common.base()
    config.task = name
    task = TASKS[name](config)
    methods = {
        method: inspect.signature(function)
        for method, function in inspect.getmembers(Task, inspect.isfunction)
        if not method.startswith("_")
    }
    assert set(methods) == {
        "class_of", "texts", "targets", "classes", "check", "validate", "evaluate",
    }  # fmt: skip
    for method, signature in methods.items():
        own = inspect.signature(getattr(TASKS[name], method))
        assert list(own.parameters) == list(signature.parameters), method
    for attribute in Task.__annotations__:
        assert hasattr(task, attribute), attribute
    assert task.has_classes == (task.exclusive is not None)


@each_task
def test_a_task_reads_existing_fields(name):
    assert set(TASKS[name].entry.all_reads) <= schema().fields.keys()


def test_tasks_differ_in_the_number_of_classes_per_clip():
    """`evaluate.check_fit` identifies a classifier's task by `exclusive`."""
    of_dual_encoders = [task for task in TASKS.values() if task.kind == TASKS["labels"].kind]
    kinds = [task.exclusive for task in of_dual_encoders]
    assert len(set(kinds)) == len(kinds) == 3
