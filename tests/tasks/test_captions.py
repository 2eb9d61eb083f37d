"""Protocols compared with the published code's scores and with hand-worked cases, and the table."""

import json
import math
import pathlib
import time

import numpy as np
import pytest
from stand_ins import CUT, Predict, SomeDataset, Split, metadata

from motionalign.configs import common
from motionalign.data.dataset import CaptionVectors
from motionalign.files import write_json
from motionalign.inference.similarity import cosine_similarity
from motionalign.report import tables
from motionalign.report.page import same_caption
from motionalign.tasks.captions import (
    Captions,
    dissimilar_subset,
    query_records,
    run_protocols,
    selection_score,
    small_batch_metrics,
)


def read_published(path):
    """The scores that the published scripts print, as {"t2m": {name: text}, "m2t": ...}."""
    scores = {"t2m": {}, "m2t": {}}
    for line in path.read_text().splitlines():
        name, value = line.split(": ")
        way, _, what, *_ = name.split("_")
        scores[way]["MedR" if what == "median" else what.replace("top", "R@")] = value
    return scores


def embeddings(size=60, noise=0.8, width=16, seed=0):
    """Motion, text and caption vectors of a model that is correct more often than not."""
    rng = np.random.default_rng(seed)
    motion = rng.standard_normal((size, width), np.float32)
    text = motion + noise * rng.standard_normal((size, width), np.float32)
    return motion, text, rng.standard_normal((size, 8), np.float32)


def names(size=60):
    return [f"a person does thing {i}" for i in range(size)]


# Protocols ---------------------------------------------------------------------------------------


def test_all_equals_the_published_code(test_data):
    golden = np.load(test_data / "golden/retrieval_all.npz")
    captions = golden["captions"].tolist()
    results = run_protocols(golden["motion"], golden["text"], captions, protocols=["all"])
    published = read_published(test_data / "golden/retrieval_all.txt")
    assert len(set(captions)) < len(captions)
    for way in ("t2m", "m2t"):
        assert {k: f"{v:.2f}" for k, v in results["all"][way].items()} == published[way]


def test_small_batches_equal_the_published_code(test_data):
    golden = np.load(test_data / "golden/retrieval_small_batches.npz")
    similarity = cosine_similarity(golden["text"], golden["motion"])
    relevant = same_caption(golden["captions"].tolist())
    scores = small_batch_metrics(similarity, relevant, np.arange(len(relevant)))
    published = read_published(test_data / "golden/retrieval_small_batches.txt")
    for way in ("t2m", "m2t"):
        assert set(scores[way]) == set(published[way])
        for name, value in scores[way].items():
            np.testing.assert_allclose(value, float(published[way][name]), rtol=1e-12)


def test_all_by_hand():
    # Captions a, b, b. Text 0 is most similar to motion 1; texts 1 and 2 each find the other's.
    motion = np.eye(3)
    text = np.array([[0.5, 0.8, 0], [0, 0, 1], [0, 1, 0.5]])
    results = run_protocols(motion, text, ["a", "b", "b"], protocols=["all"])
    assert results["all"]["t2m"]["R@1"] == pytest.approx(200 / 3)
    assert results["all"]["t2m"]["R@2"] == 100
    assert results["all"]["m2t"]["R@1"] == 100  # motion 0: the only text that points its way
    assert results["all"]["gallery"] == 3


def test_threshold_makes_similar_captions_correct_and_is_strict():
    motion, text = np.eye(2), np.eye(2)[::-1]
    near = np.array([[1, 0], [1, 1e-3]])

    def r1(vectors, threshold):
        results = run_protocols(motion, text, ["a", "b"], vectors, threshold=threshold, encoder="x")
        return results["all_threshold"]["t2m"]["R@1"]

    assert r1(near, 0.9) == 100
    assert r1(np.eye(2), 0.9) == 0
    assert r1(np.eye(2), 0.0) == 0  # a cosine of 0 does not exceed 0
    assert r1(np.eye(2), -0.1) == 100


def test_published_subset_is_used_if_given():
    motion, text, vectors = embeddings()
    rows = [40, 3, 17]
    results = run_protocols(
        motion, text, names(), vectors, dissimilar=rows, protocols=["dissimilar"], encoder="x"
    )
    alone = run_protocols(motion[rows], text[rows], [names()[r] for r in rows], protocols=["all"])
    assert results["dissimilar"]["t2m"] == alone["all"]["t2m"]
    assert results["dissimilar"]["gallery"] == 3
    assert results["dissimilar"]["note"] == "the published subset"
    assert "encoder" not in results["dissimilar"]


def test_our_subset_by_hand():
    degrees = np.deg2rad([0, 10, 20, 180, 90, 0])
    vectors = np.stack([np.cos(degrees), np.sin(degrees)], axis=1) * [[1], [2], [3], [4], [5], [6]]
    captions = ["east", "e10", "e20", "west", "north", "east"]
    # West is least similar to the rest; then east is farthest from it; then north; e20, e10 last.
    assert dissimilar_subset(captions, vectors, 3) == [3, 0, 4]
    assert dissimilar_subset(captions, vectors, 100) == [3, 0, 4, 2, 1]


def test_our_subset_follows_its_definition():
    _, _, vectors = embeddings(size=50)
    units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    cosine = (units @ units.T).astype(np.float64)
    expected = [int(np.argmin(cosine.mean(axis=1)))]
    while len(expected) < 20:
        rest = [i for i in range(50) if i not in expected]
        expected.append(min(rest, key=lambda i: max(cosine[i, j] for j in expected)))
    assert dissimilar_subset(names(50), vectors, 20) == expected


def test_small_batches_follow_the_seed_and_drop_the_rest():
    motion, text, _ = embeddings(noise=2.0)

    def small(seed):
        results = run_protocols(motion, text, names(), protocols=["small_batches"], seed=seed)
        return results["small_batches"]

    assert small(1) == small(1)
    assert small(1) != small(2)
    rows = np.random.default_rng(1).permutation(60)[:32]
    alone = run_protocols(motion[rows], text[rows], [names()[r] for r in rows], protocols=["all"])
    for name, value in alone["all"]["m2t"].items():
        assert small(1)["m2t"][name] == pytest.approx(value)


def test_protocols_that_cannot_run_are_left_out_with_the_reason():
    motion, text, _ = embeddings(size=20)
    results = run_protocols(motion, text, names(20))
    assert set(results) == {"all", "left_out"}
    assert set(results["left_out"]) == {"all_threshold", "dissimilar", "small_batches"}
    table = tables.format_table(results)
    assert "all_threshold: left out (no caption vectors" in table
    assert "python -m data_prep embed" in table
    assert "20 clips do not fill a batch of 32" in table


def test_a_published_subset_without_any_clip_of_the_split():
    motion, text, vectors = embeddings()
    note = "0 of the 2 clips of the published subset; missing from this split: x, y"
    results = run_protocols(
        motion, text, names(), vectors, dissimilar=[], dissimilar_note=note, encoder="x"
    )
    assert results["left_out"] == {"dissimilar": note}
    assert "dissimilar" not in results


def test_too_few_clips_for_a_batch():
    with pytest.raises(ValueError, match="31 clips do not fill a batch of 32"):
        small_batch_metrics(np.eye(31), np.eye(31, dtype=bool), np.arange(31))


def test_only_the_requested_protocols_run():
    motion, text, vectors = embeddings()
    results = run_protocols(
        motion, text, names(), vectors, protocols=("small_batches", "all"), encoder="x"
    )
    assert list(results) == ["all", "small_batches"]


def test_five_thousand_clips_in_seconds():
    motion, text, vectors = embeddings(size=5000)
    begin = time.perf_counter()
    results = run_protocols(motion, text, names(5000), vectors, encoder="x")
    assert time.perf_counter() - begin < 60
    assert set(results) == set(tables.PROTOCOLS)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"protocols": ["al"]}, "unknown protocols .'al'.; known: all, all_threshold"),
        ({"captions": names(59)}, "motion has 60 rows for 59 captions"),
        ({"motion": np.zeros((60, 16))}, "60 of 60 embeddings have no direction"),
        ({"text": np.full((60, 16), np.nan)}, "did training diverge"),
        ({"text": np.ones((60, 15))}, "width 15 and 16"),
        ({"caption_vectors": np.ones((60, 4))}, "name of their encoder"),
        ({"dissimilar": [1, 60]}, r"distinct gallery rows in 0\.\.59"),
        ({"dissimilar": [1, 1]}, "distinct gallery rows"),
    ],
)
def test_protocol_errors(change, message):
    motion, text, _ = embeddings()
    arguments = {"motion": motion, "text": text, "captions": names()} | change
    with pytest.raises(ValueError, match=message):
        run_protocols(**arguments)


def test_selection_score():
    way = {"R@1": 1.0, "R@2": 100.0, "R@3": 100.0, "R@5": 10.0, "R@10": 20.0, "MedR": 7.0}
    assert selection_score({"t2m": way, "m2t": way, "gallery": 5}) == 62


# The task ----------------------------------------------------------------------------------------


def scored(num_clips=40, **fields):
    """(task, predictor, dataset, arguments of run_protocols) of the split "test"."""
    motion, text, vectors = embeddings(num_clips)
    dataset = SomeDataset(Split([-1] * num_clips), metadata())
    dataset.split_of.captions[1][0] = dataset.split_of.captions[0][0]  # twins
    first = [captions[0] for captions in dataset.split_of.captions]
    rows = {caption: row for row, caption in enumerate(first)}
    dataset.caption_vectors = CaptionVectors("MiniLM", ("0", "mean"), rows, vectors)
    dataset.version_dir = pathlib.Path("nowhere")
    config = common.base()
    config.eval.update(fields)
    predict = Predict(motion, {c: text[row] for c, row in rows.items()}, "cosine")
    return Captions(config), predict, dataset, (motion, predict.texts(dataset, first), first)


def test_every_clip_has_its_own_captions():
    task, _, dataset, _ = scored(3)
    split = dataset.split("test")
    texts = task.texts(dataset, split)
    assert (texts.names, texts.texts) == (split.ids, split.captions)
    assert texts.class_of.tolist() == task.class_of(dataset, split).tolist() == [0, 1, 2]
    assert task.targets(dataset, split) is task.classes([dataset]) is None
    task.check(dataset, "test", compares=True, vectors=False)
    split.evaluation_rows = lambda: np.zeros(0, int)
    with pytest.raises(ValueError, match="nowhere: split 'test' has no evaluation records"):
        task.check(dataset, "test", compares=True, vectors=False)


def test_validation_is_retrieval_over_the_split():
    task, predict, dataset, given = scored()
    score, scalars = task.validate(predict, dataset, "test")
    expected = run_protocols(*given, protocols=["all"])["all"]
    assert score == selection_score(expected)
    assert scalars["t2m/R@1"] == expected["t2m"]["R@1"]
    assert scalars.keys() == {f"{w}/{name}" for w in ("t2m", "m2t") for name in expected["t2m"]}
    predict.clips[3, 0] = np.inf
    score, scalars = task.validate(predict, dataset, "test")
    assert math.isnan(score) and scalars == {}


def test_results_equal_the_protocols(tmp_path, capsys, monkeypatch):
    task, predict, dataset, given = scored(threshold=0.3, num_queries=4)
    monkeypatch.chdir(tmp_path)
    results = task.evaluate(predict, dataset, "test")
    vectors = dataset.caption_vectors[given[2]]
    expected = run_protocols(*given, vectors, threshold=0.3, encoder="MiniLM, readout mean")
    assert list(results.scores) == list(tables.PROTOCOLS)
    for protocol, scores in expected.items():
        for way in ("t2m", "m2t"):
            assert results.scores[protocol][way] == pytest.approx(scores[way])
    assert tables.format_tables(results.tables) == tables.format_table(results.scores)
    assert results.pictures == {}
    assert not list(tmp_path.iterdir())  # the caller writes
    page = results.page(tmp_path)
    assert page == tmp_path / "index.html"
    assert page.read_text("utf-8").count("<article>") == 4
    assert capsys.readouterr().out == ""


def test_what_is_cut_and_how_clips_are_read_is_in_results_table_and_page(tmp_path):
    task, predict, dataset, _ = scored(num_queries=2)
    predict.cut, predict.about = (CUT,), {"input": "clips are read as others"}
    results = task.evaluate(predict, dataset, "test")
    assert results.scores["cut"] == {"clips": CUT.to_json()}
    assert results.scores["input"] == "clips are read as others"
    assert f"clips: {CUT.note}" in results.tables[0].notes
    page = results.page(tmp_path).read_text("utf-8")
    assert "2 of 9 clips are longer than 4 frames" in page
    assert "clips are read as others" in page


def test_records_of_every_query_by_hand():
    captions = ['says "hi", waves', "walks", "walks"]
    scores = np.array([[0.9, 0.1, 0.2], [0.8, 0.3, 0.7], [0.5, 0.5, 0.1]])
    records = query_records(["a", "b", "c"], captions, scores)
    says = captions[0]
    assert records.head[:7] == [
        "direction",
        "id",
        "caption",
        "rank",
        "id_1",
        "caption_1",
        "score_1",
    ]
    assert records.head[-3:] == ["id_5", "caption_5", "score_5"]
    empty = [""] * 6  # three clips have no fourth hit
    assert records.rows == [
        ["t2m", "a", says, 1, "a", says, 0.9, "c", "walks", 0.2, "b", "walks", 0.1, *empty],
        ["t2m", "b", "walks", 2, "a", says, 0.8, "c", "walks", 0.7, "b", "walks", 0.3, *empty],
        ["t2m", "c", "walks", 1.5, "a", says, 0.5, "b", "walks", 0.5, "c", "walks", 0.1, *empty],
        ["m2t", "a", says, 1, "a", says, 0.9, "b", "walks", 0.8, "c", "walks", 0.5, *empty],
        ["m2t", "b", "walks", 1, "c", "walks", 0.5, "b", "walks", 0.3, "a", says, 0.1, *empty],
        ["m2t", "c", "walks", 1, "b", "walks", 0.7, "a", says, 0.2, "c", "walks", 0.1, *empty],
    ]


def test_ranks_in_the_records_yield_the_scores_of_the_table():
    task, predict, dataset, _ = scored()
    results = task.evaluate(predict, dataset, "test")
    records = results.records["per_query"]
    for way in ("t2m", "m2t"):
        ranks = np.array([row[3] for row in records.rows if row[0] == way])
        assert len(ranks) == results.scores["all"]["gallery"]
        for k in (1, 5, 10):
            assert 100 * np.mean(ranks <= k) == pytest.approx(results.scores["all"][way][f"R@{k}"])
        assert results.scalars[f"all/{way}/R@1"] == results.scores["all"][way]["R@1"]


def test_only_the_configured_protocols_are_scored():
    task, predict, dataset, _ = scored(protocols=("dissimilar",))
    assert list(task.evaluate(predict, dataset, "test").scores) == ["dissimilar"]


def test_the_published_subset_is_stored_with_the_dataset(tmp_path):
    task, predict, dataset, given = scored(protocols=("dissimilar",))
    dataset.version_dir = tmp_path
    (tmp_path / "dissimilar-test.txt").write_text("clip 7\nclip 99\nclip 3\n")
    found = task.evaluate(predict, dataset, "test").scores["dissimilar"]
    expected = run_protocols(*given, dissimilar=[7, 3], protocols=["dissimilar"])["dissimilar"]
    assert found["t2m"] == expected["t2m"] and found["gallery"] == 2
    assert found["note"] == (
        "2 of the 3 clips of the published subset; missing from this split: clip 99"
    )


# Tables and files --------------------------------------------------------------------------------


def test_table_is_aligned_and_states_encoder_and_threshold():
    motion, text, vectors = embeddings()
    results = run_protocols(motion, text, names(), vectors, threshold=0.85, encoder="MiniLM")
    lines = tables.format_table(results).splitlines()
    rows = [line for line in lines if line.startswith("|")]
    assert len(rows) == 2 + 2 * 4 and len({len(row) for row in rows}) == 1
    assert rows[0].replace(" ", "") == "|protocol|direction|R@1|R@2|R@3|R@5|R@10|MedR|gallery|"
    cells = [cell.strip() for cell in rows[3].strip("|").split("|")]
    assert cells[:2] == ["all", "motion → text"]
    assert cells[2] == f"{results['all']['m2t']['R@1']:.2f}" and cells[-1] == "60"
    notes = {line.split(": ")[0]: line for line in lines if line.startswith("- ")}
    assert "0.85" in notes["- all_threshold"] and "encoder MiniLM" in notes["- all_threshold"]
    assert "our own greedy selection" in notes["- dissimilar"]
    assert "encoder MiniLM" in notes["- dissimilar"]


def test_json_is_written_completely(tmp_path):
    motion, text, _ = embeddings()
    results = run_protocols(motion, text, names())
    path = tmp_path / "new" / "metrics.json"
    write_json(path, {"old": 1})
    write_json(path, results)
    assert json.loads(path.read_text()) == results
    assert [p.name for p in path.parent.iterdir()] == ["metrics.json"]
