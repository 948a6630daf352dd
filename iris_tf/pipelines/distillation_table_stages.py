"""Comparison of distillation methods: a MobiIris recipe, and one table of its models."""

from collections.abc import Sequence

import numpy as np

from iris_tf.config.pipeline_recipe import PipelineRecipe
from iris_tf.data.dataset_title import dataset_title
from iris_tf.data.manifest import read_settings
from iris_tf.evaluation.evaluate_model import EvaluationRequest
from iris_tf.metrics.evaluate_embeddings import Evaluation
from iris_tf.metrics.repeats import mean_differences, mean_figures
from iris_tf.pipelines.evaluation_stage import evaluate_and_write
from iris_tf.pipelines.mobiiris_stages import MobiIrisPipeline
from iris_tf.pipelines.stages import Stages
from iris_tf.report.distillation_table import PLAIN, DistilledModel, distillation_table
from iris_tf.support.errors import RecipeError
from iris_tf.support.files import write_text
from iris_tf.training.model_recipes import trainings


def run_distillation_tables(recipe: PipelineRecipe, stages: Stages) -> None:
    """Run a MobiIris recipe and write ``distillation.md`` beside its report.

    All models are compared with the plain student on the same images and resamples, where the
    recipe repeats trainings by the means over these. Teachers are evaluated as any model is, and
    each student's distance to its teacher is a figure.

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
    settings = read_settings(pipeline.dataset / "dataset.json")
    table = distillation_table(compared_models(pipeline), f"{dataset_title(settings)}, test split")
    path = pipeline.folder / "distillation.md"
    write_text(path, table)
    print(table)
    print(f"table:   {path}")


def compared_models(pipeline: MobiIrisPipeline) -> dict[str, DistilledModel]:
    """Lines of the table of a complete pipeline, the plain student's first."""
    names = [PLAIN, *(name for name in pipeline.models if name != PLAIN)]
    files = [pipeline.model_file(name, pipeline.compared_precision) for name in names]
    request = EvaluationRequest(files, [pipeline.manifest], "test")
    outcome = evaluate_and_write(request, pipeline.folder / "distillation")
    found = dict(zip(names, outcome.evaluations.values(), strict=True))
    distances = {one.model: one.distance for one in pipeline.taught()}
    repeated = trainings(pipeline.recipe)
    plain = [found[name] for name in repeated[PLAIN]]

    def line(name: str) -> DistilledModel:
        evaluations: Sequence[Evaluation] = [found[one] for one in repeated[name]]
        known = [distances[one] for one in repeated[name] if one in distances]
        values = [distance for distance in known if distance is not None]
        return DistilledModel(
            mean_figures(evaluations),
            {} if name == PLAIN else mean_differences(plain, evaluations),
            float(np.mean(values)) if values else None,
        )

    return {name: line(name) for name in names if name in repeated}
