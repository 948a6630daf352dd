"""Distiller that preserves the relations between the images of a batch."""

import tensorflow as tf

from iris_tf.config.training_recipe import TrainRecipe
from iris_tf.objectives.objective import Distiller, Losses, StepBatch
from iris_tf.objectives.relations import RELATIONS


class RelationalDistiller(Distiller):
    """Mean loss of a relation between the embeddings of a batch; embedding sizes may differ.

    Relations are those of each image to all others of the batch. An image that the teacher is not
    queried about has no loss of its own, but remains a partner of the others. Metric:
    ``relation_distance``, the unweighted value; NaN in steps in which the teacher is inactive.

    Parameters
    ----------
    relation : str
        A key of `RELATIONS`.
    """

    term_names = ("relational",)
    metric_names = ("relation_distance",)
    teacher_terms = ("relational",)

    def __init__(self, relation: str):
        super().__init__({}, name="relational")
        self.relation = RELATIONS[relation]

    @classmethod
    def from_recipe(cls, recipe: TrainRecipe) -> "RelationalDistiller":
        """Distiller of a recipe."""
        return cls(recipe.distillation.relation)

    def compute(self, batch: StepBatch) -> Losses:
        """Compute the term and its metric; see the class."""
        assert batch.teacher is not None  # a distiller is only built together with a teacher
        losses = self.relation(
            batch.student.embedding, tf.stop_gradient(batch.teacher.embedding), batch.rows
        )
        losses = tf.where(tf.gather(batch.queried, batch.rows), losses, 0.0)
        distance = tf.reduce_mean(losses)
        return Losses(
            {"relational": distance},
            {"relation_distance": tf.where(batch.teacher_active, distance, float("nan"))},
            batch.rows,
        )
