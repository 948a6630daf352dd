import numpy as np
import pytest
from sklearn.covariance import shrunk_covariance

from iris_tf.matching.whitening import second_moment, whitening_matrix


@pytest.fixture
def embeddings():
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(500, 6)) * [5.0, 3.0, 1.0, 1.0, 0.5, 0.2] + [2.0, 0, 0, 0, 0, 0]
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_half_a_power_makes_the_second_moment_the_identity(embeddings):
    whitened = embeddings @ whitening_matrix(second_moment(embeddings), 0.5)
    np.testing.assert_allclose(whitened.T @ whitened / 500, np.eye(6), atol=1e-9)


def test_two_quarters_are_a_half_and_no_power_is_nothing(embeddings):
    moment = second_moment(embeddings)
    quarter = whitening_matrix(moment, 0.25)
    np.testing.assert_allclose(quarter @ quarter, whitening_matrix(moment, 0.5), rtol=1e-9)
    np.testing.assert_allclose(whitening_matrix(moment, 0.0), np.eye(6), atol=1e-12)


def test_shrinkage_is_that_of_scikit_learn(embeddings):
    moment = second_moment(embeddings)
    half = whitening_matrix(moment, 0.5, shrinkage=0.3)
    np.testing.assert_allclose(half @ half @ shrunk_covariance(moment, 0.3), np.eye(6), atol=1e-9)
    scaled = whitening_matrix(moment, 0.25, shrinkage=1.0)
    np.testing.assert_allclose(scaled, scaled[0, 0] * np.eye(6), atol=1e-9)
