"""One table of the quantised networks of a run (Kolf et al., Tables 4 and 5)."""

from collections.abc import Sequence

from iris_tf.config.names import FMRS
from iris_tf.evaluation.evaluation_result import ModelResult
from iris_tf.report.report_data import QuantizationRow
from iris_tf.report.report_words import NOTHING

_RATES = {"vr_far_1e-2": "VR@FAR=1 %, %"} | {
    f"fnmr_{name}": f"FNMR@FMR={name.removeprefix('fmr_')}, %" for name in FMRS
}
_PARTS = ("weights", "mask", "numbers", "graph")


def quantization_table(rows: Sequence[QuantizationRow], data: str) -> str:
    """Write the table as Markdown.

    Parameters
    ----------
    rows : sequence of QuantizationRow
        The first is the float network.
    data : str
        What the networks were measured on.
    """
    counts = rows[0].result.metrics.counts
    heads, cells = table_cells(rows)
    lines = [
        f"## Quantised networks, measured on {data}",
        "",
        f"{counts.images:,} images of {counts.identities:,} identities, "
        f"{counts.genuine_comparisons:,} genuine and {counts.impostor_comparisons:,} impostor "
        "comparisons.",
        "",
        _line(heads),
        _line(["---"] * len(heads)),
        *map(_line, cells),
        "",
        "Intervals are 90 %, by bootstrap over subjects; differences are of the same images and "
        "resamples. FNMR is shown where the comparisons support it (rule of 30). Size: of the "
        "packed file: weights at their own widths, which the mask states; numbers are scales and "
        "what is float. Size of float32: 4 bytes a parameter.",
    ]
    return "\n".join(lines) + "\n"


def table_cells(rows: Sequence[QuantizationRow]) -> tuple[list[str], list[list[str]]]:
    """Headings and cells of the table, rates in per cent; rates that no row supports are left out.

    Parameters
    ----------
    rows : sequence of QuantizationRow
        The first is the float network.
    """
    rates = [
        name for name in _RATES if any(row.result.metrics.values[name] is not None for row in rows)
    ]
    heads = ["network", "average bits", "size, KiB", f"of which {', '.join(_PARTS)}"]
    heads += ["EER, %", "EER, difference to float32"]
    heads += [_RATES[name] for name in rates]
    return heads, [
        [
            row.name,
            f"{row.average_bits:.2f}",
            _kib(row.bytes),
            ", ".join(_kib(row.parts[part]) for part in _PARTS) if row.parts else NOTHING,
            _with_bounds(row.result, "eer"),
            _difference(row.result),
            *(_rate(row.result.metrics.values[name]) for name in rates),
        ]
        for row in rows
    ]


def _kib(size: int) -> str:
    return f"{size / 1024:,.0f}"


def _with_bounds(result: ModelResult, name: str) -> str:
    bounds = result.metrics.bounds(name)
    interval = f" ({100 * bounds[0]:.2f} to {100 * bounds[1]:.2f})" if bounds else ""
    return _rate(result.metrics.values[name]) + interval


def _difference(result: ModelResult) -> str:
    found = result.differences.get("eer")
    if found is None:
        return NOTHING
    interval = ""
    if found.interval:
        low, high = found.interval
        interval = f" ({100 * low:+.2f} to {100 * high:+.2f})"
    return f"{100 * found.difference:+.2f}{interval}"


def _rate(value: float | None) -> str:
    return NOTHING if value is None else f"{100 * value:.2f}"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
