"""The registry of tasks."""

from motionalign.tasks.attributes import Attributes
from motionalign.tasks.captions import Captions
from motionalign.tasks.labels import Labels
from motionalign.tasks.sentences import Sentences
from motionalign.tasks.task import Task

TASKS: dict[str, type[Task]] = {
    "captions": Captions,
    "labels": Labels,
    "attributes": Attributes,
    "sentences": Sentences,
}
"""Tasks by value of config.task."""
