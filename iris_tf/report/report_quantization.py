"""Section of the report on quantised networks."""

from collections.abc import Iterable, Iterator

from iris_tf.report.quantization_plots import accuracy_by_bits_plot, bits_by_layer_plot
from iris_tf.report.quantization_table import table_cells
from iris_tf.report.report_data import Report
from iris_tf.report.report_html import figure_caption, table_caption
from iris_tf.report.report_images import image_tag
from iris_tf.report.report_tables import Cell, Column, Line, table


def quantization(report: Report, tables: Iterator[int], figures: Iterator[int]) -> Iterable[str]:
    """Table and figures of the quantised networks; nothing without any."""
    rows = report.quantization
    if not rows:
        return
    heads, cells = table_cells(rows)
    columns = [Column(head, numeric=i > 0) for i, head in enumerate(heads)]
    source = " on synthetic eyes" if report.synthetic else ""
    yield "<section><h2>Quantised networks</h2>"
    yield table_caption(
        tables,
        f"Quantised networks{source}: average bits of a weight, and size of the packed file (of "
        "float32, 4 bytes a parameter). In brackets 90 % intervals, of differences on the same "
        "resamples.",
    )
    yield table(columns, [Line(list(map(Cell, line))) for line in cells], "Quantised networks")
    yield '<figure><div class="panels">'
    yield image_tag(accuracy_by_bits_plot(rows), "EER by average bits of a weight")
    text = "Equal error rate by average bits of a weight, with 90 % intervals."
    if any(row.scheme == "mixed" for row in rows):
        yield image_tag(bits_by_layer_plot(rows), "Average bits of each layer by iteration")
        text += " Next to it: average bits of each layer in each iteration of mixed precision."
    yield "</div>" + figure_caption(figures, text) + "</figure></section>"
