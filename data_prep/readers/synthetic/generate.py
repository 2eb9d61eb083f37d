"""Generates the built-in dataset: a procedural human whose captions state what its joints do.

No files are read. `catalogue` defines the actions and their words, `actions` and `travel` write
them as keyframes, `score` interpolates the keyframes, and `body` computes the joints.
"""

import argparse
import dataclasses
from collections.abc import Iterator

import numpy as np

from data_prep.readers import Clips, Command
from data_prep.readers.synthetic.body import sample_body
from data_prep.readers.synthetic.catalogue import all_meanings
from data_prep.readers.synthetic.score import Score

_ABOUT = """\
A procedural 22-joint human that walks, turns, jumps, kicks, waves, ..., with captions that describe
its motion. Needs no files; the same --num_clips and --seed generate the same clips.

examples:
  python -m data_prep synthetic
  python -m data_prep synthetic --num_clips=300 --seed=1 --name=small
"""

_CAPTIONS = 3

_DROP = 0.3  # probability that a caption after the first leaves out a fact

_CLIPS_FOR_ALL_SPLITS = 4  # clips that a meaning needs to be in every split


@dataclasses.dataclass(frozen=True)
class SyntheticClip:
    """One clip.

    Attributes:
      id: unique in the dataset.
      split: train, val or test.
      joints: [T, 22, 3] float32 in metres, Y up, at 20 fps, in the order of `smpl22`.
      captions: the first states every fact; the others may leave some out. All are true.
      meaning: key of the clip's meaning, such as `walk direction=forward steps=4`; equal for clips
        with the same actions.
    """

    id: str
    split: str
    joints: np.ndarray
    captions: list[str]
    meaning: str


def generate(num_clips: int, seed: int) -> Iterator[SyntheticClip]:
    """Generates the clips of the built-in dataset, deterministically from the arguments.

    Meanings are generated in rotation, so that all occur about equally often, each time with
    another body, tempo and wording. With at least four clips per meaning, each meaning has exactly
    one test clip, about every second one has a validation clip, and the rest are training clips.
    With fewer clips per meaning, the splits keep these proportions.

    Args:
      num_clips: number of clips, at least 1.
      seed: of all random variation.

    Raises:
      ValueError: `num_clips` is below 1 or `seed` is negative.
    """
    if num_clips < 1 or seed < 0:
        raise ValueError(
            f"num_clips={num_clips}, seed={seed}: the synthetic dataset needs at least one clip"
            " and a seed of at least 0"
        )
    meanings = all_meanings()
    order = np.random.default_rng([seed]).permutation(len(meanings))
    for index in range(num_clips):
        turn, place = divmod(index, len(meanings))
        meaning = meanings[order[place]]
        rng = np.random.default_rng([seed, 1 + index])
        score = Score(sample_body(rng))
        meaning.play(score)
        captions = {meaning.caption(rng): None}  # an ordered set
        for _ in range(8):
            if len(captions) < _CAPTIONS:
                captions[meaning.caption(rng, _DROP)] = None
        yield SyntheticClip(
            id=f"synthetic-{index:06d}",
            split=_split(turn, place, -(-(num_clips - place) // len(meanings))),
            joints=score.play(rng),
            captions=list(captions),
            meaning=meaning.key,
        )


def _split(turn: int, place: int, turns: int) -> str:
    """The split of clip number `turn` of `turns` of the meaning at `place` in the rotation."""
    turns = max(turns, _CLIPS_FOR_ALL_SPLITS)
    if turn == place % turns:
        return "test"
    if turn == (place + 1) % turns and place // turns % 2:
        return "val"
    return "train"


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--num_clips", type=int, default=2400, help="number of clips (default: %(default)s)"
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="seed of the clips (default: %(default)s)"
    )


def _source(args: argparse.Namespace) -> dict:
    if args.num_clips < 2:
        raise ValueError(
            f"--num_clips={args.num_clips}; expected at least 2, one each for train and test (at "
            "least 8 for a clip in val)"
        )
    return {"num_clips": args.num_clips, "seed": args.seed}


COMMAND = Command(
    name="synthetic",
    summary="the built-in dataset",
    about=_ABOUT,
    add_options=_add_options,
    source=_source,
    make=lambda args: Clips(generate(args.num_clips, args.seed)),
    config="quickstart",
    paths=(),
)
