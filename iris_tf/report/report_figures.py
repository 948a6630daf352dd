"""Sections of the report with images: curves, training, worst comparisons, saliency, crops."""

from collections.abc import Iterable, Iterator, Sequence

from iris_tf.evaluation.saliency import OcclusionMap
from iris_tf.metrics.scales import Scale
from iris_tf.report import report_plots
from iris_tf.report.report_data import ComparedPair, Report, ReportRow
from iris_tf.report.report_html import escaped, figure_caption
from iris_tf.report.report_images import (
    FALLS,
    RISES,
    crop_png,
    image_tag,
    is_strip,
    overlay_jpeg,
    small_jpeg,
)
from iris_tf.report.report_words import comparison_value


def curves(report: Report, figures: Iterator[int]) -> Iterable[str]:
    """DET and CMC curves, and histograms of the scores."""
    colours = report_plots.model_colours(report.rows)
    source = " on synthetic eyes" if report.synthetic else ""
    identified = any(row.metrics.curves.cmc for row in report.rows)
    yield "<section><h2>Error trade-off and identification</h2><figure>"
    yield '<p class="legend">'
    for model, colour in colours.items():
        yield f'<span><i style="background:{colour}"></i>{escaped(model)}</span>'
    yield '</p><div class="panels">'
    yield image_tag(report_plots.det_plot(report.rows, colours), "DET curves: FNMR against FMR")
    if identified:
        yield image_tag(report_plots.cmc_plot(report.rows, colours), "CMC curves by rank")
    text = f"Detection error trade-off{source}, probit axes; the thin diagonal is FMR = FNMR. "
    if identified:
        text += "Next to it: closed-set identification. "
    yield "</div>" + figure_caption(
        figures,
        text + f"Line styles are {report_plots.line_styles()}; coinciding lines "
        "hide each other, and a DET curve below the range of the axes is not visible.",
    )
    yield "</figure></section>"
    yield '<section><h2>Scores</h2><figure><div class="panels">'
    for row in _last_of_each_model(report.rows):
        yield image_tag(report_plots.histogram_plot(row), f"Score histograms of {row.label}")
    yield (
        "</div>"
        + figure_caption(
            figures, f"Scores{source}: genuine and impostor comparisons, each normalised to 100 %."
        )
        + "</figure></section>"
    )


def training(report: Report, figures: Iterator[int]) -> Iterable[str]:
    """Curves of the training; nothing without any."""
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
        + figure_caption(
            figures,
            f"Training{' on synthetic eyes' if report.synthetic else ''}: loss (not comparable "
            "between models with different loss terms or margins) and equal error rate on "
            "validation identities.",
        )
        + "</figure></section>"
    )


def worst_comparisons(report: Report) -> Iterable[str]:
    """The worst comparisons of each model as pairs of crops; nothing without any."""
    if not report.worst:
        return
    yield "<section><h2>The worst comparisons</h2>"
    eyes = (
        "Synthetic eyes"
        if report.synthetic
        else "Crops of real eyes: check the terms of the dataset before sharing this page"
    )
    yield (
        f'<p class="caption">{eyes}, ROI mode <code>{escaped(report.roi_mode)}</code>. EER '
        "thresholds are in the table of operating points.</p>"
    )
    for number, worst in enumerate(report.worst):
        for kind, order, pairs in (
            ("Genuine", "lowest", worst.genuine),
            ("Impostor", "highest", worst.impostor),
        ):
            yield f"<details{' open' if number == 0 else ''}>"
            yield (
                f"<summary>{kind} comparisons with the {order} scores, "
                f"{escaped(worst.model)}</summary>"
            )
            # Algorithm 1 gives a strip for some eyes whose lids occlude most of the iris.
            strips = [is_strip(crop) for pair in pairs for crop in pair.crops]
            wide = 2 * sum(strips) > len(strips)
            yield f'<ol class="pairs {"strip" if wide else "square"}">'
            for pair in pairs:
                yield from _pair(pair, worst.scale)
            yield "</ol></details>"
    yield "</section>"


def _pair(pair: ComparedPair, scale: Scale) -> Iterable[str]:
    yield '<li><div class="both">'
    for name, crop in zip(pair.names, pair.crops, strict=True):
        yield image_tag(small_jpeg(crop), name, "jpeg")
    yield (
        f"</div><p><b>{comparison_value(pair.score, scale)}</b> {escaped(pair.names[0])} and "
        f"{escaped(pair.names[1])}</p></li>"
    )


def saliency(report: Report) -> Iterable[str]:
    """Saliency maps of each model; nothing without any."""
    if not any(report.occlusion.values()):
        return
    yield "<section><h2>Saliency maps</h2>"
    eyes = "Synthetic eyes" if report.synthetic else "Crops of real eyes"
    yield (
        f'<p class="caption">{eyes} at the network\'s input size, the worst quality first. A '
        "black square is moved over the crop; each pixel shows the resulting change, averaged over "
        "all squares that cover it. From left to right: the crop; the change of its cosine "
        "similarity with itself without occlusion; and with another image of the same eye. Full "
        "colour is the largest change for that eye. Where the crop is black, a square changes "
        "nothing.</p>"
    )
    for number, (model, maps) in enumerate(report.occlusion.items()):
        yield f"<details{' open' if number == 0 else ''}>"
        yield f"<summary>Saliency maps of {escaped(model)}</summary>"
        yield '<p class="legend">'
        for colour, change in (
            (FALLS, "less similar when occluded"),
            (RISES, "more similar when occluded"),
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
            f"Saliency map of {found.image} against {what}",
            "jpeg",
        )
    yield (
        f"</div><p>{escaped(found.image)}: with itself 1, down by up to "
        f"<b>{found.own.max():.4f}</b>; with {escaped(found.partner)} "
        f"<b>{found.similarity:.4f}</b>, down by up to "
        f"<b>{max(0.0, found.genuine.max()):.4f}</b>, up by up to "
        f"<b>{max(0.0, -found.genuine.min()):.4f}</b></p></li>"
    )


def crops(report: Report) -> Iterable[str]:
    """Sample crops; nothing without any."""
    if not report.crops:
        return
    wide = is_strip(report.crops[0])
    yield "<section><h2>Network input</h2><figure>"
    yield f'<div class="crops {"strip" if wide else "square"}">'
    for number, crop in enumerate(report.crops, start=1):
        yield image_tag(crop_png(crop), f"Crop {number}")
    yield (
        f"</div><figcaption><b>Crops</b>{' of synthetic eyes' if report.synthetic else ''}, ROI "
        f"mode <code>{escaped(report.roi_mode)}</code>, at the network's input size."
        "</figcaption></figure></section>"
    )


def _last_of_each_model(rows: Sequence[ReportRow]) -> list[ReportRow]:
    return list({row.model: row for row in rows}.values())
