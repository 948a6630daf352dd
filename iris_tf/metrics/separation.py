"""d-prime of every resample of the bootstrap over persons.

It needs but sums of scores and of their squares, weighted as `iris_tf.metrics.bootstrap`
weights comparisons. So it is exact, however many comparisons there are. Sums by pair of persons
are weighted as they come, block by block, so that memory does not grow with their number.
"""

import numpy as np
from scipy import sparse

from iris_tf.metrics.counts import STEP, Comparisons, Pairs, ScoreCounts, score_keys
from iris_tf.metrics.scores import ImageLabels
from iris_tf.metrics.subject_sums import Blocks, by_pair_of_persons, sum_over_draws

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
    drawn = weights.T.astype(np.float64)
    between, within = np.zeros((3, len(weights))), np.zeros((3, persons))
    for start, block in blocks():
        _add_powers(start, block, labels, centre, drawn, between, within)
    # Integers, so that the genuine comparisons can be taken off again without a rest.
    offsets, own = genuine.keys.astype(np.float64) - centre, labels.person[genuine.first]
    for power, by_person in enumerate(within):
        by_person -= np.bincount(own, offsets**power, persons)
    return _d_prime(comparisons.counts, genuine, between + within @ drawn, labels, drawn)


def resample_d_prime_of_pairs(
    counts: ScoreCounts,
    genuine: Pairs,
    impostor: Pairs,
    labels: ImageLabels,
    weights: np.ndarray,
) -> np.ndarray:
    """`resample_d_prime` of comparisons that are listed one by one."""
    offsets = impostor.keys.astype(np.float64) - _centre(counts, counts.impostor)
    drawn = weights.T.astype(np.float64)
    sums = [
        sum_over_draws(by_pair_of_persons(impostor, labels, offsets**power))(drawn)
        for power in range(3)
    ]
    return _d_prime(counts, genuine, np.stack(sums), labels, drawn)


def _add_powers(
    start: int,
    block: np.ndarray,
    labels: ImageLabels,
    centre: int,
    drawn: np.ndarray,
    between: np.ndarray,
    within: np.ndarray,
) -> None:
    """Add the number of comparisons, their keys' offsets and their squares.

    Those of two persons are added to `between`, of shape (3, resamples), with their weights,
    and those of one person to `within`, of shape (3, persons), as they are.
    """
    images, persons = len(labels.person), labels.persons
    step = max(1, _FLOATS_AT_ONCE // images)
    for first in range(start, start + len(block), step):
        part = block[first - start : first - start + step, first:]
        rows = slice(first, first + len(part))
        compared = labels.group[rows, None] == labels.group[None, first:]
        compared[:, : len(part)] &= np.triu(np.ones((len(part), len(part)), bool), 1)
        offsets = score_keys(part).astype(np.float64) - centre
        people, place = np.unique(labels.person[rows], return_inverse=True)
        left = _membership(place.ravel(), len(people)).T
        right = _membership(labels.person[first:], persons)
        own = np.arange(len(people)), people
        values = compared.astype(np.float64)
        for of_power, by_person in zip(between, within, strict=True):
            by_pair = (left @ values) @ right
            by_person[people] += by_pair[own]
            by_pair[own] = 0.0
            of_power += np.einsum("ij,ij->j", by_pair @ drawn, drawn[people])
            values *= offsets


def _membership(place: np.ndarray, places: int) -> sparse.csr_array:
    """Ones where a row belongs to a column."""
    n = len(place)
    return sparse.csr_array((np.ones(n), place, np.arange(n + 1)), shape=(n, places))


def _d_prime(
    counts: ScoreCounts,
    genuine: Pairs,
    impostor: np.ndarray,
    labels: ImageLabels,
    drawn: np.ndarray,
) -> np.ndarray:
    """d' from the sums of `_add_powers` over the impostors of each resample, (3, resamples)."""
    centre = _centre(counts, counts.genuine)
    offsets, person = genuine.keys.astype(np.float64) - centre, labels.person[genuine.first]
    mean, variance = _mean_and_variance(*(
        np.bincount(person, offsets**power, labels.persons) @ drawn for power in range(3)
    ))  # fmt: skip
    low_mean, low_variance = _mean_and_variance(*impostor)
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
