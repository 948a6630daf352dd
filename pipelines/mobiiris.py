"""The MobiIris pipeline: images, crops, teacher, students, TFLite, evaluation, latency, report.

    python pipelines/mobiiris.py pipelines/demo.yaml
    python pipelines/mobiiris.py pipelines/mobiiris_paper.yaml dataset.images=CASIA-Iris-Thousand

Stages run in order. A stage whose outputs are complete and whose inputs are unchanged is skipped,
and an interrupted training resumes, so the same command starts, resumes and repeats a run.
"""

import os
from pathlib import Path
from typing import Annotated

import typer

from iris_tf.cli.console import RESUMES, if_interrupted, load_tensorflow, report_errors
from iris_tf.config.load_recipe import load_recipe, recipe_yaml
from iris_tf.config.pipeline_recipe import PipelineRecipe
from iris_tf.pipelines.stages import Stages


def main(
    recipe_file: Annotated[Path, typer.Argument(metavar="RECIPE", help="YAML recipe.")],
    overrides: Annotated[
        list[str] | None, typer.Argument(help="key=value, e.g. dataset.images=EYES run=runs/mine")
    ] = None,
) -> None:
    """Run all stages of a MobiIris recipe."""
    recipe = load_recipe(recipe_file, PipelineRecipe, overrides)
    stages = Stages(Path(recipe.run), recipe_yaml(recipe))
    load_tensorflow()
    from iris_tf.pipelines.mobiiris_stages import MobiIrisPipeline

    with if_interrupted(lambda: RESUMES):
        MobiIrisPipeline(recipe, stages).run()


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    report_errors(lambda: typer.run(main))
