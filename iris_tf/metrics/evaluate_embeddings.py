"""From embeddings to every figure of an evaluation."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from iris_tf.config.names import FALSE_MATCH_RATES, FMRS
from iris_tf.data.manifest import ManifestRow
from iris_tf.matching.matcher import Matcher
from iris_tf.metrics.bootstrap import (
    Resampled,
    person_weights,
    resample_pairs,
    resample_verification,
)
from iris_tf.metrics.counts import Comparisons, Pairs, ScoreCounter, ScoreCounts, score_keys
from iris_tf.metrics.figures import CMC_RANKS, intervals, verification_figures
from iris_tf.metrics.identification import RankCounter, cmc, resample_cmc
from iris_tf.metrics.open_set import FPIRS, OpenSetCounter, draw_galleries
from iris_tf.metrics.scores import (
    ImageLabels,
    check_embeddings,
    label_images,
    similarity_blocks,
)
from iris_tf.metrics.separation import resample_d_prime, resample_d_prime_of_pairs
from iris_tf.metrics.subject_sums import Blocks
from iris_tf.support.errors import EvaluationError

RESAMPLES = 1000
WORST = 10
_CMC_CURVE_RANKS = 20
_BLOCK = 1024  # rows of a similarity matrix
_FLOATS_AT_ONCE = 1 << 23
# A matrix of phase codes' similarities of up to so many floats (2 GiB, 23,000 images) is kept for
# the bootstrap, which reads it three to five times more: each number is the best of many products.
_FLOATS_KEPT = 1 << 29


@dataclass(frozen=True)
class Evaluation:
    """What is known of one model on one set of images.

    Attributes
    ----------
    result : dict
        What `evaluate_embeddings` returns.
    comparisons : Comparisons
        The scores.
    samples : dict of str to ndarray of shape (resamples,)
        Resampled values of the metrics that have intervals; empty without resamples or
        with one person. The same resample of two models is of the same persons.
    """

    result: dict[str, Any]
    comparisons: Comparisons
    samples: Mapping[str, np.ndarray]


def evaluate_embeddings(
    embeddings: np.ndarray,
    rows: Sequence[ManifestRow],
    resamples: int = RESAMPLES,
    seed: int = 0,
    protocol: str = "all-pairs",
    matcher: Matcher = Matcher(),
) -> dict[str, Any]:
    """Evaluate embeddings of a split: all genuine and all impostor pairs.

    Memory grows with images and genuine comparisons, but not with impostor comparisons (with a
    phase code and resamples it does, up to 2 GiB: to compute similarities again takes longer).

    Parameters
    ----------
    embeddings : ndarray of shape (n, size), float
        Unit vectors, one an image.
    rows : sequence of n ManifestRow
        Who is on each image: `dataset`, `subject`, `identity` and, for same-eye, `eye`
        are read.
    resamples : int, optional
        Resamples of the bootstrap over persons; 0 for no confidence intervals.
    seed : int, optional
        Seed of the bootstrap and of the galleries of open-set identification.
    protocol : {"all-pairs", "same-eye", "across-datasets"}, optional
        See `label_images`.
    matcher : Matcher, optional
        How embeddings are compared.

    Returns
    -------
    dict
        Fit for JSON. Rates are shares, 0..1.

        ``protocol`` : as given.
        ``counts`` : images, identities, persons, genuine_comparisons,
        impostor_comparisons, probes.
        ``metrics`` : eer, vr_far_1e-2, vr_far_1e-3, fnmr_fmr_1e-2...fnmr_fmr_1e-5 (None
        where the rule of 30 does not support it), cmc_1, cmc_5, cmc_10, fnir_fpir_1e-1,
        fnir_fpir_1e-2 (None with too few probes), auc, d_prime (None when all scores are
        the same).
        ``thresholds`` : cosine similarity at eer, far_1e-2, far_1e-3.
        ``eer_point`` : ``threshold``, and the ``fmr``, ``fnmr`` and ``false_matches`` counted
        there; the EER itself lies between neighbouring thresholds.
        ``operating_points`` : by fmr_1e-2...fmr_1e-5: ``threshold``, the ``fmr`` and
        ``fnmr`` that it gives, ``false_matches``, and ``supported``: whether at least 30
        false matches are expected at the rate asked for (the rule of 30 of ISO/IEC
        19795-1: then, of independent comparisons, the true rate is with 90 % confidence
        within 30 % of the measured one; comparisons that share a person are not
        independent, so the bootstrap's intervals are wider).
        ``open_set`` : see `OpenSetCounter.result`.
        ``intervals`` : level, resamples, seed, method, ``exact`` (see `Resampled`), and
        ``bounds``, [low, high] of all ``metrics`` (None
        where the images do not allow one, for instance with a single person; those of
        fnir_fpir_* hold for the galleries that were drawn). The whole is None without
        resamples.
        ``curves`` : det (fmr, fnmr), histogram (edges, and the share of genuine and
        impostor scores in each bin), cmc (from rank 1).
        ``worst`` : the ten lowest ``genuine`` and ten highest ``impostor`` comparisons, each
        [image, image, score] with the images' names.

    Raises
    ------
    EvaluationError
        When the embeddings are not finite unit vectors, one a row, or there is no
        genuine or no impostor comparison.
    """
    return evaluation_of_embeddings(embeddings, rows, resamples, seed, protocol, matcher).result


def evaluation_of_embeddings(
    embeddings: np.ndarray,
    rows: Sequence[ManifestRow],
    resamples: int = RESAMPLES,
    seed: int = 0,
    protocol: str = "all-pairs",
    matcher: Matcher = Matcher(),
) -> Evaluation:
    """`evaluate_embeddings`, with the scores and resamples that it came from."""
    embeddings = check_embeddings(embeddings, len(rows))

    def blocks() -> Iterable[tuple[int, np.ndarray]]:
        return similarity_blocks(embeddings, matcher)

    if matcher.code_size and resamples and len(rows) ** 2 <= _FLOATS_KEPT:
        blocks = _kept(blocks)
    return _evaluate(blocks, rows, resamples, seed, protocol)


def _kept(blocks: Blocks) -> Blocks:
    """The same blocks, computed when they are asked for first."""
    found: list[tuple[int, np.ndarray]] = []

    def again() -> Iterable[tuple[int, np.ndarray]]:
        if not found:
            found.extend(blocks())
        return iter(found)

    return again


def evaluation_of_similarities(
    similarities: np.ndarray,
    rows: Sequence[ManifestRow],
    resamples: int = RESAMPLES,
    seed: int = 0,
    protocol: str = "all-pairs",
) -> Evaluation:
    """Evaluate a method that compares otherwise than by the cosine of embeddings.

    Parameters
    ----------
    similarities : ndarray of shape (n, n), float32
        Symmetric, -1..1, larger for more alike; the diagonal is not read.
    rows, resamples, seed, protocol
        See `evaluate_embeddings`.

    Returns
    -------
    Evaluation
        Its `result` as that of `evaluate_embeddings`; the thresholds are similarities.

    Raises
    ------
    EvaluationError
        When there is no genuine or no impostor comparison.
    """

    def blocks() -> Iterable[tuple[int, np.ndarray]]:
        for start in range(0, len(similarities), _BLOCK):
            yield start, similarities[start : start + _BLOCK]

    return _evaluate(blocks, rows, resamples, seed, protocol)


def _evaluate(
    blocks: Blocks, rows: Sequence[ManifestRow], resamples: int, seed: int, protocol: str
) -> Evaluation:
    """Figures from the similarity matrix, which `blocks` yields block by block when called."""
    labels = label_images(rows, protocol)
    scores, closed = ScoreCounter(labels, WORST), RankCounter(labels)
    opened = OpenSetCounter(labels, draw_galleries(labels, seed=seed))
    for start, block in blocks():
        for counter in (scores, closed, opened):
            counter.add(start, block)
    comparisons, ranks, open_set = scores.comparisons(), closed.ranks(), opened.result()
    rates = cmc(ranks.ranks, max(_CMC_CURVE_RANKS, *CMC_RANKS))
    verification = verification_figures(comparisons.counts)
    samples, exact = {}, True
    if resamples and labels.persons > 1:
        weights = person_weights(labels.persons, resamples, seed)
        fars = _resampled_fars(verification)
        resampled = resample_verification(
            comparisons, blocks, labels, weights, tuple(fars.values())
        )
        identified = resample_cmc(ranks, labels, weights, CMC_RANKS)
        samples, exact = _samples(resampled, fars), resampled.exact
        samples["d_prime"] = resample_d_prime(comparisons, blocks, labels, weights)
        samples |= {f"cmc_{k}": hits for k, hits in zip(CMC_RANKS, identified, strict=True)}
        samples |= {
            f"fnir_{name}": rates
            for name, rates in opened.resample(weights).items()
            if open_set["fnir"][name] is not None
        }
    result = {
        "protocol": protocol,
        "counts": _counts(labels, comparisons) | {"probes": len(ranks.probes)},
        **verification,
        "open_set": open_set,
        "intervals": intervals(samples, resamples, seed, exact) if resamples else None,
        "worst": _worst(comparisons, rows),
    }
    result["metrics"] |= {f"cmc_{k}": float(rates[k - 1]) for k in CMC_RANKS}
    result["metrics"] |= {f"fnir_{name}": open_set["fnir"][name] for name in FPIRS}
    result["curves"]["cmc"] = rates[:_CMC_CURVE_RANKS].tolist()
    return Evaluation(result, comparisons, samples)


def evaluation_of_pairs(
    embeddings: np.ndarray,
    rows: Sequence[ManifestRow],
    genuine: np.ndarray,
    impostor: np.ndarray,
    resamples: int = RESAMPLES,
    seed: int = 0,
    matcher: Matcher = Matcher(),
) -> Evaluation:
    """Evaluate listed comparisons only; there is no identification then.

    Parameters
    ----------
    embeddings : ndarray of shape (n, size), float
        Unit vectors, one an image.
    rows : sequence of n ManifestRow
        Who is on each image.
    genuine, impostor : ndarray of shape (n_genuine, 2), (n_impostor, 2), int
        Images of each comparison, from `read_pairs`.
    resamples, seed, matcher
        See `evaluate_embeddings`.

    Returns
    -------
    Evaluation
        With the keys of `evaluate_embeddings`; what belongs to identification is None, the
        curve of CMC empty. Counts are of images, identities and persons that are listed.
    """
    embeddings, labels = check_embeddings(embeddings, len(rows)), label_images(rows)
    mated, non_mated = (_listed(embeddings, pairs, matcher) for pairs in (genuine, impostor))
    counts = ScoreCounts.of_scores(mated.scores, non_mated.scores)
    highest = np.lexsort([non_mated.second, non_mated.first, -non_mated.keys])[:WORST]
    comparisons = Comparisons(counts, mated, non_mated[highest])
    listed = labels.select(np.unique(np.concatenate([genuine, impostor])))
    verification = verification_figures(counts)
    samples, exact = {}, True
    if resamples and listed.persons > 1:
        # Others have no part in it, and must not take the places of those who have.
        weights = np.zeros((resamples, labels.persons), np.int64)
        drawn = np.unique(labels.person[np.unique(np.concatenate([genuine, impostor]))])
        weights[:, drawn] = person_weights(len(drawn), resamples, seed)
        fars = _resampled_fars(verification)
        resampled = resample_pairs(counts, mated, non_mated, labels, weights, tuple(fars.values()))
        samples, exact = _samples(resampled, fars), resampled.exact
        samples["d_prime"] = resample_d_prime_of_pairs(counts, mated, non_mated, labels, weights)
    result = {
        "protocol": "pair-lists",
        "counts": _counts(listed, comparisons) | {"probes": 0},
        **verification,
        "open_set": None,
        "intervals": intervals(samples, resamples, seed, exact) if resamples else None,
        "worst": _worst(comparisons, rows),
    }
    result["metrics"] |= dict.fromkeys(
        [*(f"cmc_{k}" for k in CMC_RANKS), *(f"fnir_{name}" for name in FPIRS)]
    )
    result["curves"]["cmc"] = []
    return Evaluation(result, comparisons, samples)


def raw_pixel_embeddings(rois: np.ndarray) -> np.ndarray:
    """Crops as vectors of their pixels: the reference that has learned nothing.

    Each crop's mean grey level over the whole crop, masked black pixels included, is
    taken off, and the vector is brought to unit length, so the cosine of two is the
    correlation of their pixels. The outline of the mask therefore counts too.

    Parameters
    ----------
    rois : ndarray of shape (n, height, width), uint8
        Crops, resized to one size.

    Returns
    -------
    ndarray of shape (n, height * width), float32
        Unit vectors.

    Raises
    ------
    EvaluationError
        When a crop is of one grey level, and so has no direction.
    """
    vectors = np.empty((len(rois), rois[0].size), np.float32)
    for number, (vector, roi) in enumerate(zip(vectors, rois, strict=True)):
        pixels = roi.ravel().astype(np.float64)
        pixels -= pixels.mean()
        length = np.linalg.norm(pixels)
        if length == 0:
            raise EvaluationError(
                f"crop {number} (counted from 0) is of one grey level, so its pixels cannot be "
                "compared; prepare the dataset again."
            )
        vector[:] = pixels / length
    return vectors


def _listed(embeddings: np.ndarray, pairs: np.ndarray, matcher: Matcher) -> Pairs:
    scores = np.empty(len(pairs), np.float32)
    step = max(1, _FLOATS_AT_ONCE // embeddings.shape[1])
    for start in range(0, len(pairs), step):
        part = pairs[start : start + step]
        first, second = (embeddings[part[:, i]].astype(np.float64) for i in (0, 1))
        lengths = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
        products = matcher.paired_similarities(first, second)
        scores[start : start + len(part)] = products / lengths
    keys = score_keys(np.clip(scores, -1.0, 1.0))
    return Pairs(keys, *np.sort(pairs, axis=1).T.astype(np.int32))


def _counts(labels: ImageLabels, comparisons: Comparisons) -> dict[str, int]:
    return {
        "images": len(labels.identity),
        "identities": labels.identities,
        "persons": labels.persons,
        "genuine_comparisons": comparisons.counts.n_genuine,
        "impostor_comparisons": comparisons.counts.n_impostor,
    }


def _resampled_fars(verification: Mapping[str, Any]) -> dict[str, float]:
    points = verification["operating_points"]
    return FALSE_MATCH_RATES | {
        name: FMRS[name] for name, point in points.items() if point["supported"]
    }


def _samples(resampled: Resampled, fars: Mapping[str, float]) -> dict[str, np.ndarray]:
    samples = {"eer": resampled.eer, "auc": resampled.auc}
    for name, rates in zip(fars, resampled.vr, strict=True):
        if name in FALSE_MATCH_RATES:
            samples[f"vr_{name}"] = rates
        else:
            samples[f"fnmr_{name}"] = 1.0 - rates
    return samples


def _worst(comparisons: Comparisons, rows: Sequence[ManifestRow]) -> dict[str, list[list[Any]]]:
    pairs = comparisons.genuine
    lowest = pairs[np.lexsort([pairs.second, pairs.first, pairs.keys])[:WORST]]
    return {
        kind: [
            [rows[first].image, rows[second].image, score]
            for first, second, score in zip(
                pairs.first.tolist(), pairs.second.tolist(), pairs.scores.tolist(), strict=True
            )
        ]
        for kind, pairs in (("genuine", lowest), ("impostor", comparisons.highest_impostor))
    }
