"""Real LLaMAs: stories260K tells its story to the letter, SmolLM2 has transformers' logits."""

import gguf_files
import jax
import jax.numpy as jnp
import llama2c
import numpy as np
import pytest
from flax import nnx

from motionalign.models import decoding
from motionalign.models.llama import Llama, config_from_hf, key_map
from motionalign.models.weights.load import load_language_tokenizer, load_weights
from motionalign.models.weights.source import Source


def load(source):
    """The graph and the parameters of a source's model."""
    config = config_from_hf(source.config())
    graph, abstract = nnx.split(nnx.eval_shape(lambda: Llama(config, rngs=nnx.Rngs(0))))
    return graph, load_weights(abstract, source, key_map())


@pytest.fixture(scope="module")
def stories(test_data):
    """(stories260K.bin, tok512.bin, the text that stories260K.md gives for greedy decoding)."""
    folder = test_data / "models" / "stories260K"
    if not folder.is_dir():
        pytest.skip(f"{folder} is missing")
    told = (folder / "stories260K.md").read_text("utf-8").split("-t 0.0\n", 1)[1]
    return folder / "stories260K.bin", folder / "tok512.bin", told.split("\n```")[0]


@pytest.fixture(scope="module")
def stories_folder(stories, tmp_path_factory):
    folder = tmp_path_factory.mktemp("stories260K")
    llama2c.write_folder(*stories[:2], folder)
    return folder


def test_stories260k_to_the_letter(stories, stories_folder):
    graph, params = load(Source(stories_folder))
    tokenizer = load_language_tokenizer(str(stories_folder))

    @jax.jit
    def tell(params):
        llama = nnx.merge(graph, params)
        prompt = decoding.read_prompt(llama, llama.embed(jnp.array([[llama2c.BOS]])))
        return decoding.greedy(llama, prompt, 256, (llama2c.BOS,))

    generated = tell(params)
    ids = np.asarray(generated.ids[0])[np.asarray(generated.mask[0])]
    assert tokenizer.text(ids).lstrip(" ") == stories[2]


def test_stories260k_as_gguf(stories, stories_folder, tmp_path):
    """llama2.c's order of rows is that of GGUF files; undone, it is that of the folder."""
    pytest.importorskip("gguf")
    llama2c.write_gguf(*stories[:2], tmp_path / "m.gguf")
    file, folder = Source(tmp_path / "m.gguf"), Source(stories_folder)
    assert file.shapes() == folder.shapes()
    for name, tensor in folder.tensors.items():
        np.testing.assert_array_equal(file.tensors[name].read(), tensor.read(), name)
    config = folder.config()
    assert {name: file.config()[name] for name in config} == config


@pytest.mark.parametrize("form", ["folder", "gguf"])
def test_stories260k_tokenizer(stories, stories_folder, tmp_path, form):
    tokens, scores = llama2c.read_vocabulary(stories[1])
    if form == "gguf":
        llama2c.write_gguf(*stories[:2], tmp_path / "m.gguf")
    tokenizer = load_language_tokenizer(str(stories_folder if form == "folder" else tmp_path))
    sentences = stories[2].replace("\n", ". ").split(". ")
    texts = [stories[2], *sentences, "12 läuft 人 🤸", "  two  spaces ", "THE END", "\n"]
    for text in texts:
        assert tokenizer.ids(text, start=True) == llama2c.encode(tokens, scores, text), text
        assert tokenizer.text(tokenizer.ids(text)) == text
    assert (tokenizer.bos, tokenizer.eos, tokenizer.vocab_size) == (1, 2, 512)


PROMPTS = (
    "The capital of France is",
    "Once upon a time",
    "A person raises the left arm, then",
    "def fibonacci(n):\n    ",
    "1 + 1 = 2, 2 + 2 =",
    "<|im_start|>user\nWhat is a skeleton?<|im_end|>\n<|im_start|>assistant\n",
    "Läuft eine Person rückwärts, so",
    "人が歩く",
    "drink water; eat meal; brush teeth;",
    " ",
)


def reference(source, dtype):
    """transformers' model with the dequantised weights of a source."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    with torch.device("meta"):
        model = LlamaForCausalLM(LlamaConfig(**source.config()))
    state = {
        name: torch.from_numpy(np.array(tensor.read())).to(dtype)
        for name, tensor in source.tensors.items()
    }
    state["lm_head.weight"] = state["model.embed_tokens.weight"]
    model.load_state_dict(state, strict=True, assign=True)
    model.model.rotary_emb = type(model.model.rotary_emb)(model.config)  # was built without data
    return model.eval()


@pytest.mark.slow
def test_logits_of_smollm2():
    """Ten prompts, against LlamaForCausalLM with the same dequantised weights.

    The logits are up to 37, and float32 is too coarse for 1e-4 everywhere: transformers' own
    differ from its float64 by up to 2.7e-4, ours by up to 6.5e-4 (one prompt; the median is
    6.7e-5).
    """
    torch = pytest.importorskip("torch")
    source = Source(gguf_files.smollm2())
    tokenizer = load_language_tokenizer(source.name)
    rows = [tokenizer.ids(prompt, special=True, start=True) for prompt in PROMPTS]
    graph, params = load(source)

    @jax.jit
    def logits_of(params, ids, mask):
        llama = nnx.merge(graph, params)
        return llama.logits(llama(llama.embed(ids), mask)[0])

    mask = np.arange(max(map(len, rows))) < np.array([len(row) for row in rows])[:, None]
    ids = np.zeros(mask.shape, np.int32)
    ids[mask] = np.concatenate(rows)
    found = np.asarray(logits_of(params, ids, mask))

    def logits(dtype):
        model = reference(source, dtype)
        with torch.no_grad():
            return [model(torch.tensor([row])).logits[0].numpy() for row in rows]

    exact, theirs = logits(torch.float64), logits(torch.float32)
    ours = [np.abs(a[: len(b)] - b).max() for a, b in zip(found, exact)]
    rounding = [np.abs(a - b).max() for a, b in zip(theirs, exact)]
    for a, b in zip(found, exact):
        np.testing.assert_array_equal(a[: len(b)].argmax(-1), b.argmax(-1))
    assert max(np.abs(b).max() for b in exact) > 20  # logits of a real model
    assert np.median(ours) < 1e-4, ours
    assert max(ours) < 4 * max(rounding), (ours, rounding)
