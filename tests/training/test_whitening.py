import numpy as np
import pytest

from iris_tf.networks.embedding_model import build_embedding_model
from iris_tf.training.whitening import whiten_head, whitening_matrix


def unit(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.fixture
def embeddings():
    rng = np.random.default_rng(0)
    return unit(rng.normal(size=(500, 6)) * [5.0, 3.0, 1.0, 1.0, 0.5, 0.2] + [2.0, 0, 0, 0, 0, 0])


def test_half_a_power_makes_the_second_moment_the_identity(embeddings):
    whitened = embeddings @ whitening_matrix(embeddings, 0.5)
    np.testing.assert_allclose(whitened.T @ whitened / 500, np.eye(6), atol=1e-9)


def test_two_quarters_are_a_half_and_no_power_is_nothing(embeddings):
    quarter = whitening_matrix(embeddings, 0.25)
    np.testing.assert_allclose(quarter @ quarter, whitening_matrix(embeddings, 0.5), rtol=1e-9)
    np.testing.assert_allclose(whitening_matrix(embeddings, 0.0), np.eye(6), atol=1e-12)


def test_the_head_gives_the_multiplied_embeddings():
    rng = np.random.default_rng(1)
    model = build_embedding_model("mobilenet_v3_large", (32, 32), embedding_size=8, seed=3)
    norm = model.get_layer("head_batchnorm")
    norm.set_weights([rng.uniform(0.5, 2, 8), rng.normal(size=8), rng.normal(size=8) * 0.01,
                      rng.uniform(0.001, 0.01, 8)])  # fmt: skip
    rois = rng.uniform(0, 255, (12, 32, 32, 1)).astype(np.float32)
    before = model.predict(rois, verbose=0)
    matrix = whitening_matrix(before, 0.25)
    whiten_head(model, before, 0.25)
    np.testing.assert_allclose(model.predict(rois, verbose=0), unit(before @ matrix), atol=2e-4)
