"""The triplet loss."""

from typing import Any

from keras import ops

REDUCTIONS = ("mean", "active")


def triplet_loss(d_ap: Any, d_an: Any, margin: Any, reduction: str = "mean") -> Any:
    """Triplet loss, ``max(d(a, p) - d(a, n) + m, 0)`` reduced to a scalar (Eq. 3).

    Parameters
    ----------
    d_ap, d_an : tensor of shape (triplets,)
        Distance of each anchor to its positive and to its negative. Any distance
        works; MobiIris uses the Euclidean distance of unit vectors.
    margin : float or scalar tensor
        m.
    reduction : {"mean", "active"}
        "mean" averages over all triplets, as in Eq. 3. "active" averages over the
        triplets with a nonzero loss, so that the gradient does not vanish as more
        triplets become easy; it is 0 if there are none.

    Returns
    -------
    scalar tensor
        float32, at least 0.

    Raises
    ------
    ValueError
        For an unknown `reduction`.

    Examples
    --------
    >>> round(float(triplet_loss([0.5, 0.2], [0.6, 0.9], margin=0.2)), 6)  # (0.1 + 0) / 2
    0.05
    >>> round(float(triplet_loss([0.5, 0.2], [0.6, 0.9], 0.2, reduction="active")), 6)
    0.1
    """
    if reduction not in REDUCTIONS:
        raise ValueError(f"reduction is {reduction!r}; choose one of {', '.join(REDUCTIONS)}.")
    d_ap = ops.cast(d_ap, "float32")
    d_an = ops.cast(d_an, "float32")
    losses = ops.relu(d_ap - d_an + ops.cast(margin, "float32"))
    if reduction == "mean":
        return ops.mean(losses)
    active = ops.sum(ops.cast(losses > 0, "float32"))
    return ops.sum(losses) / ops.maximum(active, 1.0)
