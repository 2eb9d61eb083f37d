"""Plots: sizes, the marks that a reader relies on, and bad input."""

import io
import itertools
import subprocess
import sys

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from PIL import Image

from motionalign.report import pictures, plots
from motionalign.tasks import attributes


def pixels(image, colour):
    """(y, x) of the pixels of a colour."""
    colour = np.round(255 * np.array(to_rgb(colour)))
    return np.nonzero((np.abs(image.astype(int) - colour) < 5).all(axis=-1))


def part(name):
    return pictures.PART_COLOURS[name]


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


def is_image(image):
    assert image.ndim == 3 and image.shape[2] == 3 and image.dtype == np.uint8
    assert (image[:2] == 255).all() and (image[-2:] == 255).all()  # nothing is cut off
    assert (image[:, :2] == 255).all() and (image[:, -2:] == 255).all()
    return image.std() > 5


# Confusion ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 2, 10, 60])
def test_confusion_of_every_size(size):
    rng = np.random.default_rng(0)
    image = plots.confusion_picture(rng.integers(0, 30, (size, size)), names(size))
    assert is_image(image)
    # A cell must have room for its number up to 20 classes, and for a row label beyond.
    assert min(image.shape[:2]) > size * (45 if size <= 20 else 17)


def test_only_shares_count():
    # Rows are normalised: ten times the clips of every class change the labels, not the cells.
    few, many = (plots.confusion_picture(n * np.eye(30), names(30)) for n in (10, 90))
    assert few.shape == many.shape
    cells = slice(400, 700)  # right of the labels
    np.testing.assert_array_equal(few[:, cells], many[:, cells])
    assert (few != many).any()


def test_a_diagonal_is_dark_along_it_only():
    size = 30
    dark, light = "#08306b", "#f7fbff"  # the ends of the scale
    diagonal = plots.confusion_picture(np.eye(size, dtype=int), names(size))
    rows, columns = pixels(diagonal, dark)
    inside = columns < diagonal.shape[1] - 150  # not the colour bar
    slope, offset = np.polyfit(columns[inside], rows[inside], 1)
    assert slope == pytest.approx(1, abs=0.02)
    assert np.abs(slope * columns[inside] + offset - rows[inside]).max() < 20
    uniform = plots.confusion_picture(np.ones((size, size), int), names(size))
    assert len(pixels(uniform, dark)[0]) < len(rows) / 2
    # All cells but the diagonal are empty in one picture, none in the other.
    assert len(pixels(diagonal, light)[0]) > 20 * len(pixels(uniform, light)[0])


def test_numbers_up_to_twenty_classes():
    def inks(size):  # colours within the cells; letters and digits add shades
        image = plots.confusion_picture(np.eye(size, dtype=int), names(size))
        middle = image[image.shape[0] // 8 : image.shape[0] // 3, 300:-200]
        return len(np.unique(middle.reshape(-1, 3), axis=0))

    assert inks(20) > inks(21) + 10


def test_a_class_without_clips_is_grey():
    def grey(counts):
        return pixels(plots.confusion_picture(counts, names(4)), "#e5e7eb")[0]

    counts = np.eye(4, dtype=int)
    assert len(grey(counts)) < 1000  # edges of letters
    counts[2] = 0
    rows, pixels_in_row = np.unique(grey(counts), return_counts=True)
    row = rows[pixels_in_row > 100]
    assert len(row) > 60 and np.ptp(row) < 90  # one cell high


@pytest.mark.parametrize(
    ("counts", "size", "message"),
    [
        (np.ones((2, 3)), 2, r"must be \[2, 2\].*got \(2, 3\)"),
        (np.ones((3, 3)), 2, r"must be \[2, 2\]"),
        (np.ones((0, 0)), 0, "as there are names"),
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
    image = plots.attribute_bars(classification(np.linspace(0.1, 0.9, count), ap=0.95))
    assert is_image(image)
    assert image.shape[0] > 24 * count
    assert len(pixels(image, part("left_leg"))[0]) > 20 * count  # a mark of AP a row


def test_bars_are_sorted_and_as_long_as_their_f1():
    image = plots.attribute_bars(classification([0.2, 0.8, 0.4], base_rate=0))
    rows, columns = pixels(image, part("right_arm"))
    below = rows > 40  # not the legend
    rows, columns = rows[below], columns[below]
    middles = np.quantile(np.unique(rows), [1 / 6, 1 / 2, 5 / 6]).astype(int)
    start = columns.min()
    lengths = np.array([columns[rows == y].max() - start for y in middles])
    np.testing.assert_allclose(lengths / lengths[0], [1, 0.5, 0.25], atol=0.02)


def test_an_attribute_that_does_not_occur_has_no_mark_of_ap():
    without, with_ap = (plots.attribute_bars(classification([0.0], ap=ap)) for ap in (None, 0.5))
    count = [len(pixels(image, part("left_leg"))[0]) for image in (without, with_ap)]
    assert count[1] > 1.5 * count[0] > 0  # the legend's remains


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
    assert is_image(plots.ndcg_curves(results))
    assert is_image(plots.attribute_ndcg(results))


def test_a_curve_of_one_point_shows_it():
    results = retrieval() | {"ks": [1], "random": [0.2], "ndcg": {"a": [0.9]}}
    image = plots.ndcg_curves(results)
    assert is_image(image)
    assert len(pixels(image[60:], part("right_leg"))[0]) > 20


def test_curves_lie_where_their_values_are():
    flat = {"cosine": [0.75] * 50, "Euclidean": [0.25] * 50}
    image = plots.ndcg_curves(retrieval(num_clips=60) | {"ndcg": flat, "random": [0.5] * 50})

    def height(colour):
        rows, columns = pixels(image, colour)
        plot = rows > 40  # not the legend
        values, count = np.unique(rows[plot], return_counts=True)
        return values[count.argmax()], np.ptp(columns[plot])

    cosine, width = height(part("right_leg"))
    euclidean, _ = height(part("left_arm"))
    assert width > 400  # over the whole of K
    random, _ = height("#334155")
    assert random == pytest.approx((cosine + euclidean) / 2, abs=2)
    assert euclidean - cosine > 120


@pytest.mark.parametrize("count", [1, 7, 42])
def test_attribute_dots_stand_in_order(count):
    results = retrieval(num_attributes=count, methods=["ours"])
    image = plots.attribute_ndcg(results)
    assert is_image(image) and image.shape[0] > 24 * count
    rows, columns = pixels(image, part("right_leg"))
    plot = rows > 35  # not the legend
    rows, columns = rows[plot], columns[plot]
    edges = np.linspace(rows.min(), rows.max() + 1, count + 1)
    places = [columns[(rows >= a) & (rows < b)].mean() for a, b in itertools.pairwise(edges)]
    assert np.all(np.diff(places) < 3)  # the best at the top
    assert count == 1 or places[0] > places[-1] + 10


def test_names_cannot_break_a_plot():
    odd = ["$x", "a very long name of an attribute that nobody will read to its end", "a_b^c", "_x"]
    assert is_image(plots.confusion_picture(np.eye(4), odd))
    results = retrieval(methods=["$x$ & $", "a_b"])
    values = results["per_attribute"].values()
    assert is_image(plots.attribute_ndcg(results | {"per_attribute": dict(zip(odd, values))}))
    assert is_image(plots.ndcg_curves(results))


# Files -------------------------------------------------------------------------------------------


def test_picture_is_written_whole(tmp_path):
    path = tmp_path / "new" / "confusion.png"
    image = plots.confusion_picture(np.eye(3), names(3))
    plots.write_picture(path, np.zeros((2, 2, 3), np.uint8))
    plots.write_picture(path, image)
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(path.read_bytes()))), image)
    assert [p.name for p in path.parent.iterdir()] == ["confusion.png"]


def test_matplotlib_comes_with_the_first_plot_and_never_pyplot():
    code = (
        "import sys, numpy as np; from motionalign import plots; "
        "assert 'matplotlib' not in sys.modules; "
        "plots.confusion_picture(np.eye(2), ['a', 'b']); "
        "assert 'matplotlib' in sys.modules and 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
