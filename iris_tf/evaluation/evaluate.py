"""From embeddings to every figure of an evaluation."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from iris_tf.datasets.manifest import ManifestRow
from iris_tf.errors import EvaluationError
from iris_tf.evaluation.bootstrap import (
    Blocks,
    percentile_interval,
    person_weights,
    resample_cmc,
    resample_verification,
)
from iris_tf.evaluation.counts import Comparisons, Pairs, ScoreCounter, ScoreCounts
from iris_tf.evaluation.identification import RankCounter, cmc
from iris_tf.evaluation.open_set import FPIRS, OpenSetCounter, draw_galleries
from iris_tf.evaluation.scores import (
    check_embeddings,
    label_images,
    similarity_blocks,
)
from iris_tf.evaluation.verification import (
    ErrorCurve,
    OperatingPoint,
    area_under_roc,
    curve_of_counts,
    d_prime_of_counts,
    eer_of_curve,
    vr_of_curve,
)

FARS = {"far_1e-2": 0.01, "far_1e-3": 0.001}
FMRS = {"fmr_1e-2": 1e-2, "fmr_1e-3": 1e-3, "fmr_1e-4": 1e-4, "fmr_1e-5": 1e-5}
CMC_RANKS = (1, 5, 10)
CONFIDENCE = 0.9
RULE_OF_30 = 30  # errors, for 90 % confidence that the true rate is within 30 % of the measured
WORST = 10
_CURVE_POINTS = 400
_CMC_CURVE_RANKS = 20
_BLOCK = 1024  # rows of a similarity matrix
_HISTOGRAM_EDGES = np.linspace(-1.0, 1.0, 101)


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
    resamples: int = 200,
    seed: int = 0,
    protocol: str = "all-pairs",
) -> dict[str, Any]:
    """Evaluate embeddings of a split: all genuine and all impostor pairs.

    Memory grows with images and genuine comparisons, but not with impostor comparisons.

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
    protocol : {"all-pairs", "same-eye"}, optional
        See `label_images`.

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
        ``operating_points`` : by fmr_1e-2...fmr_1e-5: ``threshold``, the ``fmr`` and
        ``fnmr`` that it gives, ``false_matches``, and ``supported``: whether at least 30
        false matches are expected at the rate asked for (the rule of 30 of ISO/IEC
        19795-1: then, of independent comparisons, the true rate is with 90 % confidence
        within 30 % of the measured one; comparisons that share a person are not
        independent, so the bootstrap's intervals are wider).
        ``open_set`` : see `OpenSetCounter.result`.
        ``intervals`` : level, resamples, seed, method, ``exact`` (see `Resampled`), and
        ``bounds``, [low, high] of eer, vr_far_*, fnmr_fmr_* and cmc_* (None where the
        images do not allow one, for instance with a single person). The whole is None
        without resamples.
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
    return evaluation_of_embeddings(embeddings, rows, resamples, seed, protocol).result


def evaluation_of_embeddings(
    embeddings: np.ndarray,
    rows: Sequence[ManifestRow],
    resamples: int = 200,
    seed: int = 0,
    protocol: str = "all-pairs",
) -> Evaluation:
    """`evaluate_embeddings`, with the scores and resamples that it came from."""
    embeddings = check_embeddings(embeddings, len(rows))
    return _evaluate(lambda: similarity_blocks(embeddings), rows, resamples, seed, protocol)


def evaluate_similarities(
    similarities: np.ndarray,
    rows: Sequence[ManifestRow],
    resamples: int = 200,
    seed: int = 0,
    protocol: str = "all-pairs",
) -> dict[str, Any]:
    """Evaluate a method that compares otherwise than by the cosine of embeddings.

    Parameters
    ----------
    similarities : ndarray of shape (n, n), float32
        Symmetric, -1..1, larger for more alike; the diagonal is not read.
    rows, resamples, seed, protocol
        See `evaluate_embeddings`.

    Returns
    -------
    dict
        See `evaluate_embeddings`; the thresholds are similarities.

    Raises
    ------
    EvaluationError
        When there is no genuine or no impostor comparison.
    """

    def blocks() -> Iterable[tuple[int, np.ndarray]]:
        for start in range(0, len(similarities), _BLOCK):
            yield start, similarities[start : start + _BLOCK]

    return _evaluate(blocks, rows, resamples, seed, protocol).result


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
    samples = {}
    if resamples and labels.persons > 1:
        weights = person_weights(labels.persons, resamples, seed)
        names = [name for name, point in verification["operating_points"].items()
                 if point["supported"]]  # fmt: skip
        fars = FARS | {name: FMRS[name] for name in names}
        resampled = resample_verification(
            comparisons, blocks, labels, weights, tuple(fars.values())
        )
        vr = dict(zip(fars, resampled.vr, strict=True))
        identified = resample_cmc(ranks, labels, weights, CMC_RANKS)
        samples = (
            {"eer": resampled.eer}
            | {f"vr_{name}": vr[name] for name in FARS}
            | {f"fnmr_{name}": 1.0 - vr[name] for name in names}
            | {f"cmc_{k}": hits for k, hits in zip(CMC_RANKS, identified, strict=True)}
        )
    result = {
        "protocol": protocol,
        "counts": {
            "images": len(labels.identity),
            "identities": labels.identities,
            "persons": labels.persons,
            "genuine_comparisons": comparisons.counts.n_genuine,
            "impostor_comparisons": comparisons.counts.n_impostor,
            "probes": len(ranks.probes),
        },
        **verification,
        "open_set": open_set,
        "intervals": None,
        "worst": {
            "genuine": _named(_lowest(comparisons.genuine), rows),
            "impostor": _named(comparisons.highest_impostor, rows),
        },
    }
    result["metrics"] |= {f"cmc_{k}": float(rates[k - 1]) for k in CMC_RANKS}
    result["metrics"] |= {f"fnir_{name}": open_set["fnir"][name] for name in FPIRS}
    result["curves"]["cmc"] = rates[:_CMC_CURVE_RANKS].tolist()
    if resamples:
        result["intervals"] = _intervals(samples, resamples, seed) | {
            "exact": not samples or resampled.exact
        }
    return Evaluation(result, comparisons, samples)


def verification_figures(counts: ScoreCounts) -> dict[str, Any]:
    """Figures that need nothing but the scores.

    Parameters
    ----------
    counts : ScoreCounts
        -1..1, of both kinds.

    Returns
    -------
    dict
        Those of ``metrics``, ``thresholds``, ``operating_points`` and ``curves`` of
        `evaluate_embeddings` that scores alone give.
    """
    curve = curve_of_counts(counts)
    points = {"eer": eer_of_curve(curve)}
    points |= {name: vr_of_curve(curve, far) for name, far in FARS.items()}
    operating = {
        name: _operating_point(vr_of_curve(curve, fmr), fmr, counts) for name, fmr in FMRS.items()
    }
    metrics = {"eer": points["eer"].rate}
    metrics |= {f"vr_{name}": points[name].rate for name in FARS}
    metrics |= {
        f"fnmr_{name}": point["fnmr"] if point["supported"] else None
        for name, point in operating.items()
    }
    metrics |= {"auc": area_under_roc(curve), "d_prime": d_prime_of_counts(counts)}
    return {
        "metrics": metrics,
        "thresholds": {name: point.threshold for name, point in points.items()},
        "operating_points": operating,
        "curves": {"det": _det_points(curve), "histogram": _histogram(counts)},
    }


def _operating_point(point: OperatingPoint, fmr: float, counts: ScoreCounts) -> dict[str, Any]:
    false_matches = int(counts.impostor[counts.levels >= point.threshold].sum())
    return {
        "threshold": point.threshold,
        "fmr": false_matches / counts.n_impostor,
        "fnmr": 1.0 - point.rate,
        "false_matches": false_matches,
        "supported": fmr * counts.n_impostor >= RULE_OF_30,
    }


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


def _lowest(pairs: Pairs) -> Pairs:
    return pairs[np.lexsort([pairs.second, pairs.first, pairs.keys])[:WORST]]


def _named(pairs: Pairs, rows: Sequence[ManifestRow]) -> list[list[Any]]:
    return [
        [rows[first].image, rows[second].image, score]
        for first, second, score in zip(
            pairs.first.tolist(), pairs.second.tolist(), pairs.scores.tolist(), strict=True
        )
    ]


def _intervals(
    samples: Mapping[str, np.ndarray], resamples: int, seed: int
) -> dict[str, Any]:
    bounds: dict[str, list[float] | None] = dict.fromkeys(
        [
            "eer",
            *(f"vr_{name}" for name in FARS),
            *(f"fnmr_{name}" for name in FMRS),
            *(f"cmc_{k}" for k in CMC_RANKS),
        ]
    )
    for name, values in samples.items():
        interval = percentile_interval(values, CONFIDENCE)
        bounds[name] = None if interval is None else list(interval)
    return {
        "level": CONFIDENCE,
        "resamples": resamples,
        "seed": seed,
        "method": "percentiles of a bootstrap over persons",
        "bounds": bounds,
    }


def _det_points(curve: ErrorCurve) -> dict[str, list[float]]:
    """The curve thinned to a drawable number of its own points, dense where either is small."""
    rates = np.geomspace(1e-6, 1.0, _CURVE_POINTS // 2)
    at_fmr = np.searchsorted(curve.fmr, rates, side="right") - 1
    at_fnmr = len(curve.fnmr) - np.searchsorted(curve.fnmr[::-1], rates, side="right")
    kept = np.unique(np.concatenate([at_fmr, at_fnmr, [0, len(curve.fmr) - 1]]))
    return {"fmr": curve.fmr[kept].tolist(), "fnmr": curve.fnmr[kept].tolist()}


def _histogram(counts: ScoreCounts) -> dict[str, list[float]]:
    shares = {
        name: (
            np.histogram(counts.levels, _HISTOGRAM_EDGES, weights=of_level)[0] / of_level.sum()
        ).tolist()
        for name, of_level in (("genuine", counts.genuine), ("impostor", counts.impostor))
    }
    return {"edges": _HISTOGRAM_EDGES.tolist()} | shares
