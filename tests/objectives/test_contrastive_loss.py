import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from iris_tf.objectives.contrastive_loss import contrastive_loss


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
                others = sum(
                    math.exp(embeddings[a] @ embeddings[n] / temperature) for n in negatives
                )
                own.append(-math.log(hit / (hit + others)))
        losses.append(sum(own) / len(own) if own else 0.0)
    return losses


@pytest.mark.parametrize("temperature", [1.0, 1 / 16])
def test_is_that_of_the_loops(temperature):
    embeddings = unit(np.random.default_rng(3).normal(size=(9, 6)))
    labels = np.array([0, 0, 1, 1, 1, 2, 2, 3, 0], np.int32)  # 3 has no positive
    found = contrastive_loss(embeddings.astype(np.float32), labels, temperature)
    np.testing.assert_allclose(found, naive(embeddings, labels, temperature), rtol=1e-4, atol=1e-5)


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
