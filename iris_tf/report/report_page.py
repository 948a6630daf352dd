"""The report as one HTML page that needs no other file."""

import itertools
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from iris_tf.config.names import ACROSS_DATASETS, ALL_PAIRS, PAIR_LISTS, SAME_EYE
from iris_tf.metrics.scales import SCORES, SIMILARITIES
from iris_tf.report import (
    report_figures,
    report_folds,
    report_quantization,
    report_results,
    report_tables,
)
from iris_tf.report.report_data import Report
from iris_tf.report.report_html import escaped, unbroken
from iris_tf.report.report_style import CSS, SCRIPT
from iris_tf.report.report_words import collapse_note, verdict
from iris_tf.support.errors import EvaluationError
from iris_tf.support.files import write_text
from iris_tf.support.version import __version__

_COMPARED = {
    ALL_PAIRS: "Every image was compared once with every other image of its dataset, left with "
    "right eyes included.",
    SAME_EYE: "Every image was compared once with every other image of its dataset, but left with "
    "left and right with right eyes only.",
    ACROSS_DATASETS: "Every image was compared once with every other image, those of other "
    "datasets as impostors included.",
    PAIR_LISTS: "Only the listed comparisons were made, so there is no identification.",
}
_SCALES = {
    SIMILARITIES.name: "By similarity: comparisons are cosines of embeddings (of phase codes, at "
    "the best rotation), counted at a resolution of 2.4e-7, ties together.",
    SCORES.name: "By score: comparisons are natural logarithms of the likelihood ratio same eye : "
    "different eyes, counted at a resolution of 1.2e-4, ties together. Inconclusive comparisons "
    "show too little to decide; in all figures they rank below all others, and in d′ and "
    f"histograms they count as {SCORES.lowest:.0f}.",
}
_DEFINITIONS = (
    "A comparison is genuine if both images show the same eye; all others are impostor "
    "comparisons.",
    "EER: error rate where false match rate and false non-match rate, interpolated linearly "
    "between neighbouring scores, are equal.",
    "VR@FAR=1 %: share of genuine comparisons accepted at the most lenient threshold that "
    "accepts at most 1 % of impostor comparisons.",
    "CMC@1: closed-set identification, each image against all others; share of probes whose own "
    "identity has the best score, ties counted as errors. Images without another image of their "
    "identity are not probes.",
)


def write_report(path: str | Path, report: Report) -> None:
    """Write the page: text, tables and images in one HTML file, whole or not at all.

    Parameters
    ----------
    path : str or Path
        File to write, e.g. ``runs/demo/report.html``.
    report : Report
        What to show; it needs at least one row.

    Raises
    ------
    EvaluationError
        If there is no row.
    """
    if not report.rows:
        raise EvaluationError("a report needs at least one evaluated model; evaluate one first.")
    write_text(path, render(report))


def render(report: Report) -> str:
    """Write the whole page as HTML.

    Parameters
    ----------
    report : Report
        With at least one row.
    """
    tables, figures = itertools.count(1), itertools.count(1)
    parts = [
        "<!DOCTYPE html>", '<html lang="en">', "<head>", '<meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{escaped(report.title)}</title>", f"<style>{CSS}</style>", "</head>", "<body>",
        *_head(report), *_counts(report), *report_results.results(report, tables),
        *report_results.decisions(report, tables),
        *report_folds.folds(report, tables, figures),
        *report_quantization.quantization(report, tables, figures),
        *report_figures.curves(report, figures), *report_results.details(report, tables),
        *report_results.slices(report, tables, figures), *report_figures.worst_comparisons(report),
        *report_figures.saliency(report), *report_figures.training(report, figures),
        *report_figures.crops(report), *_data(report),
        "<footer>Written by iris_tf " + escaped(__version__) + ".</footer>",
        f"<script>{SCRIPT}</script>", "</body>", "</html>",
    ]  # fmt: skip
    return "\n".join(parts) + "\n"


def _head(report: Report) -> Iterable[str]:
    yield "<header>"
    yield f"<h1>{escaped(report.title)}</h1>"
    yield f'<p class="where">{escaped(report.dataset)}, {escaped(report.evaluated_on)}</p>'
    if report.synthetic:
        yield (
            '<p><span class="synthetic">Synthetic eyes: these figures say nothing about '
            "real ones</span></p>"
        )
    yield f'<p class="verdict">{unbroken(escaped(report.conclusion or verdict(report.rows)))}</p>'
    if collapsed := [row.label for row in report.rows if row.metrics.collapsed]:
        yield f'<p class="collapsed">{escaped(collapse_note(collapsed))}</p>'
    yield "</header>"


def _counts(report: Report) -> Iterable[str]:
    counts = report.rows[0].metrics.counts
    # All rows are of the same images, but references do not state failures.
    generalised = next((row.generalised for row in report.rows if row.generalised), None)
    items = [
        (f"{counts.images:,}", "images"),
        (f"{counts.identities:,}", "identities (eyes)"),
        (f"{counts.subjects:,}", "subjects"),
        (f"{counts.genuine_comparisons:,}", "genuine comparisons"),
        (f"{counts.impostor_comparisons:,}", "impostor comparisons"),
    ]
    if generalised:
        failed, share = generalised["failures"], f"{100 * generalised['failure_rate']:.2f} %"
        items.append(
            (
                f"{sum(failed.values()):,}",
                f"failures to extract, {share} of the images{_reasons(failed)}",
            )
        )
    yield '<section><h2>What was compared</h2><ul class="counts">'
    yield from (f"<li><b>{number}</b> {escaped(label)}</li>" for number, label in items)
    yield "</ul></section>"


def _reasons(failures: Mapping[str, int]) -> str:
    reasons = ", ".join(
        f"{reason} {count:,}" for reason, count in sorted(failures.items()) if count
    )
    return f" ({reasons})" if reasons else ""


def _data(report: Report) -> Iterable[str]:
    yield '<section class="facts"><div><h2>Data</h2>'
    if report.splits:
        yield report_tables.splits_table(report.splits)
    yield (
        f'<p class="caption">Images without a crop, all splits: '
        f"{sum(report.failures.values()):,}{escaped(_reasons(report.failures))}. The figures "
        "above refer to the other images.</p>"
    )
    yield "</div><div><h2>Machine</h2><dl>"
    for name, value in _environment(report.environment):
        yield f"<dt>{escaped(name)}</dt><dd>{escaped(value)}</dd>"
    yield "</dl></div></section>"
    yield '<section><h2>Definitions and notes</h2><ul class="notes">'
    compared = _COMPARED[report.rows[0].metrics.protocol]
    scales = dict.fromkeys(row.metrics.scale.name for row in report.rows)
    sentences = [compared, *report.notes, *_DEFINITIONS, *(_SCALES[name] for name in scales)]
    if any(row.reference for row in report.rows):
        sentences.append(
            "Raw pixels: correlation of the grey levels of two crops, an untrained baseline."
        )
    yield from (f"<li>{unbroken(escaped(sentence))}</li>" for sentence in sentences)
    yield "</ul></section>"


def _environment(machine: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    for name, value in machine.items():
        if isinstance(value, Mapping):
            yield from ((str(key), str(item)) for key, item in value.items())
        elif value is not None and name.endswith("_bytes"):
            yield name.removesuffix("_bytes"), f"{value / 2**30:.1f} GiB"
        elif value is not None:
            yield name, str(value)
