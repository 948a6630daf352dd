import numpy as np
import pytest
from sklearn.metrics import f1_score, roc_auc_score

from iris_tf.metrics.fold_accuracy import (
    accuracy_difference,
    best_threshold,
    fold_figures,
    mean_fold_figures,
)
from iris_tf.support.errors import EvaluationError


def test_best_threshold_by_hand():
    genuine = np.array([True, True, False, False])
    # Anything between 0.4 and 0.6 is right; halfway.
    assert best_threshold(np.array([0.9, 0.6, 0.4, 0.1]), genuine) == pytest.approx(0.5)
    # One is wrong anyway from 0.6 to 0.9 and from 0.1 to 0.4: the middle one of three.
    assert best_threshold(np.array([0.9, 0.4, 0.6, 0.1]), genuine) in (
        pytest.approx(0.75), pytest.approx(0.25),
    )  # fmt: skip
    # Rejecting everything is best if there are impostors only, accepting everything otherwise.
    assert best_threshold(np.array([0.3, 0.7]), np.array([False, False])) > 0.7
    assert best_threshold(np.array([0.3, 0.7]), np.array([True, True])) == 0.3


def test_equal_scores_are_decided_together():
    scores, genuine = np.array([0.5, 0.5, 0.5, 0.2]), np.array([True, True, False, False])
    assert best_threshold(scores, genuine) == pytest.approx(0.35)


def test_folds_by_hand():
    # Fold 0: genuine 0.9, 0.5, impostors 0.4, 0.1. Fold 1: 0.8, 0.3 and 0.2, 0.0.
    # Fold 2: 0.7, 0.6 and 0.65, 0.05.
    scores = np.array([0.9, 0.5, 0.4, 0.1, 0.8, 0.3, 0.2, 0.0, 0.7, 0.6, 0.65, 0.05])
    genuine = np.tile([True, True, False, False], 3)
    folds = np.repeat([0, 1, 2], 4)
    found = fold_figures(scores, genuine, folds)
    # For fold 0, on folds 1 and 2: 0.25 accepts all genuine and one impostor, 7 of 8; no other
    # is as good. Fold 0 at 0.25: 0.4 is accepted, 3 of 4.
    # For fold 1, on folds 0 and 2: 0.45 accepts all genuine and 0.65, 7 of 8. Fold 1 at 0.45:
    # 0.3 is rejected, 3 of 4.
    # For fold 2, on folds 0 and 1: 0.25 (wrong: 0.4) and 0.45 (wrong: 0.3), 7 of 8 each. Of the
    # two, the later, 0.45. Fold 2 at 0.45: 0.65 is accepted, 3 of 4.
    assert found.thresholds == pytest.approx([0.25, 0.45, 0.45])
    assert found.accuracies == [0.75, 0.75, 0.75]
    assert (found.accuracy, found.standard_error) == (0.75, 0.0)
    assert found.far == pytest.approx((0.5 + 0 + 0.5) / 3)
    assert found.frr == pytest.approx((0 + 0.5 + 0) / 3)
    # Accepted, of which genuine: 3, 2; 1, 1; 3, 2. F1 = 2 TP / (accepted + 2 genuine).
    assert found.f1 == pytest.approx((4 / 5 + 2 / 3 + 4 / 5) / 3)


def test_mean_of_trainings_and_difference_by_hand():
    genuine, folds = np.tile([True, False], 4), np.repeat([0, 1], 4)
    # Right in all; in fold 0 one impostor is accepted at fold 1's threshold; the same in fold 1.
    right = fold_figures(np.array([0.9, 0.1] * 4), genuine, folds)
    one = fold_figures(np.array([0.9, 0.1, 0.9, 0.8] + [0.9, 0.1] * 2), genuine, folds)
    both = mean_fold_figures([right, one])
    assert right.accuracies == [1.0, 1.0]
    assert one.accuracies == [0.75, 1.0]
    assert both.accuracies == [0.875, 1.0]
    assert both.accuracy == 0.9375
    assert both.standard_error == pytest.approx(0.125 / 2)
    assert (both.far, both.frr) == (0.125, 0.0)
    # Differences of -0.25 and 0: mean -0.125, standard deviation 0.25 / sqrt(2).
    assert accuracy_difference(right, one) == pytest.approx((-0.125, 0.125))
    assert accuracy_difference(right, both) == pytest.approx((-0.0625, 0.0625))


def test_f1_is_scikit_learns():
    rng = np.random.default_rng(3)
    scores, genuine, folds = rng.random(300), rng.random(300) < 0.3, np.arange(300) % 3
    scores[genuine] += 0.3
    found = fold_figures(scores, genuine, folds)
    expected = [
        f1_score(genuine[folds == k], scores[folds == k] >= found.thresholds[k]) for k in range(3)
    ]
    assert found.f1 == pytest.approx(np.mean(expected))


def test_standard_error_by_hand():
    # Perfect in folds 0 and 1; in fold 2 all is upside down.
    scores = np.array([0.9, 0.1, 0.9, 0.1, 0.1, 0.9])
    genuine, folds = np.tile([True, False], 3), np.repeat([0, 1, 2], 2)
    found = fold_figures(scores, genuine, folds)
    assert found.accuracies[2] == 0.0
    a = np.array(found.accuracies)
    expected = np.sqrt(((a - a.mean()) ** 2).sum() / 2) / np.sqrt(3)
    assert found.standard_error == pytest.approx(expected)


def test_the_area_is_scikit_learn_s():
    rng = np.random.default_rng(0)
    scores, genuine = rng.integers(0, 30, 500) / 30.0, rng.random(500) < 0.4
    scores[genuine] += 0.2
    found = fold_figures(scores, genuine, np.arange(500) % 10)
    assert found.auc == pytest.approx(roc_auc_score(genuine, scores))


def test_folds_that_cannot_be_evaluated():
    with pytest.raises(EvaluationError, match="all of one fold"):
        fold_figures(np.array([0.1, 0.2]), np.array([True, False]), np.array([1, 1]))
    with pytest.raises(EvaluationError, match="Fold 2 has no impostor"):
        fold_figures(np.array([0.1, 0.2, 0.3]), np.array([True, False, True]), np.array([1, 1, 2]))
