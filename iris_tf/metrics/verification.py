"""Verification metrics from genuine and impostor scores.

A comparison is accepted when its score is at least the threshold. FMR (false match
rate, the paper's FAR) is the share of impostor comparisons accepted, FNMR (false
non-match rate, FRR) the share of genuine comparisons rejected. ISO/IEC 19795-1.
"""

from dataclasses import dataclass

import numpy as np

from iris_tf.metrics.counts import ScoreCounts
from iris_tf.support.errors import EvaluationError


@dataclass(frozen=True)
class ErrorCurve:
    """Both error rates at every threshold at which they change.

    Attributes
    ----------
    thresholds : ndarray of shape (n,), float64
        In falling order: infinity, which accepts nothing, then each distinct score.
    fmr : ndarray of shape (n,), float64
        False match rate, rising from 0 to 1.
    fnmr : ndarray of shape (n,), float64
        False non-match rate, falling from 1 to 0.
    """

    thresholds: np.ndarray
    fmr: np.ndarray
    fnmr: np.ndarray


@dataclass(frozen=True)
class OperatingPoint:
    """A rate and its threshold.

    Attributes
    ----------
    rate : float
        The EER, or the verification rate, 0..1.
    threshold : float
        Least accepted score.
    """

    rate: float
    threshold: float


def error_curve(genuine: np.ndarray, impostor: np.ndarray) -> ErrorCurve:
    """FMR and FNMR at every distinct score; tied scores change together.

    Parameters
    ----------
    genuine, impostor : ndarray of shape (n_genuine,), (n_impostor,)
        Scores; higher means more similar.

    Raises
    ------
    EvaluationError
        If either is empty or contains NaN.
    """
    return curve_of_counts(ScoreCounts.of_scores(genuine, impostor))


def curve_of_counts(counts: ScoreCounts) -> ErrorCurve:
    """`error_curve` of counted scores."""
    _check_counts(counts)
    accepted_genuine, accepted_impostor = (
        np.concatenate([[0], np.cumsum(kind[::-1])]) for kind in (counts.genuine, counts.impostor)
    )
    return ErrorCurve(
        thresholds=np.concatenate([[np.inf], counts.levels[::-1]]),
        fmr=accepted_impostor / accepted_impostor[-1],
        fnmr=(accepted_genuine[-1] - accepted_genuine) / accepted_genuine[-1],
    )


def equal_error_rate(genuine: np.ndarray, impostor: np.ndarray) -> OperatingPoint:
    """Equal error rate: where FMR and FNMR, interpolated linearly, are equal.

    The points (FMR, FNMR) at neighbouring distinct scores are joined by straight lines
    (the usual ROC curve, on which tied scores form a slope); the EER is where that line
    crosses FMR = FNMR. With constant scores it is 0.5.

    Of the two thresholds at the ends of that line, the one where FMR and FNMR differ less is
    returned (the stricter if the differences are equal), placed halfway to the next lower score
    so that rounding elsewhere does not change decisions.
    """
    return eer_of_curve(error_curve(genuine, impostor))


def eer_of_curve(curve: ErrorCurve) -> OperatingPoint:
    """`equal_error_rate` of an error curve."""
    difference = curve.fnmr - curve.fmr  # falls strictly from 1 to -1
    after = int(np.argmax(difference <= 0))
    before = after - 1
    share = difference[before] / (difference[before] - difference[after])
    rate = curve.fmr[before] + share * (curve.fmr[after] - curve.fmr[before])
    nearer = before if difference[before] <= -difference[after] else after
    return OperatingPoint(float(rate), _halfway_below(curve.thresholds, nearer))


def verification_rate(genuine: np.ndarray, impostor: np.ndarray, far: float) -> OperatingPoint:
    """Share of genuine comparisons accepted at a false accept rate (VR@FAR, 1 - FNMR).

    The threshold is the most lenient one that accepts at most the share `far` of the impostor
    comparisons; tied impostor scores are accepted or rejected together. With fewer than
    ``1 / far`` impostor comparisons it accepts none of them. Like that of the EER, it lies
    halfway to the next lower score.

    Parameters
    ----------
    genuine, impostor : ndarray of shape (n_genuine,), (n_impostor,)
        Scores; higher means more similar.
    far : float
        False accept rate, 0 < far < 1.
    """
    return vr_of_curve(error_curve(genuine, impostor), far)


def vr_of_curve(curve: ErrorCurve, far: float) -> OperatingPoint:
    """`verification_rate` of an error curve."""
    if not 0 < far < 1:
        raise EvaluationError(f"the requested false accept rate is {far}; choose 0 < far < 1.")
    last = int(np.searchsorted(curve.fmr, far, side="right")) - 1
    return OperatingPoint(float(1.0 - curve.fnmr[last]), _halfway_below(curve.thresholds, last))


def area_under_roc(curve: ErrorCurve) -> float:
    """Probability that a genuine score exceeds an impostor score, ties counting half."""
    below = np.diff(curve.fmr) * (curve.fnmr[1:] + curve.fnmr[:-1]) / 2  # under the DET curve
    return float(1.0 - below.sum())


def d_prime(genuine: np.ndarray, impostor: np.ndarray) -> float | None:
    """Distance of the two means in units of the root mean square of the standard deviations.

    d' = (mean_g - mean_i) / sqrt((var_g + var_i) / 2), with population variances; None
    where both variances are zero.
    """
    return d_prime_of_counts(ScoreCounts.of_scores(genuine, impostor))


def d_prime_of_counts(counts: ScoreCounts) -> float | None:
    """`d_prime` of counted scores."""
    _check_counts(counts)
    means, variances = [], []
    for kind in (counts.genuine, counts.impostor):
        occurring = kind > 0
        levels, weights = counts.levels[occurring], kind[occurring]
        # Measured from the first level, so that the variance of a constant is exactly 0.
        offsets = levels - levels[0]
        mean = np.average(offsets, weights=weights)
        means.append(levels[0] + mean)
        variances.append(np.average((offsets - mean) ** 2, weights=weights))
    spread = np.sqrt(sum(variances) / 2)
    return float((means[0] - means[1]) / spread) if spread > 0 else None


def _halfway_below(thresholds: np.ndarray, index: int) -> float:
    """A threshold that decides like ``thresholds[index]``, but is not close to any score.

    Exact in float32, in which scores are compared. Slightly above the middle, because a score
    halfway between two counted ones may have been rounded to the lower one.
    """
    here = thresholds[index]
    below = thresholds[index + 1] if index + 1 < len(thresholds) else None
    if below is None:
        return float(here)
    if np.isinf(here):  # accepts nothing: just above the largest score
        return float(np.nextafter(np.float32(below), np.float32(np.inf)))
    middle = float(np.nextafter(np.float32((here + below) / 2), np.float32(np.inf)))
    return middle if below < middle <= here else float(here)


def _check_counts(counts: ScoreCounts) -> None:
    if not (counts.n_genuine and counts.n_impostor):
        raise EvaluationError(
            f"there are {counts.n_genuine} genuine and {counts.n_impostor} impostor comparisons, "
            "but both kinds are needed; evaluate more images."
        )
