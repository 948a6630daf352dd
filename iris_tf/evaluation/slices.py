"""Where a model is weak: error rates by eye, dataset, pupil dilation and quality.

Slices by eye and dataset consist of the comparisons within them. Dilation and quality divide the
genuine comparisons of the whole set; their FNMR is at the thresholds of the whole set, as
in a deployed system.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from iris_tf.data.manifest import ManifestRow
from iris_tf.evaluation.protocols import Protocol
from iris_tf.matching.matcher import Matcher
from iris_tf.metrics.counts import Pairs, ScoreCounts
from iris_tf.metrics.evaluate_embeddings import Evaluation
from iris_tf.metrics.verification import curve_of_counts, eer_of_curve

QUALITIES = (
    "confidence", "usable_iris_area", "iris_sclera_contrast", "iris_pupil_contrast",
    "grey_scale_utilisation", "sharpness",
)  # fmt: skip
DISCARDED = (0.0, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5)  # of the error-versus-discard curve


def slice_figures(
    embeddings: np.ndarray,
    rows: Sequence[ManifestRow],
    evaluation: Evaluation,
    protocol: Protocol,
    matcher: Matcher = Matcher(),
) -> dict[str, Any]:
    """Figures of all slices that the rows allow.

    Parameters
    ----------
    embeddings : ndarray of shape (n, size), float
        Unit vectors, one per image.
    rows : sequence of n ManifestRow
        Eye, dataset, pupil and iris ellipses and quality figures are read.
    evaluation : Evaluation
        Of the same embeddings and rows.
    protocol : Protocol
        What `evaluation` was made by.
    matcher : Matcher, optional
        How embeddings are compared.

    Returns
    -------
    dict
        JSON values.
        ``eye`` and ``dataset`` : by name, ``images``, ``genuine_comparisons``,
        ``impostor_comparisons``, ``eer``, and ``fmr`` and ``fnmr`` by threshold of the whole
        set; empty with fewer than two names.
        ``dilation`` : genuine comparisons with ``same`` and ``different`` dilation, divided at
        their ``median_difference`` of the ratio of pupil to iris radius; each with
        ``genuine_comparisons`` and ``fnmr``; None where a row has no ellipses.
        ``quality`` : by quality figure that all rows have, ``quartiles``, the FNMR of the
        genuine comparisons from the worst quarter to the best (the quality of a comparison is
        that of the worse image), and ``discard``: FNMR after the share ``discarded`` of the
        genuine comparisons, those of the worst quality, has been removed.
    """
    thresholds, genuine = evaluation.metrics.thresholds, evaluation.comparisons.genuine
    figures: dict[str, Any] = {}
    for field in ("eye", "dataset"):
        values = np.array([getattr(row, field) for row in rows])
        names = sorted(set(values.tolist()) - {""})
        parts = {}
        for name in names if len(names) > 1 else ():
            part_rows = [row for row in rows if getattr(row, field) == name]
            counts = protocol.part_counts(embeddings[values == name], part_rows, matcher)
            if counts is not None:
                parts[name] = {"images": len(part_rows)} | _part(counts, thresholds)
        figures[field] = parts
    figures["dilation"] = _dilation(rows, genuine, thresholds)
    figures["quality"] = {
        name: _quality(np.array(qualities, float), genuine, thresholds)
        for name in QUALITIES
        if None not in (qualities := [getattr(row.iris, name, None) for row in rows])
    }
    return figures


def _part(counts: ScoreCounts, thresholds: Mapping[str, float]) -> dict[str, Any]:
    accepted = {name: counts.accepted(threshold) for name, threshold in thresholds.items()}
    return {
        "genuine_comparisons": counts.n_genuine,
        "impostor_comparisons": counts.n_impostor,
        "eer": eer_of_curve(curve_of_counts(counts)).rate,
        "fmr": {name: found[1] / counts.n_impostor for name, found in accepted.items()},
        "fnmr": {name: 1 - found[0] / counts.n_genuine for name, found in accepted.items()},
    }


def _fnmr(scores: np.ndarray, thresholds: Mapping[str, float]) -> dict[str, float]:
    return {name: float((scores < threshold).mean()) for name, threshold in thresholds.items()}


def _dilation(
    rows: Sequence[ManifestRow], genuine: Pairs, thresholds: Mapping[str, float]
) -> dict[str, Any] | None:
    irises = [row.iris for row in rows if row.iris is not None]
    if len(irises) < len(rows):
        return None
    pupils, limbi = ([getattr(iris, name) for iris in irises] for name in ("pupil", "limbus"))
    pupil_area, limbus_area = (
        np.array([ellipse.a * ellipse.b for ellipse in ellipses]) for ellipses in (pupils, limbi)
    )
    ratio = np.sqrt(pupil_area / limbus_area)  # of the radii of circles of equal area
    difference = np.abs(ratio[genuine.first] - ratio[genuine.second])
    median = np.median(difference)
    parts = {"same": difference <= median, "different": difference > median}
    return {"median_difference": float(median)} | {
        name: {
            "genuine_comparisons": int(chosen.sum()),
            "fnmr": _fnmr(genuine.scores[chosen], thresholds) if chosen.any() else None,
        }
        for name, chosen in parts.items()
    }


def _quality(
    quality: np.ndarray, genuine: Pairs, thresholds: Mapping[str, float]
) -> dict[str, Any]:
    worse = np.minimum(quality[genuine.first], quality[genuine.second])
    scores = genuine.scores[np.argsort(worse, kind="stable")]
    n = len(scores)
    return {
        "quartiles": [
            _fnmr(quarter, thresholds) if len(quarter) else None
            for quarter in np.array_split(scores, 4)
        ],
        "discard": [
            {"discarded": share, "fnmr": _fnmr(scores[int(share * n) :], thresholds)}
            for share in DISCARDED
        ],
    }
