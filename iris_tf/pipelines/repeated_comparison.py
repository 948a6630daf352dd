"""Comparison of the models of a pipeline by their means over trainings with different seeds."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from iris_tf.evaluation.evaluate_model import EvaluationRequest, requested_protocol
from iris_tf.evaluation.prepared_sets import PreparedSet
from iris_tf.metrics.evaluate_embeddings import Evaluation
from iris_tf.metrics.fold_accuracy import FoldFigures, accuracy_difference, mean_fold_figures
from iris_tf.metrics.repeats import mean_differences, mean_figures
from iris_tf.pipelines.evaluation_stage import evaluate_and_write
from iris_tf.pipelines.mobiiris_stages import MobiIrisPipeline
from iris_tf.pipelines.teacher_stage import evaluate_teacher, external_teachers
from iris_tf.report.distillation_table import DistilledModel
from iris_tf.report.report_data import TaughtModel
from iris_tf.training.model_recipes import trainings


def compared_models(pipeline: MobiIrisPipeline, first: str) -> dict[str, DistilledModel]:
    """Compare the models of a complete pipeline with the one called `first`, over all seeds.

    Returns
    -------
    dict of str to DistilledModel
        By name: `first`, the teachers that are no models of the pipeline, all others. Figures are
        of the pairs of the recipe's `dataset.folds`, if it names a list, else of all pairs. A
        report and ``metrics.json`` of all trainings are in the folder ``distillation``.
    """
    names = [first, *(name for name in pipeline.models if name != first)]
    files = [pipeline.model_file(name, pipeline.compared_precision) for name in names]
    folds = pipeline.recipe.dataset.folds
    request = EvaluationRequest(files, [pipeline.manifest], "test", folds=folds)
    outcome = evaluate_and_write(request, pipeline.folder / "distillation")
    evaluations = dict(zip(names, outcome.evaluations.values(), strict=True))
    in_folds = {name: one.folds for name, one in zip(names, outcome.result.models, strict=True)}
    repeated = trainings(pipeline.recipe)
    external = {f"{path} (teacher, float32)": path for path in external_teachers(pipeline.models)}
    if external:
        dataset = PreparedSet.read(pipeline.manifest)
        rows, failed = dataset.of_split("test"), dataset.failed_of_split("test")
        protocol = requested_protocol(request, rows, failed)
        channels = pipeline.recipe.dataset.crop_channels
        for name, path in external.items():
            evaluations[name], in_folds[name] = evaluate_teacher(path, dataset, protocol, channels)
            repeated[name] = [name]
    taught = {one.model: one for one in pipeline.teachers().taught}

    def line(name: str) -> DistilledModel:
        each: Sequence[Evaluation] = [evaluations[one] for one in repeated[name]]
        own, plain = (_folds([in_folds[one] for one in repeated[n]]) for n in (name, first))
        figures = mean_figures(each)
        students = [taught[one] for one in repeated[name] if one in taught]
        distance = _mean_known(students, lambda one: one.distance)
        alignment = _mean_known(students, lambda one: one.alignment)
        if name == first:
            return DistilledModel(figures, {}, distance, alignment, own)
        differences = mean_differences([evaluations[one] for one in repeated[first]], each)
        accuracy = accuracy_difference(plain, own) if own and plain else None
        return DistilledModel(figures, differences, distance, alignment, own, accuracy)

    return {name: line(name) for name in [first, *external, *names[1:]] if name in repeated}


def _folds(trainings: Sequence[dict[str, Any] | None]) -> FoldFigures | None:
    """Means over trainings of a model; None if the protocol has no folds."""
    found = [FoldFigures.from_json(one) for one in trainings if one is not None]
    return mean_fold_figures(found) if found else None


def _mean_known(
    students: Sequence[TaughtModel], figure: Callable[[TaughtModel], float | None]
) -> float | None:
    """Mean of a figure of the trainings of a student; None if none has it."""
    known = [value for value in map(figure, students) if value is not None]
    return float(np.mean(known)) if known else None
