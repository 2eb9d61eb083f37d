"""Counts of what is cut, and their notes."""

from motionalign.data.cuts import cut_clips, cut_texts, notes, to_json
from motionalign.data.tokenizer import Tokenizer, train_wordpiece

TOKENIZER = Tokenizer(train_wordpiece(["a person walks", "é ﷺ"], 60), 8)


def test_clips():
    cut = cut_clips(list("abcdef"), [9, 10, 11, 2000, 12, 13], 10, "part used: start", " of mine")
    assert cut.note == (
        "4 of 6 clips of mine are longer than 10 frames; part used: start; for example c (11 "
        "frames), d (2,000 frames), e (12 frames), ..."
    )
    assert cut_clips(list("ab"), [9, 10], 10, "part used: start") is None


def test_texts():
    long = "a person walks a person walks, a person walks"
    cut = cut_texts(["walks", long, long, "a " * 1000], TOKENIZER)
    assert (cut.count, cut.total, cut.limit) == (3, 4, "8 tokens")
    (once, again) = cut.examples  # each distinct text once
    assert once.startswith(f"{long!r} (") and again.endswith("...' (1,002 tokens)")
    assert cut_texts(["walks"], TOKENIZER) is None


def test_notes_and_numbers():
    cut = cut_clips(["a"], [11], 10, "part used: start")
    assert notes([None, cut]) == ["1 of 1 clips is longer than 10 frames; part used: start; for "
                                  "example a (11 frames)"]  # fmt: skip
    assert to_json([]) == {}
    assert to_json([cut])["cut"]["clips"]["count"] == 1
