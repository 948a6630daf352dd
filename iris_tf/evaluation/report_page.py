"""The report as HTML: words, tables and styles."""

import base64
import html
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import cv2
import numpy as np

import iris_tf
from iris_tf.evaluation import report_plots
from iris_tf.evaluation.report import HEADINGS, Report, ReportRow, table_cells, verdict

_CSS = """
:root { color-scheme: light; --ink: #1b1b1b; --soft: #5a5a5a; --line: #c9c9c9; }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2rem 1.25rem 4rem; max-width: 62rem; color: var(--ink);
  background: #fff; font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 .25rem; }
h2 { font-size: 1.15rem; margin: 2.5rem 0 .75rem; }
p { margin: .5rem 0; }
.where { color: var(--soft); margin: 0; }
.synthetic { display: inline-block; font-size: .8rem; font-weight: 600; padding: .1rem .55rem;
  border: 1px solid #b35900; border-radius: 1rem; color: #8a4500; background: #fff6ec; }
.verdict { margin: 1.25rem 0; padding: .75rem 1rem; border-left: 4px solid #0072b2;
  background: #f1f7fb; font-size: 1.08rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .92rem; }
table.wide { width: 100%; }
thead th { border-top: 1.5px solid var(--ink); border-bottom: 1px solid var(--ink);
  font-weight: 600; }
tbody tr:last-child > * { border-bottom: 1.5px solid var(--ink); }
th, td { padding: .32rem .6rem; text-align: right; vertical-align: top; font-weight: normal; }
th:first-child, td:first-child, .left { text-align: left; }
tr.first > * { border-top: 1px solid var(--line); }
tr.reference > * { color: var(--soft); font-style: italic; }
.ci { color: var(--soft); font-size: .82rem; white-space: nowrap; }
.best { font-weight: 700; }
figcaption, .caption { color: var(--soft); font-size: .86rem; margin: .5rem 0; }
figcaption b, .caption b { color: var(--ink); }
figure { margin: 0; }
.panels { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(21rem, 100%), 1fr));
  gap: 1rem 1.5rem; }
.panels img { width: 100%; max-width: 34rem; height: auto; }
.legend { display: flex; flex-wrap: wrap; gap: .1rem 1.4rem; font-size: .86rem; }
.legend i { display: inline-block; width: 1.5em; height: 3px; margin-right: .5em;
  vertical-align: middle; }
.crops { display: grid; gap: 4px; }
.crops.square { grid-template-columns: repeat(auto-fill, minmax(5.5rem, 1fr)); }
.crops.strip { grid-template-columns: repeat(auto-fill, minmax(16rem, 1fr)); }
.crops img { width: 100%; height: auto; display: block; background: #000; }
.facts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(22rem, 100%), 1fr));
  gap: 0 2.5rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .15rem 1rem; margin: 0;
  font-size: .92rem; }
dt { color: var(--soft); } dd { margin: 0; overflow-wrap: anywhere; }
ul { padding-left: 1.2rem; margin: .5rem 0; font-size: .92rem; }
footer { margin-top: 3rem; color: var(--soft); font-size: .82rem; }
@media (max-width: 46rem) {
  body { padding-top: 1.25rem; }
  table.wide, table.wide tbody { display: block; }
  table.wide thead { display: none; }
  table.wide tr { display: grid; grid-template-columns: repeat(3, 1fr); gap: .1rem .5rem;
    padding: .6rem 0; border-top: 1px solid var(--line); }
  table.wide tr > * { display: block; padding: .1rem 0; text-align: left; border: 0 !important; }
  table.wide tr > :first-child { grid-column: 1 / 3; font-weight: 600; }
  table.wide td::before { content: attr(data-label); display: block; color: var(--soft);
    font-size: .75rem; font-weight: normal; }
  table.wide .ci { display: block; }
}
@media (min-width: 46.01rem) { table.wide .ci { display: block; } }
@media print { body { max-width: none; } h2 { break-after: avoid; } }
"""

_DEFINITIONS = (
    "Every image is compared with every other once, by the cosine similarity of their "
    "embeddings. A comparison is genuine when both show the same eye; all others are impostor "
    "comparisons, the left against the right eye of one person included. Scores are counted at "
    "a resolution of 2.4e-7, ties together.",
    "EER: error rate where false match rate and false non-match rate, joined by straight lines "
    "between neighbouring scores, are equal.",
    "VR@FAR=1 %: share of genuine comparisons accepted at the most lenient threshold that "
    "accepts no more than 1 % of impostor comparisons.",
    "CMC@1: closed-set identification, each image against all others; share of probes whose own "
    "identity has the best score, ties counted as errors. Identities with one image are not "
    "probes.",
    "Raw pixels: correlation of the grey levels of two crops, nothing learnt.",
)


def render(report: Report) -> str:
    """The whole page.

    Parameters
    ----------
    report : Report
        With at least one row.
    """
    parts = [
        "<!DOCTYPE html>", '<html lang="en">', "<head>", '<meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{_text(report.title)}</title>", f"<style>{_CSS}</style>", "</head>", "<body>",
        *_head(report), *_results(report), *_figures(report), *_crops(report), *_data(report),
        "<footer>Written by iris_tf " + _text(iris_tf.__version__) + ".</footer>",
        "</body>", "</html>",
    ]
    return "\n".join(parts) + "\n"


def _head(report: Report) -> Iterable[str]:
    yield "<header>"
    yield f"<h1>{_text(report.title)}</h1>"
    yield f'<p class="where">{_text(report.dataset)}, {_text(report.evaluated_on)}</p>'
    if report.synthetic:
        yield ('<p><span class="synthetic">Synthetic eyes: these figures say nothing about '
               "real ones</span></p>")
    yield f'<p class="verdict">{_text(verdict(report.rows))}</p>'
    yield "</header>"


def _results(report: Report) -> Iterable[str]:
    trained = [row for row in report.rows if not row.reference]
    best = {row.eer for row in [min(trained, key=lambda row: row.eer)]} if trained else set()
    yield "<section><h2>Results</h2>"
    yield '<table class="wide"><thead><tr>'
    yield "".join(f'<th scope="col"{_left(i)}>{_heading(i)}</th>' for i in range(len(HEADINGS)))
    yield "</tr></thead><tbody>"
    previous = None
    for row in report.rows:
        classes = [name for name, on in (("reference", row.reference),
                                         ("first", previous not in (None, row.model))) if on]
        previous = row.model
        yield f'<tr class="{" ".join(classes)}">' if classes else "<tr>"
        for i, (value, ci) in enumerate(table_cells(row)):
            shown = _text(value) + (" (reference)" if i == 0 and row.reference else "")
            if HEADINGS[i] == "EER (%)" and row.eer in best and not row.reference:
                shown = f'<span class="best">{shown}</span>'
            if ci:
                shown += f' <span class="ci">{_text(ci)}</span>'
            tag = "th" if i == 0 else "td"
            extra = ' scope="row"' if i == 0 else f' data-label="{_text(HEADINGS[i])}"'
            yield f"<{tag}{extra}{_left(i)}>{shown}</{tag}>"
        yield "</tr>"
    yield "</tbody></table>"
    yield f'<p class="caption"><b>Table 1.</b> {_caption(report)}</p></section>'


def _caption(report: Report) -> str:
    counts = report.rows[0].evaluation["counts"]
    text = (
        f"{_text(report.dataset)}{' (synthetic)' if report.synthetic else ''}, "
        f"{_text(report.evaluated_on)}: {counts['images']:,} images of "
        f"{counts['identities']:,} eyes of {counts['persons']:,} persons, "
        f"{counts['genuine_comparisons']:,} genuine and {counts['impostor_comparisons']:,} "
        "impostor comparisons. "
    )
    if intervals := report.rows[0].evaluation["intervals"]:
        text += (f"Small print under a figure: {100 * intervals['level']:.0f} % confidence "
                 f"interval from {intervals['resamples']:,} bootstrap resamples of persons. ")
    return text + ("MiB: size of the model file. ms: median time of one crop on the processor "
                   "named below. Reference lines have learnt nothing.")


def _figures(report: Report) -> Iterable[str]:
    colours = report_plots.model_colours(report.rows)
    source = " on synthetic eyes" if report.synthetic else ""
    yield "<section><h2>Error trade-off and identification</h2><figure>"
    yield '<p class="legend">'
    for model, colour in colours.items():
        yield f'<span><i style="background:{colour}"></i>{_text(model)}</span>'
    yield "</p><div class=\"panels\">"
    yield _image(report_plots.det_plot(report.rows, colours), "DET curves: FNMR against FMR")
    yield _image(report_plots.cmc_plot(report.rows, colours), "CMC curves by rank")
    yield (f"</div><figcaption><b>Figure 1.</b> First: detection error trade-off{source}, probit "
           "axes; the thin diagonal is FMR = FNMR. Second: closed-set identification. Solid lines "
           "are float32, dashed float16; where they coincide, only one is seen.</figcaption>"
           "</figure></section>")
    yield "<section><h2>Scores</h2><figure><div class=\"panels\">"
    for row in _last_of_each_model(report.rows):
        yield _image(report_plots.histogram_plot(row), f"Score histograms of {row.label}")
    yield (f"</div><figcaption><b>Figure 2.</b> Scores{source}: genuine and impostor "
           "comparisons, each adding up to 100 %.</figcaption></figure></section>")
    if report.curves:
        yield "<section><h2>Training</h2><figure><div class=\"panels\">"
        yield _image(report_plots.loss_plot(report.curves, colours), "Training loss by epoch")
        if any(curve.val_eer for curve in report.curves):
            yield _image(report_plots.val_eer_plot(report.curves, colours),
                         "Validation EER by epoch")
        yield (f"</div><figcaption><b>Figure 3.</b> Training{source}: loss (models with other "
               "loss terms or margins are not comparable by it) and equal error rate on "
               "validation identities.</figcaption></figure></section>")


def _crops(report: Report) -> Iterable[str]:
    if not report.crops:
        return
    wide = report.crops[0].shape[1] > 2 * report.crops[0].shape[0]
    yield "<section><h2>What the networks see</h2><figure>"
    yield f'<div class="crops {"strip" if wide else "square"}">'
    for number, crop in enumerate(report.crops, start=1):
        yield _image(_crop_png(crop), f"Crop {number}")
    yield (f"</div><figcaption><b>Crops</b>{' of synthetic eyes' if report.synthetic else ''}, ROI "
           f"mode <code>{_text(report.roi_mode)}</code>, at the network's input size."
           "</figcaption></figure></section>")


def _data(report: Report) -> Iterable[str]:
    yield '<section class="facts"><div><h2>Data</h2>'
    if report.splits:
        columns = list(next(iter(report.splits.values())))
        yield "<table><thead><tr><th scope=\"col\">split</th>"
        yield "".join(f'<th scope="col">{_text(name)}</th>' for name in columns)
        yield "</tr></thead><tbody>"
        for split, counts in report.splits.items():
            cells = "".join(f"<td>{counts[name]:,}</td>" for name in columns)
            yield f'<tr><th scope="row">{_text(split)}</th>{cells}</tr>'
        yield "</tbody></table>"
    failed = sum(report.failures.values())
    reasons = ", ".join(f"{_text(str(reason))} {count:,}"
                        for reason, count in sorted(report.failures.items()) if count)
    yield (f"<p class=\"caption\">Images without a crop: {failed:,}"
           f"{f' ({reasons})' if reasons else ''}. The figures above are of the others.</p>")
    yield "</div><div><h2>Machine</h2><dl>"
    for name, value in _environment(report.environment):
        yield f"<dt>{_text(name)}</dt><dd>{_text(value)}</dd>"
    yield "</dl></div></section>"
    yield "<section><h2>Definitions and notes</h2><ul>"
    yield from (f"<li>{_text(sentence)}</li>" for sentence in (*report.notes, *_DEFINITIONS))
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


def _heading(index: int) -> str:
    return _text(HEADINGS[index])


def _left(index: int) -> str:
    return ' class="left"' if index < 2 else ""


def _crop_png(crop: np.ndarray) -> bytes:
    return cv2.imencode(".png", crop)[1].tobytes()


def _image(png: bytes, alt: str) -> str:
    data = base64.b64encode(png).decode("ascii")
    return f'<img src="data:image/png;base64,{data}" alt="{_text(alt)}">'


def _text(value: str) -> str:
    return html.escape(value)
