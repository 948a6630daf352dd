"""The training step: embed, mine, triplet loss or contrastive loss, distillation."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from iris_tf.config.training_recipe import BatchRecipe
from iris_tf.objectives.band_miner import mine_negatives
from iris_tf.objectives.contrastive_loss import contrastive_loss
from iris_tf.objectives.cosine_distillation import cosine_distillation
from iris_tf.objectives.distances import euclidean_distances, pairwise_distances
from iris_tf.objectives.triplet_loss import triplet_loss
from iris_tf.training.saved_variables import load_variables, save_variables


class TripletIndices(NamedTuple):
    """Row numbers into a batch that was flattened to (groups * group_size, ...).

    All three are int32 arrays of shape (triplets,); `negative` is what
    sampling chose, before mining replaces it.
    """

    anchor: np.ndarray
    positive: np.ndarray
    negative: np.ndarray


def triplet_indices(layout: str, groups: int, group_size: int) -> TripletIndices:
    """Triplets that a grouped batch holds.

    Parameters
    ----------
    layout : str
        ``"triplet"``: a group is (anchor, positive, negative), Algorithm 2.
        ``"balanced"``: a group is `group_size` images of one identity; every
        ordered pair of them is (anchor, positive), and the negative is the
        first image of the next group.
    groups, group_size : int
        Shape of the batch.
    """
    first = np.arange(groups, dtype=np.int32)[:, None] * group_size
    if layout == "triplet":
        return TripletIndices(*(first[:, 0] + column for column in range(3)))
    pairs = [(i, j) for i in range(group_size) for j in range(group_size) if i != j]
    anchor, positive = np.array(pairs, np.int32).T
    negative = np.broadcast_to(np.roll(first, -1, axis=0), (groups, len(pairs)))
    return TripletIndices(
        (first + anchor).ravel(), (first + positive).ravel(), np.ascontiguousarray(negative.ravel())
    )


class EmbeddingTrainer(keras.Model):
    """Trains `student` with mined triplets, or contrastively, and with distillation if wanted.

    Total loss of triplets (Eqs. 3, 6-9): mean of max(d(a,p) - d(a,n) + margin, 0) plus
    alpha/3 times the sum over a, p, n of 1 - cos(student, teacher), with n the
    mined negative in student and teacher alike. With a `temperature`, the mean of
    `contrastive_loss` over the images takes the place of the triplets, and alpha
    times the mean of 1 - cos over the images that of their distillation; nothing
    is mined, for every negative of the batch counts. The values that follow a
    schedule are variables, set each epoch by `callbacks.Schedules`.

    Under `tf.distribute.MirroredStrategy` the negatives of all replicas are
    candidates for each replica's anchors.

    Parameters
    ----------
    student : keras.Model
        Crops ``(batch, height, width, 1)`` in 0..255 to unit embeddings ``(batch, D)``.
    batch : BatchRecipe
        Layout and shape of the batches that `fit` will see.
    hardest : int
        Of how many hardest negatives the fallback of Eq. 6 chooses.
    triplet_reduction : str
        ``"mean"`` (Eq. 3) or ``"active"`` (over the non-zero losses; of each
        replica by itself, so several devices weigh triplets a little otherwise
        than one).
    seed : int
        Seed of the random choice among qualified negatives.
    teach : callable, optional
        Crops to the frozen teacher's unit embeddings. Deliberately a function
        and not a layer, so that the teacher's weights are neither trained nor
        saved with the student's.
    temperature : float, optional
        Of the contrastive loss; none for triplets.
    """

    def __init__(
        self,
        student: keras.Model,
        batch: BatchRecipe,
        hardest: int = 5,
        triplet_reduction: str = "mean",
        seed: int = 0,
        teach: Callable[[tf.Tensor], tf.Tensor] | None = None,
        temperature: float | None = None,
    ):
        super().__init__(name="embedding_trainer")
        self.student = student
        self.batch = batch
        self.hardest = hardest
        self.triplet_reduction = triplet_reduction
        self.seed = seed
        self.temperature = temperature
        self._teach = teach
        self.margin = self._scheduled("margin")
        self.ratio_left = self._scheduled("ratio_left")
        self.ratio_right = self._scheduled("ratio_right")
        self.distill_weight = self._scheduled("distill_weight")
        self.step = self.add_weight(
            name="step", shape=(), dtype="int32", initializer="zeros", trainable=False,
            aggregation="only_first_replica",
        )  # fmt: skip
        names = ["loss", "contrastive_loss", "matched_share"]
        if temperature is None:
            names = ["loss", "triplet_loss", "active_share", "fallback_share", "negative_distance"]
        if teach is not None:
            names += ["distillation_loss", "teacher_distance"]
        self._means = {name: keras.metrics.Mean(name=name) for name in names}
        # Every variable the optimiser will ever see, whatever is frozen right now.
        self._student_variables = list(student.trainable_variables)
        self.built = True

    def _scheduled(self, name: str) -> keras.Variable:
        return self.add_weight(
            name=name, shape=(), dtype="float32", initializer="zeros", trainable=False,
            aggregation="only_first_replica",
        )  # fmt: skip

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        """Means over the epoch, reset by `fit`."""
        return list(self._means.values())

    def call(self, rois, training=False):
        """Embed crops with the student."""
        return self.student(rois, training=training)

    def compile(self, optimizer: keras.optimizers.Optimizer, jit_compile: bool = False) -> None:
        """Set the optimiser and create its state for all of the student's variables."""
        super().compile(optimizer=optimizer, jit_compile=jit_compile)
        self.optimizer.build(self._student_variables)

    def save_state(self, path: Path) -> None:
        """Write all that a resumed training needs as an ``.npz`` file."""
        save_variables(path, self._state())

    def load_state(self, path: Path) -> None:
        """Take back what `save_state` wrote for the same recipe."""
        load_variables(path, self._state())

    def _state(self) -> list[keras.Variable]:
        return [*self.student.variables, self.step, *self.optimizer.variables]

    def train_step(self, data):
        """One step on ``(images (groups, size, H, W, 1), labels (groups, size))``.

        A third element of `data`, like the images, is what the teacher sees in their place;
        of images that are black there it is not asked (delta_x = 0 in Eq. 7).
        """
        images, labels, *shown = data
        groups, size = images.shape[0], images.shape[1]
        flat = (groups * size, *images.shape[2:])
        images = tf.reshape(images, flat)
        labels = tf.reshape(labels, (groups * size,))
        taught = self._teacher_embeddings(tf.reshape(shown[0], flat) if shown else images)
        if taught is not None and shown:
            asked = tf.reduce_any(tf.reshape(shown[0], (groups * size, -1)) > 0.0, axis=1)
            taught = tf.where(asked[:, None], taught, 0.0)
        objective = self._triplets if self.temperature is None else self._contrast
        with tf.GradientTape() as tape:
            own = self.student(images, training=True)
            embeddings, all_labels, taught, offset = _gather_replicas(own, labels, taught)
            loss, distance, values = objective(embeddings, all_labels, taught, offset, groups, size)
            if taught is not None:
                distillation = self.distill_weight * distance  # Eq. 7
                loss = loss + distillation
            replicas = tf.distribute.get_strategy().num_replicas_in_sync
            # The optimiser sums gradients over replicas.
            scaled = self.optimizer.scale_loss(loss / replicas)
        self._apply_gradients(tape, scaled)
        self.step.assign_add(1)

        values["loss"] = loss
        if taught is not None:
            values["distillation_loss"] = distillation
            # The teacher is not asked while alpha is 0, so there is no distance to report.
            values["teacher_distance"] = tf.where(self.distill_weight > 0.0, distance, float("nan"))
        for name, value in values.items():
            self._means[name].update_state(value)
        return self.get_metrics_result()

    def _triplets(self, embeddings, labels, taught, offset, groups, size):
        """Loss of this replica's triplets, mean distance to the teacher, and what to report."""
        local = triplet_indices(self.batch.layout, groups, size)
        anchor, positive, sampled = (index + offset for index in local)
        negative, in_band = self._mine(embeddings, labels, anchor, positive, sampled)
        triplet = (anchor, positive, negative)
        a, p, n = (tf.gather(embeddings, index) for index in triplet)
        d_ap, d_an = euclidean_distances(a, p), euclidean_distances(a, n)
        loss = triplet_loss(d_ap, d_an, self.margin, self.triplet_reduction)
        distance = None
        if taught is not None:
            distance = tf.add_n(
                [
                    _mean_distance(student, tf.gather(taught, index))
                    for student, index in zip((a, p, n), triplet, strict=True)
                ]
            )
            distance = distance / 3.0
        return (
            loss,
            distance,
            {
                "triplet_loss": loss,
                "active_share": tf.reduce_mean(tf.cast(d_ap - d_an + self.margin > 0, tf.float32)),
                "fallback_share": 1.0 - tf.reduce_mean(tf.cast(in_band, tf.float32)),
                "negative_distance": tf.reduce_mean(d_an),
            },
        )

    def _contrast(self, embeddings, labels, taught, offset, groups, size):
        """Contrastive loss of this replica's images, and the rest as `_triplets`."""
        mine = slice(offset, offset + groups * size)
        loss = tf.reduce_mean(contrastive_loss(embeddings, labels, self.temperature)[mine])
        distance = None
        if taught is not None:
            distance = _mean_distance(embeddings[mine], taught[mine])
        similarity = tf.matmul(embeddings, embeddings, transpose_b=True)
        nearest = tf.argmax(tf.linalg.set_diag(similarity, -tf.ones_like(labels, tf.float32)), 1)
        matched = tf.equal(tf.gather(labels, nearest), labels)[mine]
        return (
            loss,
            distance,
            {
                "contrastive_loss": loss,
                "matched_share": tf.reduce_mean(tf.cast(matched, tf.float32)),
            },
        )

    def _mine(self, embeddings, labels, anchor, positive, sampled):
        """Mined negative of each triplet, or the sampled one where the batch has none."""
        embeddings = tf.stop_gradient(embeddings)
        anchors = tf.gather(embeddings, anchor)
        distances = pairwise_distances(anchors, embeddings)
        valid = tf.not_equal(tf.gather(labels, anchor)[:, None], labels[None, :])
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        keys = tf.random.stateless_uniform(
            tf.shape(distances), seed=tf.stack([self.seed + 7919 * replica, self.step.value])
        )
        mined = mine_negatives(
            distances,
            d_ap=euclidean_distances(anchors, tf.gather(embeddings, positive)),
            valid=valid,
            d_left=self.ratio_left * self.margin,
            d_right=self.ratio_right * self.margin,
            random_keys=keys,
            top_k=self.hardest,
        )
        return tf.where(mined.indices >= 0, mined.indices, sampled), mined.in_band

    def _teacher_embeddings(self, images):
        """Teacher's embeddings; zeros while alpha is 0, so that warm-up pays nothing for them."""
        if self._teach is None:
            return None
        shape = (images.shape[0], self.student.output_shape[-1])
        return tf.cond(
            self.distill_weight > 0.0,
            lambda: tf.ensure_shape(self._teach(images), shape),
            lambda: tf.zeros(shape),
        )

    def _apply_gradients(self, tape, loss) -> None:
        # MultiOptimizer wants one entry for every variable it was built with:
        # frozen ones get None, which leaves value and moments untouched.
        trainable = self.student.trainable_variables
        gradients = tape.gradient(loss, trainable)
        context = tf.distribute.get_replica_context()
        if context.num_replicas_in_sync > 1:
            # Keras asks the first replica alone whether float16 has overflowed; the mean
            # makes all agree, and the optimiser's sum of it is that of the gradients.
            gradients = context.all_reduce(tf.distribute.ReduceOp.MEAN, gradients)
        gradients = dict(zip(map(id, trainable), gradients, strict=True))
        self.optimizer.apply(
            [gradients.get(id(v)) for v in self._student_variables], self._student_variables
        )


def _mean_distance(student: tf.Tensor, taught: tf.Tensor) -> tf.Tensor:
    """Mean of Eq. 7 over all rows; delta_x is 0 where the teacher says nothing, a zero vector."""
    said = tf.reduce_any(taught != 0.0, axis=-1)
    return tf.reduce_mean(tf.where(said, cosine_distillation(student, taught), 0.0))


def _gather_replicas(embeddings, labels, taught):
    """Embeddings of all replicas, and this replica's first row among them."""
    context = tf.distribute.get_replica_context()
    if context.num_replicas_in_sync == 1:
        return embeddings, labels, taught, 0
    rows = embeddings.shape[0]

    def gather(x):
        # Every replica has as many rows, which the gathered shape does not say by itself.
        whole = (context.num_replicas_in_sync * rows, *x.shape[1:])
        return tf.ensure_shape(context.all_gather(x, axis=0), whole)

    return (
        _with_dense_gradient(gather(embeddings)),
        gather(labels),
        None if taught is None else gather(taught),
        context.replica_id_in_sync_group * rows,
    )


@tf.custom_gradient
def _with_dense_gradient(x):
    """The same tensor; `all_gather` cannot send back the sparse gradient of `tf.gather`."""
    return tf.identity(x), tf.convert_to_tensor
