"""Prepared datasets in, batches on the device out."""

from motionalign.data.batches import (
    BatchPlan as BatchPlan,
)
from motionalign.data.batches import (
    TrainingData as TrainingData,
)
from motionalign.data.batches import (
    parse_mixture as parse_mixture,
)
from motionalign.data.dataset import Dataset as Dataset
from motionalign.data.dataset import Metadata as Metadata
from motionalign.data.records import Split as Split
from motionalign.data.representation import ClipCache as ClipCache
