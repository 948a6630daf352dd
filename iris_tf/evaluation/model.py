"""`iris-tf evaluate`: one model, and a baseline if wanted, on one split of one manifest."""

from pathlib import Path
from typing import Any

import numpy as np

from iris_tf.datasets.manifest import SPLITS, ManifestRow, read_manifest, read_settings
from iris_tf.datasets.roi_store import read_crop
from iris_tf.errors import DatasetError, EvaluationError, ModelError
from iris_tf.evaluation.evaluate import evaluate_embeddings, evaluate_similarities
from iris_tf.evaluation.iriscode import IrisCodeBaseline, hamming_distances, iriscode_of_dataset
from iris_tf.evaluation.model_report import write_model_report
from iris_tf.files import sha256, write_json
from iris_tf.inference.models import crop_settings, open_model
from iris_tf.machine import machine_description
from iris_tf.progress import track

BASELINES = ("iriscode",)


def select_rows(manifest: str | Path, split: str) -> list[ManifestRow]:
    """Prepared rows of a split, or of all splits.

    Parameters
    ----------
    manifest : str or Path
        Manifest of a prepared dataset.
    split : {"train", "val", "test", "all"}

    Raises
    ------
    DatasetError
        When the split is unknown or empty, or an image has no crop.
    """
    if split not in (*SPLITS, "all"):
        raise DatasetError(f"split {split!r} is unknown; choose train, val, test or all.")
    rows = [row for row in read_manifest(manifest) if split in ("all", row.split)]
    if not rows:
        raise DatasetError(f"{manifest}: no row belongs to the split {split}.")
    for row in rows:
        if not row.roi:
            raise DatasetError(f"{manifest}: {row.image} has no crop; run `iris-tf prepare` first.")
    return rows


def evaluate_model(
    model: str | Path,
    manifest: str | Path,
    out: str | Path,
    split: str = "test",
    baseline: str | None = None,
    segmenter_model: str | Path | None = None,
    jobs: int = -1,
) -> dict[str, Any]:
    """Embed a split with a model, evaluate it and write ``metrics.json`` and ``report.html``.

    With a baseline, both are compared on the images that both could use; the model's own
    figures stay those of all images.

    Parameters
    ----------
    model : str or Path
        A ``.tflite`` or ``.keras`` file, or a run folder (its best checkpoint).
    manifest : str or Path
        Manifest of a prepared dataset; crops are read relative to its folder.
    out : str or Path
        Folder of both files; made when missing. There is no report on a manifest
        without its ``dataset.json``.
    split : {"train", "val", "test", "all"}
    baseline : {None, "iriscode"}
        What to compare the model with (see `iris_tf.evaluation.iriscode`).
    segmenter_model : str or Path, optional
        File with the network of the segmenter that made the crops, if it was not its own:
        the baseline segments the eye images again.
    jobs : int
        Processes that encode for the baseline; -1 for one a core.

    Returns
    -------
    dict
        What was written: ``model`` (file, sha256, bytes), ``manifest``, ``split``,
        ``evaluation`` (see `evaluate_embeddings`), ``baselines`` and ``machine``. Each
        baseline has ``name``, ``library``, ``segmenter``, ``segmenter_version``,
        ``templates`` (number of images it could use), ``failures`` (the others by
        `FailureReason`), ``errors`` (the same by the library's own names), ``evaluation``
        of the baseline, and ``model_evaluation``, of the model on the same images.

    Raises
    ------
    ModelError, DatasetError, EvaluationError
        When model, manifest or a crop cannot be used.
    """
    rows = select_rows(manifest, split)
    if baseline not in (None, *BASELINES):
        raise EvaluationError(
            f"baseline {baseline!r} is unknown; choose one of {', '.join(BASELINES)}."
        )
    embedder = open_model(model)
    _check_crops(model, manifest)
    codes = iriscode_of_dataset(rows, manifest, segmenter_model, jobs) if baseline else None
    crops = (read_crop(Path(manifest).parent / row.roi) for row in rows)
    embeddings = np.asarray(
        embedder.embed(track(crops, f"Embedding with {embedder.path.name}", len(rows)))
    )
    evaluation = evaluate_embeddings(embeddings, rows)
    result = {
        "model": {
            "file": embedder.path.name,
            "sha256": sha256(embedder.path),
            "bytes": embedder.path.stat().st_size,
        },
        "manifest": str(manifest),
        "split": split,
        "evaluation": evaluation,
        "baselines": [] if codes is None else [_beside(codes, evaluation, embeddings, rows)],
        "machine": machine_description(),
    }
    write_json(Path(out) / "metrics.json", result)
    write_model_report(Path(out) / "report.html", result, embedder.path, manifest)
    return result


def _beside(
    baseline: IrisCodeBaseline,
    evaluation: dict[str, Any],
    embeddings: np.ndarray,
    rows: list[ManifestRow],
) -> dict[str, Any]:
    """A baseline's entry in ``metrics.json``."""
    usable = baseline.codes.images
    compared = [rows[i] for i in usable]
    similarities = 1.0 - hamming_distances(baseline.codes.codes, baseline.codes.masks)
    if len(compared) < len(rows):
        evaluation = evaluate_embeddings(embeddings[usable], compared)
    return {
        "name": "IrisCode",
        "library": f"Open-Iris {baseline.version}",
        "segmenter": baseline.segmenter,
        "segmenter_version": baseline.segmenter_version,
        "templates": len(compared),
        "failures": baseline.codes.failures,
        "errors": baseline.codes.errors,
        "evaluation": evaluate_similarities(similarities, compared),
        "model_evaluation": evaluation,
    }


def _check_crops(model: str | Path, manifest: str | Path) -> None:
    """Refuse crops of another kind than the model's: the figures would mean nothing.

    Says nothing where either side does not know, e.g. of a ``.tflite`` without card.
    """
    wanted = crop_settings(model)
    description = Path(manifest).parent / "dataset.json"
    if wanted is None or not description.is_file():
        return
    found = read_settings(description)
    for name in ("roi_mode", "segmenter"):
        if wanted[name] != found[name]:
            raise ModelError(
                f"{model}: was trained on crops with {name} {wanted[name]}, but {manifest} holds "
                f"{found[name]}; prepare the images as the model wants them."
            )
