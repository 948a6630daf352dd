"""Classification of the training identities: ArcFace, CosFace and softmax."""

from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from iris_tf.config.training_recipe import TrainRecipe
from iris_tf.networks.seeding import layer_seed
from iris_tf.objectives.class_centres import FILE_NAME, ClassCentres
from iris_tf.objectives.margin_softmax import (
    arcface_cosine,
    cosface_cosine,
    margin_softmax_loss,
    softmax_cosine,
)
from iris_tf.objectives.objective import Losses, ModelShapes, Objective, StepBatch
from iris_tf.support.errors import ModelError

CENTRES = "centres"
"""Parameter group of the class centres."""


class ClassifierObjective(Objective):
    """Mean `margin_softmax_loss` of the images over trainable class centres.

    The centres are trained in a group of the optimiser of their own, saved in checkpoints, and
    are no part of the model that is exported. Everything is computed in float32.

    Metric: ``class_accuracy``, 0..1, the share of images whose nearest centre is their class's.

    Parameters
    ----------
    scale, margin : float
        s and m.
    seed : int
        Determines the initial centres.
    """

    has_classes = True
    metric_names = ("class_accuracy",)

    @staticmethod
    def target(cosine: tf.Tensor, margin: float) -> tf.Tensor:
        """Cosine to the own class's centre as it is trained, see `TargetCosine`."""
        raise NotImplementedError

    def __init__(self, scale: float, margin: float, seed: int):
        super().__init__({}, name=self.term_names[0])
        self.scale, self.margin, self.seed = scale, margin, seed
        self.classes: tuple[str, ...] = ()

    @classmethod
    def from_recipe(cls, recipe: TrainRecipe) -> "ClassifierObjective":
        """Objective of a recipe with this `objective`."""
        return cls(recipe.classifier.scale, recipe.classifier.margin, recipe.seed)

    def create_variables(self, shapes: ModelShapes) -> None:
        """Create the centres, random directions."""
        self.classes = shapes.classes
        self.centres = self.add_weight(
            name="class_centres",
            shape=(len(shapes.classes), shapes.embedding_size),
            initializer=keras.initializers.RandomNormal(
                0.0, shapes.embedding_size**-0.5, layer_seed(self.seed, "class_centres")
            ),
        )

    def compute(self, batch: StepBatch) -> Losses:
        """Compute the term, the metric, and the class logits without margin; see the class."""
        name = self.term_names[0]
        embeddings = tf.cast(tf.gather(batch.student.embedding, batch.rows), tf.float32)
        labels = tf.gather(batch.labels, batch.rows)
        centres = tf.math.l2_normalize(tf.convert_to_tensor(self.centres), axis=1)
        cosines = tf.matmul(embeddings, centres, transpose_b=True)
        losses = margin_softmax_loss(cosines, labels, self.scale, self.margin, self.target)
        right = tf.equal(tf.argmax(cosines, axis=1, output_type=labels.dtype), labels)
        return Losses(
            {name: tf.reduce_mean(losses)},
            {"class_accuracy": tf.reduce_mean(tf.cast(right, tf.float32))},
            batch.rows,
            self.scale * cosines,
        )

    def parameter_groups(self) -> dict[str, list[keras.Variable]]:
        """The centres."""
        return {CENTRES: [self.centres]}

    def files(self) -> dict[str, Callable[[Path], None]]:
        """The centres, for students that learn from this model's logits."""
        return {FILE_NAME: self._save_centres}

    def load_files(self, folder: Path) -> None:
        """The centres of the classes, if any were stored.

        Raises
        ------
        ModelError
            If an identity is not among the stored classes, or the embeddings had another size.
        """
        path = folder / FILE_NAME
        if not path.is_file():
            return
        stored = ClassCentres.load(path)
        places = {name: place for place, name in enumerate(stored.names)}
        for name in self.classes:
            if name not in places:
                raise ModelError(
                    f"{path}: the identity {name!r} of the training split is not among the "
                    f"{len(places)} classes that the model was trained on; give the dataset and "
                    "the split of its run."
                )
        size = self.centres.shape[1]
        if stored.vectors.shape[1] != size:
            raise ModelError(
                f"{path}: has centres of {stored.vectors.shape[1]} dimensions, but the embeddings "
                f"have {size}; give the file of the model's own run."
            )
        self.centres.assign(stored.vectors[[places[name] for name in self.classes]])

    def _save_centres(self, path: Path) -> None:
        vectors = self.centres.numpy()
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        ClassCentres(vectors / lengths, self.scale, self.classes).save(path)


class ArcFaceObjective(ClassifierObjective):
    """With `arcface_cosine`: the margin is added to the angle."""

    term_names = ("arcface",)
    target = staticmethod(arcface_cosine)


class CosFaceObjective(ClassifierObjective):
    """With `cosface_cosine`: the margin is subtracted from the cosine."""

    term_names = ("cosface",)
    target = staticmethod(cosface_cosine)


class SoftmaxObjective(ClassifierObjective):
    """Without a margin."""

    term_names = ("softmax",)
    target = staticmethod(softmax_cosine)
