"""Draws the README's picture: queries with the clips that the quickstart model ranks highest.

    python docs/draw_search.py    after the README's first command; writes docs/images/search.png

The gallery is the test split of the built-in dataset, which training does not see.
"""

import argparse
import pathlib

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

import motionalign
from motionalign.data.dataset import Dataset
from motionalign.files import write_bytes
from motionalign.report.pictures import png, rendered, skeleton_strip

PICTURE = pathlib.Path(__file__).parent / "images" / "search.png"
QUERIES = (
    "someone waves with the left hand above the head",
    "a person kicks high with the right leg",
    "someone walks backwards and then squats down",
)
HITS, WIDTH, HEIGHT = 3, 520, 130  # clips per query; pixels of each


def main() -> None:
    """Searches and draws."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", default="runs/quickstart")
    parser.add_argument("--data_dir", default="data")
    args = parser.parse_args()
    model = motionalign.load(args.checkpoint)
    dataset = Dataset(args.data_dir, "synthetic")
    split = dataset.split("test")
    records = [split[i] for i in range(len(split))]
    clips = [record["joints"][:, 0] for record in records]
    motion = model.encode_motion(clips, dataset.metadata.fps)
    rows = []
    for query in QUERIES:
        scores = motion @ model.encode_text(query)
        best = np.argsort(-scores)[:HITS]
        rows.append((query, [(clips[i], split.captions[i][0], scores[i]) for i in best]))
    write_bytes(PICTURE, png(draw(rows, dataset), colours=64))
    print(PICTURE)


def draw(rows: list, dataset: Dataset) -> np.ndarray:
    """One row per query: its text, then its hits with their own captions and scores."""
    line, gap = 30, 26
    height = len(rows) * (line + HEIGHT + gap + 10)
    figure = Figure(figsize=(HITS * WIDTH / 100, height / 100), dpi=100, facecolor="white")
    FigureCanvasAgg(figure)
    top = height
    for query, hits in rows:
        figure.text(
            0.006, (top - line / 2) / height, f"“{query}”", size=13, weight="bold", va="center"
        )
        for k, (clip, caption, score) in enumerate(hits):
            strip = skeleton_strip(clip, dataset.metadata.skeleton, 7, WIDTH - 16, HEIGHT)
            figure.figimage(strip, k * WIDTH + 8, top - line - HEIGHT)
            words = caption if len(caption) < 62 else caption[:60] + "…"
            figure.text(
                (k * WIDTH + 14) / (HITS * WIDTH), (top - line - HEIGHT - gap / 2) / height,
                f"{k + 1}. {score:.2f}  {words}", size=9, color="#475569", va="center",
            )  # fmt: skip
        top -= line + HEIGHT + gap + 10
    return rendered(figure)


if __name__ == "__main__":
    main()
