"""Motion patches per second: our matrix product compared with a loop over frames with OpenCV.

  python -m benchmarks.patches --data_dir=data --dataset=mocap

The loop follows the published code: the five chains of each frame are resized to 16 points one by
one, as images with one row. Both compute the z-scored patches of the same clips, on one thread
each; the results are compared.
"""

import argparse
import json
import os
import pathlib
import statistics
import time

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # read when NumPy is imported

import cv2
import numpy as np

from motionalign.data.dataset import Dataset
from motionalign.patches import motion_patches
from motionalign.skeleton import Skeleton


def looped_patches(
    joints: np.ndarray, skeleton: Skeleton, mean: np.ndarray, std: np.ndarray, patch_size: int
) -> np.ndarray:
    """Converts joints [T, J, 3] to patches [T, 5N, 3] with one resize per chain and frame."""
    joints = (joints - mean) / std
    frames = []
    for frame in joints:
        parts = []
        for chain in skeleton.chains:
            row = frame[list(chain)][None]  # one row of pixels, with xyz as colours
            parts.append(cv2.resize(row, (patch_size, 1), interpolation=cv2.INTER_LINEAR)[0])
        frames.append(np.concatenate(parts))
    return np.stack(frames)


def main() -> None:
    """Runs the benchmark and prints the results."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data_dir", default="data")
    parser.add_argument("--dataset", default="mocap", help="a prepared dataset in --data_dir")
    parser.add_argument("--split", default="test")
    parser.add_argument("--clips", type=int, default=200, help="number of clips of the split")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--output", type=pathlib.Path, help="a JSON file for the results")
    args = parser.parse_args()

    dataset = Dataset(args.data_dir, args.dataset)
    split, meta = dataset.split(args.split), dataset.metadata
    size = meta.patch_size
    assert size is not None
    clips = [split[i]["joints"][:, 0] for i in range(min(args.clips, len(split)))]
    statistics_ = (meta.mean.astype(np.float32), meta.std.astype(np.float32))
    contenders = {
        "matrix product": lambda clip: motion_patches(
            clip, meta.skeleton, meta.mean, meta.std, size
        ),
        "OpenCV loop": lambda clip: looped_patches(clip, meta.skeleton, *statistics_, size),
    }
    difference = max(
        float(np.abs(np.subtract(*(make(clip) for make in contenders.values()))).max())
        for clip in clips
    )

    seconds = {name: [] for name in contenders}
    for _ in range(args.rounds):  # alternating, so that a slow phase of the machine affects both
        for name, make in contenders.items():
            start = time.perf_counter()
            for clip in clips:
                make(clip)
            seconds[name].append(time.perf_counter() - start)

    frames = statistics.mean(map(len, clips))
    print(f"{len(clips)} clips of {frames:.0f} frames on average, {args.rounds} alternating rounds")
    per_clip = {name: 1e6 * statistics.median(s) / len(clips) for name, s in seconds.items()}
    for name, value in per_clip.items():
        print(f"{name:16} {value:10.1f} µs per clip   {1e6 / value:8.0f} clips/s")
    ratios = [loop / product for product, loop in zip(*seconds.values())]
    ratio = {"median": statistics.median(ratios), "min": min(ratios), "max": max(ratios)}
    print("ratio {median:.0f} ({min:.0f} to {max:.0f})".format(**ratio), end="")
    print(f"; largest difference between patch values {difference:.1e}")
    if args.output:
        report = {
            "clips": len(clips),
            "mean_frames": frames,
            "microseconds_per_clip": per_clip,
            "ratio": ratio,
            "largest_difference": difference,
        }
        args.output.write_text(json.dumps(report, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()
