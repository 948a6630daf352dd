"""Embeddings behave like an array, but keep how they are compared."""

import numpy as np
import pytest

from iris_tf.matching.embeddings import Embeddings, matcher_of
from iris_tf.matching.matcher import Matcher
from iris_tf.matching.template import Origin
from iris_tf.support.errors import ArgumentError
from iris_tf.tflite.phase_code_layout import PhaseCodeLayout

ORIGIN = Origin("model", "ab" * 32)
MATCHER = Matcher(PhaseCodeLayout(12, 3, 1))


@pytest.fixture
def embeddings():
    return Embeddings(np.eye(5, 16, dtype=np.float32), ORIGIN, MATCHER)


def test_they_are_an_array_to_numpy(embeddings):
    assert embeddings.shape == (5, 16)
    assert embeddings.dtype == np.float32
    assert len(embeddings) == 5
    np.testing.assert_array_equal(embeddings, np.eye(5, 16))
    assert np.asarray(embeddings, np.float64).dtype == np.float64
    np.testing.assert_array_equal(np.stack(list(embeddings)), np.eye(5, 16))
    copy = np.array(embeddings)
    copy[0, 0] = 7
    assert embeddings.vectors[0, 0] == 1


@pytest.mark.parametrize(
    "images", [slice(1, 3), [1, 2], np.array([False, True, True, False, False])]
)
def test_a_selection_of_images_keeps_how_they_are_compared(embeddings, images):
    some = embeddings[images]
    assert (some.origin, some.matcher) == (ORIGIN, MATCHER)
    np.testing.assert_array_equal(some, np.eye(5, 16)[1:3])


def test_what_is_no_set_of_embeddings_is_a_plain_array(embeddings):
    np.testing.assert_array_equal(embeddings[1], np.eye(5, 16)[1])
    for part in (embeddings[1], embeddings[:, :4], embeddings[1, 2:]):
        assert type(part) is np.ndarray


def test_a_plain_product_is_not_offered(embeddings):
    with pytest.raises(AttributeError):
        embeddings @ embeddings.T
    with pytest.raises(TypeError):
        embeddings @ embeddings


def test_arrays_do_not_say_how_they_are_compared(embeddings):
    assert matcher_of(embeddings, None) is MATCHER
    assert matcher_of(embeddings, Matcher()) == Matcher()
    assert matcher_of(embeddings.vectors, Matcher()) == Matcher()
    with pytest.raises(ArgumentError, match="does not say how they are compared"):
        matcher_of(embeddings.vectors, None)
