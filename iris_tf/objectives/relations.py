"""Distillation of the relations between the images of a batch."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

_TINY = 1e-12
_ANGLE_SHARE = 2.0  # Park et al. weigh the angle twice as much as the distance

Relation = Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tf.Tensor]
"""``relation(student, teacher, rows)``: loss of each of some rows, of shape (counted,)."""


def distance_relation(student: Any, teacher: Any, rows: Any) -> tf.Tensor:
    """Distance-wise relational distillation (RKD-D, Park et al., 2019, Eqs. 4-6).

    Huber loss between the Euclidean distances of pairs, each divided by the mean distance of all
    pairs of its model.

    Parameters
    ----------
    student, teacher : tensor of shape (batch, ...)
        Embeddings of the batch, not necessarily of equal size.
    rows : tensor of shape (counted,), int32
        Rows whose pairs with all others are compared.

    Returns
    -------
    tensor of shape (counted,), float32
        Mean over the partners of a row.
    """
    others = tf.cast(tf.shape(student)[0] - 1, tf.float32)
    losses = _huber(_relative_distances(teacher, rows) - _relative_distances(student, rows))
    return tf.reduce_sum(losses, axis=1) / others  # a row has no distance to itself in either


def angle_relation(student: Any, teacher: Any, rows: Any) -> tf.Tensor:
    """Angle-wise relational distillation (RKD-A, Park et al., 2019, Eqs. 7-9).

    Huber loss between the cosines of the angles that two images enclose as seen from a third, one
    of `rows`. Parameters and result as of `distance_relation`; memory grows with the cube of the
    batch.
    """
    return tf.reduce_mean(_huber(_angles(teacher, rows) - _angles(student, rows)), axis=(1, 2))


def distance_and_angle_relation(student: Any, teacher: Any, rows: Any) -> tf.Tensor:
    """`distance_relation` plus twice `angle_relation` (RKD-DA)."""
    return distance_relation(student, teacher, rows) + _ANGLE_SHARE * angle_relation(
        student, teacher, rows
    )


def similarity_relation(student: Any, teacher: Any, rows: Any) -> tf.Tensor:
    """Similarity-preserving distillation (Tung and Mori, 2019, Eqs. 2-4).

    Squared difference between the rows of both matrices of similarities, each row of unit length.
    Parameters and result as of `distance_relation`; the mean of the result over a whole batch b is
    the paper's ``1/b^2 |G_T - G_S|_F^2``.
    """
    difference = _similarities(teacher, rows) - _similarities(student, rows)
    return tf.reduce_mean(tf.square(difference), axis=1)


RELATIONS: dict[str, Relation] = {
    "distance": distance_relation,
    "angle": angle_relation,
    "distance_angle": distance_and_angle_relation,
    "similarity": similarity_relation,
}
"""Keyed by the recipe's `distillation.relation`."""


def _flat(x: Any) -> tf.Tensor:
    x = tf.cast(x, tf.float32)
    return tf.reshape(x, (tf.shape(x)[0], -1))


def _relative_distances(x: Any, rows: Any) -> tf.Tensor:
    x = _flat(x)
    squared = tf.reduce_sum(tf.square(x), axis=1)
    squared = squared[:, None] + squared[None, :] - 2.0 * tf.matmul(x, x, transpose_b=True)
    squared = tf.linalg.set_diag(squared, tf.zeros_like(squared[0]))
    positive = squared > _TINY
    distances = tf.where(positive, tf.sqrt(tf.where(positive, squared, 1.0)), 0.0)
    count = tf.cast(tf.size(distances) - tf.shape(distances)[0], tf.float32)
    mean = tf.reduce_sum(distances) / count
    return tf.gather(distances, rows) / tf.maximum(mean, _TINY)


def _angles(x: Any, rows: Any) -> tf.Tensor:
    """Cosines (counted, batch, batch) of the angles at each of `rows`."""
    x = _flat(x)
    directions = x[None, :, :] - tf.gather(x, rows)[:, None, :]
    lengths = tf.reduce_sum(tf.square(directions), axis=-1, keepdims=True)
    directions *= tf.where(lengths > _TINY, tf.math.rsqrt(tf.maximum(lengths, _TINY)), 0.0)
    return tf.matmul(directions, directions, transpose_b=True)


def _similarities(x: Any, rows: Any) -> tf.Tensor:
    x = _flat(x)
    return tf.math.l2_normalize(tf.matmul(tf.gather(x, rows), x, transpose_b=True), axis=1)


def _huber(difference: tf.Tensor) -> tf.Tensor:
    size = tf.abs(difference)
    return tf.where(size <= 1.0, 0.5 * tf.square(size), size - 0.5)
