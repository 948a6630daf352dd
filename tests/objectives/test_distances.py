import math

import numpy as np
import pytest
import tensorflow as tf

from iris_tf.objectives.distances import euclidean_distances, pairwise_distances


def unit_rows(rng, n, dimensions=16):
    x = rng.normal(size=(n, dimensions))
    return x / np.linalg.norm(x, axis=1, keepdims=True)


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-5), ("float16", 5e-3)])
def test_equal_a_loop(dtype, tolerance):
    rng = np.random.default_rng(1)
    a, b = unit_rows(rng, 5), unit_rows(rng, 7)
    expected = np.array([[math.dist(x, y) for y in b] for x in a])
    found = pairwise_distances(a.astype(dtype), b.astype(dtype))
    assert found.dtype == tf.float32
    np.testing.assert_allclose(found, expected, atol=tolerance)
    np.testing.assert_allclose(
        euclidean_distances(a.astype(dtype), b[:5].astype(dtype)),
        np.diag(expected),
        atol=tolerance,
    )


def test_small_distances_are_exact_row_by_row():
    angle = 1e-4
    a = np.array([[1.0, 0.0]], np.float32)
    b = np.array([[math.cos(angle), math.sin(angle)]], np.float32)
    assert float(euclidean_distances(a, b)[0]) == pytest.approx(angle, rel=1e-3)


@pytest.mark.parametrize("function", [euclidean_distances, pairwise_distances])
def test_gradient_is_finite_for_equal_rows(function):
    a = tf.constant([[1.0, 0.0], [0.6, 0.8]])
    b = tf.constant([[1.0, 0.0], [0.0, 1.0]])
    with tf.GradientTape() as tape:
        tape.watch([a, b])
        distances = function(a, b)
        loss = tf.reduce_sum(distances)
    assert float(tf.reduce_min(distances)) == 0.0
    for gradient in tape.gradient(loss, [a, b]):
        assert np.isfinite(gradient).all()
        assert np.abs(gradient[1]).max() > 0.1


def test_gradient_points_apart():
    # d|a - b| / da = (a - b) / |a - b|
    a = tf.constant([[0.6, 0.8]])
    b = tf.constant([[1.0, 0.0]])
    with tf.GradientTape() as tape:
        tape.watch(a)
        distance = euclidean_distances(a, b)
    expected = np.array([[-0.4, 0.8]]) / math.hypot(0.4, 0.8)
    np.testing.assert_allclose(tape.gradient(distance, a), expected, rtol=1e-6)
