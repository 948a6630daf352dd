"""The manifest: the table of images with identity labels, splits and crops."""

import csv
import dataclasses
import io
import posixpath
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from iris_tf.config.names import NO_SEGMENTER, SPLIT_BY_ALIASES, SPLITS
from iris_tf.data.iris_record import IRIS_COLUMNS, IrisRecord
from iris_tf.support.errors import DatasetError
from iris_tf.support.files import path_given, write_text
from iris_tf.support.foreign_files import (
    leaves_folder,
    read_cells,
    read_object,
    read_table,
    shown,
)

DRAWN_STRIPS = "drawn as strips"
"""Value of ``images`` in ``dataset.json`` for strips that were rendered without image files."""


@dataclass(frozen=True)
class ManifestRow:
    """One image, and after preparation its region-of-interest crop.

    Attributes
    ----------
    image : str
        Path of the image, relative to the image folder, with ``/``.
    dataset : str
        Name of the layout or dataset, e.g. ``"casia-thousand"``.
    subject : str
        Label of the subject.
    eye : str
        ``"L"``, ``"R"``, or ``""`` where the layout does not say.
    identity : str
        The class label: one eye of one subject, or the subject where images are not of eyes.
    sample : str
        The image's name within its identity.
    split : str
        ``"train"``, ``"val"``, ``"test"``, or ``""`` before splitting.
    roi : str
        Path of the crop relative to the manifest's folder, or ``""`` before preparation.
    note : str
        What was converted on reading (``"16-bit to 8-bit"``, ``"colour to grey"``).
    iris : IrisRecord or None
        Segmentation results; None before preparation and in datasets without a segmenter.
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
    iris: IrisRecord | None = None


_COLUMNS = tuple(field.name for field in dataclasses.fields(ManifestRow) if field.name != "iris")
_REQUIRED = ("image", "dataset", "subject", "eye", "identity", "sample")
_NEVER_EMPTY = ("image", "subject", "identity")
_LONGEST_PATH, _LONGEST_NAME = 4096, 1024  # characters; file systems have no longer ones
_PATHS = ("image", "roi")
_SETTINGS = {"images", "layout", "segmenter", "roi_mode", "split_by", "seed", "synthetic"}
_TEXTS = ("images", "layout", "segmenter", "segmenter_version", "model_segmenter", "roi_mode")
_KINDS = dict.fromkeys((*_TEXTS, "split_by"), str) | {
    "seed": int, "channels": int, "synthetic": bool, "min_quality": dict,
}  # fmt: skip


def write_manifest(path: str | Path, rows: Iterable[ManifestRow]) -> None:
    """Write the table as CSV (UTF-8, header, one line per image), atomically.

    The columns of `IrisRecord`, with four decimals, are present if any row has a record.
    """
    rows = list(rows)
    with_iris = any(row.iris is not None for row in rows)
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow((*_COLUMNS, *IRIS_COLUMNS) if with_iris else _COLUMNS)
    for row in rows:
        cells = [getattr(row, name) for name in _COLUMNS]
        if with_iris:
            cells += [""] * len(IRIS_COLUMNS) if row.iris is None else row.iris.to_cells()
        writer.writerow(cells)
    write_text(path, buffer.getvalue())


def read_manifest(path: str | Path) -> list[ManifestRow]:
    """Read a manifest.

    Raises
    ------
    DatasetError
        If the file is missing, is not a CSV table, lacks a column, has a line that cannot be
        parsed, or a path that leads out of the dataset's folder or image folder, or lists an
        image or a crop twice: its comparison with itself would count as a perfect genuine one.
    ArgumentError
        If `path` is no path.
    """
    path = path_given(path, "The manifest")
    if not path.is_file():
        raise DatasetError(
            f"{path}: there is no such manifest; "
            "make one with `iris-tf prepare --images DIR --out DIR`."
        )
    try:
        _, header = next(read_cells(path), (0, ()))
        missing = [name for name in _REQUIRED if name not in header]
        if missing:
            raise DatasetError(
                f"{path}: no column {', '.join(missing)}; "
                "a manifest is written by `iris-tf prepare`."
            )
        rows: list[ManifestRow] = []
        lines: dict[tuple[str, ...], int] = {}
        for line, record in read_table(path):
            place = f"{path}, line {line}"
            row = _parse(record, place)
            _check_new(row, lines, place, line)
            rows.append(row)
        return rows
    except ValueError as problem:
        raise DatasetError(
            f"{path}: this is not a CSV table ({problem}); a manifest is written by "
            "`iris-tf prepare`."
        ) from None


def _parse(record: Mapping[str, str], place: str) -> ManifestRow:
    values = {name: record.get(name, "") for name in _COLUMNS}
    for name in _NEVER_EMPTY:
        if not values[name]:
            raise DatasetError(f"{place}: {name} is empty; run `iris-tf prepare` again.")
    for name, value in values.items():
        if len(value) > (_LONGEST_PATH if name in _PATHS else _LONGEST_NAME):
            raise DatasetError(
                f"{place}: {name} is {shown(value)}, {len(value):,} characters long; run "
                "`iris-tf prepare` again."
            )
    for name in _PATHS:
        if leaves_folder(posixpath.normpath(values[name])):
            raise DatasetError(
                f"{place}: {name} is {shown(values[name])}, which leads out of its folder; "
                "run `iris-tf prepare` again, or get the dataset from someone you trust."
            )
    if values["split"] not in ("", *SPLITS):
        raise DatasetError(
            f"{place}: the split {shown(values['split'])} is none of {', '.join(SPLITS)}; correct "
            "it."
        )
    try:
        iris = IrisRecord.from_cells(record)
    except ValueError as error:
        raise DatasetError(f"{place}: {error}; run `iris-tf prepare` again.") from None
    return ManifestRow(**values, iris=iris)


def _check_new(row: ManifestRow, lines: dict[tuple[str, ...], int], place: str, line: int) -> None:
    image, roi = posixpath.normpath(row.image), posixpath.normpath(row.roi)
    for key, name in (((row.dataset, image), row.image), ((roi,), row.roi)):
        if name and lines.setdefault(key, line) != line:
            raise DatasetError(
                f"{place}: {name} is listed in line {lines[key]} already, and would be compared "
                "with itself; remove either line."
            )


def read_settings(path: str | Path) -> dict[str, Any]:
    """Read the settings that a dataset was prepared with.

    Parameters
    ----------
    path : str or Path
        ``dataset.json`` beside the manifest, or a run's copy of it.

    Returns
    -------
    dict
        ``images``, ``layout``, ``segmenter`` (``"none"`` where crops were made without one),
        ``roi_mode`` and ``split_by`` (str), ``seed`` and ``channels`` (int), and ``synthetic``
        (bool): whether the images are synthetic. All but the first versions also give
        ``segmenter_version`` (str) and ``min_quality`` (dict of figure to limit).
        See `canonical_settings` for files of earlier versions.

    Raises
    ------
    DatasetError
        If the file is missing or was not written by `iris-tf prepare`.
    """
    path = Path(path)
    try:
        settings = read_object(path)["settings"]
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
    for name, kind in _KINDS.items():
        if name in settings and type(settings[name]) is not kind:
            raise DatasetError(
                f"{path}: {name} in the settings is {shown(settings[name])}, which is not of the "
                f"type {kind.__name__}; prepare the dataset again."
            )
    return canonical_settings(settings)


def canonical_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of a ``dataset.json`` as the current version writes them.

    Files of version 0.1.0 have no ``channels`` (it is 1) and may have ``split_by: person``. For
    synthetic strips, their ``segmenter`` is the one that the model is intended for.
    """
    canonical = {"channels": 1} | dict(settings)
    split_by: Any = canonical.get("split_by")
    canonical["split_by"] = SPLIT_BY_ALIASES.get(split_by, split_by)
    if canonical.get("images") == DRAWN_STRIPS and canonical.get("segmenter") != NO_SEGMENTER:
        canonical |= {"segmenter": NO_SEGMENTER, "model_segmenter": canonical["segmenter"]}
    return canonical


def model_segmenter(settings: Mapping[str, Any]) -> str:
    """Name of the segmenter to use with a model that was trained on a dataset.

    It is the segmenter of the dataset, except for synthetic strips, whose settings name another
    one in ``model_segmenter``.
    """
    return settings.get("model_segmenter", settings["segmenter"])
