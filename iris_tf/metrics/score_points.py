"""Comparisons by score, and their errors at the operating points of a card."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from iris_tf.config.names import SCORE_RATES
from iris_tf.matching.matcher import DescribedTemplates, Matcher
from iris_tf.metrics.bootstrap import percentile_interval
from iris_tf.metrics.comparison_sets import ComparisonSet
from iris_tf.metrics.counts import ScoreCounts
from iris_tf.metrics.figures import CONFIDENCE
from iris_tf.metrics.metrics import RULE_OF_30
from iris_tf.metrics.score_figures import ScoreFigures, ScorePointErrors
from iris_tf.metrics.scores import ImageLabels
from iris_tf.metrics.subject_sums import by_pair_of_subjects, sum_over_draws
from iris_tf.metrics.verification import curve_of_counts, eer_of_curve

_SCORES_AT_ONCE = 1 << 20
_STEP = 2.0**-10  # to whose multiples scores are rounded where they are counted
_LOWEST = -64.0  # all scores below count as this one
_BINS = 1 << 20
_ROWS = 256  # templates that are compared with all others at a time, at most


@dataclass(frozen=True, eq=False)
class ScoredPairs:
    """Some comparisons and their scores.

    Attributes
    ----------
    first, second : ndarray of shape (n,), int
        The two images.
    values : ndarray of shape (n,), float
        Scores; minus infinity where a comparison is inconclusive.
    """

    first: np.ndarray
    second: np.ndarray
    values: np.ndarray

    def without(self, refused: np.ndarray) -> "ScoredPairs":
        """The same, but inconclusive where an image is refused (images,), bool."""
        inconclusive = refused[self.first] | refused[self.second]
        return replace(self, values=np.where(inconclusive, -np.inf, self.values))

    def __getitem__(self, chosen: np.ndarray) -> "ScoredPairs":
        return ScoredPairs(self.first[chosen], self.second[chosen], self.values[chosen])

    @staticmethod
    def joined(parts: list["ScoredPairs"]) -> "ScoredPairs":
        """Concatenate several, at least one."""
        return ScoredPairs(
            *(
                np.concatenate([getattr(part, name) for part in parts])
                for name in ("first", "second", "values")
            )
        )


@dataclass(frozen=True, eq=False)
class ScoredComparisons:
    """Comparisons by score of a set of images.

    Attributes
    ----------
    thresholds : mapping of str to float
        Least accepted score, by operating point.
    genuine : ScoredPairs
        All genuine comparisons.
    accepted_impostor : ScoredPairs
        Impostor comparisons that the most lenient threshold accepts.
    impostor_bins : ndarray of shape (bins,), int64
        Number of all impostor comparisons by `_bins_of` their scores.
    """

    thresholds: Mapping[str, float]
    genuine: ScoredPairs
    accepted_impostor: ScoredPairs
    impostor_bins: np.ndarray

    @classmethod
    def of_all_pairs(
        cls, vectors: np.ndarray, labels: ImageLabels, matcher: Matcher
    ) -> "ScoredComparisons":
        """Score all pairs of embeddings (n, D) that labels admit.

        Memory grows with images, genuine comparisons and false matches only.
        """
        templates = matcher.describe(vectors)
        refused = _refused(templates, matcher)
        parts = (part.without(refused) for part in _all_pairs(templates, labels, matcher))
        return cls._of_parts(parts, labels, matcher)

    @classmethod
    def of_listed_pairs(
        cls, vectors: np.ndarray, labels: ImageLabels, pairs: np.ndarray, matcher: Matcher
    ) -> "ScoredComparisons":
        """Score listed pairs (n, 2) of embeddings."""
        images, places = np.unique(pairs, return_inverse=True)
        templates = matcher.describe(vectors[images])
        refused = _refused(templates, matcher)
        found = _listed_pairs(templates, places.reshape(pairs.shape), matcher)
        parts = (part.without(refused) for part in found)
        named = (ScoredPairs(images[p.first], images[p.second], p.values) for p in parts)
        return cls._of_parts(named, labels, matcher)

    @classmethod
    def _of_parts(
        cls, parts: Iterator[ScoredPairs], labels: ImageLabels, matcher: Matcher
    ) -> "ScoredComparisons":
        assert matcher.score_model is not None  # else nothing was scored
        thresholds = matcher.score_model.thresholds
        least = min(thresholds.values())
        genuine, accepted, bins = [], [], np.zeros(_BINS, np.int64)
        for part in parts:
            same = labels.identity[part.first] == labels.identity[part.second]
            genuine.append(part[same])
            accepted.append(part[~same & (part.values >= least)])
            bins += np.bincount(_bins_of(part.values[~same]), minlength=_BINS)
        return cls(thresholds, ScoredPairs.joined(genuine), ScoredPairs.joined(accepted), bins)

    def eer(self) -> float:
        """Equal error rate; inconclusive comparisons rank below all others."""
        genuine = np.bincount(_bins_of(self.genuine.values), minlength=_BINS)
        used = np.flatnonzero(genuine + self.impostor_bins)
        counts = ScoreCounts(used.astype(np.float64), genuine[used], self.impostor_bins[used])
        return eer_of_curve(curve_of_counts(counts)).rate


def score_figures(
    scored: ScoredComparisons, compared: ComparisonSet, weights: np.ndarray | None
) -> ScoreFigures:
    """Errors at the operating points of a card's scores.

    Parameters
    ----------
    scored : ScoredComparisons
        The comparisons by score.
    compared : ComparisonSet
        The same comparisons by similarity, which know how many there are in each resample.
    weights : ndarray of shape (resamples, subjects), or None
        How often each subject is drawn, for intervals.
    """
    impostors = compared.comparisons.counts.n_impostor
    points = {}
    for name, threshold in scored.thresholds.items():
        rejected = scored.genuine.values < threshold
        accepted = scored.accepted_impostor[scored.accepted_impostor.values >= threshold]
        false_matches = len(accepted.values)
        supported = SCORE_RATES[name] * impostors >= RULE_OF_30
        fmr_interval = fnmr_interval = None
        if weights is not None:
            fnmr_interval = _fnmr_interval(scored.genuine, rejected, compared.labels, weights)
            if supported:
                fmr_interval = _fmr_interval(accepted, compared, weights)
        points[name] = ScorePointErrors(
            threshold=threshold,
            claimed_fmr=SCORE_RATES[name],
            fmr=false_matches / impostors,
            fnmr=float(rejected.mean()),
            false_matches=false_matches,
            supported=supported,
            fmr_interval=fmr_interval,
            fnmr_interval=fnmr_interval,
        )
    return ScoreFigures(
        eer=scored.eer(),
        inconclusive_genuine=float(np.isneginf(scored.genuine.values).mean()),
        inconclusive_impostor=float(scored.impostor_bins[0] / impostors),
        points=points,
    )


def _refused(templates: DescribedTemplates, matcher: Matcher) -> np.ndarray:
    """Which images `IrisRecognizer.embed` refuses: their comparisons are non-matches."""
    assert matcher.score_model is not None  # else nothing was described
    codes = templates.codes
    return ~matcher.score_model.shows_enough(codes.freedom, codes.coarseness)


def _bins_of(values: np.ndarray) -> np.ndarray:
    """Bin of each score; that of inconclusive ones is 0."""
    finite = np.where(np.isneginf(values), _LOWEST, values)
    bins = np.clip(np.rint((finite - _LOWEST) / _STEP), 1, _BINS - 1).astype(np.int64)
    return np.where(np.isneginf(values), 0, bins)


def _fnmr_interval(
    genuine: ScoredPairs, rejected: np.ndarray, labels: ImageLabels, weights: np.ndarray
) -> list[float] | None:
    subject = labels.subject[genuine.first]
    errors = weights @ np.bincount(subject, rejected, labels.subjects)
    return _interval(errors, weights @ np.bincount(subject, minlength=labels.subjects))


def _fmr_interval(
    accepted: ScoredPairs, compared: ComparisonSet, weights: np.ndarray
) -> list[float] | None:
    drawn = weights.T.astype(np.float64)
    ones = np.ones(len(accepted.values))
    by_pair = by_pair_of_subjects(accepted.first, accepted.second, compared.labels, ones)
    return _interval(sum_over_draws(by_pair)(drawn), compared.total(drawn))


def _interval(errors: np.ndarray, comparisons: np.ndarray) -> list[float] | None:
    with np.errstate(invalid="ignore"):  # a resample may lack comparisons of a kind
        found = percentile_interval(errors / comparisons, CONFIDENCE)
    return None if found is None else list(found)


def _all_pairs(
    templates: DescribedTemplates, labels: ImageLabels, matcher: Matcher
) -> Iterator[ScoredPairs]:
    step = max(1, min(_ROWS, _SCORES_AT_ONCE // len(templates)))
    for start in range(0, len(templates), step):
        rows = templates[start : start + step]
        values = matcher.scores(rows, templates[start:]).values
        compared = labels.group[start : start + step, None] == labels.group[None, start:]
        first, second = np.nonzero(np.triu(compared, 1))
        yield ScoredPairs(first + start, second + start, values[first, second])


def _listed_pairs(
    templates: DescribedTemplates, pairs: np.ndarray, matcher: Matcher
) -> Iterator[ScoredPairs]:
    pairs = pairs[np.argsort(pairs[:, 0], kind="stable")]
    for part in np.split(pairs, np.flatnonzero(np.diff(pairs[:, 0])) + 1):
        first, second = part.T
        [values] = matcher.scores(templates[first[:1]], templates[second]).values
        yield ScoredPairs(first, second, values)
