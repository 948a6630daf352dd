"""Training step: student and teacher forward passes, weighted loss terms, weight update."""

import functools
import itertools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from iris_tf.networks.feature_maps import EMBEDDING, with_feature_maps
from iris_tf.objectives.objective import Objective, Outputs, StepBatch
from iris_tf.objectives.term_weights import TermWeights
from iris_tf.training.input_pipeline import TeacherAnswers, TeacherView
from iris_tf.training.saved_variables import load_variables, save_variables
from iris_tf.training.teacher import Teacher


class EmbeddingTrainer(keras.Model):
    """Trains a student, and the variables of the objective, on the objective's weighted terms.

    The trainer is independent of the losses: the objective defines the terms and their inputs.

    One loop and one step serve a single device, several devices and several workers. Where a
    strategy has replicas, the objective receives the outputs of all of them, so that each replica
    can mine negatives from the global batch.

    Parameters
    ----------
    student : keras.Model
        Maps crops ``(batch, height, width, channels)`` in 0..255 to unit-length embeddings
        ``(batch, D)``.
    objective : Objective
    term_weights : TermWeights
    teacher : Teacher, optional
        Required if the objective has `teacher_terms`. Its weights are neither trained nor saved
        with the student's.
    """

    train_function: Any  # of Keras, which sets it to None; see `make_train_function`

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
        self.teacher = teacher
        names = objective.student_features
        # In a tuple, so that Keras does not track the layers of the student twice.
        self._maps = (with_feature_maps(student, names),) if names else ()
        self.step = self.add_weight(
            name="step", shape=(), dtype="int32", initializer="zeros", trainable=False,
            aggregation="only_first_replica",
        )  # fmt: skip
        names = ("loss", *objective.recorded, *term_weights.measured())
        self._means = {name: keras.metrics.Mean(name=name) for name in names}
        # All variables that the optimiser is built with, including those frozen at present.
        self._trained = self._trainable_now()
        self.built = True

    def _trainable_now(self) -> list[keras.Variable]:
        return [*self.student.trainable_variables, *self.objective.trainable_variables]

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        """Mean metrics of the epoch, reset by `fit` at its start."""
        return list(self._means.values())

    def call(self, rois: Any, training: bool = False) -> Any:
        """Embed crops with the student."""
        return self.student(rois, training=training)

    def compile(self, optimizer: keras.optimizers.Optimizer, jit_compile: bool = False) -> None:
        """Set the optimiser and create its state for all trainable variables."""
        super().compile(optimizer=optimizer, jit_compile=jit_compile)
        self.optimizer.build(self._trained)

    def fit(
        self,
        data: tf.data.Dataset,
        epochs: int = 1,
        initial_epoch: int = 0,
        steps_per_epoch: int | None = None,
        callbacks: Sequence[keras.callbacks.Callback] = (),
    ) -> keras.callbacks.History:
        """Train; Keras's own `fit` fails under `tf.distribute.MultiWorkerMirroredStrategy`.

        Parameters
        ----------
        data : tf.data.Dataset
            Global batches of all epochs, see `train_step`; each is shared by the replicas.
        epochs, initial_epoch : int, optional
            Number of epochs, counted from epoch 0, and the first one to be trained.
        steps_per_epoch : int, optional
            All batches of `data` if it is for a single epoch.
        callbacks : sequence of keras.callbacks.Callback, optional
            Their logs are means over the replicas and the steps of the epoch so far.
        """
        called = keras.callbacks.CallbackList(
            list(callbacks), add_history=True, model=self, epochs=epochs, steps=steps_per_epoch
        )
        batches = iter(self.distribute_strategy.experimental_distribute_dataset(data))
        self.make_train_function()
        called.on_train_begin()
        for epoch in range(initial_epoch, epochs):
            self.reset_metrics()
            called.on_epoch_begin(epoch)
            logs: dict[str, tf.Tensor] = {}
            for step, batch in enumerate(itertools.islice(batches, steps_per_epoch)):
                called.on_train_batch_begin(step)
                logs = self.train_function(batch)
                called.on_train_batch_end(step, logs)
            called.on_epoch_end(epoch, {name: float(value) for name, value in logs.items()})
        called.on_train_end()
        return self.history

    def make_train_function(self, force: bool = False) -> None:
        """Compile `train_function`, the step of `fit` on a batch that the replicas share.

        Parameters
        ----------
        force : bool, optional
            Compile it again, because other variables are trainable.
        """
        if self.train_function is not None and not force:
            return
        strategy = self.distribute_strategy

        def step(batch: Any) -> dict[str, tf.Tensor]:
            found = strategy.run(self.train_step, args=(batch,))
            return {n: strategy.reduce("MEAN", value, axis=None) for n, value in found.items()}

        self.train_function = tf.function(
            step, autograph=False, reduce_retracing=True, jit_compile=self.jit_compile
        )

    def begin_epoch(self, epoch: int) -> None:
        """Update all scheduled values for `epoch`, counted from 0."""
        self.objective.begin_epoch(epoch)
        self.term_weights.begin_epoch(epoch)

    def scheduled_values(self) -> dict[str, float]:
        """Current scheduled values by name, for the history."""
        return self.objective.scheduled_values() | self.term_weights.scheduled_values()

    def save_state(self, path: Path) -> None:
        """Save the variables needed to resume training to an ``.npz`` file."""
        save_variables(path, self._state())

    def load_state(self, path: Path) -> None:
        """Restore variables that `save_state` saved for the same recipe."""
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
        """Run one step on ``(images (groups, size, H, W, C), labels (groups, size))``.

        An optional third element of `data`, a `TeacherView` or `TeacherAnswers`, holds the images
        for the teacher, or its embeddings, and a mask of those it is queried on. Without it, the
        teacher is queried on all student images.
        """
        images, labels, *view = data
        groups, size = images.shape[0], images.shape[1]
        rows = groups * size
        images = tf.reshape(images, (rows, *images.shape[2:]))
        labels = tf.reshape(labels, (rows,))
        teacher_active = self.term_weights.active(self.objective.teacher_terms)
        seen = view[0] if view else TeacherView(images, tf.ones((rows,), tf.bool))
        teacher = self._run_teacher(seen, rows, teacher_active)
        queried = tf.reshape(seen.queried, (rows,)) & teacher_active
        with tf.GradientTape(persistent=self.term_weights.reads_gradients) as tape:
            student = self._run_student(images)
            replica = tf.distribute.get_replica_context().replica_id_in_sync_group
            student, teacher, labels, queried = _gather_replicas(
                (student, teacher, labels, queried)
            )
            batch = StepBatch(
                student=student,
                teacher=teacher,
                labels=labels,
                queried=queried,
                teacher_active=teacher_active,
                rows=replica * rows + tf.range(rows),
                groups=groups,
                group_size=size,
                step=self.step.value,
                replica=replica,
            )
            losses = self.objective.compute(batch)
            weighted = self.term_weights.weigh(losses.terms, functools.partial(self._norm, tape))
            loss = tf.add_n(list(weighted.values()))
            replicas = tf.distribute.get_strategy().num_replicas_in_sync
            # The optimiser sums gradients over replicas.
            scaled = self.optimizer.scale_loss(loss / replicas)
        self._apply_gradients(tape, scaled)
        self.step.assign_add(1)

        # A loss that is cut off at 0 hides embeddings that are NaN.
        finite = tf.reduce_all(tf.math.is_finite(student.embedding))
        values = {"loss": tf.where(finite, loss, math.nan)}
        values |= losses.metrics | self.term_weights.measured()
        values |= {f"{name}_loss": term for name, term in weighted.items()}
        for name, value in values.items():
            self._means[name].update_state(value)
        return self.get_metrics_result()

    def _run_student(self, images: tf.Tensor) -> Outputs:
        for model in self._maps:
            maps = dict(model(images, training=True))
            return Outputs(maps.pop(EMBEDDING), maps)
        return Outputs(self.student(images, training=True))

    def _run_teacher(
        self, seen: TeacherView | TeacherAnswers, rows: int, teacher_active: tf.Tensor
    ) -> Outputs | None:
        """Teacher outputs; zeros while the teacher is inactive, so that warm-up costs nothing."""
        if self.teacher is None:
            return None
        if isinstance(seen, TeacherAnswers):
            return self.teacher.answer(tf.reshape(seen.embeddings, (rows, -1)))
        crops = tf.reshape(seen.images, (rows, *seen.images.shape[-3:]))
        return self.teacher.query(crops, teacher_active)

    def _norm(
        self, tape: tf.GradientTape, term: tf.Tensor, student_only: bool = False
    ) -> tf.Tensor:
        """Euclidean norm of the gradient of a term, see `GradientNorm`."""
        variables = self.student.trainable_variables if student_only else self._trainable_now()
        with tape.stop_recording():
            # Scaled as in the step, so that gradients in float16 do not vanish.
            scale = self.optimizer.scale_loss(tf.ones_like(term))
            gradients = tape.gradient(term, variables, output_gradients=scale)
            # `convert_to_tensor` sums the duplicate rows of sparse gradients.
            gradients = [None if g is None else tf.convert_to_tensor(g) for g in gradients]
            context = tf.distribute.get_replica_context()
            if context.num_replicas_in_sync > 1:
                # The gradient of the mean over replicas, so that all of them weigh alike.
                found = [g for g in gradients if g is not None]
                gradients = context.all_reduce(tf.distribute.ReduceOp.MEAN, found)
            return tf.linalg.global_norm(gradients) / scale

    def _apply_gradients(self, tape: tf.GradientTape, loss: tf.Tensor) -> None:
        # MultiOptimizer needs an entry for every variable it was built with. Frozen variables
        # get None, which leaves their values and moments unchanged.
        trainable = self._trainable_now()
        gradients = tape.gradient(loss, trainable)
        context = tf.distribute.get_replica_context()
        if context.num_replicas_in_sync > 1:
            # Keras checks only the first replica for float16 overflow. Averaging here makes all
            # replicas agree, and the optimiser's sum of the means is the sum of the gradients.
            gradients = context.all_reduce(tf.distribute.ReduceOp.MEAN, gradients)
        gradients = dict(zip(map(id, trainable), gradients, strict=True))
        self.optimizer.apply([gradients.get(id(v)) for v in self._trained], self._trained)


def _gather_replicas(values: Any) -> Any:
    """Gather a nest of per-image tensors from all replicas."""
    context = tf.distribute.get_replica_context()
    replicas = context.num_replicas_in_sync
    if replicas == 1:
        return values

    def gather(x: tf.Tensor) -> tf.Tensor:
        if x.dtype == tf.bool:  # not supported by collective operations
            return tf.cast(gather(tf.cast(x, tf.int32)), tf.bool)
        # All replicas have the same number of rows, but the gathered shape is unknown.
        whole = (replicas * x.shape[0], *x.shape[1:])
        gathered = tf.ensure_shape(context.all_gather(x, axis=0), whole)
        return _with_dense_gradient(gathered) if x.dtype.is_floating else gathered

    return tf.nest.map_structure(lambda x: None if x is None else gather(x), values)


@tf.custom_gradient
def _with_dense_gradient(x: tf.Tensor) -> Any:
    """Identity with a dense gradient; `all_gather` does not support the sparse one of `gather`."""
    return tf.identity(x), tf.convert_to_tensor
