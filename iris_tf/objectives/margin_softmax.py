"""Softmax cross-entropy over class centres, with a margin on the angle or its cosine."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

# Below this, 1 - cos^2 is rounding error in float32. The square root stays differentiable.
_LEAST_SQUARED_SINE = 1e-7

TargetCosine = Callable[[tf.Tensor, float], tf.Tensor]
"""Maps the cosine between embedding and own class centre, and the margin m, to the one trained."""


def arcface_cosine(cosine: Any, margin: float) -> tf.Tensor:
    """Cosine of the angle plus the margin (ArcFace, Deng et al., 2019).

    ``cos(theta + m) = cos(theta) cos(m) - sin(theta) sin(m)``, without acos, whose gradient is
    infinite at 0 and pi. For theta > pi - m, where cos(theta + m) would rise again,
    ``cos(theta) - m sin(m)``, as InsightFace has it without ``easy_margin``: for m up to 2.33
    it keeps falling with the angle, with a step of ``1 - cos(m) - m sin(m)`` at pi - m.

    Parameters
    ----------
    cosine : tensor of shape (...,)
        Cosine of theta; values outside -1..1 are rounding errors of it.
    margin : float
        m in radians, 0..pi.

    Returns
    -------
    tensor of shape (...,)
        float32. At theta = 0 the gradient is that of the cosine alone, since the sine's is 0 on
        average over all directions.
    """
    cosine = tf.clip_by_value(tf.cast(cosine, tf.float32), -1.0, 1.0)
    sine = tf.sqrt(tf.maximum((1.0 - cosine) * (1.0 + cosine), _LEAST_SQUARED_SINE))
    cos_m, sin_m = tf.cos(margin), tf.sin(margin)
    return tf.where(cosine >= -cos_m, cosine * cos_m - sine * sin_m, cosine - margin * sin_m)


def cosface_cosine(cosine: Any, margin: float) -> tf.Tensor:
    """Cosine minus the margin, ``cos(theta) - m`` (CosFace, Wang et al., 2018), float32."""
    return tf.cast(cosine, tf.float32) - margin


def softmax_cosine(cosine: Any, margin: float) -> tf.Tensor:
    """Unchanged cosine, float32; the margin is unused (NormFace, Wang et al., 2017)."""
    return tf.cast(cosine, tf.float32)


def margin_softmax_loss(
    cosines: tf.Tensor, labels: tf.Tensor, scale: float, margin: float, target: TargetCosine
) -> tf.Tensor:
    """Cross-entropy of the true class, ``-log(e^(s t) / (e^(s t) + sum_other e^(s cos)))``.

    Parameters
    ----------
    cosines : tensor of shape (rows, classes), float32
        Cosines between embeddings and class centres.
    labels : tensor of shape (rows,), int32
        Class of each row, 0..classes - 1.
    scale : float
        s, above 0.
    margin : float
        m.
    target : TargetCosine
        t of the formula as a function of the true class's cosine.

    Returns
    -------
    tensor of shape (rows,)
        float32, at least 0. Memory is that of the logits: there is no one-hot matrix.
    """
    places = tf.stack([tf.range(tf.shape(labels)[0]), labels], axis=1)
    trained = target(tf.gather_nd(cosines, places), margin)
    logits = scale * tf.tensor_scatter_nd_update(cosines, places, trained)
    return tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
