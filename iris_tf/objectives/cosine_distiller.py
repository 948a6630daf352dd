"""Cosine distillation of embeddings, as a distiller."""

import tensorflow as tf

from iris_tf.config.training_recipe import TrainRecipe
from iris_tf.objectives.cosine_distillation import cosine_distillation
from iris_tf.objectives.objective import Distiller, Losses, StepBatch
from iris_tf.support.errors import ModelError


class CosineDistiller(Distiller):
    """Mean cosine distance of the student's embeddings to the teacher's (Eqs. 7-8).

    With the triplet objective the mean is over anchors, positives and mined negatives: the
    paper's ``1/3 * sum over x in {a, p, n} of delta_x (1 - cos(s_x, t_x))``, where delta_x is 0
    for a row that the teacher was not asked about. Metric: ``teacher_distance``, the same value
    before it is weighted, 0..2; NaN in a step in which the teacher was not asked at all.
    """

    term_names = ("distillation",)
    metric_names = ("teacher_distance",)
    taught_terms = ("distillation",)

    def __init__(self) -> None:
        super().__init__({}, name="cosine")

    @classmethod
    def from_recipe(cls, recipe: TrainRecipe) -> "CosineDistiller":
        """Distiller of a recipe; there is nothing to set."""
        return cls()

    @staticmethod
    def check_sizes(student: int, teacher: int) -> None:
        """Refuse embeddings of different sizes, which have no cosine."""
        if student != teacher:
            raise ModelError(
                f"the teacher gives {teacher} numbers, but the student {student}; cosine "
                "distillation needs embeddings of one size."
            )

    def compute(self, batch: StepBatch) -> Losses:
        """See the class."""
        assert batch.teacher is not None  # there is one wherever there is a distiller
        distances = cosine_distillation(batch.student.embedding, batch.teacher.embedding)
        distances = tf.where(batch.asked, distances, 0.0)
        distance = tf.reduce_mean(tf.gather(distances, batch.rows))
        return Losses(
            {"distillation": distance},
            {"teacher_distance": tf.where(batch.consulted, distance, float("nan"))},
            batch.rows,
        )
