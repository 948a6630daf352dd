"""Stages of the segmentation network: samples, training, export, evaluation, card."""

import dataclasses
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from iris_tf.config.load_recipe import recipe_yaml
from iris_tf.config.precision import PRECISIONS, RELEASED_PRECISION
from iris_tf.config.segmenter_recipe import SegmenterRecipe
from iris_tf.evaluation.segmenter_scores import score_segmenter, summarise
from iris_tf.pipelines.stages import Stages, read_result
from iris_tf.segmentation.network_segmenter import FILE_NAME
from iris_tf.support.files import sha256, write_json
from iris_tf.support.machine import machine_description
from iris_tf.synthetic.segmentation_samples import draw_samples
from iris_tf.tflite.litert_model import LiteRTModel
from iris_tf.tflite.signatures import MASKS

# File numbers seed the eyes; training and validation use others.
TEST_EYES_FROM = 2_000_000
PARITY_IMAGES = 16
TIMED_INFERENCES = 100


def run_segmenter(recipe: SegmenterRecipe, stages: Stages) -> None:
    """Train, export and evaluate the segmentation network.

    Parameters
    ----------
    recipe : SegmenterRecipe
    stages : Stages
        Stages of the recipe's run folder.
    """
    from iris_tf.training.train_segmenter import segmenter_runs, train_segmenter

    runs = segmenter_runs(recipe)
    run = runs[-1]
    file = Path(recipe.out) / PRECISIONS[RELEASED_PRECISION].file_name(FILE_NAME)
    figures = Path(recipe.run) / "figures.json"
    stages.run(
        "train segmenter",
        {"recipe": recipe_yaml(dataclasses.replace(recipe, out=""))},
        [run.model],
        lambda: train_segmenter(recipe),
    )
    # `out` is an input, because another folder may hold files of another network.
    published = {"out": recipe.out}
    stages.run(
        "export segmenter",
        {"model": run.model, **published},
        [file],
        lambda: export(recipe, run, file.parent),
    )
    stages.run(
        "score segmenter",
        {"file": file, "eyes": recipe.test_eyes, "seed": recipe.seed},
        [figures],
        lambda: write_json(figures, score(file, recipe)),
    )
    stages.run(
        "write card",
        {"file": file, "figures": figures, **published},
        [file.with_name("model_card.json")],
        lambda: write_card(recipe, runs, file, figures),
    )
    show(figures, file)


def export(recipe: SegmenterRecipe, run: Any, out: Path) -> None:
    """Export the ``.tflite`` file."""
    from iris_tf.exporting.export_segmenter import export_segmenter
    from iris_tf.networks.keras_files import load_keras_file

    stage = list(recipe.parts.values())[-1]
    # Rendered here, because training samples are gigabytes and may be deleted after training.
    samples = draw_samples(
        recipe.seed, TEST_EYES_FROM, PARITY_IMAGES, stage.height, stage.looks[:1]
    )
    model = load_keras_file(run.model)
    export_segmenter(model, out, np.ascontiguousarray(samples[..., 0]))


def score(file: Path, recipe: SegmenterRecipe) -> dict[str, Any]:
    """Scores of the network and, for comparison, of the classical segmenter on the same eyes."""
    return {
        name: summarise(score_segmenter(name, model, recipe.seed, recipe.test_eyes, TEST_EYES_FROM))
        for name, model in (("network", file), ("opencv", None))
    }


def latency(file: Path) -> float:
    """Median latency of one pass of the network on one thread, in milliseconds."""
    network = LiteRTModel(file, MASKS)
    image = np.zeros(network.input_size, np.uint8)
    times = []
    for _ in range(TIMED_INFERENCES):
        start = time.perf_counter()
        network(image)
        times.append(time.perf_counter() - start)
    return 1000.0 * statistics.median(times)


def write_card(recipe: SegmenterRecipe, runs: list[Any], file: Path, figures: Path) -> None:
    """Write the model card: training data, metrics and latency."""
    from iris_tf.exporting.export_segmenter import write_segmenter_card

    measured = read_result(figures)["network"]
    trained_on = [
        f"{stage.eyes} synthetic eyes at height {stage.height}" for stage in recipe.parts.values()
    ]
    write_segmenter_card(
        file,
        RELEASED_PRECISION,
        {
            "training_data": f"{' and then '.join(trained_on)} of varied cameras (seed "
            f"{recipe.seed}), each as a whole and as a close-up; no real image.",
            "training_epochs": sum(len(run.history()) for run in runs),
            "weights_sha256": sha256(runs[-1].model),
            "metrics": {"synthetic eyes, varied cameras, not trained on": measured},
            "latency_ms_one_thread": round(latency(file), 2),
            "machine": machine_description(),
        },
    )


def show(figures: Path, file: Path) -> None:
    """Print the scores as a table."""
    measured = read_result(figures)
    table = Table(title="Synthetic eyes that were not trained on")
    table.add_column("figure")
    for name in measured:
        table.add_column(name, justify="right")
    for key in measured["network"]:
        cells = [measured[name][key] for name in measured]
        table.add_row(
            key.replace("_", " "),
            *(f"{cell:.4f}" if isinstance(cell, float) else str(cell) for cell in cells),
        )
    Console(width=max(100, Console().width)).print(table)
    print(f"model: {file} ({file.stat().st_size / 2**20:.2f} MiB)")
