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

No resample's scores are sorted again. Each impostor score is placed once among the genuine
ones, which is all that ROC-based rates depend on, and counted by its two persons; impostor
scores below all operating points count as a sum. So the rates are exact, for scores as they
are counted (see `iris_tf.metrics.counts`). Only where so many impostor scores lie near or
above the EER's threshold that they cannot be held is its distribution an approximation:
2**24 of them, drawn at random, then stand for all, which moves an EER by some 0.0001, and
`Resampled.exact` is False.

The area under the ROC curve depends on all scores: held are, besides, the impostor scores
below all operating points that some genuine score lies below. Where these are too many,
2**20 of them stand for all, which moves the area by less than a hundredth of its interval.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from iris_tf.metrics.counts import KEYS, STEP, Comparisons, Pairs, ScoreCounts, pairs_above
from iris_tf.metrics.scores import ImageLabels
from iris_tf.metrics.subject_sums import (
    Blocks,
    Total,
    by_pair_of_persons,
    sum_over_draws,
    total_of_all_pairs,
)
from iris_tf.support.errors import EvaluationError

_FLOATS_PER_BLOCK = 1 << 23
_MAX_LEVELS = 1 << 18  # distinct genuine scores told apart
_MAX_ENTRIES = 1 << 24  # impostor comparisons held
_MAX_LOW_ENTRIES = 1 << 20  # of those below all operating points
_FEW = 1 << 18
_FIRST_SHARE = 0.03  # of the impostor comparisons that are held at first


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


@dataclass(frozen=True)
class Resampled:
    """Rates of every resample.

    Attributes
    ----------
    eer : ndarray of shape (resamples,), float64
        NaN where a resample has no genuine or no impostor comparison.
    vr : ndarray of shape (len(fars), resamples), float64
        VR@FAR, 1 - FNMR; likewise.
    auc : ndarray of shape (resamples,), float64
        Area under the ROC curve; likewise.
    exact : bool
        False when the EER is an approximation.
    """

    eer: np.ndarray
    vr: np.ndarray
    auc: np.ndarray
    exact: bool


def resample_verification(
    comparisons: Comparisons,
    blocks: Blocks,
    labels: ImageLabels,
    weights: np.ndarray,
    fars: Sequence[float],
) -> Resampled:
    """EER, VR@FAR and AUC of every resample, as `verification` defines them.

    Parameters
    ----------
    comparisons : Comparisons
        What `count_scores` made of the matrix.
    blocks : callable
        Gives the same matrix again, block by block; the blocks are not changed.
    labels : ImageLabels
        Person of each image, and who is compared.
    weights : ndarray of shape (resamples, n_persons), int
        From `person_weights`.
    fars : sequence of float
        False accept rates.
    """

    def impostors(least: int) -> Iterable[Pairs]:
        for start, block in blocks():
            found = pairs_above(start, block, labels, least)
            yield found[labels.identity[found.first] != labels.identity[found.second]]

    total = total_of_all_pairs(labels)
    share, vr = max(_FIRST_SHARE, 1.5 * max(fars)), None
    while True:
        if comparisons.counts.n_impostor <= _FEW:
            share = 1.0  # quicker than to look twice
        table = _table(comparisons, impostors, total, labels, share)
        rates = _resample(table, weights, fars)
        vr = rates.vr if vr is None and rates.vr_found else vr
        if vr is not None and rates.eer_found:
            auc = rates.auc
            if not table.whole:
                low = _table_of_low(comparisons, impostors, table, labels)
                with np.errstate(invalid="ignore"):
                    auc = auc + rates.tied / 2 - _inversions(low, weights) / rates.comparisons
            return Resampled(rates.eer, vr, auc, table.exact)
        share = 1.0 if share > 0.2 else 4 * share


def resample_pairs(
    counts: ScoreCounts,
    genuine: Pairs,
    impostor: Pairs,
    labels: ImageLabels,
    weights: np.ndarray,
    fars: Sequence[float],
) -> Resampled:
    """`resample_verification` of comparisons that are listed one by one."""

    def impostors(least: int) -> Iterable[Pairs]:
        yield impostor[impostor.keys >= least]

    total = sum_over_draws(by_pair_of_persons(impostor, labels, np.ones(len(impostor.keys))))
    none = Pairs.joined([])
    table = _table(Comparisons(counts, genuine, none), impostors, total, labels, 1.0)
    rates = _resample(table, weights, fars)
    return Resampled(rates.eer, rates.vr, rates.auc, table.exact)


@dataclass(frozen=True)
class _Table:
    """Comparisons by place of their score (rows, rising) and by person or pair of persons.

    Row 0 holds what lies below all others; impostor comparisons of row 0 are not there, but
    follow from their total.
    """

    genuine: sparse.csr_array
    impostor: sparse.csr_array
    low: np.ndarray  # persons of each column of `impostor`
    high: np.ndarray
    total: Total
    least: int  # key from which on comparisons are not in row 0
    whole: bool  # nothing lies in row 0 but what is below every genuine score
    exact: bool


def _table(
    comparisons: Comparisons,
    impostors: Callable[[int], Iterable[Pairs]],
    total: Total,
    labels: ImageLabels,
    share: float,
    entries: int | None = None,
) -> _Table:
    counts, keys, persons = comparisons.counts, comparisons.genuine.keys, labels.persons
    n_impostor = counts.n_impostor
    pairs = persons * (persons + 1) // 2
    kept = min(1.0, (entries or _MAX_ENTRIES) / max(1.0, share * n_impostor))
    levels = np.unique(keys)
    every_level = len(levels) <= _MAX_LEVELS
    if not every_level:
        quantiles = np.linspace(0, len(keys) - 1, _MAX_LEVELS).astype(np.int64)
        levels = np.unique(np.sort(keys)[quantiles])
    # Row of every key: up to a level, at it, and above it up to the next, which count as
    # tied with it where not all levels are told apart.
    place = np.zeros(KEYS + 1, np.int32)
    place[levels] += 1
    if every_level:
        place[levels + 1] += 1
    np.cumsum(place, out=place)
    whole = share == 1.0
    if not whole:
        from_top = np.cumsum(counts.impostor[::-1])
        cut = counts.levels[::-1][np.searchsorted(from_top, share * n_impostor)]
        below = place[round((cut + 1.0) / STEP)]
        whole = below == 0
        place -= below
        np.maximum(place, 0, out=place)
    rows = int(place[-1]) + 1
    genuine = sparse.coo_array(
        (np.ones(len(keys)), (place[keys], labels.person[comparisons.genuine.first])),
        shape=(rows, persons),
    ).tocsr()
    least = int(np.searchsorted(place, 1))
    impostor, columns = _impostor_table(impostors(least), labels, place, (rows, pairs), kept)
    high = ((np.sqrt(8.0 * columns + 1.0) - 1.0) / 2.0).astype(np.int64)
    return _Table(
        genuine,
        impostor,
        low=columns - high * (high + 1) // 2,
        high=high,
        total=total,
        least=least,
        whole=bool(whole),
        exact=every_level and kept == 1.0,
    )


def _table_of_low(
    comparisons: Comparisons,
    impostors: Callable[[int], Iterable[Pairs]],
    table: _Table,
    labels: ImageLabels,
) -> _Table:
    """Table of the comparisons of another one's row 0."""
    counts, genuine = comparisons.counts, comparisons.genuine
    genuine = genuine[genuine.keys < table.least]
    low = counts.levels < table.least * STEP - 1.0
    above = low & (counts.levels >= genuine.scores.min(initial=1.0))

    def below(least: int) -> Iterable[Pairs]:
        for found in impostors(least):
            yield found[found.keys < table.least]

    counts = ScoreCounts(counts.levels[above], counts.genuine[above], counts.impostor[above])
    return _table(
        Comparisons(counts, genuine, comparisons.highest_impostor), below, table.total, labels,
        share=1.0, entries=_MAX_LOW_ENTRIES,
    )  # fmt: skip


def _impostor_table(
    impostors: Iterable[Pairs],
    labels: ImageLabels,
    place: np.ndarray,
    shape: tuple[int, int],
    kept: float,
) -> tuple[sparse.csr_array, np.ndarray]:
    """Impostor comparisons above row 0, and the number of the pair of persons of each column.

    Of the comparisons, the share `kept` is held, each of which stands for ``1 / kept``.
    """
    rng = np.random.default_rng(0)
    parts: list[tuple[np.ndarray, np.ndarray]] = []
    for found in impostors:
        if kept < 1.0:
            found = found[rng.random(len(found.keys)) < kept]
        parts.append((place[found.keys], _pair_number(found, labels)))
    row, column = (np.concatenate(part) for part in zip(*parts, strict=True))
    columns = np.arange(shape[1])
    if len(column) < shape[1]:
        columns, column = np.unique(column, return_inverse=True)
    entries = sparse.coo_array(
        (np.full(len(row), 1.0 / kept), (row, column.astype(np.int32))),
        shape=(shape[0], len(columns)),
    )
    return entries.tocsr(), columns


def _pair_number(pairs: Pairs, labels: ImageLabels) -> np.ndarray:
    first, second = labels.person[pairs.first], labels.person[pairs.second]
    low, high = np.minimum(first, second), np.maximum(first, second).astype(np.int64)
    return high * (high + 1) // 2 + low


@dataclass(frozen=True)
class _Rates:
    eer: np.ndarray
    vr: np.ndarray
    auc: np.ndarray  # as if all comparisons of row 0 were tied
    tied: np.ndarray  # share of row 0 by row 0 in all pairs of a genuine and an impostor score
    comparisons: np.ndarray  # number of such pairs
    eer_found: bool  # in no resample did it lie in row 0
    vr_found: bool


def _resample(table: _Table, weights: np.ndarray, fars: Sequence[float]) -> _Rates:
    parts = []
    for drawn, genuine, impostor in _weighted(table, weights):
        impostor[0] = np.maximum(table.total(drawn) - impostor[1:].sum(axis=0), 0.0)
        parts.append(_weighted_rates(genuine, impostor, fars))
    joined = {
        name: np.concatenate([getattr(part, name) for part in parts], axis=-1)
        for name in ("eer", "vr", "auc", "tied", "comparisons")
    }
    return _Rates(
        **joined,
        eer_found=table.whole or all(part.eer_found for part in parts),
        vr_found=table.whole or all(part.vr_found for part in parts),
    )


def _weighted(
    table: _Table, weights: np.ndarray
) -> Iterable[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Drawn persons, and weights of genuine and impostor comparisons by row, of some resamples."""
    rows, columns = table.impostor.shape
    step = max(1, _FLOATS_PER_BLOCK // max(rows, columns))
    same = table.low == table.high
    for start in range(0, len(weights), step):
        drawn = weights[start : start + step].T.astype(np.float64)
        both = drawn[table.low] * drawn[table.high]
        both[same] = drawn[table.low[same]]
        yield drawn, table.genuine @ drawn, table.impostor @ both


def _inversions(table: _Table, weights: np.ndarray) -> np.ndarray:
    """Pairs of a genuine and a higher impostor score, ties counting half, by resample."""
    return np.concatenate([
        _weighted_inversions(genuine, impostor)
        for _, genuine, impostor in _weighted(table, weights)
    ])  # fmt: skip


def _weighted_inversions(genuine: np.ndarray, impostor: np.ndarray) -> np.ndarray:
    below = np.cumsum(genuine, axis=0)
    below -= genuine / 2
    return np.einsum("ij,ij->j", below, impostor)


def _weighted_rates(genuine: np.ndarray, impostor: np.ndarray, fars: Sequence[float]) -> _Rates:
    """Rates from weights by row and resample, both of shape (rows, resamples)."""

    def share_accepted(weights: np.ndarray) -> np.ndarray:
        accepted = np.zeros((len(weights) + 1, weights.shape[1]))
        np.cumsum(weights[::-1], axis=0, out=accepted[1:])
        with np.errstate(invalid="ignore"):
            return accepted / accepted[-1]

    column = np.arange(genuine.shape[1])
    comparisons = genuine.sum(axis=0) * impostor.sum(axis=0)
    usable = comparisons > 0
    tmr, fmr = share_accepted(genuine), share_accepted(impostor)
    difference = (1.0 - tmr) - fmr
    after = np.maximum(np.argmax(difference <= 0, axis=0), 1)
    d0, d1 = difference[after - 1, column], difference[after, column]
    f0, f1 = fmr[after - 1, column], fmr[after, column]
    with np.errstate(invalid="ignore", divide="ignore"):
        eer = f0 + d0 / (d0 - d1) * (f1 - f0)
        auc = 1.0 - _weighted_inversions(genuine, impostor) / comparisons
        tied = genuine[0] * impostor[0] / comparisons
    last = np.stack([(fmr <= far).sum(axis=0) - 1 for far in fars])
    return _Rates(
        np.where(usable, eer, np.nan),
        np.where(usable, tmr[last, column], np.nan),
        auc,
        tied,
        comparisons,
        eer_found=bool((after < len(genuine))[usable].all()),
        vr_found=bool((last < len(genuine) - 1)[:, usable].all()),
    )


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
