"""motionalign.tasks.registry."""

from motionalign.data.dataset import Dataset
from motionalign.tasks import classes
from motionalign.tasks.captions import evaluation_set


def check_evaluation(config, dataset: Dataset, split_name: str) -> None:
    """A ValueError where a split cannot be scored by the config's task."""
    if config.task == "captions":
        evaluation_set(dataset, split_name)
    else:
        classes.check(config, dataset, split_name)
