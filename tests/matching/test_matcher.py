import dataclasses

import numpy as np
import pytest

from iris_tf.matching.matcher import Matcher
from iris_tf.tflite.model_card import ModelCard
from iris_tf.tflite.phase_code_layout import PhaseCodeLayout

LAYOUT = PhaseCodeLayout(size=12, columns=6, turns=2)
MATCHER = Matcher(LAYOUT)


def unit_rows(rng, n, size=15):
    rows = rng.normal(size=(n, size))
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def by_hand(a, b):
    """Scalar product of the first three, and the best of the others as 6 columns of 2."""
    best = -np.inf
    for shift in range(-2, 3):
        total = 0.0
        for column in range(6):
            for entry in range(2):
                total += a[3 + 2 * column + entry] * b[3 + 2 * ((column + shift) % 6) + entry]
        best = max(best, total)
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2] + best


def test_without_a_code_it_is_the_cosine():
    first, second = (unit_rows(np.random.default_rng(n), 4) for n in (1, 2))
    np.testing.assert_array_equal(Matcher().similarities(first, second), first @ second.T)
    expected = np.diag(first @ second.T)
    np.testing.assert_allclose(Matcher().paired_similarities(first, second), expected, atol=1e-12)


def test_a_code_is_compared_at_its_best_rotation_as_a_naive_loop_does():
    first, second = (unit_rows(np.random.default_rng(n), n) for n in (4, 5))
    expected = [[by_hand(a, b) for b in second] for a in first]
    found = MATCHER.similarities(first, second)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    np.testing.assert_allclose(MATCHER.similarities(second, first).T, found, atol=1e-6)
    paired = MATCHER.paired_similarities(first, second[:4])
    np.testing.assert_allclose(paired, np.diag(expected), atol=1e-12)


def test_embeddings_are_split_into_learned_component_and_phase_code():
    embeddings = np.arange(30.0).reshape(2, 15)
    for matcher, boundary in ((MATCHER, 3), (Matcher(), 15)):
        learned, codes = matcher.split(embeddings)
        np.testing.assert_array_equal(learned, embeddings[:, :boundary])
        np.testing.assert_array_equal(codes, embeddings[:, boundary:])
        assert matcher.code_size == codes.shape[1] == 15 - boundary


def test_an_embedding_is_aligned_to_another():
    reference, other = unit_rows(np.random.default_rng(6), 2)
    for columns in range(-2, 3):
        rotated = LAYOUT.rotate(reference[None], columns)[0]
        np.testing.assert_allclose(MATCHER.align(rotated, reference), reference, atol=1e-12)
    aligned = MATCHER.align(other, reference)
    assert aligned @ reference == pytest.approx(by_hand(other, reference), abs=1e-12)
    assert Matcher().align(other, reference) is other


def test_a_card_says_how_to_compare():
    facts = {name: {} for name in ("thresholds", "thresholds_from", "files")}
    card = ModelCard("m", "n", "unrolled", "network", (8, 8), 15, training_data="", **facts)
    assert Matcher.of_card(card) == Matcher()
    assert Matcher.of_card(dataclasses.replace(card, phase=LAYOUT)) == MATCHER


@pytest.mark.parametrize("values", [(12, 5, 1), (12, 6, 3), (12, 6, -1), (0, 1, 0), (12, 0, 0)])
def test_impossible_layouts_are_refused(values):
    with pytest.raises(ValueError, match="columns"):
        PhaseCodeLayout(*values)
