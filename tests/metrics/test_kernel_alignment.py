import numpy as np
import pytest

from iris_tf.metrics.kernel_alignment import linear_cka


def naive(first, second):
    """From the similarities of all pairs: the unbiased HSIC of Song et al., term by term."""
    n = len(first)

    def hsic(a, b):
        k, m = a @ a.T, b @ b.T
        np.fill_diagonal(k, 0.0)
        np.fill_diagonal(m, 0.0)
        ones = np.ones(n)
        return (
            np.trace(k @ m)
            + (ones @ k @ ones) * (ones @ m @ ones) / ((n - 1) * (n - 2))
            - 2 / (n - 2) * (ones @ k @ m @ ones)
        ) / (n * (n - 3))

    return hsic(first, second) / np.sqrt(hsic(first, first) * hsic(second, second))


def test_is_that_of_all_pairs_for_different_sizes():
    rng = np.random.default_rng(0)
    first = rng.normal(size=(30, 5)) + 3.0
    second = np.concatenate([first[:, :2], rng.normal(size=(30, 6))], axis=1)
    found = linear_cka(first, second)
    assert 0.2 < found < 0.8
    assert found == pytest.approx(naive(first, second))
    assert linear_cka(second, first) == pytest.approx(found)
    assert linear_cka(first.astype(np.float32), second.astype(np.float32)) == pytest.approx(
        found, abs=1e-5
    )


def test_rotated_and_scaled_embeddings_are_alike():
    rng = np.random.default_rng(1)
    first = rng.normal(size=(20, 4))
    rotation, _ = np.linalg.qr(rng.normal(size=(4, 4)))
    assert linear_cka(first, 7.0 * first @ rotation) == pytest.approx(1.0)


@pytest.mark.parametrize("sizes", [(64, 64), (64, 1024)])
def test_unrelated_embeddings_are_not_alike_whatever_their_sizes(sizes):
    rng = np.random.default_rng(2)
    first, second = (rng.normal(size=(100, size)) for size in sizes)
    assert abs(linear_cka(first, second)) < 0.1


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_constant_embeddings_have_none(kind):
    constant = np.full((600, 256), 0.3, kind)
    noise = np.random.default_rng(3).normal(size=(600, 8))
    assert linear_cka(constant, noise) is None
    assert linear_cka(noise, constant) is None


def test_three_images_have_none():
    assert linear_cka(np.eye(3), np.eye(3)) is None
