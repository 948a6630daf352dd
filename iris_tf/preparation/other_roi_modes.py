"""Crops of other ROI modes, cut from a dataset's images by the segmentation that it keeps.

``dataset/<ROI mode>/`` is a dataset of the same images, splits and segmentation. It is made when a
command asks for it, and again when the dataset has changed.
"""

import csv
import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from iris_tf.config.names import IRIS_ROI_MODES, NO_SEGMENTER
from iris_tf.data.manifest import ManifestRow, read_manifest, read_settings, write_manifest
from iris_tf.imaging.images import read_eye, write_png
from iris_tf.preparation.dataset_tables import write_failures
from iris_tf.preparation.file_stamps import file_stamp, is_unchanged
from iris_tf.preparation.journal import Journal, Outcome
from iris_tf.preparation.kept_segmentation import mask_path, read_segmentation
from iris_tf.segmentation.roi_modes import crop_roi
from iris_tf.support.errors import DatasetError, ExtractionError, FailureReason
from iris_tf.support.files import replace_folder, sha256, sole_user, write_json
from iris_tf.support.progress import track

_CUT_FROM = "cut_from"  # SHA-256 of the dataset's manifest, in `dataset.json`


def cut_if_asked_for(folder: Path) -> None:
    """Make or update ``dataset/<ROI mode>/``; any other folder is left alone.

    Images that give no crop in this ROI mode are left out and added to ``failures.csv``.

    Parameters
    ----------
    folder : Path
        A folder that a command is about to read a dataset from.

    Raises
    ------
    DatasetError
        If the dataset keeps no segmentation, an image is missing or has changed, or none gives a
        crop.
    InUseError
        If another process is preparing the dataset.
    """
    dataset, roi_mode = folder.parent, folder.name
    manifest = dataset / "manifest.csv"
    if roi_mode not in IRIS_ROI_MODES or not (manifest.is_file() and _is_free(folder)):
        return
    if _description(folder).get(_CUT_FROM) == sha256(manifest):
        return
    with sole_user(dataset), replace_folder(folder) as new:
        _cut(dataset, roi_mode, new)


def _is_free(folder: Path) -> bool:
    """Whether a folder is missing, or was made here."""
    return not folder.exists() or _CUT_FROM in _description(folder)


def _description(folder: Path) -> dict[str, Any]:
    try:
        return dict(json.loads((folder / "dataset.json").read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return {}


def _cut(dataset: Path, roi_mode: str, out: Path) -> None:
    settings = read_settings(dataset / "dataset.json")
    if settings["segmenter"] == NO_SEGMENTER:
        raise DatasetError(
            f"{dataset}: was prepared without a segmenter, so there is no iris to crop; prepare "
            "the images with one into a new folder."
        )
    rows, outcomes = read_manifest(dataset / "manifest.csv"), Journal(dataset).read()

    def cut(row: ManifestRow) -> Outcome:
        return _cut_one(row, outcomes, dataset, settings | {"roi_mode": roi_mode}, out)

    # Decoding and cropping run without the GIL for the most part, so threads are enough.
    with ThreadPoolExecutor() as pool:
        found = list(track(pool.map(cut, rows), f"Cropping irises ({roi_mode})", len(rows)))
    kept = [row for row, outcome in zip(rows, found, strict=True) if not outcome.reason]
    if not kept:
        raise DatasetError(f"{dataset}: no image gives a crop in the ROI mode {roi_mode}.")
    write_manifest(out / "manifest.csv", kept)
    before, split_of = _failures(dataset / "failures.csv")
    split_of |= {row.image: row.split for row in rows}
    failures = write_failures(out / "failures.csv", [*before, *found], split_of)
    write_json(
        out / "dataset.json",
        {
            "complete": True,
            "name": rows[0].dataset,
            "settings": settings | {"roi_mode": roi_mode},
            "counts": {"prepared": len(kept), "failures": failures},
            _CUT_FROM: sha256(dataset / "manifest.csv"),
        },
    )


def _failures(table: Path) -> tuple[list[Outcome], dict[str, str]]:
    """Failures of the dataset, which are failures in every ROI mode, and the splits they are in."""
    with open(table, newline="", encoding="utf-8") as file:
        records = [
            record for record in csv.DictReader(file) if record["reason"] != FailureReason.NOT_READ
        ]
    outcomes = [
        Outcome(record["image"], stamp="", reason=record["reason"], detail=record["detail"])
        for record in records
    ]
    return outcomes, {record["image"]: record["split"] for record in records}


def _cut_one(
    row: ManifestRow,
    outcomes: Mapping[str, Outcome],
    dataset: Path,
    settings: Mapping[str, Any],
    out: Path,
) -> Outcome:
    image = Path(settings["images"]) / row.image
    outcome = outcomes.get(row.image)
    if outcome is None:
        raise DatasetError(
            f"{dataset}: its journal does not know {row.image}, so the crop cannot be cut again; "
            "prepare the images into a new folder."
        )
    if not is_unchanged(outcome, image, file_stamp(image)):
        raise DatasetError(
            f"{image}: is missing or has changed since {dataset} was prepared; run `iris-tf "
            "prepare` again."
        )
    eye = read_segmentation(dataset / mask_path(row.roi), outcome)
    try:
        pixels = read_eye(image, settings["channels"]).pixels
        write_png(out / row.roi, crop_roi(pixels, eye, settings["roi_mode"]))
    except ExtractionError as error:
        return Outcome(row.image, stamp="", reason=str(error.reason), detail=str(error))
    return Outcome(row.image, stamp="")
