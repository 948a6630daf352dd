import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from iris_tf.losses.contrastive import contrastive_loss


def unit(rows):
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def naive(embeddings, labels, temperature):
    losses = []
    for a in range(len(labels)):
        negatives = [n for n in range(len(labels)) if labels[n] != labels[a]]
        own = []
        for p in range(len(labels)):
            if p != a and labels[p] == labels[a]:
                hit = math.exp(embeddings[a] @ embeddings[p] / temperature)
                others = sum(math.exp(embeddings[a] @ embeddings[n] / temperature)
                             for n in negatives)
                own.append(-math.log(hit / (hit + others)))
        losses.append(sum(own) / len(own) if own else 0.0)
    return losses


@pytest.mark.parametrize("temperature", [1.0, 1 / 16])
def test_is_that_of_the_loops(temperature):
    embeddings = unit(np.random.default_rng(3).normal(size=(9, 6)))
    labels = np.array([0, 0, 1, 1, 1, 2, 2, 3, 0], np.int32)  # 3 has no positive
    found = contrastive_loss(embeddings.astype(np.float32), labels, temperature)
    np.testing.assert_allclose(found, naive(embeddings, labels, temperature), rtol=1e-4, atol=1e-5)


def test_spread_adds_the_mean_square_of_negatives():
    embeddings = unit(np.random.default_rng(4).normal(size=(8, 5)))
    labels = np.array([0, 0, 1, 1, 2, 2, 2, 3], np.int32)
    found = np.array(contrastive_loss(embeddings.astype(np.float32), labels, 0.1, spread=2.0))
    for a, loss in enumerate(naive(embeddings, labels, 0.1)):
        squares = [(embeddings[a] @ embeddings[n]) ** 2 for n in range(8) if labels[n] != labels[a]]
        assert found[a] == pytest.approx(loss + 2.0 * sum(squares) / len(squares), rel=1e-4)


def test_spread_draws_embeddings_into_more_dimensions():
    """From nearly one line, 12 strangers in 6 dimensions end up as spread as they can be."""
    rng = np.random.default_rng(5)
    start = unit(np.array([1.0, 0, 0, 0, 0, 0]) + 0.1 * rng.normal(size=(12, 6)))
    embeddings = tf.Variable(start.astype(np.float32))
    optimizer = keras.optimizers.SGD(0.5)
    for _ in range(300):
        with tf.GradientTape() as tape:
            unit_length = tf.math.l2_normalize(embeddings, axis=1)
            losses = contrastive_loss(unit_length, np.arange(12, dtype=np.int32), 1 / 16, 5.0)
            loss = tf.reduce_mean(losses)
        optimizer.apply([tape.gradient(loss, embeddings)], [embeddings])
    moments = np.linalg.eigvalsh(unit_length.numpy().T @ unit_length.numpy() / 12)
    # A tight frame (Benedetto and Fickus 2003): the moments' sum is 1.
    np.testing.assert_allclose(moments, np.full(6, 1 / 6), atol=0.01)


def test_equal_embeddings_are_at_chance():
    embeddings = np.tile(np.float32([[1, 0]]), (6, 1))
    found = contrastive_loss(embeddings, np.array([0, 0, 1, 1, 2, 2], np.int32), 0.1)
    # One positive among four negatives.
    np.testing.assert_allclose(found, np.full(6, math.log(5)), rtol=1e-5)


def test_gradients_are_finite_where_all_is_told_apart():
    embeddings = keras.ops.convert_to_tensor(np.float32([[1, 0], [1, 0], [-1, 0], [-1, 0]]))
    with tf.GradientTape() as tape:
        tape.watch(embeddings)
        losses = contrastive_loss(embeddings, np.array([0, 0, 1, 1], np.int32), 1 / 64)
    assert np.isfinite(tape.gradient(losses, embeddings)).all()
    np.testing.assert_allclose(losses, 0.0, atol=1e-6)
