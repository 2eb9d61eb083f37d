"""RoBERTa: positions and fields missing in config.json; see also test_towers.py."""

import dataclasses

import numpy as np
import pytest
from flax import nnx
from reference import build, eager, transformers
from towers import ROBERTA

from motionalign.models import roberta


def test_positions_start_after_the_padding_row():
    """No token uses the first two rows of the position table; the last row is used."""
    model = ROBERTA.build()
    ids, mask = np.full((1, 20), 5, np.int32), np.ones((1, 20), bool)
    expected = eager(model.__call__, ids, mask).tokens
    assert model.positions.shape == (22, ROBERTA.config.width)
    for row, read in ((0, False), (1, False), (2, True), (21, True)):
        params = nnx.state(model)
        params["positions"] = params["positions"].at[row].set(9.0)
        changed = eager(build(ROBERTA.config, ROBERTA.module, params).__call__, ids, mask).tokens
        assert (np.abs(changed - expected).max() > 0.01) == read, row


def test_positions_count_tokens():
    """514 rows, as published, allow texts of 512 tokens."""
    values = roberta.config_to_hf(dataclasses.replace(ROBERTA.config, max_positions=512))
    assert values["max_position_embeddings"] == 514
    assert roberta.config_from_hf(values).max_positions == 512


def test_fields_missing_in_the_config_have_reference_defaults():
    values = roberta.config_to_hf(ROBERTA.config)
    left_out = {
        "hidden_act": "activation",
        "layer_norm_eps": "norm_eps",
        "hidden_dropout_prob": "dropout",
        "attention_probs_dropout_prob": "attention_dropout",
    }
    reference = transformers.RobertaConfig()
    config = roberta.config_from_hf({k: v for k, v in values.items() if k not in left_out})
    for theirs, ours in left_out.items():
        assert getattr(config, ours) == getattr(reference, theirs), ours
    assert reference.pad_token_id == roberta.PADDING_ID


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pad_token_id": 0}, "roberta with pad_token_id=0; only 1 is supported"),
        (
            {"position_embedding_type": "relative_key"},
            "='relative_key'; only 'absolute' is supported",
        ),
    ],
)
def test_other_positions_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        roberta.config_from_hf({**roberta.config_to_hf(ROBERTA.config), **changes})
