"""Teachers as figures of a pipeline's report: their own errors, and their students' distance."""

import functools
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from iris_tf.config.training_recipe import TrainRecipe
from iris_tf.data.crop_store import load_rois
from iris_tf.evaluation.prepared_sets import PreparedSet
from iris_tf.matching.matcher import Matcher
from iris_tf.metrics.evaluate_embeddings import evaluate_embeddings
from iris_tf.networks.phase_code_network import phase_code_network
from iris_tf.pipelines.stages import Stages, read_result
from iris_tf.recognition.open_model import Embedder, KerasEmbedder, open_model
from iris_tf.report.report_data import TaughtModel
from iris_tf.support.files import write_json
from iris_tf.training.run_folder import model_file, teacher_file


def teacher_stage(
    stages: Stages, models: Mapping[str, TrainRecipe], manifest: Path, channels: int, out: Path
) -> None:
    """Write what `taught_models` finds to the file `out`."""
    inputs: dict[str, Any] = {"manifest": manifest}
    for name, recipe in models.items():
        if recipe.distillation.teacher is not None:
            inputs[name] = model_file(Path(recipe.run))
            teacher = recipe.distillation.teacher
            inputs[f"teacher of {name}"] = teacher_file(teacher) or teacher

    def action() -> None:
        found = taught_models(models, manifest, channels)
        write_json(out, {"models": list(map(asdict, found))})

    stages.run("compare with teachers", inputs, [out], action)


def read_taught(path: Path) -> list[TaughtModel]:
    """Read the file of `teacher_stage`."""
    return [TaughtModel(**found) for found in read_result(path)["models"]]


def taught_models(
    models: Mapping[str, TrainRecipe], manifest: Path, channels: int
) -> list[TaughtModel]:
    """Compare the distilled models of a pipeline with their teachers on the test split.

    Both are given the student's crops without augmentation, and are compared at full precision. A
    teacher that is no model of the pipeline is evaluated like one.

    Parameters
    ----------
    models : mapping of str to TrainRecipe
        Finished trainings, by name.
    manifest : Path
        Of the prepared dataset.
    channels : {1, 3}
        Of its crops.

    Raises
    ------
    ModelError, DatasetError
        If a model or a crop cannot be read.
    """
    rows = PreparedSet.read(manifest).of_split("test")
    names = {recipe.run: name for name, recipe in models.items()}
    opened = functools.cache(_open)
    embeddings: dict[tuple[str, tuple[int, int]], np.ndarray] = {}
    errors: dict[tuple[str, tuple[int, int]], float] = {}

    def embedded(path: str, size: tuple[int, int]) -> np.ndarray:
        if (path, size) not in embeddings:
            rois = load_rois(rows, manifest.parent, size, channels)
            embeddings[path, size] = np.asarray(opened(path).embed(rois))
        return embeddings[path, size]

    def compared(name: str, recipe: TrainRecipe, path: str) -> TaughtModel:
        size = recipe.network.crop_size
        student, teacher = embedded(recipe.run, size), embedded(path, size)
        if (path, size) not in errors:
            found = evaluate_embeddings(teacher, rows, resamples=0, matcher=opened(path).matcher)
            errors[path, size] = found.metrics.eer
        distance = None
        if student.shape[1] == teacher.shape[1]:
            distance = float(1.0 - np.sum(student * teacher, axis=1).mean())
        return TaughtModel(name, names.get(path, path), errors[path, size], distance)

    return [
        compared(name, recipe, recipe.distillation.teacher)
        for name, recipe in models.items()
        if recipe.distillation.teacher is not None
    ]


def _open(path: str) -> Embedder:
    """A model, without the phase code that exported files of its run may have; or a teacher."""
    file = teacher_file(path)
    if file is not None:
        return open_model(file)
    model, layout = phase_code_network()
    return KerasEmbedder(path, model, Matcher(layout))
