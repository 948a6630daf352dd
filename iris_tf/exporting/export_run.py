"""`iris-tf export`: export of a run to ``.tflite`` files with a model card."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from iris_tf.config.names import CARD_NAME
from iris_tf.config.precision import DEFAULT_PRECISIONS, any_calibrated
from iris_tf.exporting.export_tflite import export_model
from iris_tf.exporting.precision_report import REPORT_NAME, write_precision_report
from iris_tf.exporting.run_model import CREATOR, RunModel
from iris_tf.exporting.static_quantization import Quantization
from iris_tf.matching.calibration import Calibration
from iris_tf.support.errors import ModelError
from iris_tf.support.files import path_given, real_path, replace_folder, sha256
from iris_tf.tflite.model_card import ModelCard, ModelFile
from iris_tf.training.quantized_training import calibration_crops
from iris_tf.training.run_folder import RunFolder


def export_run(
    path: str | Path,
    precisions: Sequence[str] = DEFAULT_PRECISIONS,
    report: bool = False,
    keep_float: Sequence[str] = (),
) -> tuple[Path, ModelCard]:
    """Export the best checkpoint of a run to ``RUN/models/``.

    The card's thresholds of similarities are estimated on the run's validation split, with the
    Keras model that every exported file is checked against. With a phase code the card has scores,
    too (see `iris_tf.exporting.card_scores`), by which `verify` then decides.

    Files in other precisions that this version exported earlier from the same weights are kept,
    also in the card. Other ``.tflite`` files are removed together with their calibrations
    (``calibration-*.json``); all other files in the folder are kept, except for the last report.

    Parameters
    ----------
    path : str or Path
        Run folder.
    precisions : sequence of str
        From `iris_tf.config.precision.PRECISIONS`.
    report : bool, optional
        Whether to write `REPORT_NAME` beside the files: how far the layers of calibrated
        precisions agree with float32, and how the model fares in float16 arithmetic.
    keep_float : sequence of str, optional
        Regular expressions of layers that stay float32, beside those of the run's recipe.

    Returns
    -------
    folder : Path
        ``RUN/models``; replaced atomically with card and files.
    card : ModelCard

    Raises
    ------
    ModelError, DatasetError
        If the run has no model yet, or its dataset is missing.
    TrainingError
        If the images of the dataset, or how they were cropped, have changed since the run was
        started.
    EvaluationError
        If the validation split has too few comparisons to set a threshold.
    ExportError
        If an exported file does not agree with the Keras model.
    """
    run = RunFolder.open(path_given(path, "The run folder"))
    source = RunModel.of(run)
    name = real_path(run.path).name
    with replace_folder(run.models) as folder:
        made = export_model(
            source.model,
            folder,
            name,
            precisions,
            parity_rois=source.parity_rois,
            quantization=_quantization(run, report, keep_float)
            if any_calibrated(precisions)
            else None,
        )
        if report:
            write_precision_report(folder, source.model, source.parity_rois, made)
        files = {file.path.name: file.card_entry() for file in made}
        parity = {file.precision: file.parity_min_cosine for file in made}
        for file, (entry, cosine) in _earlier(run.models, name, source.weights).items():
            if file not in files:
                shutil.copy2(run.models / file, folder)
                files[file], parity[entry.precision] = entry, cosine
        _keep_others(run.models, folder, files)
        card = source.card(name, files, parity, CREATOR)
        card.write(folder / CARD_NAME)
    return run.models, card


def _quantization(run: RunFolder, report: bool, keep_float: Sequence[str]) -> Quantization:
    """Crops of the training split by the run's recipe."""
    wanted = run.recipe().quantization
    rois = calibration_crops(run, wanted)
    return Quantization(rois, (*wanted.keep_float, *keep_float), wanted.seed, report)


def _earlier(models: Path, name: str, weights: str) -> dict[str, tuple[ModelFile, float]]:
    """Card entries and parity of files from an earlier export of these weights."""
    try:
        card = ModelCard.read(models / CARD_NAME)
    except ModelError:
        return {}  # no earlier export, or an unreadable card
    # Another version may build a different graph from the same weights.
    if (card.name, card.weights_sha256, card.created_by) != (name, weights, CREATOR):
        return {}
    return {
        file: (entry, card.parity[entry.precision])
        for file, entry in card.files.items()
        if (models / file).is_file() and sha256(models / file) == entry.sha256
    }


def _keep_others(models: Path, folder: Path, files: dict[str, ModelFile]) -> None:
    """Copy other files: those about models that are kept, and files that users have added."""
    known = {file.sha256 for file in files.values()}
    for path in models.glob("[!.]*"):
        if path.name in (CARD_NAME, REPORT_NAME) or path.suffix == ".tflite":
            continue
        if path.match("calibration-*.json"):
            try:
                if Calibration.read(path).model_sha256 not in known:
                    continue
            except ModelError:
                continue
        if path.is_dir():
            shutil.copytree(path, folder / path.name)
        else:
            shutil.copy2(path, folder)
