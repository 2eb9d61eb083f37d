"""The page of examples: one file, what is marked as correct, and which examples are chosen."""

import dataclasses
import re

import numpy as np
import pytest
from pages import Reader

from motionalign.inference.similarity import cosine_similarity
from motionalign.report import pictures, tables
from motionalign.report.page import Gallery, example_queries, same_caption, write_page
from motionalign.skeleton import SKELETONS
from motionalign.tasks.captions import run_protocols


def embeddings(size=60, noise=0.8, width=16, seed=0):
    """Motion and text vectors of a model that is correct more often than not."""
    rng = np.random.default_rng(seed)
    motion = rng.standard_normal((size, width), np.float32)
    return motion, motion + noise * rng.standard_normal((size, width), np.float32)


@pytest.fixture
def gallery():
    skeleton = SKELETONS["smpl22"]

    def joints(i):
        joints.drawn.append(i)
        return np.random.default_rng(i).standard_normal((10 + i, 22, 3), np.float32)

    joints.drawn = []
    clips = [f"{i:03d}" for i in range(60)]
    captions = [f"a person does thing {i}" for i in range(60)]
    captions[1] = captions[0]  # a twin that shares the caption
    captions[3] = "a person <b>turns</b> & waves left"  # a twin that does not
    mirrored_of = [""] * 60
    mirrored_of[1], mirrored_of[3] = "000", "002"
    return Gallery(clips, clips, captions, mirrored_of, joints, skeleton, 20.0, "MiniLM")


def page_of(folder, gallery, similarity, **more):
    motion, text = embeddings()
    results = run_protocols(motion, text, gallery.captions)
    path = write_page(folder, results, gallery, similarity, **more)
    return path.read_text(encoding="utf-8")


def test_page(tmp_path, gallery):
    motion, text = embeddings(noise=2.0)
    similarity = cosine_similarity(text, motion)
    page = page_of(tmp_path, gallery, similarity, num_queries=6, title="clips & words")
    reader = Reader(page)
    assert page.count("<article>") == 6
    assert all(link.startswith("data:image/png;base64,") for link in reader.links)  # offline
    assert len(reader.images) == len(reader.items) + 3  # a strip for each hit and motion query
    drawn = gallery.joints.drawn
    assert len(drawn) == len(set(drawn))  # each clip drawn once
    assert "<title>clips &amp; words</title>" in page
    assert [p.name for p in tmp_path.iterdir()] == ["index.html"]
    assert page_of(tmp_path, gallery, similarity, num_queries=6, title="clips & words") == page
    other = page_of(tmp_path, gallery, similarity, num_queries=6, title="clips & words", seed=1)
    for way in range(2):  # other examples, in both directions
        queries = [re.split("<h2>", text)[1 + way].split("<article>")[1:] for text in (page, other)]
        assert len(queries[0]) == len(queries[1]) == 3 and queries[0] != queries[1]


def test_page_marks_correct_hits_and_twins(tmp_path, gallery):
    # Every caption finds its own clip and then the next one; 0 and 1 share a caption.
    similarity = np.eye(60) + 0.5 * np.eye(60, k=1) + 0.1
    page = page_of(tmp_path, gallery, similarity, num_queries=120)
    reader = Reader(page)
    tags = [(kind, text.split()[0], text) for kind, text in reader.items]
    assert {kind for kind, place, _ in tags if place == "1"} == {"right"}
    assert any(kind == "right" and "correct: mirrored twin" in text for kind, _, text in tags)
    assert any(
        kind == "wrong" and "mirrored twin, different caption" in text for kind, _, text in tags
    )
    # Captions are escaped, both as queries and as hits.
    assert "<b>turns</b>" not in page
    assert all(f"<{tag}>a person &lt;b&gt;turns&lt;/b&gt; &amp; waves left" in page for tag in "qp")


def test_page_shows_a_correct_match_beyond_the_fifth(tmp_path, gallery):
    # Each query's own clip comes last; only the clips that share a caption do better.
    similarity = (np.arange(60)[None] - np.arange(60)[:, None]) % 60
    page = page_of(tmp_path, gallery, similarity.astype(float), num_queries=120)
    items = Reader(page).items
    assert ["right", "60 0.000correct"] in [[kind, text[:15]] for kind, text in items]
    assert "correct match at rank 60 of 60" in page
    for (kind, text), (_, before) in zip(items[1:], items[:-1]):
        if text.startswith("60 "):
            assert kind == "right" and before.startswith("5 ")


def test_page_states_the_rank_of_the_correct_match(tmp_path, gallery):
    # The text of clip i finds i motions before its own; a motion finds the texts of later clips.
    similarity = np.tril(np.full((60, 60), 0.9), -1) + 0.5 * np.eye(60)
    first = dataclasses.replace(gallery, captions=[f"{i}" for i in range(60)])
    page = page_of(tmp_path, first, similarity, num_queries=120)
    words, motions = (
        re.findall(r'class="verdict (\w+)">correct match ([^<]+)<', part)
        for part in page.split("<h2>")[1:]
    )
    verdicts = {("good", "first"), *(("near", f"at rank {rank}") for rank in range(2, 6))}
    verdicts |= {("miss", f"at rank {rank} of 60") for rank in range(6, 61)}
    assert set(words) == set(motions) == verdicts and len(words) == len(motions) == 60
    asked = re.findall(r"<q>(\d+)</q>.*?correct match (first|at rank \d+)", page, re.DOTALL)
    assert {int(clip): where for clip, where in asked} == {
        clip: f"at rank {clip + 1}" if clip else "first" for clip in range(60)
    }
    header = r'<header class="m2t">.*?alt="poses of clip (\d+)".*?correct match (first|at rank \d+)'
    assert {int(clip): where for clip, where in re.findall(header, page, re.DOTALL)} == {
        clip: f"at rank {60 - clip}" if clip < 59 else "first" for clip in range(60)
    }


def test_page_carries_the_table(tmp_path, gallery):
    motion, text = embeddings()
    results = run_protocols(motion, text, gallery.captions)
    page = write_page(tmp_path, results, gallery, np.eye(60), num_queries=0).read_text("utf-8")
    head, rows = tables.retrieval_rows(results)
    assert Reader(page).rows == [head, *rows] and len(rows) == 4
    assert "<li><b>all_threshold</b>: left out (no caption vectors" in page
    assert "60 clips, 59 distinct captions, skeleton smpl22" in page


def test_clips_of_two_dimensions_are_drawn_flat(tmp_path, gallery, monkeypatch):
    # The third channel is a detector's confidence, not a coordinate.
    clips = np.random.default_rng(0).standard_normal((60, 10, 18, 3), np.float32)
    drawn = []

    def strip(joints, skeleton):
        assert skeleton.name == "coco18"
        drawn.append(joints)
        return np.zeros((4, 5, 3), np.uint8)

    monkeypatch.setattr(pictures, "skeleton_strip", strip)
    flat = dataclasses.replace(gallery, skeleton=SKELETONS["coco18"], joints=clips.__getitem__)
    page = page_of(tmp_path, flat, np.eye(60), num_queries=1)
    assert len(drawn) == len(Reader(page).images) == 5
    clips[..., 2] = 0
    for joints in drawn:
        assert any(np.array_equal(joints, clip) for clip in clips)
    assert "0.5 s</figcaption>" in page  # 10 frames at 20 frames per second


def test_page_without_examples(tmp_path, gallery):
    page = page_of(tmp_path, gallery, np.eye(60), num_queries=0)
    assert "<article>" not in page and "<table>" in page


def test_page_refuses_a_similarity_of_another_size(tmp_path, gallery):
    with pytest.raises(ValueError, match=r"must be \[60, 60\]; found \(5, 5\)"):
        page_of(tmp_path, gallery, np.eye(5))


def test_examples_mix_hits_near_misses_and_misses():
    ranks = np.array([1.0] * 20 + [3.0] * 20 + [1.5, 5, 5.5, 40])
    captions = [f"{i}" for i in range(len(ranks))]
    chosen = example_queries(ranks, captions, 6, seed=0)
    assert [int(ranks[i] > 1) + int(ranks[i] > 5) for i in chosen] == [0, 1, 2, 0, 1, 2]
    assert example_queries(ranks, captions, 5, seed=0) == chosen[:5]
    assert len(set(example_queries(ranks, captions, 99, seed=0))) == len(ranks)
    assert example_queries(ranks, captions, 6, seed=0) == chosen
    assert example_queries(ranks, captions, 6, seed=1) != chosen
    assert len(example_queries(ranks, ["same"] * len(ranks), 6, seed=0)) == 1


def test_same_caption():
    same = same_caption(["a", "b", "a", "A"])
    assert same.dtype == bool
    np.testing.assert_array_equal(same, [[1, 0, 1, 0], [0, 1, 0, 0], [1, 0, 1, 0], [0, 0, 0, 1]])
