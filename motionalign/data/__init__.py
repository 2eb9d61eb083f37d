"""Prepared datasets in, batches on the device out."""

from typing import Any

from motionalign.data.dataset import Dataset as Dataset
from motionalign.data.dataset import Metadata as Metadata
from motionalign.data.records import Split as Split
from motionalign.data.representation import ClipCache as ClipCache

_OF_BATCHES = ("BatchPlan", "TrainingData", "parse_mixture")


def __getattr__(name: str) -> Any:
    """What comes from `batches`, which is imported when it is first asked for."""
    if name in _OF_BATCHES:
        # Grain and JAX take seconds to import; data_prep needs neither.
        from motionalign.data import batches

        return getattr(batches, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
