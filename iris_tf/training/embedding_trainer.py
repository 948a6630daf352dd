"""The training step: embed, ask the teacher, compute the terms, weigh them, apply."""

from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from iris_tf.objectives.objective import Objective, Outputs, StepBatch
from iris_tf.objectives.term_weights import TermWeights
from iris_tf.training.saved_variables import load_variables, save_variables
from iris_tf.training.teacher import Teacher


class EmbeddingTrainer(keras.Model):
    """Trains `student`, and what the objective owns, on the weighted terms of the objective.

    Knows no loss: which terms there are, and what they need, is the objective's.

    Under `tf.distribute.MirroredStrategy` the objective is given the outputs of all replicas,
    so that the negatives of all are candidates for each replica's anchors.

    Parameters
    ----------
    student : keras.Model
        Crops ``(batch, height, width, channels)`` in 0..255 to unit embeddings ``(batch, D)``.
    objective : Objective
    term_weights : TermWeights
    teacher : Teacher, optional
        Needed by an objective with `taught_terms`. Its weights are neither trained nor saved with
        the student's.
    """

    def __init__(
        self,
        student: keras.Model,
        objective: Objective,
        term_weights: TermWeights,
        teacher: Teacher | None = None,
    ):
        super().__init__(name="embedding_trainer")
        self.student = student
        self.objective = objective
        self.term_weights = term_weights
        self._teacher = teacher
        self.step = self.add_weight(
            name="step", shape=(), dtype="int32", initializer="zeros", trainable=False,
            aggregation="only_first_replica",
        )  # fmt: skip
        names = ("loss", *objective.recorded)
        self._means = {name: keras.metrics.Mean(name=name) for name in names}
        # Every variable the optimiser will ever see, whatever is frozen right now.
        self._trained = self._trainable_now()
        self.built = True

    def _trainable_now(self) -> list[keras.Variable]:
        return [*self.student.trainable_variables, *self.objective.trainable_variables]

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        """Means over the epoch, reset by `fit`."""
        return list(self._means.values())

    def call(self, rois: Any, training: bool = False) -> Any:
        """Embed crops with the student."""
        return self.student(rois, training=training)

    def compile(self, optimizer: keras.optimizers.Optimizer, jit_compile: bool = False) -> None:
        """Set the optimiser and create its state for all variables that are trained."""
        super().compile(optimizer=optimizer, jit_compile=jit_compile)
        self.optimizer.build(self._trained)

    def begin_epoch(self, epoch: int) -> None:
        """Set all scheduled values for `epoch`, counted from 0."""
        self.objective.begin_epoch(epoch)
        self.term_weights.begin_epoch(epoch)

    def scheduled_values(self) -> dict[str, float]:
        """Current scheduled values by name, for the record."""
        return self.objective.scheduled_values() | self.term_weights.scheduled_values()

    def save_state(self, path: Path) -> None:
        """Write all that a resumed training needs as an ``.npz`` file."""
        save_variables(path, self._state())

    def load_state(self, path: Path) -> None:
        """Take back what `save_state` wrote for the same recipe."""
        load_variables(path, self._state())

    def _state(self) -> list[keras.Variable]:
        return [
            *self.student.variables,
            *self.objective.saved_variables,
            *self.term_weights.saved_variables,
            self.step,
            *self.optimizer.variables,
        ]

    def train_step(self, data: Any) -> dict[str, Any]:
        """One step on ``(images (groups, size, H, W, C), labels (groups, size))``.

        A third element of `data`, a `TeacherView`, holds what the teacher is shown in the place
        of the images, and about which it is asked; without it the teacher is asked about all
        images.
        """
        images, labels, *view = data
        groups, size = images.shape[0], images.shape[1]
        rows = groups * size
        images = tf.reshape(images, (rows, *images.shape[2:]))
        labels = tf.reshape(labels, (rows,))
        shown, asked = view[0] if view else (images, tf.ones((rows,), tf.bool))
        consulted = self.term_weights.active(self.objective.taught_terms)
        taught = self._ask_teacher(tf.reshape(shown, (rows, *shown.shape[-3:])), consulted)
        asked = tf.reshape(asked, (rows,)) & consulted
        with tf.GradientTape(persistent=self.term_weights.reads_gradients) as tape:
            own = Outputs(self.student(images, training=True))
            replica = tf.distribute.get_replica_context().replica_id_in_sync_group
            student, taught, labels, asked = _gather_replicas((own, taught, labels, asked))
            batch = StepBatch(
                student=student,
                teacher=taught,
                labels=labels,
                asked=asked,
                consulted=consulted,
                rows=replica * rows + tf.range(rows),
                groups=groups,
                group_size=size,
                step=self.step.value,
                replica=replica,
            )
            terms, metrics, _ = self.objective.compute(batch)
            weighted = self.term_weights.weigh(terms, lambda term: self._norm(tape, term))
            loss = tf.add_n(list(weighted.values()))
            replicas = tf.distribute.get_strategy().num_replicas_in_sync
            # The optimiser sums gradients over replicas.
            scaled = self.optimizer.scale_loss(loss / replicas)
        self._apply_gradients(tape, scaled)
        self.step.assign_add(1)

        values = {"loss": loss, **metrics}
        values |= {f"{name}_loss": term for name, term in weighted.items()}
        for name, value in values.items():
            self._means[name].update_state(value)
        return self.get_metrics_result()

    def _ask_teacher(self, crops: tf.Tensor, consulted: tf.Tensor) -> Outputs | None:
        """Teacher's outputs; zeros where it is not consulted, so that warm-up pays nothing."""
        teacher = self._teacher
        if teacher is None:
            return None
        shape = (crops.shape[0], teacher.embedding_size)
        return tf.cond(consulted, lambda: teacher(crops), lambda: Outputs(tf.zeros(shape)))

    def _norm(self, tape: tf.GradientTape, term: tf.Tensor) -> tf.Tensor:
        """Euclidean norm of the gradient of one term on all that is trained now."""
        with tape.stop_recording():
            gradients = tape.gradient(term, self._trainable_now())
            # Of a gathered variable, rows that occur several times must be summed first.
            return tf.linalg.global_norm(
                [None if g is None else tf.convert_to_tensor(g) for g in gradients]
            )

    def _apply_gradients(self, tape: tf.GradientTape, loss: tf.Tensor) -> None:
        # MultiOptimizer wants one entry for every variable it was built with:
        # frozen ones get None, which leaves value and moments untouched.
        trainable = self._trainable_now()
        gradients = tape.gradient(loss, trainable)
        context = tf.distribute.get_replica_context()
        if context.num_replicas_in_sync > 1:
            # Keras asks the first replica alone whether float16 has overflowed; the mean
            # makes all agree, and the optimiser's sum of it is that of the gradients.
            gradients = context.all_reduce(tf.distribute.ReduceOp.MEAN, gradients)
        gradients = dict(zip(map(id, trainable), gradients, strict=True))
        self.optimizer.apply([gradients.get(id(v)) for v in self._trained], self._trained)


def _gather_replicas(values: Any) -> Any:
    """A nest of tensors with a row for each image, as they are in all replicas together."""
    context = tf.distribute.get_replica_context()
    replicas = context.num_replicas_in_sync
    if replicas == 1:
        return values

    def gather(x: tf.Tensor) -> tf.Tensor:
        if x.dtype == tf.bool:  # which collective operations do not know
            return tf.cast(gather(tf.cast(x, tf.int32)), tf.bool)
        # Every replica has as many rows, which the gathered shape does not say by itself.
        whole = (replicas * x.shape[0], *x.shape[1:])
        gathered = tf.ensure_shape(context.all_gather(x, axis=0), whole)
        return _with_dense_gradient(gathered) if x.dtype.is_floating else gathered

    return tf.nest.map_structure(lambda x: None if x is None else gather(x), values)


@tf.custom_gradient
def _with_dense_gradient(x: tf.Tensor) -> Any:
    """The same tensor; `all_gather` cannot send back the sparse gradient of `tf.gather`."""
    return tf.identity(x), tf.convert_to_tensor
