import numpy as np
import pytest

from iris_tf.metrics.kernel_alignment import linear_cka


def naive(first, second):
    """From the centred n x n similarities of each model (Kornblith et al., Eqs. 1 and 3)."""
    n = len(first)
    centring = np.eye(n) - np.ones((n, n)) / n

    def hsic(a, b):
        return np.trace(a @ a.T @ centring @ b @ b.T @ centring)

    return hsic(first, second) / np.sqrt(hsic(first, first) * hsic(second, second))


def test_is_that_of_centred_similarities_for_different_sizes():
    rng = np.random.default_rng(0)
    first = rng.normal(size=(30, 5)) + 3.0
    second = np.concatenate([first[:, :2], rng.normal(size=(30, 6))], axis=1)
    assert linear_cka(first, second) == pytest.approx(naive(first, second))
    assert linear_cka(second, first) == pytest.approx(naive(first, second))


def test_by_hand():
    # Centred: (1, -1) and (1, 0), (-1, 0): ‖YᵀX‖² = 4, ‖XᵀX‖ = 2, ‖YᵀY‖ = 2.
    assert linear_cka([[2.0], [0.0]], [[3.0, 1.0], [1.0, 1.0]]) == pytest.approx(1.0)
    # Three images: x = (1, 0, -1), y = (1, -2, 1): YᵀX = 0.
    assert linear_cka([[1.0], [0.0], [-1.0]], [[1.0], [-2.0], [1.0]]) == pytest.approx(0.0)


def test_rotated_and_scaled_embeddings_are_alike():
    rng = np.random.default_rng(1)
    first = rng.normal(size=(20, 4))
    rotation, _ = np.linalg.qr(rng.normal(size=(4, 4)))
    assert linear_cka(first, 7.0 * first @ rotation) == pytest.approx(1.0)


def test_constant_embeddings_have_none():
    assert linear_cka(np.full((5, 3), 0.3), np.eye(5)) is None
