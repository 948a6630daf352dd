"""Euclidean distances with a gradient that is finite everywhere."""

from typing import Any

from keras import ops


def euclidean_distances(a: Any, b: Any) -> Any:
    """Distance of each row of `a` to the same row of `b`.

    The gradient is 0 where two rows are equal (the square root's own would be
    infinite there, and 0 x infinity would turn the weights into NaN).

    Parameters
    ----------
    a, b : tensor of shape (..., dimensions)
        Any float type; computed in float32, for the sum of squares of small
        differences vanishes in float16.

    Returns
    -------
    tensor of shape (...,)
        float32; 0..2 for unit vectors.
    """
    difference = ops.cast(a, "float32") - ops.cast(b, "float32")
    return _safe_sqrt(ops.sum(ops.square(difference), axis=-1))


def pairwise_distances(a: Any, b: Any) -> Any:
    """Distance of every row of `a` to every row of `b`, both of unit length.

    From ``|x - y|^2 = 2 - 2 x.y``, so one matrix product: made for mining. Near 0
    it is only good to about 5e-4 (``2 - 2 x.y`` cancels); the loss itself should
    use `euclidean_distances`.

    Parameters
    ----------
    a : tensor of shape (n, dimensions)
        Rows of unit length, any float type; computed in float32.
    b : tensor of shape (m, dimensions)
        The same.

    Returns
    -------
    tensor of shape (n, m)
        float32, 0..2.
    """
    cosine = ops.matmul(ops.cast(a, "float32"), ops.transpose(ops.cast(b, "float32")))
    return _safe_sqrt(2.0 - 2.0 * cosine)


def _safe_sqrt(squared: Any) -> Any:
    """Square root that is 0, with gradient 0, for arguments that are not positive."""
    positive = squared > 0
    # Both `where` are needed: the inner one keeps sqrt's infinite slope at 0 out
    # of the gradient, which the outer one would multiply by 0 and make NaN.
    return ops.where(positive, ops.sqrt(ops.where(positive, squared, 1.0)), 0.0)
