"""Actions by words, on skeletons that a model was not trained on.

  python -m benchmarks.cross_skeleton --checkpoint=runs/mocap_small nw_ucla.npz utd_mhad.npz ...

A model trained on SMPL's 22 joints scores every clip of a labelled set (formats/labelled_set.py)
against a sentence for each class, without having seen a clip or a class of the set. Clips are read
in three ways:

  canonical       as SMPL's 22 joints, with the statistics of the training data.
  own statistics  the same joints, with the statistics of the set.
  native          as motion patches of the skeleton's own chains (Motion Patches, §3.1 and Table 5),
                  with the statistics of the set.

The statistics of a set come from the training clips of its protocol alone.

Scored are the test clips of the protocol in `PROTOCOLS`. The embedding of a clip of two persons is
the mean of theirs; a clip in which nobody is seen for two frames counts as wrong. The sentences are
ours, written before anything was scored. Beside each accuracy stand chance (one class in K) and the
share of the most frequent class.
"""

import argparse
import dataclasses
import pathlib
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

import motionalign
from motionalign import anatomy, conventions, formats
from motionalign.conventions import REASONS
from motionalign.data.dataset import Metadata
from motionalign.formats import Motion
from motionalign.inference.model import Model
from motionalign.inference.similarity import similarity_scores
from motionalign.skeleton import SKELETONS, Skeleton

SMPL22 = SKELETONS["smpl22"]

SENTENCES: Mapping[str, str] = {
    # NW-UCLA
    "pick_up_with_one_hand": "a person bends down and picks something up with one hand",
    "pick_up_with_two_hands": "a person bends down and picks something up with both hands",
    "drop_trash": "a person walks to a bin and drops something into it",
    "walk_around": "a person walks around",
    "sit_down": "a person sits down",
    "stand_up": "a person stands up from a chair",
    "donning": "a person puts on a jacket",
    "doffing": "a person takes off a jacket",
    "throw": "a person throws something",
    "carry": "a person carries something in front of the body while walking",
    # UTD-MHAD
    "swipe_left": "a person swipes the right arm to the left",
    "swipe_right": "a person swipes the right arm to the right",
    "wave": "a person waves with the right hand",
    "clap": "a person claps with both hands in front of the body",
    "arm_cross": "a person crosses both arms in front of the chest",
    "basketball_shoot": "a person shoots a basketball with both hands",
    "draw_x": "a person draws an x in the air with the right hand",
    "draw_circle_cw": "a person draws a circle in the air clockwise with the right hand",
    "draw_circle_ccw": "a person draws a circle in the air counter-clockwise with the right hand",
    "draw_triangle": "a person draws a triangle in the air with the right hand",
    "bowling": "a person bowls with the right hand",
    "boxing": "a person boxes, punching in front of the body",
    "baseball_swing": "a person swings a baseball bat with both hands",
    "tennis_swing": "a person swings a tennis racket with the right hand",
    "arm_curl": "a person curls both arms",
    "tennis_serve": "a person serves in tennis",
    "push": "a person pushes forwards with both hands",
    "knock": "a person knocks on a door with the right hand",
    "catch": "a person catches something with the right hand",
    "pickup_throw": "a person picks something up and throws it",
    "jog": "a person jogs on the spot",
    "walk": "a person walks on the spot",
    "sit2stand": "a person stands up from a chair",
    "stand2sit": "a person sits down on a chair",
    "lunge": "a person lunges forwards with the left foot",
    "squat": "a person squats with both arms stretched out",
    # SBU Kinect Interaction
    "approaching": "a person walks towards another person",
    "departing": "a person walks away from another person",
    "kicking": "a person kicks another person",
    "punching": "a person punches another person",
    "pushing": "a person pushes another person away",
    "shaking_hands": "two persons shake hands",
    "exchanging": "a person hands something to another person",
    "hugging": "two persons hug each other",
}


def _folds(*folds: Sequence[int]) -> Callable[[Motion], int]:
    of = {subject: number for number, fold in enumerate(folds) for subject in fold}
    return lambda motion: of[motion.labels["subject"]]


# The test fold of a clip by the published protocol; -1: always a training clip.
PROTOCOLS: Mapping[str, Callable[[Motion], int]] = {
    "nw_ucla": lambda motion: 0 if motion.labels["view"] == 3 else -1,  # cross-view
    "utd_mhad": lambda motion: 0 if motion.labels["subject"] % 2 == 0 else -1,  # cross-subject
    "sbu_interaction": _folds(  # five folds of pairs of subjects
        (102, 304, 502, 604), (203, 207, 305, 503), (103, 107, 701, 703),
        (201, 206, 302, 306), (402, 403, 406, 602, 603),
    ),
}  # fmt: skip


class Clip(NamedTuple):
    """The person of a clip in both forms, metres, Y up, and the number of the clip."""

    number: int
    smpl22: np.ndarray
    native: np.ndarray


def read_set(path: pathlib.Path) -> tuple[list[Motion], Skeleton, list[Clip]]:
    """The clips of a set, the skeleton that they have in common, and their persons."""
    motions = formats.read(path)
    skeletons, clips = set(), []
    for number, motion in enumerate(tqdm(motions, desc=path.stem, unit="clip")):
        body = anatomy.understand(motion)
        anatomy.require_human(body, f"{path}: {motion.name}")
        try:
            found = anatomy.points(motion, body)
            skeleton, own = anatomy.native(motion, body, found)
            joints = anatomy.smpl22(motion, body, found).joints
        except ValueError as error:  # nobody is seen
            tqdm.write(f"{path.stem}: not read, counts as wrong: {error}", file=sys.stderr)
            continue
        skeletons.add(skeleton)
        for person in found.persons:
            there = found.present[:, person]
            if there.sum() < 2:
                continue
            clips.append(Clip(number, joints[there, person], own[there, person]))
    (skeleton,) = skeletons
    return motions, skeleton, clips


def own_metadata(reference: Metadata, skeleton: Skeleton, clips: Sequence[np.ndarray]) -> Metadata:
    """The reference with another skeleton and the statistics of its clips."""
    frames = np.concatenate(clips).astype(np.float64)
    mean, std = frames.mean(0), frames.std(0)
    return dataclasses.replace(
        reference, name=skeleton.name, skeleton=skeleton, mean=mean, std=std, sensor="depth"
    )


def embed(
    model: Model, clips: Sequence[Clip], inputs: Sequence[np.ndarray], count: int
) -> np.ndarray:
    """One vector [N, E] a clip: of two persons the mean."""
    vectors = model.encode_prepared(inputs, model.distance == "cosine", "encode")
    number = np.array([clip.number for clip in clips])
    sums = np.zeros((count, vectors.shape[1]))
    np.add.at(sums, number, vectors)
    return sums / np.maximum(np.bincount(number, minlength=count), 1)[:, None]


def folds_of(name: str, motions: Sequence[Motion]) -> np.ndarray:
    """The test fold of each clip; -1: none."""
    if name not in PROTOCOLS:
        raise ValueError(f"{name}: no protocol is known; known: {', '.join(PROTOCOLS)}")
    return np.array([PROTOCOLS[name](motion) for motion in motions])


def own_vectors(
    model: Model, motions: Sequence[Motion], skeleton: Skeleton, clips: Sequence[Clip],
    folds: np.ndarray,
) -> np.ndarray:  # fmt: skip
    """Vectors [N, E] of clips read with the set's statistics; each fold has those of the others.

    Args:
      model: the model.
      motions: the N clips.
      skeleton: SMPL's 22 joints, or the set's own.
      clips: their persons.
      folds: [N] the test fold of each clip.
    """
    reference, read = model.metadata(), model.encoder.representation
    form = "smpl22" if skeleton == SMPL22 else "native"
    placed = [conventions.canonical(getattr(clip, form), skeleton) for clip in clips]
    fps, fold_of = _rate(motions), folds[[clip.number for clip in clips]]
    inputs: list[np.ndarray] = [np.zeros(0)] * len(clips)
    for fold in np.unique(folds):
        others = [joints for joints, each in zip(placed, fold_of) if each != fold or fold < 0]
        own = own_metadata(reference, skeleton, others)
        for i in np.flatnonzero(fold_of == fold):
            inputs[i] = read.prepare(placed[i], fps, own)
    return embed(model, clips, inputs, len(motions))


def canonical_vectors(model: Model, motions: Sequence[Motion], clips: Sequence[Clip]) -> np.ndarray:
    """Vectors [N, E] of the clips as SMPL's 22 joints, with the statistics of training."""
    fps = _rate(motions)
    inputs = [model.prepare(clip.smpl22, fps, accept=tuple(REASONS)) for clip in clips]
    return embed(model, clips, inputs, len(motions))


def _rate(motions: Sequence[Motion]) -> float:
    (fps,) = {motion.fps for motion in motions}
    assert fps is not None
    return fps


def rows(model: Model, path: pathlib.Path) -> Iterator[str]:
    """The rows of the table for a set."""
    motions, skeleton, clips = read_set(path)
    folds = folds_of(path.stem, motions)
    names = sorted({motion.labels["class"] for motion in motions})
    labels = np.array([names.index(motion.labels["class"]) for motion in motions])
    tested = folds >= 0
    chance, majority = 1 / len(names), np.bincount(labels[tested]).max() / tested.sum()
    vectors = {
        "canonical": canonical_vectors(model, motions, clips),
        "own statistics": own_vectors(model, motions, SMPL22, clips, folds),
        "native": own_vectors(model, motions, skeleton, clips, folds),
    }
    texts = {
        "sentences": [SENTENCES[name] for name in names],
        "class names": [name.replace("_", " ") for name in names],
    }
    for words, of_class in texts.items():
        encoded = model.encode_text(of_class, normalize=False)
        scores = {}
        for way, motion in vectors.items():
            read = tested & motion.any(1)
            found = similarity_scores(motion[read], encoded, model.distance).argmax(1)
            scores[way] = 100 * np.sum(found == labels[read]) / tested.sum()
        yield (
            f"| {path.stem} | {tested.sum()} | {len(names)} | {words} | "
            f"{' | '.join(f'{score:.1f}' for score in scores.values())} | {100 * chance:.1f} | "
            f"{100 * majority:.1f} |"
        )


def main() -> None:
    """Prints a row for each set and kind of words."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("sets", nargs="+", type=pathlib.Path, help="labelled sets (.npz)")
    parser.add_argument("--checkpoint", required=True, help="a model of motion patches")
    args = parser.parse_args()
    model = motionalign.load(args.checkpoint)
    ways = "canonical | own statistics | native"
    print(f"| set | clips | classes | words | {ways} | chance | most frequent |")
    print("|---|--:|--:|---|--:|--:|--:|--:|--:|")
    for path in args.sets:
        for row in rows(model, path):
            print(row)


if __name__ == "__main__":
    main()
