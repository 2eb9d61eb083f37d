"""What an architecture has by default."""

import dataclasses

import pytest

from motionalign.models import architecture
from motionalign.models.architecture import ArchitectureConfig
from motionalign.models.architectures import ARCHITECTURES


@dataclasses.dataclass(frozen=True)
class Plain(ArchitectureConfig):
    size: int = 3


def test_a_config_without_texts_and_classes():
    config = Plain()
    assert config.to_dict() == {"size": 3}
    assert Plain.from_dict({"size": 4}) == Plain(4)
    assert (config.text, config.classifier, config.class_names) == (None, None, ())
    assert not (config.has_tokenizer or config.learn_temperature or config.batch_fields)
    with pytest.raises(ValueError, match="Plain refers to no frozen weights of 'tower'"):
        config.key_map("tower")


def test_defaults_of_an_architecture():
    assert architecture.no_frozen_weights(None, None) == ()
    assert architecture.no_tokenizer("anything") is None
    assert architecture.as_trained(3) == 3


def test_every_architecture_says_all_that_training_asks_of_a_config():
    names = "text classifier class_names batch_fields learn_temperature has_tokenizer".split()
    for each in ARCHITECTURES.values():
        for name in (*names, "representation", "key_map", "to_dict", "from_dict"):
            fields = {field.name for field in dataclasses.fields(each.config)}
            assert name in fields or hasattr(each.config, name), (each.config, name)
