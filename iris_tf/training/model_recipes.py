"""Training recipes of the models of a pipeline."""

from pathlib import Path

from iris_tf.config.load_recipe import merge_models
from iris_tf.config.pipeline_recipe import PipelineRecipe
from iris_tf.config.release_recipe import ReleaseRecipe
from iris_tf.config.training_recipe import TrainRecipe
from iris_tf.training.run_folder import RunFolder


def model_recipes(recipe: PipelineRecipe | ReleaseRecipe) -> dict[str, TrainRecipe]:
    """Training recipes of the models of a pipeline, in training order.

    References to other models of the pipeline are resolved to paths:
    `distillation.teacher` to the run folder of the named model, `network.weights` to
    its best weights.

    Raises
    ------
    RecipeError
        If the section of a model is invalid, or refers to a model that comes later.
    """
    runs = {name: RunFolder(Path(recipe.run) / name) for name in recipe.models}
    recipes = merge_models(recipe)
    for model in recipes.values():
        if model.distillation.teacher in runs:
            model.distillation.teacher = str(runs[model.distillation.teacher].path)
        if model.network.weights in runs:
            model.network.weights = str(runs[model.network.weights].best)
    return recipes
