"""Checks of the settings of a preparation before any work is done."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from iris_tf.config.checks import segmenter_problem
from iris_tf.config.names import (
    BY_SUBJECT,
    CHANNELS,
    CLOSED_WORLD,
    IDENTITIES,
    NO_SEGMENTER,
    ROI_MODES,
)
from iris_tf.data.manifest import ManifestRow
from iris_tf.preparation.quality_rules import check_limits
from iris_tf.segmentation.segmenter import segmenter_by_name
from iris_tf.support.errors import DatasetError
from iris_tf.support.files import real_path


def check_choices(
    segmenter: str,
    roi_mode: str,
    split_by: str,
    channels: int | None,
    limits: Mapping[str, float] | None,
) -> None:
    """Refuse unknown names, and settings that exclude each other.

    Raises
    ------
    DatasetError
    """
    for name, value in (("segmenter", segmenter), ("split_by", split_by)):
        if not isinstance(value, str):
            raise DatasetError(f"{name} is {value!r}, which is no name; give one as text.")
    if not isinstance(limits, Mapping | None):
        raise DatasetError(
            f"The quality limits are {limits!r}; give a dict such as {{'sharpness': 20}}."
        )
    if roi_mode not in ROI_MODES:
        raise DatasetError(
            f"ROI mode {roi_mode!r} is unknown; choose one of {', '.join(ROI_MODES)}."
        )
    if channels not in (None, *CHANNELS):
        raise DatasetError(f"channels is {channels}; choose 1 for grey or 3 for colour.")
    if problem := segmenter_problem(segmenter, roi_mode):
        raise DatasetError(f"The segmenter {problem}.")
    check_limits(limits or {})
    if limits and segmenter == NO_SEGMENTER:
        raise DatasetError(
            "Quality limits apply to figures of the iris, which only a segmenter provides; leave "
            "them out, or name a segmenter."
        )


def check_split(split_by: str, given: bool) -> None:
    """Refuse to draw splits that tear identities apart.

    Parameters
    ----------
    split_by : str
        What splits keep together.
    given : bool
        Whether a table gives the splits.

    Raises
    ------
    DatasetError
    """
    if split_by == CLOSED_WORLD and not given:
        raise DatasetError(
            "Splits by image come from a table, such as that of a protocol; give one, or split by "
            "subject."
        )


def check_mirroring(mirror_left: bool, segmenter: str) -> None:
    """Refuse to mirror irises: a mirrored strip is an iris of nobody, and shifts the wrong way.

    Raises
    ------
    DatasetError
    """
    if mirror_left and segmenter != NO_SEGMENTER:
        raise DatasetError(
            "Mirroring left eyes is for periocular crops, which need no segmenter; set the "
            f"segmenter to {NO_SEGMENTER!r}, or leave out the mirroring."
        )


def check_identities(identities: str, segmenter: str) -> None:
    """Refuse both eyes of a subject as one identity where irises are cropped: they are unrelated.

    Raises
    ------
    DatasetError
    """
    if identities not in IDENTITIES:
        raise DatasetError(
            f"Identities are counted by {identities!r}; choose one of {', '.join(IDENTITIES)}."
        )
    if identities == BY_SUBJECT and segmenter != NO_SEGMENTER:
        raise DatasetError(
            "The two irises of a subject are as different as those of two subjects; count "
            f"identities by eye, or set the segmenter to {NO_SEGMENTER!r} for periocular images."
        )


def check_sides(rows: Iterable[ManifestRow], images: Path) -> None:
    """Check that the sides of eyes are known, before left ones are mirrored.

    Raises
    ------
    DatasetError
        Names the first image whose side is not known.
    """
    unknown = next((row.image for row in rows if not row.eye), None)
    if unknown is not None:
        raise DatasetError(
            f"{images}: it is not known whether {unknown} shows a left or a right eye, so left "
            "eyes cannot be mirrored; choose a layout with sides, such as <subject>/L/<image>."
        )


def segmenter_version(segmenter: str, model: Path | None) -> str:
    """Version of a segmenter; empty without one.

    Raises
    ------
    DatasetError, ModelError
        If there is no such segmenter, or its network cannot be used.
    """
    if segmenter != NO_SEGMENTER:
        return segmenter_by_name(segmenter, model).version
    if model is not None:
        raise DatasetError(
            f"{model}: without a segmenter there is no network to read; leave the file out, or "
            "name a segmenter."
        )
    return ""


def check_apart(images: Path, out: Path) -> None:
    """Refuse a dataset folder inside the image folder.

    Raises
    ------
    DatasetError
    """
    if real_path(out).is_relative_to(real_path(images)):
        raise DatasetError(
            f"{out}: the dataset folder lies inside the image folder, where its crops would "
            "count as images to prepare; choose one outside."
        )
