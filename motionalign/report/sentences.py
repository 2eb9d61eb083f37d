"""Pictures of motion sentences: the words under their motion, their frequencies, the codebook.

As in `pictures`, matplotlib is imported when the first one is drawn.
"""

import colorsys
from typing import TYPE_CHECKING

import numpy as np

from motionalign.report.pictures import PART_COLOURS, rendered, skeleton_strip
from motionalign.skeleton import Skeleton

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_DPI = 100

_INK, _FAINT = "#334155", "#cbd5e1"

_WORDS = 44  # height in pixels of a row of words

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
    """A sentence [W] as a row of boxes with the codes' ids; equal codes have equal colours."""
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

    figure = Figure(figsize=(width / _DPI, _WORDS / _DPI), dpi=_DPI)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set_xlim(0, len(codes))
    axes.set_ylim(0, 1)
    for place, code in enumerate(codes):
        box = Rectangle((place + 0.04, 0.1), 0.92, 0.8, facecolor=_colour(int(code)), lw=0)
        axes.add_patch(box)
        axes.text(place + 0.5, 0.5, str(code), ha="center", va="center", color=_INK, size=9)
    return figure


def _colour(code: int) -> tuple[float, float, float]:
    """A light colour that depends on the code alone."""
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


def ball_figure(points: np.ndarray, frequencies: np.ndarray, radius: float) -> "Figure":
    """Codes as points in a disc, larger the more often they are used.

    Args:
      points: [U, 2], within the radius; see `in_two_dimensions`.
      frequencies: [U].
      radius: of the disc.
    """
    from matplotlib.patches import Circle

    figure, axes = _square()
    axes.add_patch(Circle((0, 0), radius, fill=False, color=_FAINT, lw=1.5))
    shares = np.asarray(frequencies) / max(np.max(frequencies), 1e-12)
    used = shares > 0
    axes.plot(*points[~used].T, ".", ms=2, color=_FAINT)
    axes.scatter(
        *points[used].T, s=6 + 90 * shares[used], alpha=0.6, lw=0, color=PART_COLOURS["right_arm"]
    )
    axes.set_xlim(-1.05 * radius, 1.05 * radius)
    axes.set_ylim(-1.05 * radius, 1.05 * radius)
    axes.set_aspect("equal")
    axes.set_axis_off()
    return figure


def in_two_dimensions(points: np.ndarray, curvature: float) -> np.ndarray:
    """Points [U, K] of a Poincaré ball in the plane of their largest spread, [U, 2].

    The two directions are the principal ones of the tangent vectors at the origin. A point keeps
    its distance from the origin, so that the border is where it is in the ball (ours).
    """
    points = np.asarray(points, np.float64)
    root = curvature**0.5
    norms = np.linalg.norm(points, axis=-1, keepdims=True)
    inside = np.minimum(root * norms, 1 - 1e-7)
    tangents = points * np.arctanh(inside) / np.maximum(root * norms, 1e-12)
    axes = np.linalg.svd(tangents, full_matrices=False)[2][:2]
    axes = np.pad(axes, ((0, 2 - len(axes)), (0, 0)))
    flat = points @ axes.T
    length = np.linalg.norm(flat, axis=-1, keepdims=True)
    return flat * norms / np.maximum(length, 1e-12)


def _square() -> tuple:
    """A figure of 480 x 480 pixels with one pair of axes."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.8, 4.8), dpi=_DPI, layout="constrained")
    axes = figure.add_subplot()
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.tick_params(labelsize=9)
    return figure, axes
