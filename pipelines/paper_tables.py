"""The paper's Tables 3 and 4: five models, trained and evaluated at all precisions.

    python pipelines/paper_tables.py pipelines/paper_tables_demo.yaml
    python pipelines/paper_tables.py pipelines/mobiiris_paper.yaml dataset.images=CASIA-Thousand

Runs `mobiiris.py` on the recipe, whose models must be named resnet50, baseline, attention,
distilled and mobiiris, and writes `paper_tables.md` next to its report. Complete stages are
skipped, so the same command starts, resumes and repeats a run.
"""

import os
from pathlib import Path
from typing import Annotated

import typer

from iris_tf.cli.console import RESUMES, if_interrupted, load_tensorflow, report_errors
from iris_tf.config.load_recipe import load_recipe, recipe_yaml
from iris_tf.config.pipeline_recipe import PipelineRecipe
from iris_tf.pipelines.stages import Stages
from iris_tf.report.paper_tables import MODELS
from iris_tf.support.errors import RecipeError


def main(
    recipe_file: Annotated[Path, typer.Argument(metavar="RECIPE", help="YAML recipe.")],
    overrides: Annotated[
        list[str] | None, typer.Argument(help="key=value, e.g. dataset.images=EYES run=runs/mine")
    ] = None,
) -> None:
    """Train and measure the five models of the paper and write its tables."""
    recipe = load_recipe(recipe_file, PipelineRecipe, overrides)
    if missing := [name for name in MODELS if name not in recipe.models]:
        raise RecipeError(
            f"{recipe_file}: names no model {missing[0]}; the paper's tables need "
            f"{', '.join(MODELS)}."
        )
    stages = Stages(Path(recipe.run), recipe_yaml(recipe))
    load_tensorflow()
    from iris_tf.pipelines.paper_table_stages import run_paper_tables

    with if_interrupted(lambda: RESUMES):
        run_paper_tables(recipe, stages)


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    report_errors(lambda: typer.run(main))
