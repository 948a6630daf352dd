"""Closed-set identification: at which rank does a probe's own identity come up?

Protocol: leave one out. Each image in turn is the probe and all other images of the set
are the gallery; identities are ranked by their best score with the probe. Images whose
identity has no other image are no probes (their identity stays in the gallery). Ties are
counted against the system: an identity with the same best score as the mate ranks before
it. The other eye of the probe's person is another identity.
"""

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from iris_tf.errors import EvaluationError
from iris_tf.evaluation.scores import ImageLabels, check_embeddings, similarity_blocks


@dataclass(frozen=True)
class ProbeRanks:
    """Outcome of every probe.

    Attributes
    ----------
    probes : ndarray of shape (n_probes,), int64
        Image index of each probe.
    ahead : sparse array of shape (n_probes, n_persons), int32
        Number of identities of each person that rank before the probe's own. Kept by
        person so that the bootstrap can draw persons.
    """

    probes: np.ndarray
    ahead: sparse.csr_array

    @property
    def ranks(self) -> np.ndarray:
        """Rank of each probe's own identity, from 1; shape (n_probes,), int64."""
        return 1 + np.asarray(self.ahead.sum(axis=1), np.int64).ravel()


def closed_set_ranks(embeddings: np.ndarray, labels: ImageLabels) -> ProbeRanks:
    """Rank the own identity of every probe.

    Parameters
    ----------
    embeddings : ndarray of shape (n, size)
        Unit vectors.
    labels : ImageLabels
        Identity and person of each image.

    Raises
    ------
    EvaluationError
        When the embeddings cannot be used or no identity has two images.
    """
    n = len(labels.identity)
    embeddings = check_embeddings(embeddings, n)
    # Columns grouped by identity, so that one reduceat finds each identity's best score.
    by_identity = np.argsort(labels.identity, kind="stable")
    first_column = np.searchsorted(labels.identity[by_identity], np.arange(labels.identities))
    person_of_identity = labels.person[by_identity[first_column]]
    has_mate = np.bincount(labels.identity)[labels.identity] > 1
    if not has_mate.any():
        raise EvaluationError(
            f"none of the {labels.identities} identities has two images, so nothing can be "
            "identified; evaluate a larger split (`--split all`)."
        )
    probes, ahead_rows, ahead_persons = [], [], []
    for start, block in similarity_blocks(embeddings):
        rows = np.arange(len(block))
        block[rows, rows + start] = -np.inf  # a probe is not its own mate
        best = np.maximum.reduceat(block[:, by_identity], first_column, axis=1)
        own = labels.identity[start:start + len(block)]
        before = best >= best[rows, own, None]
        before[rows, own] = False
        kept = np.flatnonzero(has_mate[start:start + len(block)])
        row, identity = np.nonzero(before[kept])
        ahead_rows.append(row + sum(map(len, probes)))
        ahead_persons.append(person_of_identity[identity])
        probes.append(kept + start)
    probes = np.concatenate(probes)
    row, person = np.concatenate(ahead_rows), np.concatenate(ahead_persons)
    # Repeated (probe, person) entries are added up: two eyes of one person.
    ahead = sparse.coo_array(
        (np.ones(len(row), np.int32), (row, person)), shape=(len(probes), labels.persons)
    ).tocsr()
    return ProbeRanks(probes, ahead)


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
    return np.cumsum(counts[1:up_to + 1]) / len(ranks)
