"""Section of the report on protocols with folds: accuracy, and figures against the threshold."""

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from iris_tf.metrics.threshold_sweep import FIGURES
from iris_tf.report.report_data import Report
from iris_tf.report.report_html import figure_caption, table_caption
from iris_tf.report.report_images import image_tag
from iris_tf.report.report_plots import COLOURS, new_figure, png, style
from iris_tf.report.report_tables import Cell, Column, Line, table

if TYPE_CHECKING:  # slow to import
    from matplotlib.axes import Axes

_NAMES = {name: name.replace("f1", "F1") for name in FIGURES}


def folds(report: Report, tables: Iterator[int], figures: Iterator[int]) -> Iterable[str]:
    """Tables and figures of the protocol's folds; nothing without folds."""
    if not report.folds:
        return
    first = next(iter(report.folds.values()))
    source = " on synthetic images" if report.synthetic else ""
    yield "<section><h2>Accuracy over folds</h2>"
    columns = [Column("model", numeric=False), Column("accuracy %"), Column("FAR %"),
               Column("FRR %"), Column("F1 %"), Column("AUC")]  # fmt: skip
    lines = [
        Line(
            [
                Cell(name),
                Cell(
                    f"{100 * found['accuracy']:.2f}",
                    found["accuracy"],
                    f"± {100 * found['standard_error']:.2f}",
                ),
                *(Cell(f"{100 * found[rate]:.2f}", found[rate]) for rate in ("far", "frr", "f1")),
                Cell(f"{found['auc']:.4f}", found["auc"]),
            ]
        )
        for name, found in report.folds.items()
    ]
    yield table(columns, lines, "Accuracy over folds")
    yield table_caption(
        tables,
        f"{first['comparisons']:,} comparisons{source} in {len(first['accuracies'])} folds, each "
        "of which is decided at the threshold with the highest accuracy on the others. Small "
        "print: standard error of the mean over folds. AUC is of all comparisons.",
    )
    kinds = "best", "mean"
    columns = [Column("model", numeric=False)]
    columns += [Column(f"{_NAMES[name]} %,\n{kind}") for name in FIGURES for kind in kinds]
    lines = [
        Line(
            [Cell(model)]
            + [
                Cell(f"{100 * found['sweep'][name][kind]:.1f}", found["sweep"][name][kind])
                for name in FIGURES
                for kind in kinds
            ]
        )
        for model, found in report.folds.items()
    ]
    low, high = (first["sweep"]["thresholds"][i] for i in (0, -1))
    yield table(columns, lines, "Figures over thresholds")
    yield table_caption(
        tables,
        f"Best figure of all comparisons at a threshold of {low:.2f} to {high:.2f}, and the mean "
        "over these. Precision and F1 depend on the share of genuine comparisons.",
    )
    yield '<figure><div class="panels">'
    for name in FIGURES:
        yield image_tag(sweep_plot(report.folds, name), f"{_NAMES[name]} by threshold")
    text = (
        "Accuracy, precision, recall and F1 of all comparisons, by the threshold from which on a "
        "comparison is accepted."
    )
    yield "</div>" + figure_caption(figures, text) + "</figure></section>"


def sweep_plot(folds: Mapping[str, Mapping[str, Any]], name: str) -> bytes:
    """PNG of one of `FIGURES` against the threshold, a line for each model."""
    with style():
        figure, axes = new_figure(height=3.0)
        draw_sweep(axes, folds, name)
        return png(figure)


def draw_sweep(axes: "Axes", folds: Mapping[str, Mapping[str, Any]], name: str) -> None:
    """Draw what `sweep_plot` shows.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
    folds : mapping of str to mapping
        `iris_tf.evaluation.protocols.Protocol.fold_figures` by the name of a model.
    name : str
        One of `FIGURES`.
    """
    for i, (model, found) in enumerate(folds.items()):
        sweep = found["sweep"]
        values = [100 * value for value in sweep[name]["values"]]
        axes.plot(sweep["thresholds"], values, color=COLOURS[i % len(COLOURS)], label=model)
    axes.set_ylim(0, 102)
    axes.set_xlabel("threshold")
    axes.set_ylabel(f"{_NAMES[name]} (%)")
    if len(folds) > 1:
        axes.legend()
