"""Is one model better than another? Paired differences of their figures."""

from dataclasses import dataclass

import numpy as np

from iris_tf.metrics.bootstrap import percentile_interval
from iris_tf.metrics.evaluate_embeddings import Evaluation
from iris_tf.metrics.figures import CONFIDENCE
from iris_tf.support.errors import EvaluationError


@dataclass(frozen=True)
class Difference:
    """Difference of one figure of two models.

    Attributes
    ----------
    difference : float
        Second minus first, as a share; for AUC and d', in their own units.
    interval : list of two float, or None
        Confidence interval from the paired bootstrap.
    significant : bool
        Whether the interval excludes 0.
    """

    difference: float
    interval: list[float] | None
    significant: bool

    @classmethod
    def of(cls, difference: float, samples: np.ndarray) -> "Difference":
        """Difference with the interval of its resampled values, of shape (resamples,)."""
        interval = percentile_interval(samples, CONFIDENCE)
        return cls(
            difference=difference,
            interval=None if interval is None else list(interval),
            significant=interval is not None and not interval[0] <= 0.0 <= interval[1],
        )


def paired_differences(first: Evaluation, second: Evaluation) -> dict[str, Difference]:
    """Differences of two models' figures, with intervals from the paired bootstrap.

    Both were evaluated on the same images, with the same resamples and seed, so each resample
    consists of the same subjects, and what makes a subject difficult for both models cancels out.

    Parameters
    ----------
    first, second : Evaluation
        From `iris_tf.metrics.evaluate_embeddings`.

    Returns
    -------
    dict of str to Difference
        For each figure that both have.

    Raises
    ------
    EvaluationError
        If they are not of the same comparisons or resamples.
    """
    check_comparable(first, second)
    differences = {}
    for name, values in first.samples.items():
        before, after = (evaluation.metrics.values[name] for evaluation in (first, second))
        if before is None or after is None:  # d' of constant scores
            continue
        differences[name] = Difference.of(after - before, second.samples[name] - values)
    return differences


def check_comparable(first: Evaluation, second: Evaluation) -> None:
    """Check that two models were evaluated on the same comparisons and resamples.

    Raises
    ------
    EvaluationError
        If not.
    """
    if first.metrics.counts != second.metrics.counts or {
        name: len(values) for name, values in first.samples.items()
    } != {name: len(values) for name, values in second.samples.items()}:
        raise EvaluationError(
            "two models can only be compared on the same images and resamples; evaluate them "
            "together."
        )
