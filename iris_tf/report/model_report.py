"""The page of `iris-tf evaluate`: models side by side, and baselines beside them."""

import collections
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from iris_tf.data.crop_store import read_crop
from iris_tf.data.manifest import read_manifest
from iris_tf.evaluation.prepared_sets import PreparedSet
from iris_tf.evaluation.saliency import OcclusionMap
from iris_tf.report.report_data import (
    ComparedPair,
    Report,
    ReportRow,
    WorstPairs,
    count_splits,
)
from iris_tf.report.report_page import write_report
from iris_tf.report.report_words import SPACE, interval, percent


def write_model_report(
    path: str | Path,
    result: Mapping[str, Any],
    sets: Sequence[PreparedSet],
    occlusion: Mapping[str, Sequence[OcclusionMap]] | None = None,
) -> None:
    """Write ``report.html`` for what `evaluate_model` found.

    Nothing is written where no ``dataset.json`` lies beside a manifest: the page would
    not know whether the eyes are real.

    Parameters
    ----------
    path : str or Path
        File to write.
    result : mapping
        The content of ``metrics.json``.
    sets : sequence of PreparedSet
        What was evaluated.
    occlusion : mapping of str to sequence of OcclusionMap, optional
        By the name of a model, what its embedding of some eyes looks at.

    Raises
    ------
    DatasetError
        When the dataset's description, or a crop that is shown, cannot be read.
    """
    descriptions = [each.settings for each in sets if each.settings is not None]
    if len(descriptions) < len(sets):
        return
    # Of sets of both kinds each is called what it is; the crops shown may be of persons.
    settings, synthetic = descriptions[0], all(found["synthetic"] for found in descriptions)
    split = result["split"]
    rows = [row for each in sets for row in each.named(read_manifest(each.manifest))]
    entries = (result, *result["others"])
    crops = {row.image: row.roi for row in rows}
    failures = sum((collections.Counter(each.failures) for each in sets), collections.Counter())
    write_report(
        path,
        Report(
            title="Evaluation of " + ", ".join(entry["model"]["name"] for entry in entries),
            dataset=" and ".join(map(_called, sets, descriptions)),
            evaluated_on="all splits" if split == "all" else f"{split} split",
            synthetic=synthetic,
            roi_mode=settings["roi_mode"],
            rows=report_rows(result),
            splits=count_splits(rows),
            failures=failures,
            environment=result["machine"],
            notes=[
                note
                for baseline in result["baselines"]
                for note in _notes(baseline, result["evaluation"], settings)
            ],
            conclusion=conclusion(result),
            differences={
                other["model"]["name"]: other["differences"]
                for other in result["others"]
                if other["differences"]  # none without resamples
            },
            worst=[_worst_pairs(entry, crops) for entry in entries],
            occlusion=occlusion or {},
        ),
    )


def _called(prepared: PreparedSet, settings: Mapping[str, Any]) -> str:
    kind = "synthetic eyes" if settings["synthetic"] else settings["layout"]
    if prepared.name:
        return f"{prepared.name} ({kind})"
    return "Synthetic eyes" if settings["synthetic"] else kind


def conclusion(result: Mapping[str, Any]) -> str:
    """The verdict: what one model reaches, or which of several is better and by how much.

    A model is called better where the interval of the paired difference to the first
    leaves out 0.

    Parameters
    ----------
    result : mapping
        The content of ``metrics.json``.
    """
    first, others = result["model"]["name"], result["others"]
    sentences = [_against(result, other) for other in others] or [_alone(result)]
    if len(others) > 1:
        entries = (result, *others)
        least = min(entries, key=lambda entry: entry["evaluation"]["metrics"]["eer"])
        sentences.insert(0, f"Lowest EER: {least['model']['name']}.")
    for baseline in result["baselines"]:
        model, other = (
            percent(baseline[kind]["metrics"]["eer"]) for kind in ("model_evaluation", "evaluation")
        )
        sentences.append(
            f"On the same images, {baseline['name']} has an EER of {other}{SPACE}% and {first} "
            f"of {model}{SPACE}%."
        )
    return " ".join(sentences)


def _alone(result: Mapping[str, Any]) -> str:
    evaluation = result["evaluation"]
    row = ReportRow(result["model"]["name"], "", evaluation)
    parts = [f"{row.model}: EER {_with_interval(row, 'eer')}"]
    supported = [
        name for name, point in evaluation["operating_points"].items() if point["supported"]
    ]
    if supported:
        parts.append(
            f"FNMR {_with_interval(row, 'fnmr_' + supported[-1])} at "
            f"FMR {supported[-1].removeprefix('fmr_')}"
        )
    if evaluation["metrics"]["cmc_1"] is not None:
        parts.append(f"first rank right for {_with_interval(row, 'cmc_1')} of the probes")
    return ", ".join(parts) + "."


def _with_interval(row: ReportRow, metric: str) -> str:
    bounds = interval(row, metric)
    small = f" (90{SPACE}% CI {bounds})" if bounds else ""
    return f"{percent(row.evaluation['metrics'][metric])}{SPACE}%{small}"


def _against(result: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    found = other["differences"].get("eer")
    entries = [result, other]
    if (found or {"difference": 0})["difference"] < 0:
        entries.reverse()
    (better, worse), (low_eer, high_eer) = (
        [entry["model"]["name"] for entry in entries],
        [percent(entry["evaluation"]["metrics"]["eer"]) for entry in entries],
    )
    rates = f"EER {low_eer}{SPACE}% against {high_eer}{SPACE}%"
    if found is None or found["interval"] is None:
        return f"{better} and {worse}: {rates}; the images allow no interval of the difference."
    sign = -1 if found["difference"] < 0 else 1
    low, high = sorted(sign * 100 * bound for bound in found["interval"])
    size = f"{100 * abs(found['difference']):.2f}"
    between = f"90{SPACE}% interval {low:.2f} to {high:.2f}, the same persons drawn for both"
    if found["significant"]:
        return (
            f"{better} is better than {worse}: {rates}, {size} percentage points less ({between})."
        )
    return (
        f"Neither {better} nor {worse} is shown to be better: {rates}, {size} percentage points "
        f"apart ({between})."
    )


def report_rows(result: Mapping[str, Any]) -> list[ReportRow]:
    """Lines of the result table: the models, and with each baseline the first on its images.

    Parameters
    ----------
    result : mapping
        The content of ``metrics.json``.
    """

    def row(
        model: Mapping[str, Any],
        evaluation: Mapping[str, Any],
        where: str = "",
        generalised: Mapping[str, Any] | None = None,
        slices: Mapping[str, Any] | None = None,
    ) -> ReportRow:
        latency = model["latency"] or {}
        return ReportRow(
            model["name"] + where,
            model["precision"],
            evaluation,
            bytes=model["bytes"],
            latency_ms=latency.get("median"),
            latency_p95_ms=latency.get("p95"),
            latency_runs=latency.get("runs"),
            parameters=model["parameters"],
            macs=model["macs"],
            generalised=generalised,
            slices=slices,
        )

    rows = [
        row(
            entry["model"],
            entry["evaluation"],
            generalised=entry["generalised"],
            slices=entry["slices"],
        )
        for entry in (result, *result["others"])
    ]
    for baseline in result["baselines"]:
        if baseline["templates"] < result["evaluation"]["counts"]["images"]:
            same = f", on the images of {baseline['name']}"
            rows.append(row(result["model"], baseline["model_evaluation"], same))
        title = f"{baseline['name']} ({baseline['library']})"
        rows.append(
            ReportRow(title, "", baseline["evaluation"], generalised=baseline["generalised"])
        )
    return rows


def _worst_pairs(entry: Mapping[str, Any], crops: Mapping[str, str]) -> WorstPairs:
    def pairs(kind: str) -> list[ComparedPair]:
        return [
            ComparedPair(
                (first, second),
                score,
                (read_crop(Path(crops[first])), read_crop(Path(crops[second]))),
            )
            for first, second, score in entry["evaluation"]["worst"][kind]
        ]

    return WorstPairs(entry["model"]["name"], pairs("genuine"), pairs("impostor"))


def _notes(
    baseline: Mapping[str, Any], evaluation: Mapping[str, Any], settings: Mapping[str, Any]
) -> Iterable[str]:
    name, library = baseline["name"], baseline["library"]
    yield (
        f"{name}: geometry, normalisation, filters, validators and Hamming matcher of {library} "
        f"with stock parameters, on the masks of the segmenter {baseline['segmenter']!r}. Its "
        "score is 1 minus the normalised Hamming distance."
    )
    images, templates = evaluation["counts"]["images"], baseline["templates"]
    if templates < images:
        reasons = ", ".join(f"{reason} {count:,}" for reason, count in baseline["errors"].items())
        yield (
            f"{library} made no template of {images - templates:,} of {images:,} images "
            f"({reasons}). {name} and the model are to be compared on the other {templates:,}, "
            "which have a line of their own."
        )
    seen = settings["layout"] == "casia-thousand" and not settings["synthetic"]
    if baseline["segmenter"] == "open-iris" and seen:
        yield (
            "Open-Iris's segmentation network was trained partly on CASIA-Iris-Thousand, so its "
            "masks of that set are better than those of unseen eyes."
        )
