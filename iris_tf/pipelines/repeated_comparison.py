"""Comparison of the models of a pipeline by their means over trainings with different seeds."""

from collections.abc import Sequence

import numpy as np

from iris_tf.evaluation.evaluate_model import EvaluationRequest
from iris_tf.metrics.evaluate_embeddings import Evaluation
from iris_tf.metrics.repeats import mean_differences, mean_figures
from iris_tf.pipelines.evaluation_stage import evaluate_and_write
from iris_tf.pipelines.mobiiris_stages import MobiIrisPipeline
from iris_tf.report.distillation_table import DistilledModel
from iris_tf.training.model_recipes import trainings


def compared_models(pipeline: MobiIrisPipeline, first: str) -> dict[str, DistilledModel]:
    """Compare the models of a complete pipeline with the one called `first`, over all seeds.

    Returns
    -------
    dict of str to DistilledModel
        By name, `first` first. A report and ``metrics.json`` of all trainings are in the folder
        ``distillation``.
    """
    names = [first, *(name for name in pipeline.models if name != first)]
    files = [pipeline.model_file(name, pipeline.compared_precision) for name in names]
    request = EvaluationRequest(files, [pipeline.manifest], "test")
    outcome = evaluate_and_write(request, pipeline.folder / "distillation")
    found = dict(zip(names, outcome.evaluations.values(), strict=True))
    distances = {one.model: one.distance for one in pipeline.taught()}
    repeated = trainings(pipeline.recipe)
    reference = [found[name] for name in repeated[first]]

    def line(name: str) -> DistilledModel:
        evaluations: Sequence[Evaluation] = [found[one] for one in repeated[name]]
        known = [distances[one] for one in repeated[name] if one in distances]
        values = [distance for distance in known if distance is not None]
        return DistilledModel(
            mean_figures(evaluations),
            {} if name == first else mean_differences(reference, evaluations),
            float(np.mean(values)) if values else None,
        )

    return {name: line(name) for name in names if name in repeated}
