"""Distillation of class probabilities."""

from typing import Any

import tensorflow as tf


def soft_label_loss(student: Any, teacher: Any, temperature: float) -> tf.Tensor:
    """Divergence between softened class probabilities (Hinton et al., 2015).

    ``T^2 KL(p_t || p_s) = T^2 sum p_t log(p_t / p_s)`` with ``p = softmax(logits / T)``: the KD
    term of AFL-KD, and L_KD of hybrid distillation. The factor keeps the gradient's size as T
    changes.

    Parameters
    ----------
    student, teacher : tensor of shape (rows, classes)
        Class logits. No gradient flows into the teacher.
    temperature : float
        T, above 0.

    Returns
    -------
    tensor of shape (rows,)
        float32, at least 0.

    Examples
    --------
    >>> round(float(soft_label_loss([[0.0, 0.0]], [[2.0, 0.0]], 1.0)[0]), 4)
    0.3278
    """
    teacher = tf.stop_gradient(tf.cast(teacher, tf.float32)) / temperature
    log_student = tf.nn.log_softmax(tf.cast(student, tf.float32) / temperature)
    log_teacher = tf.nn.log_softmax(teacher)
    divergence = tf.reduce_sum(tf.exp(log_teacher) * (log_teacher - log_student), axis=-1)
    return temperature**2 * divergence
