"""Sums over the comparisons of a resample, from the contribution of each pair of subjects."""

from collections.abc import Callable, Iterable

import numpy as np
from scipy import sparse

from iris_tf.metrics.scores import ImageLabels

Blocks = Callable[[], Iterable[tuple[int, np.ndarray]]]
# Sum over all comparisons of each resample, from the drawn subjects (subjects, resamples).
Total = Callable[[np.ndarray], np.ndarray]


def by_pair_of_subjects(
    first: np.ndarray, second: np.ndarray, labels: ImageLabels, values: np.ndarray
) -> sparse.csr_array:
    """Sum values of the comparisons of images (n,) by pair of subjects: (subjects, subjects)."""
    places = labels.subject[first], labels.subject[second]
    return sparse.coo_array((values, places), shape=(labels.subjects, labels.subjects)).tocsr()


def sum_over_draws(by_pair: np.ndarray | sparse.csr_array) -> Total:
    """Sum over the comparisons of a resample, from sums by pair of subjects.

    Parameters
    ----------
    by_pair : array of shape (subjects, subjects), float64
        A pair of subjects may appear in either order, or in both for different comparisons.
    """
    within = by_pair.diagonal()

    def total(drawn: np.ndarray) -> np.ndarray:
        both = (drawn * (by_pair @ drawn)).sum(axis=0)
        return both + within @ drawn - within @ drawn**2  # copies of a subject are not compared

    return total


def total_of_all_pairs(labels: ImageLabels) -> Total:
    """Number of impostor comparisons of a resample when all pairs are compared."""
    images = np.zeros((int(labels.group.max()) + 1, labels.subjects))
    np.add.at(images, (labels.group, labels.subject), 1.0)
    eyes, members = np.unique(
        np.stack([labels.identity, labels.group, labels.subject]), axis=1, return_counts=True
    )
    within = (images * (images - 1.0) / 2.0).sum(axis=0)
    np.subtract.at(within, eyes[2], members * (members - 1.0) / 2.0)

    def total(drawn: np.ndarray) -> np.ndarray:
        between = (images @ drawn) ** 2 - images**2 @ drawn**2
        return between.sum(axis=0) / 2.0 + within @ drawn

    return total
