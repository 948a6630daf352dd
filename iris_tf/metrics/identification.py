"""Closed-set identification: the rank of each probe's own identity.

Protocol: leave one out. Each image in turn is the probe and all other images of the set
are the gallery; identities are ranked by their best score with the probe. Images whose
identity has no other image are not probes (their identity stays in the gallery). Ties are
counted against the system: an identity with the same best score as the mate ranks above
it. The other eye of the probe's subject is a different identity.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from iris_tf.metrics.scores import ImageLabels
from iris_tf.support.errors import EvaluationError


@dataclass(frozen=True)
class ProbeRanks:
    """Result of every search.

    Attributes
    ----------
    probes : ndarray of shape (n_probes,), int64
        Image index of each probe.
    ranks : ndarray of shape (n_probes,), int64
        Rank of the probe's own identity, from 1.
    """

    probes: np.ndarray
    ranks: np.ndarray


class RankCounter:
    """Rank the own identity of every probe, from a similarity matrix block by block.

    Parameters
    ----------
    labels : ImageLabels
        Identity of each image, and which images are compared.

    Raises
    ------
    EvaluationError
        If no identity has two images.
    """

    def __init__(self, labels: ImageLabels):
        self._labels = labels
        # Columns grouped by identity, so that one reduceat finds each identity's best score.
        self._by_identity = np.argsort(labels.identity, kind="stable")
        self._column = np.argsort(self._by_identity)
        self._first = np.searchsorted(
            labels.identity[self._by_identity], np.arange(labels.identities)
        )
        self._has_mate = np.bincount(labels.identity)[labels.identity] > 1
        if not self._has_mate.any():
            raise EvaluationError(
                f"none of the {labels.identities} identities has two images, so there is no probe "
                "to identify; evaluate a larger split (`--split all`)."
            )
        self._ranks = np.empty(len(labels.identity), np.int64)

    def add(self, start: int, block: np.ndarray) -> None:
        """Rank for the probes ``start...start + rows``.

        Parameters
        ----------
        start : int
            Index of the block's first row.
        block : ndarray of shape (rows, n), float32
            Similarity with all images.
        """
        labels, rows = self._labels, np.arange(len(block))
        block = np.take(block, self._by_identity, axis=1)
        block[rows, self._column[rows + start]] = -np.inf  # a probe is not its own mate
        best = np.maximum.reduceat(block, self._first, axis=1)
        if not labels.one_group:
            group = labels.group[self._by_identity[self._first]]
            best[labels.group[rows + start, None] != group[None, :]] = -np.inf
        mate = best[rows, labels.identity[rows + start]]
        # Counts the own identity too, so that ranks start from 1.
        self._ranks[rows + start] = (best >= mate[:, None]).sum(axis=1)

    def ranks(self) -> ProbeRanks:
        """Ranks of all probes."""
        return ProbeRanks(np.flatnonzero(self._has_mate), self._ranks[self._has_mate])


def closed_set_ranks(blocks: Iterable[tuple[int, np.ndarray]], labels: ImageLabels) -> ProbeRanks:
    """Rank the own identity of every probe.

    Parameters
    ----------
    blocks : iterable of (int, ndarray of shape (rows, n), float32)
        The matrix in blocks of rows, as `similarity_blocks` yields them.
    labels : ImageLabels
        Identity of each image, and which images are compared.

    Raises
    ------
    EvaluationError
        If no identity has two images.
    """
    counter = RankCounter(labels)
    for start, block in blocks:
        counter.add(start, block)
    return counter.ranks()


def cmc(ranks: np.ndarray, up_to: int) -> np.ndarray:
    """Cumulative match characteristic.

    Parameters
    ----------
    ranks : ndarray of shape (n_probes,), int
        Ranks from 1, as in `ProbeRanks`.
    up_to : int
        Largest rank wanted.

    Returns
    -------
    ndarray of shape (up_to,), float64
        Share of probes, 0..1, whose own identity is at rank k or better, k = 1...up_to.
    """
    counts = np.bincount(np.minimum(ranks, up_to + 1), minlength=up_to + 2)
    return np.cumsum(counts[1 : up_to + 1]) / len(ranks)


def resample_cmc(
    ranks: ProbeRanks, labels: ImageLabels, weights: np.ndarray, at: tuple[int, ...]
) -> np.ndarray:
    """Identification rate of every resample; the gallery is not resampled.

    Parameters
    ----------
    ranks : ProbeRanks
        Result of every search.
    labels : ImageLabels
        Subject of each image.
    weights : ndarray of shape (resamples, subjects), int
        From `iris_tf.metrics.bootstrap.subject_weights`.
    at : tuple of int
        Ranks k of CMC@k.

    Returns
    -------
    ndarray of shape (len(at), resamples), float64
        NaN where no probe was drawn.
    """
    subject = labels.subject[ranks.probes]
    probes = weights @ np.bincount(subject, minlength=weights.shape[1])
    hits = np.stack(
        [weights @ np.bincount(subject[ranks.ranks <= k], minlength=weights.shape[1]) for k in at]
    )
    with np.errstate(invalid="ignore"):
        return hits / probes
