"""Distiller that minimises the cosine distance between student and teacher embeddings."""

import tensorflow as tf

from iris_tf.config.training_recipe import TrainRecipe
from iris_tf.objectives.cosine_distillation import cosine_distillation
from iris_tf.objectives.objective import Distiller, Losses, StepBatch
from iris_tf.support.errors import ModelError


class CosineDistiller(Distiller):
    """Mean cosine distance between student and teacher embeddings (Eqs. 7-8).

    With the triplet objective, the mean is over anchors, positives and mined negatives: the
    paper's ``1/3 * sum over x in {a, p, n} of delta_x (1 - cos(s_x, t_x))``, where delta_x is 0
    for rows without a teacher query. Metric: ``teacher_distance``, the unweighted value, 0..2;
    NaN in steps in which the teacher is inactive.
    """

    term_names = ("distillation",)
    metric_names = ("teacher_distance",)
    teacher_terms = ("distillation",)

    def __init__(self) -> None:
        super().__init__({}, name="cosine")

    @classmethod
    def from_recipe(cls, recipe: TrainRecipe) -> "CosineDistiller":
        """Distiller of a recipe; it has no settings."""
        return cls()

    @staticmethod
    def check_sizes(student: int, teacher: int) -> None:
        """Raise `ModelError` if the embedding sizes differ: their cosine is undefined."""
        if student != teacher:
            raise ModelError(
                f"the teacher's embeddings have {teacher} dimensions, but the student's have "
                f"{student}; cosine distillation needs equal embedding sizes."
            )

    def compute(self, batch: StepBatch) -> Losses:
        """Compute the distillation term and its metric; see the class."""
        assert batch.teacher is not None  # a distiller is only built together with a teacher
        distances = cosine_distillation(batch.student.embedding, batch.teacher.embedding)
        distances = tf.where(batch.queried, distances, 0.0)
        distance = tf.reduce_mean(tf.gather(distances, batch.rows))
        return Losses(
            {"distillation": distance},
            {"teacher_distance": tf.where(batch.teacher_active, distance, float("nan"))},
            batch.rows,
        )
