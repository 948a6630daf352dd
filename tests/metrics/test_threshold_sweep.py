import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score, precision_score, recall_score

from iris_tf.metrics.plausible_rates import contradiction
from iris_tf.metrics.threshold_sweep import SWEEP, sweep_thresholds


def test_the_sweep_is_scikit_learn_s():
    rng = np.random.default_rng(1)
    genuine = rng.random(300) < 0.3
    scores = rng.normal(np.where(genuine, 0.6, 0.4), 0.15)
    found = sweep_thresholds(scores, genuine)
    assert (SWEEP[0], SWEEP[-1], len(SWEEP)) == (0.3, 0.7, 41)
    for name, function in (
        ("accuracy", accuracy_score), ("precision", precision_score),
        ("recall", recall_score), ("f1", f1_score),
    ):  # fmt: skip
        expected = [function(genuine, scores >= t) for t in SWEEP]
        np.testing.assert_allclose(found[name]["values"], expected)
        assert found[name]["best"] == pytest.approx(max(expected))
        assert found[name]["mean"] == pytest.approx(np.mean(expected))
        assert found[name]["best_threshold"] == SWEEP[int(np.argmax(expected))]


def test_nothing_is_accepted():
    found = sweep_thresholds(np.array([0.1, 0.2]), np.array([True, False]))
    assert (found["precision"]["best"], found["f1"]["best"]) == (0.0, 0.0)


def test_rates_that_contradict_each_other():
    # Printed by the hybrid paper, in per cent.
    assert "18.66 %" in contradiction(0.0087, 0.1833, 0.1866, 0.00005)
    assert contradiction(0.01, 0.05, 0.03) == ""
    assert contradiction(0.05, 0.01, 0.03) == ""
    assert contradiction(0.02, 0.02, 0.02) == ""
    assert contradiction(0.05, 0.03, 0.029)
    assert contradiction(0.05, 0.03, 0.02996, rounding=0.00005) == ""
