"""The report as HTML: sections, figures and words."""

import html
import itertools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from iris_tf.evaluation.saliency import OcclusionMap
from iris_tf.report import report_plots, report_tables
from iris_tf.report.report_data import ComparedPair, Report, ReportRow
from iris_tf.report.report_images import (
    FALLS,
    RISES,
    crop_png,
    image_tag,
    is_strip,
    overlay_jpeg,
    small_jpeg,
)
from iris_tf.report.report_style import CSS, SCRIPT
from iris_tf.report.report_words import verdict
from iris_tf.support.errors import EvaluationError
from iris_tf.support.files import write_text
from iris_tf.support.version import __version__

_COMPARED = {
    "all-pairs": "Every image was compared with every other of its dataset once, left with right "
    "eyes included.",
    "same-eye": "Every image was compared with every other of its dataset once, but left with left "
    "and right with right eyes only.",
    "across-datasets": "Every image was compared with every other once, those of other datasets as "
    "impostors included.",
    "pair-lists": "Only the listed comparisons were made, so there is no identification.",
}
_DEFINITIONS = (
    "A comparison is genuine when both images show the same eye; all others are impostor "
    "comparisons. Scores are cosine similarities of embeddings (of phase codes, at their best "
    "turn), counted at a resolution of 2.4e-7, ties together.",
    "EER: error rate where false match rate and false non-match rate, joined by straight lines "
    "between neighbouring scores, are equal.",
    "VR@FAR=1 %: share of genuine comparisons accepted at the most lenient threshold that "
    "accepts no more than 1 % of impostor comparisons.",
    "CMC@1: closed-set identification, each image against all others; share of probes whose own "
    "identity has the best score, ties counted as errors. Identities with one image are not "
    "probes.",
)


def write_report(path: str | Path, report: Report) -> None:
    """Write the page: text, tables and images in one HTML file, whole or not at all.

    Parameters
    ----------
    path : str or Path
        File to write, e.g. ``runs/demo/report.html``.
    report : Report
        What to show; it needs at least one row.
    """
    if not report.rows:
        raise EvaluationError("a report needs at least one evaluated model; evaluate one first.")
    write_text(path, render(report))


def render(report: Report) -> str:
    """The whole page.

    Parameters
    ----------
    report : Report
        With at least one row.
    """
    tables, figures = itertools.count(1), itertools.count(1)
    parts = [
        "<!DOCTYPE html>", '<html lang="en">', "<head>", '<meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{_text(report.title)}</title>", f"<style>{CSS}</style>", "</head>", "<body>",
        *_head(report), *_counts(report), *_results(report, tables),
        *_curves(report, figures), *_details(report, tables), *_slices(report, tables, figures),
        *_worst(report), *_occlusion(report), *_training(report, figures), *_crops(report),
        *_data(report),
        "<footer>Written by iris_tf " + _text(__version__) + ".</footer>",
        f"<script>{SCRIPT}</script>", "</body>", "</html>",
    ]  # fmt: skip
    return "\n".join(parts) + "\n"


def _head(report: Report) -> Iterable[str]:
    yield "<header>"
    yield f"<h1>{_text(report.title)}</h1>"
    yield f'<p class="where">{_text(report.dataset)}, {_text(report.evaluated_on)}</p>'
    if report.synthetic:
        yield (
            '<p><span class="synthetic">Synthetic eyes: these figures say nothing about '
            "real ones</span></p>"
        )
    yield f'<p class="verdict">{_whole(_text(report.conclusion or verdict(report.rows)))}</p>'
    yield "</header>"


def _counts(report: Report) -> Iterable[str]:
    counts = report.rows[0].evaluation["counts"]
    # All rows are of the same images, but references are not told what failed.
    generalised = next((row.generalised for row in report.rows if row.generalised), None)
    items = [
        (f"{counts['images']:,}", "images"),
        (f"{counts['identities']:,}", "identities (eyes)"),
        (f"{counts['persons']:,}", "persons"),
        (f"{counts['genuine_comparisons']:,}", "genuine comparisons"),
        (f"{counts['impostor_comparisons']:,}", "impostor comparisons"),
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
    yield from (f"<li><b>{number}</b> {_text(label)}</li>" for number, label in items)
    yield "</ul></section>"


def _reasons(failures: Mapping[str, int]) -> str:
    reasons = ", ".join(
        f"{reason} {count:,}" for reason, count in sorted(failures.items()) if count
    )
    return f" ({reasons})" if reasons else ""


def _results(report: Report, tables: Iterator[int]) -> Iterable[str]:
    yield "<section><h2>Results</h2>"
    yield report_tables.results_table(report.rows)
    labelled = not report.synthetic or "synthetic" in report.dataset.lower()
    text = f"{_text(report.dataset)}{'' if labelled else ' (synthetic)'}, "
    text += f"{_text(report.evaluated_on)}. "
    if intervals := report.rows[0].evaluation["intervals"]:
        persons = report.rows[0].evaluation["counts"]["persons"]
        text += (
            f"Small print under a figure: {100 * intervals['level']:.0f} % confidence "
            f"interval from {intervals['resamples']:,} bootstrap resamples of persons. One "
            "without width (no error in any resample) does not say that there are none: of "
            f"{persons} persons without an error, as many would be seen in one of twenty "
            f"samples if {100 * (1 - 0.05 ** (1 / persons)):.1f} % of all persons had one. "
        )
    text += "MiB: size of the model file. "
    if any(row.latency_ms is not None for row in report.rows):
        text += "ms: median time of one crop on one thread of the processor named below. "
    if any(row.reference for row in report.rows):
        text += "Reference lines have learnt nothing. "
    yield _caption(tables, text + "A click on a heading sorts.")
    yield "</section>"
    if report.differences:
        yield "<section><h2>Differences</h2>"
        yield report_tables.differences_table(report.differences)
        first = report.compared_with or report.rows[0].model
        yield _caption(
            tables,
            f"Figure of the model minus that of {_text(first)}, in percentage "
            "points (of AUC and d′ in their own units), with intervals of the paired "
            "bootstrap: the same persons are drawn for both. Better or worse is said "
            "where the interval leaves out 0.",
        )
        yield "</section>"


def _details(report: Report, tables: Iterator[int]) -> Iterable[str]:
    rows = report.rows
    yield "<section><h2>Verification</h2>"
    yield report_tables.verification_table(rows)
    yield _caption(
        tables,
        "FNMR at the most lenient threshold whose FMR is at most the one "
        "named. A dash: by the rule of 30, at least 30 false matches must be expected "
        "at an FMR before a figure is given. AUC: area under the ROC curve. d′: "
        "distance of the two means in units of the root mean square of the two "
        "standard deviations.",
    )
    yield report_tables.thresholds_table(rows)
    yield _caption(
        tables,
        "Thresholds (a comparison that scores at least as much is a match) "
        "and errors there, as counted. GFAR and GFRR: the same with failures to "
        "extract counted as non-matches; a dash where failures are not known.",
    )
    yield "</section>"
    if identification := report_tables.identification_table(rows):
        yield "<section><h2>Identification</h2>"
        yield identification
        caption = "CMC: closed set. FNIR@FPIR: open set; "
        if opened := rows[0].evaluation.get("open_set"):
            caption += (
                f"means of {opened['draws']} draws of a gallery of half of the persons "
                f"({opened['enrolled']:,.0f} eyes enrolled, "
                f"{opened['mated_probes']:,.0f} mated and "
                f"{opened['non_mated_probes']:,.0f} non-mated probes). "
            )
        yield _caption(
            tables,
            caption + "Few probes: fewer than 30 false positives are "
            "expected, so the figure is uncertain. Intervals of FNIR hold for the "
            "galleries that were drawn.",
        )
        yield "</section>"
    if cost := report_tables.cost_table(rows):
        yield "<section><h2>Cost</h2>"
        yield cost
        yield _caption(
            tables,
            "MiB: size of the file. Parameters: constants that operations "
            "compute with. MACs: multiply-accumulate operations of convolutions and "
            "matrix products for one crop." + _latency_caption(report),
        )
        yield "</section>"


def _latency_caption(report: Report) -> str:
    runs = {row.latency_runs for row in report.rows if row.latency_runs is not None}
    if not runs:
        return ""
    machine = report.environment.get("cpu", "the machine named below")
    counts = " or ".join(f"{count:,}" for count in sorted(runs))
    return (
        f" Latency: time of one crop on one thread of this host ({_text(machine)}) with "
        f"LiteRT, median (p50) and 95th percentile (p95) of {counts} runs after some that "
        "warm up. A p95 far above the median tells of a busy machine; a phone has other times."
    )


def _slices(report: Report, tables: Iterator[int], figures: Iterator[int]) -> Iterable[str]:
    parts, quality = (
        write(report.rows) for write in (report_tables.slices_table, report_tables.quality_table)
    )
    if not parts and not quality:
        return
    at = "at the whole set's threshold for an FMR of 1e-2"
    yield "<section><h2>Slices</h2>"
    if parts:
        yield parts
        yield _caption(
            tables,
            f"EER within each slice; FMR and FNMR {at}. Same and different "
            "dilation: genuine comparisons parted at the median difference of the "
            "ratio of pupil to iris radius.",
        )
    if quality:
        yield quality
        yield _caption(
            tables,
            f"FNMR {at}, by quarter of the genuine comparisons; a comparison "
            "is as good as the worse of its two images.",
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
            + _figcaption(
                figures,
                f"Error versus discard: FNMR {at} of the genuine "
                "comparisons that are left when those of the worst quality are discarded. A "
                "quality figure that tells hard images from easy ones falls. The scale need not "
                "start at 0.",
            )
            + "</figure>"
        )
    yield "</section>"


def _worst(report: Report) -> Iterable[str]:
    if not report.worst:
        return
    yield "<section><h2>The worst comparisons</h2>"
    eyes = (
        "Synthetic eyes"
        if report.synthetic
        else ("Crops of real eyes: mind the terms of the dataset before this page is passed on")
    )
    yield (
        f'<p class="caption">{eyes}, ROI mode <code>{_text(report.roi_mode)}</code>. EER '
        "thresholds are in the table of operating points.</p>"
    )
    for number, worst in enumerate(report.worst):
        for kind, order, pairs in (
            ("Genuine", "lowest", worst.genuine),
            ("Impostor", "highest", worst.impostor),
        ):
            yield f"<details{' open' if number == 0 else ''}>"
            yield (
                f"<summary>{kind} comparisons of the {order} scores, {_text(worst.model)}</summary>"
            )
            # Algorithm 1 cuts a strip out of some eyes whose lids hide most of the iris.
            strips = [is_strip(crop) for pair in pairs for crop in pair.crops]
            wide = 2 * sum(strips) > len(strips)
            yield f'<ol class="pairs {"strip" if wide else "square"}">'
            for pair in pairs:
                yield from _pair(pair)
            yield "</ol></details>"
    yield "</section>"


def _pair(pair: ComparedPair) -> Iterable[str]:
    yield '<li><div class="both">'
    for name, crop in zip(pair.names, pair.crops, strict=True):
        yield image_tag(small_jpeg(crop), name, "jpeg")
    yield (
        f"</div><p><b>{pair.score:.4f}</b> {_text(pair.names[0])} and "
        f"{_text(pair.names[1])}</p></li>"
    )


def _occlusion(report: Report) -> Iterable[str]:
    if not any(report.occlusion.values()):
        return
    yield "<section><h2>What the embedding looks at</h2>"
    eyes = "Synthetic eyes" if report.synthetic else "Crops of real eyes"
    yield (
        f'<p class="caption">{eyes} at the network\'s input size, the worst quality first. A '
        "black square slides over the crop, and each pixel shows what that changes, as the mean "
        "of all squares that cover it. First the crop, then the change of its cosine "
        "similarity with itself uncovered, then with another image of the same eye; the full "
        "colour is the largest change of that eye. A square changes nothing where the crop is "
        "black.</p>"
    )
    for number, (model, maps) in enumerate(report.occlusion.items()):
        yield f"<details{' open' if number == 0 else ''}>"
        yield f"<summary>Occlusion maps of {_text(model)}</summary>"
        yield '<p class="legend">'
        for colour, change in (
            (FALLS, "less similar when covered"),
            (RISES, "more similar when covered"),
        ):
            yield f'<span><i class="ramp" style="--end:{colour}"></i>{change}</span>'
        wide = any(is_strip(found.crop) for found in maps)
        yield f'</p><ol class="pairs maps {"strip" if wide else "square"}">'
        for found in maps:
            yield from _map(found)
        yield "</ol></details>"
    yield "</section>"


def _map(found: OcclusionMap) -> Iterable[str]:
    yield '<li><div class="both">'
    yield image_tag(small_jpeg(found.crop), found.image, "jpeg")
    for drop, what in ((found.own, "itself"), (found.genuine, found.partner)):
        yield image_tag(
            overlay_jpeg(found.crop, drop, found.largest or 1.0),
            f"Occlusion map of {found.image} against {what}",
            "jpeg",
        )
    yield (
        f"</div><p>{_text(found.image)}: with itself 1, down by up to "
        f"<b>{found.own.max():.4f}</b>; with {_text(found.partner)} "
        f"<b>{found.similarity:.4f}</b>, down by up to "
        f"<b>{max(0.0, found.genuine.max()):.4f}</b>, up by up to "
        f"<b>{max(0.0, -found.genuine.min()):.4f}</b></p></li>"
    )


def _curves(report: Report, figures: Iterator[int]) -> Iterable[str]:
    colours = report_plots.model_colours(report.rows)
    source = " on synthetic eyes" if report.synthetic else ""
    identified = any(row.evaluation["curves"]["cmc"] for row in report.rows)
    yield "<section><h2>Error trade-off and identification</h2><figure>"
    yield '<p class="legend">'
    for model, colour in colours.items():
        yield f'<span><i style="background:{colour}"></i>{_text(model)}</span>'
    yield '</p><div class="panels">'
    yield image_tag(report_plots.det_plot(report.rows, colours), "DET curves: FNMR against FMR")
    if identified:
        yield image_tag(report_plots.cmc_plot(report.rows, colours), "CMC curves by rank")
    text = f"Detection error trade-off{source}, probit axes; the thin diagonal is FMR = FNMR. "
    if identified:
        text += "Beside it: closed-set identification. "
    yield "</div>" + _figcaption(
        figures,
        text + f"Line styles are {report_plots.line_styles()}; where lines coincide, only one is "
        "seen, and a DET curve with fewer errors than the axes show is not seen.",
    )
    yield "</figure></section>"
    yield '<section><h2>Scores</h2><figure><div class="panels">'
    for row in _last_of_each_model(report.rows):
        yield image_tag(report_plots.histogram_plot(row), f"Score histograms of {row.label}")
    yield (
        "</div>"
        + _figcaption(
            figures, f"Scores{source}: genuine and impostor comparisons, each adding up to 100 %."
        )
        + "</figure></section>"
    )


def _training(report: Report, figures: Iterator[int]) -> Iterable[str]:
    if not report.curves:
        return
    colours = report_plots.model_colours(report.rows)
    yield '<section><h2>Training</h2><figure><div class="panels">'
    yield image_tag(report_plots.loss_plot(report.curves, colours), "Training loss by epoch")
    if any(curve.val_eer for curve in report.curves):
        yield image_tag(
            report_plots.val_eer_plot(report.curves, colours), "Validation EER by epoch"
        )
    yield (
        "</div>"
        + _figcaption(
            figures,
            f"Training{' on synthetic eyes' if report.synthetic else ''}: loss (models with "
            "other loss terms or margins are not comparable by it) and equal error rate on "
            "validation identities.",
        )
        + "</figure></section>"
    )


def _crops(report: Report) -> Iterable[str]:
    if not report.crops:
        return
    wide = is_strip(report.crops[0])
    yield "<section><h2>What the networks see</h2><figure>"
    yield f'<div class="crops {"strip" if wide else "square"}">'
    for number, crop in enumerate(report.crops, start=1):
        yield image_tag(crop_png(crop), f"Crop {number}")
    yield (
        f"</div><figcaption><b>Crops</b>{' of synthetic eyes' if report.synthetic else ''}, ROI "
        f"mode <code>{_text(report.roi_mode)}</code>, at the network's input size."
        "</figcaption></figure></section>"
    )


def _data(report: Report) -> Iterable[str]:
    yield '<section class="facts"><div><h2>Data</h2>'
    if report.splits:
        yield report_tables.splits_table(report.splits)
    yield (
        f'<p class="caption">Images without a crop, all splits: '
        f"{sum(report.failures.values()):,}{_text(_reasons(report.failures))}. The figures "
        "above are of the others.</p>"
    )
    yield "</div><div><h2>Machine</h2><dl>"
    for name, value in _environment(report.environment):
        yield f"<dt>{_text(name)}</dt><dd>{_text(value)}</dd>"
    yield "</dl></div></section>"
    yield '<section><h2>Definitions and notes</h2><ul class="notes">'
    compared = _COMPARED[report.rows[0].evaluation["protocol"]]
    sentences = [compared, *report.notes, *_DEFINITIONS]
    if any(row.reference for row in report.rows):
        sentences.append("Raw pixels: correlation of the grey levels of two crops, nothing learnt.")
    yield from (f"<li>{_whole(_text(sentence))}</li>" for sentence in sentences)
    yield "</ul></section>"


def _environment(machine: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    for name, value in machine.items():
        if isinstance(value, Mapping):
            yield from ((str(key), str(item)) for key, item in value.items())
        elif value is not None and name.endswith("_bytes"):
            yield name.removesuffix("_bytes"), f"{value / 2**30:.1f} GiB"
        elif value is not None:
            yield name, str(value)


def _last_of_each_model(rows: Sequence[ReportRow]) -> list[ReportRow]:
    return list({row.model: row for row in rows}.values())


def _caption(tables: Iterator[int], text: str) -> str:
    return f'<p class="caption"><b>Table {next(tables)}.</b> {_whole(text)}</p>'


def _figcaption(figures: Iterator[int], text: str) -> str:
    return f"<figcaption><b>Figure {next(figures)}.</b> {_whole(text)}</figcaption>"


def _whole(text: str) -> str:
    """Let no line break at the hyphen of ``1e-2``, which a reader may still copy."""
    return re.sub(r"\b[\d.]+e-\d+\b", r'<span class="whole">\g<0></span>', text)


def _text(value: str) -> str:
    return html.escape(value)
