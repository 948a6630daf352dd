import csv
import warnings
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf
from small_recipes import small_recipe

from iris_tf.config.training_recipe import MarginRecipe, MiningRecipe, TrainRecipe
from iris_tf.data.manifest import ManifestRow
from iris_tf.matching.matcher import Matcher
from iris_tf.metrics.evaluate_embeddings import evaluate_embeddings
from iris_tf.metrics.scores import label_images
from iris_tf.networks.embed_rois import embed_rois
from iris_tf.networks.embedding_model import build_embedding_model
from iris_tf.networks.parameter_groups import backbone_stages
from iris_tf.objectives.registry import build_objective, build_term_weights
from iris_tf.training.callbacks import (
    Checkpoints,
    CollapseWarning,
    GradualUnfreezing,
    Schedules,
    ValidationEER,
    unfrozen_stages,
)
from iris_tf.training.embedding_trainer import EmbeddingTrainer
from iris_tf.training.run_folder import RunFolder, TrainingState


def make_trainer(network, optimizer, recipe=None):
    """Trainer of a recipe's objective; by default with a margin of 0.5 and the band 0..0.5."""
    student = build_embedding_model(network, (32, 32), 8, batchnorm_momentum=0.5)
    if recipe is None:
        recipe = TrainRecipe(margin=MarginRecipe(warm=0.5), mining=MiningRecipe([0.0, 1.0]))
    trainer = EmbeddingTrainer(student, build_objective(recipe), build_term_weights(recipe))
    trainer.compile(optimizer)
    trainer.begin_epoch(0)
    return trainer


def random_batches(steps, seed=0):
    rng = np.random.default_rng(seed)
    images = rng.uniform(0, 255, (4, 3, 32, 32, 1)).astype(np.float32)
    labels = np.array([[0, 0, 1], [1, 1, 2], [2, 2, 3], [3, 3, 0]], np.int32)
    return tf.data.Dataset.from_tensors((images, labels)).repeat(steps)


# -- Schedules ------------------------------------------------------------------------------------


# The contrastive objective does not use them, but its history has always had them.
@pytest.mark.parametrize("objective", ["triplet", "contrastive"])
def test_schedules_are_set_before_an_epoch_and_written_after_it(tiny, objective):
    recipe = TrainRecipe(
        epochs=5,
        warm_epochs=1,
        objective=objective,
        margin=MarginRecipe(0.3, [0.4, 0.5], [0.5, 0.35]),
        mining=MiningRecipe([0.2, 1.0], [0.1, 0.9]),
    )
    trainer = make_trainer(tiny, keras.optimizers.SGD(0.0), recipe)
    history = trainer.fit(
        random_batches(5), epochs=5, steps_per_epoch=1, callbacks=[Schedules()]
    ).history
    # Eqs. 4, 5 and 9 by hand: warm-up in epoch 0, halves 1-2 and 3-4, alpha and ratios over 1-4,
    # where the cosine has gone 0, 1/4, 3/4 and all of the way.
    np.testing.assert_allclose(history["margin"], [0.3, 0.4, 0.5, 0.5, 0.35], atol=1e-6)
    np.testing.assert_allclose(history["ratio_left"], [0.2, 0.2, 0.175, 0.125, 0.1], atol=1e-6)
    np.testing.assert_allclose(history["ratio_right"], [1, 1, 0.975, 0.925, 0.9], atol=1e-6)
    np.testing.assert_allclose(history["distill_weight"], [0, 0, 0.125, 0.375, 0.5], atol=1e-6)


# -- Gradual unfreezing ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stages", "unfreeze_epochs", "expected"),
    [
        # 17 stages of MobileNetV3-Large, the paper's 8 epochs: two more each epoch.
        (17, 8, [1, 3, 5, 7, 9, 11, 13, 15, 17, 17]),
        # 5 stages of ResNet-50: one more every other epoch.
        (5, 8, [1, 1, 2, 2, 3, 3, 4, 4, 5, 5]),
        (5, 1, [1, 5, 5]),
        (3, 2, [1, 2, 3, 3]),
        (5, 0, [5, 5]),
        (1, 4, [1, 1, 1, 1, 1]),
    ],
)
def test_unfrozen_stages(stages, unfreeze_epochs, expected):
    assert [unfrozen_stages(e, stages, unfreeze_epochs) for e in range(len(expected))] == expected


def test_stages_learn_from_the_epoch_in_which_they_are_unfrozen(tiny):
    # SGD without rate 0 in its first steps, and with weight decay, which must not reach the frozen.
    trainer = make_trainer(tiny, keras.optimizers.AdamW(0.01, weight_decay=0.1))
    stages = backbone_stages(trainer.student)
    assert len(stages) == 3
    learnt, unfrozen = [], []

    def weights(layers):
        return [v.numpy() for layer in layers for v in layer.weights]

    class Watch(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            self.before = [weights(stage) for stage in stages]

        def on_epoch_end(self, epoch, logs=None):
            after = [weights(stage) for stage in stages]
            # Of BatchNorm's moving statistics, too: a frozen layer changes in nothing.
            learnt.append(
                [
                    not all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))
                    for one, two in zip(self.before, after, strict=True)
                ]
            )
            unfrozen.append(logs["unfrozen_stages"])

    trainer.fit(
        random_batches(8),
        epochs=4,
        steps_per_epoch=2,
        callbacks=[GradualUnfreezing(stages, 2), Watch()],
    )
    assert learnt == [
        [False, False, True],
        [False, True, True],
        [True, True, True],
        [True, True, True],
    ]
    assert unfrozen == [1, 2, 3, 3]


def test_a_resumed_run_is_unfrozen_as_far_as_its_epoch_asks(tiny):
    trainer = make_trainer(tiny, keras.optimizers.SGD(0.1))
    stages = backbone_stages(trainer.student)
    history = trainer.fit(
        random_batches(1),
        initial_epoch=1,
        epochs=2,
        steps_per_epoch=1,
        callbacks=[GradualUnfreezing(stages, 2)],
    ).history
    assert history["unfrozen_stages"] == [2]
    assert [stage[0].trainable for stage in stages] == [False, True, True]


# -- Validation -----------------------------------------------------------------------------------


def test_validation_eer_is_the_evaluations(tiny):
    trainer = make_trainer(tiny, keras.optimizers.SGD(0.0))
    rng = np.random.default_rng(1)
    eyes = rng.uniform(0, 255, (6, 32, 32))
    # More than one batch of the embedding, so that the order across batches counts.
    rows = [
        ManifestRow(f"{i}.png", "set", f"p{i % 6}", "L", f"p{i % 6}-L", str(i)) for i in range(90)
    ]
    noise = rng.normal(0, 60, (90, 32, 32))
    rois = np.clip(eyes[np.arange(90) % 6] + noise, 0, 255).astype(np.uint8)
    history = trainer.fit(
        random_batches(2),
        epochs=1,
        callbacks=[ValidationEER(rois, label_images(rows))],
    ).history
    one_by_one = np.concatenate(
        [np.asarray(trainer.student(roi[None, :, :, None].astype(np.float32))) for roi in rois]
    )
    np.testing.assert_allclose(embed_rois(trainer.student, rois), one_by_one, atol=1e-5)
    expected = evaluate_embeddings(one_by_one, rows, resamples=0, matcher=Matcher()).metrics.eer
    assert 0 < expected < 0.5
    assert history["val_eer"] == [pytest.approx(expected, abs=1e-3)]


# -- The warning of collapse ----------------------------------------------------------------------


def collapse_warnings(trainer, epochs):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        trainer.fit(
            random_batches(2 * epochs),
            epochs=epochs,
            steps_per_epoch=2,
            callbacks=[CollapseWarning()],
        )
    return [str(w.message) for w in caught if "collapsed" in str(w.message)]


def collapse(trainer):
    """Make the student answer with one point, whatever it sees."""
    [final] = [
        layer
        for layer in trainer.student.layers
        if isinstance(layer, keras.layers.BatchNormalization) and layer.name.startswith("head_")
    ]
    gamma, beta, *moving = final.get_weights()
    final.set_weights([gamma * 1e-6, beta + 1.0, *moving])


def test_a_collapsed_training_is_warned_of_once_after_three_epochs(tiny):
    trainer = make_trainer(tiny, keras.optimizers.SGD(0.0))
    collapse(trainer)
    assert collapse_warnings(trainer, 2) == []
    [message] = collapse_warnings(trainer, 6)
    assert "0.500" in message  # loss and margin


def test_a_healthy_training_is_not_warned_of(tiny):
    assert collapse_warnings(make_trainer(tiny, keras.optimizers.Adam(1e-3)), 5) == []


def test_a_recovery_resets_the_count():
    warning = CollapseWarning()
    objective = build_objective(TrainRecipe(margin=MarginRecipe(warm=0.5)))
    objective.begin_epoch(0)
    warning.set_model(SimpleNamespace(objective=objective))
    collapsed = {"negative_distance": 0.01, "triplet_loss": 0.5}
    healthy = {"negative_distance": 0.9, "triplet_loss": 0.2}
    # A large loss of well spread embeddings is no collapse either.
    lost = {"negative_distance": 0.9, "triplet_loss": 0.5}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for epoch, logs in enumerate(
            [collapsed, collapsed, healthy, collapsed, collapsed, lost, lost, lost]
        ):
            warning.on_epoch_end(epoch, logs)


# -- Checkpoints ----------------------------------------------------------------------------------


@pytest.fixture
def checkpoints(tiny, tmp_path):
    """A run of ten epochs, its callback, and the numbers of the epochs that it thinks best."""
    run = RunFolder.create(small_recipe(tmp_path, "eyes", epochs=10))
    callback = Checkpoints(run, TrainingState())
    callback.set_model(make_trainer(tiny, keras.optimizers.SGD(0.0)))
    return callback


def end_epoch(callback, epoch, **logs):
    """End `epoch` with a student whose head's shift tells the epoch; that of the best file."""
    student = callback.model.student
    variable = next(v for v in student.trainable_variables if v.path.startswith("head_"))
    variable.assign(keras.ops.zeros_like(variable) + float(epoch))
    callback.on_epoch_begin(epoch)
    callback.on_epoch_end(epoch, {"loss": 1.0, **logs})

    def stored(path):
        twin = keras.models.load_model(path, compile=False)
        return float(np.max(next(v for v in twin.variables if v.path == variable.path).numpy()))

    return stored(callback.run.best), stored(callback.run.last)


def test_best_is_the_least_validation_error_and_the_last_of_equals(checkpoints):
    errors = [0.3, 0.2, 0.25, 0.2, 0.1]
    kept = [end_epoch(checkpoints, e, val_eer=error) for e, error in enumerate(errors)]
    assert kept == [(0, 0), (1, 1), (1, 2), (3, 3), (4, 4)]
    state = checkpoints.run.state()
    assert (state.best_epoch, state.best_value, state.epochs_done) == (5, 0.1, 5)
    with open(checkpoints.run.history_file, newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["epoch"]) for row in rows] == [1, 2, 3, 4, 5]
    assert [float(row["val_eer"]) for row in rows] == errors


def test_without_validation_best_is_the_least_loss(checkpoints):
    kept = [end_epoch(checkpoints, e, loss=loss) for e, loss in enumerate([0.5, 0.6, 0.4])]
    assert kept == [(0, 0), (0, 1), (2, 2)]


def test_a_run_whose_loss_is_nan_still_has_a_model(checkpoints):
    assert end_epoch(checkpoints, 0, loss=float("nan")) == (0, 0)
    assert end_epoch(checkpoints, 1, loss=0.5)[0] == 1
