from types import SimpleNamespace

import numpy as np
import pytest
from small_recipes import small_recipe

from iris_tf.benchmark import training_speed as benchmark
from iris_tf.benchmark.training_speed import measure_training
from iris_tf.support.errors import DatasetError


def test_it_trains_and_leaves_the_run_folder_alone(tiny, tmp_path, small_dataset, monkeypatch):
    recipe = small_recipe(tmp_path, small_dataset)
    prepared = []
    prepare = benchmark.prepare_training

    def prepare_and_keep(recipe):
        prepared.append(prepare(recipe))
        return prepared[0]

    monkeypatch.setattr(benchmark, "prepare_training", prepare_and_keep)
    result = measure_training(recipe, steps=2)
    assert set(result) == {"memory_images_per_s", "pipeline_images_per_s", "ratio"}
    expected = result["pipeline_images_per_s"] / result["memory_images_per_s"]
    assert result["ratio"] == pytest.approx(expected)
    # Three rounds of 2 steps and their warm-up, from memory and from the pipeline.
    assert int(prepared[0].trainer.step.numpy()) >= 3 * 2 * 2
    assert not (tmp_path / "run").exists()


def test_speed_is_images_by_seconds_of_the_best_round(tiny, tmp_path, small_dataset, monkeypatch):
    # A clock that only the two ways of measuring move: memory 2 s a round, the pipeline 4 s, and
    # one round of each is disturbed.
    durations = iter([9.0, 4.0, 2.0, 9.0, 2.0, 4.0])
    ticks = iter(t for duration in durations for t in (100.0, 100.0 + duration))
    monkeypatch.setattr(benchmark, "time", SimpleNamespace(perf_counter=lambda: next(ticks)))
    result = measure_training(small_recipe(tmp_path, small_dataset), steps=5)
    images = 4 * 3 * 5  # triplets of 5 batches
    assert np.isclose(result["memory_images_per_s"], images / 2)
    assert np.isclose(result["pipeline_images_per_s"], images / 4)
    assert np.isclose(result["ratio"], 0.5)


def test_a_missing_dataset_is_named(tiny, tmp_path):
    with pytest.raises(DatasetError, match="nothing"):
        measure_training(small_recipe(tmp_path, tmp_path / "nothing"), steps=1)
