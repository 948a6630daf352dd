"""Spreading embeddings over their dimensions."""

import numpy as np

# Of embeddings of unit length. Directions with a smaller moment carry rounding errors only, which
# a negative power would amplify.
_MIN_MOMENT = 1e-4


def second_moment(embeddings: np.ndarray) -> np.ndarray:
    """Mean outer product of rows (n, D) with themselves, (D, D), float64."""
    embeddings = np.asarray(embeddings, np.float64)
    return embeddings.T @ embeddings / len(embeddings)


def whitening_matrix(moment: np.ndarray, power: float, shrinkage: float = 0.0) -> np.ndarray:
    """A second moment to the power of `-power`.

    With 0.5 the embeddings' second moment becomes the identity (whitening, here without
    centring); smaller powers whiten partially. Embeddings of different eyes share the few
    directions in which most of their variance lies, so similarity along these is the least
    informative.

    Parameters
    ----------
    moment : ndarray of shape (D, D), float
        Second moment of embeddings of unit length, see `second_moment`.
    power : float
        0..0.5.
    shrinkage : float, optional
        Weight, 0..1, of a multiple of the identity towards which the moment is shrunk (Ledoit and
        Wolf, 2004): the fewer the embeddings, the noisier their moment.

    Returns
    -------
    ndarray of shape (D, D), float64
        Symmetric. Embeddings multiplied by it must be normalised to unit length again.
    """
    moment = np.asarray(moment, np.float64)
    even = np.trace(moment) / len(moment) * np.eye(len(moment))
    moments, directions = np.linalg.eigh((1.0 - shrinkage) * moment + shrinkage * even)
    return (directions * np.maximum(moments, _MIN_MOMENT) ** -power) @ directions.T
