"""The segmentation results of an eye image that a manifest stores."""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from iris_tf.imaging.geometry import Ellipse
from iris_tf.support.foreign_files import shown

_OUTLINES = {"pupil": "pupil", "iris": "limbus"}  # prefix of the columns -> attribute


@dataclass(frozen=True, slots=True)
class IrisRecord:
    """Outlines, visibility and quality of one iris.

    Attributes
    ----------
    pupil, limbus : Ellipse
        Inner and outer outline of the iris, in pixels of the eye image and radians.
    visible : float
        Visible share of the ring between the outlines, as far as it is inside the image, 0..1.
    confidence : float or None
        The segmenter's confidence in its result, 0..1. None if the manifest has no such column;
        the same holds for the quality figures below.
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

    pupil: Ellipse
    limbus: Ellipse
    visible: float
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

    def to_cells(self) -> list[str]:
        """Text of each of `IRIS_COLUMNS`, with four decimals; empty for None."""
        outlines = (dataclasses.astuple(getattr(self, name)) for name in _OUTLINES.values())
        figures = [value for outline in outlines for value in outline]
        figures += [getattr(self, name) for name in _FIGURES]
        return ["" if value is None else f"{value:.4f}" for value in figures]

    @classmethod
    def from_cells(cls, cells: Mapping[str, str | None]) -> "IrisRecord | None":
        """Read a record from the cells of a row.

        Parameters
        ----------
        cells : mapping of str to str or None
            Text by column; columns may be missing.

        Returns
        -------
        IrisRecord or None
            None if all cells of `IRIS_COLUMNS` are empty.

        Raises
        ------
        ValueError
            If a cell is not a number, or a cell of an outline or of `visible` is empty.
        """
        values = {name: _number(name, cells.get(name)) for name in IRIS_COLUMNS}
        if all(value is None for value in values.values()):
            return None
        if empty := [name for name in _GEOMETRY if values[name] is None]:
            raise ValueError(f"{', '.join(empty)} is empty")
        record: dict[str, Any] = {name: values[name] for name in _FIGURES}
        for prefix, name in _OUTLINES.items():
            outline: dict[str, Any] = {
                field.name: values[f"{prefix}_{field.name}"]
                for field in dataclasses.fields(Ellipse)
            }
            record[name] = Ellipse(**outline)
        return cls(**record)


def _columns(prefix: str) -> list[str]:
    return [f"{prefix}_{field.name}" for field in dataclasses.fields(Ellipse)]


def _number(name: str, text: str | None) -> float | None:
    if not text:
        return None
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"{name} is {shown(text)}, not a number")
    return number


_FIGURES = tuple(
    field.name for field in dataclasses.fields(IrisRecord) if field.name not in _OUTLINES.values()
)
IRIS_COLUMNS = (*(name for prefix in _OUTLINES for name in _columns(prefix)), *_FIGURES)
"""Columns of a manifest that hold an `IrisRecord`, in their order."""

_GEOMETRY = IRIS_COLUMNS[: IRIS_COLUMNS.index("visible") + 1]
