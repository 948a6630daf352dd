"""d-prime of every resample of the bootstrap over subjects.

d' depends only on the sums of the scores and of their squares, weighted as
`iris_tf.metrics.bootstrap` weights comparisons, so it is exact however many comparisons there are.
"""

import numpy as np

from iris_tf.metrics.comparison_sets import ComparisonSet
from iris_tf.metrics.counts import ScoreCounts
from iris_tf.metrics.scales import Scale

# Relative to the mean square: a smaller variance is rounding error.
_NO_VARIANCE = 1e-12


def resample_d_prime(compared: ComparisonSet, weights: np.ndarray) -> np.ndarray:
    """d' of every resample, as defined by `iris_tf.metrics.verification.d_prime`.

    Parameters
    ----------
    compared : ComparisonSet
        All comparisons.
    weights : ndarray of shape (resamples, subjects), int
        From `iris_tf.metrics.bootstrap.subject_weights`.

    Returns
    -------
    ndarray of shape (resamples,), float64
        NaN where a resample lacks a kind of comparison, or where all scores of each kind are
        equal.
    """
    counts, genuine = compared.comparisons.counts, compared.comparisons.genuine
    drawn = weights.T.astype(np.float64)
    low_centre, high_centre = (
        _centre(counts, kind, compared.scale) for kind in (counts.impostor, counts.genuine)
    )
    low_mean, low_variance = _mean_and_variance(*compared.impostor_powers(low_centre, drawn))
    offsets = genuine.keys.astype(np.float64) - high_centre
    subject = compared.labels.subject[genuine.first]
    mean, variance = _mean_and_variance(*(
        np.bincount(subject, offsets**power, compared.labels.subjects) @ drawn
        for power in range(3)
    ))  # fmt: skip
    mean += high_centre - low_centre
    spread = np.sqrt((variance + low_variance) / 2)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(spread > 0, (mean - low_mean) / spread, np.nan)


def _mean_and_variance(
    number: np.ndarray, total: np.ndarray, squares: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    with np.errstate(invalid="ignore", divide="ignore"):
        mean, square = total / number, squares / number
    variance = square - mean**2
    return mean, np.where(variance <= _NO_VARIANCE * square, 0.0 * variance, variance)


def _centre(counts: ScoreCounts, kind: np.ndarray, scale: Scale) -> int:
    """Key of the mean score of one kind, so that the offsets of a constant are 0."""
    return scale.key(np.average(counts.levels, weights=kind))
