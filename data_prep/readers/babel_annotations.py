"""BABEL's annotation files: labels with times, and the samples of the two protocols.

The densely labelled sequences have `frame_ann`, whose labels have times, or only `seq_ann`, whose
labels apply to the complete sequence. The extra files have lists of these from several annotators,
`frame_anns` and `seq_anns`; the labels of all annotators are merged.
"""

import itertools
import math
import pathlib
from collections.abc import Sequence
from typing import Any

from motionalign import reading

CHUNK = 5.0  # seconds
PIECE = 100  # frames of a piece of Walk and Text
LONGEST = 86_400.0  # seconds of a sequence; AMASS's longest lasts some minutes


def annotation_files(raw_dir: pathlib.Path, extra: bool) -> list[pathlib.Path]:
    """The annotation files, with or without the extra ones; a ValueError if any is missing."""
    names = [*("train.json", "val.json"), *(("extra_train.json", "extra_val.json") * extra)]
    missing = [name for name in names if not (raw_dir / name).is_file()]
    if missing:
        raise ValueError(
            f"--raw_dir={raw_dir} has no {', '.join(missing)}. Expected the unpacked "
            "babel_v1.0_release from https://babel.is.tue.mpg.de"
        )
    return [raw_dir / name for name in names]


def read_annotations(path: pathlib.Path) -> list[dict]:
    """Reads the sequences of one annotation file.

    Returns:
      Dicts of `name`, `feat_p`, `dur` in seconds, and two lists of segments (start, end,
      categories, text): `frames`, from labels with times, and `whole`, from labels of the complete
      sequence.

    Raises:
      ValueError: the file is not JSON, or an entry, which the message names, has another form.
    """
    content = reading.read_json(path)
    if not isinstance(content, dict):
        raise ValueError(
            f"{path} contains a {type(content).__name__}; expected an object of sequences by "
            "babel_sid"
        )
    return [_sequence(entry, f"{path}: sequence {key!r}") for key, entry in content.items()]


def _sequence(entry: dict, where: str) -> dict:
    sid = _get(entry, "babel_sid", int, where)
    dur = _get(entry, "dur", (int, float), where)
    feat_p = _get(entry, "feat_p", str, where)
    if not 0 < dur <= LONGEST:
        raise ValueError(
            f'{where}: "dur" is {dur:g}; expected seconds above 0, and at most {LONGEST:g}'
        )
    annotations = {}
    for key in ("seq_ann", "frame_ann"):
        if key + "s" in entry:  # the extra layout: several annotators, or null
            annotations[key] = _get(entry, key + "s", (list, type(None)), where) or []
        else:
            one = _get(entry, key, (dict, type(None)), where)
            annotations[key] = [] if one is None else [one]
    return {
        "name": str(sid),
        "feat_p": feat_p,
        "dur": dur,
        "frames": _segments(annotations["frame_ann"], None, f"{where}, frame_ann"),
        "whole": _segments(annotations["seq_ann"], dur, f"{where}, seq_ann"),
    }


def _segments(annotations: list, dur: float | None, where: str) -> list[tuple]:
    """(start, end, categories, text) of every label; 0 to `dur` for labels without times."""
    out = []
    for annotation in annotations:
        for i, label in enumerate(_get(annotation, "labels", list, where)):
            here = f"{where}, label {i}"
            categories = _get(label, "act_cat", (list, type(None)), here) or []
            if not all(isinstance(name, str) for name in categories):
                raise ValueError(f'{here}: "act_cat" is {categories}; expected names')
            if dur is None:
                span = [_get(label, key, (int, float), here) for key in ("start_t", "end_t")]
            else:
                span = (0.0, dur)
            text = label.get("raw_label")
            out.append((*span, categories, text if text else "no text"))
    return out


def _get(values: dict, key: str, kinds: type | tuple, where: str) -> Any:
    """`values[key]`; a ValueError if it is missing or not one of these types."""
    if not isinstance(values, dict) or key not in values:
        raise ValueError(f'{where}: no "{key}"')
    value = values[key]
    if not isinstance(value, kinds) or isinstance(value, bool):
        kind = type(value).__name__
        raise ValueError(f'{where}: "{key}" is a {kind}, which is not the type in BABEL 1.0')
    if isinstance(value, int) and abs(value) >= 2**63:
        raise ValueError(f'{where}: "{key}" has {len(str(value))} digits')
    return value


def pieces(start: float, end: float) -> list[tuple[float, float]]:
    """Cuts seconds `start` to `end` into consecutive pieces of `CHUNK`, the last one shorter."""
    # The tolerance prevents an extra piece due to rounding.
    count = max(1, math.ceil((end - start) / CHUNK - 1e-6))
    edges = [*(start + CHUNK * k for k in range(count)), end]
    return list(itertools.pairwise(edges))


def piece_categories(
    segments: Sequence[tuple], timed: bool, num_frames: int, dur: float
) -> list[list[str]]:
    """The categories of every complete piece of `PIECE` frames (Walk and Text).

    The published code gives every frame the categories of one label: where labels with times
    overlap, of the one listed last, unless that has no category. Labels without times are about
    every frame, and their categories are joined. We differ in two respects. The code keeps the
    categories at the rate of the motion capture while it reduces the motion to 30 frames per
    second, so that a piece gets those of another time; ours are those of its own frames. And the
    code scores a clip by the categories of the 60 frames that it draws from a piece; we use those
    of the piece, which are at least as many.

    Args:
      segments: (start, end, categories, text) of the labels, in the order of the file.
      timed: whether the labels have times, in seconds.
      num_frames: length of the motion.
      dur: its length in seconds, as annotated.

    Returns:
      Distinct categories for each piece, in the order of its frames; an empty list where no label
      applies. The frames after the last complete piece belong to none.
    """
    of_frame: list[tuple[str, ...]] = [()] * num_frames
    if timed:
        rate = num_frames / dur
        for start, end, categories, _ in segments:
            if categories:
                covered = range(num_frames)[round(start * rate) : round(end * rate)]
                of_frame[covered.start : covered.stop] = [tuple(categories)] * len(covered)
    else:
        joined = tuple(name for _, _, categories, _ in segments for name in categories)
        of_frame = [joined] * num_frames
    return [
        list(dict.fromkeys(itertools.chain.from_iterable(of_frame[first : first + PIECE])))
        for first in range(0, num_frames - PIECE + 1, PIECE)
    ]


def seconds_of(frame: int, fps: float) -> float:
    """The time of a frame, of which `int(seconds * fps)` is the frame again."""
    seconds = frame / fps
    return seconds if int(seconds * fps) == frame else math.nextafter(seconds, math.inf)
