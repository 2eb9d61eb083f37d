"""Labels and sets of attributes, in the form of the published prompts."""

import pytest

from data_prep.captions.labels import PUBLISHED_KEYS, published_keys
from data_prep.readers import densegait


def test_the_groups_of_densegait_have_the_keys_of_table_iii():
    """All eight, in the order of its rows."""
    assert published_keys([*densegait.ATTRIBUTES]) == PUBLISHED_KEYS
    assert list(PUBLISHED_KEYS.values()) == (
        "sex, bodytype, age, viewpoint, accessories, actions, clothing style, footwear".split(", ")
    )


@pytest.mark.parametrize(
    ("groups", "keys"),
    [
        (["style", "clothing", "gender"], ["sex", "clothing style", "style"]),  # ours come last
        (["sex", "gender"], ["gender", "sex"]),  # none hides the other
        (["mood"], ["mood"]),
    ],
)
def test_groups_that_the_paper_does_not_have_keep_their_names(groups, keys):
    assert list(published_keys(groups).values()) == keys
