import dataclasses

import numpy as np
import pytest
from sklearn.metrics.pairwise import cosine_similarity

from iris_tf.config.names import PROTOCOLS
from iris_tf.data.manifest import ManifestRow
from iris_tf.metrics.scores import check_embeddings, label_images, similarity_blocks
from iris_tf.support.errors import EvaluationError


def test_similarity_is_scikit_learn_s_cosine(population):
    embeddings, _ = population(6, 4)
    matrix = np.concatenate([block for _, block in similarity_blocks(embeddings)])
    np.testing.assert_allclose(matrix, cosine_similarity(embeddings.astype(float)), atol=1e-7)


def test_cosine_and_euclidean_rank_alike(population):
    embeddings, _ = population(5, 4)
    matrix = np.concatenate([block for _, block in similarity_blocks(embeddings)])
    first, second = np.triu_indices(len(matrix), 1)
    unit = embeddings.astype(float)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    distance = np.linalg.norm(unit[first] - unit[second], axis=1)
    cosine = matrix[first, second]
    np.testing.assert_allclose(distance**2, 2 - 2 * cosine, atol=1e-6)
    by_distance, by_cosine = np.argsort(distance), np.argsort(-cosine, kind="stable")
    np.testing.assert_allclose(cosine[by_distance], cosine[by_cosine], atol=1e-6)


def test_equal_images_have_equal_scores_everywhere():
    vector = np.random.default_rng(0).normal(size=33)
    vector /= np.linalg.norm(vector)
    for _, block in similarity_blocks(np.tile(vector, (300, 1)).astype(np.float32)):
        assert set(block.ravel()) == {np.float32(1.0)}


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_not_finite(population, value):
    embeddings, rows = population(2, 2)
    embeddings[3, 1] = value
    with pytest.raises(EvaluationError, match=r"1 of 8 embeddings hold NaN or infinite.* 3 "):
        check_embeddings(embeddings, len(rows))


@pytest.mark.parametrize("factor", [0.0, 0.5, 1.02])
def test_not_unit(population, factor):
    embeddings, rows = population(2, 2)
    embeddings[5] *= factor
    with pytest.raises(EvaluationError, match=r"1 of 8 embeddings are not of unit length.* 5 "):
        check_embeddings(embeddings, len(rows))


def test_slightly_long_vectors_are_brought_to_unit_length(population):
    embeddings, _ = population(3, 2)
    [(_, expected)] = similarity_blocks(embeddings)
    [(_, found)] = similarity_blocks(embeddings * np.float32(1.005))
    np.testing.assert_allclose(found, expected, atol=2e-7)


@pytest.mark.parametrize("shape", [(7, 4), (8,), (8, 2, 2)])
def test_other_shape(shape):
    with pytest.raises(EvaluationError, match="do not belong to 8 images"):
        check_embeddings(np.ones(shape), 8)


def test_no_images():
    with pytest.raises(EvaluationError, match="no image to evaluate"):
        label_images([])


def test_labels_keep_datasets_apart():
    rows = [
        ManifestRow("a", "one", "1", "L", "1-L", "0"),
        ManifestRow("b", "two", "1", "L", "1-L", "0"),
        ManifestRow("c", "one", "1", "R", "1-R", "0"),
    ]
    labels = label_images(rows)
    assert labels.subject.tolist() == [0, 1, 0]
    assert labels.identity.tolist() == [0, 1, 2]
    assert (labels.subjects, labels.identities) == (2, 3)


def test_an_identity_of_two_persons():
    rows = [ManifestRow("a", "one", "1", "L", "x", "0"), ManifestRow("b", "one", "2", "L", "x", "")]
    with pytest.raises(
        EvaluationError, match=r"identity 'x' of one belongs to the subjects '1' and '2'; correct"
    ):
        label_images(rows)
    with pytest.raises(EvaluationError, match=r"subjects '1' and 'a\\nb'; correct"):
        label_images([rows[0], dataclasses.replace(rows[1], subject="a\nb")])


def test_who_is_compared():
    rows = [
        ManifestRow(str(i), dataset, "1", eye, f"1-{eye}", "0")
        for i, (dataset, eye) in enumerate([("a", "L"), ("a", "R"), ("b", "L"), ("a", "L")])
    ]
    compared = {}
    for protocol in PROTOCOLS:
        group = label_images(rows, protocol).group
        compared[protocol] = {(i, j) for j in range(4) for i in range(j) if group[i] == group[j]}
    assert compared == {
        "all-pairs": {(0, 1), (0, 3), (1, 3)},
        "same-eye": {(0, 3)},
        "across-datasets": {(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)},
    }
