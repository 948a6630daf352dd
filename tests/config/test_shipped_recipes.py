"""Shipped recipes that no other test runs: they load, and build the networks that they name."""

from pathlib import Path

import pytest

from iris_tf.config.load_recipe import load_recipe
from iris_tf.config.pipeline_recipe import PipelineRecipe
from iris_tf.config.training_recipe import TrainRecipe
from iris_tf.networks.parameter_groups import parameter_group
from iris_tf.report.paper_tables import MODELS
from iris_tf.training.build_student import build_student
from iris_tf.training.model_recipes import model_recipes

PIPELINES = Path(__file__).parents[2] / "pipelines"


def megabytes(model):
    """Size of a float32 file's weights, in MiB."""
    return 4 * model.count_params() / 2**20


@pytest.mark.parametrize(
    ("file", "overrides"),
    [
        ("paper_tables_demo.yaml", []),
        # ImageNet's weights would be downloaded.
        (
            "mobiiris_paper.yaml",
            [
                "dataset.images=eyes",
                "training.network.weights=none",
                "training.unfreeze_epochs=0",
            ],
        ),
    ],
)
def test_the_paper_s_five_models(file, overrides):
    recipes = model_recipes(load_recipe(PIPELINES / file, PipelineRecipe, overrides))
    assert set(MODELS) == set(recipes)
    built = {name: build_student(recipes[name]) for name in ("resnet50", "baseline", "mobiiris")}
    assert megabytes(built["resnet50"]) == pytest.approx(90.66, abs=0.5)  # the paper's Table 3
    for name in ("baseline", "mobiiris"):
        assert megabytes(built[name]) == pytest.approx(11.9, abs=0.2)
        assert built[name].output_shape == built["resnet50"].output_shape
    for name, model in built.items():
        groups = {parameter_group(variable) for variable in model.trainable_variables}
        assert ("attention" in groups) == (name == "mobiiris")
    assert recipes["attention"].network == recipes["mobiiris"].network
    assert recipes["distilled"].network == recipes["baseline"].network
    for name, recipe in recipes.items():
        assert bool(recipe.distillation.teacher) == (name in ("distilled", "mobiiris"))


def test_a_student_of_one_s_own_crops():
    recipe = load_recipe(PIPELINES / "student.yaml", TrainRecipe, ["dataset=data", "run=out"])
    assert megabytes(build_student(recipe)) == pytest.approx(11.9, abs=0.2)
