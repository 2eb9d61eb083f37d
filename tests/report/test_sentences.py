"""Pictures of motion sentences."""

import numpy as np
import pytest

from motionalign.report import sentences
from motionalign.skeleton import SKELETONS


def test_a_sentence_under_its_motion():
    skeleton = SKELETONS["smpl22"]
    rng = np.random.default_rng(0)
    joints = rng.normal(size=(16, skeleton.num_joints, 3))
    codes = np.array([3, 3, 250, 0])
    alone = sentences.sentence_picture(joints, None, codes, skeleton)
    both = sentences.sentence_picture(joints, joints, codes, skeleton)
    assert alone.dtype == np.uint8 and alone.shape[1:] == both.shape[1:] == (960, 3)
    np.testing.assert_array_equal(both[: len(alone)], alone)
    words = alone.shape[0] - sentences._WORDS
    np.testing.assert_array_equal(both[len(alone) :], alone[:words])


def test_words_show_their_ids_and_equal_words_one_colour():
    axes = sentences.words_figure(np.array([3, 7, 3])).axes[0]
    assert [text.get_text() for text in axes.texts] == ["3", "7", "3"]
    colours = [box.get_facecolor() for box in axes.patches]
    assert colours[0] == colours[2] != colours[1]


def test_frequencies_are_ranked_and_those_without_use_left_out():
    law = np.array([0.5, 0.3, 0.15, 0.05])
    axes = sentences.frequencies_figure(np.array([0.2, 0, 0.7, 0.1]), law).axes[0]
    drawn = [np.column_stack(line.get_data()) for line in axes.lines]
    np.testing.assert_allclose(drawn[0], np.column_stack([[1, 2, 3, 4], law]))
    np.testing.assert_allclose(drawn[1], [[1, 0.7], [2, 0.2], [3, 0.1]])
    assert axes.get_xscale() == axes.get_yscale() == "log"


@pytest.mark.parametrize("curvature", [0.5, 1.0])
def test_codes_in_two_dimensions_keep_their_distance_from_the_origin(curvature):
    rng = np.random.default_rng(0)
    points = rng.normal(size=(20, 5)) * [3, 2, 0.1, 0.1, 0.1]
    radii = rng.uniform(0, 0.99, 20) * curvature**-0.5
    points *= (radii / np.linalg.norm(points, axis=-1))[:, None]
    points[0] = 0
    flat, share = sentences.in_two_dimensions(points, curvature)
    assert 0.5 < share < 1
    assert flat.shape == (20, 2)
    np.testing.assert_allclose(np.linalg.norm(flat, axis=-1), np.linalg.norm(points, axis=-1))
    # Points of a plane keep their angles, too.
    points[:, 2:] = 0
    flat, share = sentences.in_two_dimensions(points, curvature)
    assert share == pytest.approx(1)
    np.testing.assert_allclose(flat @ flat.T, points @ points.T, atol=1e-9)
    axes = sentences.ball_figure(points, np.arange(20), curvature).axes[0]
    assert axes.patches[0].get_radius() == curvature**-0.5
    assert "projection from 5 dimensions" in axes.get_title()


def test_a_disc_is_drawn_as_it_is():
    points = np.array([[0.5, 0.1], [-0.2, 0.3], [0, -0.9]])
    np.testing.assert_array_equal(sentences.in_two_dimensions(points, 1.0)[0], points)
    axes = sentences.ball_figure(points, np.array([1, 0, 3]), 1.0).axes[0]
    assert axes.get_title() == "the codes in their Poincaré disc"
    np.testing.assert_allclose(axes.collections[0].get_offsets(), points[[0, 2]])  # used ones


def test_sentences_of_an_action_are_under_each_other():
    group = np.array([[3, 7, 3], [3, 7, -1]])
    figure = sentences.sentences_figure([("wave $", group, np.array([0, 1 / 3]))])
    (axes,) = figure.axes
    said = [text.get_text() for text in axes.texts]
    assert said == [r"wave \$", "3", "7", "3", "0.00", "3", "7", "0.33"]
    assert len({box.get_y() for box in axes.patches}) == 2
