"""Input pipeline: reads prepared datasets and assembles batches on the device."""

from typing import Any

from motionalign.data.dataset import Dataset as Dataset
from motionalign.data.dataset import Metadata as Metadata
from motionalign.data.records import Split as Split
from motionalign.data.representation import ClipCache as ClipCache

_OF_BATCHES = ("BatchPlan", "TrainingData", "parse_mixture")


def __getattr__(name: str) -> Any:
    """Imports names of the `batches` module on first access."""
    if name in _OF_BATCHES:
        # Grain and JAX take seconds to import, and data_prep needs neither.
        from motionalign.data import batches

        return getattr(batches, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
