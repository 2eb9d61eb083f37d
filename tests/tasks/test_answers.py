"""The loss of answers: the mean over their real tokens."""

import jax.numpy as jnp
import numpy as np

from motionalign.models.motion_language import AnswerOutputs
from motionalign.tasks.answers import Answer


def test_only_real_tokens_count():
    found = jnp.asarray([[-0.5, -1.5, -100.0], [-0.25, -3.0, -0.75]])
    mask = jnp.asarray([[True, True, False], [True, True, True]])
    loss, rest, scalars = Answer(None, True).loss(AnswerOutputs(found, mask, None), 3, {}, None)
    np.testing.assert_allclose(loss, (0.5 + 1.5 + 0.25 + 3 + 0.75) / 5)
    assert rest == 3
    np.testing.assert_allclose(scalars["tokens_above_half"], 2 / 5)  # above log 0.5 = -0.69
