"""The released recognition model: synthetic strips, training, TFLite, evaluation, card.

    python pipelines/released_models.py pipelines/released_models.yaml
    python pipelines/released_models.py pipelines/released_models.yaml real.mine=EYES

Complete stages are skipped and an interrupted training resumes at its epoch, so the same command
starts, resumes and repeats a run. The folders of real eyes (`real`) are never trained on, only
evaluated; `thresholds` names the one, if any, from which the card's thresholds are taken. Figures
of datasets that an earlier run evaluated on the same model files stay in the card.
"""

import os
from pathlib import Path
from typing import Annotated

import typer

from iris_tf.cli.console import RESUMES, if_interrupted, load_tensorflow, report_errors
from iris_tf.config.load_recipe import load_recipe
from iris_tf.config.release_recipe import ReleaseRecipe


def main(
    recipe_file: Annotated[Path, typer.Argument(metavar="RECIPE", help="YAML recipe.")],
    overrides: Annotated[
        list[str] | None, typer.Argument(help="key=value, e.g. real.mine=EYES run=runs/other")
    ] = None,
) -> None:
    """Train, export and measure the recognition model."""
    recipe = load_recipe(recipe_file, ReleaseRecipe, overrides)
    from iris_tf.pipelines.released_model_stages import Release, release_stages

    stages = release_stages(recipe)
    load_tensorflow()
    with if_interrupted(lambda: RESUMES):
        Release(recipe, stages).run()


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    report_errors(lambda: typer.run(main))
