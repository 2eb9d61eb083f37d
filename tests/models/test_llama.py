"""LLaMA and Mistral against transformers."""

import jax.numpy as jnp
import numpy as np
import reference
import torch
import transformers

from motionalign.models import llama
from motionalign.models.weights.source import Source

SIZES = {
    "vocab_size": 61,
    "hidden_size": 32,
    "intermediate_size": 40,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
}


def test_logits_equal_those_of_transformers(tmp_path):
    theirs = reference.save_random(tmp_path, "LlamaForCausalLM", transformers.LlamaConfig(**SIZES))
    source = Source(tmp_path)
    config = llama.config_from_hf(source.config())
    ours = reference.fill(config, llama.Llama, source, llama.key_map())
    ids, mask = reference.text_batch(61)
    with torch.no_grad():
        expected = theirs(torch.from_numpy(ids).long(), torch.from_numpy(mask).long()).logits
    hidden, _ = ours(ours.embed(jnp.asarray(ids)), jnp.asarray(mask))
    np.testing.assert_allclose(
        np.asarray(ours.logits(hidden))[mask], expected.numpy()[mask], atol=1e-4
    )
