"""Sums over the comparisons of a resample, from what each pair of persons adds."""

from collections.abc import Callable, Iterable

import numpy as np
from scipy import sparse

from iris_tf.metrics.counts import Pairs
from iris_tf.metrics.scores import ImageLabels

Blocks = Callable[[], Iterable[tuple[int, np.ndarray]]]
# Sum over all comparisons, by resample, from drawn persons (persons, resamples).
Total = Callable[[np.ndarray], np.ndarray]


def by_pair_of_persons(pairs: Pairs, labels: ImageLabels, values: np.ndarray) -> sparse.csr_array:
    """Sums of the values of comparisons, of shape (persons, persons)."""
    places = labels.person[pairs.first], labels.person[pairs.second]
    return sparse.coo_array((values, places), shape=(labels.persons, labels.persons)).tocsr()


def sum_over_draws(by_pair: np.ndarray | sparse.csr_array) -> Total:
    """Sum over the comparisons of a resample, from sums by pair of persons.

    Parameters
    ----------
    by_pair : array of shape (persons, persons), float64
        A pair of persons may stand in either order, or in both for different comparisons.
    """
    within = by_pair.diagonal()

    def total(drawn: np.ndarray) -> np.ndarray:
        both = (drawn * (by_pair @ drawn)).sum(axis=0)
        return both + within @ drawn - within @ drawn**2  # copies are not compared

    return total


def total_of_all_pairs(labels: ImageLabels) -> Total:
    """Number of the impostor comparisons of a resample, when all pairs are compared."""
    images = np.zeros((int(labels.group.max()) + 1, labels.persons))
    np.add.at(images, (labels.group, labels.person), 1.0)
    eyes, members = np.unique(
        np.stack([labels.identity, labels.group, labels.person]), axis=1, return_counts=True
    )
    within = (images * (images - 1.0) / 2.0).sum(axis=0)
    np.subtract.at(within, eyes[2], members * (members - 1.0) / 2.0)

    def total(drawn: np.ndarray) -> np.ndarray:
        between = (images @ drawn) ** 2 - images**2 @ drawn**2
        return between.sum(axis=0) / 2.0 + within @ drawn

    return total
