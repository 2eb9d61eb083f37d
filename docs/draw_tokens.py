"""Draws the pictures of docs/llm-ar.md: sentences under their motions, their words, the codebook.

    python -m data_prep synthetic
    python docs/draw_tokens.py    writes docs/images/sentence.png, frequencies.png and ball.png

Two small motion tokenizers are trained on the built-in dataset (minutes on two CPU cores, once;
seed 0): one writes the sentences, the other has codes in a Poincaré disc of two dimensions, that
can be drawn as it is. The clips are those of the test split, which training does not see.
"""

import argparse
import pathlib

import numpy as np
from ml_collections import ConfigDict

import motionalign
from motionalign import train
from motionalign.configs import common, ntu60_tokens
from motionalign.data.dataset import Dataset
from motionalign.evaluate import predictor
from motionalign.files import write_bytes
from motionalign.report.pictures import png
from motionalign.tasks.tokens import Tokens

IMAGES = pathlib.Path(__file__).parent / "images"


# {dimensions of the codes: {name of a picture: the one of the evaluation}}
PICTURES = {
    32: {"sentence": "sentence-2", "frequencies": "frequencies"},
    2: {"ball": "ball"},
}


def tiny(data_dir: str, dimensions: int) -> ConfigDict:
    """A tokenizer; without a language model, whose words the codes could be aligned with."""
    c = common.base()
    ntu60_tokens.use_recipe(c, "hyperbolic", "no_alignment")
    c.data.data_dir, c.data.datasets = data_dir, "synthetic"
    c.model.tokenizer.vector_width = 32
    c.model.tokenizer.codes = 128
    c.model.tokenizer.factor = dimensions
    c.model.tokenizer.width = 64
    c.model.tokenizer.depth = 2
    c.data.batch_size = 64
    c.eval.num_queries = 4
    c.optim.groups.motion_tokenizer.lr = 1e-3
    c.epochs = 12
    return c.lock()


def main() -> None:
    """Trains, unless it is done, and draws."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workdir", default="runs/draw_tokens")
    parser.add_argument("--data_dir", default="data")
    args = parser.parse_args()
    for dimensions, pictures in PICTURES.items():
        config = tiny(args.data_dir, dimensions)
        workdir = pathlib.Path(f"{args.workdir}-{dimensions}")
        if not (workdir / "best").is_dir():
            train.train(config, workdir, say=print)
        model = motionalign.load(workdir)
        dataset = Dataset(args.data_dir, "synthetic")
        results = Tokens(config).evaluate(predictor(model), dataset, "test")
        print(results.tables[0].markdown())
        for name, drawn in pictures.items():
            image = np.asarray(results.pictures[drawn])
            write_bytes(IMAGES / f"{name}.png", png(image, colours=64))
            print(IMAGES / f"{name}.png")


if __name__ == "__main__":
    main()
