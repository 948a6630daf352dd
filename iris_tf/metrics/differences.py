"""Is one model better than another? Differences of metrics on the same resamples of persons."""

from typing import Any

from iris_tf.metrics.bootstrap import percentile_interval
from iris_tf.metrics.evaluate_embeddings import Evaluation
from iris_tf.metrics.figures import CONFIDENCE
from iris_tf.support.errors import EvaluationError


def paired_differences(first: Evaluation, second: Evaluation) -> dict[str, dict[str, Any]]:
    """Differences of two models' metrics, with intervals of the paired bootstrap.

    Both were evaluated on the same images, with the same resamples and seed, so resample by
    resample the same persons were drawn, and what makes a person hard for both models
    cancels out.

    Parameters
    ----------
    first, second : Evaluation
        From `evaluation_of_embeddings`.

    Returns
    -------
    dict
        For each metric that both have: ``difference`` (second minus first, as shares; of
        auc and d_prime, in their own units),
        ``interval`` ([low, high] or None) and ``significant``: whether the interval leaves
        out 0.

    Raises
    ------
    EvaluationError
        When they are not of the same comparisons or resamples.
    """
    if first.result["counts"] != second.result["counts"] or {
        name: len(values) for name, values in first.samples.items()
    } != {name: len(values) for name, values in second.samples.items()}:
        raise EvaluationError(
            "two models can be compared on the same images and resamples only; evaluate them "
            "together."
        )
    differences = {}
    for name, values in first.samples.items():
        metrics = [evaluation.result["metrics"][name] for evaluation in (first, second)]
        if None in metrics:  # d' of scores that do not vary
            continue
        interval = percentile_interval(second.samples[name] - values, CONFIDENCE)
        differences[name] = {
            "difference": metrics[1] - metrics[0],
            "interval": None if interval is None else list(interval),
            "significant": interval is not None and not interval[0] <= 0.0 <= interval[1],
        }
    return differences
