"""Triplets of a grouped batch."""

from typing import NamedTuple

import numpy as np


class TripletIndices(NamedTuple):
    """Row indices into a batch flattened to (groups * group_size, ...).

    All three are int32 arrays of shape (triplets,); `negative` is the sampled
    negative, which mining replaces.
    """

    anchor: np.ndarray
    positive: np.ndarray
    negative: np.ndarray


def triplet_indices(layout: str, groups: int, group_size: int) -> TripletIndices:
    """Index the triplets of a grouped batch.

    Parameters
    ----------
    layout : str
        ``"triplet"``: a group is (anchor, positive, negative), Algorithm 2.
        ``"balanced"``: a group is `group_size` images of one identity; each ordered
        pair of them is an (anchor, positive) pair, and the negative is the first
        image of the next group.
    groups, group_size : int
        Shape of the batch.
    """
    first = np.arange(groups, dtype=np.int32)[:, None] * group_size
    if layout == "triplet":
        return TripletIndices(*(first[:, 0] + column for column in range(3)))
    pairs = [(i, j) for i in range(group_size) for j in range(group_size) if i != j]
    anchor, positive = np.array(pairs, np.int32).T
    negative = np.broadcast_to(np.roll(first, -1, axis=0), (groups, len(pairs)))
    return TripletIndices(
        (first + anchor).ravel(), (first + positive).ravel(), np.ascontiguousarray(negative.ravel())
    )
