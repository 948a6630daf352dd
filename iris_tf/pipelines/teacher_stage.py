"""Teachers as figures of a pipeline's report: their own errors, and their students' distance."""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from iris_tf.config.training_recipe import TrainRecipe
from iris_tf.data.crop_store import load_rois
from iris_tf.data.manifest import ManifestRow
from iris_tf.evaluation.prepared_sets import PreparedSet
from iris_tf.evaluation.protocols import EveryPair, Protocol
from iris_tf.matching.matcher import Matcher
from iris_tf.metrics.evaluate_embeddings import RESAMPLES, Evaluation
from iris_tf.metrics.kernel_alignment import linear_cka
from iris_tf.metrics.metrics import Metrics
from iris_tf.pipelines.stages import Stages, read_result
from iris_tf.report.report_data import TaughtModel
from iris_tf.support.files import write_json
from iris_tf.training.run_folder import model_file, teacher_file
from iris_tf.training.teacher import Teacher

_FIGURES = 2  # version of the figures, so that those of an earlier one are measured again


@dataclass(frozen=True)
class TeacherFigures:
    """What a pipeline's report says of teachers.

    Attributes
    ----------
    taught : list of TaughtModel
        The distilled models, with the errors of their teachers.
    external : dict of str to Metrics
        Figures of the teachers that are no models of the pipeline, by what recipes call them.
    """

    taught: list[TaughtModel]
    external: dict[str, Metrics]


def teacher_stage(
    stages: Stages, models: Mapping[str, TrainRecipe], manifest: Path, channels: int, out: Path
) -> None:
    """Write what `teacher_figures` finds to the file `out`."""
    inputs: dict[str, Any] = {"manifest": manifest, "figures": _FIGURES}
    for name, recipe in models.items():
        if recipe.distillation.teacher is not None:
            inputs[name] = model_file(Path(recipe.run))
            teacher = recipe.distillation.teacher
            inputs[f"teacher of {name}"] = teacher_file(teacher) or teacher

    def action() -> None:
        found = teacher_figures(models, manifest, channels)
        external = {name: metrics.to_json() for name, metrics in found.external.items()}
        write_json(out, {"models": list(map(asdict, found.taught)), "teachers": external})

    stages.run("compare with teachers", inputs, [out], action)


def read_teacher_figures(path: Path) -> TeacherFigures:
    """Read the file of `teacher_stage`."""
    found = read_result(path)
    return TeacherFigures(
        [TaughtModel(**model) for model in found["models"]],
        {name: Metrics.from_json(metrics) for name, metrics in found["teachers"].items()},
    )


def external_teachers(models: Mapping[str, TrainRecipe]) -> list[str]:
    """Teachers that are no models of the pipeline, by what recipes call them; each once."""
    runs = {recipe.run for recipe in models.values()}
    taught = (recipe.distillation.teacher for recipe in models.values())
    return list(dict.fromkeys(path for path in taught if path is not None and path not in runs))


def evaluate_teacher(
    path: str,
    dataset: PreparedSet,
    protocol: Protocol,
    channels: int,
) -> tuple[Evaluation, dict[str, Any] | None]:
    """Evaluate a teacher on the test split, at its own input size.

    Parameters
    ----------
    path : str
        See `Teacher.load`.
    dataset : PreparedSet
    protocol : Protocol
        Which images are compared.
    channels : {1, 3}
        Of the crops, which are converted to the teacher's.

    Returns
    -------
    evaluation : Evaluation
        At full precision.
    folds : dict or None
        See `Protocol.fold_figures`.

    Raises
    ------
    ModelError, DatasetError, EvaluationError
        If the model or a crop cannot be read, or the images give no comparisons.
    """
    rows, teacher = dataset.of_split("test"), Teacher.load(path)
    crops = load_rois(rows, dataset.manifest.parent, teacher.input_size, channels)
    embeddings = teacher.embeddings(crops)
    evaluation = _evaluate(teacher, embeddings, rows, protocol, RESAMPLES)
    return evaluation, protocol.fold_figures(embeddings, Matcher(teacher.code))


def _evaluate(
    teacher: Teacher,
    embeddings: np.ndarray,
    rows: Sequence[ManifestRow],
    protocol: Protocol,
    resamples: int,
) -> Evaluation:
    return protocol.evaluate(embeddings, rows, Matcher(teacher.code), resamples)


def teacher_figures(
    models: Mapping[str, TrainRecipe], manifest: Path, channels: int
) -> TeacherFigures:
    """Compare the distilled models of a pipeline with their teachers on the test split.

    Errors of a teacher are of crops at its own input size, as those of any model; the distance of a
    student is of the student's crops without augmentation, which the teacher is given in training.
    Both at full precision.

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
    ModelError, DatasetError, EvaluationError
        If a model or a crop cannot be read, or the images give no comparisons.
    """
    dataset = PreparedSet.read(manifest)
    rows, external = dataset.of_split("test"), external_teachers(models)
    names = {recipe.run: name for name, recipe in models.items()}

    opened = functools.cache(Teacher.load)

    @functools.cache
    def embedded(path: str, size: tuple[int, int]) -> np.ndarray:
        return opened(path).embeddings(load_rois(rows, manifest.parent, size, channels))

    @functools.cache
    def figures(path: str) -> Metrics:
        teacher = opened(path)
        embeddings = embedded(path, teacher.input_size)
        resamples = RESAMPLES if path in external else 0
        return _evaluate(teacher, embeddings, rows, EveryPair(), resamples).metrics

    def compared(name: str, recipe: TrainRecipe, path: str) -> TaughtModel:
        size = recipe.network.crop_size
        student, teacher = embedded(recipe.run, size), embedded(path, size)
        distance = None
        if student.shape[1] == teacher.shape[1]:
            distance = float(1.0 - np.sum(student * teacher, axis=1).mean())
        return TaughtModel(
            name, names.get(path, path), figures(path).eer, distance, linear_cka(student, teacher)
        )

    taught = [
        compared(name, recipe, recipe.distillation.teacher)
        for name, recipe in models.items()
        if recipe.distillation.teacher is not None
    ]
    return TeacherFigures(taught, {path: figures(path) for path in external})
