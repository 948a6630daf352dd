"""From embeddings or similarities to every figure of an evaluation."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from iris_tf.config.names import ALL_PAIRS, FALSE_MATCH_RATES, PAIR_LISTS
from iris_tf.data.manifest import ManifestRow
from iris_tf.matching.embeddings import Embeddings, matcher_of
from iris_tf.matching.matcher import Matcher
from iris_tf.metrics.bootstrap import Resampled, resample_verification, subject_weights
from iris_tf.metrics.comparison_sets import AllPairs, ComparisonSet, ListedPairs
from iris_tf.metrics.counts import (
    Comparisons,
    Pairs,
    ScoreCounter,
    ScoreCounts,
    check_both_kinds,
)
from iris_tf.metrics.figures import CMC_RANKS, intervals, verification_figures
from iris_tf.metrics.identification import RankCounter, cmc, resample_cmc
from iris_tf.metrics.metrics import (
    ComparisonCounts,
    Curves,
    Metrics,
    OpenSetMetrics,
    ScoredPair,
    WorstComparisons,
)
from iris_tf.metrics.open_set import FPIRS, OpenSetCounter, draw_galleries
from iris_tf.metrics.scales import SIMILARITIES, Scale, scale_of
from iris_tf.metrics.score_figures import SearchErrors
from iris_tf.metrics.score_points import score_figures
from iris_tf.metrics.scores import (
    ImageLabels,
    check_embeddings,
    label_images,
    listed_scores,
    score_blocks,
    score_matrix,
    similarity_blocks,
)
from iris_tf.metrics.separation import resample_d_prime
from iris_tf.metrics.subject_sums import Blocks
from iris_tf.tflite.score_model import ScoreModel

RESAMPLES = 1000
WORST = 10
_CMC_CURVE_RANKS = 20
_BLOCK = 1024  # rows of a matrix
# A matrix of scores, or of phase codes' similarities, of up to so many floats (2 GiB, 23,000
# images) is kept for the bootstrap, which reads it three to five times more: each entry is the best
# of many products.
_FLOATS_KEPT = 1 << 29


@dataclass(frozen=True)
class Evaluation:
    """Result of evaluating one model on one set of images.

    Attributes
    ----------
    metrics : Metrics
        Every figure.
    comparisons : Comparisons
        The scores.
    samples : dict of str to ndarray of shape (resamples,)
        Resampled values of the figures that have intervals, by name; empty without resamples or
        with a single subject. The same resample of two models consists of the same subjects.
    """

    metrics: Metrics
    comparisons: Comparisons
    samples: Mapping[str, np.ndarray]


def evaluate_embeddings(
    embeddings: np.ndarray | Embeddings,
    rows: Sequence[ManifestRow],
    resamples: int = RESAMPLES,
    seed: int = 0,
    protocol: str = ALL_PAIRS,
    matcher: Matcher | None = None,
) -> Evaluation:
    """Evaluate all genuine and all impostor pairs of a set of images.

    They are compared by score where the matcher has scores, else by similarity, and all figures
    are of these values.

    Memory grows with images and genuine comparisons, but not with impostor comparisons (with a
    phase code and resamples it does, up to 2 GiB, because recomputing similarities takes longer).

    Parameters
    ----------
    embeddings : Embeddings, or ndarray of shape (n, size), float
        One per image, as `IrisRecognizer.embed` returns them, or unit vectors of any other model.
    rows : sequence of n ManifestRow
        Who is on each image: `dataset`, `subject`, `identity` and, for same-eye, `eye`
        are read.
    resamples : int, optional
        Resamples of the bootstrap over subjects; 0 for no confidence intervals.
    seed : int, optional
        Seed of the bootstrap and of the galleries of open-set identification.
    protocol : {"all-pairs", "same-eye", "across-datasets"}, optional
        See `label_images`.
    matcher : Matcher, optional
        How embeddings are compared. `Embeddings` say it themselves; arrays do not, so it must be
        given: ``Matcher()`` for the plain cosine.

    Raises
    ------
    ArgumentError
        If neither the embeddings nor `matcher` say how to compare.
    EvaluationError
        If the embeddings are not finite unit vectors, one per row, or there is no
        genuine or no impostor comparison.
    """
    matcher = matcher_of(embeddings, matcher)
    vectors = check_embeddings(embeddings, len(rows))
    labels = label_images(rows, protocol)
    check_both_kinds(labels)  # before hours of comparisons
    blocks = comparison_blocks(vectors, matcher, kept=bool(resamples))
    return _evaluate_matrix(blocks, rows, resamples, seed, protocol, matcher)


def comparison_blocks(vectors: np.ndarray, matcher: Matcher, kept: bool = False) -> Blocks:
    """Scores of all pairs, or similarities where the matcher has no scores.

    Parameters
    ----------
    vectors : ndarray of shape (n, size)
        As `check_embeddings` returns them.
    matcher : Matcher
        How embeddings are compared.
    kept : bool, optional
        Whether the blocks will be read several times.

    Returns
    -------
    callable
        Yields blocks as `similarity_blocks` and `score_blocks` do.
    """
    small = len(vectors) ** 2 <= _FLOATS_KEPT
    if matcher.has_scores:
        return (
            _rows_of(score_matrix(vectors, matcher))
            if small
            else lambda: score_blocks(vectors, matcher)
        )

    def blocks() -> Iterable[tuple[int, np.ndarray]]:
        return similarity_blocks(vectors, matcher)

    return _kept(blocks) if matcher.code_size and kept and small else blocks


def evaluate_similarities(
    similarities: np.ndarray,
    rows: Sequence[ManifestRow],
    resamples: int = RESAMPLES,
    seed: int = 0,
    protocol: str = ALL_PAIRS,
) -> Evaluation:
    """Evaluate a method that does not compare by the cosine of embeddings.

    Parameters
    ----------
    similarities : ndarray of shape (n, n), float32
        Symmetric, -1..1, higher means more similar; the diagonal is not read.
    rows, resamples, seed, protocol
        See `evaluate_embeddings`.

    Raises
    ------
    EvaluationError
        If there is no genuine or no impostor comparison.
    """
    return _evaluate_matrix(_rows_of(similarities), rows, resamples, seed, protocol, Matcher())


def _rows_of(matrix: np.ndarray) -> Blocks:
    """Blocks of the rows of a matrix (n, n)."""

    def blocks() -> Iterable[tuple[int, np.ndarray]]:
        for start in range(0, len(matrix), _BLOCK):
            yield start, matrix[start : start + _BLOCK]

    return blocks


def evaluate_pairs(
    embeddings: np.ndarray | Embeddings,
    rows: Sequence[ManifestRow],
    genuine: np.ndarray,
    impostor: np.ndarray,
    resamples: int = RESAMPLES,
    seed: int = 0,
    matcher: Matcher | None = None,
) -> Evaluation:
    """Evaluate listed comparisons only, without identification.

    Parameters
    ----------
    embeddings : Embeddings, or ndarray of shape (n, size), float
        See `evaluate_embeddings`.
    rows : sequence of n ManifestRow
        Who is on each image.
    genuine, impostor : ndarray of shape (n_genuine, 2), (n_impostor, 2), int
        Images of each comparison.
    resamples, seed, matcher
        See `evaluate_embeddings`.

    Returns
    -------
    Evaluation
        Its counts are those of the listed images, identities and subjects.
    """
    matcher = matcher_of(embeddings, matcher)
    vectors, labels = check_embeddings(embeddings, len(rows)), label_images(rows)
    listed = [_scored(vectors, pairs, matcher) for pairs in (genuine, impostor)]
    counts = ScoreCounts.of_scores(*(pairs.scores for pairs in listed))
    highest = np.lexsort([listed[1].second, listed[1].first, -listed[1].keys])[:WORST]
    comparisons = Comparisons(counts, listed[0], listed[1][highest])
    compared = ListedPairs(labels, comparisons, listed[1])
    return _evaluate(
        compared, rows, PAIR_LISTS, resamples, seed, _NoIdentification(), matcher.score_model
    )


def _kept(blocks: Blocks) -> Blocks:
    """The same blocks, computed on the first call."""
    found: list[tuple[int, np.ndarray]] = []

    def again() -> Iterable[tuple[int, np.ndarray]]:
        if not found:
            found.extend(blocks())
        return iter(found)

    return again


def _scored(embeddings: np.ndarray, pairs: np.ndarray, matcher: Matcher) -> Pairs:
    scale = scale_of(matcher)
    keys = scale.keys(listed_scores(embeddings, pairs, matcher))
    first, second = np.sort(pairs, axis=1).T.astype(np.int32)
    return Pairs(keys, first, second, scale)


class _Identification:
    """Closed- and open-set identification, from a matrix of scores block by block."""

    def __init__(self, labels: ImageLabels, seed: int, scale: Scale):
        self._labels = labels
        self._closed = RankCounter(labels)
        self._open = OpenSetCounter(labels, draw_galleries(labels, seed=seed), scale)

    def add(self, start: int, block: np.ndarray) -> None:
        self._closed.add(start, block)
        self._open.add(start, block)

    def finish(self) -> None:
        self.ranks, self.open_set = self._closed.ranks(), self._open.result()
        self.probes = len(self.ranks.probes)
        self.cmc = cmc(self.ranks.ranks, max(_CMC_CURVE_RANKS, *CMC_RANKS))

    def values(self) -> dict[str, float | None]:
        rates = {f"cmc_{k}": float(self.cmc[k - 1]) for k in CMC_RANKS}
        return rates | {f"fnir_{name}": self.open_set.fnir[name] for name in FPIRS}

    def searches(self, model: ScoreModel) -> dict[str, SearchErrors]:
        return self._open.errors_at(model)

    def samples(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        hits = resample_cmc(self.ranks, self._labels, weights, CMC_RANKS)
        samples = {f"cmc_{k}": rates for k, rates in zip(CMC_RANKS, hits, strict=True)}
        return samples | {
            f"fnir_{name}": rates
            for name, rates in self._open.resample(weights).items()
            if self.open_set.fnir[name] is not None
        }


class _NoIdentification:
    """What takes the place of identification where nobody is searched for."""

    open_set: OpenSetMetrics | None = None
    cmc = np.empty(0)
    probes = 0

    def values(self) -> dict[str, float | None]:
        names = [*(f"cmc_{k}" for k in CMC_RANKS), *(f"fnir_{name}" for name in FPIRS)]
        return dict.fromkeys(names)

    def searches(self, model: ScoreModel) -> dict[str, SearchErrors]:
        return {}

    def samples(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        return {}


def _evaluate_matrix(
    blocks: Blocks,
    rows: Sequence[ManifestRow],
    resamples: int,
    seed: int,
    protocol: str,
    matcher: Matcher,
) -> Evaluation:
    """Evaluate the matrix of a matcher that `blocks` yields block by block when called."""
    labels, scale = label_images(rows, protocol), scale_of(matcher)
    scores, identification = (
        ScoreCounter(labels, WORST, scale),
        _Identification(labels, seed, scale),
    )
    for start, block in blocks():
        scores.add(start, block)
        identification.add(start, block)
    identification.finish()
    compared = AllPairs(labels, scores.comparisons(), blocks)
    return _evaluate(compared, rows, protocol, resamples, seed, identification, matcher.score_model)


def _evaluate(
    compared: ComparisonSet,
    rows: Sequence[ManifestRow],
    protocol: str,
    resamples: int,
    seed: int,
    identification: _Identification | _NoIdentification,
    score_model: ScoreModel | None,
) -> Evaluation:
    figures = verification_figures(compared.comparisons.counts, compared.scale)
    weights = _weights(compared, resamples, seed)
    samples, exact = {}, True
    if weights is not None:
        fars = figures.fars()
        resampled = resample_verification(compared, weights, tuple(fars.values()))
        exact = resampled.exact
        samples = _verification_samples(resampled, fars)
        samples["d_prime"] = resample_d_prime(compared, weights)
        samples |= identification.samples(weights)
    metrics = Metrics(
        protocol=protocol,
        counts=_counts(compared, identification),
        values=figures.values | identification.values(),
        thresholds=figures.thresholds,
        eer_point=figures.eer_point,
        operating_points=figures.operating_points,
        curves=Curves(
            figures.det, figures.histogram, identification.cmc[:_CMC_CURVE_RANKS].tolist()
        ),
        open_set=identification.open_set,
        intervals=intervals(samples, resamples, seed, exact) if resamples else None,
        worst=_worst(compared.comparisons, rows),
        scores=None
        if compared.scale is SIMILARITIES or score_model is None
        else score_figures(compared, score_model, identification.searches(score_model), weights),
    )
    return Evaluation(metrics, compared.comparisons, samples)


def _weights(compared: ComparisonSet, resamples: int, seed: int) -> np.ndarray | None:
    """Resampled weights of all subjects; None where nothing can be resampled."""
    labels = compared.labels
    drawn = np.unique(labels.subject[compared.images()])
    if not resamples or len(drawn) < 2:
        return None
    # Subjects without a comparison must not be drawn in the place of others.
    weights = np.zeros((resamples, labels.subjects), np.int64)
    weights[:, drawn] = subject_weights(len(drawn), resamples, seed)
    return weights


def _verification_samples(resampled: Resampled, fars: Mapping[str, float]) -> dict[str, np.ndarray]:
    samples = {"eer": resampled.eer, "auc": resampled.auc}
    for name, rates in zip(fars, resampled.vr, strict=True):
        if name in FALSE_MATCH_RATES:
            samples[f"vr_{name}"] = rates
        else:
            samples[f"fnmr_{name}"] = 1.0 - rates
    return samples


def _counts(
    compared: ComparisonSet, identification: _Identification | _NoIdentification
) -> ComparisonCounts:
    labels = compared.labels.select(compared.images())
    return ComparisonCounts(
        images=len(labels.identity),
        identities=labels.identities,
        subjects=labels.subjects,
        genuine_comparisons=compared.comparisons.counts.n_genuine,
        impostor_comparisons=compared.comparisons.counts.n_impostor,
        probes=identification.probes,
    )


def _worst(comparisons: Comparisons, rows: Sequence[ManifestRow]) -> WorstComparisons:
    genuine = comparisons.genuine
    lowest = genuine[np.lexsort([genuine.second, genuine.first, genuine.keys])[:WORST]]

    def named(pairs: Pairs) -> list[ScoredPair]:
        both = zip(pairs.first.tolist(), pairs.second.tolist(), pairs.scores.tolist(), strict=True)
        return [ScoredPair(rows[i].image, rows[j].image, score) for i, j, score in both]

    return WorstComparisons(named(lowest), named(comparisons.highest_impostor))
