"""The in-batch contrastive objective."""

from collections.abc import Mapping

import tensorflow as tf

from iris_tf.config.training_recipe import TrainRecipe
from iris_tf.objectives.contrastive_loss import contrastive_loss
from iris_tf.objectives.objective import Losses, Objective, StepBatch
from iris_tf.objectives.scheduled import Schedule
from iris_tf.objectives.triplet_objective import triplet_schedules


class ContrastiveObjective(Objective):
    """Mean `contrastive_loss` over the images, with all negatives of the batch (no mining).

    The term ``contrastive`` compares this replica's images with those of all replicas. Metric:
    ``matched_share``, 0..1, the share of images whose most similar other image has the same
    identity.

    Parameters
    ----------
    temperature : float
        Above 0.
    schedules : mapping of str to Schedule, optional
        Recorded in the history only; not used by the loss.
    """

    term_names = ("contrastive",)
    metric_names = ("matched_share",)

    def __init__(self, temperature: float, schedules: Mapping[str, Schedule] | None = None):
        super().__init__(schedules or {}, name="contrastive")
        self.temperature = temperature

    @classmethod
    def from_recipe(cls, recipe: TrainRecipe) -> "ContrastiveObjective":
        """Objective of a recipe with ``objective: contrastive``."""
        # History files of contrastive runs have the columns of the triplet schedules. They are
        # kept, so that a run started by an earlier version resumes with the same columns.
        return cls(recipe.temperature, triplet_schedules(recipe))

    def compute(self, batch: StepBatch) -> Losses:
        """Compute the loss term and the metric; see the class."""
        embeddings, labels = batch.student.embedding, batch.labels
        losses = contrastive_loss(embeddings, labels, self.temperature)
        similarity = tf.matmul(embeddings, embeddings, transpose_b=True)
        nearest = tf.argmax(tf.linalg.set_diag(similarity, -tf.ones_like(labels, tf.float32)), 1)
        matched = tf.cast(tf.equal(tf.gather(labels, nearest), labels), tf.float32)
        return Losses(
            {"contrastive": tf.reduce_mean(tf.gather(losses, batch.rows))},
            {"matched_share": tf.reduce_mean(tf.gather(matched, batch.rows))},
            batch.rows,
        )
