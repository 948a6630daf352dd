"""Figures that follow from the scores alone, and the intervals of all figures."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from iris_tf.config.names import FALSE_MATCH_RATES, FMRS
from iris_tf.metrics.bootstrap import percentile_interval
from iris_tf.metrics.counts import ScoreCounts
from iris_tf.metrics.metrics import (
    RULE_OF_30,
    DetCurve,
    Intervals,
    OperatingPointErrors,
    ScoreHistogram,
    ThresholdErrors,
)
from iris_tf.metrics.open_set import FPIRS
from iris_tf.metrics.scales import SIMILARITIES, Scale
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
_CURVE_POINTS = 400
_HISTOGRAM_EDGES = 101


@dataclass(frozen=True)
class VerificationFigures:
    """Those of the attributes of `iris_tf.metrics.metrics.Metrics` that scores alone give."""

    values: dict[str, float | None]
    thresholds: dict[str, float]
    eer_point: ThresholdErrors
    operating_points: dict[str, OperatingPointErrors]
    det: DetCurve
    histogram: ScoreHistogram

    def fars(self) -> dict[str, float]:
        """False accept rates of all figures that have intervals, by name."""
        supported = (name for name, point in self.operating_points.items() if point.supported)
        return FALSE_MATCH_RATES | {name: FMRS[name] for name in supported}


def verification_figures(counts: ScoreCounts, scale: Scale = SIMILARITIES) -> VerificationFigures:
    """Compute all figures that need nothing but the scores.

    Parameters
    ----------
    counts : ScoreCounts
        Scores of both kinds.
    scale : Scale, optional
        Of the scores.
    """
    curve = curve_of_counts(counts)
    points = {"eer": eer_of_curve(curve)}
    points |= {name: vr_of_curve(curve, far) for name, far in FALSE_MATCH_RATES.items()}
    operating = {
        name: _operating_point(vr_of_curve(curve, fmr), fmr, counts) for name, fmr in FMRS.items()
    }
    values: dict[str, float | None] = {"eer": points["eer"].rate}
    values |= {f"vr_{name}": points[name].rate for name in FALSE_MATCH_RATES}
    values |= {
        f"fnmr_{name}": point.fnmr if point.supported else None for name, point in operating.items()
    }
    values |= {"auc": area_under_roc(curve), "d_prime": d_prime_of_counts(counts)}
    return VerificationFigures(
        values=values,
        thresholds={name: point.threshold for name, point in points.items()},
        eer_point=_errors_at(points["eer"].threshold, counts),
        operating_points=operating,
        det=_det_curve(curve),
        histogram=_histogram(counts, scale),
    )


def _errors_at(threshold: float, counts: ScoreCounts) -> ThresholdErrors:
    genuine, impostor = counts.accepted(threshold)
    return ThresholdErrors(
        threshold=threshold,
        fmr=impostor / counts.n_impostor,
        fnmr=1.0 - genuine / counts.n_genuine,
        false_matches=impostor,
    )


def _operating_point(
    point: OperatingPoint, fmr: float, counts: ScoreCounts
) -> OperatingPointErrors:
    errors = _errors_at(point.threshold, counts)
    return OperatingPointErrors(
        threshold=errors.threshold,
        fmr=errors.fmr,
        fnmr=1.0 - point.rate,
        false_matches=errors.false_matches,
        supported=fmr * counts.n_impostor >= RULE_OF_30,
    )


def intervals(
    samples: Mapping[str, np.ndarray], resamples: int, seed: int, exact: bool
) -> Intervals:
    """Confidence intervals of all figures.

    Parameters
    ----------
    samples : mapping of str to ndarray of shape (resamples,)
        Resampled values by name of the figure.
    resamples, seed, exact
        Recorded in the result.
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
    return Intervals(CONFIDENCE, resamples, seed, bounds, exact)


def _det_curve(curve: ErrorCurve) -> DetCurve:
    """Thin the curve to a drawable number of its own points, dense where either rate is small."""
    rates = np.geomspace(1e-6, 1.0, _CURVE_POINTS // 2)
    at_fmr = np.searchsorted(curve.fmr, rates, side="right") - 1
    at_fnmr = len(curve.fnmr) - np.searchsorted(curve.fnmr[::-1], rates, side="right")
    kept = np.unique(np.concatenate([at_fmr, at_fnmr, [0, len(curve.fmr) - 1]]))
    return DetCurve(curve.fmr[kept].tolist(), curve.fnmr[kept].tolist())


def _histogram(counts: ScoreCounts, scale: Scale) -> ScoreHistogram:
    # Scores have no upper limit.
    highest = 1.0 if scale is SIMILARITIES else float(counts.levels[-1])
    edges = np.linspace(scale.lowest, highest, _HISTOGRAM_EDGES)
    genuine, impostor = (
        (np.histogram(counts.levels, edges, weights=kind)[0] / kind.sum()).tolist()
        for kind in (counts.genuine, counts.impostor)
    )
    return ScoreHistogram(edges.tolist(), genuine, impostor)
