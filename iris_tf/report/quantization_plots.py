"""Figures of quantised networks (Kolf et al., Figs. 2 and 3)."""

from collections.abc import Sequence

import numpy as np

from iris_tf.report.report_data import QuantizationRow
from iris_tf.report.report_plots import COLOURS, MARKERS, new_figure, png, style


def accuracy_by_bits_plot(rows: Sequence[QuantizationRow]) -> bytes:
    """EER against the average bits of a weight, with the float network as a line (Fig. 3)."""
    float_row, *quantised = rows
    with style():
        figure, axes = new_figure(height=3.2)
        axes.axhline(
            100 * float_row.result.metrics.eer, color="#444444", linestyle=(0, (3, 2)),
            linewidth=0.9, label=float_row.name,
        )  # fmt: skip
        for i, scheme in enumerate(dict.fromkeys(row.scheme for row in quantised)):
            points = [row for row in quantised if row.scheme == scheme]
            rates = np.array([100 * row.result.metrics.eer for row in points])
            bounds = [row.result.metrics.bounds("eer") for row in points]
            axes.errorbar(
                [row.average_bits for row in points],
                rates,
                yerr=_errors(rates, bounds),
                color=COLOURS[i],
                marker=MARKERS[i],
                markersize=4,
                elinewidth=0.8,
                label=scheme,
            )
        axes.set_yscale("symlog", linthresh=1.0)  # networks that fail are far off
        axes.set_ylim(0, None)
        axes.yaxis.set_major_formatter("{x:g}")
        axes.set_xlim(8.4, 1.6)  # as the iterations go
        axes.set_xlabel("average bits of a weight")
        axes.set_ylabel("EER (%)")
        axes.legend()
        return png(figure)


def _errors(rates: np.ndarray, bounds: Sequence[Sequence[float] | None]) -> np.ndarray | None:
    """Lengths of error bars below and above, in per cent; None without intervals."""
    known = [pair for pair in bounds if pair]
    if len(known) < len(rates):
        return None
    ends = 100 * np.array(known).T
    return np.maximum([rates - ends[0], ends[1] - rates], 0.0)


def bits_by_layer_plot(rows: Sequence[QuantizationRow]) -> bytes:
    """Average bits of each layer's weights in each iteration of mixed precision (Fig. 2)."""
    from matplotlib import colormaps

    mixed = [row for row in rows if row.scheme == "mixed"]
    with style():
        figure, axes = new_figure(height=3.2)
        shades = colormaps["viridis"](np.linspace(0.0, 0.9, len(mixed)))
        for row, shade in zip(mixed, shades, strict=True):
            bits = list(row.layers.values())
            axes.plot(
                np.arange(1, len(bits) + 1), bits, color=shade, linewidth=1.0, marker=".",
                markersize=3, label=f"{row.name.removeprefix(row.scheme)}: {row.average_bits:.2f}",
            )  # fmt: skip
        axes.set_ylim(0, 8.4)
        axes.set_xlabel("layer with weights, from input to output")
        axes.set_ylabel("average bits")
        figure.legend(
            loc="outside right upper", title="iteration:\naverage bits", title_fontsize=7.5
        )
        return png(figure)
