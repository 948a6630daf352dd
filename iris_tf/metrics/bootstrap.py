"""Sampling uncertainty of the figures: a bootstrap over subjects.

Comparisons that share a subject are not independent, so subjects are drawn with replacement, as
many as there are. A resample consists of the images of the drawn subjects; a subject drawn twice
counts as two subjects whose images are identical:

- a comparison of images of two subjects i and j has the weight w_i * w_j, where w is how
  often each was drawn;
- a comparison within one subject (genuine, or left against right eye) has the weight w_i:
  it exists in each copy. Copies of one subject are not compared with each other, which
  would compare an image with itself;
- an identification probe has the weight w_i, and the gallery stays complete. Resampling the
  gallery too would leave a third of the identities out of each resample; with fewer identities to
  be confused with, every rate would be too high.

No resample's scores are sorted again. The position of each impostor score among the genuine
scores, which is all that ROC-based rates depend on, is determined once and counted by pair of
subjects; impostor scores below all operating points are counted as one sum. The rates are
therefore exact for scores as they are counted (see `iris_tf.metrics.counts`). Only where more
impostor scores lie near or above the EER threshold than can be held does the EER become an
approximation: 2**24 of them, drawn at random, then represent all, which changes an EER by about
0.0001, and `Resampled.exact` is False.

The area under the ROC curve depends on all scores, so the impostor scores that lie below all
operating points but above the lowest genuine score are held as well. Where there are too many,
2**20 of them represent all, which changes the area by less than a hundredth of its interval.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from iris_tf.metrics.comparison_sets import ComparisonSet
from iris_tf.metrics.counts import Pairs, ScoreCounts
from iris_tf.metrics.scales import KEYS
from iris_tf.metrics.scores import ImageLabels
from iris_tf.metrics.subject_sums import Total
from iris_tf.support.errors import EvaluationError

_FLOATS_PER_BLOCK = 1 << 23
_MAX_LEVELS = 1 << 18  # distinct genuine scores kept apart
_MAX_ENTRIES = 1 << 24  # impostor comparisons held
_MAX_LOW_ENTRIES = 1 << 20  # of those below all operating points
_FEW = 1 << 18
_FIRST_SHARE = 0.03  # of the impostor comparisons that are held at first


def subject_weights(subjects: int, resamples: int, seed: int) -> np.ndarray:
    """Draw subjects with replacement, and count how often each is in each resample.

    The same arguments give the same draws, so that two models evaluated on the same
    images can be compared resample by resample.

    Returns
    -------
    ndarray of shape (resamples, subjects), int64
        Each row sums to `subjects`.
    """
    rng = np.random.default_rng(seed)
    return rng.multinomial(subjects, np.full(subjects, 1.0 / subjects), size=resamples)


@dataclass(frozen=True)
class Resampled:
    """Rates of every resample.

    Attributes
    ----------
    eer : ndarray of shape (resamples,), float64
        NaN where a resample has no genuine or no impostor comparison.
    vr : ndarray of shape (len(fars), resamples), float64
        VR@FAR, 1 - FNMR; NaN likewise.
    auc : ndarray of shape (resamples,), float64
        Area under the ROC curve; NaN likewise.
    exact : bool
        False if the EER is an approximation.
    """

    eer: np.ndarray
    vr: np.ndarray
    auc: np.ndarray
    exact: bool


def resample_verification(
    compared: ComparisonSet, weights: np.ndarray, fars: Sequence[float]
) -> Resampled:
    """EER, VR@FAR and AUC of every resample, as defined by `iris_tf.metrics.verification`.

    Parameters
    ----------
    compared : ComparisonSet
        All comparisons.
    weights : ndarray of shape (resamples, subjects), int
        From `subject_weights`.
    fars : sequence of float
        False accept rates.
    """
    few = compared.comparisons.counts.n_impostor <= _FEW  # quicker than looking twice
    share = 1.0 if few or compared.in_memory else max(_FIRST_SHARE, 1.5 * max(fars))
    vr = None
    while True:
        table = _table(_Source.of(compared), share)
        rates = _resample(table, weights, fars)
        vr = rates.vr if vr is None and rates.vr_found else vr
        if vr is not None and rates.eer_found:
            auc = rates.auc
            if not table.whole:
                low = _table(_Source.below(compared, table.least), 1.0, _MAX_LOW_ENTRIES)
                with np.errstate(invalid="ignore"):
                    auc = auc + rates.tied / 2 - _inversions(low, weights) / rates.comparisons
            return Resampled(rates.eer, vr, auc, table.exact)
        share = 1.0 if share > 0.2 else 4 * share


@dataclass(frozen=True)
class _Source:
    """What a table is made of: comparisons above some key, and the number of all."""

    counts: ScoreCounts
    genuine: Pairs
    impostors: Callable[[int], Iterable[Pairs]]
    total: Total
    labels: ImageLabels

    @classmethod
    def of(cls, compared: ComparisonSet) -> "_Source":
        """All comparisons."""
        counts, genuine = compared.comparisons.counts, compared.comparisons.genuine
        return cls(counts, genuine, compared.impostors, compared.total, compared.labels)

    @classmethod
    def below(cls, compared: ComparisonSet, key: int) -> "_Source":
        """Comparisons below a key."""
        every = cls.of(compared)
        genuine = every.genuine[every.genuine.keys < key]
        levels = every.counts.levels
        below_key = levels < genuine.scale.lowest + key * genuine.scale.step
        above = below_key & (levels >= genuine.scores.min(initial=np.inf))

        def impostors(least: int) -> Iterable[Pairs]:
            for found in every.impostors(least):
                yield found[found.keys < key]

        counts = ScoreCounts(
            levels[above], every.counts.genuine[above], every.counts.impostor[above]
        )
        return cls(counts, genuine, impostors, every.total, every.labels)


@dataclass(frozen=True)
class _Table:
    """Comparisons by position of their score (rows, rising) and by subject or pair of subjects.

    Row 0 is for all scores below the other rows; its impostor comparisons are not stored, but
    follow from the total.
    """

    genuine: sparse.csr_array
    impostor: sparse.csr_array
    low: np.ndarray  # subjects of each column of `impostor`
    high: np.ndarray
    total: Total
    least: int  # lowest key above row 0
    whole: bool  # row 0 holds only scores below every genuine score
    exact: bool


def _table(source: _Source, share: float, entries: int | None = None) -> _Table:
    """Table of the highest `share` of the impostor comparisons, of which `entries` are held."""
    keys, labels = source.genuine.keys, source.labels
    n_impostor = source.counts.n_impostor
    kept = min(1.0, (entries or _MAX_ENTRIES) / max(1.0, share * n_impostor))
    levels = np.unique(keys)
    every_level = len(levels) <= _MAX_LEVELS
    if not every_level:
        quantiles = np.linspace(0, len(keys) - 1, _MAX_LEVELS).astype(np.int64)
        levels = np.unique(np.sort(keys)[quantiles])
    place = _Places(levels, every_level, dense=share < 1.0 or n_impostor > _FEW)
    whole = share == 1.0
    if not whole:
        from_top = np.cumsum(source.counts.impostor[::-1])
        cut = source.counts.levels[::-1][np.searchsorted(from_top, share * n_impostor)]
        whole = place.start_after(source.genuine.scale.key(cut)) == 0
    rows = int(place(np.array([KEYS]))[0]) + 1
    genuine = sparse.coo_array(
        (np.ones(len(keys)), (place(keys), labels.subject[source.genuine.first])),
        shape=(rows, labels.subjects),
    ).tocsr()
    least = place.least()
    pairs = labels.subjects * (labels.subjects + 1) // 2
    impostor, columns = _impostor_table(source.impostors(least), labels, place, (rows, pairs), kept)
    high = ((np.sqrt(8.0 * columns + 1.0) - 1.0) / 2.0).astype(np.int64)
    return _Table(
        genuine,
        impostor,
        low=columns - high * (high + 1) // 2,
        high=high,
        total=source.total,
        least=least,
        whole=bool(whole),
        exact=every_level and kept == 1.0,
    )


class _Places:
    """Row of every key in a table: below a level, at it, and between it and the next.

    Keys between two levels count as tied with the lower one where not all levels are kept apart.

    Parameters
    ----------
    levels : ndarray of shape (n,), integer
        Rising.
    every_level : bool
        Whether all levels are kept apart.
    dense : bool
        Whether to look rows up in a table of all keys, which pays for many keys.
    """

    def __init__(self, levels: np.ndarray, every_level: bool, dense: bool):
        self._levels, self._every_level = levels, every_level
        self._rows: np.ndarray | None = None
        if dense:
            self._rows = np.zeros(KEYS + 1, np.int32)
            self._rows[levels] += 1
            if every_level:
                self._rows[levels + 1] += 1
            np.cumsum(self._rows, out=self._rows)

    def __call__(self, keys: np.ndarray) -> np.ndarray:
        """Rows of keys from 0 to `KEYS`."""
        if self._rows is not None:
            return self._rows[keys]
        rows = np.searchsorted(self._levels, keys, "right")
        if self._every_level:
            rows += np.searchsorted(self._levels, keys, "left")
        return rows

    def start_after(self, key: int) -> int:
        """Make the row of `key` row 0, with all below it; returns what it was. Only if dense."""
        assert self._rows is not None
        below = int(self._rows[key])
        self._rows -= below
        np.maximum(self._rows, 0, out=self._rows)
        return below

    def least(self) -> int:
        """The lowest key above row 0; more than `KEYS` if there is none."""
        if self._rows is None:
            return int(self._levels[0]) if len(self._levels) else KEYS + 1
        return int(np.searchsorted(self._rows, np.int32(1)))  # another type would copy them


def _impostor_table(
    impostors: Iterable[Pairs],
    labels: ImageLabels,
    place: "_Places",
    shape: tuple[int, int],
    kept: float,
) -> tuple[sparse.csr_array, np.ndarray]:
    """Impostor comparisons above row 0, and the index of each column's pair of subjects.

    A random share `kept` of the comparisons is held, each representing ``1 / kept``.
    """
    rng = np.random.default_rng(0)
    parts: list[tuple[np.ndarray, np.ndarray]] = []
    for found in impostors:
        if kept < 1.0:
            found = found[rng.random(len(found.keys)) < kept]
        parts.append((place(found.keys), _pair_number(found, labels)))
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
    first, second = labels.subject[pairs.first], labels.subject[pairs.second]
    low, high = np.minimum(first, second), np.maximum(first, second).astype(np.int64)
    return high * (high + 1) // 2 + low


@dataclass(frozen=True)
class _Rates:
    eer: np.ndarray
    vr: np.ndarray
    auc: np.ndarray  # if all comparisons of row 0 were tied
    tied: np.ndarray  # share of pairs of a genuine and an impostor score with both in row 0
    comparisons: np.ndarray  # number of such pairs
    eer_found: bool  # above row 0 in every resample
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
    """Drawn subjects and weighted comparisons of both kinds by row, some resamples at a time."""
    rows, columns = table.impostor.shape
    step = max(1, _FLOATS_PER_BLOCK // max(rows, columns))
    same = table.low == table.high
    for start in range(0, len(weights), step):
        drawn = weights[start : start + step].T.astype(np.float64)
        both = drawn[table.low] * drawn[table.high]
        both[same] = drawn[table.low[same]]
        yield drawn, table.genuine @ drawn, table.impostor @ both


def _inversions(table: _Table, weights: np.ndarray) -> np.ndarray:
    """Number of pairs of a genuine and a higher impostor score by resample; a tie counts half."""
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
    """Central interval that contains the share `level` of the resampled values.

    Parameters
    ----------
    samples : ndarray of shape (resamples,)
        Values of one metric; NaN, where a resample lacks the metric, is ignored.
    level : float
        E.g. 0.9 for the 5th to the 95th percentile.

    Returns
    -------
    tuple of (float, float) or None
        None if fewer than two values remain.
    """
    if not 0 < level < 1:
        raise EvaluationError(f"the requested confidence level is {level}; choose 0 < level < 1.")
    samples = samples[~np.isnan(samples)]
    if len(samples) < 2:
        return None
    low, high = np.quantile(samples, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
