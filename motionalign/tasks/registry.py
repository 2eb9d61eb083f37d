"""The registry of tasks."""

from motionalign.tasks.attributes import Attributes
from motionalign.tasks.captions import Captions
from motionalign.tasks.labels import Labels
from motionalign.tasks.sentences import Sentences
from motionalign.tasks.task import Task
from motionalign.tasks.tokens import Tokens

TASKS: dict[str, type[Task]] = {
    "captions": Captions,
    "labels": Labels,
    "attributes": Attributes,
    "tokens": Tokens,
    "sentences": Sentences,
}
"""Tasks by value of config.task."""
