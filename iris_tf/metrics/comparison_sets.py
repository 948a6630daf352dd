"""The comparisons that an evaluation is about: all pairs of images, or those of two lists.

The bootstrap needs the same few things of both: the genuine comparisons one by one, the impostor
comparisons above some score, their number in a resample, and the sums of their scores and squared
scores.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy import sparse

from iris_tf.metrics.counts import Comparisons, Pairs, pairs_above
from iris_tf.metrics.scales import Scale
from iris_tf.metrics.scores import ImageLabels
from iris_tf.metrics.subject_sums import (
    Blocks,
    Total,
    by_pair_of_subjects,
    sum_over_draws,
    total_of_all_pairs,
)

_FLOATS_AT_ONCE = 1 << 21


@dataclass(frozen=True)
class ComparisonSet(ABC):
    """Comparisons of labelled images.

    Attributes
    ----------
    labels : ImageLabels
        Who is on each image, and which are compared.
    comparisons : Comparisons
        Counted scores, all genuine comparisons, and the highest impostor comparisons.
    in_memory : bool
        Whether all impostor comparisons are held, so that looking at some of them first saves
        nothing.
    """

    labels: ImageLabels
    comparisons: Comparisons
    in_memory: ClassVar[bool]

    @property
    @abstractmethod
    def total(self) -> Total:
        """Number of impostor comparisons of each resample, from the drawn subjects."""

    @property
    def scale(self) -> Scale:
        """What the comparisons are made by."""
        return self.comparisons.genuine.scale

    @abstractmethod
    def images(self) -> np.ndarray:
        """Indices of the images that take part, rising."""

    @abstractmethod
    def impostors(self, least: int) -> Iterable[Pairs]:
        """Impostor comparisons whose key is at least `least`, in chunks."""

    @abstractmethod
    def impostor_powers(self, centre: int, drawn: np.ndarray) -> np.ndarray:
        """Sum powers of the impostor scores' offsets from a centre over each resample.

        Parameters
        ----------
        centre : int
            Key from which offsets are measured.
        drawn : ndarray of shape (subjects, resamples), float64
            How often each subject was drawn.

        Returns
        -------
        ndarray of shape (3, resamples), float64
            Number of comparisons, sum of offsets, sum of squared offsets.
        """


@dataclass(frozen=True)
class AllPairs(ComparisonSet):
    """Every pair of images of a group, read from a similarity matrix.

    Parameters
    ----------
    labels : ImageLabels
        Who is on each image, and which are compared.
    comparisons : Comparisons
        What `count_scores` made of the matrix.
    blocks : callable
        Yields the same matrix again, block by block; the blocks are not modified.
    """

    blocks: Blocks
    in_memory = False

    @property
    def total(self) -> Total:
        """See `ComparisonSet`."""
        return total_of_all_pairs(self.labels)

    def images(self) -> np.ndarray:
        """See `ComparisonSet`."""
        return np.arange(len(self.labels.identity))

    def impostors(self, least: int) -> Iterable[Pairs]:
        """See `ComparisonSet`."""
        identity = self.labels.identity
        for start, block in self.blocks():
            found = pairs_above(start, block, self.labels, least, self.scale)
            yield found[identity[found.first] != identity[found.second]]

    def impostor_powers(self, centre: int, drawn: np.ndarray) -> np.ndarray:
        """See `ComparisonSet`.

        Sums by pair of subjects are weighted block by block, so that memory does not grow with
        the number of pairs.
        """
        labels, genuine = self.labels, self.comparisons.genuine
        between, within = np.zeros((3, drawn.shape[1])), np.zeros((3, labels.subjects))
        for start, block in self.blocks():
            for first, part in _row_slices(start, block, len(labels.subject)):
                offsets = self.scale.keys(part).astype(np.float64) - centre
                _add_powers(first, offsets, labels, drawn, between, within)
        # Integers, so that the genuine comparisons can be subtracted without a remainder.
        offsets = genuine.keys.astype(np.float64) - centre
        own = labels.subject[genuine.first]
        for power, by_subject in enumerate(within):
            by_subject -= np.bincount(own, offsets**power, labels.subjects)
        return between + within @ drawn


@dataclass(frozen=True)
class ListedPairs(ComparisonSet):
    """Comparisons that are listed one by one and held in memory.

    Parameters
    ----------
    labels : ImageLabels
        Who is on each image.
    comparisons : Comparisons
        Counted scores, all genuine comparisons, and the highest impostor comparisons.
    impostor : Pairs
        All impostor comparisons.
    """

    impostor: Pairs
    in_memory = True

    @property
    def total(self) -> Total:
        """See `ComparisonSet`."""
        return self._sum(np.ones(len(self.impostor.keys)))

    def images(self) -> np.ndarray:
        """See `ComparisonSet`."""
        pairs = (self.comparisons.genuine, self.impostor)
        return np.unique(np.concatenate([side for p in pairs for side in (p.first, p.second)]))

    def impostors(self, least: int) -> Iterable[Pairs]:
        """See `ComparisonSet`."""
        yield self.impostor[self.impostor.keys >= least]

    def impostor_powers(self, centre: int, drawn: np.ndarray) -> np.ndarray:
        """See `ComparisonSet`."""
        offsets = self.impostor.keys.astype(np.float64) - centre
        return np.stack([self._sum(offsets**power)(drawn) for power in range(3)])

    def _sum(self, values: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
        first, second = self.impostor.first, self.impostor.second
        return sum_over_draws(by_pair_of_subjects(first, second, self.labels, values))


def _row_slices(start: int, block: np.ndarray, images: int) -> Iterable[tuple[int, np.ndarray]]:
    """Rows of a block from their own image on, a bounded number of scores at a time."""
    step = max(1, _FLOATS_AT_ONCE // images)
    for first in range(start, start + len(block), step):
        yield first, block[first - start : first - start + step, first:]


def _add_powers(
    first: int,
    offsets: np.ndarray,
    labels: ImageLabels,
    drawn: np.ndarray,
    between: np.ndarray,
    within: np.ndarray,
) -> None:
    """Add the number of comparisons, the offsets of their keys and the squares of these.

    Those of two subjects are added to `between`, of shape (3, resamples), with their weights,
    and those of one subject to `within`, of shape (3, subjects), unweighted.
    """
    number = len(offsets)
    rows = slice(first, first + number)
    compared = labels.group[rows, None] == labels.group[None, first:]
    compared[:, :number] &= np.triu(np.ones((number, number), bool), 1)
    subjects, place = np.unique(labels.subject[rows], return_inverse=True)
    left = _membership(place.ravel(), len(subjects)).T
    right = _membership(labels.subject[first:], labels.subjects)
    own = np.arange(len(subjects)), subjects
    values = compared.astype(np.float64)
    for of_power, by_subject in zip(between, within, strict=True):
        by_pair = (left @ values) @ right
        by_subject[subjects] += by_pair[own]
        by_pair[own] = 0.0
        of_power += np.einsum("ij,ij->j", by_pair @ drawn, drawn[subjects])
        values *= offsets


def _membership(place: np.ndarray, places: int) -> sparse.csr_array:
    """Ones where a row belongs to a column."""
    n = len(place)
    return sparse.csr_array((np.ones(n), place, np.arange(n + 1)), shape=(n, places))
