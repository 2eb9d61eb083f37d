"""Action recognition without a model: the class of the training clip with the nearest mean pose.

  python -m benchmarks.nearest_neighbour --data_dir=data --dataset=actions

This is the baseline for the tables of configs/mocap_actions.py in docs/results.md. The features of
a clip are its joints, with the root of the first frame at the origin, averaged over frames and
z-scored.
"""

import argparse
from collections.abc import Sequence

import numpy as np

from motionalign.data.dataset import Dataset
from motionalign.inference.similarity import checked_matrix, squared_distances
from motionalign.metrics import checked_labels
from motionalign.tasks.labels import recognise, recognition_table

# Number of distances computed at a time: 128 MiB.
_BLOCK = 1 << 24


# The baseline without a model --------------------------------------------------------------------


def pooled_joints(clips: Sequence[np.ndarray]) -> np.ndarray:
    """The mean pose of every clip.

    Args:
      clips: N arrays [T, J, C] of any lengths, with the root of the first frame at the origin (or
        with position and scale made comparable in another way).

    Returns:
      [N, J * C] float64, the mean over frames.

    Raises:
      ValueError: no clips, clips without frames, with different joints, or not finite.
    """
    clips = [np.asarray(clip) for clip in clips]
    if not clips:
        raise ValueError("no clips are given")
    for i, clip in enumerate(clips):
        if clip.ndim != 3 or not clip.size or clip.shape[1:] != clips[0].shape[1:]:
            raise ValueError(
                f"clips must be [T, J, C] with the same J and C; clip 0 has shape "
                f"{clips[0].shape}, clip {i} has {clip.shape}"
            )
    pooled = np.stack([clip.mean(axis=0, dtype=np.float64).ravel() for clip in clips])
    return checked_matrix(pooled, "mean poses of the clips")


def nearest_neighbour(
    train: np.ndarray, train_labels: np.ndarray, test: np.ndarray, num_classes: int | None = None
) -> np.ndarray:
    """Scores each class by its nearest training clip, for `recognise`.

    Features are z-scored with the mean and standard deviation of the training clips; features that
    do not vary among these are excluded.

    Args:
      train: [M, F] features, such as `pooled_joints`.
      train_labels: [M] integers.
      test: [N, F] features.
      num_classes: number of classes, K; default: the largest training label + 1.

    Returns:
      [N, K] float64: the negative Euclidean distance to the nearest training clip of the class. A
      class without training clips gets the lowest finite number and ranks last.

    Raises:
      ValueError: different numbers of features, features that are not finite, labels out of range.
    """
    train, test = checked_matrix(train, "train"), checked_matrix(test, "test")
    if train.shape[1] != test.shape[1]:
        raise ValueError(f"train has {train.shape[1]} features, test {test.shape[1]}")
    if num_classes is None:
        num_classes = int(np.max(train_labels)) + 1
    train_labels = checked_labels(train_labels, len(train), num_classes)

    mean, deviation = train.mean(axis=0), train.std(axis=0)
    varies = deviation > 1e-9 * np.abs(train).max(axis=0)  # more than rounding errors of the mean
    train, test = ((x - mean)[:, varies] / deviation[varies] for x in (train, test))

    scores = np.empty((len(test), num_classes))
    step = max(1, _BLOCK // len(train))
    for i in range(0, len(test), step):
        distances = np.sqrt(squared_distances(test[i : i + step], train))
        scores[i : i + step] = class_scores(distances, train_labels, num_classes)
    return scores


def class_scores(distances: np.ndarray, train_labels: np.ndarray, num_classes: int) -> np.ndarray:
    """Scores each class by the nearest of its training clips.

    Args:
      distances: [N, M] from each clip to every training clip.
      train_labels: [M] integers from 0 to K - 1.
      num_classes: K.

    Returns:
      [N, K] float64: the negative distance to the nearest training clip of the class. A class
      without training clips gets the lowest finite number and ranks last.
    """
    order = np.argsort(train_labels, kind="stable")
    present, starts = np.unique(train_labels[order], return_index=True)
    scores = np.full((len(distances), num_classes), np.finfo(np.float64).min)
    scores[:, present] = -np.minimum.reduceat(distances[:, order], starts, axis=1)
    return scores


def features(dataset: Dataset, split_name: str) -> tuple[np.ndarray, np.ndarray]:
    """Mean poses [N, J * C] and labels [N, m] of the labelled clips of a split; -1: none."""
    split = dataset.split(split_name)
    known = np.flatnonzero(split.labels >= 0)
    clips = [split[i]["joints"][:, 0] for i in known]
    dims = dataset.metadata.skeleton.dims
    return (
        pooled_joints([clip[..., :dims] - clip[:1, :1, :dims] for clip in clips]),
        split.all_labels[known],
    )


def main() -> None:
    """Evaluates the baseline and prints its row of the table."""
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
    clip, column = np.nonzero(train_labels >= 0)  # a clip with several labels is one of each
    scores = nearest_neighbour(train[clip], train_labels[clip, column], test, len(names))
    found = recognise(scores, labels, names)
    print(recognition_table({"nearest mean pose": found}).markdown())


if __name__ == "__main__":
    main()
