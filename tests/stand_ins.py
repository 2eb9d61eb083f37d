"""Stand-ins for the parts of a dataset and of a model that tasks use."""

import dataclasses

import numpy as np

from motionalign.data.cuts import cut_clips
from motionalign.data.dataset import CaptionVectors, Dataset, Metadata
from motionalign.skeleton import SKELETONS

CUT = cut_clips(list("abcdefghi"), [1, 5, 2, 3, 6, 1, 1, 1, 1], 4, "part used: start")


class Split:
    """A split of n records; clip i is one frame in which all joint coordinates are i."""

    def __init__(self, labels=(), attributes=None, name="test"):
        count = len(labels) if attributes is None else len(attributes)
        self.name = name
        self.ids = self.sources = [f"clip {i}" for i in range(count)]
        self.mirrored_of = [""] * count
        self.captions = [[f"caption {i}", "another"] for i in range(count)]
        self.num_frames = np.ones(count, int)
        labels = np.asarray(labels, int)
        self.all_labels = labels if labels.ndim == 2 else labels[:, None]  # [n, 1 + m]
        self.attributes = np.asarray(attributes if attributes is not None else [[]] * count)

    @property
    def labels(self):
        return self.all_labels[:, 0]

    @property
    def more_labels(self):
        return self.all_labels[:, 1:]

    def __len__(self):
        return len(self.ids)

    def __getitem__(self, row):
        joints = np.full((1, 1, 22, 3), row, np.float32)
        return {"joints": joints, "span": np.zeros(2, np.float32)}

    def evaluation_rows(self):
        return np.arange(len(self))


@dataclasses.dataclass(eq=False)
class SomeDataset:
    """A dataset with one split, called test."""

    split_of: Split
    metadata: Metadata
    texts: dict = dataclasses.field(default_factory=dict)
    caption_vectors: CaptionVectors | None = None
    name: str = "mine"
    version_dir: str = "data/mine"

    require_caption_vectors = Dataset.require_caption_vectors

    def split(self, name):
        assert name == self.split_of.name
        return self.split_of


def metadata(**classes):
    still, moving = np.zeros((22, 3)), np.ones((22, 3))
    return Metadata("mine", SKELETONS["smpl22"], 16, 20.0, 1.0, still, moving, 20.0, **classes)


@dataclasses.dataclass
class Predict:
    """A predictor that returns the vectors, or the logits of a classifier, chosen by a test.

    clips: [n, E] by row. vectors: {text: [E]}.
    """

    clips: np.ndarray
    vectors: dict = dataclasses.field(default_factory=dict)
    distance: str = "euclidean"
    class_names: tuple[str, ...] = ()
    knows_names: bool = True
    trained: dict | None = None
    cut: tuple = ()  # of motionalign.data.cuts.Cut
    about: dict = dataclasses.field(default_factory=dict)

    def cuts(self, dataset, split, rows, texts=()):
        return list(self.cut)

    def motions(self, dataset, split, rows):
        return np.asarray(self.clips, np.float32)[rows]

    def texts(self, dataset, texts, name="texts"):
        missing = [text for text in texts if text not in self.vectors]
        if missing:
            raise ValueError(f"no vector of {missing[0]!r}")
        return np.array([self.vectors[text] for text in texts], np.float32)

    def class_vectors(self, dataset, texts):
        return [self.texts(dataset, of_class) for of_class in texts]

    def probabilities(self, logits):
        return 1 / (1 + np.exp(-logits))

    def scale(self):
        return 10.0

    def rest(self):
        return {}

    def text_encoder(self, dataset):
        return "a stub"
