"""Mean figures of models that differ only in the seed of their training."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from iris_tf.metrics.bootstrap import percentile_interval
from iris_tf.metrics.differences import Difference, check_comparable
from iris_tf.metrics.evaluate_embeddings import Evaluation
from iris_tf.metrics.figures import CONFIDENCE


@dataclass(frozen=True)
class MeanFigure:
    """Mean of one figure over repeated trainings.

    Attributes
    ----------
    value : float
        A share; for AUC and d', in their own units.
    interval : list of two float, or None
        Confidence interval of the mean from the bootstrap over subjects: what other subjects would
        change, not what further trainings would.
    each : list of float
        The figure of each training.
    """

    value: float
    interval: list[float] | None
    each: list[float]


def mean_figures(evaluations: Sequence[Evaluation]) -> dict[str, MeanFigure]:
    """Mean figures of models that were evaluated on the same images, with the same resamples.

    Parameters
    ----------
    evaluations : sequence of Evaluation
        From `iris_tf.metrics.evaluate_embeddings`, one of each training.

    Returns
    -------
    dict of str to MeanFigure
        For each figure that all have.

    Raises
    ------
    EvaluationError
        If they are not of the same comparisons or resamples.
    """
    for other in evaluations[1:]:
        check_comparable(evaluations[0], other)
    found = {}
    for name in evaluations[0].metrics.values:
        each = [evaluation.metrics.values[name] for evaluation in evaluations]
        values = [value for value in each if value is not None]  # d' of constant scores
        if len(values) == len(each):
            interval = percentile_interval(_mean_samples(evaluations, name), CONFIDENCE)
            bounds = None if interval is None else list(interval)
            found[name] = MeanFigure(float(np.mean(values)), bounds, values)
    return found


def mean_differences(
    first: Sequence[Evaluation], second: Sequence[Evaluation]
) -> dict[str, Difference]:
    """Differences of mean figures, second minus first, with intervals from the paired bootstrap.

    Parameters
    ----------
    first, second : sequence of Evaluation
        As of `mean_figures`, not necessarily of as many trainings.

    Raises
    ------
    EvaluationError
        If they are not of the same comparisons or resamples.
    """
    check_comparable(first[0], second[0])
    before, after = mean_figures(first), mean_figures(second)
    differences = {}
    for name in before.keys() & after.keys() & first[0].samples.keys():
        differences[name] = Difference.of(
            after[name].value - before[name].value,
            _mean_samples(second, name) - _mean_samples(first, name),
        )
    return differences


def _mean_samples(evaluations: Sequence[Evaluation], name: str) -> np.ndarray:
    """Resampled values of the mean; empty where there are no resamples."""
    samples = [evaluation.samples.get(name, np.empty(0)) for evaluation in evaluations]
    return np.mean(samples, axis=0)
