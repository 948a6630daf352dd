"""Run the trainer on two logical CPU devices and print the results as JSON.

A separate program, because devices must be split before TensorFlow starts:
``python tests/training/two_devices.py DATASET FOLDER``.
"""

import dataclasses
import json
import sys
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

TESTS = Path(__file__).parents[1]
sys.path.insert(0, str(TESTS))

import tiny_network  # noqa: E402
from small_recipes import small_recipe  # noqa: E402

from iris_tf.benchmark.training_speed import measure_training  # noqa: E402
from iris_tf.config.distillation_recipe import (  # noqa: E402
    ClassifierRecipe,
    DistillationRecipe,
    GradientNormRecipe,
)
from iris_tf.config.training_recipe import (  # noqa: E402
    MarginRecipe,
    MiningRecipe,
    TrainRecipe,
)
from iris_tf.networks.embed_rois import load_embedding_model  # noqa: E402
from iris_tf.objectives.class_centres import ClassCentres  # noqa: E402
from iris_tf.objectives.contrastive_objective import ContrastiveObjective  # noqa: E402
from iris_tf.objectives.cosine_distiller import CosineDistiller  # noqa: E402
from iris_tf.objectives.distilled_objective import DistilledObjective  # noqa: E402
from iris_tf.objectives.objective import ModelShapes  # noqa: E402
from iris_tf.objectives.registry import build_objective, build_term_weights  # noqa: E402
from iris_tf.objectives.term_weights import ConstantWeights  # noqa: E402
from iris_tf.objectives.triplet_objective import TripletObjective  # noqa: E402
from iris_tf.support.errors import RecipeError  # noqa: E402
from iris_tf.training.embedding_trainer import EmbeddingTrainer  # noqa: E402
from iris_tf.training.optimizer import OwnStepsAdamW  # noqa: E402
from iris_tf.training.strategies import mirrored_strategy  # noqa: E402
from iris_tf.training.teacher import Teacher  # noqa: E402
from iris_tf.training.train_model import resume, train  # noqa: E402

MARGIN, LEFT, RIGHT = 0.4, 0.2, 1.0
TEMPERATURE = 0.25
GROUPS, SIZE, DEVICES = 4, 3, 2


def in_band(vectors, labels, anchor, positive):
    """Rows in the anchor's band of Eq. 6."""
    distances = np.linalg.norm(vectors - vectors[anchor], axis=1)
    d_ap = distances[positive]
    band = (distances > d_ap + LEFT * MARGIN) & (distances < d_ap + RIGHT * MARGIN)
    return np.flatnonzero(band & (labels != labels[anchor]))


def case_with_one_negative(on_the_other_device):
    """Vectors and labels where every anchor has one negative in its band, on a known device."""
    rng = np.random.default_rng(0)
    labels = np.array([[0, 0, 4], [1, 1, 4], [2, 2, 5], [3, 3, 5]]).ravel()
    half = GROUPS * SIZE // DEVICES
    while True:
        vectors = rng.normal(size=(GROUPS, SIZE, 6))
        vectors[:, 1] = vectors[:, 0] + 0.5 * rng.normal(size=(GROUPS, 6))
        vectors = (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).reshape(-1, 6)
        bands = [in_band(vectors, labels, 3 * g, 3 * g + 1) for g in range(GROUPS)]
        if all(
            len(band) == 1 and ((band[0] < half) != (3 * g < half)) == on_the_other_device
            for g, band in enumerate(bands)
        ):
            return vectors, labels, [int(band[0]) for band in bands]


class ReversedRows(keras.layers.Layer):
    """A teacher's whole network; NaN for bright crops if wanted."""

    def __init__(self, nan_if_bright=False):
        super().__init__()
        self.nan_if_bright = nan_if_bright

    def call(self, rois):
        bright = tf.reduce_max(tf.abs(rois), axis=(1, 2, 3)) > 10
        embedding = tf.math.l2_normalize(tf.reshape(rois, (-1, 6))[:, ::-1], axis=1)
        return tf.where((bright & self.nan_if_bright)[:, None], float("nan"), embedding)


def one_step(
    strategy, images, labels, nan_if_bright=False, optimizer=None, temperature=None, steps=1
):
    """Logs and weights after one step, or some, of a matrix that starts as identity."""
    with strategy.scope():
        roi = keras.Input((1, 6, 1))
        x = keras.layers.Dense(6, use_bias=False, name="head_linear")(keras.layers.Flatten()(roi))
        student = keras.Model(roi, keras.layers.UnitNormalization()(x))
        student.get_layer("head_linear").set_weights([np.eye(6)])
        recipe = TrainRecipe(margin=MarginRecipe(warm=MARGIN), mining=MiningRecipe([LEFT, RIGHT]))
        objective = TripletObjective.from_recipe(recipe)
        if temperature is not None:
            objective = ContrastiveObjective(temperature)
        trainer = EmbeddingTrainer(
            student,
            DistilledObjective(objective, CosineDistiller()),
            ConstantWeights({"distillation": 0.3}),
            Teacher(keras.Model(roi, ReversedRows(nan_if_bright)(roi))),
        )
        trainer.compile(optimizer or keras.optimizers.SGD(1.0))
        trainer.begin_epoch(0)
    data = tf.data.Dataset.from_tensors((images, labels)).repeat(steps)
    history = trainer.fit(data).history
    return {
        "logs": {name: float(values[0]) for name, values in history.items()},
        "kernel": student.get_layer("head_linear").get_weights()[0].tolist(),
        "step": int(trainer.step.numpy()),
    }


def adam_steps(strategy, images, labels):
    """The matrix after three steps of the optimiser of real trainings, and its own count.

    Of the contrastive loss: negatives of triplets are drawn by each device for itself.
    """
    with strategy.scope():
        optimizer = OwnStepsAdamW(0.05, weight_decay=0.1)
    outcome = one_step(
        strategy, images, labels, optimizer=optimizer, temperature=TEMPERATURE, steps=3
    )
    (counter,) = optimizer._own_steps
    counts = [int(value) for value in strategy.experimental_local_results(counter.value)]
    return {"kernel": outcome["kernel"], "counts": counts}


def convolutional(seed):
    """A network with a feature map, without batch statistics, which are each device's own."""
    rng = np.random.default_rng(seed)
    roi = keras.Input((8, 8, 1))
    x = keras.layers.Conv2D(3, 3, strides=2, activation="relu", name="conv")(roi)
    x = keras.layers.Dense(6, name="head_linear")(keras.layers.Flatten()(x))
    model = keras.Model(roi, keras.layers.UnitNormalization()(x), name="convolutional")
    model.set_weights([rng.normal(0, 0.1, w.shape) for w in model.get_weights()])
    return model


def afl_steps(strategy, steps=2):
    """Logs and variables after steps of AFL-KD with ArcFace, all of whose variables are trained."""
    tiny_network.NETWORKS["convolutional"] = dataclasses.replace(
        tiny_network.SPEC, features={"stride4": "conv"}
    )
    rng = np.random.default_rng(5)
    images = rng.uniform(-1, 1, (8, 1, 8, 8, 1)).astype(np.float32)
    labels = rng.integers(0, 4, (8, 1)).astype(np.int32)
    classes = ("a", "b", "c", "d")
    recipe = TrainRecipe(
        objective="arcface",
        classifier=ClassifierRecipe(8.0, 0.3),
        distillation=DistillationRecipe(
            teacher="run",
            distiller="afl",
            features={"stride4": "stride4"},
            term_weights="gradient_norm",
            gradient_norm=GradientNormRecipe(smoothing=0.5),
        ),
    )
    with strategy.scope():
        objective, student = build_objective(recipe), convolutional(1)
        centres = ClassCentres(np.eye(4, 6, dtype=np.float32), 8.0, classes)
        teacher = Teacher(convolutional(2), ["stride4"], centres)
        shapes = teacher.feature_shapes
        objective.create_variables(ModelShapes(6, classes, shapes, shapes))
        trainer = EmbeddingTrainer(student, objective, build_term_weights(recipe), teacher)
        trainer.compile(keras.optimizers.SGD(0.1))
        trainer.begin_epoch(0)
    data = tf.data.Dataset.from_tensors((images, labels)).repeat(steps)
    history = trainer.fit(data).history
    trained = [*student.trainable_variables, *objective.trainable_variables]
    return {
        "logs": {name: float(values[0]) for name, values in history.items()},
        "variables": {v.path: v.numpy().tolist() for v in trained},
    }


def overflowing_step(strategy):
    """The matrix after a step that is NaN on the second device alone."""
    vectors, labels, _ = case_with_one_negative(on_the_other_device=False)
    images = vectors.reshape(GROUPS, SIZE, 1, 6, 1).astype(np.float32)
    images[GROUPS // DEVICES :] *= 100  # the student sees directions only
    with strategy.scope():
        optimizer = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(1.0))
    labels = labels.reshape(GROUPS, SIZE).astype(np.int32)
    return one_step(strategy, images, labels, True, optimizer)["kernel"]


def whole_run(dataset, folder):
    """Train on both devices: a teacher, and a student with all that a recipe can ask for."""
    tiny_network.NETWORKS[tiny_network.NAME] = tiny_network.SPEC

    def recipe(name, **changes):
        (folder / name).mkdir()
        return small_recipe(folder / name, dataset, strategy="mirrored", **changes)

    teacher = train(recipe("teacher", epochs=1))
    student = recipe(
        "student",
        seed=8,
        mixed_float16=True,
        network={"weights": str(teacher.best)},
        distillation={"teacher": str(teacher.path)},
        batch={"layout": "balanced", "images_per_identity": 2},
        warm_epochs=0,
        unfreeze_epochs=1,
    )
    run = train(student)
    model = load_embedding_model(run.last)
    try:
        train(recipe("uneven", batch={"groups": 5}))
        refusal = None
    except RecipeError as error:
        refusal = str(error)
    return {
        "history": run.state().history,
        "devices": json.loads(run.environment.read_text())["devices"],
        "finite": all(bool(np.isfinite(v.numpy()).all()) for v in model.weights),
        "complete": resume(run.path).is_complete(),
        "refusal": refusal,
        "speed": measure_training(teacher.recipe(), steps=2),
    }


def main(dataset, folder):
    """Print the outcomes."""
    tf.config.set_logical_device_configuration(
        tf.config.list_physical_devices("CPU")[0],
        [tf.config.LogicalDeviceConfiguration()] * DEVICES,
    )
    vectors, labels, negatives = case_with_one_negative(on_the_other_device=True)
    images = (100 * vectors).reshape(GROUPS, SIZE, 1, 6, 1).astype(np.float32)
    labels = labels.reshape(GROUPS, SIZE).astype(np.int32)
    devices = [device.name for device in tf.config.list_logical_devices("CPU")]
    one_device = tf.distribute.OneDeviceStrategy(devices[0])
    contrastive = {
        name: one_step(strategy, images, labels, temperature=TEMPERATURE)
        for name, strategy in (("one", one_device), ("two", mirrored_strategy()))
    }
    print(
        json.dumps(
            {
                "vectors": vectors.tolist(),
                "negatives": negatives,
                "one": one_step(one_device, images, labels),
                "two": one_step(mirrored_strategy(), images, labels),
                "contrastive": contrastive,
                "afl": [afl_steps(s) for s in (one_device, mirrored_strategy())],
                "adam": [adam_steps(s, images, labels) for s in (one_device, mirrored_strategy())],
                "overflow": overflowing_step(mirrored_strategy()),
                "run": whole_run(dataset, folder),
            }
        )
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
