"""The command of the distillation table, with networks that train in seconds."""

import contextlib
import io
import json
from pathlib import Path

import numpy as np
import pytest
import tiny_network
from ai_edge_litert.interpreter import Interpreter

from iris_tf.config.load_recipe import load_recipe
from iris_tf.config.pipeline_recipe import PipelineRecipe
from iris_tf.support.errors import RecipeError
from iris_tf.training.model_recipes import model_recipes
from iris_tf.training.run_folder import RunFolder

PIPELINES = Path(__file__).parents[2] / "pipelines"
RECIPE = """
run: {run}
dataset:
  synthetic: {{subjects: 10, images: 3}}
  roi_mode: unrolled
training:
  epochs: 1
  warm_epochs: 0
  unfreeze_epochs: 0
  objective: arcface
  network: {{name: {network}, input_size: [32, 128], embedding_size: 8, weights: none}}
  batch: {{layout: balanced, groups: 8, images_per_identity: 2, steps_per_epoch: 2}}
  optimizer: {{groups: {{centres: {{maximum: 0.01, weight_decay: 0.0}}}}}}
repeats: 2
models:
  teacher: {{}}
  plain: {{}}
  afl:
    distillation:
      teacher: teacher
      distiller: afl
      features: {{stride8: stride4}}  # of 8 and of 6 channels
      term_weights: gradient_norm
    optimizer:
      groups: {{projections: {{maximum: 0.01, weight_decay: 0.0}}}}
precisions: [float32]
latency: {{threads: [1], runs: 50}}
"""


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder, printed = tmp_path_factory.mktemp("runs"), io.StringIO()
    recipe = folder / "recipe.yaml"
    recipe.write_text(RECIPE.format(run=folder / "tables", network=tiny_network.NAME))
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(printed):
        patch.setitem(tiny_network.NETWORKS, tiny_network.NAME, tiny_network.SPEC)
        patch.syspath_prepend(str(PIPELINES))
        from distillation_tables import main

        main(recipe)
    return folder / "tables", printed.getvalue()


def test_the_table_has_all_models(finished):
    folder, printed = finished
    table = (folder / "distillation.md").read_text()
    assert table in printed
    lines = table.splitlines()
    assert [line.split(" | ")[0] for line in lines[4:7]] == ["| plain", "| teacher", "| afl"]
    assert 0 <= float(lines[6].split("|")[-2]) <= 2  # its distance to the teacher
    assert lines[5].split("|")[-2].strip() == "–"
    assert "Means of 2 trainings" in table
    seeds = {RunFolder(folder / name).recipe().seed for name in ("afl", "afl_2")}
    assert seeds == {0, 1}
    assert not (folder / "teacher_2").exists()


def test_figures_of_the_table_are_means_over_trainings(finished):
    folder, _ = finished
    found = json.loads((folder / "distillation" / "metrics.json").read_text())
    results = {one["model"]["name"].split("_float32")[0]: one for one in (found, *found["others"])}
    eers = [results[name]["evaluation"]["metrics"]["eer"] for name in ("afl", "afl_2")]
    line = (folder / "distillation.md").read_text().splitlines()[6]
    assert f"| {50 * sum(eers):.2f} (" in line
    assert f" [{100 * eers[0]:.2f}, {100 * eers[1]:.2f}] |" in line


def test_no_released_file_holds_centres_or_projections(finished):
    from iris_tf.networks.embed_rois import load_embedding_model

    folder, _ = finished
    plain, afl = (
        load_embedding_model(folder / name / "checkpoints" / "best.keras")
        for name in ("plain", "afl")
    )
    assert [v.path for v in plain.variables] == [v.path for v in afl.variables]
    sizes = [
        (folder / n / "models" / f"{n}_float32.tflite").stat().st_size for n in ("plain", "afl")
    ]
    assert abs(sizes[0] - sizes[1]) < 100


def test_no_tensor_of_a_released_file_has_the_shape_of_centres_or_projections(finished):
    folder, _ = finished
    with np.load(RunFolder(folder / "afl").state_weights()) as trained:
        trained = {trained[name].shape for name in trained.files}
    with np.load(folder / "afl" / "checkpoints" / "class_centres.npz") as stored:
        classes = len(stored["names"])
    unwanted = {(classes, 8), (8, 6)}
    assert unwanted < trained
    shapes = {}
    for name in ("teacher", "plain", "afl"):
        file = folder / name / "models" / f"{name}_float32.tflite"
        tensors = Interpreter(model_path=str(file)).get_tensor_details()
        shapes[name] = [tuple(int(n) for n in one["shape"] if n > 1) for one in tensors]
        assert (8, 8) in shapes[name]  # of the head, which is D by channels
        assert not {*shapes[name]} & {*unwanted, *(shape[::-1] for shape in unwanted)}
    assert shapes["afl"] == shapes["plain"] == shapes["teacher"]


@pytest.mark.parametrize("file", ["irises", "faces", "afl", "hybrid"])
def test_shipped_recipes_fit_together(file):
    from iris_tf.training.check_training import _check_pair

    overrides = [] if file == "irises" else ["dataset.images=faces"]
    recipe = load_recipe(PIPELINES / f"distillation_{file}.yaml", PipelineRecipe, overrides)
    recipes = model_recipes(recipe)
    by_run = {one.run: one for one in recipes.values()}
    taught = [one for one in recipes.values() if one.distillation.teacher]
    assert "plain" in recipes
    assert taught
    for one in taught:
        _check_pair(one, by_run[one.distillation.teacher])


def test_a_recipe_without_a_plain_student_is_refused(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(PIPELINES))
    from distillation_tables import main

    with pytest.raises(RecipeError, match="names no model plain"):
        main(PIPELINES / "paper_tables_demo.yaml", [f"run={tmp_path / 'x'}"])
