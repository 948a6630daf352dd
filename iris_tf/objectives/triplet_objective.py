"""Triplet objective of MobiIris: mined negatives and a dynamic margin."""

from collections.abc import Mapping

import tensorflow as tf

from iris_tf.config.training_recipe import TrainRecipe
from iris_tf.objectives.band_miner import MinedNegatives, mine_negatives
from iris_tf.objectives.distances import euclidean_distances, pairwise_distances
from iris_tf.objectives.margin_schedule import MarginSchedule
from iris_tf.objectives.mining_schedule import MiningSchedule
from iris_tf.objectives.objective import Losses, Objective, StepBatch
from iris_tf.objectives.scheduled import Schedule
from iris_tf.objectives.triplet_indices import triplet_indices
from iris_tf.objectives.triplet_loss import triplet_loss

_REPLICA_SEEDS = 7919  # seed offset between replicas, a prime, so that they draw independently


def triplet_schedules(recipe: TrainRecipe) -> dict[str, Schedule]:
    """Schedules of the margin (Eq. 5) and the mining ratios (Eq. 6) of a recipe."""
    margin, mining = recipe.margin, recipe.mining
    epochs = recipe.warm_epochs, recipe.epochs
    (medi_from, medi_to), (post_from, post_to) = margin.medi, margin.post
    left, right = zip(mining.warm_ratios, mining.final_ratios, strict=True)
    ratios = MiningSchedule(left, right, *epochs)
    return {
        "margin": MarginSchedule(margin.warm, (medi_from, medi_to), (post_from, post_to), *epochs),
        "ratio_left": lambda epoch: ratios(epoch)[0],
        "ratio_right": lambda epoch: ratios(epoch)[1],
    }


class TripletObjective(Objective):
    """Triplet loss with dynamic margin and band-mined negatives (Eqs. 3-6).

    The term ``triplet`` is the mean of ``max(d(a, p) - d(a, n) + m, 0)`` over the triplets of
    this replica, where n is mined from the images of all replicas. The compared rows are the
    anchors, positives and mined negatives, in this order.

    Metrics: ``active_share``, the share of triplets with a loss above 0, and
    ``fallback_share``, the share whose band was empty, both 0..1; ``negative_distance``, the
    mean of d(a, n), 0..2.

    Parameters
    ----------
    layout : str
        Batch layout, see `triplet_indices`.
    hardest : int
        Number of hardest negatives that the fallback of Eq. 6 draws from.
    reduction : str
        ``"mean"`` (Eq. 3) or ``"active"`` (over the nonzero losses, per replica: several devices
        weight triplets slightly differently from one).
    seed : int
        Seed of the random choice among qualifying negatives.
    schedules : mapping of str to Schedule
        ``margin``, and ``ratio_left`` and ``ratio_right`` of the mining band.
    """

    term_names = ("triplet",)
    metric_names = ("active_share", "fallback_share", "negative_distance")

    def __init__(
        self,
        layout: str,
        hardest: int,
        reduction: str,
        seed: int,
        schedules: Mapping[str, Schedule],
    ):
        super().__init__(schedules, name="triplet")
        self.layout = layout
        self.hardest = hardest
        self.reduction = reduction
        self.seed = seed

    @classmethod
    def from_recipe(cls, recipe: TrainRecipe) -> "TripletObjective":
        """Objective of a recipe with ``objective: triplet``."""
        return cls(
            recipe.batch.layout,
            recipe.mining.hardest,
            recipe.triplet_reduction,
            recipe.seed,
            triplet_schedules(recipe),
        )

    def compute(self, batch: StepBatch) -> Losses:
        """Mine negatives and compute the triplet term and metrics; see the class."""
        embeddings, margin = batch.student.embedding, self.scheduled["margin"]
        local = triplet_indices(self.layout, batch.groups, batch.group_size)
        anchor, positive, sampled = (index + batch.first for index in local)
        mined = self.mine(batch, anchor, positive)
        negative = tf.where(mined.indices >= 0, mined.indices, sampled)
        a, p, n = (tf.gather(embeddings, index) for index in (anchor, positive, negative))
        d_ap, d_an = euclidean_distances(a, p), euclidean_distances(a, n)
        return Losses(
            {"triplet": triplet_loss(d_ap, d_an, margin, self.reduction)},
            {
                "active_share": tf.reduce_mean(tf.cast(d_ap - d_an + margin > 0, tf.float32)),
                "fallback_share": 1.0 - tf.reduce_mean(tf.cast(mined.in_band, tf.float32)),
                "negative_distance": tf.reduce_mean(d_an),
            },
            tf.concat([anchor, positive, negative], axis=0),
        )

    def mine(self, batch: StepBatch, anchor: tf.Tensor, positive: tf.Tensor) -> MinedNegatives:
        """Mine the negative of each triplet from all images of the batch (Eq. 6).

        Parameters
        ----------
        batch : StepBatch
        anchor, positive : tensor of shape (triplets,), int32
            Row indices.
        """
        embeddings = tf.stop_gradient(batch.student.embedding)
        anchors = tf.gather(embeddings, anchor)
        distances = pairwise_distances(anchors, embeddings)
        own_seed = self.seed + _REPLICA_SEEDS * batch.replica
        margin = self.scheduled["margin"]
        return mine_negatives(
            distances,
            d_ap=euclidean_distances(anchors, tf.gather(embeddings, positive)),
            valid=tf.not_equal(tf.gather(batch.labels, anchor)[:, None], batch.labels[None, :]),
            d_left=self.scheduled["ratio_left"] * margin,
            d_right=self.scheduled["ratio_right"] * margin,
            random_keys=tf.random.stateless_uniform(
                tf.shape(distances), seed=tf.stack([own_seed, batch.step])
            ),
            top_k=self.hardest,
        )

    def collapse(self, logs: dict[str, float]) -> str:
        """Detect a collapse: all distances are near 0, and the loss stays at the margin."""
        margin, loss = float(self.scheduled["margin"].numpy()), logs["triplet_loss"]
        if logs["negative_distance"] < 0.1 * margin and abs(loss - margin) < 0.1 * margin:
            return f"the triplet loss ({loss:.3f}) has stayed at the margin ({margin:.3f})"
        return ""
