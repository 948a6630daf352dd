"""Similarity of two models' embeddings of the same images, also where their sizes differ."""

import numpy as np


def linear_cka(first: np.ndarray, second: np.ndarray) -> float | None:
    """Linear centred kernel alignment (Kornblith et al., 2019, Eq. 4).

    With X and Y the embeddings after their mean is subtracted, ‖YᵀX‖² / (‖XᵀX‖ ‖YᵀY‖) of
    Frobenius norms. It does not change when either is rotated or scaled.

    Parameters
    ----------
    first, second : ndarray of shape (n, D1) and (n, D2), float
        Row i of both is of the same image.

    Returns
    -------
    float or None
        0 (unrelated) to 1 (equal up to rotation and scale); None if all embeddings of a model are
        the same.
    """
    x, y = (np.asarray(one, np.float64) - np.mean(one, axis=0) for one in (first, second))
    own = np.linalg.norm(x.T @ x) * np.linalg.norm(y.T @ y)
    if own < np.finfo(np.float32).eps ** 2:
        return None
    return float(np.linalg.norm(y.T @ x) ** 2 / own)
