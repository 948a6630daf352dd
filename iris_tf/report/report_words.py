"""Figures in words: percentages, intervals, cells of the table of results, the verdict."""

from collections.abc import Callable, Mapping, Sequence

from iris_tf.metrics.metrics import Metrics
from iris_tf.metrics.scales import SIMILARITIES, Scale
from iris_tf.report.report_data import ReportRow

HEADINGS = ("model", "precision", "EER (%)", "VR@FAR=1% (%)", "CMC@1 (%)", "MiB", "ms")
NOTHING = "–"
SPACE = "\N{NO-BREAK SPACE}"
"""Between a number and its unit."""

_SIMILAR_IN_SIZE = 1.1  # the few KiB of attention are no reason to prefer a model without it


def percent(rate: float | None) -> str:
    """A share in per cent with two decimals, without the unit: ``"3.14"``."""
    return NOTHING if rate is None else f"{100 * rate:.2f}"


def interval(row: ReportRow, metric: str, written: Callable[[float], str] = percent) -> str:
    """Confidence interval of a figure, in per cent by default; empty without one.

    Examples
    --------
    ``"2.95–3.40"``; with `written` as ``"{:.4f}".format``, ``"0.9876–0.9912"``.
    """
    bounds = row.metrics.bounds(metric)
    return "–".join(map(written, bounds)) if bounds else ""


def table_cells(row: ReportRow) -> list[tuple[str, str]]:
    """Value and confidence interval (may be empty) under each of `HEADINGS`."""
    values = row.metrics.values
    return [
        (row.model, ""),
        (row.precision or NOTHING, ""),
        (percent(values["eer"]), interval(row, "eer")),
        (percent(values["vr_far_1e-2"]), interval(row, "vr_far_1e-2")),
        (percent(values["cmc_1"]), interval(row, "cmc_1")),
        (NOTHING if row.bytes is None else f"{row.bytes / 2**20:.2f}", ""),
        (NOTHING if row.latency_ms is None else f"{row.latency_ms:.1f}", ""),
    ]


def comparison_value(value: float, scale: Scale) -> str:
    """A similarity or a score; of scores, the lowest is that of inconclusive comparisons."""
    if scale is SIMILARITIES:
        return f"{value:.4f}"
    return "inconclusive" if value <= scale.lowest else f"{value:.2f}"


def compared_by(metrics: Mapping[str, Metrics]) -> str:
    """By what models were compared, without a full stop.

    Parameters
    ----------
    metrics : mapping of str to Metrics
        By the name of a model; at least one.

    Examples
    --------
    ``"Compared by score"``, ``"Compared by score: new.tflite; by similarity: old.tflite"``
    """
    names: dict[str, list[str]] = {}
    for name, found in metrics.items():
        names.setdefault(found.scale.name, []).append(name)
    if len(names) == 1:
        return f"Compared by {next(iter(names))}"
    parts = (f"by {scale}: {' and '.join(models)}" for scale, models in names.items())
    return f"Compared {'; '.join(parts)}"


def collapse_note(models: Sequence[str]) -> str:
    """Why all scores of these models are the same, and what to do."""
    return (
        f"All scores of {' and of '.join(models)} are the same: the embeddings have collapsed onto "
        "one point, and the figures mean nothing. After few training steps, the usual cause is "
        "batch normalisation: its moving statistics, with which a finished model computes, are not "
        "yet those of the training images. Train for more steps, or lower "
        "network.batchnorm_momentum; if the training warned of a collapse, follow that warning."
    )


def three_digits(value: float | None) -> str:
    """A number with three decimal places, or a dash."""
    return NOTHING if value is None else f"{value:.3f}"


def verdict(rows: Sequence[ReportRow]) -> str:
    """Up to three sentences: the best model, the best small one, and whether training helped.

    "Clearly better" than a reference means that the confidence intervals of the two EERs
    do not overlap.
    """
    trained = [row for row in rows if row.trained]
    references = [row for row in rows if row.reference]
    if not trained:
        return "No trained model was evaluated."

    def size(row: ReportRow) -> float:
        return float("inf") if row.bytes is None else row.bytes

    def bounds(row: ReportRow) -> list[float]:
        return row.metrics.bounds("eer") or [row.eer, row.eer]

    def figures(row: ReportRow) -> str:
        ci = interval(row, "eer")
        parts = f"EER {percent(row.eer)}{SPACE}%" + (f" (90{SPACE}% CI {ci})" if ci else "")
        return parts if row.bytes is None else f"{parts} at {row.bytes / 2**20:.2f}{SPACE}MiB"

    best = min(trained, key=lambda row: (row.eer, size(row)))
    least = min(map(size, trained))
    small = [row for row in trained if size(row) <= _SIMILAR_IN_SIZE * least]
    compact = min(small, key=lambda row: (row.eer, size(row)))
    text = f"Lowest error: {best.label}, {figures(best)}."
    if compact.model != best.model:
        text += f" Best of the smallest files: {compact.label}, {figures(compact)}."
    if references:
        against = " and ".join(f"{row.model} {percent(row.eer)}{SPACE}%" for row in references)
        floor = min(bounds(row)[0] for row in references)
        better = [row for row in trained if bounds(row)[1] < floor]
        if len(better) == len(trained):
            clause = "All trained models are clearly better than the references"
        elif better:
            clause = (
                f"{len(better)} of {len(trained)} lines of trained models are clearly better "
                "than the references"
            )
        else:
            clause = "No trained model is clearly better than the references"
        text += f" {clause} ({against})."
    return text
