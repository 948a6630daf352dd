"""What `iris-tf evaluate` prints: the main figures for a terminal."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from iris_tf.evaluation.evaluation_result import BaselineResult, EvaluationResult, ModelResult
from iris_tf.metrics.differences import Difference
from iris_tf.metrics.metrics import Metrics
from iris_tf.metrics.score_figures import ScoreFigures, ScorePointErrors
from iris_tf.metrics.threshold_sweep import FIGURES
from iris_tf.report.report_words import collapse_note, compared_by, percent

_NAMES = {
    "eer": "EER", "vr_far_1e-2": "VR@FAR=1%", "vr_far_1e-3": "VR@FAR=0.1%",
    "fnmr_fmr_1e-4": "FNMR@FMR=1e-4", "fnmr_fmr_1e-5": "FNMR@FMR=1e-5", "auc": "AUC",
    "d_prime": "d'", "cmc_1": "CMC@1", "cmc_5": "CMC@5", "fnir_fpir_1e-2": "FNIR@FPIR=1%",
}  # fmt: skip
_DECIMALS = {"auc": 4, "d_prime": 3}  # all others are shares, printed in per cent with two


def summary(result: EvaluationResult) -> Iterator[str]:
    """Lines on the first model, the others, baselines and latencies.

    Parameters
    ----------
    result : EvaluationResult
        All figures.
    """
    metrics = result.first.metrics
    counts = metrics.counts
    shown = {name: value for name in _NAMES if (value := metrics.values[name]) is not None}
    first = (
        f"{counts.images} images of {counts.identities} identities: "
        f"{counts.genuine_comparisons} genuine, {counts.impostor_comparisons} impostor "
        "comparisons"
    )
    scored = [bool(found.metrics.scores) for found in result.models]
    if all(scored):
        yield f"{first} by score"
    else:
        yield first
        if any(scored):
            yield compared_by({found.model.name: found.metrics for found in result.models})
    if result.others:
        yield f"{result.first.model.name}:"
    for name, value in shown.items():
        bounds = metrics.bounds(name)
        interval = f"  ({_interval(name, bounds)})" if bounds else ""
        yield _figure(name, value) + interval + _caveat(name, metrics)
    yield from _with_failures(result.first.generalised)
    for found in result.models:
        if found.metrics.scores:
            yield from _by_score(found.model.name, found.metrics.scores, found.generalised)
    for found in result.models:
        if found.folds:
            yield from fold_summary(found.model.name, found.folds)
    for other in result.others:
        yield from _of_another(other, list(shown))
    if collapsed := [found.model.name for found in result.models if found.metrics.collapsed]:
        yield collapse_note(collapsed)
    for baseline in result.baselines:
        yield from _of_baseline(baseline, list(shown), counts.images)
    for found in result.models:
        if latency := found.model.latency:
            yield (
                f"{found.model.name}: {latency.median:.2f} ms per crop on one thread (p95 "
                f"{latency.p95:.2f} ms, {latency.runs} runs)"
            )


def fold_summary(name: str, folds: Mapping[str, Any]) -> Iterator[str]:
    """Lines on the figures of a protocol with folds.

    Parameters
    ----------
    name : str
        Of the model.
    folds : mapping
        See `iris_tf.evaluation.protocols.Protocol.fold_figures`.
    """
    yield (
        f"{name}, {len(folds['accuracies'])} folds of {folds['comparisons']} comparisons: accuracy "
        f"{100 * folds['accuracy']:.2f} % (standard error {100 * folds['standard_error']:.2f}) at "
        f"the best threshold of all other folds, FAR {100 * folds['far']:.2f} %, FRR "
        f"{100 * folds['frr']:.2f} %, F1 {100 * folds['f1']:.2f} %, AUC {folds['auc']:.4f}"
    )
    sweep = folds["sweep"]
    low, high = sweep["thresholds"][0], sweep["thresholds"][-1]
    shown = ", ".join(
        f"{figure.replace('f1', 'F1')} {100 * sweep[figure]['best']:.1f} %, "
        f"{100 * sweep[figure]['mean']:.1f} %"
        for figure in FIGURES
    )
    yield f"  best and mean over thresholds {low:.2f} to {high:.2f}: {shown}"


def _by_score(
    name: str, scores: ScoreFigures, generalised: Mapping[str, Any] | None
) -> Iterator[str]:
    yield (
        f"{name}: {100 * scores.inconclusive_genuine:.2f} % of the genuine and "
        f"{100 * scores.inconclusive_impostor:.2f} % of the impostor comparisons are inconclusive "
        f"and count as non-matches; EER without them {percent(scores.conclusive_eer)} %"
    )
    yield f"{name}, at the operating points of its card:"
    failures = (generalised or {}).get("card_points", {})
    for point, errors in scores.points.items():
        others = [f"{percent(errors.conclusive_fnmr)} % of conclusive comparisons alone"]
        if point in failures:
            others.append(f"{percent(failures[point]['gfrr'])} % with failures to extract")
        yield f"  {point}: FMR {_over_claim(errors)}, FNMR {_fnmr(errors)}, {', '.join(others)}"


def _fnmr(errors: ScorePointErrors) -> str:
    shown = f"{100 * errors.fnmr:.2f} %"
    return shown + (f" ({_interval('', errors.fnmr_interval)})" if errors.fnmr_interval else "")


def _over_claim(errors: ScorePointErrors) -> str:
    if errors.fmr_over_claim is None:
        return "not known (too few impostor comparisons, by the rule of 30)"
    shown = f"{errors.fmr_over_claim:.2f} times the claim"
    if bounds := errors.interval_over_claim:
        shown += f" (90 % interval {bounds[0]:.2f} to {bounds[1]:.2f})"
    return shown


def _of_another(other: ModelResult, names: Sequence[str]) -> Iterator[str]:
    yield f"{other.model.name}, and its difference to the first:"
    for name in names:
        value = other.metrics.values[name]
        if value is not None:  # d' of constant scores
            yield _figure(name, value) + _difference(name, other.differences.get(name))


def _of_baseline(baseline: BaselineResult, names: Sequence[str], images: int) -> Iterator[str]:
    yield (
        f"{baseline.name} ({baseline.library}): templates of {baseline.templates} of "
        f"{images} images"
    )
    for reason, count in baseline.failures.items():
        yield f"  failed, {reason}: {count}"
    for name in names:
        theirs, ours = (
            metrics.values[name] for metrics in (baseline.metrics, baseline.model_metrics)
        )
        if theirs is not None and ours is not None:  # there may be fewer comparisons
            yield (
                f"{_figure(name, theirs)}  (the model on the same images "
                f"{_number(name, ours)}{_unit(name)})"
            )
    yield from _with_failures(baseline.generalised)


def _with_failures(generalised: Mapping[str, Any] | None) -> Iterator[str]:
    if generalised and generalised["failures"]:
        point = generalised["points"]["eer"]
        yield (
            f"with {sum(generalised['failures'].values())} failures to extract as non-matches, at "
            f"the EER threshold: GFRR {100 * point['gfrr']:.2f} %, GFAR {100 * point['gfar']:.2f} %"
        )


def _figure(name: str, value: float) -> str:
    return f"{_NAMES[name]:<13} {_number(name, value):>6}{_unit(name)}"


def _interval(name: str, bounds: Sequence[float], sign: str = "") -> str:
    return "90 % interval " + " to ".join(_number(name, bound, sign) for bound in bounds)


def _caveat(name: str, metrics: Metrics) -> str:
    """Why a figure is less certain than it looks, or nothing."""
    if name.startswith("vr_") and name.replace("vr_far", "fmr") not in metrics.supported():
        return "  (too few impostor comparisons for certainty, by the rule of 30)"
    bounds = metrics.bounds(name)
    if bounds and bounds[0] == bounds[1] and name not in _DECIMALS:
        subjects = metrics.counts.subjects
        return f"  (zero width: no resample of the {subjects} subjects differed)"
    return ""


def _difference(name: str, found: Difference | None) -> str:
    if found is None:
        return ""
    interval = f" ({_interval(name, found.interval, '+')})" if found.interval else ""
    return f"  {_number(name, found.difference, '+')}{interval}"


def _number(name: str, value: float, sign: str = "") -> str:
    if name in _DECIMALS:
        return f"{value:{sign}.{_DECIMALS[name]}f}"
    return f"{100 * value:{sign}.2f}"


def _unit(name: str) -> str:
    return "" if name in _DECIMALS else " %"
