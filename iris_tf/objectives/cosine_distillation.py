"""The distillation loss."""

from typing import Any

from keras import ops


def cosine_distillation(student: Any, teacher: Any) -> Any:
    """Cosine distance between student and teacher embeddings (Eqs. 7-8).

    ``1 - cos(s_x, t_x)`` per row. If the rows are the embeddings of anchors, positives
    and negatives, the mean over all rows is the paper's
    ``1/3 * sum over x in {a, p, n} of delta_x (1 - cos(s_x, t_x))`` with
    delta_x = 1. Eq. 9 adds it to the triplet loss with weight alpha.

    Parameters
    ----------
    student, teacher : tensor of shape (..., dimensions)
        Embeddings of the same images, any float type, not necessarily of unit length.
        No gradient flows into the teacher.

    Returns
    -------
    tensor of shape (...,)
        float32, 0 (same direction) .. 2 (opposite).

    Examples
    --------
    >>> [float(x) for x in cosine_distillation([[1.0, 0.0], [0.0, 2.0]], [[0.0, 3.0], [0.0, 1.0]])]
    [1.0, 0.0]
    """
    student = ops.normalize(ops.cast(student, "float32"), axis=-1)
    teacher = ops.normalize(ops.stop_gradient(ops.cast(teacher, "float32")), axis=-1)
    return 1.0 - ops.sum(student * teacher, axis=-1)
