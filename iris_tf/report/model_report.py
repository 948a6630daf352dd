"""The page of `iris-tf evaluate`: models side by side, with their baselines."""

import collections
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from iris_tf.config.names import ALL_SPLITS, CLOSED_WORLD, SCORE_POINT
from iris_tf.data.crop_store import read_crop
from iris_tf.data.dataset_title import dataset_title
from iris_tf.evaluation.evaluation_result import (
    BaselineResult,
    EvaluationResult,
    ModelDescription,
    ModelResult,
)
from iris_tf.evaluation.prepared_sets import PreparedSet
from iris_tf.evaluation.saliency import OcclusionMap
from iris_tf.metrics.metrics import Metrics, ScoredPair
from iris_tf.metrics.score_figures import ScorePointErrors
from iris_tf.report.report_data import (
    ComparedPair,
    QuantizationRow,
    Report,
    ReportRow,
    WorstPairs,
    count_splits,
)
from iris_tf.report.report_page import write_report
from iris_tf.report.report_words import SPACE, interval, percent


def write_model_report(
    path: str | Path,
    result: EvaluationResult,
    sets: Sequence[PreparedSet],
    occlusion: Mapping[str, Sequence[OcclusionMap]] | None = None,
    quantization: Sequence[QuantizationRow] = (),
) -> bool:
    """Write ``report.html`` for the result of an evaluation.

    Nothing is written if there is no ``dataset.json`` beside a manifest, because the page must
    state whether the eyes are real.

    Parameters
    ----------
    path : str or Path
        File to write.
    result : EvaluationResult
        All figures.
    sets : sequence of PreparedSet
        The evaluated datasets.
    occlusion : mapping of str to sequence of OcclusionMap, optional
        Saliency maps by the name of a model.
    quantization : sequence of QuantizationRow, optional
        The float network and its quantised ones, where the result is of these.

    Returns
    -------
    bool
        Whether there is a report.

    Raises
    ------
    DatasetError
        If a crop that is shown cannot be read.
    """
    descriptions = [each.settings for each in sets if each.settings is not None]
    if len(descriptions) < len(sets):
        return False
    settings, split = descriptions[0], result.split
    images = [(row, each.crop(row)) for each in sets for row in each.named_rows()]
    crops = {row.image: crop for row, crop in images}
    failures = sum((collections.Counter(each.failures) for each in sets), collections.Counter())
    write_report(
        path,
        Report(
            title="Evaluation of " + ", ".join(found.model.name for found in result.models),
            dataset=" and ".join(map(_title, sets, descriptions)),
            evaluated_on=_evaluated_on(split, descriptions),
            # Sets of both kinds are labelled one by one; some of the crops are of real eyes.
            synthetic=all(found["synthetic"] for found in descriptions),
            roi_mode=settings["roi_mode"],
            rows=report_rows(result),
            splits=count_splits([row for row, _ in images]),
            failures=failures,
            environment=result.machine,
            notes=[
                note
                for baseline in result.baselines
                for note in _notes(baseline, result.first.metrics.counts.images, settings)
            ],
            conclusion=conclusion(result),
            differences={
                other.model.name: other.differences
                for other in result.others
                if other.differences  # none without resamples
            },
            worst=[_worst_pairs(found, crops, settings["channels"]) for found in result.models],
            occlusion=occlusion or {},
            quantization=quantization,
            folds={found.model.name: found.folds for found in result.models if found.folds},
        ),
    )
    return True


def _evaluated_on(split: str, descriptions: Sequence[Mapping[str, Any]]) -> str:
    if split == ALL_SPLITS:
        return "all splits"
    closed = any(found["split_by"] == CLOSED_WORLD for found in descriptions)
    return f"{split} split" + (", a closed world: its identities may have been trained on" * closed)


def _title(prepared: PreparedSet, settings: Mapping[str, Any]) -> str:
    title = dataset_title(settings)
    if prepared.name:
        return title if title == prepared.name else f"{prepared.name} ({title})"
    return "Synthetic eyes" if settings["synthetic"] else title


def conclusion(result: EvaluationResult) -> str:
    """The verdict: the figures of one model, or which of several is better and by how much.

    A model is called better if the interval of the paired difference to the first excludes 0.

    Parameters
    ----------
    result : EvaluationResult
        All figures.
    """
    first, others = result.first, result.others
    sentences = [_against(first, other) for other in others] or [_alone(first)]
    if len(others) > 1:
        best = min(result.models, key=lambda found: found.metrics.eer)
        sentences.insert(0, f"Lowest EER: {best.model.name}.")
    for baseline in result.baselines:
        model, other = (
            percent(metrics.eer) for metrics in (baseline.model_metrics, baseline.metrics)
        )
        sentences.append(
            f"On the same images, {baseline.name} has an EER of {other}{SPACE}% and "
            f"{first.model.name} of {model}{SPACE}%."
        )
    return " ".join(sentences)


def _alone(found: ModelResult) -> str:
    row = ReportRow(found.model.name, "", found.metrics)
    parts = [f"{row.model}: EER {_with_interval(row, 'eer')}"]
    if point := found.metrics.card_points.get(SCORE_POINT):
        parts.append(
            f"FNMR {percent(point.fnmr)}{SPACE}% at {SCORE_POINT} of its card{_measured(point)}"
        )
    if supported := list(found.metrics.supported()):
        parts.append(
            f"FNMR {_with_interval(row, 'fnmr_' + supported[-1])} at "
            f"FMR {supported[-1].removeprefix('fmr_')}"
        )
    if found.metrics.values["cmc_1"] is not None:
        parts.append(f"rank-1 identification rate {_with_interval(row, 'cmc_1')}")
    return ", ".join(parts) + "."


def _measured(point: ScorePointErrors) -> str:
    over = point.fmr_over_claim
    return "" if over is None else f" (measured FMR: {over:.2f} times that)"


def _with_interval(row: ReportRow, metric: str) -> str:
    bounds = interval(row, metric)
    small = f" (90{SPACE}% CI {bounds})" if bounds else ""
    return f"{percent(row.metrics.values[metric])}{SPACE}%{small}"


def _against(first: ModelResult, other: ModelResult) -> str:
    found, entries = other.differences.get("eer"), [first, other]
    if found is not None and found.difference < 0:
        entries.reverse()
    better, worse = (entry.model.name for entry in entries)
    low_eer, high_eer = (percent(entry.metrics.eer) for entry in entries)
    rates = f"EER {low_eer}{SPACE}% against {high_eer}{SPACE}%"
    if found is None or found.interval is None:
        return f"{better} and {worse}: {rates}; the images allow no interval of the difference."
    sign = -1 if found.difference < 0 else 1
    low, high = sorted(sign * 100 * bound for bound in found.interval)
    size = f"{100 * abs(found.difference):.2f}"
    between = f"90{SPACE}% interval {low:.2f} to {high:.2f}, the same subjects drawn for both"
    if found.significant:
        return (
            f"{better} is better than {worse}: {rates}, {size} percentage points less ({between})."
        )
    return (
        f"No significant difference between {better} and {worse}: {rates}, {size} percentage "
        f"points apart ({between})."
    )


def report_rows(result: EvaluationResult) -> list[ReportRow]:
    """Rows of the table of results.

    These are the models, and for each baseline the first model on the same images if it could not
    use all, and the baseline.

    Parameters
    ----------
    result : EvaluationResult
        All figures.
    """
    rows = [
        _row(
            found.model,
            found.model.name,
            found.metrics,
            generalised=found.generalised,
            slices=found.slices,
        )
        for found in result.models
    ]
    first = result.first
    for baseline in result.baselines:
        if baseline.templates < first.metrics.counts.images:
            name = f"{first.model.name}, on the images of {baseline.name}"
            rows.append(_row(first.model, name, baseline.model_metrics))
        title = f"{baseline.name} ({baseline.library})"
        rows.append(ReportRow(title, "", baseline.metrics, generalised=baseline.generalised))
    return rows


def _row(model: ModelDescription, name: str, metrics: Metrics, **figures: Any) -> ReportRow:
    latency = model.latency
    return ReportRow(
        name,
        model.precision,
        metrics,
        bytes=model.bytes,
        latency_ms=None if latency is None else latency.median,
        latency_p95_ms=None if latency is None else latency.p95,
        latency_runs=None if latency is None else latency.runs,
        parameters=model.parameters,
        macs=model.macs,
        **figures,
    )


def _worst_pairs(found: ModelResult, crops: Mapping[str, Path], channels: int) -> WorstPairs:
    def shown(pairs: Iterable[ScoredPair]) -> list[ComparedPair]:
        return [
            ComparedPair(
                (pair.first, pair.second),
                pair.score,
                (read_crop(crops[pair.first], channels), read_crop(crops[pair.second], channels)),
            )
            for pair in pairs
        ]

    worst = found.metrics.worst
    return WorstPairs(
        found.model.name, shown(worst.genuine), shown(worst.impostor), found.metrics.scale
    )


def _notes(baseline: BaselineResult, images: int, settings: Mapping[str, Any]) -> Iterable[str]:
    name, library = baseline.name, baseline.library
    yield (
        f"{name}: geometry, normalisation, filters, validators and Hamming matcher of {library} "
        f"with stock parameters, on the masks of the segmenter {baseline.segmenter!r}. Its "
        "score is 1 minus the normalised Hamming distance."
    )
    if baseline.templates < images:
        reasons = ", ".join(f"{reason} {count:,}" for reason, count in baseline.errors.items())
        yield (
            f"{library} made no template of {images - baseline.templates:,} of {images:,} images "
            f"({reasons}). Compare {name} with the row of the model on the other "
            f"{baseline.templates:,} images."
        )
    seen = settings["layout"] == "casia-thousand" and not settings["synthetic"]
    if baseline.segmenter == "open-iris" and seen:
        yield (
            "Open-Iris's segmentation network was trained partly on CASIA-Iris-Thousand, so its "
            "masks of that set are better than those of unseen eyes."
        )
