"""Plots: the marks that a reader relies on, room for all of them, and invalid input."""

import io
import subprocess
import sys

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import same_color, to_hex, to_rgb
from PIL import Image

from motionalign.report import pictures, plots
from motionalign.tasks import attributes


def names(count):
    return [f"a class called {k}" for k in range(count)]


def classification(f1, ap=None, base_rate=0.1):
    rows = {
        name: {"precision": 0.5, "recall": 0.5, "f1": value, "ap": ap, "base_rate": base_rate}
        for name, value in zip(names(len(f1)), f1)
    }
    return {"threshold": 0.5, "clips": 9, "attributes": rows}


def retrieval(num_attributes=7, methods=("cosine", "Euclidean"), num_clips=60):
    rng = np.random.default_rng(0)
    sets = rng.random((num_clips, num_attributes)) < 0.4
    sets[:, 0] = True
    scores = {method: rng.standard_normal((20, num_clips)) for method in methods}
    return attributes.retrieval(sets[:20], sets, names(num_attributes), scores)


def laid_out(figure):
    """The first axes of a figure after layout; checks that no part is cut off."""
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw_without_rendering()
    drawn = figure.get_tightbbox(renderer)  # inches
    width, height = figure.get_size_inches()
    margins = (drawn.x0, drawn.y0, width - drawn.x1, height - drawn.y1)
    assert min(margins) > 0.02
    return figure.axes[0]


def labels(axis):
    return [text.get_text() for text in axis.get_ticklabels()]


def legend(figure):
    """{text: its handle}."""
    (found,) = figure.legends
    texts = [text.get_text() for text in found.get_texts()]
    return dict(zip(texts, found.legend_handles, strict=True))


def lines(axes):
    return {line.get_label(): line for line in axes.get_lines()}


def from_top(axes):
    """Whether rows are counted from the top."""
    bottom, top = axes.get_ylim()
    return bottom > top


def darkness(colour):
    return 1 - np.mean(to_rgb(colour))


# Images ------------------------------------------------------------------------------------------

IMAGES = {
    "confusion_picture": (plots.confusion_figure, lambda: (np.eye(2), names(2))),
    "attribute_bars": (plots.attribute_bars_figure, lambda: (classification([0.2, 0.8]),)),
    "ndcg_curves": (plots.ndcg_curves_figure, lambda: (retrieval(),)),
    "attribute_ndcg": (plots.attribute_ndcg_figure, lambda: (retrieval(),)),
}


@pytest.mark.parametrize("name", IMAGES)
def test_images_of_figures(name):
    figure, arguments = IMAGES[name]
    image = getattr(plots, name)(*arguments())
    assert image.ndim == 3 and image.shape[2] == 3 and image.dtype == np.uint8
    assert (image[:2] == 255).all() and (image[-2:] == 255).all()
    assert (image[:, :2] == 255).all() and (image[:, -2:] == 255).all()
    assert image.std() > 5
    np.testing.assert_array_equal(image, pictures.rendered(figure(*arguments())))


# Confusion ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 2, 10, 60])
def test_confusion_of_every_size(size):
    rng = np.random.default_rng(0)
    counts = rng.integers(0, 30, (size, size))
    axes = laid_out(plots.confusion_figure(counts, names(size)))
    # A cell must have room for its number up to 20 classes, and for a row label beyond.
    extent = axes.get_window_extent()
    assert min(extent.width, extent.height) > size * (45 if size <= 20 else 17)
    assert labels(axes.xaxis) == names(size)
    numbered = [f"{name} ({n})" for name, n in zip(names(size), counts.sum(axis=1))]
    assert labels(axes.yaxis) == numbered and from_top(axes)
    assert axes.get_ylabel() == "true class (clips)" and axes.get_xlabel() == "recognised as"


def test_confusion_cells_are_shares():
    # Rows are normalised: ten times as many clips per class change the labels, not the cells.
    counts = np.array([[3, 1], [0, 2]])
    few, many = (plots.confusion_figure(n * counts, names(2)).axes[0] for n in (1, 10))
    for axes in (few, many):
        np.testing.assert_array_equal(axes.images[0].get_array(), [[75, 25], [0, 100]])
    assert labels(few.yaxis) == ["a class called 0 (4)", "a class called 1 (2)"]
    assert labels(many.yaxis) == ["a class called 0 (40)", "a class called 1 (20)"]


def test_larger_shares_are_darker():
    figure = plots.confusion_figure(np.eye(3, dtype=int), names(3))
    image = figure.axes[0].images[0]
    colours = image.to_rgba(image.get_array())
    assert {to_hex(colour) for colour in colours[np.eye(3, dtype=bool)]} == {"#08306b"}
    assert {to_hex(colour) for colour in colours[~np.eye(3, dtype=bool)]} == {"#f7fbff"}
    shades = [darkness(image.to_rgba(share)[:3]) for share in range(0, 101, 5)]
    assert np.all(np.diff(shades) > 0)
    assert shades[1] - shades[0] > shades[-1] - shades[-2]  # a few percent are visible
    # The colour bar shows the same shares.
    bar = figure.axes[1]
    assert bar.get_ylabel() == "share of the true class's clips (%)" and bar.get_ylim() == (0, 100)
    # A cell is at the position of its row and column labels.
    assert tuple(image.get_extent()) == (-0.5, 2.5, 2.5, -0.5)
    np.testing.assert_array_equal(figure.axes[0].get_xticks(), range(3))
    np.testing.assert_array_equal(figure.axes[0].get_yticks(), range(3))


def test_numbers_up_to_twenty_classes():
    counts = np.eye(20, dtype=int)
    counts[3] = 0
    counts[3, [5, 7]] = (1, 399)
    numbers = {
        text.get_position(): text
        for text in plots.confusion_figure(counts, names(20)).axes[0].texts
    }
    expected = {(k, k): "100" for k in range(20) if k != 3} | {(5, 3): "<1", (7, 3): "100"}
    assert {place: text.get_text() for place, text in numbers.items()} == expected
    # Each number is legible on its cell.
    assert darkness(numbers[5, 3].get_color()) > 0.5 > darkness(numbers[7, 3].get_color())
    assert not plots.confusion_figure(np.eye(21, dtype=int), names(21)).axes[0].texts


def test_a_class_without_clips_is_grey():
    counts = np.eye(4, dtype=int)
    counts[2] = 0
    axes = plots.confusion_figure(counts, names(4)).axes[0]
    cells = axes.images[0].get_array()
    grey = [[to_hex(cell) == "#e5e7eb" for cell in row] for row in axes.images[0].to_rgba(cells)]
    np.testing.assert_array_equal(grey, np.arange(4)[:, None].repeat(4, 1) == 2)
    assert labels(axes.yaxis)[2] == "a class called 2 (0)"


@pytest.mark.parametrize(
    ("counts", "size", "message"),
    [
        (np.ones((2, 3)), 2, r"must be \[2, 2\].*found \(2, 3\)"),
        (np.ones((3, 3)), 2, r"must be \[2, 2\]"),
        (np.ones((0, 0)), 0, "as many as names"),
        (-np.ones((2, 2)), 2, "not negative"),
        (np.full((2, 2), np.nan), 2, "finite"),
    ],
)
def test_confusion_errors(counts, size, message):
    with pytest.raises(ValueError, match=message):
        plots.confusion_picture(counts, names(size))


# Attributes --------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 7, 42])
def test_bars_of_every_number_of_attributes(count):
    figure = plots.attribute_bars_figure(classification(np.linspace(0.1, 0.9, count), ap=0.95))
    axes = laid_out(figure)
    assert figure.get_size_inches()[1] * figure.dpi > 24 * count
    assert labels(axes.yaxis) == names(count)[::-1] and from_top(axes)
    np.testing.assert_array_equal(axes.get_yticks(), range(count))
    ap = lines(axes)["AP"]  # one mark per row
    np.testing.assert_array_equal(ap.get_xydata(), [(0.95, k) for k in range(count)])
    assert ap.get_marker() == "D" and same_color(ap.get_color(), pictures.PART_COLOURS["left_leg"])
    assert axes.get_xlabel() == "score (0 to 1) on 9 clips"


def test_bars_are_sorted_and_as_long_as_their_f1():
    figure = plots.attribute_bars_figure(classification([0.2, 0.8, 0.4], base_rate=0.3))
    axes = figure.axes[0]
    bars = [
        (bar.get_x(), bar.get_width(), bar.get_y() + bar.get_height() / 2) for bar in axes.patches
    ]
    np.testing.assert_allclose(bars, [(0, 0.8, 0), (0, 0.4, 1), (0, 0.2, 2)])
    assert labels(axes.yaxis) == ["a class called 1", "a class called 2", "a class called 0"]
    assert axes.get_xlim()[0] <= 0 and axes.get_xlim()[1] >= 1
    chance = lines(axes)["base rate (the AP of chance)"]
    np.testing.assert_array_equal(chance.get_xydata(), [(0.3, 0), (0.3, 1), (0.3, 2)])
    handles = legend(figure)
    assert list(handles) == ["F1", "AP", "base rate (the AP of chance)"]
    assert same_color(handles["F1"].get_facecolor(), axes.patches[0].get_facecolor())


def test_an_attribute_that_does_not_occur_has_no_ap_mark():
    results = classification([0.0, 0.5], ap=0.5)
    results["attributes"]["a class called 0"]["ap"] = None
    axes = plots.attribute_bars_figure(results).axes[0]
    np.testing.assert_array_equal(lines(axes)["AP"].get_xydata(), [(0.5, 0), (np.nan, 1)])


def test_no_attributes():
    with pytest.raises(ValueError, match="no attributes to plot"):
        plots.attribute_bars({"attributes": {}, "clips": 3})
    with pytest.raises(ValueError, match="nothing to plot"):
        plots.attribute_ndcg({"ndcg": {"a": [1]}, "per_attribute": {}, "attribute_k": 5})


# Retrieval ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("num_clips", [20, 60])
@pytest.mark.parametrize("methods", [["one"], list("abcdefghi")])
def test_retrieval_plots_of_any_number_of_methods(methods, num_clips):
    results = retrieval(methods=methods, num_clips=num_clips)
    curves, dots = plots.ndcg_curves_figure(results), plots.attribute_ndcg_figure(results)
    for figure in (curves, dots):
        axes = laid_out(figure)
        assert list(legend(figure)) == [*methods, "random"]
        assert set(lines(axes)) == {*methods, "random"}
    # No two methods look the same.
    looks = {(line.get_color(), line.get_linestyle()) for line in curves.axes[0].get_lines()}
    assert len(looks) == len(methods) + 1
    looks = {
        (line.get_color(), line.get_marker(), line.get_markerfacecolor())
        for line in dots.axes[0].get_lines()
    }
    assert len(looks) == min(len(methods), 8) + 1


def test_a_curve_of_one_point_shows_it():
    results = retrieval() | {"ks": [1], "random": [0.2], "ndcg": {"a": [0.9]}}
    axes = laid_out(plots.ndcg_curves_figure(results))
    for name, value in (("a", 0.9), ("random", 0.2)):
        line = lines(axes)[name]
        np.testing.assert_array_equal(line.get_xydata(), [(1, value)])
        assert line.get_marker() == "o"  # a line through one point is invisible
    left, right = axes.get_xlim()
    assert left < 1 < right


def test_curves_show_their_values():
    results = retrieval(num_clips=60)
    axes = laid_out(plots.ndcg_curves_figure(results))
    assert results["ks"] == list(range(1, 51))
    for name, values in {**results["ndcg"], "random": results["random"]}.items():
        np.testing.assert_array_equal(
            lines(axes)[name].get_xydata(), np.stack([results["ks"], values], 1)
        )
        assert lines(axes)[name].get_marker() == "None"
    assert axes.get_xlim() == (1, 50) and axes.get_ylim() == (0, 1)
    assert axes.get_window_extent().width > 400 and axes.get_window_extent().height > 240
    colours = [lines(axes)[name].get_color() for name in ("cosine", "Euclidean", "random")]
    assert colours == [
        pictures.PART_COLOURS["right_leg"],
        pictures.PART_COLOURS["left_arm"],
        "#334155",
    ]
    assert lines(axes)["random"].get_linestyle() == "--"
    assert axes.get_xlabel() == "K (first hits of 60 clips)"
    assert axes.get_ylabel() == "NDCG@K (0 to 1), mean of 20 queries"


@pytest.mark.parametrize("count", [1, 7, 42])
def test_attribute_dots_are_sorted(count):
    results = retrieval(num_attributes=count)
    figure = plots.attribute_ndcg_figure(results)
    axes = laid_out(figure)
    assert figure.get_size_inches()[1] * figure.dpi > 24 * count
    rows = results["per_attribute"]
    order = sorted(rows, key=lambda name: -rows[name]["cosine"])
    assert labels(axes.yaxis) == [f"{name} ({rows[name]['queries']})" for name in order]
    assert from_top(axes)  # the best at the top
    for method in ("cosine", "Euclidean", "random"):
        places = [(rows[name][method], k) for k, name in enumerate(order)]
        np.testing.assert_array_equal(lines(axes)[method].get_xydata(), places)
    places = lines(axes)["cosine"].get_xdata()
    assert count == 1 or places[0] > places[-1]
    # A line joins the dots of an attribute.
    (joins,) = axes.collections
    for k, (name, segment) in enumerate(zip(order, joins.get_segments(), strict=True)):
        values = [rows[name][method] for method in ("cosine", "Euclidean", "random")]
        np.testing.assert_array_equal(segment, [(min(values), k), (max(values), k)])
    assert lines(axes)["cosine"].get_zorder() > lines(axes)["Euclidean"].get_zorder()
    assert axes.get_xlabel() == f"NDCG@{results['attribute_k']} (0 to 1)"


def test_names_cannot_break_a_plot():
    odd = ["$x", "a very long name of an attribute that nobody will read to its end", "a_b^c", "_x"]
    shown = [r"\$x", "a very long name of an attribut…", "a_b^c", "_x"]
    axes = laid_out(plots.confusion_figure(np.eye(4), odd))
    assert labels(axes.xaxis) == shown and labels(axes.yaxis) == [f"{name} (1)" for name in shown]
    results = retrieval(methods=["$x$ & $", "a_b"])
    rows = dict(zip(odd, results["per_attribute"].values()))
    figure = plots.attribute_ndcg_figure(results | {"per_attribute": rows})
    assert {label.rpartition(" ")[0] for label in labels(laid_out(figure).yaxis)} == set(shown)
    curves = plots.ndcg_curves_figure(results)
    laid_out(curves)
    assert list(legend(figure)) == list(legend(curves)) == [r"\$x\$ & \$", "a_b", "random"]


# Files -------------------------------------------------------------------------------------------


def test_picture_is_written_completely(tmp_path):
    path = tmp_path / "new" / "confusion.png"
    image = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    plots.write_picture(path, np.zeros((2, 2, 3), np.uint8))
    plots.write_picture(path, image)
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(path.read_bytes()))), image)
    assert [p.name for p in path.parent.iterdir()] == ["confusion.png"]


def test_matplotlib_is_imported_with_the_first_picture_and_pyplot_never():
    code = (
        "import sys, numpy as np; from motionalign.report import page, pictures, plots; "
        "from motionalign.skeleton import SKELETONS; "
        "assert 'matplotlib' not in sys.modules; "
        "plots.confusion_picture(np.eye(2), ['a', 'b']); "
        "pictures.skeleton_strip(np.zeros((1, 22, 3)), SKELETONS['smpl22']); "
        "assert 'matplotlib' in sys.modules and 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
