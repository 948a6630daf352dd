import numpy as np
import pytest

from iris_tf.matching.similarity import learned_size, paired_similarities, similarities
from iris_tf.tflite.phase_code_layout import PhaseCodeLayout

PHASE = PhaseCodeLayout(size=12, columns=6, turns=2)


def unit_rows(rng, n, size=15):
    rows = rng.normal(size=(n, size))
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def by_hand(a, b):
    """Scalar product of the first three, and the best of the others as 6 columns of 2."""
    best = -np.inf
    for turn in range(-2, 3):
        total = 0.0
        for column in range(6):
            for entry in range(2):
                total += a[3 + 2 * column + entry] * b[3 + 2 * ((column + turn) % 6) + entry]
        best = max(best, total)
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2] + best


def test_without_a_code_it_is_the_cosine():
    first, second = (unit_rows(np.random.default_rng(n), 4) for n in (1, 2))
    np.testing.assert_array_equal(similarities(first, second), first @ second.T)
    expected = np.diag(first @ second.T)
    np.testing.assert_allclose(paired_similarities(first, second), expected, atol=1e-12)


def test_a_code_is_compared_at_its_best_turn_as_a_naive_loop_does():
    first, second = (unit_rows(np.random.default_rng(n), n) for n in (4, 5))
    expected = [[by_hand(a, b) for b in second] for a in first]
    found = similarities(first, second, PHASE)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    np.testing.assert_allclose(similarities(second, first, PHASE).T, found, atol=1e-6)
    paired = paired_similarities(first, second[:4], PHASE)
    np.testing.assert_allclose(paired, np.diag(expected), atol=1e-12)
    assert learned_size(15, PHASE) == 3
    assert learned_size(15, None) == 15


def test_an_embedding_is_turned_to_fit_another():
    reference, stranger = unit_rows(np.random.default_rng(6), 2)
    for turn in range(-2, 3):
        turned = PHASE.turned(reference[None], turn)[0]
        np.testing.assert_allclose(PHASE.aligned(turned, reference), reference, atol=1e-12)
    expected = similarities(stranger[None], reference[None], PHASE)[0, 0]
    assert PHASE.aligned(stranger, reference) @ reference == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("values", [(12, 5, 1), (12, 6, 3), (12, 6, -1), (0, 1, 0), (12, 0, 0)])
def test_impossible_parts_are_refused(values):
    with pytest.raises(ValueError, match="columns"):
        PhaseCodeLayout(*values)
