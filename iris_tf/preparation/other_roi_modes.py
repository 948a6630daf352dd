"""Crops of other ROI modes, cut from a dataset's images by the segmentation that it keeps.

``dataset/<ROI mode>/`` is a dataset of the same images, splits and segmentation. It is made when a
command asks for it, and again when the dataset has changed.
"""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from iris_tf.config.names import IRIS_ROI_MODES, NO_SEGMENTER
from iris_tf.data.manifest import ManifestRow, read_manifest, read_settings, write_manifest
from iris_tf.imaging.images import read_eye, write_png
from iris_tf.preparation.dataset_tables import write_failures
from iris_tf.preparation.journal import Outcome
from iris_tf.preparation.kept_segmentation import mask_path, read_segmentation
from iris_tf.preparation.source_images import SourceImages
from iris_tf.segmentation.roi_modes import crop_roi
from iris_tf.support.errors import DatasetError, ExtractionError, FailureReason
from iris_tf.support.files import replace_folder, sha256, sole_user, write_json
from iris_tf.support.foreign_files import Inside, read_object, read_table
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


def folder_of_roi_mode(folder: Path, roi_mode: str) -> Path:
    """Folder that holds a dataset's crops in a ROI mode, which are cut if need be.

    Parameters
    ----------
    folder : Path
        Folder of the dataset, or of its crops in any ROI mode.
    roi_mode : str
        One of `IRIS_ROI_MODES`.

    Raises
    ------
    DatasetError, InUseError
        As for `cut_if_asked_for`; also if there is no such dataset, or another folder in place of
        the crops.
    """
    dataset = folder.parent if _CUT_FROM in _description(folder) else folder
    if read_settings(dataset / "dataset.json")["roi_mode"] == roi_mode:
        return dataset
    if not (dataset / "manifest.csv").is_file():
        raise DatasetError(f"{dataset}: there is no manifest.csv; run `iris-tf prepare` again.")
    crops = dataset / roi_mode
    if not _is_free(crops):
        raise DatasetError(f"{crops}: is no folder of crops that were cut here; rename it.")
    cut_if_asked_for(crops)
    return crops


def _is_free(folder: Path) -> bool:
    """Whether a folder is missing, or was made here."""
    return not folder.exists() or _CUT_FROM in _description(folder)


def _description(folder: Path) -> dict[str, Any]:
    try:
        return read_object(folder / "dataset.json")
    except (OSError, ValueError):
        return {}


def _cut(dataset: Path, roi_mode: str, out: Path) -> None:
    settings = read_settings(dataset / "dataset.json")
    if settings["segmenter"] == NO_SEGMENTER:
        raise DatasetError(
            f"{dataset}: was prepared without a segmenter, so there is no iris to crop; prepare "
            "the images with one into a new folder."
        )
    rows, sources = read_manifest(dataset / "manifest.csv"), SourceImages(dataset, settings)
    inside = Inside(dataset)

    def cut(row: ManifestRow) -> Outcome:
        return _cut_one(row, sources, inside, settings | {"roi_mode": roi_mode}, out)

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
    try:
        records = [
            record for _, record in read_table(table) if record["reason"] != FailureReason.NOT_READ
        ]
        outcomes = [
            Outcome(record["image"], stamp="", reason=record["reason"], detail=record["detail"])
            for record in records
        ]
        return outcomes, {record["image"]: record["split"] for record in records}
    except (OSError, KeyError, ValueError):
        raise DatasetError(
            f"{table}: is missing or not a table of `iris-tf prepare`; run it again."
        ) from None


def _cut_one(
    row: ManifestRow,
    sources: SourceImages,
    dataset: Inside,
    settings: Mapping[str, Any],
    out: Path,
) -> Outcome:
    outcome = sources.outcome(row)
    try:
        masks = dataset(mask_path(row.roi))
    except ValueError as problem:
        raise DatasetError(
            f"{dataset.folder}: the segmentation {problem}; run `iris-tf prepare` again."
        ) from None
    eye = read_segmentation(masks, outcome)
    try:
        pixels = read_eye(sources.folder / row.image, settings["channels"]).pixels
        if eye.visible.shape != pixels.shape[:2]:
            raise DatasetError(
                f"{dataset.folder}: the masks of {row.image} have another size than the image; "
                "prepare the images into a new folder."
            )
        write_png(out / row.roi, crop_roi(pixels, eye, settings["roi_mode"]))
    except ExtractionError as error:
        return Outcome(row.image, stamp="", reason=str(error.reason), detail=str(error))
    return Outcome(row.image, stamp="")
