"""How far the figures could be off: a bootstrap over persons.

Comparisons that share a person are not independent, so persons are drawn, with
replacement, as many as there are. A resample is the set of images of the drawn persons,
a person drawn twice counting as two people who look alike in every image:

- a comparison of images of two persons i and j has the weight w_i * w_j, where w is how
  often each was drawn;
- a comparison within one person (genuine, or left against right eye) has the weight w_i:
  it exists in each copy. Copies of one person are not compared with each other, which
  would compare an image with itself;
- an identification probe has the weight w_i, and the gallery stays whole. Drawing the
  gallery too would leave a third of the identities out of each resample, and with fewer to
  be mistaken for every rate would come out too high.

No resample's scores are sorted again: each impostor score is placed once among the
genuine ones, which is all that ROC-based rates depend on, so the rates are exact.
"""

import numpy as np
from scipy import sparse

from iris_tf.errors import EvaluationError
from iris_tf.evaluation.identification import ProbeRanks
from iris_tf.evaluation.scores import ImageLabels, PairScores

_FLOATS_PER_BLOCK = 1 << 23


def person_weights(persons: int, resamples: int, seed: int) -> np.ndarray:
    """How often each person is drawn in each resample.

    The same arguments give the same draws, so that two models evaluated on the same
    images can be compared resample by resample.

    Returns
    -------
    ndarray of shape (resamples, persons), int64
        Each row adds up to `persons`.
    """
    rng = np.random.default_rng(seed)
    return rng.multinomial(persons, np.full(persons, 1.0 / persons), size=resamples)


def resample_verification(
    scores: PairScores, labels: ImageLabels, weights: np.ndarray, fars: tuple[float, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """EER and VR@FAR of every resample, as `verification` defines them.

    Parameters
    ----------
    scores : PairScores
        All comparisons.
    labels : ImageLabels
        Person of each image.
    weights : ndarray of shape (resamples, n_persons), int
        From `person_weights`.
    fars : tuple of float
        False accept rates.

    Returns
    -------
    eer : ndarray of shape (resamples,), float64
        NaN where a resample has no genuine or no impostor comparison.
    vr : ndarray of shape (len(fars), resamples), float64
        Likewise.
    """
    levels = np.unique(scores.genuine)
    bins = 2 * len(levels) + 1  # odd: tied with a genuine score; even: between two of them

    def placed(values: np.ndarray) -> np.ndarray:
        return np.searchsorted(levels, values, "left") + np.searchsorted(levels, values, "right")

    def table(values: np.ndarray, group: np.ndarray, groups: int) -> sparse.csr_array:
        entries = (np.ones(len(values)), (placed(values), group))
        return sparse.coo_array(entries, shape=(bins, groups)).tocsr()

    persons = weights.shape[1]
    genuine = table(scores.genuine, labels.person[scores.genuine_pairs[:, 0]], persons)
    pair = np.sort(labels.person[scores.impostor_pairs], axis=1).astype(np.int64)
    low, high = np.tril_indices(persons)[::-1]  # group number = high (high + 1) / 2 + low
    impostor = table(scores.impostor, pair[:, 1] * (pair[:, 1] + 1) // 2 + pair[:, 0], len(low))

    eer = np.empty(len(weights))
    vr = np.empty((len(fars), len(weights)))
    step = max(1, _FLOATS_PER_BLOCK // max(bins, len(low)))
    for start in range(0, len(weights), step):
        part = slice(start, start + step)
        drawn = weights[part].T.astype(np.float64)
        both = np.where((low == high)[:, None], drawn[low], drawn[low] * drawn[high])
        eer[part], vr[:, part] = _weighted_rates(genuine @ drawn, impostor @ both, fars)
    return eer, vr


def _weighted_rates(
    genuine: np.ndarray, impostor: np.ndarray, fars: tuple[float, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Rates from weights by bin and resample, both of shape (bins, resamples)."""
    def share_accepted(weights: np.ndarray) -> np.ndarray:
        accepted = np.zeros((len(weights) + 1, weights.shape[1]))
        np.cumsum(weights[::-1], axis=0, out=accepted[1:])
        with np.errstate(invalid="ignore"):
            return accepted / accepted[-1]

    column = np.arange(genuine.shape[1])
    usable = (genuine.sum(axis=0) > 0) & (impostor.sum(axis=0) > 0)
    tmr, fmr = share_accepted(genuine), share_accepted(impostor)
    difference = (1.0 - tmr) - fmr
    after = np.maximum(np.argmax(difference <= 0, axis=0), 1)
    d0, d1 = difference[after - 1, column], difference[after, column]
    f0, f1 = fmr[after - 1, column], fmr[after, column]
    with np.errstate(invalid="ignore", divide="ignore"):
        eer = f0 + d0 / (d0 - d1) * (f1 - f0)
    vr = np.stack([tmr[(fmr <= far).sum(axis=0) - 1, column] for far in fars])
    return np.where(usable, eer, np.nan), np.where(usable, vr, np.nan)


def resample_cmc(
    ranks: ProbeRanks, labels: ImageLabels, weights: np.ndarray, at: tuple[int, ...]
) -> np.ndarray:
    """Identification rate of every resample, in the one gallery that there is.

    Parameters
    ----------
    ranks : ProbeRanks
        Outcome of each probe.
    labels : ImageLabels
        Person of each image.
    weights : ndarray of shape (resamples, n_persons), int
        From `person_weights`.
    at : tuple of int
        Ranks k of CMC@k.

    Returns
    -------
    ndarray of shape (len(at), resamples), float64
        NaN where no probe was drawn.
    """
    person = labels.person[ranks.probes]
    probes = weights @ np.bincount(person, minlength=weights.shape[1])
    hits = np.stack([
        weights @ np.bincount(person[ranks.ranks <= k], minlength=weights.shape[1]) for k in at
    ])
    with np.errstate(invalid="ignore"):
        return hits / probes


def percentile_interval(samples: np.ndarray, level: float) -> tuple[float, float] | None:
    """Central interval that holds the share `level` of the resampled values.

    Parameters
    ----------
    samples : ndarray of shape (resamples,)
        Values of one metric; NaN ones, of resamples without it, are left out.
    level : float
        E.g. 0.9 for the 5th to the 95th percentile.

    Returns
    -------
    tuple of (float, float) or None
        None when fewer than two values are left.
    """
    if not 0 < level < 1:
        raise EvaluationError(f"a confidence level of {level} was asked for; choose 0 < level < 1.")
    samples = samples[~np.isnan(samples)]
    if len(samples) < 2:
        return None
    low, high = np.quantile(samples, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
