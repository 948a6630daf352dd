"""Distillation methods compared: teacher, plain student, and each method on the same images.

    python pipelines/distillation_tables.py pipelines/distillation_irises.yaml
    python pipelines/distillation_tables.py pipelines/distillation_faces.yaml dataset.images=FACES

Runs `mobiiris.py` on the recipe, one of whose models must be named plain, and writes
`distillation.md` next to its report, with accuracy over the folds of the list `dataset.folds`, if
there is one. Complete stages are skipped, so the same command starts, resumes and repeats a run.
"""

import os
from pathlib import Path
from typing import Annotated

import typer

from iris_tf.cli.console import load_tensorflow, report_errors
from iris_tf.config.load_recipe import load_recipe, recipe_yaml
from iris_tf.config.pipeline_recipe import PipelineRecipe
from iris_tf.pipelines.stages import Stages


def main(
    recipe_file: Annotated[Path, typer.Argument(metavar="RECIPE", help="YAML recipe.")],
    overrides: Annotated[
        list[str] | None, typer.Argument(help="key=value, e.g. dataset.images=FACES seed=2")
    ] = None,
) -> None:
    """Train and measure all models of a distillation recipe, and write one table."""
    recipe = load_recipe(recipe_file, PipelineRecipe, overrides)
    stages = Stages(Path(recipe.run), recipe_yaml(recipe))
    load_tensorflow()
    from iris_tf.pipelines.distillation_table_stages import run_distillation_tables

    run_distillation_tables(recipe, stages)


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    report_errors(lambda: typer.run(main))
