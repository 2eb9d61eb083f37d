"""Pages of tasks with classes: what is drawn, in which order, and what is marked as correct."""

import re

import numpy as np
import pytest
from pages import Reader

from motionalign.report.class_page import (
    Clips,
    write_attribute_page,
    write_label_page,
    write_set_page,
)
from motionalign.report.tables import Table
from motionalign.skeleton import SKELETONS

IMAGE = np.full((20, 30, 3), 255, np.uint8)
TABLE = Table(["text", "top-1"], [["label words", "50.00"]], ["by the <cosine> distance"])
NAMES = ("walk & talk", "sit", "<b>run</b>", "jump")


@pytest.fixture
def clips():
    def joints(i):
        joints.drawn.append(i)
        return np.random.default_rng(i).standard_normal((10 + i, 22, 3), np.float32)

    joints.drawn = []
    return Clips([f"clip-{i:02d}" for i in range(24)], joints, SKELETONS["smpl22"], 20.0)


def read(path) -> tuple[str, Reader]:
    """Reads a page; checks that it is self-contained and that text from data is escaped."""
    text = path.read_text("utf-8")
    reader = Reader(text)
    assert all(link.startswith("data:image/png;base64,") for link in reader.links)
    assert "<b>run" not in text and "<cosine>" not in text and "&amp; talk" in text
    assert [p.name for p in path.parent.iterdir()] == ["index.html"]
    return text, reader


def cards(text) -> dict[str, str]:
    """{query: its card}."""
    found = re.findall("<article>(.*?)</article>", text, re.DOTALL)
    return {re.search(r"<(strong|q)>(.*?)</", each)[2]: each for each in found}


# Actions -----------------------------------------------------------------------------------------

# walk: all 6 correct. sit: 6, of which 3 predicted as run, 1 as jump. run: 12, one as walk.
LABELS = np.repeat([0, 1, 2], [6, 6, 12])
PREDICTED = np.array([0] * 6 + [1, 2, 2, 3, 2, 1] + [2] * 11 + [0])


def label_page(folder, clips, **more):
    scores = np.full((24, 4), 0.125)
    scores[np.arange(24), LABELS] = 0.25
    scores[np.arange(24), PREDICTED] = 0.5
    arguments = {"tables": [TABLE], "confusion": IMAGE, "count": 12, "title": "walk & talk"} | more
    return write_label_page(
        folder, clips, NAMES, LABELS, PREDICTED, scores, unit="cosines", **arguments
    )


def test_actions(tmp_path, clips):
    text, reader = read(label_page(tmp_path, clips))
    assert "24 clips, 3 actions, skeleton smpl22" in text and "Scores are cosines." in text
    assert reader.rows == [
        ["text", "top-1"],
        ["label words", "50.00"],
        ["action", "predicted as", "clips", "share of the action's clips"],
        ["sit", "<b>run</b>", "3", "50 %"],  # the most frequent first
        ["sit", "jump", "1", "17 %"],
        ["<b>run</b>", "walk & talk", "1", "8 %"],
        ["action", "most often confused with", "clips", "correct", "top-1"],
        ["sit", "<b>run</b> (3)", "6", "2", "33.3"],  # the least recognised first
        ["<b>run</b>", "walk & talk (1)", "12", "11", "91.7"],
        ["walk & talk", "-", "6", "6", "100.0"],
    ]
    found = cards(text)
    assert list(found) == ["sit", "&lt;b&gt;run&lt;/b&gt;", "walk &amp; talk"]
    verdicts = [re.search(r'verdict (\w+)">([^<]*)<', card).groups() for card in found.values()]
    assert verdicts == [
        ("miss", "2 of 6 recognised"), ("near", "11 of 12 recognised"),
        ("good", "6 of 6 recognised"),
    ]  # fmt: skip
    facts = [(kind, " ".join(words.split("clip-")[0].split())) for kind, words in reader.items]
    wrong = "predicted · true action 0.250"
    assert facts[:5] == [
        ("wrong", f"<b>run</b> 0.500{wrong}"),
        ("wrong", f"jump 0.500{wrong}"),
        ("wrong", f"<b>run</b> 0.500{wrong}"),  # a third one like this is not drawn
        ("right", "sit 0.500correct"),
        ("right", "sit 0.500correct"),
    ]
    drawn = clips.joints.drawn
    assert len(drawn) == len(set(drawn)) == len(reader.images) - 1 == 5 + 3 + 2
    assert {i for i in drawn if LABELS[i] == 1} >= {0 + 6, 11, 9}  # both correct ones, and jump


def test_actions_without_confusions(tmp_path, clips):
    scores = np.eye(4)[LABELS]
    path = write_label_page(
        tmp_path, clips, NAMES, LABELS, LABELS, scores, unit="logits", tables=[TABLE],
        confusion=IMAGE, count=12, title="t",
    )  # fmt: skip
    text, reader = read(path)
    assert "All clips are classified correctly." in text
    assert {kind for kind, _ in reader.items} == {"right"}


def test_count_limits_the_actions_with_clips(tmp_path, clips):
    text, reader = read(label_page(tmp_path, clips, count=1))
    assert list(cards(text)) == ["sit"] and "Clips of each action, the 1 least recogn" in text
    assert len(reader.rows) == 10  # the tables are of all
    text, reader = read(label_page(tmp_path, clips, count=0))
    assert not cards(text) and len(reader.images) == 1


def test_the_seed_chooses_clips(tmp_path, clips):
    first = label_page(tmp_path, clips).read_text("utf-8")
    assert label_page(tmp_path, clips).read_text("utf-8") == first
    assert label_page(tmp_path, clips, seed=1).read_text("utf-8") != first


# Attributes --------------------------------------------------------------------------------------


def attribute_page(folder, clips, ap=(0.9, 0.2, 0.5, None), **more):
    """The top clips all have attribute 0, only the seventh has 1, some have 2, none has 3."""
    prob = np.linspace(0.99, 0.01, 24)[:, None] * [1, 1, 1, 1]
    target = np.zeros((24, 4), bool)
    target[:10, 0], target[6, 1], target[[1, 3], 2] = True, True, True
    arguments = {"tables": [TABLE], "bars": IMAGE, "count": 12, "title": "walk & talk"} | more
    return write_attribute_page(folder, clips, NAMES, prob, target, ap, **arguments)


def test_attributes(tmp_path, clips):
    text, reader = read(attribute_page(tmp_path, clips))
    found = cards(text)
    assert list(found) == ["sit", "&lt;b&gt;run&lt;/b&gt;", "walk &amp; talk"]  # worst AP first
    verdicts = [re.search(r'verdict (\w+)">([^<]*)<', card).groups() for card in found.values()]
    assert verdicts == [
        ("miss", "0 of 5 have it · AP 0.20, base rate 0.04"),
        ("near", "2 of 5 have it · AP 0.50, base rate 0.08"),
        ("good", "5 of 5 have it · AP 0.90, base rate 0.42"),
    ]
    kinds = [kind for kind, _ in reader.items]
    assert kinds == (
        ["wrong"] * 5 + ["right"] + ["wrong", "right", "wrong", "right", "wrong"] + ["right"] * 5
    )
    assert reader.items[0][1].startswith("1 0.990does not have it")
    assert reader.items[5][1].startswith("7 0.734has it")  # beyond the fifth
    assert set(clips.joints.drawn) == {0, 1, 2, 3, 4, 6} and len(clips.joints.drawn) == 6


def test_some_attributes_from_the_worst_to_the_best(tmp_path, clips):
    text, _ = read(attribute_page(tmp_path, clips, count=2))
    assert list(cards(text)) == ["sit", "walk &amp; talk"]
    assert "Clips of each attribute, 2 of 3" in text
    text, _ = read(attribute_page(tmp_path, clips, count=0))
    assert not cards(text)
    text, _ = read(attribute_page(tmp_path, clips, ap=[None] * 4))
    assert not cards(text)


# Clips found by attributes -----------------------------------------------------------------------


def test_sets(tmp_path, clips):
    queries = ["walk & talk, sit", "sit"]
    scores = np.tile(np.linspace(1, 0, 24), (2, 1))
    shared = np.zeros((2, 24), int)
    shared[0, :3] = [2, 1, 0]
    path = write_set_page(
        tmp_path, clips, [f"has {NAMES[i % 4]}" for i in range(24)], queries, scores, shared,
        np.array([2, 1]), unit="cosines", tables=[TABLE, TABLE], images=[IMAGE], count=5,
        title="walk & talk",
    )  # fmt: skip
    text, reader = read(path)
    found = cards(text)
    assert set(found) == {"walk &amp; talk, sit", "sit"}
    card = found["walk &amp; talk, sit"]
    assert 'verdict near">1 of 5 hits have all attributes' in card
    assert 'verdict miss">0 of 5 hits have all attributes' in found["sit"]
    tags = re.findall(r'class="(right|wrong)".*?tag">([^<]*)<.*?<p>([^<]*)<', card, re.DOTALL)
    assert tags[:3] == [
        ("right", "2 of 2 attributes", "has walk &amp; talk"),
        ("wrong", "1 of 2 attributes", "has sit"),
        ("wrong", "0 of 2 attributes", "has &lt;b&gt;run&lt;/b&gt;"),
    ]
    assert len(reader.images) == 1 + 10 and sorted(clips.joints.drawn) == [0, 1, 2, 3, 4]
