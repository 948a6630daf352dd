from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf

from iris_tf.config.training_recipe import TrainRecipe
from iris_tf.data.manifest import ManifestRow
from iris_tf.metrics.scores import label_images
from iris_tf.networks.embedding_model import build_embedding_model
from iris_tf.objectives.registry import build_objective, build_term_weights
from iris_tf.support.errors import TrainingError
from iris_tf.training.callbacks import ValidationEER
from iris_tf.training.divergence import DivergenceCheck
from iris_tf.training.embedding_trainer import EmbeddingTrainer


@pytest.fixture
def trainer(tiny):
    def trainer(optimizer):
        recipe = TrainRecipe()
        student = build_embedding_model(tiny, (32, 32), 8, batchnorm_momentum=0.5)
        trainer = EmbeddingTrainer(student, build_objective(recipe), build_term_weights(recipe))
        trainer.compile(optimizer)
        trainer.begin_epoch(0)
        return trainer

    return trainer


class Breaking(keras.callbacks.Callback):
    """Make embeddings NaN in the steps of the given numbers, counted from 1 over all epochs."""

    def __init__(self, steps):
        super().__init__()
        self.steps, self.step = steps, 0

    def on_train_batch_begin(self, batch, logs=None):
        self.step += 1
        kernel = self.model.student.get_layer("head_dense").kernel
        if self.step in self.steps:
            self.kept = kernel.numpy()
            kernel.assign(kernel * np.nan)
        elif self.step - 1 in self.steps:
            kernel.assign(self.kept)


def fit(trainer, broken, network=None):
    images = np.random.default_rng(0).uniform(0, 255, (4, 3, 32, 32, 1)).astype(np.float32)
    labels = np.array([[0, 0, 1], [1, 1, 2], [2, 2, 3], [3, 3, 0]], np.int32)
    trainer.fit(
        tf.data.Dataset.from_tensors((images, labels)).repeat(),
        epochs=2,
        steps_per_epoch=5,
        callbacks=[Breaking(broken), DivergenceCheck(network or trainer.student, "smaller steps")],
    )


# TensorFlow's `relu` makes 0 of the triplet losses of NaN embeddings.
def test_the_first_step_with_a_broken_loss_is_named(trainer):
    with pytest.raises(TrainingError) as caught:
        fit(trainer(keras.optimizers.SGD(0.01)), broken=[8, 9])
    assert str(caught.value) == (
        "The training has diverged: the loss or an embedding became NaN at step 3 of 5 in epoch 2. "
        "The checkpoints of epoch 1 are kept. Train again into another folder, with smaller steps."
    )


def test_with_mixed_precision_keras_is_given_time_to_lower_the_loss_scale(trainer):
    # Steps with NaN embeddings break the moving statistics, too, which is not looked at here.
    intact = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])

    def optimizer():
        return keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.01), initial_scale=4.0)

    fit(trainer(optimizer()), broken=[2, 7], network=intact)
    # 4, 2, 1, and at the third skipped step one half.
    with pytest.raises(TrainingError, match=r"at step 4 of 5 in epoch 1\. .*`mixed_float16`"):
        fit(trainer(optimizer()), broken=[2, 3, 4, 5], network=intact)


@pytest.mark.parametrize(
    ("logs", "message"),
    [
        ({"loss": 2.0, "triplet_loss": 1.0, "teacher_distance": np.nan}, None),
        (
            {"loss": np.inf, "triplet_loss": 1.0, "distillation_loss": np.inf},
            "distillation_loss became infinite at step 2 of 3 in epoch 1",
        ),
        (
            {"loss": np.nan, "triplet_loss": np.nan, "distillation_loss": np.nan},
            "triplet_loss and distillation_loss became NaN",
        ),
        ({"loss": np.nan, "triplet_loss": 0.0}, ": the loss or an embedding became NaN"),
    ],
)
def test_the_broken_terms_are_named(logs, message):
    check = DivergenceCheck(keras.Sequential(), "smaller steps")
    check.set_model(SimpleNamespace(optimizer=keras.optimizers.SGD()))
    check.set_params({"steps": 3})
    check.on_epoch_begin(0)
    if message is None:
        check.on_train_batch_end(1, logs)
        return
    with pytest.raises(TrainingError, match=message):
        check.on_train_batch_end(1, logs)


def test_broken_weights_are_found_at_the_end_of_an_epoch(trainer):
    broken = trainer(keras.optimizers.SGD(0.01))
    variable = broken.student.trainable_variables[0]
    variable.assign(variable * np.inf)
    with pytest.raises(TrainingError, match=r"weights became non-finite in epoch 3\. The check"):
        DivergenceCheck(broken.student, "smaller steps").on_epoch_end(2)


def test_finite_weights_whose_activations_overflow_are_found_in_validation(trainer):
    broken = trainer(keras.optimizers.SGD(0.01))
    for variable in broken.student.trainable_variables:
        variable.assign(variable * 1e30)
    rows = [ManifestRow(f"{i}.png", "s", f"p{i % 2}", "L", f"p{i % 2}-L", str(i)) for i in range(8)]
    rois = np.random.default_rng(1).integers(0, 256, (8, 32, 32), np.uint8)
    validation = ValidationEER(rois, label_images(rows))
    validation.set_model(broken)
    with pytest.raises(TrainingError, match=r"diverged: validation embeddings .* in epoch 1\. "):
        validation.on_epoch_end(0, {})
