"""`iris-tf export`: export of a run to ``.tflite`` files with a model card."""

import dataclasses
import shutil
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np

from iris_tf.config.names import CARD_NAME
from iris_tf.config.precision import DEFAULT_PRECISIONS, PRECISIONS
from iris_tf.data.crop_store import load_rois
from iris_tf.data.dataset_title import dataset_title
from iris_tf.data.manifest import ManifestRow, model_segmenter, read_manifest, read_settings
from iris_tf.exporting.card_scores import card_scores
from iris_tf.exporting.export_tflite import ExportedFile, export_model
from iris_tf.exporting.float16_check import check_float16, extreme_crops
from iris_tf.exporting.static_quantization import Quantization
from iris_tf.matching.calibration import Calibration
from iris_tf.matching.matcher import Matcher
from iris_tf.metrics.counts import give_both_kinds
from iris_tf.metrics.evaluate_embeddings import evaluate_embeddings
from iris_tf.networks.embed_rois import embed_rois, load_embedding_model
from iris_tf.networks.phase_code import with_phase
from iris_tf.support.errors import EvaluationError, ModelError
from iris_tf.support.files import path_given, real_path, replace_folder, sha256, write_json
from iris_tf.support.progress import status
from iris_tf.support.version import __version__
from iris_tf.tflite.model_card import ModelCard, ModelFile
from iris_tf.training.run_folder import RunFolder

CREATOR = f"iris_tf {__version__}"
_PARITY_CROPS = 16

REPORT_NAME = "precision_report.json"
"""File beside the models of an export with `report`."""


def export_run(
    path: str | Path, precisions: Sequence[str] = DEFAULT_PRECISIONS, report: bool = False
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
    run.check_crops()
    recipe, settings = run.recipe(), read_settings(run.dataset_description)
    with status(f"Loading {run.best_model()}"):
        model = load_embedding_model(run.best_model())
    rows = read_manifest(run.manifest)
    validation = [row for row in rows if row.split == "val"]
    if not give_both_kinds(validation):
        raise EvaluationError(
            f"{run.path}: the run's validation split has too few eyes to set a threshold; train "
            "on a dataset of more eyes, with several images of each."
        )
    run.check_manifest()
    rois = load_rois(validation, run.dataset(), recipe.network.crop_size, settings["channels"])
    layout = None
    if recipe.network.phase:
        model, layout = with_phase(model, recipe.network.phase)
    with status("Setting thresholds on the validation split"):
        embeddings = embed_rois(model, rois)
        metrics = evaluate_embeddings(
            embeddings, validation, resamples=0, matcher=Matcher(layout)
        ).metrics
        scores = None if layout is None else card_scores(embeddings, validation, layout)
    spread = np.linspace(0, len(rois) - 1, min(_PARITY_CROPS, len(rois))).astype(int)
    name, dataset = real_path(run.path).name, dataset_title(settings)
    training = [row for row in rows if row.split == "train"]
    calibrated = any(name in PRECISIONS and PRECISIONS[name].calibrated for name in precisions)
    weights = sha256(run.best_model())
    with replace_folder(run.models) as folder:
        made = export_model(
            model,
            folder,
            name,
            precisions,
            parity_rois=rois[spread],
            quantization=(
                _quantization(run, training, settings["channels"], report) if calibrated else None
            ),
        )
        if report:
            _write_report(folder, model, rois[spread], made)
        files = {
            file.path.name: ModelFile(file.precision, file.sha256, file.bytes) for file in made
        }
        parity = {file.precision: file.parity_min_cosine for file in made}
        for file, (entry, cosine) in _earlier(run.models, name, weights).items():
            if file not in files:
                shutil.copy2(run.models / file, folder)
                files[file], parity[entry.precision] = entry, cosine
        _keep_others(run.models, folder, files)
        card = ModelCard(
            name=name,
            network=recipe.network.name,
            roi_mode=settings["roi_mode"],
            segmenter=model_segmenter(settings),
            segmenter_version=settings.get("segmenter_version", ""),
            input_size=recipe.network.crop_size,
            channels=settings["channels"],
            embedding_size=model.output_shape[-1],
            phase=layout,
            score=scores,
            thresholds=dict(metrics.thresholds),
            thresholds_from={
                "dataset": dataset,
                "split": "val",
                "genuine_comparisons": metrics.counts.genuine_comparisons,
                "impostor_comparisons": metrics.counts.impostor_comparisons,
            },
            files=files,
            training_data=(
                f"{dataset}: {len(training)} images of "
                f"{len({row.identity for row in training})} identities"
            ),
            parity=parity,
            metrics={"validation": dict(metrics.values)},
            created_by=CREATOR,
            weights_sha256=weights,
        )
        card.write(folder / CARD_NAME)
    return run.models, card


def _quantization(
    run: RunFolder, training: Sequence[ManifestRow], channels: int, report: bool
) -> Quantization:
    """Crops of the training split by the run's recipe."""
    recipe = run.recipe()
    wanted = recipe.quantization
    count = min(wanted.calibration_crops, len(training))
    chosen = np.random.default_rng(wanted.seed).choice(len(training), count, replace=False)
    # The packed copy of all training crops is there since training.
    rois = load_rois(training, run.dataset(), recipe.network.crop_size, channels)
    return Quantization(
        np.asarray(rois[np.sort(chosen)]), tuple(wanted.keep_float), wanted.seed, report
    )


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


def _write_report(
    folder: Path, model: keras.Model, rois: np.ndarray, made: Sequence[ExportedFile]
) -> None:
    size, channels = model.input_shape[1:3], model.input_shape[3]
    extreme = np.stack(list(extreme_crops(size, channels).values()))
    write_json(
        folder / REPORT_NAME,
        {
            "layers": {
                file.precision: [dataclasses.asdict(layer) for layer in file.layers]
                for file in made
                if file.layers
            },
            "float16_arithmetic": {
                name: dataclasses.asdict(check_float16(model, crops))
                for name, crops in (("real", rois), ("extreme", extreme))
            },
        },
    )


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
