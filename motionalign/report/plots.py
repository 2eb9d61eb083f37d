"""Plots of results: confusion matrices, attribute scores, NDCG curves.

Each plot is available as a matplotlib figure and as an image [height, width, 3] uint8 RGB for
`pictures.png` or `write_picture`. As in `pictures`, matplotlib is imported when the first plot is
drawn, and only its Agg canvas is used.
"""

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from motionalign import files
from motionalign.report.pictures import PART_COLOURS, png, rendered

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

_DPI = 100

_INK, _FAINT = "#334155", "#cbd5e1"

# Distinct for all kinds of colour vision; markers and dashes distinguish the series as well.
_COLOURS = [PART_COLOURS[part] for part in ("right_leg", "left_arm", "right_arm", "left_leg")]

_MARKERS = "osD^"

_DASHES = ("-", "-.", ":")

# A short vertical line that marks the level of chance in a row.
_TICK: dict[str, Any] = {"color": _INK, "marker": "|", "ls": "", "ms": 11, "mew": 2}

_NUMBERED = 20  # largest number of classes for which cells have room for numbers

_LONGEST = 32  # longest name, in characters


# Images ------------------------------------------------------------------------------------------


def confusion_picture(counts: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """The image of `confusion_figure`: [height, width, 3] uint8."""
    return rendered(confusion_figure(counts, names))


def attribute_bars(results: Mapping) -> np.ndarray:
    """The image of `attribute_bars_figure`: [height, width, 3] uint8."""
    return rendered(attribute_bars_figure(results))


def ndcg_curves(results: Mapping) -> np.ndarray:
    """The image of `ndcg_curves_figure`: [height, width, 3] uint8."""
    return rendered(ndcg_curves_figure(results))


def attribute_ndcg(results: Mapping) -> np.ndarray:
    """The image of `attribute_ndcg_figure`: [height, width, 3] uint8."""
    return rendered(attribute_ndcg_figure(results))


def write_picture(path: str | os.PathLike, image: np.ndarray) -> None:
    """Writes an image [height, width, 3] uint8 as PNG, atomically."""
    files.write_bytes(path, png(image))


# Figures -----------------------------------------------------------------------------------------


def confusion_figure(counts: np.ndarray, names: Sequence[str]) -> "Figure":
    """Confusion matrix in percent of the clips of each true class; rows add up to 100.

    Args:
      counts: [K, K], row = true class, from `labels.confusion`. A class without clips is a grey
        row.
      names: K class names.

    Returns:
      The figure, larger for more classes; cells show numbers for up to 20 classes.

    Raises:
      ValueError: counts are not [K, K] for K names, negative, or not finite.
    """
    counts = np.asarray(counts)
    size = len(names)
    if counts.shape != (size, size) or not size:
        raise ValueError(f"counts must be [{size}, {size}], as many as names; found {counts.shape}")
    if not np.isfinite(counts).all() or (counts < 0).any():
        raise ValueError("counts must be finite and not negative")
    clips = counts.sum(axis=1)
    share = 100 * counts / np.where(clips, clips, np.nan)[:, None]

    cell = 0.48 if size <= _NUMBERED else 0.19  # inches
    letters = max(map(len, map(_short, names)))
    margin = 1.0 + 0.075 * letters
    side = max(cell * size, 2.4)
    figure, axes = _figure(side + margin + 0.9, side + margin)
    image = _draw_cells(axes, share)
    _label_classes(axes, names, clips)
    bar = figure.colorbar(image, ax=axes, shrink=min(1, 4 / side), aspect=16, pad=0.02)
    bar.set_label("share of the true class's clips (%)")
    bar.outline.set_visible(False)
    if size <= _NUMBERED:
        shade: Any = image.norm  # maps a share to 0..1
        for row, column in np.argwhere(counts > 0):
            value = share[row, column]
            colour = "white" if shade(value) > 0.6 else _INK
            style: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": 9, "color": colour}
            axes.text(column, row, f"{value:.0f}" if value >= 0.5 else "<1", **style)
    return figure


def attribute_bars_figure(results: Mapping) -> "Figure":
    """F1 of each attribute as a bar, the best at the top, with marks for AP and base rate.

    Args:
      results: results of `attributes.classification` (Walk and Text, Figure 5).

    Returns:
      The figure, taller for more attributes.

    Raises:
      ValueError: there are no attributes.
    """
    rows = sorted(results["attributes"].items(), key=lambda item: -item[1]["f1"])
    if not rows:
        raise ValueError("there are no attributes to plot")
    figure, axes = _rows_figure([_short(name) for name, _ in rows])
    places = np.arange(len(rows))

    def column(key: str) -> list[float]:
        return [np.nan if row[key] is None else row[key] for _, row in rows]

    colour = PART_COLOURS["right_arm"]
    bars = axes.barh(places, column("f1"), height=0.7, color=colour, label="F1", zorder=2)
    colour = PART_COLOURS["left_leg"]
    (ap,) = axes.plot(column("ap"), places, "D", color=colour, ms=5, label="AP", zorder=3)
    chance = "base rate (the AP of chance)"
    (rate,) = axes.plot(column("base_rate"), places, label=chance, zorder=3, **_TICK)
    axes.set_xlabel(f"score (0 to 1) on {results['clips']} clips")
    _legend(figure, [bars, ap, rate])
    return figure


def ndcg_curves_figure(results: Mapping) -> "Figure":
    """NDCG@K over K: one line per method, and a dashed line for chance.

    Args:
      results: results of `attributes.retrieval` (Walk and Text, Figure 6).
    """
    figure, axes = _figure(6.4, 4.2)
    ks = results["ks"]
    single: dict[str, Any] = {"marker": "o"} if len(ks) == 1 else {}  # one point draws no line
    for i, (method, values) in enumerate(results["ndcg"].items()):
        style: dict[str, Any] = {
            "color": _COLOURS[i % 4],
            "linestyle": _DASHES[i // 4 % 3],
            "linewidth": 2,
        }
        axes.plot(ks, values, label=_short(method), **style, **single)
    axes.plot(ks, results["random"], "--", color=_INK, linewidth=1.5, label="random", **single)
    axes.set_ylim(0, 1)
    axes.set_xlim(*((min(ks), max(ks)) if len(ks) > 1 else (ks[0] - 1, ks[0] + 1)))
    ticks: Any = axes.xaxis.get_major_locator()
    ticks.set_params(integer=True)
    axes.grid(color=_FAINT, linewidth=0.6)
    axes.set_xlabel(f"K (first hits of {results['gallery']} clips)")
    axes.set_ylabel(f"NDCG@K (0 to 1), mean of {results['queries']} queries")
    _legend(figure, axes.get_lines())
    return figure


def attribute_ndcg_figure(results: Mapping) -> "Figure":
    """NDCG@K of each attribute against chance, sorted by the first method, the best at the top.

    Args:
      results: results of `attributes.retrieval` (Walk and Text, Figure 7, with K = 5).

    Returns:
      The figure, taller for more attributes.

    Raises:
      ValueError: no attribute was scored.
    """
    methods = list(results["ndcg"])
    rows = sorted(results["per_attribute"].items(), key=lambda item: -item[1][methods[0]])
    if not rows:
        raise ValueError("no attribute has both a query and a clip, so there is nothing to plot")
    figure, axes = _rows_figure([f"{_short(name)} ({row['queries']})" for name, row in rows])
    places = np.arange(len(rows))
    values = np.array([[row[method] for method in [*methods, "random"]] for _, row in rows])
    axes.hlines(places, values.min(axis=1), values.max(axis=1), color=_FAINT, linewidth=2, zorder=1)
    (random,) = axes.plot(values[:, -1], places, label="random", zorder=2, **_TICK)
    dots = []
    for i, method in enumerate(methods):  # the first method is drawn on top
        style: dict[str, Any] = {
            "color": _COLOURS[i % 4],
            "marker": _MARKERS[i % 4],
            "ls": "",
            "ms": 6,
        }
        style |= {"markerfacecolor": "white"} if i >= 4 else {}
        layer = 4 - i / len(methods)
        dots += axes.plot(values[:, i], places, label=_short(method), zorder=layer, **style)
    axes.set_xlabel(f"NDCG@{results['attribute_k']} (0 to 1)")
    axes.set_ylabel("attribute (queries)")
    _legend(figure, [*dots, random])
    return figure


# Parts of figures --------------------------------------------------------------------------------


def _figure(width: float, height: float) -> "tuple[Figure, Axes]":
    """A figure of the given size in inches with one pair of axes; the layout fits the labels."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=_DPI, layout="constrained")
    axes = figure.add_subplot()
    axes.spines[:].set_visible(False)
    axes.tick_params(color=_FAINT, labelcolor=_INK)
    return figure, axes


def _rows_figure(labels: Sequence[str]) -> "tuple[Figure, Axes]":
    """`_figure` with one row per label, the first at the top, and a horizontal scale of 0 to 1."""
    figure, axes = _figure(7.2, 1.3 + 0.24 * len(labels))
    axes.set_yticks(range(len(labels)), labels)
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(len(labels) - 0.4, -0.6)
    axes.set_xlim(-0.02, 1.02)
    axes.set_xticks(np.linspace(0, 1, 6))
    axes.grid(axis="x", color=_FAINT, linewidth=0.6)
    axes.set_axisbelow(True)
    return figure, axes


def _draw_cells(axes: "Axes", share: np.ndarray) -> "AxesImage":
    """Draws shares [K, K] in percent as cells (NaN in grey) and returns the image."""
    from matplotlib import colormaps
    from matplotlib.colors import PowerNorm

    colours = colormaps["Blues"].with_extremes(bad="#e5e7eb")
    # Steeper near 0, where most confusions are: on a linear scale a few percent are hardly visible.
    scale = PowerNorm(0.6, vmin=0, vmax=100)
    return axes.imshow(np.ma.masked_invalid(share), cmap=colours, norm=scale)


def _label_classes(axes: "Axes", names: Sequence[str], clips: np.ndarray) -> None:
    """Labels the rows and columns of a confusion matrix and draws lines between its cells."""
    places = np.arange(len(names))
    small = 9 if len(names) <= _NUMBERED else 8
    axes.set_xticks(places, [_short(name) for name in names], rotation=90, fontsize=small)
    labels = [f"{_short(name)} ({n:.0f})" for name, n in zip(names, clips, strict=True)]
    axes.set_yticks(places, labels, fontsize=small)
    axes.set_xticks(places[1:] - 0.5, minor=True)
    axes.set_yticks(places[1:] - 0.5, minor=True)
    axes.grid(which="minor", color="white", linewidth=0.8)
    axes.tick_params(which="both", length=0)
    axes.set_xlabel("recognised as")
    axes.set_ylabel("true class (clips)")


def _legend(figure: "Figure", handles: Sequence[Any]) -> None:
    """Adds a legend above the axes, where it covers nothing."""
    columns = min(len(handles), 3)
    figure.legend(handles=handles, loc="outside upper center", ncols=columns, frameon=False)


def _short(name: str) -> str:
    """Shortens a name for an axis and escapes dollar signs, which would start a formula."""
    name = name if len(name) <= _LONGEST else name[: _LONGEST - 1] + "…"
    return name.replace("$", r"\$")
