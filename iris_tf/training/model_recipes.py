"""The training recipes of a pipeline's models, each in its run folder."""

from pathlib import Path

from iris_tf.config.load_recipe import merge_models
from iris_tf.config.pipeline_recipe import PipelineRecipe
from iris_tf.config.release_recipe import ReleaseRecipe
from iris_tf.config.training_recipe import TrainRecipe
from iris_tf.training.run_folder import RunFolder


def model_recipes(recipe: PipelineRecipe | ReleaseRecipe) -> dict[str, TrainRecipe]:
    """The training recipe of each model of a pipeline, in the order they are trained.

    A model whose `distillation.teacher` names another model of the pipeline
    gets that model's run folder; one whose `network.weights` does starts from
    that model's best weights.

    Raises
    ------
    RecipeError
        When a model's section has a mistake, or what it needs stands behind it.
    """
    runs = {name: RunFolder(Path(recipe.run) / name) for name in recipe.models}
    recipes = merge_models(recipe)
    for model in recipes.values():
        if model.distillation.teacher in runs:
            model.distillation.teacher = str(runs[model.distillation.teacher].path)
        if model.network.weights in runs:
            model.network.weights = str(runs[model.network.weights].best)
    return recipes
