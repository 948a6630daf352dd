"""The page of `iris-tf evaluate`: one model, and its baselines beside it."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from iris_tf.datasets.manifest import read_manifest, read_settings
from iris_tf.evaluation.report import Report, ReportRow, count_splits, write_report
from iris_tf.inference.model_card import CARD_NAME, ModelCard


def write_model_report(
    path: str | Path, result: Mapping[str, Any], model: Path, manifest: str | Path
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
    model : Path
        The model's file.
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
            title=f"Evaluation of {result['model']['file']}",
            dataset="Synthetic eyes" if settings["synthetic"] else settings["layout"],
            evaluated_on="all splits" if split == "all" else f"{split} split",
            synthetic=settings["synthetic"],
            roi_mode=settings["roi_mode"],
            rows=report_rows(result, _precision(model)),
            splits=count_splits(read_manifest(manifest)),
            failures=counts.get("failures", {}),
            environment=result["machine"],
            notes=[
                note
                for baseline in result["baselines"]
                for note in _notes(baseline, result["evaluation"], settings)
            ],
        ),
    )


def report_rows(result: Mapping[str, Any], precision: str = "") -> list[ReportRow]:
    """Lines of the result table: the model, and with each baseline the model on its images.

    Parameters
    ----------
    result : mapping
        The content of ``metrics.json``.
    precision : str, optional
        Of the model's file.
    """
    name, size = result["model"]["file"], result["model"]["bytes"]
    rows = [ReportRow(name, precision, result["evaluation"], bytes=size)]
    for baseline in result["baselines"]:
        if baseline["templates"] < result["evaluation"]["counts"]["images"]:
            same = f"{name}, on the images of {baseline['name']}"
            rows.append(ReportRow(same, precision, baseline["model_evaluation"], bytes=size))
        title = f"{baseline['name']} ({baseline['library']})"
        rows.append(ReportRow(title, "", baseline["evaluation"]))
    return rows


def _precision(model: Path) -> str:
    card = model.with_name(CARD_NAME)
    if model.suffix != ".tflite" or not card.is_file():
        return ""
    file = ModelCard.read(card).files.get(model.name)
    return "" if file is None else file.precision


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
