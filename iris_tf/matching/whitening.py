"""Spreading embeddings over their dimensions."""

import numpy as np

_LEAST_MOMENT = 1e-4  # of embeddings of unit length: along what hardly varies nothing is learnt


def second_moment(embeddings: np.ndarray) -> np.ndarray:
    """Mean outer product of rows (n, D) with themselves, (D, D), float64."""
    embeddings = np.asarray(embeddings, np.float64)
    return embeddings.T @ embeddings / len(embeddings)


def whitening_matrix(moment: np.ndarray, power: float, shrinkage: float = 0.0) -> np.ndarray:
    """A second moment to the power of `-power`.

    With 0.5 the embeddings' second moment becomes the identity (whitening, here without
    centring); smaller powers go part of the way. Strangers are alike along the few directions
    in which most of the variance lies, so it is there that similarity says least.

    Parameters
    ----------
    moment : ndarray of shape (D, D), float
        Of embeddings of unit length; see `second_moment`.
    power : float
        0..0.5.
    shrinkage : float, optional
        0..1, share of the moment that is replaced by that of embeddings in all directions
        alike (Ledoit and Wolf, 2004): the fewer embeddings, the more of it is chance.

    Returns
    -------
    ndarray of shape (D, D), float64
        Symmetric; to be multiplied with embeddings, which then want their length 1 again.
    """
    moment = np.asarray(moment, np.float64)
    even = np.trace(moment) / len(moment) * np.eye(len(moment))
    moments, directions = np.linalg.eigh((1.0 - shrinkage) * moment + shrinkage * even)
    return (directions * np.maximum(moments, _LEAST_MOMENT) ** -power) @ directions.T
