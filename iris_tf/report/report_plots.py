"""The report's figures, each a PNG for one column of a page.

Colours are Okabe and Ito's, which readers with colour vision deficiency can tell apart;
precision is also shown by line style. Figures are drawn without pyplot, so no display is needed.
"""

import io
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

import numpy as np

from iris_tf.config.precision import PRECISIONS
from iris_tf.metrics.scales import SCORES, SIMILARITIES
from iris_tf.report.det_curve import draw_curve, format_axes, lowest_fmr
from iris_tf.report.report_data import ReportRow, TrainingCurve

if TYPE_CHECKING:  # both libraries are slow to import, and most commands draw nothing
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_REFERENCE_COLOURS = ("#8A8A8A", "#B4B4B4")
MARKERS = "os^Dv*x"
_VALUES = {
    SIMILARITIES.name: "cosine similarity",
    SCORES.name: f"score, log-likelihood ratio ({SCORES.lowest:.0f}: inconclusive)",
}
_STYLE: Any = {
    "font.family": "sans-serif",
    "font.size": 8.5,
    "axes.titlesize": 9,
    "axes.labelsize": 8.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.7,
    "axes.grid": True,
    "grid.color": "#E3E3E3",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "lines.linewidth": 1.5,
    "legend.frameon": False,
    "legend.fontsize": 7.5,
    "text.parse_math": False,  # names may contain dollar signs
}


def model_colours(rows: Sequence[ReportRow]) -> dict[str, str]:
    """One colour per model, the same in all figures; references are grey."""
    colours: dict[str, str] = {}
    used = {True: 0, False: 0}
    for row in rows:
        if row.model not in colours:
            palette = _REFERENCE_COLOURS if row.reference else COLOURS
            colours[row.model] = palette[used[row.reference] % len(palette)]
            used[row.reference] += 1
    return colours


def det_plot(rows: Sequence[ReportRow], colours: Mapping[str, str]) -> bytes:
    """Detection error trade-off on probit axes."""
    with style():
        figure, axes = new_figure(height=4.1)
        for row in rows:
            draw_curve(
                axes, row.metrics.curves.det, color=colours[row.model], linestyle=_line_style(row)
            )
        format_axes(axes, lowest_fmr(*(row.metrics for row in rows)))
        return png(figure)


def cmc_plot(rows: Sequence[ReportRow], colours: Mapping[str, str]) -> bytes:
    """Cumulative match characteristic."""
    with style():
        figure, axes = new_figure(height=4.1)
        for row in rows:
            rates = 100 * np.array(row.metrics.curves.cmc)  # empty for listed pairs
            axes.plot(
                np.arange(1, len(rates) + 1),
                rates,
                color=colours[row.model],
                linestyle=_line_style(row),
                marker=".",
                markersize=3.5,
            )
        axes.set_xlim(0.5, None)
        axes.set_xticks([1, 5, 10, 15, 20])
        axes.set_ylim(None, 101)  # room for markers at 100, but no tick above
        low, high = axes.get_ylim()
        axes.set_yticks([tick for tick in axes.get_yticks() if low <= tick <= 100])
        axes.set_ylim(low, high)
        axes.set_xlabel("rank")
        axes.set_ylabel("own identity at this rank or better (% of probes)")
        return png(figure)


def histogram_plot(row: ReportRow) -> bytes:
    """Genuine and impostor scores of one row, with its EER threshold."""
    histogram = row.metrics.curves.histogram
    edges = np.array(histogram.edges)
    shares = {
        "impostor": 100 * np.array(histogram.impostor),
        "genuine": 100 * np.array(histogram.genuine),
    }
    filled = np.flatnonzero(sum(shares.values()) > 0)
    with style():
        figure, axes = new_figure(height=2.5)
        for kind, colour in (("impostor", "#D55E00"), ("genuine", "#0072B2")):
            axes.stairs(shares[kind], edges, fill=True, alpha=0.25, color=colour)
            axes.stairs(shares[kind], edges, color=colour, linewidth=1.2, label=kind)
        threshold = row.metrics.thresholds["eer"]
        axes.axvline(
            threshold,
            color="#444444",
            linewidth=0.9,
            linestyle=(0, (3, 2)),
            label=f"EER threshold {threshold:.2f}",
        )
        axes.set_xlim(edges[max(filled[0] - 1, 0)], edges[min(filled[-1] + 2, len(edges) - 1)])
        axes.set_ylim(0, 1.3 * max(values.max() for values in shares.values()))  # legend
        axes.set_title(row.label + (" (reference)" if row.reference else ""), loc="left")
        axes.set_xlabel(_VALUES[row.metrics.scale.name])
        axes.set_ylabel(f"% of comparisons per {edges[1] - edges[0]:.2g}")
        axes.legend(
            loc="upper right",
            ncols=3,
            columnspacing=1.0,
            handlelength=1.4,
            frameon=True,
            framealpha=0.9,
            edgecolor="none",
        )
        return png(figure)


def discard_plot(row: ReportRow, threshold: str) -> bytes:
    """Error-versus-discard curve of each quality figure, at a threshold given by name."""
    with style():
        figure, axes = new_figure(height=3.2)
        quality = (row.slices or {})["quality"]
        for i, (name, found) in enumerate(quality.items()):
            points = found["discard"]
            axes.plot(
                [100 * point["discarded"] for point in points],
                [100 * point["fnmr"][threshold] for point in points],
                color=COLOURS[i % len(COLOURS)],
                marker=MARKERS[i % len(MARKERS)],
                markersize=4,
                linewidth=1.2,
                label=name.replace("_", " "),
            )
        low, high = axes.get_ylim()
        axes.set_ylim(max(low, 0) if low > high / 2 else 0, min(high, 101))
        axes.set_xlabel("discarded (% of genuine comparisons)")
        axes.set_ylabel("FNMR of the remaining (%)")
        axes.set_title(row.label, loc="left")
        figure.legend(loc="outside lower left", ncols=3, columnspacing=1.0, handlelength=1.6)
        return png(figure)


def loss_plot(curves: Sequence[TrainingCurve], colours: Mapping[str, str]) -> bytes:
    """Training loss by epoch."""
    with style():
        figure, axes = new_figure(height=3.0)
        for curve, colour in _coloured(curves, colours):
            axes.plot(
                curve.epochs,
                curve.loss,
                color=colour,
                label=curve.model,
                marker="." if len(curve.epochs) < 30 else None,
            )
        axes.set_ylim(0, None)
        axes.set_ylabel("training loss")
        _finish_epochs(axes)
        return png(figure)


def val_eer_plot(curves: Sequence[TrainingCurve], colours: Mapping[str, str]) -> bytes:
    """Validation EER by epoch, where it was measured."""
    with style():
        figure, axes = new_figure(height=3.0)
        for curve, colour in _coloured(curves, colours):
            if curve.val_eer:
                axes.plot(
                    curve.epochs,
                    100 * np.array(curve.val_eer),
                    color=colour,
                    label=curve.model,
                    marker="." if len(curve.epochs) < 30 else None,
                )
        axes.set_ylim(0, None)
        axes.set_ylabel("validation EER (%)")
        _finish_epochs(axes)
        return png(figure)


def _coloured(
    curves: Sequence[TrainingCurve], colours: Mapping[str, str]
) -> list[tuple[TrainingCurve, str]]:
    spare = [c for c in COLOURS if c not in colours.values()] or list(COLOURS)
    unnamed = [curve.model for curve in curves if curve.model not in colours]
    extra = {model: spare[i % len(spare)] for i, model in enumerate(unnamed)}
    return [(curve, colours.get(curve.model) or extra[curve.model]) for curve in curves]


def _finish_epochs(axes: "Axes") -> None:
    axes.set_xlabel("epoch")
    axes.xaxis.get_major_locator().set_params(integer=True)  # type: ignore[call-arg]  # AutoLocator
    axes.legend(loc="upper right")


def line_styles() -> str:
    """Describe in words which line style stands for which precision."""
    return ", ".join(f"{precision.line} for {name}" for name, precision in PRECISIONS.items())


def _line_style(row: ReportRow) -> Any:
    precision = PRECISIONS.get(row.precision)
    return (0, precision.dashes) if precision and precision.dashes else "-"


def style() -> AbstractContextManager[None]:
    """Context in which figures have the report's style."""
    from matplotlib import rc_context, rcParamsDefault

    # Not the user's own style (matplotlibrc), which may need fonts or LaTeX. The backend is not
    # part of a style.
    default = {key: rcParamsDefault[key] for key in rcParamsDefault if "backend" not in key}
    return rc_context(default | _STYLE)


def new_figure(height: float) -> "tuple[Figure, Axes]":
    """Figure of one column's width, `height` in inches."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.4, height), layout="constrained")
    return figure, figure.add_subplot()


def png(figure: "Figure") -> bytes:
    """Content of a PNG file."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=200)
    return buffer.getvalue()
