"""Similarity of two models' embeddings of the same images, also where their sizes differ."""

import numpy as np

_LEAST_IMAGES = 4
_ROUNDING = 1e-10  # share of variance in the squared length that rounding of float32 may leave


def linear_cka(first: np.ndarray, second: np.ndarray) -> float | None:
    """Debiased linear centred kernel alignment (CKA).

    CKA (Kornblith et al., 2019) is HSIC(K, L) / √(HSIC(K, K) HSIC(L, L)), with K and L the inner
    products of all pairs of embeddings of either model. With the unbiased estimator of HSIC (Song
    et al., 2012) it does not grow with the number of dimensions, as that of the first paper does
    where these are not far fewer than the images. It does not change when embeddings are rotated
    or scaled.

    Parameters
    ----------
    first, second : ndarray of shape (n, D1) and (n, D2), float
        Row i of both is of the same image.

    Returns
    -------
    float or None
        1 if both are equal up to rotation and scale, about 0 (perhaps just below) if unrelated;
        None of fewer than four images, or if all embeddings of a model are the same.
    """
    if len(first) < _LEAST_IMAGES:
        return None
    centred = []
    for embeddings in (first, second):
        exact = np.asarray(embeddings, np.float64)
        deviations = exact - exact.mean(axis=0)
        if np.sum(deviations**2) <= _ROUNDING * np.sum(exact**2):
            return None
        centred.append(deviations)
    x, y = centred
    own = _unbiased_hsic(x, x) * _unbiased_hsic(y, y)
    return float(_unbiased_hsic(x, y) / np.sqrt(own)) if own > 0 else None


def _unbiased_hsic(x: np.ndarray, y: np.ndarray) -> float:
    """Unbiased HSIC of linear kernels, without the n x n matrices; up to the factor n (n - 3)."""
    n = len(x)
    # Of K and L with zeros on their diagonals: trace of the product, sums of rows, sums of all.
    diagonals = np.sum(x**2, axis=1), np.sum(y**2, axis=1)
    trace = np.sum((x.T @ y) ** 2) - diagonals[0] @ diagonals[1]
    rows = [
        one @ one.sum(axis=0) - diagonal for one, diagonal in zip((x, y), diagonals, strict=True)
    ]
    sums = rows[0].sum() * rows[1].sum()
    return float(trace + sums / ((n - 1) * (n - 2)) - 2 / (n - 2) * (rows[0] @ rows[1]))
