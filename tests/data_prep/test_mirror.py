import pytest

from data_prep.mirror import mirrored_caption


@pytest.mark.parametrize(
    "caption, mirrored",
    [
        ("turns left, then right.", "turns right, then left."),
        ("Left LEFT left", "Right RIGHT right"),
        ("stands upright, brightly, leftover", "stands upright, brightly, leftover"),
        ("left-handed; leftwards; the leftmost", "right-handed; rightwards; the rightmost"),
        ("runs clockwise", "runs counterclockwise"),
        ("runs Counter-clockwise", "runs Clockwise"),
        ("counter clockwise, anticlockwise", "clockwise, clockwise"),
        ("clock wise, Counterclock wise", "counterclockwise, Clockwise"),
        ("counter-clock-wise, anti-clock wise", "clockwise, clockwise"),
        ("turns right by a right angle", "turns left by a right angle"),
        ("two right angles, a right-angled turn", "two right angles, a right-angled turn"),
        ("sits down right away, waves right now", "sits down right away, waves right now"),
        ("steps left away from a wall", "steps right away from a wall"),
        ("steps right away from a wall", "steps left away from a wall"),
        (
            "rights himself, then they right themselves",
            "rights himself, then they right themselves",
        ),
        ("throws lefts and rights", "throws rights and lefts"),
        ("waves", "waves"),
    ],
)
def test_sides_are_swapped_as_whole_words(caption, mirrored):
    assert mirrored_caption(caption) == mirrored


def test_mirroring_twice_is_the_identity():
    caption = "He turns clockwise on his Left foot; the right one lifts counterclockwise."
    assert mirrored_caption(mirrored_caption(caption)) == caption
