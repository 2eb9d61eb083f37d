"""Batches: their contents, exact reproducibility, and the rows that each process reads."""

import collections
import dataclasses
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from motionalign import data
from motionalign.configs import common
from motionalign.data import batches as batches_module
from motionalign.data.batches import BatchPlan, Source, TrainingData, parse_mixture, to_device
from motionalign.data.dataset import CaptionVectors, Dataset
from motionalign.data.representation import Patches
from motionalign.data.texts import ClipTexts
from motionalign.data.tokenizer import Tokenizer, train_wordpiece
from motionalign.models.families import representation_of
from motionalign.models.vit import ViTConfig

# ---- plans -----------------------------------------------------------------------------------


def plan(sizes=(100,), weights=None, batch_size=8, seed=0, window=1, longest=224):
    rng = np.random.default_rng(1)
    frames = tuple(rng.integers(20, longest + 1, n) for n in sizes)
    return BatchPlan(frames, weights or (1.0,) * len(sizes), batch_size, seed, window)


def pairs(epoch):
    """The (dataset, row) pairs of an epoch, in order."""
    dataset, row = epoch
    return list(zip(dataset.ravel().tolist(), row.ravel().tolist()))


@given(
    st.integers(1, 300),
    st.integers(1, 40),
    st.sampled_from([1, 2, 4, 16]),
    st.integers(0, 2**40),
    st.integers(0, 9),
)
@settings(max_examples=60)
def test_every_record_occurs_at_most_once_per_epoch(size, batch_size, window, seed, epoch):
    if batch_size > size:
        batch_size = size
    p = plan((size,), None, batch_size, seed, window)
    dataset, row = p.epoch(epoch)
    assert dataset.shape == row.shape == (size // batch_size, batch_size)
    assert (dataset == 0).all()
    assert len(set(row.ravel())) == row.size  # only an incomplete batch is left out
    assert set(row.ravel()) <= set(range(size))


@pytest.mark.parametrize("window", [1, 4])
def test_epochs_differ_and_are_reproducible(window):
    p, same = plan(window=window), plan(window=window)
    epochs = [pairs(p.epoch(epoch)) for epoch in range(12)]
    assert epochs == [pairs(same.epoch(epoch)) for epoch in range(12)]
    assert epochs[3] == pairs(p.epoch(3))  # after other epochs evicted it from the cache
    assert len({tuple(epoch) for epoch in epochs}) == 12
    assert pairs(plan(window=window, seed=1).epoch(0)) != epochs[0]
    # Every epoch leaves out other clips, so that all are seen.
    assert set(itertools.chain(*epochs)) == {(0, row) for row in range(100)}
    assert len({frozenset(epoch) for epoch in epochs}) > 6


def test_batch_neighbours_change_between_epochs():
    """Negatives come from the batch: seeing the same few repeatedly would teach little."""
    p = plan((512,), window=4)
    neighbours = collections.defaultdict(set)
    for epoch in range(10):
        for batch in p.epoch(epoch)[1].tolist():
            for row in batch:
                neighbours[row] |= set(batch) - {row}
    assert np.median([len(others) for others in neighbours.values()]) > 25  # at most 10 × 7


def test_step_numbers_continue_across_epochs():
    p = plan((20,), batch_size=6)
    assert p.steps_per_epoch == 3
    for step in range(9):
        dataset, row = p[step]
        epoch, position = divmod(step, 3)
        np.testing.assert_array_equal(row, p.epoch(epoch)[1][position])
        assert dataset.shape == row.shape == (6,)


def test_order_is_shuffled_globally():
    row = plan((10_000,), batch_size=100).epoch(0)[1]
    assert abs(row[:10].mean() - 5000) < 400
    assert abs(np.corrcoef(row.ravel(), np.arange(10_000))[0, 1]) < 0.05


@pytest.mark.parametrize("sizes", [(640,), (400, 300)])
def test_length_windows_group_similar_lengths(sizes):
    plans = [plan(sizes, window=window) for window in (1, 4, 16)]
    frames = plans[0].num_frames

    def spread(p):
        lengths = np.array([frames[d][r] for d, r in pairs(p.epoch(0))]).reshape(-1, 8)
        return np.ptp(lengths, axis=1), lengths.mean(1)

    # Lengths from 20 to 224 frames: each batch of a window of 16 spans a sixteenth of the range.
    alone, four, sixteen = (np.median(spread(p)[0]) for p in plans)
    assert alone > 120
    assert 30 < four < 70
    assert sixteen < 20
    # Short and long batches are shuffled, not in ascending order.
    means = spread(plans[2])[1]
    for window in range(0, len(means) - 16, 16):
        steps = np.diff(means[window : window + 16])
        assert 4 <= (steps > 0).sum() <= 12
    if len(sizes) == 1:  # and they contain the same clips as without a window
        assert sorted(pairs(plans[0].epoch(0))) == sorted(pairs(plans[2].epoch(0)))


@pytest.mark.parametrize(
    ("weights", "shares"),
    [((1.0, 1.0), (0.5, 0.5)), ((2.0, 1.0), (2 / 3, 1 / 3)), ((1.0, 9.0), (0.1, 0.9))],
)
def test_mixture_proportions(weights, shares):
    p = plan((300, 60), weights, batch_size=12)
    assert p.steps_per_epoch == 30
    for epoch in range(3):
        dataset, row = p.epoch(epoch)
        counts = np.bincount(dataset.ravel())
        np.testing.assert_allclose(counts, 360 * np.array(shares), atol=1)
        for d, size in enumerate((300, 60)):
            rows = row[dataset == d]
            seen = np.bincount(rows, minlength=size)
            # Without replacement: no record is drawn twice before all have been drawn once.
            assert seen.max() - seen.min() <= 1
        # Every batch is a mixture.
        in_batch = (dataset == 1).sum(1)
        assert in_batch.std() < 4
        assert 0 < in_batch.mean() < 12


def test_a_mixture_weight_may_be_tiny():
    dataset, _ = plan((50, 50, 50), (1.0, 1e-6, 1.0), batch_size=10).epoch(0)
    assert set(dataset.ravel()) == {0, 2}
    assert dataset.size == 150


def union(sizes, batch_size, seed=0, window=1):
    """A plan without weights."""
    return dataclasses.replace(plan(sizes, None, batch_size, seed, window), weights=None)


ODD_SIZES = st.lists(st.integers(1, 150), min_size=1, max_size=4)


@given(
    ODD_SIZES,
    st.integers(1, 40),
    st.sampled_from([1, 2, 4, 16]),
    st.integers(0, 2**40),
    st.integers(0, 9),
)
@settings(max_examples=80)
def test_an_epoch_without_weights_is_a_permutation_of_the_union(
    sizes, batch_size, window, seed, epoch
):
    batch_size = min(batch_size, sum(sizes))
    p = union(sizes, batch_size, seed, window)
    everything = {(d, row) for d, size in enumerate(sizes) for row in range(size)}
    assert p.counts.tolist() == sizes
    assert p.steps_per_epoch == len(everything) // batch_size
    seen = pairs(p.epoch(epoch))
    assert len(set(seen)) == len(seen) == p.steps_per_epoch * batch_size  # each at most once
    assert set(seen) <= everything
    assert len(everything) - len(seen) < batch_size  # only an incomplete batch is left out
    again = union(sizes, batch_size, seed, window)
    first = epoch * p.steps_per_epoch  # an epoch that is entered in the middle is the same
    steps = range(first + p.steps_per_epoch // 2, first + p.steps_per_epoch)
    assert [pair for step in steps for pair in pairs(again[step])] == seen[
        -len(steps) * batch_size :
    ]


@given(ODD_SIZES, st.integers(1, 10), st.sampled_from([2, 3, 4]), st.sampled_from([1, 4]))
@settings(max_examples=40)
def test_processes_share_an_epoch_of_a_union(sizes, share, processes, window):
    """Each plans for itself and reads its rows of every batch; together they see every clip."""
    batch_size = share * processes
    sizes = [*sizes, batch_size]
    seen = []
    for process in range(processes):
        p = union(sizes, batch_size, window=window)
        rows = slice(process * share, (process + 1) * share)
        for step in range(p.steps_per_epoch):
            source, row = p[step]
            seen += zip(source[rows].tolist(), row[rows].tolist())
    assert len(set(seen)) == len(seen) == sum(sizes) // batch_size * batch_size


def test_a_union_of_one_dataset_is_that_dataset():
    for window, size in ((1, 100), (4, 103)):
        one, same = plan((size,), (2.0,), window=window), union((size,), 8, window=window)
        for epoch in range(3):
            for a, b in zip(one.epoch(epoch), same.epoch(epoch)):
                np.testing.assert_array_equal(a, b)


def test_other_clips_of_a_union_are_left_out_in_every_epoch():
    p = union((30, 9), 8)
    epochs = [pairs(p.epoch(epoch)) for epoch in range(30)]
    assert len({frozenset(epoch) for epoch in epochs}) > 25
    assert len(set(itertools.chain(*epochs))) == 39
    mixed = [len(set(dataset)) for dataset in p.epoch(0)[0].tolist()]
    assert sum(mixed) > len(mixed)  # batches hold clips of both


def test_a_small_dataset_in_a_union_is_not_repeated():
    """With equal weights, 4 of 23 clips in 27 would be 13 of them."""
    dataset, _ = union((23, 4), 9).epoch(0)
    assert np.bincount(dataset.ravel()).tolist() == [23, 4]
    dataset, _ = plan((23, 4), (1.0, 1.0), batch_size=9).epoch(0)
    assert sorted(np.bincount(dataset.ravel()).tolist()) == [13, 14]


def test_a_batch_larger_than_the_dataset_is_an_error():
    with pytest.raises(ValueError, match=r"batch_size=9 is larger than the training set of 8 rec"):
        plan((5, 3), batch_size=9)
    assert plan((5, 3), batch_size=8).steps_per_epoch == 1


@pytest.mark.parametrize(
    ("text", "mixture"),
    [
        ("humanml3d", {"humanml3d": 1}),
        ("humanml3d:2,kit_ml:1", {"humanml3d": 2, "kit_ml": 1}),
        (" a , b:0.5 ", {"a": 1, "b": 0.5}),
        ("a:1,b:1", {"a": 1, "b": 1}),
        ("a, b", {"a": None, "b": None}),
    ],
)
def test_mixtures(text, mixture):
    assert parse_mixture(text) == mixture
    assert list(parse_mixture(text)) == list(mixture)


@pytest.mark.parametrize(
    "text", ["", "a,", "a:0", "a:-1", "a:x", "a:nan", "a:inf", ":2", "a:1:2", "a,b,a:3"]
)
def test_invalid_mixtures_are_rejected(text):
    with pytest.raises(ValueError, match=r"config\.data\.datasets=.*like 'humanml3d:2,kit_ml:1'"):
        parse_mixture(text)


# ---- batches of real records -----------------------------------------------------------------

MAX_FRAMES = 48  # some clips are longer and are cropped


@pytest.fixture(scope="module")
def small(small_dataset):
    return Dataset(small_dataset, "small")


@pytest.fixture(scope="module")
def tokenizer(small):
    captions = itertools.chain(*small.split("train").captions)
    return Tokenizer(train_wordpiece(captions, 300), max_tokens=64)


def training_data(
    datasets,
    tokenizer,
    *,
    padding="mask",
    seed=0,
    text_vectors=False,
    rows=None,
    patch_size=16,
    max_frames=MAX_FRAMES,
    **fields,
):
    config = common.base().data
    config.update({"batch_size": 8, "frame_bucket": 16, "text_bucket": 8, **fields})
    sizes = {"width": 8, "depth": 1, "heads": 1, "mlp_width": 8, "patch_size": patch_size}
    motion = ViTConfig(**sizes, max_frames=max_frames, padding=padding)
    representation = representation_of(motion, config.frame_bucket)
    if isinstance(datasets, Dataset):
        datasets = {datasets: 1.0}
    return TrainingData(
        [source_of(dataset, weight, config.train_split) for dataset, weight in datasets.items()],
        representation.for_training(config),
        config,
        seed=seed,
        tokenizer=tokenizer,
        fields=("text_vectors",) if text_vectors else (),
        rows=rows,
    )


def source_of(dataset, weight=1.0, split="train"):
    """A source that pairs the clips of a split with their captions."""
    split = dataset.split(split)
    texts = ClipTexts(split.ids, split.captions, np.arange(len(split)))
    return Source(dataset, split, weight, texts)


def assert_same(a, b):
    assert a.keys() == b.keys()
    for name in a:
        assert a[name].dtype == b[name].dtype
        np.testing.assert_array_equal(a[name], b[name], err_msg=name)


@pytest.mark.parametrize("padding", ["mask", "attend"])
def test_a_batch_contains_the_data_of_its_records(small, tokenizer, padding):
    batches = training_data(small, tokenizer, padding=padding)
    split = small.split("train")
    for step in range(8):  # two epochs
        batch, ids = batches[step], batches.clip_ids(step)
        assert batch["patches"].dtype == np.float16
        assert batch["num_frames"].dtype == batch["input_ids"].dtype == np.int32
        assert batch["text_mask"].dtype == bool
        length = batch["patches"].shape[1]
        longest = batch["num_frames"].max()
        assert length == (MAX_FRAMES if padding == "attend" else -(-longest // 16) * 16)
        assert batch["patches"].shape == (8, length, 80, 3)
        for i, name in enumerate(ids):
            row = split.ids.index(name)
            whole = split[row]["patches"][:, 0]
            frames = batch["num_frames"][i]
            assert frames == min(len(whole), MAX_FRAMES)
            crop = batch["patches"][i, :frames]
            starts = [
                start
                for start in range(len(whole) - frames + 1)
                if np.array_equal(whole[start : start + frames], crop)
            ]
            assert len(starts) == 1, name
            assert (batch["patches"][i, frames:] == 0).all()
            real = batch["text_mask"][i]
            encoded, mask = tokenizer.encode(split.captions[row])
            own = [list(e[m]) for e, m in zip(encoded, mask)]
            assert list(batch["input_ids"][i, real]) in own
            assert real[: real.sum()].all()  # padding comes last
        tokens = batch["text_mask"].sum(1).max()
        assert batch["input_ids"].shape == (8, min(-(-tokens // 8) * 8, 64))


def test_batches_have_few_shapes(small, tokenizer):
    """Each shape is compiled once."""
    batches = training_data(small, tokenizer, max_frames=96)
    shapes = {batches[step]["patches"].shape[1] for step in range(20)}
    assert shapes <= {16, 32, 48, 64, 80, 96}
    assert len(shapes) > 1


def test_length_sorted_batches_have_little_padding(small, tokenizer):
    def real_share(padding):
        batches = training_data(small, tokenizer, padding=padding, max_frames=96)
        frames = [
            (batches[s]["num_frames"].sum(), batches[s]["patches"].shape[1]) for s in range(4)
        ]
        return sum(real for real, _ in frames) / sum(8 * length for _, length in frames)

    assert real_share("mask") > 0.75 > real_share("attend")


def test_crops_reach_both_ends_and_are_uniform(small, tokenizer):
    split = small.split("train")
    batches = training_data(small, tokenizer, batch_size=32, padding="attend", max_frames=16)
    starts = collections.defaultdict(list)
    first = {
        row: {f.tobytes(): i for i, f in enumerate(split[row]["patches"])} for row in range(38)
    }
    for step in range(300):
        batch = batches[step]
        for i, name in enumerate(batches.clip_ids(step)):
            row = split.ids.index(name)
            starts[row].append(first[row][batch["patches"][i, 0][None].tobytes()])
            assert batch["num_frames"][i] == 16
    for row, found in starts.items():
        last = split.num_frames[row] - 16
        assert min(found) >= 0
        assert max(found) <= last
        if last <= 20:  # 250 draws from at most 21 places
            assert set(found) == set(range(last + 1)), row
        # Mean of a uniform draw, within five standard errors.
        error = np.sqrt(((last + 1) ** 2 - 1) / 12 / len(found))
        assert abs(np.mean(found) - last / 2) < 5 * error, row


def test_captions_are_sampled_uniformly(small, tokenizer):
    split = small.split("train")
    batches = training_data(small, tokenizer, batch_size=32)
    chosen = collections.defaultdict(collections.Counter)
    for step in range(200):
        batch = batches[step]
        for i, name in enumerate(batches.clip_ids(step)):
            chosen[name][tuple(batch["input_ids"][i, batch["text_mask"][i]])] += 1
    for name, counts in chosen.items():
        captions = split.captions[split.ids.index(name)]
        assert len(counts) == len(captions)
        expected = counts.total() / len(captions)
        for count in counts.values():
            assert abs(count - expected) < 5 * np.sqrt(expected), (name, counts)
    assert {len(counts) for counts in chosen.values()} == {1, 2, 3}


def test_batches_depend_on_seed_and_step_only(small, tokenizer):
    a, b = (training_data(small, tokenizer) for _ in range(2))
    for step in (9, 2, 30, 2):
        assert_same(a[step], b[step])
    other = training_data(small, tokenizer, seed=1)
    assert any(a.clip_ids(step) != other.clip_ids(step) for step in range(4))
    # No cache or more threads give the same batches.
    plain = training_data(small, tokenizer, cache_gb=0.0)
    for step in range(6):
        assert_same(a[step], plain[step])


@pytest.mark.parametrize("num_processes", [2, 4])
def test_the_rows_of_all_processes_form_the_global_batch(two_datasets, tokenizer, num_processes):
    datasets = {
        Dataset(two_datasets, name): weight for name, weight in (("small", 2), ("other", 1))
    }
    whole = training_data(datasets, tokenizer)
    shares = np.split(np.arange(8), num_processes)
    parts = [training_data(datasets, tokenizer, rows=rows) for rows in shares]
    for step in range(8):
        batch = whole[step]
        local = [part[step] for part in parts]
        assert {len(p["patches"]) for p in local} == {8 // num_processes}
        assert_same(
            {name: np.concatenate([p[name] for p in local]) for name in batch}, batch
        )  # the shapes agree, or this would fail
        assert all(part.clip_ids(step) == whole.clip_ids(step) for part in parts)


def test_a_process_reads_only_its_own_rows(small, tokenizer, monkeypatch):
    part = training_data(small, tokenizer, rows=np.array([2, 3]))
    (split,) = part.splits
    read = []
    decode = type(split).__getitem__
    monkeypatch.setattr(
        type(split), "__getitem__", lambda self, row: read.append(int(row)) or decode(self, row)
    )
    part[0]
    assert read == part.plan[0][1][2:4].tolist()


def test_a_mixture_of_two_skeletons(two_datasets, tokenizer):
    datasets = {
        Dataset(two_datasets, name): weight for name, weight in (("small", 1), ("other", 3))
    }
    batches = training_data(datasets, tokenizer, padding="attend")
    ids = [name for step in range(batches.plan.steps_per_epoch) for name in batches.clip_ids(step)]
    others = sum(name.startswith("other") for name in ids)
    assert abs(others / len(ids) - 0.75) < 0.02
    split = Dataset(two_datasets, "other").split("train")
    batch = batches[0]
    for i, name in enumerate(batches.clip_ids(0)):
        if name.startswith("other"):
            whole = split[split.ids.index(name)]["patches"][:, 0].astype(np.float32)
            frames = batch["num_frames"][i]
            assert any(
                np.array_equal(whole[s : s + frames], batch["patches"][i, :frames])
                for s in range(len(whole) - frames + 1)
            )


def test_processes_read_every_clip_of_a_union_once(two_datasets, tokenizer, monkeypatch):
    """38 and 16 clips are 6 batches of 8, which two processes read; 6 clips are left out."""
    datasets = {Dataset(two_datasets, name): None for name in ("small", "other")}
    halves = np.split(np.arange(8), 2)
    parts = [training_data(datasets, tokenizer, rows=rows, cache_gb=0.0) for rows in halves]
    read, kind = collections.Counter(), type(parts[0].splits[0])
    decode = kind.__getitem__

    def counted(split, row):
        read[split.ids[row]] += 1
        return decode(split, row)

    monkeypatch.setattr(kind, "__getitem__", counted)
    for part in parts:
        assert part.plan.steps_per_epoch == 6
        for step in range(6):
            part[step]
    assert len(read) == read.total() == 48


def test_a_union_resumes_in_the_middle_of_an_epoch(two_datasets, tokenizer):
    datasets = {Dataset(two_datasets, name): None for name in ("small", "other")}
    batches = training_data(datasets, tokenizer)
    iterator = batches.batches(9)  # of 6 steps an epoch
    expected = [next(iterator) for _ in range(4)]
    resumed = training_data(datasets, tokenizer).batches(9)
    resumed.set_state(iterator.get_state())
    expected += list(resumed)
    assert len(expected) == 9
    for step, batch in enumerate(expected):
        assert_same(batch, batches[step])


@pytest.mark.parametrize("workers", [1, 3])
def test_the_iterator_resumes_bit_for_bit(small, tokenizer, workers):
    batches = training_data(small, tokenizer, workers=workers)
    expected = [batches[step] for step in range(11)]
    states, iterator = [], batches.batches(11)
    for step, batch in enumerate(iterator):
        assert_same(batch, expected[step])
        states.append(iterator.get_state())
    assert len(states) == 11

    for step in (0, 4, 9):
        resumed = training_data(small, tokenizer, workers=workers).batches(11)
        resumed.set_state(states[step])
        rest = list(resumed)
        assert len(rest) == 10 - step
        for batch, other in zip(rest, expected[step + 1 :]):
            assert_same(batch, other)
    start = batches.batches(11)
    untouched = start.get_state()
    next(start)
    start.set_state(untouched)
    assert_same(next(start), expected[0])


def test_iterator_states_belong_to_used_batches_not_prefetched_ones(small, tokenizer):
    batches = training_data(small, tokenizer)
    put = []
    feed = to_device(batches.batches(7), lambda batch: put.append(batch) or batch, ahead=3)
    seen = []
    for step, (batch, state) in enumerate(feed):
        assert_same(batch, batches[step])
        assert len(put) == min(7, step + 3)
        resumed = batches.batches(7)
        resumed.set_state(state)
        following = next(resumed, None)
        if step < 6:
            assert_same(following, batches[step + 1])
        else:
            assert following is None
        seen.append(step)
    assert seen == list(range(7))


def test_text_vectors_match_the_sampled_captions(small_dataset, tokenizer):
    dataset = Dataset(small_dataset, "small")
    with pytest.raises(ValueError, match="has no caption vectors"):
        training_data(dataset, tokenizer, text_vectors=True)

    captions = sorted(set(itertools.chain(*dataset.split("train").captions)))
    vectors = np.random.default_rng(0).normal(size=(len(captions), 4)).astype(np.float32)
    rows = {caption: row for row, caption in enumerate(captions)}
    dataset.caption_vectors = CaptionVectors("random", ("0", "mean"), rows, vectors)
    whole = training_data(dataset, tokenizer, text_vectors=True)
    halves = [
        training_data(dataset, tokenizer, text_vectors=True, rows=rows)
        for rows in (np.arange(4), np.arange(4, 8))
    ]
    encoded = {
        tuple(ids[mask]): row for row, (ids, mask) in enumerate(zip(*tokenizer.encode(captions)))
    }
    for step in range(5):
        batch = whole[step]
        chosen = [
            encoded[tuple(ids[mask])] for ids, mask in zip(batch["input_ids"], batch["text_mask"])
        ]
        np.testing.assert_array_equal(batch["text_vectors"], vectors[chosen])
        assert batch["text_vectors"].dtype == np.float32
        both = [half[step]["text_vectors"] for half in halves]
        np.testing.assert_array_equal(np.concatenate(both), batch["text_vectors"])


def test_texts_without_vectors_are_found_before_the_first_batch(small_dataset, tokenizer):
    dataset = Dataset(small_dataset, "small")
    captions = sorted(set(itertools.chain(*dataset.split("train").captions)))
    rows = {caption: row for row, caption in enumerate(captions[1:])}
    vectors = np.zeros((len(rows), 4), np.float32)
    dataset.caption_vectors = CaptionVectors("random", ("0", "mean"), rows, vectors)
    with pytest.raises(ValueError, match=f"vectors for 1 texts, for example '{captions[0][:20]}"):
        training_data(dataset, tokenizer, text_vectors=True)


def test_vectors_by_different_encoders_are_an_error(two_datasets, tokenizer):
    datasets = {Dataset(two_datasets, name): 1.0 for name in ("small", "other")}
    for i, dataset in enumerate(datasets):
        captions = {text for clip in dataset.split("train").captions for text in clip}
        rows = {text: row for row, text in enumerate(sorted(captions))}
        vectors = np.zeros((len(rows), 4), np.float32)
        dataset.caption_vectors = CaptionVectors(
            f"encoder {i}", ("0", "mean" if i else "first"), rows, vectors
        )
    with pytest.raises(ValueError, match="small by encoder 0; other by encoder 1"):
        training_data(datasets, tokenizer, text_vectors=True)
    for dataset in datasets:  # the same encoder, by its Hub id and from a folder
        vectors = dataclasses.replace(dataset.caption_vectors, fingerprint=("0", "mean"))
        dataset.caption_vectors = vectors
    training_data(datasets, tokenizer, text_vectors=True)


# ---- further batch fields --------------------------------------------------------------------


def source_of_classes(dataset, class_of, num_classes=3, texts=2):
    """The training split with classes that have several texts each, with one-hot vectors."""
    names = [f"{dataset.name} {k}" for k in range(num_classes)]
    said = [[f"{name} text {i}" for i in range(texts)] for name in names]
    rows = {text: row for row, text in enumerate(itertools.chain(*said))}
    vectors = np.eye(12, dtype=np.float32)[: len(rows)]
    dataset.caption_vectors = CaptionVectors("eye", ("0", "mean"), rows, vectors)
    targets = np.stack([class_of, class_of % 2], axis=1).astype(np.float32)
    return Source(dataset, dataset.split("train"), 1.0, ClipTexts(names, said, class_of), targets)


def class_batches(sources, *fields, rows=None):
    config = common.base().data
    config.update({"batch_size": 8})
    representation = Patches(patch_size=16, max_frames=MAX_FRAMES)
    return TrainingData(sources, representation, config, seed=0, fields=fields, rows=rows)


FIELDS = ("text_vectors", "negative_vectors", "classes", "targets")


def test_fields_match_the_class_of_each_clip(two_datasets):
    small, other = (Dataset(two_datasets, name) for name in ("small", "other"))
    sources = [
        source_of_classes(small, np.arange(38) % 4 - 1),  # every fourth clip has no class
        source_of_classes(other, np.arange(16) % 3),
    ]
    batches = class_batches(sources, *FIELDS)
    texts, negatives = collections.defaultdict(set), collections.defaultdict(set)
    for step in range(40):
        batch = batches[step]
        assert batch.keys() == {"patches", "num_frames", *FIELDS}
        for i, name in enumerate(batches.clip_ids(step)):
            d = int(name.startswith("other"))
            row = sources[d].split.ids.index(name)
            own = int(sources[d].texts.class_of[row])
            assert own >= 0
            assert batch["classes"][i] == 3 * d + own
            np.testing.assert_array_equal(batch["targets"][i], sources[d].targets[row])
            texts[d, own].add(int(batch["text_vectors"][i].argmax()))
            negatives[d, own].add(int(batch["negative_vectors"][i].argmax()))
    assert batch["classes"].dtype == np.int32
    for (d, own), found in texts.items():
        mine = {2 * own, 2 * own + 1}
        assert found == mine
        assert negatives[d, own] == set(range(6)) - mine
    assert len(texts) == 6


def of_several(dataset):
    """Clips of classes 0 and 2, in turn with clips of class 1, none, and classes 1 and 0."""
    source = source_of_classes(dataset, np.array([0, 1, -1, 1] * 10)[:38])
    more = np.array([[-1, 2], [-1, -1], [-1, -1], [0, -1]] * 10)[:38]
    texts = dataclasses.replace(source.texts, more_classes=more)
    return dataclasses.replace(source, texts=texts)


def test_a_clip_of_several_classes_is_one_of_them_in_each_batch(small_dataset):
    dataset = Dataset(small_dataset, "small")
    source = of_several(dataset)
    assert source.texts.several and not source_of_classes(dataset, np.zeros(38, int)).texts.several
    own = {row: {int(k) for k in source.texts.classes_of([row])[0] if k >= 0} for row in range(38)}
    batches = class_batches([source], *FIELDS)
    drawn, negatives = collections.defaultdict(list), collections.defaultdict(set)
    at = collections.defaultdict(set)  # position in the batch: what clips of two classes drew
    for step in range(200):
        batch = batches[step]
        assert (batch["targets"].dtype, batch["targets"].shape) == (np.int32, (8,))
        for i, name in enumerate(batches.clip_ids(step)):
            row = source.split.ids.index(name)
            k = int(batch["classes"][i])
            # Text, target and class are those of the drawn class; negatives of none of the clip's.
            assert k in own[row]
            assert batch["targets"][i] == k
            assert batch["text_vectors"][i].argmax() // 2 == k
            drawn[row].append(k)
            if row % 4 == 0:
                at[i].add(k)
            negatives[row].add(int(batch["negative_vectors"][i].argmax()))
    assert dict(at) == {i: {0, 2} for i in range(8)}  # anew in every batch
    for row, found in drawn.items():
        assert {*found} == own[row]
        assert negatives[row] == {2 * k + i for k in {0, 1, 2} - own[row] for i in (0, 1)}
    both = np.concatenate([found for row, found in drawn.items() if row % 4 == 0])
    assert abs(np.mean(both == 0) - 0.5) < 4 * 0.5 / np.sqrt(len(both))  # each as often
    # A batch is a function of seed and step; a process reads its rows of it.
    again = class_batches([source], *FIELDS, rows=np.arange(2, 5))[7]
    assert_same(again, {name: array[2:5] for name, array in batches[7].items()})


def test_several_classes_change_nothing_for_clips_of_one(two_datasets):
    small, other = (Dataset(two_datasets, name) for name in ("small", "other"))
    alone = source_of_classes(other, np.arange(16) % 3)
    one = source_of_classes(small, np.array([0, 1, -1, 1] * 10)[:38])
    before = class_batches([one, alone], "text_vectors", "negative_vectors", "classes")
    after = class_batches(
        [of_several(small), alone], *("text_vectors", "negative_vectors", "classes")
    )
    for step in range(6):
        a, b, same = before[step], after[step], 0
        for i, name in enumerate(before.clip_ids(step)):
            several = not name.startswith("other") and one.split.ids.index(name) % 4 != 1
            for field in () if several else a:
                np.testing.assert_array_equal(a[field][i], b[field][i])
            same += not several
        assert same


def test_a_clip_of_all_classes_has_no_negatives(small_dataset):
    source = source_of_classes(Dataset(small_dataset, "small"), np.zeros(38, int), num_classes=2)
    more = np.full((38, 1), -1)
    more[5] = 1
    source = dataclasses.replace(source, texts=dataclasses.replace(source.texts, more_classes=more))
    class_batches([source], "text_vectors")
    with pytest.raises(ValueError, match="'small' has a clip of all 2 classes, which has no negat"):
        class_batches([source], "negative_vectors")


def test_every_field_has_the_rows_of_the_process_only(small_dataset):
    source = source_of_classes(Dataset(small_dataset, "small"), np.arange(38) % 3)
    whole = class_batches([source], *FIELDS)[3]
    part = class_batches([source], *FIELDS, rows=np.arange(2, 5))[3]
    assert_same(part, {name: array[2:5] for name, array in whole.items()})


def test_a_single_class_has_no_negatives(small_dataset):
    source = source_of_classes(Dataset(small_dataset, "small"), np.zeros(38, int), num_classes=1)
    class_batches([source], "text_vectors")
    with pytest.raises(ValueError, match="dataset 'small' has only one class, so there are no neg"):
        class_batches([source], "negative_vectors")


def test_datasets_with_different_frame_rates_are_an_error(two_datasets):
    sources = [source_of(Dataset(two_datasets, name)) for name in ("small", "other")]
    sources[1].dataset.metadata = dataclasses.replace(sources[1].dataset.metadata, fps=10.0)
    with pytest.raises(ValueError, match="the same frame rate; found small 20, other 10"):
        class_batches(sources)


# ---- settings --------------------------------------------------------------------------------


def test_invalid_settings_are_rejected(small, tokenizer):
    message = r"'small' was prepared with --patch_size=16; the model has patch_size 32"
    with pytest.raises(ValueError, match=message):
        training_data(small, tokenizer, patch_size=32)
    with pytest.raises(ValueError, match="has no split 'dev'; it has test, train, val"):
        training_data(small, tokenizer, train_split="dev")
    with pytest.raises(ValueError, match=r"batch_size=64 is larger than the training set of 38"):
        training_data(small, tokenizer, batch_size=64)


# ---- the cache ---------------------------------------------------------------------------


def test_the_cache_budget_covers_all_datasets_of_a_run(small, tokenizer):
    """The datasets of a run share cache_gb, which limits the bytes of the clips."""
    total = 2 * 3 * 80 * int(small.split("train").num_frames.sum())
    batches = training_data(small, tokenizer, cache_gb=total / 2**30)
    (cache,) = batches._clips
    for row in range(38):
        cache[row]
    assert cache._budget == [0]
    assert len(cache._kept) == 38


def test_the_package_exports_the_documented_names_lazily():
    """`batches` is imported on first use only: Grain and JAX take seconds."""
    for name in ("BatchPlan", "TrainingData", "parse_mixture"):
        assert getattr(data, name) is getattr(batches_module, name)
    with pytest.raises(AttributeError, match="has no attribute 'Trainin'"):
        data.Trainin  # noqa: B018
