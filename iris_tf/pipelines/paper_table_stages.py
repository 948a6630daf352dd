"""Reproduction of the paper's Tables 3 and 4: training and evaluation of its five models."""

from iris_tf.config.pipeline_recipe import PipelineRecipe
from iris_tf.data.dataset_title import dataset_title
from iris_tf.data.manifest import read_settings
from iris_tf.pipelines.mobiiris_stages import MobiIrisPipeline
from iris_tf.pipelines.repeated_comparison import compared_models
from iris_tf.pipelines.stages import Stages
from iris_tf.report.distillation_table import comparison_table
from iris_tf.report.paper_tables import BASELINE, MODELS, paper_tables
from iris_tf.support.files import write_text
from iris_tf.support.machine import machine_description


def run_paper_tables(recipe: PipelineRecipe, stages: Stages) -> None:
    """Run a MobiIris recipe and write ``paper_tables.md`` beside its report.

    Beside the paper's tables it has the differences to the baseline with paired intervals, of means
    where the recipe repeats trainings.

    Parameters
    ----------
    recipe : PipelineRecipe
        Has a model for each name in `iris_tf.report.paper_tables.MODELS`.
    stages : Stages
        Stages of the recipe's run folder.
    """
    pipeline = MobiIrisPipeline(recipe, stages)
    pipeline.run()
    settings = read_settings(pipeline.dataset / "dataset.json")
    dataset = dataset_title(settings)
    machine = f"one thread of {machine_description()['cpu']}"
    compared = compared_models(pipeline, BASELINE)
    tables = "\n".join(
        [
            paper_tables(pipeline.report_rows(), dataset, machine),
            comparison_table(
                {MODELS.get(name, name): found for name, found in compared.items()},
                f"Attention and distillation, measured on {pipeline.compared_on}, "
                f"{pipeline.compared_precision}",
            ),
        ]
    )
    path = pipeline.folder / "paper_tables.md"
    write_text(path, tables)
    print(tables)
    print(f"tables:  {path}")
