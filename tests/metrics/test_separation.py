import dataclasses
import tracemalloc

import numpy as np
import pytest

from iris_tf.metrics import comparison_sets
from iris_tf.metrics import scores as scores_module
from iris_tf.metrics.bootstrap import subject_weights
from iris_tf.metrics.comparison_sets import AllPairs, ListedPairs
from iris_tf.metrics.counts import Comparisons, Pairs, count_scores
from iris_tf.metrics.scales import SIMILARITIES
from iris_tf.metrics.scores import label_images, similarity_blocks
from iris_tf.metrics.separation import resample_d_prime


def resample(embeddings, labels, weights):
    def blocks():
        return similarity_blocks(embeddings)

    return resample_d_prime(AllPairs(labels, count_scores(blocks(), labels), blocks), weights)


def one_by_one(embeddings, labels, drawn):
    """d' of a resample, each image of each copy of a person compared one by one."""
    matrix = SIMILARITIES.rounded(
        (embeddings.astype(float) @ embeddings.T.astype(float)).astype(np.float32)
    )
    images = [
        (person, copy, i)
        for person, count in enumerate(drawn)
        for copy in range(count)
        for i in np.flatnonzero(labels.subject == person)
    ]
    scores = {True: [], False: []}
    for first, (p, c, i) in enumerate(images):
        for q, d, j in images[first + 1 :]:
            if (p != q or c == d) and labels.group[i] == labels.group[j]:
                scores[labels.identity[i] == labels.identity[j]].append(matrix[i, j])
    if not (scores[True] and scores[False]):
        return np.nan
    spread = np.sqrt((np.var(scores[True]) + np.var(scores[False])) / 2)
    return (np.mean(scores[True]) - np.mean(scores[False])) / spread


@pytest.mark.parametrize("floats", [1, 1 << 21])
@pytest.mark.parametrize("protocol", ["all-pairs", "same-eye"])
def test_equals_resampling_one_by_one(population, monkeypatch, protocol, floats):
    monkeypatch.setattr(comparison_sets, "_FLOATS_AT_ONCE", floats)
    embeddings, rows = population(6, 3, size=4)
    embeddings, rows = embeddings[:-4], rows[:-4]  # persons differ in number of images
    embeddings /= np.linalg.norm(embeddings.astype(float), axis=1, keepdims=True)
    labels = label_images(rows, protocol)
    weights = subject_weights(6, 20, seed=4)
    found = resample(embeddings, labels, weights)
    wanted = [one_by_one(embeddings, labels, drawn) for drawn in weights]
    np.testing.assert_allclose(found, wanted, rtol=1e-5)  # a score may round the other way


def test_memory_does_not_grow_with_pairs_of_persons(rows_of, monkeypatch):
    persons = 1200
    embeddings = np.sign(np.random.default_rng(0).normal(size=(2 * persons, 4))) / 2  # few scores
    labels = label_images(rows_of([(f"p{i // 2}", "L") for i in range(2 * persons)]))
    weights = subject_weights(persons, 5, seed=0)
    monkeypatch.setattr(comparison_sets, "_FLOATS_AT_ONCE", 1 << 16)
    monkeypatch.setattr(scores_module, "_FLOATS_PER_BLOCK", 1 << 17)

    def blocks():
        return similarity_blocks(embeddings)

    compared = AllPairs(labels, count_scores(blocks(), labels), blocks)
    tracemalloc.start()
    found = resample_d_prime(compared, weights)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert np.isfinite(found).all()
    assert peak < 8 * persons**2  # one number for each pair of persons


def test_datasets_apart(population):
    embeddings, rows = population(6, 3, size=4)
    rows = [dataclasses.replace(row, dataset=f"of {row.subject in ('p1', 'p3')}") for row in rows]
    labels = label_images(rows)
    weights = subject_weights(6, 10, seed=4)
    wanted = [one_by_one(embeddings, labels, drawn) for drawn in weights]
    np.testing.assert_allclose(resample(embeddings, labels, weights), wanted, rtol=1e-5)


def test_listed_pairs(population):
    embeddings, rows = population(5, 3, size=4)
    labels = label_images(rows)
    weights = subject_weights(5, 20, seed=4)
    first, second = np.triu_indices(len(rows), 1)
    matrix = np.clip(embeddings.astype(float) @ embeddings.T.astype(float), -1, 1)
    pairs = Pairs(SIMILARITIES.keys(matrix[first, second].astype(np.float32)), first, second)
    same = labels.identity[first] == labels.identity[second]
    counts = count_scores(similarity_blocks(embeddings), labels).counts
    comparisons = Comparisons(counts, pairs[same], pairs[~same][:0])
    found = resample_d_prime(ListedPairs(labels, comparisons, pairs[~same]), weights)
    wanted = [one_by_one(embeddings, labels, drawn) for drawn in weights]
    np.testing.assert_allclose(found, wanted, rtol=1e-5)


def test_scores_that_do_not_vary_have_no_d_prime(rows_of):
    rows = rows_of([(f"p{i // 4}", "LR"[i % 2]) for i in range(16)])
    eye = np.arange(16) // 4 * 2 + np.arange(16) % 2
    weights = subject_weights(4, 10, seed=0)
    # Unit vectors along axes: each genuine score is 1, each impostor score 0.
    assert np.isnan(resample(np.eye(8)[eye], label_images(rows), weights)).all()
    assert np.isnan(resample(np.tile([0.6, 0.8], (16, 1)), label_images(rows), weights)).all()


def test_a_resample_without_a_kind_of_comparison_is_nan(rows_of):
    labels = label_images(rows_of([("a", "L"), ("a", "L"), ("b", "L")]))
    embeddings = np.array([[1, 0], [0.6, 0.8], [0, 1.0]])
    found = resample(embeddings, labels, np.array([[2, 0], [0, 2], [1, 1]]))
    assert np.isnan(found).tolist() == [True, True, False]
    # Genuine 0.6; impostors 0 and 0.8: (0.6 - 0.4) / sqrt(0.16 / 2)
    assert found[2] == pytest.approx(0.2 / np.sqrt(0.08), rel=1e-5)
