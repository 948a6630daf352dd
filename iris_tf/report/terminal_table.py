"""The table of results of a run, for a terminal."""

from collections.abc import Sequence

from rich import box
from rich.table import Table
from rich.text import Text

from iris_tf.report.report_data import ReportRow
from iris_tf.report.report_words import HEADINGS, interval, table_cells


def format_table(rows: Sequence[ReportRow], title: str = "") -> Table:
    """Format the table of results.

    Parameters
    ----------
    rows : sequence of ReportRow
        Lines in order; reference lines are dimmed and marked.
    title : str, optional
        Line above the table, e.g. the dataset and the split.
    """
    small_print = any(interval(row, "eer") for row in rows)
    table = Table(
        title=title or None,
        caption="second lines: 90 % confidence intervals" if small_print else None,
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )
    for i, heading in enumerate(HEADINGS):
        table.add_column(heading, justify="left" if i < 2 else "right", no_wrap=i > 0)
    for row in rows:
        cells = [Text(f"{value}\n{ci}" if ci else value) for value, ci in table_cells(row)]
        if row.reference:
            cells[0].append(" (reference)")
        table.add_row(*cells, style="dim" if row.reference else None)
    return table
