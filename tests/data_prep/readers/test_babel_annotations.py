import pytest

from data_prep.readers.babel_annotations import piece_categories, seconds_of


def segment(start, end, *categories):
    return (start, end, list(categories), "text")


def frames(first, end, *categories):
    """A segment of frames `first` to `end` at 30 frames per second."""
    return segment(first / 30, end / 30, *categories)


def timed(*segments, num_frames=250):
    return piece_categories(segments, True, num_frames, num_frames / 30)


def test_pieces_have_the_categories_of_all_their_frames():
    labels = [
        frames(0, 45, "walk"),
        frames(45, 120, "walk", "turn"),
        frames(120, 150),  # a label without a category
        frames(150, 199, "sit"),
        frames(200, 250, "run"),  # after the last piece
    ]
    assert timed(*labels) == [["walk", "turn"], ["walk", "turn", "sit"]]
    assert timed(*labels, num_frames=300) == [["walk", "turn"], ["walk", "turn", "sit"], ["run"]]
    assert timed(frames(99, 101, "jump")) == [["jump"], ["jump"]]
    assert timed(frames(100, 101, "jump")) == [[], ["jump"]]
    assert timed(num_frames=99) == []
    assert timed(num_frames=100) == [[]]


def test_the_label_that_is_listed_last_counts():
    wave, stand = frames(10, 90, "wave"), frames(0, 200, "stand")
    assert timed(wave, stand) == [["stand"], ["stand"]]
    assert timed(stand, wave) == [["stand", "wave"], ["stand"]]
    assert timed(wave, frames(0, 200)) == [["wave"], []]  # one without a category hides none
    # A category outside the classes hides others too, as in the published code.
    assert timed(wave, frames(0, 100, "transition")) == [["transition"], []]


def test_labels_without_times_are_joined():
    labels = [segment(0, 8, "walk"), segment(0, 8, "turn", "walk"), segment(0, 8)]
    assert piece_categories(labels, False, 200, 8.0) == [["walk", "turn"]] * 2


def test_times_follow_the_frames_of_the_motion():
    """A file of 290 frames for 10 seconds: second 5 is frame 145, as in the published code."""
    labels = [segment(0, 5, "sit"), segment(5, 10, "stand up")]
    assert piece_categories(labels, True, 290, 10.0) == [["sit"], ["sit", "stand up"]]
    early = [segment(0, 3.44, "sit"), segment(3.44, 10, "stand up")]  # frame 99.76
    assert piece_categories(early, True, 290, 10.0) == [["sit"], ["stand up"]]
    assert piece_categories(early, True, 300, 10.0) == [["sit"], ["sit", "stand up"], ["stand up"]]


@pytest.mark.parametrize("fps", [30.0, 20.0])
def test_seconds_are_those_of_the_frame(fps):
    frames = range(0, 2_592_000, 100)  # of a day
    assert all(int(seconds_of(frame, fps) * fps) == frame for frame in frames)
    assert seconds_of(300, fps) == 300 / fps
