"""From embeddings to every figure of an evaluation."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from iris_tf.datasets.manifest import ManifestRow
from iris_tf.errors import EvaluationError
from iris_tf.evaluation.bootstrap import (
    percentile_interval,
    person_weights,
    resample_cmc,
    resample_verification,
)
from iris_tf.evaluation.identification import ProbeRanks, closed_set_ranks, cmc
from iris_tf.evaluation.scores import (
    ImageLabels,
    PairScores,
    check_embeddings,
    label_images,
    pairs_of_blocks,
    similarity_blocks,
)
from iris_tf.evaluation.verification import (
    ErrorCurve,
    area_under_roc,
    d_prime,
    eer_of_curve,
    error_curve,
    vr_of_curve,
)

FARS = {"far_1e-2": 0.01, "far_1e-3": 0.001}
CMC_RANKS = (1, 5)
CONFIDENCE = 0.9
_CURVE_POINTS = 400
_CMC_CURVE_RANKS = 20
_BLOCK = 1024  # rows of a similarity matrix
_HISTOGRAM_EDGES = np.linspace(-1.0, 1.0, 101)


def evaluate_embeddings(
    embeddings: np.ndarray, rows: Sequence[ManifestRow], resamples: int = 200, seed: int = 0
) -> dict[str, Any]:
    """Evaluate embeddings of a split: all genuine and all impostor pairs.

    Parameters
    ----------
    embeddings : ndarray of shape (n, size), float
        Unit vectors, one an image.
    rows : sequence of n ManifestRow
        Who is on each image: `dataset`, `subject` and `identity` are read.
    resamples : int, optional
        Resamples of the bootstrap over persons; 0 for no confidence intervals.
    seed : int, optional
        Seed of the bootstrap.

    Returns
    -------
    dict
        Fit for JSON. Rates are shares, 0..1.

        ``counts`` : images, identities, persons, genuine_comparisons,
        impostor_comparisons, probes.
        ``metrics`` : eer, vr_far_1e-2, vr_far_1e-3, cmc_1, cmc_5, auc, d_prime (None when
        all scores are the same).
        ``thresholds`` : cosine similarity at eer, far_1e-2, far_1e-3.
        ``intervals`` : level, resamples, seed, method, and ``bounds``, [low, high] of eer,
        vr_far_1e-2, vr_far_1e-3, cmc_1, cmc_5 (None where the images do not allow one,
        for instance with a single person). The whole is None without resamples.
        ``curves`` : det (fmr, fnmr), histogram (edges, and the share of genuine and
        impostor scores in each bin), cmc (from rank 1).

    Raises
    ------
    EvaluationError
        When the embeddings are not finite unit vectors, one a row, or there is no
        genuine or no impostor comparison.
    """
    labels = label_images(rows)
    embeddings = check_embeddings(embeddings, len(rows))
    return _evaluate(lambda: similarity_blocks(embeddings), labels, resamples, seed)


def evaluate_similarities(
    similarities: np.ndarray, rows: Sequence[ManifestRow], resamples: int = 200, seed: int = 0
) -> dict[str, Any]:
    """Evaluate a method that compares otherwise than by the cosine of embeddings.

    Parameters
    ----------
    similarities : ndarray of shape (n, n), float32
        Symmetric, -1..1, larger for more alike; the diagonal is not read.
    rows, resamples, seed
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
            yield start, similarities[start : start + _BLOCK].copy()

    return _evaluate(blocks, label_images(rows), resamples, seed)


def _evaluate(
    blocks: Callable[[], Iterable[tuple[int, np.ndarray]]],
    labels: ImageLabels,
    resamples: int,
    seed: int,
) -> dict[str, Any]:
    """Figures from the similarity matrix, which `blocks` yields block by block when called."""
    scores = pairs_of_blocks(blocks(), labels)
    curve = error_curve(scores.genuine, scores.impostor)
    ranks = closed_set_ranks(blocks(), labels)
    rates = cmc(ranks.ranks, max(_CMC_CURVE_RANKS, *CMC_RANKS))
    points = {"eer": eer_of_curve(curve)}
    points |= {name: vr_of_curve(curve, far) for name, far in FARS.items()}
    metrics = {"eer": points["eer"].rate}
    metrics |= {f"vr_{name}": points[name].rate for name in FARS}
    metrics |= {f"cmc_{k}": float(rates[k - 1]) for k in CMC_RANKS}
    metrics |= {"auc": area_under_roc(curve), "d_prime": d_prime(scores.genuine, scores.impostor)}
    return {
        "counts": {
            "images": len(labels.identity),
            "identities": labels.identities,
            "persons": labels.persons,
            "genuine_comparisons": len(scores.genuine),
            "impostor_comparisons": len(scores.impostor),
            "probes": len(ranks.probes),
        },
        "metrics": metrics,
        "thresholds": {name: point.threshold for name, point in points.items()},
        "intervals": _intervals(scores, ranks, labels, resamples, seed) if resamples else None,
        "curves": {
            "det": _det_points(curve),
            "histogram": _histogram(scores),
            "cmc": rates[:_CMC_CURVE_RANKS].tolist(),
        },
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


def _intervals(
    scores: PairScores, ranks: ProbeRanks, labels: ImageLabels, resamples: int, seed: int
) -> dict[str, Any]:
    bounds: dict[str, list[float] | None] = dict.fromkeys(
        ["eer", *(f"vr_{name}" for name in FARS), *(f"cmc_{k}" for k in CMC_RANKS)]
    )
    if labels.persons > 1:
        weights = person_weights(labels.persons, resamples, seed)
        eer, vr = resample_verification(scores, labels, weights, tuple(FARS.values()))
        identified = resample_cmc(ranks, labels, weights, CMC_RANKS)
        for name, samples in zip(bounds, [eer, *vr, *identified], strict=True):
            interval = percentile_interval(samples, CONFIDENCE)
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


def _histogram(scores: PairScores) -> dict[str, list[float]]:
    shares = {
        name: (np.histogram(values, _HISTOGRAM_EDGES)[0] / len(values)).tolist()
        for name, values in (("genuine", scores.genuine), ("impostor", scores.impostor))
    }
    return {"edges": _HISTOGRAM_EDGES.tolist()} | shares
