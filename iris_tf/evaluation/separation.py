"""d-prime of every resample of the bootstrap over persons.

It needs but sums of scores and of their squares, by person and by pair of persons, which are
weighted as `iris_tf.evaluation.bootstrap` weights comparisons. So it is exact, however many
comparisons there are; memory grows with the square of the number of persons.
"""

from collections.abc import Sequence

import numpy as np
from scipy import sparse

from iris_tf.evaluation.counts import STEP, Comparisons, Pairs, ScoreCounts, score_keys
from iris_tf.evaluation.person_sums import Blocks, Total, by_pair_of_persons, sum_over_draws
from iris_tf.evaluation.scores import ImageLabels

_FLOATS_AT_ONCE = 1 << 21
# Of the mean square: a variance below it is what rounding leaves of none.
_NO_VARIANCE = 1e-12


def resample_d_prime(
    comparisons: Comparisons, blocks: Blocks, labels: ImageLabels, weights: np.ndarray
) -> np.ndarray:
    """d' of every resample, as `d_prime` defines it.

    Parameters
    ----------
    comparisons : Comparisons
        What `count_scores` made of the matrix.
    blocks : callable
        Gives the same matrix again, block by block; the blocks are not changed.
    labels : ImageLabels
        Person of each image, and who is compared.
    weights : ndarray of shape (resamples, n_persons), int
        From `person_weights`.

    Returns
    -------
    ndarray of shape (resamples,), float64
        NaN where a resample lacks a kind of comparison, or all scores of each kind are the
        same.
    """
    genuine, persons = comparisons.genuine, labels.persons
    centre = _centre(comparisons.counts, comparisons.counts.impostor)
    # Integers, so that the genuine comparisons can be taken off again without a rest.
    sums = np.zeros((3, persons, persons))
    for start, block in blocks():
        _add_powers(start, block, labels, centre, sums)
    own = labels.person[genuine.first]
    for power, by_pair in enumerate(sums):
        values = (genuine.keys.astype(np.float64) - centre) ** power
        by_pair[np.diag_indices(persons)] -= np.bincount(own, values, persons)
    return _d_prime(comparisons.counts, genuine, [sum_over_draws(s) for s in sums], labels, weights)


def resample_d_prime_of_pairs(
    counts: ScoreCounts,
    genuine: Pairs,
    impostor: Pairs,
    labels: ImageLabels,
    weights: np.ndarray,
) -> np.ndarray:
    """`resample_d_prime` of comparisons that are listed one by one."""
    offsets = impostor.keys.astype(np.float64) - _centre(counts, counts.impostor)
    totals = [
        sum_over_draws(by_pair_of_persons(impostor, labels, offsets**power)) for power in range(3)
    ]
    return _d_prime(counts, genuine, totals, labels, weights)


def _add_powers(
    start: int, block: np.ndarray, labels: ImageLabels, centre: int, sums: np.ndarray
) -> None:
    """Add the number of comparisons, their keys' offsets and their squares."""
    images = len(labels.person)
    member = sparse.coo_array(
        (np.ones(images), (labels.person, np.arange(images))), shape=(labels.persons, images)
    ).tocsr()
    step = max(1, _FLOATS_AT_ONCE // images)
    for first in range(start, start + len(block), step):
        part = block[first - start : first - start + step, first:]
        rows = slice(first, first + len(part))
        compared = labels.group[rows, None] == labels.group[None, first:]
        compared[:, : len(part)] &= np.triu(np.ones((len(part), len(part)), bool), 1)
        offsets = score_keys(part).astype(np.float64) - centre
        left, right = member[:, rows], member[:, first:].T
        values = compared.astype(np.float64)
        for by_pair in sums:
            by_pair += (left @ values) @ right
            values *= offsets


def _d_prime(
    counts: ScoreCounts,
    genuine: Pairs,
    impostor: Sequence[Total],
    labels: ImageLabels,
    weights: np.ndarray,
) -> np.ndarray:
    drawn = weights.T.astype(np.float64)
    centre = _centre(counts, counts.genuine)
    offsets, person = genuine.keys.astype(np.float64) - centre, labels.person[genuine.first]
    mean, variance = _mean_and_variance(*(
        np.bincount(person, offsets**power, labels.persons) @ drawn for power in range(3)
    ))  # fmt: skip
    low_mean, low_variance = _mean_and_variance(*(total(drawn) for total in impostor))
    mean += centre - _centre(counts, counts.impostor)
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


def _centre(counts: ScoreCounts, kind: np.ndarray) -> int:
    """Key of the mean score of one kind, so that a constant's offsets are 0."""
    return round((np.average(counts.levels, weights=kind) + 1.0) / STEP)
