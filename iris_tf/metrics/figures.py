"""Figures that follow from scores alone, and from their resamples."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from iris_tf.config.names import FALSE_MATCH_RATES, FMRS
from iris_tf.metrics.bootstrap import percentile_interval
from iris_tf.metrics.counts import ScoreCounts
from iris_tf.metrics.open_set import FPIRS
from iris_tf.metrics.verification import (
    ErrorCurve,
    OperatingPoint,
    area_under_roc,
    curve_of_counts,
    d_prime_of_counts,
    eer_of_curve,
    vr_of_curve,
)

CMC_RANKS = (1, 5, 10)
CONFIDENCE = 0.9
RULE_OF_30 = 30  # errors, for 90 % confidence that the true rate is within 30 % of the measured
_CURVE_POINTS = 400
_HISTOGRAM_EDGES = np.linspace(-1.0, 1.0, 101)


def verification_figures(counts: ScoreCounts) -> dict[str, Any]:
    """Figures that need nothing but the scores.

    Parameters
    ----------
    counts : ScoreCounts
        -1..1, of both kinds.

    Returns
    -------
    dict
        Those of ``metrics``, ``thresholds``, ``eer_point``, ``operating_points`` and ``curves``
        of `evaluate_embeddings` that scores alone give.
    """
    curve = curve_of_counts(counts)
    points = {"eer": eer_of_curve(curve)}
    points |= {name: vr_of_curve(curve, far) for name, far in FALSE_MATCH_RATES.items()}
    operating = {
        name: _operating_point(vr_of_curve(curve, fmr), fmr, counts) for name, fmr in FMRS.items()
    }
    metrics: dict[str, float | None] = {"eer": points["eer"].rate}
    metrics |= {f"vr_{name}": points[name].rate for name in FALSE_MATCH_RATES}
    metrics |= {
        f"fnmr_{name}": point["fnmr"] if point["supported"] else None
        for name, point in operating.items()
    }
    metrics |= {"auc": area_under_roc(curve), "d_prime": d_prime_of_counts(counts)}
    return {
        "metrics": metrics,
        "thresholds": {name: point.threshold for name, point in points.items()},
        "eer_point": _counted(points["eer"].threshold, counts),
        "operating_points": operating,
        "curves": {"det": _det_points(curve), "histogram": _histogram(counts)},
    }


def _counted(threshold: float, counts: ScoreCounts) -> dict[str, Any]:
    """Errors at a threshold."""
    accepted = counts.levels >= threshold
    false_matches = int(counts.impostor[accepted].sum())
    return {
        "threshold": threshold,
        "fmr": false_matches / counts.n_impostor,
        "fnmr": 1.0 - int(counts.genuine[accepted].sum()) / counts.n_genuine,
        "false_matches": false_matches,
    }


def _operating_point(point: OperatingPoint, fmr: float, counts: ScoreCounts) -> dict[str, Any]:
    return _counted(point.threshold, counts) | {
        "fnmr": 1.0 - point.rate,
        "supported": fmr * counts.n_impostor >= RULE_OF_30,
    }


def intervals(
    samples: Mapping[str, np.ndarray], resamples: int, seed: int, exact: bool
) -> dict[str, Any]:
    """Confidence intervals: ``intervals`` of `evaluate_embeddings`.

    Parameters
    ----------
    samples : mapping of str to ndarray of shape (resamples,)
        Resampled values by metric.
    resamples, seed, exact
        To be told.
    """
    bounds: dict[str, list[float] | None] = dict.fromkeys(
        [
            "eer",
            "auc",
            "d_prime",
            *(f"vr_{name}" for name in FALSE_MATCH_RATES),
            *(f"fnmr_{name}" for name in FMRS),
            *(f"cmc_{k}" for k in CMC_RANKS),
            *(f"fnir_{name}" for name in FPIRS),
        ]
    )
    for name, values in samples.items():
        interval = percentile_interval(values, CONFIDENCE)
        bounds[name] = None if interval is None else list(interval)
    return {
        "level": CONFIDENCE,
        "resamples": resamples,
        "seed": seed,
        "exact": exact,
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
