"""Distiller that minimises the distance between feature maps."""

from collections.abc import Mapping

import keras
import tensorflow as tf

from iris_tf.config.training_recipe import TrainRecipe
from iris_tf.networks.seeding import layer_seed
from iris_tf.objectives.objective import Distiller, Losses, ModelShapes, StepBatch
from iris_tf.objectives.resizing import resize

PROJECTIONS = "projections"
"""Parameter group of the projections."""


class FeaturesDistiller(Distiller):
    """Squared distance between projected feature maps (FEAT of AFL-KD).

    ``1/L sum over L layers of |phi_T - P(phi_S)|^2``, summed over positions and channels, mean
    over images: thousands for maps of usual size, for which constant weights have to be small.
    P is a trainable 1x1 convolution with bias per layer; it starts as the identity if both maps
    have as many channels, so that a student equal to its teacher has no loss. A teacher's map of
    another size is resized to the student's. Projections are trained in a group of the optimiser
    of their own, and are no part of the exported model.

    Metric: ``feature_distance``, the unweighted value; NaN in steps in which the teacher is
    inactive.

    Parameters
    ----------
    pairs : mapping of str to str
        Names of the student's feature maps, each with the name of the teacher's.
    seed : int
        Determines the initial projections.
    """

    term_names = ("features",)
    metric_names = ("feature_distance",)
    teacher_terms = ("features",)

    def __init__(self, pairs: Mapping[str, str], seed: int):
        super().__init__({}, name="features")
        self.pairs, self.seed = dict(pairs), seed
        self.student_features = tuple(pairs)
        self.teacher_features = tuple(pairs.values())
        self.kernels: dict[str, keras.Variable] = {}
        self.biases: dict[str, keras.Variable] = {}

    @classmethod
    def from_recipe(cls, recipe: TrainRecipe) -> "FeaturesDistiller":
        """Distiller of a recipe."""
        return cls(recipe.distillation.features, recipe.seed)

    def create_variables(self, shapes: ModelShapes) -> None:
        """Create the projections."""
        for own, taught in self.pairs.items():
            inputs = shapes.student_features[own][-1]
            outputs = shapes.teacher_features[taught][-1]
            name = f"projection_{own}"
            initializer = (
                keras.initializers.Identity()
                if inputs == outputs
                else keras.initializers.GlorotUniform(layer_seed(self.seed, name))
            )
            self.kernels[own] = self.add_weight(
                name=f"{name}_kernel", shape=(inputs, outputs), initializer=initializer
            )
            self.biases[own] = self.add_weight(
                name=f"{name}_bias", shape=(outputs,), initializer="zeros"
            )

    def compute(self, batch: StepBatch) -> Losses:
        """Compute the term and its metric; see the class."""
        # A distiller is only built together with a teacher, and both give what it asks for.
        assert batch.teacher is not None
        student, teacher = batch.student.features, batch.teacher.features
        assert student is not None
        assert teacher is not None
        losses = [
            self._layer(batch, own, student[own], teacher[taught])
            for own, taught in self.pairs.items()
        ]
        distance = tf.add_n(losses) / len(losses)
        return Losses(
            {"features": distance},
            {"feature_distance": tf.where(batch.teacher_active, distance, float("nan"))},
            batch.rows,
        )

    def _layer(
        self, batch: StepBatch, own: str, student: tf.Tensor, teacher: tf.Tensor
    ) -> tf.Tensor:
        student, target = (
            tf.cast(tf.gather(maps, batch.rows), tf.float32) for maps in (student, teacher)
        )
        target = tf.stop_gradient(resize(target, tuple(student.shape[1:3])))
        kernel, bias = (tf.convert_to_tensor(v[own]) for v in (self.kernels, self.biases))
        projected = tf.tensordot(student, kernel, axes=1) + bias
        losses = tf.reduce_sum(tf.square(target - projected), axis=(1, 2, 3))
        return tf.reduce_mean(tf.where(tf.gather(batch.queried, batch.rows), losses, 0.0))

    def parameter_groups(self) -> dict[str, list[keras.Variable]]:
        """The projections."""
        return {PROJECTIONS: [*self.kernels.values(), *self.biases.values()]}
