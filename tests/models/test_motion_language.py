"""A language model that reads motion tokens: the sequence it reads, and what it answers."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from motionalign.data.bodies import BodiesConfig
from motionalign.models import instructions, motion_language
from motionalign.models.llama import LlamaConfig
from motionalign.models.lora import LoraConfig
from motionalign.models.motion_language import MotionLanguageConfig, MotionLanguageModel
from motionalign.models.motion_tokenizer import MotionTokenizerConfig
from motionalign.models.network import Network
from motionalign.models.quantizers import QuantizerConfig

BODIES = BodiesConfig(joints=5, persons=2, frames=8, root=0, left=(1, 3), right=(2, 4), face=True)
TOKENIZER = MotionTokenizerConfig(
    bodies=BODIES,
    quantizer=QuantizerConfig("hyperbolic", 12, 16),
    width=8,
    down=1,
    depth=1,
    growth=1,
)
LLAMA = LlamaConfig(
    vocab_size=30, width=16, depth=2, heads=4, key_heads=2, head_width=4, mlp_width=24,
    max_positions=64, lora=LoraConfig(2, 4.0, r"blocks/\d+/attention/(query|value)"),
)  # fmt: skip
CONFIG = MotionLanguageConfig(
    tokenizer=TOKENIZER,
    llama=LLAMA,
    instruction="plain",
    before=(1, 5, 6),
    between=(7,),
    after=(8, 9),
    answer_tokens=5,
    ends=(2,),
    word_rms=0.02,
)


@pytest.fixture(scope="module")
def network():
    return Network(CONFIG, module=MotionLanguageModel)


@pytest.fixture(scope="module")
def arrays(network):
    """Random parameters and state; adapters, codes and components are not at their zeros."""
    found = network.init(0) | network.init_rest(0)
    key = jax.random.key(1)
    found["tokenizer/quantizer/variance"] = jnp.float32(30)  # features within the ball
    return {
        path: (0.1 if path.endswith("points") else 0.3)
        * jax.random.normal(jax.random.fold_in(key, i), x.shape)
        if path.endswith(("lora_b", "quantizer/points", "tokenizer/basis"))
        else x
        for i, (path, x) in enumerate(found.items())
    }


@pytest.fixture(scope="module")
def batch():
    rng = np.random.default_rng(0)
    bodies = rng.normal(size=(3, 8, 2, 5, 3)).astype(np.float32)
    bodies[1, :, 1] = 0
    return {
        "bodies": jnp.asarray(bodies),
        "persons": jnp.asarray([[True, True], [True, False], [True, True]]),
        "input_ids": jnp.asarray([[11, 12, 2], [13, 2, 2], [11, 14, 2]]),
        "text_mask": jnp.asarray([[True, True, True], [True, True, False], [True, True, True]]),
    }


def by_hand(model, batch, row, answer):
    """Log-probabilities of an answer's tokens, from one unpadded sequence without a cache."""
    words = model.tokenizer.quantizer.vectors()
    words = words * CONFIG.word_rms / jnp.sqrt(jnp.mean(words**2))
    codes = model.codes(batch)[row]
    parts = [model.llama.embed(jnp.asarray(CONFIG.before))]
    for person in range(int(batch["persons"][row].sum())):
        if person:
            parts.append(model.llama.embed(jnp.asarray(CONFIG.between)))
        parts.append(words[codes[person]])
    parts.append(model.llama.embed(jnp.asarray([*CONFIG.after, *answer[:-1]])))
    hidden, _ = model.llama(jnp.concatenate(parts)[None])
    logits = jax.nn.log_softmax(model.llama.logits(hidden)[0, -len(answer) :])
    return logits[jnp.arange(len(answer)), jnp.asarray(answer)]


def test_answers_follow_the_instruction_and_the_motion(network, arrays, batch):
    model = network.bind(arrays)
    found = model(batch)
    assert found.codes.shape == (3, 2, 4)
    for row in range(3):
        count = int(batch["text_mask"][row].sum())
        answer = batch["input_ids"][row, :count].tolist()
        np.testing.assert_allclose(
            found.log_probabilities[row, :count], by_hand(model, batch, row, answer), atol=1e-5
        )


def test_scores_are_those_of_each_answer(network, arrays, batch):
    model = network.bind(arrays)
    answers = jnp.asarray([[11, 12, 2], [13, 2, 0], [14, 15, 16]])
    mask = jnp.asarray([[True, True, True], [True, True, False], [True, True, True]])
    found = model.scores(batch, answers, mask)
    assert found.shape == (3, 3)
    for row in range(3):
        for k in range(3):
            answer = answers[k, : int(mask[k].sum())].tolist()
            theirs = by_hand(model, batch, row, answer).sum()
            np.testing.assert_allclose(found[row, k], theirs, atol=2e-5)


def test_another_list_of_names_is_another_beginning(network, arrays, batch):
    model = network.bind(arrays)
    args = jnp.asarray([[11, 2]]), jnp.ones((1, 2), bool)
    own = model.scores(batch, *args)
    np.testing.assert_allclose(own, model.scores(batch, *args, jnp.asarray(CONFIG.before)))
    assert np.abs(own - model.scores(batch, *args, jnp.asarray([1, 20, 21, 22]))).max() > 1e-3


def test_free_text_is_the_most_probable_token_again_and_again(network, arrays, batch):
    model = network.bind(arrays)
    ids, mask = model.answer(batch)
    assert ids.shape == mask.shape == (3, CONFIG.answer_tokens)
    for row in range(2):  # with two persons, and with one
        for end in range(1, int(mask[row].sum()) + 1):
            told = [*ids[row, : end - 1].tolist(), 0]
            every = [by_hand(model, batch, row, [*told[:-1], v])[-1] for v in range(30)]
            assert int(np.argmax(every)) == int(ids[row, end - 1])


def test_what_an_absent_person_does_changes_nothing(network, arrays, batch):
    model = network.bind(arrays)
    moved = batch | {"bodies": batch["bodies"].at[1, :, 1].set(3.0)}
    own, theirs = model(batch), model(moved)
    np.testing.assert_array_equal(own.log_probabilities, theirs.log_probabilities)
    moved = batch | {"bodies": batch["bodies"].at[0, :, 1].multiply(-5.0)}
    assert (model.codes(moved)[0, 1] != model.codes(batch)[0, 1]).any()
    assert np.abs(own.log_probabilities[0] - model(moved).log_probabilities[0]).max() > 1e-4


def test_motion_words_are_as_large_as_the_language_models(network, arrays, batch):
    model = network.bind(arrays)
    x, mask = model._motion(batch)
    assert mask[0].all()
    assert mask[1].tolist() == [True] * 4 + [False] * 5 + [True] * 2
    words = model.tokenizer.quantizer.vectors()
    rms = float(jnp.sqrt(jnp.mean(words**2)))
    assert abs(rms - CONFIG.word_rms) > 0.01
    np.testing.assert_allclose(
        x[0, :4], words[model.codes(batch)[0, 0]] * CONFIG.word_rms / rms, rtol=1e-5
    )


def test_the_motion_tokenizer_gets_no_gradient(network, arrays, batch):
    params = {path: arrays[path] for path in network.abstract_params}
    rest = {path: arrays[path] for path in network.abstract_rest}

    def loss(params):
        outputs, _ = network.apply(params, rest, batch, jax.random.key(0))
        return -jnp.where(outputs.mask, outputs.log_probabilities, 0).sum()

    grads = jax.grad(loss)(params)
    for path, grad in grads.items():
        assert path.startswith("llama/") == bool(np.abs(grad).max()), path


def test_training_leaves_the_codebook_as_it_is(network, arrays, batch):
    params = {path: arrays[path] for path in network.abstract_params}
    rest = {path: arrays[path] for path in network.abstract_rest}
    assert rest
    _, after = network.apply(params, rest, batch, jax.random.key(0))
    for path in rest:
        np.testing.assert_array_equal(rest[path], after[path])


def test_continuous_features_have_no_codes(batch):
    quantizer = dataclasses.replace(TOKENIZER.quantizer, kind="none")
    config = dataclasses.replace(
        CONFIG, tokenizer=dataclasses.replace(TOKENIZER, quantizer=quantizer)
    )
    model = MotionLanguageModel(config, rngs=nnx.Rngs(0))
    found = model(batch)
    assert found.codes is None
    assert np.isfinite(found.log_probabilities).all()
    x, _ = model._motion(batch)
    rms = jnp.sqrt(jnp.mean(x[0, :4] ** 2, axis=-1))
    np.testing.assert_allclose(rms, CONFIG.word_rms, rtol=1e-3)


def test_the_config_survives_json():
    stored = json.loads(json.dumps(CONFIG.to_dict()))
    assert MotionLanguageConfig.from_dict(stored) == CONFIG
    for wrong in ({"before": "abc"}, {"llama": 3}, {"more": 1}):
        with pytest.raises(ValueError):
            MotionLanguageConfig.from_dict({**stored, **wrong})


def test_parts_that_do_not_fit():
    wide = dataclasses.replace(LLAMA, width=32, head_width=8)
    with pytest.raises(ValueError, match="words have width 16, those of the language model 32"):
        dataclasses.replace(CONFIG, llama=wide)
    short = dataclasses.replace(LLAMA, max_positions=18)
    with pytest.raises(ValueError, match=r"have up to 19 tokens \(3 before the motion\).* 18"):
        dataclasses.replace(CONFIG, llama=short)


def test_instructions():
    assert instructions.parts_of("{names}: {motion}!", ("a", "b")) == ("a, b: ", "!")
    for name in instructions.INSTRUCTIONS:
        assert len(instructions.parts_of(name)) == 2
    assert instructions.lists_names("listed")
    assert not instructions.lists_names("plain")
    with pytest.raises(ValueError, match=r"expected one of plain, listed, or a text"):
        instructions.parts_of("plane")
    with pytest.raises(ValueError, match="end it with a word"):
        instructions.parts_of("{motion} is ")
    with pytest.raises(ValueError, match="put them before it"):
        instructions.parts_of("{motion} {names}")


def test_another_model_than_a_tokenizer():
    with pytest.raises(ValueError, match="runs/x is a dual_encoder; a language model needs"):
        motion_language.tokenizer_of({"kind": "dual_encoder"}, "runs/x")
