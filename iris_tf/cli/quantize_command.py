"""`iris-tf quantize`: networks of few bits from a trained run."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from iris_tf.cli.console import RESUMES, echo, if_interrupted, load_tensorflow, one_of
from iris_tf.support.errors import ArgumentError

SCHEMES = ("fixed", "mixed")
_OF_SCHEME = {"bits": "fixed", "iterations": "mixed", "fraction": "mixed", "minimum_bits": "mixed"}
_SECTION = "quantization."


def quantize(
    context: typer.Context,
    run: Annotated[Path, typer.Argument(help="Complete run folder of the float network.")],
    scheme: Annotated[
        str, one_of(SCHEMES, "fixed: all weights and activations alike; mixed: bits per weight.")
    ],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(help="quantization.key=value, e.g. quantization.fine_tuning.epochs=8"),
    ] = None,
    bits: Annotated[int, typer.Option(min=2, max=8, help="Of --scheme fixed; 8, 6, 4.")] = 8,
    iterations: Annotated[int, typer.Option(min=2, help="Of --scheme mixed.")] = 12,
    fraction: Annotated[
        float,
        typer.Option(help="Of --scheme mixed: share of the weights that lose half of their bits."),
    ] = 0.5,
    minimum_bits: Annotated[
        int, typer.Option(min=2, max=7, help="Of --scheme mixed: bits of all weights in the end.")
    ] = 2,
) -> None:
    """Fine-tune quantised networks of a run, pack and evaluate them.

    Everything is written to RUN_quantized, beside the run: for each network a run
    folder with an .irq file and its card, and over all of them quantization.md,
    plots and report.html. Finished steps are skipped, interrupted ones resumed.
    """
    _check_options(context, scheme)
    _check_overrides(overrides or [])
    load_tensorflow()
    from iris_tf.config.load_recipe import load_recipe
    from iris_tf.config.training_recipe import TrainRecipe
    from iris_tf.pipelines.quantization_stages import RunQuantization
    from iris_tf.quantization.schemes import FixedStep, MixedScheme
    from iris_tf.training.run_folder import RunFolder

    folder = RunFolder.open(run)
    recipe = load_recipe(folder.recipe_file, TrainRecipe, overrides or [])
    steps = (
        [FixedStep(bits)]
        if scheme == "fixed"
        else MixedScheme(iterations, fraction, minimum_bits).steps()
    )
    with if_interrupted(lambda: RESUMES):
        quantization = RunQuantization(folder, recipe)
        echo(quantization.carry_out(steps))
    echo(f"report: {quantization.report}")


def _check_options(context: typer.Context, scheme: str) -> None:
    """Refuse options that only another scheme reads."""
    for name, of in _OF_SCHEME.items():
        source = context.get_parameter_source(name)
        if of != scheme and source is not None and source.name == "COMMANDLINE":
            raise ArgumentError(
                f"--{name.replace('_', '-')} belongs to --scheme {of}; leave it out, or choose "
                "that scheme."
            )


def _check_overrides(overrides: Sequence[str]) -> None:
    """Refuse keys by which a step would no longer be that of the run's network and training."""
    for override in overrides:
        if not override.startswith(_SECTION):
            raise ArgumentError(
                f"{override}: networks are fine-tuned with the recipe of their run, of which only "
                f"keys that begin with `{_SECTION}` can be changed here; leave it out."
            )
