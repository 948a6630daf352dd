"""The report's table of decisions by score."""

from collections.abc import Callable, Sequence

from iris_tf.metrics.score_figures import ScorePointErrors
from iris_tf.report.report_data import ReportRow
from iris_tf.report.report_html import escaped
from iris_tf.report.report_tables import Cell, Column, Line, table
from iris_tf.report.report_words import NOTHING, percent


def scores_table(rows: Sequence[ReportRow]) -> str:
    """Errors of decisions by score at the operating points of the card; "" without scores."""
    lines = []
    for row in rows:
        points = row.metrics.scores.points if row.metrics.scores else {}
        for name, point in points.items():
            model = Cell(row.model), Cell(row.precision or NOTHING)
            lines.append(Line([*model, Cell(name), *_errors(point)]))
    columns = [
        Column("model", False), Column("precision", False), Column("at", False),
        Column("threshold"), Column("FMR\nover claim"), Column("FNMR (%)"),
    ]  # fmt: skip
    return table(columns, lines, "Decisions by score") if lines else ""


def scores_caption(rows: Sequence[ReportRow]) -> str:
    """What the table of `scores_table` shows, as HTML."""
    shares = "; ".join(
        f"{row.label}: EER of the scores {percent(scores.eer)} %, "
        f"{percent(scores.inconclusive_genuine)} % of the genuine, "
        f"{percent(scores.inconclusive_impostor)} % of the impostor comparisons"
        for row in rows
        if (scores := row.metrics.scores)
    )
    return (
        "Decisions by score at the operating points of the model card, whose thresholds were fixed "
        "before. FMR over claim: the measured FMR over that of the operating point; a dash where "
        "fewer than 30 false matches are expected. Inconclusive comparisons count as non-matches; "
        f"{escaped(shares)} are inconclusive. All other tables are of similarities."
    )


def _errors(point: ScorePointErrors) -> list[Cell]:
    over = point.fmr_over_claim
    return [
        Cell(f"{point.threshold:.3f}", point.threshold),
        Cell(
            NOTHING if over is None else f"{over:.2f}",
            over,
            _bounds(point.interval_over_claim, "{:.2f}".format),
        ),
        Cell(percent(point.fnmr), point.fnmr, _bounds(point.fnmr_interval, percent)),
    ]


def _bounds(bounds: Sequence[float] | None, written: Callable[[float], str]) -> str:
    return "–".join(map(written, bounds)) if bounds else ""
