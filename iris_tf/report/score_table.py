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
        for name, point in row.metrics.card_points.items():
            both = (row.generalised or {}).get("card_points", {}).get(name, {})
            model = Cell(row.model), Cell(row.precision or NOTHING)
            lines.append(
                Line([*model, Cell(name), *_errors(point, both.get("gfrr")), *_search(point)])
            )
    columns = [
        Column("model", False), Column("precision", False), Column("at", False),
        Column("threshold"), Column("FMR\nover claim"), Column("FNMR (%)"),
        Column("of conclusive\nalone (%)"), Column("with\nfailures (%)"),
        Column("search:\nFPIR (%)"), Column("search:\nFNIR (%)"),
    ]  # fmt: skip
    return table(columns, lines, "Decisions by score") if lines else ""


def scores_caption(rows: Sequence[ReportRow]) -> str:
    """What the table of `scores_table` shows, as HTML."""
    shares = "; ".join(
        f"{row.label}: {percent(scores.inconclusive_genuine)} % of the genuine and "
        f"{percent(scores.inconclusive_impostor)} % of the impostor comparisons, and the EER of "
        f"all others is {percent(scores.conclusive_eer)} %"
        for row in rows
        if (scores := row.metrics.scores)
    )
    return (
        "Decisions by score at the operating points of the model card, whose thresholds were fixed "
        "before. FMR over claim: the measured FMR over that of the operating point; a dash where "
        "fewer than 30 false matches are expected. FNMR: inconclusive comparisons count as "
        "non-matches; next to it, of conclusive comparisons alone, and with failures to extract "
        "as non-matches, too. Search: the threshold is raised by the size of the gallery, so that "
        "the FPIR is the FMR of the operating point; few probes show only that it is not far off. "
        f"Inconclusive are, of {escaped(shares)}."
    )


def _errors(point: ScorePointErrors, with_failures: float | None) -> list[Cell]:
    over = point.fmr_over_claim
    return [
        Cell(f"{point.threshold:.3f}", point.threshold),
        Cell(
            NOTHING if over is None else f"{over:.2f}",
            over,
            _bounds(point.interval_over_claim, "{:.2f}".format),
        ),
        Cell(percent(point.fnmr), point.fnmr, _bounds(point.fnmr_interval, percent)),
        Cell(percent(point.conclusive_fnmr), point.conclusive_fnmr),
        Cell(percent(with_failures), with_failures),
    ]


def _search(point: ScorePointErrors) -> list[Cell]:
    if point.search is None:
        return [Cell(NOTHING), Cell(NOTHING)]
    small = "" if point.search.supported else "few probes"
    return [
        Cell(percent(point.search.fpir), point.search.fpir, small),
        Cell(percent(point.search.fnir), point.search.fnir),
    ]


def _bounds(bounds: Sequence[float] | None, written: Callable[[float], str]) -> str:
    return "–".join(map(written, bounds)) if bounds else ""
