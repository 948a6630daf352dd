import numpy as np
import pytest

from iris_tf.metrics.unlinkability import unlinkability
from iris_tf.support.errors import EvaluationError


def test_two_intervals_by_hand():
    # Of mated scores, 3 of 4 lie in the upper half of all; of non-mated ones, 1 of 4.
    mated, non_mated = [5, 6, 7, 1], [2, 3, 4, 8]
    found = unlinkability(mated, non_mated, bins=2)
    # r = 3 above and 1/3 below: D = 2 * 3 / 4 - 1 = 1/2 above, 0 below; D_sys = 1/2 * 3/4.
    np.testing.assert_allclose(found.local, [0.0, 0.5])
    assert found.overall == pytest.approx(0.375)
    # The order of scores does not matter, only how well they tell.
    turned = unlinkability(-np.array(mated), -np.array(non_mated), bins=2)
    assert turned.overall == pytest.approx(0.375)


def test_both_kinds_count_alike_however_many_there_are():
    mated, non_mated = [5, 6, 7, 1], [2, 3, 4, 8] * 30
    found = unlinkability(mated, non_mated, bins=2)
    assert found.overall == pytest.approx(0.375)
    # All of 1 % of the scores are mated and above the others, so the highest half is theirs.
    assert unlinkability(np.arange(40.0) + 4000, np.arange(4000.0)).overall == 1.0


def test_equal_scores_are_one_interval():
    # 0 and 1 only: shares 1/4, 3/4 of mated and 3/4, 1/4 of non-mated scores.
    found = unlinkability([1, 1, 1, 0] * 10, [0, 0, 0, 1] * 10)
    np.testing.assert_array_equal(found.least, [0, 1])
    np.testing.assert_allclose(found.local, [0.0, 0.5])
    assert found.overall == pytest.approx(0.375)


def test_what_tells_nothing_and_what_tells_all():
    same = np.arange(400.0)
    assert unlinkability(same, same).overall == 0.0
    assert unlinkability(np.full(50, 0.3), np.full(70, 0.3)).overall == 0.0
    assert unlinkability(same + 400, same).overall == 1.0


def test_chance_is_what_random_scores_give():
    rng = np.random.default_rng(0)
    found = unlinkability(rng.normal(size=500), rng.normal(size=20_000))
    assert 0.0 < found.chance < 0.06
    assert found.overall == pytest.approx(found.chance, abs=0.03)


def test_two_normal_densities_as_by_integration():
    rng = np.random.default_rng(1)
    found = unlinkability(rng.normal(1.0, 1.0, 200_000), rng.normal(0.0, 1.0, 200_000), bins=100)
    # Integral of p max(p - q, 0) / (p + q) by the trapezoidal rule.
    x = np.linspace(-8.0, 9.0, 20_001)
    p, q = np.exp(-((x - 1) ** 2) / 2), np.exp(-(x**2) / 2)
    integrand = p * np.maximum(p - q, 0) / (p + q) / np.sqrt(2 * np.pi)
    expected = float(((integrand[1:] + integrand[:-1]) / 2).sum() * (x[1] - x[0]))
    assert found.overall == pytest.approx(expected, abs=0.005)
    assert (np.diff(found.least) > 0).all()


def test_too_few_or_infinite_scores():
    with pytest.raises(EvaluationError, match="too few for 20 intervals"):
        unlinkability(np.arange(19.0), np.arange(100.0))
    with pytest.raises(EvaluationError, match="not finite"):
        unlinkability(np.full(30, -np.inf), np.arange(100.0))
