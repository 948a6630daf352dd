"""The paper's Tables 3 and 4: five models, trained and measured in all precisions.

    python pipelines/paper_tables.py pipelines/paper_tables_demo.yaml
    python pipelines/paper_tables.py pipelines/mobiiris_paper.yaml dataset.images=CASIA-Thousand

Runs `mobiiris.py` on the recipe, whose models must be called resnet50, baseline,
attention, distilled and mobiiris, and writes `paper_tables.md` beside its report.
What is complete is skipped, so the same command starts, resumes and repeats.
"""

import json
import os
from pathlib import Path
from typing import Annotated

import typer
from mobiiris import Pipeline

from iris_tf.cli.console import load_tensorflow, report_errors
from iris_tf.config.load_recipe import load_recipe, recipe_yaml
from iris_tf.config.recipe import PipelineRecipe
from iris_tf.pipelines.stages import Stages
from iris_tf.report.paper_tables import MODELS, paper_tables
from iris_tf.support.errors import RecipeError
from iris_tf.support.files import write_text
from iris_tf.support.machine import machine_description


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
    pipeline = Pipeline(recipe, stages)
    pipeline.run()
    description = json.loads((pipeline.dataset / "dataset.json").read_text("utf-8"))["settings"]
    dataset = "synthetic eyes" if description["synthetic"] else description["layout"]
    machine = f"one thread of {machine_description()['cpu']}"
    tables = paper_tables(pipeline.report_rows(), dataset, machine)
    path = pipeline.folder / "paper_tables.md"
    write_text(path, tables)
    print(tables)
    print(f"tables:  {path}")


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    report_errors(lambda: typer.run(main))
