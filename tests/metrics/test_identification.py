import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier

from iris_tf.metrics import scores as scores_module
from iris_tf.metrics.identification import closed_set_ranks, cmc
from iris_tf.metrics.scores import label_images, similarity_blocks
from iris_tf.support.errors import EvaluationError


def naive_ranks(embeddings, rows):
    """(probe, rank) by a loop over probes and identities."""
    identities = sorted({row.identity for row in rows})
    outcome = []
    for probe, row in enumerate(rows):
        best = {}
        for other, other_row in enumerate(rows):
            if other != probe:
                score = np.float32(
                    embeddings[probe].astype(float)
                    @ embeddings[other].astype(float)
                    / np.linalg.norm(embeddings[probe].astype(float))
                    / np.linalg.norm(embeddings[other].astype(float))
                )
                best[other_row.identity] = max(best.get(other_row.identity, -2), score)
        if row.identity in best:
            ahead = [
                i
                for i in identities
                if i != row.identity and i in best and best[i] >= best[row.identity]
            ]
            outcome.append((probe, 1 + len(ahead)))
    return outcome


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("floats", [40, 1 << 22])
def test_ranks_equal_a_loop(population, monkeypatch, seed, floats):
    embeddings, rows = population(6, 3, noise=2.0, seed=seed)
    embeddings, rows = embeddings[:-7], rows[:-7]  # some identities are left with one image or none
    monkeypatch.setattr(scores_module, "_FLOATS_PER_BLOCK", floats)
    found = closed_set_ranks(similarity_blocks(embeddings), label_images(rows))
    assert list(zip(found.probes.tolist(), found.ranks.tolist(), strict=True)) == naive_ranks(
        embeddings, rows
    )


def test_rank_one_is_the_nearest_neighbour_classifier(population):
    embeddings, rows = population(8, 4, noise=1.5)
    identity = label_images(rows).identity
    hits = 0
    for probe in range(len(rows)):
        rest = np.delete(np.arange(len(rows)), probe)
        model = KNeighborsClassifier(1, metric="cosine").fit(embeddings[rest], identity[rest])
        hits += model.predict(embeddings[probe : probe + 1])[0] == identity[probe]
    found = cmc(closed_set_ranks(similarity_blocks(embeddings), label_images(rows)).ranks, 1)[0]
    assert found == pytest.approx(hits / len(rows))


def test_by_hand(rows_of):
    # In the plane, by angle in degrees: a 0 and 40, b 10 and 90, c 200 (no mate: no probe).
    angles = np.radians([0, 40, 10, 90, 200])
    embeddings = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    rows = rows_of([("a", "L"), ("a", "L"), ("b", "L"), ("b", "L"), ("c", "L")])
    found = closed_set_ranks(similarity_blocks(embeddings), label_images(rows))
    assert found.probes.tolist() == [0, 1, 2, 3]
    # a0: mate 40 away, b 10 away -> 2. a40: mate 40, b 30 -> 2. b10: mate 80, a 10 -> 2.
    # b90: mate 80, a 50, c 110 -> 2.
    assert found.ranks.tolist() == [2, 2, 2, 2]
    np.testing.assert_array_equal(cmc(found.ranks, 3), [0.0, 1.0, 1.0])


def test_ties_count_against_the_system(rows_of):
    rows = rows_of([("a", "L"), ("a", "L"), ("a", "R"), ("a", "R"), ("b", "L")])
    found = closed_set_ranks(similarity_blocks(np.tile([1.0, 0.0], (5, 1))), label_images(rows))
    assert found.ranks.tolist() == [3, 3, 3, 3]


def test_cmc_counts():
    np.testing.assert_allclose(cmc(np.array([1, 3, 3, 9]), 5), [0.25, 0.25, 0.75, 0.75, 0.75])


def test_nobody_has_two_images(rows_of):
    labels = label_images(rows_of([("a", "L"), ("b", "L")]))
    with pytest.raises(EvaluationError, match="none of the 2 identities has two images"):
        closed_set_ranks(similarity_blocks(np.eye(2)), labels)
