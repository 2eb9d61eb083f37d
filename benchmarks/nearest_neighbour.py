"""Action recognition without a model: the training clip with the nearest mean pose.

  python -m benchmarks.nearest_neighbour --data_dir=data --dataset=actions

The baseline beside the tables of configs/mocap_actions.py in docs/results.md: joints with the first
frame's root at the origin, their mean over the frames, z-scored; the class of the nearest clip.
"""

import argparse

import numpy as np

from motionalign import recognition
from motionalign.records import Dataset


def features(dataset: Dataset, split_name: str) -> tuple[np.ndarray, np.ndarray]:
    """Mean poses [N, J * C] and labels [N] of the labelled clips of a split."""
    split = dataset.split(split_name)
    known = np.flatnonzero(split.labels >= 0)
    clips = [split[i]["joints"][:, 0] for i in known]
    dims = dataset.metadata.skeleton.dims
    return (
        recognition.pooled_joints([clip[..., :dims] - clip[:1, :1, :dims] for clip in clips]),
        split.labels[known],
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data_dir", default="data")
    parser.add_argument("--dataset", default="actions", help="a prepared dataset with labels")
    parser.add_argument("--train_split", default="train")
    parser.add_argument("--test_split", default="test")
    args = parser.parse_args()
    dataset = Dataset(args.data_dir, args.dataset)
    names = dataset.metadata.label_names
    train, train_labels = features(dataset, args.train_split)
    test, labels = features(dataset, args.test_split)
    scores = recognition.nearest_neighbour(train, train_labels, test, len(names))
    found = recognition.recognise(scores, labels, names)
    print(recognition.format_table({"nearest mean pose": found}))


if __name__ == "__main__":
    main()
