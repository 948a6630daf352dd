"""Accuracy over folds, as the protocol of Labeled Faces in the Wild has it (Huang et al., 2007)."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np

from iris_tf.metrics.verification import area_under_roc, error_curve
from iris_tf.support.errors import EvaluationError


@dataclass(frozen=True)
class FoldFigures:
    """Figures of comparisons in folds, each decided at a threshold chosen on all other folds.

    Attributes
    ----------
    accuracies : list of float
        Share of right decisions of each fold, 0..1.
    thresholds : list of float
        Threshold of each fold.
    accuracy : float
        Mean of `accuracies`.
    standard_error : float
        Of that mean: the standard deviation of `accuracies` over the root of their number.
    far, frr : float
        Mean over the folds of the share of impostor comparisons accepted and of genuine
        comparisons rejected.
    f1 : float
        Mean over the folds of F1, 2 TP / (2 TP + FP + FN); it depends on the share of genuine
        comparisons.
    auc : float
        Area under the ROC curve of all comparisons: the probability that a genuine comparison
        scores higher than an impostor one, with ties counted half.
    """

    accuracies: list[float]
    thresholds: list[float]
    accuracy: float
    standard_error: float
    far: float
    frr: float
    f1: float
    auc: float

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> "FoldFigures":
        """Read the figures among those of `iris_tf.evaluation.protocols.Protocol.fold_figures`."""
        return cls(**{field.name: found[field.name] for field in fields(cls)})

    def to_json(self) -> dict[str, Any]:
        """JSON object."""
        return asdict(self)


def best_threshold(scores: np.ndarray, genuine: np.ndarray) -> float:
    """Threshold of the highest accuracy; of several, the middle one.

    Parameters
    ----------
    scores : ndarray of shape (n,), float
        A comparison is accepted from the threshold on.
    genuine : ndarray of shape (n,), bool

    Returns
    -------
    float
        Halfway between two scores, the lowest score, or just above the highest one.
    """
    order = np.argsort(scores, kind="stable")
    ordered, real = np.asarray(scores, np.float64)[order], np.asarray(genuine, bool)[order]
    starts = np.flatnonzero(np.diff(ordered, prepend=-np.inf) > 0)
    # Right decisions if all scores from a place on are accepted.
    rejected = np.concatenate([[0], np.cumsum(~real)])
    accepted = np.concatenate([np.cumsum(real[::-1])[::-1], [0]])
    places = np.append(starts, len(ordered))
    right = rejected[places] + accepted[places]
    best = places[right == right.max()]
    place = best[len(best) // 2]
    if place == 0:
        return float(ordered[0])
    if place == len(ordered):
        return float(np.nextafter(ordered[-1], np.inf))
    return float((ordered[place - 1] + ordered[place]) / 2)


def fold_figures(scores: np.ndarray, genuine: np.ndarray, folds: np.ndarray) -> FoldFigures:
    """Decide the comparisons of each fold at the best threshold of all others.

    Parameters
    ----------
    scores : ndarray of shape (n,), float
    genuine : ndarray of shape (n,), bool
        Whether each comparison is of one identity.
    folds : ndarray of shape (n,), int
        Fold of each comparison.

    Raises
    ------
    EvaluationError
        If there is one fold only, or a fold lacks a kind of comparison.
    """
    scores, genuine = np.asarray(scores, np.float64), np.asarray(genuine, bool)
    numbers = np.unique(folds)
    if len(numbers) < 2:
        raise EvaluationError("The comparisons are all of one fold; give at least two folds.")
    accuracies, thresholds, rates = [], [], []
    for number in numbers:
        own = folds == number
        threshold = best_threshold(scores[~own], genuine[~own])
        accepted, real = scores[own] >= threshold, genuine[own]
        if real.all() or not real.any():
            raise EvaluationError(
                f"Fold {number} has no {'impostor' if real.all() else 'genuine'} comparison; give "
                "each fold both kinds."
            )
        thresholds.append(threshold)
        accuracies.append(float(np.mean(accepted == real)))
        f1 = 2 * np.sum(accepted & real) / (np.sum(accepted) + np.sum(real))
        rates.append((np.mean(accepted[~real]), np.mean(~accepted[real]), f1))
    far, frr, f1 = map(float, np.mean(rates, axis=0))
    mean, standard_error = _mean(accuracies)
    auc = area_under_roc(error_curve(scores[genuine], scores[~genuine]))
    return FoldFigures(accuracies, thresholds, mean, standard_error, far, frr, f1, auc)


def mean_fold_figures(trainings: Sequence[FoldFigures]) -> FoldFigures:
    """Mean figures of models that differ only in the seed of their training.

    Parameters
    ----------
    trainings : sequence of FoldFigures
        Of the same comparisons in the same folds.
    """
    means: dict[str, Any] = {
        field.name: np.mean([getattr(one, field.name) for one in trainings], axis=0).tolist()
        for field in fields(FoldFigures)
    }
    _, standard_error = _mean(means["accuracies"])
    return FoldFigures(**means | {"standard_error": standard_error})


def accuracy_difference(first: FoldFigures, second: FoldFigures) -> tuple[float, float]:
    """Difference in accuracy, second minus first: mean over the folds, and its standard error.

    Parameters
    ----------
    first, second : FoldFigures
        Of the same comparisons in the same folds.
    """
    return _mean(np.subtract(second.accuracies, first.accuracies))


def _mean(of_folds: Sequence[float] | np.ndarray) -> tuple[float, float]:
    """Mean over the folds, and its standard error."""
    error = np.std(of_folds, ddof=1) / np.sqrt(len(of_folds))
    return float(np.mean(of_folds)), float(error)
