"""Where a model is weak: error rates by eye, dataset, dilation of the pupil and quality.

Slices by eye and dataset hold the comparisons within them. Dilation and quality part the
genuine comparisons of the whole set; their FNMR is at the thresholds of the whole set, as
a deployed system would have them.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from iris_tf.data.manifest import ManifestRow
from iris_tf.matching.matcher import Matcher
from iris_tf.metrics.counts import Pairs, ScoreCounts, count_scores, number_of_comparisons
from iris_tf.metrics.evaluate_embeddings import Evaluation
from iris_tf.metrics.scores import label_images, similarity_blocks
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
    matcher: Matcher = Matcher(),
) -> dict[str, Any]:
    """Figures of all slices that the rows allow.

    Parameters
    ----------
    embeddings : ndarray of shape (n, size), float
        Unit vectors, one an image.
    rows : sequence of n ManifestRow
        Eye, dataset, pupil and iris ellipses and quality figures are read.
    evaluation : Evaluation
        Of the same embeddings and rows.
    matcher : Matcher, optional
        How embeddings are compared.

    Returns
    -------
    dict
        ``eye`` and ``dataset`` : by name, ``images``, ``genuine_comparisons``,
        ``impostor_comparisons``, ``eer``, and ``fmr`` and ``fnmr`` by threshold of the whole
        set; empty with fewer than two names.
        ``dilation`` : genuine comparisons ``same`` and ``different`` in dilation, parted at
        their ``median_difference`` of the ratio of pupil to iris radius; each with
        ``genuine_comparisons`` and ``fnmr``; None where a row has no ellipses.
        ``quality`` : by quality figure that all rows have, ``quartiles``, the FNMR of the
        genuine comparisons from the worst quarter to the best (a comparison is as good as
        the worse of its images), and ``discard``: FNMR of what is left when a share of the
        genuine comparisons, the worst ones, is ``discarded``.
    """
    thresholds = evaluation.result["thresholds"]
    genuine = evaluation.comparisons.genuine
    protocol = evaluation.result["protocol"]
    figures: dict[str, Any] = {}
    for field in ("eye", "dataset"):
        of = np.array([getattr(row, field) for row in rows])
        names = sorted(set(of.tolist()) - {""})
        parts = {
            name: _part(
                embeddings[of == name], _chosen(rows, of == name), thresholds, protocol, matcher
            )
            for name in names
            if len(names) > 1 and protocol != "pair-lists"
        }
        figures[field] = {name: part for name, part in parts.items() if part is not None}
    figures["dilation"] = _dilation(rows, genuine, thresholds)
    figures["quality"] = {
        name: _quality(np.array(values, float), genuine, thresholds)
        for name in QUALITIES
        if None not in (values := [getattr(row.iris, name, None) for row in rows])
    }
    return figures


def _chosen(rows: Sequence[ManifestRow], chosen: np.ndarray) -> list[ManifestRow]:
    return [row for row, kept in zip(rows, chosen, strict=True) if kept]


def _part(
    embeddings: np.ndarray,
    rows: Sequence[ManifestRow],
    thresholds: Mapping[str, float],
    protocol: str,
    matcher: Matcher,
) -> dict[str, Any] | None:
    labels = label_images(rows, protocol)
    n_genuine, n_impostor = number_of_comparisons(labels)
    if not (n_genuine and n_impostor):
        return None
    counts = count_scores(similarity_blocks(embeddings, matcher), labels).counts
    return {
        "images": len(rows),
        "genuine_comparisons": n_genuine,
        "impostor_comparisons": n_impostor,
        "eer": eer_of_curve(curve_of_counts(counts)).rate,
        "fmr": {name: _accepted(counts, t)[1] / n_impostor for name, t in thresholds.items()},
        "fnmr": {name: 1 - _accepted(counts, t)[0] / n_genuine for name, t in thresholds.items()},
    }


def _accepted(counts: ScoreCounts, threshold: float) -> tuple[int, int]:
    accepted = counts.levels >= threshold
    return int(counts.genuine[accepted].sum()), int(counts.impostor[accepted].sum())


def _fnmr(scores: np.ndarray, thresholds: Mapping[str, float]) -> dict[str, float]:
    return {name: float((scores < threshold).mean()) for name, threshold in thresholds.items()}


def _dilation(
    rows: Sequence[ManifestRow], genuine: Pairs, thresholds: Mapping[str, float]
) -> dict[str, Any] | None:
    irises = [row.iris for row in rows if row.iris is not None]
    if len(irises) < len(rows):
        return None
    # Of circles of the same areas.
    ratio = np.array([iris.pupil.radius / iris.limbus.radius for iris in irises])
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
