"""Reading a BVH file: our parser and kinematics compared with the package bvhio.

  python -m benchmarks.bvh walk.bvh

The frames of the file are repeated up to `--frames`, by default a minute of 120 frames per second.
Both read the file and give the position of every joint in every frame; bvhio, which goes frame by
frame, is given every `--every`-th frame, and its time is multiplied. The results are compared.
"""

import argparse
import json
import pathlib
import statistics
import tempfile
import time

import numpy as np

from motionalign import formats


def repeated(content: str, frames: int, every: int = 1) -> str:
    """A BVH file whose frames are repeated up to `frames`, of which every `every`-th is kept.

    Raises:
      ValueError: there is no line with MOTION, or less than a frame after it.
    """
    lines = content.replace("\r\n", "\n").split("\n")
    start = next((i for i, line in enumerate(lines) if line.strip() == "MOTION"), len(lines))
    head, after = lines[: start + 1], [line for line in lines[start + 1 :] if line.strip()]
    if len(after) < 3:
        raise ValueError("expected MOTION, Frames:, Frame Time: and a row")
    _, frame_time, *rows = after
    rows = [rows[i % len(rows)] for i in range(0, frames, every)]
    return "\n".join([*head, f"Frames: {len(rows)}", frame_time, *rows, ""])


def with_bvhio(path: pathlib.Path) -> tuple[list[str], np.ndarray]:
    """Names and positions [T, J, 3] of the joints, end sites left out, by bvhio."""
    import bvhio

    root = bvhio.readAsHierarchy(str(path))
    joints = [joint for joint, *_ in root.layout()]
    frames = []
    for frame in range(root.getKeyframeRange()[1] + 1):
        root.loadPose(frame, recursive=True)
        frames.append([list(joint.PositionWorld) for joint in joints])
    return [joint.Name for joint in joints], np.array(frames)


def with_ours(path: pathlib.Path) -> tuple[list[str], np.ndarray]:
    """Names and positions [T, J, 3] of the joints, end sites left out, by motionalign."""
    (motion,) = formats.read(path)
    own = [j for j in range(len(motion.joint_names)) if j not in motion.ends]
    return [motion.joint_names[j] for j in own], motion.positions[:, 0, own]


def main() -> None:
    """Runs the benchmark and prints the results."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file", type=pathlib.Path, help="a BVH file of one person")
    parser.add_argument("--frames", type=int, default=7200)
    parser.add_argument("--every", type=int, default=20, help="frames of ours for one of bvhio")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--output", type=pathlib.Path, help="a JSON file for the results")
    args = parser.parse_args()

    content = args.file.read_text("utf-8")
    seconds: dict[str, list[float]] = {"motionalign": [], "bvhio": []}
    with tempfile.TemporaryDirectory() as folder:
        whole, part = (pathlib.Path(folder) / name for name in ("whole.bvh", "part.bvh"))
        whole.write_text(repeated(content, args.frames), "utf-8")
        part.write_text(repeated(content, args.frames, args.every), "utf-8")
        share = len(range(0, args.frames, args.every)) / args.frames
        for _ in range(args.rounds):  # alternating, so that a slow phase affects both
            start = time.perf_counter()
            names, ours = with_ours(whole)
            seconds["motionalign"].append(time.perf_counter() - start)
            start = time.perf_counter()
            other_names, other = with_bvhio(part)
            seconds["bvhio"].append((time.perf_counter() - start) / share)
        size = whole.stat().st_size
    if names != other_names:
        raise ValueError(f"{args.file}: bvhio has the joints {', '.join(other_names)}")
    difference = float(np.abs(ours[:: args.every] - other).max())
    medians = {name: statistics.median(each) for name, each in seconds.items()}
    print(f"{len(ours)} frames of {len(names)} joints, {size / 1e6:.1f} MB, {args.rounds} rounds")
    for name, value in medians.items():
        print(f"{name:12} {value:8.3f} s   {len(ours) / value:10,.0f} frames/s")
    ratios = [other / ours for ours, other in zip(*seconds.values())]
    ratio = {"median": statistics.median(ratios), "min": min(ratios), "max": max(ratios)}
    print("ratio {median:.0f} ({min:.0f} to {max:.0f})".format(**ratio), end="")
    print(f"; largest difference between positions {difference:.1e}")
    if args.output:
        report = {
            "frames": len(ours),
            "joints": len(names),
            "seconds": medians,
            "ratio": ratio,
            "largest_difference": difference,
        }
        args.output.write_text(json.dumps(report, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()
