"""Distiller that preserves the relations between the images of a batch."""

import tensorflow as tf

from iris_tf.config.training_recipe import TrainRecipe
from iris_tf.objectives.objective import Distiller, Losses, ModelShapes, StepBatch
from iris_tf.objectives.points import Points, Vectors
from iris_tf.objectives.relations import RELATIONS
from iris_tf.objectives.rotated_codes import RotatedCodes
from iris_tf.tflite.phase_code_layout import PhaseCodeLayout


class RelationalDistiller(Distiller):
    """Mean loss of a relation between the embeddings of a batch; embedding sizes may differ.

    Relations are those of each image to all others of the batch. An image that the teacher is not
    queried about has no loss of its own, but remains a partner of the others. Phase codes of a
    teacher are compared at their best rotation. Metric:
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
        self.teacher_code: PhaseCodeLayout | None = None

    @classmethod
    def from_recipe(cls, recipe: TrainRecipe) -> "RelationalDistiller":
        """Distiller of a recipe."""
        return cls(recipe.distillation.relation)

    def create_variables(self, shapes: ModelShapes) -> None:
        """Note how the teacher's embeddings are compared; there are no variables."""
        self.teacher_code = shapes.teacher_code

    def compute(self, batch: StepBatch) -> Losses:
        """Compute the term and its metric; see the class."""
        assert batch.teacher is not None  # a distiller is only built together with a teacher
        losses = self.relation(
            Vectors(batch.student.embedding),
            self._taught(tf.stop_gradient(batch.teacher.embedding)),
            batch.rows,
        )
        losses = tf.where(tf.gather(batch.queried, batch.rows), losses, 0.0)
        distance = tf.reduce_mean(losses)
        return Losses(
            {"relational": distance},
            {"relation_distance": tf.where(batch.teacher_active, distance, float("nan"))},
            batch.rows,
        )

    def _taught(self, embedding: tf.Tensor) -> Points:
        if self.teacher_code is None:
            return Vectors(embedding)
        return RotatedCodes(embedding, self.teacher_code)
