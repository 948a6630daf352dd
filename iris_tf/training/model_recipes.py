"""Training recipes of the models of a pipeline."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from iris_tf.config.load_recipe import merge_models
from iris_tf.config.pipeline_recipe import PipelineRecipe
from iris_tf.config.release_recipe import ReleaseRecipe
from iris_tf.config.training_recipe import TrainRecipe
from iris_tf.support.errors import RecipeError
from iris_tf.training.run_folder import RunFolder


def model_recipes(recipe: PipelineRecipe | ReleaseRecipe) -> dict[str, TrainRecipe]:
    """Training recipes of the models of a pipeline, in training order.

    With `repeats`, those of further seeds follow, see `trainings`. References to other models of
    the pipeline are resolved to paths: `distillation.teacher` to the run folder of the named
    model, `network.weights` to its best weights.

    Raises
    ------
    RecipeError
        If the section of a model is invalid, or refers to a model that comes later, or a model is
        called like the repeat of another.
    """
    runs = {name: RunFolder(Path(recipe.run) / name) for name in recipe.models}
    recipes = merge_models(recipe)
    for model in recipes.values():
        if model.distillation.teacher in runs:
            model.distillation.teacher = str(runs[model.distillation.teacher].path)
        if model.network.weights in runs:
            model.network.weights = str(runs[model.network.weights].best)
    if isinstance(recipe, ReleaseRecipe):
        return recipes
    return recipes | _repeats(recipe, recipes)


def trainings(recipe: PipelineRecipe) -> dict[str, list[str]]:
    """Names of the trainings of each model of a recipe: one for each of its `repeats`.

    A model that others start from or learn from is trained once.
    """
    models = merge_models(recipe)
    used = {one.distillation.teacher for one in models.values()}
    used |= {one.network.weights for one in models.values()}
    numbers = range(2, recipe.repeats + 1)
    return {
        name: [name] if name in used else [name, *(f"{name}_{number}" for number in numbers)]
        for name in models
    }


def _repeats(recipe: PipelineRecipe, recipes: Mapping[str, TrainRecipe]) -> dict[str, TrainRecipe]:
    """Recipes of the trainings with further seeds, seed by seed."""
    found: dict[str, TrainRecipe] = {}
    names = trainings(recipe)
    for number in range(1, recipe.repeats):
        for name, again in ((name, own[number]) for name, own in names.items() if own[1:]):
            if again in recipes:
                raise RecipeError(
                    f"models has {again}, as repeat {number + 1} of {name} is called; choose "
                    "another name."
                )
            run = str(Path(recipe.run) / again)
            found[again] = replace(recipes[name], run=run, seed=recipe.seed + number)
    return found
