"""The in-batch contrastive objective."""

from collections.abc import Mapping

import tensorflow as tf

from iris_tf.config.training_recipe import TrainRecipe
from iris_tf.objectives.contrastive_loss import contrastive_loss
from iris_tf.objectives.objective import Losses, Objective, StepBatch
from iris_tf.objectives.scheduled import Schedule
from iris_tf.objectives.triplet_objective import triplet_schedules


class ContrastiveObjective(Objective):
    """Mean of `contrastive_loss` over the images; every negative of the batch counts.

    Nothing is mined. The term ``contrastive`` compares this replica's own images with those of
    all replicas. Metric: ``matched_share`` of the images whose most similar other image is of
    the same identity, 0..1.

    Parameters
    ----------
    temperature : float
        Above 0.
    schedules : mapping of str to Schedule, optional
        Recorded, and not used.
    """

    term_names = ("contrastive",)
    metric_names = ("matched_share",)

    def __init__(self, temperature: float, schedules: Mapping[str, Schedule] | None = None):
        super().__init__(schedules or {}, name="contrastive")
        self.temperature = temperature

    @classmethod
    def from_recipe(cls, recipe: TrainRecipe) -> "ContrastiveObjective":
        """Objective of a recipe with ``objective: contrastive``."""
        # The history of such a run has always had the columns of the triplets' schedules, and a
        # run that an earlier version began goes on with the columns that it has.
        return cls(recipe.temperature, triplet_schedules(recipe))

    def compute(self, batch: StepBatch) -> Losses:
        """See the class."""
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
