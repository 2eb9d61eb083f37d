"""Retrieval of the classes of descriptions by a sentence encoder."""

import json

import numpy as np
import pytest

from benchmarks import description_retrieval

TEXTS = {
    "north": ["up", "upwards"],
    "east": ["right", "up again"],
    "south": ["down", "downwards"],
}


def toward(*degrees):
    radians = np.radians(degrees)
    return np.stack([np.sin(radians), np.cos(radians)], axis=1)


def stand_in(texts):
    """North is 0 degrees, east 90; lengths must not matter."""
    degrees = {"north": 0, "east": 90, "south": 180, "up": -10, "upwards": 20, "right": 80,
               "up again": 25, "down": 170, "downwards": 175}  # fmt: skip
    vectors = toward(*(degrees[text] for text in texts))
    return vectors * np.arange(1, len(texts) + 1)[:, None]


def test_classes_found_by_hand():
    found, classes = description_retrieval.measure(TEXTS, stand_in)
    np.testing.assert_array_equal(classes, [0, 0, 1, 1, 2, 2])
    # "up again", at 25 degrees, is nearer to north than to east.
    np.testing.assert_array_equal(found.label, [0, 0, 1, 0, 2, 2])
    # Without itself, "up" (-10) is compared with 20 of its class; "upwards" (20) with -10 of its
    # own, which is as far as the 52.5 of east; "right" (80) with 25 of its own and 5 of north.
    np.testing.assert_array_equal(found.left_out, [0, 0, 1, 0, 2, 2])
    # The neighbour of "upwards" is "up again", and the other way round.
    np.testing.assert_array_equal(found.nearest, [0, 1, 1, 0, 2, 2])


def test_a_text_is_left_out_of_its_own_mean():
    """Of its class's other text and of two texts between them, the latter are nearer to a text."""
    vectors = toward(0, 60, 40, 41)
    found = description_retrieval.find(toward(0, 90), vectors, np.array([0, 0, 1, 1]))
    np.testing.assert_array_equal(found.left_out, [1, 1, 1, 1])


def test_confusions():
    lines = description_retrieval.confusions(
        np.array([0, 1, 2, 1, 1]), np.array([0, 0, 1, 1, 2]), ["a", "b", "c"]
    )
    assert lines == ["a: b", "b: c", "c: b"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"classes": {"walk": {"synonyms": ["stroll"]}}}, "descriptions"),
        ({"classes": {"walk": {"descriptions": ["one"]}}}, r"fewer than two.*\['walk'\]"),
        ({"classes": {}}, "fewer than two descriptions of any class"),
        ({"answers": {}}, "lacks 'classes'"),
    ],
)
def test_files_that_cannot_be_measured(content, message, tmp_path):
    path = tmp_path / "texts.json"
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=rf"texts\.json.*{message}"):
        description_retrieval.read_descriptions(path)


def test_the_command(monkeypatch, capsys, tmp_path):
    path = tmp_path / "texts.json"
    path.write_text(
        json.dumps({"classes": {name: {"descriptions": each} for name, each in TEXTS.items()}})
    )
    encoder = tmp_path / "encoder"
    (encoder / "1_Pooling").mkdir(parents=True)
    (encoder / "modules.json").write_text(
        json.dumps([{"path": "1_Pooling", "type": "sentence_transformers.models.Pooling"}])
    )
    (encoder / "1_Pooling" / "config.json").write_text(
        json.dumps({"pooling_mode_mean_tokens": True})
    )
    made = []
    monkeypatch.setattr(
        description_retrieval, "SentenceEncoder", lambda *given: made.append(given) or stand_in
    )
    arguments = [f"--encoder={encoder}", "--confusions", str(path)]
    monkeypatch.setattr("sys.argv", ["description_retrieval", *arguments])
    description_retrieval.main()
    assert made == [(str(encoder), "mean")]
    printed = capsys.readouterr().out
    assert f"| {path} | 3 | 6 | 1 | 83.3 | 83.3 | 66.7 |" in printed
    assert "own label:\neast: north" in printed
