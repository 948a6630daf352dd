"""Comparison of distillation methods: a MobiIris recipe, and one table of its models."""

from iris_tf.config.pipeline_recipe import PipelineRecipe
from iris_tf.pipelines.mobiiris_stages import MobiIrisPipeline
from iris_tf.pipelines.repeated_comparison import compared_models
from iris_tf.pipelines.stages import Stages
from iris_tf.report.distillation_table import PLAIN, distillation_table
from iris_tf.support.errors import RecipeError
from iris_tf.support.files import write_text


def run_distillation_tables(recipe: PipelineRecipe, stages: Stages) -> None:
    """Run a MobiIris recipe and write ``distillation.md`` beside its report.

    All models are compared with the plain student on the same images and resamples, where the
    recipe repeats trainings by the means over these. Teachers are evaluated as any model is, and
    each student's distance to its teacher and CKA with it are figures. If the recipe names a list
    with folds, its pairs are those compared, and accuracy over the folds is a figure, too.

    Parameters
    ----------
    recipe : PipelineRecipe
        Has a model named `PLAIN`.
    stages : Stages
        Stages of the recipe's run folder.

    Raises
    ------
    RecipeError
        If there is no such model.
    """
    if PLAIN not in recipe.models:
        raise RecipeError(
            f"{recipe.run}: the recipe names no model {PLAIN}, which the others are compared with; "
            "add it."
        )
    pipeline = MobiIrisPipeline(recipe, stages)
    pipeline.run()
    table = distillation_table(compared_models(pipeline, PLAIN), pipeline.compared_on)
    path = pipeline.folder / "distillation.md"
    write_text(path, table)
    print(table)
    print(f"table:   {path}")
