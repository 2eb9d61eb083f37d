"""DistilBERT: fields missing in config.json; see also test_towers.py."""

from towers import DISTILBERT

from motionalign.models import distilbert


def test_fields_missing_in_the_config_have_published_values():
    """The LayerNorm epsilon is a constant of the code and ignores config.json."""
    values = distilbert.config_to_hf(DISTILBERT.config)
    left_out = ("activation", "dropout", "attention_dropout")
    values = {key: value for key, value in values.items() if key not in left_out}
    config = distilbert.config_from_hf({**values, "layer_norm_eps": 1e-3})
    assert config == DISTILBERT.config
    assert (config.norm_eps, config.activation) == (1e-12, "gelu")
    assert (config.dropout, config.attention_dropout) == (0.1, 0.1)
    assert distilbert.config_from_hf(values, dropout=0.3, readout="mean").dropout == 0.3
