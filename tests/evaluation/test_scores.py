import numpy as np
import pytest
from sklearn.metrics.pairwise import cosine_similarity

from iris_tf.datasets.manifest import ManifestRow
from iris_tf.errors import EvaluationError
from iris_tf.evaluation import scores as scores_module
from iris_tf.evaluation.scores import all_pairs, check_embeddings, label_images, similarity_blocks


def test_pairs_equal_a_double_loop(population):
    embeddings, rows = population(4, 3)
    found = all_pairs(embeddings, label_images(rows))
    expected = {True: {}, False: {}}
    for i in range(len(rows)):
        for j in range(i + 1, len(rows)):
            similarity = sum(float(x) * float(y) for x, y in zip(embeddings[i], embeddings[j],
                                                                 strict=True))
            expected[rows[i].identity == rows[j].identity][i, j] = similarity
    for kind, values, pairs in ((True, found.genuine, found.genuine_pairs),
                                (False, found.impostor, found.impostor_pairs)):
        assert len(values) == len(expected[kind])
        for value, pair in zip(values, pairs.tolist(), strict=True):
            assert value == pytest.approx(expected[kind][tuple(pair)], abs=1e-6)
    # 8 eyes of 3 images: 8 * 3 genuine pairs out of 24 * 23 / 2.
    assert (len(found.genuine), len(found.impostor)) == (24, 276 - 24)


def test_the_other_eye_of_a_person_is_an_impostor(rows_of):
    rows = rows_of([("a", "L"), ("a", "L"), ("a", "R")])
    found = all_pairs(np.eye(3), label_images(rows))
    assert found.genuine_pairs.tolist() == [[0, 1]]
    assert found.impostor_pairs.tolist() == [[0, 2], [1, 2]]


@pytest.mark.parametrize("block", [1, 7, 1000])
def test_block_size_does_not_matter(population, monkeypatch, block):
    embeddings, rows = population(5, 3, size=4)
    labels = label_images(rows)
    whole = all_pairs(embeddings, labels)
    monkeypatch.setattr(scores_module, "_FLOATS_PER_BLOCK", block * len(rows))
    blocked = all_pairs(embeddings, labels)
    order = np.lexsort(blocked.impostor_pairs.T[::-1])
    np.testing.assert_array_equal(blocked.impostor[order], whole.impostor)
    np.testing.assert_array_equal(np.sort(blocked.genuine), np.sort(whole.genuine))


def test_similarity_is_scikit_learn_s_cosine(population):
    embeddings, _ = population(6, 4)
    matrix = np.concatenate([block for _, block in similarity_blocks(embeddings)])
    np.testing.assert_allclose(matrix, cosine_similarity(embeddings.astype(float)), atol=1e-7)


def test_cosine_and_euclidean_rank_alike(population):
    embeddings, rows = population(5, 4)
    found = all_pairs(embeddings, label_images(rows))
    first, second = found.impostor_pairs.T
    unit = embeddings.astype(float)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    squared = ((unit[first] - unit[second]) ** 2).sum(axis=1)
    np.testing.assert_allclose(squared, 2 - 2 * found.impostor, atol=1e-6)


def test_equal_images_have_equal_scores_everywhere(rows_of):
    vector = np.random.default_rng(0).normal(size=33)
    vector /= np.linalg.norm(vector)
    rows = rows_of([(f"p{i // 2}", "L") for i in range(300)])
    found = all_pairs(np.tile(vector, (300, 1)).astype(np.float32), label_images(rows))
    assert set(found.genuine) == set(found.impostor) == {np.float32(1.0)}


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_not_finite(population, value):
    embeddings, rows = population(2, 2)
    embeddings[3, 1] = value
    with pytest.raises(EvaluationError, match=r"1 of 8 embeddings hold NaN or infinite.* 3 "):
        all_pairs(embeddings, label_images(rows))


@pytest.mark.parametrize("factor", [0.0, 0.5, 1.02])
def test_not_unit(population, factor):
    embeddings, rows = population(2, 2)
    embeddings[5] *= factor
    with pytest.raises(EvaluationError, match=r"1 of 8 embeddings are not of unit length.* 5 "):
        all_pairs(embeddings, label_images(rows))


def test_slightly_long_vectors_are_brought_to_unit_length(population):
    embeddings, rows = population(3, 2)
    labels = label_images(rows)
    expected = all_pairs(embeddings, labels)
    found = all_pairs(embeddings * np.float32(1.005), labels)
    np.testing.assert_allclose(found.impostor, expected.impostor, atol=2e-7)


@pytest.mark.parametrize("shape", [(7, 4), (8,), (8, 2, 2)])
def test_other_shape(shape):
    with pytest.raises(EvaluationError, match="do not belong to 8 images"):
        check_embeddings(np.ones(shape), 8)


@pytest.mark.parametrize(
    ("identities", "counts"),
    [
        ([("a", "L"), ("b", "L"), ("c", "L")], "3 identities give 0 genuine and 3 impostor"),
        ([("a", "L")] * 4, "1 identities give 6 genuine and 0 impostor"),
        ([("a", "L")], "1 identities give 0 genuine and 0 impostor"),
    ],
)
def test_one_kind_of_comparison_only(rows_of, identities, counts):
    with pytest.raises(EvaluationError, match=counts):
        all_pairs(np.eye(8)[:len(identities)], label_images(rows_of(identities)))


def test_no_images():
    with pytest.raises(EvaluationError, match="no image to evaluate"):
        label_images([])


def test_labels_keep_datasets_apart():
    rows = [ManifestRow("a", "one", "1", "L", "1-L", "0"), ManifestRow("b", "two", "1", "L", "1-L",
            "0"), ManifestRow("c", "one", "1", "R", "1-R", "0")]
    labels = label_images(rows)
    assert labels.person.tolist() == [0, 1, 0]
    assert labels.identity.tolist() == [0, 1, 2]
    assert (labels.persons, labels.identities) == (2, 3)


def test_an_identity_of_two_persons():
    rows = [ManifestRow("a", "one", "1", "L", "x", "0"), ManifestRow("b", "one", "2", "L", "x", "")]
    with pytest.raises(EvaluationError, match=r"identity x of one is given to the subjects 1 and"):
        label_images(rows)
