"""Our distances, miner and triplet loss against tensorflow-addons' published losses.

tensorflow-addons 0.23.0 ended in 2024 and cannot be imported with Keras 3, so its
results are kept here as numbers. They were made with tensorflow-cpu 2.14.1 by

    embeddings = rows / np.sqrt((rows ** 2).sum(1, keepdims=True)), as float32
    tfa.losses.triplet_semihard_loss(LABELS, embeddings, margin, distance_metric)
    tfa.losses.triplet_hard_loss(LABELS, embeddings, margin, distance_metric)

on the eight rows below, which have whole-number lengths. The naive loops say what
the two losses are defined to be:

- semi-hard: over all ordered positive pairs (a, p), the mean of
  max(d_ap - d_an + m, 0), where n is the nearest negative farther from a than p, or
  the farthest negative of all if none is (the case for 4 of these 14 pairs);
- hard: over all anchors, the same with the farthest positive and nearest negative.
"""

import math

import numpy as np
import pytest
import tensorflow as tf

from iris_tf.objectives.band_miner import mine_negatives
from iris_tf.objectives.distances import pairwise_distances
from iris_tf.objectives.triplet_loss import triplet_loss

ROWS = np.array(
    [
        [2, 3, 6], [6, -2, 3], [-3, 6, 2], [4, 4, 7],
        [-1, 8, 4], [8, 1, -4], [2, -9, 6], [6, 7, -6],
    ],
    float,
)  # fmt: skip
EMBEDDINGS = (ROWS / np.sqrt((ROWS**2).sum(1, keepdims=True))).astype(np.float32)
LABELS = np.array([0, 0, 0, 1, 1, 1, 2, 2])

# (metric, margin): (triplet_semihard_loss, triplet_hard_loss)
GOLDEN = {
    ("L2", 0.2): (0.13935300707817078, 1.2665579319000244),
    ("L2", 0.5): (0.39978981018066406, 1.5665578842163086),
    ("L2", 1.0): (0.8997898101806641, 2.0665578842163086),
    ("squared-L2", 0.2): (0.21884168684482574, 2.427022933959961),
    ("squared-L2", 0.5): (0.3787080943584442, 2.727022647857666),
    ("squared-L2", 1.0): (0.797846794128418, 3.227022647857666),
}


def exact_distance(i, j, metric):
    squared = 2 - 2 * ROWS[i] @ ROWS[j] / math.sqrt((ROWS[i] @ ROWS[i]) * (ROWS[j] @ ROWS[j]))
    return squared if metric == "squared-L2" else math.sqrt(squared)


def our_distances(metric):
    distances = pairwise_distances(EMBEDDINGS, EMBEDDINGS)
    return tf.square(distances) if metric == "squared-L2" else distances


def positive_pairs():
    n = range(len(LABELS))
    return [(a, p) for a in n for p in n if a != p and LABELS[a] == LABELS[p]]


def naive_semi_hard(metric, margin):
    losses = []
    for a, p in positive_pairs():
        d_ap = exact_distance(a, p, metric)
        negatives = [exact_distance(a, n, metric) for n in range(8) if LABELS[n] != LABELS[a]]
        farther = [d for d in negatives if d > d_ap]
        losses.append(max(d_ap - (min(farther) if farther else max(negatives)) + margin, 0.0))
    return sum(losses) / len(losses)


def naive_hard(metric, margin):
    losses = []
    for a in range(8):
        others = [(exact_distance(a, i, metric), LABELS[i]) for i in range(8) if i != a]
        d_ap = max(d for d, label in others if label == LABELS[a])
        d_an = min(d for d, label in others if label != LABELS[a])
        losses.append(max(d_ap - d_an + margin, 0.0))
    return sum(losses) / len(losses)


@pytest.mark.parametrize(("metric", "margin"), GOLDEN)
def test_naive_loops_agree_with_addons(metric, margin):
    found = naive_semi_hard(metric, margin), naive_hard(metric, margin)
    assert found == pytest.approx(GOLDEN[metric, margin], rel=1e-6)


@pytest.mark.parametrize(("metric", "margin"), GOLDEN)
def test_semi_hard(metric, margin):
    anchors, positives = np.array(positive_pairs()).T
    distances = tf.gather(our_distances(metric), anchors)
    d_ap = tf.gather(distances, positives, batch_dims=1)
    valid = LABELS[anchors][:, None] != LABELS[None, :]

    # All negatives beyond the positive, of which the keys take the nearest.
    beyond = mine_negatives(distances, d_ap, valid, 0.0, 9.0, random_keys=9.0 - distances)
    # An empty band and a fallback to all, of which the keys take the farthest.
    farthest = mine_negatives(distances, d_ap, valid, 9.0, 9.0, random_keys=distances, top_k=8)
    assert int(tf.reduce_sum(tf.cast(beyond.in_band, tf.int32))) == 10
    assert not np.any(farthest.in_band)

    chosen = tf.where(beyond.in_band, beyond.indices, farthest.indices)
    d_an = tf.gather(distances, chosen, batch_dims=1)
    expected, _ = GOLDEN[metric, margin]
    assert float(triplet_loss(d_ap, d_an, margin)) == pytest.approx(expected, abs=2e-6)


@pytest.mark.parametrize(("metric", "margin"), GOLDEN)
def test_hard(metric, margin):
    distances = our_distances(metric)
    same = LABELS[:, None] == LABELS[None, :]
    d_ap = tf.reduce_max(tf.where(same, distances, 0.0), axis=1)

    # An empty band and a fallback to the single hardest.
    mined = mine_negatives(distances, d_ap, ~same, 9.0, 9.0, tf.zeros_like(distances), top_k=1)
    d_an = tf.gather(distances, mined.indices, batch_dims=1)
    _, expected = GOLDEN[metric, margin]
    assert float(triplet_loss(d_ap, d_an, margin)) == pytest.approx(expected, abs=2e-6)
