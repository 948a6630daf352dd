from itertools import pairwise

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import roc_auc_score, roc_curve

from iris_tf.metrics.scales import SIMILARITIES
from iris_tf.metrics.verification import (
    area_under_roc,
    d_prime,
    equal_error_rate,
    error_curve,
    verification_rate,
)
from iris_tf.support.errors import EvaluationError


def draw(seed):
    """Scores on a coarse grid for odd seeds, so that there are many ties."""
    rng = np.random.default_rng(seed)
    genuine = rng.normal(1.0, 1.0, rng.integers(2, 60))
    impostor = rng.normal(0.0, 1.0, rng.integers(2, 300))
    if seed % 2:
        genuine, impostor = np.round(genuine * 2) / 2, np.round(impostor * 2) / 2
    return genuine.astype(np.float32), impostor.astype(np.float32)


def sklearn_roc(genuine, impostor):
    truth = np.r_[np.ones(len(genuine)), np.zeros(len(impostor))]
    return roc_curve(truth, np.r_[genuine, impostor], drop_intermediate=False)


def sklearn_eer(genuine, impostor):
    """Walk along scikit-learn's ROC to where it meets the line TPR = 1 - FPR."""
    fpr, tpr, _ = sklearn_roc(genuine, impostor)
    for (x0, y0), (x1, y1) in pairwise(zip(fpr, tpr, strict=True)):
        if x1 + y1 >= 1:
            # x0 + s (x1 - x0) + y0 + s (y1 - y0) = 1
            return x0 + (1 - x0 - y0) / (x1 - x0 + y1 - y0) * (x1 - x0)
    raise AssertionError("the curve ends at (1, 1)")


@pytest.mark.parametrize("seed", range(20))
def test_curve_is_scikit_learn_s_roc(seed):
    genuine, impostor = draw(seed)
    fpr, tpr, thresholds = sklearn_roc(genuine, impostor)
    curve = error_curve(genuine, impostor)
    np.testing.assert_allclose(curve.fmr, fpr)
    np.testing.assert_allclose(curve.fnmr, 1 - tpr)
    np.testing.assert_allclose(curve.thresholds, thresholds)


@pytest.mark.parametrize("seed", range(40))
def test_eer_is_the_crossing_of_scikit_learn_s_roc(seed):
    genuine, impostor = draw(seed)
    assert equal_error_rate(genuine, impostor).rate == pytest.approx(sklearn_eer(genuine, impostor))


@pytest.mark.parametrize("seed", range(20))
def test_eer_threshold_has_the_least_gap_of_all(seed):
    genuine, impostor = draw(seed)
    gap = [
        abs((impostor >= t).mean() - (genuine < t).mean()) for t in [*genuine, *impostor, np.inf]
    ]
    t = np.float32(equal_error_rate(genuine, impostor).threshold)
    assert abs((impostor >= t).mean() - (genuine < t).mean()) == pytest.approx(min(gap))


@pytest.mark.parametrize("far", [0.001, 0.01, 0.07, 0.29, 0.5, 0.999])
@pytest.mark.parametrize("seed", range(20))
def test_verification_rate_is_the_best_of_all_allowed_thresholds(seed, far):
    genuine, impostor = draw(seed)
    allowed = [t for t in [*genuine, *impostor, np.inf] if (impostor >= t).mean() <= far]
    best = max((genuine >= t).mean() for t in allowed)
    point = verification_rate(genuine, impostor, far)
    assert point.rate == pytest.approx(best)
    assert (impostor >= np.float32(point.threshold)).mean() <= far
    assert (genuine >= np.float32(point.threshold)).mean() == pytest.approx(best)
    fpr, tpr, _ = sklearn_roc(genuine, impostor)
    assert point.rate == pytest.approx(tpr[fpr <= far].max())


def test_eer_of_two_gaussians_is_phi_of_minus_half_d_prime():
    rng = np.random.default_rng(0)
    for distance in (1.0, 2.0, 4.0):
        genuine = rng.normal(distance - 0.7, 1, 200_000)
        impostor = rng.normal(-0.7, 1, 200_000)
        assert d_prime(genuine, impostor) == pytest.approx(distance, abs=0.02)
        expected = norm.cdf(-distance / 2)
        assert equal_error_rate(genuine, impostor).rate == pytest.approx(expected, abs=0.003)
        # VR at FAR f = 1 - Phi(Phi^-1(1 - f) - d')
        expected = 1 - norm.cdf(norm.ppf(0.99) - distance)
        assert verification_rate(genuine, impostor, 0.01).rate == pytest.approx(expected, abs=0.01)
        expected = norm.cdf(distance / np.sqrt(2))
        assert area_under_roc(error_curve(genuine, impostor)) == pytest.approx(expected, abs=0.003)


@pytest.mark.parametrize("seed", range(20))
def test_area_is_scikit_learn_s(seed):
    genuine, impostor = draw(seed)
    truth = np.r_[np.ones(len(genuine)), np.zeros(len(impostor))]
    expected = roc_auc_score(truth, np.r_[genuine, impostor])
    assert area_under_roc(error_curve(genuine, impostor)) == pytest.approx(expected)


def test_by_hand():
    # Thresholds falling: (FMR, FNMR) = (0, 1), 0.9: (0, 2/3), 0.8: (1/4, 2/3), 0.7: (1/4, 1/3),
    # 0.6: (2/4, 1/3), ... The line from (1/4, 1/3) to (1/2, 1/3) meets FMR = FNMR at 1/3.
    genuine, impostor = np.array([0.9, 0.7, 0.5]), np.array([0.8, 0.6, 0.2, 0.1])
    point = equal_error_rate(genuine, impostor)
    assert point.rate == pytest.approx(1 / 3)
    assert 0.6 < point.threshold <= 0.7  # gap 1/12 there, 1/6 at the next
    assert verification_rate(genuine, impostor, 0.25).rate == pytest.approx(2 / 3)
    assert verification_rate(genuine, impostor, 0.24).rate == pytest.approx(1 / 3)
    # Of 12 pairs genuine wins 4 (0.9), 3 (0.7), 2 (0.5).
    assert area_under_roc(error_curve(genuine, impostor)) == pytest.approx(9 / 12)


def test_perfect_separation():
    genuine, impostor = np.array([0.8, 0.9]), np.array([0.2, 0.1, 0.0])
    assert equal_error_rate(genuine, impostor).rate == 0.0
    assert equal_error_rate(genuine, impostor).threshold == pytest.approx(0.5)
    assert verification_rate(genuine, impostor, 0.01).rate == 1.0
    assert verification_rate(genuine, impostor, 0.01).threshold == pytest.approx(0.5)


def test_everything_the_wrong_way_round():
    genuine, impostor = np.array([0.1, 0.2]), np.array([0.8, 0.9])
    assert equal_error_rate(genuine, impostor).rate == 1.0
    assert verification_rate(genuine, impostor, 0.01).rate == 0.0


def test_constant_scores():
    genuine, impostor = np.full(5, 0.3, np.float32), np.full(90, 0.3, np.float32)
    point = equal_error_rate(genuine, impostor)
    assert point.rate == 0.5
    assert point.threshold > np.float32(0.3)  # the stricter of two equal gaps
    assert verification_rate(genuine, impostor, 0.01).rate == 0.0
    assert area_under_roc(error_curve(genuine, impostor)) == 0.5
    assert d_prime(genuine, impostor) is None


@pytest.mark.parametrize(("score", "eer"), [(0.95, 0.0), (0.5, 0.5), (0.05, 1.0)])
def test_one_genuine_comparison(score, eer):
    impostor = np.array([0.1, 0.9, 0.2, 0.8])
    assert equal_error_rate(np.array([score]), impostor).rate == pytest.approx(eer)


def test_too_few_impostors_for_the_rate_accept_none():
    genuine, impostor = np.linspace(0, 1, 11), np.array([0.55, 0.1])
    point = verification_rate(genuine, impostor, 0.01)
    assert point.rate == pytest.approx(5 / 11)  # 0.6 ... 1.0
    assert 0.55 < point.threshold <= 0.6


def test_highest_score_is_an_impostor_s():
    genuine, impostor = np.array([0.5], np.float32), np.array([0.75, 0.1], np.float32)
    point = verification_rate(genuine, impostor, 0.01)
    assert point.rate == 0.0
    assert point.threshold > 0.75


def test_neighbouring_float32_scores_are_kept_apart():
    low = np.float32(0.7)
    high = np.nextafter(low, np.float32(1))
    point = verification_rate(np.array([high]), np.array([low]), 0.01)
    assert point.rate == 1.0
    assert low < np.float32(point.threshold) <= high


@pytest.mark.parametrize("far", [0.0, 1.0, -0.1, 5.0])
def test_impossible_rate(far):
    with pytest.raises(EvaluationError, match="false accept rate"):
        verification_rate(np.array([1.0]), np.array([0.0]), far)


@pytest.mark.parametrize(
    ("genuine", "impostor", "message"),
    [
        ([], [0.1], "0 genuine and 1 impostor"),
        ([0.1], [], "1 genuine and 0 impostor"),
        ([np.nan, 1], [0.1], "NaN"),
        ([1], [0.1, np.nan], "NaN"),
    ],
)
def test_unusable_scores(genuine, impostor, message):
    for function in (equal_error_rate, d_prime, error_curve):
        with pytest.raises(EvaluationError, match=message):
            function(np.array(genuine), np.array(impostor))


@pytest.mark.parametrize("far", [0.01, 0.03, 0.1])
@pytest.mark.parametrize("centre", [0.1, 0.4, 0.7])
def test_no_more_is_accepted_of_scores_that_are_not_rounded(centre, far):
    # So dense that every rounded score occurs, and many scores lie halfway between two.
    rng = np.random.default_rng(0)
    genuine = rng.uniform(centre, centre + 1e-3, 1000).astype(np.float32)
    impostor = rng.uniform(centre, centre + 1e-3, 200_000).astype(np.float32)
    point = verification_rate(SIMILARITIES.rounded(genuine), SIMILARITIES.rounded(impostor), far)
    accepted = impostor >= np.float32(point.threshold)
    assert far - 1e-3 < accepted.mean() <= far
