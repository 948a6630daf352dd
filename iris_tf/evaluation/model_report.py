"""The page of `iris-tf evaluate`: models side by side, and baselines beside them."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from iris_tf.datasets.manifest import read_manifest, read_settings
from iris_tf.evaluation.report import Report, ReportRow, count_splits, write_report


def write_model_report(
    path: str | Path, result: Mapping[str, Any], manifest: str | Path
) -> None:
    """Write ``report.html`` for what `evaluate_model` found.

    Nothing is written where no ``dataset.json`` lies beside the manifest: the page would
    not know whether the eyes are real.

    Parameters
    ----------
    path : str or Path
        File to write.
    result : mapping
        The content of ``metrics.json``.
    manifest : str or Path
        Manifest of the prepared dataset.

    Raises
    ------
    DatasetError
        When the dataset's description cannot be read.
    """
    description = Path(manifest).with_name("dataset.json")
    if not description.is_file():
        return
    settings = read_settings(description)
    counts = json.loads(description.read_text(encoding="utf-8")).get("counts", {})
    split = result["split"]
    write_report(
        path,
        Report(
            title="Evaluation of "
            + ", ".join(entry["model"]["name"] for entry in (result, *result["others"])),
            dataset="Synthetic eyes" if settings["synthetic"] else settings["layout"],
            evaluated_on="all splits" if split == "all" else f"{split} split",
            synthetic=settings["synthetic"],
            roi_mode=settings["roi_mode"],
            rows=report_rows(result),
            splits=count_splits(read_manifest(manifest)),
            failures=counts.get("failures", {}),
            environment=result["machine"],
            notes=[
                *_protocol_notes(result["evaluation"]),
                *_failure_notes(result),
                *(note for other in result["others"] for note in _difference_notes(result, other)),
                *(
                    note
                    for baseline in result["baselines"]
                    for note in _notes(baseline, result["evaluation"], settings)
                ),
            ],
        ),
    )


def report_rows(result: Mapping[str, Any]) -> list[ReportRow]:
    """Lines of the result table: the models, and with each baseline the first on its images.

    Parameters
    ----------
    result : mapping
        The content of ``metrics.json``.
    """

    def row(model: Mapping[str, Any], evaluation: Mapping[str, Any], where: str = "") -> ReportRow:
        return ReportRow(
            model["name"] + where, model["precision"], evaluation, bytes=model["bytes"]
        )

    rows = [row(entry["model"], entry["evaluation"]) for entry in (result, *result["others"])]
    for baseline in result["baselines"]:
        if baseline["templates"] < result["evaluation"]["counts"]["images"]:
            same = f", on the images of {baseline['name']}"
            rows.append(row(result["model"], baseline["model_evaluation"], same))
        title = f"{baseline['name']} ({baseline['library']})"
        rows.append(ReportRow(title, "", baseline["evaluation"]))
    return rows


def _protocol_notes(evaluation: Mapping[str, Any]) -> Iterable[str]:
    if evaluation["protocol"] == "same-eye":
        yield "Left eyes were compared with left eyes and right with right only."
    if evaluation["protocol"] == "across-datasets":
        yield "Images of different datasets were compared too, as impostors."
    if evaluation["protocol"] == "pair-lists":
        yield "Only the listed comparisons were made, so there is no identification."
    unsupported = [
        name.removeprefix("fmr_")
        for name, point in evaluation["operating_points"].items()
        if not point["supported"]
    ]
    if unsupported:
        yield (
            f"No FNMR is given at FMR {', '.join(unsupported)}: by the rule of 30, at least 30 "
            f"false matches must be expected, and there are "
            f"{evaluation['counts']['impostor_comparisons']:,} impostor comparisons."
        )


def _failure_notes(result: Mapping[str, Any]) -> Iterable[str]:
    for entry in (result, *result["others"]):
        generalised = entry["generalised"]
        if generalised is None or not generalised["failures"]:
            continue
        point = generalised["points"]["eer"]
        yield (
            f"{entry['model']['name']}, with failures to extract counted as non-matches "
            f"({100 * generalised['failure_rate']:.2f} % of the images): at its EER threshold "
            f"GFRR {100 * point['gfrr']:.2f} % and GFAR {100 * point['gfar']:.2f} %."
        )


def _difference_notes(result: Mapping[str, Any], other: Mapping[str, Any]) -> Iterable[str]:
    eer = other["differences"].get("eer")
    if eer is None or eer["interval"] is None:
        return
    low, high = (100 * bound for bound in eer["interval"])
    first, second = result["model"]["name"], other["model"]["name"]
    if eer["significant"]:
        better = first if eer["difference"] > 0 else second
        verdict = f"{better} is better"
    else:
        verdict = "the interval holds 0, so neither is shown to be better"
    yield (
        f"EER of {second} minus that of {first}, on the same resamples of persons: "
        f"{100 * eer['difference']:+.2f} percentage points (90 % interval {low:+.2f} to "
        f"{high:+.2f}): {verdict}."
    )


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
