"""What `iris-tf evaluate` prints: the figures of ``metrics.json`` for a terminal."""

from collections.abc import Iterator, Mapping
from typing import Any

_NAMES = {
    "eer": "EER", "vr_far_1e-2": "VR@FAR=1%", "vr_far_1e-3": "VR@FAR=0.1%",
    "fnmr_fmr_1e-4": "FNMR@FMR=1e-4", "fnmr_fmr_1e-5": "FNMR@FMR=1e-5", "auc": "AUC",
    "d_prime": "d'", "cmc_1": "CMC@1", "cmc_5": "CMC@5", "fnir_fpir_1e-2": "FNIR@FPIR=1%",
}  # fmt: skip
_DECIMALS = {"auc": 4, "d_prime": 3}  # all others are shares, printed as per cent with two


def summary(result: Mapping[str, Any]) -> Iterator[str]:
    """Lines on the first model, the others, baselines and latencies.

    Parameters
    ----------
    result : mapping
        What `evaluate_model` returned, or its JSON read again.
    """
    evaluation = result["evaluation"]
    counts, metrics = evaluation["counts"], evaluation["metrics"]
    bounds = (evaluation["intervals"] or {"bounds": {}})["bounds"]
    names = {key: name for key, name in _NAMES.items() if metrics[key] is not None}
    yield (
        f"{counts['images']} images of {counts['identities']} identities: "
        f"{counts['genuine_comparisons']} genuine, {counts['impostor_comparisons']} impostor "
        "comparisons"
    )
    for key in names:
        interval = f"  ({_interval(key, bounds[key])})" if bounds.get(key) else ""
        yield _figure(key, metrics[key]) + interval + _doubt(key, evaluation)
    yield from _with_failures(result["generalised"])
    for other in result["others"]:
        yield f"{other['model']['name']}, and its difference to the first:"
        for key in names:
            value = other["evaluation"]["metrics"][key]
            if value is not None:  # d' of scores that do not vary
                yield _figure(key, value) + _difference(key, other["differences"].get(key))
    for baseline in result["baselines"]:
        yield from _of_baseline(baseline, names, counts["images"])
    for entry in (result, *result["others"]):
        if latency := entry["model"]["latency"]:
            yield (
                f"{entry['model']['name']}: {latency['median']:.2f} ms a crop on one thread (p95 "
                f"{latency['p95']:.2f} ms, {latency['runs']} runs)"
            )


def _of_baseline(
    baseline: Mapping[str, Any], names: Mapping[str, str], images: int
) -> Iterator[str]:
    yield (
        f"{baseline['name']} ({baseline['library']}): templates of {baseline['templates']} of "
        f"{images} images"
    )
    for reason, count in baseline["failures"].items():
        yield f"  failed, {reason}: {count}"
    for key in names:
        theirs, ours = (
            baseline[part]["metrics"][key] for part in ("evaluation", "model_evaluation")
        )
        if theirs is not None and ours is not None:  # it may have fewer comparisons
            yield (
                f"{_figure(key, theirs)}  (the model on the same images "
                f"{_number(key, ours)}{_unit(key)})"
            )
    yield from _with_failures(baseline["generalised"])


def _with_failures(generalised: Mapping[str, Any] | None) -> Iterator[str]:
    if generalised and generalised["failures"]:
        point = generalised["points"]["eer"]
        yield (
            f"with {sum(generalised['failures'].values())} failures to extract as non-matches, at "
            f"the EER threshold: GFRR {100 * point['gfrr']:.2f} %, GFAR {100 * point['gfar']:.2f} %"
        )


def _figure(key: str, value: float) -> str:
    return f"{_NAMES[key]:<13} {_number(key, value):>6}{_unit(key)}"


def _interval(key: str, bounds: tuple[float, float], sign: str = "") -> str:
    return "90 % interval " + " to ".join(_number(key, bound, sign) for bound in bounds)


def _doubt(key: str, evaluation: Mapping[str, Any]) -> str:
    """What makes a figure surer than it is to be taken for, or nothing."""
    point = evaluation["operating_points"].get(key.replace("vr_far", "fmr"))
    if key.startswith("vr_") and not point["supported"]:
        return "  (too few impostor comparisons to be sure of, by the rule of 30)"
    bounds = ((evaluation["intervals"] or {}).get("bounds") or {}).get(key)
    if bounds and bounds[0] == bounds[1] and key not in _DECIMALS:
        persons = evaluation["counts"]["persons"]
        return f"  (no width: no resample of the {persons} persons differed)"
    return ""


def _difference(key: str, found: Mapping[str, Any] | None) -> str:
    if found is None:
        return ""
    interval = f" ({_interval(key, found['interval'], '+')})" if found["interval"] else ""
    return f"  {_number(key, found['difference'], '+')}{interval}"


def _number(key: str, value: float, sign: str = "") -> str:
    if key in _DECIMALS:
        return f"{value:{sign}.{_DECIMALS[key]}f}"
    return f"{100 * value:{sign}.2f}"


def _unit(key: str) -> str:
    return "" if key in _DECIMALS else " %"
