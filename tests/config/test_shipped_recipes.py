"""Shipped recipes that no other test runs: they load, and build the networks that they name."""

from pathlib import Path

import numpy as np
import pytest

from iris_tf.config import shipped_recipes
from iris_tf.config.load_recipe import load_recipe
from iris_tf.config.pipeline_recipe import PipelineRecipe
from iris_tf.config.shipped_recipes import recipe_file, summary, training_recipes
from iris_tf.config.training_recipe import TrainRecipe
from iris_tf.networks.embed_rois import embed_rois, load_embedding_model
from iris_tf.networks.parameter_groups import parameter_group
from iris_tf.networks.phase_code import with_phase
from iris_tf.quantization.bit_masks import average_bits, halve_smallest, uniform_mask
from iris_tf.quantization.wrapping import kernels
from iris_tf.report.paper_tables import MODELS
from iris_tf.support.errors import RecipeError
from iris_tf.tflite.model_card import ModelCard
from iris_tf.tflite.released_models import (
    RECOGNITION,
    released_folder,
    released_weights,
)
from iris_tf.tflite.tflite_embedder import TFLiteEmbedder
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
        ("paper_tables_irises.yaml", ["repeats=1"]),
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


def test_fine_tuning_starts_exactly_from_the_released_model(released_float32):
    recipe = load_recipe(recipe_file("finetune"), TrainRecipe)
    strips = np.random.default_rng(1).integers(1, 256, (3, 64, 512), np.uint8)
    released = load_embedding_model(released_weights(RECOGNITION))
    np.testing.assert_array_equal(
        embed_rois(build_student(recipe), strips), embed_rois(released, strips)
    )
    card = ModelCard.read(released_folder(RECOGNITION) / "model_card.json")
    assert (list(card.input_size), card.roi_mode) == (recipe.network.input_size, "unrolled")
    # Exported with the released phase code.
    model, layout = with_phase(build_student(recipe), recipe.network.phase)
    assert layout == card.phase
    expected = TFLiteEmbedder(released_float32).embed(strips)
    found = embed_rois(model, strips)
    np.testing.assert_allclose(np.sum(found * expected, axis=1), 1.0, atol=1e-4)


def test_training_recipes_are_found_by_name(tmp_path, monkeypatch):
    found = training_recipes()
    assert list(found) == sorted(found)
    assert {"finetune", "student"} <= set(found)
    assert not {"demo", "iris_segmenter", "released_models"} & set(found)  # of pipelines
    assert recipe_file("student") == found["student"] == PIPELINES / "student.yaml"
    for file in found.values():
        assert summary(file).endswith(".")
        assert not summary(file).startswith("#")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RecipeError, match=r"^students: there is no such recipe.* finetune, .*stud"):
        recipe_file("students")
    Path("student").write_text("run: mine")
    assert recipe_file("student") == Path("student")  # one's own file takes precedence


def test_an_installation_has_the_recipes_inside_the_package(tmp_path, monkeypatch):
    inside = tmp_path / "recipes"
    inside.mkdir()
    (inside / "mine.yaml").write_text("# Mine\n# alone.\n#\n# More.\nrun: a\ndataset: b\n")
    monkeypatch.setattr(shipped_recipes, "FOLDERS", (inside, PIPELINES))
    assert training_recipes() == {"mine": inside / "mine.yaml"}
    assert summary(inside / "mine.yaml") == "Mine alone."


@pytest.mark.parametrize(
    ("name", "rate", "epochs"),
    [
        ("precision_irises", 1e-3, 4),
        ("precision_faces", 0.005, 8),
        ("precision_periocular", 0.01, 20),
    ],
)
def test_rates_of_mixed_precision(name, rate, epochs):
    """For faces and periocular images those of the paper (Kolf et al.)."""
    recipe = load_recipe(PIPELINES / f"{name}.yaml", TrainRecipe)
    tuning = recipe.quantization.fine_tuning
    assert tuning.rate * recipe.optimizer.backbone.maximum == pytest.approx(rate)
    assert tuning.epochs == tuning.first_epochs == epochs


@pytest.mark.parametrize(
    ("name", "overrides", "size", "dimensions"),
    [
        ("precision_faces", [], 4.0, 128),
        ("precision_faces", ["network.name=resnet18", "network.pooling=average"], 42.9, 128),
        ("precision_faces", ["network.name=resnet50", "network.pooling=average"], 90.6, 128),
        ("precision_periocular", [], 4.2, 128),
    ],
)
def test_the_paper_s_recipes_of_few_bits_build_their_networks(name, overrides, size, dimensions):
    """A dry run up to the first mask of the mixed scheme, and a layer of fixed precision."""
    recipe = load_recipe(PIPELINES / f"{name}.yaml", TrainRecipe, overrides)
    model = build_student(recipe)
    assert megabytes(model) == pytest.approx(size, rel=0.05)
    assert model.output_shape == (None, dimensions)
    mask = uniform_mask(kernels(model), 8)
    halved = halve_smallest(mask, kernels(model), 0.5, 2)
    assert average_bits(halved) == pytest.approx(6.0, abs=0.01)
