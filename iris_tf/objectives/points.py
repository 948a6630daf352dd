"""Embeddings of a batch as points, between which relations are compared."""

from typing import Any, Protocol

import tensorflow as tf

TINY = 1e-12


class Points(Protocol):
    """Points with scalar products, distances and angles; float32."""

    def products(self, rows: Any) -> tf.Tensor:
        """Scalar products (counted, batch) of some rows and all points."""

    def squared_distances(self) -> tf.Tensor:
        """Squared distances (batch, batch); those of a point to itself are rounding errors."""

    def angles(self, rows: Any) -> tf.Tensor:
        """Cosines (counted, batch, batch) of the angles at each of `rows` between two others.

        0 where one of the two lies at the angle's vertex.
        """


class Vectors:
    """`Points` of a Euclidean space.

    Parameters
    ----------
    x : tensor of shape (batch, ...)
    """

    def __init__(self, x: Any):
        x = tf.cast(x, tf.float32)
        self.x = tf.reshape(x, (tf.shape(x)[0], -1))

    def products(self, rows: Any) -> tf.Tensor:
        """See `Points`."""
        return tf.matmul(tf.gather(self.x, rows), self.x, transpose_b=True)

    def squared_distances(self) -> tf.Tensor:
        """See `Points`."""
        squares = tf.reduce_sum(tf.square(self.x), axis=1)
        products = tf.matmul(self.x, self.x, transpose_b=True)
        return squares[:, None] + squares[None, :] - 2.0 * products

    def angles(self, rows: Any) -> tf.Tensor:
        """See `Points`."""
        directions = self.x[None, :, :] - tf.gather(self.x, rows)[:, None, :]
        lengths = tf.reduce_sum(tf.square(directions), axis=-1, keepdims=True)
        directions *= tf.where(lengths > TINY, tf.math.rsqrt(tf.maximum(lengths, TINY)), 0.0)
        return tf.matmul(directions, directions, transpose_b=True)
