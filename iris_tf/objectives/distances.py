"""Euclidean distances with finite gradients everywhere."""

from typing import Any

from keras import ops


def euclidean_distances(a: Any, b: Any) -> Any:
    """Distance between corresponding rows of `a` and `b`.

    The gradient is 0 where two rows are equal (the gradient of the square root is
    infinite there, and 0 x infinity would turn the weights into NaN).

    Parameters
    ----------
    a, b : tensor of shape (..., dimensions)
        Any float type; computed in float32, because the sum of squares of small
        differences underflows in float16.

    Returns
    -------
    tensor of shape (...,)
        float32; 0..2 for unit vectors.
    """
    difference = ops.cast(a, "float32") - ops.cast(b, "float32")
    return _safe_sqrt(ops.sum(ops.square(difference), axis=-1))


def pairwise_distances(a: Any, b: Any) -> Any:
    """Distance between every row of `a` and every row of `b`, both of unit length.

    Computed from ``|x - y|^2 = 2 - 2 x.y``, with a single matrix product. Meant for
    mining: near 0 it is only accurate to about 5e-4 (cancellation in ``2 - 2 x.y``),
    so losses should use `euclidean_distances`.

    Parameters
    ----------
    a : tensor of shape (n, dimensions)
        Rows of unit length, any float type; computed in float32.
    b : tensor of shape (m, dimensions)
        Rows of unit length.

    Returns
    -------
    tensor of shape (n, m)
        float32, 0..2.
    """
    cosine = ops.matmul(ops.cast(a, "float32"), ops.transpose(ops.cast(b, "float32")))
    return _safe_sqrt(2.0 - 2.0 * cosine)


def _safe_sqrt(squared: Any) -> Any:
    """Square root; value and gradient are 0 for arguments of 0 or below."""
    positive = squared > 0
    # Both `where` are needed: the inner one keeps the infinite derivative of sqrt at 0 out of
    # the gradient, since the outer one would multiply it by 0, which is NaN.
    return ops.where(positive, ops.sqrt(ops.where(positive, squared, 1.0)), 0.0)
