from dataclasses import replace

import numpy as np
import pytest
from small_recipes import small_recipe

from iris_tf.config.quantization_recipe import QuantizationRecipe
from iris_tf.objectives.class_centres import ClassCentres
from iris_tf.quantization.quantized_layers import FixedPrecision
from iris_tf.quantization.schemes import FixedStep, MixedScheme
from iris_tf.support.errors import DatasetError
from iris_tf.training.prepare_training import prepare_training
from iris_tf.training.quantized_training import (
    QuantizedStart,
    calibration_crops,
    fine_tuning_recipe,
)
from iris_tf.training.train_model import train

ARCFACE = {
    "objective": "arcface",
    "optimizer": {"groups": {"centres": {"maximum": 0.01, "minimum": 1e-3, "weight_decay": 0.0}}},
    "quantization": {"fine_tuning": {"epochs": 1, "first_epochs": 3, "rate": 0.5}},
    "batch": {"layout": "balanced", "groups": 4, "images_per_identity": 2},
}


@pytest.fixture
def run(tiny, small_dataset, tmp_path):
    return train(small_recipe(tmp_path, small_dataset, epochs=1, **ARCFACE))


def test_a_step_continues_with_network_and_class_centres(run, tmp_path):
    step = FixedStep(4)
    recipe = fine_tuning_recipe(run.recipe(), step, tmp_path / "fixed4", run.best)
    training = prepare_training(recipe, QuantizedStart(step, run, run))
    trainer = training.trainer
    stored = ClassCentres.load(run.best.with_name("class_centres.npz"))
    np.testing.assert_array_equal(np.asarray(trainer.objective.centres), stored.vectors)
    assert trainer.objective.classes == stored.names
    wrapped = [layer for layer in trainer.student.layers if isinstance(layer, FixedPrecision)]
    assert {layer.bits for layer in wrapped} == {4}
    assert all(float(layer.high) > 0.0 for layer in wrapped)  # calibrated


def test_only_what_fine_tuning_names_differs(run, tmp_path):
    recipe = run.recipe()
    steps = [FixedStep(8), *MixedScheme(2).steps()]
    found = [fine_tuning_recipe(recipe, step, tmp_path / "q", run.best) for step in steps]
    assert [each.epochs for each in found] == [1, 3, 1]
    first = found[0]
    assert first.optimizer.head.maximum == pytest.approx(0.5 * recipe.optimizer.head.maximum)
    assert first.optimizer.backbone.minimum == pytest.approx(
        0.5 * recipe.optimizer.backbone.minimum
    )
    assert first.optimizer.groups["centres"].maximum == pytest.approx(0.005)
    same = {
        "run",
        "epochs",
        "warm_epochs",
        "unfreeze_epochs",
        "mixed_float16",
        "network",
        "optimizer",
    }
    assert replace(first, **{name: getattr(recipe, name) for name in same}) == recipe
    assert replace(first.network, weights=recipe.network.weights) == recipe.network


def test_calibration_crops_are_chosen_by_seed(run):
    def chosen(**settings):
        return calibration_crops(run, QuantizationRecipe(**settings))

    some = chosen(calibration_crops=16)
    assert some.shape == (16, 32, 32)
    np.testing.assert_array_equal(chosen(calibration_crops=16), some)
    assert not np.array_equal(chosen(calibration_crops=16, seed=1), some)
    everything = chosen(calibration_crops=1000)
    assert len(everything) < 1000


def test_crops_without_16_distinct_ones_are_refused(run, monkeypatch):
    module = "iris_tf.training.quantized_training.load_rois"
    rng = np.random.default_rng(0)
    for distinct in (1, 15):
        crops = rng.integers(0, 256, (distinct, 32, 32), dtype=np.uint8)

        def repeated(rows, *_, crops=crops):
            return np.resize(crops, (len(rows), 32, 32))

        monkeypatch.setattr(module, repeated)
        with pytest.raises(DatasetError, match=f"to calibrate with, {distinct} of them distinct"):
            calibration_crops(run, QuantizationRecipe())
