"""Pictures of motion sentences: the words under their motion, their frequencies, the codebook.

As in `pictures`, matplotlib is imported when the first one is drawn.
"""

import colorsys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from motionalign.report.pictures import INSET as _PATH
from motionalign.report.pictures import PART_COLOURS, rendered, skeleton_strip
from motionalign.skeleton import Skeleton

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_DPI = 100

_INK, _FAINT = "#334155", "#cbd5e1"

_WORDS = 44  # height in pixels of a row of words

_LINE = 30  # of a row among several

_GOLDEN = 0.618033988749895  # consecutive ids get hues far apart


def sentence_picture(
    joints: np.ndarray, decoded: np.ndarray | None, codes: np.ndarray, skeleton: Skeleton
) -> np.ndarray:
    """A motion, its sentence, and the motion that the sentence tells, from top to bottom.

    Args:
      joints: [F, J, 3] of one person, in metres.
      decoded: [F, J, 3], the motion decoded from the sentence; None: it is not drawn.
      codes: [W] ids of the sentence's words.
      skeleton: the J joints.

    Returns:
      [height, width, 3] uint8 RGB.
    """
    strips = [skeleton_strip(joints, skeleton, num_poses=len(codes))]
    width = strips[0].shape[1]
    strips.append(rendered(words_figure(codes, width)))
    if decoded is not None:
        strips.append(skeleton_strip(decoded, skeleton, num_poses=len(codes)))
    return np.concatenate(strips)


def words_figure(codes: np.ndarray, width: int = 960) -> "Figure":
    """A sentence [W] as a row of boxes with the codes' ids; equal codes have equal colours.

    Over the poses of a strip of this width, whose path at the right has no words below it.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width / _DPI, _WORDS / _DPI), dpi=_DPI)
    axes = _row_axes(figure, (0, 0, 1 - _PATH / width, 1), len(codes))
    _draw_words(axes, codes, 0)
    return figure


def sentences_figure(
    groups: Sequence[tuple[str, np.ndarray, np.ndarray]], width: int = 960
) -> "Figure":
    """Sentences of the same action under each other, with the edit distance from the first.

    Args:
      groups: per action its name, the sentences [n, L] (tokens, then -1) and the distances [n].
      width: in pixels.
    """
    from matplotlib.figure import Figure

    rows = sum(len(sentences) for _, sentences, _ in groups)
    height = (rows + 0.5 * len(groups)) * _LINE
    figure = Figure(figsize=(width / _DPI, height / _DPI), dpi=_DPI)
    longest = max(int((sentences >= 0).sum(axis=1).max()) for _, sentences, _ in groups)
    axes = _row_axes(figure, (0.2, 0, 0.73, 1), longest)
    axes.set_ylim(-height / _LINE + 0.25, 0.25)
    place = 0.0
    for name, sentences, distances in groups:
        style: dict[str, Any] = {"va": "center", "color": _INK, "size": 9}
        axes.text(-0.01 * longest, place - 0.5, shortened(name, 26), ha="right", **style)
        for sentence, distance in zip(sentences, distances, strict=True):
            _draw_words(axes, sentence[sentence >= 0], place - 1)
            axes.text(1.01 * longest, place - 0.5, f"{distance:.2f}", ha="left", **style)
            place -= 1
        place -= 0.5
    return figure


def _row_axes(figure: "Figure", room: tuple[float, float, float, float], count: int) -> "Axes":
    """Axes without a frame for rows of `count` words, one high."""
    axes = figure.add_axes(room)
    axes.set_axis_off()
    axes.set_xlim(0, count)
    axes.set_ylim(0, 1)
    return axes


def _draw_words(axes: "Axes", codes: np.ndarray, bottom: float) -> None:
    """Draws tokens side by side as boxes from `bottom` to one above it."""
    from matplotlib.patches import Rectangle

    for place, code in enumerate(codes):
        corner = place + 0.04, bottom + 0.1
        axes.add_patch(Rectangle(corner, 0.92, 0.8, facecolor=colour_of(int(code)), lw=0))
        axes.text(
            place + 0.5, bottom + 0.5, str(code), ha="center", va="center", color=_INK,
            size=min(9, 260 / len(codes)),
        )  # fmt: skip


def colour_of(code: int) -> tuple[float, float, float]:
    """A light colour, red, green and blue in 0..1, that depends on the code alone."""
    return colorsys.hls_to_rgb(code * _GOLDEN % 1, 0.82, 0.6)


def frequencies_figure(frequencies: np.ndarray, law: np.ndarray) -> "Figure":
    """Token frequencies by rank beside a law, on logarithmic axes.

    Args:
      frequencies: [U], in any order; codes without use are not drawn.
      law: [U], the frequencies of the law by rank.
    """
    figure, axes = _square()
    ranked = np.sort(np.asarray(frequencies, np.float64))[::-1]
    ranked = ranked[ranked > 0]
    axes.loglog(np.arange(1, len(law) + 1), law, color=_INK, ls="--", label="Zipf-Mandelbrot")
    axes.loglog(
        np.arange(1, len(ranked) + 1), ranked, "o", ms=4, color=PART_COLOURS["right_arm"],
        label="motion tokens",
    )  # fmt: skip
    axes.set_xlabel("rank")
    axes.set_ylabel("frequency")
    axes.legend(frameon=False, fontsize=9)
    return figure


def ball_figure(points: np.ndarray, frequencies: np.ndarray, curvature: float) -> "Figure":
    """The codes in the Poincaré ball, as points in a disc, larger the more often they are used.

    The title says what is seen: the ball itself, or a projection (`in_two_dimensions`).

    Args:
      points: [U, K] codes in the ball.
      frequencies: [U].
      curvature: c; the radius of the ball is 1/√c.
    """
    from matplotlib.patches import Circle

    points, radius = np.asarray(points), curvature**-0.5
    flat, share = in_two_dimensions(points, curvature)
    figure, axes = _square()
    axes.add_patch(Circle((0, 0), radius, fill=False, color=_FAINT, lw=1.5))
    shares = np.asarray(frequencies) / max(np.max(frequencies), 1e-12)
    used = shares > 0
    axes.plot(*flat[~used].T, ".", ms=3, color=_FAINT)
    axes.scatter(
        *flat[used].T, s=6 + 90 * shares[used], alpha=0.6, lw=0, color=PART_COLOURS["right_arm"]
    )
    axes.set_xlim(-1.05 * radius, 1.05 * radius)
    axes.set_ylim(-1.05 * radius, 1.05 * radius)
    axes.set_aspect("equal")
    axes.set_axis_off()
    width = points.shape[1]
    title = (
        "the codes in their Poincaré disc"
        if width == 2
        else f"projection from {width} dimensions: distances from the centre are\nkept, directions "
        f"are those of 2 principal axes ({100 * share:.0f} % of the spread)"
    )
    axes.set_title(title, fontsize=9, color=_INK)
    return figure


def in_two_dimensions(points: np.ndarray, curvature: float) -> tuple[np.ndarray, float]:
    """Points of a Poincaré ball in two dimensions.

    Two dimensions are left as they are. Of more, the two directions are the principal axes, about
    the origin, of the tangent vectors at the origin. A point keeps its distance from the origin, so
    that the border stays where it is; angles and the distances between points change (ours).

    Args:
      points: [U, K].
      curvature: c.

    Returns:
      [U, 2], and the share of the squared lengths of the tangent vectors along the two axes.
    """
    points = np.asarray(points, np.float64)
    if points.shape[1] == 2:
        return points, 1.0
    root = curvature**0.5
    norms = np.linalg.norm(points, axis=-1, keepdims=True)
    inside = np.minimum(root * norms, 1 - 1e-7)
    tangents = points * np.arctanh(inside) / np.maximum(root * norms, 1e-12)
    _, sizes, axes = np.linalg.svd(tangents, full_matrices=False)
    axes = np.pad(axes[:2], ((0, max(0, 2 - len(axes))), (0, 0)))
    flat = points @ axes.T
    length = np.linalg.norm(flat, axis=-1, keepdims=True)
    share = np.sum(sizes[:2] ** 2) / max(np.sum(sizes**2), 1e-12)
    return flat * norms / np.maximum(length, 1e-12), float(share)


def shortened(name: str, most: int) -> str:
    """A name of at most `most` characters, with dollar signs, which start formulas, escaped."""
    name = name if len(name) <= most else name[: most - 1] + "…"
    return name.replace("$", r"\$")


def _square() -> "tuple[Figure, Axes]":
    """A figure of 480 x 480 pixels with one pair of axes."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.8, 4.8), dpi=_DPI, layout="constrained")
    axes = figure.add_subplot()
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.tick_params(labelsize=9)
    return figure, axes
