"""Whether protected templates of one eye can be linked across keys: the measure D_sys.

References
----------
M. Gomez-Barrero, J. Galbally, C. Rathgeb and C. Busch, "General framework to evaluate
unlinkability in biometric template protection systems", IEEE Transactions on Information
Forensics and Security 13(6), 2018.
"""

from dataclasses import dataclass

import numpy as np

from iris_tf.support.errors import EvaluationError

_BINS = 20
_SHUFFLES = 20


@dataclass(frozen=True, eq=False)
class Unlinkability:
    """How far an attacker's linkage scores tell mated from non-mated pairs of templates.

    Attributes
    ----------
    overall : float
        D_sys, 0..1: 0 where no score says anything, 1 where all do.
    chance : float
        Mean of `overall` over random assignments of mated and non-mated to the same scores: what
        so few scores give where there is nothing to be found.
    least : ndarray of shape (intervals,)
        Lowest score of each interval, rising.
    local : ndarray of shape (intervals,)
        D of each interval, 0..1.
    """

    overall: float
    chance: float
    least: np.ndarray
    local: np.ndarray


def unlinkability(
    mated: np.ndarray, non_mated: np.ndarray, bins: int = _BINS, seed: int = 0
) -> Unlinkability:
    """D_sys of linkage scores, with equal priors of mated and non-mated pairs.

    With the likelihood ratio ``r`` of a score, D is ``2 r / (1 + r) - 1`` where r > 1, else 0
    (Eq. 6 of the paper, omega = 1), and D_sys is its mean over mated scores (Eq. 7). Densities are
    shares of intervals that hold equal shares of both kinds together; equal scores are not divided.

    Parameters
    ----------
    mated : ndarray of shape (n,)
        Scores of pairs of one eye under two keys; higher means more alike.
    non_mated : ndarray of shape (m,)
        Scores of pairs of two eyes under two keys.
    bins : int, optional
        Number of intervals; fewer where scores are tied.
    seed : int, optional
        Of the random assignments.

    Raises
    ------
    EvaluationError
        When there are fewer scores of either kind than intervals, or one is not finite.
    """
    mated, non_mated = (np.asarray(scores, np.float64).ravel() for scores in (mated, non_mated))
    if min(len(mated), len(non_mated)) < bins:
        raise EvaluationError(
            f"{len(mated)} mated and {len(non_mated)} non-mated scores are too few for {bins} "
            "intervals; take more eyes or images."
        )
    scores = np.concatenate([mated, non_mated])
    if not np.isfinite(scores).all():
        raise EvaluationError("A linkage score is not finite; leave such pairs out.")
    is_mated = np.arange(len(scores)) < len(mated)
    levels, places = np.unique(scores, return_inverse=True)
    weights = sum(_shares(places[kind], len(levels)) for kind in (is_mated, ~is_mated)) / 2
    middles = np.cumsum(weights) - weights / 2
    intervals, first = np.unique((bins * middles).astype(np.int64), return_index=True)
    places = np.searchsorted(first, places, side="right") - 1
    overall, local = _measure(places, is_mated, len(intervals))
    rng = np.random.default_rng(seed)
    shuffled = [
        _measure(places, rng.permutation(is_mated), len(intervals))[0] for _ in range(_SHUFFLES)
    ]
    return Unlinkability(overall, float(np.mean(shuffled)), levels[first], local)


def _measure(places: np.ndarray, is_mated: np.ndarray, intervals: int) -> tuple[float, np.ndarray]:
    """D_sys and D of each interval, given the interval of each score."""
    mated, non_mated = (_shares(places[kind], intervals) for kind in (is_mated, ~is_mated))
    # 2 r / (1 + r) - 1 = (p - q) / (p + q), which is also right where q is 0.
    total = mated + non_mated
    local = np.divide(mated - non_mated, total, out=np.zeros(intervals), where=total > 0).clip(0.0)
    return float(local @ mated), local


def _shares(places: np.ndarray, number: int) -> np.ndarray:
    """Share of places 0 to `number` - 1."""
    return np.bincount(places, minlength=number) / len(places)
