"""The manifest: one table that says which image shows which eye of whom."""

import csv
import dataclasses
import io
import json
from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from iris_tf.imaging.geometry import Ellipse
from iris_tf.support.errors import DatasetError
from iris_tf.support.files import write_text

SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class ManifestRow:
    """One eye image, and after preparation its region-of-interest crop.

    Attributes
    ----------
    image : str
        Path of the eye image, relative to the image folder, with ``/``.
    dataset : str
        Name of the layout or set, e.g. ``"casia-thousand"``.
    subject : str
        The person.
    eye : str
        ``"L"``, ``"R"``, or ``""`` where the layout does not say.
    identity : str
        One eye of one subject: the class label.
    sample : str
        The image's name within its identity.
    split : str
        ``"train"``, ``"val"``, ``"test"``, or ``""`` before splitting.
    roi : str
        Path of the crop relative to the manifest's folder, or ``""`` before preparation.
    note : str
        What was converted on reading (``"16-bit to 8-bit"``, ``"colour to grey"``).
    pupil_x, pupil_y, pupil_a, pupil_b, pupil_angle : float or None
        Pupil ellipse in pixels of the eye image and radians (see `Ellipse`).
    iris_x, iris_y, iris_a, iris_b, iris_angle : float or None
        Limbus ellipse, likewise.
    visible : float or None
        Share of the ring between the two ellipses, as far as it is in the frame, that is
        visible, 0..1.
    confidence : float or None
        How far the segmenter trusts its result, 0..1; None in a manifest of before
        there was one, as for the quality figures below.
    usable_iris_area, iris_sclera_contrast, iris_pupil_contrast : float or None
        Quality figures, 0..100 (see `iris_tf.segmentation.quality.IrisQuality`).
    grey_scale_utilisation : float or None
        Likewise, bits, 0..8.
    iris_radius : float or None
        Likewise, pixels.
    pupil_iris_ratio, iris_pupil_concentricity, margin_adequacy : float or None
        Likewise, percent.
    sharpness : float or None
        Likewise, 0..100.
    """

    image: str
    dataset: str
    subject: str
    eye: str
    identity: str
    sample: str
    split: str = ""
    roi: str = ""
    note: str = ""
    pupil_x: float | None = None
    pupil_y: float | None = None
    pupil_a: float | None = None
    pupil_b: float | None = None
    pupil_angle: float | None = None
    iris_x: float | None = None
    iris_y: float | None = None
    iris_a: float | None = None
    iris_b: float | None = None
    iris_angle: float | None = None
    visible: float | None = None
    confidence: float | None = None
    usable_iris_area: float | None = None
    iris_sclera_contrast: float | None = None
    iris_pupil_contrast: float | None = None
    grey_scale_utilisation: float | None = None
    iris_radius: float | None = None
    pupil_iris_ratio: float | None = None
    iris_pupil_concentricity: float | None = None
    margin_adequacy: float | None = None
    sharpness: float | None = None

    def with_geometry(self, pupil: Ellipse, iris: Ellipse, visible: float) -> "ManifestRow":
        """Copy of the row with both ellipses and the visible share filled in."""
        # NumPy's float32 is no float: it would be written with other digits.
        values = {f"pupil_{k}": float(v) for k, v in dataclasses.asdict(pupil).items()}
        values |= {f"iris_{k}": float(v) for k, v in dataclasses.asdict(iris).items()}
        return dataclasses.replace(self, **values, visible=float(visible))


_COLUMNS = [f.name for f in fields(ManifestRow)]
_FLOAT_COLUMNS = _COLUMNS[_COLUMNS.index("pupil_x") :]
_REQUIRED = ("image", "dataset", "subject", "eye", "identity", "sample")
_NEVER_EMPTY = ("image", "subject", "identity")
_SETTINGS = {"images", "layout", "segmenter", "roi_mode", "split_by", "seed", "synthetic"}


def write_manifest(path: str | Path, rows: Iterable[ManifestRow]) -> None:
    """Write the table as CSV (UTF-8, header, one line an image), whole or not at all.

    Geometry and quality figures are written with four decimals.
    """
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for row in rows:
        writer.writerow(
            f"{value:.4f}" if isinstance(value, float) else ("" if value is None else value)
            for value in (getattr(row, name) for name in _COLUMNS)
        )
    write_text(path, buffer.getvalue())


def read_manifest(path: str | Path) -> list[ManifestRow]:
    """Read a manifest.

    Raises
    ------
    DatasetError
        When the file is missing, is no CSV table, lacks a column, or has a
        line that does not parse.
    """
    path = Path(path)
    if not path.is_file():
        raise DatasetError(
            f"{path}: there is no such manifest; "
            "make one with `iris-tf prepare --images DIR --out DIR`."
        )
    # -sig, because spreadsheets put a byte-order mark in front when they save.
    with open(path, newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        try:
            missing = [name for name in _REQUIRED if name not in (reader.fieldnames or [])]
            if missing:
                raise DatasetError(
                    f"{path}: no column {', '.join(missing)}; "
                    "a manifest is written by `iris-tf prepare`."
                )
            return [_parse(record, f"{path}, line {reader.line_num}") for record in reader]
        except (UnicodeDecodeError, csv.Error):
            raise DatasetError(
                f"{path}: this is not a CSV table; a manifest is written by `iris-tf prepare`."
            ) from None


def _parse(record: dict[str, str | None], place: str) -> ManifestRow:
    values = {name: record.get(name) or "" for name in _COLUMNS}
    for name in _NEVER_EMPTY:
        if not values[name]:
            raise DatasetError(f"{place}: {name} is empty; run `iris-tf prepare` again.")
    if values["split"] not in ("", *SPLITS):
        raise DatasetError(
            f"{place}: the split {values['split']!r} is none of {', '.join(SPLITS)}; correct it."
        )
    for name in _FLOAT_COLUMNS:
        try:
            values[name] = float(values[name]) if values[name] else None
        except ValueError:
            raise DatasetError(
                f"{place}: {name} is {values[name]!r}, not a number; run `iris-tf prepare` again."
            ) from None
    return ManifestRow(**values)


def read_settings(path: str | Path) -> dict[str, Any]:
    """Read how the crops of a dataset were made.

    Parameters
    ----------
    path : str or Path
        ``dataset.json`` beside the manifest, or a run's copy of it.

    Returns
    -------
    dict
        ``images``, ``layout``, ``segmenter``, ``roi_mode`` and ``split_by`` (str),
        ``seed`` (int), and ``synthetic`` (bool): whether the eyes were generated.
        Datasets of later versions also tell ``segmenter_version`` (str) and
        ``min_quality`` (dict of figure to limit).

    Raises
    ------
    DatasetError
        When the file is missing or was not written by `iris-tf prepare`.
    """
    path = Path(path)
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))["settings"]
        missing = _SETTINGS - settings.keys()
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise DatasetError(
            f"{path}: is missing or not written by `iris-tf prepare`; prepare the dataset again."
        ) from None
    if missing:
        raise DatasetError(
            f"{path}: {', '.join(sorted(missing))} is missing from the settings; prepare the "
            "dataset again."
        )
    return settings
