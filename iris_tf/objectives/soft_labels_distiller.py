"""Distiller that minimises the divergence between class probabilities."""

import tensorflow as tf

from iris_tf.config.training_recipe import TrainRecipe
from iris_tf.objectives.objective import Distiller, Losses, StepBatch
from iris_tf.objectives.soft_labels import soft_label_loss


class SoftLabelsDistiller(Distiller):
    """Mean `soft_label_loss` between the class logits of student and teacher.

    Both logits are without margin, so that a student equal to its teacher has no loss. Metric:
    ``label_divergence``, the unweighted value; NaN in steps in which the teacher is inactive.

    Parameters
    ----------
    temperature : float
        T, above 0.
    """

    term_names = ("soft_labels",)
    metric_names = ("label_divergence",)
    teacher_terms = ("soft_labels",)
    compares_logits = True

    def __init__(self, temperature: float):
        super().__init__({}, name="soft_labels")
        self.temperature = temperature

    @classmethod
    def from_recipe(cls, recipe: TrainRecipe) -> "SoftLabelsDistiller":
        """Distiller of a recipe."""
        return cls(recipe.distillation.temperature)

    def compute(self, batch: StepBatch) -> Losses:
        """Compute the term and its metric; see the class."""
        # Only built for an objective with classes, and a teacher with class centres.
        assert batch.teacher is not None
        assert batch.teacher.logits is not None
        assert batch.student.logits is not None
        teacher = tf.gather(batch.teacher.logits, batch.rows)
        losses = soft_label_loss(batch.student.logits, teacher, self.temperature)
        losses = tf.where(tf.gather(batch.queried, batch.rows), losses, 0.0)
        divergence = tf.reduce_mean(losses)
        return Losses(
            {"soft_labels": divergence},
            {"label_divergence": tf.where(batch.teacher_active, divergence, float("nan"))},
            batch.rows,
        )
