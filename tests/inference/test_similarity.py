"""Similarity of vectors: values by hand, precision, and invalid input."""

import numpy as np
import pytest

from motionalign.inference import similarity


def test_scores_by_hand():
    motion, texts = np.array([[3.0, 4], [1, 0]]), np.array([[6.0, 8], [0, 4], [-1, 0]])
    cosine = similarity.similarity_scores(motion, texts, "cosine")
    np.testing.assert_allclose(cosine, [[1, 0.8, -0.6], [0.6, 0, -1]], atol=1e-15)
    euclidean = similarity.similarity_scores(motion, texts, "euclidean")
    np.testing.assert_allclose(euclidean, -np.sqrt([[25, 9, 32], [89, 17, 4]]))


def test_scores_depend_on_the_distance():
    # The long text points the way of the clip, the short one ends where the clip does.
    motion, texts = np.array([[1.0, 0.1]]), np.array([[100.0, 10], [1, 0.3]])
    assert similarity.similarity_scores(motion, texts, "cosine").argmax() == 0
    assert similarity.similarity_scores(motion, texts, "euclidean").argmax() == 1


def test_euclidean_scores_are_exact_enough_and_never_nan():
    rng = np.random.default_rng(0)
    motion = rng.standard_normal((50, 768)).astype(np.float32)
    texts = np.concatenate([motion, rng.standard_normal((9, 768)).astype(np.float32)])
    expected = -np.linalg.norm(motion[:, None].astype(np.float64) - texts, axis=-1)
    found = similarity.similarity_scores(motion, texts, "euclidean")
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert found.dtype == np.float64


@pytest.mark.parametrize("distance", similarity.DISTANCES)
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"motion": np.ones(3)}, r"embeddings must be .* found shape \(3,\)"),
        ({"texts": np.ones((2, 4))}, "embeddings of width 3 and 4 cannot be compared"),
        ({"motion": [[1, 2, np.nan]]}, "finite; row 0|no direction .*length nan"),
        ({"texts": [[1, 2, 3], [1, 2, np.inf]]}, "finite; row 1|no direction .*row 1, length inf"),
    ],
)
def test_score_errors(distance, change, message):
    arguments = {"motion": np.ones((4, 3)), "texts": np.ones((2, 3)), "distance": distance}
    with pytest.raises(ValueError, match=message):
        similarity.similarity_scores(**arguments | change)


def test_zero_vectors_are_errors_for_the_cosine_only():
    motion, texts = np.ones((4, 3)), np.zeros((2, 3))
    with pytest.raises(ValueError, match="2 of 2 embeddings have no direction"):
        similarity.similarity_scores(motion, texts, "cosine")
    np.testing.assert_allclose(
        similarity.similarity_scores(motion, texts, "euclidean"), -np.sqrt(3)
    )
    with pytest.raises(ValueError, match="unknown distance 'dot'; valid: cosine, euclidean"):
        similarity.similarity_scores(motion, texts, "dot")
