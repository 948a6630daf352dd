"""`iris-tf evaluate`: one model on one split of one manifest."""

from pathlib import Path
from typing import Any

import numpy as np

from iris_tf.datasets.manifest import SPLITS, ManifestRow, read_manifest, read_settings
from iris_tf.datasets.roi_store import read_crop
from iris_tf.errors import DatasetError, ModelError
from iris_tf.evaluation.evaluate import evaluate_embeddings
from iris_tf.files import sha256, write_json
from iris_tf.inference.models import crop_settings, open_model
from iris_tf.machine import machine_description
from iris_tf.progress import track


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
    model: str | Path, manifest: str | Path, out: str | Path, split: str = "test"
) -> dict[str, Any]:
    """Embed a split with a model, evaluate it and write ``metrics.json``.

    Parameters
    ----------
    model : str or Path
        A ``.tflite`` or ``.keras`` file, or a run folder (its best checkpoint).
    manifest : str or Path
        Manifest of a prepared dataset; crops are read relative to its folder.
    out : str or Path
        Folder of ``metrics.json``; made when missing.
    split : {"train", "val", "test", "all"}

    Returns
    -------
    dict
        What was written: ``model`` (file, sha256, bytes), ``manifest``, ``split``,
        ``evaluation`` (see `evaluate_embeddings`) and ``machine``.

    Raises
    ------
    ModelError, DatasetError, EvaluationError
        When model, manifest or a crop cannot be used.
    """
    rows = select_rows(manifest, split)
    embedder = open_model(model)
    _check_crops(model, manifest)
    crops = (read_crop(Path(manifest).parent / row.roi) for row in rows)
    embeddings = embedder.embed(track(crops, f"Embedding with {embedder.path.name}", len(rows)))
    result = {
        "model": {
            "file": embedder.path.name,
            "sha256": sha256(embedder.path),
            "bytes": embedder.path.stat().st_size,
        },
        "manifest": str(manifest),
        "split": split,
        "evaluation": evaluate_embeddings(np.asarray(embeddings), rows),
        "machine": machine_description(),
    }
    write_json(Path(out) / "metrics.json", result)
    return result


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
