"""Action recognition without a model: nearest neighbour with dynamic time warping.

  python -m benchmarks.action_baselines --data_dir=data nw_ucla utd_mhad
  python -m benchmarks.action_baselines --data_dir=data --pool sbu_1 sbu_2 sbu_3 sbu_4 sbu_5

This is the baseline of the tables of labelled sets in docs/results.md. A test clip gets the class
of the training clip to which it can be warped at the smallest cost, sqrt(sum of squared distances
of the frames that a path pairs), within a band around the diagonal (Sakoe and Chiba, 1978).

What is compared is ours: joints of `FORMS` whose origin is the root of the first person, in the
first frame or in every one, turned so that this person faces +Z at the start, divided by the size
of the body, and resized to 64 frames. The form and the band are chosen by the accuracy on the
validation split; neighbours are always training clips.

Accuracies of test clips that are no copies of a training clip are given as well: a fifth of the
test clips of NW-UCLA as it is passed around are files of the training view under another name.

The sweep over the diagonals runs fastest with OMP_NUM_THREADS=1; it is ours because for all pairs
of a set it needs 5 to 8 times less of a core than dtaidistance 2.5.1 and tslearn 0.10.0.
"""

import argparse
import dataclasses
import itertools
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.nearest_neighbour import class_scores
from benchmarks.outcomes import copies, outcome, percent
from motionalign.conventions.measured import across_body, facing_of
from motionalign.data.dataset import Dataset
from motionalign.report.tables import Table
from motionalign.skeleton import Skeleton
from motionalign.tasks.labels import recognise, recognised

FRAMES = 64
"""Frames of a clip after resizing; ours, the length that the motion tokenizer reads."""

BANDS = (0, 3, 6, 12)
"""Frames by which a path may leave the diagonal."""

_START = 0.25  # share of a clip, at its start, over which the facing direction is averaged

_CELLS = 1 << 22  # sums of paths held at a time: 2 arrays of 16 MiB


# Clips -------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Form:
    """What of a clip is compared.

    Attributes:
      origin: "first": the root of the first person in the first frame; "every": in every frame, so
        that where a person walks is not compared.
      face: whether clips are turned so that the first person faces +Z at the start.
    """

    origin: str = "first"
    face: bool = True

    def __str__(self) -> str:
        """The form in words, for a table."""
        return f"origin at the root of {self.origin} frame, " + ("turned" if self.face else "as is")


FORMS = tuple(Form(*each) for each in itertools.product(("first", "every"), (True, False)))


def normalised(joints: np.ndarray, skeleton: Skeleton, form: Form, frames: int) -> np.ndarray:
    """A clip as vectors that can be compared between bodies and cameras.

    Args:
      joints: [T, M, J, 3] of M persons, Y up; zeros where there is nobody.
      skeleton: the J joints, the root first.
      form: what is compared.
      frames: F.

    Returns:
      [F, M * J * 3] float32; zeros where there is nobody. The unit is the size of the first person:
      the sum of the medians of the bones' lengths.
    """
    joints = np.asarray(joints, np.float64)
    there = (joints != 0).any(axis=(2, 3))  # [T, M]
    body = joints[:, 0][there[:, 0]] if there[:, 0].any() else joints[:, 0]
    bones = np.array(skeleton.bones)
    size = np.median(
        np.linalg.norm(np.diff(body[:, bones], axis=2)[:, :, 0], axis=-1), axis=0
    ).sum()
    origin = body[:1, :1, None] if form.origin == "first" else joints[:, :1, :1]  # [., 1, 1, 3]
    moved = there[..., None, None] * (joints - origin) / (size or 1)
    if form.face:
        start = body[: max(1, round(_START * len(body)))]
        turn = np.radians(facing_of(across_body(start, skeleton).sum(0)))
        cos, sin = np.cos(turn), np.sin(turn)
        moved = moved @ np.array([[cos, 0, sin], [0, 1, 0], [-sin, 0, cos]])
    return resized(moved, frames).reshape(frames, -1).astype(np.float32)


def resized(clip: np.ndarray, frames: int) -> np.ndarray:
    """A clip [T, ...] at `frames` moments evenly from the first to the last frame, linearly."""
    places = np.linspace(0, len(clip) - 1, frames)
    before = np.floor(places).astype(np.int64)
    share = (places - before).reshape(-1, *[1] * (clip.ndim - 1))
    return clip[before] * (1 - share) + clip[np.minimum(before + 1, len(clip) - 1)] * share


# Dynamic time warping ----------------------------------------------------------------------------


def warped_distances(first: np.ndarray, second: np.ndarray, band: int) -> np.ndarray:
    """Distances of all pairs by dynamic time warping.

    All pairs advance together, one anti-diagonal of their cost matrices at a time.

    Args:
      first: [N, F, D].
      second: [M, F, D].
      band: the largest difference between the numbers of two frames that are paired, in frames;
        0: frame by frame, the Euclidean distance; F - 1 or more: no limit.

    Returns:
      [N, M] float32: the square root of the smallest sum of squared distances of paired frames, on
      a path from the first to the last frames in steps of one frame in either clip or both.

    Raises:
      ValueError: clips of different sizes, or a negative band.
    """
    if first.ndim != 3 or second.ndim != 3 or first.shape[1:] != second.shape[1:]:
        raise ValueError(
            f"clips must be [N, F, D] with equal F and D: {first.shape}, {second.shape}"
        )
    if band < 0:
        raise ValueError(f"band is {band}; expected 0 or more frames")
    # Distances do not change with the origin; near the mean, |x|² + |y|² - 2xy loses fewer digits.
    centre = second.mean((0, 1), dtype=np.float64)
    first, second = ((x - centre).astype(np.float32).swapaxes(0, 1) for x in (first, second))
    step = max(1, _CELLS // (len(first) * second.shape[1]))
    blocks = range(0, first.shape[1], step)
    return np.concatenate([_warped(first[:, i : i + step], second, band) for i in blocks])


def _warped(first: np.ndarray, second: np.ndarray, band: int) -> np.ndarray:
    """`warped_distances` of a block [F, A, D] to all of [F, M, D]."""
    frames, shape = len(first), (first.shape[1], second.shape[1])
    first_norms = np.einsum("fad,fad->fa", first, first)
    second_norms = np.einsum("fad,fad->fa", second, second)
    columns = second.swapaxes(1, 2)  # [F, D, M]
    # Sums of paths to the cells (i, d - i) of the last two diagonals; i = 0 is in row 1, so that
    # row 0 is outside.
    outside = np.full((frames + 1, *shape), np.inf, np.float32)
    before, last = outside.copy(), outside.copy()
    for diagonal in range(2 * frames - 1):
        low = max(0, diagonal - frames + 1, -(-(diagonal - band) // 2))
        high = min(diagonal, frames - 1, (diagonal + band) // 2)
        rows = np.arange(low, high + 1)
        cost = first[rows] @ columns[diagonal - rows]  # [rows, A, M]
        cost *= -2
        cost += first_norms[rows][:, :, None]
        cost += second_norms[diagonal - rows][:, None]
        np.maximum(cost, 0, out=cost)  # rounding
        if diagonal:
            best = np.minimum(last[low : high + 1], last[low + 1 : high + 2])
            cost += np.minimum(best, before[low : high + 1])
        before, last = last, before
        # Cells beside this diagonal's are read by the next two, which are at most one wider.
        last[max(0, low - 1) : high + 4] = np.inf
        last[low + 1 : high + 2] = cost
    return np.sqrt(last[-1])


# Results -----------------------------------------------------------------------------------------


def labelled_clips(dataset: Dataset, split_name: str) -> tuple[list[np.ndarray], np.ndarray]:
    """The clips [T, M, J, 3] of a split that have a label, and these labels [N]."""
    split = dataset.split(split_name)
    known = np.flatnonzero(split.labels >= 0)
    return [split[i]["joints"] for i in known], split.labels[known]


def evaluate(dataset: Dataset) -> dict[str, Any]:
    """The baseline on a dataset: counts on test, and what validation chose.

    Returns:
      `outcome` of the test split, "val": accuracy in percent, "form", "band", "seconds", and
      "tried": {"form, band": accuracy in percent on the validation split}.
    """
    started = time.perf_counter()
    skeleton, names = dataset.metadata.skeleton, dataset.metadata.label_names
    train, train_labels = labelled_clips(dataset, "train")
    val, val_labels = labelled_clips(dataset, "val")
    test, test_labels = labelled_clips(dataset, "test")

    def vectors(clips: Sequence[np.ndarray], form: Form) -> np.ndarray:
        return np.stack([normalised(clip, skeleton, form, FRAMES) for clip in clips])

    def scores(clips: Sequence[np.ndarray], form: Form, band: int) -> np.ndarray:
        distances = warped_distances(vectors(clips, form), vectors(train, form), band)
        return class_scores(distances, train_labels, len(names))

    tried = {
        (form, band): recognise(scores(val, form, band), val_labels, names)["top1"]
        for form in FORMS
        for band in BANDS
    }
    form, band = max(tried, key=lambda each: tried[each])  # of equals the first
    predicted = recognised(scores(test, form, band), test_labels)
    return outcome(predicted == test_labels, copies(test, train)) | {
        "val": tried[form, band],
        "form": str(form),
        "band": band,
        "seconds": time.perf_counter() - started,
        "tried": {f"{form}, {band}": top1 for (form, band), top1 in tried.items()},
    }


def pooled(found: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The outcomes of several folds as one: counts are added, validation accuracies averaged."""
    counts = ("clips", "right", "new_clips", "new_right")
    total: dict[str, Any] = {name: sum(each[name] for each in found) for name in counts}
    chosen = sorted({f"{each['form']}, band {each['band']}" for each in found})
    return total | {
        "val": float(np.mean([each["val"] for each in found])),
        "chosen": "; ".join(chosen),
        "seconds": sum(each["seconds"] for each in found),
    }


def table(rows: dict[str, dict[str, Any]]) -> Table:
    """{dataset: outcome} as a table."""
    head = ["dataset", "chosen on val", "val", "test", "test without copies", "s"]
    cells = [
        [
            name,
            row.get("chosen") or f"{row['form']}, band {row['band']}",
            f"{row['val']:.1f}",
            percent(row["right"], row["clips"]),
            percent(row["new_right"], row["new_clips"]),
            f"{row['seconds']:.0f}",
        ]
        for name, row in rows.items()
    ]
    notes = ["accuracy in percent with the 95 % interval by Wilson"]
    return Table(head, cells, notes, left=2)


def main() -> None:
    """Evaluates the baseline and prints its rows of the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("datasets", nargs="+", help="prepared datasets with train, val and test")
    parser.add_argument("--data_dir", default="data")
    parser.add_argument("--pool", action="store_true", help="the datasets are folds of one set")
    args = parser.parse_args()
    rows = {name: evaluate(Dataset(args.data_dir, name)) for name in args.datasets}
    if args.pool:
        rows = {f"{len(rows)} folds": pooled(list(rows.values()))}
    print(table(rows).markdown())


if __name__ == "__main__":
    main()
