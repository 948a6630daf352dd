"""The segmentation network: synthetic training samples, training, TFLite, evaluation, card.

    python pipelines/iris_segmenter.py pipelines/iris_segmenter.yaml

Complete stages are skipped and an interrupted training resumes at its epoch, so the same command
starts, resumes and repeats a run.
"""

import os
from pathlib import Path
from typing import Annotated

import typer

from iris_tf.cli.console import RESUMES, if_interrupted, load_tensorflow, report_errors
from iris_tf.config.load_recipe import load_recipe, recipe_yaml
from iris_tf.config.segmenter_recipe import SegmenterRecipe
from iris_tf.pipelines.stages import Stages


def main(
    recipe_file: Annotated[Path, typer.Argument(metavar="RECIPE", help="YAML recipe.")],
    overrides: Annotated[
        list[str] | None, typer.Argument(help="key=value, e.g. parts.first.eyes=2000 run=runs/a")
    ] = None,
) -> None:
    """Train, export and measure the segmentation network."""
    recipe = load_recipe(recipe_file, SegmenterRecipe, overrides)
    stages = Stages(Path(recipe.run), recipe_yaml(recipe))
    load_tensorflow()
    from iris_tf.pipelines.segmenter_stages import run_segmenter

    with if_interrupted(lambda: RESUMES):
        run_segmenter(recipe, stages)


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    report_errors(lambda: typer.run(main))
