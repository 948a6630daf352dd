"""Sections of the report with tables: results, verification, identification, cost and slices."""

from collections.abc import Iterable, Iterator

from iris_tf.report import report_plots, report_tables
from iris_tf.report.report_data import Report
from iris_tf.report.report_html import escaped, figure_caption, table_caption
from iris_tf.report.report_images import image_tag
from iris_tf.report.report_words import compared_by
from iris_tf.report.score_table import scores_caption, scores_table


def results(report: Report, tables: Iterator[int]) -> Iterable[str]:
    """The table of results, and that of the differences between models."""
    yield "<section><h2>Results</h2>"
    yield report_tables.results_table(report.rows)
    labelled = not report.synthetic or "synthetic" in report.dataset.lower()
    text = f"{escaped(report.dataset)}{'' if labelled else ' (synthetic)'}, "
    text += f"{escaped(report.evaluated_on)}. "
    text += escaped(compared_by({row.label: row.metrics for row in report.rows})) + ". "
    if intervals := report.rows[0].metrics.intervals:
        subjects = report.rows[0].metrics.counts.subjects
        text += (
            f"Small print under a figure: {100 * intervals.level:.0f} % confidence "
            f"interval from {intervals.resamples:,} bootstrap resamples of subjects. An interval "
            "of zero width (no error in any resample) does not mean that errors are impossible: "
            f"if {100 * (1 - 0.05 ** (1 / subjects)):.1f} % of all subjects had an error, one of "
            f"twenty samples of {subjects} subjects would contain none. "
        )
    text += "MiB: size of the model file. "
    if any(row.latency_ms is not None for row in report.rows):
        text += "ms: median inference time for one crop on one thread of the processor below. "
    if any(row.reference for row in report.rows):
        text += "Reference lines are untrained baselines. "
    yield table_caption(tables, text + "Click on a heading to sort.")
    yield "</section>"
    if report.differences:
        yield "<section><h2>Differences</h2>"
        yield report_tables.differences_table(report.differences)
        first = report.compared_with or report.rows[0].model
        yield table_caption(
            tables,
            f"Figure of the model minus that of {escaped(first)}, in percentage "
            "points (AUC and d′ in their own units), with intervals from the paired "
            "bootstrap: the same subjects are drawn for both. A model is called better or worse "
            "if the interval excludes 0.",
        )
        yield "</section>"


def decisions(report: Report, tables: Iterator[int]) -> Iterable[str]:
    """Errors at the operating points of the model cards; nothing without scores."""
    if by_score := scores_table(report.rows):
        yield "<section><h2>Decisions by score</h2>"
        yield by_score
        yield table_caption(tables, scores_caption(report.rows))
        yield "</section>"


def details(report: Report, tables: Iterator[int]) -> Iterable[str]:
    """Tables of verification, operating points, identification and cost."""
    rows = report.rows
    yield "<section><h2>Verification</h2>"
    yield report_tables.verification_table(rows)
    yield table_caption(
        tables,
        "FNMR at the most lenient threshold whose FMR is at most the one in the heading. A dash: "
        "fewer than 30 false matches are expected at that FMR (rule of 30), so no figure is "
        "stated. AUC: area under the ROC curve. d′: distance of the two means in units of the "
        "root mean square of the two standard deviations.",
    )
    yield report_tables.thresholds_table(rows)
    yield table_caption(
        tables,
        "Thresholds (a comparison with at least this score is a match) and the errors counted "
        "there. GFAR and GFRR: the same with failures to extract counted as non-matches; a dash "
        "where failures are not known.",
    )
    yield "</section>"
    if identification := report_tables.identification_table(rows):
        yield "<section><h2>Identification</h2>"
        yield identification
        caption = "CMC: closed set. FNIR@FPIR: open set; "
        if found := rows[0].metrics.open_set:
            caption += (
                f"means over {found.draws} random galleries of half of the subjects "
                f"({found.enrolled:,.0f} eyes enrolled, {found.mated_probes:,.0f} mated and "
                f"{found.non_mated_probes:,.0f} non-mated probes). "
            )
        yield table_caption(
            tables,
            caption + "Few probes: fewer than 30 false positives are "
            "expected, so the figure is uncertain. Intervals of FNIR are conditional on the "
            "galleries drawn.",
        )
        yield "</section>"
    if report.taught:
        yield "<section><h2>Distillation</h2>"
        yield report_tables.teachers_table(report.taught)
        yield table_caption(
            tables,
            "Teachers on the same images as their students, at full precision and their own input "
            "size. Distance: mean of 1 − cosine between the embeddings of student and teacher; a "
            "dash where these differ in size. CKA: debiased linear centred kernel alignment of "
            "both, about 0 if unrelated, 1 if equal up to rotation and scale.",
        )
        yield "</section>"
    if cost := report_tables.cost_table(rows):
        yield "<section><h2>Cost</h2>"
        yield cost
        yield table_caption(
            tables,
            "MiB: size of the file. Parameters: constants used by operations. MACs: "
            "multiply-accumulate operations of convolutions and matrix products for one crop."
            + _latency_caption(report),
        )
        yield "</section>"


def _latency_caption(report: Report) -> str:
    runs = {row.latency_runs for row in report.rows if row.latency_runs is not None}
    if not runs:
        return ""
    machine = report.environment.get("cpu", "the machine named below")
    counts = " or ".join(f"{count:,}" for count in sorted(runs))
    return (
        f" Latency: inference time for one crop on one thread of this host ({escaped(machine)}) "
        f"with LiteRT, median (p50) and 95th percentile (p95) of {counts} runs after warm-up. A "
        "p95 far above the median indicates a busy machine; times on a phone differ."
    )


def slices(report: Report, tables: Iterator[int], figures: Iterator[int]) -> Iterable[str]:
    """Tables and figures of the slices; nothing without slices."""
    parts, quality = (
        write(report.rows) for write in (report_tables.slices_table, report_tables.quality_table)
    )
    if not parts and not quality:
        return
    at = "at the whole set's threshold for an FMR of 1e-2"
    yield "<section><h2>Slices</h2>"
    if parts:
        yield parts
        yield table_caption(
            tables,
            f"EER within each slice; FMR and FNMR {at}. Same and different "
            "dilation: genuine comparisons divided at the median difference of the "
            "ratio of pupil to iris radius.",
        )
    if quality:
        yield quality
        yield table_caption(
            tables,
            f"FNMR {at}, by quarter of the genuine comparisons; the quality of a "
            "comparison is that of the worse of its two images.",
        )
        yield '<figure><div class="panels">'
        for row in report.rows:
            if (row.slices or {}).get("quality"):
                yield image_tag(
                    report_plots.discard_plot(row, report_tables.SLICE_THRESHOLD),
                    f"Error-versus-discard curves of {row.label}",
                )
        yield (
            "</div>"
            + figure_caption(
                figures,
                f"Error versus discard: FNMR {at} of the genuine "
                "comparisons that remain when those of the worst quality are discarded. The curve "
                "of a quality figure that identifies difficult images falls. The scale need not "
                "start at 0.",
            )
            + "</figure>"
        )
    yield "</section>"
