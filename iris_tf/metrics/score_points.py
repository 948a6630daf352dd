"""Errors of decisions by score at the operating points of a card."""

from collections.abc import Mapping

import numpy as np

from iris_tf.config.names import SCORE_RATES
from iris_tf.metrics.bootstrap import percentile_interval
from iris_tf.metrics.comparison_sets import ComparisonSet
from iris_tf.metrics.counts import Pairs, ScoreCounts
from iris_tf.metrics.figures import CONFIDENCE
from iris_tf.metrics.metrics import RULE_OF_30
from iris_tf.metrics.score_figures import ScoreFigures, ScorePointErrors, SearchErrors
from iris_tf.metrics.scores import ImageLabels
from iris_tf.metrics.subject_sums import by_pair_of_subjects, sum_over_draws
from iris_tf.metrics.verification import curve_of_counts, eer_of_curve
from iris_tf.tflite.score_model import ScoreModel


def score_figures(
    compared: ComparisonSet,
    model: ScoreModel,
    searches: Mapping[str, SearchErrors],
    weights: np.ndarray | None,
) -> ScoreFigures:
    """Errors at the operating points of a card's scores.

    Parameters
    ----------
    compared : ComparisonSet
        The comparisons, by score.
    model : ScoreModel
        The card's.
    searches : mapping of str to SearchErrors
        Errors of searches by operating point; empty where nobody is searched for.
    weights : ndarray of shape (resamples, subjects), or None
        How often each subject is drawn, for intervals.
    """
    counts, genuine = compared.comparisons.counts, compared.comparisons.genuine
    conclusive = counts.conclusive(compared.scale)
    accepted = _accepted(compared, min(model.thresholds.values()))
    points = {}
    for name, threshold in model.thresholds.items():
        rejected = genuine.scores < threshold
        false_matches = accepted[accepted.scores >= threshold]
        supported = SCORE_RATES[name] * counts.n_impostor >= RULE_OF_30
        fmr_interval = fnmr_interval = None
        if weights is not None:
            fnmr_interval = _fnmr_interval(genuine, rejected, compared.labels, weights)
            if supported:
                fmr_interval = _fmr_interval(false_matches, compared, weights)
        points[name] = ScorePointErrors(
            threshold=threshold,
            claimed_fmr=SCORE_RATES[name],
            fmr=len(false_matches.keys) / counts.n_impostor,
            fnmr=float(rejected.mean()),
            false_matches=len(false_matches.keys),
            supported=supported,
            fmr_interval=fmr_interval,
            fnmr_interval=fnmr_interval,
            conclusive_fnmr=_fnmr(conclusive, threshold),
            search=searches.get(name),
        )
    return ScoreFigures(
        inconclusive_genuine=(counts.n_genuine - conclusive.n_genuine) / counts.n_genuine,
        inconclusive_impostor=(counts.n_impostor - conclusive.n_impostor) / counts.n_impostor,
        conclusive_eer=_eer(conclusive),
        points=points,
    )


def _accepted(compared: ComparisonSet, threshold: float) -> Pairs:
    """Impostor comparisons that score at least a threshold."""
    # The key of the nearest value may lie just below the threshold.
    found = compared.impostors(compared.scale.key(threshold))
    return Pairs.joined((pairs[pairs.scores >= threshold] for pairs in found), compared.scale)


def _eer(counts: ScoreCounts) -> float | None:
    both = counts.n_genuine and counts.n_impostor
    return eer_of_curve(curve_of_counts(counts)).rate if both else None


def _fnmr(counts: ScoreCounts, threshold: float) -> float | None:
    if not counts.n_genuine:
        return None
    return 1.0 - counts.accepted(threshold)[0] / counts.n_genuine


def _fnmr_interval(
    genuine: Pairs, rejected: np.ndarray, labels: ImageLabels, weights: np.ndarray
) -> list[float] | None:
    subject = labels.subject[genuine.first]
    errors = weights @ np.bincount(subject, rejected, labels.subjects)
    return _interval(errors, weights @ np.bincount(subject, minlength=labels.subjects))


def _fmr_interval(
    accepted: Pairs, compared: ComparisonSet, weights: np.ndarray
) -> list[float] | None:
    drawn = weights.T.astype(np.float64)
    ones = np.ones(len(accepted.keys))
    by_pair = by_pair_of_subjects(accepted.first, accepted.second, compared.labels, ones)
    return _interval(sum_over_draws(by_pair)(drawn), compared.total(drawn))


def _interval(errors: np.ndarray, comparisons: np.ndarray) -> list[float] | None:
    with np.errstate(invalid="ignore"):  # a resample may lack comparisons of a kind
        found = percentile_interval(errors / comparisons, CONFIDENCE)
    return None if found is None else list(found)
