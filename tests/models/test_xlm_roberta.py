"""XLM-R: its own names, and equality with RoBERTa otherwise; see also test_towers.py."""

import numpy as np
import pytest
from flax import nnx
from reference import build, eager
from towers import ROBERTA, XLM_ROBERTA

from motionalign.models import families, roberta, xlm_roberta


def test_computes_what_roberta_does():
    model = XLM_ROBERTA.build()
    same = build(ROBERTA.config, ROBERTA.module, nnx.state(model))
    expected, found = (eager(m.__call__, *XLM_ROBERTA.inputs) for m in (same, model))
    np.testing.assert_array_equal(found.tokens, expected.tokens)
    np.testing.assert_array_equal(found.pooled, expected.pooled)


def test_is_a_family_of_its_own():
    """Also in stored architectures, which are identified by the class of the config."""
    for config, name in ((ROBERTA.config, "roberta"), (XLM_ROBERTA.config, "xlm_roberta")):
        assert families.family_of(config, families.TEXT_FAMILIES) == name
    values = xlm_roberta.config_to_hf(XLM_ROBERTA.config)
    assert families.text_family(values, "here") is xlm_roberta.FAMILY
    with pytest.raises(ValueError, match="model_type 'xlm-roberta'; expected 'roberta'"):
        roberta.config_from_hf(values)


def test_other_positions_are_refused():
    values = xlm_roberta.config_to_hf(XLM_ROBERTA.config)
    with pytest.raises(ValueError, match="xlm-roberta with pad_token_id=0; only 1 is supported"):
        xlm_roberta.config_from_hf({**values, "pad_token_id": 0})
