"""Greedy and sampled continuations, and scores of given ones."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference
import stories
from flax import nnx
from test_llama import CONFIG, hidden_of, make, tokens

from motionalign.models import decoding
from motionalign.models.llama import Llama
from motionalign.models.weights.load import parameter_path

torch = pytest.importorskip("torch")

END = 7


def compiled(function, model, *args):
    """`function(model, *args)`, compiled."""
    graphdef, params = nnx.split(model)
    run = jax.jit(lambda params, *args: function(nnx.merge(graphdef, params), *args))
    return jax.tree.map(np.asarray, run(params, *args))


def prompt_of(model, ids, mask=None):
    mask = None if mask is None else jnp.asarray(mask)
    return decoding.read_prompt(model, model.embed(jnp.asarray(ids)), mask)


@pytest.mark.parametrize("changes", [{}, {"model_type": "mistral", "sliding_window": 4}])
def test_greedy_continuations_are_those_of_transformers(tmp_path, changes):
    """Of padded prompts of different lengths; after the end token, nothing."""
    theirs, ours = make(tmp_path, **changes)
    ids, mask = tokens("left", (6, 2, 4))
    expected = theirs.generate(
        torch.from_numpy(ids).long(),
        attention_mask=torch.from_numpy(mask).long(),
        max_new_tokens=12,
        do_sample=False,
        eos_token_id=-1,
    )[:, 6:].numpy()
    end = expected[0, 4]  # so that the first row ends there, or earlier
    first = [list(row).index(end) if end in row else 12 for row in expected]
    assert min(first) < max(first)

    def run(model, ids, mask):
        return decoding.greedy(model, prompt_of(model, ids, mask), 12, [60 - end, end])

    found = compiled(run, ours, ids, mask)
    assert 60 - end not in expected
    np.testing.assert_array_equal(found.mask, np.arange(12) <= np.array(first)[:, None])
    np.testing.assert_array_equal(found.ids[found.mask], expected[found.mask])


def test_a_published_model_tells_its_story(test_data):
    """To the letter: the text that its author has got from it by greedy decoding, 256 steps."""
    folder = test_data / "models" / "stories260K"
    config, params = stories.read_model(folder / "stories260K.bin")
    vocabulary = stories.read_vocabulary(folder / "tok512.bin")
    described = (folder / "stories260K.md").read_text()
    expected = described.partition("-t 0.0\n")[2].partition("\n```")[0]
    assert len(expected) > 500
    graphdef, shapes = reference.abstract(config, Llama)
    loaded = jax.tree_util.tree_map_with_path(
        lambda path, leaf: jnp.asarray(params[parameter_path(path)].reshape(leaf.shape)), shapes
    )

    def run(model, begin):
        return decoding.greedy(model, prompt_of(model, begin), 256, [1])

    found = compiled(run, nnx.merge(graphdef, loaded), np.array([[1]]))
    assert stories.text(vocabulary, found.ids[0][found.mask[0]].tolist()) == expected


def test_decoding_stops_when_all_texts_have_ended(monkeypatch):
    """Once a step, the model is called; not after the last end token, nor for the last token."""
    model = reference.build(CONFIG, Llama)
    ids, _ = tokens("left", (6, 6))
    calls, logits = [], Llama.logits

    def counted(self, hidden):
        found = logits(self, hidden)
        jax.debug.callback(lambda x: calls.append(x), found)
        return found

    monkeypatch.setattr(Llama, "logits", counted)
    full = decoding.greedy(model, prompt_of(model, ids), 9, [])
    jax.effects_barrier()
    assert len(calls) == 9 and full.mask.all()
    calls.clear()
    ends = {int(full.ids[0, 2]), int(full.ids[1, 3])}
    found = decoding.greedy(model, prompt_of(model, ids), 9, sorted(ends))
    jax.effects_barrier()
    assert len(calls) == found.mask.sum(1).max() < 9


def test_sampling_follows_the_distribution():
    """Frequencies of the first token; texts of a batch and keys are independent."""
    model = reference.build(CONFIG, Llama)
    prompt = prompt_of(model, np.repeat([[3, 1, 4]], 4000, axis=0)[:1])
    many = decoding.Prompt(prompt.cache, jnp.repeat(prompt.hidden, 4000, axis=0))
    drawn = decoding.sample(model, many, 1, [END], jax.random.key(0), temperature=2.0)
    expected = np.asarray(jax.nn.softmax(model.logits(prompt.hidden) / 2.0, axis=-1))[0]
    counts = np.bincount(drawn.ids[:, 0], minlength=61) / 4000
    assert np.abs(counts - expected).max() < 5 * np.sqrt(expected.max() / 4000)
    np.testing.assert_array_equal(
        drawn.ids, decoding.sample(model, many, 1, [END], jax.random.key(0), 2.0).ids
    )
    other = decoding.sample(model, many, 1, [END], jax.random.key(1), temperature=2.0)
    assert (other.ids != drawn.ids).any()


def test_a_cold_or_narrow_sample_is_greedy():
    model = reference.build(CONFIG, Llama)
    ids, mask = tokens("left", (6, 2, 4))
    prompt = prompt_of(model, ids, mask)
    greedy = decoding.greedy(model, prompt, 8, [END])
    options = ({"temperature": 1e-5}, {"top_k": 1}, {"top_p": 1e-6})
    for each in options:
        found = decoding.sample(model, prompt, 8, [END], jax.random.key(0), **each)
        np.testing.assert_array_equal(found.mask, greedy.mask)
        np.testing.assert_array_equal(found.ids[found.mask], greedy.ids[greedy.mask])
    drawn = decoding.sample(model, prompt, 8, [END], jax.random.key(0), temperature=5.0)
    assert (drawn.ids[:, 1:] != greedy.ids[:, 1:]).any()


@pytest.mark.parametrize(
    ("top_k", "top_p", "kept"),
    [
        (None, None, [0, 1, 2, 3]),
        (2, None, [1, 3]),
        (9, None, [0, 1, 2, 3]),
        (None, 0.39, [3]),
        (None, 0.41, [1, 3]),
        (None, 0.69, [1, 3]),
        (None, 0.71, [1, 2, 3]),
        (None, 1.0, [0, 1, 2, 3]),
        (3, 0.76, [1, 3]),  # of three: 0.2, 0.3 and 0.4 of 0.9
        (3, 0.8, [1, 2, 3]),
    ],
)
def test_which_tokens_are_drawn(top_k, top_p, kept):
    logits = jnp.log(jnp.array([[0.1, 0.3, 0.2, 0.4]])) + 5.0
    found = np.asarray(decoding.restricted(logits, top_k, top_p))[0]
    assert list(np.flatnonzero(found > -np.inf)) == kept
    np.testing.assert_array_equal(found[kept], logits[0, np.array(kept)])


# ------------------------------------------------------------------------------------- scores

CANDIDATES = np.random.default_rng(1).integers(0, 61, (7, 4)).astype(np.int32)
LENGTHS = np.array([4, 1, 2, 3, 4, 3, 1])
REAL = np.arange(4) < LENGTHS[:, None]


def naive(model, prompt, candidate):
    """The log-probability of a candidate after a prompt, from a full forward pass."""
    hidden, _ = hidden_of(model, np.concatenate([prompt, candidate])[None])
    found = jax.nn.log_softmax(model.logits(hidden[0]), axis=-1)
    return sum(found[len(prompt) - 1 + i, token] for i, token in enumerate(candidate))


@pytest.mark.parametrize("window", [None, 3])
def test_scores_equal_full_forward_passes(window):
    model = reference.build(dataclasses.replace(CONFIG, window=window), Llama)
    beginning = np.array([[5, 17, 2]], np.int32)
    ids, mask = tokens("left", (4, 2))
    for chunk in (None, 3):

        def run(model, ids, mask, chunk=chunk):
            _, cache = hidden_of(model, beginning)  # shared by all prompts
            x = model.embed(jnp.asarray(ids))
            prompt = decoding.read_prompt(model, x, jnp.asarray(mask), cache)
            junk = np.where(REAL, CANDIDATES, -1)  # what is masked does not matter
            return decoding.score_candidates(model, prompt, junk, jnp.asarray(REAL), chunk)

        scores, lengths = compiled(run, model, ids, mask)
        np.testing.assert_array_equal(lengths, LENGTHS)
        assert scores.shape == (2, 7) and scores.dtype == np.float32
        if chunk is None:
            expected = scores
            for b in range(2):
                prompt = np.concatenate([beginning[0], ids[b][mask[b]]])
                for k in (0, 1, 3):
                    wanted = naive(model, prompt, CANDIDATES[k][REAL[k]])
                    np.testing.assert_allclose(scores[b, k], wanted, atol=1e-4)
        np.testing.assert_allclose(scores, expected, atol=1e-5)


def test_candidates_of_one_token():
    model = reference.build(CONFIG, Llama)
    prompt = prompt_of(model, np.array([[3, 1, 4]]))
    scores, lengths = decoding.score_candidates(
        model, prompt, jnp.array([[5], [6]]), jnp.array([[True]] * 2)
    )
    expected = jax.nn.log_softmax(model.logits(prompt.hidden), axis=-1)[:, 5:7]
    np.testing.assert_allclose(scores, expected, atol=1e-6)
    np.testing.assert_array_equal(lengths, [1, 1])


def test_memory_of_scores_is_bounded(monkeypatch):
    """Whatever the number of candidates is."""
    model = reference.build(CONFIG, Llama)
    monkeypatch.setattr(decoding, "MOST_LOGITS", 2 * 3 * 61 * 5)  # 2 prompts, 4 tokens: 5 at once
    shapes, logits = [], Llama.logits
    monkeypatch.setattr(
        Llama, "logits", lambda self, h: (shapes.append(h.shape[:-1]), logits(self, h))[1]
    )
    prompt = prompt_of(model, np.array([[3, 1, 4], [1, 5, 9]]))
    many = jnp.asarray(np.tile(CANDIDATES, (30, 1)))
    decoding.score_candidates(model, prompt, many, jnp.ones(many.shape, bool))
    assert shapes == [(2,), (2, 15)]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": 0.0}, "temperature is 0.0"),
        ({"top_k": 0}, "top_k is 0"),
        ({"top_p": 0.0}, "top_p is 0.0"),
        ({"top_p": 1.5}, "top_p is 1.5"),
        ({"most": 0}, "at most 0 tokens"),
        ({"most": 30}, "33 tokens with its padding; this model has 32 positions"),
    ],
)
def test_options_out_of_range(options, message):
    model = reference.build(CONFIG, Llama)
    prompt = prompt_of(model, np.array([[3, 1, 4]]))
    options = {"most": 2, **options}
    with pytest.raises(ValueError, match=message):
        decoding.sample(model, prompt, options.pop("most"), [END], jax.random.key(0), **options)


def test_candidates_longer_than_the_context():
    model = reference.build(CONFIG, Llama)
    prompt = prompt_of(model, np.array([[3, 1, 4]]))
    long = jnp.ones((2, 30), jnp.int32)
    with pytest.raises(ValueError, match="33 tokens"):
        decoding.score_candidates(model, prompt, long, long > 0)
