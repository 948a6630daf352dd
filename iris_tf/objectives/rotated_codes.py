"""Phase codes as points: two are compared at their best rotation."""

import functools
from typing import Any

import tensorflow as tf

from iris_tf.tflite.phase_code_layout import PhaseCodeLayout

# Differences of float32 scalar products of unit vectors; closer codes are the same.
_SAME = 1e-5


class RotatedCodes:
    """`iris_tf.objectives.points.Points` of phase codes.

    The scalar product of two codes is the largest over all rotations, as
    `iris_tf.matching.matcher.Matcher` has it, because head tilt rotates the iris. The distance is
    that at this rotation, and angles follow from three distances by the law of cosines.

    Parameters
    ----------
    codes : tensor of shape (batch, size), float32
        Codes of unit length, or zero where nothing of the iris is visible.
    layout : PhaseCodeLayout
        Of these codes.
    """

    def __init__(self, codes: Any, layout: PhaseCodeLayout):
        self.codes, self.layout = codes, layout

    def products(self, rows: Any) -> tf.Tensor:
        """See `iris_tf.objectives.points.Points`."""
        own, step = tf.gather(self.codes, rows), self.layout.size // self.layout.columns
        return functools.reduce(
            tf.maximum,
            (
                tf.matmul(tf.roll(own, columns * step, axis=1), self.codes, transpose_b=True)
                for columns in self.layout.rotations
            ),
        )

    def squared_distances(self) -> tf.Tensor:
        """See `iris_tf.objectives.points.Points`."""
        squares = tf.reduce_sum(tf.square(self.codes), axis=1)
        products = self.products(tf.range(tf.shape(self.codes)[0]))
        return tf.maximum(squares[:, None] + squares[None, :] - 2.0 * products, 0.0)

    def angles(self, rows: Any) -> tf.Tensor:
        """See `iris_tf.objectives.points.Points`."""
        squared = self.squared_distances()
        legs = tf.gather(squared, rows)
        one, other = legs[:, :, None], legs[:, None, :]
        cosines = (
            (one + other - squared[None])
            * 0.5
            * tf.math.rsqrt(tf.maximum(one, _SAME) * tf.maximum(other, _SAME))
        )
        # The largest rotation is limited, so that the triangle inequality may be missed slightly.
        return tf.where(tf.minimum(one, other) > _SAME, tf.clip_by_value(cosines, -1.0, 1.0), 0.0)
