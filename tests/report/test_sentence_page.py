"""The page of motion sentences: what it says of each, and escaping."""

import numpy as np

from motionalign.report.sentence_page import Group, words, write_sentence_page
from motionalign.report.tables import Table


def test_a_page(tmp_path):
    image = np.zeros((4, 6, 3), np.uint8)
    codes = [[np.array([3, 7])], [np.array([3, 3]), np.array([5, 5])]]
    group = Group(
        "sit <down>", ["a", "b"], codes, np.array([0, 0.5]), [image, image], np.array([12.3, 45.6])
    )
    table = Table(["", "value"], [["perplexity", "2.0"]])
    page = write_sentence_page(tmp_path, "T", "two clips", table, {"frequencies": image}, [group])
    text = page.read_text("utf-8")
    assert "sit &lt;down&gt;" in text and "sit <down>" not in text
    assert text.count("<article>") == 1 and text.count("<li class=") == 2
    assert "46 mm, distance 0.50" in text and "mean distance 0.50" in text
    assert text.count("<p><span") == 3  # one sentence a person


def test_equal_words_have_equal_colours():
    one, two, three = words(np.array([3, 7, 3])).split("</span> ")
    assert one == three.removesuffix("</span>")
    assert one != two
