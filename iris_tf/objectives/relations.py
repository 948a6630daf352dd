"""Distillation of the relations between the images of a batch."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from iris_tf.objectives.points import TINY, Points

_ANGLE_SHARE = 2.0  # Park et al. weigh the angle twice as much as the distance

Relation = Callable[[Points, Points, tf.Tensor], tf.Tensor]
"""``relation(student, teacher, rows)``: loss of each of some rows, of shape (counted,)."""


def distance_relation(student: Points, teacher: Points, rows: Any) -> tf.Tensor:
    """Distance-wise relational distillation (RKD-D, Park et al., 2019, Eqs. 4-6).

    Huber loss between the Euclidean distances of pairs, each divided by the mean distance of all
    pairs of its model.

    Parameters
    ----------
    student, teacher : Points
        Embeddings of the batch, not necessarily of equal size.
    rows : tensor of shape (counted,), int32
        Rows whose pairs with all others are compared.

    Returns
    -------
    tensor of shape (counted,), float32
        Mean over the partners of a row.
    """
    losses = _huber(_relative_distances(teacher, rows) - _relative_distances(student, rows))
    others = tf.cast(tf.shape(losses)[1] - 1, tf.float32)
    return tf.reduce_sum(losses, axis=1) / others  # a row has no distance to itself in either


def angle_relation(student: Points, teacher: Points, rows: Any) -> tf.Tensor:
    """Angle-wise relational distillation (RKD-A, Park et al., 2019, Eqs. 7-9).

    Huber loss between the cosines of the angles that two images enclose as seen from a third, one
    of `rows`. Parameters and result as of `distance_relation`; memory grows with the cube of the
    batch.
    """
    return tf.reduce_mean(_huber(teacher.angles(rows) - student.angles(rows)), axis=(1, 2))


def distance_and_angle_relation(student: Points, teacher: Points, rows: Any) -> tf.Tensor:
    """`distance_relation` plus twice `angle_relation` (RKD-DA)."""
    return distance_relation(student, teacher, rows) + _ANGLE_SHARE * angle_relation(
        student, teacher, rows
    )


def similarity_relation(student: Points, teacher: Points, rows: Any) -> tf.Tensor:
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


def _relative_distances(points: Points, rows: Any) -> tf.Tensor:
    squared = points.squared_distances()
    squared = tf.linalg.set_diag(squared, tf.zeros_like(squared[0]))
    positive = squared > TINY
    distances = tf.where(positive, tf.sqrt(tf.where(positive, squared, 1.0)), 0.0)
    count = tf.cast(tf.size(distances) - tf.shape(distances)[0], tf.float32)
    mean = tf.reduce_sum(distances) / count
    return tf.gather(distances, rows) / tf.maximum(mean, TINY)


def _similarities(points: Points, rows: Any) -> tf.Tensor:
    return tf.math.l2_normalize(points.products(rows), axis=1)


def _huber(difference: tf.Tensor) -> tf.Tensor:
    size = tf.abs(difference)
    return tf.where(size <= 1.0, 0.5 * tf.square(size), size - 0.5)
